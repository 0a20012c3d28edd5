//! The API over a temporary store.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use genesis_admin::{Admin, Declared};
use genesis_config::GatewaySettings;
use genesis_store::{
    Journal, JournalOptions, LogRecord, NewToken, Outcome, Payload, Permissions, Secret, Store,
};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::schema;

/// 2026-11-22T12:00:00Z
pub(crate) const NOON: i64 = 1_795_348_800_000;
pub(crate) const BASE: &str = "/client/v4/accounts/acct/ai-gateway";

/// One running management API.
pub(crate) struct Api {
    pub(crate) admin: Arc<Admin>,
    pub(crate) store: Store,
    pub(crate) journal: Arc<Journal>,
    /// May read and edit.
    pub(crate) token: String,
    _folder: TempDir,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The `result` of a success.
    pub(crate) fn result(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        let body = self.json();
        assert_eq!(body["success"], true);
        body["result"].clone()
    }

    /// Status, first code, first message.
    pub(crate) fn refusal(&self) -> (u16, u64, String) {
        let body = self.json();
        assert_eq!(body["success"], false, "{body}");
        assert_eq!(body["result"], Value::Null);
        let error = &body["errors"][0];
        (self.status, error["code"].as_u64().unwrap(), error["message"].as_str().unwrap().to_owned())
    }
}

impl Api {
    /// With a token, and gateway `declared` in the configuration file.
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Declared)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("genesis.db")).unwrap();
        let options =
            JournalOptions { commit_interval: Duration::from_millis(1), ..JournalOptions::default() };
        let journal = Arc::new(Journal::start(&store, options));
        let mut declared = Declared {
            gateways: BTreeMap::from([("declared".to_owned(), GatewaySettings::named("declared"))]),
            written_at_ms: NOON,
            ..Declared::default()
        };
        change(&mut declared);
        let admin = Arc::new(Admin::new(store.clone(), Arc::clone(&journal), declared));
        let permissions = Permissions { run: false, read: true, edit: true };
        let token = token(&store, "test", permissions, &[]);
        Self { admin, store, journal, token, _folder: folder }
    }

    /// With a gateway `gw` created over the API.
    pub(crate) fn with_gateway() -> Self {
        let api = Self::new();
        api.post("/gateways", &gateway("gw")).result();
        api
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, Some(body))
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Answer {
        self.call("PUT", path, Some(body))
    }

    pub(crate) fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call("PATCH", path, Some(body))
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, None)
    }

    /// A call below `…/ai-gateway`, or to a full path, with the token.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let body = body.map(Value::to_string).unwrap_or_default();
        self.send(method, path, &[("authorization", &bearer), ("host", "gateway.test")], body.as_bytes())
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let full = if path.starts_with("/client/") || ["/metrics", "/readyz"].contains(&path) {
            path.to_owned()
        } else {
            format!("{BASE}{path}")
        };
        let mut request = Request::builder().method(method).uri(&full);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Bytes::copy_from_slice(body)).unwrap();
        let (head, body) = self.admin.answer(&request).into_parts();
        let bytes = runtime().block_on(body.collect()).unwrap().to_bytes();
        let answer = Answer { status: head.status.as_u16(), headers: head.headers, bytes };
        fits_description(method, full.split('?').next().unwrap(), &answer);
        answer
    }

    /// Logs exchanges and waits until they are written.
    pub(crate) fn log(&self, records: impl IntoIterator<Item = LogRecord>) {
        for record in records {
            let payload = Payload {
                id: record.id,
                gateway: record.gateway.clone(),
                request: Bytes::from(format!(r#"{{"model":"{}"}}"#, record.model)),
                response: Bytes::from_static(br#"{"ok":true}"#),
                request_complete: true,
                response_complete: true,
            };
            self.journal.push(record, Some(payload));
        }
        assert!(self.journal.flush(Duration::from_secs(60)));
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

pub(crate) fn token(store: &Store, name: &str, permissions: Permissions, gateways: &[&str]) -> String {
    let gateways = gateways.iter().map(|id| (*id).to_owned()).collect();
    let new = NewToken { name: name.to_owned(), permissions, gateways, ..NewToken::default() };
    let (_, secret): (_, Secret) = store.create_token(new, NOON).unwrap();
    secrecy::ExposeSecret::expose_secret(&secret).to_owned()
}

/// The body that creates a gateway.
pub(crate) fn gateway(id: &str) -> Value {
    json!({
        "id": id, "cache_invalidate_on_update": true, "cache_ttl": 300, "collect_logs": true,
        "rate_limiting_interval": 60, "rate_limiting_limit": 1000,
    })
}

/// An exchange through gateway `gw`; the number orders it in time.
pub(crate) fn record(number: u32) -> LogRecord {
    let created_at_ms = NOON + i64::from(number) * 1000;
    LogRecord {
        id: Uuid::from_u128((created_at_ms as u128) << 80 | 0x7000_8000_0000_0000_0000 | u128::from(number)),
        event_id: format!("event-{number}"),
        created_at_ms,
        account: "acct".to_owned(),
        gateway: "gw".to_owned(),
        provider: "openai".to_owned(),
        model: "gpt-5".to_owned(),
        method: "POST".to_owned(),
        path: "chat/completions".to_owned(),
        status: 200,
        outcome: Outcome::Success,
        duration_ms: 100 + number,
        usage: Some(usage(10, 5)),
        cost_nano_usd: Some(i64::from(number) * 1_000_000),
        request_content_type: "application/json".to_owned(),
        response_content_type: "application/json; charset=utf-8".to_owned(),
        user_agent: "test/1".to_owned(),
        token_id: "tok_1".to_owned(),
        credential: "stored:default".to_owned(),
        ..LogRecord::default()
    }
}

pub(crate) fn usage(input: u64, output: u64) -> genesis_wire::Usage {
    genesis_wire::Usage { input, output, ..genesis_wire::Usage::default() }
}

/// Panics if an answer is not what the OpenAPI description says.
fn fits_description(method: &str, path: &str, answer: &Answer) {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(genesis_admin::openapi);
    let mut wrong = Vec::new();
    let failure = &DOCUMENT["components"]["schemas"]["Failure"];
    if answer.status != 200 {
        schema::check(failure, &answer.json(), "", &mut wrong);
    } else if let Some(operation) = operation(&DOCUMENT, method, path) {
        let content = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        if !content.is_null() && answer.headers["content-type"] == "application/json" {
            schema::check(content, &answer.json(), "", &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{method} {path}: {wrong:#?}\n{}", answer.text());
    assert!(answer.status < 500, "{method} {path}: {}", answer.text());
}

fn operation<'a>(document: &'a Value, method: &str, path: &str) -> Option<&'a Value> {
    let fits = |template: &str| {
        let (a, b): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        a.len() == b.len() && a.iter().zip(&b).all(|(name, part)| name.starts_with('{') || name == part)
    };
    let paths = document["paths"].as_object().unwrap();
    let exact = paths.get(path).filter(|operations| !operations[method.to_lowercase()].is_null());
    let found = exact.or_else(|| {
        let mut fitting = paths
            .iter()
            .filter(|(template, operations)| fits(template) && !operations[method.to_lowercase()].is_null());
        // The more literal template wins, as `logs/tail` does over `logs/{id}`.
        fitting.by_ref().min_by_key(|(template, _)| template.matches('{').count()).map(|(_, found)| found)
    });
    Some(&found?[method.to_lowercase()])
}
