//! Reading `genesis.json`: what is accepted, and how mistakes are told.

use std::fs;

use genesis_config::{Environment, ExposeSecret, File, LoadError, Problem, ProviderAuth};
use proptest::prelude::*;

#[test]
fn a_full_file_is_read() {
    let file = File::parse(
        r#"{
          $schema: "https://example.com/schema.json",
          // what the client commands use
          agents: { defaults: {
            model: { primary: "cloudflare-ai-gateway/claude-sonnet-4-6", fallbacks: ["openai/gpt-5"] },
            models: { "cloudflare-ai-gateway/claude-sonnet-4-6": { alias: "sonnet", params: { temperature: 0.5 } } },
          } },
          models: { mode: "merge", providers: {
            "cloudflare-ai-gateway": {
              baseUrl: "https://gateway.ai.cloudflare.com/v1/acc/gw/anthropic",
              api: "anthropic-messages",
              apiKey: "${CLOUDFLARE_AI_GATEWAY_API_KEY}",
              providerAuth: "stored",
              headers: { "z-first": "1", "cf-aig-authorization": "Bearer ${CF_AIG_TOKEN}", "a-last": "2" },
              models: [{ id: "claude-sonnet-4-6", name: "Claude Sonnet 4.6", reasoning: true, input: ["text", "image"],
                         cost: { input: 3, output: 15, cacheRead: 0.3, cacheWrite: 3.75 }, contextWindow: 200000, maxTokens: 64000 }],
            },
            openai: { baseUrl: 'https://api.openai.com/v1' },
          } },
          env: { OPENAI_API_KEY: "sk-1", vars: { OTHER: "x" }, shellEnv: { enabled: true, timeoutMs: 500 } },
          gateway: {
            listen: "0.0.0.0:8080", admin: { listen: null }, store: "sqlite:~/g.db", shared: null, workers: 2,
            accounts: ["a"], limits: { bodyBytes: 0x100000 }, allowPrivate: true,
            gateways: { prod: { cache_ttl: 300, rate_limiting_limit: 1000, rate_limiting_interval: 60 }, },
          },
        }"#,
    )
    .unwrap();
    assert_eq!(
        file.agents.defaults.model.primary.as_deref(),
        Some("cloudflare-ai-gateway/claude-sonnet-4-6")
    );
    let provider = &file.models.providers["cloudflare-ai-gateway"];
    assert_eq!(provider.provider_auth, Some(ProviderAuth::Stored));
    let names: Vec<&str> = provider.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["z-first", "cf-aig-authorization", "a-last"]);
    assert_eq!(provider.headers[1].1, "Bearer ${CF_AIG_TOKEN}");
    assert_eq!(provider.api_key.as_ref().unwrap().expose_secret(), "${CLOUDFLARE_AI_GATEWAY_API_KEY}");
    let cost = provider.models[0].cost.as_ref().unwrap();
    assert_eq!((cost.input.0, cost.cache_write.unwrap().0), (3_000_000_000, 3_750_000_000));
    assert_eq!(file.env.values.len(), 2);
    assert_eq!(file.env.shell_env.timeout_ms, 500);
    assert_eq!(file.gateway.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(file.gateway.limits.body_bytes, 0x10_0000);
    assert_eq!(file.gateway.limits.connections, 10_000);
    let prod = &file.gateway.gateways["prod"];
    assert_eq!((prod.id.as_str(), prod.cache_ttl, prod.authentication), ("prod", 300, true));
}

#[test]
fn an_empty_file_is_all_defaults() {
    for text in ["", "  \n", "{}", "// nothing yet\n{ }"] {
        let file = File::parse(text).unwrap();
        assert_eq!(file.gateway.listen.to_string(), "127.0.0.1:18789");
        assert!(file.models.providers.is_empty() && file.agents.defaults.model.primary.is_none());
    }
}

#[test]
fn a_model_may_be_a_plain_reference() {
    let file = File::parse(r#"{ agents: { defaults: { model: "openai/gpt-5" } } }"#).unwrap();
    assert_eq!(file.agents.defaults.model.primary.as_deref(), Some("openai/gpt-5"));
    assert!(file.agents.defaults.model.fallbacks.is_empty());
}

#[test]
fn every_mistake_is_told_with_its_place_and_a_hint() {
    let text = r#"{
  gateway: {
    listen: "localhost",
    workers: "two", // a word
    limts: {},
    gateways: {
      prod: { cache_tll: 5, retry_max_attempts: 9 },
    },
  },
  models: {
    providers: {
      openai: { apikey: "sk-secret", headers: "Bearer sk-secret" },
      antropic: { api: "anthropic" },
    },
  },
  env: { shelEnv: true, OPENAI_API_KEY: 5 },
  agent: {},
}"#;
    insta::assert_snapshot!(told(text), @r##"
    genesis.json:3:5: gateway.listen: expected an address and port such as "127.0.0.1:18789" or "[::1]:18789"
    genesis.json:4:5: gateway.workers: expected a whole number, 0 or more, found a string
    genesis.json:5:5: gateway.limts: unknown field `limts`
      hint: did you mean `limits`?
    genesis.json:7:15: gateway.gateways.prod.cache_tll: unknown field `cache_tll`
      hint: did you mean `cache_ttl`?
    genesis.json:12:17: models.providers.openai.apikey: unknown field `apikey`
      hint: did you mean `apiKey`?
    genesis.json:12:38: models.providers.openai.headers: expected an object, found a string
    genesis.json:13:19: models.providers.antropic.api: expected one of anthropic-messages, openai-completions, openai-responses, google-generative-ai, bedrock-converse-stream
    genesis.json:16:10: env.shelEnv: unknown field `shelEnv`
      hint: did you mean `shellEnv`?
    genesis.json:16:25: env.OPENAI_API_KEY: expected text in quotes, found a number
    genesis.json:17:3: agent: unknown field `agent`
      hint: did you mean `agents`?
    "##);
}

#[test]
fn rules_beyond_types_are_told_the_same_way() {
    let text = r#"{
  models: {
    providers: {
      antropic: { api: "anthropic-messages" },
      "My Provider": { baseUrl: "https://a.example.com" },
      groq: { baseUrl: "ftp://a.example.com" },
      openai: { baseUrl: "https://gateway.ai.cloudflare.com/v1/<account_id>/<gateway_id>/openai" },
      mistral: { baseUrl: "https://user:sk-secret@api.mistral.ai" },
      cohere: { headers: { "cf-aig-authorization:": "x", "x-ok": "Bearer: sk-secret" } },
      deepseek: { models: [{ name: "nameless" }] },
    },
  },
  gateway: {
    workers: 0,
    accounts: [],
    limits: { bodyBytes: 0 },
    gateways: {
      "no spaces": {},
      prod: {
        cache_ttl: 99999999,
        retry_max_attempts: 9,
        retry_delay: 6000,
        log_management: 5,
        rate_limiting_limit: 10,
        id: "other",
        guardrails: { prompt: { S14: "BLOCK" } },
        spend_limits: { enabled: true, rules: [
          { id: "a", limit: 1, window: 60 },
          { id: "a", limit: -1, window: 60 },
        ] },
      },
    },
  },
}"#;
    insta::assert_snapshot!(told(text), @r##"
    genesis.json:4:7: models.providers.antropic: no provider is called `antropic`
      hint: did you mean `anthropic`? A provider of your own needs a baseUrl
    genesis.json:5:7: models.providers["My Provider"]: a provider's slug has 1 to 64 of a-z, 0-9, `-`, `_` and `.`
    genesis.json:6:15: models.providers.groq.baseUrl: expected an http or https address
    genesis.json:7:17: models.providers.openai.baseUrl: still has a <placeholder>; put the real value there
    genesis.json:8:18: models.providers.mistral.baseUrl: holds a user name; put the key into apiKey or headers
    genesis.json:9:28: models.providers.cohere.headers["cf-aig-authorization:"]: is not a header name
      hint: write `cf-aig-authorization`, without the colon
    genesis.json:9:58: models.providers.cohere.headers.x-ok: `Bearer:` is no scheme
      hint: write `Bearer ` with a space and no colon
    genesis.json:10:28: models.providers.deepseek.models[0]: a model needs an `id`
    genesis.json:14:5: gateway.workers: no worker could answer
      hint: leave it out for one worker per core
    genesis.json:15:5: gateway.accounts: an empty list answers nobody
      hint: leave it out to answer any account id
    genesis.json:16:15: gateway.limits.bodyBytes: 0 would refuse every request
    genesis.json:18:7: gateway.gateways["no spaces"]: a gateway id has 1 to 64 characters, each a letter a-z or A-Z, a digit, `_` or `-`
    genesis.json:20:9: gateway.gateways.prod.cache_ttl: 99999999 is out of bounds: 0 to 2678400
    genesis.json:21:9: gateway.gateways.prod.retry_max_attempts: 9 is out of bounds: 1 to 5
    genesis.json:22:9: gateway.gateways.prod.retry_delay: 6000 is out of bounds: 0 to 5000
    genesis.json:23:9: gateway.gateways.prod.log_management: 5 is out of bounds: 10000 to 10000000
    genesis.json:24:9: gateway.gateways.prod.rate_limiting_limit: limits nothing without an interval
      hint: add rate_limiting_interval, in seconds
    genesis.json:25:9: gateway.gateways.prod.id: differs from the name of this entry
      hint: leave `id` out: the name of the entry is the gateway's id
    genesis.json:26:33: gateway.gateways.prod.guardrails.prompt.S14: unknown category
      hint: categories are S1 to S13 and P1
    genesis.json:29:13: gateway.gateways.prod.spend_limits.rules[1].id: another rule has this id
    genesis.json:29:22: gateway.gateways.prod.spend_limits.rules[1].limit: a limit cannot be negative
    "##);
}

#[test]
fn variables_without_a_value_are_told_with_their_place() {
    let text = r#"{
  models: { providers: { openai: {
    apiKey: "${OPENAI_KEY}",
    headers: { "cf-aig-authorization": "Bearer ${CF_AIG_TOKEN}", "x-fine": "${SET} $${NOT_ONE}" },
  } } },
  gateway: { store: "postgres://u:${DB_PASSWORD}@h/d", gateways: { prod: { otel: [
    { url: "https://c.test/${PATH_KEY}", headers: { a: "${SET}", "x-b": "${KEY}" }, authorization: "Bearer ${OTEL_KEY}" },
  ] } } },
}"#;
    let environment = Environment::of([("SET", "1")]);
    let mut problems = File::parse(text).unwrap().unresolved(&environment);
    Problem::locate(text, &mut problems);
    let places: Vec<String> = problems
        .iter()
        .map(|problem| format!("{}:{} {}", problem.line, problem.column, problem.path))
        .collect();
    assert_eq!(
        places,
        [
            "3:5 models.providers.openai.apiKey",
            "4:16 models.providers.openai.headers.cf-aig-authorization",
            "7:7 gateway.gateways.prod.otel[0].url",
            "7:66 gateway.gateways.prod.otel[0].headers.x-b",
            "7:85 gateway.gateways.prod.otel[0].authorization",
            "6:14 gateway.store",
        ]
    );
    assert!(problems[1].message.contains("${CF_AIG_TOKEN} is not set"), "{}", problems[1]);
}

#[test]
fn syntax_errors_have_a_place() {
    for (text, place) in [
        ("{ gateway: { listen: \"a\" ", "1:"),
        ("{\n  gateway {}\n}", "2:"),
        ("{} x", "1:4"),
        ("[]", "1:1"),
        ("{ gateway: [] }", "1:3"),
        ("{ gateway: { gateways: { a: [] } } }", "1:26"),
    ] {
        let problems = File::parse(text).unwrap_err();
        let shown = problems[0].to_string();
        assert!(shown.starts_with(&format!("genesis.json:{place}")), "{text}: {shown}");
    }
}

#[test]
fn no_message_repeats_a_value() {
    for text in [
        r#"{ models: { providers: { openai: { headers: "Bearer sk-secret" } } } }"#,
        r#"{ models: { providers: { openai: { headers: ["sk-secret"] } } } }"#,
        r#"{ models: { providers: { openai: { api: "sk-secret" } } } }"#,
        r#"{ models: { providers: { openai: { baseUrl: "sk-secret" } } } }"#,
        r#"{ models: { providers: "sk-secret" } }"#,
        r#"{ env: "sk-secret" }"#,
        r#"{ gateway: { listen: "sk-secret" } }"#,
        r#"{ gateway: { gateways: { a: { cache_ttl: "sk-secret" } } } }"#,
        r#"{ gateway: { gateways: { a: { stripe: { authorization: "sk-secret", x: 1 } } } } }"#,
    ] {
        let told = told(text);
        assert!(!told.contains("sk-secret"), "{told}");
    }
}

#[test]
fn a_file_shows_no_secret_in_debug_text() {
    let file = File::parse(
        r#"{ env: { A: "sk-secret" }, gateway: { store: "postgres://u:sk-secret@h/d",
             gateways: { a: { otel: [{ url: "https://o", headers: { k: "sk-secret" } }] } } },
             models: { providers: { openai: { apiKey: "sk-secret", headers: { "x-k": "sk-secret" } } } } }"#,
    )
    .unwrap();
    assert!(!format!("{file:?}").contains("sk-secret"));
}

#[test]
fn a_missing_file_is_none_and_an_unreadable_one_an_error() {
    let folder = tempfile::tempdir().unwrap();
    assert!(File::load(&folder.path().join("genesis.json")).unwrap().is_none());
    let error = File::load(folder.path()).unwrap_err();
    assert!(matches!(error, LoadError::Unreadable { .. }), "{error}");
    assert!(error.to_string().contains("hint:"), "{error}");
    let latin = folder.path().join("latin");
    fs::write(&latin, b"{ a: '\xe9' }").unwrap();
    assert!(File::load(&latin).unwrap_err().to_string().contains("UTF-8"));
}

#[cfg(unix)]
#[test]
fn a_file_others_can_read_is_accepted_with_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("genesis.json");
    fs::write(&path, "\u{feff}{}").unwrap();
    for (mode, warnings) in [(0o600, 0), (0o640, 1), (0o644, 1)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(File::load(&path).unwrap().unwrap().warnings.len(), warnings, "{mode:o}");
    }
}

proptest! {
    #[test]
    fn no_text_is_too_broken(start in any::<prop::sample::Index>(), length in 0..12_usize, junk in "[{}\\[\\]:,'\"/* a-zé\n\\\\0-9]{0,6}") {
        let text: Vec<char> = SAMPLE.chars().collect();
        let start = start.index(text.len());
        let end = (start + length).min(text.len());
        let broken: String = text[..start].iter().copied().chain(junk.chars()).chain(text[end..].iter().copied()).collect();
        if let Err(problems) = File::parse(&broken) {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                prop_assert!(problem.line <= broken.lines().count() + 1, "{problem}");
            }
        }
    }
}

const SAMPLE: &str = r#"{ // é
  gateway: { listen: "127.0.0.1:1", workers: "no", gateways: { a: { cache_ttl: -1, 'otel': [{ url: 5 }] } } },
  models: { providers: { openai: { headers: { "x-é": "\u00e9" }, models: [{ id: 'm', cost: { input: 1e3 } }] } } },
  env: { A: "b", vars: {} }, /* end */
}"#;

fn told(text: &str) -> String {
    let problems = File::parse(text).unwrap_err();
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn nesting_that_would_use_up_the_stack_is_a_problem_and_no_crash() {
    let text = format!("{}{}", "{a:".repeat(60_000), "}".repeat(60_000));
    let problems = genesis_config::File::parse(&text).expect_err("refused");
    assert!(problems[0].message.contains("nested"), "{}", problems[0]);
}

#[test]
fn a_secret_may_be_named_by_its_variable() {
    let file = File::parse(
        r#"{ models: { providers: { openai: {
            apiKey: { source: "env", provider: "default", id: "MY_KEY" },
            headers: { "cf-aig-authorization": { source: "env", id: "CF_AIG_TOKEN" }, "x-a": "b" },
        } } } }"#,
    )
    .unwrap();
    let openai = &file.models.providers["openai"];
    let header = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    assert_eq!(openai.headers, [header("cf-aig-authorization", "${CF_AIG_TOKEN}"), header("x-a", "b")]);
    assert_eq!(openai.api_key.as_ref().map(|key| key.expose_secret()), Some("${MY_KEY}"));
    let references = file.references();
    let names: Vec<(&str, &str)> = references.iter().map(|(name, path)| (*name, path.as_str())).collect();
    assert_eq!(
        names,
        [
            ("MY_KEY", "models.providers.openai.apiKey"),
            ("CF_AIG_TOKEN", "models.providers.openai.headers.cf-aig-authorization"),
        ]
    );
    for (wrong, said) in [
        (r#"{ source: "exec", id: "A" }"#, "expected one of env"),
        (r#"{ source: "env", id: "a b" }"#, "the name of a variable"),
        (r#"{ source: "env", id: "A", value: "sk" }"#, "unknown field `value`"),
        (r#"{ id: "A" }"#, "source"),
        ("5", "text in quotes"),
    ] {
        let text = format!("{{ models: {{ providers: {{ openai: {{ headers: {{ h: {wrong} }} }} }} }} }}");
        let problems = File::parse(&text).unwrap_err();
        assert!(problems[0].to_string().contains(said), "{wrong}: {problems:?}");
    }
}

#[test]
fn custom_domains_are_host_names_of_an_account_that_is_answered() {
    let file = File::parse("{ gateway: { domains: { 'AI.example.com': { gateway: 'prod' } } } }").unwrap();
    let (name, domain) = file.gateway.domains.first_key_value().unwrap();
    assert_eq!((name.as_str(), domain.gateway.as_str()), ("ai.example.com", "prod"));
    let said = |text: &str| {
        let problems = File::parse(text).unwrap_err();
        problems
            .iter()
            .map(|problem| format!("{}: {}", problem.path, problem.message))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let address = said("{ gateway: { domains: { 'https://ai.example.com': { gateway: 'prod' } } } }");
    assert!(address.contains("without scheme, port or path"), "{address}");
    let nameless =
        said("{ gateway: { accounts: ['a'], domains: { 'ai.example.com': { gateway: 'prod' } } } }");
    assert!(nameless.starts_with("gateway.domains[\"ai.example.com\"].account: "), "{nameless}");
    assert!(
        File::parse(
            "{ gateway: { accounts: ['a'], domains: { 'ai.example.com': { gateway: 'p', account: 'a' } } } }"
        )
        .is_ok()
    );
}
