//! One request to the management API, from its path to its handler.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use genesis_store::Store;
use http::header::{ALLOW, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::{Map, Value};

use crate::access::{Caller, out_of_scope};
use crate::endpoints::{ENDPOINTS, Endpoint};
use crate::envelope::{Body, Refusal, code};
use crate::query::{Query, decode};
use crate::{Admin, Declared};

/// Bodies of this API are settings; a megabyte is far beyond any.
const LARGEST_BODY: usize = 1 << 20;

/// A request whose caller, parameters and body have been checked.
pub(crate) struct Call<'a> {
    pub(crate) admin: &'a Admin,
    pub(crate) declared: Arc<Declared>,
    pub(crate) caller: Caller,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) query: Query,
    pub(crate) body: Map<String, Value>,
    pub(crate) now_ms: i64,
    params: Vec<(&'static str, String)>,
}

impl Call<'_> {
    pub(crate) fn store(&self) -> &Store {
        &self.admin.store
    }

    /// The account of the URL; empty where it names none.
    pub(crate) fn account(&self) -> &str {
        self.param("account")
    }

    /// A part of the path by the name the table gives it.
    pub(crate) fn param(&self, name: &str) -> &str {
        let found = self.params.iter().find(|(other, _)| *other == name);
        found.map_or("", |(_, value)| value)
    }

    /// Whether a row of this account is the caller's to see: an install that names no accounts has only one tenant.
    pub(crate) fn owns(&self, account: &str) -> bool {
        self.declared.accounts.is_none() || account == self.account()
    }
}

pub(crate) fn answer(admin: &Admin, request: &Request<Bytes>) -> Response<Body> {
    let path = request.uri().path().trim_end_matches('/');
    let found: Vec<_> =
        ENDPOINTS.iter().filter_map(|endpoint| Some((endpoint, fit(endpoint.path, path)?))).collect();
    let same = |method: &Method| {
        method == request.method() || request.method() == Method::HEAD && method == Method::GET
    };
    let Some((endpoint, params)) = found.iter().find(|(endpoint, _)| same(&endpoint.method)) else {
        return match found.is_empty() {
            true => no_route(path).response(),
            false => wrong_method(&found),
        };
    };
    handle(admin, request, endpoint, params.clone()).unwrap_or_else(Refusal::response)
}

fn handle(
    admin: &Admin,
    request: &Request<Bytes>,
    endpoint: &Endpoint,
    params: Vec<(&'static str, String)>,
) -> Result<Response<Body>, Refusal> {
    let now_ms = now_ms();
    let declared = admin.declared();
    let dev = declared.dev_gateways.is_some();
    let caller = admin.access.admit(&admin.store, request.headers(), endpoint.right, dev, now_ms)?;
    let mut call = Call {
        admin,
        declared,
        caller,
        headers: request.headers(),
        query: Query::read(request.uri().query()),
        body: Map::new(),
        now_ms,
        params,
    };
    if call.params.iter().any(|(name, _)| *name == "account") {
        let account = call.account();
        if call.declared.accounts.as_ref().is_some_and(|served| !served.iter().any(|id| id == account)) {
            let message = "this account id is not served here; see gateway.accounts in genesis.json";
            return Err(Refusal::new(StatusCode::FORBIDDEN, code::UNAUTHORIZED, message));
        }
    }
    if !endpoint.in_scope(&call) {
        return Err(out_of_scope());
    }
    call.query.check(endpoint.query)?;
    if let Some(shape) = &endpoint.body {
        let body = read_body(request.body())?;
        let problems = shape.check(&body);
        if !problems.is_empty() {
            return Err(Refusal::problems("body", problems));
        }
        if let Value::Object(body) = body {
            call.body = body;
        }
    }
    (endpoint.run)(&call)
}

/// Parts of the path by name, if it fits the template.
fn fit(template: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let (mut names, mut parts) = (template.split('/'), path.split('/'));
    let mut params = Vec::new();
    loop {
        match (names.next(), parts.next()) {
            (None, None) => return Some(params),
            (Some(name), Some(part)) => {
                match name.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                    Some(name) if !part.is_empty() => params.push((name, decode(part))),
                    None if name == part => {}
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
}

fn read_body(body: &Bytes) -> Result<Value, Refusal> {
    if body.len() > LARGEST_BODY {
        let message = format!("the body may take {LARGEST_BODY} bytes");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, code::INVALID, message));
    }
    if body.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    serde_json::from_slice(body).map_err(|error| {
        // serde's words name a position and never quote the text.
        Refusal::invalid("body", "", format!("the body is no JSON: {error}"))
    })
}

fn no_route(path: &str) -> Refusal {
    let shown: String = path.chars().take(200).collect();
    let message = format!("Could not route to {shown}, perhaps your object identifier is invalid?");
    Refusal::new(StatusCode::NOT_FOUND, code::NO_ROUTE, message)
}

fn wrong_method(found: &[(&Endpoint, Vec<(&'static str, String)>)]) -> Response<Body> {
    let methods: Vec<_> = found.iter().map(|(endpoint, _)| endpoint.method.as_str()).collect();
    let allowed = methods.join(", ");
    let message = format!("this path answers {allowed}");
    let mut response = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, code::INVALID, message).response();
    if let Ok(allowed) = HeaderValue::from_str(&allowed) {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}

pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// As Cloudflare writes times: `2026-11-22T12:00:00.000Z`.
pub(crate) fn moment(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    format!("{time:.3}")
}
