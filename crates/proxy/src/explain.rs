//! What would be done with a request, and why: decided by the code that serves requests. Nothing is sent, counted or
//! logged, and no secret is in what is said.
//!
//! * `explain/call`: what is said of one call
//! * `explain/step`: what is said of a step of a universal request

mod call;
mod step;

use bytes::Bytes;
use genesis_wire::peek::peek;
use http::{Request, request};
use serde::Serialize;
use uuid::Uuid;

use self::call::Seen;
pub use self::call::{Attempts, ExplainedCache, ExplainedCall, ExplainedCost, ExplainedCredential};
pub use self::step::ExplainedStep;

use crate::admit::{Caller, judge, presented};
use crate::exchange::{Aim, ByPath, Wanted, now_ms};
use crate::failure::Failure;
use crate::inbound::{check_head, is_json, split_query, too_large};
use crate::limit::{Gate, Refused};
use crate::options::Options;
use crate::plan::{self, malformed};
use crate::planning::Planning;
use crate::resolve::{Asks, Surface, addressed};
use crate::retry::Wish;
use crate::route::{self, Reached};
use crate::run;
use crate::snapshot::{Snapshot, Token};
use crate::unified::{Asked, named_model};
use crate::upstream::Outgoing;

/// What would be done with a request.
#[derive(Debug, Default, Serialize)]
pub struct Explanation {
    /// `provider path`, `unified API`, `universal endpoint`, `models`, `resumed stream`, `beside the data plane` or `none`.
    pub surface: &'static str,
    pub account: Option<String>,
    pub gateway: Option<String>,
    /// Whether the gateway asks for a token; `None` if there is no such gateway.
    pub authentication: Option<bool>,
    /// The token that came along, if it is one of ours.
    pub token: Option<ExplainedToken>,
    /// Whether stored keys may be attached to what this caller sends.
    pub may_use_keys: bool,
    /// The way through a dynamic route: its elements with the outputs taken, as if every model failed.
    pub route: Option<Vec<String>>,
    /// What would be called; of a route every model it may come to, in order.
    pub calls: Vec<ExplainedCall>,
    /// Of a universal request instead: what would be done with each step, in order.
    pub steps: Vec<ExplainedStep>,
    /// Why nothing would be called.
    pub refusal: Option<Refusal>,
}

impl Explanation {
    /// Whether a provider would be called.
    pub fn calls_somebody(&self) -> bool {
        let calls = self.calls.iter().any(|call| call.refusal.is_none());
        self.refusal.is_none() && (calls || self.steps.iter().any(ExplainedStep::calls_somebody))
    }
}

/// A gateway token without its text.
#[derive(Debug, Serialize)]
pub struct ExplainedToken {
    pub id: String,
    pub run: bool,
    pub read: bool,
    pub edit: bool,
    /// Empty: all gateways.
    pub gateways: Vec<String>,
    pub expires_at_ms: Option<i64>,
}

/// What the caller would be told.
#[derive(Debug, Serialize)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// As in `docs/errors.md`.
    pub code: u16,
    pub message: String,
    /// What to do next.
    pub description: String,
}

/// Who is taken to send a request.
#[derive(Clone, Copy, Debug)]
pub enum Sender<'a> {
    /// Whoever its headers say.
    Itself,
    /// The owner of the gateway token with this id, for a request whose token was masked; empty: nobody we know.
    Token(&'a str),
}

/// Says what the gateway would do with `request`, whose URI may be a whole URL.
pub fn explain(snapshot: &Snapshot, request: Request<Bytes>, sender: Sender<'_>) -> Explanation {
    let (head, body) = request.into_parts();
    let surface = name(addressed(snapshot, &head.uri, &head.headers));
    let mut told = Explanation { surface, ..Explanation::default() };
    if let Err(failure) = told.follow(snapshot, head, &body, sender) {
        told.refusal = Some(Refusal::from(&failure));
    }
    told
}

fn name(surface: Surface<'_>) -> &'static str {
    match surface {
        Surface::Provider { .. } => "provider path",
        Surface::Unified { .. } => "unified API",
        Surface::Universal { .. } => "universal endpoint",
        Surface::Models { .. } => "models",
        Surface::Resume(_) => "resumed stream",
        Surface::Aside => "beside the data plane",
        Surface::Unknown => "none",
    }
}

impl Explanation {
    /// The way of a request as `exchange` has it, up to where something would be sent.
    fn follow(
        &mut self,
        snapshot: &Snapshot,
        mut head: request::Parts,
        body: &Bytes,
        sender: Sender<'_>,
    ) -> Result<(), Failure> {
        let uri = head.uri.clone();
        let surface = addressed(snapshot, &uri, &head.headers);
        let Some(aim) = Aim::of(surface, &head.method, &head.headers) else {
            return Err(no_call(surface));
        };
        (self.account, self.gateway) = (Some(aim.account.to_owned()), Some(aim.gateway.to_string()));
        let gateway = plan::gateway(snapshot, aim.account, &aim.gateway)?;
        self.authentication = Some(gateway.authentication);
        check_head(&head, snapshot.limits.header_bytes)?;
        let (query, query_key) = split_query(uri.query());
        let token = query_key.token.filter(|_| matches!(aim.wanted, Wanted::Path));
        let now = now_ms();
        let shown = presented(&mut head.headers, token);
        let owner = match sender {
            Sender::Itself => shown.as_deref().and_then(|text| snapshot.token(text, now)),
            Sender::Token(id) => snapshot.token_of(id, now),
        };
        self.token = owner.map(ExplainedToken::from);
        let named = match sender {
            Sender::Itself => shown.is_some(),
            Sender::Token(id) => !id.is_empty(),
        };
        let options = Options::read(&head.headers);
        let caller = judge(snapshot, gateway, &head.headers, owner, named)?;
        self.may_use_keys = caller.may_use_keys();
        if !matches!(aim.wanted, Wanted::Path) || is_json(&head.headers) {
            check_body(body, snapshot.limits.body_bytes)?;
        }
        let account = aim.account;
        let mut situation = Situation { snapshot, account, gateway, options, caller: &caller };
        match aim.wanted {
            Wanted::Path => {
                let request::Parts { method, headers, .. } = head;
                let (provider, rest, query) = (aim.provider, &*aim.rest, query.as_deref());
                let key_in_query = query_key.own;
                let by_path = ByPath { provider, rest, query, key_in_query, method, headers };
                let call = situation.by_path(by_path, body, false).map_err(|refused| refused.failure)?;
                self.calls.push(call);
                Ok(())
            }
            Wanted::Model(asks) => {
                let (client, body) = match asks {
                    Asks::Run(model) => {
                        let (model, input) = run::unwrapped(body, model)?;
                        (head.headers, run::request(&input, &model)?)
                    }
                    Asks::RunPreview => {
                        let request = run::Preview::read(body)?.request(snapshot)?;
                        (run::without_keys(&head.headers), request)
                    }
                    _ => (head.headers, body.clone()),
                };
                let (client, body) = (&client, &body);
                let asked = Asked { client, body, asks, has_successor: false, in_steps: false };
                let Way { route, calls, refused } = situation.way(&asked)?;
                (self.route, self.calls) = (route, calls);
                refused.map_or(Ok(()), Err)
            }
            Wanted::Steps => {
                self.steps = situation.steps(&head.headers, body)?;
                Ok(())
            }
        }
    }
}

/// For whom calls are planned.
struct Situation<'s> {
    snapshot: &'s Snapshot,
    account: &'s str,
    gateway: &'s genesis_config::GatewaySettings,
    options: Options,
    caller: &'s Caller,
}

/// What a request that names its model comes to.
struct Way {
    /// Through a dynamic route.
    route: Option<Vec<String>>,
    calls: Vec<ExplainedCall>,
    refused: Option<Failure>,
}

impl<'s> Situation<'s> {
    fn planning<'x>(&'x self, notes: &'x mut Seen) -> Planning<'x, 's> {
        Planning {
            snapshot: self.snapshot,
            account: self.account,
            gateway: self.gateway,
            options: &self.options,
            id: Uuid::nil(),
            notes,
        }
    }

    fn way(&mut self, asked: &Asked<'_>) -> Result<Way, Failure> {
        let peeked =
            peek(asked.body).map_err(|error| malformed(format!("the body is not a JSON object: {error}")))?;
        let (slug, model) = named_model(self.snapshot, &peeked)?;
        if slug != "dynamic" {
            let call = self.by_model(asked, &peeked, (&slug, &model), &[]);
            let calls = vec![call.map_err(|refused| refused.failure)?];
            return Ok(Way { route: None, calls, refused: None });
        }
        let Self { snapshot, account, gateway, .. } = *self;
        let metadata = self.options.metadata.clone();
        let own: Wish = self.options.retry;
        let inputs = (&asked.body[..], asked.client, &metadata);
        let mut calls = Vec::new();
        let way = route::way(snapshot, (account, &gateway.id), &model, inputs, |reached| {
            let Reached { provider, model, wish, has_successor, gates } = reached;
            self.options.retry = wish.or(own);
            let asked = Asked { has_successor: asked.has_successor || has_successor, ..*asked };
            calls.push(self.by_model(&asked, &peeked, (provider, model), gates)?);
            Ok(())
        });
        self.options.retry = own;
        let way = way?;
        Ok(Way { route: Some(way.trail), calls, refused: way.refused })
    }

    fn by_path(
        &self,
        by_path: ByPath<'_>,
        body: &Bytes,
        has_successor: bool,
    ) -> Result<ExplainedCall, Refused> {
        // What is not JSON is passed on while it arrives.
        let streamed = !body.is_empty() && !is_json(&by_path.headers);
        let mut seen = Seen::of(streamed);
        let planned = self.planning(&mut seen).call_by_path(self.caller, by_path);
        let planned = planned.map(|mut call| {
            call.body = Outgoing::Whole(body.clone());
            call.policy.has_successor = has_successor;
            call
        });
        self.explained(seen, planned, None, &[])
    }

    /// Refused if one of the gates would not let the call through.
    fn by_model(
        &self,
        asked: &Asked<'_>,
        peeked: &genesis_wire::peek::Peek<'_>,
        (slug, model): (&str, &str),
        gates: &[Gate],
    ) -> Result<ExplainedCall, Refused> {
        let mut seen = Seen::default();
        let planned = self.planning(&mut seen).call_of_model(self.caller, asked, peeked, slug, model);
        let planned = planned.map(|mut call| {
            call.policy.has_successor = asked.has_successor;
            call
        });
        let dialect = match asked.asks {
            Asks::Answer(dialect) => Some(dialect),
            _ => None,
        };
        self.explained(seen, planned, dialect, gates)
    }
}

fn check_body(body: &Bytes, limit: u64) -> Result<(), Failure> {
    if body.len() as u64 > limit { Err(too_large("bodyBytes", limit)) } else { Ok(()) }
}

fn no_call(surface: Surface<'_>) -> Failure {
    let why = match surface {
        Surface::Models { .. } => "it lists models; no provider is called",
        Surface::Resume(_) => "it gives a stream again that was paid for already; no provider is called",
        Surface::Aside => "the management API, health or the dashboard answers it; no provider is called",
        Surface::Unified { .. } | Surface::Universal { .. } => "this path takes POST only",
        _ => "nothing is served under this path; calls go to /v1/{account}/{gateway}/{provider}/…",
    };
    malformed(why)
}

impl From<&Token> for ExplainedToken {
    fn from(token: &Token) -> Self {
        Self {
            id: token.id.clone(),
            run: token.run,
            read: token.read,
            edit: token.edit,
            gateways: token.gateways.clone(),
            expires_at_ms: token.expires_at_ms,
        }
    }
}

impl From<&Failure> for Refusal {
    fn from(failure: &Failure) -> Self {
        Self {
            status: failure.status.as_u16(),
            code: failure.code as u16,
            message: failure.message.to_string(),
            description: failure.description.clone(),
        }
    }
}
