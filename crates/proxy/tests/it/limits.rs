//! Rate limits, budgets and policies as a caller meets them.

use std::cell::Cell;

use genesis_store::{NewToken, Outcome, Permissions};
use serde_json::Value;

use crate::client::{Reply, call, open, send};
use crate::gateway::{Gateway, Setup, config};
use crate::upstream::{Script, Upstream, answer, chunk, chunked_head};

const CHAT: &str = "/v1/acct/gw/openai/chat/completions";
const OWN: (&str, &str) = ("authorization", "Bearer sk-own");
const JSON: &str = "content-type: application/json\r\n";
/// $10 per million output tokens, input free.
const MODELS: &str =
    "models: [{ id: 'm', cost: { input: 0, output: 10 }, maxTokens: 100000, contextWindow: 200000 }]";

struct Stage {
    upstream: Upstream,
    gateway: Gateway,
    calls: Cell<usize>,
}

impl Stage {
    fn new(settings: &str) -> Self {
        let upstream = Upstream::start();
        let config = config(&upstream.url(), &format!("gw: {{ {settings} }}"));
        let config = config.replacen("/v1' }", &format!("/v1', {MODELS} }}"), 1);
        let gateway = Gateway::start(Setup { config, ..Setup::default() });
        Self { upstream, gateway, calls: Cell::new(0) }
    }

    fn asked(&self, headers: &[(&str, &str)], body: &str) -> Reply {
        self.calls.set(self.calls.get() + 1);
        let all: Vec<_> = [OWN].iter().chain(headers).copied().collect();
        self.gateway.post_authorized(CHAT, &all, body.as_bytes())
    }

    /// A call that is answered, having used so much.
    fn answered(&self, headers: &[(&str, &str)], body: &str, input: u64, output: u64) -> Reply {
        let usage = format!(
            r#"{{"object":"chat.completion","model":"m","usage":{{"prompt_tokens":{input},"completion_tokens":{output}}}}}"#
        );
        self.upstream.will_say(answer("200 OK", JSON, usage.as_bytes()));
        let reply = self.asked(headers, body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        self.upstream.request();
        // What it used is settled before it is logged.
        self.gateway.log(self.calls.get());
        reply
    }

    fn refused(&self, headers: &[(&str, &str)], body: &str) -> Reply {
        let reply = self.asked(headers, body);
        assert!(reply.status >= 400, "{}", reply.text());
        assert!(self.upstream.was_not_called());
        reply
    }
}

/// Status and code.
fn code(reply: &Reply) -> (u16, u64) {
    (reply.status, reply.json()["internalCode"].as_u64().unwrap_or(0))
}

const SMALL: &str = r#"{"model":"m","max_tokens":1000,"messages":[]}"#;

#[test]
fn the_gateways_limit_speaks_cloudflares_words_and_adds_when_to_come_back() {
    let stage = Stage::new(
        "rate_limiting_limit: 2, rate_limiting_interval: 3600, rate_limiting_technique: 'sliding'",
    );
    stage.answered(&[], SMALL, 1, 1);
    stage.answered(&[], SMALL, 1, 1);
    let reply = stage.refused(&[], SMALL);
    assert_eq!(code(&reply), (429, 2003));
    let body = reply.json();
    assert_eq!(body["error"], serde_json::json!([{ "code": 2003, "message": "Rate limited" }]));
    assert_eq!((&body["name"], &body["httpCode"]), (&"AiGatewayError".into(), &429.into()));
    let wait: u64 = reply.header("retry-after").expect("retry-after").parse().expect("seconds");
    assert!((3_500..=3_960).contains(&wait), "{wait}");
    let record = stage.gateway.log(3).pop().expect("a record");
    assert_eq!((record.status, record.outcome, record.cost_nano_usd), (429, Outcome::Refused, None));
}

#[test]
fn limits_by_metadata_model_and_token_count_each_on_its_own() {
    let stage = Stage::new(
        "rate_limits: [
            { id: 'user', limit: 1, window: 3600, metadata: { user: { mode: 'partition' } } },
            { id: 'big', limit: 1, window: 3600, model: { mode: 'filter', values: ['openai/big'] } },
            { id: 'token', limit: 5, window: 3600, token: { mode: 'partition' } },
        ]",
    );
    let ann = [("cf-aig-metadata", r#"{"user":"ann"}"#)];
    let bob = [("cf-aig-metadata", r#"{"user":"bob"}"#)];
    stage.answered(&ann, SMALL, 1, 1);
    assert_eq!(code(&stage.refused(&ann, SMALL)), (429, 2003));
    stage.answered(&bob, SMALL, 1, 1);
    let big = r#"{"model":"big","max_tokens":1}"#;
    stage.answered(&[], big, 1, 1);
    let reply = stage.refused(&[], big);
    assert!(reply.text().contains("`big` allows 1 requests per 3600 s (sliding)"), "{}", reply.text());
    // Refused calls used nothing of the token's five.
    stage.answered(&[], SMALL, 1, 1);
    stage.answered(&[], SMALL, 1, 1);
    let reply = stage.refused(&[], SMALL);
    assert!(reply.text().contains("`token`"), "{}", reply.text());
}

#[test]
fn tokens_count_once_they_are_known() {
    let stage = Stage::new(
        "rate_limits: [
            { id: 'in', limitType: 'input_tokens', limit: 100, window: 3600 },
            { id: 'all', limitType: 'total_tokens', limit: 1000, window: 3600 },
        ]",
    );
    stage.answered(&[], SMALL, 99, 100);
    stage.answered(&[], SMALL, 1, 500);
    let reply = stage.refused(&[], SMALL);
    assert!(reply.text().contains("`in` allows 100 input tokens"), "{}", reply.text());
}

#[test]
fn calls_under_way_count_until_they_end() {
    let stage = Stage::new("rate_limits: [{ id: 'slots', limitType: 'concurrent', limit: 1 }]");
    let authorization = stage.gateway.authorization();
    let headers = [OWN, ("cf-aig-authorization", authorization.as_str())];
    stage.upstream.will(Script { then_wait: true, ..Script::default() });
    let mut first = open(stage.gateway.address);
    send(&mut first, "POST", CHAT, &headers, SMALL.as_bytes());
    stage.upstream.request();
    let reply = stage.refused(&[], SMALL);
    assert_eq!((code(&reply), reply.header("retry-after")), ((429, 2003), Some("1")));
    drop(first);
    stage.upstream.saw_the_gateway_close();
    stage.gateway.log(2);
    stage.answered(&[], SMALL, 1, 1);
}

const DOLLAR: &str =
    "spend_limits: { enabled: true, rules: [{ id: 'day', limit: 1, window: 86400, technique: 'sliding' }] }";

#[test]
fn a_budget_reserves_the_worst_and_settles_on_what_was_used() {
    let stage = Stage::new(DOLLAR);
    // 1000 tokens at most are a cent; 100 were used.
    let reply = stage.answered(&[], SMALL, 5, 100);
    assert_eq!(reply.header("cf-aig-budget-remaining"), Some("0.99"));
    let reply = stage.answered(&[], SMALL, 5, 100);
    assert_eq!(reply.header("cf-aig-budget-remaining"), Some("0.989"));
    // 100,000 tokens would be the whole dollar, of which a little is gone.
    let large = r#"{"model":"m","max_tokens":100000}"#;
    let reply = stage.refused(&[], large);
    assert_eq!(code(&reply), (429, 2045));
    let said = "Spend limit exceeded: rule 'day' (cost limit 1 per 86400s, sliding) for openai m";
    assert_eq!(reply.json()["error"][0]["message"], said);
    assert!(reply.header("retry-after").is_some());
    let huge = stage.refused(&[], r#"{"model":"m","max_tokens":100000,"n":2}"#);
    assert_eq!((code(&huge), huge.header("retry-after")), ((429, 2045), None), "it never fits");
    // Without a limit of its own a call may use as much as the model gives.
    assert_eq!(code(&stage.refused(&[], r#"{"model":"m"}"#)), (429, 2045));
}

#[test]
fn failures_cost_nothing_and_half_answers_the_worst() {
    let stage = Stage::new(DOLLAR);
    stage.upstream.will_say(answer("500 x", JSON, br#"{"error":{}}"#));
    assert_eq!(stage.asked(&[], SMALL).status, 500);
    stage.upstream.request();
    // A stream that is cut after its input is known costs that, and all the output it was allowed.
    let head = chunked_head("content-type: text/event-stream\r\n");
    let event = br#"data: {"object":"chat.completion.chunk","choices":[{"delta":{"content":"a"}}]}"#;
    let piece = chunk(&[&event[..], b"\n\n"].concat());
    stage.upstream.will(Script { pieces: vec![head, piece], close: true, ..Script::default() });
    assert!(!stage.asked(&[], SMALL).complete);
    stage.upstream.request();
    // So does a call nobody waits for.
    stage.upstream.will(Script { then_wait: true, ..Script::default() });
    assert_eq!(stage.asked(&[("cf-aig-request-timeout", "30")], SMALL).status, 504);
    stage.upstream.request();
    stage.gateway.log(3);
    let reply = stage.answered(&[], SMALL, 5, 100);
    assert_eq!(reply.header("cf-aig-budget-remaining"), Some("0.97"), "two cents are gone, a third reserved");
}

#[test]
fn a_caller_cannot_make_its_own_budget_last() {
    let stage = Stage::new(DOLLAR);
    let free = [("cf-aig-custom-cost", r#"{"total_cost":0}"#)];
    stage.answered(&free, SMALL, 5, 1000);
    let dear = [("cf-aig-custom-cost", r#"{"total_cost":0.5}"#)];
    let reply = stage.answered(&dear, SMALL, 5, 1000);
    assert_eq!(reply.header("cf-aig-budget-remaining"), Some("0.49"));
    assert_eq!(code(&stage.refused(&dear, SMALL)), (429, 2045));
}

#[test]
fn what_has_no_known_price_is_refused_or_counted_afterwards() {
    let stage = Stage::new(DOLLAR);
    for (body, why) in [
        (r#"{"model":"unheard-of","max_tokens":1}"#, "no price of this model is known"),
        (r#"{"model":"m","max_tokens":1,"web_search_options":{}}"#, "run tools"),
    ] {
        let reply = stage.refused(&[], body);
        assert_eq!(code(&reply), (403, 9402));
        assert!(reply.text().contains(why), "{}", reply.text());
    }
    let path = "/v1/acct/gw/openai/batches";
    let reply = stage.gateway.post_authorized(path, &[OWN], br#"{"input_file_id":"f"}"#);
    assert_eq!(code(&reply), (403, 9402), "{}", reply.text());
    stage.upstream.will_say(answer("200 OK", JSON, b"{}"));
    let reply = stage.gateway.post_authorized("/v1/acct/gw/openai/moderations", &[OWN], b"{}");
    assert_eq!(reply.status, 200, "what costs nothing needs no price: {}", reply.text());

    let handshake = [
        OWN,
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let authorization = stage.gateway.authorization();
    let all: Vec<_> =
        handshake.iter().chain(&[("cf-aig-authorization", authorization.as_str())]).copied().collect();
    let reply = call(stage.gateway.address, "GET", "/v1/acct/gw/openai?model=m", &all, b"");
    assert_eq!(code(&reply), (403, 9402), "a session has no bound: {}", reply.text());

    let stage = Stage::new(&DOLLAR.replace("id: 'day'", "id: 'day', unknownPrice: 'allow'"));
    stage.answered(&[], r#"{"model":"unheard-of"}"#, 5, 0);
    stage.answered(&[], r#"{"model":"m","web_search_options":{}}"#, 5, 99_999);
    stage.answered(&[], r#"{"model":"m","web_search_options":{}}"#, 5, 1_000);
    let reply = stage.refused(&[], r#"{"model":"m","web_search_options":{}}"#);
    assert_eq!(code(&reply), (429, 2045), "what became known was counted");
}

#[test]
fn retries_are_reserved_and_lost_attempts_counted() {
    let stage = Stage::new(DOLLAR);
    let retried = [("cf-aig-max-attempts", "2"), ("cf-aig-retry-delay", "1")];
    stage.upstream.will(Script { close: true, hang_up: true, ..Script::default() });
    let reply = stage.answered(&retried, SMALL, 5, 100);
    assert_eq!(reply.header("cf-aig-budget-remaining"), Some("0.98"), "two attempts at their worst");
    stage.gateway.log(1);
    let reply = stage.answered(&[], SMALL, 5, 100);
    // The lost attempt at its worst, the answer at what it was, this one at its worst.
    assert_eq!(reply.header("cf-aig-budget-remaining"), Some("0.979"));
}

#[test]
fn a_failed_step_is_counted_once_and_under_its_own_limits() {
    // A cent each, and the first step's model has a limit of its own.
    let stage = Stage::new(
        "spend_limits: { enabled: true, rules: [
            { id: 'day', limit: 1, window: 86400 },
            { id: 'm', limit: 0.014, window: 86400, model: { mode: 'filter', values: ['openai/m'] } },
        ] }",
    );
    let said = |status: &str, output: u32| {
        let body = format!(
            r#"{{"object":"chat.completion","model":"m","usage":{{"prompt_tokens":5,"completion_tokens":{output}}}}}"#
        );
        stage.upstream.will_say(answer(status, JSON, body.as_bytes()));
    };
    said("500 x", 500);
    said("200 OK", 100);
    let step = |model: &str| {
        format!(
            r#"{{"provider":"openai","endpoint":"chat/completions","query":{{"model":"{model}","max_tokens":1000}}}}"#
        )
    };
    let steps = format!("[{},{}]", step("m"), step("M2"));
    let reply = stage.gateway.post_authorized("/v1/acct/gw", &[OWN], steps.as_bytes());
    assert_eq!(code(&reply), (403, 9402), "no price of M2 is known: {}", reply.text());
    stage.upstream.request();
    stage.upstream.forget();
    // Half a cent of `m` is gone and a whole one does not fit.
    let reply = stage.gateway.post_authorized(CHAT, &[OWN], SMALL.as_bytes());
    assert_eq!(code(&reply), (429, 2045), "{}", reply.text());
    assert!(reply.text().contains("rule 'm'"), "{}", reply.text());
    said("500 x", 50);
    said("200 OK", 100);
    let small = step("m").replace("1000", "400");
    let reply = stage.gateway.post_authorized("/v1/acct/gw", &[OWN], format!("[{small},{small}]").as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    // Of the tighter limit: 0.5 cents before, 0.05 discarded, 0.4 reserved.
    assert_eq!(reply.header("cf-aig-budget-remaining"), Some("0.0045"));
    stage.gateway.log(3);
    said("200 OK", 1);
    let small = SMALL.replace("1000", "400");
    let reply = stage.gateway.post_authorized(CHAT, &[OWN], small.as_bytes());
    // 0.5 and 0.05 and 0.1 are spent, each once.
    assert_eq!(reply.header("cf-aig-budget-remaining"), Some("0.0035"), "{}", reply.text());
}

#[test]
fn policies_allow_deny_and_cap() {
    let stage = Stage::new(
        "policies: [
            { id: 'team', condition: \"metadata.team == 'red'\", actor: 'user:{metadata.user}',
              action: { type: 'limit', amount: 0.02, period: 'monthly' } },
            { id: 'day', condition: \"metadata.team == 'red'\", actor: 'user:{metadata.user}',
              action: { type: 'limit', amount: 0.015, period: 'weekly' } },
            { id: 'no-big', resource: { model: 'big*' }, action: { type: 'block' } },
            { id: 'nobody', action: { type: 'block' }, simulate: true },
        ]",
    );
    let red = [("cf-aig-metadata", r#"{"team":"red","user":"ann"}"#)];
    stage.answered(&red, SMALL, 5, 1000);
    let reply = stage.refused(&red, r#"{"model":"m","max_tokens":1001}"#);
    assert_eq!(reply.status, 429);
    let body: Value = reply.json();
    assert_eq!(
        body,
        serde_json::json!({ "success": false, "error": {
            "message": "Spending limit exceeded", "bucket": "user:ann *", "spent": 0.01, "limit": 0.015 } }),
        "each period has a counter of its own"
    );
    let bob = [("cf-aig-metadata", r#"{"team":"red","user":"bob"}"#)];
    stage.answered(&bob, SMALL, 5, 1);
    let denied = serde_json::json!({ "success": false, "error": { "message": "Access denied by policy" } });
    for (headers, body) in [(&[][..], SMALL), (&red[..], r#"{"model":"big-1","max_tokens":1}"#)] {
        let reply = stage.refused(headers, body);
        assert_eq!((reply.status, reply.json()), (403, denied.clone()));
    }
    let record = stage.gateway.log(5).pop().expect("a record");
    assert_eq!((record.status, record.outcome), (403, Outcome::Refused));
    assert!(record.error.contains("policy `no-big` blocks it"), "{}", record.error);
}

#[test]
fn policies_know_whom_a_token_was_given_to() {
    let stage = Stage::new(
        "policies: [
            { id: 'research', condition: \"'research' in cf.user.groups && cf.custom.level >= 3\",
              actor: 'user:{cf.user.email}', action: { type: 'limit', amount: 0.01, period: 'monthly' } },
            { id: 'no-guests', condition: \"cf.user.id == 'guest'\", action: { type: 'block' } },
        ]",
    );
    let identity = serde_json::json!({ "user": "ann", "email": "ann@example.com", "groups": ["research"],
        "claims": { "level": 3 } });
    let new = |name: &str, identity: Value| NewToken {
        name: name.to_owned(),
        permissions: Permissions { run: true, ..Permissions::default() },
        identity: serde_json::from_value(identity).expect("an identity"),
        ..NewToken::default()
    };
    let call = |token: &str, metadata: &str| {
        let token = format!("Bearer {token}");
        let headers = [OWN, ("cf-aig-authorization", token.as_str()), ("cf-aig-metadata", metadata)];
        stage.gateway.post(CHAT, &headers, SMALL.as_bytes())
    };
    let used = br#"{"usage":{"prompt_tokens":5,"completion_tokens":1000}}"#;
    stage.gateway.with_token(new("ann", identity), |ann| {
        stage.upstream.will_say(answer("200 OK", JSON, used));
        // What a caller says of itself under `cf.` counts for nothing.
        let reply = call(ann, r#"{"cf.user_id":"bob","team":"red"}"#);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let metadata = stage.gateway.last_log(1).0.metadata;
        assert_eq!(Value::Object(metadata), serde_json::json!({ "cf.user_id": "ann", "team": "red" }));
        let spent = call(ann, "{}");
        assert_eq!((spent.status, &spent.json()["error"]["bucket"]), (429, &"user:ann@example.com *".into()));
    });
    for (name, identity) in [
        ("junior", serde_json::json!({ "user": "bob", "groups": ["research"], "claims": { "level": 1 } })),
        ("guest", serde_json::json!({ "user": "guest" })),
        ("nobody", serde_json::json!({})),
    ] {
        stage
            .gateway
            .with_token(new(name, identity), |token| assert_eq!(call(token, "{}").status, 403, "{name}"));
    }
}

#[test]
fn the_unified_api_is_limited_too_and_tells_the_cost() {
    let stage = Stage::new(DOLLAR);
    let claude = r#"{"model":"anthropic/claude-sonnet-4-5","max_tokens":1000,"messages":[{"role":"user","content":"Hi"}]}"#;
    let theirs = br#"{"type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[{"type":"text","text":"Yo"}],"stop_reason":"end_turn","usage":{"input_tokens":1000,"output_tokens":100}}"#;
    stage.upstream.will_say(answer("200 OK", JSON, theirs));
    let path = "/v1/acct/gw/compat/chat/completions";
    let reply = stage.gateway.post_authorized(path, &[OWN], claude.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("cf-aig-cost"), Some("0.0045"));
    let left: f64 = reply.header("cf-aig-budget-remaining").expect("a budget").parse().expect("a number");
    assert!((0.95..0.985).contains(&left), "{left}");
    stage.upstream.request();
    // The limit on output is lowered to what the model can say; the input comes on top of it.
    let much = claude.replace("1000", "100000").replace("Hi", &"Hi".repeat(20_000));
    let reply = stage.gateway.post_authorized(path, &[OWN], much.as_bytes());
    assert_eq!(code(&reply), (429, 2045), "{}", reply.text());
    assert!(stage.upstream.was_not_called());
}
