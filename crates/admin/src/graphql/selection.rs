//! A GraphQL query as a tree of fields: variables put in, fragments spread, directives applied.

use std::collections::HashMap;

use graphql_parser::query::{
    Definition, Directive, Document, FragmentDefinition, OperationDefinition, Selection, SelectionSet,
    Value as Written, VariableDefinition, parse_query,
};
use serde_json::{Map, Value};

use super::Problem;

/// Queries nest a handful of levels; the parser recurses.
const DEEPEST: usize = 32;
/// Fields of a query with its fragments spread.
const MOST_FIELDS: usize = 2_000;

/// One field that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) name: String,
    alias: Option<String>,
    pub(super) arguments: Map<String, Value>,
    pub(super) fields: Vec<Field>,
}

impl Field {
    /// Its name in the answer.
    pub(super) fn key(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.name)
    }
}

/// The fields of the operation with this name, or of the only one.
pub(super) fn read(
    text: &str,
    operation: Option<&str>,
    variables: &Map<String, Value>,
) -> Result<Vec<Field>, Problem> {
    if is_too_deep(text) {
        return Err(Problem::new(format!("the query is nested deeper than {DEEPEST} levels")));
    }
    let document: Document<'_, String> = parse_query(text).map_err(|error| {
        let error = error.to_string();
        let line = error.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        Problem::new(format!("the query cannot be read: {}", line.chars().take(200).collect::<String>()))
    })?;
    let (definitions, selection) = chosen(&document, operation)?;
    let fragments = document.definitions.iter().filter_map(|definition| match definition {
        Definition::Fragment(fragment) => Some((fragment.name.as_str(), fragment)),
        Definition::Operation(_) => None,
    });
    let mut reader = Reader {
        variables: given(definitions, variables)?,
        fragments: fragments.collect(),
        left: MOST_FIELDS,
    };
    let mut fields = Vec::new();
    reader.collect(selection, &mut fields, 0)?;
    Ok(fields)
}

type Variables<'a> = &'a [VariableDefinition<'a, String>];
type Chosen<'a> = (Variables<'a>, &'a SelectionSet<'a, String>);

fn chosen<'a>(document: &'a Document<'a, String>, wanted: Option<&str>) -> Result<Chosen<'a>, Problem> {
    let operations: Vec<_> = document
        .definitions
        .iter()
        .filter_map(|definition| match definition {
            Definition::Operation(operation) => Some(operation),
            Definition::Fragment(_) => None,
        })
        .collect();
    let name = |operation: &OperationDefinition<'a, String>| match operation {
        OperationDefinition::Query(query) => query.name.clone(),
        _ => None,
    };
    let found = match (wanted.filter(|name| !name.is_empty()), operations.as_slice()) {
        (Some(wanted), all) => all.iter().find(|operation| name(operation).as_deref() == Some(wanted)),
        (None, [only]) => Some(only),
        (None, []) => return Err(Problem::new("the query holds no operation")),
        (None, _) => {
            return Err(Problem::new("the query holds several operations; name one in operationName"));
        }
    };
    match found {
        Some(OperationDefinition::SelectionSet(selection)) => Ok((&[], selection)),
        Some(OperationDefinition::Query(query)) => Ok((&query.variable_definitions, &query.selection_set)),
        Some(_) => Err(Problem::new("only queries are answered here")),
        None => Err(Problem::new("there is no operation of that name")),
    }
}

/// The variables of the operation: as sent, else their defaults.
fn given<'a>(
    definitions: Variables<'a>,
    sent: &Map<String, Value>,
) -> Result<HashMap<&'a str, Value>, Problem> {
    let none = HashMap::new();
    definitions
        .iter()
        .filter_map(|definition| {
            let value = match (sent.get(&definition.name), &definition.default_value) {
                (Some(value), _) => Ok(value.clone()),
                (None, Some(default)) => plain(default, &none),
                (None, None) => return None,
            };
            Some(value.map(|value| (definition.name.as_str(), value)))
        })
        .collect()
}

struct Reader<'a> {
    variables: HashMap<&'a str, Value>,
    fragments: HashMap<&'a str, &'a FragmentDefinition<'a, String>>,
    left: usize,
}

impl<'a> Reader<'a> {
    fn collect(
        &mut self,
        selection: &'a SelectionSet<'a, String>,
        fields: &mut Vec<Field>,
        depth: usize,
    ) -> Result<(), Problem> {
        if depth > DEEPEST {
            return Err(Problem::new("the query's fragments are nested too deeply, or hold each other"));
        }
        for item in &selection.items {
            self.left = self
                .left
                .checked_sub(1)
                .ok_or_else(|| Problem::new(format!("the query asks for more than {MOST_FIELDS} fields")))?;
            match item {
                Selection::Field(field) if self.is_wanted(&field.directives)? => {
                    let mut arguments = Map::new();
                    for (name, value) in &field.arguments {
                        arguments.insert(name.clone(), plain(value, &self.variables)?);
                    }
                    let mut below = Vec::new();
                    self.collect(&field.selection_set, &mut below, depth + 1)?;
                    let field = Field {
                        name: field.name.clone(),
                        alias: field.alias.clone(),
                        arguments,
                        fields: below,
                    };
                    merge(fields, field);
                }
                Selection::InlineFragment(fragment) if self.is_wanted(&fragment.directives)? => {
                    self.collect(&fragment.selection_set, fields, depth + 1)?;
                }
                Selection::FragmentSpread(spread) if self.is_wanted(&spread.directives)? => {
                    let found = self.fragments.get(spread.fragment_name.as_str()).copied();
                    let fragment = found.ok_or_else(|| {
                        let name: String = spread.fragment_name.chars().take(64).collect();
                        Problem::new(format!("there is no fragment \"{name}\""))
                    })?;
                    self.collect(&fragment.selection_set, fields, depth + 1)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// `@include(if:)` and `@skip(if:)`.
    fn is_wanted(&self, directives: &[Directive<'a, String>]) -> Result<bool, Problem> {
        for directive in directives {
            let condition = directive.arguments.iter().find(|(name, _)| name == "if");
            let holds = match condition {
                Some((_, value)) => plain(value, &self.variables)? == Value::Bool(true),
                None => continue,
            };
            if directive.name == "skip" && holds || directive.name == "include" && !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The same field asked for twice is one field with all that was asked of it.
fn merge(fields: &mut Vec<Field>, field: Field) {
    match fields.iter_mut().find(|known| known.key() == field.key() && known.name == field.name) {
        Some(known) => {
            for below in field.fields {
                merge(&mut known.fields, below);
            }
        }
        None => fields.push(field),
    }
}

/// An argument as JSON. A variable that was not sent is `null`.
fn plain(written: &Written<'_, String>, variables: &HashMap<&str, Value>) -> Result<Value, Problem> {
    Ok(match written {
        Written::Variable(name) => variables.get(name.as_str()).cloned().unwrap_or(Value::Null),
        Written::Int(number) => number.as_i64().map_or(Value::Null, Value::from),
        Written::Float(number) => Value::from(*number),
        Written::String(text) | Written::Enum(text) => Value::from(text.as_str()),
        Written::Boolean(flag) => Value::from(*flag),
        Written::Null => Value::Null,
        Written::List(items) => {
            Value::Array(items.iter().map(|item| plain(item, variables)).collect::<Result<_, _>>()?)
        }
        Written::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| Ok((name.clone(), plain(value, variables)?)));
            Value::Object(fields.collect::<Result<_, Problem>>()?)
        }
    })
}

/// Counts brackets outside of strings and comments, so that the parser never recurses further than this.
fn is_too_deep(text: &str) -> bool {
    let mut depth = 0_usize;
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = match byte {
            b'#' => &after[after.iter().position(|byte| b"\n\r".contains(byte)).unwrap_or(after.len())..],
            b'"' => after_string(after),
            _ => after,
        };
        match byte {
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return true;
        }
    }
    false
}

/// What follows a string or block string whose first quote has been read. One that does not end is no string, and
/// nothing in it is skipped.
fn after_string(text: &[u8]) -> &[u8] {
    let (quote, text): (&[u8], _) = match text.strip_prefix(b"\"\"") {
        Some(block) => (b"\"\"\"", block),
        None => (b"\"", text),
    };
    let mut at = 0;
    while at < text.len() {
        match &text[at..] {
            [b'\\', ..] => at += 2,
            [b'\n' | b'\r', ..] if quote.len() == 1 => return text,
            rest if rest.starts_with(quote) => return &rest[quote.len()..],
            _ => at += 1,
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read_with(text: &str, variables: Value) -> Result<Vec<Field>, String> {
        let variables = variables.as_object().cloned().unwrap_or_default();
        read(text, None, &variables).map_err(|problem| problem.message)
    }

    #[test]
    fn variables_fragments_aliases_and_directives_become_plain_fields() {
        let text = "query Q($tag: String!, $n: Int = 5, $no: Boolean) {
            viewer { mine: accounts(filter: {accountTag: $tag, n: [$n, 1.5, X]}) { ...F gone @skip(if: true) } }
        }
        fragment F on account { a ... on account { b @include(if: $no) } a { c } }";
        let fields = read_with(text, json!({ "tag": "t" })).unwrap();
        let accounts = &fields[0].fields[0];
        assert_eq!(accounts.key(), "mine");
        assert_eq!(accounts.arguments["filter"], json!({ "accountTag": "t", "n": [5, 1.5, "X"] }));
        let names: Vec<_> = accounts.fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["a"]);
        assert_eq!(accounts.fields[0].fields[0].name, "c");
    }

    #[test]
    fn what_would_not_end_is_refused() {
        let circle = "{ ...A } fragment A on X { a { ...B } } fragment B on X { b { ...A } }";
        assert!(read_with(circle, json!({})).unwrap_err().contains("hold each other"));
        let deep = format!("{}a{}", "{a".repeat(5_000), "}".repeat(5_000));
        assert!(read_with(&deep, json!({})).unwrap_err().contains("deeper"));
        let hidden = format!("{}b{}", "{a(x:\"}\")".repeat(5_000), "}".repeat(5_000));
        assert!(read_with(&hidden, json!({})).unwrap_err().contains("deeper"));
        let bomb: String = (0..12)
            .map(|n| format!("fragment F{n} on X {{ a{n} {{ ...F{m} }} b{n} {{ ...F{m} }} }} ", m = n + 1))
            .collect();
        let bomb = format!("{{ ...F0 }} {bomb} fragment F12 on X {{ z }}");
        assert!(read_with(&bomb, json!({})).unwrap_err().contains("more than"));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, said) in [
            ("", "cannot be read"),
            ("{ a", "cannot be read"),
            ("mutation { a }", "only queries"),
            ("{ ...Nope }", "no fragment"),
            ("query A { a } query B { b }", "several operations"),
            ("fragment F on X { a }", "no operation"),
        ] {
            let error = read_with(text, json!({})).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "[{}()\\[\\]a-c:$@!,.\"# \n1-9-]{0,80}") {
            let _ = read_with(&text, json!({ "a": 1 }));
        }
    }
}
