//! Who may read and change what. Tokens are known by their hash only; the map is read again when the store changes.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use genesis_config::is_local_place;
use genesis_store::{Store, TokenRow, token_hash};
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, StatusCode};

use crate::envelope::{Refusal, code};

/// What an endpoint asks of its caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Right {
    /// Anybody may call it; nothing of the operator's is shown.
    None,
    Read,
    Edit,
}

/// Who is calling.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    /// `None`: `genesis dev` on loopback.
    pub(crate) token: Option<TokenRow>,
}

impl Caller {
    /// Whether it may see and change this gateway.
    pub(crate) fn reaches(&self, gateway: &str) -> bool {
        let scope = self.token.as_ref().map(|token| &token.gateways);
        scope.is_none_or(|scope| scope.is_empty() || scope.iter().any(|id| id == gateway))
    }

    /// Whether it may see and change what belongs to no single gateway.
    pub(crate) fn reaches_all(&self) -> bool {
        self.token.as_ref().is_none_or(|token| token.gateways.is_empty())
    }
}

/// The tokens as last read.
#[derive(Debug, Default)]
pub(crate) struct Access {
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    version: Option<u64>,
    tokens: HashMap<[u8; 32], TokenRow>,
}

impl Access {
    /// Finds out who calls. `dev`: `genesis dev`, where programs on this machine need no token.
    pub(crate) fn admit(
        &self,
        store: &Store,
        headers: &HeaderMap,
        right: Right,
        dev: bool,
        now_ms: i64,
    ) -> Result<Caller, Refusal> {
        if right == Right::None || dev && !is_from_the_web(headers) {
            return Ok(Caller::default());
        }
        let Some(presented) = presented(headers) else {
            let message = "Missing Authorization header; send `Authorization: Bearer <token>`";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, code::NO_CREDENTIALS, message));
        };
        self.refresh(store);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let token = known.tokens.get(&token_hash(presented.as_bytes()));
        let Some(token) = token.filter(|token| token.is_live(now_ms)) else {
            return Err(refused(StatusCode::UNAUTHORIZED, "the token is unknown, revoked or expired"));
        };
        let allowed = match right {
            Right::Edit => token.permissions.edit,
            _ => token.permissions.read || token.permissions.edit,
        };
        if !allowed {
            let needed = if right == Right::Edit { "edit" } else { "read" };
            let why = format!("this token lacks the permission `{needed}`");
            return Err(refused(StatusCode::FORBIDDEN, &why));
        }
        Ok(Caller { token: Some(token.clone()) })
    }

    /// Reads the tokens if the store has changed. A store that falls ill locks nobody out: what was read before stays.
    fn refresh(&self, store: &Store) {
        let Ok(version) = store.version() else { return };
        let current = |known: &Known| known.version == Some(version);
        if current(&self.known.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let Ok(tokens) = store.tokens() else { return };
        let tokens = tokens.into_iter().map(|token| (token.hash, token)).collect();
        *self.known.write().unwrap_or_else(PoisonError::into_inner) =
            Known { version: Some(version), tokens };
    }
}

pub(crate) fn out_of_scope() -> Refusal {
    refused(StatusCode::FORBIDDEN, "this token is for other gateways only")
}

fn refused(status: StatusCode, why: &str) -> Refusal {
    let message = format!("Authentication error: {why}; see `genesis token list`");
    Refusal::new(status, code::UNAUTHORIZED, message)
}

/// The token a client presents: as Cloudflare's API has it, or in the gateway's own header.
fn presented(headers: &HeaderMap) -> Option<&str> {
    let bearer = |value: &'_ str| -> Option<usize> {
        let scheme = value.get(..7)?;
        scheme.eq_ignore_ascii_case("bearer ").then_some(7)
    };
    ["cf-aig-authorization", AUTHORIZATION.as_str()]
        .iter()
        .filter_map(|name| headers.get(*name)?.to_str().ok())
        .map(|value| value[bearer(value).unwrap_or(0)..].trim())
        .find(|token| !token.is_empty())
}

/// Whether a web page of some other site may be behind this: pages can reach loopback.
pub(crate) fn is_from_the_web(headers: &HeaderMap) -> bool {
    [ORIGIN, HOST]
        .iter()
        .any(|name| headers.get(name).is_some_and(|place| !place.to_str().is_ok_and(is_local_place)))
}
