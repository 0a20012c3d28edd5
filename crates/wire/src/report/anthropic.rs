//! Anthropic Messages.
//!
//! `input_tokens` leaves cached tokens out. A stream's `message_start` carries the input counts, its
//! `message_delta` the cumulative output and, in newer versions, all fields again; a field that is absent or zero
//! there leaves the earlier one standing.
//! Sources: Anthropic's API reference, "Streaming messages", "Prompt caching" and "Compaction".

use serde_json::value::RawValue;

use super::{Facts, error};
use crate::Usage;
use crate::json::{Count, List, Text, object, read};

object! {
    struct Message<'a> {
        model: Text<'a> = "model",
        stop_reason: Text<'a> = "stop_reason",
        usage: Option<&'a RawValue> = "usage",
        error: Option<&'a RawValue> = "error",
    }
}

object! {
    struct Event<'a> {
        kind: Text<'a> = "type",
        message: Message<'a> = "message",
        delta: Message<'a> = "delta",
        usage: Option<&'a RawValue> = "usage",
        error: Option<&'a RawValue> = "error",
    }
}

object! {
    struct Fields<'a> {
        input: Count = "input_tokens",
        output: Count = "output_tokens",
        cache_read: Count = "cache_read_input_tokens",
        cache_write: Count = "cache_creation_input_tokens",
        lifetimes: Lifetimes = "cache_creation",
        iterations: List<Iteration<'a>> = "iterations",
    }
}

object! {
    struct Lifetimes {
        five_minutes: Count = "ephemeral_5m_input_tokens",
        one_hour: Count = "ephemeral_1h_input_tokens",
    }
}

object! {
    struct Iteration<'a> {
        kind: Text<'a> = "type",
        input: Count = "input_tokens",
        output: Count = "output_tokens",
        cache_read: Count = "cache_read_input_tokens",
        cache_write: Count = "cache_creation_input_tokens",
    }
}

/// Counts as they come, event by event.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
    five_minutes: u64,
    one_hour: u64,
    /// What compaction used, which is billed but left out of the counts above.
    compaction: Usage,
}

impl Counts {
    /// Takes in a usage object; `None` if it has no counts.
    pub(super) fn merge(&mut self, raw: &str) -> Option<Usage> {
        let fields: Fields = read(raw.as_bytes())?;
        let mut found = false;
        for (kept, said) in [
            (&mut self.input, fields.input),
            (&mut self.output, fields.output),
            (&mut self.cache_read, fields.cache_read),
            (&mut self.cache_write, fields.cache_write),
            (&mut self.five_minutes, fields.lifetimes.five_minutes),
            (&mut self.one_hour, fields.lifetimes.one_hour),
        ] {
            found |= said.0.is_some();
            if said.or_zero() > 0 {
                *kept = said.or_zero();
            }
        }
        if !fields.iterations.0.is_empty() {
            self.compaction = compaction(&fields.iterations.0);
        }
        found.then(|| self.usage())
    }

    fn usage(&self) -> Usage {
        let written = self.cache_write.max(self.five_minutes + self.one_hour);
        Usage {
            input: self.input + self.compaction.input,
            cache_read: self.cache_read + self.compaction.cache_read,
            cache_write: written - self.one_hour + self.compaction.cache_write,
            cache_write_1h: self.one_hour,
            output: self.output + self.compaction.output,
            reasoning: 0,
        }
    }
}

pub(super) fn body(facts: &mut Facts, data: &[u8]) -> Option<()> {
    let message: Message = read(data)?;
    take_message(facts, &message);
    facts.error(message.error.and_then(error::message));
    Some(())
}

pub(super) fn event(facts: &mut Facts, data: &[u8]) {
    let Some(event) = read::<Event>(data) else { return };
    match event.kind.as_deref() {
        Some("message_start") => {
            take_message(facts, &event.message);
            facts.raw_start.clone_from(&facts.report.raw_usage);
        }
        Some("message_delta") => {
            facts.finish(&event.delta.stop_reason);
            facts.usage(event.usage);
        }
        Some("message_stop") => facts.report.ended = true,
        _ => facts.error(event.error.and_then(error::message)),
    }
}

fn take_message(facts: &mut Facts, message: &Message<'_>) {
    facts.model(&message.model);
    facts.finish(&message.stop_reason);
    facts.usage(message.usage);
}

fn compaction(iterations: &[Iteration<'_>]) -> Usage {
    let mut sum = Usage::default();
    for iteration in iterations.iter().filter(|iteration| iteration.kind.as_deref() == Some("compaction")) {
        sum.input = sum.input.saturating_add(iteration.input.or_zero());
        sum.output = sum.output.saturating_add(iteration.output.or_zero());
        sum.cache_read = sum.cache_read.saturating_add(iteration.cache_read.or_zero());
        sum.cache_write = sum.cache_write.saturating_add(iteration.cache_write.or_zero());
    }
    sum
}
