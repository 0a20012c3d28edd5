//! A gateway's settings as the management API carries them.

use genesis_config::{GatewayId, GatewaySettings};
use serde_json::{Value, json};

#[test]
fn every_field_survives_the_api() {
    let body = json!({
        "id": "prod", "authentication": false, "byok_only": true, "cache_invalidate_on_update": true,
        "cache_ttl": 300, "collect_logs": false,
        "dlp": { "enabled": true, "policies": [{ "id": "pii", "enabled": true, "action": "BLOCK", "check": ["REQUEST"], "profiles": ["u"] }] },
        "guardrails": { "prompt": { "S1": "BLOCK", "P1": "FLAG" }, "response": { "S7": "BLOCK" } },
        "log_classification": true, "log_management": 1_000_000, "log_management_strategy": "STOP_INSERTING",
        "logpush": true, "logpush_public_key": "-----BEGIN PUBLIC KEY-----",
        "otel": [{ "url": "https://otel.example/v1/traces", "headers": { "x-api-key": "k" }, "content_type": "protobuf" }],
        "rate_limiting_interval": 60, "rate_limiting_limit": 1000, "rate_limiting_technique": "sliding",
        "retry_backoff": "exponential", "retry_delay": 500, "retry_max_attempts": 3,
        "spend_limits": { "enabled": true, "rules": [{
            "id": "per-user", "enabled": true, "limitType": "cost", "limit": 25.5, "window": 86400, "technique": "fixed",
            "metadata": { "user": { "mode": "partition" }, "env": { "mode": "filter", "values": ["prod"] } },
            "model": { "mode": "filter", "values": ["openai/gpt-5.5"] },
        }] },
        "store_id": "s", "strict_translation": true, "stripe": { "authorization": "a", "usage_events": [{ "payload": "p" }] },
        "workers_ai_billing_mode": "unified", "zdr": true,
    });
    let settings = GatewaySettings::from_api(object(&body)).unwrap();
    assert_eq!(serde_json::to_value(&settings).unwrap(), body);
    assert!(settings.check().is_empty());
    assert_eq!(settings.spend_limits.unwrap().rules[0].limit.0, 25_500_000_000);
    for name in object(&body).keys() {
        assert!(genesis_config::gateway::FIELDS.contains(&name.as_str()), "{name}");
    }
    assert_eq!(genesis_config::gateway::FIELDS.len(), object(&body).len());
}

#[test]
fn the_api_may_send_null_and_fields_of_its_own() {
    let body = json!({ "id": "a", "cache_ttl": null, "rate_limiting_limit": null, "created_at": "x", "is_default": false, "wholesale": true });
    let settings = GatewaySettings::from_api(object(&body)).unwrap();
    assert_eq!(settings, GatewaySettings::named("a"));
}

#[test]
fn a_wrong_type_in_the_api_names_its_field() {
    let problem = GatewaySettings::from_api(object(&json!({ "cache_ttl": "300" }))).unwrap_err();
    assert_eq!(
        (problem.path.as_str(), problem.message.as_str()),
        ("cache_ttl", "expected a whole number, 0 or more, found a string")
    );
}

#[test]
fn the_default_gateway_asks_for_a_token_and_logs() {
    let settings = GatewaySettings::named("default");
    assert!(settings.is_default() && settings.authentication && settings.collect_logs);
    assert_eq!((settings.cache_ttl, settings.rate_limiting_limit), (0, 0));
    assert!(settings.check().is_empty());
}

#[test]
fn ids_are_one_to_sixty_four_plain_characters() {
    for good in ["a", "default", "My_gateway-1", &"x".repeat(64)] {
        assert!(GatewayId::parse(good).is_ok(), "{good}");
    }
    for bad in ["", "a b", "a/b", "a.b", "é", &"x".repeat(65)] {
        assert!(GatewayId::parse(bad).is_err(), "{bad}");
    }
}

fn object(value: &Value) -> serde_json::Map<String, Value> {
    value.as_object().unwrap().clone()
}
