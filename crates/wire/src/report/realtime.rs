//! What the messages of a realtime session say was used: OpenAI's Realtime API and Responses over WebSocket, Gemini
//! Live. Each message counts for itself; a session's usage is their sum.
//!
//! Sources: OpenAI's Realtime API reference (`response.done`, `session.created`), the `BidiGenerateContentServerMessage`
//! and `UsageMetadata` pages of the Gemini Live API reference.

use crate::Usage;
use crate::json::{Count, List, Text, object, read};

/// What one message said.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RealtimeReport {
    pub usage: Usage,
    /// Part of it was audio or video, which has prices of its own.
    pub other_than_text: bool,
    pub model: Option<String>,
}

object! {
    struct Message<'a> {
        kind: Text<'a> = "type",
        response: Response<'a> = "response",
        session: Session<'a> = "session",
        live: Live<'a> = "usageMetadata",
    }
}

object! {
    struct Session<'a> {
        model: Text<'a> = "model",
    }
}

object! {
    struct Response<'a> {
        model: Text<'a> = "model",
        usage: Counts = "usage",
    }
}

object! {
    struct Counts {
        input: Count = "input_tokens",
        // The Realtime API and the Responses API spell these differently.
        input_realtime: Details = "input_token_details",
        input_responses: Details = "input_tokens_details",
        output: Count = "output_tokens",
        output_realtime: Details = "output_token_details",
        output_responses: Details = "output_tokens_details",
    }
}

object! {
    struct Details {
        cached: Count = "cached_tokens",
        audio: Count = "audio_tokens",
        image: Count = "image_tokens",
        reasoning: Count = "reasoning_tokens",
    }
}

object! {
    struct Live<'a> {
        prompt: Count = "promptTokenCount",
        cached: Count = "cachedContentTokenCount",
        tool_use: Count = "toolUsePromptTokenCount",
        response: Count = "responseTokenCount",
        thoughts: Count = "thoughtsTokenCount",
        prompt_details: List<Modality<'a>> = "promptTokensDetails",
        response_details: List<Modality<'a>> = "responseTokensDetails",
    }
}

object! {
    struct Modality<'a> {
        name: Text<'a> = "modality",
        count: Count = "tokenCount",
    }
}

/// Whether a message can say anything worth reading; most are pieces of audio.
pub fn may_report(message: &[u8]) -> bool {
    [&b"\"usage\""[..], b"\"usageMetadata\"", b"\"session.created\""]
        .iter()
        .any(|needle| memchr::memmem::find(message, needle).is_some())
}

/// Reads one message of the provider; `None` if it says nothing about usage or model.
pub fn read_message(message: &[u8]) -> Option<RealtimeReport> {
    let message: Message = read(message)?;
    match message.kind.as_deref() {
        Some("response.done" | "response.completed" | "response.incomplete" | "response.failed") => {
            Some(of_response(&message.response))
        }
        Some("session.created" | "session.updated") => {
            let model = message.session.model.as_deref().map(str::to_owned)?;
            Some(RealtimeReport { model: Some(model), ..RealtimeReport::default() })
        }
        Some(_) => None,
        None => of_live(&message.live),
    }
}

fn of_response(response: &Response<'_>) -> RealtimeReport {
    let counts = &response.usage;
    let (input, output) = (counts.input.or_zero(), counts.output.or_zero());
    let details =
        [&counts.input_realtime, &counts.input_responses, &counts.output_realtime, &counts.output_responses];
    let cached =
        counts.input_realtime.cached.or_zero().max(counts.input_responses.cached.or_zero()).min(input);
    RealtimeReport {
        usage: Usage {
            input: input - cached,
            cache_read: cached,
            output,
            reasoning: counts
                .output_realtime
                .reasoning
                .or_zero()
                .max(counts.output_responses.reasoning.or_zero()),
            ..Usage::default()
        },
        other_than_text: details.iter().any(|details| details.audio.or_zero() + details.image.or_zero() > 0),
        model: response.model.as_deref().map(str::to_owned),
    }
}

fn of_live(counts: &Live<'_>) -> Option<RealtimeReport> {
    if counts.prompt.0.is_none() && counts.response.0.is_none() {
        return None;
    }
    let prompt = counts.prompt.or_zero();
    let cached = counts.cached.or_zero().min(prompt);
    let other = |modality: &Modality<'_>| {
        modality.count.or_zero() > 0 && modality.name.as_deref().is_some_and(|name| name != "TEXT")
    };
    Some(RealtimeReport {
        usage: Usage {
            input: prompt - cached + counts.tool_use.or_zero(),
            cache_read: cached,
            output: counts.response.or_zero() + counts.thoughts.or_zero(),
            reasoning: counts.thoughts.or_zero(),
            ..Usage::default()
        },
        other_than_text: counts.prompt_details.0.iter().chain(&counts.response_details.0).any(other),
        model: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openai_says_what_a_response_used() {
        let message =
            br#"{"type":"response.done","response":{"id":"r","usage":{"total_tokens":30,"input_tokens":20,
            "output_tokens":10,"input_token_details":{"cached_tokens":8,"text_tokens":20,"audio_tokens":0},
            "output_token_details":{"text_tokens":10,"audio_tokens":0}}}}"#;
        assert!(may_report(message));
        let report = read_message(message).expect("usage");
        assert_eq!(report.usage, Usage { input: 12, cache_read: 8, output: 10, ..Usage::default() });
        assert!(!report.other_than_text);
        let spoken = br#"{"type":"response.done","response":{"usage":{"input_tokens":1,"output_tokens":9,
            "output_token_details":{"audio_tokens":9}}}}"#;
        assert!(read_message(spoken).expect("usage").other_than_text);
    }

    #[test]
    fn gemini_says_it_in_its_own_words() {
        let message = br#"{"usageMetadata":{"promptTokenCount":7,"responseTokenCount":5,"totalTokenCount":12,
            "responseTokensDetails":[{"modality":"AUDIO","tokenCount":5}]},"serverContent":{"turnComplete":true}}"#;
        let report = read_message(message).expect("usage");
        assert_eq!(report.usage, Usage { input: 7, output: 5, ..Usage::default() });
        assert!(report.other_than_text);
    }

    #[test]
    fn other_messages_say_nothing() {
        assert!(!may_report(br#"{"type":"response.output_audio.delta","delta":"AAAA"}"#));
        assert_eq!(read_message(br#"{"type":"response.output_text.delta","delta":"\"usage\""}"#), None);
        assert_eq!(read_message(b"not json"), None);
        let created = read_message(br#"{"type":"session.created","session":{"model":"gpt-realtime"}}"#);
        assert_eq!(created.expect("model").model.as_deref(), Some("gpt-realtime"));
    }
}
