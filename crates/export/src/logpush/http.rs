//! Batches posted to an address.

use std::time::Duration;

use genesis_config::logpush::Compression;
use genesis_store::LogEntry;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method};

use super::pack::{Packing, pack};
use crate::post::{Call, Post};
use crate::target::{Target, Undelivered};

/// For one batch.
const WITHIN: Duration = Duration::from_secs(30);

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
        if answer.status.is_success() { Ok(()) } else { Err(Undelivered::by_status(&answer)) }
    }
}
