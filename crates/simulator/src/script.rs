//! Scripted faults, read from a header or from a model name. The crate's front page lists the directives.

use std::time::Duration;

use crate::answer::Tokens;

const LARGEST_TEXT: usize = 64 << 20;
const MOST_EVENTS: usize = 1 << 20;

/// What a request asked to go wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Script {
    pub(crate) status: Option<u16>,
    pub(crate) retry_after: Option<String>,
    pub(crate) delay: Option<Duration>,
    pub(crate) gap: Option<Duration>,
    pub(crate) stall: bool,
    pub(crate) stall_head: bool,
    pub(crate) cut: Option<usize>,
    pub(crate) cut_json: bool,
    pub(crate) reset: bool,
    pub(crate) error_event: bool,
    pub(crate) malformed: bool,
    pub(crate) gzip: bool,
    pub(crate) wrong_type: bool,
    pub(crate) garbage: bool,
    pub(crate) events: Option<usize>,
    pub(crate) size: Option<usize>,
    pub(crate) tokens: Option<Tokens>,
    pub(crate) close: bool,
    pub(crate) first: Option<u32>,
}

impl Script {
    /// Reads the directives. An unknown one is an error, so that a typing mistake cannot pass for a fault.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut script = Self::default();
        for directive in text.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
            script.add(directive).ok_or_else(|| {
                format!("Unknown simulator directive `{directive}` in `{text}`. Did you mean a status such as 429, delay=200ms, stall or cut=3?")
            })?;
        }
        Ok(script)
    }

    fn add(&mut self, directive: &str) -> Option<()> {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name {
            "retry-after" => self.retry_after = Some(value.to_owned()),
            "delay" => self.delay = Some(duration(value)?),
            "gap" => self.gap = Some(duration(value)?),
            "stall" => self.stall = true,
            "stall-head" => self.stall_head = true,
            "cut" => self.cut = Some(value.parse().ok()?),
            "cut-json" => self.cut_json = true,
            "reset" => self.reset = true,
            "error-event" => self.error_event = true,
            "malformed" => self.malformed = true,
            "gzip" => self.gzip = true,
            "wrong-type" => self.wrong_type = true,
            "garbage" => self.garbage = true,
            "events" => self.events = Some(value.parse().ok().filter(|n| (1..=MOST_EVENTS).contains(n))?),
            "size" => self.size = Some(value.parse().ok().filter(|n| *n <= LARGEST_TEXT)?),
            "tokens" => self.tokens = Some(tokens(value)?),
            "close" => self.close = true,
            "first" => self.first = Some(value.parse().ok()?),
            status => self.status = Some(status.parse().ok().filter(|code| (200..600).contains(code))?),
        }
        Some(())
    }
}

fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => text.strip_suffix('s').map_or((text, 1), |number| (number, 1000)),
    };
    Some(Duration::from_millis(number.parse::<u32>().ok()?.saturating_mul(unit).into()))
}

fn tokens(text: &str) -> Option<Tokens> {
    let counts: Vec<u64> = text.split(':').map(|count| count.parse().ok()).collect::<Option<_>>()?;
    let at = |index: usize| counts.get(index).copied().unwrap_or(0);
    (2..=5).contains(&counts.len()).then(|| Tokens {
        input: at(0),
        output: at(1),
        cached: at(2),
        written: at(3),
        reasoning: at(4),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_combine() {
        let script = Script::parse("429, retry-after=2,delay=1s,gap=5,tokens=10:2:3").unwrap();
        let expected = Script {
            status: Some(429),
            retry_after: Some("2".into()),
            delay: Some(Duration::from_secs(1)),
            gap: Some(Duration::from_millis(5)),
            tokens: Some(Tokens { input: 10, output: 2, cached: 3, ..Tokens::default() }),
            ..Script::default()
        };
        assert_eq!(script, expected);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z0-9=,:-]{0,40}") {
            let _ = Script::parse(&text);
        }
    }

    #[test]
    fn a_typing_mistake_is_named() {
        for wrong in ["sta11", "cut", "cut=x", "99", "600", "tokens=1", "events=0", "delay=fast"] {
            assert!(Script::parse(wrong).unwrap_err().contains(wrong), "{wrong}");
        }
    }
}
