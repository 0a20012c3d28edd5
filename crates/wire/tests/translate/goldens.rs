//! Every fixture in the words of every other dialect. The snapshots are read by people before they are accepted.

use genesis_wire::translate;
use serde_json::Value;

use crate::support::{CLIENTS, PROVIDERS, context, fixtures, stream, target};

fn pretty(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).expect("the translation is JSON");
    serde_json::to_string_pretty(&value).expect("JSON")
}

fn settings(kind: &str) -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(format!("snapshots/{kind}"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

#[test]
fn requests() {
    let mut seen = 0;
    for from in CLIENTS {
        for (name, body) in fixtures(from, "request") {
            for to in PROVIDERS.into_iter().filter(|to| *to != from) {
                let told = match translate::request(from, to, &body, &target(false)) {
                    Ok(outgoing) => {
                        let dropped = outgoing.dropped.join(", ");
                        format!("path: {}\ndropped: {dropped}\n{}", outgoing.path, pretty(&outgoing.body))
                    }
                    Err(bad) => format!("refused: {bad}"),
                };
                settings("request").bind(|| {
                    insta::assert_snapshot!(format!("{}.{name}.to.{}", from.name(), to.name()), told);
                });
                seen += 1;
            }
        }
    }
    assert!(seen > 0, "fixtures were found");
}

#[test]
fn responses() {
    let mut seen = 0;
    for provider in PROVIDERS {
        for (name, body) in fixtures(provider, "response") {
            for client in CLIENTS.into_iter().filter(|client| *client != provider) {
                let told = match translate::response(&context(client, provider, false), 200, &body) {
                    Ok(incoming) => {
                        format!("dropped: {}\n{}", incoming.dropped.join(", "), pretty(&incoming.body))
                    }
                    Err(bad) => format!("broken: {bad}"),
                };
                settings("response").bind(|| {
                    insta::assert_snapshot!(format!("{}.{name}.to.{}", provider.name(), client.name()), told);
                });
                seen += 1;
            }
        }
    }
    assert!(seen > 0, "fixtures were found");
}

#[test]
fn streams() {
    let mut seen = 0;
    for provider in PROVIDERS {
        for (name, bytes) in fixtures(provider, "stream") {
            for client in CLIENTS.into_iter().filter(|client| *client != provider) {
                let told = stream(client, provider, &bytes);
                settings("stream").bind(|| {
                    insta::assert_snapshot!(format!("{}.{name}.to.{}", provider.name(), client.name()), told);
                });
                seen += 1;
            }
        }
    }
    assert!(seen > 0, "fixtures were found");
}
