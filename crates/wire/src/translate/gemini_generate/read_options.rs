//! Reading a generateContent request: tools, limits, sampling and thinking.

use std::borrow::Cow;

use crate::translate::conversation::{Effort, Format, Reasoning, Request, Tool, ToolChoice};
use crate::translate::json::{Fields, Json, Path};
use crate::translate::{BadRequest, Dropped};

use super::read::either;
use super::schema::json_schema;

pub(super) fn read_tools<'a>(
    fields: &mut Fields<'a, '_>,
    request: &mut Request<'a>,
    dropped: &mut Dropped,
) -> Result<(), BadRequest> {
    let root = Path::ROOT;
    let list = root.key("tools");
    let tools = match fields.take("tools") {
        None => Vec::new(),
        Some(Json::Array(tools)) => tools,
        Some(one) => vec![one],
    };
    for (at, tool) in tools.into_iter().enumerate() {
        let path = list.index(at);
        let mut tool = Fields::new(tool, path)?;
        let functions = either(&mut tool, "functionDeclarations", "function_declarations");
        let list = path.key("functionDeclarations");
        if let Some(Json::Array(functions)) = functions {
            for (at, function) in functions.into_iter().enumerate() {
                request.tools.push(read_function(Fields::new(function, list.index(at))?, dropped)?);
            }
        }
        tool.finish(dropped);
    }
    let Some(config) = either(fields, "toolConfig", "tool_config") else {
        return Ok(());
    };
    let path = root.key("toolConfig");
    let mut config = Fields::new(config, path)?;
    if let Some(calling) = either(&mut config, "functionCallingConfig", "function_calling_config") {
        let path = path.key("functionCallingConfig");
        let mut calling = Fields::new(calling, path)?;
        let mode = calling.string("mode")?.map(|mode| mode.to_ascii_uppercase());
        let mut names = Vec::new();
        let list = path.key("allowedFunctionNames");
        if let Some(Json::Array(items)) =
            either(&mut calling, "allowedFunctionNames", "allowed_function_names")
        {
            for (at, item) in items.into_iter().enumerate() {
                match item {
                    Json::String(name) => names.push(name),
                    _ => return Err(list.index(at).bad("must be a string")),
                }
            }
        }
        request.tool_choice = match (mode.as_deref(), names.len()) {
            (Some("ANY"), 0) => Some(ToolChoice::Required),
            (Some("ANY"), 1) => names.pop().map(ToolChoice::Named),
            (Some("ANY"), _) => Some(ToolChoice::Allowed { names, required: true }),
            (Some("NONE"), _) => Some(ToolChoice::None),
            (_, 0) => mode.is_some().then_some(ToolChoice::Auto),
            (_, _) => Some(ToolChoice::Allowed { names, required: false }),
        };
        calling.finish(dropped);
    }
    config.finish(dropped);
    Ok(())
}

fn read_function<'a>(mut fields: Fields<'a, '_>, dropped: &mut Dropped) -> Result<Tool<'a>, BadRequest> {
    let schema = match either(&mut fields, "parametersJsonSchema", "parameters_json_schema") {
        Some(Json::Raw(schema)) => Some(Cow::Borrowed(schema)),
        _ => fields.raw("parameters").map(|schema| Cow::Owned(json_schema(&schema).into_owned())),
    };
    let path = fields.path;
    if schema.as_ref().is_some_and(|schema| !schema.starts_with('{')) {
        return Err(path.key("parameters").bad("must be a schema object"));
    }
    let tool = Tool {
        name: fields.required_string("name")?,
        description: fields.string("description")?,
        schema,
        strict: None,
        cache: None,
    };
    fields.finish(dropped);
    Ok(tool)
}

pub(super) fn read_config<'a>(
    mut fields: Fields<'a, '_>,
    request: &mut Request<'a>,
    dropped: &mut Dropped,
) -> Result<(), BadRequest> {
    let number = |fields: &mut Fields<'a, '_>, camel: &str, snake: &str| {
        let found = fields.number(snake)?;
        Ok::<_, BadRequest>(fields.number(camel)?.or(found))
    };
    let sampling = &mut request.sampling;
    sampling.temperature = fields.number("temperature")?;
    sampling.top_p = number(&mut fields, "topP", "top_p")?;
    sampling.top_k = number(&mut fields, "topK", "top_k")?;
    sampling.seed = fields.number("seed")?;
    sampling.presence_penalty = number(&mut fields, "presencePenalty", "presence_penalty")?;
    sampling.frequency_penalty = number(&mut fields, "frequencyPenalty", "frequency_penalty")?;
    sampling.n = fields.count("candidateCount")?.or(fields.count("candidate_count")?).filter(|n| *n > 1);
    sampling.logprobs =
        fields.bool("responseLogprobs")?.or(fields.bool("response_logprobs")?).unwrap_or(false);
    sampling.top_logprobs = fields.count("logprobs")?;
    request.max_output = fields.count("maxOutputTokens")?.or(fields.count("max_output_tokens")?);
    let path = fields.path;
    let stops = path.key("stopSequences");
    match either(&mut fields, "stopSequences", "stop_sequences") {
        None => {}
        Some(Json::Array(items)) => {
            for (at, item) in items.into_iter().enumerate() {
                match item {
                    Json::String(stop) => request.stop.push(stop),
                    _ => return Err(stops.index(at).bad("must be a string")),
                }
            }
        }
        Some(_) => return Err(stops.bad("must be an array of strings")),
    }
    request.format = read_format(&mut fields, dropped)?;
    if let Some(thinking) = either(&mut fields, "thinkingConfig", "thinking_config") {
        request.reasoning = Some(read_thinking(Fields::new(thinking, path.key("thinkingConfig"))?, dropped)?);
    }
    match either(&mut fields, "responseModalities", "response_modalities") {
        Some(modalities) if !modalities.text().eq_ignore_ascii_case(r#"["text"]"#) => {
            dropped.add("generationConfig.responseModalities");
        }
        _ => {}
    }
    fields.finish(dropped);
    Ok(())
}

fn read_format<'a>(
    fields: &mut Fields<'a, '_>,
    dropped: &mut Dropped,
) -> Result<Option<Format<'a>>, BadRequest> {
    let media_type = either(fields, "responseMimeType", "response_mime_type");
    let schema = match either(fields, "responseJsonSchema", "response_json_schema") {
        Some(schema) => Some(schema.text()),
        None => either(fields, "responseSchema", "response_schema")
            .map(|schema| Cow::Owned(json_schema(&schema.text()).into_owned())),
    };
    match (media_type, schema) {
        (Some(Json::String(kind)), Some(schema)) if kind == "application/json" => {
            Ok(Some(Format::Schema { name: None, description: None, schema, strict: None }))
        }
        (Some(Json::String(kind)), None) if kind == "application/json" => Ok(Some(Format::Json)),
        (None, None) => Ok(None),
        (Some(Json::String(kind)), None) if kind == "text/plain" => Ok(None),
        _ => {
            dropped.add("generationConfig.responseMimeType");
            Ok(None)
        }
    }
}

fn read_thinking(mut fields: Fields<'_, '_>, dropped: &mut Dropped) -> Result<Reasoning, BadRequest> {
    let path = fields.path;
    let mut wish = Reasoning {
        show: Some(fields.bool("includeThoughts")?.or(fields.bool("include_thoughts")?).unwrap_or(false)),
        ..Reasoning::default()
    };
    match fields
        .number("thinkingBudget")?
        .or(fields.number("thinking_budget")?)
        .and_then(|number| number.as_i64())
    {
        None => {}
        Some(0) => wish.effort = Some(Effort::None),
        Some(budget) if budget > 0 => wish.budget = Some(budget.unsigned_abs()),
        Some(_) => wish.adaptive = true,
    }
    if let Some(level) = fields.string("thinkingLevel")?.or(fields.string("thinking_level")?) {
        wish.effort = Effort::parse(&level.to_ascii_lowercase());
        if wish.effort.is_none() {
            return Err(path
                .key("thinkingLevel")
                .bad(format!("must be minimal, low, medium or high, not {level:?}")));
        }
    }
    fields.finish(dropped);
    Ok(wish)
}
