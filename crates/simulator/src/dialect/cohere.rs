//! Cohere v2 chat.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::answer::{Answer, Call, Stop, Tokens};
use crate::digest;
use crate::incoming::Incoming;
use crate::reply::{DONE, Reply, named};
use crate::script::Script;

const PLAN: &str = "I will call the tool that was asked for.";

/// `POST …/v2/chat`
pub(crate) fn answer(incoming: &Incoming, script: &Script) -> Reply {
    if !incoming.body.is_object() {
        return error(400, "invalid json syntax: expected an object");
    }
    if incoming.model.is_empty() {
        return error(400, "invalid request: model is required");
    }
    if incoming.body["messages"].as_array().is_none_or(Vec::is_empty) {
        return error(400, "invalid request: list of messages must not be empty");
    }
    let answer = Answer::to(&incoming.ask(), incoming.seed, script);
    if incoming.streams() {
        let frames = events(&answer).iter().map(named).chain([DONE]).collect();
        return Reply::events(frames);
    }
    let mut message = json!({"role": "assistant"});
    let thinking = answer.thinking.iter().map(|text| json!({"type": "thinking", "thinking": text}));
    let text = (!answer.text.is_empty()).then(|| json!({"type": "text", "text": answer.text}));
    let content: Vec<Value> = thinking.chain(text).collect();
    if !content.is_empty() {
        message["content"] = content.into();
    }
    if !answer.calls.is_empty() {
        message["tool_plan"] = PLAN.into();
        message["tool_calls"] =
            answer.calls.iter().map(|call| tool_call(call, call.arguments.to_string())).collect();
    }
    Reply::json(&json!({
        "id": id(&answer), "finish_reason": finish_reason(&answer), "message": message, "usage": usage(&answer.tokens),
    }))
}

pub(crate) fn error(status: u16, message: &str) -> Reply {
    let id = digest::hex(digest::of(&[message.as_bytes()]), 32);
    Reply::error(status, &json!({"id": id, "message": message}))
}

pub(crate) fn stream_error() -> Bytes {
    let delta = json!({"finish_reason": "ERROR", "error": "internal server error"});
    named(&json!({"type": "message-end", "delta": delta}))
}

fn id(answer: &Answer) -> String {
    let hex = digest::hex(answer.seed, 32);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn tool_call(call: &Call, arguments: String) -> Value {
    let id = format!("{}_{}", call.name, digest::id("", call.seed, 12));
    json!({"id": id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
}

fn finish_reason(answer: &Answer) -> &'static str {
    match answer.stop {
        Stop::End => "COMPLETE",
        Stop::Length => "MAX_TOKENS",
        Stop::ToolUse => "TOOL_CALL",
    }
}

fn usage(tokens: &Tokens) -> Value {
    let counts = json!({"input_tokens": tokens.all_input(), "output_tokens": tokens.output});
    json!({"billed_units": counts, "tokens": counts, "cached_tokens": tokens.cached})
}

fn events(answer: &Answer) -> Vec<Value> {
    let start = json!({"message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}});
    let mut events = vec![json!({"type": "message-start", "id": id(answer), "delta": start})];
    let mut index = 0;
    let mut block = |kind: &str, deltas: Vec<&str>| {
        let mut opening = json!({"type": kind});
        opening[kind] = "".into();
        events.push(
            json!({"type": "content-start", "index": index, "delta": {"message": {"content": opening}}}),
        );
        events.extend(deltas.into_iter().map(|text| {
            let mut content = json!({});
            content[kind] = text.into();
            json!({"type": "content-delta", "index": index, "delta": {"message": {"content": content}}})
        }));
        events.push(json!({"type": "content-end", "index": index}));
        index += 1;
    };
    if let Some(text) = &answer.thinking {
        block("thinking", text.split_inclusive(": ").collect());
    }
    if !answer.text.is_empty() {
        block("text", answer.deltas.iter().map(String::as_str).collect());
    }
    if !answer.calls.is_empty() {
        let words = PLAN.split_inclusive(' ');
        events.extend(
            words.map(|text| json!({"type": "tool-plan-delta", "delta": {"message": {"tool_plan": text}}})),
        );
    }
    for (index, call) in answer.calls.iter().enumerate() {
        let inside = |calls: Value| json!({"message": {"tool_calls": calls}});
        let opening = inside(tool_call(call, String::new()));
        events.push(json!({"type": "tool-call-start", "index": index, "delta": opening}));
        events.extend(call.fragments().into_iter().map(|text| {
            let delta = inside(json!({"function": {"arguments": text}}));
            json!({"type": "tool-call-delta", "index": index, "delta": delta})
        }));
        events.push(json!({"type": "tool-call-end", "index": index}));
    }
    let delta = json!({"finish_reason": finish_reason(answer), "usage": usage(&answer.tokens)});
    events.push(json!({"type": "message-end", "delta": delta}));
    events
}
