//! The rounds: every load is a child process, every answer checked, every number noted.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde::de::DeserializeOwned;

use super::Run;
use super::scenario::{Role, SCENARIOS, Scenario, Surface};
use super::stage::Target;
use crate::load::report::Report;
use crate::stats::median;
use crate::{idle, process};

impl Run {
    /// All scenarios, each through all its targets. What fails is noted, and the rest goes on.
    pub(super) fn round(&mut self, round: usize) {
        for scenario in SCENARIOS {
            if !self.wants(scenario.name) {
                continue;
            }
            self.note(&format!("round {} of {}: {}", round + 1, self.options.rounds, scenario.name));
            let mut roles = scenario.roles.to_vec();
            roles.rotate_left(round % scenario.roles.len());
            roles.retain(|role| self.stage.target(*role).is_some());
            for role in roles {
                let found = self.load(scenario, role, self.options.seconds);
                if let Some(report) = self.check(scenario.name, role, found) {
                    self.figures.add_report(round, scenario.name, role, &report);
                }
            }
        }
        for role in [Role::Floor, Role::Nginx, Role::Genesis] {
            if self.wants("idle") {
                let done = self.idle(round, role);
                self.check("idle", role, done);
            }
            if self.wants("start") {
                let done = self.start(round, role);
                self.check("start", role, done);
            }
        }
    }

    /// Runs `load` as a child, everything on core 0 if the scenario wants that.
    fn load(&self, scenario: &Scenario, role: Role, seconds: f64) -> Result<Report> {
        let target = self.stage.target(role).with_context(|| format!("{} is not on stage", role.name()))?;
        let mut command = Command::new(std::env::current_exe()?);
        let warmup = if self.options.smoke { 0.1 } else { 0.5 };
        command.arg("load").args(question(scenario, target)).args([
            format!("--connections={}", scenario.connections),
            format!("--seconds={seconds}"),
            format!("--warmup={warmup}"),
            format!("--pause-us={}", scenario.pause_us),
            format!("--stagger-us={}", scenario.stagger_us),
        ]);
        if scenario.stream.is_some() {
            command.arg("--stream");
        }
        command.args(scenario.rate.map(|rate| format!("--rate={rate}")));
        if matches!(scenario.surface, Surface::Route(_)) && role >= Role::Genesis {
            command.args(["--expect", "cf-aig-provider: openai"]);
        }
        if scenario.surface == Surface::Cached {
            command.args(["--expect", "cf-aig-cache-status: HIT"]);
        }
        if !scenario.pinned {
            return report_of(command);
        }
        command.args(["--pin", "0", "--threads", "1"]);
        self.pin(target, "0")?;
        let report = report_of(command);
        self.pin(target, &format!("0-{}", self.cores - 1))?;
        report
    }

    fn pin(&self, target: &Target, list: &str) -> Result<()> {
        let mock = self.stage.target(Role::Mock).map_or(target.pid(), Target::pid);
        process::pin(&process::tree(mock), list)?;
        process::pin(&process::tree(target.pid()), list)
    }

    /// On a fresh process: one that was under load has memory to spare for many streams.
    fn idle(&mut self, round: usize, role: Role) -> Result<()> {
        let Some(target) = self.stage.another(role)? else {
            return Ok(());
        };
        let scenario = Scenario { stream: Some("idle"), ..SCENARIOS[0] };
        let mut command = Command::new(std::env::current_exe()?);
        let settle = if self.options.smoke { 0.1 } else { 1.0 };
        command.arg("idle").args(question(&scenario, &target));
        command.args([format!("--streams={}", self.options.idle_streams), format!("--settle={settle}")]);
        let report: idle::Report = report_of(command)?;
        let error = report.first_error.unwrap_or_default();
        ensure!(report.errors == 0, "{} streams did not open, first: {error}", report.errors);
        self.figures.add(round, "idle", "per-stream", role, report.kib_per_stream);
        Ok(())
    }

    /// The median of three starts.
    fn start(&mut self, round: usize, role: Role) -> Result<()> {
        let mut milliseconds = Vec::new();
        for _ in 0..3 {
            milliseconds.extend(self.stage.time_start(role)?.map(|time| time.as_secs_f64() * 1e3));
        }
        if let Some(time) = median(&milliseconds) {
            self.figures.add(round, "start", "time", role, time);
        }
        Ok(())
    }

    pub(super) fn memory_after_start(&mut self) {
        for target in &self.stage.targets {
            let mib = process::rss_kib(&process::tree(target.pid())) as f64 / 1024.0;
            self.figures.add(0, "memory", "idle", target.role, mib);
        }
    }

    pub(super) fn binary_size(&mut self) -> Result<()> {
        if self.wants("size")
            && let Some(binary) = &self.options.genesis
        {
            let megabytes = std::fs::metadata(binary)?.len() as f64 / 1e6;
            self.figures.add(0, "size", "size", Role::Genesis, megabytes);
        }
        Ok(())
    }

    /// Ten minutes of load by default: memory at the end against memory after the first tenth.
    pub(super) fn soak(&mut self) {
        if !self.wants("soak") || self.stage.target(Role::Genesis).is_none() {
            return;
        }
        let seconds = self.options.soak_seconds;
        self.note(&format!("soak: {seconds} s"));
        let [early, late] = [0.1, 0.9].map(|part| {
            let found = self.load(&SCENARIOS[1], Role::Genesis, seconds * part);
            self.check("soak", Role::Genesis, found)?.target
        });
        if let (Some(early), Some(late)) = (early, late) {
            let growth = (late.rss_after_kib as f64 / early.rss_after_kib as f64 - 1.0) * 100.0;
            self.figures.add(0, "soak", "growth", Role::Genesis, growth);
        }
    }

    /// Notes what went wrong, if anything did.
    fn check<T: Sound>(&mut self, scenario: &str, role: Role, found: Result<T>) -> Option<T> {
        let wrong = match &found {
            Ok(found) => found.wrong(),
            Err(error) => Some(format!("{error:#}")),
        };
        if let Some(wrong) = wrong {
            self.failures.push(format!("{scenario} through {}: {wrong}", role.name()));
        }
        found.ok()
    }

    fn note(&self, progress: &str) {
        // Progress is worth nothing if nobody reads it.
        let _ = writeln!(std::io::stderr(), "{progress}");
    }
}

/// A finding that can itself be wrong.
trait Sound {
    /// What is wrong with it.
    fn wrong(&self) -> Option<String>;
}

impl Sound for () {
    fn wrong(&self) -> Option<String> {
        None
    }
}

impl Sound for Report {
    fn wrong(&self) -> Option<String> {
        let first = self.first_error.as_deref().unwrap_or_default();
        if self.errors > 0 {
            return Some(format!("{} errors, first: {first}", self.errors));
        }
        (self.requests + self.events == 0).then(|| format!("no answer in {:.1} s", self.seconds))
    }
}

/// The flags of `load` and `idle` that say what is asked of whom.
fn question(scenario: &Scenario, target: &Target) -> Vec<String> {
    let dialect = format!("{:?}", scenario.dialect).to_lowercase();
    let mut flags = vec![
        format!("--url={}", target.url(scenario)),
        format!("--dialect={dialect}"),
        format!("--size={}", scenario.size),
        format!("--header={}", target.authorization()),
        format!("--pid={}", target.pid()),
    ];
    flags.extend(scenario.stream.map(|script| format!("--mock={script}")));
    if scenario.surface == Surface::Translated && target.role >= Role::Genesis {
        flags.push("--model=anthropic/claude-sonnet-4-5".into());
    }
    if let (Surface::Route(name), true) = (scenario.surface, target.role >= Role::Genesis) {
        flags.push(format!("--model=dynamic/{name}"));
    }
    if scenario.surface == Surface::Cached {
        flags.push("--header=cf-aig-cache-ttl: 3600".into());
    }
    flags
}

/// Runs one of our own commands and reads the JSON it prints; it reports errors in there, so its status is moot.
fn report_of<R: DeserializeOwned>(mut command: Command) -> Result<R> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::piped()).output()?;
    match serde_json::from_slice(&output.stdout) {
        Ok(report) => Ok(report),
        Err(_) => bail!("{}", String::from_utf8_lossy(&output.stderr).trim()),
    }
}
