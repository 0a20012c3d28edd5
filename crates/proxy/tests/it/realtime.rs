//! WebSockets to a provider's realtime API, with a real client and a real provider around the gateway.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use genesis_store::Outcome;
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message, WebSocket};

use crate::gateway::{Gateway, Setup, config};
use crate::upstream::{Upstream, answer};

const DONE: &str = r#"{"type":"response.done","response":{"usage":{"input_tokens":100,"output_tokens":20,"input_token_details":{"cached_tokens":40}}}}"#;

/// A provider that echoes each message, tells usage when it hears `spend`, and leaves in the way it is told.
pub(crate) struct Provider {
    pub(crate) url: String,
    /// The handshake's request line and headers, and whether the session was closed properly.
    heads: Receiver<String>,
    closes: Receiver<Option<u16>>,
}

impl Provider {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let (head, heads) = channel();
        let (close, closes) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (head, close) = (head.clone(), close.clone());
                std::thread::spawn(move || {
                    #[expect(clippy::result_large_err, reason = "tungstenite's own signature")]
                    let note = |request: &Request, mut response: Response| {
                        let headers = request.headers().iter();
                        let lines = headers.map(|(name, value)| {
                            format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()))
                        });
                        let _ = head.send(format!("{}\n{}", request.uri(), lines.collect::<String>()));
                        if request.headers().contains_key("sec-websocket-protocol") {
                            response
                                .headers_mut()
                                .insert("sec-websocket-protocol", "realtime".parse().expect("value"));
                        }
                        Ok(response)
                    };
                    let socket = tungstenite::accept_hdr(stream, note).expect("handshake");
                    let _ = close.send(serve(socket));
                });
            }
        });
        Self { url, heads, closes }
    }

    pub(crate) fn head(&self) -> String {
        self.heads.recv_timeout(Duration::from_secs(20)).expect("the provider was called")
    }

    fn close(&self) -> Option<u16> {
        self.closes.recv_timeout(Duration::from_secs(20)).expect("the session ended")
    }
}

/// The status of the Close that ended the session.
fn serve(mut socket: WebSocket<TcpStream>) -> Option<u16> {
    loop {
        match socket.read() {
            Ok(Message::Text(text)) if text.as_str() == "spend" => {
                socket.send(Message::text(DONE)).expect("send")
            }
            Ok(Message::Text(text)) if text.as_str() == "vanish" => return None,
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => socket.send(message).expect("send"),
            Ok(Message::Close(frame)) => {
                let _ = socket.flush();
                return frame.map(|frame| frame.code.into());
            }
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

pub(crate) fn connect(
    gateway: &Gateway,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<(WebSocket<TcpStream>, tungstenite::handshake::client::Response), Box<Error>> {
    let stream = TcpStream::connect(gateway.address).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
    let mut request = format!("ws://{}{path}", gateway.address).into_client_request().expect("request");
    for (name, value) in headers {
        let name = tungstenite::http::HeaderName::from_bytes(name.as_bytes()).expect("name");
        request.headers_mut().insert(name, value.parse().expect("value"));
    }
    tungstenite::client(request, stream).map_err(|error| match error {
        tungstenite::HandshakeError::Failure(error) => Box::new(error),
        tungstenite::HandshakeError::Interrupted(_) => unreachable!("the socket blocks"),
    })
}

#[test]
fn messages_pass_both_ways_and_what_was_used_is_priced() {
    let provider = Provider::start();
    let gateway = Gateway::start(Setup {
        config: config(&provider.url, "gw: {}"),
        keys: vec![("openai", "default", None, "sk-stored")],
        ..Setup::default()
    });
    let token = gateway.token.clone();
    // As the documentation has it: the token without `Bearer`.
    let headers = [("cf-aig-authorization", token.as_str()), ("openai-beta", "realtime=v1")];
    let (mut socket, response) =
        connect(&gateway, "/v1/acct/gw/openai?model=gpt-realtime", &headers).expect("handshake");
    let head = provider.head();
    assert!(head.starts_with("/v1/realtime?model=gpt-realtime\n"), "{head}");
    assert!(
        head.contains("authorization: Bearer sk-stored\n") && head.contains("openai-beta: realtime=v1\n"),
        "{head}"
    );
    assert!(!head.contains("cf-aig") && !head.contains(&token) && !head.contains("extensions"), "{head}");

    let long = "x".repeat(100_000);
    for message in [Message::text("hello"), Message::binary(vec![0, 255, 7]), Message::text(long)] {
        socket.send(message.clone()).expect("send");
        assert_eq!(socket.read().expect("echo"), message);
    }
    for _ in 0..2 {
        socket.send(Message::text("spend")).expect("send");
        assert_eq!(socket.read().expect("usage").into_text().expect("text").as_str(), DONE);
    }
    socket.close(None).expect("close");
    while socket.read().is_ok() {}

    let (record, _) = gateway.last_log(1);
    assert_eq!(response.headers()["cf-aig-log-id"], record.id.to_string());
    assert_eq!((record.status, record.outcome), (101, Outcome::Success));
    assert_eq!((record.provider.as_str(), record.model.as_str()), ("openai", "gpt-realtime"));
    let usage = record.usage.expect("usage");
    assert_eq!((usage.input, usage.cache_read, usage.output), (120, 80, 40));
    assert!(record.cost_nano_usd.is_some_and(|cost| cost > 0), "{record:?}");
    assert!(record.request_size > 100_000 && record.response_size > 100_000);
    assert_eq!(record.credential, "stored:default");
}

#[test]
fn browsers_bring_their_keys_in_sub_protocols() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url);
    let offered = format!("realtime, openai-insecure-api-key.sk-own, cf-aig-authorization.{}", gateway.token);
    let headers = [("sec-websocket-protocol", offered.as_str())];
    let (_socket, response) = connect(&gateway, "/v1/acct/gw/openai?model=m", &headers).expect("handshake");
    assert_eq!(response.headers()["sec-websocket-protocol"], "realtime");
    let head = provider.head();
    assert!(
        head.contains("authorization: Bearer sk-own\n")
            && head.contains("sec-websocket-protocol: realtime\n"),
        "{head}"
    );
    assert!(!head.contains(&gateway.token), "{head}");
}

#[test]
fn a_key_in_the_query_goes_in_the_providers_own_header() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url);
    let path = "/v1/acct/gw/google?api_key=AIza-own";
    let (_socket, _) =
        connect(&gateway, path, &[("cf-aig-authorization", &gateway.token)]).expect("handshake");
    let head = provider.head();
    assert!(
        head.starts_with("/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent\n"),
        "{head}"
    );
    assert!(head.contains("x-goog-api-key: AIza-own\n"), "{head}");
}

#[test]
fn who_may_not_call_gets_no_socket() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url);
    let refused = connect(&gateway, "/v1/acct/gw/openai?model=m", &[("authorization", "Bearer sk-own")]);
    match *refused.expect_err("no token") {
        Error::Http(response) => {
            assert_eq!(response.status(), 401);
            let body: serde_json::Value =
                serde_json::from_slice(response.body().as_deref().unwrap_or_default()).expect("json");
            assert_eq!(body["error"][0]["code"], 2009);
        }
        other => panic!("{other}"),
    }
    assert!(provider.heads.try_recv().is_err(), "the provider was not called");
}

#[test]
fn a_provider_that_refuses_is_heard() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    let body = br#"{"error":{"message":"model not found"}}"#;
    upstream.will_say(answer("404 Not Found", "content-type: application/json\r\n", body));
    let headers = [("cf-aig-authorization", gateway.token.as_str()), ("authorization", "Bearer sk-own")];
    match *connect(&gateway, "/v1/acct/gw/openai?model=m", &headers).expect_err("refused") {
        Error::Http(response) => {
            assert_eq!((response.status().as_u16(), response.body().as_deref()), (404, Some(&body[..])));
        }
        other => panic!("{other}"),
    }
    assert_eq!(gateway.log(1)[0].outcome, Outcome::ProviderError);
}

#[test]
fn a_protocol_nobody_asked_for_is_not_taken() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream.url());
    upstream.will_say(
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n".to_vec(),
    );
    let reply = gateway.post_authorized(
        "/v1/acct/gw/openai/chat/completions",
        &[("authorization", "Bearer sk")],
        b"{}",
    );
    assert_eq!(reply.status, 502);
}

#[test]
fn who_leaves_without_a_word_is_told_apart() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url);
    let headers = [("cf-aig-authorization", gateway.token.as_str()), ("authorization", "Bearer sk-own")];
    let (mut socket, _) = connect(&gateway, "/v1/acct/gw/openai?model=m", &headers).expect("handshake");
    socket.send(Message::text("vanish")).expect("send");
    assert!(socket.read().is_err());
    assert_eq!(gateway.last_log(1).0.outcome, Outcome::UpstreamBroken);

    let (mut socket, _) = connect(&gateway, "/v1/acct/gw/openai?model=m", &headers).expect("handshake");
    socket.send(Message::text("hello")).expect("send");
    socket.read().expect("echo");
    drop(socket);
    assert_eq!(provider.close(), None);
    assert_eq!(provider.close(), None, "the provider learns of it");
    assert_eq!(gateway.last_log(2).0.outcome, Outcome::ClientLeft);
}

#[test]
fn a_stop_closes_both_sides_between_two_frames() {
    let provider = Provider::start();
    let mut gateway = Gateway::before(&provider.url);
    let headers = [("cf-aig-authorization", gateway.token.as_str()), ("authorization", "Bearer sk-own")];
    let headers = headers.map(|(name, value)| (name, value.to_owned()));
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (mut socket, _) = connect(&gateway, "/v1/acct/gw/openai?model=m", &headers).expect("handshake");
    socket.send(Message::text("hello")).expect("send");
    socket.read().expect("echo");
    let client = std::thread::spawn(move || {
        let close = loop {
            match socket.read() {
                Ok(Message::Close(frame)) => break frame,
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        };
        let _ = socket.flush();
        close
    });
    gateway.shutdown(Duration::from_secs(20));
    assert_eq!(client.join().expect("client").expect("a reason").code, CloseCode::Away);
    assert_eq!(provider.close(), Some(1001));
    assert_eq!(gateway.last_log(1).0.outcome, Outcome::Success);
}

#[test]
fn a_session_in_which_nothing_is_said_is_closed() {
    let provider = Provider::start();
    let config =
        config(&provider.url, "gw: {}").replace("gateway: {", "gateway: { limits: { idleSeconds: 1 },");
    let gateway = Gateway::start(Setup { config, ..Setup::default() });
    let headers = [("cf-aig-authorization", gateway.token.as_str()), ("authorization", "Bearer sk-own")];
    let (mut socket, _) = connect(&gateway, "/v1/acct/gw/openai?model=m", &headers).expect("handshake");
    match socket.read().expect("a close") {
        Message::Close(Some(frame)) => assert_eq!(frame.code, CloseCode::Away),
        other => panic!("{other:?}"),
    }
    let _ = socket.get_mut().flush();
    assert_eq!(provider.close(), Some(1001));
}
