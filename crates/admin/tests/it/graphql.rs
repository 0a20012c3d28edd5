//! Analytics as Cloudflare's dashboards ask for them.

use genesis_store::{LogRecord, Outcome, Permissions};
use serde_json::{Value, json};

use crate::support::{Api, record, token};

const PATH: &str = "/client/v4/graphql";

fn filled() -> Api {
    let api = Api::with_gateway();
    let failed = LogRecord { outcome: Outcome::ProviderError, status: 529, ..record(60) };
    let cached = LogRecord { cached: true, provider: "anthropic".to_owned(), ..record(4000) };
    let elsewhere = LogRecord { gateway: "declared".to_owned(), ..record(9) };
    api.log([record(1), record(2), failed, cached, elsewhere]);
    api
}

fn ask(api: &Api, query: &str, variables: Value) -> Value {
    api.post(PATH, &json!({ "query": query, "variables": variables })).json()
}

fn account(api: &Api, query: &str) -> Value {
    let query = format!(r#"{{ viewer {{ accounts(filter: {{accountTag: "acct"}}) {{ {query} }} }} }}"#);
    let answer = ask(api, &query, Value::Null);
    assert_eq!(answer["errors"], Value::Null, "{answer}");
    answer["data"]["viewer"]["accounts"][0].clone()
}

#[test]
fn a_dashboard_of_requests_tokens_cost_and_errors_is_answered() {
    let api = filled();
    let query = "query Usage($tag: string!, $from: Time!, $to: Time!) {
        viewer { accounts(filter: {accountTag: $tag}) {
            hours: aiGatewayRequestsAdaptiveGroups(
                limit: 100,
                filter: {datetimeHour_geq: $from, datetimeHour_lt: $to, gateway: \"gw\"},
                orderBy: [datetimeHour_ASC]
            ) {
                count
                sum { cost cachedRequests erroredRequests uncachedTokensIn uncachedTokensOut cachedTokensIn cachedTokensOut }
                dimensions { ts: datetimeHour }
            }
        } }
    }";
    let variables = json!({ "tag": "acct", "from": "2026-11-22T12:00:00Z", "to": "2026-11-22T14:00:00Z" });
    let answer = ask(&api, query, variables);
    let hours = &answer["data"]["viewer"]["accounts"][0]["hours"];
    let first = json!({
        "count": 3,
        "sum": {
            "cost": 0.063, "cachedRequests": 0, "erroredRequests": 1, "uncachedTokensIn": 30,
            "uncachedTokensOut": 15, "cachedTokensIn": 0, "cachedTokensOut": 0,
        },
        "dimensions": { "ts": "2026-11-22T12:00:00Z" },
    });
    assert_eq!(hours[0], first, "{answer}");
    assert_eq!(hours[1]["sum"]["cachedRequests"], 1);
    assert_eq!(hours.as_array().unwrap().len(), 2);
}

#[test]
fn groups_are_filtered_sorted_and_limited() {
    let api = filled();
    let all = account(
        &api,
        "aiGatewayRequestsAdaptiveGroups(orderBy: [count_DESC], filter: {date: \"2026-11-22\"}) { count dimensions { provider gateway } }",
    );
    let rows = all["aiGatewayRequestsAdaptiveGroups"].as_array().unwrap();
    assert_eq!(rows[0], json!({ "count": 3, "dimensions": { "provider": "openai", "gateway": "gw" } }));
    assert_eq!(rows.len(), 3);
    for (filter, count) in [
        ("statusCode_geq: 400", 1),
        ("statusCode: 200, gateway_in: [\"gw\"]", 3),
        ("cached: 1", 1),
        ("provider_neq: \"openai\"", 1),
        ("AND: [{gateway: \"gw\"}, {statusCode_lt: 500}]", 3),
        ("datetime_geq: \"2026-11-22T13:00:00Z\"", 1),
        ("datetimeMinute: \"2026-11-22T12:00:00Z\", gateway: \"gw\"", 2),
        ("date_gt: \"2026-11-22\"", 0),
    ] {
        let found =
            account(&api, &format!("g: aiGatewayRequestsAdaptiveGroups(filter: {{{filter}}}) {{ count }}"));
        let sum: u64 = found["g"].as_array().unwrap().iter().map(|row| row["count"].as_u64().unwrap()).sum();
        assert_eq!(sum, count, "{filter}");
    }
    let one = account(
        &api,
        "g: aiGatewayRequestsAdaptiveGroups(limit: 1, orderBy: sum_cost_DESC) { sum { cost } dimensions { datetimeFiveMinutes } }",
    );
    assert_eq!(
        one["g"],
        json!([{ "sum": { "cost": 4 }, "dimensions": { "datetimeFiveMinutes": "2026-11-22T13:05:00Z" } }])
    );
}

#[test]
fn the_sibling_nodes_count_errors_hits_and_rows() {
    let api = filled();
    let account = account(
        &api,
        "errors: aiGatewayErrorsAdaptiveGroups { count dimensions { statusCode } }
         hits: aiGatewayCacheAdaptiveGroups { count }
         size: aiGatewaySizeAdaptiveGroups(filter: {gateway: \"gw\"}) { max { rows } dimensions { gateway } }",
    );
    assert_eq!(account["errors"], json!([{ "count": 1, "dimensions": { "statusCode": 529 } }]));
    assert_eq!(account["hits"], json!([{ "count": 1 }]));
    assert_eq!(account["size"], json!([{ "max": { "rows": 4 }, "dimensions": { "gateway": "gw" } }]));
}

#[test]
fn mistakes_are_answered_as_graphql_has_it() {
    let api = filled();
    for (query, said, path) in [
        (
            "{ viewer { accounts(filter: {accountTag: \"acct\"}) { zonesAdaptive { count } } } }",
            "unknown field \"zonesAdaptive\" on account",
            json!(["viewer", "accounts", "zonesAdaptive"]),
        ),
        ("{ viewer { accounts { x } } }", "accountTag", json!(["viewer", "accounts"])),
        (
            "{ viewer { accounts(filter: {accountTag: \"acct\"}) { aiGatewayRequestsAdaptiveGroups(limit: 0) { count } } } }",
            "limit must be",
            json!(["viewer", "accounts", "aiGatewayRequestsAdaptiveGroups"]),
        ),
        (
            "{ viewer { accounts(filter: {accountTag: \"acct\"}) { aiGatewayRequestsAdaptiveGroups(filter: {colour: 1}) { count } } } }",
            "unknown filter field \"colour\"",
            json!(["viewer", "accounts", "aiGatewayRequestsAdaptiveGroups"]),
        ),
        ("{ broken", "cannot be read", Value::Null),
    ] {
        let answer = ask(&api, query, Value::Null);
        assert_eq!(answer["data"], Value::Null);
        assert!(answer["errors"][0]["message"].as_str().unwrap().contains(said), "{answer}");
        assert_eq!(answer["errors"][0]["path"], path, "{answer}");
    }
    assert_eq!(api.post(PATH, &json!({})).refusal().0, 400);
}

#[test]
fn a_token_for_one_gateway_counts_that_one_only() {
    let api = filled();
    let read = Permissions { run: false, read: true, edit: false };
    let bearer = format!("Bearer {}", token(&api.store, "one", read, &["declared"]));
    let query = json!({ "query": "{ viewer { accounts(filter: {accountTag: \"acct\"}) { g: aiGatewayRequestsAdaptiveGroups { count } } } }" });
    let answer = api.send("POST", PATH, &[("authorization", &bearer)], query.to_string().as_bytes());
    assert_eq!(answer.json()["data"]["viewer"]["accounts"][0]["g"], json!([{ "count": 1 }]));
}
