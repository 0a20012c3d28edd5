//! Policies: who may call what, and for how much, in Cloudflare's shape; and in `decide` what they say about a call.

mod decide;

use std::fmt;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

pub use self::decide::{Asked, Cap, Decision, Policies};
use crate::condition::Condition;
use crate::limits::check_id;
use crate::money::Usd;
use crate::problem::Problem;

/// One policy. The first one makes a gateway refuse whatever no policy allows.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Names the budget's bucket: a text with `{path}` in it, such as `user:{metadata.user}`. Empty: one for everybody.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub actor: String,
    #[serde(default)]
    pub resource: Resource,
    /// A CEL expression that says whether the policy applies; empty: always. See [`Condition`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub condition: String,
    pub action: PolicyAction,
    /// Ours: evaluated and reported, never enforced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub simulate: bool,
}

/// What a policy is about: models by name, where `*` stands for anything but `/`, and providers by slug. Written `"*"`
/// for anything.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Resource {
    pub model: Option<OneOrMany>,
    pub provider: Option<OneOrMany>,
}

impl<'de> Deserialize<'de> for Resource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[derive(Default)]
        struct Named {
            model: Option<OneOrMany>,
            provider: Option<OneOrMany>,
        }
        struct AnyOrNamed;
        impl<'de> Visitor<'de> for AnyOrNamed {
            type Value = Resource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"*\" or an object with model and provider")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Resource, E> {
                let valid = (text == "*").then(Resource::default);
                valid.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Resource, A::Error> {
                let Named { model, provider } =
                    Named::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Resource { model, provider })
            }
        }
        deserializer.deserialize_any(AnyOrNamed)
    }
}

impl Serialize for Resource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if *self == Self::default() {
            return serializer.serialize_str("*");
        }
        let named = [("model", &self.model), ("provider", &self.provider)];
        serializer.collect_map(named.into_iter().filter_map(|(name, which)| Some((name, which.as_ref()?))))
    }
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::One(one) => std::slice::from_ref(one).iter(),
            Self::Many(many) => many.iter(),
        }
        .map(String::as_str)
    }
}

/// What a policy does about the calls it applies to.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "type")]
pub enum PolicyAction {
    /// Allow, and lift the caps of this bucket.
    NoLimit {},
    /// Refuse; with `except`, refuse everything but what the policy applies to.
    Block {
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        except: bool,
    },
    /// Allow up to an amount per period.
    Limit {
        /// US dollars.
        amount: Usd,
        period: Period,
        #[serde(default)]
        technique: Interval,
    },
}

/// A period of the UTC calendar; weeks begin on Monday.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    Hourly,
    Daily,
    Weekly,
    Monthly,
}

/// The one technique there is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interval {
    #[default]
    NamedInterval,
}

/// Each is looked at for every call.
pub const MOST_POLICIES: usize = 100;

impl Policy {
    /// Reads the fields of a policy as JSON has them. They are not checked yet; see [`Policy::check`].
    pub fn from_json(fields: serde_json::Map<String, serde_json::Value>) -> Result<Self, Problem> {
        serde_path_to_error::deserialize(serde_json::Value::Object(fields)).map_err(|error| {
            let path = error.path().to_string();
            Problem::at(path, crate::read::explain(&error.into_inner().to_string()).0)
        })
    }

    /// Every mistake of its own; paths are relative to it.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Err(error) = Condition::parse(&self.condition) {
            problems.push(Problem::at("condition", error.to_string()));
        }
        if let Err(message) = check_actor(&self.actor) {
            let problem = Problem::at("actor", message);
            problems.push(problem.with_hint("write it as in `user:{metadata.user}`"));
        }
        if matches!(&self.action, PolicyAction::Limit { amount, .. } if amount.0 < 0) {
            problems.push(Problem::at("action.amount", "an amount cannot be negative"));
        }
        problems
    }
}

/// Every mistake of a list of policies.
pub(crate) fn check_policies(policies: &[Policy]) -> Vec<Problem> {
    let mut problems = Vec::new();
    if policies.len() > MOST_POLICIES {
        problems.push(Problem::at("policies", format!("a gateway has at most {MOST_POLICIES} policies")));
    }
    for (index, policy) in policies.iter().enumerate() {
        let path = format!("policies[{index}]");
        let others = policies[..index].iter().map(|other| &other.id);
        problems.extend(check_id(&path, "a policy", &policy.id, others));
        problems.extend(policy.check().into_iter().map(|mut problem| {
            problem.path = format!("{path}.{}", problem.path);
            problem
        }));
    }
    problems
}

/// Braces come in pairs, with the path of a field between them.
fn check_actor(actor: &str) -> Result<(), &'static str> {
    let mut pieces = actor.split('{');
    let no_end = |text: &str| text.contains('}');
    if pieces.next().is_some_and(no_end) {
        return Err("a brace is closed that was not opened");
    }
    for piece in pieces {
        let (path, rest) = piece.split_once('}').ok_or("a brace is not closed")?;
        if path.split('.').any(|name| name.trim().is_empty()) {
            return Err("braces need the path of a field between them");
        }
        if no_end(rest) {
            return Err("a brace is closed that was not opened");
        }
    }
    Ok(())
}
