//! The ledgers of all gateways, and the thread that keeps their record.
//!
//! A call goes on only with what is on record already, so calls do not wait for the disk but at the first use of a
//! window, or where a slice is used up faster than the next can be written.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use genesis_store::{Lease, Leases};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::ledger::{Ask, Extension, Hold, Ledger, Taken};
use crate::exchange::now_ms;

/// How long a call waits for the record of a rate limit, which is then counted in memory alone.
const RATE_PATIENCE: Duration = Duration::from_millis(250);
/// And of a budget, which is then refused.
const BUDGET_PATIENCE: Duration = Duration::from_secs(2);
/// How often the record is brought up to date when no call waits for it.
const TIDY_EVERY: Duration = Duration::from_secs(1);
/// Between two attempts on a record that cannot be written.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Counts what the calls of all gateways use. Lives as long as the process, whatever becomes of settings.
#[derive(Debug)]
pub struct Limiter {
    desk: Arc<Desk>,
    keeper: Mutex<Option<Keeper>>,
}

/// Why nothing was taken.
#[derive(Debug)]
pub(super) enum Short {
    Refused {
        index: usize,
        used: u64,
        fits_in_ms: Option<i64>,
    },
    /// It could not be put on record in time, because of this.
    Unrecorded(String),
}

/// What calls and the keeper share.
#[derive(Debug)]
struct Desk {
    books: Mutex<Books>,
    /// Goes up whenever more was recorded.
    granted: watch::Sender<u64>,
    wake: Option<SyncSender<()>>,
}

#[derive(Debug, Default)]
struct Books {
    ledgers: HashMap<String, Arc<Ledger>>,
    /// What an earlier process left for gateways that nobody called yet; `None`: not read yet.
    unclaimed: Option<HashMap<String, Vec<Lease>>>,
    /// Why the record cannot be written now.
    ill: Option<String>,
}

#[derive(Debug)]
struct Keeper {
    thread: JoinHandle<()>,
    /// Ends the thread when dropped.
    stop: SyncSender<()>,
}

impl Limiter {
    /// Counters that end with the process.
    pub fn in_memory() -> Self {
        let desk = Desk { books: Mutex::default(), granted: watch::Sender::new(0), wake: None };
        Self { desk: Arc::new(desk), keeper: Mutex::new(None) }
    }

    /// Counters that are kept on record beside the store at `store`. The record is opened with the first gateway that
    /// limits something; whatever ails it is said in the gateway's log and in what refused callers are told.
    pub fn recorded(store: PathBuf) -> std::io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        let (stop, stopped) = sync_channel(0);
        let desk = Desk { books: Mutex::default(), granted: watch::Sender::new(0), wake: Some(wake) };
        let desk = Arc::new(desk);
        let record = Record { desk: Arc::clone(&desk), store, leases: None, begins_anew: false };
        let thread = std::thread::Builder::new()
            .name("limits".to_owned())
            .spawn(move || record.keep(&woken, &stopped))?;
        Ok(Self { desk, keeper: Mutex::new(Some(Keeper { thread, stop })) })
    }

    /// Puts on record exactly what was used. Nothing may be admitted afterwards.
    pub fn close(&self) {
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Keeper { thread, stop }) = keeper {
            drop(stop);
            self.desk.wake();
            let _ = thread.join();
        }
    }

    /// Makes ready for gateways that limit something, before their first call.
    pub(crate) fn expect(&self, gateways: impl Iterator<Item = String>) {
        gateways.for_each(|gateway| {
            self.ledger(&gateway);
        });
    }

    pub(super) fn ledger(&self, gateway: &str) -> Arc<Ledger> {
        let mut books = self.desk.books();
        if let Some(ledger) = books.ledgers.get(gateway) {
            return Arc::clone(ledger);
        }
        let ledger = Arc::new(Ledger::new(gateway, self.desk.wake.is_some()));
        if let Some(unclaimed) = &mut books.unclaimed {
            ledger.recover(unclaimed.remove(gateway).unwrap_or_default());
        }
        books.ledgers.insert(gateway.to_owned(), Arc::clone(&ledger));
        drop(books);
        self.desk.wake();
        ledger
    }

    pub(super) async fn take(&self, ledger: &Ledger, asks: &[Ask<'_>]) -> Result<Vec<Hold>, Short> {
        match ledger.take(asks, now_ms(), true) {
            Taken::All { holds, soon } => {
                if soon {
                    self.desk.wake();
                }
                Ok(holds)
            }
            Taken::Refused { index, used, fits_in_ms } => Err(Short::Refused { index, used, fits_in_ms }),
            Taken::Unrecorded => self.take_patiently(ledger, asks).await,
        }
    }

    async fn take_patiently(&self, ledger: &Ledger, asks: &[Ask<'_>]) -> Result<Vec<Hold>, Short> {
        let begun = Instant::now();
        let mut granted = self.desk.granted.subscribe();
        let mut patient = self.desk.books().ill.is_none();
        loop {
            match ledger.take(asks, now_ms(), patient) {
                Taken::All { holds, .. } => return Ok(holds),
                Taken::Refused { index, used, fits_in_ms } => {
                    return Err(Short::Refused { index, used, fits_in_ms });
                }
                Taken::Unrecorded => self.desk.wake(),
            }
            let patience = if patient { RATE_PATIENCE } else { BUDGET_PATIENCE };
            match timeout_at(begun + patience, granted.changed()).await {
                Ok(_) => {}
                Err(_) if patient => patient = false,
                Err(_) => {
                    let why = self.desk.books().ill.clone();
                    return Err(Short::Unrecorded(why.unwrap_or_else(|| "the disk is too slow".to_owned())));
                }
            }
        }
    }
}

impl Desk {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        if let Some(wake) = &self.wake {
            // A full channel means it was woken already.
            let _: Result<(), TrySendError<()>> = wake.try_send(());
        }
    }

    fn ledgers(&self) -> Vec<Arc<Ledger>> {
        self.books().ledgers.values().cloned().collect()
    }
}

/// The record and whoever keeps it.
struct Record {
    desk: Arc<Desk>,
    store: PathBuf,
    leases: Option<Leases>,
    /// The file may not hold what was written before.
    begins_anew: bool,
}

impl Record {
    fn keep(mut self, woken: &Receiver<()>, stopped: &Receiver<()>) {
        loop {
            let _ = woken.recv_timeout(TIDY_EVERY);
            let stopping = stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected);
            let ledgers = self.desk.ledgers();
            if !ledgers.is_empty() {
                match self.bring_up_to_date(&ledgers, stopping) {
                    Ok(()) => self.well(),
                    Err(error) => {
                        self.ill(&error);
                        self.leases = None;
                        self.begins_anew = true;
                        if !stopping && stopped.recv_timeout(RETRY_AFTER) == Err(RecvTimeoutError::Timeout) {
                            self.desk.wake();
                        }
                    }
                }
            }
            if stopping {
                return;
            }
        }
    }

    fn bring_up_to_date(&mut self, ledgers: &[Arc<Ledger>], stopping: bool) -> genesis_store::Result<()> {
        let now = now_ms();
        if self.leases.is_none() {
            let leases = Leases::open(&self.store)?;
            if self.desk.books().unclaimed.is_none() {
                self.recover(leases.read(now)?);
                self.begins_anew = false;
            }
            self.leases = Some(leases);
        }
        let Some(leases) = &mut self.leases else { return Ok(()) };
        let work: Vec<Vec<Extension>> = ledgers
            .iter()
            .map(|ledger| {
                if stopping || self.begins_anew { ledger.everything(now, stopping) } else { ledger.due(now) }
            })
            .collect();
        let mut rows: Vec<Lease> = work.iter().flatten().map(|extension| extension.lease.clone()).collect();
        if self.begins_anew {
            rows.extend(self.desk.books().unclaimed.iter().flat_map(HashMap::values).flatten().cloned());
        }
        if rows.is_empty() {
            self.begins_anew = false;
            return Ok(());
        }
        leases.write(&rows, now)?;
        self.begins_anew = false;
        for (ledger, extensions) in ledgers.iter().zip(&work) {
            ledger.granted(extensions);
        }
        self.desk.granted.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Hands out what an earlier process left.
    fn recover(&self, leases: Vec<Lease>) {
        let mut by_gateway: HashMap<String, Vec<Lease>> = HashMap::new();
        for lease in leases {
            by_gateway.entry(lease.gateway.clone()).or_default().push(lease);
        }
        let mut books = self.desk.books();
        for (gateway, ledger) in &books.ledgers {
            ledger.recover(by_gateway.remove(gateway).unwrap_or_default());
        }
        books.unclaimed = Some(by_gateway);
        drop(books);
        self.desk.granted.send_modify(|count| *count += 1);
    }

    fn well(&self) {
        if self.desk.books().ill.take().is_some() {
            tracing::info!("the record of limits and budgets is written again");
        }
    }

    fn ill(&self, error: &genesis_store::Error) {
        let before = self.desk.books().ill.replace(error.to_string());
        if before.as_deref() != Some(&error.to_string()) {
            tracing::error!("limits and budgets cannot be kept on record: {error}");
        }
    }
}
