//! What is sent beside the body, keys included, and what of it is secret.

use genesis_config::{Auth, Environment, ExposeSecret, Provider, ProviderAuth, Secret};
use genesis_wire::Dialect;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::connection::Origin;
use super::credential::Credential;
use super::failure::{Cause, Failure};
use super::place::Place;
use super::target::RELAY;

/// What a gateway's own token goes in.
pub(super) const GATEWAY_TOKEN: &str = "cf-aig-authorization";
/// Shorter values are no secrets, and masking them would garble messages.
const LEAST_SECRET: usize = 8;

pub(super) struct Headers {
    pub(super) map: HeaderMap,
    secrets: Vec<Secret>,
}

impl Headers {
    /// All but the key. What the file says replaces what is usual.
    pub(super) fn new(
        provider: &Provider,
        place: &Place,
        dialect: Dialect,
        origin: &Origin,
        environment: &Environment,
    ) -> Result<Self, Failure> {
        let mut headers = Self { map: HeaderMap::new(), secrets: Vec::new() };
        let map = &mut headers.map;
        map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        map.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        map.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        map.insert(USER_AGENT, HeaderValue::from_static(concat!("genesis/", env!("CARGO_PKG_VERSION"))));
        if dialect == Dialect::AnthropicMessages {
            map.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
        }
        for (name, text) in &provider.headers {
            headers.add(name, text, place, environment)?;
        }
        let host = HeaderValue::from_str(&origin.authority());
        let host = host.map_err(|_| setup(format!("{} has no usable host", place.field("baseUrl"))))?;
        headers.map.insert(HOST, host);
        Ok(headers)
    }

    fn add(
        &mut self,
        name: &str,
        text: &str,
        place: &Place,
        environment: &Environment,
    ) -> Result<(), Failure> {
        let unusable = |why: &str| setup(format!("{}: {why}", place.header(name)));
        let value = environment.substitute(text).map_err(|unset| unusable(&unset.to_string()))?;
        let value = value.expose_secret();
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable("is no header name"))?;
        let mut header = HeaderValue::from_str(value)
            .map_err(|_| unusable("its value holds a character that no header can carry"))?;
        header.set_sensitive(true);
        self.map.insert(name, header);
        // Which header holds a secret is for the user to know; all are kept out of messages.
        let bare = value.strip_prefix("Bearer ").unwrap_or(value).trim();
        self.secrets.push(Secret::from(bare.to_owned()));
        Ok(())
    }

    /// The key, as the provider wants it.
    pub(super) fn attach(
        &mut self,
        secret: &Secret,
        credential: &Credential,
        auth: &Auth,
    ) -> Result<(), Failure> {
        let unusable =
            |why: &str| Failure::new(Cause::NoCredential, format!("the key from {credential} {why}"));
        let text = secret.expose_secret().trim();
        self.secrets.push(Secret::from(text.to_owned()));
        let (name, prefix) = match auth {
            Auth::None => return Ok(()),
            Auth::Header { name, prefix } => (name.as_str(), prefix.as_str()),
            Auth::AwsSigV4 | Auth::GoogleServiceAccount if text.starts_with('{') => {
                return Err(unusable("has to be turned into a signature, which only a gateway does")
                    .hint("run `genesis gateway run` and call it there, or use an API key of the provider"));
            }
            Auth::AwsSigV4 | Auth::GoogleServiceAccount => ("authorization", "Bearer "),
        };
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable("has no header to go in"))?;
        // A header the user wrote says how the key is to be sent.
        if self.map.contains_key(&name) {
            return Ok(());
        }
        let mut value = HeaderValue::from_str(&format!("{prefix}{text}"))
            .map_err(|_| unusable("holds a character that no header can carry; paste it again"))?;
        value.set_sensitive(true);
        self.map.insert(name, value);
        Ok(())
    }

    /// Refuses a call that can only end in a refusal.
    pub(super) fn require_credential(
        &self,
        credential: &Credential,
        provider: &Provider,
        place: &Place,
        origin: &Origin,
    ) -> Result<(), Failure> {
        let has_token = self.map.contains_key(GATEWAY_TOKEN);
        let set_token = format!("set {} to \"Bearer ${{CF_AIG_TOKEN}}\"", place.header(GATEWAY_TOKEN));
        let none = |message: String| Failure::new(Cause::NoCredential, message);
        let no_key =
            || none(format!("there is no key for {}", provider.name)).hint(how_to_set_a_key(provider));
        match (credential, provider.provider_auth) {
            (Credential::Gateway, _) if !has_token && origin.host.ends_with(".cloudflare.com") => {
                let what =
                    format!("{} is \"stored\", and no gateway token is set", place.field("providerAuth"));
                Err(none(what).hint(format!("{set_token}: stored keys are for authenticated callers")))
            }
            (Credential::None, ProviderAuth::Key) => Err(no_key()),
            // The operator's own address may well take no key; so may a gateway that keeps it.
            (Credential::None, _) if has_token || provider.auth == Auth::None || origin.is_local() => Ok(()),
            (Credential::None, _) if provider.slug == RELAY => {
                Err(none("there is neither a provider's key nor a gateway token".to_owned())
                    .hint(format!("a key: {}", how_to_set_a_key(provider)))
                    .hint(format!("or, if the gateway keeps the key: {set_token}")))
            }
            (Credential::None, _) if !provider.custom => Err(no_key()),
            _ => Ok(()),
        }
    }

    pub(super) fn into_parts(mut self) -> (HeaderMap, Vec<Secret>) {
        self.secrets.retain(|secret| secret.expose_secret().len() >= LEAST_SECRET);
        (self.map, self.secrets)
    }
}

pub(super) fn how_to_set_a_key(provider: &Provider) -> String {
    match provider.env.first() {
        Some(variable) => format!(
            "put {variable}=… into ~/.genesis/.env or the environment, or run `genesis key set {}`",
            provider.slug
        ),
        None => format!("run `genesis key set {}`", provider.slug),
    }
}

fn setup(message: String) -> Failure {
    Failure::new(Cause::Setup, message)
}
