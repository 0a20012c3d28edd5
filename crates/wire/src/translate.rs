//! Translation between dialects: a request on its way to the provider, the answer on its way back.
//!
//! Used only where client and provider speak differently; everything is pure, and ids are the provider's own.
//! A request is read into one neutral form and written in the provider's dialect; whatever the provider's
//! dialect cannot say is named in `dropped`.
//!
//! * `conversation`: the neutral form
//! * `openai_chat`, `anthropic_messages`, …: one reader and one writer per dialect
//! * `stream`: streamed answers, event by event
//! * `error`: refusals, in every dialect
//! * `dropped`: the names of what could not be carried
//! * `tools`: tool names and ids that both sides accept
//! * `model`: wishes that the model refuses in any dialect
//! * `media`: bytes inside JSON
//! * `json`: reading without copying, writing without a tree

mod anthropic_messages;
mod bedrock_converse;
mod cohere_chat;
mod conversation;
mod dropped;
mod error;
mod gemini_generate;
mod json;
mod media;
mod model;
mod openai_chat;
mod openai_responses;
mod stream;
mod tools;

pub use stream::StreamTranslator;

use dropped::Dropped;
use thiserror::Error;

use crate::Dialect;

/// The version of Anthropic's API as Vertex names it, in the body's field `anthropic_version`.
pub const VERTEX_VERSION: &str = "vertex-2023-10-16";

/// Facts about the model and the provider a request goes to; the caller takes them from its catalogue.
#[derive(Clone, Copy, Debug, Default)]
pub struct Target<'a> {
    /// The model name the provider knows.
    pub model: &'a str,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Anthropic on Vertex: the model is named in the path, and the body has [`VERTEX_VERSION`] in its place.
    pub model_in_path: bool,
    /// The most output tokens the model can give, if known.
    pub max_output: Option<u64>,
    /// OpenAI Chat: the model wants `max_completion_tokens` and refuses `max_tokens`.
    pub takes_max_completion_tokens: bool,
    /// The model wants to be told how hard to think, not how many tokens: Anthropic's `thinking: adaptive` with an
    /// effort, Gemini's `thinkingLevel`.
    pub adaptive_thinking: bool,
    /// The model cannot think; a wish for reasoning is dropped.
    pub never_thinks: bool,
    /// The model cannot stop thinking; a wish for no reasoning is dropped.
    pub always_thinks: bool,
    /// The model refuses `temperature`, `top_p` and `top_k`.
    pub fixed_sampling: bool,
    /// The model cannot be made to call a tool.
    pub unforced_tools: bool,
    /// Anthropic: `messages` may hold role `system` (from version 2026-10-21).
    pub system_in_messages: bool,
    /// OpenAI Chat: the provider understands `cache_control` on content parts.
    pub takes_cache_control: bool,
    /// OpenAI Chat: the provider wants `reasoning_content` of earlier turns back.
    pub takes_reasoning_content: bool,
    /// Gemini 3 and later: a tool call in the history without its thought signature is refused.
    pub needs_thought_signature: bool,
    /// Names the answer where the provider gives it no id.
    pub request_id: &'a str,
    /// Unix seconds, for answers whose dialect wants a time where the provider gives none.
    pub now: u64,
}

/// A request in the provider's dialect.
#[derive(Debug)]
pub struct Outgoing {
    pub body: Vec<u8>,
    /// What follows the provider's base URL: `/chat/completions`, `/models/{m}:generateContent`, …
    pub path: String,
    /// Fields of the client's request that the provider's dialect cannot carry, by name.
    pub dropped: Vec<String>,
    /// What the way back needs.
    pub context: Context,
}

/// What the translation of an answer needs to know about its request.
#[derive(Clone, Debug)]
pub struct Context {
    pub from: Dialect,
    pub to: Dialect,
    /// Whether the client wants the usage chunk of a Chat stream.
    pub include_usage: bool,
    pub stream: bool,
    model: String,
    request_id: String,
    now: u64,
    /// Tool names the provider would have refused: (sent, the client's).
    tools: tools::Renamed,
}

/// A request that cannot be translated: the client's fault.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
#[error("{path}: {message}")]
pub struct BadRequest {
    /// The place in the client's body, such as `messages[2].content[0].image_url.url`; empty for the body itself.
    pub path: String,
    pub message: String,
}

/// An answer in the client's dialect.
#[derive(Debug)]
pub struct Incoming {
    pub body: Vec<u8>,
    /// Fields of the provider's answer that the client's dialect cannot carry, by name.
    pub dropped: Vec<String>,
}

/// An answer that cannot be translated: the provider's fault.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
#[error("{message}")]
pub struct BadAnswer {
    pub message: String,
}

/// Translates a client's request into the provider's dialect.
pub fn request(from: Dialect, to: Dialect, body: &[u8], target: &Target<'_>) -> Result<Outgoing, BadRequest> {
    let mut dropped = Dropped::default();
    let mut request = match from {
        Dialect::OpenAiChat => openai_chat::read_request(body, &mut dropped)?,
        Dialect::AnthropicMessages => anthropic_messages::read_request(body, &mut dropped)?,
        Dialect::GeminiGenerate => gemini_generate::read_request(body, &mut dropped)?,
        Dialect::OpenAiResponses => openai_responses::read_request(body, &mut dropped)?,
        _ => return Err(unsupported(from, to)),
    };
    tools::check_results(&request, from)?;
    let renamed = tools::rename(&mut request, to);
    let mut writing = Writing { from, target, dropped: &mut dropped };
    model::suit(&mut request, &mut writing);
    let (path, body) = match to {
        Dialect::OpenAiChat => openai_chat::write_request(&request, &mut writing)?,
        Dialect::AnthropicMessages => anthropic_messages::write_request(&request, &mut writing)?,
        Dialect::GeminiGenerate => gemini_generate::write_request(&request, &mut writing)?,
        Dialect::OpenAiResponses => openai_responses::write_request(&request, &mut writing)?,
        Dialect::BedrockConverse => bedrock_converse::write_request(&request, &mut writing)?,
        Dialect::CohereChat => cohere_chat::write_request(&request, &mut writing)?,
        Dialect::OpenAiEmbeddings => return Err(unsupported(from, to)),
    };
    Ok(Outgoing {
        body,
        path,
        dropped: dropped.into_names(),
        context: Context {
            from,
            to,
            include_usage: request.include_usage,
            stream: target.stream,
            model: target.model.to_owned(),
            request_id: target.request_id.to_owned(),
            now: target.now,
            tools: renamed,
        },
    })
}

/// Translates a provider's complete answer into the client's dialect; a refusal becomes the client's kind of refusal.
pub fn response(context: &Context, status: u16, body: &[u8]) -> Result<Incoming, BadAnswer> {
    if status >= 400 {
        return Ok(Incoming { body: error(context.from, context.to, status, body), dropped: Vec::new() });
    }
    let mut dropped = Dropped::default();
    let mut answer = match context.to {
        Dialect::OpenAiChat => openai_chat::read_answer(body, &mut dropped)?,
        Dialect::AnthropicMessages => anthropic_messages::read_answer(body, &mut dropped)?,
        Dialect::GeminiGenerate => gemini_generate::read_answer(body, &mut dropped)?,
        Dialect::OpenAiResponses => openai_responses::read_answer(body, &mut dropped)?,
        Dialect::BedrockConverse => bedrock_converse::read_answer(body, &mut dropped)?,
        Dialect::CohereChat => cohere_chat::read_answer(body, &mut dropped)?,
        other => {
            return Err(BadAnswer::new(format!("{} answers are not translated", other.name())));
        }
    };
    if answer.choices.is_empty() {
        return Err(BadAnswer::new("the provider's answer holds no choice"));
    }
    context.tools.restore(&mut answer);
    let body = match context.from {
        Dialect::OpenAiChat => openai_chat::write_answer(&answer, context, &mut dropped),
        Dialect::AnthropicMessages => anthropic_messages::write_answer(&answer, context, &mut dropped),
        Dialect::GeminiGenerate => gemini_generate::write_answer(&answer, context, &mut dropped),
        Dialect::OpenAiResponses => openai_responses::write_answer(&answer, context, &mut dropped),
        other => return Err(BadAnswer::new(format!("{} clients are not served", other.name()))),
    };
    Ok(Incoming { body, dropped: dropped.into_names() })
}

/// A provider's refusal in the client's dialect, with its message, type and code kept.
pub fn error(to_client: Dialect, from_provider: Dialect, status: u16, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    error::Failure::read(from_provider, status, body).write(to_client, &mut out);
    out
}

/// What a writer of requests works with.
#[derive(Debug)]
struct Writing<'w> {
    from: Dialect,
    target: &'w Target<'w>,
    dropped: &'w mut Dropped,
}

impl Writing<'_> {
    fn drop(&mut self, field: dropped::Field) {
        self.dropped.add(field.name(self.from));
    }
}

impl BadRequest {
    fn body(error: &serde_json::Error) -> Self {
        Self { path: String::new(), message: format!("the body is not valid JSON: {error}") }
    }
}

impl BadAnswer {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

fn unsupported(from: Dialect, to: Dialect) -> BadRequest {
    BadRequest {
        path: String::new(),
        message: format!("a {} request cannot be sent to a {} endpoint", from.name(), to.name()),
    }
}
