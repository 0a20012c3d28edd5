//! The counters of one gateway: what was used, what is promised to calls under way, and how much of it a crash would
//! leave on record. No clock, no I/O; the lock is held for the arithmetic only.
//!
//! All limits of a call are taken at once or not at all.

mod bucket;
mod lease;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use genesis_store::Lease;

use self::bucket::Bucket;
pub(crate) use self::lease::Extension;
use super::window::Window;

/// Counters a gateway may have at a time. Beyond that, new partitions of a rule share one counter.
const MOST_BUCKETS: usize = 10_000;
/// Looking for counters that can go means looking at all of them.
const SWEEP_EVERY_MS: i64 = 1_000;

/// What one limit is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    /// Names the counter: rule and partition. Outlives restarts.
    pub(crate) key: &'a str,
    /// How much of `key` names the rule; what follows is the partition.
    pub(crate) rule: usize,
    pub(crate) window: Window,
    pub(crate) limit: u64,
    /// So much must be left.
    pub(crate) needs: u64,
    /// So much is taken until it is settled.
    pub(crate) takes: u64,
    pub(crate) record: Record,
}

/// What is on record before a call goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Record {
    /// Nothing: it ends with the process.
    Never,
    /// What turns out to be used is recorded soon after.
    Afterwards,
    /// Whatever is taken is on record first, if the record can be written.
    IfPossible,
    /// Whatever is taken is on record first, or the call is not made.
    Always,
}

/// The answer to a list of [`Ask`]s.
#[derive(Debug, PartialEq)]
pub(crate) enum Taken {
    /// With `soon`, the record should be extended before it is needed.
    All { holds: Vec<Hold>, soon: bool },
    /// The first that has not enough left.
    Refused { index: usize, used: u64, fits_in_ms: Option<i64> },
    /// There is enough left, but it must be recorded first. Nothing was taken; ask again when more was granted.
    Unrecorded,
}

/// A place in a counter, to be [settled](Ledger::settle).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Hold {
    bucket: usize,
    slot: i64,
    taken: u64,
    /// What is left of the limit, this call's part taken off.
    pub(crate) left: u64,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    gateway: String,
    counters: Mutex<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    places: HashMap<Box<str>, usize>,
    buckets: Vec<Bucket>,
    free: Vec<usize>,
    /// Rules some of whose partitions share a counter.
    crowded: bool,
    swept_ms: i64,
    /// Buckets whose record has to change.
    due: Vec<usize>,
    /// What an earlier process left on record, until its counter is needed.
    recovered: HashMap<Box<str>, Vec<Lease>>,
    records: Records,
}

/// Whether counters are kept on record.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Records {
    #[default]
    None,
    /// What is on record is not known yet.
    Unread,
    Kept,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Recorded {
    Yes,
    Barely,
    No,
}

impl Ledger {
    /// `recorded`: its counters outlive the process, once [`Ledger::recover`] was called.
    pub(crate) fn new(gateway: &str, recorded: bool) -> Self {
        let records = if recorded { Records::Unread } else { Records::None };
        Self {
            gateway: gateway.to_owned(),
            counters: Mutex::new(Counters { records, ..Counters::default() }),
        }
    }

    /// Goes on from what an earlier process left behind. Whatever it had on record counts as used.
    pub(crate) fn recover(&self, leases: Vec<Lease>) {
        let mut counters = self.counters();
        counters.records = Records::Kept;
        for lease in leases {
            // It may be in use already: some limits do not wait for the record.
            if let Some(place) = counters.places.get(lease.key.as_str()).copied() {
                counters.buckets[place].recover(&lease);
                continue;
            }
            counters.recovered.entry(lease.key.as_str().into()).or_default().push(lease);
        }
    }

    /// Takes what all of `asks` ask for, or nothing. With `patient` false, [`Record::IfPossible`] goes on unrecorded.
    pub(crate) fn take(&self, asks: &[Ask<'_>], now_ms: i64, patient: bool) -> Taken {
        let mut counters = self.counters();
        let must_wait = |record| record == Record::Always || record == Record::IfPossible && patient;
        if counters.records == Records::Unread && asks.iter().any(|ask| must_wait(ask.record)) {
            return Taken::Unrecorded;
        }
        let mut holds = Vec::with_capacity(asks.len());
        for (index, ask) in asks.iter().enumerate() {
            let place = counters.place(ask, now_ms);
            let bucket = &mut counters.buckets[place];
            let (slot, used) = (bucket.current(now_ms), bucket.used(now_ms));
            if used.saturating_add(ask.needs) > ask.limit {
                let fits_in_ms = bucket.fits_in(ask.needs, now_ms);
                return Taken::Refused { index, used, fits_in_ms };
            }
            let left = ask.limit - used - ask.takes.min(ask.limit - used);
            holds.push(Hold { bucket: place, slot, taken: ask.takes, left });
        }
        let mut soon = false;
        if counters.records == Records::Kept {
            match counters.recorded(asks, &holds, must_wait) {
                Recorded::No => return Taken::Unrecorded,
                Recorded::Barely => soon = true,
                Recorded::Yes => {}
            }
        }
        for hold in &holds {
            let bucket = &mut counters.buckets[hold.bucket];
            bucket.slot_mut(hold.slot).used += hold.taken;
            bucket.holds += 1;
        }
        Taken::All { holds, soon }
    }

    /// Replaces what a hold took by what was used.
    pub(crate) fn settle(&self, hold: &Hold, used: u64) {
        let mut counters = self.counters();
        let bucket = &mut counters.buckets[hold.bucket];
        bucket.holds -= 1;
        if let Some(slot) = bucket.slot(hold.slot) {
            slot.used = slot.used.saturating_sub(hold.taken).saturating_add(used);
        }
        counters.mark_due(hold.bucket);
    }

    /// Counts what is known only now, in the window that is now.
    pub(crate) fn charge(&self, hold: &Hold, used: u64, now_ms: i64) {
        let mut counters = self.counters();
        let bucket = &mut counters.buckets[hold.bucket];
        bucket.holds -= 1;
        let slot = bucket.current(now_ms);
        let slot = bucket.slot_mut(slot);
        slot.used = slot.used.saturating_add(used);
        counters.mark_due(hold.bucket);
    }

    fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counters {
    /// Where the counter of `ask` is; it is made if there is none.
    fn place(&mut self, ask: &Ask<'_>, now_ms: i64) -> usize {
        if let Some(place) = self.places.get(ask.key) {
            self.buckets[*place].limit = ask.limit;
            return *place;
        }
        let shared = &ask.key[..ask.rule];
        let crowded = self.crowded
            && self.places.get(shared).is_some_and(|place| !self.buckets[*place].is_idle(now_ms));
        let key = if crowded || self.is_full(now_ms) {
            self.crowded = true;
            if let Some(place) = self.places.get(shared) {
                self.buckets[*place].limit = ask.limit;
                return *place;
            }
            shared
        } else {
            ask.key
        };
        let mut bucket = Bucket::new(key, ask.window, ask.limit);
        for lease in self.recovered.remove(key).into_iter().flatten() {
            bucket.recover(&lease);
        }
        let place = self.free.pop().unwrap_or(self.buckets.len());
        if place == self.buckets.len() {
            self.buckets.push(bucket);
        } else {
            self.buckets[place] = bucket;
        }
        self.places.insert(key.into(), place);
        place
    }

    /// Whether there is no room for one more, after counters nobody needs were let go.
    fn is_full(&mut self, now_ms: i64) -> bool {
        let full = |counters: &Self| counters.places.len() >= MOST_BUCKETS;
        if !full(self) {
            return false;
        }
        if now_ms - self.swept_ms < SWEEP_EVERY_MS {
            return true;
        }
        self.swept_ms = now_ms;
        let Self { places, buckets, free, .. } = self;
        places.retain(|_, place| {
            let idle = buckets[*place].is_idle(now_ms) && !buckets[*place].due;
            if idle {
                free.push(*place);
            }
            !idle
        });
        full(self)
    }

    /// Whether all that is to be taken is on record. What is not, or will soon not be, becomes due.
    fn recorded(&mut self, asks: &[Ask<'_>], holds: &[Hold], must_wait: impl Fn(Record) -> bool) -> Recorded {
        let mut recorded = Recorded::Yes;
        for (ask, hold) in asks.iter().zip(holds) {
            if matches!(ask.record, Record::Never | Record::Afterwards) {
                continue;
            }
            let bucket = &mut self.buckets[hold.bucket];
            let slot = bucket.slot_mut(hold.slot);
            let after = slot.used.saturating_add(ask.takes);
            let short = after > slot.lease;
            let soon =
                slot.lease < ask.limit && slot.lease.saturating_sub(after) < lease::slice(ask.limit) / 2;
            if short {
                bucket.wanted = bucket.wanted.saturating_add(ask.takes);
            }
            if short || soon {
                self.mark_due(hold.bucket);
                let state = if short && must_wait(ask.record) { Recorded::No } else { Recorded::Barely };
                recorded = recorded.max(state);
            }
        }
        recorded
    }

    fn mark_due(&mut self, place: usize) {
        if self.records == Records::Kept
            && !self.buckets[place].due
            && self.buckets[place].window != Window::Now
        {
            self.buckets[place].due = true;
            self.due.push(place);
        }
    }
}

#[cfg(test)]
mod tests;
