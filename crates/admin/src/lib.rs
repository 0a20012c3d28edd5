//! What the operator sees: health now; the management API, metrics and dashboard will live here too.
//!
//! Runs beside the data plane, on threads that may block, and shares nothing with it but the store and the journal.
//!
//! * [`health`]: `/healthz`, `/readyz`
//! * [`envelope`]: Cloudflare's management envelope, for what has no answer yet

pub mod envelope;
pub mod health;

use std::sync::Arc;

use bytes::Bytes;
use genesis_store::{Journal, Store};
use http::{Method, Request, Response, StatusCode};

/// Answers everything that is not a call to a provider.
pub fn aside(
    store: Store,
    journal: Arc<Journal>,
) -> Arc<dyn Fn(Request<Bytes>) -> Response<Bytes> + Send + Sync> {
    Arc::new(move |request| answer(&store, &journal, &request))
}

fn answer(store: &Store, journal: &Journal, request: &Request<Bytes>) -> Response<Bytes> {
    let path = request.uri().path().trim_end_matches('/');
    if !matches!(*request.method(), Method::GET | Method::HEAD) && !path.starts_with("/client/") {
        return envelope::failure(StatusCode::METHOD_NOT_ALLOWED, 7001, "this path answers GET only");
    }
    match path {
        "" => health::greeting(),
        "/healthz" | "/health" => health::live(),
        "/readyz" => health::ready(store, journal),
        _ => envelope::failure(
            StatusCode::NOT_FOUND,
            7003,
            "no such path in the management API of this version",
        ),
    }
}
