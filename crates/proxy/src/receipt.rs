//! The record of one exchange: opened when the request's head is in, finished when it is dropped, however the
//! exchange ended.
//!
//! * `receipt/attempts`: the calls that were made, and what each came to
//! * `receipt/capture`: what the log keeps of a body
//! * `receipt/open`: how many are under way
//! * `receipt/session`: what a realtime session used
//! * `receipt/spend`: what the gateway's limits are told

mod attempts;
mod capture;
mod open;
mod session;
mod spend;

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use genesis_config::money::Usd;
use genesis_config::{GatewaySettings, Price, PriceTable};
use genesis_store::{Fault, Identity, LogRecord, Outcome, Payload};
use genesis_wire::peek::peek;
use genesis_wire::{Dialect, Usage};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, StatusCode, Version, request};
use uuid::Uuid;

use self::capture::Capture;
pub(crate) use self::open::OpenCalls;
use self::spend::Spending;
use crate::admit::{Caller, bare};
use crate::credential::Credential;
use crate::failure::Failure;
use crate::options::{Options, is_secret};
use crate::resolve::Manner;
use crate::server::Shared;
use crate::snapshot::Snapshot;
use crate::upstream::Tee;
use crate::watch::Watch;

/// Longest body the log keeps, per direction.
const BODY_LIMIT: usize = 10 * 1024 * 1024;
/// Callers cannot set it: their keys that begin with `cf.` are dropped.
const USER_METADATA: &str = "cf.user_id";
/// Status in the log when a client left before there was an answer; never sent.
const CLIENT_LEFT: u16 = 499;

pub(crate) struct Receipt {
    record: Box<LogRecord>,
    shared: Arc<Shared>,
    started: Instant,
    collect: bool,
    collect_payload: bool,
    custom_cost: Option<String>,
    /// What the provider was shown.
    secrets: Vec<HeaderValue>,
    /// Knows the prices.
    snapshot: Arc<Snapshot>,
    /// Shared with the upload, if the body is passed on while it arrives.
    request: Rc<RefCell<Capture>>,
    /// A JSON request, looked into only if the answer does not name the model: parsing it costs more than relaying it.
    asked: Bytes,
    response: Capture,
    watch: Watch,
    /// Counted among the open streams.
    streams: bool,
    /// The client left, and the answer is read on for others.
    left_early: bool,
    /// The answer was kept, and is known to be whole.
    kept: bool,
    settled: bool,
    /// Something was used that the price table's figures do not cover.
    unpriced: bool,
    /// How the gateway's own errors are told on this call's surface.
    pub(crate) manner: Manner,
    /// When the attempt under way began, after `started`.
    attempt_began_ms: u32,
    /// The client has left, and the answer is read on without it.
    client_gone: bool,
    priced: bool,
    spending: Spending,
    /// Whom the caller's token was given to.
    identity: Option<Arc<Identity>>,
}

impl Receipt {
    pub(crate) fn open(
        shared: &Arc<Shared>,
        snapshot: &Arc<Snapshot>,
        head: &request::Parts,
        account: &str,
        gateway: &GatewaySettings,
        options: &mut Options,
    ) -> Self {
        let created_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = log_id(created_at.as_millis());
        let collect = options.collect_log.unwrap_or(gateway.collect_logs);
        let collect_payload = collect && options.collect_payload;
        let trace = options.trace.take();
        let record = LogRecord {
            id,
            event_id: options.event_id.take().unwrap_or_else(|| id.to_string()),
            created_at_ms: i64::try_from(created_at.as_millis()).unwrap_or(i64::MAX),
            account: account.to_owned(),
            gateway: gateway.id.clone(),
            provider: String::new(),
            model: String::new(),
            dialect: None,
            method: head.method.as_str().to_owned(),
            path: String::new(),
            status: CLIENT_LEFT,
            outcome: Outcome::ClientLeft,
            error: String::new(),
            cached: false,
            step: 0,
            duration_ms: 0,
            first_byte_ms: None,
            stream: false,
            usage: None,
            raw_usage: None,
            cost_nano_usd: None,
            price_id: None,
            price_formula: None,
            custom_cost: false,
            metadata: std::mem::take(&mut options.metadata),
            user_agent: text(&head.headers, &USER_AGENT),
            token_id: String::new(),
            credential: String::new(),
            request_content_type: text(&head.headers, &CONTENT_TYPE),
            response_content_type: String::new(),
            request_size: 0,
            response_size: 0,
            request_head: if collect_payload { request_head(head) } else { String::new() },
            response_head: String::new(),
            trace_id: trace.as_ref().map(|trace| trace.trace_id.clone()),
            parent_span_id: trace.and_then(|trace| trace.parent_span_id),
            simulated: false,
            attempts: Vec::new(),
            ..LogRecord::default()
        };
        let mut receipt = Self::of(Box::new(record), shared, snapshot, collect, collect_payload);
        receipt.custom_cost = options.custom_cost.take();
        receipt
    }

    /// The receipt of another call made on behalf of this exchange: a record of its own under the same event.
    pub(crate) fn beside(&self, path: &str, body: &Bytes) -> Self {
        let created_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut record = self.record.clone();
        record.id = log_id(created_at.as_millis());
        record.created_at_ms = i64::try_from(created_at.as_millis()).unwrap_or(i64::MAX);
        path.clone_into(&mut record.path);
        record.request_head = String::new();
        let mut receipt = Self::of(record, &self.shared, &self.snapshot, self.collect, self.collect_payload);
        receipt.secrets.clone_from(&self.secrets);
        receipt.identity.clone_from(&self.identity);
        receipt.manner = self.manner;
        receipt.request_body(body);
        receipt
    }

    fn of(
        record: Box<LogRecord>,
        shared: &Arc<Shared>,
        snapshot: &Arc<Snapshot>,
        collect: bool,
        collect_payload: bool,
    ) -> Self {
        shared.open.call_begins();
        Self {
            record,
            shared: Arc::clone(shared),
            started: Instant::now(),
            collect,
            collect_payload,
            custom_cost: None,
            secrets: Vec::new(),
            snapshot: Arc::clone(snapshot),
            request: Rc::new(RefCell::new(Capture::new(if collect_payload { BODY_LIMIT } else { 0 }))),
            asked: Bytes::new(),
            response: Capture::new(0),
            watch: Watch::Blind,
            streams: false,
            left_early: false,
            kept: false,
            settled: false,
            unpriced: false,
            manner: Manner::default(),
            attempt_began_ms: 0,
            client_gone: false,
            priced: false,
            spending: Spending::default(),
            identity: None,
        }
    }

    pub(crate) fn id(&self) -> Uuid {
        self.record.id
    }

    /// Slug of the provider that was asked last.
    pub(crate) fn provider(&self) -> &str {
        &self.record.provider
    }

    pub(crate) fn path(&self) -> &str {
        &self.record.path
    }

    pub(crate) fn trace_id(&self) -> Option<&str> {
        self.record.trace_id.as_deref()
    }

    pub(crate) fn event_id(&self) -> &str {
        &self.record.event_id
    }

    /// Whether there will be a log entry under [`Receipt::id`].
    pub(crate) fn is_collected(&self) -> bool {
        self.collect
    }

    /// Names what a translation could not carry.
    pub(crate) fn dropped(&mut self, names: &[String]) {
        if !names.is_empty() {
            self.shared.dropped.count(names);
            self.record.dropped.extend_from_slice(names);
        }
    }

    /// A user the token names goes into the metadata, as Cloudflare puts the one it knows from Access there.
    pub(crate) fn called_by(&mut self, caller: &Caller) {
        self.record.token_id = caller.token_id.clone().unwrap_or_default();
        self.identity.clone_from(&caller.identity);
        if let Some(user) = self.identity.as_ref().and_then(|identity| identity.user.clone()) {
            self.record.metadata.insert(USER_METADATA.to_owned(), user.into());
        }
    }

    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.as_deref()
    }

    pub(crate) fn addressed(&mut self, provider: &str, path: &str) {
        provider.clone_into(&mut self.record.provider);
        path.clone_into(&mut self.record.path);
    }

    /// The model a call names before anything else is known, so that the log has it however the call ends.
    pub(crate) fn asked_for(&mut self, model: &str) {
        model[..model.floor_char_boundary(256)].clone_into(&mut self.record.model);
    }

    pub(crate) fn planned(&mut self, target: &crate::plan::Target, model: Option<&str>, stream: bool) {
        self.record.dialect = target.dialect;
        self.record.simulated = target.simulated;
        self.record.stream = stream;
        if let Some(model) = model.or(target.model.as_deref()) {
            self.record.model = model[..model.floor_char_boundary(256)].to_owned();
        }
    }

    /// With which credential the call is made. Its text is remembered, to be masked where a provider repeats it.
    pub(crate) fn authorised(&mut self, credential: &Credential, headers: &HeaderMap, simulated: bool) {
        let source = if simulated { "none" } else { credential.source() };
        source.clone_into(&mut self.record.credential);
        match credential {
            Credential::Header(_, value, _) => self.secrets.push(value.clone()),
            Credential::Request => {
                let secret = headers.iter().filter(|(name, _)| is_secret(name.as_str()));
                self.secrets.extend(secret.map(|(_, value)| value.clone()));
            }
            Credential::None | Credential::Aws(_) | Credential::Google(..) => {}
        }
    }

    pub(crate) fn request_body(&mut self, body: &Bytes) {
        self.asked = body.clone();
        self.request.borrow_mut().push(body);
    }

    /// Sees every piece of an upload, and refuses the one that goes over `limit`.
    pub(crate) fn request_tee(&self, limit: u64) -> Tee {
        let capture = Rc::clone(&self.request);
        Box::new(move |piece| {
            let mut capture = capture.borrow_mut();
            capture.push(piece);
            if capture.size > limit { Err(std::io::ErrorKind::FileTooLarge.into()) } else { Ok(()) }
        })
    }

    /// The provider's answer has begun.
    pub(crate) fn answered(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.record.status = status.as_u16();
        self.spending.answered = Some(status.as_u16());
        self.record.first_byte_ms = Some(self.elapsed_ms());
        self.record.response_content_type = text(headers, &CONTENT_TYPE);
        self.watch = Watch::new(self.record.dialect, headers);
        self.record.stream |= self.watch.is_stream();
        let streams = self.watch.is_stream() || status == StatusCode::SWITCHING_PROTOCOLS;
        if streams && !std::mem::replace(&mut self.streams, streams) {
            self.shared.open.stream_begins();
        }
        let keep = if self.collect_payload { BODY_LIMIT } else { 0 };
        self.response = Capture::new(keep.max(self.watch.needs_body()));
        if self.kept {
            self.watch = Watch::Blind;
            self.response = Capture::new(if self.collect_payload { BODY_LIMIT } else { 0 });
        }
        if self.collect_payload {
            self.record.response_head = response_head(status, headers);
        }
    }

    /// The answer to come costs nothing: it is kept from an earlier exchange, and then its model is known and it need not
    /// be watched; or it is shared with an exchange under way. Comes before [`Receipt::answered`].
    pub(crate) fn comes_from_cache(&mut self, dialect: Option<Dialect>, kept_model: Option<&str>) {
        self.record.dialect = dialect;
        self.record.cached = true;
        self.kept = kept_model.is_some();
        if let Some(model) = kept_model.filter(|model| !model.is_empty()) {
            model.clone_into(&mut self.record.model);
        }
    }

    /// Whether the client has had the whole of a stream.
    pub(crate) fn has_all_of_it(&self) -> bool {
        self.watch.has_ended()
    }

    /// The client has gone, and the answer is read on.
    pub(crate) fn client_gone_early(&mut self) {
        self.left_early = true;
    }

    pub(crate) fn response_piece(&mut self, piece: &Bytes) {
        self.watch.push(piece);
        self.response.push(piece);
    }

    /// A piece of a stream that is translated: what the provider sent is watched, what the client gets is kept.
    pub(crate) fn translated_piece(&mut self, provider: &Bytes, client: &Bytes) {
        self.watch.push(provider);
        self.response.push(client);
    }

    /// A whole answer that was translated, after [`Receipt::complete`]: the log keeps what the client gets.
    pub(crate) fn translated(&mut self, client: &Bytes) {
        self.response = Capture::new(if self.collect_payload { BODY_LIMIT } else { 0 });
        self.response.push(client);
    }

    /// The answer came to the end its framing announced. False if the stream inside it did not.
    pub(crate) fn complete(&mut self) -> bool {
        let ended = self.read_report();
        self.spending.ended = ended;
        let provider_error = self.record.status >= 400 || !self.record.error.is_empty();
        let outcome = match (provider_error, ended) {
            (true, _) => Outcome::ProviderError,
            (false, true) => Outcome::Success,
            (false, false) => Outcome::UpstreamBroken,
        };
        if outcome == Outcome::UpstreamBroken {
            "the provider ended its stream before the answer was complete".clone_into(&mut self.record.error);
        }
        self.settle(outcome);
        ended
    }

    /// The client is gone. What was used so far is still the truth about this call, and whoever hangs up on the last
    /// event of a stream, as SDKs do, has had the whole of it.
    fn client_left(&mut self) {
        let is_stream = self.watch.is_stream();
        let ended = self.read_report();
        if is_stream && ended {
            self.spending.ended = true;
            let failed = self.record.status >= 400 || !self.record.error.is_empty();
            self.settle(if failed { Outcome::ProviderError } else { Outcome::Success });
            return;
        }
        if self.record.error.is_empty() {
            "the client left before the answer was complete".clone_into(&mut self.record.error);
        }
        self.settle(Outcome::ClientLeft);
    }

    /// The client has left, and the answer is read on without it.
    pub(crate) fn client_gone(&mut self) {
        self.client_gone = true;
    }

    /// The provider broke off.
    pub(crate) fn broken(&mut self, cause: &str) {
        self.read_report();
        cause.clone_into(&mut self.record.error);
        self.settle(Outcome::UpstreamBroken);
    }

    /// A stream whose translation ended with an error: the provider's own, or that it could not be understood.
    pub(crate) fn failed_translation(&mut self) {
        self.read_report();
        let outcome = if self.record.error.is_empty() {
            "the provider's stream could not be translated to its end".clone_into(&mut self.record.error);
            Outcome::UpstreamBroken
        } else {
            Outcome::ProviderError
        };
        self.settle(outcome);
    }

    /// The gateway itself answers, with an error.
    pub(crate) fn failed(&mut self, failure: &Failure) {
        // An answer that could not be translated was paid for all the same.
        self.read_report();
        self.spending.fault = failure.fault;
        if !self.record.attempts.is_empty() && self.record.first_byte_ms.is_none() {
            let attempt = self.attempt(None, Some(failure.fault.unwrap_or(Fault::Refused)));
            self.record.attempts.push(attempt);
        }
        self.record.status = failure.status.as_u16();
        let detail = if failure.cause.is_empty() { &failure.description } else { &failure.cause };
        self.record.error = format!("{}: {detail}", failure.message);
        "application/json".clone_into(&mut self.record.response_content_type);
        self.response = Capture::new(if self.collect_payload { BODY_LIMIT } else { 0 });
        self.response.push(&crate::reply::envelope(failure, self.manner));
        self.settle(failure.outcome);
    }

    /// Reads what the answer said about itself; false if it is a stream that never came to its end.
    fn read_report(&mut self) -> bool {
        let body = self.response.bytes();
        let (report, ended) = self.watch.finish(body, self.record.status < 400);
        let record = &mut self.record;
        if let Some(mut model) = report.model {
            model.truncate(model.floor_char_boundary(256));
            record.model = model;
        }
        if let Some(error) = report.error {
            record.error = error;
        }
        if record.cached {
            record.usage = Some(Usage::default()); // nothing was used for this one
            return ended;
        }
        record.usage = report.usage;
        record.raw_usage = report.raw_usage;
        ended
    }

    fn settle(&mut self, mut outcome: Outcome) {
        if self.client_gone && outcome == Outcome::Success {
            outcome = Outcome::ClientLeft;
            "the client left; its answer was read to the end".clone_into(&mut self.record.error);
        }
        self.settled = true;
        if self.left_early && matches!(outcome, Outcome::Success | Outcome::UpstreamBroken) {
            let read_on =
                if outcome == Outcome::Success { "; it was read to its end for others" } else { "" };
            self.record.error = format!("the client left before the answer was complete{read_on}");
            outcome = Outcome::ClientLeft;
        }
        let asked = std::mem::take(&mut self.asked);
        if self.record.model.is_empty()
            && let Ok(peeked) = peek(&asked)
        {
            let model = peeked.model.as_deref().unwrap_or_default();
            model[..model.floor_char_boundary(256)].clone_into(&mut self.record.model);
            self.record.stream |= peeked.stream.unwrap_or(false);
        }
        if !self.record.error.is_empty() {
            for secret in self.secrets.iter().filter_map(|value| value.to_str().ok()).map(bare) {
                if !secret.is_empty() {
                    self.record.error = self.record.error.replace(secret, "[masked]");
                }
            }
        }
        self.record.outcome = outcome;
        self.record.duration_ms = self.elapsed_ms();
        self.last_attempt(outcome);
    }

    fn elapsed_ms(&self) -> u32 {
        u32::try_from(self.started.elapsed().as_millis()).unwrap_or(u32::MAX)
    }

    /// What the exchange cost: the answer, and those that were paid for and discarded.
    fn price(&mut self) {
        if std::mem::replace(&mut self.priced, true) {
            return;
        }
        if self.record.cached {
            // Nothing was used for this answer; attempts that failed before it may have been paid for.
            let tried = self.record.attempts.iter().filter_map(|attempt| attempt.cost_nano_usd);
            self.record.cost_nano_usd = Some(tried.fold(0, i64::saturating_add));
            self.record.price_formula = Some("answered from the cache".to_owned());
            return;
        }
        let custom = self.custom_cost.as_deref().and_then(Price::custom);
        let used = self.record.usage.filter(|usage| *usage != Usage::default() && !self.unpriced);
        let priced = match custom {
            Some(price) => {
                self.record.custom_cost = true;
                Some(("custom".to_owned(), price.cost(&self.record.usage.unwrap_or_default())))
            }
            None => used.and_then(|usage| {
                let price = self.price_of(&self.record.provider, &self.record.model)?;
                Some((price.id.clone(), price.cost(&usage)))
            }),
        };
        let record = &mut *self.record;
        if let Some((id, cost)) = priced {
            if let Some(attempt) = record.attempts.last_mut() {
                attempt.cost_nano_usd = Some(cost.nano_usd);
            }
            record.cost_nano_usd = Some(cost.nano_usd);
            record.price_formula = Some(cost.formula);
            record.price_id = Some(id);
        }
        let discarded = record.attempts.iter().rev().skip(1).filter_map(|attempt| attempt.cost_nano_usd);
        let discarded =
            discarded.fold(None, |sum: Option<i64>, cost| Some(sum.unwrap_or(0).saturating_add(cost)));
        if let Some(discarded) = discarded.filter(|_| !record.custom_cost) {
            record.cost_nano_usd = Some(record.cost_nano_usd.unwrap_or(0).saturating_add(discarded));
            let formula = record.price_formula.get_or_insert_default();
            let plus = if formula.is_empty() { "" } else { " + " };
            let _ = write!(formula, "{plus}${} for discarded answers", Usd(discarded));
        }
    }

    fn price_of(&self, provider: &str, model: &str) -> Option<Arc<Price>> {
        known_price(&self.snapshot, provider, model, self.record.created_at_ms)
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.shared.open.call_ends(self.streams);
        if !self.settled {
            self.client_left();
        }
        if !self.collect && !self.has_permit() {
            return;
        }
        self.price();
        self.settle_permit();
        if !self.collect {
            return;
        }
        let mut request = self.request.borrow_mut();
        self.record.request_size = request.size;
        self.record.response_size = self.response.size;
        let payload = self.collect_payload.then(|| Payload {
            id: self.record.id,
            gateway: self.record.gateway.clone(),
            request_complete: request.is_complete(BODY_LIMIT),
            response_complete: self.response.is_complete(BODY_LIMIT),
            request: request.take(BODY_LIMIT),
            response: self.response.take(BODY_LIMIT),
        });
        self.shared.journal.push(std::mem::take(&mut *self.record), payload);
    }
}

/// UUIDv7: time first, so that ids sort; its random part needs no secrecy.
fn log_id(unix_ms: u128) -> Uuid {
    let random = fastrand::u128(..).to_le_bytes();
    let [a, b, c, d, e, f, g, h, i, j, ..] = random;
    let millis = u64::try_from(unix_ms).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &[a, b, c, d, e, f, g, h, i, j]).into_uuid()
}

/// Prices by provider and model, remembered per thread since the search walks rules.
fn known_price(snapshot: &Arc<Snapshot>, provider: &str, model: &str, at_ms: i64) -> Option<Arc<Price>> {
    const KEPT: usize = 1024;
    const HOUR_MS: i64 = 3_600_000;
    #[derive(Default)]
    struct Known {
        /// What is remembered holds for one snapshot and, since prices change at a date, for an hour.
        of: (u64, i64),
        /// By provider, then model.
        prices: HashMap<String, HashMap<String, Option<Arc<Price>>>>,
        count: usize,
    }
    thread_local! {
        static KNOWN: RefCell<Known> = RefCell::default();
    }
    let of = (snapshot.generation, at_ms / HOUR_MS);
    KNOWN.with_borrow_mut(|known| {
        if known.of != of || known.count >= KEPT {
            *known = Known { of, ..Known::default() };
        }
        if let Some(price) = known.prices.get(provider).and_then(|prices| prices.get(model)) {
            return price.clone();
        }
        let (row, _) = snapshot.provider(provider)?;
        let price = row.price(PriceTable::in_force(), model, at_ms).map(Arc::new);
        known.prices.entry(provider.to_owned()).or_default().insert(model.to_owned(), price.clone());
        known.count += 1;
        price
    })
}

fn text(headers: &HeaderMap, name: &HeaderName) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value[..value.len().min(512)].to_owned() // `to_str` lets ASCII through only
}

fn request_head(head: &request::Parts) -> String {
    let mut text = String::with_capacity(768);
    let version = if head.version == Version::HTTP_2 { "HTTP/2" } else { "HTTP/1.1" };
    let _ = writeln!(text, "{} {} {version}", head.method, masked_query(&head.uri));
    write_headers(&mut text, &head.headers);
    text
}

fn response_head(status: StatusCode, headers: &HeaderMap) -> String {
    let mut text = String::with_capacity(512);
    let _ = writeln!(text, "HTTP/1.1 {status}");
    write_headers(&mut text, headers);
    text
}

fn write_headers(text: &mut String, headers: &HeaderMap) {
    for (name, value) in headers {
        text.push_str(name.as_str());
        text.push_str(": ");
        if value.is_sensitive() || is_secret(name.as_str()) {
            text.push_str("[masked]");
        } else {
            text.push_str(&String::from_utf8_lossy(value.as_bytes()));
        }
        text.push('\n');
    }
}

/// The path with its query, in which keys are masked.
pub(crate) fn masked_query(uri: &http::Uri) -> String {
    let Some(query) = uri.query() else { return uri.path().to_owned() };
    let pairs: Vec<_> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if is_secret(&name.to_ascii_lowercase()) => format!("{name}=[masked]"),
            _ => pair.to_owned(),
        })
        .collect();
    format!("{}?{}", uri.path(), pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_queries_are_masked() {
        let uri: http::Uri =
            "/v1/a/g/google-ai-studio/v1/models?alt=sse&key=AIza123&api_key=x".parse().expect("uri");
        assert_eq!(
            masked_query(&uri),
            "/v1/a/g/google-ai-studio/v1/models?alt=sse&key=[masked]&api_key=[masked]"
        );
    }

    #[test]
    fn log_ids_sort_by_time() {
        assert!(log_id(1_790_000_000_000) < log_id(1_790_000_000_001));
        assert_eq!(log_id(1).get_version_num(), 7);
    }
}
