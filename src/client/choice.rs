//! The models to ask, in order: the next one if one fails before it said a word.

use std::ops::ControlFlow;
use std::time::Duration;

use super::call::{Answer, call};
use super::failure::{Cause, Failure};
use super::question::Question;
use super::target::Target;
use crate::home::{Home, Settings};

/// References or aliases, the preferred one first; never empty.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    models: Vec<String>,
}

/// A model that did not answer, and why.
#[derive(Clone, Debug)]
pub(crate) struct Tried {
    pub(crate) model: String,
    pub(crate) failure: Failure,
}

/// An answer, and the models that were asked before the one that gave it.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) answer: Answer,
    pub(crate) tried: Vec<Tried>,
}

/// How a question is asked.
pub(crate) struct Asking<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) home: &'a Home,
    pub(crate) question: &'a Question,
    /// For each model.
    pub(crate) within: Duration,
}

impl Choice {
    /// The one asked for, and no other; else the default model and its fallbacks.
    pub(crate) fn of(asked: Option<&str>, settings: &Settings) -> Result<Self, Failure> {
        let default = &settings.file.agents.defaults.model;
        let models = match (asked, &default.primary) {
            (Some(model), _) => vec![model.to_owned()],
            (None, Some(primary)) => [std::slice::from_ref(primary), &default.fallbacks].concat(),
            (None, None) => {
                return Err(Failure::new(Cause::Setup, "no default model is set")
                    .hint("set one: `genesis models set anthropic/claude-sonnet-4-6`")
                    .hint("or name one: `--model <provider/model>`; `genesis models list` lists them"));
            }
        };
        Ok(Self { models })
    }

    pub(crate) fn preferred(&self) -> &str {
        self.models.first().map(String::as_str).unwrap_or_default()
    }

    pub(crate) fn models(&self) -> impl Iterator<Item = &str> {
        self.models.iter().map(String::as_str)
    }

    /// Asks one after the other. `on_fallback` is told of a model that failed and of the next one. If none answers, all
    /// that were tried are returned.
    pub(crate) async fn ask(
        &self,
        asking: &Asking<'_>,
        mut on_text: impl FnMut(&str) -> ControlFlow<()>,
        mut on_fallback: impl FnMut(&Tried, &str),
    ) -> Result<Answered, Vec<Tried>> {
        let mut tried = Vec::new();
        for (at, model) in self.models.iter().enumerate() {
            let mut said = false;
            let asked = async {
                let target = Target::find(model, asking.settings, asking.home)?;
                let on_text = |text: &str| {
                    said = true;
                    on_text(text)
                };
                call(&target, asking.question, asking.within, on_text).await
            };
            let failure = match asked.await {
                Ok(answer) => return Ok(Answered { answer, tried }),
                Err(failure) => failure,
            };
            let over = said || !failure.cause.another_may_do();
            tried.push(Tried { model: model.clone(), failure });
            match (tried.last(), self.models.get(at + 1)) {
                (Some(failed), Some(next)) if !over => on_fallback(failed, next),
                _ => break,
            }
        }
        Err(tried)
    }
}
