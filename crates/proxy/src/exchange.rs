//! One request from its head to the last byte of its answer: the table of contents.

use std::borrow::Cow;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use genesis_config::GatewaySettings;
use genesis_config::gateway::OnDisconnect;
use genesis_wire::translate::Context;
use http::header::HeaderName;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, request};
use hyper::body::Body as _;

use crate::admit::{Caller, admit};
use crate::body::Body;
use crate::cache;
use crate::credential::Credential;
use crate::deliver::Onward;
use crate::drain::Drains;
use crate::failure::Failure;
use crate::inbound::{Sent, check_head, collect_json, is_json, split_query, too_large};
use crate::limit::Gate;
use crate::marks::Marks;
use crate::models;
use crate::options::{Options, on_disconnect};
use crate::plan;
use crate::planning::Planning;
use crate::realtime::{self, Socket};
use crate::receipt::Receipt;
use crate::reply;
use crate::resolve::{Asks, Manner, Surface, addressed};
use crate::resume;
use crate::retry::Policy;
use crate::run::{self, Envelope};
use crate::server::{ClientBody, Event, Worker};
use crate::snapshot::{ProviderSetup, Snapshot};
use crate::unified::Asked;
use crate::universal;
use crate::upstream::{Answer, Outgoing, Upload};

/// An answer in the making. On the heap, so that a long one does not hold on to what it took to make it; and not made by an
/// `async fn`, which would hold room for it once for each of its two ways.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Response<Body>>>>;

pub(crate) fn handle(worker: Rc<Worker>, request: Request<ClientBody>) -> Answering {
    let snapshot = worker.shared.snapshot();
    let outlives = outlives_its_client(&snapshot, request.uri(), request.headers());
    let answered = answer(worker, snapshot, request, outlives);
    if outlives { Box::pin(detached(answered)) } else { Box::pin(answered) }
}

/// A universal request that came as a message over a socket: an exchange like any other, with `head` as its own.
pub(crate) async fn message(worker: Rc<Worker>, head: request::Parts, steps: Bytes) -> Response<Body> {
    let snapshot = worker.shared.snapshot();
    let outlives = outlives_its_client(&snapshot, &head.uri, &head.headers);
    let answered = async move {
        let uri = head.uri.clone();
        let Surface::Universal { account, gateway } = addressed(&snapshot, &uri, &head.headers) else {
            return reply::not_found(uri.path());
        };
        let drains = outlives.then(|| worker.drains.clone());
        let address = Address { account, gateway, provider: "", rest: "", manner: Manner::Gateway };
        let client = Client { head, body: Sent::Whole(steps), socket: None, drains, by_message: true };
        exchange(&worker, &snapshot, address, Wanted::Steps, client).await
    };
    if outlives { detached(answered).await } else { answered.await }
}

/// In a task of its own, which goes on when the client's is dropped.
async fn detached(answered: impl Future<Output = Response<Body>> + 'static) -> Response<Body> {
    match tokio::task::spawn_local(answered).await {
        Ok(response) => response,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => reply::failure(&Failure::misconfigured("the gateway is stopping; send the call again")),
        },
    }
}

/// Whether the exchange goes on when its client leaves: by header, else by the gateway's setting.
fn outlives_its_client(snapshot: &Snapshot, uri: &Uri, headers: &HeaderMap) -> bool {
    static ON_DISCONNECT: HeaderName = HeaderName::from_static("cf-aig-on-disconnect");
    match headers.get(&ON_DISCONNECT).and_then(|value| on_disconnect(value.to_str().ok()?)) {
        Some(wish) => return wish == OnDisconnect::Drain,
        None if !snapshot.drains => return false,
        None => {}
    }
    let named;
    let gateway = match addressed(snapshot, uri, headers) {
        Surface::Provider { gateway, .. } | Surface::Universal { gateway, .. } => gateway,
        Surface::Unified { gateway: Some(gateway), .. } => gateway,
        Surface::Unified { gateway: None, .. } => {
            named = gateway_named(headers);
            &named
        }
        _ => return false,
    };
    snapshot.gateways.get(gateway).is_some_and(|gateway| gateway.on_disconnect == OnDisconnect::Drain)
}

async fn answer(
    worker: Rc<Worker>,
    snapshot: Arc<Snapshot>,
    mut request: Request<ClientBody>,
    outlives: bool,
) -> Response<Body> {
    let socket = realtime::socket(&mut request);
    let (head, body) = request.into_parts();
    let uri = head.uri.clone();
    let drains = outlives.then(|| worker.drains.clone());
    let surface = addressed(&snapshot, &uri, &head.headers);
    if let Some(aim) = Aim::of(surface, &head.method, &head.headers) {
        let Aim { account, gateway, provider, rest, manner, wanted } = &aim;
        let address = Address { account, gateway, provider, rest, manner: *manner };
        let socket = socket.filter(|_| matches!(surface, Surface::Provider { .. }));
        let client = Client { head, body: Sent::Arriving(body), socket, drains, by_message: false };
        return exchange(&worker, &snapshot, address, *wanted, client).await;
    }
    match surface {
        Surface::Models { account, gateway, id, manner } => {
            let gateway = gateway.map_or_else(|| gateway_named(&head.headers), str::to_owned);
            list_models(&snapshot, account, &gateway, id, head)
                .unwrap_or_else(|failure| reply::told(&failure, manner))
        }
        Surface::Resume(resume) => resume::answer(&worker, &snapshot, resume, head),
        Surface::Aside => Box::pin(worker.aside(head, body, snapshot.limits.body_bytes)).await,
        Surface::Universal { account, gateway } => match socket {
            Some(socket) => universal::open(&worker, &snapshot, account, gateway, head, socket),
            None => reply::not_found(uri.path()),
        },
        _ => reply::not_found(uri.path()),
    }
}

/// What a request is for, if it is a call.
pub(crate) struct Aim<'a> {
    pub(crate) account: &'a str,
    pub(crate) gateway: Cow<'a, str>,
    pub(crate) provider: &'a str,
    pub(crate) rest: Cow<'a, str>,
    manner: Manner,
    pub(crate) wanted: Wanted<'a>,
}

impl<'a> Aim<'a> {
    /// `None`: it asks for no call, or with a method that makes none.
    pub(crate) fn of(surface: Surface<'a>, method: &Method, headers: &HeaderMap) -> Option<Self> {
        Some(match surface {
            Surface::Provider { account, gateway, provider, rest } => {
                let (gateway, rest) = (gateway.into(), rest.into());
                Self { account, gateway, provider, rest, manner: Manner::Gateway, wanted: Wanted::Path }
            }
            Surface::Unified { account, asks: Asks::Run(Some(model)), .. } if model.starts_with('@') => {
                // A Workers AI model of Cloudflare's own: the provider's path has the same shape.
                let (gateway, rest) = (gateway_named(headers).into(), format!("run/{model}").into());
                let (provider, manner) = ("workers-ai", Manner::Gateway);
                Self { account, gateway, provider, rest, manner, wanted: Wanted::Path }
            }
            Surface::Unified { account, gateway, asks, manner } if method == Method::POST => {
                let gateway = gateway.map_or_else(|| gateway_named(headers).into(), Cow::Borrowed);
                let (provider, rest) = ("compat", Cow::Borrowed(""));
                Self { account, gateway, provider, rest, manner, wanted: Wanted::Model(asks) }
            }
            Surface::Universal { account, gateway } if method == Method::POST => {
                let (provider, rest, manner) = ("", Cow::Borrowed(""), Manner::Gateway);
                Self { account, gateway: gateway.into(), provider, rest, manner, wanted: Wanted::Steps }
            }
            _ => return None,
        })
    }
}

/// Where a provider-path request is addressed.
#[derive(Clone, Copy)]
pub(crate) struct Address<'a> {
    pub(crate) account: &'a str,
    pub(crate) gateway: &'a str,
    pub(crate) provider: &'a str,
    pub(crate) rest: &'a str,
    pub(crate) manner: Manner,
}

/// What came from the client, and what becomes of its answer.
struct Client {
    head: request::Parts,
    body: Sent,
    /// Set if it asks for a WebSocket.
    socket: Option<Socket>,
    /// Set if its answer is read on when it leaves.
    drains: Option<Drains>,
    /// It hears its answer in messages of a WebSocket, whose number says nothing about events.
    by_message: bool,
}

/// Where it is said what to call.
#[derive(Clone, Copy)]
pub(crate) enum Wanted<'a> {
    /// In the path.
    Path,
    /// In the body, as its model.
    Model(Asks<'a>),
    /// In the body, as steps.
    Steps,
}

async fn exchange(
    worker: &Rc<Worker>,
    snapshot: &Arc<Snapshot>,
    address: Address<'_>,
    wanted: Wanted<'_>,
    client: Client,
) -> Response<Body> {
    let Client { head, body, socket, drains, by_message } = client;
    let gateway = match plan::gateway(snapshot, address.account, address.gateway) {
        Ok(gateway) => Arc::clone(gateway),
        Err(failure) => return reply::told(&failure, address.manner), // there is no gateway to log it under
    };
    let mut options = Options::read(&head.headers);
    let mut receipt = Receipt::open(&worker.shared, snapshot, &head, address.account, &gateway, &mut options);
    receipt.manner = address.manner;
    let mut marks = Marks::new(&receipt);
    let mut exchange = Exchange {
        worker,
        snapshot,
        gateway,
        address,
        options,
        receipt,
        caller: None,
        chosen: None,
        gates: Vec::new(),
        shut: None,
    };
    let answered = exchange.run(wanted, head, body).await.and_then(|delivery| delivery.expected(&socket));
    match &answered {
        Ok(Delivery { answer, .. }) => exchange.receipt.answered(answer.status, &answer.headers),
        Err(failure) => exchange.receipt.failed(failure),
    }
    marks.note(&exchange);
    let onward = Onward { drains, offer: exchange.offer(wanted).filter(|_| !by_message) };
    let mut response = match answered {
        Ok(Delivery { answer, .. }) if answer.status == StatusCode::SWITCHING_PROTOCOLS => {
            realtime::open(worker, socket, answer, exchange.receipt, snapshot.patience.idle)
        }
        Ok(delivery) => delivery.deliver(exchange.receipt, snapshot.patience.idle, onward).await,
        Err(failure) => reply::told(&failure, address.manner),
    };
    marks.put(response.headers_mut());
    response
}

/// A call of a provider's own path.
pub(crate) struct ByPath<'a> {
    /// Slug.
    pub(crate) provider: &'a str,
    /// Path below it.
    pub(crate) rest: &'a str,
    pub(crate) query: Option<&'a str>,
    /// The query holds the client's own key.
    pub(crate) key_in_query: bool,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
}

/// One upstream call, ready to be made: everything that is decided before a byte is sent.
pub(crate) struct Call<'a> {
    pub(crate) setup: &'a ProviderSetup,
    pub(crate) target: plan::Target,
    pub(crate) method: Method,
    /// The client's, less what the surface keeps.
    pub(crate) headers: HeaderMap,
    pub(crate) credential: Credential,
    pub(crate) body: Outgoing,
    /// Path below the provider, and query, if it lives at several addresses: for the same call at another one.
    pub(crate) place: Option<(String, Option<String>)>,
    /// How often it is tried, and how long.
    pub(crate) policy: Policy,
    /// Set if client and provider speak different dialects.
    pub(crate) translation: Option<Context>,
    /// What the request's translation could not carry.
    pub(crate) dropped: Vec<String>,
    /// The answer goes into Cloudflare's REST envelope.
    pub(crate) enveloped: bool,
}

impl Call<'_> {
    /// The same, in case it has to be delivered otherwise; `None` for an upload, which comes once.
    pub(crate) fn again(&self) -> Option<Self> {
        Some(Self {
            target: self.target.clone(),
            method: self.method.clone(),
            headers: self.headers.clone(),
            credential: self.credential.clone(),
            body: self.body.again()?,
            place: self.place.clone(),
            translation: self.translation.clone(),
            dropped: self.dropped.clone(),
            ..*self
        })
    }
}

/// A provider's answer that has begun, and what is to be done with it.
pub(crate) struct Delivery {
    pub(crate) answer: Answer,
    pub(crate) simulated: bool,
    /// Set if client and provider speak different dialects.
    pub(crate) translation: Option<Context>,
    /// What the request's translation could not carry.
    pub(crate) dropped: Vec<String>,
    /// What a whole answer is put into.
    pub(crate) envelope: Option<Envelope>,
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

/// What a client is told that may open no socket; logged as a call is.
pub(crate) fn refused(
    worker: &Rc<Worker>,
    snapshot: &Arc<Snapshot>,
    head: &request::Parts,
    account: &str,
    gateway: &GatewaySettings,
    failure: &Failure,
) -> Response<Body> {
    let mut options = Options::read(&head.headers);
    let mut receipt = Receipt::open(&worker.shared, snapshot, head, account, gateway, &mut options);
    receipt.failed(failure);
    let mut response = reply::failure(failure);
    Marks::new(&receipt).put(response.headers_mut());
    response
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
    pub(crate) address: Address<'a>,
    pub(crate) options: Options,
    pub(crate) receipt: Receipt,
    /// Who calls, once that is known.
    pub(crate) caller: Option<Caller>,
    /// Provider and model a dynamic route came to.
    pub(crate) chosen: Option<(String, String)>,
    /// Rate elements of a dynamic route that the next call comes through.
    pub(crate) gates: Vec<Gate>,
    /// Which of them the last call did not come through.
    pub(crate) shut: Option<usize>,
}

impl<'a> Exchange<'a> {
    pub(crate) fn account(&self) -> &'a str {
        self.address.account
    }

    /// The way of every call: admit, plan, look into the cache, send.
    async fn run(
        &mut self,
        wanted: Wanted<'_>,
        mut head: request::Parts,
        body: Sent,
    ) -> Result<Delivery, Failure> {
        check_head(&head, self.snapshot.limits.header_bytes)?;
        let (query, query_key) = split_query(head.uri.query());
        let token = query_key.token.filter(|_| matches!(wanted, Wanted::Path));
        let caller = admit(self.snapshot, &self.gateway, &mut head.headers, token, now_ms())?;
        self.admitted(&caller);
        match wanted {
            Wanted::Path => {
                let Address { provider, rest, .. } = self.address;
                let (query, key_in_query) = (query.as_deref(), query_key.own);
                let request::Parts { method, headers, .. } = head;
                let by_path = ByPath { provider, rest, query, key_in_query, method, headers };
                let mut call = self.planning().call_by_path(&caller, by_path)?;
                call.body = self.read_body(&call.headers, body).await?;
                cache::answer(self, &caller, call).await
            }
            Wanted::Model(Asks::RunPreview) => {
                let body = self.read_json(body).await?;
                Box::pin(self.run_preview(&caller, &head.headers, &body)).await
            }
            Wanted::Model(asks) => {
                let mut body = self.read_json(body).await?;
                if let Asks::Run(model) = asks {
                    let (model, input) = run::unwrapped(&body, model)?;
                    body = run::request(&input, &model)?;
                }
                let client = &head.headers;
                let asked = Asked { client, body: &body, asks, has_successor: false, in_steps: false };
                self.by_model(&caller, &asked).await
            }
            Wanted::Steps => {
                let body = self.read_json(body).await?;
                // On the heap, as every exchange would have to hold room for it.
                Box::pin(self.universal(&caller, &head.headers, body)).await
            }
        }
    }

    /// What stands between a call and its answer.
    pub(crate) async fn send(&mut self, mut call: Call<'a>) -> Result<Delivery, Failure> {
        self.limit(&mut call).await?;
        self.persist(call).await
    }

    /// For deciding what is called; the receipt learns what there is to know of it.
    pub(crate) fn planning(&mut self) -> Planning<'_, 'a> {
        Planning {
            snapshot: self.snapshot,
            account: self.address.account,
            gateway: &self.gateway,
            options: &self.options,
            id: self.receipt.id(),
            notes: &mut self.receipt,
        }
    }
}

impl Exchange<'_> {
    fn admitted(&mut self, caller: &Caller) {
        self.caller = Some(caller.clone());
        self.receipt.called_by(caller);
        let known = self.snapshot.gateways.contains_key(&self.gateway.id);
        if !known && caller.may_use_keys() {
            self.worker.shared.tell(Event::DefaultGatewayUsed { account: self.address.account.to_owned() });
        }
    }

    /// JSON is read whole, so that it can be signed, sent again and looked into; anything else is passed on as it
    /// comes. Whether it is well-formed is the provider's to judge.
    async fn read_body(&mut self, headers: &HeaderMap, body: Sent) -> Result<Outgoing, Failure> {
        let body = match body {
            Sent::Arriving(body) => body,
            whole @ Sent::Whole(_) => return self.read_json(whole).await.map(Outgoing::Whole),
        };
        if body.is_end_stream() {
            return Ok(Outgoing::Whole(Bytes::new()));
        }
        if !is_json(headers) {
            return self.upload(body, self.snapshot.limits.upload_bytes);
        }
        self.read_json(Sent::Arriving(body)).await.map(Outgoing::Whole)
    }

    async fn read_json(&mut self, body: Sent) -> Result<Bytes, Failure> {
        let bytes = collect_json(body, &self.snapshot.limits).await?;
        self.receipt.request_body(&bytes);
        Ok(bytes)
    }

    fn upload(&mut self, body: ClientBody, limit: u64) -> Result<Outgoing, Failure> {
        if body.size_hint().lower() > limit {
            return Err(too_large("uploadBytes", limit));
        }
        let tee = self.receipt.request_tee(limit);
        Ok(Outgoing::Streamed(Box::new(Upload::new(body, tee))))
    }
}

pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
