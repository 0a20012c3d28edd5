//! OpenAI Chat Completions and the legacy completions, and the errors of all of OpenAI's API.

use bytes::Bytes;
use serde_json::{Value, json};

use super::CREATED;
use crate::answer::{Answer, Call, Stop, Tokens};
use crate::digest;
use crate::incoming::Incoming;
use crate::reply::{DONE, Reply, data};
use crate::script::Script;

/// `POST …/chat/completions`
pub(crate) fn answer(incoming: &Incoming, script: &Script) -> Reply {
    if let Some(refusal) = refusal(incoming, "messages") {
        return refusal;
    }
    let answer = Answer::to(&incoming.ask(), incoming.seed, script);
    if incoming.streams() {
        return Reply::events(chunks(&answer, incoming));
    }
    let mut message = json!({"role": "assistant", "content": null, "refusal": null, "annotations": []});
    if answer.calls.is_empty() {
        message["content"] = answer.text.as_str().into();
    } else {
        message["tool_calls"] = answer.calls.iter().map(tool_call).collect();
    }
    let choice =
        json!({"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason(&answer)});
    let mut completion = envelope(&answer, &incoming.model, "chat.completion");
    completion["choices"] = json!([choice]);
    completion["usage"] = usage(&answer.tokens);
    Reply::json(&completion)
}

/// `POST …/completions`
pub(crate) fn legacy(incoming: &Incoming, script: &Script) -> Reply {
    if let Some(refusal) = refusal(incoming, "prompt") {
        return refusal;
    }
    let answer = Answer::to(&incoming.ask(), incoming.seed, script);
    let completion = |text: &str, finish_reason: Option<&str>, usage: Option<Value>| {
        let choice = json!({"index": 0, "text": text, "logprobs": null, "finish_reason": finish_reason});
        let mut completion = envelope(&answer, &incoming.model, "text_completion");
        completion["id"] = answer.id("cmpl-", 29).into();
        completion.as_object_mut().map(|members| members.remove("service_tier"));
        completion["choices"] = json!([choice]);
        if let Some(usage) = usage {
            completion["usage"] = usage;
        }
        completion
    };
    let (end, total) = (finish_reason(&answer), usage(&answer.tokens));
    if !incoming.streams() {
        return Reply::json(&completion(&answer.text, Some(end), Some(total)));
    }
    let mut frames: Vec<Bytes> =
        answer.deltas.iter().map(|text| data(&completion(text, None, None))).collect();
    frames.push(data(&completion("", Some(end), None)));
    if incoming.body["stream_options"]["include_usage"] == true {
        let mut last = completion("", None, Some(total));
        last["choices"] = json!([]);
        frames.push(data(&last));
    }
    frames.push(DONE);
    Reply::events(frames)
}

pub(crate) fn error(status: u16, message: &str, param: Option<&str>, code: Option<&str>) -> Reply {
    let (kind, usual_code) = match status {
        401 => ("invalid_request_error", Some("invalid_api_key")),
        404 => ("invalid_request_error", Some("not_found")),
        429 => ("requests", Some("rate_limit_exceeded")),
        500.. => ("server_error", None),
        _ => ("invalid_request_error", None),
    };
    let error = json!({"message": message, "type": kind, "param": param, "code": code.or(usual_code)});
    Reply::error(status, &json!({"error": error}))
}

pub(crate) fn stream_error() -> Bytes {
    let message = "The server had an error while processing your request. Sorry about that!";
    data(&json!({"error": {"message": message, "type": "server_error", "param": null, "code": null}}))
}

/// OpenAI's answer to a body without `model` or `field`.
pub(crate) fn refusal(incoming: &Incoming, field: &str) -> Option<Reply> {
    if !incoming.body.is_object() {
        let message = "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)";
        return Some(error(400, message, None, None));
    }
    if incoming.model.is_empty() {
        return Some(error(400, "you must provide a model parameter", None, None));
    }
    let value = &incoming.body[field];
    if value.is_null() {
        let message = format!("Missing required parameter: '{field}'.");
        return Some(error(400, &message, Some(field), Some("missing_required_parameter")));
    }
    value.as_array().is_some_and(Vec::is_empty).then(|| {
        let message = format!(
            "Invalid '{field}': empty array. Expected an array with minimum length 1, but got an empty array instead."
        );
        error(400, &message, Some(field), Some("empty_array"))
    })
}

fn envelope(answer: &Answer, model: &str, object: &str) -> Value {
    json!({
        "id": answer.id("chatcmpl-", 29), "object": object, "created": CREATED, "model": model,
        "service_tier": "default", "system_fingerprint": "fp_simulated",
    })
}

fn call_id(call: &Call) -> String {
    digest::id("call_", call.seed, 24)
}

fn tool_call(call: &Call) -> Value {
    let function = json!({"name": call.name, "arguments": call.arguments.to_string()});
    json!({"id": call_id(call), "type": "function", "function": function})
}

fn finish_reason(answer: &Answer) -> &'static str {
    match answer.stop {
        Stop::End => "stop",
        Stop::Length => "length",
        Stop::ToolUse => "tool_calls",
    }
}

fn usage(tokens: &Tokens) -> Value {
    json!({
        "prompt_tokens": tokens.all_input(), "completion_tokens": tokens.output, "total_tokens": tokens.total(),
        "prompt_tokens_details": {
            "cached_tokens": tokens.cached, "cache_write_tokens": tokens.written, "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": tokens.reasoning, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

fn chunks(answer: &Answer, incoming: &Incoming) -> Vec<Bytes> {
    let with_usage = incoming.body["stream_options"]["include_usage"] == true;
    let envelope = {
        let mut envelope = envelope(answer, &incoming.model, "chat.completion.chunk");
        if with_usage {
            envelope["usage"] = Value::Null;
        }
        envelope
    };
    let chunk = |delta: Value, finish_reason: Option<&str>| {
        let mut chunk = envelope.clone();
        chunk["choices"] =
            json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason}]);
        data(&chunk)
    };
    let content = if answer.calls.is_empty() { json!("") } else { Value::Null };
    let mut frames = vec![chunk(json!({"role": "assistant", "content": content, "refusal": null}), None)];
    frames.extend(answer.deltas.iter().map(|text| chunk(json!({"content": text}), None)));
    for (index, call) in answer.calls.iter().enumerate() {
        let function = json!({"name": call.name, "arguments": ""});
        let opening = json!({"index": index, "id": call_id(call), "type": "function", "function": function});
        frames.push(chunk(json!({"tool_calls": [opening]}), None));
        frames.extend(call.fragments().into_iter().map(|text| {
            chunk(json!({"tool_calls": [{"index": index, "function": {"arguments": text}}]}), None)
        }));
    }
    frames.push(chunk(json!({}), Some(finish_reason(answer))));
    if with_usage {
        let mut last = envelope.clone();
        last["choices"] = json!([]);
        last["usage"] = usage(&answer.tokens);
        frames.push(data(&last));
    }
    frames.push(DONE);
    frames
}
