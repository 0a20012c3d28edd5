//! The envelope of Cloudflare's management API. Note `errors` in the plural: the data plane says `error`.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

/// A failure with Cloudflare's code.
pub fn failure(status: StatusCode, code: u32, message: &str) -> Response<Bytes> {
    let errors = json!([{ "code": code, "message": message }]);
    body(status, &json!({ "success": false, "errors": errors, "messages": [], "result": Value::Null }))
}

/// Any value as JSON.
pub fn body(status: StatusCode, value: &impl Serialize) -> Response<Bytes> {
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Bytes::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
