//! How often each field was lost in translation.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Names come from clients, so there may be any number of them; those past this many are counted together.
const MOST_NAMES: usize = 200;
/// The name of all others.
const OTHER: &str = "other";

/// A count per field name, as in `cf-aig-dropped`. Its lock is taken only by calls that lose something.
#[derive(Debug, Default)]
pub(crate) struct DroppedFields {
    counts: Mutex<BTreeMap<String, u64>>,
}

impl DroppedFields {
    pub(crate) fn count(&self, names: &[String]) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            if let Some(count) = counts.get_mut(name) {
                *count += 1;
            } else if counts.len() < MOST_NAMES {
                counts.insert(name.clone(), 1);
            } else {
                *counts.entry(OTHER.to_owned()).or_default() += 1;
            }
        }
    }

    /// Names in order, and how often each was lost since the start.
    pub(crate) fn counts(&self) -> Vec<(String, u64)> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(name, count)| (name.clone(), *count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_cannot_make_it_grow() {
        let fields = DroppedFields::default();
        for number in 0..1_000 {
            fields.count(&[format!("made-up-{number:04}"), "made-up-0000".to_owned()]);
        }
        let counts = fields.counts();
        assert_eq!(counts.len(), MOST_NAMES + 1);
        assert_eq!(counts[0], ("made-up-0000".to_owned(), 1_001));
        assert!(counts.contains(&(OTHER.to_owned(), 800)));
    }
}
