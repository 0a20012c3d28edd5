//! `genesis logs ID`: one exchange with everything that was kept of it.

use std::io::{IsTerminal, Write};

use genesis_store::{Attempt, Fault, LogRecord, Outcome, Payload, Store};
use owo_colors::OwoColorize;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Body;
use crate::printer::{Failed, Printer};
use crate::render::{self, Cell, Table, field};

pub(super) fn show(
    id: &str,
    body: Option<Body>,
    json: bool,
    store: Option<&Store>,
    printer: &Printer,
) -> Result<(), Failed> {
    let found = store.map(|store| store.log(id)).transpose().map_err(|error| match error.kind() {
        genesis_store::ErrorKind::Invalid => Failed::usage(error.to_string()),
        _ => error.into(),
    })?;
    let Some((record, payload)) = found.flatten() else {
        return Err(Failed::new(format!("no record has an id that starts with `{}`", render::plain(id)))
            .hint("`genesis logs` shows the newest; older ones may have been deleted to make room"));
    };
    match (body, json) {
        (_, true) => printer.json(&Described::new(&record, payload.as_ref(), body.unwrap_or(Body::Both))),
        (None, false) => in_full(&record, payload.as_ref(), printer),
        (Some(body), false) => {
            let Some(payload) = payload else {
                return Err(Failed::new(not_kept(&record)));
            };
            bodies_alone(body, &payload, printer)
        }
    }
}

#[derive(Serialize)]
struct Described<'a> {
    #[serde(flatten)]
    record: &'a LogRecord,
    /// Null if the bodies were not kept.
    payload: Option<Bodies>,
}

/// A body is JSON where it was JSON, else text, and null where it is neither or was not asked for.
#[derive(Serialize)]
struct Bodies {
    request: Option<Box<RawValue>>,
    request_complete: bool,
    response: Option<Box<RawValue>>,
    response_complete: bool,
}

impl<'a> Described<'a> {
    fn new(record: &'a LogRecord, payload: Option<&Payload>, wanted: Body) -> Self {
        let body = |bytes: &[u8], unwanted| {
            let text = std::str::from_utf8(bytes).ok().filter(|_| wanted != unwanted)?;
            let json = render::json::compact(text).or_else(|| serde_json::to_string(text).ok())?;
            RawValue::from_string(json).ok()
        };
        let payload = payload.map(|of| Bodies {
            request: body(&of.request, Body::Response),
            request_complete: of.request_complete,
            response: body(&of.response, Body::Request),
            response_complete: of.response_complete,
        });
        Self { record, payload }
    }
}

fn bodies_alone(body: Body, payload: &Payload, printer: &Printer) -> Result<(), Failed> {
    let bodies: &[(&[u8], bool)] =
        &[(&payload.request, payload.request_complete), (&payload.response, payload.response_complete)];
    let wanted = match body {
        Body::Request => &bodies[..1],
        Body::Response => &bodies[1..],
        Body::Both => bodies,
    };
    for (bytes, complete) in wanted {
        if std::io::stdout().is_terminal() {
            printer.line(readable(bytes))?;
        } else {
            exact(bytes)?;
        }
        if !complete {
            printer.warn("the body was longer than the log keeps; this is its beginning");
        }
    }
    Ok(())
}

/// Every byte as it was: what reads them is a program.
fn exact(bytes: &[u8]) -> Result<(), Failed> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        // A reader that has seen enough (`| head`) is no error.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn in_full(record: &LogRecord, payload: Option<&Payload>, printer: &Printer) -> Result<(), Failed> {
    printer.line(record.id.bold())?;
    for (name, value) in fields(record) {
        if !value.is_empty() {
            printer.line(field(name, value))?;
        }
    }
    if !record.attempts.is_empty() {
        printer.line(format!("\n{}", "Attempts".bold()))?;
        printer.line(attempts(&record.attempts))?;
    }
    let parts = [
        ("Request", &record.request_head, payload.map(|kept| (&kept.request, kept.request_complete))),
        ("Response", &record.response_head, payload.map(|kept| (&kept.response, kept.response_complete))),
    ];
    for (title, head, body) in parts {
        if head.is_empty() && body.is_none() {
            continue;
        }
        printer.line(format!("\n{}", title.bold()))?;
        if !head.is_empty() {
            printer.line(render::plain_lines(head).trim_end().dimmed())?;
        }
        let Some((bytes, complete)) = body else { continue };
        if !bytes.is_empty() {
            printer.line(format!("\n{}", readable(bytes)))?;
        }
        if !complete {
            printer.line("(cut: the body was longer than the log keeps)".yellow())?;
        }
    }
    if payload.is_none() {
        printer.line(format!("\n{}", not_kept(record).yellow()))?;
    }
    Ok(())
}

/// Names and values in the order of interest; an empty value is left out.
fn fields(record: &LogRecord) -> Vec<(&'static str, String)> {
    let outcome = match record.outcome {
        Outcome::Success => render::outcome(record.outcome).green().to_string(),
        _ => render::outcome(record.outcome).red().to_string(),
    };
    let dialect = record.dialect.map(|dialect| dialect.name().to_owned()).unwrap_or_default();
    let yes = |is: bool, text: &str| if is { text.to_owned() } else { String::new() };
    let metadata: Vec<_> = record.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let first = record.first_byte_ms.map(|ms| format!(", first byte after {}", render::milliseconds(ms)));
    vec![
        ("simulated", yes(record.simulated, "yes: the simulator made up the answer, no provider was called")),
        ("time", render::local(record.created_at_ms, "%Y-%m-%d %H:%M:%S%.3f %Z")),
        ("request", render::plain(&format!("{} {}", record.method, record.path))),
        ("status", format!("{} {outcome}", record.status)),
        ("error", render::plain(&record.error)),
        ("gateway", render::plain(&record.gateway)),
        ("account", render::plain(&record.account)),
        ("provider", render::or_none(&record.provider)),
        ("model", render::or_none(&record.model)),
        ("dialect", dialect),
        ("dropped", render::plain(&record.dropped.join(", "))),
        ("stream", yes(record.stream, "yes")),
        ("cached", yes(record.cached, "yes: answered from the gateway's cache")),
        ("step", if record.step > 0 { record.step.to_string() } else { String::new() }),
        ("duration", format!("{}{}", render::milliseconds(record.duration_ms), first.unwrap_or_default())),
        (
            "sizes",
            format!(
                "{} bytes in, {} bytes out",
                render::count(record.request_size),
                render::count(record.response_size)
            ),
        ),
        ("tokens", tokens(record)),
        ("raw usage", record.raw_usage.as_deref().map(render::plain).unwrap_or_default()),
        ("cost", cost(record)),
        ("price", record.price_id.as_deref().map(render::plain).unwrap_or_default()),
        ("formula", record.price_formula.as_deref().map(render::plain).unwrap_or_default()),
        ("repriced", repriced(record)),
        ("feedback", record.feedback.map(|feedback| feedback.to_string()).unwrap_or_default()),
        ("score", record.score.map(|score| score.to_string()).unwrap_or_default()),
        ("credential", render::or_none(&record.credential)),
        (
            "token",
            if record.token_id.is_empty() { "none".to_owned() } else { render::plain(&record.token_id) },
        ),
        ("metadata", render::plain(&metadata.join(" "))),
        ("user agent", render::plain(&record.user_agent)),
        ("event id", render::plain(&record.event_id)),
        ("trace id", record.trace_id.as_deref().map(render::plain).unwrap_or_default()),
        ("parent span", record.parent_span_id.as_deref().map(render::plain).unwrap_or_default()),
    ]
}

/// One line for each call that was made, the last being the one whose outcome the client got.
fn attempts(attempts: &[Attempt]) -> String {
    let mut table =
        Table::new(&["", "STEP", "PROVIDER", "MODEL", "OUTCOME", ">FIRST BYTE", ">DURATION", ">COST"]);
    for (number, attempt) in attempts.iter().enumerate() {
        let outcome = match (attempt.status, attempt.fault) {
            (Some(status), None | Some(Fault::Status)) => status.to_string(),
            (Some(status), Some(fault)) => format!("{status} {}", fault.name()),
            (None, fault) => fault.map_or(render::NONE, Fault::name).to_owned(),
        };
        table.row([
            Cell::new((number + 1).to_string()),
            Cell::new(attempt.step.to_string()),
            Cell::new(render::plain(&attempt.provider)),
            Cell::new(render::or_none(&attempt.model)),
            Cell::new(outcome),
            Cell::new(attempt.first_byte_ms.map_or(render::NONE.to_owned(), render::milliseconds)),
            Cell::new(render::milliseconds(attempt.duration_ms)),
            Cell::new(attempt.cost_nano_usd.map_or(render::NONE.to_owned(), render::money)),
        ]);
    }
    table.to_string()
}

/// What the cost was before it was corrected.
fn repriced(record: &LogRecord) -> String {
    let Some(repriced) = &record.repriced else { return String::new() };
    let before = repriced.original_cost_nano_usd.map_or(render::NONE.to_owned(), render::money);
    let price = repriced.original_price_id.as_deref().map(|id| format!(" ({})", render::plain(id)));
    let when = render::local(repriced.at_ms, "%Y-%m-%d %H:%M");
    format!("{when}; before: {before}{}", price.unwrap_or_default())
}

fn tokens(record: &LogRecord) -> String {
    let Some(usage) = record.usage else {
        return format!("{} (the answer reported no usage)", render::NONE);
    };
    let mut text = format!("{} in, {} out", usage.tokens_in(), usage.tokens_out());
    let parts = [
        (usage.cache_read, "read from the prompt cache"),
        (usage.cache_write, "written to the prompt cache"),
        (usage.cache_write_1h, "written to the 1-hour prompt cache"),
        (usage.reasoning, "spent on reasoning"),
    ];
    for (number, what) in parts.iter().filter(|(number, _)| *number > 0) {
        text.push_str(&format!("; {number} {what}"));
    }
    text
}

fn cost(record: &LogRecord) -> String {
    match (record.cost_nano_usd, record.custom_cost) {
        (Some(cost), false) => render::money(cost),
        (Some(cost), true) => format!("{} (at the caller's own price)", render::money(cost)),
        (None, _) if record.usage.is_some() => format!("{} (no price is known for this model)", render::NONE),
        (None, _) => render::NONE.to_owned(),
    }
}

fn not_kept(record: &LogRecord) -> String {
    match record.request_head.is_empty() && record.response_head.is_empty() {
        true => "Heads and bodies of this exchange were not kept: payload logging was off for it.".to_owned(),
        false => {
            "The bodies of this exchange were not kept: they were given up to save space or time.".to_owned()
        }
    }
}

/// A body for people: JSON spread out, text as it is, other bytes counted.
fn readable(bytes: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return format!(
            "({} bytes that are no text; `--body` with a pipe gives them as they were)",
            render::count(bytes.len() as u64)
        );
    };
    render::plain_lines(&render::json::spread(text).unwrap_or_else(|| text.to_owned())).trim_end().to_owned()
}
