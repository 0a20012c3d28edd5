//! What translation has to know of a model: from the configuration and the model table, and where they know nothing,
//! from its name.

use genesis_config::{Ability, KnownModel, Provider};
use genesis_wire::translate::Target;

/// The facts of `model` of `provider`; ids, time and stream are the caller's to fill in.
pub fn facts<'m>(provider: &Provider, model: &'m str) -> Target<'m> {
    let bare = model.rsplit('/').next().unwrap_or(model);
    let claude = claude_version(bare);
    let known = provider.known_model(model);
    let openai = matches!(provider.price_provider.as_str(), "openai" | "azure");
    let starts = |families: &[&str]| families.iter().any(|family| bare.starts_with(family));
    // Of the large makers' models the table says what they cannot do; of others it often just does not say what they can.
    let can = |ability| known.can(ability).filter(|can| *can || claude.is_some() || starts(&LARGE));
    Target {
        model,
        max_output: max_output(&known, claude.is_some() || starts(&LARGE)),
        // OpenAI's reasoning models refuse `max_tokens`; what others serve under their names follows them.
        takes_max_completion_tokens: can(Ability::Reasoning).filter(|_| openai).unwrap_or(false)
            || starts(&["gpt-5", "gpt-6", "o1", "o3", "o4"]),
        adaptive_thinking: can(Ability::ReasoningByEffort)
            .filter(|_| claude.is_some())
            .unwrap_or(claude.is_some_and(|version| version >= (4, 6)))
            || newer_gemini(bare),
        never_thinks: can(Ability::Reasoning).map_or_else(
            || {
                claude.is_some_and(|version| version < (3, 7))
                    || starts(&["gpt-4", "gpt-3.5", "gemini-1", "gemini-2.0"])
            },
            |thinks| !thinks,
        ),
        always_thinks: can(Ability::ReasoningAlways).unwrap_or(false),
        fixed_sampling: can(Ability::FixedSampling).unwrap_or(false),
        unforced_tools: can(Ability::UnforcedTools).unwrap_or(false),
        needs_thought_signature: newer_gemini(bare),
        ..Target::default()
    }
}

/// Beginnings of models whose makers' rows in the table are complete.
const LARGE: [&str; 7] = ["gpt-3", "gpt-4", "gpt-5", "gpt-6", "gemini-", "o3", "o4"];

/// The operator's word always counts; a client's limit is lowered to the table's only where the table can be trusted.
fn max_output(known: &KnownModel<'_>, trusted: bool) -> Option<u64> {
    let described = known.described.and_then(|entry| entry.max_tokens);
    described.or_else(|| known.max_output().filter(|_| trusted))
}

/// Gemini 3 and later: told how hard to think, and strict about the signatures of its thoughts.
fn newer_gemini(model: &str) -> bool {
    let digits = model.strip_prefix("gemini-").unwrap_or_default();
    digits
        .split(['.', '-'])
        .next()
        .and_then(|major| major.parse::<u32>().ok())
        .is_some_and(|major| major >= 3)
}

/// `(4, 5)` of `claude-sonnet-4-5-20250929`, `(3, 5)` of `claude-3-5-haiku`.
fn claude_version(model: &str) -> Option<(u32, u32)> {
    let at = model.find("claude-")?;
    let mut numbers = model[at..].split(['-', '.', '@', ':']).filter_map(|part| part.parse::<u32>().ok());
    let major = numbers.next().filter(|major| *major < 100)?;
    Some((major, numbers.next().filter(|minor| *minor < 100).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use genesis_config::Providers;

    use super::*;

    fn of(slug: &str, model: &'static str) -> Target<'static> {
        facts(Providers::builtin().find(slug).expect("built in"), model)
    }

    #[test]
    fn the_table_knows_what_names_do_not_say() {
        let sonnet = of("anthropic", "claude-sonnet-5-5");
        assert!(sonnet.adaptive_thinking && sonnet.always_thinks && sonnet.fixed_sampling);
        assert!(sonnet.unforced_tools && !sonnet.never_thinks);
        assert_eq!(sonnet.max_output, Some(128_000));
        let older = of("anthropic", "claude-sonnet-4-5-20250929");
        assert!(!older.adaptive_thinking && !older.fixed_sampling && !older.never_thinks);
        assert_eq!(older.max_output, Some(64_000));
        assert!(of("openai", "gpt-4o").never_thinks && !of("openai", "gpt-4o").takes_max_completion_tokens);
        assert!(of("openai", "gpt-6-sol").takes_max_completion_tokens);
        assert!(of("azure-openai", "gpt-5").takes_max_completion_tokens);
        assert!(!of("deepseek", "deepseek-reasoner").takes_max_completion_tokens);
        assert!(of("google-ai-studio", "gemini-3.1-pro-preview").needs_thought_signature);
        assert!(!of("google-ai-studio", "gemini-2.5-pro").adaptive_thinking);
    }

    #[test]
    fn names_say_what_the_table_does_not_know() {
        assert!(of("anthropic", "claude-neo-9-1").adaptive_thinking);
        assert!(of("anthropic", "claude-2.1").never_thinks);
        assert!(of("openrouter", "openai/gpt-5-unheard-of").takes_max_completion_tokens);
        let unheard = of("together", "somebody/something");
        assert_eq!((unheard.max_output, unheard.never_thinks), (None, false));
    }

    #[test]
    fn claude_versions_are_read_from_either_order() {
        for (model, version) in [
            ("claude-sonnet-4-5-20250929", Some((4, 5))),
            ("claude-3-5-haiku-20241022", Some((3, 5))),
            ("claude-opus-4-20250514", Some((4, 0))),
            ("us.anthropic.claude-haiku-4-5-20251001-v1:0", Some((4, 5))),
            ("claude-opus-5-5", Some((5, 5))),
            ("gpt-5", None),
        ] {
            assert_eq!(claude_version(model), version, "{model}");
        }
    }
}
