//! What policies say about one call. Pure, so that what is simulated is what is enforced.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::{OneOrMany, Period, Policy, PolicyAction, Resource};
use crate::condition::Condition;
use crate::money::Usd;

/// Policies, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct Policies(Vec<Compiled>);

#[derive(Clone, Debug)]
struct Compiled {
    policy: Policy,
    /// `None` if it could not be parsed, which the file's check refuses: nothing is known of the caller then.
    condition: Option<Condition>,
}

/// A call as policies see it.
pub struct Asked<'a> {
    pub provider: &'a str,
    pub model: &'a str,
    /// The model is unknown, and the request has content that could not be looked into.
    pub opaque: bool,
    /// The value of a field of the caller's identity by its path, such as `["metadata", "team"]`.
    pub field: &'a dyn Fn(&[String]) -> Option<Value>,
}

impl fmt::Debug for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.model)
    }
}

/// What becomes of a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Decision {
    /// It may be made, if every cap has room for it; with none, without a limit.
    Allowed(Vec<Cap>),
    /// It may not be made: because of this policy, or because none allows it.
    Denied { policy: Option<String> },
}

/// A budget.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cap {
    /// Whose budget it is, and for what: actor and resource.
    pub bucket: String,
    pub period: Period,
    pub amount: Usd,
    /// The policy that sets it.
    pub policy: String,
}

impl Policies {
    pub fn compile(policies: &[Policy]) -> Self {
        let compiled = |policy: &Policy| Compiled {
            condition: Condition::parse(&policy.condition).ok(),
            policy: policy.clone(),
        };
        Self(policies.iter().map(compiled).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The budget a call of this caller would be counted in under a policy that sets a cap, and its period; whether the
    /// policy applies is another question.
    pub fn budget_of(&self, policy: &str, asked: &Asked<'_>) -> Option<(String, Period)> {
        let policy = &self.0.iter().find(|compiled| compiled.policy.id == policy)?.policy;
        match policy.action {
            PolicyAction::Limit { period, .. } => Some((policy.bucket(asked)?, period)),
            PolicyAction::NoLimit {} | PolicyAction::Block { .. } => None,
        }
    }

    /// Whether any of them is only simulated.
    pub fn has_simulated(&self) -> bool {
        self.0.iter().any(|compiled| compiled.policy.simulate)
    }

    /// What is to be enforced.
    pub fn decide(&self, asked: &Asked<'_>) -> Decision {
        decide(self.0.iter().filter(|compiled| !compiled.policy.simulate), asked)
    }

    /// What would be enforced if no policy were only simulated.
    pub fn simulate(&self, asked: &Asked<'_>) -> Decision {
        decide(self.0.iter(), asked)
    }
}

/// Cloudflare's order: a block wins; else allowances are grouped by actor and resource, where "no limit" lifts the caps
/// of its group and of several caps with one period the highest holds; where nothing applies, nothing is allowed. Without
/// any policy everything is.
fn decide<'p>(policies: impl Iterator<Item = &'p Compiled>, asked: &Asked<'_>) -> Decision {
    let mut buckets: BTreeMap<String, BTreeMap<Period, Cap>> = BTreeMap::new();
    let mut lifted: Vec<String> = Vec::new();
    let mut any = false;
    for compiled in policies {
        any = true;
        let policy = &compiled.policy;
        let applies = compiled.applies(asked);
        if let PolicyAction::Block { except } = policy.action {
            // Who cannot be told apart from those who are meant is blocked too.
            if applies.map_or(true, |applies| applies != except) {
                return Decision::Denied { policy: Some(policy.id.clone()) };
            }
            continue;
        }
        let bucket = match (applies, policy.bucket(asked)) {
            (Ok(true), Some(bucket)) => bucket,
            _ => continue,
        };
        let caps = buckets.entry(bucket.clone()).or_default();
        match policy.action {
            PolicyAction::Limit { amount, period, .. } => {
                let cap = Cap { bucket, period, amount, policy: policy.id.clone() };
                let held = caps.entry(period).or_insert_with(|| cap.clone());
                if cap.amount > held.amount {
                    *held = cap;
                }
            }
            PolicyAction::NoLimit {} | PolicyAction::Block { .. } => lifted.push(bucket),
        }
    }
    if any && buckets.is_empty() {
        return Decision::Denied { policy: None };
    }
    let caps = buckets.into_iter().filter(|(bucket, _)| !lifted.contains(bucket));
    Decision::Allowed(caps.flat_map(|(_, caps)| caps.into_values()).collect())
}

/// A field of the caller's identity is missing or of the wrong type, or nobody knows which model is meant.
struct Undecided;

impl Compiled {
    fn applies(&self, asked: &Asked<'_>) -> Result<bool, Undecided> {
        let resource = &self.policy.resource;
        if !resource.includes_provider(asked) {
            return Ok(false);
        }
        if asked.opaque && resource.model.is_some() {
            return Err(Undecided);
        }
        if !resource.includes_model(asked) {
            return Ok(false);
        }
        let condition = self.condition.as_ref().ok_or(Undecided)?;
        condition.holds(asked.field).map_err(|_| Undecided)
    }
}

impl Policy {
    /// The budget a call is counted in; `None` if the actor's name refers to what this caller does not have.
    fn bucket(&self, asked: &Asked<'_>) -> Option<String> {
        let mut bucket = String::new();
        let mut rest = self.actor.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (path, after) = after.split_once('}')?;
            let path: Vec<String> = path.trim().split('.').map(str::to_owned).collect();
            bucket.push_str(before);
            match (asked.field)(&path)? {
                Value::String(text) => bucket.push_str(&text),
                other => bucket.push_str(&other.to_string()),
            }
            rest = after;
        }
        bucket.push_str(rest);
        if bucket.is_empty() {
            bucket.push('*');
        }
        Some(format!("{bucket} {}", self.resource))
    }
}

impl Resource {
    fn includes_provider(&self, asked: &Asked<'_>) -> bool {
        let provider = |slug: &str| slug == "*" || slug == asked.provider;
        self.provider.as_ref().is_none_or(|providers| providers.iter().any(provider))
    }

    fn includes_model(&self, asked: &Asked<'_>) -> bool {
        let full = format!("{}/{}", asked.provider, asked.model);
        let model = |pattern: &str| is_like(pattern, asked.model) || is_like(pattern, &full);
        self.model.as_ref().is_none_or(|models| models.iter().any(model))
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |which: &OneOrMany| which.iter().collect::<Vec<_>>().join(",");
        match (&self.model, &self.provider) {
            (None, None) => f.write_str("*"),
            (Some(model), None) => f.write_str(&list(model)),
            (None, Some(provider)) => write!(f, "{}/*", list(provider)),
            (Some(model), Some(provider)) => write!(f, "{}/{}", list(provider), list(model)),
        }
    }
}

/// Whether a name fits a pattern, in which `*` stands for anything but `/`. Capitals make no difference to providers.
fn is_like(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let begins = name.get(..first.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(first));
    if !begins {
        return false;
    }
    let mut rest = &name[first.len()..];
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        let reach = rest.find('/').unwrap_or(rest.len());
        let last = parts.peek().is_none();
        let fits = |at: &usize| {
            let after = rest.get(*at..).unwrap_or_default();
            let fits = after.get(..part.len()).is_some_and(|here| here.eq_ignore_ascii_case(part));
            fits && (!last || after.len() == part.len())
        };
        match (0..=reach).find(fits) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(policies: Value, identity: Value, provider: &str, model: &str) -> (Decision, Decision) {
        let policies: Vec<Policy> = serde_json::from_value(policies).expect("policies");
        let field = |path: &[String]| path.iter().try_fold(&identity, |here, name| here.get(name)).cloned();
        let asked = Asked { provider, model, opaque: model.is_empty(), field: &field };
        let policies = Policies::compile(&policies);
        (policies.decide(&asked), policies.simulate(&asked))
    }

    fn decided(policies: Value, identity: Value, model: &str) -> Decision {
        asked(policies, identity, "anthropic", model).0
    }

    fn denied(policy: &str) -> Decision {
        Decision::Denied { policy: Some(policy.to_owned()) }
    }

    #[test]
    fn without_policies_everything_is_allowed_and_with_one_what_it_allows() {
        assert_eq!(decided(json!([]), json!({}), "m"), Decision::Allowed(vec![]));
        let one =
            json!([{ "id": "a", "resource": { "model": "claude-*" }, "action": { "type": "no-limit" } }]);
        assert_eq!(decided(one.clone(), json!({}), "claude-x"), Decision::Allowed(vec![]));
        assert_eq!(decided(one, json!({}), "gpt-5"), Decision::Denied { policy: None });
    }

    #[test]
    fn a_block_wins_and_reaches_whom_it_cannot_tell_apart() {
        let policies = json!([
            { "id": "all", "action": { "type": "no-limit" } },
            { "id": "red", "condition": "metadata.team == 'red'", "action": { "type": "block" } },
        ]);
        let of = |team| decided(policies.clone(), json!({ "metadata": { "team": team } }), "m");
        assert_eq!(of("red"), denied("red"));
        assert_eq!(of("blue"), Decision::Allowed(vec![]));
        assert_eq!(decided(policies.clone(), json!({}), "m"), denied("red"), "who says nothing may be red");

        let policies = json!([
            { "id": "all", "action": { "type": "no-limit" } },
            { "id": "only", "resource": { "model": ["claude-*", "gpt-*"] }, "action": { "type": "block", "except": true } },
        ]);
        assert_eq!(decided(policies.clone(), json!({}), "claude-x"), Decision::Allowed(vec![]));
        assert_eq!(decided(policies, json!({}), "llama"), denied("only"));

        let policies = json!([
            { "id": "all", "action": { "type": "no-limit" } },
            { "id": "dear", "resource": { "model": "claude-opus-*" }, "action": { "type": "block" } },
        ]);
        assert_eq!(decided(policies, json!({}), ""), denied("dear"), "it may be the one that is meant");
    }

    #[test]
    fn caps_are_grouped_by_actor_and_resource() {
        let limit = |id: &str, actor: &str, amount: u64, period: &str| json!({ "id": id, "actor": actor, "action": { "type": "limit", "amount": amount, "period": period } });
        let policies = json!([
            limit("small", "user:{metadata.user}", 5, "daily"),
            limit("large", "user:{metadata.user}", 9, "daily"),
            limit("month", "user:{metadata.user}", 50, "monthly"),
            limit("team", "team:{metadata.team}", 70, "daily"),
            limit("everybody", "", 90, "daily"),
        ]);
        let Decision::Allowed(caps) =
            decided(policies.clone(), json!({ "metadata": { "user": "ann" } }), "m")
        else {
            panic!("allowed");
        };
        let caps: Vec<_> = caps
            .iter()
            .map(|cap| (cap.bucket.as_str(), cap.policy.as_str(), cap.amount.0 / 1_000_000_000))
            .collect();
        assert_eq!(
            caps,
            [("* *", "everybody", 90), ("user:ann *", "large", 9), ("user:ann *", "month", 50)],
            "the highest of one period, each period, and no team where there is none"
        );

        let mut lifted = policies.as_array().expect("a list").clone();
        lifted
            .push(json!({ "id": "free", "actor": "user:{metadata.user}", "action": { "type": "no-limit" } }));
        let Decision::Allowed(caps) = decided(json!(lifted), json!({ "metadata": { "user": "ann" } }), "m")
        else {
            panic!("allowed");
        };
        assert_eq!(caps.len(), 1, "the caps of that bucket are lifted, the others hold");
    }

    #[test]
    fn what_is_simulated_is_not_enforced() {
        let policies = json!([{ "id": "none", "action": { "type": "block" }, "simulate": true }]);
        let (enforced, simulated) = asked(policies, json!({}), "openai", "m");
        assert_eq!(enforced, Decision::Allowed(vec![]));
        assert_eq!(simulated, denied("none"));
    }

    #[test]
    fn a_star_stops_at_a_slash() {
        for (pattern, name, like) in [
            ("claude-*", "Claude-sonnet", true),
            ("claude-*", "claude-", true),
            ("claude-*", "a-claude-x", false),
            ("*", "anything", true),
            ("*", "vendor/model", false),
            ("*/*", "vendor/model", true),
            ("vendor/*-mini", "vendor/gpt-5-mini", true),
            ("vendor/*-mini", "vendor/gpt-5-mini-2", false),
            ("*mini*", "gpt-5-mini-2", true),
            ("gpt-5", "gpt-5", true),
            ("gpt-5", "gpt-5-mini", false),
            ("é*", "éa", true),
            ("a*", "é", false),
        ] {
            assert_eq!(is_like(pattern, name), like, "{pattern} {name}");
        }
    }
}
