//! Whether the process lives, and whether it can do its work.

use http::{HeaderMap, Response, StatusCode};
use serde_json::{Value, json};

use crate::Admin;
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

/// `/readyz`: requests are served whatever the store and the targets do, so this is 200 as long as anything answers. What
/// is ill is listed, with the log's counters, and for whoever may see it with what is open, how targets fare and how exports
/// are doing.
pub(crate) fn ready(admin: &Admin, headers: &HeaderMap) -> Response<Body> {
    let log = admin.journal.stats();
    let exports = admin.exports_held();
    let mut failing = Vec::new();
    if !log.healthy {
        failing.push("log");
    }
    if admin.store.version().is_err() {
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
    if admin.may_watch(headers).is_ok() {
        if let Some(traffic) = admin.traffic() {
            report["open"] = traffic.open();
            report["targets"] = traffic.targets().into();
        }
        if !exports.is_empty() {
            report["exports"] = exports.iter().map(export).collect();
        }
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
