//! Dynamic routes, versions and deployments, in their own envelopes.

use serde_json::{Value, json};

use crate::support::Api;

const PATH: &str = "/gateways/gw/routes";

fn elements(model: &str) -> Value {
    json!([
        { "id": "s", "type": "start", "outputs": { "next": { "elementId": "m" } } },
        { "id": "m", "type": "model",
          "properties": { "provider": "openai", "model": model, "timeout": 1000, "retries": 1 },
          "outputs": { "success": { "elementId": "e" }, "fallback": { "elementId": "e" } } },
        { "id": "e", "type": "end", "outputs": {} },
    ])
}

#[test]
fn a_route_is_created_deployed_changed_and_rolled_back() {
    let api = Api::with_gateway();
    let created = api.post(PATH, &json!({ "name": "support", "elements": elements("gpt-4.1") })).result();
    assert_eq!(created["elements"], elements("gpt-4.1"));
    assert_eq!(created["version"]["active"], "true");
    assert_eq!(created["deployment"]["version_id"], created["version"]["version_id"]);
    let data: Value = serde_json::from_str(created["version"]["data"].as_str().unwrap()).unwrap();
    assert_eq!(data, elements("gpt-4.1"));
    let path = format!("{PATH}/{}", created["id"].as_str().unwrap());

    let saved = api.post(&format!("{path}/versions"), &json!({ "elements": elements("gpt-5") })).result();
    assert_eq!(api.get(&path).result()["elements"], elements("gpt-4.1"), "a draft serves nothing");
    let versions = api.get(&format!("{path}/versions")).json()["data"]["versions"].clone();
    assert_eq!((&versions[0]["active"], &versions[1]["active"]), (&json!("false"), &json!("true")));
    assert_eq!(versions[0]["version_id"], saved["version_id"]);
    let second = versions[0]["version_id"].as_str().unwrap();
    let version = api.get(&format!("{path}/versions/{second}")).result();
    assert_eq!((&version["active"], &version["elements"]), (&json!("false"), &elements("gpt-5")));

    let deployments = format!("{path}/deployments");
    let deployed = api.post(&deployments, &json!({ "version_id": second })).result();
    assert_eq!(deployed["elements"], elements("gpt-5"));
    assert_eq!(api.store.routes(None).unwrap()[0].deployed().unwrap().elements, elements("gpt-5"));
    let first = created["version"]["version_id"].as_str().unwrap();
    api.post(&deployments, &json!({ "version_id": first })).result();
    assert_eq!(api.get(&path).result()["elements"], elements("gpt-4.1"));
    assert_eq!(api.get(&deployments).json()["data"]["deployments"].as_array().unwrap().len(), 3);

    let renamed = api.patch(&path, &json!({ "name": "help" })).json();
    assert_eq!((&renamed["success"], &renamed["route"]["name"]), (&json!(true), &json!("help")));
    assert_eq!(renamed["route"]["account_tag"], "acct");
    let listed = api.get(PATH).json();
    assert_eq!(listed["data"]["routes"][0]["name"], "help");
    assert_eq!(api.delete(&path).result()["name"], "help");
    assert_eq!(api.get(PATH).json()["data"]["routes"], json!([]));
    assert_eq!(api.get(&path).refusal().1, 7002);
}

#[test]
fn graphs_that_lead_nowhere_are_refused_at_their_place() {
    let api = Api::with_gateway();
    let mut nowhere = elements("m");
    nowhere[1]["outputs"]["fallback"]["elementId"] = json!("gone");
    let mut twice = elements("m");
    twice[2]["id"] = json!("m");
    let mut mute = elements("m");
    mute[0]["outputs"] = json!({});
    let mut odd = elements("m");
    odd[1]["type"] = json!("magic");
    for (elements, place) in [
        (nowhere, json!(["body", "elements", 1, "outputs"])),
        (twice, json!(["body", "elements", 2])),
        (mute, json!(["body", "elements", 0, "outputs"])),
        (odd, json!(["body", "elements", 1, "type"])),
        (json!([]), json!(["body", "elements"])),
    ] {
        let answer = api.post(PATH, &json!({ "name": "r", "elements": elements }));
        assert_eq!(answer.status, 400);
        let errors = answer.json()["errors"].clone();
        let begins = |error: &Value| {
            let path = error["path"].as_array().unwrap();
            path.starts_with(place.as_array().unwrap())
        };
        assert!(errors.as_array().unwrap().iter().any(begins), "{place}: {errors}");
    }
}

#[test]
fn names_are_taken_once_in_a_gateway_and_versions_must_be_its_own() {
    let api = Api::with_gateway();
    let body = |name: &str| json!({ "name": name, "elements": elements("m") });
    let first = api.post(PATH, &body("a")).result();
    let second = api.post(PATH, &body("b")).result();
    assert_eq!(api.post(PATH, &body("a")).refusal().0, 409);
    let second_path = format!("{PATH}/{}", second["id"].as_str().unwrap());
    assert_eq!(api.patch(&second_path, &json!({ "name": "a" })).refusal().0, 409);
    let foreign = json!({ "version_id": first["version"]["version_id"] });
    assert_eq!(api.post(&format!("{second_path}/deployments"), &foreign).refusal().0, 400);
    for name in ["", " ", "a/b"] {
        assert_eq!(api.post(PATH, &body(name)).refusal().0, 400, "{name:?}");
    }
}
