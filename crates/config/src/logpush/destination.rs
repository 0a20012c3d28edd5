//! Where the log is carried, read out of one line.

use std::fmt;

use crate::secret::{ExposeSecret, Secret};

/// A destination, read.
#[derive(Clone, Debug, PartialEq)]
pub enum Destination {
    Stdout,
    /// A folder; `{DATE}` in it is the day of the batch, `20261122`.
    Folder(String),
    Http {
        url: String,
        /// Given as `header_<name>` in the address.
        headers: Vec<(String, Private)>,
    },
    S3(Bucket),
}

/// A bucket of S3 or of a store that speaks its protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    pub name: String,
    /// What object names begin with; `{DATE}` as in folders. No slash at either end.
    pub prefix: String,
    /// `None`: the environment's.
    pub region: Option<String>,
    /// `https://host[:port]` of another store than Amazon's.
    pub endpoint: Option<String>,
    /// `endpoint/bucket/name` instead of `bucket.endpoint/name`.
    pub path_style: bool,
    /// Id and secret. `None`: the environment's.
    pub keys: Option<(Private, Private)>,
    pub session_token: Option<Private>,
    /// Value of `x-amz-server-side-encryption`.
    pub encryption: Option<String>,
}

/// Text that is compared and not printed.
#[derive(Clone)]
pub struct Private(pub Secret);

impl PartialEq for Private {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Why a destination cannot be read. Quotes nothing of it but names of parameters.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct BadDestination {
    pub(super) message: String,
    pub(super) hint: &'static str,
}

impl Destination {
    /// Reads it; `${VAR}` may stand in a value.
    pub fn parse(text: &str) -> Result<Self, BadDestination> {
        if text == "stdout" {
            return Ok(Self::Stdout);
        }
        let (scheme, rest) = text.split_once(':').ok_or_else(|| bad("has no scheme", FORMS))?;
        match scheme {
            "file" => folder(rest),
            "http" | "https" => http(text),
            "s3" => bucket(rest, &S3_PARAMETERS),
            "r2" => r2(rest),
            _ => Err(bad("is of a kind that is not there", FORMS)),
        }
    }

    /// In a word, for people.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Folder(_) => "file",
            Self::Http { .. } => "http",
            Self::S3(_) => "s3",
        }
    }
}

const FORMS: &str = "one of stdout, file:/folder, https://host/path, s3://bucket/path?region=…, r2://bucket/path?account-id=…";
const S3_PARAMETERS: [&str; 7] =
    ["region", "endpoint", "access-key-id", "secret-access-key", "session-token", "path-style", "sse"];

fn bad(message: impl Into<String>, hint: &'static str) -> BadDestination {
    BadDestination { message: message.into(), hint }
}

fn folder(rest: &str) -> Result<Destination, BadDestination> {
    let path = rest.strip_prefix("//").unwrap_or(rest).trim_end_matches('/');
    if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(bad("names no absolute folder", "such as file:/var/log/genesis/{DATE}"));
    }
    Ok(Destination::Folder(path.to_owned()))
}

/// `header_<name>` parameters become headers; the others stay in the address.
fn http(text: &str) -> Result<Destination, BadDestination> {
    const HINT: &str = "such as https://logs.example.com/genesis?header_Authorization=Bearer%20${TOKEN}";
    let (address, query) = text.split_once('?').unwrap_or((text, ""));
    let host = address.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default());
    if host.is_none_or(str::is_empty) || host.is_some_and(|host| host.contains('@')) || text.contains('#') {
        return Err(bad("is no address of http or https", HINT));
    }
    let (mut headers, mut left) = (Vec::new(), Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name.strip_prefix("header_") {
            Some(name) => headers.push((decoded(name)?, private(value)?)),
            None => left.push(pair),
        }
    }
    let url = if left.is_empty() { address.to_owned() } else { format!("{address}?{}", left.join("&")) };
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(bad("has characters that must be percent-encoded", HINT));
    }
    Ok(Destination::Http { url, headers })
}

fn bucket(rest: &str, known: &[&str]) -> Result<Destination, BadDestination> {
    const HINT: &str = "such as s3://bucket/logs/{DATE}?region=eu-central-1";
    let rest = rest.strip_prefix("//").ok_or_else(|| bad("names no bucket", HINT))?;
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (name, prefix) = place.split_once('/').unwrap_or((place, ""));
    let usual = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    if name.is_empty() || !name.chars().all(usual) {
        return Err(bad("names no bucket", HINT));
    }
    let mut found = Bucket {
        name: name.to_owned(),
        prefix: prefix.trim_matches('/').to_owned(),
        region: None,
        endpoint: None,
        path_style: false,
        keys: None,
        session_token: None,
        encryption: None,
    };
    let (mut id, mut secret, mut path_style) = (None, None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (parameter, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !known.contains(&parameter) {
            let message = format!("has a parameter `{}` that is not there", shown(parameter));
            return Err(bad(
                message,
                "region, endpoint, access-key-id, secret-access-key, session-token, path-style, sse",
            ));
        }
        match parameter {
            "region" => found.region = Some(decoded(value)?),
            "endpoint" => found.endpoint = Some(endpoint(&decoded(value)?)?),
            "access-key-id" => id = Some(private(value)?),
            "secret-access-key" => secret = Some(private(value)?),
            "session-token" => found.session_token = Some(private(value)?),
            "sse" => found.encryption = Some(decoded(value)?),
            "path-style" => path_style = Some(value != "false"),
            _ => {}
        }
    }
    found.keys = match (id, secret) {
        (Some(id), Some(secret)) => Some((id, secret)),
        (None, None) => None,
        _ => return Err(bad("has half of a key", "access-key-id and secret-access-key belong together")),
    };
    // A certificate for `*.s3.…` covers no name with more dots; other stores mostly serve one host name only.
    found.path_style = path_style.unwrap_or(found.endpoint.is_some() || found.name.contains('.'));
    Ok(Destination::S3(found))
}

/// Cloudflare's object store, which speaks S3.
fn r2(rest: &str) -> Result<Destination, BadDestination> {
    const HINT: &str = "such as r2://bucket/{DATE}?account-id=…&access-key-id=…&secret-access-key=…";
    let (place, query) = rest.split_once('?').ok_or_else(|| bad("needs an account-id", HINT))?;
    let (account, others): (Vec<_>, Vec<_>) =
        query.split('&').partition(|pair| pair.starts_with("account-id="));
    let account = account.first().and_then(|pair| pair.split_once('=')).map(|(_, account)| account);
    let account =
        account.filter(|account| !account.is_empty()).ok_or_else(|| bad("needs an account-id", HINT))?;
    let query = format!("region=auto&endpoint={account}.r2.cloudflarestorage.com&{}", others.join("&"));
    bucket(&format!("{place}?{query}"), &S3_PARAMETERS)
}

/// `https://` unless a scheme is given.
fn endpoint(text: &str) -> Result<String, BadDestination> {
    let url = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = url.trim_end_matches('/').to_owned();
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '@', '?', '#']) => Ok(url),
        _ => Err(bad("has an endpoint that is no host", "such as endpoint=minio.example.com:9000")),
    }
}

fn private(value: &str) -> Result<Private, BadDestination> {
    Ok(Private(Secret::from(decoded(value)?)))
}

/// Percent-decoded; `+` stands for itself, since keys have it.
fn decoded(value: &str) -> Result<String, BadDestination> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..2).filter(|code| code.iter().all(u8::is_ascii_hexdigit));
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(decoded) if byte == b'%' => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| bad("is percent-encoded to something that is no text", ""))
}

/// A parameter's name, as long as it looks like one: it may be a secret put in the wrong place.
fn shown(name: &str) -> &str {
    if name.len() <= 20 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') {
        name
    } else {
        "…"
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(s3|r2|https?|file|stdout)?:?/?/?[a-z%?&=+._{}$é -]{0,60}") {
            let _ = Destination::parse(&text);
        }

        #[test]
        fn a_key_comes_out_as_it_was_encoded(secret in "[ -~é]{1,40}") {
            let encoded: String = secret.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let bucket = bucket_of(&format!("s3://b?access-key-id=id&secret-access-key={encoded}"));
            let (_, found) = bucket.keys.expect("keys");
            prop_assert_eq!(text(&found), secret);
        }

        #[test]
        fn keys_of_amazon_need_no_encoding(secret in "[A-Za-z0-9/+=]{40}") {
            let bucket = bucket_of(&format!("s3://b?access-key-id=id&secret-access-key={secret}"));
            let (_, found) = bucket.keys.expect("keys");
            prop_assert_eq!(text(&found), secret);
        }
    }

    fn bucket_of(text: &str) -> Bucket {
        match Destination::parse(text).expect(text) {
            Destination::S3(bucket) => bucket,
            other => panic!("{other:?}"),
        }
    }

    fn text(private: &Private) -> &str {
        private.0.expose_secret()
    }

    #[test]
    fn forms_of_cloudflare_and_ours_are_read() {
        assert_eq!(Destination::parse("stdout"), Ok(Destination::Stdout));
        for written in ["file:/var/log/{DATE}", "file:///var/log/{DATE}/"] {
            assert_eq!(Destination::parse(written), Ok(Destination::Folder("/var/log/{DATE}".into())));
        }
        let http =
            Destination::parse("https://h.example/in?header_X-Key=a%20b&tag=1&header_Y=%3D").expect("http");
        let Destination::Http { url, headers } = http else { panic!("{http:?}") };
        assert_eq!(url, "https://h.example/in?tag=1");
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), text(value))).collect();
        assert_eq!(headers, [("X-Key", "a b"), ("Y", "=")]);

        let plain = bucket_of("s3://logs/genesis/{DATE}/?region=us-west-2&sse=AES256");
        assert_eq!((plain.name.as_str(), plain.prefix.as_str()), ("logs", "genesis/{DATE}"));
        assert_eq!(
            (plain.region.as_deref(), plain.encryption.as_deref()),
            (Some("us-west-2"), Some("AES256"))
        );
        assert!(!plain.path_style && plain.keys.is_none() && plain.endpoint.is_none());

        let minio = bucket_of(
            "s3://logs?region=x&endpoint=http://minio:9000&access-key-id=AK&secret-access-key=a/b+c==",
        );
        let (id, secret) = minio.keys.as_ref().expect("keys");
        assert_eq!((text(id), text(secret)), ("AK", "a/b+c=="), "as keys are written");
        assert_eq!((minio.endpoint.as_deref(), minio.path_style), (Some("http://minio:9000"), true));
        assert!(bucket_of("s3://a.b?region=x").path_style);
        assert!(!bucket_of("s3://a?endpoint=h&path-style=false").path_style);

        let r2 = bucket_of("r2://logs/{DATE}?account-id=abc&access-key-id=K&secret-access-key=S");
        assert_eq!(r2.endpoint.as_deref(), Some("https://abc.r2.cloudflarestorage.com"));
        assert_eq!((r2.region.as_deref(), r2.path_style), (Some("auto"), true));
    }

    #[test]
    fn what_cannot_be_read_is_explained_and_not_quoted() {
        for (written, part) in [
            ("", "no scheme"),
            ("gcs://bucket", "not there"),
            ("file:relative", "no absolute folder"),
            ("file:/a/../b", "no absolute folder"),
            ("https://", "no address"),
            ("https://user:s3cret@host/", "no address"),
            ("https://host/a b?x=s3cret", "percent-encoded"),
            ("s3:bucket", "no bucket"),
            ("s3://?region=s3cret", "no bucket"),
            ("s3://b?access-key-id=s3cret", "half of a key"),
            ("s3://b?regoin=s3cret", "`regoin`"),
            ("s3://b?S3CRET/s3cret=1", "`…`"),
            ("s3://b?endpoint=h/path", "no host"),
            ("s3://b?region=%ff", "no text"),
            ("r2://b?access-key-id=s3cret", "account-id"),
        ] {
            let error = Destination::parse(written).expect_err(written);
            assert!(error.message.contains(part), "{written}: {error}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
        let kept = Destination::parse("s3://b?access-key-id=s3cret&secret-access-key=s3cret").expect("kept");
        assert!(!format!("{kept:?}").contains("s3cret"));
    }
}
