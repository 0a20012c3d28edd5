//! The universal endpoint over a WebSocket. The gateway itself is the other end: each message is a request, and its
//! exchange is like any other, with a log entry of its own.

use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Method, Response, StatusCode, request};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::event;
use super::message::{Create, refused};
use crate::admit::admit;
use crate::body::Body;
use crate::exchange::{self, now_ms};
use crate::failure::{Code, Failure};
use crate::inbound::check_head;
use crate::plan::{self, malformed};
use crate::realtime::Socket;
use crate::reply;
use crate::server::Worker;
use crate::snapshot::Snapshot;

/// Requests of one socket that are under way at a time.
const MOST: usize = 32;
/// Messages that wait for a slow client; then the exchanges wait too.
const QUEUE: usize = 32;
/// How long a client has to answer a Close.
const GOODBYE: Duration = Duration::from_secs(2);
/// RFC 6455 §1.3.
const ACCEPTS: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Answers a handshake, and goes on in a task of its own if the client is let in. That is asked again for each request,
/// so a token that is revoked ends with the next one.
pub(crate) fn open(
    worker: &Rc<Worker>,
    snapshot: &Arc<Snapshot>,
    account: &str,
    gateway: &str,
    head: request::Parts,
    socket: Socket,
) -> Response<Body> {
    let gateway = match plan::gateway(snapshot, account, gateway) {
        Ok(gateway) => gateway,
        Err(failure) => return reply::failure(&failure),
    };
    let admitted = check_head(&head, snapshot.limits.header_bytes)
        .and_then(|()| admit(snapshot, gateway, &mut head.headers.clone(), None, now_ms()));
    let accepted = match admitted.and_then(|_| accept(&head.headers)) {
        Ok(accepted) => accepted,
        Err(failure) => {
            let mut response = exchange::refused(worker, snapshot, &head, account, gateway, &failure);
            if failure.status == StatusCode::UPGRADE_REQUIRED {
                response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            return response;
        }
    };
    let (idle, limit) = (snapshot.patience.idle, snapshot.limits.body_bytes);
    let (head, task_worker) = (head_of_requests(head), Rc::clone(worker));
    let (open, stopped) = (worker.opened(), worker.stopped());
    tokio::task::spawn_local(async move {
        match socket.upgrade.await {
            Ok(client) => Conversation::new(client, limit, task_worker, head).await.run(idle, stopped).await,
            Err(error) => tracing::debug!(%error, "a client left during its handshake"),
        }
        drop(open);
    });
    let mut response = Response::new(Body::full(bytes::Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accepted);
    headers.extend(socket.protocol.map(|protocol| (SEC_WEBSOCKET_PROTOCOL, protocol)));
    response
}

/// What shows the client that its handshake was understood.
fn accept(headers: &HeaderMap) -> Result<HeaderValue, Failure> {
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Failure::refused(
            StatusCode::UPGRADE_REQUIRED,
            Code::MalformedRequest,
            "Bad request",
            "version 13 of WebSocket is spoken here",
        ));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    if STANDARD.decode(key).map_or(0, |nonce| nonce.len()) != 16 {
        return Err(malformed("sec-websocket-key: expected 16 bytes in base64"));
    }
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, ACCEPTS.as_bytes()].concat());
    HeaderValue::try_from(STANDARD.encode(digest))
        .map_err(|_| malformed("sec-websocket-key: cannot be answered"))
}

/// The handshake's head as that of a request: what belongs to the handshake alone is gone.
fn head_of_requests(mut head: request::Parts) -> request::Parts {
    head.method = Method::POST;
    head.extensions = http::Extensions::new();
    let headers = &mut head.headers;
    for name in [
        ACCEPT_ENCODING,
        CONNECTION,
        CONTENT_LENGTH,
        SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_VERSION,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        headers.remove(name);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    head
}

/// One client and its requests.
struct Conversation {
    client: WebSocketStream<TokioIo<Upgraded>>,
    worker: Rc<Worker>,
    /// Of each request.
    head: request::Parts,
    /// Dropping it cancels them.
    under_way: JoinSet<()>,
    say: Sender<Utf8Bytes>,
    said: Receiver<Utf8Bytes>,
    /// When something was said last, by whichever side.
    last: Instant,
}

/// Why a conversation ends.
enum End {
    /// The client closed it, or is gone.
    Client,
    /// The gateway closes it.
    Close(CloseCode, String),
    /// The same, and what the client goes on to say cannot be read.
    Unreadable(CloseCode, String),
}

impl Conversation {
    async fn new(client: Upgraded, limit: u64, worker: Rc<Worker>, head: request::Parts) -> Self {
        let limit = usize::try_from(limit).ok();
        let config = WebSocketConfig::default().max_message_size(limit).max_frame_size(limit);
        let client = WebSocketStream::from_raw_socket(TokioIo::new(client), Role::Server, Some(config)).await;
        let (say, said) = channel(QUEUE);
        Self { client, worker, head, under_way: JoinSet::new(), say, said, last: Instant::now() }
    }

    /// Runs until the client leaves, nobody says anything for `idle`, or the gateway stops: then what is under way is
    /// finished first, as far as the time allows.
    async fn run(mut self, idle: Duration, mut stopped: watch::Receiver<Option<Duration>>) {
        let mut stop_by = None;
        let end = loop {
            let busy = !self.under_way.is_empty() || !self.said.is_empty();
            if stop_by.is_some() && !busy {
                break going_away("the gateway was told to stop");
            }
            let wake_at = stop_by.unwrap_or(self.last + idle);
            let turn = tokio::select! {
                heard = self.client.next() => {
                    let stopping = stop_by.is_some() || stopped.has_changed().unwrap_or(true);
                    self.heard(heard, idle, stopping).await
                }
                Some(text) = self.said.recv() => self.tell(text, idle).await,
                Some(_) = self.under_way.join_next() => ControlFlow::Continue(()),
                changed = stopped.changed() => {
                    if stop_by.is_some() || changed.is_err() {
                        break going_away("the gateway stops at once");
                    }
                    let drain = stopped.borrow().unwrap_or_default();
                    stop_by = Some(Instant::now() + drain.saturating_sub(GOODBYE));
                    ControlFlow::Continue(())
                }
                () = tokio::time::sleep_until(wake_at.into()) => {
                    if stop_by.is_some() {
                        break going_away("the gateway was told to stop");
                    }
                    if !busy {
                        break going_away(&format!("nothing was said for {} s", idle.as_secs()));
                    }
                    self.last = Instant::now();
                    ControlFlow::Continue(())
                }
            };
            if let ControlFlow::Break(end) = turn {
                break end;
            }
        };
        self.under_way.abort_all();
        let _ = tokio::time::timeout(GOODBYE, self.close(end)).await;
    }

    async fn heard(
        &mut self,
        heard: Option<Result<Message, Error>>,
        idle: Duration,
        stopping: bool,
    ) -> ControlFlow<End> {
        self.last = Instant::now();
        match heard {
            Some(Ok(Message::Text(text))) => match self.begin(text, stopping) {
                Ok(()) => ControlFlow::Continue(()),
                Err(refusal) => self.tell(refusal, idle).await,
            },
            Some(Ok(Message::Binary(_))) => {
                let failure = malformed("a binary message; requests are text");
                self.tell(refused(None, &failure), idle).await
            }
            // A ping is answered where it is read.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => ControlFlow::Continue(()),
            Some(Ok(Message::Close(_))) | None => ControlFlow::Break(End::Client),
            Some(Err(error)) => ControlFlow::Break(unreadable(&error)),
        }
    }

    /// Begins an exchange, or says why not.
    fn begin(&mut self, text: Utf8Bytes, stopping: bool) -> Result<(), Utf8Bytes> {
        let create = Create::read(text).map_err(|failure| refused(None, &failure))?;
        let refusal = if stopping {
            Some((
                StatusCode::SERVICE_UNAVAILABLE,
                "the gateway is stopping; send it over another socket".to_owned(),
            ))
        } else if self.under_way.len() >= MOST {
            let told = format!("{MOST} requests are under way on this socket; wait for one, or open another");
            Some((StatusCode::TOO_MANY_REQUESTS, told))
        } else {
            None
        };
        if let Some((status, told)) = refusal {
            let failure = Failure::refused(status, Code::SocketBusy, "Not now", told);
            return Err(refused(create.event_id, &failure));
        }
        let (worker, head, say) = (Rc::clone(&self.worker), self.head.clone(), self.say.clone());
        self.under_way.spawn_local(event::run(worker, head, create, say));
        Ok(())
    }

    /// A client that takes nothing for as long as it may be silent is gone.
    async fn tell(&mut self, text: Utf8Bytes, idle: Duration) -> ControlFlow<End> {
        let told = tokio::time::timeout(idle, self.client.send(Message::Text(text))).await;
        self.last = Instant::now();
        if matches!(told, Ok(Ok(()))) { ControlFlow::Continue(()) } else { ControlFlow::Break(End::Client) }
    }

    async fn close(&mut self, end: End) {
        match end {
            End::Client => {
                let _ = self.client.flush().await; // our half of its Close
            }
            End::Close(code, reason) => {
                let _ = self.client.close(Some(CloseFrame { code, reason: reason.into() })).await;
                while let Some(Ok(_)) = self.client.next().await {}
            }
            End::Unreadable(code, reason) => {
                let _ = self.client.close(Some(CloseFrame { code, reason: reason.into() })).await;
                // Bytes that nobody read would reset the connection before the client learns why.
                let _ = tokio::io::copy(self.client.get_mut(), &mut tokio::io::sink()).await;
            }
        }
    }
}

fn going_away(why: &str) -> End {
    End::Close(CloseCode::Away, why.to_owned())
}

fn unreadable(error: &Error) -> End {
    match error {
        Error::Capacity(_) => {
            let told = "the message is too large; see gateway.limits.bodyBytes";
            End::Unreadable(CloseCode::Size, told.to_owned())
        }
        Error::Utf8(_) => End::Unreadable(CloseCode::Invalid, "a text message that is not UTF-8".to_owned()),
        Error::Protocol(_) => End::Unreadable(CloseCode::Protocol, "not the WebSocket protocol".to_owned()),
        _ => End::Client,
    }
}
