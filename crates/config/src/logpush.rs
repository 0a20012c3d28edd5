//! `gateway.logpush`: where records of the log are carried, one entry per destination.
//!
//! Destinations are written as Cloudflare's Logpush has them (`destination_conf`): `s3://bucket/path?region=…`, `r2://…`,
//! `https://…?header_Name=value`; `file:` and `stdout` are ours.

mod destination;

use std::fmt;

use serde::Deserialize;

pub use self::destination::{BadDestination, Bucket, Destination, Private};
use crate::problem::{Problem, nearest};
use crate::secret::{ExposeSecret, Secret};
use crate::shapes;

/// One entry, as written: `${VAR}` is not resolved yet.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LogpushBlock {
    /// Unique. How far the destination has come is kept under it.
    pub name: String,
    /// May hold a secret.
    pub destination: Secret,
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Gateways whose records are carried, of those with `logpush: true`; all of them if empty.
    #[serde(default)]
    pub gateways: Vec<String>,
    /// Which records, as filters of the logs API have it; every one must hold.
    #[serde(default)]
    pub filter: Vec<LogpushFilter>,
    /// Whether requests and answers are carried, too.
    #[serde(default = "yes")]
    pub bodies: bool,
    /// Only these fields; all if empty.
    #[serde(default)]
    pub fields: Vec<String>,
    /// `gzip` if missing; for `stdout` none.
    #[serde(default)]
    pub compression: Option<Compression>,
    /// Headers of every call to an http destination.
    #[serde(default, deserialize_with = "shapes::headers")]
    pub headers: Vec<(String, String)>,
    #[serde(default)]
    pub batch: BatchBlock,
}

/// How a batch is packed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    Gzip,
    None,
}

/// `batch`: how much is sent at once. Whatever is reached first ends a batch.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct BatchBlock {
    /// How long records gather.
    pub seconds: u64,
    pub records: u64,
    /// Before compression.
    pub bytes: u64,
}

impl Default for BatchBlock {
    fn default() -> Self {
        Self { seconds: 5, records: 1_000, bytes: 8 << 20 }
    }
}

/// One condition on records.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct LogpushFilter {
    pub key: String,
    /// `eq`, `neq`, `gt`, `gte`, `lt`, `lte`, `contains`
    pub operator: String,
    /// One value or several, of which one must do.
    pub value: serde_json::Value,
}

impl LogpushBlock {
    /// What is wrong, by path relative to the entry.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut say = |path: String, message: String, hint: &str| {
            let problem = Problem::at(path, message);
            problems.push(if hint.is_empty() { problem } else { problem.with_hint(hint.to_owned()) });
        };
        let usual = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(usual) {
            let hint = "1 to 64 letters, digits, `_`, `-` or `.`";
            say("name".to_owned(), "is no name for a destination".to_owned(), hint);
        }
        let destination = Destination::parse(self.destination.expose_secret());
        if let Err(error) = &destination {
            say("destination".to_owned(), error.message.clone(), error.hint);
        }
        if !self.headers.is_empty() && !matches!(destination, Ok(Destination::Http { .. }) | Err(_)) {
            say("headers".to_owned(), "only http and https destinations have headers".to_owned(), "");
        }
        for (index, filter) in self.filter.iter().enumerate() {
            if !FILTER_KEYS.contains(&filter.key.as_str()) {
                let hint = nearest(&filter.key, FILTER_KEYS.iter().copied());
                let hint = hint.map(|name| format!("did you mean `{name}`?")).unwrap_or_default();
                say(format!("filter[{index}].key"), "is no field of a record".to_owned(), &hint);
            }
            if !OPERATORS.contains(&filter.operator.as_str()) {
                let hint = format!("one of {}", OPERATORS.join(", "));
                say(format!("filter[{index}].operator"), "is no comparison".to_owned(), &hint);
            }
        }
        for (index, field) in self.fields.iter().enumerate() {
            if !FIELDS.contains(&field.as_str()) {
                let hint = nearest(field, FIELDS.iter().copied());
                let hint = hint.map(|name| format!("did you mean `{name}`?")).unwrap_or_default();
                say(format!("fields[{index}]"), "is no field of an exported record".to_owned(), &hint);
            }
        }
        let BatchBlock { seconds, records, bytes } = self.batch;
        for (field, value, low, high) in [
            ("seconds", seconds, 0, 3_600),
            ("records", records, 1, 100_000),
            ("bytes", bytes, 64 << 10, 256 << 20),
        ] {
            if !(low..=high).contains(&value) {
                say(format!("batch.{field}"), format!("{value} is out of bounds: {low} to {high}"), "");
            }
        }
        problems
    }
}

/// Keys and headers are secrets.
impl fmt::Debug for LogpushBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogpushBlock")
            .field("name", &self.name)
            .field("enabled", &self.enabled)
            .field("gateways", &self.gateways)
            .field("headers", &self.headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// What a filter may be about, by Cloudflare's names and ours.
pub const FILTER_KEYS: &[&str] = &[
    "id",
    "account",
    "gateway",
    "created_at",
    "request_content_type",
    "response_content_type",
    "request_type",
    "success",
    "outcome",
    "status_code",
    "cached",
    "simulated",
    "stream",
    "provider",
    "model",
    "model_type",
    "cost",
    "tokens",
    "tokens_in",
    "tokens_out",
    "duration",
    "first_byte",
    "feedback",
    "event_id",
    "metadata.key",
    "metadata.value",
    "user_agent",
    "token",
    "path",
    "method",
    "error",
    "step",
];

pub const OPERATORS: &[&str] = &["eq", "neq", "gt", "gte", "lt", "lte", "contains"];

/// Fields of an exported record: Cloudflare's (`ai_gateway_events`), then ours.
pub const FIELDS: &[&str] = &[
    "Cached",
    "Endpoint",
    "Gateway",
    "Metadata",
    "Metrics",
    "Model",
    "Provider",
    "RateLimited",
    "RequestBody",
    "RequestedModel",
    "ResponseBody",
    "RoutingDecisionID",
    "RoutingReason",
    "StatusCode",
    "Timestamp",
    "Account",
    "Attempts",
    "CachedTokensIn",
    "CostNanoUSD",
    "Credential",
    "CustomCost",
    "Dropped",
    "DurationMs",
    "Error",
    "EventID",
    "Feedback",
    "FirstByteMs",
    "ID",
    "Method",
    "ModelType",
    "Outcome",
    "PriceID",
    "ReasoningTokens",
    "RequestBodyComplete",
    "RequestContentType",
    "RequestSize",
    "ResponseBodyComplete",
    "ResponseContentType",
    "ResponseSize",
    "Score",
    "Simulated",
    "Step",
    "Stream",
    "Success",
    "TokenID",
    "TokensIn",
    "TokensOut",
    "TraceID",
    "UserAgent",
];

fn yes() -> bool {
    true
}
