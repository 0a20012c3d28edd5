//! `/metrics`: what a scraper reads, and who may.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use genesis_admin::{Admin, CacheHeld, Declared, Down, ExportHeld, Target, Traffic};
use genesis_store::{LogRecord, Outcome, Permissions};
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::support::{Api, record, runtime, token};

/// Samples by name and labels as written, and the type of each family.
#[derive(Debug, Default)]
struct Scrape {
    samples: BTreeMap<String, f64>,
    kinds: BTreeMap<String, String>,
}

impl Scrape {
    fn of(api: &Api) -> Self {
        let answer = api.call("GET", "/metrics", None);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        Self::parse(&answer.text())
    }

    /// Panics at whatever the format does not allow: a sample outside its family, a family or a sample that comes
    /// twice, a label or a number that is none, a histogram that does not add up.
    fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'));
        let mut scrape = Self::default();
        let mut family = String::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, about) = help.split_once(' ').unwrap();
                assert!(!about.is_empty() && !scrape.kinds.contains_key(name), "{line}");
                name.clone_into(&mut family);
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert_eq!(name, family);
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                scrape.kinds.insert(name.to_owned(), kind.to_owned());
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let name = series.split('{').next().unwrap();
                let kind = scrape.kinds[&family].as_str();
                let ends: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                assert!(ends.iter().any(|end| name == format!("{family}{end}")), "{line}");
                assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
                labels(series);
                assert!(scrape.samples.insert(series.to_owned(), value.parse().unwrap()).is_none(), "{line}");
            }
        }
        scrape.check_histograms();
        scrape
    }

    fn check_histograms(&self) {
        for (name, kind) in &self.kinds {
            let counts =
                self.samples.iter().filter(|(series, _)| series.starts_with(&format!("{name}_count{{")));
            for (series, count) in counts.filter(|_| kind == "histogram") {
                let bare = series.trim_start_matches(&format!("{name}_count{{")).trim_end_matches('}');
                let start = format!("{name}_bucket{{{bare},le=\"");
                let mut buckets: Vec<(f64, f64)> = Vec::new();
                for (series, below) in self.samples.range(start.clone()..) {
                    let Some(bound) = series.strip_prefix(&start) else { break };
                    let bound = bound.strip_suffix("\"}").unwrap();
                    buckets.push((bound.replace("+Inf", "inf").parse().unwrap(), *below));
                }
                buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                assert!(
                    buckets.len() > 1 && buckets.is_sorted_by(|a, b| a.1 <= b.1),
                    "{series}: {buckets:?}"
                );
                assert_eq!(buckets.last().unwrap(), &(f64::INFINITY, *count), "{series}");
            }
        }
    }

    fn sum(&self, name: &str, part: &str) -> f64 {
        let fits = |series: &&String| series.split('{').next() == Some(name) && series.contains(part);
        self.samples.keys().filter(fits).map(|series| self.samples[series]).sum()
    }
}

/// `name="value"` pairs, each with its quotes and escapes in order.
fn labels(series: &str) -> Vec<(String, String)> {
    let Some((_, rest)) = series.split_once('{') else { return Vec::new() };
    let mut rest = rest.strip_suffix('}').unwrap();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (name, tail) = rest.split_once("=\"").unwrap();
        assert!(
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{series}"
        );
        let mut value = String::new();
        let mut chars = tail.char_indices();
        let end = loop {
            match chars.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next().unwrap().1 {
                    'n' => '\n',
                    quoted @ ('"' | '\\') => quoted,
                    other => panic!("\\{other} in {series}"),
                }),
                (_, other) => value.push(other),
            }
        };
        found.push((name.to_owned(), value));
        rest = &tail[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    found
}

#[test]
fn exchanges_are_added_up() {
    let api = Api::with_gateway();
    let first = LogRecord { first_byte_ms: Some(40), duration_ms: 1_234, ..record(1) };
    let hit = LogRecord { cached: true, duration_ms: 3, cost_nano_usd: Some(0), usage: None, ..record(2) };
    let failed = LogRecord {
        status: 503,
        outcome: Outcome::ProviderError,
        duration_ms: 400_000,
        usage: None,
        cost_nano_usd: None,
        ..record(3)
    };
    api.log([first, hit, failed]);
    let scrape = Scrape::of(&api);
    let ok = r#"{gateway="gw",provider="openai",status="2xx",cached="false"}"#;
    let sample = |name: &str| scrape.samples[&format!("{name}{ok}")];
    assert_eq!(sample("genesis_exchanges_total"), 1.0);
    assert_eq!(sample("genesis_errors_total"), 0.0);
    assert_eq!((sample("genesis_tokens_in_total"), sample("genesis_tokens_out_total")), (10.0, 5.0));
    assert_eq!(sample("genesis_cost_nano_usd_total"), 1_000_000.0);
    assert_eq!(sample("genesis_duration_seconds_sum"), 1.234);
    assert_eq!(sample("genesis_first_byte_seconds_count"), 1.0);
    assert_eq!(scrape.sum("genesis_exchanges_total", "cached=\"true\""), 1.0);
    assert_eq!(scrape.sum("genesis_errors_total", "status=\"5xx\""), 1.0);
    let long = scrape.sum("genesis_duration_seconds_bucket", "status=\"5xx\",cached=\"false\",le=\"300\"");
    assert_eq!(long, 0.0);
    assert_eq!(scrape.samples["genesis_log_written_total"], 3.0);
    assert_eq!(scrape.samples["genesis_log_pending"], 0.0);
    assert_eq!(scrape.samples["genesis_log_dropped_records_total"], 0.0);
    // Counters only rise, and the log's own deletions do not touch them.
    api.delete("/gateways/gw/logs");
    api.log([record(4)]);
    assert_eq!(Scrape::of(&api).sum("genesis_exchanges_total", ""), 4.0);
}

#[test]
fn what_callers_invent_makes_no_series() {
    let api = Api::new();
    let refused = |number: u32| LogRecord {
        gateway: format!("made-up-{number}"),
        provider: String::new(),
        status: 400,
        outcome: Outcome::Refused,
        ..record(number)
    };
    api.log((0..200).map(refused));
    api.log((0..200).map(|number| LogRecord {
        model: format!("model-{number}"),
        token_id: format!("token-{number}"),
        ..record(number + 200)
    }));
    let scrape = Scrape::of(&api);
    let named = |series: &&String| series.starts_with("genesis_exchanges_total{");
    assert_eq!(scrape.samples.keys().filter(named).count(), 2, "{:?}", scrape.samples);
    assert_eq!(scrape.sum("genesis_exchanges_total", r#"gateway="",provider="""#), 200.0);
    // A gateway that has served is known; what it refuses from then on is its own.
    api.log([LogRecord { gateway: "gw".to_owned(), provider: "openai".to_owned(), ..refused(500) }]);
    assert_eq!(
        Scrape::of(&api).sum("genesis_exchanges_total", r#"gateway="gw",provider="openai",status="4xx""#),
        1.0
    );
}

#[test]
fn labels_are_escaped() {
    let api = Api::new();
    api.log([LogRecord { gateway: "a\"b\\c\nd".to_owned(), ..record(1) }]);
    let scrape = Scrape::of(&api);
    let series = scrape.samples.keys().find(|series| series.starts_with("genesis_exchanges_total")).unwrap();
    assert_eq!(labels(series)[0], ("gateway".to_owned(), "a\"b\\c\nd".to_owned()));
}

#[test]
fn the_cache_is_asked_for_its_size() {
    let api = Api::new();
    assert!(!Scrape::of(&api).kinds.contains_key("genesis_cache_answers"));
    let held = CacheHeld { answers_in_memory: 2, bytes_in_memory: 300, answers_on_disk: 5 };
    api.admin.ask_cache(Box::new(move || Some(held)));
    let scrape = Scrape::of(&api);
    assert_eq!(scrape.samples["genesis_cache_answers{place=\"memory\"}"], 2.0);
    assert_eq!(scrape.samples["genesis_cache_answers{place=\"disk\"}"], 5.0);
    assert_eq!(scrape.samples["genesis_cache_memory_bytes"], 300.0);
}

#[test]
fn a_token_is_needed_where_others_can_reach() {
    let api = Api::new();
    let status = |admin: &Admin, headers: &[(&str, &str)]| {
        let mut request = Request::builder().uri("/metrics");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        admin.answer(&request.body(Bytes::new()).unwrap()).status().as_u16()
    };
    let bearer = |name: &str, permissions, gateways: &[&str]| {
        format!("Bearer {}", token(&api.store, name, permissions, gateways))
    };
    let read = Permissions { run: false, read: true, edit: false };
    let run = Permissions { run: true, read: false, edit: false };
    let (reader, scoped) = (bearer("reader", read, &[]), bearer("scoped", read, &["gw"]));
    let runner = bearer("runner", run, &[]);
    let local = ("host", "127.0.0.1:18789");
    assert_eq!(status(&api.admin, &[local]), 400);
    assert_eq!(status(&api.admin, &[local, ("authorization", &reader)]), 200);
    assert_eq!(status(&api.admin, &[local, ("authorization", &runner)]), 403);
    assert_eq!(status(&api.admin, &[local, ("authorization", &scoped)]), 403);

    let admin =
        Admin::new(api.store.clone(), Arc::clone(&api.journal), Declared::default()).on_loopback(true);
    assert_eq!(status(&admin, &[local]), 200);
    assert_eq!(status(&admin, &[("host", "rebound.example")]), 400);
    assert_eq!(status(&admin, &[local, ("origin", "https://elsewhere.example")]), 400);
    assert_eq!(status(&admin, &[("host", "rebound.example"), ("authorization", &reader)]), 200);
}

#[test]
fn exports_are_shown_in_metrics_and_health() {
    let api = Api::new();
    let before = api.call("GET", "/metrics", None).text();
    assert!(!before.contains("genesis_export"), "none, no series: {before}");
    api.admin.ask_exports(Box::new(|| {
        vec![
            ExportHeld { target: "logpush:a".into(), sent: 7, behind: 3, lost: 2, ..ExportHeld::default() },
            ExportHeld {
                target: "logpush:\"b\"".into(),
                failed_attempts: 4,
                last_error: Some("the receiver answered 500".into()),
                ..ExportHeld::default()
            },
        ]
    }));
    let scrape = Scrape::of(&api);
    assert_eq!(scrape.samples[r#"genesis_export_sent_total{target="logpush:a"}"#], 7.0);
    assert_eq!(scrape.samples[r#"genesis_export_behind{target="logpush:a"}"#], 3.0);
    assert_eq!(scrape.samples[r#"genesis_export_lost_total{target="logpush:a"}"#], 2.0);
    assert_eq!(scrape.samples[r#"genesis_export_failed_attempts_total{target="logpush:\"b\""}"#], 4.0);
    let ready: serde_json::Value = serde_json::from_str(&api.call("GET", "/readyz", None).text()).unwrap();
    assert_eq!((&ready["ready"], &ready["failing"][0]), (&true.into(), &"exports".into()));
    assert_eq!(ready["exports"][1]["lastError"], "the receiver answered 500");
    assert_eq!(ready["exports"][0]["behind"], 3);
}

fn traffic(addresses: &[&str]) -> Traffic {
    let target = |(number, address): (usize, &&str)| Target {
        provider: "openai".to_owned(),
        address: (*address).to_owned(),
        down: (number == 1).then(|| Down {
            why: "5 faults in a row, the last one: timeout".to_owned(),
            tried_again_in: Duration::from_millis(1_500),
        }),
        calls: 10,
        faults: 7,
        in_flight: 2,
        latency: Duration::from_micros(1_234_567),
    };
    let targets = addresses.iter().enumerate().map(target).collect();
    Traffic { connections: 5, calls: 4, streams: 3, targets }
}

#[test]
fn targets_and_what_is_open_are_told() {
    let api = Api::new();
    let odd = "https://b\"c\\d\ne";
    assert!(!Scrape::of(&api).kinds.contains_key("genesis_open_calls"));
    api.admin.ask_traffic(Box::new(move || Some(traffic(&["https://a:1", odd]))));
    let scrape = Scrape::of(&api);
    let of = |name: &str, address: &str| {
        let fits = |series: &&String| {
            series.starts_with(&format!("{name}{{"))
                && labels(series)
                    == [
                        ("provider".to_owned(), "openai".to_owned()),
                        ("address".to_owned(), address.to_owned()),
                    ]
        };
        scrape.samples[scrape.samples.keys().find(fits).unwrap_or_else(|| panic!("{name} {address}"))]
    };
    assert_eq!((of("genesis_target_up", "https://a:1"), of("genesis_target_up", odd)), (1.0, 0.0));
    assert_eq!(of("genesis_target_calls_total", odd), 10.0);
    assert_eq!(of("genesis_target_faults_total", odd), 7.0);
    assert_eq!(of("genesis_target_in_flight", odd), 2.0);
    assert_eq!(of("genesis_target_latency_seconds", odd), 1.234_567);
    let open =
        ["connections", "calls", "streams"].map(|what| scrape.samples[&format!("genesis_open_{what}")]);
    assert_eq!(open, [5.0, 4.0, 3.0]);
}

#[test]
fn readiness_lists_targets_for_whoever_may_see_them() {
    let ready = |admin: &Admin, headers: &[(&str, &str)]| {
        let mut request = Request::builder().uri("/readyz");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = admin.answer(&request.body(Bytes::new()).unwrap());
        assert_eq!(answer.status(), 200, "whatever is down");
        let bytes = runtime().block_on(answer.into_body().collect()).unwrap().to_bytes();
        serde_json::from_slice::<Value>(&bytes).unwrap()
    };
    let api = Api::new();
    let admin =
        Admin::new(api.store.clone(), Arc::clone(&api.journal), Declared::default()).on_loopback(true);
    let local = [("host", "127.0.0.1:18789")];
    assert!(ready(&admin, &local).get("targets").is_none(), "nobody to ask");
    for admin in [&admin, &*api.admin] {
        admin.ask_traffic(Box::new(|| Some(traffic(&["https://a:1", "https://b"]))));
    }
    let report = ready(&admin, &local);
    assert_eq!(report["open"], json!({ "connections": 5, "calls": 4, "streams": 3 }));
    let well = json!({ "provider": "openai", "address": "https://a:1", "up": true, "why": null,
        "triedAgainInMs": null, "calls": 10, "faults": 7, "inFlight": 2, "latencyMs": 1234 });
    let ill = &report["targets"][1];
    assert_eq!(report["targets"][0], well);
    assert_eq!((&ill["up"], &ill["triedAgainInMs"]), (&json!(false), &json!(1500)));
    assert_eq!(ill["why"], "5 faults in a row, the last one: timeout");
    // Where others can reach the listener, addresses and numbers are for holders of a token.
    for (admin, headers) in [(&*api.admin, local[0]), (&admin, ("origin", "https://elsewhere.example"))] {
        let report = ready(admin, &[headers]);
        assert!(report.get("targets").is_none() && report.get("open").is_none(), "{report}");
        assert_eq!(report["log"]["pending"], 0);
    }
    let bearer = format!("Bearer {}", api.token);
    assert_eq!(ready(&api.admin, &[("authorization", &bearer)])["targets"][0], well);
}
