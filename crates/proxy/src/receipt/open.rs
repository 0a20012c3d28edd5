//! How many exchanges are under way.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[derive(Debug, Default)]
pub(crate) struct OpenCalls {
    calls: AtomicUsize,
    streams: AtomicUsize,
}

impl OpenCalls {
    pub(super) fn call_begins(&self) {
        self.calls.fetch_add(1, Relaxed);
    }

    pub(super) fn stream_begins(&self) {
        self.streams.fetch_add(1, Relaxed);
    }

    /// `streams`: its answer came as a stream.
    pub(super) fn call_ends(&self, streams: bool) {
        self.calls.fetch_sub(1, Relaxed);
        if streams {
            self.streams.fetch_sub(1, Relaxed);
        }
    }

    /// Calls, and the streams among them.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.calls.load(Relaxed), self.streams.load(Relaxed))
    }
}
