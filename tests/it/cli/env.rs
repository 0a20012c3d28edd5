//! `genesis env`, and that the sources of variables come in the order the documents say.

use std::fs;

use serde_json::{Value, json};

use super::sandbox::{Ran, Sandbox};

fn row(ran: &Ran, name: &str) -> Value {
    let said = ran.json();
    let mut rows = said["variables"].as_array().unwrap().iter();
    rows.find(|row| row["name"] == name).cloned().unwrap_or_else(|| panic!("{name}: {said}"))
}

/// A login shell whose start-up file says this.
fn profile(sandbox: &Sandbox, text: &str) {
    fs::write(sandbox.home().parent().unwrap().join(".profile"), text).unwrap();
}

#[test]
fn every_source_is_named_and_none_shown() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "genesis.json",
        "{ models: { providers: { openai: { headers: { 'x-a': 'Bearer ${MY_TOKEN}' } } } },
           env: { OPENAI_API_KEY: 'MARK3R-block', DEEPSEEK_API_KEY: 'MARK3R-block', shellEnv: { enabled: true } } }",
    );
    sandbox.write(".env", "OPENAI_API_KEY=MARK3R-dot\nMISTRAL_API_KEY=MARK3R-dot\nEMPTY=\n");
    profile(
        &sandbox,
        "export GROQ_API_KEY=MARK3R-shell OPENAI_API_KEY=MARK3R-shell MISTRAL_API_KEY=MARK3R-shell\n",
    );
    let variables = [("OPENAI_API_KEY", "MARK3R-process"), ("SHELL", "/bin/sh"), ("DEEPSEEK_API_KEY", "")];
    let ran = sandbox.genesis_in(&["env", "--json"], &variables, "").ok();
    for (name, source, before) in [
        ("OPENAI_API_KEY", json!("process"), json!(["dot-env", "config-env", "login-shell"])),
        ("MISTRAL_API_KEY", json!("dot-env"), json!(["login-shell"])),
        // Empty counts as missing.
        ("DEEPSEEK_API_KEY", json!("config-env"), json!([])),
        // Imported although other keys are set.
        ("GROQ_API_KEY", json!("login-shell"), json!([])),
        ("MY_TOKEN", Value::Null, json!([])),
    ] {
        let row = row(&ran, name);
        assert_eq!((&row["source"], &row["standsBefore"]), (&source, &before), "{name}");
    }
    assert_eq!(row(&ran, "MY_TOKEN")["usedBy"], json!(["models.providers.openai.headers.x-a"]));
    let table = sandbox.genesis_in(&["env"], &variables, "").ok();
    assert!(table.line("MY_TOKEN").starts_with("MY_TOKEN not set"), "{table:?}");
    assert!(table.line("openai").ends_with("env:OPENAI_API_KEY"), "{table:?}");
    for ran in [&ran, &table] {
        assert!(!ran.stdout.contains("MARK3R") && !ran.stderr.contains("MARK3R"), "{ran:?}");
    }
}

#[test]
fn keys_of_the_store_are_among_them() {
    let sandbox = Sandbox::new();
    sandbox.piped(&["key", "set", "anthropic"], "sk-ant-MARK3R").ok();
    let ran = sandbox.genesis(&["env"]).ok();
    assert_eq!(ran.line("anthropic"), "anthropic stored");
    let keys = sandbox.genesis(&["env", "--json"]).ok().json();
    assert_eq!(keys["keys"], json!([{"provider": "anthropic", "credential": "stored"}]));
}

#[test]
fn one_variable_can_be_asked_for() {
    let sandbox = Sandbox::new();
    sandbox.write(".env", "ANYTHING=1\n");
    let ran = sandbox.genesis(&["env", "ANYTHING"]).ok();
    assert_eq!(ran.line("ANYTHING"), "ANYTHING .env in the genesis folder - -");
    let ran = sandbox.genesis(&["env", "NOTHING"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    ran.says(&["not set: NOTHING"]);
    Sandbox::new().genesis_in(&["env"], &[], "").ok();
}

#[test]
fn a_folder_one_happens_to_stand_in_decides_nothing() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.home().parent().unwrap().join(".env"), "OPENAI_API_KEY=MARK3R-cwd\n").unwrap();
    assert_eq!(sandbox.genesis(&["env", "OPENAI_API_KEY"]).code, Some(1));
    sandbox.write("genesis.json", "{ env: { cwdDotEnv: true } }");
    let ran = sandbox.genesis(&["env", "OPENAI_API_KEY", "--json"]).ok();
    assert_eq!(row(&ran, "OPENAI_API_KEY")["source"], "cwd-dot-env");
}

#[test]
fn a_shell_that_hangs_costs_its_time_limit_and_no_more() {
    let sandbox = Sandbox::new();
    sandbox.write("genesis.json", "{ env: { A: '1', shellEnv: { enabled: true, timeoutMs: 200 } } }");
    profile(&sandbox, "export OPENAI_API_KEY=x\nwhile :; do sleep 1; done\n");
    let begun = std::time::Instant::now();
    let ran = sandbox.genesis_in(&["env", "A", "--json"], &[("SHELL", "/bin/sh")], "").ok();
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
    let ran = ran.says(&["did not answer within 200 ms", ".env"]);
    assert_eq!(row(&ran, "A")["source"], "config-env");
}

/// The flag outranks the variable of the same meaning.
#[test]
fn flags_come_first() {
    let sandbox = Sandbox::new();
    sandbox.write(".env", "OPENAI_API_KEY=from-dot-env\n");
    let args = [
        "onboard",
        "--non-interactive",
        "--auth-choice",
        "openai-api-key",
        "--openai-api-key",
        "from-the-flag",
    ];
    sandbox.genesis(&args).ok();
    assert_eq!(fs::read_to_string(sandbox.home().join(".env")).unwrap(), "OPENAI_API_KEY=from-the-flag\n");
}
