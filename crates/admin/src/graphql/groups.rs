//! The nodes of an account: counts and sums of exchanges by what they have in common.

use std::cmp::Ordering;

use genesis_config::money::Usd;
use genesis_store::{
    AnalyticsCondition, AnalyticsQuery, AnalyticsRow, Bucket, Dimension, LogField, LogFilter, Outcome,
};
use serde_json::{Map, Value, json};

use super::filter::{filter, narrow};
use super::{Problem, object, selection::Field, unknown};
use crate::call::Call;

/// Rows where a query sets no limit, and at most.
const DEFAULT_ROWS: u64 = 100;
const MOST_ROWS: u64 = 10_000;

/// One node of the account.
pub(super) fn node(call: &Call<'_>, account: &str, field: &Field) -> Result<Value, Problem> {
    let only = |dimension, negated, value: &str| {
        vec![AnalyticsCondition { dimension, negated, values: vec![value.to_owned()] }]
    };
    match field.name.as_str() {
        "aiGatewayRequestsAdaptiveGroups" => groups(call, account, field, Vec::new()),
        "aiGatewayErrorsAdaptiveGroups" => {
            groups(call, account, field, only(Dimension::Outcome, true, Outcome::Success.name()))
        }
        "aiGatewayCacheAdaptiveGroups" => {
            groups(call, account, field, only(Dimension::Cached, false, "true"))
        }
        "aiGatewaySizeAdaptiveGroups" => sizes(call, account, field),
        _ => Err(unknown(field, "account")),
    }
}

/// A dimension by Cloudflare's name: a span of time, or what calls have in common.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Named {
    Time(&'static str, Bucket),
    Common(&'static str, Dimension),
}

pub(super) fn named(name: &str) -> Option<Named> {
    Some(match name {
        "datetimeMinute" => Named::Time("datetimeMinute", Bucket::Minute),
        "datetime" => Named::Time("datetime", Bucket::Minute),
        "datetimeFiveMinutes" => Named::Time("datetimeFiveMinutes", Bucket::Minute),
        "datetimeFifteenMinutes" => Named::Time("datetimeFifteenMinutes", Bucket::Minute),
        "datetimeHour" => Named::Time("datetimeHour", Bucket::Hour),
        "date" => Named::Time("date", Bucket::Day),
        "model" => Named::Common("model", Dimension::Model),
        "provider" => Named::Common("provider", Dimension::Provider),
        "gateway" => Named::Common("gateway", Dimension::Gateway),
        "statusCode" => Named::Common("statusCode", Dimension::Status),
        "cached" => Named::Common("cached", Dimension::Cached),
        "outcome" => Named::Common("outcome", Dimension::Outcome),
        "tokenId" => Named::Common("tokenId", Dimension::Token),
        _ => return None,
    })
}

/// How many milliseconds the spans of a time dimension have.
pub(super) fn span(name: &str) -> i64 {
    match name {
        "date" => 86_400_000,
        "datetimeHour" => 3_600_000,
        "datetimeFifteenMinutes" => 900_000,
        "datetimeFiveMinutes" => 300_000,
        _ => 60_000,
    }
}

fn groups(
    call: &Call<'_>,
    account: &str,
    field: &Field,
    more: Vec<AnalyticsCondition>,
) -> Result<Value, Problem> {
    let orders = orders(field)?;
    let mut dimensions = Vec::new();
    let asked =
        field.fields.iter().filter(|below| below.name == "dimensions").flat_map(|below| &below.fields);
    for asked in asked.map(|field| field.name.as_str()).filter(|name| *name != "__typename") {
        dimensions.push(named(asked).ok_or_else(|| {
            let name: String = asked.chars().take(64).collect();
            Problem::new(format!("unknown field \"{name}\" on dimensions"))
        })?);
    }
    // What is sorted by has to be there, also if it is not shown.
    dimensions.extend(orders.iter().filter_map(|order| named(order.name.as_str())));
    let finest = dimensions.iter().filter_map(|dimension| match dimension {
        Named::Time(_, bucket) => Some(*bucket),
        Named::Common(..) => None,
    });
    let mut query = AnalyticsQuery { bucket: finest.min(), conditions: more, ..AnalyticsQuery::default() };
    for dimension in &dimensions {
        if let Named::Common(_, dimension) = dimension
            && !query.group_by.contains(dimension)
        {
            query.group_by.push(dimension.clone());
        }
    }
    narrow(call, account, &mut query);
    filter(field.arguments.get("filter").unwrap_or(&Value::Null), &mut query)?;
    let mut rows =
        merged(call.store().analytics(&query).map_err(crate::envelope::Refusal::from)?, &query, &dimensions);
    rows.sort_by(|a, b| {
        let unequal = orders.iter().map(|order| order.compare(a, b)).find(|order| order.is_ne());
        unequal.unwrap_or(Ordering::Equal)
    });
    rows.truncate(limit(field)?);
    rows.iter().map(|row| shown(row, field)).collect()
}

/// One group, as it is shown and sorted.
struct Group {
    dimensions: Map<String, Value>,
    row: AnalyticsRow,
}

/// Rows by the dimensions asked for: spans that are no bucket of the store are put together here.
fn merged(rows: Vec<AnalyticsRow>, query: &AnalyticsQuery, dimensions: &[Named]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut at: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
    for row in rows {
        let values: Map<_, _> = dimensions.iter().map(|dimension| value(dimension, &row, query)).collect();
        let key = Value::Object(values.clone()).to_string();
        match at.get(&key) {
            Some(index) => groups[*index].row.sums.add(&row.sums),
            None => {
                at.insert(key, groups.len());
                groups.push(Group { dimensions: values, row });
            }
        }
    }
    groups
}

fn value(dimension: &Named, row: &AnalyticsRow, query: &AnalyticsQuery) -> (String, Value) {
    match dimension {
        Named::Time(name, _) => {
            let ms = row.bucket_ms.unwrap_or_default();
            let start = ms.div_euclid(span(name)) * span(name);
            let time = jiff::Timestamp::from_millisecond(start).unwrap_or_default().to_string();
            let shown = if *name == "date" { time[..time.len().min(10)].to_owned() } else { time };
            ((*name).to_owned(), shown.into())
        }
        Named::Common(name, dimension) => {
            let index = query.group_by.iter().position(|other| other == dimension);
            let text = index.and_then(|index| row.group.get(index)).map_or("", String::as_str);
            let value = match dimension {
                Dimension::Status => text.parse::<u16>().map_or_else(|_| text.into(), Value::from),
                Dimension::Cached => Value::from(u8::from(text == "true")),
                _ => text.into(),
            };
            ((*name).to_owned(), value)
        }
    }
}

fn shown(group: &Group, field: &Field) -> Result<Value, Problem> {
    object("groups", &field.fields, |below| match below.name.as_str() {
        "count" => Ok(group.row.sums.requests.into()),
        "sum" => object("sum", &below.fields, |field| {
            number(&group.row, &field.name).ok_or_else(|| unknown(field, "sum"))
        }),
        "avg" => object("avg", &below.fields, |field| match field.name.as_str() {
            "sampleInterval" => Ok(1.into()),
            "durationMs" => {
                let sums = group.row.sums;
                Ok((sums.duration_ms as f64 / sums.requests.max(1) as f64).into())
            }
            _ => Err(unknown(field, "avg")),
        }),
        "dimensions" => object("dimensions", &below.fields, |field| {
            Ok(group.dimensions.get(&field.name).cloned().unwrap_or(Value::Null))
        }),
        _ => Err(unknown(below, "groups")),
    })
}

fn number(row: &AnalyticsRow, name: &str) -> Option<Value> {
    let sums = &row.sums;
    Some(match name {
        "cost" => json!(Usd(sums.cost_nano_usd)),
        "cachedRequests" => sums.cached.into(),
        "erroredRequests" => sums.errors.into(),
        "tokensIn" => sums.tokens_in.into(),
        "tokensOut" => sums.tokens_out.into(),
        "cachedTokensIn" => sums.cached_tokens_in.into(),
        "cachedTokensOut" => sums.cached_tokens_out.into(),
        "uncachedTokensIn" => sums.tokens_in.saturating_sub(sums.cached_tokens_in).into(),
        "uncachedTokensOut" => sums.tokens_out.saturating_sub(sums.cached_tokens_out).into(),
        _ => return None,
    })
}

/// One entry of `orderBy`: `count_DESC`, `sum_cost_DESC`, `datetimeHour_ASC`.
struct Order {
    name: String,
    descending: bool,
}

impl Order {
    fn compare(&self, a: &Group, b: &Group) -> Ordering {
        let order = match self.name.as_str() {
            "count" => a.row.sums.requests.cmp(&b.row.sums.requests),
            name => match name.strip_prefix("sum_") {
                Some("cost") => a.row.sums.cost_nano_usd.cmp(&b.row.sums.cost_nano_usd),
                Some(sum) => {
                    let of = |group: &Group| number(&group.row, sum).and_then(|value| value.as_u64());
                    of(a).cmp(&of(b))
                }
                None => {
                    let of = |group: &Group| group.dimensions.get(name).map(Value::to_string);
                    of(a).cmp(&of(b))
                }
            },
        };
        if self.descending { order.reverse() } else { order }
    }
}

fn orders(field: &Field) -> Result<Vec<Order>, Problem> {
    let words = match field.arguments.get("orderBy") {
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(word)) => vec![word.as_str()],
        _ => Vec::new(),
    };
    words
        .into_iter()
        .map(|word| {
            let found = word.strip_suffix("_DESC").map(|name| (name, true));
            let found = found.or_else(|| word.strip_suffix("_ASC").map(|name| (name, false)));
            let (name, descending) = found.unwrap_or((word, false));
            let sum = name.strip_prefix("sum_").and_then(|sum| number(&AnalyticsRow::default(), sum));
            if name != "count" && sum.is_none() && named(name).is_none() {
                let word: String = word.chars().take(64).collect();
                return Err(Problem::new(format!("cannot order by \"{word}\"")));
            }
            Ok(Order { name: name.to_owned(), descending })
        })
        .collect()
}

fn limit(field: &Field) -> Result<usize, Problem> {
    let limit = match field.arguments.get("limit") {
        None | Some(Value::Null) => DEFAULT_ROWS,
        Some(limit) => limit.as_u64().filter(|limit| (1..=MOST_ROWS).contains(limit)).ok_or_else(|| {
            Problem::new(format!("limit must be positive number and not greater than {MOST_ROWS}"))
        })?,
    };
    Ok(limit as usize)
}

/// How many rows the log of each gateway has.
fn sizes(call: &Call<'_>, account: &str, field: &Field) -> Result<Value, Problem> {
    let mut query = AnalyticsQuery { group_by: vec![Dimension::Gateway], ..AnalyticsQuery::default() };
    narrow(call, account, &mut query);
    filter(field.arguments.get("filter").unwrap_or(&Value::Null), &mut query)?;
    let rows = call.store().analytics(&query).map_err(crate::envelope::Refusal::from)?;
    let mut sizes = Vec::new();
    for gateway in rows.iter().filter_map(|row| row.group.first()).take(limit(field)?) {
        let mut records = LogFilter::default().is(LogField::Gateway, gateway.as_str());
        if call.declared.accounts.is_some() {
            records = records.is(LogField::Account, account);
        }
        let count = call.store().count(&records).map_err(crate::envelope::Refusal::from)?;
        sizes.push(object("groups", &field.fields, |below| match below.name.as_str() {
            "max" => object("max", &below.fields, |field| match field.name.as_str() {
                "rows" => Ok(count.into()),
                _ => Err(unknown(field, "max")),
            }),
            "dimensions" => object("dimensions", &below.fields, |field| match field.name.as_str() {
                "gateway" => Ok(gateway.as_str().into()),
                _ => Err(unknown(field, "dimensions")),
            }),
            _ => Err(unknown(below, "groups")),
        })?);
    }
    Ok(sizes.into())
}
