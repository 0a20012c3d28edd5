//! OTLP over HTTP: the messages a collector takes. Each says what it consists of once, and either encoding writes it.
//!
//! * `trace`, `metrics`, `common`: the messages
//! * `json`, `protobuf`: the encodings
//! * `answer`: what a collector says
//!
//! Numbers and names of fields: opentelemetry-proto 1.9. Written by hand, since twelve messages in two encodings need no
//! code generator: `opentelemetry-proto` brings forty crates, `prost` ten, and neither writes OTLP's JSON from the same
//! source. The tests read what is written here with the official decoders.

mod answer;
mod common;
mod json;
mod metrics;
mod protobuf;
#[cfg(test)]
mod tests;
mod trace;

use genesis_config::gateway::OtelEncoding;

pub(crate) use self::answer::{Said, said};
pub(crate) use self::common::{Attribute, Resource, Value};
pub(crate) use self::metrics::{Data, HistogramPoint, Metric, Metrics, SumPoint};
pub(crate) use self::trace::{Event, Kind, Parent, Span, Status, Traces};

/// `message` as bytes.
pub(crate) fn encode(message: &impl Message, encoding: OtelEncoding) -> Vec<u8> {
    match encoding {
        OtelEncoding::Json => json::encode(message),
        OtelEncoding::Protobuf => protobuf::encode(message),
    }
}

pub(crate) fn content_type(encoding: OtelEncoding) -> &'static str {
    match encoding {
        OtelEncoding::Json => "application/json",
        OtelEncoding::Protobuf => "application/x-protobuf",
    }
}

pub(crate) trait Message {
    fn write(&self, fields: &mut impl Fields);
}

/// Number and JSON name of a field.
pub(crate) type Field = (u32, &'static str);

/// Takes the fields of one message. The methods are called after the types of the schema, since those decide the bytes.
pub(crate) trait Fields {
    fn text(&mut self, field: Field, text: &str);
    /// `bytes` that are a trace or span id.
    fn id(&mut self, field: Field, id: &[u8]);
    fn bool(&mut self, field: Field, flag: bool);
    /// `int64`
    fn int64(&mut self, field: Field, number: i64);
    /// `uint32`, and enumerations.
    fn uint32(&mut self, field: Field, number: u32);
    fn fixed32(&mut self, field: Field, number: u32);
    fn fixed64(&mut self, field: Field, number: u64);
    fn sfixed64(&mut self, field: Field, number: i64);
    fn double(&mut self, field: Field, number: f64);
    /// `repeated fixed64`
    fn fixed64s(&mut self, field: Field, numbers: &[u64]);
    /// `repeated double`
    fn doubles(&mut self, field: Field, numbers: &[f64]);
    fn message(&mut self, field: Field, message: &impl Message);
    fn messages<M: Message>(&mut self, field: Field, messages: &[M]);
}
