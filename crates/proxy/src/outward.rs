//! Calls the gateway makes on its own account (exports, webhooks), over the connections providers are called with: the
//! same TLS, the same check of addresses, no redirects. Blocking, for threads beside the data plane.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use tokio::runtime::Runtime;

use crate::Shared;
use crate::retry::after::retry_after;
use crate::upstream::{self, AnswerBody, Origin, Outgoing, Patience, Pool, RequestHead, TlsSetup};

/// More of an answer is not read: it is for people and for a few numbers.
const BODY_LIMIT: usize = 64 * 1024;

/// A client that belongs to one thread; it keeps its connections.
pub struct Outward {
    pool: Pool,
    runtime: Runtime,
}

/// One call.
#[derive(Clone, Debug)]
pub struct OutwardCall {
    pub method: Method,
    /// `http://…` or `https://…`
    pub url: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The operator named the address in the configuration; else it must be a public one.
    pub trusted: bool,
    /// For all of it.
    pub within: Duration,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct OutwardAnswer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// At most the first 64 KiB.
    pub body: Bytes,
    /// How long it asks to wait.
    pub retry_after: Option<Duration>,
}

/// Why nothing came back. Holds no header and no body.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OutwardError(String);

impl Outward {
    /// One that shares its certificates with nobody.
    pub fn new() -> io::Result<Self> {
        Self::with(Arc::default())
    }

    /// One for a thread beside this gateway.
    pub fn beside(shared: &Shared) -> io::Result<Self> {
        Self::with(Arc::clone(shared.tls()))
    }

    fn with(tls: Arc<TlsSetup>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { pool: Pool::new(tls), runtime })
    }

    /// Makes the call. Any status is an answer, a redirect, too.
    pub fn call(&self, call: &OutwardCall) -> Result<OutwardAnswer, OutwardError> {
        let answered =
            self.runtime.block_on(async { tokio::time::timeout(call.within, self.send(call)).await });
        answered.unwrap_or_else(|_| Err(OutwardError(format!("no answer within {:?}", call.within))))
    }

    async fn send(&self, call: &OutwardCall) -> Result<OutwardAnswer, OutwardError> {
        // What is not printable could end the line it stands in.
        let (origin, path) = Origin::of_url(&call.url, call.trusted)
            .filter(|_| call.url.bytes().all(|byte| byte.is_ascii_graphic()))
            .ok_or_else(|| OutwardError("the address is not an http or https URL".to_owned()))?;
        let mut head = RequestHead::new(call.method.clone(), &path, &origin.authority());
        for (name, value) in &call.headers {
            head.header(name, value);
        }
        let body = Outgoing::Whole(call.body.clone());
        let head = head.end(&body);
        let patience = Patience { connect: call.within, first_byte: call.within };
        let answer = upstream::send(&self.pool, &Arc::new(origin), &head, body, patience)
            .await
            .map_err(|error| OutwardError(error.to_string()))?;
        let retry_after = retry_after(&answer.headers, SystemTime::now());
        let body = beginning(answer.body).await;
        Ok(OutwardAnswer { status: answer.status, headers: answer.headers, body, retry_after })
    }
}

/// The status is the answer: a body that breaks off is as good as its beginning.
async fn beginning(mut body: AnswerBody) -> Bytes {
    let mut read = Vec::new();
    while read.len() <= BODY_LIMIT
        && let Some(Ok(piece)) = std::future::poll_fn(|cx| body.poll_data(cx)).await
    {
        read.extend_from_slice(&piece);
    }
    read.truncate(BODY_LIMIT);
    read.into()
}

impl fmt::Debug for Outward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outward").finish_non_exhaustive()
    }
}
