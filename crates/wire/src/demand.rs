//! The most a request can use, judged by its body: what a budget reserves before the call is made.

use memchr::memchr_iter;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess};
use serde_json::value::RawValue;

use crate::Dialect;
use crate::json::{Count, List, Object, ObjectVisitor, Text, object};

/// Tokens that providers add to what the client wrote: chat templates, and the prompts that explain tools to the model
/// (Anthropic documents up to 735 for its own tools, plus 346).
const ADDED: u64 = 2048;
/// Most tokens of one picture: OpenAI's and Google's newest "original" and "ultra high" resolutions stay below.
const PICTURE: u64 = 16_384;
/// Of one picture shown to `gpt-4o-mini`, which counts 2,833 and 5,667 per tile, at most 8.
const PICTURE_4O_MINI: u64 = 49_152;

/// Bounds on what one call may use. Nothing here is an estimate of what it will use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Demand {
    /// Input tokens, at most.
    pub input: Bound,
    /// Output tokens of one answer, as the request limits them; `None` if it does not.
    pub output: Option<u64>,
    /// Answers asked for.
    pub answers: u64,
}

/// How many input tokens a body can stand for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Bound {
    /// No more than this. Text has at most one token per byte.
    Tokens(u64),
    /// As much as fits into the model: the body refers to content that is not in it, or holds a document, whose pages
    /// count more than their bytes.
    Context,
    /// No bound: the provider runs tools of its own and feeds their results back, again and again.
    Endless,
}

impl Demand {
    /// Bounds of a JSON request in `dialect`. `None` if the body is not a JSON object.
    ///
    /// Sound against a caller that means to be counted low: limits on output that the dialect does not know are not
    /// believed, of several that it knows the highest is taken, and escapes hide nothing.
    pub fn of(dialect: Dialect, model: &str, body: &[u8]) -> Option<Self> {
        let fields: Fields = serde_json::from_slice(body).ok()?;
        let words = Words::of(body);
        let picture = if model.contains("4o-mini") { PICTURE_4O_MINI } else { PICTURE };
        let input = if fields.endless || SEARCHING.iter().any(|name| model.contains(name)) {
            Bound::Endless
        } else if fields.elsewhere || words.elsewhere {
            Bound::Context
        } else {
            Bound::Tokens(body.len() as u64 + ADDED + words.pictures * picture)
        };
        let (output, answers) = fields.output(dialect);
        Some(Self { input, output, answers: answers.unwrap_or(1).max(1) })
    }
}

/// In the names of models that search by themselves and read what they find.
const SEARCHING: [&str; 5] = ["sonar", "search", "deep-research", "compound", ":online"];

/// The fields of a request that bound what it uses. A field given twice counts as the worse.
#[derive(Debug, Default)]
struct Fields {
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    max_output_tokens: Option<u64>,
    /// Gemini's `maxOutputTokens` and Bedrock's `maxTokens`, which stand in an object.
    inner: Inner,
    answers: Option<u64>,
    elsewhere: bool,
    endless: bool,
}

impl<'de> Object<'de> for Fields {
    fn field<M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error> {
        let count = |map: &mut M| map.next_value::<Count>().map(|count| count.0);
        match key {
            "max_tokens" => self.max_tokens = self.max_tokens.max(count(map)?),
            "max_completion_tokens" => {
                self.max_completion_tokens = self.max_completion_tokens.max(count(map)?)
            }
            "max_output_tokens" => self.max_output_tokens = self.max_output_tokens.max(count(map)?),
            "n" => self.answers = self.answers.max(count(map)?),
            "generationConfig" | "generation_config" | "inferenceConfig" => {
                self.inner = self.inner.max(map.next_value()?);
            }
            "tools" => self.endless |= map.next_value::<List<Tool>>()?.0.iter().any(|tool| tool.is_hosted()),
            "toolConfig" => {
                self.endless |= map.next_value::<ToolConfig>()?.tools.0.iter().any(|tool| tool.is_hosted())
            }
            "web_search_options" | "search_parameters" | "plugins" | "mcp_servers" | "connectors" => {
                map.next_value::<IgnoredAny>()?;
                self.endless = true;
            }
            "previous_response_id"
            | "conversation"
            | "prompt"
            | "cachedContent"
            | "cached_content"
            | "container" => {
                // An absent value is often written as null.
                self.elsewhere |= map.next_value::<&RawValue>()?.get() != "null";
            }
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor::new())
    }
}

impl Fields {
    /// Output tokens and number of answers.
    fn output(&self, dialect: Dialect) -> (Option<u64>, Option<u64>) {
        match dialect {
            Dialect::AnthropicMessages | Dialect::CohereChat => (self.max_tokens, None),
            Dialect::OpenAiChat => (self.max_completion_tokens.max(self.max_tokens), self.answers),
            Dialect::OpenAiResponses => (self.max_output_tokens, None),
            Dialect::OpenAiEmbeddings => (Some(0), None),
            Dialect::BedrockConverse => (self.inner.bedrock.0, None),
            Dialect::GeminiGenerate => {
                (self.inner.most(), self.inner.candidates.0.max(self.inner.candidates_snake.0))
            }
        }
    }
}

object! {
    #[derive(Clone, Copy)]
    struct Inner {
        gemini: Count = "maxOutputTokens",
        gemini_snake: Count = "max_output_tokens",
        candidates: Count = "candidateCount",
        candidates_snake: Count = "candidate_count",
        bedrock: Count = "maxTokens",
    }
}

impl Inner {
    fn most(self) -> Option<u64> {
        self.gemini.0.max(self.gemini_snake.0)
    }

    fn max(self, other: Self) -> Self {
        Self {
            gemini: Count(self.most().max(other.most())),
            gemini_snake: Count(None),
            candidates: Count(self.candidates.0.max(other.candidates.0)),
            candidates_snake: Count(self.candidates_snake.0.max(other.candidates_snake.0)),
            bedrock: Count(self.bedrock.0.max(other.bedrock.0)),
        }
    }
}

object! {
    struct ToolConfig {
        tools: List<Tool> = "tools",
    }
}

/// A tool the model may call.
#[derive(Debug, Default)]
struct Tool {
    /// A `type` that is not known to mean a tool the client runs itself.
    foreign_type: bool,
    has_type: bool,
    /// Describes a function in the way of a dialect without types.
    is_function: bool,
}

impl Tool {
    /// Whether the provider runs it.
    fn is_hosted(&self) -> bool {
        self.foreign_type || !self.has_type && !self.is_function
    }
}

impl<'de> Object<'de> for Tool {
    fn field<M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error> {
        /// Types that the client runs; versions follow after the name.
        const OURS: [&str; 10] = [
            "function",
            "custom",
            "bash_",
            "text_editor_",
            "computer_20",
            "computer_use_preview",
            "memory_",
            "local_shell",
            "apply_patch",
            "namespace",
        ];
        match key {
            "type" => {
                let kind = map.next_value::<Text<'_>>()?;
                let ours = |kind: &str| OURS.iter().any(|ours| kind.starts_with(ours));
                self.foreign_type |= kind.as_deref().is_some_and(|kind| !ours(kind));
                self.has_type |= kind.0.is_some();
                return Ok(());
            }
            // Anthropic, Gemini, Bedrock.
            "input_schema" | "functionDeclarations" | "function_declarations" | "toolSpec" | "cachePoint" => {
                self.is_function = true;
            }
            // Gemini names its own tools in the same object.
            _ => self.foreign_type |= is_gemini_tool(key),
        }
        map.next_value::<IgnoredAny>()?;
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Tool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObjectVisitor::new())
    }
}

/// Gemini's name for a tool that Google runs; its APIs take both ways of writing.
fn is_gemini_tool(key: &str) -> bool {
    ["google", "url", "code", "file", "computer", "enterprise", "retrieval", "mcp"]
        .iter()
        .any(|word| key.starts_with(word))
}

/// What the words of a body, names and short values alike, say about content that is not text.
#[derive(Debug, Default)]
struct Words {
    pictures: u64,
    elsewhere: bool,
}

impl Words {
    /// Looks at whatever stands between quotes, wherever it is: a word in the wrong place only makes the bound higher.
    fn of(body: &[u8]) -> Self {
        const LONGEST: usize = 48;
        let mut words = Self::default();
        for quote in memchr_iter(b'"', body) {
            // Inside a text a quote is escaped.
            if quote > 0 && body[quote - 1] == b'\\' {
                continue;
            }
            let rest = &body[quote + 1..];
            let window = &rest[..rest.len().min(LONGEST)];
            // Most quotes close a text, or open one that begins otherwise.
            if !window.first().is_some_and(|first| b"acdfiprsv\\".contains(first)) {
                continue;
            }
            let Some(end) = memchr::memchr(b'"', window) else { continue };
            words.take(&window[..end], &window[end + 1..]);
        }
        words
    }

    fn take(&mut self, word: &[u8], after: &[u8]) {
        const ELSEWHERE: [&[u8]; 18] = [
            b"audio",
            b"container_upload",
            b"document",
            b"document_url",
            b"file",
            b"fileData",
            b"file_data",
            b"file_id",
            b"file_url",
            b"input_audio",
            b"input_file",
            b"input_video",
            b"item_reference",
            b"s3Location",
            b"s3_location",
            b"video",
            b"video_url",
            b"prompt_id",
        ];
        /// Beginnings of media types: documents and films are sent in the place of pictures.
        const MEDIA: [&[u8]; 3] = [b"application/pdf", b"audio/", b"video/"];
        const PICTURES: [&[u8]; 5] = [b"image", b"image_url", b"input_image", b"inlineData", b"inline_data"];
        if has_escaped_letter(word)
            || ELSEWHERE.contains(&word)
            || MEDIA.iter().any(|media| word.starts_with(media))
        {
            self.elsewhere = true;
        } else if PICTURES.contains(&word) {
            // OpenAI writes `"type":"image_url","image_url":{…}`: the name would count it twice.
            let is_name = after.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
            self.pictures += u64::from(!(is_name && word == b"image_url"));
        }
    }
}

/// `\u0061` is an `a`: nobody writes that but to hide a word.
fn has_escaped_letter(word: &[u8]) -> bool {
    word.windows(5).any(|part| part.starts_with(b"\\u00") && (b'4'..=b'7').contains(&part[4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(dialect: Dialect, body: &str) -> Demand {
        Demand::of(dialect, "some-model", body.as_bytes()).expect("an object")
    }

    fn input(body: &str) -> Bound {
        of(Dialect::OpenAiChat, body).input
    }

    #[test]
    fn text_has_at_most_a_token_per_byte() {
        for body in [
            r#"{"messages":[{"role":"user","content":"Hello"}]}"#,
            r#"{"messages":[{"role":"user","content":"say \"image\", \"web_search\" and \"file\""}]}"#,
            r#"{"tools":[{"type":"function","function":{"name":"shell","parameters":{"type":"object"}}}]}"#,
            r#"{"tools":[{"name":"web_search","input_schema":{}},{"type":"bash_20250124","name":"bash"}]}"#,
            r#"{"tools":[{"functionDeclarations":[{"name":"f"}]}],"toolConfig":{"tools":[{"toolSpec":{}}]}}"#,
            r#"{"previous_response_id":null,"prompt":null}"#,
            r#"{"messages":[{"content":"caf\u00e9 \u003cb\u003e"}]}"#,
        ] {
            assert_eq!(input(body), Bound::Tokens(body.len() as u64 + ADDED), "{body}");
        }
    }

    #[test]
    fn pictures_are_counted_however_they_are_written() {
        for (body, pictures) in [
            (
                r#"{"content":[{"type":"image_url","image_url":{"url":"https://x"}},{"type" : "image_url"}]}"#,
                2,
            ),
            (r#"{"content":[{"type":"image","source":{"type":"base64","data":"AA"}}]}"#, 1),
            (r#"{"content":[{"image":{"format":"png","source":{"bytes":"AA"}}}]}"#, 1),
            (r#"{"parts":[{"inlineData":{"mimeType":"image/png"}},{"inline_data":{}}]}"#, 2),
            (r#"{"input":[{"type":"input_image","image_url":"https://x"}]}"#, 1),
        ] {
            let expected = body.len() as u64 + ADDED + pictures * PICTURE;
            assert_eq!(input(body), Bound::Tokens(expected), "{body}");
        }
        let body = br#"{"content":[{"type":"image_url"}]}"#;
        let mini = Demand::of(Dialect::OpenAiChat, "gpt-4o-mini-2024-07-18", body).expect("an object");
        assert_eq!(mini.input, Bound::Tokens(body.len() as u64 + ADDED + PICTURE_4O_MINI));
    }

    #[test]
    fn what_is_not_in_the_body_is_bounded_by_the_model_or_not_at_all() {
        for body in [
            r#"{"previous_response_id":"resp_1"}"#,
            r#"{"content":[{"type":"document","source":{"type":"url"}}]}"#,
            r#"{"content":[{"type":"file","file":{"file_id":"f"}}]}"#,
            r#"{"cachedContent":"cachedContents/1"}"#,
            r#"{"parts":[{"inlineData":{"mimeType":"application/pdf"}}]}"#,
            r#"{"content":[{"type":"d\u006fcument"}]}"#,
            r#"{"parts":[{"fileData":{"fileUri":"gs://x"}}]}"#,
        ] {
            assert_eq!(input(body), Bound::Context, "{body}");
        }
        for body in [
            r#"{"tools":[{"type":"web_search_20250305","name":"web_search"}]}"#,
            r#"{"tools":[{"google_search":{}}]}"#,
            r#"{"web_search_options":{}}"#,
            r#"{"tools":[{"type":"mcp","server_url":"https://x"}]}"#,
            r#"{"mcp_servers":[]}"#,
            r#"{"tools":[{"type":"\u0077eb_search"}],"tools":[]}"#,
            r#"{"tools":[{"functionDeclarations":[],"googleSearch":{}}]}"#,
            r#"{"toolConfig":{"tools":[{"systemTool":{}}]}}"#,
            r#"{"t\u006fols":[{"type":"from_the_future"}]}"#,
        ] {
            assert_eq!(input(body), Bound::Endless, "{body}");
        }
    }

    #[test]
    fn output_is_limited_by_what_the_dialect_knows_and_by_nothing_else() {
        use Dialect::*;
        for (dialect, body, output, answers) in [
            (OpenAiChat, r#"{"max_tokens":7,"n":3}"#, Some(7), 3),
            (OpenAiChat, r#"{"max_tokens":70,"max_completion_tokens":7,"n":0}"#, Some(70), 1),
            (OpenAiChat, r#"{"max_output_tokens":7}"#, None, 1),
            (OpenAiChat, r#"{"max_tokens":70,"max_tokens":7}"#, Some(70), 1),
            (OpenAiResponses, r#"{"max_output_tokens":7,"max_tokens":1,"n":9}"#, Some(7), 1),
            (AnthropicMessages, r#"{"max_tokens":7,"max_completion_tokens":1}"#, Some(7), 1),
            (
                GeminiGenerate,
                r#"{"max_tokens":1,"generationConfig":{"maxOutputTokens":7,"candidateCount":2},"generation_config":{"max_output_tokens":9}}"#,
                Some(9),
                2,
            ),
            (BedrockConverse, r#"{"inferenceConfig":{"maxTokens":7},"max_tokens":1}"#, Some(7), 1),
            (CohereChat, r#"{"max_tokens":7}"#, Some(7), 1),
            (OpenAiEmbeddings, r#"{"input":["a"]}"#, Some(0), 1),
        ] {
            let demand = of(dialect, body);
            assert_eq!((demand.output, demand.answers), (output, answers), "{dialect:?} {body}");
        }
        assert_eq!(Demand::of(OpenAiChat, "m", b"[1]"), None);
        assert_eq!(Demand::of(OpenAiChat, "m", b"{"), None);
    }
}
