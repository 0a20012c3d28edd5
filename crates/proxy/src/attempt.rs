//! One upstream call: credential, request head, send.

use std::time::SystemTime;

use bytes::Bytes;
use genesis_config::Provider;
use genesis_store::Fault;
use http::header::{ACCEPT_ENCODING, CONNECTION, HOST, HeaderName, HeaderValue, UPGRADE};
use http::{HeaderMap, Method, StatusCode};

use crate::coding::readable_codings;
use crate::credential::{Credential, SignedRequest};
use crate::failure::Failure;
use crate::options::stays_here;
use crate::plan::Target;
use crate::realtime;
use crate::snapshot::ProviderSetup;
use crate::trace::TRACEPARENT;
use crate::upstream::{self, Answer, ConnectError, Outgoing, Pool, RequestHead, SendError};

pub(crate) struct Attempt<'a> {
    pub(crate) provider: &'a Provider,
    pub(crate) setup: &'a ProviderSetup,
    pub(crate) target: &'a Target,
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) credential: &'a Credential,
    /// Takes the place of the client's, see [`crate::trace`].
    pub(crate) traceparent: Option<&'a HeaderValue>,
}

impl Attempt<'_> {
    pub(crate) async fn send(
        &self,
        pool: &Pool,
        body: Outgoing,
        patience: upstream::Patience,
    ) -> Result<Answer, Failure> {
        let credential = self.credential_headers(pool, &body, patience).await?;
        let head = self.head(&credential).end(&body);
        let slug = &self.provider.slug;
        upstream::send(pool, &self.target.origin, &head, body, patience)
            .await
            .map_err(|error| failure(slug, &error))
    }

    async fn credential_headers(
        &self,
        pool: &Pool,
        body: &Outgoing,
        patience: upstream::Patience,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
        let slug = &self.provider.slug;
        match self.credential {
            Credential::None | Credential::Request => Ok(Vec::new()),
            Credential::Header(name, value, _) => Ok(vec![(name.clone(), value.clone())]),
            // The simulator checks no credential, and no real one is spent on it.
            Credential::Aws(_) | Credential::Google(..) if self.target.simulated => Ok(Vec::new()),
            Credential::Google(key) => {
                let key = key.google().ok_or_else(|| Failure::misconfigured("it is no service account"))?;
                let authorization = Box::pin(key.authorization(pool, patience)).await.map_err(|why| {
                    Failure::upstream(
                        StatusCode::BAD_GATEWAY,
                        format!("no access token for {slug}: {why}"),
                        String::new(),
                    )
                    .with_fault(Fault::Connect)
                })?;
                Ok(vec![(http::header::AUTHORIZATION, authorization)])
            }
            Credential::Aws(key) => {
                let Outgoing::Whole(bytes) = body else {
                    return Err(crate::plan::malformed(
                        "a request signed with a stored AWS key must carry a JSON body",
                    ));
                };
                let signed = self.sign(key, bytes);
                signed.map_err(|why| {
                    Failure::misconfigured(format!("the request to {slug} cannot be signed: {why}"))
                })
            }
        }
    }

    fn sign(
        &self,
        key: &crate::credential::StoredKey,
        body: &Bytes,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        let key = key.aws().ok_or("it is not an AWS key")?;
        let authority = self.target.origin.authority();
        let mut headers = vec![("host", authority.as_str())];
        if let Some(value) =
            self.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok())
        {
            headers.push(("content-type", value));
        }
        let mantle = authority.starts_with("bedrock-mantle");
        let request = SignedRequest {
            method: self.method.as_str(),
            url: &self.target.url(),
            headers,
            body,
            service: if mantle { "bedrock-mantle" } else { "bedrock" },
        };
        key.sign(&request, SystemTime::now())
    }

    /// The client's headers, less those that end here, plus the credential and what the configuration adds.
    fn head(&self, credential: &[(HeaderName, HeaderValue)]) -> RequestHead {
        let mut head = RequestHead::new(
            self.method.clone(),
            &self.target.path_and_query,
            &self.target.origin.authority(),
        );
        let nominated =
            self.headers.get(CONNECTION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        for (name, value) in self.headers {
            let replaced = |(own, _): &(HeaderName, HeaderValue)| own == name;
            if stays_here(name)
                || name == HOST
                || (!nominated.is_empty() && nominates(nominated, name))
                || credential.iter().any(replaced)
                || self.setup.headers.iter().any(replaced)
            {
                continue;
            }
            if name == ACCEPT_ENCODING {
                // Only codings the tee can look into; the client accepts each of them.
                let codings = value.to_str().map(readable_codings).unwrap_or_default();
                let codings = if codings.is_empty() { "identity" } else { &codings };
                if let Ok(value) = HeaderValue::from_str(codings) {
                    head.header(name, &value);
                }
                continue;
            }
            let value = self.traceparent.filter(|_| name == TRACEPARENT).unwrap_or(value);
            head.header(name, value);
        }
        if realtime::is_handshake(self.method, self.headers) {
            head.header(&CONNECTION, &HeaderValue::from_static("Upgrade"));
            head.header(&UPGRADE, &HeaderValue::from_static("websocket"));
        }
        // Headers of the configuration carry the operator's secrets; the simulator has no need of them.
        let configured = if self.target.simulated { &[][..] } else { &self.setup.headers[..] };
        for (name, value) in credential.iter().chain(configured) {
            head.header(name, value);
        }
        head
    }
}

/// Whether `connection: …` names this header as one for a single hop.
fn nominates(connection: &str, name: &HeaderName) -> bool {
    connection.split(',').any(|token| token.trim().eq_ignore_ascii_case(name.as_str()))
}

fn failure(slug: &str, error: &SendError) -> Failure {
    let cause = error.to_string();
    let fault = match error {
        SendError::FirstByte(_) | SendError::Connect(ConnectError::Timeout { .. }) => Some(Fault::Timeout),
        // The operator's own rule stands in the way, not the target.
        SendError::Connect(ConnectError::Private { .. }) | SendError::Upload => None,
        SendError::Connect(_) => Some(Fault::Connect),
        SendError::Broken(_) => Some(Fault::Broken),
        SendError::NotHttp(_) => Some(Fault::NotHttp),
    };
    let failure = match error {
        SendError::FirstByte(after) => Failure::upstream(
            StatusCode::GATEWAY_TIMEOUT,
            format!(
                "{slug} did not answer within {} ms; raise cf-aig-request-timeout or gateway.limits.firstByteSeconds",
                after.as_millis()
            ),
            cause,
        ),
        SendError::Connect(_) => Failure::upstream(
            StatusCode::BAD_GATEWAY,
            format!(
                "{slug} cannot be reached; the gateway's log entry says why, `genesis logs <cf-aig-log-id>` shows it"
            ),
            cause,
        ),
        SendError::Broken(_) => Failure::upstream(
            StatusCode::BAD_GATEWAY,
            format!("{slug} closed the connection before it answered; the call may be sent again"),
            cause,
        ),
        SendError::NotHttp(_) => {
            Failure::upstream(StatusCode::BAD_GATEWAY, format!("what {slug} answered is not HTTP"), cause)
        }
        SendError::Upload => Failure::refused(
            StatusCode::BAD_REQUEST,
            crate::failure::Code::MalformedRequest,
            "The request body broke off",
            "the upload ended before it was complete or grew over gateway.limits.uploadBytes",
        ),
    };
    Failure { fault, ..failure }
}
