//! Chapters as rows: made of sealed pages, asked by searches.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use uuid::Uuid;

use super::{
    Failure, damaged,
    pages::{self, PAGE_COLUMNS, PageRow, Stage, page_row},
};
use crate::{
    chapter::{ChapterBuilder, Outline, Vocabulary, read_outlines},
    packed::{key_of, read_head},
    page::{Span, compress, decompress},
};

/// A chapter's bounds as they are stored.
#[derive(Clone, Debug)]
pub(super) struct ChapterRow {
    pub(super) source: i64,
    pub(super) span: Span,
    /// Records were deleted since it was made.
    pub(super) thinned: bool,
}

/// In the order [`chapter_row`] reads them.
const COLUMNS: &str = "source, first_seq, last_seq, first_ms, last_ms, first_id, last_id, thinned";

fn chapter_row(row: &Row<'_>) -> rusqlite::Result<ChapterRow> {
    let id = |column: usize| row.get::<_, [u8; 16]>(column).map(Uuid::from_bytes);
    let span = Span {
        first_seq: row.get(1)?,
        last_seq: row.get(2)?,
        first_ms: row.get(3)?,
        last_ms: row.get(4)?,
        first_id: id(5)?,
        last_id: id(6)?,
    };
    Ok(ChapterRow { source: row.get(0)?, span, thinned: row.get(7)? })
}

/// Puts a source's oldest sealed pages into a chapter, if there are so many; true if so.
pub(super) fn bind(
    transaction: &Transaction<'_>,
    source: i64,
    pages_in_chapter: usize,
    buffer: &mut Vec<u8>,
) -> Result<bool, Failure> {
    let rows = pages::of_stage(transaction, source, Stage::Sealed, pages_in_chapter)?;
    let Some(last_seq) = rows.last().map(|row| row.zone.last_seq) else { return Ok(false) };
    if rows.len() < pages_in_chapter {
        return Ok(false);
    }
    write(transaction, last_seq, rows, buffer)?;
    transaction
        .prepare_cached("UPDATE page SET sealed = ?1 WHERE source = ?2 AND sealed = ?3 AND last_seq <= ?4")?
        .execute(params![Stage::Bound as i64, source, Stage::Sealed as i64, last_seq])?;
    Ok(true)
}

/// Writes a chapter anew after records were deleted, so that it tells nothing of them.
pub(super) fn renew(
    transaction: &Transaction<'_>,
    last_seq: i64,
    buffer: &mut Vec<u8>,
) -> Result<(), Failure> {
    let sql = format!(
        "SELECT {PAGE_COLUMNS} FROM page, (SELECT source AS of, first_seq AS first FROM chapter WHERE last_seq = ?1)
         WHERE source = of AND sealed = ?2 AND last_seq BETWEEN first AND ?1 ORDER BY last_seq"
    );
    let rows: Vec<PageRow> = transaction
        .prepare_cached(&sql)?
        .query_map([last_seq, Stage::Bound as i64], page_row)?
        .collect::<rusqlite::Result<_>>()?;
    if rows.is_empty() { Ok(()) } else { write(transaction, last_seq, rows, buffer) }
}

/// Writes the chapter of these pages, which is known by `last_seq`.
fn write(
    transaction: &Transaction<'_>,
    last_seq: i64,
    rows: Vec<PageRow>,
    buffer: &mut Vec<u8>,
) -> Result<(), Failure> {
    let source = rows.first().map(|row| row.source);
    let mut builder = ChapterBuilder::default();
    for row in rows {
        builder.begin(row.zone.clone());
        let page = pages::load(transaction, row)?;
        for frame in &page.frames {
            let raw = &page.heads[frame.head.clone()];
            if let (Some(key), Some(head)) = (key_of(raw), read_head(raw)) {
                builder.add(key, &head);
            }
        }
    }
    let chapter = builder.finish();
    let zones = || chapter.outlines.iter().map(|outline| &outline.zone);
    transaction
        .prepare_cached("INSERT OR REPLACE INTO chapter VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)")?
        .execute(params![
            last_seq,
            source,
            zones().map(|zone| zone.first_seq).min(),
            chapter.outlines.len() as i64,
            zones().map(|zone| zone.first_ms).min(),
            zones().map(|zone| zone.last_ms).max(),
            zones().map(|zone| zone.first_id).min().unwrap_or_default().as_bytes(),
            zones().map(|zone| zone.last_id).max().unwrap_or_default().as_bytes(),
        ])?;
    transaction.prepare_cached("INSERT OR REPLACE INTO chapter_data VALUES (?, ?, ?, ?)")?.execute(
        params![last_seq, chapter.packed_outlines, compress(&chapter.vocabulary, buffer), chapter.signatures],
    )?;
    Ok(())
}

/// The chapter a page is in, by its last sequence number.
pub(super) fn holding(connection: &Connection, page: &PageRow) -> rusqlite::Result<Option<i64>> {
    if page.stage != Stage::Bound {
        return Ok(None);
    }
    connection
        .prepare_cached(
            "SELECT last_seq FROM chapter WHERE source = ? AND last_seq >= ? ORDER BY last_seq LIMIT 1",
        )?
        .query_row([page.source, page.zone.last_seq], |row| row.get(0))
        .optional()
}

/// Takes note that a page has lost records, or is gone altogether: its chapter tells more than there is.
pub(super) fn thin_out(connection: &Connection, page: &PageRow, gone: bool) -> rusqlite::Result<()> {
    let Some(chapter) = holding(connection, page)? else { return Ok(()) };
    connection
        .prepare_cached(
            "UPDATE chapter SET pages = pages - ?1, thinned = 1 WHERE last_seq = ?2 AND (?1 > 0 OR NOT thinned)",
        )?
        .execute([i64::from(gone), chapter])?;
    if gone {
        connection
            .prepare_cached(
                "DELETE FROM chapter_data
                 WHERE last_seq = ?1 AND (SELECT pages FROM chapter WHERE last_seq = ?1) <= 0",
            )?
            .execute([chapter])?;
        connection
            .prepare_cached("DELETE FROM chapter WHERE last_seq = ? AND pages <= 0")?
            .execute([chapter])?;
    }
    Ok(())
}

/// All chapters.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<ChapterRow>> {
    let sql = format!("SELECT {COLUMNS} FROM chapter");
    connection.prepare_cached(&sql)?.query_map([], chapter_row)?.collect()
}

pub(super) fn outlines(connection: &Connection, chapter: &ChapterRow) -> Result<Vec<Outline>, Failure> {
    let raw = data(connection, chapter, "SELECT outlines FROM chapter_data WHERE last_seq = ?")?;
    read_outlines(&raw).ok_or_else(|| damaged_at(chapter))
}

pub(super) fn vocabulary(connection: &Connection, chapter: &ChapterRow) -> Result<Vocabulary, Failure> {
    let raw = data(connection, chapter, "SELECT vocabulary FROM chapter_data WHERE last_seq = ?")?;
    decompress(&raw).and_then(|raw| Vocabulary::read(&raw)).ok_or_else(|| damaged_at(chapter))
}

pub(super) fn signatures(connection: &Connection, chapter: &ChapterRow) -> Result<Vec<u8>, Failure> {
    data(connection, chapter, "SELECT signatures FROM chapter_data WHERE last_seq = ?")
}

/// Pages, in chapters or not, that may hold ids between these.
pub(super) fn pages_with_ids(
    connection: &Connection,
    first: Uuid,
    last: Uuid,
) -> Result<Vec<PageRow>, Failure> {
    let may_hold = |from: Uuid, to: Uuid| from <= last && first <= to;
    let mut found = pages::loose(connection)?;
    found.retain(|row| may_hold(row.zone.first_id, row.zone.last_id));
    for chapter in
        all(connection)?.iter().filter(|chapter| may_hold(chapter.span.first_id, chapter.span.last_id))
    {
        for outline in outlines(connection, chapter)? {
            if may_hold(outline.zone.first_id, outline.zone.last_id) {
                found.extend(pages::row(connection, outline.zone.last_seq)?);
            }
        }
    }
    Ok(found)
}

fn data(connection: &Connection, chapter: &ChapterRow, sql: &str) -> Result<Vec<u8>, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([chapter.span.last_seq])?;
    let row = rows.next()?.ok_or_else(|| damaged_at(chapter))?;
    Ok(row.get_ref(0)?.as_blob().unwrap_or_default().to_vec())
}

fn damaged_at(chapter: &ChapterRow) -> Failure {
    damaged(&format!("chapter {}", chapter.span.last_seq))
}
