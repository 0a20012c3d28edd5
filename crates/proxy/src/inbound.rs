//! What a client sends: its head within bounds, its query without our keys, its body read.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use genesis_config::file::Limits;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode, request};
use http_body_util::BodyExt;
use hyper::body::Body as _;

use crate::admit::TOKEN_PREFIX;
use crate::failure::{Code, Failure};
use crate::plan;
use crate::server::ClientBody;

pub(crate) fn check_head(head: &request::Parts, limit: u64) -> Result<(), Failure> {
    let line = head.uri.path().len() + head.uri.query().map_or(0, str::len);
    let size =
        head.headers.iter().fold(line, |size, (name, value)| size + name.as_str().len() + value.len() + 4);
    if size as u64 <= limit {
        return Ok(());
    }
    Err(Failure::refused(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Code::HeadersTooLarge,
        "The request's headers are too large",
        format!("they may take {limit} bytes; see gateway.limits.headerBytes"),
    ))
}

pub(crate) fn too_large(limit_name: &str, limit: u64) -> Failure {
    Failure::refused(
        StatusCode::PAYLOAD_TOO_LARGE,
        Code::BodyTooLarge,
        "The request body is too large",
        format!("it may take {limit} bytes; see gateway.limits.{limit_name}"),
    )
}

/// A request's body.
pub(crate) enum Sent {
    /// Over HTTP, still on its way.
    Arriving(ClientBody),
    /// In a message of a WebSocket, which is within [`Limits::body_bytes`].
    Whole(Bytes),
}

/// A JSON body as a whole, within the time and size it may take.
pub(crate) async fn collect_json(body: Sent, limits: &Limits) -> Result<Bytes, Failure> {
    let body = match body {
        Sent::Arriving(body) => body,
        Sent::Whole(body) => return Ok(body),
    };
    let within = Duration::from_secs(limits.idle_seconds);
    tokio::time::timeout(within, collect(body, limits.body_bytes)).await.unwrap_or_else(|_| {
        Err(Failure::refused(
            StatusCode::REQUEST_TIMEOUT,
            Code::RequestTimeout,
            "The request body did not arrive in time",
            format!("it took longer than {} s; see gateway.limits.idleSeconds", within.as_secs()),
        ))
    })
}

async fn collect(body: ClientBody, limit: u64) -> Result<Bytes, Failure> {
    let broke_off = |error| plan::malformed(format!("the request body broke off: {error}"));
    let hint = body.size_hint();
    if hint.lower() > limit {
        return Err(too_large("bodyBytes", limit));
    }
    let mut body = match body {
        ClientBody::Ours(body) => return body.whole().await.map_err(broke_off),
        body => body,
    };
    let (mut whole, mut joined) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(broke_off)?.into_data() else { continue };
        if (whole.len() + joined.len() + data.len()) as u64 > limit {
            return Err(too_large("bodyBytes", limit));
        }
        if whole.is_empty() && joined.is_empty() {
            whole = data; // the usual case: all in one piece, nothing to copy
            continue;
        }
        if !whole.is_empty() {
            let expected = usize::try_from(hint.exact().unwrap_or_default()).unwrap_or_default();
            joined.reserve(expected.max((whole.len() + data.len()) * 2));
            joined.extend_from_slice(&std::mem::take(&mut whole));
        }
        joined.extend_from_slice(&data);
    }
    Ok(if joined.is_empty() { whole } else { joined.freeze() })
}

pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    media.eq_ignore_ascii_case("application/json") || media.to_ascii_lowercase().ends_with("+json")
}

/// Keys some clients put into the query (`?key=…`).
pub(crate) struct QueryKey<'a> {
    /// One of our own tokens; it is taken out.
    pub(crate) token: Option<&'a str>,
    /// A provider key, which travels on.
    pub(crate) own: bool,
}

pub(crate) fn split_query(query: Option<&str>) -> (Option<String>, QueryKey<'_>) {
    let Some(query) = query else { return (None, QueryKey { token: None, own: false }) };
    let mut key = QueryKey { token: None, own: false };
    if !query.contains("key=") {
        return (Some(query.to_owned()), key);
    }
    let kept: Vec<_> = query
        .split('&')
        .filter(|pair| match pair.split_once('=') {
            Some(("key" | "api_key", value)) if value.starts_with(TOKEN_PREFIX) => {
                key.token.get_or_insert(value);
                false
            }
            Some(("key" | "api_key", value)) => {
                key.own |= !value.is_empty();
                true
            }
            _ => true,
        })
        .collect();
    (Some(kept.join("&")), key)
}
