//! AWS Signature Version 4, for Bedrock with stored IAM keys.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use genesis_config::{ExposeSecret, Secret};
use http::header::{HeaderName, HeaderValue};
use serde::Deserialize;

/// The stored form: `{"accessKeyId", "secretAccessKey", "region", "sessionToken"?}`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AwsKey {
    access_key_id: Secret,
    secret_access_key: Secret,
    region: String,
    session_token: Option<Secret>,
}

/// What a signature covers.
pub(crate) struct SignedRequest<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: &'a str,
    pub(crate) headers: Vec<(&'a str, &'a str)>,
    pub(crate) body: &'a [u8],
    /// `bedrock` or `bedrock-mantle`.
    pub(crate) service: &'a str,
}

impl AwsKey {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| {
            format!(
                "it should be {{\"accessKeyId\", \"secretAccessKey\", \"region\"}} (line {}, column {})",
                error.line(),
                error.column()
            )
        })
    }

    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// The headers to add. The region is the one the URL names, else the key's own.
    pub(crate) fn sign(
        &self,
        request: &SignedRequest<'_>,
        now: SystemTime,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        let identity = Credentials::new(
            self.access_key_id.expose_secret(),
            self.secret_access_key.expose_secret(),
            self.session_token.as_ref().map(|token| token.expose_secret().to_owned()),
            None,
            "genesis",
        )
        .into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(region_of(request.url).unwrap_or(&self.region))
            .name(request.service)
            .time(now)
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| error.to_string())?
            .into();
        let signable = SignableRequest::new(
            request.method,
            request.url,
            request.headers.iter().copied(),
            SignableBody::Bytes(request.body),
        )
        .map_err(|error| error.to_string())?;
        let (instructions, _) = sign(signable, &params).map_err(|error| error.to_string())?.into_parts();
        let headers = instructions.headers().filter_map(|(name, value)| {
            let mut value = HeaderValue::from_str(value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
        });
        Ok(headers.collect())
    }
}

/// `us-east-1` of `https://bedrock-runtime.us-east-1.amazonaws.com/…`.
fn region_of(url: &str) -> Option<&str> {
    let host = url.split("://").nth(1)?.split('/').next()?;
    let mut labels = host.split('.');
    labels.next()?.starts_with("bedrock").then(|| labels.next()).flatten()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const KEY: &str = r#"{"accessKeyId":"AKIDEXAMPLE","secretAccessKey":"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY","region":"us-east-1"}"#;

    #[test]
    fn signs_with_date_scope_and_signed_headers() {
        let key = AwsKey::read(KEY).expect("key");
        let request = SignedRequest {
            method: "POST",
            url: "https://bedrock-runtime.eu-west-1.amazonaws.com/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse",
            headers: vec![
                ("host", "bedrock-runtime.eu-west-1.amazonaws.com"),
                ("content-type", "application/json"),
            ],
            body: b"{}",
            service: "bedrock",
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        let headers = key.sign(&request, now).expect("signed");
        let value = |wanted: &str| {
            let found = headers.iter().find(|(name, _)| name == wanted);
            found.and_then(|(_, value)| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        assert_eq!(value("x-amz-date"), "20260921T141320Z");
        let authorization = value("authorization");
        assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260921/eu-west-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date"), "{authorization}");
        assert_eq!(key.sign(&request, now).expect("signed"), headers, "deterministic");
    }

    #[test]
    fn a_wrong_key_is_described_and_not_shown() {
        let error = AwsKey::read(r#"{"accessKeyId":"AKID","secretAccessKey":5}"#).err().expect("refused");
        assert!(!error.contains("AKID"), "{error}");
    }
}
