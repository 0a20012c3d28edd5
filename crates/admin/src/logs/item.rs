//! A log record as Cloudflare shows it, with a few fields of ours.

use genesis_config::money::{NANO, Usd};
use genesis_store::{LogRanges, LogRecord, Outcome, Payload};
use serde_json::{Map, Value, json};

use crate::call::moment;
use crate::shape::{Shape, may, must};

const COUNT: Shape = Shape::Whole(0, i64::MAX);
const TEXT: Shape = Shape::Prose(1 << 20);

/// What is always there; everything else depends on the exchange.
pub(crate) const SHOWN: Shape = Shape::Object(&[
    must("id", Shape::Text(36)),
    must("cached", Shape::Flag),
    must("created_at", Shape::Moment),
    must("duration", COUNT),
    must("model", TEXT),
    must("path", TEXT),
    must("provider", TEXT),
    must("success", Shape::Flag),
    must("tokens_in", Shape::Nullable(&COUNT)),
    must("tokens_out", Shape::Nullable(&COUNT)),
    may("authentication", Shape::Flag),
    may("byok", Shape::Flag),
    may("cost", Shape::Nullable(&Shape::Number)),
    may("custom_cost", Shape::Flag),
    may("error", TEXT),
    may("event_id", TEXT),
    may("feedback", Shape::Whole(-1, 1)),
    may("metadata", Shape::Map(&Shape::Anything)),
    may("model_type", TEXT),
    may("outcome", TEXT),
    may("price_formula", TEXT),
    may("price_id", TEXT),
    may("request_content_type", TEXT),
    may("request_head", TEXT),
    may("request_head_complete", Shape::Flag),
    may("request_size", COUNT),
    may("request_type", TEXT),
    may("response_content_type", TEXT),
    may("response_head", TEXT),
    may("response_head_complete", Shape::Flag),
    may("response_size", COUNT),
    may("score", Shape::Number),
    may("simulated", Shape::Flag),
    may("status_code", Shape::Whole(0, 999)),
    may("step", COUNT),
    may("timings", Shape::Map(&COUNT)),
    may("usage_metadata", Shape::Map(&Shape::Anything)),
    may("user_agent", TEXT),
    may("wholesale", Shape::Flag),
]);

/// Most bytes of a body that stand in `request_head` and `response_head`.
const HEAD: usize = 2048;

/// A record in a list.
pub(crate) fn listed(record: &LogRecord) -> Value {
    let usage = record.usage.as_ref();
    let kind = record.kind();
    let mut item = json!({
        "id": record.id.to_string(),
        "authentication": !record.token_id.is_empty(),
        "byok": record.credential.starts_with("stored:"),
        "cached": record.cached,
        "cost": record.cost_nano_usd.map(Usd),
        "created_at": moment(record.created_at_ms),
        "custom_cost": record.custom_cost,
        "duration": record.duration_ms,
        "event_id": record.event_id,
        "metadata": record.metadata,
        "model": record.model,
        "model_type": kind,
        "outcome": record.outcome,
        "path": record.path,
        "provider": record.provider,
        "request_content_type": record.request_content_type,
        "request_type": kind,
        "response_content_type": record.response_content_type,
        "simulated": record.simulated,
        "status_code": record.status,
        "step": record.step,
        "success": record.outcome == Outcome::Success,
        "timings": timings(record),
        "tokens_in": usage.map(|usage| usage.tokens_in()),
        "tokens_out": usage.map(|usage| usage.tokens_out()),
        "user_agent": record.user_agent,
        "wholesale": false,
    });
    if let Value::Object(item) = &mut item {
        let noted = [
            ("feedback", record.feedback.map(Value::from)),
            ("score", record.score.map(Value::from)),
            ("error", (!record.error.is_empty()).then(|| Value::from(record.error.as_str()))),
        ];
        item.extend(noted.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    item
}

/// A record by itself, with the beginning of its bodies.
pub(crate) fn whole(record: &LogRecord, payload: Option<&Payload>) -> Value {
    let mut item = listed(record);
    let sides = [
        ("request", record.request_size, payload.map(|kept| (&kept.request, kept.request_complete))),
        ("response", record.response_size, payload.map(|kept| (&kept.response, kept.response_complete))),
    ];
    for (side, size, kept) in sides {
        item[format!("{side}_size")] = size.into();
        let Some((body, complete)) = kept else { continue };
        let head = String::from_utf8_lossy(&body[..body.len().min(HEAD)]);
        item[format!("{side}_head")] = head.into();
        item[format!("{side}_head_complete")] = (complete && body.len() <= HEAD).into();
    }
    if let Some(usage) = record.raw_usage.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok())
        && usage.is_object()
    {
        item["usage_metadata"] = usage;
    }
    for (name, text) in [("price_id", &record.price_id), ("price_formula", &record.price_formula)] {
        if let Some(text) = text {
            item[name] = text.as_str().into();
        }
    }
    item
}

/// `min_cost`, `max_cost` and their kin; 0 where no record has the number.
pub(crate) fn ranges(ranges: &LogRanges) -> Map<String, Value> {
    let usd = |nano: i64| match nano % NANO {
        0 => Value::from(nano / NANO),
        _ => Value::from(nano as f64 / NANO as f64),
    };
    let numbers = [
        ("duration", ranges.duration_ms),
        ("tokens_in", ranges.tokens_in),
        ("tokens_out", ranges.tokens_out),
        ("total_tokens", ranges.total_tokens),
    ];
    let (least, most) = ranges.cost_nano_usd.unwrap_or_default();
    let mut info = Map::from_iter([("min_cost".to_owned(), usd(least)), ("max_cost".to_owned(), usd(most))]);
    for (name, range) in numbers {
        let (least, most) = range.unwrap_or_default();
        info.insert(format!("min_{name}"), least.into());
        info.insert(format!("max_{name}"), most.into());
    }
    info
}

fn timings(record: &LogRecord) -> Value {
    let mut timings = json!({ "total": record.duration_ms });
    if let Some(latency) = record.first_byte_ms {
        timings["latency"] = latency.into();
    }
    timings
}
