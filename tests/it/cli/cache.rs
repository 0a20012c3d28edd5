//! `genesis cache`

use bytes::Bytes;
use genesis_store::{CacheDisk, CacheOptions, CacheRow};
use serde_json::json;

use super::sandbox::Sandbox;

fn filled() -> Sandbox {
    let sandbox = Sandbox::new();
    let disk = CacheDisk::start(&sandbox.store(), CacheOptions::default());
    for (number, gateway) in [(1, "prod"), (2, "prod"), (3, "other")] {
        let data = Bytes::from(vec![b'x'; 1_000]);
        disk.put(CacheRow { key: [number; 32], gateway: gateway.to_owned(), expires_at_ms: i64::MAX, data });
    }
    disk.close();
    sandbox
}

#[test]
fn stats_show_each_gateway() {
    let sandbox = filled();
    let ran = sandbox.genesis(&["cache", "stats"]).ok();
    let lines: Vec<_> = ran.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(lines[0], ["GATEWAY", "ANSWERS", "BYTES", "EXPIRED"]);
    assert_eq!(lines[1], ["other", "1", "1,120", "0"]);
    assert_eq!(lines[2], ["prod", "2", "2,240", "0"]);
    let uses = sandbox.genesis(&["cache", "stats", "--json"]).ok().json();
    assert_eq!(uses[1], json!({ "gateway": "prod", "answers": 2, "bytes": 2_240, "expired": 0 }));
}

#[test]
fn purge_takes_one_gateway_or_all() {
    let sandbox = filled();
    sandbox
        .genesis(&["cache", "purge", "--gateway", "prod"])
        .ok()
        .says(&["2 entries of gateway `prod` removed"]);
    let uses = sandbox.genesis(&["cache", "stats", "--json"]).ok().json();
    assert_eq!(uses.as_array().unwrap().len(), 1);
    let purged = sandbox.genesis(&["cache", "purge", "--all", "--json"]).ok().json();
    assert_eq!(purged, json!({ "gateway": null, "removed": 1 }));
    sandbox.genesis(&["cache", "stats"]).ok().says(&["nothing is cached", "cache_ttl"]);
}

#[test]
fn purge_wants_to_know_what() {
    let sandbox = Sandbox::new();
    let ran = sandbox.genesis(&["cache", "purge"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let ran = sandbox.genesis(&["cache", "purge", "--all", "--gateway", "prod"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    // Where nothing ever was there is nothing to remove, and no store is begun for it.
    sandbox.genesis(&["cache", "purge", "--all"]).ok().says(&["0 entries"]);
    assert!(!sandbox.home().join("genesis.db").exists());
}
