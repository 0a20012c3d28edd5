//! What models can do (`data/models.json`, whose shape `data/update_models.py` describes).
//!
//! As with prices nothing is read at start-up: the first question indexes the text by provider, and a provider's models
//! are read when first asked for.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model_name::{candidates, made_by};

/// Limits and abilities of known models, by provider of the price table ([`crate::Provider::price_provider`]).
#[derive(Debug)]
pub struct ModelTable {
    source: &'static str,
    providers: BTreeMap<&'static str, Shelf>,
}

/// What is known of one model.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Abilities {
    /// Tokens a request may have at most.
    pub max_input: Option<u64>,
    /// Tokens an answer may have at most, reasoning included.
    pub max_output: Option<u64>,
    letters: &'static str,
}

/// One thing a model can do, or a habit it has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ability {
    Tools,
    Reasoning,
    /// It wants to be told how hard to reason, not how many tokens to spend on it.
    ReasoningByEffort,
    /// Answers that follow a JSON Schema.
    StructuredOutput,
    PromptCache,
    WebSearch,
    /// It gives vectors instead of answers.
    Embeddings,
    /// It always reasons.
    ReasoningAlways,
    /// It refuses temperature and its kin.
    FixedSampling,
    /// It uses tools as it sees fit, and cannot be made to.
    UnforcedTools,
}

impl ModelTable {
    /// The table this binary was built with.
    pub fn builtin() -> &'static Self {
        static BUILTIN: OnceLock<ModelTable> = OnceLock::new();
        BUILTIN.get_or_init(|| {
            let index: Index = serde_json::from_str(include_str!("../data/models.json"))
                .expect("the embedded table is read by every test");
            let shelf = |text: &'static RawValue| Shelf { text: text.get(), rows: OnceLock::new() };
            Self {
                source: index.source,
                providers: index.providers.into_iter().map(|(name, text)| (name, shelf(text))).collect(),
            }
        })
    }

    /// Where the table comes from: name and version.
    pub fn source(&self) -> &str {
        self.source
    }

    /// What `model` of `provider` can do, however a provider or client writes its name. Those who sell others' models
    /// are believed first, then the maker.
    pub fn find(&self, provider: &str, model: &str) -> Option<Abilities> {
        let own = self.providers.get(provider).map(Shelf::read);
        if let Some(found) = own.and_then(|rows| rows.by_name.get(model)) {
            return Some(*found); // nearly every name is the table's own
        }
        let names = candidates(model);
        let of =
            |rows: &Rows, names: &[String]| names.iter().find_map(|name| rows.by_name.get(name)).copied();
        own.and_then(|rows| of(rows, &names)).or_else(|| {
            let (maker, model) = made_by(provider, names.first()?)?;
            of(self.providers.get(maker)?.read(), &candidates(&model))
        })
    }

    /// The names of all models of a provider, as the provider writes them.
    pub fn models(&self, provider: &str) -> impl Iterator<Item = &'static str> {
        self.providers.get(provider).into_iter().flat_map(|shelf| shelf.read().names.iter().copied())
    }
}

impl Abilities {
    pub fn can(&self, ability: Ability) -> bool {
        self.letters.contains(match ability {
            Ability::Tools => 't',
            Ability::Reasoning => 'r',
            Ability::ReasoningByEffort => 'd',
            Ability::StructuredOutput => 's',
            Ability::PromptCache => 'c',
            Ability::WebSearch => 'w',
            Ability::Embeddings => 'e',
            Ability::ReasoningAlways => 'o',
            Ability::FixedSampling => 'f',
            Ability::UnforcedTools => 'u',
        })
    }

    /// What it takes: `text` and perhaps `image`, `pdf`, `audio`, `video`.
    pub fn input(&self) -> Vec<&'static str> {
        self.modalities("text", [('i', "image"), ('p', "pdf"), ('a', "audio"), ('v', "video")])
    }

    /// What it gives: `text` or `embeddings`, and perhaps `image`, `audio`, `video`.
    pub fn output(&self) -> Vec<&'static str> {
        let first = if self.can(Ability::Embeddings) { "embeddings" } else { "text" };
        self.modalities(first, [('I', "image"), ('A', "audio"), ('V', "video")])
    }

    /// The names of its abilities, in a fixed order: `tools`, `vision`, `reasoning`, `structured_output`,
    /// `prompt_cache`, `web_search`.
    pub fn names(&self) -> Vec<&'static str> {
        let names = [
            ('t', "tools"),
            ('i', "vision"),
            ('r', "reasoning"),
            ('s', "structured_output"),
            ('c', "prompt_cache"),
            ('w', "web_search"),
        ];
        names.iter().filter(|(letter, _)| self.letters.contains(*letter)).map(|(_, name)| *name).collect()
    }

    fn modalities<const N: usize>(
        &self,
        first: &'static str,
        more: [(char, &'static str); N],
    ) -> Vec<&'static str> {
        let more = more.iter().filter(|(letter, _)| self.letters.contains(*letter)).map(|(_, name)| *name);
        std::iter::once(first).chain(more).collect()
    }
}

#[derive(Deserialize)]
struct Index {
    source: &'static str,
    #[serde(borrow)]
    providers: BTreeMap<&'static str, &'static RawValue>,
}

/// One provider's models, read on first use.
#[derive(Debug)]
struct Shelf {
    text: &'static str,
    rows: OnceLock<Rows>,
}

#[derive(Debug)]
struct Rows {
    names: Vec<&'static str>,
    /// By lower-case name, and by what follows its last slash.
    by_name: HashMap<String, Abilities>,
}

impl Shelf {
    fn read(&self) -> &Rows {
        self.rows.get_or_init(|| {
            let rows: BTreeMap<&'static str, (u64, u64, &'static str)> =
                serde_json::from_str(self.text).expect("a test reads every provider of the embedded table");
            let known = |tokens: u64| (tokens > 0).then_some(tokens);
            let mut by_name = HashMap::with_capacity(rows.len());
            for (name, (input, output, letters)) in &rows {
                let abilities = Abilities { max_input: known(*input), max_output: known(*output), letters };
                let name = name.to_ascii_lowercase();
                if let Some((_, bare)) = name.rsplit_once('/') {
                    by_name.entry(bare.to_owned()).or_insert(abilities);
                }
                by_name.insert(name, abilities);
            }
            Rows { names: rows.into_keys().collect(), by_name }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_provider_reads_and_every_letter_means_something() {
        let table = ModelTable::builtin();
        assert!(table.source().starts_with("litellm "));
        assert!(table.providers.len() > 15);
        for (provider, shelf) in &table.providers {
            let rows = shelf.read();
            assert!(!rows.names.is_empty(), "{provider}");
            for (name, abilities) in &rows.by_name {
                assert!(
                    abilities.letters.chars().all(|letter| "ipavIAVtrdscweofu".contains(letter)),
                    "{name}"
                );
                assert!(abilities.max_input.is_none_or(|tokens| tokens <= 20_000_000), "{name}");
            }
        }
    }
}
