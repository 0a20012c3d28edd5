//! Answers on disk.

use std::sync::mpsc::channel;
use std::time::Duration;

use bytes::Bytes;
use genesis_store::{CacheDisk, CacheKey, CacheOptions, CacheRow, Store};
use proptest::prelude::*;

use crate::support::{NOON, PATIENCE, Place};

const LATER: i64 = NOON * 2;

fn key(number: u64) -> CacheKey {
    let mut key = [7; 32];
    key[..8].copy_from_slice(&number.to_be_bytes());
    key
}

fn row(number: u64, gateway: &str, data: &[u8]) -> CacheRow {
    CacheRow {
        key: key(number),
        gateway: gateway.to_owned(),
        expires_at_ms: LATER,
        data: Bytes::copy_from_slice(data),
    }
}

fn start(store: &Store) -> CacheDisk {
    CacheDisk::start(store, CacheOptions::default())
}

fn find(disk: &CacheDisk, number: u64) -> Option<Bytes> {
    let (tell, told) = channel();
    disk.ask(key(number), NOON, Box::new(move |found| tell.send(found).unwrap()));
    told.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn answers_are_found_again_also_after_a_restart() {
    let place = Place::new();
    let store = place.open();
    let disk = start(&store);
    disk.put(row(1, "main", b"one"));
    disk.put(row(2, "main", b"two"));
    disk.put(row(1, "main", b"one again"));
    assert!(disk.flush(PATIENCE));
    for _ in 0..2 {
        assert_eq!(find(&disk, 1).as_deref(), Some(&b"one again"[..]));
        assert_eq!(find(&disk, 3), None);
        assert!(disk.may_have(&key(1)) && !disk.may_have(&key(3)));
    }
    drop(disk);
    let disk = start(&store);
    assert_eq!(find(&disk, 2).as_deref(), Some(&b"two"[..]));
    assert!(disk.flush(PATIENCE), "the index is read by now");
    assert!(disk.may_have(&key(2)) && !disk.may_have(&key(3)));
    assert_eq!(disk.stats().answers, 2);
}

#[test]
fn what_is_handed_over_before_the_end_is_written() {
    let place = Place::new();
    let store = place.open();
    let disk = start(&store);
    for number in 0..500 {
        disk.put(row(number, "main", b"x"));
    }
    disk.close();
    disk.ask(key(1), NOON, Box::new(|found| assert_eq!(found, None)));
    let disk = start(&store);
    assert_eq!(find(&disk, 499).as_deref(), Some(&b"x"[..]));
}

#[test]
fn expired_answers_are_not_found_and_go_in_steps() {
    let place = Place::new();
    let store = place.open();
    let disk = start(&store);
    for number in 0..450 {
        disk.put(CacheRow { expires_at_ms: 1, ..row(number, "main", b"old") });
    }
    disk.put(row(1_000, "main", b"new"));
    // One step after each commit.
    for _ in 0..4 {
        assert!(disk.flush(PATIENCE));
    }
    assert_eq!(find(&disk, 0), None);
    assert_eq!(find(&disk, 1_000).as_deref(), Some(&b"new"[..]));
    assert_eq!(disk.stats().answers, 1);
    assert!(!disk.may_have(&key(3)));
}

#[test]
fn the_oldest_go_when_there_is_no_room() {
    let place = Place::new();
    let store = place.open();
    let options = CacheOptions { disk_bytes: 50_000, ..CacheOptions::default() };
    let disk = CacheDisk::start(&store, options);
    for number in 0..100 {
        disk.put(row(number, "main", &[b'x'; 1_000]));
        if number % 10 == 0 {
            assert!(disk.flush(PATIENCE));
        }
    }
    for _ in 0..3 {
        assert!(disk.flush(PATIENCE));
    }
    let uses = store.cache_use(NOON).unwrap();
    assert!(uses[0].bytes <= 50_000 && uses[0].bytes > 40_000, "{uses:?}");
    assert_eq!(find(&disk, 0), None);
    assert!(find(&disk, 99).is_some());
}

#[test]
fn a_purge_takes_one_gateway_or_all_and_leaves_word() {
    let place = Place::new();
    let store = place.open();
    assert_eq!(store.cache_use(NOON).unwrap(), []);
    assert_eq!(store.cache_purges(0).unwrap(), (0, vec![]));
    let disk = start(&store);
    for (number, gateway) in [(1, "a"), (2, "a"), (3, "b")] {
        disk.put(row(number, gateway, b"x"));
    }
    disk.put(CacheRow { expires_at_ms: NOON, ..row(4, "b", b"x") });
    disk.flush(PATIENCE);
    // By a command, in another process.
    let other = place.open();
    assert_eq!(other.purge_cache(Some("a"), NOON).unwrap(), 2);
    assert_eq!((find(&disk, 1), find(&disk, 3).is_some()), (None, true));
    assert_eq!(store.cache_purges(0).unwrap(), (1, vec![Some("a".to_owned())]));
    assert_eq!(other.purge_cache(None, NOON).unwrap(), 1);
    assert_eq!(store.cache_purges(1).unwrap(), (2, vec![None]));
    assert_eq!(store.cache_purges(2).unwrap(), (2, vec![]));
    // By the gateway itself.
    for (number, gateway) in [(1, "a"), (3, "b")] {
        disk.put(row(number, gateway, b"x"));
    }
    disk.purge(Some("b"));
    disk.flush(PATIENCE);
    assert_eq!((find(&disk, 1).is_some(), find(&disk, 3)), (true, None));
    assert!(!disk.may_have(&key(3)));
    let uses = store.cache_use(NOON).unwrap();
    assert_eq!((uses.len(), uses[0].gateway.as_str(), uses[0].answers, uses[0].expired), (1, "a", 1, 0));
}

#[test]
fn a_file_that_cannot_be_used_is_only_a_miss() {
    let place = Place::new();
    let store = place.open();
    let path = place.folder.path().join("home/genesis-cache.db");
    std::fs::write(&path, b"this is no database, and long enough to be told from an empty one").unwrap();
    let disk = start(&store);
    disk.put(row(1, "main", b"x"));
    assert!(disk.flush(PATIENCE));
    assert_eq!(find(&disk, 1), None);
    let stats = disk.stats();
    assert_eq!((stats.written, stats.dropped), (0, 1));
    assert!(stats.failed_commits > 0);
}

#[test]
fn a_deleted_file_is_begun_anew() {
    let place = Place::new();
    let store = place.open();
    let disk = start(&store);
    disk.put(row(1, "main", b"x"));
    assert!(disk.flush(PATIENCE));
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(place.folder.path().join(format!("home/genesis-cache.db{end}")));
    }
    // What meets the loss is dropped; after a pause the file is there again.
    for number in 0..200 {
        disk.put(row(2, "main", b"y"));
        assert!(disk.flush(PATIENCE));
        if find(&disk, 2).is_some() {
            return;
        }
        assert!(number < 199, "the file was never begun anew");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn a_full_queue_drops_and_counts() {
    let place = Place::new();
    let store = place.open();
    let options = CacheOptions { queue_bytes: 10, ..CacheOptions::default() };
    let disk = CacheDisk::start(&store, options);
    disk.put(row(1, "main", b"longer than the queue"));
    assert!(disk.flush(PATIENCE));
    assert_eq!(disk.stats().dropped, 1);
    disk.put(row(2, "main", b"short"));
    assert!(disk.flush(PATIENCE));
    assert_eq!(disk.stats().written, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    /// Whatever is put and purged in whatever order, what is found is what was put last and not purged since.
    #[test]
    fn it_behaves_like_a_map(steps in prop::collection::vec((0..6_u64, 0..3_u8, prop::collection::vec(any::<u8>(), 0..50)), 1..40)) {
        let place = Place::new();
        let disk = start(&place.open());
        let mut model = std::collections::HashMap::new();
        for (number, step, data) in steps {
            let gateway = if number % 2 == 0 { "even" } else { "odd" };
            match step {
                0 => {
                    disk.purge(Some(gateway));
                    model.retain(|kept, _| kept % 2 != number % 2);
                }
                _ => {
                    disk.put(row(number, gateway, &data));
                    model.insert(number, data);
                }
            }
        }
        prop_assert!(disk.flush(PATIENCE));
        for number in 0..6 {
            prop_assert_eq!(find(&disk, number).map(|data| data.to_vec()), model.get(&number).cloned());
        }
    }
}
