//! Bytes to the client, as they came. Everything else is fed from a tee.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::Sleep;

use crate::body::Broken;
use crate::receipt::Receipt;
use crate::upstream::AnswerBody;

/// A provider's answer on its way to the client. Dropping it closes the provider's connection and finishes the
/// receipt.
pub(crate) struct Relay {
    answer: AnswerBody,
    receipt: Receipt,
    /// Longest silence between two pieces.
    idle: Duration,
    last_piece: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    finished: bool,
    /// The answer broke; the client is told once what came before has been written to it.
    breaking: bool,
}

impl Relay {
    pub(crate) fn new(answer: AnswerBody, receipt: Receipt, idle: Duration) -> Self {
        let mut relay = Self { answer, receipt, idle, last_piece: Instant::now(), timer: None, finished: false, breaking: false };
        if relay.answer.is_finished() {
            relay.receipt.complete();
            relay.finished = true;
        }
        relay
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        if self.breaking {
            self.finished = true;
            self.breaking = false;
            return Poll::Ready(Some(Err(Broken)));
        }
        if self.finished {
            return Poll::Ready(None);
        }
        // An answer that only ends with its connection cannot be told from a cut one until its stream is judged.
        let ends_with_close = self.answer.ends_with_close();
        match self.answer.poll_data(cx) {
            Poll::Ready(Some(Ok(piece))) => {
                self.receipt.response_piece(&piece);
                if self.timer.is_some() {
                    self.last_piece = Instant::now();
                }
                if self.answer.is_finished() {
                    self.receipt.complete();
                    self.finished = true;
                }
                Poll::Ready(Some(Ok(piece)))
            }
            Poll::Ready(Some(Err(error))) => self.broken(cx, &error.to_string()),
            Poll::Ready(None) => {
                let ended = self.receipt.complete();
                if ends_with_close && !ended {
                    return self.breaks(cx);
                }
                self.finished = true;
                Poll::Ready(None)
            }
            Poll::Pending => self.poll_idle(cx),
        }
    }

    fn broken(&mut self, cx: &mut Context<'_>, cause: &str) -> Poll<Option<Result<Bytes, Broken>>> {
        self.receipt.broken(cause);
        self.breaks(cx)
    }

    /// An error makes hyper drop the connection with whatever it has not written yet, so it gets a turn to write
    /// first: a client must see every event the provider sent before it broke off.
    fn breaks(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        self.breaking = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// One timer per answer, moved only when it fires: moving it at every event would cost more than the event.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let (idle, last_piece) = (self.idle, &mut self.last_piece);
        let timer = self.timer.get_or_insert_with(|| {
            *last_piece = Instant::now();
            Box::pin(tokio::time::sleep(idle))
        });
        while timer.as_mut().poll(cx).is_ready() {
            let silent = self.last_piece.elapsed();
            if silent >= idle {
                return self.broken(cx, &format!("the provider sent nothing for {} s", idle.as_secs()));
            }
            timer.as_mut().reset((Instant::now() + (idle - silent)).into());
        }
        Poll::Pending
    }
}
