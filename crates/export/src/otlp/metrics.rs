//! Metrics, all of them cumulative.

use super::common::Scope;
use super::{Attribute, Fields, Message, Resource};
use crate::otel::names;

/// `ExportMetricsServiceRequest`
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metrics<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) metrics: &'a [Metric],
}

#[derive(Clone, Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) data: Data,
}

#[derive(Clone, Debug)]
pub(crate) enum Data {
    Histogram(Vec<HistogramPoint>),
    /// Never falls.
    Sum(Vec<SumPoint>),
}

#[derive(Clone, Debug)]
pub(crate) struct HistogramPoint {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) start_ns: u64,
    pub(crate) time_ns: u64,
    pub(crate) sum: f64,
    /// One more than there are bounds: the last one has none.
    pub(crate) counts: Vec<u64>,
    pub(crate) bounds: &'static [f64],
}

#[derive(Clone, Debug)]
pub(crate) struct SumPoint {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) start_ns: u64,
    pub(crate) time_ns: u64,
    pub(crate) value: i64,
}

impl Data {
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Histogram(points) => points.is_empty(),
            Self::Sum(points) => points.is_empty(),
        }
    }
}

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`
const CUMULATIVE: u32 = 2;

impl Message for Metrics<'_> {
    fn write(&self, fields: &mut impl Fields) {
        fields.messages((1, "resourceMetrics"), &[ResourceMetrics(*self)]);
    }
}

struct ResourceMetrics<'a>(Metrics<'a>);

impl Message for ResourceMetrics<'_> {
    fn write(&self, fields: &mut impl Fields) {
        fields.message((1, "resource"), self.0.resource);
        fields.messages((2, "scopeMetrics"), &[ScopeMetrics(self.0.metrics)]);
        fields.text((3, "schemaUrl"), names::SCHEMA_URL);
    }
}

struct ScopeMetrics<'a>(&'a [Metric]);

impl Message for ScopeMetrics<'_> {
    fn write(&self, fields: &mut impl Fields) {
        fields.message((1, "scope"), &Scope);
        fields.messages((2, "metrics"), self.0);
        fields.text((3, "schemaUrl"), names::SCHEMA_URL);
    }
}

impl Message for Metric {
    fn write(&self, fields: &mut impl Fields) {
        fields.text((1, "name"), self.name);
        fields.text((2, "description"), self.about);
        fields.text((3, "unit"), self.unit);
        match &self.data {
            Data::Sum(points) => fields.message((7, "sum"), &Sum(points)),
            Data::Histogram(points) => fields.message((9, "histogram"), &Histogram(points)),
        }
    }
}

struct Sum<'a>(&'a [SumPoint]);

impl Message for Sum<'_> {
    fn write(&self, fields: &mut impl Fields) {
        fields.messages((1, "dataPoints"), self.0);
        fields.uint32((2, "aggregationTemporality"), CUMULATIVE);
        fields.bool((3, "isMonotonic"), true);
    }
}

impl Message for SumPoint {
    fn write(&self, fields: &mut impl Fields) {
        fields.fixed64((2, "startTimeUnixNano"), self.start_ns);
        fields.fixed64((3, "timeUnixNano"), self.time_ns);
        fields.sfixed64((6, "asInt"), self.value);
        fields.messages((7, "attributes"), &self.attributes);
    }
}

struct Histogram<'a>(&'a [HistogramPoint]);

impl Message for Histogram<'_> {
    fn write(&self, fields: &mut impl Fields) {
        fields.messages((1, "dataPoints"), self.0);
        fields.uint32((2, "aggregationTemporality"), CUMULATIVE);
    }
}

impl Message for HistogramPoint {
    fn write(&self, fields: &mut impl Fields) {
        fields.fixed64((2, "startTimeUnixNano"), self.start_ns);
        fields.fixed64((3, "timeUnixNano"), self.time_ns);
        fields.fixed64((4, "count"), self.counts.iter().sum());
        fields.double((5, "sum"), self.sum);
        fields.fixed64s((6, "bucketCounts"), &self.counts);
        fields.doubles((7, "explicitBounds"), self.bounds);
        fields.messages((9, "attributes"), &self.attributes);
    }
}
