//! Datasets and evaluations.

use std::time::{Duration, Instant};

use genesis_store::{LogNote, LogRecord};
use serde_json::{Value, json};

use crate::support::{Api, record};

#[test]
fn datasets_and_evaluations_are_kept() {
    let api = Api::with_gateway();
    let filters = json!([{ "key": "model", "operator": "eq", "value": ["gpt-5"] }]);
    let body = json!({ "name": "good", "enable": true, "filters": filters });
    let dataset = api.post("/gateways/gw/datasets", &body).result();
    assert_eq!(dataset["filters"], filters);
    let path = format!("/gateways/gw/datasets/{}", dataset["id"].as_str().unwrap());
    let changed = json!({ "name": "better", "enable": false, "filters": [] });
    assert_eq!(api.put(&path, &changed).result()["name"], "better");
    assert_eq!(api.get("/gateways/gw/datasets?enable=true").result(), json!([]));
    assert_eq!(api.get("/gateways/gw/datasets?search=BETT").result()[0]["name"], "better");

    let types = api.get("/evaluation-types").result();
    let evaluation = json!({
        "name": "cost", "dataset_ids": [dataset["id"]], "evaluation_type_ids": [types[0]["id"]],
    });
    let evaluation = api.post("/gateways/gw/evaluations", &evaluation).result();
    assert_eq!(evaluation["datasets"][0]["name"], "better");
    let path_of = format!("/gateways/gw/evaluations/{}", evaluation["id"].as_str().unwrap());
    let done = processed(&api, &evaluation);
    assert_eq!(done["results"][0]["status_description"], "no log has a cost", "the dataset is not enabled");
    assert_eq!(api.get("/gateways/gw/evaluations?processed=true").result(), json!([done]));
    assert_eq!(api.get("/gateways/gw/evaluations?processed=false").result(), json!([]));
    assert_eq!(api.delete(&path_of).result()["id"], evaluation["id"]);
    assert_eq!(api.get("/gateways/gw/evaluations").result(), json!([]));
    api.delete(&path).result();
    assert_eq!(api.get(&path).refusal().1, 7002);
}

#[test]
fn what_names_nothing_is_refused() {
    let api = Api::with_gateway();
    let body = json!({ "name": "e", "dataset_ids": ["x"], "evaluation_type_ids": [] });
    assert_eq!(
        api.post("/gateways/gw/evaluations", &body).json()["errors"][0]["path"],
        json!(["body", "dataset_ids", 0])
    );
    let filters = json!([{ "key": "color", "operator": "eq", "value": ["red"] }]);
    let body = json!({ "name": "d", "enable": true, "filters": filters });
    assert_eq!(api.post("/gateways/gw/datasets", &body).refusal().0, 400);
}

/// The evaluation once it is done.
fn processed(api: &Api, evaluation: &Value) -> Value {
    let path = format!("/gateways/gw/evaluations/{}", evaluation["id"].as_str().unwrap());
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let found = api.get(&path).result();
        if found["processed"] == true {
            return found;
        }
        assert_eq!(found["results"][0]["status_description"], "waiting");
        assert!(Instant::now() < deadline, "{found}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn dataset(api: &Api, filters: Value) -> Value {
    let body = json!({ "name": "d", "enable": true, "filters": filters });
    api.post("/gateways/gw/datasets", &body).result()["id"].clone()
}

fn evaluated(api: &Api, datasets: &[Value], types: &[&str]) -> Value {
    let body = json!({ "name": "e", "dataset_ids": datasets, "evaluation_type_ids": types });
    let created = api.post("/gateways/gw/evaluations", &body).result();
    processed(api, &created)
}

#[test]
fn an_evaluation_adds_up_what_its_datasets_choose() {
    let api = Api::with_gateway();
    // 1 to 10: n milli-dollars and 100 + n milliseconds; the even ones of another model, 10 without a cost.
    let logs: Vec<_> = (1..=10)
        .map(|number| {
            let mut log = record(number);
            if number % 2 == 0 {
                log.model = "claude-x".to_owned();
            }
            log.cost_nano_usd = log.cost_nano_usd.filter(|_| number != 10);
            log
        })
        .collect();
    let elsewhere = LogRecord { gateway: "other".to_owned(), ..record(11) };
    for (log, feedback) in logs.iter().zip([1, 1, -1, 0]) {
        api.log([log.clone()]);
        api.store.annotate_log(log.id, &LogNote { feedback: Some(feedback), ..LogNote::default() }).unwrap();
    }
    api.log(logs[4..].iter().cloned().chain([elsewhere]));

    let all = dataset(&api, json!([]));
    let claude = dataset(&api, json!([{ "key": "model", "operator": "eq", "value": ["claude-x"] }]));
    let early = dataset(&api, json!([{ "key": "cost", "operator": "lt", "value": [0.0035] }]));
    let types = ["cost", "speed", "human_feedback"];
    let results = |evaluation: &Value| {
        let results = evaluation["results"].as_array().unwrap().iter();
        results
            .map(|result| {
                assert_eq!((&result["status"], &result["status_description"]), (&json!(1), &json!("done")));
                assert_eq!(result["evaluation_id"], evaluation["id"]);
                (result["result"].as_str().unwrap().to_owned(), result["total_logs"].as_u64().unwrap())
            })
            .collect::<Vec<_>>()
    };
    let whole = evaluated(&api, &[all], &types);
    assert_eq!(whole["total_logs"], 10);
    assert_eq!(results(&whole), [("0.005".into(), 9), ("106".into(), 10), ("66.67".into(), 3)]);
    // 1, 2, 3 and 2, 4, 6, 8, 10: the second log is in both and counts once.
    let both = evaluated(&api, &[early, claude], &types);
    assert_eq!(both["total_logs"], 7);
    assert_eq!(results(&both), [("0.004".into(), 6), ("105".into(), 7), ("66.67".into(), 3)]);
    let types = api.get("/evaluation-types?order_by=name&order_by_direction=desc").result();
    assert_eq!(types[0]["id"], "speed");
}

#[test]
fn what_a_restart_interrupted_is_done_when_it_is_asked_for() {
    let api = Api::with_gateway();
    api.log([record(1)]);
    let all = dataset(&api, json!([]));
    let body = json!({ "name": "e", "dataset_ids": [all], "evaluation_type_ids": ["speed"] });
    let body = body.as_object().unwrap().clone();
    // As an earlier process left it.
    let row = api.store.create_document("evaluation", "acct", "gw", body, 0).unwrap();
    let done = processed(&api, &json!({ "id": row.id }));
    assert_eq!(done["results"][0]["result"], "101");
}

#[test]
fn filters_that_cannot_be_compared_are_refused_with_the_dataset() {
    let api = Api::with_gateway();
    let filters = json!([{ "key": "cost", "operator": "gt", "value": ["cheap"] }]);
    let body = json!({ "name": "d", "enable": true, "filters": filters });
    let answer = api.post("/gateways/gw/datasets", &body);
    assert_eq!(answer.json()["errors"][0]["path"], json!(["body", "filters", 0, "value"]));
    assert_eq!(answer.refusal().0, 400);
    let many = json!({ "name": "e", "dataset_ids": vec!["x"; 21], "evaluation_type_ids": [] });
    assert!(api.post("/gateways/gw/evaluations", &many).refusal().2.contains("at most 20"));
    assert_eq!(api.get("/gateways/gw/datasets?search=CHEAP").result(), json!([]));
    dataset(&api, json!([{ "key": "model", "operator": "eq", "value": ["gpt-x"] }]));
    assert_eq!(api.get("/gateways/gw/datasets?search=GPT-X").result().as_array().unwrap().len(), 1);
}
