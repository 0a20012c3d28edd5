//! From node to node of a route's graph. Nothing is called here, and what is asked of a request is read when a node asks.

use std::cell::OnceCell;

use genesis_config::Route;
use genesis_config::route::{Field, ModelNode, NodeKind};
use http::HeaderMap;
use serde_json::{Map, Value};

use crate::limit::Gate;

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
    /// This model is to be called, if all [gates](Walk::gates) let the call through. If one does not, [`Walk::back`] goes
    /// on; if it fails, [`Walk::failed`].
    Model(&'r ModelNode),
    End,
}

pub(super) struct Walk<'r> {
    route: &'r Route,
    at: usize,
    trail: Vec<String>,
    /// How much of the trail stays, since a model was called there.
    kept: usize,
    models: u32,
    /// The rate elements on the way here, taken by `success`. What they allow is asked when a model is called: only then
    /// is it known what the call may cost.
    pub(super) gates: Vec<Gate>,
    /// Of each gate: its node, and the length of the trail before it.
    passed: Vec<(usize, usize)>,
}

impl<'r> Walk<'r> {
    pub(super) fn new(route: &'r Route) -> Self {
        Self { route, at: 0, trail: Vec::new(), kept: 0, models: 0, gates: Vec::new(), passed: Vec::new() }
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
                    let value = inputs.value(&rate.key);
                    self.gates.push(Gate::new(&self.route.name, &node.id, rate, value.as_ref()));
                    self.passed.push((self.at, self.trail.len()));
                    ("success", rate.success)
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

    /// The model it stopped at failed, or was left out.
    pub(super) fn failed(&mut self, node: &ModelNode) {
        self.at = node.fallback.unwrap_or(self.at);
        self.kept = self.trail.len();
    }

    /// The model it stopped at is not called: it would go over the limit of this gate. The way goes on from the gate's
    /// output `fallback`; false if it has none.
    pub(super) fn back(&mut self, gate: usize) -> bool {
        let (node, before) = self.passed[gate];
        self.passed.truncate(gate);
        self.gates.truncate(gate);
        self.trail.truncate(before.max(self.kept));
        self.models -= 1;
        let NodeKind::Rate(rate) = &self.route.nodes[node].kind else { return false };
        self.trail.push(format!("{}:fallback", self.route.nodes[node].id));
        self.at = rate.fallback.unwrap_or(node);
        rate.fallback.is_some()
    }

    /// How many it has come to.
    pub(super) fn models(&self) -> u32 {
        self.models
    }

    /// The elements passed, with the outputs taken.
    pub(super) fn trail(&self) -> &[String] {
        &self.trail
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
    use genesis_config::route::ModelChoice;
    use serde_json::json;

    use super::*;

    /// The way of a request through a route, all models failing; `shut` says which gate does not let a model through.
    fn way(
        elements: &Value,
        request: &Value,
        draws: &mut impl FnMut() -> u32,
        mut shut: impl FnMut(&ModelNode, &[Gate]) -> Option<usize>,
    ) -> String {
        let route = Route::parse("r", elements, &Providers::builtin()).expect("a route");
        let headers = request["headers"].as_object().into_iter().flatten().map(|(name, value)| {
            let value = value.as_str().expect("text").parse().expect("a value");
            (http::HeaderName::try_from(name).expect("a name"), value)
        });
        let headers = HeaderMap::from_iter(headers);
        let body = request["body"].to_string();
        let metadata = request["metadata"].as_object().cloned().unwrap_or_default();
        let inputs = Inputs::new(body.as_bytes(), &headers, &metadata);
        let mut walk = Walk::new(&route);
        while let Stop::Model(node) = walk.next(&inputs, draws) {
            let open = match shut(node, &walk.gates) {
                Some(gate) => walk.back(gate),
                None => {
                    walk.failed(node);
                    node.fallback.is_some()
                }
            };
            if !open {
                break;
            }
        }
        walk.trail().join(" ")
    }

    fn open(_: &ModelNode, _: &[Gate]) -> Option<usize> {
        None
    }

    fn never() -> u32 {
        unreachable!("no share is drawn")
    }

    fn model(id: &str, fallback: Option<&str>) -> Value {
        json!({"id": id, "type": "model", "properties": {"provider": "openai", "model": id},
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
        for (request, expected) in [
            (json!({"body":{"max_tokens":2000}}), "s c:true big small"),
            (json!({"headers":{"x-tier":"gold"},"body":{}}), "s c:true big small"),
            (json!({"metadata":{"plan":"paid"},"body":{}}), "s c:true big small"),
            (json!({"metadata":{"plan":"free"},"body":{"max_tokens":10}}), "s c:false small"),
        ] {
            assert_eq!(way(&elements, &request, &mut never, open), expected, "{request}");
        }
    }

    #[test]
    fn shares_are_drawn_fairly() {
        let elements = json!([
            start("p"), {"id":"p","type":"percentage","outputs":{"10%":"a","25.5%":"b","else":"c"}},
            model("a", None), model("b", None), model("c", None), end(),
        ]);
        let request = json!({"body":{}});
        let mut seen = std::collections::BTreeMap::new();
        // Every number once: the shares come out exactly.
        for drawn in 0..10_000 {
            *seen.entry(way(&elements, &request, &mut || drawn, open)).or_insert(0) += 1;
        }
        let expected = [("s p a", 1_000), ("s p b", 2_550), ("s p c", 6_450)];
        assert_eq!(seen, expected.map(|(way, count)| (way.to_owned(), count)).into());
    }

    fn rate(id: &str, success: &str, fallback: Option<&str>) -> Value {
        json!({"id":id,"type":"rate",
            "properties":{"limitType":"count","key":"metadata.user","limit":2,"window":3600},
            "outputs":{"success":success,"fallback":fallback}})
    }

    #[test]
    fn a_gate_that_is_shut_sends_the_way_back_to_its_fallback() {
        let elements = json!([
            start("r1"),
            rate("r1", "r2", Some("c")),
            rate("r2", "a", Some("b")),
            model("a", Some("b")),
            model("b", Some("c")),
            model("c", None),
            end(),
        ]);
        let request = json!({"metadata":{"user":"ann"},"body":{}});
        // Which models are not let through, and by which of the gates before them.
        for (not_through, expected) in [
            (&[][..], "s r1:success r2:success a b c"),
            (&[("a", 1)][..], "s r1:success r2:fallback b c"),
            (&[("a", 0)][..], "s r1:fallback c"),
            (&[("a", 1), ("b", 0)][..], "s r1:fallback c"),
            // What was called stays in the trail.
            (&[("b", 1)][..], "s r1:success r2:success a r2:fallback b c"),
            (&[("c", 0)][..], "s r1:success r2:success a b r1:fallback c"),
        ] {
            let mut left = not_through.to_vec();
            let mut came = Vec::new();
            let shut = |node: &ModelNode, gates: &[Gate]| {
                let ModelChoice::Fixed { model, .. } = &node.model else { unreachable!() };
                came.push((model.clone(), gates.len()));
                let found = left.iter().position(|(name, _)| name == model)?;
                Some(left.remove(found).1)
            };
            assert_eq!(way(&elements, &request, &mut never, shut), expected, "{not_through:?}");
            let last = came.last().expect("a model");
            let back_to = expected.split(' ').filter(|step| step.ends_with(":fallback")).count();
            assert!(last.1 + back_to <= 2, "a gate gone around is asked no more: {came:?}");
        }
        let closed = json!([start("r"), rate("r", "a", None), model("a", None), end()]);
        assert_eq!(way(&closed, &request, &mut never, |_, _| Some(0)), "s r:fallback");
    }
}
