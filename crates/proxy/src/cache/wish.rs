//! What a request and its gateway want of the cache.

use std::time::Duration;

use genesis_config::GatewaySettings;

use crate::options::boolean;

/// Cloudflare's bounds for `cf-aig-cache-ttl`, in seconds; 0 switches the cache off.
const TTL: std::ops::RangeInclusive<u64> = 60..=2_592_000;
/// How long an answer under a client's own key is kept if nobody says otherwise.
const OWN_KEY_TTL: u64 = 300;

/// The cache's request headers. An invalid value is as if absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CacheHeaders {
    ttl: Option<u64>,
    skip: Option<bool>,
    /// The names of before `cf-aig-`; the new ones win.
    old_ttl: Option<u64>,
    old_skip: Option<bool>,
    pub(super) key: Option<String>,
    stale_if_error: Option<u64>,
    stale_while_revalidate: Option<u64>,
    semantic: Option<Nearness>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Nearness {
    Off,
    AtLeast(f64),
}

impl CacheHeaders {
    /// Takes a header; `name` is without `cf-aig-`, or a whole old name.
    pub(crate) fn take(&mut self, name: &str, value: &str) {
        let ttl = |value: &str| value.parse().ok().filter(|ttl| *ttl == 0 || TTL.contains(ttl));
        let stale = |value: &str| value.parse().ok().filter(|stale| *stale <= *TTL.end());
        match name {
            "cache-ttl" => self.ttl = ttl(value),
            "cf-cache-ttl" => self.old_ttl = ttl(value),
            "skip-cache" => self.skip = boolean(value),
            "cf-skip-cache" => self.old_skip = boolean(value),
            "cache-key" if !value.is_empty() => self.key = Some(value.to_owned()),
            "cache-stale-if-error" => self.stale_if_error = stale(value),
            "cache-stale-while-revalidate" => self.stale_while_revalidate = stale(value),
            "cache-semantic" if boolean(value) == Some(false) => self.semantic = Some(Nearness::Off),
            "cache-semantic" => {
                let near = value.parse().ok().filter(|near: &f64| *near > 0.0 && *near <= 1.0);
                self.semantic = near.map(Nearness::AtLeast);
            }
            _ => {}
        }
    }
}

/// How one request uses the cache.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Policy {
    /// How long its answer is fresh.
    pub(super) ttl: Duration,
    /// Older answers are not wanted, however long they were to be kept: set if the client itself named a time.
    pub(super) max_age: Option<Duration>,
    pub(super) stale_if_error: Duration,
    pub(super) stale_while_revalidate: Duration,
    /// How near another request's meaning must come; `None`: only exact repetitions count.
    pub(super) semantic: Option<f64>,
}

impl Policy {
    /// `None`: the cache is off for this request, for reading and for writing.
    pub(super) fn of(headers: &CacheHeaders, gateway: &GatewaySettings) -> Option<Self> {
        let asked = headers.ttl.or(headers.old_ttl);
        let own = headers.key.as_ref().map(|_| OWN_KEY_TTL);
        let set = Some(gateway.cache_ttl).filter(|ttl| *ttl > 0);
        let ttl = asked.or(set).or(own).filter(|ttl| *ttl > 0)?;
        if headers.skip.or(headers.old_skip).unwrap_or(false) {
            return None;
        }
        let configured = gateway.cache_semantic.as_ref();
        let semantic = match headers.semantic {
            Some(Nearness::Off) => None,
            Some(Nearness::AtLeast(near)) => configured.map(|_| near),
            None => configured.map(|semantic| semantic.threshold),
        };
        let seconds = |header: Option<u64>, setting| Duration::from_secs(header.unwrap_or(setting));
        Some(Self {
            ttl: Duration::from_secs(ttl),
            max_age: asked.map(Duration::from_secs),
            stale_if_error: seconds(headers.stale_if_error, gateway.cache_stale_if_error),
            stale_while_revalidate: seconds(
                headers.stale_while_revalidate,
                gateway.cache_stale_while_revalidate,
            ),
            semantic: semantic.filter(|_| headers.key.is_none()),
        })
    }

    /// How long an answer may be of use after it was fresh.
    pub(super) fn stale(&self) -> Duration {
        self.stale_if_error.max(self.stale_while_revalidate)
    }
}

#[cfg(test)]
mod tests {
    use genesis_config::SemanticCache;

    use super::*;

    fn policy(settings: u64, headers: &[(&str, &str)]) -> Option<Policy> {
        let mut taken = CacheHeaders::default();
        for (name, value) in headers {
            taken.take(name, value);
        }
        let model = "openai/embed".to_owned();
        let gateway = GatewaySettings {
            cache_ttl: settings,
            cache_stale_if_error: 7,
            cache_semantic: Some(SemanticCache { model, threshold: 0.9 }),
            ..GatewaySettings::default()
        };
        Policy::of(&taken, &gateway)
    }

    fn ttl(settings: u64, headers: &[(&str, &str)]) -> Option<u64> {
        policy(settings, headers).map(|policy| policy.ttl.as_secs())
    }

    #[test]
    fn a_header_comes_before_the_setting_and_0_is_off() {
        assert_eq!(ttl(0, &[]), None);
        assert_eq!(ttl(300, &[]), Some(300));
        assert_eq!(ttl(0, &[("cache-ttl", "60")]), Some(60));
        assert_eq!(ttl(300, &[("cache-ttl", "0")]), None);
        assert_eq!(ttl(300, &[("cf-cache-ttl", "61")]), Some(61));
        assert_eq!(ttl(300, &[("cf-cache-ttl", "61"), ("cache-ttl", "62")]), Some(62));
        assert_eq!(ttl(300, &[("cache-ttl", "62"), ("cf-cache-ttl", "61")]), Some(62));
        assert_eq!(ttl(300, &[("skip-cache", "true")]), None);
        assert_eq!(ttl(300, &[("cf-skip-cache", "true")]), None);
        assert_eq!(ttl(300, &[("cf-skip-cache", "true"), ("skip-cache", "false")]), Some(300));
    }

    #[test]
    fn times_out_of_bounds_are_as_if_absent() {
        for value in ["59", "2592001", "-1", "1.5", "60s", "", "99999999999999999999"] {
            assert_eq!(ttl(300, &[("cache-ttl", value)]), Some(300), "{value}");
            assert_eq!(ttl(0, &[("cache-ttl", value)]), None, "{value}");
        }
        assert_eq!(ttl(0, &[("cache-ttl", "2592000")]), Some(2_592_000));
        assert_eq!(ttl(300, &[("skip-cache", "yes")]), Some(300));
    }

    #[test]
    fn a_key_of_ones_own_switches_the_cache_on() {
        assert_eq!(ttl(0, &[("cache-key", "k")]), Some(300));
        assert_eq!(ttl(0, &[("cache-key", "k"), ("cache-ttl", "90")]), Some(90));
        assert_eq!(ttl(1000, &[("cache-key", "k")]), Some(1000));
        assert_eq!(ttl(1000, &[("cache-key", "k"), ("cache-ttl", "0")]), None);
        assert_eq!(ttl(0, &[("cache-key", "")]), None);
    }

    #[test]
    fn stale_times_and_nearness_have_bounds_too() {
        let of = |name, value| policy(300, &[(name, value)]).expect("on");
        assert_eq!(of("cache-stale-if-error", "0").stale_if_error, Duration::ZERO);
        assert_eq!(of("cache-stale-if-error", "2592000").stale_if_error.as_secs(), 2_592_000);
        assert_eq!(of("cache-stale-if-error", "2592001").stale_if_error.as_secs(), 7);
        assert_eq!(of("cache-stale-while-revalidate", "5").stale_while_revalidate.as_secs(), 5);
        for (value, near) in [
            ("0.5", Some(0.5)),
            ("1", Some(1.0)),
            ("false", None),
            ("0", Some(0.9)),
            ("1.1", Some(0.9)),
            ("NaN", Some(0.9)),
        ] {
            assert_eq!(of("cache-semantic", value).semantic, near, "{value}");
        }
        assert_eq!(of("cache-key", "k").semantic, None);
    }
}
