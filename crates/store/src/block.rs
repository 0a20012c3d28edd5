//! Blocks: what filters do not ask for (details and bodies), packed and compressed many records at a time.
//!
//! One row per block instead of one per record makes writing cheap, and neighbours resemble each other, so that lz4
//! finds more. A block belongs to one gateway, because retention does.
//!
//! An entry is: version, length of the details, details, flags, and if there are bodies their two lengths and bytes.
//! Numbers are LEB128. Details are fields in a fixed order; later versions append.

use bytes::Bytes;
use genesis_wire::{Dialect, Usage};

use crate::{LogRecord, Payload};

const VERSION: u8 = 1;
const HAS_PAYLOAD: u8 = 1;
const REQUEST_COMPLETE: u8 = 2;
const RESPONSE_COMPLETE: u8 = 4;

/// Appends the entry of a record.
pub(crate) fn pack(raw: &mut Vec<u8>, record: &LogRecord, payload: Option<&Payload>) {
    raw.push(VERSION);
    pack_details(raw, record);
    let Some(payload) = payload else {
        raw.push(0);
        return;
    };
    raw.push(
        HAS_PAYLOAD
            | if payload.request_complete { REQUEST_COMPLETE } else { 0 }
            | if payload.response_complete { RESPONSE_COMPLETE } else { 0 },
    );
    put_text(raw, &payload.request);
    put_text(raw, &payload.response);
}

/// Reads the entry at the start of `raw` into the record, whose columns are already filled. The bodies are read only if
/// asked for. `None`: damaged or from a newer version.
pub(crate) fn unpack(raw: &[u8], record: &mut LogRecord, with_payload: bool) -> Option<Option<Payload>> {
    let (version, mut raw) = raw.split_first()?;
    if *version != VERSION {
        return None;
    }
    unpack_details(&mut raw, record)?;
    let flags = *take(&mut raw, 1)?.first()?;
    if flags & HAS_PAYLOAD == 0 || !with_payload {
        return Some(None);
    }
    Some(Some(Payload {
        id: record.id,
        gateway: record.gateway.clone(),
        request: Bytes::copy_from_slice(bytes(&mut raw)?),
        response: Bytes::copy_from_slice(bytes(&mut raw)?),
        request_complete: flags & REQUEST_COMPLETE != 0,
        response_complete: flags & RESPONSE_COMPLETE != 0,
    }))
}

const STREAM: u64 = 1;
const CUSTOM_COST: u64 = 2;
const USAGE: u64 = 4;
const RAW_USAGE: u64 = 8;
const PRICE_ID: u64 = 16;
const PRICE_FORMULA: u64 = 32;
const TRACE_ID: u64 = 64;
const FIRST_BYTE: u64 = 128;
const ATTEMPTS: u64 = 256;
const DROPPED: u64 = 512;

fn pack_details(raw: &mut Vec<u8>, record: &LogRecord) {
    let flag = |set: bool, bit: u64| if set { bit } else { 0 };
    put_number(
        raw,
        flag(record.stream, STREAM)
            | flag(record.custom_cost, CUSTOM_COST)
            | flag(record.usage.is_some(), USAGE)
            | flag(record.raw_usage.is_some(), RAW_USAGE)
            | flag(record.price_id.is_some(), PRICE_ID)
            | flag(record.price_formula.is_some(), PRICE_FORMULA)
            | flag(record.trace_id.is_some(), TRACE_ID)
            | flag(record.first_byte_ms.is_some(), FIRST_BYTE)
            | flag(!record.attempts.is_empty(), ATTEMPTS)
            | flag(!record.dropped.is_empty(), DROPPED),
    );
    put_text(raw, record.account.as_bytes());
    put_text(raw, record.dialect.map_or("", Dialect::name).as_bytes());
    put_text(raw, record.method.as_bytes());
    put_number(raw, u64::from(record.step));
    if let Some(first_byte_ms) = record.first_byte_ms {
        put_number(raw, u64::from(first_byte_ms));
    }
    if let Some(usage) = &record.usage {
        let Usage { input, cache_read, cache_write, cache_write_1h, output, reasoning } = *usage;
        for count in [input, cache_read, cache_write, cache_write_1h, output, reasoning] {
            put_number(raw, count);
        }
    }
    let optional = [&record.raw_usage, &record.price_id, &record.price_formula, &record.trace_id];
    for text in optional.into_iter().flatten() {
        put_text(raw, text.as_bytes());
    }
    put_number(raw, record.request_size);
    put_number(raw, record.response_size);
    for text in [
        &record.user_agent,
        &record.credential,
        &record.request_content_type,
        &record.response_content_type,
        &record.request_head,
        &record.response_head,
    ] {
        put_text(raw, text.as_bytes());
    }
    if !record.attempts.is_empty() {
        // Rare, and read by people only.
        put_text(raw, &serde_json::to_vec(&record.attempts).unwrap_or_default());
    }
    if !record.dropped.is_empty() {
        put_number(raw, record.dropped.len() as u64);
        record.dropped.iter().for_each(|name| put_text(raw, name.as_bytes()));
    }
}

fn unpack_details(raw: &mut &[u8], record: &mut LogRecord) -> Option<()> {
    let flags = number(raw)?;
    let has = |bit| flags & bit != 0;
    record.stream = has(STREAM);
    record.custom_cost = has(CUSTOM_COST);
    record.account = text(raw)?;
    record.dialect = dialect(&text(raw)?);
    record.method = text(raw)?;
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
    record.raw_usage = if has(RAW_USAGE) { Some(text(raw)?) } else { None };
    record.price_id = if has(PRICE_ID) { Some(text(raw)?) } else { None };
    record.price_formula = if has(PRICE_FORMULA) { Some(text(raw)?) } else { None };
    record.trace_id = if has(TRACE_ID) { Some(text(raw)?) } else { None };
    record.request_size = number(raw)?;
    record.response_size = number(raw)?;
    record.user_agent = text(raw)?;
    record.credential = text(raw)?;
    record.request_content_type = text(raw)?;
    record.response_content_type = text(raw)?;
    record.request_head = text(raw)?;
    record.response_head = text(raw)?;
    if has(ATTEMPTS) {
        record.attempts = serde_json::from_slice(bytes(raw)?).unwrap_or_default();
    }
    if has(DROPPED) {
        for _ in 0..number(raw)? {
            record.dropped.push(text(raw)?);
        }
    }
    Some(())
}

/// The dialect with this name; a name from a newer version is none.
fn dialect(name: &str) -> Option<Dialect> {
    serde_json::from_value(serde_json::Value::from(name)).ok()
}

fn put_number(raw: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        raw.push(number as u8 | 0x80);
        number >>= 7;
    }
    raw.push(number as u8);
}

fn put_text(raw: &mut Vec<u8>, text: &[u8]) {
    put_number(raw, text.len() as u64);
    raw.extend_from_slice(text);
}

fn number(raw: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *take(raw, 1)?.first()?;
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn bytes<'a>(raw: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = number(raw)?;
    take(raw, length.try_into().ok()?)
}

fn text(raw: &mut &[u8]) -> Option<String> {
    String::from_utf8(bytes(raw)?.to_vec()).ok()
}

fn take<'a>(raw: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = raw.split_at_checked(length)?;
    *raw = rest;
    Some(taken)
}
