//! The README's first steps do what it says.

use std::process::Command;

use serde_json::Value;

use crate::process::Home;

/// The code blocks of a kind, without their fences.
fn blocks(text: &str) -> Vec<&str> {
    text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

fn readme() -> &'static str {
    include_str!("../../README.md")
}

#[test]
fn the_first_call_is_answered_and_logged() {
    let blocks = blocks(readme());
    assert_eq!(blocks[0].trim(), "cargo run --release -- dev", "the first block starts it");
    let home = Home::new("");
    let dev = home.dev();

    let curl =
        blocks[1].split("\n\n").find(|lines| lines.starts_with("curl ")).expect("the second block calls it");
    assert!(curl.contains("http://127.0.0.1:18789/v1/dev/default/anthropic/v1/messages"), "{curl}");
    let curl = curl.replace("127.0.0.1:18789", &dev.address.to_string());
    let shell = format!("set -e\n{} --silent --show-error --include --max-time 20", curl.trim_end());
    let output = Command::new("/bin/sh").args(["-c", &shell]).output().expect("sh");
    let answer = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("cf-aig-simulated: true"), "the README says that answers say so: {answer}");
    let body: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
    assert_eq!(body["content"][0]["text"], "Simulated answer to: Hello");

    let (status, said) = dev.stop();
    assert!(status.success(), "{said}");
    // `genesis logs` and `genesis usage` follow in the README.
    for line in ["cargo run --release -- logs", "cargo run --release -- usage"] {
        assert!(blocks[1].contains(line), "{line}");
    }
    let records = home.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["model"], "claude-sonnet-4-6");
    assert!(records[0]["usage"]["input"].as_u64().is_some_and(|tokens| tokens > 0), "{}", records[0]);
    assert!(records[0]["cost_nano_usd"].as_i64().is_some_and(|cost| cost > 0), "{}", records[0]);
    let usage = home.print(&["usage"]);
    assert!(usage.contains("claude-sonnet-4-6") && usage.contains("$"), "{usage}");
}

#[test]
fn the_commands_it_names_exist() {
    let home = Home::new("");
    let named =
        blocks(readme()).into_iter().flat_map(str::lines).filter_map(|line| line.strip_prefix("genesis "));
    let commands: Vec<Vec<&str>> =
        named.map(|line| line.split('#').next().unwrap_or_default().split_whitespace().collect()).collect();
    assert!(commands.len() >= 3, "{commands:?}");
    for words in commands {
        // Up to the first option or value; clap refuses a command it does not know.
        let command: Vec<&str> =
            words.iter().copied().take(2).take_while(|word| !word.starts_with('-')).collect();
        let ran = home.run(&[&command[..], &["--help"]].concat(), "");
        assert_eq!(ran.code, Some(0), "genesis {}: {}", command.join(" "), ran.stderr);
        for option in words.iter().filter(|word| word.starts_with("--")) {
            assert!(ran.stdout.contains(option), "genesis {} has no {option}", command.join(" "));
        }
    }
}

#[test]
fn the_files_it_points_to_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let links: Vec<&str> = readme().split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(!links.is_empty());
    for link in links.into_iter().filter(|link| !link.contains("://")) {
        assert!(root.join(link).exists(), "{link}");
    }
}
