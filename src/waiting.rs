//! Says on a terminal that something is awaited, once it takes longer than a second.

use std::cell::Cell;
use std::future::Future;
use std::io::Write;
use std::pin::pin;
use std::time::{Duration, Instant};

use owo_colors::OwoColorize;
use tokio::time::{Instant as Tick, interval_at};

use crate::printer::Printer;

const EVERY: Duration = Duration::from_secs(1);

pub(crate) struct Waiting {
    what: String,
    /// Whether it may still be said.
    wanted: Cell<bool>,
    shown: Cell<bool>,
}

impl Waiting {
    pub(crate) fn to_hear(what: impl Into<String>, printer: &Printer) -> Self {
        Self { what: what.into(), wanted: Cell::new(printer.shows_progress()), shown: Cell::new(false) }
    }

    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let mut ticks = interval_at(Tick::now() + EVERY, EVERY);
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => {
                    self.clear();
                    return done;
                }
                _ = ticks.tick(), if self.wanted.get() => self.say(begun.elapsed()),
            }
        }
    }

    /// What was awaited begins to come.
    pub(crate) fn over(&self) {
        self.wanted.set(false);
        self.clear();
    }

    /// Makes room for something else to be said.
    pub(crate) fn clear(&self) {
        if self.shown.take() {
            let _ = write!(std::io::stderr(), "\r\u{1b}[K");
        }
    }

    fn say(&self, since: Duration) {
        self.shown.set(true);
        let text = format!("{} … {} s", self.what, since.as_secs());
        let mut stderr = anstream::stderr();
        let _ = write!(stderr, "\r{}", text.dimmed());
        let _ = stderr.flush();
    }
}
