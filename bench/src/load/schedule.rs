//! Who asks when: connections dealt out to threads and, at a constant rate, the instants their requests are due.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::sync::mpsc;

use super::{Job, Options};

/// The instants at which a connection's requests are due; `None` in a closed loop.
pub(super) type Tickets = Option<mpsc::Receiver<Instant>>;

/// The connections of one thread, with their numbers.
pub(super) type Hand = Vec<(usize, Tickets)>;

/// Deals the connections out to threads: one hand for each. With a constant rate,
/// also starts the thread that hands out tickets, in turn, at the exact instants (tokio's timer is too coarse).
pub(super) fn deal(job: &Arc<Job>) -> Result<(Vec<Hand>, Option<thread::JoinHandle<()>>)> {
    let Options { connections, rate, warmup, seconds, .. } = job.options;
    let threads = job.options.threads.clamp(1, connections);
    let mut dealt: Vec<Hand> = (0..threads).map(|_| Vec::new()).collect();
    let Some(rate) = rate else {
        (0..connections).for_each(|index| dealt[index % threads].push((index, None)));
        return Ok((dealt, None));
    };
    ensure!((0.001..=1e6).contains(&rate), "--rate must be at most a million per second");
    let total = (rate * (warmup + seconds + 1.0)).ceil() as usize;
    let mut senders = Vec::new();
    for index in 0..connections {
        // Room for every ticket this connection will ever get: a slow target never slows the clock.
        let (sender, receiver) = mpsc::channel(total / connections + 1);
        senders.push(sender);
        dealt[index % threads].push((index, Some(receiver)));
    }
    let job = job.clone();
    let ticker = thread::Builder::new().name("ticker".into()).spawn(move || {
        let begin = Instant::now();
        for number in 0..total {
            let due = begin + Duration::from_secs_f64(number as f64 / rate);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            // However late this thread woke up, what was due before the end is sent.
            if job.tally.is_closed() && !job.tally.counts(due) {
                return;
            }
            // Fails only if the connection's thread gave up.
            let _ = senders[number % connections].try_send(due);
        }
    })?;
    Ok((dealt, Some(ticker)))
}
