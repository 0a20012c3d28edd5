//! Cohere Chat v2.
//!
//! `billed_units` is what is charged and `tokens` what was processed, templates included; prices apply to the
//! former. Source: the "Chat" and "Chat with Streaming" pages of Cohere's v2 API reference.

use serde_json::value::RawValue;

use super::{Facts, error};
use crate::Usage;
use crate::json::{Count, Text, object, read};

object! {
    struct Answer<'a> {
        finish_reason: Text<'a> = "finish_reason",
        usage: Option<&'a RawValue> = "usage",
        // An object in an answer, a string in an error.
        message: Text<'a> = "message",
    }
}

object! {
    struct Event<'a> {
        kind: Text<'a> = "type",
        delta: Delta<'a> = "delta",
        error: Option<&'a RawValue> = "error",
        message: Text<'a> = "message",
    }
}

object! {
    struct Delta<'a> {
        finish_reason: Text<'a> = "finish_reason",
        usage: Option<&'a RawValue> = "usage",
        error: Option<&'a RawValue> = "error",
    }
}

object! {
    struct Counts {
        billed: Tokens = "billed_units",
        processed: Tokens = "tokens",
    }
}

object! {
    struct Tokens {
        input: Count = "input_tokens",
        output: Count = "output_tokens",
    }
}

pub(super) fn body(facts: &mut Facts, data: &[u8]) -> Option<()> {
    let answer: Answer = read(data)?;
    facts.usage(answer.usage);
    facts.finish(&answer.finish_reason);
    facts.error(answer.message.as_deref().map(error::shorten));
    Some(())
}

pub(super) fn event(facts: &mut Facts, data: &[u8]) {
    let Some(event) = read::<Event>(data) else { return };
    if event.kind.as_deref() == Some("message-end") {
        facts.usage(event.delta.usage);
        facts.finish(&event.delta.finish_reason);
        facts.report.ended = true;
    }
    facts.error(event.error.or(event.delta.error).and_then(error::message));
    facts.error(event.message.as_deref().map(error::shorten));
}

pub(super) fn usage(raw: &str) -> Option<Usage> {
    let counts: Counts = read(raw.as_bytes())?;
    let (billed, processed) = (&counts.billed, &counts.processed);
    let said = [billed.input, billed.output, processed.input, processed.output];
    if said.iter().all(|count| count.0.is_none()) {
        return None;
    }
    let charged = billed.input.or_zero() + billed.output.or_zero() > 0;
    let tokens = if charged { billed } else { processed };
    Some(Usage { input: tokens.input.or_zero(), output: tokens.output.or_zero(), ..Usage::default() })
}
