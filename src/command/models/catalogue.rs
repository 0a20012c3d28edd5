//! Every model known by name, with its price and the credential it would be called with.

use genesis_config::file::Agents;
use genesis_config::{Environment, PriceTable, Provider, Providers};
use genesis_store::KeyRow;
use jiff::Timestamp;

use super::reference::{Reference, is_version_of};
use crate::client::{Credential, credential};

/// One model as it is listed.
pub(super) struct Row {
    pub(super) reference: Reference,
    pub(super) name: Option<String>,
    /// What it takes and gives: `text`, `image`, …; empty if unknown.
    pub(super) input: Vec<String>,
    pub(super) output: Vec<&'static str>,
    /// What it can do: `tools`, `reasoning`, …; empty if unknown.
    pub(super) capabilities: Vec<&'static str>,
    /// Tokens, input and output together.
    pub(super) context_window: Option<u64>,
    pub(super) context_tokens: Option<u64>,
    /// Output tokens at most.
    pub(super) max_tokens: Option<u64>,
    /// Nano-USD per million tokens, in and out.
    pub(super) price: Option<(i64, i64)>,
    pub(super) credential: Credential,
    pub(super) tags: Vec<String>,
    /// It is named in the file, and neither the file nor the table knows it.
    pub(super) missing: bool,
}

/// The names of a provider's models: those the file describes, then those of the tables.
pub(in crate::command) fn model_ids(provider: &Provider) -> Vec<String> {
    let described = |id: &str| provider.models.iter().any(|model| model.id == id);
    // On Cloudflare's compatible endpoint a model's name starts with its maker.
    let prefix = if is_compatible_endpoint(provider) { "anthropic/" } else { "" };
    let ids = provider.model_ids().into_iter();
    ids.map(|id| if described(id) { id.to_owned() } else { format!("{prefix}{id}") }).collect()
}

fn is_compatible_endpoint(provider: &Provider) -> bool {
    provider.slug == super::list::RELAY
        && provider.routes.iter().any(|route| route.url().trim_end_matches("/*").ends_with("/compat"))
}

/// Whether the file or the table knows a model of this name, or nobody can know: there is no list.
pub(super) fn known(provider: &Provider, model: &str) -> bool {
    let ids = model_ids(provider);
    ids.is_empty() || ids.iter().any(|id| is_version_of(model, id))
}

/// Models by reference, and what the file says about them.
pub(super) struct Catalogue<'a> {
    pub(super) providers: &'a Providers,
    pub(super) agents: &'a Agents,
    pub(super) stored: &'a [KeyRow],
    pub(super) environment: &'a Environment,
}

impl Catalogue<'_> {
    pub(super) fn row(&self, reference: Reference) -> Row {
        let provider = self.providers.find(&reference.provider);
        let model = provider.map(|provider| provider.known_model(&reference.model));
        let described = model.and_then(|model| model.described);
        let table = PriceTable::in_force();
        let price = provider
            .and_then(|provider| provider.price(table, &reference.model, Timestamp::now().as_millisecond()))
            .map(|price| (price.rates.input, price.rates.output));
        let missing = !provider.is_some_and(|provider| known(provider, &reference.model));
        Row {
            name: described.and_then(|model| model.name.clone()),
            input: model
                .map(|model| model.input().into_iter().map(str::to_owned).collect())
                .unwrap_or_default(),
            output: model.map(|model| model.output()).unwrap_or_default(),
            capabilities: model.map(|model| model.capabilities()).unwrap_or_default(),
            context_window: model.and_then(|model| model.context_window()),
            context_tokens: described.and_then(|model| model.context_tokens),
            max_tokens: model.and_then(|model| model.max_output()),
            price,
            credential: provider.map_or(Credential::None, |provider| self.credential(provider)),
            tags: self.tags(&reference, described.is_some(), missing),
            missing,
            reference,
        }
    }

    pub(super) fn credential(&self, provider: &Provider) -> Credential {
        credential(provider, self.stored, self.environment)
    }

    /// Every model that the file names: the default, fallbacks in order, those picked out, those described.
    pub(super) fn named(&self) -> Vec<Reference> {
        let defaults = &self.agents.defaults;
        let mut named: Vec<Reference> = Vec::new();
        let texts =
            defaults.model.primary.iter().chain(&defaults.model.fallbacks).chain(defaults.models.keys());
        named.extend(texts.filter_map(|text| self.read(text)));
        for provider in self.providers.iter() {
            named.extend(
                provider
                    .models
                    .iter()
                    .map(|model| Reference { provider: provider.slug.clone(), model: model.id.clone() }),
            );
        }
        named
    }

    /// A reference as the file writes it: an alias is followed, and a provider's other name becomes its own.
    pub(super) fn read(&self, text: &str) -> Option<Reference> {
        let text = super::reference::aliased(self.agents, text).unwrap_or(text);
        let mut reference = Reference::split(text)?;
        if let Some(provider) = self.providers.find(&reference.provider) {
            reference.provider.clone_from(&provider.slug);
        }
        Some(reference)
    }

    fn tags(&self, reference: &Reference, described: bool, missing: bool) -> Vec<String> {
        let defaults = &self.agents.defaults;
        let is = |text: &str| self.read(text).as_ref() == Some(reference);
        let mut tags = Vec::new();
        if defaults.model.primary.as_deref().is_some_and(is) {
            tags.push("default".to_owned());
        }
        let fallbacks = defaults.model.fallbacks.iter().enumerate();
        tags.extend(fallbacks.filter(|(_, text)| is(text)).map(|(at, _)| format!("fallback#{}", at + 1)));
        let mut notes = defaults.models.iter().filter(|(text, _)| is(text));
        let note = notes.next().map(|(_, note)| note);
        if described || note.is_some() {
            tags.push("configured".to_owned());
        }
        tags.extend(note.and_then(|note| note.alias.as_ref()).map(|alias| format!("alias:{alias}")));
        if missing {
            tags.push("missing".to_owned());
        }
        tags
    }
}
