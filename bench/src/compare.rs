//! Everything in one command: the gateway beside the floor and nginx, in interleaved rounds, judged.
//!
//! Every run of a load is a child process of its own. Rounds go through all scenarios, each scenario through all
//! targets in an order that turns with the round, so that what else the machine does hits all of them alike; only
//! ratios within a round are judged, and of those the median.

pub mod figures;
pub mod goals;
pub mod home;
mod rounds;
pub mod scenario;
pub mod stage;
pub mod table;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde_json::json;

use crate::process;
use figures::Figures;
use goals::{GOALS, Goal};
use scenario::{Role, SCENARIOS};
use stage::Stage;

/// Flags of `compare`.
#[derive(clap::Args, Debug, Clone)]
pub struct Options {
    /// The gateway: a release build of `genesis`. Without it only the floor and nginx are measured
    #[arg(long)]
    pub genesis: Option<PathBuf>,
    /// nginx [default: the one on PATH, if any]
    #[arg(long)]
    pub nginx: Option<PathBuf>,
    /// Rounds
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Seconds of each load run
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// Only these, by name, separated by commas [default: all but soak and, until the gateway caches, cache-300 and cache-10k]
    #[arg(long, value_delimiter = ',')]
    pub scenarios: Vec<String>,
    /// Streams of the idle scenario
    #[arg(long, default_value_t = 500)]
    pub idle_streams: usize,
    /// Seconds of the soak scenario
    #[arg(long, default_value_t = 600.0)]
    pub soak_seconds: f64,
    /// Write every figure and report to this file
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// One round of 0.3 s each without nginx: does everything answer? Says nothing about speed
    #[arg(long)]
    pub smoke: bool,
    /// Fail if a goal is missed by more than the machine's noise (15 %)
    #[arg(long)]
    pub gate: bool,
}

/// What a goal may be missed by before `--gate` fails.
const NOISE: f64 = 1.15;

/// One comparison under way.
struct Run {
    options: Options,
    stage: Stage,
    figures: Figures,
    cores: usize,
    failures: Vec<String>,
}

/// Runs everything, prints the table; false if an answer was wrong or, with `--gate`, a goal clearly missed.
pub fn run(options: &Options) -> Result<bool> {
    let mut options = options.clone();
    for name in &options.scenarios {
        let known: Vec<&str> =
            SCENARIOS.iter().map(|s| s.name).chain(scenario::OTHERS.iter().copied()).collect();
        ensure!(scenario::is_known(name), "no scenario {name:?}; there are {}", known.join(", "));
    }
    if options.smoke {
        (options.rounds, options.seconds, options.idle_streams) = (1, 0.3, 20);
    }
    ensure!((1..=100).contains(&options.rounds), "--rounds must be 1 to 100");
    let nginx = if options.smoke { None } else { options.nginx.clone().or_else(|| on_path("nginx")) };
    process::allow_many_files();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let stage = Stage::set(cores.min(2), nginx, options.genesis.as_deref())?;
    let before = table::circumstances();
    let mut run = Run { options, stage, figures: Figures::default(), cores, failures: Vec::new() };
    run.memory_after_start();
    for round in 0..run.options.rounds {
        run.round(round);
    }
    run.binary_size()?;
    run.soak();
    run.conclude(&before)
}

impl Run {
    fn wants(&self, name: &str) -> bool {
        let named = &self.options.scenarios;
        if named.is_empty() {
            !scenario::ONLY_WHEN_NAMED.contains(&name)
        } else {
            named.iter().any(|wanted| wanted == name)
        }
    }

    /// Prints the table and what went wrong, writes the JSON file.
    fn conclude(self, before: &str) -> Result<bool> {
        let Options { rounds, seconds, smoke, gate, .. } = self.options;
        let scope = match (smoke, cfg!(debug_assertions)) {
            (true, _) => " (smoke: speed means nothing here)",
            (_, true) => " (the bench is a debug build: speed means nothing here)",
            _ => "",
        };
        let heading = format!(
            "{before}; {rounds} rounds of {seconds} s{scope}; at the end: {}",
            table::circumstances()
        );
        let mut out = std::io::stdout();
        writeln!(out, "{}", table::markdown(&self.figures, &heading))?;
        for failure in &self.failures {
            writeln!(out, "- wrong: {failure}")?;
        }
        if let Some(file) = &self.options.json {
            let mut all = self.figures.to_json();
            all["circumstances"] = heading.into();
            all["judged"] = table::judged(&self.figures).into();
            all["failures"] = json!(self.failures);
            std::fs::write(file, serde_json::to_vec_pretty(&all)?)?;
        }
        let clearly_missed = |goal: &&Goal| {
            let judged = goal.judged(&self.figures, Role::Genesis);
            matches!((judged, goal.reach), (Some(judged), Some(reach)) if judged > reach * NOISE)
        };
        let missed: Vec<&str> = GOALS.iter().filter(clearly_missed).map(|goal| goal.title).collect();
        if gate && !smoke && !missed.is_empty() {
            writeln!(out, "- clearly missed: {}", missed.join("; "))?;
            return Ok(false);
        }
        Ok(self.failures.is_empty())
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let sbin = Path::new("/usr/sbin").to_owned();
    std::env::split_paths(&folders)
        .chain([sbin])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}
