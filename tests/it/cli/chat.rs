//! `genesis chat` in a terminal of its own.

use std::io::Write;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::provider::{answer, messages_begin, stream_head};
use super::sandbox::Sandbox;
use super::terminal::Terminal;
use crate::http::{Upstream, json};

fn home(upstream: &Upstream) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write(
        "genesis.json",
        &format!(
            r#"{{ agents: {{ defaults: {{ model: "own/claude-sonnet-4-6",
                     models: {{ "own/claude-haiku-4-5": {{ alias: "fast" }} }} }} }},
                 models: {{ providers: {{ own: {{ baseUrl: "http://{}", api: "anthropic-messages",
                     priceProvider: "anthropic" }} }} }} }}"#,
            upstream.address
        ),
    );
    sandbox
}

fn bodies(upstream: &Upstream) -> Vec<Value> {
    upstream.received().iter().map(|message| serde_json::from_slice(&message.body).expect("JSON")).collect()
}

#[test]
fn a_conversation_is_remembered_until_it_is_cleared() {
    let upstream = Upstream::start(|request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let turns = body["messages"].as_array().map_or(0, Vec::len);
        answer(request, &format!("answer with {turns} turns"), "")
    });
    let sandbox = home(&upstream);
    let mut terminal = Terminal::run(&sandbox.command(&["chat", "--system", "Be brief."]));
    terminal.expect("talking with");
    terminal.expect("> ");
    terminal.enter("My name is Ada.");
    terminal.expect("answer with 1 turns");
    terminal.enter("What is my name?");
    terminal.expect("answer with 3 turns");
    terminal.enter("/cost");
    terminal.expect("2 answers: 24 tokens in, 68 out, $0.001092");
    terminal.enter("/model fast");
    terminal.expect("talking with own/claude-haiku-4-5");
    terminal.enter("/model nowhere/x");
    terminal.expect("no provider is called `nowhere`");
    terminal.enter("/clear");
    terminal.expect("forgotten");
    terminal.enter("//etc is what?");
    terminal.expect("answer with 1 turns");
    terminal.enter("/hepl");
    terminal.expect("did you mean /help?");
    terminal.enter("/help");
    terminal.expect("Ctrl-C stops an answer");
    terminal.enter("/quit");
    assert_eq!(terminal.ended(), Some(0));

    let bodies = bodies(&upstream);
    let turns = bodies[1]["messages"].to_string();
    for part in ["My name is Ada.", "answer with 1 turns", "What is my name?"] {
        assert!(turns.contains(part), "{turns}");
    }
    assert!(bodies[1]["system"].to_string().contains("Be brief."));
    assert_eq!(bodies[2]["model"], "claude-haiku-4-5");
    assert!(bodies[2]["messages"].to_string().contains("\"/etc is what?\""), "{}", bodies[2]);
    sandbox.assert_nowhere("My name is Ada.", &[]);
}

#[test]
fn ctrl_c_stops_the_answer_and_not_the_program() {
    let (held, wait) = channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let upstream = Upstream::scripted(move |request, stream| {
        if request.text().contains("again") {
            stream.write_all(&answer(request, "the whole answer", ""))?;
        } else {
            stream.write_all(&stream_head(""))?;
            stream.write_all(messages_begin("a long").as_bytes())?;
            // Never comes: only Ctrl-C ends this answer.
            let _ = wait.lock().expect("lock").recv();
        }
        Err(std::io::ErrorKind::ConnectionAborted.into())
    });
    let sandbox = home(&upstream);
    let mut terminal = Terminal::run(&sandbox.command(&["chat"]));
    terminal.expect("> ");
    terminal.enter("Count to a million.");
    terminal.expect("a long");
    terminal.press("\u{3}");
    terminal.expect("stopped");
    terminal.expect("> ");
    // At the prompt it does not leave either.
    terminal.press("\u{3}");
    terminal.expect("Ctrl-D or /quit leaves");
    terminal.expect("> ");
    terminal.enter("again");
    terminal.expect("the whole answer");
    terminal.expect("> ");
    terminal.press("\u{4}");
    assert_eq!(terminal.ended(), Some(0));
    drop(held);
    let second = bodies(&upstream)[1]["messages"].to_string();
    assert!(second.contains("Count to a million.") && second.contains("a long"), "{second}");
}

#[test]
fn a_failure_does_not_end_the_conversation() {
    let upstream = Upstream::start(|request| match request.text().contains("please") {
        true => answer(request, "gladly", ""),
        false => json("500 Internal Server Error", r#"{"error":{"message":"out of order"}}"#),
    });
    let sandbox = home(&upstream);
    let mut terminal = Terminal::run(&sandbox.command(&["chat"]));
    terminal.expect("> ");
    terminal.enter("do it");
    terminal.expect("HTTP 500: out of order");
    terminal.expect("> ");
    terminal.enter("please");
    terminal.expect("gladly");
    terminal.expect("> ");
    terminal.press("\u{4}");
    assert_eq!(terminal.ended(), Some(0));
    let asked = &bodies(&upstream)[1]["messages"];
    assert_eq!(asked.as_array().map(Vec::len), Some(1), "what failed is not said again: {asked}");
}

#[test]
fn what_a_model_says_cannot_take_over_the_terminal() {
    let upstream = Upstream::start(|request| answer(request, "a\u{1b}]0;title\u{7}b", ""));
    let sandbox = home(&upstream);
    let mut terminal = Terminal::run(&sandbox.command(&["chat"]));
    terminal.expect("> ");
    terminal.enter("hi");
    terminal.expect("a\u{fffd}]0;title\u{fffd}b");
    terminal.expect("> ");
    terminal.press("\u{4}");
    assert_eq!(terminal.ended(), Some(0));
}

#[test]
fn a_long_wait_is_shown_and_wiped_away() {
    let (go_on, wait) = channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let upstream = Upstream::scripted(move |request, stream| {
        wait.lock().expect("lock").recv().map_err(std::io::Error::other)?;
        stream.write_all(&answer(request, "at last", ""))?;
        Err(std::io::ErrorKind::ConnectionAborted.into())
    });
    let sandbox = home(&upstream);
    let mut terminal = Terminal::run(&sandbox.command(&["agent", "-m", "hi"]));
    terminal.expect("waiting for own/claude-sonnet-4-6 … 1 s");
    go_on.send(()).unwrap();
    terminal.expect("\r\u{1b}[Kat last");
    assert_eq!(terminal.ended(), Some(0));
}

#[test]
fn without_a_terminal_there_is_no_conversation() {
    let sandbox = Sandbox::new();
    sandbox.piped(&["chat"], "hi\n").fails(2, &["needs a terminal", "genesis agent --message"]);
    let mut terminal = Terminal::run(&sandbox.command(&["agent"]));
    terminal.expect("there is nothing to ask");
    terminal.expect("genesis chat");
    assert_eq!(terminal.ended(), Some(2));
}
