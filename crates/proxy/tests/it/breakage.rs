//! Upstreams that refuse, cut, stall and lie; clients that leave.

use std::io::Read;
use std::net::TcpListener;
use std::time::Duration;

use genesis_store::Outcome;

use crate::client::{open, read_reply, send};
use crate::gateway::{Gateway, Setup, config};
use crate::upstream::{Script, Upstream, answer, chunk, chunked_head};

const CHAT: &str = "/v1/acct/gw/openai/chat/completions";
const MESSAGES: &str = "/v1/acct/gw/anthropic/v1/messages";
const OWN: (&str, &str) = ("authorization", "Bearer sk-own");
const STREAM: &str = "content-type: text/event-stream\r\n";

#[test]
fn an_upstream_that_cannot_be_reached_is_a_502_that_can_be_looked_up() {
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let gateway = Gateway::before(&format!("http://127.0.0.1:{port}"));
    let reply = gateway.post_authorized(CHAT, &[OWN], b"{}");
    assert_eq!((reply.status, reply.json()["internalCode"].as_u64()), (502, Some(2005)));
    let (record, payload) = gateway.last_log(1);
    assert_eq!((record.status, record.outcome), (502, Outcome::UpstreamBroken));
    assert!(record.error.contains("cannot connect"), "{}", record.error);
    assert_eq!(payload.expect("payload").response, reply.body);
}

#[test]
fn answers_that_are_not_http_are_a_502() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    for nonsense in [
        &b"SSH-2.0-OpenSSH_9.2\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
    ] {
        upstream.will(Script { pieces: vec![nonsense.to_vec()], close: true, ..Script::default() });
        let reply = gateway.post_authorized(CHAT, &[OWN], b"{}");
        assert_eq!(reply.status, 502, "{}", String::from_utf8_lossy(nonsense));
    }
}

#[test]
fn a_silent_upstream_is_a_504_after_the_time_the_client_gave() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    upstream.will(Script { then_wait: true, ..Script::default() });
    let reply = gateway.post_authorized(CHAT, &[OWN, ("cf-aig-request-timeout", "50")], b"{}");
    assert_eq!(reply.status, 504);
    assert!(reply.text().contains("50 ms"), "{}", reply.text());
    upstream.saw_the_gateway_close();
    assert_eq!(gateway.log(1)[0].outcome, Outcome::UpstreamBroken);
}

#[test]
fn a_connection_closed_before_the_answer_is_a_502() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    upstream.will(Script { close: true, ..Script::default() });
    assert_eq!(gateway.post_authorized(CHAT, &[OWN], b"{}").status, 502);
    upstream.will(Script { hang_up: true, ..Script::default() });
    assert_eq!(gateway.post_authorized(CHAT, &[OWN], b"{}").status, 502);
}

#[test]
fn interim_answers_are_passed_over() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    let mut pieces =
        vec![b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n".to_vec()];
    pieces.push(answer("200 OK", "", b"final"));
    upstream.will(Script { pieces, ..Script::default() });
    assert_eq!(gateway.post_authorized(CHAT, &[OWN], b"{}").text(), "final");
}

#[test]
fn a_cut_answer_reaches_the_client_as_a_broken_transfer() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    let event =
        b"data: {\"id\":\"c\",\"model\":\"gpt-5\",\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n";
    let cut_chunk = [chunked_head(STREAM), chunk(event), b"40\r\ndata: {\"cho".to_vec()].concat();
    let cut_between = [chunked_head(STREAM), chunk(event)].concat();
    let cut_length =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{\"id\":".to_vec();
    // Nothing but a closed connection marks the end here, and the stream itself has not come to it.
    let without_framing =
        [format!("HTTP/1.1 200 OK\r\n{STREAM}connection: close\r\n\r\n").into_bytes(), event.to_vec()]
            .concat();
    for (name, bytes) in [
        ("inside a chunk", cut_chunk),
        ("between chunks", cut_between),
        ("short", cut_length),
        ("close", without_framing),
    ] {
        upstream.will(Script { pieces: vec![bytes], close: true, ..Script::default() });
        let reply = gateway.post_authorized(CHAT, &[OWN], b"{\"stream\":true}");
        assert_eq!(reply.status, 200, "{name}");
        assert!(!reply.complete, "{name}: {}", reply.text());
    }
    for record in gateway.log(4) {
        assert_eq!(record.outcome, Outcome::UpstreamBroken, "{}", record.error);
    }
}

#[test]
fn an_answer_that_ends_with_its_connection_is_whole_if_its_stream_is() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    let body = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let bytes = format!("HTTP/1.0 200 OK\r\n{STREAM}\r\n{body}");
    upstream.will(Script { pieces: vec![bytes.into_bytes()], close: true, ..Script::default() });
    let reply = gateway.post_authorized(CHAT, &[OWN], b"{\"stream\":true}");
    assert_eq!((reply.text().as_str(), reply.complete), (body, true));
    assert_eq!(gateway.log(1)[0].outcome, Outcome::Success);
}

#[test]
fn an_error_inside_a_stream_passes_and_is_logged_as_the_providers() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    let body = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
    upstream.will_say([chunked_head(STREAM), chunk(body.as_bytes()), chunk(b"")].concat());
    let reply = gateway.post_authorized(MESSAGES, &[OWN], b"{\"stream\":true}");
    assert_eq!((reply.text().as_str(), reply.complete), (body, true));
    let (record, _) = gateway.last_log(1);
    assert_eq!((record.outcome, record.error.as_str()), (Outcome::ProviderError, "Overloaded"));
}

#[test]
fn a_client_that_leaves_ends_the_upstream_call_and_what_was_used_is_kept() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    let start = b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude-sonnet-4-5\",\"usage\":{\"input_tokens\":11,\"output_tokens\":1}}}\n\n";
    let pieces = vec![[chunked_head(STREAM), chunk(start)].concat()];
    upstream.will(Script { pieces, then_wait: true, ..Script::default() });
    let mut stream = open(gateway.address);
    let token = gateway.authorization();
    let headers =
        [("cf-aig-authorization", token.as_str()), ("x-api-key", "sk"), ("content-type", "application/json")];
    send(&mut stream, "POST", MESSAGES, &headers, b"{\"stream\":true,\"model\":\"claude-sonnet-4-5\"}");
    let mut buffer = [0; 4096];
    assert_ne!(stream.read(&mut buffer).expect("the first event"), 0);
    drop(stream);
    upstream.saw_the_gateway_close();
    let (record, _) = gateway.last_log(1);
    assert_eq!(record.outcome, Outcome::ClientLeft);
    assert_eq!(record.usage.map(|usage| usage.input), Some(11));
    assert!(record.cost_nano_usd.is_some_and(|cost| cost > 0), "{record:?}");

    // Also while the provider has not begun to answer.
    upstream.will(Script { then_wait: true, ..Script::default() });
    let mut stream = open(gateway.address);
    send(&mut stream, "POST", MESSAGES, &headers, b"{}");
    upstream.request();
    upstream.request();
    drop(stream);
    upstream.saw_the_gateway_close();
    let (record, _) = gateway.last_log(2);
    assert_eq!((record.outcome, record.status), (Outcome::ClientLeft, 499));
}

#[test]
fn a_client_that_hangs_up_on_the_last_event_has_had_the_whole_answer() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    let event = b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let pieces = vec![[chunked_head(STREAM), chunk(event)].concat()];
    upstream.will(Script { pieces, then_wait: true, ..Script::default() });
    let mut stream = open(gateway.address);
    let token = gateway.authorization();
    let headers =
        [("cf-aig-authorization", token.as_str()), ("x-api-key", "sk"), ("content-type", "application/json")];
    send(&mut stream, "POST", MESSAGES, &headers, b"{\"stream\":true}");
    let mut seen = Vec::new();
    while !seen.windows(event.len()).any(|window| window == event) {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).expect("the last event");
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..read]);
    }
    drop(stream);
    upstream.saw_the_gateway_close();
    let (record, _) = gateway.last_log(1);
    assert_eq!((record.outcome, record.error.as_str()), (Outcome::Success, ""));
}

#[test]
fn a_stream_that_falls_silent_is_given_up_after_the_idle_time() {
    let upstream = Upstream::start();
    let config =
        config(&upstream.url(), "gw: {}").replace("gateway: {", "gateway: { limits: { idleSeconds: 1 },");
    let gateway = Gateway::start(Setup { config, ..Setup::default() });
    let pieces = vec![[chunked_head(STREAM), chunk(b"data: {}\n\n")].concat()];
    upstream.will(Script { pieces, then_wait: true, ..Script::default() });
    let reply = gateway.post_authorized(CHAT, &[OWN], b"{}");
    assert!(!reply.complete);
    upstream.saw_the_gateway_close();
    let (record, _) = gateway.last_log(1);
    assert!(record.error.contains("sent nothing for 1 s"), "{}", record.error);
}

#[test]
fn shutdown_lets_an_answer_under_way_finish() {
    let (called, was_called) = std::sync::mpsc::channel();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let slow = listener.local_addr().expect("address");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("called");
        let _ = stream.read(&mut [0; 4096]);
        called.send(()).expect("heard");
        wait.recv().expect("told to go on");
        std::io::Write::write_all(&mut stream, &answer("200 OK", "", b"late but whole")).expect("sent");
        stream
    });
    let mut gateway = Gateway::before(&format!("http://{slow}"));
    let mut stream = open(gateway.address);
    let token = gateway.authorization();
    let headers = [("cf-aig-authorization", token.as_str()), OWN, ("content-type", "application/json")];
    send(&mut stream, "POST", CHAT, &headers, b"{}");
    was_called.recv().expect("the call is under way");
    let address = gateway.address;
    let stopping = std::thread::spawn(move || gateway.shutdown(Duration::from_secs(20)));
    // The answer comes only once nothing new is accepted.
    while std::net::TcpStream::connect(address).is_ok() {}
    go.send(()).expect("told");
    assert_eq!(read_reply(&mut stream, "POST").text(), "late but whole");
    stopping.join().expect("stopped");
    drop(server.join());
}
