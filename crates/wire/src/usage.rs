//! What a provider says a call used, in one shape for all dialects.

use serde::{Deserialize, Serialize};

/// Token counts as the provider reported them, with the classes made disjoint so that each can be priced.
///
/// Providers disagree on whether cached tokens are part of the input count and reasoning part of the output
/// count; extraction settles it here, once: `input`, `cache_read`, `cache_write` and `cache_write_1h` never
/// overlap, and `output` includes `reasoning`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Usage {
    /// Input tokens billed at the full rate.
    pub input: u64,
    /// Input tokens read from the provider's prompt cache.
    pub cache_read: u64,
    /// Input tokens written to the provider's prompt cache (for Anthropic: with the 5-minute lifetime).
    pub cache_write: u64,
    /// Input tokens written to Anthropic's 1-hour cache.
    pub cache_write_1h: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// The part of `output` spent on reasoning.
    pub reasoning: u64,
}

impl Usage {
    /// All input tokens, cached ones included: the log's `tokens_in`.
    pub fn tokens_in(&self) -> u64 {
        self.input + self.cache_read + self.cache_write + self.cache_write_1h
    }

    /// All output tokens: the log's `tokens_out`.
    pub fn tokens_out(&self) -> u64 {
        self.output
    }
}
