//! Cloudflare's Run API: a model and its input, with an envelope of its own.

use genesis_simulator::Simulator;
use genesis_store::Outcome;
use serde_json::{Value, json};

use crate::client::call;
use crate::gateway::Gateway;
use crate::resume::{again, gateway, run_id};
use crate::upstream::{Script, Upstream, answer};

const RUN: &str = "/v1/acct/gw/run";

fn run(gateway: &Gateway, headers: &[(&str, &str)], body: &Value) -> (u16, Value) {
    let reply = gateway.post_authorized(RUN, headers, body.to_string().as_bytes());
    (reply.status, reply.json())
}

fn messages() -> Value {
    json!({"messages": [{"role": "user", "content": "hello"}], "max_tokens": 50})
}

#[test]
fn an_answer_says_who_gave_it_and_names_the_model_as_it_was_asked_for() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = gateway(&simulator.url(), "gw: {}");
    for (model, provider, kind) in [
        ("openai/gpt-5-mini", "openai", ("object", "chat.completion")),
        ("anthropic/claude-haiku-4.5", "anthropic", ("type", "message")),
        ("google/gemini-2.5-flash", "google-ai-studio", ("object", "chat.completion")),
    ] {
        let (status, said) = run(&gateway, &[], &json!({"model": model, "input": messages()}));
        assert_eq!((status, &said["state"]), (200, &json!("Completed")), "{said}");
        assert_eq!((&said["provider"], &said["model"]), (&json!(provider), &json!(model)));
        assert_eq!(said["result"][kind.0], kind.1, "{said}");
        assert_eq!(said.as_object().map(serde_json::Map::len), Some(4), "{said}");
    }
    let sent = simulator.captured();
    assert!(
        String::from_utf8_lossy(&sent[1].body).contains("\"claude-haiku-4-5\""),
        "as Anthropic writes it"
    );
    assert!(gateway.log(3).iter().all(|record| record.outcome == Outcome::Success && record.path == "run"));
}

#[test]
fn a_provider_can_be_pinned() {
    let upstream = Upstream::start();
    let url = upstream.url();
    let gateway = gateway(&url, "gw: {}");
    let config = format!(
        "{{ models: {{ providers: {{ openai: {{ baseUrl: '{url}/v1' }}, openrouter: {{ baseUrl: '{url}/or' }} }} }},
           gateway: {{ gateways: {{ gw: {{ authentication: true }} }} }} }}"
    );
    gateway.reconfigure(&config);
    let asked = |pinned: &str, model: &str| {
        upstream.will_say(answer("200 OK", "content-type: application/json\r\n", b"{\"id\":\"x\"}"));
        let body = json!({"model": model, "input": {"messages": []}, "provider": pinned});
        let (status, said) = run(&gateway, &[], &body);
        assert_eq!((status, &said["result"]), (200, &json!({"id": "x"})), "{said}");
        assert_eq!((&said["provider"], &said["model"]), (&json!(pinned), &json!(model)));
        upstream.request_text()
    };
    let direct = asked("openai", "openai/gpt-5-mini");
    assert!(direct.starts_with("POST /v1/chat/") && direct.contains("\"model\":\"gpt-5-mini\""), "{direct}");
    let resold = asked("openrouter", "openai/gpt-5-mini");
    assert!(
        resold.starts_with("POST /or/") && resold.contains("\"model\":\"openai/gpt-5-mini\""),
        "{resold}"
    );
    let bare = asked("openai", "gpt-5-mini");
    assert!(bare.contains("\"model\":\"gpt-5-mini\""), "{bare}");
}

#[test]
fn the_clients_own_keys_go_nowhere() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = gateway(&simulator.url(), "gw: {}");
    for model in ["openai/gpt-5-mini", "anthropic/claude-haiku-4-5"] {
        let own = [("authorization", "Bearer sk-own"), ("x-api-key", "sk-own")];
        let (status, said) = run(&gateway, &own, &json!({"model": model, "input": messages()}));
        assert_eq!(status, 200, "{said}");
    }
    for (sent, name, key) in [(0, "authorization", "Bearer sk-stored"), (1, "x-api-key", "sk-ant")] {
        let sent = &simulator.captured()[sent];
        assert_eq!(sent.header(name), Some(key));
        assert!(!format!("{sent:?}").contains("sk-own"));
    }
}

#[test]
fn what_a_provider_fails_at_is_told_in_the_envelope() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream.url(), "gw: {}");
    let body = json!({"model": "openai/gpt-5-mini", "input": messages()});
    for (status, code) in [("503 Busy", "provider_unavailable"), ("400 Bad", "provider_rejected")] {
        let said = br#"{"error":{"message":"what they said"}}"#;
        upstream.will_say(answer(status, "content-type: application/json\r\n", said));
        let (told, said) = run(&gateway, &[], &body);
        assert_eq!(told.to_string(), status[..3]);
        let error = json!({"code": code, "message": "what they said"});
        assert_eq!(said, json!({"state": "Failed", "error": error, "model": "openai/gpt-5-mini"}));
    }
    for _ in 0..2 {
        upstream.will(Script { close: true, ..Script::default() }); // a kept connection is given a second try
    }
    let (status, said) = run(&gateway, &[], &body);
    assert_eq!((status, &said["state"]), (502, &json!("Failed")), "{said}");
    assert_eq!(said["error"]["code"], "provider_unavailable");
    upstream.forget();
    upstream.will_say(answer(
        "200 OK",
        "content-type: application/json\r\ncontent-encoding: gzip\r\n",
        b"no",
    ));
    let (status, said) = run(&gateway, &[], &body);
    assert_eq!((status, &said["state"]), (502, &json!("Failed")), "{said}");
}

#[test]
fn mistakes_of_the_caller_are_told_as_everywhere() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = gateway(&simulator.url(), "gw: {}");
    for (body, code) in [
        (json!({"input": messages()}), 9400),
        (json!({"model": "openai/gpt-5-mini"}), 9400),
        (json!({"model": "openai/gpt-5-mini", "input": {"prompt": "a cat"}}), 9400),
        (json!({"model": "gpt-5-mini", "input": messages()}), 2019),
        (json!({"model": "nobody/x", "input": messages()}), 2008),
        (json!({"model": "x", "provider": "nobody", "input": messages()}), 2008),
    ] {
        let (status, said) = run(&gateway, &[], &body);
        assert_eq!((status, &said["internalCode"]), (400, &json!(code)), "{body}: {said}");
    }
    let reply = call(gateway.address, "GET", RUN, &[("cf-aig-authorization", &gateway.token)], b"");
    assert_eq!(reply.status, 404);
    assert_eq!(gateway.post(RUN, &[], b"{}").status, 401);
    assert!(simulator.captured().is_empty());
}

#[test]
fn a_stream_comes_as_the_provider_speaks_and_can_be_resumed() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = gateway(&simulator.url(), "gw: {}");
    let mut input = messages();
    input["stream"] = true.into();
    for (model, mark) in [
        ("anthropic/claude-haiku-4.5", "event: message_start"),
        ("google/gemini-2.5-flash", "chat.completion.chunk"),
    ] {
        let body = json!({"model": model, "input": input}).to_string();
        let reply = gateway.post_authorized(RUN, &[], body.as_bytes());
        assert!(reply.status == 200 && reply.text().contains(mark), "{}", reply.text());
        assert_eq!(again(&gateway, run_id(&reply), "").body, reply.body);
    }
}
