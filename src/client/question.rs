//! What is asked, written in the provider's dialect.

use genesis_wire::Dialect;
use genesis_wire::translate::{self, Context, Target as Facts};
use serde_json::{Map, Value, json};

use super::Target;
use super::failure::{Cause, Failure};

/// A conversation that waits for its next answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Question {
    pub(crate) system: Option<String>,
    /// The last one is the user's.
    pub(crate) turns: Vec<Turn>,
    /// Output tokens at most; the provider's own limit (Anthropic: a safe one) if missing.
    pub(crate) max_tokens: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) role: Role,
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    User,
    Assistant,
}

/// A question as it is sent.
pub(super) struct Written {
    pub(super) body: Vec<u8>,
    /// For the way back.
    pub(super) context: Context,
}

impl Question {
    /// One message and nothing before it.
    pub(crate) fn of(text: impl Into<String>) -> Self {
        let turn = Turn { role: Role::User, text: text.into() };
        Self { turns: vec![turn], ..Self::default() }
    }

    /// Written once as a chat completion and translated from there, whatever the provider speaks.
    pub(super) fn written(&self, target: &Target) -> Result<Written, Failure> {
        let provider = target.maker.as_ref().unwrap_or(&target.provider);
        let facts = Facts {
            stream: true,
            max_output: target.max_output(),
            request_id: "answer",
            ..genesis_proxy::model_facts(provider, &target.reference.model)
        };
        let body = serde_json::to_vec(&self.as_chat(&target.reference.model)).map_err(cannot_be_written)?;
        let outgoing = translate::request(Dialect::OpenAiChat, target.dialect, &body, &facts)
            .map_err(cannot_be_written)?;
        let body = with_params(outgoing.body, &target.params)?;
        Ok(Written { body, context: outgoing.context })
    }

    fn as_chat(&self, model: &str) -> Value {
        let system = self.system.iter().map(|text| json!({ "role": "system", "content": text }));
        let turns = self.turns.iter().map(|turn| {
            let role = match turn.role {
                Role::User => "user",
                Role::Assistant => "assistant",
            };
            json!({ "role": role, "content": turn.text })
        });
        let mut body = json!({
            "model": model,
            "messages": system.chain(turns).collect::<Vec<_>>(),
            "stream": true,
            "stream_options": { "include_usage": true },
        });
        if let Some(most) = self.max_tokens {
            body["max_tokens"] = most.into();
        }
        body
    }
}

/// The body with the user's own parameters for this model, which are the provider's words and win.
fn with_params(body: Vec<u8>, params: &Map<String, Value>) -> Result<Vec<u8>, Failure> {
    if params.is_empty() {
        return Ok(body);
    }
    let mut fields: Map<String, Value> = serde_json::from_slice(&body).map_err(cannot_be_written)?;
    fields.extend(params.iter().map(|(name, value)| (name.clone(), value.clone())));
    serde_json::to_vec(&fields).map_err(cannot_be_written)
}

fn cannot_be_written(error: impl std::fmt::Display) -> Failure {
    Failure::new(Cause::Internal, format!("the question cannot be written for this provider: {error}"))
}
