//! Datasets, which choose logs, and evaluations of what they choose. Cloudflare has closed them to new accounts.
//!
//! * `evaluate`: cost, speed and human feedback, beside requests

pub(crate) mod evaluate;

use genesis_store::DocumentRow;
use http::Response;
use serde_json::{Map, Value, json};

use crate::call::{Call, moment};
use crate::envelope::{Body, Refusal, one};
use crate::gateways::{self, shorten};
use crate::logs::filters;
use crate::shape::{Shape, must};
use evaluate::{is_processed, results};

pub(crate) const DATASET: Shape = Shape::Object(&[
    must("name", Shape::Text(256)),
    must("enable", Shape::Flag),
    must("filters", Shape::List(&FILTER)),
]);

pub(crate) const EVALUATION: Shape = Shape::Object(&[
    must("name", Shape::Text(256)),
    must("dataset_ids", Shape::List(&Shape::Text(64))),
    must("evaluation_type_ids", Shape::List(&Shape::Text(64))),
]);

pub(crate) const DATASET_SHOWN: Shape = Shape::Object(&[
    must("id", Shape::Text(36)),
    must("name", Shape::Text(256)),
    must("enable", Shape::Flag),
    must("filters", Shape::List(&FILTER)),
    must("gateway_id", Shape::Text(64)),
    must("created_at", Shape::Moment),
    must("modified_at", Shape::Moment),
    must("account_id", Shape::Prose(64)),
    must("account_tag", Shape::Prose(64)),
]);

pub(crate) const EVALUATION_SHOWN: Shape = Shape::Object(&[
    must("id", Shape::Text(36)),
    must("name", Shape::Text(256)),
    must("datasets", Shape::List(&DATASET_SHOWN)),
    must("gateway_id", Shape::Text(64)),
    must("processed", Shape::Flag),
    must("results", Shape::List(&RESULT_SHOWN)),
    must("total_logs", Shape::Whole(0, i64::MAX)),
    must("created_at", Shape::Moment),
    must("modified_at", Shape::Moment),
    must("account_id", Shape::Prose(64)),
    must("account_tag", Shape::Prose(64)),
]);

const RESULT_SHOWN: Shape = Shape::Object(&[
    must("id", Shape::Text(128)),
    must("evaluation_id", Shape::Text(36)),
    must("evaluation_type_id", Shape::Text(64)),
    must("created_at", Shape::Moment),
    must("modified_at", Shape::Moment),
    must("result", Shape::Prose(64)),
    must("status", Shape::Whole(0, 3)),
    must("status_description", Shape::Prose(4096)),
    must("total_logs", Shape::Whole(0, i64::MAX)),
]);

pub(crate) const TYPE_SHOWN: Shape = Shape::Object(&[
    must("id", Shape::Text(64)),
    must("name", Shape::Text(64)),
    must("type", Shape::Text(64)),
    must("description", Shape::Prose(256)),
    must("enable", Shape::Flag),
    must("mandatory", Shape::Flag),
    must("created_at", Shape::Moment),
    must("modified_at", Shape::Moment),
]);

const FILTER: Shape = Shape::Object(&[
    must("key", Shape::OneOf(&KEYS)),
    must("operator", Shape::OneOf(&["eq", "contains", "lt", "gt"])),
    must("value", Shape::List(&Shape::Scalar)),
]);

const KEYS: [&str; 13] = [
    "created_at",
    "request_content_type",
    "response_content_type",
    "success",
    "cached",
    "provider",
    "model",
    "cost",
    "tokens",
    "tokens_in",
    "tokens_out",
    "duration",
    "feedback",
];

/// Each takes a look at every log that may fit.
const MOST_DATASETS: usize = 20;

/// Id and type, name, description.
const TYPES: [(&str, &str, &str); 3] = [
    ("cost", "Cost", "Average cost of a request, in US dollars"),
    ("speed", "Speed", "Average duration of a request, in milliseconds"),
    ("human_feedback", "Human feedback", "Share of positive feedback, in percent"),
];

pub(crate) fn types(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let shown = |(id, name, description): (&str, &str, &str)| {
        json!({
            "id": id, "name": name, "type": id, "description": description, "enable": true,
            "mandatory": false, "created_at": moment(0), "modified_at": moment(0),
        })
    };
    let mut types = TYPES.map(shown).to_vec();
    let by = call.query.get("order_by").unwrap_or("id");
    types.sort_by_key(|of| of[by].to_string());
    if call.query.get("order_by_direction") == Some("desc") {
        types.reverse();
    }
    Ok(call.query.paging().cut(types))
}

pub(crate) fn datasets(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let mut rows = rows(call, "dataset")?;
    if let Some(enable) = call.query.flag("enable") {
        rows.retain(|row| row.body["enable"] == enable);
    }
    narrow(call, &mut rows);
    Ok(call.query.paging().cut(rows.iter().map(dataset_shown).collect()))
}

pub(crate) fn dataset(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    Ok(one(dataset_shown(&find(call, "dataset")?)))
}

pub(crate) fn create_dataset(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    check_filters(call)?;
    Ok(one(dataset_shown(&create(call, "dataset")?)))
}

pub(crate) fn replace_dataset(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let row = find(call, "dataset")?;
    check_filters(call)?;
    let row = DocumentRow { body: call.body.clone(), modified_at_ms: call.now_ms, ..row };
    call.store().replace_document(&row)?;
    Ok(one(dataset_shown(&row)))
}

pub(crate) fn delete_dataset(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let row = find(call, "dataset")?;
    call.store().delete_document(&row.id)?;
    Ok(one(dataset_shown(&row)))
}

pub(crate) fn evaluations(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let mut found = rows(call, "evaluation")?;
    narrow(call, &mut found);
    if found.iter().any(|row| !is_processed(row)) {
        wake(call);
    }
    if let Some(processed) = call.query.flag("processed") {
        found.retain(|row| is_processed(row) == processed);
    }
    let datasets = rows(call, "dataset")?;
    let shown = found.iter().map(|row| evaluation_shown(row, &datasets)).collect();
    Ok(call.query.paging().cut(shown))
}

pub(crate) fn evaluation(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let row = find(call, "evaluation")?;
    if !is_processed(&row) {
        wake(call);
    }
    Ok(one(evaluation_shown(&row, &rows(call, "dataset")?)))
}

pub(crate) fn create_evaluation(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let datasets = rows(call, "dataset")?;
    if texts(&call.body, "dataset_ids").count() > MOST_DATASETS {
        let message = format!("Array must contain at most {MOST_DATASETS} element(s)");
        return Err(Refusal::invalid("body", "dataset_ids", message));
    }
    for (index, id) in texts(&call.body, "dataset_ids").enumerate() {
        if !datasets.iter().any(|row| row.id == id) {
            let message = format!("there is no dataset {}", shorten(id));
            return Err(Refusal::invalid("body", &format!("dataset_ids.{index}"), message));
        }
    }
    for (index, id) in texts(&call.body, "evaluation_type_ids").enumerate() {
        if !TYPES.iter().any(|(known, ..)| *known == id) {
            let message = format!("there is no evaluation type {}", shorten(id));
            return Err(Refusal::invalid("body", &format!("evaluation_type_ids.{index}"), message));
        }
    }
    let row = create(call, "evaluation")?;
    wake(call);
    Ok(one(evaluation_shown(&row, &datasets)))
}

pub(crate) fn delete_evaluation(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let row = find(call, "evaluation")?;
    call.store().delete_document(&row.id)?;
    Ok(one(evaluation_shown(&row, &rows(call, "dataset")?)))
}

fn rows(call: &Call<'_>, kind: &str) -> Result<Vec<DocumentRow>, Refusal> {
    let gateway = gateways::find(call)?.settings.id;
    let mut rows = call.store().documents(kind, &gateway)?;
    rows.retain(|row| call.owns(&row.account));
    Ok(rows)
}

fn find(call: &Call<'_>, kind: &str) -> Result<DocumentRow, Refusal> {
    let id = call.param("id");
    let found = rows(call, kind)?.into_iter().find(|row| row.id == id);
    found.ok_or_else(|| Refusal::not_found(format!("there is no {kind} {}", shorten(id))))
}

/// Has what is not processed evaluated, also what a restart interrupted.
fn wake(call: &Call<'_>) {
    call.admin.evaluator.wake(call.store(), call.declared.accounts.is_some());
}

/// A value that cannot be compared is better refused now than found by an evaluation.
fn check_filters(call: &Call<'_>) -> Result<(), Refusal> {
    let filters = call.body.get("filters").unwrap_or(&Value::Null);
    filters::conditions(filters).map(drop).map_err(|problems| Refusal::problems("body", problems))
}

fn create(call: &Call<'_>, kind: &str) -> Result<DocumentRow, Refusal> {
    let gateway = gateways::find(call)?.settings.id;
    Ok(call.store().create_document(kind, call.account(), &gateway, call.body.clone(), call.now_ms)?)
}

/// `name` and `search` of the query.
fn narrow(call: &Call<'_>, rows: &mut Vec<DocumentRow>) {
    let name = |row: &DocumentRow| row.body["name"].as_str().unwrap_or_default().to_lowercase();
    if let Some(wanted) = call.query.get("name") {
        rows.retain(|row| row.body["name"] == wanted);
    }
    if let Some(part) = call.query.get("search").map(str::to_lowercase) {
        let filters =
            |row: &DocumentRow| row.body.get("filters").map(|filters| filters.to_string().to_lowercase());
        rows.retain(|row| {
            row.id.contains(&part)
                || name(row).contains(&part)
                || filters(row).is_some_and(|filters| filters.contains(&part))
        });
    }
}

fn dataset_shown(row: &DocumentRow) -> Value {
    json!({
        "id": row.id,
        "name": row.body["name"],
        "enable": row.body["enable"],
        "filters": row.body["filters"],
        "gateway_id": row.gateway,
        "account_id": row.account,
        "account_tag": row.account,
        "created_at": moment(row.created_at_ms),
        "modified_at": moment(row.modified_at_ms),
    })
}

fn evaluation_shown(row: &DocumentRow, datasets: &[DocumentRow]) -> Value {
    let ids: Vec<_> = texts(&row.body, "dataset_ids").collect();
    let datasets = datasets.iter().filter(|dataset| ids.contains(&dataset.id.as_str()));
    json!({
        "id": row.id,
        "name": row.body["name"],
        "datasets": datasets.map(dataset_shown).collect::<Vec<_>>(),
        "gateway_id": row.gateway,
        "processed": is_processed(row),
        "results": results(row),
        "total_logs": row.body.get("total_logs").cloned().unwrap_or_else(|| 0.into()),
        "account_id": row.account,
        "account_tag": row.account,
        "created_at": moment(row.created_at_ms),
        "modified_at": moment(row.modified_at_ms),
    })
}

fn texts<'a>(body: &'a Map<String, Value>, name: &str) -> impl Iterator<Item = &'a str> {
    body.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}
