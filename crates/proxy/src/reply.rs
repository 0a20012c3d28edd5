//! Errors → HTTP, in this file and nowhere else.

use bytes::Bytes;
use genesis_wire::Dialect;
use genesis_wire::translate;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::body::Body;
use crate::failure::{Code, Failure};
use crate::resolve::Manner;

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
    told(failure, Manner::Gateway)
}

pub(crate) fn told(failure: &Failure, manner: Manner) -> Response<Body> {
    let bytes = envelope(failure, manner);
    let mut response = Response::new(Body::full(bytes));
    *response.status_mut() = failure.status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = failure.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The body of [`told`], which the log keeps as the response.
pub(crate) fn envelope(failure: &Failure, manner: Manner) -> Bytes {
    if let Some(body) = &failure.body {
        return Bytes::from(body.to_string());
    }
    if let Manner::Client(dialect) = manner {
        return for_sdks(failure, dialect);
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

/// The error object that OpenAI's and Anthropic's SDKs look into, with Cloudflare's fields beside it.
fn for_sdks(failure: &Failure, dialect: Dialect) -> Bytes {
    let (code, status) = (failure.code as u16, failure.status.as_u16());
    let said = match failure.description.as_str() {
        "" => failure.message.to_string(),
        description => format!("{}: {description}", failure.message),
    };
    let plain = json!({ "error": { "message": said, "code": code.to_string() } }).to_string();
    let body = translate::error(dialect, Dialect::OpenAiChat, status, plain.as_bytes());
    let mut body: Map<String, Value> = serde_json::from_slice(&body).unwrap_or_default();
    for (name, value) in [
        ("success", json!(false)),
        ("result", Value::Null),
        ("messages", json!([])),
        ("errors", json!([{ "code": code, "message": failure.message }])),
        ("name", json!("AiGatewayError")),
        ("httpCode", json!(status)),
        ("internalCode", json!(code)),
        ("message", json!(failure.message)),
        ("description", json!(failure.description)),
    ] {
        body.insert(name.to_owned(), value);
    }
    Value::Object(body).to_string().into()
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
