//! What leaves the gateway behind the requests: log records, on their way to other systems.
//!
//! Reads the log on a thread of its own, behind a place that is kept on disk, so nothing is lost when the gateway stops
//! and nothing waits for a receiver. Every record arrives at least once.
