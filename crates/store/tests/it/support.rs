//! A store in a folder of its own, and records to put into it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use genesis_store::{Journal, JournalOptions, LogRecord, Outcome, Payload, Retention, Store, Strategy};
use genesis_wire::{Dialect, Usage};
use tempfile::TempDir;
use uuid::Uuid;

/// 2026-11-22T12:00:00Z
pub(crate) const NOON: i64 = 1_795_348_800_000;
/// Long enough for any machine; only a failing test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A folder that goes away with its store.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("home/genesis.db")
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.folder.path().join("home/genesis-log.db")
    }

    pub(crate) fn open(&self) -> Store {
        Store::open(&self.path()).unwrap()
    }
}

/// An ordinary successful exchange; `number` goes into the id and orders it in time, one second apart.
pub(crate) fn record(number: u64) -> LogRecord {
    let created_at_ms = NOON + number as i64 * 1_000;
    LogRecord {
        id: id(number),
        event_id: format!("event-{number}"),
        created_at_ms,
        account: "acc".into(),
        gateway: "main".into(),
        provider: "openai".into(),
        model: "gpt-5-mini".into(),
        dialect: Some(Dialect::OpenAiChat),
        method: "POST".into(),
        path: "chat/completions".into(),
        status: 200,
        outcome: Outcome::Success,
        error: String::new(),
        cached: false,
        step: 0,
        duration_ms: 850,
        first_byte_ms: Some(300),
        stream: true,
        usage: Some(Usage { input: 100, cache_read: 20, output: 30, reasoning: 5, ..Usage::default() }),
        raw_usage: Some(r#"{"prompt_tokens":120,"completion_tokens":30}"#.into()),
        cost_nano_usd: Some(42_000),
        price_id: Some("openai/gpt-5-mini@2026-11-01".into()),
        price_formula: Some("100×0.25 + 30×2.00 per 1e6".into()),
        custom_cost: false,
        metadata: serde_json::Map::new(),
        user_agent: "OpenAI/Python 2.8.0".into(),
        token_id: "tok_1".into(),
        credential: "stored:default".into(),
        request_content_type: "application/json".into(),
        response_content_type: "text/event-stream".into(),
        request_size: 700,
        response_size: 900,
        request_head: "POST /v1/acc/main/openai/chat/completions HTTP/1.1\r\n".into(),
        response_head: "HTTP/1.1 200 OK\r\n".into(),
        trace_id: Some("0af7651916cd43dd8448eb211c80319c".into()),
        simulated: false,
        attempts: Vec::new(),
        dropped: Vec::new(),
    }
}

/// A UUIDv7 of the time `record(number)` has.
pub(crate) fn id(number: u64) -> Uuid {
    let ms = (NOON as u128 + u128::from(number) * 1_000) << 80;
    Uuid::from_u128(ms | 0x7 << 76 | 0x2 << 62 | u128::from(number))
}

pub(crate) fn payload(record: &LogRecord, request: &[u8], response: &[u8]) -> Payload {
    Payload {
        id: record.id,
        gateway: record.gateway.clone(),
        request: Bytes::copy_from_slice(request),
        response: Bytes::copy_from_slice(response),
        request_complete: true,
        response_complete: false,
    }
}

/// Keeps `max_rows` per gateway.
pub(crate) fn keep(max_rows: u64, strategy: Strategy) -> JournalOptions {
    JournalOptions {
        retention: Arc::new(move |_| Retention { max_rows, strategy }),
        ..JournalOptions::default()
    }
}

/// Logs the records, without bodies, and waits until they are written.
pub(crate) fn log_all(store: &Store, records: impl IntoIterator<Item = LogRecord>) {
    let journal = Journal::start(store, JournalOptions::default());
    for record in records {
        journal.push(record, None);
    }
    assert!(journal.flush(PATIENCE), "{:?}", journal.stats());
}

pub(crate) fn numbers(records: &[LogRecord]) -> Vec<u64> {
    records.iter().map(|record| record.id.as_u128() as u64 & 0xFFFF_FFFF).collect()
}
