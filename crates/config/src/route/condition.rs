//! What a conditional node asks of a request, in Mongo's words: `{"metadata.plan": {"$eq": "paid"}}`.
//!
//! Operators: `$eq $ne $gt $gte $lt $lte $in $nin $exists $regex $not`, and `$and $or $not $nor` over conditions. A bare
//! value means `$eq`; several fields or operators all have to hold.

use std::fmt;

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use crate::problem::{Problem, join, nearest};

/// Compiled patterns may take this much memory; matching takes time linear in the text.
const PATTERN_BYTES: usize = 1 << 20;
/// Deeper is no condition a person wrote.
const DEEPEST: usize = 32;

#[derive(Clone, Debug)]
pub enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Field(Field, Test),
}

/// A value of the request.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Field {
    /// Names and indices on the way into the JSON body.
    Body(Vec<String>),
    /// In lower case.
    Header(String),
    Metadata(String),
}

#[derive(Clone, Debug)]
pub enum Test {
    Equal(Value),
    Greater(Value),
    GreaterOrEqual(Value),
    Less(Value),
    LessOrEqual(Value),
    In(Vec<Value>),
    Exists(bool),
    Matches(Regex),
}

impl Field {
    /// `body.a.b`, `headers.x` or `metadata.x`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once('.').unwrap_or((text, ""));
        match kind {
            _ if name.is_empty() => {}
            "body" => return Ok(Self::Body(name.split('.').map(str::to_owned).collect())),
            "headers" | "header" => return Ok(Self::Header(name.to_ascii_lowercase())),
            "metadata" => return Ok(Self::Metadata(name.to_owned())),
            _ => {}
        }
        Err("names a value of the request: body.<name>, headers.<name> or metadata.<name>".to_owned())
    }

    /// The value a body has there.
    pub fn in_body<'v>(path: &[String], body: &'v Value) -> Option<&'v Value> {
        path.iter().try_fold(body, |here, name| match here {
            Value::Array(items) => items.get(name.parse::<usize>().ok()?),
            Value::Object(object) => object.get(name),
            _ => None,
        })
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body(path) => write!(f, "body.{}", path.join(".")),
            Self::Header(name) => write!(f, "headers.{name}"),
            Self::Metadata(name) => write!(f, "metadata.{name}"),
        }
    }
}

impl Condition {
    /// Reads a condition. The problem's path is relative to it and starts with `.` or `[`, or is empty.
    pub fn parse(value: &Value) -> Result<Self, Problem> {
        Self::read(value, "", 0)
    }

    /// Whether it holds; `value` finds what a request has in a field.
    pub fn holds(&self, value: &impl Fn(&Field) -> Option<Value>) -> bool {
        match self {
            Self::All(all) => all.iter().all(|condition| condition.holds(value)),
            Self::Any(any) => any.iter().any(|condition| condition.holds(value)),
            Self::Not(condition) => !condition.holds(value),
            Self::Field(field, test) => test.holds(value(field).as_ref()),
        }
    }

    fn read(value: &Value, path: &str, depth: usize) -> Result<Self, Problem> {
        if depth > DEEPEST {
            return Err(Problem::at(path, "is nested too deep"));
        }
        if value.is_array() {
            return Self::list(value, path, depth).map(Self::All);
        }
        let Some(object) = value.as_object().filter(|object| !object.is_empty()) else {
            return Err(Problem::at(
                path,
                "expected an object such as {\"metadata.plan\": {\"$eq\": \"paid\"}}",
            ));
        };
        let mut all = Vec::new();
        for (name, value) in object {
            let here = below(path, name);
            all.push(match name.as_str() {
                "$and" => Self::All(Self::list(value, &here, depth)?),
                "$or" => Self::Any(Self::list(value, &here, depth)?),
                "$nor" => Self::Not(Box::new(Self::Any(Self::list(value, &here, depth)?))),
                "$not" => Self::Not(Box::new(Self::read(value, &here, depth + 1)?)),
                operator if operator.starts_with('$') => return Err(unknown(&here, operator, &CONNECTIVES)),
                field => {
                    let field = Field::parse(field).map_err(|message| Problem::at(&here, message))?;
                    Self::tests(&field, value, &here, depth)?
                }
            });
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Self::All(all) })
    }

    fn list(value: &Value, path: &str, depth: usize) -> Result<Vec<Self>, Problem> {
        let Some(items) = value.as_array().filter(|items| !items.is_empty()) else {
            return Err(Problem::at(path, "expected a list of conditions"));
        };
        let items = items.iter().enumerate();
        items.map(|(index, item)| Self::read(item, &format!("{path}[{index}]"), depth + 1)).collect()
    }

    /// What is asked of one field.
    fn tests(field: &Field, value: &Value, path: &str, depth: usize) -> Result<Self, Problem> {
        if depth > DEEPEST {
            return Err(Problem::at(path, "is nested too deep"));
        }
        let operators = value.as_object().filter(|object| object.keys().any(|name| name.starts_with('$')));
        let Some(operators) = operators else {
            return Ok(Self::Field(field.clone(), Test::Equal(value.clone())));
        };
        let options = operators.get("$options").and_then(Value::as_str).unwrap_or_default();
        let mut all = Vec::new();
        for (name, operand) in operators {
            let here = below(path, name);
            let test = |test| Self::Field(field.clone(), test);
            let not = |test| Self::Not(Box::new(Self::Field(field.clone(), test)));
            let list = || match operand.as_array() {
                Some(items) => Ok(items.clone()),
                None => Err(Problem::at(&here, "expected a list of values")),
            };
            all.push(match name.as_str() {
                "$eq" => test(Test::Equal(operand.clone())),
                "$ne" => not(Test::Equal(operand.clone())),
                "$gt" => test(Test::Greater(operand.clone())),
                "$gte" => test(Test::GreaterOrEqual(operand.clone())),
                "$lt" => test(Test::Less(operand.clone())),
                "$lte" => test(Test::LessOrEqual(operand.clone())),
                "$in" => test(Test::In(list()?)),
                "$nin" => not(Test::In(list()?)),
                "$exists" => match operand.as_bool() {
                    Some(exists) => test(Test::Exists(exists)),
                    None => return Err(Problem::at(&here, "expected true or false")),
                },
                "$regex" => test(Test::Matches(pattern(operand, options, &here)?)),
                "$options" => continue,
                "$not" => Self::Not(Box::new(Self::tests(field, operand, &here, depth + 1)?)),
                operator => return Err(unknown(&here, operator, &OPERATORS)),
            });
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Self::All(all) })
    }
}

const CONNECTIVES: [&str; 4] = ["$and", "$or", "$nor", "$not"];
const OPERATORS: [&str; 12] =
    ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$regex", "$options", "$not"];

fn pattern(operand: &Value, options: &str, path: &str) -> Result<Regex, Problem> {
    let text = operand.as_str().ok_or_else(|| Problem::at(path, "expected a pattern, as text"))?;
    let built = RegexBuilder::new(text)
        .case_insensitive(options.contains('i'))
        .multi_line(options.contains('m'))
        .dot_matches_new_line(options.contains('s'))
        .size_limit(PATTERN_BYTES)
        .build();
    built.map_err(|_| {
        Problem::at(path, "is not a pattern we can match")
            .with_hint("look-around and back-references are not supported: they can take for ever")
    })
}

fn unknown(path: &str, operator: &str, known: &[&'static str]) -> Problem {
    let problem = Problem::at(path, "no such operator");
    match nearest(operator, known.iter().copied()) {
        Some(meant) => problem.with_hint(format!("did you mean `{meant}`?")),
        None => problem.with_hint(format!("known here: {}", known.join(", "))),
    }
}

/// A relative path with one more name.
fn below(path: &str, name: &str) -> String {
    // `join` writes no dot before the first name.
    join(&format!("#{path}"), name)[1..].to_owned()
}

impl Test {
    /// Of a list, some item has to fit. What is not there fits nothing but `$exists: false`, and null.
    fn holds(&self, value: Option<&Value>) -> bool {
        if let Self::Exists(exists) = self {
            return value.is_some() == *exists;
        }
        match value {
            None => matches!(self, Self::Equal(Value::Null)),
            Some(Value::Array(items)) => {
                self.fits(&Value::Array(items.clone())) || items.iter().any(|item| self.fits(item))
            }
            Some(value) => self.fits(value),
        }
    }

    fn fits(&self, value: &Value) -> bool {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let ordering = |other| order(value, other);
        match self {
            Self::Equal(other) => equal(value, other),
            Self::Greater(other) => ordering(other) == Some(Greater),
            Self::GreaterOrEqual(other) => matches!(ordering(other), Some(Greater | Equal)),
            Self::Less(other) => ordering(other) == Some(Less),
            Self::LessOrEqual(other) => matches!(ordering(other), Some(Less | Equal)),
            Self::In(others) => others.iter().any(|other| equal(value, other)),
            Self::Exists(exists) => *exists,
            Self::Matches(pattern) => match value {
                Value::String(text) => pattern.is_match(text),
                Value::Number(number) => pattern.is_match(&number.to_string()),
                Value::Bool(flag) => pattern.is_match(if *flag { "true" } else { "false" }),
                _ => false,
            },
        }
    }
}

/// Headers and metadata are often text where a number or flag is meant, so those are equal to their texts.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(_), Value::Number(_)) => a.as_f64() == b.as_f64(),
        (Value::String(text), Value::Bool(flag)) | (Value::Bool(flag), Value::String(text)) => {
            text == if *flag { "true" } else { "false" }
        }
        (Value::String(text), Value::Number(number)) | (Value::Number(number), Value::String(text)) => {
            text.trim().parse().ok() == number.as_f64()
        }
        _ => a == b,
    }
}

fn order(a: &Value, b: &Value) -> Option<std::cmp::Ordering> {
    if let (Value::String(a), Value::String(b)) = (a, b) {
        return Some(a.cmp(b));
    }
    let number = |value: &Value| match value {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_f64(),
    };
    number(a)?.partial_cmp(&number(b)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn holds(condition: Value, request: &Value) -> bool {
        let condition =
            Condition::parse(&condition).unwrap_or_else(|problem| panic!("{condition}: {problem}"));
        condition.holds(&|field| match field {
            Field::Body(path) => Field::in_body(path, &request["body"]).cloned(),
            Field::Header(name) => request["headers"].get(name).cloned(),
            Field::Metadata(name) => request["metadata"].get(name).cloned(),
        })
    }

    #[test]
    fn operators_hold_as_people_expect() {
        let request = json!({
            "metadata": { "plan": "paid", "age": 30, "beta": true, "level": "7" },
            "headers": { "x-tier": "gold" },
            "body": { "model": "dynamic/x", "temperature": 0.5, "tags": ["a", "b"], "messages": [{ "role": "user" }] },
        });
        for (condition, expected) in [
            (json!({"metadata.plan": "paid"}), true),
            (json!({"metadata.plan": {"$eq": "free"}}), false),
            (json!({"metadata.plan": {"$ne": "free"}}), true),
            (json!({"metadata.gone": {"$ne": "free"}}), true),
            (json!({"metadata.gone": {"$eq": "free"}}), false),
            (json!({"metadata.age": {"$gt": 29, "$lt": 31}}), true),
            (json!({"metadata.age": {"$gte": 31}}), false),
            (json!({"metadata.level": {"$gt": 6}}), true),
            (json!({"metadata.level": 7}), true),
            (json!({"metadata.beta": "true"}), true),
            (json!({"metadata.plan": {"$gt": 1}}), false),
            (json!({"metadata.plan": {"$in": ["free", "paid"]}}), true),
            (json!({"metadata.plan": {"$nin": ["free", "paid"]}}), false),
            (json!({"metadata.gone": {"$nin": [1]}}), true),
            (json!({"metadata.gone": {"$exists": false}}), true),
            (json!({"headers.X-Tier": {"$regex": "^GO", "$options": "i"}}), true),
            (json!({"headers.x-tier": {"$not": {"$regex": "old$"}}}), false),
            (json!({"body.temperature": {"$lte": 0.5}}), true),
            (json!({"body.tags": "b"}), true),
            (json!({"body.tags": {"$in": ["z"]}}), false),
            (json!({"body.messages.0.role": "user"}), true),
            (json!({"body.messages.1.role": "user"}), false),
            (json!({"$or": [{"metadata.plan": "free"}, {"headers.x-tier": "gold"}]}), true),
            (json!({"$and": [{"metadata.plan": "paid"}, {"metadata.age": 31}]}), false),
            (json!({"$nor": [{"metadata.plan": "free"}]}), true),
            (json!({"$not": {"metadata.plan": "paid"}}), false),
            (json!({"metadata.plan": "paid", "metadata.age": 30}), true),
            (json!([{"metadata.plan": "paid"}, {"metadata.age": 31}]), false),
        ] {
            assert_eq!(holds(condition.clone(), &request), expected, "{condition}");
        }
    }

    #[test]
    fn mistakes_are_told_at_their_place() {
        for (condition, path) in [
            (json!({}), ""),
            (json!("x"), ""),
            (json!({"plan": 1}), ".plan"),
            (json!({"metadata.plan": {"$eqq": 1}}), "[\"metadata.plan\"].$eqq"),
            (json!({"$xor": []}), ".$xor"),
            (json!({"$or": [{"metadata.a": 1}, {"metadata.b": {"$in": 1}}]}), ".$or[1][\"metadata.b\"].$in"),
            (json!({"metadata.a": {"$regex": "(?=x)"}}), "[\"metadata.a\"].$regex"),
            (json!({"metadata.a": {"$exists": 1}}), "[\"metadata.a\"].$exists"),
        ] {
            let problem = Condition::parse(&condition).expect_err("wrong");
            assert_eq!(problem.path, path, "{condition}");
        }
        let mut deep = json!({"metadata.a": 1});
        for _ in 0..200 {
            deep = json!({ "$not": deep });
        }
        assert!(Condition::parse(&deep).is_err());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let names =
            prop::sample::select(vec!["$eq", "$in", "$or", "$not", "$regex", "metadata.a", "body.b.0", "x"]);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a(*$]{0,4}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(names.clone(), inner, 0..4)
                    .prop_map(|map| map.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_is_a_condition_or_is_refused(condition in any_json(), value in any_json()) {
            if let Ok(condition) = Condition::parse(&condition) {
                let negated = Condition::Not(Box::new(condition.clone()));
                let find = |_: &Field| Some(value.clone());
                prop_assert_ne!(condition.holds(&find), negated.holds(&find));
            }
        }
    }
}
