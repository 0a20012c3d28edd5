//! The query string, and pages.

use serde_json::Value;

use crate::envelope::Refusal;
use crate::shape::{Param, Shape, param};

/// Decoded names and values, in the order sent.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn read(query: Option<&str>) -> Self {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode_form(name), decode_form(value))
                })
                .collect(),
        )
    }

    /// The last value under a name; an empty one counts as not sent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Holds the parameters an endpoint takes against their shapes.
    pub(crate) fn check(&self, params: &[Param]) -> Result<(), Refusal> {
        let mut problems = Vec::new();
        for param in params {
            let Some(text) = self.get(param.name) else { continue };
            let found = param.shape.check(&param.shape.read(text));
            problems.extend(found.into_iter().map(|mut problem| {
                param.name.clone_into(&mut problem.path);
                problem
            }));
        }
        if problems.is_empty() { Ok(()) } else { Err(Refusal::problems("query", problems)) }
    }

    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        Shape::Flag.read(self.get(name)?).as_bool()
    }

    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        Shape::Number.read(self.get(name)?).as_f64()
    }

    /// A whole number that is not negative.
    pub(crate) fn whole(&self, name: &str) -> Option<u64> {
        let number = self.number(name)?;
        (number >= 0.0).then_some(number as u64)
    }

    pub(crate) fn paging(&self) -> Paging {
        Paging { page: self.whole("page").unwrap_or(1), per_page: self.whole("per_page").unwrap_or(20) }
    }
}

pub(crate) const PAGE: Param =
    param("page", Shape::Whole(1, 1_000_000_000), "Which page, from 1; those past the end are empty");
pub(crate) const PER_PAGE_50: Param = param("per_page", Shape::Whole(1, 50), "Items on a page; default 20");
pub(crate) const PER_PAGE_100: Param = param("per_page", Shape::Whole(1, 100), "Items on a page; default 20");

/// Which part of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paging {
    pub(crate) page: u64,
    pub(crate) per_page: u64,
}

impl Paging {
    /// How many items come before the page.
    pub(crate) fn offset(self) -> u64 {
        (self.page.saturating_sub(1)).saturating_mul(self.per_page)
    }

    /// The page of a list that is at hand as a whole.
    pub(crate) fn cut(self, items: Vec<Value>) -> http::Response<crate::envelope::Body> {
        let total = items.len() as u64;
        let skip = usize::try_from(self.offset()).unwrap_or(usize::MAX);
        let items = items.into_iter().skip(skip).take(self.per_page as usize).collect();
        crate::envelope::page(items, self.page, self.per_page, total)
    }
}

/// Percent-decoding with `+` for a space. What is not UTF-8 is replaced.
fn decode_form(text: &str) -> String {
    decode(&text.replace('+', " "))
}

/// Percent-decoding. What is no escape stays as it is.
pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).filter(|_| *byte == b'%');
        let escaped = hex.and_then(|hex| std::str::from_utf8(hex).ok()).and_then(|hex| {
            hex.bytes().all(|c| c.is_ascii_hexdigit()).then(|| u8::from_str_radix(hex, 16).ok())?
        });
        decoded.push(escaped.unwrap_or(*byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_plus_signs_are_decoded_and_nonsense_is_kept() {
        let query = Query::read(Some("a=1+2&b=%7B%22x%22%3A1%7d&c=%zz%4&d&a=3"));
        assert_eq!(query.get("a"), Some("3"));
        assert_eq!(query.get("b"), Some(r#"{"x":1}"#));
        assert_eq!(query.get("c"), Some("%zz%4"));
        assert_eq!(query.get("d"), None);
        assert_eq!(query.pairs().count(), 5);
    }

    #[test]
    fn pages_past_any_end_do_not_overflow() {
        let paging = Paging { page: u64::MAX, per_page: 50 };
        assert_eq!(paging.offset(), u64::MAX);
    }
}
