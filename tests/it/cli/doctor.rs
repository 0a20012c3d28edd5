//! `genesis doctor`: what it finds, with and without `--fix`, and its exit codes.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::provider::answer;
use super::sandbox::{Ran, Sandbox, mode};
use crate::http::{Upstream, json};
use crate::process::Home;

const KEY: &str = "sk-ant-MARK3R-of-the-doctor";

/// A home whose default model is at `address`, on a port for the gateway that nobody has.
fn home(address: impl std::fmt::Display) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write(
        "genesis.json",
        &format!(
            r#"{{ agents: {{ defaults: {{ model: "own/claude-sonnet-4-6" }} }},
                 models: {{ providers: {{ own: {{ baseUrl: "http://{address}/v1", api: "anthropic-messages" }} }} }},
                 gateway: {{ listen: "127.0.0.1:0" }} }}"#
        ),
    );
    fs::set_permissions(sandbox.home(), fs::Permissions::from_mode(0o700)).unwrap();
    sandbox
}

fn findings(ran: &Ran, area: &str) -> Vec<Value> {
    let object = ran.json();
    let all = object["findings"].as_array().expect("findings").clone();
    all.into_iter().filter(|finding| finding["area"] == area).collect()
}

#[track_caller]
fn only(ran: &Ran, area: &str) -> Value {
    let mut found = findings(ran, area);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[track_caller]
fn assert_says(finding: &Value, level: &str, parts: &[&str]) {
    assert_eq!(finding["level"], level, "{finding}");
    for part in parts {
        assert!(finding.to_string().contains(part), "`{part}` is missing: {finding}");
    }
}

#[test]
fn nothing_is_wrong_with_a_sound_set_up() {
    let upstream = Upstream::start(|_| json("200 OK", "{}"));
    let sandbox = home(upstream.address);
    sandbox.store();
    let ran = sandbox.genesis(&["doctor", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_says(&only(&ran, "files"), "good", &["private"]);
    assert_says(&only(&ran, "config"), "good", &["is valid"]);
    assert_says(&findings(&ran, "models")[0], "good", &["own/claude-sonnet-4-6"]);
    assert_says(&findings(&ran, "store")[0], "good", &["genesis.db is sound"]);
    assert!(findings(&ran, "store").iter().any(|finding| finding.to_string().contains("free on the disk")));
    let network = only(&ran, "network");
    assert_says(&network, "good", &["own", "name ", "TCP ", "HTTP/1.1 ", &upstream.address.to_string()]);

    // Looking costs nothing: no model is asked, and no key is shown to anybody.
    let received = upstream.received();
    assert_eq!(received.len(), 1);
    assert!(received[0].head.starts_with("HEAD / HTTP/1.1\r\n"), "{}", received[0].head);

    let ran = sandbox.genesis(&["doctor"]).ok();
    assert!(ran.stdout.ends_with("nothing is wrong\n"), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\u{1b}'), "no colours on a pipe");
}

#[test]
fn before_anything_is_set_up_it_says_where_to_begin() {
    let sandbox = Sandbox::new();
    let ran = sandbox.genesis(&["doctor", "--offline"]).ok();
    for part in ["does not exist yet", "genesis onboard", "no default model is set", "genesis models set"] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    assert!(!sandbox.home().exists(), "looking creates nothing");
}

#[test]
fn permissions_are_found_and_with_fix_mended() {
    let sandbox = home("127.0.0.1:1");
    sandbox.write(".env", &format!("ANTHROPIC_API_KEY={KEY}\n"));
    let (file, dot_env) = (sandbox.home().join("genesis.json"), sandbox.home().join(".env"));
    fs::set_permissions(&dot_env, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(sandbox.home(), fs::Permissions::from_mode(0o755)).unwrap();

    let ran = sandbox.genesis(&["doctor", "--offline", "--json"]);
    assert_eq!(ran.code, Some(2), "a file that others may write does harm: {ran:?}");
    let found = findings(&ran, "files");
    assert_eq!(found.len(), 3, "{found:?}");
    assert_says(&found[0], "warning", &["mode 755", "chmod 700", "genesis doctor --fix"]);
    assert_says(&found[1], "warning", &[".env has mode 644", "chmod 600"]);
    assert_says(&found[2], "problem", &["genesis.json has mode 666"]);
    assert_eq!((mode(&file), mode(&dot_env)), (0o666, 0o644), "unasked it changes nothing");

    let ran = sandbox.genesis(&["doctor", "--offline", "--json", "--fix"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for finding in findings(&ran, "files") {
        assert_says(&finding, "note", &["it has "]);
        assert_eq!(finding["fixed"], true);
    }
    assert_eq!((mode(&sandbox.home()), mode(&file), mode(&dot_env)), (0o700, 0o600, 0o600));
    let ran = sandbox.genesis(&["doctor", "--offline", "--json", "--fix"]).ok();
    assert_says(&only(&ran, "files"), "good", &["private"]);
    sandbox.genesis(&["doctor", "--offline"]).ok();
}

#[test]
fn a_link_is_not_followed_by_fix() {
    let sandbox = home("127.0.0.1:1");
    let elsewhere = sandbox.home().parent().unwrap().join("shared.env");
    fs::write(&elsewhere, "A=1\n").unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o644)).unwrap();
    std::os::unix::fs::symlink(&elsewhere, sandbox.home().join(".env")).unwrap();
    let ran = sandbox.genesis(&["doctor", "--offline", "--json", "--fix"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_says(&only(&ran, "files"), "warning", &["leads elsewhere"]);
    assert_eq!(mode(&elsewhere), 0o644);
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem_and_the_rest_is_still_looked_at() {
    let sandbox = home("127.0.0.1:1");
    sandbox.write("genesis.json", "{ gatway: {} }");
    let ran = sandbox.genesis(&["doctor", "--offline", "--json"]);
    assert_eq!(ran.code, Some(2));
    assert_says(&only(&ran, "config"), "problem", &["genesis.json:1:3", "did you mean `gateway`?", "mend"]);
    assert!(!findings(&ran, "store").is_empty());
}

#[test]
fn keys_are_named_by_where_they_are_and_never_shown() {
    let sandbox = home("127.0.0.1:1");
    sandbox.write(
        "genesis.json",
        r#"{ models: { providers: { mistral: { apiKey: "${MISTRAL}", headers: { "x-a": "${NOWHERE}" } } } } }"#,
    );
    sandbox.piped(&["key", "set", "openai"], &format!("{KEY}-stored")).ok();
    let quoted = format!("'{KEY}'");
    let variables = [("ANTHROPIC_API_KEY", &*quoted), ("OPENAI_API_KEY", KEY), ("MISTRAL", KEY)];
    let ran = sandbox.genesis_in(&["doctor", "--offline", "--json"], &variables, "");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let said = ran.stdout.clone();
    for part in [
        "anthropic: key env:ANTHROPIC_API_KEY",
        "ANTHROPIC_API_KEY (process environment) stands in quotes",
        "openai: key env:OPENAI_API_KEY; it hides the one that is stored",
        "mistral: key config",
        "${NOWHERE} is not set anywhere",
        // What a service would not have.
        "OPENAI_API_KEY is set in this shell alone",
        "MISTRAL is set in this shell alone",
    ] {
        assert!(said.contains(part), "`{part}` is missing: {said}");
    }
    sandbox.assert_nowhere(KEY, &[&ran]);
}

#[test]
fn a_provider_that_cannot_be_reached_is_a_problem_if_it_is_needed() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sandbox = home(port);
    let ran = sandbox.genesis(&["doctor", "--json"]);
    assert_eq!(ran.code, Some(2));
    assert_says(&only(&ran, "network"), "problem", &["cannot connect to", "is the gateway running?"]);

    let file = fs::read_to_string(sandbox.home().join("genesis.json")).unwrap();
    sandbox.write("genesis.json", &file.replace(r#"model: "own/claude-sonnet-4-6""#, ""));
    let ran = sandbox.genesis(&["doctor", "--json"]);
    assert_eq!(ran.code, Some(1), "nobody needs it: {ran:?}");
    assert_says(&only(&ran, "network"), "warning", &["cannot connect to"]);
}

#[test]
fn a_clock_that_is_far_off_is_found() {
    let upstream = Upstream::start(|_| json("200 OK\r\ndate: Thu, 01 Jan 2015 00:00:00 GMT", "{}"));
    let sandbox = home(upstream.address);
    let ran = sandbox.genesis(&["doctor", "--json"]);
    assert_eq!(ran.code, Some(2));
    assert_says(&only(&ran, "clock"), "problem", &["s ahead", "timedatectl"]);
}

#[test]
fn who_has_the_gateway_s_port_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let sandbox = home("127.0.0.1:1");
    let listen = |address: std::net::SocketAddr| {
        sandbox.write("genesis.json", &format!(r#"{{ gateway: {{ listen: "{address}" }} }}"#));
    };
    listen(listener.local_addr().unwrap());
    let ran = sandbox.genesis(&["doctor", "--offline", "--json"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let port = only(&ran, "port");
    assert_says(&port, "problem", &["taken by another program", "gateway.listen"]);
    if cfg!(target_os = "linux") {
        assert_says(&port, "problem", &[&format!("process {}", std::process::id())]);
    }

    let gateway = Home::new("");
    let dev = gateway.dev();
    listen(dev.address);
    let ran = sandbox.genesis(&["doctor", "--offline", "--json"]).ok();
    assert_says(&only(&ran, "port"), "good", &["a genesis gateway answers on"]);
}

#[test]
fn a_damaged_store_is_found() {
    let sandbox = home("127.0.0.1:1");
    sandbox.log([]);
    drop(sandbox.store());
    for name in ["genesis.db-wal", "genesis.db-shm"] {
        let _ = fs::remove_file(sandbox.home().join(name));
    }
    sandbox.write("genesis.db", &"this is no database ".repeat(400));
    let ran = sandbox.genesis(&["doctor", "--offline", "--json"]);
    assert_eq!(ran.code, Some(2));
    assert!(
        findings(&ran, "store").iter().any(|finding| {
            finding["level"] == "problem"
                && finding["what"].as_str().is_some_and(|what| what.contains("damaged"))
        }),
        "{ran:?}"
    );
}

#[test]
fn a_key_that_cannot_be_unsealed_is_found() {
    let sandbox = home("127.0.0.1:1");
    sandbox.piped(&["key", "set", "openai"], KEY).ok();
    fs::remove_file(sandbox.home().join("master.key")).unwrap();
    let ran = sandbox.genesis(&["doctor", "--offline", "--json"]);
    assert_eq!(ran.code, Some(2));
    let store = findings(&ran, "store");
    assert!(store.iter().any(|finding| finding.to_string().contains("master.key")), "{store:?}");
}

#[test]
fn a_real_call_is_made_on_request_only() {
    let upstream = Upstream::start(|request| match request.head.starts_with("HEAD") {
        true => json("200 OK", "{}"),
        false => answer(request, "OK", ""),
    });
    let sandbox = home(upstream.address);
    let ran = sandbox.genesis(&["doctor", "--json", "--probe"]).ok();
    assert_says(&only(&ran, "probe"), "good", &["own/claude-sonnet-4-6 answers", "12 in, 34 out"]);
    let received = upstream.received();
    let body: Value = serde_json::from_slice(&received[1].body).unwrap();
    assert_eq!(body["max_tokens"], 16, "a small one: {body}");
    assert_eq!(received.len(), 2);

    let refusing = Upstream::start(|_| json("401 Unauthorized", r#"{"error":{"message":"bad key"}}"#));
    let sandbox = home(refusing.address);
    let ran = sandbox.genesis(&["doctor", "--json", "--probe"]);
    assert_eq!(ran.code, Some(2));
    assert_says(&only(&ran, "probe"), "problem", &["own/claude-sonnet-4-6: own refused the call", "bad key"]);
}
