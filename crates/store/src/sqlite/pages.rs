//! Pages as rows: writing, reading, merging and deleting them.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use uuid::Uuid;

use super::{Failure, chapters, count, damaged, exports};
use crate::{
    packed::read_figures,
    page::{Frame, Page, Zone, compress, decompress, frames},
};

/// A page's bounds as they are stored.
#[derive(Clone, Debug)]
pub(super) struct PageRow {
    pub(super) source: i64,
    pub(super) zone: Zone,
    /// So many frames at the beginning are deleted.
    pub(super) skip: usize,
    pub(super) size: usize,
    pub(super) stage: Stage,
}

/// How far a page has come; what is further is older. The numbers are stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// As the records came, in plain bytes.
    Open = 0,
    /// Merged with its neighbours and compressed.
    Sealed = 1,
    /// In a chapter.
    Bound = 2,
}

/// A page's heads with its frames, those deleted left out.
#[derive(Debug)]
pub(super) struct LoadedPage {
    pub(super) row: PageRow,
    pub(super) heads: Vec<u8>,
    pub(super) frames: Vec<Frame>,
}

/// In the order [`page_row`] reads them.
pub(super) const PAGE_COLUMNS: &str = "last_seq, source, first_seq, records, skip, first_ms, last_ms, first_id, \
     last_id, failures, first_block, last_block, size, sealed";

pub(super) fn page_row(row: &Row<'_>) -> rusqlite::Result<PageRow> {
    let id = |column: usize| row.get::<_, [u8; 16]>(column).map(Uuid::from_bytes);
    Ok(PageRow {
        source: row.get(1)?,
        zone: Zone {
            records: count(row, 3)?,
            first_seq: row.get(2)?,
            last_seq: row.get(0)?,
            first_ms: row.get(5)?,
            last_ms: row.get(6)?,
            first_id: id(7)?,
            last_id: id(8)?,
            failures: count(row, 9)?,
            bodies: (row.get(10)?, row.get(11)?),
        },
        skip: count(row, 4)? as usize,
        size: count(row, 12)? as usize,
        stage: match row.get(13)? {
            0 => Stage::Open,
            1 => Stage::Sealed,
            _ => Stage::Bound,
        },
    })
}

/// Writes a page of a source, compressed unless it is open.
pub(super) fn insert(
    connection: &Connection,
    source: i64,
    zone: &Zone,
    page: &Page,
    stage: Stage,
    buffer: &mut Vec<u8>,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO page VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            zone.last_seq,
            source,
            zone.first_seq,
            zone.records as i64,
            zone.first_ms,
            zone.last_ms,
            zone.first_id.as_bytes(),
            zone.last_id.as_bytes(),
            zone.failures as i64,
            zone.bodies.0,
            zone.bodies.1,
            page.size() as i64,
            stage as i64,
        ])?;
    let mut insert = connection.prepare_cached("INSERT INTO page_data VALUES (?, ?, ?)")?;
    if stage == Stage::Open {
        insert.execute(params![zone.last_seq, page.heads, page.details])?;
    } else {
        let heads = compress(&page.heads, buffer);
        insert.execute(params![zone.last_seq, heads, compress(&page.details, buffer)])?;
    }
    Ok(())
}

pub(super) fn load(connection: &Connection, row: PageRow) -> Result<LoadedPage, Failure> {
    let heads = data(connection, &row, "SELECT heads FROM page_data WHERE last_seq = ?")?;
    let mut frames = frames(&heads, row.zone.first_seq, row.zone.bodies.0)
        .ok_or_else(|| damaged(&format!("page {}", row.zone.last_seq)))?;
    frames.drain(..row.skip.min(frames.len()));
    Ok(LoadedPage { row, heads, frames })
}

pub(super) fn details(connection: &Connection, row: &PageRow) -> Result<Vec<u8>, Failure> {
    data(connection, row, "SELECT details FROM page_data WHERE last_seq = ?")
}

fn data(connection: &Connection, row: &PageRow, sql: &str) -> Result<Vec<u8>, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([row.zone.last_seq])?;
    let found = rows.next()?.ok_or_else(|| damaged(&format!("page {}", row.zone.last_seq)))?;
    let data = found.get_ref(0)?.as_blob().unwrap_or_default();
    if row.stage == Stage::Open {
        return Ok(data.to_vec());
    }
    decompress(data).ok_or_else(|| damaged(&format!("page {}", row.zone.last_seq)))
}

/// Appends all that is left of a stored page to one being put together.
pub(super) fn append(connection: &Connection, row: PageRow, page: &mut Page) -> Result<(), Failure> {
    let details = details(connection, &row)?;
    let loaded = load(connection, row)?;
    // Of one that has lost records the bounds tell too much.
    let is_whole = loaded.row.skip == 0;
    if is_whole {
        page.widen(&loaded.row.zone);
    }
    for frame in &loaded.frames {
        let details = details.get(frame.details.clone()).unwrap_or_default();
        let head = &loaded.heads[frame.head.clone()];
        match is_whole {
            true => page.put(frame.seq, head, details, frame.bodies),
            false => page.push(frame.seq, head, details, frame.bodies),
        }
    }
    Ok(())
}

/// The first pages of a source that have come so far, in order.
pub(super) fn of_stage(
    connection: &Connection,
    source: i64,
    stage: Stage,
    limit: usize,
) -> rusqlite::Result<Vec<PageRow>> {
    let sql =
        format!("SELECT {PAGE_COLUMNS} FROM page WHERE source = ? AND sealed = ? ORDER BY last_seq LIMIT ?");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    connection.prepare_cached(&sql)?.query_map(params![source, stage as i64, limit], page_row)?.collect()
}

/// All pages that are in no chapter.
pub(super) fn loose(connection: &Connection) -> rusqlite::Result<Vec<PageRow>> {
    let sql = format!(
        "SELECT {PAGE_COLUMNS} FROM (SELECT number FROM source) CROSS JOIN page
         ON source = number AND sealed IN ({}, {})",
        Stage::Open as i64,
        Stage::Sealed as i64
    );
    connection.prepare_cached(&sql)?.query_map([], page_row)?.collect()
}

/// The page that ends at this number.
pub(super) fn row(connection: &Connection, last_seq: i64) -> rusqlite::Result<Option<PageRow>> {
    let sql = format!("SELECT {PAGE_COLUMNS} FROM page WHERE last_seq = ?");
    connection.prepare_cached(&sql)?.query_row([last_seq], page_row).optional()
}

/// The first page of a source that ends at `seq` or later.
pub(super) fn page_at(connection: &Connection, source: i64, seq: i64) -> rusqlite::Result<Option<PageRow>> {
    let sql = format!(
        "SELECT {PAGE_COLUMNS} FROM page WHERE source = ? AND sealed = ? AND last_seq >= ? ORDER BY last_seq LIMIT 1"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    for stage in [Stage::Bound, Stage::Sealed, Stage::Open] {
        let found = statement.query_row(params![source, stage as i64, seq], page_row).optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Removes a page's rows; its bodies stay.
pub(super) fn remove(connection: &Connection, row: &PageRow) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM page WHERE last_seq = ?")?.execute([row.zone.last_seq])?;
    connection.prepare_cached("DELETE FROM page_data WHERE last_seq = ?")?.execute([row.zone.last_seq])?;
    Ok(())
}

/// Deletes a page with its bodies and what was noted about its records.
pub(super) fn delete(connection: &Connection, row: &PageRow) -> Result<(), Failure> {
    exports::count_lost(connection, row, || Ok(seqs(&load(connection, row.clone())?.frames)))?;
    if has_annotations(connection)? {
        let loaded = load(connection, row.clone())?;
        forget(connection, &loaded, &loaded.frames)?;
    }
    remove(connection, row)?;
    chapters::thin_out(connection, row, true)?;
    connection
        .prepare_cached("DELETE FROM bodies WHERE number BETWEEN ? AND ?")?
        .execute([row.zone.bodies.0, row.zone.bodies.1])?;
    Ok(())
}

/// Deletes the first `records` that are left of a page: marks them, for writing the page anew each time would cost more.
pub(super) fn skip(transaction: &Transaction<'_>, row: &PageRow, records: u64) -> Result<(), Failure> {
    exports::count_lost(transaction, row, || {
        let frames = load(transaction, row.clone())?.frames;
        Ok(seqs(&frames[..(records as usize).min(frames.len())]))
    })?;
    if has_annotations(transaction)? {
        let loaded = load(transaction, row.clone())?;
        forget(transaction, &loaded, &loaded.frames[..(records as usize).min(loaded.frames.len())])?;
    }
    transaction
        .prepare_cached("UPDATE page SET skip = skip + ?1, records = records - ?1 WHERE last_seq = ?2")?
        .execute(params![records as i64, row.zone.last_seq])?;
    chapters::thin_out(transaction, row, false)?;
    Ok(())
}

/// The sequence numbers of records.
pub(super) fn seqs(frames: &[Frame]) -> Vec<i64> {
    frames.iter().map(|frame| frame.seq).collect()
}

pub(super) fn has_annotations(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM annotation)")?.query_row([], |row| row.get(0))
}

/// Deletes what was noted about these records.
pub(super) fn forget(connection: &Connection, page: &LoadedPage, frames: &[Frame]) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM annotation WHERE id = ?")?;
    for figures in frames.iter().filter_map(|frame| read_figures(&page.heads[frame.head.clone()])) {
        delete.execute([figures.id.as_bytes()])?;
    }
    Ok(())
}
