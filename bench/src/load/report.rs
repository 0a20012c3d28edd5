//! What a load run found, as it is printed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;
use crate::process::Usage;

/// One run of `load`. Times are in microseconds, memory in KiB.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Length of the measured window, warm-up excluded.
    pub seconds: f64,
    /// Connections that asked.
    pub connections: usize,
    /// Answers completed in the window.
    pub requests: u64,
    /// Answers that were wrong, cut or missing, warm-up included.
    pub errors: u64,
    /// The first of them.
    pub first_error: Option<String>,
    /// Answers per second.
    pub requests_per_second: f64,
    /// From sending (constant rate: from the scheduled instant) to the last byte.
    pub latency: Quantiles,
    /// From sending to the first byte of the body. Streams only.
    pub first_byte: Option<Quantiles>,
    /// Stamped events received in the window.
    pub events: u64,
    /// Events per second.
    pub events_per_second: f64,
    /// From the mock's stamp to the arrival of the event. Streams only.
    pub transit: Option<Quantiles>,
    /// What the target used, if its process id was given.
    pub target: Option<Cost>,
}

/// A distribution in microseconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Quantiles {
    /// Values.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Half are at most this.
    pub p50: f64,
    /// Nine in ten are at most this.
    pub p90: f64,
    /// 99 in a hundred are at most this.
    pub p99: f64,
    /// 999 in a thousand are at most this.
    pub p999: f64,
    /// The largest.
    pub max: f64,
}

/// What the target's process tree used in the window.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Cost {
    /// User and system time.
    pub cpu_us: f64,
    /// Per answer.
    pub cpu_us_per_request: f64,
    /// Per stamped event.
    pub cpu_us_per_event: f64,
    /// Resident memory when the window opened.
    pub rss_before_kib: u64,
    /// When it closed.
    pub rss_after_kib: u64,
    /// The most that was seen in between (sampled every 100 ms).
    pub rss_max_kib: u64,
}

impl Quantiles {
    /// Summarises a histogram of nanoseconds.
    #[must_use]
    pub fn of(histogram: &Histogram) -> Quantiles {
        let at = |fraction| histogram.quantile(fraction) as f64 / 1e3;
        Quantiles {
            count: histogram.count(),
            mean: histogram.mean() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1e3,
        }
    }
}

impl Cost {
    /// The difference between two looks at the target.
    #[must_use]
    pub fn between(before: Usage, after: Usage, rss_max_kib: u64, requests: u64, events: u64) -> Cost {
        let cpu_us = micros(after.cpu.saturating_sub(before.cpu));
        let per = |count: u64| if count == 0 { 0.0 } else { cpu_us / count as f64 };
        Cost {
            cpu_us,
            cpu_us_per_request: per(requests),
            cpu_us_per_event: per(events),
            rss_before_kib: before.rss_kib,
            rss_after_kib: after.rss_kib,
            rss_max_kib: rss_max_kib.max(before.rss_kib).max(after.rss_kib),
        }
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
