//! `genesis agent`: bytes on the wire per kind of credential, streaming, fallbacks, failures.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::provider::{answer, messages_begin, messages_end, stream_head};
use super::sandbox::Sandbox;
use crate::http::{Message, Upstream, json};
use crate::process::Home;

const KEY: &str = "sk-ant-MARK3R-of-the-provider";
const TOKEN: &str = "gt_MARK3R-of-the-gateway";

/// A home whose default model is `model` of the gateway provider, which is at `upstream` with more fields as given.
fn gateway(upstream: &Upstream, path: &str, fields: &str, model: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write(
        "genesis.json",
        &format!(
            r#"{{ agents: {{ defaults: {{ model: "cloudflare-ai-gateway/{model}" }} }},
                 models: {{ providers: {{ "cloudflare-ai-gateway": {{
                     baseUrl: "http://{}/v1/acct/gw/{path}", {fields} }} }} }} }}"#,
            upstream.address
        ),
    );
    sandbox
}

fn hello() -> Upstream {
    Upstream::start(|request| answer(request, "Hello, you.", ""))
}

fn sent(upstream: &Upstream) -> (Message, Value) {
    let mut received = upstream.received();
    assert_eq!(received.len(), 1, "{received:?}");
    let message = received.remove(0);
    let body = serde_json::from_slice(&message.body).expect("JSON");
    (message, body)
}

#[test]
fn a_provider_key_and_a_gateway_token_go_each_in_its_own_header() {
    let upstream = hello();
    let token = r#"headers: { "cf-aig-authorization": "Bearer ${CF_AIG_TOKEN}" }"#;
    let sandbox = gateway(&upstream, "anthropic", token, "claude-sonnet-4-6");
    sandbox.write(".env", &format!("CF_AIG_TOKEN={TOKEN}\nCLOUDFLARE_AI_GATEWAY_API_KEY={KEY}\n"));
    let ran =
        sandbox.genesis(&["agent", "--message", "hi", "--system", "Be brief.", "--max-tokens", "99"]).ok();
    assert_eq!(ran.stdout, "Hello, you.\n");
    assert_eq!(ran.stderr, "");

    let (message, body) = sent(&upstream);
    assert!(
        message.head.starts_with("POST /v1/acct/gw/anthropic/v1/messages HTTP/1.1\r\n"),
        "{}",
        message.head
    );
    assert_eq!(message.header("x-api-key"), Some(KEY));
    assert_eq!(message.header("cf-aig-authorization"), Some(&*format!("Bearer {TOKEN}")));
    assert_eq!(message.header("authorization"), None);
    assert_eq!(message.header("anthropic-version"), Some("2023-06-01"));
    assert_eq!(message.header("host"), Some(&*upstream.address.to_string()));
    assert_eq!(body["model"], "claude-sonnet-4-6");
    assert_eq!(body["stream"], true);
    assert_eq!(body["max_tokens"], 99);
    assert!(body["system"].to_string().contains("Be brief."), "{body}");
    assert!(body["messages"].to_string().contains("hi"), "{body}");
    assert_eq!(body["tools"], Value::Null, "nothing is sent unasked");
}

#[test]
fn a_stored_key_s_caller_sends_the_gateway_token_and_nothing_else() {
    let upstream = hello();
    let fields = format!(
        r#"api: "openai-completions", providerAuth: "stored", headers: {{ "cf-aig-authorization": "Bearer {TOKEN}" }}"#
    );
    let sandbox = gateway(&upstream, "compat", &fields, "anthropic/claude-sonnet-4-5");
    // A key that happens to be around stays here.
    sandbox.write(".env", &format!("CLOUDFLARE_AI_GATEWAY_API_KEY={KEY}\n"));
    sandbox.genesis(&["agent", "-m", "hi"]).ok();

    let (message, body) = sent(&upstream);
    assert!(
        message.head.starts_with("POST /v1/acct/gw/compat/chat/completions HTTP/1.1\r\n"),
        "{}",
        message.head
    );
    assert_eq!(message.header("cf-aig-authorization"), Some(&*format!("Bearer {TOKEN}")));
    for slot in ["authorization", "x-api-key", "api-key"] {
        assert_eq!(message.header(slot), None, "{slot}");
    }
    assert!(!message.head.contains(KEY));
    assert_eq!(body["model"], "anthropic/claude-sonnet-4-5");
}

#[test]
fn without_a_key_the_gateway_token_alone_is_enough() {
    let upstream = hello();
    let fields = format!(r#"headers: {{ "cf-aig-authorization": "Bearer {TOKEN}" }}"#);
    let sandbox = gateway(&upstream, "anthropic", &fields, "claude-sonnet-4-6");
    sandbox.genesis(&["agent", "-m", "hi"]).ok();
    let (message, _) = sent(&upstream);
    assert_eq!(message.header("x-api-key"), None);
    assert_eq!(message.header("authorization"), None);
}

#[test]
fn each_api_is_spoken_with_its_own_key_header_and_path() {
    for (api, path, header, value) in [
        ("anthropic-messages", "POST /base/v1/messages ", "x-api-key", KEY.to_owned()),
        ("openai-completions", "POST /base/chat/completions ", "authorization", format!("Bearer {KEY}")),
        ("openai-responses", "POST /base/responses ", "authorization", format!("Bearer {KEY}")),
    ] {
        let upstream = hello();
        let sandbox = Sandbox::new();
        let file = format!(
            r#"{{ models: {{ providers: {{ own: {{ baseUrl: "http://{}/base", api: "{api}", apiKey: "${{OWN_KEY}}",
                 headers: {{ "x-team": "search" }} }} }} }},
                 agents: {{ defaults: {{ models: {{ "own/some/model": {{ params: {{ temperature: 0.5 }} }} }} }} }} }}"#,
            upstream.address
        );
        sandbox.write("genesis.json", &file);
        let args = ["agent", "-m", "hi", "--model", "own/some/model"];
        let ran = sandbox.genesis_in(&args, &[("OWN_KEY", KEY)], "").ok();
        assert_eq!(ran.stdout, "Hello, you.\n", "{api}");
        let (message, body) = sent(&upstream);
        assert!(message.head.starts_with(path), "{api}: {}", message.head);
        assert_eq!(message.header(header), Some(&*value), "{api}");
        assert_eq!(message.header("x-team"), Some("search"));
        assert_eq!(body["model"], "some/model", "what follows the first slash is the provider's name for it");
        assert_eq!(body["temperature"], 0.5, "{api}: {body}");
        sandbox.assert_nowhere(KEY, &[&ran]);
    }
}

#[test]
fn a_sealed_key_is_used_and_the_environment_comes_before_it() {
    let upstream = hello();
    let sandbox = Sandbox::new();
    let file = format!(
        r#"{{ models: {{ providers: {{ openai: {{ baseUrl: "http://{}" }} }} }} }}"#,
        upstream.address
    );
    sandbox.write("genesis.json", &file);
    sandbox.piped(&["key", "set", "openai"], KEY).ok();
    let args = ["agent", "-m", "hi", "--model", "openai/gpt-5", "--receipt"];
    sandbox.genesis(&args).ok().says(&["key stored"]);
    sandbox.genesis_in(&args, &[("OPENAI_API_KEY", "sk-other")], "").ok().says(&["key env:OPENAI_API_KEY"]);
    let keys: Vec<_> = upstream
        .received()
        .iter()
        .map(|message| message.header("authorization").map(str::to_owned))
        .collect();
    assert_eq!(keys, [Some(format!("Bearer {KEY}")), Some("Bearer sk-other".to_owned())]);
}

#[test]
fn a_store_that_is_ill_matters_only_if_the_key_is_in_it() {
    let upstream = hello();
    let sandbox = Sandbox::new();
    let file = format!(
        r#"{{ models: {{ providers: {{ openai: {{ baseUrl: "http://{}", providerAuth: "key" }} }} }} }}"#,
        upstream.address
    );
    sandbox.write("genesis.json", &file);
    sandbox.write("genesis.db", &"no database ".repeat(500));
    let args = ["agent", "-m", "hi", "--model", "openai/gpt-5"];
    sandbox.genesis_in(&args, &[("OPENAI_API_KEY", KEY)], "").ok();
    sandbox
        .genesis(&args)
        .fails(3, &["no key for OpenAI", "stored keys cannot be read", "genesis.db is damaged"]);
}

#[test]
fn nothing_is_sent_while_a_variable_is_unset() {
    let upstream = hello();
    let token = r#"headers: { "cf-aig-authorization": "Bearer ${CF_AIG_TOKEN}" }"#;
    let sandbox = gateway(&upstream, "anthropic", token, "claude-sonnet-4-6");
    let parts = [
        "models.providers.cloudflare-ai-gateway.headers.cf-aig-authorization",
        "CF_AIG_TOKEN",
        "genesis.json:",
    ];
    sandbox.genesis(&["agent", "-m", "hi"]).fails(78, &parts);
    // An empty value counts as missing.
    sandbox.genesis_in(&["agent", "-m", "hi"], &[("CF_AIG_TOKEN", "")], "").fails(78, &parts);
    assert!(upstream.received().is_empty());
}

#[test]
fn a_missing_key_is_said_before_anything_is_sent() {
    let sandbox = Sandbox::new();
    sandbox
        .genesis(&["agent", "-m", "hi", "--model", "anthropic/claude-sonnet-4-6"])
        .fails(3, &["no key for Anthropic", "ANTHROPIC_API_KEY", "genesis key set anthropic"]);
    let upstream = hello();
    let sandbox = gateway(&upstream, "anthropic", r#"providerAuth: "key""#, "claude-sonnet-4-6");
    sandbox.genesis(&["agent", "-m", "hi"]).fails(3, &["CLOUDFLARE_AI_GATEWAY_API_KEY"]);
    assert!(upstream.received().is_empty());
}

#[test]
fn text_is_printed_while_the_answer_still_comes() {
    let (go_on, wait) = channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let upstream = Upstream::scripted(move |_, stream| {
        stream.write_all(&stream_head(""))?;
        stream.write_all(messages_begin("first").as_bytes())?;
        // Until the test has seen it on standard output; if it never does, the answer breaks off and the test fails.
        wait.lock().expect("lock").recv_timeout(Duration::from_secs(30)).map_err(std::io::Error::other)?;
        stream.write_all(super::provider::messages_delta(" second").as_bytes())?;
        stream.write_all(messages_end().as_bytes())?;
        Err(std::io::ErrorKind::ConnectionAborted.into())
    });
    let sandbox = gateway(&upstream, "anthropic", "", "claude-sonnet-4-6");
    let mut child = sandbox.command(&["agent", "-m", "hi"]).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [0; 5];
    stdout.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"first");
    go_on.send(()).unwrap();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, " second\n");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_call() {
    let (left, told) = channel::<()>();
    let left = Arc::new(Mutex::new(left));
    let upstream = Upstream::scripted(move |_, stream| {
        stream.write_all(&stream_head(""))?;
        stream.write_all(messages_begin("first").as_bytes())?;
        // Goes on for as long as somebody listens.
        while stream.write_all(super::provider::messages_delta("more").as_bytes()).is_ok() {}
        let _ = left.lock().expect("lock").send(());
        Err(std::io::ErrorKind::ConnectionAborted.into())
    });
    let sandbox = gateway(&upstream, "anthropic", "", "claude-sonnet-4-6");
    let mut child = sandbox.command(&["agent", "-m", "hi"]).spawn().unwrap();
    child.stdout.take().unwrap().read_exact(&mut [0; 5]).unwrap();
    assert!(child.wait().unwrap().success());
    told.recv_timeout(Duration::from_secs(30)).expect("the provider is left, too");
}

/// A home with a default model at `first` and a fallback at `second`.
fn with_fallback(first: &Upstream, second: &Upstream) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write(
        "genesis.json",
        &format!(
            r#"{{ agents: {{ defaults: {{ model: {{ primary: "one/a", fallbacks: ["two/b"] }} }} }},
                 models: {{ providers: {{
                     one: {{ baseUrl: "http://{}/v1", api: "openai-completions" }},
                     two: {{ baseUrl: "http://{}/v1", api: "openai-completions" }} }} }} }}"#,
            first.address, second.address
        ),
    );
    sandbox
}

#[test]
fn a_fallback_answers_where_the_default_model_fails() {
    let first = Upstream::start(|_| json("503 Service Unavailable", r#"{"error":{"message":"busy"}}"#));
    let second = hello();
    let sandbox = with_fallback(&first, &second);
    let ran = sandbox.genesis(&["agent", "-m", "hi"]).ok().says(&["HTTP 503: busy", "asking two/b instead"]);
    assert_eq!(ran.stdout, "Hello, you.\n");
    let ran = sandbox.genesis(&["agent", "-m", "hi", "--json"]).ok();
    let object = ran.json();
    assert_eq!((&object["model"], &object["text"]), (&"two/b".into(), &"Hello, you.".into()));
    assert_eq!(object["tried"][0]["model"], "one/a");
    assert_eq!(object["tried"][0]["error"]["cause"], "provider-failed");
    assert_eq!(first.received().len(), 2, "no model is asked twice");

    // The model that was asked for is the only one asked.
    sandbox.genesis(&["agent", "-m", "hi", "--model", "one/a"]).fails(1, &["HTTP 503: busy"]);
    assert_eq!(second.received().len(), 2);
}

#[test]
fn a_request_that_is_refused_is_not_asked_elsewhere() {
    let first = Upstream::start(|_| json("400 Bad Request", r#"{"error":{"message":"prompt is too long"}}"#));
    let second = hello();
    let sandbox = with_fallback(&first, &second);
    sandbox.genesis(&["agent", "-m", "hi"]).fails(1, &["prompt is too long"]);
    assert!(second.received().is_empty());
}

#[test]
fn an_answer_that_breaks_off_is_a_failure_and_is_not_begun_again() {
    let first = Upstream::scripted(|_, stream| {
        stream.write_all(&stream_head(""))?;
        stream.write_all(messages_begin("half of").as_bytes())?;
        Err(std::io::ErrorKind::ConnectionAborted.into())
    });
    let second = hello();
    let sandbox = with_fallback(&first, &second);
    let file = std::fs::read_to_string(sandbox.home().join("genesis.json")).unwrap();
    sandbox.write("genesis.json", &file.replacen("openai-completions", "anthropic-messages", 1));
    let ran = sandbox.genesis(&["agent", "-m", "hi"]);
    assert_eq!((ran.code, ran.stdout.trim_end()), (Some(1), "half of"));
    ran.says(&["broke off"]);
    assert!(second.received().is_empty());
}

#[test]
fn failures_are_told_apart_by_exit_code_and_words() {
    let envelope = |code: i64, message: &str, status: u16| {
        format!(
            r#"{{"success":false,"result":[],"messages":[],"error":[{{"code":{code},"message":"{message}"}}],
                "name":"AiGatewayError","httpCode":{status},"internalCode":{code}}}"#
        )
    };
    let gateway_401 = envelope(2009, "Unauthorized", 401);
    let gateway_429 = envelope(2003, "Rate limited", 429);
    let no_gateway = envelope(2001, "Please configure AI Gateway in the Cloudflare dashboard", 400);
    let echo = format!(
        r#"{{"type":"error","error":{{"type":"authentication_error","message":"invalid key {KEY}"}}}}"#
    );
    let cases: &[(&str, &str, i32, &[&str])] = &[
        (
            "401 Unauthorized",
            &gateway_401,
            3,
            &[
                "the gateway refused the caller",
                "2009",
                "cf-aig-authorization",
                "provider's key was not looked at",
            ],
        ),
        (
            "401 Unauthorized",
            &echo,
            3,
            &["refused the call", "HTTP 401: invalid key ***", ".env:CLOUDFLARE_AI_GATEWAY_API_KEY"],
        ),
        (
            "401 Unauthorized",
            r#"{"success":false,"errors":[{"code":10000,"message":"Authentication error"}]}"#,
            3,
            &["AI Gateway refused the call", "Authentication error"],
        ),
        ("403 Forbidden", "{}", 3, &["HTTP 403"]),
        (
            "404 Not Found",
            r#"{"error":{"message":"model: nope"}}"#,
            1,
            &["no such model", "genesis models list"],
        ),
        ("400 Bad Request", &no_gateway, 1, &["no such gateway", "baseUrl"]),
        ("429 Too Many Requests\r\nretry-after: 7", "{}", 4, &["too often", "7 s"]),
        ("429 Too Many Requests", &gateway_429, 4, &["the gateway's rate limit"]),
        ("500 Internal Server Error", "<html>", 1, &["failed (HTTP 500)", "may be tried again"]),
        ("529 Overloaded", r#"{"error":{"message":"Overloaded"}}"#, 1, &["HTTP 529: Overloaded"]),
        ("302 Found\r\nlocation: http://127.0.0.1:1/", "", 78, &["redirect", "baseUrl"]),
        ("200 OK", "this is no answer", 1, &["sent no answer"]),
    ];
    for (status, body, code, parts) in cases {
        let (status, body) = ((*status).to_owned(), (*body).to_owned());
        let described = status.clone();
        let upstream = Upstream::start(move |_| json(&status, &body));
        let sandbox = gateway(&upstream, "anthropic", "", "claude-sonnet-4-6");
        sandbox.write(".env", &format!("CLOUDFLARE_AI_GATEWAY_API_KEY={KEY}\n"));
        let ran = sandbox.genesis(&["agent", "-m", "hi"]);
        assert_eq!(ran.code, Some(*code), "{described}: {ran:?}");
        let ran = ran.fails(*code, parts);
        assert!(!ran.stderr.contains(KEY), "{described}: {ran:?}");
        assert_eq!(upstream.received().len(), 1, "{described}: nothing is tried twice");
    }
}

#[test]
fn the_provider_behind_a_gateway_is_told_from_the_gateway() {
    let upstream = Upstream::start(|_| {
        json("401 Unauthorized\r\ncf-aig-log-id: log-7", r#"{"error":{"message":"bad key"}}"#)
    });
    let fields =
        format!(r#"providerAuth: "stored", headers: {{ "cf-aig-authorization": "Bearer {TOKEN}" }}"#);
    let sandbox = gateway(&upstream, "anthropic", &fields, "claude-sonnet-4-6");
    let ran = sandbox.genesis(&["agent", "-m", "hi", "--json"]);
    assert_eq!(ran.code, Some(3));
    let error = &ran.json()["error"];
    assert_eq!(error["cause"], "provider-refused");
    assert_eq!(error["status"], 401);
    assert_eq!(error["logId"], "log-7");
    ran.says(&["it is the provider behind it that refused", "the key the gateway keeps"]);
}

#[test]
fn no_header_of_the_file_is_ever_echoed() {
    let upstream = Upstream::start(|request| {
        let said = ["x-api-key", "cf-aig-authorization"].map(|name| request.header(name).unwrap_or_default());
        let body = serde_json::json!({ "error": { "message": said.join(" and ") } });
        json("400 Bad Request", &body.to_string())
    });
    let fields = format!(r#"headers: {{ "x-api-key": "{KEY}", "cf-aig-authorization": "Bearer {TOKEN}" }}"#);
    let sandbox = gateway(&upstream, "anthropic", &fields, "claude-sonnet-4-6");
    let ran = sandbox.genesis(&["agent", "-m", "hi", "--json"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.json()["error"]["message"].as_str().is_some_and(|said| said.contains("*** and Bearer ***")));
    assert!(!(ran.stdout + &ran.stderr).contains("MARK3R"));
}

#[test]
fn nobody_there_and_nobody_answering_end_with_the_same_code() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let sandbox = Sandbox::new();
    let file =
        format!(r#"{{ models: {{ providers: {{ own: {{ baseUrl: "http://127.0.0.1:{port}/v1" }} }} }} }}"#);
    sandbox.write("genesis.json", &file);
    sandbox
        .genesis(&["agent", "-m", "hi", "--model", "own/m"])
        .fails(5, &["cannot connect to", "genesis gateway run"]);

    let (_held, wait) = channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let silent = Upstream::scripted(move |_, _| {
        let _ = wait.lock().expect("lock").recv();
        Ok(())
    });
    let file =
        format!(r#"{{ models: {{ providers: {{ own: {{ baseUrl: "http://{}/v1" }} }} }} }}"#, silent.address);
    sandbox.write("genesis.json", &file);
    sandbox.genesis(&["agent", "-m", "hi", "--model", "own/m", "--timeout", "1"]).fails(5, &["within 1 s"]);
}

#[test]
fn the_receipt_has_tokens_cost_and_what_the_gateway_says() {
    let more = "cf-aig-log-id: log-1\r\ncf-aig-step: 1\r\ncf-aig-cache-status: MISS\r\n";
    let upstream = Upstream::start(move |request| answer(request, "Hi.", more));
    let sandbox = gateway(&upstream, "anthropic", "", "claude-sonnet-4-6");
    let ran = sandbox.genesis(&["agent", "-m", "hi", "--receipt"]).ok();
    assert_eq!(ran.stdout, "Hi.\n");
    // 12 × $3/M + 34 × $15/M
    let parts =
        ["cloudflare-ai-gateway/claude-sonnet-4-6", "12 in, 34 out", "$0.000546", "log log-1", "fallback 1"];
    ran.says(&parts);

    let object = sandbox.genesis(&["agent", "-m", "hi", "--json"]).ok().json();
    assert_eq!(object["text"], "Hi.");
    assert_eq!(object["answeredBy"], "claude-sonnet-4-6-20260101");
    assert_eq!(object["finishReason"], "end_turn");
    assert_eq!((&object["usage"]["input"], &object["usage"]["output"]), (&12.into(), &34.into()));
    assert_eq!((&object["cost"]["nanoUsd"], &object["cost"]["source"]), (&546_000.into(), &"table".into()));
    assert_eq!(
        (&object["logId"], &object["cacheStatus"], &object["step"]),
        (&"log-1".into(), &"MISS".into(), &"1".into())
    );
    assert_eq!(object["credential"], "none");
    assert!(object["durationMs"].is_u64() && object["firstTextMs"].is_u64(), "{object}");
}

#[test]
fn a_gateway_s_own_word_on_cost_counts() {
    for (header, cost, source) in
        [("cf-aig-cost: 0.25\r\n", 250_000_000_i64, "gateway"), ("cf-aig-cache-status: HIT\r\n", 0, "cache")]
    {
        let upstream = Upstream::start(move |request| answer(request, "Hi.", header));
        let sandbox = gateway(&upstream, "anthropic", "", "claude-sonnet-4-6");
        let object = sandbox.genesis(&["agent", "-m", "hi", "--json"]).ok().json();
        assert_eq!((&object["cost"]["nanoUsd"], &object["cost"]["source"]), (&cost.into(), &source.into()));
    }
}

#[test]
fn the_question_may_come_from_standard_input() {
    let upstream = hello();
    let sandbox = gateway(&upstream, "anthropic", "", "claude-sonnet-4-6");
    sandbox.piped(&["agent"], "from the pipe\n").ok();
    sandbox.piped(&["agent", "--stdin", "-m", "Summarise:"], "from below\n").ok();
    // A message alone does not wait for a pipe that stays open.
    let open = sandbox.command(&["agent", "-m", "hi"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    assert!(open.wait_with_output().unwrap().status.success());
    let bodies: Vec<String> = upstream.received().iter().map(Message::text).collect();
    assert!(bodies[0].contains("from the pipe\""), "{}", bodies[0]);
    assert!(bodies[1].contains(r"Summarise:\n\nfrom below"), "{}", bodies[1]);

    sandbox.piped(&["agent"], " \n").fails(2, &["the message is empty"]);
    assert_eq!(upstream.received().len(), 3);
}

#[test]
fn what_is_meant_is_suggested() {
    let sandbox = Sandbox::new();
    sandbox.genesis(&["agent", "-m", "hi"]).fails(78, &["no default model is set", "genesis models set"]);
    sandbox
        .genesis(&["agent", "-m", "hi", "--model", "anthropi/x"])
        .fails(2, &["did you mean `anthropic/x`?"]);
    sandbox.genesis(&["agent", "-m", "hi", "--model", "gpt-5"]).fails(2, &["`gpt-5` is neither"]);
    sandbox
        .genesis(&["agent", "-m", "hi", "--model", "cloudflare-ai-gateway/claude-sonnet-4-6"])
        .fails(78, &["no address for provider cloudflare-ai-gateway", "genesis onboard"]);
}

#[test]
fn a_gateway_of_one_s_own_is_asked_like_any_other() {
    let gateway = Home::new("");
    let dev = gateway.dev();
    let sandbox = Sandbox::new();
    let base = format!("http://{}/v1/acct/default", dev.address);
    sandbox.write(
        "genesis.json",
        &format!(
            r#"{{ models: {{ providers: {{
                 "cloudflare-ai-gateway": {{ baseUrl: "{base}/anthropic" }},
                 unified: {{ baseUrl: "{base}/compat", api: "openai-completions" }},
                 responses: {{ baseUrl: "{base}/openai", api: "openai-responses" }},
                 "google-ai-studio": {{ baseUrl: "{base}/google-ai-studio" }} }} }} }}"#
        ),
    );
    for model in [
        "cloudflare-ai-gateway/claude-sonnet-4-6",
        "unified/anthropic/claude-sonnet-4-5",
        "responses/gpt-5",
        "google/gemini-2.5-pro",
    ] {
        let object = sandbox.genesis(&["agent", "-m", "Hello", "--model", model, "--json"]).ok().json();
        assert_eq!(object["text"], "Simulated answer to: Hello", "{model}");
        assert_eq!(object["simulated"], true);
        assert!(object["usage"]["output"].as_u64().is_some_and(|tokens| tokens > 0), "{object}");
        assert!(object["cost"]["nanoUsd"].as_i64().is_some_and(|cost| cost > 0), "{model}: {object}");
        assert!(object["logId"].is_string());
    }
    let (status, said) = dev.stop();
    assert!(status.success(), "{said}");
    assert_eq!(gateway.records().len(), 4);
}
