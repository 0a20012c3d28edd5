//! OpenAI Chat: chunks with deltas, ended by `[DONE]`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Taken, append, events, write_event};

/// One choice as its deltas add up.
#[derive(Default)]
struct Choice {
    role: Option<String>,
    content: Option<String>,
    refusal: Option<String>,
    reasoning: Option<String>,
    calls: BTreeMap<u64, Call>,
    finish: Option<String>,
}

#[derive(Default)]
struct Call {
    id: Option<String>,
    kind: Option<String>,
    name: Option<String>,
    arguments: Option<String>,
}

/// `None` also without usage, which a whole answer always has.
pub(super) fn whole(stream: &[u8]) -> Option<Vec<u8>> {
    let (chunks, done) = events(stream)?;
    let mut head = Map::new();
    let mut choices: BTreeMap<u64, Choice> = BTreeMap::new();
    for chunk in chunks {
        let mut chunk = Taken(chunk);
        if chunk.take("object") != "chat.completion.chunk" {
            return None;
        }
        chunk.take("obfuscation");
        for field in ["id", "created", "model", "system_fingerprint", "service_tier", "usage"] {
            match chunk.take(field) {
                Value::Null => {}
                value => drop(head.insert(field.to_owned(), value)),
            }
        }
        for choice in chunk.take("choices").as_array_mut()?.iter_mut().map(Value::take) {
            take_choice(&mut choices, choice)?;
        }
        chunk.nothing_left()?;
    }
    if !done || choices.is_empty() || !head.contains_key("usage") {
        return None;
    }
    head.insert("object".to_owned(), "chat.completion".into());
    let choices: Option<Vec<_>> = choices.into_iter().map(|(index, choice)| choice.whole(index)).collect();
    head.insert("choices".to_owned(), choices?.into());
    serde_json::to_vec(&head).ok()
}

fn take_choice(choices: &mut BTreeMap<u64, Choice>, choice: Value) -> Option<()> {
    let mut taken = Taken::of(choice)?;
    let choice = choices.entry(taken.take("index").as_u64()?).or_default();
    if let Some(finish) = taken.text("finish_reason")? {
        choice.finish = Some(finish);
    }
    if let Some(mut delta) = Taken::of(taken.take("delta")) {
        if let Some(role) = delta.text("role")? {
            choice.role = Some(role);
        }
        append(&mut choice.content, delta.text("content")?);
        append(&mut choice.refusal, delta.text("refusal")?);
        append(&mut choice.reasoning, delta.text("reasoning_content")?);
        if let Value::Array(calls) = delta.take("tool_calls") {
            calls.into_iter().try_for_each(|call| take_call(&mut choice.calls, call))?;
        }
        delta.nothing_left()?;
    }
    taken.nothing_left()
}

fn take_call(calls: &mut BTreeMap<u64, Call>, call: Value) -> Option<()> {
    let mut taken = Taken::of(call)?;
    let call = calls.entry(taken.take("index").as_u64()?).or_default();
    for (slot, field) in [(&mut call.id, "id"), (&mut call.kind, "type")] {
        if let Some(text) = taken.text(field)? {
            *slot = Some(text);
        }
    }
    if let Some(mut function) = Taken::of(taken.take("function")) {
        append(&mut call.name, function.text("name")?);
        append(&mut call.arguments, function.text("arguments")?);
        function.nothing_left()?;
    }
    taken.nothing_left()
}

impl Choice {
    /// `None` if it never came to its end.
    fn whole(self, index: u64) -> Option<Value> {
        let finish = self.finish?;
        let mut message = Map::new();
        message.insert("role".to_owned(), self.role.unwrap_or_else(|| "assistant".to_owned()).into());
        // Beside tool calls a stream begins with an empty text where a whole answer has none.
        let content = self.content.filter(|text| !text.is_empty() || self.calls.is_empty());
        message.insert("content".to_owned(), content.into());
        message.insert("refusal".to_owned(), self.refusal.into());
        if let Some(reasoning) = self.reasoning {
            message.insert("reasoning_content".to_owned(), reasoning.into());
        }
        if !self.calls.is_empty() {
            let calls: Option<Vec<_>> = self.calls.into_values().map(Call::whole).collect();
            message.insert("tool_calls".to_owned(), calls?.into());
        }
        Some(json!({ "index": index, "message": message, "logprobs": null, "finish_reason": finish }))
    }
}

impl Call {
    fn whole(self) -> Option<Value> {
        let function = json!({ "name": self.name?, "arguments": self.arguments.unwrap_or_default() });
        let kind = self.kind.unwrap_or_else(|| "function".to_owned());
        (kind == "function").then(|| json!({ "id": self.id, "type": kind, "function": function }))
    }
}

pub(super) fn streamed(answer: &[u8], include_usage: bool) -> Option<Vec<u8>> {
    let mut answer = Taken::of(serde_json::from_slice(answer).ok()?)?;
    if answer.take("object") != "chat.completion" {
        return None;
    }
    let (usage, choices) = (answer.take("usage"), answer.take("choices"));
    let mut head = Map::new();
    for field in ["id", "created", "model", "system_fingerprint", "service_tier"] {
        match answer.take(field) {
            Value::Null => {}
            value => drop(head.insert(field.to_owned(), value)),
        }
    }
    answer.nothing_left()?;
    head.insert("object".to_owned(), "chat.completion.chunk".into());
    if include_usage {
        head.insert("usage".to_owned(), Value::Null);
    }
    let mut out = Vec::new();
    let Value::Array(choices) = choices else { return None };
    for choice in choices {
        for (index, delta, finish) in deltas(choice)? {
            let mut chunk = head.clone();
            let choice = json!({ "index": index, "delta": delta, "logprobs": null, "finish_reason": finish });
            chunk.insert("choices".to_owned(), json!([choice]));
            write_event(&mut out, None, &chunk.into());
        }
    }
    if include_usage {
        head.insert("usage".to_owned(), usage);
        head.insert("choices".to_owned(), json!([]));
        write_event(&mut out, None, &head.into());
    }
    out.extend_from_slice(b"data: [DONE]\n\n");
    Some(out)
}

/// What the chunks of one choice say: its index, a delta, why it finished.
fn deltas(choice: Value) -> Option<Vec<(u64, Value, Value)>> {
    let mut choice = Taken::of(choice)?;
    let index = choice.take("index").as_u64()?;
    let finish = choice.take("finish_reason");
    let mut message = Taken::of(choice.take("message"))?;
    choice.nothing_left()?;
    let role = message.text("role")?;
    let mut said = vec![json!({ "role": role, "content": "", "refusal": null })];
    for field in ["reasoning_content", "content", "refusal"] {
        if let Some(text) = message.text(field)? {
            said.push(json!({ field: text }));
        }
    }
    if let Value::Array(calls) = message.take("tool_calls") {
        for (at, call) in calls.into_iter().enumerate() {
            let mut call = Taken::of(call)?;
            let (id, kind) = (call.take("id"), call.take("type"));
            let function = call.take("function");
            call.nothing_left()?;
            if kind != "function" {
                return None;
            }
            said.push(
                json!({ "tool_calls": [{ "index": at, "id": id, "type": kind, "function": function }] }),
            );
        }
    }
    message.nothing_left()?;
    let mut deltas: Vec<_> = said.into_iter().map(|delta| (index, delta, Value::Null)).collect();
    deltas.push((index, json!({}), finish));
    Some(deltas)
}
