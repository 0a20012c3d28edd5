//! Custom providers.

use serde_json::{Value, json};

use crate::support::Api;

const PATH: &str = "/custom-providers";

fn provider(slug: &str) -> Value {
    json!({ "name": format!("Provider {slug}"), "slug": slug, "base_url": "https://api.example.com/v1" })
}

#[test]
fn a_custom_provider_lives_from_creation_to_deletion() {
    let api = Api::with_gateway();
    let created = api.post(PATH, &provider("mine")).result();
    assert_eq!(created["enable"], false);
    let path = format!("{PATH}/{}", created["id"].as_str().unwrap());
    assert_eq!(api.get(&path).result(), created);
    let changed = api.patch(&path, &json!({ "enable": true, "description": "d", "link": null })).result();
    assert_eq!((&changed["enable"], &changed["description"]), (&json!(true), &json!("d")));
    assert_eq!(changed["base_url"], created["base_url"]);
    let url = api.get("/gateways/gw/url/custom-mine").result();
    assert_eq!(url, "http://gateway.test/v1/acct/gw/custom-mine");
    assert_eq!(api.delete(&path).result()["slug"], "mine");
    let (status, code, _) = api.get(&path).refusal();
    assert_eq!((status, code), (404, 1004));
}

#[test]
fn slugs_are_taken_once_with_cloudflares_code_and_place() {
    let api = Api::new();
    api.post(PATH, &provider("mine")).result();
    for taken in ["mine", "openai", "xai"] {
        let answer = api.post(PATH, &provider(taken));
        assert_eq!(answer.refusal().0, 409, "{taken}");
        assert_eq!(answer.refusal().1, 1003);
        assert_eq!(answer.json()["errors"][0]["path"], json!(["body", "slug"]));
    }
}

#[test]
fn addresses_are_checked() {
    let api = Api::new();
    for (url, at) in [
        ("http://api.example.com", "base_url"),
        ("ftp://api.example.com", "base_url"),
        ("https://", "base_url"),
        ("https://user:pass@host", "base_url"),
        ("https://${AWS_SECRET_ACCESS_KEY}.example.com", "base_url"),
        ("https://host/?q", "base_url"),
    ] {
        let mut body = provider("mine");
        body["base_url"] = json!(url);
        let answer = api.post(PATH, &body);
        assert_eq!((answer.refusal().0, answer.refusal().1), (400, 1002), "{url}");
        assert_eq!(answer.json()["errors"][0]["path"], json!(["body", at]), "{}", answer.text());
    }
    assert_eq!(api.post(PATH, &provider("No Slug")).refusal().0, 400);
    assert_eq!(api.get(PATH).result(), json!([]));
}

#[test]
fn headers_are_sealed_hidden_and_hold_no_variables() {
    let api = Api::new();
    let mut body = provider("mine");
    body["headers"] = json!(r#"{"x-key":"very-secret","x-team":"a"}"#);
    let created = api.post(PATH, &body);
    assert!(!created.text().contains("very-secret"), "{}", created.text());
    assert!(created.result()["headers"].as_str().unwrap().contains("x-key"));
    let path = format!("{PATH}/{}", created.result()["id"].as_str().unwrap());
    // What was hidden stays as it was when it is sent back.
    let hidden = json!({ "headers": r#"{"x-key":"********","x-team":"b"}"# });
    api.patch(&path, &hidden).result();
    let row = api.store.custom_providers().unwrap().remove(0);
    let headers: Value =
        serde_json::from_str(secrecy::ExposeSecret::expose_secret(&row.headers.unwrap())).unwrap();
    assert_eq!(headers, json!({ "x-key": "very-secret", "x-team": "b" }));
    let file = std::fs::read(api.store.path()).unwrap();
    assert!(!file.windows(11).any(|window| window == b"very-secret"), "headers are in the file as they are");
    for headers in [r#"{"x":"${ANTHROPIC_API_KEY}"}"#, "[]", "text", r#"{"x":5}"#, r#"{"bad name":"x"}"#] {
        assert_eq!(api.patch(&path, &json!({ "headers": headers })).refusal().0, 400, "{headers}");
    }
}

#[test]
fn lists_are_filtered_searched_and_ordered() {
    let api = Api::new();
    for slug in ["b", "a", "c"] {
        let mut body = provider(slug);
        body["enable"] = json!(slug == "c");
        api.post(PATH, &body).result();
    }
    let slugs = |query: &str| -> Vec<Value> {
        let listed = api.get(&format!("{PATH}{query}")).result();
        listed.as_array().unwrap().iter().map(|row| row["slug"].clone()).collect()
    };
    assert_eq!(slugs(""), ["a", "b", "c"]);
    assert_eq!(slugs("?order_by=name%20DESC"), ["c", "b", "a"]);
    assert_eq!(slugs("?enable=true"), ["c"]);
    assert_eq!(slugs("?search=PROVIDER+b"), ["b"]);
    assert_eq!(slugs("?per_page=2&page=2"), ["c"]);
}
