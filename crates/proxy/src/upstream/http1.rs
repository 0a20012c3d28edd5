//! Writing a request and reading the head of its answer.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Version};
use http_body::Body as _;

use super::answer::{Answer, AnswerBody, Framing, SocketBody};
use super::io::Connection;
use super::{Outgoing, SendError};
use crate::head::headers;
use crate::server::ClientBody;

/// Head of an answer: more than any provider sends.
const HEAD_LIMIT: usize = 64 * 1024;
const HEADER_COUNT: usize = 128;

/// The request line and headers; [`RequestHead::end`] makes them ready to be written.
pub(crate) struct RequestHead {
    method: Method,
    bytes: Vec<u8>,
}

impl RequestHead {
    pub(crate) fn new(method: Method, path_and_query: &str, host: &str) -> Self {
        let mut bytes = Vec::with_capacity(1024);
        for piece in [method.as_str(), " ", path_and_query, " HTTP/1.1\r\nhost: ", host, "\r\n"] {
            bytes.extend_from_slice(piece.as_bytes());
        }
        Self { method, bytes }
    }

    /// `HeaderName` and `HeaderValue` cannot hold line ends, so nothing here can smuggle another header.
    pub(crate) fn header(&mut self, name: &HeaderName, value: &HeaderValue) {
        for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            self.bytes.extend_from_slice(piece);
        }
    }

    /// Says where the body ends, and ends the head.
    pub(crate) fn end(mut self, body: &Outgoing) -> Self {
        let length = match body {
            Outgoing::Whole(bytes) => Some(bytes.len() as u64),
            Outgoing::Streamed(upload) => upload.length(),
        };
        match length {
            // Methods without a body do not announce an empty one.
            Some(0)
                if matches!(self.method, Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS) => {}
            Some(length) => self.header(&CONTENT_LENGTH, &HeaderValue::from(length)),
            None => self.header(&TRANSFER_ENCODING, &HeaderValue::from_static("chunked")),
        }
        self.bytes.extend_from_slice(b"\r\n");
        self
    }
}

/// Sees every piece that is sent: the log's copy, and the size limit.
pub(crate) type Tee = Box<dyn FnMut(&Bytes) -> io::Result<()>>;

/// A body that comes from the client while it is being sent.
pub(crate) struct Upload {
    body: ClientBody,
    chunked: bool,
    /// What is to be written next.
    pending: Bytes,
    tee: Tee,
    ended: bool,
}

impl Upload {
    pub(crate) fn new(body: ClientBody, tee: Tee) -> Self {
        let chunked = body.size_hint().exact().is_none();
        Self { body, chunked, pending: Bytes::new(), tee, ended: false }
    }

    fn length(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// Ready once all of it is written.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
    ) -> Poll<Result<(), UploadError>> {
        loop {
            while !self.pending.is_empty() {
                let written =
                    ready!(connection.poll_write(cx, &self.pending, &[])).map_err(UploadError::Provider)?;
                self.pending.advance(written);
            }
            if self.ended {
                return connection.poll_flush(cx).map_err(UploadError::Provider);
            }
            self.pending = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    if data.is_empty() {
                        continue;
                    }
                    (self.tee)(&data).map_err(|_| UploadError::Client)?;
                    if self.chunked { chunk(&data) } else { data }
                }
                Some(Err(_)) => return Poll::Ready(Err(UploadError::Client)),
                None => {
                    self.ended = true;
                    if self.chunked { Bytes::from_static(b"0\r\n\r\n") } else { Bytes::new() }
                }
            };
        }
    }
}

/// Whose side an upload broke on.
pub(super) enum UploadError {
    Client,
    Provider(io::Error),
}

/// Writes the request and waits for the head of the answer, at most `first_byte` long.
pub(super) async fn exchange(
    connection: Connection,
    head: &RequestHead,
    body: Outgoing,
    first_byte: Duration,
) -> Result<Answer, SendError> {
    let exchanged = tokio::time::timeout(first_byte, write_and_read(connection, head, body));
    exchanged.await.unwrap_or(Err(SendError::FirstByte(first_byte)))
}

async fn write_and_read(
    mut connection: Connection,
    head: &RequestHead,
    body: Outgoing,
) -> Result<Answer, SendError> {
    let (whole, mut upload) = match body {
        Outgoing::Whole(bytes) => (bytes, None),
        Outgoing::Streamed(upload) => (Bytes::new(), Some(upload)),
    };
    let mut sent = Sent { head: &head.bytes, body: &whole, done: false };
    let parsed = poll_fn(|cx| {
        let write_error = match sent.poll(cx, &mut connection) {
            Poll::Ready(Ok(())) => match upload.as_mut().map(|upload| upload.poll(cx, &mut connection)) {
                Some(Poll::Ready(Err(UploadError::Client))) => return Poll::Ready(Err(SendError::Upload)),
                Some(Poll::Ready(Err(UploadError::Provider(error)))) => Some(error),
                Some(Poll::Ready(Ok(()))) => {
                    upload = None;
                    None
                }
                Some(Poll::Pending) | None => None,
            },
            Poll::Ready(Err(error)) => Some(error),
            Poll::Pending => None,
        };
        // A provider may refuse and close while we still write; what it said first is the answer.
        loop {
            if let Some(parsed) = parse(&mut connection, &head.method)? {
                return Poll::Ready(Ok(parsed));
            }
            match connection.poll_fill(cx) {
                Poll::Ready(Ok(0)) if !connection.read.is_empty() => {
                    return Poll::Ready(Err(SendError::NotHttp("it was cut off inside its head".into())));
                }
                Poll::Ready(Ok(0)) => {
                    let error = write_error.unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
                    return Poll::Ready(Err(SendError::Broken(error)));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(SendError::Broken(write_error.unwrap_or(error))));
                }
                Poll::Pending => match write_error {
                    Some(error) => return Poll::Ready(Err(SendError::Broken(error))),
                    None => return Poll::Pending,
                },
            }
        }
    })
    .await?;
    // An answer that came before the request was through leaves the connection in no state to be reused.
    let reusable = parsed.keep_alive && sent.done && upload.is_none();
    let body = AnswerBody::Socket(SocketBody::new(connection, parsed.framing, reusable, upload));
    Ok(Answer { status: parsed.status, headers: parsed.headers, body })
}

/// Head and whole body, on their way out.
struct Sent<'a> {
    head: &'a [u8],
    body: &'a [u8],
    done: bool,
}

impl Sent<'_> {
    fn poll(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> Poll<io::Result<()>> {
        if self.done {
            return Poll::Ready(Ok(()));
        }
        while !(self.head.is_empty() && self.body.is_empty()) {
            let written = ready!(connection.poll_write(cx, self.head, self.body))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_head = written.min(self.head.len());
            self.head = &self.head[of_head..];
            self.body = &self.body[written - of_head..];
        }
        ready!(connection.poll_flush(cx))?;
        self.done = true;
        Poll::Ready(Ok(()))
    }
}

fn chunk(data: &Bytes) -> Bytes {
    let mut chunk = Vec::with_capacity(data.len() + 12);
    chunk.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
    chunk.extend_from_slice(data);
    chunk.extend_from_slice(b"\r\n");
    chunk.into()
}

struct Parsed {
    status: StatusCode,
    headers: HeaderMap,
    framing: Framing,
    keep_alive: bool,
}

/// The head in the read buffer, once it is complete. Interim answers (1xx) are passed over.
fn parse(connection: &mut Connection, method: &Method) -> Result<Option<Parsed>, SendError> {
    loop {
        if connection.read.is_empty() {
            return Ok(None);
        }
        let mut slots = [httparse::EMPTY_HEADER; HEADER_COUNT];
        let mut head = httparse::Response::new(&mut slots);
        let length = match head.parse(&connection.read) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if connection.read.len() < HEAD_LIMIT => return Ok(None),
            Ok(httparse::Status::Partial) => {
                return Err(SendError::NotHttp("its head is longer than 64 KiB".into()));
            }
            Err(error) => return Err(SendError::NotHttp(error.to_string())),
        };
        let status = head.code.and_then(|code| StatusCode::from_u16(code).ok());
        let status = status.ok_or_else(|| SendError::NotHttp("its status is not a number".into()))?;
        let version = if head.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
        // The values share one copy of the head, so that a long stream does not hold on to a whole read buffer.
        let bytes = Bytes::copy_from_slice(&connection.read[..length]);
        let headers = headers(head.headers, &connection.read, &bytes);
        connection.read.advance(length);
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            continue;
        }
        let framing = framing(method, status, &headers)?;
        let keep_alive = keep_alive(version, &headers) && !matches!(framing, Framing::UntilClose);
        return Ok(Some(Parsed { status, headers, framing, keep_alive }));
    }
}

/// Where the body ends (RFC 9112 §6.3). An answer that says two things is refused: it may hide another.
fn framing(method: &Method, status: StatusCode, headers: &HeaderMap) -> Result<Framing, SendError> {
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Framing::UntilClose); // what follows is no HTTP
    }
    if method == Method::HEAD || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        return Ok(Framing::Length(0));
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = match lengths.next() {
        Some(first) if lengths.all(|other| other == first) => {
            let digits = first.to_str().unwrap_or_default();
            let number = if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None };
            Some(number.ok_or_else(|| SendError::NotHttp("its content-length is not a number".into()))?)
        }
        Some(_) => return Err(SendError::NotHttp("it has two different content-lengths".into())),
        None => None,
    };
    match (headers.get(TRANSFER_ENCODING), length) {
        (Some(_), Some(_)) => {
            Err(SendError::NotHttp("it has both content-length and transfer-encoding".into()))
        }
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(Framing::chunked()),
        (Some(_), None) => Err(SendError::NotHttp("its transfer-encoding is not chunked".into())),
        (None, Some(length)) => Ok(Framing::Length(length)),
        (None, None) => Ok(Framing::UntilClose),
    }
}

fn keep_alive(version: Version, headers: &HeaderMap) -> bool {
    let says = |word: &str| {
        headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case(word)))
    };
    if version == Version::HTTP_10 { says("keep-alive") } else { !says("close") }
}
