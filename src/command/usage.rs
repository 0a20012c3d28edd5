//! `genesis usage`: totals of requests, tokens and cost.

use clap::{Args, ValueEnum};
use genesis_store::{GroupBy, Store, UsageQuery, UsageRow};
use serde_json::json;

use super::logs::store_to_read;
use crate::home::Home;
use crate::printer::{Failed, Printer};
use crate::render::{self, Cell, Table};

/// Widest bar, and the width where there is no terminal to fill.
const WIDEST_BAR: usize = 40;
const USUAL_BAR: usize = 20;

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  genesis usage\n  genesis usage --by day --since 30d\n  \
    genesis usage --by model --gateway prod --json\n\n\
    Costs follow from the usage the providers reported and the price of the day, to the nano-dollar. \
    Totals are kept when log records are deleted.")]
pub(crate) struct Usage {
    /// What each line stands for; days and hours are UTC
    #[arg(long, value_enum, default_value_t = By::Model)]
    by: By,
    /// From when on: a length of time such as 24h or 7d, or a date (default: from the first call on)
    #[arg(long, value_name = "WHEN", value_parser = render::past)]
    since: Option<i64>,
    /// Until when, in the same words (default: now)
    #[arg(long, value_name = "WHEN", value_parser = render::past)]
    until: Option<i64>,
    /// This gateway only
    #[arg(long, value_name = "ID")]
    gateway: Option<String>,
    /// This provider only
    #[arg(long, value_name = "SLUG")]
    provider: Option<String>,
    /// This model only
    #[arg(long)]
    model: Option<String>,
    /// Print one JSON object; costs are integers in nano-USD
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    Model,
    Provider,
    Gateway,
    Day,
    Hour,
    Outcome,
}

impl By {
    fn group(self) -> GroupBy {
        match self {
            Self::Model => GroupBy::Model,
            Self::Provider => GroupBy::Provider,
            Self::Gateway => GroupBy::Gateway,
            Self::Day => GroupBy::Day,
            Self::Hour => GroupBy::Hour,
            Self::Outcome => GroupBy::Outcome,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Gateway => "gateway",
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Outcome => "outcome",
        }
    }
}

struct Report {
    by: By,
    rows: Vec<UsageRow>,
    total: UsageRow,
    /// The part of the total that was made up by the simulator.
    simulated: UsageRow,
}

pub(crate) fn run(args: Usage, printer: &Printer) -> Result<(), Failed> {
    let home = Home::find()?;
    let settings = home.settings()?;
    let report = match store_to_read(&home, &settings)? {
        Some(store) => Report::read(&store, &args)?,
        None => Report {
            by: args.by,
            rows: Vec::new(),
            total: UsageRow::default(),
            simulated: UsageRow::default(),
        },
    };
    if args.json {
        return printer.json(&json!({
            "by": report.by.name(),
            "since": args.since.map(render::iso),
            "until": args.until.map(render::iso),
            "rows": report.rows,
            "total": report.total,
            "simulated": report.simulated,
        }));
    }
    if report.rows.is_empty() {
        let narrowed = [&args.gateway, &args.provider, &args.model].iter().any(|filter| filter.is_some());
        printer.note(match narrowed || args.since.is_some() || args.until.is_some() {
            true => "no calls match; `genesis usage` without filters shows all",
            false => "no calls yet; start with `genesis dev`",
        });
        return Ok(());
    }
    printer.line(report.table())?;
    report.explain(printer);
    Ok(())
}

impl Report {
    fn read(store: &Store, args: &Usage) -> Result<Self, Failed> {
        let query = |group_by, simulated| UsageQuery {
            since_ms: args.since,
            until_ms: args.until,
            group_by,
            gateway: args.gateway.clone(),
            provider: args.provider.clone(),
            model: args.model.clone(),
            cached: None,
            simulated,
        };
        let total = |simulated| -> Result<UsageRow, Failed> {
            Ok(store.usage(&query(GroupBy::Total, simulated))?.into_iter().next().unwrap_or_default())
        };
        Ok(Self {
            by: args.by,
            rows: store.usage(&query(args.by.group(), None))?,
            total: total(None)?,
            simulated: total(Some(true))?,
        })
    }

    fn table(&self) -> Table {
        let heading = self.by.name().to_uppercase();
        let columns =
            [heading.as_str(), ">REQUESTS", ">ERRORS", ">CACHED", ">TOKENS IN", ">TOKENS OUT", ">COST", ""];
        let mut bare = Table::new(&columns);
        for row in self.rows.iter().chain([&self.total]) {
            bare.row(self.cells(row));
        }
        let width = bare.room().unwrap_or(USUAL_BAR).min(WIDEST_BAR);
        let measure = |row: &UsageRow| match self.rows.iter().any(|row| row.cost_nano_usd > 0) {
            true => row.cost_nano_usd.unsigned_abs(),
            false => row.requests,
        };
        let most = self.rows.iter().map(measure).max().unwrap_or_default();

        let mut table = Table::new(&columns);
        for row in &self.rows {
            let bar = Cell::bar(render::bar(measure(row), most, width));
            table.row(self.cells(row).into_iter().chain([bar]));
        }
        let mut total = self.cells(&self.total);
        total[0] = Cell::strong("total");
        table.row(total);
        table
    }

    fn cells(&self, row: &UsageRow) -> Vec<Cell> {
        let unpriced = row.unpriced > 0;
        let cost = match (row.cost_nano_usd, unpriced) {
            (0, true) => render::NONE.to_owned(),
            (cost, true) => format!("≥ {}", render::money(cost)),
            (cost, false) => render::money(cost),
        };
        let key = match self.by {
            By::Outcome => row.key.replace('_', " "),
            // `provider/model`, where a refused call may have had neither.
            By::Model if row.key.ends_with('/') => {
                format!("{} (no model)", row.key.trim_end_matches('/')).trim_start().to_owned()
            }
            _ => render::shortened(&row.key, 48),
        };
        vec![
            render::or_none(&key).into(),
            render::count(row.requests).into(),
            if row.errors > 0 { Cell::bad(render::count(row.errors)) } else { Cell::faint("0") },
            if row.cached > 0 { Cell::good(render::count(row.cached)) } else { Cell::faint("0") },
            render::count(row.tokens_in).into(),
            render::count(row.tokens_out).into(),
            if unpriced { Cell::doubtful(cost) } else { Cell::strong(cost) },
        ]
    }

    fn explain(&self, printer: &Printer) {
        let calls = |number| {
            if number == 1 { "1 call".to_owned() } else { format!("{} calls", render::count(number)) }
        };
        if self.total.unpriced > 0 {
            printer.note(format!(
                "\n{} without a known cost: the provider reported no usage, or the model has no price. The sums \
                 leave them out. A price for a model goes into genesis.json, `models.providers.<slug>.models[].cost`.",
                calls(self.total.unpriced)
            ));
        }
        if self.simulated.requests > 0 {
            printer.note(format!(
                "\n{} answered by the simulator; {} of the cost was never spent.",
                calls(self.simulated.requests),
                render::money(self.simulated.cost_nano_usd)
            ));
        }
    }
}
