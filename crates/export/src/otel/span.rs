//! One exchange as spans: one for the whole of it, and one below for each call of a provider, where there were several.
//!
//! Everything is made of the log record alone, ids too, so a record that is sent again is the same spans again.

use genesis_store::{Attempt, Fault, LogRecord, Outcome, Payload, span_id};
use genesis_wire::peek::peek;

use super::attributes::Attributes;
use super::names::{self, cloudflare, own};
use crate::otlp::{Event, Kind, Parent, Span, Status};

/// The spans of `record`, that of the exchange first. Without `bodies` no body is in them.
pub(crate) fn spans(record: &LogRecord, bodies: Option<&Payload>) -> Vec<Span> {
    let exchange = exchange(record, bodies);
    let called = record.attempts.iter().enumerate().filter(|(_, attempt)| was_called(attempt));
    let below =
        called.enumerate().map(|(resend, (index, made))| attempt(record, &exchange, index, resend, made));
    let mut spans: Vec<_> = below.collect();
    spans.insert(0, exchange);
    spans
}

/// Kind `SERVER`: a client of ours waits for it. The conventions ask for `CLIENT` and mean the program that wants the
/// model, which has a span of its own.
fn exchange(record: &LogRecord, bodies: Option<&Payload>) -> Span {
    let operation = names::operation(record.kind(), record.dialect, &record.path);
    let asked = bodies.and_then(|bodies| asked(record, bodies)).unwrap_or_default();
    let model = asked.model.as_deref().unwrap_or(&record.model);
    let start_ns = nanoseconds(record.created_at_ms);
    let mut all = Attributes::default();
    about_the_call(&mut all, record, operation, model, asked.max_tokens);
    about_the_answer(&mut all, record);
    about_the_gateway(&mut all, record);
    if let Some(bodies) = bodies {
        all.body(cloudflare::PROMPT, own::PROMPT_CUT, &bodies.request);
        all.body(cloudflare::COMPLETION, own::COMPLETION_CUT, &bodies.response);
    }
    all.metadata(&record.metadata);
    let parent = record.parent_span_id.as_deref().and_then(id);
    let left = record.attempts.iter().filter(|attempt| !was_called(attempt));
    let status = match record.outcome {
        Outcome::Success => Status::Unset,
        _ => Status::Error(record.error.clone()),
    };
    Span {
        trace_id: record.trace_id.as_deref().and_then(id).unwrap_or_else(|| *record.id.as_bytes()),
        span_id: span_id(record.id),
        parent: parent.map(|span_id| Parent { span_id, remote: true }),
        name: named(operation, model),
        kind: Kind::Server,
        start_ns,
        end_ns: start_ns.saturating_add(milliseconds(record.duration_ms)),
        attributes: all.0,
        events: left.map(|attempt| not_called(record, attempt)).collect(),
        status,
    }
}

fn about_the_call(
    all: &mut Attributes,
    record: &LogRecord,
    operation: &'static str,
    model: &str,
    max_tokens: Option<u64>,
) {
    all.put(names::OPERATION, operation);
    all.text(names::PROVIDER, names::provider(&record.provider));
    all.text(cloudflare::PROVIDER, &record.provider);
    all.text(names::REQUEST_MODEL, model);
    if record.stream {
        all.put(names::REQUEST_STREAM, true);
    }
    all.count(names::REQUEST_MAX_TOKENS, max_tokens);
    all.text(names::HTTP_METHOD, &record.method);
    all.text(names::URL_PATH, &record.path);
    all.text(names::USER_AGENT, &record.user_agent);
}

fn about_the_answer(all: &mut Attributes, record: &LogRecord) {
    if record.status != CLIENT_LEFT {
        all.put(names::HTTP_STATUS, i64::from(record.status));
    }
    if let Some(error) = error_type(record.outcome, record.status) {
        all.put(names::ERROR_TYPE, error);
    }
    if record.outcome == Outcome::Success {
        all.text(names::RESPONSE_MODEL, &record.model);
    }
    if let Some(ms) = record.first_byte_ms.filter(|_| record.stream) {
        all.put(names::TIME_TO_FIRST_CHUNK, f64::from(ms) / 1_000.0);
    }
    if let Some(usage) = record.usage {
        all.count(names::INPUT_TOKENS, Some(usage.tokens_in()));
        all.count(names::OUTPUT_TOKENS, Some(usage.tokens_out()));
        let some = |count: u64| Some(count).filter(|count| *count > 0);
        let written = usage.cache_write.saturating_add(usage.cache_write_1h);
        all.count(names::CACHE_READ_TOKENS, some(usage.cache_read));
        all.count(names::CACHE_CREATION_TOKENS, some(written));
        all.count(names::CACHE_WRITE_TOKENS, some(written));
        all.count(names::REASONING_TOKENS, some(usage.reasoning));
    }
    if let Some(cost) = record.cost_nano_usd {
        all.put(cloudflare::COST, dollars(cost));
        all.put(own::COST_NANO_USD, cost);
    }
    all.text(own::PRICE_ID, record.price_id.as_deref().unwrap_or_default());
}

fn about_the_gateway(all: &mut Attributes, record: &LogRecord) {
    all.put(own::LOG_ID, record.id.to_string());
    all.text(own::EVENT_ID, &record.event_id);
    all.text(own::ACCOUNT, &record.account);
    all.text(own::GATEWAY, &record.gateway);
    all.text(own::TOKEN_ID, &record.token_id);
    all.put(own::OUTCOME, record.outcome.name());
    all.put(own::CACHED, record.cached);
    if record.simulated {
        all.put(own::SIMULATED, true);
    }
    all.put(own::STEP, i64::from(record.step));
    all.text(own::DIALECT, record.dialect.map(genesis_wire::Dialect::name).unwrap_or_default());
    all.text(own::CREDENTIAL, &record.credential);
    all.text(own::DROPPED, &record.dropped.join(", "));
    all.count(own::PROMPT_SIZE, Some(record.request_size));
    all.count(own::COMPLETION_SIZE, Some(record.response_size));
}

/// One call of a provider: HTTP and no more, so that nobody adds usage up twice.
fn attempt(record: &LogRecord, exchange: &Span, index: usize, resend: usize, made: &Attempt) -> Span {
    let mut all = Attributes::default();
    all.text(names::HTTP_METHOD, &record.method);
    all.text(names::PROVIDER, names::provider(&made.provider));
    all.text(cloudflare::PROVIDER, &made.provider);
    all.text(names::REQUEST_MODEL, &made.model);
    all.put(own::STEP, i64::from(made.step));
    if resend > 0 {
        all.count(names::HTTP_RESENDS, u64::try_from(resend).ok());
    }
    if let Some(status) = made.status {
        all.put(names::HTTP_STATUS, i64::from(status));
    }
    if let Some(cost) = made.cost_nano_usd {
        all.put(own::COST_NANO_USD, cost);
    }
    let error = made.fault.map(|fault| match (fault, made.status) {
        (Fault::Status, Some(status)) => status.to_string(),
        (fault, _) => fault.name().to_owned(),
    });
    if let Some(error) = &error {
        all.put(names::ERROR_TYPE, error.as_str());
    }
    let start_ns = exchange.start_ns.saturating_add(milliseconds(made.began_ms));
    Span {
        trace_id: exchange.trace_id,
        span_id: attempt_id(exchange.span_id, index),
        parent: Some(Parent { span_id: exchange.span_id, remote: false }),
        name: format!("{} {}", record.method, made.provider),
        kind: Kind::Client,
        start_ns,
        end_ns: start_ns.saturating_add(milliseconds(made.duration_ms)),
        attributes: all.0,
        events: Vec::new(),
        status: error.map_or(Status::Unset, Status::Error),
    }
}

fn not_called(record: &LogRecord, left: &Attempt) -> Event {
    let mut all = Attributes::default();
    all.text(cloudflare::PROVIDER, &left.provider);
    all.text(names::REQUEST_MODEL, &left.model);
    all.text(names::ERROR_TYPE, left.fault.map_or("", Fault::name));
    all.put(own::STEP, i64::from(left.step));
    let at_ns = nanoseconds(record.created_at_ms).saturating_add(milliseconds(left.began_ms));
    Event { at_ns, name: own::NOT_CALLED, attributes: all.0 }
}

fn was_called(attempt: &Attempt) -> bool {
    !matches!(attempt.fault, Some(Fault::Skipped | Fault::Refused))
}

/// `chat gpt-5-mini`, as the conventions have it.
fn named(operation: &str, model: &str) -> String {
    if model.is_empty() { operation.to_owned() } else { format!("{operation} {model}") }
}

/// A few words, whatever happened: a status, or how the exchange ended.
pub(super) fn error_type(outcome: Outcome, status: u16) -> Option<String> {
    match outcome {
        Outcome::Success => None,
        Outcome::ProviderError | Outcome::Refused if status >= 400 => Some(status.to_string()),
        other => Some(other.name().to_owned()),
    }
}

/// Not a status anybody was sent.
const CLIENT_LEFT: u16 = 499;

/// What only the request's body says.
#[derive(Default)]
struct Asked {
    model: Option<String>,
    max_tokens: Option<u64>,
}

fn asked(record: &LogRecord, bodies: &Payload) -> Option<Asked> {
    let peeked = peek(&bodies.request).ok()?;
    let model = peeked.model.as_deref().unwrap_or_default();
    // On the unified API a provider stands before the model; a dynamic route is none.
    let own = model.strip_prefix(&record.provider).and_then(|rest| rest.strip_prefix('/')).unwrap_or(model);
    let named = !own.is_empty() && !own.starts_with("dynamic/");
    let model = named.then(|| own[..own.floor_char_boundary(256)].to_owned());
    Some(Asked { model, max_tokens: peeked.max_tokens })
}

/// An id of `attempts[index]`, made of its parent's: a few rounds of mixing make it look as random as that one.
fn attempt_id(parent: [u8; 8], index: usize) -> [u8; 8] {
    let mut id = u64::from_be_bytes(parent) ^ (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for factor in [0xBF58_476D_1CE4_E5B9_u64, 0x94D0_49BB_1331_11EB] {
        id = (id ^ id >> 30).wrapping_mul(factor);
    }
    // Zero means that there is none.
    (id ^ id >> 31).max(1).to_be_bytes()
}

/// The bytes of an id in hex; `None` if it is none of that length.
fn id<const LENGTH: usize>(hex: &str) -> Option<[u8; LENGTH]> {
    let mut id = [0; LENGTH];
    if hex.len() != 2 * LENGTH || !hex.is_ascii() {
        return None;
    }
    for (index, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(id)
}

fn nanoseconds(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0).saturating_mul(1_000_000)
}

fn milliseconds(ms: u32) -> u64 {
    u64::from(ms) * 1_000_000
}

/// For display: the exact amount stands beside it.
fn dollars(nano_usd: i64) -> f64 {
    nano_usd as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use genesis_wire::{Dialect, Usage};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::otel::attributes::BODY;
    use crate::otlp::Value;

    fn record() -> LogRecord {
        LogRecord {
            id: Uuid::from_u128(0x0198_c0ff_ee00_7abc_8123_4567_89ab_cdef),
            event_id: "evt".into(),
            created_at_ms: 1_700_000_000_123,
            account: "acct".into(),
            gateway: "gw".into(),
            provider: "anthropic".into(),
            model: "claude-sonnet-4-6".into(),
            dialect: Some(Dialect::AnthropicMessages),
            method: "POST".into(),
            path: "v1/messages".into(),
            status: 200,
            duration_ms: 850,
            first_byte_ms: Some(300),
            stream: true,
            usage: Some(Usage {
                input: 100,
                cache_read: 20,
                cache_write: 3,
                output: 30,
                reasoning: 5,
                ..Usage::default()
            }),
            cost_nano_usd: Some(42_000),
            ..LogRecord::default()
        }
    }

    fn value<'a>(span: &'a Span, key: &str) -> Option<&'a Value> {
        let mut found = span.attributes.iter().filter(|attribute| attribute.key == key);
        let first = found.next();
        assert!(found.next().is_none(), "{key} is there twice");
        first.map(|attribute| &attribute.value)
    }

    fn text<'a>(span: &'a Span, key: &str) -> &'a str {
        match value(span, key) {
            Some(Value::Text(text)) => text,
            other => panic!("{key} is {other:?}"),
        }
    }

    fn bodies(request: &[u8], response: &[u8]) -> Payload {
        Payload {
            id: record().id,
            gateway: "gw".into(),
            request: request.to_vec().into(),
            response: response.to_vec().into(),
            request_complete: true,
            response_complete: true,
        }
    }

    #[test]
    fn ids_are_the_logs_unless_the_caller_has_a_trace() {
        let [span] = &spans(&record(), None)[..] else { panic!("one span") };
        assert_eq!(span.trace_id, *record().id.as_bytes());
        assert_eq!(span.span_id, record().id.as_bytes()[8..]);
        assert!(span.parent.is_none());
        let (trace_id, parent) = (Some("4bf92f3577b34da6a3ce929d0e0e4736"), Some("00f067aa0ba902b7"));
        let traced = LogRecord {
            trace_id: trace_id.map(str::to_owned),
            parent_span_id: parent.map(str::to_owned),
            ..record()
        };
        let span = spans(&traced, None).remove(0);
        assert_eq!(u128::from_be_bytes(span.trace_id), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        let parent = span.parent.expect("parent");
        assert_eq!((u64::from_be_bytes(parent.span_id), parent.remote), (0x00f0_67aa_0ba9_02b7, true));
    }

    #[test]
    fn usage_counts_as_the_conventions_count() {
        let span = spans(&record(), None).remove(0);
        for (key, count) in [
            ("gen_ai.usage.input_tokens", 123),
            ("gen_ai.usage.output_tokens", 30),
            ("gen_ai.usage.cache_read.input_tokens", 20),
            ("gen_ai.usage.cache_creation.input_tokens", 3),
            ("gen_ai.usage.cache_write.input_tokens", 3),
            ("gen_ai.usage.reasoning.output_tokens", 5),
            ("genesis.cost.nano_usd", 42_000),
        ] {
            assert_eq!(value(&span, key), Some(&Value::Int(count)), "{key}");
        }
        assert_eq!(value(&span, "gen_ai.usage.cost"), Some(&Value::Double(0.000_042)));
        assert_eq!(value(&span, "gen_ai.response.time_to_first_chunk"), Some(&Value::Double(0.3)));
        let unknown = LogRecord { usage: None, cost_nano_usd: None, ..record() };
        let span = spans(&unknown, None).remove(0);
        assert_eq!(value(&span, "gen_ai.usage.input_tokens"), None, "not known is not zero");
        assert_eq!(value(&span, "gen_ai.usage.cost"), None);
    }

    #[test]
    fn the_model_that_was_asked_for_is_read_from_the_request() {
        let model = |asked: &str| {
            let body = json!({ "model": asked, "max_tokens": 7 }).to_string();
            let span = spans(&record(), Some(&bodies(body.as_bytes(), b""))).remove(0);
            assert_eq!(text(&span, "gen_ai.response.model"), "claude-sonnet-4-6");
            assert_eq!(value(&span, "gen_ai.request.max_tokens"), Some(&Value::Int(7)));
            (text(&span, "gen_ai.request.model").to_owned(), span.name)
        };
        assert_eq!(model("claude-sonnet"), ("claude-sonnet".to_owned(), "chat claude-sonnet".to_owned()));
        assert_eq!(model("anthropic/claude-sonnet").0, "claude-sonnet");
        assert_eq!(model("dynamic/support").0, "claude-sonnet-4-6");
        assert_eq!(model("").0, "claude-sonnet-4-6");
        assert_eq!(text(&spans(&record(), None)[0], "gen_ai.request.model"), "claude-sonnet-4-6");
    }

    #[test]
    fn bodies_are_there_as_far_as_they_are_kept_and_fit() {
        let span = spans(&record(), Some(&bodies(br#"{"a":1}"#, "grüß".as_bytes()))).remove(0);
        assert_eq!(text(&span, "gen_ai.prompt_json"), r#"{"a":1}"#);
        assert_eq!(text(&span, "gen_ai.completion_json"), "grüß");
        assert_eq!(value(&span, "genesis.prompt.cut"), None);
        // Cut inside a character of two bytes.
        let long = format!("x{}", "ü".repeat(BODY));
        let span = spans(&record(), Some(&bodies(long.as_bytes(), &[0x1f, 0x8b, 0xff]))).remove(0);
        assert_eq!(text(&span, "gen_ai.prompt_json").len(), BODY - 1);
        assert_eq!(value(&span, "genesis.prompt.cut"), Some(&Value::Bool(true)));
        assert_eq!(value(&span, "gen_ai.completion_json"), None, "no text");
        let span = spans(&record(), None).remove(0);
        assert_eq!(value(&span, "gen_ai.prompt_json"), None);
    }

    #[test]
    fn metadata_takes_no_name_that_is_ours() {
        let metadata = json!({
            "user": "u1", "n": 3, "share": 0.5, "vip": true,
            "gen_ai.usage.cost": 0, "genesis.cached": true, "http.response.status_code": 500, "": "x",
        });
        let metadata = metadata.as_object().expect("object").clone();
        let span = spans(&LogRecord { metadata, ..record() }, None).remove(0);
        assert_eq!(text(&span, "user"), "u1");
        assert_eq!(value(&span, "n"), Some(&Value::Int(3)));
        assert_eq!(value(&span, "share"), Some(&Value::Double(0.5)));
        assert_eq!(value(&span, "vip"), Some(&Value::Bool(true)));
        assert_eq!(value(&span, "gen_ai.usage.cost"), Some(&Value::Double(0.000_042)));
        assert_eq!(value(&span, "genesis.cached"), Some(&Value::Bool(false)));
        assert_eq!(value(&span, "http.response.status_code"), Some(&Value::Int(200)));
        assert_eq!(value(&span, ""), None);
    }

    #[test]
    fn what_failed_says_why() {
        let told = |outcome, status| {
            let record = LogRecord { outcome, status, error: "it said no".into(), ..record() };
            let span = spans(&record, None).remove(0);
            let Status::Error(why) = &span.status else { panic!("an error") };
            assert_eq!(why, "it said no");
            (text(&span, "error.type").to_owned(), value(&span, "http.response.status_code").cloned())
        };
        assert_eq!(told(Outcome::ProviderError, 529), ("529".to_owned(), Some(Value::Int(529))));
        assert_eq!(told(Outcome::Refused, 429), ("429".to_owned(), Some(Value::Int(429))));
        assert_eq!(told(Outcome::ProviderError, 200).0, "provider_error", "an error inside a stream");
        assert_eq!(told(Outcome::UpstreamBroken, 200).0, "upstream_broken");
        assert_eq!(told(Outcome::ClientLeft, 499), ("client_left".to_owned(), None));
        let span = spans(&record(), None).remove(0);
        assert!(matches!(span.status, Status::Unset) && value(&span, "error.type").is_none());
    }

    #[test]
    fn attempts_are_spans_below_and_targets_left_out_are_events() {
        let made = |provider: &str, status, fault, began_ms, duration_ms| Attempt {
            provider: provider.into(),
            model: "m".into(),
            status,
            fault,
            began_ms,
            duration_ms,
            ..Attempt::default()
        };
        let attempts = vec![
            made("openai", Some(503), Some(Fault::Status), 0, 100),
            made("groq", None, Some(Fault::Skipped), 100, 0),
            made("anthropic", Some(200), None, 150, 700),
        ];
        let record = LogRecord { attempts, ..record() };
        let all = spans(&record, None);
        let [exchange, failed, answered] = &all[..] else { panic!("{all:?}") };
        let begin = 1_700_000_000_123_000_000;
        assert_eq!((failed.start_ns, failed.end_ns), (begin, begin + 100_000_000));
        assert_eq!((answered.start_ns, answered.end_ns), (begin + 150_000_000, begin + 850_000_000));
        for below in [failed, answered] {
            let parent = below.parent.expect("parent");
            assert_eq!((parent.span_id, parent.remote), (exchange.span_id, false));
            assert!(below.trace_id == exchange.trace_id && below.span_id != exchange.span_id);
            assert_eq!(value(below, "gen_ai.usage.input_tokens"), None, "it is counted once");
        }
        assert_ne!(failed.span_id, answered.span_id);
        assert_eq!((text(failed, "error.type"), failed.name.as_str()), ("503", "POST openai"));
        assert_eq!(value(answered, "http.request.resend_count"), Some(&Value::Int(1)));
        let [event] = &exchange.events[..] else { panic!("{:?}", exchange.events) };
        assert_eq!((event.name, event.at_ns), ("genesis.attempt.not_called", begin + 100_000_000));
        let again = spans(&record, None);
        assert_eq!(format!("{again:?}"), format!("{all:?}"), "sent again, it is the same");
    }
}
