//! Reading a stream of Messages events.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Usage;
use crate::translate::conversation::{Event, Open, Signature, Start};
use crate::translate::error::Failure;
use crate::translate::json::{self, Text};
use crate::translate::stream::{Reader, Sink};

use super::answer::StopDetails;
use super::{CitationBody, HOME, UsageBody, stop_of};

/// Every kind of event in one shape, so that each is read in one pass.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    message: Option<Message<'a>>,
    index: Option<u64>,
    #[serde(borrow)]
    content_block: Option<Block<'a>>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    usage: Option<UsageBody>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    usage: Option<UsageBody>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    partial_json: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow)]
    citation: Option<CitationBody<'a>>,
    #[serde(borrow)]
    stop_reason: Option<Text<'a>>,
    #[serde(borrow)]
    stop_sequence: Option<Text<'a>>,
    #[serde(borrow)]
    stop_details: Option<StopDetails<'a>>,
}

#[derive(Debug, Default)]
pub(in crate::translate) struct StreamReader {
    usage: Usage,
    /// The index of the open block, if it is one that crosses over.
    open: Option<u64>,
    stopped: bool,
    ended: bool,
}

impl Reader for StreamReader {
    fn knows(&self, name: &[u8]) -> bool {
        name.starts_with(b"message")
            || name.starts_with(b"content_block")
            || name == b"error"
            || name == b"ping"
    }

    fn event(&mut self, _name: Option<&[u8]>, data: &[u8], sink: &mut Sink<'_>) {
        let body: Body<'_> = match serde_json::from_slice(data) {
            Ok(body) => body,
            Err(error) => {
                let message = format!("the provider sent an event that cannot be read: {error}");
                sink(Event::Fail(Failure::upstream(message)));
                return;
            }
        };
        match &*body.kind {
            "content_block_delta" => {
                if self.open.is_some()
                    && self.open == body.index
                    && let Some(delta) = body.delta
                {
                    delta.send(sink);
                }
            }
            "message_start" => self.start(&body, sink),
            "content_block_start" => {
                if let Some(block) = body.content_block {
                    self.block(body.index.unwrap_or(0), &block, sink);
                }
            }
            "content_block_stop" if self.open.is_some() && self.open == body.index => {
                self.open = None;
                sink(Event::Close);
            }
            "message_delta" => self.message_delta(body, sink),
            "message_stop" => {
                self.ended = true;
                sink(if self.stopped {
                    Event::End
                } else {
                    Event::Fail(Failure::upstream(
                        "the provider ended the stream without saying why the model stopped",
                    ))
                });
            }
            "error" => {
                sink(Event::Fail(match body.error.map(|error| json::parse(error.get().as_bytes(), &[])) {
                    Some(Ok(error)) => Failure::read_event(error),
                    _ => Failure::upstream("the provider reported an error that cannot be read"),
                }))
            }
            // `ping`, and events yet to be invented.
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
    fn start(&mut self, body: &Body<'_>, sink: &mut Sink<'_>) {
        let message = body.message.as_ref();
        if let Some(usage) = message.and_then(|message| message.usage.as_ref()) {
            usage.update(&mut self.usage);
        }
        sink(Event::Start(Start {
            id: message.and_then(|message| message.id.as_deref()),
            model: message.and_then(|message| message.model.as_deref()),
            created: None,
            usage: Some(self.usage),
        }));
    }

    fn block(&mut self, index: u64, block: &Block<'_>, sink: &mut Sink<'_>) {
        if self.open.take().is_some() {
            sink(Event::Close);
        }
        let open = match &*block.kind {
            "text" => Open::Text,
            "thinking" => Open::Thinking,
            "redacted_thinking" => {
                let data = block.data.as_ref().map(|data| data.0.clone()).unwrap_or_default();
                let data = Signature::read(HOME, data);
                sink(Event::Open(Open::Redacted(data.family, &data.data)));
                self.open = Some(index);
                return;
            }
            "tool_use" => Open::Tool {
                id: block.id.as_deref().unwrap_or_default(),
                name: block.name.as_deref().unwrap_or_default(),
                signature: None,
            },
            // Server tools run at Anthropic; their blocks mean nothing elsewhere.
            _ => return,
        };
        sink(Event::Open(open));
        self.open = Some(index);
        // Some servers of this dialect put the beginning of a block into its start.
        let begun = match &*block.kind {
            "tool_use" => block.input.map(RawValue::get).filter(|input| *input != "{}"),
            "thinking" => block.thinking.as_deref(),
            _ => block.text.as_deref(),
        };
        if let Some(text) = begun.filter(|text| !text.is_empty()) {
            sink(Event::Delta(text));
        }
        if let Some(signature) = block.signature.as_ref().filter(|signature| !signature.is_empty()) {
            let signature = Signature::read(HOME, signature.0.clone());
            sink(Event::Sign(signature.family, &signature.data));
        }
    }

    fn message_delta(&mut self, body: Body<'_>, sink: &mut Sink<'_>) {
        if let Some(usage) = &body.usage {
            usage.update(&mut self.usage);
            sink(Event::Usage(self.usage));
        }
        let Some(delta) = body.delta else { return };
        let Some(reason) = delta.stop_reason else { return };
        if self.open.take().is_some() {
            sink(Event::Close);
        }
        let explanation = delta.stop_details.and_then(|details| details.explanation).map(|text| text.0);
        match stop_of(&reason, delta.stop_sequence.map(|text| text.0), explanation) {
            Some(stop) => {
                self.stopped = true;
                sink(Event::Stop(stop));
            }
            None => {
                let message = format!("the provider broke the answer off with stop_reason {:?}", &*reason);
                sink(Event::Fail(Failure::upstream(message)));
            }
        }
    }
}

impl Delta<'_> {
    fn send(self, sink: &mut Sink<'_>) {
        if let Some(text) = self.text.or(self.partial_json).or(self.thinking) {
            if !text.is_empty() {
                sink(Event::Delta(&text));
            }
        } else if let Some(signature) = self.signature {
            let signature = Signature::read(HOME, signature.0);
            sink(Event::Sign(signature.family, &signature.data));
        } else if let Some(citation) = self.citation.and_then(CitationBody::citation) {
            sink(Event::Cite(citation));
        }
    }
}
