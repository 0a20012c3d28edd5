//! The cache of a running gateway: restarts, purges, settings.

use crate::http::{Client, call};
use crate::process::{Home, wait_until};

const PATH: &str = "/v1/dev/default/anthropic/v1/messages";
const BODY: &[u8] =
    br#"{"model":"claude-sonnet-4-6","max_tokens":64,"messages":[{"role":"user","content":"Hello"}]}"#;
const JSON: (&str, &str) = ("content-type", "application/json");
const TTL: (&str, &str) = ("cf-aig-cache-ttl", "3600");

fn ask(address: std::net::SocketAddr) -> (String, String) {
    let answer = call(address, "POST", PATH, &[JSON, TTL], BODY);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    (answer.header("cf-aig-cache-status").unwrap_or("none").to_owned(), answer.text())
}

#[test]
fn answers_outlive_a_restart() {
    let home = Home::new("");
    let gateway = home.dev();
    let (first, said) = ask(gateway.address);
    assert_eq!((first.as_str(), ask(gateway.address).0.as_str()), ("MISS", "HIT"));
    gateway.stop();
    let gateway = home.dev();
    assert_eq!(ask(gateway.address), ("HIT".to_owned(), said.clone()));
    // Killed, it keeps what was written.
    gateway.kill();
    let gateway = home.dev();
    assert_eq!(ask(gateway.address), ("HIT".to_owned(), said));
    gateway.stop();
    // Hits cost nothing and count no tokens. The killed gateway's may have been too late for the log.
    let hits: Vec<_> = home.records().into_iter().filter(|record| record["cached"] == true).collect();
    assert!(hits.len() >= 2, "{hits:?}");
    assert!(hits.iter().all(|hit| hit["cost_nano_usd"] == 0 && hit["usage"]["input"] == 0), "{hits:?}");
}

#[test]
fn a_purge_reaches_the_running_gateway() {
    let home = Home::new("");
    let gateway = home.dev();
    ask(gateway.address);
    assert_eq!(ask(gateway.address).0, "HIT");
    let purged = home.print(&["cache", "purge", "--gateway", "default", "--json"]);
    assert!(purged.contains("\"gateway\":\"default\""), "{purged}");
    gateway.wait_until_said("cached answers were removed");
    assert_eq!(ask(gateway.address).0, "MISS");
    wait_until("the answer to be on disk again", || {
        home.print(&["cache", "stats", "--json"]).contains("default")
    });
}

#[test]
fn without_a_disk_nothing_is_written() {
    let home = Home::new("{ gateway: { cache: { diskBytes: 0 } } }");
    let gateway = home.dev();
    ask(gateway.address);
    assert_eq!(ask(gateway.address).0, "HIT");
    gateway.stop();
    assert!(!home.file("genesis-cache.db").exists());
    let home = Home::new("{ gateway: { cache: { memoryBytes: 0 } } }");
    let gateway = home.dev();
    let mut client = Client::connect(gateway.address).expect("connect");
    client.call("POST", PATH, &[JSON], BODY).expect("an answer");
    assert!(!home.file("genesis-cache.db").exists(), "only begun for what is cached");
    ask(gateway.address);
    wait_until("an answer from disk", || ask(gateway.address).0 == "HIT");
}
