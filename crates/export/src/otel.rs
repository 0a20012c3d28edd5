//! OpenTelemetry: what a gateway's `otel` collectors are told.
//!
//! Traces are made of the log, like every export: at least once, however long a collector is away. Metrics are sums since
//! the gateway began, told again every few seconds.
//!
//! * [`collector`]: an entry of `otel` as it is called: address, headers, encoding
//! * `traces`: batches of the log as spans, on their way; `span`: an exchange as spans, `attributes`: what is in them
//! * `push`: metrics on their way; `meter`: what they are made of, `series`: under one set of attributes
//! * `names`: every name in either, and whose it is
//! * `address`: where traces and metrics go

mod address;
mod attributes;
pub mod collector;
mod meter;
pub(crate) mod names;
mod push;
mod series;
mod span;
mod traces;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use genesis_store::{Journal, sha256};
use uuid::Uuid;

pub use self::collector::Collector;
use self::meter::Meter;
use self::push::Pusher;
use self::traces::Traces;
use crate::exports::Export;
use crate::otlp::{Attribute, Resource};
use crate::post::PostMaker;

/// Everything that is told to collectors.
#[derive(Debug)]
pub struct OpenTelemetry {
    resource: Arc<Resource>,
    meter: Arc<Meter>,
    pusher: Pusher,
}

impl OpenTelemetry {
    /// `whereabouts` tells this gateway from others, also after a restart: say, its machine and folder.
    pub fn new(journal: &Journal, post: PostMaker, whereabouts: &str) -> Self {
        let resource = Arc::new(Resource(vec![
            Attribute::new(names::SERVICE_NAME, names::SERVICE),
            Attribute::new(names::SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
            Attribute::new(names::SERVICE_INSTANCE, instance(whereabouts).to_string()),
        ]));
        let meter = Arc::new(Meter::new(now_ns()));
        let counting = Arc::clone(&meter);
        journal.tally(Box::new(move |figures| counting.add(figures)));
        let pusher = Pusher::new(Arc::clone(&meter), Arc::clone(&resource), post);
        Self { resource, meter, pusher }
    }

    /// The exports of the log that tell these collectors of traces; and from now on they are told of metrics.
    pub fn apply(&self, collectors: Vec<Collector>) -> Vec<Export> {
        let collectors: Vec<_> = collectors.into_iter().map(Arc::new).collect();
        let traces = |collector: &Arc<Collector>| {
            Traces::new(Arc::clone(collector), Arc::clone(&self.resource)).export()
        };
        let exports = collectors.iter().map(traces).collect();
        let measured = collectors.iter().filter(|collector| collector.takes_metrics());
        self.meter.measure(measured.map(|collector| collector.gateway.clone()).collect());
        self.pusher.apply(collectors);
        exports
    }

    /// Pushes what is new and ends. False if that did not end in time.
    pub fn stop(&self, within: Duration) -> bool {
        self.pusher.stop(within)
    }
}

/// The same for the same place, as the series of its metrics are to go on.
fn instance(whereabouts: &str) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&sha256(whereabouts.as_bytes())[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
