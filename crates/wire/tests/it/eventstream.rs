//! AWS event-stream framing: what is encoded comes back, and damage is noticed.

use genesis_wire::eventstream::{
    Decoder, FrameError, HeaderValue, Message, encode, encode_event, encode_exception,
};
use proptest::prelude::*;

use crate::cuts::{cut, ends};

/// A message made by hand from the format's description, so that encoder and decoder cannot share a mistake.
/// Its checksums were computed with zlib.
const BY_HAND: &[u8] = b"\x00\x00\x00\x24\x00\x00\x00\x0a\xb1\xb6\xbf\xb3\
    \x04kind\x07\x00\x02hi\
    {\"text\":1}\
    \x69\xdd\x5c\x17";

fn decode(chunks: &[&[u8]]) -> (Vec<Vec<u8>>, Result<(), FrameError>) {
    let mut decoder = Decoder::with_limit(4096);
    let mut seen = Vec::new();
    for chunk in chunks {
        let pushed = decoder.push(chunk, |message| seen.push(message.payload.to_vec()));
        if pushed.is_err() {
            return (seen, pushed);
        }
    }
    (seen, Ok(()))
}

fn with_message(bytes: &[u8], check: impl Fn(Message<'_>)) {
    let mut count = 0;
    Decoder::new()
        .push(bytes, |message| {
            check(message);
            count += 1;
        })
        .expect("the message is sound");
    assert_eq!(count, 1);
}

#[test]
fn a_bedrock_event_has_its_headers_and_payload() {
    let bytes = encode_event("metadata", b"{\"usage\":{}}");
    with_message(&bytes, |message| {
        assert_eq!(message.event_type(), Some("metadata"));
        assert_eq!(message.message_type(), Some("event"));
        assert_eq!(message.text(":content-type"), Some("application/json"));
        assert_eq!(message.payload, b"{\"usage\":{}}");
        assert_eq!(message.raw, bytes);
    });
    with_message(&encode_exception("throttlingException", b"{}"), |message| {
        assert_eq!(message.text(":exception-type"), Some("throttlingException"));
        assert_eq!(message.message_type(), Some("exception"));
    });
}

#[test]
fn a_message_made_by_hand_is_read_and_written_alike() {
    with_message(BY_HAND, |message| {
        assert_eq!(message.headers().collect::<Vec<_>>(), [("kind", HeaderValue::String("hi"))]);
        assert_eq!(message.payload, b"{\"text\":1}");
    });
    assert_eq!(encode(&[("kind", HeaderValue::String("hi"))], b"{\"text\":1}"), BY_HAND);
}

#[test]
fn every_header_type_comes_back() {
    let headers = [
        ("yes", HeaderValue::Bool(true)),
        ("no", HeaderValue::Bool(false)),
        ("byte", HeaderValue::Byte(-3)),
        ("short", HeaderValue::Short(-300)),
        ("integer", HeaderValue::Integer(-70_000)),
        ("long", HeaderValue::Long(i64::MIN)),
        ("bytes", HeaderValue::Bytes(b"\x00\xff")),
        ("string", HeaderValue::String("é")),
        ("timestamp", HeaderValue::Timestamp(1_700_000_000_000)),
        ("uuid", HeaderValue::Uuid([7; 16])),
    ];
    with_message(&encode(&headers, b""), |message| {
        assert_eq!(message.headers().collect::<Vec<_>>(), headers);
    });
}

#[test]
fn impossible_lengths_are_refused_before_anything_is_kept() {
    let mut decoder = Decoder::with_limit(100);
    let long = encode(&[], &[0; 200]);
    let refused = Err(FrameError::TooLong { length: 216, limit: 100 });
    assert_eq!(decoder.push(&long[..20], |_| ()), refused);
    assert_eq!(decoder.rest(), b"");
    assert_eq!(decoder.push(&encode(&[], b""), |_| ()), refused, "a broken stream stays broken");

    let text = decode(&[b"data: {\"this is\":\"no event stream\"}\n\n"]);
    assert_eq!(text, (vec![], Err(FrameError::PreludeChecksum)));
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_messages(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..5),
        ends in ends(),
    ) {
        let stream: Vec<u8> =
            payloads.iter().flat_map(|payload| encode_event("contentBlockDelta", payload)).collect();
        prop_assert_eq!(decode(&cut(&stream, &ends)), (payloads, Ok(())));
    }

    #[test]
    fn one_flipped_bit_is_noticed(payload in prop::collection::vec(any::<u8>(), 0..60), bit in any::<usize>()) {
        let mut bytes = encode_event("metadata", &payload);
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let (seen, read) = decode(&[&bytes]);
        prop_assert!(seen.is_empty() && read.is_err());
    }

    #[test]
    fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..100), ends in ends()) {
        prop_assert_eq!(decode(&cut(&bytes, &ends)), decode(&[&bytes]));
    }
}
