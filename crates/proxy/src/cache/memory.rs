//! Answers in memory: so many bytes, and one pass over things asked for once does not drive out what is asked for often.

use std::hash::{BuildHasherDefault, Hasher};

use genesis_store::CacheKey;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

use super::entry::Slot;

/// Few, since each has its own part of the bytes, and a large answer must fit into one.
const SHARDS: usize = 4;
/// An answer may take so much of a part.
const LARGEST: u64 = 2;
/// The share of what was asked for more than once; the rest is for what is new.
const PROVEN: f64 = 0.85;
/// For sizing its tables only.
const USUAL_BYTES: u64 = 8 * 1024;

type Answers = Cache<CacheKey, Slot, Bytes, BuildHasherDefault<Start>, DefaultLifecycle<CacheKey, Slot>>;

/// `None`: nothing is kept in memory.
pub(super) struct Memory(Option<Answers>);

impl Memory {
    pub(super) fn new(bytes: u64) -> Self {
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .weight_capacity(bytes)
            .hot_allocation(PROVEN)
            .estimated_items_capacity(
                usize::try_from(bytes / USUAL_BYTES).unwrap_or_default().clamp(16, 65_536),
            )
            .build();
        let answers = options.ok().filter(|_| bytes > 0).map(|options| {
            Cache::with_options(options, Bytes, BuildHasherDefault::default(), DefaultLifecycle::default())
        });
        Self(answers)
    }

    pub(super) fn get(&self, key: &CacheKey) -> Option<Slot> {
        self.0.as_ref()?.get(key)
    }

    pub(super) fn put(&self, key: CacheKey, slot: Slot) {
        let Some(answers) = &self.0 else { return };
        if weight(&slot) <= answers.capacity() / (SHARDS as u64 * LARGEST) {
            answers.insert(key, slot);
        }
    }

    pub(super) fn remove(&self, gateway: Option<&str>) {
        if let Some(answers) = &self.0 {
            answers.retain(|_, slot| gateway.is_some_and(|gateway| **slot.gateway() != *gateway));
        }
    }

    /// How many there are, and their bytes.
    pub(super) fn size(&self) -> (u64, u64) {
        self.0.as_ref().map_or((0, 0), |answers| (answers.len() as u64, answers.weight()))
    }
}

#[derive(Clone)]
struct Bytes;

impl Weighter<CacheKey, Slot> for Bytes {
    fn weight(&self, _: &CacheKey, slot: &Slot) -> u64 {
        weight(slot)
    }
}

fn weight(slot: &Slot) -> u64 {
    match slot {
        Slot::Answer(entry) => entry.weight(),
        Slot::SeeAlso(..) => 128,
    }
}

/// Keys are hashes already.
#[derive(Default)]
struct Start(u64);

impl Hasher for Start {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(start) = bytes.first_chunk() {
            self.0 ^= u64::from_le_bytes(*start);
        }
    }

    fn write_usize(&mut self, _length: usize) {}
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderMap, StatusCode};

    use super::super::entry::Entry;
    use super::*;

    fn answer(gateway: &str, bytes: usize) -> Slot {
        Slot::Answer(Arc::new(Entry {
            gateway: gateway.into(),
            created_at_ms: 0,
            expires_at_ms: 1,
            gone_at_ms: 1,
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: vec![0; bytes].into(),
            dialect: None,
            model: String::new(),
            stream: false,
            stream_options: None,
        }))
    }

    fn key(number: u64) -> CacheKey {
        genesis_store::token_hash(&number.to_le_bytes())
    }

    #[test]
    fn bytes_are_bounded_and_a_scan_spares_what_is_used() {
        let memory = Memory::new(1 << 20);
        for number in 0..20 {
            memory.put(key(number), answer("a", 2_000));
        }
        for _ in 0..3 {
            assert!((0..20).all(|number| memory.get(&key(number)).is_some()));
        }
        for number in 1_000..3_000 {
            memory.put(key(number), answer("a", 2_000));
        }
        let (_, bytes) = memory.size();
        assert!(bytes <= 1 << 20, "{bytes}");
        let left = (0..20).filter(|number| memory.get(&key(*number)).is_some()).count();
        assert!(left >= 15, "{left} of 20 are left");
    }

    #[test]
    fn what_is_too_large_is_not_kept_and_a_gateway_can_be_forgotten() {
        let memory = Memory::new(1 << 20);
        memory.put(key(1), answer("a", 500_000));
        assert!(memory.get(&key(1)).is_none());
        for (number, gateway) in [(1, "a"), (2, "b")] {
            memory.put(key(number), answer(gateway, 10));
        }
        memory.remove(Some("a"));
        assert_eq!((memory.get(&key(1)).is_some(), memory.get(&key(2)).is_some()), (false, true));
        memory.remove(None);
        assert_eq!(memory.size().0, 0);
        let none = Memory::new(0);
        none.put(key(1), answer("a", 1));
        assert!(none.get(&key(1)).is_none());
    }
}
