//! A TCP or TLS stream with its read buffer.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// The first read of an answer; most JSON answers and every stream event fit.
const READ_SMALL: usize = 8 * 1024;
/// What a read may grow to while a large body keeps filling it.
const READ_LARGE: usize = 128 * 1024;

pub(crate) struct Connection {
    stream: Stream,
    /// Bytes read and not yet consumed.
    pub(crate) read: BytesMut,
    read_size: usize,
}

enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    pub(crate) fn tcp(stream: TcpStream) -> Self {
        Self { stream: Stream::Tcp(stream), read: BytesMut::new(), read_size: READ_SMALL }
    }

    pub(crate) fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self { stream: Stream::Tls(Box::new(stream)), read: BytesMut::new(), read_size: READ_SMALL }
    }

    /// The stream and what was read from it; `None` if it speaks TLS.
    pub(crate) fn into_tcp(self) -> Option<(TcpStream, Bytes)> {
        match self.stream {
            Stream::Tcp(stream) => Some((stream, self.read.freeze())),
            Stream::Tls(_) => None,
        }
    }

    /// Reads what is there into the buffer. `Ready(Ok(0))` is the end of the stream.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let Stream::Tcp(tcp) = &self.stream {
            // An idle stream holds no buffer: it is allocated once there is something to read.
            if self.read.is_empty() && tcp.poll_read_ready(cx)?.is_pending() {
                self.read = BytesMut::new();
                return Poll::Pending;
            }
        }
        self.read.reserve(self.read_size);
        let polled = match &mut self.stream {
            Stream::Tcp(stream) => pin!(stream.read_buf(&mut self.read)).poll(cx),
            Stream::Tls(stream) => pin!(stream.read_buf(&mut self.read)).poll(cx),
        };
        let count = ready!(polled)?;
        self.read_size =
            if count >= self.read_size { (self.read_size * 4).min(READ_LARGE) } else { READ_SMALL };
        Poll::Ready(Ok(count))
    }

    /// Writes from up to two pieces in one call.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let pieces = [io::IoSlice::new(first), io::IoSlice::new(second)];
        self.poll_write_slices(cx, if first.is_empty() { &pieces[1..] } else { &pieces[..] })
    }

    pub(crate) fn poll_write_slices(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, pieces),
        }
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(_) => Poll::Ready(Ok(())),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    /// False if the peer has closed an idle connection or said something out of turn.
    pub(crate) fn is_idle_alive(&mut self) -> bool {
        if !self.read.is_empty() {
            return false;
        }
        match &mut self.stream {
            Stream::Tcp(stream) => {
                // Asks the kernel itself: the runtime may not have seen the close yet.
                let mut byte = [std::mem::MaybeUninit::uninit()];
                let peeked = socket2::SockRef::from(&*stream).peek(&mut byte);
                matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            Stream::Tls(stream) => {
                // Session tickets may wait unread, so the TLS layer has to look.
                let mut byte = [0; 1];
                let mut cx = Context::from_waker(Waker::noop());
                Pin::new(stream.as_mut()).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
            }
        }
    }
}
