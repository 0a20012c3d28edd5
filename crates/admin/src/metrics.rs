//! `/metrics`: counters for Prometheus, in its text format 0.0.4.
//!
//! Fed by the log's writer, so the request path pays nothing; they begin at zero with the process. Labels are bounded:
//! what a caller can invent (models, tokens, ids of gateways that do not exist) is none.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use genesis_store::{Figures, JournalStats, Outcome};
use http::{Request, Response, StatusCode};

use crate::Admin;
use crate::envelope::{Body, Refusal, raw};

/// How much the cache holds; `None` once the gateway is gone.
pub type CacheGauge = Box<dyn Fn() -> Option<CacheHeld> + Send + Sync>;

/// See [`CacheGauge`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CacheHeld {
    pub answers_in_memory: u64,
    pub bytes_in_memory: u64,
    pub answers_on_disk: u64,
}

/// How exports of the log are doing.
pub type ExportGauge = Box<dyn Fn() -> Vec<ExportHeld> + Send + Sync>;

/// One of them; all but `behind` and `lost` since the process began.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ExportHeld {
    pub target: String,
    /// Records that arrived.
    pub sent: u64,
    /// Records the receiver will never take.
    pub refused: u64,
    /// Records that are damaged in the log.
    pub unreadable: u64,
    /// Records deleted from the log before they could be sent.
    pub lost: u64,
    /// Records yet to be sent.
    pub behind: u64,
    pub failed_attempts: u64,
    /// Why the last attempt failed; `None` once one succeeds.
    pub last_error: Option<String>,
}

/// What is added up since the process began.
#[derive(Default)]
pub(crate) struct Metrics {
    /// By gateway, then provider.
    sums: Mutex<HashMap<String, HashMap<String, Series>>>,
}

/// By class of status and whether the answer came from the cache.
type Series = [[Option<Box<Sums>>; 2]; CLASSES.len()];

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Upper bounds of the histograms, in milliseconds, and as they are written, in seconds.
const BOUNDS: [(u32, &str); 14] = [
    (5, "0.005"),
    (10, "0.01"),
    (25, "0.025"),
    (50, "0.05"),
    (100, "0.1"),
    (250, "0.25"),
    (500, "0.5"),
    (1_000, "1"),
    (2_500, "2.5"),
    (5_000, "5"),
    (10_000, "10"),
    (30_000, "30"),
    (60_000, "60"),
    (300_000, "300"),
];

#[derive(Clone, Default)]
struct Sums {
    exchanges: u64,
    errors: u64,
    tokens_in: u64,
    tokens_out: u64,
    cost_nano_usd: u64,
    duration: Histogram,
    first_byte: Histogram,
}

/// Name, description, value.
type Counter = (&'static str, &'static str, fn(&Sums) -> u64);
type Distribution = (&'static str, &'static str, fn(&Sums) -> &Histogram);

#[derive(Clone, Default)]
struct Histogram {
    /// By bound, those below it not counted again.
    counts: [u64; BOUNDS.len()],
    all: u64,
    sum_ms: u64,
}

/// Answers a scrape.
pub(crate) fn answer(admin: &Admin, request: &Request<Bytes>) -> Result<Response<Body>, Refusal> {
    admin.may_watch(request.headers())?;
    let mut text = admin.metrics.text();
    write_log(&mut text, &admin.journal.stats());
    if let Some(held) = admin.cache.get().and_then(|gauge| gauge()) {
        write_cache(&mut text, held);
    }
    write_exports(&mut text, &admin.exports_held());
    if let Some(traffic) = admin.traffic() {
        traffic.write(&mut text);
    }
    Ok(raw(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text))
}

impl Metrics {
    pub(crate) fn add(&self, figures: &Figures<'_>) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        // A refused call may name a gateway that does not exist, and every name would stay for ever.
        let known = figures.outcome != Outcome::Refused || sums.contains_key(figures.gateway);
        let gateway = if known { figures.gateway } else { "" };
        let providers = of(&mut sums, gateway);
        let series = of(providers, figures.provider);
        let class = usize::from(figures.status / 100).clamp(1, CLASSES.len()) - 1;
        series[class][usize::from(figures.cached)].get_or_insert_default().add(figures);
    }

    fn text(&self) -> String {
        let lines = self.lines();
        let mut text = String::new();
        let counters: [Counter; 5] = [
            ("genesis_exchanges_total", "Client requests that came to their end.", |sums| sums.exchanges),
            ("genesis_errors_total", "Those that did not succeed.", |sums| sums.errors),
            ("genesis_tokens_in_total", "Input tokens, as providers count them.", |sums| sums.tokens_in),
            ("genesis_tokens_out_total", "Output tokens, as providers count them.", |sums| sums.tokens_out),
            ("genesis_cost_nano_usd_total", "Cost in billionths of a US dollar.", |sums| sums.cost_nano_usd),
        ];
        for (name, about, value) in counters {
            head(&mut text, name, "counter", about);
            for (labels, sums) in &lines {
                line(&mut text, format_args!("{name}{{{labels}}} {}", value(sums)));
            }
        }
        let histograms: [Distribution; 2] = [
            ("genesis_duration_seconds", "Until the last byte was handed to the client.", |sums| {
                &sums.duration
            }),
            ("genesis_first_byte_seconds", "Until the first byte of the provider's answer.", |sums| {
                &sums.first_byte
            }),
        ];
        for (name, about, histogram) in histograms {
            head(&mut text, name, "histogram", about);
            lines.iter().for_each(|(labels, sums)| histogram(sums).write(&mut text, name, labels));
        }
        text
    }

    /// Labels and sums, in order.
    fn lines(&self) -> Vec<(String, Sums)> {
        let mut lines = Vec::new();
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        for (gateway, providers) in &*sums {
            for (provider, series) in providers {
                for (class, by_cached) in CLASSES.iter().zip(series) {
                    for (cached, sums) in ["false", "true"].iter().zip(by_cached) {
                        let Some(sums) = sums else { continue };
                        let (gateway, provider) = (escaped(gateway), escaped(provider));
                        let labels = format!(
                            r#"gateway="{gateway}",provider="{provider}",status="{class}",cached="{cached}""#
                        );
                        lines.push((labels, Sums::clone(sums)));
                    }
                }
            }
        }
        drop(sums);
        lines.sort_by(|(a, _), (b, _)| a.cmp(b));
        lines
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Sums {
    fn add(&mut self, figures: &Figures<'_>) {
        self.exchanges += 1;
        self.errors += u64::from(figures.outcome != Outcome::Success);
        self.tokens_in = self.tokens_in.saturating_add(figures.usage.tokens_in());
        self.tokens_out = self.tokens_out.saturating_add(figures.usage.tokens_out());
        // Counters never fall.
        let cost = u64::try_from(figures.cost_nano_usd).unwrap_or(0);
        self.cost_nano_usd = self.cost_nano_usd.saturating_add(cost);
        self.duration.add(figures.duration_ms);
        figures.first_byte_ms.into_iter().for_each(|ms| self.first_byte.add(ms));
    }
}

impl Histogram {
    fn add(&mut self, ms: u32) {
        if let Some(at) = BOUNDS.iter().position(|(bound, _)| ms <= *bound) {
            self.counts[at] += 1;
        }
        self.all += 1;
        self.sum_ms += u64::from(ms);
    }

    fn write(&self, text: &mut String, name: &str, labels: &str) {
        let mut below = 0;
        for ((_, bound), count) in BOUNDS.iter().zip(self.counts) {
            below += count;
            line(text, format_args!("{name}_bucket{{{labels},le=\"{bound}\"}} {below}"));
        }
        line(text, format_args!("{name}_bucket{{{labels},le=\"+Inf\"}} {}", self.all));
        let (seconds, rest) = (self.sum_ms / 1000, self.sum_ms % 1000);
        line(text, format_args!("{name}_sum{{{labels}}} {seconds}.{rest:03}"));
        line(text, format_args!("{name}_count{{{labels}}} {}", self.all));
    }
}

fn write_log(text: &mut String, stats: &JournalStats) {
    for (name, kind, about, value) in [
        ("genesis_log_written_total", "counter", "Log records that are durable.", stats.written),
        ("genesis_log_pending", "gauge", "Log records waiting to be written.", stats.pending),
        (
            "genesis_log_dropped_records_total",
            "counter",
            "Log records that were lost.",
            stats.dropped_records,
        ),
        (
            "genesis_log_dropped_bodies_total",
            "counter",
            "Bodies given up by the log.",
            stats.dropped_payloads,
        ),
        ("genesis_log_failed_commits_total", "counter", "Failed writes of the log.", stats.failed_commits),
    ] {
        head(text, name, kind, about);
        line(text, format_args!("{name} {value}"));
    }
}

fn write_cache(text: &mut String, held: CacheHeld) {
    head(text, "genesis_cache_answers", "gauge", "Answers the cache holds.");
    line(text, format_args!("genesis_cache_answers{{place=\"memory\"}} {}", held.answers_in_memory));
    line(text, format_args!("genesis_cache_answers{{place=\"disk\"}} {}", held.answers_on_disk));
    head(text, "genesis_cache_memory_bytes", "gauge", "Bytes of the answers in memory.");
    line(text, format_args!("genesis_cache_memory_bytes {}", held.bytes_in_memory));
}

fn write_exports(text: &mut String, exports: &[ExportHeld]) {
    type Number = (&'static str, &'static str, &'static str, fn(&ExportHeld) -> u64);
    const NUMBERS: [Number; 6] = [
        ("genesis_export_sent_total", "counter", "Log records that arrived.", |export| export.sent),
        ("genesis_export_behind", "gauge", "Log records yet to be sent.", |export| export.behind),
        ("genesis_export_failed_attempts_total", "counter", "Attempts to send that failed.", |export| {
            export.failed_attempts
        }),
        (
            "genesis_export_lost_total",
            "counter",
            "Log records deleted before they could be sent.",
            |export| export.lost,
        ),
        ("genesis_export_refused_total", "counter", "Log records the receiver will never take.", |export| {
            export.refused
        }),
        (
            "genesis_export_unreadable_total",
            "counter",
            "Log records that are damaged and cannot be sent.",
            |export| export.unreadable,
        ),
    ];
    for (name, kind, about, value) in NUMBERS.iter().filter(|_| !exports.is_empty()) {
        head(text, name, kind, about);
        for export in exports {
            let target = escaped(&export.target);
            line(text, format_args!("{name}{{target=\"{target}\"}} {}", value(export)));
        }
    }
}

pub(crate) fn head(text: &mut String, name: &str, kind: &str, about: &str) {
    line(text, format_args!("# HELP {name} {about}\n# TYPE {name} {kind}"));
}

pub(crate) fn line(text: &mut String, line: fmt::Arguments<'_>) {
    let _ = writeln!(text, "{line}"); // writing to a string cannot fail
}

/// The value under `key`, which is copied only the first time.
fn of<'a, V: Default>(map: &'a mut HashMap<String, V>, key: &str) -> &'a mut V {
    if !map.contains_key(key) {
        map.insert(key.to_owned(), V::default());
    }
    map.get_mut(key).expect("it was put there a line ago")
}

pub(crate) fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
