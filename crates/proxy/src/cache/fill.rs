//! An answer on its way into the cache, and to everybody who asked for it meanwhile.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use genesis_store::{CacheKey, CacheRow};
use genesis_wire::{Dialect, Report};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};

use super::Cache;
use super::entry::{Entry, Slot, kept, ms};
use super::wish::Policy;
use crate::coding::decoded;
use crate::upstream::broadcast::{Broadcast, Head, Heirs, Over};
use crate::upstream::{Answer, AnswerBody};
use crate::watch::Watch;

/// The right, and the duty, to make the call that others wait for. Dropped without an answer, it passes to the next.
pub(super) struct Filling {
    pub(super) cache: Arc<Cache>,
    pub(super) broadcast: Arc<Broadcast>,
    pub(super) key: CacheKey,
    pub(super) gateway: Arc<str>,
    pub(super) policy: Policy,
    pub(super) dialect: Option<Dialect>,
    pub(super) stream_options: Option<String>,
    /// Under which requests that differ only in the answer's shape find it.
    pub(super) alike: Option<CacheKey>,
    /// Under which requests of nearly the same meaning find it.
    pub(super) meaning: Option<(CacheKey, Vec<f32>)>,
}

impl Filling {
    /// The answer has been found elsewhere; whoever waits finds it, too.
    pub(super) fn found(self) {
        self.broadcast.call_off(Over::Stored);
    }

    /// Shares an answer that may be kept, and lets it pass untouched otherwise.
    pub(super) fn fill(self, answer: Answer) -> Answer {
        if !may_be_kept(&answer) {
            let failed = !answer.status.is_success();
            self.broadcast.call_off(if failed { Over::Failed } else { Over::NotShared });
            return answer;
        }
        let Some(mut listener) = self.broadcast.listen() else { return answer };
        let Answer { status, headers, body } = answer;
        let (ends_with_close, kept) = (body.ends_with_close(), kept(&headers));
        let heirs = Heirs::default();
        listener.pays(Rc::clone(&heirs), ends_with_close);
        self.broadcast.begin(Head { status, headers: kept.clone(), ends_with_close });
        let created_at_ms = self.cache.now_ms();
        let mut reader =
            Reader { body, ends_with_close, filling: self, heirs, status, headers: kept, created_at_ms };
        // A small answer is here already.
        if Pin::new(&mut reader).poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            tokio::task::spawn_local(reader);
        }
        Answer { status, headers, body: AnswerBody::Shared(listener) }
    }

    fn store(&self, status: StatusCode, headers: &HeaderMap, created_at_ms: i64, body: Bytes) {
        let Some((stream, model)) = sound(self.dialect, headers, &body) else { return };
        let mut headers = headers.clone();
        if !stream {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let expires_at_ms = created_at_ms.saturating_add(ms(self.policy.ttl));
        let gone_at_ms = expires_at_ms.saturating_add(ms(self.policy.stale()));
        let entry = Slot::Answer(Arc::new(Entry {
            gateway: Arc::clone(&self.gateway),
            created_at_ms,
            expires_at_ms,
            gone_at_ms,
            status,
            headers,
            body,
            dialect: self.dialect,
            model,
            stream,
            stream_options: self.stream_options.clone(),
        }));
        if !self.cache.purges.spare(&self.gateway, created_at_ms) {
            return;
        }
        self.put(self.key, entry, gone_at_ms);
        if let Some(alike) = self.alike {
            self.put(alike, Slot::SeeAlso(self.key, Arc::clone(&self.gateway)), gone_at_ms);
        }
        if let Some((scope, vector)) = &self.meaning {
            self.cache.meanings.add(*scope, vector.clone(), self.key);
        }
    }

    fn put(&self, key: CacheKey, slot: Slot, expires_at_ms: i64) {
        if let Some(disk) = &self.cache.disk {
            disk.put(CacheRow { key, gateway: self.gateway.to_string(), expires_at_ms, data: slot.write() });
        }
        self.cache.memory.put(key, slot);
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        self.broadcast.call_off(Over::Failed);
        self.cache.flights.leave(&self.key, &self.broadcast);
    }
}

/// Reads the provider's socket on the thread of whoever called first, for as long as anybody listens.
struct Reader {
    body: AnswerBody,
    ends_with_close: bool,
    filling: Filling,
    heirs: Heirs,
    status: StatusCode,
    headers: HeaderMap,
    created_at_ms: i64,
}

impl Future for Reader {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let reader = self.get_mut();
        let over = reader.read(cx);
        // Their clients are gone: nobody else moves them.
        let mut cx = Context::from_waker(Waker::noop());
        reader.heirs.borrow_mut().retain_mut(|heir| heir.poll_on(&mut cx).is_pending());
        over
    }
}

impl Reader {
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let broadcast = Arc::clone(&self.filling.broadcast);
        loop {
            match broadcast.poll_wanted(cx) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => {
                    broadcast.end(Err("nobody listened any more".to_owned()));
                    return Poll::Ready(());
                }
                Poll::Pending => return Poll::Pending,
            }
            match self.body.poll_data(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(piece))) => {
                    broadcast.push(piece);
                    if self.body.is_finished() {
                        return self.complete();
                    }
                }
                Poll::Ready(None) => return self.complete(),
                Poll::Ready(Some(Err(error))) => {
                    broadcast.end(Err(error.to_string()));
                    return Poll::Ready(());
                }
            }
        }
    }

    /// Stored first: whoever does not find the flight any more finds the answer.
    fn complete(&mut self) -> Poll<()> {
        if let Some(whole) = self.filling.broadcast.whole() {
            // What ends with the connection may have been cut, unless it is a stream with an end of its own.
            if !self.ends_with_close || is_stream(&self.headers) {
                self.filling.store(self.status, &self.headers, self.created_at_ms, whole);
            }
        }
        self.filling.broadcast.end(Ok(()));
        Poll::Ready(())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if !self.filling.broadcast.has_ended() {
            self.filling.broadcast.end(Err("the gateway is stopping".to_owned()));
        }
        let mut cx = Context::from_waker(Waker::noop());
        self.heirs.borrow_mut().retain_mut(|heir| heir.poll_on(&mut cx).is_pending());
    }
}

/// Text and images, whole, as Cloudflare has it.
fn may_be_kept(answer: &Answer) -> bool {
    let media = media(&answer.headers);
    let kind = media.starts_with("text/")
        || media.starts_with("image/")
        || media == "application/json"
        || media.ends_with("+json")
        || is_stream(&answer.headers);
    answer.status == StatusCode::OK && kind && !answer.headers.contains_key(CONTENT_RANGE)
}

fn is_stream(headers: &HeaderMap) -> bool {
    matches!(media(headers), "text/event-stream" | "application/vnd.amazon.eventstream")
}

fn media(headers: &HeaderMap) -> &str {
    let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media.split(';').next().unwrap_or_default().trim()
}

/// Whether an answer came to its end and is no error in disguise: if so, whether it is a stream, and its model.
fn sound(dialect: Option<Dialect>, headers: &HeaderMap, body: &Bytes) -> Option<(bool, String)> {
    let mut watch = Watch::new(dialect, headers);
    let stream = is_stream(headers);
    if stream && !watch.is_stream() {
        return None; // its end cannot be told from a cut
    }
    watch.push(body);
    let (Report { error, model, ended, .. }, _) = watch.finish(body, true);
    let unfinished = || dialect == Some(Dialect::OpenAiResponses) && !stream && !is_completed(headers, body);
    if error.is_some() || stream && !ended || unfinished() {
        return None;
    }
    Some((stream, model.unwrap_or_default()))
}

/// A response made in the background is only a promise.
fn is_completed(headers: &HeaderMap, body: &Bytes) -> bool {
    #[derive(serde::Deserialize)]
    struct Response {
        #[serde(default)]
        status: String,
    }
    let plain = decoded(headers, body).unwrap_or_default();
    serde_json::from_slice(&plain)
        .is_ok_and(|Response { status }| matches!(status.as_str(), "completed" | "incomplete"))
}
