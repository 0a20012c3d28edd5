//! Reading a stream of Responses events.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::translate::conversation::{Event, Open, Part, Start};
use crate::translate::error::Failure;
use crate::translate::json::{self, Text};
use crate::translate::stream::{Reader, Sink};

use super::answer::{Item, Response};
use super::{Annotation, read_reasoning, stop_of};

/// Every kind of event in one shape.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    output_index: Option<u64>,
    #[serde(borrow)]
    delta: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
    #[serde(borrow)]
    logprobs: Option<&'a RawValue>,
    #[serde(borrow)]
    annotation: Option<Annotation<'a>>,
    #[serde(borrow)]
    item: Option<Item<'a>>,
    #[serde(borrow)]
    response: Option<Response<'a>>,
}

#[derive(Debug, Default)]
pub(in crate::translate) struct StreamReader {
    open: Option<(u64, Kind)>,
    /// Something of the open block was sent: arguments that come whole must not come twice.
    spoke: bool,
    summary_parts: u64,
    called: bool,
    refused: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Text,
    Refusal,
    Thinking,
    Tool,
}

impl Reader for StreamReader {
    fn event(&mut self, _name: Option<&[u8]>, data: &[u8], sink: &mut Sink<'_>) {
        if data == b"[DONE]" {
            return;
        }
        let body: Body<'_> = match serde_json::from_slice(data) {
            Ok(body) => body,
            Err(error) => {
                let message = format!("the provider sent an event that cannot be read: {error}");
                sink(Event::Fail(Failure::upstream(message)));
                return;
            }
        };
        let index = body.output_index.unwrap_or(0);
        match &*body.kind {
            "response.output_text.delta" => {
                if let Some(tokens) =
                    body.logprobs.map(RawValue::get).filter(|raw| *raw != "[]" && *raw != "null")
                {
                    sink(Event::Logprobs(tokens));
                }
                self.delta(index, Kind::Text, body.delta.as_deref(), sink);
            }
            "response.function_call_arguments.delta" => {
                self.delta(index, Kind::Tool, body.delta.as_deref(), sink)
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                self.delta(index, Kind::Thinking, body.delta.as_deref(), sink);
            }
            "response.refusal.delta" => {
                self.refused = true;
                self.delta(index, Kind::Refusal, body.delta.as_deref(), sink);
            }
            // A few providers send arguments only here, whole.
            "response.function_call_arguments.done" if !self.spoke => {
                self.delta(index, Kind::Tool, body.arguments.as_deref(), sink);
            }
            "response.reasoning_summary_part.added" => {
                self.summary_parts += 1;
                if self.summary_parts > 1 {
                    self.delta(index, Kind::Thinking, Some("\n\n"), sink);
                }
            }
            "response.output_text.annotation.added" => {
                if let Some(citation) = body.annotation.and_then(Annotation::citation) {
                    self.open(index, Kind::Text, sink);
                    sink(Event::Cite(citation));
                }
            }
            "response.output_item.added" => self.added(index, body.item.as_ref(), sink),
            "response.output_item.done" => self.done(index, body.item, sink),
            "response.created" => {
                let response = body.response.as_ref();
                sink(Event::Start(Start {
                    id: response.and_then(|response| response.id.as_deref()),
                    model: response.and_then(|response| response.model.as_deref()),
                    created: response.and_then(|response| response.created_at).map(|seconds| seconds as u64),
                    usage: None,
                }));
            }
            "response.completed" | "response.incomplete" => self.end(body.response.as_ref(), sink),
            "response.failed" | "response.cancelled" | "error" => {
                sink(Event::Fail(failure(data, body.response.as_ref())))
            }
            // Progress of server tools, the ends of parts, and events yet to be invented.
            _ => {}
        }
    }

    fn finish(&mut self, _sink: &mut Sink<'_>) {}
}

fn failure(data: &[u8], response: Option<&Response<'_>>) -> Failure {
    let error = response.and_then(|response| response.error).map_or(data, |error| error.get().as_bytes());
    match json::parse(error, &["response"]) {
        Ok(error) => Failure::read_event(error),
        Err(_) => Failure::upstream("the provider reported an error that cannot be read"),
    }
}

impl StreamReader {
    fn added(&mut self, index: u64, item: Option<&Item<'_>>, sink: &mut Sink<'_>) {
        let Some(item) = item else { return };
        match &*item.kind {
            "function_call" => {
                self.close(sink);
                let id = item.call_id.as_deref().or(item.id.as_deref()).unwrap_or_default();
                let name = item.name.as_deref().unwrap_or_default();
                sink(Event::Open(Open::Tool { id, name, signature: None }));
                self.called = true;
                self.open = Some((index, Kind::Tool));
                self.spoke = false;
                // Sent with the item by providers that do not stream arguments; OpenAI sends "".
                self.delta(index, Kind::Tool, item.arguments.as_deref(), sink);
            }
            "reasoning" => {
                self.close(sink);
                self.summary_parts = 0;
            }
            _ => {}
        }
    }

    fn done(&mut self, index: u64, item: Option<Item<'_>>, sink: &mut Sink<'_>) {
        let Some(item) = item else { return };
        match &*item.kind {
            "function_call" if !self.spoke && self.open == Some((index, Kind::Tool)) => {
                self.delta(index, Kind::Tool, item.arguments.as_deref(), sink);
            }
            "reasoning" => {
                let encrypted = item.encrypted_content.map(|data| data.0);
                match read_reasoning(item.id.as_deref(), "".into(), encrypted) {
                    Part::Thinking { signature: Some(signature), .. } => {
                        self.open(index, Kind::Thinking, sink);
                        sink(Event::Sign(signature.family, &signature.data));
                    }
                    Part::Redacted(data) => {
                        self.close(sink);
                        sink(Event::Open(Open::Redacted(data.family, &data.data)));
                        sink(Event::Close);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        if self.open.is_some_and(|(open, _)| open == index) {
            self.close(sink);
        }
    }

    fn delta(&mut self, index: u64, kind: Kind, text: Option<&str>, sink: &mut Sink<'_>) {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return;
        };
        if kind == Kind::Tool && self.open != Some((index, Kind::Tool)) {
            let message = "the provider streamed arguments of a tool call that is not open";
            sink(Event::Fail(Failure::upstream(message)));
            return;
        }
        self.open(index, kind, sink);
        self.spoke = true;
        sink(Event::Delta(text));
    }

    fn open(&mut self, index: u64, kind: Kind, sink: &mut Sink<'_>) {
        if self.open == Some((index, kind)) {
            return;
        }
        self.close(sink);
        sink(Event::Open(match kind {
            Kind::Refusal => Open::Refusal,
            Kind::Thinking => Open::Thinking,
            Kind::Text | Kind::Tool => Open::Text,
        }));
        self.open = Some((index, kind));
        self.spoke = false;
    }

    fn close(&mut self, sink: &mut Sink<'_>) {
        if self.open.take().is_some() {
            sink(Event::Close);
        }
    }

    fn end(&mut self, response: Option<&Response<'_>>, sink: &mut Sink<'_>) {
        self.close(sink);
        if let Some(usage) = response.and_then(|response| response.usage.as_ref()) {
            sink(Event::Usage(usage.usage()));
        }
        if let Some(tier) = response.and_then(|response| response.service_tier.as_deref()) {
            sink(Event::ServiceTier(tier));
        }
        let status = response.and_then(|response| response.status.as_deref()).unwrap_or("completed");
        let reason = response
            .and_then(|response| response.incomplete_details.as_ref())
            .and_then(|details| details.reason.as_deref());
        match stop_of(status, reason, self.called, self.refused) {
            Some(stop) => {
                sink(Event::Stop(stop));
                sink(Event::End);
            }
            None => {
                let message = format!("the provider broke the answer off with status {status:?}");
                sink(Event::Fail(Failure::upstream(message)));
            }
        }
    }
}
