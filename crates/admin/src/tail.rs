//! The log as it happens: server-sent events, one per exchange.
//!
//! A listener who reads too slowly misses exchanges and is told how many; nobody waits for it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use genesis_store::{Following, LogRecord};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::call::Call;
use crate::envelope::{Body, Refusal, code};
use crate::gateways;
use crate::logs::item;
use crate::shape::{Param, Shape, param};

pub(crate) const QUERY: &[Param] = &[
    param("provider", Shape::Prose(256), "Only this provider"),
    param("model", Shape::Prose(256), "Only this model"),
    param("success", Shape::Flag, "Only successes, or only failures"),
    param("cached", Shape::Flag, "Only what the cache answered, or only others"),
];

/// Exchanges that wait for a slow listener.
const QUEUE: usize = 256;
/// Listeners at a time.
const MOST: usize = 64;
/// Proxies between us close what is silent for longer.
const BEAT: Duration = Duration::from_secs(15);
/// Then the listener has to come again, with a token that is still good.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// Counts listeners.
#[derive(Debug, Default)]
pub(crate) struct Listeners(Arc<AtomicUsize>);

pub(crate) fn listen(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let gateway = gateways::logged(call)?;
    let seat = call.admin.listeners.seat()?;
    let wanted = wanted(call, gateway);
    let (sender, receiver) = mpsc::channel(QUEUE);
    let skipped = Arc::new(AtomicU64::new(0));
    let missed = Arc::clone(&skipped);
    let following = call.admin.journal.follow(Box::new(move |record| {
        if wanted(record) && sender.try_send(event(record)).is_err() {
            missed.fetch_add(1, Ordering::Relaxed);
        }
    }));
    let now = Instant::now();
    let tail = Tail {
        receiver,
        skipped,
        beat: None,
        greeted: false,
        ends: now + LONGEST,
        _following: following,
        _seat: seat,
    };
    let mut response = Response::new(tail.boxed_unsync());
    for (name, value) in [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// Whether a record is for this listener.
fn wanted(call: &Call<'_>, gateway: String) -> impl Fn(&LogRecord) -> bool + Send + 'static {
    let text = |name: &str| call.query.get(name).map(str::to_owned);
    let (provider, model) = (text("provider"), text("model"));
    let (success, cached) = (call.query.flag("success"), call.query.flag("cached"));
    let account = call.declared.accounts.is_some().then(|| call.account().to_owned());
    move |record| {
        record.gateway == gateway
            && account.as_ref().is_none_or(|account| *account == record.account)
            && provider.as_ref().is_none_or(|provider| *provider == record.provider)
            && model.as_ref().is_none_or(|model| *model == record.model)
            && success.is_none_or(|wanted| wanted == (record.outcome == genesis_store::Outcome::Success))
            && cached.is_none_or(|wanted| wanted == record.cached)
    }
}

fn event(record: &LogRecord) -> Bytes {
    Bytes::from(format!("event: log\nid: {}\ndata: {}\n\n", record.id, item::listed(record)))
}

impl Listeners {
    fn seat(&self) -> Result<Seat, Refusal> {
        let seat = Seat(Arc::clone(&self.0));
        if seat.0.fetch_add(1, Ordering::Relaxed) >= MOST {
            let message =
                format!("{MOST} listeners are served at a time; close one, or ask the list of logs");
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, code::INVALID, message));
        }
        Ok(seat)
    }
}

/// One listener's place, given back when dropped.
struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Tail {
    receiver: Receiver<Bytes>,
    skipped: Arc<AtomicU64>,
    /// Runs from the first poll on, which is where a runtime is around.
    beat: Option<Pin<Box<Sleep>>>,
    greeted: bool,
    ends: Instant,
    _following: Following,
    _seat: Seat,
}

impl HttpBody for Tail {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let tail = self.get_mut();
        let frame = |bytes: Bytes| Poll::Ready(Some(Ok(Frame::data(bytes))));
        if !tail.greeted {
            tail.greeted = true;
            return frame(Bytes::from_static(b": following\n\n"));
        }
        if Instant::now() >= tail.ends {
            return Poll::Ready(None);
        }
        let skipped = tail.skipped.swap(0, Ordering::Relaxed);
        if skipped > 0 {
            return frame(Bytes::from(format!("event: skipped\ndata: {{\"count\":{skipped}}}\n\n")));
        }
        if let Poll::Ready(received) = tail.receiver.poll_recv(context) {
            tail.beat = None;
            return received.map_or(Poll::Ready(None), frame);
        }
        let beat = tail.beat.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + BEAT)));
        if beat.as_mut().poll(context).is_ready() {
            tail.beat = None;
            return frame(Bytes::from_static(b": still here\n\n"));
        }
        Poll::Pending
    }
}
