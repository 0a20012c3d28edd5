//! `genesis gateway install` and its kin: the gateway as a service of this machine.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use clap::Args;
use genesis_config::{Provider, Source};
use genesis_store::KeyRow;
use serde_json::{Value, json};

use super::logs::store_to_read;
use super::traffic::{self, Detail};
use crate::assemble;
use crate::client::{Credential, credential};
use crate::home::{Home, Settings};
use crate::printer::{Failed, Printer};
use crate::probe::{Found, probe};
use crate::render::{Cell, Table};
use crate::service::{Manager, Seen, Service, State, lingers};

/// What a stop may take beyond the drain: log records are written.
const AFTER_DRAIN_SECONDS: u64 = 15;
/// How long a service that was just started may take to answer.
const START_WITHIN: Duration = Duration::from_secs(10);

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Which {
    /// The service of the whole machine, not of this user
    #[arg(long)]
    system: bool,
    /// Where there is more than one service manager
    #[arg(long, value_enum, conflicts_with = "system", hide = true)]
    manager: Option<Manager>,
}

impl Which {
    fn manager(self) -> Manager {
        self.manager.unwrap_or_else(|| Manager::of_this_machine(self.system))
    }
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  genesis gateway install\n  genesis gateway install --port 9000\n  \
    genesis gateway install --print\n  sudo genesis gateway install --system --run-as genesis\n\n\
    The service holds no key and no copy of one: it reads ~/.genesis/.env and genesis.json when it starts and whenever \
    they change. Installing twice changes nothing.")]
pub(crate) struct Install {
    #[command(flatten)]
    which: Which,
    /// Port on 127.0.0.1 (default: gateway.listen of the configuration file)
    #[arg(long)]
    port: Option<u16>,
    /// Whom a service of the whole machine runs as
    #[arg(long, value_name = "USER", requires = "system")]
    run_as: Option<String>,
    /// Print the unit or property list, change nothing
    #[arg(long)]
    print: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  genesis gateway status\n  genesis gateway status --check --json\n\n\
    A key that is exported in this shell only is not seen by the service; it is listed with what to do about it.")]
pub(crate) struct Status {
    #[command(flatten)]
    which: Which,
    /// End with 1 unless a gateway answers
    #[arg(long)]
    check: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  genesis gateway logs\n  genesis gateway logs --follow")]
pub(crate) struct Logs {
    #[command(flatten)]
    which: Which,
    /// Go on printing what is said from now on
    #[arg(long, short)]
    follow: bool,
    /// How many lines
    #[arg(long, short = 'n', default_value_t = 200)]
    lines: u32,
}

impl Install {
    /// For whoever is at the keyboard, on the port of the configuration file.
    pub(super) fn usual() -> Self {
        Self { which: Which { system: false, manager: None }, port: None, run_as: None, print: false }
    }
}

pub(crate) fn install(args: &Install, printer: &Printer) -> Result<(), Failed> {
    let home = Home::find()?;
    let settings = home.settings()?; // a service that cannot start is not worth installing
    let manager = args.which.manager();
    let program = std::env::current_exe()?;
    let service = Service {
        program,
        home: std::path::absolute(&home.path)?,
        arguments: args.port.map(|port| vec!["--port".to_owned(), port.to_string()]).unwrap_or_default(),
        stop_seconds: settings.file.gateway.drain_seconds + AFTER_DRAIN_SECONDS,
        user: system_user(args, manager)?,
    };
    if args.print {
        return printer.line(manager.text(&service).trim_end());
    }
    // launchd does not make the folder of a log file.
    std::fs::create_dir_all(service.home.join("logs"))?;
    let changed = manager.install(&service)?;
    let path = manager.path()?;
    printer.note(match changed {
        true => format!("installed: {}", path.display()),
        false => format!("{} is as it should be", path.display()),
    });
    let listen = listens_on(manager, &settings);
    let deadline = Instant::now() + START_WITHIN;
    while !probe(listen).is_gateway() {
        if Instant::now() > deadline {
            return Err(Failed::new(format!("the service does not answer on {listen}"))
                .hint("`genesis gateway logs` shows what it said"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    printer.note(format!("the gateway answers on http://{listen}"));
    if manager == Manager::Systemd && lingers() == Some(false) {
        printer.note("it ends when you log out; `loginctl enable-linger` keeps it running");
    }
    let keys = Keys::compare(manager, &home, &settings)?;
    keys.lost().for_each(|key| printer.warn(key.warning()));
    Ok(())
}

/// A system service must not run as root because nobody said otherwise.
fn system_user(args: &Install, manager: Manager) -> Result<Option<String>, Failed> {
    if manager != Manager::SystemdSystem {
        return Ok(None);
    }
    let asked = args.run_as.clone().or_else(|| std::env::var("SUDO_USER").ok());
    asked.map(Some).ok_or_else(|| {
        Failed::usage("a service of the whole machine needs a user to run as")
            .hint("add --run-as <user>, the owner of the folder GENESIS_HOME names")
    })
}

pub(crate) fn uninstall(which: Which, printer: &Printer) -> Result<(), Failed> {
    let manager = installed(which)?;
    manager.uninstall()?;
    printer.note("the service is removed; configuration, keys and logs are still in place");
    Ok(())
}

pub(crate) fn start(which: Which, printer: &Printer) -> Result<(), Failed> {
    installed(which)?.start()?;
    printer.note("started");
    Ok(())
}

pub(crate) fn stop(which: Which, printer: &Printer) -> Result<(), Failed> {
    installed(which)?.stop()?;
    printer.note("stopped; calls under way were let finish");
    Ok(())
}

pub(crate) fn restart(which: Which, printer: &Printer) -> Result<(), Failed> {
    installed(which)?.restart()?;
    printer.note("restarted");
    Ok(())
}

pub(crate) fn logs(args: &Logs) -> Result<(), Failed> {
    let home = Home::find()?;
    let manager = installed(args.which)?;
    let mut command = manager.log_command(&home, args.lines, args.follow);
    let program = command.get_program().to_string_lossy().into_owned();
    let status =
        command.status().map_err(|error| Failed::new(format!("{program} cannot be run: {error}")))?;
    if status.success() { Ok(()) } else { Err(Failed::new(format!("{program} ended with {status}"))) }
}

fn installed(which: Which) -> Result<Manager, Failed> {
    let manager = which.manager();
    if manager.is_installed() {
        return Ok(manager);
    }
    Err(Failed::new("the gateway is not installed as a service")
        .hint("`genesis gateway install` does that; `genesis gateway run` runs it in this terminal"))
}

pub(crate) fn status(args: &Status, printer: &Printer) -> Result<(), Failed> {
    let home = Home::find()?;
    let settings = home.settings()?;
    let report = Report::gather(args.which.manager(), &home, &settings)?;
    if args.json {
        printer.json(&report.json())?;
    } else {
        report.print(printer)?;
    }
    match args.check && !report.found.is_gateway() {
        true => Err(Failed::new(format!("no gateway answers on {}", report.listen))
            .hint("`genesis gateway start`, or `genesis gateway logs` to see why it ended")),
        false => Ok(()),
    }
}

/// Everything `genesis gateway status` shows.
pub(crate) struct Report {
    manager: Manager,
    installed: bool,
    state: Option<State>,
    listen: SocketAddr,
    found: Found,
    keys: Keys,
    unresolved: Vec<String>,
    warnings: Vec<String>,
}

impl Report {
    pub(crate) fn gather(manager: Manager, home: &Home, settings: &Settings) -> Result<Self, Failed> {
        let installed = manager.is_installed();
        let state = installed.then(|| manager.state()).flatten();
        let listen = listens_on(manager, settings);
        let seen = Seen::by(manager, state.as_ref(), home, settings);
        let unresolved = settings.file.unresolved(&seen.environment);
        Ok(Self {
            manager,
            installed,
            listen,
            found: probe(listen),
            keys: if installed { Keys::between(home, settings, &seen)? } else { Keys::default() },
            unresolved: unresolved.iter().filter(|_| installed).map(ToString::to_string).collect(),
            warnings: if installed { seen.warnings } else { Vec::new() },
            state,
        })
    }

    pub(crate) fn service_in_words(&self) -> String {
        match (&self.state, self.installed) {
            (Some(State { words, pid: Some(pid), .. }), _) => format!("{words}, process {pid}"),
            (Some(State { words, .. }), _) => words.clone(),
            (None, true) => "installed, but the service manager cannot be asked".to_owned(),
            (None, false) => "not installed".to_owned(),
        }
    }

    pub(crate) fn answer_in_words(&self) -> Cell {
        let address = format!("http://{}", self.listen);
        match &self.found {
            Found::Gateway(report) => {
                let failing: Vec<_> =
                    report["failing"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                match failing.is_empty() {
                    true => Cell::good(format!("answers on {address}")),
                    false => Cell::doubtful(format!("answers on {address}; failing: {}", failing.join(", "))),
                }
            }
            Found::Other => Cell::bad(format!("something else listens on {address}")),
            Found::Nobody(why) => Cell::doubtful(format!("does not answer on {address}: {why}")),
        }
    }

    /// What a gateway that answers says of its traffic.
    pub(crate) fn traffic(&self, table: &mut Table, detail: Detail) {
        if let Found::Gateway(report) = &self.found {
            traffic::rows(report, table, detail);
        }
    }

    pub(crate) fn is_installed(&self) -> bool {
        self.installed
    }

    pub(crate) fn is_running(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.running)
    }

    /// What the service cannot read or has no value for, and the keys it lacks.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let problems = self.warnings.iter().chain(&self.unresolved);
        let problems = problems.map(|problem| format!("in the service: {problem}"));
        problems.chain(self.keys.lost().map(Key::warning)).collect()
    }

    fn print(&self, printer: &Printer) -> Result<(), Failed> {
        let mut table = Table::headless(&["", ""]);
        let service = self.service_in_words();
        let service = if self.is_running() { Cell::good(service) } else { Cell::doubtful(service) };
        table.row([Cell::faint("service"), service]);
        if self.installed {
            table.row([Cell::faint("file"), Cell::new(self.manager.path()?.to_string_lossy())]);
        }
        table.row([Cell::faint("gateway"), self.answer_in_words()]);
        self.traffic(&mut table, Detail::Every);
        if let Some(restarts) =
            self.state.as_ref().and_then(|state| state.restarts).filter(|count| *count > 0)
        {
            table.row([Cell::faint("restarts"), Cell::doubtful(format!("{restarts}, by itself"))]);
        }
        for key in &self.keys.0 {
            let there = match key.there.is_found() {
                true => Cell::new(format!("{} sees {}", key.provider, key.there)),
                false => Cell::bad(format!("{} sees no key", key.provider)),
            };
            table.row([Cell::faint("key"), there]);
        }
        printer.line(table)?;
        self.complaints().iter().for_each(|complaint| printer.warn(complaint));
        if !self.installed {
            printer.note("`genesis gateway install` makes it a service; `genesis gateway run` runs it here");
        }
        Ok(())
    }

    pub(crate) fn json(&self) -> Value {
        let state = self.state.as_ref();
        json!({
            "installed": self.installed,
            "path": self.manager.path().ok().filter(|_| self.installed),
            "running": self.is_running(),
            "pid": state.and_then(|state| state.pid),
            "state": state.map(|state| state.words.as_str()),
            "restarts": state.and_then(|state| state.restarts),
            "address": self.listen.to_string(),
            "answers": self.found.is_gateway(),
            "ready": match &self.found { Found::Gateway(report) => report.clone(), _ => Value::Null },
            "keys": self.keys.0.iter().map(Key::json).collect::<Vec<_>>(),
            "problems": self.warnings.iter().chain(&self.unresolved).collect::<Vec<_>>(),
        })
    }
}

/// The credentials of this shell beside those of the service.
#[derive(Default)]
struct Keys(Vec<Key>);

struct Key {
    provider: String,
    variable: Option<String>,
    here: Credential,
    there: Credential,
}

impl Keys {
    fn compare(manager: Manager, home: &Home, settings: &Settings) -> Result<Self, Failed> {
        let state = manager.state();
        Self::between(home, settings, &Seen::by(manager, state.as_ref(), home, settings))
    }

    fn between(home: &Home, settings: &Settings, seen: &Seen) -> Result<Self, Failed> {
        let stored = match store_to_read(home, settings)? {
            Some(store) => store.keys()?,
            None => Vec::new(),
        };
        let providers = assemble::providers(settings)?;
        let key = |provider: &Provider| Key::between(provider, &stored, settings, seen);
        Ok(Self(providers.iter().filter_map(key).collect()))
    }

    /// Those the service lacks.
    fn lost(&self) -> impl Iterator<Item = &Key> {
        self.0.iter().filter(|key| !key.there.is_found())
    }
}

impl Key {
    /// `None` if there is no key on either side.
    fn between(provider: &Provider, stored: &[KeyRow], settings: &Settings, seen: &Seen) -> Option<Self> {
        let here = credential(provider, stored, &settings.environment);
        let there = credential(provider, stored, &seen.environment);
        if !here.is_found() && !there.is_found() {
            return None;
        }
        let variable = match &here {
            Credential::Variable(name, Source::Process | Source::LoginShell) => Some(name.clone()),
            _ => None,
        };
        Some(Self { provider: provider.slug.clone(), variable, here, there })
    }

    fn warning(&self) -> String {
        let (provider, here) = (&self.provider, &self.here);
        match &self.variable {
            Some(name) => format!(
                "the service has no key for {provider}: {name} is set in this shell only. Put it into \
                 ~/.genesis/.env, keep it with `genesis key set {provider}`, or switch env.shellEnv.enabled on"
            ),
            None => format!("the service has no key for {provider}; here it is {here}"),
        }
    }

    fn json(&self) -> Value {
        json!({
            "provider": self.provider,
            "service": Some(self.there.to_string()).filter(|_| self.there.is_found()),
            "here": Some(self.here.to_string()).filter(|_| self.here.is_found()),
        })
    }
}

/// The port the service was installed with, else where the file says.
fn listens_on(manager: Manager, settings: &Settings) -> SocketAddr {
    let installed_with = || {
        let text = std::fs::read_to_string(manager.path().ok()?).ok()?;
        let after = text.split_once("--port")?.1;
        let digits = after.trim_start_matches(|c: char| !c.is_ascii_digit());
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        Some(SocketAddr::from((Ipv4Addr::LOCALHOST, digits[..end].parse().ok()?)))
    };
    crate::probe::reachable(installed_with().unwrap_or(settings.file.gateway.listen))
}
