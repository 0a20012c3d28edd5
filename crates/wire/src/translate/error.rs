//! Refusals: read from any dialect, written in any other, with message, type and code kept.

use std::borrow::Cow;

use super::json::{self, Fields, Json, Path};
use crate::Dialect;

/// A provider's (or our own) refusal, in no dialect.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Failure {
    /// HTTP status, or what it would have been in the middle of a stream.
    pub(crate) status: u16,
    pub(crate) message: String,
    /// The provider's word for the kind of failure: `overloaded_error`, `RESOURCE_EXHAUSTED`.
    pub(crate) kind: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) param: Option<String>,
    /// The provider's id of the request, where its errors carry one.
    pub(crate) request_id: Option<String>,
}

impl Failure {
    /// A failure of the provider that it did not report itself.
    pub(crate) fn upstream(message: impl Into<String>) -> Self {
        Self { status: 502, message: message.into(), ..Self::default() }
    }

    /// Reads whatever a provider sends with an error status; something readable comes out of any bytes.
    pub(crate) fn read(dialect: Dialect, status: u16, body: &[u8]) -> Self {
        let mut failure = Self { status, ..Self::default() };
        match json::parse(body, &["details", "metadata"]) {
            Ok(Json::Array(mut items)) if !items.is_empty() => failure.read_json(items.swap_remove(0)),
            Ok(json) => failure.read_json(json),
            Err(_) => failure.message = String::from_utf8_lossy(body).trim().chars().take(2_000).collect(),
        }
        if failure.message.is_empty() {
            failure.message =
                format!("the {} provider gave no message with its error (status {status})", dialect.name());
        }
        failure
    }

    /// Reads an error object out of a stream.
    pub(crate) fn read_event(json: Json<'_>) -> Self {
        let mut failure = Self::default();
        failure.read_json(json);
        if failure.message.is_empty() {
            failure.message = "the provider reported an error without a message".to_owned();
        }
        failure.status = failure.status_of_kind();
        failure
    }

    /// Reads an exception out of an AWS event stream, which names its kind in a header.
    pub(crate) fn read_exception(kind: &str, body: &[u8]) -> Self {
        let mut failure = Self::read(Dialect::BedrockConverse, 0, body);
        failure.kind = Some(kind.to_owned());
        failure.status = failure.status_of_kind();
        failure
    }

    fn read_json(&mut self, json: Json<'_>) {
        if let Json::String(message) = json {
            self.message = message.into_owned();
            return;
        }
        let Ok(mut fields) = Fields::new(json, Path::ROOT) else {
            return;
        };
        if let Some(Json::String(id)) = fields.take("request_id") {
            self.request_id = Some(id.into_owned());
        }
        match fields.take("error").or_else(|| fields.take("response").filter(|_| fields.has("type"))) {
            Some(inner @ (Json::Object(_) | Json::String(_))) => return self.read_json(inner),
            Some(Json::Array(mut errors)) if !errors.is_empty() => {
                return self.read_json(errors.swap_remove(0));
            }
            _ => {}
        }
        if let Some(Json::Array(mut errors)) = fields.take("errors")
            && !errors.is_empty()
        {
            return self.read_json(errors.swap_remove(0));
        }
        let mut word = |keys: &[&str]| {
            fields.take_any(keys).map(|value| match value {
                Json::String(text) => text.into_owned(),
                other => other.text().into_owned(),
            })
        };
        self.message =
            word(&["message", "Message", "detail", "msg", "error_description"]).unwrap_or_default();
        self.kind = word(&["status", "type", "__type"]).filter(|kind| kind != "error");
        self.code = word(&["code"]);
        self.param = word(&["param"]);
        // Gemini's `code` is the HTTP status again.
        if let Some(status) = self.code.as_ref().and_then(|code| code.parse::<u16>().ok())
            && (400..600).contains(&status)
        {
            self.code = None;
            if self.status == 0 {
                self.status = status;
            }
        }
    }

    /// Appends the refusal as a complete body of `dialect`.
    pub(crate) fn write(&self, dialect: Dialect, out: &mut Vec<u8>) {
        match dialect {
            Dialect::AnthropicMessages => json::object(out, |body| {
                body.string("type", "error");
                body.object("error", |error| {
                    error.string("type", self.anthropic_kind());
                    error.string("message", &self.message);
                    let kind = self.kind.as_deref().filter(|kind| *kind != self.anthropic_kind());
                    error.string_if("provider_type", kind);
                    error.string_if("code", self.code.as_deref());
                    error.string_if("param", self.param.as_deref());
                });
                body.string_if("request_id", self.request_id.as_deref());
            }),
            Dialect::GeminiGenerate => json::object(out, |body| {
                body.object("error", |error| {
                    error.integer("code", u64::from(self.status));
                    error.string("message", &self.message);
                    error.string("status", self.google_status());
                    if self.kind.is_some() || self.code.is_some() {
                        error.array("details", |details| {
                            details.object(|detail| {
                                detail.string("@type", "type.googleapis.com/google.rpc.ErrorInfo");
                                let reason =
                                    self.code.as_deref().or(self.kind.as_deref()).unwrap_or_default();
                                detail.string("reason", reason);
                            });
                        });
                    }
                });
            }),
            Dialect::BedrockConverse | Dialect::CohereChat => json::object(out, |body| {
                body.string("message", &self.message);
            }),
            _ => json::object(out, |body| {
                body.object("error", |error| self.write_openai(error));
            }),
        }
    }

    pub(crate) fn write_openai(&self, error: &mut json::Object<'_>) {
        error.string("message", &self.message);
        error.string("type", &self.openai_kind());
        match &self.param {
            Some(param) => error.string("param", param),
            None => error.null("param"),
        }
        match &self.code {
            Some(code) => error.string("code", code),
            None => match self.kind.as_deref().filter(|kind| !is_openai_word(kind)) {
                Some(kind) => error.string("code", kind),
                None => error.null("code"),
            },
        }
        error.string_if("request_id", self.request_id.as_deref());
    }

    /// The code of a failed response; OpenAI's SDKs know a closed list of them.
    pub(crate) fn openai_code(&self) -> &str {
        const KNOWN: [&str; 6] = [
            "server_error",
            "rate_limit_exceeded",
            "invalid_prompt",
            "invalid_image",
            "bio_policy",
            "image_content_policy_violation",
        ];
        match (self.code.as_deref(), self.status) {
            (Some(code), _) if KNOWN.contains(&code) => code,
            (_, 429) => "rate_limit_exceeded",
            (_, 400..500) => "invalid_prompt",
            _ => "server_error",
        }
    }

    /// The provider's own word for the failure, however it put it.
    pub(crate) fn own_word(&self) -> Option<&str> {
        self.code.as_deref().or(self.kind.as_deref())
    }

    fn openai_kind(&self) -> Cow<'_, str> {
        if let Some(kind) = self.kind.as_deref().filter(|kind| is_openai_word(kind)) {
            return Cow::Borrowed(kind);
        }
        Cow::Borrowed(match self.status {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            429 => "rate_limit_error",
            400..500 => "invalid_request_error",
            _ => "server_error",
        })
    }

    fn anthropic_kind(&self) -> &'static str {
        match self.status {
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            504 => "timeout_error",
            503 | 529 => "overloaded_error",
            400..500 => "invalid_request_error",
            _ => "api_error",
        }
    }

    fn google_status(&self) -> &'static str {
        match self.status {
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            409 => "ABORTED",
            429 => "RESOURCE_EXHAUSTED",
            499 => "CANCELLED",
            400..=499 => "INVALID_ARGUMENT",
            501 => "UNIMPLEMENTED",
            503 | 529 => "UNAVAILABLE",
            504 => "DEADLINE_EXCEEDED",
            _ => "INTERNAL",
        }
    }

    /// The status a streamed error would have had as an answer.
    fn status_of_kind(&self) -> u16 {
        if self.status != 0 {
            return self.status;
        }
        let word = self.code.as_deref().or(self.kind.as_deref()).unwrap_or_default();
        match word {
            "invalid_request_error" | "INVALID_ARGUMENT" | "invalid_prompt" | "validationException" => 400,
            "authentication_error" | "UNAUTHENTICATED" => 401,
            "billing_error" => 402,
            "permission_error" | "PERMISSION_DENIED" => 403,
            "not_found_error" | "NOT_FOUND" => 404,
            "request_too_large" => 413,
            "rate_limit_error" | "rate_limit_exceeded" | "RESOURCE_EXHAUSTED" | "throttlingException" => 429,
            "timeout_error" | "DEADLINE_EXCEEDED" => 504,
            "overloaded_error" => 529,
            "UNAVAILABLE" | "serviceUnavailableException" => 503,
            _ => 500,
        }
    }
}

/// Whether OpenAI's clients know words like this one: `rate_limit_error`, `insufficient_quota`; unlike Google's
/// `RESOURCE_EXHAUSTED` and Amazon's `ThrottlingException`.
fn is_openai_word(kind: &str) -> bool {
    kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}
