//! Custom providers created over the management API, beside those of the configuration file.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use crate::{Result, Secret, Store, seal::Identity};

/// A custom provider created at run time.
#[derive(Clone)]
pub struct CustomProviderRow {
    pub id: String,
    pub account: String,
    /// Without `custom-`; unique.
    pub slug: String,
    /// Name, address and the rest, in Cloudflare's field names.
    pub fields: Map<String, Value>,
    /// Headers sent with every call, as a JSON object; they may hold keys, so they are sealed.
    pub headers: Option<Secret>,
    pub created_at_ms: i64,
    pub modified_at_ms: i64,
}

impl fmt::Debug for CustomProviderRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomProviderRow").field("slug", &self.slug).finish_non_exhaustive()
    }
}

impl Store {
    /// Every custom provider, by slug. [`ErrorKind::MasterKey`](crate::ErrorKind::MasterKey) if headers cannot be
    /// unsealed.
    pub fn custom_providers(&self) -> Result<Vec<CustomProviderRow>> {
        let rows = self.settings().custom_providers()?;
        if rows.iter().all(|(_, sealed)| sealed.is_none()) {
            return Ok(rows.into_iter().map(|(row, _)| row).collect());
        }
        let master = self.master().for_opening(&self.master_key_path())?;
        rows.into_iter()
            .map(|(mut row, sealed)| {
                if let Some(sealed) = sealed {
                    row.headers =
                        Some(SecretString::from(master.open(&headers_identity(&row.slug), &sealed)?));
                }
                Ok(row)
            })
            .collect()
    }

    /// Stores a custom provider, replacing the one with its id.
    /// [`ErrorKind::Exists`](crate::ErrorKind::Exists) if another has its slug.
    pub fn put_custom_provider(&self, row: &CustomProviderRow) -> Result<()> {
        let sealed = match &row.headers {
            Some(headers) => {
                let text = headers.expose_secret().as_bytes();
                Some(self.sealing_key()?.seal(&headers_identity(&row.slug), text)?)
            }
            None => None,
        };
        self.settings().put_custom_provider(row, sealed.as_deref())
    }

    /// Removes a custom provider; false if there was none.
    pub fn delete_custom_provider(&self, id: &str) -> Result<bool> {
        self.settings().delete_custom_provider(id)
    }
}

/// The identity headers are sealed under. No key has an alias like this.
pub(crate) fn headers_identity(slug: &str) -> Identity<'_> {
    Identity { provider: slug, alias: "\0headers", gateway: None }
}
