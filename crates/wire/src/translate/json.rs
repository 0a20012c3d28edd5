//! JSON as translation needs it: read once into a tree that borrows from the body, written by appending bytes.
//!
//! Values that no dialect looks into (tool schemas, tool arguments) stay raw text, so they cost one scan and come
//! out byte for byte as they went in.

use std::borrow::Cow;
use std::fmt::{self, Display};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_json::value::RawValue;

mod write;

pub(crate) use write::{Array, Object, array, integer, into_text, object, string};

use super::BadRequest;

/// A JSON value borrowed from the text it was read from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    String(Cow<'a, str>),
    /// The unread text of a value under one of the keys given to [`parse`].
    Raw(&'a str),
    Array(Vec<Json<'a>>),
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// Reads `body`, leaving the values of `raw_keys` as text wherever they occur.
pub(crate) fn parse<'a>(body: &'a [u8], raw_keys: &[&str]) -> Result<Json<'a>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let json = Tree { raw_keys }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(json)
}

impl<'a> Json<'a> {
    /// The value as JSON text, in as few characters as possible unless it was kept raw.
    pub(crate) fn text(&self) -> Cow<'a, str> {
        if let Json::Raw(raw) = self {
            return Cow::Borrowed(raw);
        }
        let mut out = Vec::new();
        self.write(&mut out);
        Cow::Owned(into_text(out))
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Json::Null => out.extend_from_slice(b"null"),
            Json::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Json::Number(value) => out.extend_from_slice(value.to_string().as_bytes()),
            Json::String(value) => string(out, value),
            Json::Raw(raw) => out.extend_from_slice(raw.as_bytes()),
            Json::Array(items) => array(out, |array| items.iter().for_each(|item| item.write(array.next()))),
            Json::Object(entries) => object(out, |object| {
                entries.iter().for_each(|(key, value)| value.write(object.any_key(key)));
            }),
        }
    }

    /// What the value is, for messages.
    fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::String(_) => "a string",
            Json::Raw(raw) => match raw.as_bytes().first() {
                Some(b'{') => "an object",
                Some(b'[') => "an array",
                Some(b'"') => "a string",
                _ => "a bare value",
            },
            Json::Array(_) => "an array",
            Json::Object(_) => "an object",
        }
    }
}

/// Where in the caller's body a value stands: `messages[2].content[0].text`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'p> {
    Root,
    Key(&'p str),
    Index(usize),
}

impl<'p> Path<'p> {
    pub(crate) const ROOT: Path<'static> = Path { parent: None, step: Step::Root };

    pub(crate) fn key<'q>(&'q self, key: &'q str) -> Path<'q> {
        Path { parent: Some(self), step: Step::Key(key) }
    }

    pub(crate) fn index<'q>(&'q self, index: usize) -> Path<'q> {
        Path { parent: Some(self), step: Step::Index(index) }
    }

    pub(crate) fn bad(&self, message: impl Into<String>) -> BadRequest {
        BadRequest { path: self.to_string(), message: message.into() }
    }

    /// The path with every index left out, the name under which a dropped field is reported.
    pub(crate) fn name(&self) -> String {
        self.to_string_with(|_, name| name.push_str("[]"))
    }

    fn to_string_with(self, index: fn(usize, &mut String)) -> String {
        let mut name = match self.parent {
            Some(parent) => parent.to_string_with(index),
            None => String::new(),
        };
        match self.step {
            Step::Root => {}
            Step::Key(key) => {
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(key);
            }
            Step::Index(at) => index(at, &mut name),
        }
        name
    }
}

impl Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string_with(|at, name| name.push_str(&format!("[{at}]"))))
    }
}

/// An object being read: each field is taken once, and what nobody took is reported as dropped.
#[derive(Debug)]
pub(crate) struct Fields<'a, 'p> {
    pub(crate) path: Path<'p>,
    entries: Vec<(Cow<'a, str>, Json<'a>)>,
    /// A bit for each name that is there: most fields that are asked for are not.
    present: u64,
}

impl<'a, 'p> Fields<'a, 'p> {
    pub(crate) fn new(json: Json<'a>, path: Path<'p>) -> Result<Self, BadRequest> {
        match json {
            Json::Object(entries) => {
                let present = entries.iter().fold(0, |bits, (name, _)| bits | bit(name));
                Ok(Self { path, entries, present })
            }
            other => Err(path.bad(format!("must be an object, not {}", other.kind()))),
        }
    }

    /// The value of `key`, taken out; `null` counts as absent. With a key given twice the last one wins.
    #[inline]
    pub(crate) fn take(&mut self, key: &str) -> Option<Json<'a>> {
        if self.present & bit(key) == 0 { None } else { self.take_present(key) }
    }

    fn take_present(&mut self, key: &str) -> Option<Json<'a>> {
        let mut taken = None;
        while let Some(at) = self.entries.iter().position(|(name, _)| name == key) {
            taken = Some(self.entries.remove(at).1);
        }
        taken.filter(|value| *value != Json::Null)
    }

    /// The first of several spellings of one field, all of them taken out.
    pub(crate) fn take_any(&mut self, keys: &[&str]) -> Option<Json<'a>> {
        keys.iter().fold(None, |found, key| found.or(self.take(key)))
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.present & bit(key) != 0
            && self.entries.iter().any(|(name, value)| name == key && *value != Json::Null)
    }

    pub(crate) fn string(&mut self, key: &str) -> Result<Option<Cow<'a, str>>, BadRequest> {
        match self.take(key) {
            None => Ok(None),
            Some(Json::String(value)) => Ok(Some(value)),
            Some(other) => Err(self.wrong(key, "a string", &other)),
        }
    }

    pub(crate) fn required_string(&mut self, key: &str) -> Result<Cow<'a, str>, BadRequest> {
        self.string(key)?.ok_or_else(|| self.path.key(key).bad("is required"))
    }

    pub(crate) fn bool(&mut self, key: &str) -> Result<Option<bool>, BadRequest> {
        match self.take(key) {
            None => Ok(None),
            Some(Json::Bool(value)) => Ok(Some(value)),
            Some(other) => Err(self.wrong(key, "a boolean", &other)),
        }
    }

    pub(crate) fn number(&mut self, key: &str) -> Result<Option<Number>, BadRequest> {
        match self.take(key) {
            None => Ok(None),
            Some(Json::Number(value)) => Ok(Some(value)),
            Some(other) => Err(self.wrong(key, "a number", &other)),
        }
    }

    pub(crate) fn count(&mut self, key: &str) -> Result<Option<u64>, BadRequest> {
        match self.take(key) {
            None => Ok(None),
            Some(Json::Number(value)) => whole(&value)
                .map(Some)
                .ok_or_else(|| self.path.key(key).bad("must be a whole number, zero or more")),
            Some(other) => Err(self.wrong(key, "a whole number", &other)),
        }
    }

    pub(crate) fn array(&mut self, key: &str) -> Result<Option<Vec<Json<'a>>>, BadRequest> {
        match self.take(key) {
            None => Ok(None),
            Some(Json::Array(items)) => Ok(Some(items)),
            Some(other) => Err(self.wrong(key, "an array", &other)),
        }
    }

    /// The field as JSON text; for fields that are carried without being looked into.
    pub(crate) fn raw(&mut self, key: &str) -> Option<Cow<'a, str>> {
        self.take(key).map(|value| value.text())
    }

    /// Names what was left, so that nothing disappears unsaid.
    pub(crate) fn finish(self, dropped: &mut super::Dropped) {
        for (key, value) in &self.entries {
            if *value != Json::Null {
                dropped.add(self.path.key(key).name());
            }
        }
    }

    fn wrong(&self, key: &str, expected: &str, found: &Json<'_>) -> BadRequest {
        self.path.key(key).bad(format!("must be {expected}, not {}", found.kind()))
    }
}

/// One of 64, by length and first letter.
#[inline]
fn bit(name: &str) -> u64 {
    let first = name.as_bytes().first().map_or(0, |letter| usize::from(*letter));
    1 << ((name.len() * 5 + first) % 64)
}

fn whole(number: &Number) -> Option<u64> {
    number.as_u64().or_else(|| {
        let float = number.as_f64()?;
        // Some clients send 1024.0; above 2^53 a float is no longer a whole number anyone meant.
        (float.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&float)).then_some(float as u64)
    })
}

/// Whether `text` is one complete JSON object.
pub(crate) fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && serde_json::from_str::<&RawValue>(text).is_ok()
}

/// Raw JSON fit for one line of an event stream: line breaks can only stand between tokens, where a space will do.
pub(crate) fn on_one_line(raw: &str) -> Cow<'_, str> {
    if raw.contains(['\n', '\r']) { Cow::Owned(raw.replace(['\n', '\r'], " ")) } else { Cow::Borrowed(raw) }
}

/// A string that borrows from the JSON text when it has no escapes: serde's own `Cow` never does inside an `Option`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> serde::Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowing;
        impl<'de> Visitor<'de> for Borrowing {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(value))
            }

            fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(value.to_owned()))
            }
        }
        deserializer.deserialize_str(Borrowing).map(Text)
    }
}

#[derive(Clone, Copy)]
struct Tree<'k> {
    raw_keys: &'k [&'k str],
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number out of range"))?;
        Ok(Json::Number(number))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Json::String(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Json::String(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(Text(key)) = map.next_key()? {
            let value = if self.raw_keys.contains(&key.as_ref()) {
                match map.next_value::<&RawValue>()?.get().trim() {
                    "null" => Json::Null,
                    raw => Json::Raw(raw),
                }
            } else {
                map.next_value_seed(self)?
            };
            if entries.len() > 100_000 {
                return Err(A::Error::custom("an object has more than 100000 fields"));
            }
            entries.push((key, value));
        }
        Ok(Json::Object(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_values_come_out_byte_for_byte() {
        let body =
            br#" {"a" : [1.5, -2, null, true, "\u00e9\n"], "keep": { "x" :  1e3 } , "b": {"keep":[ ]}} "#;
        let json = parse(body, &["keep"]).expect("JSON");
        assert_eq!(json.text(), r#"{"a":[1.5,-2,null,true,"é\n"],"keep":{ "x" :  1e3 },"b":{"keep":[ ]}}"#);
    }

    #[test]
    fn what_nobody_took_is_named() {
        let json = parse(br#"{"known":1,"odd":2,"empty":null}"#, &[]).expect("JSON");
        let root = Path::ROOT;
        let list = root.key("items");
        let mut fields = Fields::new(json, list.index(3)).expect("an object");
        assert_eq!(fields.count("known"), Ok(Some(1)));
        let mut dropped = super::super::Dropped::default();
        fields.finish(&mut dropped);
        assert_eq!(dropped.into_names(), ["items[].odd"]);
    }

    #[test]
    fn whole_numbers_may_be_written_as_floats() {
        let number = |text: &str| match parse(text.as_bytes(), &[]).expect("JSON") {
            Json::Number(number) => whole(&number),
            _ => None,
        };
        assert_eq!(number("1024.0"), Some(1024));
        assert_eq!(number("1.5"), None);
        assert_eq!(number("-1"), None);
        assert_eq!(number("1e300"), None);
    }

    #[test]
    fn deep_nesting_is_an_error_not_a_crash() {
        assert!(parse("[".repeat(100_000).as_bytes(), &[]).is_err());
    }
}
