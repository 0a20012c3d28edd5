//! The universal endpoint: one request that names several targets, tried in order until one answers.
//!
//! `POST /v1/{account}/{gateway}` with a list of `{provider, endpoint, headers, config, query}`, or one of them. The
//! bytes of `query` go to the provider as they stand in the list, and what it answers comes back as it is: clients feed
//! it to that provider's own parser.
//!
//! * `universal/socket`: the same over a WebSocket, many requests at a time
//! * `universal/event`: one request of a socket, from its message to the last one in answer
//! * `universal/message`: what is said over a socket, as JSON

mod event;
mod message;
mod socket;

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use serde_json::value::RawValue;

pub(crate) use self::socket::open;
use crate::admit::{Caller, take_from_slots};
use crate::cache;
use crate::exchange::{ByPath, Delivery, Exchange};
use crate::failure::Failure;
use crate::inbound::split_query;
use crate::options::{Options, backoff};
use crate::plan::{self, malformed};
use crate::resolve::{self, Asks};
use crate::retry::Wish;
use crate::snapshot::Snapshot;
use crate::unified::Asked;
use crate::upstream::Outgoing;

/// More is a mistake, or an attempt to use the gateway as a hammer.
const MOST_STEPS: usize = 20;
/// The provider that stands for the unified API.
const COMPAT: &str = "compat";

/// One target of a universal request.
pub(crate) struct Step {
    /// Slug, in lower case.
    pub(crate) provider: String,
    /// Path and query below the provider.
    pub(crate) endpoint: String,
    headers: HeaderMap,
    wish: Wish,
    /// The body for the provider.
    query: Bytes,
}

/// A step together with what it has from the request that carries it.
pub(crate) struct Ready {
    pub(crate) provider: String,
    pub(crate) path: String,
    query: Option<String>,
    key_in_query: bool,
    pub(crate) headers: HeaderMap,
    pub(crate) options: Options,
    pub(crate) body: Bytes,
}

/// Reads a universal request, all of whose providers must be known.
pub(crate) fn steps(snapshot: &Snapshot, body: &Bytes) -> Result<Vec<Step>, Failure> {
    let steps = read(body)?;
    for (index, step) in steps.iter().enumerate() {
        if step.provider != COMPAT && snapshot.provider(&step.provider).is_none() {
            let failure = plan::unknown_provider(snapshot, &step.provider);
            return Err(Failure { description: format!("[{index}]: {}", failure.description), ..failure });
        }
    }
    Ok(steps)
}

impl Exchange<'_> {
    /// Tries one step after another. What comes back is the answer of the first that succeeds, else the last one's.
    pub(crate) async fn universal(
        &mut self,
        caller: &Caller,
        client: &HeaderMap,
        body: Bytes,
    ) -> Result<Delivery, Failure> {
        let steps = steps(self.snapshot, &body)?;
        let last = steps.len() - 1;
        let mut steps = steps.into_iter().enumerate().peekable();
        let mut failed = None;
        while let Some((index, step)) = steps.next() {
            if let Some(failed) = failed.take() {
                self.discard(failed).await;
            }
            self.receipt.step_begins(index, step.query.clone());
            let well = |provider: &str| {
                self.snapshot.provider(provider).is_some_and(|(_, setup)| !setup.health.looks_down())
            };
            let other = steps.peek().is_some_and(|(_, next)| next.provider == COMPAT || well(&next.provider));
            if other && self.is_down(&step.provider) {
                self.receipt.attempt_skipped(&step.provider);
                continue;
            }
            let outcome = self.step(caller, client, step, index < last).await;
            match outcome {
                Ok(delivery) if delivery.answer.status.as_u16() < 400 => return Ok(delivery),
                outcome if index == last => return outcome,
                outcome => failed = Some(outcome.map(|delivery| delivery.answer)),
            }
        }
        Err(malformed("a list of steps that is empty")) // unreachable: `read` refuses it
    }

    async fn step(
        &mut self,
        caller: &Caller,
        client: &HeaderMap,
        step: Step,
        has_successor: bool,
    ) -> Result<Delivery, Failure> {
        let mut step = step.ready(client);
        self.options = std::mem::take(&mut step.options);
        self.receipt.reconsider(&self.gateway, &mut self.options);
        if let Some(asks) = step.asks() {
            let asked = step.asked(asks?, has_successor);
            return self.by_model(caller, &asked).await;
        }
        let body = step.body.clone();
        let mut call = self.planning().call_by_path(caller, step.by_path())?;
        call.body = Outgoing::Whole(body);
        call.policy.has_successor = has_successor;
        cache::answer(self, caller, call).await
    }

    /// Whether a provider is to be left alone if another can take the call.
    pub(crate) fn is_down(&self, provider: &str) -> bool {
        self.snapshot.provider(provider).is_some_and(|(_, setup)| setup.health.is_down())
    }
}

impl Step {
    pub(crate) fn ready(self, client: &HeaderMap) -> Ready {
        let Self { provider, endpoint, mut headers, wish, query: body } = self;
        take_from_slots(&mut headers); // a token of ours is nothing a provider should see
        let mut options = options(client, &headers);
        options.retry = wish.or(options.retry);
        accompany(&mut headers, client);
        let (path, query) = endpoint.split_once('?').unwrap_or((&endpoint, ""));
        let (query, key) = split_query(Some(query).filter(|text| !text.is_empty()));
        let (path, key_in_query) = (path.to_owned(), key.own);
        Ready { provider, path, query, key_in_query, headers, options, body }
    }
}

impl Ready {
    /// What it asks of the unified API, if it is a step of that.
    pub(crate) fn asks(&self) -> Option<Result<Asks<'_>, Failure>> {
        let endpoints = "the endpoints of `compat` are chat/completions, responses, embeddings and messages";
        let asks = || resolve::unified_asks(&self.path).ok_or_else(|| malformed(endpoints));
        (self.provider == COMPAT).then(asks)
    }

    pub(crate) fn asked<'s>(&'s self, asks: Asks<'s>, has_successor: bool) -> Asked<'s> {
        Asked { client: &self.headers, body: &self.body, asks, has_successor, in_steps: true }
    }

    /// A step of any other provider as a call of its path.
    pub(crate) fn by_path(&self) -> ByPath<'_> {
        ByPath {
            provider: &self.provider,
            rest: &self.path,
            query: self.query.as_deref(),
            key_in_query: self.key_in_query,
            method: Method::POST,
            headers: self.headers.clone(),
        }
    }
}

/// The request's options with the step's over them.
fn options(client: &HeaderMap, step: &HeaderMap) -> Options {
    let ours = |name: &&HeaderName| name.as_str().starts_with("cf-aig-");
    let mut merged = client.clone();
    for name in step.keys().filter(ours) {
        if let Some(value) = step.get(name) {
            merged.insert(name, value.clone());
        }
    }
    Options::read(&merged)
}

/// What a step's headers leave to the request that carries it.
fn accompany(headers: &mut HeaderMap, client: &HeaderMap) {
    // What comes back has to be readable for the client itself.
    match client.get(ACCEPT_ENCODING) {
        Some(codings) => headers.insert(ACCEPT_ENCODING, codings.clone()),
        None => headers.remove(ACCEPT_ENCODING),
    };
    for name in ["user-agent", "traceparent", "tracestate", "baggage"] {
        let name = HeaderName::from_static(name);
        if let (false, Some(value)) = (headers.contains_key(&name), client.get(&name)) {
            headers.insert(name, value.clone());
        }
    }
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
}

/// Reads the list. Messages name places and shapes, never values: those may be keys.
fn read(body: &Bytes) -> Result<Vec<Step>, Failure> {
    let unreadable = |error: serde_json::Error| {
        let (line, column) = (error.line(), error.column());
        malformed(format!("the body is not JSON (line {line}, column {column})"))
    };
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let written: Vec<&RawValue> = match first {
        Some(b'[') => serde_json::from_slice(body).map_err(unreadable)?,
        Some(b'{') => vec![serde_json::from_slice(body).map_err(unreadable)?],
        _ => {
            let shape = "expected a list of steps {provider, endpoint, headers, query}, or one such step";
            return Err(malformed(shape));
        }
    };
    if written.is_empty() || written.len() > MOST_STEPS {
        return Err(malformed(format!("expected 1 to {MOST_STEPS} steps, found {}", written.len())));
    }
    written
        .iter()
        .enumerate()
        .map(|(index, step)| {
            Step::read(body, step).map_err(|(field, wrong)| malformed(format!("[{index}]{field}: {wrong}")))
        })
        .collect()
}

/// Which field of a step is wrong, and how.
type Wrong = (String, String);

fn wrong(field: &str, message: impl Into<String>) -> Wrong {
    (field.to_owned(), message.into())
}

impl Step {
    fn read(body: &Bytes, step: &RawValue) -> Result<Self, Wrong> {
        let fields: BTreeMap<String, &RawValue> =
            serde_json::from_str(step.get()).map_err(|_| wrong("", "expected an object"))?;
        let value = |name: &str| -> Value {
            fields.get(name).and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
        };
        let text = |name: &str| match value(name) {
            Value::String(text) => Ok(Some(text)),
            Value::Null => Ok(None),
            _ => Err(wrong(&format!(".{name}"), "expected text")),
        };
        let provider =
            text("provider")?.map(|slug| slug.trim().to_lowercase()).filter(|slug| !slug.is_empty());
        let provider = provider.ok_or_else(|| wrong(".provider", "is missing"))?;
        let endpoint = text("endpoint")?.unwrap_or_default();
        let mut headers = step_headers(&value("headers"))?;
        if let Some(authorization) = text("authorization")?.filter(|_| !headers.contains_key(AUTHORIZATION)) {
            let value = HeaderValue::try_from(authorization);
            headers.insert(AUTHORIZATION, value.map_err(|_| wrong(".authorization", NOT_A_VALUE))?);
        }
        let query = fields.get("query").filter(|raw| raw.get() != "null");
        Ok(Self {
            provider,
            endpoint: endpoint.trim_start_matches('/').to_owned(),
            headers,
            wish: wish(&value("config"))?,
            query: query.map(|raw| body.slice_ref(raw.get().as_bytes())).unwrap_or_default(),
        })
    }
}

const NOT_A_VALUE: &str = "is not a value that an HTTP header can carry";

/// Values may be text, numbers, flags, or JSON that stands for its text.
fn step_headers(written: &Value) -> Result<HeaderMap, Wrong> {
    let mut headers = HeaderMap::new();
    let written = match written {
        Value::Null => return Ok(headers),
        Value::Object(written) => written,
        _ => return Err(wrong(".headers", "expected an object of names and values")),
    };
    for (name, value) in written {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let place = || format!(".headers[{}]", Value::from(name.chars().take(64).collect::<String>()));
        let name = HeaderName::try_from(name).map_err(|_| wrong(&place(), "is not a header name"))?;
        headers.insert(name, HeaderValue::try_from(text).map_err(|_| wrong(&place(), NOT_A_VALUE))?);
    }
    Ok(headers)
}

/// `config`: numbers over their bounds are cut to them later.
fn wish(config: &Value) -> Result<Wish, Wrong> {
    let config = match config {
        Value::Null => return Ok(Wish::default()),
        Value::Object(config) => config,
        _ => return Err(wrong(".config", "expected an object")),
    };
    let number = |name: &str| match config.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().parse::<u64>().is_ok() => Ok(text.trim().parse().ok()),
        Some(value) => {
            let number = value.as_f64().filter(|number| *number >= 0.0);
            number
                .map(|number| Some(number as u64))
                .ok_or_else(|| wrong(&format!(".config.{name}"), "expected a number, 0 or more"))
        }
    };
    let backoff = match config.get("backoff") {
        None | Some(Value::Null) => None,
        Some(name) => Some(
            name.as_str()
                .and_then(backoff)
                .ok_or_else(|| wrong(".config.backoff", "expected one of constant, linear, exponential"))?,
        ),
    };
    let attempts = number("maxAttempts")?.map(|attempts| u32::try_from(attempts).unwrap_or(u32::MAX));
    Ok(Wish { attempts, delay_ms: number("retryDelay")?, backoff, timeout_ms: number("requestTimeout")? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal(body: &str) -> String {
        match read(&Bytes::copy_from_slice(body.as_bytes())) {
            Ok(_) => String::new(),
            Err(failure) => failure.description,
        }
    }

    #[test]
    fn mistakes_are_told_at_their_place_without_values() {
        for (body, expected) in [
            ("", "expected a list of steps"),
            ("\"x\"", "expected a list of steps"),
            ("[]", "expected 1 to 20 steps, found 0"),
            ("[{]", "the body is not JSON (line 1, column"),
            ("[1]", "[0]: expected an object"),
            ("[{}]", "[0].provider: is missing"),
            (r#"[{"provider":"openai"},{"provider":7}]"#, "[1].provider: expected text"),
            (r#"{"provider":"openai","headers":"sk-secret"}"#, "[0].headers: expected an object"),
            (
                r#"{"provider":"openai","headers":{"a b":"sk-secret"}}"#,
                "[0].headers[\"a b\"]: is not a header name",
            ),
            (r#"{"provider":"openai","headers":{"a":"sk-\nsecret"}}"#, "[0].headers[\"a\"]: is not a value"),
            (
                r#"{"provider":"openai","config":{"maxAttempts":"many"}}"#,
                "[0].config.maxAttempts: expected a number",
            ),
            (r#"{"provider":"openai","config":{"backoff":"x"}}"#, "[0].config.backoff: expected one of"),
            (r#"{"provider":"openai","config":[]}"#, "[0].config: expected an object"),
        ] {
            let told = refusal(body);
            assert!(told.starts_with(expected), "{body}: {told}");
            assert!(!told.contains("secret"));
        }
        let many = format!("[{}]", vec![r#"{"provider":"openai"}"#; 21].join(","));
        assert!(refusal(&many).contains("found 21"));
    }

    #[test]
    fn a_step_is_read_as_it_is_written() {
        let body = Bytes::from_static(
            br#"{"provider":"OpenAI","endpoint":"/chat/completions","authorization":"Bearer k",
                "headers":{"cf-aig-cache-ttl":300,"cf-aig-metadata":{"user":"u"},"x-flag":true,"x-none":null},
                "config":{"requestTimeout":1000,"maxAttempts":"2","retryDelay":9999,"backoff":"exponential"},
                "query": { "a" : 1.0,"a":2 } }"#,
        );
        let step = read(&body).expect("a step").remove(0);
        assert_eq!((step.provider.as_str(), step.endpoint.as_str()), ("openai", "chat/completions"));
        assert_eq!(step.query, r#"{ "a" : 1.0,"a":2 }"#, "byte for byte");
        let header = |name: &str| step.headers.get(name).and_then(|value| value.to_str().ok());
        assert_eq!(header("cf-aig-cache-ttl"), Some("300"));
        assert_eq!(header("cf-aig-metadata"), Some(r#"{"user":"u"}"#));
        assert_eq!((header("x-flag"), header("x-none")), (Some("true"), None));
        assert_eq!(header("authorization"), Some("Bearer k"));
        assert_eq!(
            (step.wish.attempts, step.wish.delay_ms, step.wish.timeout_ms),
            (Some(2), Some(9999), Some(1000))
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_steps_or_are_refused(body in r#"[\[\]{}":,a-z0-9 ]{0,60}"#) {
            let _ = read(&Bytes::from(body));
        }
    }
}
