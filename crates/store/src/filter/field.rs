//! The fields of a record that filters know, by name, and what a record has in each.

use genesis_wire::{Dialect, Usage};
use uuid::Uuid;

use crate::{Outcome, annotation::Annotation};

/// A field of a log record.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum LogField {
    Id,
    Account,
    Gateway,
    /// Milliseconds since the epoch.
    CreatedAt,
    RequestContentType,
    ResponseContentType,
    /// `chat`, `embeddings`, … : what kind of call it was, by its path.
    RequestType,
    /// The outcome is success.
    Success,
    /// The outcome's name, as in JSON.
    Outcome,
    Status,
    Cached,
    Simulated,
    Stream,
    Provider,
    Model,
    /// The same as [`LogField::RequestType`]: a model is of the type of the calls it answers.
    ModelType,
    /// Nano-USD.
    Cost,
    /// In and out.
    Tokens,
    TokensIn,
    TokensOut,
    /// Milliseconds.
    Duration,
    /// Milliseconds until the first byte of the provider's answer.
    FirstByte,
    /// -1, 0 or 1.
    Feedback,
    EventId,
    /// Some metadata entry has this key.
    MetadataKey,
    /// Some metadata entry, not necessarily the one with that key, has this value (strings without quotes).
    MetadataValue,
    /// The caller presented a token.
    Authentication,
    /// Billed by the gateway's operator to the caller. Always false: we never are.
    Wholesale,
    /// It came over the unified API.
    CompatibilityMode,
    /// What data-loss prevention did; empty if nothing.
    DlpAction,
    UserAgent,
    /// Id of the gateway token.
    Token,
    Path,
    Method,
    Error,
    Step,
}

impl LogField {
    /// By Cloudflare's name where it has one, else by ours.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "id" => Self::Id,
            "account" => Self::Account,
            "gateway" => Self::Gateway,
            "created_at" => Self::CreatedAt,
            "request_content_type" => Self::RequestContentType,
            "response_content_type" => Self::ResponseContentType,
            "request_type" => Self::RequestType,
            "success" => Self::Success,
            "outcome" => Self::Outcome,
            "status" | "status_code" => Self::Status,
            "cached" => Self::Cached,
            "simulated" => Self::Simulated,
            "stream" => Self::Stream,
            "provider" => Self::Provider,
            "model" => Self::Model,
            "model_type" => Self::ModelType,
            "cost" => Self::Cost,
            "tokens" | "total_tokens" => Self::Tokens,
            "tokens_in" => Self::TokensIn,
            "tokens_out" => Self::TokensOut,
            "duration" => Self::Duration,
            "first_byte" => Self::FirstByte,
            "feedback" => Self::Feedback,
            "event_id" => Self::EventId,
            "metadata.key" => Self::MetadataKey,
            "metadata.value" => Self::MetadataValue,
            "authentication" => Self::Authentication,
            "wholesale" => Self::Wholesale,
            "compatibilityMode" => Self::CompatibilityMode,
            "dlp_action" => Self::DlpAction,
            "user_agent" => Self::UserAgent,
            "token" => Self::Token,
            "path" => Self::Path,
            "method" => Self::Method,
            "error" => Self::Error,
            "step" => Self::Step,
            _ => return None,
        })
    }
}

/// What a record has in a field.
#[derive(Debug, PartialEq)]
pub(crate) enum Found<'a> {
    Text(&'a str),
    Number(Option<i64>),
    Flag(bool),
    Id(Uuid),
    /// Text that is an id.
    IdText(Uuid),
    /// JSON object; empty text if there is none.
    Keys(&'a str),
    Values(&'a str),
}

/// The part of a record that filters look at, borrowed from wherever it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) id: Uuid,
    pub(crate) created_at_ms: i64,
    pub(crate) account: &'a str,
    pub(crate) gateway: &'a str,
    pub(crate) provider: &'a str,
    pub(crate) model: &'a str,
    pub(crate) token_id: &'a str,
    pub(crate) status: u16,
    pub(crate) outcome: Outcome,
    pub(crate) cached: bool,
    pub(crate) simulated: bool,
    pub(crate) stream: bool,
    pub(crate) custom_cost: bool,
    pub(crate) dialect: Option<Dialect>,
    pub(crate) step: u32,
    pub(crate) duration_ms: u32,
    pub(crate) first_byte_ms: Option<u32>,
    pub(crate) usage: Option<Usage>,
    pub(crate) cost_nano_usd: Option<i64>,
    /// JSON object; empty if there is none.
    pub(crate) metadata: &'a str,
    /// `None`: the id as text.
    pub(crate) event_id: Option<&'a str>,
    pub(crate) path: &'a str,
    pub(crate) method: &'a str,
    pub(crate) error: &'a str,
    pub(crate) user_agent: &'a str,
    pub(crate) request_content_type: &'a str,
    pub(crate) response_content_type: &'a str,
}

impl<'a> Head<'a> {
    pub(crate) fn find(&self, field: LogField, annotation: Option<&'a Annotation>) -> Found<'a> {
        let number = |number: Option<u64>| {
            Found::Number(number.map(|number| i64::try_from(number).unwrap_or(i64::MAX)))
        };
        let metadata = annotation.and_then(|of| of.metadata_text.as_deref()).unwrap_or(self.metadata);
        match field {
            LogField::Id => Found::Id(self.id),
            LogField::Account => Found::Text(self.account),
            LogField::Gateway => Found::Text(self.gateway),
            LogField::CreatedAt => Found::Number(Some(self.created_at_ms)),
            LogField::RequestContentType => Found::Text(self.request_content_type),
            LogField::ResponseContentType => Found::Text(self.response_content_type),
            LogField::RequestType | LogField::ModelType => Found::Text(self.kind()),
            LogField::Success => Found::Flag(self.outcome == Outcome::Success),
            LogField::Outcome => Found::Text(self.outcome.name()),
            LogField::Status => Found::Number(Some(self.status.into())),
            LogField::Cached => Found::Flag(self.cached),
            LogField::Simulated => Found::Flag(self.simulated),
            LogField::Stream => Found::Flag(self.stream),
            LogField::Provider => Found::Text(self.provider),
            LogField::Model => Found::Text(self.model),
            LogField::Cost => Found::Number(self.cost(annotation)),
            LogField::Tokens => number(self.usage.map(|usage| usage.tokens_in() + usage.tokens_out())),
            LogField::TokensIn => number(self.usage.map(|usage| usage.tokens_in())),
            LogField::TokensOut => number(self.usage.map(|usage| usage.tokens_out())),
            LogField::Duration => Found::Number(Some(self.duration_ms.into())),
            LogField::FirstByte => Found::Number(self.first_byte_ms.map(i64::from)),
            LogField::Feedback => Found::Number(annotation.and_then(|of| of.feedback).map(i64::from)),
            LogField::EventId => self.event_id.map_or(Found::IdText(self.id), Found::Text),
            LogField::MetadataKey => Found::Keys(metadata),
            LogField::MetadataValue => Found::Values(metadata),
            LogField::Authentication => Found::Flag(!self.token_id.is_empty()),
            LogField::Wholesale => Found::Flag(false),
            LogField::CompatibilityMode => Found::Flag(self.path.starts_with("compat/")),
            LogField::DlpAction => Found::Text(""),
            LogField::UserAgent => Found::Text(self.user_agent),
            LogField::Token => Found::Text(self.token_id),
            LogField::Path => Found::Text(self.path),
            LogField::Method => Found::Text(self.method),
            LogField::Error => Found::Text(self.error),
            LogField::Step => Found::Number(Some(self.step.into())),
        }
    }

    pub(crate) fn cost(&self, annotation: Option<&Annotation>) -> Option<i64> {
        match annotation.and_then(|of| of.repriced.as_ref()) {
            Some(repriced) => repriced.cost_nano_usd,
            None => self.cost_nano_usd,
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        kind_of_call(self.dialect, self.path)
    }
}

/// What kind of call this is, by its dialect or else its path.
pub(crate) fn kind_of_call(dialect: Option<Dialect>, path: &str) -> &'static str {
    match dialect {
        Some(Dialect::OpenAiEmbeddings) => "embeddings",
        Some(_) => "chat",
        None => kind_of_path(path),
    }
}

fn kind_of_path(path: &str) -> &'static str {
    const KINDS: [(&str, &str); 6] = [
        ("embed", "embeddings"),
        ("images", "image"),
        ("audio", "audio"),
        ("moderation", "moderation"),
        ("rerank", "rerank"),
        ("completions", "chat"),
    ];
    KINDS.iter().find(|(part, _)| path.contains(part)).map_or("", |(_, kind)| kind)
}
