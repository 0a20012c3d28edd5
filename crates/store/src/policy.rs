//! Policies created over the management API: what is in force, and what is only drafted. Each is a document.

use serde_json::{Map, Value};

use crate::{DocumentRow, Result, Store, route::fresh_id};

/// Kind of its document.
const POLICY: &str = "policy";

/// One policy of a gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyRow {
    pub id: String,
    pub account: String,
    pub gateway: String,
    /// Its fields, without the id, as they are in force; `None`: it was never committed.
    pub live: Option<Map<String, Value>>,
    /// Fields a commit will set; only those that were changed.
    pub draft: Option<Map<String, Value>>,
    pub created_at_ms: i64,
    pub modified_at_ms: i64,
}

impl PolicyRow {
    /// A policy that is not kept yet, and has no fields.
    pub fn new(account: &str, gateway: &str, now_ms: i64) -> Self {
        Self {
            id: fresh_id(),
            account: account.to_owned(),
            gateway: gateway.to_owned(),
            live: None,
            draft: None,
            created_at_ms: now_ms,
            modified_at_ms: now_ms,
        }
    }

    /// What is in force, id included.
    pub fn in_force(&self) -> Option<Map<String, Value>> {
        Some(self.with_id(self.live.clone()?))
    }

    /// What would be in force after a commit, id included.
    pub fn staged(&self) -> Map<String, Value> {
        let mut fields = self.live.clone().unwrap_or_default();
        fields.extend(self.draft.clone().unwrap_or_default());
        self.with_id(fields)
    }

    fn with_id(&self, mut fields: Map<String, Value>) -> Map<String, Value> {
        fields.insert("id".to_owned(), self.id.as_str().into());
        fields
    }

    fn of(mut row: DocumentRow) -> Self {
        let mut take = |name: &str| match row.body.remove(name) {
            Some(Value::Object(fields)) => Some(fields),
            _ => None,
        };
        Self {
            live: take("live"),
            draft: take("draft"),
            id: row.id,
            account: row.account,
            gateway: row.gateway,
            created_at_ms: row.created_at_ms,
            modified_at_ms: row.modified_at_ms,
        }
    }

    fn document(&self) -> DocumentRow {
        let parts = [("live", &self.live), ("draft", &self.draft)];
        let body = parts
            .into_iter()
            .filter_map(|(name, fields)| Some((name.to_owned(), Value::Object(fields.clone()?))));
        DocumentRow {
            id: self.id.clone(),
            kind: POLICY.to_owned(),
            account: self.account.clone(),
            gateway: self.gateway.clone(),
            body: body.collect(),
            created_at_ms: self.created_at_ms,
            modified_at_ms: self.modified_at_ms,
        }
    }
}

impl Store {
    /// The policies of all gateways, or of one, oldest first.
    pub fn policies(&self, gateway: Option<&str>) -> Result<Vec<PolicyRow>> {
        let rows = match gateway {
            Some(gateway) => self.documents(POLICY, gateway)?,
            None => self.all_documents(POLICY)?,
        };
        Ok(rows.into_iter().map(PolicyRow::of).collect())
    }

    /// Keeps a new policy.
    pub fn add_policy(&self, row: &PolicyRow) -> Result<()> {
        self.add_document(&row.document())
    }

    /// Replaces policies, all or none: one that is gone meanwhile is an error of kind
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound).
    pub fn replace_policies(&self, rows: &[PolicyRow]) -> Result<()> {
        self.replace_documents(&rows.iter().map(PolicyRow::document).collect::<Vec<_>>())
    }

    /// Deletes a policy with its draft; false if there was none.
    pub fn delete_policy(&self, id: &str) -> Result<bool> {
        self.delete_document(id)
    }
}
