//! `genesis logs`: what went through the gateway.

mod export;
mod lines;
mod record;

use std::thread;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use genesis_store::{Direction, ErrorKind, LogField, LogFilter, LogRecord, Operator, Store};

use self::lines::Lines;

use crate::home::{Home, Settings};
use crate::printer::{Failed, Printer};
use crate::render;

/// How often `--follow` looks for new records.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Records asked for at once.
const PAGE: usize = 500;

#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "The newest stand at the bottom, as `tail` prints them. An exchange is logged when it ends.\n\n\
    Examples:\n  genesis logs -f --failed\n  genesis logs --since 1h --provider anthropic --metadata team=search\n  \
    genesis logs 019a7c52-81f0\n  genesis logs 019a7c52-81f0 --body response | jq .usage\n  \
    genesis logs --since 7d --limit 1000 --json | jq -r .cost_nano_usd"
)]
pub(crate) struct Logs {
    #[command(subcommand)]
    command: Option<Box<LogsCommand>>,
    /// Show this exchange in full; the first 8 digits of its id, or more, will do
    #[arg(conflicts_with_all = ["filters", "follow", "limit"])]
    id: Option<String>,
    /// With an id: print the body alone, exactly as it was if the output is no terminal
    #[arg(long, value_enum, requires = "id", value_name = "WHICH")]
    body: Option<Body>,
    #[command(flatten)]
    filters: Filters,
    /// At most this many, the newest
    #[arg(long, short = 'n', default_value_t = 20, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Go on with new ones as they come; Ctrl-C ends it
    #[arg(long, short)]
    follow: bool,
    /// Print one JSON object a line; costs are integers in nano-USD
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum LogsCommand {
    /// Carry what is in the log now elsewhere, once
    Export(export::Export),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Body {
    Request,
    Response,
    Both,
}

#[derive(Args, Debug)]
#[group(id = "filters", multiple = true)]
struct Filters {
    /// This gateway only
    #[arg(long, value_name = "ID")]
    gateway: Option<String>,
    /// This provider only
    #[arg(long, value_name = "SLUG")]
    provider: Option<String>,
    /// This model only
    #[arg(long)]
    model: Option<String>,
    /// This HTTP status only
    #[arg(long, value_name = "CODE")]
    status: Option<u16>,
    /// Only what did not succeed
    #[arg(long)]
    failed: bool,
    /// From when on: a length of time such as 30m, 1h or 7d, or a date
    #[arg(long, value_name = "WHEN", value_parser = render::past)]
    since: Option<i64>,
    /// Until when, in the same words
    #[arg(long, value_name = "WHEN", value_parser = render::past)]
    until: Option<i64>,
    /// Only where this is part of the model, the path or the error
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only with this entry in the caller's `cf-aig-metadata`
    #[arg(long, value_name = "KEY=VALUE", value_parser = entry)]
    metadata: Option<Entry>,
    /// Only with this `cf-aig-event-id`
    #[arg(long, value_name = "ID")]
    event_id: Option<String>,
}

#[derive(Clone, Debug)]
struct Entry {
    key: String,
    value: String,
}

pub(crate) fn run(args: Logs, printer: &Printer) -> Result<(), Failed> {
    if let Some(LogsCommand::Export(args)) = args.command.as_deref() {
        return export::run(args, printer);
    }
    let home = Home::find()?;
    let settings = home.settings()?;
    if let Some(id) = &args.id {
        return record::show(id, args.body, args.json, store_to_read(&home, &settings)?.as_ref(), printer);
    }
    let mut lines = Lines::new(args.json, printer);
    if args.follow {
        return follow(&args, &home, &settings, &mut lines, printer);
    }
    let Some(store) = store_to_read(&home, &settings)? else {
        printer.note(NOTHING_YET);
        return Ok(());
    };
    let records = args.filters.newest(&store, args.limit as usize)?;
    if records.is_empty() {
        printer.note(match store.logs(&LogFilter { limit: 1, ..LogFilter::default() })?.is_empty() {
            true => NOTHING_YET,
            false => "no record matches; `genesis logs` without filters shows the newest",
        });
        return Ok(());
    }
    lines.print(&records)
}

const NOTHING_YET: &str = "nothing logged yet; start with `genesis dev`";

/// The store for reading, also while a gateway writes to it; `None` if there is none yet.
pub(super) fn store_to_read(home: &Home, settings: &Settings) -> Result<Option<Store>, Failed> {
    home.store_to_read(settings)
}

fn follow(
    args: &Logs,
    home: &Home,
    settings: &Settings,
    lines: &mut Lines<'_>,
    printer: &Printer,
) -> Result<(), Failed> {
    let path = home.store_path(settings)?;
    let mut told = false;
    let store = loop {
        match Store::open_read_only(&path) {
            Ok(store) => break store,
            // Not there, or just being created.
            Err(error) if error.kind() == ErrorKind::NotFound || !path.exists() => {}
            Err(error) => return Err(Failed::from(error).hint_path(&path)),
        }
        if !told {
            printer.note("nothing logged yet; waiting for the first call (`genesis dev` starts a gateway)");
            told = true;
        }
        thread::sleep(LOOK_EVERY);
    };
    // Asked for before the records: whatever is recorded in between comes after it.
    let newest = store.logs(&LogFilter { limit: 1, ..LogFilter::default() })?;
    let records = args.filters.newest(&store, args.limit as usize)?;
    lines.print(&records)?;
    let mut last = records.last().or(newest.last()).cloned();
    loop {
        thread::sleep(LOOK_EVERY);
        while let Some(records) = args.filters.after(&store, last.as_ref())? {
            last = records.last().cloned().or(last);
            let wanted: Vec<_> = records.into_iter().filter(|record| args.filters.accept(record)).collect();
            lines.print(&wanted)?;
        }
    }
}

impl Filters {
    fn filter(&self) -> LogFilter {
        let mut filter = LogFilter { search: self.search.clone(), ..LogFilter::default() };
        let entry = self.metadata.as_ref();
        for (field, text) in [
            (LogField::Gateway, self.gateway.as_ref()),
            (LogField::Provider, self.provider.as_ref()),
            (LogField::Model, self.model.as_ref()),
            (LogField::EventId, self.event_id.as_ref()),
            (LogField::MetadataKey, entry.map(|entry| &entry.key)),
            (LogField::MetadataValue, entry.map(|entry| &entry.value)),
        ] {
            filter = text.cloned().into_iter().fold(filter, |filter, text| filter.is(field, text));
        }
        let number = |field, operator, number: Option<i64>| {
            move |filter: LogFilter| match number {
                Some(number) => filter.with(field, operator, number),
                None => filter,
            }
        };
        filter = number(LogField::Status, Operator::Equal, self.status.map(i64::from))(filter);
        filter = number(LogField::CreatedAt, Operator::AtLeast, self.since)(filter);
        filter = number(LogField::CreatedAt, Operator::Less, self.until)(filter);
        if self.failed { filter.is(LogField::Success, false) } else { filter }
    }

    /// The store finds a key and a value; here they have to be of one entry.
    fn accept(&self, record: &LogRecord) -> bool {
        let Some(Entry { key, value }) = &self.metadata else {
            return true;
        };
        match record.metadata.get(key) {
            Some(serde_json::Value::String(text)) => text == value,
            Some(other) => serde_json::from_str(value).is_ok_and(|value: serde_json::Value| value == *other),
            None => false,
        }
    }

    /// The last `limit` records that match, the newest at the end.
    fn newest(&self, store: &Store, limit: usize) -> Result<Vec<LogRecord>, Failed> {
        let mut records: Vec<LogRecord> = Vec::new();
        let mut before = None;
        while records.len() < limit {
            let asked = PAGE.min(limit - records.len());
            let page = store.logs(&LogFilter { before, limit: asked, ..self.filter() })?;
            let Some(oldest) = page.last() else { break };
            before = Some(oldest.id);
            let complete = page.len() < asked;
            records.extend(page.into_iter().filter(|record| self.accept(record)));
            if complete {
                break;
            }
        }
        records.reverse();
        Ok(records)
    }

    /// What was recorded since, oldest first; `None` if there is nothing.
    fn after(&self, store: &Store, last: Option<&LogRecord>) -> Result<Option<Vec<LogRecord>>, Failed> {
        let filter = LogFilter {
            after: last.map(|record| record.id),
            direction: Direction::Ascending,
            limit: PAGE,
            ..self.filter()
        };
        match store.logs(&filter) {
            Ok(records) => Ok((!records.is_empty()).then_some(records)),
            Err(error) if error.kind() == ErrorKind::Locked => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// For clap.
fn entry(text: &str) -> Result<Entry, String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok(Entry { key: key.to_owned(), value: value.to_owned() }),
        _ => Err("write it as key=value, such as team=search".to_owned()),
    }
}
