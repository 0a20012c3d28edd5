//! Lines field by field, encryption, and where they go.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use genesis_config::logpush::{FIELDS, FILTER_KEYS, OPERATORS};
use genesis_config::{Environment, File, GatewaySettings};
use genesis_export::logpush::{Lines, SealingKey, condition, exports};
use genesis_export::{Export, Undelivered};
use genesis_store::{Attempt, LogEntry, LogField, LogPlace, LogRecord, Operator, Outcome, Payload};
use genesis_wire::{Dialect, Usage};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Log, PATIENCE, Scripted, record, status, wait_until};

const REQUEST: &[u8] = br#"{
  "model": "gpt-5",
  "n": 1.0
}"#;

fn entry() -> LogEntry {
    let record = LogRecord {
        event_id: "event".into(),
        dialect: Some(Dialect::OpenAiChat),
        method: "POST".into(),
        path: "chat/completions".into(),
        status: 429,
        outcome: Outcome::Refused,
        error: "slow down".into(),
        cached: true,
        step: 2,
        duration_ms: 850,
        first_byte_ms: Some(300),
        stream: true,
        usage: Some(Usage { input: 100, cache_read: 20, output: 30, reasoning: 5, ..Usage::default() }),
        cost_nano_usd: Some(4_200_000),
        price_id: Some("openai/gpt-5-mini@2026-11-01".into()),
        custom_cost: true,
        metadata: serde_json::from_value(json!({ "user": "user number one", "n": 7 })).unwrap(),
        user_agent: "curl".into(),
        token_id: "tok_1".into(),
        credential: "stored:default".into(),
        request_content_type: "application/json".into(),
        response_content_type: "text/event-stream".into(),
        request_size: 700,
        response_size: 900,
        trace_id: Some("0af7651916cd43dd8448eb211c80319c".into()),
        simulated: true,
        attempts: vec![Attempt { provider: "openai".into(), status: Some(500), ..Attempt::default() }],
        dropped: vec!["seed".into()],
        feedback: Some(1),
        score: Some(0.5),
        ..record(0)
    };
    let payload = Payload {
        id: record.id,
        gateway: record.gateway.clone(),
        request: REQUEST.into(),
        response: b"data: 1\n\n".as_slice().into(),
        request_complete: true,
        response_complete: false,
    };
    LogEntry { place: LogPlace::START, record, payload: Some(payload) }
}

fn lines(key: Option<SealingKey>, fields: &[&str]) -> Lines {
    let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
    Lines::new(HashMap::from([("main".to_owned(), key)]), &fields)
}

fn written(lines: &Lines, entries: &[LogEntry]) -> Vec<String> {
    let mut text = Vec::new();
    lines.write(entries, &mut text).unwrap();
    assert!(text.is_empty() || text.ends_with(b"\n"));
    String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
}

fn value(lines: &Lines, entry: LogEntry) -> Value {
    let written = written(lines, &[entry]);
    assert_eq!(written.len(), 1, "one line a record");
    serde_json::from_str(&written[0]).unwrap()
}

#[test]
fn every_field_is_there_with_its_value() {
    let found = value(&lines(None, &[]), entry());
    let mut expected: Value = serde_json::from_str(
        r#"{
        "Cached": true,
        "Endpoint": "chat/completions",
        "Gateway": "main",
        "Metadata": { "user": "user number one", "n": 7 },
        "Metrics": { "cost": 0.0042, "durationMs": 850 },
        "Model": "gpt-5-mini",
        "Provider": "openai",
        "RateLimited": true,
        "RequestBody": { "model": "gpt-5", "n": 1.0 },
        "RequestedModel": "gpt-5",
        "ResponseBody": "data: 1\n\n",
        "RoutingDecisionID": "",
        "RoutingReason": "",
        "StatusCode": 429,
        "Timestamp": "2026-11-22T12:00:00.000Z",
        "Account": "acc",
        "Attempts": [{ "step": 0, "provider": "openai", "model": "", "status": 500, "duration_ms": 0 }],
        "CachedTokensIn": 20,
        "CostNanoUSD": 4200000,
        "Credential": "stored:default",
        "CustomCost": true,
        "Dropped": ["seed"],
        "DurationMs": 850,
        "Error": "slow down",
        "EventID": "event",
        "Feedback": 1,
        "FirstByteMs": 300,
        "ID": "",
        "Method": "POST",
        "ModelType": "",
        "Outcome": "refused",
        "PriceID": "openai/gpt-5-mini@2026-11-01",
        "ReasoningTokens": 5,
        "RequestBodyComplete": true,
        "RequestContentType": "application/json",
        "RequestSize": 700,
        "ResponseBodyComplete": false,
        "ResponseContentType": "text/event-stream",
        "ResponseSize": 900,
        "Score": 0.5,
        "Simulated": true,
        "Step": 2,
        "Stream": true,
        "Success": false,
        "TokenID": "tok_1",
        "TokensIn": 120,
        "TokensOut": 30,
        "TraceID": "0af7651916cd43dd8448eb211c80319c",
        "UserAgent": "curl"
    }"#,
    )
    .unwrap();
    expected["ID"] = entry().record.id.to_string().into();
    expected["ModelType"] = entry().record.kind().into();
    assert_eq!(found, expected);
    let names: Vec<_> = found.as_object().unwrap().keys().map(String::as_str).collect();
    let mut known = FIELDS.to_vec();
    known.sort_unstable();
    assert_eq!(names, known, "the list that `fields` is checked against");
}

#[test]
fn numbers_of_a_body_are_not_written_anew_and_its_line_ends_do_not_end_the_line() {
    let line = written(&lines(None, &["RequestBody"]), &[entry()]).remove(0);
    assert_eq!(line, r#"{"RequestBody":{   "model": "gpt-5",   "n": 1.0 }}"#);
}

#[test]
fn a_missing_body_is_an_empty_object_and_bytes_are_base64() {
    let bodies = lines(None, &["RequestBody", "RequestBodyComplete", "RequestedModel"]);
    let none = LogEntry { payload: None, ..entry() };
    let expected = json!({ "RequestBody": {}, "RequestBodyComplete": null, "RequestedModel": "gpt-5-mini" });
    assert_eq!(value(&bodies, none), expected);
    let mut binary = entry();
    binary.payload.as_mut().unwrap().request = vec![0xFF, 0xFE].into();
    assert_eq!(value(&bodies, binary)["RequestBody"], json!({ "type": "base64", "data": "//4=" }));
}

#[test]
fn records_of_other_gateways_are_not_written() {
    let other = LogEntry { record: record(1_000_000), ..entry() };
    assert!(written(&lines(None, &[]), &[other]).is_empty());
}

proptest! {
    #[test]
    fn whatever_the_body_a_record_is_one_line_of_json(body in proptest::collection::vec(any::<u8>(), 0..200), text in ".{0,40}") {
        let mut entry = entry();
        entry.record.error = text;
        entry.payload.as_mut().unwrap().response = body.clone().into();
        let found = value(&lines(None, &["ResponseBody", "Error"]), entry.clone());
        prop_assert_eq!(&found["Error"], &json!(entry.record.error));
        if let Ok(text) = std::str::from_utf8(&body) && serde_json::from_str::<Value>(text.trim()).is_err() {
            prop_assert_eq!(&found["ResponseBody"], &json!(text));
        }
    }
}

/// Somebody who reads what is sealed.
struct Reader(OaepPrivateDecryptingKey, String);

impl Reader {
    fn new() -> Self {
        let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let public: PublicEncryptingKey = private.public_key();
        let der: PublicKeyX509Der<'_> = public.as_der().unwrap();
        let lines: Vec<_> = STANDARD
            .encode(der.as_ref())
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8(line.to_vec()).unwrap())
            .collect();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
        Self(OaepPrivateDecryptingKey::new(private).unwrap(), pem)
    }

    fn open(&self, sealed: &Value) -> Vec<u8> {
        assert_eq!(sealed["type"], "encrypted");
        let part = |name: &str| STANDARD.decode(sealed[name].as_str().unwrap()).unwrap();
        let mut room = vec![0; self.0.min_output_size()];
        let key = self.0.decrypt(&OAEP_SHA256_MGF1SHA256, &part("key"), &mut room, None).unwrap();
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
        let mut data = part("data");
        let nonce = Nonce::try_assume_unique_for_key(&part("iv")).unwrap();
        key.open_in_place(nonce, Aad::empty(), &mut data).unwrap().to_vec()
    }
}

#[test]
fn the_holder_of_the_private_key_reads_what_was_sealed_and_nobody_else() {
    let reader = Reader::new();
    let sealing = lines(Some(SealingKey::parse(&reader.1).unwrap()), &[]);
    let (found, again) = (value(&sealing, entry()), value(&sealing, entry()));
    assert_eq!(reader.open(&found["RequestBody"]), REQUEST, "byte for byte");
    assert_eq!(reader.open(&found["ResponseBody"]), b"data: 1\n\n");
    let metadata: Value = serde_json::from_slice(&reader.open(&found["Metadata"])).unwrap();
    assert_eq!(metadata, json!({ "user": "user number one", "n": 7 }));
    assert_eq!(found["Model"], "gpt-5-mini", "the rest is clear");
    assert_eq!(found["RequestBody"]["key"], found["Metadata"]["key"], "one key a record");
    assert_ne!(found["RequestBody"]["iv"], found["Metadata"]["iv"]);
    assert_ne!(found["RequestBody"]["key"], again["RequestBody"]["key"], "and another for the next");
    for secret in ["user number one", "data: 1"] {
        assert!(!found.to_string().contains(secret), "{found}");
    }
    for wrong in ["", "xxxxxxxxxxxxxxxx", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"] {
        assert!(SealingKey::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn every_name_the_configuration_knows_the_store_knows_too() {
    assert!(FILTER_KEYS.iter().all(|key| LogField::from_name(key).is_some()));
    assert!(OPERATORS.iter().all(|name| Operator::from_name(name).is_some()));
}

// Where they go

/// Exports as a configuration wants them.
fn configured(text: &str, variables: &[(&str, &str)]) -> (Vec<Export>, Vec<String>) {
    let file = File::parse(text).unwrap();
    let environment = Environment::of(variables.iter().copied());
    let mut warnings = Vec::new();
    let gateways: Vec<GatewaySettings> = file.gateway.gateways.values().cloned().collect();
    let exports = exports(&file.gateway.logpush, &gateways, &environment, &mut warnings);
    (exports, warnings)
}

fn gunzipped(bytes: &[u8]) -> Vec<Value> {
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every file below a folder, by its path from there.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            found.extend(
                files(&entry.path()).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)),
            );
        } else {
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
            found.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
    found
}

#[test]
fn a_folder_gets_whole_private_files_by_day_and_a_repeated_batch_takes_its_place() {
    let place = tempfile::tempdir().unwrap();
    let log = Log::new();
    let text = format!(
        "{{ gateway: {{ gateways: {{ main: {{ logpush: true }} }}, logpush: [{{ name: 'a', \
         destination: 'file:{}/{{DATE}}', batch: {{ seconds: 0, records: 3 }} }}] }} }}",
        place.path().join("logs").display()
    );
    let exports = log.exports();
    exports.apply(configured(&text, &[]).0);
    log.push(0..3);
    wait_until(|| status(&exports, "logpush:a").sent == 3);
    let name = format!("20261122/20261122T120000Z_{}.log.gz", record(0).id);
    let found = files(&place.path().join("logs"));
    assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), [name.as_str()]);
    let ids: Vec<_> =
        gunzipped(&found[&name]).iter().map(|line| line["ID"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, [0, 1, 2].map(|number| record(number).id.to_string()));

    // Another process that does not know how far this one came writes the same object.
    assert!(exports.stop(PATIENCE));
    log.journal.note_export("logpush:a", LogPlace::START);
    let exports = log.exports();
    exports.apply(configured(&text, &[]).0);
    wait_until(|| status(&exports, "logpush:a").sent == 3);
    assert_eq!(files(&place.path().join("logs")).len(), 1);
}

#[test]
fn a_folder_that_cannot_be_written_is_told_of_and_tried_again() {
    let place = tempfile::tempdir().unwrap();
    let in_the_way = place.path().join("logs");
    std::fs::write(&in_the_way, "a file").unwrap();
    let text = format!(
        "{{ gateway: {{ gateways: {{ main: {{ logpush: true }} }}, logpush: [{{ name: 'a', \
         destination: 'file:{}', batch: {{ seconds: 0 }} }}] }} }}",
        in_the_way.display()
    );
    let log = Log::new();
    let exports = log.exports();
    exports.apply(configured(&text, &[]).0);
    log.push(0..3);
    wait_until(|| {
        status(&exports, "logpush:a").last_error.is_some_and(|why| why.contains("cannot be written"))
    });
    std::fs::remove_file(&in_the_way).unwrap();
    wait_until(|| status(&exports, "logpush:a").sent == 3);
    assert_eq!(files(&in_the_way).len(), 1, "and nothing unfinished");
}

#[test]
fn an_address_gets_gzip_with_headers_until_it_takes_it() {
    let log = Log::new();
    let text = "{ gateway: { gateways: { main: { logpush: true } }, logpush: [{ name: 'a', bodies: false,
        destination: 'https://h.example/in?tag=1&header_X-One=a%20b', headers: { Authorization: 'Bearer ${KEY}' },
        filter: [{ key: 'model', operator: 'eq', value: 'gpt-5-mini' }],
        batch: { seconds: 0 } }] } }";
    let post = Scripted::default();
    post.will(413, "too large");
    post.will(500, "not now");
    let exports = log.exports_over(post.maker());
    let (wanted, warnings) = configured(text, &[("KEY", "s3cret")]);
    assert_eq!(warnings, [""; 0]);
    log.push([]);
    exports.apply(wanted);
    let mut left_out = record(1);
    left_out.model = "other".into();
    log.journal.push(record(0), None);
    log.journal.push(left_out, None);
    log.journal.push(record(2), None);
    assert!(log.journal.flush(PATIENCE));
    wait_until(|| status(&exports, "logpush:a").sent == 2);
    let calls = post.calls();
    let last = calls.last().unwrap();
    assert_eq!((last.method.as_str(), last.url.as_str()), ("POST", "https://h.example/in?tag=1"));
    let header = |name: &str| last.headers[name].to_str().unwrap();
    assert_eq!(header("content-encoding"), "gzip");
    assert_eq!(header("content-type"), "application/x-ndjson");
    assert_eq!((header("authorization"), header("x-one")), ("Bearer s3cret", "a b"));
    assert!(header("idempotency-key").ends_with(".log.gz"));
    assert!(!format!("{calls:?}").contains("s3cret"));
    let lines: Vec<_> = calls[2..].iter().flat_map(|call| gunzipped(&call.body)).collect();
    let ids: Vec<_> = lines.iter().map(|line| line["ID"].as_str().unwrap()).collect();
    assert_eq!(ids, [record(0).id.to_string(), record(2).id.to_string()]);
    assert_eq!(status(&exports, "logpush:a").last_error, None);
}

#[test]
fn a_bucket_gets_signed_objects() {
    let log = Log::new();
    let text = "{ gateway: { gateways: { main: { logpush: true } }, logpush: [
        { name: 'a', destination: 's3://logs/my logs/{DATE}?region=eu-central-1&sse=AES256', batch: { seconds: 0 } }] } }";
    let keys =
        [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "s3cret"), ("AWS_SESSION_TOKEN", "t0ken")];
    let post = Scripted::default();
    post.will(
        403,
        "<Error><Code>Denied</Code><Message>Not you</Message><AWSAccessKeyId>AKID</AWSAccessKeyId></Error>",
    );
    let exports = log.exports_over(post.maker());
    let (wanted, warnings) = configured(text, &keys);
    assert_eq!(warnings, [""; 0]);
    exports.apply(wanted);
    log.push(0..2);
    wait_until(|| status(&exports, "logpush:a").last_error.is_some());
    let said = status(&exports, "logpush:a").last_error.unwrap();
    assert_eq!(said, "the receiver answered 403: Denied: Not you");
    wait_until(|| status(&exports, "logpush:a").sent == 2);
    let calls = post.calls();
    let call = calls.last().unwrap();
    let id = record(0).id;
    let expected =
        format!("https://logs.s3.eu-central-1.amazonaws.com/my%20logs/20261122/20261122T120000Z_{id}.log.gz");
    assert_eq!((call.method.as_str(), call.url.as_str()), ("PUT", expected.as_str()));
    let header = |name: &str| call.headers[name].to_str().unwrap();
    assert_eq!(header("x-amz-server-side-encryption"), "AES256");
    assert_eq!(header("x-amz-security-token"), "t0ken");
    assert_eq!(header("content-type"), "application/gzip");
    assert_eq!(header("x-amz-content-sha256").len(), 64);
    let authorization = header("authorization");
    assert!(authorization.contains("/eu-central-1/s3/aws4_request"), "{authorization}");
    assert!(authorization.contains("x-amz-content-sha256;x-amz-date"), "{authorization}");
    assert!(!format!("{calls:?}").contains("t0ken") && !format!("{calls:?}").contains("Signature="));
    assert_eq!(gunzipped(&call.body).len(), 2);
}

#[test]
fn what_cannot_be_used_is_said_and_nothing_is_sent_in_its_place() {
    let gateways = "gateways: { plain: { logpush: true }, sealed: { logpush: true, logpush_public_key: 'xxxxxxxxxxxxxxxx' }, off: {} }";
    let of = |entry: &str, variables: &[(&str, &str)]| {
        configured(&format!("{{ gateway: {{ {gateways}, logpush: [{entry}] }} }}"), variables)
    };
    let (exports, warnings) = of("{ name: 'a', destination: 'stdout' }", &[]);
    assert_eq!(exports[0].wanted.gateways.iter().map(String::as_str).collect::<Vec<_>>(), ["plain"]);
    assert!(
        warnings[0].starts_with("gateway `sealed` is not exported: its logpush_public_key is no RSA"),
        "{warnings:?}"
    );
    for (entry, part) in [
        ("{ name: 'a', destination: 's3://b' }", "no key"),
        ("{ name: 'a', destination: 's3://b?access-key-id=${ID}&secret-access-key=${S}' }", "no region"),
        ("{ name: 'a', destination: 'https://h/?header_X=${MISSING}' }", "MISSING"),
        ("{ name: 'a', destination: 'https://h/', headers: { 'x y': '${S}' } }", "header `x y`"),
        (
            "{ name: 'a', destination: 'stdout', filter: [{ key: 'cached', operator: 'eq', value: {} }] }",
            "filter",
        ),
    ] {
        let (exports, warnings) = of(entry, &[("ID", "AKID"), ("S", "s3cret")]);
        assert!(exports.is_empty(), "{entry}");
        assert!(warnings[1].contains("`a` is not used") && warnings[1].contains(part), "{warnings:?}");
        assert!(!warnings.concat().contains("s3cret"));
    }
    let (exports, warnings) = of("{ name: 'a', destination: 'stdout', enabled: false }", &[]);
    assert!(exports.is_empty() && warnings.len() == 1);
}

#[test]
fn a_filter_reads_values_in_the_units_people_write() {
    let read = |text: &str| condition(&serde_json::from_str(text).unwrap());
    let cost = read(r#"{"key":"cost","operator":"gt","value":0.0042}"#).unwrap();
    assert_eq!(cost.values, [4_200_000i64.into()]);
    assert_eq!(read(r#"{"key":"tokens","operator":"gt","value":[1.5]}"#), None);
    assert_eq!(read(r#"{"key":"model","operator":"eq","value":["a","b"]}"#).unwrap().values.len(), 2);
}

#[test]
fn an_answer_is_quoted_without_control_characters_and_not_at_length() {
    let body = format!("a\u{1b}[31m\n{}", "x".repeat(1_000));
    let answer = genesis_export::Answer {
        status: http::StatusCode::BAD_GATEWAY,
        body: body.into(),
        retry_after: None,
    };
    let Undelivered::Later { why, .. } = Undelivered::by_status(&answer) else { panic!("later") };
    assert!(why.len() < 260 && !why.contains(['\u{1b}', '\n']), "{why}");
}
