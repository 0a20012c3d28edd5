//! Dynamic routes over HTTP: which model is called, what comes back, what is counted.

use serde_json::json;

use crate::gateway::{Gateway, Setup};
use crate::upstream::{Script, Upstream, answer};

const JSON: &str = "content-type: application/json\r\n";
const GOOD: &[u8] = br#"{"id":"x","model":"gpt-5-mini","choices":[],"usage":{"prompt_tokens":1000000,"completion_tokens":0}}"#;
const CHAT: &str = "/v1/acct/gw/compat/chat/completions";

/// A gateway with the route `r` of these elements, and providers `openai`, `anthropic` and one of one's own.
fn with_route(upstream: &Upstream, elements: &str) -> Gateway {
    let url = upstream.url();
    let config = format!(
        "{{ models: {{ providers: {{ openai: {{ baseUrl: '{url}/v1' }}, anthropic: {{ baseUrl: '{url}' }},
            mine: {{ baseUrl: '{url}/mine' }} }} }},
           gateway: {{ gateways: {{ gw: {{}}, other: {{}} }}, routes: {{ r: {{ gateways: ['gw'], elements: [
            {{ id: 's', type: 'start', outputs: {{ next: 'n' }} }}, {{ id: 'e', type: 'end', outputs: {{}} }},
            {elements} ] }} }} }} }}"
    );
    let keys = vec![
        ("openai", "default", None, "sk-o"),
        ("anthropic", "default", None, "sk-a"),
        ("mine", "default", None, "sk-m"),
    ];
    Gateway::start(Setup { config, keys, ..Setup::default() })
}

fn model(id: &str, provider: &str, model: &str, more: &str, fallback: &str) -> String {
    format!(
        "{{ id: '{id}', type: 'model', properties: {{ provider: '{provider}', model: '{model}' {more} }},
            outputs: {{ success: {{ elementId: 'e' }} {fallback} }} }},"
    )
}

fn call(gateway: &Gateway, path: &str, metadata: &str) -> crate::client::Reply {
    let body = br#"{"model":"dynamic/r","messages":[{"role":"user","content":"hi"}]}"#;
    gateway.post_authorized(path, &[("cf-aig-metadata", metadata)], body)
}

#[test]
fn conditions_lead_to_models_of_any_provider_in_the_clients_own_dialect() {
    let upstream = Upstream::start();
    let elements = [
        "{ id: 'n', type: 'conditional', properties: { conditions: { 'metadata.plan': { $eq: 'paid' } } },
           outputs: { true: { elementId: 'a' }, false: { elementId: 'm' } } },",
        &model("a", "anthropic", "claude-sonnet-4-5", "", ""),
        &model("m", "custom-mine", "own-model", "", ""),
    ];
    let gateway = with_route(&upstream, &elements.concat());
    upstream.will_say(answer("200 OK", JSON, br#"{"id":"x","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[{"type":"text","text":"hello"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}"#));
    let reply = call(&gateway, CHAT, r#"{"plan":"paid"}"#);
    assert_eq!(reply.json()["choices"][0]["message"]["content"], "hello", "{}", reply.text());
    assert_eq!(
        (reply.header("cf-aig-provider"), reply.header("cf-aig-model")),
        (Some("anthropic"), Some("claude-sonnet-4-5"))
    );
    assert!(upstream.request_text().starts_with("POST /v1/messages "));
    upstream.will_say(answer("200 OK", JSON, GOOD));
    let reply = call(&gateway, CHAT, r#"{"plan":"free"}"#);
    assert_eq!((reply.text().as_bytes(), reply.header("cf-aig-provider")), (GOOD, Some("custom-mine")));
    let request = upstream.request_text();
    assert!(
        request.contains("Bearer sk-m")
            && request.ends_with(r#"{"model":"own-model","messages":[{"role":"user","content":"hi"}]}"#),
        "{request}"
    );
    assert_eq!(gateway.log(2)[1].model, "gpt-5-mini", "the log has the model that answered");
}

#[test]
fn routes_are_called_on_every_surface_that_takes_a_model() {
    let upstream = Upstream::start();
    let gateway = with_route(&upstream, &model("n", "openai", "gpt-5-mini", "", ""));
    let body = br#"{"model":"dynamic/r","messages":[],"input":"x","max_tokens":5}"#;
    for path in [
        "/v1/acct/gw/compat/chat/completions",
        "/v1/acct/gw/compat/responses",
        "/v1/acct/gw/compat/embeddings",
        "/client/v4/accounts/acct/ai/v1/chat/completions",
    ] {
        upstream.will_say(answer("200 OK", JSON, GOOD));
        let reply = gateway.post_authorized(path, &[("cf-aig-gateway-id", "gw")], body);
        assert_eq!(
            (reply.status, reply.header("cf-aig-model")),
            (200, Some("gpt-5-mini")),
            "{path}: {}",
            reply.text()
        );
        assert!(upstream.request_text().contains("\"model\":\"gpt-5-mini\""), "{path}");
    }
    upstream.will_say(answer("200 OK", JSON, GOOD));
    let step = json!({ "provider": "compat", "endpoint": "chat/completions", "query": { "model": "dynamic/r", "messages": [] } });
    let reply = gateway.post_authorized("/v1/acct/gw", &[], step.to_string().as_bytes());
    assert_eq!((reply.status, reply.header("cf-aig-provider")), (200, Some("openai")), "{}", reply.text());
    // It is this gateway's alone.
    let reply = call(&gateway, "/v1/acct/other/compat/chat/completions", "{}");
    assert_eq!((reply.status, reply.json()["internalCode"].as_u64()), (400, Some(2008)));
    assert!(reply.json()["description"].as_str().expect("text").contains("no dynamic route `r`"));
}

#[test]
fn a_models_own_timeout_and_retries_hold_before_the_fallback() {
    let upstream = Upstream::start();
    let elements = [
        model("n", "openai", "gpt-5-mini", ", timeout: 40, retries: 1", ", fallback: { elementId: 'b' }"),
        model("b", "anthropic", "claude-sonnet-4-5", ", retries: 0", ", fallback: { elementId: 'e' }"),
    ];
    let gateway = with_route(&upstream, &elements.concat());
    for _ in 0..2 {
        upstream.will(Script { then_wait: true, ..Script::default() });
    }
    upstream.will_say(answer(
        "401 x",
        JSON,
        br#"{"type":"error","error":{"type":"authentication_error","message":"no"}}"#,
    ));
    let headers =
        [("cf-aig-retry-delay", "1"), ("cf-aig-max-attempts", "5"), ("cf-aig-request-timeout", "60000")];
    let body = br#"{"model":"dynamic/r","messages":[{"role":"user","content":"hi"}]}"#;
    let reply = gateway.post_authorized(CHAT, &headers, body);
    assert_eq!(reply.header("cf-aig-attempts"), Some("openai timeout, openai timeout, anthropic 401"));
    assert_eq!(
        (reply.status, reply.header("cf-aig-step")),
        (401, Some("1")),
        "the last model's error is the route's"
    );
    assert_eq!(reply.header("cf-aig-model"), Some("claude-sonnet-4-5"));
}

#[test]
fn spent_money_is_counted_per_key_and_leads_elsewhere() {
    let upstream = Upstream::start();
    // A million input tokens of gpt-5-mini cost $0.25.
    let elements = [
        "{ id: 'n', type: 'rate', properties: { limitType: 'cost', key: 'metadata.user', limit: 0.3, window: 86400 },
           outputs: { success: { elementId: 'a' }, fallback: { elementId: 'b' } } },",
        &model("a", "openai", "gpt-5-mini", "", ""),
        &model("b", "mine", "cheap", "", ""),
    ];
    let gateway = with_route(&upstream, &elements.concat());
    let calls = [("ann", "openai"), ("ann", "openai"), ("ann", "mine"), ("bob", "openai")];
    for (index, (user, provider)) in calls.into_iter().enumerate() {
        upstream.will_say(answer("200 OK", JSON, GOOD));
        let reply = call(&gateway, CHAT, &format!(r#"{{"user":"{user}"}}"#));
        assert_eq!(reply.header("cf-aig-provider"), Some(provider), "{user}");
        gateway.log(index + 1); // counted once the exchange is over
    }
}

#[test]
fn over_a_limit_without_fallback_a_call_is_refused() {
    let upstream = Upstream::start();
    let elements = [
        "{ id: 'n', type: 'rate_limit', properties: { limitType: 'count', key: 'metadata.user', limit: 1, interval: 86400 },
           outputs: { success: { elementId: 'a' } } },",
        &model("a", "openai", "gpt-5-mini", "", ""),
    ];
    let gateway = with_route(&upstream, &elements.concat());
    upstream.will_say(answer("200 OK", JSON, GOOD));
    assert_eq!(call(&gateway, CHAT, "{}").status, 200);
    let reply = call(&gateway, CHAT, "{}");
    assert_eq!((reply.status, reply.json()["internalCode"].as_u64()), (429, Some(2003)), "{}", reply.text());
}

#[test]
fn a_route_may_end_without_a_model_and_a_request_may_name_its_own() {
    let upstream = Upstream::start();
    let elements = [
        "{ id: 'n', type: 'conditional', properties: { condition: { 'metadata.model': { $exists: true } } },
           outputs: { true: 'a', false: 'e' } },",
        &model("a", "custom", "metadata.model", "", ""),
    ];
    let gateway = with_route(&upstream, &elements.concat());
    let reply = call(&gateway, CHAT, "{}");
    assert_eq!((reply.status, reply.json()["internalCode"].as_u64()), (400, Some(2005)));
    assert!(reply.json()["description"].as_str().expect("text").contains("s > n:false"), "{}", reply.text());
    upstream.will_say(answer("200 OK", JSON, GOOD));
    let reply = call(&gateway, CHAT, r#"{"model":"openai/gpt-5-mini"}"#);
    assert_eq!((reply.status, reply.header("cf-aig-model")), (200, Some("gpt-5-mini")));
    let reply = call(&gateway, CHAT, r#"{"model":"dynamic/r"}"#);
    assert_eq!(reply.status, 400, "no route leads back into itself");
}
