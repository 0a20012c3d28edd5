//! Custom domains: host names under which a gateway is reached without account and gateway in the path.

use genesis_config::HostName;
use genesis_store::DomainRow;
use http::Response;
use serde_json::{Value, json};

use crate::call::Call;
use crate::envelope::{Body, Refusal, one};
use crate::gateways::{self, shorten};
use crate::shape::{Shape, may, must};

pub(crate) const CREATED: Shape =
    Shape::Object(&[must("domain", Shape::Text(254)), may("zone_id", Shape::Nullable(&Shape::Text(64)))]);

pub(crate) const SHOWN: Shape = Shape::Object(&[
    must("hostname", Shape::Text(253)),
    must("gateway_id", Shape::Text(64)),
    must("status", Shape::OneOf(&["active"])),
    must("cname_target", Shape::Text(256)),
    must("created_at", Shape::Whole(0, i64::MAX)),
    must("modified_at", Shape::Whole(0, i64::MAX)),
    may("declared", Shape::Flag),
]);

/// A custom domain of the path's gateway.
struct Known {
    hostname: String,
    declared: bool,
    created_at_ms: i64,
}

pub(crate) fn list(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let found = all(call)?;
    Ok(call.query.paging().cut(found.iter().map(|known| shown(call, known)).collect()))
}

pub(crate) fn get(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    Ok(one(shown(call, &find(call)?)))
}

pub(crate) fn create(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let gateway = gateways::find(call)?.settings.id;
    let text = |name: &str| call.body.get(name).and_then(Value::as_str);
    let name = HostName::parse(text("domain").unwrap_or_default())
        .map_err(|error| Refusal::invalid("body", "domain", error.to_string()))?;
    if host(call).and_then(HostName::of_header).as_ref() == Some(&name) {
        let message = "this API is reached under that name, which would serve calls only; choose another";
        return Err(Refusal::invalid("body", "domain", message));
    }
    if call.declared.domains.contains_key(&name) {
        return Err(Refusal::conflict(format!("{name} is declared in genesis.json, under gateway.domains")));
    }
    let row = DomainRow {
        hostname: name.to_string(),
        account: call.account().to_owned(),
        gateway,
        zone: text("zone_id").map(str::to_owned),
        created_at_ms: call.now_ms,
    };
    call.store().add_domain(&row)?;
    Ok(one(shown(call, &Known { hostname: row.hostname, declared: false, created_at_ms: row.created_at_ms })))
}

pub(crate) fn delete(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let known = find(call)?;
    if known.declared {
        let name = &known.hostname;
        return Err(Refusal::conflict(format!(
            "{name} is declared in genesis.json and read-only here; change gateway.domains there"
        )));
    }
    call.store().delete_domain(&known.hostname)?;
    Ok(one(shown(call, &known)))
}

/// Those of the path's gateway that the caller may see, declared ones first.
fn all(call: &Call<'_>) -> Result<Vec<Known>, Refusal> {
    let gateway = gateways::find(call)?.settings.id;
    let declared = call.declared.domains.iter().filter(|(_, block)| {
        block.gateway == gateway && block.account.as_ref().is_none_or(|account| call.owns(account))
    });
    let mut found: Vec<_> = declared
        .map(|(name, _)| Known {
            hostname: name.to_string(),
            declared: true,
            created_at_ms: call.declared.written_at_ms,
        })
        .collect();
    let created = call.store().domains()?.into_iter();
    found.extend(created.filter(|row| row.gateway == gateway && call.owns(&row.account)).map(|row| Known {
        hostname: row.hostname,
        declared: false,
        created_at_ms: row.created_at_ms,
    }));
    Ok(found)
}

fn find(call: &Call<'_>) -> Result<Known, Refusal> {
    let asked = call.param("hostname");
    let name = HostName::parse(asked).ok();
    let found = all(call)?
        .into_iter()
        .find(|known| name.as_ref().is_some_and(|name| name.as_str() == known.hostname));
    found.ok_or_else(|| Refusal::not_found(format!("there is no custom domain {}", shorten(asked))))
}

/// Where this API was asked, as the client names it.
fn host<'a>(call: &'a Call<'_>) -> Option<&'a str> {
    let header = |name: &str| call.headers.get(name).and_then(|value| value.to_str().ok());
    header("x-forwarded-host").or_else(|| header("host"))
}

fn shown(call: &Call<'_>, known: &Known) -> Value {
    // The name that leads here already is what the new one has to lead to.
    let target = host(call).and_then(HostName::of_header).map(|name| name.to_string());
    let mut shown = json!({
        "hostname": known.hostname,
        "gateway_id": call.param("gateway"),
        // Whether its DNS leads here is the operator's to see to: nobody else can be reached under it.
        "status": "active",
        "cname_target": target.or_else(|| host(call).map(shorten)).unwrap_or_else(|| "localhost".to_owned()),
        "created_at": known.created_at_ms,
        "modified_at": known.created_at_ms,
    });
    if known.declared {
        shown["declared"] = true.into();
    }
    shown
}
