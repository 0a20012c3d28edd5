//! One entry of a gateway's `otel`, as it is called.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use genesis_config::gateway::{OtelEncoding, OtelExporter};
use genesis_config::{ExposeSecret, GatewaySettings, Secret};
use genesis_store::sha256;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::address::Addresses;
use crate::otlp::{self, Message, Said, said};
use crate::post::{Call, Post};
use crate::target::Undelivered;

/// How long a collector may take for one request.
const WITHIN: Duration = Duration::from_secs(10);

/// A collector of one gateway.
pub struct Collector {
    /// Of its exports: the gateway, the collector's host, and what tells it from others there.
    pub(super) name: String,
    /// Whatever makes it another one; a digest, since it covers secrets.
    pub(super) identity: String,
    pub(super) gateway: String,
    pub(super) addresses: Addresses,
    encoding: OtelEncoding,
    trusted: bool,
    /// What cannot be sent, because a variable is missing, waits in the log with the reason.
    headers: Result<HeaderMap, String>,
}

/// Where a gateway's settings come from.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    /// Its collectors may be anywhere: the operator wrote the addresses.
    pub trusted: bool,
    /// What `${VAR}` in headers stands for; `None`: nothing, the text is meant as it stands.
    pub substitute: Option<Substitute<'a>>,
}

/// The text with every variable in it; an error names one that is not set.
pub type Substitute<'a> = &'a dyn Fn(&str) -> Result<Secret, String>;

impl Collector {
    /// The collectors of a gateway.
    pub fn of(gateway: &GatewaySettings, origin: Origin<'_>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for (index, exporter) in gateway.otel.iter().enumerate() {
            let mut collector = Self::new(&gateway.id, exporter, origin);
            // The same address twice, say for two keys of one service.
            if all.iter().any(|other| other.name == collector.name) {
                let _ = write!(collector.name, "-{index}");
            }
            all.push(collector);
        }
        all
    }

    fn new(gateway: &str, exporter: &OtelExporter, origin: Origin<'_>) -> Self {
        let url = origin.text(&exporter.url);
        let headers = headers(exporter, origin);
        let address =
            url.as_ref().map_or_else(|_| exporter.url.clone(), |url| url.expose_secret().to_owned());
        let mut identity = format!("{address}\n{:?}\n{}\n", exporter.content_type, origin.trusted);
        for (name, value) in headers.iter().flatten() {
            let _ = writeln!(identity, "{name}: {}", String::from_utf8_lossy(value.as_bytes()));
        }
        if let Err(why) = &headers {
            identity.push_str(why);
        }
        Self {
            name: format!("otel {gateway} {} {}", host(&address), &digest(&exporter.url)[..8]),
            identity: digest(&identity),
            gateway: gateway.to_owned(),
            addresses: Addresses::of(&address),
            encoding: exporter.content_type,
            trusted: origin.trusted,
            headers: url.and(headers),
        }
    }

    pub(super) fn takes_metrics(&self) -> bool {
        self.addresses.metrics.is_some()
    }

    /// Posts one message.
    pub(super) fn send(
        &self,
        url: &str,
        message: &impl Message,
        post: &mut dyn Post,
    ) -> Result<Delivered, Unsent> {
        let later = |why| Unsent::Later { why, after: None };
        let mut headers = self.headers.clone().map_err(later)?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(otlp::content_type(self.encoding)));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(OURSELVES));
        let body = zipped(&otlp::encode(message, self.encoding));
        let call = Call {
            method: Method::POST,
            url: url.to_owned(),
            headers,
            body,
            trusted: self.trusted,
            within: WITHIN,
        };
        let answer = post.call(&call).map_err(|error| later(error.to_string()))?;
        match said(answer.status.as_u16(), &answer.body) {
            Said::Taken { hint } => Ok(Delivered { rejected: 0, hint }),
            Said::Partly { rejected, why } => Ok(Delivered { rejected, hint: Some(why) }),
            Said::Later { why } => Err(Unsent::Later { why, after: answer.retry_after }),
            Said::Misplaced { why } => Err(Unsent::Misplaced { why }),
            Said::TooLarge { why } => Err(Unsent::TooLarge { why }),
            Said::Refused { why } => Err(Unsent::Refused { why }),
        }
    }
}

/// What a collector made of a message it took.
#[derive(Debug)]
pub(super) struct Delivered {
    /// Spans or points it will never take.
    pub(super) rejected: u64,
    pub(super) hint: Option<String>,
}

/// Why a collector did not take a message.
#[derive(Debug)]
pub(super) enum Unsent {
    Later { why: String, after: Option<Duration> },
    Misplaced { why: String },
    TooLarge { why: String },
    Refused { why: String },
}

impl From<Unsent> for Undelivered {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Later { why, after } => Self::Later { why, after },
            Unsent::Misplaced { why } => Self::later(why),
            Unsent::TooLarge { why } => Self::TooLarge { why },
            Unsent::Refused { why } => Self::Refused { why },
        }
    }
}

const OURSELVES: &str = concat!("genesis/", env!("CARGO_PKG_VERSION"));

impl Origin<'_> {
    fn text(&self, text: &str) -> Result<Secret, String> {
        self.substitute.map_or_else(|| Ok(Secret::from(text.to_owned())), |substitute| substitute(text))
    }
}

/// The exporter's own headers. All of them may be secrets.
fn headers(exporter: &OtelExporter, origin: Origin<'_>) -> Result<HeaderMap, String> {
    let own = exporter.headers.iter().map(|(name, value)| (name.as_str(), value));
    let authorization = exporter.authorization.iter().map(|value| (AUTHORIZATION.as_str(), value));
    let mut headers = HeaderMap::new();
    for (name, value) in own.chain(authorization) {
        let value = origin.text(value)?;
        let parsed = HeaderName::try_from(name).ok().zip(HeaderValue::from_str(value.expose_secret()).ok());
        let (name, mut value) =
            parsed.ok_or_else(|| format!("the header `{name}` of otel cannot be sent"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

fn zipped(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default().into()
}

/// Without what may be secret in an address: user, path, query.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

fn digest(text: &str) -> String {
    sha256(text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}"); // writing to a string cannot fail
        hex
    })
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").field("trusted", &self.trusted).finish_non_exhaustive()
    }
}
