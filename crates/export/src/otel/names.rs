//! Every name that leaves in a span or a metric.
//!
//! * `gen_ai.*`: Semantic Conventions for Generative AI **1.41.0**, the last version with a schema of its own and the one
//!   back ends know. Its successor, in a repository of its own, still breaks what it has; where it renamed an attribute
//!   we send both names.
//! * [`cloudflare`]: what Cloudflare AI Gateway documents for its spans, where the conventions have another word.
//! * `http.*`, `url.*`, `error.*`, `service.*`: Semantic Conventions 1.41.0, stable.
//! * [`own`]: what only Genesis knows.

/// Of the conventions above.
pub(crate) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.41.0";
/// Name of the instrumentation.
pub(crate) const SCOPE: &str = "genesis.gateway";

pub(crate) const SERVICE_NAME: &str = "service.name";
pub(crate) const SERVICE_VERSION: &str = "service.version";
pub(crate) const SERVICE_INSTANCE: &str = "service.instance.id";
pub(crate) const SERVICE: &str = "genesis";

pub(crate) const OPERATION: &str = "gen_ai.operation.name";
pub(crate) const PROVIDER: &str = "gen_ai.provider.name";
pub(crate) const REQUEST_MODEL: &str = "gen_ai.request.model";
pub(crate) const RESPONSE_MODEL: &str = "gen_ai.response.model";
pub(crate) const REQUEST_STREAM: &str = "gen_ai.request.stream";
pub(crate) const REQUEST_MAX_TOKENS: &str = "gen_ai.request.max_tokens";
pub(crate) const TIME_TO_FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
pub(crate) const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
pub(crate) const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
pub(crate) const CACHE_READ_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
pub(crate) const CACHE_CREATION_TOKENS: &str = "gen_ai.usage.cache_creation.input_tokens";
/// The successor's name of the one above.
pub(crate) const CACHE_WRITE_TOKENS: &str = "gen_ai.usage.cache_write.input_tokens";
pub(crate) const REASONING_TOKENS: &str = "gen_ai.usage.reasoning.output_tokens";
pub(crate) const TOKEN_TYPE: &str = "gen_ai.token.type";
pub(crate) const TOKEN_INPUT: &str = "input";
pub(crate) const TOKEN_OUTPUT: &str = "output";

pub(crate) const ERROR_TYPE: &str = "error.type";
pub(crate) const HTTP_METHOD: &str = "http.request.method";
pub(crate) const HTTP_STATUS: &str = "http.response.status_code";
pub(crate) const HTTP_RESENDS: &str = "http.request.resend_count";
pub(crate) const URL_PATH: &str = "url.path";
pub(crate) const USER_AGENT: &str = "user_agent.original";
/// A point that stands for all attribute sets beyond the limit.
pub(crate) const OVERFLOW: &str = "otel.metric.overflow";

/// Metadata may not use it: it is the conventions' and Cloudflare's.
pub(crate) const RESERVED: &str = "gen_ai.";

pub(crate) mod cloudflare {
    /// The provider's slug.
    pub(crate) const PROVIDER: &str = "gen_ai.model.provider";
    /// The request's body.
    pub(crate) const PROMPT: &str = "gen_ai.prompt_json";
    /// The answer's body.
    pub(crate) const COMPLETION: &str = "gen_ai.completion_json";
    /// US dollars.
    pub(crate) const COST: &str = "gen_ai.usage.cost";
}

pub(crate) mod own {
    pub(crate) const LOG_ID: &str = "genesis.log.id";
    pub(crate) const EVENT_ID: &str = "genesis.event.id";
    pub(crate) const ACCOUNT: &str = "genesis.account";
    pub(crate) const GATEWAY: &str = "genesis.gateway";
    pub(crate) const TOKEN_ID: &str = "genesis.token.id";
    pub(crate) const OUTCOME: &str = "genesis.outcome";
    pub(crate) const CACHED: &str = "genesis.cached";
    pub(crate) const SIMULATED: &str = "genesis.simulated";
    pub(crate) const STEP: &str = "genesis.step";
    pub(crate) const DIALECT: &str = "genesis.dialect";
    pub(crate) const CREDENTIAL: &str = "genesis.credential";
    pub(crate) const PRICE_ID: &str = "genesis.price.id";
    /// Billionths of a US dollar, exact.
    pub(crate) const COST_NANO_USD: &str = "genesis.cost.nano_usd";
    /// Names of what a translation could not carry.
    pub(crate) const DROPPED: &str = "genesis.dropped";
    /// Bytes of the whole body.
    pub(crate) const PROMPT_SIZE: &str = "genesis.prompt.size";
    pub(crate) const COMPLETION_SIZE: &str = "genesis.completion.size";
    /// The body in the span is cut off.
    pub(crate) const PROMPT_CUT: &str = "genesis.prompt.cut";
    pub(crate) const COMPLETION_CUT: &str = "genesis.completion.cut";
    /// An event: a target was left out, since it was known to be down or could not be called.
    pub(crate) const NOT_CALLED: &str = "genesis.attempt.not_called";
}

/// Names, units and buckets of the metrics.
pub(crate) mod metric {
    pub(crate) const TOKENS: &str = "gen_ai.client.token.usage";
    pub(crate) const DURATION: &str = "gen_ai.client.operation.duration";
    pub(crate) const FIRST_CHUNK: &str = "gen_ai.client.operation.time_to_first_chunk";
    pub(crate) const PER_TOKEN: &str = "gen_ai.server.time_per_output_token";
    /// Ours: there is none for cost.
    pub(crate) const COST: &str = "genesis.cost";

    pub(crate) const IN_TOKENS: &str = "{token}";
    pub(crate) const IN_SECONDS: &str = "s";
    pub(crate) const IN_NANO_USD: &str = "{nano_usd}";

    /// Of [`TOKENS`].
    pub(crate) const TOKEN_BOUNDS: [f64; 14] = [
        1.0,
        4.0,
        16.0,
        64.0,
        256.0,
        1_024.0,
        4_096.0,
        16_384.0,
        65_536.0,
        262_144.0,
        1_048_576.0,
        4_194_304.0,
        16_777_216.0,
        67_108_864.0,
    ];
    /// Of [`DURATION`] and [`FIRST_CHUNK`].
    pub(crate) const SECOND_BOUNDS: [f64; 14] =
        [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
    /// Of [`PER_TOKEN`].
    pub(crate) const PER_TOKEN_BOUNDS: [f64; 13] =
        [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];
}

/// What the conventions call a provider; our slug where they have no name.
pub(crate) fn provider(slug: &str) -> &str {
    const KNOWN: [(&str, &str); 8] = [
        ("aws-bedrock", "aws.bedrock"),
        ("azure-openai", "azure.ai.openai"),
        ("google-ai-studio", "gcp.gemini"),
        ("google-vertex-ai", "gcp.vertex_ai"),
        ("grok", "x_ai"),
        ("mistral", "mistral_ai"),
        ("moonshotai", "moonshot_ai"),
        ("perplexity-ai", "perplexity"),
    ];
    KNOWN.iter().find(|(ours, _)| *ours == slug).map_or(slug, |(_, theirs)| theirs)
}

/// What the conventions call a kind of call; our word where they have none.
pub(crate) fn operation(
    kind: &'static str,
    dialect: Option<genesis_wire::Dialect>,
    path: &str,
) -> &'static str {
    match (kind, dialect) {
        (_, Some(genesis_wire::Dialect::GeminiGenerate)) => "generate_content",
        ("chat", None) if path.ends_with("completions") && !path.ends_with("chat/completions") => {
            "text_completion"
        }
        ("", _) if path.contains("realtime") => "realtime",
        ("", _) => "other",
        (kind, _) => kind,
    }
}

#[cfg(test)]
mod tests {
    use genesis_wire::Dialect;

    use super::*;

    #[test]
    fn the_conventions_words_come_first() {
        assert_eq!(operation("chat", Some(Dialect::OpenAiChat), "chat/completions"), "chat");
        assert_eq!(operation("chat", Some(Dialect::GeminiGenerate), "v1beta/models/x"), "generate_content");
        assert_eq!(operation("chat", None, "v1/completions"), "text_completion");
        assert_eq!(operation("chat", None, "v1/chat/completions"), "chat");
        assert_eq!(operation("embeddings", None, "embed"), "embeddings");
        assert_eq!(operation("image", None, "images/generations"), "image");
        assert_eq!(operation("", None, "v1/realtime"), "realtime");
        assert_eq!(operation("", None, "models"), "other");
        assert_eq!(
            (provider("grok"), provider("openai"), provider("custom-x")),
            ("x_ai", "openai", "custom-x")
        );
    }
}
