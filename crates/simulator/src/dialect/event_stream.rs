//! AWS event-stream messages: lengths, headers, payload, and two CRC-32 sums, all big-endian.

use bytes::Bytes;
use flate2::Crc;

pub(crate) const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

const STRING: u8 = 7;
/// Total length, headers length and their checksum before, the message checksum after.
const OVERHEAD: usize = 16;

/// A message that carries an event of the stream.
pub(crate) fn event(kind: &str, payload: &[u8]) -> Bytes {
    message(
        &[(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")],
        payload,
    )
}

/// A message that ends the stream with an error.
pub(crate) fn exception(kind: &str, payload: &[u8]) -> Bytes {
    message(
        &[(":exception-type", kind), (":content-type", "application/json"), (":message-type", "exception")],
        payload,
    )
}

fn message(headers: &[(&str, &str)], payload: &[u8]) -> Bytes {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(name.len() as u8);
        block.extend_from_slice(name.as_bytes());
        block.push(STRING);
        block.extend_from_slice(&(value.len() as u16).to_be_bytes());
        block.extend_from_slice(value.as_bytes());
    }
    let total = OVERHEAD + block.len() + payload.len();
    let mut message = Vec::with_capacity(total);
    message.extend_from_slice(&(total as u32).to_be_bytes());
    message.extend_from_slice(&(block.len() as u32).to_be_bytes());
    message.extend_from_slice(&checksum(&message).to_be_bytes());
    message.extend_from_slice(&block);
    message.extend_from_slice(payload);
    message.extend_from_slice(&checksum(&message).to_be_bytes());
    message.into()
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest message of AWS's own test vectors: no headers, no payload.
    #[test]
    fn an_empty_message_matches_the_published_vector() {
        let expected = [0, 0, 0, 0x10, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff];
        assert_eq!(message(&[], b"").as_ref(), expected);
    }
}
