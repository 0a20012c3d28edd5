//! The fault matrix: each way an upstream can fail, against each way a call can be made.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use genesis_store::Fault;

use crate::client::Reply;
use crate::gateway::{Gateway, Setup};
use crate::upstream::{Script, Upstream, answer, chunk, chunked_head};

/// How the first call of an upstream goes wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wrong {
    Refused,
    Reset,
    Silent,
    Busy,
    Broken,
    Overloaded,
    Cut,
}

const WRONGS: [Wrong; 7] =
    [Wrong::Refused, Wrong::Reset, Wrong::Silent, Wrong::Busy, Wrong::Broken, Wrong::Overloaded, Wrong::Cut];

impl Wrong {
    fn arrange(self, upstream: &Upstream) {
        let error = br#"{"error":{"message":"not now"}}"#;
        let script = match self {
            Self::Refused => return,
            Self::Reset => Script { hang_up: true, ..Script::default() },
            Self::Silent => Script { then_wait: true, ..Script::default() },
            Self::Busy => said(answer("429 Too Many Requests", "retry-after: 0.02\r\n", error)),
            Self::Broken => said(answer("500 Internal Server Error", JSON, error)),
            Self::Overloaded => said(answer("529 ", JSON, error)),
            Self::Cut => Script {
                pieces: vec![
                    [chunked_head("content-type: text/event-stream\r\n"), chunk(b"data: {\"id\":\"a\"}\n\n")]
                        .concat(),
                ],
                close: true,
                ..Script::default()
            },
        };
        upstream.will(script);
    }

    /// What a caller gets who asked for nothing but the call.
    fn alone(self) -> u16 {
        match self {
            Self::Refused | Self::Reset => 502,
            Self::Silent => 504,
            Self::Busy => 429,
            Self::Broken => 500,
            Self::Overloaded => 529,
            Self::Cut => 200,
        }
    }

    /// How the log names the attempt.
    fn logged(self) -> (Option<u16>, Fault) {
        match self {
            Self::Refused => (None, Fault::Connect),
            Self::Reset => (None, Fault::Broken),
            Self::Silent => (None, Fault::Timeout),
            Self::Cut => (Some(200), Fault::Broken),
            _ => (Some(self.alone()), Fault::Status),
        }
    }
}

const JSON: &str = "content-type: application/json\r\n";
const GOOD: &[u8] = br#"{"id":"x","model":"gpt-5-mini","choices":[]}"#;

fn said(bytes: Vec<u8>) -> Script {
    Script { pieces: vec![bytes], ..Script::default() }
}

/// A gateway whose providers `openai` is ill and `well` is well.
struct Stage {
    gateway: Gateway,
    ill: Upstream,
    well: Upstream,
}

impl Stage {
    fn set(wrong: Wrong) -> Self {
        let (ill, well) = (Upstream::start(), Upstream::start());
        let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let ill_url = match wrong {
            Wrong::Refused => format!("http://{}", closed.expect("a free port")),
            _ => ill.url(),
        };
        wrong.arrange(&ill);
        let config = format!(
            "{{ models: {{ providers: {{
                openai: {{ baseUrl: '{ill_url}/v1' }},
                well: {{ baseUrl: '{}/v1' }},
            }} }}, gateway: {{ routes: {{ both: {{ elements: [
                {{ id: 's', type: 'start', outputs: {{ next: 'a' }} }},
                {{ id: 'a', type: 'model', properties: {{ provider: 'openai', model: 'm' }}, outputs: {{ success: 'e', fallback: 'b' }} }},
                {{ id: 'b', type: 'model', properties: {{ provider: 'well', model: 'n' }}, outputs: {{ success: 'e' }} }},
                {{ id: 'e', type: 'end' }},
            ] }} }}, limits: {{ firstByteSeconds: 5 }}, gateways: {{ gw: {{ retry_delay: 1 }} }} }} }}",
            well.url()
        );
        Self { gateway: Gateway::start(Setup { config, ..Setup::default() }), ill, well }
    }

    fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let began = Instant::now();
        let own = ("authorization", "Bearer sk-own");
        let headers: Vec<_> =
            [own, ("cf-aig-request-timeout", "150")].iter().chain(headers).copied().collect();
        let reply = self.gateway.post_authorized(path, &headers, body);
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        reply
    }

    /// Two steps: the ill one first.
    fn both_steps(&self) -> Reply {
        let steps = br#"[{"provider":"openai","endpoint":"chat/completions","headers":{"authorization":"Bearer sk"},"query":{"model":"m"}},
            {"provider":"well","endpoint":"chat/completions","headers":{"authorization":"Bearer sk"},"query":{"model":"n"}}]"#;
        self.post("/v1/acct/gw", &[], steps)
    }

    /// Two models of a dynamic route: the ill one first.
    fn both_models(&self) -> Reply {
        let body = br#"{"model":"dynamic/both","messages":[]}"#;
        self.post("/v1/acct/gw/compat/chat/completions", &[], body)
    }

    /// Steps, statuses and faults of the attempts of the only exchange.
    fn attempts(&self) -> Vec<(u32, Option<u16>, Option<Fault>)> {
        let attempts = self.gateway.last_log(1).0.attempts;
        attempts.iter().map(|attempt| (attempt.step, attempt.status, attempt.fault)).collect()
    }
}

const CHAT: &str = "/v1/acct/gw/openai/chat/completions";

#[test]
fn alone_the_caller_gets_the_fault_as_it_is() {
    for wrong in WRONGS {
        let stage = Stage::set(wrong);
        let reply = stage.post(CHAT, &[], b"{}");
        assert_eq!(reply.status, wrong.alone(), "{wrong:?}: {}", reply.text());
        assert_eq!(reply.complete, wrong != Wrong::Cut, "{wrong:?}");
        assert_eq!(reply.header("cf-aig-step"), Some("0"));
        assert_eq!(reply.header("cf-aig-attempts"), None);
        assert_eq!(stage.attempts(), [], "{wrong:?}");
    }
}

#[test]
fn a_retry_gets_past_what_passes() {
    for wrong in WRONGS {
        let stage = Stage::set(wrong);
        stage.ill.will_say(answer("200 OK", JSON, GOOD));
        let reply = stage.post(CHAT, &[("cf-aig-max-attempts", "2")], b"{}");
        let (status, fault) = wrong.logged();
        match wrong {
            Wrong::Refused => {
                assert_eq!(reply.status, 502);
                assert_eq!(reply.header("cf-aig-attempts"), Some("openai connect, openai connect"));
                assert_eq!(stage.attempts(), [(0, status, Some(fault)); 2]);
            }
            Wrong::Cut => {
                assert_eq!((reply.status, reply.complete), (200, false));
                assert_eq!(stage.attempts(), [], "nothing is retried after the first byte");
            }
            _ => {
                assert_eq!((reply.status, reply.text().as_bytes()), (200, GOOD), "{wrong:?}");
                assert_eq!(stage.attempts(), [(0, status, Some(fault)), (0, Some(200), None)]);
            }
        }
        assert_eq!(reply.header("cf-aig-step"), Some("0"));
        assert!(stage.well.was_not_called());
    }
}

#[test]
fn the_next_step_or_model_takes_over_what_fails() {
    for wrong in WRONGS {
        for name in ["steps", "route"] {
            let call = if name == "steps" { Stage::both_steps } else { Stage::both_models };
            let stage = Stage::set(wrong);
            stage.well.will_say(answer("200 OK", JSON, GOOD));
            let reply = call(&stage);
            if wrong == Wrong::Cut {
                assert_eq!((reply.status, reply.complete), (200, false), "{name}");
                assert_eq!(reply.header("cf-aig-step"), Some("0"), "{name}");
                assert_eq!(stage.attempts(), [], "{name}: nothing is tried after the first byte");
                continue;
            }
            assert_eq!((reply.status, reply.text().as_bytes()), (200, GOOD), "{name} {wrong:?}");
            assert_eq!(reply.header("cf-aig-step"), Some("1"), "{name} {wrong:?}");
            let (status, fault) = wrong.logged();
            assert_eq!(
                stage.attempts(),
                [(0, status, Some(fault)), (1, Some(200), None)],
                "{name} {wrong:?}"
            );
            let record = stage.gateway.last_log(1).0;
            assert_eq!((record.provider.as_str(), record.step), ("well", 1));
            assert_eq!(reply.header("cf-aig-provider"), (name == "route").then_some("well"));
            assert_eq!(reply.header("cf-aig-model"), (name == "route").then_some("n"));
        }
    }
}

#[test]
fn with_all_targets_down_the_last_ones_error_comes_back() {
    let error = br#"{"error":{"message":"also down"}}"#;
    let calls: [fn(&Stage) -> Reply; 2] = [Stage::both_steps, Stage::both_models];
    for call in calls {
        let stage = Stage::set(Wrong::Broken);
        stage.well.will_say(answer("503 x", "content-type: application/json\r\nx-own: 1\r\n", error));
        let reply = call(&stage);
        assert_eq!((reply.status, reply.text().as_bytes()), (503, &error[..]));
        assert_eq!(reply.header("x-own"), Some("1"));
        assert_eq!(reply.header("cf-aig-step"), Some("1"));
        assert_eq!(reply.header("cf-aig-attempts"), Some("openai 500, well 503"));
        let faults = [(0, Some(500), Some(Fault::Status)), (1, Some(503), Some(Fault::Status))];
        assert_eq!(stage.attempts(), faults);
    }
}
