//! What leaves the gateway behind the requests: log records, on their way to other systems.
//!
//! Reads the log on a thread of its own, behind a place that is kept on disk, so nothing is lost when the gateway stops
//! and nothing waits for a receiver. Every record arrives at least once.
//!
//! * [`source`]: the log behind a place, in batches
//! * [`target`]: what takes batches
//! * [`post`]: HTTP, as targets see it; the binary brings the client
//! * [`driver`]: one thread per target: read, deliver, try again, move the place on
//! * [`logpush`]: records as lines of JSON, packed, for folders, addresses, buckets and standard output
//! * [`exports`]: all of them: started, replaced and stopped as the settings say
//! * [`otel`]: exchanges as OpenTelemetry spans and metrics; `otlp`: the messages they are sent in

pub mod driver;
pub mod exports;
pub mod logpush;
pub mod otel;
mod otlp;
pub mod post;
pub mod source;
pub mod target;

pub use driver::{Behaviour, ExportStatus};
pub use exports::{Export, Exports};
pub use otel::{Collector, OpenTelemetry};
pub use post::{Answer, Call, Post, PostMaker, Unreachable};
pub use source::{Selection, Source};
pub use target::{Target, Undelivered};
