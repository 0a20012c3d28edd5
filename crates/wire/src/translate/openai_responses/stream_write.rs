//! Writing a stream of Responses events.

use crate::Usage;
use crate::translate::Context;
use crate::translate::conversation::{Citation, Event, Family, Open, Start, Stop};
use crate::translate::error::Failure;
use crate::translate::json::{self, Object};
use crate::translate::stream::Writer;

use super::answer::{Frame, Progress, write_bare_signature};
use super::{
    MessagePart, fill_message_part, status_of, write_annotation, write_call_item, write_message_item,
    write_reasoning_item,
};

/// Turns events into Responses events. Every block is an output item; the last event repeats them all.
#[derive(Debug)]
pub(in crate::translate) struct StreamWriter {
    context: Context,
    id: String,
    model: String,
    created: u64,
    tier: Option<String>,
    sequence: u64,
    open: Block,
    item_id: String,
    /// What the open block said so far.
    text: String,
    citations: Vec<Citation<'static>>,
    waiting: Vec<Citation<'static>>,
    logprobs: Option<String>,
    signature: Option<(Family, String)>,
    /// Finished items, a comma between them.
    items: Vec<u8>,
    count: u64,
    stop: Option<Stop<'static>>,
    usage: Option<Usage>,
}

#[derive(Debug)]
enum Block {
    None,
    Text,
    Refusal,
    Thinking,
    Tool { call_id: String, name: String },
}

impl StreamWriter {
    pub(in crate::translate) fn new(context: &Context) -> Self {
        Self {
            context: context.clone(),
            id: String::new(),
            model: String::new(),
            created: 0,
            tier: None,
            sequence: 0,
            open: Block::None,
            item_id: String::new(),
            text: String::new(),
            citations: Vec::new(),
            waiting: Vec::new(),
            logprobs: None,
            signature: None,
            items: Vec::new(),
            count: 0,
            stop: None,
            usage: None,
        }
    }
}

impl Writer for StreamWriter {
    fn write(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start(start) => self.start(&start, out),
            Event::Open(open) => self.open(&open, out),
            Event::Delta(text) => self.delta(text, out),
            Event::Sign(family, data) => match &mut self.signature {
                Some((_, signature)) => signature.push_str(data),
                None => self.signature = Some((family, data.to_owned())),
            },
            Event::Cite(citation) => self.cite(citation, out),
            Event::Logprobs(tokens) => self.logprobs = Some(json::on_one_line(tokens).into_owned()),
            Event::Close => self.close(out),
            Event::Stop(stop) => self.stop(stop, out),
            Event::Usage(usage) => self.usage = Some(usage),
            Event::ServiceTier(tier) => self.tier = Some(tier.to_owned()),
            Event::End => self.end(out),
            Event::Fail(failure) => self.fail(&failure, out),
        }
    }
}

impl StreamWriter {
    fn start(&mut self, start: &Start<'_>, out: &mut Vec<u8>) {
        self.id = start.id.unwrap_or(&self.context.request_id).to_owned();
        self.model = start.model.unwrap_or(&self.context.model).to_owned();
        self.created = start.created.unwrap_or(self.context.now);
        self.usage = start.usage;
        for kind in ["response.created", "response.in_progress"] {
            self.response(kind, "in_progress", None, None, out);
        }
    }

    fn open(&mut self, open: &Open<'_>, out: &mut Vec<u8>) {
        self.text.clear();
        self.citations.clear();
        self.logprobs = None;
        match open {
            Open::Text | Open::Refusal => {
                let refusal = matches!(open, Open::Refusal);
                self.item_id = format!("msg_{}_{}", self.id, self.count);
                let id = self.item_id.clone();
                self.item_event("response.output_item.added", out, |item| {
                    item.string("id", &id);
                    item.string("type", "message");
                    item.string("status", "in_progress");
                    item.string("role", "assistant");
                    item.array("content", |_| {});
                });
                self.part_event("response.content_part.added", "part", out, |part| {
                    fill_message_part(
                        part,
                        &MessagePart { refusal, text: "", citations: &[], logprobs: None },
                    );
                });
                self.open = if refusal { Block::Refusal } else { Block::Text };
            }
            Open::Thinking => {
                self.item_id = format!("rs_{}_{}", self.id, self.count);
                let id = self.item_id.clone();
                self.item_event("response.output_item.added", out, |item| {
                    item.string("id", &id);
                    item.string("type", "reasoning");
                    item.array("summary", |_| {});
                });
                self.open = Block::Thinking;
            }
            Open::Redacted(family, data) => {
                self.item_id = format!("rs_{}_{}", self.id, self.count);
                let id = self.item_id.clone();
                self.whole_item(out, |item| write_reasoning_item(item, &id, "", Some((*family, data)), true));
                self.open = Block::None;
            }
            Open::Tool { id, name, signature } => {
                if let Some(signature) = signature {
                    let own_id = format!("rs_{}_{}", self.id, self.count);
                    self.whole_item(out, |item| write_bare_signature(item, &own_id, signature));
                }
                self.item_id = format!("fc_{}_{}", self.id, self.count);
                let own_id = self.item_id.clone();
                self.item_event("response.output_item.added", out, |item| {
                    item.string("id", &own_id);
                    item.string("type", "function_call");
                    item.string("status", "in_progress");
                    item.string("arguments", "");
                    item.string("call_id", id);
                    item.string("name", name);
                });
                self.open = Block::Tool { call_id: (*id).to_owned(), name: (*name).to_owned() };
            }
        }
    }

    fn delta(&mut self, text: &str, out: &mut Vec<u8>) {
        let first = self.text.is_empty();
        self.text.push_str(text);
        match self.open {
            Block::Text => {
                let logprobs = self.logprobs.take();
                self.part_event("response.output_text.delta", "", out, |body| {
                    body.string("delta", text);
                    body.raw("logprobs", logprobs.as_deref().unwrap_or("[]"));
                });
            }
            Block::Refusal => {
                self.part_event("response.refusal.delta", "", out, |body| body.string("delta", text))
            }
            Block::Thinking => {
                if first {
                    self.summary_event("response.reasoning_summary_part.added", out, |body| {
                        body.object("part", |part| summary_part(part, ""));
                    });
                }
                self.summary_event("response.reasoning_summary_text.delta", out, |body| {
                    body.string("delta", text)
                });
            }
            Block::Tool { .. } => {
                self.call_event("response.function_call_arguments.delta", out, |body| {
                    body.string("delta", text)
                });
            }
            Block::None => {}
        }
    }

    fn cite(&mut self, citation: Citation<'_>, out: &mut Vec<u8>) {
        if citation.range.is_none() {
            // It supports the whole block, whose end is not known yet.
            self.waiting.push(citation.into_owned());
            return;
        }
        let index = self.citations.len() as u64;
        let length = self.text.chars().count() as u64;
        self.part_event("response.output_text.annotation.added", "", out, |body| {
            body.integer("annotation_index", index);
            body.object("annotation", |object| write_annotation(object, &citation, length));
        });
        self.citations.push(citation.into_owned());
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        for mut citation in std::mem::take(&mut self.waiting) {
            citation.range = Some((0, self.text.chars().count() as u64));
            self.cite(citation, out);
        }
        let text = std::mem::take(&mut self.text);
        let id = std::mem::take(&mut self.item_id);
        // The finished item is needed twice: in its own event and in the last one.
        match std::mem::replace(&mut self.open, Block::None) {
            Block::None => {}
            block @ (Block::Text | Block::Refusal) => {
                self.item_id = id.clone();
                let refusal = matches!(block, Block::Refusal);
                let (kind, key) = if refusal {
                    ("response.refusal.done", "refusal")
                } else {
                    ("response.output_text.done", "text")
                };
                self.part_event(kind, "", out, |body| {
                    body.string(key, &text);
                    if !refusal {
                        body.array("logprobs", |_| {});
                    }
                });
                let citations = std::mem::take(&mut self.citations);
                let part = MessagePart { refusal, text: &text, citations: &citations, logprobs: None };
                self.part_event("response.content_part.done", "part", out, |object| {
                    fill_message_part(object, &part)
                });
                self.finish_item(out, |item| write_message_item(item, &id, &part));
            }
            Block::Thinking => {
                self.item_id = id.clone();
                if !text.is_empty() {
                    self.summary_event("response.reasoning_summary_text.done", out, |body| {
                        body.string("text", &text)
                    });
                    self.summary_event("response.reasoning_summary_part.done", out, |body| {
                        body.object("part", |part| summary_part(part, &text));
                    });
                }
                let signature = self.signature.take();
                let signature = signature.as_ref().map(|(family, data)| (*family, data.as_str()));
                self.finish_item(out, |item| write_reasoning_item(item, &id, &text, signature, false));
            }
            Block::Tool { call_id, name } => {
                self.item_id = id.clone();
                let arguments = if text.is_empty() { "{}" } else { &text };
                if text.is_empty() {
                    self.call_event("response.function_call_arguments.delta", out, |body| {
                        body.string("delta", "{}")
                    });
                }
                self.call_event("response.function_call_arguments.done", out, |body| {
                    body.string("name", &name);
                    body.string("arguments", arguments);
                });
                self.finish_item(out, |item| write_call_item(item, &id, &call_id, &name, arguments));
            }
        }
        // A signature over text has no place here.
        self.signature = None;
    }

    fn stop(&mut self, stop: Stop<'_>, out: &mut Vec<u8>) {
        if let Stop::Refusal(Some(explanation)) = &stop {
            // A refusal that comes as a reason alone is said aloud.
            self.open(&Open::Refusal, out);
            self.delta(explanation, out);
            self.close(out);
        }
        self.stop = Some(stop.into_owned());
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let (status, reason) = status_of(self.stop.as_ref().unwrap_or(&Stop::End));
        let kind = if status == "completed" { "response.completed" } else { "response.incomplete" };
        self.usage = Some(self.usage.unwrap_or_default());
        self.response(kind, status, reason, None, out);
    }

    fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        if self.id.is_empty() {
            self.start(&Start::default(), out);
        }
        self.response("response.failed", "failed", None, Some(failure), out);
    }

    fn response(
        &mut self,
        kind: &str,
        status: &str,
        reason: Option<&str>,
        failure: Option<&Failure>,
        out: &mut Vec<u8>,
    ) {
        let mut output = vec![b'['];
        output.extend_from_slice(&self.items);
        output.push(b']');
        let usage = self.usage.as_ref().filter(|_| status != "in_progress");
        let progress = Progress { status, reason, output: &output, usage, failure };
        let frame =
            Frame { id: &self.id, model: &self.model, created: self.created, tier: self.tier.as_deref() };
        event(&mut self.sequence, out, kind, |body| {
            body.object("response", |object| frame.write(object, &progress))
        });
    }

    fn item_event(&mut self, kind: &str, out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
        let index = self.count;
        event(&mut self.sequence, out, kind, |body| {
            body.integer("output_index", index);
            body.object("item", fill);
        });
    }

    /// An item that begins and ends at once.
    fn whole_item(&mut self, out: &mut Vec<u8>, fill: impl Fn(&mut Object<'_>)) {
        self.item_event("response.output_item.added", out, &fill);
        self.finish_item(out, fill);
    }

    fn finish_item(&mut self, out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
        let mut item = Vec::new();
        json::object(&mut item, fill);
        let index = self.count;
        event(&mut self.sequence, out, "response.output_item.done", |body| {
            body.integer("output_index", index);
            body.key("item").extend_from_slice(&item);
        });
        if !self.items.is_empty() {
            self.items.push(b',');
        }
        self.items.append(&mut item);
        self.count += 1;
    }

    /// An event about the one part of the open message; `key` names the object to fill, if it is not the event.
    fn part_event(
        &mut self,
        kind: &str,
        key: &'static str,
        out: &mut Vec<u8>,
        fill: impl FnOnce(&mut Object<'_>),
    ) {
        let index = self.count;
        let id = &self.item_id;
        event(&mut self.sequence, out, kind, |body| {
            body.string("item_id", id);
            body.integer("output_index", index);
            body.integer("content_index", 0);
            if key.is_empty() {
                fill(body);
            } else {
                body.object(key, fill);
            }
        });
    }

    fn summary_event(&mut self, kind: &str, out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
        let index = self.count;
        let id = &self.item_id;
        event(&mut self.sequence, out, kind, |body| {
            body.string("item_id", id);
            body.integer("output_index", index);
            body.integer("summary_index", 0);
            fill(body);
        });
    }

    fn call_event(&mut self, kind: &str, out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
        let index = self.count;
        let id = &self.item_id;
        event(&mut self.sequence, out, kind, |body| {
            body.string("item_id", id);
            body.integer("output_index", index);
            fill(body);
        });
    }
}

fn summary_part(part: &mut Object<'_>, text: &str) {
    part.string("type", "summary_text");
    part.string("text", text);
}

fn event(sequence: &mut u64, out: &mut Vec<u8>, kind: &str, fill: impl FnOnce(&mut Object<'_>)) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    json::object(out, |body| {
        body.string("type", kind);
        body.integer("sequence_number", *sequence);
        fill(body);
    });
    out.extend_from_slice(b"\n\n");
    *sequence += 1;
}
