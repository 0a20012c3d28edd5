//! Complete Chat Completions answers.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::translate::conversation::{Answer, Choice, Citation, Part, Signature, Stop, ToolCall};
use crate::translate::error::Failure;
use crate::translate::json::{self, Array, Object, Text};
use crate::translate::{BadAnswer, Context, Dropped};

use super::{
    Annotation, ExtraContent, HOME, ThinkingBlock, UsageBody, reason_of, stop_of, write_extra_content,
    write_usage,
};

#[derive(Deserialize)]
struct Completion<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    created: Option<u64>,
    #[serde(borrow)]
    choices: Option<Vec<CompletionChoice<'a>>>,
    usage: Option<UsageBody>,
    #[serde(borrow)]
    service_tier: Option<Text<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct CompletionChoice<'a> {
    #[serde(borrow)]
    message: Option<Message<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
    #[serde(borrow)]
    logprobs: Option<Logprobs<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Logprobs<'a> {
    #[serde(borrow)]
    pub(super) content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning: Option<Text<'a>>,
    #[serde(borrow)]
    thinking_blocks: Option<Vec<ThinkingBlock<'a>>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<Call<'a>>>,
    #[serde(borrow)]
    annotations: Option<Vec<Annotation<'a>>>,
    #[serde(borrow)]
    extra_content: Option<ExtraContent<'a>>,
    #[serde(borrow)]
    audio: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<Function<'a>>,
    #[serde(borrow)]
    extra_content: Option<ExtraContent<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
}

pub(in crate::translate) fn read_answer<'a>(
    body: &'a [u8],
    dropped: &mut Dropped,
) -> Result<Answer<'a>, BadAnswer> {
    let completion: Completion<'a> = serde_json::from_slice(body).map_err(|error| {
        BadAnswer::new(format!("the provider's answer is not a chat completion: {error}"))
    })?;
    if let Some(error) = completion.error.filter(|error| error.get() != "null") {
        let failure = Failure::read(crate::Dialect::OpenAiChat, 502, error.get().as_bytes());
        return Err(BadAnswer::new(failure.message));
    }
    let id = completion.id.map(|id| id.0).filter(|id| !id.is_empty());
    let mut choices = Vec::new();
    for choice in completion.choices.unwrap_or_default() {
        let message = choice
            .message
            .ok_or_else(|| BadAnswer::new("the provider's answer has a choice without a message"))?;
        if message.audio.is_some_and(|audio| audio.get() != "null") {
            dropped.add("choices[].message.audio");
        }
        let parts = read_message(message, id.as_deref())?;
        let called = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
        let reason = choice.finish_reason.unwrap_or_default();
        let mut stop = stop_of(&reason, called).ok_or_else(|| {
            BadAnswer::new(format!("the provider broke the answer off with finish_reason {:?}", &*reason))
        })?;
        if let Some(Part::Refusal(text)) = parts.iter().find(|part| matches!(part, Part::Refusal(_))) {
            stop = Stop::Refusal(Some(text.clone()));
        }
        let logprobs = choice.logprobs.and_then(|logprobs| logprobs.content);
        choices.push(Choice { parts, stop, logprobs: logprobs.map(|raw| Cow::Borrowed(raw.get())) });
    }
    Ok(Answer {
        id,
        model: completion.model.map(|model| model.0),
        created: completion.created,
        choices,
        usage: completion.usage.as_ref().map(UsageBody::usage),
        service_tier: completion.service_tier.map(|tier| tier.0),
    })
}

fn read_message<'a>(message: Message<'a>, answer_id: Option<&str>) -> Result<Vec<Part<'a>>, BadAnswer> {
    let mut parts = Vec::new();
    match message.thinking_blocks {
        Some(blocks) if !blocks.is_empty() => parts.extend(blocks.into_iter().filter_map(thinking)),
        _ => {
            if let Some(text) =
                message.reasoning_content.or(message.reasoning).filter(|text| !text.is_empty())
            {
                parts.push(Part::Thinking { text: text.0, signature: None });
            }
        }
    }
    let signature =
        ExtraContent::signature(message.extra_content.as_ref()).map(|data| Cow::Owned(data.to_owned()));
    if let Some(text) = message.content.filter(|text| !text.is_empty()) {
        let citations = message.annotations.unwrap_or_default().into_iter().filter_map(citation).collect();
        parts.push(Part::Text { text: text.0, citations, cache: None, signature });
    }
    if let Some(refusal) = message.refusal.filter(|text| !text.is_empty()) {
        parts.push(Part::Refusal(refusal.0));
    }
    for (at, call) in message.tool_calls.unwrap_or_default().into_iter().enumerate() {
        let function = call
            .function
            .ok_or_else(|| BadAnswer::new("the provider called something that is not a function tool"))?;
        let arguments = function.arguments.unwrap_or_default().0;
        let arguments = if arguments.trim().is_empty() { Cow::Borrowed("{}") } else { arguments };
        if !json::is_object(&arguments) {
            let name = &*function.name;
            return Err(BadAnswer::new(format!(
                "the model called {name:?} with arguments that are not a JSON object"
            )));
        }
        let signature =
            ExtraContent::signature(call.extra_content.as_ref()).map(|data| Cow::Owned(data.to_owned()));
        let id = call.id.map(|id| id.0).filter(|id| !id.is_empty());
        let id = id.unwrap_or_else(|| Cow::Owned(format!("call_{}_{at}", answer_id.unwrap_or("0"))));
        parts.push(Part::ToolCall(ToolCall { id, name: function.name.0, arguments, cache: None, signature }));
    }
    Ok(parts)
}

fn thinking(block: ThinkingBlock<'_>) -> Option<Part<'_>> {
    match (&*block.kind, block.data) {
        ("redacted_thinking", Some(data)) => Some(Part::Redacted(Signature::read(HOME, data.0))),
        ("thinking", _) => Some(Part::Thinking {
            text: block.thinking.unwrap_or_default().0,
            signature: block
                .signature
                .filter(|data| !data.is_empty())
                .map(|data| Signature::read(HOME, data.0)),
        }),
        _ => None,
    }
}

pub(super) fn citation(annotation: Annotation<'_>) -> Option<Citation<'_>> {
    let citation = annotation.url_citation?;
    Some(Citation {
        url: citation.url.0,
        title: citation.title.map(|title| title.0),
        cited: None,
        range: citation.start_index.zip(citation.end_index),
    })
}

pub(in crate::translate) fn write_answer(
    answer: &Answer<'_>,
    context: &Context,
    dropped: &mut Dropped,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    json::object(&mut out, |body| {
        body.string("id", answer.id.as_deref().unwrap_or(&context.request_id));
        body.string("object", "chat.completion");
        body.integer("created", answer.created.unwrap_or(context.now));
        body.string("model", answer.model.as_deref().unwrap_or(&context.model));
        body.array("choices", |list| {
            for (index, choice) in answer.choices.iter().enumerate() {
                list.object(|object| {
                    object.integer("index", index as u64);
                    object.object("message", |message| write_message(message, choice, dropped));
                    match &choice.logprobs {
                        None => object.null("logprobs"),
                        Some(tokens) => object.object("logprobs", |logprobs| {
                            logprobs.raw("content", tokens);
                            logprobs.null("refusal");
                        }),
                    }
                    object.string("finish_reason", reason_of(&choice.stop));
                });
            }
        });
        if let Some(usage) = &answer.usage {
            body.object("usage", |object| write_usage(object, usage));
        }
        body.string_if("service_tier", answer.service_tier.as_deref());
    });
    out
}

fn write_message(message: &mut Object<'_>, choice: &Choice<'_>, dropped: &mut Dropped) {
    let mut text = String::new();
    let mut thinking = String::new();
    let mut refusal = match &choice.stop {
        Stop::Refusal(explanation) => explanation.as_deref(),
        _ => None,
    };
    let mut citations: Vec<(u64, u64, &Citation<'_>)> = Vec::new();
    let mut signature = None;
    for part in &choice.parts {
        match part {
            Part::Text { text: more, citations: cited, signature: signed, .. } => {
                if !cited.is_empty() {
                    let start = text.chars().count() as u64;
                    let end = start + more.chars().count() as u64;
                    citations.extend(cited.iter().map(|citation| match citation.range {
                        Some((from, to)) => (start + from, start + to, citation),
                        None => (start, end, citation),
                    }));
                }
                text.push_str(more);
                signature = signed.as_deref().or(signature);
            }
            Part::Thinking { text, .. } => thinking.push_str(text),
            Part::Refusal(text) => refusal = Some(text),
            Part::Image { .. } | Part::Audio { .. } | Part::Document { .. } => dropped.add("content[].image"),
            Part::Redacted(_) | Part::ToolCall(_) | Part::ToolResult { .. } => {}
        }
    }
    let calls: Vec<&ToolCall<'_>> = choice
        .parts
        .iter()
        .filter_map(|part| if let Part::ToolCall(call) = part { Some(call) } else { None })
        .collect();
    message.string("role", "assistant");
    if text.is_empty() && !(calls.is_empty() && refusal.is_none()) {
        message.null("content");
    } else {
        message.string("content", &text);
    }
    match refusal {
        Some(refusal) => message.string("refusal", refusal),
        None => message.null("refusal"),
    }
    if !thinking.is_empty() {
        message.string("reasoning_content", &thinking);
    }
    write_thinking_blocks(message, &choice.parts);
    if let Some(signature) = signature {
        write_extra_content(message, signature);
    }
    if !calls.is_empty() {
        message.array("tool_calls", |list| calls.iter().for_each(|call| write_call(list, call)));
    }
    message.array("annotations", |list| {
        for (start, end, citation) in &citations {
            write_annotation(list, citation, *start, *end, None);
        }
    });
}

/// The carrier: every signed block with its place in the answer, so that it can go back exactly there.
fn write_thinking_blocks(message: &mut Object<'_>, parts: &[Part<'_>]) {
    let signed =
        |part: &Part<'_>| matches!(part, Part::Redacted(_) | Part::Thinking { signature: Some(_), .. });
    if !parts.iter().any(signed) {
        return;
    }
    message.array("thinking_blocks", |list| {
        for (index, part) in parts.iter().enumerate() {
            match part {
                Part::Thinking { text, signature } => {
                    let signature = signature.as_ref().map(|signature| signature.text(HOME));
                    write_thinking_block(list, index as u64, text, signature.as_deref());
                }
                Part::Redacted(data) => write_redacted_block(list, index as u64, &data.text(HOME)),
                _ => {}
            }
        }
    });
}

pub(super) fn write_thinking_block(list: &mut Array<'_>, index: u64, text: &str, signature: Option<&str>) {
    list.object(|block| {
        block.string("type", "thinking");
        block.string("thinking", text);
        block.string("signature", signature.unwrap_or_default());
        block.integer("index", index);
    });
}

pub(super) fn write_redacted_block(list: &mut Array<'_>, index: u64, data: &str) {
    list.object(|block| {
        block.string("type", "redacted_thinking");
        block.string("data", data);
        block.integer("index", index);
    });
}

fn write_call(list: &mut Array<'_>, call: &ToolCall<'_>) {
    list.object(|item| {
        item.string("id", &call.id);
        item.string("type", "function");
        item.object("function", |function| {
            function.string("name", &call.name);
            function.string("arguments", &call.arguments);
        });
        if let Some(signature) = &call.signature {
            write_extra_content(item, signature);
        }
    });
}

/// `index` is for streams, whose readers put lists together by it.
pub(super) fn write_annotation(
    list: &mut Array<'_>,
    citation: &Citation<'_>,
    start: u64,
    end: u64,
    index: Option<u64>,
) {
    list.object(|item| {
        item.string("type", "url_citation");
        item.object("url_citation", |url| {
            url.integer("start_index", start);
            url.integer("end_index", end);
            url.string("title", citation.title.as_deref().unwrap_or_default());
            url.string("url", &citation.url);
        });
        if let Some(index) = index {
            item.integer("index", index);
        }
    });
}
