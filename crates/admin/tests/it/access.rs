//! Who may do what.

use genesis_store::Permissions;
use serde_json::json;

use crate::support::{Api, gateway, token};

const READ: Permissions = Permissions { run: false, read: true, edit: false };
const RUN: Permissions = Permissions { run: true, read: false, edit: false };

fn call(api: &Api, method: &str, path: &str, token: &str) -> (u16, u64) {
    let bearer = format!("Bearer {token}");
    let body = gateway("other").to_string();
    let answer = api.send(method, path, &[("authorization", &bearer)], body.as_bytes());
    match answer.status {
        200 => (200, 0),
        _ => (answer.status, answer.refusal().1),
    }
}

#[test]
fn without_a_token_nothing_is_said() {
    let api = Api::new();
    let answer = api.send("GET", "/gateways", &[], b"");
    assert_eq!(answer.refusal().0, 400);
    assert_eq!(answer.refusal().1, 9106);
    assert!(answer.refusal().2.contains("Authorization"));
    assert_eq!(call(&api, "GET", "/gateways", "gt_wrong"), (401, 10000));
    // A key of the older kind is no token.
    let old = api.send("GET", "/gateways", &[("x-auth-key", &api.token), ("x-auth-email", "a@b.c")], b"");
    assert_eq!(old.refusal().1, 9106);
}

#[test]
fn reading_needs_read_and_changing_needs_edit() {
    let api = Api::new();
    let (reader, runner) = (token(&api.store, "r", READ, &[]), token(&api.store, "x", RUN, &[]));
    assert_eq!(call(&api, "GET", "/gateways", &reader), (200, 0));
    assert_eq!(call(&api, "POST", "/gateways", &reader), (403, 10000));
    assert_eq!(call(&api, "DELETE", "/gateways/declared/logs", &reader), (403, 10000));
    assert_eq!(call(&api, "GET", "/gateways", &runner), (403, 10000));
    assert_eq!(call(&api, "POST", "/gateways", &api.token), (200, 0));
    assert_eq!(call(&api, "GET", "/client/v4/user/tokens/verify", &reader), (200, 0));
}

#[test]
fn revoked_and_expired_tokens_are_noticed_at_once() {
    let api = Api::new();
    assert_eq!(call(&api, "GET", "/gateways", &api.token), (200, 0));
    api.store.revoke_token("test", 1).unwrap();
    assert_eq!(call(&api, "GET", "/gateways", &api.token), (401, 10000));
}

#[test]
fn a_token_for_some_gateways_sees_no_others() {
    let api = Api::with_gateway();
    api.post("/gateways", &gateway("mine")).result();
    let all = Permissions { run: true, read: true, edit: true };
    let mine = token(&api.store, "mine", all, &["mine"]);
    let bearer = format!("Bearer {mine}");
    let listed = api.send("GET", "/gateways", &[("authorization", &bearer)], b"").result();
    let ids: Vec<_> = listed.as_array().unwrap().iter().map(|gateway| gateway["id"].clone()).collect();
    assert_eq!(ids, [json!("mine")]);
    assert_eq!(call(&api, "GET", "/gateways/mine", &mine), (200, 0));
    assert_eq!(call(&api, "GET", "/gateways/mine/logs", &mine), (200, 0));
    for path in ["/gateways/gw", "/gateways/gw/logs", "/gateways/gw/provider_configs", "/custom-providers"] {
        assert_eq!(call(&api, "GET", path, &mine), (403, 10000), "{path}");
    }
    assert_eq!(call(&api, "POST", "/gateways", &mine), (403, 10000));
}

#[test]
fn in_dev_programs_here_need_no_token_and_web_pages_do() {
    let api = Api::with(|declared| declared.dev_gateways = Some(vec!["default".to_owned()]));
    let ok = |headers: &[(&str, &str)]| api.send("GET", "/gateways/default", headers, b"").status;
    assert_eq!(ok(&[("host", "127.0.0.1:18789")]), 200);
    assert_eq!(ok(&[("host", "localhost:18789"), ("authorization", "Bearer anything")]), 200);
    assert_eq!(ok(&[("host", "evil.example")]), 400);
    assert_eq!(ok(&[("host", "127.0.0.1:18789"), ("origin", "https://evil.example")]), 400);
    assert_eq!(ok(&[("host", "127.0.0.1:18789"), ("origin", "null")]), 400);
}

#[test]
fn accounts_are_apart_once_they_are_named() {
    let api = Api::with(|declared| declared.accounts = Some(vec!["acct".to_owned(), "other".to_owned()]));
    api.post("/gateways", &gateway("gw")).result();
    let other = "/client/v4/accounts/other/ai-gateway/gateways";
    let foreign = |path: &str| api.get(path).status;
    assert_eq!(foreign(&format!("{other}/gw")), 404);
    assert_eq!(foreign(&format!("{other}/gw/logs")), 404);
    assert_eq!(foreign("/client/v4/accounts/third/ai-gateway/gateways"), 403);
    // Ids are addressed without an account in places, so one id is one gateway.
    assert_eq!(api.post(other, &gateway("gw")).status, 409);
}

#[test]
fn without_named_accounts_any_account_is_the_same() {
    let api = Api::with_gateway();
    let elsewhere = api.get("/client/v4/accounts/whatever/ai-gateway/gateways/gw").result();
    assert_eq!(elsewhere["id"], "gw");
}

#[test]
fn unknown_paths_and_methods_are_said_so() {
    let api = Api::new();
    assert_eq!(api.get("/nonsense").refusal().1, 7003);
    assert_eq!(api.get("/client/v4/accounts/acct/zones").refusal(), {
        let message =
            "Could not route to /client/v4/accounts/acct/zones, perhaps your object identifier is invalid?";
        (404, 7003, message.to_owned())
    });
    let answer = api.delete("/gateways");
    assert_eq!(answer.status, 405);
    assert_eq!(answer.headers["allow"], "GET, POST");
}
