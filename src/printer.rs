//! Everything that is written for people or scripts: results on standard output, all else on standard error.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use owo_colors::OwoColorize;
use serde::Serialize;

use crate::render::plain_lines;

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
    /// 3: somebody did not accept a credential, or there is none.
    Unauthorized,
    /// 4: too many calls, or too much spent; later it may work.
    RateLimited,
    /// 5: nobody could be reached, or nobody answered in time.
    Unreachable,
    /// 70 (`EX_SOFTWARE`): a fault of this program.
    Internal,
    /// The command's own; it has said everything itself.
    Told(u8),
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

    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self { kind: Kind::Unauthorized, ..Self::new(message) }
    }

    pub(crate) fn rate_limited(message: impl Into<String>) -> Self {
        Self { kind: Kind::RateLimited, ..Self::new(message) }
    }

    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self { kind: Kind::Unreachable, ..Self::new(message) }
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self { kind: Kind::Internal, ..Self::new(message) }
    }

    /// Ends the command with this exit code and not another word.
    pub(crate) fn told(code: u8) -> Self {
        Self { kind: Kind::Told(code), ..Self::new("") }
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self { kind: Kind::Config, ..Self::new(message) }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Message and hints.
    pub(crate) fn into_parts(self) -> (String, Vec<String>) {
        (self.message, self.hints)
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

    /// A piece of the result as it comes, without a line break of its own. On a terminal without what a terminal would
    /// obey, elsewhere byte for byte.
    pub(crate) fn piece(&self, text: &str) -> Result<(), Failed> {
        let mut stdout = std::io::stdout().lock();
        let written = match stdout.is_terminal() {
            true => stdout.write_all(plain_lines(text).as_bytes()),
            false => stdout.write_all(text.as_bytes()),
        };
        match written.and_then(|()| stdout.flush()) {
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

    /// Whether somebody watches who may like to see that something goes on.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.quiet && std::io::stderr().is_terminal()
    }

    /// What somebody who is being asked has to see, quiet or not.
    pub(crate) fn tell(&self, text: impl Display) {
        let _ = writeln!(anstream::stderr(), "{text}");
    }

    pub(crate) fn warn(&self, text: impl Display) {
        let _ = writeln!(anstream::stderr(), "{} {text}", "warning:".yellow().bold());
    }

    /// Prints why a command failed; its exit code.
    pub(crate) fn failed(&self, failed: &Failed) -> ExitCode {
        if failed.is_closed_pipe() {
            return ExitCode::SUCCESS;
        }
        if !matches!(failed.kind, Kind::Told(_)) {
            self.explain(failed);
        }
        failed.exit_code()
    }

    /// Says why something failed, and what to do.
    pub(crate) fn explain(&self, failed: &Failed) {
        let mut stderr = anstream::stderr();
        let _ = writeln!(stderr, "{} {}", "error:".red().bold(), failed.message);
        for hint in &failed.hints {
            let _ = writeln!(stderr, "{} {hint}", "hint:".cyan().bold());
        }
    }
}

impl Failed {
    fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::Failure => 1,
            Kind::Usage => 2,
            Kind::Unauthorized => 3,
            Kind::RateLimited => 4,
            Kind::Unreachable => 5,
            Kind::Internal => 70,
            Kind::Told(code) => code,
            Kind::Config => 78,
        })
    }

    const CLOSED_PIPE: &str = "standard output was closed";

    fn closed_pipe() -> Self {
        Self::new(Self::CLOSED_PIPE)
    }

    fn is_closed_pipe(&self) -> bool {
        self.message == Self::CLOSED_PIPE
    }
}
