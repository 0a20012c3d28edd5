//! The thread that empties the queue.
//!
//! It works in ticks of one commit interval while there is work, and parks when there is none, so a push costs a wake-up
//! only after a pause. If the store is ill it keeps the batch it could not commit, goes on emptying the queue into
//! its backlog, sheds what exceeds the bounds, and tries again with growing pauses.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{Ordering, fence},
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

use super::{Batch, Entry, JournalOptions, Shared, batch::Builder};
use crate::{
    Result, Store,
    sqlite::{LogWriter, Stored},
};

/// Ticks without work before parking: a steady trickle causes no wake-ups by the request path.
const IDLE_TICKS: u32 = 4;
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Attempts on an ill store when closing.
const LAST_ATTEMPTS: u32 = 3;

pub(super) fn spawn(
    store: Store,
    shared: Arc<Shared>,
    options: JournalOptions,
) -> (Option<JoinHandle<()>>, Thread) {
    let ending = Ending(Arc::clone(&shared));
    let mut writer = Writer::new(store, Arc::clone(&shared), options);
    let spawned = thread::Builder::new().name("journal".into()).spawn(move || {
        let _ending = ending;
        writer.run();
    });
    match spawned {
        Ok(handle) => {
            let thread = handle.thread().clone();
            (Some(handle), thread)
        }
        Err(error) => {
            shared.set_error(Some(format!(
                "the log's writer could not be started ({error}); nothing is logged"
            )));
            (None, thread::current())
        }
    }
}

/// Marks the journal closed when the writer ends, however it ends.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        let shared = &*self.0;
        shared.closed.store(true, Ordering::SeqCst);
        if thread::panicking() {
            shared
                .set_error(Some("the log's writer broke down; nothing is logged until a restart".to_owned()));
        }
        while let Some(entry) = shared.queue.pop() {
            shared.drop_record(&entry);
        }
        shared.flushed.notify_all();
    }
}

struct Writer {
    store: Store,
    shared: Arc<Shared>,
    options: JournalOptions,
    database: Option<LogWriter>,
    builder: Builder,
    backlog: VecDeque<Box<Entry>>,
    backlog_payload_bytes: usize,
    /// Built and not committed yet.
    pending: Option<Batch>,
    budget: Budget,
    failures: u32,
    retry_at: Instant,
    /// When the log is opened for its upkeep, if nothing was logged until then.
    open_at: Instant,
}

impl Writer {
    fn new(store: Store, shared: Arc<Shared>, options: JournalOptions) -> Self {
        Self {
            store,
            shared,
            budget: Budget::new(options.payload_bytes_per_second),
            open_at: Instant::now() + options.upkeep_every,
            options,
            database: None,
            builder: Builder::default(),
            backlog: VecDeque::new(),
            backlog_payload_bytes: 0,
            pending: None,
            failures: 0,
            retry_at: Instant::now(),
        }
    }

    fn run(&mut self) {
        let mut idle = 0;
        let mut flushed = 0;
        let mut noticed = 0;
        // A log of an older version is brought up to date now, not at the first record: readers wait for it.
        if self.store.log_database().path().exists() {
            self.database = self.open().ok();
        }
        loop {
            self.wait_for_tick(noticed);
            let closing = self.shared.closing.load(Ordering::SeqCst);
            let wanted = self.shared.flush_wanted.load(Ordering::SeqCst);
            if closing || wanted > noticed {
                // An ill store gets one attempt at once per call of flush; then it has its pause as ever.
                self.retry_at = Instant::now();
                noticed = wanted;
            }
            let worked = self.round();
            if self.is_empty() && wanted > flushed {
                flushed = wanted;
                *self.shared.lock_flush_done() = wanted;
                self.shared.flushed.notify_all();
            }
            if closing && (self.is_empty() || self.failures >= LAST_ATTEMPTS) {
                return self.give_up();
            }
            idle = if worked { 0 } else { idle + 1 };
            if idle > IDLE_TICKS && self.is_empty() {
                self.park(noticed);
                idle = 0;
            }
        }
    }

    /// Takes over what was pushed, sheds what is too much, commits the rest. True if there was anything to do.
    fn round(&mut self) -> bool {
        let mut worked = false;
        loop {
            self.drain();
            self.shed();
            if self.is_empty() && !self.has_upkeep() {
                return worked;
            }
            worked = true;
            if Instant::now() < self.retry_at {
                return worked;
            }
            match self.commit() {
                Ok(()) => self.recovered(),
                Err(error) => {
                    self.failed(&error);
                    return worked;
                }
            }
            if self.is_empty() {
                // Deleting goes on in the next tick, in small slices.
                return worked;
            }
        }
    }

    /// There is something to delete or to tidy up, maybe what another process logged long ago.
    fn has_upkeep(&self) -> bool {
        match &self.database {
            Some(database) => database.wants_to_trim(),
            None => self.open_at <= Instant::now() && self.store.log_database().path().exists(),
        }
    }

    fn drain(&mut self) {
        while let Some(entry) = self.shared.queue.pop() {
            self.shared.followers.tell(&entry.packed);
            self.backlog_payload_bytes += entry.payload_size().unwrap_or(0);
            self.backlog.push_back(entry);
            if self.backlog.len() > self.options.capacity_records {
                self.drop_oldest();
            }
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(entry) = self.backlog.pop_front() {
            self.backlog_payload_bytes -= entry.payload_size().unwrap_or(0);
            self.shared.drop_record(&entry);
        }
    }

    /// Drops the oldest bodies until the rest fits into the time and, with room for new ones, the memory there is.
    fn shed(&mut self) {
        let memory = self.options.payload_bytes - self.options.payload_bytes / 4;
        let allowed = memory.min(self.budget.available());
        for entry in &mut self.backlog {
            if self.backlog_payload_bytes <= allowed {
                return;
            }
            if let Some(size) = entry.drop_payload() {
                self.backlog_payload_bytes -= size;
                self.shared.drop_payload(size);
            }
        }
    }

    fn commit(&mut self) -> Result<()> {
        if self.database.as_ref().is_some_and(|database| !database.is_in_place()) {
            tracing::warn!("the log's file was moved or deleted; starting a new one");
            self.database = None;
        }
        if self.database.is_none() {
            self.database = Some(self.open()?);
        }
        let Some(database) = &mut self.database else { return Ok(()) };
        let batch = match &mut self.pending {
            Some(batch) => batch,
            none => none.insert(take_batch(
                &mut self.builder,
                &mut self.backlog,
                &self.options,
                database.stored()?,
                |bytes| {
                    self.backlog_payload_bytes -= bytes;
                    self.budget.spend(bytes);
                    self.shared.payload_bytes.fetch_sub(bytes, Ordering::Relaxed);
                },
            )),
        };
        let places = self.shared.exports.waiting();
        database.commit(batch, &places, &self.options.retention)?;
        self.shared.exports.written(&places);
        let records = batch.records;
        self.shared.written.fetch_add(records, Ordering::Relaxed);
        self.shared.refused.fetch_add(batch.refused, Ordering::Relaxed);
        self.pending = None;
        if records > 0 {
            self.shared.followers.wake();
        }
        Ok(())
    }

    fn open(&self) -> Result<LogWriter> {
        let JournalOptions { max_file_bytes, pages_in_chapter, upkeep_every, .. } = self.options;
        self.store.log_database().writer(max_file_bytes, pages_in_chapter, upkeep_every)
    }

    fn recovered(&mut self) {
        if self.failures > 0 {
            tracing::info!("the log is written again");
            self.failures = 0;
            self.shared.set_error(None);
        }
    }

    fn failed(&mut self, error: &crate::Error) {
        if self.failures == 0 {
            tracing::warn!(%error, "the log cannot be written; keeping records in memory and trying again");
        }
        self.failures += 1;
        let pause = self.options.commit_interval.saturating_mul(1 << self.failures.min(10));
        self.retry_at = Instant::now() + pause.min(LONGEST_PAUSE);
        self.database = None;
        self.open_at = Instant::now() + self.options.upkeep_every;
        self.shared.failed_commits.fetch_add(1, Ordering::Relaxed);
        self.shared.set_error(Some(error.to_string()));
    }

    fn is_empty(&self) -> bool {
        self.pending.is_none() && self.backlog.is_empty() && self.shared.exports.is_empty()
    }

    /// Counts what could not be written before the end.
    fn give_up(&mut self) {
        while !self.backlog.is_empty() {
            self.drop_oldest();
        }
        if let Some(batch) = self.pending.take() {
            let lost = batch.records + batch.refused;
            self.shared.dropped_records.fetch_add(lost, Ordering::Relaxed);
            self.shared.dropped_pushed.fetch_add(lost, Ordering::Relaxed);
        }
    }

    /// Sleeps until a push, a flush, the next upkeep or the end.
    fn park(&self, noticed: u64) {
        let shared = &*self.shared;
        shared.parked.store(true, Ordering::Relaxed);
        // The counterpart of the fence in `Journal::push`.
        fence(Ordering::SeqCst);
        if shared.queue.is_empty() && shared.exports.is_empty() && !self.is_awaited(noticed) {
            thread::park_timeout(self.options.upkeep_every);
        }
        shared.parked.store(false, Ordering::Relaxed);
    }

    /// Lets records gather for one interval, unless somebody waits for them.
    fn wait_for_tick(&self, noticed: u64) {
        let deadline = Instant::now() + self.options.commit_interval;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.is_awaited(noticed) && self.failures == 0 {
                return;
            }
            thread::park_timeout(left);
        }
    }

    fn is_awaited(&self, noticed: u64) -> bool {
        self.shared.closing.load(Ordering::SeqCst)
            || self.shared.flush_wanted.load(Ordering::SeqCst) > noticed
    }
}

/// The next batch from the backlog. `taken` is told how many bytes of bodies left it.
fn take_batch(
    builder: &mut Builder,
    backlog: &mut VecDeque<Box<Entry>>,
    options: &JournalOptions,
    stored: &HashMap<Vec<u8>, Stored>,
    taken: impl FnOnce(usize),
) -> Batch {
    let count = backlog.len().min(options.commit_records.max(1));
    let bytes = backlog.iter().take(count).filter_map(|entry| entry.payload_size()).sum();
    let batch = builder.build(backlog.drain(..count), stored, &options.retention);
    taken(bytes);
    batch
}

/// Bytes of bodies that may be written now: refilled steadily, at most one second's worth.
struct Budget {
    per_second: u64,
    available: f64,
    at: Instant,
}

impl Budget {
    fn new(per_second: u64) -> Self {
        Self { per_second, available: per_second as f64, at: Instant::now() }
    }

    fn available(&mut self) -> usize {
        let now = Instant::now();
        let full = self.per_second as f64;
        self.available = (self.available + now.duration_since(self.at).as_secs_f64() * full).min(full);
        self.at = now;
        self.available.max(0.0) as usize
    }

    fn spend(&mut self, bytes: usize) {
        self.available -= bytes as f64;
    }
}
