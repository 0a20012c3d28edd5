//! What was removed when, so that nothing from before comes back from the disk or from a call under way.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

#[derive(Default)]
pub(super) struct Purges(RwLock<Times>);

#[derive(Default)]
struct Times {
    all_ms: i64,
    gateways: HashMap<String, i64>,
}

impl Purges {
    pub(super) fn note(&self, gateway: Option<&str>, now_ms: i64) {
        let mut times = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match gateway {
            Some(gateway) => drop(times.gateways.insert(gateway.to_owned(), now_ms)),
            None => *times = Times { all_ms: now_ms, gateways: HashMap::new() },
        }
    }

    /// Whether an answer from then may still be used.
    pub(super) fn spare(&self, gateway: &str, created_at_ms: i64) -> bool {
        let times = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let purged = times.gateways.get(gateway).copied().unwrap_or_default().max(times.all_ms);
        created_at_ms >= purged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_before_and_belongs_to_it_goes() {
        let purges = Purges::default();
        assert!(purges.spare("a", 5));
        purges.note(Some("a"), 10);
        assert_eq!((purges.spare("a", 9), purges.spare("a", 10), purges.spare("b", 9)), (false, true, true));
        purges.note(None, 20);
        assert_eq!(
            (purges.spare("a", 19), purges.spare("b", 19), purges.spare("b", 20)),
            (false, false, true)
        );
    }
}
