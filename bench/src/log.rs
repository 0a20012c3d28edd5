//! How the log fares when it is large: writes so many records and asks what people ask.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use bytes::Bytes;
use genesis_store::{
    AnalyticsCondition, AnalyticsOrder, AnalyticsQuery, Bucket, Dimension, Direction, Journal,
    JournalOptions, LogField, LogFilter, LogOrder, LogRecord, Operator, Outcome, Payload, Retention, Store,
};
use genesis_wire::{Dialect, Usage};
use uuid::Uuid;

/// Flags of `log`.
#[derive(clap::Args, Debug, Clone)]
pub struct Options {
    /// How many records, spread over 30 days
    #[arg(long, default_value_t = 10_000_000)]
    pub records: u64,
    /// Bytes of bodies with each
    #[arg(long, default_value_t = 0)]
    pub bodies: usize,
    /// Folder for the database (default: a temporary one); one that has a log already is only asked
    #[arg(long)]
    pub folder: Option<PathBuf>,
}

const DAYS: i64 = 30;
const PATIENCE: Duration = Duration::from_secs(600);

/// Writes, asks, and returns a table in Markdown.
pub fn run(options: &Options) -> Result<String> {
    let temporary = tempfile::tempdir()?;
    let folder = options.folder.clone().unwrap_or_else(|| temporary.path().to_owned());
    let path = folder.join("genesis.db");
    let mut table = String::from("| what | result |\n|---|--:|\n");
    if path.exists() {
        writeln!(table, "| records | {} |", Store::open(&path)?.count(&LogFilter::default())?)?;
    } else {
        write(options, &Store::open(&path)?, &mut table)?;
    }
    let bytes: u64 = std::fs::read_dir(&folder)?
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|file| file.len())
        .sum();
    writeln!(table, "| files | {:.2} GB |", bytes as f64 / 1e9)?;
    ask(&path, &mut table)?;
    Ok(table)
}

fn write(options: &Options, store: &Store, table: &mut String) -> Result<()> {
    let keep = Retention { max_rows: u64::MAX, ..Retention::default() };
    let journal = Journal::start(
        store,
        JournalOptions { retention: std::sync::Arc::new(move |_, _| keep), ..JournalOptions::default() },
    );
    let end = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let (start, span) = (end - DAYS * 86_400_000, DAYS * 86_400_000);
    let begin = Instant::now();
    for number in 0..options.records {
        let at = start + (i128::from(number) * i128::from(span) / i128::from(options.records)) as i64;
        let record = record(number, at);
        let payload = (options.bodies > 0).then(|| payload(&record, options.bodies));
        journal.push(record, payload);
        // As fast as it is taken, without loss.
        while number % 1_024 == 0 && journal.stats().pending > 20_000 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    ensure!(journal.flush(PATIENCE), "the log was not written: {:?}", journal.stats());
    let seconds = begin.elapsed().as_secs_f64();
    let stats = journal.stats();
    ensure!(stats.written == options.records, "records were lost: {stats:?}");
    writeln!(table, "| records | {} |", options.records)?;
    writeln!(table, "| inserted per second | {:.0} |", options.records as f64 / seconds)?;
    Ok(())
}

/// One record in so many is unlike the others.
const RARE: u64 = 1_000_000;

/// Some gateways, models and tokens; one in fifty fails, one in four has an event id of the caller's.
fn record(number: u64, created_at_ms: i64) -> LogRecord {
    let record = ordinary(number, created_at_ms);
    if number % RARE != RARE / 2 {
        return record;
    }
    LogRecord {
        model: "o3-deep-research".into(),
        path: "responses".into(),
        status: 503,
        outcome: Outcome::UpstreamBroken,
        error: "the provider broke off".into(),
        duration_ms: 900_000,
        cost_nano_usd: Some(5_000_000_000),
        token_id: "tok_rare".into(),
        metadata: serde_json::Map::from_iter([("team".to_owned(), "research".into())]),
        ..record
    }
}

fn ordinary(number: u64, created_at_ms: i64) -> LogRecord {
    const MODELS: [(&str, &str); 8] = [
        ("openai", "gpt-5-mini"),
        ("openai", "gpt-5"),
        ("anthropic", "claude-sonnet-4-6"),
        ("anthropic", "claude-haiku-4-5"),
        ("google-ai-studio", "gemini-3-pro"),
        ("mistral", "mistral-large-latest"),
        ("groq", "llama-4-scout"),
        ("deepseek", "deepseek-chat"),
    ];
    // Mixed, so that no two fields go together.
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let of = |shift: u32, count: u64| (mixed >> shift) % count;
    let (provider, model) = MODELS[of(8, 8) as usize];
    let failed = of(16, 50) == 0;
    let id = Uuid::from_u128((created_at_ms as u128) << 80 | 0x7 << 76 | 0x2 << 62 | u128::from(mixed >> 2));
    let mut metadata = serde_json::Map::new();
    if of(20, 2) == 0 {
        metadata.insert("team".into(), format!("team-{}", of(24, 20)).into());
    }
    LogRecord {
        id,
        event_id: if number.is_multiple_of(4) { event(number) } else { id.to_string() },
        created_at_ms,
        account: "acme".into(),
        gateway: ["prod", "staging", "default"][of(28, 3) as usize].into(),
        provider: provider.into(),
        model: model.into(),
        dialect: Some(Dialect::OpenAiChat),
        method: "POST".into(),
        path: "chat/completions".into(),
        status: if failed { 429 } else { 200 },
        outcome: if failed { Outcome::ProviderError } else { Outcome::Success },
        error: if failed { "rate limit reached".into() } else { String::new() },
        cached: of(32, 10) == 0,
        duration_ms: 200 + of(36, 3_000) as u32,
        first_byte_ms: Some(100 + of(40, 900) as u32),
        stream: true,
        usage: (!failed).then(|| Usage {
            input: 50 + of(12, 2_000),
            output: 10 + of(44, 500),
            ..Usage::default()
        }),
        raw_usage: (!failed)
            .then(|| format!(r#"{{"prompt_tokens":{},"completion_tokens":{}}}"#, of(12, 2_000), of(44, 500))),
        cost_nano_usd: (!failed).then(|| (of(12, 2_000) * 250 + of(44, 500) * 2_000) as i64),
        price_id: Some("openai/gpt-5-mini@2026-11-01".into()),
        price_formula: Some(format!("{} input × $0.25/M + {} output × $2/M", of(12, 2_000), of(44, 500))),
        metadata,
        user_agent: "OpenAI/Python 2.8.0".into(),
        token_id: format!("tok_{}", of(48, 6)),
        credential: "stored:default".into(),
        request_content_type: "application/json".into(),
        response_content_type: "text/event-stream".into(),
        request_size: 700,
        response_size: 900,
        ..LogRecord::default()
    }
}

fn event(number: u64) -> String {
    format!("req-{:016x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

fn payload(record: &LogRecord, bytes: usize) -> Payload {
    let text: String = (0..)
        .map(|at| format!("{} {at}, ", record.id))
        .flat_map(|text| text.into_bytes())
        .take(bytes)
        .map(char::from)
        .collect();
    Payload {
        id: record.id,
        gateway: record.gateway.clone(),
        request: Bytes::from(text),
        response: Bytes::new(),
        request_complete: true,
        response_complete: true,
    }
}

/// How long this thread has been on a core: what a question takes where nothing else runs.
fn processor_time() -> Result<Duration> {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = statistics.split_whitespace().next().unwrap_or_default();
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

/// Each question twice, the second time counts: what is asked first also warms the system's cache.
fn ask(path: &std::path::Path, table: &mut String) -> Result<()> {
    let newest = Store::open(path)?.logs(&LogFilter::default())?;
    let now = newest.first().map_or(0, |record| record.created_at_ms);
    let some_id = newest.last().map(|record| record.id.to_string()).unwrap_or_default();
    let mut timed = |name: &str, question: &dyn Fn() -> Result<usize>| -> Result<()> {
        question()?;
        let (begin, worked) = (Instant::now(), processor_time()?);
        let rows = question()?;
        let (took, worked) = (begin.elapsed().as_secs_f64() * 1e3, processor_time()? - worked);
        writeln!(table, "| {name} | {took:.1} ms, {:.1} ms CPU, {rows} rows |", worked.as_secs_f64() * 1e3)?;
        Ok(())
    };
    timed("opening the store and the first page", &|| {
        Ok(Store::open(path)?.logs(&LogFilter::default())?.len())
    })?;
    timed("starting the journal and writing one record", &|| {
        let store = Store::open(path)?;
        let journal = Journal::start(
            &store,
            JournalOptions {
                retention: std::sync::Arc::new(|_, _| Retention {
                    max_rows: u64::MAX,
                    ..Retention::default()
                }),
                ..JournalOptions::default()
            },
        );
        journal.push(record(1, now), None);
        ensure!(journal.flush(PATIENCE), "{:?}", journal.stats());
        Ok(1)
    })?;
    let store = Store::open(path)?;
    let page = |name: &str, filter: LogFilter| (name.to_owned(), filter);
    for (name, filter) in
        [
            page("first page", LogFilter::default()),
            page("first page of one gateway", LogFilter::default().is(LogField::Gateway, "prod")),
            page("first page, by creation", LogFilter { order: LogOrder::CreatedAt, ..LogFilter::default() }),
            page(
                "failures of one model",
                LogFilter::default().is(LogField::Success, false).is(LogField::Model, "gpt-5"),
            ),
            page("page 200", LogFilter { offset: 10_000, ..LogFilter::default() }),
            page(
                "first page of a day two weeks ago",
                LogFilter::default()
                    .with(LogField::CreatedAt, Operator::AtLeast, now - 15 * 86_400_000)
                    .with(LogField::CreatedAt, Operator::Less, now - 14 * 86_400_000),
            ),
            page("a model nobody used", LogFilter::default().is(LogField::Model, "none")),
            page("a rare model", LogFilter::default().is(LogField::Model, "o3-deep-research")),
            page("a rare status", LogFilter::default().is(LogField::Status, 503)),
            page("a rare token", LogFilter::default().is(LogField::Token, "tok_rare")),
            page("a rare metadata value", LogFilter::default().is(LogField::MetadataValue, "research")),
            page("an event id", LogFilter::default().is(LogField::EventId, event(400_000).as_str())),
            page("an event id nobody used", LogFilter::default().is(LogField::EventId, "none")),
            page(
                "longer than a minute",
                LogFilter::default().with(LogField::Duration, Operator::Greater, 60_000),
            ),
            page(
                "dearer than a dollar",
                LogFilter::default().with(LogField::Cost, Operator::Greater, 1_000_000_000),
            ),
            page("search for a path", LogFilter { search: Some("responses".into()), ..LogFilter::default() }),
            page("search for nothing", LogFilter { search: Some("nothing".into()), ..LogFilter::default() }),
            page("most expensive", LogFilter { order: LogOrder::Cost, ..LogFilter::default() }),
            page(
                "most expensive of one model",
                LogFilter { order: LogOrder::Cost, ..LogFilter::default().is(LogField::Model, "gpt-5") },
            ),
            page("longest", LogFilter { order: LogOrder::Duration, ..LogFilter::default() }),
            page("most tokens", LogFilter { order: LogOrder::TokensIn, ..LogFilter::default() }),
            page("by provider", LogFilter { order: LogOrder::Provider, ..LogFilter::default() }),
        ]
    {
        timed(&name, &|| Ok(store.logs(&filter)?.len()))?;
    }
    timed("one record by its id", &|| Ok(usize::from(store.log(&some_id)?.is_some())))?;
    timed("count of all", &|| Ok(store.count(&LogFilter::default())? as usize))?;
    timed("count of one gateway", &|| {
        Ok(store.count(&LogFilter::default().is(LogField::Gateway, "prod"))? as usize)
    })?;
    timed("count of one model", &|| {
        Ok(store.count(&LogFilter::default().is(LogField::Model, "gpt-5"))? as usize)
    })?;
    timed("least and most of all numbers", &|| Ok(store.log_ranges(&LogFilter::default())?.count as usize))?;
    let day = Some(now - 86_400_000);
    let of_prod = vec![AnalyticsCondition {
        dimension: Dimension::Gateway,
        negated: false,
        values: vec!["prod".into()],
    }];
    for (name, query) in [
        ("all, in sum", AnalyticsQuery::default()),
        (
            "all, by model",
            AnalyticsQuery {
                group_by: vec![Dimension::Provider, Dimension::Model],
                ..AnalyticsQuery::default()
            },
        ),
        ("all, by day", AnalyticsQuery { bucket: Some(Bucket::Day), ..AnalyticsQuery::default() }),
        (
            "all, by day and model",
            AnalyticsQuery {
                bucket: Some(Bucket::Day),
                group_by: vec![Dimension::Model],
                ..AnalyticsQuery::default()
            },
        ),
        (
            "last day, by hour",
            AnalyticsQuery { since_ms: day, bucket: Some(Bucket::Hour), ..AnalyticsQuery::default() },
        ),
        (
            "last day, by hour and model, one gateway",
            AnalyticsQuery {
                since_ms: day,
                bucket: Some(Bucket::Hour),
                group_by: vec![Dimension::Model],
                conditions: of_prod,
                ..AnalyticsQuery::default()
            },
        ),
        (
            "last hour, by minute",
            AnalyticsQuery {
                since_ms: Some(now - 3_600_000),
                bucket: Some(Bucket::Minute),
                ..AnalyticsQuery::default()
            },
        ),
        (
            "last 7 days, by token",
            AnalyticsQuery {
                since_ms: Some(now - 7 * 86_400_000),
                group_by: vec![Dimension::Token],
                ..AnalyticsQuery::default()
            },
        ),
        (
            "last 7 days, by metadata",
            AnalyticsQuery {
                since_ms: Some(now - 7 * 86_400_000),
                group_by: vec![Dimension::Metadata("team".into())],
                ..AnalyticsQuery::default()
            },
        ),
        (
            "all, by metadata",
            AnalyticsQuery {
                group_by: vec![Dimension::Metadata("team".into())],
                ..AnalyticsQuery::default()
            },
        ),
        (
            "last 7 days, by hour",
            AnalyticsQuery {
                since_ms: Some(now - 7 * 86_400_000),
                bucket: Some(Bucket::Hour),
                ..AnalyticsQuery::default()
            },
        ),
        (
            "last day, by minute",
            AnalyticsQuery { since_ms: day, bucket: Some(Bucket::Minute), ..AnalyticsQuery::default() },
        ),
        (
            "last 30 days, by status, dearest first",
            AnalyticsQuery {
                since_ms: Some(now - DAYS * 86_400_000),
                group_by: vec![Dimension::Status],
                order: AnalyticsOrder::Cost,
                direction: Direction::Descending,
                ..AnalyticsQuery::default()
            },
        ),
    ] {
        timed(&format!("analytics: {name}"), &|| Ok(store.analytics(&query)?.len()))?;
    }
    Ok(())
}
