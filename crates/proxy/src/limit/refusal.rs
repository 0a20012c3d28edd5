//! What a refused caller is told: Cloudflare's words, and what to do next.

use std::borrow::Cow;

use genesis_config::money::Usd;
use http::StatusCode;
use serde_json::json;

use super::rules::{Measure, Subject};
use super::under::Limit;
use crate::failure::{Code, Failure};

impl Limit<'_> {
    /// More was asked for than is left.
    pub(super) fn exceeded(
        &self,
        subject: &Subject<'_>,
        used: u64,
        fits_in_ms: Option<i64>,
        needs: u64,
    ) -> Failure {
        let mut failure = match self {
            Self::Rule(rule) if rule.measure == Measure::Cost => {
                let description = if used == 0 || fits_in_ms.is_none() {
                    format!("this call may cost up to ${}, more than the whole limit; {LOWER}", usd(needs))
                } else {
                    format!(
                        "this call may cost up to ${}, and ${} are used or reserved; {LOWER}",
                        usd(needs),
                        usd(used)
                    )
                };
                match rule.is_spend_rule() {
                    true => refused(Code::SpendLimited, rule.spend_exceeded(subject), description),
                    false => {
                        let description = format!("{}: {description}", rule.described());
                        refused(Code::RateLimited, "Rate limited", description)
                    }
                }
            }
            Self::Rule(rule) => refused(Code::RateLimited, "Rate limited", rule.described()),
            Self::Cap(cap) => {
                let mut failure = refused(
                    Code::SpendLimited,
                    "Spending limit exceeded",
                    format!("policy `{}`: this call may cost up to ${}; {LOWER}", cap.policy, usd(needs)),
                );
                // Cloudflare's numbers here are dollars, as doubles.
                failure.body = Some(Box::new(json!({ "success": false, "error": {
                    "message": "Spending limit exceeded", "bucket": cap.bucket,
                    "spent": Usd(i64::try_from(used).unwrap_or(i64::MAX)), "limit": cap.amount,
                } })));
                failure
            }
        };
        let waits = if self.measure() == Measure::Concurrent { Some(1) } else { fits_in_ms.map(seconds) };
        failure.retry_after = waits;
        failure
    }
}

const LOWER: &str = "lower max_tokens or the length of the prompt, or raise the limit";

/// No policy allows the call, or this one forbids it.
pub(super) fn denied(policy: Option<&str>) -> Failure {
    let why = match policy {
        Some(id) => format!("policy `{id}` blocks it"),
        None => "no policy of this gateway allows it".to_owned(),
    };
    let mut failure =
        Failure::refused(StatusCode::FORBIDDEN, Code::DeniedByPolicy, "Access denied by policy", why);
    failure.body =
        Some(Box::new(json!({ "success": false, "error": { "message": "Access denied by policy" } })));
    failure
}

/// A budget cannot vouch for a call whose cost has no bound. `rule`: a spend rule, which may let it pass.
pub(super) fn unbounded(subject: &Subject<'_>, why: &str, rule: bool) -> Failure {
    let mut description =
        format!("{} {} is under a limit on cost, and {why}", subject.provider, subject.model);
    if rule {
        description += "; or let the spend rule count such calls afterwards with `unknownPrice: \"allow\"`";
    }
    Failure::refused(
        StatusCode::FORBIDDEN,
        Code::CostUnbounded,
        "The cost of this call is not known beforehand",
        description,
    )
}

/// What would be spent cannot be put on record.
pub(super) fn unrecorded(why: &str) -> Failure {
    let mut failure = Failure::refused(
        StatusCode::SERVICE_UNAVAILABLE,
        Code::BudgetUnrecorded,
        "The budget cannot be kept on record",
        format!("spending that is not on record could exceed the budget after a restart: {why}"),
    );
    failure.retry_after = Some(1);
    failure
}

fn refused(code: Code, message: impl Into<Cow<'static, str>>, description: String) -> Failure {
    Failure::refused(StatusCode::TOO_MANY_REQUESTS, code, message, description)
}

fn usd(nano: u64) -> Usd {
    Usd(i64::try_from(nano).unwrap_or(i64::MAX))
}

fn seconds(ms: i64) -> u32 {
    u32::try_from(u64::try_from(ms).unwrap_or_default().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
}
