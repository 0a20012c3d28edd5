//! systemd: the unit file and `systemctl`.

use std::path::PathBuf;
use std::process::Command;

use super::{Service, State, asked};
use crate::printer::Failed;

const UNIT: &str = "genesis-gateway.service";

/// `~/.config/systemd/user/…`, or `/etc/systemd/system/…` for the whole machine.
pub(super) fn path(system: bool) -> Result<PathBuf, Failed> {
    if system {
        return Ok(PathBuf::from("/etc/systemd/system").join(UNIT));
    }
    let own = std::env::var_os("XDG_CONFIG_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = own.or_else(|| Some(std::env::home_dir()?.join(".config")));
    folder
        .map(|folder| folder.join("systemd/user").join(UNIT))
        .ok_or_else(|| Failed::new("HOME is not set, so there is no place for a unit"))
}

/// Exit code 78 says that the configuration is wrong: starting again would only fail again. A stop may take as long as
/// the drain and what is written after it.
pub(super) fn unit(service: &Service) -> String {
    let mut command = quoted(&service.program.to_string_lossy());
    for argument in ["gateway", "run"].into_iter().chain(service.arguments.iter().map(String::as_str)) {
        command.push(' ');
        command.push_str(&quoted(argument));
    }
    let home = quoted(&format!("GENESIS_HOME={}", service.home.display()));
    let user = service.user.as_ref().map_or_else(String::new, |user| format!("User={user}\n"));
    let wanted_by = if service.user.is_some() { "multi-user.target" } else { "default.target" };
    let stop = service.stop_seconds;
    format!(
        "# Written by `genesis gateway install`. It holds no key: the gateway reads .env in its home folder itself.\n\
         [Unit]\n\
         Description=Genesis AI gateway\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         StartLimitIntervalSec=60\n\
         StartLimitBurst=5\n\
         \n\
         [Service]\n\
         Type=exec\n\
         {user}\
         ExecStart={command}\n\
         Environment={home}\n\
         Restart=always\n\
         RestartSec=2\n\
         RestartPreventExitStatus=2 78\n\
         TimeoutStopSec={stop}\n\
         KillMode=mixed\n\
         UMask=0077\n\
         NoNewPrivileges=true\n\
         LimitNOFILE=65536\n\
         \n\
         [Install]\n\
         WantedBy={wanted_by}\n"
    )
}

/// A word as systemd reads it back: `%` and `$` mean something to it, spaces part words.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:@+,".contains(c);
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    if !word.is_empty() && word.chars().all(plain) { escaped } else { format!("\"{escaped}\"") }
}

pub(super) fn reachable(system: bool) -> Result<(), Failed> {
    ctl(system, &["show-environment"]).map(drop).map_err(|_| {
        let whose = if system { "systemd" } else { "systemd of this user" };
        Failed::new(format!("{whose} cannot be reached, so there is nobody to run a service")).hint(
            "in a container, or where another supervisor runs things, let it run `genesis gateway run`; \
             `genesis gateway install --print` shows the unit",
        )
    })
}

pub(super) fn enable(system: bool, changed: bool) -> Result<(), Failed> {
    if changed {
        reload(system)?;
    }
    ctl(system, &["enable", UNIT])?;
    ctl(system, &[if changed { "restart" } else { "start" }, UNIT]).map(drop)
}

pub(super) fn disable(system: bool) -> Result<(), Failed> {
    ctl(system, &["disable", "--now", UNIT]).map(drop)
}

pub(super) fn reload(system: bool) -> Result<(), Failed> {
    ctl(system, &["daemon-reload"]).map(drop)
}

pub(super) fn act(system: bool, verb: &str) -> Result<(), Failed> {
    ctl(system, &[verb, UNIT]).map(drop).map_err(|failed| {
        failed
            .hint("`genesis gateway logs` shows what the service said")
            .hint("`genesis gateway status` shows why")
    })
}

pub(super) fn state(system: bool) -> Option<State> {
    let asked = ["show", UNIT, "--property=ActiveState,SubState,MainPID,NRestarts,Result"];
    let said = ctl(system, &asked).ok()?;
    let of = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let (active, sub) = (of("ActiveState")?, of("SubState").unwrap_or_default());
    let result = of("Result").filter(|result| !result.is_empty() && *result != "success");
    let words = match result {
        Some(result) => format!("{active} ({sub}, {result})"),
        None => format!("{active} ({sub})"),
    };
    Some(State {
        running: active == "active",
        pid: of("MainPID").and_then(|pid| pid.parse().ok()).filter(|pid| *pid != 0),
        words,
        restarts: of("NRestarts").and_then(|count| count.parse().ok()),
    })
}

/// The variables systemd gives each service of this user, as `NAME=value`.
pub(super) fn variables(system: bool) -> Vec<(String, String)> {
    let said = ctl(system, &["show-environment"]).unwrap_or_default();
    let pairs = said.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), unquoted(value))).collect()
}

/// `systemctl show-environment` writes `$'…'` around values with unusual characters.
fn unquoted(value: &str) -> String {
    match value.strip_prefix("$'").and_then(|inner| inner.strip_suffix('\'')) {
        Some(inner) => inner.replace("\\'", "'").replace("\\\\", "\\"),
        None => value.to_owned(),
    }
}

/// Whether services of this user go on when the last session ends. `None` if nobody can say.
pub(crate) fn lingers() -> Option<bool> {
    let said = asked("loginctl", &["show-user", "--property=Linger", "--value"]).ok()?;
    match said.trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

pub(super) fn log_command(system: bool, lines: u32, follow: bool) -> Command {
    let mut command = Command::new("journalctl");
    if !system {
        command.arg("--user");
    }
    command.args(["--unit", UNIT, "--lines", &lines.to_string(), "--output", "cat", "--no-pager"]);
    if follow {
        command.arg("--follow");
    }
    command
}

fn ctl(system: bool, arguments: &[&str]) -> Result<String, Failed> {
    let whole: Vec<_> = (!system).then_some("--user").into_iter().chain(arguments.iter().copied()).collect();
    asked("systemctl", &whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_systemd() {
        for (word, written) in [
            ("/usr/bin/genesis", "/usr/bin/genesis"),
            ("/home/a b/genesis", "\"/home/a b/genesis\""),
            ("100%$HOME", "\"100%%$$HOME\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("", "\"\""),
        ] {
            assert_eq!(quoted(word), written, "{word}");
        }
    }

    #[test]
    fn quoted_variables_are_read() {
        assert_eq!(unquoted("plain"), "plain");
        assert_eq!(unquoted(r"$'it\'s'"), "it's");
    }
}
