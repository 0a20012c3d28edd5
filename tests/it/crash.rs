//! The end of a gateway, wanted or not: what was acknowledged is in the log.

use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::http::{Client, call};
use crate::process::{Home, wait_until};

const PATH: &str = "/v1/dev/default/anthropic/v1/messages";
const BODY: &[u8] =
    br#"{"model":"claude-sonnet-4-6","max_tokens":64,"messages":[{"role":"user","content":"Hello"}]}"#;
const STREAM: &[u8] =
    br#"{"model":"claude-sonnet-4-6","max_tokens":64,"stream":true,"messages":[{"role":"user","content":"Hello"}]}"#;
const JSON: (&str, &str) = ("content-type", "application/json");

/// How long a record may wait to be written with others.
const COMMIT_INTERVAL: Duration = Duration::from_millis(50);

/// Clients that call without pause until they are told to stop or the gateway is gone.
struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<(String, Instant)>>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn on(address: SocketAddr, clients: usize) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let client = |_| {
            let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
            thread::spawn(move || {
                let mut client = Client::connect(address).expect("connect");
                while !stop.load(Ordering::Relaxed) {
                    // An error is the gateway's end: nothing was acknowledged.
                    let Ok(answer) = client.call("POST", PATH, &[JSON], BODY) else {
                        return;
                    };
                    assert_eq!(answer.status(), 200, "{}", answer.text());
                    let id = answer.header("cf-aig-log-id").expect("a log id").to_owned();
                    acknowledged.lock().expect("lock").push((id, Instant::now()));
                }
            })
        };
        let clients = (0..clients).map(client).collect();
        Self { stop, acknowledged, clients }
    }

    fn wait_for(&self, count: usize) {
        wait_until("acknowledged calls", || self.acknowledged.lock().expect("lock").len() >= count);
    }

    /// Log ids of complete answers and when each was complete.
    fn end(self) -> Vec<(String, Instant)> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().for_each(|client| client.join().expect("a client"));
        let mut acknowledged = self.acknowledged.lock().expect("lock");
        std::mem::take(&mut acknowledged)
    }
}

fn logged(home: &Home) -> HashSet<String> {
    let records = home.records();
    let ids: HashSet<String> =
        records.iter().map(|record| record["id"].as_str().expect("id").to_owned()).collect();
    assert_eq!(ids.len(), records.len(), "a record is there twice");
    ids
}

#[test]
fn a_killed_gateway_loses_no_more_than_one_commit_interval() {
    let home = Home::new("");
    let gateway = home.dev();
    let metronome = Metronome::start(&home);
    let load = Load::on(gateway.address, 4);
    load.wait_for(400);
    let killed = Instant::now();
    gateway.kill();
    let acknowledged = load.end();
    let beat = metronome.longest();

    // It starts again on what it left behind, and goes on.
    let gateway = home.dev();
    let answer = call(gateway.address, "POST", PATH, &[JSON], BODY);
    let next = answer.header("cf-aig-log-id").expect("a log id").to_owned();
    gateway.stop();
    let logged = logged(&home);
    assert!(logged.contains(&next), "the log goes on");

    let lost: Vec<Duration> = acknowledged
        .iter()
        .filter(|(id, _)| !logged.contains(id))
        .map(|(_, at)| killed.saturating_duration_since(*at))
        .collect();
    let oldest = lost.iter().max().copied().unwrap_or_default();
    eprintln!(
        "{} acknowledged, {} lost, the oldest {oldest:?} before the kill",
        acknowledged.len(),
        lost.len()
    );
    // What just missed one commit waits for the next: the interval and the writing of each.
    let allowed = 2 * beat;
    assert!(
        oldest <= allowed,
        "{} lost, the oldest {oldest:?} before the kill (allowed {allowed:?})",
        lost.len()
    );
}

/// Does what the log's writer does, beside it: waits for a commit interval, then writes durably. How long that takes
/// tells what one interval is on this machine under this load.
struct Metronome {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Metronome {
    fn start(home: &Home) -> Self {
        let (stop, path) = (Arc::new(AtomicBool::new(false)), home.file("metronome"));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut longest = Duration::ZERO;
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                thread::sleep(COMMIT_INTERVAL);
                fs::write(&path, [0; 65_536]).expect("write");
                fs::File::open(&path).and_then(|file| file.sync_all()).expect("sync");
                longest = longest.max(begun.elapsed());
            }
            longest
        });
        Self { stop, thread }
    }

    fn longest(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the metronome")
    }
}

#[test]
fn a_gateway_told_to_stop_finishes_what_it_began_and_loses_nothing() {
    let home = Home::new("");
    let mut gateway = home.dev();
    let mut stream = Client::connect(gateway.address).expect("connect");
    let slow = [JSON, ("x-simulator", "events=12,gap=40ms")];
    stream.send("POST", PATH, &slow, STREAM).expect("send");
    let head = String::from_utf8(stream.read_until("message_start").expect("a beginning")).expect("UTF-8");
    let id = head.lines().find_map(|line| line.strip_prefix("cf-aig-log-id: ")).expect("a log id").to_owned();
    let load = Load::on(gateway.address, 3);
    load.wait_for(100);

    gateway.terminate();
    stream.read_until("message_stop").expect("the stream comes to its end");
    stream.read_until("\r\n0\r\n").expect("and so does its framing");
    let (status, said) = gateway.ended();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("draining"), "{said}");
    assert!(Client::connect(gateway.address).is_err(), "nobody listens any more");

    let acknowledged = load.end();
    let logged = logged(&home);
    let lost = acknowledged.iter().filter(|(id, _)| !logged.contains(id)).count();
    assert_eq!(lost, 0, "of {} acknowledged", acknowledged.len());
    let record = home.records().into_iter().find(|record| record["id"] == *id).expect("the stream is logged");
    assert_eq!(record["outcome"], "success", "{record}");
}

#[test]
fn a_second_signal_ends_the_wait() {
    let home = Home::new("");
    let mut gateway = home.dev();
    let mut stalled = Client::connect(gateway.address).expect("connect");
    stalled.send("POST", PATH, &[JSON, ("x-simulator", "stall")], STREAM).expect("send");
    stalled.read_until("message_start").expect("a beginning");
    gateway.terminate();
    gateway.wait_until_said("draining");
    gateway.terminate();
    let (status, said) = gateway.ended();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(stalled.answer().is_err(), "a stream that was cut off must not look complete");
    assert_eq!(home.records().len(), 1);
}
