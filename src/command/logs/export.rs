//! `genesis logs export`: what is in the log now, once, as `gateway.logpush` carries it.

use std::collections::HashMap;
use std::sync::Arc;

use clap::Args;
use genesis_config::logpush::FIELDS;
use genesis_config::{Destination, ExposeSecret};
use genesis_export::logpush::{Lines, SealingKey, target};
use genesis_store::{LogPlace, LogSlice};

use super::{Filters, NOTHING_YET, store_to_read};
use crate::assemble::{self, Stored};
use crate::export::Client;
use crate::home::{Home, Settings};
use crate::printer::{Failed, Printer};

/// Read and sent at once.
const RECORDS: usize = 1_000;
const BYTES: usize = 8 << 20;

#[derive(Args, Debug)]
#[command(
    after_help = "Oldest first, one JSON object a line, in the fields of docs/log-export.md. Bodies and metadata of a \
    gateway with a logpush_public_key are sealed for it. Objects are named after their first record, so the same export \
    takes its own place.\n\n\
    Examples:\n  genesis logs export --since 7d --gateway prod > prod.ndjson\n  \
    genesis logs export --since 2026-11-01 --to 's3://bucket/backfill/{DATE}?region=eu-central-1'"
)]
pub(super) struct Export {
    /// Where to, as in gateway.logpush: file:/folder, s3://…, r2://…, https://…; standard output if missing
    #[arg(long, value_name = "DESTINATION")]
    to: Option<String>,
    /// Leave requests and answers out
    #[arg(long)]
    no_bodies: bool,
    /// Only these fields, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "FIELDS",
        value_parser = clap::builder::PossibleValuesParser::new(FIELDS))]
    fields: Vec<String>,
    #[command(flatten)]
    filters: Filters,
}

pub(super) fn run(args: &Export, printer: &Printer) -> Result<(), Failed> {
    if args.filters.search.is_some() {
        return Err(
            Failed::usage("an export cannot search").hint("leave --search out, and search what it wrote")
        );
    }
    let home = Home::find()?;
    let settings = home.settings()?;
    let Some(store) = store_to_read(&home, &settings)? else {
        printer.note(NOTHING_YET);
        return Ok(());
    };
    let mut stored = Stored::default();
    for warning in stored.refresh(&store) {
        printer.warn(warning);
    }
    let lines = Lines::new(keys(&settings, &stored)?, &args.fields).with_other_gateways();
    let wanted = LogSlice {
        gateways: Arc::new(|_, _| true),
        conditions: args.filters.filter().conditions,
        with_bodies: !args.no_bodies && lines.has_bodies(),
        max_records: RECORDS,
        max_bytes: BYTES,
    };
    let mut outlet = Outlet::new(args, lines, &settings, printer)?;
    let (mut place, mut records) = (LogPlace::START, 0);
    loop {
        let mut stretch = store.log_after(place, &wanted)?;
        stretch.entries.retain(|entry| args.filters.accept(&entry.record));
        if !stretch.entries.is_empty() {
            outlet.send(&stretch.entries)?;
            records += stretch.entries.len();
        }
        if stretch.unreadable > 0 {
            printer.warn(format!("{} records are damaged and left out", stretch.unreadable));
        }
        if !stretch.more {
            break;
        }
        place = stretch.reached;
    }
    printer.note(format!("{records} records exported"));
    Ok(())
}

/// Where the lines go.
enum Outlet<'p> {
    Printed(Lines, &'p Printer),
    Sent(Box<dyn genesis_export::Target>, Client),
}

impl<'p> Outlet<'p> {
    fn new(args: &Export, lines: Lines, settings: &Settings, printer: &'p Printer) -> Result<Self, Failed> {
        let Some(to) = args.to.as_deref().filter(|to| *to != "stdout") else {
            return Ok(Self::Printed(lines, printer));
        };
        let to =
            settings.environment.substitute(to).map_err(|missing| Failed::config(missing.to_string()))?;
        let destination = Destination::parse(to.expose_secret()).map_err(|error| {
            Failed::usage(format!("--to {error}")).hint("docs/log-export.md lists the forms")
        })?;
        let target = target(&destination, &[], lines, None, &settings.environment)
            .map_err(|why| Failed::config(format!("the destination cannot be used: {why}")))?;
        Ok(Self::Sent(target, Client::new()?))
    }

    fn send(&mut self, entries: &[genesis_store::LogEntry]) -> Result<(), Failed> {
        match self {
            Self::Printed(lines, printer) => {
                let mut text = Vec::new();
                lines.write(entries, &mut text).map_err(|error| Failed::internal(error.to_string()))?;
                printer.piece(&String::from_utf8_lossy(&text))
            }
            Self::Sent(target, client) => target.deliver(entries, client).map_err(|undelivered| {
                Failed::new(format!("not everything was exported: {undelivered}"))
                    .hint("run it again: what has arrived takes its own place")
            }),
        }
    }
}

/// The public keys of gateways that have one. One that cannot be used stops the export: nothing goes out in the clear that
/// somebody wanted sealed.
fn keys(settings: &Settings, stored: &Stored) -> Result<HashMap<String, Option<SealingKey>>, Failed> {
    let (snapshot, _) = assemble::snapshot(settings, stored, None)?;
    let mut keys = HashMap::new();
    for gateway in snapshot.gateways() {
        let Some(pem) = &gateway.logpush_public_key else { continue };
        let key = SealingKey::parse(pem).map_err(|error| {
            Failed::config(format!("gateway `{}`: its logpush_public_key {error}", gateway.id))
        })?;
        keys.insert(gateway.id.clone(), Some(key));
    }
    Ok(keys)
}
