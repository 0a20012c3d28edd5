//! Answers given again: when, to whom, with which bytes, and what the log says of it.

use genesis_store::Outcome;

use crate::client::{Reply, call};
use crate::gateway::{Gateway, Setup, config};
use crate::upstream::{Script, Upstream, answer, chunk, chunked_head};

pub(crate) const OWN: (&str, &str) = ("authorization", "Bearer sk-own");
pub(crate) const CHAT: &str = "/v1/acct/gw/openai/chat/completions";
const ASKED: &[u8] = br#"{"model":"gpt-5","messages":[{"role":"user","content":"hi"}]}"#;
const STREAMED: &[u8] = br#"{"model":"gpt-5","messages":[{"role":"user","content":"hi"}],"stream":true}"#;
const SAID: &str = r#"{"id":"c1","object":"chat.completion","created":5,"model":"gpt-5","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":500}}"#;

pub(crate) fn cached(upstream: &Upstream) -> Gateway {
    with(
        upstream,
        "gw: { cache_ttl: 300 }, other: { cache_ttl: 300 }, open: { cache_ttl: 300, authentication: false }, off: {}",
    )
}

pub(crate) fn with(upstream: &Upstream, gateways: &str) -> Gateway {
    Gateway::start(Setup { config: config(&upstream.url(), gateways), disk: true, ..Setup::default() })
}

fn json(body: &str) -> Vec<u8> {
    answer(
        "200 OK",
        "content-type: application/json\r\nset-cookie: a=b\r\nx-ratelimit-limit: 9\r\nx-request-id: r1\r\n",
        body.as_bytes(),
    )
}

pub(crate) fn stream(events: &[&str]) -> Vec<u8> {
    let mut wire = chunked_head("content-type: text/event-stream; charset=utf-8\r\n");
    for event in events {
        wire.extend(chunk(format!("data: {event}\n\n").as_bytes()));
    }
    wire.extend(b"0\r\n\r\n");
    wire
}

pub(crate) const EVENTS: [&str; 4] = [
    r#"{"id":"c1","object":"chat.completion.chunk","created":5,"model":"gpt-5","choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"},"finish_reason":null}]}"#,
    r#"{"id":"c1","object":"chat.completion.chunk","created":5,"model":"gpt-5","choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"stop"}]}"#,
    r#"{"id":"c1","object":"chat.completion.chunk","created":5,"model":"gpt-5","choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":500}}"#,
    "[DONE]",
];

pub(crate) fn status(reply: &Reply) -> &str {
    reply.header("cf-aig-cache-status").unwrap_or("none")
}

/// One call, for which the upstream has an answer ready; whether it came from the cache.
fn hits(upstream: &Upstream, gateway: &Gateway, path: &str, headers: &[(&str, &str)], body: &[u8]) -> bool {
    upstream.will_say(json(SAID));
    let reply = gateway.post_authorized(path, headers, body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let hit = status(&reply) == "HIT";
    if hit {
        // The answer that was not asked for.
        upstream.forget();
        assert!(upstream.was_not_called());
    } else {
        upstream.request();
    }
    hit
}

#[test]
fn a_repeated_request_is_answered_with_the_same_bytes_for_nothing() {
    let upstream = Upstream::start();
    let gateway = cached(&upstream);
    upstream.will_say(json(SAID));
    let first = gateway.post_authorized(CHAT, &[OWN], ASKED);
    assert_eq!((status(&first), first.header("age")), ("MISS", None));
    assert_eq!(first.header("set-cookie"), Some("a=b"), "the first has its answer untouched");
    let second = gateway.post_authorized(CHAT, &[OWN], ASKED);
    assert_eq!((second.status, status(&second), second.text().as_str()), (200, "HIT", SAID));
    assert_eq!(second.header("age"), Some("0"));
    assert_eq!(second.header("content-type"), Some("application/json"));
    assert_eq!(second.header("content-length"), Some(SAID.len().to_string().as_str()));
    assert_eq!(second.header("x-request-id"), Some("r1"));
    assert_eq!((second.header("set-cookie"), second.header("x-ratelimit-limit")), (None, None));
    assert_ne!(first.header("cf-aig-log-id"), second.header("cf-aig-log-id"));
    upstream.request();
    assert!(upstream.was_not_called());

    let log = gateway.log(2);
    let (paid, free) = (&log[0], &log[1]);
    assert!(!paid.cached && paid.cost_nano_usd.is_some_and(|cost| cost > 0), "{paid:?}");
    assert!(free.cached && free.cost_nano_usd == Some(0), "{free:?}");
    assert_eq!(free.usage.map(|usage| (usage.tokens_in(), usage.tokens_out())), Some((0, 0)));
    assert_eq!((free.model.as_str(), free.status, free.outcome), ("gpt-5", 200, Outcome::Success));
    assert_eq!(free.response_size, SAID.len() as u64);
    let (_, payload) = gateway.store.log(&free.id.to_string()).expect("log").expect("record");
    assert_eq!(payload.expect("payload").response, SAID.as_bytes());
}

#[test]
fn headers_switch_it_on_and_off() {
    let upstream = Upstream::start();
    let gateway = cached(&upstream);
    let off = "/v1/acct/off/openai/chat/completions";
    let asks = |path: &str, headers: &[(&str, &str)]| {
        let mut all = vec![OWN];
        all.extend_from_slice(headers);
        hits(&upstream, &gateway, path, &all, ASKED)
    };
    // Off: nothing is kept, nothing is found.
    assert!(!asks(off, &[]) && !asks(off, &[]));
    // A header switches it on for one request, in both directions.
    assert!(!asks(off, &[("cf-aig-cache-ttl", "60")]));
    assert!(!asks(off, &[]));
    assert!(asks(off, &[("cf-aig-cache-ttl", "60")]));
    assert!(asks(off, &[("cf-cache-ttl", "60")]));
    // On: 0 and skip mean off, for reading and for writing.
    for header in [
        ("cf-aig-skip-cache", "true"),
        ("cf-skip-cache", "true"),
        ("cf-aig-cache-ttl", "0"),
        ("cf-cache-ttl", "0"),
    ] {
        assert!(!asks(CHAT, &[header]), "{header:?}");
        assert!(!asks(CHAT, &[header]), "{header:?}");
    }
    assert!(!asks(CHAT, &[]), "none of them was kept");
    assert!(asks(CHAT, &[("cf-aig-skip-cache", "false")]));
    // Out of bounds: as if absent.
    assert!(asks(CHAT, &[("cf-aig-cache-ttl", "59")]));
    assert!(!asks("/v1/acct/off/openai/x/y", &[("cf-aig-cache-ttl", "59")]));
    assert!(!asks("/v1/acct/off/openai/x/y", &[("cf-aig-cache-ttl", "2592000")]), "59 kept nothing");
}

#[test]
fn what_the_answer_depends_on_tells_requests_apart() {
    let upstream = Upstream::start();
    let gateway = cached(&upstream);
    let asks =
        |path: &str, headers: &[(&str, &str)], body: &[u8]| hits(&upstream, &gateway, path, headers, body);
    assert!(!asks(CHAT, &[OWN], ASKED));
    assert!(asks(CHAT, &[OWN], ASKED));
    assert!(!asks("/v1/acct/gw/openai/responses", &[OWN], ASKED), "path");
    assert!(!asks("/v1/acct/gw/openai/chat/completions?a=1", &[OWN], ASKED), "query");
    assert!(
        !asks(CHAT, &[OWN], br#"{"model":"gpt-6","messages":[{"role":"user","content":"hi"}]}"#),
        "model"
    );
    assert!(!asks(CHAT, &[OWN, ("openai-beta", "x")], ASKED), "a beta");
    assert!(!asks(CHAT, &[OWN, ("accept-encoding", "gzip")], ASKED), "a coding not every client reads");
    assert!(
        asks(CHAT, &[OWN, ("user-agent", "other"), ("cf-aig-metadata", "{\"a\":1}")], ASKED),
        "neither of these"
    );
    assert!(asks(
        CHAT,
        &[OWN, ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")],
        ASKED
    ));
}

#[test]
fn no_tenant_sees_anothers_answer() {
    let upstream = Upstream::start();
    let gateway = cached(&upstream);
    let asks =
        |path: &str, headers: &[(&str, &str)], body: &[u8]| hits(&upstream, &gateway, path, headers, body);
    for own in [None, Some(("cf-aig-cache-key", "same"))] {
        let headers = |key| [Some(("authorization", key)), own].into_iter().flatten().collect::<Vec<_>>();
        assert!(!asks(CHAT, &headers("Bearer sk-a"), ASKED));
        assert!(asks(CHAT, &headers("Bearer sk-a"), ASKED));
        for (path, key, why) in [
            (CHAT, "Bearer sk-b", "another key"),
            (CHAT, "Bearer sk-A", "another key by one letter"),
            ("/v1/acct2/gw/openai/chat/completions", "Bearer sk-a", "another account"),
            ("/v1/acct/other/openai/chat/completions", "Bearer sk-a", "another gateway"),
            ("/v1/acct/gw/anthropic/v1/messages", "Bearer sk-a", "another provider"),
        ] {
            assert!(!asks(path, &headers(key), ASKED), "{why}, {own:?}");
        }
        // No key at all, and a secret in a header nobody here knows.
        let without: Vec<_> = own.into_iter().collect();
        assert!(!asks(CHAT, &without, ASKED), "no key, {own:?}");
        let mut strange = headers("Bearer sk-a");
        strange.push(("x-session-token", "s1"));
        assert!(!asks(CHAT, &strange, ASKED), "a secret besides, {own:?}");
        // The key in the query is a key, too.
        let google =
            |key: &str| format!("/v1/acct/gw/google-ai-studio/v1beta/models/g:generateContent?key={key}");
        assert!(!asks(&google("one"), &without, ASKED));
        assert!(asks(&google("one"), &without, ASKED));
        assert!(!asks(&google("two"), &without, ASKED), "another key in the query, {own:?}");
    }
}

#[test]
fn a_stored_keys_answers_are_for_those_who_may_use_it() {
    let upstream = Upstream::start();
    let gateways = "gw: { cache_ttl: 300, authentication: false }, two: { cache_ttl: 300 }";
    let keys = vec![("openai", "default", None, "sk-stored"), ("openai", "second", None, "sk-second")];
    let gateway =
        Gateway::start(Setup { config: config(&upstream.url(), gateways), keys, ..Setup::default() });
    assert!(!hits(&upstream, &gateway, CHAT, &[], ASKED));
    assert!(hits(&upstream, &gateway, CHAT, &[], ASKED));
    assert!(
        !hits(&upstream, &gateway, CHAT, &[("cf-aig-byok-alias", "second")], ASKED),
        "another stored key"
    );
    // Nobody without a token gets what a stored key paid for, in the cache or not.
    let refused = gateway.post(CHAT, &[], ASKED);
    assert_eq!(refused.status, 401, "{}", refused.text());
    let refused = gateway.post(CHAT, &[("cf-aig-authorization", "Bearer wrong")], ASKED);
    assert_eq!(refused.status, 401, "{}", refused.text());
    // A key of one's own with the same text is another credential.
    assert!(!hits(&upstream, &gateway, CHAT, &[("authorization", "Bearer sk-stored")], ASKED));
}

#[test]
fn a_key_of_ones_own_stands_for_path_and_body() {
    let upstream = Upstream::start();
    let gateway = cached(&upstream);
    let off = "/v1/acct/off/openai/chat/completions";
    let own = ("cf-aig-cache-key", "mine");
    assert!(!hits(&upstream, &gateway, off, &[OWN, own], ASKED));
    assert!(hits(&upstream, &gateway, off, &[OWN, own], br#"{"model":"other"}"#));
    assert!(!hits(&upstream, &gateway, off, &[OWN, ("cf-aig-cache-key", "yours")], ASKED));
    assert!(!hits(&upstream, &gateway, off, &[OWN], ASKED), "without it the gateway's setting counts: off");
    assert!(!hits(&upstream, &gateway, off, &[OWN, own, ("cf-aig-cache-ttl", "0")], ASKED));
    // What comes back fits the endpoint all the same.
    assert!(!hits(&upstream, &gateway, "/v1/acct/off/openai/responses", &[OWN, own], ASKED));
}

#[test]
fn errors_and_cut_answers_are_not_kept() {
    let upstream = Upstream::start();
    let gateway = cached(&upstream);
    let json = "content-type: application/json\r\n";
    let say =
        |pieces: Vec<u8>, close| upstream.will(Script { pieces: vec![pieces], close, ..Script::default() });
    let mut cut = answer("200 OK", json, SAID.as_bytes());
    cut.truncate(cut.len() - 10);
    let truncated = stream(&EVENTS[..1]);
    let mut until_close = format!("HTTP/1.1 200 OK\r\n{json}\r\n").into_bytes();
    until_close.extend_from_slice(SAID.as_bytes());
    for (wire, close, body) in [
        (answer("500 Internal Server Error", json, b"{\"error\":{\"message\":\"x\"}}"), false, ASKED),
        (answer("429 Too Many Requests", json, b"{\"error\":{\"message\":\"x\"}}"), false, ASKED),
        (answer("400 Bad Request", json, b"{\"error\":{\"message\":\"x\"}}"), false, ASKED),
        (answer("200 OK", json, b"{\"error\":{\"message\":\"no\"}}"), false, ASKED),
        (answer("201 Created", json, SAID.as_bytes()), false, ASKED),
        (answer("200 OK", "content-type: audio/mpeg\r\n", b"sound"), false, ASKED),
        (answer("200 OK", "", b"of no type"), false, ASKED),
        (cut, true, ASKED),
        (until_close, true, ASKED),
        (truncated, false, STREAMED),
        (stream(&[EVENTS[0], r#"{"error":{"message":"overloaded"}}"#, "[DONE]"]), false, STREAMED),
    ] {
        let said = String::from_utf8_lossy(&wire).into_owned();
        say(wire, close);
        let reply = gateway.post_authorized(CHAT, &[OWN], body);
        assert_eq!(status(&reply), "MISS", "what was said before {said}");
        upstream.request();
    }
    assert!(!hits(&upstream, &gateway, CHAT, &[OWN], ASKED), "nothing was kept");
    assert!(hits(&upstream, &gateway, CHAT, &[OWN], ASKED));
}

#[test]
fn only_posted_json_is_cached_and_nothing_that_makes_things() {
    let upstream = Upstream::start();
    let gateway = cached(&upstream);
    let token = gateway.authorization();
    for _ in 0..2 {
        upstream.will_say(json(SAID));
        let headers = [("cf-aig-authorization", token.as_str()), OWN];
        let reply = call(gateway.address, "GET", "/v1/acct/gw/openai/models", &headers, b"");
        assert_eq!(status(&reply), "MISS");
        upstream.request();
    }
    for path in
        ["/v1/acct/gw/openai/batches", "/v1/acct/gw/openai/files", "/v1/acct/gw/openai/threads/t/runs"]
    {
        assert!(!hits(&upstream, &gateway, path, &[OWN], ASKED));
        assert!(!hits(&upstream, &gateway, path, &[OWN], ASKED), "{path}");
    }
    let form = ("content-type", "multipart/form-data; boundary=x");
    for _ in 0..2 {
        assert!(!hits(&upstream, &gateway, "/v1/acct/gw/openai/audio/transcriptions", &[OWN, form], ASKED));
    }
    // Images are.
    for expected in ["MISS", "HIT"] {
        upstream.will_say(answer("200 OK", "content-type: image/png\r\n", b"\x89PNG\xff"));
        let reply = gateway.post_authorized("/v1/acct/gw/openai/images/x", &[OWN], ASKED);
        assert_eq!((status(&reply), reply.body.as_slice()), (expected, &b"\x89PNG\xff"[..]));
    }
}

#[test]
fn a_promise_of_an_answer_is_not_kept() {
    let upstream = Upstream::start();
    let gateway = cached(&upstream);
    for (said, kept) in [("queued", false), ("in_progress", false), ("completed", true)] {
        let body = format!("{{\"id\":\"r\",\"object\":\"response\",\"status\":\"{said}\",\"output\":[]}}");
        upstream.will_say(json(&body));
        let path = "/v1/acct/gw/openai/responses";
        assert_eq!(status(&gateway.post_authorized(path, &[OWN], ASKED)), "MISS");
        upstream.request();
        assert_eq!(hits(&upstream, &gateway, path, &[OWN, ("x-said", said)], ASKED), kept, "{said}");
        gateway.shared.cache().purge(None);
    }
}

#[test]
fn streams_are_replayed_byte_for_byte() {
    let upstream = Upstream::start();
    let gateway = cached(&upstream);
    upstream.will_say(stream(&EVENTS));
    let first = gateway.post_authorized(CHAT, &[OWN], STREAMED);
    let second = gateway.post_authorized(CHAT, &[OWN], STREAMED);
    assert_eq!((status(&first), status(&second)), ("MISS", "HIT"));
    assert!(second.complete && first.body == second.body && !first.body.is_empty());
    assert_eq!(first.header("content-type"), second.header("content-type"));
    let log = gateway.log(2);
    assert!(log[1].cached && log[1].stream && log[1].cost_nano_usd == Some(0));
    assert!(log[0].cost_nano_usd > Some(0));
}

#[test]
fn a_stream_answers_for_the_whole_and_the_whole_for_a_stream() {
    let upstream = Upstream::start();
    let gateway = cached(&upstream);
    upstream.will_say(stream(&EVENTS));
    gateway.post_authorized(CHAT, &[OWN], STREAMED);
    upstream.request();
    let whole = gateway.post_authorized(CHAT, &[OWN], ASKED);
    assert_eq!((status(&whole), whole.header("cf-aig-cache-source")), ("HIT", Some("reshaped")));
    assert_eq!(whole.header("content-type"), Some("application/json"));
    let json_answer = whole.json();
    assert_eq!(json_answer["choices"][0]["message"]["content"], "Hello");
    assert_eq!(json_answer["usage"]["completion_tokens"], 500);
    // Said twice, it is remembered in that shape.
    assert_eq!(status(&gateway.post_authorized(CHAT, &[OWN], ASKED)), "HIT");
    // Another way to write the same request.
    let spelt = br#"{"model":"gpt-5","messages":[{"role":"user","content":"hi"}],"stream":false}"#;
    assert_eq!(status(&gateway.post_authorized(CHAT, &[OWN], spelt)), "HIT");
    assert!(upstream.was_not_called());

    let asked = |text: &str, more: &str| {
        format!("{{\"model\":\"gpt-5\",\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}]{more}}}")
    };
    upstream.will_say(json(SAID));
    gateway.post_authorized(CHAT, &[OWN], asked("two", "").as_bytes());
    upstream.request();
    let more = r#","stream":true,"stream_options":{"include_usage":true}"#;
    let streamed = gateway.post_authorized(CHAT, &[OWN], asked("two", more).as_bytes());
    assert_eq!((status(&streamed), streamed.header("cf-aig-cache-source")), ("HIT", Some("reshaped")));
    assert_eq!(streamed.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let text = streamed.text();
    assert!(
        text.contains("Hello")
            && text.contains("\"completion_tokens\":500")
            && text.ends_with("data: [DONE]\n\n"),
        "{text}"
    );
    assert!(upstream.was_not_called());
    // Options nobody here knows: the provider has to be asked.
    upstream.will_say(stream(&EVENTS));
    let novel = r#","stream":true,"stream_options":{"novel":1}"#;
    assert_eq!(status(&gateway.post_authorized(CHAT, &[OWN], asked("two", novel).as_bytes())), "MISS");
    // What a stream left out cannot be made up: here the usage.
    upstream.will_say(stream(&[EVENTS[0], EVENTS[1], "[DONE]"]));
    gateway.post_authorized(CHAT, &[OWN], asked("three", ",\"stream\":true").as_bytes());
    upstream.will_say(json(SAID));
    assert_eq!(status(&gateway.post_authorized(CHAT, &[OWN], asked("three", "").as_bytes())), "MISS");
}

#[test]
fn a_purge_empties_memory_and_disk_of_one_gateway() {
    let upstream = Upstream::start();
    let gateway = cached(&upstream);
    let other = "/v1/acct/other/openai/chat/completions";
    for path in [CHAT, other] {
        assert!(!hits(&upstream, &gateway, path, &[OWN], ASKED));
    }
    gateway.shared.cache().purge(Some("gw"));
    assert!(!hits(&upstream, &gateway, CHAT, &[OWN], ASKED));
    assert!(hits(&upstream, &gateway, other, &[OWN], ASKED));
    assert!(hits(&upstream, &gateway, CHAT, &[OWN], ASKED), "kept anew");
}

#[test]
fn a_change_of_settings_drops_answers_where_that_is_asked_for() {
    let upstream = Upstream::start();
    let settings = |gw: u32, other: u32| {
        config(
            &upstream.url(),
            &format!(
                "gw: {{ cache_ttl: {gw}, cache_invalidate_on_update: true }}, other: {{ cache_ttl: {other} }}"
            ),
        )
    };
    let gateway = Gateway::start(Setup { config: settings(300, 300), disk: true, ..Setup::default() });
    let other = "/v1/acct/other/openai/chat/completions";
    for path in [CHAT, other] {
        assert!(!hits(&upstream, &gateway, path, &[OWN], ASKED));
    }
    gateway.reconfigure(&settings(300, 300));
    assert!(hits(&upstream, &gateway, CHAT, &[OWN], ASKED), "nothing changed");
    gateway.reconfigure(&settings(400, 400));
    assert!(!hits(&upstream, &gateway, CHAT, &[OWN], ASKED));
    assert!(hits(&upstream, &gateway, other, &[OWN], ASKED), "not asked for");
    gateway.reconfigure(&settings(300, 400));
    assert!(!hits(&upstream, &gateway, CHAT, &[OWN], ASKED), "what was dropped does not come back");
}

#[test]
fn the_unified_api_shares_the_providers_own_answer() {
    let upstream = Upstream::start();
    let gateway = cached(&upstream);
    let message = r#"{"id":"m","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":2}}"#;
    upstream.will_say(json(message));
    let path = "/v1/acct/gw/compat/chat/completions";
    let body = br#"{"model":"anthropic/claude-x","messages":[{"role":"user","content":"hi"}]}"#;
    let own = ("x-api-key", "sk-own");
    let (first, second) =
        (gateway.post_authorized(path, &[own], body), gateway.post_authorized(path, &[own], body));
    assert_eq!((status(&first), status(&second)), ("MISS", "HIT"), "{}", first.text());
    assert_eq!(second.json()["choices"][0]["message"]["content"], "Hello");
    assert_eq!(first.json()["usage"], second.json()["usage"]);
    upstream.request();
    assert!(upstream.was_not_called());
    // A stream of it is made from the same answer, then translated.
    let body = br#"{"model":"anthropic/claude-x","messages":[{"role":"user","content":"hi"}],"stream":true}"#;
    let third = gateway.post_authorized(path, &[own], body);
    assert_eq!((status(&third), third.header("cf-aig-cache-source")), ("HIT", Some("reshaped")));
    assert!(third.text().contains("Hello") && third.text().ends_with("data: [DONE]\n\n"), "{}", third.text());
    let log = gateway.log(3);
    assert!(log.iter().skip(1).all(|record| record.cached && record.cost_nano_usd == Some(0)));
}

#[test]
fn an_expired_answer_may_stand_in_for_an_error() {
    let upstream = Upstream::start();
    let gateway = cached(&upstream);
    let mine = ("cf-aig-cache-ttl", "60");
    let spare = ("cf-aig-cache-stale-if-error", "3600");
    upstream.will_say(json(SAID));
    gateway.post_authorized(CHAT, &[OWN, mine, spare], ASKED);
    upstream.request();
    gateway.later(100);
    for (wire, close) in [
        (answer("503 Service Unavailable", "content-type: application/json\r\n", b"{}"), false),
        (answer("429 Too Many Requests", "content-type: application/json\r\n", b"{}"), false),
        (b"no HTTP at all\r\n\r\n".to_vec(), true),
    ] {
        upstream.will(Script { pieces: vec![wire], close, ..Script::default() });
        let reply = gateway.post_authorized(CHAT, &[OWN, mine, spare], ASKED);
        assert_eq!((reply.status, status(&reply), reply.text().as_str()), (200, "HIT", SAID));
        assert_eq!(reply.header("cf-aig-cache-stale"), Some("error"));
        assert!(reply.header("age").and_then(|age| age.parse().ok()) >= Some(100));
    }
    // A mistake of the client's own is told; and whoever does not ask for it gets the error.
    upstream.will_say(answer("400 Bad Request", "content-type: application/json\r\n", b"{}"));
    assert_eq!(gateway.post_authorized(CHAT, &[OWN, mine, spare], ASKED).status, 400);
    upstream.will_say(answer("503 Service Unavailable", "content-type: application/json\r\n", b"{}"));
    assert_eq!(gateway.post_authorized(CHAT, &[OWN, mine], ASKED).status, 503);
    // Too old for that as well.
    gateway.later(4000);
    upstream.will_say(answer("503 Service Unavailable", "content-type: application/json\r\n", b"{}"));
    assert_eq!(gateway.post_authorized(CHAT, &[OWN, mine, spare], ASKED).status, 503);
    let log = gateway.log(5);
    assert!(log[1..4].iter().all(|record| record.cached && record.cost_nano_usd == Some(0)), "{log:?}");
}

#[test]
fn an_expired_answer_may_be_given_while_a_new_one_is_fetched() {
    let upstream = Upstream::start();
    let gateway = with(&upstream, "gw: { cache_ttl: 60, cache_stale_while_revalidate: 3600 }");
    upstream.will_say(json(SAID));
    gateway.post_authorized(CHAT, &[OWN], ASKED);
    upstream.request();
    gateway.later(100);
    let newer = SAID.replace("Hello", "Hello again");
    upstream.will_say(json(&newer));
    let reply = gateway.post_authorized(CHAT, &[OWN], ASKED);
    assert_eq!((status(&reply), reply.text().as_str()), ("HIT", SAID));
    assert_eq!(reply.header("cf-aig-cache-stale"), Some("revalidating"));
    // The call behind it is a record of its own, with its own cost.
    let log = gateway.log(3);
    let paid = log.iter().filter(|record| record.cost_nano_usd > Some(0) && !record.cached).count();
    assert_eq!((paid, log.len()), (2, 3), "{log:?}");
    upstream.request();
    let reply = gateway.post_authorized(CHAT, &[OWN], ASKED);
    assert_eq!((status(&reply), reply.header("cf-aig-cache-stale"), reply.text()), ("HIT", None, newer));
    assert!(upstream.was_not_called());
}

#[test]
fn nearly_the_same_question_gets_the_same_answer_where_that_is_switched_on() {
    let upstream = Upstream::start();
    let semantic = "cache_semantic: { model: 'openai/embed', threshold: 0.9 }";
    let gateways = format!("gw: {{ cache_ttl: 300, {semantic} }}, two: {{ cache_ttl: 300, {semantic} }}");
    let keys = vec![("openai", "default", None, "sk-stored"), ("openai", "second", None, "sk-second")];
    let gateway =
        Gateway::start(Setup { config: config(&upstream.url(), &gateways), keys, ..Setup::default() });
    let asked = |system: &str, text: &str, more: &str| {
        format!(
            "{{\"model\":\"gpt-5\",\"messages\":[{{\"role\":\"system\",\"content\":\"{system}\"}},{{\"role\":\"user\",\"content\":\"{text}\"}}]{more}}}"
        )
    };
    let embeds = |x: f32, y: f32| {
        let said = format!(
            "{{\"object\":\"list\",\"model\":\"embed\",\"data\":[{{\"embedding\":[{x},{y}]}}],\"usage\":{{\"prompt_tokens\":7,\"total_tokens\":7}}}}"
        );
        upstream.will_say(json(&said));
    };
    let asks = |path: &str, headers: &[(&str, &str)], body: &str, x: f32, y: f32| {
        embeds(x, y);
        upstream.will_say(json(SAID));
        let reply = gateway.post_authorized(path, headers, body.as_bytes());
        assert_eq!(reply.status, 200);
        upstream.forget();
        while !upstream.was_not_called() {}
        reply
    };
    assert_eq!(status(&asks(CHAT, &[], &asked("s", "What is the capital of France?", ""), 1.0, 0.0)), "MISS");
    let near = asks(CHAT, &[], &asked("s", "France's capital?", ""), 1.0, 0.1);
    assert_eq!((status(&near), near.header("cf-aig-cache-source")), ("HIT", Some("semantic")));
    assert_eq!(near.header("cf-aig-cache-similarity"), Some("0.9950"));
    assert_eq!(near.text(), SAID);
    // In whichever shape.
    let streamed = asks(CHAT, &[], &asked("s", "Capital of France, please", ",\"stream\":true"), 1.0, 0.05);
    assert_eq!((status(&streamed), streamed.header("cf-aig-cache-source")), ("HIT", Some("semantic")));
    assert!(streamed.text().ends_with("data: [DONE]\n\n"));
    // Not near enough, by setting or by header.
    assert_eq!(status(&asks(CHAT, &[], &asked("s", "Something else", ""), 0.0, 1.0)), "MISS");
    let strict = ("cf-aig-cache-semantic", "0.9999");
    assert_eq!(status(&asks(CHAT, &[strict], &asked("s", "France: capital?", ""), 1.0, 0.1)), "MISS");
    // Never across what else matters.
    for (path, headers, body, why) in [
        (CHAT, vec![], asked("other", "Capital?", ""), "system prompt"),
        (CHAT, vec![], asked("s", "Capital?", ",\"tools\":[]"), "tools"),
        (CHAT, vec![], asked("s", "Capital?", ",\"temperature\":1"), "parameters"),
        (CHAT, vec![], asked("s", "Capital?", "").replace("gpt-5", "gpt-6"), "model"),
        (CHAT, vec![("cf-aig-byok-alias", "second")], asked("s", "Capital?", ""), "stored key"),
        (CHAT, vec![OWN], asked("s", "Capital?", ""), "own key"),
        ("/v1/acct2/gw/openai/chat/completions", vec![], asked("s", "Capital?", ""), "account"),
        ("/v1/acct/two/openai/chat/completions", vec![], asked("s", "Capital?", ""), "gateway"),
    ] {
        assert_eq!(status(&asks(path, &headers, &body, 1.0, 0.0)), "MISS", "{why}");
    }
    // Each embedding is a record with its tokens.
    let log = gateway.log(20);
    let embeddings: Vec<_> = log.iter().filter(|record| record.path == "embeddings").collect();
    assert!(embeddings.len() >= 12, "{}", embeddings.len());
    assert!(
        embeddings.iter().all(|record| record.usage.is_some_and(|usage| usage.input == 7) && !record.cached)
    );
}

#[test]
fn an_embedding_that_cannot_be_had_is_only_a_miss() {
    let upstream = Upstream::start();
    let gateway = with(&upstream, "gw: { cache_ttl: 300, cache_semantic: { model: 'openai/embed' } }");
    for wire in [answer("500 Oops", "", b"{}"), json("{\"data\":[]}"), json("not json")] {
        upstream.will_say(wire);
        upstream.will_say(json(SAID));
        let body = format!("{{\"messages\":[{{\"role\":\"user\",\"content\":\"{}\"}}]}}", fastrand());
        let reply = gateway.post_authorized(CHAT, &[OWN], body.as_bytes());
        assert_eq!((reply.status, status(&reply), reply.text().as_str()), (200, "MISS", SAID));
    }
}

fn fastrand() -> u128 {
    uuid::Uuid::now_v7().as_u128()
}
