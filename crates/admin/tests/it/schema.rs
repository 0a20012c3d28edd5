//! As much of JSON Schema as the description uses.

use serde_json::Value;

/// Everything in `value` that the schema does not allow.
pub(crate) fn check(schema: &Value, value: &Value, path: &str, wrong: &mut Vec<String>) {
    if let Some(allowed) = schema.get("const") {
        if allowed != value {
            wrong.push(format!("{path}: {value} is not {allowed}"));
        }
        return;
    }
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        let fits = |choice: &Value| {
            let mut wrong = Vec::new();
            check(choice, value, path, &mut wrong);
            wrong.is_empty()
        };
        if !choices.iter().any(fits) {
            wrong.push(format!("{path}: {value} fits none of the choices"));
        }
        return;
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !types.is_empty() && !types.iter().any(|name| is_a(value, name)) {
        wrong.push(format!("{path}: {value} is no {}", types.join(" or ")));
        return;
    }
    if schema.get("enum").and_then(Value::as_array).is_some_and(|words| !words.contains(value)) {
        wrong.push(format!("{path}: {value} is not among the words"));
    }
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    if let Some(number) = value.as_f64()
        && (bound("minimum").is_some_and(|least| number < least)
            || bound("maximum").is_some_and(|most| number > most))
    {
        wrong.push(format!("{path}: {value} is out of bounds"));
    }
    if let Some(text) = value.as_str() {
        let length = text.chars().count() as f64;
        if bound("minLength").is_some_and(|least| length < least)
            || bound("maxLength").is_some_and(|most| length > most)
        {
            wrong.push(format!("{path}: {} characters", length));
        }
    }
    if let Value::Array(items) = value {
        if bound("maxItems").is_some_and(|most| items.len() as f64 > most)
            || bound("minItems").is_some_and(|least| (items.len() as f64) < least)
        {
            wrong.push(format!("{path}: {} items", items.len()));
        }
        let schema = schema.get("items").cloned().unwrap_or_default();
        for (index, item) in items.iter().enumerate() {
            check(&schema, item, &format!("{path}.{index}"), wrong);
        }
    }
    if let Value::Object(fields) = value {
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            if !fields.contains_key(name.as_str().unwrap()) {
                wrong.push(format!("{path}: {name} is missing"));
            }
        }
        for (name, field) in fields {
            let own = schema.get("properties").and_then(|properties| properties.get(name));
            if let Some(schema) =
                own.or_else(|| schema.get("additionalProperties")).filter(|schema| schema.is_object())
            {
                check(schema, field, &format!("{path}.{name}"), wrong);
            }
        }
    }
}

fn is_a(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        _ => value.is_object(),
    }
}
