//! Body facts and settings → where the call goes, without I/O.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use genesis_config::{GatewaySettings, Provider, UrlError};
use genesis_wire::{Dialect, model_in_path};
use http::{HeaderMap, StatusCode};

use crate::failure::{Code, Failure};
use crate::snapshot::{ProviderSetup, Snapshot};
use crate::upstream::Origin;

/// Where one call goes.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) origin: Arc<Origin>,
    pub(crate) path_and_query: String,
    pub(crate) dialect: Option<Dialect>,
    /// The model as the path names it, for dialects that keep it there.
    pub(crate) model: Option<String>,
    pub(crate) simulated: bool,
}

impl Target {
    /// The whole URL, for signatures.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.origin.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.origin.authority(), self.path_and_query)
    }
}

/// The one target of a provider-path request.
pub(crate) fn target(
    snapshot: &Snapshot,
    provider: &Provider,
    setup: &ProviderSetup,
    account: &str,
    rest: &str,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Result<Target, Failure> {
    let chosen = provider.target_header.as_ref().and_then(|name| headers.get(name)?.to_str().ok());
    let place = match chosen {
        Some(url) => Rc::new(Place::find(provider, provider.target_url(url), snapshot.allow_private)?),
        None => known_place(snapshot, provider, setup.member, account, rest)?,
    };
    let mut path_and_query = place.path.clone();
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        path_and_query.push(if path_and_query.contains('?') { '&' } else { '?' });
        path_and_query.push_str(query);
    }
    let mut origin = Arc::clone(&place.origin);
    let simulated = match (setup.simulated, snapshot.simulator) {
        (true, Some(address)) => {
            let host = address.ip().to_string();
            origin = Arc::new(Origin { tls: false, host, port: address.port(), trusted: true });
            true
        }
        _ => false,
    };
    Ok(Target { origin, path_and_query, dialect: place.dialect, model: place.model.clone(), simulated })
}

/// What a path of a provider stands for.
struct Place {
    origin: Arc<Origin>,
    path: String,
    dialect: Option<Dialect>,
    model: Option<String>,
}

impl Place {
    fn find(provider: &Provider, url: Result<String, UrlError>, trusted: bool) -> Result<Self, Failure> {
        let url = url.map_err(|error| unusable_url(&error))?;
        let broken =
            || Failure::misconfigured(format!("the base URL of provider {} is not a URL", provider.slug));
        let (origin, path) = Origin::of_url(&url, trusted).ok_or_else(broken)?;
        let bare = path.split('?').next().unwrap_or_default();
        let (dialect, model) = (Dialect::of_path(bare), model_in_path(bare).map(str::to_owned));
        Ok(Self { origin: Arc::new(origin), path, dialect, model })
    }
}

/// Paths repeat, so what they stand for is remembered: per thread, for one snapshot, a few hundred at most.
fn known_place(
    snapshot: &Snapshot,
    provider: &Provider,
    member: usize,
    account: &str,
    rest: &str,
) -> Result<Rc<Place>, Failure> {
    const KEPT: usize = 512;
    thread_local! {
        static KNOWN: RefCell<(u64, HashMap<String, Rc<Place>>)> = RefCell::default();
    }
    let mut key = [&provider.slug, "\n", account, "\n", rest].concat();
    if member > 0 {
        key.push_str(&format!("\n{member}"));
    }
    let of = snapshot.generation;
    KNOWN.with_borrow_mut(|(known_of, known)| {
        if *known_of != of || known.len() >= KEPT {
            *known_of = of;
            known.clear();
        }
        if let Some(place) = known.get(&key) {
            return Ok(Rc::clone(place));
        }
        let trusted = provider.base_url_set || snapshot.allow_private;
        let place = Rc::new(Place::find(provider, provider.upstream_url(account, rest), trusted)?);
        known.insert(key, Rc::clone(&place));
        Ok(place)
    })
}

/// The settings of a gateway, or Cloudflare's own error for one that does not exist.
pub(crate) fn gateway<'a>(
    snapshot: &'a Snapshot,
    account: &str,
    id: &str,
) -> Result<&'a Arc<GatewaySettings>, Failure> {
    let known_account = snapshot.accounts.as_ref().is_none_or(|accounts| accounts.contains(account));
    let gateway = match snapshot.gateways.get(id) {
        Some(gateway) => Some(gateway),
        None if id == "default" => Some(&snapshot.default_gateway),
        None => None,
    };
    gateway.filter(|_| known_account).ok_or_else(|| {
        let hint = if known_account {
            "no gateway of this name exists; add it under gateway.gateways in genesis.json, or use `default`"
        } else {
            "this account id is not served here; see gateway.accounts in genesis.json"
        };
        Failure::refused(
            StatusCode::BAD_REQUEST,
            Code::UnknownGateway,
            "Please configure AI Gateway in the Cloudflare dashboard",
            hint,
        )
    })
}

pub(crate) fn unknown_provider(snapshot: &Snapshot, slug: &str) -> Failure {
    let shown: String = slug.chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
    let description = match snapshot.nearest_provider(slug) {
        Some(nearest) => format!("no provider `{shown}`; did you mean `{nearest}`?"),
        None => format!("no provider `{shown}`; give it a baseUrl under models.providers in genesis.json"),
    };
    Failure::refused(StatusCode::BAD_REQUEST, Code::InvalidProvider, "Invalid provider", description)
}

pub(crate) fn malformed(description: impl Into<String>) -> Failure {
    Failure::refused(StatusCode::BAD_REQUEST, Code::MalformedRequest, "Malformed request", description)
}

fn unusable_url(error: &UrlError) -> Failure {
    match error {
        UrlError::NoBaseUrl { .. } | UrlError::Unresolved { .. } => Failure::misconfigured(error.to_string()),
        error => malformed(error.to_string()),
    }
}

impl Origin {
    /// The origin of a URL and the path with query that follows it.
    pub(crate) fn of_url(url: &str, trusted: bool) -> Option<(Self, String)> {
        let (scheme, rest) = url.split_once("://")?;
        let tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = path.split('#').next().unwrap_or_default();
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        if authority.contains('@') {
            return None; // credentials in a URL end up in logs
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
            _ => (authority, if tls { 443 } else { 80 }),
        };
        (!host.is_empty()).then(|| (Self { tls, host: host.to_ascii_lowercase(), port, trusted }, path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_fall_apart_into_origin_and_path() {
        for (url, expected) in [
            ("https://api.openai.com/v1/x", Some((true, "api.openai.com", 443, "/v1/x"))),
            ("http://127.0.0.1:8080", Some((false, "127.0.0.1", 8080, "/"))),
            ("http://[::1]:8080/a?b=c", Some((false, "[::1]", 8080, "/a?b=c"))),
            ("http://[::1]/a", Some((false, "[::1]", 80, "/a"))),
            ("https://Host?x=1", Some((true, "host", 443, "/?x=1"))),
            ("https://user@host/", None),
            ("ftp://host/", None),
            ("host/path", None),
            ("https:///x", None),
            ("https://host:x/", None),
        ] {
            let found = Origin::of_url(url, true);
            let found = found.as_ref().map(|(o, path)| (o.tls, o.host.as_str(), o.port, path.as_str()));
            assert_eq!(found, expected, "{url}");
        }
    }
}
