//! File + environment + store → the snapshot the gateway runs with.

use std::net::SocketAddr;

use genesis_config::{GatewaySettings, Providers};
use genesis_proxy::{Key, Snapshot, SnapshotParts, Token};
use genesis_store::Store;

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

/// Compiles the settings. An ill store costs its tokens and keys, told in the second value, and nothing else.
pub(crate) fn snapshot(
    settings: &Settings,
    store: Option<&Store>,
    dev: Option<&DevMode>,
) -> Result<(Snapshot, Vec<String>), Failed> {
    let mut warnings = Vec::new();
    let mut kept = |what: &str, error: genesis_store::Error| warnings.push(format!("{what} cannot be read: {error}"));
    let tokens = store.map(Store::tokens).transpose().unwrap_or_else(|error| {
        kept("gateway tokens", error);
        None
    });
    let keys = store.map(Store::open_keys).transpose().unwrap_or_else(|error| {
        kept("stored provider keys", error);
        None
    });
    let gateways = store.map(Store::gateways).transpose().unwrap_or_else(|error| {
        kept("gateways created at run time", error);
        None
    });
    let block = &settings.file.gateway;
    let parts = SnapshotParts {
        providers: providers(settings)?,
        gateways: gateway_settings(settings, gateways.unwrap_or_default(), dev, &mut warnings),
        accounts: block.accounts.clone(),
        tokens: tokens.unwrap_or_default().into_iter().filter(|token| token.revoked_at_ms.is_none()).map(token).collect(),
        stored_keys: keys.unwrap_or_default().into_iter().map(|(row, secret)| Key {
            source: format!("stored:{}", row.alias),
            provider: row.provider,
            alias: row.alias,
            gateway: row.gateway,
            secret,
        }).collect(),
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
    Providers::with(&settings.file.models.providers).map_err(problems)
}

fn token(row: genesis_store::TokenRow) -> Token {
    Token {
        id: row.id,
        hash: row.hash,
        run: row.permissions.run,
        read: row.permissions.read,
        edit: row.permissions.edit,
        gateways: row.gateways,
        expires_at_ms: row.expires_at_ms,
    }
}

/// The file's gateways come before those created at run time.
fn gateway_settings(
    settings: &Settings,
    created: Vec<(String, String, serde_json::Value)>,
    dev: Option<&DevMode>,
    warnings: &mut Vec<String>,
) -> Vec<GatewaySettings> {
    let mut gateways = settings.file.gateway.gateways.clone();
    for (_, id, value) in created {
        if gateways.contains_key(&id) {
            continue;
        }
        match serde_json::from_value::<GatewaySettings>(value) {
            Ok(mut gateway) => {
                gateway.id.clone_from(&id);
                gateways.insert(id, gateway);
            }
            Err(error) => warnings.push(format!("the settings of gateway `{id}` cannot be read: {error}")),
        }
    }
    if let Some(dev) = dev {
        for id in dev.gateways.iter().map(String::as_str).chain(["default"]) {
            gateways.entry(id.to_owned()).or_insert_with(|| GatewaySettings { id: id.to_owned(), ..Default::default() });
        }
        for gateway in gateways.values_mut() {
            gateway.authentication = false;
        }
    }
    gateways.into_values().collect()
}
