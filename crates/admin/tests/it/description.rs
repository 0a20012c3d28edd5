//! The OpenAPI description: checked in, and true.

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};

use crate::support::Api;

/// `UPDATE_OPENAPI=1` writes the file instead of comparing.
#[test]
fn the_checked_in_description_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let text = serde_json::to_string_pretty(&genesis_admin::openapi()).unwrap() + "\n";
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "docs/openapi.json is out of date: run this test with UPDATE_OPENAPI=1");
}

#[test]
fn it_is_served_to_anybody() {
    let api = Api::new();
    let answer = api.send("GET", "/client/v4/openapi.json", &[], b"");
    assert_eq!(answer.json(), genesis_admin::openapi());
}

#[test]
fn operations_have_names_of_their_own() {
    let document = genesis_admin::openapi();
    let mut names: Vec<_> =
        operations(&document).iter().map(|(_, _, operation)| operation["operationId"].to_string()).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

/// Whatever is sent, nothing answers 5xx, and every answer is as described (the support module sees to both).
#[test]
fn made_up_requests_get_described_answers() {
    let api = Api::with_gateway();
    let document = genesis_admin::openapi();
    let operations = operations(&document);
    let strategy = prop::sample::select(operations).prop_flat_map(|(method, path, operation)| {
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let (in_path, in_query): (Vec<_>, Vec<_>) =
            parameters.into_iter().partition(|parameter| parameter["in"] == "path");
        let names: Vec<_> =
            in_path.iter().map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect();
        let parts = prop::collection::vec(path_part(), names.len());
        let query: Vec<_> = in_query
            .iter()
            .map(|parameter| {
                let name = parameter["name"].as_str().unwrap().to_owned();
                prop::option::weighted(0.2, likely(&parameter["schema"], 1))
                    .prop_map(move |value| value.map(|value| (name.clone(), value)))
            })
            .collect();
        let body = likely(&operation["requestBody"]["content"]["application/json"]["schema"], 4);
        (Just((method, path, names)), parts, query, body)
    });
    let config = Config { cases: 400, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let ran = runner.run(&strategy, |((method, path, names), parts, query, body)| {
        if path.ends_with("/tail") {
            return Ok(()); // does not end
        }
        let mut path = path.replace("{account}", "acct");
        for (name, part) in names.iter().zip(parts) {
            path = path.replace(&format!("{{{name}}}"), if name == "gateway" { "gw" } else { &part });
        }
        let query: Vec<_> = query
            .into_iter()
            .flatten()
            .map(|(name, value)| {
                let text = match value {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                format!("{name}={}", escape(&text))
            })
            .collect();
        // Without the gateway there is little left to find.
        if method == "delete" && path.ends_with("/gateways/gw") {
            return Ok(());
        }
        api.call(&method.to_uppercase(), &format!("{path}?{}", query.join("&")), Some(&body));
        Ok(())
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
}

fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, methods)| {
            methods
                .as_object()
                .unwrap()
                .iter()
                .map(|(method, operation)| (method.clone(), path.clone(), operation.clone()))
        })
        .collect()
}

fn path_part() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9-]{1,12}",
        Just("openai".to_owned()),
        Just("%00%ff".to_owned()),
        Just("0193a000-0000-7000-8000-000000000000".to_owned())
    ]
}

/// Mostly a value that fits the schema; now and then another.
fn likely(schema: &Value, depth: u32) -> BoxedStrategy<Value> {
    let odd = prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!([])),
        Just(json!("\u{0}é")),
        Just(json!(-1.5)),
        Just(json!(1e300))
    ];
    prop_oneof![9 => fitting(schema, depth), 1 => odd].boxed()
}

fn fitting(schema: &Value, depth: u32) -> BoxedStrategy<Value> {
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return prop::sample::select(words.clone()).boxed();
    }
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        return prop::strategy::Union::new(choices.iter().map(|choice| fitting(choice, depth))).boxed();
    }
    let kind = schema
        .get("type")
        .and_then(|kind| kind.as_str().or_else(|| kind.get(0)?.as_str()))
        .unwrap_or_default();
    match kind {
        "string" if schema["format"] == "date-time" => Just(json!("2026-11-22T12:00:00Z")).boxed(),
        "string" => "[ -~]{0,12}".prop_map(Value::from).boxed(),
        "integer" => {
            let least = schema["minimum"].as_i64().unwrap_or(0);
            let most = schema["maximum"].as_i64().unwrap_or(1000);
            (least..=most).prop_map(Value::from).boxed()
        }
        "number" => (-10.0..1e6_f64).prop_map(Value::from).boxed(),
        "boolean" => any::<bool>().prop_map(Value::from).boxed(),
        "array" if depth > 0 => {
            prop::collection::vec(likely(&schema["items"], depth - 1), 0..3).prop_map(Value::from).boxed()
        }
        "object" if depth > 0 => object(schema, depth),
        _ => Just(json!({})).boxed(),
    }
}

fn object(schema: &Value, depth: u32) -> BoxedStrategy<Value> {
    let required: Vec<_> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let fields: Vec<_> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, field)| {
            let (name, chance) = (name.clone(), if required.contains(&name.as_str()) { 0.95 } else { 0.2 });
            prop::option::weighted(chance, likely(field, depth - 1))
                .prop_map(move |value| value.map(|value| (name.clone(), value)))
        })
        .collect();
    fields.prop_map(|fields| Value::Object(fields.into_iter().flatten().collect::<Map<_, _>>())).boxed()
}

fn escape(text: &str) -> String {
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            },
        )
        .collect()
}
