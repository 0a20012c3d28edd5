//! A stream that was kept, from an event on.

use std::task::{Context, Poll};

use bytes::Bytes;
use genesis_wire::sse::Skip;

use crate::body::Broken;
use crate::upstream::broadcast::Listener;

/// So much is passed over before others on this thread get a turn.
const TURN: usize = 1024 * 1024;

/// What the client of the first call was sent, less so many events, and on to its end.
pub(crate) struct Resumed {
    listener: Listener,
    skip: Skip,
    breaking: bool,
}

impl Resumed {
    /// `from`: index of the first event that is wanted.
    pub(super) fn new(listener: Listener, from: u64) -> Self {
        Self { listener, skip: Skip::new(from), breaking: false }
    }

    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        if self.breaking {
            return Poll::Ready(Some(Err(Broken)));
        }
        let mut passed = 0;
        while passed < TURN {
            match self.listener.poll_data(cx) {
                Poll::Ready(Some(Ok(piece))) => {
                    let skipped = self.skip.push(&piece);
                    passed += skipped;
                    if skipped < piece.len() {
                        return Poll::Ready(Some(Ok(piece.slice(skipped..))));
                    }
                }
                Poll::Ready(Some(Err(_))) => {
                    // An error makes hyper drop what it has not written yet, so it gets a turn to write first.
                    self.breaking = true;
                    break;
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
