//! How many log records each gateway keeps, and how long, as the journal's writer asks for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use genesis_config::gateway::LogStrategy;
use genesis_proxy::Snapshot;
use genesis_store::{Retention, RetentionOf, Strategy};

/// Shared between the settings watcher, which replaces it, and the journal's writer, which reads it per commit.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<HashMap<String, Retention>>>);

impl Kept {
    pub(crate) fn apply(&self, snapshot: &Snapshot) {
        let kept = snapshot.gateways().map(|gateway| {
            let strategy = match gateway.log_management_strategy {
                LogStrategy::DeleteOldest => Strategy::DeleteOldest,
                LogStrategy::StopInserting => Strategy::StopInserting,
            };
            let max_age = (gateway.log_max_age > 0).then(|| Duration::from_secs(gateway.log_max_age));
            (gateway.id.clone(), Retention { max_rows: gateway.log_management, strategy, max_age })
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = kept.collect();
    }

    pub(crate) fn lookup(&self) -> RetentionOf {
        let kept = Arc::clone(&self.0);
        Arc::new(move |_account, gateway| {
            kept.lock().unwrap_or_else(PoisonError::into_inner).get(gateway).copied().unwrap_or_default()
        })
    }
}
