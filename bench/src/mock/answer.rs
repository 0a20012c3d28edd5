//! The mock's answers: JSON of about 1.2 KB (OpenAI) and 1.05 KB (Anthropic), and the events of a stream.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep_until};

use super::script::Script;
use crate::dialect::Dialect;
use crate::stamp;

/// Text that is in every JSON answer and survives translation; a client that does not find it got something else.
pub const SENTINEL: &str = "the bench mock answers";

/// Tokens of the fixed JSON answer.
const ANSWER_TOKENS: u32 = 150;

/// A whole answer to a request of `request_bytes`, usage included (four bytes count as a token).
#[must_use]
pub fn whole(dialect: Dialect, request_bytes: usize) -> Bytes {
    let (input, output) = (request_bytes / 4, ANSWER_TOKENS);
    let text = |length: usize| -> String {
        let words = " calmly, at length and without any delay, so that only the relay is measured;";
        SENTINEL.chars().chain(words.chars().cycle()).take(length).collect()
    };
    Bytes::from(match dialect {
        Dialect::Openai => format!(
            r#"{{"id":"chatcmpl-BenchMock0000000000000000001","object":"chat.completion","created":1760000000,"model":"gpt-4o-mini-2024-07-18","choices":[{{"index":0,"message":{{"role":"assistant","content":"{}","refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":{input},"completion_tokens":{output},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":0,"audio_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}},"service_tier":"default","system_fingerprint":"fp_bench00000"}}"#,
            text(640),
            input + output as usize,
        ),
        Dialect::Anthropic => format!(
            r#"{{"id":"msg_01BenchMock0000000000000001","type":"message","role":"assistant","model":"claude-sonnet-4-5-20250929","content":[{{"type":"text","text":"{}"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":{input},"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":{{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0}},"output_tokens":{output},"service_tier":"standard"}}}}"#,
            text(640),
        ),
    })
}

/// An SSE answer: opening events, stamped deltas at the script's pace, closing events with usage. Each event is
/// flushed alone.
#[derive(Debug)]
pub struct Events {
    dialect: Dialect,
    script: Script,
    sent: u32,
    opening: VecDeque<Bytes>,
    closing: VecDeque<Bytes>,
    /// Set after an event, so that the connection writes it out before it gets the next.
    flush: bool,
    /// Paced streams: when the next event is due.
    due: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Events {
    /// The answer to a streaming request of `request_bytes`.
    #[must_use]
    pub fn new(dialect: Dialect, script: Script, request_bytes: usize) -> Events {
        let (input, output) = (request_bytes / 4, script.events);
        let (opening, closing) = frame_of_stream(dialect, input, output);
        let due = (!script.gap.is_zero()).then(|| {
            let now = Instant::now();
            (now, Box::pin(sleep_until(now)))
        });
        Events { dialect, script, sent: 0, opening, closing, flush: false, due }
    }

    fn next(&mut self) -> Option<Bytes> {
        if let Some(event) = self.opening.pop_front() {
            return Some(event);
        }
        if self.sent == self.script.events {
            return self.closing.pop_front();
        }
        self.sent += 1;
        if let Some((at, sleep)) = &mut self.due {
            *at += self.script.gap;
            sleep.as_mut().reset(*at);
        }
        Some(delta(self.dialect, stamp::now()))
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::take(&mut self.flush) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let paced = self.opening.is_empty() && self.sent < self.script.events;
        if let Some((_, sleep)) = self.due.as_mut().filter(|_| paced) {
            ready!(sleep.as_mut().poll(context));
        }
        let event = self.next();
        self.flush = event.is_some();
        Poll::Ready(event.map(|event| Ok(Frame::data(event))))
    }
}

/// One delta: about 202 bytes (OpenAI) or 135 (Anthropic).
fn delta(dialect: Dialect, time: u64) -> Bytes {
    let stamp = stamp::write(time);
    Bytes::from(match dialect {
        Dialect::Openai => chunk(&format!(r#"{{"content":"{stamp} word"}}"#), "null", ""),
        Dialect::Anthropic => format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\
             \"delta\":{{\"type\":\"text_delta\",\"text\":\"{stamp} word\"}}}}\n\n"
        ),
    })
}

fn chunk(delta: &str, finish: &str, usage: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-BenchMock0001\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\
         \"model\":\"gpt-4o-mini\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]{usage}}}\n\n"
    )
}

/// What comes before and after the deltas.
fn frame_of_stream(dialect: Dialect, input: usize, output: u32) -> (VecDeque<Bytes>, VecDeque<Bytes>) {
    let named = |name: &str, data: String| Bytes::from(format!("event: {name}\ndata: {data}\n\n"));
    match dialect {
        Dialect::Openai => {
            let total = input + output as usize;
            let usage = format!(
                "data: {{\"id\":\"chatcmpl-BenchMock0001\",\"object\":\"chat.completion.chunk\",\
                 \"created\":1760000000,\"model\":\"gpt-4o-mini\",\"choices\":[],\"usage\":{{\"prompt_tokens\":{input},\
                 \"completion_tokens\":{output},\"total_tokens\":{total}}}}}\n\n"
            );
            let opening = [chunk(r#"{"role":"assistant","content":""}"#, "null", "").into()];
            let closing =
                [chunk("{}", "\"stop\"", "").into(), usage.into(), Bytes::from_static(b"data: [DONE]\n\n")];
            (opening.into(), closing.into())
        }
        Dialect::Anthropic => {
            let start = format!(
                r#"{{"type":"message_start","message":{{"id":"msg_01BenchMock","type":"message","role":"assistant","model":"claude-sonnet-4-5-20250929","content":[],"stop_reason":null,"stop_sequence":null,"usage":{{"input_tokens":{input},"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1}}}}}}"#
            );
            let block =
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
            let end = format!(
                r#"{{"type":"message_delta","delta":{{"stop_reason":"end_turn","stop_sequence":null}},"usage":{{"output_tokens":{output}}}}}"#
            );
            let opening = [named("message_start", start), named("content_block_start", block.into())];
            let closing = [
                named("content_block_stop", r#"{"type":"content_block_stop","index":0}"#.into()),
                named("message_delta", end),
                named("message_stop", r#"{"type":"message_stop"}"#.into()),
            ];
            (opening.into(), closing.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn whole_answers_are_json_of_the_promised_size_with_usage() {
        for (dialect, size, pointer, text) in [
            (Dialect::Openai, 1150..1300, "/usage/prompt_tokens", "/choices/0/message/content"),
            (Dialect::Anthropic, 1000..1100, "/usage/input_tokens", "/content/0/text"),
        ] {
            let bytes = whole(dialect, 10_240);
            assert!(size.contains(&bytes.len()), "{dialect:?}: {} bytes", bytes.len());
            let answer: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(answer.pointer(pointer), Some(&2560.into()));
            assert!(answer.pointer(text).unwrap().as_str().unwrap().contains(SENTINEL));
        }
    }

    #[test]
    fn deltas_have_the_promised_size() {
        assert!(
            (195..=210).contains(&delta(Dialect::Openai, 1).len()),
            "{}",
            delta(Dialect::Openai, 1).len()
        );
        assert!((130..=145).contains(&delta(Dialect::Anthropic, 1).len()));
    }

    #[tokio::test]
    async fn a_stream_has_its_deltas_its_usage_and_its_end() {
        use http_body_util::BodyExt as _;
        for (dialect, end, usage) in [
            (Dialect::Openai, "data: [DONE]\n\n", "\"completion_tokens\":5,\"total_tokens\":105}"),
            (Dialect::Anthropic, "data: {\"type\":\"message_stop\"}\n\n", "\"usage\":{\"output_tokens\":5}"),
        ] {
            let script = "events=5".parse().unwrap();
            let bytes = Events::new(dialect, script, 400).collect().await.unwrap().to_bytes();
            let text = std::str::from_utf8(&bytes).unwrap();
            assert!(text.ends_with(end) && text.contains(usage), "{text}");
            let mut stamps = 0;
            stamp::Reader::default().feed(&bytes, |_| stamps += 1);
            assert_eq!(stamps, 5);
            for data in text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|d| *d != "[DONE]")
            {
                serde_json::from_str::<Value>(data).unwrap();
            }
        }
    }
}
