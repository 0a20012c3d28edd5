//! JSON answers of every dialect, in the shapes the providers document.

use genesis_wire::report::read_answer;
use genesis_wire::{Dialect, Report, Usage, read_json, usage_of_raw};

fn report(dialect: Dialect, body: &str) -> Report {
    let report = read_json(dialect, body.as_bytes());
    // The quick way must say the same, but for why the model stopped.
    let quick = read_answer(dialect, body.as_bytes());
    assert_eq!(
        Report { finish_reason: None, ..quick },
        Report { finish_reason: None, ..report.clone() },
        "{body}"
    );
    if let Some(raw) = &report.raw_usage {
        assert!(body.contains(raw.as_str()), "raw usage is verbatim: {raw}");
        assert_eq!(usage_of_raw(dialect, raw), report.usage);
    }
    report
}

fn usage(dialect: Dialect, body: &str) -> Usage {
    report(dialect, body).usage.expect("the body carries usage")
}

#[test]
fn anthropic_counts_cached_tokens_beside_the_input() {
    let report = report(
        Dialect::AnthropicMessages,
        r#"{"id":"msg_01XFDUDYJgAACzvnptvVoYEL","type":"message","role":"assistant","model":"claude-sonnet-4-5",
            "content":[{"type":"text","text":"Hi! \"usage\": {\"input_tokens\": 9}"}],
            "stop_reason":"end_turn","stop_sequence":null,
            "usage":{"input_tokens":2095,"cache_creation_input_tokens":2051,"cache_read_input_tokens":1024,
                "cache_creation":{"ephemeral_5m_input_tokens":51,"ephemeral_1h_input_tokens":2000},
                "output_tokens":503,"server_tool_use":{"web_search_requests":1},"service_tier":"standard"}}"#,
    );
    assert_eq!(
        report.usage,
        Some(Usage {
            input: 2095,
            cache_read: 1024,
            cache_write: 51,
            cache_write_1h: 2000,
            output: 503,
            reasoning: 0
        })
    );
    assert_eq!(report.model.as_deref(), Some("claude-sonnet-4-5"));
    assert_eq!(report.finish_reason.as_deref(), Some("end_turn"));
    assert_eq!((report.ended, report.error), (true, None));
}

#[test]
fn anthropic_leaves_compaction_out_of_its_sums_but_bills_it() {
    let usage = usage(
        Dialect::AnthropicMessages,
        r#"{"usage":{"input_tokens":23000,"output_tokens":1000,"iterations":[
            {"type":"compaction","input_tokens":180000,"output_tokens":3500},
            {"type":"message","input_tokens":23000,"output_tokens":1000}]}}"#,
    );
    assert_eq!((usage.input, usage.output), (203_000, 4500));
}

#[test]
fn openai_counts_cached_tokens_in_the_prompt_and_reasoning_in_the_completion() {
    let report = report(
        Dialect::OpenAiChat,
        r#"{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion","created":1741569952,
            "model":"gpt-5-2025-08-07","choices":[{"index":0,"message":{"role":"assistant","content":"Hello!",
            "refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],
            "usage":{"prompt_tokens":1486,"completion_tokens":651,"total_tokens":2137,
            "prompt_tokens_details":{"cached_tokens":1408,"audio_tokens":0},
            "completion_tokens_details":{"reasoning_tokens":512,"audio_tokens":0}},"service_tier":"default"}"#,
    );
    assert_eq!(
        report.usage,
        Some(Usage { input: 78, cache_read: 1408, output: 651, reasoning: 512, ..Usage::default() })
    );
    assert_eq!(report.model.as_deref(), Some("gpt-5-2025-08-07"));
    assert_eq!(report.finish_reason.as_deref(), Some("stop"));
}

#[test]
fn chat_providers_with_their_own_ways_are_understood() {
    let chat = |usage_object: &str| usage(Dialect::OpenAiChat, &format!("{{\"usage\":{usage_object}}}"));

    let xai = chat(
        r#"{"prompt_tokens":10120,"completion_tokens":1499,"total_tokens":14428,
        "prompt_tokens_details":{"cached_tokens":128},"completion_tokens_details":{"reasoning_tokens":2809}}"#,
    );
    assert_eq!((xai.input, xai.cache_read, xai.output, xai.reasoning), (9992, 128, 4308, 2809));

    let xai_without_total = chat(
        r#"{"prompt_tokens":12,"completion_tokens":2,"completion_tokens_details":{"reasoning_tokens":317}}"#,
    );
    assert_eq!((xai_without_total.output, xai_without_total.reasoning), (319, 317));

    let gemini_behind_openai = chat(r#"{"completion_tokens":102,"prompt_tokens":758,"total_tokens":1725}"#);
    assert_eq!((gemini_behind_openai.output, gemini_behind_openai.reasoning), (967, 865));

    let deepseek = chat(
        r#"{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"prompt_cache_hit_tokens":64,
        "prompt_cache_miss_tokens":36,"completion_tokens_details":{"reasoning_tokens":5}}"#,
    );
    assert_eq!((deepseek.input, deepseek.cache_read, deepseek.output), (36, 64, 20));

    let moonshot =
        chat(r#"{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"cached_tokens":60}"#);
    assert_eq!((moonshot.input, moonshot.cache_read), (40, 60));

    let writes = chat(
        r#"{"prompt_tokens":100,"completion_tokens":1,"total_tokens":101,
        "prompt_tokens_details":{"cached_tokens":30,"cache_write_tokens":50}}"#,
    );
    assert_eq!((writes.input, writes.cache_read, writes.cache_write), (20, 30, 50));

    let both_names = chat(
        r#"{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12,"input_tokens":0,"output_tokens":0,
        "input_tokens_details":null}"#,
    );
    assert_eq!((both_names.input, both_names.output), (9, 3));
}

#[test]
fn openai_responses_name_the_counts_differently() {
    let report = report(
        Dialect::OpenAiResponses,
        r#"{"id":"resp_67ccd2bed1ec8190","object":"response","status":"incomplete","error":null,
            "incomplete_details":{"reason":"max_output_tokens"},"model":"gpt-5","output":[{"type":"message"}],
            "usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":6},"output_tokens":87,
            "output_tokens_details":{"reasoning_tokens":50},"total_tokens":123}}"#,
    );
    assert_eq!(
        report.usage,
        Some(Usage { input: 30, cache_read: 6, output: 87, reasoning: 50, ..Usage::default() })
    );
    assert_eq!(report.finish_reason.as_deref(), Some("max_output_tokens"));
    assert_eq!(report.error, None);

    let failed =
        r#"{"status":"failed","error":{"code":"server_error","message":"The model failed."},"usage":null}"#;
    assert_eq!(
        read_json(Dialect::OpenAiResponses, failed.as_bytes()).error.as_deref(),
        Some("The model failed.")
    );
}

#[test]
fn embeddings_have_input_only() {
    for usage_object in [r#"{"prompt_tokens":8,"total_tokens":8}"#, r#"{"total_tokens":8}"#] {
        let body = format!(
            r#"{{"object":"list","data":[{{"object":"embedding","embedding":[0.0023,-1e-9],"index":0}}],
                "model":"text-embedding-3-small","usage":{usage_object}}}"#
        );
        let report = report(Dialect::OpenAiEmbeddings, &body);
        assert_eq!(report.usage, Some(Usage { input: 8, ..Usage::default() }));
        assert_eq!(report.model.as_deref(), Some("text-embedding-3-small"));
    }
}

#[test]
fn gemini_counts_thoughts_beside_the_candidates() {
    let answer = r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}],"role":"model"},"finishReason":"STOP","index":0}],
        "usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":60,"candidatesTokenCount":10,
        "toolUsePromptTokenCount":7,"thoughtsTokenCount":30,"totalTokenCount":147,
        "promptTokensDetails":[{"modality":"TEXT","tokenCount":100}]},"modelVersion":"gemini-2.5-pro"}"#;
    for body in
        [answer.to_owned(), format!("[{{\"usageMetadata\":{{\"promptTokenCount\":1}}}},\r\n{answer}]")]
    {
        let report = report(Dialect::GeminiGenerate, &body);
        assert_eq!(
            report.usage,
            Some(Usage { input: 47, cache_read: 60, output: 40, reasoning: 30, ..Usage::default() })
        );
        assert_eq!(report.model.as_deref(), Some("gemini-2.5-pro"));
        assert_eq!(report.finish_reason.as_deref(), Some("STOP"));
        assert!(report.ended);
    }
    let blocked = report(
        Dialect::GeminiGenerate,
        r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":4,"totalTokenCount":4}}"#,
    );
    assert_eq!((blocked.finish_reason.as_deref(), blocked.usage.unwrap().input), (Some("SAFETY"), 4));
}

#[test]
fn bedrock_counts_cached_tokens_beside_the_input() {
    let report = report(
        Dialect::BedrockConverse,
        r#"{"metrics":{"latencyMs":1275},"output":{"message":{"content":[{"text":"Hi"}],"role":"assistant"}},
            "stopReason":"end_turn","usage":{"inputTokens":30,"outputTokens":628,"totalTokens":1758,
            "cacheReadInputTokens":100,"cacheWriteInputTokens":1000,
            "cacheDetails":[{"ttl":"1h","inputTokens":900},{"ttl":"5m","inputTokens":100}]}}"#,
    );
    assert_eq!(
        report.usage,
        Some(Usage {
            input: 30,
            cache_read: 100,
            cache_write: 100,
            cache_write_1h: 900,
            output: 628,
            reasoning: 0
        })
    );
    assert_eq!((report.finish_reason.as_deref(), report.error), (Some("end_turn"), None));
}

#[test]
fn cohere_is_charged_by_billed_units() {
    let answer = |billed: &str| {
        format!(
            r#"{{"id":"c14c80c3","finish_reason":"COMPLETE","message":{{"role":"assistant","content":[]}},
                "usage":{{"billed_units":{billed},"tokens":{{"input_tokens":71.0,"output_tokens":418.0}}}}}}"#
        )
    };
    let billed = report(Dialect::CohereChat, &answer(r#"{"input_tokens":5,"output_tokens":417}"#));
    assert_eq!(billed.usage, Some(Usage { input: 5, output: 417, ..Usage::default() }));
    assert_eq!((billed.finish_reason.as_deref(), billed.error), (Some("COMPLETE"), None));
    assert_eq!(usage(Dialect::CohereChat, &answer("{}")).input, 71);
}

#[test]
fn errors_are_told_in_every_dialect() {
    for (dialect, body) in [
        (
            Dialect::AnthropicMessages,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"no"}}"#,
        ),
        (
            Dialect::OpenAiChat,
            r#"{"error":{"message":"no","type":"invalid_request_error","param":null,"code":"x"}}"#,
        ),
        (
            Dialect::OpenAiChat,
            r#"{"choices":[{"error":{"code":502,"message":"no"},"finish_reason":"error"}]}"#,
        ),
        (Dialect::OpenAiChat, r#"{"object":"error","message":"no"}"#),
        (Dialect::OpenAiEmbeddings, r#"{"error":"no"}"#),
        (Dialect::OpenAiResponses, r#"{"error":{"message":"no"}}"#),
        (Dialect::GeminiGenerate, r#"{"error":{"code":404,"message":"no","status":"NOT_FOUND"}}"#),
        (Dialect::GeminiGenerate, r#"[{"error":{"code":404,"message":"no","status":"NOT_FOUND"}}]"#),
        (Dialect::BedrockConverse, r#"{"message":"no"}"#),
        (Dialect::BedrockConverse, r#"{"Message":"no"}"#),
        (Dialect::CohereChat, r#"{"id":"1","message":"no"}"#),
        (Dialect::CohereChat, r#"{"success":false,"errors":[{"code":2009,"message":"no"}]}"#),
    ] {
        let report = report(dialect, body);
        assert_eq!(report.error.as_deref(), Some("no"), "{dialect:?} {body}");
        assert_eq!(report.usage, None);
    }
}

#[test]
fn garbage_says_nothing_and_absurd_counts_do_no_harm() {
    let dialects = [
        Dialect::AnthropicMessages,
        Dialect::BedrockConverse,
        Dialect::CohereChat,
        Dialect::GeminiGenerate,
        Dialect::OpenAiChat,
        Dialect::OpenAiEmbeddings,
        Dialect::OpenAiResponses,
    ];
    for dialect in dialects {
        for body in ["", "<html>502</html>", "{", "{\"usage\":", "\u{0}\u{1}", "[", "null x"] {
            assert_eq!(read_json(dialect, body.as_bytes()), Report::default(), "{dialect:?} {body}");
        }
        for body in
            [r#"{"usage":"none","model":7,"error":null,"choices":5}"#, r#"{"usage":{},"usageMetadata":{}}"#]
        {
            let report = read_json(dialect, body.as_bytes());
            assert_eq!(report, Report { ended: true, ..Report::default() }, "{dialect:?} {body}");
        }
        let counts = [
            "input_tokens",
            "output_tokens",
            "prompt_tokens",
            "completion_tokens",
            "total_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
            "inputTokens",
            "outputTokens",
            "cacheReadInputTokens",
            "cacheWriteInputTokens",
            "promptTokenCount",
            "candidatesTokenCount",
            "thoughtsTokenCount",
            "cachedContentTokenCount",
            "toolUsePromptTokenCount",
        ];
        for number in ["18446744073709551615", "1e999", "-1", "-1e999", "\"7\"", "null", "1.5", "[]"] {
            let fields: Vec<String> = counts.iter().map(|count| format!("\"{count}\":{number}")).collect();
            let fields = format!("{{{}}}", fields.join(","));
            let body = format!("{{\"usage\":{fields},\"usageMetadata\":{fields}}}");
            if let Some(usage) = read_json(dialect, body.as_bytes()).usage {
                assert!(usage.tokens_in().checked_add(usage.tokens_out()).is_some());
            }
        }
    }
}

#[test]
fn an_oversized_usage_object_is_counted_but_not_kept() {
    let body = format!(r#"{{"usage":{{"prompt_tokens":3,"padding":"{}"}}}}"#, "x".repeat(5000));
    let report = read_json(Dialect::OpenAiChat, body.as_bytes());
    assert_eq!((report.usage.unwrap().input, report.raw_usage), (3, None));
}

#[test]
fn the_quick_way_is_not_fooled_by_what_a_tool_or_a_text_says() {
    for body in [
        // keys inside a tool's arguments
        r#"{"model":"m","content":[{"type":"tool_use","input":{"usage":{"input_tokens":9},"model":"x"}}],"usage":{"input_tokens":1,"output_tokens":2}}"#,
        // a quoted key inside a text
        r#"{"model":"m","content":[{"type":"text","text":"\"usage\":{\"input_tokens\":9}"}],"usage":{"input_tokens":1,"output_tokens":2}}"#,
        // spacing
        r#"{"model" : "m", "usage" : {"input_tokens":1,"output_tokens":2}}"#,
        // a key that only ends like one
        r#"{"model":"m","a\"usage":{"input_tokens":9},"usage":{"input_tokens":1,"output_tokens":2}}"#,
    ] {
        let report = read_answer(Dialect::AnthropicMessages, body.as_bytes());
        assert_eq!(report.usage.map(|usage| (usage.input, usage.output)), Some((1, 2)), "{body}");
        assert_eq!(report.model.as_deref(), Some("m"), "{body}");
    }
    assert_eq!(
        read_answer(Dialect::OpenAiChat, br#"{"model":"m","usage":{"prompt_tokens":1"#).usage,
        None,
        "cut short"
    );
}
