//! Whose fault it is when there is no answer, whether to try again, and what to do. Never holds a secret.

use genesis_wire::error_message;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::Target;
use super::credential::Credential;
use crate::printer::Failed;
use crate::render::plain;

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    pub(crate) message: String,
    /// What to do next.
    pub(crate) hints: Vec<String>,
    pub(crate) status: Option<u16>,
    /// The gateway's own code, such as 2009.
    pub(crate) code: Option<i64>,
    pub(crate) log_id: Option<String>,
}

/// Whose fault it is, as far as a script may want to tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cause {
    /// Nothing was sent: the reference means no model.
    Reference,
    /// Nothing was sent: the configuration does not allow it.
    Setup,
    /// Nothing was sent: there is no key.
    NoCredential,
    /// The gateway did not accept the caller.
    GatewayRefused,
    /// The provider did not accept the key.
    ProviderRefused,
    /// The provider or gateway has no such model, path or gateway.
    NotFound,
    /// The provider or gateway did not take the request as it was.
    BadRequest,
    /// Too many calls, or too much spent.
    RateLimited,
    /// The provider or gateway failed.
    ProviderFailed,
    /// The answer broke off, or was none.
    Broken,
    /// No connection, or no answer in time.
    Unreachable,
    /// A fault of this program.
    Internal,
}

impl Cause {
    /// Whether another model may do better. What is wrong with the configuration or the request stays wrong.
    pub(crate) fn another_may_do(self) -> bool {
        !matches!(self, Self::Reference | Self::Setup | Self::BadRequest | Self::Internal)
    }
}

impl Failure {
    pub(crate) fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self { cause, message: message.into(), hints: Vec::new(), status: None, code: None, log_id: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// For scripts.
    pub(crate) fn json(&self) -> Value {
        json!({
            "cause": self.cause,
            "message": self.message,
            "hints": self.hints,
            "status": self.status,
            "code": self.code,
            "logId": self.log_id,
        })
    }

    /// A command's failure under one of the causes.
    pub(crate) fn of(cause: Cause, failed: Failed) -> Self {
        let (message, hints) = failed.into_parts();
        Self { hints, ..Self::new(cause, message) }
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        let failed = match failure.cause {
            Cause::Reference => Self::usage(failure.message),
            Cause::Setup => Self::config(failure.message),
            Cause::NoCredential | Cause::GatewayRefused | Cause::ProviderRefused => {
                Self::unauthorized(failure.message)
            }
            Cause::RateLimited => Self::rate_limited(failure.message),
            Cause::Unreachable => Self::unreachable(failure.message),
            Cause::NotFound | Cause::BadRequest | Cause::ProviderFailed | Cause::Broken => {
                Self::new(failure.message)
            }
            Cause::Internal => Self::internal(failure.message),
        };
        let log_id = failure.log_id.map(|log_id| format!("the gateway's log has it as {log_id}"));
        failure.hints.into_iter().chain(log_id).fold(failed, Self::hint)
    }
}

/// What an answer with an error status means.
pub(super) fn refused(target: &Target, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    let envelope = Envelope::read(body);
    let mut failure = match &envelope {
        Some(envelope) => by_gateway(target, status, envelope),
        None => by_provider(target, status, headers, body),
    };
    let wait =
        text(headers, "retry-after").filter(|seconds| seconds.bytes().all(|byte| byte.is_ascii_digit()));
    if let Some(seconds) = wait {
        failure.hints.push(format!("it asks to be left alone for {seconds} s"));
    }
    failure.status = Some(status.as_u16());
    failure.code = envelope.and_then(|envelope| envelope.code);
    failure.log_id = text(headers, "cf-aig-log-id");
    failure
}

/// A gateway's own error, in Cloudflare's shape.
struct Envelope {
    code: Option<i64>,
    message: String,
    /// What to do, as Genesis says it.
    description: Option<String>,
}

impl Envelope {
    fn read(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let first = [&body["error"][0], &body["errors"][0]].into_iter().find(|error| error.is_object());
        let code = body["internalCode"].as_i64().or_else(|| first?["code"].as_i64());
        // Cloudflare's other services, Workers AI among them, have `errors` and codes of their own.
        let of_gateway = body["error"].is_array() || code.is_some_and(|code| (2000..2100).contains(&code));
        let ours = body["name"] == "AiGatewayError" || body["success"] == Value::Bool(false) && of_gateway;
        let message = first.and_then(|error| error["message"].as_str()).or(body["message"].as_str());
        ours.then(|| Self {
            code,
            message: message.unwrap_or("no reason given").to_owned(),
            description: body["description"].as_str().map(str::to_owned),
        })
    }
}

fn by_gateway(target: &Target, status: StatusCode, envelope: &Envelope) -> Failure {
    let said = target.masked(&envelope.message);
    let code = envelope.code.map(|code| format!(", code {code}")).unwrap_or_default();
    let status_code = status.as_u16();
    let about = format!("HTTP {status_code}{code}: {said}");
    let failure = match (status_code, envelope.code) {
        (401 | 403, _) => {
            let failure =
                Failure::new(Cause::GatewayRefused, format!("the gateway refused the caller ({about})"));
            gateway_token_hint(target, failure)
        }
        (_, Some(2001)) => Failure::new(Cause::NotFound, format!("there is no such gateway ({about})"))
            .hint(format!("check account and gateway id in {}", target.place.field("baseUrl"))),
        (404, _) | (_, Some(2008)) => {
            Failure::new(Cause::NotFound, format!("the gateway has nothing at this address ({about})"))
                .hint(format!("check {}", target.place.field("baseUrl")))
        }
        (_, Some(2019)) => Failure::new(
            Cause::BadRequest,
            format!("the gateway does not know whose model this is ({about})"),
        )
        .hint(format!(
            "its unified API wants the maker before the name, as in `{}/anthropic/claude-sonnet-4-6`",
            target.provider.slug
        )),
        (402, _) | (_, Some(2041)) => {
            Failure::new(Cause::RateLimited, format!("the gateway will not spend more ({about})"))
                .hint("raise the spend limit, or add credits, where the gateway is managed")
        }
        (429, _) => {
            Failure::new(Cause::RateLimited, format!("the gateway's rate limit is used up ({about})"))
                .hint("try again later, or raise the gateway's rate_limiting_limit")
        }
        (500.., _) => Failure::new(Cause::ProviderFailed, format!("the gateway failed ({about})"))
            .hint("the call may be tried again"),
        _ => Failure::new(Cause::BadRequest, format!("the gateway did not take the request ({about})")),
    };
    match &envelope.description {
        Some(description) => failure.hint(format!("the gateway says: {}", target.masked(description))),
        None => failure,
    }
}

/// A gateway asks for its own token; a provider's key does not help.
fn gateway_token_hint(target: &Target, failure: Failure) -> Failure {
    let path = target.place.header("cf-aig-authorization");
    let failure = if target.sends_gateway_token() {
        failure.hint(format!("the token in {path} is wrong, expired, or not for this gateway"))
    } else {
        failure.hint(format!("it asks for a token: set {path} to \"Bearer ${{CF_AIG_TOKEN}}\""))
    };
    failure.hint("this is about the gateway's token; the provider's key was not looked at")
}

fn by_provider(target: &Target, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    let name = &target.provider.name;
    let said = error_message(body).map(|said| format!(": {}", target.masked(&said))).unwrap_or_default();
    let about = format!("HTTP {}{said}", status.as_u16());
    let new = |cause, what: &str| Failure::new(cause, format!("{name} {what} ({about})"));
    match status.as_u16() {
        300..400 => new(Cause::Setup, "answers with a redirect, which is not followed")
            .hint(format!("put the final address into {}", target.place.field("baseUrl"))),
        401 | 403 => credential_hint(target, headers, new(Cause::ProviderRefused, "refused the call")),
        402 => new(Cause::RateLimited, "wants to be paid first")
            .hint("look at the account's balance where the key was made"),
        404 => new(Cause::NotFound, "has no such model or path")
            .hint(format!("`genesis models list --provider {}` lists models", target.provider.slug))
            .hint(format!("if the model exists, check {}", target.place.field("baseUrl"))),
        429 => new(Cause::RateLimited, "is asked too often, or its quota is used up")
            .hint("try again later, or add a fallback: `genesis models fallbacks add <provider/model>`"),
        400..500 => new(Cause::BadRequest, "did not take the request"),
        _ => new(Cause::ProviderFailed, "failed").hint("the call may be tried again"),
    }
}

fn credential_hint(target: &Target, headers: &HeaderMap, failure: Failure) -> Failure {
    let failure = match &target.credential {
        Credential::None => {
            failure.hint(format!("no key was sent; set one: {}", target.how_to_set_a_key()))
        }
        Credential::Gateway => failure.hint(
            "no key was sent (providerAuth is \"stored\"): the key the gateway keeps for this provider is missing or wrong",
        ),
        found => failure.hint(format!("the key came from {found}; replace it there if it is wrong")),
    };
    if headers.contains_key("cf-aig-log-id") || headers.contains_key("cf-aig-request-id") {
        return failure.hint("the gateway let the call through; it is the provider behind it that refused");
    }
    failure
}

/// A header's text, harmless for a terminal.
pub(super) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(plain).filter(|text| !text.is_empty())
}
