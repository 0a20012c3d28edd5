//! Gemini `generateContent`, from Google AI Studio and Vertex AI.
//!
//! Thoughts and tool-use prompts are counted beside the candidates and the prompt; cached tokens are part of the
//! prompt. Each chunk of a stream carries the usage so far. Source: the `UsageMetadata` and
//! `GenerateContentResponse` pages of the Gemini API reference.

use serde_json::value::RawValue;

use super::elements::Elements;
use super::{Facts, error};
use crate::Usage;
use crate::json::{Count, First, Text, object, read};

object! {
    struct Answer<'a> {
        model: Text<'a> = "modelVersion",
        candidates: First<Candidate<'a>> = "candidates",
        feedback: Feedback<'a> = "promptFeedback",
        usage: Option<&'a RawValue> = "usageMetadata",
        error: Option<&'a RawValue> = "error",
    }
}

object! {
    struct Candidate<'a> {
        finish_reason: Text<'a> = "finishReason",
    }
}

object! {
    struct Feedback<'a> {
        block_reason: Text<'a> = "blockReason",
    }
}

object! {
    struct Counts {
        prompt: Count = "promptTokenCount",
        cached: Count = "cachedContentTokenCount",
        tool_use: Count = "toolUsePromptTokenCount",
        candidates: Count = "candidatesTokenCount",
        thoughts: Count = "thoughtsTokenCount",
    }
}

/// A whole answer, or a whole stream in its JSON array form.
pub(super) fn body(facts: &mut Facts, data: &[u8]) -> Option<()> {
    if data.trim_ascii_start().first() != Some(&b'[') {
        return answer(facts, data);
    }
    Elements::with_limit(data.len()).push(data, |element| event(facts, element));
    facts.report.ended.then_some(())
}

pub(super) fn event(facts: &mut Facts, data: &[u8]) {
    answer(facts, data);
    // A blocked prompt has no candidates; the reason then ends the stream.
    facts.report.ended |= facts.report.finish_reason.is_some();
}

pub(super) fn usage(raw: &str) -> Option<Usage> {
    let counts: Counts = read(raw.as_bytes())?;
    let said = [counts.prompt, counts.candidates, counts.thoughts, counts.tool_use];
    if said.iter().all(|count| count.0.is_none()) {
        return None;
    }
    let prompt = counts.prompt.or_zero();
    let cached = counts.cached.or_zero().min(prompt);
    Some(Usage {
        input: prompt - cached + counts.tool_use.or_zero(),
        cache_read: cached,
        cache_write: 0,
        cache_write_1h: 0,
        output: counts.candidates.or_zero() + counts.thoughts.or_zero(),
        reasoning: counts.thoughts.or_zero(),
    })
}

fn answer(facts: &mut Facts, data: &[u8]) -> Option<()> {
    let answer: Answer = read(data)?;
    facts.model(&answer.model);
    facts.usage(answer.usage);
    facts.finish(&answer.feedback.block_reason);
    facts.finish(&answer.candidates.0.unwrap_or_default().finish_reason);
    facts.error(answer.error.and_then(error::message));
    Some(())
}
