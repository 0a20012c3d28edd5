//! Clients that leave: their provider is told to stop, or their answer is read to its end.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use genesis_store::Outcome;

use crate::client::{open, send};
use crate::gateway::{Gateway, Setup, config};
use crate::upstream::{chunk, chunked_head};

const CHAT: &str = "/v1/acct/gw/openai/chat/completions";
const FIRST: &[u8] = b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"model\":\"gpt-5-mini\"}\n\n";
const LAST: &[u8] =
    b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1000,\"completion_tokens\":50}}\n\ndata: [DONE]\n\n";

/// An upstream whose answer goes on when it is told to.
fn held() -> (String, Sender<()>, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    let ((go, told), (called, was_called)) = (channel::<()>(), channel());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("called");
        let _ = stream.read(&mut [0; 4096]);
        called.send(()).expect("heard");
        let _ = told.recv();
        let head = chunked_head("content-type: text/event-stream\r\n");
        let _ = stream.write_all(&[head, chunk(FIRST)].concat());
        let _ = told.recv();
        let _ = stream.write_all(&[chunk(LAST), b"0\r\n\r\n".to_vec()].concat());
        let _ = stream.read(&mut [0; 1]);
    });
    (url, go, was_called)
}

/// Leaves before the answer began, or after its first event; what the log says then.
fn leave(settings: &str, header: Option<&str>, after_first: bool) -> genesis_store::LogRecord {
    let (url, go, was_called) = held();
    let gateway = Gateway::start(Setup { config: config(&url, settings), ..Setup::default() });
    let token = gateway.authorization();
    let mut headers = vec![
        ("cf-aig-authorization", token.as_str()),
        ("authorization", "Bearer sk"),
        ("content-type", "application/json"),
    ];
    headers.extend(header.map(|value| ("cf-aig-on-disconnect", value)));
    let mut stream = open(gateway.address);
    send(&mut stream, "POST", CHAT, &headers, b"{\"stream\":true}");
    was_called.recv_timeout(Duration::from_secs(20)).expect("called");
    if after_first {
        go.send(()).expect("told");
        let mut seen = Vec::new();
        while !seen.windows(FIRST.len()).any(|window| window == FIRST) {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).expect("the first event");
            assert_ne!(read, 0);
            seen.extend_from_slice(&buffer[..read]);
        }
        drop(stream);
        noticed(&gateway);
    } else {
        drop(stream);
        noticed(&gateway);
        let _ = go.send(());
    }
    let _ = go.send(());
    gateway.last_log(1).0
}

/// Waits until the gateway has seen its client leave.
fn noticed(gateway: &Gateway) {
    for _ in 0..4_000 {
        if gateway.shared.connections() == 0 {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    panic!("the gateway did not notice that its client left");
}

#[test]
fn a_drained_answer_is_logged_with_its_whole_cost() {
    for (settings, header) in [("gw: {}", Some("drain")), ("gw: { on_disconnect: 'drain' }", None)] {
        for after_first in [true, false] {
            let record = leave(settings, header, after_first);
            assert_eq!(record.outcome, Outcome::ClientLeft, "{settings} {after_first}");
            assert!(record.error.contains("read to the end"), "{}", record.error);
            assert_eq!(record.usage.map(|usage| (usage.input, usage.output)), Some((1000, 50)));
            assert!(record.cost_nano_usd.is_some_and(|cost| cost > 0));
            assert_eq!(record.status, 200);
        }
    }
}

#[test]
fn otherwise_the_provider_is_left_too() {
    for (settings, header) in
        [("gw: {}", None), ("gw: { on_disconnect: 'drain' }", Some("cancel")), ("gw: {}", Some("nonsense"))]
    {
        for after_first in [true, false] {
            let record = leave(settings, header, after_first);
            assert_eq!(
                (record.outcome, record.usage),
                (Outcome::ClientLeft, None),
                "{settings} {after_first}"
            );
        }
    }
}

#[test]
fn over_a_socket_it_is_the_same() {
    for header in ["drain", "cancel"] {
        let (url, go, was_called) = held();
        let gateway = Gateway::before(&url);
        let headers = [("cf-aig-authorization", gateway.token.as_str()), ("cf-aig-on-disconnect", header)];
        let (mut socket, _) = crate::realtime::connect(&gateway, "/v1/acct/gw", &headers).expect("handshake");
        let request = r#"{"type":"universal.create","request":{"eventId":"e","provider":"openai",
            "endpoint":"chat/completions","headers":{"authorization":"Bearer sk"},"query":{"stream":true}}}"#;
        socket.send(tungstenite::Message::text(request)).expect("send");
        was_called.recv_timeout(Duration::from_secs(20)).expect("called");
        go.send(()).expect("told");
        for _ in 0..2 {
            socket.read().expect("created, and the first event");
        }
        drop(socket);
        noticed(&gateway);
        let _ = go.send(());
        let record = gateway.last_log(1).0;
        assert_eq!(record.outcome, Outcome::ClientLeft);
        assert_eq!(record.usage.is_some(), header == "drain", "{record:?}");
    }
}

#[test]
fn what_is_under_way_is_counted() {
    let (url, go, was_called) = held();
    let gateway = Gateway::before(&url);
    let open_calls = |wanted| {
        for _ in 0..2_000 {
            if gateway.shared.open_calls() == wanted {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(5)); // the gateway counts on its own time
        }
        panic!("{:?} instead of {wanted:?}", gateway.shared.open_calls());
    };
    open_calls((0, 0));
    let token = gateway.authorization();
    let json = ("content-type", "application/json");
    let headers = [("cf-aig-authorization", token.as_str()), json, ("connection", "close")];
    let mut stream = open(gateway.address);
    send(&mut stream, "POST", CHAT, &headers, b"{\"stream\":true}");
    was_called.recv_timeout(Duration::from_secs(20)).expect("called");
    open_calls((1, 0));
    go.send(()).expect("told");
    open_calls((1, 1));
    go.send(()).expect("told");
    stream.read_to_end(&mut Vec::new()).expect("the rest");
    open_calls((0, 0));
}
