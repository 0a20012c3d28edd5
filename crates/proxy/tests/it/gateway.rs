//! A gateway in this process, with a store of its own.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use genesis_config::{Environment, File, GatewaySettings, Providers, Secret};
use genesis_proxy::{
    AsideBody, Cache, Domain, Event, GatewayRoute, Key, KeyRate, Server, ServerOptions, Shared, Snapshot,
    SnapshotParts, Token,
};
use genesis_store::{
    CacheDisk, CacheOptions, Direction, Journal, JournalOptions, LogFilter, LogRecord, NewToken, Payload,
    Permissions, Store,
};
use tempfile::TempDir;

pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) store: Store,
    pub(crate) shared: Arc<Shared>,
    pub(crate) events: Receiver<Event>,
    /// A token that may run requests on every gateway.
    pub(crate) token: String,
    server: Option<Server>,
    config: String,
    /// By how much the clock of what is kept is ahead, in milliseconds.
    ahead: Arc<AtomicI64>,
    _folder: TempDir,
}

/// How a test wants its gateway.
#[derive(Default)]
pub(crate) struct Setup {
    /// `genesis.json`, as a person would write it.
    pub(crate) config: String,
    pub(crate) environment: Vec<(&'static str, &'static str)>,
    /// provider, alias, gateway, secret
    pub(crate) keys: Vec<(&'static str, &'static str, Option<&'static str>, &'static str)>,
    /// Alias, attempts, seconds: how often a key may be used.
    pub(crate) rates: Vec<(&'static str, u32, u32)>,
    pub(crate) tokens: Vec<NewToken>,
    pub(crate) simulator: Option<SocketAddr>,
    /// Threads; 0 is one.
    pub(crate) workers: usize,
    /// The cache has a disk.
    pub(crate) disk: bool,
    /// How long a request's head may take, if not 10 s.
    pub(crate) head_within: Option<Duration>,
}

impl Gateway {
    /// Gateway `gw`, asking for a token, with `openai`, `anthropic` and `google-ai-studio` at `upstream`.
    pub(crate) fn before(upstream: &str) -> Self {
        Self::start(Setup { config: config(upstream, "gw: {}"), ..Setup::default() })
    }

    pub(crate) fn start(setup: Setup) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(&folder.path().join("genesis.db")).expect("store");
        let run = Permissions { run: true, ..Permissions::default() };
        let new = NewToken { name: "test".to_owned(), permissions: run, ..NewToken::default() };
        let (_, token) = store.create_token(new, 0).expect("token");
        for new in setup.tokens {
            store.create_token(new, 0).expect("token");
        }
        let keys = setup.keys.into_iter().map(|(provider, alias, gateway, secret)| Key {
            provider: provider.to_owned(),
            alias: alias.to_owned(),
            gateway: gateway.map(str::to_owned),
            secret: Secret::from(secret.to_owned()),
            source: format!("stored:{alias}"),
            rate: setup.rates.iter().find(|(own, ..)| *own == alias).map(|(_, limit, seconds)| KeyRate {
                alias: alias.to_owned(),
                limit: NonZeroU32::new(*limit).expect("a limit"),
                seconds: NonZeroU32::new(*seconds).expect("a period"),
            }),
        });
        let tokens = store.tokens().expect("tokens").into_iter().map(token_of).collect();
        let parts = parts(&setup.config, tokens, keys.collect(), setup.simulator);
        let snapshot = Snapshot::compile(parts, &Environment::of(setup.environment));
        let options =
            JournalOptions { commit_interval: Duration::from_millis(5), ..JournalOptions::default() };
        let journal = Arc::new(Journal::start(&store, options));
        let (tell, events) = sync_channel(16);
        let aside: genesis_proxy::Aside = Arc::new(|_| {
            http::Response::new(AsideBody::new(http_body_util::Full::new(Bytes::from_static(b"aside"))))
        });
        let disk = setup.disk.then(|| CacheDisk::start(&store, CacheOptions::default()));
        let cache = Cache::new(&File::parse(&setup.config).expect("config").gateway.cache, disk);
        let ahead = Arc::new(AtomicI64::new(0));
        let cache = cache.with_clock(clock(Arc::clone(&ahead)));
        let shared = Shared::new(snapshot, journal, aside, tell).with_cache(cache);
        let shared = Arc::new(shared.with_clock_of_runs(clock(Arc::clone(&ahead))));
        let options = ServerOptions {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            workers: setup.workers.max(1),
            connections: 1_000,
            head_within: setup.head_within.unwrap_or(Duration::from_secs(10)),
        };
        let server = Server::start(&options, &shared).expect("server");
        let token = genesis_config::ExposeSecret::expose_secret(&token).to_owned();
        Self {
            address: server.address(),
            store,
            shared,
            events,
            token,
            server: Some(server),
            config: setup.config,
            ahead,
            _folder: folder,
        }
    }

    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }

    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> crate::client::Reply {
        crate::client::post(self.address, path, headers, body)
    }

    /// As [`Gateway::post`], with the gateway token.
    pub(crate) fn post_authorized(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> crate::client::Reply {
        let authorization = self.authorization();
        let mut all = vec![("cf-aig-authorization", authorization.as_str())];
        all.extend_from_slice(headers);
        self.post(path, &all, body)
    }

    /// Everything logged so far, oldest first; waits until at least `count` records are there.
    pub(crate) fn log(&self, count: usize) -> Vec<LogRecord> {
        let filter = LogFilter { direction: Direction::Ascending, limit: 1_000, ..LogFilter::default() };
        for _ in 0..2_000 {
            self.shared.journal().flush(Duration::from_secs(10));
            let records = self.store.logs(&filter).expect("log");
            if records.len() >= count {
                return records;
            }
            std::thread::park_timeout(Duration::from_millis(5)); // the gateway notices a leaving client on its own time
        }
        panic!("fewer than {count} records");
    }

    pub(crate) fn last_log(&self, count: usize) -> (LogRecord, Option<Payload>) {
        let record = self.log(count).pop().expect("record");
        self.store.log(&record.id.to_string()).expect("log").expect("record")
    }

    /// Runs `call` with the text of a new token that the gateway knows.
    pub(crate) fn with_token<T>(&self, new: NewToken, call: impl FnOnce(&str) -> T) -> T {
        let (_, text) = self.store.create_token(new, 0).expect("token");
        let tokens = self.store.tokens().expect("tokens").into_iter().map(token_of).collect();
        self.shared.replace_snapshot(Snapshot::compile(self.parts(tokens), &Environment::default()));
        call(genesis_config::ExposeSecret::expose_secret(&text))
    }

    /// Lets cached answers and streams that can be resumed grow older.
    pub(crate) fn later(&self, seconds: i64) {
        self.ahead.fetch_add(seconds * 1_000, Ordering::SeqCst);
    }

    /// As if the configuration had been edited: the gateway goes on with it.
    pub(crate) fn reconfigure(&self, config: &str) {
        let tokens = self.store.tokens().expect("tokens").into_iter();
        let tokens = tokens.filter(|token| token.revoked_at_ms.is_none()).map(token_of).collect();
        let parts = parts(config, tokens, Vec::new(), None);
        self.shared.replace_snapshot(Snapshot::compile(parts, &Environment::default()));
    }

    fn parts(&self, tokens: Vec<Token>) -> SnapshotParts {
        parts(&self.config, tokens, Vec::new(), None)
    }

    pub(crate) fn shutdown(&mut self, drain: Duration) {
        if let Some(server) = self.server.take() {
            server.shutdown(drain);
        }
    }
}

fn clock(ahead: Arc<AtomicI64>) -> genesis_proxy::cache::Clock {
    Arc::new(move || {
        let since = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
        i64::try_from(since.as_millis()).expect("before the year 292278994") + ahead.load(Ordering::SeqCst)
    })
}

pub(crate) fn config(upstream: &str, gateways: &str) -> String {
    format!(
        "{{ models: {{ providers: {{
            openai: {{ baseUrl: '{upstream}/v1' }},
            anthropic: {{ baseUrl: '{upstream}' }},
            'google-ai-studio': {{ baseUrl: '{upstream}' }},
        }} }}, gateway: {{ gateways: {{ {gateways} }} }} }}"
    )
}

pub(crate) fn parts(
    config: &str,
    tokens: Vec<Token>,
    stored_keys: Vec<Key>,
    simulator: Option<SocketAddr>,
) -> SnapshotParts {
    let file = File::parse(config).unwrap_or_else(|problems| panic!("{problems:?}"));
    let providers = Providers::with(&file.models.providers).unwrap_or_else(|problems| panic!("{problems:?}"));
    let routes = file.gateway.routes.iter().map(|(name, block)| {
        let route = block.route(name, &providers).unwrap_or_else(|problems| panic!("{problems:?}"));
        GatewayRoute { account: None, gateway: block.gateways.first().cloned(), route: Arc::new(route) }
    });
    SnapshotParts {
        routes: routes.collect(),
        domains: file
            .gateway
            .domains
            .iter()
            .map(|(name, block)| {
                let account = block.account.clone().unwrap_or_else(|| "default".to_owned());
                (name.clone(), Domain { account, gateway: block.gateway.clone() })
            })
            .collect(),
        providers,
        gateways: file.gateway.gateways.values().cloned().collect(),
        accounts: file.gateway.accounts.clone(),
        tokens,
        stored_keys,
        default_model: file.agents.defaults.model.primary.clone(),
        limits: file.gateway.limits.clone(),
        allow_private: file.gateway.allow_private,
        simulator,
        simulate_all: false,
    }
}

fn token_of(row: genesis_store::TokenRow) -> Token {
    Token {
        id: row.id,
        hash: row.hash,
        run: row.permissions.run,
        read: row.permissions.read,
        edit: row.permissions.edit,
        gateways: row.gateways,
        expires_at_ms: row.expires_at_ms,
        identity: (!row.identity.is_empty()).then(|| Arc::new(row.identity)),
    }
}

#[test]
fn the_default_gateway_is_there_and_announced() {
    let upstream = crate::upstream::Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    upstream.will_say(crate::upstream::answer("200 OK", "", b"{}"));
    let reply = gateway.post_authorized("/v1/acct/default/openai/chat/completions", &[], b"{}");
    assert_eq!(reply.status, 200);
    let event = gateway.events.recv_timeout(Duration::from_secs(5)).expect("told");
    assert_eq!(event, Event::DefaultGatewayUsed { account: "acct".to_owned() });
    assert!(GatewaySettings::default().authentication);
}
