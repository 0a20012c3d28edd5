//! `genesis doctor`: what is wrong with the set-up, each thing with its remedy.
//!
//! * `finding`: one thing found
//! * `files`: the configuration file, and who may read what
//! * `keys`: default model, variables, credentials, and where they were found
//! * `network`: the way to each provider, step by step; the clock
//! * `port`: who listens where the gateway would
//! * `store`: whether the databases are sound, and room on the disk
//! * `service`: whether the service runs, and what it lacks

mod files;
mod finding;
mod keys;
mod network;
mod port;
mod service;
mod store;

use std::time::Duration;

use clap::Args;
use owo_colors::OwoColorize;
use serde_json::json;

use self::finding::{Area, Finding, Level};
use crate::client::{Choice, Target, probe};
use crate::home::{Home, Settings};
use crate::printer::{Failed, Printer};
use crate::render;
use crate::waiting::Waiting;

/// A real answer to a short question takes seconds; a model that thinks first, some more.
const PROBE_WITHIN: Duration = Duration::from_secs(60);

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  genesis doctor\n  genesis doctor --fix\n  genesis doctor --probe\n  \
    genesis doctor --json | jq -r '.findings[] | select(.level == \"problem\") | .what'\n\n\
    --fix takes file permissions away from other users, and nothing else; what it did is said.\n\
    Exit codes: 0 nothing is wrong, 1 something is doubtful, 2 something does not work.")]
pub(crate) struct Doctor {
    /// Put right what can be put right without risk
    #[arg(long)]
    fix: bool,
    /// Ask the default model and its fallbacks a real question, which costs a few tokens each
    #[arg(long)]
    probe: bool,
    /// Print one JSON object: {worst, findings: [...]}
    #[arg(long)]
    json: bool,
    /// Do not look at the network
    #[arg(long, conflicts_with = "probe")]
    offline: bool,
}

pub(crate) fn run(args: &Doctor, printer: &Printer) -> Result<(), Failed> {
    let home = Home::find()?;
    let findings = examine(args, &home, printer)?;
    let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Good);
    if args.json {
        printer.json(&json!({ "worst": worst, "findings": findings }))?;
    } else {
        print(&findings, printer)?;
    }
    match worst {
        Level::Good | Level::Note => Ok(()),
        Level::Warning => Err(Failed::told(1)),
        Level::Problem => Err(Failed::told(2)),
    }
}

fn examine(args: &Doctor, home: &Home, printer: &Printer) -> Result<Vec<Finding>, Failed> {
    let mut findings = files::modes(home, args.fix);
    let settings = match home.settings() {
        Ok(settings) => {
            findings.extend(files::settings(home, &settings));
            settings
        }
        Err(failed) => {
            findings.push(Finding::failed(Area::Config, Level::Problem, failed));
            // What does not depend on the file can still be looked at.
            Settings::default()
        }
    };
    findings.extend(keys::findings(home, &settings));
    findings.extend(service::findings(home, &settings));
    findings.extend(store::findings(home, &settings));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    findings.push(port::finding(settings.file.gateway.listen));
    if !args.offline {
        let waiting = Waiting::to_hear("looking at the network", printer);
        findings.extend(runtime.block_on(waiting.during(network::findings(home, &settings))));
    }
    if args.probe {
        let waiting = Waiting::to_hear("asking", printer);
        findings.extend(runtime.block_on(waiting.during(probes(home, &settings))));
    }
    Ok(findings)
}

/// A real call to each model that would be asked.
async fn probes(home: &Home, settings: &Settings) -> Vec<Finding> {
    let choice = match Choice::of(None, settings) {
        Ok(choice) => choice,
        Err(failure) => return vec![Finding::failed(Area::Probe, Level::Problem, failure.into())],
    };
    let mut findings = Vec::new();
    for model in choice.models() {
        let asked = async { probe(&Target::find(model, settings, home)?, PROBE_WITHIN).await };
        findings.push(match asked.await {
            Ok(answer) => Finding::good(Area::Probe, format!("{model} answers: {}", answer.receipt)),
            Err(failure) => {
                let mut finding = Finding::failed(Area::Probe, Level::Problem, failure.into());
                finding.what = format!("{}: {}", render::plain(model), finding.what);
                finding
            }
        });
    }
    findings
}

fn print(findings: &[Finding], printer: &Printer) -> Result<(), Failed> {
    let mut area = None;
    for finding in findings {
        if area != Some(finding.area) {
            printer.line(finding.area.to_string().bold())?;
            area = Some(finding.area);
        }
        let mark = match finding.level {
            Level::Good => "ok".green().to_string(),
            Level::Note => "--".dimmed().to_string(),
            Level::Warning => "!!".yellow().to_string(),
            Level::Problem => "XX".red().to_string(),
        };
        let what = render::plain_lines(&finding.what).replace('\n', "\n     ");
        printer.line(format!("  {mark} {what}"))?;
        for remedy in &finding.remedies {
            printer.line(format!("     {} {}", "→".cyan(), render::plain(remedy)))?;
        }
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (problems, warnings) = (count(Level::Problem), count(Level::Warning));
    printer.line(match (problems, warnings) {
        (0, 0) => "nothing is wrong".green().to_string(),
        (0, warnings) => format!("{warnings} doubtful").yellow().to_string(),
        (problems, 0) => format!("{problems} not working").red().to_string(),
        (problems, warnings) => format!("{problems} not working, {warnings} doubtful").red().to_string(),
    })
}
