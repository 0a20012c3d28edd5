//! JSON → nodes. Cloudflare's two spellings are one here, and every mistake is told at its place.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::condition::{Condition, Field};
use super::{ModelChoice, ModelNode, Node, NodeKind, RateLimit, RateNode};
use crate::gateway::Technique;
use crate::money::Usd;
use crate::problem::{Problem, join, nearest};
use crate::providers::Providers;

/// More is no route a person could read.
const MOST_ELEMENTS: usize = 200;
const MOST_SHARES: usize = 5;
/// Attempts are bounded elsewhere too; here a typing mistake is found.
const MOST_RETRIES: u64 = 5;

/// Nodes, the start first, and where each stood in the JSON.
pub(super) struct Nodes(pub(super) Vec<Node>, pub(super) Vec<usize>);

pub(super) fn nodes(elements: &Value, providers: &Providers) -> Result<Nodes, Vec<Problem>> {
    let Some(elements) = elements.as_array() else {
        return Err(vec![Problem::at("elements", "expected a list of elements")]);
    };
    if elements.len() > MOST_ELEMENTS {
        let message = format!("a route has at most {MOST_ELEMENTS} elements");
        return Err(vec![Problem::at("elements", message)]);
    }
    let mut reader = Reader { providers, ids: HashMap::new(), problems: Vec::new() };
    let places = reader.places(elements);
    for (index, place) in places.iter().enumerate() {
        reader.ids.insert(id_of(&elements[*place]).unwrap_or_default().to_owned(), index);
    }
    let nodes: Vec<_> = places
        .iter()
        .filter_map(|place| {
            let id = id_of(&elements[*place])?.to_owned();
            let kind = reader.kind(&elements[*place], &format!("elements[{place}]"))?;
            Some(Node { id, kind })
        })
        .collect();
    if reader.problems.is_empty() { Ok(Nodes(nodes, places)) } else { Err(reader.problems) }
}

struct Reader<'a> {
    providers: &'a Providers,
    /// Index of the node with an id.
    ids: HashMap<String, usize>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    /// The elements in the order of nodes: the start first. Checks ids.
    fn places(&mut self, elements: &[Value]) -> Vec<usize> {
        let mut places: Vec<usize> = Vec::new();
        let mut starts = Vec::new();
        for (place, element) in elements.iter().enumerate() {
            let path = format!("elements[{place}]");
            match id_of(element) {
                None => self.wrong(path, "an element needs an `id`, as text"),
                Some(id) if places.iter().any(|other| id_of(&elements[*other]) == Some(id)) => {
                    self.wrong(format!("{path}.id"), "another element has this id");
                }
                Some(_) if element["type"] == "start" => {
                    starts.push(place);
                    places.insert(0, place);
                }
                Some(_) => places.push(place),
            }
        }
        match starts[..] {
            [] => self.wrong("elements", "a route begins with an element of type `start`"),
            [_] => {}
            [_, second, ..] => self.wrong(format!("elements[{second}]"), "a route has one `start`"),
        }
        places
    }

    fn kind(&mut self, element: &Value, path: &str) -> Option<NodeKind> {
        let empty = Map::new();
        let properties = match &element["properties"] {
            Value::Object(properties) => properties,
            Value::Null => &empty,
            _ => {
                self.wrong(format!("{path}.properties"), "expected an object");
                return None;
            }
        };
        let at = Element { element, properties, path };
        match element["type"].as_str().unwrap_or_default() {
            "start" => self.output(&at, "next").map(|next| NodeKind::Start { next }),
            "conditional" => self.conditional(&at),
            "percentage" => self.percentage(&at),
            "rate" | "rate_limit" => self.rate(&at),
            "model" => self.model(&at),
            "end" => Some(NodeKind::End),
            unknown => {
                let known = ["start", "conditional", "percentage", "rate", "rate_limit", "model", "end"];
                let hint = match nearest(unknown, known) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("known here: {}", known.join(", ")),
                };
                let problem = Problem::at(format!("{path}.type"), "no such type of element");
                self.problems.push(problem.with_hint(hint));
                None
            }
        }
    }

    fn conditional(&mut self, at: &Element<'_>) -> Option<NodeKind> {
        self.only(at, &["conditions", "condition"]);
        let (name, written) = at.either(&["conditions", "condition"]);
        let condition = match written {
            None => {
                self.wrong(
                    at.property("conditions"),
                    "says what is asked, such as {\"metadata.plan\": {\"$eq\": \"paid\"}}",
                );
                None
            }
            Some(written) => match Condition::parse(written) {
                Ok(condition) => Some(condition),
                Err(problem) => {
                    let path = at.property(name);
                    let below =
                        if problem.path.is_empty() { path } else { format!("{path}{}", problem.path) };
                    self.problems.push(Problem { path: below, ..problem });
                    None
                }
            },
        };
        let (yes, no) = (self.output(at, "true"), self.output(at, "false"));
        Some(NodeKind::Conditional { condition: condition?, yes: yes?, no: no? })
    }

    fn percentage(&mut self, at: &Element<'_>) -> Option<NodeKind> {
        let outputs = self.outputs(at)?;
        let mut shares = Vec::new();
        let mut otherwise = None;
        for name in outputs.keys() {
            if name == "else" {
                otherwise = self.output(at, name);
                continue;
            }
            let share = name.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
            match share.filter(|share| (0.0..=100.0).contains(share)) {
                // Hundredths of a percent: exact for what people write.
                Some(share) => {
                    shares.extend(self.output(at, name).map(|to| ((share * 100.0).round() as u32, to)))
                }
                None => self.wrong(at.output(name), "expected a share such as `10%`, or `else`"),
            }
        }
        let total: u32 = shares.iter().map(|(share, _)| share).sum();
        if shares.is_empty() || shares.len() > MOST_SHARES {
            self.wrong(at.path_of("outputs"), format!("expected 1 to {MOST_SHARES} shares such as `10%`"));
        } else if total > 10_000 {
            self.wrong(at.path_of("outputs"), "the shares are more than 100% together");
        } else if total < 10_000 && !outputs.contains_key("else") {
            let problem = Problem::at(at.path_of("outputs"), "the shares are less than 100% together");
            self.problems.push(problem.with_hint("add `else` for what is left"));
        }
        Some(NodeKind::Percentage { shares, otherwise })
    }

    fn rate(&mut self, at: &Element<'_>) -> Option<NodeKind> {
        self.only(at, &["limitType", "key", "limit", "window", "interval", "technique"]);
        let limit = match at.properties.get("limitType").map(|kind| kind.as_str().unwrap_or_default()) {
            None | Some("count") => self.whole(at, "limit", 1, u64::from(u32::MAX)).map(RateLimit::Count),
            Some("cost") => match at.properties.get("limit").map(|limit| Usd::parse(&limit.to_string())) {
                Some(Some(usd)) if usd.0 > 0 => Some(RateLimit::Cost(usd)),
                _ => {
                    self.wrong(at.property("limit"), "expected US dollars, more than 0");
                    None
                }
            },
            Some(_) => {
                self.wrong(at.property("limitType"), "expected one of count, cost");
                None
            }
        };
        let (name, _) = at.either(&["window", "interval"]);
        let window = self.whole(at, name, 1, u64::from(u32::MAX));
        let key = self.field(at, "key");
        let technique = match at.properties.get("technique").map(|name| name.as_str().unwrap_or_default()) {
            None | Some("fixed") => Some(Technique::Fixed),
            Some("sliding") => Some(Technique::Sliding),
            Some(_) => {
                self.wrong(at.property("technique"), "expected one of fixed, sliding");
                None
            }
        };
        let (success, fallback) = (self.output(at, "success"), self.optional(at, "fallback"));
        Some(NodeKind::Rate(RateNode {
            key: key?,
            limit: limit?,
            window: window?,
            technique: technique?,
            success: success?,
            fallback,
        }))
    }

    fn model(&mut self, at: &Element<'_>) -> Option<NodeKind> {
        self.only(at, &["provider", "model", "timeout", "retries"]);
        let provider = self.text(at, "provider");
        let model = self.text(at, "model");
        let chosen = match (provider.as_deref(), model) {
            (Some("custom"), Some(_)) => self.field(at, "model").map(ModelChoice::Named),
            (Some(provider), Some(model)) => {
                self.known_provider(at, provider);
                Some(ModelChoice::Fixed { provider: provider.to_lowercase(), model })
            }
            _ => None,
        };
        let has = |name: &str| at.properties.get(name).is_some_and(|value| !value.is_null());
        let timeout_ms = has("timeout").then(|| self.whole(at, "timeout", 1, u64::from(u32::MAX))).flatten();
        let retries = has("retries").then(|| self.whole(at, "retries", 0, MOST_RETRIES)).flatten();
        let (success, fallback) = (self.output(at, "success"), self.optional(at, "fallback"));
        Some(NodeKind::Model(ModelNode {
            model: chosen?,
            timeout_ms,
            retries: retries.and_then(|retries| retries.try_into().ok()),
            success: success?,
            fallback,
        }))
    }

    fn known_provider(&mut self, at: &Element<'_>, slug: &str) {
        if self.providers.find(&slug.to_lowercase()).is_some() {
            return;
        }
        let hint = match self.providers.nearest(slug) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "a provider of your own needs a baseUrl under models.providers".to_owned(),
        };
        let shown: String = slug.chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
        let problem = Problem::at(at.property("provider"), format!("no provider is called `{shown}`"));
        self.problems.push(problem.with_hint(hint));
    }

    fn field(&mut self, at: &Element<'_>, name: &str) -> Option<Field> {
        match Field::parse(&self.text(at, name)?) {
            Ok(field) => Some(field),
            Err(message) => {
                self.wrong(at.property(name), message);
                None
            }
        }
    }

    fn text(&mut self, at: &Element<'_>, name: &str) -> Option<String> {
        match at.properties.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()) {
            Some(text) => Some(text.to_owned()),
            None => {
                self.wrong(at.property(name), "expected text in quotes");
                None
            }
        }
    }

    fn whole(&mut self, at: &Element<'_>, name: &str, low: u64, high: u64) -> Option<u64> {
        let number = at.properties.get(name).and_then(Value::as_f64);
        match number.filter(|number| number.fract() == 0.0 && (low as f64..=high as f64).contains(number)) {
            Some(number) => Some(number as u64),
            None => {
                self.wrong(at.property(name), format!("expected a whole number, {low} to {high}"));
                None
            }
        }
    }

    fn outputs<'v>(&mut self, at: &Element<'v>) -> Option<&'v Map<String, Value>> {
        let outputs = at.element["outputs"].as_object();
        if outputs.is_none() {
            self.wrong(at.path_of("outputs"), "says where the route goes on: {name: {elementId: \"…\"}}");
        }
        outputs
    }

    /// The node a required output leads to.
    fn output(&mut self, at: &Element<'_>, name: &str) -> Option<usize> {
        let output = &at.element["outputs"][name];
        // Cloudflare writes `{"elementId": "x"}`; people write `"x"`.
        let Some(id) = output["elementId"].as_str().or(output.as_str()) else {
            self.wrong(at.output(name), format!("the output `{name}` is missing, or has no elementId"));
            return None;
        };
        let found = self.ids.get(id).copied();
        if found.is_none() {
            let known: Vec<_> = self.ids.keys().map(String::as_str).collect();
            let problem = Problem::at(at.output(name), "no element has this id");
            let problem = match nearest(id, known) {
                Some(meant) => problem.with_hint(format!("did you mean `{meant}`?")),
                None => problem,
            };
            self.problems.push(problem);
        }
        found
    }

    fn optional(&mut self, at: &Element<'_>, name: &str) -> Option<usize> {
        if at.element["outputs"][name].is_null() { None } else { self.output(at, name) }
    }

    /// Finds properties nobody reads: a misspelt limit would limit nothing.
    fn only(&mut self, at: &Element<'_>, known: &[&str]) {
        for name in at.properties.keys().filter(|name| !known.contains(&name.as_str())) {
            let hint = match nearest(name, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            let problem = Problem::at(at.property(name), format!("unknown field `{name}`"));
            self.problems.push(problem.with_hint(hint));
        }
    }

    fn wrong(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem::at(path, message));
    }
}

/// One element and where it stands.
struct Element<'v> {
    element: &'v Value,
    properties: &'v Map<String, Value>,
    path: &'v str,
}

impl<'v> Element<'v> {
    fn path_of(&self, field: &str) -> String {
        join(self.path, field)
    }

    fn property(&self, name: &str) -> String {
        join(&self.path_of("properties"), name)
    }

    fn output(&self, name: &str) -> String {
        join(&self.path_of("outputs"), name)
    }

    /// The first of several spellings that is there.
    fn either(&self, names: &[&'static str]) -> (&'static str, Option<&'v Value>) {
        let found = names.iter().find_map(|name| Some((*name, self.properties.get(*name)?)));
        found.map_or((names[0], None), |(name, value)| (name, Some(value)))
    }
}

fn id_of(element: &Value) -> Option<&str> {
    element["id"].as_str().filter(|id| !id.is_empty())
}
