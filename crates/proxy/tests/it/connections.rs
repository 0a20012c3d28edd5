//! Client connections, byte by byte: several requests on one, bodies nobody reads, heads that never end, and that it makes
//! no difference who serves them, we or hyper.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::client::{Reply, find, open, read_reply};
use crate::gateway::{Gateway, Setup, config};
use crate::upstream::{Script, Upstream, answer, chunk, chunked_head};

const JSON: &str = "content-type: application/json\r\n";

fn chat(gateway: &Gateway, body: &str) -> String {
    format!(
        "POST /v1/a/gw/openai/chat/completions HTTP/1.1\r\nhost: h\r\ncf-aig-authorization: {}\r\n\
         authorization: Bearer sk\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        gateway.authorization(),
        body.len()
    )
}

fn ask(stream: &mut TcpStream, text: &str) -> Reply {
    stream.write_all(text.as_bytes()).expect("taken");
    read_reply(stream, if text.starts_with("HEAD") { "HEAD" } else { "GET" })
}

/// The peer closes without another byte.
fn ends(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 1]), Ok(0)) // a read that times out is an error
}

#[test]
fn one_connection_serves_request_after_request() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    let mut stream = open(gateway.address);
    for turn in 0..3 {
        upstream.will_say(answer("200 OK", JSON, format!("{{\"turn\":{turn}}}").as_bytes()));
        let reply = ask(&mut stream, &chat(&gateway, "{\"a\":1}"));
        assert_eq!((reply.status, reply.text()), (200, format!("{{\"turn\":{turn}}}")));
        assert!(reply.header("date").is_some_and(|date| date.ends_with(" GMT")), "{reply:?}");
        assert_eq!(ask(&mut stream, "GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n").text(), "aside");
    }
    let reply = ask(&mut stream, "GET /healthz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
    assert_eq!(reply.header("connection"), Some("close"));
    assert!(ends(&mut stream));
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    upstream.will_say(answer("200 OK", JSON, b"{}"));
    let mut stream = open(gateway.address);
    for byte in chat(&gateway, "{\"a\": [1, 2]}").bytes() {
        stream.write_all(&[byte]).expect("taken");
    }
    assert_eq!(read_reply(&mut stream, "POST").status, 200);
    assert!(upstream.request_text().ends_with("\r\n\r\n{\"a\": [1, 2]}"));
}

#[test]
fn requests_sent_without_waiting_are_answered_in_order() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    let mut stream = open(gateway.address);
    let mut all = String::new();
    for turn in 0..4 {
        upstream.will_say(answer("200 OK", JSON, format!("{turn}").as_bytes()));
        all += &chat(&gateway, &format!("{{\"turn\":{turn}}}"));
    }
    stream.write_all(all.as_bytes()).expect("taken");
    let mut seen = Vec::new();
    while seen.windows(5).filter(|window| window == b"HTTP/").count() < 4 || !seen.ends_with(b"\r\n\r\n3") {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).expect("answers");
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..read]);
    }
    let answers: Vec<_> = (0..4).map(|turn| find(&seen, format!("\r\n\r\n{turn}").as_bytes())).collect();
    assert!(answers.is_sorted() && answers.iter().all(Option::is_some), "{answers:?}");
}

#[test]
fn a_large_body_arrives_whole_whatever_its_pieces() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    upstream.will_say(answer("200 OK", JSON, b"{}"));
    let body = format!("{{\"text\":\"{}\"}}", "0123456789".repeat(300_000));
    let request = chat(&gateway, &body);
    let mut stream = open(gateway.address);
    for piece in request.as_bytes().chunks(70_001) {
        stream.write_all(piece).expect("taken");
    }
    assert_eq!(read_reply(&mut stream, "POST").status, 200);
    assert!(upstream.request().ends_with(body.as_bytes()));
}

#[test]
fn a_body_that_breaks_off_reaches_no_provider() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    let mut stream = open(gateway.address);
    let request = chat(&gateway, "{\"messages\": []}");
    stream.write_all(&request.as_bytes()[..request.len() - 3]).expect("taken");
    drop(stream);
    let (record, _) = gateway.last_log(1);
    assert!(record.error.contains("broke off") || record.error.contains("left"), "{}", record.error);
    assert!(upstream.was_not_called());
}

#[test]
fn a_body_nobody_wants_does_not_cost_the_connection_or_the_answer() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    let refused = |length: usize| {
        format!(
            "POST /v1/a/gw/openai/x HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    let mut stream = open(gateway.address);
    stream.write_all(refused(200_000).as_bytes()).expect("taken");
    assert_eq!(read_reply(&mut stream, "POST").status, 401, "before the body came");
    stream.write_all(&[b'x'; 200_000]).expect("taken");
    assert_eq!(ask(&mut stream, "GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n").text(), "aside");
    // One that is not worth reading ends the connection, and says so.
    let reply = ask(&mut stream, &refused(50_000_000));
    assert_eq!((reply.status, reply.header("connection")), (401, Some("close")));
}

#[test]
fn heads_without_bodies() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    let mut stream = open(gateway.address);
    upstream.will_say("HTTP/1.1 200 OK\r\ncontent-length: 17\r\nx-theirs: yes\r\n\r\n");
    let call = |method: &str| chat(&gateway, "").replace("POST", method);
    let reply = ask(&mut stream, &call("HEAD"));
    assert_eq!((reply.header("content-length"), reply.header("x-theirs")), (Some("17"), Some("yes")));
    upstream.will_say("HTTP/1.1 204 No Content\r\n\r\n");
    let reply = ask(&mut stream, &call("DELETE"));
    assert_eq!(
        (reply.status, reply.header("content-length"), reply.header("transfer-encoding")),
        (204, None, None)
    );
    upstream.will_say("HTTP/1.1 529 Overloaded\r\ncontent-length: 2\r\n\r\n{}");
    let reply = ask(&mut stream, &call("GET"));
    assert_eq!((reply.status, reply.text()), (529, "{}".to_owned()));
}

#[test]
fn what_a_provider_promised_and_did_not_send_is_a_broken_transfer() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    for script in [
        [b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec()].to_vec(),
        [chunked_head("content-type: text/event-stream\r\n"), chunk(b"data: 1\n\n")].to_vec(),
    ] {
        upstream.will(Script { pieces: script, close: true, ..Script::default() });
        let mut stream = open(gateway.address);
        let reply = ask(&mut stream, &chat(&gateway, "{}"));
        assert!(!reply.complete, "{reply:?}");
        assert!(reply.text() == "half" || reply.text() == "data: 1\n\n", "{reply:?}");
    }
}

#[test]
fn what_is_out_of_the_ordinary_goes_on_with_hyper_on_the_same_connection() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    let mut stream = open(gateway.address);
    assert_eq!(ask(&mut stream, "GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n").text(), "aside");
    upstream.will_say(answer("200 OK", JSON, b"1"));
    let chunked = chat(&gateway, "").replace("content-length: 0", "transfer-encoding: chunked");
    assert_eq!(ask(&mut stream, &format!("{chunked}5\r\n{{\"a\":\r\n2\r\n1}}\r\n0\r\n\r\n")).text(), "1");
    assert!(upstream.request_text().ends_with("{\"a\":1}"));
    upstream.will_say(answer("200 OK", JSON, b"2"));
    assert_eq!(ask(&mut stream, &chat(&gateway, "{}")).text(), "2");

    let mut stream = open(gateway.address);
    let waits = chat(&gateway, "{\"b\":2}").replace("host: h", "host: h\r\nexpect: 100-continue");
    let (head, body) = waits.split_at(waits.len() - "{\"b\":2}".len());
    stream.write_all(head.as_bytes()).expect("taken");
    let mut interim = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut interim).expect("an interim answer");
    assert!(interim.starts_with(b"HTTP/1.1 100 "));
    upstream.will_say(answer("200 OK", JSON, b"3"));
    assert_eq!(ask(&mut stream, body).text(), "3");

    let mut stream = open(gateway.address);
    assert_eq!(ask(&mut stream, "GET /healthz HTTP/1.0\r\n\r\n").text(), "aside");
    assert!(ends(&mut stream));

    let mut stream = open(gateway.address);
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").expect("taken");
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).expect("a frame");
    assert_eq!(frame[3], 4, "SETTINGS of HTTP/2");
}

#[test]
fn a_head_that_never_ends_is_not_waited_for_and_an_idle_connection_is_kept() {
    let upstream = Upstream::start();
    let within = Some(Duration::from_millis(150));
    let setup = Setup { config: config(&upstream.url(), "gw: {}"), head_within: within, ..Setup::default() };
    let gateway = Gateway::start(setup);
    let mut kept = open(gateway.address);
    assert_eq!(ask(&mut kept, "GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n").status, 200);
    // Silent from the start, silent in the middle, dripping, slow at the second request.
    let mut silent = open(gateway.address);
    assert!(ends(&mut silent));
    let mut half = open(gateway.address);
    half.write_all(b"GET /healthz HTTP/1.1\r\nhost:").expect("taken");
    assert!(ends(&mut half));
    let mut second = open(gateway.address);
    assert_eq!(ask(&mut second, "GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n").status, 200);
    second.write_all(b"GET ").expect("taken");
    assert!(ends(&mut second));
    let mut dripping = open(gateway.address);
    dripping.set_read_timeout(Some(Duration::from_millis(20))).expect("timeout");
    let drips = (0..1_000).take_while(|_| dripping.write_all(b"G").is_ok() && !ends(&mut dripping)).count();
    assert!(drips < 1_000, "it was let go");
    assert_eq!(ask(&mut kept, "GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n").status, 200, "idle all the while");
}

#[test]
fn heads_of_any_size_get_an_answer() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    let many = "x-a: b\r\n".repeat(100);
    let mut stream = open(gateway.address);
    assert_eq!(ask(&mut stream, &format!("GET /healthz HTTP/1.1\r\n{many}\r\n")).text(), "aside");
    let too_many = "x-a: b\r\n".repeat(400);
    let mut stream = open(gateway.address);
    assert_eq!(ask(&mut stream, &format!("GET /healthz HTTP/1.1\r\n{too_many}\r\n")).status, 431);
}

/// What does not differ from one exchange to the next.
fn told(reply: &Reply) -> (u16, Vec<(String, String)>, String) {
    let changes = ["date", "cf-aig-request-id", "cf-aig-log-id", "cf-aig-event-id", "connection"];
    let mut headers = reply.headers.clone();
    headers.retain(|(name, _)| !changes.contains(&name.as_str()));
    headers.sort();
    (reply.status, headers, reply.text())
}

fn requests() -> impl Strategy<Value = String> {
    let method = prop_oneof![
        Just("GET"),
        Just("POST"),
        Just("PUT"),
        Just("G@T"),
        Just("get"),
        "[A-Z]{1,8}".prop_map(|text| &*text.leak())
    ];
    let path = prop_oneof![
        Just("/healthz"),
        Just("/v1/a/gw/openai/x?y=%20"),
        Just("/v1/a/none/openai/x"),
        Just("*"),
        Just("/a b"),
        Just("/\u{e9}"),
        Just("http://h/healthz"),
        Just("")
    ];
    let version = prop_oneof![8 => Just("HTTP/1.1"), 1 => Just("HTTP/1.2"), 1 => Just("HTTP/2.0"), 1 => Just("http/1.1")];
    let header = prop_oneof![
        4 => Just("x-a: b"), 1 => Just("x-b:c"), 1 => Just("x-c :d"), 1 => Just(": e"), 1 => Just("no colon"), 1 => Just(" folded"),
        1 => Just("x-d: \u{7f}"), 1 => Just("x-e:\t f \t"), 1 => Just("content-length: 2"), 1 => Just("content-length: x"),
        1 => Just("content-length: -1"), 1 => Just("content-length: 3, 3"), 1 => Just("transfer-encoding: gzip"),
        1 => Just("authorization: Bearer gt_x"), 1 => Just("x-f: caf\u{e9}"),
    ];
    let headers = prop::collection::vec(header, 0..5);
    let line_end = prop_oneof![6 => Just("\r\n"), 1 => Just("\n")];
    (method, path, version, headers, line_end).prop_map(|(method, path, version, headers, end)| {
        let mut text = format!("{method} {path} {version}{end}host: h{end}");
        headers.iter().for_each(|header| text += &format!("{header}{end}"));
        text + end + "{}"
    })
}

#[test]
fn nobody_can_tell_who_serves_a_connection() {
    let gateway = Gateway::before("http://127.0.0.1:9");
    let status = |request: &str, by_hyper: bool| {
        let mut stream = open(gateway.address);
        if by_hyper {
            // A wish for another protocol is hyper's business, and so is the connection from then on.
            let first = ask(&mut stream, "GET /healthz HTTP/1.1\r\nhost: h\r\nupgrade: x\r\n\r\n");
            assert_eq!(first.text(), "aside");
        }
        stream.write_all(request.as_bytes()).expect("taken");
        let mut line = [0; "HTTP/1.1 200".len()];
        stream.read_exact(&mut line).ok().map(|()| String::from_utf8_lossy(&line).into_owned())
    };
    let mut runner = TestRunner::new(ProptestConfig { cases: 300, ..ProptestConfig::default() });
    let ran = runner.run(&requests(), |request| {
        prop_assert_eq!(status(&request, false), status(&request, true));
        Ok(())
    });
    ran.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn both_say_the_same_in_the_same_words() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    let (mut ours, mut hypers) = (open(gateway.address), open(gateway.address));
    assert_eq!(ask(&mut hypers, "GET /healthz HTTP/1.1\r\nupgrade: x\r\n\r\n").status, 200);
    let stream: Vec<u8> =
        [chunked_head("content-type: text/event-stream\r\n"), chunk(b"data: 1\n\n"), b"0\r\n\r\n".to_vec()]
            .concat();
    for said in [
        answer("200 OK", JSON, b"{}"),
        answer("404 Not Found", JSON, b"{\"error\":1}"),
        answer("200 OK", JSON, b""),
        stream,
    ] {
        upstream.will_say(said.clone());
        upstream.will_say(said);
        let (one, other) = (ask(&mut ours, &chat(&gateway, "{}")), ask(&mut hypers, &chat(&gateway, "{}")));
        assert_eq!(told(&one), told(&other));
    }
}
