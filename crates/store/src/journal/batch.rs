//! What one commit writes: pages, bodies, totals.

use std::collections::HashMap;

use super::{Bodies, Entry, RetentionOf, Strategy};
use crate::{
    Outcome,
    bytes::number,
    packed::{self, Figures, ending_of, gateway_names, gateway_of, key_of, read_figures},
    page::{Page, Place, compress},
    sqlite::Stored,
    totals::{Total, put_series},
};

/// Uncompressed size at which a block of bodies is closed. Reading one record's bodies decompresses its whole block: well
/// below a millisecond.
const BLOCK_BYTES: usize = 256 << 10;
/// Longest metadata value that is told apart in totals.
const LABEL_BYTES: usize = 100;

/// One commit, independent of the database.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) parts: Vec<Part>,
    /// By minute since the epoch and series.
    pub(crate) totals: Vec<(i64, Vec<u8>, Total)>,
    pub(crate) records: u64,
    /// The latest time in it.
    pub(crate) latest_ms: i64,
    /// Records a full gateway did not take.
    pub(crate) refused: u64,
}

/// What one gateway contributes. Sequence numbers are places in the batch, blocks are counted from 0.
#[derive(Debug)]
pub(crate) struct Part {
    /// As [`gateway_of`] gives it.
    pub(crate) gateway: Vec<u8>,
    pub(crate) page: Page,
    /// Compressed.
    pub(crate) bodies: Vec<Vec<u8>>,
}

/// Turns entries into batches; keeps its buffers from one to the next.
#[derive(Default)]
pub(super) struct Builder {
    /// The gateways of the batch, and where the last record's one is: mostly it is the next one's, too.
    open: Vec<Open>,
    by_gateway: HashMap<Vec<u8>, usize>,
    last_gateway: usize,
    /// Where a series' total is.
    by_series: HashMap<(i64, Vec<u8>), usize>,
    /// The total of the last record's key.
    last_total: usize,
    series: Vec<u8>,
    compressed: Vec<u8>,
    spare: Vec<Vec<u8>>,
}

/// A gateway's part that still takes records.
struct Open {
    part: Part,
    /// The block of bodies under way.
    raw: Vec<u8>,
    /// How many more records the gateway takes.
    room: u64,
}

impl Builder {
    /// `stored`: how many records a gateway has.
    pub(super) fn build(
        &mut self,
        entries: impl Iterator<Item = Box<Entry>>,
        stored: &HashMap<Vec<u8>, Stored>,
        retention: &RetentionOf,
    ) -> Batch {
        let mut batch = Batch { latest_ms: i64::MIN, ..Batch::default() };
        for entry in entries {
            let head = entry.packed.head();
            let read = || {
                let key = key_of(head)?;
                Some((key, ending_of(key)?, gateway_of(key)?, read_figures(head)?))
            };
            let Some((key, ending, gateway, figures)) = read() else { continue };
            self.add_to_totals(&mut batch.totals, key, ending, &figures);
            batch.latest_ms = batch.latest_ms.max(figures.created_at_ms);
            let open = self.gateway(gateway, stored, retention);
            if self.open[open].room == 0 {
                batch.refused += 1;
                continue;
            }
            let bodies = self.add_bodies(open, &entry);
            let open = &mut self.open[open];
            let read = (head, &figures, ending.0);
            open.part.page.push_read(batch.records as i64, read, entry.packed.details(), bodies);
            open.room -= 1;
            batch.records += 1;
        }
        self.finish(&mut batch);
        batch
    }

    fn gateway(
        &mut self,
        gateway: &[u8],
        stored: &HashMap<Vec<u8>, Stored>,
        retention: &RetentionOf,
    ) -> usize {
        if self.open.get(self.last_gateway).is_some_and(|open| open.part.gateway == gateway) {
            return self.last_gateway;
        }
        self.last_gateway = match self.by_gateway.get(gateway) {
            Some(at) => *at,
            None => {
                let part = Part { gateway: gateway.to_vec(), page: Page::new(0), bodies: Vec::new() };
                let raw = self.spare.pop().unwrap_or_default();
                self.open.push(Open { part, raw, room: room(gateway, stored, retention) });
                self.by_gateway.insert(gateway.to_vec(), self.open.len() - 1);
                self.open.len() - 1
            }
        };
        self.last_gateway
    }

    /// Puts the bodies into the gateway's block and says where they are.
    fn add_bodies(&mut self, open: usize, entry: &Entry) -> Option<Place> {
        let size = entry.payload_size()?;
        let open = &mut self.open[open];
        if !open.raw.is_empty() && open.raw.len() + size > BLOCK_BYTES {
            open.part.bodies.push(compress(&open.raw, &mut self.compressed));
            open.raw.clear();
        }
        let place = Place { block: open.part.bodies.len() as i64, offset: open.raw.len() };
        match &entry.bodies {
            Bodies::Apart(payload) => packed::pack_bodies(&mut open.raw, payload),
            Bodies::Behind(_) | Bodies::None => open.raw.extend_from_slice(entry.packed.bodies()),
        }
        Some(place)
    }

    fn finish(&mut self, batch: &mut Batch) {
        for Open { mut part, mut raw, .. } in self.open.drain(..) {
            if !raw.is_empty() {
                part.bodies.push(compress(&raw, &mut self.compressed));
            }
            // A few buffers of ordinary size are worth keeping.
            if self.spare.len() < 8 && raw.capacity() <= 2 * BLOCK_BYTES {
                raw.clear();
                self.spare.push(raw);
            }
            if part.page.zone.records > 0 {
                batch.parts.push(part);
            }
        }
        self.by_gateway.clear();
        self.by_series.clear();
        (self.last_gateway, self.last_total) = (0, 0);
    }

    fn add_to_totals(
        &mut self,
        totals: &mut Vec<(i64, Vec<u8>, Total)>,
        key: &[u8],
        (outcome, cached): (Outcome, bool),
        figures: &Figures<'_>,
    ) {
        let minute = figures.created_at_ms.div_euclid(60_000);
        let same = |(of, series, _): &(i64, Vec<u8>, Total)| *of == minute && is_series_of(series, key);
        if !totals.get(self.last_total).is_some_and(same) {
            self.last_total = self.total(totals, minute, key, None);
        }
        totals[self.last_total].2.add(outcome, cached, figures);
        if figures.metadata.is_empty() {
            return;
        }
        let metadata: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(figures.metadata).unwrap_or_default();
        for (name, value) in &metadata {
            let value = crate::filter::value_text(value);
            let label = (
                &name[..name.floor_char_boundary(LABEL_BYTES)],
                &value[..value.floor_char_boundary(LABEL_BYTES)],
            );
            let at = self.total(totals, minute, key, Some(label));
            totals[at].2.add(outcome, cached, figures);
        }
    }

    fn total(
        &mut self,
        totals: &mut Vec<(i64, Vec<u8>, Total)>,
        minute: i64,
        key: &[u8],
        label: Option<(&str, &str)>,
    ) -> usize {
        self.series.clear();
        put_series(&mut self.series, key, label);
        let wanted = (minute, std::mem::take(&mut self.series));
        if let Some(at) = self.by_series.get(&wanted) {
            self.series = wanted.1;
            return *at;
        }
        totals.push((minute, wanted.1.clone(), Total::default()));
        self.by_series.insert(wanted, totals.len() - 1);
        totals.len() - 1
    }
}

/// Whether the series is this key without a metadata entry.
fn is_series_of(series: &[u8], key: &[u8]) -> bool {
    let mut rest = series;
    number(&mut rest).is_some() && rest == key
}

/// How many more records the gateway takes; one that deletes its oldest takes any number.
fn room(gateway: &[u8], stored: &HashMap<Vec<u8>, Stored>, retention: &RetentionOf) -> u64 {
    let (account, id) = gateway_names(gateway);
    let retention = retention(account, id);
    match retention.strategy {
        Strategy::DeleteOldest if retention.max_rows > 0 => u64::MAX,
        _ => retention.max_rows.saturating_sub(stored.get(gateway).map_or(0, |stored| stored.records)),
    }
}
