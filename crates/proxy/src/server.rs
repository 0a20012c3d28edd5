//! Accept, HTTP/1.1 and h2, size caps, drain. One thread per core, each with its own listener, runtime and upstream
//! pool: nothing on the request path is shared but the snapshot and the journal.
//!
//! * `server/http1`: HTTP/1.1 as nearly every client speaks it; everything else is hyper's
//! * `server/client_body`: a request's body, whoever reads it
//! * `server/rewound`: a connection handed over after its first bytes

mod client_body;
mod http1;
mod rewound;

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use genesis_config::CacheBlock;
use genesis_store::Journal;
use http::{Request, Response, request};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Limited};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::LocalSet;

pub(crate) use self::client_body::ClientBody;
use self::http1::Served;
use self::rewound::Rewound;
use crate::body::Body;
use crate::cache::{self, Cache};
use crate::drain::Drains;
use crate::dropped::DroppedFields;
use crate::exchange;
use crate::limit::Limiter;
use crate::plan::malformed;
use crate::receipt::OpenCalls;
use crate::reply;
use crate::resume::Runs;
use crate::snapshot::Snapshot;
use crate::upstream::{Pool, TlsSetup};

/// Answers what is not a provider call: health, management API, dashboard. Runs on a thread where it may block.
pub type Aside = Arc<dyn Fn(Request<Bytes>) -> Response<AsideBody> + Send + Sync>;

/// What it answers: bytes, or events as they happen.
pub type AsideBody = UnsyncBoxBody<Bytes, Infallible>;

/// What the data plane tells the rest of the program. It never waits for anyone to listen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// Gateway `default` was used by an authenticated caller and does not exist in the settings yet.
    DefaultGatewayUsed { account: String },
}

/// What all threads see.
pub struct Shared {
    snapshot: ArcSwap<Snapshot>,
    pub(crate) journal: Arc<Journal>,
    limiter: Limiter,
    pub(crate) cache: Arc<Cache>,
    aside: Aside,
    events: std::sync::mpsc::SyncSender<Event>,
    tls: Arc<TlsSetup>,
    connections: AtomicUsize,
    pub(crate) open: OpenCalls,
    pub(crate) dropped: DroppedFields,
    /// Streams that can be resumed.
    pub(crate) runs: Arc<Runs>,
}

/// How the server listens and how long it drains.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    pub listen: SocketAddr,
    /// Threads; one per core is best.
    pub workers: usize,
    /// Most connections at a time; more wait to be accepted.
    pub connections: usize,
    /// A client has this long to send its request head.
    pub head_within: Duration,
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("{address} is in use by another program; choose another with --port or gateway.listen")]
    InUse { address: SocketAddr },
    #[error("cannot listen on {address}: {cause}")]
    Listen { address: SocketAddr, cause: io::Error },
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// A running server. Dropping it stops it at once; [`Server::shutdown`] drains first.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<Option<Duration>>,
    threads: Vec<JoinHandle<()>>,
}

/// See [`Server::hurry`].
#[derive(Debug)]
pub struct Hurry(watch::Sender<Option<Duration>>);

impl Hurry {
    pub fn now(&self) {
        let _ = self.0.send(Some(Duration::ZERO));
    }
}

impl Shared {
    pub fn new(
        snapshot: Snapshot,
        journal: Arc<Journal>,
        aside: Aside,
        events: std::sync::mpsc::SyncSender<Event>,
    ) -> Self {
        Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            journal,
            limiter: Limiter::in_memory(),
            cache: Arc::new(Cache::new(&CacheBlock::default(), None)),
            aside,
            events,
            tls: Arc::default(),
            connections: AtomicUsize::new(0),
            open: OpenCalls::default(),
            dropped: DroppedFields::default(),
            runs: Arc::new(Runs::new()),
        }
    }

    /// What limits and budgets are counted with; without this, they are counted in memory and end with the process.
    #[must_use]
    pub fn with_limiter(mut self, limiter: Limiter) -> Self {
        limiter.expect(self.snapshot.load().limited_gateways());
        self.limiter = limiter;
        self
    }

    pub(crate) fn tls(&self) -> &Arc<TlsSetup> {
        &self.tls
    }

    pub fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    /// With this cache in place of one that has the usual size and no disk.
    pub fn with_cache(mut self, cache: Cache) -> Self {
        self.cache = Arc::new(cache);
        self
    }

    /// With another clock than the system's, by which streams that can be resumed grow old.
    #[must_use]
    pub fn with_clock_of_runs(mut self, clock: cache::Clock) -> Self {
        self.runs = Arc::new(Runs::with_clock(clock));
        self
    }

    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Requests that begin from now on run with `snapshot`. Gateways that ask for it lose their cached answers if their
    /// settings changed.
    pub fn replace_snapshot(&self, mut snapshot: Snapshot) {
        snapshot.inherit(&self.snapshot.load());
        self.limiter.expect(snapshot.limited_gateways());
        let old = self.snapshot.swap(Arc::new(snapshot));
        let new = self.snapshot();
        for gateway in old.gateways().filter(|gateway| gateway.cache_invalidate_on_update) {
            if new.gateways.get(&gateway.id).map(AsRef::as_ref) != Some(gateway) {
                self.cache.purge(Some(&gateway.id));
            }
        }
    }

    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Fields that translations could not carry since the start, and how often. Bounded; the rarest late-comers are
    /// counted together as `other`.
    pub fn dropped_fields(&self) -> Vec<(String, u64)> {
        self.dropped.counts()
    }

    /// Open client connections.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Calls under way, and how many of them are answered as a stream or over a WebSocket.
    pub fn open_calls(&self) -> (usize, usize) {
        self.open.counts()
    }

    pub(crate) fn tell(&self, event: Event) {
        let _ = self.events.try_send(event); // nobody waits: whoever listens is late or gone
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("connections", &self.connections()).finish_non_exhaustive()
    }
}

impl Server {
    pub fn start(options: &ServerOptions, shared: &Arc<Shared>) -> Result<Self, ServerError> {
        let (stop, stopped) = watch::channel(None);
        let mut address = options.listen;
        if address.port() != 0 {
            refuse_if_in_use(address)?;
        }
        let mut threads = Vec::new();
        for number in 0..options.workers.max(1) {
            let listener = listen(address).map_err(|cause| ServerError::Listen { address, cause })?;
            address = listener.local_addr().map_err(|cause| ServerError::Listen { address, cause })?;
            let (options, shared, stopped) = (options.clone(), Arc::clone(shared), stopped.clone());
            let thread = std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || worker_thread(listener, &options, shared, stopped))
                .map_err(ServerError::Thread)?;
            threads.push(thread);
        }
        Ok(Self { address, stop, threads })
    }

    /// Where it listens, with the port the system chose if none was given.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends a running [`Server::shutdown`] early, from another thread.
    pub fn hurry(&self) -> Hurry {
        Hurry(self.stop.clone())
    }

    /// Accepts nothing more, lets exchanges under way finish for at most `drain`, then ends.
    pub fn shutdown(mut self, drain: Duration) {
        let _ = self.stop.send(Some(drain));
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// What one thread serves with.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pool: Pool,
    /// Reads on for clients that left.
    pub(crate) drains: Drains,
    connections: Rc<Connections>,
    stopped: watch::Receiver<Option<Duration>>,
}

/// The client connections of one thread.
#[derive(Default)]
struct Connections {
    count: std::cell::Cell<usize>,
    closed: tokio::sync::Notify,
}

impl Worker {
    /// Counts a client connection for as long as the guard lives.
    pub(crate) fn opened(&self) -> Open {
        self.connections.count.set(self.connections.count.get() + 1);
        self.shared.connections.fetch_add(1, Ordering::Relaxed);
        Open { connections: Rc::clone(&self.connections), shared: Arc::clone(&self.shared) }
    }

    /// Changes when the server is told to stop.
    pub(crate) fn stopped(&self) -> watch::Receiver<Option<Duration>> {
        self.stopped.clone()
    }

    /// Hands a request to whatever answers beside the data plane.
    pub(crate) async fn aside(&self, head: request::Parts, body: ClientBody, limit: u64) -> Response<Body> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let Ok(body) = Limited::new(body, limit).collect().await else {
            return reply::failure(&malformed("the request body is too large or broke off"));
        };
        let aside = Arc::clone(&self.shared.aside);
        let request = Request::from_parts(head, body.to_bytes());
        match tokio::task::spawn_blocking(move || aside(request)).await {
            Ok(response) => response.map(Body::Aside),
            Err(_) => reply::failure(&malformed(
                "the request could not be answered; the gateway's own log says why",
            )),
        }
    }
}

fn worker_thread(
    listener: StdListener,
    options: &ServerOptions,
    shared: Arc<Shared>,
    stopped: watch::Receiver<Option<Duration>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(64).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "a worker thread could not start"),
    };
    let local = LocalSet::new();
    let pool = Pool::new(Arc::clone(&shared.tls));
    let (drains, reading_on) = Drains::new();
    let worker = Worker { shared, pool, drains, connections: Rc::default(), stopped: stopped.clone() };
    let worker = Rc::new(worker);
    local.block_on(&runtime, async move {
        tokio::task::spawn_local(reading_on);
        match TcpListener::from_std(listener) {
            Ok(listener) => serve(listener, options, worker, stopped).await,
            Err(error) => tracing::error!(%error, "a worker thread could not listen"),
        }
    });
}

async fn serve(
    listener: TcpListener,
    options: &ServerOptions,
    worker: Rc<Worker>,
    mut stopped: watch::Receiver<Option<Duration>>,
) {
    let http = protocol(options);
    let connections = Rc::clone(&worker.connections);
    let Connections { count, closed } = &*connections;
    let share = options.connections.div_ceil(options.workers.max(1));
    let sweeper = tokio::task::spawn_local(sweep(worker.pool.clone(), Arc::clone(&worker.shared.runs)));
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.changed() => break,
            accepted = listener.accept(), if count.get() < share => accepted,
            () = closed.notified() => continue,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely; they come back when clients leave.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let guard = worker.opened();
        let connection =
            connection(stream, http.clone(), options.head_within, Rc::clone(&worker), stopped.clone());
        tokio::task::spawn_local(async move {
            connection.await;
            drop(guard);
        });
    }
    drop(listener);
    let drain = stopped.borrow().unwrap_or_default();
    let emptied = async {
        while count.get() + worker.drains.open() > 0 {
            tokio::select! {
                () = closed.notified() => {}
                () = worker.drains.ended() => {}
            }
        }
    };
    tokio::select! {
        () = emptied => {}
        () = tokio::time::sleep(drain) => tracing::warn!(open = count.get(), "connections were still open when the drain time ended"),
        _ = stopped.changed() => tracing::warn!(open = count.get(), "connections were still open when a second signal came"),
    }
    sweeper.abort();
}

/// Counts a connection for as long as it is open.
pub(crate) struct Open {
    connections: Rc<Connections>,
    shared: Arc<Shared>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connections.count.set(self.connections.count.get() - 1);
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
        self.connections.closed.notify_one();
    }
}

async fn connection(
    stream: TcpStream,
    http: auto::Builder<LocalExecutor>,
    head_within: Duration,
    worker: Rc<Worker>,
    mut stopped: watch::Receiver<Option<Duration>>,
) {
    let _ = stream.set_nodelay(true);
    let service = |request| exchange::handle(Rc::clone(&worker), request);
    match http1::serve(stream, &service, head_within, &mut stopped).await {
        Served::Over => {}
        // On the heap, so that the others do not hold room for it.
        Served::HandedOver(stream, read) => {
            Box::pin(by_hyper(Rewound::new(read, stream), http, worker, stopped)).await;
        }
    }
}

async fn by_hyper(
    stream: Rewound,
    http: auto::Builder<LocalExecutor>,
    worker: Rc<Worker>,
    mut stopped: watch::Receiver<Option<Duration>>,
) {
    let service = service_fn(move |request: Request<_>| {
        let worker = Rc::clone(&worker);
        async move { Ok::<_, Infallible>(exchange::handle(worker, request.map(ClientBody::Hyper)).await) }
    });
    let mut connection = pin!(http.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client connection ended early");
    }
}

fn protocol(options: &ServerOptions) -> auto::Builder<LocalExecutor> {
    let mut http = auto::Builder::new(LocalExecutor);
    http.http1().timer(TokioTimer::new()).header_read_timeout(options.head_within).max_headers(256);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .max_concurrent_streams(256)
        .max_header_list_size(128 * 1024);
    http
}

/// Spawns onto the thread it runs on.
#[derive(Clone, Copy, Debug)]
struct LocalExecutor;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

async fn sweep(pool: Pool, runs: Arc<Runs>) {
    let mut tick = tokio::time::interval(Duration::from_secs(10));
    loop {
        tick.tick().await;
        pool.sweep();
        runs.sweep();
    }
}

/// Several threads may listen on one port, and so could a second gateway by mistake: ask first, without sharing.
fn refuse_if_in_use(address: SocketAddr) -> Result<(), ServerError> {
    let socket = socket(address).and_then(|socket| socket.bind(&address.into()));
    socket.map_err(|cause| match cause.kind() {
        io::ErrorKind::AddrInUse => ServerError::InUse { address },
        _ => ServerError::Listen { address, cause },
    })
}

fn listen(address: SocketAddr) -> io::Result<StdListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}
