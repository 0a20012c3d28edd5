//! `genesis onboard` without a terminal: what it writes, says and refuses.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use super::sandbox::{Ran, Sandbox, mode};

const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";
const KEY: &str = "sk-ant-api03-MARK3R-abcdefghijklmnop";

/// The page's non-interactive block, word for word, after the shell put the key in.
fn page(key: &str) -> Vec<&str> {
    vec![
        "onboard",
        "--non-interactive",
        "--mode",
        "local",
        "--auth-choice",
        "cloudflare-ai-gateway-api-key",
        "--cloudflare-ai-gateway-account-id",
        "your-account-id",
        "--cloudflare-ai-gateway-gateway-id",
        "your-gateway-id",
        "--cloudflare-ai-gateway-api-key",
        key,
    ]
}

fn read(sandbox: &Sandbox, name: &str) -> String {
    fs::read_to_string(sandbox.home().join(name)).unwrap()
}

/// Everything that can be seen of a command: its end, what it printed, the files it left.
fn seen(sandbox: &Sandbox, ran: &Ran) -> String {
    let mut files = Vec::new();
    for entry in fs::read_dir(sandbox.home()).into_iter().flatten().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let text = match name.as_str() {
            "genesis.db" => "…\n".to_owned(),
            _ => read(sandbox, &name),
        };
        files.push(format!("--- {name} {:o}\n{text}", mode(&entry.path())));
    }
    files.sort();
    let folder = sandbox.home();
    let folder = folder.parent().unwrap().display().to_string();
    let text = format!(
        "exit {}\n--- stdout\n{}--- stderr\n{}{}",
        ran.code.unwrap(),
        ran.stdout,
        ran.stderr,
        files.concat()
    );
    text.replace(&folder, "~")
}

macro_rules! snapshot {
    ($sandbox:expr, $ran:expr) => {
        insta::with_settings!({ prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(seen(&$sandbox, &$ran));
        });
    };
}

#[test]
fn the_page_works_word_for_word() {
    let sandbox = Sandbox::new();
    snapshot!(sandbox, sandbox.genesis(&page(KEY)).ok());
}

#[test]
fn a_second_run_changes_nothing() {
    let sandbox = Sandbox::new();
    sandbox.genesis(&page(KEY)).ok();
    let inode = |name: &str| {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(sandbox.home().join(name)).unwrap().ino()
    };
    let before = (inode("genesis.json"), inode(".env"));
    let ran = sandbox.genesis(&page(KEY)).ok();
    assert_eq!((inode("genesis.json"), inode(".env")), before, "not even written again");
    snapshot!(sandbox, ran);
}

#[test]
fn what_was_there_stays() {
    let sandbox = Sandbox::new();
    let config = "// mine\n{\n  agents: { defaults: { model: \"openai/gpt-5\" } }, // chosen with care\n  models: {\n    \
                  providers: {\n      'cloudflare-ai-gateway': {\n        headers: { 'x-team': 'search' },\n        \
                  models: [{ id: 'my-model' }],\n      },\n    },\n  },\n}\n";
    sandbox.write("genesis.json", config);
    sandbox.write(".env", "# keys\nOTHER=1\nexport CLOUDFLARE_AI_GATEWAY_API_KEY='old'\n");
    let ran = sandbox.genesis(&page(KEY)).ok();
    assert_eq!(read(&sandbox, "genesis.json.bak"), config);
    let written = read(&sandbox, "genesis.json");
    for kept in
        ["// mine", "\"openai/gpt-5\" } }, // chosen with care", "'x-team': 'search'", "id: 'my-model'"]
    {
        assert!(written.contains(kept), "{kept}: {written}");
    }
    assert_eq!(read(&sandbox, ".env"), format!("# keys\nOTHER=1\nCLOUDFLARE_AI_GATEWAY_API_KEY={KEY}\n"));
    assert!(ran.stdout.contains("openai/gpt-5, as before"), "{ran:?}");
    ran.says(&["genesis models set cloudflare-ai-gateway/claude-sonnet-4-6"]);

    // Asked for, the default changes, and stays one text.
    sandbox.genesis(&[&page(KEY)[..], &["--model", "claude-opus-4-6"]].concat()).ok();
    assert!(
        read(&sandbox, "genesis.json")
            .contains("model: \"cloudflare-ai-gateway/claude-opus-4-6\" } }, // chosen")
    );
}

#[test]
fn the_gateway_that_holds_the_key_gets_the_token_alone() {
    let sandbox = Sandbox::new();
    let ran = sandbox.genesis(&[
        "onboard",
        "--non-interactive",
        "--auth-choice",
        "cloudflare-ai-gateway-stored-key",
        "--endpoint",
        "compat",
        "--model",
        "anthropic/claude-sonnet-4-5",
        "--cloudflare-ai-gateway-account-id",
        ACCOUNT,
        "--cloudflare-ai-gateway-gateway-id",
        "prod",
        "--cloudflare-ai-gateway-token",
        "Bearer a-token",
    ]);
    snapshot!(sandbox, ran.ok());
}

#[test]
fn the_other_way_of_authenticating_replaces_the_first() {
    let sandbox = Sandbox::new();
    sandbox.genesis(&page(KEY)).ok();
    let stored = ["onboard", "--non-interactive", "--auth-choice", "cloudflare-ai-gateway-stored-key"];
    // Ids and address are those that are there.
    sandbox.genesis(&[&stored[..], &["--cloudflare-ai-gateway-token", "t0ken"]].concat()).ok();
    let config = read(&sandbox, "genesis.json");
    assert!(
        config.contains("/your-account-id/your-gateway-id/anthropic")
            && config.contains("providerAuth: \"stored\"")
    );
    sandbox.genesis(&page(KEY)).ok();
    let config = read(&sandbox, "genesis.json");
    assert!(!config.contains("providerAuth") && config.contains("${CF_AIG_TOKEN}"), "{config}");

    // The endpoint the default model belonged to goes away, and the model with it.
    let compat = [
        "onboard",
        "--non-interactive",
        "--endpoint",
        "compat",
        "--auth-choice",
        "cloudflare-ai-gateway-stored-key",
    ];
    sandbox.genesis(&compat).ok();
    assert!(
        read(&sandbox, "genesis.json")
            .contains("primary: \"cloudflare-ai-gateway/anthropic/claude-sonnet-4-6\"")
    );
}

#[test]
fn an_address_somebody_changed_stays_for_the_same_ids() {
    let sandbox = Sandbox::new();
    sandbox.genesis(&page(KEY)).ok();
    let own = "http://127.0.0.1:9/v1/your-account-id/your-gateway-id/anthropic";
    sandbox.genesis(&["config", "set", "models.providers.cloudflare-ai-gateway.baseUrl", own]).ok();
    sandbox.genesis(&page("sk-ant-another-key")).ok();
    assert!(read(&sandbox, "genesis.json").contains(own));
}

#[test]
fn a_token_is_made_for_the_gateway_on_this_machine_and_only_once() {
    let sandbox = Sandbox::new();
    let args = ["onboard", "--non-interactive", "--auth-choice", "genesis-gateway"];
    let ran = sandbox.genesis(&args).ok();
    let dot_env = read(&sandbox, ".env");
    let token = dot_env.strip_prefix("GENESIS_GATEWAY_TOKEN=").unwrap().trim();
    assert!(token.starts_with("gt_") && !ran.stdout.contains(token) && !ran.stderr.contains(token));
    assert!(read(&sandbox, "genesis.json").contains("http://127.0.0.1:18789/v1/default/default/compat"));
    let ran = sandbox.genesis(&args).ok();
    assert!(ran.stdout.contains("nothing was written"), "{ran:?}");
    assert_eq!(sandbox.genesis(&["token", "list", "--json"]).ok().json().as_array().unwrap().len(), 1);

    let away = [
        "onboard",
        "--non-interactive",
        "--mode",
        "remote",
        "--remote-url",
        "http://10.9.8.7:80/v1/acme/prod",
    ];
    Sandbox::new()
        .genesis(&away)
        .fails(2, &["missing: the gateway token", "--remote-token", "GENESIS_GATEWAY_TOKEN"]);
}

#[test]
fn providers_directly() {
    for (flag, variable, default) in [
        ("--anthropic-api-key", "ANTHROPIC_API_KEY", "anthropic/claude-sonnet-4-6"),
        ("--openai-api-key", "OPENAI_API_KEY", "openai/gpt-5.5"),
        ("--gemini-api-key", "GEMINI_API_KEY", "google-ai-studio/gemini-3.5-flash"),
    ] {
        let sandbox = Sandbox::new();
        // The key says which provider is meant.
        sandbox.genesis(&["onboard", "--non-interactive", flag, " 'a-key-of-somebody' "]).ok();
        assert_eq!(read(&sandbox, ".env"), format!("{variable}=a-key-of-somebody\n"));
        let models = sandbox.genesis(&["models", "list", "--json"]).ok().json();
        let first = &models["models"][0];
        assert_eq!(
            (&first["key"], &first["available"], &first["missing"]),
            (&json!(default), &json!(true), &json!(false))
        );
    }
}

#[test]
fn any_address() {
    let sandbox = Sandbox::new();
    let args = [
        "onboard",
        "--non-interactive",
        "--auth-choice",
        "custom-api-key",
        "--custom-base-url",
        "http://127.0.0.1:8000/v1/chat/completions",
        "--custom-model-id",
        "my/model",
        "--custom-provider-id",
        "My-LLM",
        "--custom-api-key",
        "k-1",
    ];
    snapshot!(sandbox, sandbox.genesis(&args).ok());

    let keyless = Sandbox::new();
    keyless
        .genesis(&[
            "onboard",
            "--non-interactive",
            "--custom-base-url",
            "http://127.0.0.1:8000",
            "--custom-model-id",
            "m",
        ])
        .ok();
    assert!(!keyless.home().join(".env").exists(), "a server of one's own may want no key");
    let taken = ["onboard", "--non-interactive", "--custom-base-url", "http://h", "--custom-model-id", "m"];
    keyless
        .genesis(&[&taken[..], &["--custom-provider-id", "openai"]].concat())
        .fails(2, &["--custom-provider-id", "`openai` is OpenAI here"]);
}

#[test]
fn ids_and_keys_are_taken_from_what_was_pasted() {
    let sandbox = Sandbox::new();
    let address =
        format!(" \"https://gateway.ai.cloudflare.com/v1/{}/prod/anthropic\" ", ACCOUNT.to_uppercase());
    let args = ["onboard", "--non-interactive", "--cloudflare-ai-gateway-account-id", &address];
    let key = format!("export CLOUDFLARE_AI_GATEWAY_API_KEY=\"{KEY}\";\n");
    let ran = sandbox.genesis(&[&args[..], &["--cloudflare-ai-gateway-api-key", &key]].concat()).ok();
    assert_eq!(ran.stderr.matches("warning").count(), 0, "{ran:?}");
    assert!(read(&sandbox, "genesis.json").contains(&format!("/v1/{ACCOUNT}/prod/anthropic")));
    assert_eq!(read(&sandbox, ".env"), format!("CLOUDFLARE_AI_GATEWAY_API_KEY={KEY}\n"));
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_written() {
    let with = |account: &str, gateway: &str, key: &str| {
        let sandbox = Sandbox::new();
        let mut args = page(key);
        (args[7], args[9]) = (account, gateway);
        let ran = sandbox.genesis(&args);
        assert!(!sandbox.home().exists(), "{ran:?}");
        assert!(key.is_empty() || (!ran.stderr.contains(key) && !ran.stdout.contains(key)), "{ran:?}");
        ran
    };
    with("", "prod", KEY).fails(2, &["missing: the account id", "CLOUDFLARE_ACCOUNT_ID"]);
    with("<account_id>", "prod", KEY).fails(2, &["placeholder"]);
    with("a b", "prod", KEY).fails(2, &["--cloudflare-ai-gateway-account-id", "32 hex digits"]);
    with(ACCOUNT, "a/b", KEY).fails(2, &["--cloudflare-ai-gateway-gateway-id", "1 to 64"]);
    with(ACCOUNT, &"g".repeat(65), KEY).fails(2, &["1 to 64"]);
    with("https://example.com/", "prod", KEY).fails(2, &["no account is named in this address"]);
    with(ACCOUNT, "prod", "").fails(2, &["missing: the provider key", "CLOUDFLARE_AI_GATEWAY_API_KEY"]);
    with(ACCOUNT, "prod", "sk-MARK3R two-words").fails(2, &["blanks inside"]);
    with(ACCOUNT, "prod", "$SOME_MARK3R").fails(2, &["name of a variable"]);
    with("", "", "").fails(2, &["missing: the account id, the gateway id, the provider key"]);

    let sandbox = Sandbox::new();
    let run = |args: &[&str]| sandbox.genesis(&[&["onboard", "--non-interactive"], args].concat());
    run(&["--auth-choice", "cloudflare-ai-gateway-apikey"])
        .fails(2, &["similar value", "cloudflare-ai-gateway-api-key"]);
    run(&["--openai-api-key", "a-key", "--anthropic-api-key", "b-key"])
        .fails(2, &["several keys", "--auth-choice"]);
    run(&[]).fails(2, &["missing: where calls go", "--auth-choice"]);
    let ran = run(&["sk-MARK3R-in-the-wrong-place"]).fails(2, &["flags only", "replace it"]);
    assert!(!ran.stderr.contains("MARK3R"));
    sandbox
        .genesis(&["onboard"])
        .fails(2, &["no terminal", "--non-interactive", "--cloudflare-ai-gateway-account-id"]);
    assert!(!sandbox.home().exists());
}

#[test]
fn a_key_of_somebody_else_is_doubted() {
    let sandbox = Sandbox::new();
    sandbox
        .genesis(&["onboard", "--non-interactive", "--openai-api-key", "sk-ant-api03-x"])
        .ok()
        .says(&["looks like one of Anthropic, not of OpenAI"]);
    sandbox
        .genesis(&["onboard", "--non-interactive", "--openai-api-key", "sk-proj-x", "--model", "gpt-5-minni"])
        .ok()
        .says(&["did you mean `openai/gpt-5-mini`?"]);
}

#[test]
fn keys_that_are_somewhere_stay_there_unless_told() {
    let sandbox = Sandbox::new();
    let variables = [("OPENAI_API_KEY", "sk-MARK3R-process")];
    let args = ["onboard", "--non-interactive", "--auth-choice", "openai-api-key"];
    let ran = sandbox.genesis_in(&args, &variables, "").ok();
    assert!(ran.stdout.contains("OPENAI_API_KEY, from the process environment"), "{ran:?}");
    assert!(!sandbox.home().join(".env").exists());
    sandbox.assert_nowhere("MARK3R", &[&ran]);

    let copied = [&args[..], &["--secret-input-mode", "env-file"]].concat();
    sandbox.genesis_in(&copied, &variables, "").ok();
    assert_eq!(read(&sandbox, ".env"), "OPENAI_API_KEY=sk-MARK3R-process\n");

    let sandbox = Sandbox::new();
    let referred = [&args[..], &["--secret-input-mode", "ref", "--openai-api-key", "sk-MARK3R"]].concat();
    let ran = sandbox.genesis(&referred).fails(2, &["has to be in OPENAI_API_KEY", "not set"]);
    sandbox.assert_nowhere("MARK3R", &[&ran]);
    let ran = sandbox.genesis_in(&referred, &variables, "").ok();
    sandbox.assert_nowhere("MARK3R", &[&ran]);
}

#[test]
fn a_value_that_will_not_be_used_is_told() {
    let sandbox = Sandbox::new();
    let args = ["onboard", "--non-interactive", "--openai-api-key", "sk-new"];
    sandbox
        .genesis_in(&args, &[("OPENAI_API_KEY", "sk-old")], "")
        .ok()
        .says(&["OPENAI_API_KEY has another value in the process environment, and that one is used"]);
}

#[test]
fn ids_come_from_the_environment_too() {
    let sandbox = Sandbox::new();
    sandbox.write(
        ".env",
        &format!("CLOUDFLARE_ACCOUNT_ID={ACCOUNT}\nCF_AI_GATEWAY_GATEWAY_ID=prod\nCF_AIG_TOKEN=t\n"),
    );
    let args = ["onboard", "--non-interactive", "--cloudflare-ai-gateway-api-key", KEY];
    sandbox.genesis(&args).ok();
    let config = read(&sandbox, "genesis.json");
    assert!(
        config.contains(&format!("/v1/{ACCOUNT}/prod/anthropic"))
            && config.contains("Bearer ${CF_AIG_TOKEN}"),
        "{config}"
    );
}

#[test]
fn scripts_get_json() {
    let sandbox = Sandbox::new();
    let ran = sandbox.genesis(&[&page(KEY)[..], &["--json"]].concat()).ok();
    let said = ran.json();
    assert_eq!(
        (&said["ok"], &said["changed"], &said["default"]),
        (&json!(true), &json!(true), &json!("cloudflare-ai-gateway/claude-sonnet-4-6"))
    );
    assert_eq!(said["variables"][0]["name"], "CLOUDFLARE_AI_GATEWAY_API_KEY");
    assert!(!ran.stdout.contains("MARK3R") && !ran.stderr.contains("MARK3R"), "{ran:?}");
    let again = sandbox.genesis(&[&page(KEY)[..], &["--json"]].concat()).ok().json();
    assert_eq!((&again["changed"], &again["written"]), (&json!(false), &json!([])));
}

#[test]
fn a_rehearsal_writes_nothing() {
    let sandbox = Sandbox::new();
    let ran = sandbox.genesis(&[&page(KEY)[..], &["--dry-run"]].concat()).ok();
    assert!(!sandbox.home().exists() && !ran.stdout.contains("MARK3R"), "{ran:?}");
    snapshot!(sandbox, ran);
}

#[test]
fn starting_over_keeps_the_old_file_beside_the_new() {
    let sandbox = Sandbox::new();
    sandbox.write("genesis.json", "{ nonsense");
    sandbox.write(".env", "OTHER=1\n");
    sandbox.genesis(&page(KEY)).fails(78, &["genesis.json:1"]);
    sandbox.genesis(&[&page(KEY)[..], &["--reset"]].concat()).ok();
    assert_eq!(read(&sandbox, "genesis.json.bak"), "{ nonsense");
    assert!(read(&sandbox, ".env").starts_with("OTHER=1\n"));
    sandbox.genesis(&[&page(KEY)[..], &["--reset", "--reset-scope", "config+creds+sessions"]].concat()).ok();
    assert_eq!(read(&sandbox, ".env"), format!("CLOUDFLARE_AI_GATEWAY_API_KEY={KEY}\n"));
}

#[test]
fn a_file_of_a_newer_version_is_left_alone() {
    let sandbox = Sandbox::new();
    let config = "{ gateway: { telepathy: { enabled: true } } }";
    sandbox.write("genesis.json", config);
    sandbox.genesis(&page(KEY)).fails(78, &["genesis.json:1:14", "unknown field `telepathy`"]);
    assert_eq!(read(&sandbox, "genesis.json"), config);
    assert!(!sandbox.home().join(".env").exists());
}

#[test]
fn a_home_that_cannot_be_written_is_named() {
    let sandbox = Sandbox::new();
    // A file in the place of the folder stops everybody, also the administrator.
    fs::write(sandbox.home(), "").unwrap();
    let ran = sandbox.genesis(&page(KEY));
    assert_ne!(ran.code, Some(0));
    let ran = ran.says(&["genesis.json"]);
    assert!(!ran.stderr.contains("MARK3R"));
    assert_eq!(fs::read_to_string(sandbox.home()).unwrap(), "");
}

#[test]
fn if_one_file_cannot_be_written_the_other_stays() {
    let sandbox = Sandbox::new();
    sandbox.write(".env", "OTHER=1\n");
    sandbox.write("genesis.json", "{}\n");
    // The backup's place is taken by a folder, so the configuration cannot be replaced.
    fs::create_dir_all(sandbox.home().join("genesis.json.bak").join("x")).unwrap();
    sandbox.genesis(&page(KEY)).fails(1, &["cannot write", "genesis.json"]);
    assert_eq!(read(&sandbox, ".env"), "OTHER=1\n");
    assert_eq!(read(&sandbox, "genesis.json"), "{}\n");
}

#[test]
fn files_others_could_read_are_closed() {
    let sandbox = Sandbox::new();
    sandbox.write(".env", "OTHER=1\n");
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    open(&sandbox.home().join(".env"));
    sandbox.genesis(&page(KEY)).ok();
    assert_eq!(mode(&sandbox.home().join(".env")), 0o600);
}

#[test]
fn the_port_of_the_gateway_is_set_where_it_is_asked_for() {
    let sandbox = Sandbox::new();
    sandbox
        .genesis(&[
            "onboard",
            "--non-interactive",
            "--auth-choice",
            "skip",
            "--gateway-port",
            "9000",
            "--gateway-bind",
            "lan",
        ])
        .ok();
    assert_eq!(sandbox.genesis(&["config", "get", "gateway.listen"]).ok().stdout, "0.0.0.0:9000\n");
}

/// Flags people have in their scripts and which change nothing here.
#[test]
fn habits_are_accepted() {
    let sandbox = Sandbox::new();
    let habits = [
        "--accept-risk",
        "--skip-health",
        "--skip-channels",
        "--skip-skills",
        "--skip-search",
        "--skip-bootstrap",
        "--skip-ui",
        "--skip-daemon",
        "--flow",
        "quickstart",
        "--workspace",
        "/tmp/w",
        "--secret-input-mode",
        "plaintext",
    ];
    sandbox.genesis(&[&page(KEY)[..], &habits].concat()).ok();
    let help = sandbox.genesis(&["onboard", "--help"]).ok();
    assert!(help.stdout.contains("Examples:") && !help.stdout.contains("--skip-bootstrap"), "{help:?}");
}
