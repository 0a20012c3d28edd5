//! The models that can be called on the unified API, as OpenAI lists them.

use genesis_config::PriceTable;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;

use crate::body::Body;
use crate::failure::{Code, Failure};
use crate::reply;
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
}

/// All models of providers that can be called, or the one of this id.
pub(crate) fn answer(snapshot: &Snapshot, id: Option<&str>) -> Response<Body> {
    let Some(id) = id else {
        return json(&List { object: "list", data: callable(snapshot).collect() });
    };
    let id = id.replace("%2F", "/").replace("%2f", "/");
    match callable(snapshot).find(|model| model.id == id) {
        Some(model) => json(&model),
        None => reply::failure(&Failure::refused(
            StatusCode::NOT_FOUND,
            Code::NotFound,
            "Model not found",
            "GET …/models lists what is known; a model that is not listed may be callable all the same",
        )),
    }
}

/// Models known by price or from the configuration, of providers that have a key or need none.
fn callable(snapshot: &Snapshot) -> impl Iterator<Item = Model<'_>> {
    snapshot.callable_providers().flat_map(|provider| {
        let priced = PriceTable::in_force().models(&provider.price_provider);
        let described = provider.models.iter().map(|entry| entry.id.as_str());
        let mut names: Vec<_> = described.chain(priced).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(|name| Model {
            id: format!("{}/{name}", provider.slug),
            object: "model",
            created: 0,
            owned_by: &provider.slug,
        })
    })
}

fn json(value: &impl Serialize) -> Response<Body> {
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Body::full(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
