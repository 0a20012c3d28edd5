//! Custom domains.

use genesis_config::{DomainBlock, HostName};
use serde_json::json;

use crate::support::{Api, gateway};

const DOMAINS: &str = "/gateways/gw/custom-domains";

#[test]
fn a_domain_lives_from_creation_to_deletion() {
    let api = Api::with_gateway();
    let created = api.post(DOMAINS, &json!({ "domain": "AI.example.com", "zone_id": "z" })).result();
    assert_eq!((&created["hostname"], &created["gateway_id"]), (&json!("ai.example.com"), &json!("gw")));
    assert_eq!((&created["status"], &created["cname_target"]), (&json!("active"), &json!("gateway.test")));
    assert!(created["created_at"].as_i64().unwrap() > 1_700_000_000_000, "in milliseconds: {created}");
    assert_eq!(api.get(DOMAINS).result(), json!([created]));
    assert_eq!(api.get(&format!("{DOMAINS}/ai.EXAMPLE.com")).result(), created);
    assert_eq!(api.store.domains().unwrap()[0].zone.as_deref(), Some("z"));

    api.post("/gateways", &gateway("second")).result();
    let taken = json!({ "domain": "ai.example.com" });
    assert_eq!(api.post("/gateways/second/custom-domains", &taken).refusal().0, 409);
    assert_eq!(api.get("/gateways/second/custom-domains/ai.example.com").refusal().0, 404);

    assert_eq!(api.delete(&format!("{DOMAINS}/ai.example.com")).result()["hostname"], "ai.example.com");
    assert_eq!(api.delete(&format!("{DOMAINS}/ai.example.com")).refusal().0, 404);
    api.post("/gateways/second/custom-domains", &taken).result();
    api.delete("/gateways/second").result();
    assert!(api.store.domains().unwrap().is_empty(), "a domain goes with its gateway");
}

#[test]
fn names_that_cannot_stand_for_a_gateway_are_refused() {
    let api = Api::with_gateway();
    for (name, said) in [
        ("https://ai.example.com", "without scheme"),
        ("127.0.0.1", "host name"),
        ("localhost", "host name"),
        ("gateway.test", "this API is reached under that name"),
    ] {
        let answer = api.post(DOMAINS, &json!({ "domain": name }));
        assert_eq!(answer.json()["errors"][0]["path"], json!(["body", "domain"]));
        let (status, _, message) = answer.refusal();
        assert!(status == 400 && message.contains(said), "{name}: {message}");
    }
}

#[test]
fn declared_domains_are_shown_and_read_only() {
    let api = Api::with(|declared| {
        let block = DomainBlock { gateway: "declared".to_owned(), account: None };
        declared.domains.insert(HostName::parse("file.example.com").unwrap(), block);
    });
    let path = "/gateways/declared/custom-domains";
    let shown = api.get(path).result();
    assert_eq!((&shown[0]["hostname"], &shown[0]["declared"]), (&json!("file.example.com"), &json!(true)));
    let (status, _, message) = api.delete(&format!("{path}/file.example.com")).refusal();
    assert!(status == 409 && message.contains("gateway.domains"), "{message}");
    let (status, _, message) = api.post(path, &json!({ "domain": "file.example.com" })).refusal();
    assert!(status == 409 && message.contains("genesis.json"), "{message}");
}

#[test]
fn an_account_sees_its_own_domains() {
    let api = Api::with(|declared| {
        declared.accounts = Some(vec!["acct".to_owned(), "other".to_owned()]);
        let block = DomainBlock { gateway: "declared".to_owned(), account: Some("other".to_owned()) };
        declared.domains.insert(HostName::parse("other.example.com").unwrap(), block);
    });
    let path = "/gateways/declared/custom-domains";
    api.post(path, &json!({ "domain": "ours.example.com" })).result();
    let other = format!("/client/v4/accounts/other/ai-gateway{path}");
    let names = |path: &str| {
        let list = api.get(path).result();
        let names =
            list.as_array().unwrap().iter().map(|domain| domain["hostname"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(path), ["ours.example.com"]);
    assert_eq!(names(&other), ["other.example.com"]);
    assert_eq!(api.delete(&format!("{other}/ours.example.com")).refusal().0, 404);
}
