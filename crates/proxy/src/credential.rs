//! Which credential the provider sees, and where it came from.
//!
//! In order: the client's own key, forwarded untouched; a stored key under the alias asked for, `default` if none
//! was; none, and the provider's own refusal is the answer.

mod aws;
mod google;
mod stored;

use std::sync::Arc;

use genesis_config::{Auth, GatewaySettings, Provider, Secret};
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

pub(crate) use self::aws::{AwsKey, SignedRequest};
pub(crate) use self::google::GoogleKey;
use self::stored::Form;
pub(crate) use self::stored::{StoredKey, StoredKeys};

use crate::admit::{Caller, bare, unauthorized};
use crate::failure::{Code, Failure};
use crate::limit::Rule;
use crate::options::Options;
use crate::snapshot::{ProviderSetup, attaches_keys};
use crate::upstream::Answer;

const DEFAULT_ALIAS: &str = "default";
/// Source of a key that came with the request.
const OWN: &str = "request";

/// What is attached to a call.
#[derive(Clone)]
pub(crate) enum Credential {
    None,
    /// The client's own, already among its headers (or in the query).
    Request,
    Header(HeaderName, HeaderValue, Arc<StoredKey>),
    Aws(Arc<StoredKey>),
    Google(Arc<StoredKey>),
}

impl Credential {
    /// Whether it is the same stored key, or none either time.
    pub(crate) fn same(&self, other: &Self) -> bool {
        match (self.key(), other.key()) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    pub(crate) fn key(&self) -> Option<&Arc<StoredKey>> {
        match self {
            Self::None | Self::Request => None,
            Self::Header(_, _, key) | Self::Aws(key) | Self::Google(key) => Some(key),
        }
    }

    /// Where its key belongs, for providers that tell by the key.
    pub(crate) fn region(&self) -> Option<&str> {
        self.key()?.region()
    }

    /// The project of a service account.
    pub(crate) fn project(&self) -> Option<&str> {
        self.key()?.project()
    }

    /// How often its key may be used.
    pub(crate) fn rate(&self) -> Option<&Rule> {
        self.key()?.rate()
    }

    /// What the log says about it.
    pub(crate) fn source(&self) -> &str {
        match self {
            Self::None => "none",
            Self::Request => OWN,
            Self::Header(_, _, key) | Self::Aws(key) | Self::Google(key) => key.source(),
        }
    }

    /// Learns from an answer how its key fares.
    pub(crate) fn heard(&self, outcome: &Result<Answer, Failure>) {
        if let Some(key) = self.key() {
            key.heard(outcome);
        }
    }
}

/// For whom a credential is chosen.
pub(crate) struct Asking<'a> {
    pub(crate) keys: &'a StoredKeys,
    pub(crate) gateway: &'a GatewaySettings,
    pub(crate) caller: &'a Caller,
    pub(crate) options: &'a Options,
}

/// Chooses the credential for one call. `in_query` says that the client brought its key in the query.
pub(crate) fn choose(
    asking: &Asking<'_>,
    provider: &Provider,
    setup: &ProviderSetup,
    headers: &mut HeaderMap,
    in_query: bool,
) -> Result<Credential, Failure> {
    let Asking { keys, gateway, caller, options } = asking;
    if !attaches_keys(provider) {
        // What stands behind this provider keeps the keys itself; a key here would only displace its own.
        for slot in &setup.key_slots {
            headers.remove(slot);
        }
        return Ok(Credential::None);
    }
    if let Some(slot) = setup.key_slots.iter().find(|slot| headers.contains_key(*slot)) {
        return Ok(own_service_account(provider, slot, headers).unwrap_or(Credential::Request));
    }
    if in_query {
        return Ok(Credential::Request);
    }
    let alias = options.byok_alias.as_deref().unwrap_or(DEFAULT_ALIAS);
    let shared = if options.byok_alias.is_none() { keys.pick(&gateway.id, provider) } else { None };
    let Some(key) = shared.or_else(|| keys.find(&gateway.id, &provider.slug, alias)) else {
        return absent(gateway, provider, options);
    };
    if !caller.may_use_keys() {
        return Err(unauthorized(format!(
            "stored keys are attached for authenticated callers only: send `cf-aig-authorization: Bearer <token>`, \
             or bring your own key for {}",
            provider.slug
        )));
    }
    key.attached().map_err(|why| {
        Failure::misconfigured(format!(
            "the stored key `{alias}` for {} cannot be used: {why}; replace it with `genesis key set {}`",
            provider.slug, provider.slug
        ))
    })
}

/// The client's own key on a unified surface: wherever it stands, it is presented as the provider wants it.
pub(crate) fn own_key(provider: &Provider, headers: &HeaderMap) -> Option<Credential> {
    if !attaches_keys(provider) {
        return None; // what stands behind this provider keeps the keys itself
    }
    let slots = ["authorization", "x-api-key", "x-goog-api-key", "api-key"];
    let text = slots.iter().find_map(|slot| headers.get(*slot)?.to_str().ok()).map(bare)?;
    if let Some(key) =
        GoogleKey::from_base64(text).filter(|_| matches!(provider.auth, Auth::GoogleServiceAccount))
    {
        return Some(Credential::Google(StoredKey::own(provider, Form::Google(key), text)));
    }
    let form = Form::of(&Secret::from(text.to_owned()), &provider.auth);
    StoredKey::own(provider, form, text).attached().ok()
}

fn absent(gateway: &GatewaySettings, provider: &Provider, options: &Options) -> Result<Credential, Failure> {
    if let Some(alias) = &options.byok_alias {
        return Err(Failure::refused(
            StatusCode::BAD_REQUEST,
            Code::UnknownAlias,
            "BYOK alias not found",
            format!(
                "no key for {} is stored under this alias; `genesis key set {} --alias {}` stores one",
                provider.slug,
                provider.slug,
                alias.chars().filter(|c| c.is_ascii_graphic()).take(64).collect::<String>()
            ),
        ));
    }
    if (gateway.byok_only || options.no_wholesale) && !matches!(provider.auth, Auth::None) {
        return Err(Failure::refused(
            StatusCode::BAD_REQUEST,
            Code::Unauthorized,
            "Provider credentials required",
            format!(
                "no key for {} came with the request and none is stored; `genesis key set {}` stores one",
                provider.slug, provider.slug
            ),
        ));
    }
    Ok(Credential::None)
}

/// Vertex clients may send a service account in place of a token: `[Bearer ]base64({…})`.
fn own_service_account(
    provider: &Provider,
    slot: &HeaderName,
    headers: &mut HeaderMap,
) -> Option<Credential> {
    if !matches!(provider.auth, Auth::GoogleServiceAccount) {
        return None;
    }
    let slot_value = headers.get(slot)?.clone();
    let text = bare(slot_value.to_str().ok()?);
    let key = GoogleKey::from_base64(text)?;
    headers.remove(slot);
    Some(Credential::Google(StoredKey::own(provider, Form::Google(key), text)))
}
