//! Memory per stream that is open and quiet.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::client::{Question, Target};
use crate::{process, stamp};

/// Flags of `idle`.
#[derive(clap::Args, Debug, Clone)]
pub struct Options {
    #[command(flatten)]
    pub question: Question,
    /// Streams to hold open
    #[arg(long, default_value_t = 500)]
    pub streams: usize,
    /// Seconds to hold them before memory is read
    #[arg(long, default_value_t = 2.0)]
    pub settle: f64,
}

/// What the streams cost. Memory in KiB, of the target's process tree.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Streams that were open, each after its first event.
    pub streams: usize,
    /// Streams that could not be opened.
    pub errors: u64,
    /// Why the first of them could not.
    pub first_error: Option<String>,
    /// Resident memory before, after a few streams had come and gone.
    pub rss_before_kib: u64,
    /// Resident memory with all streams open.
    pub rss_after_kib: u64,
    /// The growth, per stream.
    pub kib_per_stream: f64,
}

/// Streams opened and closed beforehand, so that what a target sets up once is not counted per stream.
const WARM_UP: usize = 16;
const PATIENCE: Duration = Duration::from_secs(20);
/// New streams at a time: a listen queue is not what is measured.
const OPENING: usize = 32;

/// Opens the streams, reads memory, closes them.
pub fn run(options: &Options) -> Result<Report> {
    ensure!((1..=20_000).contains(&options.streams), "--streams must be 1 to 20000");
    process::allow_many_files();
    let mut question = options.question.clone();
    question.mock.get_or_insert_with(|| "idle".into());
    let pids = process::tree(question.pid.context("--pid is needed: whose memory is it?")?);
    let target = Target::new(&question, true)?;
    let settle = Duration::from_secs_f64(options.settle.clamp(0.0, 60.0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        drop(open(&target, WARM_UP.min(options.streams)).await);
        tokio::time::sleep(settle / 2).await;
        let rss_before_kib = process::rss_kib(&pids);
        let streams = open(&target, options.streams).await;
        tokio::time::sleep(settle).await;
        let rss_after_kib = process::rss_kib(&pids);
        ensure!(rss_after_kib > 0, "process {} has ended with {} streams open", pids[0], streams.open);
        let growth = rss_after_kib.saturating_sub(rss_before_kib) as f64;
        Ok(Report {
            streams: streams.open,
            errors: streams.errors.len() as u64,
            first_error: streams.errors.first().map(|error| format!("{error:#}")),
            rss_before_kib,
            rss_after_kib,
            kib_per_stream: growth / streams.open.max(1) as f64,
        })
    })
}

/// Streams that are open; they read on until this is dropped.
#[derive(Default)]
struct Streams {
    tasks: JoinSet<()>,
    open: usize,
    errors: Vec<anyhow::Error>,
}

/// Opens `count` streams and waits for the first event of each.
async fn open(target: &Target, count: usize) -> Streams {
    let mut streams = Streams::default();
    let mut left = count;
    while left > 0 {
        let batch = left.min(OPENING);
        left -= batch;
        let (ready, mut results) = mpsc::channel(batch);
        for _ in 0..batch {
            streams.tasks.spawn(hold(target.clone(), ready.clone()));
        }
        drop(ready);
        let all = async {
            while let Some(result) = results.recv().await {
                match result {
                    Ok(()) => streams.open += 1,
                    Err(error) => streams.errors.push(error),
                }
            }
        };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            streams.errors.push(anyhow::anyhow!("no first event within {} s", PATIENCE.as_secs()));
            break;
        }
    }
    streams
}

/// One stream: reports when its first event is here, then reads on until it ends or is dropped.
async fn hold(target: Target, ready: mpsc::Sender<Result<()>>) {
    let (outcome, held) = match first_event(&target).await {
        Ok(held) => (Ok(()), Some(held)),
        Err(error) => (Err(error), None),
    };
    // Fails only if the receiver lost patience.
    let _ = ready.send(outcome).await;
    drop(ready);
    if let Some((_connection, mut body)) = held {
        while let Some(Ok(_)) = body.frame().await {}
    }
}

async fn first_event(target: &Target) -> Result<(crate::client::Connection, hyper::body::Incoming)> {
    let mut connection = target.connect().await?;
    let response = connection.send_request(target.request()).await.context("no answer")?;
    ensure!(response.status() == StatusCode::OK, "status {}", response.status());
    let mut body = response.into_body();
    let mut stamps = stamp::Reader::default();
    let mut seen = false;
    while !seen {
        let frame = body.frame().await.context("the stream ended before its first event")??;
        if let Ok(piece) = frame.into_data() {
            stamps.feed(&piece, |_| seen = true);
        }
    }
    Ok((connection, body))
}
