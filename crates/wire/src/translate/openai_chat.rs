//! OpenAI Chat Completions, and the many providers that speak it.
//!
//! Three things the dialect has no field for travel in extensions that its SDKs keep: thinking as
//! `reasoning_content` to read and `thinking_blocks` to send back unchanged, Gemini's thought signatures as
//! `extra_content.google.thought_signature`, and cache markers as `cache_control` on content parts.

mod answer;
mod content;
mod options;
mod read;
mod stream_read;
mod stream_write;
mod write;

pub(super) use answer::{read_answer, write_answer};
pub(super) use content::{data_url, read_cache, read_url};
pub(super) use options::read_schema;
pub(super) use read::read_request;
pub(super) use stream_read::StreamReader;
pub(super) use stream_write::StreamWriter;
pub(super) use write::write_request;

use serde::Deserialize;

use super::conversation::{Family, Stop};
use super::json::{Object, Text};
use crate::Usage;

/// `usage`, in a complete answer and in a stream's last chunk.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct UsageBody {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek's spelling of cached tokens.
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PromptDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl UsageBody {
    /// Splits the totals into disjoint classes; counts that contradict each other never go below zero.
    fn usage(&self) -> Usage {
        let details = self.prompt_tokens_details.as_ref();
        let cache_read =
            details.and_then(|details| details.cached_tokens).or(self.prompt_cache_hit_tokens).unwrap_or(0);
        let cache_write = details.and_then(|details| details.cache_write_tokens).unwrap_or(0);
        let reasoning = self.completion_tokens_details.as_ref();
        Usage {
            input: self.prompt_tokens.unwrap_or(0).saturating_sub(cache_read).saturating_sub(cache_write),
            cache_read,
            cache_write,
            cache_write_1h: 0,
            output: self.completion_tokens.unwrap_or(0),
            reasoning: reasoning.and_then(|details| details.reasoning_tokens).unwrap_or(0),
        }
    }
}

/// Writes `usage` as Chat counts it: cached tokens are part of the prompt, reasoning part of the completion.
fn write_usage(object: &mut Object<'_>, usage: &Usage) {
    object.integer("prompt_tokens", usage.tokens_in());
    object.integer("completion_tokens", usage.output);
    object.integer("total_tokens", usage.tokens_in() + usage.output);
    object.object("prompt_tokens_details", |details| {
        details.integer("cached_tokens", usage.cache_read);
        let written = usage.cache_write + usage.cache_write_1h;
        if written > 0 {
            details.integer("cache_write_tokens", written);
        }
    });
    object.object("completion_tokens_details", |details| {
        details.integer("reasoning_tokens", usage.reasoning);
    });
}

/// One entry of the `thinking_blocks` extension.
#[derive(Debug, Deserialize)]
struct ThinkingBlock<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
struct Annotation<'a> {
    #[serde(borrow)]
    url_citation: Option<UrlCitation<'a>>,
}

#[derive(Debug, Deserialize)]
struct UrlCitation<'a> {
    #[serde(borrow)]
    url: Text<'a>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    start_index: Option<u64>,
    end_index: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct ExtraContent<'a> {
    #[serde(borrow)]
    google: Option<GoogleExtra<'a>>,
}

#[derive(Debug, Deserialize)]
struct GoogleExtra<'a> {
    #[serde(borrow)]
    thought_signature: Option<Text<'a>>,
}

impl ExtraContent<'_> {
    fn signature(extra: Option<&Self>) -> Option<&str> {
        extra?.google.as_ref()?.thought_signature.as_deref()
    }
}

fn write_extra_content(object: &mut Object<'_>, signature: &str) {
    object.object("extra_content", |extra| {
        extra.object("google", |google| google.string("thought_signature", signature));
    });
}

/// The family whose signatures `thinking_blocks` holds without a prefix.
const HOME: Family = Family::Anthropic;

/// What a `finish_reason` means; `None` for one that says the answer failed.
fn stop_of(reason: &str, called_tools: bool) -> Option<Stop<'static>> {
    Some(match reason {
        // Several providers say "stop" after tool calls.
        "stop" | "eos" | "end_turn" | "complete" | "" if called_tools => Stop::ToolUse,
        "stop" | "eos" | "end_turn" | "complete" | "" => Stop::End,
        "stop_sequence" => Stop::Sequence(None),
        "length" | "max_tokens" | "model_length" => Stop::MaxTokens,
        "tool_calls" | "function_call" | "tool_use" => Stop::ToolUse,
        "content_filter" | "safety" => Stop::Filtered,
        _ => return None,
    })
}

/// The `finish_reason` for why the model stopped.
fn reason_of(stop: &Stop<'_>) -> &'static str {
    match stop {
        Stop::End | Stop::Sequence(_) | Stop::Pause => "stop",
        Stop::MaxTokens | Stop::ContextWindow => "length",
        Stop::ToolUse => "tool_calls",
        Stop::Refusal(_) | Stop::Filtered => "content_filter",
    }
}
