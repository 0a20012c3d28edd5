//! Provider keys kept for the gateway to attach (BYOK), sealed under the master key.

use std::num::NonZeroU32;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::{
    Error, ErrorKind, Result, Secret, Store,
    custom_provider::headers_identity,
    seal::{Identity, MasterKey},
};

/// A stored key without its text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeyRow {
    /// Provider slug.
    pub provider: String,
    /// Name among the provider's keys; `default` unless a request asks for another.
    pub alias: String,
    /// The only gateway it is for; `None`: all.
    pub gateway: Option<String>,
    /// `sk-…abcd`; only `…` where the key is too short to show a part of it.
    pub preview: String,
    #[serde(flatten)]
    pub options: KeyOptions,
    pub created_at_ms: i64,
    pub modified_at_ms: i64,
}

/// What the management API keeps beside a key.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct KeyOptions {
    /// Used where a request names no alias and there is no key with alias `default`.
    pub default_config: bool,
    /// Attempts at the provider per period; 0 or `None`: as many as it allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<u32>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit_period: Option<u32>,
}

impl KeyOptions {
    /// Attempts and seconds, if there is such a limit.
    pub fn rate(&self) -> Option<(NonZeroU32, NonZeroU32)> {
        Some((NonZeroU32::new(self.rate_limit?)?, NonZeroU32::new(self.rate_limit_period?)?))
    }
}

impl Store {
    /// Stores a key, replacing the one with the same provider, alias and gateway.
    pub fn set_key(
        &self,
        provider: &str,
        alias: &str,
        gateway: Option<&str>,
        secret: &Secret,
        now_ms: i64,
    ) -> Result<KeyRow> {
        let text = secret.expose_secret();
        if provider.is_empty() || alias.is_empty() || gateway == Some("") {
            return Err(Error::new(
                ErrorKind::Invalid,
                "provider, alias and gateway of a key must not be empty",
            ));
        }
        if text.trim().is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "the key is empty; paste the provider's key"));
        }
        let master = self.sealing_key()?;
        let row = KeyRow {
            provider: provider.to_owned(),
            alias: alias.to_owned(),
            gateway: gateway.map(str::to_owned),
            preview: preview(text),
            options: KeyOptions::default(),
            created_at_ms: now_ms,
            modified_at_ms: now_ms,
        };
        let sealed = master.seal(&identity(&row), text.as_bytes())?;
        self.settings().put_key(row, &sealed)
    }

    /// Changes what is kept beside a key; `None` if there is no such key.
    pub fn set_key_options(
        &self,
        provider: &str,
        alias: &str,
        gateway: Option<&str>,
        options: KeyOptions,
        now_ms: i64,
    ) -> Result<Option<KeyRow>> {
        self.settings().set_key_options((provider, alias, gateway), options, now_ms)
    }

    /// Every stored key, without its text. Needs no master key.
    pub fn keys(&self) -> Result<Vec<KeyRow>> {
        Ok(self.settings().sealed_keys()?.into_iter().map(|(row, _)| row).collect())
    }

    /// Removes a key; false if there was none.
    pub fn remove_key(&self, provider: &str, alias: &str, gateway: Option<&str>) -> Result<bool> {
        self.settings().remove_key(provider, alias, gateway)
    }

    /// Every stored key with its text, for the snapshot. [`ErrorKind::MasterKey`] if they cannot be unsealed.
    pub fn open_keys(&self) -> Result<Vec<(KeyRow, Secret)>> {
        let keys = self.settings().sealed_keys()?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let master = self.master().for_opening(&self.master_key_path())?;
        keys.into_iter()
            .map(|(row, sealed)| {
                let text = master.open(&identity(&row), &sealed)?;
                Ok((row, SecretString::from(text)))
            })
            .collect()
    }
}

impl Store {
    /// The master key, created with the first secret. A second one beside the first would leave secrets that no
    /// single one opens, so it has to open what is there.
    pub(crate) fn sealing_key(&self) -> Result<MasterKey> {
        let settings = self.settings();
        let (keys, headers) = (settings.sealed_keys()?, settings.sealed_headers()?);
        let sealed_before = !keys.is_empty() || !headers.is_empty();
        let master = self.master().for_sealing(&self.master_key_path(), sealed_before)?;
        if let Some((row, sealed)) = keys.first() {
            master.open(&identity(row), sealed)?;
        } else if let Some((slug, sealed)) = headers.first() {
            master.open(&headers_identity(slug), sealed)?;
        }
        Ok(master)
    }
}

fn identity(row: &KeyRow) -> Identity<'_> {
    Identity { provider: &row.provider, alias: &row.alias, gateway: row.gateway.as_deref() }
}

/// First three and last four characters of keys long enough that seven characters help nobody guess the rest.
fn preview(text: &str) -> String {
    let characters: Vec<char> = text.trim().chars().collect();
    if characters.len() < 20 {
        return "…".to_owned();
    }
    let (first, last) = (&characters[..3], &characters[characters.len() - 4..]);
    first.iter().chain(&['…']).chain(last).collect()
}

#[cfg(test)]
mod tests {
    use super::preview;

    #[test]
    fn previews_give_little_away() {
        assert_eq!(preview("sk-ant-0123456789abcdWXYZ"), "sk-…WXYZ");
        assert_eq!(preview("hunter2"), "…");
        assert_eq!(preview("nineteen characters"), "…");
        assert_eq!(preview("ключ-ключ-ключ-ключ-ключ"), "клю…ключ");
    }
}
