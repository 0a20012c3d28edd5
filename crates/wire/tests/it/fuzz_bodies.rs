//! What the fuzz targets in `fuzz/` do with their input. `smoke` runs the same on every test run.
//!
//! The first byte of the input chooses: where the rest is cut, or which dialect it is read in.

use std::borrow::Cow;

use genesis_wire::eventstream::{Decoder, encode_event};
use genesis_wire::sse::{Event, Splitter};
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
    assert_eq!(
        decode(pieces(&encode_event("any", stream), choice)),
        (vec![(3, stream.to_vec())], Ok(()))
    );
}

/// `bytes` in pieces of a size that `choice` decides, from one byte up.
fn pieces(bytes: &[u8], choice: u8) -> Vec<&[u8]> {
    bytes.chunks(usize::from(choice) / DIALECTS.len() + 1).collect()
}
