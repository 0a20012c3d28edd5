//! What the command line says.

use genesis_config::{ExposeSecret, Secret};

use super::choice::{Choice, Question};
use super::draft::{Draft, Ground};
use super::flags::{Flow, Mode, Onboard};
use crate::printer::Failed;

impl Draft {
    /// The answers on the command line; the first that cannot be used is an error.
    pub(super) fn given(args: &Onboard, ground: &Ground<'_>) -> Result<Self, Failed> {
        let remote = (args.mode == Mode::Remote).then_some(Choice::Genesis);
        let choice = match args.auth_choice.or(remote) {
            Some(choice) => Some(choice),
            None => inferred(args)?,
        };
        let mut draft = Self {
            choice,
            endpoint: args.gateway.endpoint,
            compatibility: args.providers.custom_compatibility,
            thorough: args.flow == Flow::Manual,
            ..Self::default()
        };
        let Some(choice) = choice else { return Ok(draft) };
        let texts = [
            (
                Question::Account,
                "--cloudflare-ai-gateway-account-id",
                &args.gateway.cloudflare_ai_gateway_account_id,
            ),
            (
                Question::Gateway,
                "--cloudflare-ai-gateway-gateway-id",
                &args.gateway.cloudflare_ai_gateway_gateway_id,
            ),
            (Question::Address, "--remote-url", &args.gateway.remote_url),
            (Question::BaseUrl, "--custom-base-url", &args.providers.custom_base_url),
            (Question::ProviderId, "--custom-provider-id", &args.providers.custom_provider_id),
            (Question::Model, "--model", &args.providers.custom_model_id),
            (Question::Model, "--model", &args.model),
        ];
        for (question, flag, text) in texts {
            // An empty one is most often an unset variable.
            let text = text.as_deref().filter(|text| !text.trim().is_empty());
            if let Some(text) = text.filter(|_| choice.questions().contains(&question)) {
                draft.put(question, text, ground).map_err(|why| refused(flag, &why))?;
                draft.model_named |= question == Question::Model;
            }
        }
        for (question, flag, secret) in [
            (Question::Key, choice.key_flag(), key_given(args, choice)),
            (Question::Token, choice.token_flag(), token_given(args, choice)),
        ] {
            let secret = secret.map(ExposeSecret::expose_secret).filter(|secret| !secret.trim().is_empty());
            if let Some(secret) = secret.filter(|_| choice.questions().contains(&question)) {
                draft.put_secret(question, secret, ground).map_err(|why| refused(flag, &why))?;
            }
        }
        Ok(draft)
    }
}

fn key_given(args: &Onboard, choice: Choice) -> Option<&Secret> {
    match choice {
        Choice::CloudflareKey => args.gateway.cloudflare_ai_gateway_api_key.as_ref(),
        Choice::Anthropic => args.providers.anthropic_api_key.as_ref(),
        Choice::OpenAi => args.providers.openai_api_key.as_ref(),
        Choice::Gemini => args.providers.gemini_api_key.as_ref(),
        Choice::Custom => args.providers.custom_api_key.as_ref(),
        Choice::CloudflareStored | Choice::Genesis | Choice::Skip => None,
    }
}

fn token_given(args: &Onboard, choice: Choice) -> Option<&Secret> {
    match choice {
        Choice::Genesis => args.gateway.remote_token.as_ref(),
        _ => args.gateway.cloudflare_ai_gateway_token.as_ref(),
    }
}

/// The choice that the one key on the command line implies.
fn inferred(args: &Onboard) -> Result<Option<Choice>, Failed> {
    let keyed = [Choice::CloudflareKey, Choice::Anthropic, Choice::OpenAi, Choice::Gemini, Choice::Custom];
    let given: Vec<Choice> = keyed.into_iter().filter(|choice| key_given(args, *choice).is_some()).collect();
    match given.as_slice() {
        [] if args.providers.custom_base_url.is_some() => Ok(Some(Choice::Custom)),
        [] if args.gateway.remote_url.is_some() => Ok(Some(Choice::Genesis)),
        [] if args.gateway.cloudflare_ai_gateway_token.is_some() => Ok(Some(Choice::CloudflareStored)),
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        several => {
            let flags: Vec<_> = several.iter().map(|choice| choice.key_flag()).collect();
            Err(Failed::usage(format!("several keys are given: {}", flags.join(", ")))
                .hint("say with --auth-choice which one is meant"))
        }
    }
}

fn refused(flag: &str, why: &str) -> Failed {
    Failed::usage(format!("{flag}: {why}")).hint("nothing was written")
}
