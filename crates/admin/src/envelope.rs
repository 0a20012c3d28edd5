//! The envelope of Cloudflare's management API. Note `errors` in the plural: the data plane says `error`.

use std::convert::Infallible;

use bytes::Bytes;
use genesis_config::Problem;
use genesis_store::{Error as StoreError, ErrorKind};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The body of an answer: bytes, or events as they happen.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Cloudflare's codes, as far as they are publicly known.
pub(crate) mod code {
    pub(crate) const INTERNAL: u32 = 7000;
    pub(crate) const INVALID: u32 = 7001;
    pub(crate) const NOT_FOUND: u32 = 7002;
    pub(crate) const NO_ROUTE: u32 = 7003;
    pub(crate) const UNAUTHORIZED: u32 = 10000;
    pub(crate) const NO_CREDENTIALS: u32 = 9106;
    pub(crate) const CUSTOM_PROVIDER_INVALID: u32 = 1002;
    pub(crate) const CUSTOM_PROVIDER_EXISTS: u32 = 1003;
    pub(crate) const CUSTOM_PROVIDER_UNKNOWN: u32 = 1004;
}

/// Why a call was not done.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) faults: Vec<Fault>,
}

/// One reason.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) code: u32,
    pub(crate) message: String,
    /// Where in the request: `["body", "otel", 0, "url"]`. Empty: nowhere in particular.
    pub(crate) path: Vec<Value>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        Self { status, faults: vec![Fault { code, message: message.into(), path: Vec::new() }] }
    }

    /// A value that cannot be used, at one place of the request.
    pub(crate) fn invalid(place: &str, path: &str, message: impl Into<String>) -> Self {
        Self::problems(place, vec![Problem::at(path, message)])
    }

    /// Values that cannot be used. `place` is `body` or `query`; paths are below it.
    pub(crate) fn problems(place: &str, problems: Vec<Problem>) -> Self {
        let faults = problems.into_iter().map(|problem| Fault {
            code: code::INVALID,
            message: match problem.hint {
                Some(hint) => format!("{}; {hint}", problem.message),
                None => problem.message,
            },
            path: steps(place, &problem.path),
        });
        Self { status: StatusCode::BAD_REQUEST, faults: faults.collect() }
    }

    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code::NOT_FOUND, what)
    }

    pub(crate) fn conflict(what: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code::INVALID, what)
    }

    /// The same under another code.
    pub(crate) fn with_code(mut self, code: u32) -> Self {
        self.faults.iter_mut().for_each(|fault| fault.code = code);
        self
    }

    pub(crate) fn response(self) -> Response<Body> {
        let errors: Vec<_> = self.faults.into_iter().map(Fault::json).collect();
        let body = json!({ "success": false, "errors": errors, "messages": [], "result": Value::Null });
        json_body(self.status, &body)
    }
}

impl Fault {
    fn json(self) -> Value {
        let mut fault = json!({ "code": self.code, "message": self.message });
        if !self.path.is_empty() {
            let pointer: Vec<_> = self.path[1..].iter().map(pointer_step).collect();
            fault["source"] = json!({ "pointer": pointer.concat() });
            fault["path"] = Value::Array(self.path);
        }
        fault
    }
}

impl From<StoreError> for Refusal {
    /// The store's own sentences are for the operator; they hold no secret.
    fn from(error: StoreError) -> Self {
        let (status, code) = match error.kind() {
            ErrorKind::NotFound => (StatusCode::NOT_FOUND, code::NOT_FOUND),
            ErrorKind::Exists => (StatusCode::CONFLICT, code::INVALID),
            ErrorKind::Invalid => (StatusCode::BAD_REQUEST, code::INVALID),
            _ => (StatusCode::SERVICE_UNAVAILABLE, code::INTERNAL),
        };
        Self::new(status, code, error.to_string())
    }
}

/// `{success, errors, messages, result}`.
pub(crate) fn one(result: impl Into<Value>) -> Response<Body> {
    result_with(result, Map::new())
}

/// The same with further top-level fields.
pub(crate) fn result_with(result: impl Into<Value>, more: Map<String, Value>) -> Response<Body> {
    let mut body = json!({ "success": true, "errors": [], "messages": [], "result": result.into() });
    if let Value::Object(body) = &mut body {
        body.extend(more);
    }
    json_body(StatusCode::OK, &body)
}

/// A page of a list, with Cloudflare's `result_info`.
pub(crate) fn page(items: Vec<Value>, page: u64, per_page: u64, total: u64) -> Response<Body> {
    let info = page_info(&items, page, per_page, total);
    let more = [("result_info".to_owned(), info)];
    result_with(items, Map::from_iter(more))
}

pub(crate) fn page_info(items: &[Value], page: u64, per_page: u64, total: u64) -> Value {
    json!({
        "page": page, "per_page": per_page, "count": items.len(), "total_count": total,
        "total_pages": total.div_ceil(per_page.max(1)),
    })
}

/// Any value as JSON, in no envelope.
pub(crate) fn json_body(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    raw(status, "application/json", serde_json::to_vec(value).unwrap_or_default())
}

pub(crate) fn raw(status: StatusCode, media: &str, bytes: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(bytes.into()).boxed_unsync());
    *response.status_mut() = status;
    let media = HeaderValue::from_str(media);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, media.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    response
}

/// `otel[0].url` and `otel.0.url` → `["body", "otel", 0, "url"]`.
fn steps(place: &str, path: &str) -> Vec<Value> {
    let step = |name: &str| match name.parse::<u32>() {
        Ok(index) => Value::from(index),
        Err(_) => Value::from(name.trim_matches('"')),
    };
    let names = path.split(['.', '[', ']']).filter(|name| !name.is_empty()).map(step);
    std::iter::once(Value::from(place)).chain(names).collect()
}

fn pointer_step(step: &Value) -> String {
    match step {
        Value::String(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
        index => format!("/{index}"),
    }
}
