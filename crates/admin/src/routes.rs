//! Dynamic routes, their versions and deployments, in Cloudflare's irregular envelopes: lists come under `data`, a
//! renamed route under `route`.

use genesis_config::route::Route;
use genesis_store::{RouteDeployment, RouteRow, RouteVersion};
use http::Response;
use serde_json::{Map, Value, json};

use crate::call::{Call, moment};
use crate::custom_providers;
use crate::envelope::{Body, Refusal, json_body, one, page_info, result_with};
use crate::gateways::{self, shorten};
use crate::shape::{Shape, may, must};

pub(crate) const CREATED: Shape =
    Shape::Object(&[must("name", Shape::Text(256)), must("elements", ELEMENTS)]);
pub(crate) const RENAMED: Shape = Shape::Object(&[must("name", Shape::Text(256))]);
pub(crate) const SAVED: Shape = Shape::Object(&[must("elements", ELEMENTS)]);
pub(crate) const DEPLOYED: Shape = Shape::Object(&[must("version_id", Shape::Text(64))]);

const ELEMENTS: Shape = Shape::List(&Shape::Object(&[
    must("id", Shape::Text(256)),
    must("type", Shape::OneOf(&TYPES)),
    must("outputs", Shape::Map(&Shape::Object(&[must("elementId", Shape::Text(256))]))),
    may("properties", Shape::Map(&Shape::Anything)),
]));

/// Both documented spellings of the rate element.
const TYPES: [&str; 7] = ["start", "conditional", "percentage", "rate", "rate_limit", "model", "end"];
/// Saved states of one route; older ones have to go with the route.
const MOST_VERSIONS: usize = 10_000;

/// A route by itself, as most answers show it.
pub(crate) const SHOWN: Shape = Shape::Object(&[
    must("id", Shape::Text(36)),
    must("name", Shape::Text(256)),
    must("gateway_id", Shape::Text(64)),
    must("elements", ELEMENTS),
    must("created_at", Shape::Moment),
    must("modified_at", Shape::Moment),
    may("account_tag", Shape::Prose(64)),
    may("deployment", DEPLOYMENT),
    may("version", VERSION),
    may("version_id", Shape::Text(36)),
    may("active", Shape::OneOf(&["true", "false"])),
    may("data", Shape::Prose(1 << 20)),
    may("is_valid", Shape::Flag),
]);

pub(crate) const DEPLOYMENT: Shape = Shape::Object(&[
    must("deployment_id", Shape::Text(36)),
    must("version_id", Shape::Text(36)),
    must("created_at", Shape::Moment),
]);

pub(crate) const VERSION: Shape = Shape::Object(&[
    must("version_id", Shape::Text(36)),
    must("active", Shape::OneOf(&["true", "false"])),
    must("created_at", Shape::Moment),
    must("data", Shape::Prose(1 << 20)),
    may("is_valid", Shape::Flag),
]);

pub(crate) fn list(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let routes = routes(call)?.into_iter().map(|row| with_account(whole(&row), &row)).collect();
    Ok(data(call, "routes", routes))
}

pub(crate) fn get(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    Ok(one(whole(&find(call)?)))
}

pub(crate) fn create(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let gateway = gateways::find(call)?.settings.id;
    let name = call.body["name"].as_str().unwrap_or_default();
    let elements = elements(call, name)?;
    let row = call.store().create_route(call.account(), &gateway, name, &elements, call.now_ms)?;
    Ok(one(whole(&row)))
}

pub(crate) fn rename(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let row = find(call)?;
    let name = call.body["name"].as_str().unwrap_or_default();
    let named = Route::parse(name, &json!([]), &call.declared.providers);
    let problems: Vec<_> =
        named.err().into_iter().flatten().filter(|problem| problem.path == "name").collect();
    if !problems.is_empty() {
        return Err(Refusal::problems("body", problems));
    }
    call.store().rename_route(&row.id, name, call.now_ms)?;
    let row = find(call)?;
    let route = with_account(whole(&row), &row);
    Ok(json_body(http::StatusCode::OK, &json!({ "success": true, "route": route })))
}

pub(crate) fn delete(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let row = find(call)?;
    call.store().delete_route(&row.id)?;
    Ok(one(bare(&row, row.deployed())))
}

pub(crate) fn versions(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let row = find(call)?;
    let versions = row.versions.iter().rev().map(|version| version_shown(&row, version)).collect();
    Ok(data(call, "versions", versions))
}

pub(crate) fn version(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let row = find(call)?;
    let wanted = call.param("version");
    let found = row.versions.iter().find(|version| version.id == wanted);
    let version = found.ok_or_else(|| Refusal::not_found("the route has no such version"))?;
    let mut shown = bare(&row, Some(version));
    if let (Value::Object(shown), Value::Object(more)) = (&mut shown, version_shown(&row, version)) {
        shown.extend(more);
    }
    Ok(one(shown))
}

pub(crate) fn save(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let row = find(call)?;
    if row.versions.len() >= MOST_VERSIONS {
        return Err(Refusal::conflict(format!("a route keeps at most {MOST_VERSIONS} versions")));
    }
    let version = call.store().add_route_version(&row.id, &elements(call, &row.name)?, call.now_ms)?;
    let mut shown = bare(&row, Some(&version));
    shown["modified_at"] = moment(version.created_at_ms).into();
    // Where it is deployed with: Cloudflare's SDKs take it from the list of versions, people from here.
    shown["version_id"] = version.id.into();
    Ok(one(shown))
}

pub(crate) fn deployments(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let row = find(call)?;
    Ok(data(call, "deployments", row.deployments.iter().rev().map(deployment_shown).collect()))
}

pub(crate) fn deploy(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let row = find(call)?;
    let version = call.body["version_id"].as_str().unwrap_or_default();
    if !row.versions.iter().any(|known| known.id == version) {
        let message = format!("the route has no version `{}`", shorten(version));
        return Err(Refusal::invalid("body", "version_id", message));
    }
    call.store().deploy_route(&row.id, version, call.now_ms)?;
    let row = find(call)?;
    Ok(one(bare(&row, row.deployed())))
}

fn routes(call: &Call<'_>) -> Result<Vec<RouteRow>, Refusal> {
    let gateway = gateways::find(call)?.settings.id;
    let mut rows = call.store().routes(Some(&gateway))?;
    rows.retain(|row| call.owns(&row.account));
    Ok(rows)
}

fn find(call: &Call<'_>) -> Result<RouteRow, Refusal> {
    let id = call.param("id");
    let found = routes(call)?.into_iter().find(|row| row.id == id);
    found.ok_or_else(|| Refusal::not_found(format!("there is no dynamic route {}", shorten(id))))
}

/// The graph in the body, if it is one: see [`Route::parse`].
fn elements(call: &Call<'_>, name: &str) -> Result<Value, Refusal> {
    let elements = call.body["elements"].clone();
    let mut providers = call.declared.providers.clone();
    for row in call.store().custom_providers()?.into_iter().filter(|row| call.owns(&row.account)) {
        // Whether one is enabled may change after the route is made.
        if let Ok(patch) = custom_providers::patch(&row) {
            let _ = providers.add_from_api(&row.slug, &patch);
        }
    }
    match Route::parse(name, &elements, &providers) {
        Ok(_) => Ok(elements),
        Err(problems) => Err(Refusal::problems("body", problems)),
    }
}

/// Name, gateway, dates and the elements of one version.
fn bare(row: &RouteRow, version: Option<&RouteVersion>) -> Value {
    json!({
        "id": row.id,
        "name": row.name,
        "gateway_id": row.gateway,
        "elements": version.map_or_else(|| json!([]), |version| version.elements.clone()),
        "created_at": moment(row.created_at_ms),
        "modified_at": moment(row.modified_at_ms),
    })
}

/// With the version that serves and its deployment.
fn whole(row: &RouteRow) -> Value {
    let mut shown = bare(row, row.deployed());
    if let (Some(deployment), Some(version)) = (row.deployments.last(), row.deployed()) {
        shown["deployment"] = deployment_shown(deployment);
        shown["version"] = version_shown(row, version);
    }
    shown
}

fn with_account(mut shown: Value, row: &RouteRow) -> Value {
    shown["account_tag"] = row.account.as_str().into();
    shown
}

fn version_shown(row: &RouteRow, version: &RouteVersion) -> Value {
    let active = row.deployed().is_some_and(|deployed| deployed.id == version.id);
    json!({
        "version_id": version.id,
        "active": if active { "true" } else { "false" },
        "created_at": moment(version.created_at_ms),
        "data": version.elements.to_string(),
        "is_valid": true,
    })
}

fn deployment_shown(deployment: &RouteDeployment) -> Value {
    json!({
        "deployment_id": deployment.id,
        "version_id": deployment.version,
        "created_at": moment(deployment.created_at_ms),
    })
}

/// A page in the envelope of route lists; `result_info` is there too, for clients that look for it.
fn data(call: &Call<'_>, name: &str, items: Vec<Value>) -> Response<Body> {
    let paging = call.query.paging();
    let total = items.len() as u64;
    let skip = usize::try_from(paging.offset()).unwrap_or(usize::MAX);
    let items: Vec<_> = items.into_iter().skip(skip).take(paging.per_page as usize).collect();
    let info = page_info(&items, paging.page, paging.per_page, total);
    let data = json!({
        name: items, "order_by": "created_at", "order_by_direction": "desc",
        "page": paging.page, "per_page": paging.per_page,
    });
    result_with(Value::Null, Map::from_iter([("data".to_owned(), data), ("result_info".to_owned(), info)]))
}
