//! One thread per target: reads what follows the target's place, delivers it, moves the place on. What does not arrive is
//! tried again for as long as it takes, with growing pauses; the log is the queue, so memory stays bounded.

mod signal;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use genesis_store::{LogEntry, Wake};

use self::signal::Signal;
pub(crate) use self::signal::Stop;
use crate::post::{Post, PostMaker};
use crate::source::{Bounds, Source};
use crate::target::{Target, Undelivered};

/// How a target is served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Behaviour {
    pub bounds: Bounds,
    /// How long records gather before they are sent.
    pub gather: Duration,
    /// Before the second attempt; it doubles with each that fails, up to `longest_pause`.
    pub first_pause: Duration,
    pub longest_pause: Duration,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            bounds: Bounds { records: 1_000, bytes: 8 << 20 },
            gather: Duration::from_secs(5),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
        }
    }
}

/// How an export is doing, since the process began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExportStatus {
    pub target: String,
    /// Records that arrived.
    pub sent: u64,
    /// Records the receiver will never take.
    pub refused: u64,
    /// Records that are damaged in the log.
    pub unreadable: u64,
    /// Records that were deleted from the log before they could be sent, since the target began.
    pub lost: u64,
    /// Records that are yet to be sent; those that its filter leaves out count until they are looked at.
    pub behind: u64,
    /// Attempts that failed.
    pub failed_attempts: u64,
    /// Why the last attempt failed; `None` once one succeeds.
    pub last_error: Option<String>,
}

/// How long a receiver may ask to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// How often a target that waits looks how far it is behind.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// How often the place is kept where nothing was wanted.
const KEEP_PLACE_EVERY: Duration = Duration::from_secs(60);

/// A running thread.
#[derive(Debug)]
pub(crate) struct Driver {
    signal: Arc<Signal>,
    status: SharedStatus,
    handle: JoinHandle<()>,
}

pub(crate) type SharedStatus = Arc<Mutex<ExportStatus>>;

/// What a thread needs to begin.
pub(crate) struct Job {
    pub(crate) source: Source,
    pub(crate) target: Box<dyn Target>,
    pub(crate) post: PostMaker,
    pub(crate) behaviour: Behaviour,
    /// Counters go on where an earlier driver of this target left them.
    pub(crate) status: SharedStatus,
    /// It must have ended before this one begins, so that records keep their order.
    pub(crate) predecessor: Option<Driver>,
}

impl Driver {
    /// Starts the thread; `wake` is to be called when there may be something to send.
    pub(crate) fn start(name: &str, job: Job) -> std::io::Result<(Self, Wake)> {
        let signal = Arc::new(Signal::default());
        let status = Arc::clone(&job.status);
        let ending = Ending(Arc::clone(&status), Arc::clone(&signal));
        let told = Arc::clone(&signal);
        let handle = thread::Builder::new().name(format!("export {name}")).spawn(move || {
            let _ending = ending;
            let mut source = job.source;
            if let Some(predecessor) = job.predecessor {
                let _ = predecessor.handle.join();
                source.find_place_again();
            }
            let worker = Worker {
                signal: told,
                status: job.status,
                source,
                target: job.target,
                post: None,
                maker: job.post,
                behaviour: job.behaviour,
                failures: 0,
                counted: None,
                place_kept: Instant::now(),
            };
            worker.run();
        })?;
        let woken = Arc::downgrade(&signal);
        let wake: Wake = Arc::new(move || {
            if let Some(signal) = woken.upgrade() {
                signal.wake();
            }
        });
        Ok((Self { signal, status, handle }, wake))
    }

    pub(crate) fn status(&self) -> &SharedStatus {
        &self.status
    }

    pub(crate) fn ask_to_stop(&self, stop: Stop) {
        self.signal.stop(stop);
    }

    /// False if it has not ended by then.
    pub(crate) fn ended_by(&self, deadline: Instant) -> bool {
        self.signal.ended_by(deadline)
    }
}

/// Says so if a worker breaks down, and that it has ended in any case.
struct Ending(SharedStatus, Arc<Signal>);

impl Drop for Ending {
    fn drop(&mut self) {
        if thread::panicking() {
            let why = "the export broke down; nothing is sent until the gateway is restarted";
            self.0.lock().unwrap_or_else(PoisonError::into_inner).last_error = Some(why.to_owned());
        }
        self.1.end();
    }
}

struct Worker {
    signal: Arc<Signal>,
    status: SharedStatus,
    source: Source,
    target: Box<dyn Target>,
    post: Option<Box<dyn Post>>,
    maker: PostMaker,
    behaviour: Behaviour,
    /// In a row.
    failures: u32,
    counted: Option<Instant>,
    place_kept: Instant,
}

/// The worker was asked to stop, or may not try again before it does.
struct Stopped;

impl Worker {
    fn run(mut self) {
        loop {
            let last = self.signal.stopping() > Stop::No;
            if self.round().is_err() || last {
                break;
            }
            self.signal.wait_for_records();
            self.signal.pause(self.behaviour.gather);
        }
        if self.signal.stopping() < Stop::Forgotten {
            self.source.keep_place();
        }
    }

    /// Sends everything there is.
    fn round(&mut self) -> Result<(), Stopped> {
        loop {
            if self.signal.stopping() >= Stop::Now {
                return Err(Stopped);
            }
            let stretch = match self.source.read() {
                Ok(stretch) => stretch,
                Err(error) => {
                    self.failed(&format!("the log cannot be read: {error}"), None)?;
                    continue;
                }
            };
            self.change(|status| status.unreadable += stretch.unreadable);
            if stretch.entries.is_empty() {
                self.source.pass_unwanted(stretch.reached);
                if self.place_kept.elapsed() >= KEEP_PLACE_EVERY {
                    self.source.keep_place();
                    self.place_kept = Instant::now();
                }
            } else {
                self.deliver(&stretch.entries)?;
                self.source.pass(stretch.reached);
                self.place_kept = Instant::now();
            }
            if !stretch.more {
                self.counted = None;
                self.count();
                return Ok(());
            }
            self.count();
        }
    }

    /// Delivers all of it, in pieces if the receiver wants them smaller.
    fn deliver(&mut self, entries: &[LogEntry]) -> Result<(), Stopped> {
        let mut rest = entries;
        let mut piece = rest.len();
        while let Some(last) = rest.get(..piece).and_then(<[_]>::last) {
            let refused = match self.attempt(&rest[..piece]) {
                Ok(()) => false,
                Err(Undelivered::TooLarge { .. }) if piece > 1 => {
                    piece = piece.div_ceil(2);
                    continue;
                }
                Err(Undelivered::Later { why, after }) => {
                    self.failed(&why, after)?;
                    continue;
                }
                Err(Undelivered::TooLarge { why } | Undelivered::Refused { why }) => {
                    let target = self.lock().target.clone();
                    tracing::warn!(target, records = piece, "not exported, and will not be: {why}");
                    true
                }
            };
            self.source.pass(last.place);
            self.failures = 0;
            self.change(|status| {
                let counter = if refused { &mut status.refused } else { &mut status.sent };
                *counter += piece as u64;
                if !refused && let Some(error) = status.last_error.take() {
                    tracing::info!(target = status.target, "exported again, after: {error}");
                }
            });
            rest = &rest[piece..];
            piece = piece.min(rest.len());
            if self.signal.stopping() >= Stop::Now {
                return Err(Stopped);
            }
        }
        Ok(())
    }

    fn attempt(&mut self, entries: &[LogEntry]) -> Result<(), Undelivered> {
        let post = match &mut self.post {
            Some(post) => post,
            none => none.insert((self.maker)().map_err(|error| Undelivered::later(error.to_string()))?),
        };
        self.target.deliver(entries, post.as_mut())
    }

    /// Notes a failure and waits before the next attempt.
    fn failed(&mut self, why: &str, after: Option<Duration>) -> Result<(), Stopped> {
        if self.failures == 0 {
            let target = self.lock().target.clone();
            tracing::warn!(target, "cannot be exported now, and is tried again: {why}");
        }
        self.change(|status| {
            status.failed_attempts += 1;
            status.last_error = Some(why.to_owned());
        });
        self.count();
        let pause = pause(&self.behaviour, self.failures, after);
        self.failures = self.failures.saturating_add(1);
        let until = Instant::now() + pause;
        loop {
            if self.signal.stopping() > Stop::No {
                return Err(Stopped);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.signal.pause(left.min(COUNT_EVERY));
            self.count();
        }
    }

    /// Looks how far it is behind, but not all the time: the log may be long.
    fn count(&mut self) {
        if self.counted.is_some_and(|counted| counted.elapsed() < Duration::from_secs(1)) {
            return;
        }
        let (behind, lost) = (self.source.behind(), self.source.lost());
        self.change(|status| {
            status.behind = behind.unwrap_or(status.behind);
            status.lost = lost.unwrap_or(status.lost);
        });
        self.counted = Some(Instant::now());
    }

    fn change(&self, change: impl FnOnce(&mut ExportStatus)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, ExportStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Before the next attempt: doubled with each failure, spread so that many gateways do not come back in step, and not
/// before the receiver wants.
fn pause(behaviour: &Behaviour, failures: u32, after: Option<Duration>) -> Duration {
    let pause = behaviour.first_pause.saturating_mul(1 << failures.min(16)).min(behaviour.longest_pause);
    let spread = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
    spread.max(after.unwrap_or_default().min(LONGEST_WAIT))
}
