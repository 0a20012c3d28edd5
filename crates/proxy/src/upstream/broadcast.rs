//! One provider's answer for several clients, on whichever threads they are.
//!
//! Whoever reads the provider's socket appends pieces here and wakes the listeners; each takes them at its own pace, from
//! the first. As long as all of it may be kept, nobody is held back by anybody. An answer that grows past that is cut
//! behind the slowest listener, and a listener that falls too far behind is let go: memory stays bounded. So it is with
//! one that is [forgotten](Broadcast::forget) to make room.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::AnswerError;

/// The reader stops when it is so many bytes ahead of the fastest listener.
const AHEAD: usize = 1024 * 1024;
/// A listener may be so many bytes behind the last piece if not all is kept.
const BEHIND: usize = 4 * 1024 * 1024;
/// What a piece takes in memory beside its bytes.
const PIECE: usize = 128;

/// See the [module](self).
pub(crate) struct Broadcast {
    state: Mutex<State>,
    /// An answer of more bytes is not kept as a whole.
    keep: usize,
    /// How many bytes a listener may be behind if not all is kept.
    behind: usize,
}

/// How an answer begins.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) ends_with_close: bool,
}

/// What a listener hears before the first byte.
pub(crate) enum Heard {
    Head(Arc<Head>),
    Over(Over),
}

/// Why there is nothing to listen to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Over {
    /// The call failed; somebody may try again.
    Failed,
    /// The answer is not one to be shared.
    NotShared,
    /// The answer is in the cache by now.
    Stored,
}

struct State {
    stage: Stage,
    pieces: VecDeque<Bytes>,
    /// How many pieces were cut off before the first of `pieces`.
    cut: usize,
    /// Bytes that came so far.
    total: usize,
    /// All of it is still there.
    whole: bool,
    /// `Some(Err)`: it broke off, and why.
    ended: Option<Result<(), Arc<str>>>,
    listeners: Vec<Option<Place>>,
    reader: Option<Waker>,
    /// The reader waits for the fastest listener.
    reader_waits: bool,
}

enum Stage {
    Waiting,
    Flowing(Arc<Head>),
    Over(Over),
}

/// Where a listener is.
struct Place {
    next: usize,
    bytes: usize,
    waker: Option<Waker>,
    /// Its client has gone; it only wants to know what was used, as long as others listen.
    lingers: bool,
    let_go: bool,
}

/// One who listens. Dropping it is leaving.
pub(crate) struct Listener {
    broadcast: Arc<Broadcast>,
    slot: usize,
    ends_with_close: bool,
    heirs: Option<Heirs>,
}

/// What goes on when its client has left, because others still listen to the call it pays for.
pub(crate) trait Lingering {
    /// Takes what there is; ready when it is over.
    fn poll_on(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// Left to the reader of the answer, on whose thread they are.
pub(crate) type Heirs = Rc<RefCell<Vec<Box<dyn Lingering>>>>;

impl Broadcast {
    pub(crate) fn new(keep: usize) -> Arc<Self> {
        Self::with_patience(keep, BEHIND)
    }

    /// All of it is kept until it is forgotten; from then on a listener may be `behind` by so many bytes.
    pub(crate) fn until_forgotten(behind: usize) -> Arc<Self> {
        Self::with_patience(usize::MAX, behind)
    }

    fn with_patience(keep: usize, behind: usize) -> Arc<Self> {
        let state = State {
            stage: Stage::Waiting,
            pieces: VecDeque::new(),
            cut: 0,
            total: 0,
            whole: true,
            ended: None,
            listeners: Vec::new(),
            reader: None,
            reader_waits: false,
        };
        Arc::new(Self { state: Mutex::new(state), keep, behind })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` if it cannot be heard from its beginning any more.
    pub(crate) fn listen(self: &Arc<Self>) -> Option<Listener> {
        let state = self.lock();
        let broken = matches!(state.ended, Some(Err(_))) || matches!(state.stage, Stage::Over(_));
        if broken { None } else { self.listen_to(state) }
    }

    /// As [`Broadcast::listen`], also to what broke off: it breaks off again at the same place.
    pub(crate) fn listen_again(self: &Arc<Self>) -> Option<Listener> {
        self.listen_to(self.lock())
    }

    fn listen_to(self: &Arc<Self>, mut state: MutexGuard<'_, State>) -> Option<Listener> {
        if !state.whole {
            return None;
        }
        let place = Place { next: 0, bytes: 0, waker: None, lingers: false, let_go: false };
        let slot = match state.listeners.iter().position(Option::is_none) {
            Some(slot) => {
                state.listeners[slot] = Some(place);
                slot
            }
            None => {
                state.listeners.push(Some(place));
                state.listeners.len() - 1
            }
        };
        Some(Listener { broadcast: Arc::clone(self), slot, ends_with_close: false, heirs: None })
    }

    /// The answer has begun.
    pub(crate) fn begin(&self, head: Head) {
        self.change(|state| state.stage = Stage::Flowing(Arc::new(head)));
    }

    /// There will be no answer here.
    pub(crate) fn call_off(&self, why: Over) {
        self.change(|state| {
            if matches!(state.stage, Stage::Waiting) {
                state.stage = Stage::Over(why);
            }
        });
    }

    /// False if not all of it is kept any more.
    pub(crate) fn push(&self, piece: Bytes) -> bool {
        self.change(|state| {
            state.total += piece.len();
            state.pieces.push_back(piece);
            if state.total > self.keep {
                state.whole = false;
            }
            if !state.whole {
                state.cut(self.behind);
            }
            state.whole
        })
    }

    /// Nobody can begin to listen any more, and only what listeners are about to take is kept. How much memory all of it
    /// took; 0 if it was not kept as a whole before.
    pub(crate) fn forget(&self) -> usize {
        self.change(|state| {
            let held = if state.whole { state.held() } else { 0 };
            state.whole = false;
            state.cut(self.behind);
            held
        })
    }

    /// What all of it takes in memory.
    pub(crate) fn held(&self) -> usize {
        self.lock().held()
    }

    /// What a piece adds to that.
    pub(crate) fn weight(piece: &Bytes) -> usize {
        piece.len() + PIECE
    }

    /// Nothing follows. `Err`: it broke off.
    pub(crate) fn end(&self, how: Result<(), String>) {
        self.change(|state| {
            if state.ended.is_none() {
                state.ended = Some(how.map_err(Arc::from));
            }
        });
    }

    pub(crate) fn is_heard(&self) -> bool {
        self.lock().fastest().is_some()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.lock().ended.is_some()
    }

    /// For the reader: ready when the next piece is wanted; false if nobody listens any more.
    pub(crate) fn poll_wanted(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.lock();
        let Some(fastest) = state.fastest() else { return Poll::Ready(false) };
        // Also while it is not waiting: it is to hear when the last listener leaves.
        if !state.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            state.reader = Some(cx.waker().clone());
        }
        state.reader_waits = state.total - fastest >= AHEAD;
        if state.reader_waits { Poll::Pending } else { Poll::Ready(true) }
    }

    /// All of the answer, if it was kept.
    pub(crate) fn whole(&self) -> Option<Bytes> {
        let state = self.lock();
        if !state.whole {
            return None;
        }
        let pieces: Vec<_> = state.pieces.iter().map(AsRef::as_ref).collect();
        Some(pieces.concat().into())
    }

    /// Changes the state, then wakes everybody who may care.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let changed = change(&mut state);
        let wakers: Vec<_> =
            state.listeners.iter_mut().flatten().filter_map(|place| place.waker.take()).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        changed
    }
}

impl State {
    /// How far the fastest has got, of those with a client.
    fn fastest(&self) -> Option<usize> {
        let places = self.listeners.iter().flatten().filter(|place| !place.lingers && !place.let_go);
        places.map(|place| place.bytes).max()
    }

    fn held(&self) -> usize {
        let bytes = if self.whole { self.total } else { self.pieces.iter().map(Bytes::len).sum() };
        bytes + self.pieces.len() * PIECE
    }

    /// Lets go of the slow, and keeps what the others need.
    fn cut(&mut self, behind: usize) {
        for place in self.listeners.iter_mut().flatten() {
            place.let_go |= self.total - place.bytes > behind;
        }
        self.cut_behind_the_slowest();
    }

    fn cut_behind_the_slowest(&mut self) {
        let held =
            self.listeners.iter().flatten().filter(|place| !place.let_go).map(|place| place.next).min();
        let until = held.unwrap_or(self.cut + self.pieces.len());
        while self.cut < until && self.pieces.pop_front().is_some() {
            self.cut += 1;
        }
    }
}

impl Listener {
    /// Waits for the head, or for the news that there will be none.
    pub(crate) async fn head(&mut self) -> Heard {
        let heard = std::future::poll_fn(|cx| {
            let mut state = self.broadcast.lock();
            match &state.stage {
                Stage::Flowing(head) => Poll::Ready(Heard::Head(Arc::clone(head))),
                Stage::Over(why) => Poll::Ready(Heard::Over(*why)),
                Stage::Waiting => {
                    if let Some(place) = &mut state.listeners[self.slot] {
                        place.waker = Some(cx.waker().clone());
                    }
                    Poll::Pending
                }
            }
        });
        let heard = heard.await;
        if let Heard::Head(head) = &heard {
            self.ends_with_close = head.ends_with_close;
        }
        heard
    }

    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, AnswerError>>> {
        let mut state = self.broadcast.lock();
        let State { pieces, cut, ended, listeners, .. } = &mut *state;
        let Some(place) = &mut listeners[self.slot] else { return Poll::Ready(None) };
        if place.let_go {
            return Poll::Ready(Some(Err(AnswerError::Behind)));
        }
        let Some(piece) = pieces.get(place.next - *cut).cloned() else {
            return match ended {
                None => {
                    place.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
                Some(Ok(())) => Poll::Ready(None),
                Some(Err(cause)) => Poll::Ready(Some(Err(AnswerError::Shared(cause.to_string())))),
            };
        };
        place.next += 1;
        place.bytes += piece.len();
        if !state.whole {
            state.cut_behind_the_slowest();
        }
        let reader = if state.reader_waits { state.reader.take() } else { None };
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Some(Ok(piece)))
    }

    pub(crate) fn is_finished(&self) -> bool {
        let state = self.broadcast.lock();
        let read = state.listeners[self.slot].as_ref().map_or(0, |place| place.next);
        matches!(state.ended, Some(Ok(()))) && read == state.cut + state.pieces.len()
    }

    pub(crate) fn ends_with_close(&self) -> bool {
        self.ends_with_close
    }

    /// Makes this the listener of the one who pays for the call.
    pub(crate) fn pays(&mut self, heirs: Heirs, ends_with_close: bool) {
        self.heirs = Some(heirs);
        self.ends_with_close = ends_with_close;
    }

    pub(crate) fn heirs(&self) -> Option<&Heirs> {
        self.heirs.as_ref()
    }

    /// The client has gone. True if others listen, so that the rest will come all the same.
    pub(crate) fn lingers(&self) -> bool {
        let mut state = self.broadcast.lock();
        if let Some(place) = &mut state.listeners[self.slot] {
            place.lingers = true;
        }
        state.fastest().is_some()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut state = self.broadcast.lock();
        state.listeners[self.slot] = None;
        if !state.whole {
            state.cut_behind_the_slowest();
        }
        let reader = if state.fastest().is_none() { state.reader.take() } else { None };
        drop(state);
        reader.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head { status: StatusCode::OK, headers: HeaderMap::new(), ends_with_close: false }
    }

    fn next(listener: &mut Listener) -> Poll<Option<Result<Bytes, AnswerError>>> {
        listener.poll_data(&mut Context::from_waker(Waker::noop()))
    }

    fn text(listener: &mut Listener) -> String {
        let mut text = String::new();
        while let Poll::Ready(Some(Ok(piece))) = next(listener) {
            text.push_str(&String::from_utf8_lossy(&piece));
        }
        text
    }

    fn wanted(broadcast: &Broadcast) -> Poll<bool> {
        broadcast.poll_wanted(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_late_listener_hears_everything_from_the_beginning() {
        let broadcast = Broadcast::new(1000);
        let mut early = broadcast.listen().expect("open");
        broadcast.begin(head());
        broadcast.push("one ".into());
        assert_eq!(text(&mut early), "one ");
        let mut late = broadcast.listen().expect("open");
        broadcast.push("two".into());
        assert_eq!((text(&mut early), text(&mut late)), ("two".to_owned(), "one two".to_owned()));
        assert!(next(&mut late).is_pending() && !late.is_finished());
        broadcast.end(Ok(()));
        assert!(late.is_finished() && matches!(next(&mut late), Poll::Ready(None)));
        assert_eq!(broadcast.whole().as_deref(), Some(&b"one two"[..]));
        assert_eq!(text(&mut broadcast.listen().expect("still there")), "one two");
    }

    #[test]
    fn all_see_the_same_break_after_the_same_bytes() {
        let broadcast = Broadcast::new(1000);
        let mut listeners: Vec<_> = (0..3).map(|_| broadcast.listen().expect("open")).collect();
        broadcast.begin(head());
        broadcast.push("part".into());
        broadcast.end(Err("cut".to_owned()));
        for listener in &mut listeners {
            assert!(matches!(next(listener), Poll::Ready(Some(Ok(piece))) if piece == "part"));
            let Poll::Ready(Some(Err(error))) = next(listener) else { panic!("a break") };
            assert!(error.to_string().contains("cut"));
        }
        assert!(broadcast.listen().is_none(), "nobody begins to listen to what is broken");
    }

    #[test]
    fn the_reader_stops_for_the_fastest_and_when_nobody_is_left() {
        let broadcast = Broadcast::new(100 << 20);
        let (mut fast, mut slow) = (broadcast.listen().expect("open"), broadcast.listen().expect("open"));
        for _ in 0..AHEAD / 1024 {
            assert_eq!(wanted(&broadcast), Poll::Ready(true));
            broadcast.push(vec![b'x'; 1024].into());
        }
        assert!(wanted(&broadcast).is_pending());
        assert!(matches!(next(&mut fast), Poll::Ready(Some(Ok(_)))));
        assert_eq!(wanted(&broadcast), Poll::Ready(true), "the slow one holds nobody back");
        drop(fast);
        assert!(wanted(&broadcast).is_pending());
        assert!(matches!(next(&mut slow), Poll::Ready(Some(Ok(_)))));
        assert_eq!(wanted(&broadcast), Poll::Ready(true), "the slow one is the fastest now");
        drop(slow);
        assert_eq!(wanted(&broadcast), Poll::Ready(false));
    }

    #[test]
    fn past_what_is_kept_memory_stays_bounded_and_the_slow_are_let_go() {
        let broadcast = Broadcast::new(1 << 20);
        let (mut fast, mut slow) = (broadcast.listen().expect("open"), broadcast.listen().expect("open"));
        let piece = Bytes::from(vec![b'x'; 64 * 1024]);
        for _ in 0..(BEHIND / piece.len() + 20) {
            broadcast.push(piece.clone());
            assert!(matches!(next(&mut fast), Poll::Ready(Some(Ok(_)))));
            let held: usize = broadcast.lock().pieces.iter().map(Bytes::len).sum();
            assert!(held <= BEHIND + 2 * piece.len(), "{held}");
        }
        assert!(matches!(next(&mut slow), Poll::Ready(Some(Err(AnswerError::Behind)))));
        assert!(broadcast.listen().is_none() && broadcast.whole().is_none());
        broadcast.end(Ok(()));
        assert!(fast.is_finished());
    }

    #[test]
    fn what_is_forgotten_goes_on_for_those_who_keep_up() {
        let broadcast = Broadcast::until_forgotten(1000);
        let piece = Bytes::from(vec![b'x'; 400]);
        (0..10).for_each(|_| assert!(broadcast.push(piece.clone())));
        let (mut near, mut far) =
            (broadcast.listen_again().expect("kept"), broadcast.listen_again().expect("kept"));
        (0..8).for_each(|_| assert!(matches!(next(&mut near), Poll::Ready(Some(Ok(_))))));
        assert_eq!(broadcast.forget(), 10 * Broadcast::weight(&piece));
        assert_eq!((broadcast.forget(), broadcast.listen_again().is_none()), (0, true), "once, and for good");
        assert!(matches!(next(&mut far), Poll::Ready(Some(Err(AnswerError::Behind)))));
        assert!(!broadcast.push("end".into()));
        assert!(text(&mut near).ends_with("xend"));
        assert_eq!(broadcast.held(), 0);
    }

    #[test]
    fn one_who_lingers_is_no_reason_to_go_on() {
        let broadcast = Broadcast::new(1000);
        let (leader, follower) = (broadcast.listen().expect("open"), broadcast.listen().expect("open"));
        assert!(leader.lingers());
        assert_eq!(wanted(&broadcast), Poll::Ready(true));
        drop(follower);
        assert_eq!(wanted(&broadcast), Poll::Ready(false));
        assert!(!leader.lingers());
    }
}
