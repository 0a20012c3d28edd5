//! What reading costs, for the eye: `cargo test -p genesis-wire --release -- --ignored --nocapture timing`.

use std::hint::black_box;
use std::time::Instant;

use genesis_wire::eventstream::encode_event;
use genesis_wire::{Dialect, StreamReader, peek};

#[test]
#[ignore = "prints timings and asserts none"]
fn timing_of_ordinary_deltas() {
    let chat = format!(
        "data: {{\"id\":\"chatcmpl-123\",\"object\":\"chat.completion.chunk\",\"created\":1694268190,\"model\":\"gpt-5\",\
         \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{}\"}},\"logprobs\":null,\"finish_reason\":null}}],\"usage\":null}}\n\n",
        "word ".repeat(4)
    );
    let anthropic = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":\
                     {\"type\":\"text_delta\",\"text\":\"Hello there, you\"}}\n\n";
    let responses = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"item_id\":\"msg_1\",\
                     \"output_index\":0,\"content_index\":0,\"delta\":\"Hello\"}\n\n";
    let gemini = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hello there\"}],\"role\":\"model\"},\"index\":0}],\
                  \"usageMetadata\":{\"promptTokenCount\":8,\"candidatesTokenCount\":5,\"totalTokenCount\":13},\"modelVersion\":\"gemini\"}\r\n\r\n";
    let bedrock = encode_event(
        "contentBlockDelta",
        br#"{"contentBlockIndex":0,"delta":{"text":"Hello there"},"p":"abcdefghijk"}"#,
    );
    for (dialect, event) in [
        (Dialect::OpenAiChat, chat.as_bytes()),
        (Dialect::AnthropicMessages, anthropic.as_bytes()),
        (Dialect::OpenAiResponses, responses.as_bytes()),
        (Dialect::GeminiGenerate, gemini.as_bytes()),
        (Dialect::BedrockConverse, &bedrock),
    ] {
        let alone = time(dialect, event, event.len());
        let together = time(dialect, &event.repeat(40), 4099);
        println!(
            "{:20} ns per 100 bytes: {alone:6.1} one event a chunk, {together:6.1} in odd 4 KiB chunks",
            dialect.name()
        );
    }
    let body = format!(
        "{{\"messages\":[{}{{}}],\"model\":\"openai/gpt-5\",\"stream\":true}}",
        "{\"role\":\"user\",\"content\":\"some words that a user wrote\"},".repeat(4000)
    );
    let start = Instant::now();
    for _ in 0..200 {
        black_box(peek(black_box(body.as_bytes())).unwrap());
    }
    println!("peek of {} KiB: {:.0} us", body.len() / 1024, start.elapsed().as_secs_f64() * 1e6 / 200.0);
}

/// Nanoseconds per 100 bytes of `stream` in chunks of `chunk` bytes.
fn time(dialect: Dialect, stream: &[u8], chunk: usize) -> f64 {
    const ROUNDS: usize = 20_000;
    let mut reader = StreamReader::new(dialect);
    reader.push(stream);
    let start = Instant::now();
    for _ in 0..ROUNDS {
        for chunk in black_box(stream).chunks(chunk) {
            reader.push(chunk);
        }
    }
    let nanos = start.elapsed().as_secs_f64() * 1e9;
    black_box(reader.finish());
    nanos * 100.0 / (ROUNDS * stream.len()) as f64
}
