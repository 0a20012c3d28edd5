//! What must hold for any stream, however it is cut, and for any bytes at all.

use genesis_wire::Dialect;
use genesis_wire::translate::{self, StreamTranslator};
use proptest::prelude::*;
use serde_json::Value;

use crate::support::{CLIENTS, PROVIDERS, chunked, context, fixtures, smallest, stream, target};

#[test]
fn a_stream_cut_anywhere_translates_the_same() {
    for provider in PROVIDERS {
        for (name, bytes) in fixtures(provider, "stream") {
            for client in CLIENTS.into_iter().filter(|client| *client != provider) {
                let whole = stream(client, provider, &bytes);
                assert_eq!(chunked(client, provider, bytes.chunks(1)), whole, "{name}, byte by byte");
                for cut in (0..bytes.len()).step_by(7) {
                    let (head, tail) = bytes.split_at(cut);
                    assert_eq!(chunked(client, provider, [head, tail]), whole, "{name} cut at {cut}");
                }
            }
        }
    }
}

#[test]
fn a_truncated_stream_never_looks_complete() {
    for provider in PROVIDERS {
        for (name, bytes) in fixtures(provider, "stream") {
            for client in CLIENTS.into_iter().filter(|client| *client != provider) {
                let whole = stream(client, provider, &bytes);
                for end in (0..bytes.len()).step_by(5) {
                    let part = stream(client, provider, &bytes[..end]);
                    if ended_well(client, &part) {
                        assert_eq!(said(&part), said(&whole), "{name} ends at {end} of {}", bytes.len());
                    } else {
                        assert!(says_error(client, &part), "{name} ends at {end} without a word:\n{part}");
                    }
                }
            }
        }
    }
}

fn ended_well(client: Dialect, out: &str) -> bool {
    match client {
        Dialect::OpenAiChat => out.contains("data: [DONE]"),
        Dialect::AnthropicMessages => out.contains("event: message_stop"),
        Dialect::GeminiGenerate => out.contains("\"finishReason\""),
        _ => out.contains("event: response.completed") || out.contains("event: response.incomplete"),
    }
}

fn says_error(client: Dialect, out: &str) -> bool {
    match client {
        Dialect::AnthropicMessages => out.contains("event: error"),
        Dialect::OpenAiResponses => out.contains("event: response.failed"),
        _ => out.contains("data: {\"error\""),
    }
}

/// All the model's words and arguments, without the counts, which a cut between them may lose.
fn said(out: &str) -> String {
    let mut words = String::new();
    for line in out.lines().filter_map(|line| line.strip_prefix("data: ")) {
        if let Ok(event) = serde_json::from_str::<Value>(line) {
            collect(&event, &mut words);
        }
    }
    words
}

fn collect(value: &Value, words: &mut String) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match (key.as_str(), value) {
                    (
                        "content" | "text" | "thinking" | "partial_json" | "arguments" | "delta",
                        Value::String(text),
                    ) => {
                        words.push_str(text);
                    }
                    ("args", args) => words.push_str(&args.to_string()),
                    (_, value) => collect(value, words),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, words)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        try_everything(&bytes);
    }

    #[test]
    fn damaged_fixtures_never_panic(seed in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), with in ".{0,3}") {
        let all: Vec<_> = PROVIDERS
            .into_iter()
            .flat_map(|dialect| ["request", "response", "stream"].map(|kind| fixtures(dialect, kind)).concat())
            .collect();
        let mut bytes = seed.get(&all).1.clone();
        let at = at.index(bytes.len());
        let end = (at + 4).min(bytes.len());
        bytes.splice(at..end, with.bytes());
        try_everything(&bytes);
    }
}

fn try_everything(bytes: &[u8]) {
    for client in CLIENTS {
        for provider in PROVIDERS.into_iter().filter(|provider| *provider != client) {
            if let Ok(outgoing) = translate::request(client, provider, bytes, &target(false)) {
                serde_json::from_slice::<Value>(&outgoing.body)
                    .expect("a request that is accepted becomes JSON");
            }
            let context = context(client, provider, true);
            if let Ok(incoming) = translate::response(&context, 200, bytes) {
                serde_json::from_slice::<Value>(&incoming.body)
                    .expect("an answer that is accepted becomes JSON");
            }
            let error = translate::error(client, provider, 500, bytes);
            serde_json::from_slice::<Value>(&error).expect("any error becomes JSON");
            let mut translator = StreamTranslator::new(context).expect("streams are translated");
            let mut out = Vec::new();
            translator.push(bytes, &mut out);
            translator.finish(&mut out);
            for line in String::from_utf8(out).expect("UTF-8").lines() {
                if let Some(data) = line.strip_prefix("data: ").filter(|data| *data != "[DONE]") {
                    serde_json::from_str::<Value>(data).expect("every event is JSON on one line");
                }
            }
        }
    }
}

#[test]
fn the_smallest_request_reaches_every_provider_without_loss() {
    for client in CLIENTS {
        for provider in PROVIDERS.into_iter().filter(|provider| *provider != client) {
            let outgoing = translate::request(client, provider, smallest(client).as_bytes(), &target(false))
                .expect("accepted");
            assert_eq!(outgoing.dropped, Vec::<String>::new(), "{} to {}", client.name(), provider.name());
        }
    }
}
