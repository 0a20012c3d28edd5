//! A client's socket that can be cut in the middle of a write or reset.

use std::io::{self, Error, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

const WHOLE: u8 = 0;
const HALF: u8 = 1;
const CUT: u8 = 2;
const RESET: u8 = 3;

/// Decides the fate of one connection; shared by its [`Line`] and the answers given on it.
#[derive(Debug)]
pub(crate) struct Switch(AtomicU8);

impl Default for Switch {
    fn default() -> Self {
        Self(AtomicU8::new(WHOLE))
    }
}

impl Switch {
    /// The next write gets half of its bytes out, then the connection is closed.
    pub(crate) fn cut_next_write(&self) {
        self.0.store(HALF, Ordering::Relaxed);
    }

    /// The connection is closed at once, with a TCP reset.
    pub(crate) fn reset(&self) {
        self.0.store(RESET, Ordering::Relaxed);
    }
}

/// The socket of one connection.
#[derive(Debug)]
pub(crate) struct Line {
    stream: TcpStream,
    switch: Arc<Switch>,
}

impl Line {
    pub(crate) fn new(stream: TcpStream, switch: Arc<Switch>) -> Self {
        Self { stream, switch }
    }

    fn check(&self) -> io::Result<()> {
        match self.switch.0.load(Ordering::Relaxed) {
            CUT | RESET => Err(Error::new(ErrorKind::ConnectionAborted, "cut by the script")),
            _ => Ok(()),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.switch.0.load(Ordering::Relaxed) == RESET {
            // If it fails the peer sees an ordinary close, which is still no answer.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        if self.switch.0.load(Ordering::Relaxed) != HALF {
            return Pin::new(&mut self.stream).poll_write(cx, buf);
        }
        let half = &buf[..buf.len().div_ceil(2)];
        let written = std::task::ready!(Pin::new(&mut self.stream).poll_write(cx, half))?;
        self.switch.0.store(CUT, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
