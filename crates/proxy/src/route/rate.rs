//! What rate nodes count: calls or nano-USD, per key and window. In memory, shared by all threads; never held across an
//! await.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use genesis_config::gateway::Technique;
use genesis_config::route::RateNode;

/// Keys counted at a time; past that, those whose windows are over make room.
const KEYS: usize = 100_000;

/// One count.
#[derive(Clone, Debug)]
pub(crate) struct RateKey {
    hash: u64,
    window_ms: u64,
    technique: Technique,
}

impl RateKey {
    /// `place`: gateway and route; `value`: what the request has under the node's key.
    pub(crate) fn new(place: &str, node: &str, value: &str, rate: &RateNode) -> Self {
        let mut hasher = DefaultHasher::new();
        (place, node, value, rate.window).hash(&mut hasher);
        Self {
            hash: hasher.finish(),
            window_ms: rate.window.saturating_mul(1_000),
            technique: rate.technique,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Rates {
    counts: Mutex<HashMap<u64, Count>>,
}

#[derive(Debug, Default)]
struct Count {
    /// Number of the window since the epoch.
    window: u64,
    window_ms: u64,
    current: i64,
    previous: i64,
}

impl Rates {
    /// Counts one call, unless `limit` calls are counted already.
    pub(crate) fn take(&self, key: &RateKey, limit: u64) -> bool {
        self.with(key, now_ms(), |count, now| {
            let within = count.used(key, now) < i64::try_from(limit).unwrap_or(i64::MAX);
            count.current += i64::from(within);
            within
        })
    }

    /// What was spent in the window, in nano-USD.
    pub(crate) fn spent(&self, key: &RateKey) -> i64 {
        self.with(key, now_ms(), |count, now| count.used(key, now))
    }

    pub(crate) fn spend(&self, key: &RateKey, nano_usd: i64) {
        self.with(key, now_ms(), |count, _| count.current = count.current.saturating_add(nano_usd.max(0)));
    }

    fn with<T>(&self, key: &RateKey, now: u64, change: impl FnOnce(&mut Count, u64) -> T) -> T {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= KEYS && !counts.contains_key(&key.hash) {
            counts.retain(|_, count| count.window + 1 >= now / count.window_ms);
            if counts.len() >= KEYS {
                counts.clear(); // someone makes up keys; counting anew is better than growing
            }
        }
        let count = counts.entry(key.hash).or_default();
        count.advance(now / key.window_ms, key.window_ms);
        change(count, now)
    }
}

impl Count {
    fn advance(&mut self, window: u64, window_ms: u64) {
        if self.window != window {
            self.previous = if self.window + 1 == window { self.current } else { 0 };
            self.current = 0;
            (self.window, self.window_ms) = (window, window_ms);
        }
    }

    /// Fixed windows are aligned to the clock; sliding ones take the previous one's share that still lies within.
    fn used(&self, key: &RateKey, now: u64) -> i64 {
        match key.technique {
            Technique::Fixed => self.current,
            Technique::Sliding => {
                let left = u128::from(key.window_ms - now % key.window_ms);
                let share =
                    u128::from(self.previous.unsigned_abs()) * left / u128::from(key.window_ms.max(1));
                self.current.saturating_add(i64::try_from(share).unwrap_or(i64::MAX))
            }
        }
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used_at(technique: Technique, now: u64, spent: &[(u64, i64)]) -> i64 {
        let (rates, key) = (Rates::default(), RateKey { hash: 1, window_ms: 1_000, technique });
        for (at, amount) in spent {
            rates.with(&key, *at, |count, _| count.current += amount);
        }
        rates.with(&key, now, |count, now| count.used(&key, now))
    }

    #[test]
    fn windows_end_at_once_or_slide_out() {
        let spent = [(9_100, 40), (9_900, 60), (10_100, 5)];
        assert_eq!(used_at(Technique::Fixed, 10_200, &spent), 5);
        assert_eq!(used_at(Technique::Sliding, 10_250, &spent), 5 + 75);
        assert_eq!(used_at(Technique::Sliding, 11_500, &spent), 2);
        assert_eq!(used_at(Technique::Sliding, 12_000, &spent), 0);
    }

    #[test]
    fn made_up_keys_do_not_grow_it_without_end() {
        let rates = Rates::default();
        for hash in 0..KEYS as u64 + 10 {
            rates.take(&RateKey { hash, window_ms: 3_600_000, technique: Technique::Fixed }, 1);
        }
        assert!(rates.counts.lock().expect("not poisoned").len() <= KEYS);
    }
}
