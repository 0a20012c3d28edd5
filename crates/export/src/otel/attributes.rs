//! The attributes of a span, put together.

use serde_json::Value as Json;

use super::names;
use crate::otlp::{Attribute, Value};

/// Most bytes of a body in a span. What is longer is cut, and says so.
pub(super) const BODY: usize = 64 * 1024;

/// The attributes of a span: what is not known is left out.
#[derive(Default)]
pub(super) struct Attributes(pub(super) Vec<Attribute>);

impl Attributes {
    pub(super) fn put(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.push(Attribute::new(key, value));
    }

    pub(super) fn text(&mut self, key: &'static str, text: &str) {
        if !text.is_empty() {
            self.put(key, text);
        }
    }

    pub(super) fn count(&mut self, key: &'static str, count: Option<u64>) {
        count.into_iter().for_each(|count| self.put(key, i64::try_from(count).unwrap_or(i64::MAX)));
    }

    /// A body that is text, as far as it fits.
    pub(super) fn body(&mut self, key: &'static str, cut: &'static str, body: &[u8]) {
        let kept = &body[..body.len().min(BODY)];
        let text = match str::from_utf8(kept) {
            Ok(text) => text,
            // The cut may go through a character; an upload or a compressed answer is no text at all.
            Err(error) if error.error_len().is_none() => {
                str::from_utf8(&kept[..error.valid_up_to()]).unwrap_or_default()
            }
            Err(_) => return,
        };
        self.text(key, text);
        if text.len() < body.len() {
            self.put(cut, true);
        }
    }

    /// The client's own entries. They take no name that says something else here.
    pub(super) fn metadata(&mut self, metadata: &serde_json::Map<String, Json>) {
        for (key, value) in metadata {
            let taken = key.is_empty()
                || key.starts_with(names::RESERVED)
                || self.0.iter().any(|attribute| attribute.key == *key);
            let value = match value {
                Json::String(text) => Value::from(text.as_str()),
                Json::Bool(flag) => Value::from(*flag),
                Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                    (Some(whole), _) => Value::from(whole),
                    (None, Some(number)) => Value::from(number),
                    (None, None) => continue,
                },
                Json::Null | Json::Array(_) | Json::Object(_) => continue,
            };
            if !taken {
                self.0.push(Attribute::new(key.as_str(), value));
            }
        }
    }
}
