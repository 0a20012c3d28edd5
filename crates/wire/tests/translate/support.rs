//! What the tests share: the smallest request of each client dialect, and the contexts made from it.

use std::fs;
use std::path::{Path, PathBuf};

use genesis_wire::translate::{self, Context, StreamTranslator, Target};
use genesis_wire::{Dialect, eventstream};
use serde_json::Value;

/// Dialects a client may speak.
pub(crate) const CLIENTS: [Dialect; 4] =
    [Dialect::OpenAiChat, Dialect::AnthropicMessages, Dialect::GeminiGenerate, Dialect::OpenAiResponses];

/// Dialects a provider may speak.
pub(crate) const PROVIDERS: [Dialect; 6] = [
    Dialect::OpenAiChat,
    Dialect::AnthropicMessages,
    Dialect::GeminiGenerate,
    Dialect::OpenAiResponses,
    Dialect::BedrockConverse,
    Dialect::CohereChat,
];

/// A model about which everything a test needs is known.
pub(crate) fn target(stream: bool) -> Target<'static> {
    Target {
        model: "the-model",
        stream,
        max_output: Some(64_000),
        request_id: "req_fallback",
        now: 1_790_000_000,
        ..Target::default()
    }
}

/// The smallest request a client of `dialect` can make.
pub(crate) fn smallest(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenAiChat => {
            r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream_options":{"include_usage":true}}"#
        }
        Dialect::AnthropicMessages => {
            r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#
        }
        Dialect::GeminiGenerate => r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}"#,
        Dialect::OpenAiResponses => r#"{"model":"m","input":"hi"}"#,
        other => panic!("no client speaks {}", other.name()),
    }
}

/// What the answer to the smallest request is translated with.
pub(crate) fn context(client: Dialect, provider: Dialect, stream: bool) -> Context {
    translate::request(client, provider, smallest(client).as_bytes(), &target(stream))
        .expect("the smallest request is translated")
        .context
}

/// A request that has to be accepted: its body, its path and what was dropped.
pub(crate) fn request(from: Dialect, to: Dialect, body: &str) -> (Value, Vec<String>) {
    request_to(from, to, body, &target(false))
}

pub(crate) fn request_to(
    from: Dialect,
    to: Dialect,
    body: &str,
    target: &Target<'_>,
) -> (Value, Vec<String>) {
    let outgoing = translate::request(from, to, body.as_bytes(), target).expect("accepted");
    let body = serde_json::from_slice(&outgoing.body).expect("the translated body is JSON");
    (body, outgoing.dropped)
}

/// The translation of a whole stream, given in one piece and ended cleanly.
pub(crate) fn stream(client: Dialect, provider: Dialect, bytes: &[u8]) -> String {
    chunked(client, provider, [bytes])
}

/// The translation of a stream given in these chunks and ended cleanly.
pub(crate) fn chunked<'c>(
    client: Dialect,
    provider: Dialect,
    chunks: impl IntoIterator<Item = &'c [u8]>,
) -> String {
    let mut translator =
        StreamTranslator::new(context(client, provider, true)).expect("streams are translated");
    let mut out = Vec::new();
    for chunk in chunks {
        translator.push(chunk, &mut out);
    }
    translator.finish(&mut out);
    String::from_utf8(out).expect("UTF-8 in, UTF-8 out")
}

/// The fixtures of one dialect and kind: (name, bytes).
pub(crate) fn fixtures(dialect: Dialect, kind: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/translate/fixtures");
    let Ok(entries) = fs::read_dir(folder.join(dialect.name()).join(kind)) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
            let bytes = fs::read(&path).expect("readable");
            if path.extension().is_some_and(|extension| extension == "events") {
                (name, framed(&String::from_utf8(bytes).expect("UTF-8")))
            } else {
                (name, bytes)
            }
        })
        .collect()
}

/// An AWS event stream out of lines `eventType payload`, exceptions marked by `!`.
fn framed(lines: &str) -> Vec<u8> {
    lines
        .lines()
        .flat_map(|line| {
            let (kind, payload) = line.split_once(' ').expect("a type and a payload");
            match kind.strip_prefix('!') {
                Some(exception) => eventstream::encode_exception(exception, payload.as_bytes()),
                None => eventstream::encode_event(kind, payload.as_bytes()),
            }
        })
        .collect()
}
