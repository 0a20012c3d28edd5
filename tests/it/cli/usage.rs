//! `genesis usage`

use genesis_store::{LogRecord, Outcome};
use serde_json::json;

use super::sandbox::{Sandbox, record};

fn logged() -> Sandbox {
    let sandbox = Sandbox::new();
    let failed = LogRecord {
        status: 529,
        outcome: Outcome::ProviderError,
        usage: None,
        cost_nano_usd: None,
        ..record(2)
    };
    let unpriced =
        LogRecord { provider: "openai".into(), model: "gpt-6".into(), cost_nano_usd: None, ..record(3) };
    let next_day = LogRecord {
        gateway: "test".into(),
        cost_nano_usd: Some(2_000_000_000),
        simulated: true,
        ..record(90_000)
    };
    sandbox.log([record(1), failed, unpriced, next_day].map(|record| (record, None)));
    sandbox
}

#[test]
fn nothing_yet_says_how_to_start() {
    let sandbox = Sandbox::new();
    let ran = sandbox.genesis(&["usage"]).ok().says(&["genesis dev"]);
    assert_eq!(ran.stdout, "");
    assert_eq!(sandbox.genesis(&["usage", "--json"]).ok().json()["total"]["requests"], 0);
    assert!(!sandbox.home().exists(), "looking creates nothing");
}

#[test]
fn totals_by_model_with_exact_cost_and_bars() {
    let sandbox = logged();
    let ran = sandbox.genesis(&["usage"]).ok();
    assert!(ran.stdout.starts_with("MODEL "), "{ran:?}");
    assert_eq!(
        ran.line("anthropic/claude-sonnet-4-6"),
        "anthropic/claude-sonnet-4-6 3 1 0 224 68 $2.000123 ████████████████████"
    );
    assert_eq!(ran.line("openai/gpt-6"), "openai/gpt-6 1 0 0 112 34 -");
    assert_eq!(ran.line("total"), "total 4 1 0 336 102 ≥ $2.000123");
    let ran = ran.says(&[
        "1 call without a known cost",
        "models.providers",
        "1 call answered by the simulator; $2.00 of",
    ]);
    assert!(!ran.stdout.contains('\u{1b}'), "{ran:?}");
}

#[test]
fn bars_show_requests_where_nothing_has_a_cost() {
    let sandbox = Sandbox::new();
    let free = |number, provider: &str| LogRecord {
        provider: provider.into(),
        cost_nano_usd: None,
        ..record(number)
    };
    sandbox.log([free(1, "ollama"), free(2, "ollama"), free(3, "lab")].map(|record| (record, None)));
    let ran = sandbox.genesis(&["usage", "--by", "provider"]).ok();
    assert!(ran.line("ollama").ends_with(" - ████████████████████"), "{ran:?}");
    assert!(ran.line("lab").ends_with(" - ██████████"), "{ran:?}");
}

#[test]
fn every_way_to_group() {
    let sandbox = logged();
    let keys = |by: &str| -> Vec<String> {
        let report = sandbox.genesis(&["usage", "--by", by, "--json"]).ok().json();
        assert_eq!(report["by"], by);
        report["rows"].as_array().unwrap().iter().map(|row| row["key"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(keys("provider"), ["anthropic", "openai"]);
    assert_eq!(keys("gateway"), ["prod", "test"]);
    assert_eq!(keys("day"), ["2024-03-01", "2024-03-02"]);
    assert_eq!(keys("hour"), ["2024-03-01T12:00Z", "2024-03-02T13:00Z"]);
    assert_eq!(keys("outcome"), ["success", "provider_error"]);
    let shown = sandbox.genesis(&["usage", "--by", "outcome"]).ok();
    assert!(shown.line("provider error").starts_with("provider error 1 1"), "{shown:?}");
}

#[test]
fn filters_narrow_and_json_is_in_nano_dollars() {
    let sandbox = logged();
    let report = sandbox
        .genesis(&[
            "usage",
            "--gateway",
            "prod",
            "--provider",
            "anthropic",
            "--until",
            "2024-03-02",
            "--json",
        ])
        .ok()
        .json();
    assert_eq!(report["until"], "2024-03-02T00:00:00.000Z");
    assert_eq!(report["total"]["requests"], 2);
    assert_eq!(report["total"]["cost_nano_usd"], 123_000);
    assert_eq!(report["simulated"]["requests"], 0);
    assert_eq!(report["rows"][0]["key"], "anthropic/claude-sonnet-4-6");

    let ran = sandbox.genesis(&["usage", "--since", "1h"]).ok().says(&["no calls match"]);
    assert_eq!(ran.stdout, "");
    let nothing = sandbox.genesis(&["usage", "--model", "other", "--json"]).ok().json();
    assert_eq!(nothing["rows"], json!([]));
    sandbox.genesis(&["usage", "--by", "colour"]).fails(2, &["model", "provider", "outcome"]);
    sandbox.genesis(&["usage", "--since", "yore"]).fails(2, &["30m, 12h or 7d"]);
}

#[test]
fn calls_without_a_model_are_named_so() {
    let sandbox = Sandbox::new();
    let refused = |number, provider: &str| LogRecord {
        provider: provider.into(),
        model: String::new(),
        outcome: Outcome::Refused,
        ..record(number)
    };
    sandbox.log([refused(1, ""), refused(2, "openai")].map(|record| (record, None)));
    let ran = sandbox.genesis(&["usage"]).ok();
    assert!(ran.line("(no model)").starts_with("(no model) 1 1 0"), "{ran:?}");
    assert!(ran.line("openai").starts_with("openai (no model) 1 1 0"), "{ran:?}");
}
