//! Cached answers.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use super::{Failure, FileId, count, explain, file_id, open_readable, open_writable, schema::CACHE};
use crate::cache::{CacheKey, CacheRow, CacheUse};
use crate::{Error, ErrorKind, Result};

const BUSY: Duration = Duration::from_secs(5);
/// Nobody waits long for an answer that may not even be there.
const READ_BUSY: Duration = Duration::from_millis(10);
/// Answers removed in one step, so that no step takes long.
const STEP: u64 = 200;
/// What a row takes beside its data, about.
const ROW: u64 = 120;

/// The cache's file. Cheap to clone; opened when it is used.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    path: Arc<PathBuf>,
}

/// Looks answers up.
pub(crate) struct CacheReader {
    path: Arc<PathBuf>,
    id: Option<FileId>,
    connection: Connection,
}

/// Writes answers and removes old ones.
pub(crate) struct CacheWriter {
    path: Arc<PathBuf>,
    id: Option<FileId>,
    connection: Connection,
    bytes: u64,
    max_bytes: u64,
}

impl Cache {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path: Arc::new(path) }
    }

    pub(crate) fn exists(&self) -> bool {
        self.path.exists()
    }

    pub(crate) fn reader(&self) -> Result<CacheReader> {
        let connection = open_readable(&self.path, &CACHE, READ_BUSY)?;
        Ok(CacheReader { path: Arc::clone(&self.path), id: file_id(&self.path), connection })
    }

    /// The second value: every key in the file.
    pub(crate) fn writer(&self, max_bytes: u64) -> Result<(CacheWriter, Vec<CacheKey>)> {
        let connection = open_writable(&self.path, &CACHE, BUSY)?;
        let read = || -> Result<_, Failure> {
            // A lost commit costs a provider call; waiting for the disk at each would cost more.
            connection.pragma_update(None, "synchronous", "normal")?;
            let bytes = connection
                .query_row("SELECT total(length) FROM answer", [], |row| Ok(row.get::<_, f64>(0)? as u64))?;
            let mut statement = connection.prepare("SELECT key FROM answer")?;
            let keys =
                statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<CacheKey>>>()?;
            Ok((bytes, keys))
        };
        let (bytes, keys) = read().map_err(|failure| failure.explain(&self.path))?;
        let (path, id) = (Arc::clone(&self.path), file_id(&self.path));
        Ok((CacheWriter { path, id, connection, bytes, max_bytes }, keys))
    }

    pub(crate) fn uses(&self, now_ms: i64) -> Result<Vec<CacheUse>> {
        self.look(Vec::new(), |connection| {
            let sql = "SELECT gateway, count(*), CAST(total(length) AS INTEGER), sum(expires_at_ms <= ?)
                FROM answer GROUP BY gateway ORDER BY gateway";
            let mut statement = connection.prepare(sql)?;
            let use_of = |row: &Row<'_>| {
                Ok(CacheUse {
                    gateway: row.get(0)?,
                    answers: count(row, 1)?,
                    bytes: count(row, 2)?,
                    expired: count(row, 3)?,
                })
            };
            Ok(statement.query_map([now_ms], use_of)?.collect::<rusqlite::Result<_>>()?)
        })
    }

    pub(crate) fn purge(&self, gateway: Option<&str>, now_ms: i64) -> Result<u64> {
        let mut connection = open_writable(&self.path, &CACHE, BUSY)?;
        let mut purge = || -> Result<u64, Failure> {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let removed = transaction
                .execute("DELETE FROM answer WHERE ?1 IS NULL OR gateway = ?1", params![gateway])?;
            transaction
                .execute("INSERT INTO purge (gateway, at_ms) VALUES (?, ?)", params![gateway, now_ms])?;
            transaction.commit()?;
            Ok(removed as u64)
        };
        purge().map_err(|failure| failure.explain(&self.path))
    }

    pub(crate) fn purges(&self, after: i64) -> Result<(i64, Vec<Option<String>>)> {
        self.look((after, Vec::new()), |connection| {
            let mut statement =
                connection.prepare("SELECT seq, gateway FROM purge WHERE seq > ? ORDER BY seq")?;
            let found = statement.query_map([after], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let found = found.collect::<rusqlite::Result<Vec<(i64, Option<String>)>>>()?;
            let last = found.last().map_or(after, |(seq, _)| *seq);
            Ok((last, found.into_iter().map(|(_, gateway)| gateway).collect()))
        })
    }

    /// Reads from a file that may well not be there.
    fn look<T>(&self, absent: T, read: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T> {
        if !self.exists() {
            return Ok(absent);
        }
        let connection = open_readable(&self.path, &CACHE, BUSY)?;
        read(&connection).map_err(|failure| failure.explain(&self.path))
    }
}

impl CacheReader {
    pub(crate) fn find(&mut self, key: &CacheKey, now_ms: i64) -> Result<Option<Bytes>> {
        in_place(&self.path, self.id)?;
        let find = || -> rusqlite::Result<Option<Vec<u8>>> {
            let sql = "SELECT data FROM answer WHERE key = ? AND expires_at_ms > ?";
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.query_row(params![key, now_ms], |row| row.get(0)).optional()
        };
        find().map(|data| data.map(Bytes::from)).map_err(|error| explain(error, &self.path))
    }
}

impl CacheWriter {
    /// Writes the rows, each in place of an older one under its key. True: they are there.
    pub(crate) fn put(&mut self, rows: &[CacheRow]) -> Result<bool> {
        in_place(&self.path, self.id)?;
        // Of several under one key only the last is worth writing.
        let last: HashMap<&CacheKey, usize> =
            rows.iter().enumerate().map(|(at, row)| (&row.key, at)).collect();
        let mut bytes = self.bytes;
        let path = Arc::clone(&self.path);
        let mut put = || -> rusqlite::Result<()> {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            {
                let mut old =
                    transaction.prepare_cached("DELETE FROM answer WHERE key = ? RETURNING length")?;
                let mut new = transaction.prepare_cached(
                    "INSERT INTO answer (key, gateway, expires_at_ms, length, data) VALUES (?, ?, ?, ?, ?)",
                )?;
                for (at, row) in rows.iter().enumerate().filter(|(at, row)| last[&row.key] == *at) {
                    let _ = at;
                    let replaced = old.query_row([row.key], |row| count(row, 0)).optional()?;
                    let length = row.data.len() as u64 + ROW;
                    new.execute(params![
                        row.key,
                        row.gateway,
                        row.expires_at_ms,
                        length as i64,
                        &row.data[..]
                    ])?;
                    bytes = bytes.saturating_sub(replaced.unwrap_or_default()) + length;
                }
            }
            transaction.commit()
        };
        put().map_err(|error| explain(error, &path))?;
        self.bytes = bytes;
        Ok(true)
    }

    /// Removes a few answers: those whose time is over, then the oldest until the rest fits. Which, and whether there
    /// may be more.
    pub(crate) fn tidy(&mut self, now_ms: i64) -> Result<(Vec<CacheKey>, bool)> {
        let over = "DELETE FROM answer WHERE seq IN
            (SELECT seq FROM answer WHERE expires_at_ms <= ?1 ORDER BY expires_at_ms LIMIT ?2) RETURNING key, length";
        let mut removed = self.remove(over, now_ms, STEP)?;
        let mut more = removed.len() as u64 == STEP;
        if self.bytes > self.max_bytes {
            let oldest = "DELETE FROM answer WHERE seq IN
                (SELECT seq FROM (SELECT seq, sum(length) OVER (ORDER BY seq) - length AS before FROM
                    (SELECT seq, length FROM answer ORDER BY seq LIMIT ?2)) WHERE before < ?1) RETURNING key, length";
            let excess = i64::try_from(self.bytes - self.max_bytes).unwrap_or(i64::MAX);
            removed.extend(self.remove(oldest, excess, STEP)?);
            more |= self.bytes > self.max_bytes;
        }
        Ok((removed, more))
    }

    pub(crate) fn purge(&mut self, gateway: Option<&str>) -> Result<Vec<CacheKey>> {
        let remove = || -> rusqlite::Result<Vec<(CacheKey, u64)>> {
            let sql = "DELETE FROM answer WHERE ?1 IS NULL OR gateway = ?1 RETURNING key, length";
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.query_map(params![gateway], key_and_length)?.collect()
        };
        let removed = remove().map_err(|error| explain(error, &self.path))?;
        Ok(self.removed(removed))
    }

    fn remove(&mut self, sql: &str, first: i64, limit: u64) -> Result<Vec<CacheKey>> {
        let remove = || -> rusqlite::Result<Vec<(CacheKey, u64)>> {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.query_map(params![first, limit as i64], key_and_length)?.collect()
        };
        let removed = remove().map_err(|error| explain(error, &self.path))?;
        Ok(self.removed(removed))
    }

    fn removed(&mut self, rows: Vec<(CacheKey, u64)>) -> Vec<CacheKey> {
        self.bytes = self.bytes.saturating_sub(rows.iter().map(|(_, length)| length).sum());
        rows.into_iter().map(|(key, _)| key).collect()
    }
}

fn key_and_length(row: &Row<'_>) -> rusqlite::Result<(CacheKey, u64)> {
    Ok((row.get(0)?, count(row, 1)?))
}

/// The file may have been deleted or moved away to make room; it is then opened anew.
fn in_place(path: &Path, id: Option<FileId>) -> Result<()> {
    if file_id(path) == id {
        return Ok(());
    }
    let message = format!("{} was moved or deleted; a new one is begun", path.display());
    Err(Error::new(ErrorKind::NotFound, message))
}
