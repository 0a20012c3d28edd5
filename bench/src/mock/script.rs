//! What a request wants from the mock: how many events, how fast.

use std::str::FromStr;
use std::time::Duration;

use http::HeaderMap;
use memchr::memmem;

/// The request header that carries a script.
pub const HEADER: &str = "x-mock";
/// Most events of one stream.
const MOST_EVENTS: u32 = 1_000_000;

/// The shape of an SSE answer, written `events=100,gap-us=20000` or `idle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Script {
    /// Delta events.
    pub events: u32,
    /// Time between two of them; zero is as fast as the socket takes them.
    pub gap: Duration,
}

impl Script {
    const PLAIN: Script = Script { events: 100, gap: Duration::ZERO };
    /// One event at once, then one every two seconds.
    const IDLE: Script = Script { events: 3600, gap: Duration::from_secs(2) };

    /// The script in the header, else in a model name that begins with `mock-`, else the usual 100 events at once.
    pub fn of(headers: &HeaderMap, body: &[u8]) -> Result<Script, BadScript> {
        if let Some(header) = headers.get(HEADER) {
            return header.to_str().map_err(|_| BadScript(HEADER.into()))?.parse();
        }
        let name = model(body).unwrap_or_default();
        match name.rsplit('/').next().and_then(|name| name.strip_prefix("mock-")) {
            Some(script) => script.parse(),
            None => Ok(Script::PLAIN),
        }
    }
}

/// A script the mock does not understand.
#[derive(Debug, PartialEq, Eq)]
pub struct BadScript(pub String);

impl FromStr for Script {
    type Err = BadScript;

    fn from_str(text: &str) -> Result<Script, BadScript> {
        let bad = |part: &str| BadScript(part.to_owned());
        let mut script = Script::PLAIN;
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            if part == "idle" {
                script = Script::IDLE;
                continue;
            }
            let (name, value) = part.split_once('=').ok_or_else(|| bad(part))?;
            let number: u32 = value.parse().map_err(|_| bad(part))?;
            match name {
                "events" => script.events = number.min(MOST_EVENTS),
                "gap-us" => script.gap = Duration::from_micros(number.into()),
                _ => return Err(bad(part)),
            }
        }
        Ok(script)
    }
}

/// Whether the body asks for a stream. A search, not a parse: the mock must cost little beside what is measured.
#[must_use]
pub fn wants_stream(body: &[u8]) -> bool {
    value_after(body, b"\"stream\"").is_some_and(|value| value.starts_with(b"true"))
}

fn model(body: &[u8]) -> Option<&str> {
    let value = value_after(body, b"\"model\"")?.strip_prefix(b"\"")?;
    let end = memchr::memchr(b'"', value)?;
    std::str::from_utf8(&value[..end]).ok()
}

fn value_after<'body>(body: &'body [u8], name: &[u8]) -> Option<&'body [u8]> {
    let after = &body[memmem::find(body, name)? + name.len()..];
    Some(after.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(header: Option<&str>, body: &str) -> Result<Script, BadScript> {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(HEADER, header.parse().unwrap());
        }
        Script::of(&headers, body.as_bytes())
    }

    #[test]
    fn the_header_wins_over_the_model() {
        let slow = Script { events: 7, gap: Duration::from_millis(20) };
        let body = r#"{ "model" : "openai/mock-events=7,gap-us=20000" }"#;
        assert_eq!(script(None, body), Ok(slow));
        assert_eq!(script(Some("idle"), body), Ok(Script::IDLE));
        assert_eq!(script(None, r#"{"model":"gpt-4o-mini"}"#), Ok(Script::PLAIN));
        assert_eq!(script(None, ""), Ok(Script::PLAIN));
    }

    #[test]
    fn a_script_nobody_understands_is_refused() {
        for wrong in ["events", "events=x", "pace=3", "events=-1"] {
            assert_eq!(script(Some(wrong), ""), Err(BadScript(wrong.into())));
        }
    }

    #[test]
    fn streams_are_recognised() {
        assert!(wants_stream(br#"{"stream": true}"#));
        assert!(!wants_stream(br#"{"stream":false,"stream_options":{}}"#));
        assert!(!wants_stream(br#"{"stream_options":{"include_usage":true}}"#));
    }
}
