//! Gateways: create, list, get, replace, delete.

use serde_json::{Value, json};

use crate::support::{Api, gateway, record};

#[test]
fn a_gateway_lives_from_creation_to_deletion() {
    let api = Api::new();
    let created = api.post("/gateways", &gateway("prod")).result();
    assert_eq!(created["id"], "prod");
    assert_eq!(created["cache_ttl"], 300);
    assert_eq!(created["authentication"], true);
    assert_eq!(created["is_default"], false);
    assert_eq!(api.get("/gateways/prod").result(), created);

    let mut body = gateway("prod");
    body["cache_ttl"] = Value::Null;
    body["authentication"] = json!(false);
    let replaced = api.put("/gateways/prod", &body).result();
    assert_eq!((&replaced["cache_ttl"], &replaced["authentication"]), (&json!(0), &json!(false)));
    assert_eq!(replaced["created_at"], created["created_at"]);
    let stored = api.store.gateway("acct", "prod").unwrap().unwrap();
    assert_eq!(stored.settings["authentication"], false);

    assert_eq!(api.delete("/gateways/prod").result()["id"], "prod");
    assert_eq!(api.get("/gateways/prod").refusal().0, 404);
    assert_eq!(api.get("/gateways/prod").refusal().1, 7002);
    assert_eq!(api.delete("/gateways/prod").status, 404);
}

#[test]
fn what_a_client_got_it_can_send_back() {
    let api = Api::with_gateway();
    let got = api.get("/gateways/gw").result();
    let put = api.put("/gateways/gw", &got).result();
    assert_eq!(put["cache_ttl"], got["cache_ttl"]);
}

#[test]
fn a_replacement_is_whole() {
    let api = Api::new();
    let mut body = gateway("gw");
    body["retry_max_attempts"] = json!(3);
    api.post("/gateways", &body).result();
    let replaced = api.put("/gateways/gw", &gateway("gw")).result();
    assert_eq!(replaced.get("retry_max_attempts"), None);
}

#[test]
fn a_replacement_by_a_client_that_does_not_know_our_own_settings_keeps_them() {
    let api = Api::new();
    let mut body = gateway("gw");
    let ours = [
        ("cache_semantic", json!({ "model": "openai/text-embedding-3-small", "threshold": 0.9 })),
        ("cache_stale_if_error", json!(60)),
        ("cache_stale_while_revalidate", json!(30)),
        ("log_max_age", json!(604_800)),
        ("on_disconnect", json!("drain")),
        ("resumable_streams", json!(true)),
        ("strict_translation", json!(true)),
        (
            "policies",
            json!([{ "id": "p", "action": { "type": "block" }, "condition": "metadata.team == 'x'" }]),
        ),
        (
            "rate_limits",
            json!([{ "id": "r", "enabled": true, "limitType": "requests", "limit": 5, "window": 60 }]),
        ),
    ];
    for (name, value) in &ours {
        body[name] = value.clone();
    }
    let created = api.post("/gateways", &body).result();
    let replaced = api.put("/gateways/gw", &gateway("gw")).result();
    for (name, _) in &ours {
        assert!(!created[name].is_null(), "{name} is not shown");
        assert_eq!(replaced[name], created[name], "{name}");
    }
    // Who knows them can end them.
    let mut body = gateway("gw");
    body["rate_limits"] = Value::Null;
    body["on_disconnect"] = json!("cancel");
    let ended = api.put("/gateways/gw", &body).result();
    let empty = |name: &str| ended[name].is_null() || ended[name] == json!([]);
    assert!(empty("rate_limits") && !empty("policies"), "{ended}");
    assert_ne!(ended["on_disconnect"], "drain");
}

#[test]
fn a_gateways_cache_can_be_emptied() {
    let api = Api::with_gateway();
    assert_eq!(api.delete("/gateways/gw/cache").json()["removed"], 0);
    let (_, heard) = api.store.cache_purges(0).unwrap();
    assert_eq!(heard, [Some("gw".to_owned())]);
    assert_eq!(api.delete("/gateways/nothing/cache").refusal().0, 404);
}

#[test]
fn mistakes_are_all_named_at_their_place() {
    let api = Api::new();
    let answer = api.post("/gateways", &json!({ "id": "gw", "cache_tll": 5 }));
    assert_eq!(answer.status, 400);
    let errors = answer.json()["errors"].clone();
    let places: Vec<_> = errors.as_array().unwrap().iter().map(|error| error["path"][1].clone()).collect();
    for missing in ["cache_invalidate_on_update", "cache_ttl", "collect_logs", "rate_limiting_limit"] {
        assert!(places.contains(&json!(missing)), "{errors}");
    }
    let typo = errors.as_array().unwrap().iter().find(|error| error["path"][1] == "cache_tll").unwrap();
    assert_eq!(typo["code"], 7001);
    assert!(typo["message"].as_str().unwrap().contains("did you mean `cache_ttl`?"), "{typo}");
    assert_eq!(typo["source"]["pointer"], "/cache_tll");

    for (name, value) in [
        ("cache_ttl", json!(-1)),
        ("cache_ttl", json!("long")),
        ("retry_max_attempts", json!(9)),
        ("log_management", json!(5)),
        ("log_management_strategy", json!("KEEP")),
        ("id", json!("no spaces")),
        ("id", json!("")),
        ("otel", json!([{ "url": "ftp://x" }])),
    ] {
        let mut body = gateway("gw");
        body[name] = value.clone();
        let answer = api.post("/gateways", &body);
        let (status, code, message) = answer.refusal();
        assert_eq!((status, code), (400, 7001), "{name} {value}: {message}");
        assert_eq!(answer.json()["errors"][0]["path"][1], name, "{}", answer.text());
    }
    assert_eq!(
        api.send("POST", "/gateways", &[("authorization", &format!("Bearer {}", api.token))], b"{").status,
        400
    );
    assert_eq!(api.post("/gateways", &json!([])).status, 400);
}

#[test]
fn a_name_is_taken_once() {
    let api = Api::with_gateway();
    assert_eq!(api.post("/gateways", &gateway("gw")).refusal().0, 409);
    assert_eq!(api.post("/gateways", &gateway("declared")).refusal().0, 409);
}

#[test]
fn what_the_file_declares_is_read_only_and_says_so() {
    let api = Api::new();
    let declared = api.get("/gateways/declared").result();
    assert_eq!(declared["declared"], true);
    for answer in [api.put("/gateways/declared", &gateway("declared")), api.delete("/gateways/declared")] {
        let (status, code, message) = answer.refusal();
        assert_eq!((status, code), (409, 7001));
        assert!(message.contains("gateway.gateways.declared"), "{message}");
    }
}

#[test]
fn lists_are_searched_and_paged_until_an_empty_page() {
    let api = Api::new();
    for number in 0..25 {
        api.post("/gateways", &gateway(&format!("team-{number:02}"))).result();
    }
    let first = api.get("/gateways?search=TEAM&per_page=10").json();
    assert_eq!(first["result"].as_array().unwrap().len(), 10);
    let info = json!({ "page": 1, "per_page": 10, "count": 10, "total_count": 25, "total_pages": 3 });
    assert_eq!(first["result_info"], info);
    assert_eq!(api.get("/gateways?search=team&per_page=10&page=3").result().as_array().unwrap().len(), 5);
    assert_eq!(api.get("/gateways?search=team&per_page=10&page=4").result(), json!([]));
    assert_eq!(api.get("/gateways?page=999999999").result(), json!([]));
    for query in ["per_page=51", "per_page=0", "page=0", "page=x", "page=-1"] {
        assert_eq!(api.get(&format!("/gateways?{query}")).refusal().0, 400, "{query}");
    }
}

#[test]
fn secrets_are_hidden_and_survive_being_sent_back() {
    let api = Api::new();
    let mut body = gateway("gw");
    body["otel"] = json!([{ "url": "https://otel.test/v1", "headers": { "x-key": "otel-secret" }, "authorization": "auth-secret" }]);
    body["stripe"] = json!({ "authorization": "stripe-secret", "usage_events": [] });
    let created = api.post("/gateways", &body);
    let got = api.get("/gateways/gw");
    for answer in [&created, &got, &api.get("/gateways")] {
        assert!(!answer.text().contains("secret"), "{}", answer.text());
    }
    api.put("/gateways/gw", &got.result()).result();
    let kept = api.store.gateway("acct", "gw").unwrap().unwrap().settings.to_string();
    for secret in ["otel-secret", "auth-secret", "stripe-secret"] {
        assert!(kept.contains(secret), "{kept}");
    }
    // Another address does not inherit them.
    let mut moved = got.result();
    moved["otel"][0]["url"] = json!("https://evil.test/v1");
    api.put("/gateways/gw", &moved).result();
    let kept = api.store.gateway("acct", "gw").unwrap().unwrap().settings.to_string();
    assert!(!kept.contains("otel-secret"), "{kept}");
}

#[test]
fn a_deleted_gateway_takes_everything_of_its_own_along() {
    let api = Api::with_gateway();
    api.log([record(1), record(2)]);
    let config =
        json!({ "alias": "default", "default_config": true, "provider_slug": "openai", "secret": "sk-1" });
    api.post("/gateways/gw/provider_configs", &config).result();
    api.delete("/gateways/gw").result();
    api.post("/gateways", &gateway("gw")).result();
    assert_eq!(api.get("/gateways/gw/logs").result(), json!([]));
    assert_eq!(api.get("/gateways/gw/provider_configs").result(), json!([]));
}

#[test]
fn the_url_of_a_provider_is_told() {
    let api = Api::with_gateway();
    let url = |provider: &str| api.get(&format!("/gateways/gw/url/{provider}"));
    assert_eq!(url("openai").result(), "http://gateway.test/v1/acct/gw/openai");
    assert_eq!(url("universal").result(), "http://gateway.test/v1/acct/gw/");
    assert_eq!(url("compat").result(), "http://gateway.test/v1/acct/gw/compat");
    assert_eq!(url("nobody").refusal().1, 7002);
}
