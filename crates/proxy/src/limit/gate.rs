//! Rate elements of dynamic routes, as limits of the calls that come through them.

use std::fmt::Write;

use genesis_config::route::RateNode;
use serde_json::Value;

use super::rules::Rule;

/// An element that a call has come through by its output `success`, for one value of the element's key.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    pub(super) rule: Rule,
    /// The counter's name.
    pub(super) key: String,
    /// Its request was counted when an earlier model of the route was called.
    pub(super) counted: bool,
}

impl Gate {
    /// `value`: what the request has under the element's key; requests without it share a counter.
    pub(crate) fn new(route: &str, id: &str, rate: &RateNode, value: Option<&Value>) -> Self {
        let rule = Rule::of_element(route, id, rate);
        let mut key = format!("{}\n", rule.key);
        if let Some(value) = value {
            // It may be long, or a secret from a header, and the counter's name is written to disk.
            let hash = genesis_store::token_hash(value.to_string().as_bytes());
            for byte in &hash[..16] {
                let _ = write!(key, "{byte:02x}"); // writing to a string cannot fail
            }
        }
        Self { rule, key, counted: false }
    }
}
