//! A request as it came.

use bytes::Bytes;
use genesis_wire::model_in_path;
use http::{HeaderMap, Method, Version, request::Parts};
use serde_json::Value;

use crate::digest;
use crate::request::Ask;

/// A request with everything an answer may depend on.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
    /// `Null` if the body is not JSON.
    pub(crate) body: Value,
    /// From the path or the body, decoded; empty if there is none.
    pub(crate) model: String,
    /// The same for the same method, path, query and body.
    pub(crate) seed: u64,
}

impl Incoming {
    pub(crate) fn new(head: &Parts, bytes: Bytes) -> Self {
        let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or("").to_owned());
        let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let in_body = || body["model"].as_str().map(str::to_owned);
        let model = in_body().or_else(|| model_in_path(&path).map(percent_decoded)).unwrap_or_default();
        let seed = digest::of(&[head.method.as_str().as_bytes(), path.as_bytes(), query.as_bytes(), &bytes]);
        let (method, headers) = (head.method.clone(), head.headers.clone());
        Self { method, version: head.version, path, query, headers, bytes, body, model, seed }
    }

    pub(crate) fn request_id(&self) -> String {
        format!("req_{}", digest::hex(self.seed, 32))
    }

    pub(crate) fn ask(&self) -> Ask {
        Ask::read(&self.body)
    }

    /// Whether `"stream": true` is in the body.
    pub(crate) fn streams(&self) -> bool {
        self.body["stream"] == true
    }
}

/// `%2C` and the like decoded; what cannot be is left as it came.
fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex =
            tail.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &tail[2..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}
