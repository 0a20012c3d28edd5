//! Content codings we can look into: offered to providers, undone whole or piece by piece. What goes to a client on a
//! provider's own path is never touched.

use std::borrow::Cow;
use std::io::{self, Read, Write};

use brotli_decompressor::DecompressorWriter;
use flate2::write::{MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// A small answer may decompress to a huge one; past this it is not read.
const DECODED_LIMIT: usize = 64 * 1024 * 1024;

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
        if Coding::named(name).is_some_and(|coding| coding != Coding::Identity) {
            kept.push(offer.trim());
        }
    }
    kept.join(", ")
}

impl Coding {
    /// That of a body with these headers; `None` if it cannot be undone.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let named = headers.get(CONTENT_ENCODING).map_or(Ok(""), |value| value.to_str()).ok()?;
        Self::named(named.trim())
    }

    fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "" | "identity" => Self::Identity,
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            "br" => Self::Brotli,
            _ => return None,
        })
    }

    /// A whole body without the coding; empty if it is damaged or too large.
    pub(crate) fn decode(self, body: &[u8]) -> Cow<'_, [u8]> {
        let mut decoded = Vec::new();
        let limit = DECODED_LIMIT as u64;
        let read = match self {
            Self::Identity => return Cow::Borrowed(body),
            Self::Gzip => flate2::read::MultiGzDecoder::new(body).take(limit).read_to_end(&mut decoded),
            Self::Deflate => flate2::read::ZlibDecoder::new(body).take(limit).read_to_end(&mut decoded),
            Self::Brotli => {
                brotli_decompressor::Decompressor::new(body, 4096).take(limit).read_to_end(&mut decoded)
            }
        };
        match read {
            Ok(_) => Cow::Owned(decoded),
            Err(_) => Cow::Owned(Vec::new()),
        }
    }
}

/// A body without its content coding; `None` if that cannot be undone.
pub(crate) fn decoded<'a>(headers: &HeaderMap, body: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    let whole = Coding::of(headers)?.decode(body);
    (body.is_empty() || !whole.is_empty()).then_some(whole)
}

/// Undoes a coding piece by piece: what can be read of a piece is written to the sink at once.
pub(crate) enum Unpacker<W: Write> {
    Plain(W),
    Gzip(MultiGzDecoder<W>),
    Deflate(ZlibDecoder<W>),
    Brotli(Box<DecompressorWriter<W>>),
}

impl<W: Write> Unpacker<W> {
    pub(crate) fn new(coding: Coding, sink: W) -> Self {
        match coding {
            Coding::Identity => Self::Plain(sink),
            Coding::Gzip => Self::Gzip(MultiGzDecoder::new(sink)),
            Coding::Deflate => Self::Deflate(ZlibDecoder::new(sink)),
            Coding::Brotli => Self::Brotli(Box::new(DecompressorWriter::new(sink, 4096))),
        }
    }

    pub(crate) fn push(&mut self, piece: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(sink) => sink.write_all(piece),
            Self::Gzip(decoder) => decoder.write_all(piece).and_then(|()| decoder.flush()),
            Self::Deflate(decoder) => decoder.write_all(piece).and_then(|()| decoder.flush()),
            Self::Brotli(decoder) => decoder.write_all(piece).and_then(|()| decoder.flush()),
        }
    }

    pub(crate) fn sink(&mut self) -> &mut W {
        match self {
            Self::Plain(sink) => sink,
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Deflate(decoder) => decoder.get_mut(),
            Self::Brotli(decoder) => decoder.get_mut(),
        }
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

    #[test]
    fn every_flushed_piece_can_be_read_at_once() {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut unpacker = Unpacker::new(Coding::Deflate, Vec::new());
        for said in ["data: one\n\n", "data: two\n\n"] {
            encoder.write_all(said.as_bytes()).unwrap();
            encoder.flush().unwrap();
            unpacker.push(&std::mem::take(encoder.get_mut())).unwrap();
            assert_eq!(std::mem::take(unpacker.sink()), said.as_bytes());
        }
        assert!(unpacker.push(b"no deflate at all").is_err() || unpacker.sink().is_empty());
    }
}
