//! Each scripted fault, seen from the socket.

use std::io::Read;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use genesis_simulator::{Outcome, Simulator};
use serde_json::{Value, json};

use crate::client::{Answer, open, post, read_past, scripted};

const CHAT: &str = "/v1/chat/completions";
const PATIENCE: Duration = Duration::from_secs(10);

fn body(stream: bool) -> Value {
    json!({"model": "m", "stream": stream, "max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}]})
}

fn streamed(simulator: &Simulator, script: &str) -> Answer {
    scripted(simulator, CHAT, script, &body(true))
}

#[test]
fn a_status_comes_with_the_dialects_error() {
    let simulator = Simulator::start().unwrap();
    let refused = scripted(&simulator, CHAT, "429,retry-after=2", &body(false));
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("2")));
    assert_eq!(refused.json()["error"]["code"], "rate_limit_exceeded");
    let claude = scripted(&simulator, "/v1/messages", "529", &body(true));
    assert_eq!((claude.status, claude.json()["error"]["type"].clone()), (529, json!("overloaded_error")));
    assert_eq!(claude.json()["request_id"], claude.header("request-id").unwrap());
    let gemini = scripted(&simulator, "/v1beta/models/g:generateContent", "503", &body(true));
    assert_eq!(gemini.json()["error"]["status"], "UNAVAILABLE");
    assert_eq!(
        scripted(&simulator, CHAT, "302", &body(false)).header("location"),
        Some("/simulated-redirect")
    );
}

#[test]
fn a_model_name_can_be_the_script() {
    let simulator = Simulator::start().unwrap();
    let body = json!({"model": "sim-503,retry-after=1", "messages": []});
    let answer = post(&simulator, CHAT, &body);
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    let gemini = post(&simulator, "/v1beta/models/sim-429%2Cretry-after%3D3:generateContent", &json!({}));
    assert_eq!((gemini.status, gemini.header("retry-after")), (429, Some("3")));
}

#[test]
fn an_unknown_directive_is_an_error() {
    let simulator = Simulator::start().unwrap();
    let answer = scripted(&simulator, CHAT, "stal", &body(false));
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("`stal`"));
}

#[test]
fn a_script_can_end_after_its_first_turns() {
    let simulator = Simulator::start().unwrap();
    let statuses = [(); 3].map(|()| scripted(&simulator, CHAT, "500,first=2", &body(false)).status);
    assert_eq!(statuses, [500, 500, 200]);
}

#[test]
fn delays_and_gaps_take_their_time() {
    let simulator = Simulator::start().unwrap();
    let start = Instant::now();
    scripted(&simulator, CHAT, "delay=60ms", &body(false));
    assert!(start.elapsed() >= Duration::from_millis(60));
    let start = Instant::now();
    // Role, two pieces, end, [DONE]: four gaps.
    assert_eq!(streamed(&simulator, "gap=15ms,events=2").chunks.len(), 5);
    assert!(start.elapsed() >= Duration::from_millis(60));
}

#[test]
fn a_stalled_stream_ends_when_the_client_leaves() {
    let simulator = Simulator::start().unwrap();
    let headers = "x-simulator: stall\r\n";
    let mut stream = open(&simulator, "POST", CHAT, headers, body(true).to_string().as_bytes());
    let seen = read_past(&mut stream, "\n\n");
    assert_eq!(seen.matches("data: ").count(), 1);
    assert_eq!(simulator.captured()[0].outcome, Outcome::Answering);
    drop(stream);
    let left = simulator.wait_until(|captured| captured[0].client_left(), PATIENCE);
    assert!(left.is_some());
}

#[test]
fn a_stalled_head_never_comes() {
    let simulator = Simulator::start().unwrap();
    let headers = "x-simulator: stall-head\r\n";
    let stream = open(&simulator, "POST", CHAT, headers, body(false).to_string().as_bytes());
    assert_eq!(simulator.wait_for(1, PATIENCE).unwrap()[0].outcome, Outcome::Answering);
    drop(stream);
    assert!(simulator.wait_until(|captured| captured[0].client_left(), PATIENCE).is_some());
}

#[test]
fn a_cut_tears_a_chunk_and_ends_without_a_terminator() {
    let simulator = Simulator::start().unwrap();
    let answer = streamed(&simulator, "cut=2");
    assert_eq!((answer.status, answer.chunks.len(), answer.complete), (200, 2, false));
    assert!(answer.torn > 0);
    assert_eq!(simulator.captured()[0].outcome, Outcome::Broken);
    let whole = streamed(&simulator, "cut=1000");
    assert!(whole.text().ends_with("data: [DONE]\n\n") && !whole.complete && whole.torn == 0);
    let json = scripted(&simulator, CHAT, "cut=0", &body(false));
    assert_eq!((json.status, json.complete), (200, false));
}

#[test]
fn a_cut_document_is_shorter_than_promised() {
    let simulator = Simulator::start().unwrap();
    let answer = scripted(&simulator, CHAT, "cut-json", &body(false));
    let promised: usize = answer.header("content-length").unwrap().parse().unwrap();
    assert_eq!(promised, answer.body().len() + 100);
    assert!(!answer.complete);
}

#[test]
fn a_reset_is_no_answer_at_all() {
    let simulator = Simulator::start().unwrap();
    let mut stream =
        open(&simulator, "POST", CHAT, "x-simulator: reset\r\n", body(false).to_string().as_bytes());
    let error = stream.read(&mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(simulator.captured()[0].outcome, Outcome::Broken);
}

#[test]
fn an_error_event_is_the_dialects_own_and_the_last() {
    let simulator = Simulator::start().unwrap();
    let last =
        |path: &str, body: Value| scripted(&simulator, path, "error-event", &body).events().pop().unwrap();
    assert_eq!(last(CHAT, body(true))["error"]["type"], "server_error");
    assert_eq!(last("/v1/messages", body(true))["error"]["type"], "overloaded_error");
    assert_eq!(last("/v2/chat", body(true))["delta"]["finish_reason"], "ERROR");
    let response = last("/v1/responses", json!({"model": "m", "stream": true, "input": "Hi"}));
    assert_eq!((&response["type"], &response["code"]), (&json!("error"), &json!("server_error")));
    let gemini = json!({"contents": [{"parts": [{"text": "Hi"}]}]});
    assert_eq!(last("/v1/models/g:streamGenerateContent?alt=sse", gemini.clone())["error"]["code"], 503);
    let array = scripted(&simulator, "/v1/models/g:streamGenerateContent", "error-event", &gemini).json();
    assert_eq!(array.as_array().unwrap().last().unwrap()["error"]["code"], 503);
}

#[test]
fn a_malformed_stream_still_holds_every_event() {
    let simulator = Simulator::start().unwrap();
    let good = streamed(&simulator, "");
    let bad = streamed(&simulator, "malformed");
    assert!(bad.complete && std::str::from_utf8(&bad.body()).is_err());
    let kept: Vec<_> = bad.chunks.iter().filter(|chunk| good.chunks.contains(chunk)).cloned().collect();
    assert_eq!(kept, good.chunks);
    assert!(bad.chunks.len() > good.chunks.len());
}

#[test]
fn gzip_can_be_read_whole_and_event_by_event() {
    let simulator = Simulator::start().unwrap();
    let unzipped = |answer: &Answer| {
        assert_eq!(answer.header("content-encoding"), Some("gzip"));
        let mut text = String::new();
        GzDecoder::new(&answer.body()[..]).read_to_string(&mut text).unwrap();
        text
    };
    let plain = scripted(&simulator, CHAT, "", &body(false));
    assert_eq!(unzipped(&scripted(&simulator, CHAT, "gzip", &body(false))), plain.text());
    let zipped = streamed(&simulator, "gzip");
    assert_eq!(unzipped(&zipped), streamed(&simulator, "").text());
    let mut first = Vec::new();
    // Cut off after the first chunk: an error at the end, but the first event is there.
    let _ = GzDecoder::new(&zipped.chunks[0][..]).read_to_end(&mut first);
    assert!(first.starts_with(b"data: ") && first.ends_with(b"\n\n"));
}

#[test]
fn wrong_and_broken_documents() {
    let simulator = Simulator::start().unwrap();
    let html = scripted(&simulator, CHAT, "wrong-type", &body(false));
    assert_eq!((html.status, html.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let garbage = scripted(&simulator, CHAT, "garbage", &body(false));
    assert_eq!((garbage.status, garbage.header("content-type")), (200, Some("application/json")));
    assert!(serde_json::from_slice::<Value>(&garbage.body()).is_err());
}
