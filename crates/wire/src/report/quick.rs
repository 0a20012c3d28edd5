//! Usage and model of a whole JSON answer without parsing the rest of it.
//!
//! In JSON text the bytes `"usage":` outside an escape can only be a key: inside a string its quotes would be escaped.
//! So if a key occurs exactly once, its value can be read where it stands. Whatever is not that plain (a tool's
//! arguments with the same key, an error, unusual spacing) is left to the full reader.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::value::RawValue;

use super::{Facts, Report};
use crate::Dialect;
use crate::json::Text;

/// Under which keys a dialect's answers say what. Made once: a finder costs as much as a search.
struct Keys {
    model: Finder<'static>,
    usage: Finder<'static>,
    error: Finder<'static>,
}

static USUAL: LazyLock<Keys> = LazyLock::new(|| Keys::new("\"model\":", "\"usage\":"));
static GEMINI: LazyLock<Keys> = LazyLock::new(|| Keys::new("\"modelVersion\":", "\"usageMetadata\":"));

impl Keys {
    fn new(model: &'static str, usage: &'static str) -> Self {
        Self { model: Finder::new(model), usage: Finder::new(usage), error: Finder::new("\"error\":") }
    }
}

/// The report of a successful answer, or `None` if the body has to be read in full.
pub(super) fn read(dialect: Dialect, body: &[u8]) -> Option<Report> {
    let Keys { model, usage, error } = match dialect {
        Dialect::AnthropicMessages
        | Dialect::OpenAiChat
        | Dialect::OpenAiEmbeddings
        | Dialect::OpenAiResponses => &*USUAL,
        Dialect::GeminiGenerate => &*GEMINI,
        Dialect::BedrockConverse | Dialect::CohereChat => return None,
    };
    if let Some(error) = only(body, error)? {
        let said = body[error..].trim_ascii_start();
        if !said.starts_with(b"null") {
            return None;
        }
    }
    let usage = value(body, only(body, usage)??)?;
    let model = value(body, only(body, model)??)?;
    let mut facts = Facts::new(dialect);
    facts.model(&Text::of_raw(model));
    facts.usage(Some(usage));
    facts.report.ended = body.trim_ascii_end().ends_with(b"}");
    (facts.report.usage.is_some() && facts.report.ended).then_some(facts.report)
}

/// Where the value of `key` begins, `Some(None)` if the key does not occur, `None` if it is not plain.
#[expect(clippy::option_option, reason = "three outcomes: one place, no place, cannot tell")]
fn only(body: &[u8], key: &Finder<'_>) -> Option<Option<usize>> {
    let mut places = key.find_iter(body);
    let Some(at) = places.next() else { return Some(None) };
    let escaped = at > 0 && body[at - 1] == b'\\';
    (!escaped && places.next().is_none()).then_some(Some(at + key.needle().len()))
}

fn value(body: &[u8], at: usize) -> Option<&RawValue> {
    serde_json::Deserializer::from_slice(&body[at..]).into_iter().next()?.ok()
}
