//! The counters against plain models, with simulated time.

use std::collections::{BTreeMap, HashMap};

use genesis_config::gateway::Period;
use proptest::prelude::*;

use super::*;

const LIMIT: u64 = 50;
const BEGIN: i64 = 1_795_400_123_456;

fn ask(key: &str, window: Window, takes: u64, record: Record) -> Ask<'_> {
    Ask { key, rule: 1, window, limit: LIMIT, needs: takes, takes, record }
}

#[derive(Clone, Debug)]
enum Step {
    Wait(i64),
    Take {
        key: usize,
        amount: u64,
    },
    /// Of what is under way, the n-th is over and used so many percent.
    Settle {
        which: usize,
        percent: u64,
    },
    /// The record is written, or the disk refuses.
    Write {
        fails: bool,
    },
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..40_000_i64).prop_map(Step::Wait),
        1 => (0..400_i64).prop_map(Step::Wait),
        8 => (0..3_usize, 0..30_u64).prop_map(|(key, amount)| Step::Take { key, amount }),
        5 => (0..8_usize, 0..=100_u64).prop_map(|(which, percent)| Step::Settle { which, percent }),
        8 => prop::bool::weighted(0.1).prop_map(|fails| Step::Write { fails }),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 0..120)
}

fn windows() -> impl Strategy<Value = Window> {
    prop_oneof![
        (1_000..200_000_i64).prop_map(|ms| Window::Fixed { ms }),
        (1_000..200_000_i64).prop_map(|ms| Window::Sliding { ms }),
        Just(Window::Calendar(Period::Hourly)),
        Just(Window::Now),
    ]
}

/// One thing that was let through.
#[derive(Clone, Copy, Debug)]
struct Event {
    key: usize,
    at_ms: i64,
    amount: u64,
    under_way: bool,
}

/// What counts now: surely, and at most.
fn counting(events: &[Event], key: usize, window: Window, now_ms: i64) -> (u64, u64) {
    let sum = |counts: &dyn Fn(&Event) -> bool| {
        events.iter().filter(|event| event.key == key && counts(event)).map(|event| event.amount).sum()
    };
    match window {
        Window::Sliding { ms } => {
            // A twentieth of the window, rounded up, at either end.
            let slack = 2 * (ms / 20 + 1);
            (sum(&|event| event.at_ms > now_ms - ms), sum(&|event| event.at_ms > now_ms - ms - slack))
        }
        Window::Now => (sum(&|event| event.under_way), sum(&|event| event.under_way)),
        _ => {
            let now = |event: &Event| window.slot(event.at_ms) == window.slot(now_ms);
            (sum(&now), sum(&now))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn exactly_what_fits_is_let_through(window in windows(), steps in steps()) {
        let ledger = Ledger::new("g", false);
        let keys = ["ra", "rb", "rc"];
        let (mut now_ms, mut events, mut held) = (BEGIN, Vec::<Event>::new(), Vec::<(Hold, usize)>::new());
        for step in steps {
            match step {
                Step::Wait(ms) => now_ms += ms,
                Step::Take { key, amount } => {
                    let (surely, at_most) = counting(&events, key, window, now_ms);
                    match ledger.take(&[ask(keys[key], window, amount, Record::Never)], now_ms, true) {
                        Taken::All { holds, .. } => {
                            prop_assert!(surely + amount <= LIMIT, "{surely} + {amount} let through");
                            prop_assert!(holds[0].left <= LIMIT - surely - amount);
                            held.push((holds[0], events.len()));
                            events.push(Event { key, at_ms: now_ms, amount, under_way: true });
                        }
                        Taken::Refused { fits_in_ms, used, .. } => {
                            prop_assert!(at_most + amount > LIMIT, "{at_most} + {amount} refused");
                            prop_assert!((surely..=at_most).contains(&used));
                            if let Some(ms) = fits_in_ms {
                                let later = ledger.take(&[ask(keys[key], window, amount, Record::Never)], now_ms + ms, true);
                                prop_assert!(matches!(later, Taken::All { .. }), "still not after {ms} ms");
                                if let Taken::All { holds, .. } = later {
                                    now_ms += ms;
                                    held.push((holds[0], events.len()));
                                    events.push(Event { key, at_ms: now_ms, amount, under_way: true });
                                }
                            }
                        }
                        Taken::Unrecorded => prop_assert!(false, "nothing is recorded here"),
                    }
                }
                Step::Settle { which, percent } => {
                    if !held.is_empty() {
                        let (hold, event) = held.swap_remove(which % held.len());
                        let event = &mut events[event];
                        event.amount = event.amount * percent / 100;
                        event.under_way = false;
                        let used = if window == Window::Now { 0 } else { event.amount };
                        ledger.settle(&hold, used);
                    }
                }
                Step::Write { .. } | Step::Crash => {}
            }
        }
    }

    /// However often the process is killed and the disk refuses: what was let through never exceeds the limit.
    #[test]
    fn crashes_never_overshoot(sliding in any::<bool>(), steps in steps()) {
        let window = if sliding { Window::Sliding { ms: 60_000 } } else { Window::Fixed { ms: 60_000 } };
        let keys = ["ra", "rb", "rc"];
        let mut disk: BTreeMap<(String, i64), Lease> = BTreeMap::new();
        let mut process = Process::start(&disk);
        let (mut now_ms, mut events, mut held) = (BEGIN, Vec::<Event>::new(), Vec::<(Hold, usize)>::new());
        for step in steps {
            match step {
                Step::Wait(ms) => now_ms += ms,
                Step::Take { key, amount } => {
                    // As a waiting call does: ask, have it written, ask again.
                    let asks = [ask(keys[key], window, amount, Record::Always)];
                    let mut taken = process.ledger.take(&asks, now_ms, true);
                    if taken == Taken::Unrecorded {
                        process.write(&mut disk, now_ms, false);
                        taken = process.ledger.take(&asks, now_ms, true);
                        prop_assert!(taken != Taken::Unrecorded, "what was asked for was not written");
                    }
                    if let Taken::All { holds, .. } = taken {
                        let (surely, _) = counting(&events, key, window, now_ms);
                        prop_assert!(surely + amount <= LIMIT, "{surely} + {amount} let through");
                        held.push((holds[0], events.len()));
                        events.push(Event { key, at_ms: now_ms, amount, under_way: true });
                    }
                }
                Step::Settle { which, percent } => {
                    if !held.is_empty() {
                        let (hold, event) = held.swap_remove(which % held.len());
                        events[event].amount = events[event].amount * percent / 100;
                        process.ledger.settle(&hold, events[event].amount);
                    }
                }
                Step::Write { fails } => process.write(&mut disk, now_ms, fails),
                Step::Crash => {
                    // Whatever was under way may have used all it took.
                    held.clear();
                    process = Process::start(&disk);
                }
            }
        }
    }
}

/// A process and how it keeps its record.
struct Process {
    ledger: Ledger,
    begins_anew: bool,
}

impl Process {
    fn start(disk: &BTreeMap<(String, i64), Lease>) -> Self {
        let ledger = Ledger::new("g", true);
        ledger.recover(disk.values().cloned().collect());
        Self { ledger, begins_anew: false }
    }

    fn write(&mut self, disk: &mut BTreeMap<(String, i64), Lease>, now_ms: i64, fails: bool) {
        let work =
            if self.begins_anew { self.ledger.everything(now_ms, false) } else { self.ledger.due(now_ms) };
        self.begins_anew = fails;
        if fails {
            return;
        }
        for extension in &work {
            disk.insert((extension.lease.key.clone(), extension.lease.slot), extension.lease.clone());
        }
        self.ledger.granted(&work);
    }
}

#[test]
fn all_is_taken_or_nothing() {
    let ledger = Ledger::new("g", false);
    let window = Window::Fixed { ms: 60_000 };
    let both =
        |first, second| [ask("a1", window, first, Record::Never), ask("b1", window, second, Record::Never)];
    assert!(matches!(ledger.take(&both(10, 50), BEGIN, true), Taken::All { .. }));
    let refused = ledger.take(&both(40, 1), BEGIN, true);
    assert!(matches!(refused, Taken::Refused { index: 1, used: 50, .. }), "{refused:?}");
    assert!(matches!(ledger.take(&both(40, 0), BEGIN, true), Taken::All { .. }), "the first was not touched");
}

#[test]
fn what_is_not_recorded_waits_or_goes_on_as_it_is_told() {
    let ledger = Ledger::new("g", true);
    let window = Window::Fixed { ms: 60_000 };
    let take = |record, patient| ledger.take(&[ask("a1", window, 1, record)], BEGIN, patient);
    for record in [Record::IfPossible, Record::Always] {
        assert_eq!(take(record, true), Taken::Unrecorded, "the record is not even read");
    }
    assert_eq!(take(Record::Always, false), Taken::Unrecorded);
    assert!(matches!(take(Record::IfPossible, false), Taken::All { .. }));
    assert!(matches!(take(Record::Never, true), Taken::All { .. }));

    let lease = Lease {
        gateway: "g".into(),
        key: "a1".into(),
        slot: window.slot(BEGIN),
        amount: 40,
        ends_at_ms: i64::MAX,
    };
    ledger.recover(vec![lease]);
    assert_eq!(take(Record::Always, true), Taken::Unrecorded);
    let due = ledger.due(BEGIN);
    assert_eq!(due[0].lease.amount, 47, "42 counted in memory or recovered, one wanted, and a slice");
    assert_eq!(take(Record::Always, true), Taken::Unrecorded, "not before it is written");
    ledger.granted(&due);
    let Taken::All { holds, .. } = take(Record::Always, true) else { panic!("recorded") };
    assert_eq!(holds[0].left, LIMIT - 43);
}

#[test]
fn partitions_are_bounded_and_never_counted_low() {
    let ledger = Ledger::new("g", false);
    let window = Window::Fixed { ms: 60_000 };
    let mut keys = HashMap::new();
    let mut take = |number: usize, now_ms| {
        let key = keys.entry(number).or_insert_with(|| format!("r{number}")).clone();
        ledger.take(&[ask(&key, window, 1, Record::Never)], now_ms, true)
    };
    for number in 0..MOST_BUCKETS {
        assert!(matches!(take(number, BEGIN), Taken::All { .. }));
    }
    let more =
        (MOST_BUCKETS..MOST_BUCKETS + 200).filter(|number| matches!(take(*number, BEGIN), Taken::All { .. }));
    assert_eq!(more.count() as u64, LIMIT, "those for whom there is no room share one counter");
    assert!(ledger.counters().buckets.len() <= MOST_BUCKETS + 1);
    assert!(matches!(take(0, BEGIN), Taken::All { .. }), "the others keep theirs");
}
