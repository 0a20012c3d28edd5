//! Whether the process lives, and whether it can do its work.

use genesis_store::{Journal, Store};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::envelope::{Body, json_body as body};
use crate::metrics::ExportHeld;

/// `/`: what this is, for whoever opens it in a browser.
pub fn greeting() -> Response<Body> {
    let greeting = json!({
        "name": "genesis",
        "version": env!("CARGO_PKG_VERSION"),
        "use": "/v1/<account>/<gateway>/<provider>/…",
    });
    body(StatusCode::OK, &greeting)
}

/// `/healthz`: the process answers.
pub fn live() -> Response<Body> {
    body(StatusCode::OK, &json!({ "ok": true, "status": "live" }))
}

/// `/readyz`: requests are served whatever the store does, so this is 200 as long as anything answers; what is ill
/// is listed, with the counters of the log and its exports.
pub fn ready(store: &Store, journal: &Journal, exports: &[ExportHeld]) -> Response<Body> {
    let log = journal.stats();
    let mut failing = Vec::new();
    if !log.healthy {
        failing.push("log");
    }
    if store.version().is_err() {
        failing.push("store");
    }
    if exports.iter().any(|export| export.last_error.is_some()) {
        failing.push("exports");
    }
    let mut report = json!({
        "ready": true,
        "failing": failing,
        "log": {
            "written": log.written,
            "pending": log.pending,
            "droppedRecords": log.dropped_records,
            "droppedPayloads": log.dropped_payloads,
            "failedCommits": log.failed_commits,
            "lastError": log.last_error,
        },
    });
    if !exports.is_empty() {
        report["exports"] = exports.iter().map(export).collect();
    }
    body(StatusCode::OK, &report)
}

fn export(export: &ExportHeld) -> Value {
    json!({
        "target": export.target,
        "sent": export.sent,
        "behind": export.behind,
        "lost": export.lost,
        "refused": export.refused,
        "unreadable": export.unreadable,
        "failedAttempts": export.failed_attempts,
        "lastError": export.last_error,
    })
}
