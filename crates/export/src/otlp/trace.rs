//! Spans.

use super::common::Scope;
use super::{Attribute, Fields, Message, Resource};
use crate::otel::names;

/// `ExportTraceServiceRequest`
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traces<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) spans: &'a [Span],
}

#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    pub(crate) parent: Option<Parent>,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) events: Vec<Event>,
    pub(crate) status: Status,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Parent {
    pub(crate) span_id: [u8; 8],
    /// It is not of this process.
    pub(crate) remote: bool,
}

/// The numbers are those of `SpanKind`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Server = 2,
    Client = 3,
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) at_ns: u64,
    pub(crate) name: &'static str,
    pub(crate) attributes: Vec<Attribute>,
}

#[derive(Clone, Debug)]
pub(crate) enum Status {
    Unset,
    /// With what went wrong.
    Error(String),
}

/// `STATUS_CODE_ERROR`
const ERROR: u32 = 2;
/// `SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK`
const KNOWN_WHETHER_REMOTE: u32 = 0x100;
/// `SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK`
const REMOTE: u32 = 0x200;

struct ScopeSpans<'a>(&'a [Span]);

impl Message for Traces<'_> {
    fn write(&self, fields: &mut impl Fields) {
        fields.messages((1, "resourceSpans"), &[ResourceSpans(*self)]);
    }
}

struct ResourceSpans<'a>(Traces<'a>);

impl Message for ResourceSpans<'_> {
    fn write(&self, fields: &mut impl Fields) {
        fields.message((1, "resource"), self.0.resource);
        fields.messages((2, "scopeSpans"), &[ScopeSpans(self.0.spans)]);
        fields.text((3, "schemaUrl"), names::SCHEMA_URL);
    }
}

impl Message for ScopeSpans<'_> {
    fn write(&self, fields: &mut impl Fields) {
        fields.message((1, "scope"), &Scope);
        fields.messages((2, "spans"), self.0);
        fields.text((3, "schemaUrl"), names::SCHEMA_URL);
    }
}

impl Message for Span {
    fn write(&self, fields: &mut impl Fields) {
        fields.id((1, "traceId"), &self.trace_id);
        fields.id((2, "spanId"), &self.span_id);
        if let Some(parent) = self.parent {
            fields.id((4, "parentSpanId"), &parent.span_id);
            let remote = if parent.remote { REMOTE } else { 0 };
            fields.fixed32((16, "flags"), KNOWN_WHETHER_REMOTE | remote);
        }
        fields.text((5, "name"), &self.name);
        fields.uint32((6, "kind"), self.kind as u32);
        fields.fixed64((7, "startTimeUnixNano"), self.start_ns);
        fields.fixed64((8, "endTimeUnixNano"), self.end_ns);
        fields.messages((9, "attributes"), &self.attributes);
        fields.messages((11, "events"), &self.events);
        fields.message((15, "status"), &self.status);
    }
}

impl Message for Event {
    fn write(&self, fields: &mut impl Fields) {
        fields.fixed64((1, "timeUnixNano"), self.at_ns);
        fields.text((2, "name"), self.name);
        fields.messages((3, "attributes"), &self.attributes);
    }
}

impl Message for Status {
    fn write(&self, fields: &mut impl Fields) {
        if let Self::Error(why) = self {
            fields.text((2, "message"), why);
            fields.uint32((3, "code"), ERROR);
        }
    }
}
