//! The thread that writes answers and the one that looks them up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{CacheKey, CacheRow, Reply, Shared};
use crate::sqlite::{Cache, CacheReader, CacheWriter};

/// How long an answer may wait for others to be committed with.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
/// Bytes in one commit, about.
const COMMIT_BYTES: usize = 8 << 20;
/// How often a writer with nothing to write looks for answers whose time is over.
const IDLE: Duration = Duration::from_secs(30);
/// After the file could not be read, nothing is tried for so long; it may only not be set up yet.
const READ_PAUSE: Duration = Duration::from_millis(20);
/// After the file could not be written, nothing is tried for so long.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) enum Command {
    Put(CacheRow),
    /// One gateway, or all.
    Purge(Option<String>),
    Flush(SyncSender<()>),
    Stop,
}

pub(super) struct Ask {
    pub(super) key: CacheKey,
    pub(super) now_ms: i64,
    pub(super) reply: Reply,
}

pub(super) fn writer(
    database: Cache,
    shared: Arc<Shared>,
    commands: Receiver<Command>,
    disk_bytes: u64,
) -> Option<JoinHandle<()>> {
    let writer =
        Writer { database, shared, disk_bytes, file: None, retry_at: Instant::now(), failing: false };
    let thread = thread::Builder::new().name("cache-writer".to_owned());
    spawned(thread.spawn(move || writer.run(&commands)))
}

pub(super) fn reader(database: Cache, asks: Receiver<Ask>) -> Option<JoinHandle<()>> {
    let thread = thread::Builder::new().name("cache-reader".to_owned());
    spawned(thread.spawn(move || {
        let mut file: Option<CacheReader> = None;
        let mut retry_at = Instant::now();
        for Ask { key, now_ms, reply } in asks {
            if file.is_none() && Instant::now() >= retry_at {
                file = database.reader().ok();
                retry_at = Instant::now() + READ_PAUSE;
            }
            let found = match file.as_mut().map(|file| file.find(&key, now_ms)) {
                None => None,
                Some(Ok(found)) => found,
                Some(Err(error)) => {
                    tracing::warn!(%error, "the cache's file cannot be read");
                    file = None;
                    None
                }
            };
            reply(found);
        }
    }))
}

fn spawned(thread: std::io::Result<JoinHandle<()>>) -> Option<JoinHandle<()>> {
    thread.inspect_err(|error| tracing::warn!(%error, "the cache's disk is not used")).ok()
}

struct Writer {
    database: Cache,
    shared: Arc<Shared>,
    disk_bytes: u64,
    file: Option<CacheWriter>,
    retry_at: Instant,
    failing: bool,
}

impl Writer {
    fn run(mut self, commands: &Receiver<Command>) {
        // The file is begun with the first answer.
        if self.database.exists() {
            self.open();
        } else {
            self.shared.index.is_loaded();
        }
        let mut more = self.file.is_some();
        loop {
            let first = match commands.recv_timeout(if more { COMMIT_INTERVAL } else { IDLE }) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut rows = Vec::new();
            let then = match first {
                Some(first) => gather(first, commands, &mut rows),
                None => Then::GoOn,
            };
            self.write(rows);
            more = self.tidy();
            match then {
                Then::GoOn => {}
                Then::Purge(gateway) => self.purge(gateway.as_deref()),
                Then::Say(done) => drop(done.try_send(())),
                Then::Stop => return,
            }
        }
    }

    fn open(&mut self) -> Option<&mut CacheWriter> {
        if self.file.is_none() && Instant::now() >= self.retry_at {
            match self.database.writer(self.disk_bytes) {
                Ok((file, keys)) => {
                    self.shared.index.add(keys);
                    self.shared.index.is_loaded();
                    self.file = Some(file);
                }
                Err(error) => self.failed(&error),
            }
        }
        self.file.as_mut()
    }

    fn write(&mut self, rows: Vec<CacheRow>) {
        if rows.is_empty() {
            return;
        }
        let (count, bytes) = (rows.len() as u64, rows.iter().map(|row| row.data.len()).sum());
        let written = match self.open() {
            Some(file) => file.put(&rows),
            None => Ok(false),
        };
        match written {
            Ok(true) => {
                self.shared.index.add(rows.iter().map(|row| row.key));
                self.shared.written.fetch_add(count, Ordering::Relaxed);
                self.failing = false;
            }
            Ok(false) => drop(self.shared.dropped.fetch_add(count, Ordering::Relaxed)),
            Err(error) => {
                self.shared.dropped.fetch_add(count, Ordering::Relaxed);
                self.failed(&error);
            }
        }
        self.shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Removes a few answers whose time is over or for which there is no room; true if there may be more of them.
    fn tidy(&mut self) -> bool {
        let Some(file) = self.file.as_mut() else { return false };
        match file.tidy(now_ms()) {
            Ok((removed, more)) => {
                self.shared.index.remove(&removed);
                more
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    fn purge(&mut self, gateway: Option<&str>) {
        if !self.database.exists() {
            return;
        }
        let Some(file) = self.open() else { return };
        match file.purge(gateway) {
            Ok(removed) => self.shared.index.remove(&removed),
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &crate::Error) {
        if !self.failing {
            tracing::warn!(%error, "the cache cannot be written; answers are kept in memory only");
        }
        self.failing = true;
        self.shared.failed_commits.fetch_add(1, Ordering::Relaxed);
        self.file = None;
        self.retry_at = Instant::now() + PAUSE;
    }
}

/// What follows a commit.
enum Then {
    GoOn,
    Purge(Option<String>),
    Say(SyncSender<()>),
    Stop,
}

/// Takes answers until the interval is over, there are enough of them, or something else is to be done.
fn gather(first: Command, commands: &Receiver<Command>, rows: &mut Vec<CacheRow>) -> Then {
    let deadline = Instant::now() + COMMIT_INTERVAL;
    let mut bytes = 0;
    let mut next = Some(first);
    loop {
        match next {
            Some(Command::Put(row)) => {
                bytes += row.data.len();
                rows.push(row);
            }
            Some(Command::Purge(gateway)) => return Then::Purge(gateway),
            Some(Command::Flush(done)) => return Then::Say(done),
            Some(Command::Stop) => return Then::Stop,
            None => return Then::GoOn,
        }
        if bytes >= COMMIT_BYTES {
            return Then::GoOn;
        }
        next = commands.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok();
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
