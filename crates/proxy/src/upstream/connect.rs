//! Resolve, check, connect, and speak TLS if the origin does.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Origin;
use super::io::Connection;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("the name {host} does not resolve: {cause}")]
    Resolve { host: String, cause: io::Error },
    #[error(
        "{host} is at {address}, which is not a public address; only the operator's own configuration may name one"
    )]
    Private { host: String, address: IpAddr },
    #[error("cannot connect to {host}:{port}: {cause}")]
    Refused { host: String, port: u16, cause: io::Error },
    #[error("no connection to {host} within {after:?}")]
    Timeout { host: String, after: Duration },
    #[error("TLS with {host} failed: {cause}")]
    Tls { host: String, cause: io::Error },
}

/// TLS settings for all providers; certificates are read at the first use, not at start.
#[derive(Default)]
pub(crate) struct TlsSetup {
    config: OnceLock<Arc<ClientConfig>>,
}

impl TlsSetup {
    pub(crate) fn config(&self) -> &Arc<ClientConfig> {
        self.config.get_or_init(|| {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let mut config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .expect("the default provider supports the default versions")
                .with_root_certificates(trusted_roots())
                .with_no_client_auth();
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Arc::new(config)
        })
    }
}

/// The certificate authorities of this machine (or of `SSL_CERT_FILE`), else those built in.
pub fn trusted_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        // Minimal container images carry no certificates.
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

pub(crate) async fn connect(
    tls: &TlsSetup,
    origin: &Origin,
    within: Duration,
) -> Result<Connection, ConnectError> {
    match tokio::time::timeout(within, open(tls, origin)).await {
        Ok(connected) => connected,
        Err(_) => Err(ConnectError::Timeout { host: origin.host.clone(), after: within }),
    }
}

async fn open(tls: &TlsSetup, origin: &Origin) -> Result<Connection, ConnectError> {
    let mut refused = None;
    for address in resolve(origin).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Without it the kernel may hold small writes back for 40 ms.
                let _ = stream.set_nodelay(true);
                return if origin.tls {
                    handshake(tls, origin, stream).await
                } else {
                    Ok(Connection::tcp(stream))
                };
            }
            Err(error) => refused = Some(error),
        }
    }
    let cause = refused.unwrap_or_else(|| io::Error::from(io::ErrorKind::NotFound));
    Err(ConnectError::Refused { host: origin.host.clone(), port: origin.port, cause })
}

/// The addresses to try. What is checked here is what is connected to: the name is not resolved twice.
async fn resolve(origin: &Origin) -> Result<Vec<SocketAddr>, ConnectError> {
    let host = origin.host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<_> = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, origin.port)],
        Err(_) => tokio::net::lookup_host((host, origin.port))
            .await
            .map_err(|cause| ConnectError::Resolve { host: origin.host.clone(), cause })?
            .collect(),
    };
    if !origin.trusted
        && let Some(private) = addresses.iter().find(|address| !is_public(address.ip()))
    {
        return Err(ConnectError::Private { host: origin.host.clone(), address: private.ip() });
    }
    Ok(addresses)
}

async fn handshake(tls: &TlsSetup, origin: &Origin, stream: TcpStream) -> Result<Connection, ConnectError> {
    let failed = |cause| ConnectError::Tls { host: origin.host.clone(), cause };
    let name = ServerName::try_from(origin.host.clone())
        .map_err(|_| failed(io::Error::new(io::ErrorKind::InvalidInput, "not a host name")))?;
    let connector = TlsConnector::from(Arc::clone(tls.config()));
    connector.connect(name, stream).await.map(Connection::tls).map_err(failed)
}

/// Whether an address is on the public internet: not loopback, private, link-local (which holds the clouds'
/// metadata services), shared, multicast, documentation or unspecified.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            !(v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_multicast()
                || v4.is_documentation()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0)
                || (a == 198 && (18..20).contains(&b)))
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_public(IpAddr::V4(v4)),
            // Only global unicast, without the ranges that wrap IPv4 (6to4, Teredo, NAT64) or are documentation.
            None => {
                let [a, b, ..] = v6.segments();
                (0x2000..0x4000).contains(&a) && a != 0x2002 && !(a == 0x2001 && (b < 0x0200 || b == 0x0db8))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        for private in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "2002:7f00:1::",
            "64:ff9b::a9fe:a9fe",
        ] {
            assert!(!is_public(private.parse().expect("address")), "{private}");
        }
        for public in ["1.1.1.1", "8.8.8.8", "104.18.0.1", "2606:4700::1111"] {
            assert!(is_public(public.parse().expect("address")), "{public}");
        }
    }
}
