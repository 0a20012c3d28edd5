//! What both sides' heads have in common.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The headers that were found in the head at the start of `buffer`, but for such as cannot be headers. Their values are
/// parts of `copy`, which holds the same bytes.
pub(crate) fn headers(parsed: &[httparse::Header<'_>], buffer: &[u8], copy: &Bytes) -> HeaderMap {
    let start = buffer.as_ptr() as usize;
    let mut headers = HeaderMap::with_capacity(parsed.len());
    for header in parsed {
        let at = if header.value.is_empty() { 0 } else { header.value.as_ptr() as usize - start };
        let value = HeaderValue::from_maybe_shared(copy.slice(at..at + header.value.len()));
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(header.name.as_bytes()), value) {
            headers.append(name, value);
        }
    }
    headers
}
