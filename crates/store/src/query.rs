//! Reading the log: records by filter, one record with its bodies, usage by group.

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    AnalyticsCondition, AnalyticsOrder, AnalyticsQuery, AnalyticsRow, Bucket, Dimension, Direction, LogField,
    LogFilter, LogRecord, Payload, Result, Store, Sums,
    annotation::Annotation,
    chapter::{Bounds, NUMBERS},
    filter::Head,
};

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

/// Least and most of the numbers of some records; `None` if no record has one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct LogRanges {
    pub count: u64,
    pub cost_nano_usd: Option<(i64, i64)>,
    pub duration_ms: Option<(i64, i64)>,
    pub tokens_in: Option<(i64, i64)>,
    pub tokens_out: Option<(i64, i64)>,
    pub total_tokens: Option<(i64, i64)>,
}

impl LogRanges {
    pub(crate) fn add(&mut self, head: &Head<'_>, annotation: Option<&Annotation>) {
        let usage = head.usage.map(|usage| (usage.tokens_in() as i64, usage.tokens_out() as i64));
        self.count += 1;
        widen(&mut self.cost_nano_usd, head.cost(annotation));
        widen(&mut self.duration_ms, Some(head.duration_ms.into()));
        widen(&mut self.tokens_in, usage.map(|(input, _)| input));
        widen(&mut self.tokens_out, usage.map(|(_, output)| output));
        widen(&mut self.total_tokens, usage.map(|(input, output)| input.saturating_add(output)));
    }

    /// Adds the records of a page whose bounds are known.
    pub(crate) fn add_bounds(&mut self, records: u64, numbers: &[Bounds; NUMBERS.len()]) {
        self.count += records;
        for (field, bounds) in NUMBERS.iter().zip(numbers) {
            let range = match field {
                LogField::Cost => &mut self.cost_nano_usd,
                LogField::Duration => &mut self.duration_ms,
                LogField::TokensIn => &mut self.tokens_in,
                LogField::TokensOut => &mut self.tokens_out,
                LogField::Tokens => &mut self.total_tokens,
                _ => continue,
            };
            if let Some((least, most)) = bounds.range {
                widen(range, Some(least));
                widen(range, Some(most));
            }
        }
    }
}

/// Sums over single records, each counted once.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct LogTally {
    pub count: u64,
    /// How many have a cost, and what those cost together.
    pub priced: u64,
    pub cost_nano_usd: i64,
    pub duration_ms: u64,
    /// Feedback above and below 0.
    pub liked: u64,
    pub disliked: u64,
}

impl LogTally {
    pub(crate) fn add(&mut self, head: &Head<'_>, annotation: Option<&Annotation>) {
        self.count += 1;
        self.duration_ms += u64::from(head.duration_ms);
        if let Some(cost) = head.cost(annotation) {
            self.priced += 1;
            self.cost_nano_usd = self.cost_nano_usd.saturating_add(cost);
        }
        let feedback = annotation.and_then(|noted| noted.feedback).unwrap_or(0);
        self.liked += u64::from(feedback > 0);
        self.disliked += u64::from(feedback < 0);
    }
}

fn widen(range: &mut Option<(i64, i64)>, number: Option<i64>) {
    if let Some(number) = number {
        let (least, most) = range.unwrap_or((number, number));
        *range = Some((least.min(number), most.max(number)));
    }
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

    /// How many records match; `before` and `after` count, order, offset and limit do not.
    pub fn count(&self, filter: &LogFilter) -> Result<u64> {
        self.log_database().count(filter)
    }

    /// How many records match, and the least and most of their numbers; `before` and `after` count, order, offset and
    /// limit do not. Looks at every record that may match.
    pub fn log_ranges(&self, filter: &LogFilter) -> Result<LogRanges> {
        self.log_database().ranges(filter)
    }

    /// Adds up the records that match any of the filters, of which only conditions and search count. Looks at every record
    /// that may match.
    pub fn tally_logs(&self, filters: &[LogFilter]) -> Result<LogTally> {
        self.log_database().tally(filters)
    }

    /// Deletes the records that match, with their bodies and what was noted about them; returns how many. With a limit
    /// only that many, in the filter's order; a limit of 0 means all. Goes in small steps, between which the journal
    /// writes: if an error ends it early, what was deleted until then stays deleted. Totals stay.
    pub fn delete_logs(&self, filter: &LogFilter) -> Result<u64> {
        self.log_database().delete(filter)
    }

    /// Sums by group, from the totals (never from records, so deleted ones count): by key if it is a time, else the most
    /// requests first. A shorter form of [`Store::analytics`].
    pub fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageRow>> {
        let rows = self.log_database().analytics(&query.to_analytics(), false)?;
        Ok(rows.into_iter().map(|row| UsageRow::of(&row, query.group_by)).collect())
    }
}

impl UsageQuery {
    fn to_analytics(&self) -> AnalyticsQuery {
        let (bucket, group_by) = match self.group_by {
            GroupBy::Total => (None, vec![]),
            GroupBy::Gateway => (None, vec![Dimension::Gateway]),
            GroupBy::Provider => (None, vec![Dimension::Provider]),
            GroupBy::Model => (None, vec![Dimension::Provider, Dimension::Model]),
            GroupBy::Outcome => (None, vec![Dimension::Outcome]),
            GroupBy::Day => (Some(Bucket::Day), vec![]),
            GroupBy::Hour => (Some(Bucket::Hour), vec![]),
            GroupBy::Minute => (Some(Bucket::Minute), vec![]),
        };
        let conditions = [
            (Dimension::Gateway, self.gateway.clone()),
            (Dimension::Provider, self.provider.clone()),
            (Dimension::Model, self.model.clone()),
            (Dimension::Cached, self.cached.map(|cached| cached.to_string())),
            (Dimension::Simulated, self.simulated.map(|simulated| simulated.to_string())),
        ];
        AnalyticsQuery {
            since_ms: self.since_ms,
            until_ms: self.until_ms,
            bucket,
            group_by,
            conditions: conditions
                .into_iter()
                .filter_map(|(dimension, value)| {
                    Some(AnalyticsCondition { dimension, negated: false, values: vec![value?] })
                })
                .collect(),
            order: if bucket.is_some() { AnalyticsOrder::Bucket } else { AnalyticsOrder::Requests },
            direction: if bucket.is_some() { Direction::Ascending } else { Direction::Descending },
            limit: 0,
        }
    }
}

impl UsageRow {
    fn of(row: &AnalyticsRow, group_by: GroupBy) -> Self {
        let format = match group_by {
            GroupBy::Day => "%Y-%m-%d",
            GroupBy::Hour => "%Y-%m-%dT%H:00Z",
            _ => "%Y-%m-%dT%H:%MZ",
        };
        let key = match row.bucket_ms {
            Some(ms) => Timestamp::from_millisecond(ms).unwrap_or_default().strftime(format).to_string(),
            None => row.group.join("/"),
        };
        let Sums { requests, errors, cached, tokens_in, tokens_out, tokens_cached, .. } = row.sums;
        let Sums { cost_nano_usd, unpriced, duration_ms, .. } = row.sums;
        Self {
            key,
            requests,
            errors,
            cached,
            tokens_in,
            tokens_out,
            tokens_cached,
            cost_nano_usd,
            unpriced,
            duration_ms,
        }
    }
}
