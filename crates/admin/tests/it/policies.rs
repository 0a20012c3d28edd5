//! Policies: drafts, commits, and what they say about a made-up request.

use genesis_config::GatewaySettings;
use serde_json::{Value, json};

use crate::support::{Api, NOON, gateway};

const POLICIES: &str = "/gateways/gw/policies";

fn block(name: &str, condition: &str) -> Value {
    json!({ "name": name, "condition": condition, "action": { "type": "block" } })
}

fn cap(name: &str, actor: &str, amount: f64) -> Value {
    let action =
        json!({ "type": "limit", "amount": amount, "period": "monthly", "technique": "named-interval" });
    json!({ "name": name, "actor": actor, "resource": "*", "condition": "true", "action": action })
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|policy| policy["name"].as_str().unwrap()).collect()
}

fn path(policy: &Value) -> String {
    format!("{POLICIES}/{}", policy["id"].as_str().unwrap())
}

/// What is in force, as the running gateway reads it.
fn in_force(api: &Api) -> Vec<Value> {
    let rows = api.store.policies(Some("gw")).unwrap();
    rows.iter().filter_map(genesis_store::PolicyRow::in_force).map(Value::Object).collect()
}

#[test]
fn a_policy_is_a_draft_until_it_is_committed() {
    let api = Api::with_gateway();
    let answer = api.post(POLICIES, &block("no red", "metadata.team == 'red'"));
    let created = answer.result();
    assert_eq!(answer.json()["committed"], false);
    assert_eq!((&created["resource"], &created["actor"]), (&json!("*"), &json!("")));
    let at = created["created_at"].as_i64().unwrap();
    assert!((NOON / 1000 - 1..4_000_000_000).contains(&at), "in seconds: {at}");
    assert!(in_force(&api).is_empty());
    assert_eq!(api.get(POLICIES).result(), json!([]));
    assert_eq!(api.get(&path(&created)).refusal().0, 404);
    let staged = api.get(&format!("{POLICIES}?includeStaging=true")).result();
    assert_eq!((names(&staged), &staged[0]["staging"]), (vec!["no red"], &json!(true)));
    let draft = api.get(&format!("{}?includeStaging=true", path(&created))).result();
    assert_eq!(draft["uncommitted"], true);

    let answer = api.call("POST", &format!("{POLICIES}/commit"), None);
    let committed = answer.result();
    assert_eq!((&committed["committed"], &committed["failed"]), (&json!(1), &json!(0)));
    assert_eq!((names(&committed["policies"]), committed.get("errors")), (vec!["no red"], None));
    assert_eq!(names(&api.get(POLICIES).result()), ["no red"]);
    assert_eq!(in_force(&api)[0]["condition"], "metadata.team == 'red'");
    assert_eq!(api.call("POST", &format!("{POLICIES}/commit"), None).result()["committed"], 0);

    assert_eq!(api.delete(&path(&created)).result()["id"], created["id"]);
    assert!(in_force(&api).is_empty());
    assert_eq!(api.delete(&path(&created)).refusal().0, 404);
}

#[test]
fn a_change_takes_the_fields_sent_and_may_wait_as_a_draft() {
    let api = Api::with_gateway();
    let answer = api.post(&format!("{POLICIES}?commit=true"), &cap("team", "team:{metadata.team}", 5.0));
    assert_eq!(answer.json()["committed"], true);
    let path = path(&answer.result());

    let staged = api.put(&path, &json!({ "name": "the team", "condition": "metadata.team != ''" }));
    assert_eq!(staged.json(), json!({ "success": true, "committed": false }));
    assert_eq!(in_force(&api)[0]["name"], "team");
    // A commit of something else leaves the draft as it is; of the same field, it takes its place.
    let more = json!({ "condition": "has(metadata.team)", "actor": "t:{metadata.team}" });
    let answer = api.put(&format!("{path}?commit=true"), &more);
    assert_eq!(answer.json(), json!({ "success": true, "committed": true }));
    let live = in_force(&api).remove(0);
    assert_eq!((&live["name"], &live["condition"]), (&json!("team"), &json!("has(metadata.team)")));
    assert_eq!(live["action"]["amount"].as_f64(), Some(5.0), "what is not sent stays");
    api.call("POST", &format!("{POLICIES}/commit"), None).result();
    let live = in_force(&api).remove(0);
    assert_eq!((&live["name"], &live["condition"]), (&json!("the team"), &json!("has(metadata.team)")));

    // What a client got it can send back.
    let mut got = api.get(&path).result();
    got["action"]["amount"] = json!(7);
    api.put(&format!("{path}?commit=true"), &got);
    assert_eq!(in_force(&api)[0]["action"]["amount"].as_f64(), Some(7.0));
}

#[test]
fn mistakes_are_refused_at_their_place() {
    let api = Api::with_gateway();
    for (body, at, said) in [
        (block("a", "metadata.team = 'x'"), json!(["body", "condition"]), "compared with `==` (column 15)"),
        (cap("a", "user:{metadata.user", 1.0), json!(["body", "actor"]), "not closed"),
        (cap("a", "user:{}", 1.0), json!(["body", "actor"]), "path of a field"),
        (cap("a", "user:x}", 1.0), json!(["body", "actor"]), "not opened"),
        (cap("a", "", 0.0), json!(["body", "action", "amount"]), "greater than 0"),
        (cap("a", "", -1.0), json!(["body", "action", "amount"]), "negative"),
        (
            json!({ "name": "a", "action": { "type": "blok" } }),
            json!(["body", "action", "type"]),
            "no-limit, block, limit",
        ),
        (
            json!({ "name": "a", "resource": 5, "action": { "type": "block" } }),
            json!(["body", "resource"]),
            "",
        ),
        (json!({ "name": "a" }), json!(["body", "action"]), "Required"),
        (
            json!({ "name": "a", "action": { "type": "block" }, "conditon": "" }),
            json!(["body", "conditon"]),
            "did you mean `condition`?",
        ),
    ] {
        for commit in ["", "?commit=true"] {
            let answer = api.post(&format!("{POLICIES}{commit}"), &body);
            let error = &answer.json()["errors"][0];
            assert_eq!((answer.status, &error["path"]), (400, &at), "{body}: {error}");
            assert!(error["message"].as_str().unwrap().contains(said), "{body}: {error}");
        }
    }
    assert!(api.store.policies(None).unwrap().is_empty());
    let created = api.post(&format!("{POLICIES}?commit=true"), &block("a", "true")).result();
    assert_eq!(api.put(&path(&created), &json!({ "condition": "(" })).refusal().0, 400);
    assert_eq!(api.put(&format!("{POLICIES}/none"), &json!({ "name": "b" })).refusal().0, 404);
}

#[test]
fn declared_policies_are_shown_and_read_only() {
    let mut settings = GatewaySettings::named("declared");
    settings.policies =
        serde_json::from_value(json!([{ "id": "mine", "action": { "type": "no-limit" } }])).unwrap();
    let api = Api::with(|declared| {
        declared.gateways.insert("declared".to_owned(), settings);
    });
    let shown = api.get("/gateways/declared/policies").result();
    assert_eq!((&shown[0]["id"], &shown[0]["declared"]), (&json!("mine"), &json!(true)));
    assert_eq!(api.get("/gateways/declared/policies/mine").result(), shown[0]);
    for answer in [
        api.put("/gateways/declared/policies/mine", &json!({ "name": "x" })),
        api.delete("/gateways/declared/policies/mine"),
    ] {
        let (status, _, message) = answer.refusal();
        assert_eq!(status, 409);
        assert!(message.contains("gateway.gateways.declared.policies"), "{message}");
    }
    // Others stand beside them.
    api.post("/gateways/declared/policies?commit=true", &block("more", "true")).result();
    assert_eq!(api.get("/gateways/declared/policies").result().as_array().unwrap().len(), 2);

    let mut body = gateway("gw");
    body["policies"] = json!([{ "id": "set", "action": { "type": "no-limit" } }]);
    api.post("/gateways", &body).result();
    let (status, _, message) = api.delete("/gateways/gw/policies/set").refusal();
    assert!(status == 409 && message.contains("settings of gateway `gw`"), "{message}");
    // Replacing the gateway leaves policies of the API alone, and deleting it takes them along.
    api.post(&format!("{POLICIES}?commit=true"), &block("kept", "true")).result();
    api.put("/gateways/gw", &gateway("gw")).result();
    assert_eq!(in_force(&api)[0]["name"], "kept");
    api.delete("/gateways/gw").result();
    assert!(in_force(&api).is_empty());
}

#[test]
fn where_accounts_are_named_none_makes_policies_for_a_shared_gateway() {
    let api = Api::with(|declared| declared.accounts = Some(vec!["acct".to_owned(), "other".to_owned()]));
    let (status, _, message) =
        api.post("/gateways/declared/policies?commit=true", &block("a", "true")).refusal();
    assert!(status == 409 && message.contains("serves all accounts"), "{message}");
}

#[test]
fn a_gateway_has_so_many_policies_and_the_drafts_beyond_fail() {
    let api = Api::with_gateway();
    let policy = |name: String| {
        let mut row = genesis_store::PolicyRow::new("acct", "gw", NOON);
        let fields = block(&name, "true").as_object().unwrap().clone();
        row.live = Some(fields);
        row
    };
    for number in 0..99 {
        api.store.add_policy(&policy(format!("p{number}"))).unwrap();
    }
    api.post(POLICIES, &block("hundredth", "true")).result();
    let over = api.post(POLICIES, &block("one more", "true")).result();
    let answer = api.call("POST", &format!("{POLICIES}/commit"), None);
    let body = answer.json();
    assert_eq!((answer.status, &body["success"]), (200, &json!(false)));
    assert_eq!((&body["result"]["committed"], &body["result"]["failed"]), (&json!(1), &json!(1)));
    assert_eq!(body["result"]["errors"][0]["policyId"], over["id"]);
    assert_eq!(api.post(&format!("{POLICIES}?commit=true"), &block("x", "true")).refusal().0, 409);
}

// What they say about a request

fn simulated(api: &Api, body: &Value) -> Value {
    api.post(&format!("{POLICIES}/simulate"), body).result()
}

#[test]
fn a_simulation_says_what_would_be_decided_drafts_included() {
    let api = Api::with_gateway();
    let ann = json!({ "cf": { "user": { "email": "ann@example.com", "groups": ["research"] } } });
    let asked = json!({ "identity": ann, "model": "openai/gpt-5.5", "provider": "openai" });
    let nothing = simulated(&api, &asked);
    assert_eq!(nothing["evaluation"], json!({ "decision": "no-limit", "buckets": [] }));
    assert_eq!(
        (&nothing["enforcement"], &nothing["policiesEvaluated"]),
        (&json!({ "allowed": true }), &json!(0))
    );

    let research = "'research' in cf.user.groups";
    let mut default = cap("Research default", "user:{cf.user.email}", 400.0);
    default["condition"] = json!(research);
    let mut higher = cap("Ann's", "user:{cf.user.email}", 600.0);
    higher["condition"] = json!("cf.user.email == 'ann@example.com'");
    api.post(&format!("{POLICIES}?commit=true"), &default).result();
    api.post(POLICIES, &higher).result();
    let answer = simulated(&api, &asked);
    assert_eq!(answer["evaluation"]["decision"], "check_limits");
    let bucket = &answer["evaluation"]["buckets"][0];
    assert_eq!((&bucket["limit"], &bucket["policyName"]), (&json!(600), &json!("Ann's")));
    assert_eq!(bucket["bucket"], "user:ann@example.com *");
    assert_eq!((&answer["enforcement"]["allowed"], &answer["policiesEvaluated"]), (&json!(true), &json!(2)));

    // Both name the same budget, whichever of them sets the cap.
    let mut spent = asked.clone();
    for (amount, allowed) in [(599.99, true), (600.0, false), (1000.42, false)] {
        spent["bucketUsage"] = json!({ "Research default": { "spent": amount } });
        let enforcement = simulated(&api, &spent)["enforcement"].clone();
        assert_eq!(enforcement["allowed"], allowed, "{amount}");
        if !allowed {
            let expected = json!({ "allowed": false, "reason": "limit_exceeded", "bucket": "user:ann@example.com *",
                "spent": enforcement["spent"], "limit": 600, "policyName": "Ann's" });
            assert_eq!(enforcement, expected);
            assert_eq!(enforcement["spent"].as_f64(), Some(amount));
        }
    }

    let stranger = json!({ "model": "gpt-5.5", "provider": "openai" });
    let answer = simulated(&api, &stranger);
    assert_eq!(answer["evaluation"]["decision"], "block");
    assert_eq!(
        answer["enforcement"],
        json!({ "allowed": false, "reason": "blocked" }),
        "no policy allows it"
    );
    api.post(&format!("{POLICIES}?commit=true"), &block("No strangers", "!has(cf.user.email)")).result();
    assert_eq!(simulated(&api, &stranger)["enforcement"]["policyName"], "No strangers");
}

#[test]
fn a_model_is_known_with_its_provider_before_it_and_without() {
    let api = Api::with_gateway();
    let mut mini = block("No opus", "true");
    mini["resource"] = json!({ "model": ["claude-opus-*"], "provider": "anthropic" });
    api.post(&format!("{POLICIES}?commit=true"), &mini).result();
    let mut rest = cap("Everyone", "", 5.0);
    rest["resource"] = json!({ "model": "anthropic/claude-*" });
    api.post(&format!("{POLICIES}?commit=true"), &rest).result();
    let decision = |body: Value| simulated(&api, &body)["evaluation"]["decision"].clone();
    for body in [
        json!({ "model": "anthropic/claude-opus-4-7", "provider": "anthropic" }),
        json!({ "model": "anthropic/claude-opus-4-7" }),
        json!({ "model": "claude-opus-4-7", "provider": "anthropic" }),
    ] {
        assert_eq!(decision(body), "block");
    }
    assert_eq!(decision(json!({ "model": "anthropic/claude-haiku-4-5" })), "check_limits");
    let asked = |body: &Value| api.post(&format!("{POLICIES}/simulate"), body).json()["errors"][0].clone();
    assert_eq!(asked(&json!({ "model": "m" }))["path"], json!(["body", "provider"]));
    let misspelt = json!({ "model": "a/m", "bucketUsage": { "Everione": { "spent": 1 } } });
    let error = asked(&misspelt);
    assert!(error["message"].as_str().unwrap().contains("did you mean 'Everyone'?"), "{error}");
}
