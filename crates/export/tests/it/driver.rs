//! What arrives, in which order, whatever the receiver does.

use std::collections::BTreeSet;
use std::sync::Arc;

use genesis_export::{Export, Selection};
use genesis_store::{JournalOptions, Retention};

use crate::support::{Log, PATIENCE, Reaction, Receiver, quick, status, wait_until};

#[test]
fn records_arrive_in_order_and_those_of_other_gateways_do_not() {
    let log = Log::new();
    log.push(0..5);
    let (exports, receiver) = (log.exports(), Receiver::default());
    assert!(exports.apply(vec![receiver.export("a")]).is_empty());
    log.push(1_000_000..1_000_003);
    log.push(5..105);
    receiver.wait_for(5..105);
    assert!(receiver.batches.lock().unwrap().iter().all(|size| *size <= 10), "batches are bounded");
    wait_until(|| (status(&exports, "a").sent, status(&exports, "a").behind) == (100, 0));
    let status = status(&exports, "a");
    assert_eq!((status.sent, status.lost, status.failed_attempts, status.last_error), (100, 0, 0, None));
}

#[test]
fn what_fails_is_tried_again_until_it_arrives() {
    let log = Log::new();
    let (exports, receiver) = (log.exports(), Receiver::default());
    receiver.will([Reaction::Fail, Reaction::Fail, Reaction::Fail]);
    exports.apply(vec![receiver.export("a")]);
    log.push(0..30);
    receiver.wait_for(0..30);
    wait_until(|| status(&exports, "a").sent == 30);
    let status = status(&exports, "a");
    assert_eq!((status.failed_attempts, status.last_error), (3, None));
}

#[test]
fn an_outage_over_a_restart_loses_nothing() {
    let log = Log::new();
    let (exports, receiver) = (log.exports(), Receiver::default());
    exports.apply(vec![receiver.export("a")]);
    log.push(0..20);
    receiver.wait_for(0..20);
    *receiver.gone.lock().unwrap() = true;
    log.push(20..50);
    wait_until(|| status(&exports, "a").behind == 30);
    let told = status(&exports, "a");
    assert_eq!(told.last_error.as_deref(), Some("nobody is there"));
    assert!(exports.stop(PATIENCE));
    drop(exports);

    let log = log.restarted();
    log.push(50..60);
    let exports = log.exports();
    *receiver.gone.lock().unwrap() = false;
    exports.apply(vec![receiver.export("a")]);
    receiver.wait_for(0..60);
}

#[test]
fn stopping_sends_what_is_left() {
    let log = Log::new();
    let (exports, receiver) = (log.exports(), Receiver::default());
    let slow = genesis_export::Behaviour { gather: PATIENCE * 10, ..quick(10) };
    exports.apply(vec![Export { behaviour: slow, ..receiver.export("a") }]);
    log.push(0..25);
    assert!(exports.stop(PATIENCE));
    assert_eq!(receiver.got(), Vec::from_iter(0..25));
}

#[test]
fn a_receiver_gets_smaller_pieces_and_what_it_refuses_is_counted() {
    let log = Log::new();
    let (exports, receiver) = (log.exports(), Receiver::default());
    *receiver.gone.lock().unwrap() = true;
    exports.apply(vec![receiver.export("a")]);
    log.push(0..30);
    receiver.will([Reaction::AtMost(3), Reaction::Refuse]);
    *receiver.gone.lock().unwrap() = false;
    wait_until(|| status(&exports, "a").sent == 27);
    assert_eq!(status(&exports, "a").refused, 3, "the second piece of three");
    assert_eq!(receiver.got(), Vec::from_iter((0..3).chain(6..30)));
}

#[test]
fn what_retention_deletes_first_is_counted() {
    let keep = Retention { max_rows: 20, ..Retention::default() };
    let log =
        Log::with(JournalOptions { retention: Arc::new(move |_, _| keep), ..JournalOptions::default() });
    let (exports, receiver) = (log.exports(), Receiver::default());
    *receiver.gone.lock().unwrap() = true;
    exports.apply(vec![receiver.export("a")]);
    log.push(0..100);
    wait_until(|| status(&exports, "a").lost == 80);
    *receiver.gone.lock().unwrap() = false;
    // The batch it was about to send, whose records are gone by now, arrives, too.
    wait_until(|| receiver.got().ends_with(&Vec::from_iter(80..100)));
}

#[test]
fn a_replaced_export_goes_on_in_order_and_a_removed_one_begins_anew() {
    let log = Log::new();
    let (exports, first, second) = (log.exports(), Receiver::default(), Receiver::default());
    exports.apply(vec![first.export("a")]);
    log.push(0..10);
    first.wait_for(0..10);
    wait_until(|| status(&exports, "a").behind == 0);
    *first.gone.lock().unwrap() = true;
    log.push(10..20);
    exports.apply(vec![Export { identity: "elsewhere".into(), ..second.export("a") }]);
    second.wait_for(10..20);
    wait_until(|| status(&exports, "a").sent == 20);

    exports.apply(Vec::new());
    assert!(exports.status().is_empty());
    log.push(20..30);
    exports.apply(vec![second.export("a")]);
    log.push(30..40);
    second.wait_for((10..20).chain(30..40));
}

#[test]
fn one_that_breaks_down_says_so_and_leaves_the_others_alone() {
    let log = Log::new();
    let (exports, broken, sound) = (log.exports(), Receiver::default(), Receiver::default());
    broken.will([Reaction::Panic]);
    exports.apply(vec![broken.export("broken"), sound.export("sound")]);
    log.push(0..5);
    sound.wait_for(0..5);
    wait_until(|| status(&exports, "broken").last_error.is_some_and(|why| why.contains("broke down")));
    assert!(exports.stop(PATIENCE), "it does not hang");
}

#[test]
fn nothing_is_selected_by_default() {
    let log = Log::new();
    let (exports, receiver) = (log.exports(), Receiver::default());
    let none = Selection { gateways: BTreeSet::new(), ..Selection::default() };
    exports.apply(vec![Export { wanted: none, ..receiver.export("a") }]);
    log.push(0..5);
    assert!(exports.stop(PATIENCE));
    assert!(receiver.got().is_empty());
}
