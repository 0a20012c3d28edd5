//! Deciding what is called: from what a client asks to a [`Call`](crate::exchange::Call) ready to be made. Nothing is
//! sent or counted here, so that `explain` can decide as an exchange does.

use bytes::Bytes;
use genesis_config::{Auth, GatewaySettings, Provider};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use uuid::Uuid;

use crate::admit::{Caller, unauthorized};
use crate::credential::{self, Asking, Credential};
use crate::exchange::{ByPath, Call};
use crate::failure::Failure;
use crate::options::Options;
use crate::plan::{self, Target};
use crate::realtime;
use crate::receipt::Receipt;
use crate::retry::Policy;
use crate::snapshot::{ProviderSetup, Snapshot};
use crate::upstream::Outgoing;

/// With what it is decided. How: by path here, by model in `unified`.
pub(crate) struct Planning<'x, 'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) account: &'x str,
    pub(crate) gateway: &'x GatewaySettings,
    pub(crate) options: &'x Options,
    /// The exchange's.
    pub(crate) id: Uuid,
    pub(crate) notes: &'x mut dyn Notes,
}

impl<'a> Planning<'_, 'a> {
    /// On a provider's own path: nothing is translated. The body is still to be put in.
    pub(crate) fn call_by_path(&mut self, caller: &Caller, by_path: ByPath<'_>) -> Result<Call<'a>, Failure> {
        let ByPath { provider: slug, rest, query, key_in_query, method, mut headers } = by_path;
        let (snapshot, account) = (self.snapshot, self.account);
        let (provider, setup) = self.provider(slug, rest, caller)?;
        let handshake_query;
        let (mut rest, mut query) = (rest, query);
        if realtime::is_handshake(&method, &headers) {
            (rest, handshake_query) = self.realtime(provider, rest, query.map(str::to_owned), &mut headers);
            query = handshake_query.as_deref();
        }
        let target = plan::target(snapshot, provider, setup, account, rest, query, &headers)?;
        let asking = self.asking(caller);
        let credential = credential::choose(&asking, provider, setup, &mut headers, key_in_query)?;
        self.notes.authorised(&credential, &headers, target.simulated);
        self.notes.planned(&target, None, false);
        Ok(Call {
            setup,
            target,
            method,
            headers,
            credential,
            body: Outgoing::Whole(Bytes::new()),
            place: setup.is_in_pool().then(|| (rest.to_owned(), query.map(str::to_owned))),
            policy: Policy::of(self.options, self.gateway),
            translation: None,
            dropped: Vec::new(),
            enveloped: false,
        })
    }

    /// Where a provider's WebSockets are, with the client's key in the header the provider wants.
    fn realtime<'r>(
        &mut self,
        provider: &'r Provider,
        rest: &'r str,
        query: Option<String>,
        headers: &mut HeaderMap,
    ) -> (&'r str, Option<String>) {
        let mut query = query;
        if let Auth::Header { name, prefix } = &provider.auth {
            let (rest, key) = realtime::take_key(query);
            query = rest;
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = HeaderValue::from_str(&format!("{prefix}{}", key.as_deref().unwrap_or_default()));
            if let (true, Ok(name), Ok(mut value)) = (key.is_some(), name, value) {
                value.set_sensitive(true);
                headers.entry(name).or_insert(value);
            }
        }
        let mut pairs = query.iter().flat_map(|query| query.split('&'));
        if let Some(model) = pairs.find_map(|pair| pair.strip_prefix("model=")) {
            self.notes.asked_for(model);
        }
        (realtime::path(provider, rest), query)
    }

    /// A provider by its slug, if it can be called and this caller may do so. From here on the log names it.
    pub(crate) fn provider(
        &mut self,
        slug: &str,
        path: &str,
        caller: &Caller,
    ) -> Result<(&'a Provider, &'a ProviderSetup), Failure> {
        let snapshot: &'a Snapshot = self.snapshot;
        let found = snapshot.provider(slug);
        let (_, setup) = found.ok_or_else(|| plan::unknown_provider(snapshot, slug))?;
        let setup = setup.pick(None);
        let provider = setup.provider();
        self.notes.addressed(&provider.slug, path);
        if setup.simulated {
            return Ok((provider, setup));
        }
        if let Some(unresolved) = &setup.unresolved {
            return Err(Failure::misconfigured(unresolved.clone()));
        }
        if setup.carries_secrets() && !caller.may_use_keys() {
            return Err(unauthorized(format!("provider {slug} is open to authenticated callers only")));
        }
        Ok((provider, setup))
    }

    pub(crate) fn asking<'s>(&'s self, caller: &'s Caller) -> Asking<'s> {
        Asking { keys: &self.snapshot.keys, gateway: self.gateway, caller, options: self.options }
    }
}

/// Whoever is told what was decided, as far as it came.
pub(crate) trait Notes {
    fn addressed(&mut self, provider: &str, path: &str);
    fn asked_for(&mut self, model: &str);
    fn dropped(&mut self, names: &[String]);
    fn planned(&mut self, target: &Target, model: Option<&str>, stream: bool);
    fn authorised(&mut self, credential: &Credential, headers: &HeaderMap, simulated: bool);
}

impl Notes for Receipt {
    fn addressed(&mut self, provider: &str, path: &str) {
        self.addressed(provider, path);
    }

    fn asked_for(&mut self, model: &str) {
        self.asked_for(model);
    }

    fn dropped(&mut self, names: &[String]) {
        self.dropped(names);
    }

    fn planned(&mut self, target: &Target, model: Option<&str>, stream: bool) {
        self.planned(target, model, stream);
    }

    fn authorised(&mut self, credential: &Credential, headers: &HeaderMap, simulated: bool) {
        self.authorised(credential, headers, simulated);
    }
}
