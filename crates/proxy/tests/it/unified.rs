//! One endpoint for every provider, through the simulator.

use genesis_simulator::Simulator;
use genesis_store::Outcome;
use genesis_wire::Dialect;
use serde_json::json;

use crate::gateway::{Gateway, Setup, config};
use crate::upstream::{Script, Upstream, answer, chunk, chunked_head};

const COMPAT: &str = "/v1/acct/gw/compat/chat/completions";

fn keyed(upstream: &str) -> Gateway {
    let keys = vec![
        ("anthropic", "default", None, "sk-ant-stored"),
        ("openai", "default", None, "sk-stored"),
        ("google-ai-studio", "default", None, "AIza-stored"),
    ];
    let config = config(upstream, "gw: {}")
        .replace("{ models:", "{ agents: { defaults: { model: 'anthropic/claude-sonnet-4-6' } }, models:");
    Gateway::start(Setup { config, keys, ..Setup::default() })
}

#[test]
fn the_copied_line_reaches_anthropic_with_the_stored_key_and_comes_back_in_openais_shape() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = keyed(&simulator.url());
    let body = json!({"model":"anthropic/claude-sonnet-4-5","messages":[{"role":"user","content":"What is Cloudflare?"}]});
    let reply = gateway.post_authorized(COMPAT, &[], body.to_string().as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    let said = reply.json();
    assert_eq!(said["object"], "chat.completion");
    assert_eq!(said["choices"][0]["message"]["role"], "assistant");
    assert!(
        said["choices"][0]["message"]["content"]
            .as_str()
            .is_some_and(|text| text.contains("What is Cloudflare?")),
        "{said}"
    );
    assert_eq!(said["choices"][0]["finish_reason"], "stop");
    assert!(said["usage"]["total_tokens"].as_u64().is_some_and(|tokens| tokens > 0));

    let sent = &simulator.captured()[0];
    assert_eq!((sent.method.as_str(), sent.path_and_query.as_str()), ("POST", "/v1/messages"));
    assert_eq!(sent.header("x-api-key"), Some("sk-ant-stored"));
    assert_eq!(sent.header("anthropic-version"), Some("2023-06-01"));
    assert_eq!((sent.header("authorization"), sent.header("cf-aig-authorization")), (None, None));
    let sent: serde_json::Value = serde_json::from_slice(&sent.body).expect("json");
    assert_eq!(sent["model"], "claude-sonnet-4-5");
    assert!(sent["max_tokens"].as_u64().is_some_and(|limit| limit > 0), "Anthropic requires a limit: {sent}");

    let (record, payload) = gateway.last_log(1);
    assert_eq!((record.provider.as_str(), record.outcome), ("anthropic", Outcome::Success));
    assert_eq!(record.dialect, Some(Dialect::AnthropicMessages));
    assert_eq!(record.path, "chat/completions");
    assert!(record.cost_nano_usd.is_some_and(|cost| cost > 0), "{record:?}");
    assert_eq!(payload.expect("payload").response, reply.body, "the log keeps what the client got");
}

#[test]
fn streams_are_translated_event_by_event() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = keyed(&simulator.url());
    for model in ["anthropic/claude-sonnet-4-5", "google-ai-studio/gemini-2.5-flash"] {
        let body = json!({"model":model,"stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hello"}]});
        let reply = gateway.post_authorized(COMPAT, &[], body.to_string().as_bytes());
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("content-type"), Some("text/event-stream"));
        assert!(reply.complete);
        let text = reply.text();
        assert!(text.trim_end().ends_with("data: [DONE]"), "{text}");
        assert!(text.contains("chat.completion.chunk") && text.contains("\"usage\":{"), "{text}");
    }
    for record in gateway.log(2) {
        assert_eq!(record.outcome, Outcome::Success, "{}", record.error);
        assert!(record.usage.is_some(), "{record:?}");
    }
}

#[test]
fn the_same_dialect_is_relayed_with_only_the_model_replaced() {
    let upstream = Upstream::start();
    let gateway = keyed(&upstream.url());
    let theirs = b"{\"id\": \"x\",\n  \"choices\": [] , \"unknown\":1e400}";
    upstream.will_say(answer("200 OK", "content-type: application/json\r\n", theirs));
    let body = "{ \"messages\" : [], \"model\" : \"openai/gpt-5-mini\",\t\"odd\": 1e400 }";
    let reply = gateway.post_authorized(COMPAT, &[], body.as_bytes());
    assert_eq!(reply.body, theirs);
    let request = upstream.request_text();
    assert!(request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{request}");
    assert!(
        request.ends_with("{ \"messages\" : [], \"model\" : \"gpt-5-mini\",\t\"odd\": 1e400 }"),
        "{request}"
    );
    assert!(request.contains("authorization: Bearer sk-stored\r\n"), "{request}");
}

#[test]
fn every_surface_takes_its_dialect_to_any_provider() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = keyed(&simulator.url());
    let bearer = gateway.authorization();
    let chat =
        json!({"model":"google-ai-studio/gemini-2.5-flash","messages":[{"role":"user","content":"x"}]});
    let responses = json!({"model":"anthropic/claude-sonnet-4-5","input":"x"});
    let messages =
        json!({"model":"openai/gpt-5-mini","max_tokens":50,"messages":[{"role":"user","content":"x"}]});
    let embeddings = json!({"model":"openai/text-embedding-3-small","input":"x"});
    let default = json!({"model":"genesis/default","messages":[{"role":"user","content":"x"}]});
    let rest = "/client/v4/accounts/acct/ai/v1";
    for (path, body, kind) in [
        ("/v1/acct/gw/compat/responses".to_owned(), &responses, "response"),
        ("/v1/acct/gw/compat/embeddings".to_owned(), &embeddings, "list"),
        (format!("{rest}/chat/completions"), &chat, "chat.completion"),
        (format!("{rest}/responses"), &responses, "response"),
        ("/v1/chat/completions".to_owned(), &default, "chat.completion"),
        ("/v1/responses".to_owned(), &responses, "response"),
        ("/v1/embeddings".to_owned(), &embeddings, "list"),
    ] {
        let headers = [("authorization", bearer.as_str()), ("cf-aig-gateway-id", "gw")];
        let reply = gateway.post(&path, &headers, body.to_string().as_bytes());
        assert_eq!(
            (reply.status, reply.json()["object"].as_str()),
            (200, Some(kind)),
            "{path}: {}",
            reply.text()
        );
    }
    for path in [format!("{rest}/messages"), "/v1/messages".to_owned()] {
        let reply = gateway.post(&path, &[("x-api-key", &gateway.token)], messages.to_string().as_bytes());
        assert_eq!(
            (reply.status, reply.json()["type"].as_str()),
            (200, Some("message")),
            "{path}: {}",
            reply.text()
        );
    }
    for sent in simulator.captured() {
        assert!(!format!("{:?}", sent.headers).contains("gt_"), "{sent:?}");
    }
}

#[test]
fn models_are_listed() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = keyed(&simulator.url());
    let token = gateway.authorization();
    let get =
        |path: &str| crate::client::call(gateway.address, "GET", path, &[("authorization", &token)], b"");
    let list = get("/v1/acct/gw/compat/models").json();
    assert_eq!(list["object"], "list");
    let ids: Vec<_> =
        list["data"].as_array().expect("data").iter().filter_map(|model| model["id"].as_str()).collect();
    assert!(ids.contains(&"anthropic/claude-sonnet-4-5"), "{ids:?}");
    assert!(!ids.iter().any(|id| id.starts_with("groq/")), "only what has a key");
    assert_eq!(get("/v1/models/anthropic/claude-sonnet-4-5").json()["object"], "model");
    assert_eq!(get("/v1/models/anthropic/nonsense").status, 404);
    assert_eq!(crate::client::call(gateway.address, "GET", "/v1/models", &[], b"").status, 401);
}

#[test]
fn wrong_requests_get_one_clear_answer() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = keyed(&simulator.url());
    for (body, status, code, says) in [
        (r#"{"model":"gpt-5","messages":[]}"#, 400, 2019, "provider/model"),
        (r#"{"messages":[]}"#, 400, 2019, "provider/model"),
        (r#"{"model":"nope/x","messages":[]}"#, 400, 2008, "no provider `nope`"),
        (r#"[1]"#, 400, 9400, "not a JSON object"),
        (r#"{"model":"anthropic/claude-sonnet-4-5","messages":7}"#, 400, 9400, "messages"),
    ] {
        let reply = gateway.post_authorized(COMPAT, &[], body.as_bytes());
        assert_eq!(
            (reply.status, reply.json()["internalCode"].as_u64()),
            (status, Some(code)),
            "{body}: {}",
            reply.text()
        );
        assert!(reply.text().contains(says), "{}", reply.text());
    }
    assert!(simulator.captured().is_empty());
}

#[test]
fn a_providers_refusal_comes_in_the_callers_dialect_with_its_headers() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = keyed(&simulator.url());
    let body = json!({"model":"anthropic/sim-429,retry-after=7","messages":[{"role":"user","content":"x"}]});
    let reply = gateway.post_authorized(COMPAT, &[], body.to_string().as_bytes());
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("7")), "{}", reply.text());
    let error = &reply.json()["error"];
    assert!(error["message"].is_string() && error["type"].is_string(), "{}", reply.text());
    assert_eq!(gateway.log(1)[0].outcome, Outcome::ProviderError);
}

#[test]
fn what_cannot_be_carried_is_named_and_refused_when_strict() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = keyed(&simulator.url());
    let body =
        json!({"model":"anthropic/claude-sonnet-4-5","seed":7,"messages":[{"role":"user","content":"x"}]})
            .to_string();
    let reply = gateway.post_authorized(COMPAT, &[], body.as_bytes());
    assert_eq!((reply.status, reply.header("cf-aig-dropped")), (200, Some("seed")));
    let reply = gateway.post_authorized(COMPAT, &[("cf-aig-strict", "true")], body.as_bytes());
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("seed"), "{}", reply.text());
}

#[test]
fn the_clients_own_key_is_presented_as_the_provider_wants_it() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = keyed(&simulator.url());
    let body =
        json!({"model":"anthropic/claude-sonnet-4-5","messages":[{"role":"user","content":"x"}]}).to_string();
    gateway.post_authorized(COMPAT, &[("authorization", "Bearer sk-ant-own")], body.as_bytes());
    let sent = &simulator.captured()[0];
    assert_eq!((sent.header("x-api-key"), sent.header("authorization")), (Some("sk-ant-own"), None));
    assert_eq!(gateway.log(1)[0].credential, "request");
}

#[test]
fn a_cut_stream_ends_with_an_error_event_in_the_callers_dialect() {
    let upstream = Upstream::start();
    let gateway = keyed(&upstream.url());
    let start = b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-sonnet-4-5\",\"content\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n";
    let pieces = vec![[chunked_head("content-type: text/event-stream\r\n"), chunk(start)].concat()];
    upstream.will(Script { pieces, close: true, ..Script::default() });
    let body = json!({"model":"anthropic/claude-sonnet-4-5","stream":true,"messages":[{"role":"user","content":"x"}]}).to_string();
    let reply = gateway.post_authorized(COMPAT, &[], body.as_bytes());
    assert!(reply.text().contains("\"error\""), "{}", reply.text());
    assert!(!reply.text().contains("[DONE]") && !reply.complete, "never a clean end: {}", reply.text());
    assert_eq!(gateway.log(1)[0].outcome, Outcome::UpstreamBroken);
}

#[test]
fn a_translated_answer_that_stalls_is_given_up() {
    let upstream = Upstream::start();
    let config =
        config(&upstream.url(), "gw: {}").replace("gateway: {", "gateway: { limits: { idleSeconds: 1 },");
    let gateway = Gateway::start(Setup { config, ..Setup::default() });
    let half =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{\"id\":".to_vec();
    upstream.will(Script { pieces: vec![half], then_wait: true, ..Script::default() });
    let body =
        json!({"model":"anthropic/claude-sonnet-4-5","messages":[{"role":"user","content":"x"}]}).to_string();
    let reply = gateway.post_authorized(COMPAT, &[("x-api-key", "sk-own")], body.as_bytes());
    assert_eq!((reply.status, reply.json()["internalCode"].as_u64()), (502, Some(2005)), "{}", reply.text());
    upstream.saw_the_gateway_close();
    assert!(gateway.log(1)[0].error.contains("sent nothing for 1s"), "{}", gateway.log(1)[0].error);
}

#[test]
fn a_provider_that_keeps_its_own_keys_is_shown_none() {
    let simulator = Simulator::start().expect("simulator");
    let config = format!(
        "{{ models: {{ providers: {{ 'cloudflare-ai-gateway': {{ baseUrl: '{}/v1/a/b/anthropic', api: 'anthropic-messages', providerAuth: 'stored',
           headers: {{ 'cf-aig-authorization': 'Bearer cf-token' }} }} }} }}, gateway: {{ gateways: {{ gw: {{}} }} }} }}",
        simulator.url()
    );
    let gateway = Gateway::start(Setup { config, ..Setup::default() });
    let body =
        json!({"model":"cloudflare-ai-gateway/claude-sonnet-4-6","messages":[{"role":"user","content":"x"}]});
    let reply = gateway.post_authorized(
        COMPAT,
        &[("authorization", "Bearer placeholder")],
        body.to_string().as_bytes(),
    );
    assert_eq!(reply.status, 200, "{}", reply.text());
    let sent = &simulator.captured()[0];
    assert_eq!(sent.path_and_query, "/v1/a/b/anthropic/v1/messages");
    assert_eq!(sent.header("cf-aig-authorization"), Some("Bearer cf-token"));
    assert_eq!((sent.header("x-api-key"), sent.header("authorization")), (None, None));
}

#[test]
fn an_answer_that_cannot_be_translated_is_paid_for_all_the_same() {
    let upstream = Upstream::start();
    let gateway = keyed(&upstream.url());
    let odd = br#"{"model":"claude-sonnet-4-5","content":7,"usage":{"input_tokens":10,"output_tokens":2}}"#;
    upstream.will_say(answer("200 OK", "content-type: application/json\r\n", odd));
    let body = json!({"model":"anthropic/claude-sonnet-4-5","messages":[{"role":"user","content":"x"}]});
    assert_eq!(gateway.post_authorized(COMPAT, &[], body.to_string().as_bytes()).status, 502);
    let (record, _) = gateway.last_log(1);
    // $3 and $15 per million tokens
    assert_eq!((record.status, record.cost_nano_usd), (502, Some(10 * 3_000 + 2 * 15_000)), "{record:?}");
}

#[test]
fn what_was_lost_is_in_the_log_and_counted() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = keyed(&simulator.url());
    let body = json!({"model":"anthropic/claude-sonnet-4-5","seed":7,"logit_bias":{"1":2},"messages":[{"role":"user","content":"x"}]});
    let reply = gateway.post_authorized(COMPAT, &[], body.to_string().as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    gateway.post_authorized(COMPAT, &[("cf-aig-strict", "true")], body.to_string().as_bytes());
    let kept: Vec<_> = gateway.log(2).into_iter().map(|record| record.dropped).collect();
    assert_eq!(kept, [vec!["seed", "logit_bias"], Vec::new()], "a refused call has lost nothing");
    assert_eq!(gateway.shared.dropped_fields(), [("logit_bias".to_owned(), 1), ("seed".to_owned(), 1)]);
}

#[test]
fn a_gateway_may_be_strict_and_a_call_may_not_be() {
    let simulator = Simulator::start().expect("simulator");
    let config = config(&simulator.url(), "gw: { strict_translation: true }");
    let keys = vec![("anthropic", "default", None, "sk-ant-stored")];
    let gateway = Gateway::start(Setup { config, keys, ..Setup::default() });
    let body =
        json!({"model":"anthropic/claude-sonnet-4-5","seed":7,"messages":[{"role":"user","content":"x"}]});
    let send =
        |headers: &[(&str, &str)]| gateway.post_authorized(COMPAT, headers, body.to_string().as_bytes());
    let refused = send(&[]);
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("strict_translation"), "{}", refused.text());
    assert_eq!(send(&[("cf-aig-strict", "false")]).status, 200);
}

#[test]
fn a_compressed_stream_is_unpacked_to_be_translated() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = keyed(&simulator.url());
    for model in ["anthropic/sim-gzip", "google-ai-studio/sim-gzip"] {
        let body = json!({"model":model,"stream":true,"messages":[{"role":"user","content":"hello"}]});
        let reply = gateway.post_authorized(COMPAT, &[], body.to_string().as_bytes());
        assert_eq!((reply.status, reply.header("content-encoding")), (200, None), "{}", reply.text());
        assert!(reply.complete && reply.text().trim_end().ends_with("data: [DONE]"), "{}", reply.text());
        assert!(reply.text().contains("\"finish_reason\":\"stop\""), "{}", reply.text());
    }
    assert!(gateway.log(2).iter().all(|record| record.outcome == Outcome::Success && record.usage.is_some()));
}

#[test]
fn a_stream_whose_coding_breaks_ends_with_an_error() {
    let upstream = Upstream::start();
    let gateway = keyed(&upstream.url());
    let head = "content-type: text/event-stream\r\ncontent-encoding: gzip\r\n";
    upstream.will_say([chunked_head(head), chunk(b"this is not gzip"), b"0\r\n\r\n".to_vec()].concat());
    let body = json!({"model":"anthropic/claude-sonnet-4-5","stream":true,"messages":[{"role":"user","content":"x"}]});
    let reply = gateway.post_authorized(COMPAT, &[], body.to_string().as_bytes());
    assert!(reply.text().contains("\"error\":{"), "{}", reply.text());
    assert!(!reply.complete);
    assert_eq!(gateway.log(1)[0].outcome, Outcome::UpstreamBroken);

    upstream.will_say(answer(
        "200 OK",
        "content-type: text/event-stream\r\ncontent-encoding: zstd\r\n",
        b"x",
    ));
    let reply = gateway.post_authorized(COMPAT, &[], body.to_string().as_bytes());
    assert_eq!(reply.status, 502, "{}", reply.text());
}

#[test]
fn a_listed_model_says_what_it_can_do() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = keyed(&simulator.url());
    let token = gateway.authorization();
    let get = |id: &str| {
        let path = format!("/v1/acct/gw/compat/models/{id}");
        crate::client::call(gateway.address, "GET", &path, &[("authorization", &token)], b"").json()
    };
    let sonnet = get("anthropic/claude-sonnet-4-6");
    assert_eq!(
        (&sonnet["context_window"], &sonnet["max_output_tokens"]),
        (&json!(1_000_000), &json!(128_000))
    );
    assert_eq!(sonnet["input_modalities"], json!(["text", "image", "pdf"]));
    assert!(sonnet["capabilities"].as_array().expect("capabilities").contains(&json!("tools")));
    for name in ["claude-sonnet-4.6", "claude-sonnet-4-6-20260217"] {
        let same = get(&format!("anthropic/{name}"));
        assert_eq!(same["context_window"], sonnet["context_window"], "{name}: {same}");
    }
}

#[test]
fn azure_is_called_by_resource_and_deployment() {
    let upstream = Upstream::start();
    let config = format!(
        "{{ models: {{ providers: {{ 'azure-openai': {{ baseUrl: '{}', resource: 'mine' }} }} }}, gateway: {{ gateways: {{ gw: {{}} }} }} }}",
        upstream.url()
    );
    let keys = vec![("azure-openai", "default", None, "azure-key")];
    let gateway = Gateway::start(Setup { config, keys, ..Setup::default() });
    for model in ["azure-openai/my-gpt", "azure/other/my-gpt"] {
        upstream.will_say(answer("200 OK", "content-type: application/json\r\n", b"{}"));
        let body = json!({"model":model,"messages":[]}).to_string();
        gateway.post_authorized(COMPAT, &[], body.as_bytes());
        let request = upstream.request_text();
        assert!(request.starts_with("POST /openai/v1/chat/completions HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("api-key: azure-key\r\n"), "{request}");
        assert!(request.ends_with(r#"{"messages":[],"model":"my-gpt"}"#), "{request}");
    }
}

#[test]
fn vertex_finds_project_and_region_in_the_service_account() {
    let upstream = Upstream::start();
    let account = json!({
        "client_email": "robot@example.iam.gserviceaccount.com",
        "private_key": crate::credentials::fresh_rsa_key(),
        "project_id": "my-project",
        "region": "europe-west4",
        "token_uri": format!("{}/token", upstream.url()),
    });
    let config = format!(
        "{{ models: {{ providers: {{ 'google-vertex-ai': {{ baseUrl: '{}' }} }} }}, gateway: {{ gateways: {{ gw: {{}} }} }} }}",
        upstream.url()
    );
    let keys = vec![("google-vertex-ai", "default", None, &*account.to_string().leak())];
    let gateway = Gateway::start(Setup { config, keys, ..Setup::default() });
    let json = "content-type: application/json\r\n";
    upstream.will_say(answer("200 OK", json, br#"{"access_token":"ya29.minted","expires_in":3600}"#));
    upstream.will_say(answer(
        "200 OK",
        json,
        br#"{"candidates":[{"content":{"parts":[{"text":"Hi"}],"role":"model"},"finishReason":"STOP"}]}"#,
    ));
    let ask = |path: &str, model: &str| {
        let body =
            json!({"model":model,"max_tokens":9,"messages":[{"role":"user","content":"x"}]}).to_string();
        gateway.post_authorized(path, &[], body.as_bytes())
    };
    let reply = ask(COMPAT, "google-vertex-ai/google/gemini-2.5-pro");
    assert_eq!(reply.json()["choices"][0]["message"]["content"], "Hi", "{}", reply.text());
    upstream.request_text(); // the token
    let places = "/v1/projects/my-project/locations/europe-west4/publishers";
    let request = upstream.request_text();
    assert!(
        request.starts_with(&format!("POST {places}/google/models/gemini-2.5-pro:generateContent ")),
        "{request}"
    );

    // Claude: the path names the model, the body the version, whether translated or not.
    let claude = br#"{"id":"m","type":"message","role":"assistant","model":"c","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}"#;
    for path in [COMPAT, "/v1/acct/gw/compat/messages"] {
        upstream.will_say(answer("200 OK", json, claude));
        let reply = ask(path, "google-vertex-ai/anthropic/claude-sonnet-4-5@20250929");
        assert_eq!(reply.status, 200, "{}", reply.text());
        let request = upstream.request_text();
        let endpoint = format!("POST {places}/anthropic/models/claude-sonnet-4-5@20250929:rawPredict ");
        assert!(request.starts_with(&endpoint), "{request}");
        let sent: serde_json::Value =
            serde_json::from_str(request.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
        assert_eq!((&sent["anthropic_version"], &sent["model"]), (&json!("vertex-2023-10-16"), &json!(null)));
    }
    let refused = ask(COMPAT, "google-vertex-ai/meta/llama-4");
    assert_eq!(refused.status, 400, "{}", refused.text());
}

#[test]
fn a_refused_call_is_logged_with_the_model_it_asked_for() {
    let gateway = keyed("http://127.0.0.1:9");
    let body = json!({"model":"anthropic/claude-sonnet-4-5","input":"x"}).to_string();
    let reply = gateway.post_authorized("/v1/acct/gw/compat/embeddings", &[], body.as_bytes());
    assert_eq!(reply.status, 400, "{}", reply.text());
    let record = &gateway.log(1)[0];
    assert_eq!((record.provider.as_str(), record.model.as_str()), ("anthropic", "claude-sonnet-4-5"));
}

#[test]
fn tokens_are_counted_by_anthropic_or_not_at_all() {
    let upstream = Upstream::start();
    let gateway = keyed(&upstream.url());
    let ask = |path: &str, model: &str| {
        let body = json!({"model":model,"messages":[{"role":"user","content":"x"}]}).to_string();
        gateway.post(path, &[("x-api-key", &gateway.token), ("cf-aig-gateway-id", "gw")], body.as_bytes())
    };
    let json = "content-type: application/json\r\n";
    let rest = "/client/v4/accounts/acct/ai/v1/messages/count_tokens";
    for path in ["/v1/messages/count_tokens", "/v1/acct/gw/compat/v1/messages/count_tokens", rest] {
        upstream.will_say(answer("200 OK", json, br#"{"input_tokens": 14}"#));
        let reply = ask(path, "anthropic/claude-sonnet-4-5");
        assert_eq!((reply.status, reply.body.as_slice()), (200, br#"{"input_tokens": 14}"#.as_slice()));
        let request = upstream.request_text();
        assert!(request.starts_with("POST /v1/messages/count_tokens HTTP/1.1\r\n"), "{request}");
        assert!(request.ends_with(r#""model":"claude-sonnet-4-5"}"#), "{request}");
    }
    assert_eq!(gateway.log(3)[0].path, "messages/count_tokens");
    let refused = ask("/v1/messages/count_tokens", "openai/gpt-5");
    assert_eq!(refused.status, 501);
    let said = refused.json();
    assert_eq!((&said["type"], &said["internalCode"]), (&json!("error"), &json!(9501)), "{said}");
    assert!(said["error"]["message"].as_str().is_some_and(|text| text.contains("anthropic")), "{said}");
    assert!(upstream.was_not_called());
}

#[test]
fn run_takes_a_model_and_its_input_and_answers_in_the_rest_envelope() {
    let simulator = Simulator::start().expect("simulator");
    let gateway = keyed(&simulator.url());
    let bearer = gateway.authorization();
    let headers = [("authorization", bearer.as_str()), ("cf-aig-gateway-id", "gw")];
    let run = |path: &str, body: &serde_json::Value| {
        gateway.post(&format!("/client/v4/accounts/acct/ai/{path}"), &headers, body.to_string().as_bytes())
    };
    let messages = json!([{"role":"user","content":"hello"}]);
    for (model, input, kind) in [
        ("openai/gpt-5-mini", json!({"messages": messages}), ("object", "chat.completion")),
        ("google/gemini-2.5-flash", json!({"messages": messages}), ("object", "chat.completion")),
        ("anthropic/claude-haiku-4.5", json!({"messages": messages, "max_tokens": 50}), ("type", "message")),
        ("openai/text-embedding-3-small", json!({"input": "x"}), ("object", "list")),
    ] {
        let wrapped = run("run", &json!({"model": model, "input": input}));
        let said = wrapped.json();
        assert_eq!((wrapped.status, &said["success"]), (200, &json!(true)), "{model}: {said}");
        assert_eq!((&said["errors"], &said["messages"]), (&json!([]), &json!([])));
        assert_eq!(said["result"][kind.0], kind.1, "{model}: {said}");
        let by_path = run(&format!("run/{model}"), &input);
        assert_eq!(by_path.json()["result"][kind.0], kind.1, "{model}: {}", by_path.text());
    }
    let sent =
        simulator.captured().into_iter().find(|sent| sent.path_and_query == "/v1/messages").expect("sent");
    assert!(
        String::from_utf8_lossy(&sent.body).contains("\"claude-haiku-4-5\""),
        "dots are dashes to Anthropic"
    );

    let stream = json!({"model": "openai/gpt-5-mini", "input": {"messages": messages, "stream": true}});
    let reply = run("run", &stream);
    assert!(reply.header("content-type").is_some_and(|media| media.starts_with("text/event-stream")));
    assert!(reply.text().starts_with("data: "), "{}", reply.text());
    for (body, status) in [
        (json!({"model": "openai/gpt-5-mini"}), 400),
        (json!({"model": "openai/gpt-5-mini", "input": {"prompt": "x"}}), 400),
        (json!({"model": "openai/sim-429", "input": {"messages": messages}}), 429),
    ] {
        let refused = run("run", &body);
        let said = refused.json();
        assert_eq!((refused.status, &said["success"]), (status, &json!(false)), "{body}: {said}");
        assert!(said["errors"][0]["message"].is_string(), "{said}");
    }
}

#[test]
fn sdks_can_read_our_errors_where_cloudflare_has_no_such_path() {
    let gateway = keyed("http://127.0.0.1:9");
    let body = br#"{"model":"anthropic/x","messages":[]}"#;
    let chat = gateway.post("/v1/chat/completions", &[], body);
    assert_eq!(chat.status, 401);
    let said = chat.json();
    assert_eq!(
        (&said["error"]["type"], &said["error"]["code"]),
        (&json!("authentication_error"), &json!("2009"))
    );
    assert!(
        said["error"]["message"].as_str().is_some_and(|text| text.contains("genesis token create")),
        "{said}"
    );
    assert_eq!((&said["errors"][0]["code"], &said["internalCode"]), (&json!(2009), &json!(2009)));
    let messages =
        gateway.post("/client/v4/accounts/acct/ai/v1/messages", &[("cf-aig-gateway-id", "gw")], body);
    let said = messages.json();
    assert_eq!((&said["type"], &said["error"]["type"]), (&json!("error"), &json!("authentication_error")));
    // Where Cloudflare documents its envelope it stays as documented.
    let compat = gateway.post(COMPAT, &[], body).json();
    assert_eq!((&compat["error"][0]["code"], &compat["result"]), (&json!(2009), &json!([])));
}
