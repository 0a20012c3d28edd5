//! Whether a call may be made: policies, rate limits, budgets. What it may use is taken before it is made, what it did not
//! use is given back when it is over.
//!
//! * `rules`: a gateway's limits as compiled from its settings
//! * `under`: which of them a call falls under, and what it asks of each
//! * `worst`: the most a call can cost
//! * `window`: time as limits see it
//! * `ledger`: the counters
//! * `limiter`: the ledgers of all gateways, and the thread that keeps their record
//! * `refusal`: what a refused caller is told
//! * `gate`: rate elements of dynamic routes
//! * `apply`: where the path of a request comes by
//! * `permit`: what a call holds while it is under way

mod apply;
mod gate;
mod ledger;
mod limiter;
mod permit;
mod refusal;
mod rules;
#[cfg(test)]
mod timing;
mod under;
mod window;
mod worst;

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use genesis_config::policy::{Asked as PolicyAsked, Cap, Decision, Policies};
use genesis_config::{GatewaySettings, Price, Provider};
use genesis_store::Identity;
use genesis_wire::{Dialect, peek};
use serde_json::Value;

pub(crate) use self::gate::Gate;
use self::ledger::{Ask, Ledger, Record};
pub use self::limiter::Limiter;
use self::limiter::Short;
use self::permit::Held;
pub(crate) use self::permit::{End, Fate, Permit};
pub(crate) use self::rules::Rule;
use self::rules::{Measure, Subject};
use self::under::Under;
use self::worst::{Worst, worst};
use crate::failure::Failure;

/// The limits of one gateway.
#[derive(Debug)]
pub(crate) struct GatewayLimits {
    gateway: String,
    rules: Vec<Rule>,
    policies: Policies,
    /// Something depends on the model, which may have to be looked for in the body.
    asks_for_model: bool,
    ledger: OnceLock<Arc<Ledger>>,
}

/// A call that asks to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Applicant<'a> {
    pub(crate) generation: u64,
    pub(crate) token: &'a str,
    pub(crate) identity: Option<&'a Identity>,
    pub(crate) metadata: &'a serde_json::Map<String, Value>,
    pub(crate) provider: &'a Provider,
    pub(crate) dialect: Option<Dialect>,
    /// As the path names it, or the unified API; else it is in the body.
    pub(crate) model: Option<&'a str>,
    pub(crate) path: &'a str,
    /// `None` if it is passed on while it arrives.
    pub(crate) body: Option<&'a [u8]>,
    pub(crate) custom: Option<&'a Price>,
    /// How often it may be made.
    pub(crate) attempts: u32,
    /// It takes the place of another call of the same request.
    pub(crate) again: bool,
    /// Elements of a dynamic route it came through.
    pub(crate) gates: &'a [Gate],
    /// How often the key it would be made with may be used.
    pub(crate) key: Option<&'a Rule>,
}

/// Why a call may not be made.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) failure: Failure,
    pub(crate) by: By,
}

/// Whose limit it is: what can be done instead depends on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum By {
    Gateway,
    /// Which of [`Applicant::gates`].
    Gate(usize),
    Key,
}

impl GatewayLimits {
    pub(crate) fn compile(settings: &GatewaySettings) -> Self {
        let (rules, policies) = (rules::compile(settings), Policies::compile(&settings.policies));
        let asks_for_model = !policies.is_empty() || rules.iter().any(Rule::asks_for_model);
        Self { gateway: settings.id.clone(), rules, policies, asks_for_model, ledger: OnceLock::new() }
    }

    /// The gateway itself limits nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.policies.is_empty()
    }

    /// Takes what the call may use, or refuses it. Waits only where something must be on record that is not yet.
    pub(crate) async fn admit(
        &self,
        limiter: &Limiter,
        applicant: &Applicant<'_>,
        now_ms: i64,
    ) -> Result<Permit, Refused> {
        let asks_for_model = self.asks_for_model || !applicant.gates.is_empty();
        let model = if asks_for_model { applicant.model() } else { None };
        let subject = applicant.subject(&self.gateway, model.as_deref());
        let caps = self.caps(&subject).map_err(Refused::by_gateway)?;
        let mut keys = String::with_capacity(256);
        let falls_under = self.falls_under(applicant, &subject, &caps, &mut keys);
        let costs = falls_under.iter().any(|under| under.limit.measure() == Measure::Cost);
        let worst = if costs { worst(&applicant.asked(&subject, now_ms)) } else { Worst::FREE };
        let mut asks = Vec::with_capacity(falls_under.len());
        for under in &falls_under {
            let ask = under.limit.ask(&keys[under.key.clone()], worst, applicant.attempts, &subject);
            asks.push(ask.map_err(|failure| Refused { failure, by: under.by })?);
        }
        let ledger = self.ledger(limiter);
        match limiter.take(ledger, &asks).await {
            Ok(holds) => {
                let held = falls_under.iter().zip(holds);
                let held =
                    held.map(|(under, hold)| Held { hold, measure: under.limit.measure(), by: under.by });
                Ok(Permit::new(Arc::clone(ledger), held.collect(), worst))
            }
            Err(Short::Refused { index, used, fits_in_ms }) => {
                let under = &falls_under[index];
                let failure = under.limit.exceeded(&subject, used, fits_in_ms, asks[index].needs);
                Err(Refused { failure, by: under.by })
            }
            Err(Short::Unrecorded(why)) => {
                // The first element that nobody can vouch for is gone around, and with it those behind it.
                let gate = |under: &&Under<'_>| {
                    matches!(under.by, By::Gate(_)) && under.limit.measure() == Measure::Cost
                };
                let by = falls_under.iter().find(gate).map_or(By::Gateway, |under| under.by);
                Err(Refused { failure: refusal::unrecorded(&why), by })
            }
        }
    }

    /// Uses a key once more, for a call that was admitted before. False if its rate does not allow it.
    pub(crate) async fn use_key(&self, limiter: &Limiter, rate: &Rule) -> bool {
        let ledger = self.ledger(limiter);
        let (key, rule) = (rate.key.as_str(), rate.key.len());
        let (window, limit, record) = (rate.window, rate.limit, Record::IfPossible);
        let ask = Ask { key, rule, window, limit, needs: 1, takes: 1, record };
        let taken = limiter.take(ledger, &[ask]).await;
        taken.iter().flatten().for_each(|hold| ledger.settle(hold, 1));
        taken.is_ok()
    }

    fn ledger(&self, limiter: &Limiter) -> &Arc<Ledger> {
        self.ledger.get_or_init(|| limiter.ledger(&self.gateway))
    }

    /// What [`GatewayLimits::admit`] would look at, and what it would say if nothing had been used yet. Takes nothing.
    pub(crate) fn foresee(&self, applicant: &Applicant<'_>, now_ms: i64) -> Result<Vec<String>, Refused> {
        let model = applicant.model();
        let subject = applicant.subject(&self.gateway, model.as_deref());
        let caps = self.caps(&subject).map_err(Refused::by_gateway)?;
        let mut keys = String::new();
        let falls_under = self.falls_under(applicant, &subject, &caps, &mut keys);
        let worst = worst(&applicant.asked(&subject, now_ms));
        for Under { limit, key, by } in &falls_under {
            let refused = |failure| Refused { failure, by: *by };
            let ask = limit.ask(&keys[key.clone()], worst, applicant.attempts, &subject).map_err(refused)?;
            if ask.needs > ask.limit {
                return Err(refused(limit.exceeded(&subject, 0, None, ask.needs)));
            }
        }
        Ok(falls_under.iter().map(|under| under.limit.described()).collect())
    }

    /// What policies say; their caps are limits like others.
    fn caps(&self, subject: &Subject<'_>) -> Result<Vec<Cap>, Failure> {
        if self.policies.is_empty() {
            return Ok(Vec::new());
        }
        let field = |path: &[String]| subject.field(path);
        let Subject { provider, model, opaque, .. } = *subject;
        let asked = PolicyAsked { provider, model, opaque, field: &field };
        if self.policies.has_simulated() {
            let simulated = self.policies.simulate(&asked);
            tracing::info!(gateway = self.gateway, call = ?asked, decision = ?simulated, "policies, simulated");
        }
        match self.policies.decide(&asked) {
            Decision::Allowed(caps) => Ok(caps),
            Decision::Denied { policy } => Err(refusal::denied(policy.as_deref())),
        }
    }
}

impl Refused {
    fn by_gateway(failure: Failure) -> Self {
        Self { failure, by: By::Gateway }
    }
}

impl<'a> Applicant<'a> {
    /// The model, looked for in the body if nobody named it.
    pub(crate) fn model(&self) -> Option<Cow<'a, str>> {
        self.model.map(Cow::Borrowed).or_else(|| {
            let peeked = peek(self.body.unwrap_or_default()).ok()?;
            peeked.model.map(|model| Cow::Owned(model.into_owned()))
        })
    }

    fn subject<'s>(&'s self, gateway: &'s str, model: Option<&'s str>) -> Subject<'s> {
        Subject {
            gateway,
            token: self.token,
            identity: self.identity,
            metadata: self.metadata,
            provider: &self.provider.slug,
            model: model.unwrap_or_default(),
            opaque: model.is_none() && self.body != Some(b""),
        }
    }

    /// The most one attempt can cost, in nano-USD, or why nobody can say.
    pub(crate) fn most_it_costs(&self, gateway: &str, now_ms: i64) -> Result<u64, &'static str> {
        let model = self.model();
        match worst(&self.asked(&self.subject(gateway, model.as_deref()), now_ms)) {
            Worst::AtMost { nano_usd, .. } => Ok(nano_usd),
            Worst::Unknown(why) => Err(why),
        }
    }

    fn asked<'s>(&'s self, subject: &Subject<'s>, at_ms: i64) -> worst::Asked<'s> {
        worst::Asked {
            generation: self.generation,
            provider: self.provider,
            dialect: self.dialect,
            model: subject.model,
            body: self.body,
            custom: self.custom,
            path: self.path,
            at_ms,
        }
    }
}

impl Subject<'_> {
    /// A field of the caller's identity, as conditions and actors name it.
    fn field(&self, path: &[String]) -> Option<Value> {
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        match names[..] {
            ["metadata", key] => self.metadata.get(key).cloned(),
            ["token", "id"] => self.token(),
            ["cf", "user", "id"] => self.known(&["user", "id"]).or_else(|| self.token()),
            ["cf", ref below @ ..] => self.known(below),
            ["gateway", "id"] => Some(self.gateway.into()),
            _ => None,
        }
    }

    fn token(&self) -> Option<Value> {
        (!self.token.is_empty()).then(|| self.token.into())
    }

    fn known(&self, path: &[&str]) -> Option<Value> {
        self.identity?.field(path)
    }
}
