//! Dynamic routes: `dynamic/<name>` walks a graph and tries the models it comes to.
//!
//! * this file: the models are called; what one of them fails at, the next may do
//! * `route/walk`: from node to node; pure

mod walk;

use std::sync::Arc;

use genesis_config::Route;
use genesis_config::route::{ModelChoice, ModelNode, NodeKind};
use genesis_wire::peek::Peek;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use self::walk::{Inputs, Stop, Walk};

use crate::admit::Caller;
use crate::cache;
use crate::exchange::{Delivery, Exchange};
use crate::failure::{Code, Failure};
use crate::limit::{By, Gate, Refused};
use crate::plan::malformed;
use crate::retry::Wish;
use crate::snapshot::Snapshot;
use crate::unified::Asked;

/// A route and whose it is.
#[derive(Clone, Debug)]
pub struct GatewayRoute {
    /// `None`: any account's.
    pub account: Option<String>,
    /// `None`: every gateway's.
    pub gateway: Option<String>,
    pub route: Arc<Route>,
}

impl Exchange<'_> {
    /// Walks a route until one of its models answers. What comes back otherwise is the failure of the last one tried.
    pub(crate) async fn route(
        &mut self,
        caller: &Caller,
        asked: &Asked<'_>,
        peeked: &Peek<'_>,
        name: &str,
    ) -> Result<Delivery, Failure> {
        let snapshot = self.snapshot;
        let route = snapshot.route(self.account(), &self.gateway.id, name);
        let route = Arc::clone(route.ok_or_else(|| unknown_route(&self.gateway.id, name))?);
        let metadata = self.receipt.metadata().clone();
        let inputs = Inputs::new(asked.body, asked.client, &metadata);
        let mut walk = Walk::new(&route);
        let mut failed: Option<Result<Delivery, Failure>> = None;
        // What a caller is told whom a rate element did not let through, if there is nowhere else to go.
        let mut shut: Option<Result<Delivery, Failure>> = None;
        while let Stop::Model(node) = walk.next(&inputs, &mut || fastrand::u32(0..10_000)) {
            if let Some(failed) = failed.take() {
                self.discard(failed.map(|delivery| delivery.answer)).await;
            }
            if walk.models() > 1 || shut.is_some() {
                self.receipt.model_begins(asked.body.clone(), !asked.in_steps && shut.is_none());
            }
            shut = None;
            let (provider, model) = chosen(node, &inputs)?;
            let way_out = node.fallback.is_some();
            if self.next_is_well(&route, node) && self.is_down(&provider) {
                self.receipt.attempt_skipped(&provider);
                walk.failed(node);
                continue;
            }
            self.chosen = Some((provider.clone(), model.clone()));
            std::mem::swap(&mut self.gates, &mut walk.gates);
            let outcome = self.call_of_node(caller, asked, peeked, node, (&provider, &model)).await;
            std::mem::swap(&mut self.gates, &mut walk.gates);
            match outcome {
                Ok(delivery) if delivery.answer.status.as_u16() < 400 => {
                    tracing::debug!(route = name, trail = ?walk.trail(), "a route was walked");
                    return Ok(delivery);
                }
                outcome => match self.shut.take() {
                    Some(gate) if walk.back(gate) => shut = Some(outcome),
                    None if way_out => {
                        failed = Some(outcome);
                        walk.failed(node);
                    }
                    _ => return outcome,
                },
            }
        }
        match failed.or(shut.filter(|_| walk.models() > 0)) {
            Some(outcome) => outcome,
            None => Err(ended(&walk)),
        }
    }

    async fn call_of_node(
        &mut self,
        caller: &Caller,
        asked: &Asked<'_>,
        peeked: &Peek<'_>,
        node: &ModelNode,
        (provider, model): (&str, &str),
    ) -> Result<Delivery, Failure> {
        self.shut = None;
        let own = self.options.retry;
        self.options.retry = wish(node).or(own);
        let call = self.planning().call_of_model(caller, asked, peeked, provider, model);
        self.options.retry = own;
        let mut call = call?;
        call.policy.has_successor = node.fallback.is_some() || asked.has_successor;
        cache::answer(self, caller, call).await
    }

    /// Whether a model that fails hands over to another whose provider is well.
    fn next_is_well(&self, route: &Route, node: &ModelNode) -> bool {
        let Some(next) = node.fallback.map(|next| &route.nodes[next].kind) else { return false };
        let NodeKind::Model(ModelNode { model: ModelChoice::Fixed { provider, .. }, .. }) = next else {
            return false;
        };
        self.snapshot.provider(provider).is_some_and(|(_, setup)| !setup.health.looks_down())
    }
}

/// A route's way as it is walked if every model it comes to fails, without a call and without a count.
pub(crate) struct Way {
    /// The elements passed, with the outputs taken.
    pub(crate) trail: Vec<String>,
    /// What comes of it where there is no model.
    pub(crate) refused: Option<Failure>,
}

/// A model that a way comes to.
pub(crate) struct Reached<'w> {
    pub(crate) provider: &'w str,
    pub(crate) model: &'w str,
    /// What its element says of retries.
    pub(crate) wish: Wish,
    /// Another is tried if it fails.
    pub(crate) has_successor: bool,
    pub(crate) gates: &'w [Gate],
}

/// Walks a route for a request. `reach` is shown the models in the order they would be tried, and refuses those that one
/// of the gates would not let through.
pub(crate) fn way(
    snapshot: &Snapshot,
    (account, gateway): (&str, &str),
    name: &str,
    (body, headers, metadata): (&[u8], &HeaderMap, &Map<String, Value>),
    mut reach: impl FnMut(Reached<'_>) -> Result<(), Refused>,
) -> Result<Way, Failure> {
    let route = snapshot.route(account, gateway, name).ok_or_else(|| unknown_route(gateway, name))?;
    let inputs = Inputs::new(body, headers, metadata);
    let mut walk = Walk::new(route);
    let mut reached = false;
    let refused = loop {
        let Stop::Model(node) = walk.next(&inputs, &mut || fastrand::u32(0..10_000)) else {
            break (!reached).then(|| ended(&walk));
        };
        let (provider, model) = &chosen(node, &inputs)?;
        let has_successor = node.fallback.is_some();
        match reach(Reached { provider, model, wish: wish(node), has_successor, gates: &walk.gates }) {
            Err(Refused { failure, by: By::Gate(gate) }) => {
                if !walk.back(gate) {
                    break (!reached).then_some(failure);
                }
            }
            _ => {
                reached = true;
                walk.failed(node);
                if node.fallback.is_none() {
                    break None;
                }
            }
        }
    };
    Ok(Way { trail: walk.trail().to_vec(), refused })
}

/// What an element says of how its model is called.
fn wish(node: &ModelNode) -> Wish {
    Wish { attempts: node.retries.map(|retries| retries + 1), timeout_ms: node.timeout_ms, ..Wish::default() }
}

fn unknown_route(gateway: &str, name: &str) -> Failure {
    let shown: String = name.chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
    let description = format!(
        "gateway `{gateway}` has no dynamic route `{shown}`; declare it under gateway.routes in genesis.json"
    );
    Failure::refused(StatusCode::BAD_REQUEST, Code::InvalidProvider, "Invalid provider", description)
}

/// Provider and model a node stands for.
fn chosen(node: &ModelNode, inputs: &Inputs<'_>) -> Result<(String, String), Failure> {
    let field = match &node.model {
        ModelChoice::Fixed { provider, model } => return Ok((provider.clone(), model.clone())),
        ModelChoice::Named(field) => field,
    };
    let named = inputs.value(field).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
    match named.split_once('/') {
        Some((provider, model)) if !provider.is_empty() && !model.is_empty() && provider != "dynamic" => {
            Ok((provider.to_lowercase(), model.to_owned()))
        }
        _ => Err(malformed(format!("this route takes its model from {field}, as `provider/model`"))),
    }
}

fn ended(walk: &Walk<'_>) -> Failure {
    Failure::refused(
        StatusCode::BAD_REQUEST,
        Code::ProviderFailed,
        "Failed to get response from provider",
        format!("the route ended before it came to a model; its way was {}", walk.trail().join(" > ")),
    )
}
