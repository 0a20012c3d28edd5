//! The `cf-aig-*` response headers.

use genesis_config::money::Usd;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::exchange::Exchange;
use crate::receipt::Receipt;

/// The `cf-aig-*` response headers, on success and on error.
pub(crate) struct Marks {
    id: HeaderValue,
    event_id: HeaderValue,
    logged: bool,
    step: u32,
    /// What was tried, if there was more than one attempt.
    tried: Option<String>,
    /// Provider and model a dynamic route came to.
    chosen: Option<(String, String)>,
    /// Nano-USD, if there is a budget.
    budget_left: Option<u64>,
}

impl Marks {
    pub(crate) fn new(receipt: &Receipt) -> Self {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let id = receipt.id().as_hyphenated().encode_lower(&mut text);
        let id = HeaderValue::from_str(id).expect("hexadecimal digits and hyphens are a header value");
        let event_id = HeaderValue::from_str(receipt.event_id()).unwrap_or_else(|_| id.clone());
        Self {
            id,
            event_id,
            logged: receipt.is_collected(),
            step: 0,
            tried: None,
            chosen: None,
            budget_left: None,
        }
    }

    /// What came of the exchange, before its receipt goes on with the answer.
    pub(crate) fn note(&mut self, exchange: &Exchange<'_>) {
        self.logged = exchange.receipt.is_collected();
        self.step = exchange.receipt.step();
        self.tried = exchange.receipt.tried();
        self.chosen.clone_from(&exchange.chosen);
        self.budget_left = exchange.receipt.budget_left();
    }

    pub(crate) fn put(self, headers: &mut HeaderMap) {
        static LOG_ID: HeaderName = HeaderName::from_static("cf-aig-log-id");
        static REQUEST_ID: HeaderName = HeaderName::from_static("cf-aig-request-id");
        static EVENT_ID: HeaderName = HeaderName::from_static("cf-aig-event-id");
        static STEP: HeaderName = HeaderName::from_static("cf-aig-step");
        static PROVIDER: HeaderName = HeaderName::from_static("cf-aig-provider");
        static MODEL: HeaderName = HeaderName::from_static("cf-aig-model");
        static BUDGET_REMAINING: HeaderName = HeaderName::from_static("cf-aig-budget-remaining");
        static ATTEMPTS: HeaderName = HeaderName::from_static("cf-aig-attempts");
        if self.logged {
            headers.insert(&LOG_ID, self.id.clone());
        } else {
            headers.remove(&LOG_ID); // a gateway behind this one names its own log
        }
        headers.insert(&REQUEST_ID, self.id);
        headers.insert(&EVENT_ID, self.event_id);
        let step = if self.step == 0 { HeaderValue::from_static("0") } else { self.step.into() };
        headers.insert(&STEP, step);
        if let Some((provider, model)) = self.chosen {
            for (name, value) in [(&PROVIDER, provider), (&MODEL, model)] {
                headers.extend(HeaderValue::try_from(value).ok().map(|value| (name.clone(), value)));
            }
        }
        match self.tried.and_then(|tried| HeaderValue::try_from(tried).ok()) {
            Some(tried) => headers.insert(&ATTEMPTS, tried),
            None => headers.remove(&ATTEMPTS),
        };
        let left = self.budget_left.and_then(|nano| i64::try_from(nano).ok());
        match left.and_then(|nano| HeaderValue::try_from(Usd(nano).to_string()).ok()) {
            Some(left) => headers.insert(&BUDGET_REMAINING, left),
            None => headers.remove(&BUDGET_REMAINING),
        };
    }
}
