//! The client over TLS: a certificate it trusts, and one it does not.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::sandbox::Sandbox;

/// One connection after the other; a request's size is what it says, and the answer is always the same.
const SERVER: &str = r#"
import ssl, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_response(200)
        self.end_headers()
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"over TLS"},"finish_reason":null}]}\n\n' \
               b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
server = HTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start() -> Self {
        let mut child = Command::new("python3")
            .args(["-c", SERVER])
            .args([file("certificate.pem"), file("key.pem")])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3");
        let mut port = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut port).expect("its port");
        let address = SocketAddr::from(([127, 0, 0, 1], port.trim().parse().expect("a port")));
        Self { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A certificate for 127.0.0.1 that nobody signed but itself, good for a hundred years. Its key guards nothing.
fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls").join(name)
}

#[test]
fn a_trusted_certificate_is_taken_and_another_is_not() {
    let server = Server::start();
    let sandbox = Sandbox::new();
    sandbox.write(
        "genesis.json",
        &format!(
            r#"{{ agents: {{ defaults: {{ model: "own/m" }} }}, gateway: {{ listen: "127.0.0.1:0" }},
                 models: {{ providers: {{ own: {{ baseUrl: "https://{}/v1" }} }} }} }}"#,
            server.address
        ),
    );
    let trusted = file("certificate.pem");
    let trusted = [("SSL_CERT_FILE", trusted.to_str().unwrap())];
    let ran = sandbox.genesis_in(&["agent", "-m", "hi"], &trusted, "").ok();
    assert_eq!(ran.stdout, "over TLS\n");
    let ran = sandbox.genesis_in(&["doctor"], &trusted, "");
    assert!(ran.stdout.contains("TLS 1.3 "), "{ran:?}");

    sandbox
        .genesis(&["agent", "-m", "hi"])
        .fails(5, &["TLS with 127.0.0.1 failed", "certificate", "SSL_CERT_FILE"]);
}
