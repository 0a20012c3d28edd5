//! What a collector is told, and what becomes of it when the collector does not listen.

use std::collections::VecDeque;
use std::io::Read as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use flate2::read::GzDecoder;
use genesis_config::{GatewaySettings, Secret};
use genesis_export::otel::collector::Origin;
use genesis_export::{Answer, Call, Collector, Export, Exports, OpenTelemetry, Post, PostMaker, Unreachable};
use http::StatusCode;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message as _;
use serde_json::json;

use crate::support::{Log, PATIENCE, quick, record, status, wait_until};

/// Takes everything, except where it was told what to answer.
#[derive(Clone, Default)]
struct Backend {
    calls: Arc<Mutex<Vec<Call>>>,
    answers: Arc<Mutex<VecDeque<Reaction>>>,
}

/// Status (0: nobody answers), body, `retry-after`.
type Reaction = (u16, &'static str, Option<Duration>);

struct Client(Backend);

impl Post for Client {
    fn call(&mut self, call: &Call) -> Result<Answer, Unreachable> {
        self.0.calls.lock().unwrap().push(call.clone());
        // Metrics are always welcome here.
        let answer =
            if call.url.ends_with("/v1/traces") { self.0.answers.lock().unwrap().pop_front() } else { None };
        let (status, body, retry_after) = answer.unwrap_or((200, "{}", None));
        if status == 0 {
            return Err(Unreachable("nobody is there".into()));
        }
        Ok(Answer { status: StatusCode::from_u16(status).unwrap(), body: Bytes::from(body), retry_after })
    }
}

impl Backend {
    fn maker(&self) -> PostMaker {
        let backend = self.clone();
        Arc::new(move || Ok(Box::new(Client(backend.clone()))))
    }

    fn will_say(&self, answers: impl IntoIterator<Item = (u16, &'static str)>) {
        let answers = answers.into_iter().map(|(status, body)| (status, body, None));
        self.answers.lock().unwrap().extend(answers);
    }

    fn calls(&self, path: &str) -> Vec<Call> {
        self.calls.lock().unwrap().iter().filter(|call| call.url.ends_with(path)).cloned().collect()
    }

    /// Numbers of the records whose spans came, call by call.
    fn told(&self) -> Vec<Vec<u64>> {
        let number = |span_id: &[u8]| u64::from_be_bytes(span_id.try_into().unwrap()) & 0xFFFF_FFFF;
        let numbers = |call: &Call| {
            let request = traces(call);
            let spans = &request.resource_spans[0].scope_spans[0].spans;
            spans.iter().map(|span| number(&span.span_id)).collect()
        };
        self.calls("/v1/traces").iter().map(numbers).collect()
    }
}

fn header<'a>(call: &'a Call, name: &str) -> &'a str {
    call.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

fn unzipped(call: &Call) -> Vec<u8> {
    assert_eq!(header(call, "content-encoding"), "gzip");
    let mut body = Vec::new();
    GzDecoder::new(&call.body[..]).read_to_end(&mut body).unwrap();
    body
}

fn traces(call: &Call) -> ExportTraceServiceRequest {
    match header(call, "content-type") {
        "application/json" => serde_json::from_slice(&unzipped(call)).unwrap(),
        "application/x-protobuf" => ExportTraceServiceRequest::decode(&unzipped(call)[..]).unwrap(),
        other => panic!("{other}"),
    }
}

/// A gateway `main` whose collector is a [`Backend`].
struct Stage {
    log: Log,
    backend: Backend,
    telemetry: OpenTelemetry,
    exports: Exports,
}

const JSON: &str = r#"{ "url": "https://c.test/v1/traces" }"#;

impl Stage {
    fn new(exporters: &str) -> Self {
        let (log, backend) = (Log::new(), Backend::default());
        let telemetry = OpenTelemetry::new(&log.journal, backend.maker(), "here");
        let exports = log.exports_over(backend.maker());
        let stage = Self { log, backend, telemetry, exports };
        stage.apply(exporters);
        stage
    }

    fn apply(&self, exporters: &str) {
        let exports = self.telemetry.apply(collectors(exporters));
        // Without the pauses, which are for receivers with a life of their own.
        let quick = exports.into_iter().map(|export| Export { behaviour: quick(10), ..export });
        assert!(self.exports.apply(quick.collect()).is_empty());
    }

    fn name(&self) -> String {
        self.exports.status()[0].target.clone()
    }
}

fn collectors(exporters: &str) -> Vec<Collector> {
    let settings =
        json!({ "otel": serde_json::from_str::<serde_json::Value>(&format!("[{exporters}]")).unwrap() });
    let mut settings: GatewaySettings = serde_json::from_value(settings).unwrap();
    settings.id = "main".to_owned();
    let substitute = |text: &str| match text {
        text if text.contains("${MISSING}") => Err("MISSING is not set".to_owned()),
        text => Ok(Secret::from(text.replace("${TOKEN}", "secret-of-the-collector"))),
    };
    Collector::of(&settings, Origin { trusted: true, substitute: Some(&substitute) })
}

#[test]
fn every_exchange_is_told_in_the_encoding_that_was_asked_for() {
    let json = r#"{ "url": "https://c.test/v1/traces", "headers": { "x-key": "${TOKEN}" }, "authorization": "Bearer a" }"#;
    let protobuf = r#"{ "url": "https://d.test", "content_type": "protobuf" }"#;
    let stage = Stage::new(&format!("{json}, {protobuf}"));
    stage.log.push(0..3);
    wait_until(|| stage.exports.status().iter().all(|status| status.sent == 3));
    let calls = stage.backend.calls("/v1/traces");
    let to = |host: &str| calls.iter().filter(|call| call.url.contains(host)).collect::<Vec<_>>();
    assert_eq!(to("c.test")[0].url, "https://c.test/v1/traces");
    assert_eq!(to("d.test")[0].url, "https://d.test/v1/traces");
    let (first, second) = (to("c.test")[0], to("d.test")[0]);
    assert_eq!(header(first, "content-type"), "application/json");
    assert_eq!(header(second, "content-type"), "application/x-protobuf");
    assert_eq!(
        (header(first, "x-key"), header(first, "authorization")),
        ("secret-of-the-collector", "Bearer a")
    );
    assert_eq!((header(second, "x-key"), header(second, "authorization")), ("", ""));
    assert!(header(first, "user-agent").starts_with("genesis/"));
    assert!(first.trusted && !format!("{first:?}").contains("secret-of-the-collector"));
    for host in ["c.test", "d.test"] {
        let requests: Vec<_> = to(host).into_iter().map(traces).collect();
        let resource = requests[0].resource_spans[0].resource.as_ref().unwrap();
        let attributes: Vec<_> = resource.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
        assert_eq!(attributes, ["service.name", "service.version", "service.instance.id"]);
        let spans = requests.iter().flat_map(|request| &request.resource_spans[0].scope_spans[0].spans);
        let ids: Vec<_> = spans.map(|span| span.trace_id.clone()).collect();
        assert_eq!(ids, [0, 1, 2].map(|number| record(number).id.as_bytes().to_vec()), "{host}");
    }
}

#[test]
fn what_may_pass_is_sent_again_as_it_was() {
    let stage = Stage::new(JSON);
    stage.backend.will_say([(0, ""), (503, ""), (429, ""), (502, ""), (504, ""), (401, ""), (404, "")]);
    stage.log.push(0..4);
    wait_until(|| status(&stage.exports, &stage.name()).sent == 4);
    let calls = stage.backend.calls("/v1/traces");
    assert_eq!(calls.len(), 8, "{:?}", stage.backend.told());
    assert!(calls.iter().all(|call| call.body == calls[0].body), "the same spans, ids and all");
    let status = status(&stage.exports, &stage.name());
    assert_eq!((status.failed_attempts, status.refused, status.last_error), (7, 0, None));
}

#[test]
fn a_collector_says_how_long_it_wants_to_be_left_alone() {
    let stage = Stage::new(JSON);
    stage.backend.answers.lock().unwrap().push_back((429, "", Some(Duration::from_millis(300))));
    let began = std::time::Instant::now();
    stage.log.push(0..1);
    wait_until(|| status(&stage.exports, &stage.name()).sent == 1);
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
}

#[test]
fn what_would_be_refused_for_ever_is_counted_and_the_next_come() {
    let stage = Stage::new(JSON);
    stage.backend.will_say([(400, r#"{"message":"bad data"}"#)]);
    stage.log.push(0..2);
    wait_until(|| status(&stage.exports, &stage.name()).refused == 2);
    stage.log.push(2..3);
    wait_until(|| status(&stage.exports, &stage.name()).sent == 1);
    assert_eq!(stage.backend.told(), [vec![0, 1], vec![2]]);
    // Part of it: that was the collector's last word, too.
    stage.backend.will_say([(200, r#"{"partialSuccess":{"rejectedSpans":"1","errorMessage":"too old"}}"#)]);
    stage.log.push(3..5);
    wait_until(|| status(&stage.exports, &stage.name()).sent == 3);
    assert_eq!(stage.backend.told().last(), Some(&vec![3, 4]));
    assert_eq!(status(&stage.exports, &stage.name()).failed_attempts, 0);
}

#[test]
fn what_is_too_large_is_halved() {
    let stage = Stage::new(JSON);
    stage.backend.will_say([(413, "")]);
    stage.log.push(0..4);
    wait_until(|| status(&stage.exports, &stage.name()).sent == 4);
    assert_eq!(stage.backend.told(), [vec![0, 1, 2, 3], vec![0, 1], vec![2, 3]]);
}

#[test]
fn without_its_key_everything_waits_and_then_comes() {
    let stage = Stage::new(r#"{ "url": "https://c.test/v1/traces", "authorization": "${MISSING}" }"#);
    stage.log.push(0..2);
    wait_until(|| status(&stage.exports, &stage.name()).last_error.is_some());
    let told = status(&stage.exports, &stage.name()).last_error;
    assert_eq!(told.as_deref(), Some("MISSING is not set"));
    assert!(stage.backend.calls("").is_empty(), "nobody is called without it");
    stage.apply(r#"{ "url": "https://c.test/v1/traces", "authorization": "${TOKEN}" }"#);
    wait_until(|| status(&stage.exports, &stage.name()).sent == 2);
    assert_eq!(stage.backend.told(), [vec![0, 1]]);
}

/// What the last push says of `gen_ai.client.operation.duration`: gateway and count of each point.
fn durations(call: &Call) -> Vec<(String, u64)> {
    let request: ExportMetricsServiceRequest = serde_json::from_slice(&unzipped(call)).unwrap();
    let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
    let metric = metrics.iter().find(|metric| metric.name == "gen_ai.client.operation.duration").unwrap();
    let Some(Data::Histogram(histogram)) = &metric.data else { panic!("{metric:?}") };
    let points = histogram.data_points.iter().map(|point| {
        let found = point.attributes.iter().find(|attribute| attribute.key == "genesis.gateway").unwrap();
        match found.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Value::StringValue(gateway)) => (gateway.clone(), point.count),
            other => panic!("{other:?}"),
        }
    });
    points.collect()
}

#[test]
fn metrics_are_sums_since_the_beginning_and_told_when_there_is_something_new() {
    let stage = Stage::new(JSON);
    stage.log.push(0..3);
    stage.log.push([1_000_000]); // of a gateway that exports nothing
    wait_until(|| !stage.backend.calls("/v1/metrics").is_empty());
    let first = stage.backend.calls("/v1/metrics").remove(0);
    assert_eq!(first.url, "https://c.test/v1/metrics");
    assert_eq!(durations(&first), [("main".to_owned(), 3)]);
    stage.log.push(3..5);
    assert!(stage.telemetry.stop(PATIENCE), "the end does not wait for the next turn");
    let calls = stage.backend.calls("/v1/metrics");
    assert_eq!(calls.len(), 2, "nothing new, nothing said");
    assert_eq!(durations(&calls[1]), [("main".to_owned(), 5)]);
}

#[test]
fn an_address_for_traces_alone_gets_no_metrics() {
    let stage = Stage::new(r#"{ "url": "https://c.test/ingest" }"#);
    stage.log.push(0..1);
    wait_until(|| status(&stage.exports, &stage.name()).sent == 1);
    assert!(stage.telemetry.stop(PATIENCE));
    let urls: Vec<_> = stage.backend.calls("").into_iter().map(|call| call.url).collect();
    assert_eq!(urls, ["https://c.test/ingest"]);
}

#[test]
fn names_tell_collectors_apart_and_hold_no_secret() {
    let exporters = r#"{ "url": "https://user:pass@c.test/key-in-path?key=in-query" }"#;
    let twice = format!("{exporters}, {exporters}, {JSON}");
    let stage = Stage::new(&twice);
    let names: Vec<_> = stage.exports.status().into_iter().map(|status| status.target).collect();
    assert_eq!(names.len(), 3);
    assert!(names.iter().all(|name| name.starts_with("otel main c.test ")), "{names:?}");
    let shown = format!("{names:?} {:?}", collectors(&twice));
    for secret in ["pass", "key-in-path", "in-query"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
