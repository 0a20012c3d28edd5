//! Tool names and ids that both sides accept.

use std::borrow::Cow;
use std::collections::HashSet;

use super::conversation::{Answer, Part, Request, ToolChoice};
use super::{BadRequest, Dialect};

/// Tool names the provider's dialect forbids, replaced on the way out and put back on the way in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Renamed {
    /// (as sent, as the client knows it)
    names: Vec<(String, String)>,
}

impl Renamed {
    /// The client's name for a tool the provider called.
    pub(crate) fn original<'n>(&'n self, sent: &'n str) -> &'n str {
        match self.names.iter().find(|(name, _)| name == sent) {
            Some((_, original)) => original,
            None => sent,
        }
    }

    pub(crate) fn restore(&self, answer: &mut Answer<'_>) {
        if self.names.is_empty() {
            return;
        }
        for part in answer.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
            if let Part::ToolCall(call) = part {
                let original = self.original(&call.name).to_owned();
                call.name = Cow::Owned(original);
            }
        }
    }
}

/// Gives every tool a name that `to` accepts, in declarations, choices and history alike.
pub(crate) fn rename(request: &mut Request<'_>, to: Dialect) -> Renamed {
    let mut renamed = Renamed::default();
    let mut fix = |name: &mut Cow<'_, str>| {
        if accepts(to, name) {
            return;
        }
        let known = renamed.names.iter().find(|(_, original)| *original == **name);
        let sent = known.map(|(sent, _)| sent.clone()).unwrap_or_else(|| {
            let sent = acceptable(name);
            renamed.names.push((sent.clone(), name.to_string()));
            sent
        });
        *name = Cow::Owned(sent);
    };
    request.tools.iter_mut().for_each(|tool| fix(&mut tool.name));
    match &mut request.tool_choice {
        Some(ToolChoice::Named(name)) => fix(name),
        Some(ToolChoice::Allowed { names, .. }) => names.iter_mut().for_each(&mut fix),
        _ => {}
    }
    for part in request.messages.iter_mut().flat_map(|message| &mut message.parts) {
        if let Part::ToolCall(call) = part {
            fix(&mut call.name);
        }
    }
    renamed
}

/// An id made of the characters Anthropic and Bedrock accept; the same id always becomes the same one.
pub(crate) fn plain_id(id: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !id.is_empty() && id.chars().all(plain) {
        Cow::Borrowed(id)
    } else {
        let kept: String = id.chars().map(|c| if plain(c) { c } else { '_' }).collect();
        Cow::Owned(format!("{kept}_{:08x}", hash(id)))
    }
}

/// Refuses a tool result that answers no call: every provider would, with a less helpful message.
pub(crate) fn check_results(request: &Request<'_>, from: Dialect) -> Result<(), BadRequest> {
    let mut calls: HashSet<&str> = HashSet::new();
    for message in &request.messages {
        for part in &message.parts {
            match part {
                Part::ToolCall(call) => {
                    calls.insert(&call.id);
                }
                Part::ToolResult { id, .. } if !calls.contains(id.as_ref()) => {
                    return Err(BadRequest {
                        path: format!("{}[{}]", list_name(from), message.origin),
                        message: format!(
                            "the tool result answers {id:?}, but no earlier message calls a tool with this id"
                        ),
                    });
                }
                _ => {}
            }
        }
    }
    Ok(())
}

pub(crate) fn list_name(from: Dialect) -> &'static str {
    match from {
        Dialect::OpenAiResponses => "input",
        Dialect::GeminiGenerate => "contents",
        _ => "messages",
    }
}

fn accepts(to: Dialect, name: &str) -> bool {
    let (longest, extra): (usize, &[char]) = match to {
        Dialect::AnthropicMessages => (128, &[]),
        Dialect::GeminiGenerate => (64, &['.', ':']),
        _ => (64, &[]),
    };
    !name.is_empty()
        && name.len() <= longest
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-' || extra.contains(&c))
        && (to != Dialect::GeminiGenerate || name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
}

fn acceptable(name: &str) -> String {
    let kept: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(48).collect();
    format!("t_{kept}_{:08x}", hash(name))
}

/// FNV-1a: short names for the same tool must be the same in every request, or prompt caches miss.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
