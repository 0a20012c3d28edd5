//! Writing a Responses request.

use std::borrow::Cow;

use crate::Dialect;
use crate::translate::conversation::{
    Effort, Family, Format, Message, Part, Request, Role, Signature, Source, ToolChoice,
};
use crate::translate::dropped::Field;
use crate::translate::json::{self, Array, Object};
use crate::translate::{BadRequest, Writing};

use super::write_reasoning_item;

pub(in crate::translate) fn write_request(
    request: &Request<'_>,
    writing: &mut Writing<'_>,
) -> Result<(String, Vec<u8>), BadRequest> {
    let mut out = Vec::with_capacity(4096);
    let mut result = Ok(());
    json::object(&mut out, |body| {
        body.string("model", writing.target.model);
        let instructions = match request.system.as_slice() {
            [Part::Text { text, cache: None, .. }] => Some(text),
            _ => None,
        };
        body.string_if("instructions", instructions.map(Cow::as_ref));
        body.array("input", |list| {
            if instructions.is_none() && !request.system.is_empty() {
                result = write_message(list, "system", &request.system, 0, writing);
            }
            for message in &request.messages {
                if result.is_ok() {
                    result = match message.role {
                        Role::Assistant => write_assistant(list, message, writing),
                        Role::System => {
                            write_message(list, "system", &message.parts, message.origin, writing)
                        }
                        Role::User => write_user(list, message, writing),
                    };
                }
            }
        });
        write_tools(body, request, writing);
        write_options(body, request, writing);
        if writing.target.stream {
            body.bool("stream", true);
        }
    });
    result?;
    Ok(("/responses".to_owned(), out))
}

fn write_user(
    list: &mut Array<'_>,
    message: &Message<'_>,
    writing: &mut Writing<'_>,
) -> Result<(), BadRequest> {
    let mut rest = Vec::new();
    for part in &message.parts {
        let Part::ToolResult { id, content, is_error, cache } = part else {
            rest.push(part);
            continue;
        };
        if *is_error {
            writing.drop(Field::ToolError);
        }
        if cache.is_some() {
            writing.drop(Field::CacheMarker);
        }
        let mut result = Ok(());
        list.object(|item| {
            item.string("type", "function_call_output");
            item.string("call_id", id);
            match content.as_slice() {
                [] => item.string("output", ""),
                [Part::Text { text, .. }] => item.string("output", text),
                parts => item.array("output", |items| {
                    for part in parts {
                        if result.is_ok() {
                            result = write_part(items, part, message.origin, writing);
                        }
                    }
                }),
            }
        });
        result?;
    }
    if rest.is_empty() && !message.parts.is_empty() {
        return Ok(());
    }
    write_message(list, "user", &rest, message.origin, writing)
}

fn write_message<'p, P: std::borrow::Borrow<Part<'p>>>(
    list: &mut Array<'_>,
    role: &str,
    parts: &[P],
    origin: usize,
    writing: &mut Writing<'_>,
) -> Result<(), BadRequest> {
    let mut result = Ok(());
    list.object(|message| {
        message.string("role", role);
        if let [only] = parts
            && let Part::Text { text, cache: None, .. } = only.borrow()
        {
            message.string("content", text);
            return;
        }
        message.array("content", |items| {
            for part in parts {
                if result.is_ok() {
                    result = write_part(items, part.borrow(), origin, writing);
                }
            }
        });
    });
    result
}

fn write_part(
    items: &mut Array<'_>,
    part: &Part<'_>,
    origin: usize,
    writing: &mut Writing<'_>,
) -> Result<(), BadRequest> {
    let same_store = matches!(writing.from, Dialect::OpenAiChat | Dialect::OpenAiResponses);
    let marked = match part {
        Part::Text { cache, .. } | Part::Image { cache, .. } | Part::Document { cache, .. } => {
            cache.is_some()
        }
        _ => false,
    };
    if marked {
        writing.drop(Field::CacheMarker);
    }
    match part {
        Part::Text { text, .. } | Part::Refusal(text) => write_text(items, text),
        Part::Image { source, detail, .. } => {
            let url = match source {
                Source::Url(url) => Some(url.clone()),
                Source::Base64 { media_type, data } => {
                    Some(Cow::Owned(format!("data:{media_type};base64,{data}")))
                }
                Source::File(_) if same_store => None,
                Source::File(_) | Source::PlainText(_) => {
                    return Err(writing
                        .bad(origin, "an image by file id cannot cross to another provider; send its data"));
                }
            };
            items.object(|item| {
                item.string("type", "input_image");
                item.string_if("image_url", url.as_deref());
                if let Source::File(id) = source {
                    item.string("file_id", id);
                }
                item.string("detail", detail.as_deref().unwrap_or("auto"));
            });
        }
        Part::Document { source, title, context, citations, .. } => {
            if context.is_some() {
                writing.drop(Field::DocumentContext);
            }
            if *citations {
                writing.drop(Field::Citations);
            }
            if matches!(source, Source::File(_)) && !same_store {
                return Err(writing
                    .bad(origin, "a document by file id cannot cross to another provider; send its data"));
            }
            write_document(items, source, title.as_deref());
        }
        Part::Audio { .. } => return Err(writing.bad(origin, "this provider takes no audio here")),
        Part::Thinking { .. } | Part::Redacted(_) => writing.drop(Field::Thinking),
        Part::ToolCall(_) | Part::ToolResult { .. } => {}
    }
    Ok(())
}

fn write_text(items: &mut Array<'_>, text: &str) {
    items.object(|item| {
        item.string("type", "input_text");
        item.string("text", text);
    });
}

fn write_document(items: &mut Array<'_>, source: &Source<'_>, title: Option<&str>) {
    if let Source::PlainText(text) = source {
        return match title {
            Some(title) => write_text(items, &format!("{title}\n\n{text}")),
            None => write_text(items, text),
        };
    }
    items.object(|item| {
        item.string("type", "input_file");
        match source {
            Source::Base64 { media_type, data } => {
                item.string("filename", title.unwrap_or("document.pdf"));
                item.string("file_data", &format!("data:{media_type};base64,{data}"));
            }
            Source::Url(url) => item.string("file_url", url),
            Source::File(id) | Source::PlainText(id) => item.string("file_id", id),
        }
    });
}

/// Text, thinking and calls of one answer are items of their own here.
fn write_assistant(
    list: &mut Array<'_>,
    message: &Message<'_>,
    writing: &mut Writing<'_>,
) -> Result<(), BadRequest> {
    for part in &message.parts {
        match part {
            Part::Text { text, .. } if text.is_empty() => {}
            Part::Text { text, .. } => list.object(|item| {
                item.string("role", "assistant");
                item.string("content", text);
            }),
            Part::Refusal(text) => list.object(|item| {
                item.string("role", "assistant");
                item.string("content", text);
            }),
            Part::Thinking { text, signature: Some(Signature { family: Family::OpenAi, data }) } => {
                list.object(|item| write_reasoning_item(item, "", text, Some((Family::OpenAi, data)), false));
            }
            Part::Thinking { text, .. } if text.is_empty() => {}
            // OpenAI takes back only thinking it encrypted itself.
            Part::Thinking { .. } | Part::Redacted(_) => writing.drop(Field::Thinking),
            Part::ToolCall(call) => list.object(|item| {
                item.string("type", "function_call");
                item.string("call_id", &call.id);
                item.string("name", &call.name);
                item.string("arguments", &call.arguments);
            }),
            Part::Image { .. } | Part::Document { .. } | Part::Audio { .. } => {
                return Err(writing.bad(
                    message.origin,
                    "an assistant message cannot hold images or files for this provider",
                ));
            }
            Part::ToolResult { .. } => {}
        }
    }
    Ok(())
}

fn write_tools(body: &mut Object<'_>, request: &Request<'_>, writing: &mut Writing<'_>) {
    if request.tools.is_empty() {
        return;
    }
    body.array("tools", |list| {
        for tool in &request.tools {
            if tool.cache.is_some() {
                writing.drop(Field::ToolCache);
            }
            list.object(|item| {
                item.string("type", "function");
                item.string("name", &tool.name);
                item.string_if("description", tool.description.as_deref());
                let none = r#"{"type":"object","properties":{}}"#;
                item.raw("parameters", tool.schema.as_deref().unwrap_or(none));
                // Left out, Responses would be strict where every other dialect is not.
                item.bool("strict", tool.strict.unwrap_or(false));
            });
        }
    });
    let named = |object: &mut Object<'_>, name: &str| {
        object.string("type", "function");
        object.string("name", name);
    };
    match &request.tool_choice {
        None => {}
        Some(ToolChoice::Auto) => body.string("tool_choice", "auto"),
        Some(ToolChoice::None) => body.string("tool_choice", "none"),
        Some(ToolChoice::Required) => body.string("tool_choice", "required"),
        Some(ToolChoice::Named(name)) => body.object("tool_choice", |choice| named(choice, name)),
        Some(ToolChoice::Allowed { names, required }) => body.object("tool_choice", |choice| {
            choice.string("type", "allowed_tools");
            choice.string("mode", if *required { "required" } else { "auto" });
            choice.array("tools", |list| names.iter().for_each(|name| list.object(|tool| named(tool, name))));
        }),
    }
    if let Some(parallel) = request.parallel_tools {
        body.bool("parallel_tool_calls", parallel);
    }
}

fn write_options(body: &mut Object<'_>, request: &Request<'_>, writing: &mut Writing<'_>) {
    let sampling = &request.sampling;
    body.number_if("temperature", sampling.temperature.as_ref());
    body.number_if("top_p", sampling.top_p.as_ref());
    let zero = |number: &Option<serde_json::Number>| {
        number.as_ref().is_none_or(|number| number.as_f64() == Some(0.0))
    };
    for (field, said) in [
        (Field::TopK, sampling.top_k.is_some()),
        (Field::FrequencyPenalty, !zero(&sampling.frequency_penalty)),
        (Field::PresencePenalty, !zero(&sampling.presence_penalty)),
        (Field::Seed, sampling.seed.is_some()),
        (Field::N, sampling.n.is_some_and(|n| n != 1)),
        (Field::LogitBias, sampling.logit_bias.is_some()),
        (Field::Stop, !request.stop.is_empty()),
        (Field::CacheMarker, request.cache.is_some()),
    ] {
        if said {
            writing.drop(field);
        }
    }
    if let Some(most) = request.max_output {
        // Sixteen is the least Responses accepts.
        let most = writing.target.max_output.map_or(most, |limit| most.min(limit));
        body.integer("max_output_tokens", most.max(16));
    }
    let mut include: Vec<&str> = Vec::new();
    if sampling.logprobs {
        include.push("message.output_text.logprobs");
        if let Some(top) = sampling.top_logprobs {
            body.integer("top_logprobs", top);
        }
    }
    if write_reasoning(body, request, writing) {
        // Nothing is stored, so the thinking has to travel.
        include.push("reasoning.encrypted_content");
    }
    if !include.is_empty() {
        body.strings("include", &include);
    }
    write_text_config(body, request);
    body.string_if("user", request.user.as_deref());
    body.string_if("service_tier", request.service_tier.as_deref());
    if !request.openai.iter().any(|(name, _)| *name == "store") {
        // Chat and the others keep nothing unless told to.
        body.bool("store", false);
    }
    for (name, value) in &request.openai {
        match *name {
            "verbosity" => {}
            "modalities" if value == r#"["text"]"# => {}
            "modalities" | "prediction" | "web_search_options" => writing.dropped.add(*name),
            name => body.raw(name, value),
        }
    }
}

/// Writes `reasoning`; true if thinking is to be expected.
fn write_reasoning(body: &mut Object<'_>, request: &Request<'_>, writing: &mut Writing<'_>) -> bool {
    let carried = request.messages.iter().flat_map(|message| &message.parts).any(|part| {
        matches!(part, Part::Thinking { signature: Some(Signature { family: Family::OpenAi, .. }), .. })
    });
    let Some(wish) = request.reasoning else {
        return carried;
    };
    let from_openai = matches!(writing.from, Dialect::OpenAiChat | Dialect::OpenAiResponses);
    let effort = wish.effort.or(wish.budget.map(Effort::of_budget));
    if writing.target.never_thinks || effort == Some(Effort::None) && !from_openai {
        writing.drop(Field::Reasoning);
        return carried;
    }
    if effort.is_some() || wish.show == Some(true) {
        body.object("reasoning", |reasoning| {
            reasoning.string_if("effort", effort.map(Effort::name));
            if wish.show == Some(true) {
                reasoning.string("summary", "auto");
            }
        });
    }
    carried || effort != Some(Effort::None)
}

fn write_text_config(body: &mut Object<'_>, request: &Request<'_>) {
    let verbosity = request.openai.iter().find(|(name, _)| *name == "verbosity").map(|(_, value)| value);
    if verbosity.is_none() && request.format.is_none() {
        return;
    }
    body.object("text", |text| {
        match &request.format {
            None => {}
            Some(Format::Json) => text.object("format", |format| format.string("type", "json_object")),
            Some(Format::Schema { name, description, schema, strict }) => text.object("format", |format| {
                format.string("type", "json_schema");
                format.string("name", name.as_deref().unwrap_or("output"));
                format.string_if("description", description.as_deref());
                format.raw("schema", schema);
                format.bool("strict", strict.unwrap_or(false));
            }),
        }
        text.raw_if("verbosity", verbosity.map(Cow::as_ref));
    });
}
