//! What a body asks for, read the same way in every dialect.
//!
//! One reader serves all of them: their fields have different names but the same sense, and no name means
//! two things.

use serde_json::Value;

use crate::turns::turns;
use crate::weight::Weight;

/// What a body asks for.
#[derive(Debug)]
pub(crate) struct Ask {
    /// The text of the last user turn that has any.
    pub(crate) question: String,
    /// Set if the conversation ends with the result of a tool.
    pub(crate) tool_result: Option<String>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) choice: Choice,
    /// The caller allows no parallel calls.
    pub(crate) one_call: bool,
    /// The size of each image in the last user turn, 0 for one that is only linked.
    pub(crate) images: Vec<usize>,
    pub(crate) prompt_bytes: usize,
    /// The part of the prompt up to the last cache marker.
    pub(crate) cached_bytes: usize,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) thinking: Thinking,
    /// The schema a structured answer must conform to.
    pub(crate) schema: Option<Value>,
    /// Any JSON object will do.
    pub(crate) json: bool,
}

#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) schema: Value,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Choice {
    Auto,
    None,
    Required,
    Named(String),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Thinking {
    Off,
    /// Done and billed, not shown.
    Hidden,
    Shown,
}

impl Ask {
    pub(crate) fn read(body: &Value) -> Self {
        let turns = turns(body);
        let user = turns
            .iter()
            .rev()
            .find(|turn| turn.role == "user" && !(turn.text.is_empty() && turn.images.is_empty()));
        let last = turns.iter().rev().find(|turn| turn.role != "system" && turn.role != "developer");
        let weight = Weight::of(body);
        Self {
            question: user.map(|turn| turn.text.clone()).unwrap_or_default(),
            tool_result: last.and_then(|turn| turn.tool_result.clone()),
            tools: tools(body),
            choice: choice(body),
            one_call: body["parallel_tool_calls"] == false
                || body["tool_choice"]["disable_parallel_tool_use"] == true,
            images: user.map(|turn| turn.images.clone()).unwrap_or_default(),
            prompt_bytes: weight.all,
            cached_bytes: weight.cached,
            max_tokens: max_tokens(body),
            thinking: thinking(body),
            schema: structure(body),
            json: wants_json(body),
        }
    }
}

/// The first of `names` that `value` has, `null` counting as absent. Google's API takes both spellings of a name.
pub(crate) fn either<'a>(value: &'a Value, names: &[&str]) -> &'a Value {
    names.iter().map(|name| &value[*name]).find(|found| !found.is_null()).unwrap_or(&Value::Null)
}

fn generation(body: &Value) -> &Value {
    either(body, &["generationConfig", "generation_config"])
}

fn tools(body: &Value) -> Vec<Tool> {
    let lists = [&body["tools"], &either(body, &["toolConfig", "tool_config"])["tools"]];
    let offered = lists.into_iter().filter_map(Value::as_array).flatten();
    let declared =
        offered.flat_map(|tool| match either(tool, &["functionDeclarations", "function_declarations"]) {
            Value::Array(functions) => functions.iter().collect(),
            _ => vec![tool],
        });
    declared.filter_map(tool).collect()
}

/// A tool the caller runs itself; the provider's own (web search and the like) are never called.
fn tool(declared: &Value) -> Option<Tool> {
    let tool = match either(declared, &["function", "toolSpec"]) {
        Value::Null => declared,
        inner => inner,
    };
    let provider_runs_it = tool["input_schema"].is_null()
        && declared["type"].as_str().is_some_and(|kind| kind != "function" && kind != "custom");
    if provider_runs_it {
        return None;
    }
    let schema =
        match either(tool, &["parameters", "input_schema", "parametersJsonSchema", "parameters_json_schema"])
        {
            Value::Null => &tool["inputSchema"]["json"],
            schema => schema,
        };
    Some(Tool { name: tool["name"].as_str()?.to_owned(), schema: schema.clone() })
}

fn choice(body: &Value) -> Choice {
    let config = either(body, &["toolConfig", "tool_config"]);
    let calling = either(config, &["functionCallingConfig", "function_calling_config"]);
    let choice = match &body["tool_choice"] {
        Value::Null => &config["toolChoice"],
        choice => choice,
    };
    let word = choice
        .as_str()
        .or_else(|| choice["type"].as_str())
        .or_else(|| calling["mode"].as_str())
        .unwrap_or("");
    let named = [&choice["name"], &choice["function"]["name"], &choice["tool"]["name"]];
    if let Some(name) = named.into_iter().find_map(Value::as_str) {
        return Choice::Named(name.to_owned());
    }
    match word.to_ascii_lowercase().as_str() {
        "none" => Choice::None,
        "any" => match &either(calling, &["allowedFunctionNames", "allowed_function_names"])[0] {
            Value::String(name) => Choice::Named(name.clone()),
            _ => Choice::Required,
        },
        "required" => Choice::Required,
        _ if choice.get("any").is_some() => Choice::Required,
        _ => Choice::Auto,
    }
}

fn max_tokens(body: &Value) -> Option<u64> {
    let direct = either(body, &["max_completion_tokens", "max_output_tokens", "max_tokens"]);
    let gemini = either(generation(body), &["maxOutputTokens", "max_output_tokens"]);
    let bedrock = &body["inferenceConfig"]["maxTokens"];
    [direct, gemini, bedrock].into_iter().find_map(Value::as_u64).filter(|most| *most > 0)
}

fn thinking(body: &Value) -> Thinking {
    let claude = match &body["thinking"]["type"] {
        Value::Null => &body["additionalModelRequestFields"]["thinking"]["type"],
        kind => kind,
    };
    let effort =
        either(body, &["reasoning_effort"]).as_str().or_else(|| body["reasoning"]["effort"].as_str());
    let gemini = either(generation(body), &["thinkingConfig", "thinking_config"]);
    match (claude.as_str(), effort) {
        (Some("disabled"), _) | (None, Some("none")) => Thinking::Off,
        (Some(_), _) => Thinking::Shown,
        (None, _) if !body["reasoning"]["summary"].is_null() => Thinking::Shown,
        (None, Some(_)) => Thinking::Hidden,
        (None, None) if *either(gemini, &["includeThoughts", "include_thoughts"]) == true => Thinking::Shown,
        (None, None)
            if gemini.is_object() && *either(gemini, &["thinkingBudget", "thinking_budget"]) != 0 =>
        {
            Thinking::Hidden
        }
        (None, None) => Thinking::Off,
    }
}

fn structure(body: &Value) -> Option<Value> {
    let format = either(body, &["response_format"]);
    let bedrock = &body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"];
    let gemini = ["responseSchema", "response_schema", "responseJsonSchema", "response_json_schema"];
    let found = [
        &format["json_schema"]["schema"],
        &format["json_schema"],
        &format["schema"],
        &body["text"]["format"]["schema"],
        &body["output_config"]["format"]["schema"],
        &body["output_format"]["schema"],
        either(generation(body), &gemini),
    ];
    let parsed = bedrock.as_str().and_then(|text| serde_json::from_str(text).ok());
    parsed.or_else(|| found.into_iter().find(|schema| schema.is_object()).cloned())
}

fn wants_json(body: &Value) -> bool {
    let mime = either(generation(body), &["responseMimeType", "response_mime_type"]);
    [&body["response_format"]["type"], &body["text"]["format"]["type"]]
        .into_iter()
        .any(|kind| kind == "json_object")
        || mime == "application/json"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Map;

    use super::*;
    use crate::answer::Answer;
    use crate::script::Script;

    /// Words that mean something somewhere, so that random documents come close to real ones.
    const WORDS: [&str; 24] = [
        "messages",
        "contents",
        "input",
        "role",
        "user",
        "tool",
        "content",
        "parts",
        "text",
        "type",
        "image",
        "source",
        "tools",
        "function",
        "name",
        "parameters",
        "tool_choice",
        "any",
        "toolConfig",
        "thinking",
        "response_format",
        "json_schema",
        "schema",
        "max_tokens",
    ];

    fn document() -> impl Strategy<Value = Value> {
        let word = prop::sample::select(&WORDS[..]);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            word.clone().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 60, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((word.clone(), inner), 0..6).prop_map(|members| {
                    Value::Object(
                        members
                            .into_iter()
                            .map(|(name, value)| (name.to_owned(), value))
                            .collect::<Map<_, _>>(),
                    )
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_document_has_an_answer(body in document(), seed: u64) {
            let answer = Answer::to(&Ask::read(&body), seed, &Script::default());
            prop_assert!(answer.tokens.input >= 1 && answer.tokens.output >= 1);
            prop_assert_eq!(answer.deltas.concat(), answer.text.clone());
            prop_assert_ne!(answer.text.is_empty(), answer.calls.is_empty());
        }
    }
}
