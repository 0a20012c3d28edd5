//! An answer in each provider's shape: one file per wire format.

pub(crate) mod anthropic;
pub(crate) mod bedrock;
pub(crate) mod cohere;
pub(crate) mod embeddings;
pub(crate) mod event_stream;
pub(crate) mod gemini;
pub(crate) mod openai_chat;
pub(crate) mod openai_responses;

use bytes::Bytes;
use genesis_wire::Dialect;

use crate::incoming::Incoming;
use crate::reply::{Framing, Reply};

/// The one second in which every answer is made.
pub(crate) const CREATED: u64 = 1_767_225_600;
pub(crate) const CREATED_TEXT: &str = "2026-01-01T00:00:00Z";

/// Whose manner of reporting errors applies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Family {
    Anthropic,
    Bedrock,
    Cohere,
    Gemini,
    OpenAi,
    /// OpenAI, in the events of the Responses API.
    Responses,
}

impl Family {
    /// Judged by the path; OpenAI's if nothing speaks for another.
    pub(crate) fn of(incoming: &Incoming) -> Self {
        let path = incoming.path.as_str();
        match Dialect::of_path(path) {
            _ if bedrock::is_path(path) => Self::Bedrock,
            Some(Dialect::BedrockConverse) => Self::Bedrock,
            Some(Dialect::AnthropicMessages) => Self::Anthropic,
            Some(Dialect::CohereChat) => Self::Cohere,
            Some(Dialect::GeminiGenerate) => Self::Gemini,
            Some(Dialect::OpenAiResponses) => Self::Responses,
            Some(_) => Self::OpenAi,
            None if incoming.headers.contains_key("anthropic-version") => Self::Anthropic,
            None if path.contains("/messages/") || path.contains("/anthropic/") => Self::Anthropic,
            None if gemini::is_path(path) || incoming.headers.contains_key("x-goog-api-key") => Self::Gemini,
            None => Self::OpenAi,
        }
    }
}

/// An error answer as the provider would word it.
pub(crate) fn error(family: Family, status: u16, message: &str) -> Reply {
    match family {
        Family::Anthropic => anthropic::error(status, message),
        Family::Bedrock => bedrock::error(status, message),
        Family::Cohere => cohere::error(status, message),
        Family::Gemini => gemini::error(status, message),
        Family::OpenAi | Family::Responses => openai_chat::error(status, message, None, None),
    }
}

/// The event with which a provider reports that a stream failed after `sent` frames.
pub(crate) fn stream_error(family: Family, framing: Framing, sent: usize) -> Bytes {
    match (family, framing) {
        (_, Framing::EventStream) => bedrock::stream_error(),
        (_, Framing::JsonArray) | (Family::Gemini, _) => gemini::stream_error(framing),
        (Family::Anthropic | Family::Bedrock, _) => anthropic::stream_error(),
        (Family::Cohere, _) => cohere::stream_error(),
        (Family::OpenAi, _) => openai_chat::stream_error(),
        (Family::Responses, _) => openai_responses::stream_error(sent),
    }
}
