//! What is written here, read with the official messages in both encodings.

use genesis_config::gateway::OtelEncoding::{Json, Protobuf};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as TheirValue;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, metric, number_data_point};
use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};
use proptest::prelude::*;
use prost::Message as _;

use super::*;

fn resource() -> Resource {
    Resource(vec![Attribute::new("service.name", "genesis")])
}

/// The same in either encoding.
fn traces(spans: &[Span]) -> ExportTraceServiceRequest {
    let resource = resource();
    let message = Traces { resource: &resource, spans };
    let binary = ExportTraceServiceRequest::decode(&encode(&message, Protobuf)[..]).expect("protobuf");
    let json = encode(&message, Json);
    let json: ExportTraceServiceRequest = serde_json::from_slice(&json)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&json)));
    assert_eq!(json, binary);
    binary
}

fn metrics(metrics: &[Metric]) -> ExportMetricsServiceRequest {
    let resource = resource();
    let message = Metrics { resource: &resource, metrics };
    let binary = ExportMetricsServiceRequest::decode(&encode(&message, Protobuf)[..]).expect("protobuf");
    let json: ExportMetricsServiceRequest = serde_json::from_slice(&encode(&message, Json)).expect("JSON");
    assert_eq!(json, binary);
    binary
}

fn value(attribute: &KeyValue) -> (&str, TheirValue) {
    let value = attribute.value.clone().and_then(|value| value.value);
    (&attribute.key, value.expect("a value, even if it is zero"))
}

fn span() -> Span {
    Span {
        trace_id: [7; 16],
        span_id: [1, 2, 3, 4, 5, 6, 7, 8],
        parent: Some(Parent { span_id: [9; 8], remote: true }),
        name: "chat \"m\"\n".to_owned(),
        kind: Kind::Server,
        start_ns: u64::MAX - 1,
        end_ns: u64::MAX,
        attributes: vec![
            Attribute::new("text", "grüß\u{0}"),
            Attribute::new("empty", ""),
            Attribute::new("flag", false),
            Attribute::new("whole", i64::MIN),
            Attribute::new("zero", 0_i64),
            Attribute::new("part", 0.1),
        ],
        events: vec![Event { at_ns: 5, name: "left", attributes: vec![Attribute::new("why", "down")] }],
        status: Status::Error("no".to_owned()),
    }
}

#[test]
fn a_span_field_by_field() {
    let mut request =
        traces(&[span(), Span { parent: None, kind: Kind::Client, status: Status::Unset, ..span() }]);
    let of_resource = request.resource_spans.remove(0);
    assert!(request.resource_spans.is_empty());
    assert_eq!(of_resource.schema_url, "https://opentelemetry.io/schemas/1.41.0");
    let resource = of_resource.resource.expect("resource");
    assert_eq!(value(&resource.attributes[0]), ("service.name", TheirValue::StringValue("genesis".into())));
    let of_scope = &of_resource.scope_spans[0];
    let scope = of_scope.scope.as_ref().expect("scope");
    assert_eq!((scope.name.as_str(), scope.version.as_str()), ("genesis.gateway", env!("CARGO_PKG_VERSION")));
    let [first, second] = &of_scope.spans[..] else { panic!("{of_scope:?}") };
    assert_eq!((&first.trace_id[..], &first.span_id[..]), (&[7; 16][..], &[1, 2, 3, 4, 5, 6, 7, 8][..]));
    assert_eq!((&first.parent_span_id[..], first.flags), (&[9; 8][..], 0x300));
    assert_eq!((first.name.as_str(), first.kind()), ("chat \"m\"\n", SpanKind::Server));
    assert_eq!((first.start_time_unix_nano, first.end_time_unix_nano), (u64::MAX - 1, u64::MAX));
    let expected = [
        ("text", TheirValue::StringValue("grüß\u{0}".into())),
        ("empty", TheirValue::StringValue(String::new())),
        ("flag", TheirValue::BoolValue(false)),
        ("whole", TheirValue::IntValue(i64::MIN)),
        ("zero", TheirValue::IntValue(0)),
        ("part", TheirValue::DoubleValue(0.1)),
    ];
    assert_eq!(first.attributes.iter().map(value).collect::<Vec<_>>(), expected);
    let event = &first.events[0];
    assert_eq!((event.time_unix_nano, event.name.as_str(), event.attributes.len()), (5, "left", 1));
    let status = first.status.as_ref().expect("status");
    assert_eq!((status.code(), status.message.as_str()), (StatusCode::Error, "no"));
    assert!(second.parent_span_id.is_empty() && second.flags == 0);
    assert_eq!(second.kind(), SpanKind::Client);
    assert_eq!(second.status.as_ref().map_or(StatusCode::Unset, |status| status.code()), StatusCode::Unset);
}

#[test]
fn metrics_field_by_field() {
    let attributes = vec![Attribute::new("gen_ai.operation.name", "chat")];
    let point = HistogramPoint {
        attributes: attributes.clone(),
        start_ns: 1,
        time_ns: 2,
        sum: 0.25,
        counts: vec![0, 300, 1],
        bounds: &[0.5, 1.5],
    };
    let cost = SumPoint { attributes, start_ns: 1, time_ns: 2, value: 0 };
    let data = [Data::Histogram(vec![point]), Data::Sum(vec![cost])];
    let metric = |data| Metric { name: "a", about: "b", unit: "s", data };
    let request = metrics(&data.map(metric));
    let found = &request.resource_metrics[0].scope_metrics[0].metrics;
    assert_eq!((&found[0].name[..], &found[0].description[..], &found[0].unit[..]), ("a", "b", "s"));
    let Some(metric::Data::Histogram(histogram)) = &found[0].data else { panic!("{found:?}") };
    let cumulative = AggregationTemporality::Cumulative as i32;
    assert_eq!(histogram.aggregation_temporality, cumulative);
    let point = &histogram.data_points[0];
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (1, 2));
    assert_eq!((point.count, point.sum), (301, Some(0.25)));
    assert_eq!((&point.bucket_counts[..], &point.explicit_bounds[..]), (&[0, 300, 1][..], &[0.5, 1.5][..]));
    assert_eq!(value(&point.attributes[0]).0, "gen_ai.operation.name");
    let Some(metric::Data::Sum(sum)) = &found[1].data else { panic!("{found:?}") };
    assert_eq!((sum.aggregation_temporality, sum.is_monotonic), (cumulative, true));
    assert_eq!(sum.data_points[0].value, Some(number_data_point::Value::AsInt(0)));
}

proptest! {
    #[test]
    fn whatever_is_in_a_span_arrives(
        name: String, key: String, text: String, whole: i64, part: i16, start: u64, trace: [u8; 16],
    ) {
        let attributes = vec![
            Attribute::new(key.clone(), text.as_str()),
            Attribute::new(key.clone(), whole),
            Attribute::new(key.clone(), f64::from(part) / 16.0),
        ];
        let request = traces(&[Span { name: name.clone(), attributes, start_ns: start, trace_id: trace, ..span() }]);
        let found = &request.resource_spans[0].scope_spans[0].spans[0];
        prop_assert_eq!(&found.name, &name);
        prop_assert_eq!((found.start_time_unix_nano, &found.trace_id[..]), (start, &trace[..]));
        let expected = [
            (key.as_str(), TheirValue::StringValue(text)),
            (key.as_str(), TheirValue::IntValue(whole)),
            (key.as_str(), TheirValue::DoubleValue(f64::from(part) / 16.0)),
        ];
        prop_assert_eq!(found.attributes.iter().map(value).collect::<Vec<_>>(), expected);
    }
}
