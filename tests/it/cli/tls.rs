//! The client over TLS, with either version of HTTP: a certificate it trusts, and one it does not.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::sandbox::Sandbox;

const ANSWER: &str = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"over TLS\"}}]}\n\n\
    data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
    data: [DONE]\n\n";

/// A provider that speaks `protocols` over TLS and answers every question the same. Its thread ends with the tests.
fn serve(protocols: &'static [&'static [u8]]) -> SocketAddr {
    let (sender, address) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            sender.send(listener.local_addr().expect("an address")).expect("the test waits");
            let acceptor = TlsAcceptor::from(Arc::new(config(protocols)));
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                // A client that does not trust the certificate leaves here.
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let speaks_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let stream = TokioIo::new(stream);
                let _ = match speaks_http2 {
                    true => {
                        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                        builder.serve_connection(stream, service_fn(answer)).await
                    }
                    false => {
                        let builder = hyper::server::conn::http1::Builder::new();
                        builder.serve_connection(stream, service_fn(answer)).await
                    }
                };
            }
        });
    });
    address.recv().expect("it listens")
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let host = request.uri().host().is_some() || request.headers().contains_key("host");
    assert!(host, "every request says whom it is for: {request:?}");
    let mut response = Response::new(Full::from(ANSWER));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

fn config(protocols: &[&[u8]]) -> ServerConfig {
    let certificate = CertificateDer::from_pem_file(file("certificate.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(file("key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate and its key");
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config
}

/// A certificate for 127.0.0.1 that nobody signed but itself, good for a hundred years. Its key guards nothing.
fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls").join(name)
}

fn home(address: SocketAddr) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write(
        "genesis.json",
        &format!(
            r#"{{ agents: {{ defaults: {{ model: "own/m" }} }}, gateway: {{ listen: "127.0.0.1:0" }},
                 models: {{ providers: {{ own: {{ baseUrl: "https://{address}/v1" }} }} }} }}"#
        ),
    );
    sandbox
}

#[test]
fn a_trusted_certificate_is_taken_and_another_is_not() {
    let certificate = file("certificate.pem");
    let trusted = [("SSL_CERT_FILE", certificate.to_str().unwrap())];
    let sandbox = home(serve(&[b"http/1.1"]));
    let ran = sandbox.genesis_in(&["agent", "-m", "hi"], &trusted, "").ok();
    assert_eq!(ran.stdout, "over TLS\n");

    sandbox
        .genesis(&["agent", "-m", "hi"])
        .fails(5, &["TLS with 127.0.0.1 failed", "certificate", "SSL_CERT_FILE"]);
}

#[test]
fn the_doctor_says_which_http_a_provider_speaks() {
    let certificate = file("certificate.pem");
    let trusted = [("SSL_CERT_FILE", certificate.to_str().unwrap())];
    let protocols: [(&'static [&'static [u8]], &str); 2] =
        [(&[b"h2", b"http/1.1"], "HTTP/2 "), (&[b"http/1.1"], "HTTP/1.1 ")];
    for (protocols, version) in protocols {
        let sandbox = home(serve(protocols));
        let ran = sandbox.genesis_in(&["doctor"], &trusted, "");
        let way = ran.stdout.lines().find(|line| line.contains("(own)")).expect("the provider");
        for part in ["ok ", "name ", "TCP ", "TLS 1.3 ", version] {
            assert!(way.contains(part), "{part}: {way}");
        }
        // What the client itself speaks works with both.
        sandbox.genesis_in(&["agent", "-m", "hi"], &trusted, "").ok();
    }
}
