//! `genesis cost reconcile`: the log's totals against a provider's own export, by day and model.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use genesis_config::PriceTable;
use genesis_store::{
    AnalyticsCondition, AnalyticsOrder, AnalyticsQuery, Bucket, Dimension, Direction, Store,
};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::json;

use super::csv;
use crate::command::logs::store_to_read;
use crate::home::Home;
use crate::printer::{Failed, Printer};
use crate::render::{self, Cell, Table};

#[derive(Args, Debug)]
#[command(
    after_help = "OpenAI's activity and cost exports and Anthropic's usage and cost exports are known by their \
    columns; name the columns of others. Days are UTC. What the gateway answered from its cache or simulated is left \
    out. Ends with 1 at the first day and model that differ.\n\n\
    Examples:\n  genesis cost reconcile completions_usage_2026-11-01_2026-11-30.csv\n  \
    genesis cost reconcile bill.csv --provider groq --date-column day --model-column model --cost-column usd"
)]
pub(crate) struct Reconcile {
    /// The export
    file: PathBuf,
    /// Whose it is; found out for OpenAI's and Anthropic's
    #[arg(long, value_name = "SLUG")]
    provider: Option<String>,
    /// Column with the day: a date, a time, or seconds since 1970
    #[arg(long, value_name = "NAME")]
    date_column: Option<String>,
    #[arg(long, value_name = "NAME")]
    model_column: Option<String>,
    /// Column with US dollars
    #[arg(long, value_name = "NAME")]
    cost_column: Option<String>,
    /// Columns with input tokens, cached ones included; several are added up
    #[arg(long, value_name = "NAME")]
    tokens_in_column: Vec<String>,
    #[arg(long, value_name = "NAME")]
    tokens_out_column: Vec<String>,
    #[arg(long, value_name = "NAME")]
    requests_column: Option<String>,
    /// Differences up to this many percent are none
    #[arg(long, default_value_t = 0.5, value_name = "PERCENT")]
    tolerance: f64,
    /// Print one JSON object; costs are integers in nano-USD
    #[arg(long)]
    json: bool,
}

/// Which columns hold what.
#[derive(Clone, Debug, Default)]
struct Layout {
    provider: String,
    date: String,
    model: Option<String>,
    cost: Option<String>,
    tokens_in: Vec<String>,
    tokens_out: Vec<String>,
    requests: Option<String>,
}

/// Sums of one side; `None` where it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
struct Figures {
    requests: Option<i64>,
    tokens_in: Option<i64>,
    tokens_out: Option<i64>,
    cost_nano_usd: Option<i64>,
}

/// By day and, unless the export leaves it out, model.
type Ledger = BTreeMap<(Date, String), Figures>;

pub(super) fn run(args: &Reconcile, printer: &Printer) -> Result<(), Failed> {
    let text = std::fs::read_to_string(&args.file)
        .map_err(|error| Failed::new(format!("cannot read {}: {error}", args.file.display())))?;
    let rows =
        csv::rows(&text).map_err(|problem| Failed::new(format!("{}: {problem}", args.file.display())))?;
    let (columns, rows) = rows.split_first().ok_or_else(|| Failed::new("the export is empty"))?;
    let layout = layout(args, columns)?;
    let theirs = theirs(&layout, columns, rows)?;
    let (Some(first), Some(last)) = (theirs.keys().next(), theirs.keys().next_back()) else {
        return Err(Failed::new("the export has no rows with figures"));
    };
    let home = Home::find()?;
    let settings = home.settings()?;
    let ours = match store_to_read(&home, &settings)? {
        Some(store) => ours(&store, &layout, (first.0, last.0))?,
        None => Ledger::new(),
    };
    report(args, &layout, &theirs, &ours, printer)
}

/// By flags, else by the names of the columns.
fn layout(args: &Reconcile, columns: &[String]) -> Result<Layout, Failed> {
    let has = |name: &str| columns.iter().any(|column| column == name);
    let text = |name: &str| Some(name.to_owned());
    let list = |names: &[&str]| -> Vec<String> {
        names.iter().filter(|name| has(name)).map(|name| (*name).to_owned()).collect()
    };
    let mut layout = if has("usage_date_utc") && has("usage_output_tokens") {
        // Anthropic, usage
        Layout {
            provider: "anthropic".into(),
            date: "usage_date_utc".into(),
            model: text("model_version"),
            tokens_in: list(&[
                "usage_input_tokens_no_cache",
                "usage_input_tokens_cache_write_5m",
                "usage_input_tokens_cache_write_1h",
                "usage_input_tokens_cache_read",
            ]),
            tokens_out: list(&["usage_output_tokens"]),
            ..Layout::default()
        }
    } else if has("usage_date_utc") && has("cost_usd") {
        // Anthropic, cost
        Layout {
            provider: "anthropic".into(),
            date: "usage_date_utc".into(),
            model: text("model"),
            cost: text("cost_usd"),
            ..Layout::default()
        }
    } else if has("start_time") && has("num_model_requests") {
        // OpenAI, activity
        Layout {
            provider: "openai".into(),
            date: "start_time".into(),
            model: text("model"),
            tokens_in: list(&["input_tokens"]),
            tokens_out: list(&["output_tokens"]),
            requests: text("num_model_requests"),
            ..Layout::default()
        }
    } else if has("start_time") && has("amount_value") {
        // OpenAI, costs: a line item is `model, input` and the like, if it is there at all.
        Layout {
            provider: "openai".into(),
            date: "start_time".into(),
            model: text("line_item"),
            cost: text("amount_value"),
            ..Layout::default()
        }
    } else {
        Layout::default()
    };
    let given = |flag: &Option<String>, place: &mut Option<String>| {
        if flag.is_some() {
            place.clone_from(flag);
        }
    };
    given(&args.model_column, &mut layout.model);
    given(&args.cost_column, &mut layout.cost);
    given(&args.requests_column, &mut layout.requests);
    layout.date = args.date_column.clone().unwrap_or(layout.date);
    layout.provider = args.provider.clone().unwrap_or(layout.provider);
    for (flag, place) in
        [(&args.tokens_in_column, &mut layout.tokens_in), (&args.tokens_out_column, &mut layout.tokens_out)]
    {
        if !flag.is_empty() {
            place.clone_from(flag);
        }
    }
    complete(layout, columns)
}

/// An error that says which flag is missing, or which column is not there.
fn complete(mut layout: Layout, columns: &[String]) -> Result<Layout, Failed> {
    let seen = || format!("the columns are: {}", render::plain(&columns.join(", ")));
    if layout.date.is_empty() || layout.provider.is_empty() {
        return Err(Failed::usage("this export is not known")
            .hint("name its columns: --provider, --date-column, --model-column, --cost-column, --tokens-in-column, …")
            .hint(seen()));
    }
    let has = |name: &String| columns.contains(name);
    // OpenAI leaves these out unless asked to group by them.
    layout.model = layout.model.filter(has);
    let mut named = vec![&layout.date];
    named.extend(
        layout.cost.iter().chain(&layout.requests).chain(&layout.tokens_in).chain(&layout.tokens_out),
    );
    if let Some(missing) = named.into_iter().find(|name| !has(name)) {
        return Err(Failed::usage(format!("there is no column `{}`", render::plain(missing))).hint(seen()));
    }
    let figures = layout.cost.is_some() || layout.requests.is_some() || !layout.tokens_in.is_empty();
    if !figures && layout.tokens_out.is_empty() {
        return Err(Failed::usage("no column with figures is named").hint(seen()));
    }
    Ok(layout)
}

fn theirs(layout: &Layout, columns: &[String], rows: &[Vec<String>]) -> Result<Ledger, Failed> {
    let at = |name: &String| columns.iter().position(|column| column == name);
    let mut ledger = Ledger::new();
    for (number, row) in rows.iter().enumerate() {
        let field = |name: &String| at(name).and_then(|at| row.get(at)).map_or("", |text| text.trim());
        let wrong = |what: &str, text: &str| {
            Failed::new(format!("row {}: `{}` is no {what}", number + 2, render::plain(text)))
        };
        let numbers = |names: &[String], exponent: i32| -> Result<Option<i64>, Failed> {
            let texts = names.iter().map(&field).filter(|text| !text.is_empty());
            let mut sum = None;
            for text in texts {
                let number = genesis_config::money::scaled(text, exponent)
                    .and_then(|number| i64::try_from(number).ok());
                sum = Some(sum.unwrap_or(0_i64).saturating_add(number.ok_or_else(|| wrong("number", text))?));
            }
            Ok(sum)
        };
        let one = |name: &Option<String>| name.iter().cloned().collect::<Vec<_>>();
        let figures = Figures {
            requests: numbers(&one(&layout.requests), 0)?,
            tokens_in: numbers(&layout.tokens_in, 0)?,
            tokens_out: numbers(&layout.tokens_out, 0)?,
            cost_nano_usd: numbers(&one(&layout.cost), 9)?,
        };
        if figures == Figures::default() {
            // A day without anything.
            continue;
        }
        let date = field(&layout.date);
        let date = day(date).ok_or_else(|| wrong("day", date))?;
        let model =
            layout.model.as_ref().map_or("", |name| field(name).split(',').next().unwrap_or_default());
        add(ledger.entry((date, canonical(&layout.provider, model))).or_default(), &figures);
    }
    Ok(ledger)
}

/// `2026-11-22`, a time, or seconds since 1970.
fn day(text: &str) -> Option<Date> {
    let of = |moment: Timestamp| moment.to_zoned(TimeZone::UTC).date();
    if let Ok(seconds) = text.parse::<i64>() {
        return Timestamp::from_second(seconds).ok().map(of);
    }
    text.parse::<Timestamp>().ok().map(of).or_else(|| text.get(..10)?.parse().ok())
}

/// One name for all names of a model: the price table's, without the day, else as it is.
fn canonical(provider: &str, model: &str) -> String {
    let known = PriceTable::in_force().find(provider, model.trim(), 0);
    let id = known.as_ref().and_then(|price| price.id.split_once('/')?.1.split('@').next());
    id.unwrap_or(model.trim()).to_owned()
}

fn add(sum: &mut Figures, figures: &Figures) {
    let plus = |sum: &mut Option<i64>, more: Option<i64>| {
        if let Some(more) = more {
            *sum = Some(sum.unwrap_or(0).saturating_add(more));
        }
    };
    plus(&mut sum.requests, figures.requests);
    plus(&mut sum.tokens_in, figures.tokens_in);
    plus(&mut sum.tokens_out, figures.tokens_out);
    plus(&mut sum.cost_nano_usd, figures.cost_nano_usd);
}

fn ours(store: &Store, layout: &Layout, (first, last): (Date, Date)) -> Result<Ledger, Failed> {
    let start = |date: Date| date.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp().as_millisecond());
    let bounds = || Some((start(first).ok()?, start(last.tomorrow().ok()?).ok()?));
    let (since, until) = bounds().ok_or_else(|| Failed::new("the export's days are beyond any calendar"))?;
    let is = |dimension, value: &str| AnalyticsCondition {
        dimension,
        negated: false,
        values: vec![value.to_owned()],
    };
    let rows = store.analytics(&AnalyticsQuery {
        since_ms: Some(since),
        until_ms: Some(until),
        bucket: Some(Bucket::Day),
        group_by: vec![Dimension::Model],
        conditions: vec![
            is(Dimension::Provider, &layout.provider),
            is(Dimension::Cached, "false"),
            is(Dimension::Simulated, "false"),
        ],
        order: AnalyticsOrder::Bucket,
        direction: Direction::Ascending,
        limit: 0,
    })?;
    let mut ledger = Ledger::new();
    for row in rows {
        let moment = Timestamp::from_millisecond(row.bucket_ms.unwrap_or_default()).unwrap_or_default();
        let date = moment.to_zoned(TimeZone::UTC).date();
        let model =
            if layout.model.is_some() { canonical(&layout.provider, &row.group[0]) } else { String::new() };
        let sums = row.sums;
        let whole = |number: u64| Some(i64::try_from(number).unwrap_or(i64::MAX));
        let figures = Figures {
            // A call that failed before it was answered is on no bill.
            requests: whole(sums.requests - sums.errors),
            tokens_in: whole(sums.tokens_in),
            tokens_out: whole(sums.tokens_out),
            cost_nano_usd: Some(sums.cost_nano_usd),
        };
        if sums.tokens_in + sums.tokens_out > 0 || sums.cost_nano_usd != 0 {
            add(ledger.entry((date, model)).or_default(), &figures);
        }
    }
    Ok(ledger)
}

fn report(
    args: &Reconcile,
    layout: &Layout,
    theirs: &Ledger,
    ours: &Ledger,
    printer: &Printer,
) -> Result<(), Failed> {
    let mut keys: Vec<_> = theirs.keys().chain(ours.keys()).collect();
    keys.sort();
    keys.dedup();
    let differs = |key: &&(Date, String)| {
        let (their, our) = (of(theirs, key), of(ours, key));
        let pairs = [
            (layout.requests.is_some(), their.requests, our.requests),
            (!layout.tokens_in.is_empty(), their.tokens_in, our.tokens_in),
            (!layout.tokens_out.is_empty(), their.tokens_out, our.tokens_out),
            (layout.cost.is_some(), their.cost_nano_usd, our.cost_nano_usd),
        ];
        pairs
            .iter()
            .any(|(named, their, our)| *named && !close(their.unwrap_or(0), our.unwrap_or(0), args.tolerance))
    };
    let first = keys.iter().copied().find(differs);
    if args.json {
        printer.json(&json!({
            "provider": layout.provider,
            "compared": keys.len(),
            "first_difference": first.map(|key| json!({
                "day": key.0.to_string(), "model": key.1, "export": of(theirs, key), "log": of(ours, key),
            })),
        }))?;
    } else if let Some(key) = first {
        printer.line(table(key, &of(theirs, key), &of(ours, key)))?;
    } else {
        printer.note(format!("{} days and models agree", keys.len()));
    }
    match first {
        None => Ok(()),
        Some((day, model)) => {
            let model = if model.is_empty() { "all models" } else { model };
            let failed = Failed::new(format!("the first difference is on {day}, {}", render::plain(model)));
            Err(failed.hint(
                "calls past the gateway, another account's key, or a wrong price; `genesis logs --since … --model …` \
                 shows what was logged",
            ))
        }
    }
}

fn of(ledger: &Ledger, key: &(Date, String)) -> Figures {
    ledger.get(key).copied().unwrap_or_default()
}

fn close(their: i64, our: i64, percent: f64) -> bool {
    let (difference, most) = (their.abs_diff(our), their.unsigned_abs().max(our.unsigned_abs()));
    difference as f64 <= most as f64 * percent / 100.0
}

fn table(key: &(Date, String), their: &Figures, our: &Figures) -> Table {
    let mut table = Table::new(&[&format!("{} {}", key.0, key.1), ">EXPORT", ">LOG", ">DIFFERENCE"]);
    let count = |number: Option<i64>| number.map_or(render::NONE.to_owned(), |number| number.to_string());
    for (name, their, our) in [
        ("requests", their.requests, our.requests),
        ("tokens in", their.tokens_in, our.tokens_in),
        ("tokens out", their.tokens_out, our.tokens_out),
    ] {
        let difference = our.unwrap_or(0) - their.unwrap_or(0);
        let difference = if their.is_some() { difference.to_string() } else { render::NONE.to_owned() };
        table.row([Cell::new(name), count(their).into(), count(our).into(), difference.into()]);
    }
    let money = |nano: Option<i64>| nano.map_or(render::NONE.to_owned(), render::money);
    let difference = their.cost_nano_usd.map(|their| our.cost_nano_usd.unwrap_or(0) - their);
    table.row([
        Cell::new("cost"),
        money(their.cost_nano_usd).into(),
        money(our.cost_nano_usd).into(),
        money(difference).into(),
    ]);
    table
}
