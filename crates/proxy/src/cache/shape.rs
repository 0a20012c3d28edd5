//! A kept answer for a request that wants it to arrive otherwise: the whole of a stream, a stream of the whole.

use std::sync::Arc;

use bytes::Bytes;
use genesis_wire::reshape::{self, Wish};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};

use super::entry::Entry;
use crate::coding::decoded;

/// `None` unless it means exactly the same.
pub(super) fn reshaped(entry: &Arc<Entry>, wish: &Wish<'_>) -> Option<Arc<Entry>> {
    if entry.stream == wish.stream {
        let same = entry.stream_options.as_deref() == wish.stream_options;
        return same.then(|| Arc::clone(entry));
    }
    let dialect = entry.dialect?;
    let plain = decoded(&entry.headers, &entry.body)?;
    let (body, media) = if wish.stream {
        (reshape::streamed(dialect, &plain, wish.include_usage()?)?, "text/event-stream; charset=utf-8")
    } else {
        (reshape::whole(dialect, &plain)?, "application/json")
    };
    let mut headers = entry.headers.clone();
    headers.remove(CONTENT_ENCODING);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    Some(Arc::new(Entry {
        gateway: Arc::clone(&entry.gateway),
        headers,
        body: Bytes::from(body),
        model: entry.model.clone(),
        stream: wish.stream,
        stream_options: wish.stream_options.map(str::to_owned),
        ..**entry
    }))
}
