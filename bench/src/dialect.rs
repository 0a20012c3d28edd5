//! The two wire formats the bench speaks, and request bodies of an exact size in each.

use serde_json::{Value, json};

/// A wire format of requests and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Dialect {
    /// OpenAI Chat Completions
    Openai,
    /// Anthropic Messages
    Anthropic,
}

impl Dialect {
    /// The dialect of a path, told by its end: `…/chat/completions` or `…/messages`.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Dialect> {
        if path.ends_with("/chat/completions") {
            Some(Dialect::Openai)
        } else if path.ends_with("/messages") {
            Some(Dialect::Anthropic)
        } else {
            None
        }
    }

    /// A model with a known price, so that a gateway has a cost to compute.
    #[must_use]
    pub fn usual_model(self) -> &'static str {
        match self {
            Dialect::Openai => "gpt-4o-mini",
            Dialect::Anthropic => "claude-sonnet-4-5",
        }
    }

    /// A conversation as JSON, `size` bytes long if that leaves room for more than the frame around the text.
    #[must_use]
    pub fn request_body(self, model: &str, stream: bool, size: usize) -> Vec<u8> {
        let bare = self.conversation(model, stream, 0).to_string().len();
        let mut text = size.saturating_sub(bare);
        // Turns add their own frames: take what is too much off the text until it fits.
        let mut body = self.conversation(model, stream, text).to_string();
        while body.len() > size && text > 0 {
            text = text.saturating_sub(body.len() - size);
            body = self.conversation(model, stream, text).to_string();
        }
        // White space after the JSON fills what is left.
        body.extend(std::iter::repeat_n(' ', size.saturating_sub(body.len())));
        body.into_bytes()
    }

    fn conversation(self, model: &str, stream: bool, text: usize) -> Value {
        let messages: Vec<Value> = turns(text);
        let mut body = json!({ "model": model, "max_tokens": 1024, "stream": stream, "messages": messages });
        if self == Dialect::Openai && stream {
            body["stream_options"] = json!({ "include_usage": true });
        }
        body
    }
}

/// A user's turn of about a kilobyte, an answer, and so on; the last word is the user's.
fn turns(text: usize) -> Vec<Value> {
    const PROSE: &str = "Compare the two plans, line by line:\n\t\"fast\" — 12 € a month; \"small\" — 3 € a month. \
                         Say what each leaves out, then recommend one in a sentence. ";
    let prose: String = PROSE.chars().cycle().take(1000.min(text)).collect();
    let count = (text / 1000).max(1) | 1;
    (0..count)
        .map(|turn| json!({ "role": if turn % 2 == 0 { "user" } else { "assistant" }, "content": prose }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_size_asked_for_and_end_with_the_user() {
        for dialect in [Dialect::Openai, Dialect::Anthropic] {
            for size in [300, 10 * 1024, 200 * 1024] {
                for stream in [false, true] {
                    let bytes = dialect.request_body(dialect.usual_model(), stream, size);
                    assert_eq!(bytes.len(), size);
                    let body: Value = serde_json::from_slice(&bytes).unwrap();
                    assert_eq!(body["stream"], stream);
                    let messages = body["messages"].as_array().unwrap();
                    assert_eq!(messages.last().unwrap()["role"], "user");
                    let padding = bytes.iter().rev().take_while(|byte| **byte == b' ').count();
                    assert!(padding < size / 4, "{padding} of {size} bytes are padding");
                }
            }
        }
    }

    #[test]
    fn paths_tell_the_dialect() {
        assert_eq!(Dialect::of_path("/v1/chat/completions"), Some(Dialect::Openai));
        assert_eq!(Dialect::of_path("/any/where/v1/messages"), Some(Dialect::Anthropic));
        assert_eq!(Dialect::of_path("/v1/models"), None);
    }
}
