//! An answer as it is kept, in memory and on disk.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use genesis_store::CacheKey;
use genesis_wire::Dialect;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::wish::Policy;

/// A provider's whole answer in the provider's own bytes.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) gateway: Arc<str>,
    pub(super) created_at_ms: i64,
    /// Fresh until then.
    pub(super) expires_at_ms: i64,
    /// Of no use from then on.
    pub(super) gone_at_ms: i64,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) dialect: Option<Dialect>,
    /// As the answer names it.
    pub(super) model: String,
    pub(super) stream: bool,
    /// The request's `stream_options`, as written.
    pub(super) stream_options: Option<String>,
}

/// What stands under a key.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    Answer(Arc<Entry>),
    /// The answer to a request that differs only in how it wants the answer to arrive.
    SeeAlso(CacheKey, Arc<str>),
}

/// Whether an answer may still be given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Age {
    Fresh,
    /// While a new one is fetched.
    Revalidate,
    /// Only if no new one can be had.
    IfError,
    Gone,
}

/// Headers of an answer that are not for whoever asks the same later.
static NOT_KEPT: [HeaderName; 9] = [
    header::SET_COOKIE,
    header::DATE,
    header::AGE,
    header::RETRY_AFTER,
    header::ALT_SVC,
    header::VIA,
    header::STRICT_TRANSPORT_SECURITY,
    HeaderName::from_static("server-timing"),
    HeaderName::from_static("cf-ray"),
];

impl Entry {
    pub(super) fn age(&self, now_ms: i64, policy: &Policy) -> Age {
        let wanted_until = policy.max_age.map_or(i64::MAX, |age| self.created_at_ms.saturating_add(ms(age)));
        let fresh_until = self.expires_at_ms.min(wanted_until);
        let within = |window: Duration| now_ms < fresh_until.saturating_add(ms(window));
        match () {
            () if now_ms >= self.gone_at_ms => Age::Gone,
            () if now_ms < fresh_until => Age::Fresh,
            () if within(policy.stale_while_revalidate) => Age::Revalidate,
            () if within(policy.stale_if_error) => Age::IfError,
            () => Age::Gone,
        }
    }

    /// Seconds since the provider answered.
    pub(super) fn seconds(&self, now_ms: i64) -> u64 {
        u64::try_from((now_ms - self.created_at_ms) / 1000).unwrap_or_default()
    }

    /// Bytes of memory, about.
    pub(super) fn weight(&self) -> u64 {
        const OVERHEAD: usize = 512;
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 64).sum();
        (self.body.len() + headers + self.model.len() + OVERHEAD) as u64
    }
}

/// The headers of an answer that may be given to others.
pub(super) fn kept(headers: &HeaderMap) -> HeaderMap {
    let mut kept = headers.clone();
    for name in NOT_KEPT.iter().chain(&crate::deliver::HOP_BY_HOP) {
        kept.remove(name);
    }
    let spoken_once = |name: &str| name.contains("ratelimit") || name.starts_with("cf-aig-");
    let gone: Vec<_> = kept.keys().filter(|name| spoken_once(name.as_str())).cloned().collect();
    for name in gone {
        kept.remove(name);
    }
    kept
}

/// What precedes the body on disk.
#[derive(Deserialize, Serialize)]
struct Written {
    gateway: String,
    created_at_ms: i64,
    expires_at_ms: i64,
    gone_at_ms: i64,
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    dialect: Option<Dialect>,
    model: String,
    stream: bool,
    stream_options: Option<String>,
}

const SEE_ALSO: u8 = 0;
const ANSWER: u8 = 1;

impl Slot {
    /// For the disk: a kind; for an answer the length of its description, that as JSON, the body.
    pub(super) fn write(&self) -> Bytes {
        let entry = match self {
            Self::SeeAlso(key, gateway) => {
                return [&[SEE_ALSO][..], key, gateway.as_bytes()].concat().into();
            }
            Self::Answer(entry) => entry,
        };
        let headers = entry.headers.iter();
        let written = Written {
            gateway: entry.gateway.to_string(),
            created_at_ms: entry.created_at_ms,
            expires_at_ms: entry.expires_at_ms,
            gone_at_ms: entry.gone_at_ms,
            status: entry.status.as_u16(),
            headers: headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect(),
            dialect: entry.dialect,
            model: entry.model.clone(),
            stream: entry.stream,
            stream_options: entry.stream_options.clone(),
        };
        let head = serde_json::to_vec(&written).unwrap_or_default();
        let length = u32::try_from(head.len()).unwrap_or_default().to_le_bytes();
        [&[ANSWER][..], &length, &head, &entry.body].concat().into()
    }

    /// `None`: damaged, or written by another version.
    pub(super) fn read(data: &Bytes) -> Option<Self> {
        let (kind, rest) = data.split_first()?;
        if *kind == SEE_ALSO {
            let (key, gateway) = rest.split_first_chunk()?;
            return Some(Self::SeeAlso(*key, std::str::from_utf8(gateway).ok()?.into()));
        }
        let (length, rest) = rest.split_first_chunk()?;
        let (head, body) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let written: Written = serde_json::from_slice(head).ok().filter(|_| *kind == ANSWER)?;
        let mut headers = HeaderMap::new();
        for (name, value) in written.headers {
            headers
                .append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(&value).ok()?);
        }
        Some(Self::Answer(Arc::new(Entry {
            gateway: written.gateway.into(),
            created_at_ms: written.created_at_ms,
            expires_at_ms: written.expires_at_ms,
            gone_at_ms: written.gone_at_ms,
            status: StatusCode::from_u16(written.status).ok()?,
            headers,
            body: data.slice_ref(body),
            dialect: written.dialect,
            model: written.model,
            stream: written.stream,
            stream_options: written.stream_options,
        })))
    }

    pub(super) fn gateway(&self) -> &Arc<str> {
        match self {
            Self::Answer(entry) => &entry.gateway,
            Self::SeeAlso(_, gateway) => gateway,
        }
    }
}

pub(super) fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(created: i64, ttl: i64, stale: i64) -> Entry {
        Entry {
            gateway: "gw".into(),
            created_at_ms: created,
            expires_at_ms: created + ttl,
            gone_at_ms: created + ttl + stale,
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            dialect: None,
            model: String::new(),
            stream: false,
            stream_options: None,
        }
    }

    #[test]
    fn an_answer_ages_step_by_step() {
        let policy = Policy {
            ttl: Duration::from_secs(60),
            max_age: None,
            stale_if_error: Duration::from_secs(30),
            stale_while_revalidate: Duration::from_secs(10),
            semantic: None,
        };
        let entry = entry(0, 60_000, 30_000);
        for (now, age) in [
            (0, Age::Fresh),
            (59_999, Age::Fresh),
            (60_000, Age::Revalidate),
            (69_999, Age::Revalidate),
            (70_000, Age::IfError),
            (89_999, Age::IfError),
            (90_000, Age::Gone),
        ] {
            assert_eq!(entry.age(now, &policy), age, "{now}");
        }
        let sooner = Policy { max_age: Some(Duration::from_secs(20)), ..policy };
        assert_eq!((entry.age(19_999, &sooner), entry.age(20_000, &sooner)), (Age::Fresh, Age::Revalidate));
        assert_eq!((entry.age(49_999, &sooner), entry.age(50_000, &sooner)), (Age::IfError, Age::Gone));
        let never =
            Policy { stale_if_error: Duration::ZERO, stale_while_revalidate: Duration::ZERO, ..policy };
        assert_eq!(entry.age(60_000, &never), Age::Gone);
    }

    #[test]
    fn headers_for_one_client_are_not_kept() {
        let mut headers = HeaderMap::new();
        for name in [
            "set-cookie",
            "x-ratelimit-limit",
            "anthropic-ratelimit-x",
            "connection",
            "cf-aig-log-id",
            "date",
            "x-kept",
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("v"));
        }
        assert_eq!(kept(&headers).keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            body in prop::collection::vec(any::<u8>(), 0..200),
            value in "[ -~]{0,20}",
            stream in any::<bool>(),
            options in prop::option::of("[a-z]{0,5}"),
        ) {
            let mut kept = entry(5, 6, 7);
            kept.headers.append("x-a", value.trim().parse().expect("value"));
            kept.headers.append("x-a", "b".parse().expect("value"));
            kept.body = body.into();
            kept.dialect = Some(Dialect::OpenAiChat);
            (kept.stream, kept.stream_options) = (stream, options);
            let Some(Slot::Answer(read)) = Slot::read(&Slot::Answer(Arc::new(kept)).write()) else { panic!("an answer") };
            prop_assert_eq!((read.created_at_ms, read.expires_at_ms, read.gone_at_ms), (5, 11, 18));
            prop_assert_eq!(read.headers.get_all("x-a").iter().count(), 2);
            prop_assert_eq!((read.stream, read.dialect), (stream, Some(Dialect::OpenAiChat)));
        }

        #[test]
        fn damage_is_nothing(data in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Slot::read(&data.into());
        }
    }
}
