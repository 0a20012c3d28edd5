//! Streams of generateContent chunks.

use crate::Usage;
use crate::translate::Context;
use crate::translate::conversation::{Citation, Event, Family, Open, Start, Stop};
use crate::translate::error::Failure;
use crate::translate::json::{self, Object};
use crate::translate::stream::{Reader, Sink, Writer};

use super::answer::{Candidate, Generated, PartBody, call_id, write_call, write_supports};
use super::{Carried, read_signature, stop_of, write_redacted, write_signature, write_stop, write_usage};

/// Turns chunks into events. The dialect has no last word: the answer is complete if a reason to stop was given.
#[derive(Debug, Default)]
pub(in crate::translate) struct StreamReader {
    started: bool,
    id: Option<String>,
    open: Option<Kind>,
    calls: usize,
    /// All text so far, in whose bytes Google counts citations.
    text: String,
    stop: Option<Stop<'static>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Text,
    Thinking,
}

impl Reader for StreamReader {
    /// Gemini's events have no names.
    fn knows(&self, name: &[u8]) -> bool {
        name == b"message"
    }

    fn event(&mut self, _name: Option<&[u8]>, data: &[u8], sink: &mut Sink<'_>) {
        let generated: Generated<'_> = match serde_json::from_slice(data) {
            Ok(generated) => generated,
            Err(error) => {
                let message = format!("the provider sent a chunk that cannot be read: {error}");
                sink(Event::Fail(Failure::upstream(message)));
                return;
            }
        };
        if let Some(error) = generated.error {
            sink(Event::Fail(match json::parse(error.get().as_bytes(), &["details"]) {
                Ok(error) => Failure::read_event(error),
                Err(_) => Failure::upstream("the provider reported an error that cannot be read"),
            }));
            return;
        }
        let usage = generated.usage_metadata.as_ref().map(super::UsageBody::usage);
        if !self.started {
            self.started = true;
            self.id = generated.response_id.as_deref().map(str::to_owned);
            sink(Event::Start(Start {
                id: generated.response_id.as_deref(),
                model: generated.model_version.as_deref(),
                created: None,
                usage,
            }));
        }
        if let Some(stop) = generated.prompt_feedback.and_then(|feedback| feedback.stop()) {
            self.stop = Some(stop);
        }
        for candidate in generated.candidates.unwrap_or_default() {
            if candidate.index.unwrap_or(0) == 0 {
                self.candidate(candidate, sink);
            }
        }
        if let Some(usage) = usage {
            sink(Event::Usage(usage));
        }
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        if let Some(stop) = self.stop.take() {
            self.close(sink);
            // A reason given before the last call was seen may not have known of it.
            sink(Event::Stop(if stop == Stop::End && self.calls > 0 { Stop::ToolUse } else { stop }));
            sink(Event::End);
        }
    }
}

impl StreamReader {
    fn candidate(&mut self, candidate: Candidate<'_>, sink: &mut Sink<'_>) {
        if let Some(logprobs) =
            candidate.logprobs_result.filter(|logprobs| !logprobs.chosen_candidates.is_empty())
        {
            sink(Event::Logprobs(&logprobs.openai()));
        }
        for part in candidate.content.and_then(|content| content.parts).unwrap_or_default() {
            self.part(&part, sink);
        }
        if let Some(grounding) = candidate.grounding_metadata {
            for citation in grounding.citations(&self.text) {
                self.open(Kind::Text, sink);
                sink(Event::Cite(citation));
            }
        }
        if let Some(reason) = candidate.finish_reason {
            match stop_of(&reason, candidate.finish_message.as_deref(), self.calls > 0) {
                Ok(stop) => self.stop = Some(stop),
                Err(message) => sink(Event::Fail(Failure::upstream(message))),
            }
        }
    }

    fn part(&mut self, part: &PartBody<'_>, sink: &mut Sink<'_>) {
        let signature = part.thought_signature.as_deref();
        if let Some(call) = &part.function_call {
            self.close(sink);
            let own;
            let id = match call.id.as_deref() {
                Some(id) => id,
                None => {
                    own = call_id(self.id.as_deref(), self.calls);
                    &own
                }
            };
            self.calls += 1;
            sink(Event::Open(Open::Tool { id, name: &call.name, signature }));
            sink(Event::Delta(call.args.map_or("{}", |args| args.get())));
            sink(Event::Close);
            return;
        }
        let Some(text) = part.text.as_deref() else { return };
        let carried = signature.map(|data| read_signature(data.into()));
        if let Some(Carried::Redacted(data)) = &carried {
            self.close(sink);
            sink(Event::Open(Open::Redacted(data.family, &data.data)));
            sink(Event::Close);
            return;
        }
        if text.is_empty() && carried.is_none() {
            return;
        }
        self.open(if part.thought { Kind::Thinking } else { Kind::Text }, sink);
        if !text.is_empty() {
            if !part.thought {
                self.text.push_str(text);
            }
            sink(Event::Delta(text));
        }
        if let Some(Carried::Signature(signature)) = carried {
            sink(Event::Sign(signature.family, &signature.data));
            if part.thought {
                self.close(sink);
            }
        }
    }

    fn open(&mut self, kind: Kind, sink: &mut Sink<'_>) {
        if self.open == Some(kind) {
            return;
        }
        self.close(sink);
        sink(Event::Open(match kind {
            Kind::Text => Open::Text,
            Kind::Thinking => Open::Thinking,
        }));
        self.open = Some(kind);
    }

    fn close(&mut self, sink: &mut Sink<'_>) {
        if self.open.take().is_some() {
            sink(Event::Close);
        }
    }
}

/// Turns events into chunks. A call's arguments are one object in this dialect, so they wait until complete.
#[derive(Debug)]
pub(in crate::translate) struct StreamWriter {
    context: Context,
    id: String,
    model: String,
    open: Block,
    /// Bytes of text before the current block, and of it so far.
    before: usize,
    written: usize,
    block: String,
    citations: Vec<(usize, usize, Citation<'static>)>,
    waiting: Vec<Citation<'static>>,
    signature: Option<(Family, String)>,
    /// A call whose arguments never became complete.
    half_call: Option<String>,
    stop: Option<Stop<'static>>,
    usage: Option<Usage>,
}

#[derive(Debug)]
enum Block {
    None,
    Text,
    Thinking,
    Tool { id: String, name: String, signature: Option<String>, arguments: String },
}

impl StreamWriter {
    pub(in crate::translate) fn new(context: &Context) -> Self {
        Self {
            context: context.clone(),
            id: String::new(),
            model: String::new(),
            open: Block::None,
            before: 0,
            written: 0,
            block: String::new(),
            citations: Vec::new(),
            waiting: Vec::new(),
            signature: None,
            half_call: None,
            stop: None,
            usage: None,
        }
    }
}

impl Writer for StreamWriter {
    fn write(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start(start) => {
                self.id = start.id.unwrap_or(&self.context.request_id).to_owned();
                self.model = start.model.unwrap_or(&self.context.model).to_owned();
                self.usage = start.usage.filter(|usage| *usage != Usage::default());
            }
            Event::Open(open) => self.open(&open, out),
            Event::Delta(text) => self.delta(text, out),
            Event::Sign(family, data) => match &mut self.signature {
                Some((_, signature)) => signature.push_str(data),
                None => self.signature = Some((family, data.to_owned())),
            },
            Event::Cite(citation) => self.waiting.push(citation.into_owned()),
            Event::Logprobs(_) | Event::ServiceTier(_) => {}
            Event::Close => self.close(out),
            Event::Stop(stop) => self.stop = Some(stop.into_owned()),
            Event::Usage(usage) => self.usage = Some(usage),
            Event::End => match self.half_call.take() {
                Some(name) if !matches!(self.stop, Some(Stop::MaxTokens | Stop::ContextWindow)) => {
                    let message =
                        format!("the model called {name:?} with arguments that are not a JSON object");
                    fail(&Failure::upstream(message), out);
                }
                _ => self.end(out),
            },
            Event::Fail(failure) => fail(&failure, out),
        }
    }
}

impl StreamWriter {
    fn open(&mut self, open: &Open<'_>, out: &mut Vec<u8>) {
        self.block.clear();
        self.before = self.written;
        self.open = match open {
            Open::Text | Open::Refusal => Block::Text,
            Open::Thinking => Block::Thinking,
            Open::Redacted(family, data) => {
                let data = write_redacted(*family, data);
                self.part(out, |part| {
                    part.string("text", "");
                    part.bool("thought", true);
                    part.string("thoughtSignature", &data);
                });
                Block::None
            }
            Open::Tool { id, name, signature } => Block::Tool {
                id: (*id).to_owned(),
                name: (*name).to_owned(),
                signature: signature.map(str::to_owned),
                arguments: String::new(),
            },
        };
    }

    fn delta(&mut self, text: &str, out: &mut Vec<u8>) {
        match &mut self.open {
            Block::Text => {
                self.written += text.len();
                self.block.push_str(text);
                self.part(out, |part| part.string("text", text));
            }
            Block::Thinking => self.part(out, |part| {
                part.string("text", text);
                part.bool("thought", true);
            }),
            Block::Tool { arguments, .. } => arguments.push_str(text),
            Block::None => {}
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        let signature = self.signature.take();
        let signature = signature.as_ref().map(|(family, data)| write_signature(*family, data));
        match std::mem::replace(&mut self.open, Block::None) {
            Block::Tool { id, name, signature, arguments } => {
                let arguments = if arguments.trim().is_empty() { "{}" } else { &arguments };
                if json::is_object(arguments) {
                    let arguments = json::on_one_line(arguments);
                    self.part(out, |part| write_call(part, &id, &name, &arguments, signature.as_deref()));
                } else {
                    // Gemini has no half calls. Cut off by the limit that is no loss; for any other reason it is.
                    self.half_call = Some(name);
                }
            }
            Block::Thinking => {
                if let Some(signature) = signature {
                    self.part(out, |part| {
                        part.string("text", "");
                        part.bool("thought", true);
                        part.string("thoughtSignature", &signature);
                    });
                }
            }
            Block::Text => {
                for citation in std::mem::take(&mut self.waiting) {
                    let bytes = |characters: u64| {
                        let place = self.block.char_indices().nth(characters as usize);
                        self.before + place.map_or(self.block.len(), |(at, _)| at)
                    };
                    let (start, end) = match citation.range {
                        Some((from, to)) => (bytes(from), bytes(to)),
                        None => (self.before, self.written),
                    };
                    self.citations.push((start, end, citation));
                }
                if let Some(signature) = signature {
                    self.part(out, |part| {
                        part.string("text", "");
                        part.string("thoughtSignature", &signature);
                    });
                }
            }
            Block::None => {}
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let stop = self.stop.take().unwrap_or(Stop::End);
        let usage = self.usage.unwrap_or_default();
        let citations = std::mem::take(&mut self.citations);
        let supports: Vec<_> =
            citations.iter().map(|(start, end, citation)| (*start, *end, citation)).collect();
        self.chunk(out, Some(&usage), |candidate| {
            candidate.object("content", |content| {
                content.array("parts", |list| list.object(|part| part.string("text", "")));
                content.string("role", "model");
            });
            write_stop(candidate, &stop);
            write_supports(candidate, &supports);
        });
    }

    fn part(&self, out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
        self.chunk(out, None, |candidate| {
            candidate.object("content", |content| {
                content.array("parts", |list| list.object(fill));
                content.string("role", "model");
            });
        });
    }

    fn chunk(&self, out: &mut Vec<u8>, usage: Option<&Usage>, fill: impl FnOnce(&mut Object<'_>)) {
        out.extend_from_slice(b"data: ");
        json::object(out, |body| {
            body.array("candidates", |list| {
                list.object(|candidate| {
                    fill(candidate);
                    candidate.integer("index", 0);
                });
            });
            // What is known goes along from the beginning, as Google does it.
            if let Some(usage) = usage.or(self.usage.as_ref()) {
                body.object("usageMetadata", |object| write_usage(object, usage));
            }
            body.string("modelVersion", &self.model);
            body.string("responseId", &self.id);
        });
        out.extend_from_slice(b"\n\n");
    }
}

fn fail(failure: &Failure, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    failure.write(crate::Dialect::GeminiGenerate, out);
    out.extend_from_slice(b"\n\n");
}
