//! `genesis env`: where each variable comes from, without its value.

use std::collections::BTreeMap;

use clap::Args;
use genesis_config::{Environment, Providers, Source};
use serde_json::{Value, json};

use crate::assemble;
use crate::client::{Credential, credential};
use crate::home::{Home, Settings};
use crate::printer::{Failed, Printer};
use crate::render::{self, Cell, Table};

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  genesis env\n  genesis env OPENAI_API_KEY\n  genesis env --json | jq '.variables[] | select(.source == null)'\n\n\
    The first of these that has a value wins: a flag of the command, the process, .env in the genesis folder, (.env in\n\
    the working directory with env.cwdDotEnv), the env block of genesis.json, (the login shell with\n\
    env.shellEnv.enabled). An empty value counts as none. For provider keys, those sealed by `genesis key set` and\n\
    apiKey of genesis.json follow.\n\n\
    Exit code 1 if a variable that is named here has no value."
)]
pub(crate) struct Env {
    /// Only these variables
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Print one JSON object: {variables: [...], keys: [...]}
    #[arg(long)]
    json: bool,
}

/// A variable that matters here.
struct Row {
    name: String,
    /// The one that wins, then those it stands before.
    sources: Vec<Source>,
    used_by: Vec<String>,
}

pub(crate) fn run(args: &Env, printer: &Printer) -> Result<(), Failed> {
    let home = Home::find()?;
    let settings = home.settings()?;
    settings.warnings.iter().for_each(|warning| printer.warn(warning));
    let providers = assemble::providers(&settings)?;
    let rows = rows(args, &settings, &providers);
    let keys = if args.names.is_empty() { keys(&home, &settings, &providers, printer) } else { Vec::new() };
    if args.json {
        let variables: Vec<Value> = rows.iter().map(described).collect();
        let keys: Vec<Value> = keys
            .iter()
            .map(|(slug, found)| json!({ "provider": slug, "credential": found.to_string() }))
            .collect();
        printer.json(&json!({ "variables": variables, "keys": keys }))?;
    } else {
        if !rows.is_empty() {
            printer.line(table(&rows))?;
        }
        if !keys.is_empty() {
            let mut table = Table::new(&["PROVIDER", "ITS KEY COMES FROM"]);
            keys.iter()
                .for_each(|(slug, found)| table.row([Cell::strong(slug), Cell::good(found.to_string())]));
            printer.line(format!("{}{table}", if rows.is_empty() { "" } else { "\n" }))?;
        }
        if rows.is_empty() && keys.is_empty() {
            printer.note("no variable that matters here is set; `genesis onboard` sets up where calls go");
        }
    }
    let unset: Vec<&str> =
        rows.iter().filter(|row| row.sources.is_empty()).map(|row| row.name.as_str()).collect();
    match unset.as_slice() {
        [] => Ok(()),
        _ if args.names.is_empty() => Ok(()),
        unset => Err(Failed::new(format!("not set: {}", unset.join(", ")))
            .hint("put it into .env in the genesis folder, which services read too")),
    }
}

/// Variables that provide a key, that the file refers to, that are kept in our own places, or that the product reads.
fn rows(args: &Env, settings: &Settings, providers: &Providers) -> Vec<Row> {
    let environment = &settings.environment;
    let mut uses: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for provider in providers.iter() {
        for name in provider.env.iter().filter(|name| wanted(name, args, environment)) {
            uses.entry(name.clone()).or_default().push(format!("key of {}", provider.slug));
        }
    }
    for (name, path) in settings.file.references() {
        uses.entry(name.to_owned()).or_default().push(path);
    }
    for (name, used_for) in OWN.iter().filter(|(name, _)| wanted(name, args, environment)) {
        uses.entry((*name).to_owned()).or_default().push((*used_for).to_owned());
    }
    let kept = |name: &&str| environment.all(name).iter().any(|(_, source)| OURS.contains(source));
    for name in environment.names().filter(kept).chain(args.names.iter().map(String::as_str)) {
        uses.entry(name.to_owned()).or_default();
    }
    uses.into_iter()
        .filter(|(name, _)| args.names.is_empty() || args.names.contains(name))
        .map(|(name, used_by)| {
            let sources = environment.all(&name).iter().map(|(_, source)| *source).collect();
            Row { name, sources, used_by }
        })
        .collect()
}

/// Sources that hold nothing but what somebody put there for us.
const OURS: [Source; 3] = [Source::DotEnv, Source::CwdDotEnv, Source::Block];

/// What the product itself reads.
const OWN: [(&str, &str); 9] = [
    ("CF_AI_GATEWAY_ACCOUNT_ID", "account of cloudflare-ai-gateway, where no baseUrl is set"),
    ("CF_AI_GATEWAY_GATEWAY_ID", "gateway of cloudflare-ai-gateway, where no baseUrl is set"),
    ("CLOUDFLARE_ACCOUNT_ID", "account of cloudflare-ai-gateway, where no baseUrl is set"),
    ("GENESIS_GATEWAY_PORT", "port of the gateway (--port outranks it)"),
    ("GENESIS_HOME", "this folder"),
    ("GENESIS_LOG", "how much the gateway says"),
    ("GENESIS_LOG_FORMAT", "how the gateway says it"),
    ("GENESIS_MASTER_KEY", "seals the stored keys"),
    ("NO_COLOR", "no colours"),
];

fn wanted(name: &str, args: &Env, environment: &Environment) -> bool {
    environment.lookup(name).is_some() || args.names.iter().any(|wanted| wanted == name)
}

/// The credential each provider would be called with, where there is one.
fn keys(
    home: &Home,
    settings: &Settings,
    providers: &Providers,
    printer: &Printer,
) -> Vec<(String, Credential)> {
    let stored = home
        .store_to_read(settings)
        .and_then(|store| Ok(store.map(|store| store.keys()).transpose()?.unwrap_or_default()));
    let stored = stored.unwrap_or_else(|failed| {
        printer.warn(format!("stored keys are not looked at: {failed}"));
        Vec::new()
    });
    let of = providers
        .iter()
        .map(|provider| (provider.slug.clone(), credential(provider, &stored, &settings.environment)));
    of.filter(|(_, credential)| credential.is_found()).collect()
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&["VARIABLE", "COMES FROM", "STANDS BEFORE", "USED AS"]);
    for row in rows {
        let names: Vec<String> = row.sources.iter().map(ToString::to_string).collect();
        let winner = match names.first() {
            Some(name) => Cell::good(name),
            None => Cell::bad("not set"),
        };
        let rest = names.get(1..).unwrap_or_default().join(", ");
        table.row([
            Cell::strong(&row.name),
            winner,
            Cell::faint(render::or_none(&rest)),
            render::or_none(&row.used_by.join(", ")).into(),
        ]);
    }
    table
}

fn described(row: &Row) -> Value {
    json!({
        "name": row.name,
        "source": row.sources.first().map(|source| word(*source)),
        "standsBefore": row.sources.iter().skip(1).map(|source| word(*source)).collect::<Vec<_>>(),
        "usedBy": row.used_by,
    })
}

/// A source as scripts compare it.
fn word(source: Source) -> &'static str {
    match source {
        Source::Process => "process",
        Source::DotEnv => "dot-env",
        Source::CwdDotEnv => "cwd-dot-env",
        Source::Block => "config-env",
        Source::LoginShell => "login-shell",
    }
}
