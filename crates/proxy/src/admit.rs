//! Token → caller and rights.

use std::sync::Arc;

use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, ORIGIN};

use genesis_config::{GatewaySettings, is_local_place};
use genesis_store::Identity;
use http::StatusCode;

use crate::failure::{Code, Failure};
use crate::snapshot::{Snapshot, Token};

/// Who is calling.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Caller {
    /// `None`: nobody we know; the gateway asks for no token.
    pub(crate) token_id: Option<String>,
    /// Whom the token was given to.
    pub(crate) identity: Option<Arc<Identity>>,
    /// `genesis dev` on loopback: may use stored keys without a token.
    pub(crate) trusted: bool,
}

impl Caller {
    /// Whether stored keys may be attached to what it sends.
    pub(crate) fn may_use_keys(&self) -> bool {
        self.trusted || self.token_id.is_some()
    }
}

/// Headers in which clients put a provider key, and so, if they can set no other, our token.
static PROVIDER_SLOTS: [HeaderName; 5] = [
    AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-goog-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("xi-api-key"),
];

/// How our tokens begin. A mistyped or cut one must not travel on either.
pub(crate) const TOKEN_PREFIX: &str = "gt_";

static GATEWAY_AUTHORIZATION: HeaderName = HeaderName::from_static("cf-aig-authorization");

/// Finds out who calls and whether the gateway lets them. Tokens of ours found in provider slots are taken out of
/// `headers`, so that they can never travel on.
pub(crate) fn admit(
    snapshot: &Snapshot,
    gateway: &GatewaySettings,
    headers: &mut HeaderMap,
    query_key: Option<&str>,
    now_ms: i64,
) -> Result<Caller, Failure> {
    let presented = presented(headers, query_key);
    let token = presented.as_deref().and_then(|text| snapshot.token(text, now_ms));
    judge(snapshot, gateway, headers, token, presented.is_some())
}

/// Whether the gateway lets the owner of `token` in; `presented`: some token came along, known or not.
pub(crate) fn judge(
    snapshot: &Snapshot,
    gateway: &GatewaySettings,
    headers: &HeaderMap,
    token: Option<&Token>,
    presented: bool,
) -> Result<Caller, Failure> {
    if let Some(token) = token {
        let scoped = token.gateways.is_empty() || token.gateways.contains(&gateway.id);
        if token.run && scoped {
            let identity = token.identity.clone();
            return Ok(Caller { token_id: Some(token.id.clone()), identity, trusted: false });
        }
        if gateway.authentication {
            let why = if token.run {
                format!("this token is not valid for gateway `{}`", gateway.id)
            } else {
                "this token may not run requests; create one with `genesis token create --permissions run`"
                    .to_owned()
            };
            return Err(unauthorized(why));
        }
    }
    if !gateway.authentication {
        return Ok(Caller {
            token_id: None,
            identity: None,
            trusted: snapshot.simulator.is_some() && !is_from_the_web(headers),
        });
    }
    Err(unauthorized(match presented {
        true => "the gateway token is unknown, revoked or expired; see `genesis token list`".to_owned(),
        false => "this gateway asks for a token: send `cf-aig-authorization: Bearer <token>`; \
                 `genesis token create` makes one"
            .to_owned(),
    }))
}

/// The token somebody sent, if any. Takes ours out of the provider's slots.
pub(crate) fn presented(headers: &mut HeaderMap, query_key: Option<&str>) -> Option<String> {
    let in_slot = take_from_slots(headers).or_else(|| query_key.map(str::to_owned));
    let presented = match headers.get(&GATEWAY_AUTHORIZATION) {
        Some(value) => Some(bare(value.to_str().unwrap_or_default()).to_owned()),
        None => in_slot,
    };
    presented.filter(|text| !text.is_empty())
}

pub(crate) fn unauthorized(description: impl Into<String>) -> Failure {
    Failure::refused(StatusCode::UNAUTHORIZED, Code::Unauthorized, "Unauthorized", description)
}

/// Takes every token of ours out of the provider's slots, whichever of a repeated header it is in, and returns the
/// first.
pub(crate) fn take_from_slots(headers: &mut HeaderMap) -> Option<String> {
    let mut found = None;
    for slot in &PROVIDER_SLOTS {
        let ours =
            |value: &HeaderValue| value.to_str().is_ok_and(|value| bare(value).starts_with(TOKEN_PREFIX));
        if !headers.get_all(slot).iter().any(ours) {
            continue;
        }
        let values: Vec<_> = headers.get_all(slot).iter().cloned().collect();
        headers.remove(slot);
        for value in values {
            match value.to_str().map(bare) {
                Ok(token) if token.starts_with(TOKEN_PREFIX) => {
                    found.get_or_insert_with(|| token.to_owned());
                }
                _ => {
                    headers.append(slot, value);
                }
            }
        }
    }
    found
}

/// Whether a web page of some other site may be behind this: pages can reach loopback, and in `genesis dev` whoever
/// reaches it may use the stored keys. A browser names the page's origin, or the name the page made point here.
fn is_from_the_web(headers: &HeaderMap) -> bool {
    [ORIGIN, HOST]
        .iter()
        .any(|name| headers.get(name).is_some_and(|place| !place.to_str().is_ok_and(is_local_place)))
}

/// A credential without its scheme word: `Bearer x`, `Token x`, `Key x` and `x` are the same.
pub(crate) fn bare(value: &str) -> &str {
    let value = value.trim();
    match value.split_once(' ') {
        Some((scheme, rest))
            if ["bearer", "token", "key"].iter().any(|word| scheme.eq_ignore_ascii_case(word)) =>
        {
            rest.trim()
        }
        _ => value,
    }
}
