//! What traces and metrics share: attributes, the resource, the scope.

use super::{Fields, Message};
use crate::otel::names;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attribute {
    pub(crate) key: String,
    pub(crate) value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Bool(bool),
    Int(i64),
    Double(f64),
}

/// Who tells all this.
#[derive(Clone, Debug)]
pub(crate) struct Resource(pub(crate) Vec<Attribute>);

/// The part of the gateway that tells it; there is one.
pub(super) struct Scope;

impl Attribute {
    pub(crate) fn new(key: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Double(number)
    }
}

impl Message for Attribute {
    fn write(&self, fields: &mut impl Fields) {
        fields.text((1, "key"), &self.key);
        fields.message((2, "value"), &self.value);
    }
}

impl Message for Value {
    fn write(&self, fields: &mut impl Fields) {
        match self {
            Self::Text(text) => fields.text((1, "stringValue"), text),
            Self::Bool(flag) => fields.bool((2, "boolValue"), *flag),
            Self::Int(number) => fields.int64((3, "intValue"), *number),
            Self::Double(number) => fields.double((4, "doubleValue"), *number),
        }
    }
}

impl Message for Resource {
    fn write(&self, fields: &mut impl Fields) {
        fields.messages((1, "attributes"), &self.0);
    }
}

impl Message for Scope {
    fn write(&self, fields: &mut impl Fields) {
        fields.text((1, "name"), names::SCOPE);
        fields.text((2, "version"), env!("CARGO_PKG_VERSION"));
    }
}
