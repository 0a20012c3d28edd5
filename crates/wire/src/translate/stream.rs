//! Streams: the provider's bytes in, the client's bytes out, one event at a time.

use crate::Dialect;
use crate::{eventstream, sse};

use super::conversation::{Event, Open};
use super::error::Failure;
use super::{
    Context, anthropic_messages, bedrock_converse, cohere_chat, gemini_generate, openai_chat,
    openai_responses,
};

/// The largest event translated; an image in a Gemini answer is one event.
const EVENT_LIMIT: usize = 32 * 1024 * 1024;

/// Takes the neutral events a reader finds.
pub(super) type Sink<'s> = dyn FnMut(Event<'_>) + 's;

/// Reads one dialect's stream.
pub(super) trait Reader: std::fmt::Debug + Send {
    /// Takes one event.
    fn event(&mut self, name: Option<&[u8]>, data: &[u8], sink: &mut Sink<'_>);

    /// Whether events of this name mean anything here. Providers add kinds of events; those are passed over.
    fn knows(&self, _name: &[u8]) -> bool {
        true
    }

    /// The stream ended; dialects without a last word say their end here if the answer was complete.
    fn finish(&mut self, sink: &mut Sink<'_>);
}

/// Writes one dialect's stream.
pub(super) trait Writer: std::fmt::Debug + Send {
    fn write(&mut self, event: Event<'_>, out: &mut Vec<u8>);
}

/// Translates one streamed answer.
#[derive(Debug)]
pub struct StreamTranslator {
    framing: Framing,
    reader: Box<dyn Reader>,
    output: Output,
}

/// How the provider cuts its stream into events.
#[derive(Debug)]
enum Framing {
    Sse(sse::Splitter),
    EventStream(eventstream::Decoder),
}

#[derive(Debug)]
struct Output {
    writer: Box<dyn Writer>,
    context: Context,
    started: bool,
    /// The client has been told how it ended; nothing more may follow.
    over: bool,
    /// What it was told is that it failed.
    failed: bool,
}

impl StreamTranslator {
    /// A translator for the answer to the request that made `context`.
    ///
    /// `None` if the pair of dialects has no stream translation.
    pub fn new(context: Context) -> Option<Self> {
        let reader: Box<dyn Reader> = match context.to {
            Dialect::OpenAiChat => Box::new(openai_chat::StreamReader::default()),
            Dialect::AnthropicMessages => Box::new(anthropic_messages::StreamReader::default()),
            Dialect::GeminiGenerate => Box::new(gemini_generate::StreamReader::default()),
            Dialect::OpenAiResponses => Box::new(openai_responses::StreamReader::default()),
            Dialect::BedrockConverse => Box::new(bedrock_converse::StreamReader::default()),
            Dialect::CohereChat => Box::new(cohere_chat::StreamReader::default()),
            Dialect::OpenAiEmbeddings => return None,
        };
        let writer: Box<dyn Writer> = match context.from {
            Dialect::OpenAiChat => Box::new(openai_chat::StreamWriter::new(&context)),
            Dialect::AnthropicMessages => Box::new(anthropic_messages::StreamWriter::new(&context)),
            Dialect::GeminiGenerate => Box::new(gemini_generate::StreamWriter::new(&context)),
            Dialect::OpenAiResponses => Box::new(openai_responses::StreamWriter::new(&context)),
            _ => return None,
        };
        Some(Self {
            framing: match context.to {
                Dialect::BedrockConverse => {
                    Framing::EventStream(eventstream::Decoder::with_limit(EVENT_LIMIT))
                }
                _ => Framing::Sse(sse::Splitter::with_limit(EVENT_LIMIT)),
            },
            reader,
            output: Output { writer, context, started: false, over: false, failed: false },
        })
    }

    /// Takes the provider's next bytes and appends what they mean to `out`.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let Self { framing, reader, output } = self;
        match framing {
            Framing::Sse(splitter) => {
                splitter.push(chunk, |raw| output.event(reader.as_mut(), raw, out));
                if splitter.oversized() > 0 {
                    output.fail("the provider sent an event of more than 32 MiB", out);
                }
            }
            Framing::EventStream(decoder) => {
                let framed = decoder.push(chunk, |message| output.message(reader.as_mut(), &message, out));
                if let Err(error) = framed {
                    output.fail(&format!("the provider's event stream is broken: {error}"), out);
                }
            }
        }
    }

    /// The provider's stream ended. An answer that did not come to its end becomes an error the client sees.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let Self { framing, reader, output } = self;
        if let Framing::Sse(splitter) = framing
            && !splitter.rest().is_empty()
        {
            // The last event may lack its blank line.
            output.event(reader.as_mut(), splitter.rest(), out);
        }
        if !output.over {
            reader.finish(&mut |event| output.take(event, out));
        }
        self.broken(out, "the provider's stream ended before the answer was complete");
    }

    /// The provider's stream was cut: tells the client so, unless the answer is already complete.
    pub fn broken(&mut self, out: &mut Vec<u8>, message: &str) {
        self.output.fail(message, out);
    }

    /// Whether the client has been told that the answer failed.
    pub fn has_failed(&self) -> bool {
        self.output.failed
    }

    /// Whether the client has been told how the answer ended.
    pub fn is_over(&self) -> bool {
        self.output.over
    }
}

impl Output {
    fn fail(&mut self, message: &str, out: &mut Vec<u8>) {
        self.take(Event::Fail(Failure::upstream(message)), out);
    }

    fn message(&mut self, reader: &mut dyn Reader, message: &eventstream::Message<'_>, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match (message.event_type(), message.text(":exception-type").or(message.text(":error-code"))) {
            (_, Some(kind)) => {
                let failure = Failure::read_exception(kind, message.payload);
                self.take(Event::Fail(failure), out);
            }
            (Some(name), None) => {
                reader.event(Some(name.as_bytes()), message.payload, &mut |event| self.take(event, out))
            }
            (None, None) => {}
        }
    }

    fn event(&mut self, reader: &mut dyn Reader, raw: &[u8], out: &mut Vec<u8>) {
        let event = sse::Event::parse(raw);
        let unknown = event.name.is_some_and(|name| !reader.knows(name));
        if event.data.is_empty() || self.over || unknown {
            return;
        }
        reader.event(event.name, &event.data, &mut |event| self.take(event, out));
    }

    fn take(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match &event {
            Event::Start(_) if self.started => return,
            Event::Start(_) => self.started = true,
            Event::End => self.over = true,
            Event::Fail(_) => {
                self.over = true;
                self.failed = true;
                return self.writer.write(event, out);
            }
            _ => {}
        }
        if !self.started {
            self.started = true;
            self.writer.write(Event::Start(super::conversation::Start::default()), out);
        }
        if let Event::Open(Open::Tool { id, name, signature }) = event {
            let name = self.context.tools.original(name);
            self.writer.write(Event::Open(Open::Tool { id, name, signature }), out);
            return;
        }
        self.writer.write(event, out);
    }
}
