//! Calls under way that others may join.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use genesis_store::CacheKey;

use crate::upstream::broadcast::{Broadcast, Listener};

const SHARDS: usize = 16;

#[derive(Default)]
pub(super) struct Flights {
    /// Held for a look-up, never while anything is waited for.
    shards: [Mutex<HashMap<CacheKey, Arc<Broadcast>>>; SHARDS],
}

pub(super) enum Joined {
    /// Somebody else is calling.
    Follow(Listener),
    /// It is for the caller of [`Flights::join`] to call, and to [`leave`](Flights::leave) at the end.
    Lead(Arc<Broadcast>),
}

impl Flights {
    pub(super) fn join(&self, key: &CacheKey, keep: usize) -> Joined {
        let mut shard = self.shard(key);
        if let Some(listener) = shard.get(key).and_then(Broadcast::listen) {
            return Joined::Follow(listener);
        }
        let broadcast = Broadcast::new(keep);
        shard.insert(*key, Arc::clone(&broadcast));
        Joined::Lead(broadcast)
    }

    pub(super) fn leave(&self, key: &CacheKey, broadcast: &Arc<Broadcast>) {
        let mut shard = self.shard(key);
        if shard.get(key).is_some_and(|current| Arc::ptr_eq(current, broadcast)) {
            shard.remove(key);
        }
    }

    fn shard(&self, key: &CacheKey) -> MutexGuard<'_, HashMap<CacheKey, Arc<Broadcast>>> {
        self.shards[usize::from(key[31]) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
