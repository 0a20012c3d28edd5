//! `genesis key`

use std::fs;

use genesis_config::ExposeSecret;
use serde_json::{Value, json};

use super::sandbox::{Ran, Sandbox, mode};

const KEY: &str = "sk-ant-api03-MARKER-of-the-secret-0042-abcd";
/// What no output and no file may hold.
const MARKER: &str = "MARKER";

/// Every stored key as (provider, alias, gateway, text).
fn stored(sandbox: &Sandbox) -> Vec<(String, String, Option<String>, String)> {
    let keys = sandbox.store().open_keys().unwrap();
    keys.into_iter()
        .map(|(row, secret)| (row.provider, row.alias, row.gateway, secret.expose_secret().to_owned()))
        .collect()
}

fn owned(
    provider: &str,
    alias: &str,
    gateway: Option<&str>,
    text: &str,
) -> (String, String, Option<String>, String) {
    (provider.into(), alias.into(), gateway.map(str::to_owned), text.into())
}

#[test]
fn set_seals_what_is_piped_in() {
    let sandbox = Sandbox::new();
    let ran = sandbox.piped(&["key", "set", "anthropic"], &format!("{KEY}\n")).ok();
    let ran = ran.says(&["stored the key for anthropic", "sk-…abcd"]);
    assert_eq!(ran.stdout, "");
    assert_eq!(stored(&sandbox), [owned("anthropic", "default", None, KEY)]);
    assert_eq!(mode(&sandbox.home()), 0o700);
    assert_eq!(mode(&sandbox.home().join("genesis.db")), 0o600);
    assert_eq!(mode(&sandbox.home().join("master.key")), 0o600);

    let listed = [sandbox.genesis(&["key", "list"]).ok(), sandbox.genesis(&["key", "list", "--json"]).ok()];
    sandbox.assert_nowhere(MARKER, &[&ran, &listed[0], &listed[1]]);
}

#[test]
fn set_frees_the_key_of_what_was_pasted_along() {
    let sandbox = Sandbox::new();
    let pasted = [
        format!("  {KEY} \r\n"),
        format!("\"{KEY}\"\n"),
        format!("export ANTHROPIC_API_KEY='{KEY}';\n"),
        format!("ANTHROPIC_API_KEY={KEY}"),
        format!("Bearer {KEY}"),
    ];
    for (at, text) in pasted.iter().enumerate() {
        sandbox.piped(&["key", "set", "anthropic"], text).ok().says(&[if at == 0 {
            "stored"
        } else {
            "replaced"
        }]);
        assert_eq!(stored(&sandbox), [owned("anthropic", "default", None, KEY)], "{text}");
    }
}

#[test]
fn aliases_and_gateways_have_keys_of_their_own() {
    let sandbox = Sandbox::new();
    sandbox.piped(&["key", "set", "xai"], "xai-0000000000000000001").ok().says(&["the key for grok"]);
    sandbox.piped(&["key", "set", "grok", "--alias", "work"], "xai-0000000000000000002").ok();
    sandbox.piped(&["key", "set", "grok", "--gateway", "prod"], "xai-0000000000000000003").ok();
    let mut keys = stored(&sandbox);
    keys.sort_by(|one, other| one.3.cmp(&other.3));
    assert_eq!(
        keys,
        [
            owned("grok", "default", None, "xai-0000000000000000001"),
            owned("grok", "work", None, "xai-0000000000000000002"),
            owned("grok", "default", Some("prod"), "xai-0000000000000000003"),
        ]
    );

    sandbox
        .genesis(&["key", "remove", "grok", "--alias", "home"])
        .fails(1, &["no such key", "alias work", "gateway prod", "--alias"]);
    sandbox
        .genesis(&["key", "remove", "xai", "--alias", "work"])
        .ok()
        .says(&["removed the key for grok, alias work"]);
    sandbox.genesis(&["key", "remove", "grok"]).ok();
    assert_eq!(stored(&sandbox), [owned("grok", "default", Some("prod"), "xai-0000000000000000003")]);
    sandbox
        .genesis(&["key", "remove", "openai"])
        .fails(1, &["no such key is stored for openai", "genesis key list"]);
    sandbox.genesis(&["key", "remove", "opnai"]).fails(2, &["did you mean `openai`?"]);
}

#[test]
fn a_key_on_the_command_line_is_refused_and_not_repeated() {
    let sandbox = Sandbox::new();
    let ran = [
        sandbox
            .genesis(&["key", "set", "anthropic", KEY])
            .fails(2, &["keys are not taken from the command line", "genesis key set anthropic", "replaced"]),
        sandbox
            .genesis(&["key", "set", KEY])
            .fails(2, &["a provider's name", "not taken from the command line"]),
        sandbox.genesis(&["key", "set", KEY, KEY]).fails(2, &["genesis key set <provider>"]),
        sandbox.genesis(&["key", "remove", KEY]).fails(2, &["a provider's name"]),
        sandbox.genesis(&["key", "set", "anthropic", &format!("--key={KEY}")]).fails(2, &["--key"]),
    ];
    sandbox.assert_nowhere(MARKER, &ran.each_ref());
    assert!(!sandbox.home().join("genesis.db").exists());
}

#[test]
fn what_cannot_be_a_key_is_refused_without_showing_it() {
    let sandbox = Sandbox::new();
    let token = sandbox.genesis(&["token", "create", "--name", "ci", "--quiet"]).ok().stdout;
    let mut ran: Vec<Ran> = Vec::new();
    let mut refuse = |provider: &str, text: &str, parts: &[&str]| {
        ran.push(sandbox.piped(&["key", "set", provider], text).fails(1, parts));
    };
    refuse("openai", "", &["is empty"]);
    refuse("openai", " \n\"\"\n", &["is empty"]);
    refuse("openai", &token, &["gateway token", "OpenAI"]);
    refuse("openai", "$OPENAI_MARKER_KEY", &["name of a variable"]);
    refuse("openai", "sk-MARKER\nsk-MARKER", &["several lines"]);
    refuse("openai", "my MARKER key", &["blanks"]);
    refuse("openai", "sk-MARKER-ключ", &["no header can carry"]);
    refuse("openai", "{\"key\":\"MARKER\"}", &["this is JSON", "OpenAI"]);
    refuse("openai", &"MARKER".repeat(20_000), &["too long"]);
    refuse("ollama", "sk-MARKER", &["takes no key"]);

    refuse("aws-bedrock", "AKIAMARKER00000000", &["half of a key", "secretAccessKey"]);
    refuse("aws-bedrock", "{\"accessKeyId\":\"MARKER\"", &["line 1, column 23", "accessKeyId"]);
    refuse("bedrock", "{\"accessKeyId\":\"MARKER\",\"region\":\" \"}", &["no secretAccessKey, no region"]);
    let odd = json!({"accessKeyId": "MARKER", "secretAccessKey": "MARKER", "region": "us-east-1", "sessionToken": 5});
    refuse("aws-bedrock", &odd.to_string(), &["sessionToken of the key must be text"]);
    refuse("google-vertex-ai", "{\"client_email\":\"MARKER\"}", &["no private_key", "service account"]);
    let odd = json!({"client_email": "MARKER", "private_key": "MARKER"});
    refuse("vertex", &odd.to_string(), &["no PEM text"]);

    sandbox.assert_nowhere(MARKER, &ran.iter().collect::<Vec<_>>());
    assert_eq!(stored(&sandbox), []);
}

#[test]
fn wrong_names_are_usage_errors() {
    let sandbox = Sandbox::new();
    sandbox
        .piped(&["key", "set", "antropic"], KEY)
        .fails(2, &["no provider is called `antropic`", "`anthropic`?"]);
    sandbox.piped(&["key", "set", "zzzzzzzz"], KEY).fails(2, &["models.providers"]);
    sandbox.piped(&["key", "set", "openai", "--alias", "a b"], KEY).fails(2, &["no blanks"]);
    sandbox.piped(&["key", "set", "openai", "--gateway", "a/b"], KEY).fails(2, &["1 to 64 characters"]);
}

#[test]
fn keys_of_clouds_are_stored_as_they_came() {
    let sandbox = Sandbox::new();
    let aws = "{\n \"accessKeyId\": \"AKIA1\", \"secretAccessKey\": \"MARKER\", \"region\": \"eu-west-1\"\n}";
    let google = json!({"type": "service_account", "client_email": "a@b",
        "private_key": "-----BEGIN PRIVATE KEY-----\nMARKER\n-----END PRIVATE KEY-----\n"});
    let ran = [
        sandbox.piped(&["key", "set", "aws-bedrock"], aws).ok(),
        sandbox.piped(&["key", "set", "google-vertex-ai"], &google.to_string()).ok(),
        sandbox.genesis(&["key", "list"]).ok(),
    ];
    sandbox.assert_nowhere(MARKER, &ran.each_ref());
    assert_eq!(ran[2].stdout.lines().count(), 3, "{:?}", ran[2]);
    let mut keys = stored(&sandbox);
    keys.sort();
    assert_eq!(keys[0], owned("aws-bedrock", "default", None, aws));
    assert_eq!(keys[1].3, google.to_string());
}

#[test]
fn list_says_where_each_key_comes_from_and_which_one_wins() {
    let sandbox = Sandbox::new();
    let ran = sandbox.genesis(&["key", "list"]).ok().says(&["no keys yet", "genesis key set"]);
    assert_eq!(ran.stdout, "");
    assert_eq!(sandbox.genesis(&["key", "list", "--json"]).ok().json(), json!([]));
    assert!(!sandbox.home().exists(), "looking creates nothing");

    sandbox.write(".env", &format!("ANTHROPIC_API_KEY={KEY}\n"));
    sandbox.write(
        "genesis.json",
        "{ models: { providers: {
            anthropic: { apiKey: 'sk-ant-file-MARKER-0000000' },
            groq: { apiKey: '${NOT_SET}' },
            mistral: { apiKey: '${MISTRAL_KEY}' },
        } }, env: { MISTRAL_KEY: 'mk-MARKER-00000000000000' } }",
    );
    let variables = [("OPENAI_API_KEY", "sk-proj-MARKER-0000000000wxyz")];
    let set = |args: &[&str]| sandbox.genesis_in(&[&["key", "set"], args].concat(), &variables, KEY).ok();
    set(&["anthropic"])
        .says(&["not used for now", "ANTHROPIC_API_KEY (.env in the genesis folder) comes first"]);
    set(&["anthropic", "--alias", "work"]);
    set(&["openai", "--gateway", "prod"]);
    set(&["deepseek"]);

    let ran = sandbox.genesis_in(&["key", "list", "--json"], &variables, "").ok();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let rows: Vec<String> = ran
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let fields =
                ["provider", "alias", "gateway", "source", "origin", "preview"].map(|name| text(&row[name]));
            assert_eq!(row["used"].as_bool(), Some(row["unused"].is_null()));
            assert_eq!(row["modified_at"].is_null(), row["source"] != "stored");
            format!("{} | {}", fields.join(" "), text(&row["unused"]))
        })
        .collect();
    assert_eq!(
        rows,
        [
            "anthropic default - environment ANTHROPIC_API_KEY (.env in the genesis folder) sk-…abcd | -",
            "anthropic default - stored - sk-…abcd | ANTHROPIC_API_KEY (.env in the genesis folder) comes first",
            "anthropic work - stored - sk-…abcd | -",
            "anthropic default - config models.providers.anthropic.apiKey sk-…0000 | \
             ANTHROPIC_API_KEY (.env in the genesis folder) comes first",
            "deepseek default - stored - sk-…abcd | -",
            "groq default - config models.providers.groq.apiKey - | ${NOT_SET} is not set anywhere; set NOT_SET in \
             the environment, in ~/.genesis/.env or in `env` of genesis.json",
            "mistral default - config models.providers.mistral.apiKey mk-…0000 | -",
            "openai default - environment OPENAI_API_KEY (process environment) sk-…wxyz | -",
            "openai default prod stored - sk-…abcd | -",
        ]
    );
    let table = sandbox.genesis_in(&["key", "list"], &variables, "").ok();
    assert_eq!(table.line("deepseek"), format!("deepseek default all stored sk-…abcd - {} yes", today()));
    assert!(
        table.line("openai").ends_with("OPENAI_API_KEY (process environment) sk-…wxyz - - yes"),
        "{table:?}"
    );
    for ran in [&ran, &table] {
        assert!(!ran.stdout.contains(MARKER) && !ran.stderr.contains(MARKER), "{ran:?}");
    }

    // Without the variable the next one in line is used, and removing says what remains.
    let removed = sandbox.genesis_in(&["key", "remove", "anthropic"], &variables, "").ok();
    removed.says(&["ANTHROPIC_API_KEY (.env in the genesis folder) still holds a key for anthropic"]);
    fs::remove_file(sandbox.home().join(".env")).unwrap();
    let table = sandbox.genesis(&["key", "list"]).ok();
    assert!(
        table
            .stdout
            .lines()
            .any(|line| line.contains("models.providers.anthropic.apiKey") && line.ends_with("yes")),
        "{table:?}"
    );
}

fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}

#[test]
fn a_broken_file_is_a_configuration_error() {
    let sandbox = Sandbox::new();
    sandbox.write("genesis.json", "{ gatway: {} }");
    sandbox.genesis(&["key", "list"]).fails(78, &["gatway", "did you mean", "hint:"]);
}
