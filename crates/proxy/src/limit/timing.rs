//! What limits cost a call. Run by hand, optimised:
//! `cargo test --release -p genesis-proxy limit::timing -- --ignored --nocapture`

use std::time::Instant;

use genesis_config::{GatewaySettings, Providers};
use genesis_wire::{Dialect, Usage};
use serde_json::json;

use super::{Applicant, End, Fate, GatewayLimits, Limiter};

const CALLS: u32 = 200_000;

#[test]
#[ignore = "measures; says nothing without optimisation"]
fn every_kind_of_limit_on_one_call() {
    let partition = json!({ "mode": "partition" });
    let settings = json!({
        "id": "g", "rate_limiting_limit": 4_000_000_000_u64, "rate_limiting_interval": 60, "rate_limiting_technique": "sliding",
        "rate_limits": [
            { "id": "token", "limit": 4_000_000_000_u64, "window": 60, "token": partition },
            { "id": "user", "limit": 4_000_000_000_u64, "window": 60, "metadata": { "user": partition } },
            { "id": "tokens", "limitType": "total_tokens", "limit": u64::MAX, "window": 60, "model": partition },
            { "id": "slots", "limitType": "concurrent", "limit": 100 },
        ],
        "spend_limits": { "enabled": true, "rules": [
            { "id": "user", "limit": 1_000_000_000, "window": 86_400, "metadata": { "user": partition } },
        ] },
    });
    let settings =
        GatewaySettings::from_api(settings.as_object().expect("an object").clone()).expect("settings");
    let limits = GatewayLimits::compile(&settings);
    let limiter = Limiter::in_memory();
    let providers = Providers::with(&std::collections::BTreeMap::new()).expect("providers");
    let provider = providers.find("openai").expect("a provider");
    let metadata = json!({ "user": "ann", "team": "red" });
    let metadata = metadata.as_object().expect("an object");
    let text = "All work and no play makes Jack a dull boy. ".repeat(4);
    let body = json!({ "model": "gpt-4o", "max_tokens": 100, "messages": [
        { "role": "system", "content": "You answer briefly." }, { "role": "user", "content": text } ] });
    let body = body.to_string();
    let applicant = Applicant {
        generation: 1,
        token: "tok_01",
        identity: None,
        metadata,
        provider,
        dialect: Some(Dialect::OpenAiChat),
        model: None,
        path: "/v1/chat/completions",
        body: Some(body.as_bytes()),
        custom: None,
        attempts: 1,
        again: false,
        gates: &[],
        key: None,
    };
    let usage = Usage { input: 60, output: 20, ..Usage::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let took = runtime.block_on(async {
        let begun = Instant::now();
        for number in 0..CALLS {
            let now_ms = 1_795_400_000_000 + i64::from(number / 1000);
            let permit = limits.admit(&limiter, &applicant, now_ms).await.expect("it fits");
            let end =
                End { fate: Fate::Complete, lost: 0, usage: Some(&usage), cost: Some(350_000), price: None };
            permit.settle(&end, now_ms);
        }
        begun.elapsed()
    });
    eprintln!("{} bytes, six limits: {:?} a call, to admit and to settle", body.len(), took / CALLS);
}
