//! `~/.genesis/genesis.json` as written: every field the product knows, nothing resolved yet.
//!
//! `${VAR}` is left as it stands; [`crate::Environment::substitute`] resolves it at the time of use.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use genesis_wire::Dialect;
use serde::Deserialize;

use crate::edit::is_too_deep;
use crate::environment::{Environment, references};
use crate::gateway::GatewaySettings;
use crate::host_name::HostName;
use crate::logpush::LogpushBlock;
use crate::money::Usd;
use crate::problem::{Problem, join};
use crate::providers::Providers;
use crate::route::Route;
use crate::secret::{ExposeSecret, Secret};
use crate::{read, shapes};

/// The whole file. Every field may be missing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct File {
    /// For editors; not read by the product.
    #[serde(rename = "$schema")]
    pub schema: Option<String>,
    pub agents: Agents,
    pub models: Models,
    pub env: EnvBlock,
    pub gateway: GatewayBlock,
    /// Filled by [`File::load`]: worth telling the user, no reason to stop.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

impl File {
    /// Reads and checks JSON5 text. All mistakes are returned, in the order of the text.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        if is_too_deep(text) {
            let problem = Problem::at(
                "",
                "is nested deeper than any configuration; it would use up the reader's stack",
            );
            return Err(vec![problem]);
        }
        let mut file: Self = read::read(text)?;
        let mut problems = read::lists_for_objects(text, OBJECTS);
        problems.extend(file.name_gateways());
        problems.extend(crate::check::check(&file));
        if problems.is_empty() {
            return Ok(file);
        }
        read::locate(text, &mut problems);
        problems.sort_by_key(|problem| (problem.line, problem.column));
        Err(problems)
    }

    /// Reads the file at `path`; `None` if there is none.
    pub fn load(path: &Path) -> Result<Option<Self>, LoadError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(LoadError::Unreadable { path: path.to_owned(), error });
            }
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut file = Self::parse(text).map_err(LoadError::Problems)?;
        file.warnings.extend(readable_by_others(path));
        Ok(Some(file))
    }

    /// Every `${VAR}` in an address, key, header or store that no source has a value for. Whether that matters
    /// depends on what is used: a provider nobody calls may lack its key.
    pub fn unresolved(&self, environment: &Environment) -> Vec<Problem> {
        self.substituted()
            .into_iter()
            .filter_map(|(path, text)| {
                Some(Problem::at(path, environment.substitute(text).err()?.to_string()))
            })
            .collect()
    }

    /// Every variable that an address, key, header or store refers to, with the place that does.
    pub fn references(&self) -> Vec<(&str, String)> {
        let texts = self.substituted().into_iter();
        texts
            .flat_map(|(path, text)| references(text).into_iter().map(move |name| (name, path.clone())))
            .collect()
    }

    /// The texts in which `${VAR}` stands for a variable, with their places.
    fn substituted(&self) -> Vec<(String, &str)> {
        let mut texts = Vec::new();
        for (slug, patch) in &self.models.providers {
            let path = join("models.providers", slug);
            texts.extend(patch.base_url.as_deref().map(|text| (format!("{path}.baseUrl"), text)));
            let several = patch.base_urls.iter().enumerate();
            texts.extend(several.map(|(index, text)| (format!("{path}.baseUrls[{index}]"), text.as_str())));
            for (name, text) in patch.parameters() {
                texts.extend(text.map(|text| (format!("{path}.{name}"), text)));
            }
            texts.extend(patch.api_key.as_ref().map(|text| (format!("{path}.apiKey"), text.expose_secret())));
            let headers = patch.headers.iter();
            texts.extend(headers.map(|(name, text)| (join(&format!("{path}.headers"), name), text.as_str())));
        }
        for (id, settings) in &self.gateway.gateways {
            for (index, exporter) in settings.otel.iter().enumerate() {
                let path = format!("{}.otel[{index}]", join("gateway.gateways", id));
                texts.extend(exporter.texts(&path));
            }
        }
        for (index, block) in self.gateway.logpush.iter().enumerate() {
            let path = format!("gateway.logpush[{index}]");
            texts.push((format!("{path}.destination"), block.destination.expose_secret()));
            let headers = block.headers.iter();
            texts.extend(headers.map(|(name, text)| (join(&format!("{path}.headers"), name), text.as_str())));
        }
        let stores = [("gateway.store", &self.gateway.store), ("gateway.shared", &self.gateway.shared)];
        for (path, text) in stores {
            texts.extend(text.as_ref().map(|text| (path.to_owned(), text.expose_secret())));
        }
        texts
    }

    /// Gives each gateway its id, which the file writes as the name of the entry.
    fn name_gateways(&mut self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (id, settings) in &mut self.gateway.gateways {
            if !settings.id.is_empty() && settings.id != *id {
                let path = format!("{}.id", join("gateway.gateways", id));
                problems.push(
                    Problem::at(path, "differs from the name of this entry")
                        .with_hint("leave `id` out: the name of the entry is the gateway's id"),
                );
            }
            settings.id.clone_from(id);
        }
        problems
    }
}

/// Where the file has objects, as paths; `*` is any name or index.
const OBJECTS: &[&str] = &[
    "",
    "agents",
    "agents.defaults",
    "agents.defaults.model",
    "agents.defaults.models.*",
    "models",
    "models.providers.*",
    "models.providers.*.authHeader",
    "models.providers.*.models.*",
    "models.providers.*.models.*.cost",
    "env.shellEnv",
    "gateway",
    "gateway.admin",
    "gateway.cache",
    "gateway.limits",
    "gateway.logpush.*",
    "gateway.logpush.*.batch",
    "gateway.logpush.*.filter.*",
    "gateway.gateways.*",
    "gateway.gateways.*.cache_semantic",
    "gateway.routes.*",
    "gateway.routes.*.elements.*",
    "gateway.gateways.*.dlp",
    "gateway.gateways.*.dlp.policies.*",
    "gateway.gateways.*.guardrails",
    "gateway.gateways.*.otel.*",
    "gateway.gateways.*.policies.*",
    "gateway.gateways.*.policies.*.action",
    "gateway.gateways.*.policies.*.resource",
    "gateway.gateways.*.rate_limits.*",
    "gateway.gateways.*.spend_limits",
    "gateway.gateways.*.spend_limits.rules.*",
    "gateway.gateways.*.stripe",
];

/// Why [`File::load`] has no file to give.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read {}: {error}\n  hint: {}", path.display(), unreadable_hint(error, path))]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{}", list(.0))]
    Problems(Vec<Problem>),
}

/// Says so if people other than the owner can read a file that may hold secrets.
pub(crate) fn readable_by_others(path: &Path) -> Option<String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(path).ok()?.permissions().mode();
        if mode & 0o044 != 0 {
            let path = path.display();
            return Some(format!(
                "{path} can be read by other users of this machine; run `chmod 600 {path}`"
            ));
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    None
}

fn unreadable_hint(error: &io::Error, path: &Path) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("make it readable for the user who runs genesis: chmod u+r {}", path.display())
        }
        io::ErrorKind::InvalidData => "save it as UTF-8 text".to_owned(),
        io::ErrorKind::IsADirectory => {
            "GENESIS_HOME names the folder; genesis.json is a file in it".to_owned()
        }
        _ => "check that it is an ordinary file on a working disk".to_owned(),
    }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// `agents`: what the client commands use.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Agents {
    pub defaults: AgentDefaults,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct AgentDefaults {
    /// A model reference, or `{primary, fallbacks}`.
    #[serde(deserialize_with = "shapes::model_choice")]
    pub model: ModelChoice,
    /// Models the user has picked out, by reference (`provider/model`).
    pub models: BTreeMap<String, ModelNote>,
}

/// The default model and what to try when it fails.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ModelChoice {
    pub primary: Option<String>,
    pub fallbacks: Vec<String>,
}

/// What the user notes about one model.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ModelNote {
    pub alias: Option<String>,
    /// Request parameters sent with every call to this model.
    pub params: serde_json::Map<String, serde_json::Value>,
}

/// `models`: providers as the operator changes or adds them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Models {
    /// Accepted for files written elsewhere; a provider block always merges over the built-in row.
    pub mode: Option<MergeMode>,
    pub providers: BTreeMap<String, ProviderPatch>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum MergeMode {
    Merge,
}

/// `models.providers.<slug>`: what differs from the built-in row, or a provider of one's own.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ProviderPatch {
    /// Name shown to people.
    pub name: Option<String>,
    /// Where the upstream lives; replaces scheme, host and path prefix of the built-in row.
    pub base_url: Option<String>,
    /// Several addresses of the same provider, instead of `base_url`: calls are spread over them.
    pub base_urls: Vec<String>,
    /// Aliases of stored keys that share the load of calls which ask for none.
    pub key_aliases: Vec<String>,
    /// The dialect the provider's base URL speaks.
    pub api: Option<Api>,
    #[serde(deserialize_with = "shapes::key")]
    pub api_key: Option<Secret>,
    /// Headers sent with every call, in the order written. Values may hold `${VAR}`.
    #[serde(deserialize_with = "shapes::headers")]
    pub headers: Vec<(String, String)>,
    pub provider_auth: Option<ProviderAuth>,
    /// The header that carries the key, if not the one usual for the row or for `api`.
    pub auth_header: Option<AuthHeader>,
    /// Dialects the provider speaks natively, the preferred one first.
    pub dialects: Option<Vec<Dialect>>,
    /// Environment variables that may hold the key, the first one set wins.
    pub env: Option<Vec<String>>,
    /// The provider in the price table whose prices apply.
    pub price_provider: Option<String>,
    /// Vertex: the project that pays. A service account names its own.
    pub project: Option<String>,
    /// Vertex, Bedrock: where the models run. A stored key may name its own.
    pub region: Option<String>,
    /// Azure: the resource, which is the first part of the host name.
    pub resource: Option<String>,
    pub models: Vec<ModelEntry>,
}

impl ProviderPatch {
    /// The fields that stand for names in a row's endpoints.
    pub(crate) fn parameters(&self) -> [(&'static str, Option<&str>); 3] {
        [("project", &self.project), ("region", &self.region), ("resource", &self.resource)]
            .map(|(name, value)| (name, value.as_deref()))
    }
}

/// Header values may be keys: only names are shown.
impl fmt::Debug for ProviderPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderPatch")
            .field("base_url", &self.base_url)
            .field("base_urls", &self.base_urls)
            .field("api", &self.api)
            .field("api_key", &self.api_key)
            .field("headers", &self.headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("provider_auth", &self.provider_auth)
            .field("models", &self.models.len())
            .finish_non_exhaustive()
    }
}

/// The wire format behind a base URL, in the names used by configuration files of this kind.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Api {
    AnthropicMessages,
    OpenaiCompletions,
    OpenaiResponses,
    GoogleGenerativeAi,
    BedrockConverseStream,
}

impl Api {
    pub fn dialect(self) -> Dialect {
        match self {
            Self::AnthropicMessages => Dialect::AnthropicMessages,
            Self::OpenaiCompletions => Dialect::OpenAiChat,
            Self::OpenaiResponses => Dialect::OpenAiResponses,
            Self::GoogleGenerativeAi => Dialect::GeminiGenerate,
            Self::BedrockConverseStream => Dialect::BedrockConverse,
        }
    }
}

/// Whether a provider key goes upstream.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderAuth {
    /// A key must be found, or the call fails before anything is sent.
    Key,
    /// Never a provider auth header: the upstream (another gateway) holds the key.
    Stored,
    /// A key if one is found, else none.
    #[default]
    Auto,
}

/// Which header carries the key, and what stands before it (`"Bearer "`, `"Key "`, nothing).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AuthHeader {
    pub name: String,
    #[serde(default)]
    pub prefix: String,
}

/// `models.providers.<slug>.models[]`: a model the operator describes.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ModelEntry {
    pub id: String,
    pub name: Option<String>,
    pub reasoning: Option<bool>,
    /// What it takes besides text, such as `image`.
    pub input: Vec<String>,
    pub cost: Option<ModelCost>,
    /// Tokens, input and output together.
    pub context_window: Option<u64>,
    /// Tokens the client should use at most; `contextWindow` if missing.
    pub context_tokens: Option<u64>,
    /// Output tokens at most.
    pub max_tokens: Option<u64>,
}

/// Prices in USD per million tokens.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ModelCost {
    pub input: Usd,
    pub output: Usd,
    pub cache_read: Option<Usd>,
    pub cache_write: Option<Usd>,
}

/// `env`: variables kept in the file, and which other sources are read.
#[derive(Clone, Debug, Default)]
pub struct EnvBlock {
    /// `env.<NAME>` and `env.vars.<NAME>`.
    pub values: BTreeMap<String, Secret>,
    pub shell_env: ShellEnv,
    /// Whether a `.env` in the working directory is read.
    pub cwd_dot_env: bool,
}

/// `env.shellEnv`: take missing variables from the login shell.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ShellEnv {
    pub enabled: bool,
    pub timeout_ms: u64,
}

impl Default for ShellEnv {
    fn default() -> Self {
        Self { enabled: false, timeout_ms: 15_000 }
    }
}

/// `gateway`: the server.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct GatewayBlock {
    #[serde(deserialize_with = "shapes::address")]
    pub listen: SocketAddr,
    pub admin: AdminBlock,
    /// Where tokens, keys, settings and logs are kept: `sqlite:…` or `postgres://…` (which may hold a password).
    /// Missing: SQLite in the home folder.
    pub store: Option<Secret>,
    /// `redis://…`: cache, limits and budgets shared by several nodes.
    pub shared: Option<Secret>,
    /// Worker threads; one per core if missing.
    pub workers: Option<usize>,
    /// How long running exchanges may take to finish after a stop signal.
    pub drain_seconds: u64,
    /// Account ids that are answered; any if missing.
    pub accounts: Option<Vec<String>>,
    pub limits: Limits,
    pub cache: CacheBlock,
    /// Lets addresses that arrive over the API or in a request resolve to private ranges.
    pub allow_private: bool,
    pub gateways: BTreeMap<String, GatewaySettings>,
    /// Dynamic routes, by name.
    pub routes: BTreeMap<String, RouteBlock>,
    /// Where the log is carried.
    pub logpush: Vec<LogpushBlock>,
    /// Custom domains: host names that stand for a gateway.
    pub domains: BTreeMap<HostName, DomainBlock>,
}

/// `gateway.domains.<host name>`: where calls to this name go.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct DomainBlock {
    pub gateway: String,
    /// Needed where accounts are named.
    #[serde(default)]
    pub account: Option<String>,
}

/// `gateway.routes.<name>`: a dynamic route as written; [`crate::Route`] is the graph it stands for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct RouteBlock {
    /// Gateways that have it; all if empty.
    pub gateways: Vec<String>,
    /// As in the management API.
    pub elements: Vec<serde_json::Map<String, serde_json::Value>>,
}

impl RouteBlock {
    /// The graph, checked.
    pub fn route(&self, name: &str, providers: &Providers) -> Result<Route, Vec<Problem>> {
        let elements = self.elements.iter().cloned().map(serde_json::Value::Object).collect();
        Route::parse(name, &serde_json::Value::Array(elements), providers)
    }
}

impl Default for GatewayBlock {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 18_789)),
            admin: AdminBlock::default(),
            store: None,
            shared: None,
            workers: None,
            drain_seconds: 30,
            accounts: None,
            limits: Limits::default(),
            cache: CacheBlock::default(),
            allow_private: false,
            gateways: BTreeMap::new(),
            routes: BTreeMap::new(),
            logpush: Vec::new(),
            domains: BTreeMap::new(),
        }
    }
}

/// `gateway.admin`: the management API and dashboard.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct AdminBlock {
    /// An address of its own; the gateway's listener if missing.
    #[serde(deserialize_with = "shapes::optional_address")]
    pub listen: Option<SocketAddr>,
}

/// `gateway.cache`: what the answers kept for repetition may cost. Read when the gateway starts.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct CacheBlock {
    /// Memory for answers; 0 keeps none.
    pub memory_bytes: u64,
    /// Size of the database that outlives a restart; 0 keeps none.
    pub disk_bytes: u64,
    /// A longer answer is passed on and not kept.
    pub entry_bytes: u64,
}

impl Default for CacheBlock {
    fn default() -> Self {
        Self { memory_bytes: 64 * 1024 * 1024, disk_bytes: 256 * 1024 * 1024, entry_bytes: 16 * 1024 * 1024 }
    }
}

/// `gateway.limits`: what one client may ask of this machine.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Limits {
    /// Request line and headers together.
    pub header_bytes: u64,
    /// A request body; several times the 32 MB that the largest provider takes.
    pub body_bytes: u64,
    /// A multipart or binary body, which is streamed and never held in memory.
    pub upload_bytes: u64,
    /// From connection to the last header.
    pub header_seconds: u64,
    /// To reach an upstream, TLS included.
    pub connect_seconds: u64,
    /// From the request sent to the first byte of the answer; reasoning models think for minutes.
    pub first_byte_seconds: u64,
    /// Between two bytes of an answer.
    pub idle_seconds: u64,
    /// Client connections at one time.
    pub connections: u64,
    /// What all streams that can be resumed may take in memory; 0 keeps none.
    pub resumable_bytes: u64,
    /// A longer stream cannot be resumed any more.
    pub resumable_stream_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 64 * 1024,
            body_bytes: 100 * 1024 * 1024,
            upload_bytes: 1024 * 1024 * 1024,
            header_seconds: 10,
            connect_seconds: 10,
            first_byte_seconds: 600,
            idle_seconds: 300,
            connections: 10_000,
            resumable_bytes: 64 * 1024 * 1024,
            resumable_stream_bytes: 8 * 1024 * 1024,
        }
    }
}
