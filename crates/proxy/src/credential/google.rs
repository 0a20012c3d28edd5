//! Google service accounts: a signed assertion is exchanged for a short-lived access token, which is kept until
//! shortly before it expires.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use genesis_config::{ExposeSecret, Secret};
use http::Method;
use http::header::{CONTENT_TYPE, HeaderValue};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::upstream::{self, Origin, Outgoing, Patience, Pool, RequestHead};

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// A token is renewed when less than this is left of it.
const RENEW_BEFORE: Duration = Duration::from_secs(120);
/// Service accounts that came with requests and whose tokens are kept.
const KEPT_ACCOUNTS: usize = 64;

/// A service account with the token minted from it. Clones share the token.
#[derive(Clone)]
pub(crate) struct GoogleKey(Arc<Account>);

struct Account {
    client_email: String,
    private_key: Secret,
    /// Where its models are called, unless the configuration says otherwise.
    project_id: Option<String>,
    /// Cloudflare has its users add it to the file.
    region: Option<String>,
    token_uri: String,
    /// Named by the operator, so its token endpoint may be a private address.
    trusted: bool,
    minted: ArcSwapOption<Minted>,
    /// Held while minting, so that a burst mints once.
    minting: Mutex<()>,
}

struct Minted {
    authorization: HeaderValue,
    expires: SystemTime,
}

#[derive(Deserialize)]
struct AccountFile {
    client_email: String,
    private_key: Secret,
    #[serde(default)]
    project_id: Option<String>,
    #[serde(default)]
    region: Option<String>,
    #[serde(default)]
    token_uri: Option<String>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Secret,
    expires_in: u64,
}

impl GoogleKey {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let file: AccountFile = serde_json::from_str(text).map_err(|error| {
            format!(
                "it should be a service account's JSON file (line {}, column {})",
                error.line(),
                error.column()
            )
        })?;
        let token_uri = file.token_uri.clone().unwrap_or_else(|| TOKEN_URI.to_owned());
        Ok(Self::new(file, token_uri, true))
    }

    /// A service account a client sent along. Its token endpoint is not the client's to choose.
    pub(super) fn from_base64(text: &str) -> Option<Self> {
        // Tokens are kept per thread and per account; the map is small and forgotten whole when full.
        thread_local! {
            static ACCOUNTS: std::cell::RefCell<HashMap<[u8; 32], GoogleKey>> = std::cell::RefCell::default();
        }
        if !text.starts_with("ey") && !text.starts_with("ew") {
            return None; // base64 of `{`
        }
        let hash = genesis_store::token_hash(text.as_bytes());
        if let Some(known) = ACCOUNTS.with_borrow(|accounts| accounts.get(&hash).cloned()) {
            return Some(known);
        }
        let json = STANDARD.decode(text).ok()?;
        let file: AccountFile = serde_json::from_slice(&json).ok()?;
        let key = Self::new(file, TOKEN_URI.to_owned(), false);
        ACCOUNTS.with_borrow_mut(|accounts| {
            if accounts.len() >= KEPT_ACCOUNTS {
                accounts.clear();
            }
            accounts.insert(hash, key.clone());
        });
        Some(key)
    }

    fn new(file: AccountFile, token_uri: String, trusted: bool) -> Self {
        Self(Arc::new(Account {
            client_email: file.client_email,
            private_key: file.private_key,
            project_id: file.project_id,
            region: file.region,
            token_uri,
            trusted,
            minted: ArcSwapOption::empty(),
            minting: Mutex::new(()),
        }))
    }

    pub(super) fn project(&self) -> Option<&str> {
        self.0.project_id.as_deref()
    }

    pub(super) fn region(&self) -> Option<&str> {
        self.0.region.as_deref()
    }

    /// `Bearer <access token>`, minted or kept.
    pub(crate) async fn authorization(&self, pool: &Pool, patience: Patience) -> Result<HeaderValue, String> {
        if let Some(kept) = self.kept() {
            return Ok(kept);
        }
        let _minting = self.0.minting.lock().await;
        if let Some(kept) = self.kept() {
            return Ok(kept);
        }
        let answer = self.mint(pool, patience).await?;
        let bearer = format!("Bearer {}", answer.access_token.expose_secret());
        let mut authorization =
            HeaderValue::from_str(&bearer).map_err(|_| "the token endpoint answered nonsense".to_owned())?;
        authorization.set_sensitive(true);
        let expires = SystemTime::now() + Duration::from_secs(answer.expires_in);
        self.0.minted.store(Some(Arc::new(Minted { authorization: authorization.clone(), expires })));
        Ok(authorization)
    }

    fn kept(&self) -> Option<HeaderValue> {
        let minted = self.0.minted.load();
        let minted = minted.as_ref()?;
        (minted.expires > SystemTime::now() + RENEW_BEFORE).then(|| minted.authorization.clone())
    }

    async fn mint(&self, pool: &Pool, patience: Patience) -> Result<TokenAnswer, String> {
        let account = &*self.0;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = Claims {
            iss: &account.client_email,
            scope: SCOPE,
            aud: &account.token_uri,
            iat: now,
            exp: now + 3600,
        };
        let key = EncodingKey::from_rsa_pem(account.private_key.expose_secret().as_bytes())
            .map_err(|_| "its private_key is not an RSA key in PEM form".to_owned())?;
        let assertion =
            encode(&Header::new(Algorithm::RS256), &claims, &key).map_err(|error| error.to_string())?;
        let form =
            format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");

        let (origin, path) = Origin::of_url(&account.token_uri, account.trusted)
            .ok_or_else(|| "its token_uri is not a URL".to_owned())?;
        let mut head = RequestHead::new(Method::POST, &path, &origin.authority());
        head.header(&CONTENT_TYPE, &FORM);
        let body = Outgoing::Whole(form.into());
        let head = head.end(&body);
        let answer = upstream::send(pool, &Arc::new(origin), &head, body, patience)
            .await
            .map_err(|error| format!("the token endpoint did not answer: {error}"))?;
        let body =
            answer.body.collect(64 * 1024, patience.first_byte).await.map_err(|error| error.to_string())?;
        if !answer.status.is_success() {
            let said = genesis_wire::report::error_message(&body).unwrap_or_default();
            return Err(format!("the token endpoint answered {}: {said}", answer.status.as_u16()));
        }
        serde_json::from_slice(&body)
            .map_err(|_| "the token endpoint's answer holds no access token".to_owned())
    }
}

static FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
