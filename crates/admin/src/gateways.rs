//! Gateways: those the file declares, which are read-only here, and those created over this API.

use std::collections::BTreeMap;

use genesis_config::gateway::FIELDS;
use genesis_config::problem::nearest;
use genesis_config::schema::gateway_settings;
use genesis_config::{GatewaySettings, Problem};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::call::{Call, moment};
use crate::envelope::{Body, Refusal, json_body, one};
use crate::logs;
use crate::shape::Shape;

/// The body of a creation, and of a full replacement; `read` checks what the schema says.
pub(crate) const CREATED: Shape = Shape::Described(|| body_schema(&["id"]));
pub(crate) const REPLACED: Shape = Shape::Described(|| body_schema(&[]));

/// What Cloudflare asks to be there; `null` counts as 0 or false.
const REQUIRED: [&str; 5] = [
    "cache_invalidate_on_update",
    "cache_ttl",
    "collect_logs",
    "rate_limiting_interval",
    "rate_limiting_limit",
];

/// What answers carry beside settings. Clients send it back, and it is dropped.
const READ_ONLY: [&str; 8] = [
    "account_id",
    "account_tag",
    "created_at",
    "declared",
    "internal_id",
    "is_default",
    "modified_at",
    "wholesale",
];

/// Settings Cloudflare's clients do not know. They replace a gateway without them and do not mean them to go.
const OURS: [&str; 9] = [
    "cache_semantic",
    "cache_stale_if_error",
    "cache_stale_while_revalidate",
    "log_max_age",
    "on_disconnect",
    "policies",
    "rate_limits",
    "resumable_streams",
    "strict_translation",
];

/// What stands for a secret in answers; sent back, it leaves the secret as it is.
const HIDDEN: &str = "********";

/// A gateway, wherever it comes from.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) settings: GatewaySettings,
    /// Row of the store; `None`: declared, or of `genesis dev`.
    pub(crate) account: Option<String>,
    pub(crate) declared: bool,
    pub(crate) created_at_ms: i64,
    pub(crate) modified_at_ms: i64,
}

pub(crate) fn list(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let search = call.query.get("search").unwrap_or_default().to_lowercase();
    let mut found = all(call)?;
    found.retain(|known| call.caller.reaches(&known.settings.id));
    found.retain(|known| known.settings.id.to_lowercase().contains(&search));
    Ok(call.query.paging().cut(found.iter().map(|known| shown(call, known)).collect()))
}

pub(crate) fn get(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    Ok(one(shown(call, &find(call)?)))
}

pub(crate) fn create(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let settings = read(call, None)?;
    if !call.caller.reaches(&settings.id) {
        return Err(crate::access::out_of_scope());
    }
    let taken = call.declared.gateways.contains_key(&settings.id)
        || call.store().gateway_rows()?.iter().any(|row| row.id == settings.id);
    if taken {
        return Err(Refusal::conflict(format!("there is already a gateway `{}`", settings.id)));
    }
    keep(call, call.account(), &settings)
}

pub(crate) fn replace(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let known = find(call)?;
    refuse_declared(&known)?;
    let settings = read(call, Some(&known.settings))?;
    keep(call, known.account.as_deref().unwrap_or_else(|| call.account()), &settings)
}

/// Empties the gateway's cache, on disk at once and in a running gateway's memory within a second.
pub(crate) fn purge(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let gateway = find(call)?.settings.id;
    let removed = call.store().purge_cache(Some(&gateway), call.now_ms)?;
    Ok(json_body(StatusCode::OK, &json!({ "success": true, "removed": removed })))
}

pub(crate) fn delete(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let known = find(call)?;
    refuse_declared(&known)?;
    if let Some(account) = &known.account {
        call.store().delete_gateway(account, &known.settings.id)?;
        call.store().delete_logs(&logs::of_gateway(call, &known.settings.id))?;
        call.store().purge_cache(Some(&known.settings.id), call.now_ms)?;
    }
    Ok(one(shown(call, &known)))
}

/// The base URL of a provider behind the gateway; of the gateway itself for `universal`, with a slash at its end.
pub(crate) fn url(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let gateway = find(call)?.settings.id;
    let header = |name: &str| call.headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = header("x-forwarded-proto").filter(|scheme| *scheme == "https").unwrap_or("http");
    let host = header("x-forwarded-host").or_else(|| header("host")).unwrap_or("localhost");
    let base = format!("{scheme}://{host}/v1/{}/{gateway}/", call.account());
    match call.param("provider") {
        "universal" => Ok(one(base)),
        slug if slug == "compat" || call.declared.providers.find(slug).is_some() => Ok(one(base + slug)),
        slug => {
            let bare = slug.strip_prefix("custom-").unwrap_or_default();
            let rows = call.store().custom_providers()?;
            match rows.iter().any(|row| row.slug == bare && call.owns(&row.account)) {
                true => Ok(one(base + slug)),
                false => Err(Refusal::not_found(format!("there is no provider `{}`", shorten(slug)))),
            }
        }
    }
}

/// The gateway the path names.
pub(crate) fn find(call: &Call<'_>) -> Result<Known, Refusal> {
    let id = call.param("gateway");
    let found = all(call)?.into_iter().find(|known| known.settings.id == id);
    found.ok_or_else(|| Refusal::not_found(format!("there is no gateway `{}`", shorten(id))))
}

/// The id of the gateway the path names, if it may have a log: `default` has one as soon as it is called.
pub(crate) fn logged(call: &Call<'_>) -> Result<String, Refusal> {
    match find(call) {
        Ok(known) => Ok(known.settings.id),
        Err(_) if call.param("gateway") == "default" => Ok("default".to_owned()),
        Err(refusal) => Err(refusal),
    }
}

pub(crate) fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Every gateway of the account, by id.
fn all(call: &Call<'_>) -> Result<Vec<Known>, Refusal> {
    let mut found = BTreeMap::new();
    let written_at = call.declared.written_at_ms;
    let plain = |settings: GatewaySettings, declared| Known {
        settings,
        account: None,
        declared,
        created_at_ms: written_at,
        modified_at_ms: written_at,
    };
    for id in call.declared.dev_gateways.iter().flatten() {
        found.insert(id.clone(), plain(GatewaySettings::named(id), false));
    }
    for row in call.store().gateway_rows()? {
        // Settings a newer version wrote are for that version to show.
        let Ok(mut settings) = serde_json::from_value::<GatewaySettings>(row.settings) else { continue };
        if !call.owns(&row.account) {
            continue;
        }
        settings.id.clone_from(&row.id);
        let known = Known {
            settings,
            account: Some(row.account),
            declared: false,
            created_at_ms: row.created_at_ms,
            modified_at_ms: row.modified_at_ms,
        };
        found.insert(row.id, known);
    }
    for (id, settings) in &call.declared.gateways {
        found.insert(id.clone(), plain(settings.clone(), true));
    }
    Ok(found.into_values().collect())
}

fn refuse_declared(known: &Known) -> Result<(), Refusal> {
    if !known.declared {
        return Ok(());
    }
    let id = &known.settings.id;
    Err(Refusal::conflict(format!(
        "gateway `{id}` is declared in genesis.json and read-only here; change gateway.gateways.{id} there"
    )))
}

/// Reads and checks the settings in the body. `old`: what they replace.
fn read(call: &Call<'_>, old: Option<&GatewaySettings>) -> Result<GatewaySettings, Refusal> {
    let mut body = call.body.clone();
    body.retain(|name, _| !READ_ONLY.contains(&name.as_str()));
    let required = REQUIRED.iter().chain(old.is_none().then_some(&"id"));
    let mut problems: Vec<_> = required
        .filter(|name| !body.contains_key(**name))
        .map(|name| Problem::at(*name, "Required"))
        .collect();
    let unknown = body.iter().filter(|(name, value)| !value.is_null() && !FIELDS.contains(&name.as_str()));
    problems.extend(unknown.map(|(name, _)| unrecognized(name)));
    if !problems.is_empty() {
        return Err(Refusal::problems("body", problems));
    }
    if let Some(old) = old {
        body.insert("id".to_owned(), Value::from(old.id.as_str()));
        let kept = serde_json::to_value(old).unwrap_or_default();
        for name in OURS.into_iter().filter(|name| !kept[*name].is_null()) {
            body.entry(name).or_insert_with(|| kept[name].clone());
        }
    }
    let mut settings =
        GatewaySettings::from_api(body).map_err(|problem| Refusal::problems("body", vec![problem]))?;
    if let Some(old) = old {
        keep_hidden(&mut settings, old);
    }
    let problems = settings.check();
    if problems.is_empty() { Ok(settings) } else { Err(Refusal::problems("body", problems)) }
}

fn unrecognized(name: &str) -> Problem {
    let problem = Problem::at(shorten(name), format!("Unrecognized key(s) in object: '{}'", shorten(name)));
    match nearest(name, FIELDS.iter().copied()) {
        Some(meant) => problem.with_hint(format!("did you mean `{meant}`?")),
        None => problem,
    }
}

fn keep(call: &Call<'_>, account: &str, settings: &GatewaySettings) -> Result<Response<Body>, Refusal> {
    let value = serde_json::to_value(settings).unwrap_or_default();
    let row = call.store().put_gateway(account, &settings.id, &value, call.now_ms)?;
    let known = Known {
        settings: settings.clone(),
        account: Some(row.account),
        declared: false,
        created_at_ms: row.created_at_ms,
        modified_at_ms: row.modified_at_ms,
    };
    Ok(one(shown(call, &known)))
}

/// A gateway as answers show it: secrets hidden.
fn shown(call: &Call<'_>, known: &Known) -> Value {
    let mut settings = known.settings.clone();
    for exporter in &mut settings.otel {
        exporter.headers.values_mut().for_each(hide);
        exporter.authorization.iter_mut().for_each(hide);
    }
    settings.stripe.iter_mut().for_each(|stripe| hide(&mut stripe.authorization));
    let mut shown = serde_json::to_value(&settings).unwrap_or_default();
    let account = known.account.as_deref().unwrap_or_else(|| call.account());
    shown["account_id"] = account.into();
    shown["account_tag"] = account.into();
    shown["created_at"] = moment(known.created_at_ms).into();
    shown["declared"] = known.declared.into();
    shown["is_default"] = known.settings.is_default().into();
    shown["modified_at"] = moment(known.modified_at_ms).into();
    shown
}

fn hide(secret: &mut String) {
    HIDDEN.clone_into(secret);
}

/// Puts the secrets back that a client has only seen hidden.
fn keep_hidden(settings: &mut GatewaySettings, old: &GatewaySettings) {
    let mut before = old.otel.clone();
    for exporter in &mut settings.otel {
        let Some(at) = before.iter().position(|old| old.url == exporter.url) else { continue };
        let old = before.remove(at);
        for (name, value) in exporter.headers.iter_mut().filter(|(_, value)| *value == HIDDEN) {
            value.clone_from(old.headers.get(name).unwrap_or(&String::new()));
        }
        if exporter.authorization.as_deref() == Some(HIDDEN) {
            exporter.authorization = old.authorization;
        }
    }
    if let (Some(stripe), Some(old)) = (&mut settings.stripe, &old.stripe)
        && stripe.authorization == HIDDEN
    {
        stripe.authorization.clone_from(&old.authorization);
    }
}

/// As answers are described: settings and what stands beside them.
pub(crate) fn schema() -> Value {
    let mut schema = gateway_settings();
    for (name, shape) in [
        ("account_id", Shape::Text(64)),
        ("account_tag", Shape::Text(64)),
        ("created_at", Shape::Moment),
        ("declared", Shape::Flag),
        ("is_default", Shape::Flag),
        ("modified_at", Shape::Moment),
    ] {
        schema["properties"][name] = shape.schema();
    }
    schema["required"] =
        json!(["id", "created_at", "modified_at", "is_default", "cache_ttl", "collect_logs"]);
    schema
}

fn body_schema(more: &[&str]) -> Value {
    let mut schema = gateway_settings();
    schema["required"] = json!([more, &REQUIRED[..]].concat());
    schema
}
