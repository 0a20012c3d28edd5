//! What outlives a request: tokens, sealed keys, gateways, and the log.
//!
//! * [`store`]: opening it; the two files it consists of
//! * [`token`]: what clients present; kept as hashes; [`identity`]: whom it was given to
//! * [`key`]: provider keys; sealed by `seal` under the master key
//! * [`gateway`]: gateways created at run time
//! * [`custom_provider`], [`route`], [`policy`], [`domain`], [`document`]: what else the management API keeps
//! * [`record`]: one exchange as it is logged
//! * [`journal`]: the only part the request path touches: a queue and the thread that empties it
//! * [`cache`]: answers kept for repetition: a queue, two threads, an index
//! * [`health`]: whether the files are sound
//! * `packed`: one record as bytes; `page`: many of them; `chapter`: what some pages hold, in short
//! * `totals`: what is added up of records
//! * [`filter`]: which records are wanted: conditions, order, paging
//! * [`query`]: reading the log and the usage totals, deleting records
//! * [`annotation`]: what is noted about records later, and corrected costs
//! * [`analytics`]: sums and percentiles by time and group; `sketch`: the histograms behind the percentiles
//! * [`export`]: reading the log on from a place, for what carries it elsewhere
//! * [`backup`]: everything in one file, and back
//! * [`lease`]: what limits and budgets have used, written ahead of the use
//! * `sqlite`: all SQL; a second backend would stand beside it
//! * [`error`]: what can go wrong

pub mod analytics;
pub mod annotation;
pub mod backup;
mod bytes;
pub mod cache;
mod chapter;
pub mod custom_provider;
pub mod document;
pub mod domain;
pub mod error;
pub mod export;
pub mod filter;
pub mod gateway;
pub mod health;
pub mod identity;
pub mod journal;
pub mod key;
pub mod lease;
mod packed;
mod page;
pub mod policy;
pub mod query;
pub mod record;
pub mod route;
mod seal;
mod sketch;
mod sqlite;
pub mod store;
pub mod token;
mod totals;

pub use analytics::{
    AnalyticsCondition, AnalyticsOrder, AnalyticsQuery, AnalyticsRow, Bucket, Dimension, Percentiles, Sums,
};
pub use annotation::{Correction, LogNote, Repriced};
pub use backup::Restored;
pub use cache::{CacheDisk, CacheKey, CacheOptions, CacheRow, CacheStats, CacheUse};
pub use custom_provider::CustomProviderRow;
pub use document::DocumentRow;
pub use domain::DomainRow;
pub use error::{Error, ErrorKind, Result};
pub use export::{LogEntry, LogPlace, LogSlice, LogStretch, WhichGateways};
pub use filter::{Direction, LogCondition, LogField, LogFilter, LogOrder, LogValue, Operator};
pub use gateway::GatewayRow;
pub use identity::Identity;
pub use journal::{
    Figures, Following, Journal, JournalOptions, JournalStats, Listener, Retention, RetentionOf, Strategy,
    Tally, Wake,
};
pub use key::{KeyOptions, KeyRow};
pub use lease::{Lease, Leases};
pub use policy::PolicyRow;
pub use query::{GroupBy, LogRanges, LogTally, UsageQuery, UsageRow};
pub use record::{Attempt, Fault, LogRecord, Outcome, Payload, span_id};
pub use route::{RouteDeployment, RouteRow, RouteVersion};
pub use store::{Store, StoreOptions};
pub use token::{NewToken, Permissions, TokenRow, looks_like_token, sha256, token_hash};

/// Text that is wiped when dropped and never printed.
pub type Secret = secrecy::SecretString;
