//! Prices found by any name a model has, and costs to the last nano-dollar.

use genesis_config::{File, Price, PriceTable, Providers};
use genesis_wire::Usage;
use proptest::prelude::*;

/// 2026-11-22, noon, UTC.
const NOW: i64 = 1_795_348_800_000;
const DAY: i64 = 86_400_000;

fn price(provider: &str, model: &str) -> Price {
    PriceTable::builtin()
        .find(provider, model, NOW)
        .unwrap_or_else(|| panic!("{provider}/{model} has no price"))
}

#[test]
fn anthropic_cache_tokens_have_rates_of_their_own() {
    // Sonnet 4.6: $3 in, $0.30 cache read, $3.75 cache write, $6 one-hour write, $15 out, per million.
    let usage = Usage {
        input: 1_000,
        cache_read: 10_000,
        cache_write: 2_000,
        cache_write_1h: 500,
        output: 300,
        reasoning: 100,
    };
    let cost = price("anthropic", "claude-sonnet-4-6").cost(&usage);
    // 3,000,000 + 3,000,000 + 7,500,000 + 3,000,000 + 4,500,000 nano-USD
    assert_eq!(cost.nano_usd, 21_000_000);
    assert_eq!(
        cost.formula,
        "1000 input × $3/M + 10000 cache_read × $0.3/M + 2000 cache_write × $3.75/M + 500 cache_write_1h × $6/M + 300 output × $15/M"
    );
}

#[test]
fn openai_cached_tokens_are_cheaper() {
    // GPT-5.1: $1.25 in, $0.125 cached, $10 out.
    let usage = Usage { input: 600, cache_read: 400, output: 50, reasoning: 20, ..Usage::default() };
    // 750,000 + 50,000 + 500,000
    assert_eq!(price("openai", "gpt-5.1-2025-11-13").cost(&usage).nano_usd, 1_300_000);
}

#[test]
fn a_long_gemini_prompt_costs_more_for_every_token() {
    // Gemini 3.1 Pro: $2 / $0.20 / $12 up to 200,000 input tokens, $4 / $0.40 / $18 above.
    let gemini = price("google", "models/gemini-3.1-pro-preview");
    let at = Usage { input: 150_000, cache_read: 50_000, output: 1_000, ..Usage::default() };
    assert_eq!(gemini.cost(&at).nano_usd, 300_000_000 + 10_000_000 + 12_000_000);
    let above = Usage { cache_read: 50_001, ..at };
    assert_eq!(gemini.cost(&above).nano_usd, 600_000_000 + 20_000_400 + 18_000_000);
}

#[test]
fn a_sum_is_rounded_once_half_up() {
    // $0.0125 a million: 40 tokens are half a nano-dollar.
    let price = Price::custom(r#"{"per_token_in": 0.0000000000125}"#).unwrap();
    for (tokens, nano_usd) in [(0, 0), (39, 0), (40, 1), (119, 1), (120, 2)] {
        assert_eq!(price.cost(&Usage { input: tokens, ..Usage::default() }).nano_usd, nano_usd, "{tokens}");
    }
}

#[test]
fn the_price_of_the_day_applies() {
    let table = PriceTable::builtin();
    // Sonnet 4.6 dropped its long-prompt rates on 2026-03-13.
    let march_12 = NOW - 255 * DAY;
    let before = table.find("anthropic", "claude-sonnet-4-6", march_12).unwrap();
    let after = table.find("anthropic", "claude-sonnet-4-6", march_12 + DAY).unwrap();
    assert_eq!(before.id, "anthropic/claude-sonnet-4-6@2026-11-22");
    assert_eq!(after.id, "anthropic/claude-sonnet-4-6@2026-03-13");
    assert_eq!((before.tiers.len(), after.tiers.len()), (1, 0));
    let usage = Usage { input: 200_001, ..Usage::default() };
    assert_eq!(before.cost(&usage).nano_usd, 1_200_006_000);
    assert_eq!(after.cost(&usage).nano_usd, 600_003_000);
}

#[test]
fn models_are_found_under_every_name() {
    for (provider, model, found) in [
        ("anthropic", "claude-opus-5-5", "anthropic/claude-opus-5-5@"),
        ("anthropic", "claude-opus-5", "anthropic/claude-opus-5@"),
        ("anthropic", "claude-sonnet-4-6", "anthropic/claude-sonnet-4-6@"),
        ("anthropic", "claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5@"),
        ("anthropic", "anthropic/claude-sonnet-4-5", "anthropic/claude-sonnet-4-5@"),
        ("anthropic", "Claude-Sonnet-4-5", "anthropic/claude-sonnet-4-5@"),
        ("openai", "gpt-5.2-20251211", "openai/gpt-5.2@"),
        ("openai", "gpt-5.5-2026-04-23", "openai/gpt-5.5@"),
        ("openai", "gpt-6-sol-2026-11-01", "openai/gpt-6-sol@"),
        ("openai", "gpt-4o-mini", "openai/gpt-4o-mini@"),
        ("openai", "text-embedding-3-small", "openai/text-embedding-3-small@"),
        ("google", "publishers/google/models/gemini-2.5-pro", "google/gemini-2.5-pro@"),
        ("google", "claude-sonnet-4-5@20250929", "google/claude-sonnet-4-5@"),
        ("aws", "us.anthropic.claude-haiku-4-5-20251001-v1:0", "aws/"),
        ("aws", "us.anthropic.claude-haiku-4-5-20251001-v1%3A0", "aws/"),
        (
            "aws",
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "aws/",
        ),
        ("azure", "gpt-4o", "openai/gpt-4o@"),
        ("azure", "gpt-5.1", "openai/gpt-5.1@"),
        ("x-ai", "grok-4.5-20261001", "x-ai/grok-4.5@"),
        ("cloudflare", "@cf/meta/llama-3.1-8b-instruct", "cloudflare/"),
        ("openrouter", "anthropic/claude-sonnet-4.5", "openrouter/anthropic/claude-sonnet-4.5@"),
    ] {
        let id = price(provider, model).id;
        assert!(id.starts_with(found), "{provider} {model}: {id}");
    }
}

#[test]
fn an_unknown_name_has_no_price() {
    let table = PriceTable::builtin();
    for (provider, model) in [
        ("azure", "our-team-deployment"),
        ("openai", "claude-sonnet-4-5"),
        ("openai", ""),
        ("nobody", "gpt-5"),
        ("anthropic", "gpt-5"),
    ] {
        assert_eq!(table.find(provider, model, NOW), None, "{provider} {model}");
    }
}

#[test]
fn every_price_provider_of_a_row_is_known_or_has_no_prices() {
    let table = PriceTable::builtin();
    let without: Vec<String> = Providers::builtin()
        .iter()
        .filter(|provider| table.models(&provider.price_provider).next().is_none())
        .map(|provider| provider.slug.clone())
        .collect();
    assert_eq!(
        without,
        [
            "adobe-firefly",
            "alibaba",
            "cartesia",
            "deepgram",
            "deepinfra",
            "elevenlabs",
            "fal",
            "huggingface",
            "ideogram",
            "nvidia",
            "ollama",
            "parallel",
            "replicate",
            "sambanova",
        ]
    );
}

#[test]
fn the_operators_own_price_comes_first() {
    let file = File::parse(
        r#"{ models: { providers: {
             openai: { models: [{ id: "gpt-5.1", cost: { input: 1, output: 2.000000001 } }, { id: "gpt-5.2" }] },
             mine: { baseUrl: "https://m.example.com", priceProvider: "openai" } } } }"#,
    )
    .unwrap();
    let providers = Providers::with(&file.models.providers).unwrap();
    let table = PriceTable::builtin();
    let openai = providers.find("openai").unwrap();
    let own = openai.price(table, "gpt-5.1", NOW).unwrap();
    assert_eq!(
        (own.rates.input, own.rates.cache_read, own.rates.output),
        (1_000_000_000, 1_000_000_000, 2_000_000_001)
    );
    assert!(openai.price(table, "gpt-5.2", NOW).unwrap().id.starts_with("openai/gpt-5.2@"));
    assert!(providers.find("mine").unwrap().price(table, "gpt-5.1", NOW).is_some());
}

#[test]
fn a_custom_cost_is_read_digit_by_digit() {
    let usage = Usage { input: 1_000, cache_read: 100, cache_write: 10, output: 10, ..Usage::default() };
    let cost = |json: &str| Price::custom(json).map(|price| price.cost(&usage).nano_usd);
    // $1 and $2 a million
    assert_eq!(cost(r#"{"per_token_in":0.000001,"per_token_out":0.000002}"#), Some(1_110_000 + 20_000));
    assert_eq!(
        cost(r#"{"per_token_in":1e-6,"per_token_out":2E-6,"per_cache_read_token":1e-7}"#),
        Some(1_000_000 + 10_000 + 10_000 + 20_000)
    );
    assert_eq!(cost(r#"{"per_token_in":1e-6,"per_cache_write_token":0}"#), Some(1_100_000));
    assert_eq!(cost(r#"{"total_cost":0.05}"#), Some(50_000_000));
    assert_eq!(cost(r#"{"total_cost":0}"#), Some(0));
    for wrong in
        ["", "{}", "[]", "5", r#"{"per_token_in":-1}"#, r#"{"per_token_in":"1"}"#, r#"{"total_cost":1e300}"#]
    {
        assert_eq!(cost(wrong), None, "{wrong}");
    }
}

fn usages() -> impl Strategy<Value = Usage> {
    let count = || prop_oneof![0..5_u64, 0..2_000_000_u64, Just(u64::MAX), any::<u64>()];
    (count(), count(), count(), count(), count(), count()).prop_map(
        |(input, cache_read, cache_write, cache_write_1h, output, reasoning)| Usage {
            input,
            cache_read,
            cache_write,
            cache_write_1h,
            output,
            reasoning,
        },
    )
}

proptest! {
    #[test]
    fn a_cost_is_never_negative_and_never_overflows(usage in usages(), which in any::<prop::sample::Index>()) {
        let table = PriceTable::builtin();
        let models: Vec<&str> = table.models("openai").chain(table.models("perplexity")).collect();
        let model = models[which.index(models.len())];
        for provider in ["openai", "perplexity"] {
            if let Some(price) = table.find(provider, model, NOW) {
                prop_assert!(price.cost(&usage).nano_usd >= 0);
            }
        }
    }

    #[test]
    fn parts_cost_what_the_whole_costs(left in small_usages(), right in small_usages()) {
        let price = price("anthropic", "claude-sonnet-4-6");
        let whole = Usage {
            input: left.input + right.input,
            cache_read: left.cache_read + right.cache_read,
            cache_write: left.cache_write + right.cache_write,
            cache_write_1h: left.cache_write_1h + right.cache_write_1h,
            output: left.output + right.output,
            reasoning: left.reasoning + right.reasoning,
        };
        let parts = price.cost(&left).nano_usd + price.cost(&right).nano_usd;
        prop_assert!((parts - price.cost(&whole).nano_usd).abs() <= 1);
    }
}

fn small_usages() -> impl Strategy<Value = Usage> {
    let count = || 0..5_000_000_u64;
    (count(), count(), count(), count(), count(), count()).prop_map(
        |(input, cache_read, cache_write, cache_write_1h, output, reasoning)| Usage {
            input,
            cache_read,
            cache_write,
            cache_write_1h,
            output,
            reasoning,
        },
    )
}

#[test]
fn a_newer_table_is_read_whole_before_it_is_used() {
    let text = |rest: &str| {
        format!(
            r#"{{"as_of": "2027-01-01", "source": "x", "providers": {{"openai": {{"models": [{rest}]}}}}}}"#
        )
    };
    let good = r#"{"id":"gpt-9","match":"=gpt-9","prices":[{"in":1000000000,"out":2000000000},{"in":3000000000,"out":4000000000,"from":"2027-02-01"}]}"#;
    let table = PriceTable::parse(&text(good)).unwrap();
    assert_eq!((table.as_of(), table.len()), ("2027-01-01", 1));
    let first = table.by_id("openai/gpt-9@2027-01-01").unwrap();
    let second = table.by_id("openai/gpt-9@2027-02-01").unwrap();
    assert_eq!((first.rates.input, second.rates.input), (1_000_000_000, 3_000_000_000));
    assert_eq!(second.id, "openai/gpt-9@2027-02-01");
    for unknown in ["openai/gpt-9@2026-01-01", "openai/gpt-8@2027-01-01", "nobody/gpt-9@2027-01-01", "custom"]
    {
        assert!(table.by_id(unknown).is_none(), "{unknown}");
    }
    for (bad, said) in [
        (text(""), "no model"),
        (text(r#"{"id":"a","match":"=a","prices":[]}"#), "openai/a: it has no price"),
        (text(r#"{"id":"a","match":"=a","prices":[{"in":-1}]}"#), "below zero"),
        (
            text(r#"{"id":"a","match":"=a","prices":[{"in":1,"tiers":[[5,{"in":1}],[4,{"in":1}]]}]}"#),
            "ascend",
        ),
        (text(r#"{"id":"a","match":"=a","prices":[{"in":"1"}]}"#), "openai: invalid type"),
        (text(good).replace("2027-01-01", "soon"), "no date"),
        ("7".to_owned(), "invalid type"),
    ] {
        let refused = PriceTable::parse(&bad).unwrap_err();
        assert!(refused.contains(said), "{refused}");
    }
}
