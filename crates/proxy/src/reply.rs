//! Errors → HTTP, in this file and nowhere else.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use serde::Serialize;

use crate::body::Body;
use crate::failure::{Code, Failure};

/// Cloudflare's data-plane error: `error` is an array, `result` an empty one. Clients read any of
/// `error[0].code`, `internalCode`, `errors[0]` or `message`, so all are there.
#[derive(Serialize)]
struct Envelope<'a> {
    success: bool,
    result: [(); 0],
    messages: [(); 0],
    error: [Entry<'a>; 1],
    name: &'static str,
    #[serde(rename = "httpCode")]
    http_code: u16,
    #[serde(rename = "internalCode")]
    internal_code: u16,
    message: &'a str,
    description: &'a str,
}

#[derive(Serialize)]
struct Entry<'a> {
    code: u16,
    message: &'a str,
}

pub(crate) fn failure(failure: &Failure) -> Response<Body> {
    let bytes = envelope(failure);
    let mut response = Response::new(Body::full(bytes));
    *response.status_mut() = failure.status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = failure.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The body of [`failure`], which the log keeps as the response.
pub(crate) fn envelope(failure: &Failure) -> Bytes {
    if let Some(body) = &failure.body {
        return Bytes::from(body.to_string());
    }
    let envelope = Envelope {
        success: false,
        result: [],
        messages: [],
        error: [Entry { code: failure.code as u16, message: &failure.message }],
        name: "AiGatewayError",
        http_code: failure.status.as_u16(),
        internal_code: failure.code as u16,
        message: &failure.message,
        description: &failure.description,
    };
    serde_json::to_vec(&envelope).map_or_else(|_| Bytes::from_static(b"{\"success\":false}"), Bytes::from)
}

/// An answer for paths that belong to no gateway.
pub(crate) fn not_found(path: &str) -> Response<Body> {
    failure(&Failure::refused(
        StatusCode::NOT_FOUND,
        Code::NotFound,
        "Not found",
        format!(
            "no such path: {}; provider calls go to /v1/<account>/<gateway>/<provider>/…",
            path.chars().take(200).collect::<String>()
        ),
    ))
}
