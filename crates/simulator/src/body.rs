//! Sends the frames of an answer, each in a write of its own, and ends as the script says.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use crate::capture::{Answering, Outcome};
use crate::line::Switch;

/// How a body ends after its last frame.
#[derive(Debug, Default)]
pub(crate) enum Ending {
    #[default]
    Clean,
    /// Never.
    Stall,
    /// The connection is closed.
    Abort,
    /// The last frame is cut in half and the connection closed.
    Cut(Arc<Switch>),
}

/// A response body that pauses before every frame: for `gap`, or just long enough for the previous one (or the
/// head) to be flushed.
#[derive(Debug)]
pub(crate) struct Paced {
    frames: VecDeque<Bytes>,
    ending: Ending,
    gap: Option<Duration>,
    pause: Pause,
    /// A single frame that ends cleanly: its length is known up front and nothing need be flushed before it.
    sized: bool,
    answering: Answering,
}

#[derive(Debug)]
enum Pause {
    /// The next frame may go.
    Over,
    /// Something was handed over that should reach the socket first.
    Flush,
    Sleep(Pin<Box<Sleep>>),
}

impl Paced {
    pub(crate) fn new(
        frames: Vec<Bytes>,
        ending: Ending,
        gap: Option<Duration>,
        answering: Answering,
    ) -> Self {
        let frames: VecDeque<_> = frames.into_iter().filter(|frame| !frame.is_empty()).collect();
        let sized = frames.len() <= 1 && matches!(ending, Ending::Clean);
        let pause = if sized { Pause::Over } else { Pause::Flush };
        let mut body = Self { frames, ending, gap, pause, sized, answering };
        body.note_the_end();
        body
    }

    /// Once the last frame is out, whatever the client does is no longer an interruption.
    fn note_the_end(&mut self) {
        if self.frames.is_empty() {
            match self.ending {
                Ending::Clean => self.answering.end(Outcome::Complete),
                Ending::Stall => {}
                Ending::Abort | Ending::Cut(_) => self.answering.end(Outcome::Broken),
            }
        }
    }

    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.pause {
            Pause::Over => {}
            Pause::Flush => {
                // hyper flushes what it has as soon as the body has nothing more to give.
                self.pause = Pause::Over;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Pause::Sleep(sleep) => {
                ready!(sleep.as_mut().poll(cx));
                self.pause = Pause::Over;
            }
        }
        Poll::Ready(())
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        ready!(self.poll_pause(cx));
        if let Some(frame) = self.frames.pop_front() {
            if let (Ending::Cut(switch), true) = (&self.ending, self.frames.is_empty()) {
                switch.cut_next_write();
            }
            self.pause = match self.gap {
                Some(gap) if !self.frames.is_empty() => Pause::Sleep(Box::pin(tokio::time::sleep(gap))),
                _ => Pause::Flush,
            };
            self.note_the_end();
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        match self.ending {
            Ending::Clean => Poll::Ready(None),
            // Nothing will ever wake this; the connection drops it when the client leaves.
            Ending::Stall => Poll::Pending,
            Ending::Abort | Ending::Cut(_) => {
                Poll::Ready(Some(Err(Error::new(ErrorKind::ConnectionAborted, "cut by the script"))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.sized && self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.sized {
            SizeHint::with_exact(self.frames.iter().map(|frame| frame.len() as u64).sum())
        } else {
            SizeHint::default()
        }
    }
}
