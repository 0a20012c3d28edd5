//! Changing what is in the log: notes, corrected costs, deleting by filter. Beside the journal, in short transactions.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use uuid::Uuid;

use super::{
    Failure, chapters, exports,
    log_reader::{Records, Spot, bodies, find_one},
    pages::{self, LoadedPage},
    search::Search,
    total_writer::{LEVELS, TotalWriter, level_of},
};
use crate::{
    Correction, LogFilter, LogNote, LogRecord, Sums,
    filter::value_text,
    packed::{self, Packed, key_of},
    page::{Frame, Page, compress},
    totals::{Total, put_series},
};

/// Records one transaction looks at when deleting: some milliseconds, for which the journal waits.
const SLICE: usize = 4_000;
/// Corrections in one transaction.
const CORRECTIONS: usize = 500;

pub(super) fn annotate(connection: &mut Connection, id: Uuid, note: &LogNote) -> Result<bool, Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if find_one(&transaction, id)?.is_none() {
        return Ok(false);
    }
    let metadata = note.metadata.as_ref().map(|map| serde_json::Value::Object(map.clone()).to_string());
    transaction.execute(
        "INSERT INTO annotation (id, feedback, score, metadata) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET feedback = ifnull(?2, feedback), score = ifnull(?3, score),
            metadata = ifnull(?4, metadata)",
        params![id.as_bytes(), note.feedback, note.score, metadata],
    )?;
    transaction.commit()?;
    Ok(true)
}

/// Deletes what matches, some pages at a time; returns how many records.
pub(super) fn delete(connection: &mut Connection, filter: &LogFilter) -> Result<u64, Failure> {
    // What is deleted shall not be left in the file's free space.
    connection.pragma_update(None, "secure_delete", true)?;
    let limit = if filter.limit == 0 { usize::MAX } else { filter.limit };
    let spots = {
        let transaction = connection.unchecked_transaction()?;
        Search::new(&transaction, filter)?.spots(limit)?
    };
    let mut doomed: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    for Spot { source, seq, .. } in spots {
        doomed.entry(source).or_default().insert(seq);
    }
    let (mut deleted, mut buffer) = (0, Vec::new());
    let mut chapters = BTreeSet::new();
    for (source, mut seqs) in doomed {
        while !seqs.is_empty() {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let (mut looked_at, mut gone) = (0, 0);
            while looked_at < SLICE
                && let Some(first) = seqs.first().copied()
            {
                // Asked anew: the journal may have merged pages, or deleted them, since they were searched.
                let row = pages::page_at(&transaction, source, first)?;
                let Some(row) = row else {
                    seqs.clear();
                    break;
                };
                chapters.extend(chapters::holding(&transaction, &row)?);
                let page = pages::load(&transaction, row)?;
                looked_at += page.frames.len().max(1);
                gone += delete_from_page(&transaction, &page, &seqs, &mut buffer)?;
                seqs = seqs.split_off(&page.row.zone.last_seq.saturating_add(1));
            }
            transaction.execute(
                "UPDATE source SET records = max(0, records - ?) WHERE number = ?",
                params![gone as i64, source],
            )?;
            transaction.commit()?;
            deleted += gone;
        }
    }
    for chapter in chapters {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        chapters::renew(&transaction, chapter, &mut buffer)?;
        transaction.commit()?;
    }
    Ok(deleted)
}

/// Writes the page anew without these records, and blanks their bodies; returns how many there were.
fn delete_from_page(
    transaction: &Transaction<'_>,
    page: &LoadedPage,
    doomed: &BTreeSet<i64>,
    buffer: &mut Vec<u8>,
) -> Result<u64, Failure> {
    let (gone, kept): (Vec<Frame>, Vec<Frame>) =
        page.frames.iter().cloned().partition(|frame| doomed.contains(&frame.seq));
    if gone.is_empty() {
        return Ok(0);
    }
    if kept.is_empty() {
        pages::delete(transaction, &page.row)?;
        return Ok(gone.len() as u64);
    }
    exports::count_lost(transaction, &page.row, || Ok(pages::seqs(&gone)))?;
    pages::forget(transaction, page, &gone)?;
    blank_bodies(transaction, &gone, &kept, buffer)?;
    let details = pages::details(transaction, &page.row)?;
    let mut anew = Page::new(page.row.zone.bodies.0);
    for frame in &kept {
        let details = details.get(frame.details.clone()).unwrap_or_default();
        anew.push(frame.seq, &page.heads[frame.head.clone()], details, frame.bodies);
    }
    // All of its blocks go with it one day, also those that only deleted records used.
    anew.zone.bodies = page.row.zone.bodies;
    // What it is known by, to its chapter too.
    anew.zone.last_seq = page.row.zone.last_seq;
    pages::remove(transaction, &page.row)?;
    let zone = anew.zone.clone();
    pages::insert(transaction, page.row.source, &zone, &anew, page.row.stage, buffer)?;
    chapters::thin_out(transaction, &page.row, false)?;
    Ok(gone.len() as u64)
}

/// Overwrites the bodies of deleted records with zeros. Their block keeps its layout, since others are in it.
fn blank_bodies(
    transaction: &Transaction<'_>,
    gone: &[Frame],
    kept: &[Frame],
    buffer: &mut Vec<u8>,
) -> Result<(), Failure> {
    let mut blocks: HashMap<i64, Vec<usize>> = HashMap::new();
    for place in gone.iter().filter_map(|frame| frame.bodies) {
        blocks.entry(place.block).or_default().push(place.offset);
    }
    for (block, offsets) in blocks {
        if kept.iter().filter_map(|frame| frame.bodies).all(|place| place.block != block) {
            transaction.prepare_cached("DELETE FROM bodies WHERE number = ?")?.execute([block])?;
            continue;
        }
        let mut raw = bodies(transaction, block)?;
        for offset in offsets {
            let entry = raw.get_mut(offset..).unwrap_or_default();
            let length = packed::read_bodies(entry, Uuid::nil(), "").map_or(0, |(_, length)| length);
            entry[..length].fill(0);
        }
        transaction
            .prepare_cached("UPDATE bodies SET data = ? WHERE number = ?")?
            .execute(params![compress(&raw, buffer), block])?;
    }
    Ok(())
}

/// Notes other costs, and adds the differences to the totals.
pub(super) fn correct_costs(
    connection: &mut Connection,
    corrections: &[Correction],
    at_ms: i64,
) -> Result<u64, Failure> {
    let mut corrected = 0;
    for slice in corrections.chunks(CORRECTIONS) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut totals = TotalWriter::default();
        totals.refresh(&transaction)?;
        totals.fold(&transaction)?;
        let mut changes: BTreeMap<(i64, Vec<u8>), (i64, i64)> = BTreeMap::new();
        for correction in slice {
            let Some(spot) = find_one(&transaction, correction.id)? else { continue };
            let Some((record, _)) = Records::new(&transaction)?.read(spot, false)? else { continue };
            transaction
                .prepare_cached(
                    "INSERT INTO annotation (id, correction, corrected_at_ms) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET correction = ?2, corrected_at_ms = ?3",
                )?
                .execute(params![
                    correction.id.as_bytes(),
                    serde_json::to_string(correction).unwrap_or_default(),
                    at_ms
                ])?;
            corrected += 1;
            note_change(&mut changes, &transaction, spot, &record, correction)?;
        }
        for ((minute, series), change) in changes {
            change_totals(&transaction, minute, &series, change)?;
        }
        transaction.commit()?;
    }
    Ok(corrected)
}

/// What a correction changes in the series the record was counted in.
fn note_change(
    changes: &mut BTreeMap<(i64, Vec<u8>), (i64, i64)>,
    transaction: &Transaction<'_>,
    spot: Spot,
    record: &LogRecord,
    correction: &Correction,
) -> Result<(), Failure> {
    let cost = correction.cost_nano_usd.unwrap_or(0) - record.cost_nano_usd.unwrap_or(0);
    let unknown = |cost: Option<i64>| i64::from(cost.is_none() && !record.cached);
    let unpriced = unknown(correction.cost_nano_usd) - unknown(record.cost_nano_usd);
    let packed = Packed::of(record);
    let Some(key) = key_of(packed.head()) else { return Ok(()) };
    let minute = record.created_at_ms.div_euclid(60_000);
    // By the metadata the caller sent, whatever was noted since.
    let original =
        Records::new(transaction)?.without_notes().read(spot, false)?.map(|(record, _)| record.metadata);
    let labels = original.unwrap_or_default();
    let labels = labels.iter().map(|(name, value)| Some((name.clone(), value_text(value))));
    for label in [None].into_iter().chain(labels) {
        let mut series = Vec::new();
        let label = label.as_ref().map(|(name, value)| (name.as_str(), value.as_str()));
        put_series(&mut series, key, label);
        let change = changes.entry((minute, series)).or_default();
        *change = (change.0 + cost, change.1 + unpriced);
    }
    Ok(())
}

fn change_totals(
    transaction: &Transaction<'_>,
    minute: i64,
    series: &[u8],
    (cost, unpriced): (i64, i64),
) -> Result<(), Failure> {
    let mut statement = transaction.prepare_cached("SELECT number FROM series WHERE key = ?")?;
    let Some(number) = statement.query_row([series], |row| row.get::<_, i64>(0)).optional()? else {
        return Ok(());
    };
    for (level, length) in LEVELS.into_iter().enumerate() {
        let level = level + level_of(series);
        let place = params![level as i64, minute.div_euclid(length), number];
        let data: Option<Vec<u8>> = transaction
            .prepare_cached("SELECT data FROM total WHERE level = ? AND bucket = ? AND series = ?")?
            .query_row(place, |row| row.get(0))
            .optional()?;
        let mut total = Total::default();
        if data.as_deref().and_then(|data| total.merge_packed(data, true)).is_none() {
            continue;
        }
        let Sums { cost_nano_usd, unpriced: count, .. } = &mut total.sums;
        *cost_nano_usd = cost_nano_usd.saturating_add(cost);
        *count = count.saturating_add_signed(unpriced);
        let mut raw = Vec::new();
        total.pack(&mut raw);
        transaction
            .prepare_cached("UPDATE total SET data = ?4 WHERE level = ?1 AND bucket = ?2 AND series = ?3")?
            .execute(params![level as i64, minute.div_euclid(length), number, raw])?;
    }
    Ok(())
}
