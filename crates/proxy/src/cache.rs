//! Answers given again: to the letter, in another shape, while they are still arriving, or for a request of nearly the
//! same meaning. What is kept is the provider's own answer, before any translation.
//!
//! * this file: the cache itself, and what becomes of a hit or a miss
//! * `cache/find`: where an answer may be already
//! * `cache/wish`: what the request and its gateway want of it
//! * `cache/key`: under which key an answer is kept, and what separates tenants
//! * `cache/entry`: an answer as it is kept
//! * `cache/memory`: answers in memory (`genesis_store::CacheDisk` has those on disk)
//! * `cache/flights`: calls under way that others join
//! * `cache/fill`: an answer on its way in, and to everybody who waits for it
//! * `cache/shape`: the whole of a stream, a stream of the whole
//! * `cache/meaning`: requests of nearly the same meaning
//! * `cache/refresh`: a new answer, fetched behind an old one
//! * `cache/purge`: what was removed when

mod entry;
mod fill;
mod find;
mod flights;
mod key;
mod meaning;
mod memory;
mod purge;
mod refresh;
mod shape;
mod wish;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use genesis_config::{CacheBlock, GatewaySettings};
use genesis_store::{CacheDisk, CacheKey, Outcome};
use http::StatusCode;
use http::header::{AGE, HeaderMap, HeaderName, HeaderValue};

pub(crate) use self::wish::CacheHeaders;

use self::entry::{Entry, Slot};
use self::fill::Filling;
use self::find::Asked;
use self::flights::Flights;
use self::meaning::Meanings;
use self::memory::Memory;
use self::purge::Purges;
use crate::admit::Caller;
use crate::exchange::{Call, Delivery, Exchange, now_ms};
use crate::failure::Failure;
use crate::run::Envelope;
use crate::upstream::broadcast::{Head, Listener};
use crate::upstream::{Answer, AnswerBody};

/// How long the disk is waited for.
const DISK: Duration = Duration::from_millis(50);
static STATUS: HeaderName = HeaderName::from_static("cf-aig-cache-status");
static SOURCE: HeaderName = HeaderName::from_static("cf-aig-cache-source");
static STALE: HeaderName = HeaderName::from_static("cf-aig-cache-stale");
static SIMILARITY: HeaderName = HeaderName::from_static("cf-aig-cache-similarity");

/// The cache of all gateways. Whatever is wrong with it, requests are answered by their providers.
pub struct Cache {
    memory: Memory,
    disk: Option<CacheDisk>,
    flights: Flights,
    meanings: Meanings,
    purges: Purges,
    entry_bytes: usize,
    clock: Clock,
}

/// Milliseconds since the epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// How much the cache holds at this moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CacheSize {
    pub answers_in_memory: u64,
    pub bytes_in_memory: u64,
    pub answers_on_disk: u64,
}

impl Cache {
    /// `disk`: where answers outlive a restart, if anywhere.
    pub fn new(settings: &CacheBlock, disk: Option<CacheDisk>) -> Self {
        Self {
            memory: Memory::new(settings.memory_bytes),
            disk,
            flights: Flights::default(),
            meanings: Meanings::default(),
            purges: Purges::default(),
            entry_bytes: usize::try_from(settings.entry_bytes).unwrap_or(usize::MAX),
            clock: Arc::new(now_ms),
        }
    }

    /// With another clock than the system's, by which answers age.
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    /// Forgets the answers of a gateway, or all, those under way included.
    pub fn purge(&self, gateway: Option<&str>) {
        self.purges.note(gateway, self.now_ms());
        self.memory.remove(gateway);
        self.meanings.clear();
        if let Some(disk) = &self.disk {
            disk.purge(gateway);
        }
    }

    pub fn size(&self) -> CacheSize {
        let (answers_in_memory, bytes_in_memory) = self.memory.size();
        let answers_on_disk = self.disk.as_ref().map_or(0, |disk| disk.stats().answers);
        CacheSize { answers_in_memory, bytes_in_memory, answers_on_disk }
    }

    /// Writes what is to outlive the gateway.
    pub fn close(&self) {
        if let Some(disk) = &self.disk {
            disk.close();
        }
    }

    /// What stands under a key, in memory or else on disk.
    async fn look_up(&self, key: CacheKey) -> Option<Slot> {
        if let Some(slot) = self.memory.get(&key) {
            return Some(slot);
        }
        let disk = self.disk.as_ref().filter(|disk| disk.may_have(&key))?;
        let (tell, told) = tokio::sync::oneshot::channel();
        disk.ask(key, self.now_ms(), Box::new(move |found| drop(tell.send(found))));
        let data: Bytes = tokio::time::timeout(DISK, told).await.ok()?.ok()??;
        let slot = Slot::read(&data)?;
        if let Slot::Answer(entry) = &slot
            && !self.purges.spare(&entry.gateway, entry.created_at_ms)
        {
            return None;
        }
        self.memory.put(key, slot.clone());
        Some(slot)
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("size", &self.size()).finish_non_exhaustive()
    }
}

/// Under which key the answer to a call is looked for, and how long it is kept; `None` if the cache has no part in it.
pub(crate) fn planned(
    headers: &CacheHeaders,
    gateway: &GatewaySettings,
    account: &str,
    call: &Call<'_>,
) -> Option<(CacheKey, Duration)> {
    find::wanted(headers, gateway, account, call).map(|(policy, _, key, _)| (key, policy.ttl))
}

/// The answer to a call: from the cache if it may come from there, else from the provider.
pub(crate) async fn answer<'a>(
    exchange: &mut Exchange<'a>,
    caller: &Caller,
    call: Call<'a>,
) -> Result<Delivery, Failure> {
    let Some(asked) = Asked::of(exchange, &call) else {
        let mut delivery = exchange.send(call).await?;
        // A gateway behind this one may have a cache, too.
        delivery.answer.headers.entry(&STATUS).or_insert(HeaderValue::from_static("MISS"));
        return Ok(delivery);
    };
    match Box::pin(asked.find(exchange, caller, &call)).await? {
        Found::Hit(hit) => Ok(hit.deliver(exchange, call)),
        Found::Shared(listener, head) => Ok(shared(exchange, call, listener, &head)),
        // On the heap, as calls that are not cached would have to hold room for it, too.
        Found::Nothing { filling, spare } => Box::pin(fetch(exchange, call, filling, spare)).await,
    }
}

enum Found {
    Hit(Hit),
    /// Somebody else's call, whose answer has begun.
    Shared(Listener, Arc<Head>),
    /// The provider has to be asked, for all who wait if there is a `filling`.
    Nothing {
        filling: Option<Box<Filling>>,
        /// What can be given if the provider fails.
        spare: Option<Arc<Entry>>,
    },
}

struct Hit {
    entry: Arc<Entry>,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Exact,
    Reshaped,
    /// How near its meaning is.
    Semantic(f64),
    /// Expired; a new one is on its way.
    Revalidating,
    /// Expired; no new one could be had.
    InsteadOfError,
}

impl Hit {
    fn deliver(self, exchange: &mut Exchange<'_>, call: Call<'_>) -> Delivery {
        let Self { entry, kind } = self;
        let mut headers = entry.headers.clone();
        mark(&mut headers, entry.seconds(exchange.worker.shared.cache.now_ms()));
        match kind {
            Kind::Exact => {}
            Kind::Reshaped => drop(headers.insert(&SOURCE, HeaderValue::from_static("reshaped"))),
            Kind::Semantic(near) => {
                headers.insert(&SOURCE, HeaderValue::from_static("semantic"));
                if let Ok(near) = HeaderValue::from_str(&format!("{near:.4}")) {
                    headers.insert(&SIMILARITY, near);
                }
            }
            Kind::Revalidating => drop(headers.insert(&STALE, HeaderValue::from_static("revalidating"))),
            Kind::InsteadOfError => drop(headers.insert(&STALE, HeaderValue::from_static("error"))),
        }
        exchange.receipt.comes_from_cache(entry.dialect, Some(&entry.model));
        let body = AnswerBody::Stored(Some(entry.body.clone()));
        delivery(Answer { status: entry.status, headers, body }, call)
    }
}

fn shared(exchange: &mut Exchange<'_>, call: Call<'_>, listener: Listener, head: &Head) -> Delivery {
    let mut headers = head.headers.clone();
    mark(&mut headers, 0);
    headers.insert(&SOURCE, HeaderValue::from_static("shared"));
    exchange.receipt.comes_from_cache(call.target.dialect, None);
    delivery(Answer { status: head.status, headers, body: AnswerBody::Shared(listener) }, call)
}

fn mark(headers: &mut HeaderMap, age: u64) {
    headers.insert(&STATUS, HeaderValue::from_static("HIT"));
    headers.insert(AGE, HeaderValue::from(age));
}

fn delivery(answer: Answer, call: Call<'_>) -> Delivery {
    Delivery {
        answer,
        simulated: call.target.simulated,
        translation: call.translation,
        dropped: call.dropped,
        envelope: call.enveloped.then_some(Envelope::Rest),
    }
}

/// Asks the provider, keeps what may be kept, and gives what there is if the provider fails.
async fn fetch<'a>(
    exchange: &mut Exchange<'a>,
    call: Call<'a>,
    filling: Option<Box<Filling>>,
    spare: Option<Arc<Entry>>,
) -> Result<Delivery, Failure> {
    let again = spare.and_then(|entry| Some((entry, call.again()?)));
    let sent = exchange.send(call).await;
    let failed = match &sent {
        Err(failure) => failure.outcome == Outcome::UpstreamBroken,
        Ok(Delivery { answer, .. }) => {
            answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS
        }
    };
    if let (true, Some((entry, call))) = (failed, again) {
        Box::pin(exchange.discard(sent.map(|delivery| delivery.answer))).await;
        return Ok(Hit { entry, kind: Kind::InsteadOfError }.deliver(exchange, call));
    }
    let mut delivery = sent?;
    if let Some(filling) = filling {
        delivery.answer = filling.fill(delivery.answer);
    }
    delivery.answer.headers.insert(&STATUS, HeaderValue::from_static("MISS"));
    Ok(delivery)
}
