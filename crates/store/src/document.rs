//! What the management API keeps for its clients and nothing else reads: datasets and evaluations.

use serde_json::{Map, Value};

use crate::{Result, Store, route::fresh_id};

/// A record of one kind, belonging to a gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentRow {
    pub id: String,
    /// `dataset`, `evaluation`.
    pub kind: String,
    pub account: String,
    pub gateway: String,
    pub body: Map<String, Value>,
    pub created_at_ms: i64,
    pub modified_at_ms: i64,
}

impl Store {
    /// Every document of a kind in a gateway, oldest first.
    pub fn documents(&self, kind: &str, gateway: &str) -> Result<Vec<DocumentRow>> {
        self.settings().documents(kind, gateway)
    }

    /// Creates a document under an id of its own.
    pub fn create_document(
        &self,
        kind: &str,
        account: &str,
        gateway: &str,
        body: Map<String, Value>,
        now_ms: i64,
    ) -> Result<DocumentRow> {
        let row = DocumentRow {
            id: fresh_id(),
            kind: kind.to_owned(),
            account: account.to_owned(),
            gateway: gateway.to_owned(),
            body,
            created_at_ms: now_ms,
            modified_at_ms: now_ms,
        };
        self.settings().put_document(&row)?;
        Ok(row)
    }

    /// Replaces a document's body and date.
    pub fn replace_document(&self, row: &DocumentRow) -> Result<()> {
        self.settings().put_document(row)
    }

    /// Deletes a document; false if there was none.
    pub fn delete_document(&self, id: &str) -> Result<bool> {
        self.settings().delete_document(id)
    }
}
