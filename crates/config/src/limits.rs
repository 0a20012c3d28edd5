//! What a gateway's callers may use: rate limits and spend limits. Both are lists of rules in Cloudflare's words for spend
//! limits, so that whoever can write one can write the other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::controls::yes;
use crate::gateway::Technique;
use crate::money::Usd;
use crate::problem::Problem;

/// Cloudflare's bound on spend rules, and ours on the other lists: every rule is looked at for every call.
pub(crate) const MOST_RULES: usize = 20;
/// Longest window, in seconds: 366 days.
const LONGEST_WINDOW: u64 = 366 * 24 * 60 * 60;

/// Spend limits: rules over USD per window.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpendLimits {
    pub enabled: bool,
    /// At most 20.
    pub rules: Vec<SpendRule>,
}

impl SpendLimits {
    pub(crate) fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.rules.len() > MOST_RULES {
            problems.push(Problem::at("spend_limits.rules", "a gateway has at most 20 spend rules"));
        }
        for (index, rule) in self.rules.iter().enumerate() {
            let path = format!("spend_limits.rules[{index}]");
            let others = self.rules[..index].iter().map(|other| &other.id);
            problems.extend(check_id(&path, "a spend rule", &rule.id, others));
            if rule.limit.0 < 0 {
                problems.push(Problem::at(format!("{path}.limit"), "a limit cannot be negative"));
            }
            problems.extend(check_window(&path, rule.window));
        }
        problems
    }
}

/// A limit on what the calls of a window cost.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SpendRule {
    pub id: String,
    #[serde(default = "yes")]
    pub enabled: bool,
    #[serde(default)]
    pub limit_type: LimitType,
    /// US dollars.
    pub limit: Usd,
    /// Seconds.
    pub window: u64,
    #[serde(default = "sliding")]
    pub technique: Technique,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Dimension>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Dimension>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Dimension>,
    /// Ours: the id of the gateway token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Dimension>,
    /// Ours: what happens to a call whose cost cannot be bounded beforehand.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unknown_price: UnknownPrice,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitType {
    #[default]
    Cost,
}

/// What a budget does with a call that nobody can price: a model without a known price, or one that may use without
/// bound.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownPrice {
    /// Refuse it. A budget that an unpriced model walks around is none.
    #[default]
    Refuse,
    /// Let it pass while anything is left. What it turns out to cost, if that becomes known, is counted afterwards.
    Allow,
}

/// `rate_limits`: a limit on how much is asked for, beside the one of the whole gateway. Ours; the words are those of
/// [`SpendRule`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RateLimit {
    pub id: String,
    #[serde(default = "yes")]
    pub enabled: bool,
    #[serde(default)]
    pub limit_type: RateType,
    pub limit: u64,
    /// Seconds. Not given for [`RateType::Concurrent`].
    #[serde(default)]
    pub window: u64,
    #[serde(default = "sliding")]
    pub technique: Technique,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Dimension>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Dimension>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Dimension>,
    /// The id of the gateway token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Dimension>,
}

/// What a rate limit counts.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RateType {
    #[default]
    Requests,
    /// Cached ones included.
    InputTokens,
    /// Reasoning included.
    OutputTokens,
    TotalTokens,
    /// Calls under way at one time.
    Concurrent,
}

/// Every mistake of a list of rate limits.
pub(crate) fn check_rate_limits(limits: &[RateLimit]) -> Vec<Problem> {
    let mut problems = Vec::new();
    if limits.len() > MOST_RULES {
        problems.push(Problem::at("rate_limits", "a gateway has at most 20 rate limits"));
    }
    for (index, limit) in limits.iter().enumerate() {
        let path = format!("rate_limits[{index}]");
        let others = limits[..index].iter().map(|other| &other.id);
        problems.extend(check_id(&path, "a rate limit", &limit.id, others));
        match limit.limit_type {
            RateType::Concurrent if limit.window > 0 => {
                let problem = Problem::at(format!("{path}.window"), "calls under way have no window");
                problems.push(problem.with_hint("leave it out"));
            }
            RateType::Concurrent => {}
            _ => problems.extend(check_window(&path, limit.window)),
        }
    }
    problems
}

/// How a rule treats one property of a request.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "mode")]
pub enum Dimension {
    /// The rule applies only to these values.
    Filter { values: Vec<String> },
    /// Each value has a limit of its own.
    Partition {},
}

/// An id names a counter that outlives restarts, so it must be there, and once.
pub(crate) fn check_id<'a>(
    path: &str,
    what: &str,
    id: &str,
    mut others: impl Iterator<Item = &'a String>,
) -> Option<Problem> {
    if id.is_empty() {
        return Some(Problem::at(format!("{path}.id"), format!("{what} needs an id")));
    }
    others.any(|other| other == id).then(|| Problem::at(format!("{path}.id"), "another rule has this id"))
}

fn check_window(path: &str, seconds: u64) -> Option<Problem> {
    let path = format!("{path}.window");
    match seconds {
        0 => Some(Problem::at(path, "a limit needs a window, in seconds")),
        1..=LONGEST_WINDOW => None,
        _ => Some(Problem::at(path, format!("at most {LONGEST_WINDOW} seconds, which is 366 days"))),
    }
}

fn sliding() -> Technique {
    Technique::Sliding
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
