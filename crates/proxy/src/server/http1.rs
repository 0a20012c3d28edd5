//! HTTP/1.1 as nearly every client speaks it: requests whose body has a length, one after the other. hyper's server took
//! some 13,000 of an exchange's 83,000 instructions for it.
//!
//! Whatever is out of the ordinary (HTTP/2, another version, a body in chunks, `expect`, `upgrade`, a head that is not
//! beyond doubt) is hyper's to judge: it gets the connection with the bytes that were read, and keeps it.
//!
//! * `http1/head`: a request's head, if it is an ordinary one
//! * `http1/line`: the client's connection, shared with the request's body while that is read
//! * `http1/write`: an answer on its way to the client

mod head;
mod line;
mod write;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Sleep;

use self::head::{Head, Parsed, parse};
pub(crate) use self::line::BodyOfLine;
use self::line::Line;
use self::write::Writer;
use super::ClientBody;
use crate::exchange::Answering;

/// How long a client may keep a connection open between two requests.
const KEPT_ALIVE: Duration = Duration::from_secs(75);

/// What became of a connection.
pub(super) enum Served {
    Over,
    /// hyper goes on with it; the bytes were read and belong to the next request.
    HandedOver(TcpStream, Bytes),
}

/// Serves requests until the connection ends, the server stops, or hyper has to go on.
pub(super) async fn serve(
    stream: TcpStream,
    service: &impl Fn(Request<ClientBody>) -> Answering,
    head_within: Duration,
    stopped: &mut watch::Receiver<Option<Duration>>,
) -> Served {
    let line = Rc::new(Line::new(stream));
    let stop = stopped.clone();
    let mut told_to_stop = pin!(stopped.changed());
    let mut patience = HeadPatience::new(head_within);
    loop {
        let next = poll_fn(|cx| {
            let next = poll_head(&line, cx);
            // Between two requests is the moment to leave.
            let idle = next.is_pending() && line.is_empty();
            if idle && told_to_stop.as_mut().poll(cx).is_ready()
                || next.is_pending() && patience.is_over(cx, idle)
            {
                return Poll::Ready(Next::Over);
            }
            next
        });
        let Head { head, length, keep_alive } = match next.await {
            Next::Request(head) => *head,
            Next::Over => return Served::Over,
            Next::Other => {
                return match Line::give_up(line) {
                    Some((stream, read)) => Served::HandedOver(stream, read),
                    None => Served::Over, // somebody still reads an earlier body from it
                };
            }
        };
        let bodiless = head.method == Method::HEAD;
        let request = Request::from_parts(head, ClientBody::Ours(BodyOfLine::new(&line, length)));
        let mut answering = service(request);
        let answer = poll_fn(|cx| match answering.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => line.poll_gone(cx).map(|()| None),
        });
        let Some(answer) = answer.await else { return Served::Over };
        drop(answering);
        let keep_alive = keep_alive && stop.borrow().is_none() && line.may_be_emptied();
        let mut writer = Writer::new(&line, answer, bodiless, keep_alive);
        let written = poll_fn(|cx| writer.poll(cx)).await;
        drop(writer);
        patience.begin();
        if written.is_err() || !line.emptied().await || !keep_alive {
            return Served::Over;
        }
    }
}

enum Next {
    Request(Box<Head>),
    Other,
    Over,
}

fn poll_head(line: &Line, cx: &mut Context<'_>) -> Poll<Next> {
    let mut connection = line.connection();
    let mut looked_at = 0;
    loop {
        match parse(&mut connection.read, looked_at) {
            Parsed::Request(head) => return Poll::Ready(Next::Request(head)),
            Parsed::Other => return Poll::Ready(Next::Other),
            Parsed::Partial => looked_at = connection.read.len(),
        }
        match connection.poll_fill(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Next::Over),
            Poll::Ready(Ok(_)) => {}
        }
    }
}

/// How long a head may take. One timer per connection, moved only when it fires: moving it with every request would cost
/// more than reading the request's head.
struct HeadPatience {
    within: Duration,
    /// When the wait for this head began, and whether its first byte has come since.
    since: Instant,
    has_begun: bool,
    is_first: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl HeadPatience {
    fn new(within: Duration) -> Self {
        Self { within, since: Instant::now(), has_begun: false, is_first: true, timer: None }
    }

    /// The wait for the next head begins.
    fn begin(&mut self) {
        self.since = Instant::now();
        (self.has_begun, self.is_first) = (false, false);
    }

    /// `idle`: nothing of the head has come yet.
    fn is_over(&mut self, cx: &mut Context<'_>, idle: bool) -> bool {
        if !idle && !std::mem::replace(&mut self.has_begun, true) && !self.is_first {
            self.since = Instant::now();
            self.timer = None;
        }
        let within = if idle && !self.is_first { KEPT_ALIVE.max(self.within) } else { self.within };
        let until = self.since + within;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until.into())));
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= until {
                return true;
            }
            timer.as_mut().reset(until.into());
        }
        false
    }
}
