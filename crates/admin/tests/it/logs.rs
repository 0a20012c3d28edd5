//! The log over HTTP.

use genesis_store::{LogRecord, Outcome};
use serde_json::{Value, json};

use crate::support::{Api, record};

const PATH: &str = "/gateways/gw/logs";

fn filled() -> Api {
    let api = Api::with_gateway();
    let failed = LogRecord {
        outcome: Outcome::ProviderError,
        status: 500,
        error: "overloaded".to_owned(),
        model: "claude-sonnet-4-5".to_owned(),
        provider: "anthropic".to_owned(),
        ..record(3)
    };
    let tagged = LogRecord {
        metadata: serde_json::Map::from_iter([("team".to_owned(), json!("red"))]),
        cached: true,
        ..record(4)
    };
    let elsewhere = LogRecord { gateway: "declared".to_owned(), ..record(9) };
    api.log([record(1), record(2), failed, tagged, elsewhere]);
    api
}

/// The numbers of the records a query finds, by their event ids.
fn found(api: &Api, query: &str) -> Vec<String> {
    let listed = api.get(&format!("{PATH}?{query}")).result();
    let number = |row: &Value| row["event_id"].as_str().unwrap().replace("event-", "");
    listed.as_array().unwrap().iter().map(number).collect()
}

#[test]
fn the_newest_come_first_with_cloudflares_fields() {
    let api = filled();
    let body = api.get(&format!("{PATH}?per_page=1&page=4")).json();
    assert_eq!(body["result_info"]["total_count"], 4);
    let item = &body["result"][0];
    assert_eq!(item["created_at"], "2026-11-22T12:00:01.000Z");
    assert_eq!(item["id"], record(1).id.to_string());
    let wanted = [
        ("provider", json!("openai")),
        ("model", json!("gpt-5")),
        ("model_type", json!("chat")),
        ("status_code", json!(200)),
        ("success", json!(true)),
        ("cached", json!(false)),
        ("duration", json!(101)),
        ("tokens_in", json!(10)),
        ("tokens_out", json!(5)),
        ("cost", json!(0.001)),
        ("byok", json!(true)),
        ("authentication", json!(true)),
        ("wholesale", json!(false)),
        ("user_agent", json!("test/1")),
    ];
    for (name, value) in wanted {
        assert_eq!(item[name], value, "{name}");
    }
    assert_eq!(api.get(&format!("{PATH}?page=2")).result(), json!([]));
}

#[test]
fn filters_of_every_kind_find_the_same() {
    let api = filled();
    assert_eq!(found(&api, ""), ["4", "3", "2", "1"]);
    for (query, numbers) in [
        (r#"filters=[{"key":"provider","operator":"eq","value":["anthropic"]}]"#, vec!["3"]),
        (r#"filters=[{"key":"provider","operator":"neq","value":["anthropic"]}]"#, vec!["4", "2", "1"]),
        ("filters.key=provider&filters.operator=eq&filters.value=anthropic", vec!["3"]),
        ("filters.key=cost&filters.operator=gt&filters.value=0.002", vec!["4", "3"]),
        (
            r#"filters=[{"key":"cost","operator":"gt","value":[0.002]},{"key":"success","operator":"eq","value":[true]}]"#,
            vec!["4"],
        ),
        (
            "filters.key=cost&filters.key=success&filters.operator=gt&filters.operator=eq&filters.value=0.002&filters.value=true",
            vec!["4"],
        ),
        (r#"filters=[{"key":"model","operator":"contains","value":["SONNET"]}]"#, vec!["3"]),
        (
            r#"filters=[{"key":"metadata.key","operator":"eq","value":["team"]},{"key":"metadata.value","operator":"eq","value":["red"]}]"#,
            vec!["4"],
        ),
        (r#"filters=[{"key":"created_at","operator":"lt","value":["2026-11-22T12:00:02Z"]}]"#, vec!["1"]),
        (r#"filters=[{"key":"event_id","operator":"eq","value":["event-1","event-4"]}]"#, vec!["4", "1"]),
        ("cached=true", vec!["4"]),
        ("success=false", vec!["3"]),
        ("provider=openai&max_cost=0.001", vec!["1"]),
        ("min_duration=103", vec!["4", "3"]),
        ("start_date=2026-11-22T12:00:03Z", vec!["4", "3"]),
        ("search=OVERLOADED", vec!["3"]),
        ("order_by=cost&order_by_direction=asc", vec!["1", "2", "3", "4"]),
        ("direction=asc&per_page=2", vec!["1", "2"]),
        ("direction=asc&per_page=2&page=2", vec!["3", "4"]),
    ] {
        assert_eq!(
            found(
                &api,
                &query
                    .replace('[', "%5B")
                    .replace(' ', "%20")
                    .replace('"', "%22")
                    .replace('{', "%7B")
                    .replace('}', "%7D")
            ),
            numbers,
            "{query}"
        );
    }
}

#[test]
fn filters_that_make_no_sense_are_refused() {
    let api = filled();
    for query in [
        "filters=nonsense",
        "filters.key=colour&filters.operator=eq&filters.value=red",
        "filters.key=model&filters.operator=about&filters.value=x",
        "filters.key=created_at&filters.operator=gt&filters.value=yesterday",
        "order_by=colour",
        "success=maybe",
        "start_date=yesterday",
        "per_page=51",
    ] {
        assert_eq!(api.get(&format!("{PATH}?{query}")).refusal().0, 400, "{query}");
        assert_eq!(api.get(&format!("{PATH}?{query}")).refusal().1, 7001, "{query}");
    }
    assert_eq!(api.get("/gateways/nobody/logs").refusal().1, 7002);
}

#[test]
fn the_ranges_of_numbers_are_told_on_request() {
    let api = filled();
    let info = api.get(&format!("{PATH}?meta_info=true")).json()["result_info"].clone();
    assert_eq!((&info["min_cost"], &info["max_cost"]), (&json!(0.001), &json!(0.004)));
    assert_eq!((&info["min_duration"], &info["max_total_tokens"]), (&json!(101), &json!(15)));
    assert_eq!(info["total_count"], 4);
    assert_eq!(api.get(PATH).json()["result_info"].get("min_cost"), None);
}

#[test]
fn one_log_has_its_bodies() {
    let api = filled();
    let path = format!("{PATH}/{}", record(1).id);
    let log = api.get(&path).result();
    assert_eq!(log["request_head"], r#"{"model":"gpt-5"}"#);
    assert_eq!(log["request_head_complete"], true);
    let request = api.get(&format!("{path}/request"));
    assert_eq!(request.text(), r#"{"model":"gpt-5"}"#);
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.headers["x-content-type-options"], "nosniff");
    assert_eq!(api.get(&format!("{path}/response")).json(), json!({ "ok": true }));
    for gone in [format!("{PATH}/{}", record(77).id), format!("{PATH}/{}", record(9).id), format!("{PATH}/x")]
    {
        assert_eq!(api.get(&gone).refusal().1, 7002, "{gone}");
        assert_eq!(api.get(&format!("{gone}/request")).refusal().1, 7002);
        assert_eq!(api.patch(&gone, &json!({ "feedback": 1 })).status, 404);
    }
}

#[test]
fn bodies_a_browser_could_run_come_as_bytes() {
    let api = Api::with_gateway();
    api.log([LogRecord { response_content_type: "text/html".to_owned(), ..record(1) }]);
    let response = api.get(&format!("{PATH}/{}/response", record(1).id));
    assert_eq!(response.headers["content-type"], "application/octet-stream");
    assert!(response.headers["content-security-policy"].to_str().unwrap().contains("sandbox"));
}

#[test]
fn feedback_score_and_metadata_can_be_noted() {
    let api = filled();
    let path = format!("{PATH}/{}", record(2).id);
    api.patch(&path, &json!({ "feedback": 1, "score": 87.5, "metadata": { "by": "me" } })).result();
    let log = api.get(&path).result();
    assert_eq!((&log["feedback"], &log["score"]), (&json!(1), &json!(87.5)));
    assert_eq!(log["metadata"], json!({ "by": "me" }));
    assert_eq!(found(&api, "feedback=1"), ["2"]);
    api.patch(&path, &json!({ "feedback": -1 })).result();
    assert_eq!(api.get(&path).result()["feedback"], -1);
    assert_eq!(api.get(&path).result()["score"], 87.5);
    for body in [
        json!({ "feedback": 2 }),
        json!({ "score": 101 }),
        json!({ "metadata": { "a": [] } }),
        json!({ "cost": 0 }),
    ] {
        assert_eq!(api.patch(&path, &body).refusal().0, 400, "{body}");
    }
}

#[test]
fn logs_are_deleted_by_filter_and_only_here() {
    let api = filled();
    let answer =
        api.delete(&format!("{PATH}?filters.key=provider&filters.operator=eq&filters.value=anthropic"));
    assert_eq!(answer.json(), json!({ "success": true, "deleted": 1 }));
    assert_eq!(found(&api, ""), ["4", "2", "1"]);
    assert_eq!(
        api.delete(&format!("{PATH}?limit=1&order_by=created_at&order_by_direction=asc")).json()["deleted"],
        1
    );
    assert_eq!(found(&api, ""), ["4", "2"]);
    assert_eq!(api.delete(&format!("{PATH}?filters=oops")).status, 400);
    assert_eq!(api.delete(PATH).json()["deleted"], 2);
    assert_eq!(api.get("/gateways/declared/logs").result().as_array().unwrap().len(), 1);
}
