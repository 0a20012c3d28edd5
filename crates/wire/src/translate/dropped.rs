//! The names of what a translation could not carry, in the caller's own vocabulary.

use crate::Dialect;

/// Names of fields that were not carried, each once, in the order they were met.
#[derive(Clone, Debug, Default)]
pub(super) struct Dropped {
    names: Vec<String>,
}

impl Dropped {
    pub(crate) fn add(&mut self, name: impl Into<String>) {
        let name = name.into();
        if !self.names.contains(&name) {
            self.names.push(name);
        }
    }

    pub(crate) fn into_names(self) -> Vec<String> {
        self.names
    }
}

/// A field of the neutral request that some dialect cannot say.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Field {
    CacheMarker,
    Citations,
    DocumentContext,
    FrequencyPenalty,
    ImageDetail,
    JsonFormat,
    LogitBias,
    Logprobs,
    N,
    ParallelTools,
    PresencePenalty,
    Reasoning,
    Seed,
    ServiceTier,
    Stop,
    SystemPosition,
    Temperature,
    Thinking,
    ToolChoice,
    ToolCache,
    ToolError,
    TopK,
    TopLogprobs,
    TopP,
    User,
}

impl Field {
    /// What the field is called by a client of `dialect`.
    pub(crate) fn name(self, dialect: Dialect) -> &'static str {
        let [chat, messages, gemini, responses] = self.names();
        match dialect {
            Dialect::AnthropicMessages => messages,
            Dialect::GeminiGenerate => gemini,
            Dialect::OpenAiResponses => responses,
            _ => chat,
        }
    }

    /// Chat, Messages, Gemini, Responses.
    #[rustfmt::skip]
    fn names(self) -> [&'static str; 4] {
        match self {
            Field::CacheMarker => ["messages[].content[].cache_control", "messages[].content[].cache_control", "cachedContent", "input[].content[].prompt_cache_breakpoint"],
            Field::Citations => ["web_search_options", "messages[].content[].citations", "contents[].parts[].citations", "input[].content[].annotations"],
            Field::DocumentContext => ["messages[].content[].file.filename", "messages[].content[].context", "contents[].parts[].inlineData.displayName", "input[].content[].filename"],
            Field::FrequencyPenalty => ["frequency_penalty", "frequency_penalty", "generationConfig.frequencyPenalty", "frequency_penalty"],
            Field::ImageDetail => ["messages[].content[].image_url.detail", "messages[].content[].detail", "contents[].parts[].mediaResolution", "input[].content[].detail"],
            Field::JsonFormat => ["response_format", "output_config.format", "generationConfig.responseMimeType", "text.format"],
            Field::LogitBias => ["logit_bias", "logit_bias", "generationConfig.logitBias", "logit_bias"],
            Field::Logprobs => ["logprobs", "logprobs", "generationConfig.responseLogprobs", "include"],
            Field::N => ["n", "n", "generationConfig.candidateCount", "n"],
            Field::ParallelTools => ["parallel_tool_calls", "tool_choice.disable_parallel_tool_use", "toolConfig", "parallel_tool_calls"],
            Field::PresencePenalty => ["presence_penalty", "presence_penalty", "generationConfig.presencePenalty", "presence_penalty"],
            Field::Reasoning => ["reasoning_effort", "thinking", "generationConfig.thinkingConfig", "reasoning"],
            Field::Seed => ["seed", "seed", "generationConfig.seed", "seed"],
            Field::ServiceTier => ["service_tier", "service_tier", "serviceTier", "service_tier"],
            Field::Stop => ["stop", "stop_sequences", "generationConfig.stopSequences", "stop"],
            Field::SystemPosition => ["messages[].role", "messages[].role", "contents[].role", "input[].role"],
            Field::Temperature => ["temperature", "temperature", "generationConfig.temperature", "temperature"],
            Field::Thinking => ["messages[].thinking_blocks", "messages[].content[].thinking", "contents[].parts[].thought", "input[].reasoning"],
            Field::ToolCache => ["tools[].cache_control", "tools[].cache_control", "tools[].cache_control", "tools[].cache_control"],
            Field::ToolChoice => ["tool_choice", "tool_choice", "toolConfig.functionCallingConfig", "tool_choice"],
            Field::ToolError => ["messages[].is_error", "messages[].content[].is_error", "contents[].parts[].functionResponse.response.error", "input[].status"],
            Field::TopK => ["top_k", "top_k", "generationConfig.topK", "top_k"],
            Field::TopLogprobs => ["top_logprobs", "top_logprobs", "generationConfig.logprobs", "top_logprobs"],
            Field::TopP => ["top_p", "top_p", "generationConfig.topP", "top_p"],
            Field::User => ["user", "metadata.user_id", "labels", "user"],
        }
    }
}

impl super::Writing<'_> {
    /// Names the fields only OpenAI understands, except where they ask for what happens anyway.
    pub(super) fn drop_openai(&mut self, request: &super::conversation::Request<'_>) {
        for (name, value) in &request.openai {
            let idle = match *name {
                "store" => value == "false",
                "modalities" => value == r#"["text"]"#,
                "metadata" => value == "{}",
                "verbosity" => value == r#""medium""#,
                _ => false,
            };
            if !idle {
                self.dropped.add(*name);
            }
        }
    }
}
