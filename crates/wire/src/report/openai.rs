//! OpenAI Chat Completions, Embeddings and Responses, and the many providers that speak them.
//!
//! Sources: OpenAI's API reference (chat, embeddings, responses and their streaming events), DeepSeek's context
//! caching guide, xAI's and Groq's API references.

use serde_json::value::RawValue;

use super::{Facts, error};
use crate::json::{Count, First, Text, object, read};
use crate::{Dialect, Usage};

object! {
    struct Chat<'a> {
        model: Text<'a> = "model",
        choices: First<Choice<'a>> = "choices",
        usage: Option<&'a RawValue> = "usage",
        groq: Groq<'a> = "x_groq",
        error: Option<&'a RawValue> = "error",
        // vLLM and Mistral: {"object":"error","message":"…"}
        object: Text<'a> = "object",
        message: Text<'a> = "message",
    }
}

object! {
    struct Choice<'a> {
        finish_reason: Text<'a> = "finish_reason",
        // OpenRouter reports an upstream's failure here.
        error: Option<&'a RawValue> = "error",
    }
}

object! {
    struct Groq<'a> {
        usage: Option<&'a RawValue> = "usage",
    }
}

object! {
    struct ResponseEvent<'a> {
        kind: Text<'a> = "type",
        response: Response<'a> = "response",
        error: Option<&'a RawValue> = "error",
        message: Text<'a> = "message",
    }
}

object! {
    struct Response<'a> {
        model: Text<'a> = "model",
        status: Text<'a> = "status",
        incomplete: Incomplete<'a> = "incomplete_details",
        usage: Option<&'a RawValue> = "usage",
        error: Option<&'a RawValue> = "error",
    }
}

object! {
    struct Incomplete<'a> {
        reason: Text<'a> = "reason",
    }
}

object! {
    struct Counts {
        prompt: Count = "prompt_tokens",
        prompt_details: InputDetails = "prompt_tokens_details",
        completion: Count = "completion_tokens",
        completion_details: OutputDetails = "completion_tokens_details",
        // The Responses API's names. Some chat providers send both sets, one of them zero.
        input: Count = "input_tokens",
        input_details: InputDetails = "input_tokens_details",
        output: Count = "output_tokens",
        output_details: OutputDetails = "output_tokens_details",
        total: Count = "total_tokens",
        // DeepSeek
        cache_hit: Count = "prompt_cache_hit_tokens",
        cache_miss: Count = "prompt_cache_miss_tokens",
        // Moonshot
        cached: Count = "cached_tokens",
    }
}

object! {
    struct InputDetails {
        cached: Count = "cached_tokens",
        cache_write: Count = "cache_write_tokens",
    }
}

object! {
    struct OutputDetails {
        reasoning: Count = "reasoning_tokens",
    }
}

/// A chat completion, one chunk of it, or embeddings: they share their shape.
pub(super) fn chat(facts: &mut Facts, data: &[u8]) -> Option<()> {
    let chat: Chat = read(data)?;
    let choice = chat.choices.0.unwrap_or_default();
    facts.model(&chat.model);
    facts.usage(chat.usage.or(chat.groq.usage));
    facts.finish(&choice.finish_reason);
    facts.error(chat.error.or(choice.error).and_then(error::message));
    if chat.object.as_deref() == Some("error") {
        facts.error(chat.message.as_deref().map(error::shorten));
    }
    Some(())
}

pub(super) fn chat_event(facts: &mut Facts, data: &[u8]) {
    if data.trim_ascii() == b"[DONE]" {
        facts.report.ended = true;
        return;
    }
    chat(facts, data);
    facts.report.ended |= facts.report.finish_reason.is_some();
}

/// A whole Responses API answer.
pub(super) fn response(facts: &mut Facts, data: &[u8]) -> Option<()> {
    take_response(facts, &read(data)?);
    Some(())
}

pub(super) fn response_event(facts: &mut Facts, data: &[u8]) {
    let Some(event) = read::<ResponseEvent>(data) else {
        return;
    };
    match event.kind.as_deref() {
        Some("response.completed" | "response.incomplete" | "response.failed") => {
            take_response(facts, &event.response);
            facts.report.ended = true;
        }
        Some("error") => {
            let flat = event.message.as_deref().map(error::shorten);
            facts.error(event.error.and_then(error::message).or(flat));
        }
        _ => {
            facts.model(&event.response.model);
            // Compatible providers may fail in the middle in Chat's way.
            facts.error(event.error.and_then(error::message));
        }
    }
}

/// Makes the classes disjoint: cached and cache-written tokens are part of the input count, and reasoning is part
/// of the output count, except where the total shows that it is not (xAI) or that the output count leaves it out
/// unnamed (Gemini behind its OpenAI surface).
pub(super) fn usage(dialect: Dialect, raw: &str) -> Option<Usage> {
    let counts: Counts = read(raw.as_bytes())?;
    let said =
        [counts.prompt, counts.completion, counts.input, counts.output, counts.total, counts.cache_hit];
    if said.iter().all(|count| count.0.is_none()) {
        return None;
    }
    let total = counts.total.or_zero();
    let prompt = match larger(counts.prompt, counts.input) {
        0 if dialect == Dialect::OpenAiEmbeddings => total,
        0 => counts.cache_hit.or_zero() + counts.cache_miss.or_zero(),
        prompt => prompt,
    };
    let cached = larger(counts.prompt_details.cached, counts.input_details.cached)
        .max(larger(counts.cache_hit, counts.cached))
        .min(prompt);
    let written =
        larger(counts.prompt_details.cache_write, counts.input_details.cache_write).min(prompt - cached);
    let completion = larger(counts.completion, counts.output);
    let reasoning = larger(counts.completion_details.reasoning, counts.output_details.reasoning);
    let uncounted = total.saturating_sub(prompt + completion);
    let outside = if reasoning > completion || uncounted >= reasoning {
        match (reasoning, dialect) {
            (0, Dialect::OpenAiChat) => uncounted,
            (reasoning, _) => reasoning,
        }
    } else {
        0
    };
    Some(Usage {
        input: prompt - cached - written,
        cache_read: cached,
        cache_write: written,
        cache_write_1h: 0,
        output: completion + outside,
        reasoning: reasoning.max(outside),
    })
}

fn take_response(facts: &mut Facts, response: &Response<'_>) {
    facts.model(&response.model);
    facts.usage(response.usage);
    facts.finish(&response.status);
    facts.finish(&response.incomplete.reason);
    facts.error(response.error.and_then(error::message));
}

fn larger(one: Count, other: Count) -> u64 {
    one.or_zero().max(other.or_zero())
}
