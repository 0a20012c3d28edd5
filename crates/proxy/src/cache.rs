//! Answers given again: to the letter, in another shape, while they are still arriving, or for a request of nearly the
//! same meaning. What is kept is the provider's own answer, before any translation.
//!
//! * this file: the way of a request through the cache
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
use genesis_config::CacheBlock;
use genesis_store::{CacheDisk, CacheKey};
use genesis_wire::reshape::{self, Wish};
use http::header::{AGE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

pub(crate) use self::wish::CacheHeaders;

use self::entry::{Age, Entry, Slot};
use self::fill::Filling;
use self::flights::{Flights, Joined};
use self::key::Scope;
use self::meaning::{Meanings, Question};
use self::memory::Memory;
use self::purge::Purges;
use self::wish::Policy;
use crate::admit::Caller;
use crate::exchange::{Call, Delivery, Exchange, now_ms};
use crate::failure::Failure;
use crate::upstream::broadcast::{Head, Heard, Listener, Over};
use crate::upstream::{Answer, AnswerBody, Outgoing};
use genesis_store::Outcome;

/// Cloudflare caches requests of at most 25 MB.
const REQUEST_LIMIT: usize = 25 * 1024 * 1024;
/// How long the disk is waited for.
const DISK: Duration = Duration::from_millis(50);
/// After so many calls of others that failed, a request makes its own.
const FAILED_LEADERS: u32 = 2;

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
    match asked.find(exchange, caller, &call).await? {
        Found::Hit(hit) => Ok(hit.deliver(exchange, call)),
        Found::Shared(listener, head) => Ok(shared(exchange, call, listener, &head)),
        Found::Nothing { filling, spare } => fetch(exchange, call, filling, spare).await,
    }
}

/// A request the cache is to serve.
struct Asked {
    cache: Arc<Cache>,
    policy: Policy,
    scope: Scope,
    key: CacheKey,
    body: Bytes,
    /// The client chose the key.
    own: Option<String>,
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

impl Asked {
    /// `None`: the cache has no part in this.
    fn of(exchange: &Exchange<'_>, call: &Call<'_>) -> Option<Self> {
        let headers = &exchange.options.cache;
        let policy = Policy::of(headers, &exchange.gateway)?;
        let Outgoing::Whole(body) = &call.body else { return None };
        let fits = call.method == Method::POST && !body.is_empty() && body.len() <= REQUEST_LIMIT;
        if !fits || call.target.dialect.is_none() && makes_something(&call.target.path_and_query) {
            return None;
        }
        let scope = Scope::of(exchange, call);
        let own = headers.key.clone();
        let key = match &own {
            Some(own) => scope.own(own, reshape::wish(body).is_some_and(|wish| wish.stream)),
            None => scope.exact(call, body),
        };
        let cache = Arc::clone(&exchange.worker.shared.cache);
        Some(Self { cache, policy, scope, key, body: body.clone(), own })
    }

    async fn find(
        &self,
        exchange: &Exchange<'_>,
        caller: &Caller,
        call: &Call<'_>,
    ) -> Result<Found, Failure> {
        let mut failed = 0;
        loop {
            let mut spare = None;
            if let Some(Slot::Answer(entry)) = self.cache.memory.get(&self.key) {
                match self.judge(exchange, call, entry) {
                    Judged::Hit(hit) => return Ok(Found::Hit(hit)),
                    Judged::Spare(entry) => spare = Some(entry),
                    Judged::Gone => {}
                }
            }
            let broadcast = match self.cache.flights.join(&self.key, self.cache.entry_bytes) {
                Joined::Lead(broadcast) => broadcast,
                Joined::Follow(mut listener) => match within_patience(exchange, call, &mut listener).await? {
                    Heard::Head(head) => return Ok(Found::Shared(listener, head)),
                    Heard::Over(Over::Stored) => continue,
                    Heard::Over(why) => {
                        failed += 1;
                        if why == Over::NotShared || failed == FAILED_LEADERS {
                            return Ok(Found::Nothing { filling: None, spare });
                        }
                        continue;
                    }
                },
            };
            let filling = self.filling(exchange, call, broadcast);
            return Ok(self.lead(exchange, caller, call, filling, spare).await);
        }
    }

    /// Everything that is to be tried before the provider, by one for all who wait.
    async fn lead(
        &self,
        exchange: &Exchange<'_>,
        caller: &Caller,
        call: &Call<'_>,
        mut filling: Filling,
        mut spare: Option<Arc<Entry>>,
    ) -> Found {
        // It may have come between the first look and here, and it may be on disk.
        if let Some(Slot::Answer(entry)) = self.cache.look_up(self.key).await {
            match self.judge_as_leader(entry) {
                Judged::Hit(hit) => {
                    match hit.kind {
                        Kind::Revalidating => refresh::start(exchange, call, filling),
                        _ => filling.found(),
                    }
                    return Found::Hit(hit);
                }
                Judged::Spare(entry) => spare = Some(entry),
                Judged::Gone => {}
            }
        }
        if let Some(wish) = reshape::wish(&self.body) {
            filling.stream_options = wish.stream_options.map(str::to_owned);
            if let Some(entry) = self.other_shape(call, &wish, &mut filling).await {
                self.cache.memory.put(self.key, Slot::Answer(Arc::clone(&entry)));
                filling.found();
                return Found::Hit(Hit { entry, kind: Kind::Reshaped });
            }
            if let Some(hit) = self.near(exchange, caller, call, &wish, &mut filling).await {
                return Found::Hit(hit);
            }
        }
        Found::Nothing { filling: Some(Box::new(filling)), spare }
    }

    /// The answer to the same request that wanted it to arrive otherwise.
    async fn other_shape(
        &self,
        call: &Call<'_>,
        wish: &Wish<'_>,
        filling: &mut Filling,
    ) -> Option<Arc<Entry>> {
        let other = match &self.own {
            Some(own) => self.scope.own(own, !wish.stream),
            None => {
                let alike = self.scope.alike(call, wish);
                filling.alike = Some(alike);
                match self.cache.look_up(alike).await? {
                    Slot::SeeAlso(key, _) => key,
                    Slot::Answer(_) => return None,
                }
            }
        };
        let Slot::Answer(entry) = self.cache.look_up(other).await? else { return None };
        let fresh = entry.age(self.cache.now_ms(), &self.policy) == Age::Fresh;
        fresh.then(|| shape::reshaped(&entry, wish))?
    }

    /// The answer to a request of nearly the same meaning.
    async fn near(
        &self,
        exchange: &Exchange<'_>,
        caller: &Caller,
        call: &Call<'_>,
        wish: &Wish<'_>,
        filling: &mut Filling,
    ) -> Option<Hit> {
        let threshold = self.policy.semantic?;
        let model = &exchange.gateway.cache_semantic.as_ref()?.model;
        let question = Question::of(call.target.dialect?, &self.body)?;
        let scope = self.scope.meaning(call, model, &question.rest);
        let vector = meaning::embed(exchange, caller, model, &question.text).await?;
        let nearest = self.cache.meanings.nearest(&scope, &vector, threshold);
        filling.meaning = Some((scope, vector));
        let (key, near) = nearest?;
        let Slot::Answer(entry) = self.cache.look_up(key).await? else { return None };
        if entry.age(self.cache.now_ms(), &self.policy) != Age::Fresh {
            return None;
        }
        let entry = shape::reshaped(&entry, wish)?;
        Some(Hit { entry, kind: Kind::Semantic(near) })
    }

    fn filling(
        &self,
        exchange: &Exchange<'_>,
        call: &Call<'_>,
        broadcast: Arc<crate::upstream::broadcast::Broadcast>,
    ) -> Filling {
        Filling {
            cache: Arc::clone(&self.cache),
            broadcast,
            key: self.key,
            gateway: exchange.gateway.id.as_str().into(),
            policy: self.policy,
            dialect: call.target.dialect,
            stream_options: None,
            alike: None,
            meaning: None,
        }
    }

    /// As [`Asked::judge_as_leader`]; an answer that is to be fetched anew is so if nobody does it yet.
    fn judge(&self, exchange: &Exchange<'_>, call: &Call<'_>, entry: Arc<Entry>) -> Judged {
        let judged = self.judge_as_leader(entry);
        if let Judged::Hit(Hit { kind: Kind::Revalidating, .. }) = &judged
            && let Joined::Lead(broadcast) = self.cache.flights.join(&self.key, self.cache.entry_bytes)
        {
            refresh::start(exchange, call, self.filling(exchange, call, broadcast));
        }
        judged
    }

    fn judge_as_leader(&self, entry: Arc<Entry>) -> Judged {
        match entry.age(self.cache.now_ms(), &self.policy) {
            Age::Fresh => Judged::Hit(Hit { entry, kind: Kind::Exact }),
            Age::Revalidate => Judged::Hit(Hit { entry, kind: Kind::Revalidating }),
            Age::IfError => Judged::Spare(entry),
            Age::Gone => Judged::Gone,
        }
    }
}

enum Judged {
    Hit(Hit),
    Spare(Arc<Entry>),
    Gone,
}

/// Who follows waits no longer for the first byte than who calls.
async fn within_patience(
    exchange: &Exchange<'_>,
    call: &Call<'_>,
    listener: &mut Listener,
) -> Result<Heard, Failure> {
    let asked = call.policy.first_byte(1, exchange.snapshot.patience.first_byte);
    tokio::time::timeout(asked, listener.head()).await.map_err(|_| {
        Failure::upstream(
            StatusCode::GATEWAY_TIMEOUT,
            format!(
                "the provider did not answer an identical request within {} ms; raise cf-aig-request-timeout or gateway.limits.firstByteSeconds",
                asked.as_millis()
            ),
            "shared a call that did not answer in time",
        )
    })
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
        exchange.discard(sent.map(|delivery| delivery.answer)).await;
        return Ok(Hit { entry, kind: Kind::InsteadOfError }.deliver(exchange, call));
    }
    let mut delivery = sent?;
    if let Some(filling) = filling {
        delivery.answer = filling.fill(delivery.answer);
    }
    delivery.answer.headers.insert(&STATUS, HeaderValue::from_static("MISS"));
    Ok(delivery)
}

/// Whether a POST to this path makes something that is there afterwards, or asks after something that changes: such an
/// answer is good once. Judged for paths whose dialect is not known.
fn makes_something(path: &str) -> bool {
    const THINGS: [&str; 21] = [
        "assistants",
        "batches",
        "batchpredictionjobs",
        "cachedcontents",
        "cancel",
        "containers",
        "conversations",
        "evals",
        "files",
        "fine_tuning",
        "jobs",
        "operations",
        "organization",
        "predictions",
        "realtime",
        "runs",
        "sessions",
        "threads",
        "uploads",
        "vector_stores",
        "videos",
    ];
    let path = path.split('?').next().unwrap_or_default().to_ascii_lowercase();
    path.split('/')
        .any(|part| THINGS.contains(&part) || part.contains(":batch") || part.contains("longrunning"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_make_something_are_told_from_those_that_only_answer() {
        for path in
            ["/v1/files", "/v1/batches?x=1", "/v1/threads/t/runs", "/v1/models/m:batchGenerateContent"]
        {
            assert!(makes_something(path), "{path}");
        }
        for path in ["/v1/images/generations", "/v1/moderations", "/run/@cf/meta/llama", "/v1/rerank"] {
            assert!(!makes_something(path), "{path}");
        }
    }
}
