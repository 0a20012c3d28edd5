//! Where calls can go, and what each way needs.

use clap::ValueEnum;

/// A way to reach models. The names are those of `--auth-choice`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Choice {
    /// Cloudflare AI Gateway; each call carries the provider's key
    #[value(name = "cloudflare-ai-gateway-api-key")]
    CloudflareKey,
    /// Cloudflare AI Gateway; it holds the provider's key, calls carry the gateway token alone (BYOK)
    #[value(name = "cloudflare-ai-gateway-stored-key")]
    CloudflareStored,
    /// A Genesis gateway, on this machine or another
    #[value(name = "genesis-gateway")]
    Genesis,
    /// Anthropic directly
    #[value(name = "anthropic-api-key", alias = "apiKey")]
    Anthropic,
    /// OpenAI directly
    #[value(name = "openai-api-key")]
    OpenAi,
    /// Google Gemini directly
    #[value(name = "gemini-api-key", aliases = ["google-api-key", "google-ai-studio-api-key"])]
    Gemini,
    /// Any address that speaks OpenAI's API (or Anthropic's)
    #[value(name = "custom-api-key")]
    Custom,
    /// None of these for now
    #[value(name = "skip")]
    Skip,
}

/// What the gateway's address speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Endpoint {
    /// Anthropic's own API
    Anthropic,
    /// Every provider in OpenAI's shape; models are named `provider/model`
    Compat,
}

/// Something that has to be known before anything can be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Question {
    Choice,
    Account,
    Gateway,
    Endpoint,
    /// Where a Genesis gateway listens.
    Address,
    BaseUrl,
    /// What a provider of one's own is called.
    ProviderId,
    Key,
    Token,
    Model,
}

impl Choice {
    /// Those offered at a terminal, in this order.
    pub(super) const OFFERED: [Self; 7] = [
        Self::CloudflareKey,
        Self::CloudflareStored,
        Self::Genesis,
        Self::Anthropic,
        Self::OpenAi,
        Self::Gemini,
        Self::Custom,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::CloudflareKey => "Cloudflare AI Gateway, with a provider key",
            Self::CloudflareStored => "Cloudflare AI Gateway, which holds the provider key",
            Self::Genesis => "A Genesis gateway, on this machine or another",
            Self::Anthropic => "Anthropic",
            Self::OpenAi => "OpenAI",
            Self::Gemini => "Google Gemini",
            Self::Custom => "Any address that speaks OpenAI's API",
            Self::Skip => "None for now",
        }
    }

    /// What has to be known, in the order in which it is asked.
    pub(super) fn questions(self) -> &'static [Question] {
        use Question::{Account, Address, BaseUrl, Endpoint, Gateway, Key, Model, ProviderId, Token};
        match self {
            Self::CloudflareKey => &[Account, Gateway, Endpoint, Key, Token, Model],
            Self::CloudflareStored => &[Account, Gateway, Endpoint, Token, Model],
            Self::Genesis => &[Address, Token, Model],
            Self::Anthropic | Self::OpenAi | Self::Gemini => &[Key, Model],
            Self::Custom => &[BaseUrl, ProviderId, Key, Model],
            Self::Skip => &[],
        }
    }

    /// The provider the calls are made to; `None` where it gets a name of its own, or none is set up.
    pub(super) fn provider(self) -> Option<&'static str> {
        match self {
            Self::CloudflareKey | Self::CloudflareStored | Self::Genesis => Some("cloudflare-ai-gateway"),
            Self::Anthropic => Some("anthropic"),
            Self::OpenAi => Some("openai"),
            Self::Gemini => Some("google-ai-studio"),
            Self::Custom | Self::Skip => None,
        }
    }

    /// The variables that may hold the gateway token; a new one goes into the first.
    pub(super) fn token_variables(self) -> &'static [&'static str] {
        match self {
            Self::Genesis => &["GENESIS_GATEWAY_TOKEN"],
            _ => &["CF_AIG_TOKEN", "CLOUDFLARE_AI_GATEWAY_TOKEN"],
        }
    }

    /// The flags of the provider key and of the gateway token.
    pub(super) fn key_flag(self) -> &'static str {
        match self {
            Self::Anthropic => "--anthropic-api-key",
            Self::OpenAi => "--openai-api-key",
            Self::Gemini => "--gemini-api-key",
            Self::Custom => "--custom-api-key",
            _ => "--cloudflare-ai-gateway-api-key",
        }
    }

    pub(super) fn token_flag(self) -> &'static str {
        match self {
            Self::Genesis => "--remote-token",
            _ => "--cloudflare-ai-gateway-token",
        }
    }

    pub(super) fn default_endpoint(self) -> Endpoint {
        match self {
            Self::Genesis => Endpoint::Compat,
            _ => Endpoint::Anthropic,
        }
    }

    /// The model, as this provider names it, that is proposed.
    pub(super) fn default_model(self, endpoint: Endpoint) -> Option<&'static str> {
        match self {
            Self::Anthropic => Some("claude-sonnet-4-6"),
            Self::OpenAi => Some("gpt-5.5"),
            Self::Gemini => Some("gemini-3.5-flash"),
            Self::Custom | Self::Skip => None,
            Self::CloudflareKey | Self::CloudflareStored | Self::Genesis => Some(match endpoint {
                Endpoint::Anthropic => "claude-sonnet-4-6",
                Endpoint::Compat => "anthropic/claude-sonnet-4-6",
            }),
        }
    }
}

impl Endpoint {
    /// The last part of the gateway's address.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Compat => "compat",
        }
    }

    /// `api` of the configuration file.
    pub(super) fn api(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic-messages",
            Self::Compat => "openai-completions",
        }
    }
}
