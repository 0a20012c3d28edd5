//! `genesis config`: the configuration file read, changed in place and checked.
//!
//! * `document`: its text, edited in memory and written as a whole or not at all
//! * `masked`: its values without the secrets among them
//! * `validate`: all that is wrong with it, and what is probably not meant

mod document;
mod masked;
mod validate;

use std::io::Read;

use clap::{Args, Subcommand};
use genesis_config::edit::{self, NewValue, Path, Step};
use serde_json::Value;

pub(super) use self::document::Document;
use crate::home::Home;
use crate::printer::{Failed, Printer};
use crate::render;

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Print where the configuration file is
    File,
    /// Print a value; secrets are masked
    Get(Get),
    /// Set a value; comments, order and everything else stay as they are
    Set(Set),
    /// Remove a value
    Unset(Unset),
    /// Check the whole file and list everything that is wrong
    Validate(validate::Validate),
    /// Print a JSON Schema of the file, for editors
    #[command(after_help = "Example:\n  genesis config schema > ~/.genesis/genesis.schema.json\n\n\
        With `$schema: \"./genesis.schema.json\"` in genesis.json, editors complete and explain its fields.")]
    Schema,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  genesis config get gateway.listen\n  genesis config get 'models.providers[\"my.llm\"].headers'\n  \
    genesis config get gateway.gateways --json\n\n\
    Exit code 1 if nothing is set there. What is not set has its default, which is not printed."
)]
pub(crate) struct Get {
    /// Place in the file: names with dots between them, [0] for an element of a list, ["a.b"] for any other name
    #[arg(value_parser = path)]
    path: Path,
    /// Print JSON on one line, texts in quotes
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  genesis config set gateway.listen 127.0.0.1:9000\n  \
    genesis config set gateway.gateways.prod '{ authentication: true, cache_ttl: 300 }'\n  \
    genesis config set 'gateway.accounts[0]' '\"1234\"'\n  \
    printf %s \"$KEY\" | genesis config set models.providers.openai.apiKey -\n\n\
    The value is read as JSON5; what is none is taken as text. Nothing is written if the file would be wrong.\n\
    What the file was before is kept as genesis.json.bak.")]
pub(crate) struct Set {
    /// Place in the file, as `genesis config get` takes it
    #[arg(value_parser = path)]
    path: Path,
    /// JSON5, or plain text; `-` reads plain text from standard input
    #[arg(allow_negative_numbers = true)]
    value: String,
    /// Refuse a value that is not JSON5
    #[arg(long)]
    strict_json: bool,
    /// Check and show the change, write nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  genesis config unset gateway.drainSeconds\n  genesis config unset 'gateway.accounts[1]'"
)]
pub(crate) struct Unset {
    /// Place in the file, as `genesis config get` takes it
    #[arg(value_parser = path)]
    path: Path,
}

pub(crate) fn run(command: Config, printer: &Printer) -> Result<(), Failed> {
    let home = Home::find()?;
    match command {
        Config::File => printer.line(home.config_path().display()),
        Config::Get(args) => get(&args, &home, printer),
        Config::Set(args) => set(&args, &home, printer),
        Config::Unset(args) => unset(&args, &home, printer),
        Config::Validate(args) => validate::run(&args, &home, printer),
        Config::Schema => printer.line(
            serde_json::to_string_pretty(&genesis_config::schema::schema())
                .map_err(|error| Failed::new(error.to_string()))?,
        ),
    }
}

fn path(text: &str) -> Result<Path, String> {
    text.parse::<Path>().map_err(|error| error.to_string())
}

fn get(args: &Get, home: &Home, printer: &Printer) -> Result<(), Failed> {
    let document = Document::open(home)?;
    if document.exists() && edit::whole(document.text()).is_none() {
        return Err(Failed::config(format!("{} cannot be read as JSON5", document.path().display()))
            .hint("`genesis config validate` says where it goes wrong"));
    }
    let Some(value) = document.value(&args.path) else {
        return Err(nothing_there(&document, &args.path));
    };
    let value = masked::masked(args.path.steps(), value);
    match value {
        value if args.json => printer.json(&value),
        Value::String(text) => printer.line(render::plain_lines(&text)),
        value => printer
            .line(serde_json::to_string_pretty(&value).map_err(|error| Failed::new(error.to_string()))?),
    }
}

fn set(args: &Set, home: &Home, printer: &Printer) -> Result<(), Failed> {
    let text = match args.value.as_str() {
        "-" => piped()?,
        text => text.to_owned(),
    };
    let value = match NewValue::parse(&text) {
        Some(value) if args.value != "-" => value,
        None if args.strict_json => {
            return Err(Failed::usage("the value is not JSON5").hint("quote text twice: '\"text\"'"));
        }
        _ => NewValue::text(&text),
    };
    if masked::holds_mask(&text) {
        return Err(Failed::new(format!("`{}` stands for a secret that was not shown", masked::MASK))
            .hint("set the other values one by one, so that the secret stays"));
    }
    let mut document = Document::open(home)?;
    let before = shown(&document, &args.path);
    document.set(&args.path, &value)?;
    let after = shown(&document, &args.path);
    if args.dry_run {
        document.check()?;
        printer.line(format!("{}: {before} → {after}", args.path))?;
        printer.note("nothing is written");
        return Ok(());
    }
    let changed = document.save()?;
    if changed {
        printer.note(format!("{}: {before} → {after}, in {}", args.path, document.path().display()));
    } else {
        printer.note(format!("{} is {after} already; nothing is written", args.path));
    }
    if args.value != "-" && after.contains(masked::MASK) {
        printer.warn(
            "a secret on the command line is kept in the shell's history; pipe it in with `-`, or keep provider keys \
             sealed with `genesis key set`",
        );
    }
    Ok(())
}

fn unset(args: &Unset, home: &Home, printer: &Printer) -> Result<(), Failed> {
    let mut document = Document::open(home)?;
    if !document.unset(&args.path)? {
        return Err(nothing_there(&document, &args.path));
    }
    document.save()?;
    printer.note(format!("{} is removed from {}", args.path, document.path().display()));
    Ok(())
}

/// A value on one line, for people.
fn shown(document: &Document, path: &Path) -> String {
    match document.value(path) {
        None => "(not set)".to_owned(),
        Some(value) => render::plain(&masked::masked(path.steps(), value).to_string()),
    }
}

fn piped() -> Result<String, Failed> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Failed::new(format!("standard input: {error}")))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

fn nothing_there(document: &Document, path: &Path) -> Failed {
    let failed = Failed::new(format!("{path} is not set"));
    if !document.exists() {
        return failed
            .hint(format!("there is no {} yet; everything has its default", document.path().display()));
    }
    match nearest(document, path) {
        Some(near) => failed.hint(format!("did you mean `{near}`?")),
        None => failed.hint("`genesis config schema` describes every field"),
    }
}

/// The path with its first unknown name replaced by the likeliest one there is.
fn nearest(document: &Document, path: &Path) -> Option<String> {
    let mut here = edit::whole(document.text())?;
    let mut walked: Option<Path> = None;
    for step in path.steps() {
        let Step::Name(name) = step else { return None };
        let Value::Object(mut map) = here else { return None };
        let (known, below) = match map.remove(name) {
            Some(below) => (name.clone(), below),
            None => {
                let near = genesis_config::problem::nearest(name, map.keys().map(String::as_str))?.to_owned();
                let below = map.remove(&near)?;
                (near, below)
            }
        };
        walked = Some(walked.map_or_else(|| Path::of([known.as_str()]), |path| path.join(&known)));
        here = below;
    }
    walked.map(|path| path.to_string())
}
