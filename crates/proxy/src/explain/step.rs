//! What is said of a step of a universal request.

use bytes::Bytes;
use http::HeaderMap;
use serde::Serialize;

use super::call::ExplainedCall;
use super::{Refusal, Situation, Way};
use crate::failure::Failure;
use crate::universal::{self, Ready};

/// One step as it would be tried.
#[derive(Debug, Serialize)]
pub struct ExplainedStep {
    /// Counted from 0, as in `cf-aig-step`.
    pub step: usize,
    pub provider: String,
    /// Path below the provider; its query may hold keys.
    pub endpoint: String,
    /// When its turn comes.
    pub when: String,
    /// The way through a dynamic route, as for a whole request.
    pub route: Option<Vec<String>>,
    pub calls: Vec<ExplainedCall>,
    /// Why the step would call nothing.
    pub refusal: Option<Refusal>,
}

impl Situation<'_> {
    /// Every step, in the order they would be tried.
    pub(super) fn steps(&mut self, client: &HeaderMap, body: &Bytes) -> Result<Vec<ExplainedStep>, Failure> {
        let steps = universal::steps(self.snapshot, body)?;
        let last = steps.len() - 1;
        let mut told: Vec<ExplainedStep> = Vec::new();
        for (index, step) in steps.into_iter().enumerate() {
            let when = when(&told);
            let mut step = step.ready(client);
            self.options = std::mem::take(&mut step.options);
            let way = self.way_of_step(&step, index < last);
            let (route, calls, refusal) = match way {
                Ok(Way { route, calls, refused }) => (route, calls, refused),
                Err(failure) => (None, Vec::new(), Some(failure)),
            };
            let Ready { provider, path: endpoint, .. } = step;
            let refusal = refusal.as_ref().map(Refusal::from);
            told.push(ExplainedStep { step: index, provider, endpoint, when, route, calls, refusal });
        }
        Ok(told)
    }

    fn way_of_step(&mut self, step: &Ready, has_successor: bool) -> Result<Way, Failure> {
        match step.asks() {
            Some(asks) => self.way(&step.asked(asks?, has_successor)),
            None => {
                let call = self.by_path(step.by_path(), &step.body, has_successor);
                let calls = vec![call.map_err(|refused| refused.failure)?];
                Ok(Way { route: None, calls, refused: None })
            }
        }
    }
}

impl ExplainedStep {
    /// Whether a provider would be called for it.
    pub fn calls_somebody(&self) -> bool {
        self.refusal.is_none() && self.calls.iter().any(|call| call.refusal.is_none())
    }
}

/// When the step after these is tried.
fn when(before: &[ExplainedStep]) -> String {
    match before.iter().rev().find(|step| step.calls_somebody()) {
        None if before.is_empty() => "first".to_owned(),
        None => "first: every step before it is refused".to_owned(),
        Some(tried) => {
            format!("if step {} gives no answer, or one with a status of 400 or more", tried.step)
        }
    }
}
