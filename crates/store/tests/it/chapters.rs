//! Chapters: what they tell stays right when texts are too many to be listed, records are deleted, or a log is old.

use std::{sync::Arc, time::Duration};

use genesis_store::{
    Journal, JournalOptions, LogField, LogFilter, LogOrder, LogRecord, LogSlice, LogValue, Operator,
    Retention, Store, Strategy,
};
use rusqlite::Connection;

use crate::support::{NOON, PATIENCE, Place, keep, numbers, record};

/// A record whose event id and error are like no other's, and long: a chapter cannot list them all. Five fill a page.
fn unlike(number: u64) -> LogRecord {
    LogRecord {
        event_id: format!("event-{number}-{}", "e".repeat(1_000)),
        error: format!("failed at {number}: {}", "x".repeat(1_000)),
        model: if number == 77 { "rare".into() } else { "common".into() },
        cost_nano_usd: Some(number as i64 * 7_919 % 1_000),
        request_head: "h".repeat(16_000),
        ..record(number)
    }
}

fn options() -> JournalOptions {
    JournalOptions { commit_records: 10, pages_in_chapter: 8, ..JournalOptions::default() }
}

fn write(store: &Store, options: JournalOptions, records: std::ops::Range<u64>) {
    let journal = Journal::start(store, options);
    records.for_each(|number| journal.push(unlike(number), None));
    assert!(journal.flush(PATIENCE), "{:?}", journal.stats());
}

fn scalar(place: &Place, sql: &str) -> i64 {
    Connection::open(place.log_path()).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

const CHAPTERS: &str = "SELECT count(*) FROM chapter";
/// Pages that are in no chapter but say so, or the other way round; chapters without data, or data without a chapter.
const DISAGREEMENTS: &str =
    "SELECT (SELECT abs(count(*) - (SELECT ifnull(sum(pages), 0) FROM chapter)) FROM page WHERE sealed = 2)
    + (SELECT count(*) FROM chapter_data WHERE last_seq NOT IN (SELECT last_seq FROM chapter))
    + (SELECT count(*) FROM chapter WHERE last_seq NOT IN (SELECT last_seq FROM chapter_data))";

/// Every question, and what it must find.
fn check(store: &Store, left: &[u64]) {
    let find = |filter: LogFilter| numbers(&store.logs(&LogFilter { limit: 1_000, ..filter }).unwrap());
    let is = |field, value: String| LogFilter::default().is(field, value);
    for number in (0..420).step_by(21).chain([77]) {
        let wanted: Vec<u64> = left.iter().copied().filter(|other| *other == number).collect();
        assert_eq!(find(is(LogField::EventId, unlike(number).event_id)), wanted, "{number}");
        assert_eq!(find(is(LogField::Error, unlike(number).error)), wanted, "{number}");
        let part = LogFilter { search: Some(format!("AT {number}: ")), ..LogFilter::default() };
        assert_eq!(find(part), wanted, "{number}");
    }
    assert!(find(is(LogField::EventId, "none".into())).is_empty());
    assert_eq!(find(is(LogField::Model, "rare".into())).len(), usize::from(left.contains(&77)));
    assert!(find(LogFilter::default().with(LogField::Cost, Operator::Greater, 1_000)).is_empty());
    let count = |filter| store.count(&filter).unwrap() as usize;
    assert_eq!(count(LogFilter::default()), left.len());
    assert_eq!(
        count(is(LogField::Model, "common".into())),
        left.iter().filter(|number| **number != 77).count()
    );
    let costs = left.iter().map(|number| unlike(*number).cost_nano_usd.unwrap());
    let ranges = store.log_ranges(&LogFilter::default()).unwrap();
    assert_eq!(ranges.cost_nano_usd, costs.clone().min().zip(costs.clone().max()));
    let dearest =
        store.logs(&LogFilter { order: LogOrder::Cost, limit: 10, ..LogFilter::default() }).unwrap();
    let mut costs: Vec<Option<i64>> = costs.map(Some).collect();
    costs.sort_unstable_by(|one, two| two.cmp(one));
    costs.truncate(10);
    assert_eq!(dearest.iter().map(|record| record.cost_nano_usd).collect::<Vec<_>>(), costs);
}

#[test]
fn what_is_too_much_to_list_is_found() {
    let place = Place::new();
    let store = place.open();
    write(&store, options(), 0..420);
    assert!(scalar(&place, CHAPTERS) >= 4);
    assert!(scalar(&place, "SELECT min(length(signatures)) FROM chapter_data") > 0);
    assert_eq!(scalar(&place, DISAGREEMENTS), 0);
    check(&store, &Vec::from_iter(0..420));
}

#[test]
fn deleted_records_are_in_no_chapter() {
    let place = Place::new();
    let store = place.open();
    write(&store, options(), 0..420);
    let is_doomed = |number: &u64| number.is_multiple_of(3) || (100..160).contains(number);
    let doomed = LogFilter { limit: 1_000, ..LogFilter::default() };
    let doomed = (0..420).filter(is_doomed).fold(doomed, |mut filter, number| {
        let value = LogValue::Text(record(number).id.to_string());
        match filter.conditions.first_mut() {
            Some(condition) => condition.values.push(value),
            None => filter = filter.is(LogField::Id, value),
        }
        filter
    });
    let left: Vec<u64> = (0..420).filter(|number| !is_doomed(number)).collect();
    assert_eq!(store.delete_logs(&doomed).unwrap() as usize, 420 - left.len());
    assert_eq!(scalar(&place, DISAGREEMENTS), 0);
    check(&store, &left);
    // Nothing is left to go by estimates, and the journal goes on.
    assert_eq!(scalar(&place, "SELECT count(*) FROM chapter WHERE thinned"), 0);
    write(&store, options(), 420..500);
    check(&store, &[left, Vec::from_iter(420..500)].concat());
}

#[test]
fn retention_takes_chapters_along() {
    let place = Place::new();
    let store = place.open();
    write(
        &store,
        JournalOptions { retention: keep(130, Strategy::DeleteOldest).retention, ..options() },
        0..420,
    );
    assert_eq!(scalar(&place, DISAGREEMENTS), 0);
    check(&store, &Vec::from_iter(290..420));
    // By age: all that is older than ten minutes before the end, though the clock says that all of it is old.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let age = Duration::from_millis((now - NOON - 400_000).try_into().unwrap_or(0));
    let by_age = Retention { max_age: Some(age), ..Retention::default() };
    write(&store, JournalOptions { retention: Arc::new(move |_, _| by_age), ..options() }, 420..421);
    assert_eq!(scalar(&place, DISAGREEMENTS), 0);
    let oldest = store.logs(&LogFilter { limit: 1_000, ..LogFilter::default() }).unwrap();
    check(&store, &Vec::from_iter(421 - oldest.len() as u64..421));
}

/// A log of the third schema is put into chapters by the journal, without being asked and without a record pushed.
#[test]
fn an_older_log_gets_its_chapters_in_the_background() {
    let place = Place::new();
    let store = place.open();
    write(&store, options(), 0..420);
    let log = Connection::open(place.log_path()).unwrap();
    log.execute_batch(
        "DROP TABLE chapter; DROP TABLE chapter_data; UPDATE page SET sealed = 1 WHERE sealed; PRAGMA user_version = 3;",
    )
    .unwrap();
    drop(log);
    let deadline = std::time::Instant::now() + PATIENCE;
    let journal = Journal::start(&store, options());
    // Each commit makes one; they go on by themselves.
    while scalar(&place, "PRAGMA user_version") == 3 {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
    while scalar(&place, "SELECT count(*) FROM page WHERE sealed = 1") >= 8 {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
    drop(journal);
    assert!(scalar(&place, CHAPTERS) >= 4);
    assert_eq!(scalar(&place, DISAGREEMENTS), 0);
    check(&store, &Vec::from_iter(0..420));
}

/// Exports and evaluations read records past the summaries, and have to find them all the same.
#[test]
fn who_reads_every_record_finds_those_in_chapters_too() {
    let place = Place::new();
    let store = place.open();
    let end = store.log_end().unwrap();
    write(&store, options(), 0..420);
    assert!(scalar(&place, CHAPTERS) > 0);
    let slice = LogSlice {
        gateways: Arc::new(|_, _| true),
        conditions: Vec::new(),
        with_bodies: false,
        max_records: 100,
        max_bytes: 64 << 20,
    };
    assert_eq!(store.log_behind(end, &slice).unwrap(), 420);
    let mut at = end;
    let mut read = Vec::new();
    loop {
        let stretch = store.log_after(at, &slice).unwrap();
        read.extend(numbers(&stretch.entries.iter().map(|entry| entry.record.clone()).collect::<Vec<_>>()));
        at = stretch.reached;
        if !stretch.more {
            break;
        }
    }
    assert_eq!(read, Vec::from_iter(0..420));
    let rare = LogFilter::default().is(LogField::Model, "rare");
    let some = LogFilter::default().with(LogField::Cost, Operator::Less, 500);
    let cheap = (0..420).filter(|number| unlike(*number).cost_nano_usd < Some(500)).count() as u64;
    let tally = store.tally_logs(&[some, rare]).unwrap();
    let costs = |wanted: fn(u64) -> bool| -> i64 {
        (0..420).filter(|number| wanted(*number)).filter_map(|number| unlike(number).cost_nano_usd).sum()
    };
    assert_eq!(unlike(77).cost_nano_usd, Some(77 * 7_919 % 1_000), "counted once, by whichever filter");
    let rare_is_cheap = unlike(77).cost_nano_usd < Some(500);
    assert_eq!(tally.count, cheap + u64::from(!rare_is_cheap));
    assert_eq!(tally.cost_nano_usd, costs(|number| number == 77 || unlike(number).cost_nano_usd < Some(500)));
}
