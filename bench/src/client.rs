//! One kind of request, sent again and again over connections of its own.

use std::net::{SocketAddr, ToSocketAddrs as _};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::dialect::Dialect;

/// A connection to the target.
pub type Connection = SendRequest<Full<Bytes>>;

/// What is asked and of whom: the flags that `load` and `idle` share.
#[derive(clap::Args, Debug, Clone)]
pub struct Question {
    /// Where to send requests, such as `http://127.0.0.1:9101/v1/chat/completions`
    #[arg(long)]
    pub url: String,
    /// Wire format of the request
    #[arg(long, default_value = "openai")]
    pub dialect: Dialect,
    /// Model name [default: one with a known price]
    #[arg(long)]
    pub model: Option<String>,
    /// Bytes of the request body
    #[arg(long, default_value_t = 300)]
    pub size: usize,
    /// Another request header, `name: value`
    #[arg(short = 'H', long = "header")]
    pub headers: Vec<String>,
    /// What the mock should do, such as `events=100,gap-us=20000`; sent as header `x-mock`
    #[arg(long)]
    pub mock: Option<String>,
    /// Process whose tree's CPU and memory are reported
    #[arg(long)]
    pub pid: Option<u32>,
}

/// A question made ready to be sent many times.
#[derive(Debug, Clone)]
pub struct Target {
    address: SocketAddr,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Target {
    /// Resolves the address and writes the body.
    pub fn new(question: &Question, stream: bool) -> Result<Target> {
        let url: Uri = question.url.parse().with_context(|| format!("--url {:?} is no URL", question.url))?;
        ensure!(
            url.scheme_str() == Some("http"),
            "--url must begin with http:// (everything stays on this machine)"
        );
        let authority = url.authority().context("--url names no host")?;
        let address = (authority.host(), authority.port_u16().unwrap_or(80))
            .to_socket_addrs()?
            .next()
            .context("the host of --url has no address")?;
        ensure!(address.ip().is_loopback(), "--url must be on loopback: this is a load generator");
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(authority.as_str())?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(script) = &question.mock {
            headers.insert(crate::mock::script::HEADER, HeaderValue::from_str(script)?);
        }
        for header in &question.headers {
            let Some((name, value)) = header.split_once(':') else {
                bail!("-H {header:?} must be `name: value`")
            };
            headers.insert(HeaderName::try_from(name.trim())?, HeaderValue::from_str(value.trim())?);
        }
        let model = question.model.as_deref().unwrap_or_else(|| question.dialect.usual_model());
        let body = question.dialect.request_body(model, stream, question.size).into();
        let uri = url.path_and_query().map_or("/", |path| path.as_str()).parse()?;
        Ok(Target { address, uri, headers, body })
    }

    /// Opens a connection, driven by a task of its own.
    pub async fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect(self.address).await.context("cannot connect to the target")?;
        stream.set_nodelay(true)?;
        let (connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        Ok(connection)
    }

    /// The request, once more.
    #[must_use]
    pub fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}
