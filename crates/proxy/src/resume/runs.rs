//! The streams that are kept: for some minutes after their end, within a bound for all and one for each.
//!
//! What a stream holds is counted with every piece, in one atomic number. Only where that is over the bound, a stream
//! begins, ends or is asked for, the table is locked.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use genesis_config::file::Limits;
use http::HeaderValue;

use crate::admit::Caller;
use crate::cache::Clock;
use crate::exchange::now_ms;
use crate::upstream::broadcast::{Broadcast, Listener};

/// How long a stream is kept after its end; on Cloudflare it is about the same.
const KEPT_MS: i64 = 330_000;
/// What a stream takes beside what is kept of it, so that their number is bounded with their bytes.
const RUN: usize = 1024;
/// How far one who listens may be behind once a stream had to go: no more than a connection holds anyway.
const BEHIND: usize = 256 * 1024;

/// 256 random bits that name a stream.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(crate) struct RunId([u8; 32]);

/// Who made the call: only they may hear its answer again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Owner {
    pub(crate) account: String,
    pub(crate) gateway: String,
    pub(crate) caller: Caller,
}

/// Who asks for a stream, and where.
pub(super) struct Asking<'a> {
    /// `None`: the path names none.
    pub(super) account: Option<&'a str>,
    pub(super) gateway: &'a str,
    pub(super) caller: &'a Caller,
}

/// How many bytes may be kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) all: usize,
    pub(super) each: usize,
}

/// See the [module](self).
pub(crate) struct Runs {
    table: Mutex<Table>,
    /// Bytes that all of them take.
    held: AtomicUsize,
    clock: Clock,
}

#[derive(Default)]
struct Table {
    runs: HashMap<RunId, Kept>,
    /// Those that have ended, and when; the oldest first.
    ended: VecDeque<(i64, RunId)>,
}

struct Kept {
    owner: Owner,
    content_type: HeaderValue,
    broadcast: Arc<Broadcast>,
    ended_at_ms: Option<i64>,
}

impl RunId {
    /// `None` if the system has no randomness to give.
    fn random() -> Option<Self> {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// 64 hexadecimal digits, not all of them 0.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let mut bytes = [0; 32];
        if text.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        (bytes != [0; 32]).then_some(Self(bytes))
    }

    pub(crate) fn header(self) -> HeaderValue {
        HeaderValue::try_from(self.to_string()).expect("hexadecimal digits are a header value")
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Owner {
    fn is(&self, asking: &Asking<'_>) -> bool {
        asking.account.is_none_or(|account| account == self.account)
            && self.gateway == asking.gateway
            && self.caller == *asking.caller
    }
}

impl Bounds {
    pub(super) fn of(limits: &Limits) -> Self {
        let bytes = |number| usize::try_from(number).unwrap_or(usize::MAX);
        Self { all: bytes(limits.resumable_bytes), each: bytes(limits.resumable_stream_bytes) }
    }
}

impl Runs {
    pub(crate) fn new() -> Self {
        Self { table: Mutex::default(), held: AtomicUsize::new(0), clock: Arc::new(now_ms) }
    }

    /// With another clock than the system's, by which streams that ended grow old.
    pub(crate) fn with_clock(clock: Clock) -> Self {
        Self { clock, ..Self::new() }
    }

    /// What a stream is to be kept in, and its name.
    pub(super) fn begin(
        &self,
        owner: Owner,
        content_type: HeaderValue,
        bounds: Bounds,
    ) -> Option<(RunId, Arc<Broadcast>)> {
        let id = RunId::random()?;
        let broadcast = Broadcast::until_forgotten(BEHIND);
        let kept = Kept { owner, content_type, broadcast: Arc::clone(&broadcast), ended_at_ms: None };
        self.held.fetch_add(RUN, Ordering::Relaxed);
        self.lock().runs.insert(id, kept);
        self.stay_within(bounds);
        Some((id, broadcast))
    }

    /// Something is about to be added to a stream.
    pub(super) fn grow(&self, by: usize) {
        self.held.fetch_add(by, Ordering::Relaxed);
    }

    /// Less is held than was thought.
    pub(super) fn shrink(&self, by: usize) {
        self.held.fetch_sub(by, Ordering::Relaxed);
    }

    /// Lets streams go until less is held than is allowed: first those that have ended, the oldest first, then those
    /// that hold most, since then the fewest have to go.
    pub(super) fn stay_within(&self, bounds: Bounds) {
        if self.held() <= bounds.all {
            return;
        }
        let enough = bounds.all - bounds.all / 16; // so that not every piece has to make room for itself
        let mut table = self.lock();
        while self.held() > enough
            && let Some((_, id)) = table.ended.pop_front()
        {
            self.remove(&mut table.runs, &id);
        }
        if self.held() <= enough {
            return;
        }
        let mut by_size: Vec<_> =
            table.runs.iter().map(|(id, kept)| (Reverse(kept.broadcast.held()), *id)).collect();
        by_size.sort_unstable_by_key(|(held, _)| *held);
        for (_, id) in by_size {
            if self.held() <= enough {
                break;
            }
            self.remove(&mut table.runs, &id);
        }
    }

    /// This one cannot be kept any longer.
    pub(super) fn let_go(&self, id: &RunId) {
        self.remove(&mut self.lock().runs, id);
    }

    /// Nothing is added to this one any more.
    pub(super) fn ended(&self, id: RunId) {
        let now = (self.clock)();
        let mut table = self.lock();
        if let Some(kept) = table.runs.get_mut(&id) {
            kept.ended_at_ms = Some(now);
            table.ended.push_back((now, id));
        }
    }

    /// A stream from its beginning, and its content type.
    pub(super) fn find(&self, id: &RunId, asking: &Asking<'_>) -> Option<(Listener, HeaderValue)> {
        let table = self.lock();
        let kept = table.runs.get(id).filter(|kept| kept.owner.is(asking))?;
        if kept.ended_at_ms.is_some_and(|at| self.is_over(at)) {
            return None;
        }
        Some((kept.broadcast.listen_again()?, kept.content_type.clone()))
    }

    /// Drops what is over, but for what somebody is still listening to.
    pub(crate) fn sweep(&self) {
        let mut table = self.lock();
        let Table { runs, ended } = &mut *table;
        ended.retain(|(at, id)| {
            let read = runs.get(id).is_some_and(|kept| Arc::strong_count(&kept.broadcast) > 1);
            let stays = read || !self.is_over(*at);
            if !stays {
                self.remove(runs, id);
            }
            stays
        });
    }

    /// Bytes that all of them take.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    fn is_over(&self, ended_at_ms: i64) -> bool {
        (self.clock)() - ended_at_ms >= KEPT_MS
    }

    fn remove(&self, runs: &mut HashMap<RunId, Kept>, id: &RunId) {
        if let Some(kept) = runs.remove(id) {
            self.shrink(kept.broadcast.forget() + RUN);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { all: 100_000, each: 50_000 };

    fn owner(token: &str) -> Owner {
        let caller = Caller { token_id: Some(token.to_owned()), identity: None, trusted: false };
        Owner { account: "a".to_owned(), gateway: "g".to_owned(), caller }
    }

    fn begin(runs: &Runs) -> (RunId, Arc<Broadcast>) {
        runs.begin(owner("t"), HeaderValue::from_static("text/event-stream"), BOUNDS).expect("randomness")
    }

    fn is_there(runs: &Runs, id: &RunId) -> bool {
        let asking = Asking { account: None, gateway: "g", caller: &owner("t").caller };
        runs.find(id, &asking).is_some()
    }

    /// As [`Keeping`](super::super::Keeping) does it.
    fn add(runs: &Runs, broadcast: &Broadcast, bytes: usize) {
        let piece = Bytes::from(vec![0; bytes]);
        let weight = Broadcast::weight(&piece);
        runs.grow(weight);
        if !broadcast.push(piece) {
            runs.shrink(weight);
        }
        runs.stay_within(BOUNDS);
    }

    #[test]
    fn ids_are_written_as_they_are_read() {
        let id = RunId::random().expect("randomness");
        assert!(RunId::parse(&id.to_string()) == Some(id) && RunId::random() != Some(id));
        assert_eq!(
            RunId::parse(&id.to_string().to_uppercase()).map(|id| id.to_string()),
            Some(id.to_string())
        );
        for bad in ["", "0", &"0".repeat(64), &"1".repeat(63), &"1".repeat(65), &"é".repeat(32)] {
            assert!(RunId::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_largest_under_way_goes_once_all_that_ended_have_gone() {
        let runs = Runs::new();
        let ((ended, first), (large, second), (small, third)) = (begin(&runs), begin(&runs), begin(&runs));
        add(&runs, &first, 20_000);
        runs.ended(ended);
        add(&runs, &second, 60_000);
        add(&runs, &third, 10_000);
        assert!([ended, large, small].iter().all(|id| is_there(&runs, id)));
        add(&runs, &third, 15_000);
        assert!(!is_there(&runs, &ended) && is_there(&runs, &large) && is_there(&runs, &small));
        add(&runs, &third, 20_000);
        assert!(!is_there(&runs, &large) && is_there(&runs, &small));
    }

    #[test]
    fn what_is_over_goes_unless_somebody_is_still_reading_it() {
        let now = Arc::new(AtomicI64::new(0));
        let clock = Arc::clone(&now);
        let runs = Runs::with_clock(Arc::new(move || clock.load(Ordering::SeqCst)));
        let (id, broadcast) = begin(&runs);
        add(&runs, &broadcast, 10);
        runs.ended(id);
        let reading = broadcast.listen_again();
        drop(broadcast);
        now.store(KEPT_MS - 1, Ordering::SeqCst);
        assert!(is_there(&runs, &id));
        now.store(KEPT_MS, Ordering::SeqCst);
        runs.sweep();
        assert!(!is_there(&runs, &id) && runs.held() > 0);
        drop(reading);
        runs.sweep();
        assert_eq!((runs.held(), runs.lock().ended.len()), (0, 0));
    }

    proptest! {
        #[test]
        fn what_is_counted_is_what_is_held_and_within_the_bound(
            steps in prop::collection::vec((0..4_u8, 0..8_usize, 0..30_000_usize), 1..80),
        ) {
            let runs = Runs::new();
            let mut live: Vec<(RunId, Arc<Broadcast>)> = Vec::new();
            for (kind, which, bytes) in steps {
                match kind {
                    0 => live.push(begin(&runs)),
                    1 if !live.is_empty() => runs.ended(live.remove(which % live.len()).0),
                    2 if !live.is_empty() => runs.let_go(&live[which % live.len()].0),
                    _ if !live.is_empty() => add(&runs, &live[which % live.len()].1, bytes),
                    _ => {}
                }
                let table = runs.lock();
                let held: usize = table.runs.values().map(|kept| kept.broadcast.held() + RUN).sum();
                prop_assert_eq!(runs.held(), held);
                prop_assert!(held <= BOUNDS.all, "{}", held);
                drop(table);
            }
        }
    }
}
