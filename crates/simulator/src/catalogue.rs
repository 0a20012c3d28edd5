//! Lists of models, in the shape of whoever seems to be asked.

use serde_json::{Value, json};

use crate::dialect::{CREATED, CREATED_TEXT, Family};
use crate::incoming::Incoming;
use crate::reply::Reply;

const MODELS: [&str; 3] = ["simulated-small", "simulated-large", "simulated-embedding"];

/// `GET …/models` and `GET …/models/{id}`; any id is known.
pub(crate) fn answer(incoming: &Incoming) -> Option<Reply> {
    let path = incoming.path.trim_end_matches('/');
    let family = Family::of(incoming);
    if path.ends_with("/models") || path == "models" {
        let all: Vec<Value> = MODELS.iter().map(|id| model(id, family)).collect();
        return Some(Reply::json(&match family {
            Family::Anthropic => json!({
                "data": all, "has_more": false, "first_id": MODELS[0], "last_id": MODELS[MODELS.len() - 1],
            }),
            Family::Gemini => json!({"models": all}),
            _ => json!({"object": "list", "data": all}),
        }));
    }
    let (_, id) = path.split_once("/models/")?;
    Some(Reply::json(&model(id, family)))
}

fn model(id: &str, family: Family) -> Value {
    match family {
        Family::Anthropic => json!({
            "type": "model", "id": id, "display_name": id, "created_at": CREATED_TEXT, "lifecycle": "active",
            "max_input_tokens": 200_000, "max_tokens": 64_000,
        }),
        Family::Gemini => json!({
            "name": format!("models/{id}"), "version": "001", "displayName": id, "description": "Simulated",
            "inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536,
            "supportedGenerationMethods": ["generateContent", "countTokens", "embedContent"],
        }),
        _ => json!({"id": id, "object": "model", "created": CREATED, "owned_by": "simulated"}),
    }
}
