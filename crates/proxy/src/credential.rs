//! Which credential the provider sees, and where it came from.
//!
//! In order: the client's own key, forwarded untouched; a stored key under the alias asked for, `default` if none
//! was; none, and the provider's own refusal is the answer.

mod aws;
mod google;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use genesis_config::{Auth, ExposeSecret, GatewaySettings, Provider, Providers, Secret};
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

pub(crate) use aws::{AwsKey, SignedRequest};
pub(crate) use google::GoogleKey;

use crate::admit::{Caller, bare, unauthorized};
use crate::failure::{Code, Failure};
use crate::health::now_ms;
use crate::options::Options;
use crate::snapshot::{Key, ProviderSetup, attaches_keys};
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
    Google(GoogleKey, String),
}

impl Credential {
    /// The region an AWS key belongs to, or a service account says.
    pub(crate) fn region(&self) -> Option<&str> {
        match self {
            Self::Aws(key) => key.aws().map(AwsKey::region),
            Self::Google(key, _) => key.region(),
            _ => None,
        }
    }

    /// The project of a service account.
    pub(crate) fn project(&self) -> Option<&str> {
        match self {
            Self::Google(key, _) => key.project(),
            _ => None,
        }
    }

    /// What the log says about it.
    pub(crate) fn source(&self) -> &str {
        match self {
            Self::None => "none",
            Self::Request => "request",
            Self::Header(_, _, key) | Self::Aws(key) => &key.source,
            Self::Google(_, source) => source,
        }
    }

    /// Learns from an answer how its key fares: one that is refused or used up is left alone for a while.
    pub(crate) fn heard(&self, outcome: &Result<Answer, Failure>) {
        let (Self::Header(_, _, key) | Self::Aws(key), Ok(answer)) = (self, outcome) else { return };
        let rest = match answer.status.as_u16() {
            401 | 403 => REFUSED_REST,
            429 => crate::retry::asked_to_wait(&answer.headers).unwrap_or(USED_UP_REST).min(LONGEST_REST),
            _ => return,
        };
        key.turn.rests_until_ms.store(now_ms() + millis(rest), Relaxed);
    }
}

/// How long a key of several is left alone once a provider refused it (401, 403), or when its quota is used up (429) and
/// the provider does not say for how long.
const REFUSED_REST: Duration = Duration::from_secs(60);
const USED_UP_REST: Duration = Duration::from_secs(10);
const LONGEST_REST: Duration = Duration::from_secs(300);

/// Whose turn it is among keys that share the load.
#[derive(Debug, Default)]
struct Turn {
    uses: AtomicU64,
    rests_until_ms: AtomicU64,
}

/// A key as it is held in memory, ready to be attached.
pub(crate) struct StoredKey {
    pub(crate) provider: String,
    alias: String,
    gateway: Option<String>,
    source: String,
    form: Form,
    turn: Arc<Turn>,
    /// SHA-256 of its text: tells keys apart where none may be shown.
    identity: [u8; 32],
}

enum Form {
    Header(HeaderName, HeaderValue),
    Aws(AwsKey),
    Google(GoogleKey),
    /// The sentence says what is wrong with it, without showing it.
    Unusable(String),
}

/// All stored keys; the earlier of two that fit is the one used.
#[derive(Default)]
pub(crate) struct StoredKeys {
    by_provider: HashMap<String, Vec<Arc<StoredKey>>>,
}

impl StoredKeys {
    pub(crate) fn new(keys: Vec<Key>, providers: &Providers) -> Self {
        let mut by_provider: HashMap<String, Vec<Arc<StoredKey>>> = HashMap::new();
        for key in keys {
            let Some(provider) = providers.find(&key.provider) else { continue };
            let form = Form::of(&key.secret, &provider.auth);
            by_provider.entry(provider.slug.clone()).or_default().push(Arc::new(StoredKey {
                provider: provider.slug.clone(),
                alias: key.alias,
                gateway: key.gateway,
                source: key.source,
                form,
                turn: Arc::default(),
                identity: identity(key.secret.expose_secret()),
            }));
        }
        Self { by_provider }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &StoredKey> {
        self.by_provider.values().flatten().map(AsRef::as_ref)
    }

    /// Of the aliases that share a provider's load, the one that was used least and does not rest.
    fn pick(&self, gateway: &str, provider: &Provider) -> Option<&Arc<StoredKey>> {
        if provider.key_aliases.is_empty() {
            return None;
        }
        let now = now_ms();
        let keys = provider.key_aliases.iter().filter_map(|alias| self.find(gateway, &provider.slug, alias));
        let usable = keys.filter(|key| !matches!(key.form, Form::Unusable(_)));
        let order = |key: &&Arc<StoredKey>| {
            let rests_until = key.turn.rests_until_ms.load(Relaxed);
            (if rests_until > now { rests_until } else { 0 }, key.turn.uses.load(Relaxed))
        };
        let picked = usable.min_by_key(order)?;
        picked.turn.uses.fetch_add(1, Relaxed);
        Some(picked)
    }

    /// Another key for the next attempt, if this one is of several that share the load.
    pub(crate) fn another(
        &self,
        gateway: &str,
        provider: &Provider,
        credential: &Credential,
    ) -> Option<Credential> {
        let (Credential::Header(_, _, key) | Credential::Aws(key)) = credential else { return None };
        if !provider.key_aliases.contains(&key.alias) {
            return None;
        }
        let other = self.pick(gateway, provider)?;
        if Arc::ptr_eq(other, key) { None } else { other.attached().ok() }
    }

    /// Takes over what `previous` knows of keys that are still there.
    pub(crate) fn inherit(&mut self, previous: &Self) {
        for (provider, keys) in &mut self.by_provider {
            for key in keys.iter_mut().filter_map(Arc::get_mut) {
                let known = previous.by_provider.get(provider).into_iter().flatten();
                let mut same = known.filter(|known| known.alias == key.alias && known.gateway == key.gateway);
                if let Some(known) = same.next() {
                    key.turn = Arc::clone(&known.turn);
                }
            }
        }
    }

    /// Where every key comes from that a gateway may attach under an alias, the one that wins first.
    pub(crate) fn sources(&self, gateway: &str, provider: &str, alias: Option<&str>) -> Vec<&str> {
        let alias = alias.unwrap_or(DEFAULT_ALIAS);
        let keys = self.by_provider.get(provider).into_iter().flatten().filter(|key| key.alias == alias);
        let (scoped, open): (Vec<_>, Vec<_>) = keys
            .filter(|key| key.gateway.as_deref().is_none_or(|own| own == gateway))
            .partition(|key| key.gateway.is_some());
        scoped.into_iter().chain(open).map(|key| key.source.as_str()).collect()
    }

    /// One for this gateway alone comes before one for all.
    fn find(&self, gateway: &str, provider: &str, alias: &str) -> Option<&Arc<StoredKey>> {
        let keys = self.by_provider.get(provider)?;
        let scoped = keys.iter().find(|key| key.alias == alias && key.gateway.as_deref() == Some(gateway));
        scoped.or_else(|| keys.iter().find(|key| key.alias == alias && key.gateway.is_none()))
    }
}

impl Form {
    fn of(secret: &Secret, auth: &Auth) -> Self {
        let text = secret.expose_secret().trim();
        match auth {
            Auth::None => Self::Unusable("this provider takes no key".to_owned()),
            Auth::Header { name, prefix } => Self::header(name, prefix, text),
            Auth::AwsSigV4 if text.starts_with('{') => {
                AwsKey::read(text).map_or_else(Self::Unusable, Self::Aws)
            }
            Auth::AwsSigV4 => Self::header(AUTHORIZATION.as_str(), "Bearer ", text),
            Auth::GoogleServiceAccount if text.starts_with('{') => {
                GoogleKey::read(text).map_or_else(Self::Unusable, Self::Google)
            }
            Auth::GoogleServiceAccount => Self::header(AUTHORIZATION.as_str(), "Bearer ", text),
        }
    }

    fn header(name: &str, prefix: &str, secret: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_str(&format!("{prefix}{secret}"));
        match (name, value) {
            (Ok(name), Ok(mut value)) if !secret.is_empty() => {
                value.set_sensitive(true);
                Self::Header(name, value)
            }
            _ => Self::Unusable("it is empty or holds characters a header cannot carry".to_owned()),
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
        return Some(Credential::Google(key, "request".to_owned()));
    }
    let key = StoredKey {
        provider: provider.slug.clone(),
        alias: String::new(),
        gateway: None,
        source: OWN.to_owned(),
        form: Form::of(&Secret::from(text.to_owned()), &provider.auth),
        turn: Arc::default(),
        identity: identity(text),
    };
    Arc::new(key).attached().ok()
}

impl StoredKey {
    /// As it is attached to a call, or what keeps it from being used.
    fn attached(self: &Arc<Self>) -> Result<Credential, &str> {
        match &self.form {
            Form::Header(name, value) => {
                Ok(Credential::Header(name.clone(), value.clone(), Arc::clone(self)))
            }
            Form::Aws(_) => Ok(Credential::Aws(Arc::clone(self))),
            Form::Google(google) => Ok(Credential::Google(google.clone(), self.source.clone())),
            Form::Unusable(why) => Err(why),
        }
    }

    pub(crate) fn is_the_clients_own(&self) -> bool {
        self.source == OWN
    }

    pub(crate) fn identity(&self) -> [u8; 32] {
        self.identity
    }

    pub(crate) fn aws(&self) -> Option<&AwsKey> {
        match &self.form {
            Form::Aws(key) => Some(key),
            _ => None,
        }
    }
}

fn identity(secret: &str) -> [u8; 32] {
    genesis_store::token_hash(secret.as_bytes())
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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
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
    let key = GoogleKey::from_base64(bare(headers.get(slot)?.to_str().ok()?))?;
    headers.remove(slot);
    Some(Credential::Google(key, "request".to_owned()))
}
