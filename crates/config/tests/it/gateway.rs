//! A gateway's settings as the management API carries them.

use genesis_config::{GatewayId, GatewaySettings};
use serde_json::{Value, json};

#[test]
fn every_field_survives_the_api() {
    let body = json!({
        "id": "prod", "authentication": false, "byok_only": true, "cache_invalidate_on_update": true,
        "cache_semantic": { "model": "openai/text-embedding-3-small", "threshold": 0.9 },
        "cache_stale_if_error": 3600, "cache_stale_while_revalidate": 60,
        "cache_ttl": 300, "collect_logs": false,
        "dlp": { "enabled": true, "policies": [{ "id": "pii", "enabled": true, "action": "BLOCK", "check": ["REQUEST"], "profiles": ["u"] }] },
        "guardrails": { "prompt": { "S1": "BLOCK", "P1": "FLAG" }, "response": { "S7": "BLOCK" } },
        "log_classification": true, "log_management": 1_000_000, "log_management_strategy": "STOP_INSERTING", "log_max_age": 86_400,
        "logpush": true, "logpush_public_key": "-----BEGIN PUBLIC KEY-----",
        "on_disconnect": "drain",
        "otel": [{ "url": "https://otel.example/v1/traces", "headers": { "x-api-key": "k" }, "content_type": "protobuf" }],
        "policies": [
            { "id": "no-opus", "resource": { "model": "claude-opus-*", "provider": ["anthropic", "bedrock"] },
              "condition": "metadata.team != 'research'", "action": { "type": "block", "except": true }, "simulate": true },
            { "id": "allowance", "name": "Everybody", "actor": "user:{metadata.user}", "resource": "*",
              "action": { "type": "limit", "amount": 0.5, "period": "weekly", "technique": "named-interval" } },
        ],
        "rate_limits": [{
            "id": "tokens", "enabled": true, "limitType": "output_tokens", "limit": 9, "window": 60, "technique": "fixed",
            "token": { "mode": "partition" }, "provider": { "mode": "filter", "values": ["openai"] },
        }],
        "rate_limiting_interval": 60, "rate_limiting_limit": 1000, "rate_limiting_technique": "sliding",
        "resumable_streams": true, "retry_backoff": "exponential", "retry_delay": 500, "retry_max_attempts": 3,
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
fn limits_and_policies_that_cannot_work_are_refused_where_they_stand() {
    let body = json!({
        "id": "a",
        "rate_limits": [
            { "id": "a", "limit": 1 },
            { "id": "a", "limitType": "concurrent", "limit": 1, "window": 5 },
            { "id": "", "limit": 1, "window": 99_999_999 },
        ],
        "spend_limits": { "enabled": true, "rules": [{ "id": "s", "limit": 1, "window": 0 }] },
        "policies": [
            { "id": "p", "condition": "metadata.team = 'x'", "action": { "type": "no-limit" } },
            { "id": "p", "actor": "user:{metadata.user", "action": { "type": "limit", "amount": -1, "period": "daily" } },
        ],
    });
    let problems = GatewaySettings::from_api(object(&body)).unwrap().check();
    let found: Vec<_> =
        problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
    assert_eq!(
        found,
        [
            "rate_limits[0].window: a limit needs a window, in seconds",
            "rate_limits[1].id: another rule has this id",
            "rate_limits[1].window: calls under way have no window",
            "rate_limits[2].id: a rate limit needs an id",
            "rate_limits[2].window: at most 31622400 seconds, which is 366 days",
            "spend_limits.rules[0].window: a limit needs a window, in seconds",
            "policies[0].condition: not an expression: two values are compared with `==` (column 15)",
            "policies[1].id: another rule has this id",
            "policies[1].actor: a brace is not closed",
            "policies[1].action.amount: an amount cannot be negative",
        ]
    );
    for wrong in [
        json!({ "rate_limits": [{ "id": "a", "limit": 1, "window": 1, "per": "token" }] }),
        json!({ "policies": [{ "id": "a", "resource": "everything", "action": { "type": "no-limit" } }] }),
        json!({ "policies": [{ "id": "a", "resource": { "modle": "x" }, "action": { "type": "no-limit" } }] }),
        json!({ "policies": [{ "id": "a", "action": { "type": "no-limit", "amount": 1 } }] }),
    ] {
        assert!(GatewaySettings::from_api(object(&wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn the_api_may_send_null_and_fields_of_its_own() {
    let body = json!({ "id": "a", "cache_ttl": null, "rate_limiting_limit": null, "created_at": "x", "is_default": false, "wholesale": true });
    let settings = GatewaySettings::from_api(object(&body)).unwrap();
    assert_eq!(settings, GatewaySettings::named("a"));
}

#[test]
fn caching_has_its_bounds() {
    let gateway = |body: Value| {
        let mut body = object(&body);
        body.insert("id".to_owned(), json!("a"));
        GatewaySettings::from_api(body).unwrap().check().into_iter().map(|p| p.path).collect::<Vec<_>>()
    };
    let month = 31 * 24 * 60 * 60;
    assert!(gateway(json!({ "cache_ttl": month, "cache_stale_if_error": month, "cache_stale_while_revalidate": month })).is_empty());
    let over = json!({ "cache_ttl": month + 1, "cache_stale_if_error": month + 1, "cache_stale_while_revalidate": month + 1 });
    assert_eq!(gateway(over), ["cache_ttl", "cache_stale_if_error", "cache_stale_while_revalidate"]);
    assert!(gateway(json!({ "cache_semantic": { "model": "openai/e" } })).is_empty());
    for threshold in [0.0, -1.0, 1.01] {
        assert_eq!(
            gateway(json!({ "cache_semantic": { "model": "openai/e", "threshold": threshold } })),
            ["cache_semantic.threshold"]
        );
    }
    for model in ["", "e", "/e", "openai/"] {
        assert_eq!(gateway(json!({ "cache_semantic": { "model": model } })), ["cache_semantic.model"]);
    }
}

#[test]
fn a_collector_is_told_what_it_may_not_be_sent() {
    let exporters = json!([
        { "url": "https://c.test/v1/traces", "headers": { "x-api-key": "k", "X_Team.1": "a" } },
        { "url": "c.test", "headers": { "Content-Type": "x", "host": "x", "a b": "x", "": "x" } },
    ]);
    let settings = GatewaySettings::from_api(object(&json!({ "id": "a", "otel": exporters }))).unwrap();
    let problems: Vec<_> = settings.check().into_iter().map(|problem| problem.path).collect();
    assert_eq!(
        problems,
        [
            "otel[1].url",
            "otel[1].headers[\"\"]",
            "otel[1].headers.Content-Type",
            "otel[1].headers[\"a b\"]",
            "otel[1].headers.host",
        ]
    );
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
