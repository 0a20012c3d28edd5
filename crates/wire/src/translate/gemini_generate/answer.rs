//! Complete generateContent answers; a stream's chunks have the same shape.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::translate::conversation::{Answer, Choice, Citation, Part, Stop, ToolCall};
use crate::translate::json::{self, Array, Object, Text};
use crate::translate::{BadAnswer, Context, Dropped};

use super::{
    Carried, Grounding, LogprobsBody, UsageBody, read_signature, stop_of, write_redacted, write_signature,
    write_stop, write_usage,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Generated<'a> {
    #[serde(borrow)]
    pub(super) candidates: Option<Vec<Candidate<'a>>>,
    #[serde(borrow)]
    pub(super) prompt_feedback: Option<PromptFeedback<'a>>,
    pub(super) usage_metadata: Option<UsageBody>,
    #[serde(borrow)]
    pub(super) model_version: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) response_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate<'a> {
    pub(super) index: Option<u64>,
    #[serde(borrow)]
    pub(super) content: Option<Content<'a>>,
    #[serde(borrow)]
    pub(super) finish_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) finish_message: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) grounding_metadata: Option<Grounding<'a>>,
    #[serde(borrow)]
    pub(super) logprobs_result: Option<LogprobsBody<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Content<'a> {
    #[serde(borrow)]
    pub(super) parts: Option<Vec<PartBody<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PartBody<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(default)]
    pub(super) thought: bool,
    #[serde(borrow)]
    pub(super) thought_signature: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) function_call: Option<FunctionCall<'a>>,
    #[serde(borrow)]
    pub(super) inline_data: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) executable_code: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) code_execution_result: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct FunctionCall<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) args: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PromptFeedback<'a> {
    #[serde(borrow)]
    pub(super) block_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) block_reason_message: Option<Text<'a>>,
}

impl PromptFeedback<'_> {
    /// The refusal a blocked prompt amounts to.
    pub(super) fn stop(&self) -> Option<Stop<'static>> {
        let reason = self.block_reason.as_deref()?;
        let message = self.block_reason_message.as_deref().map(str::to_owned);
        let message = message.unwrap_or_else(|| format!("the prompt was blocked: {reason}"));
        Some(Stop::Refusal(Some(Cow::Owned(message))))
    }
}

impl PartBody<'_> {
    /// What the part holds that no other dialect has.
    pub(super) fn unknown(&self) -> Option<&'static str> {
        [
            (self.inline_data.is_some(), "content.parts[].inlineData"),
            (self.executable_code.is_some(), "content.parts[].executableCode"),
            (self.code_execution_result.is_some(), "content.parts[].codeExecutionResult"),
        ]
        .into_iter()
        .find_map(|(there, name)| there.then_some(name))
    }
}

/// The id of a call that came without one, made from the answer's own.
pub(super) fn call_id(answer: Option<&str>, place: usize) -> String {
    format!("call_{}_{place}", answer.unwrap_or("0"))
}

pub(in crate::translate) fn read_answer<'a>(
    body: &'a [u8],
    dropped: &mut Dropped,
) -> Result<Answer<'a>, BadAnswer> {
    let generated: Generated<'a> = serde_json::from_slice(body)
        .map_err(|error| BadAnswer::new(format!("the provider's answer is not Gemini content: {error}")))?;
    let id = generated.response_id.map(|id| id.0);
    let mut choices = Vec::new();
    let mut calls = 0;
    for candidate in generated.candidates.unwrap_or_default() {
        let mut parts = Vec::new();
        let mut text = String::new();
        for part in candidate.content.and_then(|content| content.parts).unwrap_or_default() {
            if let Some(name) = part.unknown() {
                dropped.add(name);
            }
            read_part(part, id.as_deref(), &mut calls, &mut text, &mut parts);
        }
        if let Some(grounding) = candidate.grounding_metadata {
            cite(&mut parts, grounding.citations(&text));
        }
        let called = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
        let reason = candidate.finish_reason.unwrap_or_default();
        let stop = stop_of(&reason, candidate.finish_message.as_deref(), called).map_err(BadAnswer::new)?;
        let logprobs = candidate.logprobs_result.map(|logprobs| Cow::Owned(logprobs.openai()));
        choices.push(Choice { parts, stop, logprobs });
    }
    if let (true, Some(stop)) =
        (choices.is_empty(), generated.prompt_feedback.and_then(|feedback| feedback.stop()))
    {
        choices.push(Choice { parts: Vec::new(), stop, logprobs: None });
    }
    Ok(Answer {
        id,
        model: generated.model_version.map(|model| model.0),
        created: None,
        choices,
        usage: generated.usage_metadata.as_ref().map(UsageBody::usage),
        service_tier: None,
    })
}

fn read_part<'a>(
    part: PartBody<'a>,
    answer: Option<&str>,
    calls: &mut usize,
    all_text: &mut String,
    parts: &mut Vec<Part<'a>>,
) {
    let signature = part.thought_signature.map(|data| data.0);
    if let Some(call) = part.function_call {
        let place = *calls;
        *calls += 1;
        parts.push(Part::ToolCall(ToolCall {
            id: call.id.map(|id| id.0).unwrap_or_else(|| Cow::Owned(call_id(answer, place))),
            name: call.name.0,
            arguments: Cow::Borrowed(call.args.map_or("{}", RawValue::get)),
            cache: None,
            signature,
        }));
        return;
    }
    let Some(text) = part.text.map(|text| text.0) else {
        return;
    };
    if part.thought {
        let mut carried = None;
        match signature.map(read_signature) {
            Some(Carried::Redacted(data)) => return parts.push(Part::Redacted(data)),
            Some(Carried::Signature(signature)) => carried = Some(signature),
            None => {}
        }
        // Thoughts come in several parts; only a signature ends one.
        match parts.last_mut() {
            Some(Part::Thinking { text: before, signature: slot @ None }) => {
                before.to_mut().push_str(&text);
                *slot = carried;
            }
            _ => parts.push(Part::Thinking { text, signature: carried }),
        }
        return;
    }
    all_text.push_str(&text);
    match parts.last_mut() {
        Some(Part::Text { text: before, signature: slot, .. }) => {
            before.to_mut().push_str(&text);
            *slot = signature.or(slot.take());
        }
        _ if text.is_empty() && signature.is_none() => {}
        _ => parts.push(Part::Text { text, citations: Vec::new(), cache: None, signature }),
    }
}

fn cite<'a>(parts: &mut [Part<'a>], found: Vec<Citation<'a>>) {
    if let Some(Part::Text { citations, .. }) =
        parts.iter_mut().find(|part| matches!(part, Part::Text { .. }))
    {
        *citations = found;
    }
}

pub(in crate::translate) fn write_answer(
    answer: &Answer<'_>,
    context: &Context,
    dropped: &mut Dropped,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    json::object(&mut out, |body| {
        body.array("candidates", |list| {
            for (index, choice) in answer.choices.iter().enumerate() {
                list.object(|candidate| {
                    candidate.object("content", |content| {
                        content.array("parts", |list| {
                            choice.parts.iter().for_each(|part| write_part(list, part, dropped));
                        });
                        content.string("role", "model");
                    });
                    write_stop(candidate, &choice.stop);
                    candidate.integer("index", index as u64);
                    write_grounding(candidate, choice);
                });
                if choice.logprobs.is_some() {
                    dropped.add("choices[].logprobs");
                }
            }
        });
        if let Some(usage) = &answer.usage {
            body.object("usageMetadata", |object| write_usage(object, usage));
        }
        body.string("modelVersion", answer.model.as_deref().unwrap_or(&context.model));
        body.string("responseId", answer.id.as_deref().unwrap_or(&context.request_id));
    });
    out
}

fn write_part(list: &mut Array<'_>, part: &Part<'_>, dropped: &mut Dropped) {
    match part {
        Part::Text { text, signature, .. } => list.object(|item| {
            item.string("text", text);
            item.string_if("thoughtSignature", signature.as_deref());
        }),
        Part::Refusal(text) => list.object(|item| item.string("text", text)),
        Part::Thinking { text, signature } => list.object(|item| {
            item.string("text", text);
            item.bool("thought", true);
            let signature =
                signature.as_ref().map(|signature| write_signature(signature.family, &signature.data));
            item.string_if("thoughtSignature", signature.as_deref());
        }),
        Part::Redacted(data) => list.object(|item| {
            item.string("text", "");
            item.bool("thought", true);
            item.string("thoughtSignature", &write_redacted(data.family, &data.data));
        }),
        Part::ToolCall(call) => list.object(|item| {
            write_call(item, &call.id, &call.name, &call.arguments, call.signature.as_deref());
        }),
        Part::Image { .. } | Part::Document { .. } | Part::Audio { .. } | Part::ToolResult { .. } => {
            dropped.add("content[].image");
        }
    }
}

pub(super) fn write_call(
    item: &mut Object<'_>,
    id: &str,
    name: &str,
    arguments: &str,
    signature: Option<&str>,
) {
    item.object("functionCall", |call| {
        call.string("id", id);
        call.string("name", name);
        call.raw("args", arguments);
    });
    item.string_if("thoughtSignature", signature);
}

/// Citations as Google states them: sources in one list, and which bytes of the text each supports.
fn write_grounding(candidate: &mut Object<'_>, choice: &Choice<'_>) {
    let mut supports: Vec<(usize, usize, &Citation<'_>)> = Vec::new();
    let mut start = 0;
    for part in &choice.parts {
        if let Part::Text { text, citations, .. } = part {
            let bytes = |characters: u64| {
                text.char_indices().nth(characters as usize).map_or(text.len(), |(at, _)| at)
            };
            supports.extend(citations.iter().map(|citation| match citation.range {
                Some((from, to)) => (start + bytes(from), start + bytes(to), citation),
                None => (start, start + text.len(), citation),
            }));
            start += text.len();
        }
    }
    write_supports(candidate, &supports);
}

pub(super) fn write_supports(candidate: &mut Object<'_>, supports: &[(usize, usize, &Citation<'_>)]) {
    if supports.is_empty() {
        return;
    }
    candidate.object("groundingMetadata", |metadata| {
        metadata.array("groundingChunks", |list| {
            for (_, _, citation) in supports {
                list.object(|chunk| {
                    chunk.object("web", |web| {
                        web.string("uri", &citation.url);
                        web.string_if("title", citation.title.as_deref());
                    });
                });
            }
        });
        metadata.array("groundingSupports", |list| {
            for (index, (start, end, citation)) in supports.iter().enumerate() {
                list.object(|support| {
                    support.object("segment", |segment| {
                        segment.integer("startIndex", *start as u64);
                        segment.integer("endIndex", *end as u64);
                        segment.string_if("text", citation.cited.as_deref());
                    });
                    support.array("groundingChunkIndices", |list| json::integer(list.next(), index as u64));
                });
            }
        });
    });
}
