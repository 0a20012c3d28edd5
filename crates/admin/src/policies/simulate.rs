//! What a gateway's policies say about a made-up request: decided by the code that serves requests.

use std::collections::HashMap;

use genesis_config::money::Usd;
use genesis_config::policy::{Asked, Cap, Decision, Period, Policies, Policy};
use genesis_config::problem::nearest;
use http::Response;
use serde_json::{Map, Value, json};

use super::{Found, check, said};
use crate::call::Call;
use crate::envelope::{Body, Refusal, one};
use crate::gateways::shorten;
use crate::shape::{Shape, may, must};

pub(crate) const ASKED: Shape = Shape::Object(&[
    may("identity", Shape::Map(&Shape::Anything)),
    must("model", Shape::Text(256)),
    may("provider", Shape::Text(256)),
    may("bucketUsage", Shape::Map(&USED)),
]);

const USED: Shape = Shape::Object(&[must("spent", Shape::Number)]);

pub(crate) const ANSWERED: Shape = Shape::Object(&[
    must("evaluation", EVALUATION),
    must("enforcement", ENFORCEMENT),
    must("policiesEvaluated", Shape::Whole(0, i64::MAX)),
]);

const EVALUATION: Shape = Shape::Object(&[
    must("decision", Shape::OneOf(&["no-limit", "block", "check_limits"])),
    must("buckets", Shape::List(&BUCKET)),
]);

const BUCKET: Shape = Shape::Object(&[
    must("bucket", Shape::Prose(8192)),
    must("limit", Shape::Number),
    must("period", Shape::OneOf(&["hourly", "daily", "weekly", "monthly"])),
    must("policyId", Shape::Text(64)),
    must("policyName", Shape::Prose(256)),
]);

const ENFORCEMENT: Shape = Shape::Object(&[
    must("allowed", Shape::Flag),
    may("reason", Shape::OneOf(&["blocked", "limit_exceeded"])),
    may("bucket", Shape::Prose(8192)),
    may("spent", Shape::Number),
    may("limit", Shape::Number),
    may("policyName", Shape::Prose(256)),
]);

pub(crate) fn simulate(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let found = Found::of(call)?;
    let policies = staged(&found)?;
    let compiled = Policies::compile(&policies);
    let (provider, model) = addressed(&call.body)?;
    let identity = Value::Object(identity(call, &found.gateway.settings.id));
    let field = |path: &[String]| path.iter().try_fold(&identity, |here, name| here.get(name)).cloned();
    let asked = Asked { provider, model, opaque: false, field: &field };
    let spent = Spent::read(&call.body, &policies, &compiled, &asked)?;
    let name = |id: &str| policies.iter().find(|policy| policy.id == id).map(shown_name).unwrap_or_default();
    let (decision, caps, enforcement) = match compiled.simulate(&asked) {
        Decision::Denied { policy } => {
            let mut enforcement = json!({ "allowed": false, "reason": "blocked" });
            if let Some(id) = policy {
                enforcement["policyName"] = name(&id).into();
            }
            ("block", Vec::new(), enforcement)
        }
        Decision::Allowed(caps) if caps.is_empty() => ("no-limit", caps, json!({ "allowed": true })),
        Decision::Allowed(caps) => {
            let enforcement = enforced(&caps, &spent, &name);
            ("check_limits", caps, enforcement)
        }
    };
    let buckets = caps.iter().map(|cap| {
        json!({
            "bucket": cap.bucket, "limit": cap.amount, "period": cap.period, "policyId": cap.policy,
            "policyName": name(&cap.policy),
        })
    });
    Ok(one(json!({
        "evaluation": { "decision": decision, "buckets": buckets.collect::<Vec<_>>() },
        "enforcement": enforcement,
        "policiesEvaluated": compiled.len(),
    })))
}

/// Every policy as it would hold once all drafts are committed.
fn staged(found: &Found) -> Result<Vec<Policy>, Refusal> {
    let mut policies = found.declared.clone();
    for row in &found.created {
        let policy = check(&row.staged()).map_err(|problems| {
            Refusal::conflict(format!("policy {} cannot be evaluated: {}", row.id, said(problems)))
        })?;
        policies.push(policy);
    }
    Ok(policies)
}

/// Provider and model. A model may be written with its provider before it, as elsewhere.
fn addressed(body: &Map<String, Value>) -> Result<(&str, &str), Refusal> {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let model = text("model").unwrap_or_default();
    match (text("provider"), model.split_once('/')) {
        (Some(provider), Some((first, rest))) if first == provider => Ok((provider, rest)),
        (Some(provider), _) => Ok((provider, model)),
        (None, Some(parts)) => Ok(parts),
        (None, None) => {
            Err(Refusal::invalid("body", "provider", "Required, unless the model is written provider/model"))
        }
    }
}

/// As the body has it, and what the gateway adds by itself.
fn identity(call: &Call<'_>, gateway: &str) -> Map<String, Value> {
    let mut identity = call.body.get("identity").and_then(Value::as_object).cloned().unwrap_or_default();
    identity.entry("gateway").or_insert_with(|| json!({ "id": gateway }));
    identity
}

/// Whether every budget has room, or the first that has none.
fn enforced(caps: &[Cap], spent: &Spent, name: &dyn Fn(&str) -> String) -> Value {
    let exceeded = caps.iter().find(|cap| spent.of(cap) >= cap.amount);
    match exceeded {
        None => json!({ "allowed": true }),
        Some(cap) => json!({
            "allowed": false, "reason": "limit_exceeded", "bucket": cap.bucket, "spent": spent.of(cap),
            "limit": cap.amount, "policyName": name(&cap.policy),
        }),
    }
}

/// What is taken to be spent already, by budget and period.
struct Spent(HashMap<(String, Period), Usd>);

impl Spent {
    /// The body names policies; what is spent under one is spent in its budget, whichever policy sets the cap there.
    fn read(
        body: &Map<String, Value>,
        policies: &[Policy],
        compiled: &Policies,
        asked: &Asked<'_>,
    ) -> Result<Self, Refusal> {
        let mut spent: HashMap<_, Usd> = HashMap::new();
        for (name, usage) in body.get("bucketUsage").and_then(Value::as_object).into_iter().flatten() {
            let path = format!("bucketUsage.{}", shorten(name));
            let amount = Usd::parse(&usage["spent"].to_string())
                .ok_or_else(|| Refusal::invalid("body", &path, "Expected US dollars"))?;
            let named: Vec<_> =
                policies.iter().filter(|policy| policy.name == *name || policy.id == *name).collect();
            if named.is_empty() {
                let known = nearest(name, policies.iter().map(|policy| policy.name.as_str()));
                let meant = known.map(|known| format!("; did you mean '{known}'?")).unwrap_or_default();
                let message = format!("there is no policy '{}'{meant}", shorten(name));
                return Err(Refusal::invalid("body", &path, message));
            }
            for policy in named {
                if let Some(budget) = compiled.budget_of(&policy.id, asked) {
                    let most = spent.entry(budget).or_default();
                    *most = (*most).max(amount);
                }
            }
        }
        Ok(Self(spent))
    }

    fn of(&self, cap: &Cap) -> Usd {
        self.0.get(&(cap.bucket.clone(), cap.period)).copied().unwrap_or_default()
    }
}

fn shown_name(policy: &Policy) -> String {
    if policy.name.is_empty() { policy.id.clone() } else { policy.name.clone() }
}
