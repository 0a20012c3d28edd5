//! Custom domains: the host stands for account and gateway.

use bytes::Bytes;
use genesis_config::Environment;
use genesis_proxy::{Sender, Snapshot, explain};
use http::Request;
use tungstenite::Message;

use crate::client::call;
use crate::gateway::{Gateway, Setup, config, parts};
use crate::realtime::{Provider, connect};
use crate::upstream::{Upstream, answer};

const CHAT: &[u8] = br#"{"model":"gpt-5","messages":[{"role":"user","content":"Hello"}]}"#;

fn configured(upstream: &str) -> String {
    let gateways = "gw: {}, other: {} }, domains: { 'AI.example.com': { gateway: 'gw', account: 'acme' }";
    config(upstream, gateways)
}

fn before(upstream: &str) -> Gateway {
    Gateway::start(Setup {
        config: configured(upstream),
        keys: vec![("openai", "default", None, "sk-stored")],
        ..Setup::default()
    })
}

#[test]
fn providers_and_compat_are_reached_without_account_and_gateway() {
    let upstream = Upstream::start();
    let gateway = before(&upstream.url());
    let authorization = gateway.authorization();
    for (path, body, host) in [
        ("/openai/v1/chat/completions?x=1", CHAT, "ai.example.com"),
        ("/openai/chat/completions", CHAT, "AI.EXAMPLE.COM:8443"),
        ("/compat/chat/completions", br#"{"model":"openai/gpt-5","messages":[]}"#, "ai.example.com."),
    ] {
        upstream.will_say(answer("200 OK", "", br#"{"object":"chat.completion","choices":[]}"#));
        let headers = [
            ("host", host),
            ("cf-aig-authorization", authorization.as_str()),
            ("content-type", "application/json"),
        ];
        let reply = call(gateway.address, "POST", path, &headers, body);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        let sent = upstream.request_text();
        assert!(sent.starts_with("POST /v1/chat/completions"), "{sent}");
        assert!(sent.contains("authorization: Bearer sk-stored\r\n"), "{sent}");
        assert!(!sent.to_lowercase().contains("example.com"), "{sent}");
    }
    for record in gateway.log(3) {
        assert_eq!((record.account.as_str(), record.gateway.as_str()), ("acme", "gw"));
    }
}

#[test]
fn a_token_is_asked_for_there_as_elsewhere() {
    let upstream = Upstream::start();
    let gateway = before(&upstream.url());
    let reply =
        call(gateway.address, "POST", "/openai/chat/completions", &[("host", "ai.example.com")], CHAT);
    assert_eq!(reply.status, 401, "{}", reply.text());
    assert!(upstream.was_not_called());
}

#[test]
fn nothing_else_is_behind_a_custom_domain() {
    let upstream = Upstream::start();
    let gateway = before(&upstream.url());
    let at = |host: &str, path: &str| {
        let authorization = gateway.authorization();
        let headers = [("host", host), ("cf-aig-authorization", authorization.as_str())];
        call(gateway.address, "GET", path, &headers, b"")
    };
    for path in [
        "/",
        "/client/v4/accounts/acme/ai-gateway/gateways",
        "/client/v4/accounts/acme/ai/v1/models",
        "/metrics",
        "/readyz",
        "/dashboard",
        "/v1/models",
        "/v1/acme/other/openai/models",
    ] {
        let reply = at("ai.example.com", path);
        assert!(matches!(reply.status, 400 | 404), "{path}: {} {}", reply.status, reply.text());
        assert_ne!(reply.text(), "aside");
    }
    assert!(upstream.was_not_called());
    assert_eq!(at("ai.example.com", "/healthz").text(), "aside", "load balancers ask whether it lives");
    // A name nobody declared is no custom domain.
    assert_eq!(at("www.example.com", "/readyz").text(), "aside");
    assert_eq!(at("www.example.com", "/openai/models").status, 404);
    assert_eq!(at("ai.example.com", "/compat/models").status, 200);
}

#[test]
fn a_socket_is_opened_to_a_provider() {
    let provider = Provider::start();
    let gateway = before(&provider.url);
    let headers = [("host", "ai.example.com"), ("cf-aig-authorization", gateway.token.as_str())];
    let (mut socket, _) = connect(&gateway, "/openai?model=gpt-realtime", &headers).expect("handshake");
    assert!(provider.head().starts_with("/v1/realtime?model=gpt-realtime\n"));
    socket.send(Message::text("hello")).expect("send");
    assert_eq!(socket.read().expect("echo"), Message::text("hello"));
    socket.close(None).expect("close");
    while socket.read().is_ok() {}
    // The universal endpoint has no place there.
    assert!(connect(&gateway, "/", &headers).is_err());
}

#[test]
fn what_would_be_done_is_told_for_a_custom_domain_too() {
    let snapshot = Snapshot::compile(
        parts(&configured("http://127.0.0.1:9"), Vec::new(), Vec::new(), None),
        &Environment::default(),
    );
    let request = Request::post("https://ai.example.com/openai/chat/completions");
    let told = explain(&snapshot, request.body(Bytes::from_static(CHAT)).expect("request"), Sender::Itself);
    assert_eq!(told.surface, "provider path");
    assert_eq!((told.account.as_deref(), told.gateway.as_deref()), (Some("acme"), Some("gw")));
}
