//! Anthropic Messages and its token count, also as carried by Vertex and by Bedrock's `invoke`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::{bedrock, event_stream};
use crate::answer::{self, Answer, Stop, Tokens};
use crate::digest;
use crate::incoming::Incoming;
use crate::reply::{Framing, Reply, named};
use crate::script::Script;

/// Where Anthropic puts the id of a request.
pub(crate) const REQUEST_ID: &str = "request-id";

/// `POST …/messages`, `…:rawPredict`, `…/invoke` and their streaming forms.
pub(crate) fn answer(incoming: &Incoming, script: &Script) -> Reply {
    if let Some(refusal) = refusal(incoming) {
        return refusal;
    }
    let path = incoming.path.trim_end_matches('/');
    let answer = Answer::to(&incoming.ask(), incoming.seed, script);
    let omitted = incoming.body["thinking"]["display"] == "omitted";
    if path.ends_with("/invoke-with-response-stream") {
        let events = events(&answer, &incoming.model, omitted);
        let frames = events.iter().map(|event| chunk(event, &answer.tokens)).collect();
        return Reply::stream(event_stream::CONTENT_TYPE, Framing::EventStream, frames);
    }
    if incoming.streams() || path.ends_with(":streamRawPredict") {
        return Reply::events(events(&answer, &incoming.model, omitted).iter().map(named).collect());
    }
    let mut message = message(&answer, &incoming.model);
    message["content"] = Value::Array(blocks(&answer, omitted));
    message["stop_reason"] = stop_reason(&answer).into();
    message["usage"] = usage(&answer.tokens, answer.tokens.output);
    Reply::json(&message)
}

/// `POST …/messages/count_tokens`
pub(crate) fn count_tokens(incoming: &Incoming) -> Reply {
    match missing(incoming, &["model", "messages"]) {
        Some(field) => error(400, &format!("{field}: Field required")),
        None => Reply::json(&json!({"input_tokens": answer::input(&incoming.ask()).all_input()})),
    }
}

pub(crate) fn error(status: u16, message: &str) -> Reply {
    let kind = match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    };
    let message = if status == 529 { "Overloaded" } else { message };
    let id = digest::id("req_01", digest::of(&[message.as_bytes()]), 22);
    let error = json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": id});
    Reply::error(status, &error).with_header(REQUEST_ID, id)
}

pub(crate) fn stream_error() -> Bytes {
    named(&json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}))
}

fn refusal(incoming: &Incoming) -> Option<Reply> {
    let on_bedrock = bedrock::is_path(&incoming.path);
    let refuse =
        |message: &str| Some(if on_bedrock { bedrock::error(400, message) } else { error(400, message) });
    if !incoming.body.is_object() {
        return refuse("The request body is not valid JSON: expected an object");
    }
    if let Some(field) = missing(incoming, &["model", "max_tokens", "messages"]) {
        return refuse(&format!("{field}: Field required"));
    }
    if incoming.body["messages"].as_array().is_none_or(Vec::is_empty) {
        return refuse("messages: at least one message is required");
    }
    if incoming.body["max_tokens"].as_u64().is_none_or(|most| most == 0) {
        return refuse("max_tokens: Input should be greater than or equal to 1");
    }
    let (message, block) = forged_thinking(&incoming.body["messages"])?;
    refuse(&format!("messages.{message}.content.{block}: Invalid `signature` in `thinking` block"))
}

fn missing<'a>(incoming: &Incoming, fields: &[&'a str]) -> Option<&'a str> {
    let absent = |field: &&&str| match **field {
        "model" => incoming.model.is_empty(),
        field => incoming.body[field].is_null(),
    };
    fields.iter().find(absent).copied()
}

/// Where the first thinking block is that was not made here or was changed since.
fn forged_thinking(messages: &Value) -> Option<(usize, usize)> {
    let messages = messages.as_array()?.iter().enumerate();
    let mut blocks = messages.flat_map(|(at, message)| {
        message["content"]
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
            .map(move |(index, block)| (at, index, block))
    });
    let ours = |block: &Value| {
        let text = block["thinking"].as_str().unwrap_or("");
        block["signature"] == answer::signature(text)
    };
    blocks.find(|(_, _, block)| block["type"] == "thinking" && !ours(block)).map(|(at, index, _)| (at, index))
}

fn message(answer: &Answer, model: &str) -> Value {
    json!({
        "id": answer.id("msg_01", 22), "type": "message", "role": "assistant", "model": model,
        "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage(&answer.tokens, 1),
    })
}

fn blocks(answer: &Answer, omitted: bool) -> Vec<Value> {
    let thinking = thinking(answer, omitted)
        .map(|text| json!({"type": "thinking", "thinking": text, "signature": answer::signature(text)}));
    let text = (!answer.text.is_empty()).then(|| json!({"type": "text", "text": answer.text}));
    let calls = answer.calls.iter().map(|call| {
        let id = digest::id("toolu_01", call.seed, 22);
        json!({"type": "tool_use", "id": id, "name": call.name, "input": call.arguments})
    });
    thinking.into_iter().chain(text).chain(calls).collect()
}

fn thinking(answer: &Answer, omitted: bool) -> Option<&str> {
    answer.thinking.as_deref().map(|text| if omitted { "" } else { text })
}

fn usage(tokens: &Tokens, output: u64) -> Value {
    let mut usage = json!({
        "input_tokens": tokens.input, "output_tokens": output,
        "cache_creation_input_tokens": tokens.written, "cache_read_input_tokens": tokens.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": tokens.written, "ephemeral_1h_input_tokens": 0},
        "service_tier": "standard",
    });
    if tokens.reasoning > 0 && output == tokens.output {
        usage["output_tokens_details"] = json!({"thinking_tokens": tokens.reasoning});
    }
    usage
}

fn stop_reason(answer: &Answer) -> &'static str {
    match answer.stop {
        Stop::End => "end_turn",
        Stop::Length => "max_tokens",
        Stop::ToolUse => "tool_use",
    }
}

fn events(answer: &Answer, model: &str, omitted: bool) -> Vec<Value> {
    let mut events = vec![json!({"type": "message_start", "message": message(answer, model)})];
    for (index, block) in blocks(answer, omitted).iter().enumerate() {
        let (empty, deltas) = opened(block, answer);
        events.push(json!({"type": "content_block_start", "index": index, "content_block": empty}));
        if index == 0 {
            events.push(json!({"type": "ping"}));
        }
        let delta = |delta| json!({"type": "content_block_delta", "index": index, "delta": delta});
        events.extend(deltas.into_iter().map(delta));
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    let mut usage = usage(&answer.tokens, answer.tokens.output);
    for only_at_the_start in ["cache_creation", "service_tier"] {
        usage.as_object_mut().map(|usage| usage.remove(only_at_the_start));
    }
    let delta = json!({"stop_reason": stop_reason(answer), "stop_sequence": null});
    events.push(json!({"type": "message_delta", "delta": delta, "usage": usage}));
    events.push(json!({"type": "message_stop"}));
    events
}

/// A block as it starts, and the deltas that fill it.
fn opened(block: &Value, answer: &Answer) -> (Value, Vec<Value>) {
    match block["type"].as_str() {
        Some("thinking") => {
            let words = block["thinking"].as_str().unwrap_or("").split_inclusive(": ");
            let shown = words.map(|text| json!({"type": "thinking_delta", "thinking": text}));
            let signature = json!({"type": "signature_delta", "signature": block["signature"]});
            (json!({"type": "thinking", "thinking": "", "signature": ""}), shown.chain([signature]).collect())
        }
        Some("tool_use") => {
            let call = answer.calls.iter().find(|call| digest::id("toolu_01", call.seed, 22) == block["id"]);
            let fragments = call.map(|call| call.fragments()).unwrap_or_default();
            // Claude opens with an empty fragment.
            let deltas = [String::new()].into_iter().chain(fragments);
            let deltas = deltas.map(|json| json!({"type": "input_json_delta", "partial_json": json}));
            let empty = json!({"type": "tool_use", "id": block["id"], "name": block["name"], "input": {}});
            (empty, deltas.collect())
        }
        _ => {
            let deltas = answer.deltas.iter().map(|text| json!({"type": "text_delta", "text": text}));
            (json!({"type": "text", "text": ""}), deltas.collect())
        }
    }
}

/// One event as Bedrock wraps it; the last one carries Bedrock's own count.
fn chunk(event: &Value, tokens: &Tokens) -> Bytes {
    let mut event = event.clone();
    if event["type"] == "message_stop" {
        event["amazon-bedrock-invocationMetrics"] = json!({
            "inputTokenCount": tokens.input, "outputTokenCount": tokens.output,
            "invocationLatency": 1, "firstByteLatency": 1,
            "cacheReadInputTokenCount": tokens.cached, "cacheWriteInputTokenCount": tokens.written,
        });
    }
    let payload = json!({"bytes": STANDARD.encode(event.to_string()), "p": "abcdefgh"});
    event_stream::event("chunk", payload.to_string().as_bytes())
}
