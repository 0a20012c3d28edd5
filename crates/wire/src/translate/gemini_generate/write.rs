//! Writing a generateContent request: the conversation.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::translate::conversation::{Family, Message, Part, Request, Role, Signature, Source, ToolCall};
use crate::translate::dropped::Field;
use crate::translate::json::{self, Array, Object};
use crate::translate::media::type_of_address;
use crate::translate::{BadRequest, Writing};

use super::write_options::{write_config, write_tools};

/// Google's documented stand-in for a signature lost on the way.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

pub(in crate::translate) fn write_request(
    request: &Request<'_>,
    writing: &mut Writing<'_>,
) -> Result<(String, Vec<u8>), BadRequest> {
    let mut out = Vec::with_capacity(4096);
    let mut result = Ok(());
    json::object(&mut out, |body| {
        result = write_conversation(body, request, writing);
        write_tools(body, request, writing);
        write_config(body, request, writing);
        match request.service_tier.as_deref() {
            None | Some("auto") => {}
            Some("default") => body.string("serviceTier", "standard"),
            Some(tier @ ("flex" | "priority")) => body.string("serviceTier", tier),
            Some(_) => writing.drop(Field::ServiceTier),
        }
    });
    result?;
    if request.user.is_some() {
        writing.drop(Field::User);
    }
    writing.drop_openai(request);
    let model = writing.target.model;
    let method = if writing.target.stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
    Ok((format!("/models/{model}:{method}"), out))
}

fn write_conversation(
    body: &mut Object<'_>,
    request: &Request<'_>,
    writing: &mut Writing<'_>,
) -> Result<(), BadRequest> {
    let mut system: Vec<&Part<'_>> = request.system.iter().collect();
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut turns: Vec<(Role, Vec<&Message<'_>>)> = Vec::new();
    for message in &request.messages {
        for part in &message.parts {
            if let Part::ToolCall(call) = part {
                names.insert(&call.id, &call.name);
            }
        }
        if message.role == Role::System {
            writing.drop(Field::SystemPosition);
            system.extend(&message.parts);
            continue;
        }
        match turns.last_mut().filter(|(role, _)| *role == message.role) {
            Some((_, messages)) => messages.push(message),
            None => turns.push((message.role, vec![message])),
        }
    }
    if request.cache.is_some() {
        writing.drop(Field::CacheMarker);
    }
    let mut result = Ok(());
    if !system.is_empty() && !turns.is_empty() {
        body.object("systemInstruction", |content| {
            content.array("parts", |list| {
                for part in &system {
                    if result.is_ok() {
                        result = write_part(list, part, 0, &names, writing);
                    }
                }
            });
        });
        system.clear();
    }
    body.array("contents", |list| {
        if turns.is_empty() {
            // Gemini wants someone to answer to.
            list.object(|content| {
                content.string("role", "user");
                content.array("parts", |list| {
                    for part in &system {
                        if result.is_ok() {
                            result = write_part(list, part, 0, &names, writing);
                        }
                    }
                });
            });
        }
        for (role, messages) in &turns {
            if result.is_ok() {
                result = write_turn(list, *role, messages, &names, writing);
            }
        }
    });
    result
}

fn write_turn(
    list: &mut Array<'_>,
    role: Role,
    messages: &[&Message<'_>],
    names: &HashMap<&str, &str>,
    writing: &mut Writing<'_>,
) -> Result<(), BadRequest> {
    let mut parts = Vec::new();
    let mut empty = true;
    let mut result = Ok(());
    json::array(&mut parts, |list| {
        // A signature that arrived on thinking belongs to what follows it.
        let mut pending: Option<&str> = None;
        let mut called = false;
        for (message, part) in
            messages.iter().flat_map(|message| message.parts.iter().map(move |part| (message, part)))
        {
            if result.is_err() {
                return;
            }
            match part {
                Part::Thinking { signature: Some(Signature { family: Family::Google, data }), .. } => {
                    pending = Some(data);
                }
                Part::ToolCall(call) => {
                    let signature = call.signature.as_deref().or(pending.take());
                    // Only the first of parallel calls is signed.
                    let stand_in =
                        (writing.target.needs_thought_signature && !called).then_some(NO_SIGNATURE);
                    called = true;
                    write_tool_call(list, call, signature.or(stand_in));
                }
                Part::Text { text, signature, cache, .. } => {
                    if cache.is_some() {
                        writing.drop(Field::CacheMarker);
                    }
                    if !text.is_empty() {
                        write_text(list, text, signature.as_deref().or(pending.take()));
                    }
                }
                part => result = write_part(list, part, message.origin, names, writing),
            }
        }
        if let Some(signature) = pending {
            write_text(list, "", Some(signature));
        }
        empty = list.is_empty();
    });
    result?;
    if !empty {
        list.object(|content| {
            content.string("role", if role == Role::Assistant { "model" } else { "user" });
            content.key("parts").extend_from_slice(&parts);
        });
    }
    Ok(())
}

fn write_text(list: &mut Array<'_>, text: &str, signature: Option<&str>) {
    list.object(|part| {
        part.string("text", text);
        part.string_if("thoughtSignature", signature);
    });
}

fn write_tool_call(list: &mut Array<'_>, call: &ToolCall<'_>, signature: Option<&str>) {
    list.object(|part| {
        part.object("functionCall", |function| {
            function.string("id", &call.id);
            function.string("name", &call.name);
            function.raw("args", &call.arguments);
        });
        part.string_if("thoughtSignature", signature);
    });
}

fn write_part(
    list: &mut Array<'_>,
    part: &Part<'_>,
    origin: usize,
    names: &HashMap<&str, &str>,
    writing: &mut Writing<'_>,
) -> Result<(), BadRequest> {
    let marked = match part {
        Part::Image { cache, .. } | Part::Document { cache, .. } | Part::Text { cache, .. } => {
            cache.is_some()
        }
        Part::ToolResult { cache, .. } => cache.is_some(),
        _ => false,
    };
    if marked {
        writing.drop(Field::CacheMarker);
    }
    match part {
        Part::Text { text, .. } | Part::Refusal(text) => write_text(list, text, None),
        Part::Image { source, detail, .. } => {
            if detail.as_deref().is_some_and(|detail| detail != "auto") {
                writing.drop(Field::ImageDetail);
            }
            write_media(list, source, "image/png", origin, writing)?;
        }
        Part::Document { source, title, context, citations, .. } => {
            if context.is_some() {
                writing.drop(Field::DocumentContext);
            }
            if *citations {
                writing.drop(Field::Citations);
            }
            match (source, title) {
                (Source::PlainText(text), Some(title)) => {
                    write_text(list, &format!("{title}\n\n{text}"), None)
                }
                _ => write_media(list, source, "application/pdf", origin, writing)?,
            }
        }
        Part::Audio { media_type, data } => write_inline(list, media_type, data),
        // Gemini takes back only thinking it signed itself.
        Part::Thinking { .. } | Part::Redacted(_) => writing.drop(Field::Thinking),
        Part::ToolCall(call) => write_tool_call(list, call, call.signature.as_deref()),
        Part::ToolResult { id, content, is_error, .. } => {
            write_tool_result(
                list,
                id,
                names.get(id.as_ref()).copied().unwrap_or_default(),
                content,
                *is_error,
            );
            for part in content.iter().filter(|part| !matches!(part, Part::Text { .. })) {
                write_part(list, part, origin, names, writing)?;
            }
        }
    }
    Ok(())
}

fn write_tool_result(list: &mut Array<'_>, id: &str, name: &str, content: &[Part<'_>], is_error: bool) {
    let texts: Vec<&str> = content
        .iter()
        .filter_map(|part| if let Part::Text { text, .. } = part { Some(text.as_ref()) } else { None })
        .collect();
    let text: Cow<'_, str> = match texts.as_slice() {
        [only] => Cow::Borrowed(only),
        texts => Cow::Owned(texts.join("\n")),
    };
    list.object(|part| {
        part.object("functionResponse", |response| {
            response.string("id", id);
            response.string("name", name);
            if !is_error && json::is_object(&text) {
                response.raw("response", &text);
            } else {
                let key = if is_error { "error" } else { "output" };
                response.object("response", |object| object.string(key, &text));
            }
        });
    });
}

fn write_media(
    list: &mut Array<'_>,
    source: &Source<'_>,
    default_type: &str,
    origin: usize,
    writing: &Writing<'_>,
) -> Result<(), BadRequest> {
    match source {
        Source::Base64 { media_type, data } => write_inline(list, media_type, data),
        Source::Url(url) => list.object(|part| {
            part.object("fileData", |file| {
                file.string("mimeType", type_of_address(url).unwrap_or(default_type));
                file.string("fileUri", url);
            });
        }),
        Source::PlainText(text) => write_text(list, text, None),
        Source::File(_) => {
            return Err(writing.bad(origin, "a file id cannot cross to another provider; send the data"));
        }
    }
    Ok(())
}

fn write_inline(list: &mut Array<'_>, media_type: &str, data: &str) {
    list.object(|part| {
        part.object("inlineData", |inline| {
            inline.string("mimeType", media_type);
            inline.string("data", data);
        });
    });
}
