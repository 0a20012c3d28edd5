//! Sums in plain JSON and CSV.

use genesis_store::{LogRecord, Outcome};
use serde_json::json;

use crate::support::{Api, record};

const PATH: &str = "/gateways/gw/analytics?since=2026-11-22T00:00:00Z&until=2026-11-23T00:00:00Z";

fn filled() -> Api {
    let api = Api::with_gateway();
    let failed = LogRecord {
        outcome: Outcome::ProviderError,
        status: 500,
        model: "=evil,\"m\"".to_owned(),
        ..record(3)
    };
    let elsewhere = LogRecord { gateway: "declared".to_owned(), ..record(9) };
    api.log([record(1), record(2), failed, elsewhere]);
    api
}

#[test]
fn a_gateway_has_totals_and_groups() {
    let api = filled();
    let total = api.get(PATH).result();
    let row = &total["rows"][0];
    assert_eq!((&row["requests"], &row["errors"], &row["tokens_in"]), (&json!(3), &json!(1), &json!(30)));
    assert_eq!(row["cost"], json!(0.006));
    assert!(row["duration_p50"].as_u64().unwrap() >= 100);

    let by = api.get(&format!("{PATH}&group_by=provider,status&bucket=hour&order_by=requests")).result();
    assert_eq!(by["rows"][0]["time"], "2026-11-22T12:00:00.000Z");
    assert_eq!((&by["rows"][0]["status"], &by["rows"][0]["requests"]), (&json!("200"), &json!(2)));
    let only = api.get(&format!("{PATH}&outcome=provider_error,refused")).result();
    assert_eq!(only["rows"][0]["requests"], 1);
    let none =
        api.get("/gateways/gw/analytics?since=2020-01-01T00:00:00Z&until=2020-01-02T00:00:00Z").result();
    assert_eq!(none["rows"], json!([]));
}

#[test]
fn csv_is_exact_and_harmless() {
    let api = filled();
    let answer = api.get(&format!("{PATH}&group_by=model&order_by=cost&format=csv"));
    assert_eq!(answer.headers["content-type"], "text/csv; charset=utf-8");
    let text = answer.text();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("time,model,requests,errors,"), "{text}");
    assert_eq!(lines.len(), 3);
    // Two records of 0.001 and 0.002, and one of 0.003 under a name that is no formula.
    assert!(text.contains(",gpt-5,2,0,"), "{text}");
    assert!(text.contains(",\"'=evil,\"\"m\"\"\",1,1,"), "{text}");
    assert!(text.contains(",0.003,"), "{text}");
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let api = filled();
    for query in [
        "group_by=colour",
        "bucket=week",
        "limit=0",
        "order_by=colour",
        "format=xml",
        "group_by=metadata.a,metadata.b",
    ] {
        assert_eq!(api.get(&format!("{PATH}&{query}")).refusal().0, 400, "{query}");
    }
    assert_eq!(api.get("/gateways/nobody/analytics").refusal().1, 7002);
}
