//! The message in an error body, whatever the dialect.

use serde_json::value::RawValue;

use crate::json::{First, Text, object, read};

const MESSAGE_LIMIT: usize = 500;

object! {
    struct Body<'a> {
        error: Option<&'a RawValue> = "error",
        // Bedrock, Cohere, Mistral, vLLM
        message: Text<'a> = "message",
        capital_message: Text<'a> = "Message",
        // FastAPI: a string, or a list of faults
        detail: Option<&'a RawValue> = "detail",
        // Cloudflare
        errors: First<Fault<'a>> = "errors",
    }
}

object! {
    struct Fault<'a> {
        message: Text<'a> = "message",
        msg: Text<'a> = "msg",
        kind: Text<'a> = "type",
        status: Text<'a> = "status",
        code: Text<'a> = "code",
    }
}

/// The message in an error body of any dialect, at most 500 characters; `None` if `body` does not look like one.
///
/// Knows `{"error":{"message"}}` (OpenAI, Anthropic), the same in an array (Gemini streams), `{"error":"…"}`,
/// `{"message":"…"}` (Bedrock, Cohere, Mistral), `{"detail":…}` and `{"errors":[{"message"}]}` (Cloudflare).
pub fn error_message(body: &[u8]) -> Option<String> {
    let body: Body = match body.trim_ascii_start().first()? {
        b'[' => read::<First<Body>>(body)?.0?,
        _ => read(body)?,
    };
    body.error
        .and_then(message)
        .or_else(|| body.message.as_deref().map(shorten))
        .or_else(|| body.capital_message.as_deref().map(shorten))
        .or_else(|| body.detail.and_then(message))
        .or_else(|| body.errors.0.and_then(|fault| fault.message()))
}

/// What an `error` field says: it is a string, an object with a message, or a list of such; never `null`.
pub(super) fn message(raw: &RawValue) -> Option<String> {
    let fault: Fault = match raw.get().as_bytes().first()? {
        b'"' => return Text::of_raw(raw).as_deref().map(shorten),
        b'[' => read::<First<Fault>>(raw.get().as_bytes())?.0?,
        _ => read(raw.get().as_bytes())?,
    };
    fault.message()
}

/// `text` cut to 500 characters.
pub(super) fn shorten(text: &str) -> String {
    text.chars().take(MESSAGE_LIMIT).collect()
}

impl Fault<'_> {
    /// A fault without a message is at least named.
    fn message(&self) -> Option<String> {
        let texts = [&self.message, &self.msg, &self.kind, &self.status, &self.code];
        texts.into_iter().find_map(Text::as_deref).map(shorten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_s_error_is_understood() {
        for body in [
            r#"{"error":{"message":"bad","type":"invalid_request_error","param":null,"code":null}}"#,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"bad"},"request_id":"req_1"}"#,
            r#"{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT","details":[]}}"#,
            r#"[{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT"}}]"#,
            r#"{"message":"bad"}"#,
            r#"{"Message":"bad"}"#,
            r#"{"object":"error","message":"bad","type":"invalid"}"#,
            r#"{"error":"bad"}"#,
            r#"{"detail":"bad"}"#,
            r#"{"detail":[{"loc":["body"],"msg":"bad","type":"missing"}]}"#,
            r#"{"success":false,"errors":[{"code":2009,"message":"bad"}],"messages":[],"result":null}"#,
            r#"{"error":{"type":"bad"}}"#,
        ] {
            assert_eq!(error_message(body.as_bytes()).as_deref(), Some("bad"), "{body}");
        }
    }

    #[test]
    fn what_is_no_error_has_no_message() {
        for body in ["", "[]", "<html>", r#"{"error":null}"#, r#"{"message":{"role":"assistant"}}"#, "5", "{"]
        {
            assert_eq!(error_message(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let body = format!(r#"{{"error":"{}"}}"#, "é".repeat(600));
        assert_eq!(error_message(body.as_bytes()), Some("é".repeat(500)));
    }
}
