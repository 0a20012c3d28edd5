//! Custom providers of the account: reached as `custom-<slug>` once they are enabled.

use genesis_config::ExposeSecret;
use genesis_config::file::ProviderPatch;
use genesis_store::{CustomProviderRow, ErrorKind, Secret};
use http::{Response, StatusCode};
use serde_json::{Map, Value};

use crate::call::{Call, moment};
use crate::envelope::{Body, Refusal, code, one};
use crate::gateways::shorten;
use crate::shape::{Field, Shape, may, must};

pub(crate) const CREATED: Shape = Shape::Object(&[
    must("name", Shape::Text(256)),
    must("slug", Shape::Text(64)),
    must("base_url", Shape::Text(2048)),
    BETA,
    CURL_EXAMPLE,
    DESCRIPTION,
    ENABLE,
    HEADERS,
    JS_EXAMPLE,
    LINK,
    LOGO,
    POSITION,
]);

pub(crate) const CHANGED: Shape = Shape::Object(&[
    may("name", Shape::Text(256)),
    may("slug", Shape::Text(64)),
    may("base_url", Shape::Text(2048)),
    BETA,
    CURL_EXAMPLE,
    DESCRIPTION,
    ENABLE,
    HEADERS,
    JS_EXAMPLE,
    LINK,
    LOGO,
    POSITION,
]);

pub(crate) const SHOWN: Shape = Shape::Object(&[
    must("id", Shape::Text(36)),
    must("name", Shape::Text(256)),
    must("slug", Shape::Text(64)),
    must("base_url", Shape::Text(2048)),
    must("created_at", Shape::Moment),
    must("modified_at", Shape::Moment),
    must("account_id", Shape::Prose(64)),
    must("account_tag", Shape::Prose(64)),
    BETA,
    CURL_EXAMPLE,
    DESCRIPTION,
    ENABLE,
    HEADERS,
    JS_EXAMPLE,
    LINK,
    LOGO,
    POSITION,
]);

const BETA: Field = may("beta", Shape::Nullable(&Shape::Flag));
const CURL_EXAMPLE: Field = may("curl_example", Shape::Nullable(&Shape::Prose(10_000)));
const DESCRIPTION: Field = may("description", Shape::Nullable(&Shape::Prose(10_000)));
const ENABLE: Field = may("enable", Shape::Nullable(&Shape::Flag));
const HEADERS: Field = may("headers", Shape::Nullable(&Shape::Prose(16_384)));
const JS_EXAMPLE: Field = may("js_example", Shape::Nullable(&Shape::Prose(10_000)));
const LINK: Field = may("link", Shape::Nullable(&Shape::Prose(2048)));
const LOGO: Field = may("logo", Shape::Nullable(&Shape::Prose(100_000)));
const POSITION: Field = may("position", Shape::Nullable(&Shape::Whole(0, 1_000_000)));

/// What stands for header values in answers; sent back, it leaves them as they are.
const HIDDEN: &str = "********";

pub(crate) fn list(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let mut rows = rows(call)?;
    let search = call.query.get("search").unwrap_or_default().to_lowercase();
    let name = |row: &CustomProviderRow| row.fields["name"].as_str().unwrap_or_default().to_lowercase();
    rows.retain(|row| [row.id.as_str(), &name(row), &row.slug].iter().any(|text| text.contains(&search)));
    for flag in ["enable", "beta"] {
        if let Some(wanted) = call.query.flag(flag) {
            rows.retain(|row| row.fields.get(flag) == Some(&Value::Bool(wanted)));
        }
    }
    rows.sort_by_key(name);
    if call.query.get("order_by").is_some_and(|order| order.eq_ignore_ascii_case("name desc")) {
        rows.reverse();
    }
    Ok(call.query.paging().cut(rows.iter().map(shown).collect()))
}

pub(crate) fn get(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    Ok(one(shown(&find(call)?)))
}

pub(crate) fn create(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let row = CustomProviderRow {
        id: uuid::Uuid::now_v7().as_hyphenated().to_string(),
        account: call.account().to_owned(),
        slug: String::new(),
        fields: Map::from_iter([
            ("beta".to_owned(), Value::Bool(false)),
            ("enable".to_owned(), Value::Bool(false)),
        ]),
        headers: None,
        created_at_ms: call.now_ms,
        modified_at_ms: call.now_ms,
    };
    keep(call, row)
}

pub(crate) fn change(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let mut row = find(call)?;
    row.modified_at_ms = call.now_ms;
    keep(call, row)
}

pub(crate) fn delete(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let row = find(call)?;
    call.store().delete_custom_provider(&row.id)?;
    Ok(one(shown(&row)))
}

fn rows(call: &Call<'_>) -> Result<Vec<CustomProviderRow>, Refusal> {
    let mut rows = call.store().custom_providers()?;
    rows.retain(|row| call.owns(&row.account));
    Ok(rows)
}

fn find(call: &Call<'_>) -> Result<CustomProviderRow, Refusal> {
    let id = call.param("id");
    let found = rows(call)?.into_iter().find(|row| row.id == id);
    found.ok_or_else(|| {
        let message = format!("Custom provider {} not found", shorten(id));
        Refusal::new(StatusCode::NOT_FOUND, code::CUSTOM_PROVIDER_UNKNOWN, message)
    })
}

/// Takes over what the body says, checks the whole, and stores it.
fn keep(call: &Call<'_>, mut row: CustomProviderRow) -> Result<Response<Body>, Refusal> {
    for (name, value) in &call.body {
        match (name.as_str(), value.as_str()) {
            ("slug", Some(slug)) => slug.clone_into(&mut row.slug),
            ("headers", text) => row.headers = headers(text.unwrap_or_default(), row.headers.as_ref())?,
            _ if value.is_null() => {
                row.fields.remove(name);
            }
            _ => {
                row.fields.insert(name.clone(), value.clone());
            }
        }
    }
    check(call, &row)?;
    call.store().put_custom_provider(&row).map_err(|error| match error.kind() {
        ErrorKind::Exists => taken(&row.slug),
        _ => error.into(),
    })?;
    Ok(one(shown(&row)))
}

fn check(call: &Call<'_>, row: &CustomProviderRow) -> Result<(), Refusal> {
    let wrong = |path: &str, message: String| {
        Refusal::invalid("body", path, message).with_code(code::CUSTOM_PROVIDER_INVALID)
    };
    let base_url = row.fields.get("base_url").and_then(Value::as_str).unwrap_or_default();
    let plain_allowed = call.declared.allow_private && base_url.starts_with("http://");
    if !plain_allowed && !base_url.starts_with("https://") {
        let message = "must be an https:// address; http is for private addresses, see gateway.allowPrivate";
        return Err(wrong("base_url", message.to_owned()));
    }
    let slug = row.slug.as_str();
    if call.declared.providers.find(slug).is_some() {
        return Err(taken(slug));
    }
    let patch = patch(row).map_err(|message| wrong("headers", message))?;
    let mut providers = call.declared.providers.clone();
    providers.add_from_api(slug, &patch).map_err(|problems| {
        let mut refusal = Refusal::problems("body", problems).with_code(code::CUSTOM_PROVIDER_INVALID);
        for fault in &mut refusal.faults {
            match fault.path.get(1).and_then(Value::as_str) {
                Some("baseUrl") => fault.path[1] = "base_url".into(),
                None => fault.path.push("slug".into()),
                _ => {}
            }
        }
        refusal
    })
}

fn taken(slug: &str) -> Refusal {
    let message = format!("A provider with slug `{}` already exists", shorten(slug));
    let mut refusal = Refusal::invalid("body", "slug", message).with_code(code::CUSTOM_PROVIDER_EXISTS);
    refusal.status = StatusCode::CONFLICT;
    refusal
}

/// The row as the provider table takes it; the error says what is wrong with its headers.
pub fn patch(row: &CustomProviderRow) -> Result<ProviderPatch, String> {
    let text = |name: &str| row.fields.get(name).and_then(Value::as_str).map(str::to_owned);
    let headers = match &row.headers {
        Some(headers) => header_map(headers.expose_secret())?,
        None => Vec::new(),
    };
    Ok(ProviderPatch { name: text("name"), base_url: text("base_url"), headers, ..ProviderPatch::default() })
}

/// The `headers` field: the text of a JSON object. Hidden values are those that were there before.
fn headers(text: &str, before: Option<&Secret>) -> Result<Option<Secret>, Refusal> {
    let invalid = |message: String| Refusal::invalid("body", "headers", message);
    if text.trim().is_empty() {
        return Ok(None);
    }
    let before = before.map(|text| header_map(text.expose_secret())).transpose().map_err(invalid)?;
    let before: Map<_, _> =
        before.into_iter().flatten().map(|(name, value)| (name, Value::from(value))).collect();
    let mut map = Map::new();
    for (name, value) in header_map(text).map_err(invalid)? {
        let kept = before.get(&name).filter(|_| value == HIDDEN).cloned();
        map.insert(name, kept.unwrap_or_else(|| value.into()));
    }
    Ok((!map.is_empty()).then(|| Secret::from(Value::Object(map).to_string())))
}

fn header_map(text: &str) -> Result<Vec<(String, String)>, String> {
    let Ok(Value::Object(map)) = serde_json::from_str(text) else {
        return Err("must be the text of a JSON object, such as {\"x-team\":\"a\"}".to_owned());
    };
    map.into_iter()
        .map(|(name, value)| match value {
            Value::String(value) => Ok((name, value)),
            _ => Err(format!("the value of `{}` must be a string", shorten(&name))),
        })
        .collect()
}

fn shown(row: &CustomProviderRow) -> Value {
    let mut shown = row.fields.clone();
    let texts = [
        ("id", row.id.clone()),
        ("slug", row.slug.clone()),
        ("account_id", row.account.clone()),
        ("account_tag", row.account.clone()),
        ("created_at", moment(row.created_at_ms)),
        ("modified_at", moment(row.modified_at_ms)),
    ];
    shown.extend(texts.map(|(name, text)| (name.to_owned(), Value::from(text))));
    if let Some(Ok(headers)) = row.headers.as_ref().map(|text| header_map(text.expose_secret())) {
        let hidden: Map<_, _> = headers.into_iter().map(|(name, _)| (name, HIDDEN.into())).collect();
        shown.insert("headers".to_owned(), Value::from(Value::Object(hidden).to_string()));
    }
    Value::Object(shown)
}
