//! Which exchanges a node counts: those the caller may see, those its `filter` asks for.

use genesis_store::{AnalyticsCondition, AnalyticsQuery, Dimension};
use serde_json::Value;

use super::Problem;
use super::groups::{Named, named, span};
use crate::call::Call;

/// To what the caller may see.
pub(super) fn narrow(call: &Call<'_>, account: &str, query: &mut AnalyticsQuery) {
    if call.declared.accounts.is_some() {
        let values = vec![account.to_owned()];
        query.conditions.push(AnalyticsCondition { dimension: Dimension::Account, negated: false, values });
    }
    if let Some(token) = call.caller.token.as_ref().filter(|token| !token.gateways.is_empty()) {
        let values = token.gateways.clone();
        query.conditions.push(AnalyticsCondition { dimension: Dimension::Gateway, negated: false, values });
    }
}

/// `filter: {datetimeHour_geq: …, model: …, provider_in: […], AND: […]}`
pub(super) fn filter(filter: &Value, query: &mut AnalyticsQuery) -> Result<(), Problem> {
    let fields = match filter {
        Value::Null => return Ok(()),
        Value::Object(fields) => fields,
        _ => return Err(Problem::new("filter must be an object")),
    };
    for (name, value) in fields {
        match (name.as_str(), value) {
            (_, Value::Null) => {}
            ("AND", Value::Array(parts)) => {
                parts.iter().try_for_each(|part| self::filter(part, query))?;
            }
            ("OR", _) => return Err(Problem::new("OR is not supported in filters here; use _in")),
            _ => condition(name, value, query)?,
        }
    }
    Ok(())
}

fn condition(name: &str, value: &Value, query: &mut AnalyticsQuery) -> Result<(), Problem> {
    let (base, operator) = match name.rsplit_once('_') {
        Some((base, operator)) if OPERATORS.contains(&operator) => (base, operator),
        _ => (name, "eq"),
    };
    let shown: String = name.chars().take(64).collect();
    match named(base).ok_or_else(|| Problem::new(format!("unknown filter field \"{shown}\"")))? {
        Named::Time(dimension, _) => between(dimension, operator, value, query)
            .ok_or_else(|| Problem::new(format!("\"{shown}\" needs a time such as 2026-11-22T00:00:00Z"))),
        Named::Common(_, dimension) => {
            let unfit = || Problem::new(format!("\"{shown}\" cannot be compared like this"));
            let all = match value {
                Value::Array(values) => values.clone(),
                one => vec![one.clone()],
            };
            let values = match (operator, &dimension) {
                ("eq" | "in" | "neq" | "notin", _) => all
                    .iter()
                    .map(|value| word(&dimension, value).ok_or_else(unfit))
                    .collect::<Result<Vec<_>, _>>()?,
                // Status codes are few enough to be listed.
                (_, Dimension::Status) => {
                    let bound = value.as_i64().ok_or_else(unfit)?;
                    (100..600)
                        .filter(|code| holds(operator, *code, bound))
                        .map(|code| code.to_string())
                        .collect()
                }
                _ => return Err(unfit()),
            };
            let negated = matches!(operator, "neq" | "notin");
            query.conditions.push(AnalyticsCondition { dimension, negated, values });
            Ok(())
        }
    }
}

const OPERATORS: [&str; 8] = ["eq", "neq", "in", "notin", "gt", "geq", "lt", "leq"];

fn holds(operator: &str, number: i64, bound: i64) -> bool {
    match operator {
        "gt" => number > bound,
        "geq" => number >= bound,
        "lt" => number < bound,
        _ => number <= bound,
    }
}

/// A value as the store writes it.
fn word(dimension: &Dimension, value: &Value) -> Option<String> {
    match (dimension, value) {
        (Dimension::Cached, Value::Number(number)) => Some((number.as_i64() != Some(0)).to_string()),
        (_, Value::String(text)) => Some(text.clone()),
        (_, Value::Number(number)) => Some(number.to_string()),
        (_, Value::Bool(flag)) => Some(flag.to_string()),
        _ => None,
    }
}

/// Narrows the query's time. Bounds fall on whole spans of the dimension, as they do when hours are compared.
fn between(dimension: &str, operator: &str, value: &Value, query: &mut AnalyticsQuery) -> Option<()> {
    let text = value.as_str()?;
    let at = match text.parse::<jiff::Timestamp>() {
        Ok(time) => time.as_millisecond(),
        Err(_) => {
            let date: jiff::civil::Date = text.parse().ok()?;
            date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond()
        }
    };
    // `datetime` is not cut into spans: what is compared is the time itself.
    let span = if dimension == "datetime" { 1 } else { span(dimension) };
    let start = at.div_euclid(span) * span;
    let after = start.saturating_add(span);
    let (since, until) = match operator {
        "geq" => (Some(if at == start { start } else { after }), None),
        "gt" => (Some(after), None),
        "leq" => (None, Some(after)),
        "lt" => (None, Some(if at == start { start } else { after })),
        "eq" => (Some(start), Some(after)),
        _ => return None,
    };
    if let Some(since) = since {
        query.since_ms = Some(query.since_ms.map_or(since, |known| known.max(since)));
    }
    if let Some(until) = until {
        query.until_ms = Some(query.until_ms.map_or(until, |known| known.min(until)));
    }
    Some(())
}
