//! Writing a Cohere v2 chat request.

use std::borrow::Cow;

use crate::translate::conversation::{
    Effort, Format, Message, Part, Request, Role, Source, Tool, ToolChoice,
};
use crate::translate::dropped::Field;
use crate::translate::json::{self, Array, Object};
use crate::translate::media::text_of_base64;
use crate::translate::{BadRequest, Writing};

pub(in crate::translate) fn write_request(
    request: &Request<'_>,
    writing: &mut Writing<'_>,
) -> Result<(String, Vec<u8>), BadRequest> {
    let mut out = Vec::with_capacity(4096);
    let mut result = Ok(());
    json::object(&mut out, |body| {
        body.string("model", writing.target.model);
        body.array("messages", |list| {
            if !request.system.is_empty() {
                result = write_message(list, "system", &request.system, 0, writing);
            }
            for message in &request.messages {
                if result.is_ok() {
                    result = match message.role {
                        Role::System => {
                            write_message(list, "system", &message.parts, message.origin, writing)
                        }
                        Role::User => write_user(list, message, writing),
                        Role::Assistant => write_assistant(list, message, writing),
                    };
                }
            }
        });
        write_tools(body, request, writing);
        write_options(body, request, writing);
        body.bool("stream", writing.target.stream);
    });
    result?;
    if request.cache.is_some() {
        writing.drop(Field::CacheMarker);
    }
    writing.drop_openai(request);
    Ok(("/v2/chat".to_owned(), out))
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
        let texts: Vec<&str> = content
            .iter()
            .filter_map(|part| if let Part::Text { text, .. } = part { Some(text.as_ref()) } else { None })
            .collect();
        list.object(|tool| {
            tool.string("role", "tool");
            tool.string("tool_call_id", id);
            tool.string("content", &texts.join("\n"));
        });
        // A tool message holds text alone; pictures follow as the user's.
        rest.extend(content.iter().filter(|part| !matches!(part, Part::Text { .. })));
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
    match part {
        Part::Text { text, cache, .. } => {
            if cache.is_some() {
                writing.drop(Field::CacheMarker);
            }
            write_text(items, text);
        }
        Part::Refusal(text) => write_text(items, text),
        Part::Image { source, detail, cache } => {
            if cache.is_some() {
                writing.drop(Field::CacheMarker);
            }
            let url = match source {
                Source::Url(url) => url.clone(),
                Source::Base64 { media_type, data } => Cow::Owned(format!("data:{media_type};base64,{data}")),
                Source::File(_) | Source::PlainText(_) => {
                    return Err(writing
                        .bad(origin, "an image by file id cannot cross to another provider; send its data"));
                }
            };
            items.object(|item| {
                item.string("type", "image_url");
                item.object("image_url", |image| {
                    image.string("url", &url);
                    image.string_if("detail", detail.as_deref());
                });
            });
        }
        Part::Document { source, title, .. } => {
            let text = match source {
                Source::PlainText(text) => Some(text.clone()),
                Source::Base64 { media_type, data } if media_type.starts_with("text/") => {
                    text_of_base64(data).map(Cow::Owned)
                }
                _ => None,
            };
            let text =
                text.ok_or_else(|| writing.bad(origin, "this provider takes no documents but text"))?;
            match title {
                Some(title) => write_text(items, &format!("{title}\n\n{text}")),
                None => write_text(items, &text),
            }
        }
        Part::Audio { .. } => return Err(writing.bad(origin, "this provider takes no audio")),
        Part::Thinking { .. } | Part::Redacted(_) => writing.drop(Field::Thinking),
        Part::ToolCall(_) | Part::ToolResult { .. } => {}
    }
    Ok(())
}

fn write_text(items: &mut Array<'_>, text: &str) {
    items.object(|item| {
        item.string("type", "text");
        item.string("text", text);
    });
}

fn write_assistant(
    list: &mut Array<'_>,
    message: &Message<'_>,
    writing: &mut Writing<'_>,
) -> Result<(), BadRequest> {
    let mut content = Vec::new();
    let mut empty = true;
    let mut result = Ok(());
    json::array(&mut content, |items| {
        for part in &message.parts {
            match part {
                // Cohere takes back its own thinking, which is never signed.
                Part::Thinking { text, signature: None } => items.object(|item| {
                    item.string("type", "thinking");
                    item.string("thinking", text);
                }),
                Part::ToolCall(_) => {}
                part if result.is_ok() => result = write_part(items, part, message.origin, writing),
                _ => {}
            }
        }
        empty = items.is_empty();
    });
    result?;
    let calls: Vec<_> = message
        .parts
        .iter()
        .filter_map(|part| if let Part::ToolCall(call) = part { Some(call) } else { None })
        .collect();
    if empty && calls.is_empty() {
        return Ok(());
    }
    list.object(|object| {
        object.string("role", "assistant");
        if !empty {
            object.key("content").extend_from_slice(&content);
        }
        if !calls.is_empty() {
            object.array("tool_calls", |list| {
                for call in calls {
                    list.object(|item| {
                        item.string("id", &call.id);
                        item.string("type", "function");
                        item.object("function", |function| {
                            function.string("name", &call.name);
                            function.string("arguments", &call.arguments);
                        });
                    });
                }
            });
        }
    });
    Ok(())
}

fn write_tools(body: &mut Object<'_>, request: &Request<'_>, writing: &mut Writing<'_>) {
    // Cohere can be made to use some tool, but not told which: offering only those comes to the same.
    let allowed = |tool: &&Tool<'_>| match &request.tool_choice {
        Some(ToolChoice::Allowed { names, .. }) => names.contains(&tool.name),
        Some(ToolChoice::Named(name)) => tool.name == *name,
        _ => true,
    };
    let tools: Vec<&Tool<'_>> = request.tools.iter().filter(allowed).collect();
    if tools.is_empty() {
        return;
    }
    body.array("tools", |list| {
        for tool in &tools {
            if tool.cache.is_some() {
                writing.drop(Field::ToolCache);
            }
            list.object(|item| {
                item.string("type", "function");
                item.object("function", |function| {
                    function.string("name", &tool.name);
                    function.string_if("description", tool.description.as_deref());
                    let none = r#"{"type":"object","properties":{}}"#;
                    function.raw("parameters", tool.schema.as_deref().unwrap_or(none));
                });
            });
        }
    });
    if tools.iter().any(|tool| tool.strict == Some(true)) {
        body.bool("strict_tools", true);
    }
    match &request.tool_choice {
        None | Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => {}
        Some(ToolChoice::None) => body.string("tool_choice", "NONE"),
        Some(ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Allowed { .. }) => {
            body.string("tool_choice", "REQUIRED");
        }
    }
    if request.parallel_tools == Some(false) {
        writing.drop(Field::ParallelTools);
    }
}

fn write_options(body: &mut Object<'_>, request: &Request<'_>, writing: &mut Writing<'_>) {
    let sampling = &request.sampling;
    let most = request.max_output.map(|most| writing.target.max_output.map_or(most, |limit| most.min(limit)));
    if let Some(most) = most {
        body.integer("max_tokens", most);
    }
    body.number_if("temperature", sampling.temperature.as_ref());
    body.number_if("p", sampling.top_p.as_ref());
    body.number_if("k", sampling.top_k.as_ref());
    body.number_if("seed", sampling.seed.as_ref());
    body.number_if("frequency_penalty", sampling.frequency_penalty.as_ref());
    body.number_if("presence_penalty", sampling.presence_penalty.as_ref());
    if sampling.logprobs {
        // Cohere's are per chunk of token ids, of no use in another shape.
        writing.drop(Field::Logprobs);
    }
    for (field, said) in [
        (Field::N, sampling.n.is_some_and(|n| n != 1)),
        (Field::LogitBias, sampling.logit_bias.is_some()),
        (Field::User, request.user.is_some()),
        (
            Field::ServiceTier,
            request.service_tier.as_deref().is_some_and(|tier| tier != "auto" && tier != "default"),
        ),
        (Field::Stop, request.stop.len() > 5),
    ] {
        if said {
            writing.drop(field);
        }
    }
    if !request.stop.is_empty() {
        body.strings("stop_sequences", &request.stop[..request.stop.len().min(5)]);
    }
    match &request.format {
        None => {}
        Some(Format::Json) => body.object("response_format", |format| format.string("type", "json_object")),
        Some(Format::Schema { schema, .. }) => body.object("response_format", |format| {
            format.string("type", "json_object");
            format.raw("json_schema", schema);
        }),
    }
    let Some(wish) = request.reasoning else { return };
    let budget = wish.budget.or(wish.effort.map(Effort::budget));
    if writing.target.never_thinks {
        if wish.effort != Some(Effort::None) {
            writing.drop(Field::Reasoning);
        }
        return;
    }
    body.object("thinking", |thinking| {
        if wish.effort == Some(Effort::None) {
            thinking.string("type", "disabled");
            return;
        }
        thinking.string("type", "enabled");
        if let Some(budget) = budget {
            thinking.integer("token_budget", most.map_or(budget, |most| budget.min(most - most / 4)));
        }
    });
}
