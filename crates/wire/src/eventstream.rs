//! The AWS event-stream framing (`application/vnd.amazon.eventstream`), which Bedrock streams in.
//!
//! A message is: total length, headers length, CRC-32 of those two, headers, payload, CRC-32 of all before it;
//! integers are big-endian. A header is a name and a typed value.
//! Source: the "Event Stream Encoding" page of the Smithy and Amazon Transcribe documentation.

mod crc;
mod header;

use thiserror::Error;

use self::crc::crc32;
pub use self::header::HeaderValue;
use self::header::{read_header, write_header};

/// The largest message taken in, in bytes, unless [`Decoder::with_limit`] says otherwise: 16 MiB of payload, as
/// AWS allows, and its headers.
pub const DEFAULT_MESSAGE_LIMIT: usize = 16 * 1024 * 1024 + 128 * 1024 + OVERHEAD;

const PRELUDE: usize = 12;
const OVERHEAD: usize = PRELUDE + 4;

/// Why a stream of messages cannot be read on. The provider's fault, or the connection's.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum FrameError {
    /// The lengths' own checksum is wrong: these are not event-stream bytes, or some were lost.
    #[error("the stream is not AWS event-stream framing, or bytes were lost: a prelude checksum is wrong")]
    PreludeChecksum,
    /// The message's checksum is wrong.
    #[error("a message was damaged in transit: its checksum is wrong")]
    MessageChecksum,
    /// The lengths contradict each other.
    #[error("a message's lengths are impossible: {total} bytes in all, {headers} of headers")]
    Length {
        /// The length of the whole message.
        total: usize,
        /// The length of its headers.
        headers: usize,
    },
    /// The message is longer than the decoder takes.
    #[error("a message of {length} bytes is over the limit of {limit}")]
    TooLong {
        /// The length of the whole message.
        length: usize,
        /// The decoder's limit.
        limit: usize,
    },
    /// The headers do not parse.
    #[error("a message's headers are malformed")]
    Headers,
}

/// Cuts a stream, in whatever chunks it arrives, into messages, checking every checksum.
#[derive(Clone, Debug)]
pub struct Decoder {
    tail: Vec<u8>,
    limit: usize,
    failed: Option<FrameError>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder that takes messages of up to [`DEFAULT_MESSAGE_LIMIT`].
    pub fn new() -> Self {
        Self::with_limit(DEFAULT_MESSAGE_LIMIT)
    }

    /// A decoder that takes messages of up to `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self { tail: Vec::new(), limit, failed: None }
    }

    /// Takes the next bytes and calls `on_message` with each message they complete. Only a message that straddles
    /// chunks is copied.
    ///
    /// # Errors
    /// [`FrameError`] at the first broken message. There is no way to find the next one, so every later call
    /// returns the same error.
    pub fn push(&mut self, chunk: &[u8], mut on_message: impl FnMut(Message<'_>)) -> Result<(), FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.decode(chunk, &mut on_message).inspect_err(|error| {
            self.failed = Some(*error);
            self.tail = Vec::new();
        })
    }

    /// The bytes after the last complete message.
    pub fn rest(&self) -> &[u8] {
        &self.tail
    }

    fn decode(
        &mut self,
        mut chunk: &[u8],
        on_message: &mut impl FnMut(Message<'_>),
    ) -> Result<(), FrameError> {
        while !self.tail.is_empty() {
            let wanted = message_length(&self.tail, self.limit)?.unwrap_or(PRELUDE);
            let (taken, after) = chunk.split_at(chunk.len().min(wanted - self.tail.len()));
            self.tail.extend_from_slice(taken);
            chunk = after;
            if self.tail.len() < wanted {
                return Ok(());
            }
            if message_length(&self.tail, self.limit)? == Some(self.tail.len()) {
                on_message(Message::parse(&self.tail)?);
                self.tail.clear();
            }
        }
        while let Some(length) = message_length(chunk, self.limit)?.filter(|length| *length <= chunk.len()) {
            let (message, after) = chunk.split_at(length);
            on_message(Message::parse(message)?);
            chunk = after;
        }
        self.tail.extend_from_slice(chunk);
        Ok(())
    }
}

/// One message, borrowed from the bytes it came in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Message<'a> {
    /// The whole message as it came.
    pub raw: &'a [u8],
    /// What it carries; for Bedrock a JSON document.
    pub payload: &'a [u8],
    headers: &'a [u8],
}

impl<'a> Message<'a> {
    /// The headers in order.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, HeaderValue<'a>)> {
        let mut rest = self.headers;
        std::iter::from_fn(move || {
            let (name, value, after) = read_header(rest)?;
            rest = after;
            Some((name, value))
        })
    }

    /// The value of the string header `name`.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.headers().find_map(|(header, value)| match value {
            HeaderValue::String(text) if header == name => Some(text),
            _ => None,
        })
    }

    /// What kind of message this is: `event`, `exception` or `error`.
    pub fn message_type(&self) -> Option<&'a str> {
        self.text(":message-type")
    }

    /// Which event this is, e.g. `contentBlockDelta`.
    pub fn event_type(&self) -> Option<&'a str> {
        self.text(":event-type")
    }

    fn parse(raw: &'a [u8]) -> Result<Self, FrameError> {
        let (checked, checksum) = raw.split_at(raw.len() - 4);
        if crc32(checked) != be_u32(checksum) {
            return Err(FrameError::MessageChecksum);
        }
        let (headers, payload) = checked[PRELUDE..].split_at(be_u32(&raw[4..]) as usize);
        let mut rest = headers;
        while !rest.is_empty() {
            rest = read_header(rest).ok_or(FrameError::Headers)?.2;
        }
        Ok(Self { raw, payload, headers })
    }
}

/// One message in bytes. A header's name is cut to 255 bytes and its value to 65,535, as the format allows no
/// more.
pub fn encode(headers: &[(&str, HeaderValue<'_>)], payload: &[u8]) -> Vec<u8> {
    let mut message = vec![0; PRELUDE];
    for (name, value) in headers {
        write_header(&mut message, name, value);
    }
    let headers_length = message.len() - PRELUDE;
    message.extend_from_slice(payload);
    let total = message.len() + 4;
    message[..4].copy_from_slice(&(total as u32).to_be_bytes());
    message[4..8].copy_from_slice(&(headers_length as u32).to_be_bytes());
    let prelude_checksum = crc32(&message[..8]);
    message[8..PRELUDE].copy_from_slice(&prelude_checksum.to_be_bytes());
    let checksum = crc32(&message);
    message.extend_from_slice(&checksum.to_be_bytes());
    message
}

/// An event with a JSON payload, as Bedrock sends them.
pub fn encode_event(event_type: &str, payload: &[u8]) -> Vec<u8> {
    encode(
        &[
            (":event-type", HeaderValue::String(event_type)),
            (":content-type", HeaderValue::String("application/json")),
            (":message-type", HeaderValue::String("event")),
        ],
        payload,
    )
}

/// An exception with a JSON payload, as Bedrock ends a failed stream, e.g. `throttlingException`.
pub fn encode_exception(exception_type: &str, payload: &[u8]) -> Vec<u8> {
    encode(
        &[
            (":exception-type", HeaderValue::String(exception_type)),
            (":content-type", HeaderValue::String("application/json")),
            (":message-type", HeaderValue::String("exception")),
        ],
        payload,
    )
}

/// The length of the message that begins here, once its prelude is there.
fn message_length(bytes: &[u8], limit: usize) -> Result<Option<usize>, FrameError> {
    let Some(prelude) = bytes.get(..PRELUDE) else {
        return Ok(None);
    };
    if crc32(&prelude[..8]) != be_u32(&prelude[8..]) {
        return Err(FrameError::PreludeChecksum);
    }
    let (total, headers) = (be_u32(prelude) as usize, be_u32(&prelude[4..]) as usize);
    if total < OVERHEAD || headers > total - OVERHEAD {
        return Err(FrameError::Length { total, headers });
    }
    if total > limit {
        return Err(FrameError::TooLong { length: total, limit });
    }
    Ok(Some(total))
}

fn be_u32(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |number, byte| number << 8 | u32::from(*byte))
}
