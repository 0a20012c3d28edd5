//! Policies of a gateway: those created here, which are drafts until they are committed, and those its settings declare,
//! which are read-only here. What is committed holds in the running gateway within a second.
//!
//! * `simulate`: what they say about a made-up request

pub(crate) mod simulate;

use genesis_config::Problem;
use genesis_config::policy::{MOST_POLICIES, Policy, PolicyAction};
use genesis_config::schema;
use genesis_store::PolicyRow;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::envelope::{Body, Refusal, json_body, one, result_with};
use crate::gateways::{self, Known, shorten};
use crate::shape::{Param, Shape, may, must, param};

pub(crate) const COMMIT: Param =
    param("commit", Shape::Flag, "Put it in force at once; else it stays a draft");
pub(crate) const STAGING: Param = param("includeStaging", Shape::Flag, "Whether drafts are shown, too");

pub(crate) const CREATED: Shape = Shape::Object(&[
    must("name", Shape::Text(256)),
    may("actor", Shape::Prose(1024)),
    may("resource", RESOURCE),
    may("condition", Shape::Prose(4096)),
    must("action", ACTION),
    may("simulate", Shape::Flag),
    may("id", Shape::Anything),
    may("created_at", Shape::Anything),
    may("updated_at", Shape::Anything),
]);

/// Fields that are left out stay as they are.
pub(crate) const CHANGED: Shape = Shape::Object(&[
    may("name", Shape::Text(256)),
    may("actor", Shape::Prose(1024)),
    may("resource", RESOURCE),
    may("condition", Shape::Prose(4096)),
    may("action", ACTION),
    may("simulate", Shape::Flag),
    may("id", Shape::Anything),
    may("created_at", Shape::Anything),
    may("updated_at", Shape::Anything),
    may("staging", Shape::Anything),
    may("uncommitted", Shape::Anything),
]);

pub(crate) const SHOWN: Shape = Shape::Object(&[
    must("id", Shape::Text(64)),
    must("name", Shape::Prose(256)),
    must("actor", Shape::Prose(1024)),
    must("resource", RESOURCE),
    must("condition", Shape::Prose(4096)),
    must("action", ACTION),
    must("created_at", Shape::Whole(0, i64::MAX)),
    must("updated_at", Shape::Whole(0, i64::MAX)),
    may("staging", Shape::Flag),
    may("uncommitted", Shape::Flag),
    may("declared", Shape::Flag),
    may("simulate", Shape::Flag),
]);

pub(crate) const COMMITTED: Shape = Shape::Object(&[
    must("committed", Shape::Whole(0, i64::MAX)),
    must("failed", Shape::Whole(0, i64::MAX)),
    must("policies", Shape::List(&SHOWN)),
    may("errors", Shape::List(&FAILED)),
]);

const FAILED: Shape = Shape::Object(&[must("policyId", Shape::Text(64)), must("error", Shape::Prose(4096))]);

const RESOURCE: Shape = Shape::Described(|| schema::policy()["properties"]["resource"].take());
const ACTION: Shape = Shape::Described(|| schema::policy()["properties"]["action"].take());

/// What clients may send back as they got it, and what is dropped of it.
const READ_ONLY: [&str; 5] = ["id", "created_at", "updated_at", "staging", "uncommitted"];

pub(crate) fn list(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let found = Found::of(call)?;
    let staging = call.query.flag("includeStaging").unwrap_or(false);
    let mut all: Vec<_> = found.declared.iter().map(|policy| found.declared_shown(policy)).collect();
    for row in &found.created {
        all.extend(row.in_force().map(|fields| shown(row, &fields)));
        all.extend(staging.then(|| draft_shown(row, "staging")).flatten());
    }
    Ok(one(all))
}

pub(crate) fn get(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let found = Found::of(call)?;
    if let Some(policy) = found.declared.iter().find(|policy| policy.id == call.param("id")) {
        return Ok(one(found.declared_shown(policy)));
    }
    let row = found.row(call)?;
    let staging = call.query.flag("includeStaging").unwrap_or(false);
    let draft = staging.then(|| draft_shown(row, "uncommitted")).flatten();
    let live = row.in_force().map(|fields| shown(row, &fields));
    draft.or(live).map(one).ok_or_else(|| {
        Refusal::not_found(format!("policy {} is only a draft; ask with includeStaging=true", row.id))
    })
}

pub(crate) fn create(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let found = Found::of(call)?;
    found.refuse_shared(call)?;
    let commit = call.query.flag("commit").unwrap_or(false);
    let mut row = PolicyRow::new(call.account(), &found.gateway.settings.id, call.now_ms);
    let fields = written(call);
    row.draft = Some(fields.clone());
    check(&row.staged()).map_err(|problems| Refusal::problems("body", problems))?;
    if commit {
        found.refuse_too_many()?;
        (row.live, row.draft) = (Some(fields), None);
    }
    call.store().add_policy(&row)?;
    let more = Map::from_iter([("committed".to_owned(), commit.into())]);
    Ok(result_with(shown(&row, &row.staged()), more))
}

/// Changes the fields that are sent. A draft holds only what it changes, so a change that is committed at once leaves the
/// rest of the draft as it is.
pub(crate) fn change(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let found = Found::of(call)?;
    found.refuse_declared(call)?;
    let commit = call.query.flag("commit").unwrap_or(false);
    let mut row = found.row(call)?.clone();
    let sent = written(call);
    let mut draft = row.draft.take().unwrap_or_default();
    match (&mut row.live, commit) {
        (Some(live), true) => {
            draft.retain(|name, _| !sent.contains_key(name));
            live.extend(sent);
        }
        (None, true) => {
            found.refuse_too_many()?;
            draft.extend(sent);
            row.live = Some(std::mem::take(&mut draft));
        }
        (_, false) => draft.extend(sent),
    }
    row.draft = Some(draft).filter(|draft| !draft.is_empty());
    let whole = if commit { row.in_force().unwrap_or_default() } else { row.staged() };
    check(&whole).map_err(|problems| Refusal::problems("body", problems))?;
    row.modified_at_ms = call.now_ms;
    call.store().replace_policies(&[row])?;
    Ok(json_body(StatusCode::OK, &json!({ "success": true, "committed": commit })))
}

pub(crate) fn delete(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let found = Found::of(call)?;
    found.refuse_declared(call)?;
    let row = found.row(call)?;
    call.store().delete_policy(&row.id)?;
    Ok(one(shown(row, &row.in_force().unwrap_or_else(|| row.staged()))))
}

/// Puts every draft in force that can be.
pub(crate) fn commit(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let found = Found::of(call)?;
    let mut room = MOST_POLICIES.saturating_sub(found.in_force());
    let (mut ready, mut errors) = (Vec::new(), Vec::new());
    for row in found.created.iter().filter(|row| row.draft.is_some()) {
        let mut fields = row.staged();
        let more = usize::from(row.live.is_none());
        let refused = match check(&fields) {
            Err(problems) => Some(said(problems)),
            Ok(_) if more > room => Some(TOO_MANY.to_owned()),
            Ok(_) => None,
        };
        if let Some(error) = refused {
            errors.push(json!({ "policyId": row.id, "error": error }));
            continue;
        }
        room -= more;
        fields.remove("id");
        ready.push(PolicyRow { live: Some(fields), draft: None, modified_at_ms: call.now_ms, ..row.clone() });
    }
    call.store().replace_policies(&ready)?;
    let policies: Vec<_> = ready.iter().map(|row| shown(row, &row.staged())).collect();
    let mut result = json!({ "committed": ready.len(), "failed": errors.len(), "policies": policies });
    let success = errors.is_empty();
    if !success {
        result["errors"] = errors.into();
    }
    let body = json!({ "success": success, "errors": [], "messages": [], "result": result });
    Ok(json_body(StatusCode::OK, &body))
}

const TOO_MANY: &str = "a gateway has at most 100 policies; delete some first";

/// The policies of the path's gateway.
struct Found {
    gateway: Known,
    /// By its settings.
    declared: Vec<Policy>,
    created: Vec<PolicyRow>,
}

impl Found {
    fn of(call: &Call<'_>) -> Result<Self, Refusal> {
        let gateway = gateways::find(call)?;
        let mut created = call.store().policies(Some(&gateway.settings.id))?;
        created.retain(|row| call.owns(&row.account));
        Ok(Self { declared: gateway.settings.policies.clone(), created, gateway })
    }

    fn row(&self, call: &Call<'_>) -> Result<&PolicyRow, Refusal> {
        let id = call.param("id");
        let found = self.created.iter().find(|row| row.id == id);
        found.ok_or_else(|| Refusal::not_found(format!("there is no policy {}", shorten(id))))
    }

    /// How many hold.
    fn in_force(&self) -> usize {
        self.declared.len() + self.created.iter().filter(|row| row.live.is_some()).count()
    }

    fn refuse_too_many(&self) -> Result<(), Refusal> {
        if self.in_force() < MOST_POLICIES { Ok(()) } else { Err(Refusal::conflict(TOO_MANY)) }
    }

    fn refuse_declared(&self, call: &Call<'_>) -> Result<(), Refusal> {
        let id = call.param("id");
        if !self.declared.iter().any(|policy| policy.id == id) {
            return Ok(());
        }
        let gateway = &self.gateway.settings.id;
        let place = match self.gateway.declared {
            true => format!("in genesis.json; change gateway.gateways.{gateway}.policies there"),
            false => format!("by the settings of gateway `{gateway}`; change `policies` there"),
        };
        Err(Refusal::conflict(format!("policy `{}` is declared {place}", shorten(id))))
    }

    /// A gateway of the file serves every account of an install that names some: none of them makes rules for all.
    fn refuse_shared(&self, call: &Call<'_>) -> Result<(), Refusal> {
        if self.gateway.account.is_some() || call.declared.accounts.is_none() {
            return Ok(());
        }
        let gateway = &self.gateway.settings.id;
        Err(Refusal::conflict(format!(
            "gateway `{gateway}` serves all accounts; its policies belong into genesis.json, as \
             gateway.gateways.{gateway}.policies"
        )))
    }

    fn declared_shown(&self, policy: &Policy) -> Value {
        let fields = match serde_json::to_value(policy) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let mut shown = filled(&fields);
        shown["created_at"] = (self.gateway.created_at_ms / 1000).into();
        shown["updated_at"] = (self.gateway.modified_at_ms / 1000).into();
        shown["declared"] = true.into();
        shown
    }
}

/// The body, without what a policy is given.
fn written(call: &Call<'_>) -> Map<String, Value> {
    let mut fields = call.body.clone();
    fields.retain(|name, value| !READ_ONLY.contains(&name.as_str()) && !value.is_null());
    fields
}

/// A policy as it would be enforced, or all that is wrong with it.
fn check(fields: &Map<String, Value>) -> Result<Policy, Vec<Problem>> {
    let policy = Policy::from_json(fields.clone()).map_err(|problem| vec![problem])?;
    let mut problems = policy.check();
    // Cloudflare's bound; a cap of nothing is a block, which says so.
    if matches!(&policy.action, PolicyAction::Limit { amount, .. } if amount.0 == 0) {
        let problem = Problem::at("action.amount", "Number must be greater than 0");
        problems.push(problem.with_hint("{\"type\": \"block\"} refuses everything"));
    }
    if problems.is_empty() { Ok(policy) } else { Err(problems) }
}

fn said(problems: Vec<Problem>) -> String {
    let lines: Vec<_> =
        problems.into_iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
    lines.join("; ")
}

fn shown(row: &PolicyRow, fields: &Map<String, Value>) -> Value {
    let mut shown = filled(fields);
    shown["created_at"] = (row.created_at_ms / 1000).into();
    shown["updated_at"] = (row.modified_at_ms / 1000).into();
    shown
}

/// A draft under Cloudflare's mark, which has another name in lists.
fn draft_shown(row: &PolicyRow, mark: &str) -> Option<Value> {
    row.draft.as_ref()?;
    let mut shown = shown(row, &row.staged());
    shown[mark] = true.into();
    Some(shown)
}

/// The fields with those that may be left out.
fn filled(fields: &Map<String, Value>) -> Value {
    let mut shown = json!({ "name": "", "actor": "", "resource": "*", "condition": "true" });
    for (name, value) in fields {
        shown[name] = value.clone();
    }
    shown
}
