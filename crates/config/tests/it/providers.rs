//! Which URL a path stands for, how keys are sent, how the operator's changes merge.

use std::collections::BTreeMap;

use genesis_config::{Auth, Environment, File, Provider, Providers, UrlError};
use genesis_wire::Dialect;
use proptest::prelude::*;

/// Every slug and path form that Cloudflare's documentation and SDKs use, and the tolerated ones.
const URLS: &[(&str, &str, &str)] = &[
    ("openai", "chat/completions", "https://api.openai.com/v1/chat/completions"),
    ("openai", "v1/chat/completions", "https://api.openai.com/v1/chat/completions"),
    ("openai", "responses", "https://api.openai.com/v1/responses"),
    ("openai", "v1/embeddings", "https://api.openai.com/v1/embeddings"),
    ("openai", "files/file%2Dabc/content", "https://api.openai.com/v1/files/file%2Dabc/content"),
    ("openai", "v1", "https://api.openai.com/v1/"),
    ("openai", "v12/x", "https://api.openai.com/v1/v12/x"),
    ("anthropic", "v1/messages", "https://api.anthropic.com/v1/messages"),
    ("anthropic", "messages", "https://api.anthropic.com/v1/messages"),
    ("anthropic", "v1/messages/count_tokens", "https://api.anthropic.com/v1/messages/count_tokens"),
    (
        "google-ai-studio",
        "v1/models/gemini-2.5-flash:generateContent",
        "https://generativelanguage.googleapis.com/v1/models/gemini-2.5-flash:generateContent",
    ),
    (
        "google-ai-studio",
        "v1beta/models/gemini-2.5-flash:streamGenerateContent",
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:streamGenerateContent",
    ),
    (
        "google-ai-studio",
        "models/gemini-2.5-flash:generateContent",
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent",
    ),
    (
        "google-ai-studio",
        "v1beta/openai/chat/completions",
        "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions",
    ),
    (
        "google-ai-studio",
        "upload/v1beta/files",
        "https://generativelanguage.googleapis.com/upload/v1beta/files",
    ),
    ("google", "v1beta/models", "https://generativelanguage.googleapis.com/v1beta/models"),
    (
        "google-vertex-ai",
        "v1/projects/p-1/locations/us-east4/publishers/google/models/gemini-2.5-pro:generateContent",
        "https://us-east4-aiplatform.googleapis.com/v1/projects/p-1/locations/us-east4/publishers/google/models/gemini-2.5-pro:generateContent",
    ),
    (
        "google-vertex-ai",
        "v1beta1/projects/p-1/locations/global/publishers/anthropic/models/claude-opus-5@default:rawPredict",
        "https://aiplatform.googleapis.com/v1beta1/projects/p-1/locations/global/publishers/anthropic/models/claude-opus-5@default:rawPredict",
    ),
    (
        "google-vertex-ai",
        "v1/projects/p/locations/eu/publishers/google/models/m:generateContent",
        "https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu/publishers/google/models/m:generateContent",
    ),
    (
        "google-vertex-ai",
        "projects/p/locations/europe-west1/publishers/google/models/m:predict",
        "https://europe-west1-aiplatform.googleapis.com/v1/projects/p/locations/europe-west1/publishers/google/models/m:predict",
    ),
    (
        "google-vertex-ai",
        "v1/publishers/google/models/m:generateContent",
        "https://aiplatform.googleapis.com/v1/publishers/google/models/m:generateContent",
    ),
    (
        "aws-bedrock",
        "bedrock-runtime/us-east-1/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/invoke",
        "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/invoke",
    ),
    (
        "aws-bedrock",
        "bedrock-runtime/eu-central-1/model/amazon.nova-lite-v1:0/converse-stream",
        "https://bedrock-runtime.eu-central-1.amazonaws.com/model/amazon.nova-lite-v1:0/converse-stream",
    ),
    (
        "aws-bedrock",
        "bedrock-mantle/us-east-1/anthropic/v1/messages",
        "https://bedrock-mantle.us-east-1.api.aws/anthropic/v1/messages",
    ),
    (
        "azure-openai",
        "my-resource/gpt-4o/chat/completions",
        "https://my-resource.openai.azure.com/openai/deployments/gpt-4o/chat/completions",
    ),
    (
        "azure-openai",
        "my-resource/my_gpt-4.1/embeddings",
        "https://my-resource.openai.azure.com/openai/deployments/my_gpt-4.1/embeddings",
    ),
    ("azure-openai", "r/openai/v1/responses", "https://r.openai.azure.com/openai/v1/responses"),
    (
        "azure-openai",
        "r/openai/chat/completions",
        "https://r.openai.azure.com/openai/deployments/openai/chat/completions",
    ),
    (
        "workers-ai",
        "@cf/meta/llama-3.1-8b-instruct",
        "https://api.cloudflare.com/client/v4/accounts/acct/ai/run/@cf/meta/llama-3.1-8b-instruct",
    ),
    (
        "workers-ai",
        "run/@cf/meta/llama-3.1-8b-instruct",
        "https://api.cloudflare.com/client/v4/accounts/acct/ai/run/@cf/meta/llama-3.1-8b-instruct",
    ),
    (
        "workers-ai",
        "v1/chat/completions",
        "https://api.cloudflare.com/client/v4/accounts/acct/ai/v1/chat/completions",
    ),
    ("workers-ai", "v1/embeddings", "https://api.cloudflare.com/client/v4/accounts/acct/ai/v1/embeddings"),
    ("groq", "chat/completions", "https://api.groq.com/openai/v1/chat/completions"),
    ("groq", "v1/chat/completions", "https://api.groq.com/openai/v1/chat/completions"),
    ("groq", "openai/v1/chat/completions", "https://api.groq.com/openai/v1/chat/completions"),
    ("mistral", "v1/chat/completions", "https://api.mistral.ai/v1/chat/completions"),
    ("mistral", "chat/completions", "https://api.mistral.ai/v1/chat/completions"),
    ("cohere", "v1/chat", "https://api.cohere.com/v1/chat"),
    ("cohere", "v2/chat", "https://api.cohere.com/v2/chat"),
    ("cohere", "chat", "https://api.cohere.com/v1/chat"),
    (
        "cohere",
        "compatibility/v1/chat/completions",
        "https://api.cohere.com/compatibility/v1/chat/completions",
    ),
    ("perplexity-ai", "chat/completions", "https://api.perplexity.ai/chat/completions"),
    ("perplexity-ai", "v1/chat/completions", "https://api.perplexity.ai/chat/completions"),
    ("perplexity-ai", "v1/responses", "https://api.perplexity.ai/v1/responses"),
    ("deepseek", "chat/completions", "https://api.deepseek.com/chat/completions"),
    ("deepseek", "v1/chat/completions", "https://api.deepseek.com/v1/chat/completions"),
    ("grok", "v1/chat/completions", "https://api.x.ai/v1/chat/completions"),
    ("grok", "chat/completions", "https://api.x.ai/v1/chat/completions"),
    ("xai", "v1/responses", "https://api.x.ai/v1/responses"),
    ("cerebras", "chat/completions", "https://api.cerebras.ai/v1/chat/completions"),
    ("cerebras", "v1/chat/completions", "https://api.cerebras.ai/v1/chat/completions"),
    ("openrouter", "v1/chat/completions", "https://openrouter.ai/api/v1/chat/completions"),
    ("openrouter", "chat/completions", "https://openrouter.ai/api/v1/chat/completions"),
    ("openrouter", "api/v1/chat/completions", "https://openrouter.ai/api/v1/chat/completions"),
    (
        "huggingface",
        "bigcode/starcoder",
        "https://router.huggingface.co/hf-inference/models/bigcode/starcoder",
    ),
    ("huggingface", "v1/chat/completions", "https://router.huggingface.co/v1/chat/completions"),
    ("replicate", "predictions", "https://api.replicate.com/v1/predictions"),
    ("replicate", "v1/predictions", "https://api.replicate.com/v1/predictions"),
    ("baseten", "v1/chat/completions", "https://inference.baseten.co/v1/chat/completions"),
    ("baseten", "chat/completions", "https://inference.baseten.co/v1/chat/completions"),
    ("baseten", "model/abcd1234", "https://model-abcd1234.api.baseten.co/production/predict"),
    (
        "baseten",
        "model/abcd1234/environments/staging/predict",
        "https://model-abcd1234.api.baseten.co/environments/staging/predict",
    ),
    ("parallel", "v1/tasks/runs", "https://api.parallel.ai/v1/tasks/runs"),
    ("parallel", "v1beta/search", "https://api.parallel.ai/v1beta/search"),
    ("parallel", "v1beta/findall/ingest", "https://api.parallel.ai/v1beta/findall/ingest"),
    ("fal", "fal-ai/fast-sdxl", "https://fal.run/fal-ai/fast-sdxl"),
    ("ideogram", "v1/ideogram-v3/generate", "https://api.ideogram.ai/v1/ideogram-v3/generate"),
    ("cartesia", "tts/bytes", "https://api.cartesia.ai/tts/bytes"),
    ("cartesia", "v1/tts/bytes", "https://api.cartesia.ai/tts/bytes"),
    ("deepgram", "v1/listen", "https://api.deepgram.com/v1/listen"),
    ("deepgram", "listen", "https://api.deepgram.com/v1/listen"),
    ("elevenlabs", "v1/text-to-speech/abc", "https://api.elevenlabs.io/v1/text-to-speech/abc"),
    ("fireworks", "chat/completions", "https://api.fireworks.ai/inference/v1/chat/completions"),
    ("fireworks", "v1/chat/completions", "https://api.fireworks.ai/inference/v1/chat/completions"),
    ("fireworks", "inference/v1/chat/completions", "https://api.fireworks.ai/inference/v1/chat/completions"),
    ("adobe-firefly", "v3/images/generate", "https://firefly-api.adobe.io/v3/images/generate"),
    (
        "alibaba",
        "chat/completions",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions",
    ),
    ("minimax", "v1/chat/completions", "https://api.minimax.io/v1/chat/completions"),
    ("zai", "chat/completions", "https://api.z.ai/api/paas/v4/chat/completions"),
    ("together", "v1/chat/completions", "https://api.together.xyz/v1/chat/completions"),
    ("moonshot", "chat/completions", "https://api.moonshot.ai/v1/chat/completions"),
    ("nvidia", "chat/completions", "https://integrate.api.nvidia.com/v1/chat/completions"),
    ("sambanova", "chat/completions", "https://api.sambanova.ai/v1/chat/completions"),
    ("deepinfra", "chat/completions", "https://api.deepinfra.com/v1/openai/chat/completions"),
    ("voyage", "embeddings", "https://api.voyageai.com/v1/embeddings"),
    ("ollama", "v1/chat/completions", "http://127.0.0.1:11434/v1/chat/completions"),
];

#[test]
fn every_path_leads_to_its_url() {
    let providers = Providers::builtin();
    for (slug, path, url) in URLS {
        let provider = providers.find(slug).unwrap_or_else(|| panic!("{slug} is missing"));
        assert_eq!(provider.upstream_url("acct", path).as_deref(), Ok(*url), "{slug} {path}");
    }
}

#[test]
fn every_row_is_tried_above_and_complete() {
    let providers = Providers::builtin();
    for provider in providers.iter() {
        assert!(!provider.name.is_empty());
        if provider.slug == "cloudflare-ai-gateway" {
            continue;
        }
        let tried = URLS
            .iter()
            .any(|(slug, ..)| providers.find(slug).is_some_and(|found| found.slug == provider.slug));
        assert!(tried, "no URL is tested for {}", provider.slug);
        assert_eq!(provider.env.is_empty(), provider.auth == Auth::None, "{}", provider.slug);
        assert!(!provider.base_url_set && !provider.custom);
    }
}

#[test]
fn every_endpoint_of_every_row_has_a_url_and_speaks_its_dialect() {
    let values =
        [("model", "m-1"), ("region", "us-east-1"), ("project", "p"), ("resource", "r"), ("deployment", "d")];
    for provider in Providers::builtin().iter() {
        for dialect in &provider.dialects {
            for stream in [false, true] {
                let path = provider.endpoint(*dialect, stream, &values).expect("a dialect has an endpoint");
                assert_eq!(Dialect::of_path(&path), Some(*dialect), "{} {path}", provider.slug);
                if provider.slug != "cloudflare-ai-gateway" {
                    let url = provider
                        .upstream_url("acct", &path)
                        .unwrap_or_else(|error| panic!("{path}: {error}"));
                    assert!(!url.contains(['{', '*']), "{url}");
                }
            }
        }
    }
}

#[test]
fn endpoints_differ_for_streams_and_encode_the_model() {
    let providers = Providers::builtin();
    let path = |slug, dialect, stream, values: &[(&str, &str)]| {
        providers.find(slug).and_then(|provider| provider.endpoint(dialect, stream, values))
    };
    assert_eq!(
        path("google-ai-studio", Dialect::GeminiGenerate, true, &[("model", "gemini-3-pro")]).as_deref(),
        Some("v1beta/models/gemini-3-pro:streamGenerateContent")
    );
    assert_eq!(
        path("aws-bedrock", Dialect::BedrockConverse, true, &[("model", "a/b:0"), ("region", "us-east-1")])
            .as_deref(),
        Some("bedrock-runtime/us-east-1/model/a%2Fb:0/converse-stream")
    );
    assert_eq!(path("openai", Dialect::OpenAiChat, true, &[]).as_deref(), Some("chat/completions"));
    assert_eq!(path("openai", Dialect::AnthropicMessages, false, &[]), None);
}

#[test]
fn keys_go_where_the_provider_wants_them() {
    let providers = Providers::builtin();
    for (slug, name, prefix) in [
        ("openai", "authorization", "Bearer "),
        ("anthropic", "x-api-key", ""),
        ("google-ai-studio", "x-goog-api-key", ""),
        ("azure-openai", "api-key", ""),
        ("fal", "authorization", "Key "),
        ("deepgram", "authorization", "Token "),
        ("elevenlabs", "xi-api-key", ""),
        ("ideogram", "api-key", ""),
        ("cartesia", "x-api-key", ""),
        ("parallel", "x-api-key", ""),
    ] {
        let provider = providers.find(slug).unwrap();
        let expected = Auth::Header { name: name.to_owned(), prefix: prefix.to_owned() };
        assert_eq!(provider.auth, expected, "{slug}");
        assert_eq!(provider.key_slots.first().map(String::as_str), Some(name), "{slug}");
    }
    assert_eq!(providers.find("aws-bedrock").unwrap().auth, Auth::AwsSigV4);
    assert_eq!(providers.find("google-vertex-ai").unwrap().auth, Auth::GoogleServiceAccount);
    assert_eq!(providers.find("anthropic").unwrap().key_slots, ["x-api-key", "authorization"]);
}

#[test]
fn no_path_changes_the_host() {
    let providers = Providers::builtin();
    let hostile = [
        "evil.com",
        "evil.com:443",
        "a@evil.com",
        "@evil.com",
        "evil.com%2F",
        "evil.com%23",
        "a%40b",
        "x.y",
        "-a",
        "a-",
        "_x",
        "",
        " ",
        "a b",
        "é",
        "%",
        "evil.com#",
        "a\\b",
        "a/../b",
        "*",
        "{region}",
        "${HOME}",
    ];
    for part in hostile {
        for (slug, path) in [
            ("aws-bedrock", format!("bedrock-runtime/{part}/model/m/invoke")),
            ("aws-bedrock", format!("bedrock-mantle/{part}/v1/messages")),
            ("azure-openai", format!("{part}/d/chat/completions")),
            ("google-vertex-ai", format!("v1/projects/p/locations/{part}/x")),
            ("baseten", format!("model/{part}")),
        ] {
            let url = providers.find(slug).unwrap().upstream_url("acct", &path);
            // `model/a/b` and the like are other routes of the same host.
            if let Ok(url) = url {
                let host = url.split('/').nth(2).unwrap();
                let own = [
                    ".amazonaws.com",
                    ".api.aws",
                    ".openai.azure.com",
                    "aiplatform.googleapis.com",
                    ".api.baseten.co",
                    "inference.baseten.co",
                ];
                assert!(own.iter().any(|own| host.ends_with(own)), "{slug} {path} leads to {url}");
                assert!(!host.contains("evil"), "{slug} {path} leads to {url}");
            }
        }
    }
}

#[test]
fn an_account_cannot_change_the_path() {
    let workers = Providers::builtin().find("workers-ai").unwrap().clone();
    for account in ["a/b", "..", "a%2Fb", "", "a?b", "a#b"] {
        assert!(workers.upstream_url(account, "v1/embeddings").is_err(), "{account}");
    }
}

#[test]
fn dot_segments_and_stray_characters_are_refused() {
    let openai = Providers::builtin().find("openai").unwrap().clone();
    for path in ["..", "a/../b", "./a", "a/%2e%2E/b", "a/.%2e", "%2e", "a/..%2fb", "a%2f..%2fb", "a%5c..%5cb"]
    {
        assert_eq!(openai.upstream_url("a", path), Err(UrlError::DotSegment), "{path}");
    }
    for path in ["a?b", "a#b", "a b", "a\\b", "a\r\nb", "é"] {
        assert_eq!(openai.upstream_url("a", path), Err(UrlError::BadCharacter), "{path}");
    }
    // Dots inside a name are no dot segments.
    assert!(openai.upstream_url("a", "models/gpt-5.1/...").is_ok());
}

#[test]
fn an_unknown_path_form_names_the_known_ones() {
    let error =
        Providers::builtin().find("aws-bedrock").unwrap().upstream_url("a", "model/m/invoke").unwrap_err();
    assert_eq!(
        error.to_string(),
        "provider aws-bedrock has no such path; it takes bedrock-runtime/{region}/*, bedrock-mantle/{region}/*"
    );
}

#[test]
fn only_fals_own_hosts_may_be_targets() {
    let fal = Providers::builtin().find("fal").unwrap().clone();
    assert_eq!(fal.target_header.as_deref(), Some("x-fal-target-url"));
    for target in
        ["https://queue.fal.run/fal-ai/flux", "https://fal.run/x?a=b", "https://rest.alpha.fal.ai/storage"]
    {
        assert_eq!(fal.target_url(target).as_deref(), Ok(target));
    }
    for target in [
        "http://fal.run/x",
        "https://evilfal.run/x",
        "https://fal.run.evil.com/x",
        "https://fal.run@evil.com/x",
        "https://fal.run:22/x",
        "https://evil.com/fal.run",
        "https://evil.com#.fal.run",
        "https://evil.com\\.fal.run",
        "https://fal.run/../x",
        "https:///fal.run",
        "fal.run",
        "",
    ] {
        assert!(fal.target_url(target).is_err(), "{target}");
    }
}

#[test]
fn a_patch_merges_field_by_field() {
    let providers = patched(
        r#"{ anthropic: { baseUrl: "https://eu.example.com/v1/", headers: { "X-Team": "red" } },
             openai: { baseUrl: "http://127.0.0.1:9/openai/v1" },
             groq: { baseUrl: "http://127.0.0.1:9/base" },
             "aws-bedrock": { baseUrl: "http://127.0.0.1:9" },
             "azure-openai": { baseUrl: "http://127.0.0.1:9/az" },
             xai: { providerAuth: "stored" } }"#,
    );
    let url = |slug: &str, path: &str| providers.find(slug).unwrap().upstream_url("a", path).unwrap();
    let anthropic = providers.find("anthropic").unwrap();
    assert!(anthropic.base_url_set);
    assert_eq!(anthropic.headers, [("X-Team".to_owned(), "red".to_owned())]);
    assert_eq!(anthropic.env, ["ANTHROPIC_API_KEY"]);
    // The address now has the version.
    assert_eq!(url("anthropic", "v1/messages"), "https://eu.example.com/v1/messages");
    assert_eq!(url("openai", "v1/chat/completions"), "http://127.0.0.1:9/openai/v1/chat/completions");
    assert_eq!(url("groq", "openai/v1/chat/completions"), "http://127.0.0.1:9/base/chat/completions");
    assert_eq!(
        url("aws-bedrock", "bedrock-runtime/us-east-1/model/m/invoke"),
        "http://127.0.0.1:9/model/m/invoke"
    );
    assert_eq!(
        url("azure-openai", "r/d/chat/completions"),
        "http://127.0.0.1:9/az/openai/deployments/d/chat/completions"
    );
    assert_eq!(providers.find("grok").unwrap().provider_auth, genesis_config::ProviderAuth::Stored);
}

#[test]
fn a_relay_needs_an_address_and_takes_what_its_api_takes() {
    let relay = Providers::builtin().find("cloudflare-ai-gateway").unwrap().clone();
    let error = relay.upstream_url("a", "v1/messages").unwrap_err();
    assert!(error.to_string().contains("models.providers.cloudflare-ai-gateway.baseUrl"), "{error}");

    let block = r#"{ "cloudflare-ai-gateway": { baseUrl: "https://gateway.ai.cloudflare.com/v1/a/g/compat", api: "openai-completions" } }"#;
    let providers = patched(block);
    let relay = providers.find("cloudflare-ai-gateway").unwrap();
    assert_eq!(relay.auth, Auth::bearer());
    assert_eq!(
        relay.upstream_url("a", "chat/completions").as_deref(),
        Ok("https://gateway.ai.cloudflare.com/v1/a/g/compat/chat/completions")
    );
}

#[test]
fn an_unknown_slug_with_an_address_is_a_provider_of_its_own() {
    let providers = patched(
        r#"{ mine: { baseUrl: "http://10.0.0.5:8000/v1", apiKey: "${MINE_KEY}" },
             claudes: { baseUrl: "https://c.example.com", api: "anthropic-messages" },
             odd: { baseUrl: "https://o.example.com", authHeader: { name: "X-Odd", prefix: "Odd " } } }"#,
    );
    let mine = providers.find("mine").unwrap();
    assert!(mine.custom && mine.base_url_set);
    assert_eq!(mine.auth, Auth::bearer());
    assert_eq!(mine.dialects, [Dialect::OpenAiChat, Dialect::OpenAiEmbeddings]);
    assert_eq!(
        mine.upstream_url("a", "v1/chat/completions").as_deref(),
        Ok("http://10.0.0.5:8000/v1/v1/chat/completions"),
        "a custom provider's paths are its own affair"
    );
    assert_eq!(providers.find("custom-mine").unwrap().slug, "mine");
    assert!(providers.find("custom-openai").is_none(), "a built-in row is not a custom provider");
    let claudes = providers.find("claudes").unwrap();
    assert_eq!(claudes.dialects, [Dialect::AnthropicMessages]);
    assert_eq!(claudes.key_slots, ["x-api-key"]);
    let odd = providers.find("odd").unwrap();
    assert_eq!(odd.auth, Auth::Header { name: "x-odd".to_owned(), prefix: "Odd ".to_owned() });
}

#[test]
fn endpoints_of_a_providers_own_fit_its_address() {
    let providers = patched(
        r#"{ bare: { baseUrl: "https://b.example.com" },
             versioned: { baseUrl: "https://v.example.com/v1" },
             deep: { baseUrl: "https://d.example.com/openai" },
             claudes: { baseUrl: "https://c.example.com/v1", api: "anthropic-messages" },
             geminis: { baseUrl: "https://g.example.com/v1beta/", api: "google-generative-ai" } }"#,
    );
    for (slug, dialect, url) in [
        ("bare", Dialect::OpenAiChat, "https://b.example.com/v1/chat/completions"),
        ("versioned", Dialect::OpenAiChat, "https://v.example.com/v1/chat/completions"),
        ("deep", Dialect::OpenAiEmbeddings, "https://d.example.com/openai/embeddings"),
        ("claudes", Dialect::AnthropicMessages, "https://c.example.com/v1/messages"),
        ("geminis", Dialect::GeminiGenerate, "https://g.example.com/v1beta/models/m:generateContent"),
    ] {
        let provider = providers.find(slug).unwrap();
        let path = provider.endpoint(dialect, false, &[("model", "m")]).unwrap();
        assert_eq!(provider.upstream_url("a", &path).as_deref(), Ok(url), "{slug}");
    }
}

#[test]
fn an_address_may_hold_variables() {
    let providers = patched(r#"{ mine: { baseUrl: "https://${HOST}/v1/${ACCOUNT}" } }"#);
    let mine = providers.find("mine").unwrap();
    assert!(matches!(mine.upstream_url("a", "x"), Err(UrlError::Unresolved { .. })));
    let environment = Environment::of([("HOST", "h.example.com"), ("ACCOUNT", "42")]);
    let resolved = mine.resolved(&environment).unwrap();
    assert_eq!(resolved.upstream_url("a", "x").as_deref(), Ok("https://h.example.com/v1/42/x"));
    assert_eq!(mine.resolved(&Environment::default()).unwrap_err().name, "HOST");
}

#[test]
fn nothing_secret_is_in_debug_text() {
    let providers = patched(
        r#"{ mine: { baseUrl: "https://m.example.com", apiKey: "sk-1", headers: { "x-key": "sk-2" } } }"#,
    );
    let text = format!("{:?}", providers.find("mine").unwrap());
    assert!(text.contains("x-key") && !text.contains("sk-"), "{text}");
}

#[test]
fn a_misspelt_slug_has_a_neighbour() {
    let providers = Providers::builtin();
    assert_eq!(providers.nearest("antropic"), Some("anthropic"));
    assert_eq!(providers.nearest("googel-ai-studio"), Some("google-ai-studio"));
    assert_eq!(providers.nearest("zzzzzzzz"), None);
}

proptest! {
    #[test]
    fn whatever_the_path_the_host_is_the_providers(path in "[a-zA-Z0-9._@:%/*{}$~-]{0,60}", account in "[ -~]{0,12}") {
        for provider in Providers::builtin().iter() {
            if let Ok(url) = provider.upstream_url(&account, &path) {
                let (scheme, rest) = url.split_once("://").unwrap();
                prop_assert!(scheme == "https" || provider.slug == "ollama");
                let host = rest.split('/').next().unwrap();
                prop_assert!(known_host(provider, host), "{} {path}: {url}", provider.slug);
            }
        }
    }
}

/// Whether a host is one of the row's URL patterns with names filled in by plain labels.
fn known_host(provider: &Provider, host: &str) -> bool {
    provider.routes.iter().any(|route| {
        let pattern = route.url().split("://").nth(1).unwrap().split('/').next().unwrap();
        match (pattern.find('{'), pattern.rfind('}')) {
            (Some(open), Some(close)) => host
                .strip_prefix(&pattern[..open])
                .and_then(|rest| rest.strip_suffix(&pattern[close + 1..]))
                .is_some_and(|label| label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')),
            _ => host == pattern,
        }
    })
}

fn patched(providers: &str) -> Providers {
    let file = File::parse(&format!("{{ models: {{ providers: {providers} }} }}")).unwrap();
    let patches: &BTreeMap<_, _> = &file.models.providers;
    Providers::with(patches).unwrap()
}

#[test]
fn several_addresses_and_keys_are_checked_each() {
    let parse = |block: &str| {
        genesis_config::File::parse(&format!("{{ models: {{ providers: {{ openai: {{ {block} }} }} }} }}"))
    };
    let file =
        parse("baseUrls: ['https://a.example/v1', 'https://b.example/x/v1'], keyAliases: ['default', 'eu']")
            .unwrap();
    let providers = Providers::with(&file.models.providers).unwrap();
    let openai = providers.find("openai").unwrap();
    assert_eq!(openai.key_aliases, ["default", "eu"]);
    let urls: Vec<_> = std::iter::once(openai)
        .chain(&openai.others)
        .map(|provider| provider.upstream_url("acct", "v1/chat/completions").unwrap())
        .collect();
    assert_eq!(urls, ["https://a.example/v1/chat/completions", "https://b.example/x/v1/chat/completions"]);
    for (block, path) in [
        ("baseUrls: ['https://a.example', 'ftp://b']", "models.providers.openai.baseUrls[1]"),
        ("baseUrl: 'https://a.example', baseUrls: ['https://b.example']", "models.providers.openai.baseUrls"),
        ("keyAliases: ['a', 'a']", "models.providers.openai.keyAliases[1]"),
    ] {
        let problems = parse(block).unwrap_err();
        assert_eq!(problems[0].path, path, "{block}: {problems:?}");
        assert!(problems[0].line > 0);
    }
}
