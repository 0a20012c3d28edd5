//! Which log records are wanted, and in which order: a list of conditions over named fields.
//!
//! * `field`: the fields by name, and what a record has in each
//! * `compiled`: conditions checked and made ready to be tried on millions of records
//! * `pruned`: the same, tried on what a chapter of pages says of them all

mod compiled;
mod field;
mod pruned;

use uuid::Uuid;

pub use self::field::LogField;
pub(crate) use self::{
    compiled::{Compiled, each_entry, value_text},
    field::{Found, Head, kind_of_call},
    pruned::Annotated,
};

/// Which records to return. Every condition must hold.
#[derive(Clone, Debug, Default)]
pub struct LogFilter {
    pub conditions: Vec<LogCondition>,
    /// Somewhere in model, path or error; ASCII letters match in either case.
    pub search: Option<String>,
    /// Only what was recorded before this record; for the next page of the newest. If it is gone: whatever is older
    /// by its id.
    pub before: Option<Uuid>,
    /// Only what was recorded after this record; to follow the log. If it is gone: whatever is newer by its id.
    pub after: Option<Uuid>,
    pub order: LogOrder,
    pub direction: Direction,
    /// Skips this many.
    pub offset: usize,
    /// At most this many; 0 means [`LogFilter::DEFAULT_LIMIT`].
    pub limit: usize,
}

/// `field operator values`: true if it is true for any of the values ([`Operator::NotEqual`]: for all of them).
#[derive(Clone, Debug, PartialEq)]
pub struct LogCondition {
    pub field: LogField,
    pub operator: Operator,
    /// None at all match nothing ([`Operator::NotEqual`]: everything).
    pub values: Vec<LogValue>,
}

/// How a field is compared. A field without a value (a cost nobody knows) satisfies `NotEqual` only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Operator {
    /// Numbers by value, text exactly. `eq`
    Equal,
    /// `neq`
    NotEqual,
    /// `gt`; text by its bytes.
    Greater,
    /// `gte`
    AtLeast,
    /// `lt`
    Less,
    /// `lte`
    AtMost,
    /// As a part of the text, ASCII letters in either case. `contains`
    Contains,
}

/// What a field is compared with. Text is read as a number, a flag or (for `created_at`) as an RFC 3339 time or date
/// where the field is one.
#[derive(Clone, Debug, PartialEq)]
pub enum LogValue {
    Text(String),
    /// In the field's unit: milliseconds (since the epoch), nano-USD, tokens.
    Integer(i64),
    Flag(bool),
}

/// What records are sorted by; equal ones by the order of recording, in the same direction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogOrder {
    /// The order in which exchanges ended, the only one that costs nothing however large the log is.
    #[default]
    Recorded,
    /// The order in which they began; nearly as cheap.
    CreatedAt,
    Provider,
    Model,
    ModelType,
    Success,
    Cached,
    Cost,
    TokensIn,
    TokensOut,
    Duration,
    Feedback,
}

/// Which end comes first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Direction {
    /// Newest, largest, last in the alphabet first; what has no value comes last.
    #[default]
    Descending,
    Ascending,
}

impl LogFilter {
    pub const DEFAULT_LIMIT: usize = 50;

    /// And the field equals the value.
    #[must_use]
    pub fn is(self, field: LogField, value: impl Into<LogValue>) -> Self {
        self.with(field, Operator::Equal, value)
    }

    /// And the comparison with the value holds.
    #[must_use]
    pub fn with(mut self, field: LogField, operator: Operator, value: impl Into<LogValue>) -> Self {
        self.conditions.push(LogCondition { field, operator, values: vec![value.into()] });
        self
    }

    pub(crate) fn limit_or_default(&self) -> usize {
        if self.limit == 0 { Self::DEFAULT_LIMIT } else { self.limit }
    }
}

impl Operator {
    /// By Cloudflare's name, and `gte` and `lte`.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "eq" => Self::Equal,
            "neq" => Self::NotEqual,
            "gt" => Self::Greater,
            "gte" => Self::AtLeast,
            "lt" => Self::Less,
            "lte" => Self::AtMost,
            "contains" => Self::Contains,
            _ => return None,
        })
    }
}

impl LogOrder {
    /// By Cloudflare's name of the column.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "created_at" => Self::CreatedAt,
            "provider" => Self::Provider,
            "model" => Self::Model,
            "model_type" => Self::ModelType,
            "success" => Self::Success,
            "cached" => Self::Cached,
            "cost" => Self::Cost,
            "tokens_in" => Self::TokensIn,
            "tokens_out" => Self::TokensOut,
            "duration" => Self::Duration,
            "feedback" => Self::Feedback,
            _ => return None,
        })
    }
}

impl From<&str> for LogValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for LogValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for LogValue {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for LogValue {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}
