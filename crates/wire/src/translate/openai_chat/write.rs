//! Writing a Chat Completions request.

use std::borrow::Cow;

use crate::Dialect;
use crate::translate::conversation::{
    Cache, Effort, Format, Message, Part, Reasoning, Request, Role, Source, ToolCall, ToolChoice,
};
use crate::translate::dropped::Field;
use crate::translate::json::{self, Array, Object};
use crate::translate::{BadRequest, Writing};

pub(in crate::translate) fn write_request(
    request: &Request<'_>,
    writing: &mut Writing<'_>,
) -> Result<(String, Vec<u8>), BadRequest> {
    let mut out = Vec::with_capacity(4096);
    let mut result = Ok(());
    json::object(&mut out, |body| {
        body.string("model", writing.target.model);
        body.array("messages", |list| result = write_messages(list, request, writing));
        write_tools(body, request, writing);
        write_options(body, request, writing);
        if writing.target.stream {
            body.bool("stream", true);
            // Always asked for: what a call used must be known whether or not the client wants to hear it.
            body.object("stream_options", |options| options.bool("include_usage", true));
        }
    });
    result?;
    Ok(("/chat/completions".to_owned(), out))
}

fn write_messages(
    list: &mut Array<'_>,
    request: &Request<'_>,
    writing: &mut Writing<'_>,
) -> Result<(), BadRequest> {
    if request.cache.is_some() {
        writing.drop(Field::CacheMarker);
    }
    if !request.system.is_empty() {
        write_message(list, "system", &request.system, 0, writing)?;
    }
    for message in &request.messages {
        match message.role {
            Role::System => write_message(list, "system", &message.parts, message.origin, writing)?,
            Role::User => write_user(list, message, writing)?,
            Role::Assistant => write_assistant(list, message, writing)?,
        }
    }
    Ok(())
}

/// Tool results become messages of their own; their images, which a tool message cannot hold, follow as the user's.
fn write_user(
    list: &mut Array<'_>,
    message: &Message<'_>,
    writing: &mut Writing<'_>,
) -> Result<(), BadRequest> {
    let mut rest: Vec<Cow<'_, Part<'_>>> = Vec::new();
    for part in &message.parts {
        let Part::ToolResult { id, content, is_error, cache } = part else {
            rest.push(Cow::Borrowed(part));
            continue;
        };
        if *is_error {
            writing.drop(Field::ToolError);
        }
        let (texts, media): (Vec<_>, Vec<_>) =
            content.iter().partition(|part| matches!(part, Part::Text { .. }));
        list.object(|tool| {
            tool.string("role", "tool");
            tool.string("tool_call_id", id);
            match texts.as_slice() {
                [] if media.is_empty() => tool.string("content", ""),
                [] => tool.string("content", "The result is attached to the next message."),
                [Part::Text { text, .. }] => tool.string("content", text),
                texts => tool.array("content", |items| {
                    for part in texts {
                        if let Part::Text { text, .. } = part {
                            items.object(|item| write_text(item, text));
                        }
                    }
                }),
            }
            write_cache(tool, *cache, writing);
        });
        rest.extend(media.into_iter().map(Cow::Borrowed));
    }
    if rest.is_empty() && !message.parts.is_empty() {
        return Ok(());
    }
    write_message(list, "user", &rest, message.origin, writing)
}

fn write_message<'a, P: AsPart<'a>>(
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
            && let Part::Text { text, cache, .. } = only.part()
            && (cache.is_none() || !writing.target.takes_cache_control)
        {
            if cache.is_some() {
                writing.drop(Field::CacheMarker);
            }
            message.string("content", text);
            return;
        }
        if parts.is_empty() {
            message.string("content", "");
            return;
        }
        message.array("content", |items| {
            for part in parts {
                if let Err(bad) = write_part(items, part.part(), origin, writing) {
                    result = Err(bad);
                    return;
                }
            }
        });
    });
    result
}

/// Parts by value or borrowed.
trait AsPart<'a> {
    fn part(&self) -> &Part<'a>;
}

impl<'a> AsPart<'a> for Part<'a> {
    fn part(&self) -> &Part<'a> {
        self
    }
}

impl<'a> AsPart<'a> for Cow<'_, Part<'a>> {
    fn part(&self) -> &Part<'a> {
        self
    }
}

fn write_part(
    items: &mut Array<'_>,
    part: &Part<'_>,
    origin: usize,
    writing: &mut Writing<'_>,
) -> Result<(), BadRequest> {
    match part {
        Part::Text { text, cache, .. } => items.object(|item| {
            write_text(item, text);
            write_cache(item, *cache, writing);
        }),
        Part::Refusal(text) => items.object(|item| write_text(item, text)),
        Part::Image { source, detail, cache } => {
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
                write_cache(item, *cache, writing);
            });
        }
        Part::Document { source, title, context, citations, cache } => {
            if context.is_some() {
                writing.drop(Field::DocumentContext);
            }
            if *citations {
                writing.drop(Field::Citations);
            }
            return write_document(items, source, title.as_deref(), *cache, origin, writing);
        }
        Part::Audio { media_type, data } => items.object(|item| {
            item.string("type", "input_audio");
            item.object("input_audio", |audio| {
                audio.string("data", data);
                audio.string("format", media_type.strip_prefix("audio/").unwrap_or(media_type));
            });
        }),
        Part::Thinking { .. } | Part::Redacted(_) => writing.drop(Field::Thinking),
        // A result inside another's content: read_request never makes one.
        Part::ToolCall(_) | Part::ToolResult { .. } => {}
    }
    Ok(())
}

fn write_document(
    items: &mut Array<'_>,
    source: &Source<'_>,
    title: Option<&str>,
    cache: Option<Cache>,
    origin: usize,
    writing: &mut Writing<'_>,
) -> Result<(), BadRequest> {
    let same_store = matches!(writing.from, Dialect::OpenAiChat | Dialect::OpenAiResponses);
    match source {
        Source::PlainText(text) => items.object(|item| {
            let text = match title {
                Some(title) => Cow::Owned(format!("{title}\n\n{text}")),
                None => Cow::Borrowed(text.as_ref()),
            };
            write_text(item, &text);
            write_cache(item, cache, writing);
        }),
        Source::Base64 { media_type, data } => items.object(|item| {
            item.string("type", "file");
            item.object("file", |file| {
                file.string("filename", title.unwrap_or("document.pdf"));
                file.string("file_data", &format!("data:{media_type};base64,{data}"));
            });
            write_cache(item, cache, writing);
        }),
        Source::File(id) if same_store => items.object(|item| {
            item.string("type", "file");
            item.object("file", |file| file.string("file_id", id));
        }),
        Source::File(_) => {
            return Err(
                writing.bad(origin, "a document by file id cannot cross to another provider; send its data")
            );
        }
        Source::Url(_) => {
            return Err(writing
                .bad(origin, "this provider does not fetch documents by address; send the document's data"));
        }
    }
    Ok(())
}

fn write_text(item: &mut Object<'_>, text: &str) {
    item.string("type", "text");
    item.string("text", text);
}

fn write_cache(object: &mut Object<'_>, cache: Option<Cache>, writing: &mut Writing<'_>) {
    let Some(cache) = cache else { return };
    if !writing.target.takes_cache_control {
        writing.drop(Field::CacheMarker);
        return;
    }
    crate::translate::anthropic_messages::write_cache(object, Some(cache));
}

fn write_assistant(
    list: &mut Array<'_>,
    message: &Message<'_>,
    writing: &mut Writing<'_>,
) -> Result<(), BadRequest> {
    let mut text = String::new();
    let mut thinking = String::new();
    let mut refusal = None;
    let mut calls: Vec<&ToolCall<'_>> = Vec::new();
    for part in &message.parts {
        match part {
            Part::Text { text: more, cache, .. } => {
                text.push_str(more);
                if cache.is_some() {
                    writing.drop(Field::CacheMarker);
                }
            }
            Part::Refusal(text) => refusal = Some(text),
            Part::Thinking { text, .. } => thinking.push_str(text),
            Part::ToolCall(call) => calls.push(call),
            Part::Image { .. } | Part::Document { .. } | Part::Audio { .. } => {
                return Err(writing.bad(
                    message.origin,
                    "an assistant message cannot hold images or files for this provider",
                ));
            }
            Part::Redacted(_) | Part::ToolResult { .. } => {}
        }
    }
    let carries = writing.target.takes_reasoning_content;
    if message.parts.iter().any(|part| match part {
        Part::Redacted(_) => true,
        Part::Thinking { text, .. } => !carries && !text.is_empty(),
        _ => false,
    }) {
        writing.drop(Field::Thinking);
    }
    list.object(|object| {
        object.string("role", "assistant");
        if text.is_empty() && !(calls.is_empty() && refusal.is_none()) {
            object.null("content");
        } else {
            object.string("content", &text);
        }
        object.string_if("refusal", refusal.map(Cow::as_ref));
        if carries && !thinking.is_empty() {
            object.string("reasoning_content", &thinking);
        }
        if !calls.is_empty() {
            object.array("tool_calls", |list| calls.iter().for_each(|call| write_tool_call(list, call)));
        }
    });
    Ok(())
}

fn write_tool_call(list: &mut Array<'_>, call: &ToolCall<'_>) {
    list.object(|item| {
        item.string("id", &call.id);
        item.string("type", "function");
        item.object("function", |function| {
            function.string("name", &call.name);
            function.string("arguments", &call.arguments);
        });
    });
}

fn write_tools(body: &mut Object<'_>, request: &Request<'_>, writing: &mut Writing<'_>) {
    if request.tools.is_empty() {
        return;
    }
    body.array("tools", |list| {
        for tool in &request.tools {
            list.object(|item| {
                item.string("type", "function");
                item.object("function", |function| {
                    function.string("name", &tool.name);
                    function.string_if("description", tool.description.as_deref());
                    function.raw_if("parameters", tool.schema.as_deref());
                    if let Some(strict) = tool.strict {
                        function.bool("strict", strict);
                    }
                });
                if tool.cache.is_some() && !writing.target.takes_cache_control {
                    writing.drop(Field::ToolCache);
                } else {
                    write_cache(item, tool.cache, writing);
                }
            });
        }
    });
    match &request.tool_choice {
        None => {}
        Some(ToolChoice::Auto) => body.string("tool_choice", "auto"),
        Some(ToolChoice::None) => body.string("tool_choice", "none"),
        Some(ToolChoice::Required) => body.string("tool_choice", "required"),
        Some(ToolChoice::Named(name)) => body.object("tool_choice", |choice| {
            choice.string("type", "function");
            choice.object("function", |function| function.string("name", name));
        }),
        Some(ToolChoice::Allowed { names, required }) => body.object("tool_choice", |choice| {
            choice.string("type", "allowed_tools");
            choice.object("allowed_tools", |allowed| {
                allowed.string("mode", if *required { "required" } else { "auto" });
                allowed.array("tools", |list| {
                    for name in names {
                        list.object(|tool| {
                            tool.string("type", "function");
                            tool.object("function", |function| function.string("name", name));
                        });
                    }
                });
            });
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
    if sampling.top_k.is_some() {
        writing.drop(Field::TopK);
    }
    body.number_if("frequency_penalty", sampling.frequency_penalty.as_ref());
    body.number_if("presence_penalty", sampling.presence_penalty.as_ref());
    body.number_if("seed", sampling.seed.as_ref());
    if let Some(n) = sampling.n {
        body.integer("n", n);
    }
    if sampling.logprobs {
        body.bool("logprobs", true);
        if let Some(top) = sampling.top_logprobs {
            body.integer("top_logprobs", top);
        }
    }
    body.raw_if("logit_bias", sampling.logit_bias.as_deref());
    if let Some(most) = request.max_output {
        let most = writing.target.max_output.map_or(most, |limit| most.min(limit));
        let name =
            if writing.target.takes_max_completion_tokens { "max_completion_tokens" } else { "max_tokens" };
        body.integer(name, most);
    }
    if !request.stop.is_empty() {
        // Chat takes four.
        if request.stop.len() > 4 {
            writing.drop(Field::Stop);
        }
        body.strings("stop", &request.stop[..request.stop.len().min(4)]);
    }
    write_format(body, request.format.as_ref());
    if let Some(reasoning) = request.reasoning {
        write_reasoning(body, reasoning, writing);
    }
    body.string_if("user", request.user.as_deref());
    body.string_if("service_tier", request.service_tier.as_deref());
    for (name, value) in &request.openai {
        body.raw(name, value);
    }
}

fn write_format(body: &mut Object<'_>, format: Option<&Format<'_>>) {
    match format {
        None => {}
        Some(Format::Json) => body.object("response_format", |format| format.string("type", "json_object")),
        Some(Format::Schema { name, description, schema, strict }) => {
            body.object("response_format", |format| {
                format.string("type", "json_schema");
                format.object("json_schema", |inner| {
                    inner.string("name", name.as_deref().unwrap_or("output"));
                    inner.string_if("description", description.as_deref());
                    inner.raw("schema", schema);
                    if let Some(strict) = strict {
                        inner.bool("strict", *strict);
                    }
                });
            })
        }
    }
}

fn write_reasoning(body: &mut Object<'_>, reasoning: Reasoning, writing: &mut Writing<'_>) {
    let from_openai = matches!(writing.from, Dialect::OpenAiChat | Dialect::OpenAiResponses);
    let effort = reasoning.effort.or(reasoning.budget.map(Effort::of_budget));
    match effort {
        // The model's own default is what an adaptive wish asks for.
        None => {}
        // Only some models can be told not to think; asking the others is an error.
        Some(Effort::None) if !from_openai => writing.drop(Field::Reasoning),
        Some(_) if writing.target.never_thinks => writing.drop(Field::Reasoning),
        Some(effort) => body.string("reasoning_effort", effort.name()),
    }
}

impl Writing<'_> {
    /// A refusal that points at a message of the client's body.
    pub(in crate::translate) fn bad(&self, origin: usize, message: &str) -> BadRequest {
        BadRequest {
            path: format!("{}[{origin}]", crate::translate::tools::list_name(self.from)),
            message: message.to_owned(),
        }
    }
}
