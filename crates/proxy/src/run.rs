//! Cloudflare's `/ai/run`: a model and its input in one body, the answer in the REST envelope.
//!
//! The input is a request of the unified API without its model. As on Cloudflare, Anthropic's models take and give
//! their own dialect, all others OpenAI's.

use bytes::Bytes;
use genesis_config::{Ability, Provider, dashed_claude};
use genesis_wire::{Dialect, peek, splice_model};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::plan::malformed;

#[derive(Deserialize)]
struct Run<'a> {
    model: String,
    #[serde(borrow)]
    input: &'a RawValue,
}

/// Takes a call apart: the model it names, and its input.
pub(crate) fn unwrapped(body: &Bytes, model: Option<&str>) -> Result<(String, Bytes), Failure> {
    let (model, input) = match model {
        Some(model) => (model.replace("%2F", "/").replace("%2f", "/"), body.clone()),
        None => {
            let run: Run<'_> = serde_json::from_slice(body).map_err(|error| {
                malformed(format!("the body is not {{\"model\": …, \"input\": {{…}}}}: {error}"))
            })?;
            (run.model, body.slice_ref(run.input.get().as_bytes()))
        }
    };
    // Cloudflare writes Claude's versions with dots, Anthropic with dashes.
    let model = if model.starts_with("anthropic/") { dashed_claude(&model).unwrap_or(model) } else { model };
    Ok((model, input))
}

/// The input as a request that names its model.
pub(crate) fn request(input: &[u8], model: &str) -> Result<Bytes, Failure> {
    let peeked =
        peek(input).map_err(|error| malformed(format!("the input is not a JSON object: {error}")))?;
    if let Some(span) = peeked.model_span {
        return Ok(splice_model(input, span, model).into());
    }
    let rest = input.trim_ascii_start().strip_prefix(b"{").unwrap_or_default();
    let name = serde_json::to_string(model).unwrap_or_default();
    let comma: &[u8] = if rest.trim_ascii_start().starts_with(b"}") { b"" } else { b"," };
    Ok([b"{\"model\":", name.as_bytes(), comma, rest].concat().into())
}

/// The dialect of an input, told by the model and by what the input holds.
pub(crate) fn dialect(provider: &Provider, model: &str, input: &[u8]) -> Result<Dialect, Failure> {
    #[derive(Deserialize)]
    struct Shape<'a> {
        #[serde(borrow)]
        messages: Option<&'a RawValue>,
        #[serde(borrow)]
        input: Option<&'a RawValue>,
    }
    let shape: Shape<'_> = serde_json::from_slice(input)
        .map_err(|error| malformed(format!("the input is not a JSON object: {error}")))?;
    let embeds = provider.known_model(model).can(Ability::Embeddings).unwrap_or(false);
    match (shape.messages, shape.input) {
        (Some(_), _) if provider.slug == "anthropic" => Ok(Dialect::AnthropicMessages),
        (Some(_), _) => Ok(Dialect::OpenAiChat),
        (None, Some(_)) if embeds => Ok(Dialect::OpenAiEmbeddings),
        (None, Some(_)) => Ok(Dialect::OpenAiResponses),
        (None, None) => Err(malformed(
            "the input has neither `messages` nor `input`; only conversations and embeddings can be run here",
        )),
    }
}

/// An answer as Cloudflare's REST API wraps it.
pub(crate) fn envelope(status: StatusCode, answer: &[u8]) -> Vec<u8> {
    if status.is_success() && serde_json::from_slice::<&RawValue>(answer).is_ok() {
        let end: &[u8] = b",\"success\":true,\"errors\":[],\"messages\":[]}";
        return [b"{\"result\":", answer.trim_ascii(), end].concat();
    }
    let said = genesis_wire::report::error_message(answer)
        .unwrap_or_else(|| format!("the provider answered {}", status.as_u16()));
    json!({ "result": null, "success": false, "errors": [{ "code": 2005, "message": said }], "messages": [] })
        .to_string()
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_and_its_input_become_a_request() {
        let body =
            Bytes::from_static(br#"{"input": {"messages": [ 1.0 ]}, "model": "anthropic/claude-haiku-4.5"}"#);
        let (model, input) = unwrapped(&body, None).expect("a run");
        assert_eq!(model, "anthropic/claude-haiku-4-5");
        let request = super::request(&input, &model).expect("a request");
        assert_eq!(request, r#"{"model":"anthropic/claude-haiku-4-5","messages": [ 1.0 ]}"#);
        assert_eq!(super::request(b" { } ", "m").expect("empty"), r#"{"model":"m" } "#);
        assert_eq!(super::request(br#"{"model":"other"}"#, "m").expect("named"), r#"{"model":"m"}"#);
        assert!(super::request(b"[]", "m").is_err());
        assert!(unwrapped(&Bytes::from_static(b"{}"), None).is_err());
    }
}
