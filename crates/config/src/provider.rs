//! A provider is a row of data: where it lives, how its key is sent, which dialects it speaks.

use std::fmt;

use genesis_wire::Dialect;

use crate::environment::{Environment, Unresolved};
use crate::file::{ModelEntry, ProviderAuth};
use crate::price::Price;
use crate::price_table::PriceTable;
use crate::secret::{ExposeSecret, Secret};
use crate::template::{Template, host_end};

/// An upstream API.
#[derive(Clone)]
pub struct Provider {
    /// Its name in URLs and model references.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Which URL a path stands for; the first that matches wins. Empty: no address known.
    pub routes: Vec<Template>,
    pub auth: Auth,
    /// Environment variables that may hold the key, the first one set wins.
    pub env: Vec<String>,
    /// Dialects spoken natively, the preferred one first.
    pub dialects: Vec<Dialect>,
    pub version: Version,
    /// Sent with every call. Values may hold `${VAR}`.
    pub headers: Vec<(String, String)>,
    /// From the configuration file; may hold `${VAR}`.
    pub api_key: Option<Secret>,
    pub provider_auth: ProviderAuth,
    /// The provider in the price table whose prices apply.
    pub price_provider: String,
    /// Headers, in lower case, in which a client may bring its own key for this provider.
    pub key_slots: Vec<String>,
    /// The operator wrote the address, so it may be private. Where this is false, a private address (as of a
    /// model server on this machine) is for the egress check to refuse unless private addresses are allowed.
    pub base_url_set: bool,
    /// Values for names in its endpoints that neither model nor key give: `project`, `region`, `resource`. May hold
    /// `${VAR}`.
    pub parameters: Vec<(&'static str, String)>,
    /// Models the operator described.
    pub models: Vec<ModelEntry>,
    /// The path of its realtime API, for clients that open a WebSocket on the provider alone.
    pub realtime: Option<String>,
    /// A request header that names the full upstream URL (fal's `x-fal-target-url`).
    pub target_header: Option<String>,
    /// Hosts, subdomains included, that `target_header` may name.
    pub target_hosts: Vec<String>,
    /// The same provider at further addresses; calls are spread over this one and those.
    pub others: Vec<Provider>,
    /// Aliases of stored keys that share the load of calls which ask for none; empty: `default` alone.
    pub key_aliases: Vec<String>,
    /// Not built in.
    pub custom: bool,
    /// Where each dialect is served, as a path for [`Provider::upstream_url`] with names in braces.
    pub(crate) endpoints: Vec<(Dialect, String)>,
    /// The address most routes are below; empty if there is none.
    pub(crate) base: String,
}

/// How a key is presented.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Auth {
    /// In this header, after this prefix.
    Header {
        name: String,
        prefix: String,
    },
    /// As a signature over the request; a Bedrock API key goes as a bearer token.
    AwsSigV4,
    /// As a short-lived token minted from a service account; a ready token goes as a bearer token.
    GoogleServiceAccount,
    None,
}

impl Auth {
    pub fn bearer() -> Self {
        Self::Header { name: "authorization".to_owned(), prefix: "Bearer ".to_owned() }
    }
}

/// What to do about a leading version segment (`v1`, `v1beta`), which clients send or leave out.
///
/// Applies to the catch-all route only; the others say exactly what they take.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Version {
    #[default]
    AsIs,
    /// The address has it: drop it from the path.
    Strip(String),
    /// The address lacks it: put it before a path that does not start with one.
    Add(String),
}

impl Version {
    fn apply(&self, rest: &str) -> String {
        let first = rest.split('/').next().unwrap_or_default();
        match self {
            Self::Strip(version) if first == version => {
                rest[first.len()..].trim_start_matches('/').to_owned()
            }
            Self::Add(version) if !rest.is_empty() && !is_version(first) => format!("{version}/{rest}"),
            _ => rest.to_owned(),
        }
    }
}

/// `v1`, `v2`, `v1beta`, `v1beta1`.
pub(crate) fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_digit()) && rest.chars().all(|c| c.is_ascii_alphanumeric())
    })
}

impl Provider {
    /// The upstream URL for a path. `rest` is what follows the slug: no leading slash, no query, percent-encoding
    /// as it came. `account` is the account of the request's URL (Workers AI needs it).
    pub fn upstream_url(&self, account: &str, rest: &str) -> Result<String, UrlError> {
        check_path(rest)?;
        if self.routes.is_empty() {
            return Err(UrlError::NoBaseUrl { slug: self.slug.clone() });
        }
        let versioned = self.version.apply(rest);
        let url = self.routes.iter().find_map(|route| {
            let rest = if route.takes_anything() { &versioned } else { rest };
            route.expand(account, rest)
        });
        match url {
            Some(url) if url.contains("${") => Err(UrlError::Unresolved { slug: self.slug.clone() }),
            Some(url) => Ok(url),
            None => Err(UrlError::NoRoute {
                slug: self.slug.clone(),
                expected: self.routes.iter().map(Template::to_string).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// Checks a full URL from the request header named by `target_header`.
    pub fn target_url(&self, target: &str) -> Result<String, UrlError> {
        let refused = || UrlError::Target { slug: self.slug.clone(), hosts: self.target_hosts.join(", ") };
        let rest = target.strip_prefix("https://").ok_or_else(refused)?;
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        let plain = host.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.');
        let host = host.to_ascii_lowercase();
        let allowed = self.target_hosts.iter().any(|allowed| {
            host == *allowed || host.strip_suffix(allowed.as_str()).is_some_and(|left| left.ends_with('.'))
        });
        if !plain || !allowed || target.chars().any(|c| c.is_ascii_control() || "#\\ ".contains(c)) {
            return Err(refused());
        }
        let path = rest.split('?').next().unwrap_or_default();
        check_path(path.split_once('/').map_or("", |(_, path)| path))?;
        Ok(target.to_owned())
    }

    /// The path, for [`Provider::upstream_url`], that serves a dialect; `None` if the provider does not speak it.
    ///
    /// Names in braces stay where `values` does not have them: `{model}`; for Bedrock `{region}`; for Vertex
    /// also `{project}`; for Azure `{resource}`. Streaming has a path
    /// of its own in some dialects, and Gemini's then wants the query `alt=sse`.
    pub fn endpoint(&self, dialect: Dialect, stream: bool, values: &[(&str, &str)]) -> Option<String> {
        let (_, pattern) = self.endpoints.iter().find(|(served, _)| *served == dialect)?;
        let mut path = pattern.clone();
        if stream {
            path = path
                .replace(":generateContent", ":streamGenerateContent")
                .replace(":rawPredict", ":streamRawPredict");
            if let Some(converse) = path.strip_suffix("/converse") {
                path = format!("{converse}/converse-stream");
            }
        }
        for (name, value) in values {
            path = path.replace(&format!("{{{name}}}"), &encode_segment(value));
        }
        Some(path)
    }

    /// A value for a name in its endpoints, if the file gives one.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// What `model` cost at a time (milliseconds since 1970, UTC): the operator's own figure if there is one,
    /// else the table's.
    pub fn price(&self, table: &PriceTable, model: &str, at_ms: i64) -> Option<Price> {
        let described = self.models.iter().find(|entry| entry.id == model);
        match described.and_then(|entry| entry.cost.as_ref()) {
            Some(cost) => Some(Price::configured(&self.slug, model, cost)),
            None => table.find(&self.price_provider, model, at_ms),
        }
    }

    /// The most tokens a model takes, input and output together, if the operator or the table says so.
    pub fn context_window(&self, table: &PriceTable, model: &str) -> Option<u64> {
        let described = self.models.iter().find(|entry| entry.id == model);
        described
            .and_then(|entry| entry.context_window)
            .or_else(|| table.context_window(&self.price_provider, model))
    }

    /// The most tokens of one answer where the request sets no limit: the operator's figure, or what the maker
    /// documents for the family, or the context window.
    pub fn most_output(&self, table: &PriceTable, model: &str) -> Option<u64> {
        /// Families by the beginning of their names, the longer one first.
        const FAMILIES: [(&str, u64); 13] = [
            ("claude-3-5", 8_192),
            ("claude-3-7", 128_000),
            ("claude-3-", 4_096),
            ("gemini-1.5", 8_192),
            ("gemini-2.0", 8_192),
            ("gemini-2.5", 65_536),
            ("gpt-3.5", 4_096),
            ("gpt-4-turbo", 4_096),
            ("gpt-4.1", 32_768),
            ("gpt-4o", 16_384),
            ("gpt-5", 128_000),
            ("o3", 100_000),
            ("o4", 100_000),
        ];
        let described = self.models.iter().find(|entry| entry.id == model).and_then(|entry| entry.max_tokens);
        let bare = model.rsplit('/').next().unwrap_or(model);
        let bare = bare.find("anthropic.").map_or(bare, |at| &bare[at + "anthropic.".len()..]);
        let family = FAMILIES.iter().find(|(beginning, _)| bare.starts_with(beginning));
        described.or(family.map(|(_, most)| *most)).or_else(|| self.context_window(table, model))
    }

    /// The provider with `${VAR}` in its address and parameters replaced. Headers and key stay as written: they are looked up
    /// at each call, so that a changed `.env` takes effect.
    pub fn resolved(&self, environment: &Environment) -> Result<Self, Unresolved> {
        let mut resolved = self.clone();
        for route in &mut resolved.routes {
            if route.url().contains("${") {
                let url = environment.substitute(route.url())?;
                *route = route.with_url(url.expose_secret().to_owned());
            }
        }
        for (_, value) in &mut resolved.parameters {
            *value = environment.substitute(value)?.expose_secret().to_owned();
        }
        Ok(resolved)
    }
}

/// Header values may be keys: only names are shown.
impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("slug", &self.slug)
            .field("routes", &self.routes.iter().map(Template::url).collect::<Vec<_>>())
            .field("auth", &self.auth)
            .field("version", &self.version)
            .field("dialects", &self.dialects)
            .field("headers", &self.headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("api_key", &self.api_key)
            .field("custom", &self.custom)
            .finish_non_exhaustive()
    }
}

/// Why a path has no upstream URL.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UrlError {
    #[error("the path has a `.` or `..` segment; send the path you mean")]
    DotSegment,
    #[error("the path has a character that no URL path may have; percent-encode it")]
    BadCharacter,
    #[error("no address for provider {slug}; set models.providers.{slug}.baseUrl in genesis.json")]
    NoBaseUrl { slug: String },
    #[error(
        "baseUrl of provider {slug} holds a ${{VAR}} that is not set; set it in the environment or in ~/.genesis/.env"
    )]
    Unresolved { slug: String },
    #[error("provider {slug} has no such path; it takes {expected}")]
    NoRoute { slug: String, expected: String },
    #[error("the target of provider {slug} must be an https URL on one of {hosts}")]
    Target { slug: String, hosts: String },
}

/// Refuses what an upstream, or a proxy before it, could read as another path.
fn check_path(rest: &str) -> Result<(), UrlError> {
    if rest.bytes().any(|byte| byte <= b' ' || byte >= 0x7f || b"?#\\".contains(&byte)) {
        return Err(UrlError::BadCharacter);
    }
    let decoded = rest.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
    match decoded.split('/').any(|segment| segment == "." || segment == "..") {
        true => Err(UrlError::DotSegment),
        false => Ok(()),
    }
}

/// An address without a trailing slash, or what is wrong with it.
pub(crate) fn check_base_url(url: &str) -> Result<String, &'static str> {
    let trimmed = url.trim().trim_end_matches('/');
    if trimmed.contains(['<', '>']) {
        return Err("still has a <placeholder>; put the real value there");
    }
    let rest = trimmed.strip_prefix("https://").or_else(|| trimmed.strip_prefix("http://"));
    // The whole address may come from a variable.
    let Some(rest) = rest else {
        return if trimmed.starts_with("${") {
            Ok(trimmed.to_owned())
        } else {
            Err("expected an http or https address")
        };
    };
    let host = &trimmed[trimmed.len() - rest.len()..host_end(trimmed)];
    if host.is_empty() {
        return Err("has no host");
    }
    if host.contains('@') {
        return Err("holds a user name; put the key into apiKey or headers");
    }
    if trimmed.contains(['?', '#', '*', '\\']) || trimmed.chars().any(char::is_whitespace) {
        return Err("may hold no query, fragment, `*`, backslash or space");
    }
    Ok(trimmed.to_owned())
}

/// One path segment: what has a meaning in URLs is percent-encoded. Vendors' model ids keep `:` and `@`.
fn encode_segment(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'@' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
