//! The bench that judges the gateway: what it costs beside a bare proxy and beside nginx, on one machine, in the
//! same minutes.
//!
//! Two servers and three ways to look at a target (any HTTP server: a URL and a process id):
//!
//! - [`mock`]: a model provider that answers at once, in OpenAI's and Anthropic's shapes, and stamps each event
//! - [`floor`]: **H**, the least an HTTP relay built on hyper can cost
//! - [`load`]: requests, latencies, event transit times, CPU and memory of the target
//! - [`idle`]: memory per stream that is open and quiet
//! - [`start`]: time from spawn to the first answer
//! - [`log`]: the store alone, with millions of records
//! - [`compare`]: all of it, interleaved over H, nginx and the gateway, judged against the goals
//!
//! What they share: [`percore`] (one listener and runtime per core), [`client`] (one request, one connection),
//! [`dialect`] (paths and request bodies), [`stamp`] (send times inside events), [`histogram`], [`stats`],
//! [`process`] (children, CPU, memory).

pub mod client;
pub mod compare;
pub mod dialect;
pub mod floor;
pub mod histogram;
pub mod idle;
pub mod load;
pub mod log;
pub mod mock;
pub mod percore;
pub mod process;
pub mod stamp;
pub mod start;
pub mod stats;
