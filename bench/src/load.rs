//! The load generator: asks, times, checks every answer, and reads what the target used meanwhile.
//!
//! Closed loop (each connection asks again when it has its answer), constant rate (latency counts from the instant the
//! request was due, so a stalled target cannot hide behind the requests it kept from being sent), and streams.

pub mod check;
pub mod report;
mod schedule;
pub mod tally;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::client::{Connection, Question, Target};
use crate::mock::script::Script;
use crate::{process, stamp};
use check::Check;
use report::{Cost, Quantiles, Report};
use schedule::{Hand, Tickets};
use tally::{Samples, Tally};

/// Flags of `load`.
#[derive(clap::Args, Debug, Clone)]
pub struct Options {
    #[command(flatten)]
    pub question: Question,
    /// Ask for streams
    #[arg(long)]
    pub stream: bool,
    /// Connections; each has one request under way at most
    #[arg(long, default_value_t = 64)]
    pub connections: usize,
    /// Length of the measured window
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// Load before the window opens, in seconds
    #[arg(long, default_value_t = 0.5)]
    pub warmup: f64,
    /// Requests per second over all connections, instead of as many as possible
    #[arg(long)]
    pub rate: Option<f64>,
    /// Pause of each connection after an answer, in microseconds
    #[arg(long, default_value_t = 0)]
    pub pause_us: u64,
    /// Delay of each connection's first request after the connection before it, in microseconds
    #[arg(long, default_value_t = 0)]
    pub stagger_us: u64,
    /// Threads
    #[arg(long, default_value_t = 2)]
    pub threads: usize,
    /// Run on this core only
    #[arg(long)]
    pub pin: Option<usize>,
    /// A response header, `name: value`, that every answer in the window must have
    #[arg(long)]
    pub expect: Option<String>,
}

/// Answers may take this long after the window closed.
const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST: f64 = 3600.0;
const MOST_CONNECTIONS: usize = 10_000;
const RSS_SAMPLE: Duration = Duration::from_millis(100);

/// Everything a connection needs.
struct Job {
    target: Target,
    options: Options,
    /// Stamped events of each stream.
    events: u32,
    expect: Option<(String, String)>,
    tally: Tally,
}

/// Runs the load and reports. Wrong answers are counted, not returned as an error.
pub fn run(options: &Options) -> Result<Report> {
    ensure!(
        (1..=MOST_CONNECTIONS).contains(&options.connections),
        "--connections must be 1 to {MOST_CONNECTIONS}"
    );
    ensure!((0.0..=LONGEST).contains(&options.seconds), "--seconds must be 0 to {LONGEST}");
    ensure!((0.0..=LONGEST).contains(&options.warmup), "--warmup must be 0 to {LONGEST}");
    if let Some(core) = options.pin {
        process::pin(&[std::process::id()], &core.to_string())?;
    }
    let script: Script = match options.question.mock.as_deref().unwrap_or_default().parse() {
        Ok(script) => script,
        Err(bad) => bail!("cannot read --mock {:?}", bad.0),
    };
    let expect = match options.expect.as_deref().map(|text| text.split_once(':')) {
        Some(None) => bail!("--expect must be `name: value`"),
        Some(Some((name, value))) => Some((name.trim().to_owned(), value.trim().to_owned())),
        None => None,
    };
    let target = Target::new(&options.question, options.stream)?;
    let job = Arc::new(Job {
        target,
        options: options.clone(),
        events: script.events,
        expect,
        tally: Tally::default(),
    });

    let (tickets, ticker) = schedule::deal(&job)?;
    let mut threads = Vec::new();
    let mut samples = Vec::new();
    for (index, tickets) in tickets.into_iter().enumerate() {
        let mine = Arc::new(Mutex::new(Samples::default()));
        samples.push(mine.clone());
        let job = job.clone();
        threads.push(
            thread::Builder::new().name(format!("load-{index}")).spawn(move || work(&job, &mine, tickets))?,
        );
    }
    let (window, cost) = measure(&job, &samples)?;
    for thread in threads.into_iter().chain(ticker) {
        thread.join().ok().context("a load thread panicked")?;
    }
    Ok(summary(&job, &samples, window, cost))
}

/// Warms up, opens the window, watches the target, closes the window. Returns its length and the target's cost.
fn measure(job: &Job, samples: &[Arc<Mutex<Samples>>]) -> Result<(Duration, Option<Cost>)> {
    thread::sleep(Duration::from_secs_f64(job.options.warmup));
    let pids = job.options.question.pid.map(process::tree);
    let look = || pids.as_deref().map(process::usage).unwrap_or_default();
    let before = look();
    let opened = job.tally.open();
    let end = opened + Duration::from_secs_f64(job.options.seconds);
    let mut rss_max = 0;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        thread::sleep(left.min(RSS_SAMPLE));
        rss_max = rss_max.max(pids.as_deref().map_or(0, process::rss_kib));
    }
    let closed = job.tally.close();
    let after = look();
    let Some(pids) = pids else {
        return Ok((closed - opened, None));
    };
    ensure!(after.rss_kib > 0, "process {} has ended under load", pids[0]);
    let now = Samples::sum(samples);
    let cost = Cost::between(before, after, rss_max, now.requests, now.transit.count());
    Ok((closed - opened, Some(cost)))
}

/// One thread: drives its connections until the run is closed and their last answers are in.
fn work(job: &Arc<Job>, samples: &Arc<Mutex<Samples>>, connections: Hand) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return job.tally.failed(&error.into()),
    };
    runtime.block_on(async {
        let mut open = JoinSet::new();
        for (index, tickets) in connections {
            open.spawn(drive(job.clone(), samples.clone(), index, tickets));
        }
        let Options { warmup, seconds, .. } = job.options;
        let limit = Duration::from_secs_f64(warmup + seconds) + PATIENCE;
        let all_ended = tokio::time::timeout(limit, async { while open.join_next().await.is_some() {} });
        if all_ended.await.is_err() {
            let (count, patience) = (open.len(), PATIENCE.as_secs());
            let error =
                anyhow::anyhow!("{count} connections had no answer {patience} s after the window closed");
            (0..count).for_each(|_| job.tally.failed(&error));
        }
    });
}

/// One connection: asks, again and again.
async fn drive(job: Arc<Job>, samples: Arc<Mutex<Samples>>, index: usize, mut tickets: Tickets) {
    tokio::time::sleep(Duration::from_micros(job.options.stagger_us * index as u64)).await;
    let mut connection = None;
    loop {
        let due = match &mut tickets {
            Some(tickets) => match tickets.recv().await {
                Some(due) => Some(due),
                None => return,
            },
            None if job.tally.is_closed() => return,
            None => None,
        };
        if let Err(error) = exchange(&job, &samples, &mut connection, due).await {
            job.tally.failed(&error);
            connection = None;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if job.options.pause_us > 0 {
            tokio::time::sleep(Duration::from_micros(job.options.pause_us)).await;
        }
    }
}

/// One request and its answer, judged and recorded.
async fn exchange(
    job: &Job,
    samples: &Mutex<Samples>,
    kept: &mut Option<Connection>,
    due: Option<Instant>,
) -> Result<()> {
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => job.target.connect().await?,
    };
    connection.ready().await.context("the target closed the connection")?;
    let begin = due.unwrap_or_else(Instant::now);
    let response = connection.send_request(job.target.request()).await.context("no answer")?;
    if response.status() != StatusCode::OK {
        return refuse(response).await;
    }
    if let Some((name, value)) = &job.expect
        && job.tally.counts(begin)
    {
        let found = response.headers().get(name).map(|found| String::from_utf8_lossy(found.as_bytes()));
        ensure!(found.as_deref() == Some(value.as_str()), "{name} is {found:?} instead of {value:?}");
    }
    let stream = job.options.stream;
    let mut body = response.into_body();
    let mut check = Check::new(stream);
    let mut first_byte = None;
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.context("the answer was cut")?.into_data() else {
            continue;
        };
        first_byte.get_or_insert_with(Instant::now);
        if stream && job.tally.counts(Instant::now()) {
            let (arrived, mut samples) = (stamp::now(), samples.lock());
            check.feed(&piece, |sent| samples.transit.record(arrived.saturating_sub(sent)));
        } else {
            check.feed(&piece, |_| ());
        }
        if stream && job.tally.is_closed() {
            // Leave a long stream where it is; what was seen of it counts.
            return Ok(());
        }
    }
    check.finish(job.events)?;
    let end = Instant::now();
    if job.tally.counts(due.unwrap_or(end)) {
        let nanoseconds = |instant: Instant| u64::try_from((instant - begin).as_nanos()).unwrap_or(u64::MAX);
        let mut samples = samples.lock();
        samples.requests += 1;
        samples.latency.record(nanoseconds(end));
        if stream && let Some(first) = first_byte {
            samples.first_byte.record(nanoseconds(first));
        }
    }
    *kept = Some(connection);
    Ok(())
}

async fn refuse(response: http::Response<Incoming>) -> Result<()> {
    let status = response.status();
    let body =
        response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    bail!("status {status}: {}", body[..body.len().min(300)].escape_ascii())
}

fn summary(job: &Job, samples: &[Arc<Mutex<Samples>>], window: Duration, target: Option<Cost>) -> Report {
    let total = Samples::sum(samples);
    let (errors, first_error) = job.tally.errors();
    let seconds = window.as_secs_f64();
    let streams = |histogram| job.options.stream.then(|| Quantiles::of(histogram));
    Report {
        seconds,
        connections: job.options.connections,
        requests: total.requests,
        errors,
        first_error,
        requests_per_second: total.requests as f64 / seconds,
        latency: Quantiles::of(&total.latency),
        first_byte: streams(&total.first_byte),
        events: total.transit.count(),
        events_per_second: total.transit.count() as f64 / seconds,
        transit: streams(&total.transit),
        target,
    }
}
