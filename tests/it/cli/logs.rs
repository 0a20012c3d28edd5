//! `genesis logs`

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use genesis_store::{Attempt, Fault, Journal, JournalOptions, LogRecord, Outcome};
use serde_json::{Value, json};

use super::sandbox::{Sandbox, record, with_bodies};

fn three() -> Sandbox {
    let sandbox = Sandbox::new();
    let mut tagged = record(1);
    tagged.metadata.insert("team".into(), json!("search"));
    tagged.metadata.insert("tier".into(), json!(2));
    let refused = LogRecord {
        status: 401,
        outcome: Outcome::Refused,
        provider: String::new(),
        model: String::new(),
        usage: None,
        cost_nano_usd: None,
        first_byte_ms: None,
        duration_ms: 1,
        error: "no token was sent".into(),
        ..record(2)
    };
    let mut simulated = LogRecord {
        provider: "openai".into(),
        model: "gpt-6".into(),
        gateway: "test".into(),
        simulated: true,
        cached: true,
        duration_ms: 12_345,
        ..record(86_400)
    };
    simulated.metadata.insert("team".into(), json!("ads"));
    simulated.metadata.insert("other".into(), json!("search"));
    sandbox.log([tagged, refused, simulated].map(|record| (record, None)));
    sandbox
}

#[test]
fn nothing_yet_says_how_to_start() {
    let sandbox = Sandbox::new();
    for args in [&["logs"][..], &["logs", "--json"], &["logs", "--failed"]] {
        let ran = sandbox.genesis(args).ok().says(&["nothing logged yet", "genesis dev"]);
        assert_eq!(ran.stdout, "");
    }
    assert!(!sandbox.home().exists(), "looking creates nothing");
    drop(sandbox.store());
    sandbox.genesis(&["logs"]).ok().says(&["nothing logged yet"]);
}

#[test]
fn an_exchange_that_took_several_attempts_shows_each() {
    let sandbox = Sandbox::new();
    let attempt = |provider: &str, status, fault, cost_nano_usd| Attempt {
        provider: provider.into(),
        model: "m".into(),
        status,
        fault,
        duration_ms: 71,
        cost_nano_usd,
        ..Attempt::default()
    };
    let mut several = record(1);
    several.attempts = vec![
        attempt("openai", Some(503), Some(Fault::Status), None),
        attempt("openai", None, Some(Fault::Timeout), None),
        Attempt { step: 1, ..attempt("anthropic", Some(200), None, Some(123_000)) },
    ];
    let id = several.id.to_string();
    sandbox.log([(several.clone(), None), (record(2), None)]);
    let shown = sandbox.genesis(&["logs", &id]).ok().stdout;
    let rows: Vec<_> = shown.lines().skip_while(|line| *line != "Attempts").skip(2).take(3).collect();
    for (row, expected) in rows.iter().zip([
        "1 0 openai m 503 - 71 ms -",
        "2 0 openai m timeout - 71 ms -",
        "3 1 anthropic m 200 - 71 ms $0.000123",
    ]) {
        assert_eq!(row.split_whitespace().collect::<Vec<_>>().join(" "), expected, "{shown}");
    }
    let json: Value = serde_json::from_str(&sandbox.genesis(&["logs", &id, "--json"]).ok().stdout).unwrap();
    assert_eq!(json["attempts"], serde_json::to_value(&several.attempts).unwrap());
    assert_eq!(
        json["attempts"][0],
        json!({"step":0,"provider":"openai","model":"m","status":503,"fault":"status","duration_ms":71})
    );
    let other = sandbox.genesis(&["logs", &record(2).id.to_string(), "--json"]);
    assert!(!other.stdout.contains("attempts"));
}

#[test]
fn a_table_with_the_newest_at_the_bottom() {
    let sandbox = three();
    let ran = sandbox.genesis(&["logs"]).ok();
    let lines: Vec<String> =
        ran.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let id = |number| record(number).id.to_string()[..13].to_owned();
    assert_eq!(
        lines,
        [
            "TIME ID GATEWAY PROVIDER MODEL STATUS TOKENS COST FIRST / ALL".to_owned(),
            format!(
                "2024-03-01 12:00:01 {} prod anthropic claude-sonnet-4-6 200 112/34 $0.000123 120 ms / 845 ms",
                id(1)
            ),
            format!("2024-03-01 12:00:02 {} prod - - 401 refused - - - / 1 ms", id(2)),
            format!(
                "2024-03-02 12:00:00 {} test openai gpt-6 200 cached simulated 112/34 $0.000123 120 ms / 12.3 s",
                id(86_400)
            ),
        ]
    );
    assert!(!ran.stdout.contains('\u{1b}'));
    assert_eq!(ran.stderr, "");
    let forced = sandbox.genesis_in(&["logs"], &[("CLICOLOR_FORCE", "1")], "").ok().stdout;
    assert!(forced.contains('\u{1b}'), "{forced:?}");
    // The time is that of this machine.
    let tokyo = sandbox.genesis_in(&["logs"], &[("TZ", "Asia/Tokyo")], "").ok();
    assert!(tokyo.line("2024-03-01 21:00:01").contains("anthropic"), "{tokyo:?}");
}

#[test]
fn filters_and_limits() {
    let sandbox = three();
    let events = |args: &[&str]| -> Vec<String> {
        let ran = sandbox.genesis(&[&["logs", "--json"], args].concat()).ok();
        let rows = ran.stdout.lines().map(|line| serde_json::from_str::<LogRecord>(line).unwrap());
        rows.map(|row| row.event_id.trim_start_matches("event-").to_owned()).collect()
    };
    assert_eq!(events(&[]), ["1", "2", "86400"]);
    assert_eq!(events(&["--limit", "2"]), ["2", "86400"]);
    assert_eq!(events(&["-n1"]), ["86400"]);
    assert_eq!(events(&["--gateway", "prod"]), ["1", "2"]);
    assert_eq!(events(&["--provider", "openai"]), ["86400"]);
    assert_eq!(events(&["--model", "claude-sonnet-4-6"]), ["1"]);
    assert_eq!(events(&["--status", "401"]), ["2"]);
    assert_eq!(events(&["--failed"]), ["2"]);
    assert_eq!(events(&["--since", "2024-03-01 12:00:02"]), ["2", "86400"]);
    assert_eq!(events(&["--until", "2024-03-02"]), ["1", "2"]);
    assert_eq!(events(&["--search", "No Token"]), ["2"]);
    assert_eq!(events(&["--event-id", "event-1"]), ["1"]);
    // Key and value of one entry; numbers as they are written.
    assert_eq!(events(&["--metadata", "team=search"]), ["1"]);
    assert_eq!(events(&["--metadata", "tier=2"]), ["1"]);
    assert_eq!(events(&["--since", "1h"]), [""; 0]);

    sandbox.genesis(&["logs", "--status", "429"]).ok().says(&["no record matches"]);
    sandbox.genesis(&["logs", "--metadata", "team"]).fails(2, &["key=value"]);
    sandbox.genesis(&["logs", "--since", "yore"]).fails(2, &["30m, 12h or 7d", "2026-11-22"]);
    sandbox.genesis(&["logs", "--limit", "0"]).fails(2, &["--limit"]);
}

#[test]
fn ids_are_shown_as_long_as_tells_them_apart() {
    let sandbox = Sandbox::new();
    sandbox.log([record(1), record(1), record(2)].map(|record| (record, None)));
    let ran = sandbox.genesis(&["logs"]).ok();
    let ids: Vec<_> =
        ran.stdout.lines().skip(1).map(|line| line.split_whitespace().nth(2).unwrap()).collect();
    assert!(ids.iter().all(|id| id.len() > 13 && id.len() == ids[0].len()), "{ids:?}");
    for id in ids {
        sandbox.genesis(&["logs", id]).ok();
    }
    let both = &record(1).id.to_string()[..13];
    sandbox.genesis(&["logs", both]).fails(2, &["several records", "give more"]);
}

#[test]
fn hostile_names_do_not_reach_the_terminal() {
    let sandbox = Sandbox::new();
    let hostile =
        LogRecord { model: "a\u{1b}]0;owned\u{7}b\nc".into(), error: "x\u{1b}[2J".into(), ..record(1) };
    sandbox.log([with_bodies(hostile, "\u{1b}[2Jhello", "{\"a\":\"\u{9b}2J\"}")]);
    let id = record(1).id.to_string()[..8].to_owned();
    for args in [&["logs"][..], &["logs", &id]] {
        let ran = sandbox.genesis_in(args, &[("CLICOLOR_FORCE", "1")], "").ok();
        for bad in ["\u{1b}]", "\u{1b}[2J", "\u{7}", "\u{9b}"] {
            assert!(!ran.stdout.contains(bad), "{ran:?}");
        }
    }
    assert_eq!(sandbox.genesis(&["logs"]).ok().stdout.lines().count(), 2);
}

#[test]
fn one_exchange_in_full() {
    let sandbox = Sandbox::new();
    let mut record = record(1);
    record.metadata.insert("team".into(), json!("search"));
    record.dropped = vec!["seed".into(), "tools[].function.\u{1b}".into()];
    let id = record.id.to_string();
    sandbox.log([with_bodies(record, "{\"z\":1.10,\"a\":[]}", "event: ping\n\n")]);
    let ran = sandbox.genesis(&["logs", &id[..8]]).ok();
    for part in [
        id.as_str(),
        "time           2024-03-01 12:00:01.000 UTC",
        "request        POST v1/messages",
        "status         200 success",
        "tokens         112 in, 34 out; 100 read from the prompt cache",
        "raw usage      {\"input_tokens\":12,\"output_tokens\":34}",
        "cost           $0.000123",
        "price          anthropic/claude-sonnet-4-6@2026-02-01",
        "formula        12 input × $3/M + 34 output × $15/M",
        "credential     stored:default",
        "metadata       team=\"search\"",
        "dropped        seed, tools[].function.",
        "x-api-key: ***",
        "HTTP/1.1 200 OK",
        // As it was written: order of names and digits stay.
        "{\n  \"z\": 1.10,\n  \"a\": []\n}",
        "event: ping",
    ] {
        assert!(ran.stdout.contains(part), "`{part}` is missing: {}", ran.stdout);
    }
    assert!(!ran.stdout.contains("simulated"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("not kept"), "{}", ran.stdout);
    // Dashes do not matter.
    sandbox.genesis(&["logs", &id.replace('-', "")]).ok();
}

#[test]
fn a_made_up_answer_and_missing_bodies_are_said() {
    let sandbox = three();
    let id = record(86_400).id.to_string()[..13].to_owned();
    let ran = sandbox.genesis(&["logs", &id]).ok();
    assert!(ran.stdout.contains("the simulator made up the answer"), "{}", ran.stdout);
    assert!(ran.stdout.contains("not kept"), "{}", ran.stdout);
    sandbox.genesis(&["logs", &id, "--body", "response"]).fails(1, &["not kept"]);
    let described = sandbox.genesis(&["logs", &id, "--json"]).ok().json();
    assert_eq!((&described["simulated"], &described["payload"]), (&json!(true), &Value::Null));
}

#[test]
fn bodies_alone_are_byte_for_byte() {
    let sandbox = Sandbox::new();
    let (request, response) = ("{ \"a\" : 1.0 }\n", "data: \u{1b}[1m{}\r\n\r\n");
    let (record, payload) = with_bodies(record(1), request, response);
    let id = record.id.to_string();
    let mut payload = payload.unwrap();
    payload.response_complete = false;
    sandbox.log([(record, Some(payload))]);
    let body = |which: &str| sandbox.genesis(&["logs", &id, "--body", which]).ok();
    assert_eq!(body("request").stdout, request);
    assert_eq!(body("response").says(&["longer than the log keeps"]).stdout, response);
    assert_eq!(body("both").stdout, format!("{request}{response}"));

    let described = sandbox.genesis(&["logs", &id, "--json"]).ok().json();
    assert_eq!(
        described["payload"],
        json!({"request": {"a": 1.0}, "request_complete": true, "response": response, "response_complete": false})
    );
    assert_eq!(described["cost_nano_usd"], 123_000);
    let described = sandbox.genesis(&["logs", &id, "--json", "--body", "request"]).ok().json();
    assert_eq!(described["payload"]["response"], Value::Null);
}

#[test]
fn wrong_ids_and_mixtures_are_refused() {
    let sandbox = three();
    sandbox.genesis(&["logs", "0190"]).fails(2, &["first 8"]);
    sandbox.genesis(&["logs", "nonsense"]).fails(2, &["log id"]);
    sandbox.genesis(&["logs", "01900000-0000"]).fails(1, &["no record", "genesis logs"]);
    sandbox.genesis(&["logs", "01900000-0000", "--failed"]).fails(2, &["cannot be used with"]);
    sandbox.genesis(&["logs", "01900000-0000", "-f"]).fails(2, &["cannot be used with"]);
    sandbox.genesis(&["logs", "--body", "request"]).fails(2, &["required"]);
    Sandbox::new().genesis(&["logs", "01900000-0000"]).fails(1, &["no record"]);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let sandbox = Sandbox::new();
    // More than a pipe holds.
    sandbox.log((0..2_000).map(|number| (record(number), None)));
    let mut child = sandbox.command(&["logs", "--json", "--limit", "2000"]).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with('{'));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

/// A running `genesis logs --follow` and the lines it prints.
struct Followed {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Followed {
    fn start(sandbox: &Sandbox, args: &[&str]) -> Self {
        let mut child = sandbox.command(&[&["logs", "--follow"], args].concat()).spawn().unwrap();
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    fn line(&self) -> String {
        self.stdout.recv_timeout(Duration::from_secs(30)).expect("a line on standard output")
    }

    fn event(&self) -> Value {
        serde_json::from_str::<Value>(&self.line()).unwrap()["event_id"].take()
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn lines(pipe: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

#[test]
fn follow_waits_for_the_first_call_and_goes_on() {
    let sandbox = Sandbox::new();
    let followed = Followed::start(&sandbox, &["--json", "--gateway", "prod", "--metadata", "team=search"]);
    let said = followed.stderr.recv_timeout(Duration::from_secs(30)).unwrap();
    assert!(said.contains("waiting for the first call"), "{said}");

    let journal = Journal::start(&sandbox.store(), JournalOptions::default());
    let tagged = |number, team: &str| {
        let mut record = record(number);
        record.metadata.insert("team".into(), json!(team));
        record
    };
    for number in 1..=3 {
        journal.push(tagged(number * 10, "search"), None);
        journal.push(LogRecord { gateway: "test".into(), ..tagged(number * 10 + 1, "search") }, None);
        journal.push(tagged(number * 10 + 2, "ads"), None);
        assert!(journal.flush(Duration::from_secs(20)));
        // Each exactly once, and nothing that does not match.
        assert_eq!(followed.event(), format!("event-{}", number * 10));
    }
    journal.close();
}

#[test]
fn follow_begins_with_the_newest_and_keeps_its_columns() {
    let sandbox = Sandbox::new();
    let short = |number| LogRecord { model: "m".into(), ..record(number) };
    sandbox.log([1, 2, 3].map(|number| (short(number), None)));
    let followed = Followed::start(&sandbox, &["--limit", "2"]);
    let heading = followed.line();
    assert!(heading.starts_with("TIME "), "{heading}");
    assert!(followed.line().contains("12:00:02"));
    let third = followed.line();
    assert!(third.contains("12:00:03"));

    sandbox.log([(short(4), None)]);
    let fourth = followed.line();
    assert!(fourth.contains("12:00:04"), "{fourth}");
    for word in ["anthropic", " 200", "$0.000123"] {
        assert_eq!(third.find(word), fourth.find(word), "\n{third}\n{fourth}");
    }
}
