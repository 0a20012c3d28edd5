//! Reading everything of a request but its messages.

use std::borrow::Cow;

use crate::translate::conversation::{Effort, Format, Reasoning, Request, Sampling, Tool, ToolChoice};
use crate::translate::json::{Fields, Json, Path};
use crate::translate::{BadRequest, Dropped};

use super::content::read_cache;

pub(super) fn read_tools<'a>(
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
        if kind.as_deref().is_some_and(|kind| kind != "function") {
            dropped.add(format!("tools[].{}", kind.unwrap_or_default()));
            continue;
        }
        let cache = read_cache(&mut tool)?;
        let mut function = Fields::new(tool.take("function").unwrap_or(Json::Null), path.key("function"))?;
        request.tools.push(Tool {
            name: function.required_string("name")?,
            description: function.string("description")?,
            schema: read_schema(&mut function, "parameters")?,
            strict: function.bool("strict")?,
            cache: read_cache(&mut function)?.or(cache),
        });
        function.finish(dropped);
        tool.finish(dropped);
    }
    request.parallel_tools = fields.bool("parallel_tool_calls")?;
    request.tool_choice = match fields.take("tool_choice") {
        None => None,
        Some(choice) => Some(read_tool_choice(choice, root.key("tool_choice"), dropped)?),
    };
    Ok(())
}

/// A JSON Schema kept as text; it has to be an object.
pub(in crate::translate) fn read_schema<'a>(
    fields: &mut Fields<'a, '_>,
    key: &str,
) -> Result<Option<Cow<'a, str>>, BadRequest> {
    let path = fields.path;
    match fields.raw(key) {
        Some(schema) if !schema.starts_with('{') => Err(path.key(key).bad("must be a JSON Schema object")),
        schema => Ok(schema),
    }
}

fn read_tool_choice<'a>(
    choice: Json<'a>,
    path: Path<'_>,
    dropped: &mut Dropped,
) -> Result<ToolChoice<'a>, BadRequest> {
    if let Json::String(word) = &choice {
        return match word.as_ref() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" | "any" => Ok(ToolChoice::Required),
            other => Err(path.bad(format!("must be none, auto, required or an object, not {other:?}"))),
        };
    }
    let mut fields = Fields::new(choice, path)?;
    match fields.required_string("type")?.as_ref() {
        "function" => {
            let mut function =
                Fields::new(fields.take("function").unwrap_or(Json::Null), path.key("function"))?;
            Ok(ToolChoice::Named(function.required_string("name")?))
        }
        "allowed_tools" => {
            let path = path.key("allowed_tools");
            let mut allowed = Fields::new(fields.take("allowed_tools").unwrap_or(Json::Null), path)?;
            let required = allowed.string("mode")?.as_deref() == Some("required");
            let list = path.key("tools");
            let mut names = Vec::new();
            for (at, tool) in allowed.array("tools")?.unwrap_or_default().into_iter().enumerate() {
                let path = list.index(at);
                let mut tool = Fields::new(tool, path)?;
                let function = tool.take("function").unwrap_or(Json::Null);
                names.push(Fields::new(function, path.key("function"))?.required_string("name")?);
            }
            Ok(ToolChoice::Allowed { names, required })
        }
        _ => {
            dropped.add("tool_choice");
            Ok(ToolChoice::Auto)
        }
    }
}

pub(super) fn read_sampling<'a>(fields: &mut Fields<'a, '_>) -> Result<Sampling<'a>, BadRequest> {
    Ok(Sampling {
        temperature: fields.number("temperature")?,
        top_p: fields.number("top_p")?,
        top_k: fields.number("top_k")?,
        frequency_penalty: fields.number("frequency_penalty")?,
        presence_penalty: fields.number("presence_penalty")?,
        seed: fields.number("seed")?,
        n: fields.count("n")?,
        logprobs: fields.bool("logprobs")?.unwrap_or(false),
        top_logprobs: fields.count("top_logprobs")?,
        logit_bias: fields.raw("logit_bias").filter(|bias| bias.as_ref() != "{}"),
    })
}

pub(super) fn read_stop<'a>(fields: &mut Fields<'a, '_>) -> Result<Vec<Cow<'a, str>>, BadRequest> {
    let root = Path::ROOT;
    let path = root.key("stop");
    match fields.take("stop") {
        None => Ok(Vec::new()),
        Some(Json::String(stop)) => Ok(vec![stop]),
        Some(Json::Array(items)) => items
            .into_iter()
            .enumerate()
            .map(|(at, item)| match item {
                Json::String(stop) => Ok(stop),
                _ => Err(path.index(at).bad("must be a string")),
            })
            .collect(),
        Some(_) => Err(path.bad("must be a string or an array of strings")),
    }
}

pub(super) fn read_format<'a>(
    fields: &mut Fields<'a, '_>,
    dropped: &mut Dropped,
) -> Result<Option<Format<'a>>, BadRequest> {
    let root = Path::ROOT;
    let path = root.key("response_format");
    let Some(format) = fields.take("response_format") else {
        return Ok(None);
    };
    let mut format = Fields::new(format, path)?;
    let found = match format.required_string("type")?.as_ref() {
        "text" => None,
        "json_object" => Some(Format::Json),
        "json_schema" => {
            let path = path.key("json_schema");
            let mut schema = Fields::new(format.take("json_schema").unwrap_or(Json::Null), path)?;
            let found = Format::Schema {
                name: schema.string("name")?,
                description: schema.string("description")?,
                strict: schema.bool("strict")?,
                schema: read_schema(&mut schema, "schema")?
                    .ok_or_else(|| path.key("schema").bad("is required"))?,
            };
            schema.finish(dropped);
            Some(found)
        }
        other => {
            let known = "text, json_object or json_schema";
            return Err(path.key("type").bad(format!("must be {known}, not {other:?}")));
        }
    };
    format.finish(dropped);
    Ok(found)
}

/// `reasoning_effort`, and two extensions in wide use: `reasoning: {effort, max_tokens}` and Anthropic's `thinking`.
pub(super) fn read_reasoning(
    fields: &mut Fields<'_, '_>,
    dropped: &mut Dropped,
) -> Result<Option<Reasoning>, BadRequest> {
    let root = Path::ROOT;
    let mut found: Option<Reasoning> = None;
    let effort = |name: Cow<'_, str>, path: Path<'_>| {
        Effort::parse(&name).ok_or_else(|| {
            path.bad(format!("must be none, minimal, low, medium, high, xhigh or max, not {name:?}"))
        })
    };
    if let Some(name) = fields.string("reasoning_effort")? {
        let effort = effort(name, root.key("reasoning_effort"))?;
        found.get_or_insert_default().effort = Some(effort);
    }
    if let Some(reasoning) = fields.take("reasoning") {
        let path = root.key("reasoning");
        let mut reasoning = Fields::new(reasoning, path)?;
        let wish = found.get_or_insert_default();
        if let Some(name) = reasoning.string("effort")? {
            wish.effort = Some(effort(name, path.key("effort"))?);
        }
        wish.budget = reasoning.count("max_tokens")?;
        if reasoning.bool("enabled")? == Some(false) {
            wish.effort = Some(Effort::None);
        }
        if reasoning.bool("exclude")? == Some(true) {
            wish.show = Some(false);
        }
        reasoning.finish(dropped);
    }
    if let Some(thinking) = fields.take("thinking") {
        let wish = found.get_or_insert_default();
        crate::translate::anthropic_messages::read_thinking(thinking, root.key("thinking"), wish, dropped)?;
    }
    Ok(found)
}
