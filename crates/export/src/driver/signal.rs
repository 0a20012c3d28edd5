//! What a worker is told from outside: that there is something to read, and that it is to end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Told to a worker from outside.
#[derive(Debug, Default)]
pub(super) struct Signal {
    woken: AtomicBool,
    /// The worker sleeps until something happens: only then is it worth being notified.
    idle: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stop: Stop,
    ended: bool,
}

/// When a worker is to end.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Stop {
    #[default]
    No,
    /// Once what is left has been tried once.
    AfterLastRound,
    /// After the call under way.
    Now,
    /// The same; where it stopped does not matter to anybody.
    Forgotten,
}

impl Signal {
    pub(super) fn wake(&self) {
        self.woken.store(true, Ordering::SeqCst);
        if self.idle.swap(false, Ordering::SeqCst) {
            drop(self.lock());
            self.changed.notify_all();
        }
    }

    pub(super) fn stop(&self, stop: Stop) {
        let mut state = self.lock();
        state.stop = state.stop.max(stop);
        drop(state);
        self.changed.notify_all();
    }

    pub(super) fn stopping(&self) -> Stop {
        self.lock().stop
    }

    /// Sleeps until woken or asked to stop.
    pub(super) fn wait_for_records(&self) {
        let mut state = self.lock();
        loop {
            // Either whoever wakes sees this, or what it set before is seen here.
            self.idle.store(true, Ordering::SeqCst);
            if self.woken.swap(false, Ordering::SeqCst) || state.stop > Stop::No {
                self.idle.store(false, Ordering::SeqCst);
                return;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sleeps, unless asked to stop.
    pub(super) fn pause(&self, pause: Duration) {
        let state = self.lock();
        let asked = |state: &mut State| state.stop == Stop::No;
        drop(self.changed.wait_timeout_while(state, pause, asked).unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn ended_by(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(self.lock(), left, |state| !state.ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    /// The worker has ended.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
