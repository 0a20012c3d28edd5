//! `genesis config`

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::json;

use super::sandbox::{Sandbox, mode};

const FILE: &str = "// my gateway\n{\n  gateway: {\n    drainSeconds: 30, // seconds\n    gateways: {\n      \
                    'prod': { authentication: true },\n    },\n  },\n  /* keys */\n  env: { A: 'secret-in-env' },\n}\n";

fn text(sandbox: &Sandbox) -> String {
    fs::read_to_string(sandbox.home().join("genesis.json")).unwrap()
}

#[test]
fn file_prints_the_path_whether_it_is_there_or_not() {
    let sandbox = Sandbox::new();
    let ran = sandbox.genesis(&["config", "file"]).ok();
    assert_eq!(ran.stdout, format!("{}/genesis.json\n", sandbox.home().display()));
    assert!(!sandbox.home().exists());
}

#[test]
fn set_changes_one_value_and_keeps_every_other_byte() {
    let sandbox = Sandbox::new();
    sandbox.write("genesis.json", FILE);
    let ran = sandbox.genesis(&["config", "set", "gateway.drainSeconds", "10"]).ok();
    assert_eq!(ran.stdout, "");
    let ran = ran.says(&["gateway.drainSeconds: 30 → 10, in "]);
    assert_eq!(ran.stderr.lines().count(), 1);
    assert_eq!(text(&sandbox), FILE.replace("30,", "10,"));

    let backup = sandbox.home().join("genesis.json.bak");
    assert_eq!(fs::read_to_string(&backup).unwrap(), FILE);
    assert_eq!((mode(&backup), mode(&sandbox.home().join("genesis.json"))), (0o600, 0o600));
    let names = fs::read_dir(sandbox.home()).unwrap().count();
    assert_eq!(names, 2, "no temporary file is left");

    // The same again writes nothing, so the backup stays what it was.
    sandbox
        .genesis(&["config", "set", "gateway.drainSeconds", "10"])
        .ok()
        .says(&["is 10 already", "nothing is written"]);
    assert_eq!(fs::read_to_string(&backup).unwrap(), FILE);
}

#[test]
fn set_makes_the_file_for_its_owner_only() {
    let sandbox = Sandbox::new();
    sandbox.genesis(&["config", "set", "gateway.gateways.prod", "{ cache_ttl: 300 }", "--quiet"]).ok();
    assert_eq!(
        text(&sandbox),
        "{\n  gateway: {\n    gateways: {\n      prod: {\n        cache_ttl: 300\n      }\n    }\n  }\n}\n"
    );
    assert_eq!((mode(&sandbox.home()), mode(&sandbox.home().join("genesis.json"))), (0o700, 0o600));
    assert!(!sandbox.home().join("genesis.json.bak").exists());
}

#[test]
fn a_file_others_could_read_is_closed_and_a_link_stays_a_link() {
    let sandbox = Sandbox::new();
    sandbox.write("real.json", "{ gateway: {} }");
    fs::set_permissions(sandbox.home().join("real.json"), fs::Permissions::from_mode(0o644)).unwrap();
    symlink("real.json", sandbox.home().join("genesis.json")).unwrap();
    sandbox.genesis(&["config", "set", "gateway.workers", "2"]).ok();
    assert!(fs::symlink_metadata(sandbox.home().join("genesis.json")).unwrap().is_symlink());
    assert_eq!(mode(&sandbox.home().join("real.json")), 0o600);
    assert!(text(&sandbox).contains("workers: 2"));
}

#[test]
fn values_are_json5_or_else_text() {
    let sandbox = Sandbox::new();
    let set = |args: &[&str]| sandbox.genesis(&[&["config", "set"], args].concat());
    set(&["gateway.listen", "127.0.0.1:9"]).ok();
    set(&["gateway.accounts[0]", "'12'"]).ok();
    set(&["gateway.accounts[1]", "acme"]).ok();
    set(&["models.providers[\"my.llm\"].baseUrl", "http://10.0.0.5:8000/v1"]).ok();
    let get = |path: &str| sandbox.genesis(&["config", "get", path, "--json"]).ok().json();
    assert_eq!(get("gateway"), json!({"listen": "127.0.0.1:9", "accounts": ["12", "acme"]}));
    assert_eq!(get("models.providers[\"my.llm\"].baseUrl"), json!("http://10.0.0.5:8000/v1"));

    set(&["gateway.listen", "127.0.0.1:9", "--strict-json"]).fails(2, &["not JSON5", "quote text twice"]);
    set(&["gateway..listen", "x"]).fails(2, &["`gateway..listen` is no path"]);
    set(&["gateway.accounts[7]", "'x'"]).fails(1, &["gateway.accounts has 2 elements; the next one is [2]"]);
    set(&["gateway.listen.port", "1"]).fails(1, &["gateway.listen is a single value", "as a whole"]);
}

#[test]
fn what_would_be_wrong_is_not_written() {
    let sandbox = Sandbox::new();
    sandbox.write("genesis.json", FILE);
    let set = |args: &[&str]| sandbox.genesis(&[&["config", "set"], args].concat());
    set(&["gateway.drainSecond", "1"]).fails(
        1,
        &[
            "nothing is written",
            "genesis.json:8:5: gateway.drainSecond: unknown field",
            "hint: did you mean `drainSeconds`?",
        ],
    );
    set(&["gateway.drainSeconds", "-1"]).fails(1, &["genesis.json:4:5: gateway.drainSeconds"]);
    set(&["gateway.limits.bodyBytes", "0", "--dry-run"]).fails(1, &["0 would refuse every request"]);
    assert_eq!(text(&sandbox), FILE);
    assert!(!sandbox.home().join("genesis.json.bak").exists());

    sandbox.write("genesis.json", "{ gateway: ");
    set(&["gateway.workers", "1"]).fails(78, &["genesis.json:1:", "by hand"]);
    assert_eq!(text(&sandbox), "{ gateway: ");
}

#[test]
fn dry_run_shows_the_change_and_writes_nothing() {
    let sandbox = Sandbox::new();
    let ran = sandbox.genesis(&["config", "set", "gateway.workers", "2", "--dry-run"]).ok();
    assert_eq!(
        (ran.stdout.as_str(), ran.stderr.as_str()),
        ("gateway.workers: (not set) → 2\n", "nothing is written\n")
    );
    assert!(!sandbox.home().exists());
}

#[test]
fn a_folder_that_cannot_be_written_loses_nothing() {
    let sandbox = Sandbox::new();
    // A folder stands where the backup should go: the file itself must be left alone.
    sandbox.write("genesis.json", FILE);
    fs::create_dir_all(sandbox.home().join("genesis.json.bak/x")).unwrap();
    sandbox
        .genesis(&["config", "set", "gateway.workers", "2"])
        .fails(1, &["cannot write", "the file is as it was"]);
    assert_eq!(text(&sandbox), FILE);
    let names = fs::read_dir(sandbox.home()).unwrap().count();
    assert_eq!(names, 2, "no temporary file is left");
}

#[test]
fn unset_removes_one_value() {
    let sandbox = Sandbox::new();
    sandbox.write("genesis.json", FILE);
    sandbox
        .genesis(&["config", "unset", "gateway.drainSeconds"])
        .ok()
        .says(&["gateway.drainSeconds is removed"]);
    assert_eq!(text(&sandbox), FILE.replace("    drainSeconds: 30, // seconds\n", ""));
    sandbox.genesis(&["config", "unset", "gateway.drainSeconds"]).fails(1, &["is not set"]);
    sandbox
        .genesis(&["config", "unset", "gateway.gateway.prod"])
        .fails(1, &["did you mean `gateway.gateways.prod`?"]);
}

#[test]
fn get_prints_values_and_says_what_is_not_set() {
    let sandbox = Sandbox::new();
    sandbox
        .genesis(&["config", "get", "gateway"])
        .fails(1, &["gateway is not set", "everything has its default"]);
    sandbox.write("genesis.json", FILE);
    let get = |args: &[&str]| sandbox.genesis(&[&["config", "get"], args].concat());
    assert_eq!(get(&["gateway.drainSeconds"]).ok().stdout, "30\n");
    assert_eq!(
        get(&["gateway.gateways"]).ok().stdout,
        "{\n  \"prod\": {\n    \"authentication\": true\n  }\n}\n"
    );
    assert_eq!(get(&["gateway.gateways", "--json"]).ok().json(), json!({"prod": {"authentication": true}}));
    get(&["gateway.drainSecond"]).fails(1, &["did you mean `gateway.drainSeconds`?"]);
    sandbox.write("genesis.json", "{ a ");
    get(&["gateway"]).fails(78, &["cannot be read as JSON5", "genesis config validate"]);
}

#[test]
fn no_secret_is_shown_or_lost() {
    let sandbox = Sandbox::new();
    let file = "{ models: { providers: { openai: { apiKey: 'TOPSECRET', headers: { 'x-api-key': 'TOPSECRET', \
                authorization: 'Bearer TOPSECRET', 'cf-aig-authorization': 'Bearer ${CF_AIG_TOKEN}', 'x-title': 'me' } } } },\n\
                env: { K: 'TOPSECRET', vars: { L: 'TOPSECRET' } },\n\
                gateway: { store: 'sqlite:x.db', shared: 'redis://me:TOPSECRET@h/0' } }";
    sandbox.write("genesis.json", file);
    let mut shown = String::new();
    for path in [
        "models",
        "env",
        "gateway",
        "env.K",
        "env.vars.L",
        "models.providers.openai.apiKey",
        "gateway.shared",
    ] {
        for more in [&[][..], &["--json"][..]] {
            let ran = sandbox.genesis(&[&["config", "get", path][..], more].concat()).ok();
            shown += &ran.stdout;
            shown += &ran.stderr;
        }
    }
    assert!(!shown.contains("TOPSECRET"), "{shown}");
    for part in
        ["Bearer ${CF_AIG_TOKEN}", "redis://me:***@h/0", "Bearer ***", "\"x-title\": \"me\"", "sqlite:x.db"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }

    // Changing it shows neither the old one nor the new, and a mask is never written over the secret.
    let ran = sandbox
        .genesis(&["config", "set", "env.K", "NEWSECRET"])
        .ok()
        .says(&["env.K: \"***\" → \"***\"", "shell's history"]);
    assert!(!ran.stderr.contains("SECRET"), "{ran:?}");
    sandbox
        .genesis(&["config", "set", "models.providers.openai.headers", "{ 'x-api-key': '***' }"])
        .fails(1, &["stands for a secret"]);
    assert_eq!(text(&sandbox), file.replace("K: 'TOPSECRET'", "K: \"NEWSECRET\""));
    let ran = sandbox.piped(&["config", "set", "env.K", "-"], "{PIPED: 1}\n").ok();
    assert!(!ran.stderr.contains("history") && !ran.stderr.contains("PIPED"), "{ran:?}");
    assert!(text(&sandbox).contains("K: \"{PIPED: 1}\""));
}

#[test]
fn validate_lists_everything_with_its_place() {
    let sandbox = Sandbox::new();
    sandbox.genesis(&["config", "validate"]).fails(1, &["there is no ", "everything has its default"]);
    sandbox.write("genesis.json", FILE);
    let ran = sandbox.genesis(&["config", "validate"]).ok().says(&["genesis.json is good"]);
    assert_eq!(ran.stdout, "");

    sandbox.write(
        "genesis.json",
        "{\n  gateway: {\n    listn: 1,\n    workers: 'x',\n  },\n  models: { providers: { openai: {\n    \
        headers: { authorization: 'Bearer: x' },\n    apiKey: '<your key>',\n  } } },\n}\n",
    );
    sandbox.genesis(&["config", "validate"]).fails(
        78,
        &[
            "4 problems found in ",
            "genesis.json:3:5: gateway.listn: unknown field `listn`\n  hint: did you mean `listen`?",
            "genesis.json:4:5: gateway.workers: ",
            "genesis.json:7:16: models.providers.openai.headers.authorization: a colon stands after `Bearer`",
            "genesis.json:8:5: models.providers.openai.apiKey: a placeholder",
        ],
    );
}

#[test]
fn validate_json_is_for_scripts() {
    let sandbox = Sandbox::new();
    sandbox.write("genesis.json", FILE);
    let path = sandbox.home().join("genesis.json");
    let ran = sandbox.genesis(&["config", "validate", "--json"]).ok();
    assert_eq!(ran.json(), json!({"valid": true, "path": path, "issues": []}));

    sandbox.write("genesis.json", "{ models: { providers: { openai: { apiKey: '${UNSET_KEY}' } } } }");
    let ran = sandbox.genesis(&["config", "validate", "--json"]);
    assert_eq!(ran.code, Some(78), "{ran:?}");
    let said = ran.json();
    assert_eq!(said["valid"], false);
    let issue = &said["issues"][0];
    assert_eq!(
        (&issue["path"], &issue["line"], &issue["column"]),
        (&json!("models.providers.openai.apiKey"), &json!(1), &json!(36))
    );
    assert!(issue["message"].as_str().unwrap().contains("${UNSET_KEY} is not set anywhere"), "{issue}");

    // Set in .env, it is no problem.
    sandbox.write(".env", "UNSET_KEY=abc\n");
    assert_eq!(sandbox.genesis(&["config", "validate", "--json"]).ok().json()["valid"], true);
}

#[test]
fn schema_is_json_schema() {
    let ran = Sandbox::new().genesis(&["config", "schema"]).ok();
    let schema: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["properties"]["gateway"]["properties"]["drainSeconds"]["type"], "integer");
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn every_help_has_examples() {
    for command in ["get", "set", "unset", "validate", "schema"] {
        let ran = Sandbox::new().genesis(&["config", command, "--help"]).ok();
        assert!(ran.stdout.contains("Example"), "{ran:?}");
    }
}
