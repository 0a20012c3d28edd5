//! Reading a Chat Completions request and its messages.

use std::borrow::Cow;

use crate::translate::conversation::{Cache, Message, Part, Request, Role, Signature, ToolCall};
use crate::translate::json::{self, Fields, Json, Path};
use crate::translate::{BadRequest, Dropped};

use super::HOME;
use super::content::{read_cache, read_content};
use super::options::{read_format, read_reasoning, read_sampling, read_stop, read_tools};

const RAW_KEYS: [&str; 8] = [
    "parameters",
    "schema",
    "logit_bias",
    "metadata",
    "prediction",
    "web_search_options",
    "moderation",
    "prompt_cache_options",
];

/// Fields that mean something to OpenAI alone, under the same name in Chat and Responses.
const OPENAI_FIELDS: [&str; 11] = [
    "metadata",
    "modalities",
    "moderation",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "store",
    "verbosity",
    "web_search_options",
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
    if let Some(options) = fields.take("stream_options") {
        let path = root.key("stream_options");
        let mut options = Fields::new(options, path)?;
        request.include_usage = options.bool("include_usage")?.unwrap_or(false);
        options.take("include_obfuscation");
        options.finish(dropped);
    }
    read_messages(&mut fields, &mut request, dropped)?;
    read_tools(&mut fields, &mut request, dropped)?;
    request.sampling = read_sampling(&mut fields)?;
    let max_tokens = fields.count("max_tokens")?;
    request.max_output = fields.count("max_completion_tokens")?.or(max_tokens);
    request.stop = read_stop(&mut fields)?;
    request.format = read_format(&mut fields, dropped)?;
    request.reasoning = read_reasoning(&mut fields, dropped)?;
    request.user = fields.string("user")?;
    request.service_tier = fields.string("service_tier")?;
    for name in OPENAI_FIELDS {
        if let Some(value) = fields.raw(name) {
            request.openai.push((name, value));
        }
    }
    for obsolete in ["functions", "function_call"] {
        if fields.has(obsolete) {
            return Err(root.key(obsolete).bad("is obsolete and not translated; use tools and tool_choice"));
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
        let role = message.required_string("role")?;
        let cache = read_cache(&mut message)?;
        let mut parts = Vec::new();
        let role = match role.as_ref() {
            "system" | "developer" => {
                parts = read_content(&mut message, dropped)?;
                Role::System
            }
            "user" => {
                parts = read_content(&mut message, dropped)?;
                Role::User
            }
            "assistant" => {
                read_assistant(&mut message, &mut parts, dropped)?;
                Role::Assistant
            }
            "tool" => {
                let id = message.required_string("tool_call_id")?;
                let is_error = message.bool("is_error")?.unwrap_or(false);
                // Sent by frameworks; the call it answers has the name.
                message.take("name");
                let content = read_content(&mut message, dropped)?;
                parts.push(Part::ToolResult { id, content, is_error, cache: None });
                Role::User
            }
            "function" => return Err(path.key("role").bad("\"function\" is obsolete; use \"tool\"")),
            other => {
                let known = "system, developer, user, assistant or tool";
                return Err(path.key("role").bad(format!("must be {known}, not {other:?}")));
            }
        };
        message.finish(dropped);
        if let (Some(cache), Some(last)) = (cache, parts.last_mut()) {
            mark(last, cache);
        }
        if role == Role::System && request.messages.is_empty() {
            request.system.append(&mut parts);
        } else {
            request.messages.push(Message { role, parts, origin: at });
        }
    }
    Ok(())
}

fn mark(part: &mut Part<'_>, marker: Cache) {
    match part {
        Part::Text { cache, .. }
        | Part::Image { cache, .. }
        | Part::Document { cache, .. }
        | Part::ToolResult { cache, .. } => *cache = Some(marker),
        Part::ToolCall(call) => call.cache = Some(marker),
        Part::Refusal(_) | Part::Audio { .. } | Part::Thinking { .. } | Part::Redacted(_) => {}
    }
}

fn read_assistant<'a>(
    message: &mut Fields<'a, '_>,
    parts: &mut Vec<Part<'a>>,
    dropped: &mut Dropped,
) -> Result<(), BadRequest> {
    let path = message.path;
    let signature = read_signature(message)?;
    let mut said = read_content(message, dropped)?;
    if let (Some(signature), Some(Part::Text { signature: slot, .. })) = (signature, said.last_mut()) {
        *slot = Some(signature);
    }
    if let Some(refusal) = message.string("refusal")? {
        said.push(Part::Refusal(refusal));
    }
    let list = path.key("tool_calls");
    for (at, call) in message.array("tool_calls")?.unwrap_or_default().into_iter().enumerate() {
        said.push(read_tool_call(call, list.index(at), dropped)?);
    }
    let text = message.string("reasoning_content")?.or(message.string("reasoning")?);
    // Several providers send the same thinking once more in a form of their own.
    message.take("reasoning_details");
    let blocks = message.array("thinking_blocks")?.unwrap_or_default();
    if blocks.is_empty() {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            parts.push(Part::Thinking { text, signature: None });
        }
        parts.append(&mut said);
    } else {
        weave(blocks, path.key("thinking_blocks"), said, parts)?;
    }
    if message.array("annotations")?.is_some_and(|list| !list.is_empty()) {
        dropped.add(path.key("annotations").name());
    }
    if message.has("function_call") {
        return Err(path.key("function_call").bad("is obsolete and not translated; use tool_calls"));
    }
    Ok(())
}

/// Puts thinking blocks back where the answer had them: each says at which place it stood, the rest fills the gaps.
fn weave<'a>(
    blocks: Vec<Json<'a>>,
    list: Path<'_>,
    said: Vec<Part<'a>>,
    parts: &mut Vec<Part<'a>>,
) -> Result<(), BadRequest> {
    let mut said = said.into_iter();
    for (at, block) in blocks.into_iter().enumerate() {
        let path = list.index(at);
        let mut fields = Fields::new(block, path)?;
        let place = fields.count("index")?.unwrap_or(0);
        while (parts.len() as u64) < place {
            let Some(part) = said.next() else { break };
            parts.push(part);
        }
        parts.push(match fields.required_string("type")?.as_ref() {
            "thinking" => Part::Thinking {
                text: fields.string("thinking")?.unwrap_or_default(),
                signature: fields
                    .string("signature")?
                    .filter(|data| !data.is_empty())
                    .map(|data| Signature::read(HOME, data)),
            },
            "redacted_thinking" => Part::Redacted(Signature::read(HOME, fields.required_string("data")?)),
            other => {
                return Err(path.key("type").bad(format!("{other:?} is not a kind of thinking block")));
            }
        });
    }
    parts.extend(said);
    Ok(())
}

fn read_tool_call<'a>(call: Json<'a>, path: Path<'_>, dropped: &mut Dropped) -> Result<Part<'a>, BadRequest> {
    let mut fields = Fields::new(call, path)?;
    let id = fields.required_string("id")?;
    match fields.string("type")?.as_deref() {
        None | Some("function") => {}
        Some(other) => {
            return Err(path.key("type").bad(format!("calls of type {other:?} are not translated")));
        }
    }
    fields.take("index");
    let cache = read_cache(&mut fields)?;
    let signature = read_signature(&mut fields)?;
    let function_path = path.key("function");
    let mut function = Fields::new(fields.take("function").unwrap_or(Json::Null), function_path)?;
    let name = function.required_string("name")?;
    let arguments = function.string("arguments")?.unwrap_or_default();
    let arguments = if arguments.trim().is_empty() { Cow::Borrowed("{}") } else { arguments };
    if !json::is_object(&arguments) {
        return Err(function_path.key("arguments").bad("must be the text of a JSON object"));
    }
    function.finish(dropped);
    fields.finish(dropped);
    Ok(Part::ToolCall(ToolCall { id, name, arguments, cache, signature }))
}

/// `extra_content.google.thought_signature`
fn read_signature<'a>(fields: &mut Fields<'a, '_>) -> Result<Option<Cow<'a, str>>, BadRequest> {
    let path = fields.path;
    let path = path.key("extra_content");
    let Some(extra) = fields.take("extra_content") else {
        return Ok(None);
    };
    let Some(google) = Fields::new(extra, path)?.take("google") else {
        return Ok(None);
    };
    Fields::new(google, path.key("google"))?.string("thought_signature")
}
