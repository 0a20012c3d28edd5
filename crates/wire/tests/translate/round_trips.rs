//! There and back again: what one side said is what it hears.

use genesis_wire::Dialect::{
    self, AnthropicMessages, CohereChat, GeminiGenerate, OpenAiChat, OpenAiResponses,
};
use genesis_wire::translate;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{CLIENTS, context, fixtures, request, stream, target};

/// The next request of a client that got `answer` and sends it back with the tools' results, as its SDK would.
fn next_turn(client: Dialect, answer: &Value) -> String {
    let result = |id: &str| format!("result of {id}");
    let body = match client {
        OpenAiChat => {
            let message = &answer["choices"][0]["message"];
            let mut messages = vec![json!({"role": "user", "content": "go"}), message.clone()];
            for call in message["tool_calls"].as_array().into_iter().flatten() {
                let id = call["id"].as_str().expect("an id");
                messages.push(json!({"role": "tool", "tool_call_id": id, "content": result(id)}));
            }
            json!({"messages": messages})
        }
        AnthropicMessages => {
            let results: Vec<Value> = answer["content"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|block| block["type"] == "tool_use")
                .map(|block| json!({"type": "tool_result", "tool_use_id": block["id"], "content": result(block["id"].as_str().expect("an id"))}))
                .collect();
            json!({"max_tokens": 99, "messages": [
                {"role": "user", "content": "go"},
                {"role": "assistant", "content": answer["content"]},
                {"role": "user", "content": results},
            ]})
        }
        GeminiGenerate => {
            let content = &answer["candidates"][0]["content"];
            let results: Vec<Value> = content["parts"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|part| part.get("functionCall"))
                .map(|call| {
                    let output = result(call["id"].as_str().expect("an id"));
                    json!({"functionResponse": {"id": call["id"], "name": call["name"], "response": {"output": output}}})
                })
                .collect();
            json!({"contents": [
                {"role": "user", "parts": [{"text": "go"}]},
                content,
                {"role": "user", "parts": results},
            ]})
        }
        _ => {
            let mut input = vec![json!({"role": "user", "content": "go"})];
            let items = answer["output"].as_array().expect("items");
            input.extend(items.iter().cloned());
            for call in items.iter().filter(|item| item["type"] == "function_call") {
                let id = call["call_id"].as_str().expect("an id");
                input.push(json!({"type": "function_call_output", "call_id": id, "output": result(id)}));
            }
            json!({"input": input})
        }
    };
    body.to_string()
}

fn answer(client: Dialect, provider: Dialect, name: &str) -> Value {
    let (_, body) =
        fixtures(provider, "response").into_iter().find(|(found, _)| found == name).expect("a fixture");
    let incoming = translate::response(&context(client, provider, false), 200, &body).expect("translated");
    serde_json::from_slice(&incoming.body).expect("JSON")
}

/// What a client has after putting a stream together the way its SDK does.
fn assembled(client: Dialect, out: &str) -> Value {
    let events = out.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    let events: Vec<Value> = events.map(|data| serde_json::from_str(data).expect("JSON")).collect();
    match client {
        OpenAiChat => {
            let mut message = json!({});
            for event in &events {
                for (key, value) in event["choices"][0]["delta"].as_object().into_iter().flatten() {
                    merge(&mut message[key.as_str()], value);
                }
            }
            json!({"choices": [{"message": message}]})
        }
        AnthropicMessages => {
            let mut content: Vec<Value> = Vec::new();
            let mut arguments = String::new();
            for event in &events {
                match event["type"].as_str() {
                    Some("content_block_start") => {
                        assert_eq!(event["index"], content.len(), "indices count up");
                        content.push(event["content_block"].clone());
                        arguments.clear();
                    }
                    Some("content_block_delta") => {
                        let delta = &event["delta"];
                        let block = content.last_mut().expect("a block is open");
                        for key in ["text", "thinking", "signature"] {
                            if let Some(text) = delta[key].as_str() {
                                block[key] =
                                    json!(format!("{}{text}", block[key].as_str().unwrap_or_default()));
                            }
                        }
                        arguments.push_str(delta["partial_json"].as_str().unwrap_or_default());
                    }
                    Some("content_block_stop") if !arguments.is_empty() => {
                        let input = serde_json::from_str(&arguments).expect("complete arguments");
                        content.last_mut().expect("a block")["input"] = input;
                    }
                    _ => {}
                }
            }
            json!({"content": content})
        }
        GeminiGenerate => {
            let parts: Vec<&Value> = events
                .iter()
                .filter_map(|event| event["candidates"][0]["content"]["parts"].as_array())
                .flatten()
                .collect();
            json!({"candidates": [{"content": {"role": "model", "parts": parts}}]})
        }
        _ => events.last().expect("a last event")["response"].clone(),
    }
}

/// The OpenAI SDK's rule: strings grow, lists are matched by `index`, anything else is replaced.
fn merge(slot: &mut Value, delta: &Value) {
    match (&mut *slot, delta) {
        (Value::String(text), Value::String(more)) => text.push_str(more),
        (Value::Array(items), Value::Array(deltas)) => {
            for delta in deltas {
                match items.iter_mut().find(|item| item["index"] == delta["index"]) {
                    Some(item) => {
                        for (key, value) in delta.as_object().into_iter().flatten() {
                            if key != "index" && key != "type" {
                                merge(&mut item[key.as_str()], value);
                            }
                        }
                    }
                    None => items.push(delta.clone()),
                }
            }
        }
        (Value::Object(_), Value::Object(fields)) => {
            for (key, value) in fields {
                merge(&mut slot[key.as_str()], value);
            }
        }
        _ => *slot = delta.clone(),
    }
}

#[test]
fn anthropic_thinking_returns_unchanged() {
    let original: Value = serde_json::from_slice(include_bytes!(
        "fixtures/anthropic-messages/response/thinking-and-tools.json"
    ))
    .expect("JSON");
    for client in CLIENTS.into_iter().filter(|client| *client != AnthropicMessages) {
        let next = next_turn(client, &answer(client, AnthropicMessages, "thinking-and-tools"));
        let (sent, _) = request(client, AnthropicMessages, &next);
        assert_eq!(sent["messages"][1]["content"], original["content"], "{}", client.name());
        assert_eq!(sent["messages"][2]["content"][0]["tool_use_id"], "toolu_1");
    }
}

#[test]
fn streamed_anthropic_thinking_returns_unchanged() {
    let bytes = include_bytes!("fixtures/anthropic-messages/stream/thinking-and-tools.sse");
    for client in CLIENTS.into_iter().filter(|client| *client != AnthropicMessages) {
        let next = next_turn(client, &assembled(client, &stream(client, AnthropicMessages, bytes)));
        let (sent, _) = request(client, AnthropicMessages, &next);
        let content = &sent["messages"][1]["content"];
        assert_eq!(
            *content,
            json!([
                {"type": "thinking", "thinking": "Two calls.", "signature": "EqQB/+=="},
                {"type": "redacted_thinking", "data": "EmwK=="},
                {"type": "text", "text": "Looking."},
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Paris"}},
                {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}},
            ]),
            "{}",
            client.name()
        );
    }
}

#[test]
fn gemini_signatures_return_to_their_calls() {
    let bytes = include_bytes!("fixtures/gemini-generate/stream/tools.sse");
    for client in CLIENTS.into_iter().filter(|client| *client != GeminiGenerate) {
        let next = next_turn(client, &answer(client, GeminiGenerate, "tools"));
        let (sent, _) = request(client, GeminiGenerate, &next);
        let parts = &sent["contents"][1]["parts"];
        assert_eq!(parts[0]["thoughtSignature"], "Cs4BAdHtim8=", "{}: {parts}", client.name());
        assert_eq!(parts[0]["functionCall"]["name"], "weather");
        assert_eq!(parts[1]["thoughtSignature"], Value::Null, "{}: {parts}", client.name());
        assert_eq!(sent["contents"][2]["parts"][0]["functionResponse"]["name"], "weather");

        let next = next_turn(client, &assembled(client, &stream(client, GeminiGenerate, bytes)));
        let (sent, _) = request(client, GeminiGenerate, &next);
        let parts = &sent["contents"][1]["parts"];
        assert_eq!(parts[1]["thoughtSignature"], "Cs4BAQ==", "{} streamed: {parts}", client.name());
        assert_eq!(parts[1]["functionCall"]["args"], json!({"city": "Paris"}));
    }
}

#[test]
fn openai_reasoning_returns_unchanged() {
    let bytes = include_bytes!("fixtures/openai-responses/stream/thinking-and-tools.sse");
    let summary = json!([{"type": "summary_text", "text": "Two\n\ncalls."}]);
    for client in CLIENTS.into_iter().filter(|client| *client != OpenAiResponses) {
        let whole = answer(client, OpenAiResponses, "thinking-and-tools");
        let streamed = assembled(client, &stream(client, OpenAiResponses, bytes));
        for (answer, id) in [(whole, "rs_1"), (streamed, "rs_0")] {
            let (sent, _) = request(client, OpenAiResponses, &next_turn(client, &answer));
            let item = &sent["input"][1];
            assert_eq!(
                *item,
                json!({"id": id, "type": "reasoning", "summary": summary, "encrypted_content": "gAAA=="}),
                "{}",
                client.name()
            );
            assert!(sent["include"].to_string().contains("reasoning.encrypted_content"));
        }
    }
}

/// What a chat request means, however it is cut into messages: one line per statement.
fn meaning(body: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for message in body["messages"].as_array().into_iter().flatten() {
        let role = message["role"].as_str().unwrap_or_default();
        match &message["content"] {
            Value::String(text) if role == "tool" => {
                lines.push(format!("tool {} {text}", message["tool_call_id"]))
            }
            Value::String(text) if !text.is_empty() => lines.push(format!("{role} {text}")),
            Value::Array(parts) => parts.iter().for_each(|part| match part["type"].as_str() {
                Some("text") => lines.push(format!("{role} {}", part["text"].as_str().unwrap_or_default())),
                _ => lines.push(format!("{role} {}", part["image_url"]["url"])),
            }),
            _ => {}
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let arguments: Value =
                serde_json::from_str(call["function"]["arguments"].as_str().unwrap_or_default())
                    .expect("JSON");
            lines.push(format!("call {} {} {arguments}", call["id"], call["function"]["name"]));
        }
    }
    for tool in body["tools"].as_array().into_iter().flatten() {
        lines.push(format!("offers {} {}", tool["function"]["name"], tool["function"]["parameters"]));
    }
    for key in ["temperature", "max_tokens", "stop", "tool_choice", "response_format"] {
        // The schema's name is OpenAI's own; every other dialect has only the schema.
        let value = if key == "response_format" { &body[key]["json_schema"]["schema"] } else { &body[key] };
        lines.push(format!("{key} {value}"));
    }
    lines
}

prop_compose! {
    fn turn()(question in "[a-zé\"\\\\\n 🌍]{1,20}[a-z]", picture in any::<bool>(), calls in 0..3usize, answer in "[a-z ]{0,9}[a-z]", argument in any::<i32>())
        -> Vec<Value>
    {
        let mut content = vec![json!({"type": "text", "text": question})];
        if picture {
            content.push(json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}));
        }
        let mut messages = vec![json!({"role": "user", "content": content})];
        let id = |at: usize| format!("call_{}_{at}", argument.unsigned_abs());
        let tool_calls: Vec<Value> = (0..calls)
            .map(|at| json!({"id": id(at), "type": "function", "function": {"name": "look", "arguments": json!({"at": argument}).to_string()}}))
            .collect();
        if calls == 0 {
            messages.push(json!({"role": "assistant", "content": answer}));
        } else {
            messages.push(json!({"role": "assistant", "content": answer, "tool_calls": tool_calls}));
            messages.extend((0..calls).map(|at| json!({"role": "tool", "tool_call_id": id(at), "content": format!("seen {at}")})));
            messages.push(json!({"role": "assistant", "content": "done"}));
        }
        messages
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_chat_request_means_the_same_after_a_detour(
        turns in proptest::collection::vec(turn(), 1..4),
        system in proptest::option::of("[a-z ]{1,20}"),
        temperature in proptest::option::of(0..=10u8),
        choice in proptest::option::of(prop_oneof![Just("auto"), Just("required"), Just("none")]),
        schema in any::<bool>(),
    ) {
        let mut messages: Vec<Value> = system.into_iter().map(|text| json!({"role": "system", "content": text})).collect();
        messages.extend(turns.into_iter().flatten());
        messages.push(json!({"role": "user", "content": "go on"}));
        let mut body = json!({
            "messages": messages, "max_tokens": 500,
            "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "integer"}}}}}],
        });
        if let Some(temperature) = temperature {
            body["temperature"] = json!(f64::from(temperature) / 10.0);
        }
        if let Some(choice) = choice {
            body["tool_choice"] = json!(choice);
        }
        if schema {
            body["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "output", "schema": {"type": "object"}}});
        }
        for detour in [AnthropicMessages, GeminiGenerate, OpenAiResponses] {
            let (there, dropped) = request(OpenAiChat, detour, &body.to_string());
            prop_assert!(dropped.is_empty(), "{}: {dropped:?}", detour.name());
            let (mut back, dropped) = request(detour, OpenAiChat, &there.to_string());
            prop_assert!(dropped.is_empty(), "{}: {dropped:?}", detour.name());
            let mut expected = meaning(&body);
            // "auto" is what happens unsaid; Gemini leaves it unsaid.
            if detour == GeminiGenerate && choice == Some("auto") {
                back["tool_choice"] = json!("auto");
            }
            let mut found = meaning(&back);
            expected.iter_mut().chain(&mut found).for_each(|line| *line = line.trim().to_owned());
            prop_assert_eq!(found, expected, "{}", detour.name());
        }
        let (_, dropped) = request(OpenAiChat, CohereChat, &body.to_string());
        prop_assert!(dropped.is_empty());
        translate::request(OpenAiChat, Dialect::BedrockConverse, body.to_string().as_bytes(), &target(false)).expect("accepted");
    }
}
