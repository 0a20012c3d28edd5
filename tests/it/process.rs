//! A home folder and the `genesis` processes that run in it. A process ends with the value that stands for it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Nothing here takes longer on a machine that works at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// A `GENESIS_HOME` of its own, deleted at the end.
pub(crate) struct Home {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Home {
    /// With this `genesis.json`; none if it is empty.
    pub(crate) fn new(config: &str) -> Self {
        let home = Self { folder: tempfile::tempdir().expect("a folder"), variables: Vec::new() };
        fs::create_dir(home.path()).expect("home");
        if !config.is_empty() {
            home.write("genesis.json", config.as_bytes());
        }
        home
    }

    /// Sets a variable for all processes started from now on.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file only its owner can read.
    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.file(name), content).expect("write");
        self.set_mode(name, 0o600);
    }

    pub(crate) fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.file(name), fs::Permissions::from_mode(mode)).expect("chmod");
    }

    /// `program` in a clean environment: no key of whoever runs the tests, no configuration of theirs.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.folder.path())
            .env("GENESIS_HOME", self.path())
            .env("NO_COLOR", "1");
        command
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.variables.iter().cloned());
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end with `input` on its standard input.
    pub(crate) fn run(&self, args: &[&str], input: &str) -> Ran {
        let mut command = self.command(genesis());
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("start genesis");
        // A command that does not read its input may end before it is written.
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("output");
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// Runs lines as somebody pastes them into a shell that knows `genesis`.
    pub(crate) fn shell(&self, lines: &str) -> Ran {
        let folder = genesis().parent().expect("a folder").display();
        let mut command = self.command(Path::new("/bin/sh"));
        command.args(["-c", &format!("set -e; PATH=\"{folder}:$PATH\"\n{lines}")]);
        let output = command.output().expect("sh");
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// Runs a command that has to succeed; its standard output.
    pub(crate) fn print(&self, args: &[&str]) -> String {
        let ran = self.run(args, "");
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.stderr);
        ran.stdout
    }

    /// All log records, the oldest first.
    pub(crate) fn records(&self) -> Vec<Value> {
        let lines = self.print(&["logs", "--json", "--limit", "1000000"]);
        lines.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
    }

    /// Starts `genesis dev` on a port of its own choosing, every provider simulated.
    pub(crate) fn dev(&self) -> Running {
        self.start(&["dev", "--port", "0", "--simulate-all"])
    }

    /// Starts a gateway, `["gateway", "run"]` or `["dev", …]`, and waits until it listens.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let mut command = self.command(genesis());
        command.args(args);
        Running::start(command)
    }

    /// The same, where no file may grow beyond `bytes`: a disk that is full from the start.
    pub(crate) fn start_on_full_disk(&self, args: &[&str], bytes: u64) -> Running {
        let mut command = self.command(Path::new("/bin/sh"));
        // In blocks of 512 bytes. Without the trap the first write too much would end the process.
        let limited = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", bytes / 512);
        command.args(["-c", &limited]).arg(genesis()).args(args);
        Running::start(command)
    }
}

pub(crate) fn genesis() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_genesis"))
}

/// A command that came to its end.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A gateway that runs.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: SocketAddr,
    said: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start genesis");
        let said = Arc::new(Mutex::new(Vec::new()));
        let stdout = child.stdout.take().expect("piped");
        let (from_stderr, addresses) = watch(child.stderr.take().expect("piped"), Arc::clone(&said));
        let from_stdout = {
            let said = Arc::clone(&said);
            thread::spawn(move || copy(stdout, &said))
        };
        let readers = vec![from_stderr, from_stdout];
        // From here on dropping it ends the process.
        let mut running = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), said, readers };
        match addresses.recv_timeout(PATIENCE) {
            Ok(address) => running.address = address,
            Err(_) => panic!("genesis did not start to listen: {}", running.said()),
        }
        running
    }

    /// All it wrote so far, to standard output and standard error.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().expect("lock")).into_owned()
    }

    pub(crate) fn wait_until_said(&self, part: &str) {
        wait_until(part, || self.said().contains(part));
    }

    /// Asks it to stop, as a service manager does.
    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
    }

    /// Asks it to stop and waits for its end; the exit status and all it wrote.
    pub(crate) fn stop(mut self) -> (ExitStatus, String) {
        self.terminate();
        self.ended()
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                self.readers.drain(..).for_each(|reader| reader.join().expect("reader"));
                return (status, self.said());
            }
            assert!(Instant::now() < deadline, "genesis does not end: {}", self.said());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// `kill -9`
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Copies what is said and sends the first address among it.
fn watch(stderr: ChildStderr, said: Arc<Mutex<Vec<u8>>>) -> (JoinHandle<()>, Receiver<SocketAddr>) {
    let (sender, receiver) = channel();
    let reader = thread::spawn(move || {
        let mut lines = BufReader::new(stderr);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            if let Some(address) = address_in(&String::from_utf8_lossy(&line)) {
                let _ = sender.send(address);
            }
            said.lock().expect("lock").append(&mut line);
        }
    });
    (reader, receiver)
}

/// `… listens on http://127.0.0.1:40123` of the gateway, `gateway  http://127.0.0.1:40123/v1/…` of `dev`.
fn address_in(line: &str) -> Option<SocketAddr> {
    if !line.trim_start().starts_with("gateway ") && !line.contains(" listens on http://") {
        return None;
    }
    line.split("http://").nth(1)?.split(['/', ' ', '\n']).next()?.parse().ok()
}

fn copy(mut from: impl Read, said: &Mutex<Vec<u8>>) {
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        said.lock().expect("lock").extend_from_slice(&piece[..length]);
    }
}

/// Looks again and again until `condition` holds; a test that waits in vain fails and says for what.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
