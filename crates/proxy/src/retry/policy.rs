//! How often a call is made, and after which pause: step over request header over gateway setting.

use std::time::{Duration, SystemTime};

use genesis_config::GatewaySettings;
use genesis_config::gateway::Backoff;

use super::after::{retry_after, says_no};
use super::may_pass;
use crate::failure::Failure;
use crate::options::Options;
use crate::upstream::Answer;

/// Cloudflare's bounds; larger values are cut to them.
pub(crate) const MOST_ATTEMPTS: u32 = 5;
const LONGEST_DELAY: Duration = Duration::from_millis(5_000);
/// If attempts are asked for and no delay is.
const USUAL_DELAY: Duration = Duration::from_millis(500);
/// However the delay grows, no pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How one call is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Policy {
    /// In all, 1 to 5.
    pub(crate) attempts: u32,
    pub(crate) delay: Duration,
    pub(crate) backoff: Backoff,
    /// For the first byte of each attempt.
    timeout: Option<Duration>,
    /// Something else can take the call if this fails, so that its last attempt need not wait either.
    pub(crate) has_successor: bool,
}

/// What a step or header asks for; what it leaves open comes from the next in line.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Wish {
    pub(crate) attempts: Option<u32>,
    pub(crate) delay_ms: Option<u64>,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) timeout_ms: Option<u64>,
}

impl Wish {
    /// These wishes, completed by others that count less.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            attempts: self.attempts.or(other.attempts),
            delay_ms: self.delay_ms.or(other.delay_ms),
            backoff: self.backoff.or(other.backoff),
            timeout_ms: self.timeout_ms.or(other.timeout_ms),
        }
    }

    fn of_gateway(gateway: &GatewaySettings) -> Self {
        Self {
            attempts: gateway.retry_max_attempts,
            delay_ms: gateway.retry_delay,
            backoff: gateway.retry_backoff,
            timeout_ms: None,
        }
    }
}

impl Policy {
    /// What holds for a call of one target: the request's wishes, then the gateway's settings.
    pub(crate) fn of(options: &Options, gateway: &GatewaySettings) -> Self {
        let Wish { attempts, delay_ms, backoff, timeout_ms } = options.retry.or(Wish::of_gateway(gateway));
        Self {
            attempts: attempts.unwrap_or(1).clamp(1, MOST_ATTEMPTS),
            delay: delay_ms.map_or(USUAL_DELAY, Duration::from_millis).min(LONGEST_DELAY),
            backoff: backoff.unwrap_or_default(),
            timeout: timeout_ms.filter(|ms| *ms > 0).map(Duration::from_millis),
            has_successor: false,
        }
    }

    /// How long this attempt (counted from 1) may take to its first byte. The last of several waits as long as the
    /// gateway itself allows, since giving up would leave the caller with nothing.
    pub(crate) fn first_byte(&self, attempt: u32, longest: Duration) -> Duration {
        let waits = self.attempts > 1 && attempt >= self.attempts && !self.has_successor;
        match self.timeout {
            Some(timeout) if !waits => timeout.min(longest),
            _ => longest,
        }
    }

    /// How long to wait before the call is made again; `None` if it is not. `made`: attempts so far.
    pub(crate) fn pause(&self, made: u32, outcome: &Result<Answer, Failure>) -> Option<Duration> {
        let asked = match outcome {
            Ok(answer) if may_pass(answer.status) && !says_no(&answer.headers) => {
                retry_after(&answer.headers, SystemTime::now())
            }
            Err(failure) if failure.fault.is_some() => None,
            _ => return None,
        };
        self.pause_after(made, asked, fastrand::f64())
    }

    /// `jitter` from 0 to 1 makes it up to a quarter longer, so that callers who failed together do not return together.
    fn pause_after(&self, made: u32, asked: Option<Duration>, jitter: f64) -> Option<Duration> {
        let own = match self.backoff {
            Backoff::Constant => self.delay,
            Backoff::Linear => self.delay * made,
            Backoff::Exponential => self.delay * 2_u32.saturating_pow(made.saturating_sub(1)),
        };
        let own = own.min(LONGEST_PAUSE);
        let asked = asked.unwrap_or_default();
        // A caller who lets us wait so long does not expect to wait longer; with the answer they can do as they like.
        if asked > own.max(LONGEST_DELAY) {
            return None;
        }
        Some(own.max(asked).mul_f64(1.0 + jitter / 4.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(wish: Wish) -> Policy {
        Policy::of(&Options { retry: wish, ..Options::default() }, &GatewaySettings::default())
    }

    #[test]
    fn values_out_of_bounds_are_cut() {
        let wish =
            Wish { attempts: Some(99), delay_ms: Some(60_000), timeout_ms: Some(0), ..Wish::default() };
        let policy = policy(wish);
        assert_eq!((policy.attempts, policy.delay, policy.timeout), (5, LONGEST_DELAY, None));
    }

    #[test]
    fn a_header_comes_before_the_gateway() {
        let gateway = GatewaySettings {
            retry_max_attempts: Some(4),
            retry_delay: Some(10),
            retry_backoff: Some(Backoff::Linear),
            ..GatewaySettings::default()
        };
        let wish = Wish { attempts: Some(2), ..Wish::default() };
        let policy = Policy::of(&Options { retry: wish, ..Options::default() }, &gateway);
        assert_eq!((policy.attempts, policy.delay.as_millis(), policy.backoff), (2, 10, Backoff::Linear));
    }

    #[test]
    fn pauses_grow_as_asked_and_have_an_end() {
        for (backoff, expected) in [
            (Backoff::Constant, [4_000, 4_000, 4_000, 4_000]),
            (Backoff::Linear, [4_000, 8_000, 12_000, 16_000]),
            (Backoff::Exponential, [4_000, 8_000, 16_000, 30_000]),
        ] {
            let policy = policy(Wish { delay_ms: Some(4_000), backoff: Some(backoff), ..Wish::default() });
            let pauses: Vec<_> = (1..=4)
                .filter_map(|made| policy.pause_after(made, None, 0.0))
                .map(|p| p.as_millis())
                .collect();
            assert_eq!(pauses, expected, "{backoff:?}");
        }
    }

    #[test]
    fn the_provider_is_given_the_time_it_asks_for_up_to_the_callers_patience() {
        let policy = policy(Wish { delay_ms: Some(100), ..Wish::default() });
        let pause = |asked| policy.pause_after(1, Some(Duration::from_millis(asked)), 0.0);
        assert_eq!(pause(50), Some(Duration::from_millis(100)));
        assert_eq!(pause(5_000), Some(Duration::from_millis(5_000)));
        assert_eq!(pause(5_001), None);
        assert_eq!(policy.pause_after(1, None, 1.0), Some(Duration::from_millis(125)));
    }

    #[test]
    fn only_the_last_of_several_attempts_waits() {
        let longest = Duration::from_secs(600);
        let policy = |attempts, has_successor| Policy {
            has_successor,
            ..policy(Wish { attempts: Some(attempts), timeout_ms: Some(100), ..Wish::default() })
        };
        let short = Duration::from_millis(100);
        assert_eq!(policy(1, false).first_byte(1, longest), short);
        assert_eq!(policy(3, false).first_byte(2, longest), short);
        assert_eq!(policy(3, false).first_byte(3, longest), longest);
        assert_eq!(policy(3, true).first_byte(3, longest), short);
    }
}
