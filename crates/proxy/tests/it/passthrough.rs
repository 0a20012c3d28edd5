//! Any method, path, query and body, both ways.

use std::io::{Read, Write};

use crate::client::{call, open, read_reply, send};
use crate::gateway::{Gateway, Setup, config};
use crate::upstream::{Script, Upstream, answer, chunk, chunked_head};

const OWN: (&str, &str) = ("authorization", "Bearer sk-own");

#[test]
fn every_method_path_and_query_passes_as_it_came() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    let token = gateway.authorization();
    for (method, path, expected) in [
        (
            "GET",
            "/models?limit=2&after=a%20b&empty=&x",
            "GET /v1/models?limit=2&after=a%20b&empty=&x HTTP/1.1",
        ),
        ("GET", "/v1/models/ft:gpt-5%2Fx", "GET /v1/models/ft:gpt-5%2Fx HTTP/1.1"),
        ("DELETE", "/files/file-1", "DELETE /v1/files/file-1 HTTP/1.1"),
        ("PATCH", "/v1/x//y/", "PATCH /v1/x//y/ HTTP/1.1"),
        ("PUT", "/uploads", "PUT /v1/uploads HTTP/1.1"),
        ("OPTIONS", "/chat/completions", "OPTIONS /v1/chat/completions HTTP/1.1"),
        ("HEAD", "", "HEAD /v1 HTTP/1.1"),
    ] {
        upstream.will_say(answer("200 OK", "x-served: yes\r\n", if method == "HEAD" { b"" } else { b"ok" }));
        let headers = [("cf-aig-authorization", token.as_str()), OWN];
        let reply = call(gateway.address, method, &format!("/v1/acct/gw/openai{path}"), &headers, b"");
        assert_eq!((reply.status, reply.header("x-served")), (200, Some("yes")), "{method} {path}");
        let request = upstream.request_text();
        let line = request
            .lines()
            .next()
            .unwrap_or_default()
            .trim_end_matches('\r')
            .replace("/v1/ HTTP", "/v1 HTTP");
        assert_eq!(line, expected);
    }
}

#[test]
fn request_headers_pass_but_for_those_that_end_here() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    upstream.will_say(answer("200 OK", "", b"{}"));
    let headers = [
        OWN,
        ("anthropic-beta", "a,b"),
        ("x-stainless-lang", "rust"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("user-agent", "test/1.0 (caf\u{e9})"),
        ("cf-aig-metadata", "{\"a\":1}"),
        ("cf-aig-skip-cache", "true"),
        ("cf-skip-cache", "true"),
        ("cf-access-jwt-assertion", "jwt"),
        ("proxy-authorization", "x"),
        ("te", "trailers"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("accept-encoding", "gzip, zstd, br"),
    ];
    let reply = gateway.post_authorized("/v1/acct/gw/openai/chat/completions", &headers, b"{}");
    assert_eq!(reply.status, 200);
    let request = upstream.request_text();
    for kept in [
        "anthropic-beta: a,b\r\n",
        "x-stainless-lang: rust\r\n",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n",
        "user-agent: test/1.0",
        "accept-encoding: gzip, br\r\n",
        "content-length: 2\r\n",
    ] {
        assert!(request.contains(kept), "{kept} in {request}");
    }
    for gone in ["cf-aig", "cf-skip", "cf-access", "proxy-auth", "\r\nte:", "x-hop", "localhost:1"] {
        assert!(!request.contains(gone), "{gone} in {request}");
    }
    assert_eq!(request.matches("host: ").count(), 1);
}

#[test]
fn response_headers_pass_and_the_gateways_are_added() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    let theirs = "content-type: application/json; charset=utf-8\r\nx-request-id: r1\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nretry-after: 7\r\nkeep-alive: timeout=5\r\n";
    upstream.will_say(answer("429 Too Many Requests", theirs, b"{\"error\":{\"message\":\"slow down\"}}"));
    let reply = gateway.post_authorized(
        "/v1/acct/gw/openai/chat/completions",
        &[OWN, ("cf-aig-event-id", "evt-1")],
        b"{}",
    );
    assert_eq!(reply.status, 429);
    assert_eq!(reply.text(), "{\"error\":{\"message\":\"slow down\"}}");
    assert_eq!(reply.header("x-request-id"), Some("r1"));
    assert_eq!(reply.header("retry-after"), Some("7"));
    assert_eq!(reply.header("keep-alive"), None);
    assert_eq!(reply.headers.iter().filter(|(name, _)| name == "set-cookie").count(), 2);
    assert_eq!(reply.header("cf-aig-event-id"), Some("evt-1"));
    assert_eq!(reply.header("cf-aig-step"), Some("0"));
    let id = reply.header("cf-aig-log-id").expect("log id");
    assert_eq!(uuid::Uuid::parse_str(id).expect("uuid").get_version_num(), 7);
    assert_eq!(reply.header("cf-aig-request-id"), Some(id));
    // On errors of our own they are there too.
    let reply = gateway.post("/v1/acct/gw/openai/chat/completions", &[], b"{}");
    assert_eq!(reply.status, 401);
    let id = reply.header("cf-aig-log-id").expect("log id").to_owned();
    assert_eq!(reply.header("cf-aig-event-id"), Some(id.as_str()));
    assert!(gateway.log(2).iter().any(|record| record.id.to_string() == id));
}

#[test]
fn uploads_stream_through_with_their_framing() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    let body: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    upstream.will_say(answer("200 OK", "", b"{\"text\":\"hi\"}"));
    let multipart = ("content-type", "multipart/form-data; boundary=x");
    let reply = gateway.post_authorized("/v1/acct/gw/openai/audio/transcriptions", &[OWN, multipart], &body);
    assert_eq!(reply.status, 200);
    let request = upstream.request();
    assert!(request.ends_with(&body), "the upload arrived byte for byte");
    assert!(
        String::from_utf8_lossy(&request[..600]).contains(&format!("content-length: {}\r\n", body.len()))
    );
    let (record, payload) = gateway.last_log(1);
    assert_eq!(record.request_size, body.len() as u64);
    assert_eq!(payload.expect("payload").request, body);

    // Without a length it goes on in chunks.
    upstream.will_say(answer("200 OK", "", b"ok"));
    let mut stream = open(gateway.address);
    let token = gateway.authorization();
    let headers = [
        ("cf-aig-authorization", token.as_str()),
        OWN,
        ("content-type", "audio/wav"),
        ("transfer-encoding", "chunked"),
    ];
    send(&mut stream, "POST", "/v1/acct/gw/openai/audio/x", &headers, b"");
    for piece in [&b"first"[..], b"second"] {
        stream.write_all(&chunk(piece)).expect("sent");
    }
    stream.write_all(b"0\r\n\r\n").expect("sent");
    assert_eq!(read_reply(&mut stream, "POST").status, 200);
    let request = upstream.request_text();
    assert!(request.contains("transfer-encoding: chunked\r\n"), "{request}");
    assert!(request.contains("first") && request.ends_with("0\r\n\r\n"), "{request}");
}

#[test]
fn a_stream_event_reaches_the_client_before_the_next_is_sent() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    let mut first = chunked_head("content-type: text/event-stream\r\n");
    first.extend(chunk(b"data: {\"n\":1}\n\n"));
    upstream.will(Script { pieces: vec![first], then_wait: true, ..Script::default() });
    let mut stream = open(gateway.address);
    let token = gateway.authorization();
    let headers = [("cf-aig-authorization", token.as_str()), OWN, ("content-type", "application/json")];
    send(&mut stream, "POST", "/v1/acct/gw/openai/chat/completions", &headers, b"{\"stream\":true}");
    // The upstream says nothing more until we leave, so what is read here was not held back.
    let mut seen = Vec::new();
    let mut buffer = [0; 1024];
    while crate::client::find(&seen, b"{\"n\":1}").is_none() {
        let count = stream.read(&mut buffer).expect("the first event arrives while the stream is open");
        assert_ne!(count, 0);
        seen.extend_from_slice(&buffer[..count]);
    }
    drop(stream);
    upstream.saw_the_gateway_close();
}

#[test]
fn connections_to_the_upstream_are_reused_and_stale_ones_replaced() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    for _ in 0..3 {
        upstream.will_say(answer("200 OK", "", b"{}"));
        assert_eq!(gateway.post_authorized("/v1/acct/gw/openai/x", &[OWN], b"{}").status, 200);
    }
    // Answered, then closed: the next call must not notice.
    upstream.will(Script { pieces: vec![answer("200 OK", "", b"{}")], close: true, ..Script::default() });
    upstream.will_say(answer("200 OK", "", b"{}"));
    for _ in 0..2 {
        assert_eq!(gateway.post_authorized("/v1/acct/gw/openai/x", &[OWN], b"{}").status, 200);
    }
}

#[test]
fn custom_providers_and_their_prefix_reach_the_configured_address() {
    let upstream = Upstream::start();
    let config = format!(
        "{{ models: {{ providers: {{ llama: {{ baseUrl: '{}/api/v3', api: 'openai-completions' }} }} }}, gateway: {{ gateways: {{ gw: {{}} }} }} }}",
        upstream.url()
    );
    let gateway = Gateway::start(Setup { config, ..Setup::default() });
    for slug in ["llama", "custom-llama"] {
        upstream.will_say(answer("200 OK", "", b"{}"));
        assert_eq!(
            gateway.post_authorized(&format!("/v1/acct/gw/{slug}/chat/completions?x=1"), &[], b"{}").status,
            200
        );
        assert!(upstream.request_text().starts_with("POST /api/v3/chat/completions?x=1 HTTP/1.1\r\n"));
    }
    for path in ["../secret", "a/../../secret", "%2e%2e/secret", "a/..%2fsecret"] {
        let reply = gateway.post_authorized(&format!("/v1/acct/gw/llama/{path}"), &[], b"{}");
        assert_eq!(reply.status, 400, "{path}: {}", reply.text());
    }
    assert!(upstream.was_not_called());
}

#[test]
fn bodies_and_heads_over_the_limits_are_refused_with_the_limits_name() {
    let upstream = Upstream::start();
    let limits = "limits: { bodyBytes: 1000, headerBytes: 2000, uploadBytes: 2000 },";
    let config = config(&upstream.url(), "gw: {}").replace("gateway: {", &format!("gateway: {{ {limits}"));
    let gateway = Gateway::start(Setup { config, ..Setup::default() });
    let path = "/v1/acct/gw/openai/x";
    let reply = gateway.post_authorized(path, &[OWN], &vec![b' '; 1001]);
    assert_eq!(reply.status, 413);
    assert!(reply.text().contains("gateway.limits.bodyBytes"), "{}", reply.text());
    let binary = ("content-type", "application/octet-stream");
    let reply = gateway.post_authorized(path, &[OWN, binary], &vec![b' '; 2001]);
    assert_eq!(reply.status, 413);
    assert!(reply.text().contains("gateway.limits.uploadBytes"), "{}", reply.text());
    let long = "y".repeat(2000);
    let reply = gateway.post_authorized(path, &[OWN, ("x-long", &long)], b"{}");
    assert_eq!(reply.status, 431);
    assert!(reply.text().contains("gateway.limits.headerBytes"), "{}", reply.text());
    assert!(upstream.was_not_called());
}

#[test]
fn bytes_that_are_not_json_pass_all_the_same() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    upstream.will_say(answer(
        "400 Bad Request",
        "content-type: application/json\r\n",
        b"not json either \xff",
    ));
    let reply =
        gateway.post_authorized("/v1/acct/gw/openai/chat/completions", &[OWN], b"{\"model\": \xff\xfe");
    assert_eq!((reply.status, reply.body.as_slice()), (400, &b"not json either \xff"[..]));
    assert!(upstream.request().ends_with(b"{\"model\": \xff\xfe"));
}
