//! What can go wrong with one exchange: whose fault it is, what the caller is told, what the log keeps.

use std::borrow::Cow;

use genesis_store::{Fault, Outcome};
use http::StatusCode;

/// Cloudflare's codes where it has one; ours (9xxx) where it has none. `docs/errors.md` lists them all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u16)]
pub(crate) enum Code {
    UnknownGateway = 2001,
    MalformedRunId = 2002,
    RateLimited = 2003,
    ProviderFailed = 2005,
    InvalidProvider = 2008,
    Unauthorized = 2009,
    BadFormat = 2019,
    UnknownAlias = 2040,
    SpendLimited = 2045,
    MalformedRequest = 9400,
    CostUnbounded = 9402,
    DeniedByPolicy = 9403,
    NotFound = 9404,
    MethodNotAllowed = 9405,
    RequestTimeout = 9408,
    BodyTooLarge = 9413,
    SocketBusy = 9429,
    HeadersTooLarge = 9431,
    Misconfigured = 9500,
    NotOffered = 9501,
    BudgetUnrecorded = 9503,
}

/// A refusal or a failed attempt. `message` and `description` are for the caller and hold no secret;
/// `cause` is for the log.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) code: Code,
    pub(crate) outcome: Outcome,
    /// Cloudflare's wording where it is known, since clients match on it.
    pub(crate) message: Cow<'static, str>,
    /// What to do next.
    pub(crate) description: String,
    pub(crate) cause: String,
    /// Set if the target is at fault, in a way that may pass: the call may be made again, there or elsewhere.
    pub(crate) fault: Option<Fault>,
    /// Seconds after which the same call may succeed.
    pub(crate) retry_after: Option<u32>,
    /// The whole body, where Cloudflare's is not the usual envelope.
    pub(crate) body: Option<Box<serde_json::Value>>,
}

impl Failure {
    /// The request cannot be served as it stands; the caller must change something.
    pub(crate) fn refused(
        status: StatusCode,
        code: Code,
        message: impl Into<Cow<'static, str>>,
        description: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code,
            outcome: Outcome::Refused,
            message: message.into(),
            description: description.into(),
            cause: String::new(),
            fault: None,
            retry_after: None,
            body: None,
        }
    }

    /// The provider could not be reached or broke off before its answer began.
    pub(crate) fn upstream(
        status: StatusCode,
        description: impl Into<String>,
        cause: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code: Code::ProviderFailed,
            outcome: Outcome::UpstreamBroken,
            message: Cow::Borrowed("Failed to get response from provider"),
            description: description.into(),
            cause: cause.into(),
            fault: None,
            retry_after: None,
            body: None,
        }
    }

    pub(crate) fn with_fault(self, fault: Fault) -> Self {
        Self { fault: Some(fault), ..self }
    }

    /// The operator's settings do not allow this call to be made.
    pub(crate) fn misconfigured(description: impl Into<String>) -> Self {
        Self::refused(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::Misconfigured,
            "The gateway is not configured for this call",
            description,
        )
    }
}
