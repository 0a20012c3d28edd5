//! What the service's environment has. A key exported in a shell, or in `~/.profile`, is not there; this is how one
//! finds out before the first call fails.

use genesis_config::{Environment, Surroundings};

use super::{Manager, State, systemd};
use crate::home::{Home, Settings};

/// The environment as the service resolves it.
pub(crate) struct Seen {
    pub(crate) environment: Environment,
    /// Why a source could not be read.
    pub(crate) warnings: Vec<String>,
}

impl Seen {
    /// Of the running process if it can be looked at, else of a service that would be started now.
    pub(crate) fn by(manager: Manager, state: Option<&State>, home: &Home, settings: &Settings) -> Self {
        let running = state.and_then(|state| of_process(state.pid?));
        let variables = running.unwrap_or_else(|| match manager {
            Manager::Systemd => systemd::variables(false),
            Manager::SystemdSystem => systemd::variables(true),
            Manager::Launchd => ["HOME", "USER", "SHELL"]
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
                .collect(),
        });
        let around = Surroundings {
            process: variables.into_iter().map(|(name, value)| (name, value.into())).collect(),
            working_directory: "/".into(),
            ..Surroundings::current()
        };
        let (environment, warnings) = Environment::load_in(&around, &home.path, &settings.file.env);
        Self { environment, warnings }
    }
}

/// `/proc/<pid>/environ`, where there is such a thing and the process is ours.
fn of_process(pid: u32) -> Option<Vec<(String, String)>> {
    let raw = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let pairs = raw.split(|byte| *byte == 0).filter_map(|entry| {
        let (name, value) = std::str::from_utf8(entry).ok()?.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    Some(pairs.collect())
}
