//! Wishes that the model refuses in any dialect, taken out and named.

use super::Writing;
use super::conversation::{Effort, Request, ToolChoice};
use super::dropped::Field;

/// Leaves only what the model accepts.
pub(crate) fn suit(request: &mut Request<'_>, writing: &mut Writing<'_>) {
    let target = writing.target;
    if target.fixed_sampling {
        let sampling = &mut request.sampling;
        let (temperature, top_p) = (sampling.temperature.take(), sampling.top_p.take());
        for (field, said) in [
            // 1 says what happens anyway.
            (Field::Temperature, temperature.is_some_and(|value| value.as_f64() != Some(1.0))),
            (Field::TopP, top_p.is_some_and(|value| value.as_f64() != Some(1.0))),
            (Field::TopK, sampling.top_k.take().is_some()),
        ] {
            if said {
                writing.drop(field);
            }
        }
    }
    if target.always_thinks && request.reasoning.is_some_and(|wish| wish.effort == Some(Effort::None)) {
        request.reasoning = None;
        writing.drop(Field::Reasoning);
    }
    if target.unforced_tools && !request.tools.is_empty() {
        match &mut request.tool_choice {
            Some(ToolChoice::Allowed { required: required @ true, .. }) => *required = false,
            Some(choice @ (ToolChoice::Required | ToolChoice::Named(_))) => *choice = ToolChoice::Auto,
            _ => return,
        }
        writing.drop(Field::ToolChoice);
    }
}
