//! What outlives a request.

pub mod record;

pub use record::{LogRecord, Outcome, Payload};
