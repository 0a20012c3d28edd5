//! Everything a comparison found, one number at a time.

use serde_json::{Value, json};

use super::scenario::Role;
use crate::load::report::Report;
use crate::stats::median;

/// Numbers by round, scenario, quantity and target.
///
/// Quantities of a load: `cpu` (µs per request; of a stream, per event), `rate` (answers/s), `latency-p50`, `-p99`,
/// `first-byte-p50`, `-p99`, `transit-p50`, `-p99` (µs). Of `memory`: `idle`, `load` (MiB).
#[derive(Debug, Default)]
pub struct Figures {
    all: Vec<Figure>,
    /// Full reports of the load runs, for the JSON file.
    reports: Vec<Value>,
}

#[derive(Debug)]
struct Figure {
    round: usize,
    scenario: &'static str,
    quantity: &'static str,
    role: Role,
    value: f64,
}

impl Figures {
    /// Adds one number.
    pub fn add(
        &mut self,
        round: usize,
        scenario: &'static str,
        quantity: &'static str,
        role: Role,
        value: f64,
    ) {
        self.all.push(Figure { round, scenario, quantity, role, value });
    }

    /// Adds what a load run found. Of a run with wrong answers only the report is kept: it proves nothing about speed.
    pub fn add_report(&mut self, round: usize, scenario: &'static str, role: Role, report: &Report) {
        self.reports
            .push(json!({ "round": round, "scenario": scenario, "target": role.name(), "report": report }));
        if report.errors > 0 {
            return;
        }
        let mut add = |quantity, value| {
            if value > 0.0 {
                self.add(round, scenario, quantity, role, value);
            }
        };
        add("rate", report.requests_per_second);
        add("latency-p50", report.latency.p50);
        add("latency-p99", report.latency.p99);
        if let (Some(first_byte), Some(transit)) = (report.first_byte, report.transit) {
            add("first-byte-p50", first_byte.p50);
            add("first-byte-p99", first_byte.p99);
            add("transit-p50", transit.p50);
            add("transit-p99", transit.p99);
        }
        if let Some(cost) = report.target {
            let stream = report.transit.is_some();
            add("cpu", if stream { cost.cpu_us_per_event } else { cost.cpu_us_per_request });
            if report.connections == 64 {
                self.add(round, "memory", "load", role, cost.rss_max_kib as f64 / 1024.0);
            }
        }
    }

    /// The values of one target, with their rounds. Of a round with several, the largest.
    #[must_use]
    pub fn rounds(&self, scenario: &str, quantity: &str, role: Role) -> Vec<(usize, f64)> {
        let mut rounds: Vec<(usize, f64)> = Vec::new();
        let wanted = |figure: &&Figure| {
            figure.scenario == scenario && figure.quantity == quantity && figure.role == role
        };
        for figure in self.all.iter().filter(wanted) {
            match rounds.iter_mut().find(|(round, _)| *round == figure.round) {
                Some((_, value)) => *value = value.max(figure.value),
                None => rounds.push((figure.round, figure.value)),
            }
        }
        rounds
    }

    /// One value.
    #[must_use]
    pub fn one(&self, round: usize, scenario: &str, quantity: &str, role: Role) -> Option<f64> {
        self.rounds(scenario, quantity, role).iter().find(|(at, _)| *at == round).map(|(_, value)| *value)
    }

    /// The median over rounds.
    #[must_use]
    pub fn median(&self, scenario: &str, quantity: &str, role: Role) -> Option<f64> {
        let values: Vec<f64> =
            self.rounds(scenario, quantity, role).into_iter().map(|(_, value)| value).collect();
        median(&values)
    }

    /// Everything, for `--json`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let figures: Vec<Value> = self
            .all
            .iter()
            .map(|figure| {
                json!({
                    "round": figure.round,
                    "scenario": figure.scenario,
                    "quantity": figure.quantity,
                    "target": figure.role.name(),
                    "value": figure.value,
                })
            })
            .collect();
        json!({ "figures": figures, "reports": self.reports })
    }
}
