//! Reading the log: records by filter, one record with its bodies, usage by group.

use serde::Serialize;
use uuid::Uuid;

use crate::{LogRecord, Payload, Result, Store};

/// Which records to return. Every field that is set must hold; text compares exactly unless it says otherwise.
#[derive(Clone, Debug, Default)]
pub struct LogFilter {
    pub account: Option<String>,
    pub gateway: Option<String>,
    pub provider: Option<String>,
    pub model: Option<String>,
    pub status: Option<u16>,
    /// Outcome is [`Success`](crate::Outcome::Success), or is not.
    pub success: Option<bool>,
    pub cached: Option<bool>,
    pub simulated: Option<bool>,
    /// Bounds are inclusive; a record without a cost has none that could match.
    pub min_cost_nano_usd: Option<i64>,
    pub max_cost_nano_usd: Option<i64>,
    pub min_duration_ms: Option<u32>,
    pub max_duration_ms: Option<u32>,
    pub min_tokens_in: Option<u64>,
    pub max_tokens_in: Option<u64>,
    pub min_tokens_out: Option<u64>,
    pub max_tokens_out: Option<u64>,
    pub event_id: Option<String>,
    /// Id of the gateway token.
    pub token: Option<String>,
    /// Some metadata entry has this key.
    pub metadata_key: Option<String>,
    /// Some metadata entry, not necessarily the one with that key, has this value (strings without quotes).
    pub metadata_value: Option<String>,
    /// `created_at_ms` at or after.
    pub since_ms: Option<i64>,
    /// `created_at_ms` before.
    pub until_ms: Option<i64>,
    /// Somewhere in model, path or error; ASCII letters match in either case.
    pub search: Option<String>,
    /// Only what was recorded before this record; for the next page of the newest.
    pub before: Option<Uuid>,
    /// Only what was recorded after this record; to follow the log. If it is gone: whatever is newer by its id.
    pub after: Option<Uuid>,
    pub order: Order,
    /// At most this many; 0 means [`LogFilter::DEFAULT_LIMIT`].
    pub limit: usize,
}

impl LogFilter {
    pub const DEFAULT_LIMIT: usize = 50;
}

/// In which order records come. An exchange is recorded when it ends, so a long one stands after a short one that
/// started later.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Order {
    /// Last recorded first.
    #[default]
    Newest,
    /// First recorded first.
    Oldest,
}

/// What to add up.
#[derive(Clone, Debug, Default)]
pub struct UsageQuery {
    /// Milliseconds since the epoch, rounded down to the minute; inclusive.
    pub since_ms: Option<i64>,
    /// Milliseconds since the epoch, rounded up to the minute; exclusive.
    pub until_ms: Option<i64>,
    pub group_by: GroupBy,
    pub gateway: Option<String>,
    pub provider: Option<String>,
    pub model: Option<String>,
    pub cached: Option<bool>,
    pub simulated: Option<bool>,
}

/// What the rows of a usage report stand for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum GroupBy {
    /// One row in all, with an empty key.
    #[default]
    Total,
    Gateway,
    Provider,
    /// Key: `provider/model`.
    Model,
    /// Key: the outcome's name, as in JSON.
    Outcome,
    /// Key: `2026-11-22`, UTC.
    Day,
    /// Key: `2026-11-22T23:00Z`.
    Hour,
    /// Key: `2026-11-22T23:59Z`.
    Minute,
}

/// Sums over the exchanges of one group.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct UsageRow {
    pub key: String,
    pub requests: u64,
    /// Outcome other than success.
    pub errors: u64,
    /// Answered from the gateway's cache.
    pub cached: u64,
    /// Input tokens, those read from the provider's prompt cache included.
    pub tokens_in: u64,
    pub tokens_out: u64,
    /// Input tokens read from the provider's prompt cache.
    pub tokens_cached: u64,
    pub cost_nano_usd: i64,
    /// Answered by a model but without a cost: the price or the usage is unknown, so the sum is too low.
    pub unpriced: u64,
    pub duration_ms: u64,
}

impl Store {
    /// Records that match, in the filter's order. Empty if nothing was ever logged.
    pub fn logs(&self, filter: &LogFilter) -> Result<Vec<LogRecord>> {
        self.log_database().records(filter)
    }

    /// One record with its bodies (`None` if they were not kept), by id or by a prefix of it that is unique and
    /// has at least 8 hex digits. [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if it is ambiguous or no id.
    pub fn log(&self, id: &str) -> Result<Option<(LogRecord, Option<Payload>)>> {
        self.log_database().record(id)
    }

    /// How many records match; `before`, `after` count, order and limit do not.
    pub fn count(&self, filter: &LogFilter) -> Result<u64> {
        self.log_database().count(filter)
    }

    /// Sums by group, from the per-minute totals (never from records, so deleted ones count): by key if it is a
    /// time, else the most requests first.
    pub fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageRow>> {
        self.log_database().usage(query)
    }
}
