//! The page people come from, typed as it stands: set up, a default model, a look, a question. A Genesis gateway takes
//! the place of Cloudflare's host; where headers matter, a provider that keeps every byte.

use std::fs;

use crate::http::{Message, Upstream, json};
use crate::process::{Home, Ran, genesis, wait_until};
use crate::terminal::{ENTER, Terminal};

const KEY: &str = "sk-ant-api03-MARK3R-abcdefghijklmnop";

/// The page's block for scripts.
const BLOCK: &str = r#"genesis onboard --non-interactive \
  --mode local \
  --auth-choice cloudflare-ai-gateway-api-key \
  --cloudflare-ai-gateway-account-id "your-account-id" \
  --cloudflare-ai-gateway-gateway-id "your-gateway-id" \
  --cloudflare-ai-gateway-api-key "$CLOUDFLARE_AI_GATEWAY_API_KEY""#;

/// The page's second step.
const DEFAULT_MODEL: &str = r#"{
  agents: {
    defaults: {
      model: { primary: "cloudflare-ai-gateway/claude-sonnet-4-6" },
    },
  },
}"#;

/// The page's block for authenticated gateways, with a token where the page has a placeholder.
const HEADER: &str = r#"{
  models: {
    providers: {
      "cloudflare-ai-gateway": {
        headers: {
          "cf-aig-authorization": "Bearer MARK3R-token",
        },
      },
    },
  },
}"#;

/// A provider that answers in Anthropic's shape or in OpenAI's, as it is asked.
fn provider() -> Upstream {
    Upstream::start(|request| {
        let body = if request.head.contains("/chat/completions") {
            r#"{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"finish_reason":"stop",
                "message":{"role":"assistant","content":"Hello from OpenAI's shape"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#
        } else {
            r#"{"id":"m","type":"message","role":"assistant","model":"claude-sonnet-4-6","stop_reason":"end_turn",
                "content":[{"type":"text","text":"Hello from Anthropic's shape"}],"usage":{"input_tokens":1,"output_tokens":1}}"#
        };
        json("200 OK", body)
    })
}

#[track_caller]
fn ok(ran: Ran) -> Ran {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.stdout.contains("MARK3R") && !ran.stderr.contains("MARK3R"), "{ran:?}");
    ran
}

/// Puts another host in the place of Cloudflare's.
fn move_host(home: &Home, address: impl std::fmt::Display) {
    let config = fs::read_to_string(home.file("genesis.json")).expect("genesis.json");
    assert!(config.contains("https://gateway.ai.cloudflare.com/v1/"), "{config}");
    let moved = config.replace("https://gateway.ai.cloudflare.com", &format!("http://{address}"));
    home.write("genesis.json", moved.as_bytes());
}

/// The headers that say who calls.
fn credentials(request: &Message) -> Vec<String> {
    let names = ["authorization", "x-api-key", "api-key", "x-goog-api-key", "cf-aig-authorization"];
    let lines = request.head.lines().filter(|line| {
        line.split_once(':').is_some_and(|(name, _)| names.contains(&name.to_ascii_lowercase().as_str()))
    });
    lines.map(str::to_owned).collect()
}

#[test]
fn the_commands_of_the_page_one_after_another() {
    let gateway_home = Home::new("");
    let gateway =
        gateway_home.start(&["dev", "--port", "0", "--simulate-all", "--gateway", "your-gateway-id"]);
    let home = Home::new("").variable("CLOUDFLARE_AI_GATEWAY_API_KEY", KEY);
    ok(home.shell(BLOCK));
    move_host(&home, gateway.address);
    let listed = ok(home.shell("genesis models list --provider cloudflare-ai-gateway"));
    assert!(listed.stdout.contains("cloudflare-ai-gateway/claude-sonnet-4-6"), "{listed:?}");
    let answer = ok(home.shell("genesis agent --message \"hi\""));
    assert_eq!(answer.stdout, "Simulated answer to: hi\n");
    ok(home.shell("genesis models status --probe --check"));
    ok(home.shell(BLOCK));
    assert_eq!(ok(home.shell("genesis agent --message \"again\"")).stdout, "Simulated answer to: again\n");
    let records = gateway_home.records();
    assert_eq!(records.len(), 3);
    assert!(
        records
            .iter()
            .all(|record| record["account"] == "your-account-id" && record["gateway"] == "your-gateway-id")
    );
}

/// The first command of the page asks for three things and nothing else that matters.
#[test]
fn the_page_at_a_terminal() {
    let gateway = Home::new("").dev();
    let home = Home::new("");
    let mut command = home.command(genesis());
    command.args(["onboard", "--auth-choice", "cloudflare-ai-gateway-api-key"]);
    let mut terminal = Terminal::start(command);
    // The gateway's whole address in the place of an id.
    let address = format!("http://{}/v1/acct/default", gateway.address);
    terminal.answer("account id", &format!("{address}{ENTER}"));
    terminal.answer("API key", &format!("{KEY}{ENTER}"));
    terminal.answer("Gateway token", ENTER);
    terminal.answer("Default model", ENTER);
    terminal.answer("Write it", ENTER);
    terminal.answer("Make one small call", ENTER);
    terminal.expect("It answers: Simulated answer");
    let (code, drawn) = terminal.end();
    assert_eq!(code, Some(0), "{drawn}");
    assert!(!drawn.contains("MARK3R"), "{drawn}");
    let config = fs::read_to_string(home.file("genesis.json")).expect("genesis.json");
    assert!(config.contains(&format!("{address}/anthropic")), "{config}");
}

#[test]
fn the_key_and_the_token_travel_in_headers_of_their_own() {
    let provider = provider();
    let home = Home::new(HEADER).variable("CLOUDFLARE_AI_GATEWAY_API_KEY", KEY);
    ok(home.shell("genesis config validate"));
    ok(home.shell(BLOCK));
    move_host(&home, provider.address);
    let answer = ok(home.shell("genesis agent --message hi"));
    assert_eq!(answer.stdout, "Hello from Anthropic's shape\n");
    let received = provider.received();
    assert_eq!(received.len(), 1);
    let path = "POST /v1/your-account-id/your-gateway-id/anthropic/v1/messages HTTP/1.1";
    assert!(received[0].head.starts_with(path), "{}", received[0].head);
    let mut sent = credentials(&received[0]);
    sent.sort();
    assert_eq!(sent, ["cf-aig-authorization: Bearer MARK3R-token".to_owned(), format!("x-api-key: {KEY}")]);
}

#[test]
fn a_gateway_that_holds_the_key_gets_one_header_and_no_key() {
    let provider = provider();
    // A key that lies about must not be sent.
    let home = Home::new("").variable("CLOUDFLARE_AI_GATEWAY_API_KEY", KEY).variable("OPENAI_API_KEY", KEY);
    for (endpoint, model, path, said) in [
        ("anthropic", "claude-sonnet-4-6", "/v1/acct/prod/anthropic/v1/messages", "Anthropic's"),
        ("compat", "anthropic/claude-sonnet-4-5", "/v1/acct/prod/compat/chat/completions", "OpenAI's"),
    ] {
        ok(home.shell(&format!(
            "genesis onboard --non-interactive --auth-choice cloudflare-ai-gateway-stored-key --endpoint {endpoint} --model {model} \
             --cloudflare-ai-gateway-account-id http://{}/v1/acct/prod --cloudflare-ai-gateway-token MARK3R-token",
            provider.address
        )));
        let answer = ok(home.shell("genesis agent --message hi"));
        assert_eq!(answer.stdout, format!("Hello from {said} shape\n"));
        let request = provider.received().pop().expect("a request");
        assert!(request.head.starts_with(&format!("POST {path} HTTP/1.1")), "{}", request.head);
        assert_eq!(credentials(&request), ["cf-aig-authorization: Bearer MARK3R-token"]);
        assert!(request.text().contains(&format!("\"model\":\"{model}\"")), "{}", request.text());
    }
}

#[test]
fn without_the_variable_nothing_is_sent_and_its_place_is_named() {
    let provider = provider();
    for header in
        ["\"Bearer ${CF_AIG_TOKEN}\"", "{ source: \"env\", provider: \"default\", id: \"CF_AIG_TOKEN\" }"]
    {
        let config = format!(
            r#"{{ agents: {{ defaults: {{ model: "cloudflare-ai-gateway/claude-sonnet-4-6" }} }},
                 models: {{ providers: {{ "cloudflare-ai-gateway": {{
                   baseUrl: "http://{}/v1/a/g/anthropic", headers: {{ "cf-aig-authorization": {header} }} }} }} }} }}"#,
            provider.address
        );
        let home = Home::new(&config).variable("CLOUDFLARE_AI_GATEWAY_API_KEY", KEY);
        for command in ["genesis agent --message hi", "genesis models status --probe"] {
            let ran = home.shell(command);
            assert_eq!(ran.code, Some(78), "{ran:?}");
            let place = "models.providers.cloudflare-ai-gateway.headers.cf-aig-authorization";
            assert!(ran.stderr.contains(place) && ran.stderr.contains("CF_AIG_TOKEN"), "{ran:?}");
        }
        assert_eq!(provider.received().len(), 0, "no request");
    }
    // With a value it arrives, and nothing of how it was written.
    let config = format!(
        r#"{{ models: {{ providers: {{ "cloudflare-ai-gateway": {{ baseUrl: "http://{}/v1/a/g/anthropic",
             headers: {{ "cf-aig-authorization": {{ source: "env", id: "CF_AIG_TOKEN" }} }} }} }} }} }}"#,
        provider.address
    );
    let home = Home::new(&config)
        .variable("CF_AIG_TOKEN", "MARK3R-token")
        .variable("CLOUDFLARE_AI_GATEWAY_API_KEY", KEY);
    ok(home.shell("genesis agent --model cloudflare-ai-gateway/claude-sonnet-4-6 --message hi"));
    let request = provider.received().pop().expect("a request");
    assert_eq!(request.header("cf-aig-authorization"), Some("MARK3R-token"));
    assert!(!request.head.contains("source") && !request.head.contains("${"), "{}", request.head);
}

/// The page's second step by hand, everything else in the environment.
#[test]
fn a_file_by_hand_and_ids_in_the_environment_will_do() {
    let home = Home::new(DEFAULT_MODEL)
        .variable("CLOUDFLARE_ACCOUNT_ID", "0123456789abcdef0123456789abcdef")
        .variable("CF_AI_GATEWAY_GATEWAY_ID", "prod")
        .variable("CLOUDFLARE_AI_GATEWAY_API_KEY", KEY);
    let listed = ok(home.shell("genesis models list --provider cloudflare-ai-gateway"));
    let line = listed
        .stdout
        .lines()
        .find(|line| line.starts_with("cloudflare-ai-gateway/claude-sonnet-4-6"))
        .expect("listed");
    assert!(
        line.contains("env:CLOUDFLARE_AI_GATEWAY_API_KEY") && line.trim_end().ends_with("default"),
        "{line}"
    );
    assert!(!listed.stdout.contains("missing"), "{listed:?}");
}

#[test]
fn a_key_changed_in_the_folder_is_the_one_that_is_sent() {
    let provider = provider();
    let config = format!(
        "{{ models: {{ providers: {{ anthropic: {{ baseUrl: \"http://{}\" }} }} }}, gateway: {{ listen: \"127.0.0.1:0\" }} }}",
        provider.address
    );
    let home = Home::new(&config);
    let onboard =
        |key: &str| ok(home.shell(&format!("genesis onboard --non-interactive --anthropic-api-key {key}")));
    onboard("MARK3R-first");
    let sent =
        || provider.received().pop().and_then(|request| request.header("x-api-key").map(str::to_owned));
    ok(home.shell("genesis agent --message hi"));
    assert_eq!(sent().as_deref(), Some("MARK3R-first"));

    // A gateway that runs notices it too.
    let token = home.print(&["token", "create", "--name", "t", "--quiet"]);
    let gateway = home.start(&["gateway", "run"]);
    let headers = [("cf-aig-authorization", token.trim()), ("content-type", "application/json")];
    let body = br#"{"model":"claude-sonnet-4-6","max_tokens":8,"messages":[]}"#;
    let call =
        || crate::http::call(gateway.address, "POST", "/v1/a/default/anthropic/v1/messages", &headers, body);
    call();
    assert_eq!(sent().as_deref(), Some("MARK3R-first"));
    onboard("MARK3R-second");
    ok(home.shell("genesis agent --message hi"));
    assert_eq!(sent().as_deref(), Some("MARK3R-second"));
    wait_until("the gateway sends the new key", || {
        call();
        sent().as_deref() == Some("MARK3R-second")
    });
}

#[test]
fn a_failed_test_call_says_whose_fault_it_is() {
    let gateway = Upstream::start(|_| {
        json(
            "401 Unauthorized",
            r#"{"success":false,"result":[],"messages":[],"error":[{"code":2009,"message":"Unauthorized"}]}"#,
        )
    });
    let anthropic = Upstream::start(|_| {
        json(
            "401 Unauthorized",
            r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#,
        )
    });
    let limited = Upstream::start(|_| {
        json(
            "429 Too Many Requests",
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}"#,
        )
    });
    let verify = |upstream: &Upstream| {
        let home = Home::new("").variable("CLOUDFLARE_AI_GATEWAY_API_KEY", KEY);
        let ran = home.shell(&format!(
            "genesis onboard --non-interactive --verify --auth-choice cloudflare-ai-gateway-api-key \
             --cloudflare-ai-gateway-account-id http://{}/v1/acct/prod",
            upstream.address
        ));
        assert!(home.file("genesis.json").exists(), "what was set up stays");
        assert_eq!(upstream.received().len(), 1, "it is not tried again and again");
        assert!(!ran.stderr.contains("MARK3R"), "{ran:?}");
        ran
    };
    let by_gateway = verify(&gateway);
    assert_eq!(by_gateway.code, Some(3), "{by_gateway:?}");
    assert!(by_gateway.stderr.contains("gateway"), "{by_gateway:?}");
    let by_provider = verify(&anthropic);
    assert_eq!(by_provider.code, Some(3), "{by_provider:?}");
    assert!(by_provider.stderr.contains("invalid x-api-key"), "{by_provider:?}");
    assert_ne!(by_gateway.stderr, by_provider.stderr);
    assert_eq!(verify(&limited).code, Some(4));
}
