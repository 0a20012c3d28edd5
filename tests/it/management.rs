//! The management API of the built binary: what is created over it serves calls.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{Message, Upstream, call, json as answer};
use crate::process::{Home, Running, wait_until};

const GATEWAYS: &str = "/client/v4/accounts/acct/ai-gateway/gateways";

/// A gateway before a provider that answers everything.
struct Stage {
    home: Home,
    gateway: Running,
    upstream: Upstream,
    /// May do everything.
    bearer: String,
}

impl Stage {
    /// `block` stands in the file's `gateway`.
    fn new(block: &str) -> Self {
        let upstream = Upstream::start(|_| {
            answer(
                "200 OK",
                r#"{"object":"chat.completion","model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#,
            )
        });
        let config = format!(
            "{{ models: {{ providers: {{ openai: {{ baseUrl: \"http://{}/v1\", apiKey: \"sk-upstream\" }} }} }},
               gateway: {{ listen: \"127.0.0.1:0\", {block} }} }}",
            upstream.address
        );
        let home = Home::new(&config);
        let permissions = ["--permissions", "run,read,edit"];
        let token = home.print(&[&["token", "create", "--name", "t", "--quiet"][..], &permissions].concat());
        let gateway = home.start(&["gateway", "run"]);
        Self { home, gateway, upstream, bearer: format!("Bearer {}", token.trim()) }
    }

    fn address(&self) -> SocketAddr {
        self.gateway.address
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Message {
        let headers = [
            ("content-type", "application/json"),
            ("authorization", self.bearer.as_str()),
            ("cf-aig-authorization", self.bearer.as_str()),
        ];
        // The provider's slot is for the provider's key, so calls of the data plane leave it empty.
        let headers = if path.starts_with("/v1/") { vec![headers[0], headers[2]] } else { headers.to_vec() };
        call(self.address(), method, path, &headers, body.to_string().as_bytes())
    }

    /// A change that has to succeed; its `result`.
    fn change(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.call(method, path, body);
        assert_eq!(answer.status(), 200, "{method} {path}: {}", answer.text());
        let mut envelope: Value = serde_json::from_slice(&answer.body).expect("JSON");
        envelope["result"].take()
    }

    fn create_gateway(&self, id: &str) {
        let settings = json!({
            "id": id, "authentication": true, "cache_invalidate_on_update": false, "cache_ttl": 0,
            "collect_logs": true, "rate_limiting_interval": 0, "rate_limiting_limit": 0,
        });
        self.change("POST", GATEWAYS, &settings);
    }

    /// Asks a model until it answers.
    fn wait_until_served(&self, path: &str, model: &str) {
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": "Hello" }] });
        wait_until(model, || self.call("POST", path, &body).status() == 200);
    }

    /// The model the provider was asked for last.
    fn asked_for(&self) -> Value {
        let received = self.upstream.received();
        let body: Value = serde_json::from_slice(&received.last().expect("a request").body).expect("JSON");
        body["model"].clone()
    }
}

fn elements(model: &str) -> Value {
    json!([
        { "id": "s", "type": "start", "outputs": { "next": { "elementId": "m" } } },
        { "id": "m", "type": "model", "properties": { "provider": "openai", "model": model },
          "outputs": { "success": { "elementId": "e" }, "fallback": { "elementId": "e" } } },
        { "id": "e", "type": "end", "outputs": {} },
    ])
}

#[test]
fn a_route_created_over_the_api_serves_calls_in_the_version_deployed() {
    let stage = Stage::new("");
    stage.create_gateway("team");
    let routes = format!("{GATEWAYS}/team/routes");
    let route = stage.change("POST", &routes, &json!({ "name": "support", "elements": elements("first") }));
    let path = "/v1/acct/team/compat/chat/completions";
    stage.wait_until_served(path, "dynamic/support");
    assert_eq!(stage.asked_for(), "first");

    let route = format!("{routes}/{}", route["id"].as_str().expect("an id"));
    let saved =
        stage.change("POST", &format!("{route}/versions"), &json!({ "elements": elements("second") }));
    stage.change("POST", &format!("{route}/deployments"), &json!({ "version_id": saved["version_id"] }));
    wait_until("the second version", || {
        stage.wait_until_served(path, "dynamic/support");
        stage.asked_for() == "second"
    });
    stage.change("DELETE", &route, &json!({}));
    let body = json!({ "model": "dynamic/support", "messages": [{ "role": "user", "content": "Hello" }] });
    wait_until("the end of the route", || stage.call("POST", path, &body).status() == 400);
}

#[test]
fn a_route_of_the_file_comes_before_one_of_the_api() {
    let block = format!("routes: {{ support: {{ elements: {} }} }}", elements("of-the-file"));
    let stage = Stage::new(&block);
    stage.create_gateway("team");
    let routes = format!("{GATEWAYS}/team/routes");
    stage.change("POST", &routes, &json!({ "name": "support", "elements": elements("of-the-api") }));
    stage.gateway.wait_until_said("gateway.routes declares one of this name");
    stage.wait_until_served("/v1/acct/team/compat/chat/completions", "dynamic/support");
    assert_eq!(stage.asked_for(), "of-the-file");
}

#[test]
fn a_custom_provider_created_over_the_api_serves_calls() {
    let stage = Stage::new("allowPrivate: true");
    stage.create_gateway("team");
    let base = format!("http://{}/mine", stage.upstream.address);
    let provider = json!({ "name": "Mine", "slug": "mine", "base_url": base, "enable": true });
    stage.change("POST", "/client/v4/accounts/acct/ai-gateway/custom-providers", &provider);
    let headers = [("cf-aig-authorization", stage.bearer.as_str()), ("authorization", "Bearer sk-own")];
    wait_until("the custom provider", || {
        let path = "/v1/acct/team/custom-mine/v2/things";
        call(stage.address(), "POST", path, &headers, b"{}").status() == 200
    });
    let received = stage.upstream.received();
    let last = received.last().expect("a request");
    assert!(last.head.starts_with("POST /mine/v2/things HTTP/1.1"), "{}", last.head);
}

#[test]
fn a_policy_created_over_the_api_holds_once_it_is_committed() {
    let stage = Stage::new("");
    stage.create_gateway("team");
    let path = "/v1/acct/team/compat/chat/completions";
    stage.wait_until_served(path, "openai/m");
    let policies = format!("{GATEWAYS}/team/policies");
    let everyone = json!({ "name": "Everyone", "action": { "type": "no-limit" } });
    stage.change("POST", &format!("{policies}?commit=true"), &everyone);
    let red = json!({ "name": "No red", "condition": "has(metadata.team) && metadata.team == 'red'",
        "action": { "type": "block" } });
    let draft = stage.change("POST", &policies, &red);
    let call = |team: &str| {
        let headers = [
            ("content-type", "application/json"),
            ("cf-aig-authorization", stage.bearer.as_str()),
            ("cf-aig-metadata", team),
        ];
        let body = br#"{"model":"openai/m","messages":[{"role":"user","content":"Hello"}]}"#;
        call(stage.address(), "POST", path, &headers, body)
    };
    // The first policy in force turns the gateway around, so what it allows shows that it is read.
    let nobody =
        json!({ "name": "Nobody else", "condition": "has(metadata.stop)", "action": { "type": "block" } });
    stage.change("POST", &format!("{policies}?commit=true"), &nobody);
    wait_until("the committed policies", || call(r#"{"stop":1}"#).status() == 403);
    assert_eq!(call(r#"{"team":"red"}"#).status(), 200, "a draft holds nobody up");

    stage.change("POST", &format!("{policies}/commit"), &json!({}));
    wait_until("the committed draft", || call(r#"{"team":"red"}"#).status() == 403);
    let refused = call(r#"{"team":"red"}"#);
    assert_eq!(refused.text(), r#"{"error":{"message":"Access denied by policy"},"success":false}"#);
    assert_eq!(call(r#"{"team":"blue"}"#).status(), 200);
    stage.change("DELETE", &format!("{policies}/{}", draft["id"].as_str().expect("an id")), &json!({}));
    wait_until("the end of the policy", || call(r#"{"team":"red"}"#).status() == 200);
}

#[test]
fn a_custom_domain_created_over_the_api_serves_calls_and_nothing_else() {
    let stage = Stage::new("domains: { 'file.example.com': { gateway: 'team' } }");
    stage.create_gateway("team");
    let at = |host: &str, method: &str, path: &str| {
        let headers = [
            ("host", host),
            ("content-type", "application/json"),
            ("cf-aig-authorization", stage.bearer.as_str()),
        ];
        call(stage.address(), method, path, &headers, br#"{"model":"m","messages":[]}"#)
    };
    let chat = |host: &str| at(host, "POST", "/openai/chat/completions").status();
    wait_until("the domain of the file", || chat("file.example.com") == 200);
    assert_eq!(chat("ai.example.com"), 404);
    let domains = format!("{GATEWAYS}/team/custom-domains");
    let created = stage.change("POST", &domains, &json!({ "domain": "ai.example.com", "zone_id": "z" }));
    assert_eq!((&created["hostname"], &created["status"]), (&json!("ai.example.com"), &json!("active")));
    wait_until("the new domain", || chat("ai.example.com") == 200);
    let management = at("ai.example.com", "GET", GATEWAYS);
    assert!(management.status() == 400 && !management.text().contains("team"), "{}", management.text());
    stage.change("DELETE", &format!("{domains}/ai.example.com"), &json!({}));
    wait_until("the end of the domain", || chat("ai.example.com") == 404);
}

#[test]
fn a_scrape_counts_the_calls() {
    let stage = Stage::new("");
    stage.create_gateway("team");
    stage.wait_until_served("/v1/acct/team/compat/chat/completions", "openai/m");
    wait_until("the call to be counted", || {
        let text = stage.call("GET", "/metrics", &json!({})).text();
        text.contains(
            r#"genesis_exchanges_total{gateway="team",provider="openai",status="2xx",cached="false"} 1"#,
        ) && text.contains("genesis_cache_answers{place=\"memory\"} 0")
    });
}

#[test]
fn programs_of_this_machine_scrape_without_a_token() {
    let stage = Stage::new("");
    let scrape = |host: &str| {
        let mut stream = TcpStream::connect(stage.address()).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("timeout");
        let request = format!("GET /metrics HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("send");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    let answer = scrape("127.0.0.1:18789");
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("\ngenesis_log_written_total 0\n"),
        "{answer}"
    );
    // A web page that has loopback under a name of its own.
    assert!(scrape("rebound.example").starts_with("HTTP/1.1 400"));
}

#[test]
fn a_keys_rate_is_kept_by_the_gateway_and_shown() {
    let stage = Stage::new("");
    stage.create_gateway("gw");
    let configs = format!("{GATEWAYS}/gw/provider_configs");
    let config = json!({ "alias": "team", "default_config": false, "provider_slug": "openai",
        "secret": "sk-of-the-team-0123456789", "rate_limit": 2, "rate_limit_period": 3600 });
    let created = stage.change("POST", &configs, &config);
    assert_eq!((&created["rate_limit"], &created["rate_limit_period"]), (&2.into(), &3600.into()));
    let call_by = |alias: &str| {
        let headers = [
            ("content-type", "application/json"),
            ("cf-aig-authorization", stage.bearer.as_str()),
            ("cf-aig-byok-alias", alias),
        ];
        let path = "/v1/acct/gw/openai/chat/completions";
        call(stage.address(), "POST", path, &headers, br#"{"model":"m","messages":[]}"#)
    };
    wait_until("the key to be there", || call_by("team").status() != 400);
    wait_until("its rate to be reached", || call_by("team").status() == 429);
    assert_eq!(stage.upstream.received().len(), 2);
    let refused = call_by("team");
    assert!(refused.text().contains("stored key `team` for openai"), "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    assert_eq!(call_by("default").status(), 200, "other keys are not concerned");
    let listed = stage.home.print(&["key", "list"]);
    assert!(listed.contains("2 per 3600 s"), "{listed}");
    let listed: Value = serde_json::from_str(&stage.home.print(&["key", "list", "--json"])).expect("JSON");
    let rated = listed.as_array().expect("keys").iter().find(|key| key["alias"] == "team").expect("the key");
    assert_eq!(rated["rate"], json!({ "limit": 2, "seconds": 3600 }));
    // Without it the key is as good as any.
    let id = created["id"].as_str().expect("an id");
    stage.change(
        "PATCH",
        &format!("{configs}/{id}"),
        &json!({ "rate_limit": null, "rate_limit_period": null }),
    );
    wait_until("the rate to be gone", || call_by("team").status() == 200);
}
