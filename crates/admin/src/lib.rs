//! What the operator sees: health, and the management API in Cloudflare's shapes.
//!
//! Runs beside the data plane, on threads that may block, and shares nothing with it but the store and the journal.
//!
//! * [`health`]: `/healthz`, `/readyz`; [`metrics`]: `/metrics`; `traffic`: what both say of the data plane
//! * `endpoints`: the table of the management API: path, right, parameters, shapes, handler
//! * `call`: one request on its way to its handler; `access` says who may, `query` and `shape` read what was sent
//! * `envelope`: Cloudflare's envelope, errors and pages
//! * `gateways`, `provider_configs`, `custom_providers`, `routes`, `policies`, `custom_domains`,
//!   `evaluations`: settings
//! * `logs`: the log: filters, records, bodies; `tail`: the log as it happens
//! * `analytics`: sums in plain JSON and CSV; `graphql`: the same as Cloudflare's dashboards ask for them
//! * `billing`: what Cloudflare's billing paths say where nothing is sold
//! * `openapi`: the table described

mod access;
mod analytics;
mod billing;
mod call;
mod custom_domains;
mod custom_providers;
mod endpoints;
mod envelope;
mod evaluations;
mod gateways;
mod graphql;
pub mod health;
mod logs;
pub mod metrics;
mod openapi;
mod policies;
mod provider_configs;
mod query;
mod routes;
mod shape;
mod tail;
mod traffic;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use genesis_config::{DomainBlock, GatewaySettings, HostName, Providers};
use genesis_store::{Journal, Store};
use http::{HeaderMap, Method, Request, Response, StatusCode};

use access::{Access, Right, is_from_the_web, out_of_scope};
pub use custom_providers::patch as custom_provider_patch;
pub use envelope::Body;
use envelope::{Refusal, code};
use evaluations::evaluate::Evaluator;
use metrics::Metrics;
pub use metrics::{CacheGauge, CacheHeld, ExportGauge, ExportHeld};
pub use openapi::document as openapi;
use tail::Listeners;
pub use traffic::{Down, Target, Traffic, TrafficGauge};

/// Answers everything that is not a call to a provider.
pub struct Admin {
    store: Store,
    journal: Arc<Journal>,
    access: Access,
    listeners: Listeners,
    evaluator: Evaluator,
    declared: RwLock<Arc<Declared>>,
    metrics: Arc<Metrics>,
    cache: OnceLock<CacheGauge>,
    exports: OnceLock<ExportGauge>,
    traffic: OnceLock<TrafficGauge>,
    on_loopback: bool,
}

/// What the configuration file and the command line say; it cannot be changed over the API.
#[derive(Clone, Debug)]
pub struct Declared {
    /// By id.
    pub gateways: BTreeMap<String, GatewaySettings>,
    /// Custom domains.
    pub domains: BTreeMap<HostName, DomainBlock>,
    /// When the file was written, in milliseconds since the epoch.
    pub written_at_ms: i64,
    /// Account ids that are answered; `None`: any, all meaning the same.
    pub accounts: Option<Vec<String>>,
    /// Built-in and declared providers, without those created over the API.
    pub providers: Providers,
    /// Addresses that arrive over the API may be private, and `http`.
    pub allow_private: bool,
    /// `genesis dev`: these gateways exist beside the others, and programs on this machine need no token.
    pub dev_gateways: Option<Vec<String>>,
}

impl Default for Declared {
    fn default() -> Self {
        Self {
            gateways: BTreeMap::new(),
            domains: BTreeMap::new(),
            written_at_ms: 0,
            accounts: None,
            providers: Providers::builtin(),
            allow_private: false,
            dev_gateways: None,
        }
    }
}

impl Admin {
    pub fn new(store: Store, journal: Arc<Journal>, declared: Declared) -> Self {
        let declared = RwLock::new(Arc::new(declared));
        let metrics = Arc::new(Metrics::default());
        let counting = Arc::clone(&metrics);
        journal.tally(Box::new(move |figures| counting.add(figures)));
        Self {
            store,
            journal,
            access: Access::default(),
            listeners: Listeners::default(),
            evaluator: Evaluator::default(),
            declared,
            metrics,
            cache: OnceLock::new(),
            exports: OnceLock::new(),
            traffic: OnceLock::new(),
            on_loopback: false,
        }
    }

    /// Only this machine can reach the listener: its programs may read the metrics without a token.
    #[must_use]
    pub fn on_loopback(mut self, on_loopback: bool) -> Self {
        self.on_loopback = on_loopback;
        self
    }

    /// Where the metrics ask how much the cache holds; the first one stays.
    pub fn ask_cache(&self, gauge: CacheGauge) {
        let _ = self.cache.set(gauge);
    }

    /// Where health and metrics ask how exports are doing; the first one stays.
    pub fn ask_exports(&self, gauge: ExportGauge) {
        let _ = self.exports.set(gauge);
    }

    /// Where health and metrics ask what is open and how targets fare; the first one stays.
    pub fn ask_traffic(&self, gauge: TrafficGauge) {
        let _ = self.traffic.set(gauge);
    }

    /// Requests that begin from now on see this.
    pub fn declare(&self, declared: Declared) {
        *self.declared.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(declared);
    }

    /// Ends live tails, which would otherwise keep the server from stopping.
    pub fn close(&self) {
        self.journal.end_following();
    }

    /// Answers one request. May block.
    pub fn answer(&self, request: &Request<Bytes>) -> Response<Body> {
        let path = request.uri().path().trim_end_matches('/');
        if path.starts_with("/client/") {
            return call::answer(self, request);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let message = "this path answers GET only";
            return Refusal::new(StatusCode::METHOD_NOT_ALLOWED, code::INVALID, message).response();
        }
        match path {
            "" => health::greeting(),
            "/healthz" | "/health" => health::live(),
            "/readyz" => health::ready(self, request.headers()),
            "/metrics" => metrics::answer(self, request).unwrap_or_else(Refusal::response),
            _ => Refusal::new(StatusCode::NOT_FOUND, code::NO_ROUTE, "no such path").response(),
        }
    }

    fn exports_held(&self) -> Vec<ExportHeld> {
        self.exports.get().map(|gauge| gauge()).unwrap_or_default()
    }

    fn traffic(&self) -> Option<Traffic> {
        self.traffic.get().and_then(|gauge| gauge())
    }

    /// Who may see numbers of all gateways: without a token only callers on a listener nobody else can reach, and no web
    /// pages.
    fn may_watch(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if self.on_loopback && !is_from_the_web(headers) {
            return Ok(());
        }
        let dev = self.declared().dev_gateways.is_some();
        let caller = self.access.admit(&self.store, headers, Right::Read, dev, call::now_ms())?;
        if caller.reaches_all() { Ok(()) } else { Err(out_of_scope()) }
    }

    fn declared(&self) -> Arc<Declared> {
        Arc::clone(&self.declared.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("store", &self.store.path()).finish_non_exhaustive()
    }
}
