//! Gemini generateContent, streamGenerateContent and countTokens.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::answer::{self, Answer, Stop, Tokens, signature};
use crate::digest;
use crate::incoming::Incoming;
use crate::reply::{Framing, JSON, Reply};
use crate::request::{Ask, Thinking};
use crate::script::Script;

/// Whether a path without a dialect of its own is still Google's.
pub(crate) fn is_path(path: &str) -> bool {
    let verb = path.rsplit_once(':').map_or("", |(_, verb)| verb);
    ["countTokens", "embedContent", "batchEmbedContents"].contains(&verb)
        || path.contains("/v1beta/")
        || path.contains("google-ai-studio/")
}

/// `POST …:generateContent` and `…:streamGenerateContent`
pub(crate) fn answer(incoming: &Incoming, script: &Script) -> Reply {
    if let Some(refusal) = refusal(incoming) {
        return refusal;
    }
    let ask = incoming.ask();
    let answer = Answer::to(&ask, incoming.seed, script);
    if !incoming.path.ends_with(":streamGenerateContent") {
        return Reply::json(&response(&answer, &incoming.model, parts(&answer, &ask), true));
    }
    let chunks = chunks(&answer, &ask, &incoming.model);
    if incoming.query.split('&').any(|pair| pair == "alt=sse") {
        return Reply::stream("text/event-stream", Framing::Sse, chunks.iter().map(event).collect());
    }
    let last = chunks.len() - 1;
    let element = |(index, chunk): (usize, &Value)| {
        let (before, after) =
            (if index == 0 { "[" } else { ",\r\n" }, if index == last { "\n]" } else { "\n" });
        format!("{before}{chunk}{after}").into()
    };
    Reply::stream(JSON, Framing::JsonArray, chunks.iter().enumerate().map(element).collect())
}

/// `POST …:countTokens`
pub(crate) fn count_tokens(incoming: &Incoming) -> Reply {
    let wrapped = &incoming.body["generateContentRequest"];
    if incoming.body["contents"].is_null() && wrapped.is_null() {
        return error(400, "* CountTokensRequest.contents: contents is not specified\n");
    }
    let ask = if wrapped.is_null() { incoming.ask() } else { Ask::read(wrapped) };
    let count = answer::input(&ask).all_input();
    let details = json!([{"modality": "TEXT", "tokenCount": count}]);
    Reply::json(&json!({"totalTokens": count, "promptTokensDetails": details}))
}

pub(crate) fn error(status: u16, message: &str) -> Reply {
    let name = match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        503 | 529 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    };
    Reply::error(status, &json!({"error": {"code": status, "message": message, "status": name}}))
}

pub(crate) fn stream_error(framing: Framing) -> Bytes {
    let message = "The model is overloaded. Please try again later.";
    let error = json!({"error": {"code": 503, "message": message, "status": "UNAVAILABLE"}});
    match framing {
        Framing::JsonArray => format!(",\r\n{error}\n]").into(),
        _ => event(&error),
    }
}

fn refusal(incoming: &Incoming) -> Option<Reply> {
    if !incoming.body.is_object() {
        return Some(error(400, "Invalid JSON payload received. Expected an object."));
    }
    let contents = &incoming.body["contents"];
    (contents.is_null() || contents.as_array().is_some_and(Vec::is_empty))
        .then(|| error(400, "* GenerateContentRequest.contents: contents is not specified\n"))
}

/// Google ends its lines the way HTTP does.
fn event(value: &Value) -> Bytes {
    format!("data: {value}\r\n\r\n").into()
}

fn parts(answer: &Answer, ask: &Ask) -> Vec<Value> {
    let shown = (ask.thinking == Thinking::Shown).then_some(answer.thinking.as_ref()).flatten();
    let thought = shown.map(|text| json!({"text": text, "thought": true}));
    let text = (!answer.text.is_empty()).then(|| json!({"text": answer.text}));
    thought.into_iter().chain(text).chain(calls(answer)).collect()
}

/// Of parallel calls only the first is signed.
fn calls(answer: &Answer) -> impl Iterator<Item = Value> {
    answer.calls.iter().enumerate().map(|(index, call)| {
        let id = digest::id("", call.seed, 8);
        let mut part = json!({"functionCall": {"id": id, "name": call.name, "args": call.arguments}});
        if index == 0 {
            part["thoughtSignature"] = signature(&call.name).into();
        }
        part
    })
}

fn response(answer: &Answer, model: &str, parts: Vec<Value>, last: bool) -> Value {
    let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
    if last {
        // Gemini has no reason of its own for calls.
        candidate["finishReason"] = if answer.stop == Stop::Length { "MAX_TOKENS" } else { "STOP" }.into();
    }
    json!({
        "candidates": [candidate], "usageMetadata": usage(&answer.tokens), "modelVersion": model,
        "responseId": answer.id("", 22),
    })
}

/// Thoughts are counted apart from the candidates, cached tokens within the prompt.
fn usage(tokens: &Tokens) -> Value {
    let mut usage = json!({
        "promptTokenCount": tokens.all_input(), "candidatesTokenCount": tokens.output.saturating_sub(tokens.reasoning),
        "totalTokenCount": tokens.total(),
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens.all_input()}],
    });
    if tokens.reasoning > 0 {
        usage["thoughtsTokenCount"] = tokens.reasoning.into();
    }
    if tokens.cached > 0 {
        usage["cachedContentTokenCount"] = tokens.cached.into();
        usage["cacheTokensDetails"] = json!([{"modality": "TEXT", "tokenCount": tokens.cached}]);
    }
    usage
}

fn chunks(answer: &Answer, ask: &Ask, model: &str) -> Vec<Value> {
    let shown = (ask.thinking == Thinking::Shown).then_some(answer.thinking.as_ref()).flatten();
    let thoughts = shown.into_iter().flat_map(|text| text.split_inclusive(": "));
    let mut parts: Vec<Value> = thoughts.map(|text| json!({"text": text, "thought": true})).collect();
    parts.extend(answer.deltas.iter().map(|text| json!({"text": text})));
    parts.extend(calls(answer));
    if parts.is_empty() {
        parts.push(json!({"text": ""}));
    }
    let last = parts.len() - 1;
    let chunk = |(index, part)| response(answer, model, vec![part], index == last);
    parts.into_iter().enumerate().map(chunk).collect()
}
