//! Filters as clients send them: a JSON list under `filters`; the SDKs' `filters.key=…&filters.operator=…&filters.value=…`,
//! repeated; the same with indexes; and the older flat parameters.

use genesis_config::Problem;
use genesis_config::money::Usd;
use genesis_config::problem::nearest;
use genesis_store::{LogCondition, LogField, LogValue, Operator};
use serde_json::Value;

use crate::envelope::Refusal;
use crate::gateways::shorten;
use crate::query::Query;

/// More than any dashboard sends.
const MOST_FILTERS: usize = 100;

/// Cloudflare's keys, then ours.
const KEYS: [&str; 28] = [
    "id",
    "created_at",
    "request_content_type",
    "response_content_type",
    "request_type",
    "success",
    "cached",
    "provider",
    "model",
    "model_type",
    "cost",
    "tokens",
    "tokens_in",
    "tokens_out",
    "duration",
    "feedback",
    "event_id",
    "metadata.key",
    "metadata.value",
    "authentication",
    "wholesale",
    "compatibilityMode",
    "dlp_action",
    "user_agent",
    "status_code",
    "outcome",
    "simulated",
    "token",
];

/// One filter, not looked at yet.
#[derive(Debug, Default, Eq, PartialEq)]
struct Sent {
    key: String,
    operator: String,
    values: Vec<Value>,
}

/// Every condition the query string holds.
pub(crate) fn read(query: &Query) -> Result<Vec<LogCondition>, Refusal> {
    let sent = match query.get("filters") {
        Some(text) => from_json(text),
        None => from_pairs(query),
    };
    let mut conditions = checked(sent).map_err(|problems| Refusal::problems("query", problems))?;
    conditions.extend(flat(query));
    Ok(conditions)
}

/// Every condition of a JSON list of filters.
pub(crate) fn conditions(filters: &Value) -> Result<Vec<LogCondition>, Vec<Problem>> {
    checked(from_value(filters.clone()))
}

fn checked(sent: Result<Vec<Sent>, String>) -> Result<Vec<LogCondition>, Vec<Problem>> {
    let sent = sent.map_err(|message| vec![Problem::at("filters", message)])?;
    if sent.len() > MOST_FILTERS {
        return Err(vec![Problem::at("filters", format!("at most {MOST_FILTERS} filters"))]);
    }
    let mut conditions = Vec::new();
    let mut problems = Vec::new();
    for (index, filter) in sent.iter().enumerate() {
        match condition(filter) {
            Ok(condition) => conditions.push(condition),
            Err((field, message)) => problems.push(Problem::at(format!("filters.{index}.{field}"), message)),
        }
    }
    if problems.is_empty() { Ok(conditions) } else { Err(problems) }
}

fn from_json(text: &str) -> Result<Vec<Sent>, String> {
    from_value(serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?)
}

fn from_value(value: Value) -> Result<Vec<Sent>, String> {
    let list = match value {
        Value::Array(list) => list,
        one @ Value::Object(_) => vec![one],
        _ => return Err("must be a list of {key, operator, value}".to_owned()),
    };
    list.into_iter()
        .map(|mut filter| {
            let mut text = |name: &str| match filter.get_mut(name).map(Value::take) {
                Some(Value::String(text)) => Ok(text),
                _ => Err(format!("every filter needs `{name}`, a text")),
            };
            let (key, operator) = (text("key")?, text("operator")?);
            let values = match filter.get_mut("value").map(Value::take) {
                Some(Value::Array(values)) => values,
                Some(Value::Null) | None => Vec::new(),
                Some(value) => vec![value],
            };
            Ok(Sent { key, operator, values })
        })
        .collect()
}

/// What a `filters…` parameter is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    Key,
    Operator,
    Value,
}

fn from_pairs(query: &Query) -> Result<Vec<Sent>, String> {
    let mut plain = Vec::new();
    let mut indexed: Vec<(usize, Sent)> = Vec::new();
    for (name, value) in query.pairs() {
        let Some((index, part)) = part_of(name) else { continue };
        let Some(index) = index else {
            plain.push((part, value));
            continue;
        };
        let at = match indexed.iter().position(|(other, _)| *other == index) {
            Some(at) => at,
            None => {
                indexed.push((index, Sent::default()));
                indexed.len() - 1
            }
        };
        indexed[at].1.add(part, value);
    }
    indexed.sort_by_key(|(index, _)| *index);
    let mut sent: Vec<_> = indexed.into_iter().map(|(_, filter)| filter).collect();
    sent.extend(if is_interleaved(&plain) { interleaved(&plain) } else { grouped(&plain)? });
    Ok(sent)
}

/// `filters.key`, `filters[key]`, `filters[0][key]`, `filters[0].value[]`.
fn part_of(name: &str) -> Option<(Option<usize>, Part)> {
    let rest = name.strip_prefix("filters")?;
    let mut steps = rest.split(['.', '[', ']']).filter(|step| !step.is_empty());
    let first = steps.next()?;
    let (index, word) = match first.parse() {
        Ok(index) => (Some(index), steps.next()?),
        Err(_) => (None, first),
    };
    let part = match word {
        "key" => Part::Key,
        "operator" => Part::Operator,
        "value" => Part::Value,
        _ => return None,
    };
    Some((index, part))
}

/// The JavaScript SDK finishes one filter before the next; the Python SDK sends all keys first.
fn is_interleaved(plain: &[(Part, &str)]) -> bool {
    !matches!(plain, [(Part::Key, _), (Part::Key, _), ..])
}

fn interleaved(plain: &[(Part, &str)]) -> Vec<Sent> {
    let mut sent: Vec<Sent> = Vec::new();
    for (part, value) in plain {
        // A filter starts with its key, or with whatever it already has.
        let fresh = match (part, sent.last()) {
            (_, None) => true,
            (Part::Key, Some(last)) => !last.key.is_empty(),
            (Part::Operator, Some(last)) => !last.operator.is_empty(),
            (Part::Value, Some(_)) => false,
        };
        if fresh {
            sent.push(Sent::default());
        }
        if let Some(last) = sent.last_mut() {
            last.add(*part, value);
        }
    }
    sent
}

/// Keys, operators and values each in a row: they belong together by position. With more values than filters it cannot
/// be known whose they are, and a guess might delete the wrong logs.
fn grouped(plain: &[(Part, &str)]) -> Result<Vec<Sent>, String> {
    let all = |part: Part| plain.iter().filter(move |(other, _)| *other == part).map(|(_, value)| *value);
    let (keys, operators, values) =
        (all(Part::Key).count(), all(Part::Operator).count(), all(Part::Value).count());
    if operators != keys || values != keys {
        return Err(format!(
            "{keys} keys, {operators} operators and {values} values do not pair up; \
             send filters=[{{\"key\":…,\"operator\":…,\"value\":[…]}}] as JSON"
        ));
    }
    let paired = all(Part::Key).zip(all(Part::Operator)).zip(all(Part::Value));
    Ok(paired
        .map(|((key, operator), value)| Sent {
            key: key.to_owned(),
            operator: operator.to_owned(),
            values: vec![Value::from(value)],
        })
        .collect())
}

impl Sent {
    fn add(&mut self, part: Part, value: &str) {
        match part {
            Part::Key => value.clone_into(&mut self.key),
            Part::Operator => value.clone_into(&mut self.operator),
            Part::Value => self.values.push(Value::from(value)),
        }
    }
}

/// A filter as the store takes it, or which of its fields is wrong and why.
fn condition(sent: &Sent) -> Result<LogCondition, (&'static str, String)> {
    let known = KEYS.contains(&sent.key.as_str()).then(|| LogField::from_name(&sent.key)).flatten();
    let Some(field) = known else {
        let mut message = format!("Invalid enum value. There is no key '{}'", shorten(&sent.key));
        if let Some(meant) = nearest(&sent.key, KEYS) {
            message.push_str(&format!("; did you mean '{meant}'?"));
        }
        return Err(("key", message));
    };
    let Some(operator) = Operator::from_name(&sent.operator) else {
        let message = format!(
            "Invalid enum value. Expected 'eq' | 'neq' | 'contains' | 'lt' | 'gt', received '{}'",
            shorten(&sent.operator)
        );
        return Err(("operator", message));
    };
    if sent.values.is_empty() {
        return Err(("value", "Required".to_owned()));
    }
    let mut values = Vec::new();
    for value in &sent.values {
        values.extend(stored(field, operator, value).map_err(|message| ("value", message))?);
    }
    Ok(LogCondition { field, operator, values })
}

/// A value in the field's unit; `None` if no record can have it.
fn stored(field: LogField, operator: Operator, value: &Value) -> Result<Option<LogValue>, String> {
    if operator == Operator::Contains {
        return match value {
            Value::String(text) => Ok(Some(LogValue::from(text.as_str()))),
            Value::Number(number) => Ok(Some(LogValue::from(number.to_string()))),
            Value::Bool(flag) => Ok(Some(LogValue::from(flag.to_string()))),
            _ => Err("must be a text, a number or a flag".to_owned()),
        };
    }
    let text = match value {
        // As query strings have it: no text.
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => return Ok(Some(truth(field, *flag))),
        _ => return Err("must be a text, a number or a flag".to_owned()),
    };
    match field {
        LogField::Cost => {
            let usd = Usd::parse(text.trim())
                .ok_or_else(|| format!("'{}' is no amount of US dollars such as 0.01", shorten(&text)))?;
            Ok(Some(LogValue::Integer(usd.0)))
        }
        LogField::Success
        | LogField::Cached
        | LogField::Simulated
        | LogField::Authentication
        | LogField::Wholesale
        | LogField::CompatibilityMode => match text.as_str() {
            "true" | "1" => Ok(Some(LogValue::Flag(true))),
            "false" | "0" => Ok(Some(LogValue::Flag(false))),
            _ => Err(format!("'{}' is no flag; send true or false", shorten(&text))),
        },
        LogField::Tokens
        | LogField::TokensIn
        | LogField::TokensOut
        | LogField::Duration
        | LogField::Feedback
        | LogField::Status => whole(operator, &text),
        _ => Ok(Some(LogValue::from(text))),
    }
}

fn truth(field: LogField, flag: bool) -> LogValue {
    match field {
        LogField::MetadataValue | LogField::Model | LogField::Provider => LogValue::from(flag.to_string()),
        _ => LogValue::Flag(flag),
    }
}

/// Records have whole numbers, so a fraction is moved to the next one that makes no difference.
fn whole(operator: Operator, text: &str) -> Result<Option<LogValue>, String> {
    if let Ok(number) = text.trim().parse::<i64>() {
        return Ok(Some(LogValue::Integer(number)));
    }
    let number: f64 = text.trim().parse().map_err(|_| format!("'{}' is no number", shorten(text)))?;
    if !number.is_finite() {
        return Err(format!("'{}' is no number", shorten(text)));
    }
    Ok(match operator {
        Operator::Less | Operator::AtLeast => Some(LogValue::Integer(number.ceil() as i64)),
        Operator::Greater | Operator::AtMost => Some(LogValue::Integer(number.floor() as i64)),
        _ => (number.fract() == 0.0).then_some(LogValue::Integer(number as i64)),
    })
}

/// The older parameters. Their shapes have been checked.
fn flat(query: &Query) -> Vec<LogCondition> {
    use Operator::{AtLeast, AtMost, Equal};
    let mut conditions = Vec::new();
    let mut add = |field, operator, value: Option<LogValue>| {
        conditions.extend(value.map(|value| LogCondition { field, operator, values: vec![value] }));
    };
    for (name, field) in [("cached", LogField::Cached), ("success", LogField::Success)] {
        add(field, Equal, query.flag(name).map(LogValue::Flag));
    }
    for (name, field) in [
        ("model", LogField::Model),
        ("model_type", LogField::ModelType),
        ("provider", LogField::Provider),
        ("request_content_type", LogField::RequestContentType),
        ("response_content_type", LogField::ResponseContentType),
    ] {
        add(field, Equal, query.get(name).map(LogValue::from));
    }
    let feedback = query.number("feedback").map(|number| LogValue::Integer(number as i64));
    add(LogField::Feedback, Equal, feedback);
    for (name, operator) in [("start_date", AtLeast), ("end_date", AtMost)] {
        let time = query.get(name).and_then(|text| text.parse::<jiff::Timestamp>().ok());
        add(LogField::CreatedAt, operator, time.map(|time| LogValue::Integer(time.as_millisecond())));
    }
    for (name, field) in [
        ("cost", LogField::Cost),
        ("duration", LogField::Duration),
        ("tokens_in", LogField::TokensIn),
        ("tokens_out", LogField::TokensOut),
        ("total_tokens", LogField::Tokens),
    ] {
        for (side, operator) in [("min", AtLeast), ("max", AtMost)] {
            let value = query.get(&format!("{side}_{name}"));
            add(field, operator, value.and_then(|text| stored(field, operator, &text.into()).ok().flatten()));
        }
    }
    conditions
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_text(query: &str) -> Result<Vec<LogCondition>, String> {
        read(&Query::read(Some(query))).map_err(|refusal| {
            refusal.faults.iter().map(|fault| fault.message.clone()).collect::<Vec<_>>().join(" | ")
        })
    }

    #[test]
    fn all_encodings_of_the_same_filters_are_the_same() {
        let json = r#"filters=[{"key":"model","operator":"eq","value":["gpt-5"]},{"key":"cost","operator":"gt","value":[0.5]}]"#;
        let wanted = read_text(json).unwrap();
        assert_eq!(wanted.len(), 2);
        assert_eq!(wanted[1].values, [LogValue::Integer(500_000_000)]);
        for same in [
            "filters.key=model&filters.operator=eq&filters.value=gpt-5&filters.key=cost&filters.operator=gt&filters.value=0.5",
            "filters.key=model&filters.key=cost&filters.operator=eq&filters.operator=gt&filters.value=gpt-5&filters.value=0.5",
            "filters%5B0%5D%5Bkey%5D=model&filters[0][operator]=eq&filters[0][value][]=gpt-5&filters[1].key=cost&filters[1].operator=gt&filters[1].value=0.5",
        ] {
            assert_eq!(read_text(same).as_ref(), Ok(&wanted), "{same}");
        }
    }

    #[test]
    fn one_filter_may_have_many_values_in_either_order() {
        let wanted = [LogValue::from("a"), LogValue::from("b")];
        for query in [
            "filters.key=model&filters.operator=eq&filters.value=a&filters.value=b",
            r#"filters={"key":"model","operator":"eq","value":["a","b"]}"#,
        ] {
            assert_eq!(read_text(query).unwrap()[0].values, wanted, "{query}");
        }
    }

    #[test]
    fn null_is_no_text_as_the_sdks_write_it() {
        let wanted = [LogValue::from("")];
        for query in [
            r#"filters=[{"key":"user_agent","operator":"eq","value":[null]}]"#,
            "filters.key=user_agent&filters.operator=eq&filters.value=",
        ] {
            assert_eq!(read_text(query).unwrap()[0].values, wanted, "{query}");
        }
    }

    #[test]
    fn what_cannot_be_paired_is_refused() {
        let query = "filters.key=model&filters.key=cost&filters.operator=eq&filters.operator=gt\
                     &filters.value=a&filters.value=b&filters.value=1";
        assert!(read_text(query).unwrap_err().contains("do not pair up"));
    }

    #[test]
    fn mistakes_are_named() {
        for (query, said) in [
            (r#"filters=[{"key":"modle","operator":"eq","value":["x"]}]"#, "did you mean 'model'?"),
            (r#"filters=[{"key":"model","operator":"like","value":["x"]}]"#, "Invalid enum value"),
            (r#"filters=[{"key":"model","operator":"eq"}]"#, "Required"),
            (r#"filters=[{"key":"cost","operator":"gt","value":["cheap"]}]"#, "no amount"),
            (r#"filters=[{"key":"cost","operator":"eq","value":[null]}]"#, "no amount"),
            (r#"filters=[{"key":"tokens","operator":"eq","value":[null]}]"#, "no number"),
            (r#"filters=[{"key":"model","operator":"contains","value":[null]}]"#, "must be a text"),
            (r#"filters=[{"key":"cached","operator":"eq","value":["maybe"]}]"#, "no flag"),
            ("filters=[1", "is no JSON"),
            ("filters=5", "must be a list"),
        ] {
            assert!(read_text(query).unwrap_err().contains(said), "{query}");
        }
    }

    #[test]
    fn fractions_of_whole_numbers_are_rounded_away_from_the_match() {
        let query = |operator: &str| {
            let text = format!(r#"filters=[{{"key":"duration","operator":"{operator}","value":[1.5]}}]"#);
            read_text(&text).unwrap().remove(0).values
        };
        assert_eq!(query("gt"), [LogValue::Integer(1)]);
        assert_eq!(query("lt"), [LogValue::Integer(2)]);
        assert_eq!(query("eq"), []);
    }

    #[test]
    fn the_older_parameters_are_conditions_too() {
        let conditions =
            read_text("cached=true&min_cost=0.01&max_duration=250&start_date=2026-11-22T00:00:00Z").unwrap();
        assert_eq!(conditions.len(), 4);
        assert!(conditions.contains(&LogCondition {
            field: LogField::Cost,
            operator: Operator::AtLeast,
            values: vec![LogValue::Integer(10_000_000)],
        }));
    }

    proptest! {
        #[test]
        fn nothing_sent_breaks_the_reader(query in "(filters[.\\[\\]a-z0-9]{0,8}=?[^&]{0,12}&?){0,6}") {
            let _ = read_text(&query);
        }
    }
}
