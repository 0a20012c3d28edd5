//! `genesis key`: the provider keys the gateway attaches, and where each of them comes from.

mod found;
pub(super) mod typed;

use clap::{Args, Subcommand};
use genesis_config::{Auth, Provider, Providers};
use genesis_store::KeyRow;
use jiff::Timestamp;

use self::found::{found_keys, in_environment};
use super::logs::store_to_read;
use super::token::gateway_id;
use crate::assemble;
use crate::home::{Home, Settings};
use crate::printer::{Failed, Printer};
use crate::render::{self, Cell, Table};

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Store a key, sealed; it is read from standard input or asked for, never taken from the command line
    Set(Set),
    /// List stored keys and those found in the environment and the configuration file
    List(List),
    /// Remove a stored key
    Remove(Remove),
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  genesis key set anthropic\n  genesis key set openai --alias work < key.txt\n  \
    genesis key set google-vertex-ai < service-account.json\n\n\
    A key is attached for callers that present a gateway token; `genesis key list` shows which one is used."
)]
pub(crate) struct Set {
    /// Provider, such as anthropic
    provider: String,
    #[command(flatten)]
    which: Which,
    #[arg(hide = true)]
    surplus: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Which {
    /// Name among the provider's keys; requests choose one with `cf-aig-byok-alias`
    #[arg(long, default_value = DEFAULT_ALIAS, value_parser = alias)]
    alias: String,
    /// The only gateway it is for (default: all)
    #[arg(long, value_name = "ID", value_parser = gateway_id)]
    gateway: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct List {
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Remove {
    /// Provider, such as anthropic
    provider: String,
    #[command(flatten)]
    which: Which,
}

const DEFAULT_ALIAS: &str = "default";

impl Key {
    /// Stores the provider's usual key.
    pub(super) fn set(provider: String) -> Self {
        Self::Set(Set { provider, which: Which::usual(), surplus: Vec::new() })
    }

    /// Removes it.
    pub(super) fn remove(provider: String) -> Self {
        Self::Remove(Remove { provider, which: Which::usual() })
    }
}

impl Which {
    fn usual() -> Self {
        Self { alias: DEFAULT_ALIAS.to_owned(), gateway: None }
    }
}

pub(crate) fn run(command: Key, printer: &Printer) -> Result<(), Failed> {
    let home = Home::find()?;
    let settings = home.settings()?;
    for warning in &settings.warnings {
        printer.warn(warning);
    }
    match command {
        Key::Set(args) => set(&args, &home, &settings, printer),
        Key::List(args) => list(&args, &home, &settings, printer),
        Key::Remove(args) => remove(&args, &home, &settings, printer),
    }
}

fn set(args: &Set, home: &Home, settings: &Settings, printer: &Printer) -> Result<(), Failed> {
    if !args.surplus.is_empty() {
        return Err(Failed::usage(
            "keys are not taken from the command line: other users of this machine could read it, and the shell \
             keeps it in its history",
        )
        .hint(format!(
            "run `genesis key set {}` and paste the key at the prompt, or pipe it in; what was typed just now \
             should be replaced at the provider",
            printable(&args.provider).unwrap_or("<provider>")
        )));
    }
    let providers = assemble::providers(settings)?;
    let provider = find(&providers, &args.provider)?;
    if matches!(provider.auth, Auth::None) {
        return Err(Failed::new(format!("{} takes no key", provider.name)));
    }
    let store = home.store(settings)?;
    let secret = typed::read(provider)?;
    let Which { alias, gateway } = &args.which;
    let now = Timestamp::now().as_millisecond();
    let row = store.set_key(&provider.slug, alias, gateway.as_deref(), &secret, now)?;
    let verb = if row.created_at_ms == row.modified_at_ms { "stored" } else { "replaced" };
    printer.note(format!("{verb} {}: {}", named(&row), render::plain(&row.preview)));

    let found = found_keys(&store.keys()?, &providers, &settings.environment);
    if let Some(unused) = found.iter().find(|key| key.is(&row)).and_then(|key| key.unused.as_deref()) {
        printer.warn(format!("it is not used for now: {unused}"));
    }
    Ok(())
}

fn list(args: &List, home: &Home, settings: &Settings, printer: &Printer) -> Result<(), Failed> {
    let providers = assemble::providers(settings)?;
    let stored = store_to_read(home, settings)?.map(|store| store.keys()).transpose()?.unwrap_or_default();
    let keys = found_keys(&stored, &providers, &settings.environment);
    if args.json {
        return printer.json(&keys);
    }
    if keys.is_empty() {
        printer.note(
            "no keys yet; store one with `genesis key set <provider>`, such as `genesis key set anthropic`",
        );
        return Ok(());
    }
    let mut table = Table::new(&["PROVIDER", "ALIAS", "GATEWAY", "SOURCE", "KEY", "RATE", "SET", "USED"]);
    for key in &keys {
        let source = match &key.origin {
            Some(origin) => format!("{}: {origin}", key.source),
            None => key.source.to_owned(),
        };
        let set = key.modified_at_ms.map(|ms| render::local(ms, "%Y-%m-%d"));
        let set = set.unwrap_or_else(|| render::NONE.to_owned());
        table.row([
            Cell::strong(&key.provider),
            (&key.alias).into(),
            key.gateway.as_deref().unwrap_or("all").into(),
            source.into(),
            Cell::faint(&key.preview),
            key.rate.as_ref().map_or_else(|| render::NONE.to_owned(), ToString::to_string).into(),
            set.into(),
            match &key.unused {
                None => Cell::good("yes"),
                Some(reason) => Cell::doubtful(format!("no: {reason}")),
            },
        ]);
    }
    printer.line(table)
}

fn remove(args: &Remove, home: &Home, settings: &Settings, printer: &Printer) -> Result<(), Failed> {
    let providers = assemble::providers(settings)?;
    // A stored key may outlive its provider's entry in the configuration file.
    let slug = providers.find(&args.provider).map_or(args.provider.as_str(), |provider| &provider.slug);
    let Which { alias, gateway } = &args.which;
    let stored = store_to_read(home, settings)?.map(|store| store.keys()).transpose()?.unwrap_or_default();
    let is_it = |row: &&KeyRow| row.provider == slug && row.alias == *alias && row.gateway == *gateway;
    let Some(row) = stored.iter().find(is_it) else {
        let others: Vec<_> = stored.iter().filter(|row| row.provider == slug).map(named).collect();
        find(&providers, &args.provider)?;
        let failed = Failed::new(format!("no such key is stored for {slug}"));
        return Err(match others.is_empty() {
            true => failed.hint("`genesis key list` shows all keys"),
            false => failed.hint(format!("stored: {}; choose with --alias and --gateway", others.join("; "))),
        });
    };
    home.store(settings)?.remove_key(slug, alias, gateway.as_deref())?;
    printer.note(format!("removed {}", named(row)));
    if let Some((name, source)) =
        providers.find(slug).and_then(|provider| in_environment(provider, &settings.environment))
    {
        printer.note(format!("{name} ({source}) still holds a key for {slug}"));
    }
    Ok(())
}

/// `the key for openai, alias work, gateway prod`
fn named(row: &KeyRow) -> String {
    let alias = if row.alias == DEFAULT_ALIAS {
        String::new()
    } else {
        format!(", alias {}", render::plain(&row.alias))
    };
    let gateway =
        row.gateway.as_ref().map(|id| format!(", gateway {}", render::plain(id))).unwrap_or_default();
    format!("the key for {}{alias}{gateway}", render::plain(&row.provider))
}

fn find<'a>(providers: &'a Providers, slug: &str) -> Result<&'a Provider, Failed> {
    if let Some(provider) = providers.find(slug) {
        return Ok(provider);
    }
    let Some(slug) = printable(slug) else {
        return Err(Failed::usage(
            "the first argument is a provider's name, such as `anthropic`; this is none",
        )
        .hint("if it was a key: keys are not taken from the command line, and this one should be replaced"));
    };
    let failed = Failed::usage(format!("no provider is called `{slug}`"));
    Err(match providers.nearest(slug) {
        Some(near) => failed.hint(format!("did you mean `{near}`?")),
        None => failed.hint("providers of your own go into genesis.json, under `models.providers`"),
    })
}

/// The name if it can be one: a key in its place must not be repeated.
fn printable(slug: &str) -> Option<&str> {
    let plain = slug.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c));
    let digits = slug.chars().filter(char::is_ascii_digit).count();
    (plain && slug.len() <= 32 && digits <= 4 && !slug.starts_with("sk-")).then_some(slug)
}

fn alias(text: &str) -> Result<String, String> {
    match text.len() {
        1..=64 if text.chars().all(|c| c.is_ascii_graphic()) => Ok(text.to_owned()),
        _ => {
            Err("an alias has 1 to 64 letters, digits or signs, no blanks: it travels in a header".to_owned())
        }
    }
}
