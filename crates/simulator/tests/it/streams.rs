//! Streams: the order of events, and that they add up to the whole answer.

use genesis_simulator::Simulator;
use serde_json::{Value, json};

use crate::client::{post, scripted};

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

fn joined(events: &[Value], at: &str) -> String {
    events.iter().filter_map(|event| event.pointer(at)?.as_str()).collect()
}

#[test]
fn chat_chunks_add_up_and_end_with_done() {
    let simulator = Simulator::start().unwrap();
    let body = json!({"model": "m", "stream": true, "stream_options": {"include_usage": true},
                      "messages": [{"role": "user", "content": "Hi"}]});
    let answer = post(&simulator, "/v1/chat/completions", &body);
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert!(answer.complete && answer.text().ends_with("data: [DONE]\n\n"));
    let events = answer.events();
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(joined(&events, "/choices/0/delta/content"), "Simulated answer to: Hi");
    let [.., end, usage] = &events[..] else { panic!() };
    assert_eq!(end["choices"][0]["finish_reason"], "stop");
    assert_eq!((&usage["choices"], &usage["usage"]["completion_tokens"]), (&json!([]), &json!(6)));
}

#[test]
fn each_event_is_a_chunk_of_its_own() {
    let simulator = Simulator::start().unwrap();
    let body = json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    let answer = post(&simulator, "/v1/chat/completions", &body);
    assert!(answer.chunks.iter().all(|chunk| chunk.starts_with(b"data: ") && chunk.ends_with(b"\n\n")));
    assert_eq!(answer.chunks.len(), answer.text().matches("\n\n").count());
}

#[test]
fn messages_stream_in_anthropics_order_with_thinking_first() {
    let simulator = Simulator::start().unwrap();
    let body = json!({"model": "m", "stream": true, "max_tokens": 2000, "thinking": {"type": "adaptive"},
                      "messages": [{"role": "user", "content": "Hi"}]});
    let events = post(&simulator, "/v1/messages", &body).events();
    let mut kinds = kinds(&events);
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            "message_start",
            "content_block_start",
            "ping",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
    );
    assert_eq!(joined(&events, "/delta/text"), "Simulated answer to: Hi");
    assert_eq!(joined(&events, "/delta/thinking"), "Simulated thinking about: Hi");
    let whole = {
        let mut body = body.clone();
        body["stream"] = json!(false);
        post(&simulator, "/v1/messages", &body).json()
    };
    assert_eq!(json!(joined(&events, "/delta/signature")), whole["content"][0]["signature"]);
    let end = &events[events.len() - 2];
    assert_eq!(end["usage"]["output_tokens"], whole["usage"]["output_tokens"]);
    assert_eq!(end["delta"]["stop_reason"], "end_turn");
}

#[test]
fn responses_number_their_events_and_end_with_the_whole() {
    let simulator = Simulator::start().unwrap();
    let body = json!({"model": "m", "stream": true, "input": "Hi", "reasoning": {"effort": "low", "summary": "auto"}});
    let answer = post(&simulator, "/v1/responses", &body);
    let events = answer.events();
    let numbers: Vec<_> = events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>());
    assert_eq!(
        kinds(&events)[..3],
        ["response.created", "response.in_progress", "response.output_item.added"]
    );
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    assert_eq!(last["response"]["output"][0]["type"], "reasoning");
    assert_eq!(last["response"]["output"][1]["content"][0]["text"], "Simulated answer to: Hi");
    let text: Vec<_> =
        events.iter().filter(|event| event["type"] == "response.output_text.delta").cloned().collect();
    assert_eq!(joined(&text, "/delta"), "Simulated answer to: Hi");
}

#[test]
fn gemini_streams_events_or_one_array() {
    let simulator = Simulator::start().unwrap();
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
                      "generationConfig": {"thinkingConfig": {"includeThoughts": true}}});
    let events = post(&simulator, "/v1/models/g:streamGenerateContent?alt=sse", &body).events();
    let array = post(&simulator, "/v1/models/g:streamGenerateContent", &body).json();
    assert_eq!(array.as_array().unwrap().len(), events.len());
    assert_eq!(events[0]["candidates"][0]["content"]["parts"][0]["thought"], true);
    let last = &events[events.len() - 1];
    assert_eq!(last["candidates"][0]["finishReason"], "STOP");
    assert!(last["usageMetadata"]["thoughtsTokenCount"].as_u64().unwrap() > 0);
}

#[test]
fn cohere_streams_its_events() {
    let simulator = Simulator::start().unwrap();
    let body = json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    let events = post(&simulator, "/v2/chat", &body).events();
    let mut kinds = kinds(&events);
    kinds.dedup();
    assert_eq!(kinds, ["message-start", "content-start", "content-delta", "content-end", "message-end"]);
    assert_eq!(joined(&events[2..], "/delta/message/content/text"), "Simulated answer to: Hi");
}

#[test]
fn the_script_sets_the_number_of_pieces_and_the_size() {
    let simulator = Simulator::start().unwrap();
    let body = json!({"model": "m", "stream": true, "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]});
    let events = scripted(&simulator, "/v1/messages", "events=70,size=1000", &body).events();
    assert_eq!(events.iter().filter(|event| event["type"] == "content_block_delta").count(), 70);
    assert_eq!(joined(&events, "/delta/text").len(), 1000);
}
