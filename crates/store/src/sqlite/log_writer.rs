//! One commit of the journal: records, blocks, totals and retention in a single transaction, synced.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{
    Failure, FileId, count, file_id, open_writable, outcome_number,
    schema::{LOG, SEQ_SHIFT},
};
use crate::{
    Result,
    journal::{Batch, Block, RetentionOf, Strategy},
};

/// Short: the journal waits in memory, where it goes on emptying its queue.
const BUSY: Duration = Duration::from_millis(200);
/// Most records one commit deletes beyond as many as it inserts.
const TRIM_SLICE: u64 = 2_000;
/// How far the write-ahead log grows before its pages are moved to the database. Larger: pages written in many commits
/// (totals, right edges) are moved once. Smaller: less disk.
const CHECKPOINT_BYTES: i64 = 16 << 20;

/// The journal's connection. Dropped and opened anew after any failure.
pub(crate) struct LogWriter {
    path: PathBuf,
    file: Option<FileId>,
    connection: Connection,
    /// Records per gateway.
    sizes: HashMap<String, u64>,
    wants_to_trim: bool,
}

impl LogWriter {
    pub(super) fn open(path: &Path, max_bytes: Option<u64>) -> Result<Self> {
        let connection = open_writable(path, &LOG, BUSY)?;
        let prepare = || -> Result<_, Failure> {
            // Synced at each commit: with WAL that is one fsync per interval, and a power cut takes no record that
            // was counted as written.
            connection.pragma_update(None, "synchronous", "full")?;
            connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_BYTES / LOG.page_size)?;
            connection.pragma_update(None, "journal_size_limit", 4 * CHECKPOINT_BYTES)?;
            connection.pragma_update(None, "cache_size", -4096)?;
            if let Some(max_bytes) = max_bytes {
                let pages = i64::try_from(max_bytes).unwrap_or(i64::MAX) / LOG.page_size;
                connection.pragma_update(None, "max_page_count", pages.clamp(1, i64::from(u32::MAX - 1)))?;
            }
            let mut statement = connection.prepare("SELECT gateway, records FROM gateway_size")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, count(row, 1)?)))?;
            Ok(rows.collect::<rusqlite::Result<HashMap<String, u64>>>()?)
        };
        let sizes = prepare().map_err(|failure| failure.explain(path))?;
        Ok(Self { path: path.to_owned(), file: file_id(path), connection, sizes, wants_to_trim: true })
    }

    /// Records per gateway, as of the last commit.
    pub(crate) fn sizes(&self) -> &HashMap<String, u64> {
        &self.sizes
    }

    /// Some gateway has more records than it may keep.
    pub(crate) fn wants_to_trim(&self) -> bool {
        self.wants_to_trim
    }

    /// False if the file at our path is no longer the one we write to: what we wrote would vanish with it.
    pub(crate) fn is_in_place(&self) -> bool {
        file_id(&self.path) == self.file
    }

    /// Writes the batch and deletes what retention asks for. All or nothing; durable when it returns.
    pub(crate) fn commit(&mut self, batch: &Batch, retention: &RetentionOf) -> Result<()> {
        self.try_commit(batch, retention).map_err(|failure| failure.explain(&self.path))
    }

    fn try_commit(&mut self, batch: &Batch, retention: &RetentionOf) -> Result<(), Failure> {
        let mut sizes = self.sizes.clone();
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let base = next_seq(&transaction, batch)?;
        let blocks = insert_blocks(&transaction, batch, base)?;
        insert_rows(&transaction, batch, base, &blocks)?;
        add_totals(&transaction, batch)?;
        for block in &batch.blocks {
            *sizes.entry(block.gateway.clone()).or_default() += block.records;
        }
        let more = trim(&transaction, &mut sizes, retention, TRIM_SLICE + batch.rows.len() as u64)?;
        let mut statement = transaction.prepare_cached(
            "INSERT INTO gateway_size VALUES (?1, ?2) ON CONFLICT DO UPDATE SET records = ?2",
        )?;
        for (gateway, records) in
            sizes.iter().filter(|(gateway, size)| self.sizes.get(*gateway) != Some(size))
        {
            statement.execute(params![gateway, *records as i64])?;
        }
        drop(statement);
        transaction.commit()?;
        (self.sizes, self.wants_to_trim) = (sizes, more);
        Ok(())
    }
}

/// The first of the batch's sequence numbers: above all others, and not before any time in the batch.
fn next_seq(transaction: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<i64> {
    let last: Option<i64> =
        transaction.prepare_cached("SELECT max(seq) FROM record")?.query_row([], |row| row.get(0))?;
    let latest_ms = batch.rows.iter().map(|row| row.record().created_at_ms).max().unwrap_or_default();
    Ok((last.unwrap_or_default() + 1).max(latest_ms.clamp(0, i64::MAX >> SEQ_SHIFT) << SEQ_SHIFT))
}

fn insert_blocks(transaction: &Transaction<'_>, batch: &Batch, base: i64) -> rusqlite::Result<Vec<i64>> {
    let mut block_insert = transaction.prepare_cached("INSERT INTO block (length, data) VALUES (?, ?)")?;
    let mut span_insert = transaction.prepare_cached("INSERT INTO span VALUES (?, ?, ?, ?, ?)")?;
    let insert = |block: &Block| {
        let id = block_insert.insert(params![block.length as i64, block.data])?;
        let (first, last) = (base + block.first as i64, base + block.last as i64);
        span_insert.execute(params![block.gateway, id, first, last, block.records as i64])?;
        Ok(id)
    };
    batch.blocks.iter().map(insert).collect()
}

fn insert_rows(
    transaction: &Transaction<'_>,
    batch: &Batch,
    base: i64,
    blocks: &[i64],
) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO record VALUES
            (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
    )?;
    for (index, row) in batch.rows.iter().enumerate() {
        let record = row.record();
        let metadata = match record.metadata.is_empty() {
            true => None,
            false => serde_json::to_string(&record.metadata).ok(),
        };
        insert.execute(params![
            base + index as i64,
            record.id.as_bytes(),
            record.created_at_ms,
            record.gateway,
            record.provider,
            record.model,
            record.path,
            record.status,
            outcome_number(record.outcome),
            record.error,
            record.cached,
            record.simulated,
            record.duration_ms,
            record.usage.map(|usage| usage.tokens_in() as i64),
            record.usage.map(|usage| usage.tokens_out() as i64),
            record.cost_nano_usd,
            record.event_id,
            record.token_id,
            metadata,
            blocks[row.block],
            row.at as i64,
        ])?;
    }
    Ok(())
}

fn add_totals(transaction: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<()> {
    let mut add = transaction.prepare_cached(
        "INSERT INTO minute_total VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT DO UPDATE SET
            requests = requests + ?8, tokens_in = tokens_in + ?9, tokens_out = tokens_out + ?10,
            tokens_cached = tokens_cached + ?11, cost_nano_usd = cost_nano_usd + ?12,
            unpriced = unpriced + ?13, duration_ms = duration_ms + ?14",
    )?;
    for (key, total) in &batch.totals {
        add.execute(params![
            key.minute,
            key.gateway,
            key.provider,
            key.model,
            outcome_number(key.outcome),
            key.cached,
            key.simulated,
            total.requests as i64,
            total.tokens_in as i64,
            total.tokens_out as i64,
            total.tokens_cached as i64,
            total.cost_nano_usd,
            total.unpriced as i64,
            total.duration_ms as i64,
        ])?;
    }
    Ok(())
}

/// Deletes the oldest records of gateways that have more than they may keep, at most `slice` in all. True if there is
/// more to delete.
fn trim(
    transaction: &Transaction<'_>,
    sizes: &mut HashMap<String, u64>,
    retention: &RetentionOf,
    mut slice: u64,
) -> rusqlite::Result<bool> {
    let mut more = false;
    for (gateway, size) in sizes.iter_mut() {
        let limit = retention("", gateway);
        if limit.strategy == Strategy::StopInserting {
            continue;
        }
        while *size > limit.max_rows && slice > 0 {
            let deleted = delete_oldest(transaction, gateway, slice.min(*size - limit.max_rows))?;
            if deleted == 0 {
                // Nothing is left, whatever the count says: somebody else deleted records.
                *size = 0;
                break;
            }
            slice -= deleted.min(slice);
            *size = size.saturating_sub(deleted);
        }
        more |= *size > limit.max_rows;
    }
    Ok(more)
}

/// Deletes up to `wanted` of the gateway's oldest records within its oldest block, and the block once it serves none.
/// Returns how many records the block counts less.
fn delete_oldest(transaction: &Transaction<'_>, gateway: &str, wanted: u64) -> rusqlite::Result<u64> {
    let mut oldest = transaction.prepare_cached(
        "SELECT block, first_seq, last_seq, records FROM span WHERE gateway = ? ORDER BY block LIMIT 1",
    )?;
    let mut spans = oldest.query([gateway])?;
    let Some(span) = spans.next()? else { return Ok(0) };
    let (block, first, last, records): (i64, i64, i64, u64) =
        (span.get(0)?, span.get(1)?, span.get(2)?, count(span, 3)?);
    drop(spans);
    let mut next: Option<i64> = None;
    if records > wanted {
        next = transaction
            .prepare_cached(
                "SELECT seq FROM record WHERE seq BETWEEN ? AND ? AND gateway = ? ORDER BY seq LIMIT 1 OFFSET ?",
            )?
            .query([&first as &dyn rusqlite::ToSql, &last, &gateway, &(wanted as i64)])?
            .next()?
            .map(|row| row.get(0))
            .transpose()?;
    }
    transaction
        .prepare_cached("DELETE FROM record WHERE seq BETWEEN ? AND ? AND gateway = ?")?
        .execute(params![first, next.map_or(last, |next| next - 1), gateway])?;
    if let Some(next) = next {
        transaction
            .prepare_cached(
                "UPDATE span SET first_seq = ?, records = records - ? WHERE gateway = ? AND block = ?",
            )?
            .execute(params![next, wanted as i64, gateway, block])?;
        return Ok(wanted);
    }
    transaction
        .prepare_cached("DELETE FROM span WHERE gateway = ? AND block = ?")?
        .execute(params![gateway, block])?;
    transaction.prepare_cached("DELETE FROM block WHERE id = ?")?.execute([block])?;
    Ok(records)
}
