//! Watching an answer from a tee: its usage, its errors, whether it came to its end. The bytes go to the client as
//! they came; what is decoded here is thrown away.

use std::borrow::Cow;
use std::io::Write;

use brotli_decompressor::DecompressorWriter;
use flate2::write::{GzDecoder, ZlibDecoder};
use genesis_wire::Dialect;
use genesis_wire::report::{self, Report, StreamReader};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

/// Longest JSON answer that is read for its usage.
const JSON_LIMIT: usize = 64 * 1024 * 1024;
/// A small answer may decompress to a huge one; past this it is not read.
const DECODED_LIMIT: usize = 64 * 1024 * 1024;

pub(crate) enum Watch {
    /// Nothing in it can be read.
    Blind,
    /// Read whole, at its end.
    Json {
        dialect: Option<Dialect>,
        coding: Coding,
    },
    Stream(Box<Decoded>),
}

/// A content coding we can look into.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Deflate,
    Brotli,
}

/// Codings offered to providers: those a client accepts and we can look into. `identity` needs no mention.
pub(crate) fn readable_codings(accepted: &str) -> String {
    let mut kept = Vec::new();
    for offer in accepted.split(',') {
        let name = offer.split(';').next().unwrap_or_default().trim();
        if Coding::of(name).is_some_and(|coding| coding != Coding::Identity) {
            kept.push(offer.trim());
        }
    }
    kept.join(", ")
}

impl Coding {
    fn of(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "" | "identity" => Self::Identity,
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            "br" => Self::Brotli,
            _ => return None,
        })
    }
}

impl Watch {
    /// What can be read of an answer with these headers.
    pub(crate) fn new(dialect: Option<Dialect>, headers: &HeaderMap) -> Self {
        let text =
            |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok()).unwrap_or("");
        let Some(coding) = Coding::of(text(CONTENT_ENCODING).trim()) else { return Self::Blind };
        let media = text(CONTENT_TYPE).split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        match (media.as_str(), dialect) {
            ("text/event-stream" | "application/vnd.amazon.eventstream", Some(dialect)) => {
                Self::Stream(Box::new(Decoded::new(coding, StreamReader::new(dialect))))
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
                Decoded::Plain(reader) => reader.clone().finish().ended,
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
            stream.push(piece);
        }
    }

    /// What the answer said about itself; `body` is the whole of it for JSON. The second value is false if a
    /// stream of a dialect with a known ending never came to it.
    pub(crate) fn finish(&mut self, body: &[u8], success: bool) -> (Report, bool) {
        match std::mem::replace(self, Self::Blind) {
            Self::Blind => (Report::default(), true),
            Self::Json { dialect, coding } => {
                let decoded = decode(coding, body);
                let report = match dialect {
                    Some(dialect) if success => report::read_answer(dialect, &decoded),
                    Some(dialect) => report::read_json(dialect, &decoded),
                    None => Report { error: report::error_message(&decoded), ..Report::default() },
                };
                (report, true)
            }
            Self::Stream(stream) => {
                let report = stream.finish();
                let ended = report.ended || report.error.is_some();
                (report, ended)
            }
        }
    }
}

/// A stream reader behind a decoder.
pub(crate) enum Decoded {
    Plain(StreamReader),
    Gzip(GzDecoder<Sink>),
    Deflate(ZlibDecoder<Sink>),
    Brotli(Box<DecompressorWriter<Sink>>),
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

impl Decoded {
    fn new(coding: Coding, reader: StreamReader) -> Self {
        match coding {
            Coding::Identity => Self::Plain(reader),
            Coding::Gzip => Self::Gzip(GzDecoder::new(Sink(reader))),
            Coding::Deflate => Self::Deflate(ZlibDecoder::new(Sink(reader))),
            Coding::Brotli => Self::Brotli(Box::new(DecompressorWriter::new(Sink(reader), 4096))),
        }
    }

    /// A coding error only ends the watching: the bytes are the client's to judge.
    fn push(&mut self, piece: &[u8]) {
        let _ = match self {
            Self::Plain(reader) => {
                reader.push(piece);
                Ok(())
            }
            Self::Gzip(decoder) => decoder.write_all(piece).and_then(|()| decoder.flush()),
            Self::Deflate(decoder) => decoder.write_all(piece).and_then(|()| decoder.flush()),
            Self::Brotli(decoder) => decoder.write_all(piece).and_then(|()| decoder.flush()),
        };
    }

    fn finish(self) -> Report {
        let reader = match self {
            Self::Plain(reader) => Some(reader),
            Self::Gzip(decoder) => decoder.finish().ok().map(|sink| sink.0),
            Self::Deflate(decoder) => decoder.finish().ok().map(|sink| sink.0),
            Self::Brotli(decoder) => decoder.into_inner().ok().map(|sink| sink.0),
        };
        reader.map(StreamReader::finish).unwrap_or_default()
    }
}

/// A body without its content coding; `None` if that cannot be undone.
pub(crate) fn decoded<'a>(headers: &HeaderMap, body: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    let named = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let whole = decode(Coding::of(named.trim())?, body);
    (body.is_empty() || !whole.is_empty()).then_some(whole)
}

fn decode(coding: Coding, body: &[u8]) -> Cow<'_, [u8]> {
    use std::io::Read;
    let mut decoded = Vec::new();
    let limit = DECODED_LIMIT as u64;
    let read = match coding {
        Coding::Identity => return Cow::Borrowed(body),
        Coding::Gzip => flate2::read::MultiGzDecoder::new(body).take(limit).read_to_end(&mut decoded),
        Coding::Deflate => flate2::read::ZlibDecoder::new(body).take(limit).read_to_end(&mut decoded),
        Coding::Brotli => {
            brotli_decompressor::Decompressor::new(body, 4096).take(limit).read_to_end(&mut decoded)
        }
    };
    match read {
        Ok(_) => Cow::Owned(decoded),
        Err(_) => Cow::Owned(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_readable_codings_are_offered() {
        assert_eq!(readable_codings("gzip, deflate, br, zstd"), "gzip, deflate, br");
        assert_eq!(readable_codings("zstd;q=1.0, gzip;q=0.5"), "gzip;q=0.5");
        assert_eq!(readable_codings("identity"), "");
        assert_eq!(readable_codings("*"), "");
    }
}
