//! `genesis onboard` at a terminal, driven with keys.

use std::fs;

use super::sandbox::{Sandbox, mode};
use crate::terminal::{CONTROL_C, DOWN, ENTER, ESCAPE, Terminal};

const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";
const KEY: &str = "sk-ant-api03-MARK3R-abcdefghijklmnop";

fn onboard(sandbox: &Sandbox, args: &[&str]) -> Terminal {
    let mut command = sandbox.command(&[&["onboard"], args].concat());
    command.env("TERM", "xterm-256color");
    Terminal::start(command)
}

#[test]
fn cloudflare_with_a_key_from_the_first_question_to_the_last() {
    let sandbox = Sandbox::new();
    let mut terminal = onboard(&sandbox, &["--no-verify"]);
    terminal.answer("Where do your calls to models go?", ENTER);
    terminal.answer("Cloudflare account id", &format!("{ACCOUNT}{ENTER}"));
    terminal.answer("Gateway id", &format!("prod{ENTER}"));
    terminal.answer("Anthropic API key", &format!("{KEY}{ENTER}"));
    terminal.answer("Gateway token", ENTER);
    terminal.answer("Default model", ENTER);
    terminal.expect("Write it");
    assert!(!sandbox.home().exists(), "nothing is written before the last answer");
    terminal.press(ENTER);
    let (code, drawn) = terminal.end();
    assert_eq!(code, Some(0), "{drawn}");
    assert!(drawn.contains("is set up") && drawn.contains("genesis agent --message"), "{drawn}");
    assert!(!drawn.contains("MARK3R"), "{drawn}");

    let config = fs::read_to_string(sandbox.home().join("genesis.json")).unwrap();
    assert!(
        config.contains(&format!("https://gateway.ai.cloudflare.com/v1/{ACCOUNT}/prod/anthropic")),
        "{config}"
    );
    assert!(config.contains("primary: \"cloudflare-ai-gateway/claude-sonnet-4-6\""), "{config}");
    let dot_env = sandbox.home().join(".env");
    assert_eq!(fs::read_to_string(&dot_env).unwrap(), format!("CLOUDFLARE_AI_GATEWAY_API_KEY={KEY}\n"));
    assert_eq!((mode(&dot_env), mode(&sandbox.home().join("genesis.json"))), (0o600, 0o600));
}

#[test]
fn going_back_changes_an_answer_and_bad_ones_are_asked_again() {
    let sandbox = Sandbox::new();
    let mut terminal = onboard(&sandbox, &["--no-verify"]);
    terminal.answer("Where do your calls to models go?", &format!("{DOWN}{ENTER}"));
    terminal.answer("Cloudflare account id", &format!("not an id{ENTER}"));
    terminal.answer("has a blank in it", "");
    terminal.answer("Cloudflare account id", &format!("abc{ENTER}"));
    terminal.answer("32 hex digits", "");
    terminal.answer("Correct it", ENTER);
    terminal.answer("Cloudflare account id", ESCAPE);
    terminal.answer("Where do your calls to models go?", &format!("{DOWN}{ENTER}"));
    // The whole address answers both questions.
    terminal.answer(
        "Cloudflare account id",
        &format!("https://gateway.ai.cloudflare.com/v1/{ACCOUNT}/prod/compat{ENTER}"),
    );
    terminal.answer("Gateway token", &format!("{KEY}{ENTER}"));
    terminal.answer("a key of Anthropic", "");
    terminal.answer("Gateway token", &format!(" 'MARK3R-token' {ENTER}"));
    terminal.answer("Default model", &format!("anthropic/claude-opus-4-6{ENTER}"));
    terminal.answer("Go back", &format!("{DOWN}{ENTER}"));
    terminal.answer("Default model", &format!("anthropic/claude-sonnet-4-5{ENTER}"));
    terminal.answer("Write it", ENTER);
    let (code, drawn) = terminal.end();
    assert_eq!(code, Some(0), "{drawn}");
    assert!(!drawn.contains("MARK3R"), "{drawn}");
    let config = fs::read_to_string(sandbox.home().join("genesis.json")).unwrap();
    for part in [
        "/prod/compat",
        "providerAuth: \"stored\"",
        "\"cf-aig-authorization\": \"Bearer ${CF_AIG_TOKEN}\"",
        "primary: \"cloudflare-ai-gateway/anthropic/claude-sonnet-4-5\"",
    ] {
        assert!(config.contains(part), "{config}");
    }
    let dot_env = fs::read_to_string(sandbox.home().join(".env")).unwrap();
    assert_eq!(dot_env, "CF_AIG_TOKEN=MARK3R-token\n");
}

/// The page's interactive command, with all it knows on the command line.
#[test]
fn what_the_command_line_says_is_not_asked() {
    let sandbox = Sandbox::new();
    let mut terminal = onboard(
        &sandbox,
        &[
            "--no-verify",
            "--auth-choice",
            "cloudflare-ai-gateway-api-key",
            "--cloudflare-ai-gateway-account-id",
            ACCOUNT,
            "--cloudflare-ai-gateway-gateway-id",
            "prod",
            "--cloudflare-ai-gateway-api-key",
            KEY,
        ],
    );
    terminal.answer("Gateway token", ENTER);
    terminal.answer("Default model", ENTER);
    terminal.answer("Write it", ENTER);
    let (code, drawn) = terminal.end();
    assert_eq!(code, Some(0), "{drawn}");
    for asked in ["Where do your calls", "account id", "Gateway id", "API key"] {
        assert!(!drawn.contains(asked), "{asked}: {drawn}");
    }
    assert!(!drawn.contains("MARK3R"), "{drawn}");
}

#[test]
fn stopping_at_any_question_leaves_no_file() {
    let steps = [
        ("Where do your calls to models go?", ENTER.to_owned()),
        ("Cloudflare account id", format!("{ACCOUNT}{ENTER}")),
        ("Gateway id", format!("prod{ENTER}")),
        ("Anthropic API key", format!("{KEY}{ENTER}")),
        ("Gateway token", ENTER.to_owned()),
        ("Default model", ENTER.to_owned()),
        ("Write it", String::new()),
    ];
    for stop in 0..steps.len() {
        let sandbox = Sandbox::new();
        let mut terminal = onboard(&sandbox, &[]);
        for (question, keys) in &steps[..stop] {
            terminal.answer(question, keys);
        }
        terminal.answer(steps[stop].0, CONTROL_C);
        let (code, drawn) = terminal.end();
        assert_eq!(code, Some(1), "{drawn}");
        assert!(drawn.contains("cancelled; nothing was written"), "{drawn}");
        assert!(!sandbox.home().exists(), "stopped at {}: {drawn}", steps[stop].0);
    }
}

#[test]
fn back_from_the_first_question_is_out() {
    let sandbox = Sandbox::new();
    let mut terminal = onboard(&sandbox, &[]);
    terminal.answer("Where do your calls to models go?", ESCAPE);
    let (code, drawn) = terminal.end();
    assert_eq!(code, Some(1), "{drawn}");
    assert!(!sandbox.home().exists());
}

#[test]
fn a_key_that_is_there_is_offered() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["onboard", "--no-verify", "--auth-choice", "openai-api-key"]);
    command.env("OPENAI_API_KEY", "sk-MARK3R-in-the-process");
    let mut terminal = Terminal::start(command);
    terminal.answer("Use OPENAI_API_KEY (process environment)", ENTER);
    terminal.answer("Default model", ENTER);
    terminal.answer("Write it", ENTER);
    let (code, drawn) = terminal.end();
    assert_eq!(code, Some(0), "{drawn}");
    assert!(!drawn.contains("MARK3R"), "{drawn}");
    assert!(!sandbox.home().join(".env").exists(), "it stays where it is");
}

#[test]
fn a_genesis_gateway_on_this_machine() {
    let sandbox = Sandbox::new();
    let mut terminal = onboard(&sandbox, &["--no-verify"]);
    terminal.answer("Where do your calls to models go?", &format!("{DOWN}{DOWN}{ENTER}"));
    terminal.answer("Where does the gateway listen?", ENTER);
    terminal.answer("Make one for this machine's gateway", ENTER);
    terminal.answer("Default model", ENTER);
    terminal.answer("Write it", ENTER);
    let (code, drawn) = terminal.end();
    assert_eq!(code, Some(0), "{drawn}");
    assert!(drawn.contains("genesis gateway run"), "{drawn}");
    let config = fs::read_to_string(sandbox.home().join("genesis.json")).unwrap();
    assert!(config.contains("http://127.0.0.1:18789/v1/default/default/compat"), "{config}");
    let dot_env = fs::read_to_string(sandbox.home().join(".env")).unwrap();
    let token = dot_env.trim().strip_prefix("GENESIS_GATEWAY_TOKEN=").unwrap();
    assert!(!drawn.contains(token), "it is not shown: {drawn}");
    assert_eq!(sandbox.genesis(&["token", "list", "--json"]).ok().json()[0]["name"], "onboard");
}

#[test]
fn everything_is_asked_where_that_is_wanted() {
    let sandbox = Sandbox::new();
    let mut terminal = onboard(&sandbox, &["--no-verify", "--flow", "manual"]);
    terminal.answer("Where do your calls to models go?", ENTER);
    terminal.answer("Cloudflare account id", &format!("{ACCOUNT}{ENTER}"));
    terminal.answer("Gateway id", &format!("prod{ENTER}"));
    terminal.answer("What do you want to call there?", &format!("{DOWN}{ENTER}"));
    terminal.answer("provider API key", &format!("{KEY}{ENTER}"));
    terminal.answer("Gateway token", ENTER);
    // Typed letters find a name, the arrow takes it.
    terminal.answer("Default model", "openai/gpt-5.5");
    terminal.answer("openai/gpt-5.5-pro", ENTER);
    terminal.answer("Write it", ENTER);
    let (code, drawn) = terminal.end();
    assert_eq!(code, Some(0), "{drawn}");
    let config = fs::read_to_string(sandbox.home().join("genesis.json")).unwrap();
    assert!(
        config.contains("/prod/compat") && config.contains("cloudflare-ai-gateway/openai/gpt-5.5\""),
        "{config}"
    );
}

/// Ids that are known from the environment or an earlier run are proposed, not asked from nothing.
#[test]
fn what_is_known_is_proposed() {
    let sandbox = Sandbox::new();
    sandbox.write(".env", &format!("CLOUDFLARE_ACCOUNT_ID={ACCOUNT}\nCF_AI_GATEWAY_GATEWAY_ID=prod\n"));
    let mut terminal = onboard(&sandbox, &["--no-verify", "--auth-choice", "cloudflare-ai-gateway-api-key"]);
    terminal.answer(&format!("Cloudflare account id ({ACCOUNT})"), ENTER);
    terminal.answer("Gateway id (prod)", ENTER);
    terminal.answer("Anthropic API key", &format!("{KEY}{ENTER}"));
    terminal.answer("Gateway token", ENTER);
    terminal.answer("Default model", ENTER);
    terminal.answer("Write it", ENTER);
    let (code, drawn) = terminal.end();
    assert_eq!(code, Some(0), "{drawn}");
    let config = fs::read_to_string(sandbox.home().join("genesis.json")).unwrap();
    assert!(config.contains(&format!("/v1/{ACCOUNT}/prod/anthropic")), "{config}");
}
