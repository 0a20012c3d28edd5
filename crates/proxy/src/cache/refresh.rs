//! A new answer, fetched behind an old one that was given at once.

use std::rc::Rc;
use std::sync::Arc;

use super::fill::Filling;
use crate::exchange::{Address, Call, Exchange};
use crate::relay::Relay;
use crate::upstream::Outgoing;
use crate::upstream::broadcast::Lingering;

/// Makes the call once more, as an exchange of its own with a record of its own, while nobody waits.
pub(super) fn start(exchange: &Exchange<'_>, call: &Call<'_>, filling: Filling) {
    let (worker, snapshot) = (Rc::clone(exchange.worker), Arc::clone(exchange.snapshot));
    let gateway = Arc::clone(&exchange.gateway);
    let (options, gates) = (exchange.options.clone(), exchange.gates.clone());
    let Address { account, gateway: named, provider, rest, manner } = exchange.address;
    let [account, named, named_provider, rest] = [account, named, provider, rest].map(str::to_owned);
    let slug = call.setup.provider().slug.clone();
    let (target, headers) = (call.target.clone(), call.headers.clone());
    let (method, credential) = (call.method.clone(), call.credential.clone());
    let Outgoing::Whole(body) = &call.body else { return };
    let (body, policy) = (body.clone(), call.policy);
    let receipt = exchange.receipt.beside(exchange.receipt.path(), &body);
    tokio::task::spawn_local(async move {
        let Some((_, setup)) = snapshot.provider(&slug) else { return };
        let address =
            Address { account: &account, gateway: &named, provider: &named_provider, rest: &rest, manner };
        let mut exchange = Exchange {
            worker: &worker,
            snapshot: &snapshot,
            gateway,
            address,
            options,
            receipt,
            caller: None,
            chosen: None,
            gates,
            shut: None,
        };
        exchange.receipt.planned(&target, None, false);
        let call = Call {
            setup,
            target,
            method,
            headers,
            credential,
            body: Outgoing::Whole(body),
            place: None,
            policy,
            translation: None,
            dropped: Vec::new(),
            enveloped: false,
        };
        match exchange.send(call).await {
            Ok(delivery) => {
                let answer = filling.fill(delivery.answer);
                exchange.receipt.answered(answer.status, &answer.headers);
                let mut relay = Relay::new(answer.body, exchange.receipt, snapshot.patience.idle);
                std::future::poll_fn(|cx| relay.poll_on(cx)).await;
            }
            Err(failure) => exchange.receipt.failed(&failure),
        }
    });
}
