//! Bytes both ways, as they come, until one side ends.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use genesis_store::Outcome;
use genesis_wire::report::realtime::{may_report, read_message};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use super::frames::Frames;
use crate::receipt::Receipt;
use crate::upstream::Connection;

const READ_SIZE: usize = 16 * 1024;
/// How long both sides have to say goodbye when the gateway stops.
const GOODBYE: Duration = Duration::from_secs(2);
/// A Close frame with status 1001, "going away".
const GOING_AWAY: [u8; 4] = [0x88, 0x02, 0x03, 0xe9];
/// The same as a client sends it: masked, with a mask of zeros.
const GOING_AWAY_MASKED: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9];

/// Both ends of a session and what is on its way between them.
pub(super) struct Tunnel {
    client: TokioIo<Upgraded>,
    provider: Connection,
    receipt: Receipt,
    /// From the client to the provider.
    up: Way,
    down: Way,
    /// Read from the client.
    buffer: BytesMut,
    last_byte: Instant,
}

#[derive(Default)]
struct Way {
    pending: Bytes,
    unflushed: bool,
    frames: Frames,
    goodbye: Goodbye,
}

/// Our own Close.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
enum Goodbye {
    #[default]
    None,
    /// To be put in where no frame is under way.
    Due,
    /// Nothing is passed on after it.
    Said,
}

/// Who ended it, and with what error.
enum Ended {
    Client(Option<io::Error>),
    Provider(Option<io::Error>),
}

impl Tunnel {
    pub(super) fn new(client: Upgraded, provider: Connection, receipt: Receipt) -> Self {
        Self {
            client: TokioIo::new(client),
            provider,
            receipt,
            up: Way::default(),
            down: Way::default(),
            buffer: BytesMut::new(),
            last_byte: Instant::now(),
        }
    }

    /// Runs until one side ends, nobody says anything for `idle`, or the gateway stops.
    pub(super) async fn run(mut self, idle: Duration, mut stopped: watch::Receiver<Option<Duration>>) {
        loop {
            let silent_at = self.last_byte + idle;
            tokio::select! {
                ended = poll_fn(|cx| self.poll(cx)) => return self.finish(&ended),
                _ = stopped.changed() => {
                    return self.go_away("the gateway was told to stop").await;
                }
                () = tokio::time::sleep_until(silent_at.into()) => {
                    if self.last_byte.elapsed() >= idle {
                        return self.go_away(&format!("nothing was said for {} s", idle.as_secs())).await;
                    }
                }
            }
        }
    }

    /// Says goodbye to both sides, each between two frames of its own.
    async fn go_away(mut self, why: &str) {
        self.up.goodbye = Goodbye::Due;
        self.down.goodbye = Goodbye::Due;
        let said = tokio::time::timeout(GOODBYE, poll_fn(|cx| self.poll(cx))).await;
        match said {
            Ok(ended) => self.finish(&ended),
            Err(_) => self.receipt.session_ended(Outcome::Success, why),
        }
    }

    fn finish(mut self, ended: &Ended) {
        let closed = self.up.frames.has_closed()
            || self.down.frames.has_closed()
            || self.down.goodbye == Goodbye::Said;
        let (outcome, why) = match ended {
            _ if closed => (Outcome::Success, String::new()),
            Ended::Client(error) => (Outcome::ClientLeft, words("the client left without closing", error)),
            Ended::Provider(error) => {
                (Outcome::UpstreamBroken, words("the provider left without closing", error))
            }
        };
        self.receipt.session_ended(outcome, &why);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            let up = match self.poll_up(cx) {
                Ok(moved) => moved,
                Err(ended) => return self.poll_rest(cx, ended),
            };
            let down = match self.poll_down(cx) {
                Ok(moved) => moved,
                Err(ended) => return self.poll_rest(cx, ended),
            };
            if !up && !down {
                return Poll::Pending;
            }
            self.last_byte = Instant::now();
        }
    }

    /// One side has ended; what it said last is still handed over as far as the other takes it at once.
    fn poll_rest(&mut self, cx: &mut Context<'_>, ended: Ended) -> Poll<Ended> {
        if matches!(ended, Ended::Provider(_)) {
            while self.write_down(cx).is_ok_and(|moved| moved) {}
        } else {
            while self.write_up(cx).is_ok_and(|moved| moved) {}
        }
        Poll::Ready(ended)
    }

    /// From the client to the provider; true if something moved.
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        self.up.say_goodbye(&GOING_AWAY_MASKED);
        if self.write_up(cx).map_err(|error| Ended::Provider(Some(error)))? {
            return Ok(true);
        }
        if !self.up.pending.is_empty() {
            return Ok(false);
        }
        self.buffer.resize(READ_SIZE, 0);
        let mut read = ReadBuf::new(&mut self.buffer);
        match Pin::new(&mut self.client).poll_read(cx, &mut read) {
            Poll::Ready(Ok(())) if read.filled().is_empty() => Err(Ended::Client(None)),
            Poll::Ready(Ok(())) => {
                let count = read.filled().len();
                let piece = self.buffer.split_to(count).freeze();
                self.up.frames.push(&piece, |_| {});
                self.receipt.session_sent(piece.len());
                self.up.pass_on(piece);
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(Ended::Client(Some(error))),
            Poll::Pending => {
                self.buffer = BytesMut::new(); // an idle session holds no buffer
                Ok(false)
            }
        }
    }

    /// From the provider to the client; true if something moved.
    fn poll_down(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        self.down.say_goodbye(&GOING_AWAY);
        if self.write_down(cx).map_err(|error| Ended::Client(Some(error)))? {
            return Ok(true);
        }
        if !self.down.pending.is_empty() {
            return Ok(false);
        }
        if self.provider.read.is_empty() {
            match self.provider.poll_fill(cx) {
                Poll::Ready(Ok(0)) => return Err(Ended::Provider(None)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Err(Ended::Provider(Some(error))),
                Poll::Pending => return Ok(false),
            }
        }
        let piece = self.provider.read.split().freeze();
        let receipt = &mut self.receipt;
        self.down.frames.push(&piece, |text| {
            if may_report(text)
                && let Some(report) = read_message(text)
            {
                receipt.session_used(report);
            }
        });
        receipt.session_received(piece.len());
        self.down.pass_on(piece);
        Ok(true)
    }

    fn write_up(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let way = &mut self.up;
        if !way.pending.is_empty() {
            return way.wrote(self.provider.poll_write(cx, &way.pending.clone(), &[]));
        }
        if way.unflushed && self.provider.poll_flush(cx)?.is_ready() {
            way.unflushed = false;
        }
        Ok(false)
    }

    fn write_down(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let way = &mut self.down;
        if !way.pending.is_empty() {
            return way.wrote(Pin::new(&mut self.client).poll_write(cx, &way.pending.clone()));
        }
        if way.unflushed && Pin::new(&mut self.client).poll_flush(cx)?.is_ready() {
            way.unflushed = false;
        }
        Ok(false)
    }
}

impl Way {
    fn wrote(&mut self, polled: Poll<io::Result<usize>>) -> io::Result<bool> {
        match polled {
            Poll::Ready(Ok(0)) => Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(count)) => {
                self.pending.advance(count);
                self.unflushed = true;
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Ok(false),
        }
    }

    fn pass_on(&mut self, piece: Bytes) {
        if self.goodbye != Goodbye::Said {
            self.pending = piece;
        }
    }

    fn say_goodbye(&mut self, close: &'static [u8]) {
        if self.goodbye == Goodbye::Due && self.pending.is_empty() && self.frames.between() {
            if !self.frames.has_closed() {
                self.pending = Bytes::from_static(close);
            }
            self.goodbye = Goodbye::Said;
        }
    }
}

fn words(what: &str, error: &Option<io::Error>) -> String {
    match error {
        Some(error) => format!("{what}: {error}"),
        None => what.to_owned(),
    }
}
