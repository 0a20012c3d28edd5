//! What calls of a model cost on average, by the log: how far the worst is from what is usual.

use genesis_proxy::ExplainedCall;
use genesis_store::{GroupBy, Store, UsageQuery};

use crate::control::now_ms;
use crate::printer::Failed;
use crate::render;

const DAYS: i64 = 30;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The average of the latest calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Typical {
    pub(super) nano_usd: i64,
    pub(super) calls: u64,
}

impl Typical {
    /// `None` if the log has no call of this model with a cost.
    pub(super) fn of(store: &Store, call: &ExplainedCall) -> Result<Option<Self>, Failed> {
        let query = UsageQuery {
            since_ms: Some(now_ms() - DAYS * DAY_MS),
            group_by: GroupBy::Model,
            provider: Some(call.provider.clone()),
            cached: Some(false),
            simulated: Some(false),
            ..UsageQuery::default()
        };
        let (mut calls, mut cost) = (0, 0_i64);
        for row in store.usage(&query)? {
            let model = row.key.strip_prefix(&call.provider).and_then(|rest| rest.strip_prefix('/'));
            if model.is_some_and(|model| is_model(model, &call.model)) {
                calls += row.requests.saturating_sub(row.errors).saturating_sub(row.unpriced);
                cost = cost.saturating_add(row.cost_nano_usd);
            }
        }
        let number = i64::try_from(calls).unwrap_or(i64::MAX);
        Ok((number > 0).then(|| Self { nano_usd: cost / number, calls }))
    }

    /// For people, before what it costs at most.
    pub(super) fn in_words(self) -> String {
        let Self { nano_usd, calls } = self;
        let (money, calls) = (render::money(nano_usd), render::count(calls));
        format!("{money} on average (calls of the last {DAYS} days: {calls})")
    }
}

/// Whether `answered` is the model asked for. Providers answer with the day of its version: `-2025-08-07`, `@20250514`.
fn is_model(answered: &str, asked: &str) -> bool {
    let Some(version) = answered.strip_prefix(asked) else { return false };
    let day = version.trim_start_matches(['-', '@']);
    version.is_empty()
        || day.len() < version.len() && day.len() >= 8 && day.bytes().all(|b| b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::is_model;

    #[test]
    fn versions_by_day_are_the_same_model() {
        for (answered, same) in [
            ("gpt-5", true),
            ("gpt-5-2025-08-07", true),
            ("gpt-5@20250807", true),
            ("gpt-5-mini", false),
            ("gpt-5.1", false),
            ("gpt-5-1", false),
            ("gpt-520250807", false),
            ("gpt", false),
        ] {
            assert_eq!(is_model(answered, "gpt-5"), same, "{answered}");
        }
    }
}
