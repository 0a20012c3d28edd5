//! Exports of the log, wired: HTTP lent by the proxy, targets as the settings want them; and metrics beside them.

use std::io;
use std::sync::Arc;

use genesis_admin::ExportHeld;
use genesis_config::GatewaySettings;
use genesis_export::otel::collector::Origin;
use genesis_export::{
    Answer, Call, Collector, Exports, OpenTelemetry, Post, PostMaker, Unreachable, logpush,
};
use genesis_proxy::{Outward, OutwardCall, Shared, Snapshot};
use genesis_store::{Journal, Store};

use crate::home::Settings;

/// Runs what the settings want; returns what cannot be used.
pub(crate) fn apply(
    exports: &Exports,
    telemetry: &OpenTelemetry,
    settings: &Settings,
    snapshot: &Snapshot,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let blocks = &settings.file.gateway.logpush;
    let mut wanted = logpush::exports(blocks, snapshot.gateways(), &settings.environment, &mut warnings);
    wanted.extend(telemetry.apply(collectors(settings, snapshot)));
    warnings.extend(exports.apply(wanted));
    warnings
}

/// What collectors are told beside the log; nothing until there are any.
pub(crate) fn telemetry(store: &Store, journal: &Journal, shared: &Arc<Shared>) -> OpenTelemetry {
    let machine = rustix::system::uname();
    let folder = store.path().display();
    let whereabouts = format!("{}\n{folder}", machine.nodename().to_string_lossy());
    OpenTelemetry::new(journal, post_beside(shared), &whereabouts)
}

/// Where gateways of the file and those created at run time send spans and metrics.
fn collectors(settings: &Settings, snapshot: &Snapshot) -> Vec<Collector> {
    let block = &settings.file.gateway;
    let substitute = |text: &str| settings.environment.substitute(text).map_err(|unset| unset.to_string());
    let of = |gateway: &GatewaySettings| {
        let declared = block.gateways.contains_key(&gateway.id);
        let trusted = declared || block.allow_private;
        let substitute: Option<&dyn Fn(&str) -> _> = if declared { Some(&substitute) } else { None };
        Collector::of(gateway, Origin { trusted, substitute })
    };
    snapshot.gateways().flat_map(of).collect()
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
