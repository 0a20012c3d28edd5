//! Records as lines of a table, or as one JSON object each.

use std::collections::HashSet;

use genesis_store::{LogRecord, Outcome};

use crate::printer::{Failed, Printer};
use crate::render::{self, Cell, Table};

/// How much of an id is shown: up to the end of one of its groups.
const ID_DIGITS: [usize; 4] = [13, 18, 23, 36];

const COLUMNS: [&str; 9] =
    ["TIME", "ID", "GATEWAY", "PROVIDER", "MODEL", "STATUS", ">TOKENS", ">COST", ">FIRST / ALL"];

/// Prints records batch by batch, aligned with those printed before.
pub(super) struct Lines<'a> {
    json: bool,
    /// Of the columns so far; empty before the headings are printed.
    widths: Vec<u16>,
    id_digits: usize,
    printer: &'a Printer,
}

impl<'a> Lines<'a> {
    pub(super) fn new(json: bool, printer: &'a Printer) -> Self {
        Self { json, widths: Vec::new(), id_digits: ID_DIGITS[0], printer }
    }

    pub(super) fn print(&mut self, records: &[LogRecord]) -> Result<(), Failed> {
        if self.json {
            return records.iter().try_for_each(|record| self.printer.json(record));
        }
        if records.is_empty() {
            return Ok(());
        }
        // Ids begin with the time, so calls of one moment begin alike: show as much as tells them apart.
        let told_apart = |digits: &usize| {
            let mut seen = HashSet::new();
            records.iter().all(|record| seen.insert(record.id.to_string()[..*digits].to_owned()))
        };
        let needed = ID_DIGITS.into_iter().find(told_apart).unwrap_or(ID_DIGITS[3]);
        self.id_digits = self.id_digits.max(needed);

        let mut table = if self.widths.is_empty() { Table::new(&COLUMNS) } else { Table::headless(&COLUMNS) };
        for record in records {
            table.row(self.cells(record));
        }
        self.widths = table.align_with(&self.widths);
        self.printer.line(table)
    }

    fn cells(&self, record: &LogRecord) -> Vec<Cell> {
        let tokens = record.usage.map(|usage| format!("{}/{}", usage.tokens_in(), usage.tokens_out()));
        let first = record.first_byte_ms.map_or_else(|| render::NONE.to_owned(), render::milliseconds);
        vec![
            Cell::faint(render::local(record.created_at_ms, "%Y-%m-%d %H:%M:%S")),
            record.id.to_string()[..self.id_digits].into(),
            render::shortened(&render::or_none(&record.gateway), 24).into(),
            render::or_none(&record.provider).into(),
            Cell::strong(render::shortened(&render::or_none(&record.model), 40)),
            status(record),
            tokens.unwrap_or_else(|| render::NONE.to_owned()).into(),
            record.cost_nano_usd.map_or_else(|| render::NONE.to_owned(), render::money).into(),
            Cell::faint(format!("{first} / {}", render::milliseconds(record.duration_ms))),
        ]
    }
}

fn status(record: &LogRecord) -> Cell {
    let mut text = record.status.to_string();
    if record.outcome != Outcome::Success {
        text = format!("{text} {}", render::outcome(record.outcome));
    }
    if record.cached {
        text.push_str(" cached");
    }
    if record.simulated {
        text.push_str(" simulated");
    }
    match record.outcome {
        Outcome::Success => Cell::good(text),
        Outcome::ClientLeft => Cell::doubtful(text),
        Outcome::ProviderError | Outcome::Refused | Outcome::UpstreamBroken => Cell::bad(text),
    }
}
