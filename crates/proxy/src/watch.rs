//! Watching an answer from a tee: its usage, its errors, whether it came to its end. The bytes go to the client as
//! they came; what is decoded here is thrown away.

use std::io::Write;

use genesis_wire::Dialect;
use genesis_wire::report::{self, Report, StreamReader};
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::coding::{Coding, Unpacker};

/// Longest JSON answer that is read for its usage.
const JSON_LIMIT: usize = 64 * 1024 * 1024;

pub(crate) enum Watch {
    /// Nothing in it can be read.
    Blind,
    /// Read whole, at its end.
    Json {
        dialect: Option<Dialect>,
        coding: Coding,
    },
    Stream(Box<Unpacker<Sink>>),
}

impl Watch {
    /// What can be read of an answer with these headers.
    pub(crate) fn new(dialect: Option<Dialect>, headers: &HeaderMap) -> Self {
        let Some(coding) = Coding::of(headers) else { return Self::Blind };
        let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media = media.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        match (media.as_str(), dialect) {
            ("text/event-stream" | "application/vnd.amazon.eventstream", Some(dialect)) => {
                Self::Stream(Box::new(Unpacker::new(coding, Sink(StreamReader::new(dialect)))))
            }
            ("application/json", dialect) => Self::Json { dialect, coding },
            (media, dialect) if media.ends_with("+json") => Self::Json { dialect, coding },
            _ => Self::Blind,
        }
    }

    pub(crate) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// Whether a stream has come to its end already, as far as that can be told before it is finished.
    pub(crate) fn has_ended(&self) -> bool {
        match self {
            Self::Stream(stream) => match &**stream {
                Unpacker::Plain(sink) => sink.0.clone().finish().ended,
                _ => false,
            },
            _ => false,
        }
    }

    /// How much of the body must be kept until the end for [`Watch::finish`].
    pub(crate) fn needs_body(&self) -> usize {
        if matches!(self, Self::Json { .. }) { JSON_LIMIT } else { 0 }
    }

    pub(crate) fn push(&mut self, piece: &[u8]) {
        if let Self::Stream(stream) = self {
            // A coding error only ends the watching: the bytes are the client's to judge.
            let _ = stream.push(piece);
        }
    }

    /// What the answer said about itself; `body` is the whole of it for JSON. The second value is false if a
    /// stream of a dialect with a known ending never came to it.
    pub(crate) fn finish(&mut self, body: &[u8], success: bool) -> (Report, bool) {
        match std::mem::replace(self, Self::Blind) {
            Self::Blind => (Report::default(), true),
            Self::Json { dialect, coding } => {
                let decoded = coding.decode(body);
                let report = match dialect {
                    Some(dialect) if success => report::read_answer(dialect, &decoded),
                    Some(dialect) => report::read_json(dialect, &decoded),
                    None => Report { error: report::error_message(&decoded), ..Report::default() },
                };
                (report, true)
            }
            Self::Stream(mut stream) => {
                // Also of a coding that was cut off: what could be read of it counts.
                let report = stream.sink().0.clone().finish();
                let ended = report.ended || report.error.is_some();
                (report, ended)
            }
        }
    }
}

/// Lets a [`StreamReader`] stand where a writer is wanted.
pub(crate) struct Sink(StreamReader);

impl Write for Sink {
    fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
        self.0.push(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
