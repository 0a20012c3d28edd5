//! What is said over a socket: `universal.create` from the client; `universal.created`, `universal.stream`,
//! `universal.done` and, which is ours, `universal.error` from the gateway.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap};
use http::{StatusCode, response};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::failure::Failure;
use crate::plan::malformed;
use crate::reply;
use crate::resolve::Manner;

/// Longest name of a request, in bytes; it is repeated in every message about it.
const EVENT_ID_LENGTH: usize = 256;
const SHAPE: &str =
    "expected {\"type\": \"universal.create\", \"request\": {eventId, provider, endpoint, headers, query}}";

/// One request, as the client wrote it.
#[derive(Debug)]
pub(super) struct Create {
    /// What the client calls it.
    pub(super) event_id: Option<String>,
    /// One step, or a list of them.
    pub(super) steps: Bytes,
}

#[derive(Deserialize)]
struct Written<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    request: &'a RawValue,
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "eventId", default)]
    event_id: Option<String>,
}

impl Create {
    /// Reads a message. A list of steps is named by its first.
    pub(super) fn read(text: Utf8Bytes) -> Result<Self, Failure> {
        let text = Bytes::from(text);
        let written: Written<'_> = serde_json::from_slice(&text).map_err(|_| malformed(SHAPE))?;
        if written.kind != "universal.create" {
            return Err(malformed(SHAPE));
        }
        let request = written.request.get();
        let step = match serde_json::from_str::<Vec<&RawValue>>(request) {
            Ok(steps) => steps.first().map_or("{}", |step| step.get()),
            Err(_) => request,
        };
        let named: Named = serde_json::from_str(step)
            .map_err(|_| malformed("request: expected a step whose eventId is text, or a list of steps"))?;
        if named.event_id.as_ref().is_some_and(|id| id.len() > EVENT_ID_LENGTH) {
            return Err(malformed(format!("request.eventId: may take {EVENT_ID_LENGTH} bytes")));
        }
        Ok(Self { event_id: named.event_id, steps: text.slice_ref(request.as_bytes()) })
    }
}

/// What the gateway tells beside an answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    /// Absent if the exchange is not logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    log_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<String>,
    content_type: String,
    status: u16,
    /// How `response` is written, if it is neither JSON nor text.
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
}

impl Metadata {
    /// From the answer's head. `event_id` is what the client called its request.
    pub(super) fn of(head: &response::Parts, event_id: Option<String>) -> Self {
        let header = |name: &str| text(&head.headers, name);
        Self {
            cache_status: header("cf-aig-cache-status"),
            event_id: event_id.or_else(|| header("cf-aig-event-id")),
            log_id: header("cf-aig-log-id"),
            step: header("cf-aig-step"),
            content_type: header(CONTENT_TYPE.as_str()).unwrap_or_default(),
            status: head.status.as_u16(),
            encoding: None,
        }
    }

    pub(super) fn is_event_stream(&self) -> bool {
        self.status < 400 && self.content_type.starts_with("text/event-stream")
    }

    /// The answer as a whole.
    pub(super) fn answered(mut self, body: &[u8]) -> Utf8Bytes {
        let kind = if self.status < 400 { "universal.created" } else { "universal.error" };
        let response = match std::str::from_utf8(body) {
            Ok(text) => json_or_text(text),
            Err(_) => {
                self.encoding = Some("base64");
                raw(&STANDARD.encode(body))
            }
        };
        written(kind, &self, Some(&response))
    }

    /// A stream begins.
    pub(super) fn created(&self) -> Utf8Bytes {
        written("universal.created", self, None)
    }

    /// One event's data.
    pub(super) fn streamed(&self, data: &[u8]) -> Utf8Bytes {
        #[derive(Serialize)]
        struct About<'a> {
            #[serde(rename = "eventId")]
            event_id: Option<&'a str>,
        }
        let response = json_or_text(&String::from_utf8_lossy(data));
        written("universal.stream", &About { event_id: self.event_id.as_deref() }, Some(&response))
    }

    /// The stream is whole.
    pub(super) fn done(&self) -> Utf8Bytes {
        written("universal.done", self, None)
    }

    /// What was begun ends here, without its rest.
    pub(super) fn failed(mut self, failure: &Failure) -> Utf8Bytes {
        self.status = failure.status.as_u16();
        "application/json".clone_into(&mut self.content_type);
        self.encoding = None;
        let body = reply::envelope(failure, Manner::Gateway);
        written("universal.error", &self, Some(&json_or_text(&String::from_utf8_lossy(&body))))
    }
}

/// A message that became no exchange.
pub(super) fn refused(event_id: Option<String>, failure: &Failure) -> Utf8Bytes {
    Metadata {
        cache_status: None,
        event_id,
        log_id: None,
        step: None,
        content_type: String::new(),
        status: StatusCode::BAD_REQUEST.as_u16(),
        encoding: None,
    }
    .failed(failure)
}

fn written(kind: &'static str, metadata: &impl Serialize, response: Option<&RawValue>) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Message<'a, M> {
        #[serde(rename = "type")]
        kind: &'static str,
        metadata: &'a M,
        #[serde(skip_serializing_if = "Option::is_none")]
        response: Option<&'a RawValue>,
    }
    let message = Message { kind, metadata, response };
    serde_json::to_string(&message).expect("text, numbers and JSON can be written as JSON").into()
}

/// JSON as it stands, anything else as a string.
fn json_or_text(text: &str) -> Box<RawValue> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(json) => json.to_owned(),
        Err(_) => raw(text),
    }
}

fn raw(text: &str) -> Box<RawValue> {
    to_raw_value(text).expect("text can be written as JSON")
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_is_one_step_or_a_list_named_by_its_first() {
        let read = |text: &str| Create::read(text.into()).expect("a request");
        let one = read(r#"{"type":"universal.create","request": {"eventId":"a","query": {"n": 1.50}} }"#);
        assert_eq!(one.event_id.as_deref(), Some("a"));
        assert_eq!(one.steps, r#"{"eventId":"a","query": {"n": 1.50}}"#, "byte for byte");
        let list = read(r#"{"type":"universal.create","request":[{"eventId":"b"},{"eventId":"c"}]}"#);
        assert_eq!(list.event_id.as_deref(), Some("b"));
        assert_eq!(read(r#"{"type":"universal.create","request":[]}"#).event_id, None);
    }

    proptest! {
        #[test]
        fn any_text_is_a_request_or_refused(text in r#"(\{"type":"universal.create","request":)?[\[\]{}":,a-zI0-9 ]{0,40}\}?"#) {
            if let Err(failure) = Create::read(text.as_str().into()) {
                prop_assert_eq!(failure.status, StatusCode::BAD_REQUEST);
                let told = refused(None, &failure);
                prop_assert!(serde_json::from_str::<serde_json::Value>(&told).is_ok());
            }
        }
    }
}
