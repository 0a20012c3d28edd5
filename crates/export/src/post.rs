//! HTTP, as targets see it. The client itself is the proxy's, with its connections, TLS and check of addresses; the binary
//! lends it, so that this room needs none of its own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

/// Makes calls, one at a time, on the thread it was made on.
pub trait Post {
    /// Makes one call. Any status is an answer; no redirect is followed.
    fn call(&mut self, call: &Call) -> Result<Answer, Unreachable>;
}

/// Makes a client for the thread it is called on.
pub type PostMaker = Arc<dyn Fn() -> Result<Box<dyn Post>, Unreachable> + Send + Sync>;

/// One call. Values of headers that are secret are marked so, and not printed.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    /// `https://…` or `http://…`
    pub url: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The operator wrote the address into the configuration file; else it must be a public one.
    pub trusted: bool,
    /// For all of it, from connecting to the last byte of the answer.
    pub within: Duration,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    /// Its beginning.
    pub body: Bytes,
    /// How long it asks to wait.
    pub retry_after: Option<Duration>,
}

/// Why nothing came back. Holds no secret.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(pub String);
