//! The attempts of an exchange: what was tried before the answer the client gets, and what that cost.

use std::borrow::Cow;

use bytes::Bytes;
use genesis_config::GatewaySettings;
use genesis_store::{Attempt, Fault, Outcome};
use genesis_wire::Usage;
use genesis_wire::peek::peek;
use http::{HeaderMap, StatusCode};

use super::Receipt;
use crate::options::Options;
use crate::watch::Watch;

impl Receipt {
    /// The settings of a step, which come before those of the request that carries it.
    pub(crate) fn reconsider(&mut self, gateway: &GatewaySettings, options: &mut Options) {
        self.collect = options.collect_log.unwrap_or(gateway.collect_logs);
        self.collect_payload = self.collect && options.collect_payload;
        if !self.collect_payload {
            self.record.request_head.clear();
        }
        self.custom_cost = options.custom_cost.take();
        self.record.metadata = std::mem::take(&mut options.metadata);
    }

    pub(crate) fn metadata(&self) -> &serde_json::Map<String, serde_json::Value> {
        &self.record.metadata
    }

    pub(crate) fn step(&self) -> u32 {
        self.record.step
    }

    /// A step of a universal request begins. `asked` is what it sends.
    pub(crate) fn step_begins(&mut self, step: usize, asked: Bytes) {
        self.record.step = u32::try_from(step).unwrap_or(u32::MAX);
        self.target_begins(asked);
    }

    /// A dynamic route came to another model. `counts`: it is a further step.
    pub(crate) fn model_begins(&mut self, asked: Bytes, counts: bool) {
        self.record.step += u32::from(counts);
        self.target_begins(asked);
    }

    fn target_begins(&mut self, asked: Bytes) {
        self.asked = asked;
        self.record.provider.clear();
        self.record.model.clear();
        self.record.dialect = None;
        self.record.stream = false;
        self.attempt_begins();
    }

    /// A target that was left out, since it is known to be down.
    pub(crate) fn attempt_skipped(&mut self, provider: &str) {
        provider.clone_into(&mut self.record.provider);
        self.attempt_failed(Fault::Skipped);
    }

    /// One more attempt begins, after [`Receipt::attempt_failed`] or [`Receipt::attempt_discarded`].
    pub(crate) fn attempt_begins(&mut self) {
        self.attempt_began_ms = self.elapsed_ms();
    }

    /// An attempt that got no answer and is not the last.
    pub(crate) fn attempt_failed(&mut self, fault: Fault) {
        self.spending.attempt_failed(fault);
        let attempt = self.attempt(None, Some(fault));
        self.record.attempts.push(attempt);
    }

    /// An attempt whose answer the client does not get. It may have been paid for.
    pub(crate) fn attempt_discarded(&mut self, status: StatusCode, headers: &HeaderMap, body: &[u8]) {
        let (report, _) = Watch::new(self.record.dialect, headers).finish(body, status.is_success());
        let mut attempt = self.attempt(Some(status.as_u16()), Some(Fault::Status));
        attempt.first_byte_ms = Some(attempt.duration_ms);
        if let Some(usage) = report.usage.filter(|usage| *usage != Usage::default()) {
            attempt.model = report.model.unwrap_or(attempt.model);
            let price = self.price_of(&attempt.provider, &attempt.model);
            attempt.cost_nano_usd = price.map(|price| price.cost(&usage).nano_usd);
        }
        self.record.attempts.push(attempt);
    }

    /// What was tried, for a header: `openai 503, openai timeout, anthropic 200`; `None` for one attempt.
    pub(crate) fn tried(&self) -> Option<String> {
        let attempts = &self.record.attempts;
        if attempts.is_empty() {
            return None;
        }
        let name = |attempt: &Attempt| match (attempt.status, attempt.fault) {
            (Some(status), _) => format!("{} {status}", attempt.provider),
            (None, fault) => format!("{} {}", attempt.provider, fault.map_or("", Fault::name)),
        };
        let mut names: Vec<_> = attempts.iter().map(name).collect();
        if !self.settled && !self.record.cached {
            names.push(format!("{} {}", self.record.provider, self.record.status));
        }
        Some(names.join(", "))
    }

    pub(super) fn attempt(&self, status: Option<u16>, fault: Option<Fault>) -> Attempt {
        Attempt {
            step: self.record.step,
            provider: self.record.provider.clone(),
            model: self.model().into_owned(),
            status,
            fault,
            began_ms: self.attempt_began_ms,
            duration_ms: self.elapsed_ms().saturating_sub(self.attempt_began_ms),
            first_byte_ms: None,
            cost_nano_usd: None,
        }
    }

    /// The model as far as it is known: the plan's, else the one the request names.
    fn model(&self) -> Cow<'_, str> {
        if !self.record.model.is_empty() {
            return Cow::Borrowed(&self.record.model);
        }
        let model = peek(&self.asked).ok().and_then(|peeked| peeked.model).unwrap_or_default();
        Cow::Owned(model[..model.floor_char_boundary(256)].to_owned())
    }

    /// How many failed so far.
    pub(crate) fn attempts(&self) -> usize {
        self.record.attempts.len()
    }

    /// Notes the attempt whose answer the client got, if there were others.
    pub(super) fn last_attempt(&mut self, outcome: Outcome) {
        let answered = self.record.first_byte_ms;
        // One that failed without an answer is in the list already.
        if !self.record.attempts.is_empty() && answered.is_some() && !self.record.cached {
            let failed = match outcome {
                Outcome::UpstreamBroken => Some(Fault::Broken),
                _ => (self.record.status >= 400).then_some(Fault::Status),
            };
            let mut attempt = self.attempt(Some(self.record.status), failed);
            attempt.first_byte_ms = answered.map(|at| at.saturating_sub(self.attempt_began_ms));
            self.record.attempts.push(attempt);
        }
    }
}
