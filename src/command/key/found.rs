//! All keys the gateway could attach, wherever they are, and which of them it does.

use std::fmt;
use std::num::NonZeroU32;

use genesis_config::{Environment, ExposeSecret, Provider, ProviderAuth, Providers};
use genesis_store::KeyRow;
use serde::{Serialize, Serializer};

use super::DEFAULT_ALIAS;
use crate::render;

/// A key and whether it is the one attached under its alias.
#[derive(Serialize)]
pub(super) struct Found {
    pub(super) provider: String,
    pub(super) alias: String,
    pub(super) gateway: Option<String>,
    /// `stored`, `environment` or `config`.
    pub(super) source: &'static str,
    /// Which variable and where it was found, or which entry of the file.
    pub(super) origin: Option<String>,
    pub(super) preview: String,
    /// How often it may be used; `None`: as often as its provider allows.
    pub(super) rate: Option<Rate>,
    #[serde(rename = "modified_at", serialize_with = "as_iso")]
    pub(super) modified_at_ms: Option<i64>,
    used: bool,
    /// Why it is not used.
    pub(super) unused: Option<String>,
}

/// So many attempts in so many seconds.
#[derive(Serialize)]
pub(super) struct Rate {
    limit: NonZeroU32,
    seconds: NonZeroU32,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} per {} s", self.limit, self.seconds)
    }
}

impl Found {
    pub(super) fn is(&self, row: &KeyRow) -> bool {
        self.source == "stored"
            && self.provider == row.provider
            && self.alias == row.alias
            && self.gateway == row.gateway
    }

    /// A key for alias `default` and all gateways.
    fn new(slug: &str, source: &'static str, preview: String, unused: Option<String>) -> Self {
        Self {
            provider: slug.to_owned(),
            alias: DEFAULT_ALIAS.to_owned(),
            gateway: None,
            source,
            origin: None,
            preview,
            rate: None,
            modified_at_ms: None,
            used: unused.is_none(),
            unused,
        }
    }
}

/// All keys by provider, and for each in the order in which they win: environment, store, configuration file. A stored
/// key for one gateway alone comes before all others there.
pub(super) fn found_keys(stored: &[KeyRow], providers: &Providers, environment: &Environment) -> Vec<Found> {
    let mut slugs: Vec<&str> = providers.iter().map(|provider| provider.slug.as_str()).collect();
    slugs.extend(stored.iter().map(|row| row.provider.as_str()));
    slugs.sort_unstable();
    slugs.dedup();
    let mut keys = Vec::new();
    for slug in slugs {
        let stored = stored.iter().filter(|row| row.provider == slug);
        match providers.find(slug) {
            Some(provider) => of_provider(provider, stored, environment, &mut keys),
            None => {
                let unused = || Some("there is no provider of this name".to_owned());
                keys.extend(stored.map(|row| kept(row, unused())));
            }
        }
    }
    keys
}

fn of_provider<'a>(
    provider: &Provider,
    stored: impl Iterator<Item = &'a KeyRow>,
    environment: &Environment,
    keys: &mut Vec<Found>,
) {
    let slug = &provider.slug;
    let refused = matches!(provider.provider_auth, ProviderAuth::Stored)
        .then(|| "providerAuth is `stored`: no key is sent to this provider".to_owned());
    // What is used for alias `default` on every gateway that has no key of its own.
    let mut first: Option<String> = None;
    let beaten = |first: &Option<String>| first.as_ref().map(|first| format!("{first} comes first"));

    if let Some((name, found_in)) = in_environment(provider, environment) {
        let value = environment.lookup(name).map(|(value, _)| preview(value.expose_secret()));
        let origin = format!("{name} ({found_in})");
        let key = Found::new(slug, "environment", value.unwrap_or_default(), refused.clone());
        keys.push(Found { origin: Some(origin.clone()), ..key });
        first = Some(origin);
    }
    for row in stored {
        let contested = row.alias == DEFAULT_ALIAS && row.gateway.is_none();
        let unused = refused.clone().or_else(|| beaten(&first).filter(|_| contested));
        keys.push(kept(row, unused));
        if contested {
            first.get_or_insert_with(|| "the stored key".to_owned());
        }
    }
    if let Some(written) = &provider.api_key {
        let (shown, unresolved) = match environment.substitute(written.expose_secret()) {
            Ok(value) => (preview(value.expose_secret()), None),
            Err(error) => (render::NONE.to_owned(), Some(error.to_string())),
        };
        let unused = refused.or(unresolved).or_else(|| beaten(&first));
        let origin = Some(format!("models.providers.{slug}.apiKey"));
        keys.push(Found { origin, ..Found::new(slug, "config", shown, unused) });
    }
}

fn kept(row: &KeyRow, unused: Option<String>) -> Found {
    Found {
        alias: row.alias.clone(),
        gateway: row.gateway.clone(),
        rate: row.options.rate().map(|(limit, seconds)| Rate { limit, seconds }),
        modified_at_ms: Some(row.modified_at_ms),
        ..Found::new(&row.provider, "stored", row.preview.clone(), unused)
    }
}

fn as_iso<S: Serializer>(ms: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    ms.map(render::iso).serialize(serializer)
}

/// The variable that holds a key for this provider, and where it was found.
pub(super) fn in_environment<'a>(
    provider: &'a Provider,
    environment: &Environment,
) -> Option<(&'a str, genesis_config::Source)> {
    provider.env.iter().find_map(|name| Some((name.as_str(), environment.lookup(name)?.1)))
}

/// As the store shows its keys: too little to be of use to anybody else.
fn preview(key: &str) -> String {
    let characters: Vec<char> = key.trim().chars().collect();
    match characters.len() {
        ..20 => "…".to_owned(),
        length => characters[..3].iter().chain(&['…']).chain(&characters[length - 4..]).collect(),
    }
}
