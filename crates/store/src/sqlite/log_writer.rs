//! One commit of the journal: pages, bodies, totals and retention in a single transaction, synced.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{
    Failure, FileId, chapters, count, exports, file_id, open_writable,
    pages::{self, Stage},
    retention,
    schema::{LOG, SEQ_SHIFT},
    total_writer::TotalWriter,
};
use crate::{
    Result,
    chapter::MOST_PAGES,
    journal::{Batch, ExportPlaces, Part, RetentionOf},
    page::{Page, Zone, frames},
};

/// Short: the journal waits in memory, where it goes on emptying its queue.
const BUSY: Duration = Duration::from_millis(200);
/// Most records one commit deletes beyond as many as it inserts.
const TRIM_SLICE: u64 = 2_000;
/// How far the write-ahead log grows before its pages are moved to the database. Larger: pages written in many commits
/// (totals, right edges) are moved once. Smaller: less disk.
const CHECKPOINT_BYTES: i64 = 16 << 20;
/// Uncompressed size, and number of parts, at which a source's pages are merged and sealed.
const SEAL_BYTES: usize = 128 << 10;
const SEAL_PAGES: usize = 200;
/// A page of this size is sealed at once: writing it twice costs more than merging it gains.
const SEAL_AT_ONCE: usize = 64 << 10;
/// The journal's connection. Dropped and opened anew after any failure, so that what it remembers is what is stored.
pub(crate) struct LogWriter {
    path: PathBuf,
    file: Option<FileId>,
    connection: Connection,
    /// By packed account and id.
    sources: HashMap<Vec<u8>, Stored>,
    last_seq: i64,
    totals: TotalWriter,
    /// `PRAGMA data_version`: changes when somebody else changed the log.
    data_version: i64,
    buffer: Vec<u8>,
    pages_in_chapter: usize,
    wants_to_trim: bool,
    upkeep_every: Duration,
    upkeep_at: Instant,
}

/// What is known of the records of one gateway.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stored {
    pub(crate) records: u64,
    pub(super) number: i64,
    unsealed_pages: usize,
    unsealed_bytes: usize,
    /// Sealed, and in no chapter yet.
    unbound_pages: usize,
    next_block: i64,
    changed: bool,
}

impl LogWriter {
    pub(super) fn open(
        path: &Path,
        max_bytes: Option<u64>,
        pages_in_chapter: usize,
        upkeep_every: Duration,
    ) -> Result<Self> {
        let connection = open_writable(path, &LOG, BUSY)?;
        let prepare = || -> Result<_, Failure> {
            // Synced at each commit: with WAL that is one fsync per interval, and a power cut takes no record that
            // was counted as written.
            connection.pragma_update(None, "synchronous", "full")?;
            let page_size: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
            connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_BYTES / page_size)?;
            connection.pragma_update(None, "journal_size_limit", 4 * CHECKPOINT_BYTES)?;
            connection.pragma_update(None, "cache_size", -4096)?;
            connection.set_prepared_statement_cache_capacity(64);
            if let Some(max_bytes) = max_bytes {
                let pages = i64::try_from(max_bytes).unwrap_or(i64::MAX) / page_size;
                connection.pragma_update(None, "max_page_count", pages.clamp(1, i64::from(u32::MAX - 1)))?;
            }
            Ok(())
        };
        prepare().map_err(|failure| failure.explain(path))?;
        Ok(Self {
            path: path.to_owned(),
            file: file_id(path),
            connection,
            sources: HashMap::new(),
            last_seq: 0,
            totals: TotalWriter::default(),
            data_version: i64::MIN,
            buffer: Vec::new(),
            pages_in_chapter: pages_in_chapter.clamp(1, MOST_PAGES),
            wants_to_trim: true,
            upkeep_every,
            upkeep_at: Instant::now(),
        })
    }

    /// What the gateways have, as of now.
    pub(crate) fn stored(&mut self) -> Result<&HashMap<Vec<u8>, Stored>> {
        refresh(
            &self.connection,
            &mut self.sources,
            &mut self.last_seq,
            &mut self.totals,
            &mut self.data_version,
        )
        .map_err(|failure| failure.explain(&self.path))?;
        Ok(&self.sources)
    }

    /// There is something to delete or to tidy up.
    pub(crate) fn wants_to_trim(&self) -> bool {
        self.wants_to_trim || self.upkeep_at <= Instant::now()
    }

    /// False if the file at our path is no longer the one we write to: what we wrote would vanish with it.
    pub(crate) fn is_in_place(&self) -> bool {
        file_id(&self.path) == self.file
    }

    /// Writes the batch and how far exports have come, and deletes what retention asks for. All or nothing; durable when
    /// it returns.
    pub(crate) fn commit(
        &mut self,
        batch: &Batch,
        exports: &ExportPlaces,
        retention: &RetentionOf,
    ) -> Result<()> {
        self.try_commit(batch, exports, retention).map_err(|failure| failure.explain(&self.path))
    }

    fn try_commit(
        &mut self,
        batch: &Batch,
        places: &ExportPlaces,
        limits: &RetentionOf,
    ) -> Result<(), Failure> {
        let upkeep = self.upkeep_at <= Instant::now();
        let Self { connection, sources, last_seq, totals, data_version, buffer, pages_in_chapter, .. } = self;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        refresh(&transaction, sources, last_seq, totals, data_version)?;
        // Above all others, and not before any time in the batch.
        let base = (*last_seq + 1).max(batch.latest_ms.clamp(0, i64::MAX >> SEQ_SHIFT) << SEQ_SHIFT);
        for part in &batch.parts {
            let stored = match sources.get_mut(&part.gateway) {
                Some(stored) => stored,
                None => {
                    sources.entry(part.gateway.clone()).or_insert(new_source(&transaction, &part.gateway)?)
                }
            };
            write_part(&transaction, part, stored, base, buffer)?;
            *last_seq = (*last_seq).max(base + part.page.zone.last_seq);
        }
        totals.add(&transaction, &batch.totals)?;
        // Before anything is deleted, so that what has arrived does not count as lost.
        exports::note(&transaction, places)?;
        let slice = TRIM_SLICE + batch.records;
        let mut more = retention::trim(&transaction, sources, limits, slice, upkeep)?;
        more |= bind(&transaction, sources, *pages_in_chapter, buffer)?;
        if upkeep {
            more |= totals.thin_out(&transaction)?;
        }
        let mut update = transaction.prepare_cached("UPDATE source SET records = ? WHERE number = ?")?;
        for stored in sources.values_mut().filter(|stored| stored.changed) {
            update.execute(params![stored.records as i64, stored.number])?;
            stored.changed = false;
        }
        drop(update);
        transaction.commit()?;
        if upkeep {
            more |= retention::give_back(connection)?;
            self.upkeep_at = Instant::now() + if more { Duration::ZERO } else { self.upkeep_every };
        }
        self.wants_to_trim = more;
        Ok(())
    }
}

impl Stored {
    /// Takes note that records are gone.
    pub(super) fn lose(&mut self, records: u64) {
        self.records = self.records.saturating_sub(records);
        self.changed = true;
    }

    /// Takes note that a page is gone.
    pub(super) fn lose_page(&mut self, row: &pages::PageRow) {
        self.lose(row.zone.records);
        match row.stage {
            Stage::Open => {
                self.unsealed_pages = self.unsealed_pages.saturating_sub(1);
                self.unsealed_bytes = self.unsealed_bytes.saturating_sub(row.size);
            }
            Stage::Sealed => self.unbound_pages = self.unbound_pages.saturating_sub(1),
            Stage::Bound => {}
        }
    }
}

/// Reads anew what is remembered if somebody else has changed it.
fn refresh(
    connection: &Connection,
    sources: &mut HashMap<Vec<u8>, Stored>,
    last_seq: &mut i64,
    totals: &mut TotalWriter,
    data_version: &mut i64,
) -> Result<(), Failure> {
    let version = connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
    if version == *data_version {
        return Ok(());
    }
    let last: Option<i64> = connection.query_row("SELECT max(last_seq) FROM page", [], |row| row.get(0))?;
    *last_seq = (*last_seq).max(last.unwrap_or_default());
    totals.refresh(connection)?;
    let mut statement = connection.prepare_cached(
        "SELECT key, number, records,
            (SELECT count(*) FROM page WHERE source = number AND sealed = 0),
            (SELECT ifnull(sum(size), 0) FROM page WHERE source = number AND sealed = 0),
            (SELECT count(*) FROM page WHERE source = number AND sealed = 1),
            (SELECT max(bodies.number) FROM bodies
             WHERE bodies.number BETWEEN source.number << 40 AND (source.number + 1 << 40) - 1)
         FROM source",
    )?;
    let rows = statement.query_map([], |row| {
        let number: i64 = row.get(1)?;
        let last_block: Option<i64> = row.get(6)?;
        let stored = Stored {
            records: count(row, 2)?,
            number,
            unsealed_pages: count(row, 3)? as usize,
            unsealed_bytes: count(row, 4)? as usize,
            unbound_pages: count(row, 5)? as usize,
            next_block: last_block.unwrap_or(number << 40) + 1,
            changed: false,
        };
        Ok((row.get(0)?, stored))
    })?;
    *sources = rows.collect::<rusqlite::Result<_>>()?;
    *data_version = version;
    Ok(())
}

fn new_source(transaction: &Transaction<'_>, gateway: &[u8]) -> rusqlite::Result<Stored> {
    let number =
        transaction.prepare_cached("INSERT INTO source (key, records) VALUES (?, 0)")?.insert([gateway])?;
    Ok(Stored { number, next_block: (number << 40) + 1, ..Stored::default() })
}

/// Writes what one gateway contributes, with older pages of it if they are enough to be sealed together.
fn write_part(
    transaction: &Transaction<'_>,
    part: &Part,
    stored: &mut Stored,
    base: i64,
    buffer: &mut Vec<u8>,
) -> Result<(), Failure> {
    let first_block = stored.next_block;
    let mut insert = transaction.prepare_cached("INSERT INTO bodies VALUES (?, ?)")?;
    for bodies in &part.bodies {
        insert.execute(params![stored.next_block, bodies])?;
        stored.next_block += 1;
    }
    let mut zone = part.page.zone.clone();
    zone.first_seq += base;
    zone.last_seq += base;
    zone.bodies = (zone.bodies.0 + first_block, zone.bodies.1 + first_block);
    stored.records += zone.records;
    stored.changed = true;
    let size = part.page.size();
    let seal = size >= SEAL_AT_ONCE
        || stored.unsealed_bytes + size >= SEAL_BYTES
        || stored.unsealed_pages + 1 >= SEAL_PAGES;
    if !seal {
        stored.unsealed_pages += 1;
        stored.unsealed_bytes += size;
        return Ok(pages::insert(transaction, stored.number, &zone, &part.page, Stage::Open, buffer)?);
    }
    stored.unbound_pages += 1;
    if stored.unsealed_pages == 0 {
        return Ok(pages::insert(transaction, stored.number, &zone, &part.page, Stage::Sealed, buffer)?);
    }
    let older = pages::of_stage(transaction, stored.number, Stage::Open, usize::MAX)?;
    let mut page = Page::new(older.first().map_or(zone.bodies.0, |row| row.zone.bodies.0));
    for row in older {
        pages::append(transaction, row.clone(), &mut page)?;
        pages::remove(transaction, &row)?;
    }
    append_part(&mut page, part, &zone, first_block);
    (stored.unsealed_pages, stored.unsealed_bytes) = (0, 0);
    let zone = page.zone.clone();
    Ok(pages::insert(transaction, stored.number, &zone, &page, Stage::Sealed, buffer)?)
}

/// Puts pages of one source into a chapter, if they are enough. True if there are more to be.
fn bind(
    transaction: &Transaction<'_>,
    sources: &mut HashMap<Vec<u8>, Stored>,
    pages_in_chapter: usize,
    buffer: &mut Vec<u8>,
) -> Result<bool, Failure> {
    let enough = |stored: &Stored| stored.unbound_pages >= pages_in_chapter;
    let Some(stored) = sources.values_mut().find(|stored| enough(stored)) else { return Ok(false) };
    stored.unbound_pages = match chapters::bind(transaction, stored.number, pages_in_chapter, buffer)? {
        true => stored.unbound_pages - pages_in_chapter,
        // There were fewer than we thought.
        false => 0,
    };
    Ok(sources.values().any(enough))
}

/// `zone`: of the part, as it is numbered in the log.
fn append_part(page: &mut Page, part: &Part, zone: &Zone, first_block: i64) {
    page.widen(zone);
    let first_block = part.page.zone.bodies.0 + first_block;
    for frame in frames(&part.page.heads, zone.first_seq, first_block).unwrap_or_default() {
        let (head, details) = (&part.page.heads[frame.head], &part.page.details[frame.details]);
        page.put(frame.seq, head, details, frame.bodies);
    }
}
