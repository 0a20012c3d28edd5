//! The running gateway: what starts it, what watches its settings while it runs, what stops it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use genesis_admin::{Admin, CacheHeld, Down, Target, Traffic};
use genesis_config::{CacheBlock, GatewaySettings};
use genesis_export::{Exports, OpenTelemetry};
use genesis_proxy::{Aside, Cache, Event, Limiter, Server, ServerError, ServerOptions, Shared};
use genesis_store::{CacheDisk, CacheOptions, Journal, JournalOptions, Store};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::assemble::{self, DevMode, Stored};
use crate::export;
use crate::home::{Home, Settings};
use crate::printer::{Failed, Printer};
use crate::retention::Kept;

/// How often the files and the store are looked at for changes.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Short, so that under load a record is written while it is still in the processor's cache, and few can be lost.
const COMMIT_INTERVAL: Duration = Duration::from_millis(10);
/// How long exports may take to send what is left when the gateway stops. The log keeps what they do not send.
const LAST_EXPORTS: Duration = Duration::from_secs(5);
/// Events from the data plane that may wait; more are only repetitions.
const EVENTS: usize = 64;

pub(crate) struct Running {
    pub(crate) shared: Arc<Shared>,
    admin: Arc<Admin>,
    server: Server,
    watcher: Watcher,
    exports: Arc<Exports>,
    telemetry: Arc<OpenTelemetry>,
    drain: Duration,
}

/// Everything a gateway is started with.
pub(crate) struct Start {
    pub(crate) home: Home,
    pub(crate) settings: Settings,
    pub(crate) listen: SocketAddr,
    pub(crate) dev: Option<DevMode>,
}

impl Running {
    pub(crate) fn start(start: Start, printer: &Printer) -> Result<Self, Failed> {
        let Start { home, settings, listen, dev } = start;
        for warning in &settings.warnings {
            printer.warn(warning);
        }
        refuse_what_is_not_there(&settings)?;
        let store = home.store(&settings)?;
        // Before anything is read: what changes from here on is noticed.
        let seen = Seen::now(&home, &store);
        let mut stored = Stored::default();
        for warning in stored.refresh(&store) {
            printer.warn(warning);
        }
        let (snapshot, warnings) = assemble::snapshot(&settings, &stored, dev.as_ref())?;
        for warning in &warnings {
            printer.warn(warning);
        }
        let kept = Kept::default();
        kept.apply(&snapshot);
        let options = JournalOptions {
            retention: kept.lookup(),
            commit_interval: COMMIT_INTERVAL,
            ..JournalOptions::default()
        };
        let journal = Arc::new(Journal::start(&store, options));
        let exported = Arc::clone(&journal);
        let (events, heard) = sync_channel(EVENTS);
        let declared = assemble::declared(&settings, dev.as_ref(), home.written_at_ms())?;
        let admin = Admin::new(store.clone(), Arc::clone(&journal), declared);
        let admin = Arc::new(admin.on_loopback(listen.ip().is_loopback()));
        let answering = Arc::clone(&admin);
        let aside: Aside = Arc::new(move |request| answering.answer(&request));
        let limiter = Limiter::recorded(store.path().to_owned())?;
        let block = &settings.file.gateway;
        let shared = Shared::new(snapshot, journal, aside, events)
            .with_limiter(limiter)
            .with_cache(cache(&block.cache, &store));
        let shared = Arc::new(shared);
        let exports = Exports::new(store.clone(), exported, export::post_beside(&shared));
        let exports = Arc::new(exports);
        let telemetry = Arc::new(export::telemetry(&store, shared.journal(), &shared));
        // Before anything is served: what is logged from here on belongs to them.
        for warning in export::apply(&exports, &telemetry, &settings, &shared.snapshot()) {
            printer.warn(warning);
        }
        let told = Arc::downgrade(&exports);
        admin.ask_exports(Box::new(move || {
            told.upgrade().map(|exports| export::held(&exports)).unwrap_or_default()
        }));
        let asked = Arc::downgrade(&shared);
        admin.ask_cache(Box::new(move || asked.upgrade().map(|shared| cache_held(&shared))));
        let asked = Arc::downgrade(&shared);
        admin.ask_traffic(Box::new(move || asked.upgrade().map(|shared| traffic(&shared))));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let options = ServerOptions {
            listen,
            workers: block.workers.unwrap_or(cores),
            connections: usize::try_from(block.limits.connections).unwrap_or(usize::MAX),
            head_within: Duration::from_secs(block.limits.header_seconds),
        };
        let drain = Duration::from_secs(block.drain_seconds);
        let server = Server::start(&options, &shared).map_err(not_started)?;
        let purges_heard = store.cache_purges(0).map_or(0, |(last, _)| last);
        let watched = Watched {
            purges_heard,
            home,
            store,
            stored,
            shared: Arc::clone(&shared),
            admin: Arc::clone(&admin),
            exports: Arc::clone(&exports),
            telemetry: Arc::clone(&telemetry),
            dev,
            kept,
            seen,
        };
        let watcher = Watcher::start(watched, heard)?;
        Ok(Self { shared, admin, server, watcher, exports, telemetry, drain })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Waits for Ctrl-C or SIGTERM, drains, writes what is still in the journal.
    pub(crate) fn until_stopped(self, printer: &Printer) -> Result<(), Failed> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut signals = runtime.block_on(async { StopSignals::listen() })?;
        let signal = runtime.block_on(signals.next());
        printer.note(format!("{signal}: draining for at most {} s", self.drain.as_secs()));
        self.admin.close();
        // A second signal ends the wait. The thread is left behind if none comes.
        let hurry = self.server.hurry();
        std::thread::spawn(move || {
            runtime.block_on(signals.next());
            hurry.now();
        });
        self.server.shutdown(self.drain);
        self.watcher.stop();
        self.shared.limiter().close();
        self.shared.cache().close();
        let journal = self.shared.journal();
        if !journal.flush(Duration::from_secs(10)) {
            let stats = journal.stats();
            printer.warn(format!(
                "{} log records could not be written: {}",
                stats.pending,
                stats.last_error.unwrap_or_default()
            ));
        }
        if !self.telemetry.stop(LAST_EXPORTS.min(self.drain)) {
            printer.warn("the last metrics were not pushed in time");
        }
        if !self.exports.stop(LAST_EXPORTS.min(self.drain)) {
            printer.warn("not every log record was exported; the rest follows after the next start");
        }
        journal.close();
        Ok(())
    }
}

fn cache(settings: &CacheBlock, store: &Store) -> Cache {
    let options = CacheOptions { disk_bytes: settings.disk_bytes, ..CacheOptions::default() };
    let disk = (settings.disk_bytes > 0).then(|| CacheDisk::start(store, options));
    Cache::new(settings, disk)
}

fn cache_held(shared: &Shared) -> CacheHeld {
    let size = shared.cache().size();
    CacheHeld {
        answers_in_memory: size.answers_in_memory,
        bytes_in_memory: size.bytes_in_memory,
        answers_on_disk: size.answers_on_disk,
    }
}

fn traffic(shared: &Shared) -> Traffic {
    let (calls, streams) = shared.open_calls();
    let targets = shared.snapshot().health().into_iter().map(|target| Target {
        provider: target.provider,
        address: target.address,
        down: target.down.map(|down| Down { why: down.why, tried_again_in: down.tried_again_in }),
        calls: target.calls,
        faults: target.faults,
        in_flight: target.in_flight.into(),
        latency: target.latency,
    });
    Traffic {
        connections: shared.connections() as u64,
        calls: calls as u64,
        streams: streams as u64,
        targets: targets.collect(),
    }
}

/// A setting that is ignored in silence is worse than one that is refused.
fn refuse_what_is_not_there(settings: &Settings) -> Result<(), Failed> {
    let block = &settings.file.gateway;
    let asked =
        [("gateway.shared", block.shared.is_some()), ("gateway.admin.listen", block.admin.listen.is_some())];
    match asked.iter().find(|(_, set)| *set) {
        Some((path, _)) => Err(Failed::config(format!("{path} is not there yet in this version"))
            .hint(format!("leave it out: `genesis config unset {path}`"))),
        None => Ok(()),
    }
}

/// Ctrl-C and SIGTERM. Listened to once and for all, so that none gets lost between the first and the second.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Needs a runtime around it.
    fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "interrupted",
            _ = self.terminate.recv() => "asked to stop",
        }
    }
}

fn not_started(error: ServerError) -> Failed {
    match &error {
        ServerError::InUse { address } => Failed::new(error.to_string()).hint(format!(
            "is another gateway running? `ss -ltnp 'sport = :{}'` shows who listens",
            address.port()
        )),
        _ => Failed::new(error.to_string()),
    }
}

/// Applies changes of `genesis.json`, `.env`, tokens and keys while the gateway runs, and does what the data plane
/// must not wait for.
struct Watcher {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

struct Watched {
    home: Home,
    store: Store,
    /// What was last read from it.
    stored: Stored,
    shared: Arc<Shared>,
    admin: Arc<Admin>,
    exports: Arc<Exports>,
    telemetry: Arc<OpenTelemetry>,
    dev: Option<DevMode>,
    kept: Kept,
    seen: Seen,
    /// Number of the last `genesis cache purge` that was carried out here.
    purges_heard: i64,
}

/// What the settings looked like when they were last read.
#[derive(Debug, Eq, PartialEq)]
struct Seen {
    files: Vec<Option<(SystemTime, u64)>>,
    store: Option<u64>,
}

impl Watcher {
    fn start(mut watched: Watched, events: Receiver<Event>) -> Result<Self, Failed> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("settings".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                match events.recv_timeout(LOOK_EVERY) {
                    Ok(event) => watched.happened(event),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                watched.look();
                watched.hear_of_purges();
            }
        })?;
        Ok(Self { stop, thread })
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
    }
}

impl Watched {
    fn happened(&mut self, event: Event) {
        match event {
            Event::DefaultGatewayUsed { account } => {
                let settings = GatewaySettings { id: "default".to_owned(), ..GatewaySettings::default() };
                let Ok(settings) = serde_json::to_value(&settings) else { return };
                match self.store.ensure_gateway(&account, "default", &settings, now_ms()) {
                    Ok(true) => {
                        tracing::info!(account, "gateway `default` created on its first authenticated call")
                    }
                    Ok(false) => {}
                    Err(error) => {
                        tracing::warn!(%error, "gateway `default` could not be kept; it works all the same")
                    }
                }
            }
        }
    }

    /// Somebody emptied the cache on disk, by a command or over the API; what is in memory goes, too.
    fn hear_of_purges(&mut self) {
        // An unreadable file holds no word for anybody; it is told of where answers are written.
        let Ok((last, purged)) = self.store.cache_purges(self.purges_heard) else { return };
        self.purges_heard = last;
        for gateway in purged {
            tracing::info!(gateway = gateway.as_deref().unwrap_or("all"), "cached answers were removed");
            self.shared.cache().purge(gateway.as_deref());
        }
    }

    fn look(&mut self) {
        let now = Seen::now(&self.home, &self.store);
        if now == self.seen {
            return;
        }
        self.seen = now;
        for unread in self.stored.refresh(&self.store) {
            tracing::warn!("{unread}; what was read before stays in force");
        }
        let applied = self.home.settings().and_then(|settings| {
            let (snapshot, mut warnings) = assemble::snapshot(&settings, &self.stored, self.dev.as_ref())?;
            self.admin.declare(assemble::declared(&settings, self.dev.as_ref(), self.home.written_at_ms())?);
            self.kept.apply(&snapshot);
            warnings.extend(export::apply(&self.exports, &self.telemetry, &settings, &snapshot));
            self.shared.replace_snapshot(snapshot);
            Ok(warnings)
        });
        match applied {
            Ok(warnings) => {
                tracing::info!("settings changed and applied");
                for warning in warnings {
                    tracing::warn!("{warning}");
                }
            }
            Err(failed) => tracing::warn!("settings changed but cannot be used; the old ones stay: {failed}"),
        }
    }
}

impl Seen {
    fn now(home: &Home, store: &Store) -> Self {
        let stamp = |path: PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        Self {
            files: vec![
                stamp(home.config_path()),
                stamp(home.path.join(".env")),
                stamp(home.prices_path()),
                stamp(store.path().with_file_name("master.key")),
            ],
            store: store.version().ok(),
        }
    }
}

pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
