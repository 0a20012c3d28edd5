//! `genesis gateway install` and its kin, with a systemd that is a script: it starts what the unit says, with nothing
//! but what the unit gives it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::sandbox::{Ran, Sandbox, mode};

const KEY: &str = "sk-ant-marker-of-the-service";

/// Answers like `systemctl --user`, notes what it was asked, and runs the unit's command in an empty environment.
const SYSTEMCTL: &str = r#"#!/bin/sh
echo "$*" >> "$HOME/asked"
[ "$1" = --user ] && shift
unit="$HOME/.config/systemd/user/genesis-gateway.service"
of() { sed -n "s/^$1=//p" "$unit" | head -n 1; }
running() { grep -q '^State:.[^Z]' "/proc/$(cat "$HOME/pid" 2>/dev/null)/status" 2>/dev/null; }
end() {
  running && kill "$(cat "$HOME/pid")"
  while running; do :; done
}
begin() {
  running && return
  sh -c "exec env -i HOME='$HOME' PATH=/usr/bin:/bin $(of Environment) $(of ExecStart)" >"$HOME/said" 2>&1 </dev/null &
  echo $! > "$HOME/pid"
}
case "$1" in
  show-environment) echo "HOME=$HOME"; echo "PATH=/usr/bin:/bin";;
  start) begin;;
  restart) end; begin;;
  stop|disable) end;;
  show)
    if running; then echo ActiveState=active; echo SubState=running; echo "MainPID=$(cat "$HOME/pid")"
    else echo ActiveState=inactive; echo SubState=dead; echo MainPID=0; fi
    echo NRestarts=0; echo Result=success;;
esac
"#;

/// A machine with that systemd. Whatever it started ends with it.
struct Machine {
    sandbox: Sandbox,
    port: u16,
}

impl Machine {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let program = sandbox.path("bin/systemctl");
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::write(&program, SYSTEMCTL).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        sandbox.write("genesis.json", &format!("{{ gateway: {{ listen: '127.0.0.1:{port}' }} }}"));
        Self { sandbox, port }
    }

    fn genesis(&self, args: &[&str], variables: &[(&str, &str)]) -> Ran {
        let path = format!("{}:/usr/bin:/bin", self.sandbox.path("bin").display());
        let variables: Vec<_> =
            [("PATH", path.as_str())].into_iter().chain(variables.iter().copied()).collect();
        self.sandbox.genesis_in(args, &variables, "")
    }

    fn unit(&self) -> PathBuf {
        self.sandbox.path(".config/systemd/user/genesis-gateway.service")
    }

    fn asked(&self) -> String {
        fs::read_to_string(self.sandbox.path("asked")).unwrap_or_default()
    }

    fn status(&self, variables: &[(&str, &str)]) -> Value {
        self.genesis(&["gateway", "status", "--json"], variables).ok().json()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.genesis(&["gateway", "stop"], &[]);
    }
}

#[test]
fn the_service_is_installed_answers_and_finds_its_key_in_dot_env() {
    let machine = Machine::new();
    let ran = machine.genesis(&["gateway", "install"], &[("ANTHROPIC_API_KEY", KEY)]).ok();
    // The key is exported here and nowhere else: said before the first call fails.
    let ran = ran.says(&["installed:", "answers on", "ANTHROPIC_API_KEY is set in this shell only", ".env"]);
    assert_eq!(mode(&machine.unit()), 0o600);
    machine.sandbox.assert_nowhere(KEY, &[&ran]);

    let status = machine.status(&[("ANTHROPIC_API_KEY", KEY)]);
    assert_eq!(
        (&status["installed"], &status["running"], &status["answers"]),
        (&true.into(), &true.into(), &true.into())
    );
    assert_eq!(status["address"], format!("127.0.0.1:{}", machine.port));
    assert_eq!(status["keys"][0]["service"], Value::Null);
    assert_eq!(status["keys"][0]["here"], "env:ANTHROPIC_API_KEY");
    let ran =
        machine.genesis(&["gateway", "status"], &[("ANTHROPIC_API_KEY", KEY)]).ok().says(&["shell only"]);
    assert!(ran.stdout.contains("anthropic sees no key"), "{ran:?}");

    machine.sandbox.write(".env", &format!("ANTHROPIC_API_KEY={KEY}\n"));
    let status = machine.status(&[]);
    assert_eq!(status["keys"][0]["service"], ".env:ANTHROPIC_API_KEY");
    let ran = machine.genesis(&["gateway", "status"], &[]).ok();
    assert!(!ran.stdout.contains(KEY) && !ran.stderr.contains("warning"), "{ran:?}");
}

#[test]
fn the_doctor_says_what_the_service_lacks_and_whether_it_runs() {
    let machine = Machine::new();
    machine.genesis(&["gateway", "install"], &[]).ok();
    let doctor = |variables: &[(&str, &str)]| {
        let ran = machine.genesis(&["doctor", "--offline", "--json"], variables);
        let object = ran.json();
        let findings = object["findings"].as_array().expect("findings").clone();
        let found = findings.into_iter().filter(|finding| finding["area"] == "service").collect::<Vec<_>>();
        machine.sandbox.assert_nowhere(KEY, &[&ran]);
        found
    };
    let found = doctor(&[("ANTHROPIC_API_KEY", KEY)]);
    assert_eq!((&found[0]["level"], &found[1]["level"]), (&"good".into(), &"warning".into()), "{found:?}");
    assert!(found[1].to_string().contains("no key for anthropic"), "{found:?}");

    machine.genesis(&["gateway", "stop"], &[]).ok();
    let found = doctor(&[]);
    assert_eq!((found.len(), &found[0]["level"]), (1, &"problem".into()), "{found:?}");
    assert!(found[0].to_string().contains("genesis gateway start"), "{found:?}");
}

#[test]
fn installing_twice_changes_nothing_and_another_port_keeps_the_unit_before() {
    let machine = Machine::new();
    machine.genesis(&["gateway", "install"], &[]).ok();
    let (unit, pid) = (fs::read_to_string(machine.unit()).unwrap(), machine.status(&[])["pid"].clone());
    machine.genesis(&["gateway", "install"], &[]).ok().says(&["as it should be"]);
    assert_eq!(fs::read_to_string(machine.unit()).unwrap(), unit);
    assert_eq!(machine.status(&[])["pid"], pid, "it was not restarted");

    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    machine.genesis(&["gateway", "install", "--port", &port.to_string()], &[]).ok();
    assert_eq!(fs::read_to_string(machine.unit().with_extension("service.bak")).unwrap(), unit);
    let status = machine.status(&[]);
    assert_eq!(status["address"], format!("127.0.0.1:{port}"));
    assert_ne!(status["pid"], pid);
}

#[test]
fn it_starts_stops_restarts_and_goes() {
    let machine = Machine::new();
    for verb in ["start", "stop", "restart", "uninstall", "logs"] {
        let ran = machine.genesis(&["gateway", verb], &[]);
        assert_eq!(ran.code, Some(1), "{verb}");
        ran.says(&["not installed", "genesis gateway install"]);
    }
    machine.genesis(&["gateway", "install"], &[]).ok();
    machine.genesis(&["gateway", "stop"], &[]).ok();
    let status = machine.status(&[]);
    assert_eq!((&status["running"], &status["answers"]), (&false.into(), &false.into()));
    let ran = machine.genesis(&["gateway", "status", "--check"], &[]);
    assert_eq!(ran.code, Some(1));
    ran.says(&["no gateway answers", "genesis gateway start"]);
    machine.genesis(&["daemon", "start"], &[]).ok();
    assert_eq!(machine.status(&[])["running"], true);
    machine.genesis(&["gateway", "uninstall"], &[]).ok().says(&["removed"]);
    assert!(!machine.unit().exists());
    assert!(machine.asked().contains("--user disable --now genesis-gateway.service"), "{}", machine.asked());
    assert!(machine.sandbox.home().join("genesis.json").exists());
}

#[test]
fn without_a_service_manager_it_says_who_can_run_it() {
    let sandbox = Sandbox::new();
    let nowhere = [("PATH", "/nonexistent")];
    let ran = sandbox.genesis_in(&["gateway", "install"], &nowhere, "");
    assert_eq!(ran.code, Some(1));
    let ran = ran.says(&["cannot be reached", "genesis gateway run", "--print"]);
    assert!(!sandbox.path(".config").exists(), "nothing is written: {ran:?}");
    sandbox.genesis_in(&["gateway", "status"], &nowhere, "").ok().says(&["genesis gateway install"]);
}

#[test]
fn a_configuration_that_cannot_be_used_is_not_installed() {
    let machine = Machine::new();
    machine.sandbox.write("genesis.json", "{ gateway: { lisen: 1 } }");
    let ran = machine.genesis(&["gateway", "install"], &[]);
    assert_eq!(ran.code, Some(78));
    ran.says(&["lisen", "listen"]);
    assert!(!machine.unit().exists());
}

#[test]
fn systemd_accepts_the_unit() {
    let sandbox = Sandbox::new();
    let unit = sandbox.path("genesis-gateway.service");
    let home = [("GENESIS_HOME", "/srv/a folder with 100% $signs")];
    let printed = sandbox.genesis_in(&["gateway", "install", "--print"], &home, "").ok().stdout;
    assert!(printed.contains(r#"Environment="GENESIS_HOME=/srv/a folder with 100%% $$signs""#), "{printed}");
    fs::write(&unit, &printed).unwrap();
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--user"])
        .arg(&unit)
        .env("XDG_RUNTIME_DIR", sandbox.path("."))
        .output();
    // Machines without systemd cannot be asked.
    if let Ok(verified) = verified {
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(!said.contains("genesis-gateway.service:"), "{said}");
    }
}

#[test]
fn the_property_list_parses_and_says_the_same() {
    let sandbox = Sandbox::new();
    let home = [("GENESIS_HOME", "/Users/a & b/<genesis>")];
    let args = ["gateway", "install", "--print", "--manager", "launchd", "--port", "9000"];
    let printed = sandbox.genesis_in(&args, &home, "").ok().stdout;
    let file = sandbox.path("ai.genesis.gateway.plist");
    fs::write(&file, &printed).unwrap();
    let script = "import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
    let parsed = Command::new("python3").args(["-c", script]).arg(&file).output().unwrap();
    assert!(parsed.status.success(), "{}", String::from_utf8_lossy(&parsed.stderr));
    let parsed: Value = serde_json::from_slice(&parsed.stdout).unwrap();
    assert_eq!(parsed["EnvironmentVariables"]["GENESIS_HOME"], "/Users/a & b/<genesis>");
    let words: Vec<_> = parsed["ProgramArguments"].as_array().unwrap().iter().skip(1).collect();
    assert_eq!(words, ["gateway", "run", "--port", "9000"]);
    assert_eq!(parsed["Umask"], 0o077);
}
