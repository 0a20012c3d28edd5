//! The models that can be called on the unified API, as OpenAI lists them.

use genesis_config::{KnownModel, Provider};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;

use crate::body::Body;
use crate::failure::{Code, Failure};
use crate::snapshot::Snapshot;

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

#[derive(Serialize)]
struct Model<'a> {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: &'a str,
    /// From here on ours: what is known of the model, each left out where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    context_window: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    input_modalities: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    output_modalities: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    capabilities: Vec<&'static str>,
}

impl<'a> Model<'a> {
    fn new(provider: &'a Provider, id: String, known: &KnownModel<'_>) -> Self {
        Self {
            id,
            object: "model",
            created: 0,
            owned_by: &provider.slug,
            context_window: known.context_window(),
            max_output_tokens: known.max_output(),
            input_modalities: known.input().into_iter().map(str::to_owned).collect(),
            output_modalities: known.output(),
            capabilities: known.capabilities(),
        }
    }
}

/// All models of providers that can be called, or the one of this id.
pub(crate) fn answer(snapshot: &Snapshot, id: Option<&str>) -> Result<Response<Body>, Failure> {
    let Some(id) = id else {
        return Ok(json(&List { object: "list", data: callable(snapshot).collect() }));
    };
    let id = id.replace("%2F", "/").replace("%2f", "/");
    let found = one(snapshot, &id).ok_or_else(|| {
        Failure::refused(
            StatusCode::NOT_FOUND,
            Code::NotFound,
            "Model not found",
            "GET …/models lists what is known; a model that is not listed may be callable all the same",
        )
    })?;
    Ok(json(&found))
}

/// Models known by price, by ability or from the configuration, of providers that have a key or need none.
fn callable(snapshot: &Snapshot) -> impl Iterator<Item = Model<'_>> {
    snapshot.callable_providers().flat_map(|provider| {
        let mut names = provider.model_ids();
        names.sort_unstable();
        names.into_iter().map(|name| {
            Model::new(provider, format!("{}/{name}", provider.slug), &provider.known_model(name))
        })
    })
}

/// The model of this id, however its name is written: dated, dotted, with a region. It is told by the id asked for.
fn one<'s>(snapshot: &'s Snapshot, id: &str) -> Option<Model<'s>> {
    let (slug, name) = id.split_once('/')?;
    let (named, _) = snapshot.provider(slug)?;
    let provider = snapshot.callable_providers().find(|provider| provider.slug == named.slug)?;
    let known = provider.known_model(name);
    let listed = known.is_known() || provider.model_ids().contains(&name);
    listed.then(|| Model::new(provider, format!("{}/{name}", provider.slug), &known))
}

fn json(value: &impl Serialize) -> Response<Body> {
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Body::full(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
