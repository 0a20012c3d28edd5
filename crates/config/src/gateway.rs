//! The settings of one gateway, in Cloudflare's field names, so that one set of words serves the file, the
//! management API and the dashboard.

use std::fmt;

use serde::{Deserialize, Serialize};

pub use crate::controls::{
    Action, Dimension, Dlp, DlpPolicy, Guardrails, LimitType, OtelEncoding, OtelExporter, Side, SpendLimits,
    SpendRule, Stripe, StripeEvent,
};
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
    pub logpush: bool,
    /// RSA public key (SPKI, PEM) that exported bodies are encrypted for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logpush_public_key: Option<String>,
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub otel: Vec<OtelExporter>,
    /// Seconds of a rate-limit window; 0 means off.
    #[serde(deserialize_with = "null_is_default")]
    pub rate_limiting_interval: u64,
    /// Requests in a window; 0 means off.
    #[serde(deserialize_with = "null_is_default")]
    pub rate_limiting_limit: u64,
    #[serde(deserialize_with = "null_is_default")]
    pub rate_limiting_technique: Technique,
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
            cache_ttl: 0,
            collect_logs: true,
            dlp: None,
            guardrails: None,
            log_classification: false,
            log_management: 1_000_000,
            log_management_strategy: LogStrategy::default(),
            logpush: false,
            logpush_public_key: None,
            otel: Vec::new(),
            rate_limiting_interval: 0,
            rate_limiting_limit: 0,
            rate_limiting_technique: Technique::default(),
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
        bound("log_management", self.log_management, 10_000, 10_000_000);
        bound("retry_delay", self.retry_delay.unwrap_or(0), 0, 5_000);
        bound("retry_max_attempts", self.retry_max_attempts.unwrap_or(1).into(), 1, 5);
        bound("rate_limiting_interval", self.rate_limiting_interval, 0, u64::from(u32::MAX));
        bound("rate_limiting_limit", self.rate_limiting_limit, 0, u64::from(u32::MAX));
        problems.extend(self.spend_limits.iter().flat_map(SpendLimits::check));
        problems.extend(self.guardrails.iter().flat_map(Guardrails::check));
        for (index, exporter) in self.otel.iter().enumerate() {
            if !exporter.url.starts_with("https://") && !exporter.url.starts_with("http://") {
                problems.push(Problem::at(format!("otel[{index}].url"), "expected an http or https address"));
            }
        }
        problems
    }
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
    "cache_ttl",
    "collect_logs",
    "dlp",
    "guardrails",
    "log_classification",
    "log_management",
    "log_management_strategy",
    "logpush",
    "logpush_public_key",
    "otel",
    "rate_limiting_interval",
    "rate_limiting_limit",
    "rate_limiting_technique",
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
