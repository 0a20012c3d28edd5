//! Writing a Converse request.

use std::borrow::Cow;

use crate::translate::anthropic_messages::{Thinking, max_tokens, thinking, turns};
use crate::translate::conversation::{
    Cache, Effort, Family, Format, Part, Request, Role, Signature, Source, Tool, ToolChoice,
};
use crate::translate::dropped::Field;
use crate::translate::json::{self, Array, Object};
use crate::translate::media::text_of_base64;
use crate::translate::tools::plain_id;
use crate::translate::{BadRequest, Writing};

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
        if request
            .reasoning
            .is_some_and(|wish| wish.effort != Some(Effort::None))
        {
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
    let method = if writing.target.stream {
        "converse-stream"
    } else {
        "converse"
    };
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
                    message.string(
                        "role",
                        if turn.role == Role::Assistant {
                            "assistant"
                        } else {
                            "user"
                        },
                    );
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
        Part::Image {
            source,
            detail,
            cache,
        } => {
            if detail.as_deref().is_some_and(|detail| detail != "auto") {
                writing.drop(Field::ImageDetail);
            }
            write_image(list, source, origin, writing)?;
            marker = *cache;
        }
        Part::Document {
            source,
            title,
            context,
            citations,
            cache,
        } => {
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
        Part::Thinking {
            text,
            signature:
                Some(Signature {
                    family: Family::Anthropic,
                    data,
                }),
        } => list.object(|block| {
            block.object("reasoningContent", |content| {
                content.object("reasoningText", |reasoning| {
                    reasoning.string("text", text);
                    reasoning.string("signature", data);
                });
            });
        }),
        Part::Redacted(Signature {
            family: Family::Anthropic,
            data,
        }) => list.object(|block| {
            block.object("reasoningContent", |content| {
                content.string("redactedContent", data)
            });
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
        Part::ToolResult {
            id,
            content,
            is_error,
            cache,
        } => {
            write_tool_result(list, id, content, *is_error, origin, writing)?;
            marker = *cache;
        }
    }
    write_cache(list, marker);
    Ok(())
}

fn write_cache(list: &mut Array<'_>, cache: Option<Cache>) {
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
                    return Err(writing.bad(
                        origin,
                        "this provider takes images as png, jpeg, gif or webp only",
                    ));
                }
            };
            write(list, format, &|source| source.string("bytes", data));
        }
        Source::Url(url) if url.starts_with("s3://") => {
            let (_, format) = url.rsplit_once('.').unwrap_or_default();
            let format = if format == "jpg" { "jpeg" } else { format };
            write(list, format, &|source| {
                source.object("s3Location", |place| place.string("uri", url))
            });
        }
        _ => {
            return Err(writing.bad(
                origin,
                "this provider does not fetch images by address; send a data URL",
            ));
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
            return Err(writing.bad(
                origin,
                "this provider does not fetch documents; send the document's data",
            ));
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
        if c.is_alphanumeric() || "-()[]".contains(c) {
            c
        } else {
            ' '
        }
    };
    let name: String = title.unwrap_or_default().chars().map(kept).collect();
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    if name.is_empty() {
        "document".to_owned()
    } else {
        name
    }
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

fn write_inference(
    body: &mut Object<'_>,
    request: &Request<'_>,
    thinking: &Thinking,
    writing: &mut Writing<'_>,
) {
    let sampling = &request.sampling;
    let thinks = matches!(thinking, Thinking::Budget(_) | Thinking::Adaptive);
    let mut config = Vec::new();
    json::object(&mut config, |config| {
        if request.max_output.is_some() || thinks {
            config.integer("maxTokens", max_tokens(request, thinking, writing));
        }
        match sampling
            .temperature
            .as_ref()
            .and_then(|number| Some((number, number.as_f64()?)))
        {
            None => {}
            Some((_, value)) if thinks && value != 1.0 => writing.drop(Field::Temperature),
            Some(_) if thinks => {}
            Some((_, value)) if value > 1.0 => {
                writing.drop(Field::Temperature);
                config.raw("temperature", "1");
            }
            Some((number, _)) => config.raw("temperature", &number.to_string()),
        }
        if let Some(top_p) = sampling
            .top_p
            .as_ref()
            .filter(|top_p| top_p.as_f64() != Some(1.0))
        {
            if thinks || sampling.temperature.is_some() {
                writing.drop(Field::TopP);
            } else {
                config.raw("topP", &top_p.to_string());
            }
        }
        if !request.stop.is_empty() {
            config.strings("stopSequences", &request.stop);
        }
    });
    if config != b"{}" {
        body.key("inferenceConfig").extend_from_slice(&config);
    }
    let zero = |number: &Option<serde_json::Number>| {
        number.as_ref().is_none_or(|number| number.as_f64() == Some(0.0))
    };
    for (field, said) in [
        (Field::FrequencyPenalty, !zero(&sampling.frequency_penalty)),
        (Field::PresencePenalty, !zero(&sampling.presence_penalty)),
        (Field::Seed, sampling.seed.is_some()),
        (Field::N, sampling.n.is_some_and(|n| n != 1)),
        (Field::Logprobs, sampling.logprobs),
        (Field::LogitBias, sampling.logit_bias.is_some()),
        (Field::User, request.user.is_some()),
        (Field::JsonFormat, matches!(request.format, Some(Format::Json))),
    ] {
        if said {
            writing.drop(field);
        }
    }
}

fn write_tools(body: &mut Object<'_>, request: &Request<'_>, writing: &mut Writing<'_>) {
    let allowed = |tool: &&Tool<'_>| match &request.tool_choice {
        Some(ToolChoice::Allowed { names, .. }) => names.contains(&tool.name),
        _ => true,
    };
    let tools: Vec<&Tool<'_>> = request.tools.iter().filter(allowed).collect();
    // A conversation that used tools has to declare them, even when none is offered any more.
    let mut used: Vec<&str> = Vec::new();
    for part in request.messages.iter().flat_map(|message| &message.parts) {
        if let Part::ToolCall(call) = part
            && tools.is_empty()
            && !used.contains(&call.name.as_ref())
        {
            used.push(&call.name);
        }
    }
    if tools.is_empty() && used.is_empty() {
        return;
    }
    let empty_schema = r#"{"type":"object","properties":{}}"#;
    body.object("toolConfig", |config| {
        config.array("tools", |list| {
            let mut spec =
                |name: &str, description: Option<&str>, schema: &str, strict: bool, cache: Option<Cache>| {
                    list.object(|item| {
                        item.object("toolSpec", |spec| {
                            spec.string("name", name);
                            spec.string_if("description", description.filter(|text| !text.is_empty()));
                            spec.object("inputSchema", |object| object.raw("json", schema));
                            if strict {
                                spec.bool("strict", true);
                            }
                        });
                    });
                    write_cache(list, cache);
                };
            for tool in &tools {
                let schema = tool
                    .schema
                    .as_deref()
                    .filter(|schema| *schema != "{}")
                    .unwrap_or(empty_schema);
                spec(
                    &tool.name,
                    tool.description.as_deref(),
                    schema,
                    tool.strict == Some(true),
                    tool.cache,
                );
            }
            for name in used {
                spec(name, None, empty_schema, false, None);
            }
        });
        match &request.tool_choice {
            _ if tools.is_empty() => {}
            None | Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => {}
            // Converse cannot forbid tools it was told about.
            Some(ToolChoice::None) => writing.drop(Field::ToolChoice),
            Some(ToolChoice::Required | ToolChoice::Allowed { .. }) => {
                config.object("toolChoice", |choice| choice.object("any", |_| {}));
            }
            Some(ToolChoice::Named(name)) => {
                config.object("toolChoice", |choice| {
                    choice.object("tool", |tool| tool.string("name", name))
                });
            }
        }
    });
    if request.parallel_tools == Some(false) {
        writing.drop(Field::ParallelTools);
    }
}

fn write_extras(
    body: &mut Object<'_>,
    request: &Request<'_>,
    thinking: &Thinking,
    is_claude: bool,
    writing: &mut Writing<'_>,
) {
    let mut extra = Vec::new();
    json::object(&mut extra, |extra| {
        match thinking {
            Thinking::Unsaid => {}
            Thinking::Disabled => extra.object("thinking", |object| object.string("type", "disabled")),
            Thinking::Budget(budget) => extra.object("thinking", |object| {
                object.string("type", "enabled");
                object.integer("budget_tokens", *budget);
            }),
            Thinking::Adaptive => extra.object("thinking", |object| object.string("type", "adaptive")),
        }
        if let Some(top_k) = &request.sampling.top_k {
            if is_claude && matches!(thinking, Thinking::Unsaid | Thinking::Disabled) {
                extra.raw("top_k", &top_k.to_string());
            } else {
                writing.drop(Field::TopK);
            }
        }
    });
    if extra != b"{}" {
        body.key("additionalModelRequestFields").extend_from_slice(&extra);
    }
    let effort = match (thinking, request.reasoning) {
        (Thinking::Adaptive, Some(wish)) => wish.effort.or(wish.budget.map(Effort::of_budget)),
        _ => None,
    };
    let schema = match &request.format {
        Some(Format::Schema { schema, name, .. }) => Some((schema, name)),
        _ => None,
    };
    if effort.is_some() || schema.is_some() {
        body.object("outputConfig", |config| {
            config.string_if("effort", effort.map(|effort| effort.max(Effort::Low).name()));
            if let Some((schema, name)) = schema {
                config.object("textFormat", |format| {
                    format.string("type", "json_schema");
                    format.object("structure", |structure| {
                        structure.object("jsonSchema", |object| {
                            object.string("schema", schema);
                            object.string_if("name", name.as_deref());
                        });
                    });
                });
            }
        });
    }
    match request.service_tier.as_deref() {
        None | Some("auto") => {}
        Some(tier @ ("default" | "flex" | "priority")) => {
            body.object("serviceTier", |object| object.string("type", tier));
        }
        Some(_) => writing.drop(Field::ServiceTier),
    }
}
