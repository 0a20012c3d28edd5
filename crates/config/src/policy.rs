//! Policies: who may call what, and for how much, in Cloudflare's shape; and in `decide` what they say about a call.

mod decide;

use std::fmt;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

pub use self::decide::{Asked, Cap, Decision, Policies};
use crate::condition::Condition;
use crate::limits::{MOST_RULES, check_id};
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

/// Every mistake of a list of policies.
pub(crate) fn check_policies(policies: &[Policy]) -> Vec<Problem> {
    let mut problems = Vec::new();
    if policies.len() > MOST_RULES {
        problems.push(Problem::at("policies", "a gateway has at most 20 policies"));
    }
    for (index, policy) in policies.iter().enumerate() {
        let path = format!("policies[{index}]");
        let others = policies[..index].iter().map(|other| &other.id);
        problems.extend(check_id(&path, "a policy", &policy.id, others));
        if let Err(error) = Condition::parse(&policy.condition) {
            problems.push(Problem::at(format!("{path}.condition"), error.to_string()));
        }
        if policy.actor.matches('{').count() != policy.actor.matches('}').count() {
            let problem = Problem::at(format!("{path}.actor"), "a brace is not closed");
            problems.push(problem.with_hint("write it as in `user:{metadata.user}`"));
        }
        if matches!(&policy.action, PolicyAction::Limit { amount, .. } if amount.0 < 0) {
            problems.push(Problem::at(format!("{path}.action.amount"), "an amount cannot be negative"));
        }
    }
    problems
}
