//! `genesis models`

use std::fs;

use serde_json::{Value, json};

use super::sandbox::{Ran, Sandbox, mode};
use crate::http::{Upstream, json as json_answer};

/// Both as on the provider page.
const PAGE: &str = r#"{
  agents: { defaults: { model: { primary: "cloudflare-ai-gateway/claude-sonnet-4-6" } } },
  models: {
    providers: {
      "cloudflare-ai-gateway": {
        baseUrl: "https://gateway.ai.cloudflare.com/v1/0123456789abcdef0123456789abcdef/prod/anthropic",
        headers: { "cf-aig-authorization": "Bearer ${CF_AIG_TOKEN}" }, // an authenticated gateway
      },
    },
  },
}
"#;

fn text(sandbox: &Sandbox) -> String {
    fs::read_to_string(sandbox.home().join("genesis.json")).unwrap()
}

fn find<'a>(list: &'a Value, key: &str) -> &'a Value {
    let mut models = list["models"].as_array().unwrap().iter();
    models.find(|model| model["key"] == key).unwrap_or_else(|| panic!("{key}: {list}"))
}

fn keys(ran: &Ran) -> Vec<&str> {
    ran.stdout.lines().collect()
}

#[test]
fn nothing_set_up_says_so_and_json_stays_json() {
    let sandbox = Sandbox::new();
    let ran = sandbox.genesis(&["models", "list"]).ok().says(&["no model is set up", "--all"]);
    assert_eq!(ran.stdout, "");
    let ran = sandbox.genesis(&["models", "list", "--json"]).ok();
    assert_eq!(ran.json(), json!({"count": 0, "models": []}));
    assert!(!sandbox.home().exists(), "looking creates nothing");
}

#[test]
fn the_provider_page_lists_its_model_with_price_and_credential() {
    let sandbox = Sandbox::new();
    sandbox.write("genesis.json", PAGE);
    sandbox.write(".env", "CLOUDFLARE_AI_GATEWAY_API_KEY=sk-ant-secret\n");
    let ran = sandbox.genesis(&["models", "list", "--provider", "cloudflare-ai-gateway"]).ok();
    let line = ran.line("cloudflare-ai-gateway/claude-sonnet-4-6");
    assert_eq!(
        line,
        "cloudflare-ai-gateway/claude-sonnet-4-6 text+image+pdf 1M 128k tools,reasoning,schema $3.00 $15.00 .env:CLOUDFLARE_AI_GATEWAY_API_KEY default"
    );
    assert!(ran.stdout.starts_with("MODEL"), "{ran:?}");
    assert!(ran.stdout.lines().count() > 10, "Anthropic's models: {ran:?}");
    assert!(ran.stdout.lines().skip(1).all(|line| line.starts_with("cloudflare-ai-gateway/")), "{ran:?}");
    assert!(!ran.stdout.contains('\u{1b}') && !ran.stdout.contains("secret"));

    let list = sandbox.genesis(&["models", "list", "--json"]).ok().json();
    assert_eq!(list["count"], list["models"].as_array().unwrap().len());
    assert_eq!(
        *find(&list, "cloudflare-ai-gateway/claude-sonnet-4-6"),
        json!({
            "key": "cloudflare-ai-gateway/claude-sonnet-4-6", "provider": "cloudflare-ai-gateway",
            "model": "claude-sonnet-4-6", "name": null, "input": ["text", "image", "pdf"], "output": ["text"],
            "capabilities": ["tools", "vision", "reasoning", "structured_output", "prompt_cache", "web_search"],
            "contextWindow": 1_000_000, "contextTokens": null, "maxTokens": 128_000, "cost": {"input": 3, "output": 15}, "local": false,
            "available": true, "credential": ".env:CLOUDFLARE_AI_GATEWAY_API_KEY", "tags": ["default"], "missing": false,
        })
    );
}

#[test]
fn the_compatible_endpoint_names_the_maker() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "genesis.json",
        &PAGE.replace("prod/anthropic", "prod/compat").replace("way/claude", "way/anthropic/claude"),
    );
    let variables = [("CF_AIG_TOKEN", "t")];
    let ran = sandbox.genesis_in(&["models", "list"], &variables, "").ok();
    assert!(
        ran.line("cloudflare-ai-gateway/anthropic/claude-sonnet-4-6")
            .ends_with("$3.00 $15.00 header:cf-aig-authorization default"),
        "{ran:?}"
    );
}

#[test]
fn credentials_say_where_they_were_found() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "genesis.json",
        "{ models: { providers: { mistral: { apiKey: 'k' }, groq: { apiKey: '${UNSET}' }, openai: { providerAuth: 'stored' } } },
           env: { DEEPSEEK_API_KEY: 'k' } }",
    );
    sandbox.piped(&["key", "set", "anthropic"], "sk-ant-api03-abcdefghijklmnopqrstuvwxyz").ok();
    let of = |provider: &str, variables: &[(&str, &str)]| {
        let ran = sandbox
            .genesis_in(&["models", "list", "--provider", provider, "--json"], variables, "")
            .ok()
            .json();
        ran["models"][0]["credential"].as_str().unwrap().to_owned()
    };
    assert_eq!(of("anthropic", &[]), "stored");
    assert_eq!(of("anthropic", &[("ANTHROPIC_API_KEY", "k")]), "env:ANTHROPIC_API_KEY");
    assert_eq!(of("anthropic", &[("ANTHROPIC_API_KEY", " ")]), "stored", "empty is missing");
    assert_eq!(of("mistral", &[]), "config");
    assert_eq!(of("groq", &[]), "none");
    assert_eq!(of("deepseek", &[]), "config env:DEEPSEEK_API_KEY");
    assert_eq!(of("openai", &[]), "gateway");
}

#[test]
fn described_models_tags_and_what_does_not_exist() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "genesis.json",
        "{ agents: { defaults: {
             model: { primary: 'fast', fallbacks: ['llama/big', 'anthropic/claude-sonet-4-6'] },
             models: { 'anthropic/claude-haiku-4-5': { alias: 'fast' } } } },
           models: { providers: { llama: { baseUrl: 'http://127.0.0.1:8000/v1', models: [
             { id: 'big', name: 'Big', input: ['text', 'image'], contextWindow: 200000, contextTokens: 100000, maxTokens: 8192,
               cost: { input: 0.5, output: 1.25 } } ] } } } }",
    );
    let ran = sandbox.genesis(&["models", "list"]).ok();
    assert_eq!(
        ran.line("llama/big"),
        "llama/big text+image 100k/200k 8k - $0.50 $1.25 none fallback#1,configured"
    );
    assert!(
        ran.line("anthropic/claude-haiku-4-5").ends_with("none default,configured,alias:fast"),
        "{ran:?}"
    );
    assert!(ran.line("anthropic/claude-sonet-4-6").ends_with("fallback#2,missing"), "{ran:?}");
    let ran = sandbox.genesis(&["models", "list", "--plain"]).ok();
    assert_eq!(keys(&ran), ["anthropic/claude-haiku-4-5", "llama/big", "anthropic/claude-sonet-4-6"]);
    assert_eq!(ran.stderr, "");
    let list = sandbox.genesis(&["models", "list", "--json"]).ok().json();
    let big = find(&list, "llama/big");
    assert_eq!(big["cost"], json!({"input": 0.5, "output": 1.25}));
    assert_eq!((&big["local"], &big["maxTokens"], &big["name"]), (&json!(true), &json!(8192), &json!("Big")));
}

#[test]
fn long_lists_are_cut_and_it_is_said() {
    let sandbox = Sandbox::new();
    let variables = [("OPENROUTER_API_KEY", "k")];
    let run = |args: &[&str]| {
        sandbox.genesis_in(&[&["models", "list", "--plain"], args].concat(), &variables, "").ok()
    };
    let ran = run(&[]).says(&["more of openrouter: `genesis models list --provider openrouter`"]);
    assert_eq!(keys(&ran).len(), 30);
    let openai = sandbox.genesis_in(&["models", "list", "--plain"], &[("OPENAI_API_KEY", "k")], "").ok();
    assert!(
        keys(&openai).contains(&"openai/gpt-5") && !keys(&openai).contains(&"openai/davinci"),
        "{openai:?}"
    );
    let whole = run(&["--provider", "openrouter"]);
    assert!(keys(&whole).len() > 100);
    assert_eq!(whole.stderr, "");
    let all = run(&["--all"]);
    assert!(keys(&all).len() > keys(&whole).len());
    assert!(keys(&all).iter().any(|key| key.starts_with("anthropic/")));
    assert!(!keys(&all).iter().any(|key| key.starts_with("cloudflare-ai-gateway/")), "none is set up");
    sandbox
        .genesis(&["models", "list", "--provider", "antropic"])
        .fails(1, &["`antropic`", "did you mean `anthropic`?"]);
    sandbox.genesis(&["models", "list", "--json", "--plain"]).fails(2, &["--plain"]);
}

#[test]
fn set_writes_the_default_and_keeps_the_rest() {
    let sandbox = Sandbox::new();
    sandbox.write("genesis.json", PAGE);
    let ran = sandbox.genesis(&["models", "set", "Anthropic/claude-opus-4-6"]).ok();
    assert_eq!(
        (ran.stdout.as_str(), ran.stderr.as_str()),
        ("", "the default model is anthropic/claude-opus-4-6\n")
    );
    assert_eq!(
        text(&sandbox),
        PAGE.replace("cloudflare-ai-gateway/claude-sonnet-4-6", "anthropic/claude-opus-4-6")
    );
    assert_eq!(fs::read_to_string(sandbox.home().join("genesis.json.bak")).unwrap(), PAGE);
    sandbox.genesis(&["models", "set", "anthropic/claude-opus-4-6"]).ok().says(&["already"]);

    // Written as one text, it stays one.
    sandbox.write("genesis.json", "{ agents: { defaults: { model: 'a/b' } } }");
    sandbox.genesis(&["models", "set", "anthropic/claude-sonnet-4-5-20250929"]).ok();
    assert_eq!(
        text(&sandbox),
        "{ agents: { defaults: { model: \"anthropic/claude-sonnet-4-5-20250929\" } } }"
    );

    let fresh = Sandbox::new();
    fresh.genesis(&["models", "set", "anthropic/claude-opus-4-6"]).ok();
    assert_eq!(mode(&fresh.home().join("genesis.json")), 0o600);
    assert!(text(&fresh).contains("primary: \"anthropic/claude-opus-4-6\""));
}

#[test]
fn a_near_miss_is_told_and_nothing_is_written() {
    let sandbox = Sandbox::new();
    let set = |args: &[&str]| sandbox.genesis(&[&["models", "set"], args].concat());
    set(&["anthropic/claude-sonet-4-6"])
        .fails(1, &["Anthropic has no model", "did you mean `anthropic/claude-sonnet-4-6`?", "--force"]);
    set(&["antropic/claude-sonnet-4-6"])
        .fails(1, &["no provider", "did you mean `anthropic/claude-sonnet-4-6`?"]);
    set(&["claude-sonnet-4-6"])
        .fails(1, &["neither `provider/model` nor an alias", "`anthropic/claude-sonnet-4-6`"]);
    set(&["openai/claude-sonnet-4-6"]).fails(1, &["`anthropic/claude-sonnet-4-6`"]);
    assert!(!sandbox.home().exists());
    set(&["anthropic/claude-next", "--force"]).ok();
    assert!(text(&sandbox).contains("anthropic/claude-next"));
}

#[test]
fn fallbacks_are_kept_in_order() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "genesis.json",
        "{\n  agents: { defaults: { model: 'anthropic/claude-opus-4-6' } }, // mine\n}\n",
    );
    let run = |args: &[&str]| sandbox.genesis(&[&["models", "fallbacks"], args].concat());
    run(&["list"]).ok().says(&["no fallbacks"]);
    run(&["add", "anthropic/claude-sonnet-4-6"]).ok().says(&["is fallback 1"]);
    run(&["add", "anthropic/claude-haiku-4-5"]).ok().says(&["is fallback 2"]);
    run(&["add", "anthropic/claude-haiku-4-5"]).ok().says(&["a fallback already"]);
    run(&["add", "anthropic/claude-haku-4-5"]).fails(1, &["did you mean"]);
    assert_eq!(run(&["list"]).ok().stdout, "anthropic/claude-sonnet-4-6\nanthropic/claude-haiku-4-5\n");
    assert!(
        text(&sandbox).contains("// mine")
            && text(&sandbox).contains("primary: \"anthropic/claude-opus-4-6\"")
    );

    run(&["remove", "anthropic/claude-sonet-4-6"]).fails(1, &["did you mean `anthropic/claude-sonnet-4-6`?"]);
    run(&["remove", "anthropic/claude-sonnet-4-6"]).ok();
    assert_eq!(run(&["list", "--json"]).ok().json(), json!(["anthropic/claude-haiku-4-5"]));
    run(&["clear"]).ok();
    assert_eq!(run(&["list", "--json"]).ok().json(), json!([]));
    run(&["clear"]).ok();
}

#[test]
fn aliases_name_models() {
    let sandbox = Sandbox::new();
    let run = |args: &[&str]| sandbox.genesis(&[&["models", "aliases"], args].concat());
    run(&["list"]).ok().says(&["no aliases"]);
    run(&["add", "fast", "anthropic/claude-haiku-4-5"]).ok().says(&["fast is anthropic/claude-haiku-4-5"]);
    run(&["add", "fast", "anthropic/claude-opus-4-6"])
        .fails(1, &["an alias of anthropic/claude-haiku-4-5 already"]);
    run(&["add", "a b", "anthropic/claude-opus-4-6"]).fails(2, &["cannot be an alias"]);
    assert_eq!(run(&["list", "--json"]).ok().json(), json!({"fast": "anthropic/claude-haiku-4-5"}));
    assert_eq!(run(&["list"]).ok().line("fast"), "fast anthropic/claude-haiku-4-5");

    sandbox.genesis(&["models", "set", "FAST"]).ok().says(&["anthropic/claude-haiku-4-5"]);
    sandbox.genesis(&["models", "set", "fats"]).fails(1, &["did you mean the alias `fast`?"]);
    run(&["remove", "fats"]).fails(1, &["did you mean `fast`?"]);
    run(&["remove", "fast"]).ok();
    assert!(!text(&sandbox).contains("claude-haiku-4-5\":"), "{}", text(&sandbox));
    assert!(text(&sandbox).contains("primary: \"anthropic/claude-haiku-4-5\""));
}

#[test]
fn every_help_has_examples() {
    for command in ["list", "status", "set", "fallbacks", "aliases", "auth"] {
        let ran = Sandbox::new().genesis(&["models", command, "--help"]).ok();
        assert!(ran.stdout.contains("Examples:"), "{ran:?}");
    }
}

#[test]
fn status_shows_the_credential_that_wins_and_those_it_stands_before() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "genesis.json",
        "{ agents: { defaults: { model: { primary: 'anthropic/claude-sonnet-4-6', fallbacks: ['openai/gpt-5'] },
             models: { 'openai/gpt-5': { alias: 'big' } } } },
           models: { providers: { anthropic: { apiKey: 'MARK3R-config' } } } }",
    );
    sandbox.write(".env", "ANTHROPIC_API_KEY=MARK3R-dot-env\n");
    sandbox.piped(&["key", "set", "anthropic"], "sk-ant-MARK3R-stored").ok();
    let variables = [("ANTHROPIC_API_KEY", "MARK3R-process")];
    let ran = sandbox.genesis_in(&["models", "status"], &variables, "").ok();
    assert_eq!(
        ran.line("anthropic "),
        "anthropic env:ANTHROPIC_API_KEY .env:ANTHROPIC_API_KEY, stored, config claude-sonnet-4-6"
    );
    assert_eq!(ran.line("openai"), "openai none - gpt-5");
    assert_eq!(ran.line("default"), "default anthropic/claude-sonnet-4-6");
    assert_eq!(ran.line("fallbacks"), "fallbacks openai/gpt-5");
    assert_eq!(ran.line("aliases"), "aliases big = openai/gpt-5");
    assert!(!ran.stdout.contains("MARK3R") && !ran.stderr.contains("MARK3R"), "{ran:?}");

    let said = sandbox.genesis_in(&["models", "status", "--json"], &variables, "").ok().json();
    assert_eq!(said["missing"], json!(["openai/gpt-5"]));
    assert_eq!(said["providers"][0]["standsBefore"], json!([".env:ANTHROPIC_API_KEY", "stored", "config"]));
    let plain = sandbox.genesis(&["models", "status", "--plain"]).ok();
    assert_eq!(plain.stdout, "anthropic/claude-sonnet-4-6\n");
    let checked = sandbox.genesis(&["models", "status", "--check"]);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    checked.says(&["no credential was found for openai/gpt-5"]);
    sandbox.genesis_in(&["models", "status", "--check"], &[("OPENAI_API_KEY", "k")], "").ok();
    Sandbox::new()
        .genesis(&["models", "status", "--check", "--plain"])
        .fails(1, &["no default model", "genesis onboard"]);
    Sandbox::new().genesis(&["models", "status", "--probe", "--plain"]).fails(2, &["no model to call"]);
}

#[test]
fn a_probe_is_one_small_call_and_its_failure_counts() {
    let answering = Upstream::start(|_| {
        json_answer(
            "200 OK",
            r#"{"id":"m","type":"message","role":"assistant","model":"m","stop_reason":"end_turn",
                "content":[{"type":"text","text":"OK"}],"usage":{"input_tokens":1,"output_tokens":1}}"#,
        )
    });
    let refusing = Upstream::start(|_| {
        json_answer(
            "401 Unauthorized",
            r#"{"error":{"message":"Incorrect API key provided","type":"invalid_request_error"}}"#,
        )
    });
    let sandbox = Sandbox::new();
    sandbox.write(
        "genesis.json",
        &format!(
            "{{ agents: {{ defaults: {{ model: {{ primary: 'anthropic/claude-sonnet-4-6', fallbacks: ['openai/gpt-5'] }} }} }},
               models: {{ providers: {{ anthropic: {{ baseUrl: 'http://{}' }}, openai: {{ baseUrl: 'http://{}' }} }} }} }}",
            answering.address, refusing.address
        ),
    );
    let variables = [("ANTHROPIC_API_KEY", "MARK3R-a"), ("OPENAI_API_KEY", "MARK3R-o")];
    let run = |args: &[&str]| {
        sandbox.genesis_in(&[&["models", "status", "--probe"], args].concat(), &variables, "")
    };
    let ran = run(&["--probe-provider", "anthropic"]).ok();
    assert!(
        ran.line("anthropic/claude-sonnet-4-6 ").starts_with("anthropic/claude-sonnet-4-6 ok"),
        "{ran:?}"
    );
    let received = answering.received();
    assert_eq!((received.len(), refusing.received().len()), (1, 0));
    let body: Value = serde_json::from_slice(&received[0].body).unwrap();
    assert!(body.get("tools").is_none() && received[0].body.len() < 500, "{body}");

    let ran = run(&["--json"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let probes = ran.json()["probes"].clone();
    assert_eq!((&probes[0]["status"], &probes[1]["status"]), (&json!("ok"), &json!("auth")));
    assert_eq!(refusing.received().len(), 1, "once");
    assert!(!ran.stdout.contains("MARK3R") && !ran.stderr.contains("MARK3R"), "{ran:?}");
    let ran = run(&["--probe-model", "anthropic/claude-haiku-4-5"]).ok();
    assert!(ran.stdout.contains("anthropic/claude-haiku-4-5"), "{ran:?}");
    assert_eq!(run(&["--probe-model", "nothing/at-all"]).code, Some(2));
}

#[test]
fn auth_is_short_for_key() {
    let sandbox = Sandbox::new();
    let run = |args: &[&str], stdin: &str| sandbox.piped(&[&["models", "auth"], args].concat(), stdin);
    run(&["paste-api-key", "--provider", "mistral"], "sk-MARK3R-1234567890\n")
        .ok()
        .says(&["stored the key for mistral"]);
    let ran = run(&["list"], "").ok();
    assert!(ran.line("mistral").starts_with("mistral default all stored"), "{ran:?}");
    assert!(!ran.stdout.contains("MARK3R"), "{ran:?}");
    run(&["remove", "--provider", "mistral"], "").ok().says(&["removed the key for mistral"]);
    run(&["paste-api-key", "--provider", "mistrall"], "k").fails(2, &["did you mean `mistral`?"]);
}
