//! A provider's refusal reaches the caller in the caller's shape, with everything it said.

use genesis_wire::Dialect::{
    self, AnthropicMessages, BedrockConverse, CohereChat, GeminiGenerate, OpenAiChat, OpenAiResponses,
};
use genesis_wire::translate;
use serde_json::{Value, json};

fn error(client: Dialect, provider: Dialect, status: u16, body: &str) -> Value {
    serde_json::from_slice(&translate::error(client, provider, status, body.as_bytes())).expect("JSON")
}

const ANTHROPIC: &str =
    r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}"#;
const OPENAI: &str = r#"{"error":{"message":"Too long","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#;
const GEMINI: &str = r#"{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"3s"}]}}"#;

#[test]
fn anthropic_errors() {
    assert_eq!(
        error(OpenAiChat, AnthropicMessages, 529, ANTHROPIC),
        json!({"error": {"message": "Overloaded", "type": "overloaded_error", "param": null, "code": null, "request_id": "req_1"}})
    );
    assert_eq!(
        error(GeminiGenerate, AnthropicMessages, 529, ANTHROPIC)["error"]["status"],
        json!("UNAVAILABLE")
    );
}

#[test]
fn openai_errors() {
    assert_eq!(
        error(AnthropicMessages, OpenAiChat, 400, OPENAI),
        json!({"type": "error", "error": {
            "type": "invalid_request_error", "message": "Too long", "code": "context_length_exceeded", "param": "messages"
        }})
    );
    assert_eq!(
        error(OpenAiResponses, GeminiGenerate, 429, GEMINI),
        json!({"error": {
            "message": "Quota exceeded", "type": "rate_limit_error", "param": null, "code": "RESOURCE_EXHAUSTED"
        }})
    );
}

#[test]
fn words_of_other_vendors_become_codes() {
    for (status, word, kind) in [
        (400, "INVALID_ARGUMENT", "invalid_request_error"),
        (401, "UNAUTHENTICATED", "authentication_error"),
        (403, "PERMISSION_DENIED", "permission_error"),
        (404, "NOT_FOUND", "not_found_error"),
        (429, "RESOURCE_EXHAUSTED", "rate_limit_error"),
        (503, "UNAVAILABLE", "server_error"),
    ] {
        let body = json!({"error": {"code": status, "message": "No", "status": word}}).to_string();
        let told = error(OpenAiChat, GeminiGenerate, status, &body);
        assert_eq!((&told["error"]["type"], &told["error"]["code"]), (&json!(kind), &json!(word)));
    }
    let told =
        error(OpenAiChat, BedrockConverse, 429, r#"{"__type":"ThrottlingException","message":"Slow"}"#);
    assert_eq!(told["error"]["type"], "rate_limit_error");
    assert_eq!(told["error"]["code"], "ThrottlingException");
}

#[test]
fn errors_in_a_list() {
    let listed = format!("[{GEMINI}]");
    assert_eq!(error(AnthropicMessages, GeminiGenerate, 429, &listed)["error"]["message"], "Quota exceeded");
    assert_eq!(error(AnthropicMessages, GeminiGenerate, 429, &listed)["error"]["type"], "rate_limit_error");
}

#[test]
fn terse_errors() {
    assert_eq!(
        error(OpenAiChat, BedrockConverse, 403, r#"{"message":"No access"}"#)["error"]["message"],
        "No access"
    );
    assert_eq!(
        error(OpenAiChat, BedrockConverse, 403, r#"{"message":"No access"}"#)["error"]["type"],
        "permission_error"
    );
    assert_eq!(
        error(OpenAiChat, CohereChat, 401, r#"{"message":"invalid api token"}"#)["error"]["message"],
        "invalid api token"
    );
    assert_eq!(
        error(AnthropicMessages, OpenAiChat, 404, r#"{"error":"model not found"}"#)["error"]["message"],
        "model not found"
    );
    assert_eq!(error(AnthropicMessages, OpenAiChat, 422, r#"{"detail":"bad"}"#)["error"]["message"], "bad");
}

#[test]
fn errors_that_are_no_json() {
    let told = error(AnthropicMessages, OpenAiChat, 502, "<html>Bad Gateway</html>");
    assert_eq!(told["error"]["message"], "<html>Bad Gateway</html>");
    assert_eq!(told["error"]["type"], "api_error");
    let told = error(OpenAiChat, AnthropicMessages, 500, "");
    assert!(told["error"]["message"].as_str().expect("a message").contains("500"));
}

#[test]
fn every_status_has_its_word() {
    for (status, word) in [
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ] {
        assert_eq!(error(AnthropicMessages, OpenAiChat, status, "{}")["error"]["type"], word, "{status}");
    }
}
