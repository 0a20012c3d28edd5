//! Who a token was given to, as its creator says: what policies see under `cf`. Where Cloudflare takes it from Access, a
//! token of ours carries it, and no caller can change it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Empty for most tokens.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Identity {
    /// `cf.user.id`; several tokens may share it. `None`: the token's own id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// `cf.user.email`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// `cf.user.groups`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// `cf.custom.<claim>`
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub claims: Map<String, Value>,
}

impl Identity {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The value of a field by its path below `cf`, if the token says.
    pub fn field(&self, path: &[&str]) -> Option<Value> {
        match path {
            ["user", "id"] => self.user.clone().map(Value::from),
            ["user", "email"] => self.email.clone().map(Value::from),
            ["user", "groups"] => (!self.groups.is_empty()).then(|| self.groups.clone().into()),
            ["custom", claim] => self.claims.get(*claim).cloned(),
            _ => None,
        }
    }
}
