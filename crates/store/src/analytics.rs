//! Sums and percentiles by time and by what calls have in common, from totals that are written with the records.
//!
//! Totals are kept per minute, hour and day, and outlive the records. Minutes are kept for a week and hours for a
//! quarter, days for good; what lies further back is answered from the next coarser totals.

use serde::Serialize;

use crate::{Result, Store, sketch::Sketch};

/// What to add up.
#[derive(Clone, Debug, Default)]
pub struct AnalyticsQuery {
    /// Milliseconds since the epoch, rounded down to the finest totals that are kept of that time; inclusive.
    pub since_ms: Option<i64>,
    /// Rounded up likewise; exclusive.
    pub until_ms: Option<i64>,
    /// One row per span of time, or one for all of it.
    pub bucket: Option<Bucket>,
    pub group_by: Vec<Dimension>,
    /// All must hold.
    pub conditions: Vec<AnalyticsCondition>,
    pub order: AnalyticsOrder,
    pub direction: crate::Direction,
    /// At most this many rows; 0 means all.
    pub limit: usize,
}

/// The dimension has one of the values, or with `negated` none of them.
#[derive(Clone, Debug, PartialEq)]
pub struct AnalyticsCondition {
    pub dimension: Dimension,
    pub negated: bool,
    /// As [`AnalyticsRow::group`] writes them.
    pub values: Vec<String>,
}

/// A span of time, in UTC.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Bucket {
    Minute,
    Hour,
    Day,
}

/// What calls may have in common.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Dimension {
    Account,
    Gateway,
    Provider,
    Model,
    /// HTTP status, such as `200`.
    Status,
    /// The outcome's name, as in JSON.
    Outcome,
    /// `true` or `false`: answered from the gateway's cache.
    Cached,
    /// `true` or `false`
    Simulated,
    /// Id of the gateway token; empty if none was asked for.
    Token,
    /// The value of the metadata entry with this key; only calls that have one count. A query may name one key only. Of
    /// a key with very many values only some are told apart, the others are [`Dimension::OTHER`].
    Metadata(String),
}

/// Which rows come first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AnalyticsOrder {
    /// By time, then by the group's values.
    #[default]
    Bucket,
    Requests,
    Errors,
    Cost,
    TokensIn,
    TokensOut,
}

/// One group.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AnalyticsRow {
    /// Where the span of time begins, in milliseconds since the epoch, if the query asked for spans.
    pub bucket_ms: Option<i64>,
    /// A value for each dimension of `group_by`.
    pub group: Vec<String>,
    #[serde(flatten)]
    pub sums: Sums,
    /// Of the whole exchange, in milliseconds.
    pub duration: Percentiles,
    /// Until the first byte of the provider's answer, in milliseconds, where there was one.
    pub first_byte: Percentiles,
}

/// Sums over the exchanges of one group.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Sums {
    pub requests: u64,
    /// Outcome other than success.
    pub errors: u64,
    /// Answered from the gateway's cache.
    pub cached: u64,
    /// Input tokens, those read from the provider's prompt cache included.
    pub tokens_in: u64,
    pub tokens_out: u64,
    /// The part of `tokens_in` and `tokens_out` that the gateway's cache answered.
    pub cached_tokens_in: u64,
    pub cached_tokens_out: u64,
    /// Input tokens read from the provider's prompt cache.
    pub tokens_cached: u64,
    pub cost_nano_usd: i64,
    /// Answered by a model but without a cost: the price or the usage is unknown, so the sum is too low.
    pub unpriced: u64,
    pub duration_ms: u64,
}

/// Within 1 % of the exact value; `None` if there is nothing to tell.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Percentiles {
    pub p50: Option<u32>,
    pub p90: Option<u32>,
    pub p95: Option<u32>,
    pub p99: Option<u32>,
}

impl Dimension {
    /// Stands for the values of a metadata key beyond those told apart.
    pub const OTHER: &str = "(other)";
}

impl Bucket {
    pub fn length_ms(self) -> i64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }
}

impl Sums {
    /// Adds another group's sums.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.cached += other.cached;
        self.tokens_in += other.tokens_in;
        self.tokens_out += other.tokens_out;
        self.cached_tokens_in += other.cached_tokens_in;
        self.cached_tokens_out += other.cached_tokens_out;
        self.tokens_cached += other.tokens_cached;
        self.cost_nano_usd = self.cost_nano_usd.saturating_add(other.cost_nano_usd);
        self.unpriced += other.unpriced;
        self.duration_ms += other.duration_ms;
    }
}

impl Percentiles {
    pub(crate) fn of(sketch: &Sketch) -> Self {
        let [p50, p90, p95, p99] = sketch.quantiles([0.5, 0.9, 0.95, 0.99]);
        Self { p50, p90, p95, p99 }
    }
}

impl Store {
    /// Sums and percentiles by group. Deleted records count; empty if nothing was ever logged.
    pub fn analytics(&self, query: &AnalyticsQuery) -> Result<Vec<AnalyticsRow>> {
        self.log_database().analytics(query, true)
    }
}
