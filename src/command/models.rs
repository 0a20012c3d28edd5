//! `genesis models`: what they cost, which can be called, and which is the default.
//!
//! * `catalogue`: every model known by name, with its price and the credential it would be called with
//! * `list`: the catalogue as a table, as JSON, as references
//! * `reference`: `provider/model` as typed, and what was probably meant
//! * `status`: what would be called with which credential, and whether it answers
//! * `update`: a newer price table in place of the built-in one
//! * `defaults`: the default model, its fallbacks, and aliases, kept in the configuration file

mod catalogue;
mod defaults;
mod list;
pub(crate) mod reference;
mod status;
mod update;

use clap::{Args, Subcommand};

pub(super) use self::catalogue::model_ids;
pub(super) use self::defaults::put_default;

use super::key::{self, Key};
use crate::home::Home;
use crate::printer::{Failed, Printer};

#[derive(Debug, Subcommand)]
pub(crate) enum Models {
    /// List models with context window, abilities, price, and whether a credential was found
    List(list::List),
    /// Show the default model, its fallbacks, and the credential each provider is called with
    Status(status::Status),
    /// Take a newer price table; a running gateway prices the next calls with it
    Update(update::Update),
    /// Make a model the default
    Set(Set),
    /// Models tried in order when the default one fails
    #[command(subcommand)]
    Fallbacks(Fallbacks),
    /// Short names for models
    #[command(subcommand)]
    Aliases(Aliases),
    /// Provider keys; short for `genesis key`
    #[command(subcommand)]
    Auth(Auth),
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  genesis models set anthropic/claude-sonnet-4-6\n  \
    genesis models set cloudflare-ai-gateway/claude-sonnet-4-6\n  genesis models set fast    # an alias")]
pub(crate) struct Set {
    /// `provider/model`, or an alias
    #[arg(value_name = "MODEL")]
    model: String,
    /// Take a model or provider that is not known
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  genesis models fallbacks add openai/gpt-5\n  genesis models fallbacks list\n  \
    genesis models fallbacks clear"
)]
pub(crate) enum Fallbacks {
    /// List them in the order they are tried
    List(Json),
    /// Add one at the end
    Add(Set),
    /// Remove one
    Remove(Name),
    /// Remove all
    Clear,
}

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  genesis models aliases add fast anthropic/claude-haiku-4-5\n  \
    genesis models set fast\n  genesis models aliases remove fast")]
pub(crate) enum Aliases {
    /// List them
    List(Json),
    /// Name a model
    Add(Add),
    /// Remove a name
    Remove(Name),
}

#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  genesis models auth list\n  genesis models auth paste-api-key --provider anthropic\n  \
    genesis models auth remove --provider anthropic"
)]
pub(crate) enum Auth {
    /// List stored keys and those found elsewhere (`genesis key list`)
    List(key::List),
    /// Store a key, sealed; read from standard input or asked for (`genesis key set`)
    PasteApiKey(Whose),
    /// Remove a stored key (`genesis key remove`)
    Remove(Whose),
}

#[derive(Args, Debug)]
pub(crate) struct Whose {
    /// Provider, such as anthropic
    #[arg(long, value_name = "SLUG")]
    provider: String,
}

#[derive(Args, Debug)]
pub(crate) struct Json {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Name {
    /// The alias, or for a fallback `provider/model`
    name: String,
}

#[derive(Args, Debug)]
pub(crate) struct Add {
    /// Letters, digits, `_`, `.`, `:` and `-`
    alias: String,
    #[command(flatten)]
    model: Set,
}

pub(crate) fn run(command: Models, printer: &Printer) -> Result<(), Failed> {
    let home = Home::find()?;
    let settings = home.settings()?;
    // `genesis key` says them itself.
    if !matches!(command, Models::Auth(_)) {
        settings.warnings.iter().for_each(|warning| printer.warn(warning));
    }
    match command {
        Models::List(args) => list::run(&args, &home, &settings, printer),
        Models::Status(args) => status::run(&args, &home, &settings, printer),
        Models::Update(args) => update::run(&args, &home, printer),
        Models::Set(args) => defaults::set(&args, &home, &settings, printer),
        Models::Fallbacks(command) => defaults::fallbacks(command, &home, &settings, printer),
        Models::Aliases(command) => defaults::aliases(command, &home, &settings, printer),
        Models::Auth(command) => auth(command, printer),
    }
}

fn auth(command: Auth, printer: &Printer) -> Result<(), Failed> {
    let command = match command {
        Auth::List(args) => Key::List(args),
        Auth::PasteApiKey(args) => Key::set(args.provider),
        Auth::Remove(args) => Key::remove(args.provider),
    };
    key::run(command, printer)
}
