//! `genesis cache`: what is kept for repetition, and how to be rid of it.

use clap::{Args, Subcommand};
use genesis_store::CacheUse;
use serde_json::json;

use super::logs::store_to_read;
use super::token::gateway_id;
use crate::control::now_ms;
use crate::home::{Home, Settings};
use crate::printer::{Failed, Printer};
use crate::render::{self, Table};

#[derive(Debug, Subcommand)]
pub(crate) enum Cache {
    /// What is kept on disk, by gateway
    Stats(Stats),
    /// Remove cached answers; a running gateway forgets them within a second
    Purge(Purge),
}

#[derive(Args, Debug)]
pub(crate) struct Stats {
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  genesis cache purge --gateway prod\n  genesis cache purge --all")]
pub(crate) struct Purge {
    /// Only the answers of this gateway
    #[arg(long, value_name = "ID", value_parser = gateway_id, required_unless_present = "all")]
    gateway: Option<String>,
    /// The answers of every gateway
    #[arg(long, conflicts_with = "gateway")]
    all: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: Cache, printer: &Printer) -> Result<(), Failed> {
    let home = Home::find()?;
    let settings = home.settings()?;
    match command {
        Cache::Stats(args) => stats(&args, &home, &settings, printer),
        Cache::Purge(args) => purge(&args, &home, &settings, printer),
    }
}

fn stats(args: &Stats, home: &Home, settings: &Settings, printer: &Printer) -> Result<(), Failed> {
    let store = store_to_read(home, settings)?;
    let uses = store.map(|store| store.cache_use(now_ms())).transpose()?.unwrap_or_default();
    if args.json {
        return printer.json(&uses);
    }
    if uses.is_empty() {
        printer
            .note("nothing is cached on disk; `cache_ttl` of a gateway or `cf-aig-cache-ttl` switches it on");
        return Ok(());
    }
    let mut table = Table::new(&["GATEWAY", "ANSWERS", "BYTES", "EXPIRED"]);
    for CacheUse { gateway, answers, bytes, expired } in &uses {
        let [answers, bytes, expired] = [answers, bytes, expired].map(|number| render::count(*number).into());
        table.row([render::plain(gateway).into(), answers, bytes, expired]);
    }
    printer.line(table)
}

fn purge(args: &Purge, home: &Home, settings: &Settings, printer: &Printer) -> Result<(), Failed> {
    let gateway = args.gateway.as_deref();
    let removed = match store_to_read(home, settings)? {
        // Nothing was ever kept.
        None => 0,
        Some(_) => home.store(settings)?.purge_cache(gateway, now_ms())?,
    };
    if args.json {
        return printer.json(&json!({ "gateway": gateway, "removed": removed }));
    }
    let of = gateway.map_or_else(|| "all gateways".to_owned(), |gateway| format!("gateway `{gateway}`"));
    printer.note(format!(
        "{} entries of {of} removed; a running gateway forgets them within a second",
        render::count(removed)
    ));
    Ok(())
}
