//! What the simulator received, kept for tests to look at.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

/// A request as it arrived, and what became of its answer.
#[derive(Clone, Debug)]
pub struct Captured {
    pub method: String,
    pub path_and_query: String,
    /// In the order of arrival; names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// What arrived of the body: all of it unless the client left during the upload.
    pub body: Bytes,
    /// How far the answer has come.
    pub outcome: Outcome,
}

impl Captured {
    /// The first header of that name, if it is valid UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// Whether the client went away before it had the whole answer.
    pub fn client_left(&self) -> bool {
        self.outcome == Outcome::ClientLeft
    }
}

/// How an exchange with the simulator ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Not yet.
    Answering,
    /// The whole answer was handed to the connection.
    Complete,
    /// The script broke it off.
    Broken,
    /// The client went away first.
    ClientLeft,
}

/// Requests in the order of arrival, and a way to wait for them.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pages: Mutex<Pages>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Pages {
    next: u64,
    entries: VecDeque<(u64, Captured)>,
    seen: HashMap<String, u32>,
}

impl Ledger {
    /// Writes a request down if `keep`; the result follows its answer.
    pub(crate) fn begin(self: &Arc<Self>, request: impl FnOnce() -> Captured, keep: bool) -> Answering {
        let mut pages = self.lock();
        let number = pages.next;
        pages.next += 1;
        if keep {
            pages.entries.push_back((number, request()));
            self.changed.notify_all();
        }
        drop(pages);
        Answering { ledger: Arc::clone(self), number, open: true }
    }

    /// How often `key` was counted before.
    pub(crate) fn count(&self, key: String) -> u32 {
        let mut pages = self.lock();
        let seen = pages.seen.entry(key).or_default();
        *seen += 1;
        *seen - 1
    }

    pub(crate) fn all(&self) -> Vec<Captured> {
        self.lock().entries.iter().map(|(_, captured)| captured.clone()).collect()
    }

    pub(crate) fn take(&self) -> Vec<Captured> {
        self.lock().entries.drain(..).map(|(_, captured)| captured).collect()
    }

    pub(crate) fn wait_until(
        &self,
        done: impl Fn(&[Captured]) -> bool,
        timeout: Duration,
    ) -> Option<Vec<Captured>> {
        let deadline = Instant::now() + timeout;
        let mut pages = self.lock();
        loop {
            let all: Vec<_> = pages.entries.iter().map(|(_, captured)| captured.clone()).collect();
            if done(&all) {
                return Some(all);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            pages = self.changed.wait_timeout(pages, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        // A panicking predicate in a test leaves the pages as they were.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer under way. Dropped before it ended: the client left.
#[derive(Debug)]
pub(crate) struct Answering {
    ledger: Arc<Ledger>,
    number: u64,
    open: bool,
}

impl Answering {
    /// Notes how the answer ended; only the first ending counts.
    pub(crate) fn end(&mut self, outcome: Outcome) {
        if !std::mem::replace(&mut self.open, false) {
            return;
        }
        let mut pages = self.ledger.lock();
        if let Some((_, captured)) = pages.entries.iter_mut().find(|(number, _)| *number == self.number) {
            captured.outcome = outcome;
        }
        self.ledger.changed.notify_all();
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.end(Outcome::ClientLeft);
    }
}
