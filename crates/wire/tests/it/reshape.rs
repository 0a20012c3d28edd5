//! Answers in their other shape: exact, or not at all.

use genesis_wire::Dialect::{AnthropicMessages, GeminiGenerate, OpenAiChat, OpenAiResponses};
use genesis_wire::reshape::{streamed, whole, wish};
use proptest::prelude::*;
use serde_json::{Value, json};

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

const CHAT: &str = r#"data: {"id":"c1","object":"chat.completion.chunk","created":5,"model":"gpt-5","system_fingerprint":"fp","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"x"}

data: {"id":"c1","object":"chat.completion.chunk","created":5,"model":"gpt-5","choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}

data: {"id":"c1","object":"chat.completion.chunk","created":5,"model":"gpt-5","choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":null}]}

data: {"id":"c1","object":"chat.completion.chunk","created":5,"model":"gpt-5","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}

data: {"id":"c1","object":"chat.completion.chunk","created":5,"model":"gpt-5","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}

data: [DONE]

"#;

#[test]
fn a_chat_stream_adds_up() {
    let expected = json!({
        "id": "c1", "object": "chat.completion", "created": 5, "model": "gpt-5", "system_fingerprint": "fp",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "Hello", "refusal": null },
            "logprobs": null, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 2 },
    });
    assert_eq!(value(&whole(OpenAiChat, CHAT.as_bytes()).unwrap()), expected);
}

#[test]
fn what_may_not_mean_the_same_is_not_made() {
    for (from, to) in [
        ("data: [DONE]\n\n", ""),
        (r#""finish_reason":"stop""#, r#""finish_reason":null"#),
        (r#""usage":{"prompt_tokens":3,"completion_tokens":2}"#, r#""usage":null"#),
        (r#""logprobs":null"#, r#""logprobs":{"content":[{"token":"x"}]}"#),
        (r#"{"content":"Hel"}"#, r#"{"content":"Hel","audio":{"id":"a"}}"#),
        (r#""created":5"#, r#""created":5,"citations":["https://x"]"#),
        (r#"{"content":"Hel"}"#, r#"{"content":7}"#),
        ("data: {\"id\":\"c1\"", "data: {\"error\":{\"message\":\"no\"}}\n\ndata: {\"id\":\"c1\""),
        ("lo\"}", "lo"),
    ] {
        let changed = CHAT.replacen(from, to, 1);
        assert_ne!(changed, CHAT);
        assert_eq!(whole(OpenAiChat, changed.as_bytes()), None, "{from} → {to}");
    }
    assert_eq!(whole(GeminiGenerate, CHAT.as_bytes()), None);
    assert_eq!(streamed(OpenAiResponses, b"{}", false), None);
    let answer = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": {},
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "x" }, "finish_reason": "stop" }] });
    assert!(streamed(OpenAiChat, answer.to_string().as_bytes(), false).is_some());
    for (place, lost) in [
        (
            "/choices/0/message",
            json!({ "role": "assistant", "content": "x", "annotations": [{ "type": "url" }] }),
        ),
        ("/choices/0/message", json!({ "role": "assistant", "content": [{ "type": "text" }] })),
        (
            "/choices/0",
            json!({ "index": 0, "message": { "role": "assistant" }, "logprobs": { "content": [] } }),
        ),
        ("/object", json!("list")),
    ] {
        let mut changed = answer.clone();
        *changed.pointer_mut(place).unwrap() = lost;
        assert_eq!(streamed(OpenAiChat, changed.to_string().as_bytes(), false), None, "{changed}");
    }
    for block in [
        json!({ "type": "server_tool_use", "id": "x" }),
        json!({ "type": "text", "text": "x", "citations": [{ "type": "page" }] }),
        json!({ "type": "text", "text": 5 }),
    ] {
        let message =
            json!({ "type": "message", "content": [block], "stop_reason": "end_turn", "usage": {} });
        assert_eq!(streamed(AnthropicMessages, message.to_string().as_bytes(), false), None, "{message}");
    }
}

#[test]
fn a_messages_stream_adds_up() {
    let stream = br#"event: message_start
data: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"claude","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

event: ping
data: {"type":"ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"sig"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"1.50}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":7}}

event: message_stop
data: {"type":"message_stop"}

"#;
    let expected = json!({
        "id": "m", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "tool_use", "stop_sequence": null,
        "content": [
            { "type": "thinking", "thinking": "hm", "signature": "sig" },
            { "type": "tool_use", "id": "t", "name": "f", "input": { "a": 1.5 } },
        ],
        "usage": { "input_tokens": 9, "output_tokens": 7 },
    });
    assert_eq!(value(&whole(AnthropicMessages, stream).unwrap()), expected);
    let text = String::from_utf8_lossy(stream).into_owned();
    for (from, to) in [
        ("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", ""),
        ("\"type\":\"ping\"", "\"type\":\"error\""),
        ("1.50}", "1.50"),
        ("\"index\":1,\"content_block\"", "\"index\":2,\"content_block\""),
        ("thinking_delta", "novel_delta"),
    ] {
        assert_eq!(whole(AnthropicMessages, text.replacen(from, to, 1).as_bytes()), None, "{from}");
    }
}

#[test]
fn the_last_event_of_a_responses_stream_is_the_whole() {
    let stream = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\"}}\n\n\
        event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":4,\"response\":{\"id\":\"r\",\"status\":\"completed\",\"output\":[]}}\n\n";
    let answer = whole(OpenAiResponses, stream.as_bytes()).unwrap();
    assert_eq!(value(&answer), json!({ "id": "r", "status": "completed", "output": [] }));
    assert_eq!(whole(OpenAiResponses, stream.replace("completed", "failed").as_bytes()), None);
}

#[test]
fn a_wish_sets_apart_how_the_answer_is_to_arrive() {
    let asked =
        wish(br#"{"model":"m", "stream" : true, "a": [1, 2], "stream_options":{"include_usage":true}}"#)
            .unwrap();
    assert!(asked.stream);
    assert_eq!(asked.include_usage(), Some(true));
    let rest: Vec<_> = asked.rest.iter().map(|(name, value)| (&**name, *value)).collect();
    assert_eq!(rest, [("model", "\"m\""), ("a", "[1, 2]")]);
    let plain = wish(br#"{"model":"m","stream":false,"a": [1, 2]}"#).unwrap();
    assert_eq!((plain.rest, plain.stream), (asked.rest, false));
    assert_eq!(wish(br#"{"stream":"yes"}"#), None);
    assert_eq!(wish(b"[1]"), None);
    assert_eq!(wish(br#"{"stream_options":{"novel":1}}"#).unwrap().include_usage(), None);
}

fn text() -> impl Strategy<Value = String> {
    "[ -~é\u{2028}\n\"]{0,20}"
}

proptest! {
    /// From whole to stream and back nothing is lost.
    #[test]
    fn a_chat_answer_survives_both_ways(
        contents in prop::collection::vec((prop::option::of(text()), prop::collection::vec((text(), text()), 0..3)), 1..4),
        include in any::<bool>(),
    ) {
        let choices: Vec<_> = contents.iter().enumerate().map(|(index, (content, calls))| {
            let mut message = json!({ "role": "assistant", "content": content, "refusal": null });
            // Without tool calls there is always a text, if an empty one.
            if calls.is_empty() {
                message["content"] = json!(content.clone().unwrap_or_default());
            } else {
                message["content"] = content.clone().filter(|text| !text.is_empty()).into();
                message["tool_calls"] = calls.iter().map(|(name, arguments)| json!({
                    "id": format!("call-{name}"), "type": "function", "function": { "name": name, "arguments": arguments },
                })).collect();
            }
            json!({ "index": index, "message": message, "logprobs": null, "finish_reason": "stop" })
        }).collect();
        let answer = json!({ "id": "c", "object": "chat.completion", "created": 5, "model": "m", "choices": choices,
            "usage": { "prompt_tokens": 1 } });
        let stream = streamed(OpenAiChat, answer.to_string().as_bytes(), include).unwrap();
        match whole(OpenAiChat, &stream) {
            Some(again) => prop_assert_eq!(value(&again), answer),
            None => prop_assert!(!include, "only a stream without usage cannot go back"),
        }
    }

    #[test]
    fn a_message_survives_both_ways(blocks in prop::collection::vec((0..4_u8, text(), text()), 0..5)) {
        let content: Vec<_> = blocks.iter().map(|(kind, one, two)| match kind {
            0 => json!({ "type": "text", "text": one }),
            1 => json!({ "type": "thinking", "thinking": one, "signature": two }),
            2 => json!({ "type": "redacted_thinking", "data": one }),
            _ => json!({ "type": "tool_use", "id": one, "name": two, "input": { "é": [1.5, null, one] } }),
        }).collect();
        let message = json!({ "id": "m", "type": "message", "role": "assistant", "model": "claude", "content": content,
            "stop_reason": "end_turn", "stop_sequence": null, "usage": { "input_tokens": 3, "output_tokens": 9 } });
        let stream = streamed(AnthropicMessages, message.to_string().as_bytes(), false).unwrap();
        prop_assert_eq!(value(&whole(AnthropicMessages, &stream).unwrap()), message);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0..CHAT.len()) {
        for dialect in [OpenAiChat, AnthropicMessages, OpenAiResponses] {
            let _ = (whole(dialect, &bytes), streamed(dialect, &bytes, true), wish(&bytes));
        }
        prop_assert_eq!(whole(OpenAiChat, &CHAT.as_bytes()[..cut]), None);
    }
}
