//! Reading records.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{
    Failure, FileId, LogWriter, count, file_id, open_readable, open_writable, outcome_of, schema::LOG, usage,
};
use crate::{
    AnalyticsQuery, AnalyticsRow, Correction, Dimension, Direction, Error, ErrorKind, LogField, LogFilter,
    LogNote, LogOrder, LogRanges, LogRecord, Payload, Percentiles, Repriced, Result, Sums, UsageQuery,
    UsageRow,
    annotation::Annotation,
    block,
    filter::{Compiled, Found, Head, value_text},
    sketch::Sketch,
};

const BUSY: Duration = Duration::from_secs(5);
/// Connections kept open between reads.
const SPARE_CONNECTIONS: usize = 2;

/// The log's file, for reading; [`Log::writer`] opens it for the journal.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    spare: Mutex<Vec<(Option<FileId>, Connection)>>,
}

impl Log {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path, spare: Mutex::default() }
    }

    pub(crate) fn writer(&self, max_bytes: Option<u64>) -> Result<LogWriter> {
        LogWriter::open(&self.path, max_bytes)
    }

    pub(crate) fn records(&self, filter: &LogFilter) -> Result<Vec<LogRecord>> {
        let compiled = Compiled::new(filter)?;
        let mut found = self.all(filter, &compiled)?;
        if filter.order != LogOrder::Recorded {
            found.sort_by_cached_key(|record| sort_key(filter.order, record));
        }
        if filter.direction == Direction::Descending {
            found.reverse();
        }
        Ok(found.into_iter().skip(filter.offset).take(filter.limit_or_default()).collect())
    }

    fn all(&self, filter: &LogFilter, compiled: &Compiled) -> Result<Vec<LogRecord>> {
        self.read(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM record ORDER BY seq");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query([])?;
            let mut blocks = Blocks { connection, current: None };
            let mut records = Vec::new();
            while let Some(row) = rows.next()? {
                records.push(record(row, &mut blocks, false)?.0);
            }
            let position = |id| records.iter().position(|record: &LogRecord| record.id == id);
            let before = filter.before.map(|id| (id, position(id)));
            let after = filter.after.map(|id| (id, position(id)));
            let mut kept = Vec::new();
            for (at, record) in records.iter().enumerate() {
                let inside = before.is_none_or(|(id, edge)| edge.map_or(record.id < id, |edge| at < edge))
                    && after.is_none_or(|(id, edge)| edge.map_or(record.id > id, |edge| at > edge));
                let annotation = annotation(connection, record.id)?;
                let metadata = metadata_text(record);
                if inside && compiled.matches(&head(record, &metadata), Some(&annotation)) {
                    kept.push(merged(record.clone(), &annotation));
                }
            }
            Ok(kept)
        })
    }

    pub(crate) fn count(&self, filter: &LogFilter) -> Result<u64> {
        Ok(self.all(filter, &Compiled::new(filter)?)?.len() as u64)
    }

    pub(crate) fn ranges(&self, filter: &LogFilter) -> Result<LogRanges> {
        let mut ranges = LogRanges::default();
        for record in self.all(filter, &Compiled::new(filter)?)? {
            ranges.add(&head(&record, ""), None);
        }
        Ok(ranges)
    }

    pub(crate) fn delete(&self, filter: &LogFilter) -> Result<u64> {
        let limit = if filter.limit == 0 { usize::MAX } else { filter.limit };
        let doomed = self.records(&LogFilter { limit, ..filter.clone() })?;
        let connection = open_writable(&self.path, &LOG, BUSY)?;
        let delete = || -> Result<(), Failure> {
            for slice in doomed.chunks(200) {
                let transaction = connection.unchecked_transaction()?;
                for record in slice {
                    transaction.execute("DELETE FROM record WHERE id = ?", [record.id.as_bytes()])?;
                    transaction.execute("DELETE FROM annotation WHERE id = ?", [record.id.as_bytes()])?;
                }
                transaction.commit()?;
            }
            Ok(())
        };
        delete().map_err(|failure| failure.explain(&self.path))?;
        Ok(doomed.len() as u64)
    }

    pub(crate) fn annotate(&self, id: Uuid, note: &LogNote) -> Result<bool> {
        if self.record(&id.to_string())?.is_none() {
            return Ok(false);
        }
        let connection = open_writable(&self.path, &LOG, BUSY)?;
        let metadata = note.metadata.as_ref().map(|map| serde_json::Value::Object(map.clone()).to_string());
        connection
            .execute(
                "INSERT INTO annotation (id, feedback, score, metadata) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET feedback = ifnull(?2, feedback), score = ifnull(?3, score),
                    metadata = ifnull(?4, metadata)",
                params![id.as_bytes(), note.feedback, note.score, metadata],
            )
            .map_err(|error| Failure::from(error).explain(&self.path))?;
        Ok(true)
    }

    pub(crate) fn correct_costs(&self, corrections: &[Correction], at_ms: i64) -> Result<u64> {
        let connection = open_writable(&self.path, &LOG, BUSY)?;
        let mut corrected = 0;
        for correction in corrections {
            let text = serde_json::to_string(correction).unwrap_or_default();
            corrected += connection
                .execute(
                    "INSERT INTO annotation (id, correction, corrected_at_ms) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET correction = ?2, corrected_at_ms = ?3",
                    params![correction.id.as_bytes(), text, at_ms],
                )
                .map_err(|error| Failure::from(error).explain(&self.path))? as u64;
        }
        Ok(corrected)
    }

    pub(crate) fn analytics(&self, query: &AnalyticsQuery) -> Result<Vec<AnalyticsRow>> {
        let everything = LogFilter::default();
        let mut groups: BTreeMap<(Option<i64>, Vec<String>), (Sums, Sketch, Sketch)> = BTreeMap::new();
        for record in self.all(&everything, &Compiled::new(&everything)?)? {
            let value = |dimension: &Dimension| -> Option<String> {
                Some(match dimension {
                    Dimension::Account => record.account.clone(),
                    Dimension::Gateway => record.gateway.clone(),
                    Dimension::Provider => record.provider.clone(),
                    Dimension::Model => record.model.clone(),
                    Dimension::Status => record.status.to_string(),
                    Dimension::Outcome => record.outcome.name().to_owned(),
                    Dimension::Cached => record.cached.to_string(),
                    Dimension::Simulated => record.simulated.to_string(),
                    Dimension::Token => record.token_id.clone(),
                    Dimension::Metadata(key) => value_text(record.metadata.get(key)?),
                })
            };
            let at = record.created_at_ms;
            let inside = query.since_ms.is_none_or(|since| at >= since)
                && query.until_ms.is_none_or(|until| at < until)
                && query.conditions.iter().all(|condition| {
                    value(&condition.dimension)
                        .is_some_and(|value| condition.values.contains(&value) != condition.negated)
                });
            let group: Option<Vec<String>> = query.group_by.iter().map(value).collect();
            let (true, Some(group)) = (inside, group) else { continue };
            let bucket = query.bucket.map(|bucket| at.div_euclid(bucket.length_ms()) * bucket.length_ms());
            let (sums, duration, first_byte) = groups.entry((bucket, group)).or_default();
            let usage = record.usage.unwrap_or_default();
            sums.add(&Sums {
                requests: 1,
                errors: (record.outcome != crate::Outcome::Success).into(),
                cached: record.cached.into(),
                tokens_in: usage.tokens_in(),
                tokens_out: usage.tokens_out(),
                cost_nano_usd: record.cost_nano_usd.unwrap_or_default(),
                duration_ms: record.duration_ms.into(),
                ..Sums::default()
            });
            duration.add(record.duration_ms);
            record.first_byte_ms.into_iter().for_each(|ms| first_byte.add(ms));
        }
        let rows =
            groups.into_iter().map(|((bucket_ms, group), (sums, duration, first_byte))| AnalyticsRow {
                bucket_ms,
                group,
                sums,
                duration: Percentiles::of(&duration),
                first_byte: Percentiles::of(&first_byte),
            });
        Ok(rows.collect())
    }

    pub(crate) fn record(&self, id: &str) -> Result<Option<(LogRecord, Option<Payload>)>> {
        let (first, last) = id_range(id)?;
        self.read(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM record WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 2");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query([first.as_bytes(), last.as_bytes()])?;
            let mut blocks = Blocks { connection, current: None };
            let Some(row) = rows.next()? else { return Ok(None) };
            let (record, payload) = record(row, &mut blocks, true)?;
            let annotation = annotation(connection, record.id)?;
            let found = (merged(record, &annotation), payload);
            if first != last && rows.next()?.is_some() {
                let message = format!("several records have an id that starts with `{id}`; give more of it");
                return Err(Error::new(ErrorKind::Invalid, message).into());
            }
            Ok(Some(found))
        })
    }

    pub(crate) fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageRow>> {
        self.read(|connection| Ok(usage::usage(connection, query)?))
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

/// In the order [`record`] reads them.
const COLUMNS: &str =
    "id, created_at_ms, gateway, provider, model, path, status, outcome, error, cached, simulated,
    duration_ms, cost_nano_usd, event_id, token_id, metadata, block, at";

fn annotation(connection: &Connection, id: Uuid) -> rusqlite::Result<Annotation> {
    let mut statement = connection.prepare_cached(
        "SELECT feedback, score, metadata, correction, corrected_at_ms FROM annotation WHERE id = ?",
    )?;
    let found = statement.query_row([id.as_bytes()], |row| {
        let correction: Option<String> = row.get(3)?;
        Ok(Annotation {
            feedback: row.get(0)?,
            score: row.get(1)?,
            metadata_text: row.get(2)?,
            repriced: correction.and_then(|text| serde_json::from_str(&text).ok()),
            repriced_at_ms: row.get::<_, Option<i64>>(4)?.unwrap_or_default(),
        })
    });
    Ok(found.optional()?.unwrap_or_default())
}

fn merged(mut record: LogRecord, annotation: &Annotation) -> LogRecord {
    record.feedback = annotation.feedback;
    record.score = annotation.score;
    if let Some(text) = &annotation.metadata_text {
        record.metadata = serde_json::from_str(text).unwrap_or_default();
    }
    if let Some(correction) = &annotation.repriced {
        record.repriced = Some(Repriced {
            at_ms: annotation.repriced_at_ms,
            original_cost_nano_usd: record.cost_nano_usd,
            original_price_id: record.price_id.take(),
            original_price_formula: record.price_formula.take(),
        });
        record.cost_nano_usd = correction.cost_nano_usd;
        record.price_id.clone_from(&correction.price_id);
        record.price_formula.clone_from(&correction.price_formula);
    }
    record
}

fn metadata_text(record: &LogRecord) -> String {
    if record.metadata.is_empty() {
        return String::new();
    }
    serde_json::to_string(&record.metadata).unwrap_or_default()
}

fn head<'a>(record: &'a LogRecord, metadata: &'a str) -> Head<'a> {
    Head {
        id: record.id,
        created_at_ms: record.created_at_ms,
        account: &record.account,
        gateway: &record.gateway,
        provider: &record.provider,
        model: &record.model,
        token_id: &record.token_id,
        status: record.status,
        outcome: record.outcome,
        cached: record.cached,
        simulated: record.simulated,
        stream: record.stream,
        custom_cost: record.custom_cost,
        dialect: record.dialect,
        step: record.step,
        duration_ms: record.duration_ms,
        first_byte_ms: record.first_byte_ms,
        usage: record.usage,
        cost_nano_usd: record.cost_nano_usd,
        metadata,
        event_id: &record.event_id,
        path: &record.path,
        method: &record.method,
        error: &record.error,
        user_agent: &record.user_agent,
        request_content_type: &record.request_content_type,
        response_content_type: &record.response_content_type,
    }
}

/// Numbers that are missing come before all.
fn sort_key(order: LogOrder, record: &LogRecord) -> (Option<i64>, String) {
    let number = |number: Option<i64>| (number, String::new());
    let tokens =
        |of: fn(&genesis_wire::Usage) -> u64| number(record.usage.as_ref().map(|usage| of(usage) as i64));
    match order {
        LogOrder::Recorded => (None, String::new()),
        LogOrder::CreatedAt => number(Some(record.created_at_ms)),
        LogOrder::Provider => (None, record.provider.clone()),
        LogOrder::Model => (None, record.model.clone()),
        LogOrder::ModelType => {
            let head = head(record, "");
            match head.find(LogField::ModelType, None) {
                Found::Text(text) => (None, text.to_owned()),
                _ => (None, String::new()),
            }
        }
        LogOrder::Success => number(Some((record.outcome == crate::Outcome::Success).into())),
        LogOrder::Cached => number(Some(record.cached.into())),
        LogOrder::Cost => number(record.cost_nano_usd),
        LogOrder::TokensIn => tokens(genesis_wire::Usage::tokens_in),
        LogOrder::TokensOut => tokens(genesis_wire::Usage::tokens_out),
        LogOrder::Duration => number(Some(record.duration_ms.into())),
        LogOrder::Feedback => number(record.feedback.map(i64::from)),
    }
}

/// First and last id that start with the hex digits of `text`.
fn id_range(text: &str) -> Result<(Uuid, Uuid)> {
    let digits: String = text.chars().filter(|character| *character != '-').collect();
    let id = |fill: &str| {
        Uuid::try_parse(&format!("{digits}{}", fill.repeat(32usize.saturating_sub(digits.len()))))
    };
    match (id("0"), id("f")) {
        (Ok(first), Ok(last)) if digits.len() >= 8 => Ok((first, last)),
        _ => Err(Error::new(
            ErrorKind::Invalid,
            "a log id is a UUID, or at least the first 8 of its hex digits; `genesis logs` shows them",
        )),
    }
}

fn record(
    row: &Row<'_>,
    blocks: &mut Blocks<'_>,
    with_payload: bool,
) -> Result<(LogRecord, Option<Payload>), Failure> {
    let id: [u8; 16] = row.get(0)?;
    let metadata: Option<String> = row.get(15)?;
    let mut record = LogRecord {
        id: Uuid::from_bytes(id),
        created_at_ms: row.get(1)?,
        gateway: row.get(2)?,
        provider: row.get(3)?,
        model: row.get(4)?,
        path: row.get(5)?,
        status: row.get(6)?,
        outcome: outcome_of(row.get(7)?),
        error: row.get(8)?,
        cached: row.get(9)?,
        simulated: row.get(10)?,
        duration_ms: row.get(11)?,
        cost_nano_usd: row.get(12)?,
        event_id: row.get(13)?,
        token_id: row.get(14)?,
        metadata: metadata.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
        // The rest is in the block.
        ..LogRecord::default()
    };
    let at = usize::try_from(count(row, 17)?).unwrap_or(usize::MAX);
    let entry = blocks.load(row.get(16)?)?.get(at..).unwrap_or_default();
    match block::unpack(entry, &mut record, with_payload) {
        Some(payload) => Ok((record, payload)),
        None => Err(damaged(&record.id.to_string())),
    }
}

/// Decompresses blocks; keeps the last, because neighbours share it.
struct Blocks<'a> {
    connection: &'a Connection,
    current: Option<(i64, Vec<u8>)>,
}

impl Blocks<'_> {
    fn load(&mut self, id: i64) -> Result<&[u8], Failure> {
        let current = match self.current.take() {
            Some(current) if current.0 == id => current,
            _ => (id, self.decompress(id)?),
        };
        Ok(&self.current.insert(current).1)
    }

    fn decompress(&self, id: i64) -> Result<Vec<u8>, Failure> {
        let mut statement = self.connection.prepare_cached("SELECT length, data FROM block WHERE id = ?")?;
        let mut rows = statement.query([id])?;
        let Some(row) = rows.next()? else {
            return Err(damaged(&format!("block {id}")));
        };
        let length = usize::try_from(count(row, 0)?).unwrap_or(usize::MAX);
        let data = row.get_ref(1)?.as_blob().unwrap_or_default();
        // lz4 expands 255-fold at most; a larger length is damage, not a reason to allocate.
        if length > data.len().saturating_mul(255) {
            return Err(damaged(&format!("block {id}")));
        }
        lz4_flex::block::decompress(data, length).map_err(|_| damaged(&format!("block {id}")))
    }
}

fn damaged(what: &str) -> Failure {
    let message =
        format!("the log is damaged at {what}; restore it from a backup, or move it away to start afresh");
    Failure::Ours(Error::new(ErrorKind::Corrupt, message))
}
