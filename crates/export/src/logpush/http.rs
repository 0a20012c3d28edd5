//! Batches posted to an address.

use std::time::Duration;

use bytes::Bytes;
use genesis_config::logpush::Compression;
use genesis_store::LogEntry;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method};

use super::pack::{Packing, pack};
use crate::post::{Answer, Call, Post};
use crate::target::{Target, Undelivered};

/// For one batch.
const WITHIN: Duration = Duration::from_secs(30);
/// Shorter words, such as `Bearer`, are no secrets.
const SECRET_LENGTH: usize = 7;

pub(super) struct HttpTarget {
    url: String,
    headers: HeaderMap,
    packing: Packing,
}

impl HttpTarget {
    pub(super) fn new<'h>(
        url: String,
        headers: impl IntoIterator<Item = (&'h str, &'h str)>,
        packing: Packing,
    ) -> Result<Self, String> {
        let mut all = HeaderMap::new();
        all.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        if packing.compression == Compression::Gzip {
            all.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        all.insert(USER_AGENT, HeaderValue::from_static(concat!("genesis/", env!("CARGO_PKG_VERSION"))));
        for (name, value) in headers {
            let parsed = name.parse::<HeaderName>().ok().zip(HeaderValue::from_str(value).ok());
            let (parsed, mut value) = parsed.ok_or_else(|| format!("header `{name}` cannot be sent"))?;
            value.set_sensitive(true);
            all.insert(parsed, value);
        }
        Ok(Self { url, headers: all, packing })
    }
}

impl Target for HttpTarget {
    fn deliver(&mut self, entries: &[LogEntry], post: &mut dyn Post) -> Result<(), Undelivered> {
        let packed = pack(&self.packing, entries)?;
        let mut headers = self.headers.clone();
        // A receiver that has a batch of this name may leave it out.
        if let Ok(name) = HeaderValue::from_str(&packed.name) {
            headers.insert(HeaderName::from_static("idempotency-key"), name);
        }
        let call = Call {
            method: Method::POST,
            url: self.url.clone(),
            headers,
            body: packed.bytes.into(),
            trusted: true,
            within: WITHIN,
        };
        let answer = post.call(&call).map_err(|error| Undelivered::later(error.to_string()))?;
        if answer.status.is_success() {
            return Ok(());
        }
        // Some receivers repeat what they were sent, and what they say is shown.
        let body = if self.holds_secret(&answer.body) { Bytes::new() } else { answer.body.clone() };
        Err(Undelivered::by_status(&Answer { body, ..answer }))
    }
}

impl HttpTarget {
    /// Whether a word of the configured headers, or a value of the address, is in the text.
    fn holds_secret(&self, text: &[u8]) -> bool {
        let text = String::from_utf8_lossy(text);
        let values = self.headers.values().filter(|value| value.is_sensitive());
        let words = values.flat_map(|value| value.to_str().unwrap_or_default().split_whitespace());
        let query = self.url.split_once('?').map(|(_, query)| query).unwrap_or_default();
        let parameters = query.split('&').filter_map(|pair| Some(pair.split_once('=')?.1));
        words.chain(parameters).any(|secret| secret.len() >= SECRET_LENGTH && text.contains(secret))
    }
}
