//! A caller's trace: what is kept of it, and what a provider is told.

use genesis_store::span_id;

use crate::gateway::{Gateway, Setup, config};
use crate::upstream::{Upstream, answer};

const CHAT: &str = "/v1/acct/gw/openai/chat/completions";
const OWN: (&str, &str) = ("authorization", "Bearer sk-own");
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

fn exporting(upstream: &Upstream) -> Gateway {
    let settings = "gw: { otel: [{ url: 'http://127.0.0.1:4318' }] }";
    Gateway::start(Setup { config: config(&upstream.url(), settings), ..Setup::default() })
}

/// The value of the header `traceparent` a provider saw.
fn told(upstream: &Upstream) -> Option<String> {
    let request = upstream.request_text();
    let line = request.lines().find_map(|line| line.strip_prefix("traceparent: "));
    line.map(str::to_owned)
}

#[test]
fn a_providers_spans_hang_below_ours() {
    let upstream = Upstream::start();
    let gateway = exporting(&upstream);
    upstream.will_say(answer("503 x", "", b"{}"));
    upstream.will_say(answer("200 OK", "", b"{}"));
    let parent = format!("00-{TRACE}-{SPAN}-00");
    let headers = [OWN, ("traceparent", &parent), ("tracestate", "a=b"), ("cf-aig-max-attempts", "2")];
    let reply = gateway.post_authorized(CHAT, &headers, b"{}");
    assert_eq!(reply.status, 200);
    let record = gateway.log(1).remove(0);
    assert_eq!(record.trace_id.as_deref(), Some(TRACE));
    assert_eq!(record.parent_span_id.as_deref(), Some(SPAN), "the caller's span is kept as it was");
    let ours: String = span_id(record.id).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(record.id.simple().to_string().ends_with(&ours));
    let expected = format!("00-{TRACE}-{ours}-00");
    let first = upstream.request_text();
    assert!(first.contains("\r\ntracestate: a=b\r\n"), "{first}");
    assert!(first.contains(&format!("\r\ntraceparent: {expected}\r\n")), "{first}");
    assert_eq!(told(&upstream), Some(expected), "the same span for every attempt");
    let [failed, answered] = &record.attempts[..] else { panic!("{:?}", record.attempts) };
    assert!(failed.began_ms <= failed.duration_ms + answered.began_ms);
    assert!(answered.began_ms >= failed.duration_ms, "it began when the other was over: {record:?}");
}

#[test]
fn a_trace_passes_as_it_came_where_our_span_is_not_told_of() {
    let upstream = Upstream::start();
    let gateway = exporting(&upstream);
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let seen = |headers: &[(&str, &str)]| {
        upstream.will_say(answer("200 OK", "", b"{}"));
        assert_eq!(gateway.post_authorized(CHAT, headers, b"{}").status, 200);
        told(&upstream)
    };
    let quiet = [OWN, ("traceparent", &parent), ("cf-aig-collect-log", "false")];
    assert_eq!(seen(&quiet).as_deref(), Some(parent.as_str()), "what is not logged has no span");
    let other = [OWN, ("traceparent", &parent), ("cf-aig-otel-trace-id", "0af7651916cd43dd8448eb211c80319c")];
    assert_eq!(seen(&other).as_deref(), Some(parent.as_str()), "our span is in another trace");
    let invalid = [OWN, ("traceparent", "00-xyz")];
    assert_eq!(seen(&invalid).as_deref(), Some("00-xyz"), "not ours to correct");
    let own = [OWN, ("cf-aig-otel-trace-id", TRACE), ("cf-aig-otel-parent-span-id", SPAN)];
    assert_eq!(seen(&own), None, "a provider is sent no header its client did not send");
    let last = gateway.log(3).pop().expect("record");
    assert_eq!((last.trace_id.as_deref(), last.parent_span_id.as_deref()), (Some(TRACE), Some(SPAN)));
}
