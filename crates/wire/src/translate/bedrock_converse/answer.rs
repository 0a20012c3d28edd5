//! Converse answers, complete and streamed.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Usage;
use crate::translate::conversation::{
    Answer, Choice, Event, Family, Open, Part, Signature, Start, Stop, ToolCall,
};
use crate::translate::error::Failure;
use crate::translate::json::Text;
use crate::translate::stream::{Reader, Sink};
use crate::translate::{BadAnswer, Dropped};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Converse<'a> {
    #[serde(borrow)]
    output: Output<'a>,
    #[serde(borrow)]
    stop_reason: Text<'a>,
    usage: Option<TokenUsage>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    message: Option<Message<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Vec<Block<'a>>,
}

/// Every kind of content block in one shape.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    tool_use: Option<ToolUse<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<ReasoningContent<'a>>,
    #[serde(borrow)]
    citations_content: Option<CitationsContent<'a>>,
}

#[derive(Deserialize)]
struct CitationsContent<'a> {
    #[serde(borrow)]
    content: Option<Vec<TextOnly<'a>>>,
}

#[derive(Deserialize)]
struct TextOnly<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse<'a> {
    #[serde(borrow)]
    tool_use_id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    /// A JSON value in a complete answer, a piece of its text in a stream.
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReasoningContent<'a> {
    #[serde(borrow)]
    reasoning_text: Option<ReasoningText<'a>>,
    #[serde(borrow)]
    redacted_content: Option<Text<'a>>,
    // In a stream the text and its signature come without a frame.
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct ReasoningText<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct TokenUsage {
    input_tokens: u64,
    output_tokens: u64,
    cache_read_input_tokens: Option<u64>,
    cache_write_input_tokens: Option<u64>,
}

impl TokenUsage {
    /// Converse counts cached input beside the rest.
    fn usage(&self) -> Usage {
        Usage {
            input: self.input_tokens,
            cache_read: self.cache_read_input_tokens.unwrap_or(0),
            cache_write: self.cache_write_input_tokens.unwrap_or(0),
            output: self.output_tokens,
            ..Usage::default()
        }
    }
}

fn stop_of(reason: &str) -> Option<Stop<'static>> {
    Some(match reason {
        "end_turn" => Stop::End,
        "tool_use" => Stop::ToolUse,
        "max_tokens" => Stop::MaxTokens,
        "stop_sequence" => Stop::Sequence(None),
        "guardrail_intervened" | "content_filtered" => Stop::Filtered,
        "refusal" => Stop::Refusal(None),
        "pause_turn" => Stop::Pause,
        "model_context_window_exceeded" => Stop::ContextWindow,
        _ => return None,
    })
}

fn anthropic<'a>(data: Cow<'a, str>) -> Signature<'a> {
    Signature { family: Family::Anthropic, data }
}

pub(in crate::translate) fn read_answer<'a>(
    body: &'a [u8],
    dropped: &mut Dropped,
) -> Result<Answer<'a>, BadAnswer> {
    let converse: Converse<'a> = serde_json::from_slice(body).map_err(|error| {
        BadAnswer::new(format!("the provider's answer is not a Converse answer: {error}"))
    })?;
    let mut parts = Vec::new();
    for block in converse.output.message.map(|message| message.content).unwrap_or_default() {
        read_block(block, &mut parts, dropped)?;
    }
    let stop = stop_of(&converse.stop_reason).ok_or_else(|| {
        BadAnswer::new(format!(
            "the provider broke the answer off with stopReason {:?}",
            &*converse.stop_reason
        ))
    })?;
    Ok(Answer {
        choices: vec![Choice { parts, stop, logprobs: None }],
        usage: converse.usage.as_ref().map(TokenUsage::usage),
        ..Answer::default()
    })
}

fn read_block<'a>(
    block: Block<'a>,
    parts: &mut Vec<Part<'a>>,
    dropped: &mut Dropped,
) -> Result<(), BadAnswer> {
    if let Some(text) = block.text {
        parts.push(Part::text(text.0));
    } else if let Some(tool) = block.tool_use {
        let missing = |what: &str| BadAnswer::new(format!("the provider called a tool without {what}"));
        parts.push(Part::ToolCall(ToolCall {
            id: tool.tool_use_id.ok_or_else(|| missing("an id"))?.0,
            name: tool.name.ok_or_else(|| missing("a name"))?.0,
            arguments: Cow::Borrowed(tool.input.map_or("{}", RawValue::get)),
            cache: None,
            signature: None,
        }));
    } else if let Some(reasoning) = block.reasoning_content {
        if let Some(data) = reasoning.redacted_content {
            parts.push(Part::Redacted(anthropic(data.0)));
        } else if let Some(thinking) = reasoning.reasoning_text {
            let signature = thinking.signature.filter(|data| !data.is_empty());
            parts.push(Part::Thinking {
                text: thinking.text.unwrap_or_default().0,
                signature: signature.map(|data| anthropic(data.0)),
            });
        }
    } else if let Some(cited) = block.citations_content {
        dropped.add("output.message.content[].citationsContent.citations");
        for text in cited.content.unwrap_or_default().into_iter().filter_map(|part| part.text) {
            parts.push(Part::text(text.0));
        }
    } else {
        dropped.add("output.message.content[]");
    }
    Ok(())
}

/// The payload of every kind of stream event in one shape.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StreamBody<'a> {
    content_block_index: Option<u64>,
    #[serde(borrow)]
    start: Option<Block<'a>>,
    #[serde(borrow)]
    delta: Option<Block<'a>>,
    #[serde(borrow)]
    stop_reason: Option<Text<'a>>,
    usage: Option<TokenUsage>,
}

/// Turns Converse events, already out of their frames, into neutral ones.
#[derive(Debug, Default)]
pub(in crate::translate) struct StreamReader {
    started: bool,
    open: Option<(u64, Kind)>,
    stopped: bool,
    ended: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Text,
    Thinking,
    Tool,
}

impl Reader for StreamReader {
    fn event(&mut self, name: Option<&[u8]>, data: &[u8], sink: &mut Sink<'_>) {
        let body: StreamBody<'_> = match serde_json::from_slice(data) {
            Ok(body) => body,
            Err(error) => {
                let message = format!("the provider sent an event that cannot be read: {error}");
                sink(Event::Fail(Failure::upstream(message)));
                return;
            }
        };
        if !self.started {
            self.started = true;
            sink(Event::Start(Start::default()));
        }
        let index = body.content_block_index.unwrap_or(0);
        match name.unwrap_or_default() {
            b"contentBlockDelta" => {
                if let Some(delta) = body.delta {
                    self.delta(index, &delta, sink);
                }
            }
            b"contentBlockStart" => {
                if let Some(tool) = body.start.and_then(|start| start.tool_use) {
                    self.close(sink);
                    let id = tool.tool_use_id.as_deref().unwrap_or_default();
                    let name = tool.name.as_deref().unwrap_or_default();
                    sink(Event::Open(Open::Tool { id, name, signature: None }));
                    self.open = Some((index, Kind::Tool));
                }
            }
            b"contentBlockStop" => self.close(sink),
            b"messageStop" => {
                self.close(sink);
                let reason = body.stop_reason.unwrap_or_default();
                match stop_of(&reason) {
                    Some(stop) => {
                        self.stopped = true;
                        sink(Event::Stop(stop));
                    }
                    None => {
                        let message =
                            format!("the provider broke the answer off with stopReason {:?}", &*reason);
                        sink(Event::Fail(Failure::upstream(message)));
                    }
                }
            }
            b"metadata" => {
                if let Some(usage) = body.usage {
                    sink(Event::Usage(usage.usage()));
                }
                if self.stopped {
                    self.ended = true;
                    sink(Event::End);
                }
            }
            _ => {}
        }
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        if self.stopped && !self.ended {
            sink(Event::End);
        }
    }
}

impl StreamReader {
    fn delta(&mut self, index: u64, delta: &Block<'_>, sink: &mut Sink<'_>) {
        if let Some(text) = &delta.text {
            self.open(index, Kind::Text, sink);
            sink(Event::Delta(text));
        } else if let Some(tool) = &delta.tool_use {
            let piece = tool.input.and_then(|input| serde_json::from_str::<Text<'_>>(input.get()).ok());
            match piece {
                Some(piece) if self.open == Some((index, Kind::Tool)) => sink(Event::Delta(&piece)),
                _ => {
                    let message = "the provider streamed arguments of a tool call that is not open";
                    sink(Event::Fail(Failure::upstream(message)));
                }
            }
        } else if let Some(reasoning) = &delta.reasoning_content {
            if let Some(data) = &reasoning.redacted_content {
                self.close(sink);
                sink(Event::Open(Open::Redacted(Family::Anthropic, data)));
                sink(Event::Close);
                return;
            }
            self.open(index, Kind::Thinking, sink);
            if let Some(text) = &reasoning.text {
                sink(Event::Delta(text));
            }
            if let Some(signature) = &reasoning.signature {
                sink(Event::Sign(Family::Anthropic, signature));
            }
        }
    }

    fn open(&mut self, index: u64, kind: Kind, sink: &mut Sink<'_>) {
        if self.open == Some((index, kind)) {
            return;
        }
        self.close(sink);
        sink(Event::Open(if kind == Kind::Thinking { Open::Thinking } else { Open::Text }));
        self.open = Some((index, kind));
    }

    fn close(&mut self, sink: &mut Sink<'_>) {
        if self.open.take().is_some() {
            sink(Event::Close);
        }
    }
}
