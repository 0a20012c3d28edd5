//! As much HTTP/1.1 as the tests need, on plain sockets: what is sent and received is exactly what is written here.

use std::io::{self, BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A call that takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// One message: its first line and headers as they came, and its body without the framing.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Message {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Reads one; `UnexpectedEof` if it is cut short.
    fn read(from: &mut impl BufRead) -> io::Result<Self> {
        let mut message = Self { head: String::new(), body: Vec::new() };
        while !message.head.ends_with("\r\n\r\n") {
            if from.read_line(&mut message.head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if message.header("transfer-encoding").is_some() {
            while message.read_chunk(from)? {}
        } else if let Some(length) = message.header("content-length") {
            message.body.resize(length.parse().expect("a length"), 0);
            from.read_exact(&mut message.body)?;
        }
        Ok(message)
    }

    /// False for the last one.
    fn read_chunk(&mut self, from: &mut impl BufRead) -> io::Result<bool> {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let length = usize::from_str_radix(line.trim(), 16).map_err(|_| io::ErrorKind::InvalidData)?;
        let mut piece = vec![0; length + 2];
        from.read_exact(&mut piece)?;
        self.body.extend_from_slice(&piece[..length]);
        Ok(length > 0)
    }
}

/// A connection to a gateway.
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a request and reads its answer to the end.
    pub(crate) fn call(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Message> {
        self.send(method, path, headers, body)?;
        self.answer()
    }

    pub(crate) fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<()> {
        let mut request = format!("{method} {path} HTTP/1.1\r\ncontent-length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| *name == "host") {
            request.push_str("host: genesis\r\n");
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        self.0.get_mut().write_all(&[request.as_bytes(), body].concat())
    }

    pub(crate) fn answer(&mut self) -> io::Result<Message> {
        Message::read(&mut self.0)
    }

    /// Reads on until `part` was among it; all that was read.
    pub(crate) fn read_until(&mut self, part: &str) -> io::Result<Vec<u8>> {
        let mut read = Vec::new();
        while !read.windows(part.len()).any(|window| window == part.as_bytes()) {
            if self.0.read_until(b'\n', &mut read)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(read)
    }
}

/// A request on a connection of its own.
pub(crate) fn call(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Message {
    Client::connect(address)
        .and_then(|mut client| client.call(method, path, headers, body))
        .expect("an answer")
}

/// A provider that keeps every request as it came and answers what it is told to. Its thread ends with the tests.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Message>>>,
}

impl Upstream {
    /// `answer` makes a whole answer, head and body, of a request.
    pub(crate) fn start(answer: impl Fn(&Message) -> Vec<u8> + Clone + Send + 'static) -> Self {
        Self::scripted(move |request, stream| stream.write_all(&answer(request)))
    }

    /// `answer` writes an answer piece by piece, as slowly as it likes; the connection ends if it fails.
    pub(crate) fn scripted(
        answer: impl Fn(&Message, &mut TcpStream) -> io::Result<()> + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&received);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, kept) = (answer.clone(), Arc::clone(&kept));
                thread::spawn(move || serve(stream, &answer, &kept));
            }
        });
        Self { address, received }
    }

    pub(crate) fn received(&self) -> Vec<Message> {
        self.received.lock().expect("lock").clone()
    }
}

fn serve(
    stream: TcpStream,
    answer: &impl Fn(&Message, &mut TcpStream) -> io::Result<()>,
    kept: &Mutex<Vec<Message>>,
) {
    let mut stream = BufReader::new(stream);
    while let Ok(request) = Message::read(&mut stream) {
        kept.lock().expect("lock").push(request.clone());
        if answer(&request, stream.get_mut()).is_err() {
            return;
        }
    }
}

/// An answer with a JSON body.
pub(crate) fn json(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}
