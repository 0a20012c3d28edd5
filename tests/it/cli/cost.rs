//! `genesis cost`, and `genesis models update`, after which costs may differ

use std::fs;

use genesis_config::PriceTable;
use genesis_store::{LogRecord, sha256};
use serde_json::json;

use super::sandbox::{Ran, Sandbox, mode, record};

/// A call with everything that belongs to its cost.
fn priced(number: u32) -> LogRecord {
    LogRecord {
        raw_usage: Some(r#"{"input_tokens":12,"cache_read_input_tokens":100,"output_tokens":34}"#.into()),
        // 36,000 + 30,000 + 510,000
        cost_nano_usd: Some(576_000),
        price_id: Some(format!("anthropic/claude-sonnet-4-6@{}", PriceTable::builtin().as_of())),
        price_formula: Some("12 input × $3/M + 100 cache_read × $0.3/M + 34 output × $15/M".into()),
        ..record(number)
    }
}

fn verify(sandbox: &Sandbox, record: &LogRecord) -> Ran {
    sandbox.genesis(&["cost", "verify", &record.id.to_string()])
}

#[test]
fn a_right_receipt_is_verified_and_a_wrong_one_says_how() {
    let sandbox = Sandbox::new();
    let good = priced(1);
    let wrong_usage =
        LogRecord { raw_usage: Some(r#"{"input_tokens":13,"output_tokens":34}"#.into()), ..priced(2) };
    let wrong_cost = LogRecord { cost_nano_usd: Some(576_001), ..priced(3) };
    let custom = LogRecord {
        custom_cost: true,
        price_id: Some("custom".into()),
        price_formula: Some("$0.5 as given".into()),
        cost_nano_usd: Some(500_000_000),
        ..priced(4)
    };
    let unpriced = LogRecord { cost_nano_usd: None, ..priced(5) };
    let all = [good, wrong_usage, wrong_cost, custom, unpriced];
    sandbox.log(all.clone().map(|record| (record, None)));

    let ran = verify(&sandbox, &all[0]).ok();
    for step in ["usage", "formula", "price"] {
        assert!(ran.line(step).starts_with(&format!("{step} agrees")), "{ran:?}");
    }
    let ran = verify(&sandbox, &all[1]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.line("usage")
            .contains("differs logged 12 input + 100 cache_read + 34 output; the provider reported 13 input"),
        "{ran:?}"
    );
    let ran = verify(&sandbox, &all[2]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.line("formula").ends_with("= $0.000576, logged was $0.000576001"), "{ran:?}");
    assert!(ran.line("price").contains("comes to $0.000576"), "{ran:?}");
    let ran = verify(&sandbox, &all[3]).ok();
    assert!(ran.line("price").starts_with("price not checked"), "{ran:?}");
    verify(&sandbox, &all[4]).fails(1, &["no cost", "genesis cost reprice"]);
    sandbox.genesis(&["cost", "verify", "00000000"]).fails(1, &["no record"]);

    let id = all[2].id.to_string();
    let ran = sandbox.genesis(&["cost", "verify", &id, "--json"]);
    assert_eq!((ran.code, ran.json()["agrees"].clone()), (Some(1), json!(false)));
    assert_eq!(ran.json()["steps"][1]["agrees"], false);
}

#[test]
fn repricing_corrects_records_and_totals_and_keeps_what_was() {
    let sandbox = Sandbox::new();
    let wrong = LogRecord { cost_nano_usd: Some(1_000_000), ..priced(1) };
    let none = LogRecord { cost_nano_usd: None, price_id: None, price_formula: None, ..priced(2) };
    let custom = LogRecord { custom_cost: true, cost_nano_usd: Some(5), ..priced(3) };
    let other = LogRecord { provider: "openai".into(), model: "no-such-model".into(), ..priced(4) };
    sandbox.log([wrong.clone(), none, custom, other, priced(5)].map(|record| (record, None)));
    let total = || sandbox.genesis(&["usage", "--json"]).ok().json()["total"]["cost_nano_usd"].clone();
    let before = 1_000_000 + 5 + 576_000 + 576_000;
    assert_eq!(total(), before);

    let planned = sandbox.genesis(&["cost", "reprice", "--dry-run"]).ok().says(&["nothing was changed"]);
    assert_eq!(planned.line("anthropic/"), "anthropic/claude-sonnet-4-6 2 $0.001 $0.001152 $0.000152");
    assert_eq!(total(), before);
    let done = sandbox.genesis(&["cost", "reprice", "--model", "claude-sonnet-4-6", "--json"]).ok().json();
    assert_eq!(done["models"]["anthropic/claude-sonnet-4-6"]["after_nano_usd"], 1_152_000);
    assert_eq!(total(), before + 152_000);
    sandbox.genesis(&["cost", "reprice"]).ok().says(&["every cost is what the prices in force come to"]);

    let id = wrong.id.to_string();
    let shown = sandbox.genesis(&["logs", &id, "--json"]).ok().json();
    assert_eq!(shown["cost_nano_usd"], 576_000);
    assert_eq!(shown["repriced"]["original_cost_nano_usd"], 1_000_000);
    assert!(sandbox.genesis(&["logs", &id]).ok().line("  repriced").contains("before: $0.001"));
    verify(&sandbox, &wrong).ok();
}

#[test]
fn an_export_that_agrees_and_the_first_place_where_one_does_not() {
    let sandbox = Sandbox::new();
    let openai = |number| LogRecord {
        provider: "openai".into(),
        model: "gpt-5-mini-2025-08-07".into(),
        ..priced(number)
    };
    let cached = LogRecord { cached: true, ..priced(4) };
    sandbox.log([priced(1), priced(2), cached, priced(90_000), openai(5)].map(|record| (record, None)));
    let write = |name: &str, text: &str| {
        sandbox.write(name, text);
        sandbox.home().join(name).to_str().unwrap().to_owned()
    };
    // Two calls of 12 + 100 in and 34 out on the first day, one on the next; their model is written with its date.
    let usage = "usage_date_utc,model_version,api_key,workspace,usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens\n\
        2024-03-01,claude-sonnet-4-6-20260205,k,Default,24,0,0,200,68\n\
        2024-03-02,claude-sonnet-4-6-20260205,k,Default,12,0,0,100,34\n";
    let good = write("usage.csv", usage);
    sandbox.genesis(&["cost", "reconcile", &good]).ok().says(&["2 days and models agree"]);
    let bad = write("bad.csv", &usage.replace(",100,34", ",100,340"));
    let ran = sandbox.genesis(&["cost", "reconcile", &bad]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.line("tokens out"), "tokens out 340 34 -306");
    let ran = ran.says(&["first difference is on 2024-03-02, claude-sonnet-4-6"]);
    assert!(!ran.stdout.contains("2024-03-01"), "{ran:?}");

    let cost = write(
        "cost.csv",
        "usage_date_utc,model,workspace,token_type,cost_usd\n2024-03-01,claude-sonnet-4-6,Default,input,0.000132\n2024-03-01,claude-sonnet-4-6,Default,output,0.00102\n2024-03-02,claude-sonnet-4-6,Default,output,0.000576\n",
    );
    sandbox.genesis(&["cost", "reconcile", &cost]).ok();

    // OpenAI's, whose days are seconds.
    let activity = write(
        "activity.csv",
        "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,model,input_tokens,output_tokens\n1709251200,1709337600,x,x,p,1,gpt-5-mini,112,34\n1709337600,1709424000,x,x,,,,,\n",
    );
    let report = sandbox.genesis(&["cost", "reconcile", &activity, "--json"]).ok().json();
    assert_eq!((&report["provider"], &report["first_difference"]), (&json!("openai"), &json!(null)));
    let costs = write(
        "costs.csv",
        "start_time,end_time,amount_value,amount_currency,line_item\n1709251200,1709337600,0.0004,usd,\"gpt-5-mini, input\"\n1709251200,1709337600,0.0003,usd,\"gpt-5-mini, output\"\n",
    );
    let ran = sandbox.genesis(&["cost", "reconcile", &costs]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.line("cost"), "cost $0.0007 $0.000576 -$0.000124");

    let other = write("other.csv", "day;name;usd\n01.03.2024;x;1\n");
    sandbox.genesis(&["cost", "reconcile", &other]).fails(2, &["--date-column", "day, name, usd"]);
    let flags =
        ["cost", "reconcile", &other, "--provider", "anthropic", "--date-column", "day", "--cost-column"];
    sandbox.genesis(&[&flags[..], &["eur"]].concat()).fails(2, &["no column `eur`"]);
    sandbox.genesis(&[&flags[..], &["usd"]].concat()).fails(1, &["row 2", "`01.03.2024` is no day"]);
    let mapped = write("mapped.csv", "day,dollars\n2024-03-01T10:00:00Z,0.001152\n2024-03-02,0.000576\n");
    sandbox
        .genesis(&[
            "cost",
            "reconcile",
            &mapped,
            "--provider",
            "anthropic",
            "--date-column",
            "day",
            "--cost-column",
            "dollars",
        ])
        .ok();
}

#[test]
fn newer_prices_are_taken_by_checksum_and_used() {
    let sandbox = Sandbox::new();
    let table = |as_of: &str, rate: i64| {
        json!({"as_of": as_of, "source": "test", "providers": {"anthropic": {"models": [
            {"id": "claude-sonnet-4-6", "match": "^claude-sonnet-4-6", "prices": [{"in": rate, "out": rate}]}]}}})
        .to_string()
    };
    let newer = table("2099-01-01", 1_000_000_000);
    sandbox.write("new.json", &newer);
    let file = sandbox.home().join("new.json");
    let file = file.to_str().unwrap();
    let hex: String = sha256(newer.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let in_force = sandbox.home().join("prices.json");

    sandbox.genesis(&["models", "update", file]).fails(2, &["checksum", "--sha256"]);
    sandbox
        .genesis(&["models", "update", file, "--sha256", &"0".repeat(64)])
        .fails(1, &["not the file it should be", &hex]);
    assert!(!in_force.exists());
    sandbox.write("new.json.sha256", &format!("{hex}  new.json\n"));
    sandbox.genesis(&["models", "update", file]).ok().says(&["1 models, prices of 2099-01-01"]);
    assert_eq!(mode(&in_force), 0o600);

    // 12 + 100 + 34 tokens at $1 per million.
    sandbox.log([(priced(1), None)]);
    let done = sandbox.genesis(&["cost", "reprice", "--json"]).ok().json();
    assert_eq!(done["models"]["anthropic/claude-sonnet-4-6"]["after_nano_usd"], 146_000);
    let shown = sandbox.genesis(&["logs", &priced(1).id.to_string()[..8], "--json"]);
    assert!(shown.code == Some(2) || shown.stdout.contains("claude-sonnet-4-6@2099-01-01"), "{shown:?}");

    for (text, said) in [
        (table("2000-01-01", 1), "older"),
        (table("2099-02-01", -1), "below zero"),
        ("{}".to_owned(), "as_of"),
    ] {
        sandbox.write("bad.json", &text);
        let hex: String = sha256(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let bad = sandbox.home().join("bad.json");
        let ran = sandbox.genesis(&["models", "update", bad.to_str().unwrap(), "--sha256", &hex]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(
            ran.stderr.contains("nothing was changed") && ran.stderr.contains("of")
                || ran.stderr.contains(said),
            "{ran:?}"
        );
        assert_eq!(fs::read_to_string(&in_force).unwrap(), newer);
    }
    // A file that somebody damaged is told, and the built-in prices hold.
    fs::write(&in_force, "{").unwrap();
    sandbox.genesis(&["models", "list"]).ok().says(&["prices.json cannot be used"]);
    sandbox.genesis(&["models", "update", "--builtin"]).ok().says(&["built-in prices"]);
    assert!(!in_force.exists());
}
