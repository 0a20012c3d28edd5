//! Embeddings: OpenAI's and Gemini's. The same text has the same vector in both.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{gemini, openai_chat};
use crate::answer::tokens_in;
use crate::digest;
use crate::incoming::Incoming;
use crate::reply::Reply;

const OPENAI_DIMENSIONS: u64 = 1536;
const GEMINI_DIMENSIONS: u64 = 3072;
const MOST_DIMENSIONS: u64 = 8192;

/// `POST …/embeddings`
pub(crate) fn answer(incoming: &Incoming) -> Reply {
    if let Some(refusal) = openai_chat::refusal(incoming, "input") {
        return refusal;
    }
    let body = &incoming.body;
    let Some(length) = dimensions(&body["dimensions"], OPENAI_DIMENSIONS) else {
        let message = format!("Invalid 'dimensions': expected an integer from 1 to {MOST_DIMENSIONS}.");
        return openai_chat::error(400, &message, Some("dimensions"), None);
    };
    let as_base64 = body["encoding_format"] == "base64";
    let inputs = inputs(&body["input"]);
    let tokens: u64 = inputs.iter().map(|input| weight(input)).sum();
    let embedding = |(index, input): (usize, &&Value)| {
        let vector = vector(&text(input), length);
        let embedding = if as_base64 { encoded(&vector) } else { listed(&vector) };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    };
    let data: Vec<Value> = inputs.iter().enumerate().map(embedding).collect();
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    Reply::json(&json!({"object": "list", "data": data, "model": incoming.model, "usage": usage}))
}

/// `POST …:embedContent` and `…:batchEmbedContents`
pub(crate) fn gemini(incoming: &Incoming) -> Reply {
    let embedding = |request: &Value| {
        let settings = [&request["outputDimensionality"], &request["output_dimensionality"]];
        let wanted = settings.into_iter().find(|wanted| !wanted.is_null()).unwrap_or(&Value::Null);
        let length = dimensions(wanted, GEMINI_DIMENSIONS)?;
        let parts = request["content"]["parts"].as_array()?;
        let text: String = parts.iter().filter_map(|part| part["text"].as_str()).collect();
        Some(json!({"values": listed(&vector(&text, length))}))
    };
    let answer = match incoming.body["requests"].as_array() {
        Some(requests) => {
            requests.iter().map(embedding).collect::<Option<Vec<_>>>().map(|all| json!({"embeddings": all}))
        }
        None => embedding(&incoming.body).map(|one| json!({"embedding": one})),
    };
    match answer {
        Some(answer) => Reply::json(&answer),
        None => gemini::error(400, "* EmbedContentRequest.content: contents is not specified\n"),
    }
}

/// A list of texts or of token lists is several inputs; a text or a token list is one.
fn inputs(input: &Value) -> Vec<&Value> {
    match input.as_array() {
        Some(items) if !items.iter().all(Value::is_number) => items.iter().collect(),
        _ => vec![input],
    }
}

fn text(input: &Value) -> String {
    input.as_str().map_or_else(|| input.to_string(), str::to_owned)
}

/// Tokens are counted as they are, texts by their length.
fn weight(input: &Value) -> u64 {
    input.as_array().map_or_else(|| tokens_in(text(input).len()), |tokens| tokens.len() as u64)
}

fn dimensions(wanted: &Value, usual: u64) -> Option<usize> {
    let length = if wanted.is_null() { usual } else { wanted.as_u64()? };
    (1..=MOST_DIMENSIONS).contains(&length).then_some(length as usize)
}

/// A vector of length 1 whose direction depends on the text.
fn vector(text: &str, length: usize) -> Vec<f32> {
    let numbers = digest::numbers(digest::of(&[b"embedding", text.as_bytes()]));
    let raw: Vec<f64> = numbers.take(length).map(|n| (n >> 11) as f64 / (1_u64 << 52) as f64 - 1.0).collect();
    let norm = raw.iter().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    raw.iter().map(|x| (x / norm) as f32).collect()
}

fn encoded(vector: &[f32]) -> Value {
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    STANDARD.encode(bytes).into()
}

/// The shortest decimals that read back as the same `f32`.
fn listed(vector: &[f32]) -> Value {
    vector.iter().map(|x| x.to_string().parse::<f64>().map_or(Value::Null, Value::from)).collect()
}
