//! Reading a Messages request.

use std::borrow::Cow;

use crate::translate::conversation::{
    Cache, Effort, Format, Message, Part, Reasoning, Request, Role, Signature, Source, Tool, ToolCall,
    ToolChoice,
};
use crate::translate::json::{self, Fields, Json, Path};
use crate::translate::{BadRequest, Dropped, openai_chat};

use super::{HOME, cache_of, tier_to_openai};

const RAW_KEYS: [&str; 3] = ["input_schema", "input", "schema"];

pub(in crate::translate) fn read_request<'a>(
    body: &'a [u8],
    dropped: &mut Dropped,
) -> Result<Request<'a>, BadRequest> {
    let json = json::parse(body, &RAW_KEYS).map_err(|error| BadRequest::body(&error))?;
    let root = Path::ROOT;
    let mut fields = Fields::new(json, root)?;
    let mut request = Request::default();
    fields.take("model");
    fields.take("stream");
    request.cache = read_cache(&mut fields)?;
    request.system = read_content(&mut fields, "system", dropped)?;
    read_messages(&mut fields, &mut request, dropped)?;
    read_tools(&mut fields, &mut request, dropped)?;
    request.sampling.temperature = fields.number("temperature")?;
    request.sampling.top_p = fields.number("top_p")?;
    request.sampling.top_k = fields.number("top_k")?;
    request.max_output = fields.count("max_tokens")?;
    let stops = root.key("stop_sequences");
    for (at, stop) in fields.array("stop_sequences")?.unwrap_or_default().into_iter().enumerate() {
        match stop {
            Json::String(stop) => request.stop.push(stop),
            _ => return Err(stops.index(at).bad("must be a string")),
        }
    }
    if let Some(thinking) = fields.take("thinking") {
        let wish = request.reasoning.get_or_insert_default();
        read_thinking(thinking, root.key("thinking"), wish, dropped)?;
    }
    if let Some(config) = fields.take("output_config") {
        read_output_config(config, root.key("output_config"), &mut request, dropped)?;
    }
    if let Some(metadata) = fields.take("metadata") {
        let mut metadata = Fields::new(metadata, root.key("metadata"))?;
        request.user = metadata.string("user_id")?;
        metadata.finish(dropped);
    }
    if let Some(tier) = fields.string("service_tier")? {
        match tier_to_openai(&tier) {
            // What OpenAI does unasked.
            Some("auto") => {}
            Some(tier) => request.service_tier = Some(Cow::Borrowed(tier)),
            None => dropped.add("service_tier"),
        }
    }
    fields.finish(dropped);
    Ok(request)
}

fn read_messages<'a>(
    fields: &mut Fields<'a, '_>,
    request: &mut Request<'a>,
    dropped: &mut Dropped,
) -> Result<(), BadRequest> {
    let root = Path::ROOT;
    let list = root.key("messages");
    let messages = fields.array("messages")?.ok_or_else(|| list.bad("is required"))?;
    for (at, message) in messages.into_iter().enumerate() {
        let path = list.index(at);
        let mut message = Fields::new(message, path)?;
        let role = match message.required_string("role")?.as_ref() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            other => {
                return Err(path
                    .key("role")
                    .bad(format!("must be user, assistant or system, not {other:?}")));
            }
        };
        if !message.has("content") {
            return Err(path.key("content").bad("is required"));
        }
        let parts = read_content(&mut message, "content", dropped)?;
        message.finish(dropped);
        request.messages.push(Message { role, parts, origin: at });
    }
    Ok(())
}

/// A string or an array of content blocks.
fn read_content<'a>(
    fields: &mut Fields<'a, '_>,
    key: &str,
    dropped: &mut Dropped,
) -> Result<Vec<Part<'a>>, BadRequest> {
    let path = fields.path;
    let path = path.key(key);
    match fields.take(key) {
        None => Ok(Vec::new()),
        Some(Json::String(text)) => Ok(vec![Part::text(text)]),
        Some(Json::Array(items)) => {
            let mut parts: Vec<Part<'a>> = Vec::with_capacity(items.len());
            for (at, item) in items.into_iter().enumerate() {
                let Some(part) = read_block(item, path.index(at), dropped)? else {
                    continue;
                };
                push(&mut parts, part);
            }
            Ok(parts)
        }
        Some(_) => Err(path.bad("must be a string or an array of content blocks")),
    }
}

/// Adds a block; a bare signature of Gemini's goes onto the block it precedes.
fn push<'a>(parts: &mut Vec<Part<'a>>, mut part: Part<'a>) {
    if let Part::ToolCall(call) = &mut part
        && let Some(Part::Thinking { text, signature: Some(carried) }) = parts.last()
        && text.is_empty()
        && carried.family == crate::translate::conversation::Family::Google
    {
        call.signature = Some(carried.data.clone());
        parts.pop();
    }
    parts.push(part);
}

fn read_block<'a>(
    item: Json<'a>,
    path: Path<'_>,
    dropped: &mut Dropped,
) -> Result<Option<Part<'a>>, BadRequest> {
    let mut fields = Fields::new(item, path)?;
    let kind = fields.required_string("type")?;
    let cache = read_cache(&mut fields)?;
    let part = match kind.as_ref() {
        "text" => {
            // What an earlier answer cited; other dialects do not take it back.
            if fields.array("citations")?.is_some_and(|list| !list.is_empty()) {
                dropped.add(path.key("citations").name());
            }
            Part::Text {
                text: fields.required_string("text")?,
                citations: Vec::new(),
                cache,
                signature: None,
            }
        }
        "image" => Part::Image { source: read_source(&mut fields, dropped)?, detail: None, cache },
        "document" => read_document(&mut fields, cache, dropped)?,
        "search_result" => read_search_result(&mut fields, cache, dropped)?,
        "thinking" => {
            let signature = fields.string("signature")?.filter(|data| !data.is_empty());
            Part::Thinking {
                text: fields.string("thinking")?.unwrap_or_default(),
                signature: signature.map(|data| Signature::read(HOME, data)),
            }
        }
        "redacted_thinking" => Part::Redacted(Signature::read(HOME, fields.required_string("data")?)),
        "tool_use" => {
            let arguments = fields.raw("input").unwrap_or(Cow::Borrowed("{}"));
            if !arguments.starts_with('{') {
                return Err(path.key("input").bad("must be an object"));
            }
            fields.take("caller");
            Part::ToolCall(ToolCall {
                id: fields.required_string("id")?,
                name: fields.required_string("name")?,
                arguments,
                cache,
                signature: None,
            })
        }
        "tool_result" => Part::ToolResult {
            id: fields.required_string("tool_use_id")?,
            content: read_content(&mut fields, "content", dropped)?,
            is_error: fields.bool("is_error")?.unwrap_or(false),
            cache,
        },
        // Server tools and their results belong to Anthropic's own machinery.
        other => {
            dropped.add(format!("messages[].content[].{other}"));
            return Ok(None);
        }
    };
    fields.finish(dropped);
    Ok(Some(part))
}

fn read_source<'a>(fields: &mut Fields<'a, '_>, dropped: &mut Dropped) -> Result<Source<'a>, BadRequest> {
    let path = fields.path;
    let path = path.key("source");
    let mut source = Fields::new(fields.take("source").unwrap_or(Json::Null), path)?;
    let found = match source.required_string("type")?.as_ref() {
        "base64" => Source::Base64 {
            media_type: source.required_string("media_type")?,
            data: source.required_string("data")?,
        },
        "url" => openai_chat::read_url(source.required_string("url")?, path.key("url"))?,
        "file" => Source::File(source.required_string("file_id")?),
        "text" => {
            source.take("media_type");
            Source::PlainText(source.required_string("data")?)
        }
        "content" => {
            let mut text = String::new();
            for part in read_content(&mut source, "content", dropped)? {
                match part {
                    Part::Text { text: more, .. } => {
                        text.push_str(&more);
                        text.push('\n');
                    }
                    _ => return Err(path.key("content").bad("only text can cross to another provider")),
                }
            }
            Source::PlainText(Cow::Owned(text))
        }
        other => {
            return Err(path
                .key("type")
                .bad(format!("{other:?} is not a source this gateway can translate")));
        }
    };
    source.finish(dropped);
    Ok(found)
}

fn read_document<'a>(
    fields: &mut Fields<'a, '_>,
    cache: Option<Cache>,
    dropped: &mut Dropped,
) -> Result<Part<'a>, BadRequest> {
    let path = fields.path;
    let citations = match fields.take("citations") {
        Some(config) => Fields::new(config, path.key("citations"))?.bool("enabled")?.unwrap_or(false),
        None => false,
    };
    Ok(Part::Document {
        title: fields.string("title")?,
        context: fields.string("context")?,
        source: read_source(fields, dropped)?,
        citations,
        cache,
    })
}

/// A search result is a text with a title and an origin, which is how other dialects are told it.
fn read_search_result<'a>(
    fields: &mut Fields<'a, '_>,
    cache: Option<Cache>,
    dropped: &mut Dropped,
) -> Result<Part<'a>, BadRequest> {
    let title = fields.required_string("title")?;
    let source = fields.required_string("source")?;
    let mut text = format!("{title}\n{source}\n");
    for part in read_content(fields, "content", dropped)? {
        if let Part::Text { text: more, .. } = part {
            text.push('\n');
            text.push_str(&more);
        }
    }
    if fields.take("citations").is_some() {
        let path = fields.path;
        dropped.add(path.key("citations").name());
    }
    Ok(Part::Text { text: Cow::Owned(text), citations: Vec::new(), cache, signature: None })
}

fn read_cache(fields: &mut Fields<'_, '_>) -> Result<Option<Cache>, BadRequest> {
    let path = fields.path;
    let path = path.key("cache_control");
    let Some(marker) = fields.take("cache_control") else {
        return Ok(None);
    };
    let mut marker = Fields::new(marker, path)?;
    let ttl = marker.string("ttl")?;
    match cache_of(ttl.as_deref()) {
        Some(cache) => Ok(Some(cache)),
        None => Err(path.key("ttl").bad("must be \"5m\" or \"1h\"")),
    }
}

fn read_tools<'a>(
    fields: &mut Fields<'a, '_>,
    request: &mut Request<'a>,
    dropped: &mut Dropped,
) -> Result<(), BadRequest> {
    let root = Path::ROOT;
    let list = root.key("tools");
    for (at, tool) in fields.array("tools")?.unwrap_or_default().into_iter().enumerate() {
        let path = list.index(at);
        let mut tool = Fields::new(tool, path)?;
        let kind = tool.string("type")?;
        if let Some(kind) = kind.filter(|kind| kind != "custom") {
            dropped.add(format!("tools[].{kind}"));
            continue;
        }
        request.tools.push(Tool {
            name: tool.required_string("name")?,
            description: tool.string("description")?,
            schema: openai_chat::read_schema(&mut tool, "input_schema")?,
            strict: tool.bool("strict")?,
            cache: read_cache(&mut tool)?,
        });
        // How Anthropic streams arguments; other dialects always stream them so.
        tool.take("eager_input_streaming");
        tool.finish(dropped);
    }
    let path = root.key("tool_choice");
    let Some(choice) = fields.take("tool_choice") else {
        return Ok(());
    };
    let mut choice = Fields::new(choice, path)?;
    request.tool_choice = Some(match choice.required_string("type")?.as_ref() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Named(choice.required_string("name")?),
        other => {
            return Err(path.key("type").bad(format!("must be auto, any, tool or none, not {other:?}")));
        }
    });
    request.parallel_tools = choice.bool("disable_parallel_tool_use")?.map(|disabled| !disabled);
    choice.finish(dropped);
    Ok(())
}

/// `thinking`, which several OpenAI-shaped clients send too.
pub(in crate::translate) fn read_thinking(
    thinking: Json<'_>,
    path: Path<'_>,
    wish: &mut Reasoning,
    dropped: &mut Dropped,
) -> Result<(), BadRequest> {
    let mut fields = Fields::new(thinking, path)?;
    match fields.required_string("type")?.as_ref() {
        "enabled" => wish.budget = fields.count("budget_tokens")?,
        "adaptive" => wish.adaptive = true,
        "disabled" => wish.effort = Some(Effort::None),
        other => dropped.add(format!("{}.{other}", path.name())),
    }
    wish.show = match fields.string("display")?.as_deref() {
        Some("omitted") => Some(false),
        Some(_) => Some(true),
        None => wish.show,
    };
    fields.finish(dropped);
    Ok(())
}

fn read_output_config<'a>(
    config: Json<'a>,
    path: Path<'_>,
    request: &mut Request<'a>,
    dropped: &mut Dropped,
) -> Result<(), BadRequest> {
    let mut config = Fields::new(config, path)?;
    if let Some(name) = config.string("effort")? {
        let effort = Effort::parse(&name).ok_or_else(|| {
            path.key("effort").bad(format!("must be low, medium, high, xhigh or max, not {name:?}"))
        })?;
        let wish = request.reasoning.get_or_insert_default();
        // Effort also shapes answers without thinking, but only as thinking can it leave the dialect.
        if wish.effort != Some(Effort::None) {
            wish.effort = Some(effort);
        }
    }
    if let Some(format) = config.take("format") {
        let path = path.key("format");
        let mut format = Fields::new(format, path)?;
        match format.required_string("type")?.as_ref() {
            "json_schema" => {}
            other => {
                return Err(path.key("type").bad(format!("must be json_schema, not {other:?}")));
            }
        }
        let schema = openai_chat::read_schema(&mut format, "schema")?;
        request.format = Some(Format::Schema {
            name: None,
            description: None,
            schema: schema.ok_or_else(|| path.key("schema").bad("is required"))?,
            strict: None,
        });
        format.finish(dropped);
    }
    config.finish(dropped);
    Ok(())
}
