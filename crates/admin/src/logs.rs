//! The log: pages of records by filter, one record, its bodies, notes, deletion.
//!
//! * `filters`: both encodings of Cloudflare's filters, and the older flat parameters
//! * `item`: a record as Cloudflare shows it

pub(crate) mod filters;
pub(crate) mod item;

use bytes::Bytes;
use genesis_store::{Direction, LogField, LogFilter, LogNote, LogOrder, LogRecord, Payload};
use http::header::{HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::call::Call;
use crate::envelope::{Body, Refusal, json_body, one, page_info, raw, result_with};
use crate::gateways::{self, shorten};
use crate::query::{PAGE, PER_PAGE_50};
use crate::shape::{Param, Shape, may, param};

pub(crate) const NOTE: Shape = Shape::Object(&[
    may("feedback", Shape::Nullable(&Shape::Whole(-1, 1))),
    may("score", Shape::Nullable(&Shape::Number)),
    may("metadata", Shape::Nullable(&Shape::Map(&Shape::Scalar))),
]);

pub(crate) const LIST_QUERY: &[Param] = &[
    PAGE,
    PER_PAGE_50,
    param(
        "filters",
        Shape::Prose(65_536),
        "JSON list of {key, operator, value[]}; or `filters.key`, `filters.operator`, `filters.value`, repeated",
    ),
    param("order_by", Shape::OneOf(&ORDERS), "Default: created_at"),
    param("order_by_direction", Shape::OneOf(&["asc", "desc"]), "Default: desc"),
    param("direction", Shape::OneOf(&["asc", "desc"]), "Older name of order_by_direction"),
    param("search", Shape::Prose(1024), "Part of model, path or error, in either case"),
    param("meta_info", Shape::Flag, "Whether result_info has the least and most of the numbers"),
    param("cached", Shape::Flag, "Older form of a filter"),
    param("success", Shape::Flag, "Older form of a filter"),
    param("feedback", Shape::Whole(-1, 1), "Older form of a filter"),
    param("start_date", Shape::Moment, "Older form of a filter on created_at"),
    param("end_date", Shape::Moment, "Older form of a filter on created_at"),
    param("model", Shape::Prose(256), "Older form of a filter"),
    param("model_type", Shape::Prose(256), "Older form of a filter"),
    param("provider", Shape::Prose(256), "Older form of a filter"),
    param("request_content_type", Shape::Prose(256), "Older form of a filter"),
    param("response_content_type", Shape::Prose(256), "Older form of a filter"),
    param("min_cost", Shape::Number, "US dollars"),
    param("max_cost", Shape::Number, "US dollars"),
    param("min_duration", Shape::Number, "Milliseconds"),
    param("max_duration", Shape::Number, "Milliseconds"),
    param("min_tokens_in", Shape::Number, "Older form of a filter"),
    param("max_tokens_in", Shape::Number, "Older form of a filter"),
    param("min_tokens_out", Shape::Number, "Older form of a filter"),
    param("max_tokens_out", Shape::Number, "Older form of a filter"),
    param("min_total_tokens", Shape::Number, "Older form of a filter"),
    param("max_total_tokens", Shape::Number, "Older form of a filter"),
];

pub(crate) const DELETE_QUERY: &[Param] = &[
    param("filters", Shape::Prose(65_536), "As for the list; without any, everything is deleted"),
    param("limit", Shape::Whole(1, 10_000_000), "At most so many, in the order given"),
    param("order_by", Shape::OneOf(&ORDERS), "Default: created_at"),
    param("order_by_direction", Shape::OneOf(&["asc", "desc"]), "Default: desc"),
];

/// Cloudflare lists the last five for deletions only.
const ORDERS: [&str; 11] = [
    "created_at",
    "provider",
    "model",
    "model_type",
    "success",
    "cached",
    "cost",
    "tokens_in",
    "tokens_out",
    "duration",
    "feedback",
];

/// Metadata has as many entries here as in the request's header.
const MOST_METADATA: usize = 5;

pub(crate) fn list(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let filter = ordered(call, filter(call)?);
    let paging = call.query.paging();
    let ranges = call.query.flag("meta_info").unwrap_or(false);
    let (total, mut info) = if ranges {
        let ranges = call.store().log_ranges(&filter)?;
        (ranges.count, item::ranges(&ranges))
    } else {
        (call.store().count(&filter)?, Map::new())
    };
    let offset = paging.offset();
    let items = if offset < total {
        let filter = LogFilter {
            offset: usize::try_from(offset).unwrap_or(usize::MAX),
            limit: paging.per_page as usize,
            ..filter
        };
        call.store().logs(&filter)?.iter().map(item::listed).collect()
    } else {
        Vec::new()
    };
    if let Value::Object(pages) = page_info(&items, paging.page, paging.per_page, total) {
        info.extend(pages);
    }
    Ok(result_with(items, Map::from_iter([("result_info".to_owned(), info.into())])))
}

pub(crate) fn get(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let (record, payload) = find(call)?;
    Ok(one(item::whole(&record, payload.as_ref())))
}

pub(crate) fn request(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let (record, payload) = find(call)?;
    body(payload.map(|payload| payload.request), &record.request_content_type, "request")
}

pub(crate) fn response(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let (record, payload) = find(call)?;
    body(payload.map(|payload| payload.response), &record.response_content_type, "response")
}

pub(crate) fn note(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let (record, _) = find(call)?;
    let score = call.body.get("score").and_then(Value::as_f64);
    if score.is_some_and(|score| !(0.0..=100.0).contains(&score)) {
        return Err(Refusal::invalid("body", "score", "must be from 0 to 100"));
    }
    let note = LogNote {
        // Nothing noted and neither good nor bad are the same.
        feedback: call.body.get("feedback").map(|value| value.as_f64().unwrap_or_default() as i32),
        score,
        metadata: call.body.get("metadata").map(|value| {
            let entries = value.as_object().into_iter().flatten().take(MOST_METADATA);
            entries.map(|(name, value)| (name.clone(), value.clone())).collect()
        }),
    };
    if !call.store().annotate_log(record.id, &note)? {
        return Err(unknown(&record.id.to_string()));
    }
    Ok(one(json!({})))
}

pub(crate) fn delete(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let mut filter = ordered(call, filter(call)?);
    filter.limit = call.query.whole("limit").unwrap_or(0) as usize;
    let deleted = call.store().delete_logs(&filter)?;
    Ok(json_body(StatusCode::OK, &json!({ "success": true, "deleted": deleted })))
}

/// The records of one gateway.
pub(crate) fn of_gateway(call: &Call<'_>, gateway: &str) -> LogFilter {
    let filter = LogFilter::default().is(LogField::Gateway, gateway);
    match call.declared.accounts {
        Some(_) => filter.is(LogField::Account, call.account()),
        None => filter,
    }
}

/// What the query asks for, in the gateway of the path.
fn filter(call: &Call<'_>) -> Result<LogFilter, Refusal> {
    let mut filter = of_gateway(call, &gateways::logged(call)?);
    filter.conditions.extend(filters::read(&call.query)?);
    filter.search = call.query.get("search").map(str::to_owned);
    Ok(filter)
}

fn ordered(call: &Call<'_>, mut filter: LogFilter) -> LogFilter {
    let order = call.query.get("order_by").and_then(LogOrder::from_name);
    filter.order = order.unwrap_or(LogOrder::CreatedAt);
    let direction = call.query.get("order_by_direction").or_else(|| call.query.get("direction"));
    filter.direction = match direction {
        Some("asc") => Direction::Ascending,
        _ => Direction::Descending,
    };
    filter
}

/// The record the path names, if it is this gateway's.
fn find(call: &Call<'_>) -> Result<(LogRecord, Option<Payload>), Refusal> {
    let gateway = gateways::logged(call)?;
    let id = call.param("id");
    let found = match Uuid::parse_str(id) {
        Ok(id) => call.store().log(&id.to_string())?,
        Err(_) => None,
    };
    let found = found.filter(|(record, _)| record.gateway == gateway && call.owns(&record.account));
    found.ok_or_else(|| unknown(id))
}

fn unknown(id: &str) -> Refusal {
    Refusal::not_found(format!("there is no log {}", shorten(id)))
}

/// A body as it was, in no envelope. It is somebody else's text on our origin, so browsers are kept from running it.
fn body(bytes: Option<Bytes>, media: &str, side: &str) -> Result<Response<Body>, Refusal> {
    let bytes = bytes.ok_or_else(|| Refusal::not_found(format!("the {side} body was not kept")))?;
    let base = media.split(';').next().unwrap_or_default().trim();
    let harmless = base == "application/json" || base.ends_with("+json") || base == "text/event-stream";
    let mut response = raw(StatusCode::OK, if harmless { base } else { "application/octet-stream" }, bytes);
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    headers.insert(
        HeaderName::from_static("content-security-policy"),
        HeaderValue::from_static("sandbox; default-src 'none'"),
    );
    Ok(response)
}
