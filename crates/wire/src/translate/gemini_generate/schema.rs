//! Gemini's schemas, a dialect of OpenAPI 3.0, as JSON Schema.

use std::borrow::Cow;

use crate::translate::json::{self, Json};

/// JSON Schema for a Gemini schema given as JSON text; text that does not parse comes back as it is.
pub(super) fn json_schema(schema: &str) -> Cow<'_, str> {
    match json::parse(schema.as_bytes(), &[]) {
        Ok(parsed) => Cow::Owned(convert(parsed).text().into_owned()),
        Err(_) => Cow::Borrowed(schema),
    }
}

fn convert(schema: Json<'_>) -> Json<'_> {
    let Json::Object(entries) = schema else {
        return schema;
    };
    let mut nullable = false;
    let mut converted = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let key = camel(key);
        let value = match (key.as_ref(), value) {
            ("nullable", value) => {
                nullable = value == Json::Bool(true);
                continue;
            }
            // An order of Google's own; JSON objects have none.
            ("propertyOrdering", _) => continue,
            ("type", Json::String(name)) => Json::String(Cow::Owned(name.to_ascii_lowercase())),
            ("properties" | "defs" | "$defs", Json::Object(named)) => {
                Json::Object(named.into_iter().map(|(name, schema)| (name, convert(schema))).collect())
            }
            ("items" | "additionalProperties", schema) => convert(schema),
            ("anyOf", Json::Array(schemas)) => Json::Array(schemas.into_iter().map(convert).collect()),
            // 64-bit integers come as strings.
            (key, Json::String(number)) if key.starts_with("min") || key.starts_with("max") => {
                number.parse::<u64>().map_or(Json::String(number), |number| Json::Number(number.into()))
            }
            (_, value) => value,
        };
        converted.push((key, value));
    }
    if nullable && let Some((_, kind)) = converted.iter_mut().find(|(key, _)| key == "type") {
        let name = std::mem::replace(kind, Json::Null);
        *kind = Json::Array(vec![name, Json::String(Cow::Borrowed("null"))]);
    }
    Json::Object(converted)
}

fn camel(key: Cow<'_, str>) -> Cow<'_, str> {
    match key.as_ref() {
        "any_of" => Cow::Borrowed("anyOf"),
        "property_ordering" => Cow::Borrowed("propertyOrdering"),
        "additional_properties" => Cow::Borrowed("additionalProperties"),
        "min_items" => Cow::Borrowed("minItems"),
        "max_items" => Cow::Borrowed("maxItems"),
        "min_length" => Cow::Borrowed("minLength"),
        "max_length" => Cow::Borrowed("maxLength"),
        "min_properties" => Cow::Borrowed("minProperties"),
        "max_properties" => Cow::Borrowed("maxProperties"),
        _ => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openapi_becomes_json_schema() {
        let schema = r#"{"type":"OBJECT","properties":{"type":{"type":"STRING","nullable":true},"tags":{"type":"ARRAY","minItems":"1","items":{"type":"STRING"}}},"propertyOrdering":["type"],"required":["type"]}"#;
        assert_eq!(
            json_schema(schema),
            r#"{"type":"object","properties":{"type":{"type":["string","null"]},"tags":{"type":"array","minItems":1,"items":{"type":"string"}}},"required":["type"]}"#
        );
    }
}
