//! What the crate promises, seen from outside.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing to unwrap has failed")]
#![recursion_limit = "256"] // for one long JSON literal

mod environment;
mod file;
mod gateway;
mod models;
mod prices;
mod providers;
mod routes;
