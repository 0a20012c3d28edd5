//! Metrics, told to each collector every few seconds if there is anything new.
//!
//! A push says everything since the gateway began, so one that fails is not repeated: the next one covers it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::collector::{Collector, Unsent};
use super::meter::Meter;
use super::now_ns;
use crate::otlp::{Metric, Metrics, Resource};
use crate::post::{Post, PostMaker, Unreachable};

/// Between two pushes to one collector.
const EVERY: Duration = Duration::from_secs(10);
/// After one that failed, or longer if the collector wants that.
const AFTER_FAILURE: Duration = Duration::from_secs(60);
/// After one that was refused: many collectors take traces alone.
const AFTER_REFUSAL: Duration = Duration::from_secs(3600);
/// How often it is looked whether something is new.
const LOOK: Duration = Duration::from_secs(1);

/// The thread that pushes, once there is a collector to push to.
#[derive(Debug)]
pub(super) struct Pusher {
    shared: Arc<Shared>,
    started: Mutex<bool>,
}

struct Shared {
    meter: Arc<Meter>,
    resource: Arc<Resource>,
    post: PostMaker,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    recipients: Vec<Recipient>,
    stopping: bool,
    ended: bool,
}

/// A collector, and how pushing to it went.
#[derive(Clone)]
struct Recipient {
    collector: Arc<Collector>,
    url: String,
    /// What the meter had counted of its gateway at the last push that arrived.
    told: u64,
    not_before: Option<Instant>,
    /// The last push failed, and that was said.
    failing: bool,
}

impl Pusher {
    pub(super) fn new(meter: Arc<Meter>, resource: Arc<Resource>, post: PostMaker) -> Self {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Self { shared: Arc::new(Shared { meter, resource, post, state, changed }), started: Mutex::default() }
    }

    /// Pushes to these from now on. One that has not changed is not told again what it knows.
    pub(super) fn apply(&self, collectors: Vec<Arc<Collector>>) {
        let mut state = self.shared.lock();
        let before = std::mem::take(&mut state.recipients);
        for collector in collectors {
            let Some(url) = collector.addresses.metrics.clone() else { continue };
            let same = |known: &&Recipient| {
                known.collector.name == collector.name && known.collector.identity == collector.identity
            };
            let known = before.iter().find(same).cloned();
            let fresh = Recipient { collector, url, told: 0, not_before: None, failing: false };
            state.recipients.push(known.unwrap_or(fresh));
        }
        let any = !state.recipients.is_empty();
        drop(state);
        self.shared.changed.notify_all();
        if any {
            self.start();
        }
    }

    /// Pushes what is new and ends. False if it has not ended by then.
    pub(super) fn stop(&self, within: Duration) -> bool {
        if !*self.started() {
            return true;
        }
        self.shared.lock().stopping = true;
        self.shared.changed.notify_all();
        let waited = self.shared.changed.wait_timeout_while(self.shared.lock(), within, |state| !state.ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    fn start(&self) {
        let mut started = self.started();
        if *started {
            return;
        }
        let shared = Arc::clone(&self.shared);
        match thread::Builder::new().name("metrics".to_owned()).spawn(move || shared.run()) {
            Ok(_) => *started = true,
            Err(error) => tracing::error!(%error, "no metrics are pushed: their thread cannot be started"),
        }
    }

    fn started(&self) -> MutexGuard<'_, bool> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pusher {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.stopping = true;
        state.recipients.clear();
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn run(&self) {
        let _ending = Ending(self);
        let mut post = None;
        loop {
            let mut state = self.lock();
            if !state.stopping {
                state = self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            }
            let stopping = state.stopping;
            let due: Vec<_> = state
                .recipients
                .iter()
                .filter(|recipient| self.is_due(recipient, stopping))
                .cloned()
                .collect();
            // No lock is held while somebody is waited for.
            drop(state);
            for recipient in due {
                let after = self.push(recipient, &mut post);
                self.remember(after);
            }
            if stopping {
                return;
            }
        }
    }

    fn is_due(&self, recipient: &Recipient, stopping: bool) -> bool {
        let waits = recipient.not_before.is_some_and(|until| Instant::now() < until);
        let may = !waits || (stopping && !recipient.failing);
        may && recipient.told != self.meter.counted(&recipient.collector.gateway)
    }

    /// Returns what is known of the recipient after it.
    fn push(&self, mut recipient: Recipient, post: &mut Option<Box<dyn Post>>) -> Recipient {
        // Counted before it is read: what comes in between is new once more.
        let counted = self.meter.counted(&recipient.collector.gateway);
        let metrics = self.meter.metrics(&recipient.collector.gateway, now_ns());
        recipient.not_before = Some(Instant::now() + EVERY);
        let target = recipient.collector.name.as_str();
        match self.send(&recipient, &metrics, post) {
            Ok(()) => {
                if recipient.failing {
                    tracing::info!(target, "metrics arrive again");
                }
                recipient.failing = false;
                recipient.told = counted;
            }
            Err(unsent) => {
                let (wait, why) = match unsent {
                    Unsent::Later { why, after } => (after.unwrap_or_default(), why),
                    Unsent::Misplaced { why } | Unsent::TooLarge { why } | Unsent::Refused { why } => {
                        (AFTER_REFUSAL, why)
                    }
                };
                let wait = wait.clamp(AFTER_FAILURE, AFTER_REFUSAL);
                if !recipient.failing {
                    let minutes = wait.as_secs() / 60;
                    tracing::warn!(target, minutes, "metrics do not arrive and are tried again: {why}");
                }
                recipient.failing = true;
                recipient.not_before = Some(Instant::now() + wait);
            }
        }
        recipient
    }

    fn send(
        &self,
        recipient: &Recipient,
        metrics: &[Metric],
        post: &mut Option<Box<dyn Post>>,
    ) -> Result<(), Unsent> {
        let post = match post {
            Some(post) => post,
            none => {
                let unmade = |error: Unreachable| Unsent::Later { why: error.to_string(), after: None };
                none.insert((self.post)().map_err(unmade)?)
            }
        };
        let message = Metrics { resource: &self.resource, metrics };
        let delivered = recipient.collector.send(&recipient.url, &message, post.as_mut())?;
        if delivered.rejected > 0 {
            let (target, hint) = (&recipient.collector.name, delivered.hint.unwrap_or_default());
            tracing::warn!(target, rejected = delivered.rejected, "the collector rejected points: {hint}");
        }
        Ok(())
    }

    /// Unless the settings have changed under it.
    fn remember(&self, after: Recipient) {
        let mut state = self.lock();
        let same = |known: &&mut Recipient| Arc::ptr_eq(&known.collector, &after.collector);
        if let Some(known) = state.recipients.iter_mut().find(same) {
            *known = after;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that the thread has ended, however it did.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("meter", &self.meter).finish_non_exhaustive()
    }
}
