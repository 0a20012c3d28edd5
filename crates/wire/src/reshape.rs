//! The same answer in its other shape: the whole that a stream amounts to, the stream a whole could have come as. In one
//! dialect, for answers kept for repetition.
//!
//! Only what means exactly the same is made: a field or event that is not known here, and so might be lost, makes the
//! result `None`.
//!
//! * this file: which dialects can, and what a request asks apart from the shape
//! * `chat`, `messages`, `responses`: one dialect each

mod chat;
mod messages;
mod responses;

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::json::read;
use crate::{Dialect, sse};

/// What the provider would have answered without `stream`.
pub fn whole(dialect: Dialect, stream: &[u8]) -> Option<Vec<u8>> {
    match dialect {
        Dialect::OpenAiChat => chat::whole(stream),
        Dialect::AnthropicMessages => messages::whole(stream),
        Dialect::OpenAiResponses => responses::whole(stream),
        _ => None,
    }
}

/// What the provider would have streamed. `include_usage` is Chat's `stream_options.include_usage`.
pub fn streamed(dialect: Dialect, answer: &[u8], include_usage: bool) -> Option<Vec<u8>> {
    match dialect {
        Dialect::OpenAiChat => chat::streamed(answer, include_usage),
        Dialect::AnthropicMessages => messages::streamed(answer),
        _ => None,
    }
}

/// A request's fields, those that only say how the answer is to arrive set apart.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wish<'a> {
    pub stream: bool,
    /// `stream_options` as written; `None` if missing or `null`.
    pub stream_options: Option<&'a str>,
    /// Everything else at the top level, as written and in its order: name and value.
    pub rest: Vec<(Cow<'a, str>, &'a str)>,
}

/// Reads a request; `None` if it is not a JSON object or its `stream` is no boolean.
pub fn wish(body: &[u8]) -> Option<Wish<'_>> {
    let Fields(fields) = read(body)?;
    let mut wish = Wish::default();
    for (name, value) in fields {
        match (&*name, value.get()) {
            ("stream", "null" | "false") => wish.stream = false,
            ("stream", "true") => wish.stream = true,
            ("stream", _) => return None,
            ("stream_options", "null") => {}
            ("stream_options", value) => wish.stream_options = Some(value),
            (_, value) => wish.rest.push((name, value)),
        }
    }
    Some(wish)
}

impl Wish<'_> {
    /// Chat's `stream_options.include_usage`; `None` if there are options beside it that this file does not know.
    pub fn include_usage(&self) -> Option<bool> {
        let Some(options) = self.stream_options else { return Some(false) };
        let options: Map<String, Value> = serde_json::from_str(options).ok()?;
        let mut include = false;
        for (name, value) in options {
            match name.as_str() {
                "include_usage" => include = value.as_bool()?,
                // Only pads events against onlookers.
                "include_obfuscation" if value == false => {}
                _ => return None,
            }
        }
        Some(include)
    }
}

struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Fields<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> serde::de::Visitor<'de> for InOrder {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(name) = map.next_key::<Name<'de>>()? {
                    fields.push((name.0, map.next_value()?));
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(InOrder).map(Self)
    }
}

#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The data of every event of a stream that was cut nowhere; `None` if it was, or if data is not JSON. `[DONE]` ends it.
fn events(stream: &[u8]) -> Option<(Vec<Map<String, Value>>, bool)> {
    let mut splitter = sse::Splitter::with_limit(stream.len() + 1);
    let (mut events, mut done, mut sound) = (Vec::new(), false, true);
    splitter.push(stream, |raw| {
        let event = sse::Event::parse(raw);
        match event.data.trim_ascii() {
            b"" => {}
            b"[DONE]" => done = true,
            data => match serde_json::from_slice(data) {
                Ok(Value::Object(object)) if !done => events.push(object),
                _ => sound = false,
            },
        }
    });
    (sound && splitter.rest().trim_ascii().is_empty()).then_some((events, done))
}

/// An object taken apart field by field; what nobody asked for is left over.
struct Taken(Map<String, Value>);

impl Taken {
    fn of(value: Value) -> Option<Self> {
        match value {
            Value::Object(map) => Some(Self(map)),
            _ => None,
        }
    }

    /// `Null` if it is missing.
    fn take(&mut self, name: &str) -> Value {
        self.0.remove(name).unwrap_or(Value::Null)
    }

    /// `Some(None)` if it is missing or `null`; `None` if it is no text.
    fn text(&mut self, name: &str) -> Option<Option<String>> {
        match self.take(name) {
            Value::Null => Some(None),
            Value::String(text) => Some(Some(text)),
            _ => None,
        }
    }

    /// `None` if anything is left but nulls and empty lists.
    fn nothing_left(self) -> Option<()> {
        let empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        self.0.values().all(empty).then_some(())
    }
}

/// Appends `more` to a text that may not have begun yet.
fn append(text: &mut Option<String>, more: Option<String>) {
    if let Some(more) = more {
        text.get_or_insert_default().push_str(&more);
    }
}

/// `event: <name>` if there is one, then `data: <object>`.
fn write_event(out: &mut Vec<u8>, name: Option<&str>, data: &Value) {
    if let Some(name) = name {
        out.extend([b"event: ", name.as_bytes(), b"\n"].concat());
    }
    out.extend_from_slice(b"data: ");
    out.extend(data.to_string().into_bytes());
    out.extend_from_slice(b"\n\n");
}
