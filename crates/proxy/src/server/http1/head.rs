//! A request's head, if it is an ordinary one. Nothing here answers a bad request: that is left to hyper.

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, request};
use memchr::memchr_iter;

use crate::head::headers;

/// More headers, or a longer head, than ordinary clients send.
const HEADERS: usize = 64;
const LONGEST: usize = 64 * 1024;

pub(super) struct Head {
    pub(super) head: request::Parts,
    /// Of the body.
    pub(super) length: u64,
    pub(super) keep_alive: bool,
}

pub(super) enum Parsed {
    Request(Box<Head>),
    /// More has to come.
    Partial,
    /// Not an ordinary request.
    Other,
}

/// Takes the head of the next request out of the buffer. `looked_at`: so many bytes are known to hold no end of it.
pub(super) fn parse(buffer: &mut BytesMut, looked_at: usize) -> Parsed {
    if !buffer.first().is_none_or(u8::is_ascii_uppercase) {
        return Parsed::Other; // no method: TLS, perhaps
    }
    if !has_end(buffer, looked_at) {
        return if buffer.len() > LONGEST { Parsed::Other } else { Parsed::Partial };
    }
    let mut slots = [httparse::EMPTY_HEADER; HEADERS];
    let mut head = httparse::Request::new(&mut slots);
    match head.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => match ordinary(&head, &buffer[..length]) {
            Some(head) => {
                buffer.advance(length);
                Parsed::Request(Box::new(head))
            }
            None => Parsed::Other,
        },
        Ok(httparse::Status::Partial) if buffer.len() <= LONGEST => Parsed::Partial,
        Ok(httparse::Status::Partial) | Err(_) => Parsed::Other,
    }
}

/// Whether an empty line has come. Parsing only then keeps a client that sends byte by byte from costing much.
fn has_end(buffer: &[u8], looked_at: usize) -> bool {
    let from = looked_at.saturating_sub(3);
    memchr_iter(b'\n', &buffer[from..]).any(|at| {
        let rest = &buffer[from + at + 1..];
        rest.starts_with(b"\r\n") || rest.starts_with(b"\n")
    })
}

fn ordinary(parsed: &httparse::Request<'_, '_>, bytes: &[u8]) -> Option<Head> {
    let path = parsed.path.filter(|path| path.starts_with('/'))?;
    if parsed.version != Some(1) {
        return None;
    }
    let method =
        Method::from_bytes(parsed.method?.as_bytes()).ok().filter(|method| method != Method::CONNECT)?;
    // One copy for all values, so that they do not hold on to the buffer.
    let copy = Bytes::copy_from_slice(bytes);
    let at = path.as_ptr() as usize - bytes.as_ptr() as usize;
    let uri = Uri::from_maybe_shared(copy.slice(at..at + path.len())).ok()?;
    let headers = headers(parsed.headers, bytes, &copy);
    if headers.len() != parsed.headers.len() {
        return None;
    }
    if [TRANSFER_ENCODING, EXPECT, UPGRADE].iter().any(|name| headers.contains_key(name)) {
        return None;
    }
    let length = length(&headers)?;
    let keep_alive = !says(&headers, "close");
    let (mut head, ()) = Request::new(()).into_parts();
    (head.method, head.uri, head.headers) = (method, uri, headers);
    Some(Head { head, length, keep_alive })
}

/// `None`: in doubt.
fn length(headers: &HeaderMap) -> Option<u64> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter().map(HeaderValue::as_bytes);
    let Some(length) = lengths.next() else { return Some(0) };
    if lengths.next().is_some() || length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(length).ok()?.parse().ok()
}

/// Whether `connection: …` has this word.
pub(super) fn says(headers: &HeaderMap, word: &str) -> bool {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Parsed, usize) {
        let mut buffer = BytesMut::from(text);
        let parsed = parse(&mut buffer, 0);
        (parsed, buffer.len())
    }

    fn request(text: &str) -> Head {
        match parsed(text) {
            (Parsed::Request(head), _) => *head,
            _ => panic!("{text:?} is an ordinary request"),
        }
    }

    #[test]
    fn an_ordinary_request_is_taken_out_of_the_buffer() {
        let text =
            "POST /v1/a/g/openai/x?y=%20z HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nX-A:  b \r\n\r\nabcGET";
        let head = request(text);
        assert_eq!((head.head.method.as_str(), head.length, head.keep_alive), ("POST", 3, true));
        assert_eq!(head.head.uri, "/v1/a/g/openai/x?y=%20z");
        assert_eq!(head.head.headers["x-a"], "b");
        assert_eq!(parsed(text).1, "abcGET".len());
        assert_eq!(request("GET / HTTP/1.1\r\n\r\n").length, 0);
        assert!(!request("GET / HTTP/1.1\r\nConnection: a, Close\r\n\r\n").keep_alive);
    }

    #[test]
    fn what_is_not_beyond_doubt_is_left_to_hyper_untouched() {
        for text in [
            "GET / HTTP/1.0\r\n\r\n",
            "GET http://host/ HTTP/1.1\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\n\r\n",
            "CONNECT /x HTTP/1.1\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
            "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
            "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
            "GET / HTTP/1.1\r\nName : x\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
            "\u{16}\u{3}\u{1}",
            "\r\nGET / HTTP/1.1\r\n\r\n",
        ] {
            let (parsed, left) = parsed(text);
            assert!(matches!(parsed, Parsed::Other), "{text:?}");
            assert_eq!(left, text.len(), "{text:?}");
        }
    }

    #[test]
    fn a_head_is_found_wherever_it_was_cut() {
        let text = "GET /a HTTP/1.1\r\nA: b\r\n\r\n";
        let mut buffer = BytesMut::new();
        for (at, byte) in text.bytes().enumerate() {
            assert!(matches!(parse(&mut buffer, at), Parsed::Partial), "{at}");
            buffer.extend_from_slice(&[byte]);
        }
        assert!(matches!(parse(&mut buffer, text.len() - 1), Parsed::Request(_)));
        assert!(buffer.is_empty());
    }
}
