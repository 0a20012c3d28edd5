//! Gemini generateContent, at AI Studio and on Vertex.
//!
//! Signatures of other families of models travel in `thoughtSignature` as base64, which Google's SDKs insist on, of
//! the signature with the family's name in front.

mod answer;
mod read;
mod read_options;
mod schema;
mod stream;
mod write;
mod write_options;

pub(super) use answer::{read_answer, write_answer};
pub(super) use read::read_request;
pub(super) use stream::{StreamReader, StreamWriter};
pub(super) use write::write_request;

use std::borrow::Cow;

use serde::Deserialize;

use super::conversation::{
    Citation, Family, Signature, Stop, foreign_signature, read_redacted, redacted_text, signature_text,
};
use super::json::{self, Object, Text};
use super::media::{base64_of_text, text_of_base64};
use crate::Usage;

/// The family whose signatures stand here as they are.
const HOME: Family = Family::Google;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct UsageBody {
    prompt_token_count: u64,
    tool_use_prompt_token_count: u64,
    cached_content_token_count: u64,
    candidates_token_count: u64,
    thoughts_token_count: u64,
}

impl UsageBody {
    /// The prompt includes what was cached; thoughts are counted beside the candidates.
    fn usage(&self) -> Usage {
        let prompt = self.prompt_token_count + self.tool_use_prompt_token_count;
        Usage {
            input: prompt.saturating_sub(self.cached_content_token_count),
            cache_read: self.cached_content_token_count,
            output: self.candidates_token_count + self.thoughts_token_count,
            reasoning: self.thoughts_token_count,
            ..Usage::default()
        }
    }
}

fn write_usage(object: &mut Object<'_>, usage: &Usage) {
    object.integer("promptTokenCount", usage.tokens_in());
    if usage.cache_read > 0 {
        object.integer("cachedContentTokenCount", usage.cache_read);
    }
    object.integer("candidatesTokenCount", usage.output.saturating_sub(usage.reasoning));
    if usage.reasoning > 0 {
        object.integer("thoughtsTokenCount", usage.reasoning);
    }
    object.integer("totalTokenCount", usage.tokens_in() + usage.output);
}

/// Why the model stopped, or what to say of a reason that stands for failure.
fn stop_of(reason: &str, message: Option<&str>, called_tools: bool) -> Result<Stop<'static>, String> {
    Ok(match reason {
        "STOP" if called_tools => Stop::ToolUse,
        "STOP" => Stop::End,
        "MAX_TOKENS" => Stop::MaxTokens,
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "MODEL_ARMOR"
        | "ESCALATION"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => match message {
            Some(message) => Stop::Refusal(Some(Cow::Owned(message.to_owned()))),
            None => Stop::Filtered,
        },
        other => {
            let detail = message.map(|message| format!(": {message}")).unwrap_or_default();
            return Err(format!("the provider broke the answer off with {other}{detail}"));
        }
    })
}

fn reason_of(stop: &Stop<'_>) -> &'static str {
    match stop {
        Stop::End | Stop::ToolUse | Stop::Sequence(_) | Stop::Pause => "STOP",
        Stop::MaxTokens | Stop::ContextWindow => "MAX_TOKENS",
        Stop::Refusal(_) | Stop::Filtered => "SAFETY",
    }
}

fn write_stop(object: &mut Object<'_>, stop: &Stop<'_>) {
    object.string("finishReason", reason_of(stop));
    if let Stop::Refusal(Some(explanation)) = stop {
        object.string("finishMessage", explanation);
    }
}

/// What a `thoughtSignature` holds.
enum Carried<'a> {
    Signature(Signature<'a>),
    Redacted(Signature<'a>),
}

fn read_signature(data: Cow<'_, str>) -> Carried<'_> {
    if let Some(text) = text_of_base64(&data) {
        if let Some(data) = read_redacted(&text) {
            return Carried::Redacted(data);
        }
        if let Some((family, rest)) = foreign_signature(&text) {
            return Carried::Signature(Signature { family, data: Cow::Owned(rest.to_owned()) });
        }
    }
    Carried::Signature(Signature { family: HOME, data })
}

fn write_signature(family: Family, data: &str) -> Cow<'_, str> {
    match signature_text(HOME, family, data) {
        Cow::Borrowed(home) => Cow::Borrowed(home),
        Cow::Owned(foreign) => Cow::Owned(base64_of_text(&foreign)),
    }
}

fn write_redacted(family: Family, data: &str) -> String {
    base64_of_text(&redacted_text(family, data))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Grounding<'a> {
    #[serde(borrow, default)]
    grounding_chunks: Vec<GroundingChunk<'a>>,
    #[serde(borrow, default)]
    grounding_supports: Vec<GroundingSupport<'a>>,
}

#[derive(Debug, Deserialize)]
struct GroundingChunk<'a> {
    #[serde(borrow)]
    web: Option<Web<'a>>,
}

#[derive(Debug, Deserialize)]
struct Web<'a> {
    #[serde(borrow)]
    uri: Option<Text<'a>>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroundingSupport<'a> {
    #[serde(borrow)]
    segment: Option<Segment<'a>>,
    #[serde(default)]
    grounding_chunk_indices: Vec<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Segment<'a> {
    #[serde(default)]
    start_index: usize,
    end_index: Option<usize>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

impl<'a> Grounding<'a> {
    /// Google counts bytes of the answer's text, everyone else characters.
    fn citations(self, text: &str) -> Vec<Citation<'a>> {
        let characters = |bytes: usize| Some(text.get(..bytes)?.chars().count() as u64);
        let mut citations = Vec::new();
        for support in &self.grounding_supports {
            for chunk in &support.grounding_chunk_indices {
                let Some(web) = self.grounding_chunks.get(*chunk).and_then(|chunk| chunk.web.as_ref()) else {
                    continue;
                };
                let Some(uri) = &web.uri else { continue };
                let segment = support.segment.as_ref();
                let range = segment
                    .and_then(|segment| characters(segment.start_index).zip(characters(segment.end_index?)));
                citations.push(Citation {
                    url: uri.0.clone(),
                    title: web.title.as_ref().map(|title| title.0.clone()),
                    cited: segment.and_then(|segment| segment.text.as_ref()).map(|text| text.0.clone()),
                    range,
                });
            }
        }
        citations
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogprobsBody<'a> {
    #[serde(borrow, default)]
    chosen_candidates: Vec<Candidate<'a>>,
    #[serde(borrow, default)]
    top_candidates: Vec<TopCandidates<'a>>,
}

#[derive(Debug, Deserialize)]
struct TopCandidates<'a> {
    #[serde(borrow, default)]
    candidates: Vec<Candidate<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    #[serde(borrow, default)]
    token: Text<'a>,
    #[serde(default)]
    log_probability: f64,
}

impl LogprobsBody<'_> {
    /// As OpenAI's array of tokens.
    fn openai(&self) -> String {
        let mut out = Vec::new();
        let token = |object: &mut Object<'_>, candidate: &Candidate<'_>| {
            object.string("token", &candidate.token);
            object.raw("logprob", &candidate.log_probability.to_string());
            object.array("bytes", |list| {
                candidate.token.bytes().for_each(|byte| json::integer(list.next(), u64::from(byte)));
            });
        };
        json::array(&mut out, |list| {
            for (at, chosen) in self.chosen_candidates.iter().enumerate() {
                list.object(|object| {
                    token(object, chosen);
                    object.array("top_logprobs", |tops| {
                        for top in self.top_candidates.get(at).into_iter().flat_map(|tops| &tops.candidates) {
                            tops.object(|object| token(object, top));
                        }
                    });
                });
            }
        });
        json::into_text(out)
    }
}
