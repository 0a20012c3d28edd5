//! Whole answers: the shape and the counts of each dialect.

use genesis_simulator::Simulator;
use serde_json::{Value, json};

use crate::client::{get, post, send};

const HI: &str = "Hi there";

/// A path, a body, where the text is, where the input and output counts are.
fn dialects() -> Vec<(&'static str, Value, &'static str, [&'static str; 2])> {
    let messages = json!([{"role": "user", "content": HI}]);
    vec![
        (
            "/v1/acc/gw/openai/chat/completions",
            json!({"model": "gpt-x", "messages": messages}),
            "/choices/0/message/content",
            ["/usage/prompt_tokens", "/usage/completion_tokens"],
        ),
        (
            "/v1/responses",
            json!({"model": "gpt-x", "input": HI}),
            "/output/0/content/0/text",
            ["/usage/input_tokens", "/usage/output_tokens"],
        ),
        (
            "/v1/completions",
            json!({"model": "gpt-x", "prompt": HI}),
            "/choices/0/text",
            ["/usage/prompt_tokens", "/usage/completion_tokens"],
        ),
        (
            "/v1/messages",
            json!({"model": "claude-x", "max_tokens": 100, "messages": messages}),
            "/content/0/text",
            ["/usage/input_tokens", "/usage/output_tokens"],
        ),
        (
            "/model/us.anthropic.claude-x-v1:0/invoke",
            json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100, "messages": messages}),
            "/content/0/text",
            ["/usage/input_tokens", "/usage/output_tokens"],
        ),
        (
            "/v1beta/models/gemini-x:generateContent",
            json!({"contents": [{"role": "user", "parts": [{"text": HI}]}]}),
            "/candidates/0/content/parts/0/text",
            ["/usageMetadata/promptTokenCount", "/usageMetadata/candidatesTokenCount"],
        ),
        (
            "/model/amazon.nova-x-v1:0/converse",
            json!({"messages": [{"role": "user", "content": [{"text": HI}]}]}),
            "/output/message/content/0/text",
            ["/usage/inputTokens", "/usage/outputTokens"],
        ),
        (
            "/v2/chat",
            json!({"model": "command-x", "messages": messages}),
            "/message/content/0/text",
            ["/usage/tokens/input_tokens", "/usage/tokens/output_tokens"],
        ),
    ]
}

#[test]
fn every_dialect_answers_the_question_and_counts_tokens() {
    let simulator = Simulator::start().unwrap();
    for (path, body, text, [input, output]) in dialects() {
        let answer = post(&simulator, path, &body);
        assert_eq!((answer.status, answer.complete), (200, true), "{path}: {}", answer.text());
        let json = answer.json();
        assert_eq!(json.pointer(text).unwrap(), "Simulated answer to: Hi there", "{path}: {json}");
        assert_eq!(json.pointer(input).unwrap(), 2, "{path}: {json}");
        assert_eq!(json.pointer(output).unwrap(), 8, "{path}: {json}");
    }
}

#[test]
fn the_same_request_has_the_same_bytes_and_another_one_another_id() {
    let (one, other) = (Simulator::start().unwrap(), Simulator::start().unwrap());
    for (path, body, ..) in dialects() {
        assert_eq!(post(&one, path, &body).body(), post(&other, path, &body).body(), "{path}");
    }
    let ask = |text: &str| json!({"model": "m", "messages": [{"role": "user", "content": text}]});
    let id = |text: &str| post(&one, "/v1/chat/completions", &ask(text)).json()["id"].clone();
    assert_ne!(id("a"), id("b"));
}

#[test]
fn scripted_counts_appear_in_each_providers_own_terms() {
    let simulator = Simulator::start().unwrap();
    let counts = [
        ("/usage", json!({"prompt_tokens": 160, "completion_tokens": 20})),
        ("/usage/prompt_tokens_details", json!({"cached_tokens": 50, "cache_write_tokens": 10})),
        ("/usage/completion_tokens_details", json!({"reasoning_tokens": 5})),
        (
            "/usage",
            json!({"input_tokens": 100, "output_tokens": 20, "cache_read_input_tokens": 50, "cache_creation_input_tokens": 10}),
        ),
        (
            "/usageMetadata",
            json!({"promptTokenCount": 160, "candidatesTokenCount": 15, "thoughtsTokenCount": 5, "cachedContentTokenCount": 50, "totalTokenCount": 180}),
        ),
        (
            "/usage",
            json!({"inputTokens": 100, "outputTokens": 20, "cacheReadInputTokens": 50, "cacheWriteInputTokens": 10}),
        ),
    ];
    let wanted = [(0, 0), (0, 1), (0, 2), (3, 3), (5, 4), (6, 5)];
    for (dialect, count) in wanted {
        let (path, body, ..) = &dialects()[dialect];
        let answer = crate::client::scripted(&simulator, path, "tokens=100:20:50:10:5", body).json();
        let (at, expected) = &counts[count];
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&answer.pointer(at).unwrap()[name], value, "{path} {at}/{name}");
        }
    }
}

#[test]
fn a_cache_marker_makes_the_part_before_it_cached() {
    let simulator = Simulator::start().unwrap();
    let system = json!([{"type": "text", "text": "x".repeat(400), "cache_control": {"type": "ephemeral"}}]);
    let messages = json!([{"role": "user", "content": "y".repeat(40)}]);
    let body = json!({"model": "c", "max_tokens": 9, "system": system, "messages": messages});
    let usage = &post(&simulator, "/v1/messages", &body).json()["usage"];
    assert_eq!((&usage["cache_read_input_tokens"], &usage["input_tokens"]), (&json!(100), &json!(10)));
    let count = post(&simulator, "/v1/messages/count_tokens", &body).json();
    assert_eq!(count, json!({"input_tokens": 110}));
}

#[test]
fn max_tokens_cuts_the_answer_short() {
    let simulator = Simulator::start().unwrap();
    let body = json!({"model": "m", "max_tokens": 2, "messages": [{"role": "user", "content": HI}]});
    let claude = post(&simulator, "/v1/messages", &body).json();
    assert_eq!(claude["stop_reason"], "max_tokens");
    assert_eq!(claude["usage"]["output_tokens"], 2);
    assert_eq!(claude["content"][0]["text"], "Simulate");
    assert_eq!(
        post(&simulator, "/v1/chat/completions", &body).json()["choices"][0]["finish_reason"],
        "length"
    );
    let body = json!({"model": "m", "max_output_tokens": 2, "input": HI});
    let response = post(&simulator, "/v1/responses", &body).json();
    assert_eq!(response["status"], "incomplete");
    assert_eq!(response["incomplete_details"]["reason"], "max_output_tokens");
}

#[test]
fn missing_fields_are_refused_in_the_providers_own_words() {
    let simulator = Simulator::start().unwrap();
    let refused = |path: &str, body: Value| {
        let answer = post(&simulator, path, &body);
        assert_eq!(answer.status, 400, "{path} {body}");
        answer.json()
    };
    let messages = json!([{"role": "user", "content": "x"}]);
    let claude = refused("/v1/messages", json!({"model": "c", "messages": messages}));
    assert_eq!(
        claude["error"],
        json!({"type": "invalid_request_error", "message": "max_tokens: Field required"})
    );
    let chat = refused("/v1/chat/completions", json!({"model": "m"}));
    assert_eq!(chat["error"]["param"], "messages");
    assert_eq!(
        refused("/v1/chat/completions", json!({"messages": messages}))["error"]["type"],
        "invalid_request_error"
    );
    assert_eq!(
        refused("/v1/responses", json!({"model": "m"}))["error"]["code"],
        "missing_required_parameter"
    );
    assert_eq!(refused("/v1/models/g:generateContent", json!({}))["error"]["status"], "INVALID_ARGUMENT");
    assert!(refused("/model/m/converse", json!({}))["message"].as_str().unwrap().contains("messages"));
    assert!(refused("/v2/chat", json!({"model": "m"}))["message"].as_str().unwrap().contains("messages"));
    assert_eq!(send(&simulator, "POST", "/v1/chat/completions", "", b"{").status, 400);
}

#[test]
fn embeddings_are_unit_vectors_in_either_encoding() {
    use base64::Engine;
    let simulator = Simulator::start().unwrap();
    let ask = |format: &str| {
        let body = json!({"model": "e", "input": ["a", "b"], "dimensions": 16, "encoding_format": format});
        post(&simulator, "/v1/embeddings", &body).json()["data"].clone()
    };
    let (floats, encoded) = (ask("float"), ask("base64"));
    let vector: Vec<f32> = serde_json::from_value(floats[0]["embedding"].clone()).unwrap();
    let bytes =
        base64::engine::general_purpose::STANDARD.decode(encoded[0]["embedding"].as_str().unwrap()).unwrap();
    let decoded: Vec<f32> =
        bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    assert_eq!(vector, decoded);
    assert!((vector.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
    assert_ne!(floats[0]["embedding"], floats[1]["embedding"]);
    let gemini = json!({"content": {"parts": [{"text": "a"}]}, "outputDimensionality": 16});
    let answer = post(&simulator, "/v1/models/e:embedContent", &gemini).json();
    assert_eq!(answer["embedding"]["values"], floats[0]["embedding"]);
}

#[test]
fn structured_output_conforms_to_the_schema_in_every_dialect_that_has_it() {
    let simulator = Simulator::start().unwrap();
    let schema = json!({"type": "object", "required": ["city", "days"],
                        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}}});
    let additions = [
        (
            0,
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}),
        ),
        (1, json!({"text": {"format": {"type": "json_schema", "name": "x", "schema": schema}}})),
        (3, json!({"output_config": {"format": {"type": "json_schema", "schema": schema}}})),
        (5, json!({"generationConfig": {"responseMimeType": "application/json", "responseSchema": schema}})),
        (
            6,
            json!({"outputConfig": {"textFormat": {"structure": {"jsonSchema": {"schema": schema.to_string()}}}}}),
        ),
        (7, json!({"response_format": {"type": "json_object", "json_schema": schema}})),
    ];
    for (dialect, addition) in additions {
        let (path, mut body, text, _) = dialects().swap_remove(dialect);
        body.as_object_mut().unwrap().extend(addition.as_object().unwrap().clone());
        let answer = post(&simulator, path, &body).json();
        let value: Value = serde_json::from_str(answer.pointer(text).unwrap().as_str().unwrap()).unwrap();
        assert_eq!(value, json!({"city": "simulated", "days": 3}), "{path}");
    }
}

#[test]
fn images_are_acknowledged_with_their_size() {
    let simulator = Simulator::start().unwrap();
    let data = "iVBORw0KGgo="; // eight bytes
    let url = format!("data:image/png;base64,{data}");
    let part =
        json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}});
    let bodies = [
        (
            "/v1/messages",
            json!({"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": [part]}]}),
            "/content/0/text",
        ),
        (
            "/v1/chat/completions",
            json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}),
            "/choices/0/message/content",
        ),
        (
            "/v1/responses",
            json!({"model": "m", "input": [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]}),
            "/output/0/content/0/text",
        ),
        (
            "/v1/models/g:generateContent",
            json!({"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": data}}]}]}),
            "/candidates/0/content/parts/0/text",
        ),
        (
            "/model/m/converse",
            json!({"messages": [{"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": data}}}]}]}),
            "/output/message/content/0/text",
        ),
    ];
    for (path, body, text) in bodies {
        let answer = post(&simulator, path, &body).json();
        let text = answer.pointer(text).unwrap().as_str().unwrap();
        assert!(text.ends_with("(1 image, 8 bytes)"), "{path}: {text}");
    }
}

#[test]
fn models_come_in_the_shape_of_whoever_is_asked() {
    let simulator = Simulator::start().unwrap();
    assert_eq!(get(&simulator, "/v1/models").json()["object"], "list");
    assert_eq!(get(&simulator, "/v1/models/gpt-x").json()["id"], "gpt-x");
    assert!(get(&simulator, "/v1beta/models").json()["models"].is_array());
    let claude = send(&simulator, "GET", "/v1/models", "anthropic-version: 2023-06-01\r\n", b"").json();
    assert_eq!(claude["data"][0]["type"], "model");
}

#[test]
fn everything_else_is_answered_too() {
    let simulator = Simulator::start().unwrap();
    let speech = post(&simulator, "/v1/audio/speech", &json!({"input": "x"}));
    assert_eq!(speech.header("content-type"), Some("audio/mpeg"));
    assert_eq!(speech.body()[..2], [0xff, 0xfb]);
    let heard = send(&simulator, "POST", "/v1/audio/transcriptions", "", &[0; 321]).json();
    assert!(heard["text"].as_str().unwrap().contains("321 bytes"));
    assert!(
        post(&simulator, "/v1/images/generations", &json!({"prompt": "x"})).json()["data"][0]["b64_json"]
            .is_string()
    );
    assert_eq!(send(&simulator, "POST", "/v1/files", "", b"abc").json()["bytes"], 3);
    let echo = send(&simulator, "PUT", "/a/b?c=d", "", b"abc").json();
    assert_eq!(
        (&echo["object"], &echo["path"], &echo["query"]),
        (&json!("simulated"), &json!("/a/b"), &json!("c=d"))
    );
    let head = send(&simulator, "HEAD", "/anything", "", b"");
    assert_eq!((head.status, head.body().len()), (200, 0));
    assert_eq!(send(&simulator, "OPTIONS", "/anything", "", b"").status, 204);
}
