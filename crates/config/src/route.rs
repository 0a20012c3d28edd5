//! Dynamic routes: named graphs that decide which models a call of `dynamic/<name>` is tried on.
//!
//! The JSON is Cloudflare's, in either of its spellings (`rate` or `rate_limit`, `conditions` or `condition`, `window` or
//! `interval`). Here it is read into nodes that refer to each other by index, and checked as a graph.
//!
//! * this file: the graph
//! * [`condition`]: what a conditional node asks of a request
//! * `read`: JSON → nodes, every mistake at its place
//! * `graph`: unreachable nodes, cycles

pub mod condition;
mod graph;
mod read;

use serde_json::Value;

pub use self::condition::{Condition, Field};
use crate::gateway::Technique;
use crate::money::Usd;
use crate::problem::Problem;
use crate::providers::Providers;

/// A checked graph: every node can be reached, every way ends.
#[derive(Clone, Debug)]
pub struct Route {
    /// Called as `dynamic/<name>`.
    pub name: String,
    /// The start node comes first.
    pub nodes: Vec<Node>,
}

/// One element. Outputs are indices of nodes.
#[derive(Clone, Debug)]
pub struct Node {
    pub id: String,
    pub kind: NodeKind,
}

#[derive(Clone, Debug)]
pub enum NodeKind {
    Start {
        next: usize,
    },
    Conditional {
        condition: Condition,
        yes: usize,
        no: usize,
    },
    /// Shares in hundredths of a percent; what is left over goes to `otherwise`, which is there unless nothing is.
    Percentage {
        shares: Vec<(u32, usize)>,
        otherwise: Option<usize>,
    },
    Rate(RateNode),
    Model(ModelNode),
    End,
}

/// A limit per value of a key.
#[derive(Clone, Debug)]
pub struct RateNode {
    /// Whose calls are counted together; calls without a value share one count.
    pub key: Field,
    pub limit: RateLimit,
    /// Seconds, 1 or more.
    pub window: u64,
    pub technique: Technique,
    pub success: usize,
    /// Where calls over the limit go; `None`: they are refused.
    pub fallback: Option<usize>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RateLimit {
    /// Calls in a window.
    Count(u64),
    /// US dollars in a window.
    Cost(Usd),
}

/// A model to try.
#[derive(Clone, Debug)]
pub struct ModelNode {
    pub model: ModelChoice,
    /// Milliseconds to the first byte of an answer.
    pub timeout_ms: Option<u64>,
    /// Further attempts after the first.
    pub retries: Option<u32>,
    /// Where the route goes once the answer has begun.
    pub success: usize,
    /// Where it goes if the model fails; `None`: its failure is the answer.
    pub fallback: Option<usize>,
}

/// Which model a model node calls.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ModelChoice {
    Fixed {
        provider: String,
        model: String,
    },
    /// The request names it in this field as `provider/model` (`provider: "custom"`, `model: "metadata.primaryModel"`).
    Named(Field),
}

impl Route {
    /// Reads and checks a route as the management API or the configuration file has it. `elements` is a JSON array.
    /// Every mistake is returned; paths are `name` or begin with `elements`.
    pub fn parse(name: &str, elements: &Value, providers: &Providers) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            let problem = "a route's name has 1 to 64 of a-z, A-Z, 0-9, `-`, `_` and `.`";
            problems.push(Problem::at("name", problem));
        }
        let nodes = match read::nodes(elements, providers) {
            Ok(nodes) => nodes,
            Err(wrong) => {
                problems.extend(wrong);
                return Err(problems);
            }
        };
        problems.extend(graph::check(&nodes));
        if problems.is_empty() { Ok(Self { name: name.to_owned(), nodes: nodes.0 }) } else { Err(problems) }
    }
}

impl Route {
    /// Whether any of its elements counts calls or money.
    pub fn has_rates(&self) -> bool {
        self.nodes.iter().any(|node| matches!(node.kind, NodeKind::Rate(_)))
    }
}

impl NodeKind {
    /// Where it can lead.
    pub fn outputs(&self) -> Vec<usize> {
        match self {
            Self::Start { next } => vec![*next],
            Self::Conditional { yes, no, .. } => vec![*yes, *no],
            Self::Percentage { shares, otherwise } => {
                shares.iter().map(|(_, to)| *to).chain(*otherwise).collect()
            }
            Self::Rate(node) => [node.success].into_iter().chain(node.fallback).collect(),
            Self::Model(node) => [node.success].into_iter().chain(node.fallback).collect(),
            Self::End => Vec::new(),
        }
    }
}
