//! Which credential a provider is called with, and where it was found.

use genesis_config::{Environment, ExposeSecret, Provider, ProviderAuth, Secret, Source};
use genesis_store::KeyRow;

use super::failure::{Cause, Failure};
use crate::home::{Home, Settings};

/// What a provider would be called with. `Display` names it in a few letters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Credential {
    /// The variable, and where it was found.
    Variable(String, Source),
    /// Sealed in the store.
    Stored,
    /// `apiKey` of the file.
    Config,
    /// A header of the file that can carry a key.
    Header(String),
    /// The gateway behind this provider holds the key: `providerAuth: "stored"`.
    Gateway,
    None,
}

impl Credential {
    pub(crate) fn is_found(&self) -> bool {
        *self != Self::None
    }

    /// The key's text; `None` if it is no key of its own.
    pub(super) fn secret(
        &self,
        provider: &Provider,
        home: &Home,
        settings: &Settings,
    ) -> Result<Option<Secret>, Failure> {
        match self {
            Self::Variable(name, _) => {
                Ok(settings.environment.lookup(name).map(|(secret, _)| secret.clone()))
            }
            Self::Config => {
                let written = provider.api_key.as_ref().map(ExposeSecret::expose_secret);
                Ok(written.and_then(|text| settings.environment.substitute(text).ok()))
            }
            Self::Stored => stored_secret(provider, home, settings).map(Some),
            Self::Header(_) | Self::Gateway | Self::None => Ok(None),
        }
    }
}

impl std::fmt::Display for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Variable(name, Source::Process) => write!(f, "env:{name}"),
            Self::Variable(name, Source::DotEnv) => write!(f, ".env:{name}"),
            Self::Variable(name, Source::CwdDotEnv) => write!(f, "./.env:{name}"),
            Self::Variable(name, Source::Block) => write!(f, "config env:{name}"),
            Self::Variable(name, Source::LoginShell) => write!(f, "shell:{name}"),
            Self::Stored => f.write_str("stored"),
            Self::Config => f.write_str("config"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Gateway => f.write_str("gateway"),
            Self::None => f.write_str("none"),
        }
    }
}

/// The credential that wins, in the order in which the gateway looks: environment, store, file.
pub(crate) fn credential(provider: &Provider, stored: &[KeyRow], environment: &Environment) -> Credential {
    if provider.provider_auth == ProviderAuth::Stored {
        return Credential::Gateway;
    }
    if let Some((name, _, source)) = environment.first(&provider.env) {
        return Credential::Variable(name.to_owned(), source);
    }
    if stored.iter().any(|row| is_default_of(row, provider)) {
        return Credential::Stored;
    }
    let written = provider.api_key.as_ref().map(ExposeSecret::expose_secret);
    if written.is_some_and(|text| environment.substitute(text).is_ok()) {
        return Credential::Config;
    }
    let mut headers = provider.headers.iter();
    let carries_key = |(name, text): &&(String, String)| {
        provider.key_slots.contains(&name.to_ascii_lowercase()) && environment.substitute(text).is_ok()
    };
    headers.find(carries_key).map_or(Credential::None, |(name, _)| Credential::Header(name.clone()))
}

fn is_default_of(row: &KeyRow, provider: &Provider) -> bool {
    row.provider == provider.slug && row.alias == "default" && row.gateway.is_none()
}

fn stored_secret(provider: &Provider, home: &Home, settings: &Settings) -> Result<Secret, Failure> {
    let opened = home
        .store_to_read(settings)
        .and_then(|store| Ok(store.map(|store| store.open_keys()).transpose()?.unwrap_or_default()))
        .map_err(|failed| Failure::of(Cause::Setup, failed))?;
    let found = opened.into_iter().find(|(row, _)| is_default_of(row, provider));
    found.map(|(_, secret)| secret).ok_or_else(|| {
        Failure::new(Cause::NoCredential, format!("the stored key for {} is gone", provider.slug))
    })
}
