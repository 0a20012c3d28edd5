//! Sums and percentiles over the log in plain JSON and CSV: the same numbers as GraphQL gives, without GraphQL.

use genesis_config::money::Usd;
use genesis_store::{
    AnalyticsCondition, AnalyticsOrder, AnalyticsQuery, AnalyticsRow, Bucket, Dimension, Direction,
    Percentiles,
};
use http::header::ACCEPT;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::call::{Call, moment};
use crate::envelope::{Body, Refusal, one, raw};
use crate::gateways::{self, shorten};
use crate::shape::{Param, Shape, param};

pub(crate) const QUERY: &[Param] = &[
    param("since", Shape::Moment, "Inclusive; default: a day ago"),
    param("until", Shape::Moment, "Exclusive; default: now"),
    param("bucket", Shape::OneOf(&["minute", "hour", "day"]), "One row per span; default: one for all time"),
    param("group_by", Shape::Prose(512), "Comma-separated dimensions, also metadata.<key>"),
    param("order_by", Shape::OneOf(&ORDERS), "Default: time, then the group's values"),
    param("direction", Shape::OneOf(&["asc", "desc"]), "Default: asc by time, else desc"),
    param("limit", Shape::Whole(1, 100_000), "Rows; default 10000"),
    param("format", Shape::OneOf(&["json", "csv"]), "Or the header `accept: text/csv`"),
    param("provider", Shape::Prose(1024), "Only these, comma-separated; so the other dimensions"),
    param("model", Shape::Prose(1024), "Comma-separated"),
    param("status", Shape::Prose(1024), "Comma-separated"),
    param("outcome", Shape::Prose(1024), "Comma-separated"),
    param("cached", Shape::Prose(16), "true or false"),
    param("simulated", Shape::Prose(16), "true or false"),
    param("token", Shape::Prose(1024), "Comma-separated ids"),
];

pub(crate) const SHOWN: Shape = Shape::Described(schema);

const ORDERS: [&str; 6] = ["time", "requests", "errors", "cost", "tokens_in", "tokens_out"];
const NAMES: [&str; 7] = ["provider", "model", "status", "outcome", "cached", "simulated", "token"];
const DEFAULT_ROWS: usize = 10_000;
const DAY_MS: i64 = 86_400_000;

pub(crate) fn get(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let gateway = gateways::logged(call)?;
    let names: Vec<&str> = call
        .query
        .get("group_by")
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    let query = read(call, gateway, &names)?;
    let rows = call.store().analytics(&query)?;
    let accepts_csv =
        call.headers.get(ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/csv"));
    if call.query.get("format").map_or(accepts_csv, |format| format == "csv") {
        return Ok(raw(StatusCode::OK, "text/csv; charset=utf-8", csv(&rows, &names)));
    }
    Ok(one(json!({
        "since": query.since_ms.map(moment),
        "until": query.until_ms.map(moment),
        "bucket": call.query.get("bucket"),
        "group_by": names,
        "rows": rows.iter().map(|row| shown(row, &names)).collect::<Vec<_>>(),
    })))
}

fn read(call: &Call<'_>, gateway: String, names: &[&str]) -> Result<AnalyticsQuery, Refusal> {
    let group_by: Vec<_> = names
        .iter()
        .map(|name| {
            dimension(name).ok_or_else(|| {
                let message = format!(
                    "there is no dimension `{}`; there are {} and metadata.<key>",
                    shorten(name),
                    NAMES.join(", ")
                );
                Refusal::invalid("query", "group_by", message)
            })
        })
        .collect::<Result<_, _>>()?;
    if group_by.iter().filter(|dimension| matches!(dimension, Dimension::Metadata(_))).count() > 1 {
        return Err(Refusal::invalid("query", "group_by", "one metadata key at a time"));
    }
    let time = |name: &str| {
        let time = call.query.get(name)?.parse::<jiff::Timestamp>().ok()?;
        Some(time.as_millisecond())
    };
    let order = match call.query.get("order_by").unwrap_or("time") {
        "requests" => AnalyticsOrder::Requests,
        "errors" => AnalyticsOrder::Errors,
        "cost" => AnalyticsOrder::Cost,
        "tokens_in" => AnalyticsOrder::TokensIn,
        "tokens_out" => AnalyticsOrder::TokensOut,
        _ => AnalyticsOrder::Bucket,
    };
    let direction = match (call.query.get("direction"), order) {
        (Some("asc"), _) | (None, AnalyticsOrder::Bucket) => Direction::Ascending,
        _ => Direction::Descending,
    };
    Ok(AnalyticsQuery {
        since_ms: Some(time("since").unwrap_or(call.now_ms - DAY_MS)),
        until_ms: Some(time("until").unwrap_or(call.now_ms + 1)),
        bucket: call.query.get("bucket").map(|bucket| match bucket {
            "minute" => Bucket::Minute,
            "hour" => Bucket::Hour,
            _ => Bucket::Day,
        }),
        group_by,
        conditions: conditions(call, gateway),
        order,
        direction,
        limit: call.query.whole("limit").map_or(DEFAULT_ROWS, |limit| limit as usize),
    })
}

fn conditions(call: &Call<'_>, gateway: String) -> Vec<AnalyticsCondition> {
    let is = |dimension, values| AnalyticsCondition { dimension, negated: false, values };
    let mut conditions = vec![is(Dimension::Gateway, vec![gateway])];
    if call.declared.accounts.is_some() {
        conditions.push(is(Dimension::Account, vec![call.account().to_owned()]));
    }
    for (name, value) in call.query.pairs() {
        let named = NAMES.contains(&name) || name.starts_with("metadata.");
        if let (true, Some(dimension), false) = (named, dimension(name), value.is_empty()) {
            conditions.push(is(dimension, value.split(',').map(str::to_owned).collect()));
        }
    }
    conditions
}

fn dimension(name: &str) -> Option<Dimension> {
    Some(match name {
        "provider" => Dimension::Provider,
        "model" => Dimension::Model,
        "status" => Dimension::Status,
        "outcome" => Dimension::Outcome,
        "cached" => Dimension::Cached,
        "simulated" => Dimension::Simulated,
        "token" => Dimension::Token,
        _ => match name.strip_prefix("metadata.") {
            Some(key) if !key.is_empty() => Dimension::Metadata(key.to_owned()),
            _ => return None,
        },
    })
}

fn shown(row: &AnalyticsRow, names: &[&str]) -> Value {
    let mut shown: Map<String, Value> = Map::new();
    if let Some(ms) = row.bucket_ms {
        shown.insert("time".to_owned(), moment(ms).into());
    }
    shown.extend(
        names.iter().zip(&row.group).map(|(name, value)| ((*name).to_owned(), value.as_str().into())),
    );
    shown.extend(numbers(row).map(|(name, value)| (name.to_owned(), value)));
    Value::Object(shown)
}

/// What a row counts, in the order of the CSV's columns.
fn numbers(row: &AnalyticsRow) -> impl Iterator<Item = (&'static str, Value)> + use<> {
    let sums = &row.sums;
    let percentiles = |names: [&'static str; 4], of: &Percentiles| {
        names.into_iter().zip([of.p50, of.p90, of.p95, of.p99].map(|ms| json!(ms)))
    };
    [
        ("requests", json!(sums.requests)),
        ("errors", json!(sums.errors)),
        ("cached", json!(sums.cached)),
        ("tokens_in", json!(sums.tokens_in)),
        ("tokens_out", json!(sums.tokens_out)),
        ("cached_tokens_in", json!(sums.cached_tokens_in)),
        ("cached_tokens_out", json!(sums.cached_tokens_out)),
        ("cost", json!(Usd(sums.cost_nano_usd))),
        ("unpriced", json!(sums.unpriced)),
        ("duration_ms", json!(sums.duration_ms)),
    ]
    .into_iter()
    .chain(percentiles(DURATION, &row.duration))
    .chain(percentiles(FIRST_BYTE, &row.first_byte))
}

const DURATION: [&str; 4] = ["duration_p50", "duration_p90", "duration_p95", "duration_p99"];
const FIRST_BYTE: [&str; 4] = ["first_byte_p50", "first_byte_p90", "first_byte_p95", "first_byte_p99"];

fn csv(rows: &[AnalyticsRow], names: &[&str]) -> String {
    let columns = numbers(&AnalyticsRow::default()).map(|(name, _)| name.to_owned());
    let header = std::iter::once("time".to_owned()).chain(names.iter().map(|name| cell(name))).chain(columns);
    let mut text = header.collect::<Vec<_>>().join(",");
    text.push_str("\r\n");
    for row in rows {
        let time = row.bucket_ms.map(moment).unwrap_or_default();
        let values = numbers(row).map(|(name, value)| match (name, value) {
            ("cost", _) => Usd(row.sums.cost_nano_usd).to_string(), // exact, where JSON has a double
            (_, Value::Null) => String::new(),
            (_, value) => value.to_string(),
        });
        let cells = std::iter::once(time).chain(row.group.iter().map(|value| cell(value))).chain(values);
        text.push_str(&cells.collect::<Vec<_>>().join(","));
        text.push_str("\r\n");
    }
    text
}

/// Quoted where need be, and kept from being a formula for the program that opens the file.
fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{guard}{}\"", text.replace('"', "\"\"")),
        false => format!("{guard}{text}"),
    }
}

fn schema() -> Value {
    json!({
        "type": "object",
        "required": ["since", "until", "group_by", "rows"],
        "properties": {
            "since": { "type": "string", "format": "date-time" },
            "until": { "type": "string", "format": "date-time" },
            "bucket": { "type": ["string", "null"] },
            "group_by": { "type": "array", "items": { "type": "string" } },
            "rows": { "type": "array", "items": { "type": "object" } },
        },
    })
}
