//! `genesis cost verify`: one receipt, reckoned again step by step.

use clap::Args;
use genesis_config::money::scaled;
use genesis_config::{Price, PriceTable, Providers};
use genesis_store::LogRecord;
use genesis_wire::Usage;
use genesis_wire::report::usage_of_raw;
use serde::Serialize;

use crate::assemble;
use crate::command::logs::store_to_read;
use crate::home::Home;
use crate::printer::{Failed, Printer};
use crate::render::{self, Cell, Table};

#[derive(Args, Debug)]
#[command(after_help = "Ends with 0 if every step that can be checked agrees, else with 1.\n\n\
    Example:\n  genesis cost verify 019aa3c2-71d4")]
pub(crate) struct Verify {
    /// Id of the record, or its first 8 digits or more
    id: String,
    /// Print one JSON object; costs are integers in nano-USD
    #[arg(long)]
    json: bool,
}

/// One step of the check.
#[derive(Serialize)]
struct Step {
    what: &'static str,
    /// `null`: it cannot be checked.
    agrees: Option<bool>,
    detail: String,
}

pub(super) fn run(args: &Verify, printer: &Printer) -> Result<(), Failed> {
    let home = Home::find()?;
    let settings = home.settings()?;
    let found = match store_to_read(&home, &settings)? {
        Some(store) => store.log(&args.id)?,
        None => None,
    };
    let Some((record, _)) = found else {
        return Err(Failed::new(format!(
            "no record has an id that starts with `{}`",
            render::plain(&args.id)
        )));
    };
    if record.cost_nano_usd.is_none() {
        return Err(Failed::new("this record has no cost: its usage or its price is unknown")
            .hint("once the price is known, `genesis cost reprice` adds it"));
    }
    let steps = [usage(&record), formula(&record), price(&record, &assemble::providers(&settings)?)];
    let wrong = steps.iter().filter(|step| step.agrees == Some(false)).count();
    if args.json {
        printer.json(&serde_json::json!({
            "id": record.id, "cost_nano_usd": record.cost_nano_usd, "agrees": wrong == 0, "steps": steps,
        }))?;
    } else {
        let mut table = Table::new(&["STEP", "RESULT", ""]);
        for step in &steps {
            let result = match step.agrees {
                Some(true) => Cell::good("agrees"),
                Some(false) => Cell::bad("differs"),
                None => Cell::doubtful("not checked"),
            };
            table.row([Cell::new(step.what), result, Cell::new(&step.detail)]);
        }
        printer.line(table)?;
    }
    if wrong == 0 { Ok(()) } else { Err(Failed::new("the logged cost is not what follows from the receipt")) }
}

/// The usage that was priced is the one the provider reported.
fn usage(record: &LogRecord) -> Step {
    let what = "usage";
    let (Some(dialect), Some(raw)) = (record.dialect, &record.raw_usage) else {
        return Step {
            what,
            agrees: None,
            detail: "the provider's own usage object was not kept".to_owned(),
        };
    };
    let kept = record.usage.unwrap_or_default();
    match usage_of_raw(dialect, raw) {
        Some(read) if read == kept => Step { what, agrees: Some(true), detail: words(&kept) },
        Some(read) => {
            let detail = format!("logged {}; the provider reported {}", words(&kept), words(&read));
            Step { what, agrees: Some(false), detail }
        }
        None => Step { what, agrees: None, detail: "the provider's usage object cannot be read".to_owned() },
    }
}

fn words(usage: &Usage) -> String {
    let Usage { input, cache_read, cache_write, cache_write_1h, output, reasoning } = *usage;
    let classes = [
        ("input", input),
        ("cache_read", cache_read),
        ("cache_write", cache_write),
        ("cache_write_1h", cache_write_1h),
        ("output", output),
        ("reasoning", reasoning),
    ];
    let used: Vec<_> = classes
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(class, count)| format!("{count} {class}"))
        .collect();
    if used.is_empty() { "nothing".to_owned() } else { used.join(" + ") }
}

/// The formula comes to the cost.
fn formula(record: &LogRecord) -> Step {
    let what = "formula";
    let formula = record.price_formula.as_deref().unwrap_or_default();
    let cost = record.cost_nano_usd.unwrap_or_default();
    match evaluate(formula) {
        Some(sum) if sum == i128::from(cost) => {
            Step { what, agrees: Some(true), detail: format!("{formula} = {}", render::money(cost)) }
        }
        Some(sum) => {
            let sum = render::money(i64::try_from(sum).unwrap_or(i64::MAX));
            let detail = format!("{formula} = {sum}, logged was {}", render::money(cost));
            Step { what, agrees: Some(false), detail }
        }
        None => Step { what, agrees: None, detail: "there is no formula that can be reckoned".to_owned() },
    }
}

/// What a formula as [`Price::cost`] writes it comes to, in nano-USD.
fn evaluate(formula: &str) -> Option<i128> {
    let (mut millionths, mut whole) = (0_i128, 0_i128);
    for term in formula.split(" + ") {
        if let Some(amount) = term.strip_suffix(" as given").or(term.strip_suffix(" per request")) {
            whole += nano(amount)?;
            continue;
        }
        let (tokens, rate) = term.split_once(" × ")?;
        let tokens: i128 = tokens.split(' ').next()?.parse().ok()?;
        millionths += tokens * nano(rate.strip_suffix("/M")?)?;
    }
    Some((millionths + 500_000).div_euclid(1_000_000) + whole)
}

/// `$1.25` in nano-USD.
fn nano(text: &str) -> Option<i128> {
    scaled(text.strip_prefix('$')?, 9)
}

/// The price with the logged id gives the cost.
fn price(record: &LogRecord, providers: &Providers) -> Step {
    let what = "price";
    let id = record.price_id.as_deref().unwrap_or_default();
    let unknown = |detail: String| Step { what, agrees: None, detail };
    if record.custom_cost {
        return unknown("the caller gave the price (cf-aig-custom-cost)".to_owned());
    }
    if !record.attempts.is_empty() {
        return unknown("the cost is the sum of several attempts; `genesis logs` shows each".to_owned());
    }
    let Some(price) = find(record, id, providers) else {
        let table = PriceTable::in_force().as_of();
        return unknown(format!("{id} is not among the prices at hand (table of {table})"));
    };
    let (cost, logged) =
        (price.cost(&record.usage.unwrap_or_default()), record.cost_nano_usd.unwrap_or_default());
    let agrees = cost.nano_usd == logged;
    let detail = match agrees {
        true => format!("{id}: {}", cost.formula),
        false => format!(
            "{id} comes to {} ({}), logged was {}; `genesis cost reprice` corrects it",
            render::money(cost.nano_usd),
            cost.formula,
            render::money(logged)
        ),
    };
    Step { what, agrees: Some(agrees), detail }
}

fn find(record: &LogRecord, id: &str, providers: &Providers) -> Option<Price> {
    PriceTable::in_force().by_id(id).or_else(|| {
        // The operator's own figure has no date.
        let provider = providers.find(&record.provider)?;
        let price = provider.price(PriceTable::in_force(), &record.model, record.created_at_ms)?;
        (price.id == id).then_some(price)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_reckoned_as_costs_are() {
        for (formula, nano_usd) in [
            ("1000 input × $3/M + 200 output × $15/M", Some(6_000_000)),
            ("40 input × $0.0000125/M", Some(1)),
            ("39 input × $0.0000125/M", Some(0)),
            ("1 input × $1/M + $0.01 per request", Some(10_001_000)),
            ("$0.5 as given", Some(500_000_000)),
            ("12×3.00", None),
            ("", None),
        ] {
            assert_eq!(evaluate(formula), nano_usd.map(i128::from), "{formula}");
        }
    }
}
