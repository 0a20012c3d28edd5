//! Invents a JSON value that a JSON schema accepts: the arguments of a tool call, a structured answer.

use serde_json::{Map, Value, json};

/// Deep enough for any real schema; a recursive one ends here with `null`, and from half way down takes
/// every chance to end properly.
const DEPTH: usize = 24;
/// The most values in one document, so that a schema that contains itself twice ends too.
const VALUES: usize = 10_000;

/// A value for `schema`: required properties only, the first `enum` member, `"simulated"`, `1`, `true`.
///
/// Understands JSON Schema and Gemini's OpenAPI form (upper-case types). Not looked at: `pattern`, `not`,
/// conditions.
pub(crate) fn synthesise(schema: &Value) -> Value {
    Synthesis { root: schema, left: VALUES }.value(schema, DEPTH)
}

struct Synthesis<'a> {
    root: &'a Value,
    /// How many values may still be made.
    left: usize,
}

impl<'a> Synthesis<'a> {
    fn value(&mut self, schema: &'a Value, depth: usize) -> Value {
        if depth == 0 || self.left == 0 {
            return Value::Null;
        }
        self.left -= 1;
        if let Some(target) = schema["$ref"].as_str() {
            let resolved = target.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            return resolved.map_or(Value::Null, |schema| self.value(schema, depth - 1));
        }
        if let Some(constant) = schema.get("const") {
            return constant.clone();
        }
        if let Some(first) = schema["enum"].get(0) {
            return first.clone();
        }
        for choice in ["anyOf", "oneOf", "any_of"] {
            if let Some(options) = schema[choice].as_array() {
                return self.one_of(options, depth);
            }
        }
        if let Some(parts) = schema["allOf"].as_array() {
            return self.merged(parts, depth);
        }
        match kind(schema).as_deref() {
            Some("string") => Value::String(string(schema)),
            Some("integer") => json!(number(schema).ceil() as i64),
            Some("number") => {
                let number = number(schema);
                if number.fract() == 0.0 { json!(number as i64) } else { json!(number) }
            }
            Some("boolean") => Value::Bool(true),
            Some("array") => self.array(schema, depth),
            Some("object") => self.object(schema, depth),
            Some(_) => Value::Null,
            None => json!("simulated"),
        }
    }

    /// The first option that is not `null`, unless it is time to come to an end.
    fn one_of(&mut self, options: &'a [Value], depth: usize) -> Value {
        let is_null = |option: &&Value| kind(option).as_deref() == Some("null");
        if depth < DEPTH / 2 && options.iter().any(|option| is_null(&option)) {
            return Value::Null;
        }
        let option = options.iter().find(|option| !is_null(option));
        option.map_or(Value::Null, |option| self.value(option, depth - 1))
    }

    fn array(&mut self, schema: &'a Value, depth: usize) -> Value {
        if let Some(items) = schema["prefixItems"].as_array() {
            return items.iter().map(|item| self.value(item, depth - 1)).collect();
        }
        let most = count(schema, "maxItems").unwrap_or(u64::MAX);
        let usual = u64::from(depth >= DEPTH / 2);
        let length = count(schema, "minItems").unwrap_or(0).max(usual).min(most).min(self.left as u64);
        (0..length).map(|_| self.value(&schema["items"], depth - 1)).collect()
    }

    fn object(&mut self, schema: &'a Value, depth: usize) -> Value {
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let properties = &schema["properties"];
        Value::Object(
            required.map(|name| (name.to_owned(), self.value(&properties[name], depth - 1))).collect(),
        )
    }

    /// `allOf`: the members of every part together, or the first part if none is an object.
    fn merged(&mut self, parts: &'a [Value], depth: usize) -> Value {
        let mut members = Map::new();
        let mut other = None;
        for part in parts {
            match self.value(part, depth - 1) {
                Value::Object(more) => members.extend(more),
                scalar => other = other.or(Some(scalar)),
            }
        }
        other.filter(|_| members.is_empty()).unwrap_or(Value::Object(members))
    }
}

/// The schema's type in lower case; the first that is not `null` if there are several.
fn kind(schema: &Value) -> Option<String> {
    let named = match &schema["type"] {
        Value::Array(types) => types.iter().find(|kind| *kind != "null").or(types.first())?.as_str(),
        other => other.as_str(),
    };
    let implied = || match schema {
        schema if schema.get("properties").is_some() => Some("object"),
        schema if schema.get("items").is_some() => Some("array"),
        _ => None,
    };
    named.or_else(implied).map(str::to_ascii_lowercase)
}

fn string(schema: &Value) -> String {
    let mut text = match schema["format"].as_str() {
        Some("date") => "2026-01-01",
        Some("date-time") => "2026-01-01T00:00:00Z",
        Some("time") => "00:00:00Z",
        Some("uuid") => "00000000-0000-4000-8000-000000000000",
        Some("email") => "simulated@example.com",
        Some("uri" | "url") => "https://example.com/simulated",
        _ => "simulated",
    }
    .to_owned();
    while (text.len() as u64) < count(schema, "minLength").unwrap_or(0).min(1 << 20) {
        text.push_str("simulated");
    }
    text.truncate(count(schema, "maxLength").map_or(usize::MAX, |most| most as usize));
    text
}

fn number(schema: &Value) -> f64 {
    let bound = |name: &str| schema[name].as_f64();
    let mut number = 1.0_f64;
    number = bound("minimum").map_or(number, |least| number.max(least));
    number = bound("exclusiveMinimum").map_or(number, |below| number.max(below + 1.0));
    number = bound("maximum").map_or(number, |most| number.min(most));
    number =
        bound("exclusiveMaximum").map_or(number, |above| if number < above { number } else { above - 1.0 });
    match bound("multipleOf") {
        Some(step) if step > 0.0 => (number / step).ceil() * step,
        _ => number,
    }
}

/// A length or count; Gemini writes them as strings.
fn count(schema: &Value, name: &str) -> Option<u64> {
    schema[name].as_u64().or_else(|| schema[name].as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_schema_gets_a_value_it_accepts() {
        for (schema, expected) in [
            (json!({"type": "string"}), json!("simulated")),
            (json!({"type": "string", "maxLength": 3}), json!("sim")),
            (json!({"type": "STRING", "enum": ["b", "a"]}), json!("b")),
            (json!({"type": "integer", "minimum": 5, "multipleOf": 4}), json!(8)),
            (json!({"type": "number", "maximum": 0.5}), json!(0.5)),
            (json!({"type": ["null", "boolean"]}), json!(true)),
            (json!({"type": "array", "items": {"type": "number"}, "minItems": 2}), json!([1, 1])),
            (json!({"anyOf": [{"type": "null"}, {"const": 7}]}), json!(7)),
            (
                json!({"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#/$defs/x"}, "b": {}},
                       "$defs": {"x": {"type": "object", "properties": {}}}}),
                json!({"a": {}}),
            ),
            (
                json!({"allOf": [{"required": ["a"], "properties": {"a": {"type": "integer"}}},
                                 {"required": ["b"], "properties": {"b": {"type": "boolean"}}}]}),
                json!({"a": 1, "b": true}),
            ),
        ] {
            assert_eq!(synthesise(&schema), expected, "{schema}");
        }
    }

    #[test]
    fn a_schema_that_contains_itself_ends() {
        let endless = json!({"type": "object", "required": ["left", "right"],
                             "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}});
        assert!(synthesise(&endless)["left"]["left"].is_object());
        let list = json!({"type": "object", "required": ["next"],
                          "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}});
        let text = synthesise(&list).to_string();
        assert!(text.contains(r#"{"next":{"next":null}}"#), "{text}");
    }
}
