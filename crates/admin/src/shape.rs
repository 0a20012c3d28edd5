//! What a value of the API looks like: one table checks what clients send and describes it in the OpenAPI document, so
//! that the two cannot differ.

use genesis_config::Problem;
use genesis_config::problem::nearest;
use serde_json::{Map, Value, json};

/// The shape of a JSON value, or of a query parameter.
pub(crate) enum Shape {
    /// At most so many characters, at least one.
    Text(usize),
    /// Text that may be empty.
    Prose(usize),
    Whole(i64, i64),
    Number,
    Flag,
    /// ISO 8601 with offset.
    Moment,
    OneOf(&'static [&'static str]),
    /// Text, number or flag.
    Scalar,
    Anything,
    List(&'static Shape),
    /// Any names, values of this shape.
    Map(&'static Shape),
    /// These names and no other.
    Object(&'static [Field]),
    /// `null` counts as the field not being there.
    Nullable(&'static Shape),
    /// Checked by whoever reads it, described by this JSON Schema.
    Described(fn() -> Value),
}

/// A field of an object.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) shape: Shape,
}

pub(crate) const fn must(name: &'static str, shape: Shape) -> Field {
    Field { name, required: true, shape }
}

pub(crate) const fn may(name: &'static str, shape: Shape) -> Field {
    Field { name, required: false, shape }
}

/// A parameter of the query string.
pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) about: &'static str,
}

pub(crate) const fn param(name: &'static str, shape: Shape, about: &'static str) -> Param {
    Param { name, shape, about }
}

impl Shape {
    /// Everything wrong with a value. Paths are dotted, with indexes as names.
    pub(crate) fn check(&self, value: &Value) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.look(value, "", &mut problems);
        problems
    }

    fn look(&self, value: &Value, path: &str, problems: &mut Vec<Problem>) {
        let mut wrong = |message: String| problems.push(Problem::at(path, message));
        match (self, value) {
            (Self::Nullable(_), Value::Null) | (Self::Anything | Self::Described(_), _) => {}
            (Self::Nullable(shape), _) => shape.look(value, path, problems),
            (Self::Text(most) | Self::Prose(most), Value::String(text)) => {
                let length = text.chars().count();
                if length > *most {
                    wrong(format!("String must contain at most {most} character(s)"));
                } else if length == 0 && matches!(self, Self::Text(_)) {
                    wrong("String must contain at least 1 character(s)".to_owned());
                }
            }
            (Self::Whole(least, most), Value::Number(number)) => match whole(number) {
                None => wrong("Expected integer, received float".to_owned()),
                Some(number) if number < i128::from(*least) => {
                    wrong(format!("Number must be greater than or equal to {least}"));
                }
                Some(number) if number > i128::from(*most) => {
                    wrong(format!("Number must be less than or equal to {most}"));
                }
                Some(_) => {}
            },
            (Self::Number, Value::Number(_)) | (Self::Flag, Value::Bool(_)) => {}
            (Self::Scalar, Value::String(_) | Value::Number(_) | Value::Bool(_)) => {}
            (Self::Moment, Value::String(text)) => {
                if text.parse::<jiff::Timestamp>().is_err() {
                    wrong("Invalid datetime; write it like 2026-11-22T12:00:00Z".to_owned());
                }
            }
            (Self::OneOf(words), Value::String(text)) => {
                if !words.contains(&text.as_str()) {
                    let expected: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
                    wrong(format!(
                        "Invalid enum value. Expected {}, received '{}'",
                        expected.join(" | "),
                        text.chars().take(64).collect::<String>()
                    ));
                }
            }
            (Self::List(shape), Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    shape.look(item, &below(path, &index.to_string()), problems);
                }
            }
            (Self::Map(shape), Value::Object(map)) => {
                for (name, value) in map {
                    shape.look(value, &below(path, name), problems);
                }
            }
            (Self::Object(fields), Value::Object(map)) => look_at_fields(fields, map, path, problems),
            _ => wrong(format!("Expected {}, received {}", self.word(), kind_of(value))),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Prose(_) | Self::OneOf(_) | Self::Moment => "string",
            Self::Whole(..) | Self::Number => "number",
            Self::Flag => "boolean",
            Self::Scalar => "string, number or boolean",
            Self::Anything | Self::Described(_) => "anything",
            Self::List(_) => "array",
            Self::Map(_) | Self::Object(_) => "object",
            Self::Nullable(shape) => shape.word(),
        }
    }

    /// The value a query parameter stands for; text that is none is left to [`Shape::check`].
    pub(crate) fn read(&self, text: &str) -> Value {
        let as_json = || serde_json::from_str(text).ok();
        let read = match self {
            Self::Whole(..) | Self::Number => as_json().filter(Value::is_number),
            Self::Flag => match text {
                "true" | "1" => Some(Value::Bool(true)),
                "false" | "0" => Some(Value::Bool(false)),
                _ => None,
            },
            _ => None,
        };
        read.unwrap_or_else(|| Value::from(text))
    }

    /// JSON Schema, 2020-12.
    pub(crate) fn schema(&self) -> Value {
        match self {
            Self::Text(most) => json!({ "type": "string", "minLength": 1, "maxLength": most }),
            Self::Prose(most) => json!({ "type": "string", "maxLength": most }),
            Self::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
            Self::Number => json!({ "type": "number" }),
            Self::Flag => json!({ "type": "boolean" }),
            Self::Moment => json!({ "type": "string", "format": "date-time" }),
            Self::OneOf(words) => json!({ "type": "string", "enum": words }),
            Self::Scalar => json!({ "type": ["string", "number", "boolean"] }),
            Self::Anything => json!({}),
            Self::List(shape) => json!({ "type": "array", "items": shape.schema() }),
            Self::Map(shape) => json!({ "type": "object", "additionalProperties": shape.schema() }),
            Self::Object(fields) => object_schema(fields),
            Self::Nullable(shape) => json!({ "anyOf": [shape.schema(), { "type": "null" }] }),
            Self::Described(schema) => schema(),
        }
    }
}

fn look_at_fields(fields: &[Field], map: &Map<String, Value>, path: &str, problems: &mut Vec<Problem>) {
    for field in fields {
        match map.get(field.name) {
            Some(value) => field.shape.look(value, &below(path, field.name), problems),
            None if field.required => problems.push(Problem::at(below(path, field.name), "Required")),
            None => {}
        }
    }
    for (name, value) in map {
        // `null` takes nothing away from what the client asked for.
        if value.is_null() || fields.iter().any(|field| field.name == name) {
            continue;
        }
        let shown: String = name.chars().take(64).collect();
        let problem = Problem::at(below(path, name), format!("Unrecognized key(s) in object: '{shown}'"));
        let meant = nearest(name, fields.iter().map(|field| field.name));
        problems.push(match meant {
            Some(meant) => problem.with_hint(format!("did you mean `{meant}`?")),
            None => problem,
        });
    }
}

fn object_schema(fields: &[Field]) -> Value {
    let properties: Map<_, _> =
        fields.iter().map(|field| (field.name.to_owned(), field.shape.schema())).collect();
    let required: Vec<_> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

/// Whole numbers may be written with a fraction of zero.
fn whole(number: &serde_json::Number) -> Option<i128> {
    let exact = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    exact.or_else(|| {
        let number = number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 1e15)?;
        Some(number as i128)
    })
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape::Object(&[
        must("name", Shape::Text(5)),
        may("count", Shape::Nullable(&Shape::Whole(0, 9))),
        may("kind", Shape::OneOf(&["a", "b"])),
        may("tags", Shape::List(&Shape::Text(3))),
    ]);

    fn said(value: &Value) -> Vec<String> {
        let problems = SHAPE.check(value);
        problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
    }

    #[test]
    fn every_mistake_is_named_at_its_place() {
        let value = json!({ "count": 10, "kind": "c", "tags": ["abc", "abcd", 5], "nam": "x" });
        assert_eq!(
            said(&value),
            [
                "name: Required",
                "count: Number must be less than or equal to 9",
                "kind: Invalid enum value. Expected 'a' | 'b', received 'c'",
                "tags.1: String must contain at most 3 character(s)",
                "tags.2: Expected string, received number",
                "nam: Unrecognized key(s) in object: 'nam'",
            ]
        );
        assert_eq!(SHAPE.check(&value)[5].hint.as_deref(), Some("did you mean `name`?"));
    }

    #[test]
    fn null_and_whole_fractions_pass_where_they_mean_nothing_else() {
        assert!(said(&json!({ "name": "x", "count": null, "unknown": null })).is_empty());
        assert!(said(&json!({ "name": "x", "count": 3.0 })).is_empty());
        assert_eq!(said(&json!({ "name": "x", "count": 3.5 })), ["count: Expected integer, received float"]);
        assert_eq!(said(&json!({ "name": null })), ["name: Expected string, received null"]);
    }
}
