//! Writing a stream of chat completion chunks.

use crate::Usage;
use crate::translate::Context;
use crate::translate::conversation::{Citation, Event, Family, Open, Start, Stop, signature_text};
use crate::translate::error::Failure;
use crate::translate::json::{self, Object};
use crate::translate::stream::Writer;

use super::answer::{write_annotation, write_redacted_block, write_thinking_block};
use super::{HOME, reason_of, write_extra_content, write_usage};

/// Turns events into chunks.
#[derive(Debug)]
pub(in crate::translate) struct StreamWriter {
    context: Context,
    /// Everything of a chunk before its delta; the same in all of them.
    head: Vec<u8>,
    tail: &'static [u8],
    open: Block,
    /// Blocks opened so far: the place of the current one is one less.
    blocks: u64,
    tools: u64,
    /// Characters of text streamed so far, and where the current block began.
    written: u64,
    block_start: u64,
    annotations: u64,
    /// Citations of the whole current block.
    waiting: Vec<Citation<'static>>,
    /// The current thinking block, kept for the carrier.
    thinking: String,
    signature: Option<String>,
    logprobs: Option<String>,
    usage: Option<Usage>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Block {
    None,
    Text,
    Refusal,
    Thinking,
    /// A tool call, and whether any arguments came yet.
    Tool {
        bare: bool,
    },
}

impl StreamWriter {
    pub(in crate::translate) fn new(context: &Context) -> Self {
        Self {
            context: context.clone(),
            head: Vec::new(),
            tail: if context.include_usage {
                b"},\"finish_reason\":null}],\"usage\":null}\n\n"
            } else {
                b"},\"finish_reason\":null}]}\n\n"
            },
            open: Block::None,
            blocks: 0,
            tools: 0,
            written: 0,
            block_start: 0,
            annotations: 0,
            waiting: Vec::new(),
            thinking: String::new(),
            signature: None,
            logprobs: None,
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
            Event::Sign(family, data) => self.sign(family, data, out),
            Event::Cite(citation) => self.cite(&citation, out),
            Event::Logprobs(tokens) => self.logprobs = Some(json::on_one_line(tokens).into_owned()),
            Event::Close => self.close(out),
            Event::Stop(stop) => self.stop(&stop, out),
            Event::Usage(usage) => self.usage = Some(usage),
            Event::ServiceTier(_) => {}
            Event::End => self.end(out),
            Event::Fail(failure) => fail(&failure, out),
        }
    }
}

impl StreamWriter {
    fn start(&mut self, start: &Start<'_>, out: &mut Vec<u8>) {
        self.usage = start.usage;
        let context = &self.context;
        self.head.extend_from_slice(b"data: {\"id\":");
        json::string(&mut self.head, start.id.unwrap_or(&context.request_id));
        self.head.extend_from_slice(b",\"object\":\"chat.completion.chunk\",\"created\":");
        json::integer(&mut self.head, start.created.unwrap_or(context.now));
        self.head.extend_from_slice(b",\"model\":");
        json::string(&mut self.head, start.model.unwrap_or(&context.model));
        self.head.extend_from_slice(b",\"choices\":[{\"index\":0,\"delta\":{");
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"\"role\":\"assistant\",\"content\":\"\"");
        out.extend_from_slice(self.tail);
    }

    fn open(&mut self, open: &Open<'_>, out: &mut Vec<u8>) {
        self.blocks += 1;
        self.block_start = self.written;
        match open {
            Open::Text => self.open = Block::Text,
            Open::Refusal => self.open = Block::Refusal,
            Open::Thinking => {
                self.open = Block::Thinking;
                self.thinking.clear();
            }
            Open::Redacted(family, data) => {
                self.open = Block::None;
                let place = self.blocks - 1;
                self.chunk(out, |delta| {
                    delta.array("thinking_blocks", |list| {
                        write_redacted_block(list, place, &signature_text(HOME, *family, data));
                    });
                });
            }
            Open::Tool { id, name, signature } => {
                self.open = Block::Tool { bare: true };
                self.tools += 1;
                let index = self.tools - 1;
                self.chunk(out, |delta| {
                    delta.array("tool_calls", |list| {
                        list.object(|call| {
                            call.integer("index", index);
                            call.string("id", id);
                            call.string("type", "function");
                            call.object("function", |function| {
                                function.string("name", name);
                                function.string("arguments", "");
                            });
                            if let Some(signature) = signature {
                                write_extra_content(call, signature);
                            }
                        });
                    });
                });
            }
        }
    }

    fn delta(&mut self, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        match self.open {
            Block::Text | Block::None => {
                self.written += text.chars().count() as u64;
                self.string_chunk(b"\"content\":", text, out);
            }
            Block::Refusal => self.string_chunk(b"\"refusal\":", text, out),
            Block::Thinking => {
                self.thinking.push_str(text);
                self.string_chunk(b"\"reasoning_content\":", text, out);
            }
            Block::Tool { .. } => {
                self.open = Block::Tool { bare: false };
                self.arguments(text, out);
            }
        }
    }

    fn arguments(&mut self, text: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"\"tool_calls\":[{\"index\":");
        json::integer(out, self.tools.saturating_sub(1));
        out.extend_from_slice(b",\"function\":{\"arguments\":");
        json::string(out, text);
        out.extend_from_slice(b"}}]");
        out.extend_from_slice(self.tail);
    }

    fn sign(&mut self, family: Family, data: &str, out: &mut Vec<u8>) {
        match self.open {
            Block::Thinking => match &mut self.signature {
                Some(signature) => signature.push_str(data),
                None => self.signature = Some(signature_text(HOME, family, data).into_owned()),
            },
            _ => self.chunk(out, |delta| write_extra_content(delta, data)),
        }
    }

    fn cite(&mut self, citation: &Citation<'_>, out: &mut Vec<u8>) {
        let Some((from, to)) = citation.range else {
            // It supports the whole block, whose end is not known yet.
            self.waiting.push(citation.clone().into_owned());
            return;
        };
        let (start, end) = (self.block_start + from, self.block_start + to);
        self.annotate(citation, start, end, out);
    }

    fn annotate(&mut self, citation: &Citation<'_>, start: u64, end: u64, out: &mut Vec<u8>) {
        let index = self.annotations;
        self.annotations += 1;
        self.chunk(out, |delta| {
            delta.array("annotations", |list| write_annotation(list, citation, start, end, Some(index)));
        });
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        for citation in std::mem::take(&mut self.waiting) {
            self.annotate(&citation, self.block_start, self.written, out);
        }
        match std::mem::replace(&mut self.open, Block::None) {
            // A tool without arguments still takes an object.
            Block::Tool { bare: true } => self.arguments("{}", out),
            Block::Thinking => {
                if let Some(signature) = self.signature.take() {
                    let thinking = std::mem::take(&mut self.thinking);
                    let place = self.blocks - 1;
                    self.chunk(out, |delta| {
                        delta.array("thinking_blocks", |list| {
                            write_thinking_block(list, place, &thinking, Some(&signature));
                        });
                    });
                }
            }
            _ => {}
        }
    }

    fn stop(&mut self, stop: &Stop<'_>, out: &mut Vec<u8>) {
        if let Stop::Refusal(Some(explanation)) = stop {
            self.string_chunk(b"\"refusal\":", explanation, out);
        }
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"},\"finish_reason\":\"");
        out.extend_from_slice(reason_of(stop).as_bytes());
        out.extend_from_slice(b"\"}]");
        if self.context.include_usage {
            out.extend_from_slice(b",\"usage\":null");
        }
        out.extend_from_slice(b"}\n\n");
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.context.include_usage {
            // The head without its choice.
            let cut = self.head.len() - b"{\"index\":0,\"delta\":{".len();
            out.extend_from_slice(&self.head[..cut]);
            out.extend_from_slice(b"],\"usage\":");
            let usage = self.usage.unwrap_or_default();
            json::object(out, |object| write_usage(object, &usage));
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn chunk(&mut self, out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
        // The head ends inside the delta's brace, the tail begins with the closing one.
        out.extend_from_slice(&self.head);
        let brace = out.len() - 1;
        out.truncate(brace);
        json::object(out, fill);
        out.extend_from_slice(&self.tail[1..]);
    }

    fn string_chunk(&mut self, key: &[u8], text: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(key);
        json::string(out, text);
        match self.logprobs.take() {
            None => out.extend_from_slice(self.tail),
            Some(tokens) => {
                out.extend_from_slice(b"},\"logprobs\":{\"content\":");
                out.extend_from_slice(tokens.as_bytes());
                out.extend_from_slice(b",\"refusal\":null}");
                out.extend_from_slice(&self.tail[1..]);
            }
        }
    }
}

/// No `[DONE]` follows: the answer is not done.
fn fail(failure: &Failure, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    json::object(out, |body| body.object("error", |error| failure.write_openai(error)));
    out.extend_from_slice(b"\n\n");
}
