//! What to say, worked out from what was asked, before it has a wire format.

use serde_json::{Value, json};

use crate::digest;
use crate::request::{Ask, Choice, Thinking, Tool};
use crate::schema;
use crate::script::Script;

/// Longer questions are shortened when they are quoted.
const QUOTED: usize = 240;
/// A text comes word by word, but in no more pieces than this unless the script wants more.
const PIECES: usize = 32;
const FILLER: &str = "simulated ";
/// What one image counts as.
const IMAGE_TOKENS: u64 = 85;

/// Token counts, classes disjoint: `input`, `cached` and `written` never overlap, `output` includes `reasoning`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tokens {
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) cached: u64,
    pub(crate) written: u64,
    pub(crate) reasoning: u64,
}

impl Tokens {
    pub(crate) fn all_input(&self) -> u64 {
        self.input + self.cached + self.written
    }

    pub(crate) fn total(&self) -> u64 {
        self.all_input() + self.output
    }
}

/// Why the answer ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stop {
    End,
    Length,
    ToolUse,
}

/// A tool call, numbered so that ids differ.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: Value,
    pub(crate) seed: u64,
}

impl Call {
    /// The arguments as text, in pieces that are not JSON by themselves.
    pub(crate) fn fragments(&self) -> Vec<String> {
        let text = self.arguments.to_string();
        pieces(&text, 3.min(text.chars().count()))
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    /// Grows the ids.
    pub(crate) seed: u64,
    /// Set unless thinking is off; whether it may be shown is the caller's [`Thinking`].
    pub(crate) thinking: Option<String>,
    /// Empty if and only if there are calls.
    pub(crate) text: String,
    /// `text`, cut up.
    pub(crate) deltas: Vec<String>,
    pub(crate) calls: Vec<Call>,
    pub(crate) tokens: Tokens,
    pub(crate) stop: Stop,
}

impl Answer {
    pub(crate) fn to(ask: &Ask, seed: u64, script: &Script) -> Self {
        let scripted = script.size.is_some() || script.events.is_some();
        let calls = if scripted { Vec::new() } else { calls(ask, seed) };
        let thinking = (ask.thinking != Thinking::Off)
            .then(|| format!("Simulated thinking about: {}", shortened(&ask.question, 80)));
        let mut reasoning = thinking.as_ref().map_or(0, |text| tokens_in(text.len()));
        let mut stop = if calls.is_empty() { Stop::End } else { Stop::ToolUse };
        let mut text = String::new();
        if calls.is_empty() {
            text = written(ask, script);
            if let (Some(most), false) = (ask.max_tokens, scripted) {
                reasoning = reasoning.min(most.saturating_sub(1));
                let room = usize::try_from((most - reasoning).saturating_mul(4)).unwrap_or(usize::MAX);
                if text.len() > room {
                    text.truncate(text.floor_char_boundary(room));
                    stop = Stop::Length;
                }
            }
        }
        let said: usize = calls.iter().map(|call| call.name.len() + call.arguments.to_string().len()).sum();
        let tokens = script.tokens.unwrap_or_else(|| Tokens {
            output: tokens_in(text.len() + said) + reasoning,
            reasoning,
            ..input(ask)
        });
        let deltas = deltas(&text, script.events);
        Self { seed, thinking, text, deltas, calls, tokens, stop }
    }

    /// An id in a provider's style.
    pub(crate) fn id(&self, prefix: &str, length: usize) -> String {
        digest::id(prefix, self.seed, length)
    }
}

/// What the prompt counts as, cached part apart.
pub(crate) fn input(ask: &Ask) -> Tokens {
    let all = tokens_in(ask.prompt_bytes) + IMAGE_TOKENS * ask.images.len() as u64;
    let cached = (ask.cached_bytes as u64 / 4).min(all - 1);
    Tokens { input: all - cached, cached, ..Tokens::default() }
}

/// About four bytes make a token, and there is always one.
pub(crate) fn tokens_in(bytes: usize) -> u64 {
    bytes.div_ceil(4).max(1) as u64
}

/// Proves that a thinking text is ours and unchanged.
pub(crate) fn signature(thinking: &str) -> String {
    use base64::Engine;
    let seed = digest::of(&[b"thinking", thinking.as_bytes()]);
    let bytes: Vec<u8> = digest::numbers(seed).take(9).flat_map(u64::to_le_bytes).collect();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// At most `most` bytes of `text`, with an ellipsis if something is missing.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    let text = text.trim();
    if text.len() <= most {
        return text.to_owned();
    }
    format!("{}…", text[..text.floor_char_boundary(most)].trim_end())
}

fn calls(ask: &Ask, seed: u64) -> Vec<Call> {
    let said = ask.question.to_lowercase();
    let mentioned = |tool: &&Tool| said.contains(&tool.name.to_lowercase());
    let forced = matches!(ask.choice, Choice::Required | Choice::Named(_));
    let wanted = forced
        || said.contains("tool")
        || said.contains("weather")
        || ask.tools.iter().any(|tool| mentioned(&tool));
    if ask.choice == Choice::None || ask.tool_result.is_some() || !wanted {
        return Vec::new();
    }
    let chosen: Vec<&Tool> = match &ask.choice {
        Choice::Named(name) => ask.tools.iter().filter(|tool| tool.name == *name).take(1).collect(),
        _ => {
            let (first, rest): (Vec<_>, Vec<_>) = ask.tools.iter().partition(mentioned);
            let count = if said.contains("both") && !ask.one_call { 2 } else { 1 };
            first.into_iter().chain(rest).take(count).collect()
        }
    };
    let call = |(index, tool): (usize, &&Tool)| Call {
        name: tool.name.clone(),
        arguments: arguments(tool),
        seed: digest::of(&[&seed.to_le_bytes(), &index.to_le_bytes()]),
    };
    chosen.iter().enumerate().map(call).collect()
}

fn arguments(tool: &Tool) -> Value {
    match schema::synthesise(&tool.schema) {
        arguments @ Value::Object(_) => arguments,
        _ => json!({}),
    }
}

fn written(ask: &Ask, script: &Script) -> String {
    let mut text = if let Some(schema) = &ask.schema {
        schema::synthesise(schema).to_string()
    } else if ask.json {
        json!({"answer": format!("Simulated answer to: {}", shortened(&ask.question, QUOTED))}).to_string()
    } else if let Some(result) = &ask.tool_result {
        format!("Simulated answer from the tool result: {}", shortened(result, QUOTED))
    } else {
        format!("Simulated answer to: {}", shortened(&ask.question, QUOTED))
    };
    if !ask.images.is_empty() && ask.schema.is_none() && !ask.json {
        let plural = if ask.images.len() == 1 { "" } else { "s" };
        let bytes: usize = ask.images.iter().sum();
        text.push_str(&format!(" ({} image{plural}, {bytes} bytes)", ask.images.len()));
    }
    let least = script.events.unwrap_or(0);
    if let Some(size) = script.size {
        text = FILLER.chars().cycle().take(size.max(least)).collect();
    } else if text.chars().count() < least {
        text.extend(FILLER.chars().cycle().take(least - text.chars().count()));
    }
    text
}

fn deltas(text: &str, events: Option<usize>) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    let words = text.split_inclusive(' ').count();
    match events {
        Some(count) => pieces(text, count),
        None if words > PIECES => pieces(text, PIECES),
        None => text.split_inclusive(' ').map(str::to_owned).collect(),
    }
}

/// `text` in `count` pieces of about the same length, none of them empty.
fn pieces(text: &str, count: usize) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let count = count.clamp(1, chars.len().max(1));
    (0..count)
        .map(|n| chars[n * chars.len() / count..(n + 1) * chars.len() / count].iter().collect())
        .collect()
}
