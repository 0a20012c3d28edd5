//! What a running gateway says of itself at `/readyz`, in words: what is open, how its log and its targets fare.

use serde_json::Value;

use crate::render::{Cell, Table, count};

/// Rows for a table of names and values.
pub(crate) fn rows(report: &Value, table: &mut Table, detail: Detail) {
    if let Some(open) = report.get("open") {
        table.row([Cell::faint("open"), Cell::new(open_in_words(open))]);
    }
    if let Some(log) = report.get("log") {
        table.row([Cell::faint("log"), log_in_words(log)]);
    }
    let targets = || report["targets"].as_array().into_iter().flatten();
    let up = targets().filter(|target| target["up"] == true);
    match detail {
        Detail::Every => up.for_each(|target| {
            let said = format!("{}: {}", named(target), numbers(target));
            table.row([Cell::faint("target"), Cell::good(said)]);
        }),
        Detail::Troubled => match up.count() {
            0 => {}
            up => table.row([Cell::faint("targets"), Cell::good(format!("{up} up"))]),
        },
    }
    for target in targets().filter(|target| target["up"] == false) {
        table.row([Cell::faint("target"), Cell::bad(left_alone(target))]);
    }
}

/// Which targets have a row of their own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Detail {
    Every,
    /// Those that are left alone.
    Troubled,
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_default()
}

fn many(number: u64, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

fn open_in_words(open: &Value) -> String {
    let [connections, calls, streams] = ["connections", "calls", "streams"].map(|name| number(open, name));
    let streams = if streams > 0 { format!(" ({} streamed)", count(streams)) } else { String::new() };
    format!("{}, {} under way{streams}", many(connections, "connection"), many(calls, "call"))
}

fn log_in_words(log: &Value) -> Cell {
    let [written, pending] = ["written", "pending"].map(|name| number(log, name));
    let said = format!("{} written, {} waiting", many(written, "record"), count(pending));
    let [records, bodies, failed] =
        ["droppedRecords", "droppedPayloads", "failedCommits"].map(|name| number(log, name));
    let mut trouble = Vec::new();
    if records + bodies > 0 {
        trouble.push(format!("{} and {} lost", many(records, "record"), count(bodies) + " bodies"));
    }
    if failed > 0 {
        let last = log["lastError"].as_str().map(|error| format!(", the last: {error}")).unwrap_or_default();
        trouble.push(format!("{} failed{last}", many(failed, "write")));
    }
    match trouble.is_empty() {
        true => Cell::new(said),
        false => Cell::doubtful(format!("{said}; {}", trouble.join("; "))),
    }
}

fn named(target: &Value) -> String {
    let [provider, address] = ["provider", "address"].map(|name| target[name].as_str().unwrap_or_default());
    if address.is_empty() { provider.to_owned() } else { format!("{provider} at {address}") }
}

fn numbers(target: &Value) -> String {
    let [faults, waiting] = ["faults", "inFlight"].map(|name| number(target, name));
    let mut said = format!("{}, {}", many(number(target, "calls"), "call"), many(faults, "fault"));
    if waiting > 0 {
        said += &format!(", {} waiting", count(waiting));
    }
    format!("{said}, first byte in about {} ms", count(number(target, "latencyMs")))
}

fn left_alone(target: &Value) -> String {
    let why = target["why"].as_str().unwrap_or("it failed too often");
    let seconds = number(target, "triedAgainInMs").div_ceil(1000);
    let when = match seconds {
        0 => "the next call tries it".to_owned(),
        _ => format!("tried again in {seconds} s"),
    };
    let calls =
        format!("{} of {} failed", count(number(target, "faults")), many(number(target, "calls"), "call"));
    format!("{} is left alone: {why}; {when}; {calls}", named(target))
}
