//! Writing a Messages request: tools, sampling, thinking and the rest.

use crate::translate::Writing;
use crate::translate::conversation::{Effort, Format, Reasoning, Request, Tool, ToolChoice};
use crate::translate::dropped::Field;
use crate::translate::json::Object;

use super::thinking::Thinking;
use super::write::write_cache;

pub(super) fn write_tools(body: &mut Object<'_>, request: &Request<'_>, writing: &mut Writing<'_>) {
    let allowed = |tool: &&Tool<'_>| match &request.tool_choice {
        Some(ToolChoice::Allowed { names, .. }) => names.contains(&tool.name),
        _ => true,
    };
    let tools: Vec<&Tool<'_>> = request.tools.iter().filter(allowed).collect();
    if tools.is_empty() {
        if request
            .tool_choice
            .as_ref()
            .is_some_and(|choice| *choice != ToolChoice::None && *choice != ToolChoice::Auto)
        {
            writing.drop(Field::ToolChoice);
        }
        return;
    }
    body.array("tools", |list| {
        for tool in tools {
            list.object(|item| {
                item.string("name", &tool.name);
                item.string_if("description", tool.description.as_deref());
                let schema = tool.schema.as_deref().filter(|schema| *schema != "{}");
                item.raw("input_schema", schema.unwrap_or(r#"{"type":"object","properties":{}}"#));
                if tool.strict == Some(true) {
                    item.bool("strict", true);
                }
                write_cache(item, tool.cache);
            });
        }
    });
    let one_at_a_time = request.parallel_tools == Some(false);
    let (kind, name) = match &request.tool_choice {
        None if !one_at_a_time => return,
        None | Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => ("auto", None),
        Some(ToolChoice::None) => ("none", None),
        Some(ToolChoice::Required | ToolChoice::Allowed { .. }) => ("any", None),
        Some(ToolChoice::Named(name)) => ("tool", Some(name.as_ref())),
    };
    body.object("tool_choice", |choice| {
        choice.string("type", kind);
        choice.string_if("name", name);
        if one_at_a_time && kind != "none" {
            choice.bool("disable_parallel_tool_use", true);
        }
    });
}

pub(super) fn write_options(
    body: &mut Object<'_>,
    request: &Request<'_>,
    thinking: &Thinking,
    writing: &mut Writing<'_>,
) {
    write_sampling(body, request, thinking, writing);
    // Anthropic refuses stops made of white space.
    let stops: Vec<_> = request.stop.iter().filter(|stop| !stop.trim().is_empty()).collect();
    if stops.len() < request.stop.len() {
        writing.drop(Field::Stop);
    }
    if !stops.is_empty() {
        body.strings("stop_sequences", &stops);
    }
    match thinking {
        Thinking::Unsaid => {}
        Thinking::Disabled => body.object("thinking", |object| object.string("type", "disabled")),
        Thinking::Budget(budget) => body.object("thinking", |object| {
            object.string("type", "enabled");
            object.integer("budget_tokens", *budget);
            write_display(object, request.reasoning);
        }),
        Thinking::Adaptive => body.object("thinking", |object| {
            object.string("type", "adaptive");
            write_display(object, request.reasoning);
        }),
    }
    write_output_config(body, request, thinking, writing);
    if let Some(user) = &request.user {
        body.object("metadata", |metadata| metadata.string("user_id", user));
    }
    match request.service_tier.as_deref() {
        None => {}
        Some("auto") => body.string("service_tier", "auto"),
        Some("default") => body.string("service_tier", "standard_only"),
        Some(_) => writing.drop(Field::ServiceTier),
    }
}

fn write_display(object: &mut Object<'_>, wish: Option<Reasoning>) {
    match wish.and_then(|wish| wish.show) {
        None => {}
        Some(true) => object.string("display", "summarized"),
        Some(false) => object.string("display", "omitted"),
    }
}

fn write_output_config(
    body: &mut Object<'_>,
    request: &Request<'_>,
    thinking: &Thinking,
    writing: &mut Writing<'_>,
) {
    let effort = match (thinking, request.reasoning) {
        (Thinking::Adaptive, Some(wish)) => wish.effort.or(wish.budget.map(Effort::of_budget)),
        _ => None,
    };
    let schema = match &request.format {
        Some(Format::Schema { schema, .. }) => Some(schema),
        Some(Format::Json) => {
            writing.drop(Field::JsonFormat);
            None
        }
        None => None,
    };
    if effort.is_none() && schema.is_none() {
        return;
    }
    body.object("output_config", |config| {
        // Anthropic's least effort is low.
        config.string_if("effort", effort.map(|effort| effort.max(Effort::Low).name()));
        if let Some(schema) = schema {
            config.object("format", |format| {
                format.string("type", "json_schema");
                format.raw("schema", schema);
            });
        }
    });
}

fn write_sampling(
    body: &mut Object<'_>,
    request: &Request<'_>,
    thinking: &Thinking,
    writing: &mut Writing<'_>,
) {
    let sampling = &request.sampling;
    let thinks = matches!(thinking, Thinking::Budget(_) | Thinking::Adaptive);
    match sampling.temperature.as_ref().and_then(|number| Some((number, number.as_f64()?))) {
        None => {}
        // A thinking model samples in its own way; 1 says nothing.
        Some((_, value)) if thinks && value != 1.0 => writing.drop(Field::Temperature),
        Some(_) if thinks => {}
        // OpenAI goes up to 2, Anthropic to 1.
        Some((_, value)) if value > 1.0 => {
            writing.drop(Field::Temperature);
            body.raw("temperature", "1");
        }
        Some((number, _)) => body.raw("temperature", &number.to_string()),
    }
    if let Some(top_p) = sampling.top_p.as_ref().filter(|top_p| top_p.as_f64() != Some(1.0)) {
        // Newer models refuse both.
        if sampling.temperature.is_some() || thinks {
            writing.drop(Field::TopP);
        } else {
            body.raw("top_p", &top_p.to_string());
        }
    }
    if let Some(top_k) = &sampling.top_k {
        if thinks {
            writing.drop(Field::TopK);
        } else {
            body.raw("top_k", &top_k.to_string());
        }
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
        (Field::TopLogprobs, sampling.logprobs && sampling.top_logprobs.is_some_and(|top| top > 0)),
        (Field::LogitBias, sampling.logit_bias.is_some()),
    ] {
        if said {
            writing.drop(field);
        }
    }
}
