//! Which keys are on disk, in eight bytes each.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use super::CacheKey;

/// Until it is loaded every key is worth asking for.
#[derive(Debug, Default)]
pub(super) struct Index {
    loaded: AtomicBool,
    /// The first eight bytes of each key, which is a hash already.
    keys: RwLock<HashSet<u64, BuildHasherDefault<AsItIs>>>,
}

impl Index {
    pub(super) fn may_have(&self, key: &CacheKey) -> bool {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.contains(&start(key)) || !self.loaded.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, keys: impl IntoIterator<Item = CacheKey>) {
        let mut known = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        known.extend(keys.into_iter().map(|key| start(&key)));
    }

    pub(super) fn remove(&self, keys: &[CacheKey]) {
        let mut known = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            known.remove(&start(key));
        }
    }

    pub(super) fn is_loaded(&self) {
        self.loaded.store(true, Ordering::Relaxed);
    }

    pub(super) fn len(&self) -> usize {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

fn start(key: &CacheKey) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&key[..8]);
    u64::from_le_bytes(first)
}

#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
