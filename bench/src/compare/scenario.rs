//! The scenarios: what is asked, of whom, how hard.

use crate::dialect::Dialect;

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The mock provider itself, nothing in between
    Mock,
    /// H
    Floor,
    /// N
    Nginx,
    /// The gateway, all features on
    Genesis,
    /// The gateway without its log
    GenesisLogOff,
}

impl Role {
    /// The name in tables and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Mock => "mock",
            Role::Floor => "floor",
            Role::Nginx => "nginx",
            Role::Genesis => "genesis",
            Role::GenesisLogOff => "genesis-log-off",
        }
    }
}

/// Which door of the gateway is used. The others have one door: the provider's own path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// The provider's own path, same dialect on both sides
    Passthrough,
    /// `/compat`: OpenAI in, Anthropic out. Compared with H's plain relay of the same request
    Translated,
    /// Same request again, answered from the cache
    Cached,
    /// The gateway's dynamic route of this name; H relays to the provider that answers
    Route(&'static str),
}

/// One kind of load.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// As in `--scenarios`.
    pub name: &'static str,
    /// Dialect of the client.
    pub dialect: Dialect,
    /// Door.
    pub surface: Surface,
    /// Bytes of the request body.
    pub size: usize,
    /// `Some` asks for streams with this script.
    pub stream: Option<&'static str>,
    /// Connections.
    pub connections: usize,
    /// Requests per second, whether or not answers keep up; `None`: each connection asks when it has its answer.
    pub rate: Option<f64>,
    /// Microseconds between answer and next request.
    pub pause_us: u64,
    /// Microseconds between the first requests of two connections.
    pub stagger_us: u64,
    /// Mock, target and load all on core 0: the length of the path without cross-core wake-ups.
    pub pinned: bool,
    /// Who takes part.
    pub roles: &'static [Role],
}

const USUAL: &[Role] = &[Role::Floor, Role::Nginx, Role::Genesis];
const AND_LOG_OFF: &[Role] = &[Role::Floor, Role::Nginx, Role::Genesis, Role::GenesisLogOff];
const AND_MOCK: &[Role] = &[Role::Mock, Role::Floor, Role::Nginx, Role::Genesis];
const TRANSLATORS: &[Role] = &[Role::Floor, Role::Genesis];
const CACHES: &[Role] = &[Role::Nginx, Role::Genesis];

const JSON: Scenario = Scenario {
    name: "json-300",
    dialect: Dialect::Openai,
    surface: Surface::Passthrough,
    size: 300,
    stream: None,
    connections: 64,
    rate: None,
    pause_us: 0,
    stagger_us: 0,
    pinned: false,
    roles: AND_LOG_OFF,
};

/// Open loop: what a failing provider costs must not hide behind requests that were never sent.
const ROUTED: Scenario = Scenario { name: "", rate: Some(500.0), roles: TRANSLATORS, ..JSON };

/// Every load scenario, in the order they run. `idle`, `start`, `size` and `soak` are scenarios of their own kind.
pub const SCENARIOS: &[Scenario] = &[
    JSON,
    Scenario { name: "json-10k", size: 10 * 1024, ..JSON },
    Scenario { name: "json-200k", size: 200 * 1024, connections: 16, roles: USUAL, ..JSON },
    Scenario { name: "anthropic-300", dialect: Dialect::Anthropic, roles: USUAL, ..JSON },
    Scenario { name: "stream", stream: Some("events=100"), roles: USUAL, ..JSON },
    Scenario {
        name: "stream-anthropic",
        dialect: Dialect::Anthropic,
        stream: Some("events=100"),
        roles: USUAL,
        ..JSON
    },
    Scenario {
        name: "stream-paced",
        stream: Some("events=100,gap-us=20000"),
        stagger_us: 313,
        roles: AND_MOCK,
        ..JSON
    },
    Scenario { name: "latency", connections: 1, pinned: true, roles: AND_MOCK, ..JSON },
    Scenario {
        name: "first-byte",
        stream: Some("events=1"),
        connections: 1,
        pause_us: 5000,
        pinned: true,
        roles: AND_MOCK,
        ..JSON
    },
    Scenario { name: "translate-json", surface: Surface::Translated, roles: TRANSLATORS, ..JSON },
    Scenario {
        name: "translate-stream",
        surface: Surface::Translated,
        stream: Some("events=100"),
        roles: TRANSLATORS,
        ..JSON
    },
    // One of two providers fails every call, and the same route with both well: no client may notice.
    Scenario { name: "one-down", surface: Surface::Route("one-down"), ..ROUTED },
    Scenario { name: "both-well", surface: Surface::Route("both-well"), ..ROUTED },
    Scenario { name: "cache-300", surface: Surface::Cached, roles: CACHES, ..JSON },
    Scenario { name: "cache-10k", surface: Surface::Cached, size: 10 * 1024, roles: CACHES, ..JSON },
];

/// Scenarios that are not one load: memory per idle stream, time to the first answer, size of the binary, memory growth
/// under a long load.
pub const OTHERS: &[&str] = &["idle", "start", "size", "soak"];

/// Scenarios that run only when named: one is long, some wait for the gateway's cache, some ask another question.
pub const ONLY_WHEN_NAMED: &[&str] = &["soak", "cache-300", "cache-10k", "one-down", "both-well"];

/// True if `--scenarios` may name it.
#[must_use]
pub fn is_known(name: &str) -> bool {
    SCENARIOS.iter().any(|scenario| scenario.name == name) || OTHERS.contains(&name)
}
