//! Whether a policy applies: a subset of CEL (the Common Expression Language), parsed and evaluated here.
//!
//! There are: text, numbers, `true`, `false`, `null`, lists; fields (`metadata.team`, `metadata["cost centre"]`);
//! `! && || == != < <= > >= in ?:` and parentheses; `has(field)`, `size(x)`, `x.size()`, `x.startsWith(y)`,
//! `x.endsWith(y)`, `x.contains(y)`. There are no macros, no arithmetic and no regular expressions: an expression takes
//! time in proportion to its length, whoever wrote it.

mod parse;

use std::cmp::Ordering;

use serde_json::Value;

pub use parse::ConditionError;

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition(Expression);

#[derive(Clone, Debug, PartialEq)]
enum Expression {
    Literal(Value),
    /// A field, from the root down.
    Field(Vec<String>),
    List(Vec<Expression>),
    Not(Box<Expression>),
    Both(Box<Expression>, Box<Expression>),
    Either(Box<Expression>, Box<Expression>),
    Choice(Box<[Expression; 3]>),
    Compare(Comparison, Box<Expression>, Box<Expression>),
    Has(Vec<String>),
    Size(Box<Expression>),
    Text(TextTest, Box<Expression>, Box<Expression>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
    In,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}

/// Why an expression has no value for one request.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    #[error("`{0}` is missing")]
    Missing(String),
    #[error("{0}")]
    Type(&'static str),
}

impl Condition {
    /// Parses an expression; the empty one is always true.
    pub fn parse(text: &str) -> Result<Self, ConditionError> {
        match text.trim() {
            "" => Ok(Self(Expression::Literal(Value::Bool(true)))),
            text => parse::parse(text).map(Self),
        }
    }

    /// Whether it holds. `field` gives the value of a field by its path, or nothing.
    ///
    /// As in CEL, `&&` and `||` have a value where one side alone decides, also if the other has none.
    pub fn holds(&self, field: &dyn Fn(&[String]) -> Option<Value>) -> Result<bool, Fault> {
        truth(&self.0.value(field)?)
    }
}

impl Expression {
    fn value(&self, field: &dyn Fn(&[String]) -> Option<Value>) -> Result<Value, Fault> {
        let truth_of = |side: &Self| side.value(field).and_then(|value| truth(&value));
        Ok(match self {
            Self::Literal(value) => value.clone(),
            Self::Field(path) => field(path).ok_or_else(|| Fault::Missing(path.join(".")))?,
            Self::List(items) => {
                Value::Array(items.iter().map(|item| item.value(field)).collect::<Result<_, _>>()?)
            }
            Self::Not(inner) => Value::Bool(!truth_of(inner)?),
            Self::Both(left, right) => Value::Bool(match (truth_of(left), truth_of(right)) {
                (Ok(false), _) | (_, Ok(false)) => false,
                (left, right) => left? & right?,
            }),
            Self::Either(left, right) => Value::Bool(match (truth_of(left), truth_of(right)) {
                (Ok(true), _) | (_, Ok(true)) => true,
                (left, right) => left? | right?,
            }),
            Self::Choice(parts) => {
                let [condition, then, otherwise] = &**parts;
                if truth_of(condition)? { then.value(field)? } else { otherwise.value(field)? }
            }
            Self::Compare(how, left, right) => {
                Value::Bool(compare(*how, &left.value(field)?, &right.value(field)?)?)
            }
            Self::Has(path) => Value::Bool(field(path).is_some()),
            Self::Size(inner) => match inner.value(field)? {
                Value::String(text) => text.chars().count().into(),
                Value::Array(items) => items.len().into(),
                Value::Object(fields) => fields.len().into(),
                _ => return Err(Fault::Type("only text and lists have a size")),
            },
            Self::Text(test, text, part) => match (text.value(field)?, part.value(field)?) {
                (Value::String(text), Value::String(part)) => Value::Bool(match test {
                    TextTest::StartsWith => text.starts_with(&part),
                    TextTest::EndsWith => text.ends_with(&part),
                    TextTest::Contains => text.contains(&part),
                }),
                _ => return Err(Fault::Type("text is compared with text")),
            },
        })
    }
}

fn truth(value: &Value) -> Result<bool, Fault> {
    value.as_bool().ok_or(Fault::Type("expected true or false"))
}

fn compare(how: Comparison, left: &Value, right: &Value) -> Result<bool, Fault> {
    let ordered = || order(left, right).ok_or(Fault::Type("these cannot be put in order"));
    Ok(match how {
        Comparison::Equal => equal(left, right),
        Comparison::Unequal => !equal(left, right),
        Comparison::Less => ordered()?.is_lt(),
        Comparison::AtMost => ordered()?.is_le(),
        Comparison::Greater => ordered()?.is_gt(),
        Comparison::AtLeast => ordered()?.is_ge(),
        Comparison::In => match right {
            Value::Array(items) => items.iter().any(|item| equal(left, item)),
            Value::Object(fields) => left.as_str().is_some_and(|name| fields.contains_key(name)),
            _ => return Err(Fault::Type("`in` looks into lists")),
        },
    })
}

/// `1` and `1.0` are the same number.
fn equal(left: &Value, right: &Value) -> bool {
    left == right || order(left, right) == Some(Ordering::Equal)
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(text: &str) -> Result<bool, Fault> {
        let root = json!({
            "metadata": { "team": "red", "seat": 7, "beta": true, "cost centre": "x" },
            "cf": { "user": { "groups": ["dev", "ops"] } },
        });
        let field = |path: &[String]| path.iter().try_fold(&root, |here, name| here.get(name)).cloned();
        Condition::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).holds(&field)
    }

    #[test]
    fn expressions_mean_what_cel_says() {
        for (text, expected) in [
            ("", true),
            ("metadata.team == 'red'", true),
            (r#"metadata["cost centre"] != "y""#, true),
            ("metadata.seat > 6 && metadata.seat <= 7.0", true),
            ("metadata.team in ['blue', 'green']", false),
            ("'ops' in cf.user.groups", true),
            ("!(metadata.beta) || metadata.team.startsWith('r')", true),
            ("metadata.team.endsWith('d') && metadata.team.contains('e')", true),
            ("has(metadata.nothing) || size(metadata.team) == 3", true),
            ("cf.user.groups.size() >= 3 ? false : true", true),
            ("'in' == 'in' && metadata.seat in [7]", true),
            ("true || metadata.nothing == 1", true),
            ("metadata.nothing == 1 || true", true),
            ("metadata.nothing == 1 && false", false),
            ("false || false || true", true),
            ("-1 < 0", true),
            (r"'a\'b\u0063' == 'a\'bc'", true),
        ] {
            assert_eq!(holds(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_missing_or_of_the_wrong_type_has_no_value() {
        assert_eq!(holds("metadata.nothing == 1"), Err(Fault::Missing("metadata.nothing".to_owned())));
        for text in [
            "metadata.team",
            "metadata.team > 1",
            "1 in 2",
            "size(1) == 1",
            "!1",
            "metadata.seat.contains('x')",
        ] {
            assert!(matches!(holds(text), Err(Fault::Type(_))), "{text}");
        }
    }

    #[test]
    fn mistakes_are_refused_with_their_place() {
        for (text, place) in [
            ("metadata.team = 'red'", 15),
            ("metadata.team ==", 17),
            ("(true", 6),
            ("'open", 1),
            ("metadata.team.matches('r.*')", 15),
            ("1 + 1", 3),
            ("[1, 2", 6),
            ("has('x')", 5),
            ("true false", 6),
            ("unknown(1)", 1),
        ] {
            let error = Condition::parse(text).expect_err(text);
            assert_eq!(error.column, place, "{text}: {error}");
        }
        let deep = "(".repeat(10_000);
        assert!(Condition::parse(&deep).is_err());
        assert!(Condition::parse(&"!".repeat(10_000)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in r#"[a-z.()\[\]'"!&|=<>?:,0-9 \\u-]{0,40}"#) {
            if let Ok(condition) = Condition::parse(&text) {
                let _ = condition.holds(&|_| None);
            }
        }
    }
}
