//! Where the path of a request meets its limits.

use super::Applicant;
use crate::exchange::{Call, Exchange, now_ms};
use crate::failure::Failure;
use crate::realtime::is_handshake;
use crate::upstream::Outgoing;

impl Exchange<'_> {
    /// Takes what the call may use from every limit it falls under, or refuses it. The receipt gives back what it did not
    /// use.
    pub(crate) async fn limit(&mut self, call: &Call<'_>) -> Result<(), Failure> {
        let Some(limits) = self.snapshot.limits_of(&self.gateway.id) else { return Ok(()) };
        // A call that takes the place of a failed one is no further request.
        let again = self.receipt.give_back();
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
        };
        let permit = limits.admit(self.worker.shared.limiter(), &applicant, now_ms()).await?;
        self.receipt.permitted(permit);
        Ok(())
    }
}
