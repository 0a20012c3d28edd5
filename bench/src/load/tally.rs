//! What all connections of a run share: the window that counts, what was recorded in it, what went wrong.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::histogram::Histogram;

/// Recorded by the connections of one thread.
#[derive(Debug, Default)]
pub struct Samples {
    /// Completed answers.
    pub requests: u64,
    /// Nanoseconds to the last byte.
    pub latency: Histogram,
    /// Nanoseconds to the first byte.
    pub first_byte: Histogram,
    /// Nanoseconds from stamp to arrival, one per event.
    pub transit: Histogram,
}

/// The state of a run.
#[derive(Debug, Default)]
pub struct Tally {
    opened: OnceLock<Instant>,
    closed: OnceLock<Instant>,
    errors: AtomicU64,
    first_error: OnceLock<String>,
}

impl Tally {
    /// What happens from now on counts.
    pub fn open(&self) -> Instant {
        *self.opened.get_or_init(Instant::now)
    }

    /// What happens from now on does not, and the run winds down.
    pub fn close(&self) -> Instant {
        *self.closed.get_or_init(Instant::now)
    }

    /// True once the run winds down.
    pub fn is_closed(&self) -> bool {
        self.closed.get().is_some()
    }

    /// True if something of this instant counts.
    pub fn counts(&self, instant: Instant) -> bool {
        self.opened.get().is_some_and(|opened| instant >= *opened)
            && self.closed.get().is_none_or(|closed| instant < *closed)
    }

    /// Notes something that went wrong.
    pub fn failed(&self, error: &anyhow::Error) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        self.first_error.get_or_init(|| format!("{error:#}"));
    }

    /// How often something went wrong, and how the first time.
    pub fn errors(&self) -> (u64, Option<String>) {
        (self.errors.load(Ordering::Relaxed), self.first_error.get().cloned())
    }
}

impl Samples {
    /// Everything the threads recorded, in one.
    pub fn sum(parts: &[std::sync::Arc<Mutex<Samples>>]) -> Samples {
        let mut total = Samples::default();
        for part in parts {
            let part = part.lock();
            total.requests += part.requests;
            total.latency.merge(&part.latency);
            total.first_byte.merge(&part.first_byte);
            total.transit.merge(&part.transit);
        }
        total
    }
}
