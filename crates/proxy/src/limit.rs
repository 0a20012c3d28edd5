//! Whether a call may be made: policies, rate limits, budgets. What it may use is taken before it is made, what it did not
//! use is given back when it is over.
//!
//! * `rules`: a gateway's limits as compiled from its settings
//! * `worst`: the most a call can cost
//! * `window`: time as limits see it
//! * `ledger`: the counters
//! * `limiter`: the ledgers of all gateways, and the thread that keeps their record
//! * `refusal`: what a refused caller is told
//! * `apply`: where the path of a request comes by
//! * `permit`: what a call holds while it is under way

mod apply;
mod ledger;
mod limiter;
mod permit;
mod refusal;
mod rules;
#[cfg(test)]
mod timing;
mod window;
mod worst;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use genesis_config::gateway::UnknownPrice;
use genesis_config::policy::{Asked as PolicyAsked, Cap, Decision, Policies};
use genesis_config::{GatewaySettings, Price, Provider};
use genesis_store::Identity;
use genesis_wire::{Dialect, peek};
use serde_json::Value;

use self::ledger::{Ask, Ledger, Record};
pub use self::limiter::Limiter;
use self::limiter::Short;
pub(crate) use self::permit::{End, Fate, Permit};
use self::rules::{Measure, Rule, Subject};
use self::window::Window;
use self::worst::{Worst, worst};
use crate::failure::Failure;

/// The limits of one gateway.
#[derive(Debug)]
pub(crate) struct GatewayLimits {
    gateway: String,
    rules: Vec<Rule>,
    policies: Policies,
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
}

impl GatewayLimits {
    /// `None` if the gateway limits nothing: its calls then pay for nothing here.
    pub(crate) fn compile(settings: &GatewaySettings) -> Option<Self> {
        let (rules, policies) = (rules::compile(settings), Policies::compile(&settings.policies));
        let any = !rules.is_empty() || !policies.is_empty();
        any.then(|| Self { gateway: settings.id.clone(), rules, policies, ledger: OnceLock::new() })
    }

    /// Takes what the call may use, or refuses it. Waits only where something must be on record that is not yet.
    pub(crate) async fn admit(
        &self,
        limiter: &Limiter,
        applicant: &Applicant<'_>,
        now_ms: i64,
    ) -> Result<Permit, Failure> {
        let model = applicant.model();
        let subject = applicant.subject(&self.gateway, model.as_deref());
        let caps = self.caps(&subject)?;
        let mut keys = String::with_capacity(256);
        let falls_under = self.falls_under(&subject, applicant.again, &caps, &mut keys);
        let costs = falls_under.iter().any(|(limit, ..)| limit.measure() == Measure::Cost);
        let worst = if costs { worst(&applicant.asked(&subject, now_ms)) } else { Worst::FREE };
        let mut asks = Vec::with_capacity(falls_under.len());
        for (limit, start, end) in &falls_under {
            asks.push(limit.ask(&keys[*start..*end], worst, applicant.attempts, &subject)?);
        }
        let ledger = self.ledger.get_or_init(|| limiter.ledger(&self.gateway));
        match limiter.take(ledger, &asks).await {
            Ok(holds) => {
                let held = falls_under.iter().zip(holds).map(|((limit, ..), hold)| (hold, limit.measure()));
                Ok(Permit::new(Arc::clone(ledger), held.collect(), worst))
            }
            Err(Short::Refused { index, used, fits_in_ms }) => {
                let (limit, ..) = &falls_under[index];
                Err(limit.exceeded(&subject, used, fits_in_ms, asks[index].needs))
            }
            Err(Short::Unrecorded(why)) => Err(refusal::unrecorded(&why)),
        }
    }

    /// The limits a call falls under, and where in `keys` the names of their counters stand.
    fn falls_under<'l>(
        &'l self,
        subject: &Subject<'_>,
        again: bool,
        caps: &'l [Cap],
        keys: &mut String,
    ) -> Vec<(Limit<'l>, usize, usize)> {
        let mut falls_under = Vec::with_capacity(self.rules.len() + caps.len());
        for rule in &self.rules {
            let start = keys.len();
            let counted = again && rule.measure == Measure::Requests;
            if !counted && rule.write_key(subject, keys) {
                falls_under.push((Limit::Rule(rule), start, keys.len()));
            } else {
                keys.truncate(start);
            }
        }
        for cap in caps {
            let start = keys.len();
            let _ = write!(keys, "policy {:?}\n{}", cap.period, cap.bucket);
            falls_under.push((Limit::Cap(cap), start, keys.len()));
        }
        falls_under
    }

    /// What [`GatewayLimits::admit`] would look at, and what it would say if nothing had been used yet. Takes nothing.
    pub(crate) fn foresee(&self, applicant: &Applicant<'_>, now_ms: i64) -> Result<Vec<String>, Failure> {
        let model = applicant.model();
        let subject = applicant.subject(&self.gateway, model.as_deref());
        let caps = self.caps(&subject)?;
        let mut keys = String::new();
        let falls_under = self.falls_under(&subject, applicant.again, &caps, &mut keys);
        let worst = worst(&applicant.asked(&subject, now_ms));
        for (limit, start, end) in &falls_under {
            let ask = limit.ask(&keys[*start..*end], worst, applicant.attempts, &subject)?;
            if ask.needs > ask.limit {
                return Err(limit.exceeded(&subject, 0, None, ask.needs));
            }
        }
        Ok(falls_under.iter().map(|(limit, ..)| limit.described()).collect())
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

/// Something a call is counted under.
#[derive(Clone, Copy, Debug)]
enum Limit<'a> {
    Rule(&'a Rule),
    Cap(&'a Cap),
}

impl Limit<'_> {
    fn measure(&self) -> Measure {
        match self {
            Self::Rule(rule) => rule.measure,
            Self::Cap(_) => Measure::Cost,
        }
    }

    /// What it allows, for people.
    fn described(&self) -> String {
        match self {
            Self::Rule(rule) if rule.measure == Measure::Cost => rule.spend_described(),
            Self::Rule(rule) => rule.described(),
            Self::Cap(cap) => format!("policy `{}` allows ${} per {:?}", cap.policy, cap.amount, cap.period),
        }
    }

    fn ask<'k>(
        &self,
        key: &'k str,
        worst: Worst,
        attempts: u32,
        subject: &Subject<'_>,
    ) -> Result<Ask<'k>, Failure> {
        let (window, limit, rule, unknown_price) = match self {
            Self::Rule(rule) => (rule.window, rule.limit, rule.key.len(), rule.unknown_price),
            Self::Cap(cap) => {
                let amount = cap.amount.0.max(0).unsigned_abs();
                let rule = key.find('\n').unwrap_or(key.len());
                (Window::Calendar(cap.period), amount, rule, UnknownPrice::Refuse)
            }
        };
        let (needs, takes, record) = match (self.measure(), worst) {
            (Measure::Requests, _) => (1, 1, Record::IfPossible),
            (Measure::Concurrent, _) => (1, 1, Record::Never),
            (Measure::InputTokens | Measure::OutputTokens | Measure::TotalTokens, _) => {
                (1, 0, Record::Afterwards)
            }
            // An attempt that fails may be billed all the same.
            (Measure::Cost, Worst::AtMost { nano_usd, .. }) => {
                let all = nano_usd.saturating_mul(attempts.into());
                (all, all, Record::Always)
            }
            (Measure::Cost, Worst::Unknown(_)) if unknown_price == UnknownPrice::Allow => {
                (1, 0, Record::Always)
            }
            (Measure::Cost, Worst::Unknown(why)) => return Err(refusal::unbounded(subject, why)),
        };
        Ok(Ask { key, rule, window, limit, needs, takes, record })
    }
}
