//! `genesis backup` and `genesis restore`.

use std::path::PathBuf;

use clap::Args;
use genesis_store::{ErrorKind, Store};

use crate::control::now_ms;
use crate::home::Home;
use crate::printer::{Failed, Printer};
use crate::render;

#[derive(Args, Debug)]
#[command(
    after_help = "The file has tokens (as hashes), provider keys (sealed), gateways, the log and the totals, as of \
    one moment. It does not have genesis.json or .env. The master key that opens the sealed keys is master.key beside \
    the store, or GENESIS_MASTER_KEY: without it a restored store asks for the keys again.\n\n\
    Examples:\n  genesis backup /backups/genesis-$(date +%F).backup\n  genesis backup all.backup --with-master-key"
)]
pub(crate) struct Backup {
    /// A new file; only you can read it
    file: PathBuf,
    /// Put master.key into it, too. Whoever has the file then has the provider keys
    #[arg(long)]
    with_master_key: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Stop the gateway first. Example:\n  genesis restore genesis-2026-11-22.backup")]
pub(crate) struct Restore {
    /// What `genesis backup` wrote
    file: PathBuf,
    /// Move a store that is there aside, under names that end in .before-restore-<time>
    #[arg(long)]
    force: bool,
}

pub(crate) fn backup(args: &Backup, printer: &Printer) -> Result<(), Failed> {
    let home = Home::find()?;
    let settings = home.settings()?;
    let path = home.store_path(&settings)?;
    if !path.exists() {
        return Err(Failed::new("there is nothing to back up yet").hint_path(&path));
    }
    let store = home.store(&settings)?;
    let has_key = store.backup(&args.file, args.with_master_key, now_ms())?;
    let size = std::fs::metadata(&args.file)?.len();
    printer.note(format!("{}: {} bytes", args.file.display(), render::count(size)));
    match (has_key, args.with_master_key) {
        (true, _) => printer.warn("it holds the master key: keep it as safe as the provider keys themselves"),
        (false, true) => printer.warn("there is no file master.key to put into it"),
        (false, false) if !store.keys()?.is_empty() => {
            printer.note(
                "the stored provider keys in it open with this store's master key only; keep that elsewhere",
            );
        }
        (false, false) => {}
    }
    Ok(())
}

pub(crate) fn restore(args: &Restore, printer: &Printer) -> Result<(), Failed> {
    let home = Home::find()?;
    let settings = home.settings()?;
    let path = home.store_path(&settings)?;
    let restored = Store::restore(&args.file, &path, args.force, now_ms()).map_err(|error| {
        let exists = error.kind() == ErrorKind::Exists;
        let failed = Failed::from(error);
        if exists { failed.hint("stop the gateway before you do that") } else { failed }
    })?;
    for aside in &restored.moved_aside {
        printer.note(format!("moved aside: {}", aside.display()));
    }
    printer.note(format!("restored what was saved at {}", render::iso(restored.made_at_ms)));
    let store = home.store(&settings)?;
    if let Err(error) = store.open_keys() {
        printer.warn(format!("the stored provider keys do not open: {error}"));
    }
    Ok(())
}
