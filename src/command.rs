//! One file per command: plain arguments in, done or [`Failed`] out.

pub(crate) mod agent;
pub(crate) mod backup;
pub(crate) mod cache;
pub(crate) mod chat;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod cost;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod env;
pub(crate) mod explain;
pub(crate) mod gateway;
pub(crate) mod key;
pub(crate) mod logs;
pub(crate) mod models;
pub(crate) mod onboard;
pub(crate) mod service;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod traffic;
pub(crate) mod usage;

use crate::cli::{Cli, Command, GatewayCommand};
use crate::printer::{Failed, Printer};

pub(crate) fn run(cli: Cli, printer: &Printer) -> Result<(), Failed> {
    match cli.command {
        Command::Dev(args) => dev::run(&args, printer),
        Command::Gateway(args) => match args.command {
            None => gateway::run(&args.run, printer),
            Some(GatewayCommand::Run(args)) => gateway::run(&args, printer),
            Some(GatewayCommand::Install(args)) => service::install(&args, printer),
            Some(GatewayCommand::Uninstall(which)) => service::uninstall(which, printer),
            Some(GatewayCommand::Start(which)) => service::start(which, printer),
            Some(GatewayCommand::Stop(which)) => service::stop(which, printer),
            Some(GatewayCommand::Restart(which)) => service::restart(which, printer),
            Some(GatewayCommand::Status(args)) => service::status(&args, printer),
            Some(GatewayCommand::Logs(args)) => service::logs(&args),
        },
        Command::Status(args) => status::run(&args, printer),
        Command::Agent(args) => agent::run(&args, printer),
        Command::Chat(args) => chat::run(&args, printer),
        Command::Onboard(args) => onboard::run(&args, printer),
        Command::Env(args) => env::run(&args, printer),
        Command::Models(args) => models::run(args, printer),
        Command::Config(args) => config::run(args, printer),
        Command::Token(args) => token::run(args, printer),
        Command::Key(args) => key::run(args, printer),
        Command::Cache(args) => cache::run(args, printer),
        Command::Logs(args) => logs::run(args, printer),
        Command::Usage(args) => usage::run(args, printer),
        Command::Doctor(args) => doctor::run(&args, printer),
        Command::Explain(args) => explain::run(&args, printer),
        Command::Cost(args) => cost::run(args, printer),
        Command::Backup(args) => backup::backup(&args, printer),
        Command::Restore(args) => backup::restore(&args, printer),
        Command::Completion(args) => completion::completion(&args, printer),
        Command::Man(args) => completion::man(&args, printer),
    }
}
