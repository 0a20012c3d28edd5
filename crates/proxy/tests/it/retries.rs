//! When a call is made again, when not, and what the log says of it.

use std::time::{Duration, Instant};

use genesis_store::Outcome;

use crate::gateway::{Gateway, Setup, config};
use crate::upstream::{Upstream, answer};

const CHAT: &str = "/v1/acct/gw/openai/chat/completions";
const OWN: (&str, &str) = ("authorization", "Bearer sk-own");
const JSON: &str = "content-type: application/json\r\n";

fn failing(upstream: &Upstream, statuses: &[&str]) {
    for status in statuses {
        upstream.will_say(answer(status, JSON, br#"{"error":{"message":"no"}}"#));
    }
}

#[test]
fn the_gateways_setting_holds_unless_a_header_says_otherwise() {
    let upstream = Upstream::start();
    let settings = "gw: { retry_max_attempts: 3, retry_delay: 1, retry_backoff: 'exponential' }";
    let config = config(&upstream.url(), settings);
    let gateway = Gateway::start(Setup { config, ..Setup::default() });
    failing(&upstream, &["500 x", "502 x", "503 x"]);
    let reply = gateway.post_authorized(CHAT, &[OWN], b"{\"model\":\"m\"}");
    assert_eq!(reply.status, 503, "the last answer is the one that comes back");
    assert_eq!(reply.header("cf-aig-attempts"), Some("openai 500, openai 502, openai 503"));
    failing(&upstream, &["500 x"]);
    let reply = gateway.post_authorized(CHAT, &[OWN, ("cf-aig-max-attempts", "1")], b"{}");
    assert_eq!((reply.status, reply.header("cf-aig-attempts")), (500, None));
    let records = gateway.log(2);
    assert_eq!(records[0].attempts.len(), 3);
    assert!(records[0].attempts.iter().all(|attempt| attempt.model == "m" && attempt.provider == "openai"));
    assert_eq!((records[0].outcome, records[1].attempts.len()), (Outcome::ProviderError, 0));
}

#[test]
fn what_would_fail_again_is_not_tried_again() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    let retry = [OWN, ("cf-aig-max-attempts", "3"), ("cf-aig-retry-delay", "1")];
    for status in ["400 x", "401 x", "403 x", "404 x", "413 x", "422 x"] {
        failing(&upstream, &[status]);
        let reply = gateway.post_authorized(CHAT, &retry, b"{}");
        assert!(status.starts_with(&reply.status.to_string()), "{status}");
        assert_eq!(reply.header("cf-aig-attempts"), None, "{status}");
    }
    // The provider says so itself, or asks for more time than the caller has.
    for header in ["x-should-retry: false\r\n", "retry-after: 60\r\n"] {
        upstream.will_say(answer("503 x", header, b"{}"));
        let reply = gateway.post_authorized(CHAT, &retry, b"{}");
        assert_eq!((reply.status, reply.header("cf-aig-attempts")), (503, None), "{header}");
    }
}

#[test]
fn a_streamed_upload_is_sent_once() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    failing(&upstream, &["503 x", "200 OK"]);
    let headers = [OWN, ("content-type", "audio/wav"), ("cf-aig-max-attempts", "3")];
    let reply = gateway.post_authorized("/v1/acct/gw/openai/audio/transcriptions", &headers, b"RIFF");
    assert_eq!((reply.status, reply.header("cf-aig-attempts")), (503, None));
}

#[test]
fn the_body_is_the_same_each_time_and_the_pause_is_what_the_provider_asks_for() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    upstream.will_say(answer("429 x", "retry-after-ms: 60\r\n", b"{}"));
    upstream.will_say(answer("200 OK", JSON, b"{}"));
    let body = br#"{ "model" : "m",  "odd":1e0 }"#;
    let began = Instant::now();
    let retry = [OWN, ("cf-aig-max-attempts", "5"), ("cf-aig-retry-delay", "0")];
    assert_eq!(gateway.post_authorized(CHAT, &retry, body).status, 200);
    assert!(began.elapsed() >= Duration::from_millis(60));
    let (first, second) = (upstream.request(), upstream.request());
    assert_eq!(first, second);
    assert!(first.ends_with(body));
}

#[test]
fn a_discarded_answer_that_reports_usage_is_paid_for() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    let used = |input, output| {
        format!(
            r#"{{"model":"gpt-5-mini","choices":[],"usage":{{"prompt_tokens":{input},"completion_tokens":{output}}}}}"#
        )
    };
    upstream.will_say(answer("500 x", JSON, used(1_000, 0).as_bytes()));
    upstream.will_say(answer("200 OK", JSON, used(2_000, 100).as_bytes()));
    let retry = [OWN, ("cf-aig-max-attempts", "2"), ("cf-aig-retry-delay", "0")];
    assert_eq!(gateway.post_authorized(CHAT, &retry, b"{\"model\":\"gpt-5-mini\"}").status, 200);
    let (record, _) = gateway.last_log(1);
    let costs: Vec<_> = record.attempts.iter().map(|attempt| attempt.cost_nano_usd).collect();
    assert!(costs.iter().all(|cost| cost.is_some_and(|cost| cost > 0)), "{costs:?}");
    assert_eq!(record.cost_nano_usd, costs.iter().copied().sum());
    assert_eq!(record.usage.expect("usage").input, 2_000, "usage is the answer's own");
    assert!(record.price_formula.expect("formula").contains("for discarded answers"));
}

#[test]
fn a_provider_in_trouble_is_not_hit_harder() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    let retry = [OWN, ("cf-aig-max-attempts", "5"), ("cf-aig-retry-delay", "0")];
    let calls = 40;
    failing(&upstream, &["503 x"; 200]);
    for _ in 0..calls {
        assert_eq!(gateway.post_authorized(CHAT, &retry, b"{}").status, 503);
    }
    let mut attempts = 0;
    while !upstream.was_not_called() {
        attempts += 1;
    }
    assert!(
        (calls + 50..=calls + 50 + calls / 5).contains(&attempts),
        "{attempts} attempts for {calls} calls"
    );
    let health = gateway.shared.snapshot().health();
    assert_eq!((health.len(), health[0].down.is_some(), health[0].calls), (1, true, attempts as u64));
}

#[test]
fn the_last_of_several_attempts_waits_as_long_as_the_gateway_allows() {
    let upstream = Upstream::start();
    let config = config(&upstream.url(), "gw: {}")
        .replace("gateway: {", "gateway: { limits: { firstByteSeconds: 1 },");
    let gateway = Gateway::start(Setup { config, ..Setup::default() });
    for _ in 0..2 {
        upstream.will(crate::upstream::Script { then_wait: true, ..Default::default() });
    }
    let began = Instant::now();
    let retry =
        [OWN, ("cf-aig-max-attempts", "2"), ("cf-aig-retry-delay", "0"), ("cf-aig-request-timeout", "20")];
    let reply = gateway.post_authorized(CHAT, &retry, b"{}");
    assert_eq!(
        (reply.status, reply.header("cf-aig-attempts")),
        (504, Some("openai timeout, openai timeout"))
    );
    let took = began.elapsed();
    assert!((Duration::from_millis(1_000)..Duration::from_secs(5)).contains(&took), "{took:?}");
}
