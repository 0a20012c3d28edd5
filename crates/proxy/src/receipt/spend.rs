//! What an exchange holds of its gateway's limits, and what it turned out to use.

use genesis_config::Price;
use genesis_store::{Fault, LogRecord, Outcome};

use super::Receipt;
use crate::exchange::now_ms;
use crate::limit::{End, Fate, Permit};

/// The part of a receipt that limits are about.
#[derive(Debug, Default)]
pub(super) struct Spending {
    permit: Option<Permit>,
    /// Some call of the exchange was let pass: it is a request that was counted.
    counted: bool,
    /// Nano-USD that limits were told of already: of calls others took the place of.
    told: u64,
    /// Attempts that failed in a way that may have been billed.
    lost: u32,
    /// Why the call under way got no answer.
    pub(super) fault: Option<Fault>,
    /// The provider's status, whatever the client is told.
    pub(super) answered: Option<u16>,
    /// The answer came to its end.
    pub(super) ended: bool,
}

impl Spending {
    /// An attempt that is not the last got no answer.
    pub(super) fn attempt_failed(&mut self, fault: Fault) {
        self.lost += u32::from(may_be_billed(fault));
    }
}

impl Receipt {
    /// The call may be made, and holds this while it is under way.
    pub(crate) fn permitted(&mut self, permit: Permit) {
        self.spending.permit = Some(permit);
        self.spending.counted = true;
    }

    /// Another call takes the place of one that failed; false if this is the first. What the failed one cost is told to
    /// the limits it fell under, which may not be those of the other.
    pub(crate) fn give_back(&mut self) -> bool {
        if let Some(permit) = self.spending.permit.take() {
            let lost = std::mem::take(&mut self.spending.lost);
            let discarded = self.record.attempts.iter().filter_map(|attempt| attempt.cost_nano_usd);
            let discarded = discarded.fold(0, i64::saturating_add).max(0).unsigned_abs();
            let cost = Some(discarded.saturating_sub(self.spending.told));
            self.spending.told = self.spending.told.max(discarded);
            permit.settle(&End { fate: Fate::Unbilled, lost, usage: None, cost, price: None }, now_ms());
        }
        self.spending.counted
    }

    /// Nano-USD left in the tightest budget, calls under way at their worst.
    pub(crate) fn budget_left(&self) -> Option<u64> {
        self.spending.permit.as_ref()?.budget_left()
    }

    pub(crate) fn record(&self) -> &LogRecord {
        &self.record
    }

    /// The client's own price for the call.
    pub(crate) fn custom_price(&self) -> Option<Price> {
        self.custom_cost.as_deref().and_then(Price::custom)
    }

    /// Nano-USD of a call that is over, if known.
    pub(crate) fn cost(&mut self) -> Option<i64> {
        self.price();
        self.record.cost_nano_usd
    }

    pub(super) fn has_permit(&self) -> bool {
        self.spending.permit.is_some()
    }

    /// Tells the limits what was used. The record is priced by now.
    pub(super) fn settle_permit(&mut self) {
        let Some(permit) = self.spending.permit.take() else { return };
        let record = &self.record;
        let price = self.price_of(&record.provider, &record.model);
        // A price the client gives may raise what it spends and never lower it.
        let known = match (&record.usage, &price) {
            (Some(usage), Some(price)) if record.custom_cost => Some(price.cost(usage).nano_usd),
            _ => None,
        };
        let cost = record.cost_nano_usd.max(known).map(|nano_usd| nano_usd.max(0).unsigned_abs());
        // A price the client gives is for the last call alone; else the cost is that of all.
        let told = if record.custom_cost { 0 } else { self.spending.told };
        let cost = cost.map(|nano_usd| nano_usd.saturating_sub(told));
        let end = End {
            fate: self.fate(),
            lost: self.spending.lost,
            usage: record.usage.as_ref(),
            cost,
            price: price.as_deref(),
        };
        permit.settle(&end, now_ms());
    }

    fn fate(&self) -> Fate {
        let Spending { fault, answered, ended, .. } = self.spending;
        match answered {
            Some(400..) => Fate::Unbilled,
            Some(_) if ended => Fate::Complete,
            // Whole answers tell their usage once, at the end.
            Some(_) if !self.watch.is_stream() && self.record.usage.is_some() => Fate::Complete,
            Some(_) => Fate::Cut,
            None if self.record.outcome == Outcome::ClientLeft => Fate::Cut,
            None if fault.is_some_and(may_be_billed) => Fate::Cut,
            None => Fate::Unbilled,
        }
    }
}

/// Whether a provider may have done the work although no answer came.
fn may_be_billed(fault: Fault) -> bool {
    match fault {
        Fault::Timeout | Fault::Broken | Fault::NotHttp => true,
        Fault::Connect | Fault::Status | Fault::Skipped | Fault::Refused => false,
    }
}
