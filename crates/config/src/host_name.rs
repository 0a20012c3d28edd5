//! A name under which machines are reached.

use std::fmt;

use serde::Deserialize;

/// A host name in lower case: labels of letters, digits and `-`, at least two of them, and no address.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub struct HostName(String);

impl HostName {
    /// Capitals make no difference, nor does a dot at the end.
    pub fn parse(text: &str) -> Result<Self, HostNameError> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let last = name.rsplit('.').next().unwrap_or_default();
        let is_name = name.len() <= 253
            && name.contains('.')
            && name.split('.').all(is_label)
            && !last.bytes().all(|byte| byte.is_ascii_digit())
            && last != "localhost";
        if is_name { Ok(Self(name)) } else { Err(HostNameError) }
    }

    /// Of a `host` header, whose port says nothing.
    pub fn of_header(value: &str) -> Option<Self> {
        let name = match value.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => value,
        };
        Self::parse(name).ok()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for HostName {
    type Error = HostNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected a host name such as ai.example.com, without scheme, port or path")]
pub struct HostNameError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_addresses_and_other_text() {
        for (text, name) in [
            ("ai.example.com", "ai.example.com"),
            ("AI.Example.com.", "ai.example.com"),
            ("1.2.3.example", "1.2.3.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(HostName::parse(text).as_ref().map(HostName::as_str), Ok(name), "{text}");
        }
        let long = format!("{}.example", "a".repeat(64));
        for text in [
            "",
            ".",
            "localhost",
            "a.localhost",
            "127.0.0.1",
            "[::1]",
            "https://ai.example.com",
            "ai.example.com/x",
            "ai.example.com:80",
            "-a.example",
            "a-.example",
            "a..example",
            "a_b.example",
            "bücher.example",
            &long,
        ] {
            assert_eq!(HostName::parse(text), Err(HostNameError), "{text}");
        }
    }

    #[test]
    fn a_port_of_a_header_says_nothing() {
        let of = |value| HostName::of_header(value).map(|name| name.to_string());
        assert_eq!(of("AI.example.com:8443").as_deref(), Some("ai.example.com"));
        assert_eq!(of("ai.example.com").as_deref(), Some("ai.example.com"));
        assert_eq!(of("[::1]:80"), None);
        assert_eq!(of("127.0.0.1:80"), None);
    }
}
