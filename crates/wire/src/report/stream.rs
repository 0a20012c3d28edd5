//! Reading a [`Report`] from a stream while it passes.

use super::elements::Elements;
use super::{Facts, Report, bedrock, needles};
use crate::Dialect;
use crate::eventstream::Decoder;
use crate::sse::{self, Splitter};

/// How many of the first events are read for the model's name, which some providers leave out of the very first.
const FIRST_LOOKS: u8 = 4;

/// Watches a stream and reports what it said about itself.
///
/// The framing is told from the first byte: server-sent events, AWS event-stream messages (Bedrock), or JSON
/// objects (Gemini without `alt=sse`, or a plain JSON body). It never fails: bytes it cannot read say nothing.
#[derive(Clone, Debug)]
pub struct StreamReader {
    facts: Facts,
    framing: Framing,
    looks_left: u8,
}

#[derive(Clone, Debug)]
enum Framing {
    /// Nothing but white space has come yet.
    Unknown,
    Events(Splitter),
    Messages {
        decoder: Decoder,
        scratch: Vec<u8>,
    },
    Elements(Elements),
    /// The framing broke.
    Lost,
}

impl StreamReader {
    /// A reader for a stream in `dialect`.
    pub fn new(dialect: Dialect) -> Self {
        let names_model_in_events = matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiResponses);
        Self {
            facts: Facts::new(dialect),
            framing: Framing::Unknown,
            looks_left: if names_model_in_events { FIRST_LOOKS } else { 0 },
        }
    }

    /// Takes the next bytes of the stream, in whatever chunks they come.
    pub fn push(&mut self, chunk: &[u8]) {
        let mut chunk = chunk;
        if matches!(self.framing, Framing::Unknown) {
            chunk = chunk.trim_ascii_start();
            let Some(first) = chunk.first() else { return };
            self.framing = Framing::told_by(*first);
        }
        let Self { facts, framing, looks_left } = self;
        match framing {
            Framing::Events(splitter) => splitter.push_runs(chunk, |run| read_run(facts, looks_left, run)),
            Framing::Messages { decoder, scratch } => {
                let read = decoder.push(chunk, |message| bedrock::message(facts, &message, scratch));
                if read.is_err() {
                    *framing = Framing::Lost;
                }
            }
            Framing::Elements(elements) => elements.push(chunk, |element| read_element(facts, element)),
            Framing::Unknown | Framing::Lost => {}
        }
    }

    /// The stream is over, or cut: reports what it said.
    pub fn finish(mut self) -> Report {
        if let Framing::Events(splitter) = &self.framing {
            // Not every provider ends its last event with a blank line.
            read_run(&mut self.facts, &mut self.looks_left, splitter.rest());
        }
        self.facts.report
    }
}

impl Framing {
    fn told_by(first: u8) -> Self {
        match first {
            // A message begins with its length in four bytes, and none is 16 MiB long.
            0 => Self::Messages { decoder: Decoder::new(), scratch: Vec::new() },
            b'[' | b'{' => Self::Elements(Elements::new()),
            _ => Self::Events(Splitter::new()),
        }
    }
}

fn read_run(facts: &mut Facts, looks_left: &mut u8, run: &[u8]) {
    let mut rest = run;
    while *looks_left > 0 {
        let Some(event) = sse::events(rest).next() else {
            return;
        };
        rest = &rest[event.len()..];
        if read_event(facts, event) {
            *looks_left -= 1;
        }
        if facts.report.model.is_some() {
            *looks_left = 0;
        }
    }
    needles::for_each_candidate(facts.dialect, rest, |event| {
        read_event(facts, event);
    });
}

/// Whether the event carried data.
fn read_event(facts: &mut Facts, raw: &[u8]) -> bool {
    let event = sse::Event::parse(raw);
    if event.data.is_empty() {
        return false;
    }
    facts.event(&event.data);
    true
}

/// Only Gemini streams objects; in another dialect one is a whole answer.
fn read_element(facts: &mut Facts, element: &[u8]) {
    if facts.dialect == Dialect::GeminiGenerate {
        facts.event(element);
    } else {
        facts.body(element);
    }
}
