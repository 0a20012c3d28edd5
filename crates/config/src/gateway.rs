//! The settings of one gateway, in Cloudflare's field names, so that one set of words serves the file, the
//! management API and the dashboard.

use std::fmt;

use serde::{Deserialize, Serialize};

pub use crate::controls::{
    Action, Dlp, DlpPolicy, Guardrails, OtelEncoding, OtelExporter, Side, Stripe, StripeEvent,
};
use crate::limits::check_rate_limits;
pub use crate::limits::{Dimension, LimitType, RateLimit, RateType, SpendLimits, SpendRule, UnknownPrice};
use crate::policy::check_policies;
pub use crate::policy::{Interval, OneOrMany, Period, Policy, PolicyAction, Resource};
use crate::problem::Problem;
use crate::shapes::null_is_default;

/// Settings of a gateway. Defaults are those Cloudflare gives its automatically created `default` gateway:
/// authentication and logs on, everything else off.
#[derive(Clone, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewaySettings {
    /// In the file: the name of the entry.
    pub id: String,
    /// Callers must present a token.
    pub authentication: bool,
    /// Refuse calls for which no provider key is found.
    pub byok_only: bool,
    /// Drop cached answers when these settings change.
    #[serde(deserialize_with = "null_is_default")]
    pub cache_invalidate_on_update: bool,
    /// Ours: answer requests that mean nearly the same as an earlier one. Off if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_semantic: Option<SemanticCache>,
    /// Ours: seconds an expired answer may stand in for a provider that fails; 0 means never.
    #[serde(deserialize_with = "null_is_default")]
    pub cache_stale_if_error: u64,
    /// Ours: seconds an expired answer may be given while a new one is fetched behind it; 0 means never.
    #[serde(deserialize_with = "null_is_default")]
    pub cache_stale_while_revalidate: u64,
    /// Seconds an answer is cached; 0 means off.
    #[serde(deserialize_with = "null_is_default")]
    pub cache_ttl: u64,
    pub collect_logs: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dlp: Option<Dlp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guardrails: Option<Guardrails>,
    /// Classify logged prompts by task.
    pub log_classification: bool,
    /// How many log records are kept, 10,000 to 10,000,000. Default 1,000,000: about two weeks at one request
    /// a second, and around a gigabyte of metadata, so that a small machine is not filled unasked.
    pub log_management: u64,
    /// What happens at that number. Default: the oldest records go, since a gateway that silently stops logging
    /// is found out when the log is needed.
    pub log_management_strategy: LogStrategy,
    /// Ours: seconds a log record is kept; 0: age is no reason to delete one.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_zero")]
    pub log_max_age: u64,
    pub logpush: bool,
    /// RSA public key (SPKI, PEM) that exported bodies are encrypted for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logpush_public_key: Option<String>,
    /// What becomes of an answer whose client left. Ours.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "OnDisconnect::is_usual")]
    pub on_disconnect: OnDisconnect,
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub otel: Vec<OtelExporter>,
    /// Ours: who may call what, and for how much. None: everybody anything.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Policy>,
    /// Ours: limits beside the one of the whole gateway, by token, metadata, model or provider.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<RateLimit>,
    /// Seconds of a rate-limit window; 0 means off.
    #[serde(deserialize_with = "null_is_default")]
    pub rate_limiting_interval: u64,
    /// Requests in a window; 0 means off.
    #[serde(deserialize_with = "null_is_default")]
    pub rate_limiting_limit: u64,
    #[serde(deserialize_with = "null_is_default")]
    pub rate_limiting_technique: Technique,
    /// Ours: streams are kept for some minutes, so that a client that lost its connection can go on where it was. Left
    /// out of answers while off, so that they are Cloudflare's.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "std::ops::Not::not")]
    pub resumable_streams: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_backoff: Option<Backoff>,
    /// Milliseconds before the second attempt, at most 5000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_delay: Option<u64>,
    /// Attempts in all, 1 to 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_max_attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spend_limits: Option<SpendLimits>,
    /// Cloudflare's Secrets Store; kept for clients that set it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_id: Option<String>,
    /// Ours: refuse a call of the unified API of which something would be lost in translation, instead of naming it in
    /// `cf-aig-dropped`. Left out of answers while off, so that they are Cloudflare's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub strict_translation: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stripe: Option<Stripe>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers_ai_billing_mode: Option<BillingMode>,
    /// Zero data retention on Cloudflare's own provider accounts; kept for clients that set it.
    pub zdr: bool,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            id: String::new(),
            authentication: true,
            byok_only: false,
            cache_invalidate_on_update: false,
            cache_semantic: None,
            cache_stale_if_error: 0,
            cache_stale_while_revalidate: 0,
            cache_ttl: 0,
            collect_logs: true,
            dlp: None,
            guardrails: None,
            log_classification: false,
            log_management: 1_000_000,
            log_management_strategy: LogStrategy::default(),
            log_max_age: 0,
            logpush: false,
            logpush_public_key: None,
            on_disconnect: OnDisconnect::default(),
            otel: Vec::new(),
            policies: Vec::new(),
            rate_limits: Vec::new(),
            rate_limiting_interval: 0,
            rate_limiting_limit: 0,
            rate_limiting_technique: Technique::default(),
            resumable_streams: false,
            retry_backoff: None,
            retry_delay: None,
            retry_max_attempts: None,
            spend_limits: None,
            store_id: None,
            strict_translation: false,
            stripe: None,
            workers_ai_billing_mode: None,
            zdr: false,
        }
    }
}

impl GatewaySettings {
    /// Default settings under an id.
    pub fn named(id: impl Into<String>) -> Self {
        Self { id: id.into(), ..Self::default() }
    }

    /// The gateway that is used where none is named, and created on its first authenticated request.
    pub fn is_default(&self) -> bool {
        self.id == "default"
    }

    /// Reads a body of the management API: unknown and read-only fields are dropped and `null` counts as
    /// missing, as Cloudflare has it. Bounds are not checked yet; see [`GatewaySettings::check`].
    pub fn from_api(body: serde_json::Map<String, serde_json::Value>) -> Result<Self, Problem> {
        let known =
            body.into_iter().filter(|(name, value)| FIELDS.contains(&name.as_str()) && !value.is_null());
        let known = serde_json::Value::Object(known.collect());
        serde_path_to_error::deserialize(known).map_err(|error| {
            let path = error.path().to_string();
            Problem::at(path, crate::read::explain(&error.into_inner().to_string()).0)
        })
    }

    /// Whether every value is within Cloudflare's bounds; paths are relative to the gateway.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Err(error) = GatewayId::parse(&self.id) {
            problems.push(Problem::at("id", error.to_string()));
        }
        let mut bound = |field: &str, value: u64, low: u64, high: u64| {
            if !(low..=high).contains(&value) {
                problems.push(Problem::at(field, format!("{value} is out of bounds: {low} to {high}")));
            }
        };
        bound("cache_ttl", self.cache_ttl, 0, MONTH_SECONDS);
        bound("cache_stale_if_error", self.cache_stale_if_error, 0, MONTH_SECONDS);
        bound("cache_stale_while_revalidate", self.cache_stale_while_revalidate, 0, MONTH_SECONDS);
        bound("log_management", self.log_management, 10_000, 10_000_000);
        bound("log_max_age", self.log_max_age, 0, TEN_YEARS_SECONDS);
        bound("retry_delay", self.retry_delay.unwrap_or(0), 0, 5_000);
        bound("retry_max_attempts", self.retry_max_attempts.unwrap_or(1).into(), 1, 5);
        bound("rate_limiting_interval", self.rate_limiting_interval, 0, u64::from(u32::MAX));
        bound("rate_limiting_limit", self.rate_limiting_limit, 0, u64::from(u32::MAX));
        problems.extend(check_rate_limits(&self.rate_limits));
        problems.extend(self.cache_semantic.iter().flat_map(SemanticCache::check));
        problems.extend(self.spend_limits.iter().flat_map(SpendLimits::check));
        problems.extend(check_policies(&self.policies));
        problems.extend(self.guardrails.iter().flat_map(Guardrails::check));
        for (index, exporter) in self.otel.iter().enumerate() {
            problems.extend(exporter.check(&format!("otel[{index}]")));
        }
        problems
    }
}

/// For fields that are left out of answers while they are off, so that these are Cloudflare's.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Exporter headers and the Stripe authorization may be secrets: neither is shown.
impl fmt::Debug for GatewaySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewaySettings")
            .field("id", &self.id)
            .field("authentication", &self.authentication)
            .field("cache_ttl", &self.cache_ttl)
            .field("rate_limiting_limit", &self.rate_limiting_limit)
            .field("rate_limiting_interval", &self.rate_limiting_interval)
            .finish_non_exhaustive()
    }
}

/// Every field a gateway can be given, for callers that must tell known from unknown.
pub const FIELDS: &[&str] = &[
    "id",
    "authentication",
    "byok_only",
    "cache_invalidate_on_update",
    "cache_semantic",
    "cache_stale_if_error",
    "cache_stale_while_revalidate",
    "cache_ttl",
    "collect_logs",
    "dlp",
    "guardrails",
    "log_classification",
    "log_management",
    "log_management_strategy",
    "log_max_age",
    "logpush",
    "logpush_public_key",
    "on_disconnect",
    "otel",
    "policies",
    "rate_limits",
    "rate_limiting_interval",
    "rate_limiting_limit",
    "rate_limiting_technique",
    "resumable_streams",
    "retry_backoff",
    "retry_delay",
    "retry_max_attempts",
    "spend_limits",
    "store_id",
    "strict_translation",
    "stripe",
    "workers_ai_billing_mode",
    "zdr",
];

/// Cloudflare caches for at most a month.
const MONTH_SECONDS: u64 = 31 * 24 * 60 * 60;
/// Longer ages are slips of the keyboard, such as milliseconds.
const TEN_YEARS_SECONDS: u64 = 10 * 366 * 24 * 60 * 60;

/// A checked gateway id: 1 to 64 of `a-z A-Z 0-9 _ -`.
///
/// Cloudflare documents only the length. Capitals are accepted, as an id that works there must work here; ids
/// that differ only in case are different gateways.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct GatewayId(String);

impl GatewayId {
    pub fn parse(text: &str) -> Result<Self, GatewayIdError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        match text.len() {
            1..=64 if text.chars().all(allowed) => Ok(Self(text.to_owned())),
            _ => Err(GatewayIdError),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GatewayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a gateway id has 1 to 64 characters, each a letter a-z or A-Z, a digit, `_` or `-`")]
pub struct GatewayIdError;

/// What happens when the log has as many records as it may.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LogStrategy {
    StopInserting,
    #[default]
    DeleteOldest,
}

/// What becomes of an answer whose client left.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDisconnect {
    /// The provider's connection is closed, so that it stops.
    #[default]
    Cancel,
    /// The answer is read to its end, so that the log has all of it and its cost.
    Drain,
}

impl OnDisconnect {
    /// So that clients of Cloudflare's API see no field they do not know.
    fn is_usual(&self) -> bool {
        *self == Self::Cancel
    }
}

/// Answers for requests that differ from an earlier one only in how the last message is worded.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SemanticCache {
    /// The embedding model that compares messages, as `provider/model`.
    pub model: String,
    /// How near two messages must be, as the cosine of their embeddings: above 0, at most 1.
    #[serde(default = "SemanticCache::usual_threshold")]
    pub threshold: f64,
}

impl SemanticCache {
    fn usual_threshold() -> f64 {
        0.95
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !(self.threshold > 0.0 && self.threshold <= 1.0) {
            let message = format!("{} is out of bounds: above 0, at most 1", self.threshold);
            problems.push(Problem::at("cache_semantic.threshold", message));
        }
        if !matches!(self.model.split_once('/'), Some((provider, model)) if !provider.is_empty() && !model.is_empty())
        {
            let problem = Problem::at("cache_semantic.model", "expected `provider/model`");
            problems.push(problem.with_hint("such as `openai/text-embedding-3-small`"));
        }
        problems
    }
}

/// How a window is counted: `fixed` windows are aligned to the clock, `sliding` looks back from now.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Technique {
    #[default]
    Fixed,
    Sliding,
}

/// How the delay grows from attempt to attempt.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    #[default]
    Constant,
    Linear,
    Exponential,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BillingMode {
    Postpaid,
    Unified,
}
