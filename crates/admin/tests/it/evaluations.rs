//! Datasets and evaluations.

use serde_json::json;

use crate::support::Api;

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
    assert_eq!(
        (&evaluation["processed"], &evaluation["datasets"][0]["name"]),
        (&json!(false), &json!("better"))
    );
    let path_of = format!("/gateways/gw/evaluations/{}", evaluation["id"].as_str().unwrap());
    assert_eq!(api.get(&path_of).result(), evaluation);
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
