//! Reference and settings → address, dialect, headers. No I/O but reading a sealed key; if a part is missing, nothing
//! is sent.

use genesis_config::edit::Path;
use genesis_config::{Auth, ExposeSecret, Provider, ProviderAuth, Providers, Secret};
use genesis_store::KeyRow;
use genesis_wire::Dialect;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::connection::Origin;
use super::credential::{Credential, credential};
use super::failure::{Cause, Failure};
use crate::assemble;
use crate::command::models::reference::{self, Reference};
use crate::home::{Home, Settings};
use crate::render::plain;

/// Bedrock's region where a key names none.
const BEDROCK_REGION: &str = "us-east-1";
const GATEWAY_TOKEN: &str = "cf-aig-authorization";
/// Shorter values are no secrets, and masking them would garble messages.
const LEAST_SECRET: usize = 8;

/// What a model reference stands for, ready to be called.
pub(crate) struct Target {
    pub(crate) reference: Reference,
    pub(crate) provider: Provider,
    pub(crate) dialect: Dialect,
    pub(crate) credential: Credential,
    pub(crate) origin: Origin,
    pub(super) url: String,
    pub(super) headers: HeaderMap,
    /// The user's own parameters for this model.
    pub(super) params: Map<String, Value>,
    /// Behind a gateway, the provider it passes this call on to.
    pub(super) maker: Option<Provider>,
    /// As the file writes its name.
    written_as: String,
    secrets: Vec<Secret>,
}

impl Target {
    /// The model a reference or alias means.
    pub(crate) fn find(text: &str, settings: &Settings, home: &Home) -> Result<Self, Failure> {
        let providers = assemble::providers(settings).map_err(|failed| Failure::of(Cause::Setup, failed))?;
        let agents = &settings.file.agents;
        let mut reference = reference::find(text, agents, &providers, true)
            .map_err(|failed| Failure::of(Cause::Reference, failed))?;
        let provider = reference::provider_of(&reference, &providers)
            .map_err(|failed| Failure::of(Cause::Reference, failed))?;
        reference.provider.clone_from(&provider.slug);
        let stored = stored_keys(home, settings)?;
        let credential = credential(provider, &stored, &settings.environment);
        Drafting { settings, home, provider, providers: &providers }.target(reference, credential)
    }

    /// A place in the file about this provider, such as `models.providers.anthropic.baseUrl`.
    pub(super) fn path_of(&self, rest: &str) -> String {
        let names = ["models", "providers", &self.written_as];
        Path::of(names.into_iter().chain(rest.split('.'))).to_string()
    }

    /// `text` without any secret that was sent, harmless for a terminal.
    pub(super) fn masked(&self, text: &str) -> String {
        let secrets = self.secrets.iter().map(ExposeSecret::expose_secret);
        plain(&secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "***")))
    }

    pub(super) fn sends_gateway_token(&self) -> bool {
        self.headers.contains_key(GATEWAY_TOKEN)
    }

    pub(super) fn how_to_set_a_key(&self) -> String {
        how_to_set_a_key(&self.provider)
    }

    /// Output tokens at most, where the file says so.
    pub(super) fn max_output(&self) -> Option<u64> {
        let described = self.provider.models.iter().find(|model| model.id == self.reference.model);
        described.and_then(|model| model.max_tokens)
    }
}

/// Only names, never header values.
impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("reference", &self.reference)
            .field("dialect", &self.dialect)
            .field("credential", &self.credential)
            .finish_non_exhaustive()
    }
}

fn stored_keys(home: &Home, settings: &Settings) -> Result<Vec<KeyRow>, Failure> {
    home.store_to_read(settings)
        .and_then(|store| Ok(store.map(|store| store.keys()).transpose()?.unwrap_or_default()))
        .map_err(|failed| Failure::of(Cause::Setup, failed))
}

struct Drafting<'a> {
    settings: &'a Settings,
    home: &'a Home,
    provider: &'a Provider,
    providers: &'a Providers,
}

impl Drafting<'_> {
    fn target(&self, reference: Reference, credential: Credential) -> Result<Target, Failure> {
        self.check_variables(&credential)?;
        let provider = self.provider.resolved(&self.settings.environment);
        let provider = provider.map_err(|unset| setup(unset.to_string()))?;
        let conversation = |dialect: &&Dialect| **dialect != Dialect::OpenAiEmbeddings;
        let Some(dialect) = provider.dialects.iter().find(conversation).copied() else {
            return Err(setup(format!("{} offers no conversations", provider.name)));
        };
        let url = self.url(&provider, dialect, &reference.model)?;
        let origin = Origin::of(&url)
            .ok_or_else(|| setup(format!("{} is no http or https address", self.path("baseUrl"))))?;
        let (mut headers, mut secrets) = self.headers(dialect, &origin)?;
        self.require_credential(&credential, &headers, &origin)?;
        if let Some(secret) = credential.secret(&provider, self.home, self.settings)? {
            self.attach(&secret, &credential, &mut headers)?;
            secrets.push(Secret::from(secret.expose_secret().trim().to_owned()));
        }
        secrets.retain(|secret| secret.expose_secret().len() >= LEAST_SECRET);
        Ok(Target {
            params: self.params(&reference),
            maker: self.maker(&reference.model, &origin, &url),
            written_as: self.written_as().to_owned(),
            reference,
            provider,
            dialect,
            credential,
            origin,
            url,
            headers,
            secrets,
        })
    }

    /// Every `${VAR}` that this call would need has a value.
    fn check_variables(&self, credential: &Credential) -> Result<(), Failure> {
        let about = self.path("");
        let key = self.path("apiKey");
        let key_needed = *credential == Credential::None;
        let mut unset = self.settings.file.unresolved(&self.settings.environment);
        unset.retain(|problem| {
            let here = problem.path.strip_prefix(&about).is_some_and(|rest| rest.starts_with(['.', '[']));
            here && (problem.path != key || key_needed)
        });
        if let Ok(text) = std::fs::read_to_string(self.home.config_path()) {
            genesis_config::Problem::locate(&text, &mut unset);
        }
        let lines: Vec<String> = unset.iter().map(ToString::to_string).collect();
        if lines.is_empty() { Ok(()) } else { Err(setup(lines.join("\n"))) }
    }

    fn url(&self, provider: &Provider, dialect: Dialect, model: &str) -> Result<String, Failure> {
        let path = provider.endpoint(dialect, true, &[("model", model), ("region", BEDROCK_REGION)]);
        let path = path.filter(|path| !path.contains('{')).ok_or_else(|| {
            setup(format!("{} needs more than a model's name", provider.name))
                .hint("call it through a gateway on its own path, `/v1/<account>/<gateway>/<provider>/…`")
        })?;
        let account = self.settings.environment.lookup("CLOUDFLARE_ACCOUNT_ID");
        let account = account.map(|(id, _)| id.expose_secret()).unwrap_or_default();
        let url = provider.upstream_url(account, &path).map_err(|error| {
            let failure = setup(error.to_string());
            match provider.slug.as_str() {
                "cloudflare-ai-gateway" => {
                    failure.hint("`genesis onboard --auth-choice cloudflare-ai-gateway-api-key` sets it up")
                }
                _ => failure,
            }
        })?;
        Ok(if dialect == Dialect::GeminiGenerate { format!("{url}?alt=sse") } else { url })
    }

    /// What is sent beside the body, without the key; and what of it is secret.
    fn headers(&self, dialect: Dialect, origin: &Origin) -> Result<(HeaderMap, Vec<Secret>), Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("genesis/", env!("CARGO_PKG_VERSION"))));
        if dialect == Dialect::AnthropicMessages {
            headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
        }
        let mut secrets = Vec::new();
        for (name, text) in &self.provider.headers {
            let path = self.path_to_header(name);
            let unusable = |why: &str| setup(format!("{path}: {why}"));
            let value =
                self.settings.environment.substitute(text).map_err(|unset| unusable(&unset.to_string()))?;
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable("is no header name"))?;
            let mut header = HeaderValue::from_str(value.expose_secret())
                .map_err(|_| unusable("its value holds a character that no header can carry"))?;
            header.set_sensitive(true);
            headers.insert(name, header);
            let bare = value.expose_secret().trim_start_matches("Bearer ").trim();
            if text.contains("${") || bare.len() < value.expose_secret().len() {
                secrets.push(Secret::from(bare.to_owned()));
            }
        }
        let host = HeaderValue::from_str(&origin.authority());
        headers
            .insert(HOST, host.map_err(|_| setup(format!("{} has no usable host", self.path("baseUrl"))))?);
        Ok((headers, secrets))
    }

    fn attach(
        &self,
        secret: &Secret,
        credential: &Credential,
        headers: &mut HeaderMap,
    ) -> Result<(), Failure> {
        let unusable =
            |why: &str| Failure::new(Cause::NoCredential, format!("the key from {credential} {why}"));
        let text = secret.expose_secret().trim();
        let (name, prefix) = match &self.provider.auth {
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
        if headers.contains_key(&name) {
            return Ok(());
        }
        let mut value = HeaderValue::from_str(&format!("{prefix}{text}"))
            .map_err(|_| unusable("holds a character that no header can carry; paste it again"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
        Ok(())
    }

    /// Refuses a call that can only end in a refusal.
    fn require_credential(
        &self,
        credential: &Credential,
        headers: &HeaderMap,
        origin: &Origin,
    ) -> Result<(), Failure> {
        let provider = self.provider;
        let has_token = headers.contains_key(GATEWAY_TOKEN);
        let token = self.path_to_header(GATEWAY_TOKEN);
        let none = |message: String| Failure::new(Cause::NoCredential, message);
        match (credential, provider.provider_auth) {
            (Credential::Gateway, _) if !has_token && origin.host.ends_with(".cloudflare.com") => Err(none(
                format!("{} is \"stored\", and no gateway token is set", self.path("providerAuth")),
            )
            .hint(format!(
                "set {token} to \"Bearer ${{CF_AIG_TOKEN}}\": stored keys are for authenticated callers"
            ))),
            (Credential::None, ProviderAuth::Key) => {
                Err(none(format!("there is no key for {}", provider.name)).hint(how_to_set_a_key(provider)))
            }
            // The operator's own address may well take no key; so may a gateway that keeps it.
            (Credential::None, _) if has_token || provider.auth == Auth::None || origin.is_local() => Ok(()),
            (Credential::None, _) if provider.slug == "cloudflare-ai-gateway" => {
                Err(none("there is neither a provider's key nor a gateway token".to_owned())
                    .hint(format!("a key: {}", how_to_set_a_key(provider)))
                    .hint(format!(
                        "or, if the gateway keeps the key: set {token} to \"Bearer ${{CF_AIG_TOKEN}}\""
                    )))
            }
            (Credential::None, _) if !provider.custom => {
                Err(none(format!("there is no key for {}", provider.name)).hint(how_to_set_a_key(provider)))
            }
            _ => Ok(()),
        }
    }

    fn params(&self, reference: &Reference) -> Map<String, Value> {
        let mut notes = self.settings.file.agents.defaults.models.iter();
        let is_it = |text: &str| {
            Reference::split(text).is_some_and(|noted| {
                let provider = self.providers.find(&noted.provider);
                noted.model == reference.model
                    && provider.is_some_and(|found| found.slug == reference.provider)
            })
        };
        notes.find(|(text, _)| is_it(text)).map(|(_, note)| note.params.clone()).unwrap_or_default()
    }

    /// Behind a gateway, the provider it passes this call on to.
    fn maker(&self, model: &str, origin: &Origin, url: &str) -> Option<Provider> {
        let path = url.split_once(&origin.authority())?.1;
        let mut segments = path.trim_start_matches('/').split('/');
        let (version, behind) = (segments.next()?, segments.nth(2)?);
        match behind {
            _ if version != "v1" => None,
            "compat" => self.providers.find(model.split_once('/')?.0).cloned(),
            slug => self.providers.find(slug).cloned(),
        }
    }

    fn written_as(&self) -> &str {
        let mut written = self.settings.file.models.providers.keys();
        let is_it = |name: &&String| {
            self.providers.find(name).is_some_and(|provider| provider.slug == self.provider.slug)
        };
        written.find(is_it).map_or(&self.provider.slug, String::as_str)
    }

    /// A place in the file about this provider; of the block itself if `field` is empty.
    fn path(&self, field: &str) -> String {
        let names = ["models", "providers", self.written_as(), field];
        Path::of(names.into_iter().filter(|name| !name.is_empty())).to_string()
    }

    fn path_to_header(&self, name: &str) -> String {
        Path::of(["models", "providers", self.written_as(), "headers", name]).to_string()
    }
}

fn how_to_set_a_key(provider: &Provider) -> String {
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
