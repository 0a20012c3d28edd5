//! From node to node of a route's graph. Nothing is called here, and what is asked of a request is read when a node asks.

use std::cell::OnceCell;

use genesis_config::Route;
use genesis_config::route::{Field, ModelNode, NodeKind, RateLimit};
use http::HeaderMap;
use serde_json::{Map, Value};

use super::rate::{RateKey, Rates};

/// What conditions and keys can ask for.
pub(super) struct Inputs<'a> {
    body: &'a [u8],
    headers: &'a HeaderMap,
    metadata: &'a Map<String, Value>,
    /// Read when the first condition asks for it.
    parsed: OnceCell<Value>,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(body: &'a [u8], headers: &'a HeaderMap, metadata: &'a Map<String, Value>) -> Self {
        Self { body, headers, metadata, parsed: OnceCell::new() }
    }

    pub(super) fn value(&self, field: &Field) -> Option<Value> {
        match field {
            Field::Metadata(name) => self.metadata.get(name).cloned(),
            Field::Header(name) => Some(self.headers.get(name)?.to_str().ok()?.into()),
            Field::Body(path) => {
                let parse = || serde_json::from_slice(self.body).unwrap_or_default();
                Field::in_body(path, self.parsed.get_or_init(parse)).cloned()
            }
        }
    }
}

/// Where a walk needs somebody else.
pub(super) enum Stop<'r> {
    /// This model is to be called. If it fails, [`Walk::failed`] goes on.
    Model(&'r ModelNode),
    End,
    /// The limit of this element is reached, and it says nothing about where to go then.
    Limited(&'r str),
}

pub(super) struct Walk<'r> {
    route: &'r Route,
    rates: &'r Rates,
    /// Sets the counts of one gateway's route apart from all others.
    place: &'r str,
    at: usize,
    trail: Vec<String>,
    models: u32,
    charges: Vec<RateKey>,
}

impl<'r> Walk<'r> {
    pub(super) fn new(route: &'r Route, rates: &'r Rates, place: &'r str) -> Self {
        Self { route, rates, place, at: 0, trail: Vec::new(), models: 0, charges: Vec::new() }
    }

    /// Goes on to the next model, or to the end. `draw` gives a number below 10,000.
    pub(super) fn next(&mut self, inputs: &Inputs<'_>, draw: &mut impl FnMut() -> u32) -> Stop<'r> {
        loop {
            let node = &self.route.nodes[self.at];
            let (output, next) = match &node.kind {
                NodeKind::Start { next } => ("", *next),
                NodeKind::Conditional { condition, yes, no } => {
                    if condition.holds(&|field| inputs.value(field)) {
                        ("true", *yes)
                    } else {
                        ("false", *no)
                    }
                }
                NodeKind::Percentage { shares, otherwise } => {
                    ("", share(shares, *otherwise, draw()).unwrap_or(self.at))
                }
                NodeKind::Rate(rate) => {
                    let value = inputs.value(&rate.key).map(|value| value.to_string()).unwrap_or_default();
                    let key = RateKey::new(self.place, &node.id, &value, rate);
                    let within = match rate.limit {
                        RateLimit::Count(limit) => self.rates.take(&key, limit),
                        RateLimit::Cost(limit) => self.rates.spent(&key) < limit.0,
                    };
                    if within && matches!(rate.limit, RateLimit::Cost(_)) {
                        self.charges.push(key);
                    }
                    match (within, rate.fallback) {
                        (true, _) => ("success", rate.success),
                        (false, Some(fallback)) => ("fallback", fallback),
                        (false, None) => return Stop::Limited(&node.id),
                    }
                }
                NodeKind::Model(model) => {
                    self.trail.push(node.id.clone());
                    self.models += 1;
                    return Stop::Model(model);
                }
                NodeKind::End => return Stop::End,
            };
            self.trail.push(if output.is_empty() {
                node.id.clone()
            } else {
                format!("{}:{output}", node.id)
            });
            self.at = next;
        }
    }

    /// The model it stopped at failed.
    pub(super) fn failed(&mut self, node: &ModelNode) {
        self.at = node.fallback.unwrap_or(self.at);
    }

    /// How many it has come to.
    pub(super) fn models(&self) -> u32 {
        self.models
    }

    /// The elements passed, with the outputs taken.
    pub(super) fn trail(&self) -> &[String] {
        &self.trail
    }

    /// Counts that the cost of what is called next goes to.
    pub(super) fn charges(&self) -> &[RateKey] {
        &self.charges
    }
}

/// The node of the share that a number below 10,000 falls into.
fn share(shares: &[(u32, usize)], otherwise: Option<usize>, drawn: u32) -> Option<usize> {
    let mut left = drawn;
    for (share, to) in shares {
        match left.checked_sub(*share) {
            Some(rest) => left = rest,
            None => return Some(*to),
        }
    }
    otherwise.or_else(|| shares.last().map(|(_, to)| *to))
}

#[cfg(test)]
mod tests {
    use genesis_config::Providers;
    use serde_json::json;

    use super::*;

    /// The way of a request through a route, all models failing.
    fn way(elements: &Value, rates: &Rates, request: &Value, draws: &mut impl FnMut() -> u32) -> String {
        let route = Route::parse("r", elements, &Providers::builtin()).expect("a route");
        let headers = request["headers"].as_object().into_iter().flatten().map(|(name, value)| {
            let value = value.as_str().expect("text").parse().expect("a value");
            (http::HeaderName::try_from(name).expect("a name"), value)
        });
        let headers = HeaderMap::from_iter(headers);
        let body = request["body"].to_string();
        let metadata = request["metadata"].as_object().cloned().unwrap_or_default();
        let inputs = Inputs::new(body.as_bytes(), &headers, &metadata);
        let mut walk = Walk::new(&route, rates, "gw");
        loop {
            match walk.next(&inputs, draws) {
                Stop::Model(node) if node.fallback.is_some() => walk.failed(node),
                Stop::Model(_) | Stop::End => return walk.trail().join(" "),
                Stop::Limited(node) => return format!("{} limited at {node}", walk.trail().join(" ")),
            }
        }
    }

    fn model(id: &str, fallback: Option<&str>) -> Value {
        json!({"id": id, "type": "model", "properties": {"provider": "openai", "model": "m"},
            "outputs": {"success": "e", "fallback": fallback}})
    }

    fn start(next: &str) -> Value {
        json!({"id": "s", "type": "start", "outputs": {"next": next}})
    }

    fn end() -> Value {
        json!({"id": "e", "type": "end"})
    }

    #[test]
    fn conditions_choose_by_body_headers_and_metadata() {
        let elements = json!([
            start("c"),
            {"id":"c","type":"conditional","properties":{"conditions":{"$or":[
                {"body.max_tokens":{"$gt":1000}}, {"headers.x-tier":"gold"}, {"metadata.plan":"paid"}]}},
             "outputs":{"true":"big","false":"small"}},
            model("big", Some("small")), model("small", None), end(),
        ]);
        let mut never = || unreachable!("no share is drawn");
        let rates = Rates::default();
        for (request, expected) in [
            (json!({"body":{"max_tokens":2000}}), "s c:true big small"),
            (json!({"headers":{"x-tier":"gold"},"body":{}}), "s c:true big small"),
            (json!({"metadata":{"plan":"paid"},"body":{}}), "s c:true big small"),
            (json!({"metadata":{"plan":"free"},"body":{"max_tokens":10}}), "s c:false small"),
        ] {
            assert_eq!(way(&elements, &rates, &request, &mut never), expected, "{request}");
        }
    }

    #[test]
    fn shares_are_drawn_fairly() {
        let elements = json!([
            start("p"), {"id":"p","type":"percentage","outputs":{"10%":"a","25.5%":"b","else":"c"}},
            model("a", None), model("b", None), model("c", None), end(),
        ]);
        let (rates, request) = (Rates::default(), json!({"body":{}}));
        let mut seen = std::collections::BTreeMap::new();
        // Every number once: the shares come out exactly.
        for drawn in 0..10_000 {
            *seen.entry(way(&elements, &rates, &request, &mut || drawn)).or_insert(0) += 1;
        }
        let expected = [("s p a", 1_000), ("s p b", 2_550), ("s p c", 6_450)];
        assert_eq!(seen, expected.map(|(way, count)| (way.to_owned(), count)).into());
    }

    #[test]
    fn counts_are_kept_per_key_and_lead_to_the_fallback() {
        let elements = |fallback: Value| {
            json!([
                start("r"),
                {"id":"r","type":"rate","properties":{"limitType":"count","key":"metadata.user","limit":2,"window":3600,"technique":"sliding"},
                 "outputs":{"success":"a","fallback":fallback}},
                model("a", Some("b")), model("b", None), end(),
            ])
        };
        let rates = Rates::default();
        let mut never = || unreachable!("no share is drawn");
        let mut go = |elements: &Value, user: &str| {
            way(elements, &rates, &json!({"metadata":{"user":user},"body":{}}), &mut never)
        };
        let open = elements("b".into());
        assert_eq!(go(&open, "ann"), "s r:success a b");
        assert_eq!(go(&open, "ann"), "s r:success a b");
        assert_eq!(go(&open, "ann"), "s r:fallback b");
        assert_eq!(go(&open, "bob"), "s r:success a b");
        assert_eq!(go(&elements(Value::Null), "ann"), "s limited at r");
    }
}
