//! Records of several kinds below a gateway: datasets and evaluations as the management API's clients know them, and
//! what other modules keep here, each with a type of its own.

use serde_json::{Map, Value};

use crate::{Result, Store, route::fresh_id};

/// A record of one kind, belonging to a gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentRow {
    pub id: String,
    /// `dataset`, `evaluation`, `policy`, `custom_domain`.
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

    /// Every document of a kind in all gateways, oldest first.
    pub fn all_documents(&self, kind: &str) -> Result<Vec<DocumentRow>> {
        self.settings().all_documents(kind)
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
        self.add_document(&row)?;
        Ok(row)
    }

    /// Creates a document under the id it has; an error of kind [`ErrorKind::Exists`](crate::ErrorKind::Exists) if that
    /// is taken.
    pub fn add_document(&self, row: &DocumentRow) -> Result<()> {
        self.settings().insert_document(row)
    }

    /// Replaces a document's body and date. If it is gone meanwhile it stays gone: an error of kind
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound).
    pub fn replace_document(&self, row: &DocumentRow) -> Result<()> {
        self.replace_documents(std::slice::from_ref(row))
    }

    /// Replaces several, all or none.
    pub fn replace_documents(&self, rows: &[DocumentRow]) -> Result<()> {
        self.settings().replace_documents(rows)
    }

    /// Deletes a document; false if there was none.
    pub fn delete_document(&self, id: &str) -> Result<bool> {
        self.settings().delete_document(id)
    }
}
