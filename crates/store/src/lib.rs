//! What outlives a request: tokens, sealed keys, gateways, and the log.
//!
//! * [`store`]: opening it; the two files it consists of
//! * [`token`]: what clients present; kept as hashes
//! * [`key`]: provider keys; sealed by `seal` under the master key
//! * [`gateway`]: gateways created at run time
//! * [`record`]: one exchange as it is logged
//! * [`journal`]: the only part the request path touches: a queue and the thread that empties it
//! * [`health`]: whether the files are sound
//! * `block`: details and bodies of many records, packed and compressed
//! * [`query`]: reading the log and the usage totals
//! * `sqlite`: all SQL; a second backend would stand beside it
//! * [`error`]: what can go wrong

mod block;
pub mod error;
pub mod gateway;
pub mod health;
pub mod journal;
pub mod key;
pub mod query;
pub mod record;
mod seal;
mod sqlite;
pub mod store;
pub mod token;

pub use error::{Error, ErrorKind, Result};
pub use gateway::GatewayRow;
pub use journal::{Journal, JournalOptions, JournalStats, Retention, RetentionOf, Strategy};
pub use key::KeyRow;
pub use query::{GroupBy, LogFilter, Order, UsageQuery, UsageRow};
pub use record::{Attempt, Fault, LogRecord, Outcome, Payload};
pub use store::{Store, StoreOptions};
pub use token::{NewToken, Permissions, TokenRow, looks_like_token, token_hash};

/// Text that is wiped when dropped and never printed.
pub type Secret = secrecy::SecretString;
