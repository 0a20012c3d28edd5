//! Writing a Converse request: limits, sampling, tools, and what goes beside the common fields.

use crate::translate::Writing;
use crate::translate::anthropic_messages::{Thinking, max_tokens};
use crate::translate::conversation::{Cache, Effort, Format, Part, Request, Tool, ToolChoice};
use crate::translate::dropped::Field;
use crate::translate::json::{self, Object};

use super::write::write_cache;

pub(super) fn write_inference(
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
        match sampling.temperature.as_ref().and_then(|number| Some((number, number.as_f64()?))) {
            None => {}
            Some((_, value)) if thinks && value != 1.0 => writing.drop(Field::Temperature),
            Some(_) if thinks => {}
            Some((_, value)) if value > 1.0 => {
                writing.drop(Field::Temperature);
                config.raw("temperature", "1");
            }
            Some((number, _)) => config.raw("temperature", &number.to_string()),
        }
        if let Some(top_p) = sampling.top_p.as_ref().filter(|top_p| top_p.as_f64() != Some(1.0)) {
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

pub(super) fn write_tools(body: &mut Object<'_>, request: &Request<'_>, writing: &mut Writing<'_>) {
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
                let schema = tool.schema.as_deref().filter(|schema| *schema != "{}").unwrap_or(empty_schema);
                spec(&tool.name, tool.description.as_deref(), schema, tool.strict == Some(true), tool.cache);
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
                config.object("toolChoice", |choice| choice.object("tool", |tool| tool.string("name", name)));
            }
        }
    });
    if request.parallel_tools == Some(false) {
        writing.drop(Field::ParallelTools);
    }
}

pub(super) fn write_extras(
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
