//! Custom domains created over the management API: host names that stand for a gateway. Each is a document with the name as
//! its id, so that no name stands for two gateways.

use serde_json::{Map, Value};

use crate::{DocumentRow, Result, Store};

/// Kind of its document.
const DOMAIN: &str = "custom_domain";

/// One custom domain.
#[derive(Clone, Debug, PartialEq)]
pub struct DomainRow {
    /// In lower case.
    pub hostname: String,
    pub account: String,
    pub gateway: String,
    /// Cloudflare's id of its DNS zone, for clients that send it.
    pub zone: Option<String>,
    pub created_at_ms: i64,
}

impl Store {
    /// The custom domains of all gateways, oldest first.
    pub fn domains(&self) -> Result<Vec<DomainRow>> {
        let rows = self.all_documents(DOMAIN)?;
        Ok(rows
            .into_iter()
            .map(|row| DomainRow {
                zone: row.body.get("zone_id").and_then(Value::as_str).map(str::to_owned),
                hostname: row.id,
                account: row.account,
                gateway: row.gateway,
                created_at_ms: row.created_at_ms,
            })
            .collect())
    }

    /// Keeps a custom domain; an error of kind [`ErrorKind::Exists`](crate::ErrorKind::Exists) if the name is taken.
    pub fn add_domain(&self, row: &DomainRow) -> Result<()> {
        let zone = row.zone.iter().map(|zone| ("zone_id".to_owned(), Value::from(zone.as_str())));
        self.add_document(&DocumentRow {
            id: row.hostname.clone(),
            kind: DOMAIN.to_owned(),
            account: row.account.clone(),
            gateway: row.gateway.clone(),
            body: Map::from_iter(zone),
            created_at_ms: row.created_at_ms,
            modified_at_ms: row.created_at_ms,
        })
    }

    /// Deletes a custom domain; false if there was none.
    pub fn delete_domain(&self, hostname: &str) -> Result<bool> {
        self.delete_document(hostname)
    }
}
