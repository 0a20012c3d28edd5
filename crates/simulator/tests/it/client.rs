//! A client small enough to see every byte: one request, one connection, read to the end.

use std::io::{Read, Write};
use std::net::TcpStream;

use genesis_simulator::Simulator;
use serde_json::Value;

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    /// The chunks of a chunked body, each as sent; one element otherwise.
    pub(crate) chunks: Vec<Vec<u8>>,
    /// The body ended the way its head promised.
    pub(crate) complete: bool,
    /// Bytes of a chunk that never was completed.
    pub(crate) torn: usize,
}

impl Answer {
    pub(crate) fn body(&self) -> Vec<u8> {
        self.chunks.concat()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body()).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body()).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The data of each server-sent event that is JSON.
    pub(crate) fn events(&self) -> Vec<Value> {
        let text = self.text();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter_map(|data| serde_json::from_str(data.trim_end()).ok()).collect()
    }
}

pub(crate) fn post(simulator: &Simulator, path: &str, body: &Value) -> Answer {
    send(simulator, "POST", path, "", body.to_string().as_bytes())
}

/// Posts with a script in the header.
pub(crate) fn scripted(simulator: &Simulator, path: &str, script: &str, body: &Value) -> Answer {
    send(simulator, "POST", path, &format!("x-simulator: {script}\r\n"), body.to_string().as_bytes())
}

pub(crate) fn get(simulator: &Simulator, path: &str) -> Answer {
    send(simulator, "GET", path, "", b"")
}

pub(crate) fn send(simulator: &Simulator, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
    let mut stream = open(simulator, method, path, headers, body);
    let mut bytes = Vec::new();
    // A reset is an error; what came before it still counts.
    let _ = stream.read_to_end(&mut bytes);
    parse(&bytes)
}

/// Sends a request and leaves the answer to be read.
pub(crate) fn open(simulator: &Simulator, method: &str, path: &str, headers: &str, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(simulator.addr()).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: simulator\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    stream
}

/// Reads until `end` has come by.
pub(crate) fn read_past(stream: &mut TcpStream, end: &str) -> String {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(end) {
        let mut buffer = [0; 1024];
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "ended before {end:?}: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&seen).into_owned()
}

fn parse(bytes: &[u8]) -> Answer {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Answer { status: 0, head: String::new(), chunks: vec![], complete: false, torn: bytes.len() };
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut answer = Answer { status, head, chunks: vec![], complete: false, torn: 0 };
    let mut rest = &bytes[end + 4..];
    if answer.header("transfer-encoding") != Some("chunked") {
        let promised = answer.header("content-length").map(|length| length.parse::<usize>().unwrap());
        answer.complete = promised.is_none_or(|length| length == rest.len());
        answer.chunks = vec![rest.to_vec()];
        return answer;
    }
    while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        let data = &rest[line + 2..];
        if data.len() < size + 2 {
            answer.torn = data.len();
            return answer;
        }
        if size == 0 {
            answer.complete = true;
            return answer;
        }
        answer.chunks.push(data[..size].to_vec());
        rest = &data[size + 2..];
    }
    answer.torn = rest.len();
    answer
}
