//! One request from its head to the last byte of its answer: the table of contents.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use genesis_config::{Auth, GatewaySettings, Provider};
use genesis_wire::translate::Context;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, request};
use hyper::body::{Body as _, Incoming};

use crate::admit::{Caller, admit, unauthorized};
use crate::body::Body;
use crate::credential::{self, Asking, Credential};
use crate::failure::Failure;
use crate::inbound::{check_head, collect_json, is_json, split_query, too_large};
use crate::models;
use crate::options::Options;
use crate::plan;
use crate::realtime::{self, Socket};
use crate::receipt::Receipt;
use crate::reply;
use crate::resolve::{Asks, Manner, Surface, surface};
use crate::retry::Policy;
use crate::server::{Event, Worker};
use crate::snapshot::{ProviderSetup, Snapshot};
use crate::upstream::{Answer, Outgoing, Upload};

pub(crate) async fn handle(worker: Rc<Worker>, mut request: Request<Incoming>) -> Response<Body> {
    let snapshot = worker.shared.snapshot();
    let socket = realtime::socket(&mut request);
    let (head, body) = request.into_parts();
    let uri = head.uri.clone();
    match surface(uri.path()) {
        Surface::Provider { account, gateway, provider, rest } => {
            let address = Address { account, gateway, provider, rest, manner: Manner::Gateway };
            exchange(&worker, &snapshot, address, None, socket, head, body).await
        }
        Surface::Unified { account, asks: Asks::Run(Some(model)), .. } if model.starts_with('@') => {
            // A Workers AI model of Cloudflare's own: the provider's path has the same shape.
            let (gateway, rest) = (gateway_named(&head.headers), format!("run/{model}"));
            let (provider, manner) = ("workers-ai", Manner::Gateway);
            let address = Address { account, gateway: &gateway, provider, rest: &rest, manner };
            exchange(&worker, &snapshot, address, None, None, head, body).await
        }
        Surface::Unified { account, gateway, asks, manner } if head.method == Method::POST => {
            let gateway = gateway.map_or_else(|| gateway_named(&head.headers), str::to_owned);
            let address = Address { account, gateway: &gateway, provider: "compat", rest: "", manner };
            exchange(&worker, &snapshot, address, Some(asks), None, head, body).await
        }
        Surface::Models { account, gateway, id, manner } => {
            let gateway = gateway.map_or_else(|| gateway_named(&head.headers), str::to_owned);
            list_models(&snapshot, account, &gateway, id, head)
                .unwrap_or_else(|failure| reply::told(&failure, manner))
        }
        Surface::Unified { .. } => reply::not_found(uri.path()),
        Surface::Aside => worker.aside(head, body, snapshot.limits.body_bytes).await,
        Surface::Gateway { .. } | Surface::Unknown => reply::not_found(uri.path()),
    }
}

/// Where a provider-path request is addressed.
#[derive(Clone, Copy)]
struct Address<'a> {
    account: &'a str,
    gateway: &'a str,
    provider: &'a str,
    rest: &'a str,
    manner: Manner,
}

async fn exchange(
    worker: &Rc<Worker>,
    snapshot: &Arc<Snapshot>,
    address: Address<'_>,
    unified: Option<Asks<'_>>,
    socket: Option<Socket>,
    head: request::Parts,
    body: Incoming,
) -> Response<Body> {
    let gateway = match plan::gateway(snapshot, address.account, address.gateway) {
        Ok(gateway) => Arc::clone(gateway),
        Err(failure) => return reply::told(&failure, address.manner), // there is no gateway to log it under
    };
    let mut options = Options::read(&head.headers);
    let mut receipt = Receipt::open(&worker.shared, snapshot, &head, address.account, &gateway, &mut options);
    receipt.manner = address.manner;
    let mut marks = Marks::new(&receipt);
    let mut exchange = Exchange { worker, snapshot, gateway, address, options, receipt };
    let answered = exchange.run(unified, head, body).await.and_then(|delivery| delivery.expected(&socket));
    match &answered {
        Ok(Delivery { answer, .. }) => exchange.receipt.answered(answer.status, &answer.headers),
        Err(failure) => exchange.receipt.failed(failure),
    }
    marks.tried = exchange.receipt.tried();
    let mut response = match answered {
        Ok(Delivery { answer, .. }) if answer.status == StatusCode::SWITCHING_PROTOCOLS => {
            realtime::open(worker, socket, answer, exchange.receipt, snapshot.patience.idle)
        }
        Ok(delivery) => delivery.deliver(exchange.receipt, snapshot.patience.idle).await,
        Err(failure) => reply::told(&failure, address.manner),
    };
    marks.put(response.headers_mut());
    response
}

/// One upstream call, ready to be made: everything that is decided before a byte is sent.
pub(crate) struct Call<'a> {
    pub(crate) provider: &'a Provider,
    pub(crate) setup: &'a ProviderSetup,
    pub(crate) target: plan::Target,
    pub(crate) method: Method,
    /// The client's, less what the surface keeps.
    pub(crate) headers: HeaderMap,
    pub(crate) credential: Credential,
    pub(crate) body: Outgoing,
    /// How often it is tried, and how long.
    pub(crate) policy: Policy,
    /// Set if client and provider speak different dialects.
    pub(crate) translation: Option<Context>,
    /// What the request's translation could not carry.
    pub(crate) dropped: Vec<String>,
    /// The answer goes into Cloudflare's REST envelope.
    pub(crate) enveloped: bool,
}

/// A provider's answer that has begun, and what is to be done with it.
pub(crate) struct Delivery {
    pub(crate) answer: Answer,
    pub(crate) simulated: bool,
    /// Set if client and provider speak different dialects.
    pub(crate) translation: Option<Context>,
    /// What the request's translation could not carry.
    pub(crate) dropped: Vec<String>,
    /// The answer goes into Cloudflare's REST envelope.
    pub(crate) enveloped: bool,
}

impl Delivery {
    /// A provider may change the protocol only if the client asked for that.
    fn expected(self, socket: &Option<Socket>) -> Result<Self, Failure> {
        match self.answer.status == StatusCode::SWITCHING_PROTOCOLS && socket.is_none() {
            true => Err(Failure::upstream(
                StatusCode::BAD_GATEWAY,
                "the provider changed the protocol, which nobody had asked for",
                String::new(),
            )),
            false => Ok(self),
        }
    }
}

/// The gateway that the REST API names in a header.
fn gateway_named(headers: &HeaderMap) -> String {
    let named =
        headers.get("cf-aig-gateway-id").and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
    if named.is_empty() { "default".to_owned() } else { named.to_owned() }
}

fn list_models(
    snapshot: &Snapshot,
    account: &str,
    gateway: &str,
    id: Option<&str>,
    mut head: request::Parts,
) -> Result<Response<Body>, Failure> {
    let gateway = plan::gateway(snapshot, account, gateway)?;
    admit(snapshot, gateway, &mut head.headers, None, now_ms())?;
    models::answer(snapshot, id)
}

pub(crate) struct Exchange<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) snapshot: &'a Arc<Snapshot>,
    pub(crate) gateway: Arc<GatewaySettings>,
    address: Address<'a>,
    pub(crate) options: Options,
    pub(crate) receipt: Receipt,
}

impl<'a> Exchange<'a> {
    pub(crate) fn account(&self) -> &'a str {
        self.address.account
    }

    /// The way of every call: admit, plan, send.
    async fn run(
        &mut self,
        unified: Option<Asks<'_>>,
        mut head: request::Parts,
        body: Incoming,
    ) -> Result<Delivery, Failure> {
        check_head(&head, self.snapshot.limits.header_bytes)?;
        let (query, query_key) = split_query(&head.uri);
        let token = query_key.token.filter(|_| unified.is_none());
        let caller = admit(self.snapshot, &self.gateway, &mut head.headers, token, now_ms())?;
        self.admitted(&caller);
        let key_in_query = query_key.own;
        let call = match unified {
            None => self.call_by_path(&caller, head, query, key_in_query, body).await?,
            Some(asks) => self.call_by_model(&caller, &head.headers, body, asks).await?,
        };
        self.send(call).await
    }

    /// What stands between a call and its answer.
    async fn send(&mut self, call: Call<'_>) -> Result<Delivery, Failure> {
        self.persist(call).await
    }

    /// On a provider's own path: the provider is in the URL, and nothing is translated.
    async fn call_by_path(
        &mut self,
        caller: &Caller,
        mut head: request::Parts,
        query: Option<String>,
        key_in_query: bool,
        body: Incoming,
    ) -> Result<Call<'a>, Failure> {
        let Address { account, provider: slug, rest, .. } = self.address;
        let (provider, setup) = self.provider(slug, rest, caller)?;
        let snapshot = self.snapshot;
        let (rest, query) = match realtime::is_handshake(&head.method, &head.headers) {
            true => self.realtime(provider, rest, query, &mut head.headers),
            false => (rest, query),
        };
        let target = plan::target(snapshot, provider, setup, account, rest, query.as_deref(), &head.headers)?;
        let asking = self.asking(caller);
        let credential = credential::choose(&asking, provider, setup, &mut head.headers, key_in_query)?;
        self.receipt.authorised(&credential, &head.headers, target.simulated);
        let body = self.read_body(&head, body, &target).await?;
        Ok(Call {
            provider,
            setup,
            target,
            method: head.method,
            headers: head.headers,
            credential,
            body,
            policy: Policy::of(&self.options, &self.gateway),
            translation: None,
            dropped: Vec::new(),
            enveloped: false,
        })
    }

    /// Where a provider's WebSockets are, with the client's key in the header the provider wants.
    fn realtime(
        &mut self,
        provider: &'a Provider,
        rest: &'a str,
        query: Option<String>,
        headers: &mut HeaderMap,
    ) -> (&'a str, Option<String>) {
        let (query, key) = realtime::take_key(query);
        if let (Some(key), Auth::Header { name, prefix }) = (key, &provider.auth) {
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = HeaderValue::from_str(&format!("{prefix}{key}"));
            if let (Ok(name), Ok(value)) = (name, value) {
                headers.entry(name).or_insert(value);
            }
        }
        let mut pairs = query.iter().flat_map(|query| query.split('&'));
        if let Some(model) = pairs.find_map(|pair| pair.strip_prefix("model=")) {
            self.receipt.asked_for(model);
        }
        (realtime::path(provider, rest), query)
    }

    /// A provider by its slug, if it can be called and this caller may do so. From here on the log names it.
    pub(crate) fn provider(
        &mut self,
        slug: &str,
        path: &str,
        caller: &Caller,
    ) -> Result<(&'a Provider, &'a ProviderSetup), Failure> {
        let snapshot: &'a Snapshot = self.snapshot;
        let found = snapshot.provider(slug);
        let (provider, setup) = found.ok_or_else(|| plan::unknown_provider(snapshot, slug))?;
        self.receipt.addressed(&provider.slug, path);
        if setup.simulated {
            return Ok((provider, setup));
        }
        if let Some(unresolved) = &setup.unresolved {
            return Err(Failure::misconfigured(unresolved.clone()));
        }
        if setup.carries_secrets() && !caller.may_use_keys() {
            return Err(unauthorized(format!("provider {slug} is open to authenticated callers only")));
        }
        Ok((provider, setup))
    }

    pub(crate) fn asking<'s>(&'s self, caller: &'s Caller) -> Asking<'s> {
        Asking { keys: &self.snapshot.keys, gateway: &self.gateway, caller, options: &self.options }
    }

    fn admitted(&mut self, caller: &Caller) {
        self.receipt.called_by(caller.token_id.clone());
        let known = self.snapshot.gateways.contains_key(&self.gateway.id);
        if !known && caller.may_use_keys() {
            self.worker.shared.tell(Event::DefaultGatewayUsed { account: self.address.account.to_owned() });
        }
    }

    /// JSON is read whole, so that it can be signed, sent again and looked into; anything else is passed on as it
    /// comes. Whether it is well-formed is the provider's to judge.
    async fn read_body(
        &mut self,
        head: &request::Parts,
        body: Incoming,
        target: &plan::Target,
    ) -> Result<Outgoing, Failure> {
        let limits = &self.snapshot.limits;
        if body.is_end_stream() {
            self.receipt.planned(target, None, false);
            return Ok(Outgoing::Whole(Bytes::new()));
        }
        if !is_json(&head.headers) {
            self.receipt.planned(target, None, false);
            return self.upload(body, limits.upload_bytes);
        }
        let bytes = collect_json(body, limits).await?;
        self.receipt.request_body(&bytes);
        self.receipt.planned(target, None, false);
        Ok(Outgoing::Whole(bytes))
    }

    fn upload(&mut self, body: Incoming, limit: u64) -> Result<Outgoing, Failure> {
        if body.size_hint().lower() > limit {
            return Err(too_large("uploadBytes", limit));
        }
        let tee = self.receipt.request_tee(limit);
        Ok(Outgoing::Streamed(Box::new(Upload::new(body, tee))))
    }
}

/// The `cf-aig-*` response headers, on success and on error.
struct Marks {
    id: HeaderValue,
    event_id: HeaderValue,
    logged: bool,
    /// What was tried, if there was more than one attempt.
    tried: Option<String>,
}

impl Marks {
    fn new(receipt: &Receipt) -> Self {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let id = receipt.id().as_hyphenated().encode_lower(&mut text);
        let id = HeaderValue::from_str(id).expect("hexadecimal digits and hyphens are a header value");
        let event_id = HeaderValue::from_str(receipt.event_id()).unwrap_or_else(|_| id.clone());
        Self { id, event_id, logged: receipt.is_collected(), tried: None }
    }

    fn put(self, headers: &mut HeaderMap) {
        static LOG_ID: HeaderName = HeaderName::from_static("cf-aig-log-id");
        static REQUEST_ID: HeaderName = HeaderName::from_static("cf-aig-request-id");
        static EVENT_ID: HeaderName = HeaderName::from_static("cf-aig-event-id");
        static STEP: HeaderName = HeaderName::from_static("cf-aig-step");
        static ATTEMPTS: HeaderName = HeaderName::from_static("cf-aig-attempts");
        if self.logged {
            headers.insert(&LOG_ID, self.id.clone());
        } else {
            headers.remove(&LOG_ID); // a gateway behind this one names its own log
        }
        headers.insert(&REQUEST_ID, self.id);
        headers.insert(&EVENT_ID, self.event_id);
        headers.insert(&STEP, HeaderValue::from_static("0"));
        match self.tried.and_then(|tried| HeaderValue::try_from(tried).ok()) {
            Some(tried) => headers.insert(&ATTEMPTS, tried),
            None => headers.remove(&ATTEMPTS),
        };
    }
}

pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
