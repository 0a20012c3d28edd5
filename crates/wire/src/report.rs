//! What an answer says about itself: usage, model, finish, error. Read from a tee, never on the answer's way.
//!
//! * this file: [`Report`] and reading it from a JSON body
//! * [`stream`]: reading it from a stream, event by event but only where it can matter
//! * `needles`: which events can matter, told from raw bytes
//! * `openai`, `anthropic`, `gemini`, `bedrock`, `cohere`: where each dialect says what
//! * [`realtime`]: reading it from the messages of a realtime session
//! * `quick`: usage and model of a plain answer, without parsing the rest
//! * `error`: the message in an error body of any dialect
//! * `elements`, `base64`: framing that Gemini's array streams and Bedrock's raw invocation need

mod anthropic;
mod base64;
mod bedrock;
mod cohere;
mod elements;
mod error;
mod gemini;
mod needles;
mod openai;
mod quick;
pub mod realtime;
pub mod stream;

use serde_json::value::RawValue;

pub use self::error::error_message;
pub use self::stream::StreamReader;
use crate::json::{List, Text, read};
use crate::{Dialect, Usage};

/// Longer usage objects are counted but not kept.
const RAW_USAGE_LIMIT: usize = 4 * 1024;

/// What an answer says about itself. Everything is optional: an answer may be cut short, or be no answer at all.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// What the call used, if the provider said so.
    pub usage: Option<Usage>,
    /// The provider's usage object as it came, at most 4 KiB. An Anthropic stream reports usage at its start and
    /// at its end; those two are kept as a JSON array, each as it came. [`usage_of_raw`] reads it again.
    pub raw_usage: Option<String>,
    /// The model that answered, in the provider's words.
    pub model: Option<String>,
    /// What the provider gave as the cause of a failure, at most 500 characters.
    pub error: Option<String>,
    /// The answer is whole: a JSON body parsed, or the stream came to its dialect's terminal event.
    pub ended: bool,
    /// Why the model stopped, in the provider's words.
    pub finish_reason: Option<String>,
}

/// Reads a whole JSON answer, successful or not. A body that is not JSON gives an empty report.
pub fn read_json(dialect: Dialect, body: &[u8]) -> Report {
    let mut facts = Facts::new(dialect);
    facts.body(body);
    facts.report
}

/// Usage and model of a successful JSON answer, at a fraction of [`read_json`]'s cost where the body is plain; else all
/// that [`read_json`] finds. Only `finish_reason` may be missing.
pub fn read_answer(dialect: Dialect, body: &[u8]) -> Report {
    quick::read(dialect, body).unwrap_or_else(|| read_json(dialect, body))
}

/// Reads [`Report::raw_usage`] again, so that a stored receipt can be checked.
pub fn usage_of_raw(dialect: Dialect, raw: &str) -> Option<Usage> {
    let mut facts = Facts::new(dialect);
    match read::<List<&RawValue>>(raw.as_bytes())? {
        List(objects) if objects.is_empty() => facts.usage(serde_json::from_str(raw).ok()),
        List(objects) => objects.into_iter().for_each(|object| facts.usage(Some(object))),
    }
    facts.report.usage
}

/// A report in the making.
#[derive(Clone, Debug)]
struct Facts {
    dialect: Dialect,
    report: Report,
    /// Anthropic's counts come in two events and are merged here.
    anthropic: anthropic::Counts,
    /// The usage object of Anthropic's first event.
    raw_start: Option<String>,
}

impl Facts {
    fn new(dialect: Dialect) -> Self {
        Self { dialect, report: Report::default(), anthropic: anthropic::Counts::default(), raw_start: None }
    }

    /// Takes in a whole JSON answer.
    fn body(&mut self, body: &[u8]) {
        let parsed = match self.dialect {
            Dialect::AnthropicMessages => anthropic::body(self, body),
            Dialect::BedrockConverse => bedrock::body(self, body),
            Dialect::CohereChat => cohere::body(self, body),
            Dialect::GeminiGenerate => gemini::body(self, body),
            Dialect::OpenAiChat | Dialect::OpenAiEmbeddings => openai::chat(self, body),
            Dialect::OpenAiResponses => openai::response(self, body),
        };
        self.report.ended = parsed.is_some();
        let Report { usage, finish_reason, .. } = &self.report;
        if usage.is_none() && finish_reason.is_none() {
            // Proxies on the way have error bodies of their own.
            self.error(error_message(body));
        }
    }

    /// Takes in the data of one event of a stream.
    fn event(&mut self, data: &[u8]) {
        match self.dialect {
            Dialect::AnthropicMessages => anthropic::event(self, data),
            Dialect::CohereChat => cohere::event(self, data),
            Dialect::GeminiGenerate => gemini::event(self, data),
            Dialect::OpenAiChat => openai::chat_event(self, data),
            Dialect::OpenAiResponses => openai::response_event(self, data),
            // These have no server-sent events; whatever came, it may still be an error.
            Dialect::BedrockConverse | Dialect::OpenAiEmbeddings => self.body(data),
        }
    }

    /// Takes in a usage object. Of several the last one counts; Anthropic's are merged.
    fn usage(&mut self, raw: Option<&RawValue>) {
        let Some(raw) = raw else { return };
        let text = raw.get();
        let usage = match self.dialect {
            Dialect::AnthropicMessages => self.anthropic.merge(text),
            Dialect::BedrockConverse => bedrock::usage(text),
            Dialect::CohereChat => cohere::usage(text),
            Dialect::GeminiGenerate => gemini::usage(text),
            Dialect::OpenAiChat | Dialect::OpenAiEmbeddings | Dialect::OpenAiResponses => {
                openai::usage(self.dialect, text)
            }
        };
        if usage.is_none() {
            return;
        }
        self.report.usage = usage;
        let kept = self.report.raw_usage.get_or_insert_default();
        kept.clear();
        match &self.raw_start {
            Some(start) => kept.extend(["[", start, ",", text, "]"]),
            None => kept.push_str(text),
        }
        if kept.len() > RAW_USAGE_LIMIT {
            self.report.raw_usage = None;
        }
    }

    fn model(&mut self, model: &Text<'_>) {
        if self.report.model.is_none() {
            self.report.model = model.as_deref().map(str::to_owned);
        }
    }

    fn finish(&mut self, reason: &Text<'_>) {
        if let Some(reason) = reason.as_deref() {
            let kept = self.report.finish_reason.get_or_insert_default();
            kept.clear();
            kept.push_str(reason);
        }
    }

    fn error(&mut self, message: Option<String>) {
        if self.report.error.is_none() {
            self.report.error = message;
        }
    }
}
