//! Stored provider keys.

use genesis_store::Secret;
use serde_json::{Value, json};

use crate::support::Api;

const CONFIGS: &str = "/gateways/gw/provider_configs";

fn config(alias: &str) -> Value {
    json!({ "alias": alias, "default_config": false, "provider_slug": "openai", "secret": "sk-0123456789abcdefWXYZ" })
}

#[test]
fn a_key_goes_in_and_never_comes_out() {
    let api = Api::with_gateway();
    let created = api.post(CONFIGS, &config("team")).result();
    assert_eq!(created["secret_preview"], "sk-…WXYZ");
    assert_eq!(created["gateway_id"], "gw");
    let id = created["id"].as_str().unwrap();
    let answers = [
        api.get(CONFIGS),
        api.get(&format!("{CONFIGS}/{id}")),
        api.put(&format!("{CONFIGS}/{id}"), &json!({ "rate_limit": 5, "rate_limit_period": 60 })),
        api.patch(&format!("{CONFIGS}/{id}"), &json!({ "secret": "sk-another-0123456789" })),
    ];
    for answer in &answers {
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(!answer.text().contains("123456"), "{}", answer.text());
    }
    assert_eq!(answers[2].result()["rate_limit"], 5);
    assert_eq!(answers[3].result()["secret_preview"], "sk-…6789");
    assert_eq!(answers[3].result()["rate_limit"], 5);
    let keys = api.store.open_keys().unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&keys[0].1), "sk-another-0123456789");
    assert_eq!(keys[0].0.gateway.as_deref(), Some("gw"));
    api.delete(&format!("{CONFIGS}/{id}")).result();
    assert_eq!(api.get(CONFIGS).result(), json!([]));
    assert_eq!(api.get(&format!("{CONFIGS}/{id}")).refusal().1, 7002);
}

#[test]
fn slugs_are_known_and_aliases_of_slugs_mean_the_same_provider() {
    let api = Api::with_gateway();
    let mut body = config("default");
    body["provider_slug"] = json!("xai");
    assert_eq!(api.post(CONFIGS, &body).result()["provider_slug"], "grok");
    body["provider_slug"] = json!("opnai");
    let (status, code, message) = api.post(CONFIGS, &body).refusal();
    assert_eq!((status, code), (400, 7001));
    assert!(message.contains("did you mean `openai`?"), "{message}");
}

#[test]
fn a_secret_is_needed_and_a_pair_of_provider_and_alias_is_taken_once() {
    let api = Api::with_gateway();
    let mut body = config("default");
    body["secret"] = json!("  ");
    assert_eq!(api.post(CONFIGS, &body).refusal().0, 400);
    body.as_object_mut().unwrap().remove("secret");
    body["secret_id"] = json!("store-reference");
    assert!(api.post(CONFIGS, &body).refusal().2.contains("Secrets Store"));
    api.post(CONFIGS, &config("default")).result();
    assert_eq!(api.post(CONFIGS, &config("default")).refusal().0, 409);
}

#[test]
fn keys_for_all_gateways_are_shown_and_left_alone() {
    let api = Api::with_gateway();
    api.store.set_key("anthropic", "default", None, &Secret::from("sk-ant-0123456789abcdef"), 1).unwrap();
    let listed = api.get(CONFIGS).result();
    assert_eq!(listed[0]["provider_slug"], "anthropic");
    let path = format!("{CONFIGS}/{}", listed[0]["id"].as_str().unwrap());
    assert!(api.delete(&path).refusal().2.contains("genesis key"));
    assert_eq!(api.patch(&path, &json!({ "secret": "sk-other" })).refusal().0, 409);
    assert_eq!(api.store.keys().unwrap().len(), 1);
}

#[test]
fn half_of_a_rate_is_refused() {
    let api = Api::with_gateway();
    let mut body = config("team");
    body["rate_limit"] = json!(5);
    let (status, _, message) = api.post(CONFIGS, &body).refusal();
    assert_eq!(status, 400);
    assert!(message.contains("in seconds"), "{message}");
    assert_eq!(api.get(CONFIGS).result(), json!([]), "nothing is kept of it");
    body["rate_limit_period"] = json!(60);
    let created = api.post(CONFIGS, &body).result();
    let path = format!("{CONFIGS}/{}", created["id"].as_str().unwrap());
    assert_eq!(api.patch(&path, &json!({ "rate_limit_period": null })).refusal().0, 400);
    assert_eq!(api.patch(&path, &json!({ "rate_limit": 7 })).result()["rate_limit_period"], 60);
    let off = api.patch(&path, &json!({ "rate_limit": 0, "rate_limit_period": null })).result();
    assert_eq!((&off["rate_limit"], off.get("rate_limit_period")), (&json!(0), None));
}
