//! Cohere v2 answers, complete and streamed.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Usage;
use crate::translate::conversation::{Answer, Choice, Event, Open, Part, Start, Stop, ToolCall};
use crate::translate::error::Failure;
use crate::translate::json::{self, Text};
use crate::translate::stream::{Reader, Sink};
use crate::translate::{BadAnswer, Dropped};

#[derive(Deserialize)]
struct Chat<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
    #[serde(borrow)]
    message: Message<'a>,
    usage: Option<UsageBody>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Option<Vec<Content<'a>>>,
    #[serde(borrow)]
    tool_plan: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<Call<'a>>>,
    #[serde(borrow)]
    citations: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
}

/// Cohere writes counts as floats.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct UsageBody {
    tokens: Tokens,
    cached_tokens: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tokens {
    input_tokens: f64,
    output_tokens: f64,
}

impl UsageBody {
    fn usage(&self) -> Usage {
        let cached = self.cached_tokens.unwrap_or(0.0) as u64;
        Usage {
            input: (self.tokens.input_tokens as u64).saturating_sub(cached),
            cache_read: cached,
            output: self.tokens.output_tokens as u64,
            ..Usage::default()
        }
    }
}

fn stop_of(reason: &str) -> Option<Stop<'static>> {
    Some(match reason {
        "COMPLETE" => Stop::End,
        "STOP_SEQUENCE" => Stop::Sequence(None),
        "MAX_TOKENS" => Stop::MaxTokens,
        "TOOL_CALL" => Stop::ToolUse,
        _ => return None,
    })
}

pub(in crate::translate) fn read_answer<'a>(
    body: &'a [u8],
    dropped: &mut Dropped,
) -> Result<Answer<'a>, BadAnswer> {
    let chat: Chat<'a> = serde_json::from_slice(body).map_err(|error| {
        BadAnswer::new(format!("the provider's answer is not a Cohere chat answer: {error}"))
    })?;
    if chat.message.citations.is_some_and(|list| !matches!(list.get(), "null" | "[]")) {
        dropped.add("message.citations");
    }
    let mut parts = Vec::new();
    if let Some(plan) = chat.message.tool_plan.filter(|plan| !plan.is_empty()) {
        parts.push(Part::Thinking { text: plan.0, signature: None });
    }
    for content in chat.message.content.unwrap_or_default() {
        if let Some(text) = content.text {
            parts.push(Part::text(text.0));
        } else if let Some(text) = content.thinking {
            parts.push(Part::Thinking { text: text.0, signature: None });
        }
    }
    for call in chat.message.tool_calls.unwrap_or_default() {
        let broken = || BadAnswer::new("the provider called a tool without an id or a name");
        let function = call.function.ok_or_else(broken)?;
        let name = function.name.ok_or_else(broken)?.0;
        let arguments = function.arguments.unwrap_or_default().0;
        let arguments = if arguments.trim().is_empty() { Cow::Borrowed("{}") } else { arguments };
        if !json::is_object(&arguments) {
            return Err(BadAnswer::new(format!(
                "the model called {name:?} with arguments that are not a JSON object"
            )));
        }
        let id = call.id.ok_or_else(broken)?.0;
        parts.push(Part::ToolCall(ToolCall { id, name, arguments, cache: None, signature: None }));
    }
    let reason = chat.finish_reason.unwrap_or_default();
    let stop = stop_of(&reason).ok_or_else(|| {
        BadAnswer::new(format!("the provider broke the answer off with finish_reason {:?}", &*reason))
    })?;
    Ok(Answer {
        id: chat.id.map(|id| id.0),
        choices: vec![Choice { parts, stop, logprobs: None }],
        usage: chat.usage.as_ref().map(UsageBody::usage),
        ..Answer::default()
    })
}

/// Every kind of stream event in one shape.
#[derive(Deserialize)]
struct StreamBody<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    message: Option<MessageDelta<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
    #[serde(borrow)]
    error: Option<Text<'a>>,
    usage: Option<UsageBody>,
}

/// In a stream, what is a list elsewhere is one item, or an empty list.
#[derive(Deserialize)]
struct MessageDelta<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_plan: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
}

#[derive(Debug, Default)]
pub(in crate::translate) struct StreamReader {
    open: Option<Kind>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Text,
    Thinking,
    Tool,
}

impl Reader for StreamReader {
    fn event(&mut self, _name: Option<&[u8]>, data: &[u8], sink: &mut Sink<'_>) {
        if data == b"[DONE]" {
            return;
        }
        let body: StreamBody<'_> = match serde_json::from_slice(data) {
            Ok(body) => body,
            Err(error) => {
                let message = format!("the provider sent an event that cannot be read: {error}");
                sink(Event::Fail(Failure::upstream(message)));
                return;
            }
        };
        let message = body.delta.as_ref().and_then(|delta| delta.message.as_ref());
        match &*body.kind {
            "message-start" => sink(Event::Start(Start { id: body.id.as_deref(), ..Start::default() })),
            "content-start" | "content-delta" => self.content(message, sink),
            "tool-plan-delta" => {
                if let Some(plan) = message.and_then(|message| message.tool_plan.as_deref()) {
                    self.say(Kind::Thinking, plan, sink);
                }
            }
            "tool-call-start" | "tool-call-delta" => self.call(&body.kind, message, sink),
            "content-end" | "tool-call-end" => self.close(sink),
            "message-end" => self.end(body.delta, sink),
            // Citations of documents, which no request that was translated brings along.
            _ => {}
        }
    }

    fn finish(&mut self, _sink: &mut Sink<'_>) {}
}

impl StreamReader {
    fn content(&mut self, message: Option<&MessageDelta<'_>>, sink: &mut Sink<'_>) {
        let raw = message.and_then(|message| message.content).map(RawValue::get);
        let Some(content) = raw.and_then(|raw| serde_json::from_str::<Content<'_>>(raw).ok()) else {
            return;
        };
        if let Some(text) = content.text {
            self.say(Kind::Text, &text, sink);
        }
        if let Some(text) = content.thinking {
            self.say(Kind::Thinking, &text, sink);
        }
    }

    fn call(&mut self, kind: &str, message: Option<&MessageDelta<'_>>, sink: &mut Sink<'_>) {
        let raw = message.and_then(|message| message.tool_calls).map(RawValue::get);
        let Some(call) = raw.and_then(|raw| serde_json::from_str::<Call<'_>>(raw).ok()) else {
            sink(Event::Fail(Failure::upstream("the provider streamed a tool call that cannot be read")));
            return;
        };
        let function = call.function.as_ref();
        if kind == "tool-call-start" {
            self.close(sink);
            let name = function.and_then(|function| function.name.as_deref()).unwrap_or_default();
            sink(Event::Open(Open::Tool {
                id: call.id.as_deref().unwrap_or_default(),
                name,
                signature: None,
            }));
            self.open = Some(Kind::Tool);
        } else if self.open != Some(Kind::Tool) {
            let message = "the provider streamed arguments of a tool call that is not open";
            sink(Event::Fail(Failure::upstream(message)));
            return;
        }
        let arguments = function.and_then(|function| function.arguments.as_deref());
        if let Some(arguments) = arguments.filter(|arguments| !arguments.is_empty()) {
            sink(Event::Delta(arguments));
        }
    }

    fn say(&mut self, kind: Kind, text: &str, sink: &mut Sink<'_>) {
        if text.is_empty() {
            return;
        }
        if self.open != Some(kind) {
            self.close(sink);
            sink(Event::Open(if kind == Kind::Thinking { Open::Thinking } else { Open::Text }));
            self.open = Some(kind);
        }
        sink(Event::Delta(text));
    }

    fn close(&mut self, sink: &mut Sink<'_>) {
        if self.open.take().is_some() {
            sink(Event::Close);
        }
    }

    fn end(&mut self, delta: Option<Delta<'_>>, sink: &mut Sink<'_>) {
        self.close(sink);
        let Some(delta) = delta else {
            sink(Event::Fail(Failure::upstream(
                "the provider ended the stream without saying why the model stopped",
            )));
            return;
        };
        if let Some(usage) = &delta.usage {
            sink(Event::Usage(usage.usage()));
        }
        let reason = delta.finish_reason.unwrap_or_default();
        match (delta.error, stop_of(&reason)) {
            (None, Some(stop)) => {
                sink(Event::Stop(stop));
                sink(Event::End);
            }
            (error, _) => {
                let detail = error.map(|error| format!(": {}", &*error)).unwrap_or_default();
                let message =
                    format!("the provider broke the answer off with finish_reason {:?}{detail}", &*reason);
                sink(Event::Fail(Failure::upstream(message)));
            }
        }
    }
}
