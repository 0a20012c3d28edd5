//! A blocking HTTP/1.1 client that shows what came over the wire, broken transfers included.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The body came to the end its framing announced.
    pub(crate) complete: bool,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

pub(crate) fn post(address: SocketAddr, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let json = [("content-type", "application/json")];
    let typed = headers.iter().any(|(name, _)| *name == "content-type");
    let all: Vec<_> = headers.iter().chain(if typed { &[][..] } else { &json[..] }).copied().collect();
    call(address, "POST", path, &all, body)
}

pub(crate) fn call(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Reply {
    let mut stream = open(address);
    send(&mut stream, method, path, headers, body);
    read_reply(&mut stream, method)
}

pub(crate) fn open(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the gateway accepts");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
    stream.set_nodelay(true).expect("nodelay");
    stream
}

pub(crate) fn send(stream: &mut TcpStream, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
    let mut head = format!("{method} {path} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| *name == "host") {
        head.push_str("host: localhost:1\r\n");
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    stream.write_all(&bytes).expect("the request is taken");
}

pub(crate) fn read_reply(stream: &mut TcpStream, method: &str) -> Reply {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = find(&bytes, b"\r\n\r\n") {
            break at + 4;
        }
        assert!(read_some(stream, &mut bytes), "no answer; so far: {:?}", String::from_utf8_lossy(&bytes));
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let rest = bytes.split_off(end);
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("status line");
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut reply = Reply { status, headers, body: Vec::new(), complete: true };
    if method == "HEAD" || status == 204 || status == 304 {
        return reply;
    }
    let chunked = reply.header("transfer-encoding") == Some("chunked");
    let length = reply.header("content-length").and_then(|length| length.parse().ok());
    (reply.body, reply.complete) =
        if chunked { read_chunked(stream, rest) } else { read_length(stream, rest, length) };
    reply
}

fn read_length(stream: &mut TcpStream, mut body: Vec<u8>, length: Option<usize>) -> (Vec<u8>, bool) {
    while length.is_none_or(|length| body.len() < length) {
        if !read_some(stream, &mut body) {
            return (body, length.is_none());
        }
    }
    (body, true)
}

fn read_chunked(stream: &mut TcpStream, mut raw: Vec<u8>) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = find(&raw, b"\r\n") else {
            if !read_some(stream, &mut raw) {
                return (body, false);
            }
            continue;
        };
        let size = usize::from_str_radix(&String::from_utf8_lossy(&raw[..end]), 16).expect("chunk size");
        while raw.len() < end + 2 + size + 2 {
            if !read_some(stream, &mut raw) {
                return (body, false);
            }
        }
        body.extend_from_slice(&raw[end + 2..end + 2 + size]);
        raw.drain(..end + 2 + size + 2);
        if size == 0 {
            return (body, true);
        }
    }
}

fn read_some(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 16 * 1024];
    match stream.read(&mut buffer) {
        Ok(0) => false,
        Ok(count) => {
            bytes.extend_from_slice(&buffer[..count]);
            true
        }
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
        Err(error) => {
            panic!("the gateway fell silent: {error}; so far: {:?}", String::from_utf8_lossy(bytes))
        }
    }
}

pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}
