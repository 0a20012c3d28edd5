//! Complete Messages answers.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Usage;
use crate::translate::conversation::{
    Answer, Choice, Family, Part, Signature, Stop, ToolCall, signature_text,
};
use crate::translate::json::{self, Array, Object, Text};
use crate::translate::{BadAnswer, Context, Dropped};

use super::{CitationBody, HOME, ServiceTier, UsageBody, stop_of, write_citation, write_stop, write_usage};

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    content: Vec<Block<'a>>,
    #[serde(borrow)]
    stop_reason: Option<Text<'a>>,
    #[serde(borrow)]
    stop_sequence: Option<Text<'a>>,
    #[serde(borrow)]
    stop_details: Option<StopDetails<'a>>,
    usage: Option<UsageBody>,
}

#[derive(Deserialize)]
pub(super) struct StopDetails<'a> {
    #[serde(borrow)]
    pub(super) explanation: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    citations: Option<Vec<CitationBody<'a>>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

pub(in crate::translate) fn read_answer<'a>(
    body: &'a [u8],
    dropped: &mut Dropped,
) -> Result<Answer<'a>, BadAnswer> {
    let message: Message<'a> = serde_json::from_slice(body).map_err(|error| {
        BadAnswer::new(format!("the provider's answer is not an Anthropic message: {error}"))
    })?;
    let mut parts = Vec::with_capacity(message.content.len());
    for block in message.content {
        read_block(block, &mut parts, dropped)?;
    }
    let reason = message.stop_reason.unwrap_or_default();
    let explanation = message.stop_details.and_then(|details| details.explanation).map(|text| text.0);
    let stop = stop_of(&reason, message.stop_sequence.map(|text| text.0), explanation).ok_or_else(|| {
        BadAnswer::new(format!("the provider broke the answer off with stop_reason {:?}", &*reason))
    })?;
    let tier = message.usage.as_ref().and_then(|usage| usage.service_tier);
    Ok(Answer {
        id: message.id.map(|id| id.0),
        model: message.model.map(|model| model.0),
        created: None,
        choices: vec![Choice { parts, stop, logprobs: None }],
        usage: message.usage.map(|body| {
            let mut usage = Usage::default();
            body.update(&mut usage);
            usage
        }),
        service_tier: tier.and_then(ServiceTier::openai).map(Cow::Borrowed),
    })
}

fn read_block<'a>(
    block: Block<'a>,
    parts: &mut Vec<Part<'a>>,
    dropped: &mut Dropped,
) -> Result<(), BadAnswer> {
    let missing = |what: &str| BadAnswer::new(format!("the provider's answer has a block without {what}"));
    parts.push(match &*block.kind {
        "text" => {
            let given = block.citations.unwrap_or_default();
            let count = given.len();
            let citations: Vec<_> = given.into_iter().filter_map(CitationBody::citation).collect();
            if citations.len() < count {
                dropped.add("content[].citations");
            }
            let text = block.text.ok_or_else(|| missing("its text"))?.0;
            Part::Text { text, citations, cache: None, signature: None }
        }
        "thinking" => Part::Thinking {
            text: block.thinking.unwrap_or_default().0,
            signature: block
                .signature
                .filter(|data| !data.is_empty())
                .map(|data| Signature::read(HOME, data.0)),
        },
        "redacted_thinking" => {
            Part::Redacted(Signature::read(HOME, block.data.ok_or_else(|| missing("its data"))?.0))
        }
        "tool_use" => Part::ToolCall(ToolCall {
            id: block.id.ok_or_else(|| missing("an id"))?.0,
            name: block.name.ok_or_else(|| missing("a name"))?.0,
            arguments: Cow::Borrowed(block.input.map_or("{}", RawValue::get)),
            cache: None,
            signature: None,
        }),
        other => {
            dropped.add(format!("content[].{other}"));
            return Ok(());
        }
    });
    Ok(())
}

pub(in crate::translate) fn write_answer(
    answer: &Answer<'_>,
    context: &Context,
    dropped: &mut Dropped,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    if answer.choices.len() > 1 {
        dropped.add("choices[]");
    }
    let choice = answer.choices.first();
    json::object(&mut out, |body| {
        body.string("id", answer.id.as_deref().unwrap_or(&context.request_id));
        body.string("type", "message");
        body.string("role", "assistant");
        body.string("model", answer.model.as_deref().unwrap_or(&context.model));
        body.array("content", |list| {
            for part in choice.into_iter().flat_map(|choice| &choice.parts) {
                write_part(list, part, dropped);
            }
        });
        write_stop(body, choice.map_or(&Stop::End, |choice| &choice.stop));
        body.object("usage", |object| {
            write_usage(object, &answer.usage.unwrap_or_default());
            write_tier(object, answer.service_tier.as_deref());
        });
    });
    if choice.is_some_and(|choice| choice.logprobs.is_some()) {
        dropped.add("choices[].logprobs");
    }
    out
}

pub(super) fn write_tier(usage: &mut Object<'_>, tier: Option<&str>) {
    match tier {
        Some("default") => usage.string("service_tier", "standard"),
        Some("priority") => usage.string("service_tier", "priority"),
        _ => {}
    }
}

fn write_part(list: &mut Array<'_>, part: &Part<'_>, dropped: &mut Dropped) {
    match part {
        Part::Text { text, citations, signature, .. } => {
            list.object(|block| {
                block.string("type", "text");
                block.string("text", text);
                if !citations.is_empty() {
                    block.array("citations", |list| {
                        citations
                            .iter()
                            .for_each(|citation| list.object(|item| write_citation(item, citation)));
                    });
                }
            });
            if let Some(signature) = signature {
                write_bare_signature(list, Family::Google, signature);
            }
        }
        Part::Refusal(text) => list.object(|block| {
            block.string("type", "text");
            block.string("text", text);
        }),
        Part::Thinking { text, signature } => list.object(|block| {
            block.string("type", "thinking");
            block.string("thinking", text);
            let signature = signature.as_ref().map(|signature| signature.text(HOME));
            block.string("signature", signature.as_deref().unwrap_or_default());
        }),
        Part::Redacted(data) => list.object(|block| {
            block.string("type", "redacted_thinking");
            block.string("data", &data.text(HOME));
        }),
        Part::ToolCall(call) => {
            if let Some(signature) = &call.signature {
                write_bare_signature(list, Family::Google, signature);
            }
            list.object(|block| {
                block.string("type", "tool_use");
                block.string("id", &call.id);
                block.string("name", &call.name);
                block.raw("input", &call.arguments);
            });
        }
        Part::Image { .. } | Part::Document { .. } | Part::Audio { .. } => dropped.add("content[].image"),
        Part::ToolResult { .. } => {}
    }
}

/// A signature that is over no thinking text; Messages has only thinking blocks to put it in.
fn write_bare_signature(list: &mut Array<'_>, family: Family, data: &str) {
    list.object(|block| {
        block.string("type", "thinking");
        block.string("thinking", "");
        block.string("signature", &signature_text(HOME, family, data));
    });
}
