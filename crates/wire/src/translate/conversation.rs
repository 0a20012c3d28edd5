//! The neutral form between two dialects: what a request, an answer and a stream of events mean, whoever said it.
//!
//! Text borrows from the body it was read from. Tool arguments and schemas are JSON text nobody here looks into.

use std::borrow::Cow;

use serde_json::Number;

use super::error::Failure;
use crate::Usage;

/// A request to go on with a conversation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request<'a> {
    /// Instructions that precede the conversation: text parts only.
    pub(crate) system: Vec<Part<'a>>,
    pub(crate) messages: Vec<Message<'a>>,
    pub(crate) tools: Vec<Tool<'a>>,
    pub(crate) tool_choice: Option<ToolChoice<'a>>,
    /// Whether several tools may be called in one answer.
    pub(crate) parallel_tools: Option<bool>,
    pub(crate) sampling: Sampling<'a>,
    /// Most output tokens, reasoning included.
    pub(crate) max_output: Option<u64>,
    pub(crate) stop: Vec<Cow<'a, str>>,
    pub(crate) format: Option<Format<'a>>,
    pub(crate) reasoning: Option<Reasoning>,
    /// The end user, for abuse tracking.
    pub(crate) user: Option<Cow<'a, str>>,
    /// The service tier in OpenAI's words.
    pub(crate) service_tier: Option<Cow<'a, str>>,
    /// Chat's `stream_options.include_usage`.
    pub(crate) include_usage: bool,
    /// Fields only OpenAI's dialects know, by name, as JSON text.
    pub(crate) openai: Vec<(&'static str, Cow<'a, str>)>,
    /// A cache marker for the request as a whole.
    pub(crate) cache: Option<Cache>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Sampling<'a> {
    pub(crate) temperature: Option<Number>,
    pub(crate) top_p: Option<Number>,
    pub(crate) top_k: Option<Number>,
    pub(crate) frequency_penalty: Option<Number>,
    pub(crate) presence_penalty: Option<Number>,
    pub(crate) seed: Option<Number>,
    /// How many answers; absent means one.
    pub(crate) n: Option<u64>,
    pub(crate) logprobs: bool,
    pub(crate) top_logprobs: Option<u64>,
    /// Token ids of the provider's own tokenizer: JSON text.
    pub(crate) logit_bias: Option<Cow<'a, str>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message<'a> {
    pub(crate) role: Role,
    pub(crate) parts: Vec<Part<'a>>,
    /// Which message of the caller's body this came from, for error paths.
    pub(crate) origin: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    User,
    Assistant,
    /// Instructions in the middle of the conversation.
    System,
}

/// One piece of a message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part<'a> {
    Text {
        text: Cow<'a, str>,
        citations: Vec<Citation<'a>>,
        cache: Option<Cache>,
        signature: Option<Cow<'a, str>>,
    },
    Refusal(Cow<'a, str>),
    Image {
        source: Source<'a>,
        /// OpenAI's `low`, `high`, `auto`.
        detail: Option<Cow<'a, str>>,
        cache: Option<Cache>,
    },
    Document {
        source: Source<'a>,
        title: Option<Cow<'a, str>>,
        context: Option<Cow<'a, str>>,
        citations: bool,
        cache: Option<Cache>,
    },
    Audio {
        media_type: Cow<'a, str>,
        data: Cow<'a, str>,
    },
    Thinking {
        text: Cow<'a, str>,
        signature: Option<Signature<'a>>,
    },
    /// Thinking the provider shows to nobody; `data` goes back as it came.
    Redacted(Signature<'a>),
    ToolCall(ToolCall<'a>),
    ToolResult {
        id: Cow<'a, str>,
        content: Vec<Part<'a>>,
        is_error: bool,
        cache: Option<Cache>,
    },
}

impl<'a> Part<'a> {
    pub(crate) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Part::Text { text: text.into(), citations: Vec::new(), cache: None, signature: None }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ToolCall<'a> {
    pub(crate) id: Cow<'a, str>,
    pub(crate) name: Cow<'a, str>,
    /// One complete JSON object, as text; `{}` for a tool without arguments.
    pub(crate) arguments: Cow<'a, str>,
    pub(crate) cache: Option<Cache>,
    /// Gemini's thought signature, which sits on the call itself.
    pub(crate) signature: Option<Cow<'a, str>>,
}

/// Where the bytes of an image or a document are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source<'a> {
    Base64 {
        media_type: Cow<'a, str>,
        data: Cow<'a, str>,
    },
    Url(Cow<'a, str>),
    /// An id in the provider's own file store.
    File(Cow<'a, str>),
    PlainText(Cow<'a, str>),
}

/// An opaque proof over thinking, good only with the family of models that made it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Signature<'a> {
    pub(crate) family: Family,
    pub(crate) data: Cow<'a, str>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Family {
    Anthropic,
    Google,
    OpenAi,
}

impl Family {
    fn prefix(self) -> &'static str {
        match self {
            Family::Anthropic => "anthropic#",
            Family::Google => "google#",
            Family::OpenAi => "openai#",
        }
    }
}

/// Marks data of thinking that nobody may read, in dialects that have no such thing.
const REDACTED: &str = "redacted!";

/// The family and the rest of a signature that names another family than its field's.
pub(crate) fn foreign_signature(data: &str) -> Option<(Family, &str)> {
    [Family::Anthropic, Family::Google, Family::OpenAi]
        .into_iter()
        .find_map(|family| Some((family, data.strip_prefix(family.prefix())?)))
}

impl<'a> Signature<'a> {
    /// Reads a signature out of a field that belongs to `home`: another family's carries its name in front.
    pub(crate) fn read(home: Family, data: Cow<'a, str>) -> Self {
        match foreign_signature(&data) {
            Some((family, rest)) => Self { family, data: Cow::Owned(rest.to_owned()) },
            None => Self { family: home, data },
        }
    }

    /// The text for a field that belongs to `home`.
    pub(crate) fn text(&self, home: Family) -> Cow<'_, str> {
        signature_text(home, self.family, &self.data)
    }
}

/// The text that brings redacted thinking back out of a field made for signatures.
pub(crate) fn redacted_text(family: Family, data: &str) -> String {
    format!("{REDACTED}{}{data}", family.prefix())
}

/// The redacted thinking in a field made for signatures, if that is what it holds.
pub(crate) fn read_redacted(text: &str) -> Option<Signature<'static>> {
    let (family, data) = text.strip_prefix(REDACTED).and_then(foreign_signature)?;
    Some(Signature { family, data: Cow::Owned(data.to_owned()) })
}

/// What a field of `home` holds to bring `data` of `family` back unharmed.
pub(crate) fn signature_text(home: Family, family: Family, data: &str) -> Cow<'_, str> {
    if family == home { Cow::Borrowed(data) } else { Cow::Owned(format!("{}{data}", family.prefix())) }
}

/// A prompt-cache marker: everything up to here may be cached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Cache {
    /// Kept for an hour rather than five minutes.
    pub(crate) hour: bool,
}

/// Where a statement in the answer comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Citation<'a> {
    pub(crate) url: Cow<'a, str>,
    pub(crate) title: Option<Cow<'a, str>>,
    pub(crate) cited: Option<Cow<'a, str>>,
    /// Characters of the text part it supports; the whole part if absent.
    pub(crate) range: Option<(u64, u64)>,
}

impl Citation<'_> {
    pub(crate) fn into_owned(self) -> Citation<'static> {
        let owned = |text: Option<Cow<'_, str>>| text.map(|text| Cow::Owned(text.into_owned()));
        Citation {
            url: Cow::Owned(self.url.into_owned()),
            title: owned(self.title),
            cited: owned(self.cited),
            range: self.range,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Tool<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) description: Option<Cow<'a, str>>,
    /// JSON Schema of the arguments, as text; absent means no arguments.
    pub(crate) schema: Option<Cow<'a, str>>,
    pub(crate) strict: Option<bool>,
    pub(crate) cache: Option<Cache>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ToolChoice<'a> {
    Auto,
    None,
    /// Some tool must be called.
    Required,
    Named(Cow<'a, str>),
    /// One of these, and whether one must be called.
    Allowed {
        names: Vec<Cow<'a, str>>,
        required: bool,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum Format<'a> {
    /// Any JSON object.
    Json,
    Schema {
        name: Option<Cow<'a, str>>,
        description: Option<Cow<'a, str>>,
        schema: Cow<'a, str>,
        strict: Option<bool>,
    },
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Reasoning {
    pub(crate) effort: Option<Effort>,
    /// Most tokens to spend on thinking.
    pub(crate) budget: Option<u64>,
    /// The model decides how much to think.
    pub(crate) adaptive: bool,
    /// Whether the thinking (or its summary) is wanted in the answer.
    pub(crate) show: Option<bool>,
}

/// How hard to think, in OpenAI's steps.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    ExtraHigh,
    Max,
}

impl Effort {
    const NAMES: [(&'static str, Effort); 7] = [
        ("none", Effort::None),
        ("minimal", Effort::Minimal),
        ("low", Effort::Low),
        ("medium", Effort::Medium),
        ("high", Effort::High),
        ("xhigh", Effort::ExtraHigh),
        ("max", Effort::Max),
    ];

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, effort)| *effort)
    }

    pub(crate) fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }

    /// Tokens of thinking this effort is worth where a provider wants a number.
    pub(crate) fn budget(self) -> u64 {
        match self {
            Effort::None => 0,
            Effort::Minimal => 1_024,
            Effort::Low => 4_096,
            Effort::Medium => 10_240,
            Effort::High => 24_576,
            Effort::ExtraHigh => 32_768,
            Effort::Max => 49_152,
        }
    }

    /// The step nearest to a number of tokens; never `minimal`, which several models refuse.
    pub(crate) fn of_budget(tokens: u64) -> Self {
        match tokens {
            0 => Effort::None,
            1..=6_000 => Effort::Low,
            6_001..=16_000 => Effort::Medium,
            _ => Effort::High,
        }
    }
}

/// A complete answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer<'a> {
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) model: Option<Cow<'a, str>>,
    /// Unix seconds.
    pub(crate) created: Option<u64>,
    pub(crate) choices: Vec<Choice<'a>>,
    pub(crate) usage: Option<Usage>,
    /// In OpenAI's words.
    pub(crate) service_tier: Option<Cow<'a, str>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Choice<'a> {
    pub(crate) parts: Vec<Part<'a>>,
    pub(crate) stop: Stop<'a>,
    /// OpenAI's array of token log probabilities, as JSON text.
    pub(crate) logprobs: Option<Cow<'a, str>>,
}

/// Why the model stopped.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stop<'a> {
    End,
    MaxTokens,
    /// The stop sequence that was hit, if the provider says.
    Sequence(Option<Cow<'a, str>>),
    ToolUse,
    /// The model declined, with its explanation if it gave one.
    Refusal(Option<Cow<'a, str>>),
    /// A filter outside the model withheld or cut the answer.
    Filtered,
    /// A long turn of server tools paused; send it back to go on.
    Pause,
    ContextWindow,
}

impl Stop<'_> {
    pub(crate) fn into_owned(self) -> Stop<'static> {
        let owned = |text: Option<Cow<'_, str>>| text.map(|text| Cow::Owned(text.into_owned()));
        match self {
            Stop::Sequence(sequence) => Stop::Sequence(owned(sequence)),
            Stop::Refusal(explanation) => Stop::Refusal(owned(explanation)),
            Stop::End => Stop::End,
            Stop::MaxTokens => Stop::MaxTokens,
            Stop::ToolUse => Stop::ToolUse,
            Stop::Filtered => Stop::Filtered,
            Stop::Pause => Stop::Pause,
            Stop::ContextWindow => Stop::ContextWindow,
        }
    }
}

/// One step of a streamed answer. Blocks are numbered from zero in the order they open, and only one is open at a time.
#[derive(Clone, Debug)]
pub(crate) enum Event<'a> {
    Start(Start<'a>),
    Open(Open<'a>),
    /// More of the open block: text, thinking, refusal or tool arguments.
    Delta(&'a str),
    /// The signature over the open thinking block, or over the open text block.
    Sign(Family, &'a str),
    Cite(Citation<'a>),
    /// Log probabilities of the tokens of the next text delta: OpenAI's array as JSON text.
    Logprobs(&'a str),
    Close,
    Stop(Stop<'a>),
    /// Usage so far; replaces what was said before.
    Usage(Usage),
    ServiceTier(&'a str),
    /// The provider said that it is finished.
    End,
    Fail(Failure),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Start<'a> {
    pub(crate) id: Option<&'a str>,
    pub(crate) model: Option<&'a str>,
    pub(crate) created: Option<u64>,
    pub(crate) usage: Option<Usage>,
}

/// A block that begins.
#[derive(Clone, Debug)]
pub(crate) enum Open<'a> {
    Text,
    Refusal,
    Thinking,
    Redacted(Family, &'a str),
    Tool { id: &'a str, name: &'a str, signature: Option<&'a str> },
}
