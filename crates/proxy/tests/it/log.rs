//! What the log says of an exchange, through the simulator in each dialect.

use genesis_simulator::Simulator;
use genesis_store::Outcome;
use genesis_wire::{Dialect, Usage};
use serde_json::json;

use crate::gateway::{Gateway, Setup, config};

fn simulated(simulator: &Simulator) -> Gateway {
    Gateway::before(&simulator.url())
}

const OWN: (&str, &str) = ("authorization", "Bearer sk-own-secret-marker");

#[test]
fn every_dialect_is_read_for_usage_and_priced_exactly_whole_and_streamed() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = simulated(&simulator);
    // in:out:cached:cache_write:reasoning, as the provider reports them.
    let script = ("x-simulator", "tokens=1000:200:400:0:50");
    let cases = [
        (
            "openai/chat/completions",
            "gpt-5-mini",
            Dialect::OpenAiChat,
            json!({"messages":[{"role":"user","content":"hi"}],"stream_options":{"include_usage":true}}),
        ),
        ("openai/responses", "gpt-5-mini", Dialect::OpenAiResponses, json!({"input":"hi"})),
        (
            "anthropic/v1/messages",
            "claude-sonnet-4-5",
            Dialect::AnthropicMessages,
            json!({"max_tokens":100,"messages":[{"role":"user","content":"hi"}]}),
        ),
    ];
    let mut count = 0;
    for (path, model, dialect, body) in cases {
        for stream in [false, true] {
            let mut body = body.clone();
            body["model"] = model.into();
            body["stream"] = stream.into();
            if !stream {
                body.as_object_mut().expect("object").remove("stream_options");
            }
            let reply = gateway.post_authorized(
                &format!("/v1/acct/gw/{path}"),
                &[OWN, script],
                body.to_string().as_bytes(),
            );
            assert_eq!(reply.status, 200, "{}", reply.text());
            count += 1;
            let (record, payload) = gateway.last_log(count);
            assert_eq!(record.outcome, Outcome::Success, "{}", record.error);
            assert_eq!(record.dialect, Some(dialect));
            assert_eq!((record.stream, record.status), (stream, 200));
            let usage = record.usage.expect("usage");
            assert_eq!(
                (usage.cache_read, usage.output),
                (400, 200),
                "{path} {stream} {:?}",
                record.raw_usage
            );
            assert!(record.raw_usage.is_some());
            let cost = record.cost_nano_usd.expect("cost");
            assert!(cost > 0, "{record:?}");
            assert!(record.price_id.as_deref().is_some_and(|id| id.contains(model)), "{:?}", record.price_id);
            assert_eq!(payload.expect("payload").response, reply.body);
        }
    }
}

#[test]
fn anthropics_cache_tokens_are_priced_in_their_classes() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = simulated(&simulator);
    let body = json!({"model":"claude-sonnet-4-5","max_tokens":9,"messages":[{"role":"user","content":"x"}]});
    let script = ("x-simulator", "tokens=1000:200:400:80");
    gateway.post_authorized("/v1/acct/gw/anthropic/v1/messages", &[OWN, script], body.to_string().as_bytes());
    let (record, _) = gateway.last_log(1);
    let usage = record.usage.expect("usage");
    assert_eq!(
        usage,
        Usage { input: usage.input, cache_read: 400, cache_write: 80, output: 200, ..Usage::default() }
    );
    // $3 in, $15 out, $0.30 cache read, $3.75 cache write, per million tokens.
    let expected = usage.input as i64 * 3_000 + 200 * 15_000 + 400 * 300 + 80 * 3_750;
    assert_eq!(record.cost_nano_usd, Some(expected), "{:?}", record.price_formula);
}

#[test]
fn a_custom_cost_replaces_the_table() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = simulated(&simulator);
    let body = json!({"model":"house-model","messages":[{"role":"user","content":"x"}]});
    let custom = ("cf-aig-custom-cost", r#"{"per_token_in":0.000001,"per_token_out":0.000002}"#);
    let headers = [OWN, custom, ("x-simulator", "tokens=1000:200")];
    gateway.post_authorized("/v1/acct/gw/openai/chat/completions", &headers, body.to_string().as_bytes());
    let (record, _) = gateway.last_log(1);
    assert_eq!((record.cost_nano_usd, record.custom_cost), (Some(1_400_000), true));
}

#[test]
fn compressed_answers_are_passed_as_they_came_and_still_read() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = simulated(&simulator);
    for stream in [false, true] {
        let body = json!({"model":"gpt-5-mini","stream":stream,"messages":[{"role":"user","content":"x"}],"stream_options":{"include_usage":true}});
        let headers = [OWN, ("accept-encoding", "gzip"), ("x-simulator", "gzip,tokens=10:20")];
        let reply = gateway.post_authorized(
            "/v1/acct/gw/openai/chat/completions",
            &headers,
            body.to_string().as_bytes(),
        );
        assert_eq!(reply.header("content-encoding"), Some("gzip"));
        assert!(reply.body.starts_with(&[0x1f, 0x8b]), "still compressed");
    }
    for record in gateway.log(2) {
        assert_eq!(
            record.usage.map(|usage| (usage.tokens_in(), usage.tokens_out())),
            Some((10, 20)),
            "stream: {}",
            record.stream
        );
    }
}

#[test]
fn what_was_sent_along_is_kept_and_secrets_are_not() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = simulated(&simulator);
    let body = json!({"model":"gpt-5-mini","messages":[{"role":"user","content":"remember me"}]}).to_string();
    let headers = [
        OWN,
        ("cf-aig-metadata", r#"{"user":"u1","team":"red"}"#),
        ("cf-aig-event-id", "evt-7"),
        ("user-agent", "tester/1"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ];
    let path = "/v1/acct/gw/openai/chat/completions?key=query-secret-marker&x=1";
    gateway.post_authorized(path, &headers, body.as_bytes());
    let (record, payload) = gateway.last_log(1);
    assert_eq!(record.event_id, "evt-7");
    assert_eq!(record.user_agent, "tester/1");
    assert_eq!(record.metadata["team"], "red");
    assert_eq!(record.trace_id.as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    assert_eq!(
        (record.account.as_str(), record.gateway.as_str(), record.provider.as_str()),
        ("acct", "gw", "openai")
    );
    assert_eq!(record.path, "chat/completions");
    assert!(record.token_id.starts_with("tok_"));
    assert!(record.request_head.contains("user-agent: tester/1") && record.response_head.contains("200"));
    let payload = payload.expect("payload");
    assert_eq!(payload.request, body.as_bytes());
    let kept = format!(
        "{record:?}{}{}",
        String::from_utf8_lossy(&payload.request),
        String::from_utf8_lossy(&payload.response)
    );
    for secret in ["sk-own-secret-marker", "query-secret-marker", &gateway.token] {
        assert!(!kept.contains(secret), "{secret} in the log");
    }
}

#[test]
fn logging_can_be_switched_off_and_on() {
    let simulator = Simulator::start().expect("simulator");
    let gateways = "gw: {}, quiet: { collect_logs: false }";
    let gateway = Gateway::start(Setup { config: config(&simulator.url(), gateways), ..Setup::default() });
    let body = br#"{"model":"gpt-5-mini","messages":[{"role":"user","content":"x"}]}"#;
    let path = |id| format!("/v1/acct/{id}/openai/chat/completions");
    let off = gateway.post_authorized(&path("gw"), &[OWN, ("cf-aig-collect-log", "false")], body);
    assert_eq!((off.status, off.header("cf-aig-log-id")), (200, None));
    let off = gateway.post_authorized(&path("quiet"), &[OWN], body);
    assert_eq!((off.status, off.header("cf-aig-log-id")), (200, None));
    assert!(
        gateway
            .post_authorized(&path("quiet"), &[OWN, ("cf-aig-collect-log", "true")], body)
            .header("cf-aig-log-id")
            .is_some()
    );
    gateway.post_authorized(&path("gw"), &[OWN, ("cf-aig-collect-log-payload", "false")], body);
    let records = gateway.log(2);
    assert_eq!(records.len(), 2);
    let (record, payload) = gateway.last_log(2);
    assert!(payload.is_none() && record.request_head.is_empty());
    assert!(
        record.usage.is_some() && record.cost_nano_usd.is_some(),
        "usage and cost do not need the payload"
    );
}

#[test]
fn simulated_answers_are_marked() {
    let simulator = Simulator::start().expect("simulator");
    let setup = Setup {
        config: "{ gateway: { gateways: { gw: { authentication: false } } } }".to_owned(),
        simulator: Some(simulator.addr()),
        ..Setup::default()
    };
    let gateway = Gateway::start(setup);
    let body = br#"{"model":"claude-sonnet-4-5","max_tokens":5,"messages":[{"role":"user","content":"x"}]}"#;
    let reply = gateway.post("/v1/any/gw/anthropic/v1/messages", &[("x-api-key", "sk-never-sent-out")], body);
    assert_eq!((reply.status, reply.header("cf-aig-simulated")), (200, Some("true")));
    assert!(gateway.log(1)[0].simulated);
}

#[test]
fn in_dev_a_web_page_cannot_spend_the_stored_keys() {
    let simulator = Simulator::start().expect("simulator");
    let setup = Setup {
        config: config(&simulator.url(), "gw: { authentication: false }"),
        keys: vec![("openai", "default", None, "sk-real")],
        simulator: Some(simulator.addr()),
        ..Setup::default()
    };
    let gateway = Gateway::start(setup);
    let body = br#"{"model":"gpt-5-mini","messages":[{"role":"user","content":"x"}]}"#;
    let path = "/v1/any/gw/openai/chat/completions";
    for (origin, status) in [
        ("http://localhost:3000", 200),
        ("https://evil.example", 401),
        ("http://127.evil.example", 401),
        ("http://127.0.0.1:5173", 200),
        ("null", 401),
    ] {
        assert_eq!(gateway.post(path, &[("origin", origin)], body).status, status, "{origin}");
    }
    assert_eq!(gateway.post(path, &[], body).status, 200);
}
