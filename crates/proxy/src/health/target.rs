//! What others are told of targets: by provider and the part of the address that gives nothing away.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::{FAULTS, FAULTS_IN_A_ROW, Health, WINDOW_MS, now_ms};

/// What is known of one target.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetHealth {
    pub provider: String,
    /// Scheme, host and port, as configured: the host may hold `{names}` that follow from a path.
    pub address: String,
    /// Set while it is left alone wherever something else can take its calls.
    pub down: Option<Down>,
    pub calls: u64,
    /// Of those: not reached, no answer in time, broken off, or status 5xx.
    pub faults: u64,
    /// Calls that wait for the first byte of their answer.
    pub in_flight: u32,
    /// Peak-EWMA of the time to the first byte.
    pub latency: Duration,
}

/// Why a target is left alone, and for how long.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Down {
    /// In words.
    pub why: String,
    /// Then one call tries it, if any comes.
    pub tried_again_in: Duration,
}

impl TargetHealth {
    /// `None` if it was never called.
    pub(crate) fn of(provider: &str, url: &str, health: &Health) -> Option<Self> {
        let calls = health.calls.load(Relaxed);
        (calls > 0).then(|| Self {
            provider: provider.to_owned(),
            address: origin(url),
            down: Down::of(health),
            calls,
            faults: health.faults.load(Relaxed),
            in_flight: health.in_flight.load(Relaxed),
            latency: Duration::from_micros(health.latency_us.load(Relaxed)),
        })
    }

    /// Two that cannot be told apart: what they did is added up, and calls go on as long as one of them is up.
    fn merge(&mut self, other: Self) {
        self.calls += other.calls;
        self.faults += other.faults;
        self.in_flight += other.in_flight;
        self.latency = self.latency.max(other.latency);
        self.down = self
            .down
            .take()
            .zip(other.down)
            .map(|(one, other)| if one.tried_again_in <= other.tried_again_in { one } else { other });
    }
}

impl Down {
    fn of(health: &Health) -> Option<Self> {
        let until = health.down_until_ms.load(Relaxed);
        if until == 0 {
            return None;
        }
        let row = health.faults_in_a_row.load(Relaxed);
        let last = match health.last_fault.load(Relaxed) {
            status @ 100.. => status.to_string(),
            number => FAULTS.get(usize::from(number)).map_or("", |fault| fault.name()).to_owned(),
        };
        let why = match row >= FAULTS_IN_A_ROW {
            true => format!("{row} faults in a row, the last one: {last}"),
            false => format!("half of its calls failed within {} s, the last one: {last}", WINDOW_MS / 1000),
        };
        Some(Self { why, tried_again_in: Duration::from_millis(until.saturating_sub(now_ms())) })
    }
}

/// By provider and address, each once.
pub(crate) fn listed(targets: impl Iterator<Item = TargetHealth>) -> Vec<TargetHealth> {
    let mut targets: Vec<_> = targets.collect();
    targets.sort_by(|a, b| (&a.provider, &a.address).cmp(&(&b.provider, &b.address)));
    let mut listed: Vec<TargetHealth> = Vec::with_capacity(targets.len());
    for target in targets {
        match listed.last_mut() {
            Some(last) if last.provider == target.provider && last.address == target.address => {
                last.merge(target);
            }
            _ => listed.push(target),
        }
    }
    listed
}

/// Scheme, host and port of a URL. Users, passwords, paths and queries may be secrets, and stay out.
fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let authority = &rest[..rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())];
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(address: &str, calls: u64, down: Option<u64>) -> TargetHealth {
        let down = down
            .map(|seconds| Down { why: format!("{seconds}"), tried_again_in: Duration::from_secs(seconds) });
        let (provider, address) = ("p".to_owned(), address.to_owned());
        let latency = Duration::from_millis(calls);
        TargetHealth { provider, address, down, calls, faults: 1, in_flight: 2, latency }
    }

    #[test]
    fn an_address_is_told_without_what_may_be_secret() {
        for (url, told) in [
            ("https://api.openai.com/v1", "https://api.openai.com"),
            ("https://ann:pass@host:8443/x?key=1#y", "https://host:8443"),
            ("http://a@b@[::1]:80?key=1", "http://[::1]:80"),
            ("https://{region}.bedrock.example/{path}", "https://{region}.bedrock.example"),
            ("host:1/path", "host:1"),
            ("", ""),
        ] {
            assert_eq!(origin(url), told, "{url}");
        }
    }

    proptest! {
        #[test]
        fn no_user_path_or_query_is_ever_told(url in r"(https?://)?([a-z:]{0,5}@)?[a-z.\[\]:0-9]{0,12}[/?#\\][ -~]{0,20}") {
            let told = origin(&url);
            let host = told.split_once("://").map_or(&told[..], |(_, host)| host);
            prop_assert!(!host.contains(['@', '/', '?', '#', '\\']), "{told}");
        }
    }

    #[test]
    fn addresses_that_look_alike_are_one_target() {
        let list = |targets: &[TargetHealth]| listed(targets.iter().cloned());
        let merged = list(&[target("a", 3, Some(9)), target("b", 1, None), target("a", 4, Some(2))]);
        assert_eq!(merged.len(), 2);
        let one = &merged[0];
        assert_eq!((one.calls, one.faults, one.in_flight), (7, 2, 4));
        assert_eq!(one.latency, Duration::from_millis(4));
        assert_eq!(one.down.as_ref().map(|down| down.why.as_str()), Some("2"), "the sooner one");
        assert_eq!(list(&[target("a", 3, Some(9)), target("a", 4, None)])[0].down, None, "calls go on");
    }
}
