//! Which events of a stream can matter, told from raw bytes before anything is parsed.
//!
//! A needle with its quotes cannot match inside a JSON string, where quotes are escaped, so an ordinary delta
//! costs one pass per needle. A match is only a hint: what the event says is decided by parsing it.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::Dialect;
use crate::sse;

/// The most needles a dialect has.
const MOST: usize = 4;

/// Bytes whose presence makes an event worth a look, if what follows them fits.
struct Needle {
    finder: Finder<'static>,
    fits: fn(&[u8]) -> bool,
}

/// Calls `on_event` with each event of `run` that can matter, in order.
pub(super) fn for_each_candidate(dialect: Dialect, run: &[u8], mut on_event: impl FnMut(&[u8])) {
    let needles = needles(dialect);
    if needles.is_empty() {
        sse::events(run).for_each(on_event);
        return;
    }
    let mut hits = [None; MOST];
    for (hit, needle) in hits.iter_mut().zip(needles) {
        *hit = needle.find(run, 0);
    }
    while let Some(first) = hits.iter().flatten().min() {
        let event = sse::event_around(run, *first);
        on_event(&run[event.clone()]);
        for (hit, needle) in hits.iter_mut().zip(needles) {
            if hit.is_some_and(|hit| hit < event.end) {
                *hit = needle.find(run, event.end);
            }
        }
    }
}

/// No needles: every event can matter.
fn needles(dialect: Dialect) -> &'static [Needle] {
    static OPENAI_CHAT: LazyLock<[Needle; 4]> = LazyLock::new(|| {
        [
            // On every chunk, but null on all but one.
            Needle::new("\"finish_reason\"", is_not_null),
            Needle::new("\"usage\"", is_not_null),
            Needle::new("\"error\"", is_not_null),
            Needle::new("[DONE]", |_| true),
        ]
    });
    static OPENAI_RESPONSES: LazyLock<[Needle; 2]> =
        LazyLock::new(|| [Needle::new("\"response.", ends_response), Needle::new("\"error\"", is_not_null)]);
    static ANTHROPIC: LazyLock<[Needle; 2]> = LazyLock::new(|| {
        [Needle::new("\"message_", is_message_event), Needle::new("\"error\"", is_not_null)]
    });
    static COHERE: LazyLock<[Needle; 2]> =
        LazyLock::new(|| [Needle::new("\"message-end\"", |_| true), Needle::new("\"error\"", is_not_null)]);
    match dialect {
        Dialect::OpenAiChat => &*OPENAI_CHAT,
        Dialect::OpenAiResponses => &*OPENAI_RESPONSES,
        Dialect::AnthropicMessages => &*ANTHROPIC,
        Dialect::CohereChat => &*COHERE,
        // Every Gemini chunk carries usage; the others do not stream this way.
        Dialect::GeminiGenerate | Dialect::BedrockConverse | Dialect::OpenAiEmbeddings => &[],
    }
}

impl Needle {
    fn new(text: &'static str, fits: fn(&[u8]) -> bool) -> Self {
        Self { finder: Finder::new(text), fits }
    }

    fn find(&self, run: &[u8], from: usize) -> Option<usize> {
        let mut from = from;
        loop {
            let hit = from + self.finder.find(&run[from..])?;
            from = hit + self.finder.needle().len();
            if (self.fits)(&run[from..]) {
                return Some(hit);
            }
        }
    }
}

/// Unless it is a key whose value is null. As a value it may name what the event is: `"type":"error"`.
fn is_not_null(after: &[u8]) -> bool {
    after
        .trim_ascii_start()
        .strip_prefix(b":")
        .is_none_or(|value| value.trim_ascii_start().first() != Some(&b'n'))
}

fn ends_response(after: &[u8]) -> bool {
    [&b"completed\""[..], b"incomplete\"", b"failed\""].iter().any(|kind| after.starts_with(kind))
}

fn is_message_event(after: &[u8]) -> bool {
    [&b"start\""[..], b"delta\"", b"stop\""].iter().any(|kind| after.starts_with(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(dialect: Dialect, run: &str) -> Vec<String> {
        let mut found = Vec::new();
        for_each_candidate(dialect, run.as_bytes(), |event| {
            found.push(String::from_utf8_lossy(event).into_owned());
        });
        found
    }

    #[test]
    fn ordinary_deltas_are_passed_over() {
        let chat = r#"data: {"choices":[{"delta":{"content":"\"usage\": 5 \"error\""},"finish_reason":null}],"usage":null}"#;
        assert_eq!(candidates(Dialect::OpenAiChat, &format!("{chat}\n\n{chat}\n\n")), Vec::<String>::new());
        let delta = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\"}\n\n";
        assert_eq!(candidates(Dialect::AnthropicMessages, delta), Vec::<String>::new());
        let text = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\"}\n\n";
        assert_eq!(candidates(Dialect::OpenAiResponses, text), Vec::<String>::new());
    }

    #[test]
    fn candidates_come_once_each_and_in_order() {
        let run = "data: {\"usage\" : 1,\"finish_reason\":\"stop\"}\n\ndata: {}\n\n\
                   data: {\"finish_reason\": \"x\"}\n\ndata: [DONE]\n\n";
        let found = candidates(Dialect::OpenAiChat, run);
        assert_eq!(found.len(), 3);
        assert!(found[0].contains("usage") && found[1].contains("\"x\"") && found[2].contains("DONE"));
    }
}
