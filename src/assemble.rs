//! File + environment + store → the snapshot the gateway runs with.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use genesis_admin::Declared;
use genesis_config::policy::Policy;
use genesis_config::route::Route;
use genesis_config::{Environment, ExposeSecret, GatewaySettings, HostName, Providers};
use genesis_proxy::{Domain, GatewayRoute, Key, KeyRate, Snapshot, SnapshotParts, Token};
use genesis_store::{CustomProviderRow, DomainRow, KeyRow, PolicyRow, RouteRow, Secret, Store, TokenRow};

use crate::home::Settings;
use crate::printer::Failed;

/// What `genesis dev` changes about a gateway.
#[derive(Clone, Debug)]
pub(crate) struct DevMode {
    pub(crate) simulator: SocketAddr,
    pub(crate) simulate_all: bool,
    /// Gateway ids to answer to beside those that exist.
    pub(crate) gateways: Vec<String>,
}

/// What the store contributes. Kept by the running gateway, so that a store that falls ill locks nobody out.
#[derive(Default)]
pub(crate) struct Stored {
    tokens: Vec<TokenRow>,
    keys: Vec<(KeyRow, Secret)>,
    gateways: Vec<(String, String, serde_json::Value)>,
    custom_providers: Vec<CustomProviderRow>,
    routes: Vec<RouteRow>,
    policies: Vec<PolicyRow>,
    domains: Vec<DomainRow>,
}

impl Stored {
    /// Reads what can be read; the rest stays as it was, and is named in the answer.
    pub(crate) fn refresh(&mut self, store: &Store) -> Vec<String> {
        let mut unread = Vec::new();
        let mut said =
            |what: &str, error: genesis_store::Error| unread.push(format!("{what} cannot be read: {error}"));
        match store.tokens() {
            Ok(tokens) => self.tokens = tokens,
            Err(error) => said("gateway tokens", error),
        }
        match store.open_keys() {
            Ok(keys) => self.keys = keys,
            Err(error) => said("stored provider keys", error),
        }
        match store.gateways() {
            Ok(gateways) => self.gateways = gateways,
            Err(error) => said("gateways created at run time", error),
        }
        match store.custom_providers() {
            Ok(custom) => self.custom_providers = custom,
            Err(error) => said("custom providers created at run time", error),
        }
        match store.routes(None) {
            Ok(routes) => self.routes = routes,
            Err(error) => said("dynamic routes created at run time", error),
        }
        match store.policies(None) {
            Ok(policies) => self.policies = policies,
            Err(error) => said("policies created at run time", error),
        }
        match store.domains() {
            Ok(domains) => self.domains = domains,
            Err(error) => said("custom domains created at run time", error),
        }
        unread
    }

    /// Where the settings of a gateway come from, in words; the order is that of [`gateway_settings`].
    pub(crate) fn source_of(&self, gateway: &str, settings: &Settings) -> &'static str {
        if settings.file.gateway.gateways.contains_key(gateway) {
            "genesis.json"
        } else if self.gateways.iter().any(|(_, id, _)| id == gateway) {
            "created at run time"
        } else {
            "defaults"
        }
    }
}

/// Compiles the settings; the second value says what could not be used.
pub(crate) fn snapshot(
    settings: &Settings,
    stored: &Stored,
    dev: Option<&DevMode>,
) -> Result<(Snapshot, Vec<String>), Failed> {
    let mut warnings = Vec::new();
    let block = &settings.file.gateway;
    let providers = with_custom(providers(settings)?, &stored.custom_providers, &mut warnings);
    let mut routes = routes(settings)?;
    add_created(&mut routes, &stored.routes, &providers, block.accounts.is_some(), &mut warnings);
    let mut gateways = gateway_settings(settings, &stored.gateways, dev, &mut warnings);
    add_policies(&mut gateways, &stored.policies, settings, &mut warnings);
    let parts = SnapshotParts {
        providers,
        gateways,
        routes,
        domains: domains(settings, &stored.domains),
        accounts: block.accounts.clone(),
        tokens: stored.tokens.iter().filter(|token| token.revoked_at_ms.is_none()).map(token).collect(),
        stored_keys: stored_keys(&stored.keys),
        default_model: settings.file.agents.defaults.model.primary.clone(),
        limits: block.limits.clone(),
        allow_private: block.allow_private,
        simulator: dev.map(|dev| dev.simulator),
        simulate_all: dev.is_some_and(|dev| dev.simulate_all),
    };
    Ok((Snapshot::compile(parts, &settings.environment), warnings))
}

/// The built-in rows with the file's patches over them.
pub(crate) fn providers(settings: &Settings) -> Result<Providers, Failed> {
    let problems = |problems: Vec<genesis_config::Problem>| {
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        Failed::config(lines.join("\n"))
    };
    let mut patches = settings.file.models.providers.clone();
    if let Some(base) = relay_by_ids(&settings.environment) {
        let patch = patches.entry(RELAY.to_owned()).or_default();
        if patch.base_urls.is_empty() {
            patch.base_url.get_or_insert(base);
        }
    }
    Providers::with(&patches).map_err(problems)
}

/// The provider that is another gateway.
const RELAY: &str = "cloudflare-ai-gateway";

/// Its address where nobody wrote one and the environment names account and gateway.
fn relay_by_ids(environment: &Environment) -> Option<String> {
    let id = |names: &[&str]| {
        let found = names.iter().find_map(|name| environment.lookup(name));
        let id = found.map(|(value, _)| value.expose_secret().trim().to_owned());
        id.filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)))
    };
    let account = id(&["CLOUDFLARE_ACCOUNT_ID", "CF_AI_GATEWAY_ACCOUNT_ID"])?;
    let gateway = id(&["CF_AI_GATEWAY_GATEWAY_ID"])?;
    Some(format!("https://gateway.ai.cloudflare.com/v1/{account}/{gateway}/anthropic"))
}

/// The file's dynamic routes.
fn routes(settings: &Settings) -> Result<Vec<GatewayRoute>, Failed> {
    let providers = providers(settings)?;
    let mut routes = Vec::new();
    for (name, block) in &settings.file.gateway.routes {
        // The file was checked when it was read.
        let route = block.route(name, &providers).map_err(|problems| {
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            Failed::config(lines.join("\n"))
        })?;
        let route = Arc::new(route);
        let of = |gateway| GatewayRoute { account: None, gateway, route: Arc::clone(&route) };
        match &block.gateways[..] {
            [] => routes.push(of(None)),
            gateways => routes.extend(gateways.iter().cloned().map(Some).map(of)),
        }
    }
    Ok(routes)
}

/// Adds routes created over the API, each in the version that serves. A route the file declares for their gateway comes
/// before them. `tenants`: a route is for its own account only.
fn add_created(
    routes: &mut Vec<GatewayRoute>,
    created: &[RouteRow],
    providers: &Providers,
    tenants: bool,
    warnings: &mut Vec<String>,
) {
    let declared = routes.clone();
    for row in created {
        let named =
            format!("dynamic route `{}` of gateway `{}`, created at run time,", row.name, row.gateway);
        let same = |known: &GatewayRoute| {
            known.route.name == row.name
                && known.gateway.as_ref().is_none_or(|gateway| *gateway == row.gateway)
        };
        if declared.iter().any(same) {
            warnings.push(format!("{named} is left out: gateway.routes declares one of this name"));
            continue;
        }
        let Some(version) = row.deployed() else { continue };
        match Route::parse(&row.name, &version.elements, providers) {
            Ok(route) => routes.push(GatewayRoute {
                account: tenants.then(|| row.account.clone()),
                gateway: Some(row.gateway.clone()),
                route: Arc::new(route),
            }),
            Err(problems) => {
                let why: Vec<_> = problems.into_iter().map(|problem| problem.message).collect();
                warnings.push(format!("{named} is left out: {}", why.join("; ")));
            }
        }
    }
}

/// The enabled ones; a provider of the file comes before one of the same slug.
fn with_custom(
    mut providers: Providers,
    created: &[CustomProviderRow],
    warnings: &mut Vec<String>,
) -> Providers {
    let enabled = |row: &&CustomProviderRow| row.fields.get("enable") == Some(&serde_json::Value::Bool(true));
    for row in created.iter().filter(enabled) {
        let added = genesis_admin::custom_provider_patch(row).and_then(|patch| {
            providers.add_from_api(&row.slug, &patch).map_err(|problems| {
                problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>().join("; ")
            })
        });
        if let Err(why) = added {
            warnings.push(format!("custom provider `{}` is left out: {why}", row.slug));
        }
    }
    providers
}

/// Keys as they are asked for: where no key is called `default`, the one marked so answers to that alias too.
fn stored_keys(rows: &[(KeyRow, Secret)]) -> Vec<Key> {
    let key = |row: &KeyRow, secret: &Secret, alias: &str| Key {
        provider: row.provider.clone(),
        alias: alias.to_owned(),
        gateway: row.gateway.clone(),
        secret: secret.clone(),
        source: format!("stored:{}", row.alias),
        rate: row.options.rate().map(|(limit, seconds)| KeyRate { alias: row.alias.clone(), limit, seconds }),
    };
    let mut keys: Vec<_> = rows.iter().map(|(row, secret)| key(row, secret, &row.alias)).collect();
    for (row, secret) in rows.iter().filter(|(row, _)| row.options.default_config) {
        let taken = |key: &Key| {
            key.provider == row.provider && key.gateway == row.gateway && key.alias == DEFAULT_ALIAS
        };
        if !keys.iter().any(taken) {
            keys.push(key(row, secret, DEFAULT_ALIAS));
        }
    }
    keys
}

const DEFAULT_ALIAS: &str = "default";

/// What the management API must not change.
pub(crate) fn declared(
    settings: &Settings,
    dev: Option<&DevMode>,
    written_at_ms: i64,
) -> Result<Declared, Failed> {
    let block = &settings.file.gateway;
    let dev_gateways = dev.map(|dev| dev.gateways.iter().cloned().chain(["default".to_owned()]).collect());
    Ok(Declared {
        gateways: block.gateways.clone(),
        domains: block.domains.clone(),
        written_at_ms,
        accounts: block.accounts.clone(),
        providers: providers(settings)?,
        allow_private: block.allow_private,
        dev_gateways,
    })
}

fn token(row: &TokenRow) -> Token {
    Token {
        id: row.id.clone(),
        hash: row.hash,
        run: row.permissions.run,
        read: row.permissions.read,
        edit: row.permissions.edit,
        gateways: row.gateways.clone(),
        expires_at_ms: row.expires_at_ms,
        identity: (!row.identity.is_empty()).then(|| Arc::new(row.identity.clone())),
    }
}

/// The file's gateways come before those created at run time.
fn gateway_settings(
    settings: &Settings,
    created: &[(String, String, serde_json::Value)],
    dev: Option<&DevMode>,
    warnings: &mut Vec<String>,
) -> Vec<GatewaySettings> {
    let mut gateways = settings.file.gateway.gateways.clone();
    for (_, id, value) in created {
        if gateways.contains_key(id) {
            continue;
        }
        match serde_json::from_value::<GatewaySettings>(value.clone()) {
            Ok(mut gateway) => {
                gateway.id.clone_from(id);
                gateways.insert(id.clone(), gateway);
            }
            Err(error) => warnings.push(format!("the settings of gateway `{id}` cannot be read: {error}")),
        }
    }
    for (id, gateway) in &gateways {
        let idle = without_effect(gateway);
        if !idle.is_empty() {
            warnings.push(format!("gateway `{id}`: no effect yet in this version: {}", idle.join(", ")));
        }
    }
    if let Some(dev) = dev {
        for id in dev.gateways.iter().map(String::as_str).chain(["default"]) {
            gateways
                .entry(id.to_owned())
                .or_insert_with(|| GatewaySettings { id: id.to_owned(), ..Default::default() });
        }
        for gateway in gateways.values_mut() {
            gateway.authentication = false;
        }
    }
    gateways.into_values().collect()
}

/// Those of the file come before those created over the API.
fn domains(settings: &Settings, created: &[DomainRow]) -> HashMap<HostName, Domain> {
    let created = created.iter().filter_map(|row| {
        let domain = Domain { account: row.account.clone(), gateway: row.gateway.clone() };
        Some((HostName::parse(&row.hostname).ok()?, domain))
    });
    let declared = settings.file.gateway.domains.iter().map(|(name, block)| {
        let account = block.account.clone().unwrap_or_else(|| UNNAMED_ACCOUNT.to_owned());
        (name.clone(), Domain { account, gateway: block.gateway.clone() })
    });
    created.chain(declared).collect()
}

/// As in the short forms of paths, which name no account either.
const UNNAMED_ACCOUNT: &str = "default";

/// Adds the policies that were committed over the API to those of the settings. A gateway of the file serves all accounts
/// of an install that names some, so no account's policies hold there.
fn add_policies(
    gateways: &mut [GatewaySettings],
    created: &[PolicyRow],
    settings: &Settings,
    warnings: &mut Vec<String>,
) {
    let block = &settings.file.gateway;
    for row in created {
        let Some(fields) = row.in_force() else { continue };
        let Some(gateway) = gateways.iter_mut().find(|gateway| gateway.id == row.gateway) else { continue };
        let named = format!("policy {} of gateway `{}`, created at run time,", row.id, row.gateway);
        if block.accounts.is_some() && block.gateways.contains_key(&row.gateway) {
            warnings.push(format!("{named} is left out: the gateway is declared for all accounts"));
            continue;
        }
        match Policy::from_json(fields) {
            Ok(policy) => gateway.policies.push(policy),
            Err(problem) => warnings.push(format!("{named} is left out: {}", problem.message)),
        }
    }
}

/// Settings somebody made that this version reads, checks and does not act on. A limit one only believes in is worse
/// than none.
fn without_effect(gateway: &GatewaySettings) -> Vec<String> {
    const EFFECTIVE: &[&str] = &[
        "authentication",
        "byok_only",
        "cache_invalidate_on_update",
        "cache_semantic",
        "cache_stale_if_error",
        "cache_stale_while_revalidate",
        "cache_ttl",
        "collect_logs",
        "id",
        "log_management",
        "log_management_strategy",
        "log_max_age",
        "logpush",
        "logpush_public_key",
        "on_disconnect",
        "otel",
        "policies",
        "rate_limiting_interval",
        "rate_limiting_limit",
        "rate_limiting_technique",
        "rate_limits",
        "resumable_streams",
        "retry_backoff",
        "retry_delay",
        "retry_max_attempts",
        "spend_limits",
        "strict_translation",
    ];
    let as_map = |settings: &GatewaySettings| match serde_json::to_value(settings) {
        Ok(serde_json::Value::Object(map)) => map,
        _ => serde_json::Map::new(),
    };
    let default = as_map(&GatewaySettings::default());
    let made = as_map(gateway).into_iter();
    let idle =
        made.filter(|(name, value)| !EFFECTIVE.contains(&name.as_str()) && default.get(name) != Some(value));
    idle.map(|(name, _)| name).collect()
}
