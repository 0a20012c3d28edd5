//! Tests of exports through the public API, over a real log.
//!
//! * `driver`: what arrives, in which order, whatever the receiver does
//! * `logpush`: lines field by field, encryption, folders, addresses, buckets
//! * `otel`: what a collector is told, and what becomes of it when it does not listen
//! * `support`: a log, and receivers that do as they are told
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod driver;
mod logpush;
mod otel;
mod support;
