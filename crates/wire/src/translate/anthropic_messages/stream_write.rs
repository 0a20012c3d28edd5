//! Writing a stream of Messages events.

use crate::Usage;
use crate::translate::Context;
use crate::translate::conversation::{Event, Family, Open, Start, Stop, signature_text};
use crate::translate::json::{self, Object};
use crate::translate::stream::Writer;

use super::answer::write_tier;
use super::{HOME, write_citation, write_stop, write_usage};

/// Turns events into Messages events.
#[derive(Debug)]
pub(in crate::translate) struct StreamWriter {
    context: Context,
    open: Block,
    /// Blocks begun so far: the index of the current one is one less.
    blocks: u64,
    signed: bool,
    /// Gemini signs text at its end; Messages needs a block of its own for that.
    text_signature: Option<String>,
    stop: Option<Stop<'static>>,
    usage: Usage,
    tier: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Block {
    None,
    Text,
    Thinking,
    Redacted,
    Tool,
}

impl StreamWriter {
    pub(in crate::translate) fn new(context: &Context) -> Self {
        Self {
            context: context.clone(),
            open: Block::None,
            blocks: 0,
            signed: false,
            text_signature: None,
            stop: None,
            usage: Usage::default(),
            tier: None,
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
            Event::Cite(citation) => self.delta_object(out, |delta| {
                delta.string("type", "citations_delta");
                delta.object("citation", |object| write_citation(object, &citation));
            }),
            Event::Logprobs(_) => {}
            Event::Close => self.close(out),
            Event::Stop(stop) => self.stop = Some(stop.into_owned()),
            Event::Usage(usage) => self.usage = usage,
            Event::ServiceTier(tier) => self.tier = Some(tier.to_owned()),
            Event::End => self.end(out),
            Event::Fail(failure) => {
                out.extend_from_slice(b"event: error\ndata: ");
                failure.write(crate::Dialect::AnthropicMessages, out);
                out.extend_from_slice(b"\n\n");
            }
        }
    }
}

impl StreamWriter {
    fn start(&mut self, start: &Start<'_>, out: &mut Vec<u8>) {
        self.usage = start.usage.unwrap_or_default();
        let context = &self.context;
        event(out, "message_start", |body| {
            body.object("message", |message| {
                message.string("id", start.id.unwrap_or(&context.request_id));
                message.string("type", "message");
                message.string("role", "assistant");
                message.string("model", start.model.unwrap_or(&context.model));
                message.array("content", |_| {});
                message.null("stop_reason");
                message.null("stop_sequence");
                message.object("usage", |object| write_usage(object, &self.usage));
            });
        });
    }

    fn open(&mut self, open: &Open<'_>, out: &mut Vec<u8>) {
        if let Open::Tool { signature: Some(signature), .. } = open {
            self.bare_signature(Family::Google, signature, out);
        }
        let index = self.blocks;
        self.blocks += 1;
        self.signed = false;
        event(out, "content_block_start", |body| {
            body.integer("index", index);
            body.object("content_block", |block| match open {
                Open::Text | Open::Refusal => {
                    block.string("type", "text");
                    block.string("text", "");
                }
                Open::Thinking => {
                    block.string("type", "thinking");
                    block.string("thinking", "");
                    block.string("signature", "");
                }
                Open::Redacted(family, data) => {
                    block.string("type", "redacted_thinking");
                    block.string("data", &signature_text(HOME, *family, data));
                }
                Open::Tool { id, name, .. } => {
                    block.string("type", "tool_use");
                    block.string("id", id);
                    block.string("name", name);
                    block.object("input", |_| {});
                }
            });
        });
        self.open = match open {
            Open::Text | Open::Refusal => Block::Text,
            Open::Thinking => Block::Thinking,
            Open::Redacted(..) => Block::Redacted,
            Open::Tool { .. } => Block::Tool,
        };
    }

    fn delta(&mut self, text: &str, out: &mut Vec<u8>) {
        let (head, key): (&[u8], &[u8]) = match self.open {
            Block::Text => (b"text_delta", b"text"),
            Block::Thinking => (b"thinking_delta", b"thinking"),
            Block::Tool => (b"input_json_delta", b"partial_json"),
            Block::Redacted | Block::None => return,
        };
        out.extend_from_slice(
            b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":",
        );
        json::integer(out, self.blocks - 1);
        out.extend_from_slice(b",\"delta\":{\"type\":\"");
        out.extend_from_slice(head);
        out.extend_from_slice(b"\",\"");
        out.extend_from_slice(key);
        out.extend_from_slice(b"\":");
        json::string(out, text);
        out.extend_from_slice(b"}}\n\n");
    }

    fn sign(&mut self, family: Family, data: &str, out: &mut Vec<u8>) {
        if self.open != Block::Thinking {
            self.text_signature = Some(data.to_owned());
            return;
        }
        // A signature that comes in pieces is named once.
        let data = if self.signed { data.into() } else { signature_text(HOME, family, data) };
        self.signed = true;
        self.delta_object(out, |delta| {
            delta.string("type", "signature_delta");
            delta.string("signature", &data);
        });
    }

    fn delta_object(&mut self, out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
        let index = self.blocks.saturating_sub(1);
        event(out, "content_block_delta", |body| {
            body.integer("index", index);
            body.object("delta", fill);
        });
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.open, Block::None) == Block::None {
            return;
        }
        let index = self.blocks - 1;
        event(out, "content_block_stop", |body| body.integer("index", index));
        if let Some(signature) = self.text_signature.take() {
            self.bare_signature(Family::Google, &signature, out);
        }
    }

    /// A signature that is over no thinking text; Messages has only thinking blocks to put it in.
    fn bare_signature(&mut self, family: Family, data: &str, out: &mut Vec<u8>) {
        self.open(&Open::Thinking, out);
        self.sign(family, data, out);
        self.close(out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let stop = self.stop.take().unwrap_or(Stop::End);
        event(out, "message_delta", |body| {
            body.object("delta", |delta| write_stop(delta, &stop));
            body.object("usage", |object| {
                write_usage(object, &self.usage);
                write_tier(object, self.tier.as_deref());
            });
        });
        event(out, "message_stop", |_| {});
    }
}

fn event(out: &mut Vec<u8>, kind: &str, fill: impl FnOnce(&mut Object<'_>)) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    json::object(out, |body| {
        body.string("type", kind);
        fill(body);
    });
    out.extend_from_slice(b"\n\n");
}
