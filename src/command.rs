//! One file per command: plain arguments in, done or [`Failed`] out.

pub(crate) mod config;
pub(crate) mod dev;
pub(crate) mod gateway;
pub(crate) mod key;
pub(crate) mod logs;
pub(crate) mod models;
pub(crate) mod token;
pub(crate) mod usage;

use crate::cli::{Cli, Command, Gateway};
use crate::printer::{Failed, Printer};

pub(crate) fn run(cli: Cli, printer: &Printer) -> Result<(), Failed> {
    match cli.command {
        Command::Dev(args) => dev::run(&args, printer),
        Command::Gateway(Gateway::Run(args)) => gateway::run(&args, printer),
        Command::Models(args) => models::run(args, printer),
        Command::Config(args) => config::run(args, printer),
        Command::Token(args) => token::run(args, printer),
        Command::Key(args) => key::run(args, printer),
        Command::Logs(args) => logs::run(args, printer),
        Command::Usage(args) => usage::run(args, printer),
    }
}
