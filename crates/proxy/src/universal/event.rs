//! One request of a socket: its exchange, and the messages that tell of it.

use std::rc::Rc;

use bytes::Bytes;
use genesis_wire::sse::{Event, Splitter};
use http::header::HeaderMap;
use http::{HeaderValue, StatusCode, request};
use http_body_util::{BodyExt, Limited};
use tokio::sync::mpsc::Sender;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::message::{Create, Metadata};
use crate::body::Body;
use crate::coding::{self, Coding, Unpacker};
use crate::exchange;
use crate::failure::Failure;
use crate::server::Worker;

/// Longest answer that is told in one message, and longest event of a stream.
const WHOLE_LIMIT: usize = 64 * 1024 * 1024;
/// A small piece may decompress to a huge one, so this much is unpacked at a time.
const STEP: usize = 4096;

/// Nobody listens any more.
struct Gone;

/// Runs the exchange; `say` takes what the client is told. Dropped, it is cancelled as if its client had left.
pub(super) async fn run(
    worker: Rc<Worker>,
    mut head: request::Parts,
    create: Create,
    say: Sender<Utf8Bytes>,
) {
    let Create { event_id, steps } = create;
    if let Some(name) = event_id.as_ref().and_then(|id| HeaderValue::try_from(id).ok()) {
        head.headers.insert("cf-aig-event-id", name);
    }
    let (head, body) = exchange::message(worker, head, steps).await.into_parts();
    let metadata = Metadata::of(&head, event_id);
    let last = if metadata.is_event_stream() {
        match stream(&head.headers, body, &metadata, &say).await {
            Ok(Ok(())) => metadata.done(),
            Ok(Err(cause)) => metadata.failed(&broken(cause)),
            Err(Gone) => return,
        }
    } else {
        match whole(&head.headers, body).await {
            Ok(body) => metadata.answered(&body),
            Err(cause) => metadata.failed(&broken(cause)),
        }
    };
    let _ = say.send(last).await; // fails if the client is gone
}

async fn whole(headers: &HeaderMap, body: Body) -> Result<Bytes, &'static str> {
    let body = Limited::new(body, WHOLE_LIMIT).collect().await.map_err(|_| CUT)?.to_bytes();
    let plain = coding::decoded(headers, &body).ok_or(CODED)?;
    Ok(Bytes::from(plain.into_owned()))
}

/// One message per event, as they come. The inner error says why the answer is not whole.
async fn stream(
    headers: &HeaderMap,
    mut body: Body,
    metadata: &Metadata,
    say: &Sender<Utf8Bytes>,
) -> Result<Result<(), &'static str>, Gone> {
    let Some(coding) = Coding::of(headers) else { return Ok(Err(CODED)) };
    say.send(metadata.created()).await.map_err(|_| Gone)?;
    let mut unpacker = Unpacker::new(coding, Vec::new());
    let mut splitter = Splitter::with_limit(WHOLE_LIMIT);
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Ok(Err(CUT)) };
        let Ok(piece) = frame.into_data() else { continue };
        for step in piece.chunks(STEP) {
            let unpacked = unpacker.push(step);
            let mut messages = Vec::new();
            splitter.push(&std::mem::take(unpacker.sink()), |event| messages.extend(told(metadata, event)));
            for message in messages {
                say.send(message).await.map_err(|_| Gone)?;
            }
            if unpacked.is_err() {
                return Ok(Err(CODED));
            }
        }
        if splitter.oversized() > 0 {
            return Ok(Err(CUT));
        }
    }
    // Some providers leave out the blank line after their last event.
    if let Some(message) = told(metadata, splitter.rest()) {
        say.send(message).await.map_err(|_| Gone)?;
    }
    Ok(Ok(()))
}

/// `[DONE]` is what `universal.done` says.
fn told(metadata: &Metadata, event: &[u8]) -> Option<Utf8Bytes> {
    let data = Event::parse(event).data;
    (!data.is_empty() && *data != *b"[DONE]").then(|| metadata.streamed(&data))
}

const CUT: &str = "its answer broke off, or was too large for a message; the call may be sent again";
const CODED: &str = "the content coding of its answer cannot be undone";

fn broken(cause: &'static str) -> Failure {
    Failure::upstream(StatusCode::BAD_GATEWAY, cause, "")
}
