//! What the data plane says of itself at this moment: what is open, and how the targets of calls fare. The binary hands
//! it over, since this room does not know that one.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::metrics::{escaped, head, line};

/// Asks the data plane; `None` once the gateway is gone.
pub type TrafficGauge = Box<dyn Fn() -> Option<Traffic> + Send + Sync>;

/// See [`TrafficGauge`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Of clients.
    pub connections: u64,
    /// Calls under way.
    pub calls: u64,
    /// Of those: answered as a stream or over a WebSocket.
    pub streams: u64,
    /// Those that were called at all, each provider and address once.
    pub targets: Vec<Target>,
}

/// A provider at an address.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub provider: String,
    /// Scheme, host and port; nothing secret.
    pub address: String,
    /// Set while it is left alone wherever something else can take its calls.
    pub down: Option<Down>,
    pub calls: u64,
    /// Of those: the target failed.
    pub faults: u64,
    /// Calls that wait for the first byte of their answer.
    pub in_flight: u64,
    /// Time to the first byte, of late.
    pub latency: Duration,
}

/// Why a target is left alone, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Down {
    pub why: String,
    pub tried_again_in: Duration,
}

impl Traffic {
    pub(crate) fn open(&self) -> Value {
        json!({ "connections": self.connections, "calls": self.calls, "streams": self.streams })
    }

    pub(crate) fn targets(&self) -> Vec<Value> {
        self.targets.iter().map(Target::json).collect()
    }

    /// For Prometheus.
    pub(crate) fn write(&self, text: &mut String) {
        for (name, about, value) in [
            ("genesis_open_connections", "Open client connections.", self.connections),
            ("genesis_open_calls", "Calls under way.", self.calls),
            ("genesis_open_streams", "Calls under way that are answered as a stream.", self.streams),
        ] {
            head(text, name, "gauge", about);
            line(text, format_args!("{name} {value}"));
        }
        self.family(text, "genesis_target_up", "gauge", "0 while a target is left alone.", |target| {
            u8::from(target.down.is_none()).to_string()
        });
        self.family(text, "genesis_target_calls_total", "counter", "Attempts made at a target.", |target| {
            target.calls.to_string()
        });
        let about = "Attempts that failed by the target's fault.";
        self.family(text, "genesis_target_faults_total", "counter", about, |target| {
            target.faults.to_string()
        });
        let about = "Attempts that wait for their first byte.";
        self.family(text, "genesis_target_in_flight", "gauge", about, |target| target.in_flight.to_string());
        let about = "Time to the first byte of late, peaks first.";
        self.family(text, "genesis_target_latency_seconds", "gauge", about, |target| {
            let micros = target.latency.as_micros();
            format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
        });
    }

    fn family(
        &self,
        text: &mut String,
        name: &str,
        kind: &str,
        about: &str,
        value: impl Fn(&Target) -> String,
    ) {
        if self.targets.is_empty() {
            return;
        }
        head(text, name, kind, about);
        for target in &self.targets {
            let (provider, address) = (escaped(&target.provider), escaped(&target.address));
            let value = value(target);
            let _ = writeln!(text, "{name}{{provider=\"{provider}\",address=\"{address}\"}} {value}");
        }
    }
}

impl Target {
    fn json(&self) -> Value {
        let down = self.down.as_ref();
        json!({
            "provider": self.provider,
            "address": self.address,
            "up": down.is_none(),
            "why": down.map(|down| &down.why),
            "triedAgainInMs": down.map(|down| millis(down.tried_again_in)),
            "calls": self.calls,
            "faults": self.faults,
            "inFlight": self.in_flight,
            "latencyMs": millis(self.latency),
        })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
