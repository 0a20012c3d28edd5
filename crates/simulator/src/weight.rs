//! How long a prompt is, and how much of it is marked for the cache.

use serde_json::Value;

use crate::request::either;

/// The bytes of text in a prompt, in the order in which providers cache it.
#[derive(Default)]
pub(crate) struct Weight {
    pub(crate) all: usize,
    /// The part up to the last cache marker.
    pub(crate) cached: usize,
}

impl Weight {
    pub(crate) fn of(body: &Value) -> Self {
        let mut weight = Self::default();
        let config = either(body, &["toolConfig", "tool_config"]);
        weight.add(&config["tools"]);
        const PARTS: [&str; 9] = [
            "tools",
            "system",
            "systemInstruction",
            "system_instruction",
            "instructions",
            "messages",
            "contents",
            "input",
            "prompt",
        ];
        PARTS.iter().for_each(|part| weight.add(&body[*part]));
        if body["cache_control"].is_object() {
            weight.cached = weight.all;
        }
        weight
    }

    fn add(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.all += text.len(),
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Object(members) => {
                // Not text: markers, and images in their many wrappers.
                const SKIPPED: [&str; 12] = [
                    "type",
                    "role",
                    "source",
                    "image",
                    "image_url",
                    "inlineData",
                    "inline_data",
                    "signature",
                    "thoughtSignature",
                    "encrypted_content",
                    "cache_control",
                    "cachePoint",
                ];
                members
                    .iter()
                    .filter(|(name, _)| !SKIPPED.contains(&name.as_str()))
                    .for_each(|(_, member)| self.add(member));
                if members.get("cache_control").is_some_and(Value::is_object)
                    || members.contains_key("cachePoint")
                {
                    self.cached = self.all;
                }
            }
            _ => {}
        }
    }
}
