//! Complete Responses answers.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::translate::conversation::{
    Answer, Choice, Family, Part, Signature, Stop, ToolCall, signature_text,
};
use crate::translate::error::Failure;
use crate::translate::json::{self, Array, Object, Text};
use crate::translate::{BadAnswer, Context, Dropped};

use super::{
    Annotation, MessagePart, TextItem, UsageBody, read_reasoning, status_of, stop_of, write_call_item,
    write_message_item, write_reasoning_item, write_usage,
};

#[derive(Deserialize)]
pub(super) struct Response<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) model: Option<Text<'a>>,
    pub(super) created_at: Option<f64>,
    #[serde(borrow)]
    pub(super) status: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) incomplete_details: Option<Incomplete<'a>>,
    #[serde(borrow)]
    output: Option<Vec<Item<'a>>>,
    pub(super) usage: Option<UsageBody>,
    #[serde(borrow)]
    pub(super) service_tier: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Incomplete<'a> {
    #[serde(borrow)]
    pub(super) reason: Option<Text<'a>>,
}

/// Every kind of output item in one shape.
#[derive(Deserialize)]
pub(super) struct Item<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<Vec<Content<'a>>>,
    #[serde(borrow)]
    summary: Option<Vec<TextItem<'a>>>,
    #[serde(borrow)]
    pub(super) encrypted_content: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) call_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) arguments: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    annotations: Option<Vec<Annotation<'a>>>,
    #[serde(borrow)]
    logprobs: Option<&'a RawValue>,
}

pub(in crate::translate) fn read_answer<'a>(
    body: &'a [u8],
    dropped: &mut Dropped,
) -> Result<Answer<'a>, BadAnswer> {
    let response: Response<'a> = serde_json::from_slice(body).map_err(|error| {
        BadAnswer::new(format!("the provider's answer is not an OpenAI response: {error}"))
    })?;
    if let Some(error) = response.error.filter(|error| error.get() != "null") {
        let failure = Failure::read(crate::Dialect::OpenAiResponses, 502, error.get().as_bytes());
        return Err(BadAnswer::new(failure.message));
    }
    let mut parts = Vec::new();
    let mut logprobs = None;
    for item in response.output.ok_or_else(|| BadAnswer::new("the provider's answer holds no output"))? {
        read_item(item, &mut parts, &mut logprobs, dropped)?;
    }
    let called = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let refused = parts.iter().any(|part| matches!(part, Part::Refusal(_)));
    let status = response.status.unwrap_or_default();
    let reason = response.incomplete_details.and_then(|details| details.reason);
    let stop = stop_of(&status, reason.as_deref(), called, refused).ok_or_else(|| {
        BadAnswer::new(format!("the provider broke the answer off with status {:?}", &*status))
    })?;
    Ok(Answer {
        id: response.id.map(|id| id.0),
        model: response.model.map(|model| model.0),
        created: response.created_at.map(|seconds| seconds as u64),
        choices: vec![Choice { parts, stop, logprobs }],
        usage: response.usage.as_ref().map(UsageBody::usage),
        service_tier: response.service_tier.map(|tier| tier.0),
    })
}

fn read_item<'a>(
    item: Item<'a>,
    parts: &mut Vec<Part<'a>>,
    logprobs: &mut Option<Cow<'a, str>>,
    dropped: &mut Dropped,
) -> Result<(), BadAnswer> {
    match &*item.kind {
        "message" => {
            for content in item.content.unwrap_or_default() {
                let raw = content.logprobs.map(RawValue::get).filter(|raw| *raw != "[]" && *raw != "null");
                *logprobs = raw.map(Cow::Borrowed).or(logprobs.take());
                match &*content.kind {
                    "refusal" => parts.push(Part::Refusal(content.refusal.unwrap_or_default().0)),
                    "output_text" => {
                        let given = content.annotations.unwrap_or_default();
                        let count = given.len();
                        let citations: Vec<_> = given.into_iter().filter_map(Annotation::citation).collect();
                        if citations.len() < count {
                            dropped.add("output[].content[].annotations");
                        }
                        let text = content.text.unwrap_or_default().0;
                        parts.push(Part::Text { text, citations, cache: None, signature: None });
                    }
                    other => dropped.add(format!("output[].content[].{other}")),
                }
            }
        }
        "reasoning" => parts.push(reasoning(item)),
        "function_call" => {
            let name =
                item.name.ok_or_else(|| BadAnswer::new("the provider called a tool without a name"))?.0;
            let arguments = item.arguments.unwrap_or_default().0;
            let arguments = if arguments.trim().is_empty() { Cow::Borrowed("{}") } else { arguments };
            if !json::is_object(&arguments) {
                return Err(BadAnswer::new(format!(
                    "the model called {name:?} with arguments that are not a JSON object"
                )));
            }
            let id = item
                .call_id
                .or(item.id)
                .ok_or_else(|| BadAnswer::new("the provider called a tool without an id"))?
                .0;
            parts.push(Part::ToolCall(ToolCall { id, name, arguments, cache: None, signature: None }));
        }
        other => dropped.add(format!("output[].{other}")),
    }
    Ok(())
}

/// Several parts of a summary become one text, a blank line between them.
fn reasoning(item: Item<'_>) -> Part<'_> {
    let mut texts = item.summary.unwrap_or_default().into_iter().filter_map(|part| part.text);
    let mut text = texts.next().unwrap_or_default().0;
    for more in texts {
        let text = text.to_mut();
        text.push_str("\n\n");
        text.push_str(&more);
    }
    for content in item.content.into_iter().flatten() {
        if text.is_empty() {
            text = content.text.unwrap_or_default().0;
        }
    }
    read_reasoning(item.id.as_deref(), text, item.encrypted_content.map(|data| data.0))
}

pub(in crate::translate) fn write_answer(
    answer: &Answer<'_>,
    context: &Context,
    dropped: &mut Dropped,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(2048);
    if answer.choices.len() > 1 {
        dropped.add("choices[]");
    }
    let mut output = Vec::new();
    let mut stop = &Stop::End;
    json::array(&mut output, |list| {
        if let Some(choice) = answer.choices.first() {
            stop = &choice.stop;
            write_output(list, choice, answer.id.as_deref().unwrap_or(&context.request_id), dropped);
        }
    });
    let frame = Frame {
        id: answer.id.as_deref().unwrap_or(&context.request_id),
        model: answer.model.as_deref().unwrap_or(&context.model),
        created: answer.created.unwrap_or(context.now),
        tier: answer.service_tier.as_deref(),
    };
    let (status, reason) = status_of(stop);
    json::object(&mut out, |body| {
        frame.write(
            body,
            &Progress { status, reason, output: &output, usage: answer.usage.as_ref(), failure: None },
        );
    });
    out
}

fn write_output(list: &mut Array<'_>, choice: &Choice<'_>, id: &str, dropped: &mut Dropped) {
    for (at, part) in choice.parts.iter().enumerate() {
        let own_id = |prefix: &str| format!("{prefix}_{id}_{at}");
        match part {
            Part::Text { text, citations, .. } => list.object(|item| {
                let logprobs = choice.logprobs.as_deref();
                write_message_item(
                    item,
                    &own_id("msg"),
                    &MessagePart { refusal: false, text, citations, logprobs },
                );
            }),
            Part::Refusal(text) => list.object(|item| {
                let part = MessagePart { refusal: true, text, citations: &[], logprobs: None };
                write_message_item(item, &own_id("msg"), &part);
            }),
            Part::Thinking { text, signature } => list.object(|item| {
                let signature =
                    signature.as_ref().map(|signature| (signature.family, signature.data.as_ref()));
                write_reasoning_item(item, &own_id("rs"), text, signature, false);
            }),
            Part::Redacted(Signature { family, data }) => list.object(|item| {
                write_reasoning_item(item, &own_id("rs"), "", Some((*family, data)), true);
            }),
            Part::ToolCall(call) => {
                if let Some(signature) = &call.signature {
                    list.object(|item| write_bare_signature(item, &own_id("rs"), signature));
                }
                list.object(|item| {
                    write_call_item(item, &own_id("fc"), &call.id, &call.name, &call.arguments)
                });
            }
            Part::Image { .. } | Part::Document { .. } | Part::Audio { .. } => dropped.add("content[].image"),
            Part::ToolResult { .. } => {}
        }
    }
    // A refusal that comes as a reason alone is said aloud.
    if let Stop::Refusal(Some(explanation)) = &choice.stop
        && !choice.parts.iter().any(|part| matches!(part, Part::Refusal(_)))
    {
        let part = MessagePart { refusal: true, text: explanation, citations: &[], logprobs: None };
        list.object(|item| write_message_item(item, &format!("msg_{id}_{}", choice.parts.len()), &part));
    }
}

/// Gemini's signature over the call that follows, in a `reasoning` item of its own.
pub(super) fn write_bare_signature(item: &mut Object<'_>, id: &str, signature: &str) {
    item.string("id", id);
    item.string("type", "reasoning");
    item.array("summary", |_| {});
    item.string("encrypted_content", &signature_text(Family::OpenAi, Family::Google, signature));
}

/// What stays the same over a whole response.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'f> {
    pub(super) id: &'f str,
    pub(super) model: &'f str,
    pub(super) created: u64,
    pub(super) tier: Option<&'f str>,
}

/// How far a response has come.
#[derive(Debug)]
pub(super) struct Progress<'p> {
    pub(super) status: &'p str,
    pub(super) reason: Option<&'p str>,
    /// The output items as a JSON array.
    pub(super) output: &'p [u8],
    pub(super) usage: Option<&'p crate::Usage>,
    pub(super) failure: Option<&'p Failure>,
}

impl Frame<'_> {
    /// Appends the fields of a response object, those the SDKs insist on included.
    pub(super) fn write(&self, body: &mut Object<'_>, progress: &Progress<'_>) {
        body.string("id", self.id);
        body.string("object", "response");
        body.integer("created_at", self.created);
        body.string("status", progress.status);
        match progress.failure {
            None => body.null("error"),
            Some(failure) => body.object("error", |error| {
                error.string("code", failure.openai_code());
                error.string("message", &failure.message);
                error.string_if("type", failure.own_word());
            }),
        }
        match progress.reason {
            None => body.null("incomplete_details"),
            Some(reason) => body.object("incomplete_details", |details| details.string("reason", reason)),
        }
        body.null("instructions");
        body.object("metadata", |_| {});
        body.string("model", self.model);
        body.key("output").extend_from_slice(progress.output);
        body.bool("parallel_tool_calls", true);
        body.null("temperature");
        body.string("tool_choice", "auto");
        body.array("tools", |_| {});
        body.null("top_p");
        body.string_if("service_tier", self.tier);
        match progress.usage {
            None => body.null("usage"),
            Some(usage) => body.object("usage", |object| write_usage(object, usage)),
        }
    }
}
