//! Reading a generateContent request. Google's parsers take every name in camelCase and in snake_case.

use std::borrow::Cow;

use crate::translate::conversation::{Message, Part, Request, Role, Signature, Source, ToolCall};
use crate::translate::json::{self, Fields, Json, Path};
use crate::translate::{BadRequest, Dropped};

use super::read_options::{read_config, read_tools};
use super::{Carried, HOME, read_signature};

const RAW_KEYS: [&str; 10] = [
    "parameters",
    "parametersJsonSchema",
    "parameters_json_schema",
    "responseSchema",
    "response_schema",
    "responseJsonSchema",
    "response_json_schema",
    "args",
    "response",
    "safetySettings",
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
    if let Some(system) = either(&mut fields, "systemInstruction", "system_instruction") {
        let path = root.key("systemInstruction");
        request.system = match system {
            Json::String(text) => vec![Part::text(text)],
            content => read_content(content, path, 0, &mut Calls::default(), dropped)?.1,
        };
    }
    if fields.has("cachedContent") || fields.has("cached_content") {
        return Err(root
            .key("cachedContent")
            .bad("content cached at Google cannot cross to another provider"));
    }
    let list = root.key("contents");
    let contents = match fields.take("contents") {
        Some(Json::Array(contents)) => contents,
        Some(one) => vec![one],
        None => return Err(list.bad("is required")),
    };
    let mut calls = Calls::default();
    for (at, content) in contents.into_iter().enumerate() {
        let (role, parts) = read_content(content, list.index(at), at, &mut calls, dropped)?;
        request.messages.push(Message { role, parts, origin: at });
    }
    read_tools(&mut fields, &mut request, dropped)?;
    if let Some(config) = either(&mut fields, "generationConfig", "generation_config") {
        let path = root.key("generationConfig");
        read_config(Fields::new(config, path)?, &mut request, dropped)?;
    }
    match either(&mut fields, "serviceTier", "service_tier") {
        Some(Json::String(tier)) => {
            request.service_tier = match tier.to_ascii_lowercase().as_str() {
                "standard" => Some("default".into()),
                "flex" => Some("flex".into()),
                "priority" => Some("priority".into()),
                _ => None,
            }
        }
        Some(_) => return Err(root.key("serviceTier").bad("must be a string")),
        None => {}
    }
    fields.finish(dropped);
    Ok(request)
}

pub(super) fn either<'a>(fields: &mut Fields<'a, '_>, camel: &str, snake: &str) -> Option<Json<'a>> {
    fields.take_any(&[camel, snake])
}

/// Calls made so far and not yet answered: Gemini matches results by id if there is one, else by name in order.
#[derive(Default)]
struct Calls<'a> {
    open: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Calls<'a> {
    fn answer(&mut self, id: Option<&Cow<'a, str>>, name: &str) -> Option<Cow<'a, str>> {
        let at = self.open.iter().position(|(open, called)| match id {
            Some(id) => open == id,
            None => called == name,
        })?;
        Some(self.open.remove(at).0)
    }
}

fn read_content<'a>(
    content: Json<'a>,
    path: Path<'_>,
    origin: usize,
    calls: &mut Calls<'a>,
    dropped: &mut Dropped,
) -> Result<(Role, Vec<Part<'a>>), BadRequest> {
    if let Json::String(text) = content {
        return Ok((Role::User, vec![Part::text(text)]));
    }
    let mut fields = Fields::new(content, path)?;
    let role = match fields.string("role")?.as_deref() {
        None | Some("user" | "function" | "system") => Role::User,
        Some("model") => Role::Assistant,
        Some(other) => {
            return Err(path.key("role").bad(format!("must be user or model, not {other:?}")));
        }
    };
    let list = path.key("parts");
    let items = match fields.take("parts") {
        None => Vec::new(),
        Some(Json::Array(items)) => items,
        Some(one) => vec![one],
    };
    let mut parts = Vec::with_capacity(items.len());
    for (at, item) in items.into_iter().enumerate() {
        read_part(item, list.index(at), (origin, at), calls, &mut parts, dropped)?;
    }
    fields.finish(dropped);
    Ok((role, parts))
}

fn read_part<'a>(
    item: Json<'a>,
    path: Path<'_>,
    (content, place): (usize, usize),
    calls: &mut Calls<'a>,
    parts: &mut Vec<Part<'a>>,
    dropped: &mut Dropped,
) -> Result<(), BadRequest> {
    let item = match item {
        text @ Json::String(_) => Json::Object(vec![(Cow::Borrowed("text"), text)]),
        item => item,
    };
    let mut fields = Fields::new(item, path)?;
    let thought = fields.bool("thought")?.unwrap_or(false);
    let signature = match either(&mut fields, "thoughtSignature", "thought_signature") {
        Some(Json::String(data)) => Some(read_signature(data)),
        _ => None,
    };
    let own = |signature: Option<Carried<'a>>| match signature {
        Some(Carried::Signature(signature)) if signature.family == HOME => Some(signature.data),
        _ => None,
    };
    if let Some(text) = fields.string("text")? {
        match signature {
            Some(Carried::Redacted(data)) => parts.push(Part::Redacted(data)),
            Some(Carried::Signature(signature)) if thought => push_thought(parts, text, Some(signature)),
            None if thought => push_thought(parts, text, None),
            other => {
                parts.push(Part::Text { text, citations: Vec::new(), cache: None, signature: own(other) })
            }
        }
    } else if let Some(call) = either(&mut fields, "functionCall", "function_call") {
        let path = path.key("functionCall");
        let mut call = Fields::new(call, path)?;
        let name = call.required_string("name")?;
        let id = call.string("id")?.unwrap_or_else(|| Cow::Owned(format!("call_{content}_{place}")));
        let arguments = call.raw("args").unwrap_or(Cow::Borrowed("{}"));
        if !arguments.starts_with('{') {
            return Err(path.key("args").bad("must be an object"));
        }
        calls.open.push((id.clone(), name.clone()));
        call.finish(dropped);
        parts.push(Part::ToolCall(ToolCall { id, name, arguments, cache: None, signature: own(signature) }));
    } else if let Some(response) = either(&mut fields, "functionResponse", "function_response") {
        let path = path.key("functionResponse");
        parts.push(read_result(Fields::new(response, path)?, calls, dropped)?);
    } else if let Some(part) = read_media(&mut fields, dropped)? {
        parts.push(part);
    }
    fields.finish(dropped);
    Ok(())
}

/// A streamed thought comes back in the pieces it was streamed in; its signature ends it.
fn push_thought<'a>(parts: &mut Vec<Part<'a>>, text: Cow<'a, str>, signature: Option<Signature<'a>>) {
    match parts.last_mut() {
        Some(Part::Thinking { text: before, signature: slot @ None }) => {
            before.to_mut().push_str(&text);
            *slot = signature;
        }
        _ => parts.push(Part::Thinking { text, signature }),
    }
}

fn read_media<'a>(
    fields: &mut Fields<'a, '_>,
    dropped: &mut Dropped,
) -> Result<Option<Part<'a>>, BadRequest> {
    let path = fields.path;
    let (source, media_type, title) = if let Some(inline) = either(fields, "inlineData", "inline_data") {
        let path = path.key("inlineData");
        let mut inline = Fields::new(inline, path)?;
        let media_type = media_type(&mut inline)?.ok_or_else(|| path.key("mimeType").bad("is required"))?;
        let data = standard_base64(inline.required_string("data")?);
        let title = either(&mut inline, "displayName", "display_name");
        inline.finish(dropped);
        (Source::Base64 { media_type: media_type.clone(), data }, media_type, title)
    } else if let Some(file) = either(fields, "fileData", "file_data") {
        let path = path.key("fileData");
        let mut file = Fields::new(file, path)?;
        let uri = match either(&mut file, "fileUri", "file_uri") {
            Some(Json::String(uri)) => uri,
            _ => return Err(path.key("fileUri").bad("must be a string")),
        };
        let media_type = media_type(&mut file)?.unwrap_or_default();
        let title = either(&mut file, "displayName", "display_name");
        file.finish(dropped);
        if uri.contains("generativelanguage.googleapis.com") || uri.starts_with("gs://") {
            return Err(path
                .key("fileUri")
                .bad("a file stored at Google cannot cross to another provider; send the data"));
        }
        (Source::Url(uri), media_type, title)
    } else {
        return Ok(None);
    };
    let title = match title {
        Some(Json::String(title)) => Some(title),
        _ => None,
    };
    let is_image = media_type.starts_with("image/");
    Ok(Some(match source {
        Source::Base64 { data, .. } if media_type.starts_with("audio/") => Part::Audio { media_type, data },
        source if is_image => Part::Image { source, detail: None, cache: None },
        source => Part::Document { source, title, context: None, citations: false, cache: None },
    }))
}

fn media_type<'a>(fields: &mut Fields<'a, '_>) -> Result<Option<Cow<'a, str>>, BadRequest> {
    Ok(fields.string("mimeType")?.or(fields.string("mime_type")?))
}

/// Google's SDKs write base64 in the alphabet for addresses; other providers want the ordinary one.
fn standard_base64(data: Cow<'_, str>) -> Cow<'_, str> {
    if data.contains(['-', '_']) { Cow::Owned(data.replace('-', "+").replace('_', "/")) } else { data }
}

fn read_result<'a>(
    mut fields: Fields<'a, '_>,
    calls: &mut Calls<'a>,
    dropped: &mut Dropped,
) -> Result<Part<'a>, BadRequest> {
    let name = fields.required_string("name")?;
    let id = fields.string("id")?;
    let answered = calls.answer(id.as_ref(), &name);
    // An unknown id stays, so that the check of results against calls can point at it.
    let id = answered.or(id).unwrap_or_else(|| Cow::Owned(format!("{name} (no open call of this name)")));
    let (mut content, mut is_error) = (Vec::new(), false);
    if let Some(response) = fields.raw("response") {
        let (text, failed) = plain_result(response);
        is_error = failed;
        content.push(Part::text(text));
    }
    if let Some(items) = fields.array("parts")? {
        let path = fields.path;
        let list = path.key("parts");
        for (at, item) in items.into_iter().enumerate() {
            let path = list.index(at);
            let mut item = Fields::new(item, path)?;
            content.extend(read_media(&mut item, dropped)?);
            item.finish(dropped);
        }
    }
    fields.finish(dropped);
    Ok(Part::ToolResult { id, content, is_error, cache: None })
}

/// The text inside `{"output": …}`, `{"result": …}` or `{"error": …}`; anything else is the result itself.
fn plain_result(response: Cow<'_, str>) -> (Cow<'_, str>, bool) {
    let single = match json::parse(response.as_bytes(), &[]) {
        Ok(Json::Object(mut entries)) if entries.len() == 1 => entries.pop(),
        _ => None,
    };
    let unwrapped = single.and_then(|(key, value)| {
        let failed = match key.as_ref() {
            "output" | "result" => false,
            "error" => true,
            _ => return None,
        };
        let text = match value {
            Json::String(text) => text.into_owned(),
            other => other.text().into_owned(),
        };
        Some((Cow::Owned(text), failed))
    });
    unwrapped.unwrap_or((response, false))
}
