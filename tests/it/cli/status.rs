//! `genesis status`, `genesis completion`, `genesis man`

use std::fs;
use std::process::Command;
use std::time::SystemTime;

use genesis_store::{LogRecord, Outcome};
use uuid::Uuid;

use super::sandbox::{Sandbox, record};

#[test]
fn one_screen_says_how_things_stand() {
    let sandbox = Sandbox::new();
    sandbox.genesis(&["status"]).ok().says(&["genesis onboard"]);
    assert!(!sandbox.home().exists(), "looking creates nothing");

    sandbox.write(
        "genesis.json",
        "{ agents: { defaults: { model: { primary: 'anthropic/claude-sonnet-4-6' } } } }",
    );
    sandbox.write(".env", "ANTHROPIC_API_KEY=sk-ant-marker\n");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let created_at_ms = i64::try_from(now.as_millis()).unwrap();
    let answered = LogRecord { created_at_ms, ..record(1) };
    let failed = LogRecord {
        id: Uuid::now_v7(),
        created_at_ms,
        status: 503,
        outcome: Outcome::ProviderError,
        error: "Overloaded".into(),
        ..record(2)
    };
    let id = failed.id.to_string();
    sandbox.log([answered, failed].map(|record| (record, None)));
    let ran = sandbox.genesis(&["status"]).ok();
    for expected in [
        "anthropic/claude-sonnet-4-6",
        "anthropic (.env:ANTHROPIC_API_KEY)",
        "2 calls, 1 failed",
        "503 Overloaded",
        &id[..13],
    ] {
        assert!(ran.stdout.contains(expected), "{expected}: {}", ran.stdout);
    }
    let json = sandbox.genesis(&["status", "--json"]).ok().json();
    assert_eq!(json["keys"][0]["credential"], ".env:ANTHROPIC_API_KEY");
    assert_eq!(json["lastFailure"]["id"], id);
    assert_eq!(json["gateway"]["installed"], false);
    assert!(!ran.stdout.contains("sk-ant-marker"));
}

#[test]
fn completions_are_scripts_their_shells_accept() {
    let sandbox = Sandbox::new();
    for (shell, word) in
        [("bash", "complete -F"), ("zsh", "#compdef genesis"), ("fish", "complete -c genesis")]
    {
        let ran = sandbox.genesis(&["completion", shell]).ok();
        assert!(ran.stdout.contains(word), "{shell}");
        if shell == "bash" {
            let file = sandbox.path("completion");
            fs::write(&file, &ran.stdout).unwrap();
            let checked = Command::new("bash").arg("-n").arg(&file).output().unwrap();
            assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        }
    }
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let sandbox = Sandbox::new();
    assert!(sandbox.genesis(&["man"]).ok().stdout.contains(".TH genesis 1"));
    let folder = sandbox.path("man");
    sandbox.genesis(&["man", "--dir", folder.to_str().unwrap()]).ok();
    for page in ["genesis.1", "genesis-gateway.1", "genesis-gateway-install.1", "genesis-models-list.1"] {
        assert!(folder.join(page).exists(), "{page}");
    }
}
