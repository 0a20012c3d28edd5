//! Billing, where nothing is sold.

use genesis_store::LogRecord;
use serde_json::json;

use crate::support::{Api, NOON, record};

#[test]
fn there_are_no_credits_and_no_invoices() {
    let api = Api::new();
    let balance = api.get("/billing/credit-balance").result();
    assert_eq!((&balance["balance"], &balance["payment_method"]), (&json!(0), &json!(null)));
    assert_eq!(api.get("/billing/invoice-history?type=all").result()["invoices"], json!([]));
    let preview = api.get("/billing/invoice-preview").result();
    let length = preview["period_end"].as_i64().unwrap() - preview["period_start"].as_i64().unwrap();
    assert!((28 * 86_400..=31 * 86_400).contains(&length), "{preview}");
    assert_eq!(api.get("/billing/topup/config").result()["amount"], json!(null));
    assert_eq!(api.get("/billing/spending-limit").result()["enabled"], false);
    for (path, body) in [
        ("/billing/topup", json!({ "amount": 5000 })),
        ("/billing/topup/config", json!({ "amount": 5000, "threshold": 500 })),
        ("/billing/spending-limit", json!({ "amount": 500, "duration": "daily", "strategy": "fixed" })),
    ] {
        assert_eq!(api.post(path, &body).refusal().0, 403, "{path}");
    }
    assert_eq!(api.post("/billing/topup/status", &json!({ "payment_intent_id": "in_1" })).refusal().0, 404);
    for path in ["/billing/topup/config", "/billing/spending-limit"] {
        assert_eq!(api.delete(path).result(), json!({}));
    }
}

#[test]
fn what_was_spent_is_told_by_day_and_hour() {
    let api = Api::new();
    let cost = |number, cents: i64, hours: i64| LogRecord {
        cost_nano_usd: Some(cents * 10_000_000),
        created_at_ms: NOON + hours * 3_600_000,
        ..record(number)
    };
    let simulated = LogRecord { simulated: true, ..cost(4, 900, 0) };
    api.log([cost(1, 100, 0), cost(2, 50, 1), cost(3, 7, 24), simulated]);
    let history = |window: &str| {
        let query = format!(
            "value_grouping_window={window}&start_time={}&end_time={}",
            NOON - 86_400_000,
            NOON + 3 * 86_400_000
        );
        let rows = api.get(&format!("/billing/usage-history?{query}")).result()["history"].clone();
        let row = |row: &serde_json::Value| {
            let time = |name: &str| row[name].as_i64().unwrap();
            assert_eq!(
                time("end_time") - time("start_time"),
                if window == "day" { 86_400_000 } else { 3_600_000 }
            );
            ((time("start_time") - NOON) / 3_600_000, row["aggregated_value"].as_f64().unwrap())
        };
        rows.as_array().unwrap().iter().map(row).collect::<Vec<_>>()
    };
    assert_eq!(history("day"), [(-12, 150.0), (12, 7.0)]);
    assert_eq!(history("hour"), [(0, 100.0), (1, 50.0), (24, 7.0)]);
    assert_eq!(api.get("/billing/usage-history").refusal().0, 400);
}
