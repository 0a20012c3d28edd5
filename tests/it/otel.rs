//! Collectors of the built binary: what they are told, and that nothing waits for them and nothing is lost on the way.

use std::collections::BTreeSet;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::http::{Message, Upstream, call, json as answer};
use crate::process::{Home, Running, wait_until};

const CHAT: &str = "/v1/acct/gw/openai/chat/completions";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

fn provider() -> Upstream {
    Upstream::start(|_| {
        let usage = r#""usage":{"prompt_tokens":3,"completion_tokens":2}"#;
        answer(
            "200 OK",
            &format!(r#"{{"object":"chat.completion","model":"gpt-5-mini-2025","choices":[],{usage}}}"#),
        )
    })
}

/// A home with gateway `gw`, whose `otel` is given.
fn home(provider: &Upstream, otel: &str) -> Home {
    let config = format!(
        r#"{{ models: {{ providers: {{ openai: {{ baseUrl: "http://{}/v1", apiKey: "sk-upstream-marker" }} }} }},
              gateway: {{ listen: "127.0.0.1:0", gateways: {{ gw: {{ otel: [{otel}] }} }} }} }}"#,
        provider.address
    );
    Home::new(&config).variable("OTEL_KEY", "otel-key-marker")
}

fn token(home: &Home) -> String {
    let permissions = ["--permissions", "run,read,edit"];
    let token = home.print(&[&["token", "create", "--name", "t", "--quiet"][..], &permissions].concat());
    format!("Bearer {}", token.trim())
}

/// The answer's log id; empty if it has none.
fn ask(gateway: &Running, bearer: &str, headers: &[(&str, &str)]) -> String {
    let usual = [("content-type", "application/json"), ("cf-aig-authorization", bearer)];
    let body = json!({ "model": "gpt-5-mini", "messages": [{ "role": "user", "content": "a-prompt" }] });
    let answer =
        call(gateway.address, "POST", CHAT, &[&usual, headers].concat(), body.to_string().as_bytes());
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.header("cf-aig-log-id").unwrap_or_default().to_owned()
}

fn unzipped(request: &Message) -> Value {
    assert_eq!(request.header("content-encoding"), Some("gzip"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    let mut text = String::new();
    GzDecoder::new(&request.body[..]).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn requests(collector: &Upstream, path: &str) -> Vec<Message> {
    let wanted = format!("POST {path} ");
    collector.received().into_iter().filter(|request| request.head.starts_with(&wanted)).collect()
}

fn spans(collector: &Upstream) -> Vec<Value> {
    let requests = requests(collector, "/v1/traces");
    let spans = requests
        .iter()
        .map(unzipped)
        .flat_map(|told| told["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone());
    spans.collect()
}

/// The one value of an attribute, whatever its type.
fn attribute<'a>(span: &'a Value, key: &str) -> Option<&'a Value> {
    let found = span["attributes"].as_array()?.iter().find(|attribute| attribute["key"] == key)?;
    found["value"].as_object()?.values().next()
}

fn log_ids(spans: &[Value]) -> BTreeSet<String> {
    let id = |span| attribute(span, "genesis.log.id").and_then(Value::as_str).map(str::to_owned);
    spans.iter().filter_map(id).collect()
}

#[test]
fn a_call_is_told_with_its_caller_and_without_secrets() {
    let (provider, collector) = (provider(), Upstream::start(|_| answer("200 OK", "{}")));
    let exporter = format!(
        r#"{{ url: "http://{}", headers: {{ "x-tenant": "${{OTEL_KEY}}" }}, authorization: "Bearer ${{OTEL_KEY}}" }}"#,
        collector.address
    );
    let home = home(&provider, &exporter);
    let bearer = token(&home);
    let gateway = home.start(&["gateway", "run"]);
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let told = ask(&gateway, &bearer, &[("traceparent", &parent), ("cf-aig-metadata", r#"{"user":"u1"}"#)]);
    let quiet = ask(&gateway, &bearer, &[("cf-aig-collect-log-payload", "false")]);
    ask(&gateway, &bearer, &[("cf-aig-collect-log", "false")]);
    wait_until("both spans", || spans(&collector).len() >= 2);
    let spans = spans(&collector);
    let of =
        |id: &str| spans.iter().find(|span| attribute(span, "genesis.log.id") == Some(&json!(id))).unwrap();

    let span = of(&told);
    let ours = &told.replace('-', "")[16..];
    assert_eq!(span["traceId"], TRACE);
    assert_eq!((&span["spanId"], &span["parentSpanId"]), (&json!(ours), &json!(SPAN)));
    assert_eq!((&span["name"], &span["kind"]), (&json!("chat gpt-5-mini"), &json!(2)));
    for (key, value) in [
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.provider.name", json!("openai")),
        ("gen_ai.model.provider", json!("openai")),
        ("gen_ai.request.model", json!("gpt-5-mini")),
        ("gen_ai.response.model", json!("gpt-5-mini-2025")),
        ("gen_ai.usage.input_tokens", json!("3")),
        ("gen_ai.usage.output_tokens", json!("2")),
        ("http.response.status_code", json!("200")),
        ("genesis.gateway", json!("gw")),
        ("user", json!("u1")),
    ] {
        assert_eq!(attribute(span, key), Some(&value), "{key}");
    }
    let prompt = attribute(span, "gen_ai.prompt_json").and_then(Value::as_str).unwrap();
    assert!(prompt.contains("a-prompt"), "{prompt}");
    let seen = provider.received();
    assert_eq!(seen[0].header("traceparent"), Some(format!("00-{TRACE}-{ours}-01").as_str()));

    let bare = of(&quiet);
    assert_eq!(attribute(bare, "gen_ai.prompt_json"), None, "payloads are off");
    assert_eq!(bare["traceId"], quiet.replace('-', ""));
    assert_eq!(bare["parentSpanId"], Value::Null);
    assert_eq!(spans.len(), 2, "what is not logged is not told");

    wait_until("metrics", || !requests(&collector, "/v1/metrics").is_empty());
    let (status, said) = gateway.stop();
    assert!(status.success(), "{said}");
    let pushes = requests(&collector, "/v1/metrics");
    let last = unzipped(pushes.last().unwrap());
    let metrics = last["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
    let durations =
        metrics.iter().find(|metric| metric["name"] == "gen_ai.client.operation.duration").unwrap();
    assert_eq!(durations["histogram"]["dataPoints"][0]["count"], "2");

    for request in collector.received() {
        assert_eq!(request.header("authorization"), Some("Bearer otel-key-marker"));
        assert_eq!(request.header("x-tenant"), Some("otel-key-marker"));
        let body = unzipped(&request).to_string();
        for secret in ["sk-upstream-marker", "otel-key-marker", bearer.trim_start_matches("Bearer ")] {
            assert!(!body.contains(secret), "{secret} in {body}");
            assert!(!said.contains(secret), "{secret} in {said}");
        }
    }
}

#[test]
fn a_collector_that_hangs_slows_nobody_and_misses_nothing() {
    let healthy = Arc::new(AtomicBool::new(false));
    let listens = Arc::clone(&healthy);
    let collector = Upstream::scripted(move |_, stream: &mut TcpStream| {
        if !listens.load(Ordering::SeqCst) {
            // Takes the request and says nothing until the caller has gone.
            let _ = stream.read(&mut [0; 1]);
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        stream.write_all(&answer("200 OK", "{}"))
    });
    let provider = provider();
    let home = home(&provider, &format!(r#"{{ url: "http://{}/v1/traces" }}"#, collector.address));
    let bearer = token(&home);
    let gateway = home.start(&["gateway", "run"]);
    let mut asked = BTreeSet::from([ask(&gateway, &bearer, &[])]);
    wait_until("the collector hangs", || !requests(&collector, "/v1/traces").is_empty());
    asked.extend((0..30).map(|_| ask(&gateway, &bearer, &[])));
    wait_until("all of it is in the log", || home.records().len() == asked.len());
    gateway.kill();

    healthy.store(true, Ordering::SeqCst);
    let gateway = home.start(&["gateway", "run"]);
    wait_until("every span", || log_ids(&spans(&collector)) == asked);
    drop(gateway);
}

#[test]
fn an_address_from_the_api_may_not_be_private() {
    let (provider, collector) = (provider(), Upstream::start(|_| answer("200 OK", "{}")));
    let home = home(&provider, "");
    let bearer = token(&home);
    let gateway = home.start(&["gateway", "run"]);
    let settings = json!({
        "id": "made", "authentication": true, "cache_invalidate_on_update": false, "cache_ttl": 0,
        "collect_logs": true, "rate_limiting_interval": 0, "rate_limiting_limit": 0,
        "otel": [{ "url": format!("http://{}/v1/traces", collector.address), "headers": { "x": "${OTEL_KEY}" } }],
    });
    let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
    let path = "/client/v4/accounts/acct/ai-gateway/gateways";
    let made = call(gateway.address, "POST", path, &headers, settings.to_string().as_bytes());
    assert_eq!(made.status(), 200, "{}", made.text());
    let usual = [("content-type", "application/json"), ("cf-aig-authorization", bearer.as_str())];
    let path = CHAT.replace("/gw/", "/made/");
    wait_until("the gateway is there and its spans stay here", || {
        call(gateway.address, "POST", &path, &usual, b"{}");
        gateway.said().contains("cannot be exported now")
    });
    assert!(gateway.said().contains("not a public address"), "{}", gateway.said());
    assert!(collector.received().is_empty());
    assert!(!gateway.said().contains("otel-key-marker"));
}
