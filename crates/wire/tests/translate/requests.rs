//! What a request turns into where the goldens cannot show a rule for all values, and what is refused.

use genesis_wire::Dialect;
use genesis_wire::Dialect::{
    AnthropicMessages, BedrockConverse, GeminiGenerate, OpenAiChat, OpenAiResponses,
};
use genesis_wire::translate::{self, Target};
use serde_json::{Value, json};

use crate::support::{request, request_to, target};

fn refusal(from: Dialect, to: Dialect, body: &str) -> (String, String) {
    let bad = translate::request(from, to, body.as_bytes(), &target(false)).expect_err("refused");
    (bad.path, bad.message)
}

#[test]
fn a_thinking_budget_is_always_below_the_limit() {
    for effort in ["minimal", "low", "medium", "high", "xhigh", "max"] {
        for most in [1, 16, 1_024, 1_025, 1_365, 1_366, 2_000, 4_096, 10_000, 30_000, 64_000, 200_000] {
            let body = format!(
                r#"{{"messages":[{{"role":"user","content":"x"}}],"reasoning_effort":"{effort}","max_tokens":{most}}}"#
            );
            let (sent, dropped) = request(OpenAiChat, AnthropicMessages, &body);
            let limit = sent["max_tokens"].as_u64().expect("a limit");
            assert_eq!(limit, most.min(64_000), "the client's limit is kept");
            match sent["thinking"]["budget_tokens"].as_u64() {
                Some(budget) => assert!((1_024..limit).contains(&budget), "{effort} {most}: {budget}"),
                None => assert_eq!(dropped, ["reasoning_effort"], "{effort} {most}"),
            }
        }
    }
}

#[test]
fn without_a_limit_the_budget_has_room() {
    let body = r#"{"messages":[{"role":"user","content":"x"}],"reasoning_effort":"max"}"#;
    for max_output in [None, Some(8_192), Some(64_000)] {
        let target = Target { max_output, ..target(false) };
        let (sent, _) = request_to(OpenAiChat, AnthropicMessages, body, &target);
        let budget = sent["thinking"]["budget_tokens"].as_u64().expect("a budget");
        assert!(budget + 1_024 <= sent["max_tokens"].as_u64().expect("a limit"), "{max_output:?}: {sent}");
    }
}

#[test]
fn models_that_decide_get_an_effort() {
    let body = r#"{"messages":[{"role":"user","content":"x"}],"reasoning_effort":"xhigh"}"#;
    let target = Target { adaptive_thinking: true, ..target(false) };
    let (sent, _) = request_to(OpenAiChat, AnthropicMessages, body, &target);
    assert_eq!(sent["thinking"], json!({"type": "adaptive"}));
    assert_eq!(sent["output_config"], json!({"effort": "xhigh"}));
    let (sent, _) = request_to(OpenAiChat, GeminiGenerate, body, &target);
    let thinking = &sent["generationConfig"]["thinkingConfig"];
    assert_eq!(*thinking, json!({"includeThoughts": true, "thinkingLevel": "high"}));
}

#[test]
fn thinking_gives_way_to_a_forced_tool() {
    let body = r#"{"messages":[{"role":"user","content":"x"}],"reasoning_effort":"low","max_tokens":9000,
        "tools":[{"type":"function","function":{"name":"t"}}],"tool_choice":"required"}"#;
    let (sent, dropped) = request(OpenAiChat, AnthropicMessages, body);
    assert_eq!(sent["tool_choice"], json!({"type": "any"}));
    assert_eq!(sent["thinking"], Value::Null);
    assert_eq!(dropped, ["reasoning_effort"]);
}

#[test]
fn thinking_is_not_resumed_without_its_beginning() {
    let body = r#"{"reasoning_effort":"low","max_tokens":9000,"messages":[{"role":"user","content":"x"},
        {"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"t","arguments":"{}"}}]},
        {"role":"tool","tool_call_id":"c","content":"r"}],"tools":[{"type":"function","function":{"name":"t"}}]}"#;
    let (sent, dropped) = request(OpenAiChat, AnthropicMessages, body);
    assert_eq!(
        (&sent["thinking"], dropped.as_slice()),
        (&Value::Null, ["reasoning_effort".to_owned()].as_slice())
    );
}

#[test]
fn the_limit_is_named_as_the_model_takes_it() {
    let body = r#"{"max_tokens":50,"messages":[{"role":"user","content":"x"}]}"#;
    assert_eq!(request(AnthropicMessages, OpenAiChat, body).0["max_tokens"], 50);
    let target = Target { takes_max_completion_tokens: true, ..target(false) };
    let (sent, _) = request_to(AnthropicMessages, OpenAiChat, body, &target);
    assert_eq!((&sent["max_completion_tokens"], &sent["max_tokens"]), (&json!(50), &Value::Null));
}

#[test]
fn a_limit_is_found_where_anthropic_wants_one() {
    let body = r#"{"messages":[{"role":"user","content":"x"}]}"#;
    for (max_output, limit) in [(None, 4_096), (Some(8_192), 8_192), (Some(200_000), 32_768)] {
        let target = Target { max_output, ..target(false) };
        assert_eq!(request_to(OpenAiChat, AnthropicMessages, body, &target).0["max_tokens"], limit);
    }
}

#[test]
fn streams_always_ask_for_usage() {
    let body = r#"{"max_tokens":50,"messages":[{"role":"user","content":"x"}]}"#;
    let (sent, _) = request_to(AnthropicMessages, OpenAiChat, body, &target(true));
    assert_eq!((&sent["stream"], &sent["stream_options"]), (&json!(true), &json!({"include_usage": true})));
}

#[test]
fn models_live_in_the_path_where_the_dialect_keeps_them() {
    let body = br#"{"messages":[{"role":"user","content":"x"}]}"#;
    let path = |to, model, stream| {
        let target = Target { model, stream, ..target(stream) };
        translate::request(OpenAiChat, to, body, &target).expect("accepted").path
    };
    assert_eq!(
        path(GeminiGenerate, "gemini-3-pro", true),
        "/models/gemini-3-pro:streamGenerateContent?alt=sse"
    );
    assert_eq!(path(GeminiGenerate, "gemini-3-pro", false), "/models/gemini-3-pro:generateContent");
    assert_eq!(
        path(BedrockConverse, "us.anthropic.claude-haiku-4-5-v1:0", true),
        "/model/us.anthropic.claude-haiku-4-5-v1%3A0/converse-stream"
    );
}

#[test]
fn a_system_message_may_stay_where_it_is() {
    let body = r#"{"messages":[{"role":"user","content":"a"},{"role":"system","content":"b"},{"role":"user","content":"c"}]}"#;
    let target = Target { system_in_messages: true, ..target(false) };
    let (sent, dropped) = request_to(OpenAiChat, AnthropicMessages, body, &target);
    assert_eq!(sent["messages"][1], json!({"role": "system", "content": "b"}));
    assert!(dropped.is_empty());
}

#[test]
fn instructions_alone_become_the_question() {
    let body = r#"{"messages":[{"role":"system","content":"Say hello."}]}"#;
    let (sent, _) = request(OpenAiChat, AnthropicMessages, body);
    assert_eq!(sent["messages"], json!([{"role": "user", "content": "Say hello."}]));
}

#[test]
fn a_lost_signature_is_replaced_where_gemini_insists() {
    let body = r#"{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[
        {"id":"a","type":"function","function":{"name":"t","arguments":"{}"}},
        {"id":"b","type":"function","function":{"name":"t","arguments":"{}"}}]},
        {"role":"tool","tool_call_id":"a","content":"r"},{"role":"tool","tool_call_id":"b","content":"r"}]}"#;
    let target = Target { needs_thought_signature: true, ..target(false) };
    let (sent, _) = request_to(OpenAiChat, GeminiGenerate, body, &target);
    let parts = &sent["contents"][1]["parts"];
    assert_eq!(parts[0]["thoughtSignature"], "skip_thought_signature_validator");
    assert_eq!(parts[1]["thoughtSignature"], Value::Null, "only the first of parallel calls is signed");
}

#[test]
fn wrong_requests_name_the_place() {
    for (from, body, path) in [
        (OpenAiChat, r#"{"model":"m"}"#, "messages"),
        (OpenAiChat, r#"{"messages":{}}"#, "messages"),
        (OpenAiChat, r#"{"messages":[{"role":"user","content":7}]}"#, "messages[0].content"),
        (OpenAiChat, r#"{"messages":[{"role":"robot","content":"x"}]}"#, "messages[0].role"),
        (OpenAiChat, r#"{"messages":[],"temperature":"hot"}"#, "temperature"),
        (OpenAiChat, r#"{"messages":[],"max_tokens":-1}"#, "max_tokens"),
        (OpenAiChat, r#"{"messages":[],"stop":[1]}"#, "stop[0]"),
        (OpenAiChat, r#"{"messages":[],"reasoning_effort":"huge"}"#, "reasoning_effort"),
        (OpenAiChat, r#"{"messages":[],"functions":[{}]}"#, "functions"),
        (
            OpenAiChat,
            r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"cat.png"}}]}]}"#,
            "messages[0].content[0].image_url.url",
        ),
        (
            OpenAiChat,
            r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"t","arguments":"{"}}]}]}"#,
            "messages[0].tool_calls[0].function.arguments",
        ),
        (OpenAiChat, r#"{"messages":[{"role":"tool","tool_call_id":"c","content":"r"}]}"#, "messages[0]"),
        (
            OpenAiChat,
            r#"{"messages":[],"tools":[{"type":"function","function":{}}]}"#,
            "tools[0].function.name",
        ),
        (OpenAiResponses, r#"{"input":[{"type":"item_reference","id":"x"}]}"#, "input[0]"),
        (
            OpenAiResponses,
            r#"{"input":[{"type":"function_call_output","call_id":"c","output":"r"}]}"#,
            "input[0]",
        ),
        (
            GeminiGenerate,
            r#"{"contents":[{"role":"user","parts":[{"functionResponse":{"name":"t"}}]}]}"#,
            "contents[0]",
        ),
        (OpenAiChat, "[]", ""),
    ] {
        assert_eq!(refusal(from, AnthropicMessages, body).0, path, "{body}");
    }
    let (path, message) = refusal(OpenAiChat, AnthropicMessages, r#"{"messages":["#);
    assert!(path.is_empty() && message.contains("not valid JSON"), "{message}");
}

#[test]
fn pictures_the_provider_cannot_fetch_are_refused() {
    let body = r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]}]}"#;
    let (path, message) = refusal(OpenAiChat, BedrockConverse, body);
    assert_eq!(path, "messages[0]");
    assert!(message.contains("data URL"), "{message}");
}

#[test]
fn ten_megabytes_of_text_arrive_whole() {
    let text = "é".repeat(5_000_000);
    let body = format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}]}}"#);
    let (sent, _) = request(OpenAiChat, AnthropicMessages, &body);
    assert_eq!(sent["messages"][0]["content"].as_str().map(str::len), Some(10_000_000));
}

#[test]
fn models_with_habits_are_not_asked_to_change_them() {
    let body = r#"{"messages":[{"role":"user","content":"x"}],"temperature":0.2,"top_p":1,"top_k":3,
        "reasoning_effort":"none","tools":[{"type":"function","function":{"name":"t"}}],"tool_choice":"required"}"#;
    let target = Target { fixed_sampling: true, always_thinks: true, unforced_tools: true, ..target(false) };
    for to in [AnthropicMessages, BedrockConverse, GeminiGenerate, OpenAiResponses] {
        let (sent, mut dropped) = request_to(OpenAiChat, to, body, &target);
        dropped.sort();
        dropped.retain(|name| name != "top_k" || to != OpenAiResponses);
        let known = ["reasoning_effort", "temperature", "tool_choice"];
        assert!(
            known.iter().all(|name| dropped.iter().any(|dropped| dropped == name)),
            "{to:?}: {dropped:?}"
        );
        let text = sent.to_string();
        for gone in ["temperature", "top_p", "topP", "top_k", "topK", "disabled", "ANY", "\"required\""] {
            assert!(!text.contains(gone), "{to:?} {gone}: {text}");
        }
    }
    let body = r#"{"messages":[{"role":"user","content":"x"}],"temperature":1}"#;
    assert_eq!(request_to(OpenAiChat, AnthropicMessages, body, &target).1, Vec::<String>::new());
}

#[test]
fn strict_tools_are_validated_by_gemini() {
    let body = |choice: &str| {
        format!(
            r#"{{"messages":[{{"role":"user","content":"x"}}],{choice}
            "tools":[{{"type":"function","function":{{"name":"t","strict":true,"parameters":{{"type":"object"}}}}}}]}}"#
        )
    };
    let mode = |choice: &str| {
        let (sent, dropped) = request(OpenAiChat, GeminiGenerate, &body(choice));
        assert!(dropped.is_empty(), "{dropped:?}");
        sent["toolConfig"]["functionCallingConfig"]["mode"].clone()
    };
    assert_eq!(mode(""), "VALIDATED");
    assert_eq!(mode(r#""tool_choice":"auto","#), "VALIDATED");
    assert_eq!(mode(r#""tool_choice":"required","#), "ANY");
    assert_eq!(mode(r#""tool_choice":"none","#), "NONE");
}

#[test]
fn several_answers_at_once_come_back_as_choices() {
    let body = r#"{"model":"m","n":2,"messages":[{"role":"user","content":"x"}]}"#;
    let outgoing =
        translate::request(OpenAiChat, GeminiGenerate, body.as_bytes(), &target(false)).expect("sent");
    let sent: Value = serde_json::from_slice(&outgoing.body).expect("JSON");
    assert_eq!(sent["generationConfig"]["candidateCount"], 2);
    let answer = br#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP","index":0},
        {"content":{"parts":[{"text":"b"}]},"finishReason":"MAX_TOKENS","index":1}]}"#;
    let told = translate::response(&outgoing.context, 200, answer).expect("translated");
    let told: Value = serde_json::from_slice(&told.body).expect("JSON");
    let choice =
        |at: usize| (&told["choices"][at]["message"]["content"], &told["choices"][at]["finish_reason"]);
    assert_eq!(choice(0), (&json!("a"), &json!("stop")));
    assert_eq!(choice(1), (&json!("b"), &json!("length")));
    // A stream of several has no translation, nor has Anthropic a word for it: both are told.
    for (to, stream) in [(GeminiGenerate, true), (AnthropicMessages, false), (OpenAiResponses, false)] {
        assert_eq!(request_to(OpenAiChat, to, body, &target(stream)).1, ["n"], "{to:?}");
    }
}
