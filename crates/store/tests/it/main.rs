//! Tests of the store through its public API.
//!
//! * `conformance`: what every backend must do; takes a function that opens an empty store
//! * `cache`: answers on disk: found again, bounded, expired, purged, an ill file
//! * `chapters`: what sums up many records, through deleting and upgrades
//! * `journal`: order, bounds, retention, ill stores
//! * `leases`: what limits have used outlives the process
//! * `managed`: what the management API keeps
//! * `crash`: a killed process loses nothing it was told is written
//! * `edit`: notes, corrected costs, deleting, age, backups
//! * `exports`: reading on from a place; places kept; losses counted
//! * `files`: modes, migrations, damage
//! * `upgrade`: databases of older versions
//! * `model`: filters and totals against a plain in-memory model
//! * `cost`: what logging costs; run by hand
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cache;
mod chapters;
mod conformance;
mod cost;
mod crash;
mod edit;
mod exports;
mod files;
mod journal;
mod leases;
mod managed;
mod model;
mod support;
mod upgrade;

/// The product's allocator, so that `cost` measures what the product pays.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
