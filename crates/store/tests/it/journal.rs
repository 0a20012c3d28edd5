//! The journal: bounds, retention, and stores that fall ill and recover.

use std::{
    fs,
    os::unix::fs::FileExt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use genesis_store::{
    Direction, GroupBy, Journal, JournalOptions, JournalStats, LogField, LogFilter, Retention, Store,
    Strategy, UsageQuery,
};
use rusqlite::Connection;

use crate::support::{PATIENCE, Place, id, keep, log_all, numbers, payload, record};

fn oldest_first(store: &Store) -> Vec<u64> {
    let filter = LogFilter { direction: Direction::Ascending, limit: usize::MAX, ..Default::default() };
    numbers(&store.logs(&filter).unwrap())
}

/// Waits, without a fixed sleep, until the journal looks as it should.
fn until(journal: &Journal, wanted: impl Fn(&JournalStats) -> bool) -> JournalStats {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stats = journal.stats();
        if wanted(&stats) {
            return stats;
        }
        assert!(Instant::now() < deadline, "{stats:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn records_are_written_in_order_within_the_interval_without_being_asked() {
    let place = Place::new();
    let store = place.open();
    let journal = Journal::start(&store, JournalOptions::default());
    (0..2_500).for_each(|number| journal.push(record(number), None));
    until(&journal, |stats| stats.written == 2_500 && stats.pending == 0);
    assert_eq!(oldest_first(&store), (0..2_500).collect::<Vec<_>>());
    // Parked by now, or about to: a push wakes it all the same.
    thread::sleep(Duration::from_millis(400));
    journal.push(record(2_500), None);
    let stats = until(&journal, |stats| stats.written == 2_501);
    assert_eq!(stats, JournalStats { written: 2_501, healthy: true, ..Default::default() });
}

#[test]
fn many_threads_lose_nothing() {
    let place = Place::new();
    let store = place.open();
    let journal = Journal::start(&store, JournalOptions::default());
    thread::scope(|scope| {
        for thread in 0..4 {
            let journal = &journal;
            scope.spawn(move || {
                (0..1_000).for_each(|number| journal.push(record(thread * 1_000 + number), None))
            });
        }
    });
    journal.close();
    assert_eq!(journal.stats().written, 4_000);
    let mut found = oldest_first(&store);
    found.sort_unstable();
    assert_eq!(found, (0..4_000).collect::<Vec<_>>());
    journal.push(record(1), None);
    assert_eq!(journal.stats().dropped_records, 1, "after the end nothing is taken, and that is counted");
    assert!(!journal.flush(Duration::ZERO));
}

#[test]
fn a_full_queue_drops_the_oldest_and_counts_them() {
    let place = Place::new();
    let store = place.open();
    let options = JournalOptions {
        capacity_records: 100,
        commit_interval: Duration::from_secs(3_600),
        ..Default::default()
    };
    let journal = Journal::start(&store, options);
    (0..1_000).for_each(|number| journal.push(record(number), None));
    assert!(journal.flush(PATIENCE));
    let stats = journal.stats();
    assert_eq!(stats.written + stats.dropped_records, 1_000, "{stats:?}");
    assert!(stats.written >= 100 && stats.pending == 0, "{stats:?}");
    assert_eq!(oldest_first(&store)[stats.written as usize - 100..], (900..1_000).collect::<Vec<_>>());
}

#[test]
fn delete_oldest_keeps_the_newest_of_each_gateway() {
    let place = Place::new();
    let store = place.open();
    let journal =
        Journal::start(&store, JournalOptions { commit_records: 64, ..keep(100, Strategy::DeleteOldest) });
    for number in 0..1_000 {
        let mut record = record(number);
        record.gateway = if number % 10 == 0 { "rare" } else { "busy" }.into();
        let payload = payload(&record, &[b'q'; 3_000], number.to_string().as_bytes());
        journal.push(record, Some(payload));
    }
    assert!(journal.flush(PATIENCE));
    let of = |gateway: &str| -> Vec<u64> {
        let filter = LogFilter { direction: Direction::Ascending, limit: 10_000, ..Default::default() };
        let filter = filter.is(LogField::Gateway, gateway);
        numbers(&store.logs(&filter).unwrap())
    };
    assert_eq!(of("rare"), (0..1_000).step_by(10).collect::<Vec<_>>());
    assert_eq!(of("busy"), (0..1_000).filter(|number| number % 10 != 0).skip(800).collect::<Vec<_>>());
    for number in of("busy") {
        let (_, payload) = store.log(&id(number).to_string()).unwrap().unwrap();
        assert_eq!(payload.unwrap().response, number.to_string().as_bytes());
    }
    // No block outlives its records, and the totals remember all.
    let log = Connection::open(place.log_path()).unwrap();
    let orphans: i64 = log
        .query_row("SELECT (SELECT count(*) FROM bodies WHERE NOT EXISTS (SELECT 1 FROM page WHERE number BETWEEN first_block AND
                 last_block)) + (SELECT count(*) FROM page_data WHERE last_seq NOT IN (SELECT last_seq FROM page))", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(orphans, 0);
    assert_eq!(
        store.usage(&UsageQuery { group_by: GroupBy::Total, ..Default::default() }).unwrap()[0].requests,
        1_000
    );
}

#[test]
fn a_lowered_limit_is_reached_in_slices_while_nothing_is_pushed() {
    let place = Place::new();
    let store = place.open();
    let limit = Arc::new(AtomicU64::new(1_000_000));
    let asked = Arc::clone(&limit);
    let journal = Journal::start(
        &store,
        JournalOptions {
            retention: Arc::new(move |_, _| Retention {
                max_rows: asked.load(Ordering::Relaxed),
                ..Retention::default()
            }),
            commit_interval: Duration::from_millis(5),
            ..Default::default()
        },
    );
    (0..9_000).for_each(|number| journal.push(record(number), None));
    assert!(journal.flush(PATIENCE));
    limit.store(10, Ordering::Relaxed);
    journal.push(record(9_000), None);
    let deadline = Instant::now() + PATIENCE;
    while store.count(&LogFilter::default()).unwrap() > 10 {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(oldest_first(&store), (8_991..=9_000).collect::<Vec<_>>());
}

#[test]
fn stop_inserting_refuses_and_counts() {
    let place = Place::new();
    let store = place.open();
    let journal = Journal::start(&store, keep(10, Strategy::StopInserting));
    (0..15).for_each(|number| journal.push(record(number), None));
    assert!(journal.flush(PATIENCE));
    journal.push(record(15), None);
    assert!(journal.flush(PATIENCE));
    let stats = journal.stats();
    assert_eq!((stats.written, stats.refused, stats.dropped_records, stats.pending), (10, 6, 0, 0));
    drop(journal);
    // The next run knows how full it is.
    let journal = Journal::start(&store, keep(11, Strategy::StopInserting));
    (16..18).for_each(|number| journal.push(record(number), None));
    assert!(journal.flush(PATIENCE));
    assert_eq!(oldest_first(&store), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16]);
    assert_eq!(store.usage(&UsageQuery::default()).unwrap()[0].requests, 18);
}

#[test]
fn a_limit_of_none_keeps_only_the_totals() {
    let place = Place::new();
    let store = place.open();
    let journal = Journal::start(&store, keep(0, Strategy::DeleteOldest));
    (0..5).for_each(|number| journal.push(record(number), None));
    assert!(journal.flush(PATIENCE));
    assert_eq!(journal.stats().refused, 5);
    assert_eq!(store.count(&LogFilter::default()).unwrap(), 0);
    assert_eq!(store.usage(&UsageQuery::default()).unwrap()[0].requests, 5);
}

#[test]
fn bodies_beyond_the_rate_are_shed_oldest_first_and_counted() {
    let place = Place::new();
    let store = place.open();
    let options = JournalOptions {
        payload_bytes_per_second: 10_000,
        commit_interval: Duration::from_secs(3_600),
        ..Default::default()
    };
    let journal = Journal::start(&store, options);
    for number in 0..100 {
        let record = record(number);
        let payload = payload(&record, &[1; 600], &[2; 400]);
        journal.push(record, Some(payload));
    }
    assert!(journal.flush(PATIENCE));
    let stats = journal.stats();
    assert_eq!((stats.written, stats.dropped_records), (100, 0));
    assert!((80..=95).contains(&stats.dropped_payloads), "{stats:?}");
    let has_bodies = |number| store.log(&id(number).to_string()).unwrap().unwrap().1.is_some();
    assert!(has_bodies(99));
    assert_eq!((0..100).filter(|number| has_bodies(*number)).count() as u64, 100 - stats.dropped_payloads);
}

#[test]
fn bodies_beyond_the_memory_are_dropped_and_counted() {
    let place = Place::new();
    let store = place.open();
    let options = JournalOptions {
        payload_bytes: 4_000,
        commit_interval: Duration::from_secs(3_600),
        ..Default::default()
    };
    let journal = Journal::start(&store, options);
    for number in 0..50 {
        let record = record(number);
        let payload = payload(&record, &[1; 600], &[2; 400]);
        journal.push(record, Some(payload));
    }
    assert!(journal.flush(PATIENCE));
    let stats = journal.stats();
    assert_eq!(stats.written, 50);
    assert!(stats.dropped_payloads >= 40 && stats.dropped_payloads < 50, "{stats:?}");
}

#[test]
fn a_locked_store_is_waited_for() {
    let place = Place::new();
    let store = place.open();
    log_all(&store, [record(0)]);
    let locker = Connection::open(place.log_path()).unwrap();
    locker.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let journal = Journal::start(&store, JournalOptions { capacity_records: 10, ..Default::default() });
    journal.push(record(1), None);
    let ill = until(&journal, |stats| stats.failed_commits > 0);
    assert!(!ill.healthy && ill.last_error.unwrap().contains("locked by another process"));
    assert_eq!((ill.written, ill.pending), (0, 1));
    // The other promise: nothing else is held up by it.
    store.create_token(genesis_store::NewToken { name: "t".into(), ..Default::default() }, 0).unwrap();
    (2..40).for_each(|number| journal.push(record(number), None));
    let full = until(&journal, |stats| stats.dropped_records > 0);
    assert_eq!(full.written, 0);
    locker.execute_batch("ROLLBACK").unwrap();
    assert!(journal.flush(PATIENCE));
    let well = journal.stats();
    assert!(well.healthy && well.last_error.is_none(), "{well:?}");
    assert_eq!(well.written + well.dropped_records, 39);
    // The oldest went first; the newest are all there.
    let found = oldest_first(&store);
    assert!(found.ends_with(&(30..40).collect::<Vec<_>>()), "{found:?}");
}

#[test]
fn a_flush_begun_while_the_store_is_ill_is_answered_once_it_recovers() {
    let place = Place::new();
    let store = place.open();
    log_all(&store, [record(0)]);
    let locker = Connection::open(place.log_path()).unwrap();
    locker.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let journal = Journal::start(&store, JournalOptions::default());
    journal.push(record(1), None);
    thread::scope(|scope| {
        let flush = scope.spawn(|| journal.flush(PATIENCE));
        until(&journal, |stats| stats.failed_commits > 1);
        locker.execute_batch("ROLLBACK").unwrap();
        assert!(flush.join().unwrap(), "{:?}", journal.stats());
    });
    assert_eq!(oldest_first(&store), [0, 1]);
}

#[test]
fn a_full_disk_is_waited_for() {
    let place = Place::new();
    let store = place.open();
    let options = JournalOptions { max_file_bytes: Some(400_000), ..keep(1_000_000, Strategy::DeleteOldest) };
    let journal = Journal::start(&store, options);
    let noise = |number: u64| -> Vec<u8> {
        (0..30_000u64).map(|at| ((at + number).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
    };
    let push = |number: u64| {
        let record = record(number);
        let payload = payload(&record, &noise(number), &[]);
        journal.push(record, Some(payload));
    };
    let mut number = 0;
    while journal.stats().healthy {
        push(number);
        number += 1;
        journal.flush(Duration::from_millis(500));
        assert!(number < 100, "the limit was never reached");
    }
    let ill = journal.stats();
    assert!(ill.last_error.as_ref().unwrap().contains("no space left"), "{ill:?}");
    assert!(ill.pending >= 1 && ill.dropped_records == 0, "{ill:?}");
    // Somebody makes room.
    let log = Connection::open(place.log_path()).unwrap();
    log.busy_timeout(PATIENCE).unwrap();
    log.execute_batch(
        "DELETE FROM page; DELETE FROM page_data; DELETE FROM bodies; UPDATE source SET records = 0;",
    )
    .unwrap();
    drop(log);
    assert!(journal.flush(PATIENCE), "{:?}", journal.stats());
    let well = journal.stats();
    assert!(well.healthy && well.pending == 0 && well.written == number, "{well:?}");
}

#[test]
fn a_read_only_store_is_waited_for() {
    let place = Place::new();
    let store = place.open();
    log_all(&store, [record(0)]);
    // The write version in the file's header: a value SQLite does not know means "for reading only". Works for every
    // user, unlike file modes.
    let file = fs::OpenOptions::new().write(true).open(place.log_path()).unwrap();
    file.write_all_at(&[3], 18).unwrap();
    let journal = Journal::start(&store, JournalOptions::default());
    journal.push(record(1), None);
    let ill = until(&journal, |stats| stats.failed_commits > 0);
    assert!(ill.last_error.unwrap().contains("cannot be written"));
    file.write_all_at(&[2], 18).unwrap();
    assert!(journal.flush(PATIENCE), "{:?}", journal.stats());
    assert_eq!(oldest_first(&store), [0, 1]);
}

#[test]
fn a_deleted_log_is_begun_anew() {
    let place = Place::new();
    let store = place.open();
    let journal = Journal::start(&store, JournalOptions::default());
    journal.push(record(0), None);
    assert!(journal.flush(PATIENCE));
    assert_eq!(oldest_first(&store), [0]);
    fs::remove_file(place.log_path()).unwrap();
    journal.push(record(1), None);
    assert!(journal.flush(PATIENCE));
    assert_eq!(oldest_first(&store), [1]);
    // And a folder that cannot be created is an illness like others.
    fs::remove_dir_all(place.log_path().parent().unwrap()).unwrap();
    fs::write(place.log_path().parent().unwrap(), "in the way").unwrap();
    journal.push(record(2), None);
    until(&journal, |stats| !stats.healthy && stats.pending == 1);
    fs::remove_file(place.log_path().parent().unwrap()).unwrap();
    assert!(journal.flush(PATIENCE), "{:?}", journal.stats());
    assert_eq!(journal.stats().written, 3);
}

#[test]
fn a_damaged_log_does_not_hold_up_the_end() {
    let place = Place::new();
    let store = place.open();
    fs::write(
        place.log_path(),
        b"this is no database, although it is long enough to look like one".repeat(100),
    )
    .unwrap();
    let journal = Journal::start(&store, JournalOptions::default());
    (0..3).for_each(|number| journal.push(record(number), None));
    let ill = until(&journal, |stats| stats.failed_commits > 0);
    assert!(ill.last_error.unwrap().contains("is damaged or no database"));
    journal.close();
    let end = journal.stats();
    assert_eq!((end.written, end.dropped_records, end.pending), (0, 3, 0));
    assert!(!end.healthy);
}

/// Small and large, alone and beside each other: some stand behind their record on the way, some apart.
#[test]
fn bodies_of_all_sizes_come_back() {
    let place = Place::new();
    let store = place.open();
    let journal = Journal::start(&store, JournalOptions::default());
    let sizes =
        [(0, 0), (0, 7), (300, 0), (1_000, 31_000), (500, 40_000), (200_000, 100), (300_000, 300_000)];
    let body = |number: usize, size: usize| -> Vec<u8> {
        format!("body {number} ").into_bytes().into_iter().cycle().take(size).collect()
    };
    for (number, (request, response)) in sizes.into_iter().enumerate() {
        let record = record(number as u64);
        let payload = payload(&record, &body(number, request), &body(number + 10, response));
        journal.push(record, Some(payload));
    }
    assert!(journal.flush(PATIENCE));
    let check = |left: &[usize]| {
        for number in left {
            let (_, payload) = store.log(&id(*number as u64).to_string()).unwrap().unwrap();
            let (payload, (request, response)) = (payload.unwrap(), sizes[*number]);
            assert_eq!(payload.request, body(*number, request), "{number}");
            assert_eq!(payload.response, body(*number + 10, response), "{number}");
        }
    };
    check(&[0, 1, 2, 3, 4, 5, 6]);
    // Blocks are written anew without the bodies of what is deleted.
    let doomed = LogFilter::default().is(LogField::Id, id(3).to_string());
    assert_eq!(store.delete_logs(&doomed).unwrap(), 1);
    check(&[0, 1, 2, 4, 5, 6]);
}
