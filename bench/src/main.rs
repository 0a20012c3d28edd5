//! `genesis-bench`: the command line over the rooms listed in `lib.rs`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use genesis_bench::{compare, floor, idle, load, log, mock, start};

/// The gateway uses this allocator; the floor it is compared with must not be slower for want of it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measure a gateway against a bare proxy and nginx, on loopback.
#[derive(Parser, Debug)]
#[command(name = "genesis-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the mock provider
    Mock(mock::Options),
    /// Run the floor H: a bare pass-through proxy
    Floor(floor::Options),
    /// Put load on a URL and print what it cost, as JSON
    Load(load::Options),
    /// Hold quiet streams open through a URL and print the memory each one costs, as JSON
    Idle(idle::Options),
    /// Start a command and print the milliseconds to its first 200 from a URL
    Start(start::Options),
    /// Print the size of a file in bytes
    Size {
        /// The file, usually the release binary
        file: PathBuf,
    },
    /// Write millions of records into a log and time what people ask of it
    Log(log::Options),
    /// Measure everything, interleaved, and judge it against the goals
    Compare(compare::Options),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing is left to do when stderr is closed.
            let _ = writeln!(std::io::stderr(), "genesis-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True if the command found nothing wrong with what it measured.
fn run(command: Command) -> anyhow::Result<bool> {
    let mut out = std::io::stdout();
    match command {
        Command::Mock(options) => {
            writeln!(out, "mock provider on http://{}", mock::start(&options)?)?;
            std::thread::sleep(Duration::from_secs(options.max_seconds));
        }
        Command::Floor(options) => {
            writeln!(out, "floor on http://{}", floor::start(&options)?)?;
            std::thread::sleep(Duration::from_secs(options.max_seconds));
        }
        Command::Load(options) => {
            let report = load::run(&options)?;
            writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
            return Ok(report.errors == 0);
        }
        Command::Idle(options) => {
            let report = idle::run(&options)?;
            writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
            return Ok(report.errors == 0);
        }
        Command::Start(options) => writeln!(out, "{:.2}", start::run(&options)?.as_secs_f64() * 1e3)?,
        Command::Size { file } => writeln!(out, "{}", std::fs::metadata(file)?.len())?,
        Command::Log(options) => write!(out, "{}", log::run(&options)?)?,
        Command::Compare(options) => return compare::run(&options),
    }
    Ok(true)
}
