//! Listeners that are shown each record as it comes: the live tail.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    LogRecord,
    packed::{Packed, read_record},
};

/// Is shown records. Must neither block nor panic.
pub type Listener = Box<dyn FnMut(&LogRecord) + Send>;

/// Everybody who listens. Free for the writer as long as nobody does.
#[derive(Default)]
pub(super) struct Followers {
    count: AtomicUsize,
    listeners: Mutex<Listeners>,
}

#[derive(Default)]
struct Listeners {
    next: u64,
    all: Vec<(u64, Listener)>,
    /// Nobody is let in any more.
    ended: bool,
}

/// Ends the listening when dropped.
#[derive(Debug)]
pub struct Following {
    followers: Weak<Followers>,
    number: u64,
}

impl Followers {
    pub(super) fn tell(&self, packed: &Packed) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        if let Some(record) = read_record(packed.head(), packed.details()) {
            self.change(|listeners| listeners.all.iter_mut().for_each(|(_, listener)| listener(&record)));
        }
    }

    pub(super) fn add(self: &Arc<Self>, listener: Listener) -> Following {
        let number = self.change(|listeners| {
            listeners.next += 1;
            if !listeners.ended {
                listeners.all.push((listeners.next, listener));
            }
            listeners.next
        });
        Following { followers: Arc::downgrade(self), number }
    }

    pub(super) fn end(&self) {
        self.change(|listeners| {
            listeners.ended = true;
            listeners.all.clear();
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut Listeners) -> T) -> T {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let value = change(&mut listeners);
        self.count.store(listeners.all.len(), Ordering::Relaxed);
        value
    }
}

impl fmt::Debug for Followers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followers").field("count", &self.count).finish_non_exhaustive()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        if let Some(followers) = self.followers.upgrade() {
            followers.change(|listeners| listeners.all.retain(|(number, _)| *number != self.number));
        }
    }
}
