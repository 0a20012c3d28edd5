//! What is known so far, and what is still open: the environment and the file there is answer what nobody has said.

use genesis_config::{ExposeSecret, Provider, ProviderPatch, Providers};

use super::choice::{Choice, Endpoint, Question};
use super::flags::{Compatibility, SecretMode};
use super::held::Held;
use super::shape::{self, CLOUDFLARE, Place};
use crate::home::Settings;

/// The answers. A question whose field is empty is open.
#[derive(Clone, Default)]
pub(super) struct Draft {
    pub(super) choice: Option<Choice>,
    /// Scheme and host of the gateway; Cloudflare's if empty.
    pub(super) origin: Option<String>,
    pub(super) account: Option<String>,
    pub(super) gateway: Option<String>,
    pub(super) endpoint: Option<Endpoint>,
    pub(super) base_url: Option<String>,
    pub(super) provider_id: Option<String>,
    pub(super) compatibility: Option<Compatibility>,
    pub(super) key: Option<Held>,
    pub(super) token: Option<Held>,
    /// As the provider names it, or as a reference.
    pub(super) model: Option<String>,
    /// Somebody named the model; else it is a proposal.
    pub(super) model_named: bool,
    /// Everything is asked, also what nearly everybody answers alike.
    pub(super) thorough: bool,
}

/// What answers are measured against.
pub(super) struct Ground<'a> {
    pub(super) settings: &'a Settings,
    pub(super) providers: &'a Providers,
    pub(super) mode: Option<SecretMode>,
}

impl Draft {
    /// The first question without an answer.
    pub(super) fn open(&self) -> Option<Question> {
        let Some(choice) = self.choice else { return Some(Question::Choice) };
        choice.questions().iter().copied().find(|question| self.is_open(*question))
    }

    fn is_open(&self, question: Question) -> bool {
        match question {
            Question::Choice => self.choice.is_none(),
            Question::Account => self.account.is_none(),
            Question::Gateway => self.gateway.is_none(),
            Question::Endpoint => self.endpoint.is_none() && self.thorough,
            Question::Address => self.origin.is_none(),
            Question::BaseUrl => self.base_url.is_none(),
            Question::ProviderId => self.provider_id.is_none(),
            Question::Key => self.key.is_none(),
            Question::Token => self.token.is_none(),
            Question::Model => self.model.is_none(),
        }
    }

    /// Answers what is open from the environment, the file there is, and what is usual. The questions left have to be
    /// answered by somebody.
    pub(super) fn fill(&mut self, ground: &Ground<'_>) -> Vec<Question> {
        let Some(choice) = self.choice else { return vec![Question::Choice] };
        self.thorough = false;
        for question in choice.questions().iter().copied() {
            if !self.is_open(question) {
                continue;
            }
            match question {
                Question::Key => self.key = self.key_there(ground),
                Question::Token => self.token = self.token_there(ground),
                _ => {
                    if let Some(text) = self.proposal(question, ground) {
                        // What cannot be used is no answer.
                        let _ = self.put(question, &text, ground);
                    }
                }
            }
        }
        choice.questions().iter().copied().filter(|question| self.is_open(*question)).collect()
    }

    /// What is probably the answer to a question.
    pub(super) fn proposal(&self, question: Question, ground: &Ground<'_>) -> Option<String> {
        let variable = |names: &[&str]| {
            let found = names.iter().find_map(|name| ground.settings.environment.lookup(name));
            found.map(|(value, _)| value.expose_secret().to_owned())
        };
        let choice = self.choice?;
        match question {
            Question::Account => variable(&["CLOUDFLARE_ACCOUNT_ID", "CF_AI_GATEWAY_ACCOUNT_ID"])
                .or_else(|| self.written(ground)?.account),
            Question::Gateway => {
                variable(&["CF_AI_GATEWAY_GATEWAY_ID"]).or_else(|| self.written(ground)?.gateway)
            }
            Question::Address => {
                let written =
                    self.written(ground).filter(|place| place.origin.as_deref() != Some(CLOUDFLARE));
                let written = written.and_then(|place| {
                    Some(format!("{}/v1/{}/{}", place.origin?, place.account?, place.gateway?))
                });
                written.or_else(|| Some(format!("http://{}", ground.settings.file.gateway.listen)))
            }
            Question::BaseUrl => {
                let id = self.provider_id.as_deref().unwrap_or("custom");
                ground.settings.file.models.providers.get(id)?.base_url.clone()
            }
            Question::ProviderId => Some("custom".to_owned()),
            Question::Model => {
                self.model_now(ground).or(choice.default_model(self.endpoint()).map(str::to_owned))
            }
            Question::Choice | Question::Endpoint | Question::Key | Question::Token => None,
        }
    }

    /// Takes an answer, or says why it can be none.
    pub(super) fn put(&mut self, question: Question, text: &str, ground: &Ground<'_>) -> Result<(), String> {
        match question {
            Question::Account | Question::Gateway => {
                if let Some(place) = shape::place(text) {
                    return self.put_place(question, place);
                }
                match question {
                    Question::Account => self.account = Some(shape::account(text)?),
                    _ => self.gateway = Some(shape::gateway(text)?),
                }
            }
            Question::Address => {
                let place = shape::address(text)?;
                self.origin = place.origin;
                self.account = place.account;
                self.gateway = place.gateway;
            }
            Question::BaseUrl => self.base_url = Some(shape::base_url(text)?),
            Question::ProviderId => {
                let id = shape::provider_id(text)?;
                let taken = ground.providers.find(&id).filter(|provider| !provider.custom);
                if let Some(provider) = taken {
                    return Err(format!("`{id}` is {} here; choose another name", provider.name));
                }
                self.provider_id = Some(id);
            }
            Question::Model => {
                let text = shape::bare(text);
                if text.is_empty() {
                    return Err("a model is required".to_owned());
                }
                self.model = Some(text.to_owned());
            }
            Question::Choice | Question::Endpoint | Question::Key | Question::Token => {}
        }
        Ok(())
    }

    /// An address in the place of an id: all it says is taken.
    fn put_place(&mut self, question: Question, place: Place) -> Result<(), String> {
        let id = if question == Question::Account { &place.account } else { &place.gateway };
        if id.is_none() {
            let which = if question == Question::Account { "account" } else { "gateway" };
            return Err(format!(
                "no {which} is named in this address; a gateway's is https://host/v1/<account>/<gateway>"
            ));
        }
        if let Some(account) = &place.account {
            self.account = Some(shape::account(account)?);
        }
        if let Some(gateway) = &place.gateway {
            self.gateway = Some(shape::gateway(gateway)?);
        }
        self.origin = place.origin.or(self.origin.take());
        let named = match place.rest.as_deref() {
            Some("compat") => Some(Endpoint::Compat),
            Some("anthropic") => Some(Endpoint::Anthropic),
            _ => None,
        };
        self.endpoint = self.endpoint.or(named);
        Ok(())
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        self.endpoint.unwrap_or_else(|| self.choice.map_or(Endpoint::Anthropic, Choice::default_endpoint))
    }

    /// The slug of the provider that is set up.
    pub(super) fn slug(&self) -> &str {
        let own = self.provider_id.as_deref().unwrap_or("custom");
        self.choice.and_then(Choice::provider).unwrap_or(own)
    }

    /// The provider that is set up, as far as it is known already.
    pub(super) fn provider(&self, ground: &Ground<'_>) -> Provider {
        let patch = ProviderPatch {
            base_url: Some("http://unknown".to_owned()),
            env: Some(vec![shape::key_variable(self.slug())]),
            ..ProviderPatch::default()
        };
        let own = || Provider::custom("custom", &patch).expect("slug and address are good");
        ground.providers.find(self.slug()).cloned().unwrap_or_else(own)
    }

    /// The default model there is, if it is one of this provider and of this endpoint.
    fn model_now(&self, ground: &Ground<'_>) -> Option<String> {
        let primary = ground.settings.file.agents.defaults.model.primary.as_deref()?;
        let model = primary.strip_prefix(self.slug())?.strip_prefix('/')?;
        let relay = self.choice.is_some_and(|choice| choice.questions().contains(&Question::Token));
        let fits = !relay || model.contains('/') == (self.endpoint() == Endpoint::Compat);
        fits.then(|| model.to_owned())
    }

    /// Where the file says the gateway is.
    pub(super) fn written(&self, ground: &Ground<'_>) -> Option<Place> {
        let patch = ground.settings.file.models.providers.get(self.slug())?;
        shape::place(patch.base_url.as_deref()?)
    }
}
