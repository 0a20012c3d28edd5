//! The universal protocol over a WebSocket, with a real client.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use genesis_store::Outcome;
use serde_json::{Value, json};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message, WebSocket};

use crate::gateway::{Gateway, Setup, config};
use crate::realtime::connect;
use crate::upstream::{Script, Upstream, answer, chunk, chunked_head};

const JSON: &str = "content-type: application/json\r\n";
const SSE: &str = "content-type: text/event-stream\r\n";

fn stored(upstream: &Upstream) -> Gateway {
    Gateway::start(Setup {
        config: config(&upstream.url(), "gw: {}"),
        keys: vec![("openai", "default", None, "sk-stored"), ("anthropic", "default", None, "sk-ant")],
        ..Setup::default()
    })
}

struct Client(WebSocket<TcpStream>);

impl Client {
    fn of(gateway: &Gateway) -> Self {
        let headers =
            [("cf-aig-authorization", gateway.token.as_str()), ("x-client", "mine"), ("user-agent", "me")];
        Self(connect(gateway, "/v1/acct/gw/", &headers).expect("handshake").0)
    }

    fn ask(&mut self, request: &Value) {
        self.say(&json!({ "type": "universal.create", "request": request }).to_string());
    }

    fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).expect("send");
    }

    fn hear(&mut self) -> Value {
        loop {
            match self.0.read().expect("a message") {
                Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Why the gateway closed.
    fn close(&mut self) -> CloseCode {
        loop {
            match self.0.read().expect("a close") {
                Message::Close(frame) => {
                    let _ = self.0.flush();
                    return frame.expect("a reason").code;
                }
                Message::Text(text) => panic!("{text}"),
                _ => {}
            }
        }
    }
}

fn step(id: &str) -> Value {
    json!({ "eventId": id, "provider": "openai", "endpoint": "chat/completions", "query": { "model": "m" } })
}

#[test]
fn an_answer_comes_in_one_message_and_has_a_log_entry_of_its_own() {
    let upstream = Upstream::start();
    let gateway = stored(&upstream);
    let mut client = Client::of(&gateway);
    for id in ["first", "zweite Frage ä"] {
        upstream.will_say(answer("200 OK", JSON, b"{\"id\": 1.50 ,\n\"choices\":[]}"));
        client.ask(&step(id));
        let told = client.hear();
        let logged = gateway.last_log(if id == "first" { 1 } else { 2 }).0;
        assert_eq!(
            told,
            json!({ "type": "universal.created",
                "metadata": { "cacheStatus": "MISS", "eventId": id, "logId": logged.id.to_string(), "step": "0",
                    "contentType": "application/json", "status": 200 },
                "response": { "id": 1.5, "choices": [] } })
        );
        assert_eq!(
            (logged.status, logged.method.as_str(), logged.path.as_str()),
            (200, "POST", "chat/completions")
        );
        assert_eq!((logged.outcome, logged.credential.as_str()), (Outcome::Success, "stored:default"));
        let request = upstream.request_text();
        assert!(request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{request}");
        assert!(
            request.ends_with("{\"model\":\"m\"}") && request.contains("user-agent: me\r\n"),
            "{request}"
        );
        assert!(!request.contains("mine") && !request.contains(&gateway.token), "{request}");
        assert!(!request.contains("sec-websocket") && !request.contains("accept-encoding"), "{request}");
    }
    assert_eq!(gateway.log(2)[0].event_id, "first");
}

#[test]
fn a_stream_comes_event_by_event() {
    let upstream = Upstream::start();
    let gateway = stored(&upstream);
    let body = b": ping\n\nevent: x\ndata: {\"n\":1}\n\ndata: plain\ndata: text\n\ndata: [DONE]\n\n";
    // Cut in the middle of an event.
    let pieces = vec![
        [chunked_head(SSE), chunk(&body[..15])].concat(),
        [chunk(&body[15..]), b"0\r\n\r\n".to_vec()].concat(),
    ];
    upstream.will(Script { pieces, ..Script::default() });
    let mut client = Client::of(&gateway);
    client.ask(&step("s"));
    let created = client.hear();
    assert_eq!((&created["type"], created.get("response")), (&json!("universal.created"), None));
    let metadata = &created["metadata"];
    assert_eq!((&metadata["contentType"], &metadata["step"]), (&json!("text/event-stream"), &json!("0")));
    for data in [json!({ "n": 1 }), json!("plain\ntext")] {
        let event = json!({ "type": "universal.stream", "metadata": { "eventId": "s" }, "response": data });
        assert_eq!(client.hear(), event);
    }
    assert_eq!(client.hear(), json!({ "type": "universal.done", "metadata": metadata }));
    let logged = gateway.last_log(1).0;
    assert_eq!((metadata["logId"].as_str(), logged.stream), (Some(logged.id.to_string().as_str()), true));
}

#[test]
fn a_stream_that_breaks_off_is_not_done() {
    let upstream = Upstream::start();
    let gateway = stored(&upstream);
    let pieces = vec![[chunked_head(SSE), chunk(b"data: 1\n\n")].concat()];
    upstream.will(Script { pieces, close: true, ..Script::default() });
    let mut client = Client::of(&gateway);
    client.ask(&step("s"));
    assert_eq!(client.hear()["type"], "universal.created");
    assert_eq!(client.hear()["response"], 1);
    let told = client.hear();
    assert_eq!((&told["type"], &told["metadata"]["status"]), (&json!("universal.error"), &json!(502)));
    assert_eq!(told["response"]["error"][0]["code"], 2005);
    assert_eq!(gateway.last_log(1).0.outcome, Outcome::UpstreamBroken);
}

#[test]
fn requests_do_not_wait_for_each_other() {
    let upstream = Upstream::start();
    let gateway = stored(&upstream);
    let mut client = Client::of(&gateway);
    let pieces = vec![[chunked_head(SSE), chunk(b"data: 1\n\n")].concat()];
    upstream.will(Script { pieces, then_wait: true, ..Script::default() });
    client.ask(&step("slow"));
    assert_eq!(client.hear()["metadata"]["eventId"], "slow");
    assert_eq!(client.hear()["metadata"]["eventId"], "slow");
    upstream.will_say(answer("200 OK", JSON, b"{}"));
    client.ask(&step("quick"));
    assert_eq!(client.hear()["metadata"]["eventId"], "quick");
    // Pings are answered meanwhile.
    client.0.send(Message::Ping("here".into())).expect("ping");
    assert_eq!(client.0.read().expect("pong"), Message::Pong("here".into()));
    // Who leaves takes what is under way along.
    drop(client);
    upstream.saw_the_gateway_close();
    let outcomes: Vec<_> = gateway.log(2).into_iter().map(|record| record.outcome).collect();
    assert!(outcomes.contains(&Outcome::ClientLeft) && outcomes.contains(&Outcome::Success), "{outcomes:?}");
}

#[test]
fn a_socket_has_a_bounded_number_of_requests_under_way() {
    let upstream = Upstream::start();
    let gateway = stored(&upstream);
    let mut client = Client::of(&gateway);
    for index in 0..32 {
        upstream.will(Script { then_wait: true, ..Script::default() });
        client.ask(&step(&index.to_string()));
        upstream.request();
    }
    client.ask(&step("more"));
    let told = client.hear();
    assert_eq!((&told["metadata"]["eventId"], &told["metadata"]["status"]), (&json!("more"), &json!(429)));
    assert_eq!(told["response"]["error"][0]["code"], 9429);
    assert!(upstream.was_not_called());
}

#[test]
fn the_next_step_takes_over_and_its_number_is_a_string() {
    let upstream = Upstream::start();
    let gateway = stored(&upstream);
    upstream.will_say(answer("500 x", JSON, b"{}"));
    upstream.will_say(answer("200 OK", JSON, b"{\"ok\":true}"));
    let mut client = Client::of(&gateway);
    client.ask(&json!([step("f"), { "provider": "anthropic", "endpoint": "v1/messages", "query": {} }]));
    let told = client.hear();
    assert_eq!((&told["metadata"]["step"], &told["metadata"]["eventId"]), (&json!("1"), &json!("f")));
    assert_eq!(told["response"], json!({ "ok": true }));
    assert_eq!(gateway.last_log(1).0.attempts.len(), 2);
}

#[test]
fn errors_are_told_as_errors_with_the_body_they_came_with() {
    let upstream = Upstream::start();
    let gateway = stored(&upstream);
    upstream.will_say(answer("404 Not Found", JSON, b"{\"error\":{\"message\":\"no such model\"}}"));
    let mut client = Client::of(&gateway);
    client.ask(&step("e"));
    let told = client.hear();
    assert_eq!((&told["type"], &told["metadata"]["status"]), (&json!("universal.error"), &json!(404)));
    assert_eq!(told["response"]["error"]["message"], "no such model");
    client.ask(&json!({ "eventId": "u", "provider": "opnai", "query": {} }));
    let told = client.hear();
    assert_eq!(
        (&told["type"], &told["response"]["error"][0]["code"]),
        (&json!("universal.error"), &json!(2008))
    );
    assert_eq!(told["metadata"]["eventId"], "u");
}

#[test]
fn what_is_no_json_comes_as_a_string() {
    let upstream = Upstream::start();
    let gateway = stored(&upstream);
    let mut client = Client::of(&gateway);
    for (body, response, encoding) in
        [(&b"words"[..], "words", Value::Null), (&[0xff, 0xfb, 0x90][..], "//uQ", json!("base64"))]
    {
        upstream.will_say(answer("200 OK", "content-type: audio/mpeg\r\n", body));
        client.ask(&step("x"));
        let told = client.hear();
        assert_eq!((&told["response"], &told["metadata"]["encoding"]), (&json!(response), &encoding));
    }
}

#[test]
fn messages_that_cannot_be_read_are_refused_and_the_socket_lives_on() {
    let upstream = Upstream::start();
    let gateway = stored(&upstream);
    let mut client = Client::of(&gateway);
    for text in [
        "no json",
        "[]",
        r#"{"type":"universal.create"}"#,
        r#"{"type":"universal.delete","request":{}}"#,
        r#"{"type":"universal.create","request":7}"#,
        r#"{"type":"universal.create","request":{"eventId":7}}"#,
        r#"{"type":"universal.create","request":[]}"#,
        r#"{"type":"universal.create","request":{"eventId":"x"}}"#,
    ] {
        client.say(text);
        let told = client.hear();
        assert_eq!(
            (&told["type"], &told["metadata"]["status"]),
            (&json!("universal.error"), &json!(400)),
            "{text}"
        );
        assert_eq!(told["response"]["error"][0]["code"], 9400, "{text}");
    }
    client.0.send(Message::binary(vec![1])).expect("send");
    assert_eq!(client.hear()["response"]["error"][0]["code"], 9400);
    assert!(upstream.was_not_called());
    upstream.will_say(answer("200 OK", JSON, b"{}"));
    client.ask(&step("x"));
    assert_eq!(client.hear()["type"], "universal.created");
}

#[test]
fn a_message_over_the_limit_ends_the_socket() {
    let upstream = Upstream::start();
    let config =
        config(&upstream.url(), "gw: {}").replace("gateway: {", "gateway: { limits: { bodyBytes: 2000 },");
    let gateway = Gateway::start(Setup { config, ..Setup::default() });
    let mut client = Client::of(&gateway);
    client.say(&"x".repeat(3_000));
    assert_eq!(client.close(), CloseCode::Size);
    assert!(upstream.was_not_called());
}

#[test]
fn who_may_not_call_gets_no_socket_and_a_browser_brings_its_token() {
    let upstream = Upstream::start();
    let gateway = stored(&upstream);
    match *connect(&gateway, "/v1/acct/gw", &[("cf-aig-authorization", "gt_wrong")]).expect_err("refused") {
        Error::Http(response) => {
            assert_eq!(response.status(), 401);
            let id = response.headers()["cf-aig-log-id"].to_str().expect("text").to_owned();
            let body: Value =
                serde_json::from_slice(response.body().as_deref().unwrap_or_default()).expect("json");
            assert_eq!(body["error"][0]["code"], 2009);
            let logged = gateway.last_log(1).0;
            assert_eq!((logged.status, logged.id.to_string()), (401, id));
        }
        other => panic!("{other}"),
    }
    let offered = format!("cf-aig-authorization.{}", gateway.token);
    let headers = [("sec-websocket-protocol", offered.as_str())];
    let (socket, response) = connect(&gateway, "/v1/acct/gw", &headers).expect("handshake");
    assert_eq!(response.headers()["sec-websocket-protocol"], offered.as_str());
    upstream.will_say(answer("200 OK", JSON, b"{}"));
    let mut client = Client(socket);
    client.ask(&step("b"));
    assert_eq!(client.hear()["type"], "universal.created");
    assert!(!upstream.request_text().contains(&gateway.token));
}

#[test]
fn a_handshake_that_is_none_is_refused() {
    let upstream = Upstream::start();
    let gateway = stored(&upstream);
    let bearer = gateway.authorization();
    for (version, key, status) in [("8", "dGhlIHNhbXBsZSBub25jZQ==", 426), ("13", "short", 400)] {
        let headers = [
            ("cf-aig-authorization", bearer.as_str()),
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", version),
            ("sec-websocket-key", key),
        ];
        let reply = crate::client::call(gateway.address, "GET", "/v1/acct/gw", &headers, b"");
        assert_eq!(reply.status, status, "{}", reply.text());
        assert_eq!(reply.header("sec-websocket-version").is_some(), status == 426);
    }
}

#[test]
fn a_revoked_token_ends_with_the_next_request() {
    let upstream = Upstream::start();
    let gateway = stored(&upstream);
    let mut client = Client::of(&gateway);
    for token in gateway.store.tokens().expect("tokens") {
        gateway.store.revoke_token(&token.id, 0).expect("revoked");
    }
    gateway.reconfigure(&config(&upstream.url(), "gw: {}"));
    client.ask(&step("late"));
    let told = client.hear();
    assert_eq!((&told["type"], &told["metadata"]["status"]), (&json!("universal.error"), &json!(401)));
    assert!(upstream.was_not_called());
}

#[test]
fn a_stop_lets_what_is_under_way_finish_and_says_goodbye() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    let mut gateway = Gateway::start(Setup { config: config(&url, "gw: {}"), ..Setup::default() });
    let mut quiet = Client::of(&gateway);
    let mut waiting = Client::of(&gateway);
    waiting.ask(&step("w"));
    let (mut provider, _) = listener.accept().expect("the provider is called");
    let clients = std::thread::spawn(move || {
        assert_eq!(quiet.close(), CloseCode::Away);
        waiting.ask(&step("late")); // the stop has begun; this one knows of it, too
        let refused = waiting.hear();
        assert_eq!(
            (&refused["metadata"]["eventId"], &refused["metadata"]["status"]),
            (&json!("late"), &json!(503))
        );
        provider.write_all(&answer("200 OK", JSON, b"{}")).expect("answer");
        let told = waiting.hear();
        assert_eq!((&told["type"], &told["metadata"]["eventId"]), (&json!("universal.created"), &json!("w")));
        assert_eq!(waiting.close(), CloseCode::Away);
    });
    gateway.shutdown(Duration::from_secs(30));
    clients.join().expect("clients");
    assert_eq!(gateway.last_log(1).0.outcome, Outcome::Success);
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let upstream = Upstream::start();
    let mut gateway = stored(&upstream);
    let mut waiting = Client::of(&gateway);
    upstream.will(Script { then_wait: true, ..Script::default() });
    waiting.ask(&step("never"));
    upstream.request();
    let client = std::thread::spawn(move || waiting.close());
    gateway.shutdown(Duration::from_secs(4));
    assert_eq!(client.join().expect("client"), CloseCode::Away);
    upstream.saw_the_gateway_close();
    assert_eq!(gateway.last_log(1).0.outcome, Outcome::ClientLeft);
}

#[test]
fn a_socket_on_which_nothing_is_said_is_closed() {
    let upstream = Upstream::start();
    let config =
        config(&upstream.url(), "gw: {}").replace("gateway: {", "gateway: { limits: { idleSeconds: 1 },");
    let gateway = Gateway::start(Setup { config, ..Setup::default() });
    assert_eq!(Client::of(&gateway).close(), CloseCode::Away);
}
