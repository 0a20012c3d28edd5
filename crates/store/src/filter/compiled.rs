//! Conditions, checked once and made ready to be tried on millions of records.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use uuid::Uuid;

use super::{
    LogCondition, LogField, LogFilter, LogValue, Operator,
    field::{Found, Head},
};
use crate::{Error, ErrorKind, Outcome, Result, annotation::Annotation};

/// A filter's conditions and search. What comes before and after, order and limits are the reader's.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(super) tests: Vec<Test>,
    /// In lower case.
    pub(super) search: Option<Vec<u8>>,
}

#[derive(Debug)]
pub(super) struct Test {
    pub(super) field: LogField,
    pub(super) operator: Operator,
    pub(super) values: Values,
}

/// All of the kind the field has.
#[derive(Debug)]
pub(super) enum Values {
    Texts(Vec<String>),
    /// In lower case, for [`Operator::Contains`].
    Parts(Vec<Vec<u8>>),
    Numbers(Vec<i64>),
    Flags(Vec<bool>),
    Ids(Vec<Uuid>),
}

impl Compiled {
    /// An error of kind [`ErrorKind::Invalid`] if a value is not of the field's kind.
    pub(crate) fn new(filter: &LogFilter) -> Result<Self> {
        Ok(Self {
            tests: filter.conditions.iter().map(Test::new).collect::<Result<_>>()?,
            search: filter.search.as_ref().map(|search| search.to_ascii_lowercase().into_bytes()),
        })
    }

    /// Whether a record can only be judged together with what was noted about it later.
    pub(crate) fn needs_annotations(&self) -> bool {
        self.tests.iter().any(Test::is_annotated)
    }

    pub(crate) fn matches(&self, head: &Head<'_>, annotation: Option<&Annotation>) -> bool {
        self.tests.iter().all(|test| test.holds(head.find(test.field, annotation)))
            && self.search.as_ref().is_none_or(|wanted| {
                [head.model, head.path, head.error].iter().any(|text| has_part(text, wanted))
            })
    }

    /// The closed range of a number that can match, as far as comparisons with a single value say.
    pub(crate) fn range(&self, field: LogField) -> (i64, i64) {
        let mut range = (i64::MIN, i64::MAX);
        for test in self.tests.iter().filter(|test| test.field == field) {
            let Values::Numbers(values) = &test.values else { continue };
            let (Some(least), Some(most)) = (values.iter().min(), values.iter().max()) else { continue };
            match test.operator {
                Operator::Equal => range = (range.0.max(*least), range.1.min(*most)),
                Operator::Greater => range.0 = range.0.max(least.saturating_add(1)),
                Operator::AtLeast => range.0 = range.0.max(*least),
                Operator::Less => range.1 = range.1.min(most.saturating_sub(1)),
                Operator::AtMost => range.1 = range.1.min(*most),
                Operator::NotEqual | Operator::Contains => {}
            }
        }
        range
    }

    /// Whether the conditions on this number say no more than [`Compiled::range`].
    pub(crate) fn is_range(&self, field: LogField) -> bool {
        const BOUNDS: [Operator; 4] =
            [Operator::Greater, Operator::AtLeast, Operator::Less, Operator::AtMost];
        self.tests.iter().filter(|test| test.field == field).all(|test| BOUNDS.contains(&test.operator))
    }

    /// Whether text in this field can match. For fields many records have in common.
    pub(crate) fn allows_text(&self, field: LogField, text: &str) -> bool {
        self.tests.iter().filter(|test| test.field == field).all(|test| test.holds(Found::Text(text)))
    }

    /// Only what did not succeed can match.
    pub(crate) fn wants_failures(&self) -> bool {
        self.tests.iter().any(|test| match test.field {
            LogField::Success => !test.holds(Found::Flag(true)),
            LogField::Outcome => !test.holds(Found::Text(Outcome::Success.name())),
            _ => false,
        })
    }

    /// Conditions on anything but these fields, or a search.
    pub(crate) fn asks_beyond(&self, fields: &[LogField]) -> bool {
        self.search.is_some() || self.tests.iter().any(|test| !fields.contains(&test.field))
    }

    /// Ids that alone can match, if a condition lists them.
    pub(crate) fn ids(&self) -> Option<&[Uuid]> {
        self.tests.iter().find_map(|test| match (&test.values, test.operator) {
            (Values::Ids(ids), Operator::Equal) => Some(ids.as_slice()),
            _ => None,
        })
    }
}

impl Test {
    fn new(condition: &LogCondition) -> Result<Self> {
        let LogCondition { field, operator, values } = condition;
        let contains = *operator == Operator::Contains;
        let sample = EMPTY.find(*field, None);
        let values = match sample {
            Found::Number(_) if !contains => Values::Numbers(all(values, |value| number(*field, value))?),
            Found::Flag(_) if !contains => Values::Flags(all(values, |value| flag(*field, value))?),
            Found::Id(_) if !contains => Values::Ids(all(values, id)?),
            _ if contains => {
                let part = |value: &LogValue| Ok(text(value).to_ascii_lowercase().into_bytes());
                Values::Parts(all(values, part)?)
            }
            _ => Values::Texts(all(values, |value| Ok(text(value)))?),
        };
        Ok(Self { field: *field, operator: *operator, values })
    }

    /// What is noted later may change whether it holds.
    pub(super) fn is_annotated(&self) -> bool {
        const LATER: [LogField; 4] =
            [LogField::Feedback, LogField::MetadataKey, LogField::MetadataValue, LogField::Cost];
        LATER.contains(&self.field)
    }

    pub(super) fn holds(&self, found: Found<'_>) -> bool {
        match (&self.values, found) {
            (Values::Numbers(values), Found::Number(number)) => match number {
                Some(number) => compare(self.operator, values, &number),
                None => self.operator == Operator::NotEqual,
            },
            (Values::Flags(values), Found::Flag(flag)) => compare(self.operator, values, &flag),
            (Values::Ids(values), Found::Id(id)) => compare(self.operator, values, &id),
            (Values::Texts(values), Found::Text(text)) => compare_text(self.operator, values, text),
            (Values::Parts(parts), Found::Text(text)) => parts.iter().any(|part| has_part(text, part)),
            (Values::Parts(parts), Found::Number(number)) => number.is_some_and(|number| {
                let text = number.to_string();
                parts.iter().any(|part| has_part(&text, part))
            }),
            (Values::Parts(parts), Found::Flag(flag)) => {
                let text = if flag { "true" } else { "false" };
                parts.iter().any(|part| has_part(text, part))
            }
            (Values::Parts(parts), Found::Id(id)) => {
                let text = id.to_string();
                parts.iter().any(|part| has_part(&text, part))
            }
            (_, Found::IdText(id)) => {
                self.holds_text(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
            }
            (_, Found::Keys(json)) => self.some_entry(json, |key, _| self.holds_text(key)),
            (_, Found::Values(json)) => self.some_entry(json, |_, value| self.holds_text(value)),
            _ => false,
        }
    }

    /// Whether some entry passes; for [`Operator::NotEqual`], whether all do.
    fn some_entry(&self, json: &str, passes: impl Fn(&str, &str) -> bool) -> bool {
        let (mut some, mut all) = (false, true);
        each_entry(json, |key, value| {
            let passes = passes(key, value);
            (some, all) = (some | passes, all & passes);
        });
        if self.operator == Operator::NotEqual { all } else { some }
    }

    pub(super) fn holds_text(&self, text: &str) -> bool {
        match &self.values {
            Values::Texts(values) => compare_text(self.operator, values, text),
            Values::Parts(parts) => parts.iter().any(|part| has_part(text, part)),
            _ => false,
        }
    }
}

fn compare<T: PartialOrd>(operator: Operator, values: &[T], found: &T) -> bool {
    match operator {
        Operator::Equal => values.iter().any(|value| found == value),
        Operator::NotEqual => values.iter().all(|value| found != value),
        Operator::Greater => values.iter().any(|value| found > value),
        Operator::AtLeast => values.iter().any(|value| found >= value),
        Operator::Less => values.iter().any(|value| found < value),
        Operator::AtMost => values.iter().any(|value| found <= value),
        Operator::Contains => false,
    }
}

fn compare_text(operator: Operator, values: &[String], found: &str) -> bool {
    match operator {
        Operator::Equal => values.iter().any(|value| found == value),
        Operator::NotEqual => values.iter().all(|value| found != value),
        Operator::Greater => values.iter().any(|value| found > value.as_str()),
        Operator::AtLeast => values.iter().any(|value| found >= value.as_str()),
        Operator::Less => values.iter().any(|value| found < value.as_str()),
        Operator::AtMost => values.iter().any(|value| found <= value.as_str()),
        Operator::Contains => false,
    }
}

/// Whether `part`, in lower case, is somewhere in `text`.
pub(super) fn has_part(text: &str, part: &[u8]) -> bool {
    let text = text.as_bytes();
    part.is_empty() || text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

/// A metadata value as it is compared and counted: strings without quotes.
pub(crate) fn value_text(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Key and value, as they are compared, of each entry of a JSON object; nothing if the text is empty.
pub(crate) fn each_entry(json: &str, mut visit: impl FnMut(&str, &str)) {
    if json.is_empty() {
        return;
    }
    let entries: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap_or_default();
    for (key, value) in &entries {
        match value {
            serde_json::Value::String(text) => visit(key, text),
            other => visit(key, &other.to_string()),
        }
    }
}

fn all<T>(values: &[LogValue], read: impl Fn(&LogValue) -> Result<T>) -> Result<Vec<T>> {
    values.iter().map(read).collect()
}

fn text(value: &LogValue) -> String {
    match value {
        LogValue::Text(text) => text.clone(),
        LogValue::Integer(number) => number.to_string(),
        LogValue::Flag(flag) => flag.to_string(),
    }
}

fn number(field: LogField, value: &LogValue) -> Result<i64> {
    match value {
        LogValue::Integer(number) => Ok(*number),
        LogValue::Flag(flag) => Ok((*flag).into()),
        LogValue::Text(text) => {
            let time = || {
                let date = || text.parse::<Date>()?.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp());
                text.parse::<Timestamp>().or_else(|_| date()).ok().map(Timestamp::as_millisecond)
            };
            let number = text.parse().ok();
            let number = if field == LogField::CreatedAt { number.or_else(time) } else { number };
            number.ok_or_else(|| invalid(field, "a number, or for created_at a time as RFC 3339 writes it"))
        }
    }
}

fn flag(field: LogField, value: &LogValue) -> Result<bool> {
    match value {
        LogValue::Flag(flag) => Ok(*flag),
        LogValue::Integer(number @ (0 | 1)) => Ok(*number == 1),
        LogValue::Text(text) if text == "true" || text == "1" => Ok(true),
        LogValue::Text(text) if text == "false" || text == "0" => Ok(false),
        _ => Err(invalid(field, "true or false")),
    }
}

fn id(value: &LogValue) -> Result<Uuid> {
    Uuid::try_parse(&text(value)).map_err(|_| invalid(LogField::Id, "a log id, which is a UUID"))
}

fn invalid(field: LogField, wanted: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("the filter on {field:?} must be compared with {wanted}"))
}

/// Tells of which kind a field is; what a head that is known in part is made of.
pub(super) const EMPTY: Head<'static> = Head {
    id: Uuid::nil(),
    created_at_ms: 0,
    account: "",
    gateway: "",
    provider: "",
    model: "",
    token_id: "",
    status: 0,
    outcome: Outcome::Success,
    cached: false,
    simulated: false,
    stream: false,
    custom_cost: false,
    dialect: None,
    step: 0,
    duration_ms: 0,
    first_byte_ms: None,
    usage: None,
    cost_nano_usd: None,
    metadata: "",
    event_id: Some(""),
    path: "",
    method: "",
    error: "",
    user_agent: "",
    request_content_type: "",
    response_content_type: "",
};
