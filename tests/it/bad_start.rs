//! What keeps a gateway from starting, and what must not.

use crate::http::{Upstream, call, json};
use crate::process::{Home, Ran};

fn fails(ran: &Ran, code: i32, parts: &[&str]) {
    assert_eq!(ran.code, Some(code), "{ran:?}");
    assert_eq!(ran.stdout, "", "errors go to standard error");
    for part in parts {
        assert!(ran.stderr.contains(part), "no `{part}` in: {}", ran.stderr);
    }
}

#[test]
fn a_port_in_use_is_named_with_a_hint() {
    let (home, other) = (Home::new(""), Home::new(""));
    let first = home.dev();
    let port = first.address.port().to_string();
    let listen = first.address.to_string();
    let hint = format!("sport = :{port}");
    fails(&other.run(&["dev", "--port", &port], ""), 1, &["error:", &listen, "hint:", &hint]);
    fails(&other.run(&["gateway", "run", "--listen", &listen], ""), 1, &["error:", &listen, "hint:", &hint]);
    // A second one on the same home does not disturb the first either.
    fails(&home.run(&["dev", "--port", &port], ""), 1, &[&listen]);
    assert_eq!(call(first.address, "GET", "/healthz", &[], b"").status(), 200);
}

#[test]
fn a_malformed_file_is_refused_with_line_and_column() {
    let cases: [(&str, &[&str]); 5] = [
        ("{\n  gateway: {\n    listen: \"127.0.0.1:0\"\n    drainSeconds: 3 } }", &["genesis.json:4:5"]),
        ("{\n  gatway: {} }", &["genesis.json:2:3", "gatway", "`gateway`"]),
        ("{ gateway: {\n\n  drainSeconds: \"soon\" } }", &["genesis.json:3:", "gateway.drainSeconds"]),
        ("{ gateway: { listen: \"nowhere\" } }", &["genesis.json:1:", "gateway.listen"]),
        (
            "{\n  gateway: { gateways: { prod: { authentification: true } } } }",
            &["genesis.json:2:", "`authentication`"],
        ),
    ];
    for (config, parts) in cases {
        let home = Home::new(config);
        let path = home.file("genesis.json").display().to_string();
        for args in [&["gateway", "run"][..], &["dev", "--port", "0"], &["token", "list"]] {
            fails(&home.run(args, ""), 78, parts);
            fails(&home.run(args, ""), 78, &["hint:", &path]);
        }
        assert!(!home.file("genesis.db").exists(), "nothing is created before the file is right");
    }
}

#[test]
fn an_open_gateway_is_not_put_on_the_network_by_accident() {
    let home = Home::new("{ gateway: { gateways: { prod: { authentication: false } } } }");
    let ran = home.run(&["gateway", "run", "--listen", "0.0.0.0:0"], "");
    fails(&ran, 78, &["0.0.0.0:0", "prod", "--allow-open"]);
}

#[test]
fn settings_that_are_not_there_yet_are_refused_or_told() {
    for (config, path) in [
        ("{ gateway: { shared: 'redis://127.0.0.1' } }", "gateway.shared"),
        ("{ gateway: { admin: { listen: '127.0.0.1:1' } } }", "gateway.admin.listen"),
    ] {
        fails(&Home::new(config).run(&["gateway", "run"], ""), 78, &[path, "genesis config unset"]);
    }
    // Told before the port is tried, so that nothing has to be started.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let home = Home::new("{ gateway: { gateways: { prod: { log_classification: true, logpush: true } } } }");
    let told = "gateway `prod`: no effect yet in this version: log_classification\n";
    let nowhere = "gateway `prod` has `logpush: true`, and gateway.logpush names no destination";
    fails(&home.run(&["gateway", "run", "--listen", &listen], ""), 1, &["warning:", told, nowhere]);
}

const MESSAGES: &str = "/v1/acct/prod/anthropic/v1/messages";
const BODY: &[u8] = br#"{"model":"claude-sonnet-4-6","max_tokens":64,"messages":[]}"#;

#[test]
fn files_others_can_read_are_told_of() {
    let upstream = Upstream::start(|_| json("200 OK", "{}"));
    let config = format!(
        "{{ models: {{ providers: {{ anthropic: {{ baseUrl: \"http://{}\" }} }} }},
           gateway: {{ listen: \"127.0.0.1:0\", gateways: {{ prod: {{ authentication: true }} }} }} }}",
        upstream.address
    );
    let home = Home::new(&config);
    home.write(".env", b"ANTHROPIC_API_KEY=key-from-dot-env\n");
    home.set_mode(".env", 0o640);
    home.set_mode("genesis.json", 0o644);
    let token = home.print(&["--quiet", "token", "create", "--name", "tests"]);
    let gateway = home.start(&["gateway", "run"]);
    let authorization = format!("Bearer {}", token.trim());
    let headers = [("cf-aig-authorization", authorization.as_str()), ("content-type", "application/json")];
    assert_eq!(call(gateway.address, "POST", MESSAGES, &headers, BODY).status(), 200);
    let (_, said) = gateway.stop();
    for name in [".env", "genesis.json"] {
        let advice = format!("run `chmod 600 {}`", home.file(name).display());
        assert!(said.contains(&advice), "no `{advice}` in: {said}");
    }
    assert!(!said.contains("key-from-dot-env"), "{said}");
    let sent = upstream.received();
    assert!(sent[0].head.contains("key-from-dot-env"), "it is used all the same: {}", sent[0].head);
}

#[test]
fn a_master_key_others_can_read_opens_nothing() {
    let upstream = Upstream::start(|_| json("200 OK", "{}"));
    let config = format!(
        "{{ models: {{ providers: {{ anthropic: {{ baseUrl: \"http://{}\" }} }} }},
           gateway: {{ listen: \"127.0.0.1:0\", gateways: {{ prod: {{ authentication: true }} }} }} }}",
        upstream.address
    );
    let home = Home::new(&config);
    assert_eq!(home.run(&["key", "set", "anthropic"], "sk-ant-sealed-key-of-the-test").code, Some(0));
    let token = home.print(&["--quiet", "token", "create", "--name", "tests"]);
    let advice = format!("chmod 600 {}", home.file("master.key").display());
    home.set_mode("master.key", 0o640);

    fails(&home.run(&["key", "set", "openai"], "sk-another-key-of-the-test"), 1, &[&advice]);
    // The gateway runs on: clients with keys of their own need none of ours.
    let gateway = home.start(&["gateway", "run"]);
    let authorization = format!("Bearer {}", token.trim());
    let headers = [
        ("cf-aig-authorization", authorization.as_str()),
        ("content-type", "application/json"),
        ("x-api-key", "key-of-the-client"),
    ];
    assert_eq!(call(gateway.address, "POST", MESSAGES, &headers, BODY).status(), 200);
    call(gateway.address, "POST", MESSAGES, &headers[..2], BODY);
    let (_, said) = gateway.stop();
    assert!(said.contains(&advice), "no `{advice}` in: {said}");
    let sent = upstream.received();
    assert!(sent[0].head.contains("key-of-the-client"), "{}", sent[0].head);
    assert!(sent.iter().all(|request| !request.head.contains("sk-ant-sealed")), "it was used");

    home.set_mode("master.key", 0o600);
    let gateway = home.start(&["gateway", "run"]);
    assert_eq!(call(gateway.address, "POST", MESSAGES, &headers[..2], BODY).status(), 200);
    let sent = upstream.received();
    assert!(
        sent.last().is_some_and(|request| request.head.contains("sk-ant-sealed")),
        "it is in order again"
    );
}

#[test]
fn a_store_that_is_none_is_named() {
    let home = Home::new("");
    home.write("genesis.db", &[7; 8192]);
    let path = home.file("genesis.db").display().to_string();
    fails(&home.run(&["dev", "--port", "0"], ""), 1, &[&path, "restore it from a backup", "move it away"]);
    assert_eq!(std::fs::read(home.file("genesis.db")).expect("read"), [7; 8192], "it is left as it was");
}
