//! Gateways created at run time, beside those the configuration file declares.

use serde_json::Value;

use crate::{Result, Store};

/// A gateway created at run time.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayRow {
    pub account: String,
    pub id: String,
    /// Cloudflare's field names; what the configuration calls gateway settings.
    pub settings: Value,
    pub created_at_ms: i64,
    pub modified_at_ms: i64,
}

impl Store {
    /// Every gateway as (account, id, settings), by account and id.
    pub fn gateways(&self) -> Result<Vec<(String, String, Value)>> {
        let rows = self.settings().gateways(None)?;
        Ok(rows.into_iter().map(|row| (row.account, row.id, row.settings)).collect())
    }

    /// Every gateway with its dates, by account and id.
    pub fn gateway_rows(&self) -> Result<Vec<GatewayRow>> {
        self.settings().gateways(None)
    }

    /// One gateway with its dates.
    pub fn gateway(&self, account: &str, id: &str) -> Result<Option<GatewayRow>> {
        Ok(self.settings().gateways(Some((account, id)))?.pop())
    }

    /// Creates a gateway unless it exists; true if it was created. Existing settings stay as they are.
    pub fn ensure_gateway(&self, account: &str, id: &str, settings: &Value, now_ms: i64) -> Result<bool> {
        self.settings().ensure_gateway(account, id, settings, now_ms)
    }

    /// Creates a gateway or replaces its settings.
    pub fn put_gateway(&self, account: &str, id: &str, settings: &Value, now_ms: i64) -> Result<GatewayRow> {
        self.settings().put_gateway(account, id, settings, now_ms)
    }

    /// Deletes a gateway with the keys, routes and documents kept for it alone; false if there was none. Its log
    /// stays.
    pub fn delete_gateway(&self, account: &str, id: &str) -> Result<bool> {
        self.settings().delete_gateway(account, id)
    }
}
