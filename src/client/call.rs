//! One question sent, its answer read as it comes.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use bytes::Bytes;
use genesis_wire::Report;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use super::answer::{self, Reading};
use super::connection::{self, in_time, innermost};
use super::failure::{Cause, Failure, refused};
use super::question::{Question, Written};
use super::receipt::Receipt;
use super::target::Target;

/// What is read of an error's body.
const ERROR_LIMIT: usize = 64 * 1024;
/// What is read of an answer that comes in one piece.
const WHOLE_LIMIT: usize = 32 * 1024 * 1024;

/// A question's answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) receipt: Receipt,
}

/// Asks, and hands each piece of text to `on_text` as it comes; a piece answered with `Break` is the last one taken.
/// It takes no longer than `within`. Nothing is tried twice.
pub(crate) async fn call(
    target: &Target,
    question: &Question,
    within: Duration,
    mut on_text: impl FnMut(&str) -> ControlFlow<()>,
) -> Result<Answer, Failure> {
    let begun = Instant::now();
    let mut first_text = None;
    let mut text = String::new();
    let mut take = |piece: &str| {
        if piece.is_empty() {
            return ControlFlow::Continue(());
        }
        first_text.get_or_insert_with(|| begun.elapsed());
        text.push_str(piece);
        on_text(piece)
    };
    let late = format!("{} did not finish its answer", target.provider.name);
    let answered = in_time(within, &late, async {
        let Written { body, context } = question.written(target)?;
        let answer = send(target, body).await?;
        let (head, body) = answer.into_parts();
        let log_id = super::failure::text(&head.headers, "cf-aig-log-id");
        let read = if head.status != StatusCode::OK {
            let body = collected(body, ERROR_LIMIT).await.unwrap_or_default();
            Err(refused(target, head.status, &head.headers, &body))
        } else if is_stream(&head.headers) {
            streamed(target, Reading::new(context, target.dialect)?, body, &mut take).await
        } else {
            collected(body, WHOLE_LIMIT).await.and_then(|body| {
                let (text, report) = answer::whole(target, &context, &body)?;
                let _ = take(&text);
                Ok(report)
            })
        };
        match read {
            Ok(report) => Ok((head.headers, report)),
            Err(failure) => Err(Failure { log_id: failure.log_id.or(log_id), ..failure }),
        }
    });
    let (headers, report) = answered.await?;
    let receipt =
        Receipt { first_text, duration: begun.elapsed(), ..Receipt::new(target, &headers, &report) };
    Ok(Answer { text, receipt })
}

/// The smallest real call: costs a few tokens and shows that all parts work together.
pub(crate) async fn probe(target: &Target, within: Duration) -> Result<Answer, Failure> {
    let question = Question { max_tokens: Some(16), ..Question::of("Answer with the word OK.") };
    call(target, &question, within, |_| ControlFlow::Continue(())).await
}

async fn send(target: &Target, body: Vec<u8>) -> Result<Response<Incoming>, Failure> {
    let stream = connection::connect(&target.origin).await?;
    let url: http::Uri = target.url.parse().map_err(|_| {
        Failure::new(Cause::Setup, format!("{} is no address", target.place.field("baseUrl")))
    })?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::post(path)
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| Failure::new(Cause::Internal, format!("the request cannot be written: {error}")))?;
    *request.headers_mut() = target.headers.clone();
    connection::send(stream, request).await
}

async fn streamed(
    target: &Target,
    mut reading: Reading,
    mut body: Incoming,
    take: &mut impl FnMut(&str) -> ControlFlow<()>,
) -> Result<Report, Failure> {
    while !reading.is_over() {
        let text = match body.frame().await {
            Some(Ok(frame)) => {
                let Ok(bytes) = frame.into_data() else { continue };
                reading.push(target, &bytes)
            }
            Some(Err(error)) => {
                reading.broken(target, &innermost(&error));
                String::new()
            }
            None => reading.end(target),
        };
        if take(&text).is_break() {
            return Ok(reading.report());
        }
    }
    match reading.failed() {
        Some(failure) => Err(failure),
        None => Ok(reading.report()),
    }
}

/// Server-sent events, or the messages of AWS.
fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.starts_with("text/event-stream") || kind.contains("eventstream")
}

async fn collected(mut body: Incoming, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut collected = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Failure::new(Cause::Broken, format!("the answer broke off: {}", innermost(&error)))
                .hint("the call may be tried again")
        })?;
        let Ok(bytes) = frame.into_data() else { continue };
        let room = limit.saturating_sub(collected.len());
        collected.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() >= room {
            break;
        }
    }
    Ok(collected)
}
