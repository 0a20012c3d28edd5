//! A request's way through everything that may already have its answer: memory, calls under way, disk, the other shape,
//! nearly the same question.

use std::sync::Arc;

use bytes::Bytes;
use genesis_config::GatewaySettings;
use genesis_store::CacheKey;
use genesis_wire::reshape::{self, Wish};
use http::{Method, StatusCode};

use super::entry::{Age, Entry, Slot};
use super::fill::Filling;
use super::flights::Joined;
use super::key::Scope;
use super::meaning::{self, Question};
use super::wish::{CacheHeaders, Policy};
use super::{Cache, Found, Hit, Kind, refresh, shape};
use crate::admit::Caller;
use crate::exchange::{Call, Exchange};
use crate::failure::Failure;
use crate::upstream::Outgoing;
use crate::upstream::broadcast::{Broadcast, Heard, Listener, Over};

/// Cloudflare caches requests of at most 25 MB.
const REQUEST_LIMIT: usize = 25 * 1024 * 1024;
/// After so many calls of others that failed, a request makes its own.
const FAILED_LEADERS: u32 = 2;

/// A request the cache is to serve.
pub(super) struct Asked {
    cache: Arc<Cache>,
    policy: Policy,
    scope: Scope,
    key: CacheKey,
    body: Bytes,
    /// The client chose the key.
    own: Option<String>,
}

impl Asked {
    /// `None`: the cache has no part in this.
    pub(super) fn of(exchange: &Exchange<'_>, call: &Call<'_>) -> Option<Self> {
        let headers = &exchange.options.cache;
        let (policy, scope, key, body) = wanted(headers, &exchange.gateway, exchange.account(), call)?;
        let cache = Arc::clone(&exchange.worker.shared.cache);
        Some(Self { cache, policy, scope, key, body: body.clone(), own: headers.key.clone() })
    }

    pub(super) async fn find(
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

    fn filling(&self, exchange: &Exchange<'_>, call: &Call<'_>, broadcast: Arc<Broadcast>) -> Filling {
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

/// How the cache serves a call, and under which key; `None` if it does not.
pub(super) fn wanted<'c>(
    headers: &CacheHeaders,
    gateway: &GatewaySettings,
    account: &str,
    call: &'c Call<'_>,
) -> Option<(Policy, Scope, CacheKey, &'c Bytes)> {
    let policy = Policy::of(headers, gateway)?;
    let Outgoing::Whole(body) = &call.body else { return None };
    let fits = call.method == Method::POST && !body.is_empty() && body.len() <= REQUEST_LIMIT;
    if !fits || call.target.dialect.is_none() && makes_something(&call.target.path_and_query) {
        return None;
    }
    let scope = Scope::of(account, gateway, call);
    let key = match &headers.key {
        Some(own) => scope.own(own, reshape::wish(body).is_some_and(|wish| wish.stream)),
        None => scope.exact(call, body),
    };
    Some((policy, scope, key, body))
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
