//! What is said of one call.

use genesis_config::Price;
use genesis_wire::Dialect;
use http::{HeaderMap, Uri};
use serde::Serialize;

use super::{Refusal, Situation};
use crate::cache;
use crate::credential::Credential;
use crate::exchange::{Call, now_ms};
use crate::failure::Failure;
use crate::limit::{Applicant, By, Gate, Refused};
use crate::plan::Target;
use crate::planning::Notes;
use crate::realtime::is_handshake;
use crate::receipt::masked_query;
use crate::upstream::Outgoing;

/// One upstream call as it would be made.
#[derive(Debug, Default, Serialize)]
pub struct ExplainedCall {
    pub provider: String,
    /// Empty if neither path nor body name one.
    pub model: String,
    /// Keys in its query are masked.
    pub url: Option<String>,
    /// `genesis dev` would answer it from the simulator.
    pub simulated: bool,
    /// What the client speaks, where that is known.
    pub client_dialect: Option<Dialect>,
    pub provider_dialect: Option<Dialect>,
    pub translated: bool,
    /// What the translation cannot carry.
    pub dropped: Vec<String>,
    pub credential: Option<ExplainedCredential>,
    pub attempts: Option<Attempts>,
    /// `None`: the cache has no part in it.
    pub cache: Option<ExplainedCache>,
    /// The limits it falls under, in words.
    pub limits: Vec<String>,
    pub cost: Option<ExplainedCost>,
    /// Why it would not be made. Of limits: even if nothing was used of them yet.
    pub refusal: Option<Refusal>,
}

/// Which credential the provider would see.
#[derive(Debug, Serialize)]
pub struct ExplainedCredential {
    /// `request`, `environment`, `stored:<alias>`, `config` or `none`.
    pub source: String,
    pub why: String,
    /// Sources of keys that would be used if this one were not there.
    pub stands_before: Vec<String>,
}

/// How often and how long it would be tried; in milliseconds.
#[derive(Debug, Serialize)]
pub struct Attempts {
    pub most: u32,
    pub delay_ms: u64,
    /// `constant`, `linear` or `exponential`.
    pub backoff: String,
    pub connect_ms: u64,
    /// Of the first attempt.
    pub first_byte_ms: u64,
    /// Between two pieces of the answer.
    pub idle_ms: u64,
}

#[derive(Debug, Serialize)]
pub struct ExplainedCache {
    /// SHA-256, in hexadecimal digits.
    pub key: String,
    pub ttl_seconds: u64,
}

/// What it may cost, in nano-USD.
#[derive(Debug, Serialize)]
pub struct ExplainedCost {
    /// One attempt; `None` if nobody can say.
    pub most_nano_usd: Option<u64>,
    /// What a budget would set aside: an attempt that fails may be billed all the same.
    pub reserved_nano_usd: Option<u64>,
    /// Why there is no bound.
    pub unknown: Option<&'static str>,
}

/// What planning tells, whether or not it comes to a call.
#[derive(Default)]
pub(super) struct Seen {
    provider: String,
    model: String,
    dropped: Vec<String>,
    /// Its body is passed on while it arrives.
    streamed: bool,
}

impl Seen {
    /// `streamed`: the body is passed on while it arrives.
    pub(super) fn of(streamed: bool) -> Self {
        Self { streamed, ..Self::default() }
    }
}

impl Notes for Seen {
    fn addressed(&mut self, provider: &str, _path: &str) {
        provider.clone_into(&mut self.provider);
    }

    fn asked_for(&mut self, model: &str) {
        model.clone_into(&mut self.model);
    }

    fn dropped(&mut self, names: &[String]) {
        self.dropped.extend_from_slice(names);
    }

    fn planned(&mut self, target: &Target, model: Option<&str>, _stream: bool) {
        if let Some(model) = model.or(target.model.as_deref()) {
            model.clone_into(&mut self.model);
        }
    }

    fn authorised(&mut self, _credential: &Credential, _headers: &HeaderMap, _simulated: bool) {}
}

impl Situation<'_> {
    pub(super) fn explained(
        &self,
        seen: Seen,
        planned: Result<Call<'_>, Failure>,
        client: Option<Dialect>,
        gates: &[Gate],
    ) -> Result<ExplainedCall, Refused> {
        let Seen { provider, model, dropped, streamed } = seen;
        let mut told = ExplainedCall { provider, model, dropped, ..ExplainedCall::default() };
        told.client_dialect = client;
        match planned {
            Ok(call) => self.describe(&mut told, &call, streamed, gates)?,
            Err(failure) => told.refusal = Some(Refusal::from(&failure)),
        }
        Ok(told)
    }

    fn describe(
        &self,
        told: &mut ExplainedCall,
        call: &Call<'_>,
        streamed: bool,
        gates: &[Gate],
    ) -> Result<(), Refused> {
        let target = &call.target;
        told.url = Some(masked(&target.url()));
        told.simulated = target.simulated;
        told.provider_dialect = target.dialect;
        told.translated = call.translation.is_some();
        told.client_dialect = told.client_dialect.or(target.dialect);
        told.credential = Some(self.credential(call));
        let (policy, patience) = (&call.policy, &self.snapshot.patience);
        told.attempts = Some(Attempts {
            most: if streamed { 1 } else { policy.attempts },
            delay_ms: millis(policy.delay),
            backoff: format!("{:?}", policy.backoff).to_lowercase(),
            connect_ms: millis(patience.connect),
            first_byte_ms: millis(policy.first_byte(1, patience.first_byte)),
            idle_ms: millis(patience.idle),
        });
        let cached =
            cache::planned(&self.options.cache, self.gateway, self.account, call).filter(|_| !streamed);
        told.cache = cached.map(|(key, ttl)| ExplainedCache {
            key: key.iter().map(|byte| format!("{byte:02x}")).collect(),
            ttl_seconds: ttl.as_secs(),
        });
        self.limits(told, call, streamed, gates)
    }

    fn credential(&self, call: &Call<'_>) -> ExplainedCredential {
        let provider = call.setup.provider();
        let source = if call.target.simulated { "none" } else { call.credential.source() };
        let alias = self.options.byok_alias.as_deref();
        let keys = self.snapshot.keys.sources(&self.gateway.id, &provider.slug, alias);
        let why = match source {
            _ if call.target.simulated => "the simulator answers, so none is needed".to_owned(),
            "request" => "the client brought its own, which comes before every stored one".to_owned(),
            "none" => format!("none came along and none is kept for {}", provider.slug),
            "environment" => format!("found in {}", provider.env.join(" or ")),
            "config" => format!("models.providers.{}.apiKey in genesis.json", provider.slug),
            _ => "kept by the gateway (`genesis key list`)".to_owned(),
        };
        // The chosen one stands once among the keys, if it is one of them.
        let mut others: Vec<String> = keys.into_iter().map(str::to_owned).collect();
        if let Some(own) = others.iter().position(|other| other == source) {
            others.remove(own);
        }
        ExplainedCredential { source: source.to_owned(), why, stands_before: others }
    }

    fn limits(
        &self,
        told: &mut ExplainedCall,
        call: &Call<'_>,
        streamed: bool,
        gates: &[Gate],
    ) -> Result<(), Refused> {
        let body = match &call.body {
            Outgoing::Whole(bytes) if !streamed && !is_handshake(&call.method, &call.headers) => {
                Some(&bytes[..])
            }
            _ => None,
        };
        let custom = self.options.custom_cost.as_deref().and_then(Price::custom);
        let model = told.model.clone();
        let applicant = Applicant {
            generation: self.snapshot.generation,
            token: self.caller.token_id.as_deref().unwrap_or_default(),
            identity: self.caller.identity.as_deref(),
            metadata: &self.options.metadata,
            provider: call.setup.provider(),
            dialect: call.target.dialect,
            model: Some(model.as_str()).filter(|model| !model.is_empty()),
            path: &call.target.path_and_query,
            body,
            custom: custom.as_ref(),
            attempts: if body.is_some() { call.policy.attempts } else { 1 },
            again: false,
            gates,
            key: call.credential.rate().filter(|_| !call.target.simulated),
        };
        told.model = applicant.model().unwrap_or_default().into_owned();
        let most = applicant.most_it_costs(&self.gateway.id, now_ms());
        told.cost = Some(ExplainedCost {
            most_nano_usd: most.ok(),
            reserved_nano_usd: most.ok().map(|most| most.saturating_mul(applicant.attempts.into())),
            unknown: most.err(),
        });
        match self.snapshot.limits_of(&self.gateway.id).map(|limits| limits.foresee(&applicant, now_ms())) {
            None => {}
            Some(Ok(limits)) => told.limits = limits,
            Some(Err(refused)) if matches!(refused.by, By::Gate(_)) => return Err(refused),
            Some(Err(refused)) => told.refusal = Some(Refusal::from(&refused.failure)),
        }
        Ok(())
    }
}

/// A URL without the keys in its query.
fn masked(url: &str) -> String {
    let Ok(uri) = url.parse::<Uri>() else { return url.split('?').next().unwrap_or_default().to_owned() };
    let origin = url.find("://").and_then(|at| url[at + 3..].find('/').map(|end| &url[..at + 3 + end]));
    format!("{}{}", origin.unwrap_or_default(), masked_query(&uri))
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
