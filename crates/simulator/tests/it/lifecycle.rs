//! Starting, capturing, stopping, and the other protocol.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use genesis_simulator::{Options, Outcome, Simulator, serve};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;

use crate::client::{get, post, send};

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn requests_are_captured_as_they_came() {
    let simulator = Simulator::start().unwrap();
    send(&simulator, "POST", "/v1/x?y=z", "X-Odd: \u{e9}\r\nx-odd: two\r\n", b"\x00\xff");
    let captured = &simulator.wait_for(1, PATIENCE).unwrap()[0];
    assert_eq!((captured.method.as_str(), captured.path_and_query.as_str()), ("POST", "/v1/x?y=z"));
    assert_eq!(captured.body.as_ref(), b"\x00\xff");
    let odd: Vec<_> =
        captured.headers.iter().filter(|(name, _)| name == "x-odd").map(|(_, value)| value.clone()).collect();
    assert_eq!(odd, ["é".as_bytes().to_vec(), b"two".to_vec()]);
    assert_eq!(captured.outcome, Outcome::Complete);
    assert_eq!(simulator.take_captured().len(), 1);
    assert!(simulator.captured().is_empty());
    assert!(simulator.wait_for(1, Duration::from_millis(1)).is_none());
}

#[test]
fn a_broken_off_upload_is_captured_as_far_as_it_came() {
    let simulator = Simulator::start().unwrap();
    let mut stream = TcpStream::connect(simulator.addr()).unwrap();
    stream.write_all(b"POST /v1/x HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc").unwrap();
    drop(stream);
    let captured =
        simulator.wait_until(|captured| captured.first().is_some_and(|one| one.client_left()), PATIENCE);
    assert_eq!(captured.unwrap()[0].body.as_ref(), b"abc");
}

#[test]
fn the_simulated_header_and_close_are_sent_on_demand() {
    let plain = Simulator::start().unwrap();
    assert_eq!(get(&plain, "/v1/models").header("x-genesis-simulated"), None);
    let marked = Simulator::start_with(Options { simulated_header: true, ..Options::default() }).unwrap();
    let body = json!({"model": "sim-429,close"});
    assert_eq!(post(&marked, "/v1/chat/completions", &body).header("x-genesis-simulated"), Some("true"));
    assert!(marked.captured().is_empty());
    let mut stream = TcpStream::connect(marked.addr()).unwrap();
    stream.write_all(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-simulator: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.contains("connection: close"));
}

#[test]
fn dropping_it_frees_the_port() {
    let simulator = Simulator::start().unwrap();
    let addr = simulator.addr();
    let mut stalled = crate::client::open(&simulator, "GET", "/x", "x-simulator: stall-head\r\n", b"");
    simulator.wait_for(1, PATIENCE).unwrap();
    drop(simulator);
    assert!(!matches!(stalled.read(&mut [0; 1]), Ok(1..)));
    assert!(TcpStream::connect(addr).is_err());
}

#[tokio::test]
async fn h2_in_clear_text_is_spoken_too() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = tokio::spawn(serve(listener, Options::default()));
    let stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = |script: &str| {
        let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"Hi"}]}"#;
        let uri = format!("http://{addr}/v1/chat/completions");
        http::Request::post(uri).header("x-simulator", script).body(Full::new(Bytes::from(body))).unwrap()
    };
    let answer = sender.send_request(request("close")).await.unwrap();
    assert_eq!(answer.version(), http::Version::HTTP_2);
    let whole = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(whole.ends_with(b"data: [DONE]\n\n"));
    let cut = sender.send_request(request("cut-json")).await.unwrap();
    assert!(cut.into_body().collect().await.is_err());
    server.abort();
}
