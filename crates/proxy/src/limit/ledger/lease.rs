//! What is on record. Calls use what was recorded before, a slice at a time, so that few of them wait for the disk; what
//! of a slice a killed process had not used counts as used.

use genesis_store::Lease;

use super::super::window::Window;
use super::Ledger;
use super::bucket::Slot;

/// A sixteenth of the limit: the most that a crash forfeits of each window, and how seldom calls wait.
const SLICES: u64 = 16;
/// Small limits are recorded in larger parts.
const SMALLEST: u64 = 4;

pub(super) fn slice(limit: u64) -> u64 {
    (limit / SLICES).max(SMALLEST).min(limit).max(1)
}

/// A record to be written, then to be [granted](Ledger::granted).
#[derive(Debug, PartialEq)]
pub(crate) struct Extension {
    place: usize,
    pub(crate) lease: Lease,
}

impl Ledger {
    /// Records that have to change. What is lowered is lowered here at once, what is raised only when granted.
    pub(crate) fn due(&self, now_ms: i64) -> Vec<Extension> {
        let mut counters = self.counters();
        let mut found = Vec::new();
        for place in std::mem::take(&mut counters.due) {
            let bucket = &mut counters.buckets[place];
            bucket.due = false;
            bucket.used(now_ms);
            let (key, window, limit) = (bucket.key.clone(), bucket.window, bucket.limit);
            let (current, wanted) = (bucket.current(now_ms), std::mem::take(&mut bucket.wanted));
            for slot in bucket.slots() {
                let wanted = if slot.index == current { wanted } else { 0 };
                let target = target(slot, wanted, limit, slot.index == current);
                if target == slot.written {
                    continue;
                }
                slot.written = target;
                slot.lease = slot.lease.min(target);
                found.push(self.extension(place, &key, window, slot));
            }
        }
        found
    }

    /// These are on record now.
    pub(crate) fn granted(&self, extensions: &[Extension]) {
        let mut counters = self.counters();
        for Extension { place, lease } in extensions {
            // Meanwhile the counter may have gone, and another one have come to its place.
            let bucket = counters.buckets.get_mut(*place).filter(|bucket| *bucket.key == *lease.key);
            let Some(bucket) = bucket else { continue };
            if let Some(slot) = bucket.slot(lease.slot) {
                slot.lease = lease.amount.min(slot.written);
            }
        }
    }

    /// Everything, for a record that has to be begun anew; with `exactly`, no more than was used: this process ends.
    pub(crate) fn everything(&self, now_ms: i64, exactly: bool) -> Vec<Extension> {
        if !exactly {
            self.due(now_ms); // what calls wait for is part of it
        }
        let mut counters = self.counters();
        let mut found = Vec::new();
        for place in 0..counters.buckets.len() {
            let bucket = &mut counters.buckets[place];
            bucket.used(now_ms);
            let (key, window) = (bucket.key.clone(), bucket.window);
            if window == Window::Now {
                continue;
            }
            for slot in bucket.slots() {
                let amount = if exactly { slot.used } else { slot.used.max(slot.written) };
                slot.written = amount;
                slot.lease = slot.lease.min(amount);
                found.push(self.extension(place, &key, window, slot));
            }
        }
        if !exactly {
            let unclaimed = counters.recovered.values().flatten().cloned();
            found.extend(unclaimed.map(|lease| Extension { place: usize::MAX, lease }));
        }
        found
    }

    fn extension(&self, place: usize, key: &str, window: Window, slot: &Slot) -> Extension {
        let lease = Lease {
            gateway: self.gateway.clone(),
            key: key.to_owned(),
            slot: slot.index,
            amount: slot.written,
            ends_at_ms: window.ends(slot.index),
        };
        Extension { place, lease }
    }
}

/// What should be on record of a slot. Never less than what is used, and no more than the limit but for that.
fn target(slot: &Slot, wanted: u64, limit: u64, is_current: bool) -> u64 {
    if !is_current {
        return slot.used; // nothing more will be taken from it
    }
    let slice = slice(limit);
    let within = |amount: u64| amount.min(limit).max(slot.used);
    let needed = within(slot.used.saturating_add(wanted));
    let ahead = within(needed.saturating_add(slice));
    let too_little = slot.written < needed || slot.written < ahead && slot.written - needed < slice / 2;
    let far_too_much = slot.written > needed.saturating_add(slice.saturating_mul(2));
    if too_little || far_too_much { ahead } else { slot.written }
}
