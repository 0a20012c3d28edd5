//! What a gateway does besides relaying: guardrails, data loss prevention, exporters.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::problem::{Problem, join};

/// Content categories (`S1`–`S13`, `P1`) and what to do about them; a category left out is ignored.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guardrails {
    pub prompt: BTreeMap<String, Action>,
    pub response: BTreeMap<String, Action>,
}

impl Guardrails {
    pub(crate) fn check(&self) -> Vec<Problem> {
        let known = |category: &str| {
            category == "P1"
                || category
                    .strip_prefix('S')
                    .and_then(|number| number.parse::<u8>().ok())
                    .is_some_and(|number| (1..=13).contains(&number))
        };
        let sides = [("guardrails.prompt", &self.prompt), ("guardrails.response", &self.response)];
        sides
            .into_iter()
            .flat_map(|(path, side)| side.keys().map(move |category| (path, category)))
            .filter(|(_, category)| !known(category))
            .map(|(path, category)| {
                Problem::at(join(path, category), "unknown category")
                    .with_hint("categories are S1 to S13 and P1")
            })
            .collect()
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Action {
    Flag,
    Block,
}

/// Data loss prevention: either one action over profiles, or policies.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dlp {
    pub enabled: bool,
    /// The older form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// The older form.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<DlpPolicy>,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DlpPolicy {
    pub id: String,
    #[serde(default = "yes")]
    pub enabled: bool,
    pub action: Action,
    pub check: Vec<Side>,
    pub profiles: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Side {
    Request,
    Response,
}

/// Where OpenTelemetry spans are sent.
#[derive(Clone, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtelExporter {
    pub url: String,
    pub headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<String>,
    pub content_type: OtelEncoding,
}

impl OtelExporter {
    /// Every text in which `${VAR}` may stand, with its place.
    pub(crate) fn texts(&self, path: &str) -> impl Iterator<Item = (String, &str)> {
        let below = format!("{path}.headers");
        let headers = self.headers.iter().map(move |(name, text)| (join(&below, name), text.as_str()));
        let authorization = self.authorization.as_deref();
        let authorization = authorization.map(|text| (format!("{path}.authorization"), text));
        std::iter::once((format!("{path}.url"), self.url.as_str())).chain(headers).chain(authorization)
    }

    pub(crate) fn check(&self, path: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !self.url.starts_with("https://") && !self.url.starts_with("http://") {
            problems.push(Problem::at(format!("{path}.url"), "expected an http or https address"));
        }
        for name in self.headers.keys() {
            let path = join(&format!("{path}.headers"), name);
            let known = name.to_ascii_lowercase();
            if name.is_empty()
                || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            {
                problems.push(Problem::at(path, "not the name of a header"));
            } else if OUR_HEADERS.contains(&known.as_str()) {
                problems.push(Problem::at(path, "the gateway sets this header itself"));
            }
        }
        problems
    }
}

/// What describes the body and the connection is not for the settings.
const OUR_HEADERS: [&str; 7] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "transfer-encoding",
];

impl fmt::Debug for OtelExporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtelExporter")
            .field("url", &self.url)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("content_type", &self.content_type)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OtelEncoding {
    #[default]
    Json,
    Protobuf,
}

/// Usage events posted to Stripe.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Stripe {
    pub authorization: String,
    #[serde(default)]
    pub usage_events: Vec<StripeEvent>,
}

impl fmt::Debug for Stripe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stripe").field("usage_events", &self.usage_events.len()).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StripeEvent {
    pub payload: String,
}

pub(crate) fn yes() -> bool {
    true
}
