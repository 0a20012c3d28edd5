//! The management API as its clients see it: HTTP answers over a store of its own.
//!
//! * `support`: the API over a temporary store; every answer is held against the OpenAPI description
//! * `access`: tokens, rights, scopes, accounts
//! * `gateways`, `provider_configs`, `custom_providers`, `routes`, `evaluations`: settings
//! * `logs`, `tail`, `analytics`, `graphql`: the log
//! * `metrics`: what a scraper reads
//! * `description`: the checked-in OpenAPI description, and requests made up from it
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod analytics;
mod billing;
mod custom_domains;
mod custom_providers;
mod description;
mod evaluations;
mod gateways;
mod graphql;
mod logs;
mod metrics;
mod policies;
mod provider_configs;
mod routes;
mod schema;
mod support;
mod tail;
