//! Name, TCP, TLS, HTTP: each step alone, so that each can be timed and blamed.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failure::{Cause, Failure};

/// One of several addresses of a name may be dead; the next is tried after this long.
const PER_ADDRESS: Duration = Duration::from_secs(4);
/// To be connected, TLS included.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Where a provider listens.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Origin {
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Origin {
    /// Of an `http` or `https` address.
    pub(crate) fn of(url: &str) -> Option<Self> {
        let url: http::Uri = url.parse().ok()?;
        let tls = match url.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = url.host()?.to_owned();
        Some(Self { tls, host, port: url.port_u16().unwrap_or(if tls { 443 } else { 80 }) })
    }

    /// `host[:port]`, as the `host` header has it.
    pub(crate) fn authority(&self) -> String {
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// On this machine, as far as its name says.
    pub(crate) fn is_local(&self) -> bool {
        let bare = self.bare_host();
        bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Without the brackets of an IPv6 address.
    fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

/// A connection's bytes, encrypted or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// All addresses of a name.
pub(crate) async fn resolve(origin: &Origin) -> Result<Vec<SocketAddr>, Failure> {
    let host = origin.bare_host();
    let found = tokio::net::lookup_host((host, origin.port)).await;
    let addresses: Vec<_> =
        found.map_err(|error| unreachable(format!("the name {host} does not resolve: {error}")))?.collect();
    if addresses.is_empty() {
        return Err(unreachable(format!("the name {host} has no address")));
    }
    Ok(addresses)
}

/// The first address that takes a connection.
pub(crate) async fn dial(origin: &Origin, addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
    let mut refused = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match tokio::time::timeout(PER_ADDRESS, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Without it the kernel may hold small writes back for 40 ms.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => refused = error,
            Err(_) => refused = io::Error::new(io::ErrorKind::TimedOut, "it does not answer"),
        }
    }
    let failure = unreachable(format!("cannot connect to {}: {refused}", origin.authority()));
    Err(match refused.kind() {
        io::ErrorKind::ConnectionRefused if origin.is_local() => {
            failure.hint("is the gateway running? `genesis gateway run` or `genesis dev` starts one")
        }
        _ => failure,
    })
}

/// TLS over a connection, with the first of `protocols` that the other side speaks too.
pub(crate) async fn secure(
    origin: &Origin,
    stream: TcpStream,
    protocols: &[&[u8]],
) -> Result<TlsStream<TcpStream>, Failure> {
    let failed = |error: io::Error| {
        unreachable(format!("TLS with {} failed: {error}", origin.host)).hint(
            "if a certificate of your own is in use, name its authority's file in SSL_CERT_FILE; check this machine's clock",
        )
    };
    let name = ServerName::try_from(origin.bare_host().to_owned())
        .map_err(|_| failed(io::Error::new(io::ErrorKind::InvalidInput, "not a host name")))?;
    let mut config = tls_config().clone();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(failed)
}

/// Connects, all steps together, for HTTP/1.1.
pub(crate) async fn connect(origin: &Origin) -> Result<Box<dyn Stream>, Failure> {
    in_time(CONNECT_WITHIN, &format!("no connection to {}", origin.authority()), async {
        let stream = dial(origin, &resolve(origin).await?).await?;
        Ok::<Box<dyn Stream>, _>(match origin.tls {
            true => Box::new(secure(origin, stream, &[b"http/1.1"]).await?),
            false => Box::new(stream),
        })
    })
    .await
}

/// A request without a body or a credential.
pub(crate) fn request(method: http::Method, origin: &Origin, path: &str) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap_or_default();
    if let Ok(host) = http::HeaderValue::from_str(&origin.authority()) {
        request.headers_mut().insert(http::header::HOST, host);
    }
    request
}

/// Sends one request and waits for the head of its answer. Dropping the answer closes the connection.
pub(crate) async fn send(
    stream: impl Stream,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, Failure> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(broken)
}

/// The same over HTTP/2, which has the host in the address.
pub(crate) async fn send_http2(
    stream: impl Stream,
    mut request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, Failure> {
    if let Some(host) = request.headers_mut().remove(http::header::HOST) {
        let host = host.to_str().unwrap_or_default();
        *request.uri_mut() = format!("https://{host}{}", request.uri().path()).parse().unwrap_or_default();
    }
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(broken)?;
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(broken)
}

/// `what` came to its end within `limit`, or did not.
pub(crate) async fn in_time<T>(
    limit: Duration,
    otherwise: &str,
    what: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, what).await {
        Ok(done) => done,
        Err(_) => Err(unreachable(format!("{otherwise} within {} s", limit.as_secs_f32()))),
    }
}

/// The message of the innermost cause, which is the one that says something.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn unreachable(message: String) -> Failure {
    Failure::new(Cause::Unreachable, message)
}

fn broken(error: hyper::Error) -> Failure {
    let what = if error.is_parse() { "what came back is not HTTP" } else { "the connection broke" };
    Failure::new(Cause::Broken, format!("{what} before there was an answer: {}", innermost(&error)))
        .hint("the call may be tried again")
}

fn tls_config() -> &'static ClientConfig {
    static CONFIG: OnceLock<ClientConfig> = OnceLock::new();
    CONFIG.get_or_init(|| {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the default provider supports the default versions")
            .with_root_certificates(genesis_proxy::trusted_roots())
            .with_no_client_auth()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_their_usual_ports() {
        for (url, tls, authority, local) in [
            ("https://api.openai.com/v1", true, "api.openai.com", false),
            ("http://127.0.0.1:18789/v1/a/b", false, "127.0.0.1:18789", true),
            ("http://localhost", false, "localhost", true),
            ("https://[::1]:8443/x", true, "[::1]:8443", true),
        ] {
            let origin = Origin::of(url).expect(url);
            assert_eq!((origin.tls, origin.authority().as_str(), origin.is_local()), (tls, authority, local));
        }
        assert_eq!(Origin::of("ftp://host/"), None);
        assert_eq!(Origin::of("/v1"), None);
    }
}
