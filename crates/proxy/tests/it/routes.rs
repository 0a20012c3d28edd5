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

/// A call that may use so many output tokens.
fn call_for(gateway: &Gateway, user: &str, tokens: u32) -> crate::client::Reply {
    let body = json!({ "model": "dynamic/r", "max_tokens": tokens, "messages": [{ "role": "user", "content": "hi" }] });
    let metadata = format!(r#"{{"user":"{user}"}}"#);
    gateway.post_authorized(CHAT, &[("cf-aig-metadata", &metadata)], body.to_string().as_bytes())
}

/// What gpt-5-mini says of so many output tokens, at $2 a million.
fn used(tokens: u32) -> Vec<u8> {
    let usage = json!({ "id": "x", "model": "gpt-5-mini", "choices": [],
        "usage": { "prompt_tokens": 0, "completion_tokens": tokens } });
    answer("200 OK", JSON, usage.to_string().as_bytes())
}

const COST_NODE: &str = "{ id: 'n', type: 'rate', properties: { limitType: 'cost', key: 'metadata.user', limit: 0.01, window: 86400 },";

#[test]
fn money_is_reserved_per_key_and_what_does_not_fit_goes_elsewhere() {
    let upstream = Upstream::start();
    let elements = [
        COST_NODE,
        "outputs: { success: { elementId: 'a' }, fallback: { elementId: 'b' } } },",
        &model("a", "openai", "gpt-5-mini", "", ""),
        &model("b", "mine", "cheap", "", ""),
    ];
    let gateway = with_route(&upstream, &elements.concat());
    // Cents and their parts: 4000 tokens are 0.8 of the cent, what they turn out to use is less.
    let calls = [
        ("ann", 4_000, "openai"),
        ("ann", 4_000, "openai"),
        ("ann", 4_000, "mine"),
        ("bob", 4_000, "openai"),
    ];
    for (index, (user, tokens, provider)) in calls.into_iter().enumerate() {
        upstream.will_say(used(500));
        let reply = call_for(&gateway, user, tokens);
        assert_eq!((reply.status, reply.header("cf-aig-provider")), (200, Some(provider)), "{index}");
        assert_eq!(reply.header("cf-aig-step"), Some("0"), "what was never called is no step");
        assert_eq!(reply.header("cf-aig-budget-remaining"), None, "it is no budget");
        upstream.request();
        gateway.log(index + 1); // settled once the exchange is over
    }
    // What is left is enough for less.
    upstream.will_say(used(100));
    assert_eq!(call_for(&gateway, "ann", 1_000).header("cf-aig-provider"), Some("openai"));
    // More than the whole limit never fits.
    upstream.will_say(used(100));
    assert_eq!(call_for(&gateway, "eve", 6_000).header("cf-aig-provider"), Some("mine"));
    assert_eq!(gateway.log(6).iter().filter(|record| record.attempts.is_empty()).count(), 6);
}

#[test]
fn a_call_under_way_holds_what_it_may_cost() {
    let upstream = Upstream::start();
    let elements = [
        COST_NODE,
        "outputs: { success: { elementId: 'a' }, fallback: { elementId: 'b' } } },",
        &model("a", "openai", "gpt-5-mini", "", ""),
        &model("b", "mine", "cheap", "", ""),
    ];
    let gateway = with_route(&upstream, &elements.concat());
    upstream.will(Script { then_wait: true, ..Script::default() });
    let body = json!({ "model": "dynamic/r", "max_tokens": 3_000, "messages": [] }).to_string();
    let authorization = gateway.authorization();
    let headers =
        [("cf-aig-authorization", authorization.as_str()), ("cf-aig-metadata", r#"{"user":"ann"}"#)];
    let mut first = crate::client::open(gateway.address);
    crate::client::send(&mut first, "POST", CHAT, &headers, body.as_bytes());
    assert!(upstream.request_text().contains("gpt-5-mini"));
    upstream.will_say(used(1));
    assert_eq!(call_for(&gateway, "ann", 3_000).header("cf-aig-provider"), Some("mine"));
    assert!(upstream.request_text().contains("cheap"));
    drop(first);
    upstream.saw_the_gateway_close();
    gateway.log(2);
    upstream.will_say(used(1));
    assert_eq!(
        call_for(&gateway, "ann", 3_000).header("cf-aig-provider"),
        Some("mine"),
        "nobody knows what the call that was left is billed"
    );
}

#[test]
fn a_dearer_fallback_does_not_get_past_the_element_before_it() {
    let upstream = Upstream::start();
    let elements = [
        COST_NODE,
        "outputs: { success: { elementId: 'a' }, fallback: { elementId: 'c' } } },",
        &model("a", "openai", "gpt-5-mini", "", ", fallback: { elementId: 'b' }"),
        &model("b", "anthropic", "claude-opus-4-5", "", ""),
        &model("c", "mine", "cheap", "", ""),
    ];
    let gateway = with_route(&upstream, &elements.concat());
    upstream.will_say(answer("503 x", JSON, b"{}"));
    upstream.will_say(used(1));
    let reply = call_for(&gateway, "ann", 1_000);
    assert_eq!(reply.header("cf-aig-attempts"), Some("openai 503, mine 200"), "{}", reply.text());
    assert_eq!(reply.header("cf-aig-step"), Some("1"));
    assert!(upstream.request_text().contains("gpt-5-mini") && upstream.request_text().contains("cheap"));
    // A model nobody can price does not fit into any limit on cost.
    let elements =
        [COST_NODE, "outputs: { success: { elementId: 'a' } } },", &model("a", "mine", "unheard-of", "", "")];
    let reply = call_for(&with_route(&upstream, &elements.concat()), "ann", 1);
    assert_eq!((reply.status, reply.json()["internalCode"].as_u64()), (403, Some(9402)), "{}", reply.text());
}

#[test]
fn what_a_failed_model_cost_is_counted_where_it_was_let_through() {
    let upstream = Upstream::start();
    let elements = [
        COST_NODE,
        "outputs: { success: { elementId: 'a' }, fallback: { elementId: 'c' } } },",
        &model("a", "openai", "gpt-5-mini", "", ", fallback: { elementId: 'b' }"),
        &model("b", "anthropic", "claude-opus-4-5", "", ""),
        &model("c", "mine", "cheap", "", ""),
    ];
    let gateway = with_route(&upstream, &elements.concat());
    // It failed, and says that it used 2000 tokens of $2 a million.
    let failed = json!({ "model": "gpt-5-mini", "choices": [],
        "usage": { "prompt_tokens": 0, "completion_tokens": 2_000 } });
    upstream.will_say(answer("500 x", JSON, failed.to_string().as_bytes()));
    upstream.will_say(used(1));
    let reply = call_for(&gateway, "ann", 3_000);
    assert_eq!(reply.header("cf-aig-attempts"), Some("openai 500, mine 200"), "{}", reply.text());
    gateway.log(1);
    upstream.will_say(used(1));
    let reply = call_for(&gateway, "ann", 3_000);
    assert_eq!(reply.header("cf-aig-provider"), Some("mine"), "0.4 of the cent are spent");
}

fn count_node(id: &str, limit: u32, outputs: &str) -> String {
    format!(
        "{{ id: '{id}', type: 'rate_limit', properties: {{ limitType: 'count', key: 'metadata.user', limit: {limit},
            interval: 86400 }}, outputs: {{ {outputs} }} }},"
    )
}

#[test]
fn over_a_limit_without_fallback_a_call_is_refused() {
    let upstream = Upstream::start();
    let elements = [count_node("n", 1, "success: 'a'"), model("a", "openai", "gpt-5-mini", "", "")];
    let gateway = with_route(&upstream, &elements.concat());
    upstream.will_say(answer("200 OK", JSON, GOOD));
    assert_eq!(call(&gateway, CHAT, "{}").status, 200);
    let reply = call(&gateway, CHAT, "{}");
    assert_eq!((reply.status, reply.json()["internalCode"].as_u64()), (429, Some(2003)), "{}", reply.text());
    assert!(reply.text().contains("element `n` of route `r` allows 1 requests per 86400 s (fixed)"));
    let wait: u32 = reply.header("retry-after").expect("retry-after").parse().expect("seconds");
    assert!((1..=86_400).contains(&wait), "{wait}");
    // Over the limit with a way that ends is another matter.
    let elements =
        [count_node("n", 1, "success: 'a', fallback: 'e'"), model("a", "openai", "gpt-5-mini", "", "")];
    let gateway = with_route(&upstream, &elements.concat());
    upstream.will_say(answer("200 OK", JSON, GOOD));
    assert_eq!(call(&gateway, CHAT, "{}").status, 200);
    let reply = call(&gateway, CHAT, "{}");
    assert_eq!((reply.status, reply.json()["internalCode"].as_u64()), (400, Some(2005)));
    assert!(reply.text().contains("s > n:fallback"), "{}", reply.text());
}

#[test]
fn a_request_is_counted_once_however_many_models_it_takes() {
    let upstream = Upstream::start();
    let elements = [
        count_node("n", 2, "success: 'a', fallback: 'c'"),
        model("a", "openai", "gpt-5-mini", "", ", fallback: { elementId: 'b' }"),
        model("b", "anthropic", "claude-haiku-4-5", "", ", fallback: { elementId: 'c' }"),
        model("c", "mine", "cheap", "", ""),
    ];
    let gateway = with_route(&upstream, &elements.concat());
    for expected in ["openai 500, anthropic 500, mine 200", "openai 500, anthropic 500, mine 200", ""] {
        upstream.forget();
        if !expected.is_empty() {
            upstream.will_say(answer("500 x", JSON, b"{}"));
            upstream.will_say(answer("500 x", JSON, b"{}"));
        }
        upstream.will_say(answer("200 OK", JSON, GOOD));
        let reply = call(&gateway, CHAT, r#"{"user":"ann"}"#);
        assert_eq!(
            (reply.status, reply.header("cf-aig-attempts").unwrap_or_default()),
            (200, expected),
            "{}",
            reply.text()
        );
    }
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
