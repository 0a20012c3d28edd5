//! Route templates: which upstream URL a path stands for, as data.
//!
//! A path pattern is `bedrock-runtime/{region}/*`: plain segments, `{name}` for one segment, and a final `*` for
//! whatever is left, which may be nothing. A URL pattern uses the same names, `{account}` and `*`. A name used in the host takes
//! letters, digits and `-` only, so no path can lead a request (and its key) to another host.

use std::fmt;

/// One route of a provider.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Template {
    path: String,
    segments: Vec<Segment>,
    open_ended: bool,
    url: String,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Segment {
    Plain(String),
    Variable(String),
}

impl Template {
    /// `url` without its scheme's host check: see [`check_base_url`].
    pub(crate) fn new(path: &str, url: &str) -> Result<Self, TemplateError> {
        let mut segments = Vec::new();
        let mut open_ended = false;
        for segment in path.split('/') {
            if open_ended {
                return Err(TemplateError(path.to_owned(), "`*` must come last"));
            }
            match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                Some(name) => segments.push(Segment::Variable(name.to_owned())),
                None if segment == "*" => open_ended = true,
                None if segment.is_empty() || segment.contains(['{', '}', '*']) => {
                    return Err(TemplateError(path.to_owned(), "a segment is plain text, `{name}` or `*`"));
                }
                None => segments.push(Segment::Plain(segment.to_owned())),
            }
        }
        for name in names_in(url) {
            let known =
                segments.iter().any(|segment| matches!(segment, Segment::Variable(known) if known == name));
            if !known && name != "account" {
                return Err(TemplateError(url.to_owned(), "the URL uses a name that the path does not have"));
            }
        }
        Ok(Self { path: path.to_owned(), segments, open_ended, url: url.to_owned() })
    }

    /// The path pattern as written.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The URL pattern as written.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether the pattern is `*` alone, and so takes any path.
    pub(crate) fn takes_anything(&self) -> bool {
        self.open_ended && self.segments.is_empty()
    }

    /// The URL with another pattern in its place.
    pub(crate) fn with_url(&self, url: String) -> Self {
        Self { url, ..self.clone() }
    }

    /// The upstream URL for `rest`; `None` if the pattern does not match.
    pub(crate) fn expand(&self, account: &str, rest: &str) -> Option<String> {
        let mut variables = vec![("account", account)];
        let mut left = Some(rest);
        for segment in &self.segments {
            let (first, after) = match left?.split_once('/') {
                Some((first, after)) => (first, Some(after)),
                None => (left?, None),
            };
            match segment {
                Segment::Plain(text) if text == first => {}
                Segment::Plain(_) => return None,
                Segment::Variable(name) => variables.push((name, first)),
            }
            left = after;
        }
        if left.is_some() && !self.open_ended {
            return None;
        }
        let host_end = host_end(&self.url);
        let mut url = fill(&self.url[..host_end], &variables, is_host_safe)?;
        url.push_str(&fill(&self.url[host_end..], &variables, is_segment_safe)?);
        Some(match left {
            Some(rest) => url.replacen('*', rest, 1),
            None if url.ends_with("/*") => url[..url.len() - 2].to_owned(),
            None => url.replacen('*', "", 1),
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("route `{0}`: {1}")]
pub(crate) struct TemplateError(String, &'static str);

/// The names in braces; `${NAME}` is the environment's and not ours.
fn names_in(url: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = url;
    while let Some(open) = rest.find('{') {
        let Some(close) = rest[open..].find('}') else {
            break;
        };
        if !rest[..open].ends_with('$') {
            names.push(&rest[open + 1..open + close]);
        }
        rest = &rest[open + close + 1..];
    }
    names
}

/// Where the host (with port) of a URL pattern ends.
pub(crate) fn host_end(url: &str) -> usize {
    let start = url.find("://").map_or(0, |at| at + 3);
    url[start..].find('/').map_or(url.len(), |at| start + at)
}

fn fill(pattern: &str, variables: &[(&str, &str)], allowed: fn(&str) -> bool) -> Option<String> {
    let mut filled = pattern.to_owned();
    for (name, value) in variables {
        let marker = format!("{{{name}}}");
        if filled.contains(&marker) {
            if !allowed(value) {
                return None;
            }
            filled = filled.replace(&marker, value);
        }
    }
    Some(filled)
}

fn is_segment_safe(value: &str) -> bool {
    value.starts_with(|c: char| c.is_ascii_alphanumeric())
        && value.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

fn is_host_safe(value: &str) -> bool {
    is_segment_safe(value) && !value.contains(['.', '_']) && !value.ends_with('-') && value.len() <= 63
}
