//! Reading JSON5 into typed data with every mistake reported at its place, not only the first.
//!
//! A deserializer stops at its first error. So the field at fault is noted, blanked out in a copy of the text
//! and the rest is read again: one run shows all that is wrong.

use json5::ErrorCode;
use jsonc_parser::ast::{Object, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_path_to_error::{Path, Segment};

use crate::problem::{Problem, join, nearest};

/// More mistakes than this are not worth listing at once.
const MOST_PROBLEMS: usize = 50;

/// Reads `text`. `T` must accept any object with fields missing.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Vec<Problem>> {
    let mut remaining = text.to_owned();
    let mut problems = Vec::new();
    loop {
        let failure = match attempt(&remaining) {
            Ok(value) if problems.is_empty() => return Ok(value),
            Ok(_) => return Err(problems),
            Err(failure) => failure,
        };
        let segments = failure.segments;
        problems.push(failure.problem);
        let Some(range) = field_range(&remaining, &segments) else {
            return Err(problems);
        };
        if problems.len() == MOST_PROBLEMS {
            return Err(problems);
        }
        blank(&mut remaining, range);
    }
}

/// Fills in line and column of problems that know only their path.
pub(crate) fn locate(text: &str, problems: &mut [Problem]) {
    let Some(root) = parse(text) else { return };
    for problem in problems.iter_mut().filter(|problem| problem.line == 0) {
        if let Some(offset) = offset_of(&root, &problem.path) {
            (problem.line, problem.column) = line_and_column(text, offset);
        }
    }
}

/// Lists in the place of objects. A deserializer takes `[]` for an object with its fields in order, which nobody means.
/// In a pattern `*` stands for any name or index.
pub(crate) fn lists_for_objects(text: &str, patterns: &[&str]) -> Vec<Problem> {
    let Some(root) = parse(text) else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    for pattern in patterns {
        let mut places = vec![(String::new(), &root)];
        for part in pattern.split('.').filter(|part| !part.is_empty()) {
            places = places.into_iter().flat_map(|(path, value)| below(path, value, part)).collect();
        }
        let lists = places.into_iter().filter(|(_, value)| matches!(value, Value::Array(_)));
        problems.extend(lists.map(|(path, _)| Problem::at(path, "expected an object, found a list")));
    }
    problems
}

fn below<'v, 'a>(path: String, value: &'v Value<'a>, part: &str) -> Vec<(String, &'v Value<'a>)> {
    match value {
        Value::Object(object) => object
            .properties
            .iter()
            .filter(|property| part == "*" || property.name.as_str() == part)
            .map(|property| (join(&path, property.name.as_str()), &property.value))
            .collect(),
        Value::Array(array) if part == "*" => array
            .elements
            .iter()
            .enumerate()
            .map(|(index, value)| (format!("{path}[{index}]"), value))
            .collect(),
        _ => Vec::new(),
    }
}

struct Failure {
    problem: Problem,
    segments: Vec<Step>,
}

enum Step {
    Name(String),
    Index(usize),
}

fn attempt<T: DeserializeOwned>(text: &str) -> Result<T, Failure> {
    // Also finds text after the end, which reading into `T` alone would not.
    let well_formed = json5::from_str::<IgnoredAny>(text);
    let deserializer = &mut json5::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(deserializer);
    let (segments, error) = match (value, &well_formed) {
        (Ok(value), Ok(_)) => return Ok(value),
        (Err(error), Ok(_)) => (steps(error.path()), error.into_inner()),
        (_, Err(syntax)) => (Vec::new(), syntax.clone()),
    };
    let position = error.position().unwrap_or(json5::Position { line: 0, column: 0 });
    // json5 reports a wrong type as if it were wrong syntax.
    let root = parse(text).filter(|_| well_formed.is_ok());
    let (message, hint) = match (error.code(), &root) {
        (Some(code), Some(root)) => (wrong_type(code, value_at(root, &segments)), None),
        _ => {
            let message = error.to_string();
            explain(message.strip_suffix(&format!(" at {position}")).unwrap_or(&message))
        }
    };
    let path = written(&segments);
    // The field's own place is more useful than where the reader gave up; syntax errors have only the latter.
    let (line, column) = match root.and_then(|root| offset_of(&root, &path)) {
        Some(offset) => line_and_column(text, offset),
        None => (position.line + 1, position.column + 1),
    };
    Err(Failure { problem: Problem { path, line, column, message, hint }, segments })
}

fn wrong_type(code: ErrorCode, found: Option<&Value<'_>>) -> String {
    let expected = match code {
        ErrorCode::ExpectedNumber | ErrorCode::OverflowParsingNumber => "a whole number, 0 or more",
        ErrorCode::ExpectedOpeningBrace => "an object",
        ErrorCode::ExpectedOpeningBracket => "a list",
        ErrorCode::ExpectedString => "text in quotes",
        ErrorCode::ExpectedBool => "true or false",
        _ => "something else",
    };
    let found = match found {
        Some(Value::StringLit(_)) => "a string",
        Some(Value::NumberLit(_)) => "a number",
        Some(Value::BooleanLit(_)) => "true or false",
        Some(Value::Object(_)) => "an object",
        Some(Value::Array(_)) => "a list",
        Some(Value::NullKeyword(_)) => "null",
        None => return format!("expected {expected}"),
    };
    format!("expected {expected}, found {found}")
}

fn value_at<'v, 'a>(root: &'v Value<'a>, steps: &[Step]) -> Option<&'v Value<'a>> {
    steps.iter().try_fold(root, |here, step| match (step, here) {
        (Step::Name(name), Value::Object(object)) => property(object, name).map(|property| &property.value),
        (Step::Index(index), Value::Array(array)) => array.elements.get(*index),
        _ => None,
    })
}

/// A deserializer's message in the words of this product, without the offending value: it may be a key that
/// was pasted into the wrong field.
pub(crate) fn explain(message: &str) -> (String, Option<String>) {
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let (name, expected) = rest.split_once('`').unwrap_or((rest, ""));
        let names: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        let hint = match nearest(name, names.iter().copied()) {
            Some(meant) => Some(format!("did you mean `{meant}`?")),
            None if names.is_empty() => None,
            None => Some(format!("known here: {}", names.join(", "))),
        };
        return (format!("unknown field `{name}`"), hint);
    }
    if let Some(rest) = message.strip_prefix("unknown variant `") {
        let (name, expected) = rest.split_once('`').unwrap_or((rest, ""));
        let names: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        let hint = nearest(name, names.iter().copied()).map(|meant| format!("did you mean `{meant}`?"));
        return (format!("expected one of {}", names.join(", ")), hint);
    }
    let mismatch = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    if let Some((found, expected)) = mismatch.and_then(|rest| rest.rsplit_once(", expected ")) {
        let kind = match found.split([' ', '`']).next().unwrap_or_default() {
            "string" => "a string",
            "integer" | "floating" => "a number",
            "boolean" => "true or false",
            "map" => "an object",
            "sequence" => "a list",
            "unit" | "null" | "Option" => "null",
            _ => "something else",
        };
        return (format!("expected {}, found {kind}", plain_type(expected)), None);
    }
    (message.to_owned(), None)
}

fn plain_type(expected: &str) -> &str {
    match expected {
        "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "a boolean" => "true or false",
        "a map" => "an object",
        "a sequence" => "a list",
        _ if expected.starts_with("struct ") => "an object",
        _ => expected,
    }
}

fn steps(path: &Path) -> Vec<Step> {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Map { key } => Some(Step::Name(key.clone())),
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

fn written(steps: &[Step]) -> String {
    steps.iter().fold(String::new(), |path, step| match step {
        Step::Name(name) => join(&path, name),
        Step::Index(index) => format!("{path}[{index}]"),
    })
}

fn parse(text: &str) -> Option<Value<'_>> {
    parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default()).ok()?.value
}

/// Where the field a path names begins: its name, or the list element itself.
fn offset_of(root: &Value<'_>, path: &str) -> Option<usize> {
    let mut here = root;
    let mut offset = root.range().start;
    let mut walked = String::new();
    while walked != path {
        match here {
            Value::Object(object) => {
                let property = object.properties.iter().find(|property| {
                    let candidate = join(&walked, property.name.as_str());
                    path.strip_prefix(candidate.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
                });
                // A field that is missing is reported where its object stands.
                let Some(property) = property else {
                    return Some(offset);
                };
                walked = join(&walked, property.name.as_str());
                offset = property.range().start;
                here = &property.value;
            }
            Value::Array(array) => {
                let rest = path.strip_prefix(walked.as_str())?.strip_prefix('[')?;
                let index = rest.split(']').next()?.parse::<usize>().ok()?;
                let element = array.elements.get(index)?;
                walked = format!("{walked}[{index}]");
                offset = element.range().start;
                here = element;
            }
            _ => return Some(offset),
        }
    }
    Some(offset)
}

/// The bytes of the innermost named field on the way to a mistake, with the comma after it.
fn field_range(text: &str, steps: &[Step]) -> Option<std::ops::Range<usize>> {
    let root = parse(text)?;
    let mut here = &root;
    let mut range = None;
    for step in steps {
        match (step, here) {
            (Step::Name(name), Value::Object(object)) => {
                let property = property(object, name)?;
                range = Some(property.range().start..property.range().end);
                here = &property.value;
            }
            (Step::Index(index), Value::Array(array)) => here = array.elements.get(*index)?,
            _ => break,
        }
    }
    let mut range = range?;
    let after = &text[range.end..];
    let gap = after.len() - after.trim_start().len();
    if after[gap..].starts_with(',') {
        range.end += gap + 1;
    }
    Some(range)
}

fn property<'v, 'a>(object: &'v Object<'a>, name: &str) -> Option<&'v jsonc_parser::ast::ObjectProp<'a>> {
    // With a name given twice the later one is at fault.
    object.properties.iter().rev().find(|property| property.name.as_str() == name)
}

/// Overwrites a range with spaces; line breaks stay, so that later positions are those of the original text.
fn blank(text: &mut String, range: std::ops::Range<usize>) {
    let spaces: String =
        text[range.clone()].chars().map(|c| if c == '\n' || c == '\r' { c } else { ' ' }).collect();
    text.replace_range(range, &spaces);
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
