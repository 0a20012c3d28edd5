//! How targets fare and what is open, as the running binary tells it: to probes, to Prometheus, on a screen.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use serde_json::Value;

use crate::http::{Upstream, call, json as answer};
use crate::process::{Home, Running, wait_until};

const ANSWER: &str = r#"{"object":"chat.completion","model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A gateway on a port that the file names, before a provider that answers and one where nobody listens.
struct Stage {
    home: Home,
    gateway: Running,
    upstream: Upstream,
    nobody: u16,
    bearer: String,
}

impl Stage {
    fn new() -> Self {
        let upstream = Upstream::start(|_| answer("200 OK", ANSWER));
        let nobody = free_port();
        let home = Home::new(&format!(
            "{{ models: {{ providers: {{
                openai: {{ baseUrl: \"http://{}/secret-path/v1\", apiKey: \"sk-1\" }},
                anthropic: {{ baseUrl: \"http://127.0.0.1:{nobody}/secret-path\", apiKey: \"sk-2\" }} }} }},
               gateway: {{ listen: \"127.0.0.1:{}\" }} }}",
            upstream.address,
            free_port()
        ));
        let token = home.print(&["token", "create", "--name", "t", "--quiet"]);
        let gateway = home.start(&["gateway", "run"]);
        Self { home, gateway, upstream, nobody, bearer: format!("Bearer {}", token.trim()) }
    }

    fn call(&self, path: &str) -> u16 {
        let headers = [("content-type", "application/json"), ("cf-aig-authorization", self.bearer.as_str())];
        let path = format!("/v1/acct/default/{path}");
        call(self.gateway.address, "POST", &path, &headers, br#"{"model":"m","messages":[]}"#).status()
    }

    fn get(&self, path: &str) -> String {
        // A name that is not this machine's would be a web page's.
        let host = self.gateway.address.to_string();
        let mut stream = TcpStream::connect(self.gateway.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{text}");
        body.to_owned()
    }
}

#[test]
fn what_is_left_alone_is_told_everywhere_with_its_reason() {
    let stage = Stage::new();
    assert_eq!(stage.call("openai/chat/completions"), 200);
    for _ in 0..5 {
        assert_eq!(stage.call("anthropic/v1/messages"), 502);
    }
    let report: Value = serde_json::from_str(&stage.get("/readyz")).unwrap();
    let [down, up] = &report["targets"].as_array().unwrap()[..] else { panic!("{report}") };
    assert_eq!((&report["ready"], &report["failing"]), (&Value::from(true), &serde_json::json!([])));
    assert_eq!(
        (&down["provider"], &down["up"], &down["faults"]),
        (&"anthropic".into(), &false.into(), &5.into())
    );
    assert_eq!(down["address"], format!("http://127.0.0.1:{}", stage.nobody));
    assert_eq!(down["why"], "5 faults in a row, the last one: connect");
    assert_eq!((&up["up"], &up["calls"], &up["faults"]), (&true.into(), &1.into(), &0.into()));
    assert_eq!(up["address"], format!("http://{}", stage.upstream.address));
    wait_until("calls to end", || {
        let report: Value = serde_json::from_str(&stage.get("/readyz")).unwrap();
        report["open"]["calls"] == 0 && report["log"]["written"] == 6
    });

    let metrics = stage.get("/metrics");
    let labels = format!("{{provider=\"anthropic\",address=\"http://127.0.0.1:{}\"}}", stage.nobody);
    for (name, value) in [("up", 0), ("calls_total", 5), ("faults_total", 5), ("in_flight", 0)] {
        let sample = format!("\ngenesis_target_{name}{labels} {value}\n");
        assert!(metrics.contains(&sample), "{sample}: {metrics}");
    }

    let left_alone =
        format!("anthropic at http://127.0.0.1:{} is left alone: 5 faults in a row", stage.nobody);
    let screen = stage.home.print(&["status"]);
    for said in [&left_alone, "targets", "1 up", "under way", "6 records written, 0 waiting"] {
        assert!(screen.contains(said), "{said}: {screen}");
    }
    let service = stage.home.print(&["gateway", "status"]);
    let well = format!("openai at http://{}: 1 call, 0 faults, first byte in about", stage.upstream.address);
    for said in [&left_alone, &well, "5 of 5 calls failed"] {
        assert!(service.contains(said), "{said}: {service}");
    }
    let json: Value = serde_json::from_str(&stage.home.print(&["gateway", "status", "--json"])).unwrap();
    assert_eq!(json["ready"]["targets"][0]["up"], false);
    let json: Value = serde_json::from_str(&stage.home.print(&["status", "--json"])).unwrap();
    assert_eq!(json["gateway"]["ready"]["targets"][1]["provider"], "openai");
    for told in [metrics, screen, service, report.to_string(), json.to_string()] {
        assert!(!told.contains("secret-path") && !told.contains("sk-"), "{told}");
    }
}
