//! What is said of a call before it is made.

use bytes::Bytes;
use genesis_config::Environment;
use genesis_proxy::{Explanation, Sender, Snapshot, Token, explain};
use http::Request;
use serde_json::{Value, json};

use crate::gateway::{config, parts};

const TOKEN: &str = "gt_secret_of_a_test";
const PATH: &str = "/v1/acct/gw/anthropic/v1/messages";
const COMPAT: &str = "/v1/acct/gw/compat/chat/completions";

/// Gateway `gw` with these settings, a token for it, and these variables. Nobody listens where the providers are.
fn snapshot(gateways: &str, environment: &[(&'static str, &'static str)]) -> Snapshot {
    compiled(&config("http://127.0.0.1:9", gateways), environment)
}

fn compiled(config: &str, environment: &[(&'static str, &'static str)]) -> Snapshot {
    let token = Token {
        id: "tok_1".to_owned(),
        hash: genesis_store::token_hash(TOKEN.as_bytes()),
        run: true,
        read: false,
        edit: false,
        gateways: vec!["gw".to_owned()],
        expires_at_ms: None,
        identity: None,
    };
    let parts = parts(config, vec![token], Vec::new(), None);
    Snapshot::compile(parts, &Environment::of(environment.iter().copied()))
}

fn post(snapshot: &Snapshot, path: &str, headers: &[(&str, &str)], body: &Value) -> Explanation {
    let mut request = Request::post(path).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let told =
        explain(snapshot, request.body(Bytes::from(body.to_string())).expect("a request"), Sender::Itself);
    let all = serde_json::to_string(&told).expect("JSON");
    assert!(!all.contains(TOKEN) && !all.contains("sk-"), "secrets are never told: {all}");
    told
}

fn authorized(snapshot: &Snapshot, path: &str, body: &Value) -> Explanation {
    post(snapshot, path, &[("cf-aig-authorization", TOKEN)], body)
}

fn message() -> Value {
    json!({"model":"claude-sonnet-4-5","max_tokens":64,"messages":[{"role":"user","content":"Hello"}]})
}

#[test]
fn a_providers_path_with_the_key_of_the_environment() {
    let snapshot = snapshot("gw: { retry_max_attempts: 3 }", &[("ANTHROPIC_API_KEY", "sk-a")]);
    let told = authorized(&snapshot, PATH, &message());
    assert!(told.refusal.is_none(), "{told:?}");
    assert_eq!(
        (told.surface, told.account.as_deref(), told.gateway.as_deref()),
        ("provider path", Some("acct"), Some("gw"))
    );
    assert_eq!(
        told.token.as_ref().map(|token| (token.id.as_str(), token.run, token.edit)),
        Some(("tok_1", true, false))
    );
    let call = &told.calls[0];
    assert_eq!(call.url.as_deref(), Some("http://127.0.0.1:9/v1/messages"));
    assert!(!call.translated && call.cache.is_none() && call.limits.is_empty(), "{call:?}");
    let credential = call.credential.as_ref().expect("a credential");
    assert_eq!(credential.source, "environment");
    assert!(credential.why.contains("ANTHROPIC_API_KEY"), "{credential:?}");
    assert_eq!(call.attempts.as_ref().map(|of| of.most), Some(3));
    let cost = call.cost.as_ref().expect("a cost");
    let most = cost.most_nano_usd.expect("a bound");
    assert!(most >= 64 * 15_000, "64 tokens at $15 per million, and the input: {most}");
    assert_eq!(cost.reserved_nano_usd, Some(3 * most));
}

#[test]
fn the_clients_own_key_stands_before_others_and_is_never_told() {
    let snapshot = snapshot("gw: {}", &[("ANTHROPIC_API_KEY", "sk-a")]);
    let headers = [("cf-aig-authorization", TOKEN), ("x-api-key", "sk-own")];
    let told = post(&snapshot, PATH, &headers, &message());
    let credential = told.calls[0].credential.as_ref().expect("a credential");
    assert_eq!(
        (credential.source.as_str(), &credential.stands_before[..]),
        ("request", &["environment".to_owned()][..])
    );
}

#[test]
fn a_translation_is_told_with_what_it_drops() {
    let snapshot = snapshot("gw: {}", &[("ANTHROPIC_API_KEY", "sk-a")]);
    let mut body = message();
    body["model"] = "anthropic/claude-sonnet-4-5".into();
    body["logit_bias"] = json!({"1": 1});
    let told = authorized(&snapshot, COMPAT, &body);
    let call = &told.calls[0];
    assert_eq!(
        (told.surface, call.model.as_str(), call.translated),
        ("unified API", "claude-sonnet-4-5", true)
    );
    assert_eq!(call.dropped, ["logit_bias"]);
    assert_eq!(call.client_dialect.map(genesis_wire::Dialect::name), Some("openai-chat"));
    assert_eq!(call.provider_dialect.map(genesis_wire::Dialect::name), Some("anthropic-messages"));
}

#[test]
fn who_is_refused_is_told_why_with_the_code() {
    let snapshot = snapshot("gw: {}, other: {}, keyed: { authentication: false, byok_only: true }", &[]);
    let code = |path: &str, token: &str| {
        let told = post(&snapshot, path, &[("cf-aig-authorization", token)], &message());
        assert!(told.calls.is_empty(), "{told:?}");
        told.refusal.map(|refusal| (refusal.status, refusal.code))
    };
    assert_eq!(code(PATH, "gt_wrong"), Some((401, 2009)));
    assert_eq!(code("/v1/acct/other/anthropic/v1/messages", TOKEN), Some((401, 2009)), "a token of gw only");
    assert_eq!(code("/v1/acct/nope/anthropic/v1/messages", TOKEN), Some((400, 2001)));
    assert_eq!(code("/favicon.ico", TOKEN), Some((400, 9400)));
    let told = authorized(&snapshot, "/v1/acct/keyed/anthropic/v1/messages", &message());
    let refusal = told.calls[0].refusal.as_ref().expect("no key");
    assert!(refusal.description.contains("genesis key set anthropic"), "{refusal:?}");
    let told = authorized(&snapshot, PATH, &message());
    assert_eq!(told.calls[0].credential.as_ref().map(|of| of.source.as_str()), Some("none"));
}

#[test]
fn a_route_is_walked_and_nothing_counted() {
    let config = "{ gateway: { gateways: { gw: {} }, routes: { r: { elements: [
        { id: 's', type: 'start', outputs: { next: 'r' } },
        { id: 'r', type: 'rate', properties: { limitType: 'count', key: 'metadata.user', limit: 1, window: 3600 },
          outputs: { success: 'a' } },
        { id: 'a', type: 'model', properties: { provider: 'anthropic', model: 'claude-sonnet-4-5', retries: 1 },
          outputs: { success: 'e', fallback: 'b' } },
        { id: 'b', type: 'model', properties: { provider: 'openai', model: 'gpt-5-mini' }, outputs: { success: 'e' } },
        { id: 'e', type: 'end' } ] } } } }";
    let snapshot = compiled(config, &[("ANTHROPIC_API_KEY", "sk-a"), ("OPENAI_API_KEY", "sk-o")]);
    let body = json!({"model":"dynamic/r","max_tokens":9,"messages":[{"role":"user","content":"Hello"}]});
    for _ in 0..3 {
        let told = authorized(&snapshot, COMPAT, &body);
        assert_eq!(
            told.route.as_deref().map(|trail| trail.join(" ")).as_deref(),
            Some("s r:success a b"),
            "{told:?}"
        );
        let providers: Vec<_> = told.calls.iter().map(|call| call.provider.as_str()).collect();
        assert_eq!(providers, ["anthropic", "openai"]);
        let attempts: Vec<_> =
            told.calls.iter().filter_map(|call| Some(call.attempts.as_ref()?.most)).collect();
        assert_eq!(attempts, [2, 1]);
    }
    // What could not fit if nothing had been used yet goes by the other output.
    let tight = config
        .replace(
            "limitType: 'count', key: 'metadata.user', limit: 1",
            "limitType: 'cost', key: 'metadata.user', limit: 0.000001",
        )
        .replace("success: 'a' }", "success: 'a', fallback: 'b' }");
    let tight = compiled(&tight, &[("ANTHROPIC_API_KEY", "sk-a"), ("OPENAI_API_KEY", "sk-o")]);
    let told = authorized(&tight, COMPAT, &body);
    assert_eq!(told.route.map(|trail| trail.join(" ")).as_deref(), Some("s r:fallback b"));
    assert_eq!(told.calls.iter().map(|call| call.provider.as_str()).collect::<Vec<_>>(), ["openai"]);
    let told = authorized(&snapshot, COMPAT, &json!({"model":"dynamic/nope","messages":[]}));
    assert_eq!(told.refusal.map(|refusal| refusal.code), Some(2008));
}

#[test]
fn every_step_of_a_universal_request_is_told_in_its_turn() {
    let snapshot = snapshot(
        "gw: { retry_max_attempts: 2 }",
        &[("ANTHROPIC_API_KEY", "sk-a"), ("OPENAI_API_KEY", "sk-o")],
    );
    let steps = json!([
        {"provider":"anthropic","endpoint":"v1/messages?key=sk-x","query":message(),
         "headers":{"x-api-key":"sk-own","cf-aig-cache-ttl":60},"config":{"maxAttempts":4,"requestTimeout":1500}},
        {"provider":"compat","endpoint":"nonsense","query":{}},
        {"provider":"compat","endpoint":"chat/completions","query":{"model":"anthropic/claude-sonnet-4-5",
         "logit_bias":{"1":1},"messages":[{"role":"user","content":"Hello"}]}},
        {"provider":"openai","endpoint":"chat/completions","query":{"model":"gpt-5-mini","messages":[]}},
    ]);
    let told = authorized(&snapshot, "/v1/acct/gw", &steps);
    assert_eq!((told.surface, told.calls.len(), told.calls_somebody()), ("universal endpoint", 0, true));
    let when: Vec<_> = told.steps.iter().map(|step| step.when.as_str()).collect();
    let after = |step| format!("if step {step} gives no answer, or one with a status of 400 or more");
    assert_eq!(when, ["first", &after(0), &after(0), &after(2)]);
    let of = |step: usize| &told.steps[step].calls[0];
    assert_eq!(told.steps[0].endpoint, "v1/messages", "without what may be a key");
    assert_eq!(of(0).credential.as_ref().map(|of| of.source.as_str()), Some("request"));
    let attempts = |step: usize| of(step).attempts.as_ref().map(|of| (of.most, of.first_byte_ms));
    assert_eq!((attempts(0), attempts(3)), (Some((4, 1500)), Some((2, 600_000))));
    let cached = |step: usize| of(step).cache.as_ref().map(|cache| cache.ttl_seconds);
    assert_eq!((cached(0), cached(3)), (Some(60), None), "a step's own headers are its own");
    let refusal = told.steps[1].refusal.as_ref().expect("no such endpoint");
    assert_eq!((refusal.status, refusal.code, told.steps[1].calls.len()), (400, 9400, 0));
    assert!(of(2).translated && of(2).dropped == ["logit_bias"], "{:?}", of(2));
    assert_eq!(of(3).url.as_deref(), Some("http://127.0.0.1:9/v1/chat/completions"));
}

#[test]
fn a_route_in_a_step_is_walked_and_mistakes_are_told_at_their_place() {
    let config = "{ gateway: { gateways: { gw: {} }, routes: { r: { elements: [
        { id: 's', type: 'start', outputs: { next: 'a' } },
        { id: 'a', type: 'model', properties: { provider: 'anthropic', model: 'claude-sonnet-4-5' },
          outputs: { success: 'e', fallback: 'b' } },
        { id: 'b', type: 'model', properties: { provider: 'openai', model: 'gpt-5-mini' }, outputs: { success: 'e' } },
        { id: 'e', type: 'end' } ] } } } }";
    let snapshot = compiled(config, &[("ANTHROPIC_API_KEY", "sk-a"), ("OPENAI_API_KEY", "sk-o")]);
    let step = |model: &str| json!({"provider":"compat","endpoint":"chat/completions","query":{"model":model,"messages":[]}});
    let told = authorized(&snapshot, "/v1/acct/gw", &json!([step("dynamic/nope"), step("dynamic/r")]));
    assert_eq!(told.steps[0].refusal.as_ref().map(|refusal| refusal.code), Some(2008));
    assert_eq!(told.steps[1].when, "first: every step before it is refused");
    assert_eq!(told.steps[1].route.as_deref(), Some(&["s".to_owned(), "a".to_owned(), "b".to_owned()][..]));
    let providers: Vec<_> = told.steps[1].calls.iter().map(|call| call.provider.as_str()).collect();
    assert_eq!(providers, ["anthropic", "openai"]);
    for (body, code, place) in [
        (json!([step("openai/x"), {"provider":"nobody"}]), 2008, "[1]: no provider `nobody`"),
        (json!([{"provider":"openai","config":{"maxAttempts":"many"}}]), 9400, "[0].config.maxAttempts"),
    ] {
        let told = authorized(&snapshot, "/v1/acct/gw", &body);
        let refusal = told.refusal.as_ref().expect("the whole request is refused");
        assert_eq!((refusal.code, told.steps.len(), told.calls_somebody()), (code, 0, false));
        assert!(refusal.description.starts_with(place), "{refusal:?}");
    }
    let nobody = authorized(&snapshot, "/v1/acct/gw", &json!([step("dynamic/nope")]));
    assert!(!nobody.calls_somebody() && nobody.refusal.is_none());
}

#[test]
fn a_call_of_the_run_api_is_planned_without_the_clients_keys() {
    let snapshot = snapshot("gw: {}", &[("ANTHROPIC_API_KEY", "sk-a")]);
    let body = json!({"model":"anthropic/claude-sonnet-4.5","input":{"max_tokens":9,"messages":[]}});
    let told = post(
        &snapshot,
        "/v1/acct/gw/run",
        &[("cf-aig-authorization", TOKEN), ("x-api-key", "sk-own")],
        &body,
    );
    let call = &told.calls[0];
    assert_eq!((call.provider.as_str(), call.model.as_str()), ("anthropic", "claude-sonnet-4-5"));
    assert_eq!(call.credential.as_ref().map(|of| of.source.as_str()), Some("environment"));
    let told = authorized(&snapshot, &format!("/v1/acct/gw/run/{}/resume", "a".repeat(64)), &json!({}));
    assert_eq!((told.surface, told.refusal.map(|refusal| refusal.code)), ("resumed stream", Some(9400)));
}

#[test]
fn a_cached_call_has_a_key_that_changes_with_the_body() {
    let snapshot = snapshot("gw: { cache_ttl: 300 }", &[("ANTHROPIC_API_KEY", "sk-a")]);
    let key = |body: &Value| {
        let told = authorized(&snapshot, PATH, body);
        let cache = told.calls.into_iter().next().and_then(|call| call.cache).expect("on");
        assert_eq!((cache.ttl_seconds, cache.key.len()), (300, 64));
        cache.key
    };
    let mut other = message();
    other["max_tokens"] = 65.into();
    assert_eq!(key(&message()), key(&message()));
    assert_ne!(key(&message()), key(&other));
    let skipping = [("cf-aig-authorization", TOKEN), ("cf-aig-skip-cache", "true")];
    assert!(post(&snapshot, PATH, &skipping, &message()).calls[0].cache.is_none());
}

#[test]
fn a_budget_is_named_or_refuses_what_can_never_fit() {
    let gateway = |limit: &str| {
        let rules = format!("[{{ id: 'daily', limit: {limit}, window: 86400 }}]");
        snapshot(
            &format!("gw: {{ spend_limits: {{ enabled: true, rules: {rules} }} }}"),
            &[("ANTHROPIC_API_KEY", "sk-a")],
        )
    };
    let wide = gateway("5");
    for _ in 0..3 {
        let told = authorized(&wide, PATH, &message());
        assert_eq!(told.calls[0].limits, ["spend rule `daily` allows $5 per 86400 s (sliding)"], "{told:?}");
        assert!(told.calls[0].refusal.is_none());
    }
    let told = authorized(&gateway("0.000001"), PATH, &message());
    let refusal = told.calls[0].refusal.as_ref().expect("too much");
    assert_eq!((refusal.status, refusal.code), (429, 2045));
    assert!(told.calls[0].cost.as_ref().is_some_and(|cost| cost.most_nano_usd > Some(1_000)));
}
