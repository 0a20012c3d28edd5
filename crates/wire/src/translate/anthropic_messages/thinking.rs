//! How much a model may think and say: the rules Anthropic has for it.

use crate::translate::Writing;
use crate::translate::conversation::{Effort, Part, Request, Role, ToolChoice};
use crate::translate::dropped::Field;

use super::HOME;

/// What a request without a limit gets: enough for any answer a person waits for. Anthropic insists on a number.
const DEFAULT_MAX_TOKENS: u64 = 32_768;
/// The most that every Claude still served accepts.
const SAFE_MAX_TOKENS: u64 = 4_096;
/// The least thinking Anthropic accepts.
const LEAST_BUDGET: u64 = 1_024;
/// Room for the answer itself beside the thinking.
const ANSWER_ROOM: u64 = 4_096;

/// How the model is told to think.
#[derive(Debug, PartialEq)]
pub(in crate::translate) enum Thinking {
    Unsaid,
    Disabled,
    Budget(u64),
    /// The model decides, guided by an effort.
    Adaptive,
}

/// Settles on a way of thinking that Anthropic will accept for this request.
pub(in crate::translate) fn thinking(request: &Request<'_>, writing: &mut Writing<'_>) -> Thinking {
    let Some(wish) = request.reasoning else {
        return Thinking::Unsaid;
    };
    if wish.effort == Some(Effort::None) {
        return if writing.target.never_thinks { Thinking::Unsaid } else { Thinking::Disabled };
    }
    let forced = matches!(
        request.tool_choice,
        Some(ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Allowed { required: true, .. })
    );
    // Thinking and a forced tool exclude each other.
    if writing.target.never_thinks || forced && !request.tools.is_empty() {
        writing.drop(Field::Reasoning);
        return Thinking::Unsaid;
    }
    if writing.target.adaptive_thinking {
        return Thinking::Adaptive;
    }
    // A tool loop that began without thinking has to end without it.
    if !can_resume_thinking(request) {
        writing.drop(Field::Reasoning);
        return Thinking::Unsaid;
    }
    let wanted = wish.budget.or(wish.effort.map(Effort::budget));
    let wanted = wanted.unwrap_or_else(|| Effort::Medium.budget()).max(LEAST_BUDGET);
    let most = request.max_output.or(writing.target.max_output);
    match most {
        None => Thinking::Budget(wanted),
        Some(most) => {
            // Leave a quarter of a small allowance, or the usual room of a large one, for the answer.
            let budget = wanted.min(most.saturating_sub((most / 4).clamp(1, ANSWER_ROOM)));
            if budget < LEAST_BUDGET {
                writing.drop(Field::Reasoning);
                return Thinking::Unsaid;
            }
            Thinking::Budget(budget)
        }
    }
}

/// Whether the last assistant message, if it waits for tool results, begins with thinking of Anthropic's own.
fn can_resume_thinking(request: &Request<'_>) -> bool {
    let ends_with_results = request
        .messages
        .last()
        .is_some_and(|last| last.parts.iter().any(|part| matches!(part, Part::ToolResult { .. })));
    if !ends_with_results {
        return true;
    }
    let turn = request.messages.iter().rev().find(|message| message.role == Role::Assistant);
    turn.and_then(|turn| turn.parts.first()).is_some_and(|part| match part {
        Part::Thinking { signature: Some(signature), .. } | Part::Redacted(signature) => {
            signature.family == HOME
        }
        _ => false,
    })
}

pub(in crate::translate) fn max_tokens(
    request: &Request<'_>,
    thinking: &Thinking,
    writing: &Writing<'_>,
) -> u64 {
    let limit = writing.target.max_output;
    let default = limit.map_or(SAFE_MAX_TOKENS, |limit| limit.min(DEFAULT_MAX_TOKENS));
    let wanted = request.max_output.unwrap_or(default);
    let wanted = limit.map_or(wanted, |limit| wanted.min(limit));
    match thinking {
        // Only where the client named no limit can the budget reach it.
        Thinking::Budget(budget) if wanted <= *budget => limit.unwrap_or(u64::MAX).min(budget + ANSWER_ROOM),
        _ => wanted,
    }
}
