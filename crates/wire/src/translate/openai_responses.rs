//! OpenAI Responses, without OpenAI's memory: a request that leans on stored responses is refused.
//!
//! Thinking is a `reasoning` item. What makes it provable, `encrypted_content`, holds other families' signatures with
//! the family's name in front; OpenAI's own signature in other dialects is the item's id, `#` and that content.

mod answer;
mod read;
mod stream_read;
mod stream_write;
mod write;

pub(super) use answer::{read_answer, write_answer};
pub(super) use read::read_request;
pub(super) use stream_read::StreamReader;
pub(super) use stream_write::StreamWriter;
pub(super) use write::write_request;

use std::borrow::Cow;

use serde::Deserialize;

use super::conversation::{
    Citation, Family, Part, Signature, Stop, foreign_signature, read_redacted, redacted_text, signature_text,
};
use super::json::{Array, Object, Text};
use crate::Usage;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct UsageBody {
    input_tokens: u64,
    input_tokens_details: Option<InputDetails>,
    output_tokens: u64,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InputDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OutputDetails {
    reasoning_tokens: Option<u64>,
}

impl UsageBody {
    fn usage(&self) -> Usage {
        let details = self.input_tokens_details.as_ref();
        let cache_read = details.and_then(|details| details.cached_tokens).unwrap_or(0);
        let cache_write = details.and_then(|details| details.cache_write_tokens).unwrap_or(0);
        let output = self.output_tokens_details.as_ref();
        Usage {
            input: self.input_tokens.saturating_sub(cache_read).saturating_sub(cache_write),
            cache_read,
            cache_write,
            cache_write_1h: 0,
            output: self.output_tokens,
            reasoning: output.and_then(|details| details.reasoning_tokens).unwrap_or(0),
        }
    }
}

fn write_usage(object: &mut Object<'_>, usage: &Usage) {
    object.integer("input_tokens", usage.tokens_in());
    object.object("input_tokens_details", |details| {
        details.integer("cached_tokens", usage.cache_read);
        details.integer("cache_write_tokens", usage.cache_write + usage.cache_write_1h);
    });
    object.integer("output_tokens", usage.output);
    object.object("output_tokens_details", |details| details.integer("reasoning_tokens", usage.reasoning));
    object.integer("total_tokens", usage.tokens_in() + usage.output);
}

#[derive(Debug, Deserialize)]
struct Annotation<'a> {
    #[serde(borrow)]
    url: Option<Text<'a>>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    start_index: Option<u64>,
    end_index: Option<u64>,
}

impl<'a> Annotation<'a> {
    fn citation(self) -> Option<Citation<'a>> {
        Some(Citation {
            url: self.url?.0,
            title: self.title.map(|title| title.0),
            cited: None,
            range: self.start_index.zip(self.end_index),
        })
    }
}

fn write_annotation(object: &mut Object<'_>, citation: &Citation<'_>, length: u64) {
    let (start, end) = citation.range.unwrap_or((0, length));
    object.string("type", "url_citation");
    object.string("url", &citation.url);
    object.string("title", citation.title.as_deref().unwrap_or_default());
    object.integer("start_index", start);
    object.integer("end_index", end);
}

#[derive(Debug, Deserialize)]
struct TextItem<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

/// The thinking a `reasoning` item stands for.
fn read_reasoning<'a>(id: Option<&str>, text: Cow<'a, str>, encrypted: Option<Cow<'a, str>>) -> Part<'a> {
    let signature = encrypted.filter(|data| !data.is_empty()).map(|data| {
        if let Some(redacted) = read_redacted(&data) {
            return Err(redacted);
        }
        Ok(match foreign_signature(&data) {
            Some((family, rest)) => Signature { family, data: Cow::Owned(rest.to_owned()) },
            None => Signature {
                family: Family::OpenAi,
                data: Cow::Owned(format!("{}#{data}", id.unwrap_or_default())),
            },
        })
    });
    match signature {
        Some(Err(redacted)) => Part::Redacted(redacted),
        Some(Ok(signature)) => Part::Thinking { text, signature: Some(signature) },
        None => Part::Thinking { text, signature: None },
    }
}

/// The id and encrypted content of the `reasoning` item that carries a signature.
fn reasoning_of<'s>(family: Family, data: &'s str, own_id: &'s str) -> (&'s str, Cow<'s, str>) {
    match (family, data.split_once('#')) {
        (Family::OpenAi, Some((id, encrypted))) => (id, Cow::Borrowed(encrypted)),
        _ => (own_id, signature_text(Family::OpenAi, family, data)),
    }
}

/// Appends a complete `reasoning` item.
fn write_reasoning_item(
    item: &mut Object<'_>,
    own_id: &str,
    text: &str,
    signature: Option<(Family, &str)>,
    redacted: bool,
) {
    let (id, encrypted) = match signature {
        Some((family, data)) if redacted => (own_id, Some(Cow::Owned(redacted_text(family, data)))),
        Some((family, data)) => {
            let (id, encrypted) = reasoning_of(family, data, own_id);
            (id, Some(encrypted))
        }
        None => (own_id, None),
    };
    item.string("id", id);
    item.string("type", "reasoning");
    item.array("summary", |list| {
        if !text.is_empty() {
            list.object(|part| {
                part.string("type", "summary_text");
                part.string("text", text);
            });
        }
    });
    if let Some(encrypted) = encrypted {
        item.string("encrypted_content", &encrypted);
    }
}

/// Appends a complete `message` item with one part: text with its citations and log probabilities, or a refusal.
fn write_message_item(item: &mut Object<'_>, id: &str, part: &MessagePart<'_>) {
    item.string("id", id);
    item.string("type", "message");
    item.string("status", "completed");
    item.string("role", "assistant");
    item.array("content", |list| write_message_part(list, part));
}

struct MessagePart<'p> {
    refusal: bool,
    text: &'p str,
    citations: &'p [Citation<'p>],
    logprobs: Option<&'p str>,
}

fn write_message_part(list: &mut Array<'_>, part: &MessagePart<'_>) {
    list.object(|object| fill_message_part(object, part));
}

fn fill_message_part(object: &mut Object<'_>, part: &MessagePart<'_>) {
    if part.refusal {
        object.string("type", "refusal");
        object.string("refusal", part.text);
        return;
    }
    object.string("type", "output_text");
    object.string("text", part.text);
    let length = part.text.chars().count() as u64;
    object.array("annotations", |list| {
        part.citations
            .iter()
            .for_each(|citation| list.object(|item| write_annotation(item, citation, length)));
    });
    object.raw("logprobs", part.logprobs.unwrap_or("[]"));
}

fn write_call_item(item: &mut Object<'_>, id: &str, call_id: &str, name: &str, arguments: &str) {
    item.string("id", id);
    item.string("type", "function_call");
    item.string("status", "completed");
    item.string("arguments", arguments);
    item.string("call_id", call_id);
    item.string("name", name);
}

/// `status` and `incomplete_details` for why the model stopped.
fn status_of(stop: &Stop<'_>) -> (&'static str, Option<&'static str>) {
    match stop {
        Stop::End | Stop::Sequence(_) | Stop::ToolUse | Stop::Pause | Stop::Refusal(_) => ("completed", None),
        Stop::MaxTokens | Stop::ContextWindow => ("incomplete", Some("max_output_tokens")),
        Stop::Filtered => ("incomplete", Some("content_filter")),
    }
}

/// Why the model stopped, or `None` for a status that says that the answer failed.
fn stop_of(status: &str, reason: Option<&str>, called: bool, refused: bool) -> Option<Stop<'static>> {
    Some(match (status, reason) {
        ("completed" | "", _) if refused => Stop::Refusal(None),
        ("completed" | "", _) if called => Stop::ToolUse,
        ("completed" | "", _) => Stop::End,
        ("incomplete", Some("content_filter")) => Stop::Filtered,
        ("incomplete", Some("max_output_tokens") | None) => Stop::MaxTokens,
        _ => return None,
    })
}
