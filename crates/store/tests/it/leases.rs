//! What limits have used outlives the process, and belongs to one process at a time.

use genesis_store::{ErrorKind, Lease, Leases};

use crate::support::Place;

fn lease(key: &str, slot: i64, amount: u64, ends_at_ms: i64) -> Lease {
    Lease { gateway: "prod".to_owned(), key: key.to_owned(), slot, amount, ends_at_ms }
}

#[test]
fn leases_are_found_again_until_they_end() {
    let place = Place::new();
    let mut leases = Leases::open(&place.path()).unwrap();
    assert_eq!(leases.read(0).unwrap(), []);
    let written = [lease("a", 1, 5, 100), lease("a", 2, u64::MAX, 200), lease("b", 1, 0, 300)];
    leases.write(&written, 0).unwrap();
    leases.write(&[lease("b", 1, 7, 300)], 0).unwrap();
    drop(leases);

    let mut leases = Leases::open(&place.path()).unwrap();
    let kept = [lease("a", 2, i64::MAX.unsigned_abs(), 200), lease("b", 1, 7, 300)];
    assert_eq!(leases.read(100).unwrap(), kept);
    leases.write(&[], 250).unwrap();
    assert_eq!(leases.read(0).unwrap(), [lease("b", 1, 7, 300)], "what ended was forgotten");
}

#[test]
fn one_process_at_a_time() {
    let place = Place::new();
    let first = Leases::open(&place.path()).unwrap();
    let error = Leases::open(&place.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.to_string().contains("genesis-limits.db is held by another gateway"), "{error}");
    drop(first);
    Leases::open(&place.path()).unwrap();
}

#[test]
fn a_record_that_vanished_is_an_error_and_no_loss_in_silence() {
    let place = Place::new();
    let mut leases = Leases::open(&place.path()).unwrap();
    std::fs::remove_file(place.path().with_file_name("genesis-limits.db")).unwrap();
    assert_eq!(leases.write(&[lease("a", 1, 5, 100)], 0).unwrap_err().kind(), ErrorKind::NotFound);
}
