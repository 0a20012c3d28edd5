//! Exports of the log, wired: HTTP lent by the proxy, targets as the settings want them.

use std::io;
use std::sync::Arc;

use genesis_admin::ExportHeld;
use genesis_export::{Answer, Call, Exports, Post, PostMaker, Unreachable, logpush};
use genesis_proxy::{Outward, OutwardCall, Shared, Snapshot};

use crate::home::Settings;

/// Runs what the settings want; returns what cannot be used.
pub(crate) fn apply(exports: &Exports, settings: &Settings, snapshot: &Snapshot) -> Vec<String> {
    let mut warnings = Vec::new();
    let blocks = &settings.file.gateway.logpush;
    let wanted = logpush::exports(blocks, snapshot.gateways(), &settings.environment, &mut warnings);
    warnings.extend(exports.apply(wanted));
    warnings
}

/// Clients for the threads of exports.
pub(crate) fn post_beside(shared: &Arc<Shared>) -> PostMaker {
    let shared = Arc::downgrade(shared);
    Arc::new(move || {
        let made = match shared.upgrade() {
            Some(shared) => Outward::beside(&shared),
            None => Outward::new(),
        };
        let outward = made.map_err(|error| Unreachable(error.to_string()))?;
        Ok(Box::new(Client(outward)))
    })
}

/// How exports are doing, for health and metrics.
pub(crate) fn held(exports: &Exports) -> Vec<ExportHeld> {
    let statuses = exports.status().into_iter();
    statuses
        .map(|status| ExportHeld {
            target: status.target,
            sent: status.sent,
            refused: status.refused,
            unreadable: status.unreadable,
            lost: status.lost,
            behind: status.behind,
            failed_attempts: status.failed_attempts,
            last_error: status.last_error,
        })
        .collect()
}

/// The proxy's client, as targets see it.
pub(crate) struct Client(Outward);

impl Client {
    /// One for a command.
    pub(crate) fn new() -> io::Result<Self> {
        Outward::new().map(Self)
    }
}

impl Post for Client {
    fn call(&mut self, call: &Call) -> Result<Answer, Unreachable> {
        let Call { method, url, headers, body, trusted, within } = call.clone();
        let call = OutwardCall { method, url, headers, body, trusted, within };
        let answer = self.0.call(&call).map_err(|error| Unreachable(error.to_string()))?;
        Ok(Answer { status: answer.status, body: answer.body, retry_after: answer.retry_after })
    }
}
