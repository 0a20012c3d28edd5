//! The log on its way out: at least once, in order, across outages, restarts and kill -9.

use std::collections::HashSet;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::http::{Client, Message, Upstream, call, json};
use crate::process::{Home, Running, wait_until};

const PATH: &str = "/v1/dev/default/anthropic/v1/messages";
const BODY: &[u8] =
    br#"{"model":"claude-sonnet-4-6","max_tokens":64,"messages":[{"role":"user","content":"Hello"}]}"#;
const JSON: (&str, &str) = ("content-type", "application/json");
const SECRET: &str = "Bearer exp0rt-s3cret";

/// A receiver that answers with the status it is told.
struct Receiver {
    upstream: Upstream,
    status: Arc<AtomicU16>,
}

impl Receiver {
    fn start() -> Self {
        let status = Arc::new(AtomicU16::new(200));
        let told = Arc::clone(&status);
        // What it answers may repeat what it was sent: that must not be told on.
        let upstream = Upstream::start(move |request| {
            let status = told.load(Ordering::SeqCst);
            json(&format!("{status} Told"), &format!("you sent {}", request.head))
        });
        Self { upstream, status }
    }

    fn will_answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn home(&self, batch: &str) -> Home {
        let address = self.upstream.address;
        Home::new(&format!(
            "{{ gateway: {{ gateways: {{ default: {{ logpush: true }} }}, logpush: [{{ name: 'archive', \
             destination: 'http://{address}/in', headers: {{ Authorization: '${{EXPORT_KEY}}' }}, batch: {batch} }}] }} }}"
        ))
        .variable("EXPORT_KEY", SECRET)
    }

    /// Every record that came, as often as it came.
    fn lines(&self) -> Vec<Value> {
        self.upstream.received().iter().flat_map(lines_of).collect()
    }

    fn ids(&self) -> Vec<String> {
        self.lines().iter().map(|line| line["ID"].as_str().unwrap().to_owned()).collect()
    }
}

fn lines_of(message: &Message) -> Vec<Value> {
    let mut text = String::new();
    GzDecoder::new(&message.body[..]).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn calls(address: SocketAddr, count: usize) {
    let mut client = Client::connect(address).unwrap();
    for _ in 0..count {
        assert_eq!(client.call("POST", PATH, &[JSON], BODY).unwrap().status(), 200);
    }
}

fn logged(home: &Home) -> Vec<String> {
    home.records().iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
}

fn ready(gateway: &Running) -> Value {
    let local = [("host", "localhost")]; // numbers are for programs of this machine, not for web pages
    serde_json::from_str(&call(gateway.address, "GET", "/readyz", &local, b"").text()).unwrap()
}

/// The first time each came, in that order.
fn first_times(ids: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    ids.into_iter().filter(|id| seen.insert(id.clone())).collect()
}

#[test]
fn every_record_arrives_in_order_across_outages_and_kills() {
    let receiver = Receiver::start();
    let home = receiver.home("{ seconds: 0, records: 20 }");
    let gateway = home.dev();
    calls(gateway.address, 50);
    wait_until("the first batches", || receiver.ids().len() >= 50);

    receiver.will_answer(500);
    calls(gateway.address, 30);
    wait_until("the outage to be told of", || ready(&gateway)["failing"][0] == "exports");
    assert_eq!(ready(&gateway)["exports"][0]["lastError"], "the receiver answered 500", "and no more");
    assert!(!gateway.said().contains("s3cret"), "{}", gateway.said());
    gateway.kill();

    let gateway = home.dev();
    let before = receiver.upstream.received().len();
    wait_until("an attempt after the restart", || receiver.upstream.received().len() > before);
    receiver.will_answer(200);
    // Killed again and again while it sends; whoever calls meanwhile goes on with the next.
    let mut gateway = gateway;
    for _ in 0..3 {
        let stop = Arc::new(AtomicUsize::new(0));
        let caller = {
            let (stop, address) = (Arc::clone(&stop), gateway.address);
            std::thread::spawn(move || {
                let Ok(mut client) = Client::connect(address) else { return };
                while stop.load(Ordering::SeqCst) == 0 {
                    if client.call("POST", PATH, &[JSON], BODY).is_err() {
                        return;
                    }
                }
            })
        };
        let before = receiver.ids().len();
        wait_until("more records", || receiver.ids().len() > before + 40);
        gateway.kill();
        stop.store(1, Ordering::SeqCst);
        caller.join().unwrap();
        gateway = home.dev();
    }
    let (status, said) = gateway.stop();
    assert!(status.success(), "{said}");

    let logged = logged(&home);
    assert_eq!(first_times(receiver.ids()), logged, "all of them, in the order of recording");
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn what_is_left_is_sent_when_the_gateway_stops_and_secrets_stay_where_they_belong() {
    let receiver = Receiver::start();
    let home = receiver.home("{ seconds: 3600 }");
    let gateway = home.dev();
    calls(gateway.address, 5);
    let told = ready(&gateway);
    assert_eq!(told["exports"][0]["target"], "logpush:archive", "{told}");
    assert_eq!((&told["exports"][0]["sent"], &told["failing"]), (&0.into(), &serde_json::json!([])));
    let (status, said) = gateway.stop();
    assert!(status.success(), "{said}");
    let received = receiver.upstream.received();
    assert_eq!(received.len(), 1, "one batch");
    assert_eq!(received[0].header("authorization"), Some(SECRET));
    assert_eq!(received[0].header("content-encoding"), Some("gzip"));
    let lines = receiver.lines();
    assert_eq!(receiver.ids(), logged(&home));
    assert_eq!(lines[0]["RequestBody"], serde_json::from_slice::<Value>(BODY).unwrap());
    assert_eq!(lines[0]["Gateway"], "default");
    assert_eq!(lines[0]["StatusCode"], 200);
    assert!(!said.contains("s3cret"), "{said}");
    assert!(!home.print(&["config", "get", "gateway"]).contains("s3cret"));
}

#[test]
fn a_gateway_begins_and_ends_to_take_part_while_it_runs() {
    let receiver = Receiver::start();
    let home = receiver.home("{ seconds: 0 }");
    let config = std::fs::read_to_string(home.file("genesis.json")).unwrap();
    home.write("genesis.json", config.replace("logpush: true", "logpush: false").as_bytes());
    let gateway = home.dev();
    calls(gateway.address, 3);
    home.write("genesis.json", config.as_bytes());
    gateway.wait_until_said("settings changed and applied");
    calls(gateway.address, 2);
    wait_until("the records since", || receiver.ids().len() >= 2);
    assert_eq!(receiver.ids(), logged(&home)[3..]);
}

#[test]
fn standard_output_gets_a_line_for_each_record() {
    let home = Home::new(
        "{ gateway: { gateways: { default: { logpush: true } }, logpush: [{ name: 'out', destination: 'stdout', \
         fields: ['Model', 'ID'], batch: { seconds: 0 } }] } }",
    );
    let gateway = home.dev();
    calls(gateway.address, 2);
    let (_, said) = gateway.stop();
    let lines: Vec<Value> = said
        .lines()
        .filter(|line| line.starts_with("{\"Model\":"))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ids: Vec<_> = lines.iter().map(|line| line["ID"].as_str().unwrap()).collect();
    assert_eq!(ids, logged(&home));
}

#[test]
fn what_is_in_the_log_is_exported_once_on_demand() {
    let home = Home::new("");
    let gateway = home.dev();
    calls(gateway.address, 3);
    gateway.stop();
    let printed = home.print(&["logs", "export", "--fields", "ID,RequestBody"]);
    let lines: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<_> = lines.iter().map(|line| line["ID"].as_str().unwrap()).collect();
    assert_eq!(ids, logged(&home));
    assert_eq!(lines[0]["RequestBody"], serde_json::from_slice::<Value>(BODY).unwrap());

    let folder = home.file("exported");
    let to = format!("file:{}", folder.display());
    home.print(&["logs", "export", "--to", &to, "--gateway", "default"]);
    home.print(&["logs", "export", "--to", &to]);
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "the second took the place of the first");
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(&files[0]).unwrap()).read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 3);
    assert_eq!(home.print(&["logs", "export", "--gateway", "other"]), "");

    home.write(
        "genesis.json",
        b"{ gateway: { gateways: { default: { logpush_public_key: 'xxxxxxxxxxxxxxxx' } } } }",
    );
    let refused = home.run(&["logs", "export"], "");
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(78), ""), "nothing in the clear instead");
    assert!(refused.stderr.contains("logpush_public_key"), "{}", refused.stderr);
}

#[test]
fn an_entry_that_cannot_be_used_is_told_at_its_place() {
    let home = Home::new(
        "{\n  gateway: { logpush: [\n    { name: 'a', destination: 'gs://bucket' },\n    { name: 'a', destination: 'stdout', fields: ['Modell'] },\n  ] } }",
    );
    let ran = home.run(&["config", "validate"], "");
    assert_ne!(ran.code, Some(0));
    let said = format!("{}{}", ran.stdout, ran.stderr);
    for part in ["gateway.logpush[0].destination", "gateway.logpush[1].name", "did you mean `Model`?"] {
        assert!(said.contains(part), "{said}");
    }
}
