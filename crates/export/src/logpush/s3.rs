//! Batches as objects of a bucket: of S3, or of any store that speaks its protocol. Signed with Signature Version 4.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use genesis_config::logpush::{Bucket, Compression};
use genesis_config::{Environment, ExposeSecret, Secret};
use genesis_store::LogEntry;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method};

use super::pack::{Packed, Packing, pack, with_date};
use crate::post::{Answer, Call, Post};
use crate::target::{Target, Undelivered};

/// Where keys and region come from if the destination names none.
pub(super) const VARIABLES: [&str; 6] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL_S3",
];

/// For one object.
const WITHIN: Duration = Duration::from_secs(60);

pub(super) struct S3Target {
    /// `https://host[/bucket]`
    base: String,
    host: String,
    prefix: String,
    region: String,
    keys: Keys,
    encryption: Option<HeaderValue>,
    packing: Packing,
}

struct Keys {
    id: Secret,
    secret: Secret,
    session_token: Option<Secret>,
}

impl S3Target {
    pub(super) fn new(bucket: &Bucket, environment: &Environment, packing: Packing) -> Result<Self, String> {
        let variable = |name| environment.lookup(name).map(|(value, _)| value);
        let keys = match &bucket.keys {
            Some((id, secret)) => Keys {
                id: id.0.clone(),
                secret: secret.0.clone(),
                session_token: bucket.session_token.as_ref().map(|token| token.0.clone()),
            },
            None => Keys {
                id: variable(VARIABLES[0]).ok_or(NO_KEY)?.clone(),
                secret: variable(VARIABLES[1]).ok_or(NO_KEY)?.clone(),
                session_token: variable(VARIABLES[2]).cloned(),
            },
        };
        let of_environment = || VARIABLES[3..5].iter().find_map(|name| variable(name));
        let endpoint = bucket.endpoint.clone();
        let endpoint = endpoint
            .or_else(|| Some(variable(VARIABLES[5])?.expose_secret().trim_end_matches('/').to_owned()));
        let region = match (&bucket.region, of_environment()) {
            (Some(region), _) => region.clone(),
            (None, Some(region)) => region.expose_secret().to_owned(),
            // Other stores mostly ask for no region, but a signature has one.
            (None, None) if endpoint.is_some() => "us-east-1".to_owned(),
            (None, None) => return Err("it names no region; add `?region=…`, or set AWS_REGION".to_owned()),
        };
        let china = if region.starts_with("cn-") { ".cn" } else { "" };
        let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com{china}"));
        let (scheme, host) = endpoint.split_once("://").ok_or("its endpoint has no scheme")?;
        let host = without_port(scheme, host);
        let host = if bucket.path_style { host.to_owned() } else { format!("{}.{host}", bucket.name) };
        let folder = if bucket.path_style { format!("/{}", bucket.name) } else { String::new() };
        let encryption = bucket.encryption.as_deref().map(HeaderValue::from_str).transpose();
        Ok(Self {
            base: format!("{scheme}://{host}{folder}"),
            host,
            prefix: bucket.prefix.clone(),
            region,
            keys,
            encryption: encryption.map_err(|_| "its `sse` cannot be sent in a header")?,
            packing,
        })
    }

    fn call(&self, packed: Packed) -> Result<Call, String> {
        let name = match with_date(&self.prefix, &packed.date) {
            prefix if prefix.is_empty() => packed.name,
            prefix => format!("{prefix}/{}", packed.name),
        };
        let url = format!("{}/{}", self.base, encoded(&name));
        let mut headers = HeaderMap::new();
        // Not `content-encoding`: a program that fetches `….gz` expects it to be one.
        let kind = match self.packing.compression {
            Compression::Gzip => "application/gzip",
            Compression::None => "application/x-ndjson",
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(value) = &self.encryption {
            headers.insert(HeaderName::from_static("x-amz-server-side-encryption"), value.clone());
        }
        headers.extend(self.signature(&url, &headers, &packed.bytes, SystemTime::now())?);
        Ok(Call {
            method: Method::PUT,
            url,
            headers,
            body: packed.bytes.into(),
            trusted: true,
            within: WITHIN,
        })
    }

    /// The headers that sign a request.
    fn signature(
        &self,
        url: &str,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Result<HeaderMap, String> {
        let mut settings = SigningSettings::default();
        // S3 signs paths as they are sent, and wants the body's hash in a header.
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let identity = Credentials::new(
            self.keys.id.expose_secret(),
            self.keys.secret.expose_secret(),
            self.keys.session_token.as_ref().map(|token| token.expose_secret().to_owned()),
            None,
            "genesis",
        )
        .into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("s3")
            .time(now)
            .settings(settings)
            .build()
            .map_err(|error| error.to_string())?
            .into();
        let host = [("host", self.host.as_str())].into_iter();
        let signed = host
            .chain(headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))));
        let request = SignableRequest::new("PUT", url, signed, SignableBody::Bytes(body))
            .map_err(|error| error.to_string())?;
        let (instructions, _) = sign(request, &params).map_err(|error| error.to_string())?.into_parts();
        let headers = instructions.headers().filter_map(|(name, value)| {
            let mut value = HeaderValue::from_str(value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
        });
        Ok(headers.collect())
    }
}

impl Target for S3Target {
    fn deliver(&mut self, entries: &[LogEntry], post: &mut dyn Post) -> Result<(), Undelivered> {
        let call = self.call(pack(&self.packing, entries)?);
        let call = call.map_err(|why| Undelivered::later(format!("the object cannot be signed: {why}")))?;
        let answer = post.call(&call).map_err(|error| Undelivered::later(error.to_string()))?;
        if answer.status.is_success() { Ok(()) } else { Err(undelivered(&answer)) }
    }
}

const NO_KEY: &str = "it has no key; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or add \
    `&access-key-id=${…}&secret-access-key=${…}`";

/// Without the default port, as the `host` header has it.
fn without_port<'h>(scheme: &str, host: &'h str) -> &'h str {
    host.strip_suffix(if scheme == "http" { ":80" } else { ":443" }).unwrap_or(host)
}

/// Each byte but unreserved ones and slashes as `%XX`, which is how S3 reads and signs paths.
fn encoded(name: &str) -> String {
    let mut path = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                path.push(byte.into())
            }
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

/// An error says more in its code and message than in the rest, which repeats the request and the key's id.
fn undelivered(answer: &Answer) -> Undelivered {
    let body = String::from_utf8_lossy(&answer.body);
    let tag = |name: &str| {
        let (_, rest) = body.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
    };
    let said = [tag("Code"), tag("Message")].into_iter().flatten().collect::<Vec<_>>().join(": ");
    Undelivered::by_status(&Answer { body: said.into(), ..answer.clone() })
}
