//! The body of a provider's answer: read straight from its socket, or given again.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::Origin;
use super::broadcast::{Heirs, Listener};
use super::chunked::{BadChunk, Chunked};
use super::http1::Upload;
use super::io::Connection;
use super::pool::Pool;

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: AnswerBody,
}

impl Answer {
    /// Lets the connection go back to `pool` once the body has been read to its end.
    pub(super) fn pooled(mut self, pool: &Pool, origin: &Arc<Origin>) -> Self {
        if let AnswerBody::Socket(body) = &mut self.body {
            body.home = Some((pool.clone(), Arc::clone(origin)));
            body.release_if_done();
        }
        self
    }
}

/// Where the bytes come from.
pub(crate) enum AnswerBody {
    Socket(SocketBody),
    /// Given again from the cache.
    Stored(Option<Bytes>),
    /// Read by somebody else, for several.
    Shared(Listener),
}

/// Dropping it before its end closes the connection, which is how a provider learns that nobody listens.
pub(crate) struct SocketBody {
    connection: Option<Connection>,
    framing: Framing,
    reusable: bool,
    home: Option<(Pool, Arc<Origin>)>,
    upload: Option<Box<Upload>>,
}

/// Where the body ends.
pub(super) enum Framing {
    /// After so many more bytes.
    Length(u64),
    Chunked(Chunked),
    /// When the provider closes: its end cannot be told from a cut.
    UntilClose,
    Ended,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error("the provider's answer was cut off before its end")]
    Cut,
    #[error("the connection to the provider broke: {0}")]
    Broken(std::io::Error),
    #[error("the provider sent nothing for {0:?}")]
    Silent(Duration),
    #[error("the provider's answer is longer than {0} bytes")]
    TooLong(usize),
    #[error("the provider's answer broke off for all who shared it: {0}")]
    Shared(String),
    #[error("the client took the shared answer too slowly")]
    Behind,
    #[error(transparent)]
    BadChunk(#[from] BadChunk),
}

impl Framing {
    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunked::Size)
    }

    fn is_done(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunked::Done) | Self::Ended)
    }
}

impl AnswerBody {
    /// True if only a closed connection marks the end, so that a cut looks like one.
    pub(crate) fn ends_with_close(&self) -> bool {
        match self {
            Self::Socket(body) => body.ends_with_close(),
            Self::Stored(_) => false,
            Self::Shared(listener) => listener.ends_with_close(),
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        match self {
            Self::Socket(body) => body.framing.is_done(),
            Self::Stored(rest) => rest.is_none(),
            Self::Shared(listener) => listener.is_finished(),
        }
    }

    /// The listener, if it is one who pays for a call that others share.
    pub(crate) fn shared_by_payer(&self) -> Option<(&Listener, &Heirs)> {
        match self {
            Self::Shared(listener) => Some((listener, listener.heirs()?)),
            _ => None,
        }
    }

    /// The connection itself, after the provider agreed to speak another protocol over it.
    pub(crate) fn into_connection(self) -> Option<Connection> {
        match self {
            Self::Socket(body) => body.connection,
            Self::Stored(_) | Self::Shared(_) => None,
        }
    }

    /// The next piece: of a socket everything the last read brought, chunks joined.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, AnswerError>>> {
        match self {
            Self::Socket(body) => body.poll_data(cx),
            Self::Stored(rest) => Poll::Ready(rest.take().filter(|rest| !rest.is_empty()).map(Ok)),
            Self::Shared(listener) => listener.poll_data(cx),
        }
    }
}

impl SocketBody {
    pub(super) fn new(
        connection: Connection,
        framing: Framing,
        reusable: bool,
        upload: Option<Box<Upload>>,
    ) -> Self {
        Self { connection: Some(connection), framing, reusable, home: None, upload }
    }

    fn ends_with_close(&self) -> bool {
        matches!(self.framing, Framing::UntilClose)
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, AnswerError>>> {
        loop {
            let Some(connection) = &mut self.connection else { return Poll::Ready(None) };
            if self.framing.is_done() {
                self.release_if_done();
                return Poll::Ready(None);
            }
            match take(connection, &mut self.framing) {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    self.release_if_done();
                    return Poll::Ready(Some(Ok(data)));
                }
                Err(error) => return self.broken(error),
            }
            if self.framing.is_done() {
                continue;
            }
            // A request still being uploaded while its answer arrives.
            if let Some(upload) = &mut self.upload
                && upload.poll(cx, connection).is_ready()
            {
                self.upload = None;
            }
            match connection.poll_fill(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) if self.ends_with_close() => {
                    self.connection = None;
                    self.framing = Framing::Ended;
                }
                Poll::Ready(Ok(0)) => return self.broken(AnswerError::Cut),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return self.broken(AnswerError::Broken(error)),
            }
        }
    }

    fn broken(&mut self, error: AnswerError) -> Poll<Option<Result<Bytes, AnswerError>>> {
        self.connection = None;
        Poll::Ready(Some(Err(error)))
    }

    fn release_if_done(&mut self) {
        if !self.framing.is_done() {
            return;
        }
        let connection = self.connection.take();
        if let (true, Some(connection), Some((pool, origin))) = (self.reusable, connection, &self.home)
            && connection.read.is_empty()
        {
            pool.put(origin, connection);
        }
    }
}

/// What of the buffered bytes belongs to the body.
fn take(connection: &mut Connection, framing: &mut Framing) -> Result<Bytes, AnswerError> {
    let buffer = &mut connection.read;
    Ok(match framing {
        Framing::Length(left) => {
            let here = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
            *left -= here as u64;
            buffer.split_to(here).freeze()
        }
        Framing::Chunked(chunked) => chunked.decode(buffer)?,
        Framing::UntilClose => buffer.split().freeze(),
        Framing::Ended => Bytes::new(),
    })
}

impl AnswerBody {
    /// All of it, for answers the gateway itself has to read; at most `limit` bytes, and no silence longer than `idle`.
    pub(crate) async fn collect(mut self, limit: usize, idle: Duration) -> Result<Vec<u8>, AnswerError> {
        let mut collected = Vec::new();
        loop {
            let next = tokio::time::timeout(idle, std::future::poll_fn(|cx| self.poll_data(cx)));
            match next.await.map_err(|_| AnswerError::Silent(idle))? {
                None => return Ok(collected),
                Some(piece) => collected.extend_from_slice(&piece?),
            }
            if collected.len() > limit {
                return Err(AnswerError::TooLong(limit));
            }
        }
    }
}
