//! Where the path of a request meets its limits.

use std::sync::Arc;

use genesis_config::Provider;

use super::{Applicant, By, Permit, Refused};
use crate::credential::{Credential, StoredKey};
use crate::exchange::{Call, Exchange, now_ms};
use crate::failure::Failure;
use crate::realtime::is_handshake;
use crate::upstream::Outgoing;

impl Exchange<'_> {
    /// Takes what the call may use from every limit it falls under, or refuses it. The receipt gives back what it did not
    /// use. Where the rate of one key of several is reached, the call is made with another.
    pub(crate) async fn limit(&mut self, call: &mut Call<'_>) -> Result<(), Failure> {
        // A call that takes the place of a failed one is no further request.
        let again = self.receipt.give_back();
        let mut used_up: Vec<Arc<StoredKey>> = Vec::new();
        let mut soonest: Option<Failure> = None;
        loop {
            let Refused { failure, by } = match self.admit(call, again).await {
                Ok(permit) => {
                    permit.into_iter().for_each(|permit| self.receipt.permitted(permit));
                    self.gates.iter_mut().for_each(|gate| gate.counted = true);
                    return Ok(());
                }
                Err(refused) => refused,
            };
            match by {
                By::Gateway => return Err(failure),
                By::Gate(gate) => {
                    self.shut = Some(gate);
                    return Err(failure);
                }
                By::Key => {}
            }
            let failure = match soonest.take() {
                Some(known) if known.retry_after <= failure.retry_after => known,
                _ => failure,
            };
            used_up.extend(call.credential.key().cloned());
            let Some(other) = self.another_key(call.setup.provider(), &call.credential, &used_up) else {
                return Err(failure);
            };
            soonest = Some(failure);
            call.credential = other;
            self.receipt.authorised(&call.credential, &call.headers, call.target.simulated);
        }
    }

    /// `None` if there is nothing to be taken.
    async fn admit(&self, call: &Call<'_>, again: bool) -> Result<Option<Permit>, Refused> {
        let Some(limits) = self.snapshot.limits_of(&self.gateway.id) else { return Ok(None) };
        let key = call.credential.rate().filter(|_| !call.target.simulated);
        if limits.is_empty() && self.gates.is_empty() && key.is_none() {
            return Ok(None);
        }
        let record = self.receipt.record();
        let body = match &call.body {
            // What is said in a session is not known when it is opened.
            Outgoing::Whole(_) if is_handshake(&call.method, &call.headers) => None,
            Outgoing::Whole(bytes) => Some(&bytes[..]),
            Outgoing::Streamed(_) => None,
        };
        let custom = self.receipt.custom_price();
        let applicant = Applicant {
            generation: self.snapshot.generation,
            token: &record.token_id,
            identity: self.receipt.identity(),
            metadata: &record.metadata,
            provider: call.setup.provider(),
            dialect: call.target.dialect,
            model: Some(record.model.as_str()).filter(|model| !model.is_empty()),
            path: &call.target.path_and_query,
            body,
            custom: custom.as_ref(),
            attempts: if body.is_some() { call.policy.attempts } else { 1 },
            again,
            gates: &self.gates,
            key,
        };
        limits.admit(self.worker.shared.limiter(), &applicant, now_ms()).await.map(Some)
    }

    /// The key for one more attempt of a call: the next of several that share the load, else the same, and one whose rate
    /// allows it. `None` if there is no such key.
    pub(crate) async fn key_for_retry(
        &self,
        provider: &Provider,
        credential: &Credential,
        simulated: bool,
    ) -> Option<Credential> {
        let mut used_up = Vec::new();
        let mut next = self.another_key(provider, credential, &[]).unwrap_or_else(|| credential.clone());
        let limits = self.snapshot.limits_of(&self.gateway.id);
        while let (Some(rate), Some(limits), false) = (next.rate(), limits, simulated) {
            if limits.use_key(self.worker.shared.limiter(), rate).await {
                break;
            }
            used_up.extend(next.key().cloned());
            next = self.another_key(provider, &next, &used_up)?;
        }
        Some(next)
    }

    /// Another of the keys that share a provider's load, none of `not`; never in the place of one that was asked for by
    /// its name.
    fn another_key(
        &self,
        provider: &Provider,
        credential: &Credential,
        not: &[Arc<StoredKey>],
    ) -> Option<Credential> {
        match self.options.byok_alias {
            Some(_) => None,
            None => self.snapshot.keys.another(&self.gateway.id, provider, credential, not),
        }
    }
}
