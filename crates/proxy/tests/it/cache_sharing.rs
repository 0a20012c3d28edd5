//! Identical requests under way share one call: all threads, whoever leaves, however it ends.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use genesis_store::Outcome;
use proptest::prelude::*;

use crate::cache::{CHAT, EVENTS, OWN, cached, status, stream, with};
use crate::client::{Reply, find, open, read_reply, send};
use crate::gateway::{Gateway, Setup, config};
use crate::upstream::{Script, Upstream, answer, chunk, chunked_head};

const BODY: &[u8] = br#"{"model":"gpt-5","messages":[],"stream":true}"#;

/// An upstream that says each piece when told, to one caller, and counts its callers.
pub(crate) struct Staged {
    pub(crate) url: String,
    say: Sender<Vec<u8>>,
    called: Receiver<()>,
    closed: Receiver<()>,
}

impl Staged {
    pub(crate) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let ((say, said), (tell, called), (gone, closed)) = (channel::<Vec<u8>>(), channel(), channel());
        let said = std::sync::Arc::new(std::sync::Mutex::new(said));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (said, tell, gone) = (std::sync::Arc::clone(&said), tell.clone(), gone.clone());
                std::thread::spawn(move || {
                    let mut head = [0; 64 * 1024];
                    let mut seen = Vec::new();
                    while find(&seen, b"\"stream\":true}").is_none() {
                        match stream.read(&mut head) {
                            Ok(0) | Err(_) => return,
                            Ok(count) => seen.extend_from_slice(&head[..count]),
                        }
                    }
                    let _ = tell.send(());
                    let said = said.lock().expect("one caller at a time");
                    while let Ok(piece) = said.recv() {
                        if piece.is_empty() || stream.write_all(&piece).is_err() {
                            break;
                        }
                    }
                    let _ = stream.set_read_timeout(Some(Duration::from_millis(1)));
                    let _ = gone.send(());
                });
            }
        });
        Self { url, say, called, closed }
    }

    pub(crate) fn says(&self, piece: impl Into<Vec<u8>>) {
        self.say.send(piece.into()).expect("said");
    }

    pub(crate) fn was_called(&self) {
        self.called.recv_timeout(Duration::from_secs(20)).expect("a call");
    }

    fn was_not_called_again(&self) {
        assert!(self.called.try_recv().is_err(), "a second call");
    }
}

fn gateway(url: &str, workers: usize) -> Gateway {
    let config = config(url, "gw: { cache_ttl: 300 }");
    Gateway::start(Setup { config, workers, disk: true, ..Setup::default() })
}

fn ask(gateway: &Gateway) -> TcpStream {
    let mut client = open(gateway.address);
    let token = gateway.authorization();
    let headers = [("cf-aig-authorization", token.as_str()), OWN, ("content-type", "application/json")];
    send(&mut client, "POST", CHAT, &headers, BODY);
    client
}

/// Reads until `text` has come.
pub(crate) fn read_until(client: &mut TcpStream, text: &[u8]) -> Vec<u8> {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while find(&seen, text).is_none() {
        let count = client.read(&mut buffer).expect("more");
        assert_ne!(count, 0, "ended after {:?}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..count]);
    }
    seen
}

/// When it came; it stays to be read.
fn first_byte(client: &TcpStream) -> Instant {
    client.peek(&mut [0]).expect("a first byte");
    Instant::now()
}

pub(crate) fn event(text: &str) -> Vec<u8> {
    chunk(format!("data: {text}\n\n").as_bytes())
}

pub(crate) fn head() -> Vec<u8> {
    chunked_head("content-type: text/event-stream\r\n")
}

#[test]
fn two_hundred_identical_streams_are_one_call() {
    let upstream = Staged::start();
    let gateway = gateway(&upstream.url, 3);
    let leader = ask(&gateway);
    upstream.was_called();
    let early: Vec<_> = std::iter::once(leader)
        .chain((1..100).map(|_| ask(&gateway)))
        .map(|client| std::thread::spawn(move || (first_byte(&client), client)))
        .collect();
    let began = Instant::now();
    upstream.says([head(), event(EVENTS[0])].concat());
    let (firsts, mut clients): (Vec<_>, Vec<_>) =
        early.into_iter().map(|reader| reader.join().expect("a first byte")).unzip();
    let latest = firsts.iter().max().expect("some").duration_since(began);
    eprintln!(
        "first bytes: the leader's after {:?}, the latest after {latest:?}",
        firsts[0].duration_since(began)
    );
    // The others come when it has begun, and hear it from the beginning.
    clients.extend((100..200).map(|_| ask(&gateway)));
    clients.iter().for_each(|client| _ = first_byte(client));
    let readers: Vec<_> = clients
        .into_iter()
        .map(|mut client| std::thread::spawn(move || read_reply(&mut client, "POST")))
        .collect();
    for text in &EVENTS[1..] {
        upstream.says(event(text));
    }
    upstream.says(b"0\r\n\r\n".to_vec());
    let replies: Vec<Reply> = readers.into_iter().map(|reader| reader.join().expect("a reply")).collect();
    let expected = EVENTS.map(|text| format!("data: {text}\n\n")).concat();
    for reply in &replies {
        assert_eq!((reply.status, reply.complete), (200, true));
        assert_eq!(reply.text(), expected);
    }
    let misses = replies.iter().filter(|reply| status(reply) == "MISS").count();
    let shared = replies.iter().filter(|reply| reply.header("cf-aig-cache-source") == Some("shared")).count();
    assert_eq!((misses, shared), (1, 199));
    upstream.was_not_called_again();
    // One pays, once.
    let log = gateway.log(200);
    let paid: Vec<_> = log.iter().filter(|record| record.cost_nano_usd > Some(0)).collect();
    assert_eq!((paid.len(), paid[0].cached), (1, false));
    assert!(log.iter().all(|record| record.outcome == Outcome::Success && record.stream));
    assert_eq!(log.iter().filter(|record| record.cached && record.cost_nano_usd == Some(0)).count(), 199);
    // And it is in the cache now.
    let reply = read_reply(&mut ask(&gateway), "POST");
    assert_eq!((status(&reply), reply.header("cf-aig-cache-source")), ("HIT", None));
}

#[test]
fn the_leader_may_leave_and_pays_all_the_same() {
    let upstream = Staged::start();
    let gateway = gateway(&upstream.url, 2);
    let mut leader = ask(&gateway);
    upstream.was_called();
    upstream.says([head(), event(EVENTS[0])].concat());
    read_until(&mut leader, b"Hel");
    let mut follower = ask(&gateway);
    read_until(&mut follower, b"Hel");
    drop(leader);
    upstream.says(event(EVENTS[1]));
    read_until(&mut follower, b"lo");
    upstream.says([event(EVENTS[2]), event(EVENTS[3]), b"0\r\n\r\n".to_vec()].concat());
    read_until(&mut follower, b"[DONE]");
    upstream.was_not_called_again();
    let log = gateway.log(2);
    let (paid, free) = match log[0].cached {
        true => (&log[1], &log[0]),
        false => (&log[0], &log[1]),
    };
    assert_eq!(paid.outcome, Outcome::ClientLeft);
    assert_eq!(paid.usage.map(|usage| (usage.input, usage.output)), Some((1000, 500)), "all of it");
    assert!(paid.cost_nano_usd > Some(0) && paid.error.contains("for others"), "{paid:?}");
    assert_eq!((free.outcome, free.cost_nano_usd), (Outcome::Success, Some(0)));
    assert_eq!(status(&read_reply(&mut ask(&gateway), "POST")), "HIT");
}

#[test]
fn when_everybody_has_left_the_call_ends() {
    let upstream = Staged::start();
    let gateway = gateway(&upstream.url, 2);
    let mut leader = ask(&gateway);
    upstream.was_called();
    upstream.says([head(), event(EVENTS[0])].concat());
    read_until(&mut leader, b"Hel");
    let mut follower = ask(&gateway);
    read_until(&mut follower, b"Hel");
    drop(leader);
    drop(follower);
    // Written into a closed connection sooner or later.
    let until = Instant::now() + Duration::from_secs(20);
    while upstream.closed.try_recv().is_err() {
        assert!(Instant::now() < until, "nobody listens, and still it is read");
        upstream.says(event("{}"));
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let log = gateway.log(2);
    assert!(log.iter().all(|record| record.outcome == Outcome::ClientLeft), "{log:?}");
}

#[test]
fn a_failed_call_passes_to_the_next_before_the_first_byte() {
    let upstream = Staged::start();
    let gateway = gateway(&upstream.url, 2);
    let leader = ask(&gateway);
    upstream.was_called();
    let mut follower = ask(&gateway);
    let waiting = |gateway: &Gateway| gateway.shared.connections();
    while waiting(&gateway) < 2 {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    // The leader leaves before there is an answer: its call ends, the follower makes its own.
    drop(leader);
    upstream.says(Vec::new());
    upstream.was_called();
    upstream.says([head(), EVENTS.map(event).concat(), b"0\r\n\r\n".to_vec()].concat());
    let reply = read_reply(&mut follower, "POST");
    assert_eq!((reply.status, status(&reply), reply.complete), (200, "MISS", true));

    // An error status is the leader's alone.
    let upstream = Upstream::start();
    let gateway = cached(&upstream);
    upstream.will_say(answer("500 Oops", "content-type: application/json\r\n", b"{}"));
    upstream.will_say(stream(&EVENTS));
    let replies: Vec<_> =
        [ask(&gateway), ask(&gateway)].iter_mut().map(|client| read_reply(client, "POST").status).collect();
    assert!(replies.contains(&500) && replies.contains(&200), "{replies:?}");
}

#[test]
fn a_break_is_seen_by_all_after_the_same_bytes() {
    let upstream = Staged::start();
    let gateway = gateway(&upstream.url, 2);
    let mut clients = vec![ask(&gateway)];
    upstream.was_called();
    upstream.says([head(), event(EVENTS[0])].concat());
    clients.extend((0..3).map(|_| ask(&gateway)));
    clients.iter().for_each(|client| _ = first_byte(client)); // everybody has begun
    upstream.says(event(EVENTS[1]));
    upstream.says(Vec::new());
    let expected = EVENTS[..2].iter().map(|text| format!("data: {text}\n\n")).collect::<String>();
    for client in &mut clients {
        let reply = read_reply(client, "POST");
        assert_eq!((reply.status, reply.complete, reply.text()), (200, false, expected.clone()));
    }
    let log = gateway.log(4);
    assert!(log.iter().all(|record| record.outcome == Outcome::UpstreamBroken), "{log:?}");
    // Nothing of it was kept.
    let mut again = ask(&gateway);
    upstream.was_called();
    upstream.says([head(), EVENTS.map(event).concat(), b"0\r\n\r\n".to_vec()].concat());
    assert_eq!(status(&read_reply(&mut again, "POST")), "MISS");
}

#[test]
fn an_answer_too_long_to_keep_still_reaches_everybody() {
    let upstream = Upstream::start();
    let config = config(&upstream.url(), "gw: { cache_ttl: 300 }")
        .replace("gateway: {", "gateway: { cache: { entryBytes: 100000 },");
    let gateway = Gateway::start(Setup { config, workers: 2, ..Setup::default() });
    let long = "x".repeat(600_000);
    for _ in 0..2 {
        upstream.will_say(answer(
            "200 OK",
            "content-type: application/json\r\n",
            format!("{{\"a\":\"{long}\"}}").as_bytes(),
        ));
        let reply = read_reply(&mut ask(&gateway), "POST");
        assert_eq!((status(&reply), reply.complete, reply.body.len()), ("MISS", true, long.len() + 8));
        upstream.request();
    }
    assert_eq!(gateway.shared.cache().size().answers_in_memory, 0);
}

#[test]
fn nothing_is_shared_where_nothing_is_cached() {
    let upstream = Upstream::start();
    let gateway = with(&upstream, "gw: {}");
    upstream.will(Script {
        pieces: vec![[head(), event(EVENTS[0])].concat()],
        then_wait: true,
        ..Script::default()
    });
    upstream.will_say(stream(&EVENTS));
    let mut first = ask(&gateway);
    read_until(&mut first, b"Hel");
    let reply = read_reply(&mut ask(&gateway), "POST");
    assert_eq!((status(&reply), reply.complete), ("MISS", true));
    upstream.request();
    upstream.request();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Bytes are sacred: leader, followers and whoever comes later get what the provider said, however it was cut.
    #[test]
    fn everybody_gets_the_same_bytes(
        texts in prop::collection::vec("[a-zé ]{0,40}", 0..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        whole in any::<bool>(),
    ) {
        static PAIR: std::sync::OnceLock<std::sync::Mutex<(Upstream, Gateway)>> = std::sync::OnceLock::new();
        let pair = PAIR.get_or_init(|| {
            let upstream = Upstream::start();
            let config = config(&upstream.url(), "gw: { cache_ttl: 300 }");
            let gateway = Gateway::start(Setup { config, workers: 2, disk: true, ..Setup::default() });
            std::sync::Mutex::new((upstream, gateway))
        });
        let pair = pair.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (upstream, gateway) = &*pair;
        gateway.shared.cache().purge(None);
        let (wire, body) = if whole {
            let body = serde_json::json!({ "texts": texts }).to_string();
            (answer("200 OK", "content-type: application/json\r\n", body.as_bytes()), body)
        } else {
            let middle: Vec<_> = texts.iter().map(|text| format!("{{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}")).collect();
            let events: Vec<_> = middle.iter().map(String::as_str).chain(EVENTS).collect();
            (stream(&events), events.iter().map(|event| format!("data: {event}\n\n")).collect())
        };
        let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
        at.extend([0, wire.len()]);
        at.sort_unstable();
        at.dedup();
        let pieces = at.windows(2).map(|pair| wire[pair[0]..pair[1]].to_vec()).collect();
        upstream.will(Script { pieces, ..Script::default() });
        let mut clients: Vec<_> = (0..3).map(|_| ask(gateway)).collect();
        for client in &mut clients {
            let reply = read_reply(client, "POST");
            prop_assert!(reply.complete);
            prop_assert_eq!(reply.text(), body.clone());
        }
        let later = read_reply(&mut ask(gateway), "POST");
        prop_assert_eq!((status(&later), later.text()), ("HIT", body));
        upstream.request();
        prop_assert!(upstream.was_not_called());
    }
}
