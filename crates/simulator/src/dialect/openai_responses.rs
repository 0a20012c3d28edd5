//! OpenAI Responses.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{CREATED, openai_chat};
use crate::answer::{Answer, Call, Stop, signature};
use crate::digest;
use crate::incoming::Incoming;
use crate::reply::{Reply, named};
use crate::request::{Ask, Thinking};
use crate::script::Script;

/// `POST …/responses`
pub(crate) fn answer(incoming: &Incoming, script: &Script) -> Reply {
    if let Some(refusal) = refusal(incoming) {
        return refusal;
    }
    let ask = incoming.ask();
    let answer = Answer::to(&ask, incoming.seed, script);
    if incoming.streams() {
        return Reply::events(events(&answer, &ask, incoming));
    }
    Reply::json(&finished(&answer, incoming, items(&answer, &ask, incoming)))
}

pub(crate) fn stream_error(sent: usize) -> Bytes {
    let message = "The server had an error while processing your request. Sorry about that!";
    named(
        &json!({"type": "error", "sequence_number": sent, "code": "server_error", "message": message, "param": null}),
    )
}

fn refusal(incoming: &Incoming) -> Option<Reply> {
    let body = &incoming.body;
    let continues =
        ["prompt", "previous_response_id", "conversation"].iter().any(|field| !body[*field].is_null());
    if !body.is_object() {
        return openai_chat::refusal(incoming, "input");
    }
    if incoming.model.is_empty() && body["prompt"].is_null() {
        let message = "Missing required parameter: 'model'.";
        return Some(openai_chat::error(400, message, Some("model"), Some("missing_required_parameter")));
    }
    (body["input"].is_null() && !continues).then(|| {
        let message = "Missing required parameter: 'input'.";
        openai_chat::error(400, message, Some("input"), Some("missing_required_parameter"))
    })
}

/// The response object around its output; settings of the request are repeated in it.
fn response(answer: &Answer, incoming: &Incoming, status: &str) -> Value {
    let body = &incoming.body;
    let or = |field: &str, default: Value| {
        if body[field].is_null() { default } else { body[field].clone() }
    };
    json!({
        "id": answer.id("resp_", 48), "object": "response", "created_at": CREATED, "status": status,
        "background": false, "error": null, "incomplete_details": null,
        "instructions": body["instructions"], "max_output_tokens": body["max_output_tokens"],
        "metadata": or("metadata", json!({})), "model": incoming.model, "output": [],
        "parallel_tool_calls": or("parallel_tool_calls", json!(true)),
        "previous_response_id": body["previous_response_id"],
        "reasoning": or("reasoning", json!({"effort": null, "summary": null})),
        "service_tier": "default", "store": or("store", json!(true)), "temperature": or("temperature", json!(1.0)),
        "text": or("text", json!({"format": {"type": "text"}})), "tool_choice": or("tool_choice", json!("auto")),
        "tools": or("tools", json!([])), "top_p": or("top_p", json!(1.0)),
        "truncation": or("truncation", json!("disabled")), "usage": null, "user": body["user"],
    })
}

fn finished(answer: &Answer, incoming: &Incoming, output: Vec<Value>) -> Value {
    let cut_short = answer.stop == Stop::Length;
    let mut response = response(answer, incoming, if cut_short { "incomplete" } else { "completed" });
    if cut_short {
        response["incomplete_details"] = json!({"reason": "max_output_tokens"});
    } else {
        response["completed_at"] = CREATED.into();
    }
    let tokens = &answer.tokens;
    response["output"] = output.into();
    response["usage"] = json!({
        "input_tokens": tokens.all_input(), "output_tokens": tokens.output, "total_tokens": tokens.total(),
        "input_tokens_details": {"cached_tokens": tokens.cached, "cache_write_tokens": tokens.written},
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
    });
    response
}

/// The finished output items.
fn items(answer: &Answer, ask: &Ask, incoming: &Incoming) -> Vec<Value> {
    let reasoning = answer.thinking.as_ref().map(|text| {
        let summary = if ask.thinking == Thinking::Shown {
            json!([{"type": "summary_text", "text": text}])
        } else {
            json!([])
        };
        let mut item = json!({"id": answer.id("rs_", 48), "type": "reasoning", "summary": summary});
        let wanted = incoming.body["include"].as_array().into_iter().flatten();
        if wanted.into_iter().any(|field| field == "reasoning.encrypted_content") {
            item["encrypted_content"] = signature(text).into();
        }
        item
    });
    let message = (!answer.text.is_empty()).then(|| {
        let status = if answer.stop == Stop::Length { "incomplete" } else { "completed" };
        let part = json!({"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []});
        json!({"id": answer.id("msg_", 48), "type": "message", "role": "assistant", "status": status, "content": [part]})
    });
    let calls = answer.calls.iter().map(|call: &Call| {
        json!({
            "id": digest::id("fc_", call.seed, 48), "type": "function_call", "status": "completed",
            "call_id": digest::id("call_", call.seed, 24), "name": call.name, "arguments": call.arguments.to_string(),
        })
    });
    reasoning.into_iter().chain(message).chain(calls).collect()
}

fn events(answer: &Answer, ask: &Ask, incoming: &Incoming) -> Vec<Bytes> {
    let started = response(answer, incoming, "in_progress");
    let items = items(answer, ask, incoming);
    let mut events = vec![
        json!({"type": "response.created", "response": started}),
        json!({"type": "response.in_progress", "response": started}),
    ];
    let mut calls = answer.calls.iter();
    for (index, item) in items.iter().enumerate() {
        let mut inside = match item["type"].as_str() {
            Some("reasoning") => reasoning_events(item),
            Some("message") => message_events(item, answer),
            _ => calls.next().map(call_events).unwrap_or_default(),
        };
        for event in &mut inside {
            event["output_index"] = index.into();
            event["item_id"] = item["id"].clone();
        }
        events.push(
            json!({"type": "response.output_item.added", "output_index": index, "item": opening(item)}),
        );
        events.append(&mut inside);
        events.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
    }
    let last = if answer.stop == Stop::Length { "response.incomplete" } else { "response.completed" };
    events.push(json!({"type": last, "response": finished(answer, incoming, items)}));
    let numbered = events.iter_mut().enumerate().map(|(number, event)| {
        event["sequence_number"] = number.into();
        named(event)
    });
    numbered.collect()
}

/// An item before anything is in it.
fn opening(item: &Value) -> Value {
    let mut opening = item.clone();
    match item["type"].as_str() {
        Some("reasoning") => opening["summary"] = json!([]),
        Some("message") => opening["content"] = json!([]),
        _ => opening["arguments"] = json!(""),
    }
    if !item["status"].is_null() {
        opening["status"] = json!("in_progress");
    }
    opening
}

fn reasoning_events(item: &Value) -> Vec<Value> {
    let Some(text) = item["summary"][0]["text"].as_str() else {
        return Vec::new();
    };
    let mut events = vec![json!({
        "type": "response.reasoning_summary_part.added", "summary_index": 0, "part": {"type": "summary_text", "text": ""},
    })];
    events.extend(text.split_inclusive(": ").map(
        |delta| json!({"type": "response.reasoning_summary_text.delta", "summary_index": 0, "delta": delta}),
    ));
    events.push(json!({"type": "response.reasoning_summary_text.done", "summary_index": 0, "text": text}));
    let part = &item["summary"][0];
    events.push(json!({"type": "response.reasoning_summary_part.done", "summary_index": 0, "part": part}));
    events
}

fn message_events(item: &Value, answer: &Answer) -> Vec<Value> {
    let empty = json!({"type": "output_text", "text": "", "annotations": [], "logprobs": []});
    let mut events = vec![json!({"type": "response.content_part.added", "content_index": 0, "part": empty})];
    events.extend(answer.deltas.iter().map(|delta| {
        json!({"type": "response.output_text.delta", "content_index": 0, "delta": delta, "logprobs": []})
    }));
    let text = &answer.text;
    events
        .push(json!({"type": "response.output_text.done", "content_index": 0, "text": text, "logprobs": []}));
    let part = &item["content"][0];
    events.push(json!({"type": "response.content_part.done", "content_index": 0, "part": part}));
    events
}

fn call_events(call: &Call) -> Vec<Value> {
    let delta = |delta| json!({"type": "response.function_call_arguments.delta", "delta": delta});
    let done = json!({
        "type": "response.function_call_arguments.done", "arguments": call.arguments.to_string(),
    });
    call.fragments().into_iter().map(delta).chain([done]).collect()
}
