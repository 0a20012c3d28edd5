//! What a gateway must know of a request body before it forwards it, found without building a tree.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::value::RawValue;
use thiserror::Error;

use crate::json::{Count, Text, object};

/// The facts of a request body that routing, limits and translation need.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Peek<'a> {
    /// The top-level `model`; borrowed unless it is written with escapes.
    pub model: Option<Cow<'a, str>>,
    /// Where the value of `model` stands in the body, its quotes included; for [`splice_model`].
    pub model_span: Option<Range<usize>>,
    /// The top-level `stream`.
    pub stream: Option<bool>,
    /// How many output tokens the request allows, whatever its dialect calls that: `max_completion_tokens`,
    /// `max_tokens`, `max_output_tokens`, Gemini's `generationConfig.maxOutputTokens` or Bedrock's
    /// `inferenceConfig.maxTokens`. Absurd numbers are cut to 2^40.
    pub max_tokens: Option<u64>,
    /// OpenAI's `stream_options.include_usage`.
    pub include_usage: Option<bool>,
}

/// A request body that is not a JSON object. The client's fault.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("the request body is not a JSON object: {message} (line {line}, column {column})")]
pub struct PeekError {
    /// Line of the fault, counted from 1.
    pub line: usize,
    /// Column of the fault in bytes, counted from 1; 0 at a line's very beginning.
    pub column: usize,
    /// What is wrong there. Never quotes the body.
    pub message: String,
}

/// Reads the facts out of `body` in one pass that validates all of it and copies none of it.
///
/// A fact of the wrong type counts as absent; of duplicate keys the last one wins.
///
/// # Errors
/// [`PeekError`] if the body is not one complete JSON object.
pub fn peek(body: &[u8]) -> Result<Peek<'_>, PeekError> {
    require_object(body)?;
    let fields: Fields = serde_json::from_slice(body).map_err(|error| PeekError::of(&error))?;
    let model = fields.model.map_or(Text(None), Text::of_raw);
    Ok(Peek {
        model_span: model.0.as_ref().and(fields.model).map(|raw| span_in(body, raw)),
        model: model.0,
        stream: fields.stream.and_then(flag),
        max_tokens: fields.max_tokens(),
        include_usage: fields.stream_options.include_usage.and_then(flag),
    })
}

/// `body` with the bytes at `span` (see [`Peek::model_span`]) replaced by `model` as a JSON string; every other
/// byte stays as it is.
///
/// # Panics
/// If `span` does not lie in `body`.
pub fn splice_model(body: &[u8], span: Range<usize>, model: &str) -> Vec<u8> {
    let mut spliced = Vec::with_capacity(body.len() - span.len() + model.len() + 2);
    spliced.extend_from_slice(&body[..span.start]);
    serde_json::to_writer(&mut spliced, model).expect("writing a string to memory cannot fail");
    spliced.extend_from_slice(&body[span.end..]);
    spliced
}

/// `body` with the whole member `"model": …` (its value at `span`) replaced by another, such as
/// `"anthropic_version":"vertex-2023-10-16"`. `None` if its name is written with escapes.
///
/// # Panics
/// If `span` does not lie in `body`.
pub fn replace_model(body: &[u8], span: Range<usize>, member: &str) -> Option<Vec<u8>> {
    let before = body[..span.start].trim_ascii_end().strip_suffix(b":")?;
    let before = before.trim_ascii_end().strip_suffix(b"\"model\"")?;
    Some([before, member.as_bytes(), &body[span.end..]].concat())
}

object! {
    struct Fields<'a> {
        model: Option<&'a RawValue> = "model",
        stream: Option<&'a RawValue> = "stream",
        max_tokens: Count = "max_tokens",
        max_completion_tokens: Count = "max_completion_tokens",
        max_output_tokens: Count = "max_output_tokens",
        stream_options: StreamOptions<'a> = "stream_options",
        generation_config: GenerationConfig = "generationConfig",
        inference_config: InferenceConfig = "inferenceConfig",
    }
}

object! {
    struct StreamOptions<'a> {
        include_usage: Option<&'a RawValue> = "include_usage",
    }
}

object! {
    struct GenerationConfig {
        max_output_tokens: Count = "maxOutputTokens",
    }
}

object! {
    struct InferenceConfig {
        max_tokens: Count = "maxTokens",
    }
}

impl Fields<'_> {
    fn max_tokens(&self) -> Option<u64> {
        [
            self.max_completion_tokens,
            self.max_tokens,
            self.max_output_tokens,
            self.generation_config.max_output_tokens,
            self.inference_config.max_tokens,
        ]
        .into_iter()
        .find_map(|count| count.0)
    }
}

impl PeekError {
    fn of(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        // serde_json ends its messages with the position, which we keep apart.
        let message = text.rfind(" at line ").map_or(text.as_str(), |at| &text[..at]);
        Self { line: error.line(), column: error.column(), message: message.to_owned() }
    }
}

/// The tolerant reader would take `[1]` or `5` for an object without fields.
fn require_object(body: &[u8]) -> Result<(), PeekError> {
    let start = body.iter().position(|byte| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t'));
    let (at, message) = match start {
        Some(at) if body[at] == b'{' => return Ok(()),
        Some(at) => (at, "expected `{`"),
        None => (body.len(), "the body is empty"),
    };
    let line_start = memchr::memrchr(b'\n', &body[..at]).map_or(0, |newline| newline + 1);
    Err(PeekError {
        line: 1 + memchr::memchr_iter(b'\n', &body[..at]).count(),
        column: at - line_start + usize::from(start.is_some()),
        message: message.to_owned(),
    })
}

fn flag(raw: &RawValue) -> Option<bool> {
    match raw.get() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// Where `raw`, which borrows from `body`, stands in it.
fn span_in(body: &[u8], raw: &RawValue) -> Range<usize> {
    let start = raw.get().as_ptr() as usize - body.as_ptr() as usize;
    start..start + raw.get().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_facts_are_found_wherever_they_stand() {
        let body = br#"{ "messages":[{"role":"user","content":"\"model\":\"x\""}],
            "max_tokens": 100, "stream":true,"stream_options":{"include_usage":true}, "model" : "openai/gpt-5" }"#;
        let peek = peek(body).unwrap();
        assert_eq!(peek.model, Some(Cow::Borrowed("openai/gpt-5")));
        assert_eq!(&body[peek.model_span.unwrap()], br#""openai/gpt-5""#);
        assert_eq!((peek.stream, peek.max_tokens, peek.include_usage), (Some(true), Some(100), Some(true)));
    }

    #[test]
    fn each_dialect_names_its_output_limit() {
        for body in [
            r#"{"max_tokens":7}"#,
            r#"{"max_tokens":9,"max_completion_tokens":7}"#,
            r#"{"max_output_tokens":7.0}"#,
            r#"{"generationConfig":{"maxOutputTokens":7}}"#,
            r#"{"inferenceConfig":{"maxTokens":7}}"#,
        ] {
            assert_eq!(peek(body.as_bytes()).unwrap().max_tokens, Some(7), "{body}");
        }
    }

    #[test]
    fn wrong_types_are_absent_and_the_last_duplicate_wins() {
        let body = br#"{"model":5,"stream":"yes","max_tokens":"9","stream_options":[1]}"#;
        assert_eq!(peek(body).unwrap(), Peek::default());

        let body = br#"{"model":"a","stream":true,"model":"b","stream":false,"stream_options":{},"stream_options":1}"#;
        let twice = peek(body).unwrap();
        assert_eq!((twice.model.as_deref(), twice.stream), (Some("b"), Some(false)));
        assert_eq!(&body[twice.model_span.unwrap()], br#""b""#);

        let unset = peek(br#"{"model":"a","model":null}"#).unwrap();
        assert_eq!((unset.model, unset.model_span), (None, None));
    }

    #[test]
    fn a_model_written_with_escapes_is_decoded_and_its_span_is_the_written_form() {
        let body = br#"{"model":"a\/b\u00e9"}"#;
        let peek = peek(body).unwrap();
        assert_eq!(peek.model.as_deref(), Some("a/bé"));
        assert_eq!(splice_model(body, peek.model_span.unwrap(), "c"), br#"{"model":"c"}"#);
    }

    #[test]
    fn a_spliced_name_is_escaped_and_nothing_else_moves() {
        let body = "{\"n\":1.50, \"model\":\"old\" ,\"ü\":\"\u{2028}\"}".as_bytes();
        let span = peek(body).unwrap().model_span.unwrap();
        let spliced = splice_model(body, span.clone(), "new \"quoted\"\n\\");
        assert_eq!(peek(&spliced).unwrap().model.as_deref(), Some("new \"quoted\"\n\\"));
        assert!(spliced.starts_with(&body[..span.start]) && spliced.ends_with(&body[span.end..]));
    }

    #[test]
    fn what_is_not_an_object_is_refused_with_its_place() {
        for (body, line, column) in [
            ("", 1, 0),
            ("[1]", 1, 1),
            (" \n 5", 2, 2),
            ("{\"a\":1,\n\"b\" 2}", 2, 5),
            ("{} x", 1, 4),
            ("{\"a\":", 1, 5),
        ] {
            let error = peek(body.as_bytes()).unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{body:?}: {error}");
            assert!(!error.message.contains(" at line "), "{error}");
        }
    }
}
