//! Reading a Responses request.

use std::borrow::Cow;

use crate::translate::conversation::{
    Effort, Family, Format, Message, Part, Reasoning, Request, Role, Source, Tool, ToolCall, ToolChoice,
};
use crate::translate::json::{self, Fields, Json, Path};
use crate::translate::openai_chat::{data_url, read_cache, read_schema, read_url};
use crate::translate::{BadRequest, Dropped};

use super::read_reasoning;

const RAW_KEYS: [&str; 6] =
    ["parameters", "schema", "metadata", "prompt_cache_options", "moderation", "logprobs"];

/// Fields that mean something to OpenAI alone, under the same name in Chat and Responses.
const OPENAI_FIELDS: [&str; 7] = [
    "metadata",
    "moderation",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "store",
];

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
    fields.take("stream_options");
    for stored in ["previous_response_id", "conversation", "prompt"] {
        if fields.has(stored) {
            return Err(root.key(stored).bad("needs OpenAI's memory; send the whole conversation in input"));
        }
    }
    if fields.bool("background")? == Some(true) {
        return Err(root.key("background").bad("needs OpenAI's memory; leave it out"));
    }
    if let Some(instructions) = fields.string("instructions")? {
        request.system.push(Part::text(instructions));
    }
    read_input(&mut fields, &mut request, dropped)?;
    read_tools(&mut fields, &mut request, dropped)?;
    read_text(&mut fields, &mut request, dropped)?;
    read_include(&mut fields, &mut request, dropped)?;
    request.sampling.temperature = fields.number("temperature")?;
    request.sampling.top_p = fields.number("top_p")?;
    request.sampling.top_logprobs = fields.count("top_logprobs")?.filter(|top| *top > 0);
    request.sampling.logprobs |= request.sampling.top_logprobs.is_some();
    request.max_output = fields.count("max_output_tokens")?;
    if let Some(reasoning) = fields.take("reasoning") {
        request.reasoning = Some(read_effort(Fields::new(reasoning, root.key("reasoning"))?, dropped)?);
    }
    request.user = fields.string("user")?;
    request.service_tier = fields.string("service_tier")?;
    if fields.string("truncation")?.is_some_and(|truncation| truncation != "disabled") {
        dropped.add("truncation");
    }
    for name in OPENAI_FIELDS {
        if let Some(value) = fields.raw(name) {
            request.openai.push((name, value));
        }
    }
    fields.finish(dropped);
    Ok(request)
}

fn read_input<'a>(
    fields: &mut Fields<'a, '_>,
    request: &mut Request<'a>,
    dropped: &mut Dropped,
) -> Result<(), BadRequest> {
    let root = Path::ROOT;
    let list = root.key("input");
    let items = match fields.take("input") {
        Some(Json::String(text)) => {
            request.messages.push(Message { role: Role::User, parts: vec![Part::text(text)], origin: 0 });
            return Ok(());
        }
        Some(Json::Array(items)) => items,
        None => return Err(list.bad("is required")),
        Some(_) => return Err(list.bad("must be a string or an array of items")),
    };
    for (at, item) in items.into_iter().enumerate() {
        let path = list.index(at);
        let mut item = Fields::new(item, path)?;
        let kind = item.string("type")?.unwrap_or(Cow::Borrowed("message"));
        item.take("status");
        let (role, mut parts) = match kind.as_ref() {
            "message" => read_message(&mut item, dropped)?,
            "function_call" => (Role::Assistant, vec![read_call(&mut item)?]),
            "function_call_output" => (Role::User, vec![read_output(&mut item, dropped)?]),
            "reasoning" => (Role::Assistant, vec![read_reasoning_item(&mut item)?]),
            "item_reference" => return Err(path.bad("refers to OpenAI's memory; send the item itself")),
            other => {
                dropped.add(format!("input[].{other}"));
                continue;
            }
        };
        item.finish(dropped);
        if role == Role::System && request.messages.is_empty() {
            request.system.append(&mut parts);
            continue;
        }
        // Reasoning, text and calls of one answer are separate items but one message.
        match request.messages.last_mut().filter(|last| role == Role::Assistant && last.role == role) {
            Some(last) => parts.into_iter().for_each(|part| push(&mut last.parts, part)),
            None => request.messages.push(Message { role, parts, origin: at }),
        }
    }
    Ok(())
}

/// Adds a part; a bare signature of Gemini's goes onto the call it precedes.
fn push<'a>(parts: &mut Vec<Part<'a>>, mut part: Part<'a>) {
    if let Part::ToolCall(call) = &mut part
        && let Some(Part::Thinking { text, signature: Some(carried) }) = parts.last()
        && text.is_empty()
        && carried.family == Family::Google
    {
        call.signature = Some(carried.data.clone());
        parts.pop();
    }
    parts.push(part);
}

fn read_message<'a>(
    item: &mut Fields<'a, '_>,
    dropped: &mut Dropped,
) -> Result<(Role, Vec<Part<'a>>), BadRequest> {
    let path = item.path;
    let role = match item.required_string("role")?.as_ref() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" | "developer" => Role::System,
        other => {
            let known = "user, assistant, system or developer";
            return Err(path.key("role").bad(format!("must be {known}, not {other:?}")));
        }
    };
    item.take("id");
    item.take("phase");
    Ok((role, read_content(item, "content", dropped)?))
}

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
            items.into_iter().enumerate().map(|(at, item)| read_part(item, path.index(at), dropped)).collect()
        }
        Some(_) => Err(path.bad("must be a string or an array of content parts")),
    }
}

fn read_part<'a>(item: Json<'a>, path: Path<'_>, dropped: &mut Dropped) -> Result<Part<'a>, BadRequest> {
    let mut fields = Fields::new(item, path)?;
    let kind = fields.required_string("type")?;
    let cache = read_cache(&mut fields)?;
    let part = match kind.as_ref() {
        "input_text" | "output_text" | "text" => {
            fields.take("logprobs");
            if fields.array("annotations")?.is_some_and(|list| !list.is_empty()) {
                dropped.add(path.key("annotations").name());
            }
            Part::Text {
                text: fields.required_string("text")?,
                citations: Vec::new(),
                cache,
                signature: None,
            }
        }
        "refusal" => Part::Refusal(fields.required_string("refusal")?),
        "input_image" => {
            let source = match (fields.string("image_url")?, fields.string("file_id")?) {
                (Some(url), _) => read_url(url, path.key("image_url"))?,
                (None, Some(id)) => Source::File(id),
                (None, None) => return Err(path.bad("needs image_url or file_id")),
            };
            Part::Image { source, detail: fields.string("detail")?, cache }
        }
        "input_file" => {
            let data = fields.string("file_data")?;
            let url = fields.string("file_url")?;
            let source = match (data, url, fields.string("file_id")?) {
                (Some(data), ..) => data_url(data).ok_or_else(|| {
                    path.key("file_data").bad("must be a data URL such as data:application/pdf;base64,<data>")
                })?,
                (None, Some(url), _) => Source::Url(url),
                (None, None, Some(id)) => Source::File(id),
                (None, None, None) => return Err(path.bad("needs file_data, file_url or file_id")),
            };
            Part::Document {
                source,
                title: fields.string("filename")?,
                context: None,
                citations: false,
                cache,
            }
        }
        other => {
            return Err(path
                .key("type")
                .bad(format!("{other:?} is not a content part this gateway can translate")));
        }
    };
    fields.finish(dropped);
    Ok(part)
}

fn read_call<'a>(item: &mut Fields<'a, '_>) -> Result<Part<'a>, BadRequest> {
    let path = item.path;
    item.take("id");
    let arguments = item.string("arguments")?.unwrap_or_default();
    let arguments = if arguments.trim().is_empty() { Cow::Borrowed("{}") } else { arguments };
    if !json::is_object(&arguments) {
        return Err(path.key("arguments").bad("must be the text of a JSON object"));
    }
    Ok(Part::ToolCall(ToolCall {
        id: item.required_string("call_id")?,
        name: item.required_string("name")?,
        arguments,
        cache: None,
        signature: None,
    }))
}

fn read_output<'a>(item: &mut Fields<'a, '_>, dropped: &mut Dropped) -> Result<Part<'a>, BadRequest> {
    item.take("id");
    item.take("name");
    Ok(Part::ToolResult {
        id: item.required_string("call_id")?,
        content: read_content(item, "output", dropped)?,
        is_error: false,
        cache: None,
    })
}

fn read_reasoning_item<'a>(item: &mut Fields<'a, '_>) -> Result<Part<'a>, BadRequest> {
    let path = item.path;
    let id = item.string("id")?;
    let mut text = String::new();
    for key in ["summary", "content"] {
        let list = path.key(key);
        for (at, part) in item.array(key)?.unwrap_or_default().into_iter().enumerate() {
            if !text.is_empty() {
                text.push_str("\n\n");
            }
            text.push_str(&Fields::new(part, list.index(at))?.required_string("text")?);
        }
    }
    Ok(read_reasoning(id.as_deref(), Cow::Owned(text), item.string("encrypted_content")?))
}

fn read_tools<'a>(
    fields: &mut Fields<'a, '_>,
    request: &mut Request<'a>,
    dropped: &mut Dropped,
) -> Result<(), BadRequest> {
    let root = Path::ROOT;
    let list = root.key("tools");
    for (at, tool) in fields.array("tools")?.unwrap_or_default().into_iter().enumerate() {
        let mut tool = Fields::new(tool, list.index(at))?;
        let kind = tool.required_string("type")?;
        if kind != "function" {
            dropped.add(format!("tools[].{kind}"));
            continue;
        }
        request.tools.push(Tool {
            name: tool.required_string("name")?,
            description: tool.string("description")?,
            schema: read_schema(&mut tool, "parameters")?,
            strict: tool.bool("strict")?,
            cache: None,
        });
        tool.finish(dropped);
    }
    request.parallel_tools = fields.bool("parallel_tool_calls")?;
    let path = root.key("tool_choice");
    request.tool_choice = match fields.take("tool_choice") {
        None => None,
        Some(Json::String(word)) => Some(match word.as_ref() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" => ToolChoice::Required,
            other => {
                return Err(path.bad(format!("must be none, auto, required or an object, not {other:?}")));
            }
        }),
        Some(choice) => Some(read_choice(Fields::new(choice, path)?, dropped)?),
    };
    Ok(())
}

fn read_choice<'a>(mut choice: Fields<'a, '_>, dropped: &mut Dropped) -> Result<ToolChoice<'a>, BadRequest> {
    let path = choice.path;
    match choice.required_string("type")?.as_ref() {
        "function" => Ok(ToolChoice::Named(choice.required_string("name")?)),
        "allowed_tools" => {
            let required = choice.string("mode")?.as_deref() == Some("required");
            let list = path.key("tools");
            let mut names = Vec::new();
            for (at, tool) in choice.array("tools")?.unwrap_or_default().into_iter().enumerate() {
                names.push(Fields::new(tool, list.index(at))?.required_string("name")?);
            }
            Ok(ToolChoice::Allowed { names, required })
        }
        _ => {
            dropped.add("tool_choice");
            Ok(ToolChoice::Auto)
        }
    }
}

fn read_text<'a>(
    fields: &mut Fields<'a, '_>,
    request: &mut Request<'a>,
    dropped: &mut Dropped,
) -> Result<(), BadRequest> {
    let root = Path::ROOT;
    let path = root.key("text");
    let Some(text) = fields.take("text") else {
        return Ok(());
    };
    let mut text = Fields::new(text, path)?;
    if let Some(verbosity) = text.raw("verbosity") {
        request.openai.push(("verbosity", verbosity));
    }
    if let Some(format) = text.take("format") {
        let path = path.key("format");
        let mut format = Fields::new(format, path)?;
        request.format = match format.required_string("type")?.as_ref() {
            "text" => None,
            "json_object" => Some(Format::Json),
            "json_schema" => Some(Format::Schema {
                name: format.string("name")?,
                description: format.string("description")?,
                strict: format.bool("strict")?,
                schema: read_schema(&mut format, "schema")?
                    .ok_or_else(|| path.key("schema").bad("is required"))?,
            }),
            other => {
                let known = "text, json_object or json_schema";
                return Err(path.key("type").bad(format!("must be {known}, not {other:?}")));
            }
        };
        format.finish(dropped);
    }
    text.finish(dropped);
    Ok(())
}

fn read_include(
    fields: &mut Fields<'_, '_>,
    request: &mut Request<'_>,
    dropped: &mut Dropped,
) -> Result<(), BadRequest> {
    for wish in fields.array("include")?.unwrap_or_default() {
        match &wish {
            Json::String(name) if name == "message.output_text.logprobs" => request.sampling.logprobs = true,
            // Signatures are always brought along.
            Json::String(name) if name == "reasoning.encrypted_content" => {}
            Json::String(name) => dropped.add(format!("include.{name}")),
            _ => dropped.add("include"),
        }
    }
    Ok(())
}

fn read_effort(mut fields: Fields<'_, '_>, dropped: &mut Dropped) -> Result<Reasoning, BadRequest> {
    let path = fields.path;
    let mut wish = Reasoning::default();
    if let Some(name) = fields.string("effort")? {
        wish.effort = Effort::parse(&name);
        if wish.effort.is_none() {
            let known = "none, minimal, low, medium, high, xhigh or max";
            return Err(path.key("effort").bad(format!("must be {known}, not {name:?}")));
        }
    }
    let summary = fields.string("generate_summary")?;
    wish.show = fields.string("summary")?.or(summary).map(|_| true);
    fields.finish(dropped);
    Ok(wish)
}
