//! Everything that is written for people or scripts: results on standard output, all else on standard error.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use owo_colors::OwoColorize;
use serde::Serialize;

pub(crate) struct Printer {
    quiet: bool,
}

/// Why a command did not do what it was asked, and what to do next.
#[derive(Debug)]
pub(crate) struct Failed {
    kind: Kind,
    message: String,
    hints: Vec<String>,
}

/// Told apart by exit code.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// 1: it was tried and did not work.
    Failure,
    /// 2: the command line is wrong.
    Usage,
    /// 78 (`EX_CONFIG`): the configuration is wrong; a service manager should not try again.
    Config,
}

impl Failed {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { kind: Kind::Failure, message: message.into(), hints: Vec::new() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, ..Self::new(message) }
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self { kind: Kind::Config, ..Self::new(message) }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Says which file it was about.
    pub(crate) fn hint_path(self, path: &Path) -> Self {
        let hint = format!("the store is {}", path.display());
        self.hint(hint)
    }
}

impl From<genesis_store::Error> for Failed {
    fn from(error: genesis_store::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// What the running gateway says about itself: lines on standard error, JSON with `GENESIS_LOG_FORMAT=json`. Request
/// records are data, not lines here.
pub(crate) fn own_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("GENESIS_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let json = std::env::var("GENESIS_LOG_FORMAT").is_ok_and(|format| format == "json");
    let colour = std::env::var_os("NO_COLOR").is_none() && std::io::stderr().is_terminal();
    // A second subscriber in one process is refused, which is fine.
    let _ =
        if json { lines.json().try_init() } else { lines.with_target(false).with_ansi(colour).try_init() };
}

impl Printer {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet }
    }

    /// A line of the result.
    pub(crate) fn line(&self, text: impl Display) -> Result<(), Failed> {
        // A reader that has seen enough (`| head`) is no error.
        match writeln!(anstream::stdout(), "{text}") {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Failed::closed_pipe()),
            written => Ok(written?),
        }
    }

    /// The result for scripts: one JSON value on one line.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), Failed> {
        self.line(serde_json::to_string(value).map_err(|error| Failed::new(error.to_string()))?)
    }

    /// What a person may like to know while something goes on.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.quiet {
            let _ = writeln!(anstream::stderr(), "{text}");
        }
    }

    pub(crate) fn warn(&self, text: impl Display) {
        let _ = writeln!(anstream::stderr(), "{} {text}", "warning:".yellow().bold());
    }

    /// Prints why a command failed; its exit code.
    pub(crate) fn failed(&self, failed: &Failed) -> ExitCode {
        if failed.is_closed_pipe() {
            return ExitCode::SUCCESS;
        }
        let mut stderr = anstream::stderr();
        let _ = writeln!(stderr, "{} {}", "error:".red().bold(), failed.message);
        for hint in &failed.hints {
            let _ = writeln!(stderr, "{} {hint}", "hint:".cyan().bold());
        }
        ExitCode::from(match failed.kind {
            Kind::Failure => 1,
            Kind::Usage => 2,
            Kind::Config => 78,
        })
    }
}

impl Failed {
    const CLOSED_PIPE: &str = "standard output was closed";

    fn closed_pipe() -> Self {
        Self::new(Self::CLOSED_PIPE)
    }

    fn is_closed_pipe(&self) -> bool {
        self.message == Self::CLOSED_PIPE
    }
}
