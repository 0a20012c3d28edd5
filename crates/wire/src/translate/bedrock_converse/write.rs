//! Writing a Converse request: the conversation.

use std::borrow::Cow;

use crate::translate::anthropic_messages::{Thinking, thinking, turns};
use crate::translate::conversation::{Cache, Effort, Family, Part, Request, Role, Signature, Source};
use crate::translate::dropped::Field;
use crate::translate::json::{self, Array, Object};
use crate::translate::media::text_of_base64;
use crate::translate::tools::plain_id;
use crate::translate::{BadRequest, Writing};

use super::options::{write_extras, write_inference, write_tools};

pub(in crate::translate) fn write_request(
    request: &Request<'_>,
    writing: &mut Writing<'_>,
) -> Result<(String, Vec<u8>), BadRequest> {
    let mut out = Vec::with_capacity(4096);
    // Converse has no field for thinking; Claude takes Anthropic's own beside it.
    let is_claude = writing.target.model.contains("anthropic.");
    let thinking = if is_claude {
        thinking(request, writing)
    } else {
        if request.reasoning.is_some_and(|wish| wish.effort != Some(Effort::None)) {
            writing.drop(Field::Reasoning);
        }
        Thinking::Unsaid
    };
    let mut result = Ok(());
    json::object(&mut out, |body| {
        result = write_conversation(body, request, writing);
        write_inference(body, request, &thinking, writing);
        write_tools(body, request, writing);
        write_extras(body, request, &thinking, is_claude, writing);
    });
    result?;
    writing.drop_openai(request);
    let method = if writing.target.stream { "converse-stream" } else { "converse" };
    Ok((format!("/model/{}/{method}", escape(writing.target.model)), out))
}

/// A model id may be an ARN, whose slashes and colons are not the path's.
fn escape(model: &str) -> String {
    let mut escaped = String::with_capacity(model.len());
    for byte in model.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(byte as char);
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

fn write_conversation(
    body: &mut Object<'_>,
    request: &Request<'_>,
    writing: &mut Writing<'_>,
) -> Result<(), BadRequest> {
    let (system, turns) = turns(request, writing);
    if request.cache.is_some() {
        writing.drop(Field::CacheMarker);
    }
    let mut result = Ok(());
    if !system.is_empty() {
        body.array("system", |list| {
            for part in &system {
                if result.is_ok() {
                    result = write_part(list, part, 0, writing);
                }
            }
        });
    }
    body.array("messages", |list| {
        for turn in &turns {
            let mut content = Vec::new();
            let mut empty = true;
            json::array(&mut content, |blocks| {
                for part in &turn.parts {
                    if result.is_ok() {
                        result = write_part(blocks, part, turn.origin, writing);
                    }
                }
                empty = blocks.is_empty();
            });
            if !empty {
                list.object(|message| {
                    message.string("role", if turn.role == Role::Assistant { "assistant" } else { "user" });
                    message.key("content").extend_from_slice(&content);
                });
            }
        }
    });
    result
}

fn write_part(
    list: &mut Array<'_>,
    part: &Part<'_>,
    origin: usize,
    writing: &mut Writing<'_>,
) -> Result<(), BadRequest> {
    let mut marker = None;
    match part {
        Part::Text { text, cache, .. } => {
            // Bedrock refuses empty text; it says nothing anyway.
            if !text.is_empty() {
                list.object(|block| block.string("text", text));
            }
            marker = *cache;
        }
        Part::Refusal(text) => list.object(|block| block.string("text", text)),
        Part::Image { source, detail, cache } => {
            if detail.as_deref().is_some_and(|detail| detail != "auto") {
                writing.drop(Field::ImageDetail);
            }
            write_image(list, source, origin, writing)?;
            marker = *cache;
        }
        Part::Document { source, title, context, citations, cache } => {
            write_document(
                list,
                source,
                (title.as_deref(), context.as_deref(), *citations),
                origin,
                writing,
            )?;
            marker = *cache;
        }
        Part::Audio { .. } => return Err(writing.bad(origin, "this provider takes no audio here")),
        Part::Thinking { text, signature: Some(Signature { family: Family::Anthropic, data }) } => list
            .object(|block| {
                block.object("reasoningContent", |content| {
                    content.object("reasoningText", |reasoning| {
                        reasoning.string("text", text);
                        reasoning.string("signature", data);
                    });
                });
            }),
        Part::Redacted(Signature { family: Family::Anthropic, data }) => list.object(|block| {
            block.object("reasoningContent", |content| content.string("redactedContent", data));
        }),
        Part::Thinking { .. } | Part::Redacted(_) => writing.drop(Field::Thinking),
        Part::ToolCall(call) => {
            list.object(|block| {
                block.object("toolUse", |tool| {
                    tool.string("toolUseId", &plain_id(&call.id));
                    tool.string("name", &call.name);
                    tool.raw("input", &call.arguments);
                });
            });
            marker = call.cache;
        }
        Part::ToolResult { id, content, is_error, cache } => {
            write_tool_result(list, id, content, *is_error, origin, writing)?;
            marker = *cache;
        }
    }
    write_cache(list, marker);
    Ok(())
}

pub(super) fn write_cache(list: &mut Array<'_>, cache: Option<Cache>) {
    if let Some(cache) = cache {
        list.object(|block| {
            block.object("cachePoint", |point| {
                point.string("type", "default");
                if cache.hour {
                    point.string("ttl", "1h");
                }
            });
        });
    }
}

fn write_image(
    list: &mut Array<'_>,
    source: &Source<'_>,
    origin: usize,
    writing: &Writing<'_>,
) -> Result<(), BadRequest> {
    let write = |list: &mut Array<'_>, format: &str, fill: &dyn Fn(&mut Object<'_>)| {
        list.object(|block| {
            block.object("image", |image| {
                image.string("format", format);
                image.object("source", |source| fill(source));
            });
        });
    };
    match source {
        Source::Base64 { media_type, data } => {
            let format = match media_type.as_ref() {
                "image/png" => "png",
                "image/jpeg" | "image/jpg" => "jpeg",
                "image/gif" => "gif",
                "image/webp" => "webp",
                _ => {
                    return Err(
                        writing.bad(origin, "this provider takes images as png, jpeg, gif or webp only")
                    );
                }
            };
            write(list, format, &|source| source.string("bytes", data));
        }
        Source::Url(url) if url.starts_with("s3://") => {
            let (_, format) = url.rsplit_once('.').unwrap_or_default();
            let format = if format == "jpg" { "jpeg" } else { format };
            write(list, format, &|source| source.object("s3Location", |place| place.string("uri", url)));
        }
        _ => {
            return Err(
                writing.bad(origin, "this provider does not fetch images by address; send a data URL")
            );
        }
    }
    Ok(())
}

fn write_document(
    list: &mut Array<'_>,
    source: &Source<'_>,
    (title, context, citations): (Option<&str>, Option<&str>, bool),
    origin: usize,
    writing: &Writing<'_>,
) -> Result<(), BadRequest> {
    let (format, bytes, text) = match source {
        Source::Base64 { media_type, data } => match media_type.as_ref() {
            "application/pdf" => ("pdf", Some(data), None),
            "text/csv" => ("csv", Some(data), None),
            "text/html" => ("html", Some(data), None),
            "text/markdown" => ("md", Some(data), None),
            _ => {
                let text = text_of_base64(data).filter(|_| media_type.starts_with("text/"));
                let text = text.ok_or_else(|| {
                    writing.bad(origin, "this provider takes documents as PDF or text only")
                })?;
                ("txt", None, Some(Cow::Owned(text)))
            }
        },
        Source::PlainText(text) => ("txt", None, Some(Cow::Borrowed(text.as_ref()))),
        Source::Url(_) | Source::File(_) => {
            return Err(
                writing.bad(origin, "this provider does not fetch documents; send the document's data")
            );
        }
    };
    list.object(|block| {
        block.object("document", |document| {
            document.string("format", format);
            document.string("name", &plain_name(title));
            document.object("source", |source| {
                source.string_if("bytes", bytes.map(Cow::as_ref));
                source.string_if("text", text.as_deref());
            });
            document.string_if("context", context);
            if citations {
                document.object("citations", |config| config.bool("enabled", true));
            }
        });
    });
    Ok(())
}

/// Bedrock takes letters, digits, single spaces, hyphens and brackets in names.
fn plain_name(title: Option<&str>) -> String {
    let kept = |c: char| {
        if c.is_alphanumeric() || "-()[]".contains(c) { c } else { ' ' }
    };
    let name: String = title.unwrap_or_default().chars().map(kept).collect();
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    if name.is_empty() { "document".to_owned() } else { name }
}

fn write_tool_result(
    list: &mut Array<'_>,
    id: &str,
    content: &[Part<'_>],
    is_error: bool,
    origin: usize,
    writing: &mut Writing<'_>,
) -> Result<(), BadRequest> {
    let mut result = Ok(());
    list.object(|block| {
        block.object("toolResult", |tool| {
            tool.string("toolUseId", &plain_id(id));
            tool.array("content", |items| {
                for part in content {
                    match part {
                        // An empty result is said with empty text here, and only here.
                        Part::Text { text, .. } => items.object(|item| item.string("text", text)),
                        part if result.is_ok() => result = write_part(items, part, origin, writing),
                        _ => {}
                    }
                }
            });
            if is_error {
                tool.string("status", "error");
            }
        });
    });
    result
}
