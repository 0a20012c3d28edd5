//! What the crate promises, seen from outside.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing to unwrap has failed")]

mod environment;
mod file;
mod gateway;
mod models;
mod prices;
mod providers;
mod routes;
