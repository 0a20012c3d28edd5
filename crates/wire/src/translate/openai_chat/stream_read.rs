//! Reading a stream of chat completion chunks.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::translate::conversation::{Event, Family, Open, Start, Stop};
use crate::translate::error::Failure;
use crate::translate::json::{self, Text};
use crate::translate::stream::{Reader, Sink};

use super::answer::{Logprobs, citation};
use super::{Annotation, ExtraContent, HOME, ThinkingBlock, UsageBody, stop_of};
use crate::translate::conversation::Signature;

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    created: Option<u64>,
    #[serde(borrow)]
    choices: Option<Vec<ChunkChoice<'a>>>,
    usage: Option<UsageBody>,
    #[serde(borrow)]
    service_tier: Option<Text<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ChunkChoice<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
    #[serde(borrow)]
    logprobs: Option<Logprobs<'a>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning: Option<Text<'a>>,
    #[serde(borrow)]
    thinking_blocks: Option<Vec<ThinkingBlock<'a>>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<CallDelta<'a>>>,
    #[serde(borrow)]
    annotations: Option<Vec<Annotation<'a>>>,
    #[serde(borrow)]
    extra_content: Option<ExtraContent<'a>>,
}

#[derive(Deserialize)]
struct CallDelta<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<FunctionDelta<'a>>,
    #[serde(borrow)]
    extra_content: Option<ExtraContent<'a>>,
}

#[derive(Deserialize)]
struct FunctionDelta<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
}

/// Turns chunks into events, finding the blocks that the dialect leaves unsaid.
#[derive(Debug, Default)]
pub(in crate::translate) struct StreamReader {
    started: bool,
    id: String,
    open: Option<Kind>,
    tools: Vec<Tool>,
    stopped: bool,
    refused: bool,
    /// The text block has a signature that arrived before its end.
    ended: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Text,
    Thinking,
    Refusal,
    Tool(usize),
}

/// A tool call being streamed. Only one block is open at a time, so a call that begins before the one before
/// it is complete waits in `held`.
#[derive(Debug, Default)]
struct Tool {
    index: u64,
    id: String,
    name: String,
    signature: Option<String>,
    held: String,
    arguments: Completeness,
    opened: bool,
    closed: bool,
}

/// Whether the JSON seen so far is a complete object.
#[derive(Clone, Copy, Debug, Default)]
struct Completeness {
    depth: u32,
    in_string: bool,
    escaped: bool,
    began: bool,
}

impl Completeness {
    fn push(&mut self, text: &str) {
        for byte in text.bytes() {
            match (self.in_string, self.escaped, byte) {
                (true, true, _) => self.escaped = false,
                (true, false, b'\\') => self.escaped = true,
                (true, false, b'"') => self.in_string = false,
                (true, ..) => {}
                (false, _, b'"') => self.in_string = true,
                (false, _, b'{' | b'[') => {
                    self.depth += 1;
                    self.began = true;
                }
                (false, _, b'}' | b']') => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    fn done(self) -> bool {
        self.began && self.depth == 0 && !self.in_string
    }
}

impl Reader for StreamReader {
    fn event(&mut self, _name: Option<&[u8]>, data: &[u8], sink: &mut Sink<'_>) {
        if data == b"[DONE]" {
            self.end(sink);
            return;
        }
        let chunk: Chunk<'_> = match serde_json::from_slice(data) {
            Ok(chunk) => chunk,
            Err(error) => {
                sink(Event::Fail(Failure::upstream(format!(
                    "the provider sent a chunk that cannot be read: {error}"
                ))));
                return;
            }
        };
        if let Some(error) = chunk.error.filter(|error| error.get() != "null") {
            let failure = match json::parse(error.get().as_bytes(), &[]) {
                Ok(json) => Failure::read_event(json),
                Err(_) => Failure::upstream("the provider reported an error that cannot be read"),
            };
            sink(Event::Fail(failure));
            return;
        }
        if !self.started {
            self.started = true;
            self.id = chunk.id.as_deref().unwrap_or_default().to_owned();
            sink(Event::Start(Start {
                id: chunk.id.as_deref().filter(|id| !id.is_empty()),
                model: chunk.model.as_deref().filter(|model| !model.is_empty()),
                created: chunk.created.filter(|created| *created > 0),
                usage: None,
            }));
        }
        if let Some(tier) = chunk.service_tier.as_deref() {
            sink(Event::ServiceTier(tier));
        }
        for choice in chunk.choices.unwrap_or_default() {
            // One answer is asked for; a second one has nowhere to go.
            if choice.index.unwrap_or(0) == 0 {
                self.choice(choice, sink);
            }
        }
        if let Some(usage) = chunk.usage {
            sink(Event::Usage(usage.usage()));
        }
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        if self.stopped && !self.ended {
            self.end(sink);
        }
    }
}

impl StreamReader {
    fn choice(&mut self, choice: ChunkChoice<'_>, sink: &mut Sink<'_>) {
        if let Some(tokens) =
            choice.logprobs.and_then(|logprobs| logprobs.content).filter(|raw| raw.get() != "null")
        {
            sink(Event::Logprobs(tokens.get()));
        }
        if let Some(delta) = choice.delta {
            self.delta(delta, sink);
        }
        let Some(reason) = choice.finish_reason else {
            return;
        };
        if self.stopped {
            return;
        }
        if !self.close_tools(sink) {
            return;
        }
        match stop_of(&reason, !self.tools.is_empty()) {
            Some(_) if self.refused => sink(Event::Stop(Stop::Refusal(None))),
            Some(stop) => sink(Event::Stop(stop)),
            None => {
                let reason = &*reason;
                sink(Event::Fail(Failure::upstream(format!(
                    "the provider broke the answer off with finish_reason {reason:?}"
                ))));
            }
        }
        self.stopped = true;
    }

    fn delta(&mut self, delta: Delta<'_>, sink: &mut Sink<'_>) {
        if let Some(text) = delta.reasoning_content.or(delta.reasoning).filter(|text| !text.is_empty()) {
            self.open(Kind::Thinking, sink);
            sink(Event::Delta(&text));
        }
        for block in delta.thinking_blocks.unwrap_or_default() {
            self.thinking_block(&block, sink);
        }
        if let Some(text) = delta.content.filter(|text| !text.is_empty()) {
            self.open(Kind::Text, sink);
            sink(Event::Delta(&text));
        }
        if let Some(signature) = ExtraContent::signature(delta.extra_content.as_ref()) {
            self.open(Kind::Text, sink);
            sink(Event::Sign(Family::Google, signature));
        }
        for annotation in delta.annotations.unwrap_or_default() {
            if let Some(citation) = citation(annotation) {
                self.open(Kind::Text, sink);
                sink(Event::Cite(citation));
            }
        }
        if let Some(text) = delta.refusal.filter(|text| !text.is_empty()) {
            self.refused = true;
            self.open(Kind::Refusal, sink);
            sink(Event::Delta(&text));
        }
        for call in delta.tool_calls.unwrap_or_default() {
            self.call(&call, sink);
        }
    }

    /// A whole block, sent when its text has been streamed as `reasoning_content` already.
    fn thinking_block(&mut self, block: &ThinkingBlock<'_>, sink: &mut Sink<'_>) {
        if &*block.kind == "redacted_thinking" {
            self.close(sink);
            let data =
                Signature::read(HOME, block.data.as_ref().map(|data| data.0.clone()).unwrap_or_default());
            sink(Event::Open(Open::Redacted(data.family, &data.data)));
            sink(Event::Close);
            return;
        }
        if self.open != Some(Kind::Thinking) {
            self.open(Kind::Thinking, sink);
            if let Some(text) = &block.thinking {
                sink(Event::Delta(text));
            }
        }
        if let Some(signature) = block.signature.as_ref().filter(|signature| !signature.is_empty()) {
            let signature = Signature::read(HOME, signature.0.clone());
            sink(Event::Sign(signature.family, &signature.data));
            self.close(sink);
        }
    }

    fn call(&mut self, delta: &CallDelta<'_>, sink: &mut Sink<'_>) {
        let id = delta.id.as_deref().filter(|id| !id.is_empty());
        let at = self.position(delta.index, id);
        let tool = &mut self.tools[at];
        if let Some(id) = id.filter(|_| tool.id.is_empty()) {
            tool.id = id.to_owned();
        }
        if let Some(signature) = ExtraContent::signature(delta.extra_content.as_ref()) {
            tool.signature = Some(signature.to_owned());
        }
        let function = delta.function.as_ref();
        if let Some(name) = function.and_then(|function| function.name.as_deref())
            && !tool.opened
        {
            // A few providers repeat the name in every delta; none is known to cut it.
            tool.name = name.to_owned();
        }
        let arguments = function.and_then(|function| function.arguments.as_deref()).unwrap_or_default();
        if self.open == Some(Kind::Tool(at)) {
            self.tools[at].arguments.push(arguments);
            if !arguments.is_empty() {
                sink(Event::Delta(arguments));
            }
            return;
        }
        if tool.closed {
            if !arguments.is_empty() {
                let name = &tool.name;
                sink(Event::Fail(Failure::upstream(format!(
                    "the provider sent more arguments for {name:?} after its call was complete"
                ))));
            }
            return;
        }
        tool.held.push_str(arguments);
        tool.arguments.push(arguments);
        if !tool.name.is_empty() && self.free() {
            self.open_tool(at, sink);
        }
    }

    /// The call a delta belongs to. Providers that send no index send whole calls, each with its id.
    fn position(&mut self, index: Option<u64>, id: Option<&str>) -> usize {
        let known = match (index, id) {
            (Some(index), _) => self.tools.iter().rposition(|tool| tool.index == index),
            (None, Some(id)) => self.tools.iter().position(|tool| tool.id == id),
            (None, None) => self.tools.len().checked_sub(1),
        };
        // Some count every parallel call as index 0, told apart by id alone.
        let known =
            known.filter(|at| id.is_none_or(|id| self.tools[*at].id.is_empty() || self.tools[*at].id == id));
        known.unwrap_or_else(|| {
            let index = index.unwrap_or(self.tools.len() as u64);
            self.tools.push(Tool { index, ..Tool::default() });
            self.tools.len() - 1
        })
    }

    /// Whether the open block, if any, is complete and another may begin.
    fn free(&self) -> bool {
        match self.open {
            Some(Kind::Tool(at)) => self.tools[at].arguments.done(),
            _ => true,
        }
    }

    fn open_tool(&mut self, at: usize, sink: &mut Sink<'_>) {
        self.close(sink);
        let answer = &self.id;
        let tool = &mut self.tools[at];
        if tool.id.is_empty() {
            tool.id = format!("call_{answer}_{at}");
        }
        tool.opened = true;
        sink(Event::Open(Open::Tool {
            id: &tool.id,
            name: &tool.name,
            signature: tool.signature.as_deref(),
        }));
        if !tool.held.is_empty() {
            sink(Event::Delta(&std::mem::take(&mut tool.held)));
        }
        self.open = Some(Kind::Tool(at));
    }

    /// Opens and closes whatever calls still wait; false if the answer turned out broken.
    fn close_tools(&mut self, sink: &mut Sink<'_>) -> bool {
        for at in 0..self.tools.len() {
            if !self.tools[at].opened {
                if self.tools[at].name.is_empty() {
                    sink(Event::Fail(Failure::upstream("the provider streamed a tool call without a name")));
                    return false;
                }
                self.open_tool(at, sink);
            }
        }
        self.close(sink);
        true
    }

    fn open(&mut self, kind: Kind, sink: &mut Sink<'_>) {
        if self.open == Some(kind) {
            return;
        }
        self.close(sink);
        sink(Event::Open(match kind {
            Kind::Thinking => Open::Thinking,
            Kind::Refusal => Open::Refusal,
            Kind::Text | Kind::Tool(_) => Open::Text,
        }));
        self.open = Some(kind);
    }

    fn close(&mut self, sink: &mut Sink<'_>) {
        if let Some(kind) = self.open.take() {
            if let Kind::Tool(at) = kind {
                self.tools[at].closed = true;
            }
            sink(Event::Close);
        }
    }

    fn end(&mut self, sink: &mut Sink<'_>) {
        if self.stopped {
            self.ended = true;
            sink(Event::End);
        } else {
            sink(Event::Fail(Failure::upstream(
                "the provider ended the stream without saying why the model stopped",
            )));
        }
    }
}
