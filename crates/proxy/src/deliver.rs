//! A provider's answer becomes the client's: passed on as it comes, or translated.

use std::time::Duration;

use bytes::Bytes;
use genesis_config::money::Usd;
use genesis_wire::translate::{self, Context, StreamTranslator};
use http::Response;
use http::header::{self, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::body::Body;
use crate::coding::{self, Coding};
use crate::drain::{Drains, Kept};
use crate::exchange::Delivery;
use crate::failure::Failure;
use crate::receipt::Receipt;
use crate::relay::Relay;
use crate::reply;
use crate::resume::{Offer, RUN_ID, Watched};
use crate::run::Envelope;
use crate::translating::Translating;
use crate::upstream::Answer;

/// Longest answer that is translated whole.
const WHOLE_LIMIT: usize = 64 * 1024 * 1024;

/// Response headers that speak about the provider's own connection.
pub(crate) static HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What becomes of an answer beside going to its client.
#[derive(Default)]
pub(crate) struct Onward {
    /// Set if it is read on when the client leaves.
    pub(crate) drains: Option<Drains>,
    /// Set if it is kept to be resumed, should it be a stream.
    pub(crate) offer: Option<Offer>,
}

impl Delivery {
    /// The provider's status, headers and body, less what belongs to its own connection.
    pub(crate) async fn deliver(self, receipt: Receipt, idle: Duration, onward: Onward) -> Response<Body> {
        static SIMULATED: HeaderName = HeaderName::from_static("cf-aig-simulated");
        static DROPPED: HeaderName = HeaderName::from_static("cf-aig-dropped");
        let Self { mut answer, simulated, translation, mut dropped, envelope } = self;
        for name in &HOP_BY_HOP {
            answer.headers.remove(name);
        }
        answer.headers.remove(&RUN_ID); // a gateway behind this one keeps its own streams
        let mut response = match translation {
            None if envelope.is_none() || is_stream(&answer) => {
                relayed(answer, onward, |body| Relay::new(body, receipt, idle))
            }
            Some(context) if is_stream(&answer) => {
                match (StreamTranslator::new(context), Coding::of(&answer.headers)) {
                    (Some(translator), Some(coding)) => {
                        retitled(&mut answer.headers, "text/event-stream");
                        let translating = Translating::new(coding, translator);
                        relayed(answer, onward, |body| Relay::translated(body, receipt, idle, translating))
                    }
                    (Some(_), None) => refused(receipt, &unreadable(UNKNOWN_CODING)),
                    (None, _) => refused(
                        receipt,
                        &Failure::misconfigured("this pair of dialects has no stream translation"),
                    ),
                }
            }
            context => match whole(answer, context.as_ref(), envelope, receipt, idle).await {
                Ok((response, lost)) => {
                    dropped.extend(lost);
                    response
                }
                Err(refusal) => refusal,
            },
        };
        if simulated {
            response.headers_mut().insert(&SIMULATED, HeaderValue::from_static("true"));
        }
        if let (false, Ok(names)) = (dropped.is_empty(), HeaderValue::from_str(&listed(&dropped))) {
            response.headers_mut().insert(&DROPPED, names);
        }
        response
    }
}

fn relayed(
    mut answer: Answer,
    onward: Onward,
    relay: impl FnOnce(crate::upstream::AnswerBody) -> Relay,
) -> Response<Body> {
    let Onward { drains, offer } = onward;
    let mut relay = relay(answer.body);
    let offer = offer.filter(|_| answer.status.is_success());
    let body = match offer.and_then(|offer| offer.begin(&answer.headers)) {
        None => Body::Relay(Kept::new(relay, drains)),
        Some((keeping, reads_on)) => {
            answer.headers.insert(&RUN_ID, keeping.header());
            relay.keep(keeping);
            match drains.or(reads_on) {
                None => Body::Relay(Kept::new(relay, None)),
                drains => Body::Watched(Watched::new(Kept::new(relay, drains))),
            }
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

/// Names as a header can carry them; they come from clients and may hold anything.
fn listed(names: &[String]) -> String {
    names.join(", ").chars().map(|c| if c.is_ascii() && !c.is_ascii_control() { c } else { '?' }).collect()
}

/// Reads an answer to its end, translates it, puts it into Cloudflare's envelope, whichever is asked for. The second
/// value names what could not be carried.
async fn whole(
    answer: Answer,
    context: Option<&Context>,
    envelope: Option<Envelope>,
    mut receipt: Receipt,
    idle: Duration,
) -> Result<(Response<Body>, Vec<String>), Response<Body>> {
    static COST: HeaderName = HeaderName::from_static("cf-aig-cost");
    let Answer { status, mut headers, body } = answer;
    let unreadable = |cause: &str| {
        let failure = unreadable(cause);
        envelope.iter().fold(failure, |failure, envelope| envelope.failed(failure))
    };
    let theirs = match body.collect(WHOLE_LIMIT, idle).await {
        Ok(theirs) => Bytes::from(theirs),
        Err(error) => return Err(refused(receipt, &unreadable(&error.to_string()))),
    };
    receipt.response_piece(&theirs);
    // Asked for none, some providers use a content coding all the same.
    let Some(plain) = coding::decoded(&headers, &theirs) else {
        return Err(refused(receipt, &unreadable(UNKNOWN_CODING)));
    };
    let translated = match context {
        Some(context) => translate::response(context, status.as_u16(), &plain),
        None => Ok(translate::Incoming { body: plain.into_owned(), dropped: Vec::new() }),
    };
    match translated {
        Ok(translated) => {
            receipt.complete();
            let cost = receipt.cost().and_then(|nano| HeaderValue::try_from(Usd(nano).to_string()).ok());
            match cost {
                Some(cost) => headers.insert(&COST, cost),
                None => headers.remove(&COST), // a gateway behind this one has other prices
            };
            let ours = match &envelope {
                Some(envelope) => Bytes::from(envelope.around(status, &translated.body)),
                None => Bytes::from(translated.body),
            };
            receipt.translated(&ours);
            receipt.dropped(&translated.dropped);
            retitled(&mut headers, "application/json");
            let mut response = Response::new(Body::full(ours));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            Ok((response, translated.dropped))
        }
        Err(bad) => Err(refused(receipt, &unreadable(&bad.to_string()))),
    }
}

const UNKNOWN_CODING: &str = "its content coding cannot be undone";

fn unreadable(cause: &str) -> Failure {
    let status = http::StatusCode::BAD_GATEWAY;
    Failure::upstream(
        status,
        "the provider's answer could not be translated; the call may be sent again",
        cause,
    )
}

fn refused(mut receipt: Receipt, failure: &Failure) -> Response<Body> {
    let manner = receipt.manner;
    receipt.failed(failure);
    reply::told(failure, manner)
}

/// The headers of a translated body: its length and coding are no longer the provider's.
fn retitled(headers: &mut HeaderMap, media: &'static str) {
    headers.remove(CONTENT_LENGTH);
    headers.remove(header::CONTENT_ENCODING);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
}

fn is_stream(answer: &Answer) -> bool {
    let media = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    answer.status.is_success()
        && (media.starts_with("text/event-stream") || media.starts_with("application/vnd.amazon.eventstream"))
}
