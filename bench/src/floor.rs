//! The floor **H**: what a relay on hyper costs when it does nothing but relay.
//!
//! One thread per core, one pool of upstream connections per thread, bodies streamed both ways, `TCP_NODELAY` on both
//! legs. No authentication, no limits, no log, no look at the bytes, no header touched. Whatever a gateway costs beyond
//! this is its own doing, so keep this as good as plain hyper allows: a slow floor flatters the gateway.

use std::cell::RefCell;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self as upstream, SendRequest};
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::percore;

/// Flags of `floor`.
#[derive(clap::Args, Debug, Clone)]
pub struct Options {
    /// Address to listen on; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:9101")]
    pub listen: SocketAddr,
    /// Where every request goes
    #[arg(long, default_value = "127.0.0.1:9100")]
    pub upstream: SocketAddr,
    /// Threads; one per core is the point
    #[arg(long, default_value_t = 2)]
    pub threads: usize,
    /// End after this long, whoever forgot about it
    #[arg(long, default_value_t = 3600)]
    pub max_seconds: u64,
}

/// Starts relaying; returns the bound address. Runs until the process ends.
pub fn start(options: &Options) -> std::io::Result<SocketAddr> {
    let upstream = options.upstream;
    percore::accept(options.listen, options.threads, move |client| async move {
        let service = service_fn(move |request| relay(upstream, request));
        // A client that goes away is its own affair.
        let _ = server::Builder::new()
            .auto_date_header(false)
            .serve_connection(TokioIo::new(client), service)
            .await;
    })
}

async fn relay(
    upstream: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Relayed>, Box<dyn Error + Send + Sync>> {
    let mut connection = idle_or_new(upstream).await?;
    let response = connection.send_request(request).await?;
    Ok(response.map(|body| Relayed { body, ended: false, connection: Some(connection) }))
}

thread_local! {
    /// Upstream connections of this thread that wait for a request.
    static IDLE: RefCell<Vec<SendRequest<Incoming>>> = const { RefCell::new(Vec::new()) };
}

async fn idle_or_new(address: SocketAddr) -> Result<SendRequest<Incoming>, Box<dyn Error + Send + Sync>> {
    while let Some(mut connection) = IDLE.with_borrow_mut(Vec::pop) {
        // Fails if the upstream closed it meanwhile: take the next.
        if connection.ready().await.is_ok() {
            return Ok(connection);
        }
    }
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (connection, driver) = upstream::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(driver);
    Ok(connection)
}

/// A response body on its way to the client; hands its connection back to the pool when it was read to the end.
struct Relayed {
    body: Incoming,
    ended: bool,
    connection: Option<SendRequest<Incoming>>,
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.ended = frame.is_none();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        let whole = self.ended || self.body.is_end_stream();
        if let Some(connection) = self.connection.take().filter(|_| whole) {
            IDLE.with_borrow_mut(|idle| idle.push(connection));
        }
    }
}
