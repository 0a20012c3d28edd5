//! The `cf-aig-*` request headers: parsed once, never a reason to fail, never sent upstream.

use genesis_config::gateway::{Backoff, OnDisconnect};
use http::header::{HeaderMap, HeaderName};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::cache::CacheHeaders;
use crate::retry::Wish;
use crate::trace::Trace;

/// What the client asks of the gateway for this one exchange.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) byok_alias: Option<String>,
    pub(crate) cache: CacheHeaders,
    pub(crate) collect_log: Option<bool>,
    pub(crate) collect_payload: bool,
    pub(crate) custom_cost: Option<String>,
    /// The client's correlation id; `None` if it sent none that can be echoed.
    pub(crate) event_id: Option<String>,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) no_wholesale: bool,
    /// What becomes of the answer if the client leaves.
    pub(crate) on_disconnect: Option<OnDisconnect>,
    /// Keep the answer, if it is a stream, so that the client can go on where it was.
    pub(crate) resumable: Option<bool>,
    /// Timeout and retries.
    pub(crate) retry: Wish,
    /// Refuse what a translation cannot carry in full.
    pub(crate) strict: Option<bool>,
    /// The trace this call belongs to.
    pub(crate) trace: Option<Trace>,
}

const METADATA_ENTRIES: usize = 5;
const EVENT_ID_LENGTH: usize = 256;

impl Options {
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let mut options = Self { collect_payload: true, ..Self::default() };
        for (name, value) in headers {
            let (Some(option), Ok(value)) = (gateway_option(name), value.to_str()) else { continue };
            let value = value.trim();
            match option {
                "byok-alias" if !value.is_empty() => options.byok_alias = Some(value.to_owned()),
                name if is_cache_option(name) => options.cache.take(name, value),
                "collect-log" => options.collect_log = boolean(value),
                "collect-log-payload" => options.collect_payload = boolean(value).unwrap_or(true),
                "custom-cost" => options.custom_cost = Some(value.to_owned()),
                "event-id" if !value.is_empty() && value.len() <= EVENT_ID_LENGTH => {
                    options.event_id = Some(value.to_owned());
                }
                "metadata" => options.metadata = metadata(value),
                "no-wholesale" => options.no_wholesale = boolean(value).unwrap_or(false),
                "on-disconnect" => options.on_disconnect = on_disconnect(value),
                "resumable" => options.resumable = boolean(value),
                "max-attempts" => {
                    options.retry.attempts = value.parse().ok().filter(|attempts| *attempts > 0)
                }
                "retry-delay" => options.retry.delay_ms = value.parse().ok(),
                "backoff" => options.retry.backoff = backoff(value),
                "request-timeout" => options.retry.timeout_ms = value.parse().ok().filter(|ms| *ms > 0),
                "strict" => options.strict = boolean(value),
                _ => {}
            }
        }
        options.trace = Trace::read(headers);
        options
    }
}

/// The part after `cf-aig-`, for headers that speak to the gateway.
fn gateway_option(name: &HeaderName) -> Option<&str> {
    let name = name.as_str();
    name.strip_prefix("cf-aig-").or_else(|| OLD_NAMES.contains(&name).then_some(name))
}

/// From before `cf-aig-`.
const OLD_NAMES: [&str; 2] = ["cf-cache-ttl", "cf-skip-cache"];

fn is_cache_option(option: &str) -> bool {
    option.starts_with("cache-") || option == "skip-cache" || OLD_NAMES.contains(&option)
}

/// Headers that end at the gateway: hop-by-hop ones, and those that speak to Cloudflare or to us.
pub(crate) fn stays_here(name: &HeaderName) -> bool {
    let name = name.as_str();
    match name.as_bytes()[0] {
        b'c' => {
            name.starts_with("cf-")
                && (name.starts_with("cf-aig-")
                    || name.starts_with("cf-access-")
                    || name == "cf-cache-ttl"
                    || name == "cf-skip-cache")
                || name == "connection"
                || name == "content-length"
        }
        b'e' => name == "expect",
        b'h' => name == "host" || name == "http2-settings",
        b'k' => name == "keep-alive",
        b'p' => name.starts_with("proxy-"),
        b't' => name == "te" || name == "trailer" || name == "transfer-encoding",
        b'u' => name == "upgrade",
        b'x' => name == "x-fal-target-url",
        _ => false,
    }
}

/// Headers whose value is a secret, or may be: masked wherever heads are kept.
pub(crate) fn is_secret(name: &str) -> bool {
    const PARTS: [&[u8]; 8] =
        [b"authorization", b"cookie", b"credential", b"jwt", b"key", b"password", b"secret", b"token"];
    if name.starts_with("anthropic-ratelimit") || name.starts_with("x-ratelimit") {
        return false; // counts of tokens, the other kind
    }
    let name = name.as_bytes();
    // Heads are kept for every exchange, so this looks at each byte once before it compares anything.
    let found = (0..name.len()).any(|at| {
        matches!(name[at], b'a' | b'c' | b'j' | b'k' | b'p' | b's' | b't')
            && PARTS.iter().any(|part| name[at..].starts_with(part))
    });
    found || name == b"sec-websocket-protocol"
}

pub(crate) fn on_disconnect(value: &str) -> Option<OnDisconnect> {
    match value {
        "drain" => Some(OnDisconnect::Drain),
        "cancel" => Some(OnDisconnect::Cancel),
        _ => None,
    }
}

/// How the delay between attempts grows, as header or step says it.
pub(crate) fn backoff(value: &str) -> Option<Backoff> {
    [Backoff::Constant, Backoff::Linear, Backoff::Exponential]
        .into_iter()
        .find(|backoff| format!("{backoff:?}").eq_ignore_ascii_case(value))
}

pub(crate) fn boolean(value: &str) -> Option<bool> {
    match value {
        _ if value.eq_ignore_ascii_case("true") => Some(true),
        _ if value.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// The first five scalar entries, in the order sent; anything nested or null voids the whole object, and the
/// `cf.` prefix is reserved (`cloudflare-ai-gateway` §4.4).
fn metadata(text: &str) -> Map<String, Value> {
    struct Ordered;
    impl<'de> Visitor<'de> for Ordered {
        type Value = Map<String, Value>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a flat JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = Map::new();
            while let Some((key, value)) = map.next_entry::<String, Value>()? {
                if !matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_)) {
                    return Err(serde::de::Error::custom("entries must be strings, numbers or booleans"));
                }
                if entries.len() < METADATA_ENTRIES && !key.starts_with("cf.") {
                    entries.insert(key, value);
                }
            }
            Ok(entries)
        }
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let entries = (&mut json).deserialize_map(Ordered);
    match (entries, json.end()) {
        (Ok(entries), Ok(())) => entries,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&'static str, &str)]) -> Options {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("test header"));
        }
        Options::read(&headers)
    }

    #[test]
    fn invalid_values_are_as_if_absent() {
        let options = read(&[
            ("cf-aig-collect-log", "maybe"),
            ("cf-aig-collect-log-payload", ""),
            ("cf-aig-metadata", "{not json"),
            ("cf-aig-request-timeout", "-5"),
            ("cf-aig-max-attempts", "0"),
            ("cf-aig-retry-delay", "1e3"),
            ("cf-aig-backoff", "quadratic"),
            ("cf-aig-event-id", ""),
        ]);
        assert_eq!(options.collect_log, None);
        assert!(options.collect_payload);
        assert!(options.metadata.is_empty());
        assert_eq!(options.retry, Wish::default());
        assert_eq!(options.event_id, None);
    }

    #[test]
    fn metadata_keeps_the_first_five_scalars_and_drops_reserved_keys() {
        let options = read(&[(
            "cf-aig-metadata",
            r#"{"z":1,"y":"b","cf.user_id":"me","x":true,"w":1.5,"v":"e","u":"f"}"#,
        )]);
        let keys: Vec<_> = options.metadata.keys().map(String::as_str).collect();
        assert_eq!(keys, ["v", "w", "x", "y", "z"]);
        assert!(read(&[("cf-aig-metadata", r#"{"a":1,"b":null}"#)]).metadata.is_empty());
        assert!(read(&[("cf-aig-metadata", r#"{"a":1,"b":{"c":1}}"#)]).metadata.is_empty());
        assert!(read(&[("cf-aig-metadata", r#"[1]"#)]).metadata.is_empty());
        assert!(read(&[("cf-aig-metadata", r#"{"a":1} x"#)]).metadata.is_empty());
    }

    #[test]
    fn secrets_are_known_by_name() {
        for name in
            ["authorization", "x-api-key", "api-key", "x-goog-api-key", "xi-api-key", "cf-aig-authorization"]
        {
            assert!(is_secret(name), "{name}");
        }
        for name in ["content-type", "anthropic-version", "anthropic-ratelimit-tokens-limit", "user-agent"] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn gateway_headers_stay_here() {
        for name in
            ["cf-aig-metadata", "cf-skip-cache", "host", "connection", "transfer-encoding", "cf-access-token"]
        {
            assert!(stays_here(&HeaderName::from_static(name)), "{name}");
        }
        for name in ["authorization", "anthropic-beta", "traceparent", "content-type", "cf-ray", "accept"] {
            assert!(!stays_here(&HeaderName::from_static(name)), "{name}");
        }
    }
}
