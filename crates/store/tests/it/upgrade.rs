//! A log of the first schema, made by its own SQL, is brought up to date with everything in it.

use std::fs;

use genesis_store::{
    AnalyticsQuery, Dimension, ErrorKind, GroupBy, Journal, JournalOptions, LogFilter, Outcome, Store,
    UsageQuery,
};
use rusqlite::{Connection, params};

use crate::support::{NOON, PATIENCE, Place, id, numbers, record};

const FIRST: &str = "
    CREATE TABLE record (
        seq INTEGER PRIMARY KEY, id BLOB NOT NULL, created_at_ms INTEGER NOT NULL, gateway TEXT NOT NULL,
        provider TEXT NOT NULL, model TEXT NOT NULL, path TEXT NOT NULL, status INTEGER NOT NULL,
        outcome INTEGER NOT NULL, error TEXT NOT NULL, cached INTEGER NOT NULL, simulated INTEGER NOT NULL,
        duration_ms INTEGER NOT NULL, tokens_in INTEGER, tokens_out INTEGER, cost_nano_usd INTEGER,
        event_id TEXT NOT NULL, token_id TEXT NOT NULL, metadata TEXT, block INTEGER NOT NULL, at INTEGER NOT NULL
    );
    CREATE INDEX record_by_id ON record (id);
    CREATE INDEX record_failed ON record (seq) WHERE outcome <> 0;
    CREATE TABLE block (id INTEGER PRIMARY KEY, length INTEGER NOT NULL, data BLOB NOT NULL);
    CREATE TABLE span (
        gateway TEXT NOT NULL, block INTEGER NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
        records INTEGER NOT NULL, PRIMARY KEY (gateway, block)
    ) WITHOUT ROWID;
    CREATE TABLE gateway_size (gateway TEXT PRIMARY KEY, records INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE minute_total (
        minute INTEGER NOT NULL, gateway TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,
        outcome INTEGER NOT NULL, cached INTEGER NOT NULL, simulated INTEGER NOT NULL, requests INTEGER NOT NULL,
        tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL, tokens_cached INTEGER NOT NULL,
        cost_nano_usd INTEGER NOT NULL, unpriced INTEGER NOT NULL, duration_ms INTEGER NOT NULL,
        PRIMARY KEY (minute, gateway, provider, model, outcome, cached, simulated)
    ) WITHOUT ROWID;
    PRAGMA application_id = 1195724290;
    PRAGMA user_version = 1;
";

/// An entry of a block as the first version packed it: `record(number)`'s details, and bodies.
fn entry(number: u64) -> Vec<u8> {
    let of = record(number);
    let mut raw = vec![1];
    let put = |raw: &mut Vec<u8>, mut number: u64| {
        while number >= 0x80 {
            raw.push(number as u8 | 0x80);
            number >>= 7;
        }
        raw.push(number as u8);
    };
    let text = |raw: &mut Vec<u8>, text: &str| {
        put(raw, text.len() as u64);
        raw.extend_from_slice(text.as_bytes());
    };
    put(&mut raw, 1 | 4 | 8 | 16 | 32 | 64 | 128);
    [&of.account, "openai-chat", &of.method].into_iter().for_each(|value| text(&mut raw, value));
    put(&mut raw, 0);
    put(&mut raw, 300);
    for count in [100, 20, 0, 0, 30, 5] {
        put(&mut raw, count);
    }
    for value in [&of.raw_usage, &of.price_id, &of.price_formula, &of.trace_id] {
        text(&mut raw, value.as_ref().unwrap());
    }
    put(&mut raw, of.request_size);
    put(&mut raw, of.response_size);
    for value in [
        &of.user_agent,
        &of.credential,
        &of.request_content_type,
        &of.response_content_type,
        &of.request_head,
        &of.response_head,
    ] {
        text(&mut raw, value);
    }
    raw.push(1 | 2 | 4);
    text(&mut raw, &format!("request {number}"));
    text(&mut raw, &format!("response {number}"));
    raw
}

/// An lz4 block without any compression: one run of literals.
fn literals(raw: &[u8]) -> Vec<u8> {
    assert!(raw.len() >= 15);
    let mut data = vec![0xF0];
    let mut left = raw.len() - 15;
    while left >= 255 {
        data.push(255);
        left -= 255;
    }
    data.push(left as u8);
    data.extend_from_slice(raw);
    data
}

fn first_schema(place: &Place, count: u64) {
    drop(place.open());
    fs::remove_file(place.log_path()).ok();
    let log = Connection::open(place.log_path()).unwrap();
    log.execute_batch("PRAGMA page_size = 16384; PRAGMA journal_mode = wal;").unwrap();
    log.execute_batch(FIRST).unwrap();
    let (mut block, mut at) = (Vec::new(), Vec::new());
    for number in 0..count {
        at.push(block.len());
        block.extend(entry(number));
    }
    log.execute("INSERT INTO block VALUES (1, ?, ?)", params![block.len() as i64, literals(&block)]).unwrap();
    for number in 0..count {
        let of = record(number);
        log.execute(
            "INSERT INTO record VALUES (?1, ?2, ?3, 'main', 'openai', 'gpt-5-mini', 'chat/completions', 200, 0, '', 0, 0,
                850, 120, 30, 42000, ?4, 'tok_1', NULL, 1, ?5)",
            params![
                (of.created_at_ms << 20) + number as i64,
                of.id.as_bytes(),
                of.created_at_ms,
                of.event_id,
                at[number as usize] as i64
            ],
        )
        .unwrap();
    }
    // Totals also remember what was deleted, and another gateway that has no records left.
    for (minute, gateway, outcome, requests) in [(0, "main", 0, 50), (1, "main", 1, 3), (1, "gone", 0, 7)] {
        log.execute(
            "INSERT INTO minute_total VALUES (?1, ?2, 'openai', 'gpt-5-mini', ?3, 0, 0, ?4, ?4 * 120, ?4 * 30, ?4 * 20,
                ?4 * 42000, 0, ?4 * 850)",
            params![NOON / 60_000 + minute, gateway, outcome, requests],
        )
        .unwrap();
    }
}

#[test]
fn a_log_of_the_first_schema_keeps_records_bodies_and_totals() {
    let place = Place::new();
    first_schema(&place, 40);
    let store = place.open();
    let journal = Journal::start(&store, JournalOptions::default());
    journal.push(record(100), None);
    assert!(journal.flush(PATIENCE), "{:?}", journal.stats());
    let all = LogFilter { limit: usize::MAX, ..LogFilter::default() };
    let found = store.logs(&all).unwrap();
    assert_eq!(numbers(&found), [100].into_iter().chain((0..40).rev()).collect::<Vec<_>>());
    assert_eq!(found[40], record(0));
    let (_, payload) = store.log(&id(7).to_string()).unwrap().unwrap();
    let payload = payload.unwrap();
    assert_eq!((payload.request, payload.response), ("request 7".into(), "response 7".into()));
    assert!(payload.request_complete && payload.response_complete);

    let by = |group_by| {
        let rows = store.usage(&UsageQuery { group_by, ..UsageQuery::default() }).unwrap();
        rows.into_iter().map(|row| (row.key, row.requests, row.errors, row.cost_nano_usd)).collect::<Vec<_>>()
    };
    let cost = |requests: i64| requests * 42_000;
    assert_eq!(by(GroupBy::Gateway), [("main".into(), 54, 3, cost(54)), ("gone".into(), 7, 0, cost(7))]);
    assert_eq!(by(GroupBy::Outcome)[1], (Outcome::ProviderError.name().into(), 3, 3, cost(3)));
    // What had no account belongs to the one that used the gateway last.
    let query = AnalyticsQuery {
        group_by: vec![Dimension::Account, Dimension::Gateway],
        ..AnalyticsQuery::default()
    };
    let mut groups: Vec<_> = store.analytics(&query).unwrap().into_iter().map(|row| row.group).collect();
    groups.sort();
    assert_eq!(groups, [["", "gone"], ["acc", "main"]]);
    // Nothing of the old tables is left, and nothing is damaged.
    let log = Connection::open(place.log_path()).unwrap();
    let tables: i64 = log
        .query_row(
            "SELECT count(*) FROM sqlite_schema WHERE name IN ('record', 'block', 'old_minute_total')",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(tables, 0);
    let verdict: String = log.pragma_query_value(None, "integrity_check", |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

#[test]
fn a_damaged_old_log_stays_as_it_is() {
    let place = Place::new();
    first_schema(&place, 3);
    let log = Connection::open(place.log_path()).unwrap();
    log.execute("UPDATE block SET length = length * 1000", []).unwrap();
    let store = place.open();
    let journal = Journal::start(&store, JournalOptions::default());
    journal.push(record(100), None);
    journal.close();
    let stats = journal.stats();
    assert!(stats.written == 0 && stats.last_error.is_some_and(|error| error.contains("damaged")));
    let left: i64 = log.query_row("SELECT count(*) FROM record", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 3);
    assert_eq!(
        Store::open_read_only(&place.path())
            .unwrap()
            .logs(&LogFilter::default())
            .map_err(|error| error.kind()),
        Ok::<_, ErrorKind>(vec![])
    );
}
