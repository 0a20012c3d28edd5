//! `genesis`: an AI gateway you run yourself, and the command that sets it up, talks through it and watches it.
//!
//! * `cli`: the arguments, as typed
//! * `command`: one file per command
//! * `client`: talking to a model
//! * `home`: the folder everything lives in, and what is in it
//! * `assemble`: file + environment + store → the snapshot the gateway runs with
//! * `control`: notices changes and applies them while the gateway runs
//! * `export`: the log, and metrics, on their way to other systems
//! * `retention`: how many log records each gateway keeps
//! * `service`: the gateway under systemd or launchd
//! * `probe`: whether a gateway answers at an address
//! * `render`: tables, money and times for people
//! * `waiting`: says that something is awaited
//! * `printer`: everything that is written for people or scripts
//! * `private_file`: files that only their owner may read

mod assemble;
mod cli;
mod client;
mod command;
mod control;
mod export;
mod home;
mod printer;
mod private_file;
mod probe;
mod render;
mod retention;
mod service;
mod waiting;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::printer::Printer;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let printer = Printer::new(cli.quiet);
    match command::run(cli, &printer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => printer.failed(&error),
    }
}
