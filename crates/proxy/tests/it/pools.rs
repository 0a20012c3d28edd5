//! Several addresses and several keys of one provider.

use std::time::Duration;

use crate::gateway::{Gateway, Setup};
use crate::upstream::{Upstream, answer};

const CHAT: &str = "/v1/acct/gw/openai/chat/completions";
const JSON: &str = "content-type: application/json\r\n";

fn pool(addresses: &[&Upstream], more: &str) -> Gateway {
    let urls: Vec<_> = addresses.iter().map(|upstream| format!("'{}/v1'", upstream.url())).collect();
    let config = format!(
        "{{ models: {{ providers: {{ openai: {{ baseUrls: [{}], {more} }} }} }}, gateway: {{ gateways: {{ gw: {{}} }} }} }}",
        urls.join(", ")
    );
    let keys = vec![("openai", "default", None, "sk-1"), ("openai", "second", None, "sk-2")];
    Gateway::start(Setup { config, keys, ..Setup::default() })
}

fn calls(upstream: &Upstream) -> usize {
    std::iter::repeat_with(|| upstream.was_not_called()).take_while(|not_called| !not_called).count()
}

#[test]
fn calls_are_spread_and_a_retry_goes_elsewhere() {
    let (one, two) = (Upstream::start(), Upstream::start());
    let gateway = pool(&[&one, &two], "");
    // Both fail the first call they get: whichever is tried first, the other takes over at once.
    for upstream in [&one, &two] {
        upstream.will_say(answer("503 x", JSON, b"{}"));
        upstream.will_say(answer("200 OK", JSON, b"{}"));
    }
    let retry = [("cf-aig-max-attempts", "3"), ("cf-aig-retry-delay", "0")];
    let reply = gateway.post_authorized(CHAT, &retry, b"{}");
    assert_eq!(
        (reply.status, reply.header("cf-aig-attempts")),
        (200, Some("openai 503, openai 503, openai 200"))
    );
    let (first, second) = (calls(&one), calls(&two));
    assert_eq!(first + second, 3);
    assert!(first >= 1 && second >= 1, "{first} {second}");
    assert_eq!(gateway.shared.snapshot().health().len(), 2, "each address for itself");
}

#[test]
fn an_address_that_is_down_is_left_out() {
    let (ill, well) = (Upstream::start(), Upstream::start());
    let gateway = pool(&[&ill, &well], "");
    for _ in 0..200 {
        ill.will_say(answer("500 x", JSON, b"{}"));
        well.will_say(answer("200 OK", JSON, b"{}"));
    }
    let failures = (0..60).filter(|_| gateway.post_authorized(CHAT, &[], b"{}").status != 200).count();
    // Five in a row, and perhaps a try after its rest.
    assert!((5..=10).contains(&failures), "{failures}");
    let health = gateway.shared.snapshot().health();
    let down: Vec<_> = health.iter().filter_map(|target| Some((target, target.down.as_ref()?))).collect();
    let [(target, down)] = down[..] else { panic!("{health:?}") };
    assert_eq!(target.address, ill.url(), "without its path");
    assert!(down.why.ends_with("faults in a row, the last one: 500"), "{down:?}");
    assert!(down.tried_again_in <= Duration::from_secs(30), "{down:?}");
}

#[test]
fn keys_take_turns_and_one_that_is_used_up_rests() {
    let upstream = Upstream::start();
    let gateway = pool(&[&upstream], "keyAliases: ['default', 'second']");
    let call = |status: &str, headers: &str| {
        upstream.will_say(answer(status, headers, b"{}"));
        gateway.post_authorized(CHAT, &[], b"{}");
        let request = upstream.request_text();
        if request.contains("Bearer sk-1\r\n") { 1 } else { 2 }
    };
    assert_eq!([call("200 OK", JSON), call("200 OK", JSON), call("200 OK", JSON)], [1, 2, 1]);
    assert_eq!(call("429 x", "retry-after: 30\r\n"), 2);
    assert_eq!([call("200 OK", JSON), call("200 OK", JSON), call("200 OK", JSON)], [1, 1, 1]);
    assert_eq!(gateway.last_log(7).0.credential, "stored:default");
    // Asked for by name it is used all the same.
    upstream.will_say(answer("200 OK", JSON, b"{}"));
    gateway.post_authorized(CHAT, &[("cf-aig-byok-alias", "second")], b"{}");
    assert!(upstream.request_text().contains("Bearer sk-2"));
}

#[test]
fn a_retry_takes_another_key() {
    let upstream = Upstream::start();
    let gateway = pool(&[&upstream], "keyAliases: ['default', 'second']");
    upstream.will_say(answer("429 x", JSON, b"{}"));
    upstream.will_say(answer("200 OK", JSON, b"{}"));
    let retry = [("cf-aig-max-attempts", "2"), ("cf-aig-retry-delay", "0")];
    assert_eq!(gateway.post_authorized(CHAT, &retry, b"{}").status, 200);
    assert!(upstream.request_text().contains("Bearer sk-1"));
    assert!(upstream.request_text().contains("Bearer sk-2"));
    assert_eq!(gateway.last_log(1).0.credential, "stored:second");
}

/// Two keys that share the load, `default` with a rate of two an hour.
fn rated(upstream: &Upstream, gateways: &str, rates: Vec<(&'static str, u32, u32)>) -> Gateway {
    let url = upstream.url();
    let config = format!(
        "{{ models: {{ providers: {{
              openai: {{ baseUrl: '{url}/v1', keyAliases: ['default', 'second'] }}, anthropic: {{ baseUrl: '{url}' }} }} }},
           gateway: {{ gateways: {{ {gateways} }} }} }}"
    );
    let keys = vec![
        ("openai", "default", Some("gw"), "sk-1"),
        ("openai", "second", Some("gw"), "sk-2"),
        ("anthropic", "default", Some("gw"), "sk-3"),
    ];
    Gateway::start(Setup { config, keys, rates, ..Setup::default() })
}

#[test]
fn a_key_is_not_used_beyond_its_rate_and_the_other_takes_over() {
    let upstream = Upstream::start();
    let gateway = rated(&upstream, "gw: {}", vec![("default", 2, 3600), ("second", 3, 1800)]);
    let mut used = Vec::new();
    for _ in 0..5 {
        upstream.will_say(answer("200 OK", JSON, b"{}"));
        assert_eq!(gateway.post_authorized(CHAT, &[], b"{}").status, 200);
        used.push(upstream.request_text().contains("Bearer sk-1\r\n"));
    }
    assert_eq!(used.iter().filter(|first| **first).count(), 2, "{used:?}");
    let reply = gateway.post_authorized(CHAT, &[], b"{}");
    assert_eq!((reply.status, reply.json()["internalCode"].as_u64()), (429, Some(2003)));
    let told = "the rate of the stored key `second` for openai allows 3 requests per 1800 s (sliding)";
    assert!(reply.text().contains(told), "the one that is free first: {}", reply.text());
    let wait: u32 = reply.header("retry-after").expect("retry-after").parse().expect("seconds");
    assert!((1_700..=1_980).contains(&wait), "{wait}");
    assert!(upstream.was_not_called());
    // Nobody else's key is meant.
    upstream.will_say(answer("200 OK", JSON, b"{}"));
    let own = [("authorization", "Bearer sk-own")];
    assert_eq!(gateway.post_authorized(CHAT, &own, b"{}").status, 200);
}

#[test]
fn each_attempt_uses_the_key_and_one_asked_for_by_name_is_not_replaced() {
    let upstream = Upstream::start();
    let gateway = rated(&upstream, "gw: {}", vec![("default", 2, 3600)]);
    for _ in 0..3 {
        upstream.will_say(answer("500 x", JSON, b"{}"));
    }
    let named = [("cf-aig-byok-alias", "default"), ("cf-aig-max-attempts", "3"), ("cf-aig-retry-delay", "0")];
    let reply = gateway.post_authorized(CHAT, &named, b"{}");
    assert_eq!((reply.status, reply.header("cf-aig-attempts")), (500, Some("openai 500, openai 500")));
    let reply = gateway.post_authorized(CHAT, &named, b"{}");
    assert_eq!(reply.status, 429, "{}", reply.text());
    assert!(reply.text().contains("key `default` for openai"), "{}", reply.text());
    upstream.forget();
    upstream.will_say(answer("200 OK", JSON, b"{}"));
    assert_eq!(gateway.post_authorized(CHAT, &[], b"{}").status, 200);
}

#[test]
fn past_a_keys_rate_the_next_step_is_taken_and_cached_answers_are_free() {
    let upstream = Upstream::start();
    let gateway = rated(&upstream, "gw: { cache_ttl: 300 }", vec![("default", 1, 3600)]);
    let steps = |model: &str| {
        let body = format!(
            r#"[{{"provider":"anthropic","endpoint":"v1/messages","query":{{"model":"{model}"}}}},
                {{"provider":"openai","endpoint":"chat/completions","query":{{"model":"{model}"}}}}]"#
        );
        gateway.post_authorized("/v1/acct/gw", &[], body.as_bytes())
    };
    let said = br#"{"id":"m1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Yo"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}"#;
    upstream.will_say(answer("200 OK", JSON, said));
    let reply = steps("m");
    assert_eq!((reply.status, reply.header("cf-aig-step")), (200, Some("0")), "{}", reply.text());
    assert!(upstream.request_text().contains("sk-3"));
    for _ in 0..2 {
        let reply = steps("m");
        assert_eq!(reply.header("cf-aig-cache-status"), Some("HIT"), "{}", reply.text());
    }
    upstream.will_say(answer("200 OK", JSON, b"{}"));
    let reply = steps("n");
    assert_eq!((reply.status, reply.header("cf-aig-step")), (200, Some("1")), "{}", reply.text());
    assert_eq!(reply.header("cf-aig-attempts"), Some("anthropic refused, openai 200"));
}
