//! Who said what: the turns of a conversation in any dialect.

use serde_json::Value;

use crate::request::either;

#[derive(Debug, Default)]
pub(crate) struct Turn {
    pub(crate) role: String,
    pub(crate) text: String,
    pub(crate) images: Vec<usize>,
    pub(crate) tool_result: Option<String>,
}

/// `messages`, `contents`, `input` or `prompt`, whichever there is.
pub(crate) fn turns(body: &Value) -> Vec<Turn> {
    match either(body, &["messages", "contents", "input", "prompt"]) {
        Value::Array(items) if items.iter().all(Value::is_object) => items.iter().map(turn).collect(),
        other => vec![Turn { role: "user".into(), text: flat_text(other), ..Turn::default() }],
    }
}

fn turn(item: &Value) -> Turn {
    let mut turn = Turn { role: item["role"].as_str().unwrap_or("user").to_owned(), ..Turn::default() };
    match item["type"].as_str() {
        Some("function_call_output" | "custom_tool_call_output") => {
            turn.tool_result = Some(flat_text(&item["output"]));
            return turn;
        }
        Some("message") | None => {}
        // Reasoning and calls of an earlier Responses answer.
        Some(_) => "assistant".clone_into(&mut turn.role),
    }
    let content = either(item, &["content", "parts"]);
    if turn.role == "tool" {
        turn.tool_result = Some(flat_text(content));
        return turn;
    }
    match content {
        Value::Array(parts) => parts.iter().for_each(|part| read_part(part, &mut turn)),
        other => read_part(other, &mut turn),
    }
    turn
}

fn read_part(part: &Value, turn: &mut Turn) {
    let response = either(part, &["functionResponse", "function_response"]);
    if part["type"] == "tool_result" {
        turn.tool_result = Some(flat_text(&part["content"]));
    } else if !part["toolResult"].is_null() {
        turn.tool_result = Some(flat_text(&part["toolResult"]["content"]));
    } else if !response.is_null() {
        turn.tool_result = Some(flat_text(&response["response"]));
    } else if let Some(bytes) = image(part) {
        turn.images.push(bytes);
    } else if let Some(text) = part.as_str().or_else(|| part["text"].as_str())
        && part["thought"] != true
    {
        if !turn.text.is_empty() {
            turn.text.push('\n');
        }
        turn.text.push_str(text);
    }
}

/// The decoded size of an image part, 0 if it is only linked.
fn image(part: &Value) -> Option<usize> {
    let inline = either(part, &["inlineData", "inline_data"]);
    let encoded = match part["type"].as_str() {
        Some("image") => either(&part["source"], &["data", "url"]),
        Some("image_url") => either(&part["image_url"], &["url"]),
        Some("input_image") => &part["image_url"],
        Some(_) => return None,
        None if !part["image"].is_null() => &part["image"]["source"]["bytes"],
        None if !inline.is_null() => &inline["data"],
        None if !either(part, &["fileData", "file_data"]).is_null() => &Value::Null,
        None => return None,
    };
    // `image_url` may also be the URL itself.
    let text = encoded.as_str().or_else(|| part["image_url"].as_str()).unwrap_or("");
    if text.starts_with("http") || text.starts_with("gs:") {
        return Some(0);
    }
    let base64 = text.split_once("base64,").map_or(text, |(_, data)| data);
    Some(base64.trim_end_matches('=').len() * 3 / 4)
}

/// All text in a value, whatever it is wrapped in; other JSON as JSON.
fn flat_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(flat_text).collect::<Vec<_>>().join("\n"),
        Value::Object(_) => match (value["text"].as_str(), value.get("json")) {
            (Some(text), _) => text.to_owned(),
            (None, Some(json)) => json.to_string(),
            (None, None) => value.to_string(),
        },
        other => other.to_string(),
    }
}
