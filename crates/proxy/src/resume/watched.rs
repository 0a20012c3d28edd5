//! A client that vanished without a word: its connection looks open, takes nothing any more, and with it the provider is
//! not read on. Once the stream is asked for on another connection that is a client which left.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::body::Broken;
use crate::drain::Kept;

/// A client that took nothing for so long has vanished, if somebody else hears its stream.
const VANISHED: Duration = Duration::from_secs(5);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A stream on its way to its client, which can be taken from it.
pub(crate) struct Watched(Rc<Held>);

struct Held {
    /// `None`: it was taken.
    kept: RefCell<Option<Kept>>,
    /// When the client was given something after which it has not asked for more.
    given: Cell<Option<Instant>>,
}

impl Watched {
    pub(crate) fn new(kept: Kept) -> Self {
        let held = Rc::new(Held { kept: RefCell::new(Some(kept)), given: Cell::new(None) });
        tokio::task::spawn_local(watch(Rc::downgrade(&held)));
        Self(held)
    }

    pub(crate) fn poll_data(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        self.0.given.set(None);
        let mut kept = self.0.kept.borrow_mut();
        let Some(kept) = &mut *kept else { return Poll::Ready(Some(Err(Broken))) };
        let polled = kept.relay().map_or(Poll::Ready(None), |relay| relay.poll_data(cx));
        if matches!(polled, Poll::Ready(Some(Ok(_)))) {
            self.0.given.set(Some(Instant::now()));
        }
        polled
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.0.kept.borrow().as_ref().is_some_and(Kept::is_finished)
    }
}

async fn watch(held: Weak<Held>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(held) = held.upgrade() else { return };
        if held.has_vanished() {
            held.kept.take(); // which is what a client does that leaves
            return;
        }
    }
}

impl Held {
    fn has_vanished(&self) -> bool {
        let takes_nothing = self.given.get().is_some_and(|given| given.elapsed() >= VANISHED);
        let heard = || self.kept.borrow_mut().as_mut()?.relay().map(|relay| relay.is_heard_again());
        takes_nothing && heard().unwrap_or(false)
    }
}
