//! The built binary, from outside: what it prints, answers, writes and returns.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bad_start;
mod cache;
mod cli;
mod crash;
mod export;
mod http;
mod leaks;
mod limits;
mod management;
mod otel;
mod process;
mod provider_page;
mod readme;
mod retention;
mod rooms;
mod store_faults;
mod terminal;
mod traffic;
