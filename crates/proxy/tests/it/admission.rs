//! Who may call, and what they are told if they may not.

use genesis_store::{NewToken, Outcome, Permissions};

use crate::gateway::{Gateway, Setup, config};
use crate::upstream::{Upstream, answer};

const CHAT: &str = "/v1/acct/gw/openai/chat/completions";
const BODY: &[u8] = br#"{"model":"gpt-5-mini","messages":[]}"#;

#[test]
fn refusals_come_in_cloudflares_envelope() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    let cases = [
        (CHAT, "", 401, 2009, "Unauthorized"),
        (CHAT, "Bearer wrong", 401, 2009, "Unauthorized"),
        (CHAT, "Bearer", 401, 2009, "Unauthorized"),
        (
            "/v1/acct/nope/openai/chat/completions",
            "",
            400,
            2001,
            "Please configure AI Gateway in the Cloudflare dashboard",
        ),
    ];
    for (path, authorization, status, code, message) in cases {
        let headers = [("cf-aig-authorization", authorization)];
        let reply = gateway.post(path, if authorization.is_empty() { &[] } else { &headers }, BODY);
        assert_eq!(reply.status, status, "{path}");
        let body = reply.json();
        assert_eq!(body["success"], false);
        assert_eq!(body["result"], serde_json::json!([]));
        assert_eq!(body["messages"], serde_json::json!([]));
        assert_eq!(body["error"], serde_json::json!([{ "code": code, "message": message }]));
        assert_eq!(body["name"], "AiGatewayError");
        assert_eq!(body["httpCode"], status);
        assert_eq!(body["internalCode"], code);
        assert!(!body["description"].as_str().unwrap_or_default().is_empty(), "says what to do next");
    }
    assert!(upstream.was_not_called());
}

#[test]
fn an_unknown_provider_is_named_with_its_nearest() {
    let gateway = Gateway::before("http://127.0.0.1:9");
    let reply = gateway.post_authorized("/v1/acct/gw/antropic/v1/messages", &[], BODY);
    assert_eq!((reply.status, reply.json()["error"][0]["code"].as_u64()), (400, Some(2008)));
    assert!(reply.text().contains("did you mean `anthropic`"), "{}", reply.text());
    assert_eq!(gateway.log(1)[0].outcome, Outcome::Refused);
}

#[test]
fn the_token_is_taken_with_or_without_bearer_and_never_travels_on() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    for value in
        [gateway.token.clone(), format!("Bearer {}", gateway.token), format!("bearer {}", gateway.token)]
    {
        upstream.will_say(answer("200 OK", "", b"{}"));
        let reply =
            gateway.post(CHAT, &[("cf-aig-authorization", &value), ("authorization", "Bearer sk-own")], BODY);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let request = upstream.request_text();
        assert!(!request.contains("gt_") && !request.contains("cf-aig"), "{request}");
        assert!(request.contains("authorization: Bearer sk-own\r\n"), "{request}");
    }
}

#[test]
fn a_token_in_any_provider_slot_authenticates_and_is_replaced_by_the_stored_key() {
    let upstream = Upstream::start();
    let gateway = Gateway::start(Setup {
        config: config(&upstream.url(), "gw: {}"),
        keys: vec![("openai", "default", None, "sk-stored")],
        ..Setup::default()
    });
    let bearer = gateway.authorization();
    for (slot, value) in [
        ("authorization", bearer.as_str()),
        ("x-api-key", &gateway.token),
        ("api-key", &gateway.token),
        ("x-goog-api-key", &gateway.token),
        ("xi-api-key", &gateway.token),
    ] {
        upstream.will_say(answer("200 OK", "", b"{}"));
        let reply = gateway.post(CHAT, &[(slot, value)], BODY);
        assert_eq!(reply.status, 200, "{slot}: {}", reply.text());
        let request = upstream.request_text();
        assert!(!request.contains("gt_"), "{slot}: {request}");
        assert!(request.contains("authorization: Bearer sk-stored\r\n"), "{slot}: {request}");
    }
    let query =
        format!("/v1/acct/gw/google-ai-studio/v1beta/models/g:generateContent?key={}&alt=sse", gateway.token);
    upstream.will_say(answer("200 OK", "", b"{}"));
    assert_eq!(gateway.post(&query, &[], BODY).status, 200);
    let request = upstream.request_text();
    assert!(request.starts_with("POST /v1beta/models/g:generateContent?alt=sse HTTP/1.1\r\n"), "{request}");
}

#[test]
fn a_mistyped_token_in_a_provider_slot_stays_here() {
    let upstream = Upstream::start();
    let gateway = Gateway::start(Setup {
        config: config(&upstream.url(), "gw: { authentication: false }"),
        ..Setup::default()
    });
    upstream.will_say(answer("401 Unauthorized", "", b"{}"));
    let cut = &gateway.token[..20];
    assert_eq!(gateway.post(CHAT, &[("authorization", &format!("Bearer {cut}"))], BODY).status, 401);
    assert!(!upstream.request_text().contains("gt_"));
}

#[test]
fn expired_scoped_and_unprivileged_tokens_are_told_apart() {
    let upstream = Upstream::start();
    let run = Permissions { run: true, ..Permissions::default() };
    let read = Permissions { read: true, ..Permissions::default() };
    let new = |name: &str, permissions, gateways: &[&str], expires_at_ms| NewToken {
        name: name.to_owned(),
        permissions,
        gateways: gateways.iter().map(|id| (*id).to_owned()).collect(),
        expires_at_ms,
        ..NewToken::default()
    };
    let gateway =
        Gateway::start(Setup { config: config(&upstream.url(), "gw: {}, other: {}"), ..Setup::default() });
    for (token, says) in [
        (new("expired", run, &[], Some(1)), "expired"),
        (new("scoped", run, &["other"], None), "not valid for gateway `gw`"),
        (new("reader", read, &[], None), "may not run requests"),
    ] {
        let reply =
            gateway.with_token(token, |value| gateway.post(CHAT, &[("cf-aig-authorization", value)], BODY));
        assert_eq!((reply.status, reply.json()["internalCode"].as_u64()), (401, Some(2009)));
        assert!(reply.text().contains(says), "{}", reply.text());
    }
    let scoped = new("elsewhere", run, &["other"], None);
    upstream.will_say(answer("200 OK", "", b"{}"));
    let path = "/v1/acct/other/openai/chat/completions";
    let reply =
        gateway.with_token(scoped, |value| gateway.post(path, &[("cf-aig-authorization", value)], BODY));
    assert_eq!(reply.status, 200);
}

#[test]
fn only_the_named_accounts_are_answered() {
    let upstream = Upstream::start();
    let config = config(&upstream.url(), "gw: {}").replace("gateway: {", "gateway: { accounts: ['acme'],");
    let gateway = Gateway::start(Setup { config, ..Setup::default() });
    upstream.will_say(answer("200 OK", "", b"{}"));
    assert_eq!(gateway.post_authorized("/v1/acme/gw/openai/models", &[], b"{}").status, 200);
    let reply = gateway.post_authorized("/v1/acct/gw/openai/models", &[], b"{}");
    assert_eq!((reply.status, reply.json()["internalCode"].as_u64()), (400, Some(2001)));
}

#[test]
fn paths_outside_any_gateway_are_answered_too() {
    let gateway = Gateway::before("http://127.0.0.1:9");
    assert_eq!(crate::client::call(gateway.address, "GET", "/nothing", &[], b"").status, 404);
    assert_eq!(crate::client::call(gateway.address, "GET", "/healthz", &[], b"").text(), "aside");
}

#[test]
fn a_token_hidden_in_a_repeated_header_does_not_travel_on() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    upstream.will_say(answer("200 OK", "", b"{}"));
    let bearer = gateway.authorization();
    let headers = [("authorization", "Bearer sk-own"), ("authorization", bearer.as_str())];
    assert_eq!(gateway.post_authorized(CHAT, &headers, BODY).status, 200);
    let request = upstream.request_text();
    assert!(request.contains("Bearer sk-own") && !request.contains("gt_"), "{request}");
}
