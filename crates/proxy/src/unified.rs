//! The unified API: one endpoint, the model in the body as `provider/model`, any provider behind it.
//!
//! Where client and provider speak the same dialect only the model's name is replaced in the bytes. Where they do not,
//! request and answer are translated, and what the provider's dialect cannot carry is named in `cf-aig-dropped`.

use bytes::Bytes;
use genesis_config::Provider;
use genesis_wire::Dialect;
use genesis_wire::peek::{Peek, peek, replace_model, splice_model};
use genesis_wire::translate::{self, Context, Target as Facts};
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

use crate::admit::Caller;
use crate::cache;
use crate::credential;
use crate::exchange::{Call, Delivery, Exchange, now_ms};
use crate::facts::facts;
use crate::failure::{Code, Failure};
use crate::place::Place;
use crate::plan::{self, malformed};
use crate::planning::Planning;
use crate::resolve::Asks;
use crate::retry::Policy;
use crate::run;
use crate::snapshot::Snapshot;
use crate::upstream::Outgoing;

/// A request that names its model in the body.
pub(crate) struct Asked<'a> {
    /// The client's headers, or the step's.
    pub(crate) client: &'a HeaderMap,
    pub(crate) body: &'a Bytes,
    pub(crate) asks: Asks<'a>,
    /// Something else takes the call if this fails.
    pub(crate) has_successor: bool,
    /// It is a step of a universal request.
    pub(crate) in_steps: bool,
}

impl<'a> Exchange<'a> {
    /// Reads the model in the body, and calls it, or the route it names.
    pub(crate) async fn by_model(&mut self, caller: &Caller, asked: &Asked<'_>) -> Result<Delivery, Failure> {
        let peeked =
            peek(asked.body).map_err(|error| malformed(format!("the body is not a JSON object: {error}")))?;
        let (slug, model) = named_model(self.snapshot, &peeked)?;
        if slug == "dynamic" {
            return Box::pin(self.route(caller, asked, &peeked, &model)).await;
        }
        let mut call = self.planning().call_of_model(caller, asked, &peeked, &slug, &model)?;
        call.policy.has_successor = asked.has_successor;
        cache::answer(self, caller, call).await
    }
}

impl<'a> Planning<'_, 'a> {
    /// A call of one provider's model, in the dialect they share, else translated.
    pub(crate) fn call_of_model(
        &mut self,
        caller: &Caller,
        asked: &Asked<'_>,
        peeked: &Peek<'_>,
        slug: &str,
        named: &str,
    ) -> Result<Call<'a>, Failure> {
        let (snapshot, &Asked { client, body, asks, .. }) = (self.snapshot, asked);
        self.notes.asked_for(named);
        let (provider, setup) = self.provider(slug, called(asks), caller)?;
        let dialect = match asks {
            Asks::Answer(dialect) => dialect,
            Asks::TokenCount => Dialect::AnthropicMessages,
            Asks::Run(_) | Asks::RunPreview => run::dialect(provider, named, body)?,
        };
        let place = Place::read(provider, named)?;
        let credential = match credential::own_key(provider, client) {
            Some(own) => own,
            None => credential::choose(&self.asking(caller), provider, setup, &mut HeaderMap::new(), false)?,
        };
        let stream = peeked.stream.unwrap_or(false);
        let spoken = spoken_by(provider, place.model, dialect)?;
        let mut path = place.path(provider, spoken, stream, &credential)?;
        if asks == Asks::TokenCount {
            path = token_count(provider, spoken, &path)?;
        }
        let request = self.request(body, peeked, provider, place.model, dialect, spoken)?;
        self.notes.dropped(&request.dropped);
        let query = (spoken == Dialect::GeminiGenerate && stream).then_some("alt=sse");
        let target = plan::target(snapshot, provider, setup, self.account, &path, query, &HeaderMap::new())?;
        self.notes.planned(&target, Some(place.model), stream);
        self.notes.authorised(&credential, client, target.simulated);
        Ok(Call {
            setup,
            target,
            method: Method::POST,
            headers: upstream_headers(client, spoken, stream, request.context.is_none()),
            credential,
            body: Outgoing::Whole(request.body),
            place: setup.is_in_pool().then(|| (path, query.map(str::to_owned))),
            policy: Policy::of(self.options, self.gateway),
            translation: request.context,
            dropped: request.dropped,
            enveloped: matches!(asks, Asks::Run(_)),
        })
    }

    /// The request in the provider's dialect.
    fn request(
        &self,
        body: &Bytes,
        peeked: &Peek<'_>,
        provider: &Provider,
        model: &str,
        dialect: Dialect,
        spoken: Dialect,
    ) -> Result<Spoken, Failure> {
        let model_in_path = Place::model_in_path(provider, spoken);
        if dialect == spoken {
            let span = peeked.model_span.clone().unwrap_or_default();
            let body = if model_in_path {
                let version = format!(r#""anthropic_version":"{}""#, translate::VERTEX_VERSION);
                replace_model(body, span, &version)
                    .ok_or_else(|| malformed("write the name of `model` without escapes"))?
            } else {
                splice_model(body, span, model)
            };
            return Ok(Spoken { body: body.into(), context: None, dropped: Vec::new() });
        }
        let request_id = self.id.simple().to_string();
        let facts = Facts {
            request_id: &request_id,
            now: u64::try_from(now_ms() / 1000).unwrap_or_default(),
            stream: peeked.stream.unwrap_or(false),
            model_in_path,
            ..facts(provider, model)
        };
        let outgoing =
            translate::request(dialect, spoken, body, &facts).map_err(|bad| malformed(bad.to_string()))?;
        if self.options.strict.unwrap_or(self.gateway.strict_translation) && !outgoing.dropped.is_empty() {
            let names = outgoing.dropped.join(", ");
            return Err(malformed(format!(
                "{} cannot carry {names}, and this call is strict (header cf-aig-strict, or strict_translation of the gateway)",
                spoken.name()
            )));
        }
        Ok(Spoken { body: outgoing.body.into(), context: Some(outgoing.context), dropped: outgoing.dropped })
    }
}

/// Provider and model of `provider/model`, cut at the first slash.
pub(crate) fn named_model(snapshot: &Snapshot, peeked: &Peek<'_>) -> Result<(String, String), Failure> {
    let named = peeked.model.as_deref().unwrap_or_default();
    let named = match (named, &snapshot.default_model) {
        ("genesis/default", Some(model)) => model,
        ("genesis/default", None) => {
            return Err(malformed(
                "no default model is set; set agents.defaults.model.primary in genesis.json",
            ));
        }
        _ => named,
    };
    match named.split_once('/') {
        Some((provider, model)) if !provider.is_empty() && !model.is_empty() => {
            Ok((provider.to_ascii_lowercase(), model.to_owned()))
        }
        _ => Err(Failure::refused(
            StatusCode::BAD_REQUEST,
            Code::BadFormat,
            "Chat completion bad format",
            "`model` must be `provider/model`, such as `anthropic/claude-sonnet-4-5`",
        )),
    }
}

/// The path as the log shows it, whichever surface it came through.
fn called(asks: Asks<'_>) -> &'static str {
    match asks {
        Asks::Answer(Dialect::OpenAiChat) => "chat/completions",
        Asks::Answer(Dialect::OpenAiEmbeddings) => "embeddings",
        Asks::Answer(Dialect::OpenAiResponses) => "responses",
        Asks::Answer(Dialect::AnthropicMessages) => "messages",
        Asks::Answer(other) => other.name(),
        Asks::TokenCount => "messages/count_tokens",
        Asks::Run(_) | Asks::RunPreview => "run",
    }
}

/// Where tokens are counted. Only Anthropic's own API counts what it would be sent: elsewhere a count would be of another
/// request, or a guess.
fn token_count(provider: &Provider, spoken: Dialect, path: &str) -> Result<String, Failure> {
    if spoken == Dialect::AnthropicMessages && path.ends_with("/messages") {
        return Ok(format!("{path}/count_tokens"));
    }
    Err(Failure::refused(
        StatusCode::NOT_IMPLEMENTED,
        Code::NotOffered,
        "Tokens cannot be counted for this model",
        format!(
            "{} does not count the tokens of Anthropic requests; ask for a model of provider anthropic",
            provider.slug
        ),
    ))
}

/// A request as the provider is to hear it.
struct Spoken {
    body: Bytes,
    /// Set if the answer has to be translated back.
    context: Option<Context>,
    dropped: Vec<String>,
}

/// The dialect to speak with a provider: the client's own if it can be, else the provider's preferred one.
fn spoken_by(provider: &Provider, model: &str, dialect: Dialect) -> Result<Dialect, Failure> {
    if provider.dialects.contains(&dialect) {
        return Ok(dialect);
    }
    let conversation = |spoken: &&Dialect| **spoken != Dialect::OpenAiEmbeddings;
    // A provider of several vendors' models speaks each vendor's dialect.
    let vendor = if model.contains("claude") { Dialect::AnthropicMessages } else { Dialect::GeminiGenerate };
    let spoken = match dialect {
        Dialect::OpenAiEmbeddings => None,
        _ if provider.dialects.contains(&vendor) => Some(vendor),
        _ => provider.dialects.iter().find(conversation).copied(),
    };
    spoken
        .ok_or_else(|| malformed(format!("{} offers nothing for {} requests", provider.slug, dialect.name())))
}

/// What the provider is sent beside the body. On a translated call the client's own headers speak of another dialect,
/// so only those that mean the same everywhere go along.
fn upstream_headers(client: &HeaderMap, spoken: Dialect, stream: bool, same_dialect: bool) -> HeaderMap {
    static ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");
    let mut headers = HeaderMap::new();
    for (name, value) in client {
        let everywhere = ["user-agent", "traceparent", "tracestate", "baggage"].contains(&name.as_str());
        if everywhere || same_dialect && !crate::options::is_secret(name.as_str()) {
            headers.append(name, value.clone());
        }
    }
    if !same_dialect {
        let accept = if stream { "text/event-stream" } else { "application/json" };
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if spoken == Dialect::AnthropicMessages && !headers.contains_key(&ANTHROPIC_VERSION) {
        headers.insert(&ANTHROPIC_VERSION, HeaderValue::from_static("2023-06-01"));
    }
    headers
}
