//! One value of the file's text read, set or removed: comments, order and quoting of everything else stay.
//!
//! Nothing here knows which fields exist; [`crate::File::parse`] says whether the result is a good file.

use std::fmt;
use std::str::FromStr;

use jsonc_parser::ast::{self, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::cst::{
    CstArray, CstContainerNode, CstInputValue, CstNode, CstObject, CstObjectProp, CstRootNode, ObjectPropName,
};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use crate::problem::join;

/// A place in the file: names with dots between them, `[0]` for an element of a list, `["a.b"]` for a name with
/// anything in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Path {
    steps: Vec<Step>,
}

/// One step down into a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    Name(String),
    Index(usize),
}

/// A value to be written, as typed: numbers keep their digits, objects their order.
#[derive(Clone, Debug)]
pub struct NewValue(CstInputValue);

/// Why a text was not edited.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EditError {
    #[error("the file cannot be read as JSON5")]
    Syntax,
    #[error("{path} is {found}, so nothing can be put below it")]
    NoPlace { path: String, found: &'static str },
    #[error("{path} has {length} elements; the next one is [{length}]")]
    Gap { path: String, length: usize },
}

/// Why a text is no [`Path`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is no path: {reason}")]
pub struct PathError {
    text: String,
    reason: &'static str,
}

impl Path {
    /// A path of names.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let steps = names.into_iter().map(|name| Step::Name(name.to_owned()));
        Self { steps: steps.collect() }
    }

    /// This path and one more name.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        let mut path = self.clone();
        path.steps.push(Step::Name(name.to_owned()));
        path
    }

    /// From the root down; at least one.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let wrong = |reason| PathError { text: text.to_owned(), reason };
        let mut steps = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            if let Some(inside) = rest.strip_prefix('[') {
                let (step, after) = bracket(inside).map_err(wrong)?;
                steps.push(step);
                rest = after;
            } else {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                if end == 0 {
                    return Err(wrong("a name is missing before a dot"));
                }
                if rest[..end].contains([']', '"', '\'']) {
                    return Err(wrong("a name with special characters stands in `[\"…\"]`"));
                }
                steps.push(Step::Name(rest[..end].to_owned()));
                rest = &rest[end..];
            }
            if let Some(after) = rest.strip_prefix('.') {
                if after.is_empty() || after.starts_with('[') {
                    return Err(wrong("a name is missing after a dot"));
                }
                rest = after;
            } else if !rest.is_empty() && !rest.starts_with('[') {
                return Err(wrong("a dot is missing after a bracket"));
            }
        }
        if steps.is_empty() {
            return Err(wrong("it names nothing"));
        }
        Ok(Self { steps })
    }
}

/// What stands in a bracket, and what follows it.
fn bracket(inside: &str) -> Result<(Step, &str), &'static str> {
    if let Some(quote @ ('"' | '\'')) = inside.chars().next() {
        let mut name = String::new();
        let mut letters = inside[1..].char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '\\' => name.extend(letters.next().map(|(_, escaped)| escaped)),
                _ if letter == quote => {
                    let after = &inside[at + 2..];
                    let after = after.strip_prefix(']').ok_or("a bracket is not closed")?;
                    return Ok((Step::Name(name), after));
                }
                _ => name.push(letter),
            }
        }
        return Err("a quote is not closed");
    }
    let (index, after) = inside.split_once(']').ok_or("a bracket is not closed")?;
    let index = index.parse().map_err(|_| "in brackets stands a number, or a name in quotes")?;
    Ok((Step::Index(index), after))
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&written(&self.steps))
    }
}

fn written(steps: &[Step]) -> String {
    steps.iter().fold(String::new(), |path, step| match step {
        Step::Name(name) => join(&path, name),
        Step::Index(index) => format!("{path}[{index}]"),
    })
}

impl NewValue {
    /// Reads JSON5; `None` if the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        // The reader of the file decides what JSON5 is; the editor's parser takes more.
        let value = parse(text)?;
        json5::from_str::<serde::de::IgnoredAny>(text).ok()?;
        Some(Self(input(&value)))
    }

    pub fn text(text: &str) -> Self {
        Self(CstInputValue::String(text.to_owned()))
    }

    pub fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self(CstInputValue::Array(texts.into_iter().map(CstInputValue::from).collect()))
    }
}

fn input(value: &Value<'_>) -> CstInputValue {
    match value {
        Value::NullKeyword(_) => CstInputValue::Null,
        Value::BooleanLit(literal) => CstInputValue::Bool(literal.value),
        Value::NumberLit(literal) => CstInputValue::Number(literal.value.to_owned()),
        Value::StringLit(literal) => CstInputValue::String(literal.value.to_string()),
        Value::Array(array) => CstInputValue::Array(array.elements.iter().map(input).collect()),
        Value::Object(object) => CstInputValue::Object(
            object
                .properties
                .iter()
                .map(|property| (property.name.as_str().to_owned(), input(&property.value)))
                .collect(),
        ),
    }
}

/// The value at a path; `None` if there is none, or if the text cannot be read.
pub fn value_at(text: &str, path: &Path) -> Option<serde_json::Value> {
    let root = parse(text)?;
    let found = path.steps.iter().try_fold(&root, |here, step| match (step, here) {
        (Step::Name(name), Value::Object(object)) => last_of(object, name).map(|property| &property.value),
        (Step::Index(index), Value::Array(array)) => array.elements.get(*index),
        _ => None,
    })?;
    json5::from_str(&text[found.range().start..found.range().end]).ok()
}

/// The whole file as one value; `None` if the text cannot be read.
pub fn whole(text: &str) -> Option<serde_json::Value> {
    if text.trim().is_empty() {
        return Some(serde_json::json!({}));
    }
    (!is_too_deep(text)).then(|| json5::from_str(text).ok())?
}

/// With a name given twice the later one counts.
fn last_of<'v, 'a>(object: &'v ast::Object<'a>, name: &str) -> Option<&'v ast::ObjectProp<'a>> {
    object.properties.iter().rev().find(|property| property.name.as_str() == name)
}

fn parse(text: &str) -> Option<Value<'_>> {
    if is_too_deep(text) {
        return None;
    }
    parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default()).ok()?.value
}

/// Nesting that no configuration has and that would use up a parser's stack. Brackets in texts and comments count too,
/// which does no harm: they close again.
pub(crate) fn is_too_deep(text: &str) -> bool {
    let mut depth = 0_usize;
    text.bytes().any(|byte| {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > DEEPEST
    })
}

const DEEPEST: usize = 200;

fn read(text: &str) -> Result<CstRootNode, EditError> {
    if is_too_deep(text) {
        return Err(EditError::Syntax);
    }
    CstRootNode::parse(text, &ParseOptions::default()).map_err(|_| EditError::Syntax)
}

/// The text with `value` at `path`. What is missing on the way is made; an index that is the list's length appends.
pub fn set(text: &str, path: &Path, value: &NewValue) -> Result<String, EditError> {
    let text = if text.trim().is_empty() { "{\n}\n" } else { text };
    let root = read(text)?;
    let quoted = quotes_plain_names(&root);
    let mut here = root.value().ok_or(EditError::Syntax)?;
    for (depth, step) in path.steps.iter().enumerate() {
        let rest = &path.steps[depth + 1..];
        let missing = || wrapped(rest, value.0.clone(), &path.steps[..=depth]);
        match step {
            Step::Name(name) => {
                let object = here.as_object().ok_or_else(|| no_place(&path.steps[..depth], &here))?;
                let Some(property) = property(&object, name) else {
                    name_plainly(&object.append(name, missing()?).into(), quoted);
                    break;
                };
                if rest.is_empty() {
                    property.set_value(value.0.clone());
                    property.value().iter().for_each(|value| name_plainly(value, quoted));
                    break;
                }
                here = property.value().ok_or(EditError::Syntax)?;
            }
            Step::Index(index) => {
                let array = here.as_array().ok_or_else(|| no_place(&path.steps[..depth], &here))?;
                let elements = array.elements();
                let Some(element) = elements.get(*index) else {
                    name_plainly(&append(&array, *index, missing()?, &path.steps[..depth])?, quoted);
                    break;
                };
                if rest.is_empty() {
                    let new = replace(element.clone(), value.0.clone());
                    new.iter().for_each(|value| name_plainly(value, quoted));
                    break;
                }
                here = element.clone();
            }
        }
    }
    Ok(root.to_string())
}

/// The text without the value at `path`; `None` if there is none.
pub fn unset(text: &str, path: &Path) -> Result<Option<String>, EditError> {
    let root = read(text)?;
    let Some(mut here) = root.value() else { return Ok(None) };
    for (depth, step) in path.steps.iter().enumerate() {
        let last = depth + 1 == path.steps.len();
        let below = match step {
            Step::Name(name) => {
                let found = here.as_object().and_then(|object| property(&object, name));
                found.and_then(|found| if last { Some(found.into()) } else { found.value() })
            }
            Step::Index(index) => here.as_array().and_then(|array| array.elements().get(*index).cloned()),
        };
        match below {
            None => return Ok(None),
            Some(below) => here = below,
        }
    }
    here.remove();
    Ok(Some(root.to_string()))
}

fn append(array: &CstArray, index: usize, value: CstInputValue, path: &[Step]) -> Result<CstNode, EditError> {
    let length = array.elements().len();
    if index > length {
        return Err(EditError::Gap { path: written(path), length });
    }
    Ok(array.append(value))
}

fn replace(node: CstNode, value: CstInputValue) -> Option<CstNode> {
    match node {
        CstNode::Container(CstContainerNode::Object(node)) => node.replace_with(value),
        CstNode::Container(CstContainerNode::Array(node)) => node.replace_with(value),
        CstNode::Leaf(leaf) => {
            use jsonc_parser::cst::CstLeafNode as Leaf;
            match leaf {
                Leaf::StringLit(node) => node.replace_with(value),
                Leaf::NumberLit(node) => node.replace_with(value),
                Leaf::BooleanLit(node) => node.replace_with(value),
                Leaf::NullKeyword(node) => node.replace_with(value),
                Leaf::WordLit(node) => node.replace_with(value),
                Leaf::Token(_) | Leaf::Whitespace(_) | Leaf::Newline(_) | Leaf::Comment(_) => None,
            }
        }
        CstNode::Container(_) => None,
    }
}

/// `value` inside everything that `steps` name.
fn wrapped(steps: &[Step], value: CstInputValue, path: &[Step]) -> Result<CstInputValue, EditError> {
    steps.iter().enumerate().rev().try_fold(value, |value, (at, step)| match step {
        Step::Name(name) => Ok(CstInputValue::Object(vec![(name.clone(), value)])),
        Step::Index(0) => Ok(CstInputValue::Array(vec![value])),
        Step::Index(_) => {
            let path = [path, &steps[..at]].concat();
            Err(EditError::Gap { path: written(&path), length: 0 })
        }
    })
}

fn property(object: &CstObject, name: &str) -> Option<CstObjectProp> {
    object.properties().into_iter().rev().find(|property| property.decoded_name().as_deref() == Some(name))
}

fn no_place(path: &[Step], found: &CstNode) -> EditError {
    let path = if path.is_empty() { "the file".to_owned() } else { written(path) };
    let found = match found {
        CstNode::Container(CstContainerNode::Object(_)) => "an object with names, not a list",
        CstNode::Container(CstContainerNode::Array(_)) => "a list, not an object with names",
        _ => "a single value",
    };
    EditError::NoPlace { path, found }
}

/// Whether the author writes names in quotes that need none, as JSON has it.
fn quotes_plain_names(root: &CstRootNode) -> bool {
    let mut nodes: Vec<CstNode> = root.value().into_iter().collect();
    while let Some(node) = nodes.pop() {
        if let Some(property) = node.as_object_prop()
            && let Some(ObjectPropName::String(name)) = property.name()
            && name.decoded_value().is_ok_and(|name| is_plain(&name))
        {
            return true;
        }
        nodes.extend(node.children());
    }
    false
}

/// Takes the quotes off the names in what was just written, unless the author's own names have them.
fn name_plainly(node: &CstNode, quoted: bool) {
    if quoted {
        return;
    }
    if let Some(property) = node.as_object_prop()
        && let Some(ObjectPropName::String(literal)) = property.name()
        && let Ok(name) = literal.decoded_value()
        && is_plain(&name)
    {
        literal.set_raw_value(name);
    }
    node.children().iter().for_each(|child| name_plainly(child, quoted));
}

fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> Path {
        text.parse().unwrap()
    }

    fn edited(text: &str, at: &str, value: &str) -> String {
        set(text, &path(at), &NewValue::parse(value).unwrap()).unwrap()
    }

    #[test]
    fn paths_are_read_and_written() {
        for text in ["a", "a.b", "a.b-c[0].d", "a[\"x.y/z\"].b", "a[0][1]", "[\"a b\"].c"] {
            assert_eq!(path(text).to_string(), text);
        }
        assert_eq!(path("a['x.y']"), path("a[\"x.y\"]"));
        assert_eq!(path(r#"["a\"b"]"#).to_string(), r#"["a\"b"]"#);
        for text in
            ["", ".", "a.", ".a", "a..b", "a[", "a[x]", "a[-1]", "a[\"x]", "a[0]b", "a.[0]", "a]", "a\"b"]
        {
            assert!(text.parse::<Path>().is_err(), "{text}");
        }
    }

    const FILE: &str = "// mine\n{\n  gateway: { // the server\n    listen: '127.0.0.1:1', // one\n    \
                        accounts: ['a', 'b'],\n  },\n  /* last */\n  env: { A: \"1\" },\n}\n";

    #[test]
    fn a_value_changes_and_nothing_else() {
        let changed = FILE.replace("'127.0.0.1:1'", "\"127.0.0.1:2\"");
        assert_eq!(edited(FILE, "gateway.listen", "'127.0.0.1:2'"), changed);
        assert_eq!(edited(FILE, "gateway.accounts[1]", "'c'"), FILE.replace("'b'", "\"c\""));
        assert_eq!(edited(FILE, "gateway.accounts[2]", "'c'"), FILE.replace("'b'", "'b', \"c\""));
        assert_eq!(edited("{ a: 0x10 }", "a", "0x20"), "{ a: 0x20 }");
    }

    #[test]
    fn what_is_new_is_written_as_its_neighbours_are() {
        let expected = FILE.replace("'b'],\n", "'b'],\n    limits: {\n      bodyBytes: 1,\n    },\n");
        assert_eq!(edited(FILE, "gateway.limits.bodyBytes", "1"), expected);
        let json = "{\n  \"a\": {\n    \"b\": 1\n  }\n}\n";
        let expected = "{\n  \"a\": {\n    \"b\": 1,\n    \"c\": {\n      \"d\": 2\n    }\n  }\n}\n";
        assert_eq!(edited(json, "a.c.d", "2"), expected);
        let crlf = edited("{\r\n  a: 1,\r\n}\r\n", "b", "2");
        assert_eq!(crlf, "{\r\n  a: 1,\r\n  b: 2,\r\n}\r\n");
        assert_eq!(
            edited("", "a[0].b", "{ z: 1, a: [] }"),
            "{\n  a: [\n    {\n      b: {\n        z: 1,\n        a: []\n      }\n    }\n  ]\n}\n"
        );
    }

    #[test]
    fn a_value_goes_with_its_line() {
        let less = |at: &str| unset(FILE, &path(at)).unwrap();
        assert_eq!(less("gateway.listen").unwrap(), FILE.replace("    listen: '127.0.0.1:1', // one\n", ""));
        assert_eq!(less("gateway.accounts[1]").unwrap(), FILE.replace("'a', 'b'", "'a'"));
        assert_eq!(less("gateway.nothing"), None);
        assert_eq!(less("gateway.accounts[2]"), None);
        assert_eq!(less("gateway.listen.x"), None);
    }

    #[test]
    fn where_nothing_can_be_put_it_says_why() {
        let wrong = |at: &str| set(FILE, &path(at), &NewValue::text("x")).unwrap_err().to_string();
        assert_eq!(
            wrong("gateway.listen.port"),
            "gateway.listen is a single value, so nothing can be put below it"
        );
        assert!(wrong("gateway[0]").contains("an object with names"));
        assert!(wrong("gateway.accounts.x").contains("a list"));
        assert_eq!(wrong("gateway.accounts[3]"), "gateway.accounts has 2 elements; the next one is [2]");
        assert_eq!(wrong("gateway.new[1]"), "gateway.new has 0 elements; the next one is [0]");
        assert_eq!(set("{ a: ", &path("a"), &NewValue::text("x")), Err(EditError::Syntax));
    }

    #[test]
    fn values_are_found() {
        assert_eq!(value_at(FILE, &path("gateway.accounts[1]")), Some("b".into()));
        assert_eq!(value_at(FILE, &path("env")), Some(serde_json::json!({"A": "1"})));
        assert_eq!(value_at(FILE, &path("env.B")), None);
        assert_eq!(value_at("{ a: 1, a: 2 }", &path("a")), Some(2.into()));
    }

    #[test]
    fn absurd_nesting_is_refused_and_not_followed() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(NewValue::parse(&deep).is_none());
        assert_eq!(value_at(&deep, &path("a")), None);
        assert_eq!(whole(&deep), None);
        assert_eq!(set(&deep, &path("a"), &NewValue::text("x")), Err(EditError::Syntax));
        assert_eq!(unset(&deep, &path("a")), Err(EditError::Syntax));
        assert!(NewValue::parse(&format!("{}{}", "[".repeat(100), "]".repeat(100))).is_some());
    }

    proptest! {
        /// Whatever is set is found again, and taking it out leaves the others.
        #[test]
        fn set_is_found_and_unset_is_gone(
            names in prop::collection::vec("[a-z.\"\\\\ ]{1,4}", 1..4),
            text in "\\PC{0,12}",
            comment in "[a-z *]{0,8}",
        ) {
            let at = Path::of(names.iter().map(String::as_str));
            prop_assert_eq!(&path(&at.to_string()), &at);
            let start = format!("{{\n  // {comment}\n  KEPT: 'x', // {comment}\n}}\n");
            let new = set(&start, &at, &NewValue::text(&text)).unwrap();
            prop_assert_eq!(value_at(&new, &at), Some(text.into()));
            prop_assert_eq!(value_at(&new, &path("KEPT")), Some("x".into()));
            let gone = unset(&new, &at).unwrap().unwrap();
            prop_assert_eq!(value_at(&gone, &at), None);
            prop_assert_eq!(value_at(&gone, &path("KEPT")), Some("x".into()));
        }

        #[test]
        fn no_path_breaks_it(text in "\\PC{0,20}") {
            let _ = text.parse::<Path>();
        }
    }
}
