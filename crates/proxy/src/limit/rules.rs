//! A gateway's limits as compiled from its settings: which of them a call falls under, and which counter it uses.

use std::borrow::Cow;
use std::fmt::Write;

use genesis_config::GatewaySettings;
use genesis_config::gateway::{Dimension, RateLimit, RateType, SpendRule, Technique, UnknownPrice};
use genesis_config::money::Usd;
use genesis_config::route::{RateLimit as NodeLimit, RateNode};
use genesis_store::Identity;
use serde_json::{Map, Value};

use super::window::Window;
use crate::snapshot::KeyRate;

/// What is known of a call when its limits are looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) gateway: &'a str,
    /// Empty if the caller presented none.
    pub(crate) token: &'a str,
    /// Whom the token was given to.
    pub(crate) identity: Option<&'a Identity>,
    pub(crate) metadata: &'a Map<String, Value>,
    pub(crate) provider: &'a str,
    /// As the provider is to be asked for it; empty if unknown.
    pub(crate) model: &'a str,
    /// The model is unknown and the request has content that could not be looked into: it may be any.
    pub(crate) opaque: bool,
}

/// One limit.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    kind: Kind,
    /// As its author named it; empty for the limit of the whole gateway.
    pub(crate) id: String,
    /// The counter's name, without partition. It changes with what is counted and over which window, so that a counter
    /// is never read as something else; it does not change with the limit.
    pub(crate) key: String,
    pub(crate) measure: Measure,
    pub(crate) window: Window,
    /// Requests, tokens, calls or nano-USD.
    pub(crate) limit: u64,
    pub(crate) unknown_price: UnknownPrice,
    filters: Vec<(Property, Vec<String>)>,
    partitions: Vec<Property>,
    /// For messages: `fixed` or `sliding`, and the window as its author wrote it.
    technique: &'static str,
    seconds: u64,
}

/// Where a limit is written.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Kind {
    Gateway,
    Rate,
    Spend,
    /// An element of a dynamic route.
    Element {
        route: String,
    },
    /// A stored key of a provider; the rule's `id` is its alias.
    Key {
        provider: String,
    },
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Measure {
    Requests,
    Concurrent,
    InputTokens,
    OutputTokens,
    TotalTokens,
    Cost,
}

#[derive(Clone, Debug)]
enum Property {
    Token,
    Model,
    Provider,
    Metadata(String),
}

/// Every limit of a gateway, the cheapest to look at first.
pub(crate) fn compile(settings: &GatewaySettings) -> Vec<Rule> {
    let mut rules = Vec::new();
    if settings.rate_limiting_limit > 0 && settings.rate_limiting_interval > 0 {
        rules.push(Rule::of_gateway(settings));
    }
    rules.extend(settings.rate_limits.iter().filter(|limit| limit.enabled).map(Rule::of_rate));
    let spend = settings.spend_limits.iter().filter(|limits| limits.enabled);
    rules.extend(spend.flat_map(|limits| &limits.rules).filter(|rule| rule.enabled).map(Rule::of_spend));
    rules
}

impl Rule {
    fn of_gateway(settings: &GatewaySettings) -> Self {
        let (seconds, technique) = (settings.rate_limiting_interval, settings.rate_limiting_technique);
        let limit = settings.rate_limiting_limit;
        Self::new(Kind::Gateway, "", Measure::Requests, limit, seconds, technique)
    }

    fn of_rate(rate: &RateLimit) -> Self {
        let measure = match rate.limit_type {
            RateType::Requests => Measure::Requests,
            RateType::InputTokens => Measure::InputTokens,
            RateType::OutputTokens => Measure::OutputTokens,
            RateType::TotalTokens => Measure::TotalTokens,
            RateType::Concurrent => Measure::Concurrent,
        };
        let mut rule = Self::new(Kind::Rate, &rate.id, measure, rate.limit, rate.window, rate.technique);
        rule.applies_to(rate.token.as_ref(), rate.model.as_ref(), rate.provider.as_ref(), &rate.metadata);
        rule
    }

    fn of_spend(spend: &SpendRule) -> Self {
        let limit = spend.limit.0.max(0).unsigned_abs();
        let mut rule = Self::new(Kind::Spend, &spend.id, Measure::Cost, limit, spend.window, spend.technique);
        rule.unknown_price = spend.unknown_price;
        rule.applies_to(spend.token.as_ref(), spend.model.as_ref(), spend.provider.as_ref(), &spend.metadata);
        rule
    }

    /// What a rate element of a route allows each value of its key.
    pub(crate) fn of_element(route: &str, id: &str, rate: &RateNode) -> Self {
        let (measure, limit) = match rate.limit {
            NodeLimit::Count(calls) => (Measure::Requests, calls),
            NodeLimit::Cost(usd) => (Measure::Cost, usd.0.max(0).unsigned_abs()),
        };
        Self::new(Kind::Element { route: route.to_owned() }, id, measure, limit, rate.window, rate.technique)
    }

    /// How often a stored key may be used.
    pub(crate) fn of_key(provider: &str, rate: &KeyRate) -> Self {
        let kind = Kind::Key { provider: provider.to_owned() };
        let (limit, seconds) = (rate.limit.get().into(), rate.seconds.get().into());
        Self::new(kind, &rate.alias, Measure::Requests, limit, seconds, Technique::Sliding)
    }

    fn new(kind: Kind, id: &str, measure: Measure, limit: u64, seconds: u64, technique: Technique) -> Self {
        let window = match measure {
            Measure::Concurrent => Window::Now,
            _ => Window::new(technique, seconds),
        };
        let technique = match technique {
            Technique::Fixed => "fixed",
            Technique::Sliding => "sliding",
        };
        let list = match &kind {
            Kind::Gateway => Cow::Borrowed("gateway"),
            Kind::Rate => Cow::Borrowed("rate"),
            Kind::Spend => Cow::Borrowed("spend"),
            Kind::Element { route } => Cow::Owned(format!("route\n{route}")),
            Kind::Key { provider } => Cow::Owned(format!("key\n{provider}")),
        };
        Self {
            kind,
            id: id.to_owned(),
            key: format!("{list}\n{id}\n{measure:?}\n{seconds} {technique}"),
            measure,
            window,
            limit,
            unknown_price: UnknownPrice::default(),
            filters: Vec::new(),
            partitions: Vec::new(),
            technique,
            seconds,
        }
    }

    fn applies_to<'a>(
        &mut self,
        token: Option<&Dimension>,
        model: Option<&Dimension>,
        provider: Option<&Dimension>,
        metadata: impl IntoIterator<Item = (&'a String, &'a Dimension)>,
    ) {
        let plain = [(Property::Token, token), (Property::Model, model), (Property::Provider, provider)];
        let plain = plain.into_iter().filter_map(|(property, dimension)| Some((property, dimension?)));
        let metadata =
            metadata.into_iter().map(|(key, dimension)| (Property::Metadata(key.clone()), dimension));
        for (property, dimension) in plain.chain(metadata) {
            match dimension {
                Dimension::Filter { values } => self.filters.push((property, values.clone())),
                Dimension::Partition {} => self.partitions.push(property),
            }
        }
    }

    /// Whether a call can fall under it, or cost, otherwise according to its model.
    pub(crate) fn asks_for_model(&self) -> bool {
        let filters = self.filters.iter().map(|(property, _)| property);
        let mut properties = filters.chain(&self.partitions);
        self.measure == Measure::Cost || properties.any(|property| matches!(property, Property::Model))
    }

    /// Writes the name of the counter that `subject` uses to the end of `keys`. False if the rule does not apply: a filter
    /// does not match, or what it is partitioned by is missing.
    pub(crate) fn write_key(&self, subject: &Subject<'_>, keys: &mut String) -> bool {
        if !self.filters.iter().all(|(property, values)| property.is_among(values, subject)) {
            return false;
        }
        keys.push_str(&self.key);
        for property in &self.partitions {
            let Some(value) = property.of(subject) else { return false };
            // The length keeps `a` and `b` apart from `ab` and nothing.
            let _ = write!(keys, "\n{}:{value}", value.len());
        }
        true
    }

    /// Cloudflare's words for an exceeded spend limit.
    pub(crate) fn spend_exceeded(&self, subject: &Subject<'_>) -> String {
        format!(
            "Spend limit exceeded: rule '{}' (cost limit {} per {}s, {}) for {} {}",
            self.id,
            Usd(i64::try_from(self.limit).unwrap_or(i64::MAX)),
            self.seconds,
            self.technique,
            subject.provider,
            subject.model
        )
    }

    /// It is a spend limit in Cloudflare's sense.
    pub(crate) fn is_spend_rule(&self) -> bool {
        self.kind == Kind::Spend
    }

    /// What the limit is, for whoever ran into it.
    pub(crate) fn described(&self) -> String {
        let Self { id, limit, seconds, technique, .. } = self;
        let name = match &self.kind {
            Kind::Gateway => "the gateway".to_owned(),
            Kind::Rate => format!("rate limit `{id}`"),
            Kind::Spend => format!("spend rule `{id}`"),
            Kind::Element { route } => format!("element `{id}` of route `{route}`"),
            Kind::Key { provider } => format!("the rate of the stored key `{id}` for {provider}"),
        };
        let what = match self.measure {
            Measure::Requests => format!("{limit} requests"),
            Measure::Concurrent => return format!("{name} allows {limit} calls at one time"),
            Measure::InputTokens => format!("{limit} input tokens"),
            Measure::OutputTokens => format!("{limit} output tokens"),
            Measure::TotalTokens => format!("{limit} tokens"),
            Measure::Cost => format!("${}", Usd(i64::try_from(*limit).unwrap_or(i64::MAX))),
        };
        format!("{name} allows {what} per {seconds} s ({technique})")
    }
}

impl Property {
    fn of<'a>(&self, subject: &Subject<'a>) -> Option<Cow<'a, str>> {
        match self {
            Self::Token => Some(Cow::Borrowed(subject.token)),
            Self::Provider => Some(Cow::Borrowed(subject.provider)),
            Self::Model => (!subject.model.is_empty() || subject.opaque)
                .then(|| Cow::Owned(format!("{}/{}", subject.provider, subject.model))),
            Self::Metadata(key) => subject.metadata.get(key).map(as_text),
        }
    }

    fn is_among(&self, values: &[String], subject: &Subject<'_>) -> bool {
        match self {
            Self::Model if subject.opaque => true,
            Self::Model => values.iter().any(|value| is_model(value, subject.provider, subject.model)),
            _ => self.of(subject).is_some_and(|own| values.iter().any(|value| *value == own)),
        }
    }
}

/// Whether a model is meant by `name`, with its provider before it or without. Capitals make no difference to providers.
pub(super) fn is_model(name: &str, provider: &str, model: &str) -> bool {
    let with_provider = || {
        let (first, rest) = name.split_once('/')?;
        Some(first == provider && rest.eq_ignore_ascii_case(model))
    };
    name.eq_ignore_ascii_case(model) || with_provider() == Some(true)
}

/// A metadata value as it is compared.
pub(super) fn as_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn keys(rule: Value, metadata: Value, token: &str, model: &str) -> Option<String> {
        let body = json!({ "spend_limits": { "enabled": true, "rules": [rule] } });
        let settings =
            GatewaySettings::from_api(body.as_object().expect("an object").clone()).expect("settings");
        let metadata = metadata.as_object().expect("an object").clone();
        let subject = Subject {
            gateway: "g",
            token,
            identity: None,
            metadata: &metadata,
            provider: "openai",
            model,
            opaque: false,
        };
        let mut keys = String::new();
        compile(&settings)[0].write_key(&subject, &mut keys).then_some(keys)
    }

    #[test]
    fn filters_choose_calls_and_partitions_choose_counters() {
        let rule = json!({ "id": "r", "limit": 5, "window": 60, "technique": "fixed",
            "metadata": { "user": { "mode": "partition" }, "env": { "mode": "filter", "values": ["prod", "7"] } },
            "model": { "mode": "filter", "values": ["openai/gpt-5.5", "GPT-6"] }, "token": { "mode": "partition" } });
        let key = |metadata, model| keys(rule.clone(), metadata, "t1", model);
        let expected = Some("spend\nr\nCost\n60 fixed\n2:t1\n3:ann".to_owned());
        assert_eq!(key(json!({ "user": "ann", "env": "prod" }), "gpt-5.5"), expected);
        assert_eq!(
            key(json!({ "user": "ann", "env": 7 }), "gpt-6"),
            expected,
            "capitals and types do not matter"
        );
        assert_eq!(key(json!({ "user": "ann", "env": "test" }), "gpt-6"), None);
        assert_eq!(key(json!({ "user": "ann" }), "gpt-6"), None);
        assert_eq!(key(json!({ "env": "prod" }), "gpt-6"), None, "no user, no counter");
        assert_eq!(key(json!({ "user": "ann", "env": "prod" }), "gpt-5.6"), None);
    }

    #[test]
    fn values_cannot_be_made_to_share_a_counter() {
        let rule = json!({ "id": "r", "limit": 5, "window": 60,
            "metadata": { "a": { "mode": "partition" }, "b": { "mode": "partition" } } });
        let one = keys(rule.clone(), json!({ "a": "x", "b": "y\n1:z" }), "", "m");
        let other = keys(rule, json!({ "a": "x\n1:y", "b": "z" }), "", "m");
        assert_ne!(one, other);
    }
}
