//! A terminal for the command to be at: keys go in, what it draws comes out.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Nothing here takes longer on a machine that works at all.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const ENTER: &str = "\r";
pub(crate) const DOWN: &str = "\x1b[B";
pub(crate) const ESCAPE: &str = "\x1b";
pub(crate) const CONTROL_C: &str = "\x03";

/// A command that runs at a terminal of its own.
pub(crate) struct Terminal {
    child: Child,
    keys: File,
    output: Receiver<Vec<u8>>,
    /// Everything that was drawn, escape sequences too.
    drawn: Vec<u8>,
    /// How much of its text was waited for.
    seen: usize,
}

impl Terminal {
    pub(crate) fn start(mut command: Command) -> Self {
        let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("grant");
        unlockpt(&master).expect("unlock");
        let size = Winsize { ws_row: 50, ws_col: 140, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).expect("size");
        let name = ptsname(&master, Vec::new()).expect("its name").into_string().expect("UTF-8");
        let side =
            || Stdio::from(OpenOptions::new().read(true).write(true).open(&name).expect("its other side"));
        let child = command.stdin(side()).stdout(side()).stderr(side()).spawn().expect("start");
        let keys = File::from(master);
        let mut reader = keys.try_clone().expect("a second handle");
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The last process to let go of the terminal ends this with an error.
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, keys, output, drawn: Vec::new(), seen: 0 }
    }

    /// Waits until `text` is drawn after what was waited for before.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let drawn = self.text();
            let fresh = drawn.get(self.seen..).unwrap_or_default();
            if let Some(at) = fresh.find(text) {
                self.seen += at + text.len();
                return;
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.drawn.extend(bytes),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("`{text}` was not drawn, but: {fresh}\n\nall: {drawn}")
                }
            }
        }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("keys");
    }

    /// Waits for a question and answers it.
    #[track_caller]
    pub(crate) fn answer(&mut self, question: &str, keys: &str) {
        self.expect(question);
        self.press(keys);
    }

    /// Waits for the end; exit code and everything that was drawn.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let end = Instant::now() + PATIENCE;
        while let Ok(bytes) = self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.drawn.extend(bytes);
        }
        let _ = self.child.kill();
        let code = self.child.wait().expect("its end").code();
        (code, self.text())
    }

    fn text(&self) -> String {
        plain(&self.drawn)
    }
}

/// What is drawn, without the sequences that move and colour it.
fn plain(drawn: &[u8]) -> String {
    let text = String::from_utf8_lossy(drawn);
    let mut plain = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\u{1b}' {
            plain.push(letter);
            continue;
        }
        if letters.next() == Some('[') {
            // A control sequence ends with its first letter.
            let _ = letters.by_ref().find(|letter| ('@'..='~').contains(letter));
        }
    }
    plain
}
