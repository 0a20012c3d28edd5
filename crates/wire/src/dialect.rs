//! Dialects: the wire formats we can read. Code exists per dialect, never per vendor.

use serde::{Deserialize, Serialize};

/// A wire format spoken by a provider or a client.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// `POST …/v1/messages`
    AnthropicMessages,
    /// `POST …/model/{id}/converse` and `…/converse-stream` (event-stream framing)
    BedrockConverse,
    /// `POST …/v2/chat`
    CohereChat,
    /// `POST …/models/{m}:generateContent` and `…:streamGenerateContent`
    GeminiGenerate,
    /// `POST …/chat/completions`
    #[serde(rename = "openai-chat")]
    OpenAiChat,
    /// `POST …/embeddings`
    #[serde(rename = "openai-embeddings")]
    OpenAiEmbeddings,
    /// `POST …/responses`
    #[serde(rename = "openai-responses")]
    OpenAiResponses,
}

impl Dialect {
    /// The dialect a path speaks, judged by its end, whoever the provider is. `path` has no query.
    pub fn of_path(path: &str) -> Option<Self> {
        let path = path.trim_end_matches('/');
        let (_, last) = path.rsplit_once('/').unwrap_or(("", path));
        Some(match last {
            "completions" if path.ends_with("chat/completions") => Self::OpenAiChat,
            "embeddings" => Self::OpenAiEmbeddings,
            "responses" => Self::OpenAiResponses,
            "messages" => Self::AnthropicMessages,
            "converse" | "converse-stream" => Self::BedrockConverse,
            "chat" if path.ends_with("v2/chat") => Self::CohereChat,
            // Bedrock's raw invocation carries the model vendor's own body; Claude is by far the commonest.
            "invoke" | "invoke-with-response-stream" if path.contains("anthropic.") => {
                Self::AnthropicMessages
            }
            _ => match last.rsplit_once(':')?.1 {
                "generateContent" | "streamGenerateContent" => Self::GeminiGenerate,
                "rawPredict" | "streamRawPredict" if path.contains("/anthropic/") => Self::AnthropicMessages,
                _ => return None,
            },
        })
    }

    /// The name used in configuration, logs and documentation.
    pub fn name(self) -> &'static str {
        match self {
            Self::AnthropicMessages => "anthropic-messages",
            Self::BedrockConverse => "bedrock-converse",
            Self::CohereChat => "cohere-chat",
            Self::GeminiGenerate => "gemini-generate",
            Self::OpenAiChat => "openai-chat",
            Self::OpenAiEmbeddings => "openai-embeddings",
            Self::OpenAiResponses => "openai-responses",
        }
    }
}

/// The model a path names, for dialects that keep it there (Gemini, Vertex, Bedrock, Azure deployments).
///
/// Percent-encoding is left as it came.
pub fn model_in_path(path: &str) -> Option<&str> {
    let after = ["/models/", "models/", "/model/", "model/", "/deployments/"]
        .iter()
        .find_map(|marker| path.find(marker).map(|at| &path[at + marker.len()..]))?;
    let model = after.split('/').next()?;
    // A colon ends the model only before a method name; Bedrock ids carry one themselves (`…-v1:0`).
    let model = match model.rsplit_once(':') {
        Some((name, verb)) if verb.starts_with(|c: char| c.is_ascii_alphabetic()) => name,
        _ => model,
    };
    (!model.is_empty()).then_some(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_their_dialect() {
        for (path, dialect) in [
            ("/v1/messages", Some(Dialect::AnthropicMessages)),
            ("/v1/messages/count_tokens", None),
            ("/chat/completions", Some(Dialect::OpenAiChat)),
            ("v1/completions", None),
            ("/v1/responses", Some(Dialect::OpenAiResponses)),
            ("/v1beta/models/gemini-3-pro:streamGenerateContent", Some(Dialect::GeminiGenerate)),
            ("/v1beta/models/gemini-3-pro:countTokens", None),
            ("/model/us.anthropic.claude-haiku-4-5-20251001-v1:0/converse", Some(Dialect::BedrockConverse)),
            ("/model/us.anthropic.claude-haiku-4-5-20251001-v1:0/invoke", Some(Dialect::AnthropicMessages)),
            ("/v2/chat", Some(Dialect::CohereChat)),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(Dialect::of_path(path), dialect, "{path}");
        }
    }

    #[test]
    fn paths_name_their_model() {
        for (path, model) in [
            ("/v1beta/models/gemini-3-pro:streamGenerateContent", Some("gemini-3-pro")),
            (
                "/model/us.anthropic.claude-haiku-4-5-20251001-v1:0/converse",
                Some("us.anthropic.claude-haiku-4-5-20251001-v1:0"),
            ),
            ("/openai/deployments/my-gpt/chat/completions", Some("my-gpt")),
            ("/v1/chat/completions", None),
        ] {
            assert_eq!(model_in_path(path), model, "{path}");
        }
    }
}
