//! The OpenAPI description, made of the table that routes requests.

use serde_json::{Map, Value, json};

use crate::access::Right;
use crate::endpoints::{Answer, ENDPOINTS, Endpoint};
use crate::shape::Shape;

/// The whole document, OpenAPI 3.1.
pub fn document() -> Value {
    let mut paths = Map::new();
    for endpoint in ENDPOINTS {
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[endpoint.method.as_str().to_lowercase()] = operation(endpoint);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Genesis management API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Cloudflare's AI Gateway API, as Genesis serves it.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": { "Failure": failure() },
        },
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let in_path = endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let text = Shape::Text(256).schema();
    let in_path = in_path.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": text }));
    let in_query = endpoint.query.iter().map(|param| {
        json!({
            "name": param.name, "in": "query", "required": false, "description": param.about,
            "schema": param.shape.schema(),
        })
    });
    let failed = |about: &str| {
        let schema = json!({ "$ref": "#/components/schemas/Failure" });
        json!({ "description": about, "content": { "application/json": { "schema": schema } } })
    };
    let mut operation = json!({
        "summary": endpoint.about,
        "operationId": operation_id(endpoint),
        "parameters": in_path.chain(in_query).collect::<Vec<_>>(),
        "responses": {
            "200": answer(&endpoint.answer),
            "400": failed("The request cannot be used, or carries no token"),
            "401": failed("The token is unknown, revoked or expired"),
            "403": failed("The token may not do this, or not here"),
            "404": failed("There is no such thing"),
            "409": failed("The name is taken, or the thing is read-only here"),
            "413": failed("The body is too large"),
            "414": { "description": "The address is too long; nothing else is said" },
            "429": failed("Too many at a time"),
            "431": { "description": "The headers are too large; nothing else is said" },
            "503": failed("The store cannot be used"),
        },
    });
    if endpoint.query.iter().any(|param| param.name == "format") {
        operation["responses"]["200"]["content"]["text/csv"] = json!({ "schema": { "type": "string" } });
    }
    if let Some(body) = &endpoint.body {
        let content = json!({ "application/json": { "schema": body.schema() } });
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    if endpoint.right == Right::None {
        operation["security"] = json!([]);
    }
    operation
}

/// `get /…/gateways/{gateway}/logs/{id}` → `getGatewaysGatewayLogsId`.
fn operation_id(endpoint: &Endpoint) -> String {
    let mut id = endpoint.method.as_str().to_lowercase();
    let path = endpoint.path.strip_prefix("/client/v4/").unwrap_or(endpoint.path);
    for word in path.replace("accounts/{account}/ai-gateway/", "").split(|c: char| !c.is_alphanumeric()) {
        let mut letters = word.chars();
        id.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        id.extend(letters);
    }
    id
}

fn answer(answer: &Answer) -> Value {
    let schema = match answer {
        Answer::One(shape) => enveloped(shape.schema()),
        Answer::Page(shape) => {
            let mut schema = enveloped(json!({ "type": "array", "items": shape.schema() }));
            schema["properties"]["result_info"] = page_info();
            schema
        }
        Answer::Data(name, shape) => {
            let list = json!({ "type": "array", "items": shape.schema() });
            let mut data = json!({ "type": "object", "properties": {}, "required": [name] });
            data["properties"][name] = list;
            beside("data", data)
        }
        Answer::Partly(shape) => {
            let mut schema = enveloped(shape.schema());
            schema["properties"]["success"] = json!({ "type": "boolean" });
            schema
        }
        Answer::Beside(name, shape) => beside(name, shape.schema()),
        Answer::Raw(media) => {
            return json!({ "description": "As it is", "content": { *media: {} } });
        }
    };
    json!({ "description": "Done", "content": { "application/json": { "schema": schema } } })
}

fn enveloped(result: Value) -> Value {
    json!({
        "type": "object",
        "required": ["success", "errors", "messages", "result"],
        "properties": {
            "success": { "const": true },
            "errors": { "type": "array", "maxItems": 0 },
            "messages": { "type": "array" },
            "result": result,
        },
    })
}

fn beside(name: &str, shape: Value) -> Value {
    let mut schema = json!({
        "type": "object", "required": ["success", name], "properties": { "success": { "const": true } },
    });
    schema["properties"][name] = shape;
    schema
}

fn page_info() -> Value {
    let count = json!({ "type": "integer", "minimum": 0 });
    json!({
        "type": "object",
        "required": ["page", "per_page", "count", "total_count"],
        "properties": { "page": count, "per_page": count, "count": count, "total_count": count, "total_pages": count },
    })
}

fn failure() -> Value {
    json!({
        "type": "object",
        "required": ["success", "errors", "messages", "result"],
        "properties": {
            "success": { "const": false },
            "result": { "type": "null" },
            "messages": { "type": "array" },
            "errors": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["code", "message"],
                    "properties": {
                        "code": { "type": "integer" },
                        "message": { "type": "string" },
                        "path": { "type": "array", "items": { "type": ["string", "integer"] } },
                        "source": { "type": "object", "properties": { "pointer": { "type": "string" } } },
                    },
                },
            },
        },
    })
}
