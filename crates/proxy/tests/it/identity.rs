//! Bytes are sacred: whatever the provider says, in whatever pieces, is what the client gets, with everything
//! switched on.

use std::sync::OnceLock;

use proptest::prelude::*;

use crate::gateway::{Gateway, Setup, config};
use crate::upstream::{Script, Upstream, answer, chunk, chunked_head};

const OWN: (&str, &str) = ("x-api-key", "sk-own");

struct Pair {
    upstream: Upstream,
    gateway: Gateway,
}

/// One gateway for all cases; each case is one exchange.
fn with_pair<T>(run: impl FnOnce(&Pair) -> T) -> T {
    static PAIR: OnceLock<std::sync::Mutex<Pair>> = OnceLock::new();
    let pair = PAIR.get_or_init(|| {
        let upstream = Upstream::start();
        let gateway = Gateway::start(Setup { config: config(&upstream.url(), "gw: {}"), ..Setup::default() });
        std::sync::Mutex::new(Pair { upstream, gateway })
    });
    run(&pair.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

fn event() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude\",\"usage\":{\"input_tokens\":3}}}\n\n".to_vec()),
        Just(b"event: content_block_delta\r\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"h\xc3\xa9\"}}\r\n\r\n".to_vec()),
        Just(b": keep-alive comment\n\n".to_vec()),
        Just(b"event: never_heard_of\ndata: \xff\xfe\x00 broken utf-8\n\n".to_vec()),
        Just(b"data: {\"usage\": not json}\n\n".to_vec()),
        Just(b"event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":7}}\n\n".to_vec()),
        Just(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n".to_vec()),
        prop::collection::vec(any::<u8>(), 1..200),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn streams_pass_byte_for_byte(
        events in prop::collection::vec(event(), 1..20),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        wire_cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let body = events.concat();
        let mut wire = chunked_head("content-type: text/event-stream\r\n");
        for piece in split(&body, &cuts) {
            wire.extend(chunk(&piece));
        }
        wire.extend(b"0\r\n\r\n");
        let pieces = split(&wire, &wire_cuts);
        let reply = with_pair(|pair| {
            pair.upstream.will(Script { pieces, ..Script::default() });
            let reply = pair.gateway.post_authorized("/v1/a/gw/anthropic/v1/messages", &[OWN], b"{\"stream\":true}");
            pair.upstream.request();
            reply
        });
        prop_assert_eq!(reply.status, 200);
        prop_assert!(reply.complete);
        prop_assert_eq!(reply.body, body);
    }

    #[test]
    fn requests_and_answers_pass_byte_for_byte(
        request in prop::collection::vec(any::<u8>(), 1..3000),
        body in prop::collection::vec(any::<u8>(), 0..20_000),
        json in any::<bool>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let media = if json { "application/json" } else { "application/octet-stream" };
        let wire = answer("200 OK", &format!("content-type: {media}\r\n"), &body);
        let pieces = split(&wire, &cuts);
        let (sent, reply) = with_pair(|pair| {
            pair.upstream.will(Script { pieces, ..Script::default() });
            let reply = pair.gateway.post_authorized("/v1/a/gw/anthropic/v1/messages", &[OWN, ("content-type", media)], &request);
            (pair.upstream.request(), reply)
        });
        prop_assert!(sent.ends_with(&request));
        prop_assert_eq!(reply.body, body);
    }
}

/// `bytes` in pieces, none of them empty.
fn split(bytes: &[u8], cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.dedup();
    at.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect()
}
