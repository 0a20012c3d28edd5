//! One counter.

use std::collections::VecDeque;

use genesis_store::Lease;

use super::super::window::Window;

#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) key: Box<str>,
    pub(super) window: Window,
    /// As last asked with: a changed setting holds from the next call on.
    pub(super) limit: u64,
    /// Calls under way.
    pub(super) holds: u32,
    /// What calls wait for to be recorded.
    pub(super) wanted: u64,
    /// Its record has to change.
    pub(super) due: bool,
    /// Those in which anything happened, oldest first.
    slots: VecDeque<Slot>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) index: i64,
    /// Used, or taken by calls under way.
    pub(super) used: u64,
    /// What is surely on record as used: a later process starts from there.
    pub(super) lease: u64,
    /// What was last handed to be written.
    pub(super) written: u64,
}

impl Bucket {
    pub(super) fn new(key: &str, window: Window, limit: u64) -> Self {
        Self { key: key.into(), window, limit, holds: 0, wanted: 0, due: false, slots: VecDeque::new() }
    }

    /// Whatever an earlier process had on record counts as used.
    pub(super) fn recover(&mut self, lease: &Lease) {
        let slot = self.slot_mut(lease.slot);
        slot.used = slot.used.saturating_add(lease.amount);
        slot.lease = lease.amount;
        slot.written = lease.amount;
    }

    /// The slot that is now. A clock that was set back does not reopen an earlier one.
    pub(super) fn current(&self, now_ms: i64) -> i64 {
        let now = self.window.slot(now_ms);
        self.slots.back().map_or(now, |latest| latest.index.max(now))
    }

    /// All that counts now; forgets what no longer does.
    pub(super) fn used(&mut self, now_ms: i64) -> u64 {
        let oldest = self.window.oldest(self.current(now_ms));
        while self.slots.front().is_some_and(|slot| slot.index < oldest) {
            self.slots.pop_front();
        }
        self.slots.iter().fold(0_u64, |sum, slot| sum.saturating_add(slot.used))
    }

    /// Milliseconds until `needs` fits, if nothing else happens. `None` if it never will, or if it depends on calls
    /// under way alone.
    pub(super) fn fits_in(&mut self, needs: u64, now_ms: i64) -> Option<i64> {
        let mut used = self.used(now_ms);
        if self.window == Window::Now || needs > self.limit {
            return None;
        }
        let freed = self.slots.iter().find(|slot| {
            used -= slot.used;
            used.saturating_add(needs) <= self.limit
        })?;
        Some((self.window.ends(freed.index) - now_ms).max(1))
    }

    pub(super) fn is_idle(&mut self, now_ms: i64) -> bool {
        self.holds == 0 && self.used(now_ms) == 0
    }

    pub(super) fn slots(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.slots.iter_mut()
    }

    pub(super) fn slot(&mut self, index: i64) -> Option<&mut Slot> {
        self.slots.iter_mut().rev().find(|slot| slot.index == index)
    }

    pub(super) fn slot_mut(&mut self, index: i64) -> &mut Slot {
        let after = self.slots.partition_point(|slot| slot.index < index);
        if self.slots.get(after).is_none_or(|slot| slot.index != index) {
            self.slots.insert(after, Slot { index, used: 0, lease: 0, written: 0 });
        }
        &mut self.slots[after]
    }
}
