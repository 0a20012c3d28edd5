//! The arguments of `genesis onboard`, as typed.

use clap::{Args, ValueEnum};
use genesis_config::Secret;

use super::choice::{Choice, Endpoint};

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  genesis onboard\n  genesis onboard --auth-choice cloudflare-ai-gateway-api-key\n\n  \
    genesis onboard --non-interactive --mode local \\\n    --auth-choice cloudflare-ai-gateway-api-key \\\n    \
    --cloudflare-ai-gateway-account-id \"$CLOUDFLARE_ACCOUNT_ID\" \\\n    --cloudflare-ai-gateway-gateway-id my-gateway \\\n    \
    --cloudflare-ai-gateway-api-key \"$CLOUDFLARE_AI_GATEWAY_API_KEY\"\n\n  \
    genesis onboard --non-interactive --auth-choice genesis-gateway --remote-url http://127.0.0.1:18789\n\n\
    Nothing is written before the last question is answered. Keys go to .env in the genesis folder, which only you can\n\
    read; what genesis.json was before is kept as genesis.json.bak. Run again, it changes what it is asked to and\n\
    nothing else.\n\n\
    Exit codes: 0 done, 1 it did not work or was cancelled, 2 the command line is wrong or incomplete, 78 genesis.json\n\
    is wrong."
)]
pub(crate) struct Onboard {
    /// Ask nothing: everything comes from the command line and the environment
    #[arg(long)]
    pub(super) non_interactive: bool,
    /// `remote` is short for a Genesis gateway on another machine
    #[arg(long, value_enum, default_value_t = Mode::Local)]
    pub(super) mode: Mode,
    /// Ask for the usual things, or for everything
    #[arg(long, value_enum, default_value_t = Flow::Quickstart)]
    pub(super) flow: Flow,
    /// Where calls go
    #[arg(long, value_enum, value_name = "CHOICE")]
    pub(super) auth_choice: Option<Choice>,
    #[command(flatten)]
    pub(super) gateway: GatewayFlags,
    #[command(flatten)]
    pub(super) providers: ProviderFlags,
    /// Default model, `provider/model` or the model's name alone
    #[arg(long, value_name = "MODEL")]
    pub(super) model: Option<String>,
    /// What becomes of a key: written to .env (`plaintext` means the same), or left in the variable that holds it
    #[arg(long, value_enum, value_name = "MODE")]
    pub(super) secret_input_mode: Option<SecretMode>,
    /// Make one small call afterwards; exit code 1 if it fails
    #[arg(long, overrides_with = "no_verify")]
    pub(super) verify: bool,
    /// Make no call afterwards, and do not offer one
    #[arg(long)]
    pub(super) no_verify: bool,
    /// Show what would be written, write nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Start from an empty genesis.json; the old one is kept as genesis.json.bak
    #[arg(long)]
    pub(super) reset: bool,
    /// How much --reset takes away: the configuration, or the keys in .env too
    #[arg(long, value_enum, value_name = "SCOPE", requires = "reset", default_value_t = ResetScope::Config)]
    pub(super) reset_scope: ResetScope,
    /// Print one JSON object; asks nothing
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) server: ServerFlags,
    #[command(flatten)]
    habit: Habit,
    #[arg(hide = true)]
    pub(super) surplus: Vec<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Mode {
    Local,
    Remote,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Flow {
    Quickstart,
    #[value(alias = "advanced")]
    Manual,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum SecretMode {
    EnvFile,
    #[value(hide = true)]
    Plaintext,
    Ref,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum ResetScope {
    Config,
    #[value(name = "config+creds+sessions", alias = "full")]
    Credentials,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "A gateway, Cloudflare's or your own")]
pub(super) struct GatewayFlags {
    /// Account id, 32 hex digits; the gateway's whole address will do [env: CLOUDFLARE_ACCOUNT_ID=]
    #[arg(long, value_name = "ID")]
    pub(super) cloudflare_ai_gateway_account_id: Option<String>,
    /// Gateway id [env: CF_AI_GATEWAY_GATEWAY_ID=]
    #[arg(long, value_name = "ID")]
    pub(super) cloudflare_ai_gateway_gateway_id: Option<String>,
    /// The provider's key, for Anthropic unless --endpoint says otherwise [env: CLOUDFLARE_AI_GATEWAY_API_KEY=]
    #[arg(long, value_name = "KEY")]
    pub(super) cloudflare_ai_gateway_api_key: Option<Secret>,
    /// Token of an authenticated gateway, sent as `cf-aig-authorization` [env: CF_AIG_TOKEN=]
    #[arg(long, value_name = "TOKEN")]
    pub(super) cloudflare_ai_gateway_token: Option<Secret>,
    /// What the gateway's address speaks (default: anthropic; a Genesis gateway: compat)
    #[arg(long, value_enum)]
    pub(super) endpoint: Option<Endpoint>,
    /// Address of a Genesis gateway, such as http://127.0.0.1:18789 or one with /v1/<account>/<gateway>
    #[arg(long, value_name = "URL")]
    pub(super) remote_url: Option<String>,
    /// Token for a Genesis gateway [env: GENESIS_GATEWAY_TOKEN=]
    #[arg(long, value_name = "TOKEN", alias = "gateway-token")]
    pub(super) remote_token: Option<Secret>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "A provider directly")]
pub(super) struct ProviderFlags {
    /// [env: ANTHROPIC_API_KEY=]
    #[arg(long, value_name = "KEY")]
    pub(super) anthropic_api_key: Option<Secret>,
    /// [env: OPENAI_API_KEY=]
    #[arg(long, value_name = "KEY")]
    pub(super) openai_api_key: Option<Secret>,
    /// [env: GEMINI_API_KEY=]
    #[arg(long, value_name = "KEY")]
    pub(super) gemini_api_key: Option<Secret>,
    /// Address of the API, up to and with its version: https://llm.example/v1
    #[arg(long, value_name = "URL")]
    pub(super) custom_base_url: Option<String>,
    /// Model to call there
    #[arg(long, value_name = "MODEL")]
    pub(super) custom_model_id: Option<String>,
    /// Its key, if it wants one
    #[arg(long, value_name = "KEY")]
    pub(super) custom_api_key: Option<Secret>,
    /// What to call it in references (default: custom)
    #[arg(long, value_name = "NAME")]
    pub(super) custom_provider_id: Option<String>,
    /// What it speaks (default: openai)
    #[arg(long, value_enum)]
    pub(super) custom_compatibility: Option<Compatibility>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Compatibility {
    Openai,
    OpenaiResponses,
    Anthropic,
}

impl Compatibility {
    pub(super) fn api(self) -> &'static str {
        match self {
            Self::Openai => "openai-completions",
            Self::OpenaiResponses => "openai-responses",
            Self::Anthropic => "anthropic-messages",
        }
    }
}

#[derive(Args, Debug)]
#[command(next_help_heading = "The gateway on this machine")]
pub(super) struct ServerFlags {
    /// Port it is to listen on (gateway.listen)
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) gateway_port: Option<u16>,
    /// Who can reach it: this machine, or the network (gateway.listen)
    #[arg(long, value_enum)]
    pub(super) gateway_bind: Option<Bind>,
    /// Keep it running as a service (`genesis gateway install`)
    #[arg(long)]
    pub(super) install_daemon: bool,
    /// Do not, whatever else is said
    #[arg(long, alias = "no-install-daemon")]
    pub(super) skip_daemon: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Bind {
    #[value(alias = "auto")]
    Loopback,
    Lan,
}

/// Flags people have in their scripts; there is nothing here for them to change.
#[derive(Args, Debug)]
pub(super) struct Habit {
    #[arg(long, hide = true)]
    accept_risk: bool,
    #[arg(long, hide = true)]
    skip_health: bool,
    #[arg(long, hide = true)]
    skip_channels: bool,
    #[arg(long, hide = true)]
    skip_skills: bool,
    #[arg(long, hide = true)]
    skip_search: bool,
    #[arg(long, hide = true)]
    skip_bootstrap: bool,
    #[arg(long, hide = true)]
    skip_ui: bool,
    #[arg(long, hide = true)]
    workspace: Option<String>,
}
