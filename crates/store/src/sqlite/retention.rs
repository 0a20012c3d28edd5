//! Deleting what a gateway may no longer keep, and giving space back, in small steps.

use std::{
    collections::HashMap,
    time::{SystemTime, UNIX_EPOCH},
};

use rusqlite::{Connection, Transaction};

use super::{Failure, chapters, log_writer::Stored, pages};
use crate::{
    journal::{RetentionOf, Strategy},
    packed::{gateway_names, read_figures},
};

/// SQLite pages one step gives back to the file system: a megabyte.
const STEP_PAGES: i64 = 256;
/// Less free space than this is kept for new records.
const SPARE_PAGES: i64 = 4_096;

/// Deletes the oldest records of gateways that have more than they may keep, and if `by_age` those that are too old; at
/// most `slice` in all. True if there is more to delete.
pub(super) fn trim(
    transaction: &Transaction<'_>,
    sources: &mut HashMap<Vec<u8>, Stored>,
    retention: &RetentionOf,
    mut slice: u64,
    by_age: bool,
) -> Result<bool, Failure> {
    let mut more = false;
    for (gateway, stored) in sources.iter_mut() {
        let (account, id) = gateway_names(gateway);
        let limit = retention(account, id);
        if limit.strategy == Strategy::DeleteOldest {
            while stored.records > limit.max_rows && slice > 0 {
                let wanted = slice.min(stored.records - limit.max_rows);
                slice -= delete_oldest(transaction, stored, wanted)?.min(slice);
            }
            more |= stored.records > limit.max_rows;
        }
        if let Some(age) = limit.max_age.filter(|_| by_age) {
            let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            more |= delete_before(transaction, stored, now_ms().saturating_sub(age), &mut slice)?;
        }
    }
    Ok(more)
}

/// Deletes up to `wanted` of the oldest records within the oldest page; returns how many.
fn delete_oldest(transaction: &Transaction<'_>, stored: &mut Stored, wanted: u64) -> Result<u64, Failure> {
    let Some(row) = pages::page_at(transaction, stored.number, 0)? else {
        // Nothing is left, whatever the count says.
        let gone = stored.records;
        stored.lose(gone);
        return Ok(gone);
    };
    if row.zone.records > wanted {
        pages::skip(transaction, &row, wanted)?;
        stored.lose(wanted);
        return Ok(wanted);
    }
    pages::delete(transaction, &row)?;
    stored.lose_page(&row);
    Ok(row.zone.records.max(1))
}

/// Deletes what began before a time, oldest pages first. True if there is more.
fn delete_before(
    transaction: &Transaction<'_>,
    stored: &mut Stored,
    before_ms: i64,
    slice: &mut u64,
) -> Result<bool, Failure> {
    let mut thinned = None;
    let more = delete_pages_before(transaction, stored, before_ms, slice, &mut thinned)?;
    // Who deletes by age wants nothing of it to be left. Many records at a time, so this is worth it.
    if let Some(chapter) = thinned {
        chapters::renew(transaction, chapter, &mut Vec::new())?;
    }
    Ok(more)
}

/// `thinned`: the last chapter that lost pages.
fn delete_pages_before(
    transaction: &Transaction<'_>,
    stored: &mut Stored,
    before_ms: i64,
    slice: &mut u64,
    thinned: &mut Option<i64>,
) -> Result<bool, Failure> {
    while let Some(row) = pages::page_at(transaction, stored.number, 0)? {
        if row.zone.first_ms >= before_ms {
            return Ok(false);
        }
        if row.zone.last_ms >= before_ms {
            let page = pages::load(transaction, row.clone())?;
            let is_old = |head: &[u8]| read_figures(head).is_some_and(|of| of.created_at_ms < before_ms);
            let old =
                page.frames.iter().take_while(|frame| is_old(&page.heads[frame.head.clone()])).count() as u64;
            if old > 0 {
                pages::skip(transaction, &row, old)?;
                stored.lose(old);
            }
            return Ok(false);
        }
        if *slice == 0 {
            return Ok(true);
        }
        *thinned = chapters::holding(transaction, &row)?;
        pages::delete(transaction, &row)?;
        stored.lose_page(&row);
        *slice = slice.saturating_sub(row.zone.records);
    }
    Ok(false)
}

/// Gives a little free space back to the file system if a quarter of the file is free. True if there is more to give.
pub(super) fn give_back(connection: &Connection) -> Result<bool, Failure> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let excess = || -> rusqlite::Result<bool> {
        let free = number("freelist_count")?;
        Ok(free > SPARE_PAGES && free > number("page_count")? / 4)
    };
    if number("auto_vacuum")? != 2 || !excess()? {
        return Ok(false);
    }
    let mut step = connection.prepare(&format!("PRAGMA incremental_vacuum({STEP_PAGES})"))?;
    let mut rows = step.query([])?;
    while rows.next()?.is_some() {}
    drop(rows);
    drop(step);
    Ok(excess()?)
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
