//! One record as bytes: made where the exchange ended, copied from there into the log, and read in place by filters.
//!
//! The *head* is what filters look at, the *details* what only a reader of the single record wants. The head starts with
//! the *key*: everything that totals are kept by, so that equal keys are equal bytes. Numbers are LEB128, text stands
//! after its length; later versions append.

use ::bytes::Bytes;
use genesis_wire::{Dialect, Usage};
use uuid::Uuid;

use crate::{
    LogRecord, Outcome, Payload,
    bytes::{bytes, number, put_bytes, put_number, put_signed, signed, take, text},
    filter::Head,
};

/// A record as bytes, with its bodies behind it where they are small: one buffer changes hands.
#[derive(Debug)]
pub(crate) struct Packed {
    bytes: Vec<u8>,
    /// Length of the head.
    head: usize,
    /// Where the bodies begin; the end if there are none.
    bodies: usize,
}

const CACHED: u8 = 1;
const SIMULATED: u8 = 2;

const STREAM: u64 = 1;
const CUSTOM_COST: u64 = 2;
const FIRST_BYTE: u64 = 4;
const USAGE: u64 = 8;
const COST: u64 = 16;
const DIALECT: u64 = 32;
const METADATA: u64 = 64;
/// The event id is the record's id as text, as it is unless the client gave one.
const OWN_EVENT: u64 = 128;

const RAW_USAGE: u64 = 1;
const PRICE_ID: u64 = 2;
const PRICE_FORMULA: u64 = 4;
const TRACE_ID: u64 = 8;
const ATTEMPTS: u64 = 16;
const DROPPED: u64 = 32;
const PARENT_SPAN: u64 = 64;

impl Packed {
    pub(crate) fn of(record: &LogRecord) -> Self {
        Self::with_bodies(record, None)
    }

    pub(crate) fn with_bodies(record: &LogRecord, payload: Option<&Payload>) -> Self {
        let long = [&record.request_head, &record.response_head, &record.error, &record.path];
        let long = long.iter().map(|text| text.len()).sum::<usize>();
        let room = payload.map_or(0, |payload| payload.request.len() + payload.response.len());
        let mut bytes = Vec::with_capacity(512 + long + room);
        pack_head(&mut bytes, record);
        let head = bytes.len();
        pack_details(&mut bytes, record);
        let bodies = bytes.len();
        payload.into_iter().for_each(|payload| pack_bodies(&mut bytes, payload));
        Self { bytes, head, bodies }
    }

    pub(crate) fn head(&self) -> &[u8] {
        &self.bytes[..self.head]
    }

    pub(crate) fn details(&self) -> &[u8] {
        &self.bytes[self.head..self.bodies]
    }

    /// As [`pack_bodies`] wrote them; empty if there are none here.
    pub(crate) fn bodies(&self) -> &[u8] {
        &self.bytes[self.bodies..]
    }

    /// Gives up the bodies, and their memory.
    pub(crate) fn drop_bodies(&mut self) {
        self.bytes.truncate(self.bodies);
        self.bytes.shrink_to_fit();
    }
}

fn flag(set: bool, bit: u64) -> u64 {
    if set { bit } else { 0 }
}

fn pack_head(raw: &mut Vec<u8>, record: &LogRecord) {
    put_key(
        raw,
        &Key {
            account: &record.account,
            gateway: &record.gateway,
            provider: &record.provider,
            model: &record.model,
            token: &record.token_id,
            status: record.status,
            outcome: record.outcome,
            cached: record.cached,
            simulated: record.simulated,
        },
    );
    raw.extend_from_slice(record.id.as_bytes());
    put_signed(raw, record.created_at_ms);
    let mut buffer = Uuid::encode_buffer();
    let own_event = *record.id.hyphenated().encode_lower(&mut buffer) == *record.event_id;
    put_number(
        raw,
        flag(record.stream, STREAM)
            | flag(record.custom_cost, CUSTOM_COST)
            | flag(record.first_byte_ms.is_some(), FIRST_BYTE)
            | flag(record.usage.is_some(), USAGE)
            | flag(record.cost_nano_usd.is_some(), COST)
            | flag(record.dialect.is_some(), DIALECT)
            | flag(!record.metadata.is_empty(), METADATA)
            | flag(own_event, OWN_EVENT),
    );
    put_number(raw, record.step.into());
    put_number(raw, record.duration_ms.into());
    record.first_byte_ms.into_iter().for_each(|ms| put_number(raw, ms.into()));
    if let Some(Usage { input, cache_read, cache_write, cache_write_1h, output, reasoning }) = record.usage {
        for count in [input, cache_read, cache_write, cache_write_1h, output, reasoning] {
            put_number(raw, count);
        }
    }
    record.cost_nano_usd.into_iter().for_each(|cost| put_signed(raw, cost));
    record.dialect.iter().for_each(|dialect| put_bytes(raw, dialect.name().as_bytes()));
    if !record.metadata.is_empty() {
        put_bytes(raw, &serde_json::to_vec(&record.metadata).unwrap_or_default());
    }
    if !own_event {
        put_bytes(raw, record.event_id.as_bytes());
    }
    for text in [
        &record.path,
        &record.method,
        &record.error,
        &record.user_agent,
        &record.request_content_type,
        &record.response_content_type,
    ] {
        put_bytes(raw, text.as_bytes());
    }
}

fn pack_details(raw: &mut Vec<u8>, record: &LogRecord) {
    put_number(
        raw,
        flag(record.raw_usage.is_some(), RAW_USAGE)
            | flag(record.price_id.is_some(), PRICE_ID)
            | flag(record.price_formula.is_some(), PRICE_FORMULA)
            | flag(record.trace_id.is_some(), TRACE_ID)
            | flag(!record.attempts.is_empty(), ATTEMPTS)
            | flag(!record.dropped.is_empty(), DROPPED)
            | flag(record.parent_span_id.is_some(), PARENT_SPAN),
    );
    let optional = [&record.raw_usage, &record.price_id, &record.price_formula, &record.trace_id];
    optional.into_iter().flatten().for_each(|text| put_bytes(raw, text.as_bytes()));
    put_number(raw, record.request_size);
    put_number(raw, record.response_size);
    for text in [&record.credential, &record.request_head, &record.response_head] {
        put_bytes(raw, text.as_bytes());
    }
    if !record.attempts.is_empty() {
        // Rare, and read by people only.
        put_bytes(raw, &serde_json::to_vec(&record.attempts).unwrap_or_default());
    }
    if !record.dropped.is_empty() {
        put_bytes(raw, &serde_json::to_vec(&record.dropped).unwrap_or_default());
    }
    record.parent_span_id.iter().for_each(|id| put_bytes(raw, id.as_bytes()));
}

/// What totals are kept by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a> {
    pub(crate) account: &'a str,
    pub(crate) gateway: &'a str,
    pub(crate) provider: &'a str,
    pub(crate) model: &'a str,
    pub(crate) token: &'a str,
    pub(crate) status: u16,
    pub(crate) outcome: Outcome,
    pub(crate) cached: bool,
    pub(crate) simulated: bool,
}

/// The key after its length.
pub(crate) fn put_key(raw: &mut Vec<u8>, key: &Key<'_>) {
    let texts = [key.account, key.gateway, key.provider, key.model, key.token];
    let length_of = |length: usize| length.max(1).ilog2() as usize / 7 + 1;
    let length: usize = texts.iter().map(|text| text.len() + length_of(text.len())).sum();
    put_number(raw, (length + length_of(key.status.into()) + 2) as u64);
    texts.iter().for_each(|text| put_bytes(raw, text.as_bytes()));
    put_number(raw, key.status.into());
    raw.push(key.outcome as u8);
    raw.push(if key.cached { CACHED } else { 0 } | if key.simulated { SIMULATED } else { 0 });
}

/// A key without its length.
pub(crate) fn read_key(mut raw: &[u8]) -> Option<Key<'_>> {
    let raw = &mut raw;
    let (account, gateway, provider) = (text(raw)?, text(raw)?, text(raw)?);
    let (model, token, status) = (text(raw)?, text(raw)?, number(raw)?.try_into().ok()?);
    let outcome = Outcome::of_number(*take(raw, 1)?.first()?);
    let flags = *take(raw, 1)?.first()?;
    let (cached, simulated) = (flags & CACHED != 0, flags & SIMULATED != 0);
    Some(Key { account, gateway, provider, model, token, status, outcome, cached, simulated })
}

/// Outcome of a key, and whether the gateway's cache answered: its last bytes, without a look at its texts.
pub(crate) fn ending_of(key: &[u8]) -> Option<(Outcome, bool)> {
    let [.., outcome, flags] = key else { return None };
    Some((Outcome::of_number(*outcome), flags & CACHED != 0))
}

/// The key at the start of a head.
pub(crate) fn key_of(mut head: &[u8]) -> Option<&[u8]> {
    bytes(&mut head)
}

/// The part of a key that says which gateway.
pub(crate) fn gateway_of(key: &[u8]) -> Option<&[u8]> {
    let mut rest = key;
    bytes(&mut rest)?;
    bytes(&mut rest)?;
    Some(&key[..key.len() - rest.len()])
}

/// Account and gateway of what [`gateway_of`] gives.
pub(crate) fn gateway_names(mut gateway: &[u8]) -> (&str, &str) {
    (text(&mut gateway).unwrap_or_default(), text(&mut gateway).unwrap_or_default())
}

/// The numbers of a head, which come before its texts.
#[derive(Debug)]
pub(crate) struct Figures<'a> {
    pub(crate) id: Uuid,
    pub(crate) created_at_ms: i64,
    pub(crate) step: u32,
    pub(crate) duration_ms: u32,
    pub(crate) first_byte_ms: Option<u32>,
    pub(crate) usage: Option<Usage>,
    pub(crate) cost_nano_usd: Option<i64>,
    /// Empty if there is none.
    pub(crate) dialect: &'a str,
    /// JSON object; empty if there is none.
    pub(crate) metadata: &'a str,
    flags: u64,
    rest: &'a [u8],
}

/// `None`: damaged, here and below.
pub(crate) fn read_figures(mut head: &[u8]) -> Option<Figures<'_>> {
    let raw = &mut head;
    bytes(raw)?;
    let id = Uuid::from_slice(take(raw, 16)?).ok()?;
    let (created_at_ms, flags) = (signed(raw)?, number(raw)?);
    let has = |bit| flags & bit != 0;
    let small = |raw: &mut &[u8]| -> Option<u32> { number(raw)?.try_into().ok() };
    let (step, duration_ms) = (small(raw)?, small(raw)?);
    let first_byte_ms = if has(FIRST_BYTE) { Some(small(raw)?) } else { None };
    let usage = if has(USAGE) {
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
    let cost_nano_usd = if has(COST) { Some(signed(raw)?) } else { None };
    let dialect = if has(DIALECT) { text(raw)? } else { "" };
    let metadata = if has(METADATA) { text(raw)? } else { "" };
    Some(Figures {
        id,
        created_at_ms,
        step,
        duration_ms,
        first_byte_ms,
        usage,
        cost_nano_usd,
        dialect,
        metadata,
        flags,
        rest: head,
    })
}

pub(crate) fn read_head(head: &[u8]) -> Option<Head<'_>> {
    let key = read_key(key_of(head)?)?;
    let figures = read_figures(head)?;
    let mut rest = figures.rest;
    let raw = &mut rest;
    let event_id = if figures.flags & OWN_EVENT == 0 { Some(text(raw)?) } else { None };
    Some(Head {
        id: figures.id,
        created_at_ms: figures.created_at_ms,
        account: key.account,
        gateway: key.gateway,
        provider: key.provider,
        model: key.model,
        token_id: key.token,
        status: key.status,
        outcome: key.outcome,
        cached: key.cached,
        simulated: key.simulated,
        stream: figures.flags & STREAM != 0,
        custom_cost: figures.flags & CUSTOM_COST != 0,
        dialect: dialect(figures.dialect),
        step: figures.step,
        duration_ms: figures.duration_ms,
        first_byte_ms: figures.first_byte_ms,
        usage: figures.usage,
        cost_nano_usd: figures.cost_nano_usd,
        metadata: figures.metadata,
        event_id,
        path: text(raw)?,
        method: text(raw)?,
        error: text(raw)?,
        user_agent: text(raw)?,
        request_content_type: text(raw)?,
        response_content_type: text(raw)?,
    })
}

/// The whole record.
pub(crate) fn read_record(head: &[u8], mut details: &[u8]) -> Option<LogRecord> {
    let head = read_head(head)?;
    let raw = &mut details;
    let flags = number(raw)?;
    let mut optional = |bit| -> Option<Option<String>> {
        if flags & bit == 0 { Some(None) } else { Some(Some(text(raw)?.to_owned())) }
    };
    let (raw_usage, price_id) = (optional(RAW_USAGE)?, optional(PRICE_ID)?);
    let (price_formula, trace_id) = (optional(PRICE_FORMULA)?, optional(TRACE_ID)?);
    Some(LogRecord {
        id: head.id,
        event_id: head.event_id.map_or_else(|| head.id.to_string(), str::to_owned),
        created_at_ms: head.created_at_ms,
        account: head.account.to_owned(),
        gateway: head.gateway.to_owned(),
        provider: head.provider.to_owned(),
        model: head.model.to_owned(),
        dialect: head.dialect,
        method: head.method.to_owned(),
        path: head.path.to_owned(),
        status: head.status,
        outcome: head.outcome,
        error: head.error.to_owned(),
        cached: head.cached,
        step: head.step,
        duration_ms: head.duration_ms,
        first_byte_ms: head.first_byte_ms,
        stream: head.stream,
        usage: head.usage,
        raw_usage,
        cost_nano_usd: head.cost_nano_usd,
        price_id,
        price_formula,
        custom_cost: head.custom_cost,
        metadata: serde_json::from_str(head.metadata).unwrap_or_default(),
        user_agent: head.user_agent.to_owned(),
        token_id: head.token_id.to_owned(),
        request_content_type: head.request_content_type.to_owned(),
        response_content_type: head.response_content_type.to_owned(),
        trace_id,
        simulated: head.simulated,
        request_size: number(raw)?,
        response_size: number(raw)?,
        credential: text(raw)?.to_owned(),
        request_head: text(raw)?.to_owned(),
        response_head: text(raw)?.to_owned(),
        attempts: if flags & ATTEMPTS == 0 {
            Vec::new()
        } else {
            serde_json::from_slice(bytes(raw)?).unwrap_or_default()
        },
        dropped: if flags & DROPPED == 0 {
            Vec::new()
        } else {
            serde_json::from_slice(bytes(raw)?).unwrap_or_default()
        },
        parent_span_id: if flags & PARENT_SPAN == 0 { None } else { Some(text(raw)?.to_owned()) },
        ..LogRecord::default()
    })
}

/// The dialect with this name; a name from a newer version is none.
pub(crate) fn dialect(name: &str) -> Option<Dialect> {
    const ALL: [Dialect; 7] = [
        Dialect::AnthropicMessages,
        Dialect::BedrockConverse,
        Dialect::CohereChat,
        Dialect::GeminiGenerate,
        Dialect::OpenAiChat,
        Dialect::OpenAiEmbeddings,
        Dialect::OpenAiResponses,
    ];
    ALL.into_iter().find(|dialect| dialect.name() == name)
}

// Bodies

const REQUEST_COMPLETE: u8 = 1;
const RESPONSE_COMPLETE: u8 = 2;

/// Appends the bodies of one exchange.
pub(crate) fn pack_bodies(raw: &mut Vec<u8>, payload: &Payload) {
    raw.push(
        if payload.request_complete { REQUEST_COMPLETE } else { 0 }
            | if payload.response_complete { RESPONSE_COMPLETE } else { 0 },
    );
    put_bytes(raw, &payload.request);
    put_bytes(raw, &payload.response);
}

/// Reads the bodies at the start of `raw`; the second value is how many bytes they take.
pub(crate) fn read_bodies(raw: &[u8], id: Uuid, gateway: &str) -> Option<(Payload, usize)> {
    let mut rest = raw;
    let flags = *take(&mut rest, 1)?.first()?;
    let mut body = || Some(Bytes::copy_from_slice(bytes(&mut rest)?));
    let payload = Payload {
        id,
        gateway: gateway.to_owned(),
        request: body()?,
        response: body()?,
        request_complete: flags & REQUEST_COMPLETE != 0,
        response_complete: flags & RESPONSE_COMPLETE != 0,
    };
    Some((payload, raw.len() - rest.len()))
}
