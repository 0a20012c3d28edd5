//! Provider keys as they are held in memory, and whose turn it is among those that share a provider's load.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use genesis_config::{Auth, ExposeSecret, Provider, Providers, Secret};
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};

use super::{AwsKey, Credential, DEFAULT_ALIAS, GoogleKey, OWN};
use crate::failure::Failure;
use crate::health::now_ms;
use crate::limit::Rule;
use crate::snapshot::Key;
use crate::upstream::Answer;

/// How long a key of several is left alone once a provider refused it (401, 403), or when its quota is used up (429) and
/// the provider does not say for how long.
const REFUSED_REST: Duration = Duration::from_secs(60);
const USED_UP_REST: Duration = Duration::from_secs(10);
const LONGEST_REST: Duration = Duration::from_secs(300);

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
                rate: key.rate.map(|rate| Rule::of_key(&provider.slug, &rate)),
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
    pub(super) fn pick(&self, gateway: &str, provider: &Provider) -> Option<&Arc<StoredKey>> {
        self.pick_of(gateway, provider, |_| true)
    }

    fn pick_of(
        &self,
        gateway: &str,
        provider: &Provider,
        fits: impl Fn(&StoredKey) -> bool,
    ) -> Option<&Arc<StoredKey>> {
        if provider.key_aliases.is_empty() {
            return None;
        }
        let now = now_ms();
        let keys = provider.key_aliases.iter().filter_map(|alias| self.find(gateway, &provider.slug, alias));
        let usable = keys.filter(|key| !matches!(key.form, Form::Unusable(_)) && fits(key));
        let order = |key: &&Arc<StoredKey>| {
            let rests_until = key.turn.rests_until_ms.load(Relaxed);
            (if rests_until > now { rests_until } else { 0 }, key.turn.uses.load(Relaxed))
        };
        let picked = usable.min_by_key(order)?;
        picked.turn.uses.fetch_add(1, Relaxed);
        Some(picked)
    }

    /// Another key for the same call, none of `not`, if its key is of several that share the load. It goes to the same
    /// place: a key of another region or project does not fit there.
    pub(crate) fn another(
        &self,
        gateway: &str,
        provider: &Provider,
        credential: &Credential,
        not: &[Arc<StoredKey>],
    ) -> Option<Credential> {
        let key = credential.key()?;
        if !provider.key_aliases.contains(&key.alias) {
            return None;
        }
        let fits = |other: &StoredKey| {
            let tried = not.iter().any(|tried| std::ptr::eq(&**tried, other));
            !tried && other.region() == key.region() && other.project() == key.project()
        };
        let other = self.pick_of(gateway, provider, fits)?;
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
    pub(super) fn find(&self, gateway: &str, provider: &str, alias: &str) -> Option<&Arc<StoredKey>> {
        let keys = self.by_provider.get(provider)?;
        let scoped = keys.iter().find(|key| key.alias == alias && key.gateway.as_deref() == Some(gateway));
        scoped.or_else(|| keys.iter().find(|key| key.alias == alias && key.gateway.is_none()))
    }
}

/// A key as it is held in memory, ready to be attached.
pub(crate) struct StoredKey {
    pub(crate) provider: String,
    alias: String,
    gateway: Option<String>,
    source: String,
    form: Form,
    rate: Option<Rule>,
    turn: Arc<Turn>,
    /// SHA-256 of its text: tells keys apart where none may be shown.
    identity: [u8; 32],
}

impl StoredKey {
    /// One the client brought.
    pub(super) fn own(provider: &Provider, form: Form, text: &str) -> Arc<Self> {
        Arc::new(Self {
            provider: provider.slug.clone(),
            alias: String::new(),
            gateway: None,
            source: OWN.to_owned(),
            form,
            rate: None,
            turn: Arc::default(),
            identity: identity(text),
        })
    }

    /// As it is attached to a call, or what keeps it from being used.
    pub(super) fn attached(self: &Arc<Self>) -> Result<Credential, &str> {
        match &self.form {
            Form::Header(name, value) => {
                Ok(Credential::Header(name.clone(), value.clone(), Arc::clone(self)))
            }
            Form::Aws(_) => Ok(Credential::Aws(Arc::clone(self))),
            Form::Google(_) => Ok(Credential::Google(Arc::clone(self))),
            Form::Unusable(why) => Err(why),
        }
    }

    pub(crate) fn is_the_clients_own(&self) -> bool {
        self.source == OWN
    }

    pub(crate) fn identity(&self) -> [u8; 32] {
        self.identity
    }

    /// The only gateway it is for.
    pub(crate) fn gateway(&self) -> Option<&str> {
        self.gateway.as_deref()
    }

    pub(crate) fn rate(&self) -> Option<&Rule> {
        self.rate.as_ref()
    }

    /// What the log says of where it comes from.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// The region an AWS key belongs to, or a service account says.
    pub(crate) fn region(&self) -> Option<&str> {
        match &self.form {
            Form::Aws(key) => Some(key.region()),
            Form::Google(key) => key.region(),
            Form::Header(..) | Form::Unusable(_) => None,
        }
    }

    /// The project of a service account.
    pub(crate) fn project(&self) -> Option<&str> {
        self.google()?.project()
    }

    /// Learns from an answer how it fares: one that is refused or used up is left alone for a while.
    pub(super) fn heard(&self, outcome: &Result<Answer, Failure>) {
        let Ok(answer) = outcome else { return };
        let rest = match answer.status.as_u16() {
            401 | 403 => REFUSED_REST,
            429 => crate::retry::asked_to_wait(&answer.headers).unwrap_or(USED_UP_REST).min(LONGEST_REST),
            _ => return,
        };
        let rest = u64::try_from(rest.as_millis()).unwrap_or(u64::MAX);
        self.turn.rests_until_ms.store(now_ms().saturating_add(rest), Relaxed);
    }

    pub(crate) fn google(&self) -> Option<&GoogleKey> {
        match &self.form {
            Form::Google(key) => Some(key),
            _ => None,
        }
    }

    pub(crate) fn aws(&self) -> Option<&AwsKey> {
        match &self.form {
            Form::Aws(key) => Some(key),
            _ => None,
        }
    }
}

pub(super) enum Form {
    Header(HeaderName, HeaderValue),
    Aws(AwsKey),
    Google(GoogleKey),
    /// The sentence says what is wrong with it, without showing it.
    Unusable(String),
}

impl Form {
    pub(super) fn of(secret: &Secret, auth: &Auth) -> Self {
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

/// Whose turn it is among keys that share the load.
#[derive(Debug, Default)]
struct Turn {
    uses: AtomicU64,
    rests_until_ms: AtomicU64,
}

fn identity(secret: &str) -> [u8; 32] {
    genesis_store::token_hash(secret.as_bytes())
}
