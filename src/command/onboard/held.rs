//! Keys and tokens: where they are, and where new ones go.

use genesis_config::{Secret, Source};

use super::choice::{Choice, Question};
use super::draft::{Draft, Ground};
use super::flags::SecretMode;
use super::shape;
use crate::command::key::typed;

/// Where a secret is.
#[derive(Clone)]
pub(super) enum Held {
    /// Given now: it is written to `.env`.
    New(Secret),
    /// In this variable already, and it stays there.
    Found(String, Source),
    /// It is made for the gateway on this machine.
    Made,
    /// There is none, and none is needed.
    Without,
}

impl Draft {
    /// Takes a key or a token, or says why it can be none.
    pub(super) fn put_secret(
        &mut self,
        question: Question,
        text: &str,
        ground: &Ground<'_>,
    ) -> Result<(), String> {
        let there = match question {
            Question::Key => self.key_found(ground),
            _ => self.token_found(ground),
        };
        let secret = match question {
            Question::Key => {
                typed::accept(text, &self.provider(ground)).map_err(|failed| failed.to_string())?
            }
            _ => shape::token(text)?,
        };
        let held = match there {
            // It is to stay in its variable.
            Some(there) if ground.mode == Some(SecretMode::Ref) => there,
            None if ground.mode == Some(SecretMode::Ref) => {
                let variable = match question {
                    Question::Key => self.key_variable(ground),
                    _ => self.token_variable(ground),
                };
                return Err(format!(
                    "with `--secret-input-mode ref` it has to be in {variable}, which is not set"
                ));
            }
            _ => Held::New(secret),
        };
        match question {
            Question::Key => self.key = Some(held),
            _ => self.token = Some(held),
        }
        Ok(())
    }

    /// The provider's key without anybody giving one; `None` if somebody has to.
    pub(super) fn key_there(&self, ground: &Ground<'_>) -> Option<Held> {
        let optional = (self.choice == Some(Choice::Custom)).then_some(Held::Without);
        self.key_found(ground).or(optional)
    }

    pub(super) fn key_found(&self, ground: &Ground<'_>) -> Option<Held> {
        let provider = self.provider(ground);
        let own = vec![self.key_variable(ground)];
        found(if provider.custom { &own } else { &provider.env }, ground)
    }

    /// The variable a new key goes into.
    pub(super) fn key_variable(&self, ground: &Ground<'_>) -> String {
        let builtin = Some(self.provider(ground)).filter(|provider| !provider.custom);
        let usual = builtin.and_then(|provider| provider.env.first().cloned());
        usual.unwrap_or_else(|| shape::key_variable(self.slug()))
    }

    pub(super) fn token_there(&self, ground: &Ground<'_>) -> Option<Held> {
        let local = || shape::is_local(self.origin.as_deref().unwrap_or_default());
        self.token_found(ground).or(match self.choice? {
            Choice::CloudflareKey => Some(Held::Without),
            Choice::Genesis if local() => Some(Held::Made),
            _ => None,
        })
    }

    pub(super) fn token_found(&self, ground: &Ground<'_>) -> Option<Held> {
        let mut variables: Vec<String> = self.header_variable(ground).into_iter().collect();
        let usual = self.choice.map_or(&[][..], Choice::token_variables);
        variables.extend(usual.iter().map(|name| (*name).to_owned()));
        found(&variables, ground)
    }

    /// The variable a new token goes into.
    pub(super) fn token_variable(&self, ground: &Ground<'_>) -> String {
        let usual = self.choice.map_or(&[][..], Choice::token_variables);
        self.header_variable(ground)
            .unwrap_or_else(|| usual.first().copied().unwrap_or("CF_AIG_TOKEN").to_owned())
    }

    /// The one that the header in the file refers to.
    fn header_variable(&self, ground: &Ground<'_>) -> Option<String> {
        let place = format!("models.providers.{}.headers.{TOKEN_HEADER}", self.slug());
        let references = ground.settings.file.references();
        let found = references.into_iter().find(|(_, path)| path.eq_ignore_ascii_case(&place));
        found.map(|(name, _)| name.to_owned())
    }
}

/// The header a gateway token travels in.
pub(super) const TOKEN_HEADER: &str = "cf-aig-authorization";

fn found(variables: &[String], ground: &Ground<'_>) -> Option<Held> {
    let (name, value, source) = ground.settings.environment.first(variables)?;
    let copied = matches!(ground.mode, Some(SecretMode::EnvFile | SecretMode::Plaintext));
    Some(match source {
        Source::DotEnv => Held::Found(name.to_owned(), source),
        _ if copied => Held::New(value.clone()),
        _ => Held::Found(name.to_owned(), source),
    })
}
