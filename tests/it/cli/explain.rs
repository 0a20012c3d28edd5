//! `genesis explain`

use std::net::TcpListener;

use genesis_store::LogRecord;

use super::sandbox::{Ran, Sandbox, record, with_bodies};

const KEY: &str = "sk-ant-never-shown";

/// A sandbox whose provider is a port that notices every connection; a token for its gateway.
fn set_up() -> (Sandbox, TcpListener, String) {
    let provider = TcpListener::bind("127.0.0.1:0").unwrap();
    provider.set_nonblocking(true).unwrap();
    let sandbox = Sandbox::new();
    let address = provider.local_addr().unwrap();
    sandbox.write(
        "genesis.json",
        &format!("{{ models: {{ providers: {{ anthropic: {{ baseUrl: 'http://{address}' }} }} }} }}"),
    );
    sandbox.write(".env", &format!("ANTHROPIC_API_KEY={KEY}\n"));
    let created = sandbox.genesis(&["token", "create", "--name", "app", "--permissions", "run"]).ok();
    let token = created.stdout.split_whitespace().find(|word| word.starts_with("gt_")).unwrap().to_owned();
    (sandbox, provider, token)
}

#[track_caller]
fn nothing_was_sent(provider: &TcpListener) {
    assert!(provider.accept().is_err(), "somebody connected");
}

/// The lines of the README that call a gateway.
fn copied(path: &str) -> &'static str {
    let readme = include_str!("../../../README.md");
    let lines = readme.split("```").flat_map(|block| block.split("\n\n"));
    lines.filter_map(|lines| Some(&lines[lines.find("curl ")?..])).find(|lines| lines.contains(path)).unwrap()
}

#[track_caller]
fn shows(ran: &Ran, parts: &[&str]) {
    for part in parts {
        assert!(ran.stdout.contains(part), "`{part}` is missing:\n{}", ran.stdout);
    }
}

#[test]
fn the_lines_of_the_readme_are_explained_as_they_were_copied() {
    let (sandbox, provider, token) = set_up();
    let variables = [("CF_AIG_TOKEN", token.as_str()), ("ACCOUNT_ID", "acct")];
    let direct = copied("/v1/acct/default/anthropic/v1/messages");
    let ran = sandbox.genesis_in(&["explain", direct], &variables, "").ok();
    shows(&ran, &["provider path", "default (defaults)", "may run", "/v1/messages", "claude-sonnet-4-6"]);
    shows(&ran, &["environment: found in ANTHROPIC_API_KEY", "at most $0.0"]);
    let unified = sandbox.genesis_in(&["explain"], &variables, copied("$ACCOUNT_ID/default/compat")).ok();
    shows(&unified, &["unified API", "openai-chat, translated to anthropic-messages"]);
    for secret in [KEY, &token] {
        for ran in [&ran, &unified] {
            assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{ran:?}");
        }
    }
    sandbox.genesis(&["explain", direct]).fails(2, &["$CF_AIG_TOKEN", "not set"]);
    nothing_was_sent(&provider);
}

#[test]
fn a_request_file_and_words_give_the_same_answer() {
    let (sandbox, provider, token) = set_up();
    let body = r#"{"model":"claude-sonnet-4-6","max_tokens":64,"messages":[]}"#;
    let path = "/v1/acct/default/anthropic/v1/messages";
    let file = format!(
        "POST {path} HTTP/1.1\r\ncontent-type: application/json\r\ncf-aig-authorization: Bearer {token}\r\n\r\n{body}"
    );
    std::fs::write(sandbox.path("request.http"), file).unwrap();
    let from_file = sandbox.genesis(&["explain", "--json", "request.http"]).ok().json();
    let (url, authorization) =
        (format!("http://gateway{path}"), format!("cf-aig-authorization: Bearer {token}"));
    let line = ["explain", "--json", "--", "curl", "-sS", &url, "-H", &authorization, "--json", body];
    assert_eq!(sandbox.genesis(&line).ok().json(), from_file);
    assert_eq!(from_file["gateway_source"], "defaults");
    assert_eq!(from_file["calls"][0]["credential"]["source"], "environment");
    assert_eq!(from_file["token"]["run"], true);
    nothing_was_sent(&provider);
}

#[test]
fn the_steps_of_a_universal_request_are_told_one_after_another() {
    let (sandbox, provider, token) = set_up();
    let steps = r#"[{"provider":"anthropic","endpoint":"v1/messages","query":{"model":"claude-sonnet-4-6","max_tokens":9,"messages":[]}},
        {"provider":"compat","endpoint":"chat/completions","query":{"model":"anthropic/claude-haiku-4-5","messages":[]}}]"#;
    let authorization = format!("cf-aig-authorization: {token}");
    let line = ["--", "curl", "http://gateway/v1/acct/default", "-H", &authorization, "--json", steps];
    let ran = sandbox.genesis(&[&["explain"], &line[..]].concat()).ok();
    shows(&ran, &["universal endpoint", "Step 0", "anthropic/v1/messages", "claude-sonnet-4-6"]);
    shows(&ran, &["Step 1", "if step 0 gives no answer", "compat/chat/completions", "claude-haiku-4-5"]);
    assert!(ran.stdout.find("Step 0") < ran.stdout.find("Step 1"));
    let told = sandbox.genesis(&[&["explain", "--json"], &line[..]].concat()).ok().json();
    assert_eq!(told["steps"][1]["calls"][0]["translated"], true, "{told}");
    assert_eq!((&told["steps"][0]["step"], told["steps"][0]["when"].as_str()), (&0.into(), Some("first")));
    let unknown = steps.replace("compat", "nobody");
    let line =
        ["explain", "--", "curl", "http://g/v1/acct/default", "-H", &authorization, "--json", &unknown];
    let refused = sandbox.genesis(&line);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    shows(&refused, &["code 2008", "[1]: no provider `nobody`"]);
    nothing_was_sent(&provider);
}

#[test]
fn a_call_of_the_log_is_looked_at_with_the_settings_of_now() {
    let (sandbox, provider, _) = set_up();
    let id = sandbox.store().tokens().unwrap()[0].id.clone();
    let head = "POST /v1/acct/default/anthropic/v1/messages HTTP/1.1\ncf-aig-authorization: [masked]\n\
                content-type: application/json\n";
    let logged = LogRecord { token_id: id.clone(), request_head: head.to_owned(), ..record(1) };
    let call = logged.id.to_string();
    let body = r#"{"model":"claude-sonnet-4-6","max_tokens":64,"messages":[]}"#;
    let without_bodies = record(90_000);
    let bare = without_bodies.id.to_string();
    sandbox.log([with_bodies(logged, body, "{}"), (without_bodies, None)]);
    let told = sandbox.genesis(&["explain", "--json", &call]).ok().json();
    assert_eq!(told["token"]["id"], id.as_str());
    assert_eq!(told["calls"][0]["model"], "claude-sonnet-4-6");
    sandbox.genesis(&["explain", &bare]).fails(1, &["was not kept"]);
    sandbox.genesis(&["explain", "ffffffff-ffff"]).fails(1, &["no record has an id"]);
    nothing_was_sent(&provider);
}

#[test]
fn what_such_calls_usually_cost_is_told_beside_the_most() {
    let (sandbox, provider, token) = set_up();
    let body = r#"{"model":"claude-sonnet-4-6","max_tokens":64,"messages":[]}"#;
    let authorization = format!("cf-aig-authorization: {token}");
    let url = "http://gateway/v1/acct/default/anthropic/v1/messages";
    let explain = |json: &[&str]| {
        let line = ["--", "curl", url, "-H", &authorization, "--json", body];
        sandbox.genesis(&[&["explain"], json, &line].concat()).ok()
    };
    assert!(!explain(&[]).stdout.contains("usually"));
    assert!(explain(&["--json"]).json()["calls"][0]["cost"]["typical_nano_usd"].is_null());
    let created_at_ms = jiff::Timestamp::now().as_millisecond();
    let call = |number, model: &str, cost| LogRecord {
        created_at_ms,
        model: model.to_owned(),
        cost_nano_usd: cost,
        ..record(number)
    };
    let cached = LogRecord { cached: true, ..call(4, "claude-sonnet-4-6", Some(0)) };
    sandbox.log(
        [
            call(1, "claude-sonnet-4-6", Some(100_000)),
            call(2, "claude-sonnet-4-6-20260201", Some(300_000)),
            call(3, "claude-haiku-4-5", Some(7_000_000)),
            cached,
            call(5, "claude-sonnet-4-6", None),
            record(6), // of another year
        ]
        .map(|record| (record, None)),
    );
    shows(&explain(&[]), &["at most $0.0", "usually", "$0.0002 on average (calls of the last 30 days: 2)"]);
    let cost = &explain(&["--json"]).json()["calls"][0]["cost"];
    assert_eq!((&cost["typical_nano_usd"], &cost["typical_of_calls"]), (&200_000.into(), &2.into()));
    nothing_was_sent(&provider);
}

#[test]
fn a_refusal_is_explained_and_ends_with_1() {
    let (sandbox, provider, _) = set_up();
    let url = "http://127.0.0.1:1/v1/acct/default/anthropic/v1/messages";
    let ran =
        sandbox.genesis(&["explain", "--", "curl", url, "-H", "cf-aig-authorization: gt_wrong", "-d", "{}"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    shows(&ran, &["401, code 2009: Unauthorized", "genesis token list"]);
    assert!(!ran.stdout.contains("gt_wrong"), "{ran:?}");
    nothing_was_sent(&provider);
}

#[test]
fn what_is_no_call_is_said_without_repeating_secrets() {
    let sandbox = Sandbox::new();
    for (args, said) in [
        (&["explain"][..], "nothing to explain"),
        (&["explain", "nonsense"], "no curl line, no file, and no log id"),
        (&["explain", "--", "curl", "-H", "a: b"], "no address"),
        (&["explain", "--", "curl", "http://x/", "--proxy", "p"], "--proxy is not understood"),
        (&["explain", "--", "curl", "http://x/", "-H", "sk-secret"], "not written as `Name: value`"),
        (&["explain", "curl 'http://x"], "not closed"),
        (&["explain", "curl $(cat x)"], "another command"),
    ] {
        let ran = sandbox.genesis(args).fails(2, &[said]);
        assert!(!ran.stderr.contains("sk-secret"), "{ran:?}");
    }
    sandbox.piped(&["explain"], "hello\n").fails(2, &["this is no request"]);
    assert!(!sandbox.home().exists(), "looking creates nothing");
}
