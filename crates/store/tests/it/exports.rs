//! Reading the log on from a place, for exports: everything once, in order, across pages, restarts and deletions.

use std::sync::{Arc, mpsc};

use genesis_store::{
    Journal, JournalOptions, LogCondition, LogField, LogFilter, LogPlace, LogSlice, LogStretch, Operator,
    Store, Strategy, Wake,
};

use crate::support::{PATIENCE, Place, keep, log_all, numbers, payload, record};

fn slice() -> LogSlice {
    LogSlice {
        gateways: Arc::new(|_, _| true),
        conditions: Vec::new(),
        with_bodies: false,
        max_records: 7,
        max_bytes: 1 << 20,
    }
}

fn of(gateway: &'static str) -> LogSlice {
    LogSlice { gateways: Arc::new(move |_, id| id == gateway), ..slice() }
}

fn found(stretch: &LogStretch) -> Vec<u64> {
    let records: Vec<_> = stretch.entries.iter().map(|entry| entry.record.clone()).collect();
    numbers(&records)
}

/// Everything after a place, read as an export does.
fn read_all(store: &Store, mut place: LogPlace, wanted: &LogSlice) -> Vec<u64> {
    let mut all = Vec::new();
    loop {
        let stretch = store.log_after(place, wanted).unwrap();
        assert!(stretch.entries.len() <= wanted.max_records);
        assert!(stretch.entries.iter().all(|entry| entry.place > place && entry.place <= stretch.reached));
        all.extend(found(&stretch));
        if !stretch.more {
            assert_eq!(stretch.reached, store.log_end().unwrap().max(place));
            return all;
        }
        assert!(stretch.reached > place, "it goes on");
        place = stretch.reached;
    }
}

/// Three gateways, small commits, so that pages of all ages and both kinds lie side by side.
fn fill(store: &Store, records: std::ops::Range<u64>) {
    let journal = Journal::start(store, JournalOptions { commit_records: 3, ..JournalOptions::default() });
    for number in records {
        let mut record = record(number);
        record.gateway =
            ["main", "slow", "other"][usize::from(number % 5 == 0) + usize::from(number % 7 == 0)].into();
        let bodies = payload(&record, format!("request {number}").as_bytes(), b"response");
        journal.push(record, Some(bodies));
    }
    assert!(journal.flush(PATIENCE));
}

#[test]
fn every_record_is_read_once_in_the_order_of_recording() {
    let place = Place::new();
    let store = place.open();
    assert_eq!(read_all(&store, LogPlace::START, &slice()), [0; 0], "no log yet");
    fill(&store, 0..2_000);
    assert_eq!(read_all(&store, LogPlace::START, &slice()), Vec::from_iter(0..2_000));
    let expected: Vec<u64> =
        (0..2_000).filter(|n| n % 5 == 0 && n % 7 != 0 || n % 5 != 0 && n % 7 == 0).collect();
    assert_eq!(read_all(&store, LogPlace::START, &of("slow")), expected);
    assert_eq!(store.log_behind(LogPlace::START, &of("slow")).unwrap(), expected.len() as u64);

    let end = store.log_end().unwrap();
    fill(&store, 2_000..2_100);
    assert_eq!(read_all(&store, end, &slice()), Vec::from_iter(2_000..2_100), "on from a place");
    assert_eq!(store.log_behind(end, &slice()).unwrap(), 100);
}

#[test]
fn behind_counts_on_from_the_middle_of_a_page() {
    let place = Place::new();
    let store = place.open();
    log_all(&store, (0..50).map(record));
    let stretch = store.log_after(LogPlace::START, &slice()).unwrap();
    assert_eq!((found(&stretch).len(), stretch.more), (7, true));
    assert_eq!(store.log_behind(stretch.reached, &slice()).unwrap(), 43);
}

#[test]
fn bodies_and_conditions_are_honoured_and_bytes_bound_a_stretch() {
    let place = Place::new();
    let store = place.open();
    fill(&store, 0..100);
    let wanted = LogSlice { with_bodies: true, max_bytes: 1, ..slice() };
    let stretch = store.log_after(LogPlace::START, &wanted).unwrap();
    assert_eq!((stretch.entries.len(), stretch.more), (1, true), "one is given however large it is");
    assert_eq!(stretch.entries[0].payload.as_ref().unwrap().request, "request 0");

    let condition =
        LogCondition { field: LogField::Path, operator: Operator::Equal, values: vec!["nowhere".into()] };
    let none =
        store.log_after(LogPlace::START, &LogSlice { conditions: vec![condition], ..slice() }).unwrap();
    assert!(none.entries.is_empty() && !none.more);
    assert_eq!(none.reached, store.log_end().unwrap(), "what is not wanted is passed");
}

#[test]
fn a_place_is_kept_and_others_are_forgotten() {
    let place = Place::new();
    let store = place.open();
    let journal = Journal::start(&store, JournalOptions::default());
    journal.note_export("early", LogPlace::START);
    assert!(journal.flush(PATIENCE), "also without a record");
    assert_eq!(store.export_place("early").unwrap(), Some(LogPlace::START));
    journal.push(record(1), None);
    assert!(journal.flush(PATIENCE));
    let end = store.log_end().unwrap();
    journal.note_export("early", end);
    journal.note_export("gone", end);
    journal.close();

    let store = place.open();
    assert_eq!(store.export_place("early").unwrap(), Some(end));
    assert_eq!(store.export_place("never").unwrap(), None);
    let journal = Journal::start(&store, JournalOptions::default());
    journal.keep_exports(["early".to_owned()]);
    assert!(journal.flush(PATIENCE));
    assert_eq!(store.export_place("gone").unwrap(), None);
    assert_eq!(store.export_place("early").unwrap(), Some(end));
}

#[test]
fn who_waits_is_woken_when_records_are_readable() {
    let place = Place::new();
    let store = place.open();
    let journal = Journal::start(&store, JournalOptions::default());
    let (send, woken) = mpsc::channel();
    let wake: Wake = Arc::new(move || send.send(()).unwrap());
    journal.wake(&wake);
    journal.push(record(1), None);
    woken.recv_timeout(PATIENCE).unwrap();
    assert_eq!(read_all(&store, LogPlace::START, &slice()), [1]);
    drop(wake);
    journal.push(record(2), None);
    assert!(journal.flush(PATIENCE));
    assert!(woken.try_recv().is_err(), "not any more");
}

#[test]
fn what_is_deleted_before_it_was_sent_is_counted() {
    let place = Place::new();
    let store = place.open();
    let journal = Journal::start(&store, keep(100, Strategy::DeleteOldest));
    journal.note_export("slow", LogPlace::START);
    for number in 0..60 {
        journal.push(record(number), None);
    }
    assert!(journal.flush(PATIENCE));
    // 47 have arrived when 150 more push out all but the last 100.
    let arrived = store.log_after(LogPlace::START, &LogSlice { max_records: 47, ..slice() }).unwrap();
    journal.note_export("slow", arrived.reached);
    assert!(journal.flush(PATIENCE));
    for number in 60..210 {
        journal.push(record(number), None);
    }
    assert!(journal.flush(PATIENCE));
    journal.close();
    let left = read_all(&store, arrived.reached, &slice());
    assert_eq!(left, Vec::from_iter(110..210));
    let lost = store.lost_before_export("slow").unwrap();
    assert_eq!(lost, [("main".to_owned(), 63)], "47 to 109");

    let filter = LogFilter { limit: 10, ..LogFilter::default() };
    assert_eq!(store.delete_logs(&filter).unwrap(), 10);
    assert_eq!(store.lost_before_export("slow").unwrap(), [("main".to_owned(), 73)], "by hand, too");
}
