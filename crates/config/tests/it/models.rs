//! What is known of models, however their names are written.

use genesis_config::file::ModelEntry;
use genesis_config::{Ability, ModelTable, PriceTable, Providers};

#[test]
fn aliases_and_dated_names_mean_the_same_model() {
    let table = ModelTable::builtin();
    let sonnet = table.find("anthropic", "claude-sonnet-4-6").unwrap();
    assert!(sonnet.can(Ability::Tools) && sonnet.can(Ability::Reasoning));
    assert!(sonnet.max_output.unwrap() >= 64_000);
    for name in [
        "Claude-Sonnet-4-6",
        "claude-sonnet-4.6",
        "claude-sonnet-4-6-20260217",
        "claude-sonnet-4-6-latest",
        "anthropic/claude-sonnet-4-6",
    ] {
        assert_eq!(table.find("anthropic", name), Some(sonnet), "{name}");
    }
}

#[test]
fn who_sells_a_model_is_believed_before_its_maker() {
    let table = ModelTable::builtin();
    for (seller, name) in [
        ("aws", "us.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("google", "claude-haiku-4-5@20251001"),
        ("openrouter", "anthropic/claude-haiku-4.5"),
        ("azure", "gpt-5-2025-08-07"),
        ("openrouter", "google/gemini-2.5-flash"),
        ("fireworks", "accounts/fireworks/models/gpt-oss-120b"),
        ("groq", "openai/gpt-oss-120b"),
    ] {
        assert!(table.find(seller, name).is_some_and(|found| found.can(Ability::Tools)), "{seller}/{name}");
    }
    assert_eq!(table.find("openai", "no-such-model"), None);
    assert_eq!(table.find("no-such-provider", "gpt-5"), None);
}

#[test]
fn abilities_have_names() {
    let table = ModelTable::builtin();
    let flash = table.find("google", "gemini-2.5-flash").unwrap();
    assert_eq!(flash.input(), ["text", "image", "pdf", "audio", "video"]);
    assert_eq!(flash.output(), ["text"]);
    assert_eq!(
        flash.names(),
        ["tools", "vision", "reasoning", "structured_output", "prompt_cache", "web_search"]
    );
    let embedding = table.find("openai", "text-embedding-3-small").unwrap();
    assert_eq!(embedding.output(), ["embeddings"]);
    assert!(!embedding.can(Ability::Tools));
}

#[test]
fn models_that_think_are_told_apart() {
    let table = ModelTable::builtin();
    for (provider, model, thinks, by_effort) in [
        ("anthropic", "claude-opus-4-5", true, false),
        ("anthropic", "claude-opus-4-7", true, true),
        ("anthropic", "claude-3-5-haiku-20241022", false, false),
        ("openai", "gpt-4o", false, false),
        ("openai", "o3", true, false),
    ] {
        let Some(found) = table.find(provider, model) else { continue };
        assert_eq!(found.can(Ability::Reasoning), thinks, "{model}");
        assert_eq!(found.can(Ability::ReasoningByEffort), by_effort, "{model}");
    }
}

#[test]
fn models_without_a_price_are_listed_as_their_provider_writes_them() {
    assert_eq!(PriceTable::builtin().models("deepinfra").count(), 0);
    let names: Vec<_> = ModelTable::builtin().models("deepinfra").collect();
    assert!(names.iter().any(|name| name.chars().any(char::is_uppercase)), "{names:?}");
}

#[test]
fn the_file_is_believed_before_the_tables() {
    let mut provider = Providers::builtin().find("anthropic").unwrap().clone();
    let entry = |id: &str| ModelEntry { id: id.to_owned(), ..ModelEntry::default() };
    provider.models = vec![
        ModelEntry {
            context_window: Some(150_000),
            max_tokens: Some(5),
            reasoning: Some(false),
            input: vec!["text".to_owned()],
            ..entry("claude-sonnet-4-6")
        },
        entry("mine"),
    ];
    let known = provider.known_model("claude-sonnet-4-6");
    assert_eq!((known.context_window(), known.max_output()), (Some(150_000), Some(5)));
    assert_eq!((known.input(), known.can(Ability::Reasoning)), (vec!["text"], Some(false)));
    assert!(known.capabilities().contains(&"tools") && !known.capabilities().contains(&"reasoning"));
    let known = provider.known_model("mine");
    assert_eq!((known.context_window(), known.can(Ability::Tools)), (None, None));
    let ids = provider.model_ids();
    assert_eq!(&ids[..2], ["claude-sonnet-4-6", "mine"]);
    assert_eq!(ids.iter().filter(|id| **id == "claude-sonnet-4-6").count(), 1);
}
