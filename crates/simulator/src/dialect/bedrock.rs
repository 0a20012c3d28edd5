//! Amazon Bedrock: Converse, and the errors of the whole runtime.

use bytes::Bytes;
use serde_json::{Value, json};

use super::event_stream;
use crate::answer::{Answer, Stop, Tokens, signature};
use crate::digest;
use crate::incoming::Incoming;
use crate::reply::{Framing, Reply};
use crate::script::Script;

/// Whether a path belongs to the Bedrock runtime (`…/model/{id}/{operation}`).
pub(crate) fn is_path(path: &str) -> bool {
    let operation = path.trim_end_matches('/').rsplit('/').next().unwrap_or("");
    path.contains("/model/")
        && ["invoke", "invoke-with-response-stream", "converse", "converse-stream"].contains(&operation)
}

/// `POST …/converse` and `…/converse-stream`
pub(crate) fn answer(incoming: &Incoming, script: &Script) -> Reply {
    if incoming.body["messages"].as_array().is_none_or(Vec::is_empty) {
        let message = "1 validation error detected: Value at 'messages' failed to satisfy constraint: Member must not be null";
        return error(400, message);
    }
    let answer = Answer::to(&incoming.ask(), incoming.seed, script);
    if incoming.path.trim_end_matches('/').ends_with("-stream") {
        let frames = events(&answer)
            .into_iter()
            .map(|(kind, payload)| event_stream::event(kind, payload.to_string().as_bytes()));
        return Reply::stream(event_stream::CONTENT_TYPE, Framing::EventStream, frames.collect());
    }
    Reply::json(&json!({
        "output": {"message": {"role": "assistant", "content": blocks(&answer)}},
        "stopReason": stop_reason(&answer), "usage": usage(&answer.tokens), "metrics": {"latencyMs": 1},
    }))
}

pub(crate) fn error(status: u16, message: &str) -> Reply {
    let kind = match status {
        401 | 403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 => "ModelTimeoutException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        503 => "ServiceUnavailableException",
        500.. => "InternalServerException",
        _ => "ValidationException",
    };
    Reply::error(status, &json!({"message": message})).with_header("x-amzn-errortype", kind)
}

pub(crate) fn stream_error() -> Bytes {
    let payload = json!({"message": "Too many requests, please wait before trying again."});
    event_stream::exception("throttlingException", payload.to_string().as_bytes())
}

fn blocks(answer: &Answer) -> Vec<Value> {
    let thinking = answer.thinking.as_ref().map(
        |text| json!({"reasoningContent": {"reasoningText": {"text": text, "signature": signature(text)}}}),
    );
    let text = (!answer.text.is_empty()).then(|| json!({"text": answer.text}));
    let calls = answer.calls.iter().map(
        |call| json!({"toolUse": {"toolUseId": id(call.seed), "name": call.name, "input": call.arguments}}),
    );
    thinking.into_iter().chain(text).chain(calls).collect()
}

fn id(seed: u64) -> String {
    digest::id("tooluse_", seed, 22)
}

fn usage(tokens: &Tokens) -> Value {
    json!({
        "inputTokens": tokens.input, "outputTokens": tokens.output, "totalTokens": tokens.total(),
        "cacheReadInputTokens": tokens.cached, "cacheWriteInputTokens": tokens.written,
    })
}

fn stop_reason(answer: &Answer) -> &'static str {
    match answer.stop {
        Stop::End => "end_turn",
        Stop::Length => "max_tokens",
        Stop::ToolUse => "tool_use",
    }
}

/// Only tool blocks are announced by a start event.
fn events(answer: &Answer) -> Vec<(&'static str, Value)> {
    let mut events = vec![("messageStart", json!({"role": "assistant"}))];
    let mut index = 0;
    let mut block = |start: Option<Value>, deltas: Vec<Value>| {
        events.extend(
            start.map(|start| ("contentBlockStart", json!({"start": start, "contentBlockIndex": index}))),
        );
        let delta = |delta| ("contentBlockDelta", json!({"delta": delta, "contentBlockIndex": index}));
        events.extend(deltas.into_iter().map(delta));
        events.push(("contentBlockStop", json!({"contentBlockIndex": index})));
        index += 1;
    };
    if let Some(text) = &answer.thinking {
        let shown = text.split_inclusive(": ").map(|text| json!({"reasoningContent": {"text": text}}));
        let signature = json!({"reasoningContent": {"signature": signature(text)}});
        block(None, shown.chain([signature]).collect());
    }
    if !answer.text.is_empty() {
        block(None, answer.deltas.iter().map(|text| json!({"text": text})).collect());
    }
    for call in &answer.calls {
        let start = json!({"toolUse": {"toolUseId": id(call.seed), "name": call.name}});
        let deltas = call.fragments().into_iter().map(|text| json!({"toolUse": {"input": text}}));
        block(Some(start), deltas.collect());
    }
    events.push(("messageStop", json!({"stopReason": stop_reason(answer)})));
    events.push(("metadata", json!({"usage": usage(&answer.tokens), "metrics": {"latencyMs": 1}})));
    events
}
