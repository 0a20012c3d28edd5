//! What a realtime session used: the sum of what its messages said.

use genesis_store::Outcome;
use genesis_wire::Usage;
use genesis_wire::report::realtime::RealtimeReport;

use super::Receipt;

impl Receipt {
    /// Bytes that went to the provider.
    pub(crate) fn session_sent(&mut self, count: usize) {
        self.request.borrow_mut().size += count as u64;
    }

    /// Bytes that came from the provider.
    pub(crate) fn session_received(&mut self, count: usize) {
        self.response.size += count as u64;
    }

    pub(crate) fn session_used(&mut self, report: RealtimeReport) {
        let RealtimeReport { usage, other_than_text, model } = report;
        let sum = self.record.usage.get_or_insert_default();
        *sum = Usage {
            input: sum.input + usage.input,
            cache_read: sum.cache_read + usage.cache_read,
            cache_write: sum.cache_write + usage.cache_write,
            cache_write_1h: sum.cache_write_1h + usage.cache_write_1h,
            output: sum.output + usage.output,
            reasoning: sum.reasoning + usage.reasoning,
        };
        // Audio has prices of its own: no figure is better than one that is too low.
        self.unpriced |= other_than_text;
        if let Some(model) = model {
            self.record.model = model;
        }
    }

    pub(crate) fn session_ended(&mut self, outcome: Outcome, why: &str) {
        why.clone_into(&mut self.record.error);
        self.settle(outcome);
    }
}
