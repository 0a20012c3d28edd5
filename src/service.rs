//! The gateway as a service of this machine: under systemd, or launchd on macOS.
//!
//! * `systemd`: the unit, and `systemctl`
//! * `launchd`: the property list, and `launchctl`
//! * `seen`: what the service's environment has, which is not what this shell has
//!
//! Neither file holds a secret or a copy of one: the service reads `.env` and the configuration itself, when it starts
//! and whenever they change.

mod launchd;
mod seen;
mod systemd;

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::ValueEnum;

pub(crate) use self::seen::Seen;
pub(crate) use self::systemd::lingers;
use crate::home::Home;
use crate::printer::Failed;

/// What the service manager is asked to run.
pub(crate) struct Service {
    /// This program.
    pub(crate) program: PathBuf,
    /// `GENESIS_HOME` of the service.
    pub(crate) home: PathBuf,
    /// Arguments after `gateway run`.
    pub(crate) arguments: Vec<String>,
    /// How long a stop may take: the drain, and the last records written.
    pub(crate) stop_seconds: u64,
    /// For a system service: whom it runs as.
    pub(crate) user: Option<String>,
}

/// Who starts the gateway and keeps it running.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Manager {
    /// systemd, for this user
    Systemd,
    /// systemd, for the whole machine
    SystemdSystem,
    /// launchd, for this user
    Launchd,
}

/// What a service manager says about the service.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) running: bool,
    pub(crate) pid: Option<u32>,
    /// In the manager's own words, such as `active (running)`.
    pub(crate) words: String,
    /// Times it was started again after it had ended by itself.
    pub(crate) restarts: Option<u32>,
}

impl Manager {
    /// The one of this machine.
    pub(crate) fn of_this_machine(system: bool) -> Self {
        match (cfg!(target_os = "macos"), system) {
            (true, _) => Self::Launchd,
            (false, false) => Self::Systemd,
            (false, true) => Self::SystemdSystem,
        }
    }

    /// Where the service's description is kept.
    pub(crate) fn path(self) -> Result<PathBuf, Failed> {
        match self {
            Self::Systemd | Self::SystemdSystem => systemd::path(self == Self::SystemdSystem),
            Self::Launchd => launchd::path(),
        }
    }

    pub(crate) fn is_installed(self) -> bool {
        self.path().is_ok_and(|path| path.exists())
    }

    /// The description itself.
    pub(crate) fn text(self, service: &Service) -> String {
        match self {
            Self::Systemd | Self::SystemdSystem => systemd::unit(service),
            Self::Launchd => launchd::property_list(service),
        }
    }

    /// An error that says what to do where no such manager runs.
    pub(crate) fn reachable(self) -> Result<(), Failed> {
        match self {
            Self::Systemd | Self::SystemdSystem => systemd::reachable(self == Self::SystemdSystem),
            Self::Launchd => Ok(()),
        }
    }

    /// Writes the description, keeps the one before as `.bak`, and starts the service. Returns false if the very same
    /// description was there already.
    pub(crate) fn install(self, service: &Service) -> Result<bool, Failed> {
        self.reachable()?;
        let (path, text) = (self.path()?, self.text(service));
        let before = std::fs::read_to_string(&path).ok();
        let changed = before.as_deref() != Some(text.as_str());
        if changed {
            let folder = path.parent().unwrap_or(Path::new("/"));
            std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
            if before.is_some() {
                std::fs::copy(&path, backup(&path)).map_err(|error| unwritable(&path, &error))?;
            }
            write(&path, &text).map_err(|error| unwritable(&path, &error))?;
        }
        match self {
            Self::Systemd => systemd::enable(false, changed)?,
            Self::SystemdSystem => systemd::enable(true, changed)?,
            Self::Launchd => launchd::load(&path, changed)?,
        }
        Ok(changed)
    }

    /// Stops the service and removes its description.
    pub(crate) fn uninstall(self) -> Result<(), Failed> {
        let path = self.path()?;
        match self {
            Self::Systemd => systemd::disable(false)?,
            Self::SystemdSystem => systemd::disable(true)?,
            Self::Launchd => launchd::unload()?,
        }
        std::fs::remove_file(&path).map_err(|error| unwritable(&path, &error))?;
        match self {
            Self::Systemd => systemd::reload(false),
            Self::SystemdSystem => systemd::reload(true),
            Self::Launchd => Ok(()),
        }
    }

    pub(crate) fn start(self) -> Result<(), Failed> {
        match self {
            Self::Systemd => systemd::act(false, "start"),
            Self::SystemdSystem => systemd::act(true, "start"),
            Self::Launchd => launchd::start(&self.path()?),
        }
    }

    pub(crate) fn stop(self) -> Result<(), Failed> {
        match self {
            Self::Systemd => systemd::act(false, "stop"),
            Self::SystemdSystem => systemd::act(true, "stop"),
            Self::Launchd => launchd::unload(),
        }
    }

    pub(crate) fn restart(self) -> Result<(), Failed> {
        match self {
            Self::Systemd => systemd::act(false, "restart"),
            Self::SystemdSystem => systemd::act(true, "restart"),
            Self::Launchd => launchd::restart(&self.path()?),
        }
    }

    /// `None` if the manager cannot be asked.
    pub(crate) fn state(self) -> Option<State> {
        match self {
            Self::Systemd => systemd::state(false),
            Self::SystemdSystem => systemd::state(true),
            Self::Launchd => launchd::state(),
        }
    }

    /// The command that shows what the service printed.
    pub(crate) fn log_command(self, home: &Home, lines: u32, follow: bool) -> Command {
        match self {
            Self::Systemd => systemd::log_command(false, lines, follow),
            Self::SystemdSystem => systemd::log_command(true, lines, follow),
            Self::Launchd => launchd::log_command(&home.path, lines, follow),
        }
    }
}

/// What a command printed; its own words if it failed.
fn asked(program: &str, arguments: &[&str]) -> Result<String, Failed> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| Failed::new(format!("{program} cannot be run: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = crate::render::plain_lines(said.trim());
    Err(Failed::new(format!("`{program} {}` failed: {said}", arguments.join(" "))))
}

/// Only its owner may read it: it names folders, never keys, but nobody else needs to know either.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}

fn backup(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".bak");
    path.with_file_name(name)
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failed {
    Failed::new(format!("{}: {error}", path.display()))
}
