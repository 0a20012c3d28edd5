//! From answers to what will be written: changes of genesis.json, variables of `.env`.

use std::fmt;

use genesis_config::edit::Path;
use genesis_config::file::Agents;
use genesis_config::{ProviderAuth, Secret, Source};
use owo_colors::OwoColorize;

use super::choice::{Choice, Endpoint, Question};
use super::draft::{Draft, Ground};
use super::flags::{Bind, Compatibility, ServerFlags};
use super::held::{Held, TOKEN_HEADER};
use super::shape::{self, CLOUDFLARE};
use crate::command::models::reference::find;
use crate::printer::Failed;

/// What is about to be written.
pub(super) struct Plan {
    pub(super) choice: Choice,
    pub(super) slug: String,
    /// The provider's name for people.
    pub(super) name: String,
    pub(super) base_url: Option<String>,
    /// `provider/model`; what is tested, and the default if `becomes_default`.
    pub(super) model: Option<String>,
    pub(super) becomes_default: bool,
    /// The default model before.
    pub(super) default_before: Option<String>,
    pub(super) edits: Vec<Edit>,
    pub(super) secrets: Vec<Kept>,
    /// Worth knowing, no reason to stop.
    pub(super) doubts: Vec<String>,
}

/// One change of genesis.json. None holds a secret: those go to `.env`, and the file refers to them.
pub(super) enum Edit {
    Set(Path, String),
    Unset(Path),
    DefaultModel(String),
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(path, text) => write!(f, "{path}: \"{text}\""),
            Self::Unset(path) => write!(f, "{path}: removed"),
            Self::DefaultModel(reference) => write!(f, "agents.defaults.model.primary: \"{reference}\""),
        }
    }
}

/// A secret, what it is for, and where it is kept.
pub(super) struct Kept {
    /// `provider key` or `gateway token`.
    pub(super) what: &'static str,
    pub(super) variable: String,
    pub(super) place: Place,
}

pub(super) enum Place {
    /// Written to `.env`.
    DotEnv(Secret),
    /// Made in the store of the gateway on this machine, then written to `.env`.
    Made,
    /// Left where it was found.
    Found(Source),
}

impl Plan {
    /// Everything that was asked must have its answer.
    pub(super) fn of(draft: &Draft, ground: &Ground<'_>) -> Result<Self, Failed> {
        let choice = draft.choice.unwrap_or(Choice::Skip);
        let slug = draft.slug().to_owned();
        let mut plan = Self {
            choice,
            name: match choice {
                Choice::Genesis => "Your Genesis gateway".to_owned(),
                Choice::Custom => slug.clone(),
                _ => draft.provider(ground).name,
            },
            base_url: None,
            model: None,
            becomes_default: false,
            default_before: ground.settings.file.agents.defaults.model.primary.clone(),
            edits: Vec::new(),
            secrets: Vec::new(),
            doubts: Vec::new(),
            slug,
        };
        match choice {
            Choice::CloudflareKey | Choice::CloudflareStored | Choice::Genesis => plan.gateway(draft, ground),
            Choice::Custom => plan.custom(draft, ground),
            Choice::Anthropic | Choice::OpenAi | Choice::Gemini => plan.keep_key(draft, ground),
            Choice::Skip => {}
        }
        plan.name_model(draft, ground);
        Ok(plan)
    }

    /// Sets where the gateway on this machine listens.
    pub(super) fn listen(&mut self, flags: &ServerFlags, ground: &Ground<'_>) {
        if flags.gateway_port.is_none() && flags.gateway_bind.is_none() {
            return;
        }
        let mut listen = ground.settings.file.gateway.listen;
        if let Some(port) = flags.gateway_port {
            listen.set_port(port);
        }
        match flags.gateway_bind {
            Some(Bind::Loopback) => listen.set_ip(std::net::Ipv4Addr::LOCALHOST.into()),
            Some(Bind::Lan) => listen.set_ip(std::net::Ipv4Addr::UNSPECIFIED.into()),
            None => {}
        }
        self.set(Path::of(["gateway", "listen"]), &listen.to_string());
    }

    fn gateway(&mut self, draft: &Draft, ground: &Ground<'_>) {
        let endpoint = draft.endpoint();
        let usual = || Some("default".to_owned());
        let account = draft.account.clone().or_else(usual).unwrap_or_default();
        let gateway = draft.gateway.clone().or_else(usual).unwrap_or_default();
        // The same gateway under an address somebody changed by hand stays there.
        let written = draft.written(ground).filter(|place| {
            draft.choice != Some(Choice::Genesis)
                && place.account.as_ref() == Some(&account)
                && place.gateway.as_ref() == Some(&gateway)
        });
        let origin = draft.origin.clone().or_else(|| written?.origin);
        let origin = origin.unwrap_or_else(|| CLOUDFLARE.to_owned());
        if origin == CLOUDFLARE {
            self.doubts.extend(shape::odd_account(&account));
            if !shape::is_account(&account) && shape::is_account(&gateway) {
                self.doubts.push("account id and gateway id look swapped".to_owned());
            }
        }
        let base = format!("{origin}/v1/{account}/{gateway}/{}", endpoint.path());
        self.set_provider("baseUrl", &base);
        self.set_provider("api", endpoint.api());
        self.base_url = Some(base);
        match draft.choice {
            Some(Choice::CloudflareKey) => {
                let patch = ground.settings.file.models.providers.get(&self.slug);
                if patch.is_some_and(|patch| patch.provider_auth == Some(ProviderAuth::Stored)) {
                    self.edits.push(Edit::Unset(self.path("providerAuth")));
                }
                self.keep_key(draft, ground);
            }
            _ => self.set_provider("providerAuth", "stored"),
        }
        self.keep_token(draft, ground);
    }

    fn custom(&mut self, draft: &Draft, ground: &Ground<'_>) {
        let base = draft.base_url.clone().unwrap_or_default();
        self.set_provider("baseUrl", &base);
        self.set_provider("api", draft.compatibility.unwrap_or(Compatibility::Openai).api());
        self.base_url = Some(base);
        self.keep_key(draft, ground);
        if let Some(kept) = self.secrets.first() {
            let reference = format!("${{{}}}", kept.variable);
            self.set_provider("apiKey", &reference);
        }
    }

    fn keep_key(&mut self, draft: &Draft, ground: &Ground<'_>) {
        let foreign = |secret: &Secret| {
            let maker = shape::maker(genesis_config::ExposeSecret::expose_secret(secret))?;
            let wanted = match self.choice {
                Choice::CloudflareKey if draft.endpoint() == Endpoint::Compat => return None,
                Choice::CloudflareKey | Choice::Anthropic => "Anthropic",
                Choice::OpenAi => "OpenAI",
                Choice::Gemini => "Google",
                _ => return None,
            };
            (maker != wanted).then(|| format!("the key looks like one of {maker}, not of {wanted}"))
        };
        if let Some(Held::New(secret)) = &draft.key {
            let doubt = foreign(secret);
            self.doubts.extend(doubt);
        }
        self.keep("provider key", draft.key.as_ref(), draft.key_variable(ground));
    }

    fn keep_token(&mut self, draft: &Draft, ground: &Ground<'_>) {
        self.keep("gateway token", draft.token.as_ref(), draft.token_variable(ground));
        let Some(kept) = self.secrets.iter().find(|kept| kept.what == "gateway token") else { return };
        let reference = format!("${{{}}}", kept.variable);
        let patch = ground.settings.file.models.providers.get(&self.slug);
        let headers = patch.map(|patch| patch.headers.as_slice()).unwrap_or_default();
        let written = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(TOKEN_HEADER));
        match written {
            Some((_, text)) if text.contains(&reference) => {}
            Some((name, _)) => {
                self.edits.push(Edit::Set(self.path("headers").join(name), format!("Bearer {reference}")))
            }
            None => self
                .edits
                .push(Edit::Set(self.path("headers").join(TOKEN_HEADER), format!("Bearer {reference}"))),
        }
    }

    fn keep(&mut self, what: &'static str, held: Option<&Held>, variable: String) {
        let kept = match held {
            Some(Held::New(secret)) => Kept { what, variable, place: Place::DotEnv(secret.clone()) },
            Some(Held::Made) => Kept { what, variable, place: Place::Made },
            Some(Held::Found(name, source)) => {
                Kept { what, variable: name.clone(), place: Place::Found(*source) }
            }
            Some(Held::Without) | None => return,
        };
        self.secrets.push(kept);
    }

    /// The default model changes if there is none, if one was named, or if the endpoint it belongs to went away.
    fn name_model(&mut self, draft: &Draft, ground: &Ground<'_>) {
        let Some(model) = draft.model.as_deref() else { return };
        let model = model.strip_prefix(&format!("{}/", self.slug)).unwrap_or(model);
        let relay = self.choice.questions().contains(&Question::Token);
        let model = match draft.endpoint() {
            Endpoint::Anthropic if relay => model.strip_prefix("anthropic/").unwrap_or(model),
            _ => model,
        };
        self.doubts.extend(unknown(self.choice, draft.endpoint(), model, ground));
        let reference = format!("{}/{model}", self.slug);
        let stranded = self.default_before.as_deref().is_some_and(|before| {
            let own = before.strip_prefix(&self.slug).and_then(|rest| rest.strip_prefix('/'));
            relay && own.is_some_and(|own| own.contains('/') != (draft.endpoint() == Endpoint::Compat))
        });
        self.becomes_default = self.default_before.is_none() || draft.model_named || stranded;
        self.model = Some(reference.clone());
        if self.becomes_default && self.default_before.as_ref() != Some(&reference) {
            self.edits.push(Edit::DefaultModel(reference));
        }
    }

    fn set_provider(&mut self, field: &str, text: &str) {
        let path = self.path(field);
        self.set(path, text);
    }

    fn path(&self, field: &str) -> Path {
        Path::of(["models", "providers", &self.slug, field])
    }

    fn set(&mut self, path: Path, text: &str) {
        self.edits.push(Edit::Set(path, text.to_owned()));
    }

    /// What a person wants to know of it, before and after.
    pub(super) fn summary(&self) -> String {
        let mut lines = vec![("provider", self.name.clone())];
        if let Some(base) = &self.base_url {
            lines.push(("address", base.clone()));
        }
        for kept in &self.secrets {
            let where_ = match &kept.place {
                Place::DotEnv(_) => format!("{}, in .env (only you can read it)", kept.variable),
                Place::Made => format!("{}, in .env, made for this machine's gateway", kept.variable),
                Place::Found(source) => format!("{}, from the {source}", kept.variable),
            };
            lines.push((kept.what, where_));
        }
        if self.choice.questions().contains(&Question::Token) && !self.sends_provider_key() {
            lines.push(("provider key", "none is sent; the gateway has it".to_owned()));
        }
        if let Some(model) = &self.model {
            lines.push((
                "default model",
                match &self.default_before {
                    Some(before) if self.becomes_default && before != model => {
                        format!("{model} (was {before})")
                    }
                    Some(before) if !self.becomes_default => format!("{before}, as before"),
                    _ => model.clone(),
                },
            ));
        }
        let width = lines.iter().map(|(label, _)| label.len()).max().unwrap_or_default();
        let lines =
            lines.iter().map(|(label, text)| format!("  {}  {text}", format!("{label:<width$}").dimmed()));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn sends_provider_key(&self) -> bool {
        self.secrets.iter().any(|kept| kept.what == "provider key")
    }
}

/// What is odd about a model's name, as far as the price table can tell. A newer model is no mistake.
fn unknown(choice: Choice, endpoint: Endpoint, model: &str, ground: &Ground<'_>) -> Option<String> {
    let reference = match (choice, endpoint) {
        (Choice::Custom | Choice::Skip, _) => return None,
        (Choice::Anthropic | Choice::OpenAi | Choice::Gemini, _) => format!("{}/{model}", choice.provider()?),
        (_, Endpoint::Anthropic) => format!("anthropic/{model}"),
        (_, Endpoint::Compat) if model.contains('/') => model.to_owned(),
        (_, Endpoint::Compat) => {
            return Some(format!("at this address models are named `provider/model`, and `{model}` is not"));
        }
    };
    let agents = Agents::default();
    let (message, hints) = find(&reference, &agents, ground.providers, false).err()?.into_parts();
    let meant = hints.into_iter().find(|hint| hint.starts_with("did you mean"));
    Some(match meant {
        Some(meant) => format!("{message}; {meant}"),
        None => message,
    })
}
