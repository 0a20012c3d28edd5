//! An answer on its way out: status, headers and the frames of its body.

use bytes::Bytes;
use serde_json::Value;

pub(crate) const JSON: &str = "application/json";

/// How the frames of a body are told apart, which is also how faults can be slipped in between.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framing {
    /// One frame, of known length.
    Whole,
    /// Server-sent events.
    Sse,
    /// AWS event-stream messages.
    EventStream,
    /// Elements of one JSON array (Gemini without `alt=sse`).
    JsonArray,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) framing: Framing,
    pub(crate) frames: Vec<Bytes>,
}

impl Reply {
    /// 200 with a JSON document.
    pub(crate) fn json(value: &Value) -> Self {
        Self::whole(200, JSON, value.to_string())
    }

    /// Any status with a JSON document.
    pub(crate) fn error(status: u16, value: &Value) -> Self {
        Self::whole(status, JSON, value.to_string())
    }

    pub(crate) fn whole(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status, content_type, headers: Vec::new(), framing: Framing::Whole, frames: vec![body.into()] }
    }

    pub(crate) fn stream(content_type: &'static str, framing: Framing, frames: Vec<Bytes>) -> Self {
        Self { status: 200, content_type, headers: Vec::new(), framing, frames }
    }

    /// 200 with server-sent events.
    pub(crate) fn events(frames: Vec<Bytes>) -> Self {
        Self::stream("text/event-stream; charset=utf-8", Framing::Sse, frames)
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A server-sent event with data only.
pub(crate) fn data(value: &Value) -> Bytes {
    format!("data: {value}\n\n").into()
}

/// A server-sent event named after the `type` of its data.
pub(crate) fn named(value: &Value) -> Bytes {
    format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap_or("message")).into()
}

/// What OpenAI and its imitators end a stream with.
pub(crate) const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");
