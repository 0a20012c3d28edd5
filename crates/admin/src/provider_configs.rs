//! Provider keys kept for the gateway to attach. A key goes in and never comes out.

use genesis_store::{KeyOptions, KeyRow, Secret, token_hash};
use http::Response;
use serde_json::{Map, Value, json};

use crate::call::{Call, moment};
use crate::envelope::{Body, Refusal, one};
use crate::gateways;
use crate::shape::{Shape, may, must};

pub(crate) const CREATED: Shape = Shape::Object(&[
    must("alias", Shape::Text(64)),
    must("default_config", Shape::Flag),
    must("provider_slug", Shape::Text(80)),
    may("rate_limit", Shape::Nullable(&LIMIT)),
    may("rate_limit_period", Shape::Nullable(&LIMIT)),
    may("secret", Shape::Nullable(&Shape::Text(65_536))),
    may("secret_id", Shape::Nullable(&Shape::Text(256))),
]);

pub(crate) const CHANGED: Shape = Shape::Object(&[
    may("alias", Shape::Text(64)),
    may("default_config", Shape::Flag),
    may("provider_slug", Shape::Text(80)),
    may("rate_limit", Shape::Nullable(&LIMIT)),
    may("rate_limit_period", Shape::Nullable(&LIMIT)),
    may("secret", Shape::Nullable(&Shape::Text(65_536))),
    may("secret_id", Shape::Nullable(&Shape::Text(256))),
]);

pub(crate) const SHOWN: Shape = Shape::Object(&[
    must("id", Shape::Text(32)),
    must("alias", Shape::Text(64)),
    must("default_config", Shape::Flag),
    must("gateway_id", Shape::Text(64)),
    must("modified_at", Shape::Moment),
    must("provider_slug", Shape::Text(80)),
    must("secret_id", Shape::Text(32)),
    must("secret_preview", Shape::Prose(80)),
    may("rate_limit", LIMIT),
    may("rate_limit_period", LIMIT),
]);

const LIMIT: Shape = Shape::Whole(0, u32::MAX as i64);

pub(crate) fn list(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let keys = keys(call)?;
    Ok(call.query.paging().cut(keys.iter().map(|key| shown(call, key)).collect()))
}

pub(crate) fn get(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    Ok(one(shown(call, &find(call)?)))
}

pub(crate) fn create(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let asked = |name: &str| call.body.get(name).and_then(Value::as_str).unwrap_or_default().trim();
    let (alias, slug) = (asked("alias"), asked("provider_slug"));
    let provider = match call.declared.providers.find(slug) {
        Some(provider) => provider.slug.clone(),
        None => custom(call, slug)?.ok_or_else(|| {
            let message = format!("there is no provider `{}`", gateways::shorten(slug));
            let hint = call.declared.providers.nearest(slug).map(|slug| format!("; did you mean `{slug}`?"));
            Refusal::invalid("body", "provider_slug", message + &hint.unwrap_or_default())
        })?,
    };
    let Some(secret) = secret(call)? else {
        let message = "Required; there is no Secrets Store here, so `secret_id` names nothing: send `secret`";
        return Err(Refusal::invalid("body", "secret", message));
    };
    let options = options(call, KeyOptions::default())?;
    if keys(call)?.iter().any(|key| key.gateway.is_some() && key.provider == provider && key.alias == alias) {
        let message =
            format!("gateway `{}` already has a key `{alias}` for {provider}", call.param("gateway"));
        return Err(Refusal::conflict(message));
    }
    keep(call, &provider, alias, Some(&secret), options)
}

pub(crate) fn change(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let key = find_own(call)?;
    for (name, kept) in [("alias", &key.alias), ("provider_slug", &key.provider)] {
        if call.body.get(name).and_then(Value::as_str).is_some_and(|asked| asked != kept) {
            let message = "cannot be changed; create another provider config and delete this one";
            return Err(Refusal::invalid("body", name, message));
        }
    }
    let options = options(call, key.options)?;
    keep(call, &key.provider, &key.alias, secret(call)?.as_ref(), options)
}

pub(crate) fn delete(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let key = find_own(call)?;
    call.store().remove_key(&key.provider, &key.alias, key.gateway.as_deref())?;
    Ok(one(shown(call, &key)))
}

/// The keys that serve the gateway: its own, and those for all gateways.
fn keys(call: &Call<'_>) -> Result<Vec<KeyRow>, Refusal> {
    let gateway = gateways::find(call)?.settings.id;
    let mut keys = call.store().keys()?;
    keys.retain(|key| key.gateway.as_ref().is_none_or(|own| *own == gateway));
    Ok(keys)
}

fn find(call: &Call<'_>) -> Result<KeyRow, Refusal> {
    let wanted = call.param("id");
    let found = keys(call)?.into_iter().find(|key| id(key) == wanted);
    found.ok_or_else(|| Refusal::not_found("there is no such provider config"))
}

fn find_own(call: &Call<'_>) -> Result<KeyRow, Refusal> {
    let key = find(call)?;
    if key.gateway.is_none() {
        let message = "this key serves all gateways and is read-only here; use `genesis key set` or `genesis key remove`";
        return Err(Refusal::conflict(message));
    }
    Ok(key)
}

/// The slug under which keys of an enabled custom provider are kept.
fn custom(call: &Call<'_>, slug: &str) -> Result<Option<String>, Refusal> {
    let bare = slug.strip_prefix("custom-").unwrap_or(slug);
    let rows = call.store().custom_providers()?;
    Ok(rows.into_iter().find(|row| row.slug == bare && call.owns(&row.account)).map(|row| row.slug))
}

fn secret(call: &Call<'_>) -> Result<Option<Secret>, Refusal> {
    let Some(text) = call.body.get("secret").and_then(Value::as_str) else { return Ok(None) };
    if text.trim().is_empty() {
        return Err(Refusal::invalid("body", "secret", "the key is empty; send the provider's key"));
    }
    Ok(Some(Secret::from(text.trim())))
}

/// What is kept beside the key: what was sent, over what was there before.
fn options(call: &Call<'_>, before: KeyOptions) -> Result<KeyOptions, Refusal> {
    let number = |name: &str, before: Option<u32>| match call.body.get(name) {
        None => before,
        Some(value) => value.as_f64().map(|number| number as u32),
    };
    let default_config = call.body.get("default_config").and_then(Value::as_bool);
    let options = KeyOptions {
        default_config: default_config.unwrap_or(before.default_config),
        rate_limit: number("rate_limit", before.rate_limit),
        rate_limit_period: number("rate_limit_period", before.rate_limit_period),
    };
    // Half of a limit says nothing, and whoever sent it believes in one.
    if options.rate_limit.is_some_and(|limit| limit > 0) && options.rate().is_none() {
        let message = "Required with `rate_limit`: the period it is for, in seconds";
        return Err(Refusal::invalid("body", "rate_limit_period", message));
    }
    Ok(options)
}

fn keep(
    call: &Call<'_>,
    provider: &str,
    alias: &str,
    secret: Option<&Secret>,
    options: KeyOptions,
) -> Result<Response<Body>, Refusal> {
    let gateway = Some(call.param("gateway"));
    if let Some(secret) = secret {
        call.store().set_key(provider, alias, gateway, secret, call.now_ms)?;
    }
    let kept = call.store().set_key_options(provider, alias, gateway, options, call.now_ms)?;
    let kept = kept.ok_or_else(|| Refusal::not_found("the provider config was deleted meanwhile"))?;
    Ok(one(shown(call, &kept)))
}

fn shown(call: &Call<'_>, key: &KeyRow) -> Value {
    let id = id(key);
    let mut shown = json!({
        "id": id,
        "alias": key.alias,
        "default_config": key.options.default_config || key.alias == "default",
        "gateway_id": call.param("gateway"),
        "modified_at": moment(key.modified_at_ms),
        "provider_slug": key.provider,
        "secret_id": id,
        "secret_preview": key.preview,
    });
    let limits =
        [("rate_limit", key.options.rate_limit), ("rate_limit_period", key.options.rate_limit_period)];
    let limits: Map<_, _> =
        limits.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect();
    if let Value::Object(shown) = &mut shown {
        shown.extend(limits);
    }
    shown
}

/// Follows from what names a key, so that it needs no place of its own.
fn id(key: &KeyRow) -> String {
    let name = [key.gateway.as_deref().unwrap_or_default(), &key.provider, &key.alias].join("\0");
    token_hash(name.as_bytes())[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}
