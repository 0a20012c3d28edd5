//! Secrets with recognisable values in every place a secret can be; then everything the gateway wrote, answered or
//! sent is searched for them.
//!
//! Bodies are content, passed and logged as they are by design, so no secret of ours is put into one. A provider that
//! repeats a key in its error body does so to the caller and in the log's copy of that body (bytes are sacred); it
//! must not get any further: not into what the gateway says of itself, and not to another provider.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::http::{Message, Upstream, call, json};
use crate::process::{Home, Running};

/// The secrets, each with a part that occurs nowhere else.
const STORED: &str = "sk-stored-MARK3R-aa10-of-openai";
const STORED_ALIAS: &str = "sk-stored-MARK3R-aa11-of-openai-work";
const IN_ENVIRONMENT: &str = "sk-ant-MARK3R-bb20-of-the-environment";
const IN_CONFIG: &str = "sk-config-MARK3R-cc30-of-mistral";
const CONFIG_HEADER: &str = "MARK3R-dd40-header-of-custom";
const CLIENT_KEY: &str = "sk-client-MARK3R-ee50";
const CLIENT_QUERY_KEY: &str = "AIza-MARK3R-ff60-in-the-query";
const WRONG_TOKEN: &str = "gt_MARK3R-gg70-wrong-token";
const FOREIGN_TOKEN: &str = "MARK3R-hh80-not-one-of-ours";
const COOKIE: &str = "session=MARK3R-ii90-cookie";

/// Headers in which a client may put a key, and so our token.
const SLOTS: [&str; 5] = ["authorization", "x-api-key", "x-goog-api-key", "api-key", "xi-api-key"];
const JSON: (&str, &str) = ("content-type", "application/json");
const BODY: &[u8] = br#"{"model":"model-of-the-test","messages":[{"role":"user","content":"Hello"}]}"#;

/// A gateway, the providers behind it, and all it answered.
struct Stage {
    home: Home,
    gateway: Option<Running>,
    address: SocketAddr,
    token: String,
    revoked: String,
    openai: Upstream,
    anthropic: Upstream,
    google: Upstream,
    mistral: Upstream,
    custom: Upstream,
    answers: Vec<Message>,
    /// What commands that only look have printed.
    shown: String,
}

impl Stage {
    fn start() -> Self {
        let plain = |_: &Message| json("200 OK", r#"{"usage":{"prompt_tokens":3,"completion_tokens":5}}"#);
        let [anthropic, google, mistral, custom] = [(); 4].map(|()| Upstream::start(plain));
        let openai = Upstream::start(openai);
        let config = format!(
            r#"{{ models: {{ providers: {{
                openai: {{ baseUrl: "http://{}" }},
                anthropic: {{ baseUrl: "http://{}" }},
                "google-ai-studio": {{ baseUrl: "http://{}" }},
                mistral: {{ baseUrl: "http://{}", apiKey: "{IN_CONFIG}" }},
                "custom-own": {{ baseUrl: "http://{}", api: "openai-completions",
                                 headers: {{ "x-upstream-pass": "${{CUSTOM_PASS}}" }} }},
                "custom-unresolved": {{ baseUrl: "http://{}", headers: {{ "x-a": "{CONFIG_HEADER}", "x-b": "${{NOWHERE}}" }} }},
                groq: {{ baseUrl: "http://127.0.0.1:1", apiKey: "{IN_CONFIG}" }},
            }} }},
            gateway: {{ listen: "127.0.0.1:0", gateways: {{
                prod: {{ authentication: true }}, open: {{ authentication: false }}, other: {{ authentication: true }},
            }} }} }}"#,
            openai.address,
            anthropic.address,
            google.address,
            mistral.address,
            custom.address,
            custom.address,
        );
        let home = Home::new(&config)
            .variable("ANTHROPIC_API_KEY", IN_ENVIRONMENT)
            .variable("CUSTOM_PASS", CONFIG_HEADER)
            .variable("GENESIS_LOG", "trace");
        let mut shown = String::new();
        for (alias, key) in [("default", STORED), ("work", STORED_ALIAS)] {
            let ran = home.run(&["key", "set", "openai", "--alias", alias], key);
            assert_eq!(ran.code, Some(0), "{ran:?}");
            shown += &(ran.stdout + &ran.stderr);
        }
        let token = home.print(&["--quiet", "token", "create", "--name", "live", "--gateway", "prod"]);
        let revoked = home.print(&["--quiet", "token", "create", "--name", "gone"]);
        home.print(&["token", "revoke", "gone"]);
        let gateway = home.start(&["gateway", "run"]);
        let address = gateway.address;
        let (token, revoked) = (token.trim().to_owned(), revoked.trim().to_owned());
        let answers = Vec::new();
        Self {
            home,
            gateway: Some(gateway),
            address,
            token,
            revoked,
            openai,
            anthropic,
            google,
            mistral,
            custom,
            answers,
            shown,
        }
    }

    fn call(&mut self, path: &str, headers: &[(&str, &str)]) -> u16 {
        let answer = call(self.address, "POST", path, &[&[JSON], headers].concat(), BODY);
        self.answers.push(answer);
        self.answers.last().expect("an answer").status()
    }

    fn upstreams(&self) -> [(&'static str, &Upstream); 5] {
        [
            ("openai", &self.openai),
            ("anthropic", &self.anthropic),
            ("google", &self.google),
            ("mistral", &self.mistral),
            ("custom", &self.custom),
        ]
    }

    /// Stops the gateway; everything it and the commands that look at its log ever said.
    fn finish(&mut self) -> String {
        let (status, said) = self.gateway.take().expect("running").stop();
        assert!(status.success(), "{said}");
        for args in [
            &["key", "list"][..],
            &["key", "list", "--json"],
            &["token", "list"],
            &["token", "list", "--json"],
        ] {
            self.shown += &self.home.print(args);
        }
        self.shown += &self.home.print(&["usage"]);
        self.shown += &self.home.print(&["logs", "--limit", "1000"]);
        said
    }

    /// Every secret, with who may see it: the providers it was meant for.
    fn secrets(&self) -> Vec<(&str, Vec<&str>)> {
        vec![
            (self.token.as_str(), vec![]),
            (self.revoked.as_str(), vec![]),
            (WRONG_TOKEN, vec![]),
            (STORED, vec!["openai"]),
            (STORED_ALIAS, vec!["openai"]),
            (IN_ENVIRONMENT, vec!["anthropic"]),
            (IN_CONFIG, vec!["mistral"]),
            (CONFIG_HEADER, vec!["custom"]),
            (CLIENT_KEY, vec!["openai", "anthropic", "google", "mistral", "custom"]),
            (CLIENT_QUERY_KEY, vec!["google"]),
        ]
    }
}

/// Repeats the key it was sent if it is asked to.
fn openai(request: &Message) -> Vec<u8> {
    if request.header("x-echo").is_some() {
        let key = request.header("authorization").unwrap_or_default();
        let message = format!(
            r#"{{"error":{{"message":"Incorrect API key provided: {key}","type":"invalid_request_error"}}}}"#
        );
        return json("401 Unauthorized", &message);
    }
    if request.header("x-garbage").is_some() {
        return b"this is not HTTP\r\n\r\n".to_vec();
    }
    json("200 OK", r#"{"model":"gpt-4.1","usage":{"prompt_tokens":3,"completion_tokens":5}}"#)
}

/// Where calls of the test go, one path per provider.
const PATHS: [&str; 5] = [
    "/v1/acct/prod/openai/chat/completions",
    "/v1/acct/prod/anthropic/v1/messages",
    "/v1/acct/prod/google-ai-studio/v1beta/models/gemini-2.5-pro:generateContent",
    "/v1/acct/prod/mistral/v1/chat/completions",
    "/v1/acct/prod/custom-own/chat/completions",
];

fn calls_that_are_served(stage: &mut Stage) {
    let token = stage.token.clone();
    let bearer = format!("Bearer {token}");
    let own = ("cf-aig-authorization", bearer.as_str());
    for path in PATHS {
        // A stored key, one from the environment, one from the file, a header from the file.
        assert_eq!(stage.call(path, &[own, ("cookie", COOKIE)]), 200, "{path}");
        assert_eq!(stage.call(path, &[("cf-aig-authorization", &token)]), 200, "{path}");
        for slot in SLOTS {
            // The token in the place of a key, with the scheme and without; then the client's own key there.
            assert_eq!(stage.call(path, &[(slot, &bearer)]), 200, "{path} {slot}");
            assert_eq!(stage.call(path, &[(slot, &token)]), 200, "{path} {slot}");
            assert_eq!(stage.call(path, &[own, (slot, &bearer)]), 200, "{path} {slot}");
            let key = format!("Bearer {CLIENT_KEY}");
            assert_eq!(stage.call(path, &[own, (slot, &key)]), 200, "{path} {slot}");
            // Sent twice, once as key and once as token, in either order.
            stage.call(path, &[own, (slot, &key), (slot, &bearer)]);
            stage.call(path, &[own, (slot, &bearer), (slot, &key)]);
        }
        // Every place at once.
        let all: Vec<_> = SLOTS.iter().map(|slot| (*slot, bearer.as_str())).chain([own]).collect();
        assert_eq!(stage.call(path, &all), 200, "{path}");
    }
    assert_eq!(stage.call(PATHS[0], &[own, ("cf-aig-byok-alias", "work")]), 200);
    let google = PATHS[2];
    assert_eq!(stage.call(&format!("{google}?key={token}"), &[]), 200);
    assert_eq!(stage.call(&format!("{google}?alt=sse&key={token}"), &[own]), 200);
    assert_eq!(stage.call(&format!("{google}?key={CLIENT_QUERY_KEY}&alt=sse"), &[own]), 200);
    assert_eq!(stage.call(&format!("{google}?api_key={CLIENT_QUERY_KEY}"), &[own]), 200);
}

fn calls_that_are_refused(stage: &mut Stage) {
    let (token, revoked) = (stage.token.clone(), stage.revoked.clone());
    let wrong = [WRONG_TOKEN.to_owned(), FOREIGN_TOKEN.to_owned(), revoked];
    for path in PATHS {
        for wrong in &wrong {
            let bearer = format!("Bearer {wrong}");
            assert_eq!(stage.call(path, &[("cf-aig-authorization", &bearer)]), 401, "{path}");
            assert_eq!(stage.call(path, &[("cf-aig-authorization", wrong)]), 401, "{path}");
            for slot in SLOTS {
                assert_eq!(stage.call(path, &[(slot, &bearer)]), 401, "{path} {slot}");
            }
            assert_eq!(stage.call(&format!("{path}?key={wrong}"), &[]), 401, "{path}");
        }
    }
    // A token of another gateway; on a gateway that asks for none a stray token goes nowhere either.
    let bearer = format!("Bearer {token}");
    assert_eq!(stage.call("/v1/acct/other/openai/chat/completions", &[("authorization", &bearer)]), 401);
    for wrong in [&bearer, &format!("Bearer {WRONG_TOKEN}")] {
        stage.call("/v1/acct/open/openai/chat/completions", &[("authorization", wrong)]);
        stage.call(
            "/v1/acct/open/google-ai-studio/v1beta/models/m:generateContent",
            &[("x-goog-api-key", wrong)],
        );
    }
    // What is wrong with the address is said without the rest of the line.
    let key = [("authorization", CLIENT_KEY), ("cf-aig-authorization", bearer.as_str())];
    for path in
        ["/v1/acct/nowhere/openai/x", "/v1/acct/prod/openia/x", "/elsewhere", "/v1/acct/prod", "/client/v4/x"]
    {
        assert!(stage.call(&format!("{path}?key={CLIENT_QUERY_KEY}&token={token}"), &key) >= 400, "{path}");
    }
}

fn calls_that_fail(stage: &mut Stage) {
    let bearer = format!("Bearer {}", stage.token);
    let own = ("cf-aig-authorization", bearer.as_str());
    assert_eq!(stage.call(PATHS[0], &[own, ("x-garbage", "1")]), 502);
    assert_eq!(stage.call("/v1/acct/prod/groq/chat/completions", &[own]), 502, "nobody listens there");
    assert_eq!(stage.call("/v1/acct/prod/custom-unresolved/x", &[own]), 500, "a variable is missing");
    assert_eq!(stage.call(PATHS[0], &[own, ("cf-aig-byok-alias", "absent")]), 400);
    let long = CLIENT_KEY.repeat(8000);
    assert_eq!(stage.call(PATHS[0], &[own, ("x-api-key", &long)]), 431);
}

/// HTTP/2 has a library of its own, which traces what it does.
fn a_call_over_http2(stage: &Stage) {
    let url = format!("http://{}{}", stage.address, PATHS[0]);
    let headers = [
        format!("cf-aig-authorization: Bearer {}", stage.token),
        format!("x-api-key: {CLIENT_KEY}"),
        format!("authorization: Bearer {CLIENT_KEY}"),
        format!("cookie: {COOKIE}"),
        "content-type: application/json".to_owned(),
    ];
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--max-time",
        "20",
        "--http2-prior-knowledge",
        "--data-binary",
        "@-",
    ]);
    curl.args(["--output", "/dev/null", "--write-out", "%{http_version} %{http_code}", &url]);
    curl.args(headers.iter().flat_map(|header| ["--header", header.as_str()]));
    let mut child = curl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("curl");
    child.stdin.take().expect("piped").write_all(BODY).expect("write");
    let output = child.wait_with_output().expect("output");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "2 200");
}

#[test]
fn no_secret_is_where_it_does_not_belong() {
    let mut stage = Stage::start();
    calls_that_are_served(&mut stage);
    calls_that_are_refused(&mut stage);
    calls_that_fail(&mut stage);
    a_call_over_http2(&stage);
    let said = stage.finish();

    // The search can find something: every secret did reach those it was meant for.
    let sent = |upstream: &Upstream| -> String {
        upstream.received().iter().map(|request| request.head.clone() + &request.text()).collect()
    };
    let records = stage.home.print(&["logs", "--json", "--limit", "100000"]);
    assert!(records.lines().count() > 200, "{} records", records.lines().count());
    assert!(said.contains("TRACE"), "the test is meant to see traces");
    assert!(records.contains("[masked]") && records.contains("cf-aig-authorization"), "heads are kept");

    let mut leaks = Vec::new();
    for (secret, meant_for) in stage.secrets() {
        for (name, upstream) in stage.upstreams() {
            let there = sent(upstream).contains(secret);
            if there != meant_for.contains(&name) {
                leaks.push(format!(
                    "{secret} {} provider {name}",
                    if there { "went to" } else { "did not reach" }
                ));
            }
        }
        let mut search = |place: &str, text: &[u8]| {
            if contains(text, secret) {
                leaks.push(format!("{secret} is in {place}"));
            }
        };
        search("what the gateway said of itself", said.as_bytes());
        search("what commands showed", stage.shown.as_bytes());
        search("log records", records.as_bytes());
        for answer in &stage.answers {
            search(
                &format!("the answer {}", answer.head.lines().next().unwrap_or_default()),
                answer.head.as_bytes(),
            );
            search(&format!("the body {}", answer.text()), &answer.body);
        }
        for file in files(&stage.home.path()) {
            search(&file, &fs::read(stage.home.file(&file)).expect("read"));
        }
    }
    // Neither of ours nor a key, so it may not be sent to anybody: it was presented to the gateway alone.
    for (name, upstream) in stage.upstreams() {
        if sent(upstream).contains(FOREIGN_TOKEN) {
            leaks.push(format!("{FOREIGN_TOKEN} went to provider {name}"));
        }
    }
    for (place, text) in
        [("what the gateway said", &said), ("log records", &records), ("commands", &stage.shown)]
    {
        if text.contains("MARK3R") {
            let near = text.split("MARK3R").nth(1).unwrap_or_default().chars().take(12).collect::<String>();
            leaks.push(format!("{place}: MARK3R{near}"));
        }
    }
    leaks.sort();
    leaks.dedup();
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

#[test]
fn a_key_a_provider_repeats_goes_no_further_than_its_answer() {
    let mut stage = Stage::start();
    let bearer = format!("Bearer {}", stage.token);
    assert_eq!(stage.call(PATHS[0], &[("cf-aig-authorization", &bearer), ("x-echo", "1")]), 401);
    let said = stage.finish();
    let answer = stage.answers[0].text();
    assert!(answer.contains(STORED), "the provider's bytes are passed as they are: {answer}");
    let id = stage.answers[0].header("cf-aig-log-id").expect("a log id");
    let body = stage.home.print(&["logs", id, "--body", "response"]);
    assert_eq!(body, answer, "and kept as they are");
    assert!(!said.contains(STORED), "but the gateway does not repeat them");
    let record = &stage.home.records()[0];
    for (field, value) in record.as_object().expect("an object") {
        assert!(!value.to_string().contains(STORED), "{field}: {value}");
    }
    assert!(!stage.shown.contains(STORED), "{}", stage.shown);
    for (name, upstream) in stage.upstreams().iter().filter(|(name, _)| *name != "openai") {
        assert!(upstream.received().is_empty(), "{name}");
    }
}

fn contains(text: &[u8], part: &str) -> bool {
    text.windows(part.len()).any(|window| window == part.as_bytes())
}

/// All files below the home but the one the operator wrote.
fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("home").map(|entry| entry.expect("entry").file_name());
    let names: Vec<String> = entries.map(|name| name.into_string().expect("UTF-8")).collect();
    assert!(
        names.iter().any(|name| name == "genesis.db") && names.iter().any(|name| name == "genesis-log.db"),
        "{names:?}"
    );
    names.into_iter().filter(|name| name != "genesis.json").collect()
}
