//! The immutable, compiled settings a request runs with. A change makes a new snapshot; requests under way keep
//! theirs.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use genesis_config::file::Limits;
use genesis_config::gateway::OnDisconnect;
use genesis_config::{
    Environment, ExposeSecret, GatewaySettings, HostName, Provider, ProviderAuth, Providers, Route, Secret,
};
use genesis_store::Identity;
use http::header::{HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Uri};

use crate::credential::{StoredKey, StoredKeys};
use crate::health::{self, Health, TargetHealth};
use crate::limit::GatewayLimits;
use crate::route::GatewayRoute;

/// What a snapshot is made of, as gathered from the file, the environment and the store.
#[derive(Debug)]
pub struct SnapshotParts {
    pub providers: Providers,
    pub gateways: Vec<GatewaySettings>,
    /// Dynamic routes; of two that fit, the one for this gateway wins, else the earlier.
    pub routes: Vec<GatewayRoute>,
    /// Custom domains: host names that stand for an account and a gateway.
    pub domains: HashMap<HostName, Domain>,
    /// Account ids that are answered; `None`: any.
    pub accounts: Option<Vec<String>>,
    pub tokens: Vec<Token>,
    /// Keys from the sealed store; those of the environment and the file are found here.
    pub stored_keys: Vec<Key>,
    /// What `genesis/default` stands for, as `provider/model`.
    pub default_model: Option<String>,
    pub limits: Limits,
    /// Addresses named by requests may be private.
    pub allow_private: bool,
    /// `genesis dev`: callers need no token, providers without a key are answered by the simulator at this address.
    pub simulator: Option<SocketAddr>,
    /// With a simulator: every provider is simulated, also those with a key.
    pub simulate_all: bool,
}

/// What a custom domain stands for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Domain {
    pub account: String,
    pub gateway: String,
}

/// A gateway token, known by its hash only.
#[derive(Clone, Debug)]
pub struct Token {
    pub id: String,
    pub hash: [u8; 32],
    pub run: bool,
    pub read: bool,
    pub edit: bool,
    /// Empty: all gateways.
    pub gateways: Vec<String>,
    pub expires_at_ms: Option<i64>,
    /// Whom it was given to; `None` if nobody says.
    pub identity: Option<Arc<Identity>>,
}

/// A provider key and where it came from.
#[derive(Debug)]
pub struct Key {
    pub provider: String,
    pub alias: String,
    /// Only for this gateway; such a key comes before one for all.
    pub gateway: Option<String>,
    pub secret: Secret,
    /// `stored:<alias>`, `environment`, `config`: what the log says.
    pub source: String,
    /// How often it may be used; `None`: as often as the provider allows.
    pub rate: Option<KeyRate>,
}

/// How often a stored key may be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyRate {
    /// Under which the key is stored. It may answer to other aliases as well.
    pub alias: String,
    /// Attempts at the provider.
    pub limit: NonZeroU32,
    pub seconds: NonZeroU32,
}

/// See the [module](self).
pub struct Snapshot {
    /// Tells snapshots apart, for what threads remember of one.
    pub(crate) generation: u64,
    pub(crate) gateways: HashMap<String, Arc<GatewaySettings>>,
    routes: Vec<GatewayRoute>,
    domains: HashMap<HostName, Domain>,
    /// Some gateway reads answers to their end when clients leave.
    pub(crate) drains: bool,
    /// By gateway.
    limited: HashMap<String, GatewayLimits>,
    pub(crate) accounts: Option<HashSet<String>>,
    providers: Providers,
    targets: HashMap<String, ProviderSetup>,
    pub(crate) tokens: HashMap<[u8; 32], Token>,
    pub(crate) keys: StoredKeys,
    pub(crate) default_model: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) allow_private: bool,
    pub(crate) simulator: Option<SocketAddr>,
    pub(crate) patience: Patience,
    pub(crate) default_gateway: Arc<GatewaySettings>,
}

/// What is compiled per provider beside its row.
pub(crate) struct ProviderSetup {
    /// Its row, with `${VAR}` in its address replaced.
    provider: Provider,
    /// Headers from the configuration, added to every call.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// A header of the configuration that could not be resolved; calls fail with this sentence.
    pub(crate) unresolved: Option<String>,
    pub(crate) key_slots: Vec<HeaderName>,
    pub(crate) simulated: bool,
    /// How its address has fared of late.
    pub(crate) health: Arc<Health>,
    /// The same provider at further addresses.
    others: Vec<ProviderSetup>,
    /// Tells its addresses apart; 0 for the first.
    pub(crate) member: usize,
}

/// Time limits that hold unless a request asks for shorter ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) connect: Duration,
    pub(crate) first_byte: Duration,
    pub(crate) idle: Duration,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("gateways", &self.gateways.keys()).finish_non_exhaustive()
    }
}

impl Snapshot {
    /// Compiles the parts. Nothing here fails: what cannot work is remembered and told to whoever calls it.
    pub fn compile(parts: SnapshotParts, environment: &Environment) -> Self {
        let (keys, mut missing) = all_keys(parts.stored_keys, &parts.providers, environment);
        let keys = StoredKeys::new(keys, &parts.providers);
        let setup = |provider: &Provider| {
            let keyed = keys.has_any(&provider.slug) || !provider.headers.is_empty();
            let simulated = parts.simulator.is_some() && (parts.simulate_all || !keyed && !provider.custom);
            ProviderSetup::new(provider, environment, simulated)
        };
        let mut targets: HashMap<_, _> =
            parts.providers.iter().map(|provider| (provider.slug.clone(), setup(provider))).collect();
        missing.retain(|slug, _| !keys.has_any(slug));
        for (slug, unresolved) in missing {
            if let Some(setup) = targets.get_mut(&slug) {
                setup.unresolved.get_or_insert(unresolved);
            }
        }
        let limits = parts.limits.clone();
        let default_gateway = GatewaySettings {
            id: "default".to_owned(),
            authentication: parts.simulator.is_none(),
            ..GatewaySettings::default()
        };
        let gateways = std::iter::once(&default_gateway).chain(&parts.gateways);
        let limited = gateways.map(|gateway| (gateway.id.clone(), GatewayLimits::compile(gateway))).collect();
        static GENERATION: AtomicU64 = AtomicU64::new(1);
        Self {
            generation: GENERATION.fetch_add(1, Ordering::Relaxed),
            drains: parts.gateways.iter().any(|gateway| gateway.on_disconnect == OnDisconnect::Drain),
            gateways: parts
                .gateways
                .into_iter()
                .map(|gateway| (gateway.id.clone(), Arc::new(gateway)))
                .collect(),
            routes: parts.routes,
            domains: parts.domains,
            limited,
            accounts: parts.accounts.map(HashSet::from_iter),
            providers: parts.providers,
            targets,
            tokens: parts.tokens.into_iter().map(|token| (token.hash, token)).collect(),
            keys,
            patience: Patience {
                connect: Duration::from_secs(limits.connect_seconds),
                first_byte: Duration::from_secs(limits.first_byte_seconds),
                idle: Duration::from_secs(limits.idle_seconds),
            },
            default_model: parts.default_model,
            limits,
            allow_private: parts.allow_private,
            simulator: parts.simulator,
            default_gateway: Arc::new(default_gateway),
        }
    }

    pub(crate) fn provider(&self, slug: &str) -> Option<(&Provider, &ProviderSetup)> {
        let setup = self.targets.get(&self.providers.find(slug)?.slug)?;
        Some((&setup.provider, setup))
    }

    /// Takes over what `previous` knows of targets that are still the same.
    pub(crate) fn inherit(&mut self, previous: &Self) {
        for (slug, setup) in &mut self.targets {
            let Some(known) = previous.targets.get(slug) else { continue };
            let simulated = setup.simulated;
            let own = std::iter::once((&mut setup.health, address_of(&setup.provider)));
            let others = setup.others.iter_mut().map(|at| (&mut at.health, address_of(&at.provider)));
            for (health, address) in own.chain(others) {
                let same =
                    |known: &&ProviderSetup| known.address() == address && known.simulated == simulated;
                if let Some(known) = known.members().find(same) {
                    *health = Arc::clone(&known.health);
                }
            }
        }
        self.keys.inherit(&previous.keys);
    }

    pub(crate) fn limits_of(&self, gateway: &str) -> Option<&GatewayLimits> {
        self.limited.get(gateway)
    }

    /// Gateways whose calls are counted: by themselves, by a route they serve or by a key they attach.
    pub(crate) fn limited_gateways(&self) -> impl Iterator<Item = String> {
        let serves = |own: Option<&str>, id: &str| own.is_none_or(|own| own == id);
        let counted = move |(id, limits): &(&String, &GatewayLimits)| {
            let mut routes = self.routes.iter().filter(|known| known.route.has_rates());
            let mut keys = self.keys.iter().filter(|key| key.rate().is_some());
            !limits.is_empty()
                || routes.any(|known| serves(known.gateway.as_deref(), id))
                || keys.any(|key| serves(key.gateway(), id))
        };
        self.limited.iter().filter(counted).map(|(id, _)| id.clone())
    }

    /// How each target has fared that was called at all, by provider and address.
    pub fn health(&self) -> Vec<TargetHealth> {
        let members = self.targets.iter().flat_map(|(slug, setup)| setup.members().map(move |at| (slug, at)));
        health::listed(members.filter_map(|(slug, at)| TargetHealth::of(slug, &at.address(), &at.health)))
    }

    /// Providers that have a key, or need none, or are simulated.
    pub(crate) fn callable_providers(&self) -> impl Iterator<Item = &Provider> {
        let mut setups: Vec<_> = self.targets.values().collect();
        setups.sort_by(|a, b| a.provider.slug.cmp(&b.provider.slug));
        setups.into_iter().map(|setup| (setup, &setup.provider)).filter_map(|(setup, provider)| {
            let keyed = self.keys.has_any(&provider.slug) || provider.custom || !setup.headers.is_empty();
            (keyed || setup.simulated).then_some(provider)
        })
    }

    /// What the host a request names stands for, if it is a custom domain.
    pub(crate) fn domain(&self, uri: &Uri, headers: &HeaderMap) -> Option<&Domain> {
        if self.domains.is_empty() {
            return None;
        }
        let named = uri.host().or_else(|| headers.get(HOST)?.to_str().ok())?;
        self.domains.get(&HostName::of_header(named)?)
    }

    /// The dynamic route of this name.
    pub(crate) fn route(&self, account: &str, gateway: &str, name: &str) -> Option<&Arc<Route>> {
        let fits = |own: &Option<String>, asked: &str| own.as_ref().is_none_or(|own| own == asked);
        let mut fitting = self.routes.iter().filter(|known| {
            known.route.name == name && fits(&known.account, account) && fits(&known.gateway, gateway)
        });
        let first = fitting.clone().next();
        fitting.find(|known| known.gateway.is_some()).or(first).map(|known| &known.route)
    }

    pub(crate) fn nearest_provider(&self, slug: &str) -> Option<&str> {
        self.providers.nearest(slug)
    }

    /// The token someone presented, if it is one of ours and not expired.
    pub fn token(&self, presented: &str, now_ms: i64) -> Option<&Token> {
        let token = self.tokens.get(&genesis_store::token_hash(presented.as_bytes()))?;
        token.expires_at_ms.is_none_or(|expires| now_ms < expires).then_some(token)
    }

    /// The token with this id, if it is not expired.
    pub(crate) fn token_of(&self, id: &str, now_ms: i64) -> Option<&Token> {
        let token = self.tokens.values().find(|token| token.id == id)?;
        token.expires_at_ms.is_none_or(|expires| now_ms < expires).then_some(token)
    }

    /// The settings of all gateways.
    pub fn gateways(&self) -> impl Iterator<Item = &GatewaySettings> {
        self.gateways.values().map(AsRef::as_ref)
    }

    /// Providers that `genesis dev` answers from the simulator, and those it really calls.
    pub fn simulated_providers(&self) -> (Vec<&str>, Vec<&str>) {
        let named = |simulated: bool| {
            let fitting = self.targets.iter().filter(move |(_, setup)| setup.simulated == simulated);
            let mut slugs: Vec<_> = fitting.map(|(slug, _)| slug.as_str()).collect();
            slugs.sort_unstable();
            slugs
        };
        (named(true), named(false))
    }
}

impl ProviderSetup {
    fn new(provider: &Provider, environment: &Environment, simulated: bool) -> Self {
        let address = provider.resolved(environment);
        let unresolved = address
            .as_ref()
            .err()
            .map(|error| format!("models.providers.{}.baseUrl: {error}", provider.slug));
        let resolved = address.unwrap_or_else(|_| provider.clone());
        let mut setup = Self {
            provider: resolved,
            headers: Vec::new(),
            unresolved,
            key_slots: Vec::new(),
            simulated,
            health: Arc::default(),
            others: Vec::new(),
            member: 0,
        };
        for (name, value) in &provider.headers {
            let path = format!("models.providers.{}.headers.{name}", provider.slug);
            let resolved = match environment.substitute(value) {
                Ok(value) => value,
                Err(missing) => {
                    setup.unresolved = Some(format!("{path}: {missing}"));
                    continue;
                }
            };
            match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(resolved.expose_secret())) {
                (Ok(name), Ok(mut value)) => {
                    value.set_sensitive(true);
                    setup.headers.push((name, value));
                }
                _ => setup.unresolved = Some(format!("{path}: not a valid HTTP header")),
            }
        }
        let slots = provider.key_slots.iter().filter_map(|slot| HeaderName::from_bytes(slot.as_bytes()).ok());
        setup.key_slots = slots.collect();
        let others = provider.others.iter().enumerate();
        setup.others = others
            .map(|(index, other)| Self { member: index + 1, ..Self::new(other, environment, simulated) })
            .collect();
        setup
    }

    pub(crate) fn provider(&self) -> &Provider {
        &self.provider
    }

    /// It is one of several addresses.
    pub(crate) fn is_in_pool(&self) -> bool {
        self.member > 0 || !self.others.is_empty()
    }

    /// The address for the next call: of those that are well the one likely to answer first. `not`: was just tried.
    pub(crate) fn pick(&self, not: Option<usize>) -> &Self {
        if self.others.is_empty() {
            return self;
        }
        let tried = |setup: &&Self| not == Some(setup.member);
        // Asked of all, the likely one may become the call that tries an address again.
        let open: Vec<_> = self.members().filter(|setup| !tried(setup) && !setup.health.is_down()).collect();
        let start = fastrand::usize(..open.len().max(1));
        let (before, after) = open.split_at(start.min(open.len()));
        let best = after.iter().chain(before).min_by_key(|setup| setup.health.cost());
        best.copied().or_else(|| self.members().find(|setup| !tried(setup))).unwrap_or(self)
    }

    fn members(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }

    fn address(&self) -> String {
        address_of(&self.provider)
    }

    /// True if calls carry something only authenticated callers may use.
    pub(crate) fn carries_secrets(&self) -> bool {
        self.headers.iter().any(|(name, _)| crate::options::is_secret(name.as_str()))
    }
}

fn address_of(provider: &Provider) -> String {
    provider.routes.first().map(|route| route.url().trim_end_matches("/*").to_owned()).unwrap_or_default()
}

/// Keys in the order they win for alias `default`: environment, sealed store, configuration file. Also, by provider,
/// what keeps a key of the file from being read.
fn all_keys(
    stored: Vec<Key>,
    providers: &Providers,
    environment: &Environment,
) -> (Vec<Key>, HashMap<String, String>) {
    let key = |provider: &Provider, secret, source: &str| Key {
        provider: provider.slug.clone(),
        alias: "default".to_owned(),
        gateway: None,
        secret,
        source: source.to_owned(),
        rate: None,
    };
    let mut keys = Vec::new();
    for provider in providers.iter() {
        if let Some((secret, _)) = provider.env.iter().find_map(|name| environment.lookup(name)) {
            keys.push(key(provider, secret.clone(), "environment"));
        }
    }
    keys.extend(stored);
    let mut missing = HashMap::new();
    for provider in providers.iter() {
        let Some(written) = &provider.api_key else { continue };
        match environment.substitute(written.expose_secret()) {
            Ok(secret) => keys.push(key(provider, secret, "config")),
            Err(unresolved) => {
                let path = format!("models.providers.{}.apiKey", provider.slug);
                missing.insert(provider.slug.clone(), format!("{path}: {unresolved}"));
            }
        }
    }
    (keys, missing)
}

/// Whether a stored key may be attached at all.
pub(crate) fn attaches_keys(provider: &Provider) -> bool {
    !matches!(provider.provider_auth, ProviderAuth::Stored)
}

impl StoredKeys {
    fn has_any(&self, provider: &str) -> bool {
        self.iter().any(|key: &StoredKey| key.provider == provider)
    }
}
