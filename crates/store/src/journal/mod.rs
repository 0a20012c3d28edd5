//! The journal: the log's hot side. A bounded queue the request path pushes into, and one thread that empties it.
//!
//! * `batch`: what one commit writes, prepared in memory
//! * `exports`: how far exports of the log have come, written with the records
//! * `writer`: the thread: when to commit, what to shed, how to wait for an ill store
//! * [`follow`]: listeners that are shown each record as it comes
//!
//! A record is durable (written and synced) within one commit interval of its push, or it is counted as dropped.
//! Bodies go first when memory, time or space is short, the oldest before the newest; then the oldest records.

mod batch;
mod exports;
pub mod follow;
mod writer;

use std::{
    fmt,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread::{JoinHandle, Thread},
    time::{Duration, Instant},
};

use bytes::Bytes;
use crossbeam_queue::ArrayQueue;

pub(crate) use self::batch::{Batch, Part};
pub(crate) use self::exports::ExportPlaces;
use self::exports::WaitingPlaces;
use self::follow::Followers;
pub use self::follow::{Figures, Following, Listener, Tally, Wake};
use crate::{LogPlace, LogRecord, Payload, Store, packed::Packed};

/// How much a gateway's log may hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retention {
    /// Cloudflare's `log_management`. 0: nothing is kept of an exchange but its part in the totals.
    pub max_rows: u64,
    /// Cloudflare's `log_management_strategy`.
    pub strategy: Strategy,
    /// Records that began longer ago than this are deleted, whatever the strategy. `None`: age is no reason.
    pub max_age: Option<Duration>,
}

/// What happens when a gateway's log is full.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Strategy {
    /// `DELETE_OLDEST`
    #[default]
    DeleteOldest,
    /// `STOP_INSERTING`: counted in [`JournalStats::refused`].
    StopInserting,
}

impl Default for Retention {
    fn default() -> Self {
        Self { max_rows: 1_000_000, strategy: Strategy::DeleteOldest, max_age: None }
    }
}

/// The retention of each gateway by account and id; asked once per gateway and commit, so it may change at any time.
pub type RetentionOf = Arc<dyn Fn(&str, &str) -> Retention + Send + Sync>;

/// How the journal spends memory, time and disk.
#[derive(Clone)]
pub struct JournalOptions {
    /// Records waiting to be written; beyond it the oldest are dropped.
    pub capacity_records: usize,
    /// Bytes of bodies waiting to be written; beyond it the oldest are dropped.
    pub payload_bytes: usize,
    /// Bytes of bodies the writer may compress and write per second; beyond it the oldest are dropped.
    pub payload_bytes_per_second: u64,
    /// How long a record may wait for others to be committed with.
    pub commit_interval: Duration,
    /// Most records in one commit.
    pub commit_records: usize,
    /// Most bytes the log's file may grow to; beyond it the store is full. `None`: as far as the disk goes.
    pub max_file_bytes: Option<u64>,
    /// Full pages of a gateway that are summed up together for searches, at most 64. Fewer: less is read of what is
    /// new, more of what is old.
    pub pages_in_chapter: usize,
    /// How often age, old totals and free space are looked at, also while nothing is logged.
    pub upkeep_every: Duration,
    pub retention: RetentionOf,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            capacity_records: 65_536,
            payload_bytes: 32 << 20,
            payload_bytes_per_second: 32 << 20,
            commit_interval: Duration::from_millis(50),
            commit_records: 1_000,
            max_file_bytes: None,
            pages_in_chapter: 64,
            upkeep_every: Duration::from_secs(60),
            retention: Arc::new(|_, _| Retention::default()),
        }
    }
}

impl fmt::Debug for JournalOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("JournalOptions")
            .field("capacity_records", &self.capacity_records)
            .field("payload_bytes", &self.payload_bytes)
            .field("payload_bytes_per_second", &self.payload_bytes_per_second)
            .field("commit_interval", &self.commit_interval)
            .field("commit_records", &self.commit_records)
            .field("max_file_bytes", &self.max_file_bytes)
            .field("pages_in_chapter", &self.pages_in_chapter)
            .field("upkeep_every", &self.upkeep_every)
            .finish_non_exhaustive()
    }
}

/// How the journal is doing, since it was started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JournalStats {
    /// Records that are durable.
    pub written: u64,
    /// Records a full gateway did not take (`STOP_INSERTING`, or `max_rows` 0); they count in the totals.
    pub refused: u64,
    /// Records lost because the queue was full, or the store was ill until the end.
    pub dropped_records: u64,
    /// Bodies given up to save the rest; their records were kept unless counted above.
    pub dropped_payloads: u64,
    pub failed_commits: u64,
    /// Records pushed and neither durable nor dropped yet.
    pub pending: u64,
    /// Why the last commit failed; stays until one succeeds.
    pub last_error: Option<String>,
    /// The last commit, if any, succeeded.
    pub healthy: bool,
}

/// The log, as the request path sees it.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    thread: Thread,
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    /// Starts the writer. The log's file is opened by it, so this neither waits nor fails: whatever is wrong with the
    /// file shows in [`stats`](Self::stats).
    pub fn start(store: &Store, options: JournalOptions) -> Self {
        let shared = Arc::new(Shared::new(&options));
        let (handle, thread) = writer::spawn(store.clone(), Arc::clone(&shared), options);
        Self { shared, thread, handle: Mutex::new(handle) }
    }

    /// Hands a record over. Never blocks and takes no lock; a full queue loses its oldest record, counted.
    pub fn push(&self, record: LogRecord, payload: Option<Payload>) {
        let shared = &*self.shared;
        if shared.closed.load(Ordering::Relaxed) {
            shared.dropped_records.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let payload = payload.filter(|payload| shared.make_room(payload_size(payload)));
        let entry = Entry::new(&record, payload);
        drop(record);
        shared.pushed.fetch_add(1, Ordering::Relaxed);
        if let Some(oldest) = shared.queue.force_push(Box::new(entry)) {
            shared.drop_record(&oldest);
        }
        // Either the writer sees the record before it parks, or we see that it has parked.
        fence(Ordering::SeqCst);
        if shared.parked.load(Ordering::Relaxed) && shared.parked.swap(false, Ordering::Relaxed) {
            self.thread.unpark();
        }
    }

    /// Shows `listener` every record from now on, a moment before it is durable, until the answer is dropped. It is
    /// called by the log's writer, so it must not block.
    pub fn follow(&self, listener: Listener) -> Following {
        self.shared.followers.add(listener)
    }

    /// Shows `tally` the figures of every record from now on, for good, as [`follow`](Self::follow) does.
    pub fn tally(&self, tally: Tally) {
        self.shared.followers.add_tally(tally);
    }

    /// Calls `wake` after each commit that brought records, for as long as it exists elsewhere.
    pub fn wake(&self, wake: &Wake) {
        self.shared.followers.add_wake(wake);
    }

    /// Notes that everything up to `place` has arrived at `target`. Written with the next commit, which is soon; a process
    /// that is killed before has sent some records that it will send again.
    pub fn note_export(&self, target: &str, place: LogPlace) {
        self.shared.exports.note(target, place);
        self.thread.unpark();
    }

    /// What was noted for this target and is not written yet.
    pub fn noted_export(&self, target: &str) -> Option<LogPlace> {
        self.shared.exports.waiting().reached.get(target).copied()
    }

    /// Forgets how far targets other than these have come.
    pub fn keep_exports(&self, targets: impl IntoIterator<Item = String>) {
        self.shared.exports.keep(targets.into_iter().collect());
        self.thread.unpark();
    }

    /// Lets go of everybody who follows, and of whoever comes later.
    pub fn end_following(&self) {
        self.shared.followers.end();
    }

    /// Counters and health.
    pub fn stats(&self) -> JournalStats {
        self.shared.stats()
    }

    /// Writes what was pushed before the call without waiting for the interval. False if the store did not take it in
    /// time.
    pub fn flush(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let ticket = self.shared.flush_wanted.fetch_add(1, Ordering::SeqCst) + 1;
        self.thread.unpark();
        let mut done = self.shared.lock_flush_done();
        while *done < ticket {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.shared.closed.load(Ordering::Relaxed) {
                return false;
            }
            // Woken now and then, in case the writer has died.
            let wait = left.min(Duration::from_millis(200));
            done = self.shared.flushed.wait_timeout(done, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Writes what is left and ends the writer. If the store does not take it within a few attempts, the rest is
    /// counted as dropped. Later pushes are dropped, too.
    pub fn close(&self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        self.thread.unpark();
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handle) = handle {
            // A panic of the writer has already been recorded in `last_error`.
            let _ = handle.join();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

/// Bodies up to this size are copied by whoever pushes them, together right behind their record: a small slice would keep
/// a whole read buffer alive until the log is written. Larger ones are shared with the connection's buffers.
const SHARED_FROM: usize = 32 << 10;

/// One push: the record as bytes, so that one buffer changes hands instead of some twenty.
#[derive(Debug)]
struct Entry {
    packed: Packed,
    bodies: Bodies,
}

/// Where the bodies of a push are.
#[derive(Debug)]
enum Bodies {
    None,
    /// Behind the record; so many bytes.
    Behind(usize),
    Apart(Payload),
}

impl Entry {
    fn new(record: &LogRecord, payload: Option<Payload>) -> Self {
        match payload {
            None => Self { packed: Packed::of(record), bodies: Bodies::None },
            Some(mut payload) if payload_size(&payload) > SHARED_FROM => {
                for body in [&mut payload.request, &mut payload.response] {
                    if body.len() <= SHARED_FROM {
                        *body = Bytes::copy_from_slice(body);
                    }
                }
                Self { packed: Packed::of(record), bodies: Bodies::Apart(payload) }
            }
            Some(payload) => Self {
                packed: Packed::with_bodies(record, Some(&payload)),
                bodies: Bodies::Behind(payload_size(&payload)),
            },
        }
    }

    /// Bytes of bodies; `None` if there are no bodies, not even empty ones.
    fn payload_size(&self) -> Option<usize> {
        match &self.bodies {
            Bodies::None => None,
            Bodies::Behind(size) => Some(*size),
            Bodies::Apart(payload) => Some(payload_size(payload)),
        }
    }

    /// Gives up the bodies; returns how large they were.
    fn drop_payload(&mut self) -> Option<usize> {
        let size = self.payload_size()?;
        self.bodies = Bodies::None;
        self.packed.drop_bodies();
        Some(size)
    }
}

fn payload_size(payload: &Payload) -> usize {
    payload.request.len() + payload.response.len()
}

/// What the request path and the writer share.
#[derive(Debug)]
struct Shared {
    queue: ArrayQueue<Box<Entry>>,
    payload_limit: usize,
    /// Bytes of bodies in the queue and in the writer's hands.
    payload_bytes: AtomicUsize,
    parked: AtomicBool,
    closing: AtomicBool,
    closed: AtomicBool,
    pushed: AtomicU64,
    written: AtomicU64,
    refused: AtomicU64,
    dropped_records: AtomicU64,
    /// The part of `dropped_records` that had been counted as pushed.
    dropped_pushed: AtomicU64,
    dropped_payloads: AtomicU64,
    failed_commits: AtomicU64,
    last_error: Mutex<Option<String>>,
    flush_wanted: AtomicU64,
    flush_done: Mutex<u64>,
    flushed: Condvar,
    followers: Arc<Followers>,
    exports: WaitingPlaces,
}

impl Shared {
    fn new(options: &JournalOptions) -> Self {
        Self {
            queue: ArrayQueue::new(options.capacity_records.max(1)),
            payload_limit: options.payload_bytes,
            payload_bytes: AtomicUsize::new(0),
            parked: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            pushed: AtomicU64::new(0),
            written: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            dropped_records: AtomicU64::new(0),
            dropped_pushed: AtomicU64::new(0),
            dropped_payloads: AtomicU64::new(0),
            failed_commits: AtomicU64::new(0),
            last_error: Mutex::new(None),
            flush_wanted: AtomicU64::new(0),
            flush_done: Mutex::new(0),
            flushed: Condvar::new(),
            followers: Arc::default(),
            exports: WaitingPlaces::default(),
        }
    }

    /// Reserves memory for a payload. The writer makes room by dropping the oldest; this refuses the newest only when
    /// bodies arrive faster than the writer can even look at them.
    fn make_room(&self, bytes: usize) -> bool {
        let held = self.payload_bytes.fetch_add(bytes, Ordering::Relaxed);
        if held + bytes <= self.payload_limit {
            return true;
        }
        self.payload_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.dropped_payloads.fetch_add(1, Ordering::Relaxed);
        false
    }

    fn drop_payload(&self, size: usize) {
        self.payload_bytes.fetch_sub(size, Ordering::Relaxed);
        self.dropped_payloads.fetch_add(1, Ordering::Relaxed);
    }

    fn drop_record(&self, entry: &Entry) {
        entry.payload_size().into_iter().for_each(|size| self.drop_payload(size));
        self.dropped_records.fetch_add(1, Ordering::Relaxed);
        self.dropped_pushed.fetch_add(1, Ordering::Relaxed);
    }

    fn stats(&self) -> JournalStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (written, refused) = (count(&self.written), count(&self.refused));
        let settled = written + refused + count(&self.dropped_pushed);
        let last_error = self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        JournalStats {
            written,
            refused,
            dropped_records: count(&self.dropped_records),
            dropped_payloads: count(&self.dropped_payloads),
            failed_commits: count(&self.failed_commits),
            pending: count(&self.pushed).saturating_sub(settled),
            healthy: last_error.is_none(),
            last_error,
        }
    }

    fn set_error(&self, error: Option<String>) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    fn lock_flush_done(&self) -> MutexGuard<'_, u64> {
        self.flush_done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
