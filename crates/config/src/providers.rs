//! All providers: the built-in rows (`data/providers.json5`) with the operator's changes merged in.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use genesis_wire::Dialect;

use crate::file::{Api, ProviderPatch};
use crate::problem::{Problem, join, nearest};
use crate::provider::{Auth, Provider, Version, check_base_url, is_version};
use crate::row::{Row, table};
use crate::template::{Template, host_end};

/// The provider table.
#[derive(Clone, Debug)]
pub struct Providers {
    rows: BTreeMap<String, Provider>,
    /// Other names for built-in rows.
    aliases: BTreeMap<String, String>,
}

impl Providers {
    /// The rows this binary was built with.
    pub fn builtin() -> Self {
        static BUILTIN: OnceLock<Providers> = OnceLock::new();
        BUILTIN.get_or_init(|| Self::from_rows(table())).clone()
    }

    /// The built-in rows with patches merged in: field by field over a known slug, a provider of its own under
    /// an unknown one.
    pub fn with(patches: &BTreeMap<String, ProviderPatch>) -> Result<Self, Vec<Problem>> {
        let mut providers = Self::builtin();
        let mut problems = Vec::new();
        for (slug, patch) in patches {
            let path = join("models.providers", slug);
            match providers.pooled(slug, patch) {
                Ok(provider) => {
                    providers.rows.insert(provider.slug.clone(), provider);
                }
                Err(wrong) => problems.extend(wrong.into_iter().map(|mut problem| {
                    problem.path = match problem.path.as_str() {
                        "" => path.clone(),
                        field => format!("{path}.{field}"),
                    };
                    problem
                })),
            }
        }
        if problems.is_empty() { Ok(providers) } else { Err(problems) }
    }

    /// Adds a provider that arrived over the API. Nobody wrote its address into the file, so it is not trusted to be
    /// private; and `${VAR}` is refused, since whoever may add providers may not for that read the environment.
    pub fn add_from_api(&mut self, slug: &str, patch: &ProviderPatch) -> Result<(), Vec<Problem>> {
        let variable = |text: &str| text.contains("${");
        if patch.base_url.as_deref().is_some_and(variable) {
            return Err(vec![Problem::at("baseUrl", "variables are for the configuration file")]);
        }
        if let Some((name, _)) = patch.headers.iter().find(|(_, value)| variable(value)) {
            let problem = Problem::at(join("headers", name), "variables are for the configuration file");
            return Err(vec![problem]);
        }
        if self.find(slug).is_some() {
            return Err(vec![Problem::at("", format!("there is already a provider `{slug}`"))]);
        }
        let mut provider = Provider::custom(slug, patch)?;
        provider.base_url_set = false;
        self.rows.insert(provider.slug.clone(), provider);
        Ok(())
    }

    /// The provider a slug names: a row, an alias of one (`xai` is `grok`), or `custom-x` for the operator's `x`.
    pub fn find(&self, slug: &str) -> Option<&Provider> {
        self.rows
            .get(slug)
            .or_else(|| self.rows.get(self.aliases.get(slug)?))
            .or_else(|| self.rows.get(slug.strip_prefix("custom-")?).filter(|provider| provider.custom))
    }

    /// All providers, by slug.
    pub fn iter(&self) -> impl Iterator<Item = &Provider> {
        self.rows.values()
    }

    /// The slug somebody most probably meant.
    pub fn nearest(&self, slug: &str) -> Option<&str> {
        nearest(slug, self.rows.keys().chain(self.aliases.keys()).map(String::as_str))
    }

    fn from_rows(rows: Vec<Row>) -> Self {
        let aliases = rows
            .iter()
            .flat_map(|row| row.aliases.iter().map(|alias| (alias.clone(), row.slug.clone())))
            .collect();
        let rows = rows.into_iter().map(|row| (row.slug.clone(), row.into_provider())).collect();
        Self { rows, aliases }
    }

    /// The patched row, at each of its addresses.
    fn pooled(&self, slug: &str, patch: &ProviderPatch) -> Result<Provider, Vec<Problem>> {
        let Some((first, others)) = patch.base_urls.split_first() else { return self.patched(slug, patch) };
        if patch.base_url.is_some() {
            let problem = Problem::at("baseUrls", "stands beside `baseUrl`, and only one of them can hold");
            return Err(vec![problem.with_hint("put all addresses into baseUrls")]);
        }
        let at = |index: usize, url: &String| {
            let patch = ProviderPatch { base_url: Some(url.clone()), ..patch.clone() };
            self.patched(slug, &patch).map_err(|mut problems| {
                for problem in problems.iter_mut().filter(|problem| problem.path == "baseUrl") {
                    problem.path = format!("baseUrls[{index}]");
                }
                problems
            })
        };
        let mut provider = at(0, first)?;
        for (index, url) in others.iter().enumerate() {
            provider.others.push(at(index + 1, url)?);
        }
        Ok(provider)
    }

    fn patched(&self, slug: &str, patch: &ProviderPatch) -> Result<Provider, Vec<Problem>> {
        let known = self.rows.get(slug).or_else(|| self.rows.get(self.aliases.get(slug)?));
        match known {
            Some(row) => row.merged(patch),
            None if patch.base_url.is_none() => {
                let problem = Problem::at("", format!("no provider is called `{slug}`"));
                Err(vec![match self.nearest(slug) {
                    Some(meant) => problem
                        .with_hint(format!("did you mean `{meant}`? A provider of your own needs a baseUrl")),
                    None => problem.with_hint("a provider of your own needs a baseUrl"),
                }])
            }
            None => Provider::custom(slug, patch),
        }
    }
}

impl Provider {
    /// A provider that is no built-in row. `patch.base_url` must be set. A key goes in the header usual for
    /// `patch.api`: `x-api-key` for Anthropic's, `x-goog-api-key` for Google's, a bearer token otherwise.
    pub fn custom(slug: &str, patch: &ProviderPatch) -> Result<Self, Vec<Problem>> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        if slug.is_empty() || slug.len() > 64 || !slug.chars().all(plain) {
            let problem = Problem::at("", "a provider's slug has 1 to 64 of a-z, 0-9, `-`, `_` and `.`");
            return Err(vec![problem]);
        }
        let api = patch.api.unwrap_or(Api::OpenaiCompletions);
        let row = Row::of(slug, usual_auth(api), spoken(api));
        let mut provider = row.into_provider();
        provider.custom = true;
        provider.merged(patch)
    }

    /// This row with every field that the patch sets.
    fn merged(&self, patch: &ProviderPatch) -> Result<Self, Vec<Problem>> {
        let mut merged = self.clone();
        let mut problems = Vec::new();
        if let Some(base) = &patch.base_url {
            match check_base_url(base) {
                Ok(base) => merged.move_to(&base),
                Err(wrong) => problems.push(Problem::at("baseUrl", wrong)),
            }
        }
        if let Some(api) = patch.api {
            // The operator says what is spoken at this address; a relay takes what its api takes.
            if self.slug == RELAY {
                merged.set_auth(usual_auth(api));
                merged.dialects = spoken(api);
            } else if !self.custom {
                merged.dialects.retain(|dialect| *dialect != api.dialect());
                merged.dialects.insert(0, api.dialect());
            }
        }
        if let Some(header) = &patch.auth_header {
            if is_token(&header.name) {
                merged.set_auth(Auth::Header {
                    name: header.name.to_lowercase(),
                    prefix: header.prefix.clone(),
                });
            } else {
                problems.push(Problem::at("authHeader.name", "is not a header name"));
            }
        }
        for (name, value) in &patch.headers {
            problems.extend(header_problem(name, value));
            merged.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
            merged.headers.push((name.clone(), value.clone()));
        }
        for (index, alias) in patch.key_aliases.iter().enumerate() {
            if alias.is_empty() || patch.key_aliases[..index].contains(alias) {
                problems.push(Problem::at(format!("keyAliases[{index}]"), "is empty or there already"));
            }
        }
        for (name, value) in patch.parameters() {
            let Some(value) = value.map(str::trim) else { continue };
            problems.extend(self.parameter_problem(name, value));
            merged.parameters.retain(|(other, _)| *other != name);
            merged.parameters.push((name, value.to_owned()));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        if !patch.key_aliases.is_empty() {
            merged.key_aliases.clone_from(&patch.key_aliases);
        }
        merged.name = patch.name.clone().unwrap_or(merged.name);
        merged.price_provider = patch.price_provider.clone().unwrap_or(merged.price_provider);
        merged.api_key = patch.api_key.clone().or(merged.api_key);
        merged.provider_auth = patch.provider_auth.unwrap_or(merged.provider_auth);
        merged.env = patch.env.clone().unwrap_or(merged.env);
        merged.dialects = patch.dialects.clone().unwrap_or(merged.dialects);
        if !patch.models.is_empty() {
            merged.models.clone_from(&patch.models);
        }
        merged.endpoints = endpoints(&merged.dialects, &self.endpoints);
        if merged.version == Version::AsIs && merged.base_url_set {
            merged.fit_endpoints();
        }
        Ok(merged)
    }

    fn parameter_problem(&self, name: &str, value: &str) -> Option<Problem> {
        let wanted = format!("{{{name}}}");
        if !self.endpoints.iter().any(|(_, path)| path.contains(&wanted)) {
            return Some(Problem::at(name, format!("{} has no use for it", self.slug)));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        let is_name = !value.is_empty() && value.chars().all(plain) || value.contains("${");
        (!is_name).then(|| Problem::at(name, "expected letters, digits, `-`, `_`, `.` and `:`"))
    }

    /// Makes endpoints of a row without a version rule fit its address: a version that the address ends with is not
    /// said again, and OpenAI's dialects below a bare host get the `v1` that all such servers have.
    fn fit_endpoints(&mut self) {
        let path = self.base.get(host_end(&self.base)..).unwrap_or_default();
        let last = path.rsplit('/').next().unwrap_or_default();
        for (dialect, endpoint) in &mut self.endpoints {
            let openai =
                matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiEmbeddings | Dialect::OpenAiResponses);
            if let Some(rest) = endpoint.strip_prefix(last).and_then(|rest| rest.strip_prefix('/')) {
                *endpoint = rest.to_owned();
            } else if self.custom && openai && path.is_empty() {
                *endpoint = format!("v1/{endpoint}");
            }
        }
    }

    fn set_auth(&mut self, auth: Auth) {
        self.key_slots = key_slots(&auth, &[]);
        self.auth = auth;
    }

    /// Replaces the address. Routes below the row's own address move along; a route with an address of its own
    /// keeps its path below `base` and loses its host.
    fn move_to(&mut self, base: &str) {
        for route in &mut self.routes {
            let url = route.url();
            let own_base = Some(self.base.as_str()).filter(|base| !base.is_empty());
            let below = own_base.and_then(|base| url.strip_prefix(base)).unwrap_or(&url[host_end(url)..]);
            *route = route.with_url(format!("{base}{below}"));
        }
        if self.routes.is_empty() {
            self.routes.extend(Template::new("*", &format!("{base}/*")).ok());
        }
        let last = base.rsplit('/').next().unwrap_or_default();
        if matches!(self.version, Version::Add(_)) && is_version(last) {
            self.version = Version::Strip(last.to_owned());
        }
        self.base = base.to_owned();
        self.base_url_set = true;
    }
}

/// The row for a gateway in front of the providers: what it takes depends on its base URL.
const RELAY: &str = "cloudflare-ai-gateway";

fn usual_auth(api: Api) -> Auth {
    let header = |name: &str| Auth::Header { name: name.to_owned(), prefix: String::new() };
    match api {
        Api::AnthropicMessages => header("x-api-key"),
        Api::GoogleGenerativeAi => header("x-goog-api-key"),
        Api::OpenaiCompletions | Api::OpenaiResponses | Api::BedrockConverseStream => Auth::bearer(),
    }
}

fn spoken(api: Api) -> Vec<Dialect> {
    match api {
        Api::OpenaiCompletions => vec![Dialect::OpenAiChat, Dialect::OpenAiEmbeddings],
        _ => vec![api.dialect()],
    }
}

pub(crate) fn key_slots(auth: &Auth, more: &[String]) -> Vec<String> {
    let own = match auth {
        Auth::Header { name, .. } => Some(name.to_lowercase()),
        Auth::AwsSigV4 | Auth::GoogleServiceAccount => Some("authorization".to_owned()),
        Auth::None => None,
    };
    let mut slots: Vec<String> = own.into_iter().collect();
    slots.extend(more.iter().filter(|name| !slots.contains(name)).cloned().collect::<Vec<_>>());
    slots
}

/// A dialect's usual path where the row names none.
pub(crate) fn endpoints(dialects: &[Dialect], special: &[(Dialect, String)]) -> Vec<(Dialect, String)> {
    dialects
        .iter()
        .map(|dialect| {
            let own = special.iter().find(|(served, _)| served == dialect);
            let path = own.map_or_else(|| usual_endpoint(*dialect).to_owned(), |(_, path)| path.clone());
            (*dialect, path)
        })
        .collect()
}

fn usual_endpoint(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::AnthropicMessages => "v1/messages",
        Dialect::BedrockConverse => "model/{model}/converse",
        Dialect::CohereChat => "v2/chat",
        Dialect::GeminiGenerate => "v1beta/models/{model}:generateContent",
        Dialect::OpenAiChat => "chat/completions",
        Dialect::OpenAiEmbeddings => "embeddings",
        Dialect::OpenAiResponses => "responses",
    }
}

fn header_problem(name: &str, value: &str) -> Option<Problem> {
    let path = join("headers", name);
    if !is_token(name) {
        let problem = Problem::at(path, "is not a header name");
        return Some(match name.strip_suffix(':') {
            Some(name) => problem.with_hint(format!("write `{name}`, without the colon")),
            None => problem,
        });
    }
    if value.chars().any(char::is_control) {
        return Some(Problem::at(path, "the value has a line break or control character"));
    }
    let problem = value.starts_with("Bearer:").then(|| Problem::at(path, "`Bearer:` is no scheme"));
    problem.map(|problem| problem.with_hint("write `Bearer ` with a space and no colon"))
}

/// Whether text can be a header name (RFC 9110 `token`).
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c))
}
