//! `genesis token`

use genesis_store::{looks_like_token, token_hash};
use serde_json::{Value, json};

use super::sandbox::{Sandbox, mode};

#[test]
fn create_prints_the_token_alone_on_standard_output() {
    let sandbox = Sandbox::new();
    let ran = sandbox.genesis(&["token", "create", "--name", "ci"]).ok();
    let ran = ran.says(&["`ci`", "may run on every gateway", "never again", "cf-aig-authorization: Bearer"]);
    let token = ran.stdout.strip_suffix('\n').unwrap();
    assert!(looks_like_token(token), "{ran:?}");
    assert!(!ran.stderr.contains(token));

    let rows = sandbox.store().tokens().unwrap();
    assert_eq!(rows[0].hash, token_hash(token.as_bytes()));
    // Only its hash is kept, and only for the owner of the folder.
    sandbox.assert_nowhere(token, &[]);
    assert_eq!(mode(&sandbox.home()), 0o700);
    assert_eq!(mode(&sandbox.home().join("genesis.db")), 0o600);
}

#[test]
fn quiet_create_says_nothing_else() {
    let ran = Sandbox::new().genesis(&["token", "create", "--name", "ci", "--quiet"]).ok();
    assert!(looks_like_token(ran.stdout.trim_end()), "{ran:?}");
    assert_eq!(ran.stderr, "");
}

#[test]
fn create_json_describes_what_was_asked_for() {
    let sandbox = Sandbox::new();
    sandbox.write("genesis.json", "{ gateway: { gateways: { prod: {} } } }");
    let args = ["token", "create", "--name", "dash", "--permissions", "read,edit", "--gateway", "prod"];
    let ran = sandbox
        .genesis(&[&args[..], &["--gateway", "default", "--expires", "2099-01-01", "--json"]].concat())
        .ok();
    let mut created = ran.json();
    let token = created["token"].take();
    assert!(looks_like_token(token.as_str().unwrap()));
    let id = created["id"].take();
    assert!(id.as_str().unwrap().starts_with("tok_"));
    assert_eq!(
        created,
        json!({
            "id": null, "name": "dash", "token": null, "permissions": ["read", "edit"],
            "gateways": ["prod", "default"], "expires_at": "2099-01-01T00:00:00.000Z",
        })
    );
    assert_eq!(ran.stderr, "");
}

#[test]
fn a_token_says_whom_it_was_given_to() {
    let sandbox = Sandbox::new();
    let args = ["token", "create", "--name", "ann", "--user", "u1", "--email", "ann@example.com", "--json"];
    let more = ["--group", "dev", "--group", "ops", "--claim", "level=3", "--claim", "site=a=b"];
    let created = sandbox.genesis(&[&args[..], &more].concat()).ok().json();
    let identity = json!({ "user": "u1", "email": "ann@example.com", "groups": ["dev", "ops"],
        "claims": { "level": 3, "site": "a=b" } });
    assert_eq!(created["identity"], identity);
    sandbox.genesis(&["token", "create", "--name", "plain"]).ok();
    let list = sandbox.genesis(&["token", "list", "--json"]).ok().json();
    assert_eq!((&list[0]["identity"], list[1].get("identity")), (&identity, None));
    sandbox.genesis(&["token", "create", "--name", "b", "--claim", "level"]).fails(2, &["name=value"]);
}

#[test]
fn a_gateway_nobody_made_is_pointed_out() {
    let sandbox = Sandbox::new();
    sandbox.write("genesis.json", "{ gateway: { gateways: { prod: {} } } }");
    sandbox
        .genesis(&["token", "create", "--name", "a", "--gateway", "prdo"])
        .ok()
        .says(&["no gateway `prdo` yet", "did you mean `prod`?"]);
}

#[test]
fn wrong_requests_create_nothing() {
    let sandbox = Sandbox::new();
    let create = |more: &[&str]| sandbox.genesis(&[&["token", "create"], more].concat());
    create(&[]).fails(2, &["--name"]);
    create(&["--name", "a", "--permissions", "write"]).fails(2, &["write", "run", "read", "edit"]);
    create(&["--name", "a", "--gateway", "a/b"]).fails(2, &["1 to 64 characters"]);
    create(&["--name", "a", "--expires", "2001-01-01"]).fails(2, &["already past"]);
    create(&["--name", "a", "--expires", "-1d"]).fails(2, &[]);
    create(&["--name", "a", "--expires", "soon"]).fails(2, &["30m, 12h or 7d", "2026-11-22"]);
    create(&["--name", " "]).fails(1, &["1 to 100 characters"]);
    assert_eq!(sandbox.genesis(&["token", "list", "--json"]).ok().json(), json!([]));

    create(&["--name", "a"]).ok();
    create(&["--name", "a"]).fails(1, &["`a`"]);
}

#[test]
fn list_shows_every_token_and_its_state() {
    let sandbox = Sandbox::new();
    let ran = sandbox.genesis(&["token", "list"]).ok().says(&["no tokens yet", "genesis token create"]);
    assert_eq!(ran.stdout, "");

    let store = sandbox.store();
    let past =
        genesis_store::NewToken { name: "old".into(), expires_at_ms: Some(2_000), ..Default::default() };
    store.create_token(past, 1_000).unwrap();
    for name in ["ci", "gone"] {
        sandbox.genesis(&["token", "create", "--name", name, "--expires", "30d"]).ok();
    }
    sandbox.genesis(&["token", "revoke", "gone"]).ok().says(&["`gone`", "is revoked"]);

    let ran = sandbox.genesis(&["token", "list"]).ok();
    let states: Vec<_> =
        ran.stdout.lines().skip(1).map(|line| line.split_whitespace().last().unwrap()).collect();
    assert_eq!(states, ["expired", "live", "revoked"], "{ran:?}");
    assert!(ran.stdout.lines().all(|line| !line.ends_with(' ')), "{ran:?}");
    assert!(ran.stdout.starts_with("ID "), "{ran:?}");
    assert!(!ran.stdout.contains('\u{1b}'), "{ran:?}");

    let list = sandbox.genesis(&["token", "list", "--json"]).ok().json();
    let states: Vec<_> = list.as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["expired", "live", "revoked"]);
    assert_eq!(list[0]["expires_at"], "1970-01-01T00:00:02.000Z");
    assert_eq!(list[1]["revoked_at"], Value::Null);
    assert!(list[0].get("hash").is_none());
}

#[test]
fn colours_are_for_terminals_and_for_who_insists() {
    let sandbox = Sandbox::new();
    sandbox.genesis(&["token", "create", "--name", "ci"]).ok();
    let plain = sandbox.genesis(&["token", "list"]).ok().stdout;
    let forced = sandbox.genesis_in(&["token", "list"], &[("CLICOLOR_FORCE", "1")], "").ok().stdout;
    assert!(forced.contains('\u{1b}'), "{forced:?}");
    let refused = sandbox.genesis_in(&["token", "list"], &[("NO_COLOR", "1")], "").ok().stdout;
    assert_eq!(refused, plain);
}

#[test]
fn revoke_takes_an_id_or_a_name_and_says_what_it_does_not_know() {
    let sandbox = Sandbox::new();
    sandbox.genesis(&["token", "revoke", "ci"]).fails(1, &["no live token", "genesis token list"]);
    assert!(!sandbox.home().exists(), "a refusal creates nothing");

    let id = sandbox.genesis(&["token", "create", "--name", "ci", "--json"]).ok().json()["id"].clone();
    let id = id.as_str().unwrap();
    sandbox.genesis(&["token", "revoke", id]).ok().says(&[id, "is revoked"]);
    sandbox.genesis(&["token", "revoke", id]).ok().says(&["revoked already"]);
    sandbox.genesis(&["token", "revoke", "ci"]).fails(1, &["no live token"]);
    // The name is free again.
    sandbox.genesis(&["token", "create", "--name", "ci"]).ok();
}
