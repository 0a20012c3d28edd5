//! A call is made again if it failed in a way that may pass: as often as its policy says, never after the first byte
//! was handed to the client, and within bounds that keep a failing provider from getting a storm.
//!
//! * `retry/policy`: how often, and after which pause; pure
//! * `retry/after`: how long the provider asks to wait

pub(crate) mod after;
mod policy;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use genesis_store::{Fault, span_id};
use http::{HeaderMap, HeaderValue, StatusCode};

pub(crate) use self::policy::{Policy, Wish};

use crate::attempt::Attempt;
use crate::exchange::{Call, Delivery, Exchange};
use crate::failure::Failure;
use crate::plan::{self, Target};
use crate::run::Envelope;
use crate::snapshot::{ProviderSetup, Snapshot};
use crate::trace;
use crate::upstream::{Answer, Outgoing, Patience};

/// After so many attempts of one exchange, over all its steps, nothing is tried again: each further target gets one.
const MOST_ATTEMPTS: usize = 20;
/// What is read of an answer that is given up, for its usage and so that its connection can be used again.
const DISCARDED_BYTES: usize = 64 * 1024;
/// How long that may take.
const DISCARDED_WITHIN: Duration = Duration::from_millis(500);

impl<'a> Exchange<'a> {
    /// Makes a call, again if it fails in a way that may pass. What comes back is the last attempt's.
    pub(crate) async fn persist(&mut self, call: Call<'a>) -> Result<Delivery, Failure> {
        let Call { mut setup, mut target, method, headers, mut credential, body, place, .. } = call;
        let Call { policy, translation, dropped, enveloped, .. } = call;
        let attempts = if matches!(body, Outgoing::Streamed(_)) { 1 } else { policy.attempts };
        let (pool, patience) = (&self.worker.pool, self.snapshot.patience);
        let traceparent = self.traceparent(&headers);
        let mut body = Some(body);
        let mut made = 0;
        let answer = loop {
            made += 1;
            let last = made >= attempts;
            let sent = if last { body.take() } else { body.as_ref().and_then(Outgoing::again) };
            let sent = sent.unwrap_or(Outgoing::Whole(Bytes::new()));
            let first_byte = policy.first_byte(made, patience.first_byte);
            let patience = Patience { connect: patience.connect.min(first_byte), first_byte };
            let provider = setup.provider();
            let attempt = Attempt {
                provider,
                setup,
                target: &target,
                method: &method,
                headers: &headers,
                credential: &credential,
                traceparent: traceparent.as_ref(),
            };
            let watched = setup.health.begin(made == 1);
            let outcome = attempt.send(pool, sent, patience).await;
            watched.ended(&outcome);
            credential.heard(&outcome);
            if last {
                break outcome?;
            }
            let allowed = self.receipt.attempts() < MOST_ATTEMPTS;
            let pause = policy.pause(made, &outcome).filter(|_| allowed && setup.health.may_retry());
            let Some(pause) = pause else { break outcome? };
            let key = Box::pin(self.key_for_retry(provider, &credential, target.simulated)).await;
            let Some(key) = key else { break outcome? };
            Box::pin(self.discard(outcome)).await;
            if !key.same(&credential) {
                credential = key;
                self.receipt.authorised(&credential, &headers, target.simulated);
            }
            match place.as_ref().and_then(|place| self.elsewhere(setup, place, &headers)) {
                // Nothing speaks for waiting: it is not the one that failed.
                Some(other) => (setup, target) = other,
                None => tokio::time::sleep(pause).await,
            }
            self.receipt.attempt_begins();
        };
        let envelope = enveloped.then_some(Envelope::Rest);
        Ok(Delivery { answer, simulated: target.simulated, translation, dropped, envelope })
    }

    /// What a provider is told of a client's trace. Our span stands in it only where it is exported; elsewhere the
    /// client's header passes as it came, or the provider's spans would hang below one that nobody ever sees.
    fn traceparent(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let exported = !self.gateway.otel.is_empty() && self.receipt.is_collected();
        let trace_id = self.receipt.trace_id().filter(|_| exported)?;
        trace::onward(headers, trace_id, span_id(self.receipt.id()))
    }

    /// The same call at another address of its provider.
    fn elsewhere(
        &self,
        setup: &ProviderSetup,
        (rest, query): &(String, Option<String>),
        headers: &HeaderMap,
    ) -> Option<(&'a ProviderSetup, Target)> {
        let snapshot: &'a Snapshot = self.snapshot;
        let (_, first) = snapshot.provider(&setup.provider().slug)?;
        let other = first.pick(Some(setup.member));
        let target =
            plan::target(snapshot, other.provider(), other, self.account(), rest, query.as_deref(), headers);
        target.ok().filter(|_| other.member != setup.member).map(|target| (other, target))
    }

    /// Notes an attempt that is not what the client gets. What its answer says about usage is costed all the same.
    pub(crate) async fn discard(&mut self, outcome: Result<Answer, Failure>) {
        match outcome {
            Err(failure) => self.receipt.attempt_failed(failure.fault.unwrap_or(Fault::Refused)),
            Ok(Answer { status, headers, body }) => {
                let read = body.collect(DISCARDED_BYTES, DISCARDED_WITHIN);
                let read = tokio::time::timeout(DISCARDED_WITHIN, read).await;
                let body = read.ok().and_then(Result::ok).unwrap_or_default();
                self.receipt.attempt_discarded(status, &headers, &body);
            }
        }
    }
}

/// How long a provider asks to wait.
pub(crate) fn asked_to_wait(headers: &HeaderMap) -> Option<Duration> {
    after::retry_after(headers, SystemTime::now())
}

/// Statuses that may pass: the provider is busy, or failed.
pub(crate) fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 409 | 425 | 429) || status.is_server_error()
}
