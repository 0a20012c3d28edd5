//! Limits and budgets of the built binary: a thousand calls at once, and `kill -9` in the middle.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::http::{Client, Message, Upstream, call, json};
use crate::process::{Home, wait_until};

const PATH: &str = "/v1/acct/prod/openai/chat/completions";
const HEADERS: [(&str, &str); 2] =
    [("content-type", "application/json"), ("authorization", "Bearer sk-the-callers-own")];
/// Two output tokens at $0.01 each, and no more than two.
const BODY: &[u8] = br#"{"model":"dear","max_tokens":2,"messages":[{"role":"user","content":"Hello"}]}"#;
const CALL_NANO_USD: usize = 20_000_000;
const CALLS: usize = 1_000;

/// A route whose element lets each user spend a dollar on the dear model; past that, calls go to a free one.
const ROUTE: &str = r#"routes: { r: { elements: [
    { id: "s", type: "start", outputs: { next: "dollar" } },
    { id: "dollar", type: "rate", outputs: { success: "count", fallback: "free" },
      properties: { limitType: "cost", key: "headers.x-user", limit: 1, window: 86400, technique: "sliding" } },
    { id: "count", type: "rate", outputs: { success: "dear", fallback: "free" },
      properties: { limitType: "count", key: "headers.x-user", limit: 45, window: 86400, technique: "sliding" } },
    { id: "dear", type: "model", properties: { provider: "openai", model: "dear" }, outputs: { success: "e" } },
    { id: "free", type: "model", properties: { provider: "openai", model: "free" }, outputs: { success: "e" } },
    { id: "e", type: "end" } ] } },"#;

/// A gateway before a provider that counts what it would bill for.
struct Stage {
    home: Home,
    upstream: Upstream,
}

impl Stage {
    /// `settings` are those of gateway `prod`. Answers take a while, so that calls are under way together.
    fn new(settings: &str) -> Self {
        Self::with(settings, "")
    }

    /// `more` stands in the file's `gateway`.
    fn with(settings: &str, more: &str) -> Self {
        let answer = r#"{"object":"chat.completion","model":"dear","usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
        let upstream = Upstream::start(move |_| {
            thread::sleep(Duration::from_millis(20));
            json("200 OK", answer)
        });
        let config = format!(
            "{{ models: {{ providers: {{ openai: {{
                  baseUrl: \"http://{}/v1\",
                  models: [{{ id: \"dear\", cost: {{ input: 0, output: 10000 }} }},
                           {{ id: \"free\", cost: {{ input: 0, output: 0 }} }}],
               }} }} }},
               gateway: {{ listen: \"127.0.0.1:0\", {more} gateways: {{ prod: {{ authentication: false, {settings} }} }} }} }}",
            upstream.address
        );
        Self { home: Home::new(&config), upstream }
    }

    fn start(&self) -> crate::process::Running {
        self.home.start(&["gateway", "run"])
    }

    /// Calls that reached the provider.
    fn billed(&self) -> usize {
        self.upstream.received().len()
    }

    /// Those for this model.
    fn calls_of(&self, model: &str) -> usize {
        let named = format!("\"model\":\"{model}\"");
        self.upstream.received().iter().filter(|call| call.text().contains(&named)).count()
    }
}

fn one(address: SocketAddr) -> Message {
    call(address, "POST", PATH, &HEADERS, BODY)
}

/// What became of [`CALLS`] calls made at once.
#[derive(Debug, Default)]
struct Tally {
    answered: AtomicUsize,
    refused: AtomicUsize,
    cut: AtomicUsize,
}

/// Sends every call before it waits for the first answer.
fn all_at_once(address: SocketAddr, refusal: u64, tally: &Arc<Tally>) {
    const THREADS: usize = 10;
    let share = |tally: Arc<Tally>| {
        thread::spawn(move || {
            let send = |_| {
                let mut client = Client::connect(address).ok()?;
                client.send("POST", PATH, &HEADERS, BODY).ok()?;
                Some(client)
            };
            let clients: Vec<_> = (0..CALLS / THREADS).map(send).collect();
            for client in clients {
                let counter = match client.and_then(|mut client| client.answer().ok()) {
                    Some(answer) if answer.status() == 200 => &tally.answered,
                    Some(answer) => {
                        assert_eq!(answer.status(), 429, "{}", answer.text());
                        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
                        assert_eq!(body["internalCode"], refusal, "{body}");
                        &tally.refused
                    }
                    None => &tally.cut,
                };
                counter.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let threads: Vec<_> = (0..THREADS).map(|_| share(Arc::clone(tally))).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Every call may cost exactly what it does, so all that fit are made, and not one more. A window of a day that slides
/// loses nothing while the test runs.
const ONE_DOLLAR: &str = "spend_limits: { enabled: true, rules: [{ id: \"day\", limit: 1, window: 86400 }] }";
const FITTING: usize = 1_000_000_000 / CALL_NANO_USD;

#[test]
fn a_thousand_calls_at_once_stay_within_a_dollar() {
    let stage = Stage::new(ONE_DOLLAR);
    let gateway = stage.start();
    let tally = Arc::<Tally>::default();
    all_at_once(gateway.address, 2045, &tally);
    assert_eq!(tally.cut.load(Ordering::Relaxed), 0);
    assert_eq!(stage.billed(), FITTING, "no more, and nobody is refused what is left: {tally:?}");
    assert_eq!(tally.answered.load(Ordering::Relaxed), FITTING);

    gateway.stop();
    let gateway = stage.start();
    assert_eq!(one(gateway.address).status(), 429, "it has not forgotten");
    gateway.stop();
    let costs: i64 = stage.home.records().iter().filter_map(|record| record["cost_nano_usd"].as_i64()).sum();
    assert_eq!(usize::try_from(costs).unwrap(), FITTING * CALL_NANO_USD, "the log tells the same");
}

#[test]
fn a_killed_gateway_goes_on_within_the_same_dollar() {
    let stage = Stage::new(ONE_DOLLAR);
    let killed_after = |calls: usize| {
        let gateway = stage.start();
        let (address, before) = (gateway.address, stage.billed());
        let load = thread::spawn(move || all_at_once(address, 2045, &Arc::default()));
        wait_until("calls at the provider", || stage.billed() >= before + calls || load.is_finished());
        gateway.kill();
        load.join().unwrap();
    };
    killed_after(7);
    let first = stage.billed();
    assert!((7..=FITTING).contains(&first), "{first}");
    killed_after(7);
    let gateway = stage.start();
    all_at_once(gateway.address, 2045, &Arc::default());
    assert!(stage.billed() <= FITTING, "{} calls of two cents", stage.billed());
    assert_eq!(one(gateway.address).status(), 429);
}

#[test]
fn a_thousand_calls_at_once_stay_within_a_limit_on_requests() {
    let stage = Stage::new(
        "rate_limiting_limit: 100, rate_limiting_interval: 3600, rate_limiting_technique: \"sliding\"",
    );
    let gateway = stage.start();
    let (address, tally) = (gateway.address, Arc::new(Tally::default()));
    let load = {
        let tally = Arc::clone(&tally);
        thread::spawn(move || all_at_once(address, 2003, &tally))
    };
    wait_until("calls at the provider", || stage.billed() >= 10);
    gateway.kill();
    load.join().unwrap();
    assert!(stage.billed() <= 100, "{}", stage.billed());

    let gateway = stage.start();
    let tally = Arc::<Tally>::default();
    all_at_once(gateway.address, 2003, &tally);
    assert!(stage.billed() <= 100, "{}", stage.billed());
    let answer = one(gateway.address);
    assert_eq!(answer.status(), 429);
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3_960).contains(&wait), "{wait}");
    gateway.stop();
}

#[test]
fn a_gateway_told_to_stop_forfeits_nothing() {
    let stage = Stage::new(ONE_DOLLAR);
    for _ in 0..FITTING / 10 {
        let gateway = stage.start();
        (0..10).for_each(|_| assert_eq!(one(gateway.address).status(), 200, "call {}", stage.billed() + 1));
        gateway.stop();
    }
    assert_eq!(one(stage.start().address).status(), 429);
}

#[test]
fn a_budget_that_cannot_be_kept_on_record_is_closed_and_says_why() {
    let stage = Stage::new(ONE_DOLLAR);
    let first = stage.start();
    assert_eq!(one(first.address).status(), 200);
    // A second gateway on the same home would spend the dollar once more.
    let second = stage.start();
    let answer = one(second.address);
    assert_eq!(answer.status(), 503, "{}", answer.text());
    assert!(answer.text().contains("held by another gateway"), "{}", answer.text());
    assert_eq!(answer.header("retry-after"), Some("1"));
    first.stop();
    wait_until("the record to be free", || one(second.address).status() == 200);
    second.stop();
}

/// Calls of the route, many at a time; how many were answered.
fn routed(address: SocketAddr, user: &'static str) -> usize {
    let share = || {
        thread::spawn(move || {
            let headers = [HEADERS[0], HEADERS[1], ("x-user", user)];
            let body =
                br#"{"model":"dynamic/r","max_tokens":2,"messages":[{"role":"user","content":"Hello"}]}"#;
            let send = |_| {
                let mut client = Client::connect(address).ok()?;
                client.send("POST", "/v1/acct/prod/compat/chat/completions", &headers, body).ok()?;
                Some(client)
            };
            let clients: Vec<_> = (0..30).filter_map(send).collect();
            clients
                .into_iter()
                .filter_map(|mut client| client.answer().ok())
                .filter(|answer| answer.status() == 200)
                .count()
        })
    };
    let threads: Vec<_> = (0..10).map(|_| share()).collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).sum()
}

#[test]
fn what_does_not_fit_an_element_of_a_route_goes_elsewhere_also_after_a_kill() {
    // Forty-five calls of two cents: the element that counts calls is reached first.
    const COUNTED: usize = 45;
    let stage = Stage::with("", ROUTE);
    let gateway = stage.start();
    let address = gateway.address;
    let load = thread::spawn(move || routed(address, "ann"));
    wait_until("calls of the dear model", || stage.calls_of("dear") >= 10 || load.is_finished());
    gateway.kill();
    load.join().unwrap();
    let first = stage.calls_of("dear");
    assert!((10..=COUNTED).contains(&first), "{first}");

    let gateway = stage.start();
    assert_eq!(routed(gateway.address, "ann"), 300, "nobody is refused");
    assert!(stage.calls_of("dear") <= COUNTED, "{} calls", stage.calls_of("dear"));
    assert!(stage.calls_of("free") >= 300 - COUNTED);
    let anns = stage.calls_of("dear");
    assert_eq!(routed(gateway.address, "bob"), 300);
    assert_eq!(stage.calls_of("dear"), anns + COUNTED, "all that fit, and not one more");
    gateway.stop();

    let gateway = stage.start();
    assert_eq!(routed(gateway.address, "bob"), 300);
    assert_eq!(stage.calls_of("dear"), anns + COUNTED, "it has not forgotten");
    gateway.stop();
    let record = std::fs::read(stage.home.file("genesis-limits.db")).unwrap();
    assert!(!record.windows(3).any(|window| window == b"bob"), "values of keys are not on record");
}

#[test]
fn a_dollar_of_an_element_is_not_overshot_by_calls_at_once() {
    let stage = Stage::with("", &ROUTE.replace("limit: 45", "limit: 1000"));
    let gateway = stage.start();
    assert_eq!(routed(gateway.address, "ann"), 300);
    assert_eq!(stage.calls_of("dear"), FITTING);
    gateway.stop();
}
