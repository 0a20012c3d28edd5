//! Batches of the log, delivered as spans.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use genesis_store::LogEntry;

use super::collector::Collector;
use super::span::spans;
use crate::driver::Behaviour;
use crate::exports::Export;
use crate::otlp::{self, Resource, Span};
use crate::post::Post;
use crate::source::{Bounds, Selection};
use crate::target::{Target, Undelivered};

/// Tells one collector of traces.
#[derive(Debug)]
pub(super) struct Traces {
    collector: Arc<Collector>,
    resource: Arc<Resource>,
}

/// A second is soon enough for a person who waits for a trace, and gathers a batch under load.
const GATHER: Duration = Duration::from_secs(1);
/// Collectors take 4 MiB and more; a span has far less of its bodies than is read here.
const BOUNDS: Bounds = Bounds { records: 512, bytes: 4 << 20 };

impl Traces {
    pub(super) fn new(collector: Arc<Collector>, resource: Arc<Resource>) -> Self {
        Self { collector, resource }
    }

    /// As an export of the log.
    pub(super) fn export(self) -> Export {
        Export {
            name: self.collector.name.clone(),
            identity: self.collector.identity.clone(),
            wanted: Selection {
                gateways: BTreeSet::from([self.collector.gateway.clone()]),
                conditions: Vec::new(),
                with_bodies: true,
            },
            behaviour: Behaviour { bounds: BOUNDS, gather: GATHER, ..Behaviour::default() },
            target: Box::new(self),
        }
    }
}

impl Target for Traces {
    fn deliver(&mut self, entries: &[LogEntry], post: &mut dyn Post) -> Result<(), Undelivered> {
        let all: Vec<Span> =
            entries.iter().flat_map(|entry| spans(&entry.record, entry.payload.as_ref())).collect();
        let message = otlp::Traces { resource: &self.resource, spans: &all };
        let delivered = self.collector.send(&self.collector.addresses.traces, &message, post)?;
        let (target, hint) = (&self.collector.name, delivered.hint.unwrap_or_default());
        if delivered.rejected > 0 {
            tracing::warn!(target, rejected = delivered.rejected, "the collector rejected spans: {hint}");
        } else if !hint.is_empty() {
            tracing::info!(target, "the collector says: {hint}");
        }
        Ok(())
    }
}
