//! An ill store under a running gateway: requests flow, and what can be saved is saved.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::net::SocketAddr;

use serde_json::Value;

use crate::http::{Message, Upstream, call, json};
use crate::process::{Home, Running, wait_until};

/// A gateway that asks for a token and attaches a stored key: both live in the store.
struct Stage {
    home: Home,
    upstream: Upstream,
    authorization: String,
}

const SEALED: &str = "sk-ant-sealed-key-of-the-test";

impl Stage {
    fn new() -> Self {
        let answer =
            r#"{"type":"message","model":"claude-sonnet-4-6","usage":{"input_tokens":3,"output_tokens":5}}"#;
        let upstream = Upstream::start(move |_| json("200 OK", answer));
        let config = format!(
            "{{ models: {{ providers: {{ anthropic: {{ baseUrl: \"http://{}\" }} }} }},
               gateway: {{ listen: \"127.0.0.1:0\", gateways: {{ prod: {{ authentication: true }} }} }} }}",
            upstream.address
        );
        let home = Home::new(&config);
        assert_eq!(home.run(&["key", "set", "anthropic"], SEALED).code, Some(0));
        let token = home.print(&["--quiet", "token", "create", "--name", "tests"]);
        Self { home, upstream, authorization: format!("Bearer {}", token.trim()) }
    }

    fn start(&self) -> Running {
        self.home.start(&["gateway", "run"])
    }

    fn call(&self, address: SocketAddr, body: &str) -> Message {
        let headers =
            [("cf-aig-authorization", self.authorization.as_str()), ("content-type", "application/json")];
        call(address, "POST", "/v1/acct/prod/anthropic/v1/messages", &headers, body.as_bytes())
    }

    /// Calls are served with what is in memory: the token is known, the stored key attached.
    fn assert_serves(&self, address: SocketAddr) -> String {
        let answer = self.call(address, BODY);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let sent = self.upstream.received().pop().expect("a request");
        assert!(sent.head.contains(SEALED), "the stored key was not attached: {}", sent.head);
        answer.header("cf-aig-log-id").expect("a log id").to_owned()
    }

    /// How the log is doing, as `/readyz` tells it.
    fn log(address: SocketAddr) -> Value {
        let answer = call(address, "GET", "/readyz", &[], b"");
        assert_eq!(answer.status(), 200, "requests are served whatever the store does");
        let report: Value = serde_json::from_slice(&answer.body).expect("JSON");
        report["log"].clone()
    }

    fn wait_until_log_is_ill(address: SocketAddr) {
        wait_until("an ill log", || Self::log(address)["lastError"].is_string());
    }

    fn wait_until_written(address: SocketAddr, count: u64) {
        wait_until("written records", || Self::log(address)["written"].as_u64() >= Some(count));
    }

    /// Changes a file that is looked at twice a second, and waits until that was noticed.
    fn make_it_read_its_settings(&self, gateway: &Running) {
        self.home.write(".env", b"UNUSED=1\n");
        gateway.wait_until_said("settings changed");
    }

    fn ids(&self) -> Vec<String> {
        self.home.records().iter().map(|record| record["id"].as_str().expect("id").to_owned()).collect()
    }
}

const BODY: &str =
    r#"{"model":"claude-sonnet-4-6","max_tokens":64,"messages":[{"role":"user","content":"Hello"}]}"#;

/// A body that does not compress, so that it needs the space it says.
fn large(bytes: usize, seed: u64) -> String {
    let mut state = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut text = String::with_capacity(bytes);
    while text.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push(char::from(b'0' + u8::try_from((state >> 33) % 75).expect("small")));
    }
    format!(r#"{{"model":"claude-sonnet-4-6","x":"{}"}}"#, text.replace('\\', "-"))
}

#[test]
fn a_locked_store_is_waited_for_and_loses_nothing() {
    let stage = Stage::new();
    let gateway = stage.start();
    let mut ids = vec![stage.assert_serves(gateway.address)];
    Stage::wait_until_written(gateway.address, 1);
    let locks = ["genesis.db", "genesis-log.db"].map(|name| {
        let lock = rusqlite::Connection::open(stage.home.file(name)).expect("open");
        lock.execute_batch("BEGIN EXCLUSIVE").expect("lock");
        lock
    });
    ids.extend((0..20).map(|_| stage.assert_serves(gateway.address)));
    Stage::wait_until_log_is_ill(gateway.address);
    ids.extend((0..20).map(|_| stage.assert_serves(gateway.address)));
    assert!(gateway.said().contains("locked by another process"), "{}", gateway.said());

    drop(locks);
    Stage::wait_until_written(gateway.address, ids.len() as u64);
    assert_eq!(stage.ids(), ids);
    let (status, said) = gateway.stop();
    assert!(status.success(), "{said}");
}

#[test]
fn a_full_disk_costs_log_records_and_says_so() {
    let stage = Stage::new();
    let gateway = stage.home.start_on_full_disk(&["gateway", "run"], 256 * 1024);
    let calls = (0..40).map(|number| stage.call(gateway.address, &large(20_000, number)));
    assert!(calls.into_iter().all(|answer| answer.status() == 200));
    Stage::wait_until_log_is_ill(gateway.address);
    for _ in 0..20 {
        stage.assert_serves(gateway.address);
    }
    let log = Stage::log(gateway.address);
    let waiting = log["pending"].as_u64().zip(log["droppedRecords"].as_u64());
    assert!(waiting.is_some_and(|(pending, dropped)| pending + dropped > 0), "{log}");
    assert!(gateway.said().contains("the log cannot be written"), "{}", gateway.said());
    gateway.kill();

    // With room again, it goes on.
    let gateway = stage.start();
    let id = stage.assert_serves(gateway.address);
    Stage::wait_until_written(gateway.address, 1);
    assert!(stage.ids().contains(&id));
}

#[test]
fn deleted_files_are_started_anew() {
    let stage = Stage::new();
    let gateway = stage.start();
    stage.assert_serves(gateway.address);
    Stage::wait_until_written(gateway.address, 1);
    for name in ["genesis-log.db", "genesis-log.db-wal", "genesis-log.db-shm"] {
        let _ = fs::remove_file(stage.home.file(name));
    }
    let ids: Vec<_> = (0..3).map(|_| stage.assert_serves(gateway.address)).collect();
    Stage::wait_until_written(gateway.address, 4);
    assert_eq!(stage.ids(), ids);
    assert!(gateway.said().contains("starting a new one"), "{}", gateway.said());
}

#[test]
fn a_damaged_store_does_not_stop_requests() {
    let stage = Stage::new();
    let gateway = stage.start();
    stage.assert_serves(gateway.address);
    Stage::wait_until_written(gateway.address, 1);
    // The shared index too, or what is in memory would hide the damage.
    for name in ["genesis-log.db", "genesis.db"] {
        ["-wal", "-shm", ""].iter().for_each(|end| overwrite(&stage.home, &format!("{name}{end}")));
    }
    stage.assert_serves(gateway.address);
    stage.make_it_read_its_settings(&gateway);
    // A token must not be forgotten because its row cannot be read.
    for _ in 0..5 {
        stage.assert_serves(gateway.address);
    }
    for args in [&["logs"][..], &["token", "list"], &["usage"]] {
        let ran = stage.home.run(args, "");
        assert_eq!(ran.code, Some(1), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains("restore it from a backup, or move it away"), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn settings_that_vanish_do_not_stop_requests() {
    let stage = Stage::new();
    let gateway = stage.start();
    stage.assert_serves(gateway.address);
    for name in ["genesis.db", "genesis.db-wal", "genesis.db-shm", "master.key"] {
        let _ = fs::remove_file(stage.home.file(name));
    }
    stage.make_it_read_its_settings(&gateway);
    for _ in 0..5 {
        stage.assert_serves(gateway.address);
    }
}

/// Writes over every byte of the file, which stays the same file.
fn overwrite(home: &Home, name: &str) {
    let Ok(mut file) = fs::OpenOptions::new().write(true).open(home.file(name)) else {
        return;
    };
    let length = usize::try_from(file.metadata().expect("metadata").len()).expect("small");
    file.seek(SeekFrom::Start(0))
        .and_then(|_| file.write_all(&vec![0xa5; length.max(8192)]))
        .expect("overwrite");
}
