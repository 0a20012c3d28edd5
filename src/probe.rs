//! Whether a gateway answers at an address: one small request over plain HTTP, with a limit on everything.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(2);
/// More than any health report takes, with some hundred targets in it.
const LONGEST: u64 = 1024 * 1024;

/// What is found at an address.
#[derive(Debug)]
pub(crate) enum Found {
    /// A gateway, with what `/readyz` says.
    Gateway(Value),
    /// Something else listens there.
    Other,
    /// Nobody listens.
    Nobody(String),
}

impl Found {
    pub(crate) fn is_gateway(&self) -> bool {
        matches!(self, Self::Gateway(_))
    }
}

/// Asks the gateway that listens on `listen` whether it is ready.
pub(crate) fn probe(listen: SocketAddr) -> Found {
    let report = match ask(reachable(listen)) {
        Ok(report) => report,
        Err(error) => return Found::Nobody(error.to_string()),
    };
    let body = report.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    match serde_json::from_str::<Value>(body) {
        Ok(report) if report.get("ready").is_some() => Found::Gateway(report),
        _ => Found::Other,
    }
}

/// Where one connects to in order to reach a listener on this machine.
pub(crate) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut said = Vec::new();
    // Whatever came before an error is looked at: something listens there.
    let _ = stream.take(LONGEST).read_to_end(&mut said);
    Ok(String::from_utf8_lossy(&said).into_owned())
}
