//! WebSockets to a provider's realtime API. The handshake is an exchange like any other: admitted, planned, limited,
//! logged. Once the provider has agreed, bytes pass both ways as they come, and usage is read from a tee.
//!
//! * `realtime/tunnel`: both directions, until one side ends
//! * `realtime/frames`: where frames end and what text messages say

mod frames;
mod tunnel;

use std::rc::Rc;
use std::time::Duration;

use genesis_config::Provider;
use http::header::{
    AUTHORIZATION, CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::upgrade::OnUpgrade;

use self::tunnel::Tunnel;
use crate::admit::TOKEN_PREFIX;
use crate::body::Body;
use crate::receipt::Receipt;
use crate::server::{ClientBody, Worker};
use crate::upstream::Answer;

/// A client that asked for a WebSocket.
pub(crate) struct Socket {
    pub(crate) upgrade: OnUpgrade,
    /// The sub-protocol it is told if the provider names none: browsers hang up on a server that chooses none of those
    /// they offered.
    pub(crate) protocol: Option<HeaderValue>,
}

/// Takes the wish for a WebSocket out of a request, and the keys out of its sub-protocols.
pub(crate) fn socket(request: &mut Request<ClientBody>) -> Option<Socket> {
    if !is_handshake(request.method(), request.headers()) {
        return None;
    }
    let upgrade = hyper::upgrade::on(&mut *request);
    let headers = request.headers_mut();
    // Compressed messages could not be looked into, and both sides do without.
    headers.remove(SEC_WEBSOCKET_EXTENSIONS);
    Some(Socket { upgrade, protocol: unpack_protocols(headers) })
}

/// RFC 6455 §4.2.1.
pub(crate) fn is_handshake(method: &Method, headers: &HeaderMap) -> bool {
    let asks = headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    asks && method == Method::GET && headers.contains_key(SEC_WEBSOCKET_KEY)
}

/// Browsers can set no header but this one, so keys travel in it. They are moved to the headers they belong in; what
/// is left goes to the provider. The value is what to answer if the provider names no sub-protocol.
fn unpack_protocols(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let offered: Vec<String> = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|protocol| protocol.trim().to_owned()))
        .filter(|protocol| !protocol.is_empty())
        .collect();
    let mut left = Vec::new();
    for protocol in &offered {
        let Some((name, value)) = header_of(protocol) else {
            left.push(protocol.as_str());
            continue;
        };
        if !headers.contains_key(&name) {
            headers.insert(name, value);
        }
    }
    headers.remove(SEC_WEBSOCKET_PROTOCOL);
    if let (false, Ok(value)) = (left.is_empty(), HeaderValue::from_str(&left.join(", "))) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, value);
    }
    let answer = left.first().copied().or(offered.first().map(String::as_str))?;
    HeaderValue::from_str(answer).ok()
}

/// The header a sub-protocol stands for, if it carries a key.
fn header_of(protocol: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, secret) = protocol.split_once('.')?;
    let (name, value) = match name.to_ascii_lowercase().as_str() {
        _ if secret.starts_with(TOKEN_PREFIX) => ("cf-aig-authorization", secret.to_owned()),
        "cf-aig-authorization" => ("cf-aig-authorization", secret.to_owned()),
        "openai-insecure-api-key" => (AUTHORIZATION.as_str(), format!("Bearer {secret}")),
        "xi-api-key" => ("xi-api-key", secret.to_owned()),
        "fal-api-key" => (AUTHORIZATION.as_str(), format!("Key {secret}")),
        _ => return None,
    };
    let mut value = HeaderValue::from_str(&value).ok()?;
    value.set_sensitive(true);
    Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
}

/// The path of a provider's realtime API, for clients that name the provider alone.
pub(crate) fn path<'a>(provider: &'a Provider, rest: &'a str) -> &'a str {
    match &provider.realtime {
        Some(realtime) if rest.trim_matches('/').is_empty() => realtime,
        _ => rest,
    }
}

/// The query without a key the client put there, and that key: providers take it in a header.
pub(crate) fn take_key(query: Option<String>) -> (Option<String>, Option<String>) {
    let Some(query) = query else { return (None, None) };
    let mut key = None;
    let kept: Vec<_> = query
        .split('&')
        .filter(|pair| match pair.split_once('=') {
            Some(("api_key" | "key", value)) if !value.is_empty() => {
                key.get_or_insert_with(|| value.to_owned());
                false
            }
            _ => true,
        })
        .collect();
    (Some(kept.join("&")), key)
}

/// The provider has agreed: tells the client, and passes on what both say from now on.
pub(crate) fn open(
    worker: &Rc<Worker>,
    socket: Option<Socket>,
    answer: Answer,
    mut receipt: Receipt,
    idle: Duration,
) -> Response<Body> {
    let Answer { mut headers, body, .. } = answer;
    let (Some(provider), Some(socket)) = (body.into_connection(), socket) else {
        let failure = crate::failure::Failure::upstream(
            StatusCode::BAD_GATEWAY,
            "the provider agreed to a WebSocket and closed it at once",
            String::new(),
        );
        receipt.failed(&failure);
        return crate::reply::failure(&failure);
    };
    let (open, stopped) = (worker.opened(), worker.stopped());
    tokio::task::spawn_local(async move {
        match socket.upgrade.await {
            Ok(client) => Tunnel::new(client, provider, receipt).run(idle, stopped).await,
            Err(error) => tracing::debug!(%error, "a client left during its handshake"),
        }
        drop(open);
    });
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let (false, Some(protocol)) = (headers.contains_key(SEC_WEBSOCKET_PROTOCOL), socket.protocol) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    let mut response = Response::new(Body::full(bytes::Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(protocols: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocols.parse().expect("value"));
        headers
    }

    #[test]
    fn keys_in_sub_protocols_become_headers_and_do_not_travel_on_as_protocols() {
        let mut headers = headers("realtime, openai-insecure-api-key.sk-own, cf-aig-authorization.gt_token");
        assert_eq!(unpack_protocols(&mut headers).expect("answer"), "realtime");
        assert_eq!(headers[SEC_WEBSOCKET_PROTOCOL], "realtime");
        assert_eq!(headers[AUTHORIZATION], "Bearer sk-own");
        assert_eq!(headers["cf-aig-authorization"], "gt_token");
    }

    #[test]
    fn a_token_of_ours_is_known_wherever_it_stands() {
        let mut headers = headers("openai-insecure-api-key.gt_token");
        assert_eq!(unpack_protocols(&mut headers).expect("answer"), "openai-insecure-api-key.gt_token");
        assert!(!headers.contains_key(SEC_WEBSOCKET_PROTOCOL) && !headers.contains_key(AUTHORIZATION));
        assert_eq!(headers["cf-aig-authorization"], "gt_token");
    }

    #[test]
    fn protocols_without_keys_are_left_alone() {
        let mut headers = headers("realtime, openai-beta.realtime-v1");
        assert_eq!(unpack_protocols(&mut headers).expect("answer"), "realtime");
        assert_eq!(headers[SEC_WEBSOCKET_PROTOCOL], "realtime, openai-beta.realtime-v1");
    }

    #[test]
    fn a_key_in_the_query_is_taken_out() {
        let taken = take_key(Some("a=1&api_key=secret&b=2".into()));
        assert_eq!(taken, (Some("a=1&b=2".into()), Some("secret".into())));
        assert_eq!(take_key(Some("a=1".into())), (Some("a=1".into()), None));
        assert_eq!(take_key(None), (None, None));
    }
}
