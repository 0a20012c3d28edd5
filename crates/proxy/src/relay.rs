//! Bytes to the client, as they came. Everything else is fed from a tee.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::Sleep;

use crate::body::Broken;
use crate::receipt::Receipt;
use crate::resume::Keeping;
use crate::translating::Translating;
use crate::upstream::AnswerBody;
use crate::upstream::broadcast::Lingering;

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
    breaking: Breaking,
    /// Set if client and provider speak different dialects.
    translator: Option<Box<Translating>>,
    /// Set if the client can go on where it was after it lost its connection.
    keeping: Option<Box<Keeping>>,
}

/// How far an answer that broke off has got in telling the client.
#[derive(Clone, Copy)]
enum Breaking {
    No,
    /// A last piece was handed over and is to be written first.
    AfterThis,
    Now,
}

impl Relay {
    pub(crate) fn new(answer: AnswerBody, receipt: Receipt, idle: Duration) -> Self {
        let mut relay = Self {
            answer,
            receipt,
            idle,
            last_piece: Instant::now(),
            timer: None,
            finished: false,
            breaking: Breaking::No,
            translator: None,
            keeping: None,
        };
        if relay.answer.is_finished() {
            relay.receipt.complete();
            relay.finished = true;
        }
        relay
    }

    /// A stream whose events are translated on their way.
    pub(crate) fn translated(
        answer: AnswerBody,
        receipt: Receipt,
        idle: Duration,
        translator: Translating,
    ) -> Self {
        let translator = Some(Box::new(translator));
        let last_piece = Instant::now();
        Self {
            answer,
            receipt,
            idle,
            last_piece,
            timer: None,
            finished: false,
            breaking: Breaking::No,
            translator,
            keeping: None,
        }
    }

    /// It is kept, not at its end, and somebody hears it on another connection.
    pub(crate) fn is_heard_again(&self) -> bool {
        self.keeping.as_ref().is_some_and(|keeping| keeping.is_heard())
    }

    /// Keeps what the client is given from here on.
    pub(crate) fn keep(&mut self, keeping: Keeping) {
        self.keeping = Some(Box::new(keeping));
        self.keep_end();
    }

    /// Its end has not come yet, and nothing went wrong so far.
    pub(crate) fn is_under_way(&self) -> bool {
        !self.finished && matches!(self.breaking, Breaking::No)
    }

    /// Reads the rest, for the log alone: the client has left.
    pub(crate) async fn read_on(mut self: Box<Self>) {
        self.receipt.client_gone();
        while let Some(Ok(_)) = std::future::poll_fn(|cx| self.poll_data(cx)).await {}
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether others may share the call that this client pays for.
    pub(crate) fn is_shared_by_payer(&self) -> bool {
        !self.finished && self.answer.shared_by_payer().is_some()
    }

    /// The client has gone. As long as others listen the provider is read on, and the receipt goes on with it: what the
    /// call costs in the end is paid by whoever made it.
    pub(crate) fn client_left(mut self: Box<Self>) {
        let Some((listener, heirs)) = self.answer.shared_by_payer() else { return };
        if !listener.lingers() || self.receipt.has_all_of_it() {
            return;
        }
        let heirs = heirs.clone();
        self.receipt.client_gone_early();
        if self.poll_on(&mut Context::from_waker(Waker::noop())).is_pending() {
            heirs.borrow_mut().push(self);
        }
    }

    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let polled = self.poll_answer(cx);
        if let (Some(keeping), Poll::Ready(said)) = (&mut self.keeping, &polled) {
            match said {
                Some(Ok(piece)) => keeping.said(piece),
                Some(Err(_)) => keeping.end(Err("the provider's answer broke off")),
                None => {}
            }
            self.keep_end();
        }
        polled
    }

    fn keep_end(&mut self) {
        if let Some(mut keeping) = self.keeping.take_if(|_| self.finished) {
            keeping.end(Ok(()));
        }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        match self.breaking {
            Breaking::No => {}
            Breaking::AfterThis => return self.breaks(cx),
            Breaking::Now => {
                self.breaking = Breaking::No;
                self.finished = true;
                return Poll::Ready(Some(Err(Broken)));
            }
        }
        if self.finished {
            return Poll::Ready(None);
        }
        if self.translator.is_some() {
            return self.poll_translated(cx);
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

    fn poll_translated(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        loop {
            let Some(translator) = &mut self.translator else { return Poll::Ready(None) };
            let mut out = Vec::new();
            match self.answer.poll_data(cx) {
                Poll::Ready(Some(Ok(piece))) => {
                    if self.timer.is_some() {
                        self.last_piece = Instant::now();
                    }
                    if translator.push(&piece, &mut out).is_err() {
                        return self.cut(cx, out, "the provider's answer could not be unpacked");
                    }
                    let ended = self.answer.is_finished();
                    if ended {
                        translator.finish(&mut out);
                    }
                    let failed = translator.has_failed();
                    let out = Bytes::from(out);
                    self.receipt.translated_piece(&piece, &out);
                    if failed {
                        return self.failed_translation(out);
                    }
                    if ended {
                        self.receipt.complete();
                        self.finished = true;
                    }
                    match (out.is_empty(), ended) {
                        (false, _) => return Poll::Ready(Some(Ok(out))),
                        (true, true) => return Poll::Ready(None),
                        (true, false) => {} // nothing the client needs to hear of yet
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    return self.cut(cx, out, &error.to_string());
                }
                Poll::Ready(None) => {
                    translator.finish(&mut out);
                    let failed = translator.has_failed();
                    let out = Bytes::from(out);
                    self.receipt.translated_piece(&Bytes::new(), &out);
                    if failed {
                        return self.failed_translation(out);
                    }
                    self.receipt.complete();
                    self.finished = true;
                    return Poll::Ready((!out.is_empty()).then_some(Ok(out)));
                }
                Poll::Pending => return self.poll_idle(cx),
            }
        }
    }

    /// The client gets what could be read and an error event of its own dialect; the transfer breaks after it.
    fn cut(
        &mut self,
        cx: &mut Context<'_>,
        mut out: Vec<u8>,
        cause: &str,
    ) -> Poll<Option<Result<Bytes, Broken>>> {
        if let Some(translator) = &mut self.translator {
            translator.broken(&mut out, "the provider's answer broke off");
        }
        self.receipt.broken(cause);
        self.breaking = Breaking::AfterThis;
        if out.is_empty() {
            return self.breaks(cx);
        }
        Poll::Ready(Some(Ok(out.into())))
    }

    /// The client has been told of an error in its own dialect; the transfer breaks after it, and the provider is not
    /// listened to any more.
    fn failed_translation(&mut self, out: Bytes) -> Poll<Option<Result<Bytes, Broken>>> {
        self.receipt.failed_translation();
        self.breaking = Breaking::AfterThis;
        Poll::Ready(Some(Ok(out)))
    }

    fn broken(&mut self, cx: &mut Context<'_>, cause: &str) -> Poll<Option<Result<Bytes, Broken>>> {
        self.receipt.broken(cause);
        self.breaks(cx)
    }

    /// An error makes hyper drop the connection with whatever it has not written yet, so it gets a turn to write
    /// first: a client must see every event the provider sent before it broke off.
    fn breaks(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        self.breaking = Breaking::Now;
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

impl Lingering for Relay {
    fn poll_on(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.poll_data(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending if matches!(self.breaking, Breaking::Now) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
