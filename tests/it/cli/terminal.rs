//! A command in a terminal of its own: keys are typed, and what the screen gets is read.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// Python's `pty` passes what is piped to it on to the terminal, and what the terminal shows back.
const BRIDGE: &str = "import os, pty, sys\n\
    sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";

pub(super) struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: Arc<Mutex<Vec<u8>>>,
    /// How much of it was seen.
    seen: usize,
}

impl Terminal {
    /// Runs `command` there, with its environment and folder.
    pub(super) fn run(command: &Command) -> Self {
        let mut bridge = Command::new("python3");
        bridge.args(["-c", BRIDGE]).arg(command.get_program()).args(command.get_args()).env_clear();
        bridge.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        bridge.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("TERM", "xterm");
        bridge.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = bridge.spawn().expect("python3");
        let keys = child.stdin.take().expect("piped");
        let mut stdout = child.stdout.take().expect("piped");
        let screen = Arc::new(Mutex::new(Vec::new()));
        let copy = Arc::clone(&screen);
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = stdout.read(&mut piece) {
                copy.lock().expect("lock").extend_from_slice(&piece[..length]);
            }
        });
        Self { child, keys, screen, seen: 0 }
    }

    pub(super) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal");
    }

    /// A line, with Enter.
    pub(super) fn enter(&mut self, line: &str) {
        self.press(&format!("{line}\r"));
    }

    /// Waits until the screen shows `text`, after what was seen before.
    #[track_caller]
    pub(super) fn expect(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen.lock().expect("lock").clone();
            let fresh = &screen[self.seen..];
            if let Some(at) = fresh.windows(text.len()).position(|window| window == text.as_bytes()) {
                self.seen += at + text.len();
                return;
            }
            let shown = String::from_utf8_lossy(fresh);
            assert!(Instant::now() < deadline, "`{text}` did not come; what came is {shown:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// All it showed.
    pub(super) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().expect("lock")).into_owned()
    }

    /// Waits for the end; the exit code.
    pub(super) fn ended(mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end: {:?}", self.shown());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
