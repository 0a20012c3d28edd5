//! How long streams are kept, and within how much memory.

use crate::cache::{EVENTS, stream};
use crate::cache_sharing::{Staged, event, head};
use crate::client::{open, read_reply, send};
use crate::gateway::Gateway;
use crate::resume::{again, gateway, run_id};
use crate::upstream::Upstream;

const CHAT: &str = "/v1/acct/gw/openai/chat/completions";
const BODY: &[u8] = br#"{"model":"gpt-5","messages":[],"stream":true}"#;

fn bounded(url: &str, limits: &str) -> Gateway {
    let gateway = gateway(url, "gw: { resumable_streams: true }");
    let config = crate::gateway::config(url, "gw: { resumable_streams: true }")
        .replace("gateway: {", &format!("gateway: {{ limits: {{ {limits} }},"));
    gateway.reconfigure(&config);
    gateway
}

/// A stream of so many bytes, more or less; its run id, if it has one.
fn streamed(gateway: &Gateway, upstream: &Upstream, bytes: usize) -> Option<String> {
    upstream.will_say(stream(&[&"x".repeat(bytes), "[DONE]"]));
    let reply = gateway.post_authorized(CHAT, &[crate::cache::OWN], BODY);
    assert_eq!((reply.status, reply.complete), (200, true), "{}", reply.text());
    assert!(reply.body.len() > bytes);
    reply.header("cf-aig-run-id").map(|_| run_id(&reply).to_owned())
}

#[test]
fn a_stream_is_kept_for_five_and_a_half_minutes_after_its_end() {
    let upstream = Upstream::start();
    let gateway = bounded(&upstream.url(), "");
    let id = streamed(&gateway, &upstream, 100).expect("kept");
    gateway.later(329);
    assert_eq!(again(&gateway, &id, "").status, 200);
    gateway.later(2);
    let reply = again(&gateway, &id, "");
    assert_eq!((reply.status, reply.text().as_str()), (404, r#"{"error":"Request not found"}"#));
}

#[test]
fn the_oldest_go_when_memory_is_short() {
    let upstream = Upstream::start();
    let gateway = bounded(&upstream.url(), "resumableBytes: 100000");
    let ids: Vec<_> =
        (0..6).map(|_| streamed(&gateway, &upstream, 24_000).expect("there is room for one")).collect();
    let kept: Vec<_> = ids.iter().map(|id| again(&gateway, id, "").status == 200).collect();
    let newest = kept.iter().rev().take_while(|kept| **kept).count();
    assert!((2..=4).contains(&newest), "{kept:?}");
    assert!(kept[..6 - newest].iter().all(|kept| !kept), "{kept:?}");
}

#[test]
fn a_stream_that_outgrows_its_bound_reaches_its_client_all_the_same() {
    let upstream = Upstream::start();
    let gateway = bounded(&upstream.url(), "resumableStreamBytes: 10000");
    let large = streamed(&gateway, &upstream, 50_000).expect("nobody knows yet");
    let small = streamed(&gateway, &upstream, 5_000).expect("kept");
    assert_eq!((again(&gateway, &large, "").status, again(&gateway, &small, "").status), (404, 200));
}

#[test]
fn one_under_way_goes_last_and_its_client_does_not_notice() {
    let (staged, upstream) = (Staged::start(), Upstream::start());
    let gateway = bounded(&staged.url, "resumableBytes: 100000");
    let mut client = open(gateway.address);
    let token = gateway.authorization();
    let headers =
        [("cf-aig-authorization", token.as_str()), crate::cache::OWN, ("content-type", "application/json")];
    staged.says([head(), event(EVENTS[0])].concat());
    send(&mut client, "POST", CHAT, &headers, BODY);
    staged.was_called();
    // Those that have ended make room for it first.
    let config = crate::gateway::config(&upstream.url(), "gw: { resumable_streams: true }")
        .replace("gateway: {", "gateway: { limits: { resumableBytes: 100000 },");
    gateway.reconfigure(&config);
    let ended = streamed(&gateway, &upstream, 40_000).expect("kept");
    staged.says(event(&"y".repeat(70_000)));
    let middle = crate::cache_sharing::read_until(&mut client, b"yyyy\n\n");
    let middle = String::from_utf8(middle).expect("text");
    let id = middle.lines().find_map(|line| line.strip_prefix("cf-aig-run-id: ")).expect("a run id");
    assert_eq!(again(&gateway, &ended, "").status, 404);
    // Now there is nothing else to go.
    staged.says([event(&"z".repeat(70_000)), event(EVENTS[3]), b"0\r\n\r\n".to_vec()].concat());
    let rest = crate::cache_sharing::read_until(&mut client, b"\r\n0\r\n\r\n");
    assert_eq!(rest.iter().filter(|byte| **byte == b'z').count(), 70_000);
    assert_eq!(again(&gateway, id, "").status, 404);
    assert!(streamed(&gateway, &upstream, 100).is_some_and(|id| again(&gateway, &id, "").status == 200));
}

#[test]
fn a_client_that_takes_nothing_any_more_holds_up_nobody_who_goes_on_elsewhere() {
    const LARGE: usize = 24 * 1024 * 1024; // more than all buffers on the way hold
    let upstream = Upstream::start();
    let gateway = bounded(&upstream.url(), "resumableBytes: 100000000, resumableStreamBytes: 100000000");
    upstream.will_say(stream(&["first", &"x".repeat(LARGE), "[DONE]"]));
    let mut client = open(gateway.address);
    let token = gateway.authorization();
    let headers =
        [("cf-aig-authorization", token.as_str()), crate::cache::OWN, ("content-type", "application/json")];
    send(&mut client, "POST", CHAT, &headers, BODY);
    let head = String::from_utf8_lossy(&crate::cache_sharing::read_until(&mut client, b"first")).into_owned();
    let id = head.lines().find_map(|line| line.strip_prefix("cf-aig-run-id: ")).expect("a run id");
    let rest = again(&gateway, id, "?from=1");
    assert_eq!((rest.complete, rest.body.len()), (true, LARGE + "data: \n\ndata: [DONE]\n\n".len()));
    assert!(!read_reply_after(client), "what it did not take is gone, and no end is made up");
}

/// Reads what is left of a chunked answer; whether it came to its end.
fn read_reply_after(mut client: std::net::TcpStream) -> bool {
    let mut rest = Vec::new();
    let _ = std::io::Read::read_to_end(&mut client, &mut rest);
    rest.ends_with(b"\r\n0\r\n\r\n")
}

#[test]
fn without_memory_for_it_nothing_is_promised() {
    let upstream = Upstream::start();
    for limits in ["resumableBytes: 0", "resumableStreamBytes: 0"] {
        let gateway = bounded(&upstream.url(), limits);
        assert_eq!(streamed(&gateway, &upstream, 100), None);
    }
}

#[test]
fn nothing_is_lost_where_many_are_kept_at_once() {
    let upstream = Upstream::start();
    let gateway = bounded(&upstream.url(), "resumableBytes: 60000");
    for _ in 0..40 {
        upstream.will_say(stream(&[&"x".repeat(8_000), "[DONE]"]));
    }
    let clients: Vec<_> = (0..40)
        .map(|_| {
            let mut client = open(gateway.address);
            let token = gateway.authorization();
            let headers = [
                ("cf-aig-authorization", token.as_str()),
                crate::cache::OWN,
                ("content-type", "application/json"),
            ];
            send(&mut client, "POST", CHAT, &headers, BODY);
            client
        })
        .collect();
    for mut client in clients {
        let reply = read_reply(&mut client, "POST");
        assert_eq!((reply.status, reply.complete), (200, true));
        assert!(reply.text().ends_with("data: [DONE]\n\n"));
    }
}
