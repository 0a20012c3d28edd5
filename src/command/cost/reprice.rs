//! `genesis cost reprice`: logged costs after a price was corrected.

use std::collections::BTreeMap;

use clap::Args;
use genesis_config::{PriceTable, Providers};
use genesis_store::{Correction, LogField, LogFilter, LogRecord, Operator, Store};
use genesis_wire::Usage;
use serde_json::json;

use crate::assemble;
use crate::command::logs::store_to_read;
use crate::control::now_ms;
use crate::home::Home;
use crate::printer::{Failed, Printer};
use crate::render::{self, Cell, Table};

/// Records read at once.
const PAGE: usize = 500;

#[derive(Args, Debug)]
#[command(
    after_help = "Each record is priced as of its own time, by the table in force and the prices in genesis.json. \
    The record keeps its first cost beside the new one. Costs the caller gave, answers from the cache and exchanges of \
    several attempts are left alone.\n\n\
    Examples:\n  genesis cost reprice --since 7d --dry-run\n  genesis cost reprice --model gpt-6"
)]
pub(crate) struct Reprice {
    /// From when on: a length of time such as 7d, or a date
    #[arg(long, value_name = "WHEN", value_parser = render::past)]
    since: Option<i64>,
    /// Until when, in the same words
    #[arg(long, value_name = "WHEN", value_parser = render::past)]
    until: Option<i64>,
    /// This model only
    #[arg(long)]
    model: Option<String>,
    /// This provider only
    #[arg(long, value_name = "SLUG")]
    provider: Option<String>,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object; costs are integers in nano-USD
    #[arg(long)]
    json: bool,
}

/// What changes for one model.
#[derive(Default, serde::Serialize)]
struct Change {
    records: u64,
    before_nano_usd: i64,
    after_nano_usd: i64,
}

pub(super) fn run(args: &Reprice, printer: &Printer) -> Result<(), Failed> {
    let home = Home::find()?;
    let settings = home.settings()?;
    settings.warnings.iter().for_each(|warning| printer.warn(warning));
    if store_to_read(&home, &settings)?.is_none() {
        printer.note("nothing logged yet");
        return Ok(());
    }
    let store = home.store(&settings)?;
    let changes = reprice(args, &store, &assemble::providers(&settings)?)?;
    if args.json {
        return printer.json(&json!({ "dry_run": args.dry_run, "models": changes }));
    }
    if changes.is_empty() {
        printer.note("every cost is what the prices in force come to");
        return Ok(());
    }
    let mut table = Table::new(&["MODEL", ">RECORDS", ">BEFORE", ">AFTER", ">DIFFERENCE"]);
    for (model, change) in &changes {
        table.row([
            Cell::new(model),
            render::count(change.records).into(),
            render::money(change.before_nano_usd).into(),
            render::money(change.after_nano_usd).into(),
            Cell::strong(render::money(change.after_nano_usd - change.before_nano_usd)),
        ]);
    }
    printer.line(table)?;
    if args.dry_run {
        printer.note("nothing was changed: without --dry-run it will be");
    }
    Ok(())
}

/// Goes back through the log page by page; what is noted does not change the order.
fn reprice(args: &Reprice, store: &Store, providers: &Providers) -> Result<BTreeMap<String, Change>, Failed> {
    let mut filter = LogFilter { limit: PAGE, ..LogFilter::default() };
    for (field, text) in [(LogField::Model, &args.model), (LogField::Provider, &args.provider)] {
        filter = text.iter().fold(filter, |filter, text| filter.is(field, text.as_str()));
    }
    for (operator, time) in [(Operator::AtLeast, args.since), (Operator::Less, args.until)] {
        filter = time.iter().fold(filter, |filter, time| filter.with(LogField::CreatedAt, operator, *time));
    }
    let mut changes: BTreeMap<String, Change> = BTreeMap::new();
    loop {
        let records = store.logs(&filter)?;
        let Some(last) = records.last() else { return Ok(changes) };
        filter.before = Some(last.id);
        let corrections: Vec<Correction> =
            records.iter().filter_map(|record| correction(record, providers)).collect();
        for (correction, record) in corrections.iter().filter_map(|correction| {
            Some((correction, records.iter().find(|record| record.id == correction.id)?))
        }) {
            let change = changes.entry(format!("{}/{}", record.provider, record.model)).or_default();
            change.records += 1;
            change.before_nano_usd += record.cost_nano_usd.unwrap_or(0);
            change.after_nano_usd += correction.cost_nano_usd.unwrap_or(0);
        }
        if !args.dry_run {
            store.correct_costs(&corrections, now_ms())?;
        }
    }
}

/// Another cost than the logged one, if the prices in force come to one.
fn correction(record: &LogRecord, providers: &Providers) -> Option<Correction> {
    if record.custom_cost || record.cached || !record.attempts.is_empty() {
        return None;
    }
    let usage = record.usage.filter(|usage| *usage != Usage::default())?;
    let provider = providers.find(&record.provider)?;
    let price = provider.price(PriceTable::in_force(), &record.model, record.created_at_ms)?;
    let cost = price.cost(&usage);
    (record.cost_nano_usd != Some(cost.nano_usd)).then_some(Correction {
        id: record.id,
        cost_nano_usd: Some(cost.nano_usd),
        price_id: Some(price.id),
        price_formula: Some(cost.formula),
    })
}
