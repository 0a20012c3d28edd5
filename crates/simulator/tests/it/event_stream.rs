//! Bedrock's binary streams, decoded by a reader of their own.

use base64::Engine;
use genesis_simulator::Simulator;
use serde_json::{Value, json};

use crate::client::{post, scripted};

/// Type and payload of each message; panics if a length or checksum is wrong.
fn messages(mut bytes: &[u8]) -> Vec<(String, Value)> {
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes[..4].try_into().unwrap());
    let crc = |bytes: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum()
    };
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let (total, headers) = (number(bytes) as usize, number(&bytes[4..]) as usize);
        assert_eq!(number(&bytes[8..]), crc(&bytes[..8]));
        assert_eq!(number(&bytes[total - 4..]), crc(&bytes[..total - 4]));
        let block = &bytes[12..12 + headers];
        let name = usize::from(block[0]);
        let value = &block[1 + name + 1..];
        let length = usize::from(u16::from_be_bytes([value[0], value[1]]));
        let kind = String::from_utf8(value[2..2 + length].to_vec()).unwrap();
        messages.push((kind, serde_json::from_slice(&bytes[12 + headers..total - 4]).unwrap()));
        bytes = &bytes[total..];
    }
    messages
}

fn body() -> Value {
    json!({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]})
}

#[test]
fn converse_stream_is_framed_and_ordered() {
    let simulator = Simulator::start().unwrap();
    let answer = post(&simulator, "/model/amazon.nova-x-v1:0/converse-stream", &body());
    assert_eq!(answer.header("content-type"), Some("application/vnd.amazon.eventstream"));
    let messages = messages(&answer.body());
    let mut kinds: Vec<_> = messages.iter().map(|(kind, _)| kind.as_str()).collect();
    kinds.dedup();
    assert_eq!(kinds, ["messageStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"]);
    let text: String = messages.iter().filter_map(|(_, payload)| payload["delta"]["text"].as_str()).collect();
    assert_eq!(text, "Simulated answer to: Hi");
    assert_eq!(messages.last().unwrap().1["usage"]["outputTokens"], 6);
}

#[test]
fn invoke_wraps_anthropics_events() {
    let simulator = Simulator::start().unwrap();
    let body = json!({"max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}]});
    let answer = post(&simulator, "/model/us.anthropic.claude-x-v1:0/invoke-with-response-stream", &body);
    let events = messages(&answer.body()).into_iter().map(|(kind, payload)| {
        assert_eq!(kind, "chunk");
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(payload["bytes"].as_str().unwrap()).unwrap();
        serde_json::from_slice::<Value>(&bytes).unwrap()
    });
    let events: Vec<_> = events.collect();
    assert_eq!(events[0]["type"], "message_start");
    let last = events.last().unwrap();
    assert_eq!(last["amazon-bedrock-invocationMetrics"]["outputTokenCount"], 6);
}

#[test]
fn a_failing_stream_ends_with_an_exception() {
    let simulator = Simulator::start().unwrap();
    let answer = scripted(&simulator, "/model/m/converse-stream", "error-event,malformed", &body());
    let messages = messages(&answer.body());
    assert_eq!(messages.last().unwrap().0, "throttlingException");
    assert!(messages.iter().any(|(kind, _)| kind == "simulatedUnknown"));
    let refused = scripted(&simulator, "/model/m/converse-stream", "429", &body());
    assert_eq!((refused.status, refused.header("x-amzn-errortype")), (429, Some("ThrottlingException")));
}
