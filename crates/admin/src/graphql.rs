//! `POST /client/v4/graphql`: the part of Cloudflare's GraphQL analytics that shows AI Gateway.
//!
//! * `selection`: a query's text and variables as a tree of fields with plain JSON arguments
//! * `groups`: the nodes of an account and what they count; `filter`: of which exchanges

mod filter;
mod groups;
mod selection;

use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::call::{Call, moment};
use crate::envelope::{Body, Refusal, json_body};
use crate::shape::{Shape, may, must};

pub(crate) const ASKED: Shape = Shape::Object(&[
    must("query", Shape::Text(100_000)),
    may("variables", Shape::Nullable(&Shape::Map(&Shape::Anything))),
    may("operationName", Shape::Nullable(&Shape::Prose(256))),
    may("extensions", Shape::Anything),
]);

use selection::Field;

/// Why a query has no answer, and which field it is about.
#[derive(Debug)]
pub(crate) struct Problem {
    message: String,
    path: Vec<String>,
}

impl Problem {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), path: Vec::new() }
    }

    fn below(mut self, field: &Field) -> Self {
        self.path.insert(0, field.key().to_owned());
        self
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.faults.into_iter().map(|fault| fault.message).collect::<Vec<_>>().join("; "))
    }
}

/// Mistakes are answered with 200 and `errors`, as GraphQL has it.
pub(crate) fn ask(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let text = call.body["query"].as_str().unwrap_or_default();
    let variables = call.body.get("variables").and_then(Value::as_object).cloned().unwrap_or_default();
    let operation = call.body.get("operationName").and_then(Value::as_str);
    let answer = selection::read(text, operation, &variables).and_then(|fields| root(call, &fields));
    let body = match answer {
        Ok(data) => json!({ "data": data, "errors": null }),
        Err(problem) => {
            let path = if problem.path.is_empty() { Value::Null } else { json!(problem.path) };
            let error = json!({
                "message": problem.message, "path": path, "extensions": { "timestamp": moment(call.now_ms) },
            });
            json!({ "data": null, "errors": [error] })
        }
    };
    Ok(json_body(StatusCode::OK, &body))
}

fn root(call: &Call<'_>, fields: &[Field]) -> Result<Value, Problem> {
    object("Query", fields, |field| match field.name.as_str() {
        "viewer" => object("viewer", &field.fields, |field| match field.name.as_str() {
            "accounts" => accounts(call, field),
            _ => Err(unknown(field, "viewer")),
        }),
        _ => Err(unknown(field, "Query")),
    })
}

/// A list with the one account that was asked for.
fn accounts(call: &Call<'_>, field: &Field) -> Result<Value, Problem> {
    let filter = field.arguments.get("filter").and_then(Value::as_object);
    let tag = filter.and_then(|filter| filter.get("accountTag"));
    let tag = match tag.and_then(|tag| tag.as_str().or_else(|| tag.get(0)?.as_str())) {
        Some(tag) => tag,
        None => match filter.and_then(|filter| filter.get("accountTag_in")?.get(0)?.as_str()) {
            Some(tag) => tag,
            None => return Err(Problem::new("accounts needs filter: { accountTag: \"…\" }")),
        },
    };
    let served = call.declared.accounts.as_ref();
    if served.is_some_and(|served| !served.iter().any(|id| id == tag)) {
        return Err(Problem::new("not authorized for that account"));
    }
    let account = object("account", &field.fields, |field| match field.name.as_str() {
        "accountTag" => Ok(tag.into()),
        _ => groups::node(call, tag, field),
    })?;
    Ok(json!([account]))
}

/// An object of the fields asked for.
fn object(
    type_name: &str,
    fields: &[Field],
    mut value: impl FnMut(&Field) -> Result<Value, Problem>,
) -> Result<Value, Problem> {
    let mut object = Map::new();
    for field in fields {
        let value = match field.name.as_str() {
            "__typename" => type_name.into(),
            _ => value(field).map_err(|problem| problem.below(field))?,
        };
        object.insert(field.key().to_owned(), value);
    }
    Ok(Value::Object(object))
}

fn unknown(field: &Field, type_name: &str) -> Problem {
    let name: String = field.name.chars().take(64).collect();
    Problem::new(format!("unknown field \"{name}\" on {type_name}"))
}
