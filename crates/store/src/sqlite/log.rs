//! The log's file: who reads it, who writes it, and the connections they do it with.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rusqlite::Connection;
use uuid::Uuid;

use super::{
    Failure, FileId, LogWriter, exports, file_id, log_editor,
    log_reader::{self, Records},
    open_readable, open_writable,
    schema::LOG,
    search::{self, Search},
    total_reader,
};
use crate::{
    AnalyticsQuery, AnalyticsRow, Correction, ErrorKind, LogFilter, LogNote, LogPlace, LogRanges, LogRecord,
    LogSlice, LogStretch, LogTally, Payload, Result,
};

const BUSY: Duration = Duration::from_secs(5);
/// Connections kept open between reads.
const SPARE_CONNECTIONS: usize = 2;

/// The log's file, for everyone but the journal, for whom [`Log::writer`] opens it.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    spare: Mutex<Vec<(Option<FileId>, Connection)>>,
}

impl Log {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path, spare: Mutex::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn writer(
        &self,
        max_bytes: Option<u64>,
        pages_in_chapter: usize,
        upkeep_every: Duration,
    ) -> Result<LogWriter> {
        LogWriter::open(&self.path, max_bytes, pages_in_chapter, upkeep_every)
    }

    // Reading

    pub(crate) fn records(&self, filter: &LogFilter) -> Result<Vec<LogRecord>> {
        self.read(|connection| {
            let spots = Search::new(connection, filter)?.spots(filter.limit_or_default())?;
            let mut records = Records::new(connection)?;
            let mut found = Vec::with_capacity(spots.len());
            for spot in spots {
                found.extend(records.read(spot, false)?.map(|(record, _)| record));
            }
            Ok(found)
        })
    }

    pub(crate) fn count(&self, filter: &LogFilter) -> Result<u64> {
        self.read(|connection| Search::new(connection, filter)?.count())
    }

    pub(crate) fn ranges(&self, filter: &LogFilter) -> Result<LogRanges> {
        self.read(|connection| Search::new(connection, filter)?.ranges())
    }

    pub(crate) fn tally(&self, filters: &[LogFilter]) -> Result<LogTally> {
        self.read(|connection| search::tally(connection, filters))
    }

    pub(crate) fn record(&self, id: &str) -> Result<Option<(LogRecord, Option<Payload>)>> {
        self.read(|connection| log_reader::record(connection, id))
    }

    pub(crate) fn analytics(
        &self,
        query: &AnalyticsQuery,
        with_percentiles: bool,
    ) -> Result<Vec<AnalyticsRow>> {
        self.read(|connection| total_reader::analytics(connection, query, with_percentiles))
    }

    // Exports

    pub(crate) fn end(&self) -> Result<LogPlace> {
        self.read(exports::end)
    }

    pub(crate) fn after(&self, place: LogPlace, wanted: &LogSlice) -> Result<LogStretch> {
        self.read(|connection| exports::after(connection, place, wanted))
    }

    pub(crate) fn behind(&self, place: LogPlace, wanted: &LogSlice) -> Result<u64> {
        self.read(|connection| exports::behind(connection, place, wanted))
    }

    pub(crate) fn export_place(&self, target: &str) -> Result<Option<LogPlace>> {
        self.read(|connection| exports::place(connection, target))
    }

    pub(crate) fn lost_before_export(&self, target: &str) -> Result<Vec<(String, u64)>> {
        self.read(|connection| exports::lost(connection, target))
    }

    // Changing

    pub(crate) fn annotate(&self, id: Uuid, note: &LogNote) -> Result<bool> {
        self.change(|connection| log_editor::annotate(connection, id, note))
    }

    pub(crate) fn delete(&self, filter: &LogFilter) -> Result<u64> {
        self.change(|connection| log_editor::delete(connection, filter))
    }

    pub(crate) fn correct_costs(&self, corrections: &[Correction], at_ms: i64) -> Result<u64> {
        self.change(|connection| log_editor::correct_costs(connection, corrections, at_ms))
    }

    // Connections

    /// Runs `change` beside the journal. Nothing changes if there is no log yet.
    fn change<T: Default>(&self, change: impl FnOnce(&mut Connection) -> Result<T, Failure>) -> Result<T> {
        if !self.path.exists() {
            return Ok(T::default());
        }
        let mut connection = open_writable(&self.path, &LOG, BUSY)?;
        connection
            .pragma_update(None, "synchronous", "full")
            .map_err(Failure::from)
            .and_then(|()| change(&mut connection))
            .map_err(|failure| failure.explain(&self.path))
    }

    /// Runs `read` on one consistent state of the log. The default if there is no log yet.
    fn read<T: Default>(&self, read: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T> {
        let Some((file, connection)) = self.connection()? else {
            return Ok(T::default());
        };
        let run = || -> Result<T, Failure> {
            let transaction = connection.unchecked_transaction()?;
            let value = read(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        let value = run().map_err(|failure| failure.explain(&self.path))?;
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_CONNECTIONS {
            spare.push((file, connection));
        }
        Ok(value)
    }

    fn connection(&self) -> Result<Option<(Option<FileId>, Connection)>> {
        let file = file_id(&self.path);
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        // A file that was deleted and begun anew is another log.
        spare.retain(|(opened, _)| *opened == file);
        if let Some(connection) = spare.pop() {
            return Ok(Some(connection));
        }
        drop(spare);
        if file.is_none() {
            return Ok(None);
        }
        match open_readable(&self.path, &LOG, BUSY) {
            Ok(connection) => Ok(Some((file, connection))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
