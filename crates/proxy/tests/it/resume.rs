//! Streams that can be heard again: byte for byte from any event, for their owner alone, while they are under way and
//! after their end.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use genesis_simulator::Simulator;
use genesis_store::{NewToken, Outcome, Permissions};
use genesis_wire::sse::events;
use proptest::prelude::*;
use serde_json::json;

use crate::cache::{EVENTS, OWN, stream};
use crate::cache_sharing::{Staged, event, head, read_until};
use crate::client::{Reply, call, find, open, read_reply, send};
use crate::gateway::{Gateway, Setup, config};
use crate::upstream::{Script, Upstream, chunk, chunked_head};

const CHAT: &str = "/v1/acct/gw/openai/chat/completions";
const BODY: &[u8] = br#"{"model":"gpt-5","messages":[{"role":"user","content":"hello"}],"stream":true}"#;
const KEEP: (&str, &str) = ("cf-aig-resumable", "true");

pub(crate) fn gateway(url: &str, gateways: &str) -> Gateway {
    let keys = vec![
        ("openai", "default", None, "sk-stored"),
        ("anthropic", "default", None, "sk-ant"),
        ("google-ai-studio", "default", None, "AIza"),
    ];
    Gateway::start(Setup { config: config(url, gateways), keys, workers: 2, ..Setup::default() })
}

pub(crate) fn run_id(reply: &Reply) -> &str {
    let id = reply.header("cf-aig-run-id").unwrap_or_else(|| panic!("no run id: {:?}", reply.headers));
    assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    id
}

pub(crate) fn again(gateway: &Gateway, id: &str, from: &str) -> Reply {
    get(gateway, &format!("/v1/acct/gw/run/{id}/resume{from}"), &gateway.token)
}

fn get(gateway: &Gateway, path: &str, token: &str) -> Reply {
    call(gateway.address, "GET", path, &[("cf-aig-authorization", token)], b"")
}

/// Begins to ask for a stream again, on a connection of its own.
fn begin_again(gateway: &Gateway, id: &str, from: usize) -> TcpStream {
    let mut client = open(gateway.address);
    let token = gateway.authorization();
    let path = format!("/v1/acct/gw/run/{id}/resume?from={from}");
    send(&mut client, "GET", &path, &[("cf-aig-authorization", &token)], b"");
    client
}

/// Asks for a stream that is to be kept; the client reads until `text` has come. What it read, less the head.
fn first_part(gateway: &Gateway, path: &str, headers: &[(&str, &str)], text: &[u8]) -> (TcpStream, String) {
    let mut client = open(gateway.address);
    let token = gateway.authorization();
    let mut all = vec![("cf-aig-authorization", token.as_str()), OWN, ("content-type", "application/json")];
    all.extend_from_slice(headers);
    send(&mut client, "POST", path, &all, BODY);
    let seen = String::from_utf8(read_until(&mut client, text)).expect("text");
    let id = seen.lines().find_map(|line| line.strip_prefix("cf-aig-run-id: ")).expect("a run id").to_owned();
    (client, id)
}

fn told(texts: &[&str]) -> String {
    texts.iter().map(|text| format!("data: {text}\n\n")).collect()
}

/// Every tail of a stream that is over is what the first client was sent, from there on.
fn tails_are_exact(gateway: &Gateway, id: &str, body: &[u8]) {
    let events: Vec<_> = events(body).collect();
    for from in 0..=events.len() + 1 {
        let reply = again(gateway, id, &format!("?from={from}"));
        assert_eq!((reply.status, reply.complete), (200, true), "{from}");
        let tail = events.iter().skip(from).copied().collect::<Vec<_>>().concat();
        assert_eq!(String::from_utf8_lossy(&reply.body), String::from_utf8_lossy(&tail), "{from}");
    }
}

#[test]
fn a_stream_is_given_again_from_every_event_on_every_path() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = gateway(&simulator.url(), "gw: {}");
    let first = gateway.post_authorized(CHAT, &[KEEP], BODY);
    let id = run_id(&first);
    assert!(events(&first.body).count() > 3, "{}", first.text());
    tails_are_exact(&gateway, id, &first.body);
    assert_eq!(again(&gateway, id, "").body, first.body, "from the beginning if nothing is said");
    let bearer = gateway.authorization();
    for path in ["/client/v4/accounts/acct/ai-gateway/gateways/gw", "/ai-gateway/gateways/gw", "/v1/acct/gw"]
    {
        let path = format!("{path}/run/{id}/resume?from=2");
        let reply = call(gateway.address, "GET", &path, &[("authorization", &bearer)], b"");
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        assert!(first.body.ends_with(&reply.body) && reply.body.len() < first.body.len(), "{path}");
        assert_eq!(reply.header("content-type"), first.header("content-type"));
        assert_eq!(reply.header("cf-aig-run-id"), Some(id));
    }
    assert_eq!(gateway.log(1).len(), 1, "hearing it again is no exchange");
    assert_eq!(simulator.captured().len(), 1);
}

#[test]
fn only_those_who_ask_have_their_streams_kept() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = gateway(&simulator.url(), "gw: {}, on: { resumable_streams: true }");
    let keeps = |path: &str, wish: Option<&str>, body: &[u8]| {
        let headers: Vec<_> = wish.map(|wish| ("cf-aig-resumable", wish)).into_iter().collect();
        let reply = gateway.post_authorized(path, &headers, body);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.header("cf-aig-run-id").is_some()
    };
    assert!(
        !keeps(CHAT, None, BODY) && !keeps(CHAT, Some("nonsense"), BODY) && keeps(CHAT, Some("true"), BODY)
    );
    let on = "/v1/acct/on/openai/chat/completions";
    assert!(keeps(on, None, BODY) && !keeps(on, Some("false"), BODY));
    let whole = br#"{"model":"gpt-5","messages":[{"role":"user","content":"hello"}]}"#;
    assert!(!keeps(on, None, whole), "what is no stream has no events");
    let input = json!({"messages":[{"role":"user","content":"hello"}],"stream":true,"max_tokens":9});
    let run = json!({"model":"anthropic/claude-haiku-4.5","input":input}).to_string();
    assert!(keeps("/v1/acct/gw/run", None, run.as_bytes()));
    assert!(!keeps("/v1/acct/gw/run", Some("false"), run.as_bytes()));
}

#[test]
fn a_gateway_behind_names_no_stream_of_ours() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream.url(), "gw: {}");
    upstream.will_say(
        [
            chunked_head("content-type: text/event-stream\r\ncf-aig-run-id: theirs\r\n"),
            chunk(b"data: 1\n\n"),
            b"0\r\n\r\n".to_vec(),
        ]
        .concat(),
    );
    assert_eq!(gateway.post_authorized(CHAT, &[], BODY).header("cf-aig-run-id"), None);
}

#[test]
fn a_client_that_leaves_goes_on_where_it_was_and_the_log_has_all_of_it() {
    let upstream = Staged::start();
    let gateway = gateway(&upstream.url, "gw: {}");
    upstream.says([head(), event(EVENTS[0]), event(EVENTS[1])].concat());
    let (client, id) = first_part(&gateway, CHAT, &[KEEP], EVENTS[1].as_bytes());
    // One joins from the beginning while the first is still there, one goes on after it has left.
    let mut early = begin_again(&gateway, &id, 0);
    read_until(&mut early, EVENTS[1].as_bytes());
    drop(client);
    let mut late = begin_again(&gateway, &id, 2);
    read_until(&mut late, b"\r\n\r\n");
    upstream.says(event(EVENTS[2]));
    assert!(find(&read_until(&mut late, EVENTS[2].as_bytes()), EVENTS[1].as_bytes()).is_none());
    upstream.says([event(EVENTS[3]), b"0\r\n\r\n".to_vec()].concat());
    let mut rest = Vec::new();
    while find(&rest, b"\r\n0\r\n\r\n").is_none() {
        let mut buffer = [0; 4096];
        let count = late.read(&mut buffer).expect("more");
        assert_ne!(count, 0, "broken off");
        rest.extend_from_slice(&buffer[..count]);
    }
    assert!(find(&rest, EVENTS[3].as_bytes()).is_some());
    let whole = again(&gateway, &id, "");
    assert_eq!((whole.text(), whole.complete), (told(&EVENTS), true));
    let first = told(&EVENTS[..2]);
    assert_eq!(first + &again(&gateway, &id, "?from=2").text(), told(&EVENTS), "nothing twice, nothing lost");
    let (record, payload) = gateway.last_log(1);
    assert_eq!(record.outcome, Outcome::ClientLeft);
    assert!(record.error.contains("read to the end") && record.cost_nano_usd > Some(0), "{record:?}");
    assert_eq!(payload.expect("bodies").response, told(&EVENTS));
}

#[test]
fn a_client_that_wants_its_call_cancelled_has_it_cancelled() {
    let upstream = Staged::start();
    let gateway = gateway(&upstream.url, "gw: {}");
    upstream.says([head(), event(EVENTS[0])].concat());
    let cancel = ("cf-aig-on-disconnect", "cancel");
    let (client, id) = first_part(&gateway, CHAT, &[KEEP, cancel], EVENTS[0].as_bytes());
    let mut listener = begin_again(&gateway, &id, 0);
    drop(client);
    let heard = read_reply(&mut listener, "GET");
    assert_eq!((heard.text(), heard.complete), (told(&EVENTS[..1]), false));
    assert_eq!(gateway.log(1)[0].outcome, Outcome::ClientLeft);
}

#[test]
fn what_broke_off_breaks_off_again_after_all_that_came() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream.url(), "gw: {}");
    let part = [chunked_head("content-type: text/event-stream\r\n"), event(EVENTS[0]), chunk(b"data: {\"id")];
    upstream.will(Script { pieces: part.to_vec(), close: true, ..Script::default() });
    let first = gateway.post_authorized(CHAT, &[KEEP], BODY);
    assert!(!first.complete);
    let all = told(&EVENTS[..1]) + "data: {\"id";
    for (from, expected) in [("", all.as_str()), ("?from=1", "data: {\"id"), ("?from=2", "")] {
        let reply = again(&gateway, run_id(&first), from);
        assert_eq!((reply.status, reply.text().as_str(), reply.complete), (200, expected, false), "{from}");
    }
}

#[test]
fn nobody_else_hears_it() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = gateway(&simulator.url(), "gw: {}, other: {}, open: { authentication: false }");
    let first = gateway.post_authorized(CHAT, &[KEEP], BODY);
    let id = run_id(&first);
    let run = Permissions { run: true, ..Permissions::default() };
    let new = |name: &str, gateways: &[&str]| NewToken {
        name: name.to_owned(),
        permissions: run,
        gateways: gateways.iter().map(|gateway| (*gateway).to_owned()).collect(),
        ..NewToken::default()
    };
    let refusal = |path: &str, token: &str| {
        let reply = get(&gateway, &format!("{path}/run/{id}/resume"), token);
        (reply.status, reply.text())
    };
    let unknown = (404, r#"{"error":"Request not found"}"#.to_owned());
    gateway.with_token(new("another", &[]), |another| assert_eq!(refusal("/v1/acct/gw", another), unknown));
    for path in [
        "/v1/another/gw",
        "/v1/acct/other",
        "/v1/acct/open",
        "/client/v4/accounts/another/ai-gateway/gateways/gw",
        "/ai-gateway/gateways/other",
    ] {
        assert_eq!(refusal(path, &gateway.token), unknown, "{path}");
    }
    gateway.with_token(new("scoped", &["other"]), |scoped| assert_eq!(refusal("/v1/acct/gw", scoped).0, 401));
    assert_eq!(refusal("/v1/acct/gw", "gt_wrong").0, 401);
    assert_eq!(refusal("/v1/acct/nothing", &gateway.token).0, 400);
    assert_eq!(again(&gateway, id, "").body, first.body, "it is still there for its owner");
}

#[test]
fn a_page_of_another_site_does_not_hear_what_a_local_program_asked_for() {
    let simulator = Simulator::start().expect("simulator");
    let config = config(&simulator.url(), "gw: { authentication: false, resumable_streams: true }");
    let gateway = Gateway::start(Setup { config, simulator: Some(simulator.addr()), ..Setup::default() });
    let first = gateway.post(CHAT, &[], BODY);
    let path = format!("/v1/acct/gw/run/{}/resume", run_id(&first));
    let status = |headers: &[(&str, &str)]| call(gateway.address, "GET", &path, headers, b"").status;
    assert_eq!((status(&[]), status(&[("origin", "https://page.example")])), (200, 404));
}

#[test]
fn requests_that_make_no_sense_are_told_so() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = gateway(&simulator.url(), "gw: {}");
    let first = gateway.post_authorized(CHAT, &[KEEP], BODY);
    let id = run_id(&first);
    for bad in ["abc", &id[1..], &"g".repeat(64), &"0".repeat(64)] {
        let reply = again(&gateway, bad, "");
        let told = reply.json();
        assert_eq!((reply.status, &told["internalCode"]), (500, &json!(2002)), "{bad}: {told}");
        assert_eq!((&told["name"], &told["error"][0]["code"]), (&json!("AiGatewayError"), &json!(2002)));
    }
    assert_eq!(again(&gateway, &"1".repeat(64), "").status, 404);
    for bad in ["-1", "1.5", "x", "", "+1", "99999999999999999999"] {
        let reply = again(&gateway, id, &format!("?from={bad}"));
        assert_eq!((reply.status, &reply.json()["internalCode"]), (400, &json!(9400)), "{bad}");
        assert!(reply.text().contains("from"), "{}", reply.text());
    }
    assert_eq!(again(&gateway, id, "?x=1&from=1").body, again(&gateway, id, "?from=1").body);
    let path = format!("/v1/acct/gw/run/{id}/resume");
    let token = [("cf-aig-authorization", gateway.token.as_str())];
    let head = call(gateway.address, "HEAD", &path, &token, b"");
    assert_eq!((head.status, head.header("content-type")), (200, first.header("content-type")));
    assert_eq!(head.header("content-length"), None, "nobody knows how long it will be");
    for method in ["POST", "DELETE"] {
        let reply = call(gateway.address, method, &path, &token, b"");
        assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")));
    }
}

#[test]
fn translated_and_packed_streams_are_what_their_client_read() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = gateway(&simulator.url(), "gw: { resumable_streams: true }");
    for model in ["anthropic/claude-sonnet-4-5", "google-ai-studio/gemini-2.5-flash"] {
        let body = json!({"model":model,"stream":true,"messages":[{"role":"user","content":"hello"}]});
        let reply =
            gateway.post_authorized("/v1/acct/gw/compat/chat/completions", &[], body.to_string().as_bytes());
        assert!(reply.text().contains("chat.completion.chunk"), "{}", reply.text());
        tails_are_exact(&gateway, run_id(&reply), &reply.body);
    }
    let plain = gateway.post_authorized(CHAT, &[], BODY);
    let headers = [("accept-encoding", "gzip"), ("x-simulator", "gzip")];
    let packed = gateway.post_authorized(CHAT, &headers, BODY);
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let reply = again(&gateway, run_id(&packed), "");
    assert_eq!((reply.header("content-encoding"), reply.text()), (None, plain.text()));
    tails_are_exact(&gateway, run_id(&packed), &plain.body);
}

#[test]
fn hits_and_shared_calls_have_streams_of_their_own() {
    let upstream = Staged::start();
    let gateway = gateway(&upstream.url, "gw: { cache_ttl: 300, resumable_streams: true }");
    upstream.says([head(), event(EVENTS[0])].concat());
    let (mut leader, of_leader) = first_part(&gateway, CHAT, &[], EVENTS[0].as_bytes());
    let (mut follower, of_follower) = first_part(&gateway, CHAT, &[], EVENTS[0].as_bytes());
    let rest = EVENTS[1..].iter().flat_map(|text| event(text)).collect::<Vec<_>>();
    upstream.says([rest, b"0\r\n\r\n".to_vec()].concat());
    read_until(&mut leader, b"\r\n0\r\n\r\n");
    read_until(&mut follower, b"\r\n0\r\n\r\n");
    let (_hit, of_hit) = first_part(&gateway, CHAT, &[], b"\r\n0\r\n\r\n");
    assert!(of_leader != of_follower && of_follower != of_hit);
    for id in [&of_leader, &of_follower, &of_hit] {
        tails_are_exact(&gateway, id, told(&EVENTS).as_bytes());
    }
}

#[test]
fn steps_and_routes_have_theirs_too() {
    let simulator = Simulator::start().expect("simulator");
    let config = config(&simulator.url(), "gw: {}").replace(
        "gateway: {",
        "gateway: { routes: { r: { elements: [
            { id: 's', type: 'start', outputs: { next: 'm' } },
            { id: 'm', type: 'model', properties: { provider: 'anthropic', model: 'claude-sonnet-4-5' },
              outputs: { success: 'e' } },
            { id: 'e', type: 'end' } ] } },",
    );
    let keys = vec![("openai", "default", None, "sk"), ("anthropic", "default", None, "sk-ant")];
    let gateway = Gateway::start(Setup { config, keys, workers: 2, ..Setup::default() });
    let routed = String::from_utf8_lossy(BODY).replace("gpt-5", "dynamic/r");
    let reply = gateway.post_authorized("/v1/acct/gw/compat/chat/completions", &[KEEP], routed.as_bytes());
    tails_are_exact(&gateway, run_id(&reply), &reply.body);
    let query: serde_json::Value = serde_json::from_slice(BODY).expect("JSON");
    let step = |wish: &str| {
        json!([
            {"provider":"openai","endpoint":"chat/completions","headers":{"x-simulator":"500"},"query":query},
            {"provider":"openai","endpoint":"chat/completions","headers":{"cf-aig-resumable":wish},"query":query},
        ])
        .to_string()
    };
    let reply = gateway.post_authorized("/v1/acct/gw", &[], step("true").as_bytes());
    assert_eq!(reply.header("cf-aig-step"), Some("1"), "{}", reply.text());
    tails_are_exact(&gateway, run_id(&reply), &reply.body);
    let reply = gateway.post_authorized("/v1/acct/gw", &[KEEP], step("false").as_bytes());
    assert_eq!(reply.header("cf-aig-run-id"), None, "a step's own word counts");
}

#[test]
fn a_stop_waits_for_streams_that_somebody_goes_on_with() {
    let upstream = Staged::start();
    let mut gateway = gateway(&upstream.url, "gw: { resumable_streams: true }");
    upstream.says([head(), event(EVENTS[0])].concat());
    let (client, id) = first_part(&gateway, CHAT, &[], EVENTS[0].as_bytes());
    let mut listener = begin_again(&gateway, &id, 0);
    read_until(&mut listener, EVENTS[0].as_bytes());
    drop(client);
    let rest = EVENTS[1..].iter().flat_map(|text| event(text)).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        let (gateway, upstream) = (&mut gateway, &upstream);
        let stopping = scope.spawn(move || gateway.shutdown(Duration::from_secs(60)));
        upstream.says([rest, b"0\r\n\r\n".to_vec()].concat());
        let heard = read_until(&mut listener, b"\r\n0\r\n\r\n");
        assert!(find(&heard, EVENTS[3].as_bytes()).is_some());
        stopping.join().expect("stopped");
    });
    assert!(gateway.log(1)[0].cost_nano_usd > Some(0));
}

#[test]
fn a_stop_that_cannot_wait_breaks_them_off() {
    let upstream = Staged::start();
    let mut gateway = gateway(&upstream.url, "gw: { resumable_streams: true }");
    upstream.says([head(), event(EVENTS[0])].concat());
    let (client, id) = first_part(&gateway, CHAT, &[], EVENTS[0].as_bytes());
    let mut listener = begin_again(&gateway, &id, 0);
    read_until(&mut listener, EVENTS[0].as_bytes());
    gateway.shutdown(Duration::ZERO);
    let mut rest = Vec::new();
    let _ = listener.read_to_end(&mut rest);
    assert!(find(&rest, b"0\r\n\r\n").is_none(), "no end that never was");
    drop(client);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_stream_in_any_pieces_is_given_again_from_any_event(
        texts in prop::collection::vec("[a-z{}\": ]{0,40}", 1..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        thread_local! {
            static BOTH: (Upstream, Gateway) = {
                let upstream = Upstream::start();
                let gateway = gateway(&upstream.url(), "gw: { resumable_streams: true }");
                (upstream, gateway)
            };
        }
        BOTH.with(|(upstream, gateway)| {
            let texts: Vec<_> = texts.iter().map(String::as_str).chain(["[DONE]"]).collect();
            let wire = stream(&texts);
            let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
            at.extend([0, wire.len()]);
            at.sort_unstable();
            at.dedup();
            let pieces = at.windows(2).map(|pair| wire[pair[0]..pair[1]].to_vec()).collect();
            upstream.will(Script { pieces, ..Script::default() });
            let first = gateway.post_authorized(CHAT, &[], BODY);
            assert_eq!((first.complete, first.text()), (true, told(&texts)));
            for from in 0..=texts.len() + 1 {
                let tail = told(texts.get(from..).unwrap_or_default());
                let reply = again(gateway, run_id(&first), &format!("?from={from}"));
                assert_eq!((reply.text(), reply.complete), (tail, true), "{from}");
            }
        });
    }
}
