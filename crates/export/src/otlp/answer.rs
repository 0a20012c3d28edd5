//! What a collector says: the rules of OTLP over HTTP for who sends again and who does not.
//!
//! In one thing we are more patient than they ask: an answer that says nothing about the spans, only that they came to
//! the wrong place or with the wrong key, is the operator's to set right. Until then they wait in the log.

use serde_json::Value;

use super::protobuf::{Found, read};

/// What is to be done after an answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Said {
    /// All of it was taken. What was said beside that, if anything, is a hint for people.
    Taken { hint: Option<String> },
    /// Taken but for so many spans or points. They would be rejected again.
    Partly { rejected: u64, why: String },
    /// To be sent again, later.
    Later { why: String },
    /// It came to the wrong place or with the wrong key: nothing is wrong with what was sent.
    Misplaced { why: String },
    /// To be sent again in smaller pieces.
    TooLarge { why: String },
    /// To be sent never again: it would be refused as often as it came.
    Refused { why: String },
}

/// Reads an answer. In which encoding it is shows in its first byte; collectors do not all use that of the request.
pub(crate) fn said(status: u16, body: &[u8]) -> Said {
    match status {
        200..=299 => match Words::partial(body) {
            Words { number: 0, text } => Said::Taken { hint: Some(text).filter(|text| !text.is_empty()) },
            Words { number: rejected, text: why } => Said::Partly { rejected, why },
        },
        429 | 502 | 503 | 504 => Said::Later { why: told(status, body) },
        300..=399 | 401 | 403 | 404 | 405 | 407 => Said::Misplaced { why: told(status, body) },
        413 => Said::TooLarge { why: told(status, body) },
        _ => Said::Refused { why: told(status, body) },
    }
}

/// `status 400: the message of its body`
fn told(status: u16, body: &[u8]) -> String {
    let text = Words::of(body).text;
    if text.is_empty() { format!("status {status}") } else { format!("status {status}: {text}") }
}

/// A message of a number and a text: `Export…PartialSuccess` (1, 2) and `Status` (1, 2).
#[derive(Default)]
struct Words {
    number: u64,
    text: String,
}

/// Longest text that is kept.
const TEXT: usize = 300;

impl Words {
    fn of(body: &[u8]) -> Self {
        if let Some(json) = json(body) {
            return Self::of_json(&json);
        }
        let mut words = Self::default();
        let whole = read(body, |number, found| match found {
            Found::Number(found) if number == 1 => words.number = found,
            Found::Bytes(bytes) if number == 2 => words.text = plain(&String::from_utf8_lossy(bytes)),
            _ => {}
        });
        whole.map(|()| words).unwrap_or_default()
    }

    /// The field `partial_success` (1) of a response.
    fn partial(body: &[u8]) -> Self {
        if let Some(json) = json(body) {
            return Self::of_json(&json["partialSuccess"]);
        }
        let mut words = Self::default();
        let whole = read(body, |number, found| {
            if let Found::Bytes(bytes) = found
                && number == 1
            {
                words = Self::of(bytes);
            }
        });
        whole.map(|()| words).unwrap_or_default()
    }

    fn of_json(json: &Value) -> Self {
        let count = ["rejectedSpans", "rejectedDataPoints"].into_iter().find_map(|name| json.get(name));
        let number = count.and_then(|count| count.as_u64().or_else(|| count.as_str()?.parse().ok()));
        let text = ["errorMessage", "message"].into_iter().find_map(|name| json.get(name)?.as_str());
        Self { number: number.unwrap_or(0), text: plain(text.unwrap_or_default()) }
    }
}

fn json(body: &[u8]) -> Option<Value> {
    body.trim_ascii_start().starts_with(b"{").then(|| serde_json::from_slice(body).ok())?
}

/// One line of a bounded length: it goes into our own messages.
fn plain(text: &str) -> String {
    let text: String = text.chars().map(|sign| if sign.is_control() { ' ' } else { sign }).collect();
    let text = text.trim();
    text[..text.floor_char_boundary(TEXT)].to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `{ 1: number, 2: text }`
    fn words(number: u8, text: &str) -> Vec<u8> {
        let mut bytes = vec![1 << 3, number, 2 << 3 | 2, u8::try_from(text.len()).expect("short")];
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    /// `{ 1: message }`
    fn within(message: &[u8]) -> Vec<u8> {
        [&[1 << 3 | 2, u8::try_from(message.len()).expect("short")], message].concat()
    }

    fn partly(rejected: u64, why: &str) -> Said {
        Said::Partly { rejected, why: why.to_owned() }
    }

    #[test]
    fn success_is_whole_or_partial_in_either_encoding() {
        let taken = |hint: Option<&str>| Said::Taken { hint: hint.map(str::to_owned) };
        for body in
            [&b""[..], b"{}", br#"{"partialSuccess":{}}"#, br#"{"partialSuccess":null}"#, &within(&[])]
        {
            assert_eq!(said(200, body), taken(None), "{body:?}");
        }
        assert_eq!(said(200, b"thank you"), taken(None), "not what was agreed, but a success");
        for body in [
            &br#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}}"#[..],
            br#"{"partialSuccess":{"rejectedSpans":3,"errorMessage":"too old"}}"#,
            br#" {"partialSuccess":{"rejectedDataPoints":"3","errorMessage":"too old"}}"#,
            &within(&words(3, "too old")),
        ] {
            assert_eq!(said(200, body), partly(3, "too old"));
        }
        let hint = br#"{"partialSuccess":{"errorMessage":"use gzip"}}"#;
        assert_eq!(said(200, hint), taken(Some("use gzip")));
        assert_eq!(said(202, &within(&words(0, "use gzip"))), taken(Some("use gzip")));
    }

    #[test]
    fn what_may_pass_or_be_set_right_is_worth_another_try() {
        for status in [429, 502, 503, 504] {
            assert!(matches!(said(status, b""), Said::Later { .. }), "{status}");
        }
        for status in [301, 401, 403, 404] {
            assert!(matches!(said(status, b""), Said::Misplaced { .. }), "{status}");
        }
        for status in [400, 415, 422, 500, 501] {
            assert!(matches!(said(status, b""), Said::Refused { .. }), "{status}");
        }
        assert!(matches!(said(413, b""), Said::TooLarge { .. }));
        let why = "status 400: bad span".to_owned();
        assert_eq!(said(400, br#"{"code":3,"message":"bad\nspan"}"#), Said::Refused { why: why.clone() });
        assert_eq!(said(400, &words(3, "bad\nspan")), Said::Refused { why });
    }

    proptest! {
        #[test]
        fn no_answer_is_too_odd(status: u16, body: Vec<u8>) {
            if let Said::Refused { why } | Said::Later { why } | Said::Partly { why, .. } = said(status, &body) {
                prop_assert!(why.len() < TEXT + 20 && !why.contains('\n'));
            }
        }
    }
}
