//! Connections to providers: one HTTP/1.1 exchange per connection at a time, reused through a pool that belongs
//! to one thread.
//!
//! Our own HTTP/1.1 client rather than hyper's: hyper drives each connection from a task of its own and hands
//! bytes over through channels, which costs two wake-ups per chunk. Here the task that serves the client reads
//! the provider's socket itself, hands on everything one `read` brought as one piece, and closing the client's
//! side drops the provider's socket in the same breath.
//!
//! * `upstream/io`: a TCP or TLS stream
//! * `upstream/connect`: resolve, check, connect
//! * `upstream/http1`: write a request, read a response head
//! * `upstream/chunked`: the chunked transfer coding
//! * `upstream/answer`: the body of a response
//! * `upstream/broadcast`: one answer for several clients
//! * `upstream/pool`: idle connections

mod answer;
pub(crate) mod broadcast;
mod chunked;
mod connect;
mod http1;
mod io;
mod pool;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use answer::{Answer, AnswerBody, AnswerError};
pub use connect::trusted_roots;
pub(crate) use connect::{ConnectError, TlsSetup};
pub(crate) use http1::{RequestHead, Tee, Upload};
pub(crate) use io::Connection;
pub(crate) use pool::Pool;

use bytes::Bytes;

/// Where a provider listens.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Origin {
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Named by the operator, so it may be a private address; otherwise only public addresses are connected to.
    pub(crate) trusted: bool,
}

impl Origin {
    /// `host[:port]`, as the `host` header has it.
    pub(crate) fn authority(&self) -> String {
        let default_port = if self.tls { 443 } else { 80 };
        if self.port == default_port { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }
}

/// What is sent as the request's body.
pub(crate) enum Outgoing {
    /// All of it is here; it can be sent again.
    Whole(Bytes),
    /// It comes from the client while we send. Boxed: rare and large.
    Streamed(Box<Upload>),
}

impl Outgoing {
    /// The same body for one more attempt, if there can be one.
    pub(crate) fn again(&self) -> Option<Self> {
        match self {
            Self::Whole(bytes) => Some(Self::Whole(bytes.clone())),
            Self::Streamed(_) => None,
        }
    }
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) connect: Duration,
    pub(crate) first_byte: Duration,
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("no answer within {0:?}")]
    FirstByte(Duration),
    #[error("the connection broke before an answer came: {0}")]
    Broken(std::io::Error),
    #[error("the answer is not HTTP: {0}")]
    NotHttp(String),
    #[error("the client's upload broke off")]
    Upload,
}

/// Sends one request to `origin` and waits for the head of the answer.
///
/// A kept connection may have been closed by the provider in the same moment; if not one byte of an answer came
/// back over it, the request is sent once more over a fresh one.
pub(crate) async fn send(
    pool: &Pool,
    origin: &Arc<Origin>,
    head: &RequestHead,
    body: Outgoing,
    patience: Patience,
) -> Result<Answer, SendError> {
    let mut body = body;
    let once = matches!(body, Outgoing::Streamed(_));
    if let Some(connection) = pool.take(origin, once) {
        let again = match &body {
            Outgoing::Whole(bytes) => Some(bytes.clone()),
            Outgoing::Streamed(_) => None,
        };
        match http1::exchange(connection, head, body, patience.first_byte).await {
            Err(SendError::Broken(_)) if again.is_some() => body = Outgoing::Whole(again.unwrap_or_default()),
            sent => return sent.map(|answer| answer.pooled(pool, origin)),
        }
    }
    let began = Instant::now();
    // On the heap, as a kept connection would have to hold room for it, too.
    let connection = Box::pin(connect::connect(pool.tls(), origin, patience.connect)).await?;
    // The way there is part of the wait.
    let left = patience.first_byte.saturating_sub(began.elapsed());
    match http1::exchange(connection, head, body, left).await {
        Err(SendError::FirstByte(_)) => Err(SendError::FirstByte(patience.first_byte)),
        sent => sent.map(|answer| answer.pooled(pool, origin)),
    }
}
