//! An answer on its way to the client: each piece is written as it comes, the first one together with the head.

use std::cell::RefCell;
use std::io::{IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Buf, Bytes};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE};
use http::{HeaderMap, Response, StatusCode, response};
use http_body::Body as _;

use super::line::Line;
use crate::body::Body;

/// The client has left, or what it gets is broken: in both cases the connection ends.
#[derive(Debug)]
pub(super) struct Ended;

pub(super) struct Writer<'a> {
    line: &'a Line,
    body: Body,
    framing: Framing,
    begun: bool,
    /// Head or size of a chunk; what of it is written.
    before: Vec<u8>,
    written: usize,
    piece: Bytes,
    after: &'static [u8],
    /// Nothing follows what is still to be written.
    over: Option<Result<(), Ended>>,
}

/// How the client is told where the body ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Framing {
    /// There is none.
    Bodiless,
    /// So many bytes are to come.
    Length(u64),
    Chunked,
}

impl<'a> Writer<'a> {
    /// `bodiless`: it answers a HEAD request.
    pub(super) fn new(line: &'a Line, answer: Response<Body>, bodiless: bool, keep_alive: bool) -> Self {
        let (head, body) = answer.into_parts();
        let mut before = Vec::with_capacity(1024);
        let framing = write_head(&mut before, &head, &body, bodiless, keep_alive);
        let over = (framing == Framing::Bodiless).then_some(Ok(()));
        Self { line, body, framing, begun: false, before, written: 0, piece: Bytes::new(), after: b"", over }
    }

    /// Ready when all is written, or nothing more can be.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        if !std::mem::replace(&mut self.begun, true) && self.over.is_none() {
            // What is there already goes out with the head.
            let _ = self.poll_piece(cx);
        }
        loop {
            ready!(self.poll_write(cx))?;
            if let Some(over) = self.over.take() {
                return Poll::Ready(over);
            }
            if self.poll_piece(cx).is_pending() {
                // The client may leave while there is nothing to write.
                return self.line.poll_gone(cx).map(|()| Err(Ended));
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        loop {
            let before = &self.before[self.written..];
            if before.is_empty() && self.piece.is_empty() && self.after.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let of_before = before.len();
            let slices = [IoSlice::new(before), IoSlice::new(&self.piece), IoSlice::new(self.after)];
            let slices = if of_before == 0 { &slices[1..] } else { &slices[..] };
            let sent = match ready!(self.line.connection().poll_write_slices(cx, slices)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(Ended)),
                Ok(sent) => sent,
            };
            let of_before = sent.min(of_before);
            self.written += of_before;
            let sent = sent - of_before;
            let of_piece = sent.min(self.piece.len());
            self.piece.advance(of_piece);
            self.after = &self.after[sent - of_piece..];
        }
    }

    /// Takes the next piece of the body. Everything before it is written, or it is the first.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => self.take(data),
                    _ => continue,
                },
                Some(Err(_)) => self.over = Some(Err(Ended)),
                None => self.body_ended(),
            }
            if self.over.is_some() {
                // Its record goes to the log first: whoever has seen the end of an answer finds it there.
                self.body = Body::Full(None);
            }
            return Poll::Ready(());
        }
    }

    fn take(&mut self, mut data: Bytes) {
        if self.written > 0 {
            self.before.clear();
            self.written = 0;
        }
        match &mut self.framing {
            Framing::Bodiless => return,
            Framing::Length(left) => {
                // More than was announced would be read as the next answer.
                let fits = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len());
                if fits < data.len() {
                    data.truncate(fits);
                    self.over = Some(Err(Ended));
                }
                *left -= fits as u64;
                self.after = b"";
                if *left == 0 && self.over.is_none() && self.body.is_end_stream() {
                    self.over = Some(Ok(()));
                }
            }
            Framing::Chunked => {
                // Writing to a vector cannot fail.
                let _ = write!(self.before, "{:x}\r\n", data.len());
                self.after = b"\r\n";
                if self.body.is_end_stream() {
                    self.after = b"\r\n0\r\n\r\n";
                    self.over = Some(Ok(()));
                }
            }
        }
        self.piece = data;
    }

    fn body_ended(&mut self) {
        let whole = match self.framing {
            Framing::Bodiless => true,
            Framing::Length(left) => left == 0,
            Framing::Chunked => {
                self.after = b"0\r\n\r\n";
                true
            }
        };
        self.over = Some(if whole { Ok(()) } else { Err(Ended) });
    }
}

/// Writes status line and headers, with what says where the body ends.
fn write_head(
    out: &mut Vec<u8>,
    head: &response::Parts,
    body: &Body,
    bodiless: bool,
    keep_alive: bool,
) -> Framing {
    let status = head.status;
    for part in ["HTTP/1.1 ", status.as_str(), " ", status.canonical_reason().unwrap_or_default(), "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    let never_has_one = status == StatusCode::NO_CONTENT || status.is_informational();
    for (name, value) in &head.headers {
        if name == CONNECTION || never_has_one && name == CONTENT_LENGTH {
            continue;
        }
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    if !head.headers.contains_key(DATE) {
        write_date(out);
    }
    if !keep_alive {
        out.extend_from_slice(b"connection: close\r\n");
    }
    let framing = framing(&head.headers, body);
    if never_has_one || status == StatusCode::NOT_MODIFIED {
        out.extend_from_slice(b"\r\n");
        return Framing::Bodiless;
    }
    match framing {
        Framing::Length(length) if !head.headers.contains_key(CONTENT_LENGTH) => {
            let _ = write!(out, "content-length: {length}\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        _ => {}
    }
    out.extend_from_slice(b"\r\n");
    if bodiless { Framing::Bodiless } else { framing }
}

fn framing(headers: &HeaderMap, body: &Body) -> Framing {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let known = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
    match announced.or(known) {
        Some(length) => Framing::Length(length),
        None => Framing::Chunked,
    }
}

/// The time in the form of the header, made once a second.
fn write_date(out: &mut Vec<u8>) {
    thread_local! {
        static DATE: RefCell<(u64, String)> = RefCell::default();
    }
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    DATE.with_borrow_mut(|(of, line)| {
        if *of != second || line.is_empty() {
            *of = second;
            *line = format!("date: {}\r\n", httpdate::fmt_http_date(now));
        }
        out.extend_from_slice(line.as_bytes());
    });
}
