//! Anthropic Messages: a message that begins empty, blocks that open, grow and close, a last word on how it ended.

use serde_json::{Map, Value, json};

use super::{Taken, events, write_event};

pub(super) fn whole(stream: &[u8]) -> Option<Vec<u8>> {
    let (events, _) = events(stream)?;
    let mut events = events.into_iter().map(Taken);
    let mut first = events.next()?;
    if first.take("type") != "message_start" {
        return None;
    }
    let Value::Object(mut message) = first.take("message") else { return None };
    first.nothing_left()?;
    let mut blocks: Vec<Block> = Vec::new();
    let mut ended = false;
    for mut event in events {
        match event.take("type").as_str()? {
            "ping" => continue,
            _ if ended => return None,
            "content_block_start" => {
                if event.take("index").as_u64()? != blocks.len() as u64 {
                    return None;
                }
                let Value::Object(block) = event.take("content_block") else { return None };
                blocks.push(Block { block, json: String::new() });
            }
            "content_block_delta" => {
                let at = usize::try_from(event.take("index").as_u64()?).ok()?;
                blocks.get_mut(at)?.grow(event.take("delta"))?;
            }
            "content_block_stop" => drop(event.take("index")),
            "message_delta" => {
                merge(&mut message, event.take("delta"))?;
                let usage = message.entry("usage").or_insert_with(|| json!({}));
                merge(usage.as_object_mut()?, event.take("usage"))?;
            }
            "message_stop" => ended = true,
            _ => return None,
        }
        event.nothing_left()?;
    }
    let content: Option<Vec<_>> = blocks.into_iter().map(Block::whole).collect();
    message.insert("content".to_owned(), content?.into());
    ended.then(|| serde_json::to_vec(&message).ok())?
}

/// Fields of `more` over those of `into`.
fn merge(into: &mut Map<String, Value>, more: Value) -> Option<()> {
    match more {
        Value::Null => Some(()),
        Value::Object(more) => {
            into.extend(more.into_iter().filter(|(_, value)| !value.is_null()));
            Some(())
        }
        _ => None,
    }
}

struct Block {
    block: Map<String, Value>,
    /// The input of a tool, which arrives as pieces of JSON text.
    json: String,
}

impl Block {
    fn grow(&mut self, delta: Value) -> Option<()> {
        let mut delta = Taken::of(delta)?;
        let (field, from) = match delta.take("type").as_str()? {
            "text_delta" => ("text", "text"),
            "thinking_delta" => ("thinking", "thinking"),
            "signature_delta" => ("signature", "signature"),
            "input_json_delta" => {
                self.json.push_str(&delta.text("partial_json")??);
                return delta.nothing_left();
            }
            "citations_delta" => {
                let citations = self.block.entry("citations").or_insert(Value::Null);
                if citations.is_null() {
                    *citations = json!([]);
                }
                citations.as_array_mut()?.push(delta.take("citation"));
                return delta.nothing_left();
            }
            _ => return None,
        };
        let more = delta.text(from)??;
        match self.block.entry(field).or_insert_with(|| "".into()) {
            Value::String(text) => text.push_str(&more),
            _ => return None,
        }
        delta.nothing_left()
    }

    fn whole(mut self) -> Option<Value> {
        if !self.json.is_empty() {
            self.block.insert("input".to_owned(), serde_json::from_str(&self.json).ok()?);
        }
        Some(self.block.into())
    }
}

pub(super) fn streamed(answer: &[u8]) -> Option<Vec<u8>> {
    let Value::Object(mut message) = serde_json::from_slice(answer).ok()? else { return None };
    if message.get("type")? != "message" {
        return None;
    }
    let Some(Value::Array(content)) = message.insert("content".to_owned(), json!([])) else { return None };
    let (reason, sequence) = (
        message.insert("stop_reason".to_owned(), Value::Null)?,
        message.insert("stop_sequence".to_owned(), Value::Null),
    );
    let usage = message.get("usage")?.clone();
    message.get_mut("usage")?.as_object_mut()?.insert("output_tokens".to_owned(), 0.into());
    let mut out = Vec::new();
    let mut say = |name: &str, mut data: Value| {
        if let Some(data) = data.as_object_mut() {
            data.insert("type".to_owned(), name.into());
        }
        write_event(&mut out, Some(name), &data);
    };
    say("message_start", json!({ "message": message }));
    for (index, block) in content.into_iter().enumerate() {
        let (opened, deltas) = opened(block)?;
        say("content_block_start", json!({ "index": index, "content_block": opened }));
        for delta in deltas {
            say("content_block_delta", json!({ "index": index, "delta": delta }));
        }
        say("content_block_stop", json!({ "index": index }));
    }
    let delta = json!({ "stop_reason": reason, "stop_sequence": sequence.unwrap_or_default() });
    say("message_delta", json!({ "delta": delta, "usage": usage }));
    say("message_stop", json!({}));
    Some(out)
}

/// A block as it opens, and the deltas that fill it.
fn opened(block: Value) -> Option<(Value, Vec<Value>)> {
    let mut block = Taken::of(block)?;
    let kind = block.text("type")??;
    let made = match kind.as_str() {
        "text" => {
            let text = block.text("text")??;
            (json!({ "type": kind, "text": "" }), vec![json!({ "type": "text_delta", "text": text })])
        }
        "thinking" => {
            let (thinking, signature) = (block.text("thinking")??, block.text("signature")??);
            let deltas = vec![
                json!({ "type": "thinking_delta", "thinking": thinking }),
                json!({ "type": "signature_delta", "signature": signature }),
            ];
            (json!({ "type": kind, "thinking": "", "signature": "" }), deltas)
        }
        "redacted_thinking" => (json!({ "type": kind, "data": block.take("data") }), Vec::new()),
        "tool_use" => {
            let input = block.take("input");
            let opened =
                json!({ "type": kind, "id": block.take("id"), "name": block.take("name"), "input": {} });
            let json = input.as_object()?.is_empty().then(String::new).unwrap_or_else(|| input.to_string());
            (opened, vec![json!({ "type": "input_json_delta", "partial_json": json })])
        }
        _ => return None,
    };
    block.nothing_left()?;
    Some(made)
}
