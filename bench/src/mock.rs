//! A model provider that answers at once: OpenAI Chat and Anthropic Messages under any path, told by its end.

pub mod answer;
pub mod script;

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use crate::dialect::Dialect;
use crate::percore;
use answer::Events;
use script::{BadScript, Script};

/// Flags of `mock`.
#[derive(clap::Args, Debug, Clone)]
pub struct Options {
    /// Address to listen on; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:9100")]
    pub listen: SocketAddr,
    /// Threads, one listener each
    #[arg(long, default_value_t = 2)]
    pub threads: usize,
    /// End after this long, whoever forgot about it
    #[arg(long, default_value_t = 3600)]
    pub max_seconds: u64,
}

/// Starts answering; returns the bound address. Runs until the process ends.
pub fn start(options: &Options) -> std::io::Result<SocketAddr> {
    percore::accept(options.listen, options.threads, |client| async move {
        // A client that goes away is its own affair.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(client), service_fn(answer)).await;
    })
}

/// Whatever begins with this is answered with 503.
pub const DOWN: &str = "/down";

type Answer = Response<Either<Full<Bytes>, Events>>;

async fn answer(request: Request<Incoming>) -> Result<Answer, hyper::Error> {
    if request.method() == Method::GET {
        return Ok(json(StatusCode::OK, Bytes::from_static(br#"{"ok":true}"#)));
    }
    let Some(dialect) = Dialect::of_path(request.uri().path()) else {
        let message =
            br#"{"error":{"message":"the mock knows paths that end in /chat/completions or /messages"}}"#;
        return Ok(json(StatusCode::NOT_FOUND, Bytes::from_static(message)));
    };
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    if head.uri.path().starts_with(DOWN) {
        let message = br#"{"error":{"message":"this address of the mock is always down"}}"#;
        return Ok(json(StatusCode::SERVICE_UNAVAILABLE, Bytes::from_static(message)));
    }
    if !script::wants_stream(&body) {
        return Ok(json(StatusCode::OK, answer::whole(dialect, body.len())));
    }
    Ok(match Script::of(&head.headers, &body) {
        Ok(script) => {
            let mut response = Response::new(Either::Right(Events::new(dialect, script, body.len())));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            response
        }
        Err(BadScript(part)) => {
            let message =
                format!("cannot read {part:?} in the mock script; write events=100,gap-us=20000 or idle");
            let body = serde_json::json!({ "error": { "message": message } }).to_string();
            json(StatusCode::BAD_REQUEST, body.into())
        }
    })
}

fn json(status: StatusCode, body: Bytes) -> Answer {
    let mut response = Response::new(Either::Left(Full::new(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
