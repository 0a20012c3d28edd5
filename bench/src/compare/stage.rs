//! The stage of a comparison: mock, floor, nginx and gateway, each a child process on a free loopback port.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::home::{Home, genesis};
use super::scenario::{Role, Scenario, Surface};
use crate::dialect::Dialect;
use crate::process::Running;
use crate::start;

/// Everything that runs during a comparison; all of it ends when this is dropped.
#[derive(Debug)]
pub struct Stage {
    /// In the order they were started: the mock first.
    pub targets: Vec<Target>,
    folder: TempDir,
    nginx: Option<PathBuf>,
    genesis: Option<PathBuf>,
    threads: usize,
}

/// One server that can be put under load.
#[derive(Debug)]
pub struct Target {
    /// Who it is.
    pub role: Role,
    /// `http://127.0.0.1:<port>`.
    pub origin: String,
    /// The client token it wants, if it is a gateway.
    token: String,
    process: Running,
}

/// A token no gateway gave out, so that the request to H and N is as long as the one to the gateway.
const NO_TOKEN: &str = "gt_0000000000000000000000000000000000000000000";
const ACCOUNT: &str = "acct";
/// The gateway's name, here and in its configuration.
pub const GATEWAY: &str = "bench";

impl Target {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Where a scenario's requests go.
    #[must_use]
    pub fn url(&self, scenario: &Scenario) -> String {
        let own = match scenario.dialect {
            Dialect::Openai => "/v1/chat/completions",
            Dialect::Anthropic => "/v1/messages",
        };
        let path = match (self.role, scenario.surface, scenario.dialect) {
            (Role::Nginx, Surface::Cached, _) => format!("/cached{own}"),
            (Role::Mock | Role::Floor | Role::Nginx, _, _) => own.to_owned(),
            (_, Surface::Translated | Surface::Route(_), _) => {
                format!("/v1/{ACCOUNT}/{GATEWAY}/compat/chat/completions")
            }
            (_, _, Dialect::Openai) => format!("/v1/{ACCOUNT}/{GATEWAY}/openai/chat/completions"),
            (_, _, Dialect::Anthropic) => format!("/v1/{ACCOUNT}/{GATEWAY}/anthropic{own}"),
        };
        format!("{}{path}", self.origin)
    }

    /// The header that admits the client; sent to all, so that all read the same bytes.
    #[must_use]
    pub fn authorization(&self) -> String {
        format!("cf-aig-authorization: Bearer {}", self.token)
    }
}

impl Stage {
    /// Starts the mock, the floor, nginx if given, and the gateway (with its log on and off) if given.
    pub fn set(threads: usize, nginx: Option<PathBuf>, genesis: Option<&Path>) -> Result<Stage> {
        let folder = tempfile::Builder::new().prefix("genesis-bench-").tempdir()?;
        // nginx's workers run as another user when its master is root, and must reach their folders.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let binary =
            |path: &Path| path.canonicalize().with_context(|| format!("no gateway at {}", path.display()));
        let genesis = genesis.map(binary).transpose()?;
        let mut stage = Stage { targets: Vec::new(), folder, nginx, genesis, threads };
        for role in [Role::Mock, Role::Floor, Role::Nginx, Role::Genesis, Role::GenesisLogOff] {
            if let Some(entry) = stage.entry(role, role.name())? {
                let target = stage.launch(entry)?;
                stage.targets.push(target);
            }
        }
        Ok(stage)
    }

    /// The server of this role, if it is on stage.
    #[must_use]
    pub fn target(&self, role: Role) -> Option<&Target> {
        self.targets.iter().find(|target| target.role == role)
    }

    /// A fresh server of this role beside the one on stage; ends when dropped.
    pub fn another(&self, role: Role) -> Result<Option<Target>> {
        self.entry(role, &format!("{}-again", role.name()))?.map(|entry| self.launch(entry)).transpose()
    }

    /// Starts a fresh server of this role and ends it; returns the time to its first answer.
    pub fn time_start(&self, role: Role) -> Result<Option<Duration>> {
        let entry = self.entry(role, &format!("{}-again", role.name()))?;
        entry.map(|entry| start::first_answer(entry.command, &health(&entry.origin), &entry.log)).transpose()
    }

    /// What is needed to start a server of this role, its files under `name`; `None` if its program was not given.
    fn entry(&self, role: Role, name: &str) -> Result<Option<Entry>> {
        let mut token = NO_TOKEN.to_owned();
        let (command, port) = match role {
            Role::Mock => self.own("mock", &[])?,
            Role::Floor => self.own("floor", &["--upstream", self.mock_address()?])?,
            Role::Nginx => match &self.nginx {
                Some(nginx) => self.nginx(nginx, name)?,
                None => return Ok(None),
            },
            Role::Genesis | Role::GenesisLogOff => {
                let Some(program) = &self.genesis else {
                    return Ok(None);
                };
                let folder = self.folder.path().join(name);
                let home = if folder.exists() {
                    Home::open(folder)?
                } else {
                    Home::make(folder, program, self.mock_address()?, role == Role::Genesis)?
                };
                token = home.token;
                (genesis(program, &home.folder, &["gateway", "run"]), home.port)
            }
        };
        let log = self.folder.path().join(format!("{name}.log"));
        Ok(Some(Entry { role, command, origin: format!("http://127.0.0.1:{port}"), token, log }))
    }

    fn launch(&self, entry: Entry) -> Result<Target> {
        let Entry { role, command, origin, token, log } = entry;
        let mut process = Running::spawn(command, &log)?;
        start::await_answer(&mut process, &health(&origin)).with_context(|| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            format!("{} did not start; it said:\n{said}", role.name())
        })?;
        Ok(Target { role, origin, token, process })
    }

    /// This program's `mock` or `floor`.
    fn own(&self, what: &str, flags: &[&str]) -> Result<(Command, u16)> {
        let port = free_port()?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg(what)
            .arg(format!("--threads={}", self.threads))
            .arg(format!("--listen=127.0.0.1:{port}"));
        command.args(flags);
        Ok((command, port))
    }

    fn mock_address(&self) -> Result<&str> {
        let mock = self.target(Role::Mock).context("the mock is not on stage yet")?;
        mock.origin.strip_prefix("http://").context("an origin begins with its scheme")
    }

    fn nginx(&self, program: &Path, name: &str) -> Result<(Command, u16)> {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(&folder)?;
        let port = free_port()?;
        let text = include_str!("nginx.conf")
            .replace("{folder}", &folder.display().to_string())
            .replace("{workers}", &self.threads.to_string())
            .replace("{port}", &port.to_string())
            .replace("{mock}", self.mock_address()?);
        let file = folder.join("nginx.conf");
        fs::write(&file, text)?;
        let mut command = Command::new(program);
        command.arg("-p").arg(&folder).arg("-e").arg(folder.join("error.log")).arg("-c").arg(file);
        Ok((command, port))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // The mock last: what is still under way then ends in order.
        while self.targets.pop().is_some() {}
    }
}

/// A server about to be started.
struct Entry {
    role: Role,
    command: Command,
    origin: String,
    token: String,
    log: PathBuf,
}

fn health(origin: &str) -> String {
    format!("{origin}/healthz")
}

/// A port nobody listens on at this moment.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
