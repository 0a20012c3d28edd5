//! The import rules between rooms, so that they cannot rot.

use std::collections::BTreeSet;
use std::path::Path;

/// Which rooms each room may import (see ARCHITECTURE.md).
const RULES: [(&str, &[&str]); 7] = [
    ("wire", &[]),
    ("config", &["wire"]),
    ("store", &["wire", "config"]),
    ("proxy", &["wire", "config", "store"]),
    ("admin", &["config", "store"]),
    ("export", &["wire", "config", "store"]),
    ("simulator", &["wire"]),
];

fn manifest(room: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates").join(room).join("Cargo.toml");
    std::fs::read_to_string(path).expect("manifest")
}

/// The names under `[dependencies]`, tests' own needs left out.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let names = section.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
    names.filter(|name| !name.is_empty() && !name.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn rooms_import_only_what_they_may() {
    for (room, allowed) in RULES {
        let allowed: BTreeSet<_> = allowed.iter().map(|name| format!("genesis-{name}")).collect();
        let imported: BTreeSet<_> =
            dependencies(&manifest(room)).into_iter().filter(|name| name.starts_with("genesis-")).collect();
        let forbidden: Vec<_> = imported.difference(&allowed).collect();
        assert!(forbidden.is_empty(), "crates/{room} may not import {forbidden:?}");
    }
}

#[test]
fn there_is_a_rule_for_every_room() {
    let rooms = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("crates")).expect("crates");
    let found: BTreeSet<_> =
        rooms.map(|room| room.expect("room").file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(found, RULES.iter().map(|(room, _)| (*room).to_owned()).collect());
}

#[test]
fn wire_has_no_runtime_no_io_and_no_clock() {
    let allowed = ["memchr", "serde", "serde_json", "thiserror"];
    let found = dependencies(&manifest("wire"));
    let foreign: Vec<_> = found.iter().filter(|name| !allowed.contains(&name.as_str())).collect();
    assert!(foreign.is_empty(), "crates/wire grew {foreign:?}");
    assert!(found.contains("serde_json"), "the manifest was read");
}

#[test]
fn only_fenced_rooms_have_the_heavy_dependencies() {
    let fences = [("rusqlite", "store"), ("hyper", "proxy"), ("json5", "config"), ("tokio-rustls", "proxy")];
    for (dependency, owner) in fences {
        for (room, _) in RULES.iter().filter(|(room, _)| *room != "simulator" && *room != owner) {
            assert!(!dependencies(&manifest(room)).contains(dependency), "crates/{room} has {dependency}");
        }
        assert!(dependencies(&manifest(owner)).contains(dependency), "crates/{owner} lost {dependency}");
    }
}
