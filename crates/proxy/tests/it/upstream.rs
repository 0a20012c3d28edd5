//! An upstream that says exactly the bytes it is told, in the pieces it is told, and keeps what it was sent.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::client::find;

/// How one request is answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    /// Written one after another, each flushed.
    pub(crate) pieces: Vec<Vec<u8>>,
    /// Close afterwards.
    pub(crate) close: bool,
    /// Close without reading the request.
    pub(crate) hang_up: bool,
    /// Keep the connection open and silent until the gateway closes it.
    pub(crate) then_wait: bool,
}

pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    scripts: Arc<Mutex<VecDeque<Script>>>,
    requests: Receiver<Vec<u8>>,
    /// One message per connection the gateway closed while we waited.
    closed: Receiver<()>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("address");
        let scripts: Arc<Mutex<VecDeque<Script>>> = Arc::default();
        let (seen, requests) = channel();
        let (gone, closed) = channel();
        let shared = Arc::clone(&scripts);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (scripts, seen, gone) = (Arc::clone(&shared), seen.clone(), gone.clone());
                std::thread::spawn(move || connection(stream, &scripts, &seen, &gone));
            }
        });
        Self { address, scripts, requests, closed }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn will(&self, script: Script) {
        self.scripts.lock().expect("scripts").push_back(script);
    }

    pub(crate) fn will_say(&self, bytes: impl Into<Vec<u8>>) {
        self.will(Script { pieces: vec![bytes.into()], ..Script::default() });
    }

    /// Nothing is to be said any more.
    pub(crate) fn forget(&self) {
        self.scripts.lock().expect("scripts").clear();
    }

    /// The next request as it came over the wire.
    pub(crate) fn request(&self) -> Vec<u8> {
        self.requests.recv_timeout(Duration::from_secs(20)).expect("the upstream was called")
    }

    pub(crate) fn request_text(&self) -> String {
        String::from_utf8_lossy(&self.request()).into_owned()
    }

    pub(crate) fn was_not_called(&self) -> bool {
        self.requests.try_recv().is_err()
    }

    pub(crate) fn saw_the_gateway_close(&self) {
        self.closed.recv_timeout(Duration::from_secs(20)).expect("the gateway closed the connection");
    }
}

fn connection(
    mut stream: TcpStream,
    scripts: &Mutex<VecDeque<Script>>,
    seen: &Sender<Vec<u8>>,
    gone: &Sender<()>,
) {
    let _ = stream.set_nodelay(true);
    loop {
        let next = scripts.lock().expect("scripts").front().map(|script| script.hang_up);
        if next == Some(true) {
            scripts.lock().expect("scripts").pop_front();
            return;
        }
        let Some(request) = read_request(&mut stream) else { return };
        let _ = seen.send(request);
        let script = scripts.lock().expect("scripts").pop_front().unwrap_or_default();
        for piece in &script.pieces {
            if stream.write_all(piece).and_then(|()| stream.flush()).is_err() {
                let _ = gone.send(());
                return;
            }
        }
        if script.then_wait {
            let mut byte = [0];
            while matches!(stream.read(&mut byte), Ok(1..)) {}
            let _ = gone.send(());
            return;
        }
        if script.close {
            return;
        }
    }
}

fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            let chunked = head.contains("transfer-encoding: chunked");
            let whole = if chunked {
                bytes.ends_with(b"0\r\n\r\n")
            } else {
                bytes.len() >= end + 4 + length.unwrap_or(0)
            };
            if whole {
                return Some(bytes);
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// An answer with a content length.
pub(crate) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// The head of a chunked answer.
pub(crate) fn chunked_head(headers: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{headers}transfer-encoding: chunked\r\n\r\n").into_bytes()
}

pub(crate) fn chunk(data: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{:x}\r\n", data.len()).into_bytes();
    bytes.extend_from_slice(data);
    bytes.extend_from_slice(b"\r\n");
    bytes
}
