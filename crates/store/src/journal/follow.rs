//! Listeners that are shown each record as it comes: the live tail; and who adds up figures: the metrics.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use genesis_wire::{Dialect, Usage};

use crate::{
    LogRecord, Outcome,
    packed::{Packed, read_head, read_record},
};

/// Is shown records. Must neither block nor panic.
pub type Listener = Box<dyn FnMut(&LogRecord) + Send>;

/// Is shown figures. Must neither block nor panic.
pub type Tally = Box<dyn Fn(&Figures<'_>) + Send + Sync>;

/// Is called after commits. Must neither block nor panic.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// What is added up of one exchange; see [`LogRecord`].
#[derive(Clone, Debug)]
pub struct Figures<'a> {
    pub gateway: &'a str,
    pub provider: &'a str,
    pub model: &'a str,
    pub dialect: Option<Dialect>,
    /// See [`LogRecord::kind`].
    pub kind: &'static str,
    pub path: &'a str,
    pub status: u16,
    pub outcome: Outcome,
    pub cached: bool,
    pub stream: bool,
    pub duration_ms: u32,
    pub first_byte_ms: Option<u32>,
    pub usage: Usage,
    pub cost_nano_usd: i64,
}

/// Everybody who listens. Free for the writer as long as nobody does.
#[derive(Default)]
pub(super) struct Followers {
    tallies: Mutex<Vec<Tally>>,
    count: AtomicUsize,
    listeners: Mutex<Listeners>,
    wakes: Mutex<Vec<Weak<dyn Fn() + Send + Sync>>>,
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
        let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        if !tallies.is_empty()
            && let Some(figures) = figures(packed)
        {
            tallies.iter().for_each(|tally| tally(&figures));
        }
        drop(tallies);
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        if let Some(record) = read_record(packed.head(), packed.details()) {
            self.change(|listeners| listeners.all.iter_mut().for_each(|(_, listener)| listener(&record)));
        }
    }

    pub(super) fn add_tally(&self, tally: Tally) {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner).push(tally);
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

    pub(super) fn add_wake(&self, wake: &Wake) {
        self.wakes.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(wake));
    }

    /// Once per commit, so the lock costs nothing that counts.
    pub(super) fn wake(&self) {
        let mut wakes = self.wakes.lock().unwrap_or_else(PoisonError::into_inner);
        wakes.retain(|wake| {
            wake.upgrade().is_some_and(|wake| {
                wake();
                true
            })
        });
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

/// Read from the head alone: the metrics want them of every record.
fn figures(packed: &Packed) -> Option<Figures<'_>> {
    let head = read_head(packed.head())?;
    Some(Figures {
        gateway: head.gateway,
        provider: head.provider,
        model: head.model,
        dialect: head.dialect,
        kind: head.kind(),
        path: head.path,
        status: head.status,
        outcome: head.outcome,
        cached: head.cached,
        stream: head.stream,
        duration_ms: head.duration_ms,
        first_byte_ms: head.first_byte_ms,
        usage: head.usage.unwrap_or_default(),
        cost_nano_usd: head.cost_nano_usd.unwrap_or_default(),
    })
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
