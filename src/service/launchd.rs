//! launchd: the property list and `launchctl`.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Service, State, asked};
use crate::printer::Failed;

const LABEL: &str = "ai.genesis.gateway";

pub(super) fn path() -> Result<PathBuf, Failed> {
    let home = std::env::home_dir().ok_or_else(|| Failed::new("HOME is not set"))?;
    Ok(home.join("Library/LaunchAgents").join(format!("{LABEL}.plist")))
}

/// launchd cannot be told that exit code 78 is not worth another try, so it is slowed down instead.
pub(super) fn property_list(service: &Service) -> String {
    let program = service.program.to_string_lossy();
    let words = [&*program, "gateway", "run"].into_iter().chain(service.arguments.iter().map(String::as_str));
    let words: String = words.map(|word| format!("    <string>{}</string>\n", escaped(word))).collect();
    let home = escaped(&service.home.to_string_lossy());
    let (out, stop) = (escaped(&log_path(&service.home).to_string_lossy()), service.stop_seconds);
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- Written by `genesis gateway install`. It holds no key: the gateway reads .env in its home folder itself. -->
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>{LABEL}</string>
  <key>ProgramArguments</key>
  <array>
{words}  </array>
  <key>EnvironmentVariables</key>
  <dict>
    <key>GENESIS_HOME</key>
    <string>{home}</string>
  </dict>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <true/>
  <key>ThrottleInterval</key>
  <integer>10</integer>
  <key>ExitTimeOut</key>
  <integer>{stop}</integer>
  <key>Umask</key>
  <integer>63</integer>
  <key>SoftResourceLimits</key>
  <dict>
    <key>NumberOfFiles</key>
    <integer>65536</integer>
  </dict>
  <key>StandardOutPath</key>
  <string>{out}</string>
  <key>StandardErrorPath</key>
  <string>{out}</string>
</dict>
</plist>
"#
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn log_path(home: &Path) -> PathBuf {
    home.join("logs/gateway.log")
}

/// `gui/501`: the session of whoever owns the home folder.
fn domain() -> Result<String, Failed> {
    let home = std::env::home_dir().ok_or_else(|| Failed::new("HOME is not set"))?;
    Ok(format!("gui/{}", std::fs::metadata(home)?.uid()))
}

pub(super) fn load(path: &Path, changed: bool) -> Result<(), Failed> {
    if changed && state().is_some() {
        unload()?;
    }
    start(path)
}

pub(super) fn start(path: &Path) -> Result<(), Failed> {
    let domain = domain()?;
    if state().is_some() {
        return asked("launchctl", &["kickstart", &format!("{domain}/{LABEL}")]).map(drop);
    }
    asked("launchctl", &["bootstrap", &domain, &path.to_string_lossy()]).map(drop)
}

pub(super) fn restart(path: &Path) -> Result<(), Failed> {
    if state().is_none() {
        return start(path);
    }
    asked("launchctl", &["kickstart", "-k", &format!("{}/{LABEL}", domain()?)]).map(drop)
}

pub(super) fn unload() -> Result<(), Failed> {
    asked("launchctl", &["bootout", &format!("{}/{LABEL}", domain()?)]).map(drop)
}

pub(super) fn state() -> Option<State> {
    let said = asked("launchctl", &["print", &format!("{}/{LABEL}", domain().ok()?)]).ok()?;
    let of = |name: &str| said.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(" = "));
    let words = of("state").unwrap_or("unknown").to_owned();
    Some(State {
        running: words == "running",
        pid: of("pid").and_then(|pid| pid.parse().ok()),
        words,
        restarts: None,
    })
}

pub(super) fn log_command(home: &Path, lines: u32, follow: bool) -> Command {
    let mut command = Command::new("tail");
    command.args(["-n", &lines.to_string()]);
    if follow {
        command.arg("-F");
    }
    command.arg(log_path(home));
    command
}
