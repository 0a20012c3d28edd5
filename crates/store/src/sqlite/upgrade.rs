//! What older versions left behind, turned into what this one keeps.
//!
//! The first schema had a row for each record, with what filters do not ask for packed into blocks beside the bodies, and
//! totals per minute without account, token and status.

use std::collections::HashMap;

use bytes::Bytes;
use genesis_wire::Usage;
use rusqlite::{Connection, Row, Transaction, params};
use uuid::Uuid;

use super::{
    Failure, count, damaged,
    pages::{self, Stage},
    total_writer::TotalWriter,
};
use crate::{
    LogRecord, Outcome, Payload, Sums,
    bytes::{bytes, number, take, text},
    packed::{self, Key, Packed, gateway_of, key_of, put_key},
    page::{Page, Place, compress},
    totals::Total,
};

/// As it was released.
pub(super) const FIRST_SCHEMA: &str = "
    CREATE TABLE record (
        seq           INTEGER PRIMARY KEY,
        id            BLOB NOT NULL,
        created_at_ms INTEGER NOT NULL,
        gateway       TEXT NOT NULL,
        provider      TEXT NOT NULL,
        model         TEXT NOT NULL,
        path          TEXT NOT NULL,
        status        INTEGER NOT NULL,
        outcome       INTEGER NOT NULL,
        error         TEXT NOT NULL,
        cached        INTEGER NOT NULL,
        simulated     INTEGER NOT NULL,
        duration_ms   INTEGER NOT NULL,
        tokens_in     INTEGER,
        tokens_out    INTEGER,
        cost_nano_usd INTEGER,
        event_id      TEXT NOT NULL,
        token_id      TEXT NOT NULL,
        metadata      TEXT,              -- JSON object; null: empty
        block         INTEGER NOT NULL,
        at            INTEGER NOT NULL   -- offset of the record's entry in the uncompressed block
    );
    CREATE INDEX record_by_id ON record (id);
    -- Failures are rare and what people look for; successes do not pay for this index.
    CREATE INDEX record_failed ON record (seq) WHERE outcome <> 0;

    CREATE TABLE block (
        id     INTEGER PRIMARY KEY,
        length INTEGER NOT NULL,         -- uncompressed
        data   BLOB NOT NULL             -- lz4
    );
    -- Which records a block serves; how retention finds a gateway's oldest without an index on records.
    CREATE TABLE span (
        gateway   TEXT NOT NULL,
        block     INTEGER NOT NULL,
        first_seq INTEGER NOT NULL,
        last_seq  INTEGER NOT NULL,
        records   INTEGER NOT NULL,
        PRIMARY KEY (gateway, block)
    ) WITHOUT ROWID;
    CREATE TABLE gateway_size (gateway TEXT PRIMARY KEY, records INTEGER NOT NULL) WITHOUT ROWID;

    CREATE TABLE minute_total (
        minute        INTEGER NOT NULL,  -- since the epoch
        gateway       TEXT NOT NULL,
        provider      TEXT NOT NULL,
        model         TEXT NOT NULL,
        outcome       INTEGER NOT NULL,
        cached        INTEGER NOT NULL,
        simulated     INTEGER NOT NULL,
        requests      INTEGER NOT NULL,
        tokens_in     INTEGER NOT NULL,
        tokens_out    INTEGER NOT NULL,
        tokens_cached INTEGER NOT NULL,
        cost_nano_usd INTEGER NOT NULL,
        unpriced      INTEGER NOT NULL,
        duration_ms   INTEGER NOT NULL,
        PRIMARY KEY (minute, gateway, provider, model, outcome, cached, simulated)
    ) WITHOUT ROWID;
    ";

/// Uncompressed size at which pages, and blocks of bodies, are closed.
const PAGE_BYTES: usize = 128 << 10;
const BLOCK_BYTES: usize = 256 << 10;

/// From the first schema to the second.
pub(super) fn rows_to_pages(transaction: &Transaction<'_>) -> Result<(), Failure> {
    let mut sources: HashMap<Vec<u8>, Source> = HashMap::new();
    // Totals did not say whose the gateway was: the account that used it last.
    let mut accounts: HashMap<String, String> = HashMap::new();
    {
        let mut statement = transaction.prepare(
            "SELECT seq, id, created_at_ms, gateway, provider, model, path, status, outcome, error, cached, simulated,
                duration_ms, cost_nano_usd, event_id, token_id, metadata, block, at
             FROM record ORDER BY seq",
        )?;
        let mut rows = statement.query([])?;
        let mut blocks = OldBlocks { connection: transaction, known: HashMap::new() };
        while let Some(row) = rows.next()? {
            let (record, payload) = old_record(row, &mut blocks)?;
            accounts.insert(record.gateway.clone(), record.account.clone());
            let packed = Packed::of(&record);
            let Some(gateway) = key_of(packed.head()).and_then(gateway_of) else { continue };
            let source = match sources.get_mut(gateway) {
                Some(source) => source,
                None => sources.entry(gateway.to_vec()).or_insert(Source::new(transaction, gateway)?),
            };
            source.push(transaction, row.get(0)?, &packed, payload.as_ref())?;
        }
    }
    for source in sources.values_mut() {
        source.close_page(transaction)?;
        transaction
            .execute("UPDATE source SET records = ? WHERE number = ?", [source.records, source.number])?;
    }
    convert_totals(transaction, &accounts)?;
    transaction.execute_batch(
        "DROP TABLE record; DROP TABLE block; DROP TABLE span; DROP TABLE gateway_size; DROP TABLE old_minute_total;",
    )?;
    Ok(())
}

/// A gateway's records on their way into pages.
struct Source {
    number: i64,
    records: i64,
    page: Page,
    next_block: i64,
    bodies: Vec<u8>,
    buffer: Vec<u8>,
}

impl Source {
    fn new(connection: &Connection, gateway: &[u8]) -> rusqlite::Result<Self> {
        let number = connection
            .prepare_cached("INSERT INTO source (key, records) VALUES (?, 0)")?
            .insert([gateway])?;
        let next_block = (number << 40) + 1;
        let page = Page::new(next_block);
        Ok(Self { number, records: 0, page, next_block, bodies: Vec::new(), buffer: Vec::new() })
    }

    fn push(
        &mut self,
        connection: &Connection,
        seq: i64,
        packed: &Packed,
        payload: Option<&Payload>,
    ) -> Result<(), Failure> {
        let size = payload.map_or(0, |payload| payload.request.len() + payload.response.len());
        if !self.bodies.is_empty() && self.bodies.len() + size > BLOCK_BYTES {
            self.close_block(connection)?;
        }
        let place = payload.map(|payload| {
            let place = Place { block: self.next_block, offset: self.bodies.len() };
            packed::pack_bodies(&mut self.bodies, payload);
            place
        });
        self.page.push(seq, packed.head(), packed.details(), place);
        self.records += 1;
        if self.page.size() >= PAGE_BYTES { self.close_page(connection) } else { Ok(()) }
    }

    /// A block belongs to one page, so that both can go together.
    fn close_page(&mut self, connection: &Connection) -> Result<(), Failure> {
        self.close_block(connection)?;
        let page = std::mem::replace(&mut self.page, Page::new(self.next_block));
        if page.zone.records > 0 {
            let zone = page.zone.clone();
            pages::insert(connection, self.number, &zone, &page, Stage::Sealed, &mut self.buffer)?;
        }
        Ok(())
    }

    fn close_block(&mut self, connection: &Connection) -> Result<(), Failure> {
        if !self.bodies.is_empty() {
            let data = compress(&self.bodies, &mut self.buffer);
            connection
                .prepare_cached("INSERT INTO bodies VALUES (?, ?)")?
                .execute(params![self.next_block, data])?;
            self.next_block += 1;
            self.bodies.clear();
        }
        Ok(())
    }
}

/// Per-minute totals become minutes, hours and days; what they did not tell apart stays untold: no token, status 0, no
/// percentiles.
fn convert_totals(transaction: &Transaction<'_>, accounts: &HashMap<String, String>) -> Result<(), Failure> {
    let mut statement = transaction.prepare("SELECT * FROM old_minute_total ORDER BY minute")?;
    let mut rows = statement.query([])?;
    let mut totals = TotalWriter::default();
    while let Some(row) = rows.next()? {
        let gateway: String = row.get(1)?;
        let (provider, model): (String, String) = (row.get(2)?, row.get(3)?);
        let outcome = Outcome::of_number(row.get(4)?);
        let (cached, simulated): (bool, bool) = (row.get(5)?, row.get(6)?);
        let key = Key {
            account: accounts.get(&gateway).map_or("", String::as_str),
            gateway: &gateway,
            provider: &provider,
            model: &model,
            token: "",
            status: 0,
            outcome,
            cached,
            simulated,
        };
        let mut series = Vec::new();
        put_key(&mut series, &key);
        let (requests, tokens_in, tokens_out) = (count(row, 7)?, count(row, 8)?, count(row, 9)?);
        let sums = Sums {
            requests,
            errors: if outcome == Outcome::Success { 0 } else { requests },
            cached: if cached { requests } else { 0 },
            tokens_in,
            tokens_out,
            cached_tokens_in: if cached { tokens_in } else { 0 },
            cached_tokens_out: if cached { tokens_out } else { 0 },
            tokens_cached: count(row, 10)?,
            cost_nano_usd: row.get(11)?,
            unpriced: count(row, 12)?,
            duration_ms: count(row, 13)?,
        };
        totals.add(transaction, &[(row.get(0)?, series, Total { sums, ..Total::default() })])?;
    }
    totals.fold(transaction)
}

// Reading the first schema

const HAS_PAYLOAD: u8 = 1;
const REQUEST_COMPLETE: u8 = 2;
const RESPONSE_COMPLETE: u8 = 4;

const STREAM: u64 = 1;
const CUSTOM_COST: u64 = 2;
const USAGE: u64 = 4;
const RAW_USAGE: u64 = 8;
const PRICE_ID: u64 = 16;
const PRICE_FORMULA: u64 = 32;
const TRACE_ID: u64 = 64;
const FIRST_BYTE: u64 = 128;
const ATTEMPTS: u64 = 256;

fn old_record(row: &Row<'_>, blocks: &mut OldBlocks<'_>) -> Result<(LogRecord, Option<Payload>), Failure> {
    let metadata: Option<String> = row.get(16)?;
    let mut record = LogRecord {
        id: Uuid::from_bytes(row.get(1)?),
        created_at_ms: row.get(2)?,
        gateway: row.get(3)?,
        provider: row.get(4)?,
        model: row.get(5)?,
        path: row.get(6)?,
        status: row.get(7)?,
        outcome: Outcome::of_number(row.get(8)?),
        error: row.get(9)?,
        cached: row.get(10)?,
        simulated: row.get(11)?,
        duration_ms: row.get(12)?,
        cost_nano_usd: row.get(13)?,
        event_id: row.get(14)?,
        token_id: row.get(15)?,
        metadata: metadata.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
        ..LogRecord::default()
    };
    let at = usize::try_from(count(row, 18)?).unwrap_or(usize::MAX);
    let entry = blocks.load(row.get(17)?)?.get(at..).unwrap_or_default();
    match old_entry(entry, &mut record) {
        Some(payload) => Ok((record, payload)),
        None => Err(damaged(&record.id.to_string())),
    }
}

/// Reads a record's entry in a block; `None`: damaged.
fn old_entry(raw: &[u8], record: &mut LogRecord) -> Option<Option<Payload>> {
    let (1, mut raw) = raw.split_first()? else { return None };
    let raw = &mut raw;
    let flags = number(raw)?;
    let has = |bit| flags & bit != 0;
    record.stream = has(STREAM);
    record.custom_cost = has(CUSTOM_COST);
    record.account = text(raw)?.to_owned();
    record.dialect = packed::dialect(text(raw)?);
    record.method = text(raw)?.to_owned();
    record.step = number(raw)?.try_into().ok()?;
    record.first_byte_ms = if has(FIRST_BYTE) { Some(number(raw)?.try_into().ok()?) } else { None };
    record.usage = if has(USAGE) {
        Some(Usage {
            input: number(raw)?,
            cache_read: number(raw)?,
            cache_write: number(raw)?,
            cache_write_1h: number(raw)?,
            output: number(raw)?,
            reasoning: number(raw)?,
        })
    } else {
        None
    };
    let mut optional = |bit| if has(bit) { Some(Some(text(raw)?.to_owned())) } else { Some(None) };
    (record.raw_usage, record.price_id) = (optional(RAW_USAGE)?, optional(PRICE_ID)?);
    (record.price_formula, record.trace_id) = (optional(PRICE_FORMULA)?, optional(TRACE_ID)?);
    (record.request_size, record.response_size) = (number(raw)?, number(raw)?);
    for place in [
        &mut record.user_agent,
        &mut record.credential,
        &mut record.request_content_type,
        &mut record.response_content_type,
        &mut record.request_head,
        &mut record.response_head,
    ] {
        *place = text(raw)?.to_owned();
    }
    if flags & ATTEMPTS != 0 {
        record.attempts = serde_json::from_slice(bytes(raw)?).unwrap_or_default();
    }
    let flags = *take(raw, 1)?.first()?;
    if flags & HAS_PAYLOAD == 0 {
        return Some(None);
    }
    Some(Some(Payload {
        id: record.id,
        gateway: record.gateway.clone(),
        request: Bytes::copy_from_slice(bytes(raw)?),
        response: Bytes::copy_from_slice(bytes(raw)?),
        request_complete: flags & REQUEST_COMPLETE != 0,
        response_complete: flags & RESPONSE_COMPLETE != 0,
    }))
}

/// Blocks of several gateways lie side by side: remembers some.
struct OldBlocks<'a> {
    connection: &'a Connection,
    known: HashMap<i64, Vec<u8>>,
}

impl OldBlocks<'_> {
    fn load(&mut self, id: i64) -> Result<&[u8], Failure> {
        if !self.known.contains_key(&id) {
            if self.known.len() >= 32 {
                self.known.clear();
            }
            let (length, data): (i64, Vec<u8>) = self
                .connection
                .prepare_cached("SELECT length, data FROM block WHERE id = ?")?
                .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let length =
                usize::try_from(length).ok().filter(|length| *length <= data.len().saturating_mul(255));
            let raw = length.and_then(|length| lz4_flex::block::decompress(&data, length).ok());
            self.known.insert(id, raw.ok_or_else(|| damaged(&format!("block {id}")))?);
        }
        Ok(self.known.get(&id).map_or(&[], Vec::as_slice))
    }
}
