//! Requests of nearly the same meaning: everything the same to the letter but the wording of the last message, and that
//! near enough by the cosine of its embedding.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use genesis_store::CacheKey;
use genesis_wire::Dialect;
use http::HeaderMap;
use http::Method;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admit::Caller;
use crate::credential;
use crate::exchange::{Call, Exchange};
use crate::options::Options;
use crate::plan;
use crate::retry::Policy;
use crate::upstream::Outgoing;

/// Messages remembered per scope; beyond it the oldest goes.
const PER_SCOPE: usize = 256;
/// Numbers remembered in all; beyond it the oldest scope goes. 32 MiB.
const NUMBERS: usize = 8 * 1024 * 1024;
/// Longest embedding answer that is read.
const ANSWER_LIMIT: usize = 4 * 1024 * 1024;

/// What was asked, as vectors of length 1.
#[derive(Default)]
pub(super) struct Meanings(Mutex<Scopes>);

#[derive(Default)]
struct Scopes {
    rings: HashMap<CacheKey, Arc<Mutex<Ring>>>,
    /// The oldest first.
    order: VecDeque<CacheKey>,
    numbers: usize,
}

type Ring = VecDeque<(Vec<f32>, CacheKey)>;

impl Meanings {
    /// The nearest message of a scope that is near enough, and how near it is.
    pub(super) fn nearest(
        &self,
        scope: &CacheKey,
        vector: &[f32],
        threshold: f64,
    ) -> Option<(CacheKey, f64)> {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner).rings.get(scope).cloned()?;
        let ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
        let near = ring.iter().filter(|(other, _)| other.len() == vector.len());
        let near = near.map(|(other, key)| (*key, cosine(other, vector)));
        near.filter(|(_, near)| *near >= threshold).max_by(|(_, a), (_, b)| a.total_cmp(b))
    }

    pub(super) fn add(&self, scope: CacheKey, vector: Vec<f32>, key: CacheKey) {
        let mut scopes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        scopes.numbers += vector.len();
        let ring = match scopes.rings.get(&scope) {
            Some(ring) => Arc::clone(ring),
            None => {
                scopes.order.push_back(scope);
                Arc::clone(scopes.rings.entry(scope).or_default())
            }
        };
        let mut ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.retain(|(old, known)| {
            let keep = *known != key;
            scopes.numbers -= if keep { 0 } else { old.len() };
            keep
        });
        ring.push_back((vector, key));
        if ring.len() > PER_SCOPE {
            scopes.numbers -= ring.pop_front().map_or(0, |(oldest, _)| oldest.len());
        }
        drop(ring);
        while scopes.numbers > NUMBERS
            && let Some(oldest) = scopes.order.pop_front()
            && let Some(ring) = scopes.rings.remove(&oldest)
        {
            let ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
            scopes.numbers -= ring.iter().map(|(vector, _)| vector.len()).sum::<usize>();
        }
    }

    pub(super) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Scopes::default();
    }
}

/// Of vectors of length 1.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// `None` if it points nowhere.
fn normalised(mut vector: Vec<f32>) -> Option<Vec<f32>> {
    let length = cosine(&vector, &vector).sqrt();
    if !length.is_finite() || length <= 0.0 {
        return None;
    }
    for number in &mut vector {
        *number = (f64::from(*number) / length) as f32;
    }
    Some(vector)
}

/// A request with its last message taken out.
#[derive(Debug, PartialEq)]
pub(super) struct Question {
    /// What the user said last.
    pub(super) text: String,
    /// All the rest: model, system prompt, tools, earlier turns, parameters.
    pub(super) rest: String,
}

impl Question {
    /// `None` if the last message is not the user's, or not plain text.
    pub(super) fn of(dialect: Dialect, body: &[u8]) -> Option<Self> {
        let mut request: Value = serde_json::from_slice(body).ok()?;
        let fields = request.as_object_mut()?;
        fields.remove("stream");
        fields.remove("stream_options");
        let said = match dialect {
            Dialect::OpenAiChat | Dialect::AnthropicMessages => last_said(fields.get_mut("messages")?)?,
            Dialect::OpenAiResponses => match fields.get_mut("input")? {
                text @ Value::String(_) => text,
                input => last_said(input)?,
            },
            _ => return None,
        };
        let text = plain(&said.take())?;
        Some(Self { text, rest: request.to_string() })
    }
}

fn last_said(messages: &mut Value) -> Option<&mut Value> {
    let last = messages.as_array_mut()?.last_mut()?.as_object_mut()?;
    if last.get("role")? != "user" {
        return None;
    }
    last.get_mut("content")
}

fn plain(content: &Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => match parts.as_slice() {
            [Value::Object(part)] if part.len() == 2 => {
                let kind = part.get("type")?.as_str()?;
                matches!(kind, "text" | "input_text").then(|| Some(part.get("text")?.as_str()?.to_owned()))?
            }
            _ => None,
        },
        _ => None,
    }
}

#[derive(Deserialize)]
struct Embeddings {
    data: Vec<Embedding>,
}

#[derive(Deserialize)]
struct Embedding {
    embedding: Vec<f32>,
}

/// The embedding of `text`, of length 1. A call of its own with a record of its own in the log: it costs what it costs.
/// `None` if it fails, which the log says.
pub(super) async fn embed(
    exchange: &Exchange<'_>,
    caller: &Caller,
    model: &str,
    text: &str,
) -> Option<Vec<f32>> {
    let (slug, name) = model.split_once('/')?;
    let body = Bytes::from(json!({ "model": name, "input": text, "encoding_format": "float" }).to_string());
    let receipt = exchange.receipt.beside("embeddings", &body);
    let mut own = Exchange {
        worker: exchange.worker,
        snapshot: exchange.snapshot,
        gateway: Arc::clone(&exchange.gateway),
        address: exchange.address,
        options: Options::default(),
        receipt,
        caller: None,
        chosen: None,
        gates: Vec::new(),
        shut: None,
    };
    let called = async {
        let call = embedding_call(&mut own, caller, slug, name, body)?;
        own.send(call).await
    };
    let answer = match called.await {
        Ok(delivery) => delivery.answer,
        Err(failure) => {
            own.receipt.failed(&failure);
            return None;
        }
    };
    let status = answer.status;
    own.receipt.answered(status, &answer.headers);
    let answer = match answer.body.collect(ANSWER_LIMIT, exchange.snapshot.patience.idle).await {
        Ok(answer) => Bytes::from(answer),
        Err(error) => {
            own.receipt.broken(&error.to_string());
            return None;
        }
    };
    own.receipt.response_piece(&answer);
    own.receipt.complete();
    let embeddings: Embeddings = serde_json::from_slice(&answer).ok().filter(|_| status.is_success())?;
    normalised(embeddings.data.into_iter().next()?.embedding)
}

fn embedding_call<'a>(
    exchange: &mut Exchange<'a>,
    caller: &Caller,
    slug: &str,
    model: &str,
    body: Bytes,
) -> Result<Call<'a>, crate::failure::Failure> {
    let (provider, setup) = exchange.planning().provider(slug, "embeddings", caller)?;
    let path = provider.endpoint(Dialect::OpenAiEmbeddings, false, &[("model", model)]);
    let path = path.ok_or_else(|| plan::malformed(format!("{slug} has no endpoint for embeddings")))?;
    let none = HeaderMap::new();
    let target = plan::target(exchange.snapshot, provider, setup, exchange.account(), &path, None, &none)?;
    let credential = credential::choose(
        &exchange.planning().asking(caller),
        provider,
        setup,
        &mut HeaderMap::new(),
        false,
    )?;
    exchange.receipt.planned(&target, Some(model), false);
    exchange.receipt.authorised(&credential, &none, target.simulated);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Ok(Call {
        setup,
        target,
        method: Method::POST,
        headers,
        credential,
        body: Outgoing::Whole(body),
        place: None,
        policy: Policy::of(&exchange.options, &exchange.gateway),
        translation: None,
        dropped: Vec::new(),
        enveloped: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_wording_of_the_last_message_is_set_apart() {
        let of = |body: Value| Question::of(Dialect::OpenAiChat, body.to_string().as_bytes());
        let said = |text: &str| json!({ "model": "m", "messages": [{ "role": "system", "content": "s" }, { "role": "user", "content": text }] });
        let (one, two) = (of(said("hi")).expect("plain"), of(said("hello")).expect("plain"));
        assert_eq!((one.text.as_str(), one.rest == two.rest), ("hi", true));
        let mut streamed = said("hi");
        streamed["stream"] = true.into();
        assert_eq!(of(streamed).expect("plain").rest, one.rest);
        for (place, other) in [
            ("/messages/0/content", json!("other system prompt")),
            ("/model", json!("other")),
            ("/messages/0/role", json!("user")),
        ] {
            let mut body = said("hi");
            *body.pointer_mut(place).expect("there") = other;
            assert_ne!(of(body).expect("plain").rest, one.rest, "{place}");
        }
        let mut tools = said("hi");
        tools["tools"] = json!([{ "type": "function" }]);
        assert_ne!(of(tools).expect("plain").rest, one.rest);
        let image = json!([{ "type": "text", "text": "x" }, { "type": "image_url" }]);
        for messages in [
            json!([]),
            json!([{ "role": "assistant", "content": "x" }]),
            json!([{ "role": "user", "content": image }]),
        ] {
            assert_eq!(of(json!({ "messages": messages })), None, "{messages}");
        }
        let input = Question::of(Dialect::OpenAiResponses, br#"{"input":"x"}"#).expect("plain");
        assert_eq!(input.text, "x");
        assert_eq!(Question::of(Dialect::OpenAiEmbeddings, br#"{"input":"x"}"#), None);
    }

    #[test]
    fn the_nearest_is_found_within_its_scope_only() {
        let meanings = Meanings::default();
        let (scope, other) = ([1; 32], [2; 32]);
        let vector = |x: f32, y: f32| normalised(vec![x, y]).expect("somewhere");
        meanings.add(scope, vector(1.0, 0.0), [7; 32]);
        meanings.add(scope, vector(1.0, 0.2), [8; 32]);
        let (key, near) = meanings.nearest(&scope, &vector(1.0, 0.21), 0.9).expect("near");
        assert!(key == [8; 32] && near > 0.99);
        assert_eq!(meanings.nearest(&scope, &vector(0.0, 1.0), 0.9), None);
        assert_eq!(meanings.nearest(&other, &vector(1.0, 0.0), 0.1), None);
        assert_eq!(meanings.nearest(&scope, &[1.0], 0.1), None, "another model's vector");
        assert_eq!(normalised(vec![0.0]), None);
        assert_eq!(normalised(vec![f32::NAN]), None);
    }

    #[test]
    fn memory_is_bounded() {
        let meanings = Meanings::default();
        let vector = vec![1.0; 64 * 1024];
        for number in 0..300_u16 {
            let mut scope = [0; 32];
            scope[..2].copy_from_slice(&(number / 2).to_le_bytes());
            let mut key = [0; 32];
            key[..2].copy_from_slice(&number.to_le_bytes());
            meanings.add(scope, vector.clone(), key);
            let scopes = meanings.0.lock().expect("whole");
            assert!(scopes.numbers <= NUMBERS + vector.len());
            assert_eq!(scopes.rings.len(), scopes.order.len());
        }
        for number in 0..1000_u16 {
            meanings.add([9; 32], vec![1.0], genesis_store::token_hash(&number.to_le_bytes()));
        }
        let scopes = meanings.0.lock().expect("whole");
        assert_eq!(scopes.rings[&[9; 32]].lock().expect("whole").len(), PER_SCOPE);
    }
}
