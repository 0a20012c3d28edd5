//! The bench against itself: mock, floor and load in one process for a moment, and the command for real.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use genesis_bench::{floor, load, mock};

/// The bound addresses of a mock and of a floor before it.
fn servers() -> (SocketAddr, SocketAddr) {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mock = mock::start(&mock::Options { listen: any, threads: 1, max_seconds: 60 }).unwrap();
    let floor = floor::Options { listen: any, upstream: mock, threads: 1, max_seconds: 60 };
    (mock, floor::start(&floor).unwrap())
}

fn load(url: String, flags: &[&str]) -> load::report::Report {
    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        options: load::Options,
    }
    let usual = ["load", "--url", &url, "--connections=4", "--seconds=0.2", "--warmup=0.05"];
    let flags = Flags::parse_from(usual.iter().chain(flags));
    load::run(&flags.options).unwrap()
}

#[test]
fn whole_answers_pass_the_floor_unharmed() {
    let (mock, floor) = servers();
    for address in [mock, floor] {
        for (path, dialect) in [("/v1/chat/completions", "openai"), ("/v1/messages", "anthropic")] {
            let report = load(format!("http://{address}{path}"), &["--dialect", dialect, "--size=20000"]);
            assert_eq!((report.errors, report.first_error), (0, None));
            assert!(report.requests > 0 && report.latency.count == report.requests);
            assert!(report.latency.p50 > 0.0 && report.latency.p50 <= report.latency.max);
        }
    }
}

#[test]
fn events_arrive_stamped_and_complete() {
    let (_, floor) = servers();
    for (path, dialect) in [("/v1/chat/completions", "openai"), ("/v1/messages", "anthropic")] {
        let flags = ["--stream", "--mock=events=30", "--dialect", dialect];
        let report = load(format!("http://{floor}{path}"), &flags);
        assert_eq!((report.errors, report.first_error), (0, None));
        let transit = report.transit.unwrap();
        assert_eq!(transit.count, report.events);
        assert!(report.events > 30 && transit.p50 < 1e6, "{} events, {} µs", report.events, transit.p50);
    }
}

#[test]
fn a_constant_rate_is_kept_and_its_cost_is_read() {
    let (mock, _) = servers();
    let own = std::process::id().to_string();
    let report = load(format!("http://{mock}/v1/messages"), &["--rate=200", "--pid", &own]);
    assert_eq!(report.errors, 0);
    // Every request that was due in the window is in the count, however late it was answered.
    let due = 200.0 * report.seconds;
    assert!((report.requests as f64 - due).abs() < 2.0, "{} requests instead of {due}", report.requests);
    assert!(report.target.unwrap().rss_max_kib > 0);
}

#[test]
fn wrong_answers_are_counted_and_the_first_is_shown() {
    let (mock, _) = servers();
    let report = load(format!("http://{mock}/v1/nothing"), &[]);
    assert!(report.errors > 0 && report.requests == 0);
    assert!(report.first_error.unwrap().contains("404"));
    let report = load(format!("http://{mock}/v1/messages"), &["--expect", "x-cache: HIT"]);
    assert!(report.errors > 0 && report.first_error.unwrap().contains("x-cache is None"));
}

/// Runs `compare --smoke` over these scenarios; returns success, the table and the figures.
fn smoke(scenarios: &str, genesis: Option<&Path>) -> (bool, String, serde_json::Value) {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("figures.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_genesis-bench"));
    command.args(["compare", "--smoke", "--scenarios", scenarios, "--json"]).arg(&json);
    if let Some(genesis) = genesis {
        command.arg("--genesis").arg(genesis);
    }
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    let figures = std::fs::read(json).unwrap_or_else(|_| panic!("no figures: {text}"));
    (output.status.success(), text, serde_json::from_slice(&figures).unwrap())
}

/// A stand-in for the gateway: its commands as the comparison uses them, its data plane the floor.
fn stand_in(folder: &Path) -> PathBuf {
    let script = format!(
        r#"#!/bin/sh
set -eu
value() {{ sed -n "s|.*\"$1\": \"\(http://\)\{{0,1\}}\([0-9.:]*\)\".*|\2|p" "$GENESIS_HOME/genesis.json" | head -n 1; }}
case "$1 $2" in
    "token create") echo '{{"id":"1","token":"gt_stand-in"}}' ;;
    "key set") test "$(cat)" = "sk-bench-$3" ;;
    "gateway run") exec {} floor --listen "$(value listen)" --upstream "$(value baseUrl)" ;;
    *) exit 64 ;;
esac
"#,
        env!("CARGO_BIN_EXE_genesis-bench")
    );
    let file = folder.join("genesis");
    std::fs::write(&file, script).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    file
}

#[test]
fn a_smoke_comparison_without_a_gateway_finds_nothing_wrong() {
    let (success, text, figures) = smoke("json-300,latency,idle", None);
    assert!(success, "{text}");
    assert!(text.contains("| JSON 300 B, CPU per request | µs |"), "{text}");
    assert_eq!(figures["failures"].as_array().unwrap().len(), 0);
    assert!(figures["figures"].as_array().unwrap().iter().any(|figure| figure["scenario"] == "idle"));
}

#[test]
fn a_gateway_is_set_up_measured_and_judged() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = stand_in(folder.path());
    let (success, text, figures) =
        smoke("json-300,stream-anthropic,translate-stream,start,size", Some(&gateway));
    assert!(success, "{text}");
    let judged = figures["judged"].as_array().unwrap();
    let binary = judged.iter().find(|row| row["metric"] == "Binary").unwrap();
    assert_eq!(binary["verdict"], "**met**, stretch too");
    for metric in ["Translated stream, CPU per event", "Start to first answer", "Memory after start"] {
        assert!(judged.iter().any(|row| row["metric"] == metric), "{metric} is not in {judged:?}");
    }
}

#[test]
fn a_gateway_that_answers_wrongly_fails_the_comparison() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = stand_in(folder.path());
    // The stand-in has no cache.
    let (success, text, figures) = smoke("cache-300", Some(&gateway));
    assert!(!success, "{text}");
    assert!(figures["judged"].as_array().unwrap().iter().all(|row| row["metric"] != "Cache hit 300 B, CPU"));
    let failure = figures["failures"][0].as_str().unwrap();
    assert!(
        failure.contains("cache-300 through genesis") && failure.contains("cf-aig-cache-status"),
        "{failure}"
    );
}
