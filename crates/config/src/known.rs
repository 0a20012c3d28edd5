//! What is known of one model: what the file says first, then the embedded tables.

use crate::file::ModelEntry;
use crate::model_table::{Abilities, Ability, ModelTable};
use crate::price_table::PriceTable;
use crate::provider::Provider;

/// A model of a provider, looked up. Nothing in it is certain to be known.
#[derive(Clone, Copy, Debug)]
pub struct KnownModel<'p> {
    provider: &'p Provider,
    model: &'p str,
    /// The operator's own words.
    pub described: Option<&'p ModelEntry>,
    /// The table's, where it has the model.
    pub abilities: Option<Abilities>,
}

impl Provider {
    /// Looks up a model, however its name is written.
    pub fn known_model<'p>(&'p self, model: &'p str) -> KnownModel<'p> {
        KnownModel {
            provider: self,
            model,
            described: self.models.iter().find(|entry| entry.id == model),
            abilities: ModelTable::builtin().find(&self.price_provider, model),
        }
    }

    /// The names of its models: those the file describes, then those that have a price; of a provider without prices,
    /// those of the model table.
    pub fn model_ids(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = self.models.iter().map(|entry| entry.id.as_str()).collect();
        let mut priced = PriceTable::builtin().models(&self.price_provider).peekable();
        if priced.peek().is_some() {
            priced.for_each(|id| ids.push(id));
        } else {
            ModelTable::builtin().models(&self.price_provider).for_each(|id| ids.push(id));
        }
        let mut seen = std::collections::HashSet::new();
        ids.retain(|id| seen.insert(*id));
        ids
    }
}

impl KnownModel<'_> {
    /// Whether the file or a table has a model of this name, or of its family.
    pub fn is_known(&self) -> bool {
        self.described.is_some() || self.abilities.is_some() || self.is_priced()
    }

    fn is_priced(&self) -> bool {
        PriceTable::builtin().find(&self.provider.price_provider, self.model, 0).is_some()
    }

    /// Tokens, input and output together; of some models only their input.
    pub fn context_window(&self) -> Option<u64> {
        let priced = || PriceTable::builtin().context_window(&self.provider.price_provider, self.model);
        self.described
            .and_then(|entry| entry.context_window)
            .or_else(priced)
            .or_else(|| self.abilities?.max_input)
    }

    /// Output tokens at most, reasoning included.
    pub fn max_output(&self) -> Option<u64> {
        self.described.and_then(|entry| entry.max_tokens).or_else(|| self.abilities?.max_output)
    }

    /// What it takes: `text`, `image`, `pdf`, `audio`, `video`. Empty if unknown.
    pub fn input(&self) -> Vec<&str> {
        match (self.described, &self.abilities) {
            (Some(entry), _) if !entry.input.is_empty() => entry.input.iter().map(String::as_str).collect(),
            (_, Some(abilities)) => abilities.input(),
            _ => Vec::new(),
        }
    }

    /// What it gives: `text` or `embeddings`, `image`, `audio`, `video`. Empty if unknown.
    pub fn output(&self) -> Vec<&'static str> {
        self.abilities.map(|abilities| abilities.output()).unwrap_or_default()
    }

    /// Names of what it can do ([`Abilities::names`]). Empty if unknown.
    pub fn capabilities(&self) -> Vec<&'static str> {
        let mut names = self.abilities.map(|abilities| abilities.names()).unwrap_or_default();
        match self.described.and_then(|entry| entry.reasoning) {
            Some(false) => names.retain(|name| *name != "reasoning"),
            Some(true) if !names.contains(&"reasoning") => names.push("reasoning"),
            _ => {}
        }
        names
    }

    /// Whether it can do something or has a habit, if that is known.
    pub fn can(&self, ability: Ability) -> Option<bool> {
        let written = self.described.and_then(|entry| entry.reasoning);
        written
            .filter(|_| ability == Ability::Reasoning)
            .or_else(|| self.abilities.map(|abilities| abilities.can(ability)))
    }
}
