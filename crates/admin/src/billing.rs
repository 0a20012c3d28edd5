//! Cloudflare's billing paths. Nothing is sold here: balances are 0, there are no invoices, and nothing can be topped up.
//! What was spent with providers is in the usage history.

use genesis_store::{
    AnalyticsCondition, AnalyticsOrder, AnalyticsQuery, AnalyticsRow, Bucket, Dimension, Direction,
};
use http::{Response, StatusCode};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use crate::call::Call;
use crate::envelope::{Body, Refusal, code, one};
use crate::shape::{Param, Shape, may, must, param};

pub(crate) const INVOICES: Param =
    param("type", Shape::OneOf(&["auto", "manual", "all"]), "Which invoices; there are none");

pub(crate) const HISTORY: &[Param] = &[
    param("value_grouping_window", Shape::OneOf(&["day", "hour"]), "Required: the length of a row"),
    param(
        "start_time",
        Shape::Number,
        "Milliseconds since the epoch; default: 30 days, or one, before the end",
    ),
    param("end_time", Shape::Number, "Milliseconds since the epoch; default: now"),
];

pub(crate) const BALANCE_SHOWN: Shape = Shape::Object(&[
    must("balance", Shape::Whole(0, 0)),
    must("has_default_payment_method", Shape::Flag),
    must("payment_method", Shape::Nullable(&Shape::Anything)),
    must("topup_config", TOPUP_CONFIG_SHOWN),
    must("first_topup_success", Shape::Flag),
]);

pub(crate) const TOPUP_CONFIG_SHOWN: Shape = Shape::Object(&[
    must("amount", Shape::Nullable(&Shape::Number)),
    must("threshold", Shape::Nullable(&Shape::Number)),
    must("disabledReason", Shape::Nullable(&Shape::Prose(256))),
    must("error", Shape::Nullable(&Shape::Prose(256))),
    must("lastFailedAt", Shape::Nullable(&Shape::Number)),
]);

pub(crate) const INVOICES_SHOWN: Shape = Shape::Object(&[
    must("invoices", Shape::List(&Shape::Anything)),
    must(
        "pagination",
        Shape::Object(&[
            must("has_more", Shape::Flag),
            must("page", Shape::Whole(1, 1)),
            must("per_page", Shape::Whole(1, 100)),
            must("total_count", Shape::Whole(0, 0)),
        ]),
    ),
]);

pub(crate) const PREVIEW_SHOWN: Shape = Shape::Object(&[
    must("id", Shape::Text(64)),
    must("amount_due", Shape::Whole(0, 0)),
    must("amount_paid", Shape::Whole(0, 0)),
    must("amount_remaining", Shape::Whole(0, 0)),
    must("currency", Shape::OneOf(&["usd"])),
    must("invoice_lines", Shape::List(&Shape::Anything)),
    must("period_start", Shape::Whole(0, i64::MAX)),
    must("period_end", Shape::Whole(0, i64::MAX)),
    must("status", Shape::OneOf(&["draft"])),
]);

pub(crate) const HISTORY_SHOWN: Shape = Shape::Object(&[must("history", Shape::List(&ROW))]);

const ROW: Shape = Shape::Object(&[
    must("id", Shape::Text(64)),
    must("aggregated_value", Shape::Number),
    must("start_time", Shape::Whole(0, i64::MAX)),
    must("end_time", Shape::Whole(0, i64::MAX)),
]);

pub(crate) const LIMIT_SHOWN: Shape = Shape::Object(&[
    must("enabled", Shape::Flag),
    must(
        "config",
        Shape::Object(&[
            must("amount", Shape::Nullable(&Shape::Number)),
            must("duration", Shape::Nullable(&Shape::Prose(16))),
            must("strategy", Shape::Nullable(&Shape::Prose(16))),
        ]),
    ),
]);

pub(crate) const TOPUP: Shape = Shape::Object(&[must("amount", Shape::Number)]);
pub(crate) const TOPUP_CONFIG: Shape =
    Shape::Object(&[must("amount", Shape::Number), must("threshold", Shape::Number)]);
pub(crate) const TOPUP_STATUS: Shape = Shape::Object(&[must("payment_intent_id", Shape::Text(256))]);
pub(crate) const LIMIT: Shape = Shape::Object(&[
    may("amount", Shape::Number),
    may("duration", Shape::Prose(16)),
    may("strategy", Shape::Prose(16)),
]);

pub(crate) fn balance(_: &Call<'_>) -> Result<Response<Body>, Refusal> {
    Ok(one(json!({
        "balance": 0, "has_default_payment_method": false, "payment_method": null,
        "topup_config": no_topup(), "first_topup_success": false,
    })))
}

pub(crate) fn topup_config(_: &Call<'_>) -> Result<Response<Body>, Refusal> {
    Ok(one(no_topup()))
}

fn no_topup() -> Value {
    json!({ "amount": null, "threshold": null, "disabledReason": null, "error": null, "lastFailedAt": null })
}

pub(crate) fn invoices(_: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let pagination = json!({ "has_more": false, "page": 1, "per_page": 20, "total_count": 0 });
    Ok(one(json!({ "invoices": [], "pagination": pagination })))
}

/// Of this month, in seconds as Stripe has them.
pub(crate) fn preview(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let now = Timestamp::from_millisecond(call.now_ms).unwrap_or_default();
    let first = now.to_zoned(TimeZone::UTC).date().first_of_month();
    let second = |date: Date| date.to_zoned(TimeZone::UTC).map_or(0, |start| start.timestamp().as_second());
    let next = first.checked_add(1.month()).unwrap_or(first);
    Ok(one(json!({
        "id": "none", "amount_due": 0, "amount_paid": 0, "amount_remaining": 0, "currency": "usd",
        "invoice_lines": [], "period_start": second(first), "period_end": second(next), "status": "draft",
    })))
}

/// What calls cost with their providers, in cents, by day or hour; simulated ones cost nothing.
pub(crate) fn history(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let (bucket, span_ms) = match call.query.get("value_grouping_window") {
        Some("hour") => (Bucket::Hour, Bucket::Day.length_ms()),
        Some(_) => (Bucket::Day, 30 * Bucket::Day.length_ms()),
        None => return Err(Refusal::invalid("query", "value_grouping_window", "Required: 'day' or 'hour'")),
    };
    let time = |name: &str| call.query.number(name).map(|number| number as i64);
    let until_ms = time("end_time").unwrap_or(call.now_ms);
    let since_ms = time("start_time").unwrap_or_else(|| until_ms.saturating_sub(span_ms));
    let is = |dimension, value: String| AnalyticsCondition { dimension, negated: false, values: vec![value] };
    let mut conditions = vec![is(Dimension::Simulated, "false".to_owned())];
    if call.declared.accounts.is_some() {
        conditions.push(is(Dimension::Account, call.account().to_owned()));
    }
    let rows = call.store().analytics(&AnalyticsQuery {
        since_ms: Some(since_ms),
        until_ms: Some(until_ms),
        bucket: Some(bucket),
        group_by: Vec::new(),
        conditions,
        order: AnalyticsOrder::Bucket,
        direction: Direction::Ascending,
        limit: 0,
    })?;
    Ok(one(json!({ "history": rows.iter().map(|row| spent(row, bucket)).collect::<Vec<_>>() })))
}

fn spent(row: &AnalyticsRow, bucket: Bucket) -> Value {
    const NANO_USD_IN_A_CENT: i64 = 10_000_000;
    let nano = row.sums.cost_nano_usd;
    let cents = match nano % NANO_USD_IN_A_CENT {
        0 => Value::from(nano / NANO_USD_IN_A_CENT),
        _ => Value::from(nano as f64 / NANO_USD_IN_A_CENT as f64),
    };
    let start_ms = row.bucket_ms.unwrap_or_default();
    json!({
        "id": start_ms.to_string(), "aggregated_value": cents, "start_time": start_ms,
        "end_time": start_ms + bucket.length_ms(),
    })
}

pub(crate) fn limit(_: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let config = json!({ "amount": null, "duration": null, "strategy": null });
    Ok(one(json!({ "enabled": false, "config": config })))
}

/// There is nothing to delete, which is what was asked for.
pub(crate) fn nothing(_: &Call<'_>) -> Result<Response<Body>, Refusal> {
    Ok(one(json!({})))
}

pub(crate) fn refuse_topup(_: &Call<'_>) -> Result<Response<Body>, Refusal> {
    refused("there are no credits here: calls are paid to their providers, with the keys this gateway keeps")
}

/// As on Cloudflare, for good.
pub(crate) fn refuse_limit(_: &Call<'_>) -> Result<Response<Body>, Refusal> {
    refused("spending limits are settings of a gateway: `spend_limits`")
}

pub(crate) fn no_payment(_: &Call<'_>) -> Result<Response<Body>, Refusal> {
    Err(Refusal::not_found("there is no such payment: nothing is sold here"))
}

fn refused(why: &str) -> Result<Response<Body>, Refusal> {
    Err(Refusal::new(StatusCode::FORBIDDEN, code::INVALID, why))
}
