//! `genesis status`: one screen.

use clap::Args;
use genesis_store::{LogField, LogFilter, LogRecord, Operator, Store, UsageQuery, UsageRow};
use serde_json::json;

use super::logs::store_to_read;
use super::service::Report;
use super::traffic::Detail;
use crate::assemble;
use crate::client::{Credential, credential};
use crate::control::now_ms;
use crate::home::{Home, Settings};
use crate::printer::{Failed, Printer};
use crate::render::{self, Cell, Table};
use crate::service::Manager;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  genesis status\n  genesis status --json\n\n\
    Nothing is sent to a provider; `genesis doctor` looks further.")]
pub(crate) struct Status {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What the store knows of the last day.
#[derive(Default)]
struct LastDay {
    total: UsageRow,
    failed: Option<LogRecord>,
}

pub(crate) fn run(args: &Status, printer: &Printer) -> Result<(), Failed> {
    let home = Home::find()?;
    let settings = home.settings()?;
    settings.warnings.iter().for_each(|warning| printer.warn(warning));
    let store = store_to_read(&home, &settings)?;
    let service = Report::gather(Manager::of_this_machine(false), &home, &settings)?;
    let keys = keys(&settings, store.as_ref())?;
    let last = store.as_ref().map(LastDay::read).transpose()?.unwrap_or_default();
    let default = settings.file.agents.defaults.model.primary.as_deref();
    if args.json {
        return printer.json(&json!({
            "config": home.config_path(),
            "configExists": home.config_path().exists(),
            "defaultModel": default,
            "keys": keys.iter().map(|(slug, found)| json!({"provider": slug, "credential": found.to_string()})).collect::<Vec<_>>(),
            "gateway": service.json(),
            "lastDay": last.total,
            "lastFailure": last.failed.as_ref().map(|record| json!({
                "id": record.id, "at": render::iso(record.created_at_ms), "status": record.status, "error": record.error,
            })),
        }));
    }
    let mut table = Table::headless(&["", ""]);
    let mut row = |name: &str, cell: Cell| {
        table.row([Cell::faint(name), cell]);
    };
    let exists = home.config_path().exists();
    let config = home.config_path().display().to_string();
    row("config", Cell::new(if exists { config } else { format!("{config} (not there; defaults apply)") }));
    row("default", default.map_or_else(|| Cell::doubtful("no default model"), Cell::new));
    row("keys", keys_in_words(&keys));
    row("service", Cell::new(service.service_in_words()));
    row("gateway", service.answer_in_words());
    row("last 24 h", Cell::new(last.in_words()));
    if let Some(record) = &last.failed {
        let id = record.id.to_string();
        let text = format!("{} {} ({})", record.status, render::plain(&record.error), &id[..13]);
        row("last error", Cell::bad(text));
    }
    service.traffic(&mut table, Detail::Troubled);
    printer.line(table)?;
    if default.is_none() && keys.is_empty() {
        printer.note("`genesis onboard` sets up a provider; `genesis dev` needs none");
    }
    Ok(())
}

/// The providers that have a credential, and where from.
fn keys(settings: &Settings, store: Option<&Store>) -> Result<Vec<(String, Credential)>, Failed> {
    let stored = store.map(Store::keys).transpose()?.unwrap_or_default();
    let providers = assemble::providers(settings)?;
    let found = providers
        .iter()
        .map(|provider| (provider.slug.clone(), credential(provider, &stored, &settings.environment)));
    Ok(found.filter(|(_, found)| found.is_found()).collect())
}

fn keys_in_words(keys: &[(String, Credential)]) -> Cell {
    if keys.is_empty() {
        return Cell::doubtful("none found");
    }
    let words: Vec<_> = keys.iter().map(|(slug, found)| format!("{slug} ({found})")).collect();
    Cell::new(words.join(", "))
}

impl LastDay {
    fn read(store: &Store) -> Result<Self, Failed> {
        let since_ms = Some(now_ms() - DAY_MS);
        let query = UsageQuery { since_ms, ..UsageQuery::default() };
        let failures = LogFilter { limit: 1, ..LogFilter::default() }.is(LogField::Success, false).with(
            LogField::CreatedAt,
            Operator::AtLeast,
            now_ms() - DAY_MS,
        );
        Ok(Self {
            total: store.usage(&query)?.pop().unwrap_or_default(),
            failed: store.logs(&failures)?.pop(),
        })
    }

    fn in_words(&self) -> String {
        let UsageRow { requests, errors, cost_nano_usd, .. } = self.total;
        if requests == 0 {
            return "no calls".to_owned();
        }
        format!(
            "{} calls, {} failed, {}",
            render::count(requests),
            render::count(errors),
            render::money(cost_nano_usd)
        )
    }
}
