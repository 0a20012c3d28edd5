//! `provider/model` as typed, and what was probably meant.

use genesis_config::file::Agents;
use genesis_config::problem::nearest;
use genesis_config::{Provider, Providers};

use super::catalogue::{known, model_ids};
use crate::printer::Failed;
use crate::render::plain;

/// A model of a provider.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Reference {
    pub(crate) provider: String,
    pub(crate) model: String,
}

impl Reference {
    /// Splits at the first slash: what follows it is the provider's own name for the model, slashes included.
    pub(crate) fn split(text: &str) -> Option<Self> {
        let (provider, model) = text.trim().split_once('/')?;
        let (provider, model) = (provider.trim().to_ascii_lowercase(), model.trim().to_owned());
        (!provider.is_empty() && !model.is_empty()).then_some(Self { provider, model })
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.provider, self.model)
    }
}

/// The model an alias stands for.
pub(crate) fn aliased<'a>(agents: &'a Agents, alias: &str) -> Option<&'a str> {
    let mut notes = agents.defaults.models.iter();
    let (reference, _) =
        notes.find(|(_, note)| note.alias.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(alias)))?;
    Some(reference)
}

/// The model that was asked for, by reference or alias. Unless `force` is set, provider and model must be known.
pub(crate) fn find(
    text: &str,
    agents: &Agents,
    providers: &Providers,
    force: bool,
) -> Result<Reference, Failed> {
    let text = aliased(agents, text.trim()).unwrap_or(text);
    let Some(mut reference) = Reference::split(text) else {
        return Err(without_provider(text, agents, providers));
    };
    let provider = match provider_of(&reference, providers) {
        Ok(provider) => provider,
        Err(_) if force => return Ok(reference),
        Err(failed) => return Err(failed.hint(FORCE)),
    };
    reference.provider.clone_from(&provider.slug);
    if force || known(provider, &reference.model) {
        return Ok(reference);
    }
    let model = plain(&reference.model);
    let failed = Failed::new(format!("{} has no model `{model}` that is known here", provider.name));
    let ids = model_ids(provider);
    let failed = match nearest(&reference.model, ids.iter().map(String::as_str)) {
        Some(near) => failed.hint(format!("did you mean `{}/{near}`?", provider.slug)),
        None => match sellers(&reference.model, providers).as_slice() {
            [] => failed.hint(format!("`genesis models list --provider {}` lists them", provider.slug)),
            found => failed.hint(format!("did you mean {}?", found.join(" or "))),
        },
    };
    Err(failed.hint(FORCE))
}

/// The provider of a reference, or which one was probably meant.
pub(crate) fn provider_of<'p>(
    reference: &Reference,
    providers: &'p Providers,
) -> Result<&'p Provider, Failed> {
    providers.find(&reference.provider).ok_or_else(|| {
        let failed = Failed::new(format!("no provider is called `{}`", plain(&reference.provider)));
        match providers.nearest(&reference.provider) {
            Some(near) => failed.hint(format!("did you mean `{near}/{}`?", plain(&reference.model))),
            None => failed.hint(
                "`genesis models list --all` lists all; one of your own needs models.providers.<slug>.baseUrl in genesis.json",
            ),
        }
    })
}

const FORCE: &str = "if it is newer than this version of genesis, use --force";

fn without_provider(text: &str, agents: &Agents, providers: &Providers) -> Failed {
    let text = text.trim();
    let failed = Failed::new(format!("`{}` is neither `provider/model` nor an alias", plain(text)));
    let aliases = agents.defaults.models.values().filter_map(|note| note.alias.as_deref());
    let found = sellers(text, providers);
    match (nearest(text, aliases), found.as_slice()) {
        (Some(alias), _) => failed.hint(format!("did you mean the alias `{alias}`?")),
        (None, []) => {
            failed.hint("write it as in `anthropic/claude-sonnet-4-6`; `genesis models list --all` lists all")
        }
        (None, found) => failed.hint(format!("did you mean {}?", found.join(" or "))),
    }
}

/// References of up to three providers that have a model of exactly this name, or else of the likeliest one.
fn sellers(model: &str, providers: &Providers) -> Vec<String> {
    let ids: Vec<(&Provider, Vec<String>)> =
        providers.iter().map(|provider| (provider, model_ids(provider))).collect();
    let bare = model.rsplit('/').next().unwrap_or(model);
    let of = |wanted: &str| -> Vec<String> {
        ids.iter()
            .filter(|(_, ids)| ids.iter().any(|id| id.eq_ignore_ascii_case(wanted)))
            .map(|(provider, _)| format!("`{}/{wanted}`", provider.slug))
            .take(3)
            .collect()
    };
    let exact = of(bare);
    if !exact.is_empty() {
        return exact;
    }
    match nearest(bare, ids.iter().flat_map(|(_, ids)| ids.iter().map(String::as_str))) {
        Some(near) => of(near),
        None => Vec::new(),
    }
}

/// The model of the table that a dated or tagged name means: `claude-sonnet-4-5-20250929`, `…-latest`.
pub(super) fn is_version_of(name: &str, id: &str) -> bool {
    let tail = name.to_ascii_lowercase();
    tail.strip_prefix(&id.to_ascii_lowercase()).is_some_and(|tail| {
        tail.is_empty()
            || tail == "-latest"
            || (tail.len() >= 9 && tail.starts_with(['-', '@']) && tail[1..].starts_with("20"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_slash_parts_provider_and_model() {
        for (text, expected) in [
            ("anthropic/claude-sonnet-4-6", Some("anthropic/claude-sonnet-4-6")),
            (" OpenRouter / meta/Llama ", Some("openrouter/meta/Llama")),
            ("claude", None),
            ("/claude", None),
            ("anthropic/", None),
        ] {
            assert_eq!(
                Reference::split(text).map(|reference| reference.to_string()).as_deref(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn dates_name_versions_and_other_tails_name_other_models() {
        for name in [
            "claude-sonnet-4-5",
            "Claude-Sonnet-4-5",
            "claude-sonnet-4-5-20250929",
            "claude-sonnet-4-5@20250929",
        ] {
            assert!(is_version_of(name, "claude-sonnet-4-5"), "{name}");
        }
        assert!(is_version_of("claude-sonnet-4-5-latest", "claude-sonnet-4-5"));
        for name in
            ["claude-sonnet-4-55", "claude-sonnet-4-5-mini", "claude-sonnet-4", "claude-sonnet-4-5-20"]
        {
            assert!(!is_version_of(name, "claude-sonnet-4-5"), "{name}");
        }
    }
}
