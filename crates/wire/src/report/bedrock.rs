//! Bedrock Converse, and the frames of Bedrock's raw invocation with an Anthropic model.
//!
//! `inputTokens` leaves cached tokens out. Sources: the `TokenUsage`, `CacheDetail`, `ConverseStreamOutput` and
//! `InvokeModelWithResponseStream` pages of the Bedrock Runtime API reference.

use serde_json::value::RawValue;

use super::{Facts, anthropic, base64, error};
use crate::Usage;
use crate::eventstream::Message;
use crate::json::{Count, List, Text, object, read};

/// Enough of an Anthropic event to tell its type from.
const GLANCE: usize = 64;

object! {
    struct Answer<'a> {
        stop_reason: Text<'a> = "stopReason",
        usage: Option<&'a RawValue> = "usage",
        message: Text<'a> = "message",
        capital_message: Text<'a> = "Message",
    }
}

object! {
    struct Chunk<'a> {
        bytes: Text<'a> = "bytes",
    }
}

object! {
    struct Counts<'a> {
        input: Count = "inputTokens",
        output: Count = "outputTokens",
        cache_read: Count = "cacheReadInputTokens",
        cache_write: Count = "cacheWriteInputTokens",
        cache_details: List<CacheDetail<'a>> = "cacheDetails",
    }
}

object! {
    struct CacheDetail<'a> {
        lifetime: Text<'a> = "ttl",
        input: Count = "inputTokens",
    }
}

pub(super) fn body(facts: &mut Facts, data: &[u8]) -> Option<()> {
    let answer: Answer = read(data)?;
    facts.usage(answer.usage);
    facts.finish(&answer.stop_reason);
    facts.error(answer.message.as_deref().or(answer.capital_message.as_deref()).map(error::shorten));
    Some(())
}

/// Takes in one message of an event stream. `scratch` is room to decode in, kept for its capacity.
pub(super) fn message(facts: &mut Facts, message: &Message<'_>, scratch: &mut Vec<u8>) {
    match message.message_type() {
        Some("event") | None => match message.event_type() {
            Some("chunk") => chunk(facts, message.payload, scratch),
            Some("messageStop" | "metadata") => {
                body(facts, message.payload);
                facts.report.ended = true;
            }
            _ => {}
        },
        Some("exception") => {
            let kind = message.text(":exception-type").unwrap_or("unnamed exception");
            facts.error(error::error_message(message.payload).or_else(|| Some(error::shorten(kind))));
        }
        Some(_) => {
            let said = message.text(":error-message").or(message.text(":error-code"));
            facts.error(Some(error::shorten(said.unwrap_or("unnamed error"))));
        }
    }
}

pub(super) fn usage(raw: &str) -> Option<Usage> {
    let counts: Counts = read(raw.as_bytes())?;
    let said = [counts.input, counts.output, counts.cache_read, counts.cache_write];
    if said.iter().all(|count| count.0.is_none()) {
        return None;
    }
    let one_hour = counts
        .cache_details
        .0
        .iter()
        .filter(|detail| detail.lifetime.as_deref() == Some("1h"))
        .fold(0, |sum: u64, detail| sum.saturating_add(detail.input.or_zero()))
        .min(counts.cache_write.or_zero());
    Some(Usage {
        input: counts.input.or_zero(),
        cache_read: counts.cache_read.or_zero(),
        cache_write: counts.cache_write.or_zero() - one_hour,
        cache_write_1h: one_hour,
        output: counts.output.or_zero(),
        reasoning: 0,
    })
}

/// Raw invocation wraps each Anthropic event in base64. Most are content, which a glance at the head tells.
fn chunk(facts: &mut Facts, payload: &[u8], scratch: &mut Vec<u8>) {
    let Some(chunk) = read::<Chunk>(payload) else {
        return;
    };
    let encoded = chunk.bytes.as_deref().unwrap_or_default().as_bytes();
    scratch.clear();
    base64::decode(&encoded[..encoded.len().min(GLANCE)], scratch);
    if memchr::memmem::find(scratch, b"\"content_block_").is_some() {
        return;
    }
    scratch.clear();
    base64::decode(encoded, scratch);
    anthropic::event(facts, scratch);
}
