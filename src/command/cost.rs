//! `genesis cost`: whether what was logged as the cost of calls is right.
//!
//! * `verify`: one receipt, reckoned again
//! * `reprice`: logged costs after a price was corrected
//! * `reconcile`: the log against a provider's own export; `csv`: reading that

mod csv;
mod reconcile;
mod reprice;
mod verify;

use clap::Subcommand;

use crate::printer::{Failed, Printer};

#[derive(Debug, Subcommand)]
pub(crate) enum Cost {
    /// Reckon a logged cost again from the provider's usage, the price and the formula
    Verify(verify::Verify),
    /// Correct logged costs by the prices in force, and the totals with them
    Reprice(reprice::Reprice),
    /// Compare the log with a provider's usage or cost export
    Reconcile(reconcile::Reconcile),
}

pub(crate) fn run(command: Cost, printer: &Printer) -> Result<(), Failed> {
    match command {
        Cost::Verify(args) => verify::run(&args, printer),
        Cost::Reprice(args) => reprice::run(&args, printer),
        Cost::Reconcile(args) => reconcile::run(&args, printer),
    }
}
