//! The arguments, as typed.

use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand};

use crate::command::{
    agent, backup, cache, chat, completion, config, cost, doctor, env, explain, key, logs, models, onboard,
    service, status, token, usage,
};

/// An AI gateway you run yourself that speaks Cloudflare AI Gateway's API.
#[derive(Debug, Parser)]
#[command(name = "genesis", version, arg_required_else_help = true, propagate_version = true)]
#[command(
    after_help = "Start with `genesis dev`: a complete gateway on this machine, with no key, no account and no network;\n\
    or with `genesis onboard`: it asks where your calls go and sets it up."
)]
pub(crate) struct Cli {
    /// Print results and errors only.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a complete gateway on loopback: providers without a key are simulated, callers need no token
    Dev(Dev),
    /// Set up where calls go: a gateway, a provider, the keys, the default model
    Onboard(Box<onboard::Onboard>),
    /// Run the gateway, or keep it running as a service
    #[command(alias = "daemon")]
    Gateway(Gateway),
    /// One screen: configuration, keys, gateway, last calls
    Status(status::Status),
    /// Ask a model one question and print its answer
    Agent(agent::Agent),
    /// Talk with a model, back and forth
    #[command(alias = "tui")]
    Chat(chat::Chat),
    /// Show where each variable comes from, without its value
    Env(env::Env),
    /// Models: what they cost, which can be called, and which is the default
    #[command(subcommand)]
    Models(models::Models),
    /// Read and change genesis.json, comments kept
    #[command(subcommand)]
    Config(config::Config),
    /// Gateway tokens: who may call
    #[command(subcommand)]
    Token(token::Token),
    /// Provider keys the gateway keeps and attaches (BYOK)
    #[command(subcommand)]
    Key(key::Key),
    /// Cached answers: what is kept, and how to be rid of it
    #[command(subcommand)]
    Cache(cache::Cache),
    /// Look at what went through the gateway
    Logs(logs::Logs),
    /// Totals: requests, tokens, cost
    Usage(usage::Usage),
    /// Find what is wrong with the set-up, and say what to do
    Doctor(doctor::Doctor),
    /// Say what the gateway would do with a call, and why, without sending it
    Explain(explain::Explain),
    /// Check what calls cost: against the price, after a correction, against the provider's bill
    #[command(subcommand)]
    Cost(cost::Cost),
    /// Save settings and log in one file, while the gateway runs
    Backup(backup::Backup),
    /// Bring a backup back
    Restore(backup::Restore),
    /// Print a completion script for a shell
    Completion(completion::Completion),
    /// Print the manual page, or write one per command
    Man(completion::Man),
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  genesis dev\n  genesis dev --port 0 --gateway prod --simulate-all\n\nAnswers of the simulator carry the header `cf-aig-simulated: true`."
)]
pub(crate) struct Dev {
    /// Port on 127.0.0.1; 0 lets the system choose
    #[arg(long, default_value_t = 18789, env = "GENESIS_GATEWAY_PORT")]
    pub(crate) port: u16,
    /// Answer to this gateway id too (`default` and those of the configuration file always exist)
    #[arg(long, value_name = "ID")]
    pub(crate) gateway: Vec<String>,
    /// Simulate every provider, also those with a key
    #[arg(long)]
    pub(crate) simulate_all: bool,
    /// Print one JSON line with the address when ready
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Examples:\n  genesis gateway run\n  genesis gateway install\n  genesis gateway status\n  genesis gateway logs --follow\n\nWithout a command, it runs in the foreground."
)]
pub(crate) struct Gateway {
    #[command(subcommand)]
    pub(crate) command: Option<GatewayCommand>,
    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GatewayCommand {
    /// Run it in the foreground until it is told to stop
    Run(Run),
    /// Make it a service of this machine, and start it
    Install(service::Install),
    /// Stop the service and remove it; configuration, keys and logs stay
    Uninstall(service::Which),
    /// Start the service
    Start(service::Which),
    /// Stop the service
    Stop(service::Which),
    /// Stop and start the service
    Restart(service::Which),
    /// Whether the service runs and answers, and which keys it can see
    Status(service::Status),
    /// What the gateway says about itself (calls are in `genesis logs`)
    Logs(service::Logs),
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  genesis gateway run\n  genesis gateway run --listen 0.0.0.0:18789\n\nSIGTERM and Ctrl-C drain: exchanges under way may finish (gateway.drainSeconds)."
)]
pub(crate) struct Run {
    /// Address to listen on (default: gateway.listen of the configuration file, else 127.0.0.1:18789)
    #[arg(long, conflicts_with = "port")]
    pub(crate) listen: Option<SocketAddr>,
    /// Port on 127.0.0.1
    #[arg(long, env = "GENESIS_GATEWAY_PORT")]
    pub(crate) port: Option<u16>,
    /// Listen beyond loopback even though a gateway asks for no token
    #[arg(long)]
    pub(crate) allow_open: bool,
}
