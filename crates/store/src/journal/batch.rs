//! What one commit writes: rows, blocks, totals.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};

use super::{Entry, RetentionOf, Strategy, payload_size};
use crate::{LogRecord, Outcome, block};

/// Uncompressed size at which a block is closed. Reading one record's bodies decompresses its whole block: well below
/// a millisecond.
const BLOCK_BYTES: usize = 256 << 10;

/// One commit, independent of the database.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) rows: Vec<Row>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) totals: Vec<(MinuteKey, MinuteTotal)>,
    /// Records a full gateway did not take.
    pub(crate) refused: u64,
}

#[derive(Debug)]
pub(crate) struct Row {
    entry: Box<Entry>,
    /// Index into [`Batch::blocks`].
    pub(crate) block: usize,
    /// Offset in the uncompressed block.
    pub(crate) at: usize,
}

impl Row {
    pub(crate) fn record(&self) -> &LogRecord {
        &self.entry.record
    }
}

/// Details and bodies of some rows of one gateway, compressed.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) gateway: String,
    /// Uncompressed.
    pub(crate) length: usize,
    /// lz4.
    pub(crate) data: Vec<u8>,
    /// Indices of the first and last row it serves; rows of other gateways may lie between.
    pub(crate) first: usize,
    pub(crate) last: usize,
    pub(crate) records: u64,
}

/// What a total is kept for.
#[derive(Debug)]
pub(crate) struct MinuteKey {
    pub(crate) minute: i64,
    pub(crate) gateway: String,
    pub(crate) provider: String,
    pub(crate) model: String,
    pub(crate) outcome: Outcome,
    pub(crate) cached: bool,
    pub(crate) simulated: bool,
}

/// Sums to add to what is stored under the key.
#[derive(Debug, Default)]
pub(crate) struct MinuteTotal {
    pub(crate) requests: u64,
    pub(crate) tokens_in: u64,
    pub(crate) tokens_out: u64,
    pub(crate) tokens_cached: u64,
    pub(crate) cost_nano_usd: i64,
    pub(crate) unpriced: u64,
    pub(crate) duration_ms: u64,
}

/// Turns entries into batches; keeps its buffers from one to the next.
#[derive(Default)]
pub(super) struct Builder {
    gateways: HashMap<String, Open>,
    /// Where a key's total is in the batch, by the key's hash: looked up without building the key.
    totals: HashMap<u64, usize>,
    hasher: RandomState,
    compressed: Vec<u8>,
    spare: Vec<Vec<u8>>,
}

/// A gateway's block that still takes entries.
struct Open {
    raw: Vec<u8>,
    block: usize,
    first: usize,
    last: usize,
    records: u64,
    /// How many more rows the gateway takes.
    room: u64,
}

impl Builder {
    /// `stored`: how many records a gateway has.
    pub(super) fn build(
        &mut self,
        entries: impl Iterator<Item = Box<Entry>>,
        stored: &HashMap<String, u64>,
        retention: &RetentionOf,
    ) -> Batch {
        let mut batch = Batch::default();
        for entry in entries {
            self.add_to_totals(&mut batch.totals, &entry.record);
            self.add(&mut batch, entry, stored, retention);
        }
        for (_, mut open) in self.gateways.drain() {
            if open.records > 0 {
                finish(&mut batch.blocks, &mut self.compressed, &mut open);
            }
            // A few buffers of ordinary size are worth keeping.
            if self.spare.len() < 8 && open.raw.capacity() <= 2 * BLOCK_BYTES {
                self.spare.push(open.raw);
            }
        }
        self.totals.clear();
        batch
    }

    fn add(
        &mut self,
        batch: &mut Batch,
        mut entry: Box<Entry>,
        stored: &HashMap<String, u64>,
        retention: &RetentionOf,
    ) {
        let gateway = &entry.record.gateway;
        if !self.gateways.contains_key(gateway) {
            let room = room(gateway, stored, retention);
            let raw = self.spare.pop().unwrap_or_default();
            let open = Open { raw, block: usize::MAX, first: 0, last: 0, records: 0, room };
            self.gateways.insert(gateway.clone(), open);
        }
        let Some(open) = self.gateways.get_mut(gateway) else {
            return;
        };
        if open.room == 0 {
            batch.refused += 1;
            return;
        }
        let size = entry.payload.as_ref().map_or(0, payload_size);
        if open.records > 0 && open.raw.len() + size > BLOCK_BYTES {
            finish(&mut batch.blocks, &mut self.compressed, open);
        }
        let row = batch.rows.len();
        if open.records == 0 {
            // Its place is taken now, so that rows can point to it; what it holds follows when it is full.
            open.block = batch.blocks.len();
            open.first = row;
            batch.blocks.push(Block::reserved(gateway));
        }
        let at = open.raw.len();
        // The bodies are released here: from now on they exist compressed.
        let payload = entry.payload.take();
        block::pack(&mut open.raw, &entry.record, payload.as_ref());
        open.last = row;
        open.records += 1;
        open.room -= 1;
        batch.rows.push(Row { entry, block: open.block, at });
    }

    fn add_to_totals(&mut self, totals: &mut Vec<(MinuteKey, MinuteTotal)>, record: &LogRecord) {
        let minute = record.created_at_ms.div_euclid(60_000);
        let LogRecord { gateway, provider, model, outcome, cached, simulated, .. } = record;
        let mut hash = self.hasher.hash_one((minute, gateway, provider, model, outcome, cached, simulated));
        let at = loop {
            match self.totals.get(&hash) {
                Some(&at) if totals.get(at).is_some_and(|(key, _)| key.is_for(minute, record)) => break at,
                Some(_) => hash = hash.wrapping_add(1),
                None => {
                    self.totals.insert(hash, totals.len());
                    totals.push((MinuteKey::of(minute, record), MinuteTotal::default()));
                    break totals.len() - 1;
                }
            }
        };
        if let Some((_, total)) = totals.get_mut(at) {
            total.add(record);
        }
    }
}

/// How many more rows the gateway takes; one that deletes its oldest takes any number.
fn room(gateway: &str, stored: &HashMap<String, u64>, retention: &RetentionOf) -> u64 {
    let retention = retention("", gateway);
    match retention.strategy {
        Strategy::DeleteOldest if retention.max_rows > 0 => u64::MAX,
        _ => retention.max_rows.saturating_sub(stored.get(gateway).copied().unwrap_or_default()),
    }
}

/// Compresses what the gateway has collected into its reserved block and starts over.
fn finish(blocks: &mut [Block], compressed: &mut Vec<u8>, open: &mut Open) {
    let bound = lz4_flex::block::get_maximum_output_size(open.raw.len());
    if compressed.len() < bound {
        compressed.resize(bound, 0);
    }
    if let Some(block) = blocks.get_mut(open.block) {
        let length = lz4_flex::block::compress_into(&open.raw, compressed)
            .expect("the buffer has the size lz4 asks for in the worst case");
        block.length = open.raw.len();
        block.data = compressed[..length].to_vec();
        (block.first, block.last, block.records) = (open.first, open.last, open.records);
    }
    open.raw.clear();
    open.records = 0;
}

impl Block {
    fn reserved(gateway: &str) -> Self {
        Self { gateway: gateway.to_owned(), length: 0, data: Vec::new(), first: 0, last: 0, records: 0 }
    }
}

impl MinuteKey {
    fn of(minute: i64, record: &LogRecord) -> Self {
        Self {
            minute,
            gateway: record.gateway.clone(),
            provider: record.provider.clone(),
            model: record.model.clone(),
            outcome: record.outcome,
            cached: record.cached,
            simulated: record.simulated,
        }
    }

    fn is_for(&self, minute: i64, record: &LogRecord) -> bool {
        self.minute == minute
            && self.gateway == record.gateway
            && self.provider == record.provider
            && self.model == record.model
            && self.outcome == record.outcome
            && self.cached == record.cached
            && self.simulated == record.simulated
    }
}

impl MinuteTotal {
    fn add(&mut self, record: &LogRecord) {
        let usage = record.usage.unwrap_or_default();
        let answered =
            record.outcome == Outcome::Success && record.dialect.is_some() || record.usage.is_some();
        self.requests += 1;
        self.tokens_in += usage.tokens_in();
        self.tokens_out += usage.tokens_out();
        self.tokens_cached += usage.cache_read;
        self.cost_nano_usd = self.cost_nano_usd.saturating_add(record.cost_nano_usd.unwrap_or(0));
        self.unpriced += u64::from(answered && !record.cached && record.cost_nano_usd.is_none());
        self.duration_ms += u64::from(record.duration_ms);
    }
}
