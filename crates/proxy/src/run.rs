//! Cloudflare's `/ai/run`: a model and its input in one body, the answer in the REST envelope; and the Run API, `/run`
//! below a gateway, which also takes a provider and has an envelope of its own.
//!
//! The input is a request of the unified API without its model. As on Cloudflare, Anthropic's models take and give
//! their own dialect, all others OpenAI's.

use bytes::Bytes;
use genesis_config::{Ability, Provider, dashed_claude};
use genesis_store::Outcome;
use genesis_wire::{Dialect, peek, splice_model};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::admit::Caller;
use crate::exchange::{Delivery, Exchange};
use crate::failure::Failure;
use crate::options::is_secret;
use crate::plan::malformed;
use crate::resolve::Asks;
use crate::retry::may_pass;
use crate::snapshot::Snapshot;
use crate::unified::Asked;

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

/// A call of the Run API.
#[derive(Deserialize)]
pub(crate) struct Preview<'a> {
    /// As the caller wrote it.
    pub(crate) model: String,
    #[serde(default)]
    provider: Option<String>,
    #[serde(borrow)]
    input: &'a RawValue,
}

impl<'a> Preview<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Failure> {
        let shape = "the body is not {\"model\": …, \"input\": {…}, \"provider\": … (optional)}";
        serde_json::from_slice(body).map_err(|error| malformed(format!("{shape}: {error}")))
    }

    /// The call as a request of the unified API.
    pub(crate) fn request(&self, snapshot: &Snapshot) -> Result<Bytes, Failure> {
        let model = match &self.provider {
            Some(pinned) => named_at(snapshot, pinned, &self.model),
            None => self.model.clone(),
        };
        let model = dashed_claude(&model).filter(|_| model.starts_with("anthropic/")).unwrap_or(model);
        request(self.input.get().as_bytes(), &model)
    }
}

/// `provider/model` for a model that is to be had from this provider, whoever made it.
fn named_at(snapshot: &Snapshot, provider: &str, model: &str) -> String {
    let bare = model.split_once('/').map_or(model, |(_, bare)| bare);
    // Who sells the models of several makers writes the maker into their names.
    let with_maker = snapshot.provider(provider).is_some_and(|(row, _)| row.model_ids().contains(&model));
    format!("{provider}/{}", if with_maker { model } else { bare })
}

/// The client's headers without keys for providers: the Run API uses the gateway's own.
pub(crate) fn without_keys(client: &HeaderMap) -> HeaderMap {
    let kept = client.iter().filter(|(name, _)| !is_secret(name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

impl Exchange<'_> {
    /// Makes a call of the Run API.
    pub(crate) async fn run_preview(
        &mut self,
        caller: &Caller,
        client: &HeaderMap,
        body: &Bytes,
    ) -> Result<Delivery, Failure> {
        let preview = Preview::read(body)?;
        let (client, body) = (&without_keys(client), &preview.request(self.snapshot)?);
        let asked = Asked { client, body, asks: Asks::RunPreview, has_successor: false, in_steps: false };
        let outcome = self.by_model(caller, &asked).await;
        let envelope =
            Envelope::Preview { provider: self.receipt.provider().to_owned(), model: preview.model };
        match outcome {
            Ok(delivery) => Ok(Delivery { envelope: Some(envelope), ..delivery }),
            Err(failure) => Err(envelope.failed(failure)),
        }
    }
}

/// What a whole answer is put into.
#[derive(Debug)]
pub(crate) enum Envelope {
    /// That of Cloudflare's REST API.
    Rest,
    /// That of its Run API.
    Preview {
        /// Slug.
        provider: String,
        /// As the caller wrote it.
        model: String,
    },
}

impl Envelope {
    /// An answer in its envelope; if it is an error, what it says.
    pub(crate) fn around(&self, status: StatusCode, answer: &[u8]) -> Vec<u8> {
        if status.is_success() && serde_json::from_slice::<&RawValue>(answer).is_ok() {
            let (start, end) = match self {
                Self::Rest => {
                    ("{\"result\":".to_owned(), ",\"success\":true,\"errors\":[],\"messages\":[]}".to_owned())
                }
                Self::Preview { provider, model } => (
                    "{\"state\":\"Completed\",\"result\":".to_owned(),
                    format!(",\"provider\":{},\"model\":{}}}", json!(provider), json!(model)),
                ),
            };
            return [start.as_bytes(), answer.trim_ascii(), end.as_bytes()].concat();
        }
        let said = genesis_wire::report::error_message(answer)
            .unwrap_or_else(|| format!("the provider answered {}", status.as_u16()));
        let failed = match self {
            Self::Rest => {
                let errors = json!([{ "code": 2005, "message": said }]);
                json!({ "result": null, "success": false, "errors": errors, "messages": [] })
            }
            Self::Preview { model, .. } => failed(model, status, &said),
        };
        failed.to_string().into_bytes()
    }

    /// A failure as this envelope tells it. The Run API has a shape for providers that cannot be had; what is wrong with
    /// a call itself is told as everywhere.
    pub(crate) fn failed(&self, failure: Failure) -> Failure {
        match self {
            Self::Preview { model, .. } if failure.outcome == Outcome::UpstreamBroken => {
                let body = failed(model, failure.status, &failure.description);
                Failure { body: Some(Box::new(body)), ..failure }
            }
            _ => failure,
        }
    }
}

/// Of the codes only `provider_unavailable` is Cloudflare's.
fn failed(model: &str, status: StatusCode, message: &str) -> serde_json::Value {
    let code =
        if status.is_success() || may_pass(status) { "provider_unavailable" } else { "provider_rejected" };
    json!({ "state": "Failed", "error": { "code": code, "message": message }, "model": model })
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
