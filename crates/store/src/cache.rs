//! Answers kept for repetition, on disk: what lets a restart keep the cache.
//!
//! A file of its own (`<name>-cache.db`): it is large, written without pause, worth nothing to anybody but the gateway,
//! and may be deleted. One thread writes, one reads; the request path only ever leaves something in a bounded queue, and
//! an index in memory tells it whether asking is worth it. Whatever is wrong with the file, answers are simply not found.
//!
//! * this file: what the gateway and the commands call
//! * `threads`: the writer and the reader
//! * `index`: which keys are on disk

mod index;
mod threads;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use self::index::Index;
use self::threads::{Ask, Command};
use crate::{Result, Store};

/// Names an answer: the SHA-256 of everything it depends on.
pub type CacheKey = [u8; 32];

/// How much may be kept, and how much may wait to be written.
#[derive(Clone, Copy, Debug)]
pub struct CacheOptions {
    /// Bytes of answers on disk; beyond it the oldest go.
    pub disk_bytes: u64,
    /// Bytes of answers waiting to be written; beyond it new ones are not kept on disk.
    pub queue_bytes: usize,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self { disk_bytes: 256 << 20, queue_bytes: 32 << 20 }
    }
}

/// An answer as it is kept; what is in `data` is the gateway's business.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheRow {
    pub key: CacheKey,
    pub gateway: String,
    /// Never given out from then on.
    pub expires_at_ms: i64,
    pub data: Bytes,
}

/// What is on disk, for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CacheUse {
    pub gateway: String,
    pub answers: u64,
    pub bytes: u64,
    /// Of these, those whose time is over and that wait to be removed.
    pub expired: u64,
}

/// How the disk side is doing, since it was started.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CacheStats {
    pub written: u64,
    /// Answers that were not kept on disk: the queue was full, or the file could not be written.
    pub dropped: u64,
    pub failed_commits: u64,
    /// Answers on disk, as far as known.
    pub answers: u64,
}

/// Receives an answer, or `None` if it is not there; called on the reader's thread.
pub type Reply = Box<dyn FnOnce(Option<Bytes>) + Send>;

/// The disk side of the cache, as the running gateway sees it. No call waits for the disk, save [`Self::flush`] and
/// [`Self::close`].
pub struct CacheDisk {
    shared: Arc<Shared>,
    commands: SyncSender<Command>,
    asks: Mutex<Option<SyncSender<Ask>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    queue_bytes: usize,
}

/// What callers and threads share.
#[derive(Debug, Default)]
struct Shared {
    index: Index,
    waiting_bytes: AtomicUsize,
    written: AtomicU64,
    dropped: AtomicU64,
    failed_commits: AtomicU64,
}

/// Commands that may wait to be carried out.
const COMMANDS: usize = 4096;
/// Questions that may wait for the reader; with more the disk is too slow to be worth asking.
const ASKS: usize = 256;

impl CacheDisk {
    /// Starts both threads. The file is opened by them, so this neither waits nor fails.
    pub fn start(store: &Store, options: CacheOptions) -> Self {
        let shared = Arc::new(Shared::default());
        let (commands, received) = sync_channel(COMMANDS);
        let (asks, asked) = sync_channel(ASKS);
        let database = store.cache_database();
        let threads = vec![
            threads::writer(database.clone(), Arc::clone(&shared), received, options.disk_bytes),
            threads::reader(database.clone(), asked),
        ];
        Self {
            shared,
            commands,
            asks: Mutex::new(Some(asks)),
            threads: Mutex::new(threads.into_iter().flatten().collect()),
            queue_bytes: options.queue_bytes,
        }
    }

    /// Whether asking for `key` is worth it. Never wrong about an answer that has been there for a moment.
    pub fn may_have(&self, key: &CacheKey) -> bool {
        self.shared.index.may_have(key)
    }

    /// Looks `key` up on the reader's thread. If too many questions wait, `reply` is told `None` at once.
    pub fn ask(&self, key: CacheKey, now_ms: i64, reply: Reply) {
        let asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let refused = match asks.map(|asks| asks.try_send(Ask { key, now_ms, reply })) {
            None | Some(Ok(())) => return,
            Some(Err(refused)) => refused,
        };
        let (std::sync::mpsc::TrySendError::Full(ask) | std::sync::mpsc::TrySendError::Disconnected(ask)) =
            refused;
        (ask.reply)(None);
    }

    /// Hands an answer over to be written, in place of an older one. With a full queue it is only counted.
    pub fn put(&self, row: CacheRow) {
        let bytes = row.data.len();
        let waiting = self.shared.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let taken = waiting <= self.queue_bytes && self.commands.try_send(Command::Put(row)).is_ok();
        if !taken {
            self.shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Removes the answers of a gateway, or all, after everything handed over before. Until that is done they may still
    /// be found.
    pub fn purge(&self, gateway: Option<&str>) {
        let command = Command::Purge(gateway.map(str::to_owned));
        if self.commands.try_send(command).is_err() {
            tracing::warn!("the cache's disk is too busy to be purged; run `genesis cache purge` again");
        }
    }

    pub fn stats(&self) -> CacheStats {
        let Shared { index, written, dropped, failed_commits, .. } = &*self.shared;
        CacheStats {
            written: written.load(Ordering::Relaxed),
            dropped: dropped.load(Ordering::Relaxed),
            failed_commits: failed_commits.load(Ordering::Relaxed),
            answers: index.len() as u64,
        }
    }

    /// Waits until everything handed over before is written or given up; false if that took longer than `timeout`.
    pub fn flush(&self, timeout: Duration) -> bool {
        let (done, is_done) = sync_channel(1);
        self.commands.try_send(Command::Flush(done)).is_ok() && is_done.recv_timeout(timeout).is_ok()
    }

    /// Writes what was handed over and ends both threads.
    pub fn close(&self) {
        drop(self.asks.lock().unwrap_or_else(PoisonError::into_inner).take());
        let _ = self.commands.send(Command::Stop);
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for CacheDisk {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for CacheDisk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CacheDisk").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Store {
    /// What the cache holds on disk, by gateway. Empty if there is no file.
    pub fn cache_use(&self, now_ms: i64) -> Result<Vec<CacheUse>> {
        self.cache_database().uses(now_ms)
    }

    /// Removes the cached answers of one gateway, or all, and leaves word for a running gateway, which forgets what it
    /// has in memory when it hears [`Self::cache_purges`]. Returns how many were on disk.
    pub fn purge_cache(&self, gateway: Option<&str>, now_ms: i64) -> Result<u64> {
        self.cache_database().purge(gateway, now_ms)
    }

    /// Word of purges after number `after`: the last number, and the gateways meant; `None` is all of them.
    pub fn cache_purges(&self, after: i64) -> Result<(i64, Vec<Option<String>>)> {
        self.cache_database().purges(after)
    }
}
