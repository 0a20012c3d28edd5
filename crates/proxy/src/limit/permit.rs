//! What a call holds while it is under way.

use std::sync::Arc;

use genesis_config::Price;
use genesis_wire::Usage;

use super::By;
use super::ledger::{Hold, Ledger};
use super::rules::Measure;
use super::worst::Worst;

/// Places in the counters of every limit a call falls under. To be [settled](Permit::settle) when it is over.
#[derive(Debug)]
pub(crate) struct Permit {
    ledger: Arc<Ledger>,
    held: Vec<Held>,
    worst: Worst,
}

/// A place in one counter.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) hold: Hold,
    pub(super) measure: Measure,
    pub(super) by: By,
}

/// How a call ended, as far as its cost depends on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// It was never made, or the provider answered with an error: nobody bills that.
    Unbilled,
    /// It came to its end.
    Complete,
    /// It was made, and its answer broke off, or nobody waited for it: it is billed, and for how much nobody said.
    Cut,
}

/// What is known of a call that is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End<'a> {
    pub(crate) fate: Fate,
    /// Earlier attempts of which nobody knows whether they are billed.
    pub(crate) lost: u32,
    pub(crate) usage: Option<&'a Usage>,
    /// Nano-USD, if known.
    pub(crate) cost: Option<u64>,
    pub(crate) price: Option<&'a Price>,
}

impl Permit {
    pub(super) fn new(ledger: Arc<Ledger>, held: Vec<Held>, worst: Worst) -> Self {
        Self { ledger, held, worst }
    }

    /// Nano-USD left in the budget that has least left, all calls under way at their worst; `None` without one. Past the
    /// limit of a route's element calls go elsewhere: that is no budget.
    pub(crate) fn budget_left(&self) -> Option<u64> {
        let budgets = self.held.iter().filter(|held| held.measure == Measure::Cost && held.by == By::Gateway);
        budgets.map(|held| held.hold.left).min()
    }

    /// Replaces what was taken by what was used.
    pub(crate) fn settle(self, end: &End<'_>, now_ms: i64) {
        let spent = self.worst.spent(end);
        let tokens = end.usage.copied().unwrap_or_default();
        for Held { hold, measure, .. } in &self.held {
            match measure {
                Measure::Requests => self.ledger.settle(hold, 1),
                Measure::Concurrent => self.ledger.settle(hold, 0),
                Measure::Cost => self.ledger.settle(hold, spent),
                Measure::InputTokens => self.ledger.charge(hold, tokens.tokens_in(), now_ms),
                Measure::OutputTokens => self.ledger.charge(hold, tokens.tokens_out(), now_ms),
                Measure::TotalTokens => {
                    self.ledger.charge(hold, tokens.tokens_in() + tokens.tokens_out(), now_ms);
                }
            }
        }
    }
}

impl Worst {
    /// What a call that ended so has spent.
    fn spent(self, end: &End<'_>) -> u64 {
        let Self::AtMost { nano_usd: most, output } = self else { return end.cost.unwrap_or(0) };
        let last = match (end.fate, end.cost) {
            (Fate::Unbilled, cost) => cost.unwrap_or(0),
            (Fate::Complete, Some(cost)) => cost,
            (Fate::Complete, None) => most,
            // Half an answer says how much input it was for, but not how much output is billed.
            (Fate::Cut, cost) => match (end.usage.filter(|usage| usage.tokens_in() > 0), end.price) {
                (Some(seen), Some(price)) => {
                    let worst = Usage { output: output.max(seen.output), reasoning: 0, ..*seen };
                    price.cost(&worst).nano_usd.max(0).unsigned_abs().min(most).max(cost.unwrap_or(0))
                }
                _ => most,
            },
        };
        last.saturating_add(most.saturating_mul(end.lost.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICE: &str = r#"{"per_token_in":0.000001,"per_token_out":0.00001}"#;

    #[test]
    fn what_is_not_known_to_be_unspent_counts_as_spent() {
        let price = Price::custom(PRICE);
        let worst = Worst::AtMost { nano_usd: 1_000_000, output: 50 };
        let seen = Usage { input: 100, output: 3, ..Usage::default() };
        for (fate, usage, cost, spent) in [
            (Fate::Complete, Some(&seen), Some(130_000), 130_000),
            (Fate::Complete, None, None, 1_000_000),
            (Fate::Unbilled, None, None, 0),
            (Fate::Unbilled, Some(&seen), Some(130_000), 130_000),
            (Fate::Cut, None, None, 1_000_000),
            (Fate::Cut, Some(&seen), Some(130_000), 100 * 1_000 + 50 * 10_000),
        ] {
            let end = End { fate, lost: 0, usage, cost, price: price.as_ref() };
            assert_eq!(worst.spent(&end), spent, "{fate:?} {cost:?}");
            assert_eq!(worst.spent(&End { lost: 2, ..end }), spent + 2_000_000, "{fate:?} {cost:?}");
        }
        let unknown = Worst::Unknown("a reason");
        let end = End { fate: Fate::Cut, lost: 1, usage: Some(&seen), cost: Some(7), price: price.as_ref() };
        assert_eq!(unknown.spent(&end), 7);
        assert_eq!(unknown.spent(&End { cost: None, ..end }), 0);
    }
}
