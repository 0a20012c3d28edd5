//! Reading records.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter, types::Value};
use uuid::Uuid;

use super::{
    Failure, FileId, LogWriter, count, file_id, open_readable, outcome_of,
    schema::{LOG, SEQ_SHIFT},
    usage,
};
use crate::{Error, ErrorKind, LogFilter, LogRecord, Order, Payload, Result, UsageQuery, UsageRow, block};

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
        let limit = if filter.limit == 0 { LogFilter::DEFAULT_LIMIT } else { filter.limit };
        self.read(|connection| {
            let (conditions, values) = conditions(connection, filter)?;
            let order = match filter.order {
                Order::Newest => "DESC",
                Order::Oldest => "ASC",
            };
            let sql = format!("SELECT {COLUMNS} FROM record WHERE {conditions} ORDER BY seq {order}");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(params_from_iter(values))?;
            let mut blocks = Blocks { connection, current: None };
            let mut records = Vec::new();
            while records.len() < limit
                && let Some(row) = rows.next()?
            {
                let (record, _) = record(row, &mut blocks, false)?;
                if matches_unindexed(filter, &record) {
                    records.push(record);
                }
            }
            Ok(records)
        })
    }

    pub(crate) fn count(&self, filter: &LogFilter) -> Result<u64> {
        self.read(|connection| {
            let (conditions, values) = conditions(connection, filter)?;
            if filter.account.is_none() && filter.metadata_key.is_none() && filter.metadata_value.is_none() {
                let sql = format!("SELECT count(*) FROM record WHERE {conditions}");
                let mut statement = connection.prepare_cached(&sql)?;
                return Ok(statement.query_row(params_from_iter(values), |row| count(row, 0))?);
            }
            let sql = format!("SELECT {COLUMNS} FROM record WHERE {conditions} ORDER BY seq");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(params_from_iter(values))?;
            let mut blocks = Blocks { connection, current: None };
            let mut matching = 0;
            while let Some(row) = rows.next()? {
                matching += u64::from(matches_unindexed(filter, &record(row, &mut blocks, false)?.0));
            }
            Ok(matching)
        })
    }

    pub(crate) fn record(&self, id: &str) -> Result<Option<(LogRecord, Option<Payload>)>> {
        let (first, last) = id_range(id)?;
        self.read(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM record WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 2");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query([first.as_bytes(), last.as_bytes()])?;
            let mut blocks = Blocks { connection, current: None };
            let Some(row) = rows.next()? else { return Ok(None) };
            let found = record(row, &mut blocks, true)?;
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

/// The filter's conditions on columns, and their values.
fn conditions(connection: &Connection, filter: &LogFilter) -> rusqlite::Result<(String, Vec<Value>)> {
    let mut conditions = String::from("TRUE");
    let mut values: Vec<Value> = Vec::new();
    let mut add = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            conditions.push_str(" AND ");
            conditions.push_str(condition);
            values.push(value);
        }
    };
    let text = |text: &Option<String>| text.clone().map(Value::from);
    let number = |number: Option<u64>| number.map(|number| i64::try_from(number).unwrap_or(i64::MAX).into());
    add("gateway = ?", text(&filter.gateway));
    add("provider = ?", text(&filter.provider));
    add("model = ?", text(&filter.model));
    add("status = ?", filter.status.map(|status| i64::from(status).into()));
    match filter.success {
        // Literal, so that the index of failures is used.
        Some(false) => add("outcome <> 0 AND ?", Some(1.into())),
        Some(true) => add("outcome = ?", Some(0.into())),
        None => {}
    }
    add("cached = ?", filter.cached.map(|cached| i64::from(cached).into()));
    add("simulated = ?", filter.simulated.map(|simulated| i64::from(simulated).into()));
    add("cost_nano_usd >= ?", filter.min_cost_nano_usd.map(Value::from));
    add("cost_nano_usd <= ?", filter.max_cost_nano_usd.map(Value::from));
    add("duration_ms >= ?", number(filter.min_duration_ms.map(u64::from)));
    add("duration_ms <= ?", number(filter.max_duration_ms.map(u64::from)));
    add("tokens_in >= ?", number(filter.min_tokens_in));
    add("tokens_in <= ?", number(filter.max_tokens_in));
    add("tokens_out >= ?", number(filter.min_tokens_out));
    add("tokens_out <= ?", number(filter.max_tokens_out));
    add("event_id = ?", text(&filter.event_id));
    add("token_id = ?", text(&filter.token));
    add("created_at_ms >= ?", filter.since_ms.map(Value::from));
    // What was created at or after `since` has no smaller sequence number; see the schema.
    let since = filter.since_ms.map(|since| since.clamp(0, i64::MAX >> SEQ_SHIFT) << SEQ_SHIFT);
    add("seq >= ?", since.filter(|since| *since > 0).map(Value::from));
    add("created_at_ms < ?", filter.until_ms.map(Value::from));
    add(
        "instr(lower(model) || char(10) || lower(path) || char(10) || lower(error), ?) > 0",
        filter.search.as_ref().map(|search| search.to_ascii_lowercase().into()),
    );
    for (edge, by_seq, by_id) in [(filter.before, "seq < ?", "id < ?"), (filter.after, "seq > ?", "id > ?")] {
        let Some(id) = edge else { continue };
        match seq_of(connection, id)? {
            Some(seq) => add(by_seq, Some(seq.into())),
            None => add(by_id, Some(id.as_bytes().to_vec().into())),
        }
    }
    Ok((conditions, values))
}

fn seq_of(connection: &Connection, id: Uuid) -> rusqlite::Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT seq FROM record WHERE id = ?")?;
    statement.query_row(params![id.as_bytes()], |row| row.get(0)).optional()
}

/// The part of the filter that no column answers.
fn matches_unindexed(filter: &LogFilter, record: &LogRecord) -> bool {
    let value_text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    filter.account.as_ref().is_none_or(|account| *account == record.account)
        && filter.metadata_key.as_ref().is_none_or(|key| record.metadata.contains_key(key))
        && filter
            .metadata_value
            .as_ref()
            .is_none_or(|wanted| record.metadata.values().any(|value| value_text(value) == *wanted))
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
