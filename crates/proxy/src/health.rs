//! How the targets of calls have fared of late: what is known to be down is left out where something else can take the
//! call, and equals are ordered by it. It never refuses a call that has nowhere else to go. `health/target` has what
//! others are told.
//!
//! One [`Health`] per provider address, shared by all threads, handed from snapshot to snapshot. All of it is atomic
//! counters that are read and written loosely: a lost update makes a guess a little worse and nothing else.

mod target;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use genesis_store::Fault;

pub(crate) use self::target::listed;
pub use self::target::{Down, TargetHealth};

use crate::failure::Failure;
use crate::upstream::Answer;

/// So many faults in a row and the target counts as down.
const FAULTS_IN_A_ROW: u32 = 5;
/// Or half of the calls of a window, if there were enough to tell.
const ENOUGH_CALLS: u64 = 10;
const WINDOW_MS: u64 = 10_000;
/// How long a target that is down is left alone before one call tries it; doubled with each failed try.
const FIRST_REST_MS: u64 = 1_000;
const LONGEST_REST_MS: u64 = 30_000;
/// A slow answer is forgotten over about this time.
const FORGET_MS: f64 = 10_000.0;

/// A retry costs a whole coin, a call earns a fifth: at most one retry for five calls in the long run, so that a provider
/// in trouble is not hit harder than one that is well.
const COIN: u32 = 5;
/// What is in the purse at most, and at the start.
const PURSE: u32 = 50 * COIN;

/// Faults of calls that got no answer, by the number they are kept under.
const FAULTS: [Fault; 5] = [Fault::Status, Fault::Connect, Fault::Timeout, Fault::Broken, Fault::NotHttp];

#[derive(Debug)]
pub(crate) struct Health {
    in_flight: AtomicU32,
    /// Peak-EWMA of the time to the first byte, in microseconds.
    latency_us: AtomicU64,
    latency_at_ms: AtomicU64,
    faults_in_a_row: AtomicU32,
    /// Start of the window in ms (upper 32 bits, in units of the window), calls and faults in it (16 bits each).
    window: AtomicU64,
    /// Until then it is left alone; 0: it is up.
    down_until_ms: AtomicU64,
    rest_ms: AtomicU64,
    purse: AtomicU32,
    calls: AtomicU64,
    faults: AtomicU64,
    /// Of the last fault: a status, or the number of a [`Fault`]; 0: there was none.
    last_fault: AtomicU16,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            latency_us: AtomicU64::new(0),
            latency_at_ms: AtomicU64::new(0),
            faults_in_a_row: AtomicU32::new(0),
            window: AtomicU64::new(0),
            down_until_ms: AtomicU64::new(0),
            rest_ms: AtomicU64::new(FIRST_REST_MS),
            purse: AtomicU32::new(PURSE),
            calls: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            last_fault: AtomicU16::new(0),
        }
    }
}

/// A call under way.
pub(crate) struct Watched<'h> {
    health: &'h Health,
    began: Instant,
}

impl Health {
    /// A call goes out. The first attempt of a call earns towards retries.
    pub(crate) fn begin(&self, first: bool) -> Watched<'_> {
        self.in_flight.fetch_add(1, Relaxed);
        let purse = self.purse.load(Relaxed);
        if first && purse < PURSE {
            self.purse.store(purse + 1, Relaxed);
        }
        Watched { health: self, began: Instant::now() }
    }

    /// Whether there is enough in the purse for one more attempt at this provider; takes it out.
    pub(crate) fn may_retry(&self) -> bool {
        self.purse.fetch_update(Relaxed, Relaxed, |coins| coins.checked_sub(COIN)).is_ok()
    }

    /// True if a call that could go elsewhere should. After each rest one caller is told otherwise: its call is the try.
    pub(crate) fn is_down(&self) -> bool {
        self.is_down_at(now_ms())
    }

    /// As [`Health::is_down`], without becoming the one that tries.
    pub(crate) fn looks_down(&self) -> bool {
        self.down_until_ms.load(Relaxed) != 0
    }

    /// What the next call is likely to cost, for ordering equals: latency times the queue. Unknown is cheapest.
    pub(crate) fn cost(&self) -> u64 {
        let age = now_ms().saturating_sub(self.latency_at_ms.load(Relaxed));
        let latency = self.latency_us.load(Relaxed) as f64 * (-(age as f64) / FORGET_MS).exp();
        (latency as u64 + 1).saturating_mul(u64::from(self.in_flight.load(Relaxed)) + 1)
    }

    fn is_down_at(&self, now: u64) -> bool {
        let until = self.down_until_ms.load(Relaxed);
        if until == 0 {
            return false;
        }
        if now < until {
            return true;
        }
        // Half open: whoever moves the end of the rest makes the try, the others go on avoiding it.
        let next = now + self.rest_ms.load(Relaxed);
        self.down_until_ms.compare_exchange(until, next, Relaxed, Relaxed).is_err()
    }

    fn succeeded(&self, now: u64, latency: Duration) {
        if self.faults_in_a_row.load(Relaxed) != 0 {
            self.faults_in_a_row.store(0, Relaxed);
        }
        if self.down_until_ms.load(Relaxed) != 0 {
            self.down_until_ms.store(0, Relaxed);
            self.rest_ms.store(FIRST_REST_MS, Relaxed);
            self.window.store(0, Relaxed);
        }
        self.count(now, 0);
        let sample = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let (known, at) = (self.latency_us.load(Relaxed), self.latency_at_ms.swap(now, Relaxed));
        // A peak counts at once, what is better only with time.
        let keep = (-(now.saturating_sub(at) as f64) / FORGET_MS).exp();
        let blended = known as f64 * keep + sample as f64 * (1.0 - keep);
        self.latency_us.store(sample.max(blended as u64), Relaxed);
    }

    fn failed(&self, now: u64) {
        self.faults.fetch_add(1, Relaxed);
        let row = self.faults_in_a_row.fetch_add(1, Relaxed) + 1;
        let (calls, faults) = self.count(now, 1);
        let was_down = self.down_until_ms.load(Relaxed) != 0;
        if was_down {
            let rest = (self.rest_ms.load(Relaxed) * 2).min(LONGEST_REST_MS);
            self.rest_ms.store(rest, Relaxed);
            self.down_until_ms.store(now + rest, Relaxed);
        } else if row >= FAULTS_IN_A_ROW || calls >= ENOUGH_CALLS && faults * 2 >= calls {
            self.down_until_ms.store(now + self.rest_ms.load(Relaxed), Relaxed);
        }
    }

    /// Counts into the window; what it holds now.
    fn count(&self, now: u64, fault: u64) -> (u64, u64) {
        let current = (now / WINDOW_MS + 1) & 0xffff_ffff;
        let add = |packed: u64| {
            let (calls, faults) =
                if packed >> 32 == current { (packed >> 16 & 0xffff, packed & 0xffff) } else { (0, 0) };
            // At the edge of 16 bits both are halved: their ratio is what counts.
            let (calls, faults) = if calls == 0xffff { (calls / 2, faults / 2) } else { (calls, faults) };
            current << 32 | (calls + 1) << 16 | (faults + fault)
        };
        let packed = add(self.window.load(Relaxed));
        self.window.store(packed, Relaxed);
        (packed >> 16 & 0xffff, packed & 0xffff)
    }
}

impl Watched<'_> {
    /// What came of it. Only what is the target's fault counts against it: not a bad request (4xx), and not a quota
    /// that is used up (429), which belongs to a key.
    pub(crate) fn ended(self, outcome: &Result<Answer, Failure>) {
        let health = self.health;
        health.calls.fetch_add(1, Relaxed);
        match outcome {
            Ok(answer) if answer.status.is_server_error() => {
                health.last_fault.store(answer.status.as_u16(), Relaxed);
                health.failed(now_ms());
            }
            Ok(_) => health.succeeded(now_ms(), self.began.elapsed()),
            Err(Failure { fault: Some(fault), .. }) => {
                let number = FAULTS.iter().position(|known| known == fault).unwrap_or(0);
                health.last_fault.store(u16::try_from(number).unwrap_or(0), Relaxed);
                health.failed(now_ms());
            }
            Err(_) => {}
        }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.health.in_flight.fetch_sub(1, Relaxed);
    }
}

/// Milliseconds on a clock that never goes back.
pub(crate) fn now_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::failure::Code;

    #[test]
    fn faults_in_a_row_take_it_out_and_one_call_tries_it_again() {
        let health = Health::default();
        for _ in 0..4 {
            health.failed(100);
        }
        assert!(!health.is_down_at(100));
        health.failed(100);
        assert!(health.is_down_at(1_099), "it rests");
        assert!(!health.is_down_at(1_100), "this caller tries it");
        assert!(health.is_down_at(1_101), "the others do not");
        health.failed(1_200);
        assert!(health.is_down_at(3_199), "the rest is twice as long");
        assert!(!health.is_down_at(3_200));
        health.succeeded(3_300, Duration::from_millis(5));
        assert!(!health.is_down_at(3_300));
    }

    #[test]
    fn half_of_the_calls_failing_takes_it_out_too() {
        let health = Health::default();
        for _ in 0..5 {
            health.succeeded(50, Duration::ZERO);
            health.failed(50);
        }
        assert!(health.is_down_at(60));
        let rarely = Health::default();
        for round in 0..40 {
            for _ in 0..3 {
                rarely.succeeded(round * 100, Duration::ZERO);
            }
            rarely.failed(round * 100);
        }
        assert!(!rarely.looks_down());
    }

    #[test]
    fn a_peak_counts_at_once_and_is_forgotten_with_time() {
        let health = Health::default();
        health.succeeded(0, Duration::from_millis(10));
        health.succeeded(1, Duration::from_millis(900));
        assert_eq!(health.latency_us.load(Relaxed), 900_000);
        health.succeeded(2, Duration::from_millis(10));
        assert!(health.latency_us.load(Relaxed) > 890_000);
        health.succeeded(60_000, Duration::from_millis(10));
        assert!(health.latency_us.load(Relaxed) < 20_000);
    }

    #[test]
    fn retries_run_out_and_are_earned_back() {
        let health = Health::default();
        assert_eq!((0..1_000).filter(|_| health.may_retry()).count(), 50);
        let refused = Err(Failure::refused(StatusCode::BAD_REQUEST, Code::NotFound, "", ""));
        for _ in 0..COIN {
            health.begin(true).ended(&refused);
        }
        health.begin(false).ended(&refused);
        assert!(health.may_retry());
        assert!(!health.may_retry());
        assert_eq!(health.in_flight.load(Relaxed), 0);
    }
}
