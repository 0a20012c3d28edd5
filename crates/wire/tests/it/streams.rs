//! Streams of every dialect, in the shapes the providers document, cut in every way.

use genesis_wire::eventstream::{HeaderValue, encode, encode_event, encode_exception};
use genesis_wire::{Dialect, Report, StreamReader, Usage, usage_of_raw};
use proptest::prelude::*;

use crate::cuts::{cut, ends};

const ANTHROPIC: &str = concat!(
    "event: message_start\n",
    r#"data: {"type":"message_start","message":{"id":"msg_01","type":"message","role":"assistant","#,
    r#""model":"claude-sonnet-4-5","content":[],"stop_reason":null,"usage":{"input_tokens":25,"#,
    r#""cache_creation_input_tokens":300,"cache_read_input_tokens":40,"#,
    r#""cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":200},"output_tokens":1}}}"#,
    "\n\nevent: content_block_start\n",
    r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
    "\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\"message_stop\" \"error\":1"}}"#,
    "\n\nevent: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: message_delta\n",
    r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":15}}"#,
    "\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);

const ANTHROPIC_USAGE: Usage =
    Usage { input: 25, cache_read: 40, cache_write: 100, cache_write_1h: 200, output: 15, reasoning: 0 };

const OPENAI_CHAT: &str = concat!(
    ": PROCESSING\n\n",
    r#"data: {"id":"c","object":"chat.completion.chunk","model":"","choices":[],"prompt_filter_results":[]}"#,
    "\n\n",
    r#"data: {"id":"c","model":"gpt-5","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#,
    "\n\n",
    r#"data: {"id":"c","model":"gpt-5","choices":[{"index":0,"delta":{"content":"\"usage\":{\"prompt_tokens\":1}"},"finish_reason":null}],"usage":null}"#,
    "\n\n",
    r#"data: {"id":"c","model":"gpt-5","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#,
    "\n\n",
    r#"data: {"id":"c","model":"gpt-5","choices":[],"usage": {"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":6}}}"#,
    "\n\ndata: [DONE]\n\n",
);

const GROQ: &str = concat!(
    r#"data: {"id":"c","model":"llama-3.1-8b-instant","x_groq":{"id":"req_1"},"choices":[{"delta":{"content":"Hi"},"finish_reason":null}]}"#,
    "\n\n",
    r#"data: {"id":"c","model":"llama-3.1-8b-instant","x_groq":{"id":"req_1","usage":{"queue_time":0.02,"prompt_tokens":18,"completion_tokens":7,"total_tokens":25}},"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
    "\n\ndata: [DONE]\n\n",
);

const OPENAI_RESPONSES: &str = concat!(
    "event: response.created\n",
    r#"data: {"type":"response.created","response":{"id":"resp_1","status":"in_progress","error":null,"model":"gpt-5","output":[],"usage":null}}"#,
    "\n\nevent: response.output_text.delta\n",
    r#"data: {"type":"response.output_text.delta","item_id":"msg_1","delta":"\"response.completed\""}"#,
    "\n\nevent: response.completed\n",
    r#"data: {"type":"response.completed","response":{"id":"resp_1","status":"completed","error":null,"incomplete_details":null,"model":"gpt-5","output":[{"type":"message"}],"usage":{"input_tokens":37,"input_tokens_details":{"cached_tokens":7},"output_tokens":11,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":48}}}"#,
    "\n\n",
);

const COHERE: &str = concat!(
    "event: message-start\ndata: {\"type\":\"message-start\",\"id\":\"1\",\"delta\":{\"message\":{\"role\":\"assistant\"}}}\n\n",
    "event: content-delta\ndata: {\"type\":\"content-delta\",\"delta\":{\"message\":{\"content\":{\"text\":\"Hi\"}}}}\n\n",
    "event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"COMPLETE\",\"usage\":{",
    "\"billed_units\":{\"input_tokens\":17,\"output_tokens\":21},\"tokens\":{\"input_tokens\":217,\"output_tokens\":23}}}}\n\n",
);

const GEMINI_CHUNKS: [&str; 2] = [
    r#"{"candidates":[{"content":{"parts":[{"text":"a } ] \" \\"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":8,"totalTokenCount":9},"modelVersion":"gemini-2.5-flash"}"#,
    r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"usageMetadata":{"promptTokenCount":999}}}}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":8,"cachedContentTokenCount":3,"candidatesTokenCount":5,"thoughtsTokenCount":20,"totalTokenCount":33},"modelVersion":"gemini-2.5-flash"}"#,
];

const GEMINI_USAGE: Usage =
    Usage { input: 5, cache_read: 3, cache_write: 0, cache_write_1h: 0, output: 25, reasoning: 20 };

fn bedrock() -> Vec<u8> {
    [
        encode_event("messageStart", br#"{"role":"assistant"}"#),
        encode_event("contentBlockDelta", br#"{"contentBlockIndex":0,"delta":{"text":"Hi"}}"#),
        encode_event("messageStop", br#"{"stopReason":"end_turn","p":"abcdefgh"}"#),
        encode_event(
            "metadata",
            br#"{"metrics":{"latencyMs":1},"usage":{"cacheReadInputTokens":6,"cacheWriteInputTokens":7,"inputTokens":9,"outputTokens":4,"totalTokens":26}}"#,
        ),
    ]
    .concat()
}

/// The Anthropic stream as Bedrock's raw invocation wraps it.
fn bedrock_invoke() -> Vec<u8> {
    let data = ANTHROPIC.lines().filter_map(|line| line.strip_prefix("data: "));
    data.flat_map(|data| {
        let payload = format!(r#"{{"bytes":"{}","p":"abc"}}"#, base64(data.as_bytes()));
        encode_event("chunk", payload.as_bytes())
    })
    .collect()
}

fn base64(bytes: &[u8]) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |group: &[u8]| {
        let bits = group.iter().chain([&0, &0]).take(3).fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        (0..4)
            .map(
                |digit| {
                    if digit > group.len() { '=' } else { alphabet[bits >> (18 - 6 * digit) & 63].into() }
                },
            )
            .collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

/// Every stream with its dialect: also the seeds of the fuzz smoke.
pub(crate) fn all() -> Vec<(Dialect, Vec<u8>)> {
    let gemini_sse = GEMINI_CHUNKS.map(|chunk| format!("data: {chunk}\r\n\r\n")).concat();
    let gemini_array = format!("[{}\r\n]", GEMINI_CHUNKS.join("\n,\r\n"));
    vec![
        (Dialect::AnthropicMessages, ANTHROPIC.into()),
        (Dialect::AnthropicMessages, bedrock_invoke()),
        (Dialect::OpenAiChat, OPENAI_CHAT.into()),
        (Dialect::OpenAiChat, GROQ.into()),
        (Dialect::OpenAiResponses, OPENAI_RESPONSES.into()),
        (Dialect::CohereChat, COHERE.into()),
        (Dialect::GeminiGenerate, gemini_sse.into()),
        (Dialect::GeminiGenerate, gemini_array.into()),
        (Dialect::BedrockConverse, bedrock()),
    ]
}

fn read(dialect: Dialect, chunks: &[&[u8]]) -> Report {
    let mut reader = StreamReader::new(dialect);
    for chunk in chunks {
        reader.push(chunk);
    }
    reader.finish()
}

fn check(dialect: Dialect, stream: &[u8], model: Option<&str>, finish_reason: &str, usage: Usage) {
    let report = read(dialect, &[stream]);
    assert_eq!(report.usage, Some(usage), "{dialect:?}");
    assert_eq!(report.model.as_deref(), model, "{dialect:?}");
    assert_eq!(report.finish_reason.as_deref(), Some(finish_reason), "{dialect:?}");
    assert_eq!((report.ended, report.error), (true, None), "{dialect:?}");
    let raw = report.raw_usage.expect("usage was kept");
    assert_eq!(usage_of_raw(dialect, &raw), Some(usage), "{raw}");
}

#[test]
fn anthropic_streams() {
    let model = Some("claude-sonnet-4-5");
    check(Dialect::AnthropicMessages, ANTHROPIC.as_bytes(), model, "end_turn", ANTHROPIC_USAGE);
    check(Dialect::AnthropicMessages, &bedrock_invoke(), model, "end_turn", ANTHROPIC_USAGE);

    let raw = read(Dialect::AnthropicMessages, &[ANTHROPIC.as_bytes()]).raw_usage.unwrap();
    assert!(
        raw.starts_with(r#"[{"input_tokens":25,"#)
            && raw.ends_with(r#","output_tokens":1},{"output_tokens":15}]"#)
    );
}

#[test]
fn a_later_anthropic_count_replaces_an_earlier_one_unless_it_is_zero() {
    let stream = concat!(
        "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":1,\"cache_read_input_tokens\":5}}}\n\n",
        "data: {\"type\":\"message_delta\",\"usage\":{\"input_tokens\":70,\"cache_read_input_tokens\":0,\"output_tokens\":2}}\n\n",
        "data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":9}}\n\n",
    );
    let report = read(Dialect::AnthropicMessages, &[stream.as_bytes()]);
    assert_eq!(report.usage, Some(Usage { input: 70, cache_read: 5, output: 9, ..Usage::default() }));
    assert!(!report.ended, "no message_stop came");
}

#[test]
fn openai_streams() {
    let usage = Usage { input: 15, cache_read: 4, output: 10, reasoning: 6, ..Usage::default() };
    check(Dialect::OpenAiChat, OPENAI_CHAT.as_bytes(), Some("gpt-5"), "stop", usage);

    let usage = Usage { input: 18, output: 7, ..Usage::default() };
    check(Dialect::OpenAiChat, GROQ.as_bytes(), Some("llama-3.1-8b-instant"), "stop", usage);

    let usage = Usage { input: 30, cache_read: 7, output: 11, reasoning: 3, ..Usage::default() };
    check(Dialect::OpenAiResponses, OPENAI_RESPONSES.as_bytes(), Some("gpt-5"), "completed", usage);
}

#[test]
fn the_other_streams() {
    let usage = Usage { input: 17, output: 21, ..Usage::default() };
    check(Dialect::CohereChat, COHERE.as_bytes(), None, "COMPLETE", usage);

    let usage = Usage { input: 9, cache_read: 6, cache_write: 7, output: 4, ..Usage::default() };
    check(Dialect::BedrockConverse, &bedrock(), None, "end_turn", usage);

    for (dialect, stream) in all().iter().filter(|(dialect, _)| *dialect == Dialect::GeminiGenerate) {
        check(*dialect, stream, Some("gemini-2.5-flash"), "STOP", GEMINI_USAGE);
    }
}

#[test]
fn a_stream_cut_short_has_not_ended() {
    for (dialect, stream) in all() {
        for kept in 0..stream.len() / 2 {
            assert!(!read(dialect, &[&stream[..kept]]).ended, "{dialect:?} after {kept} bytes");
        }
    }
    let started = &ANTHROPIC.as_bytes()[..ANTHROPIC.find("event: message_delta").unwrap()];
    assert_eq!(read(Dialect::AnthropicMessages, &[started]).usage.unwrap().input, 25);
}

#[test]
fn a_last_event_without_its_blank_line_counts() {
    let stream = OPENAI_CHAT.split("\n\ndata: [DONE]").next().unwrap();
    let report = read(Dialect::OpenAiChat, &[stream.as_bytes()]);
    assert_eq!(report.usage.unwrap().output, 10);
    assert!(read(Dialect::OpenAiChat, &[b"data: {}\n\ndata: [DONE]"]).ended);
}

#[test]
fn errors_in_streams_are_told() {
    let bedrock_error = encode(
        &[(":message-type", HeaderValue::String("error")), (":error-message", HeaderValue::String("no"))],
        b"",
    );
    let streams: [(Dialect, &[u8]); 10] = [
        (
            Dialect::AnthropicMessages,
            b"event: error\ndata: {\"type\": \"error\", \"error\": {\"type\": \"overloaded_error\", \"message\": \"no\"}}\n\n",
        ),
        (Dialect::OpenAiChat, b"data: {\"error\":{\"message\":\"no\",\"code\":502}}\n\n"),
        (Dialect::OpenAiResponses, b"event: error\ndata: {\"type\":\"error\",\"code\":\"x\",\"message\":\"no\",\"param\":null}\n\n"),
        (Dialect::OpenAiResponses, b"data: {\"type\":\"error\",\"error\":{\"message\":\"no\"}}\n\n"),
        (
            Dialect::OpenAiResponses,
            b"data: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"no\"}}}\n\n",
        ),
        (Dialect::GeminiGenerate, b"data: {\"error\":{\"code\":503,\"message\":\"no\",\"status\":\"UNAVAILABLE\"}}\r\n\r\n"),
        (Dialect::GeminiGenerate, b"[{\"error\":{\"code\":503,\"message\":\"no\",\"status\":\"UNAVAILABLE\"}}\n]"),
        (Dialect::CohereChat, b"data: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"ERROR\",\"error\":\"no\"}}\n\n"),
        (Dialect::BedrockConverse, &encode_exception("modelStreamErrorException", b"{\"message\":\"no\"}")),
        (Dialect::BedrockConverse, &bedrock_error),
    ];
    for (dialect, stream) in streams {
        assert_eq!(read(dialect, &[stream]).error.as_deref(), Some("no"), "{dialect:?}");
    }
    let unnamed = read(Dialect::BedrockConverse, &[&encode_exception("throttlingException", b"")]);
    assert_eq!(unnamed.error.as_deref(), Some("throttlingException"));
    let plain = read(Dialect::OpenAiChat, &[b"{\"error\":{\"message\":\"no\"}}"]);
    assert_eq!(plain.error.as_deref(), Some("no"), "a JSON body where a stream was expected");
}

#[test]
fn an_error_after_content_is_told_with_what_was_said_before() {
    let chat = r#"data: {"model":"m","choices":[{"delta":{"content":"x"},"finish_reason":null}]}"#;
    let response = r#"data: {"type":"response.output_text.delta","response":{"model":"m"},"delta":"x"}"#;
    let message = r#"data: {"type":"message_start","message":{"model":"m"}}"#;
    for (dialect, content, error) in [
        (Dialect::OpenAiChat, chat, r#"{"error":{"message":"gone"}}"#),
        (Dialect::OpenAiChat, chat, r#"{"object":"error","message":"gone","code":500}"#),
        (Dialect::OpenAiResponses, response, r#"{"type":"error","code":"x","message":"gone","param":null}"#),
        (Dialect::OpenAiResponses, response, r#"{"type":"error","error":{"message":"gone"}}"#),
        (
            Dialect::OpenAiResponses,
            response,
            r#"{"type":"response.failed","response":{"error":{"message":"gone"}}}"#,
        ),
        (
            Dialect::AnthropicMessages,
            message,
            r#"{"type":"error","error":{"type":"api_error","message":"gone"}}"#,
        ),
    ] {
        let stream = format!("{}data: {error}\n\n", format!("{content}\n\n").repeat(9));
        let report = read(dialect, &[stream.as_bytes()]);
        assert_eq!((report.model.as_deref(), report.error.as_deref()), (Some("m"), Some("gone")), "{error}");
    }
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_report(ends in ends()) {
        for (dialect, stream) in all() {
            prop_assert_eq!(read(dialect, &cut(&stream, &ends)), read(dialect, &[&stream]));
        }
    }

    #[test]
    fn line_ends_do_not_matter(ends in ends(), line_end in prop::sample::select(vec!["\n", "\r\n", "\r"])) {
        for (dialect, stream) in all() {
            let Some(text) = str::from_utf8(&stream).ok().filter(|text| text.contains("data: ")) else { continue };
            let changed = text.lines().map(|line| format!("{line}{line_end}")).collect::<String>();
            prop_assert_eq!(read(dialect, &cut(changed.as_bytes(), &ends)), read(dialect, &[&stream]));
        }
    }

    #[test]
    fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..200), ends in ends()) {
        for (dialect, _) in all() {
            prop_assert_eq!(read(dialect, &cut(&bytes, &ends)), read(dialect, &[&bytes]));
        }
    }
}
