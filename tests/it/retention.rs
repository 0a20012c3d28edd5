//! How long the log of a running gateway is kept.

use genesis_store::{Journal, JournalOptions, LogRecord, Store};
use std::time::{Duration, UNIX_EPOCH};
use uuid::Uuid;

use crate::http::call;
use crate::process::{Home, wait_until};

#[test]
fn records_older_than_the_gateway_keeps_them_go() {
    let home = Home::new("{ gateway: { gateways: { short: { log_max_age: 3600 }, long: {} } } }");
    let now_ms = UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
    log_of(&home, now_ms - 7_200_000);
    assert_eq!(home.records().len(), 20);

    let gateway = home.dev();
    let body = br#"{"model":"m","messages":[{"role":"user","content":"Hello"}]}"#;
    let path = "/v1/acct/short/openai/chat/completions";
    assert_eq!(call(gateway.address, "POST", path, &[], body).status(), 200);
    wait_until("the old records of `short` to go", || {
        let mut gateways: Vec<_> = home
            .records()
            .iter()
            .map(|record| record["gateway"].as_str().expect("text").to_owned())
            .collect();
        gateways.sort();
        gateways == [vec!["long"; 10], vec!["short"]].concat()
    });
}

/// Ten records of each gateway, from an earlier run.
fn log_of(home: &Home, at_ms: u128) {
    let store = Store::open(&home.file("genesis.db")).expect("store");
    let journal = Journal::start(&store, JournalOptions::default());
    for number in 0..20_u32 {
        let record = LogRecord {
            id: Uuid::from_u128(at_ms << 80 | 0x7000_8000_0000_0000_0000 | u128::from(number)),
            created_at_ms: i64::try_from(at_ms).expect("in range"),
            gateway: if number % 2 == 0 { "short" } else { "long" }.to_owned(),
            account: "acct".to_owned(),
            ..LogRecord::default()
        };
        journal.push(record, None);
    }
    assert!(journal.flush(Duration::from_secs(30)));
}
