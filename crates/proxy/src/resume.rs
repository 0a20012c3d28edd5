//! Streams that can be heard again: what a client was sent is kept for some minutes, and whoever made the call can go on
//! at any event of it, also while it is still under way.
//!
//! * this file: who is offered that, and the request that makes use of it
//! * `resume/runs`: the streams that are kept, and for how long
//! * `resume/keeping`: a stream on its way to its client, and into memory
//! * `resume/watched`: a client that vanished, while its stream is asked for elsewhere
//! * `resume/replay`: the same stream again, from an event on

mod keeping;
mod replay;
mod runs;
#[cfg(test)]
mod timing;
mod watched;

use std::sync::Arc;

use genesis_config::gateway::OnDisconnect;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode, Version, request};
use serde_json::json;

pub(crate) use self::keeping::Keeping;
pub(crate) use self::replay::Resumed;
pub(crate) use self::runs::{Owner, RunId, Runs};
pub(crate) use self::watched::Watched;

use self::runs::{Asking, Bounds};
use crate::admit::admit;
use crate::body::Body;
use crate::drain::Drains;
use crate::exchange::{Exchange, Wanted, now_ms};
use crate::failure::{Code, Failure};
use crate::inbound::check_head;
use crate::plan::{self, malformed};
use crate::reply;
use crate::resolve::{Asks, Manner, ROOT_ACCOUNT, Resume};
use crate::server::Worker;
use crate::snapshot::Snapshot;

/// Names a stream that is kept.
pub(crate) static RUN_ID: HeaderName = HeaderName::from_static("cf-aig-run-id");

/// Keeps an answer, should it be a stream of events.
pub(crate) struct Offer {
    runs: Arc<Runs>,
    owner: Owner,
    bounds: Bounds,
    /// Reads on if the client leaves, unless that was forbidden.
    pub(crate) drains: Option<Drains>,
}

impl Exchange<'_> {
    /// Streams are kept if the request says so, else on run paths, else if the gateway says so.
    pub(crate) fn offer(&self, wanted: Wanted<'_>) -> Option<Offer> {
        let is_run = matches!(wanted, Wanted::Model(Asks::Run(_) | Asks::RunPreview));
        let asked = self.options.resumable.unwrap_or(is_run || self.gateway.resumable_streams);
        let caller = self.caller.clone().filter(|_| asked)?;
        let owner = Owner { account: self.account().to_owned(), gateway: self.gateway.id.clone(), caller };
        let cancels = self.options.on_disconnect == Some(OnDisconnect::Cancel);
        Some(Offer {
            runs: Arc::clone(&self.worker.shared.runs),
            owner,
            bounds: Bounds::of(&self.snapshot.limits),
            drains: (!cancels).then(|| self.worker.drains.clone()),
        })
    }
}

impl Offer {
    /// `None` for anything but events that can be counted. `headers`: those of the answer as the client gets it.
    pub(crate) fn begin(self, headers: &HeaderMap) -> Option<(Keeping, Option<Drains>)> {
        let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !media.starts_with("text/event-stream") {
            return None;
        }
        let keeping = Keeping::begin(self.runs, self.owner, self.bounds, headers)?;
        Some((keeping, self.drains))
    }
}

/// Answers a request to hear a stream again. It is no exchange: nothing is called, limited, charged or logged.
pub(crate) fn answer(
    worker: &Worker,
    snapshot: &Snapshot,
    resume: Resume<'_>,
    head: request::Parts,
) -> Response<Body> {
    if !matches!(head.method, Method::GET | Method::HEAD) {
        let mut refused = reply::told(&wrong_method(), Manner::Gateway);
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    replay(worker, snapshot, resume, head).unwrap_or_else(|failure| reply::failure(&failure))
}

fn replay(
    worker: &Worker,
    snapshot: &Snapshot,
    resume: Resume<'_>,
    mut head: request::Parts,
) -> Result<Response<Body>, Failure> {
    // The form of the Workers binding names no account.
    let some = || snapshot.accounts.as_ref()?.iter().next().map(String::as_str);
    let account = resume.account.or_else(some).unwrap_or(ROOT_ACCOUNT);
    let gateway = plan::gateway(snapshot, account, resume.gateway)?;
    check_head(&head, snapshot.limits.header_bytes)?;
    let caller = admit(snapshot, gateway, &mut head.headers, None, now_ms())?;
    let id = RunId::parse(resume.id).ok_or_else(malformed_id)?;
    let from = first_event(head.uri.query())?;
    let asking = Asking { account: resume.account, gateway: &gateway.id, caller: &caller };
    let (listener, content_type) = worker.shared.runs.find(&id, &asking).ok_or_else(not_found)?;
    let body = match (head.method, head.version) {
        // HTTP/1.1 leaves the body out itself, and says how long it would be.
        (Method::HEAD, Version::HTTP_2) => Body::Full(None),
        _ => Body::Resumed(Box::new(Resumed::new(listener, from))),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(&RUN_ID, id.header());
    Ok(response)
}

/// `from=n`; the last one counts, none is 0.
fn first_event(query: Option<&str>) -> Result<u64, Failure> {
    let pairs = query.unwrap_or_default().split('&');
    let written = pairs.filter_map(|pair| pair.strip_prefix("from=")).next_back();
    let digits = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
    written.map_or(Ok(0), |text| {
        Some(text).filter(digits).and_then(|text| text.parse().ok()).ok_or_else(|| {
            malformed("`from` is the number of events you have had already: a whole number, 0 or more")
        })
    })
}

/// Cloudflare's whole body. It is the same for what never was, what is over and what is somebody else's.
fn not_found() -> Failure {
    let description = "no stream of yours is kept under this id; send the call again";
    let failure = Failure::refused(StatusCode::NOT_FOUND, Code::NotFound, "Request not found", description);
    Failure { body: Some(Box::new(json!({ "error": "Request not found" }))), ..failure }
}

fn malformed_id() -> Failure {
    Failure::refused(
        StatusCode::INTERNAL_SERVER_ERROR, // as on Cloudflare
        Code::MalformedRunId,
        "Malformed run id",
        "a run id is the 64 hexadecimal digits of the header cf-aig-run-id",
    )
}

fn wrong_method() -> Failure {
    Failure::refused(
        StatusCode::METHOD_NOT_ALLOWED,
        Code::MethodNotAllowed,
        "Method not allowed",
        "a stream is resumed with GET",
    )
}
