//! Reference and settings → address, dialect, headers. No I/O but reading a sealed key; if a part is missing, nothing
//! is sent.

use genesis_config::{ExposeSecret, Problem, Provider, Providers, Secret};
use genesis_store::KeyRow;
use genesis_wire::Dialect;
use http::HeaderMap;
use serde_json::{Map, Value};

use super::connection::Origin;
use super::credential::{Credential, credential};
use super::failure::{Cause, Failure};
use super::headers::{GATEWAY_TOKEN, Headers, how_to_set_a_key};
use super::place::Place;
use crate::assemble;
use crate::command::models::reference::{self, Reference};
use crate::home::{Home, Settings};
use crate::render::plain;

/// The provider that is a gateway.
pub(super) const RELAY: &str = "cloudflare-ai-gateway";
/// Bedrock's region where a key names none.
const BEDROCK_REGION: &str = "us-east-1";

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
    pub(super) place: Place,
    secrets: Vec<Secret>,
}

impl Target {
    /// The model a reference or alias means.
    pub(crate) fn find(text: &str, settings: &Settings, home: &Home) -> Result<Self, Failure> {
        let providers = assemble::providers(settings).map_err(|failed| Failure::of(Cause::Setup, failed))?;
        let unknown = |failed| Failure::of(Cause::Reference, failed);
        let mut reference =
            reference::find(text, &settings.file.agents, &providers, true).map_err(unknown)?;
        let provider = reference::provider_of(&reference, &providers).map_err(unknown)?;
        reference.provider.clone_from(&provider.slug);
        let place = Place::of(provider, &providers, settings);
        Finding { settings, home, provider, providers: &providers, place }.target(reference)
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

struct Finding<'a> {
    settings: &'a Settings,
    home: &'a Home,
    provider: &'a Provider,
    providers: &'a Providers,
    place: Place,
}

impl Finding<'_> {
    fn target(self, reference: Reference) -> Result<Target, Failure> {
        let environment = &self.settings.environment;
        // A store that is ill matters only if the key is in it.
        let (stored, ill) = match self.stored_keys() {
            Ok(stored) => (stored, None),
            Err(failure) => (Vec::new(), Some(failure)),
        };
        let credential = credential(self.provider, &stored, environment);
        self.check_variables(&credential)?;
        let provider = self.provider.resolved(environment).map_err(|unset| setup(unset.to_string()))?;
        let conversation = |dialect: &&Dialect| **dialect != Dialect::OpenAiEmbeddings;
        let Some(dialect) = provider.dialects.iter().find(conversation).copied() else {
            return Err(setup(format!("{} offers no conversations", provider.name)));
        };
        let url = self.url(&provider, dialect, &reference.model)?;
        let origin = Origin::of(&url)
            .ok_or_else(|| setup(format!("{} is no http or https address", self.place.field("baseUrl"))))?;
        let mut headers = Headers::new(&provider, &self.place, dialect, &origin, environment)?;
        headers.require_credential(&credential, &provider, &self.place, &origin).map_err(
            |failure| match ill {
                Some(ill) => failure.hint(format!("stored keys cannot be read: {}", ill.message)),
                None => failure,
            },
        )?;
        if let Some(secret) = credential.secret(&provider, self.home, self.settings)? {
            headers.attach(&secret, &credential, &provider.auth)?;
        }
        let (headers, secrets) = headers.into_parts();
        Ok(Target {
            params: self.params(&reference),
            maker: self.maker(&reference.model, &origin, &url),
            place: self.place,
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

    fn stored_keys(&self) -> Result<Vec<KeyRow>, Failure> {
        let store = self.home.store_to_read(self.settings);
        store
            .and_then(|store| Ok(store.map(|store| store.keys()).transpose()?.unwrap_or_default()))
            .map_err(|failed| Failure::of(Cause::Setup, failed))
    }

    /// Every `${VAR}` that this call would need has a value.
    fn check_variables(&self, credential: &Credential) -> Result<(), Failure> {
        let (block, key) = (self.place.block(), self.place.field("apiKey"));
        let key_needed = *credential == Credential::None;
        let mut unset = self.settings.file.unresolved(&self.settings.environment);
        unset.retain(|problem| {
            let here = problem.path.strip_prefix(&block).is_some_and(|rest| rest.starts_with(['.', '[']));
            here && (problem.path != key || key_needed)
        });
        if let Ok(text) = std::fs::read_to_string(self.home.config_path()) {
            Problem::locate(&text, &mut unset);
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
                RELAY => {
                    failure.hint("`genesis onboard --auth-choice cloudflare-ai-gateway-api-key` sets it up")
                }
                _ => failure,
            }
        })?;
        Ok(if dialect == Dialect::GeminiGenerate { format!("{url}?alt=sse") } else { url })
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

    /// Behind a gateway, the provider it passes this call on to: `/v1/{account}/{gateway}/{provider}/…`.
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
}

fn setup(message: String) -> Failure {
    Failure::new(Cause::Setup, message)
}
