//! A call is made again if it failed in a way that may pass: as often as its policy says, never after the first byte
//! was handed to the client, and within bounds that keep a failing provider from getting a storm.
//!
//! * `retry/policy`: how often, and after which pause; pure
//! * `retry/after`: how long the provider asks to wait

mod after;
mod policy;

use std::time::Duration;

use bytes::Bytes;
use genesis_store::Fault;
use http::StatusCode;

pub(crate) use self::policy::{Policy, Wish};

use crate::attempt::Attempt;
use crate::exchange::{Call, Delivery, Exchange};
use crate::failure::Failure;
use crate::upstream::{Answer, Outgoing, Patience};

/// What is read of an answer that is given up, for its usage and so that its connection can be used again.
const DISCARDED_BYTES: usize = 64 * 1024;
/// How long that may take.
const DISCARDED_WITHIN: Duration = Duration::from_millis(500);

impl Exchange<'_> {
    /// Makes a call, again if it fails in a way that may pass. What comes back is the last attempt's.
    pub(crate) async fn persist(&mut self, call: Call<'_>) -> Result<Delivery, Failure> {
        let Call {
            provider,
            setup,
            target,
            method,
            headers,
            credential,
            body,
            policy,
            translation,
            dropped,
            enveloped,
        } = call;
        let attempt = Attempt { provider, setup, target: &target, method, headers: &headers, credential };
        let attempts = if matches!(body, Outgoing::Streamed(_)) { 1 } else { policy.attempts };
        let (pool, patience) = (&self.worker.pool, self.snapshot.patience);
        let mut body = Some(body);
        let mut made = 0;
        let answer = loop {
            made += 1;
            let last = made >= attempts;
            let sent = if last { body.take() } else { body.as_ref().and_then(Outgoing::again) };
            let sent = sent.unwrap_or(Outgoing::Whole(Bytes::new()));
            let first_byte = policy.first_byte(made, patience.first_byte);
            let watched = setup.health.begin(made == 1);
            let patience = Patience { connect: patience.connect.min(first_byte), first_byte };
            let outcome = attempt.send(pool, sent, patience).await;
            watched.ended(&outcome);
            if last {
                break outcome?;
            }
            let Some(pause) = policy.pause(made, &outcome).filter(|_| setup.health.may_retry()) else {
                break outcome?;
            };
            self.discard(outcome).await;
            tokio::time::sleep(pause).await;
            self.receipt.attempt_begins();
        };
        Ok(Delivery { answer, simulated: target.simulated, translation, dropped, enveloped })
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

/// Statuses that may pass: the provider is busy, or failed.
pub(crate) fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 409 | 425 | 429) || status.is_server_error()
}
