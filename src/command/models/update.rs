//! `genesis models update`: a newer price table in place of the built-in one.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use genesis_config::PriceTable;
use genesis_store::sha256;

use crate::home::Home;
use crate::printer::{Failed, Printer};

#[derive(Args, Debug)]
#[command(
    after_help = "The file has the shape of the built-in table. Its checksum is given, or stands in a file beside \
    it with `.sha256` at the end of its name, as sha256sum writes it.\n\n\
    Examples:\n  genesis models update prices.json --sha256 4f1c…\n  genesis models update prices.json\n  \
    genesis models update --builtin\n\n\
    Costs that were logged stay as they are: `genesis cost reprice --dry-run` shows what would change."
)]
pub(crate) struct Update {
    /// The new table
    #[arg(required_unless_present = "builtin")]
    file: Option<PathBuf>,
    /// Its SHA-256, 64 hex digits
    #[arg(long, value_name = "HEX", requires = "file")]
    sha256: Option<String>,
    /// Take it although it is older than the one in force
    #[arg(long, requires = "file")]
    older: bool,
    /// Go back to the table this version of genesis was built with
    #[arg(long, conflicts_with = "file")]
    builtin: bool,
}

pub(super) fn run(args: &Update, home: &Home, printer: &Printer) -> Result<(), Failed> {
    let Some(file) = &args.file else {
        match fs::remove_file(home.prices_path()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {
                printer.note(format!("the built-in prices of {} are in force", PriceTable::builtin().as_of()))
            }
        }
        return Ok(());
    };
    let bytes =
        fs::read(file).map_err(|error| Failed::new(format!("cannot read {}: {error}", file.display())))?;
    check_sum(file, args.sha256.as_deref(), &bytes)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Failed::new(format!("{} is no text; nothing was changed", file.display())))?;
    let table = PriceTable::parse(&text)
        .map_err(|problem| Failed::new(format!("{}: {problem}; nothing was changed", file.display())))?;
    let current = PriceTable::in_force();
    if table.as_of() < current.as_of() && !args.older {
        let message = format!(
            "its prices are of {}, those in force of {}; nothing was changed",
            table.as_of(),
            current.as_of()
        );
        return Err(Failed::new(message).hint("`--older` takes it all the same"));
    }
    if table.as_of() < PriceTable::builtin().as_of() {
        return Err(Failed::new(format!(
            "its prices are of {}, older than those this version was built with ({}); nothing was changed",
            table.as_of(),
            PriceTable::builtin().as_of()
        )));
    }
    replace(&home.prices_path(), &text)?;
    printer.note(format!("{} models, prices of {}; in force from now on", table.len(), table.as_of()));
    Ok(())
}

/// The file is what somebody meant it to be.
fn check_sum(file: &Path, given: Option<&str>, bytes: &[u8]) -> Result<(), Failed> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".sha256");
    let wanted = match given {
        Some(given) => given.to_owned(),
        None => fs::read_to_string(&beside).map_err(|_| {
            Failed::usage("prices are taken by their checksum only, and there is none").hint(
                "give it with --sha256, or put what sha256sum prints into a file beside it, `<file>.sha256`",
            )
        })?,
    };
    let wanted = wanted.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    let found: String = sha256(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if wanted == found {
        return Ok(());
    }
    Err(Failed::new(format!("{} is not the file it should be; nothing was changed", file.display()))
        .hint(format!("its SHA-256 is {found}; get the file again, or its checksum")))
}

/// Whole or not at all: a gateway may read it at any moment.
fn replace(path: &Path, text: &str) -> Result<(), Failed> {
    let part = path.with_extension("json.part");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(fs::rename(&part, path)?)
}
