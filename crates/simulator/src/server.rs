//! Accepts connections (HTTP/1.1 and h2 in clear text) and answers requests.

use std::convert::Infallible;
use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming as Upload;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::body::{Ending, Paced};
use crate::capture::{Answering, Captured, Ledger, Outcome};
use crate::dialect::{self, Family, anthropic};
use crate::fault;
use crate::incoming::Incoming;
use crate::line::{Line, Switch};
use crate::reply::Reply;
use crate::route;
use crate::script::Script;

/// Where a caller writes the script of an answer.
const SCRIPT_HEADER: &str = "x-simulator";
/// A model of this name is a script too, for callers that cannot set headers.
const SCRIPT_MODEL: &str = "sim-";

/// How a simulator behaves, whatever is asked of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Keep every request for [`Simulator::captured`](crate::Simulator::captured). Memory grows with each one.
    pub capture: bool,
    /// Put `x-genesis-simulated: true` on every answer.
    pub simulated_header: bool,
}

/// Serves until dropped, which closes every connection. Needs a tokio runtime of any flavour with I/O and time.
pub async fn serve(listener: TcpListener, options: Options) -> Infallible {
    let options = Options { capture: false, ..options };
    Server::new(options, Arc::default()).run(listener).await
}

/// What all connections share.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    options: Options,
    ledger: Arc<Ledger>,
}

impl Server {
    pub(crate) fn new(options: Options, ledger: Arc<Ledger>) -> Self {
        Self { options, ledger }
    }

    pub(crate) async fn run(self, listener: TcpListener) -> Infallible {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => drop(connections.spawn(self.clone().connection(stream))),
                    // Out of file descriptors, or a client that left the queue: let others finish first.
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn connection(self, stream: TcpStream) {
        // Without it answers are only slower; not worth refusing a connection.
        let _ = stream.set_nodelay(true);
        let switch = Arc::new(Switch::default());
        let line = TokioIo::new(Line::new(stream, Arc::clone(&switch)));
        let service = service_fn(move |request| self.clone().answer(request, Arc::clone(&switch)));
        // A connection ends in an error when a client leaves or a script cuts it; both are in the ledger.
        let _ = Builder::new(TokioExecutor::new()).serve_connection(line, service).await;
    }

    async fn answer(self, request: Request<Upload>, switch: Arc<Switch>) -> Result<Response<Paced>, Error> {
        let (head, upload) = request.into_parts();
        let (body, complete) = collect(upload).await;
        let mut answering = self.ledger.begin(|| captured(&head, &body), self.options.capture);
        if !complete {
            return Err(Error::new(ErrorKind::UnexpectedEof, "the client left during the upload"));
        }
        let incoming = Incoming::new(&head, body);
        let family = Family::of(&incoming);
        let (script, unreadable) = match self.script(&incoming) {
            Ok(script) => (script, None),
            Err(message) => (Script::default(), Some(dialect::error(family, 400, &message))),
        };
        if script.reset {
            switch.reset();
            answering.end(Outcome::Broken);
            return Err(Error::new(ErrorKind::ConnectionReset, "reset by the script"));
        }
        if script.stall_head {
            std::future::pending::<()>().await;
        }
        if let Some(delay) = script.delay {
            tokio::time::sleep(delay).await;
        }
        let mut reply = unreadable.unwrap_or_else(|| answer_or_error(&incoming, &script, family));
        let ending = fault::apply(&mut reply, &script, family, &switch);
        Ok(self.response(reply, ending, &script, &incoming, answering))
    }

    /// The directives of the header and of the model name; none once a `first=N` script has had its turns.
    fn script(&self, incoming: &Incoming) -> Result<Script, String> {
        let header = incoming.headers.get(SCRIPT_HEADER).and_then(|value| value.to_str().ok()).unwrap_or("");
        let model = incoming.model.strip_prefix(SCRIPT_MODEL).unwrap_or("");
        let text = format!("{header},{model}");
        let script = Script::parse(&text)?;
        match script.first {
            Some(turns) if self.ledger.count(format!("{} {text}", incoming.path)) >= turns => {
                Ok(Script::default())
            }
            _ => Ok(script),
        }
    }

    fn response(
        &self,
        mut reply: Reply,
        ending: Ending,
        script: &Script,
        incoming: &Incoming,
        answering: Answering,
    ) -> Response<Paced> {
        let bodiless = incoming.method == Method::HEAD || matches!(reply.status, 204 | 304);
        if bodiless {
            reply.frames.clear();
        }
        let mut response = Response::new(Paced::new(reply.frames, ending, script.gap, answering));
        *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
        let headers = response.headers_mut();
        if !bodiless || incoming.method == Method::HEAD {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
        }
        let id_header = match Family::of(incoming) {
            Family::Anthropic => anthropic::REQUEST_ID,
            Family::Bedrock => "x-amzn-requestid",
            _ => "x-request-id",
        };
        insert(headers, id_header, &incoming.request_id());
        for (name, value) in &reply.headers {
            insert(headers, name, value);
        }
        if incoming.version == http::Version::HTTP_2 {
            headers.remove(header::CONNECTION);
        }
        if self.options.simulated_header {
            headers.insert("x-genesis-simulated", HeaderValue::from_static("true"));
        }
        response
    }
}

fn answer_or_error(incoming: &Incoming, script: &Script, family: Family) -> Reply {
    match script.status {
        Some(status @ 300..=399) => dialect::error(family, status, "Simulated redirect.")
            .with_header("location", "/simulated-redirect"),
        Some(status @ 400..) => dialect::error(family, status, "Simulated failure, as the script asked."),
        status => {
            let reply = route::answer(incoming, script);
            // A scripted success does not hide that the request itself was refused.
            let status = status.filter(|_| reply.status == 200).unwrap_or(reply.status);
            Reply { status, ..reply }
        }
    }
}

/// Everything the client sent, and whether it sent all of it.
async fn collect(mut upload: Upload) -> (Bytes, bool) {
    let mut body = BytesMut::new();
    while let Some(frame) = upload.frame().await {
        match frame {
            Ok(frame) => body.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
            Err(_) => return (body.freeze(), false),
        }
    }
    (body.freeze(), true)
}

fn captured(head: &http::request::Parts, body: &Bytes) -> Captured {
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    Captured {
        method: head.method.to_string(),
        path_and_query: target.to_owned(),
        headers: headers.collect(),
        body: body.clone(),
        outcome: Outcome::Answering,
    }
}

/// A script may hold bytes that no header can; such a header is left out.
fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
