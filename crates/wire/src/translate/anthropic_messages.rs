//! Anthropic Messages: Claude at Anthropic, on Vertex and on Bedrock's raw invocation.
//!
//! Signatures of other families of models travel in `signature` and `data` with the family's name in front; a
//! signature that Gemini puts on a tool call becomes an empty thinking block before the call.

mod answer;
mod options;
mod read;
mod stream_read;
mod stream_write;
mod thinking;
mod write;

pub(super) use answer::{read_answer, write_answer};
pub(super) use read::{read_request, read_thinking};
pub(super) use stream_read::StreamReader;
pub(super) use stream_write::StreamWriter;
pub(super) use thinking::{Thinking, max_tokens, thinking};
pub(super) use write::{turns, write_cache, write_request};

use std::borrow::Cow;

use serde::Deserialize;

use super::conversation::{Cache, Citation, Family, Stop};
use super::json::{Object, Text};
use crate::Usage;

/// The family whose signatures stand here without a prefix.
const HOME: Family = Family::Anthropic;

/// `usage`, in a complete answer and in a stream's first and last events.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct UsageBody {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_creation: Option<CacheCreation>,
    output_tokens_details: Option<OutputDetails>,
    service_tier: Option<ServiceTier>,
}

/// How the provider served the call.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ServiceTier {
    Standard,
    Priority,
    #[serde(other)]
    Other,
}

impl ServiceTier {
    fn openai(self) -> Option<&'static str> {
        match self {
            Self::Standard => Some("default"),
            Self::Priority => Some("priority"),
            Self::Other => None,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct CacheCreation {
    ephemeral_1h_input_tokens: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct OutputDetails {
    thinking_tokens: Option<u64>,
}

impl UsageBody {
    /// Replaces what this event says and keeps the rest: the last event repeats only part of the first.
    fn update(&self, usage: &mut Usage) {
        if let Some(input) = self.input_tokens {
            usage.input = input;
        }
        if let Some(output) = self.output_tokens {
            usage.output = output;
        }
        if let Some(read) = self.cache_read_input_tokens {
            usage.cache_read = read;
        }
        if let Some(hour) = self.cache_creation.as_ref().and_then(|written| written.ephemeral_1h_input_tokens)
        {
            usage.cache_write_1h = hour;
        }
        if let Some(written) = self.cache_creation_input_tokens {
            usage.cache_write = written.saturating_sub(usage.cache_write_1h);
        }
        if let Some(details) = &self.output_tokens_details {
            usage.reasoning = details.thinking_tokens.unwrap_or(usage.reasoning);
        }
    }
}

fn write_usage(object: &mut Object<'_>, usage: &Usage) {
    object.integer("input_tokens", usage.input);
    object.integer("cache_creation_input_tokens", usage.cache_write + usage.cache_write_1h);
    object.integer("cache_read_input_tokens", usage.cache_read);
    if usage.cache_write_1h > 0 {
        object.object("cache_creation", |written| {
            written.integer("ephemeral_5m_input_tokens", usage.cache_write);
            written.integer("ephemeral_1h_input_tokens", usage.cache_write_1h);
        });
    }
    object.integer("output_tokens", usage.output);
    if usage.reasoning > 0 {
        object.object("output_tokens_details", |details| details.integer("thinking_tokens", usage.reasoning));
    }
}

/// A citation of any kind; only those with an address can leave the dialect.
#[derive(Debug, Deserialize)]
struct CitationBody<'a> {
    #[serde(borrow)]
    url: Option<Text<'a>>,
    #[serde(borrow)]
    source: Option<Text<'a>>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    #[serde(borrow)]
    cited_text: Option<Text<'a>>,
}

impl<'a> CitationBody<'a> {
    fn citation(self) -> Option<Citation<'a>> {
        let source = self.source.filter(|source| source.starts_with("http"));
        Some(Citation {
            url: self.url.or(source)?.0,
            title: self.title.map(|title| title.0),
            cited: self.cited_text.map(|text| text.0),
            range: None,
        })
    }
}

fn write_citation(object: &mut Object<'_>, citation: &Citation<'_>) {
    object.string("type", "web_search_result_location");
    object.string("url", &citation.url);
    match &citation.title {
        Some(title) => object.string("title", title),
        None => object.null("title"),
    }
    object.string("cited_text", citation.cited.as_deref().unwrap_or_default());
    object.string("encrypted_index", "");
}

/// Why the model stopped; `None` for a word this version does not know.
fn stop_of<'a>(
    reason: &str,
    sequence: Option<Cow<'a, str>>,
    explanation: Option<Cow<'a, str>>,
) -> Option<Stop<'a>> {
    Some(match reason {
        "end_turn" => Stop::End,
        "max_tokens" => Stop::MaxTokens,
        "stop_sequence" => Stop::Sequence(sequence),
        "tool_use" => Stop::ToolUse,
        "pause_turn" => Stop::Pause,
        "refusal" => Stop::Refusal(explanation),
        "model_context_window_exceeded" => Stop::ContextWindow,
        _ => return None,
    })
}

fn reason_of(stop: &Stop<'_>) -> &'static str {
    match stop {
        Stop::End => "end_turn",
        Stop::MaxTokens => "max_tokens",
        Stop::Sequence(_) => "stop_sequence",
        Stop::ToolUse => "tool_use",
        Stop::Pause => "pause_turn",
        Stop::Refusal(_) | Stop::Filtered => "refusal",
        Stop::ContextWindow => "model_context_window_exceeded",
    }
}

/// `stop_reason`, `stop_sequence` and `stop_details`, the same in an answer and in a stream.
fn write_stop(object: &mut Object<'_>, stop: &Stop<'_>) {
    object.string("stop_reason", reason_of(stop));
    match stop {
        Stop::Sequence(Some(sequence)) => object.string("stop_sequence", sequence),
        _ => object.null("stop_sequence"),
    }
    if let Stop::Refusal(Some(explanation)) = stop {
        object.object("stop_details", |details| {
            details.string("type", "refusal");
            details.null("category");
            details.string("explanation", explanation);
        });
    }
}

/// The service tier in OpenAI's words.
fn tier_to_openai(tier: &str) -> Option<&'static str> {
    match tier {
        "standard" | "standard_only" => Some("default"),
        "priority" => Some("priority"),
        "auto" => Some("auto"),
        _ => None,
    }
}

fn cache_of(ttl: Option<&str>) -> Option<Cache> {
    match ttl {
        None | Some("5m") => Some(Cache { hour: false }),
        Some("1h") => Some(Cache { hour: true }),
        Some(_) => None,
    }
}
