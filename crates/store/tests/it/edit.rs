//! What is changed in the log after the fact: notes, costs, deleting, age; also in pages that were merged.

use std::{fs, path::Path, sync::Arc, time::Duration};

use genesis_store::{
    AnalyticsQuery, Correction, Dimension, ErrorKind, Journal, JournalOptions, LogField, LogFilter, LogNote,
    Operator, Retention, Store,
};
use rusqlite::Connection;
use serde_json::json;

use crate::support::{NOON, PATIENCE, Place, id, log_all, numbers, payload, record};

/// Logs so many records with bodies in many commits, so that most of them end up in merged pages.
fn log_many(store: &Store, count: u64) {
    let journal = Journal::start(store, JournalOptions { commit_records: 10, ..JournalOptions::default() });
    for number in 0..count {
        let mut record = record(number);
        record.gateway = if number % 3 == 0 { "side" } else { "main" }.into();
        record.request_head = format!("head-{number} ").repeat(200);
        let payload = payload(&record, format!("secret-request-{number}").as_bytes(), b"answer");
        journal.push(record, Some(payload));
    }
    assert!(journal.flush(PATIENCE), "{:?}", journal.stats());
}

fn sealed_pages(place: &Place) -> i64 {
    let log = Connection::open(place.log_path()).unwrap();
    log.query_row("SELECT count(*) FROM page WHERE sealed", [], |row| row.get(0)).unwrap()
}

#[test]
fn merged_pages_give_back_every_record_and_body() {
    let place = Place::new();
    let store = place.open();
    log_many(&store, 500);
    assert!(sealed_pages(&place) >= 4);
    let all = LogFilter { limit: usize::MAX, ..LogFilter::default() };
    assert_eq!(numbers(&store.logs(&all).unwrap()), (0..500).rev().collect::<Vec<_>>());
    for number in [0, 1, 250, 499] {
        let (record, payload) = store.log(&id(number).to_string()).unwrap().unwrap();
        assert!(record.request_head.starts_with(&format!("head-{number} ")));
        assert_eq!(payload.unwrap().request, format!("secret-request-{number}"));
    }
}

#[test]
fn deleted_records_leave_nothing_behind_and_their_neighbours_whole() {
    let place = Place::new();
    let store = place.open();
    log_many(&store, 500);
    let wanted = LogFilter::default().with(LogField::EventId, Operator::Contains, "7");
    let doomed: Vec<u64> = (0..500).filter(|number: &u64| number.to_string().contains('7')).collect();
    assert!(store.annotate_log(id(7), &LogNote { feedback: Some(1), ..LogNote::default() }).unwrap());
    assert_eq!(store.delete_logs(&wanted).unwrap(), doomed.len() as u64);
    assert_eq!(store.count(&LogFilter::default()).unwrap(), 500 - doomed.len() as u64);
    assert!(store.log(&id(7).to_string()).unwrap().is_none());
    let log = Connection::open(place.log_path()).unwrap();
    let notes: i64 = log.query_row("SELECT count(*) FROM annotation", [], |row| row.get(0)).unwrap();
    assert_eq!(notes, 0);
    for number in (0..500).filter(|number| !doomed.contains(number)) {
        let (_, payload) = store.log(&id(number).to_string()).unwrap().unwrap();
        assert_eq!(payload.unwrap().request, format!("secret-request-{number}"));
    }
    // The bodies are gone from the file, too, not only out of reach.
    log.pragma_update(None, "wal_checkpoint", "truncate").ok();
    let stats: (i64, i64) = log
        .query_row("SELECT sum(records), (SELECT sum(records) FROM source) FROM page", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(stats, (500 - doomed.len() as i64, 500 - doomed.len() as i64));
    // The journal goes on where it was, and totals remember all.
    log_all(&store, [record(1_000)]);
    assert_eq!(numbers(&store.logs(&LogFilter { limit: 1, ..LogFilter::default() }).unwrap()), [1_000]);
    assert_eq!(store.analytics(&AnalyticsQuery::default()).unwrap()[0].sums.requests, 501);
}

#[test]
fn deleting_goes_on_while_the_journal_writes() {
    let place = Place::new();
    let store = place.open();
    log_many(&store, 300);
    let journal = Journal::start(&store, JournalOptions::default());
    std::thread::scope(|scope| {
        let deleting =
            scope.spawn(|| store.delete_logs(&LogFilter::default().is(LogField::Gateway, "side")).unwrap());
        for number in 1_000..1_300 {
            journal.push(record(number), None);
            if number % 30 == 0 {
                assert!(journal.flush(PATIENCE));
            }
        }
        assert_eq!(deleting.join().unwrap(), 100);
    });
    assert!(journal.flush(PATIENCE), "{:?}", journal.stats());
    assert_eq!(store.count(&LogFilter::default()).unwrap(), 500);
}

#[test]
fn notes_are_merged_and_kept_apart() {
    let place = Place::new();
    let store = place.open();
    let mut original = record(1);
    original.metadata = json!({"team": "a"}).as_object().unwrap().clone();
    log_all(&store, [original.clone(), record(2)]);
    let note = LogNote {
        feedback: Some(-1),
        score: Some(87.5),
        metadata: json!({"team": "b", "seen": true}).as_object().cloned(),
    };
    assert!(store.annotate_log(id(1), &note).unwrap());
    assert!(store.annotate_log(id(1), &LogNote { feedback: Some(1), ..LogNote::default() }).unwrap());
    assert!(!store.annotate_log(id(9), &note).unwrap(), "there is no such record");
    let (found, _) = store.log(&id(1).to_string()).unwrap().unwrap();
    assert_eq!((found.feedback, found.score), (Some(1), Some(87.5)));
    assert_eq!(Some(&found.metadata), note.metadata.as_ref());
    let by = |field, value: &str| numbers(&store.logs(&LogFilter::default().is(field, value)).unwrap());
    assert_eq!(by(LogField::Feedback, "1"), [1]);
    assert_eq!(by(LogField::MetadataValue, "b"), [1]);
    assert!(by(LogField::MetadataValue, "a").is_empty());
    let refused = store.logs(&LogFilter::default().is(LogField::Feedback, "good")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
}

#[test]
fn a_corrected_cost_changes_record_and_totals_and_keeps_the_original() {
    let place = Place::new();
    let store = place.open();
    let mut records = [1, 2, 3].map(record);
    records[0].metadata = json!({"team": "a"}).as_object().unwrap().clone();
    records[1].cost_nano_usd = None;
    log_all(&store, records);
    let correction = |number, cost| Correction {
        id: id(number),
        cost_nano_usd: Some(cost),
        price_id: Some("openai/gpt-5-mini@2026-12-01".into()),
        price_formula: Some("new".into()),
    };
    let sums = |by: Vec<Dimension>| {
        let query = AnalyticsQuery { group_by: by, ..AnalyticsQuery::default() };
        let row = store.analytics(&query).unwrap().remove(0);
        (row.sums.cost_nano_usd, row.sums.unpriced)
    };
    assert_eq!(sums(vec![]), (84_000, 1));
    let corrections = [correction(1, 50_000), correction(2, 1_000), correction(77, 1)];
    assert_eq!(store.correct_costs(&corrections, NOON + 5).unwrap(), 2);
    assert_eq!(sums(vec![]), (50_000 + 1_000 + 42_000, 0));
    assert_eq!(sums(vec![Dimension::Metadata("team".into())]), (50_000, 0));
    // Again: the difference to the last one counts.
    assert_eq!(store.correct_costs(&[correction(1, 60_000)], NOON + 6).unwrap(), 1);
    assert_eq!(sums(vec![]), (60_000 + 1_000 + 42_000, 0));
    let (found, _) = store.log(&id(1).to_string()).unwrap().unwrap();
    assert_eq!((found.cost_nano_usd, found.price_formula.as_deref()), (Some(60_000), Some("new")));
    let repriced = found.repriced.unwrap();
    assert_eq!((repriced.at_ms, repriced.original_cost_nano_usd), (NOON + 6, Some(42_000)));
    assert_eq!(repriced.original_price_id.as_deref(), Some("openai/gpt-5-mini@2026-11-01"));
    assert_eq!(numbers(&store.logs(&LogFilter::default().is(LogField::Cost, 60_000)).unwrap()), [1]);
    // What a running journal writes afterwards adds to it.
    log_all(&store, [record(4)]);
    assert_eq!(sums(vec![]), (60_000 + 1_000 + 42_000 + 42_000, 0));
}

#[test]
fn records_that_are_too_old_go_whatever_the_strategy() {
    let place = Place::new();
    let store = place.open();
    log_many(&store, 300);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let limit = Retention { max_age: Some(Duration::from_secs(3_600)), ..Retention::default() };
    let journal = Journal::start(
        &store,
        JournalOptions {
            retention: Arc::new(
                move |_, gateway| if gateway == "main" { limit } else { Retention::default() },
            ),
            ..JournalOptions::default()
        },
    );
    // The records are of a fixed date: on a machine whose clock is before it, none is old.
    let cutoff = now - 3_600_000;
    let mut fresh = record(5_000);
    fresh.created_at_ms = now;
    journal.push(fresh, None);
    assert!(journal.flush(PATIENCE), "{:?}", journal.stats());
    drop(journal);
    let old =
        (0..300).filter(|number| number % 3 != 0 && NOON + *number as i64 * 1_000 < cutoff).count() as u64;
    assert_eq!(store.count(&LogFilter::default()).unwrap(), 301 - old);
    assert_eq!(store.count(&LogFilter::default().is(LogField::Gateway, "side")).unwrap(), 100);
}

/// `count` records of two hours ago.
fn log_old(store: &Store, count: u64) {
    let old = now_ms() - 7_200_000;
    log_all(
        store,
        (0..count).map(|number| genesis_store::LogRecord { created_at_ms: old, ..record(number) }),
    );
    assert_eq!(store.count(&LogFilter::default()).unwrap(), count);
}

fn for_an_hour(upkeep_every: Duration, commit_interval: Duration) -> JournalOptions {
    let limit = Retention { max_age: Some(Duration::from_secs(3_600)), ..Retention::default() };
    JournalOptions {
        retention: Arc::new(move |_, _| limit),
        upkeep_every,
        commit_interval,
        ..JournalOptions::default()
    }
}

fn now_ms() -> i64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64
}

#[test]
fn what_is_too_old_goes_in_slices_between_which_records_are_written() {
    let place = Place::new();
    let store = place.open();
    log_old(&store, 9_000);
    // Nothing is committed but by the flushes below, each of which deletes one slice.
    let hour = Duration::from_secs(3_600);
    let journal = Journal::start(&store, for_an_hour(hour, hour));
    let mut left = vec![9_000];
    while left.last() != Some(&0) {
        let number = 10_000 + left.len() as u64;
        journal.push(genesis_store::LogRecord { created_at_ms: now_ms(), ..record(number) }, None);
        assert!(journal.flush(PATIENCE), "{:?}", journal.stats());
        let written = left.len() as u64;
        assert_eq!(journal.stats().written, written, "a writer does not wait for the deletion to end");
        left.push(store.count(&LogFilter::default()).unwrap() - written);
        assert!(left.len() < 20, "{left:?}");
    }
    // A slice ends with the page it ends in, here of a thousand records.
    assert!(left.windows(2).all(|pair| pair[0] > pair[1] && pair[0] - pair[1] <= 3_001), "{left:?}");
}

#[test]
fn what_is_too_old_goes_while_nothing_is_logged() {
    let place = Place::new();
    let store = place.open();
    log_old(&store, 50);
    let journal = Journal::start(&store, for_an_hour(Duration::from_millis(20), Duration::from_millis(1)));
    let deadline = std::time::Instant::now() + PATIENCE;
    while store.count(&LogFilter::default()).unwrap() > 0 {
        assert!(std::time::Instant::now() < deadline, "{:?}", journal.stats());
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(journal.stats().written, 0);
}

#[test]
fn values_of_a_metadata_key_beyond_those_told_apart_are_counted_together() {
    let place = Place::new();
    let store = place.open();
    log_all(
        &store,
        (0..400).map(|number| {
            let mut record = record(number);
            record.created_at_ms = NOON;
            record.metadata = json!({"user": number}).as_object().unwrap().clone();
            record
        }),
    );
    let query =
        AnalyticsQuery { group_by: vec![Dimension::Metadata("user".into())], ..AnalyticsQuery::default() };
    // Fresh totals tell all apart; once they are added up, only so many.
    let folded = Correction { id: id(0), cost_nano_usd: Some(42_000), price_id: None, price_formula: None };
    store.correct_costs(&[folded], NOON).unwrap();
    let rows = store.analytics(&query).unwrap();
    assert_eq!(rows.len(), 301);
    let other = rows.iter().find(|row| row.group == [Dimension::OTHER]).unwrap();
    assert_eq!(other.sums.requests, 100);
    let two = AnalyticsQuery {
        group_by: ["a", "b"].map(|key| Dimension::Metadata(key.into())).to_vec(),
        ..AnalyticsQuery::default()
    };
    assert_eq!(store.analytics(&two).unwrap_err().kind(), ErrorKind::Invalid);
}

// Backup

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_backup_made_while_the_journal_writes_restores_elsewhere() {
    let place = Place::new();
    let store = place.open();
    let secret = genesis_store::Secret::from("sk-0123456789");
    store.set_key("openai", "default", None, &secret, NOON).unwrap();
    log_many(&store, 200);
    let journal = Journal::start(&store, JournalOptions::default());
    let (bare, full) = (place.folder.path().join("bare.bak"), place.folder.path().join("full.bak"));
    journal.push(record(900), None);
    assert!(journal.flush(PATIENCE));
    assert!(!store.backup(&bare, false, NOON).unwrap());
    journal.push(record(901), None);
    assert!(journal.flush(PATIENCE));
    assert!(store.backup(&full, true, NOON + 1).unwrap());
    assert_eq!((mode(&bare), mode(&full)), (0o600, 0o600));
    assert_eq!(store.backup(&bare, false, NOON).unwrap_err().kind(), ErrorKind::Exists);
    assert_eq!(fs::read_dir(place.folder.path()).unwrap().count(), 3, "nothing is left over");

    let elsewhere = place.folder.path().join("new/genesis.db");
    let restored = Store::restore(&bare, &elsewhere, false, NOON + 2).unwrap();
    assert_eq!((restored.made_at_ms, restored.master_key), (NOON, false));
    let copy = Store::open(&elsewhere).unwrap();
    assert_eq!(copy.count(&LogFilter::default()).unwrap(), 201);
    assert_eq!(copy.keys().unwrap().len(), 1);
    assert_eq!(
        copy.open_keys().unwrap_err().kind(),
        ErrorKind::MasterKey,
        "its master key was not in the backup"
    );
    drop(copy);
    assert_eq!(Store::restore(&full, &elsewhere, false, NOON).unwrap_err().kind(), ErrorKind::Exists);
    let restored = Store::restore(&full, &elsewhere, true, NOON + 3).unwrap();
    assert!(restored.master_key && !restored.moved_aside.is_empty(), "{restored:?}");
    let copy = Store::open(&elsewhere).unwrap();
    assert_eq!(copy.open_keys().unwrap().len(), 1);
    assert_eq!(copy.count(&LogFilter::default()).unwrap(), 202);
    log_all(&copy, [record(902)]);
    assert_eq!(copy.count(&LogFilter::default()).unwrap(), 203);
    for file in fs::read_dir(elsewhere.parent().unwrap()).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

#[test]
fn what_is_no_backup_is_refused_before_anything_is_touched() {
    let place = Place::new();
    let store = place.open();
    log_all(&store, [record(1)]);
    let file = place.folder.path().join("x.bak");
    assert_eq!(Store::restore(&file, &place.path(), true, NOON).unwrap_err().kind(), ErrorKind::NotFound);
    fs::write(&file, "no database ".repeat(1_000)).unwrap();
    for other in [file.clone(), place.log_path()] {
        let refused = Store::restore(&other, &place.path(), true, NOON).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    }
    assert_eq!(store.count(&LogFilter::default()).unwrap(), 1);
}
