//! Under which key an answer is kept: the SHA-256 of everything it depends on.

use aws_lc_rs::digest::{Context, SHA256};
use genesis_config::GatewaySettings;
use genesis_store::CacheKey;
use genesis_wire::Dialect;
use genesis_wire::reshape::Wish;
use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderName, HeaderValue};

use crate::coding::readable_codings;
use crate::credential::Credential;
use crate::exchange::Call;
use crate::options::{is_secret, stays_here};

/// Headers that change what a provider answers, or for whom.
static MEANINGFUL: [HeaderName; 6] = [
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("anthropic-beta"),
    HeaderName::from_static("openai-beta"),
    HeaderName::from_static("openai-organization"),
    HeaderName::from_static("openai-project"),
    HeaderName::from_static("x-goog-user-project"),
];

/// What all keys of a request have in common; nothing is ever found across it.
#[derive(Clone)]
pub(super) struct Scope {
    hash: Hash,
}

/// Parts, told apart by their lengths.
#[derive(Clone)]
struct Hash(Context);

impl Hash {
    fn part(&mut self, part: impl AsRef<[u8]>) {
        let part = part.as_ref();
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    fn key(self) -> CacheKey {
        let mut key = CacheKey::default();
        key.copy_from_slice(self.0.finish().as_ref());
        key
    }
}

impl Scope {
    /// Account, gateway, provider, and whose credential: what separates tenants. Also how the answer may be encoded,
    /// since not every client can read every coding.
    pub(super) fn of(account: &str, gateway: &GatewaySettings, call: &Call<'_>) -> Self {
        let mut hash = Hash(Context::new(&SHA256));
        hash.part(b"genesis-cache-1");
        for part in [account, &gateway.id, &call.setup.provider().slug] {
            hash.part(part);
        }
        // The simulator listens somewhere else each time.
        let origin = &call.target.origin;
        hash.part(if call.target.simulated { "simulator".to_owned() } else { origin.authority() });
        hash.part([u8::from(origin.tls), u8::from(call.target.simulated)]);
        hash.part(call.target.dialect.map_or("", Dialect::name));
        credential(&mut hash, call);
        let codings = call.headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
        hash.part(codings.map(readable_codings).unwrap_or_default());
        if gateway.cache_invalidate_on_update {
            // Answers from before a change of the settings are never found again, restarts included.
            hash.part(serde_json::to_vec(gateway).unwrap_or_default());
        }
        Self { hash }
    }

    /// The client's own key stands for path, model, headers and body.
    pub(super) fn own(&self, key: &str, stream: bool) -> CacheKey {
        let mut hash = self.hash.clone();
        hash.part(b"own");
        hash.part([u8::from(stream)]);
        hash.part(key);
        hash.key()
    }

    /// This request to the letter.
    pub(super) fn exact(&self, call: &Call<'_>, body: &[u8]) -> CacheKey {
        let mut hash = self.request(call);
        hash.part(b"exact");
        hash.part(body);
        hash.key()
    }

    /// Requests that differ only in how the answer is to arrive.
    pub(super) fn alike(&self, call: &Call<'_>, wish: &Wish<'_>) -> CacheKey {
        let mut hash = self.request(call);
        hash.part(b"alike");
        for (name, value) in &wish.rest {
            hash.part(name.as_bytes());
            hash.part(value);
        }
        hash.key()
    }

    /// Requests that differ only in how the last message is worded; `rest` is everything but that.
    pub(super) fn meaning(&self, call: &Call<'_>, model: &str, rest: &str) -> CacheKey {
        let mut hash = self.request(call);
        hash.part(b"meaning");
        hash.part(model);
        hash.part(rest);
        hash.key()
    }

    fn request(&self, call: &Call<'_>) -> Hash {
        let mut hash = self.hash.clone();
        hash.part(without_keys(&call.target.path_and_query));
        for name in &MEANINGFUL {
            for value in call.headers.get_all(name) {
                hash.part(name);
                hash.part(value);
            }
        }
        // Of a known dialect the path and body say what comes back; elsewhere the client may choose by `accept`.
        if call.target.dialect.is_none() {
            for value in call.headers.get_all(ACCEPT) {
                hash.part(value);
            }
        }
        hash
    }
}

/// Whose answer it is: the caller's own key, or the stored one, which the caller may use or would not have got here. And
/// whatever else travels along that may be a secret, since it may be one for somebody else.
fn credential(hash: &mut Hash, call: &Call<'_>) {
    match &call.credential {
        Credential::None => hash.part(b"none"),
        Credential::Request => hash.part(b"request"),
        Credential::Header(name, value, key) => {
            hash.part(if key.is_the_clients_own() { "own" } else { "stored" });
            hash.part(name);
            hash.part(value);
        }
        Credential::Aws(key) => {
            hash.part(b"aws");
            hash.part(key.identity());
        }
        Credential::Google(key) => {
            hash.part(b"google");
            hash.part(key.identity());
        }
    }
    let secret = |name: &HeaderName| {
        !stays_here(name) && (is_secret(name.as_str()) || call.setup.key_slots.contains(name))
    };
    for (name, value) in call.headers.iter().filter(|(name, _)| secret(name)).chain(configured(call)) {
        hash.part(name);
        hash.part(value);
    }
    let (_, query) = call.target.path_and_query.split_once('?').unwrap_or_default();
    query.split('&').filter(|pair| is_key(pair)).for_each(|pair| hash.part(pair));
}

fn configured<'c>(call: &'c Call<'_>) -> impl Iterator<Item = (&'c HeaderName, &'c HeaderValue)> {
    call.setup.headers.iter().map(|(name, value)| (name, value))
}

/// The path without keys in its query, which count as the credential they are.
fn without_keys(path: &str) -> String {
    let Some((path, query)) = path.split_once('?') else { return path.to_owned() };
    let kept: Vec<_> = query.split('&').filter(|pair| !is_key(pair)).collect();
    format!("{path}?{}", kept.join("&"))
}

fn is_key(pair: &str) -> bool {
    matches!(pair.split_once('=').unwrap_or((pair, "")).0, "key" | "api_key" | "access_token")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_the_query_are_no_part_of_the_path() {
        assert_eq!(without_keys("/v1/x"), "/v1/x");
        assert_eq!(without_keys("/v1/x?key=AIza&alt=sse"), "/v1/x?alt=sse");
        assert_eq!(without_keys("/v1/x?a=b&api_key=s"), "/v1/x?a=b");
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let key = |parts: [&str; 2]| {
            let mut hash = Hash(Context::new(&SHA256));
            parts.iter().for_each(|part| hash.part(part));
            hash.key()
        };
        assert_ne!(key(["ab", "c"]), key(["a", "bc"]));
        assert_ne!(key(["", "abc"]), key(["abc", ""]));
    }
}
