//! What the fuzz targets in `fuzz/` do with their input. `smoke` runs the same on every test run.
//!
//! The first byte of the input chooses: where the rest is cut, or which dialect it is read in. For `translate` the
//! second one chooses what is known of the model.

use std::borrow::Cow;

use genesis_wire::eventstream::{Decoder, encode_event};
use genesis_wire::sse::{Event, Splitter};
use genesis_wire::translate::{self, Context, StreamTranslator, Target};
use genesis_wire::{Dialect, StreamReader, error_message, read_json, usage_of_raw};

const DIALECTS: [Dialect; 7] = [
    Dialect::AnthropicMessages,
    Dialect::BedrockConverse,
    Dialect::CohereChat,
    Dialect::GeminiGenerate,
    Dialect::OpenAiChat,
    Dialect::OpenAiEmbeddings,
    Dialect::OpenAiResponses,
];

/// The dialects of clients, each with the smallest request it can make.
const CLIENTS: [(Dialect, &str); 4] = [
    (
        Dialect::AnthropicMessages,
        r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#,
    ),
    (Dialect::GeminiGenerate, r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}"#),
    (
        Dialect::OpenAiChat,
        r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream_options":{"include_usage":true}}"#,
    ),
    (Dialect::OpenAiResponses, r#"{"model":"m","input":"hi"}"#),
];

/// The dialects of providers.
const PROVIDERS: [Dialect; 6] = [
    Dialect::AnthropicMessages,
    Dialect::BedrockConverse,
    Dialect::CohereChat,
    Dialect::GeminiGenerate,
    Dialect::OpenAiChat,
    Dialect::OpenAiResponses,
];

/// Server-sent events: no byte is lost, and chunks do not matter.
pub(crate) fn sse(input: &[u8]) {
    let Some((&choice, stream)) = input.split_first() else {
        return;
    };
    let split = |chunks: Vec<&[u8]>| {
        let mut splitter = Splitter::new();
        let mut events = Vec::new();
        for chunk in chunks {
            splitter.push(chunk, |event| {
                Event::parse(event);
                events.push(event.to_vec());
            });
        }
        events.push(splitter.rest().to_vec());
        events
    };
    let whole = split(vec![stream]);
    assert_eq!(whole.concat(), stream);
    assert_eq!(split(pieces(stream, choice)), whole);
}

/// Request bodies: the span is the model's, and splicing changes nothing else.
pub(crate) fn peek(body: &[u8]) {
    let Ok(peek) = genesis_wire::peek(body) else {
        return;
    };
    let Some(span) = peek.model_span else {
        assert_eq!(peek.model, None);
        return;
    };
    let written: String = serde_json::from_slice(&body[span.clone()]).expect("the span is a JSON string");
    assert_eq!(peek.model.as_deref(), Some(written.as_str()));

    let spliced = genesis_wire::splice_model(body, span.clone(), "new/\"model\"\n");
    assert!(spliced.starts_with(&body[..span.start]) && spliced.ends_with(&body[span.end..]));
    let again = genesis_wire::peek(&spliced).expect("splicing keeps the body valid");
    assert_eq!(again.model, Some(Cow::Borrowed("new/\"model\"\n")));
    assert_eq!((again.stream, again.max_tokens), (peek.stream, peek.max_tokens));
}

/// Answers: reading never fails, chunks do not matter, and kept usage reads the same again.
pub(crate) fn report(input: &[u8]) {
    let Some((&choice, answer)) = input.split_first() else {
        return;
    };
    let dialect = DIALECTS[usize::from(choice) % DIALECTS.len()];
    error_message(answer);
    let body = read_json(dialect, answer);
    if let Some(raw) = &body.raw_usage {
        assert_eq!(usage_of_raw(dialect, raw).is_some(), body.usage.is_some());
    }
    let read = |chunks: Vec<&[u8]>| {
        let mut reader = StreamReader::new(dialect);
        for chunk in chunks {
            reader.push(chunk);
        }
        reader.finish()
    };
    assert_eq!(read(pieces(answer, choice)), read(vec![answer]));
}

/// AWS event-stream messages: chunks do not matter, and what is encoded comes back.
pub(crate) fn eventstream(input: &[u8]) {
    let Some((&choice, stream)) = input.split_first() else {
        return;
    };
    let decode = |chunks: Vec<&[u8]>| {
        let mut decoder = Decoder::new();
        let mut messages = Vec::new();
        let mut result = Ok(());
        for chunk in chunks {
            result = decoder.push(chunk, |message| {
                messages.push((message.headers().count(), message.payload.to_vec()));
            });
        }
        (messages, result)
    };
    assert_eq!(decode(pieces(stream, choice)), decode(vec![stream]));
    assert_eq!(decode(pieces(&encode_event("any", stream), choice)), (vec![(3, stream.to_vec())], Ok(())));
}

/// Translation between any two dialects: what is accepted becomes JSON, a refusal always does, and of a stream the
/// client is told how it ended, whatever chunks it came in.
pub(crate) fn translate(input: &[u8]) {
    let [choice, known, bytes @ ..] = input else {
        return;
    };
    let (client, smallest) = CLIENTS[usize::from(*choice) % CLIENTS.len()];
    let provider = PROVIDERS[usize::from(*choice) / CLIENTS.len() % PROVIDERS.len()];
    if client == provider {
        return;
    }
    let target = target(*known);
    if let Ok(outgoing) = translate::request(client, provider, bytes, &target) {
        assert_json(&outgoing.body);
    }
    let smallest = translate::request(client, provider, smallest.as_bytes(), &target);
    let context = smallest.expect("the smallest request is translated").context;
    if let Ok(incoming) = translate::response(&context, 200, bytes) {
        assert_json(&incoming.body);
    }
    assert_json(&translate::error(client, provider, 500, bytes));

    let whole = translate_stream(&context, vec![bytes]);
    assert_eq!(translate_stream(&context, pieces(bytes, *choice)), whole);
    for line in whole.lines() {
        if let Some(data) = line.strip_prefix("data: ").filter(|data| *data != "[DONE]") {
            assert_json(data.as_bytes());
        }
    }
}

fn target(known: u8) -> Target<'static> {
    let is_known = |bit: u8| known >> bit & 1 == 1;
    Target {
        model: "the-model",
        stream: is_known(0),
        model_in_path: is_known(2) && is_known(0),
        max_output: is_known(1).then_some(4000),
        takes_max_completion_tokens: is_known(2),
        adaptive_thinking: is_known(3),
        never_thinks: is_known(4) && is_known(0),
        always_thinks: is_known(4) && is_known(1),
        fixed_sampling: is_known(4) && is_known(2),
        unforced_tools: is_known(4) && is_known(3),
        system_in_messages: is_known(5),
        takes_cache_control: is_known(6),
        takes_reasoning_content: is_known(7),
        needs_thought_signature: is_known(4),
        request_id: "req_fallback",
        now: 1_790_000_000,
    }
}

fn translate_stream(context: &Context, chunks: Vec<&[u8]>) -> String {
    let mut translator = StreamTranslator::new(context.clone()).expect("streams are translated");
    let mut out = Vec::new();
    for chunk in chunks {
        translator.push(chunk, &mut out);
    }
    translator.finish(&mut out);
    assert!(translator.is_over());
    String::from_utf8(out).expect("what comes out is UTF-8")
}

fn assert_json(bytes: &[u8]) {
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(bytes) {
        panic!("not JSON: {error}: {}", String::from_utf8_lossy(bytes));
    }
}

/// `bytes` in pieces of a size that `choice` decides, from one byte up.
fn pieces(bytes: &[u8], choice: u8) -> Vec<&[u8]> {
    bytes.chunks(usize::from(choice) / DIALECTS.len() + 1).collect()
}
