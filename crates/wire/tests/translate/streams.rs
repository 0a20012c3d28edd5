//! Streams beyond the goldens: cuts, options, names, and providers that bend the rules.

use genesis_wire::Dialect::{AnthropicMessages, OpenAiChat, OpenAiResponses};
use genesis_wire::translate::{self, StreamTranslator};

use crate::support::{context, stream, target};

const HALF: &[u8] =
    b"data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Half\"}}]}\n\n";

#[test]
fn a_cut_is_told_once_and_nothing_follows() {
    let mut translator =
        StreamTranslator::new(context(AnthropicMessages, OpenAiChat, true)).expect("translated");
    let mut out = Vec::new();
    translator.push(HALF, &mut out);
    assert!(!translator.is_over());
    out.clear();
    translator.broken(&mut out, "the connection to the provider was lost");
    translator.push(HALF, &mut out);
    translator.finish(&mut out);
    assert!(translator.is_over());
    assert_eq!(
        String::from_utf8(out).expect("UTF-8"),
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"the connection to the provider was lost\"}}\n\n"
    );
}

#[test]
fn a_cut_after_the_end_is_no_error() {
    let whole = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let mut translator =
        StreamTranslator::new(context(AnthropicMessages, OpenAiChat, true)).expect("translated");
    let mut out = Vec::new();
    translator.push(whole.as_bytes(), &mut out);
    let length = out.len();
    translator.broken(&mut out, "lost");
    assert_eq!(out.len(), length);
}

#[test]
fn an_answer_without_done_is_complete_once_it_says_why_it_stopped() {
    let whole = b"data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n";
    assert!(
        stream(AnthropicMessages, OpenAiChat, whole)
            .ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")
    );
}

#[test]
fn an_empty_stream_is_an_error() {
    for client in [OpenAiChat, OpenAiResponses] {
        assert!(stream(client, AnthropicMessages, b"").contains("ended before the answer was complete"));
    }
}

#[test]
fn usage_comes_only_when_asked_for() {
    let request = br#"{"messages":[{"role":"user","content":"x"}]}"#;
    let context =
        translate::request(OpenAiChat, AnthropicMessages, request, &target(true)).expect("accepted").context;
    let mut translator = StreamTranslator::new(context).expect("translated");
    let mut out = Vec::new();
    translator.push(include_bytes!("fixtures/anthropic-messages/stream/text.sse"), &mut out);
    let out = String::from_utf8(out).expect("UTF-8");
    assert!(out.contains("data: [DONE]") && !out.contains("usage"), "{out}");
}

#[test]
fn long_tool_names_come_back_as_they_were() {
    let name = format!("mcp__{}", "server".repeat(15));
    let request = format!(
        r#"{{"max_tokens":9,"messages":[{{"role":"user","content":"x"}}],"tools":[{{"name":"{name}","input_schema":{{"type":"object"}}}}]}}"#
    );
    let outgoing = translate::request(AnthropicMessages, OpenAiChat, request.as_bytes(), &target(true))
        .expect("accepted");
    let sent: serde_json::Value = serde_json::from_slice(&outgoing.body).expect("JSON");
    let sent = sent["tools"][0]["function"]["name"].as_str().expect("a name");
    assert!(sent.len() <= 64 && sent != name);
    let chunk = format!(
        "data: {{\"id\":\"c\",\"choices\":[{{\"index\":0,\"delta\":{{\"tool_calls\":[{{\"index\":0,\"id\":\"a\",\"function\":{{\"name\":\"{sent}\",\"arguments\":\"\"}}}}]}},\"finish_reason\":\"tool_calls\"}}]}}\n\n"
    );
    let mut out = Vec::new();
    let mut translator = StreamTranslator::new(outgoing.context.clone()).expect("translated");
    translator.push(chunk.as_bytes(), &mut out);
    assert!(String::from_utf8(out).expect("UTF-8").contains(&format!("\"name\":\"{name}\"")));
    let answer = format!(
        r#"{{"id":"c","choices":[{{"message":{{"tool_calls":[{{"id":"a","function":{{"name":"{sent}","arguments":""}}}}]}},"finish_reason":"stop"}}]}}"#
    );
    let answer = translate::response(&outgoing.context, 200, answer.as_bytes()).expect("translated");
    let answer: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(answer["content"][0]["name"], name);
    assert_eq!(answer["content"][0]["input"], serde_json::json!({}));
}

#[test]
fn unknown_events_and_comments_are_passed_over() {
    let text = include_str!("fixtures/anthropic-messages/stream/text.sse");
    let plain = stream(OpenAiChat, AnthropicMessages, text.as_bytes());
    let noisy = text.replacen("event: content_block_delta", ": keep-alive\n\nevent: novelty\ndata: {\"type\":\"novelty\",\"x\":[1]}\n\nevent: content_block_delta", 1);
    assert_eq!(stream(OpenAiChat, AnthropicMessages, noisy.as_bytes()), plain);
    let windows = text.replace('\n', "\r\n");
    assert_eq!(stream(OpenAiChat, AnthropicMessages, windows.as_bytes()), plain);
}

#[test]
fn arguments_after_a_call_is_complete_are_an_error() {
    let bytes = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"t\",\"arguments\":\"{}\"}}]}}]}\n\n\
        data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"and\"}}]}\n\n\
        data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{}\"}}]}}]}\n\n";
    assert!(stream(AnthropicMessages, OpenAiChat, bytes.as_bytes()).contains("after its call was complete"));
}
