//! The universal endpoint: steps, what each of them is sent, and what comes back.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::gateway::{Gateway, Setup, config};
use crate::upstream::{Script, Upstream, answer, chunk, chunked_head};

const JSON: &str = "content-type: application/json\r\n";

fn stored(upstream: &Upstream) -> Gateway {
    Gateway::start(Setup {
        config: config(&upstream.url(), "gw: {}"),
        keys: vec![
            ("openai", "default", None, "sk-stored"),
            ("openai", "second", None, "sk-second"),
            ("anthropic", "default", None, "sk-ant"),
        ],
        ..Setup::default()
    })
}

#[test]
fn one_step_may_stand_alone_and_its_bytes_pass_both_ways() {
    let upstream = Upstream::start();
    let gateway = stored(&upstream);
    for path in ["/v1/acct/gw", "/v1/acct/gw/"] {
        let pieces = vec![
            [
                chunked_head("content-type: text/event-stream\r\nx-own: 1\r\n"),
                chunk(b"data: {\"id\":1}\n\ndata: [DONE]\n\n"),
                b"0\r\n\r\n".to_vec(),
            ]
            .concat(),
        ];
        upstream.will(Script { pieces, ..Script::default() });
        let body = br#"{"provider":"OpenAI","endpoint":"/v1/chat/completions?x=1&key=gt_mistyped","headers":{"x-extra":7},
            "query": {"model":"m" , "odd":1.50,"odd":2}}"#;
        let reply = gateway.post_authorized(
            path,
            &[("x-client", "not for the provider"), ("user-agent", "me")],
            body,
        );
        assert_eq!((reply.status, reply.header("cf-aig-step")), (200, Some("0")), "{}", reply.text());
        assert_eq!(reply.text(), "data: {\"id\":1}\n\ndata: [DONE]\n\n");
        assert_eq!(reply.header("x-own"), Some("1"));
        let request = upstream.request_text();
        assert!(request.starts_with("POST /v1/chat/completions?x=1 HTTP/1.1\r\n"), "{request}");
        assert!(request.ends_with(r#"{"model":"m" , "odd":1.50,"odd":2}"#), "{request}");
        for sent in [
            "authorization: Bearer sk-stored",
            "x-extra: 7",
            "content-type: application/json",
            "user-agent: me",
        ] {
            assert!(request.contains(sent), "{sent}: {request}");
        }
        assert!(!request.contains("x-client") && !request.contains(&gateway.token), "{request}");
    }
    let record = gateway.last_log(2).0;
    assert_eq!(
        (record.provider.as_str(), record.path.as_str(), record.stream),
        ("openai", "v1/chat/completions", true)
    );
}

#[test]
fn a_steps_own_headers_come_before_the_requests() {
    let upstream = Upstream::start();
    let gateway = stored(&upstream);
    upstream.will_say(answer("500 x", JSON, b"{}"));
    upstream.will_say(answer("200 OK", JSON, b"{}"));
    let steps = json!([
        { "provider": "openai", "endpoint": "chat/completions", "query": {},
          "headers": { "cf-aig-byok-alias": "second", "cf-aig-max-attempts": 1, "cf-aig-metadata": { "from": "step" } } },
        { "provider": "anthropic", "endpoint": "v1/messages", "query": {}, "authorization": "Bearer oauth",
          "headers": { "cf-aig-custom-cost": { "total_cost": 0.5 } } },
    ]);
    let request = [("cf-aig-max-attempts", "3"), ("cf-aig-metadata", r#"{"from":"request"}"#)];
    let reply = gateway.post_authorized("/v1/acct/gw", &request, steps.to_string().as_bytes());
    assert_eq!((reply.status, reply.header("cf-aig-attempts")), (200, Some("openai 500, anthropic 200")));
    let (first, second) = (upstream.request_text(), upstream.request_text());
    assert!(first.contains("authorization: Bearer sk-second"), "{first}");
    assert!(second.contains("authorization: Bearer oauth") && !second.contains("x-api-key"), "{second}");
    let record = gateway.last_log(1).0;
    assert_eq!((record.cost_nano_usd, record.custom_cost), (Some(500_000_000), true));
    assert_eq!(record.metadata["from"], "request", "the second step says nothing of it");
}

#[test]
fn config_comes_before_headers_and_a_hung_step_hands_over() {
    let upstream = Upstream::start();
    let gateway = stored(&upstream);
    for _ in 0..2 {
        upstream.will(Script { then_wait: true, ..Script::default() });
    }
    upstream.will_say(answer("200 OK", JSON, b"{}"));
    let steps = json!([
        { "provider": "openai", "endpoint": "chat/completions", "query": {}, "headers": { "cf-aig-request-timeout": "60000" },
          "config": { "requestTimeout": 300, "maxAttempts": 2, "retryDelay": 1, "backoff": "linear" } },
        { "provider": "anthropic", "endpoint": "v1/messages", "query": {} },
    ]);
    let began = Instant::now();
    let reply = gateway.post_authorized("/v1/acct/gw", &[], steps.to_string().as_bytes());
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(reply.header("cf-aig-attempts"), Some("openai timeout, openai timeout, anthropic 200"));
    assert_eq!((reply.status, reply.header("cf-aig-step")), (200, Some("1")));
}

#[test]
fn tokens_of_ours_in_a_step_go_no_further() {
    let upstream = Upstream::start();
    let gateway = stored(&upstream);
    upstream.will_say(answer("200 OK", JSON, b"{}"));
    let bearer = gateway.authorization();
    let steps = json!([{ "provider": "openai", "endpoint": "chat/completions", "query": {},
        "headers": { "Authorization": bearer, "cf-aig-authorization": bearer } }]);
    assert_eq!(gateway.post_authorized("/v1/acct/gw", &[], steps.to_string().as_bytes()).status, 200);
    let request = upstream.request_text();
    assert!(request.contains("Bearer sk-stored") && !request.contains(&gateway.token), "{request}");
}

#[test]
fn compat_is_a_provider_too() {
    let upstream = Upstream::start();
    let gateway = stored(&upstream);
    upstream.will_say(answer(
        "529 x",
        JSON,
        br#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#,
    ));
    upstream.will_say(answer("200 OK", JSON, br#"{"id":"x","choices":[]}"#));
    let step = |model: &str| json!({ "provider": "compat", "endpoint": "chat/completions", "query": { "model": model, "messages": [{"role":"user","content":"hi"}] } });
    let steps = json!([step("anthropic/claude-sonnet-4-5"), step("openai/gpt-5-mini")]);
    let reply = gateway.post_authorized("/v1/acct/gw", &[], steps.to_string().as_bytes());
    assert_eq!((reply.status, reply.header("cf-aig-step")), (200, Some("1")), "{}", reply.text());
    let (first, second) = (upstream.request_text(), upstream.request_text());
    assert!(
        first.contains("x-api-key: sk-ant") && first.contains("\"model\":\"claude-sonnet-4-5\""),
        "{first}"
    );
    assert!(second.contains("Bearer sk-stored") && second.contains("\"model\":\"gpt-5-mini\""), "{second}");
    let models: Vec<_> = gateway.last_log(1).0.attempts.into_iter().map(|attempt| attempt.model).collect();
    assert_eq!(models, ["claude-sonnet-4-5", "gpt-5-mini"]);
}

#[test]
fn what_cannot_be_read_is_refused_before_anything_is_sent() {
    let upstream = Upstream::start();
    let gateway = stored(&upstream);
    for (body, code, told) in [
        ("[]", 9400, "expected 1 to 20 steps, found 0"),
        ("[{\"provider\":\"openai\"", 9400, "not JSON"),
        ("null", 9400, "expected a list of steps"),
        (
            r#"[{"provider":"openai"},{"provider":"opnai"}]"#,
            2008,
            "[1]: no provider `opnai`; did you mean `openai`?",
        ),
        (r#"[{"provider":"openai","headers":["x"]}]"#, 9400, "[0].headers: expected an object"),
    ] {
        let reply = gateway.post_authorized("/v1/acct/gw", &[], body.as_bytes());
        let json = reply.json();
        assert_eq!((reply.status, json["error"][0]["code"].as_u64()), (400, Some(code)), "{body}");
        assert!(json["description"].as_str().expect("text").contains(told), "{json}");
        assert_eq!(json["name"], "AiGatewayError");
    }
    assert!(upstream.was_not_called());
    assert_eq!(gateway.post("/v1/acct/gw", &[], b"[]").status, 401);
    let get = crate::client::call(gateway.address, "GET", "/v1/acct/gw", &[], b"");
    assert_eq!(get.status, 404);
}

#[test]
fn a_provider_known_to_be_down_is_left_out_while_another_can_take_the_call() {
    let upstream = Upstream::start();
    let gateway = stored(&upstream);
    let steps = br#"[{"provider":"openai","endpoint":"x","query":{}},{"provider":"anthropic","endpoint":"v1/messages","query":{}}]"#;
    for _ in 0..5 {
        upstream.will_say(answer("500 x", JSON, b"{}"));
        upstream.will_say(answer("200 OK", JSON, b"{}"));
        let reply = gateway.post_authorized("/v1/acct/gw", &[], steps);
        assert_eq!(reply.header("cf-aig-attempts"), Some("openai 500, anthropic 200"));
    }
    upstream.will_say(answer("200 OK", JSON, b"{}"));
    let reply = gateway.post_authorized("/v1/acct/gw", &[], steps);
    assert_eq!((reply.status, reply.header("cf-aig-attempts")), (200, Some("openai skipped, anthropic 200")));
    // Alone it is tried all the same, and that it answers brings it back.
    upstream.will_say(answer("200 OK", JSON, b"{}"));
    let alone =
        gateway.post_authorized("/v1/acct/gw", &[], br#"{"provider":"openai","endpoint":"x","query":{}}"#);
    assert_eq!((alone.status, alone.header("cf-aig-attempts")), (200, None));
    upstream.will_say(answer("200 OK", JSON, b"{}"));
    assert_eq!(gateway.post_authorized("/v1/acct/gw", &[], steps).header("cf-aig-step"), Some("0"));
}

#[test]
fn an_exchange_has_a_bounded_number_of_attempts_and_each_step_has_one() {
    let upstream = Upstream::start();
    let gateway = stored(&upstream);
    for _ in 0..40 {
        upstream.will_say(answer("503 x", JSON, b"{}"));
    }
    let step = json!({ "provider": "openai", "endpoint": "x", "query": {}, "config": { "maxAttempts": 5, "retryDelay": 0 } });
    let steps = json!(vec![step; 8]);
    let reply = gateway.post_authorized("/v1/acct/gw", &[], steps.to_string().as_bytes());
    assert_eq!((reply.status, reply.header("cf-aig-step")), (503, Some("7")));
    let attempts = gateway.last_log(1).0.attempts;
    assert_eq!(attempts.len(), 20 + 4, "four steps with five attempts, four with one");
    assert_eq!(attempts.last().map(|attempt| attempt.step), Some(7));
}
