//! Tool calls and thinking, there and back.

use genesis_simulator::Simulator;
use serde_json::{Value, json};

use crate::client::post;

fn schema() -> Value {
    json!({"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}, "unit": {"type": "string"}}})
}

fn chat(text: &str) -> Value {
    let tool = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": schema()}});
    json!({"model": "m", "tools": [tool("forecast"), tool("stocks")], "messages": [{"role": "user", "content": text}]})
}

#[test]
fn a_tool_is_called_when_it_is_meant() {
    let simulator = Simulator::start().unwrap();
    let called = |body: &Value| -> Vec<String> {
        let answer = post(&simulator, "/v1/chat/completions", body).json();
        let message = &answer["choices"][0]["message"];
        let calls = message["tool_calls"].as_array().cloned().unwrap_or_default();
        assert_eq!(
            answer["choices"][0]["finish_reason"],
            if calls.is_empty() { "stop" } else { "tool_calls" }
        );
        calls.iter().map(|call| call["function"]["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(called(&chat("hello")), [""; 0]);
    assert_eq!(called(&chat("how is the weather?")), ["forecast"]);
    assert_eq!(called(&chat("ask stocks")), ["stocks"]);
    assert_eq!(called(&chat("use both tools")), ["forecast", "stocks"]);
    let with = |choice: Value| {
        let mut body = chat("the weather");
        body["tool_choice"] = choice;
        body
    };
    assert_eq!(called(&with(json!("none"))), [""; 0]);
    assert_eq!(called(&with(json!({"type": "function", "function": {"name": "stocks"}}))), ["stocks"]);
}

#[test]
fn after_the_result_comes_a_text_that_quotes_it() {
    let simulator = Simulator::start().unwrap();
    let bodies = [
        (
            "/v1/chat/completions",
            json!({"model": "m", "tools": chat("")["tools"], "messages": [
            {"role": "user", "content": "weather"},
            {"role": "assistant", "content": null, "tool_calls": []},
            {"role": "tool", "tool_call_id": "call_1", "content": "18 degrees"}]}),
        ),
        (
            "/v1/messages",
            json!({"model": "m", "max_tokens": 99, "tools": [{"name": "forecast", "input_schema": schema()}], "messages": [
            {"role": "user", "content": "weather"},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "18 degrees"}]}]}]}),
        ),
        (
            "/v1/responses",
            json!({"model": "m", "input": [{"role": "user", "content": "weather"},
            {"type": "function_call_output", "call_id": "c", "output": "18 degrees"}]}),
        ),
        (
            "/v1/models/g:generateContent",
            json!({"contents": [{"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"result": "18 degrees"}}}]}]}),
        ),
        (
            "/model/m/converse",
            json!({"messages": [{"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": [{"text": "18 degrees"}]}}]}]}),
        ),
    ];
    for (path, body) in bodies {
        let text = post(&simulator, path, &body).text();
        assert!(
            text.contains("Simulated answer from the tool result") && text.contains("18 degrees"),
            "{path}: {text}"
        );
    }
}

#[test]
fn streamed_arguments_come_in_fragments_that_add_up() {
    let simulator = Simulator::start().unwrap();
    let joined = |path: &str, body: Value, at: &str| -> (usize, Value) {
        let events = post(&simulator, path, &body).events();
        let parts: Vec<_> = events
            .iter()
            .filter_map(|event| event.pointer(at)?.as_str())
            .filter(|part| !part.is_empty())
            .collect();
        (parts.len(), serde_json::from_str(&parts.concat()).unwrap())
    };
    let mut body = chat("the weather");
    body["stream"] = json!(true);
    let expected = (3, json!({"city": "simulated"}));
    assert_eq!(
        joined("/v1/chat/completions", body, "/choices/0/delta/tool_calls/0/function/arguments"),
        expected
    );
    let body = json!({"model": "m", "stream": true, "max_tokens": 99, "tool_choice": {"type": "any"},
                      "tools": [{"name": "forecast", "input_schema": schema()}], "messages": [{"role": "user", "content": "x"}]});
    assert_eq!(joined("/v1/messages", body, "/delta/partial_json"), expected);
    let body = json!({"model": "m", "stream": true, "input": "weather", "tools": [{"type": "function", "name": "f", "parameters": schema()}]});
    assert_eq!(joined("/v1/responses", body, "/delta"), expected);
}

#[test]
fn gemini_and_converse_call_too() {
    let simulator = Simulator::start().unwrap();
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "x"}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT", "required": ["n"], "properties": {"n": {"type": "INTEGER"}}}}]}]});
    let answer = post(&simulator, "/v1/models/g:generateContent", &body).json();
    let part = &answer["candidates"][0]["content"]["parts"][0];
    assert_eq!(part["functionCall"]["args"], json!({"n": 1}));
    assert!(part["thoughtSignature"].is_string());
    let body = json!({"messages": [{"role": "user", "content": [{"text": "x"}]}],
        "toolConfig": {"toolChoice": {"any": {}}, "tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": schema()}}}]}});
    let answer = post(&simulator, "/model/m/converse", &body).json();
    assert_eq!(answer["stopReason"], "tool_use");
    assert_eq!(answer["output"]["message"]["content"][0]["toolUse"]["input"], json!({"city": "simulated"}));
}

#[test]
fn thinking_may_be_sent_back_unchanged_only() {
    let simulator = Simulator::start().unwrap();
    let ask = |blocks: Value| {
        json!({"model": "m", "max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1024},
        "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": blocks}, {"role": "user", "content": "b"}]})
    };
    let first = post(&simulator, "/v1/messages", &ask(json!([]))).json();
    assert_eq!(first["content"][0]["type"], "thinking");
    assert!(first["usage"]["output_tokens_details"]["thinking_tokens"].as_u64().unwrap() > 0);
    assert_eq!(post(&simulator, "/v1/messages", &ask(first["content"].clone())).status, 200);
    let mut forged = first["content"].clone();
    forged[0]["thinking"] = json!("something else");
    let answer = post(&simulator, "/v1/messages", &ask(forged));
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.json()["error"]["message"],
        "messages.1.content.0: Invalid `signature` in `thinking` block"
    );
}

#[test]
fn reasoning_effort_is_counted() {
    let simulator = Simulator::start().unwrap();
    let mut body = chat("hello");
    let reasoning = |body: &Value| {
        post(&simulator, "/v1/chat/completions", body).json()["usage"]["completion_tokens_details"]["reasoning_tokens"].as_u64().unwrap()
    };
    assert_eq!(reasoning(&body), 0);
    body["reasoning_effort"] = json!("low");
    assert!(reasoning(&body) > 0);
}
