//! Writing a Messages request: the conversation.

use std::borrow::Cow;

use crate::translate::conversation::{Cache, Family, Part, Request, Role, Signature, Source, ToolCall};
use crate::translate::dropped::Field;
use crate::translate::json::{self, Array, Object};
use crate::translate::media::text_of_base64;
use crate::translate::tools::plain_id;
use crate::translate::{BadRequest, VERTEX_VERSION, Writing};

use super::options::{write_options, write_tools};
use super::thinking::{max_tokens, thinking};

pub(in crate::translate) fn write_request(
    request: &Request<'_>,
    writing: &mut Writing<'_>,
) -> Result<(String, Vec<u8>), BadRequest> {
    let mut out = Vec::with_capacity(4096);
    let thinking = thinking(request, writing);
    let mut result = Ok(());
    json::object(&mut out, |body| {
        if writing.target.model_in_path {
            body.string("anthropic_version", VERTEX_VERSION);
        } else {
            body.string("model", writing.target.model);
        }
        body.integer("max_tokens", max_tokens(request, &thinking, writing));
        result = write_conversation(body, request, writing);
        write_tools(body, request, writing);
        write_options(body, request, &thinking, writing);
        if writing.target.stream {
            body.bool("stream", true);
        }
    });
    result?;
    writing.drop_openai(request);
    Ok(("/messages".to_owned(), out))
}

fn write_conversation(
    body: &mut Object<'_>,
    request: &Request<'_>,
    writing: &mut Writing<'_>,
) -> Result<(), BadRequest> {
    let (system, turns) = turns(request, writing);
    if let Some(cache) = request.cache {
        write_cache(body, Some(cache));
    }
    write_system(body, &system, writing)?;
    let mut result = Ok(());
    body.array("messages", |list| {
        for turn in &turns {
            if result.is_ok() {
                result = write_turn(list, turn, writing);
            }
        }
    });
    result
}

/// What one side says before the other speaks again.
#[derive(Debug)]
pub(in crate::translate) struct Turn<'t> {
    pub(in crate::translate) role: Role,
    pub(in crate::translate) origin: usize,
    pub(in crate::translate) parts: Vec<&'t Part<'t>>,
}

/// The instructions, and the conversation in alternating turns with tool results first.
pub(in crate::translate) fn turns<'t>(
    request: &'t Request<'t>,
    writing: &mut Writing<'_>,
) -> (Vec<&'t Part<'t>>, Vec<Turn<'t>>) {
    let mut system: Vec<&Part<'_>> = request.system.iter().collect();
    let mut turns: Vec<Turn<'_>> = Vec::new();
    for message in &request.messages {
        if message.role == Role::System && !writing.target.system_in_messages {
            writing.drop(Field::SystemPosition);
            system.extend(&message.parts);
            continue;
        }
        match turns.last_mut().filter(|turn| turn.role == message.role) {
            Some(turn) => turn.parts.extend(&message.parts),
            None => turns.push(Turn {
                role: message.role,
                origin: message.origin,
                parts: message.parts.iter().collect(),
            }),
        }
    }
    if turns.is_empty() {
        // Somebody has to be answered.
        turns.push(Turn { role: Role::User, origin: 0, parts: std::mem::take(&mut system) });
    }
    for turn in &mut turns {
        // Results answer the turn before and have to come first.
        turn.parts.sort_by_key(|part| !matches!(part, Part::ToolResult { .. }));
    }
    (system, turns)
}

fn write_system(
    body: &mut Object<'_>,
    parts: &[&Part<'_>],
    writing: &mut Writing<'_>,
) -> Result<(), BadRequest> {
    match parts {
        [] => {}
        [Part::Text { text, cache: None, .. }] => {
            if !text.is_empty() {
                body.string("system", text);
            }
        }
        parts => {
            let mut blocks = Vec::new();
            let mut result = Ok(());
            let mut empty = true;
            json::array(&mut blocks, |list| {
                for part in parts {
                    if result.is_ok() {
                        result = write_part(list, part, 0, writing);
                    }
                }
                empty = list.is_empty();
            });
            result?;
            if !empty {
                body.key("system").extend_from_slice(&blocks);
            }
        }
    }
    Ok(())
}

fn write_turn(list: &mut Array<'_>, turn: &Turn<'_>, writing: &mut Writing<'_>) -> Result<(), BadRequest> {
    let role = match turn.role {
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::System => "system",
    };
    if let [Part::Text { text, cache: None, .. }] = turn.parts.as_slice() {
        if !text.is_empty() {
            list.object(|message| {
                message.string("role", role);
                message.string("content", text);
            });
        }
        return Ok(());
    }
    let mut blocks = Vec::new();
    let mut result = Ok(());
    let mut empty = true;
    json::array(&mut blocks, |content| {
        for part in &turn.parts {
            if result.is_ok() {
                result = write_part(content, part, turn.origin, writing);
            }
        }
        empty = content.is_empty();
    });
    result?;
    if !empty {
        list.object(|message| {
            message.string("role", role);
            message.key("content").extend_from_slice(&blocks);
        });
    }
    Ok(())
}

fn write_part(
    list: &mut Array<'_>,
    part: &Part<'_>,
    origin: usize,
    writing: &mut Writing<'_>,
) -> Result<(), BadRequest> {
    match part {
        Part::Text { text, cache, signature, .. } => {
            if signature.is_some() {
                writing.drop(Field::Thinking);
            }
            write_text(list, text, *cache);
        }
        Part::Refusal(text) => write_text(list, text, None),
        Part::Image { source, detail, cache } => {
            if detail.as_deref().is_some_and(|detail| detail != "auto") {
                writing.drop(Field::ImageDetail);
            }
            if matches!(source, Source::File(_)) {
                return Err(writing
                    .bad(origin, "an image by file id cannot cross to another provider; send its data"));
            }
            list.object(|block| {
                block.string("type", "image");
                write_source(block, source);
                write_cache(block, *cache);
            });
        }
        Part::Document { source, title, context, citations, cache } => {
            let source = document_source(source, origin, writing)?;
            list.object(|block| {
                block.string("type", "document");
                write_source(block, &source);
                block.string_if("title", title.as_deref());
                block.string_if("context", context.as_deref());
                if *citations {
                    block.object("citations", |config| config.bool("enabled", true));
                }
                write_cache(block, *cache);
            });
        }
        Part::Audio { .. } => return Err(writing.bad(origin, "this provider takes no audio")),
        Part::Thinking { text, signature: Some(Signature { family: Family::Anthropic, data }) } => list
            .object(|block| {
                block.string("type", "thinking");
                block.string("thinking", text);
                block.string("signature", data);
            }),
        Part::Redacted(Signature { family: Family::Anthropic, data }) => list.object(|block| {
            block.string("type", "redacted_thinking");
            block.string("data", data);
        }),
        // Anthropic takes back only thinking it signed itself.
        Part::Thinking { .. } | Part::Redacted(_) => writing.drop(Field::Thinking),
        Part::ToolCall(call) => {
            if call.signature.is_some() {
                writing.drop(Field::Thinking);
            }
            write_tool_call(list, call);
        }
        Part::ToolResult { id, content, is_error, cache } => {
            return write_tool_result(list, (id, content, *is_error, *cache), origin, writing);
        }
    }
    Ok(())
}

fn write_text(list: &mut Array<'_>, text: &str, cache: Option<Cache>) {
    // Anthropic refuses empty text; it says nothing anyway.
    if text.is_empty() {
        return;
    }
    list.object(|block| {
        block.string("type", "text");
        block.string("text", text);
        write_cache(block, cache);
    });
}

fn write_tool_call(list: &mut Array<'_>, call: &ToolCall<'_>) {
    list.object(|block| {
        block.string("type", "tool_use");
        block.string("id", &plain_id(&call.id));
        block.string("name", &call.name);
        block.raw("input", &call.arguments);
        write_cache(block, call.cache);
    });
}

fn write_tool_result(
    list: &mut Array<'_>,
    (id, content, is_error, cache): (&str, &[Part<'_>], bool, Option<Cache>),
    origin: usize,
    writing: &mut Writing<'_>,
) -> Result<(), BadRequest> {
    let mut result = Ok(());
    list.object(|block| {
        block.string("type", "tool_result");
        block.string("tool_use_id", &plain_id(id));
        match content {
            [] => {}
            [Part::Text { text, cache: None, .. }] => block.string("content", text),
            parts => block.array("content", |items| {
                for part in parts {
                    if result.is_ok() {
                        result = write_part(items, part, origin, writing);
                    }
                }
            }),
        }
        if is_error {
            block.bool("is_error", true);
        }
        write_cache(block, cache);
    });
    result
}

/// Anthropic takes PDFs as base64 or by address, and plain text as text.
fn document_source<'a>(
    source: &Source<'a>,
    origin: usize,
    writing: &Writing<'_>,
) -> Result<Source<'a>, BadRequest> {
    match source {
        Source::Base64 { media_type, data } if media_type != "application/pdf" => text_of_base64(data)
            .filter(|_| media_type.starts_with("text/") || media_type == "application/json")
            .map(|text| Source::PlainText(Cow::Owned(text)))
            .ok_or_else(|| writing.bad(origin, "this provider takes documents as PDF or text only")),
        Source::File(_) => {
            Err(writing.bad(origin, "a document by file id cannot cross to another provider; send its data"))
        }
        other => Ok(other.clone()),
    }
}

fn write_source(block: &mut Object<'_>, source: &Source<'_>) {
    block.object("source", |object| match source {
        Source::Base64 { media_type, data } => {
            object.string("type", "base64");
            object.string("media_type", media_type);
            object.string("data", data);
        }
        Source::Url(url) => {
            object.string("type", "url");
            object.string("url", url);
        }
        Source::File(id) => {
            object.string("type", "file");
            object.string("file_id", id);
        }
        Source::PlainText(text) => {
            object.string("type", "text");
            object.string("media_type", "text/plain");
            object.string("data", text);
        }
    });
}

pub(in crate::translate) fn write_cache(object: &mut Object<'_>, cache: Option<Cache>) {
    if let Some(cache) = cache {
        object.object("cache_control", |marker| {
            marker.string("type", "ephemeral");
            if cache.hour {
                marker.string("ttl", "1h");
            }
        });
    }
}
