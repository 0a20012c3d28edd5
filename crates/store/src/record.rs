//! A log record: one exchange, as it is kept.

use bytes::Bytes;
use genesis_wire::{Dialect, Usage};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::annotation::Repriced;

/// Everything the log keeps of one exchange apart from its bodies (see [`Payload`]).
///
/// Field names follow Cloudflare's log object where it has one (`cloudflare-ai-gateway` §7.3).
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct LogRecord {
    /// UUIDv7; sorts by time and is unique across nodes. Also the value of `cf-aig-log-id`.
    pub id: Uuid,
    /// The client's correlation id, or one we made.
    pub event_id: String,
    /// When the request's head had been read, in milliseconds since the epoch.
    pub created_at_ms: i64,
    pub account: String,
    pub gateway: String,
    /// Provider slug as in the URL; empty if the request named none we know.
    pub provider: String,
    /// Model the answer names, else the one the request names; empty if neither did.
    pub model: String,
    pub dialect: Option<Dialect>,
    pub method: String,
    /// Path after the provider slug, without the query (queries may carry keys).
    pub path: String,
    /// Status sent to the client; 499 when the client left before there was one.
    pub status: u16,
    pub outcome: Outcome,
    /// A sentence on what went wrong, without secrets; empty on success.
    pub error: String,
    pub cached: bool,
    /// Index of the step that answered (universal endpoint); 0 otherwise.
    pub step: u32,
    /// Whole exchange, until the last byte was handed to the client.
    pub duration_ms: u32,
    /// Until the first byte of the provider's answer; `None` if there was none.
    pub first_byte_ms: Option<u32>,
    pub stream: bool,
    pub usage: Option<Usage>,
    /// The provider's own usage object, verbatim, so that a price can be recomputed. At most 4 KiB.
    pub raw_usage: Option<String>,
    /// Nano-USD. `None`: unknown price or no usage.
    pub cost_nano_usd: Option<i64>,
    /// Which row of which price table (`provider/model@date`), or `custom`.
    pub price_id: Option<String>,
    /// How the cost follows from usage and price, for people: `12×3.00 + 34×15.00 per 1e6 = …`.
    pub price_formula: Option<String>,
    pub custom_cost: bool,
    /// The client's `cf-aig-metadata`: up to five scalar entries, in order.
    pub metadata: serde_json::Map<String, serde_json::Value>,
    pub user_agent: String,
    /// Id of the gateway token that called; empty if the gateway asked for none.
    pub token_id: String,
    /// Where the provider credential came from: `request`, `stored:<alias>`, `environment`, `config`, `none`.
    pub credential: String,
    pub request_content_type: String,
    pub response_content_type: String,
    pub request_size: u64,
    pub response_size: u64,
    /// Request head as text (`POST /path HTTP/1.1` and headers), secrets masked. Empty when payloads are off.
    pub request_head: String,
    pub response_head: String,
    /// W3C trace id the caller sent, 32 hex digits.
    pub trace_id: Option<String>,
    /// The caller's span in that trace, 16 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<String>,
    /// True if the simulator answered.
    pub simulated: bool,
    /// Every upstream call in order, the one that answered included; empty if there was no more than one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// Names of what a translation could not carry, of request and answer, as in `cf-aig-dropped`.
    #[serde(default)]
    pub dropped: Vec<String>,
    /// Noted later ([`Store::annotate_log`](crate::Store::annotate_log)); not taken from a record that is pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<i32>,
    /// Noted later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// The cost was corrected later: what it was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repriced: Option<Repriced>,
}

impl LogRecord {
    /// `chat`, `embeddings`, … : what kind of call it was; empty if that is not known.
    pub fn kind(&self) -> &'static str {
        crate::filter::kind_of_call(self.dialect, &self.path)
    }
}

/// The span of the exchange with this log id: its last eight bytes, so that whoever names it says the same.
pub fn span_id(log_id: Uuid) -> [u8; 8] {
    log_id.as_u64_pair().1.to_be_bytes()
}

/// One upstream call of an exchange that took several.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Attempt {
    /// Index of the step it was made for: of the universal request, or of the models a dynamic route came to.
    pub step: u32,
    pub provider: String,
    pub model: String,
    /// Of the provider's answer; `None` if none came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What went wrong; `None` for an answer below 400.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// When it began, after the exchange did.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub began_ms: u32,
    /// Until it failed or was given up; for the one that answered, until the last byte was handed to the client.
    pub duration_ms: u32,
    /// Until the first byte of its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<u32>,
    /// Nano-USD, if the answer reported usage and its price is known. The record's cost is the sum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_nano_usd: Option<i64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it like that")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// No connection.
    Connect,
    /// No first byte in time.
    Timeout,
    /// The connection ended before, or inside, the answer.
    Broken,
    /// What came was not HTTP.
    NotHttp,
    /// The provider answered with an error status.
    Status,
    /// Not called: it was known to be down, and something else could take the call.
    Skipped,
    /// Not called: the gateway could not make this call (no such provider, no key, a limit reached).
    Refused,
}

impl Fault {
    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::NotHttp => "not_http",
            Self::Status => "status",
            Self::Skipped => "skipped",
            Self::Refused => "refused",
        }
    }
}

/// How an exchange ended. The order is that of the stored numbers.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    #[default]
    /// Answered in full with a status below 400.
    Success,
    /// The provider answered with an error, or sent one inside its stream.
    ProviderError,
    /// The gateway refused the request (authentication, unknown gateway, limits, malformed).
    Refused,
    /// The provider could not be reached, timed out, or broke off mid-answer.
    UpstreamBroken,
    /// The client left before the answer was complete.
    ClientLeft,
}

impl Outcome {
    /// As it is stored; what is not known counts as the last.
    pub(crate) fn of_number(number: u8) -> Self {
        match number {
            0 => Self::Success,
            1 => Self::ProviderError,
            2 => Self::Refused,
            3 => Self::UpstreamBroken,
            _ => Self::ClientLeft,
        }
    }

    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::ProviderError => "provider_error",
            Self::Refused => "refused",
            Self::UpstreamBroken => "upstream_broken",
            Self::ClientLeft => "client_left",
        }
    }
}

/// The bodies of one exchange, kept apart from its record and dropped first when space or time is short.
#[derive(Clone, Debug)]
pub struct Payload {
    pub id: Uuid,
    pub gateway: String,
    pub request: Bytes,
    pub response: Bytes,
    /// False if the body was longer than the log keeps.
    pub request_complete: bool,
    pub response_complete: bool,
}
