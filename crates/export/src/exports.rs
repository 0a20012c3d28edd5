//! All exports of a gateway: started, replaced and stopped as the settings say.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use genesis_store::{Journal, Store, Wake};

use crate::driver::{Behaviour, Driver, ExportStatus, Job, SharedStatus, Stop};
use crate::post::PostMaker;
use crate::source::{Selection, Source};
use crate::target::Target;

/// One export, as the settings want it.
pub struct Export {
    /// Unique. How far the target has come is kept under it, also across restarts.
    pub name: String,
    /// Whatever else makes it another target; compared, never shown.
    pub identity: String,
    pub wanted: Selection,
    pub behaviour: Behaviour,
    pub target: Box<dyn Target>,
}

/// Every export that runs.
pub struct Exports {
    store: Store,
    journal: Arc<Journal>,
    post: PostMaker,
    running: Mutex<BTreeMap<String, Running>>,
}

struct Running {
    identity: String,
    wanted: Selection,
    behaviour: Behaviour,
    driver: Driver,
    /// Wakes as long as it is held.
    _wake: Wake,
}

impl Exports {
    /// None yet.
    pub fn new(store: Store, journal: Arc<Journal>, post: PostMaker) -> Self {
        Self { store, journal, post, running: Mutex::default() }
    }

    /// Runs exactly these from now on. One that has not changed goes on; one that has is replaced once its call under way
    /// has ended; what is not there any more is stopped, and its place forgotten. Returns what could not be started.
    pub fn apply(&self, exports: Vec<Export>) -> Vec<String> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *running);
        let mut problems = Vec::new();
        self.journal.keep_exports(exports.iter().map(|export| export.name.clone()));
        for export in exports {
            let earlier = before.remove(&export.name);
            if let Some(earlier) = earlier {
                if earlier.is(&export) {
                    running.insert(export.name, earlier);
                    continue;
                }
                earlier.driver.ask_to_stop(Stop::Now);
                self.start(&mut running, export, Some(earlier.driver), &mut problems);
            } else {
                self.start(&mut running, export, None, &mut problems);
            }
        }
        before.into_values().for_each(|gone| gone.driver.ask_to_stop(Stop::Forgotten));
        problems
    }

    /// How each is doing, by name.
    pub fn status(&self) -> Vec<ExportStatus> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let status = |running: &Running| {
            running.driver.status().lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        running.values().map(status).collect()
    }

    /// Tries to send what is left, once, and stops. False if some call did not end in time; its records are sent after the
    /// next start.
    pub fn stop(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        running.values().for_each(|running| running.driver.ask_to_stop(Stop::AfterLastRound));
        let all = running.values().all(|running| running.driver.ended_by(deadline));
        running.values().for_each(|running| running.driver.ask_to_stop(Stop::Now));
        all
    }

    fn start(
        &self,
        running: &mut BTreeMap<String, Running>,
        export: Export,
        predecessor: Option<Driver>,
        problems: &mut Vec<String>,
    ) {
        let Export { name, identity, wanted, behaviour, target } = export;
        let (store, journal) = (self.store.clone(), Arc::clone(&self.journal));
        let status: SharedStatus = match &predecessor {
            Some(driver) => Arc::clone(driver.status()),
            None => Arc::new(Mutex::new(ExportStatus { target: name.clone(), ..ExportStatus::default() })),
        };
        let source = Source::open(store, journal, &name, &wanted, behaviour.bounds);
        let post = Arc::clone(&self.post);
        match Driver::start(&name, Job { source, target, post, behaviour, status, predecessor }) {
            Ok((driver, wake)) => {
                self.journal.wake(&wake);
                running.insert(name, Running { identity, wanted, behaviour, driver, _wake: wake });
            }
            Err(error) => problems.push(format!("export `{name}` cannot be started: {error}")),
        }
    }
}

impl Drop for Exports {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner);
        running.values().for_each(|running| running.driver.ask_to_stop(Stop::Now));
    }
}

impl Running {
    fn is(&self, export: &Export) -> bool {
        self.identity == export.identity && self.wanted == export.wanted && self.behaviour == export.behaviour
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export")
            .field("name", &self.name)
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Exports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exports").finish_non_exhaustive()
    }
}
