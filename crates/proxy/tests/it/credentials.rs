//! Which key the provider sees.

use crate::gateway::{Gateway, Setup, config};
use crate::upstream::{Upstream, answer};

const CHAT: &str = "/v1/acct/gw/openai/chat/completions";
const MESSAGES: &str = "/v1/acct/gw/anthropic/v1/messages";
const BODY: &[u8] = br#"{"model":"m","messages":[]}"#;

fn stored() -> Setup {
    Setup {
        keys: vec![
            ("openai", "default", None, "sk-for-all"),
            ("openai", "default", Some("gw"), "sk-for-gw"),
            ("openai", "team", None, "sk-team"),
            ("anthropic", "default", None, "sk-ant-stored"),
        ],
        ..Setup::default()
    }
}

fn start(upstream: &Upstream, gateways: &str, setup: Setup) -> Gateway {
    Gateway::start(Setup { config: config(&upstream.url(), gateways), ..setup })
}

/// What the upstream saw of a call.
fn seen(gateway: &Gateway, upstream: &Upstream, path: &str, headers: &[(&str, &str)]) -> String {
    upstream.will_say(answer("200 OK", "", b"{}"));
    let reply = gateway.post_authorized(path, headers, BODY);
    assert_eq!(reply.status, 200, "{}", reply.text());
    upstream.request_text()
}

#[test]
fn a_clients_own_key_wins_and_is_forwarded_untouched() {
    let upstream = Upstream::start();
    let gateway = start(&upstream, "gw: {}", stored());
    let request = seen(&gateway, &upstream, CHAT, &[("authorization", "Bearer  sk-own  x")]);
    assert!(request.contains("authorization: Bearer  sk-own  x\r\n"), "{request}");
    assert!(!request.contains("sk-for"), "{request}");
    // Anthropic's SDKs moved the key from one header to the other; either counts, and never both go out.
    for header in [("authorization", "Bearer sk-ant-own"), ("x-api-key", "sk-ant-own")] {
        let request = seen(&gateway, &upstream, MESSAGES, &[header]);
        assert!(request.contains("sk-ant-own") && !request.contains("sk-ant-stored"), "{request}");
    }
    assert_eq!(gateway.log(3)[0].credential, "request");
}

#[test]
fn stored_keys_go_into_the_providers_own_header() {
    let upstream = Upstream::start();
    let gateway = start(&upstream, "gw: {}, other: {}", stored());
    assert!(seen(&gateway, &upstream, CHAT, &[]).contains("authorization: Bearer sk-for-gw\r\n"));
    let other = CHAT.replace("/gw/", "/other/");
    assert!(seen(&gateway, &upstream, &other, &[]).contains("authorization: Bearer sk-for-all\r\n"));
    assert!(
        seen(&gateway, &upstream, CHAT, &[("cf-aig-byok-alias", "team")])
            .contains("authorization: Bearer sk-team\r\n")
    );
    let request = seen(&gateway, &upstream, MESSAGES, &[]);
    assert!(
        request.contains("x-api-key: sk-ant-stored\r\n") && !request.contains("authorization"),
        "{request}"
    );
    let sources: Vec<_> = gateway.log(4).into_iter().map(|record| record.credential).collect();
    assert_eq!(sources, ["stored:default", "stored:default", "stored:team", "stored:default"]);
}

#[test]
fn the_environment_comes_before_the_store_and_the_file_last() {
    let upstream = Upstream::start();
    let with_file_key = config(&upstream.url(), "gw: {}").replace("/v1'", "/v1', apiKey: '${FILE_KEY}'");
    let start = |environment, keys| {
        Gateway::start(Setup { config: with_file_key.clone(), environment, keys, ..Setup::default() })
    };
    let all = || vec![("openai", "default", None, "sk-stored")];
    let gateway = start(vec![("OPENAI_API_KEY", "sk-env"), ("FILE_KEY", "sk-file")], all());
    assert!(seen(&gateway, &upstream, CHAT, &[]).contains("Bearer sk-env\r\n"));
    assert_eq!(gateway.log(1)[0].credential, "environment");
    let gateway = start(vec![("FILE_KEY", "sk-file")], all());
    assert!(seen(&gateway, &upstream, CHAT, &[]).contains("Bearer sk-stored\r\n"));
    let gateway = start(vec![("FILE_KEY", "sk-file")], Vec::new());
    assert!(seen(&gateway, &upstream, CHAT, &[]).contains("Bearer sk-file\r\n"));
    let gateway = start(Vec::new(), Vec::new());
    let reply = gateway.post_authorized(CHAT, &[], BODY);
    assert_eq!(reply.status, 500);
    assert!(
        reply.text().contains("models.providers.openai.apiKey") && reply.text().contains("FILE_KEY"),
        "{}",
        reply.text()
    );
    assert!(upstream.was_not_called(), "nothing is sent with an unresolved key");
}

#[test]
fn unknown_aliases_are_refused() {
    let upstream = Upstream::start();
    let gateway = start(&upstream, "gw: {}", stored());
    let reply = gateway.post_authorized(CHAT, &[("cf-aig-byok-alias", "nope")], BODY);
    assert_eq!((reply.status, reply.json()["internalCode"].as_u64()), (400, Some(2040)));
    assert!(upstream.was_not_called());
}

#[test]
fn stored_keys_are_for_authenticated_callers_only() {
    let upstream = Upstream::start();
    let gateway = start(&upstream, "gw: { authentication: false }", stored());
    let reply = gateway.post(CHAT, &[], BODY);
    assert_eq!((reply.status, reply.json()["internalCode"].as_u64()), (401, Some(2009)));
    assert!(upstream.was_not_called());
    upstream.will_say(answer("200 OK", "", b"{}"));
    assert_eq!(gateway.post(CHAT, &[("authorization", "Bearer sk-own")], BODY).status, 200);
    assert!(upstream.request_text().contains("sk-own"));
    assert!(seen(&gateway, &upstream, CHAT, &[]).contains("Bearer sk-for-gw"));
}

#[test]
fn without_any_key_the_provider_itself_refuses_unless_keys_are_required() {
    let upstream = Upstream::start();
    let gateway = start(&upstream, "gw: {}, strict: { byok_only: true }", Setup::default());
    let request = seen(&gateway, &upstream, CHAT, &[]);
    assert!(!request.contains("authorization"), "{request}");
    let strict = CHAT.replace("/gw/", "/strict/");
    assert_eq!(gateway.post_authorized(&strict, &[], BODY).status, 400);
    assert_eq!(gateway.post_authorized(CHAT, &[("cf-aig-no-wholesale", "true")], BODY).status, 400);
    assert!(upstream.was_not_called());
}

#[test]
fn headers_of_the_configuration_are_added_and_win() {
    let upstream = Upstream::start();
    let headers = "headers: { 'cf-aig-authorization': 'Bearer ${CF_AIG_TOKEN}', 'x-team': 'blue' }";
    let config = format!(
        "{{ models: {{ providers: {{ 'cloudflare-ai-gateway': {{ baseUrl: '{}/v1/a/b/anthropic', api: 'anthropic-messages', providerAuth: 'stored', {headers} }} }} }},
           gateway: {{ gateways: {{ gw: {{}} }} }} }}",
        upstream.url()
    );
    let path = "/v1/acct/gw/cloudflare-ai-gateway/v1/messages";
    let gateway = Gateway::start(Setup {
        config: config.clone(),
        environment: vec![("CF_AIG_TOKEN", "cf-token")],
        ..Setup::default()
    });
    let request = seen(&gateway, &upstream, path, &[("x-team", "red"), ("x-api-key", "dummy")]);
    assert!(request.starts_with("POST /v1/a/b/anthropic/v1/messages HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("cf-aig-authorization: Bearer cf-token\r\n"), "{request}");
    assert!(request.contains("x-team: blue\r\n") && !request.contains("red"), "{request}");
    assert!(!request.contains("dummy"), "with providerAuth `stored` no provider key is sent: {request}");
    let gateway = Gateway::start(Setup { config, ..Setup::default() });
    let reply = gateway.post_authorized(path, &[], BODY);
    assert_eq!(reply.status, 500);
    assert!(
        reply.text().contains("models.providers.cloudflare-ai-gateway.headers.cf-aig-authorization"),
        "{}",
        reply.text()
    );
    assert!(upstream.was_not_called());
}

#[test]
fn a_service_account_is_exchanged_once_for_a_token() {
    let upstream = Upstream::start();
    let account = serde_json::json!({
        "client_email": "robot@example.iam.gserviceaccount.com",
        "private_key": fresh_rsa_key(),
        "token_uri": format!("{}/token", upstream.url()),
    })
    .to_string();
    let config = format!(
        "{{ models: {{ providers: {{ 'google-vertex-ai': {{ baseUrl: '{}' }} }} }}, gateway: {{ gateways: {{ gw: {{}} }} }} }}",
        upstream.url()
    );
    let key: &'static str = account.leak();
    let gateway = Gateway::start(Setup {
        config,
        keys: vec![("google-vertex-ai", "default", None, key)],
        ..Setup::default()
    });
    upstream.will_say(answer(
        "200 OK",
        "content-type: application/json\r\n",
        br#"{"access_token":"ya29.minted","expires_in":3600}"#,
    ));
    upstream.will_say(answer("200 OK", "", b"{}"));
    let path = "/v1/acct/gw/google-vertex-ai/v1/projects/p/locations/us-central1/publishers/google/models/gemini-3-pro:generateContent";
    assert_eq!(gateway.post_authorized(path, &[], BODY).status, 200);
    let exchange = upstream.request_text();
    assert!(
        exchange.starts_with("POST /token HTTP/1.1\r\n") && exchange.contains("grant_type=urn"),
        "{exchange}"
    );
    assert!(upstream.request_text().contains("authorization: Bearer ya29.minted\r\n"));
    // The token is kept: the next call mints none.
    let request = seen(&gateway, &upstream, path, &[]);
    assert!(request.contains("authorization: Bearer ya29.minted\r\n"), "{request}");
}

#[test]
fn bedrock_calls_are_signed_with_stored_keys_and_left_alone_with_the_clients_own() {
    let upstream = Upstream::start();
    let config = format!(
        "{{ models: {{ providers: {{ 'aws-bedrock': {{ baseUrl: '{}' }} }} }}, gateway: {{ gateways: {{ gw: {{}} }} }} }}",
        upstream.url()
    );
    let key = r#"{"accessKeyId":"AKIDEXAMPLE","secretAccessKey":"hush-hush","region":"eu-west-1","sessionToken":"session-hush"}"#;
    let gateway = Gateway::start(Setup {
        config,
        keys: vec![("aws-bedrock", "default", None, key)],
        ..Setup::default()
    });
    let path = "/v1/acct/gw/aws-bedrock/bedrock-runtime/us-east-1/model/amazon.nova-lite-v1%3A0/converse";
    let request = seen(&gateway, &upstream, path, &[]);
    assert!(request.contains("authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{request}");
    assert!(request.contains("x-amz-security-token: session-hush\r\n"), "{request}");
    assert!(!request.contains("hush-hush"), "{request}");
    assert!(request.contains("/model/amazon.nova-lite-v1%3A0/converse HTTP/1.1"), "{request}");
    let own = "AWS4-HMAC-SHA256 Credential=OWN/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=00";
    let request = seen(&gateway, &upstream, path, &[("authorization", own)]);
    assert!(request.contains(own), "{request}");
}

/// A key of our own, in the form Google hands them out (PKCS #8, PEM).
pub(crate) fn fresh_rsa_key() -> String {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use base64::Engine;
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("key");
    let der: Pkcs8V1Der<'_> = pair.as_der().expect("der");
    let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}
