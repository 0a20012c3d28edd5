//! Writing a generateContent request: tools, limits, sampling and thinking.

use std::borrow::Cow;

use crate::translate::Writing;
use crate::translate::conversation::{Effort, Format, Reasoning, Request, ToolChoice};
use crate::translate::dropped::Field;
use crate::translate::json::{self, Object};

/// The most thinking every thinking Gemini with budgets accepts.
const MOST_BUDGET: u64 = 24_576;

pub(super) fn write_tools(body: &mut Object<'_>, request: &Request<'_>, writing: &mut Writing<'_>) {
    let choice = request.tool_choice.as_ref();
    let listed = |name: &Cow<'_, str>| match choice {
        Some(ToolChoice::Allowed { names, required: false }) => names.contains(name),
        _ => true,
    };
    if !request.tools.iter().any(|tool| listed(&tool.name)) {
        return;
    }
    body.array("tools", |list| {
        list.object(|item| {
            item.array("functionDeclarations", |functions| {
                for tool in request.tools.iter().filter(|tool| listed(&tool.name)) {
                    if tool.cache.is_some() {
                        writing.drop(Field::ToolCache);
                    }
                    functions.object(|function| {
                        function.string("name", &tool.name);
                        function.string_if("description", tool.description.as_deref());
                        let schema = tool.schema.as_deref().filter(|schema| *schema != "{}");
                        function.raw_if("parametersJsonSchema", schema);
                    });
                }
            });
        });
    });
    if request.parallel_tools == Some(false) {
        writing.drop(Field::ParallelTools);
    }
    // A forced call always follows its schema; one that is free does where the mode is `VALIDATED`.
    let strict = request.tools.iter().any(|tool| tool.strict == Some(true) && listed(&tool.name));
    let (mode, names): (_, &[Cow<'_, str>]) = match choice {
        None | Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) if strict => {
            ("VALIDATED", &[])
        }
        None | Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => return,
        Some(ToolChoice::None) => ("NONE", &[]),
        Some(ToolChoice::Required) => ("ANY", &[]),
        Some(ToolChoice::Named(name)) => ("ANY", std::slice::from_ref(name)),
        Some(ToolChoice::Allowed { names, .. }) => ("ANY", names),
    };
    body.object("toolConfig", |config| {
        config.object("functionCallingConfig", |calling| {
            calling.string("mode", mode);
            if !names.is_empty() {
                calling.strings("allowedFunctionNames", names);
            }
        });
    });
}

pub(super) fn write_config(body: &mut Object<'_>, request: &Request<'_>, writing: &mut Writing<'_>) {
    let mut config = Vec::new();
    json::object(&mut config, |config| {
        let sampling = &request.sampling;
        config.number_if("temperature", sampling.temperature.as_ref());
        config.number_if("topP", sampling.top_p.as_ref());
        config.number_if("topK", sampling.top_k.as_ref());
        config.number_if("seed", sampling.seed.as_ref());
        config.number_if("presencePenalty", sampling.presence_penalty.as_ref());
        config.number_if("frequencyPenalty", sampling.frequency_penalty.as_ref());
        if let Some(n) = sampling.n.filter(|n| *n > 1) {
            // A stream of several answers at once has no translation.
            if writing.target.stream {
                writing.drop(Field::N);
            } else {
                config.integer("candidateCount", n);
            }
        }
        if sampling.logprobs {
            config.bool("responseLogprobs", true);
            if let Some(top) = sampling.top_logprobs.filter(|top| *top > 0) {
                config.integer("logprobs", top);
            }
        }
        if sampling.logit_bias.is_some() {
            writing.drop(Field::LogitBias);
        }
        let most =
            request.max_output.map(|most| writing.target.max_output.map_or(most, |limit| most.min(limit)));
        if let Some(most) = most {
            config.integer("maxOutputTokens", most);
        }
        if !request.stop.is_empty() {
            // Gemini takes five.
            if request.stop.len() > 5 {
                writing.drop(Field::Stop);
            }
            config.strings("stopSequences", &request.stop[..request.stop.len().min(5)]);
        }
        match &request.format {
            None => {}
            Some(Format::Json) => config.string("responseMimeType", "application/json"),
            Some(Format::Schema { schema, .. }) => {
                config.string("responseMimeType", "application/json");
                config.raw("responseJsonSchema", schema);
            }
        }
        if let Some(wish) = request.reasoning {
            write_thinking(config, wish, most, writing);
        }
    });
    if config != b"{}" {
        body.key("generationConfig").extend_from_slice(&config);
    }
}

fn write_thinking(config: &mut Object<'_>, wish: Reasoning, most: Option<u64>, writing: &mut Writing<'_>) {
    if writing.target.never_thinks {
        if wish.effort != Some(Effort::None) {
            writing.drop(Field::Reasoning);
        }
        return;
    }
    let shown = wish.show != Some(false) && wish.effort != Some(Effort::None);
    config.object("thinkingConfig", |thinking| {
        if shown {
            thinking.bool("includeThoughts", true);
        }
        if writing.target.adaptive_thinking {
            let effort = wish.effort.or(wish.budget.map(Effort::of_budget));
            if effort == Some(Effort::None) {
                // These models think at least a little.
                writing.drop(Field::Reasoning);
            }
            thinking.string_if(
                "thinkingLevel",
                effort.map(|effort| match effort {
                    Effort::None | Effort::Minimal => "minimal",
                    Effort::Low => "low",
                    Effort::Medium => "medium",
                    Effort::High | Effort::ExtraHigh | Effort::Max => "high",
                }),
            );
            return;
        }
        match wish.budget.or(wish.effort.map(Effort::budget)) {
            // Thoughts count towards the limit: leave room for the answer.
            Some(budget) => {
                let room = most.map_or(MOST_BUDGET, |most| most - most / 4);
                thinking.integer("thinkingBudget", budget.min(MOST_BUDGET).min(room));
            }
            None if wish.adaptive => thinking.raw("thinkingBudget", "-1"),
            None => {}
        }
    });
}
