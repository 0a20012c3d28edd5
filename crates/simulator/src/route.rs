//! Which answer belongs to which path, whatever comes before it.

use genesis_wire::Dialect;
use http::Method;
use serde_json::{Value, json};

use crate::dialect::{Family, anthropic, bedrock, cohere, embeddings, gemini, openai_chat, openai_responses};
use crate::digest;
use crate::incoming::Incoming;
use crate::reply::Reply;
use crate::script::Script;
use crate::{catalogue, media};

/// The answer to a request for which the script wants no other.
pub(crate) fn answer(incoming: &Incoming, script: &Script) -> Reply {
    match incoming.method {
        Method::OPTIONS => {
            Reply::whole(204, "text/plain", "").with_header("allow", "GET, HEAD, POST, OPTIONS")
        }
        Method::POST => posted(incoming, script),
        Method::GET => catalogue::answer(incoming).unwrap_or_else(|| echo(incoming)),
        _ => echo(incoming),
    }
}

fn posted(incoming: &Incoming, script: &Script) -> Reply {
    match Dialect::of_path(&incoming.path) {
        Some(Dialect::AnthropicMessages) => anthropic::answer(incoming, script),
        Some(Dialect::BedrockConverse) => bedrock::answer(incoming, script),
        Some(Dialect::CohereChat) => cohere::answer(incoming, script),
        Some(Dialect::GeminiGenerate) => gemini::answer(incoming, script),
        Some(Dialect::OpenAiChat) => openai_chat::answer(incoming, script),
        Some(Dialect::OpenAiEmbeddings) => embeddings::answer(incoming),
        Some(Dialect::OpenAiResponses) => openai_responses::answer(incoming, script),
        None => elsewhere(incoming, script),
    }
}

fn elsewhere(incoming: &Incoming, script: &Script) -> Reply {
    let path = incoming.path.trim_end_matches('/');
    let ends = |end: &str| path.ends_with(end);
    match () {
        () if ends("/messages/count_tokens") => anthropic::count_tokens(incoming),
        () if ends(":countTokens") => gemini::count_tokens(incoming),
        () if ends(":embedContent") || ends(":batchEmbedContents") => embeddings::gemini(incoming),
        () if ends("/completions") => openai_chat::legacy(incoming, script),
        () if ends("/audio/transcriptions") || ends("/audio/translations") => media::transcription(incoming),
        () if ends("/audio/speech") => media::speech(incoming),
        () if ends("/images/generations") || ends("/images/edits") => media::image(incoming),
        () if ends("/files") => media::file(incoming),
        () => echo(incoming),
    }
}

/// What arrived, told back.
fn echo(incoming: &Incoming) -> Reply {
    let digest = format!("{:016x}", digest::of(&[&incoming.bytes]));
    let mut echo = json!({
        "object": "simulated", "method": incoming.method.as_str(), "path": incoming.path, "query": incoming.query,
        "body_bytes": incoming.bytes.len(), "body_digest": digest,
    });
    if Family::of(incoming) == Family::Anthropic {
        // Anthropic's SDKs look at `type` first.
        echo["type"] = Value::from("simulated");
    }
    Reply::json(&echo)
}
