//! What the gateway is to reach, and the judgement.

use super::figures::Figures;
use super::scenario::Role;
use crate::stats::median;

/// What a figure is held against, round by round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Against {
    /// Nothing: the figure itself
    Itself,
    /// A multiple of another target's figure in the same scenario and round
    Ratio(Role),
    /// How much more than another target's figure, in the figure's unit
    Above(Role),
    /// How much more than another target's figure, in per cent of it
    Percent(Role),
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Goal {
    /// What is measured, in words.
    pub title: &'static str,
    /// Scenario and quantity of the figure.
    pub scenario: &'static str,
    /// See [`Figures`].
    pub quantity: &'static str,
    /// Unit of the figure, for people.
    pub unit: &'static str,
    /// How it is judged.
    pub against: Against,
    /// What must be reached; `None` is for information.
    pub reach: Option<f64>,
    /// What would be better still.
    pub stretch: Option<f64>,
}

type Row = (&'static str, &'static str, &'static str, &'static str, Against, Option<f64>, Option<f64>);

const fn goal((title, scenario, quantity, unit, against, reach, stretch): Row) -> Goal {
    Goal { title, scenario, quantity, unit, against, reach, stretch }
}

const H: Against = Against::Ratio(Role::Floor);
const N: Against = Against::Ratio(Role::Nginx);
const ADDED: Against = Against::Above(Role::Mock);
const FLOOR: Against = Against::Above(Role::Floor);
const LOG: Against = Against::Percent(Role::GenesisLogOff);
const ITSELF: Against = Against::Itself;

/// Every row, in the order of the table: title, scenario, quantity, unit, judged against, to reach, better still.
#[rustfmt::skip]
pub const GOALS: &[Goal] = &[
    goal(("JSON 300 B, CPU per request", "json-300", "cpu", "µs", H, Some(1.30), Some(1.15))),
    goal(("JSON 10 KB, CPU per request", "json-10k", "cpu", "µs", H, Some(1.30), Some(1.15))),
    goal(("JSON 200 KB, CPU per request", "json-200k", "cpu", "µs", H, Some(1.35), Some(1.15))),
    goal(("Anthropic JSON 300 B, CPU per request", "anthropic-300", "cpu", "µs", H, Some(1.30), Some(1.15))),
    goal(("Stream flat out, CPU per event", "stream", "cpu", "µs", H, Some(1.15), None)),
    goal(("Stream flat out, CPU per event, beside nginx", "stream", "cpu", "µs", N, None, Some(1.1))),
    goal(("Anthropic stream flat out, CPU per event", "stream-anthropic", "cpu", "µs", H, Some(1.15), None)),
    goal(("Stream 64×50/s, CPU per event", "stream-paced", "cpu", "µs", H, None, None)),
    goal(("Stream 64×50/s, added transit p50", "stream-paced", "transit-p50", "µs", ADDED, None, None)),
    goal(("Stream 64×50/s, added transit p99", "stream-paced", "transit-p99", "µs", ADDED, None, None)),
    goal(("Added latency, 1 connection, 1 core, p50", "latency", "latency-p50", "µs", ADDED, Some(85.0), Some(60.0))),
    goal(("Added latency, 1 connection, 1 core, p99", "latency", "latency-p99", "µs", ADDED, Some(155.0), Some(110.0))),
    goal(("Added first byte, idle connection, p50", "first-byte", "first-byte-p50", "µs", ADDED, None, None)),
    goal(("Added first byte, idle connection, p99", "first-byte", "first-byte-p99", "µs", ADDED, Some(300.0), Some(150.0))),
    goal(("Durable log on against off, JSON 300 B, CPU", "json-300", "cpu", "µs", LOG, Some(5.0), Some(3.0))),
    goal(("Durable log on against off, JSON 10 KB, CPU", "json-10k", "cpu", "µs", LOG, Some(5.0), Some(3.0))),
    goal(("Translated JSON 300 B, CPU per request", "translate-json", "cpu", "µs", H, Some(1.6), Some(1.4))),
    goal(("Translated stream, CPU per event", "translate-stream", "cpu", "µs", H, Some(1.6), Some(1.3))),
    goal(("500/s, one of two providers failing, p50", "one-down", "latency-p50", "µs", FLOOR, None, None)),
    goal(("500/s, one of two providers failing, p99", "one-down", "latency-p99", "µs", FLOOR, None, None)),
    goal(("500/s, the same route with both well, p50", "both-well", "latency-p50", "µs", FLOOR, None, None)),
    goal(("500/s, the same route with both well, p99", "both-well", "latency-p99", "µs", FLOOR, None, None)),
    goal(("Cache hit 300 B, CPU", "cache-300", "cpu", "µs", N, Some(0.8), Some(0.65))),
    goal(("Cache hit 10 KB, CPU", "cache-10k", "cpu", "µs", N, Some(0.4), Some(0.25))),
    goal(("Idle SSE stream, memory", "idle", "per-stream", "KiB", ITSELF, Some(32.0), Some(20.0))),
    goal(("Memory after start", "memory", "idle", "MiB", ITSELF, Some(20.0), Some(12.0))),
    goal(("Memory at 64 connections, most", "memory", "load", "MiB", ITSELF, Some(64.0), Some(40.0))),
    goal(("Memory growth over the soak", "soak", "growth", "%", ITSELF, Some(5.0), Some(0.0))),
    goal(("Start to first answer", "start", "time", "ms", ITSELF, Some(60.0), Some(25.0))),
    goal(("Binary", "size", "size", "MB", ITSELF, Some(20.0), Some(12.0))),
    goal(("Requests/s of the whole chain, JSON 300 B", "json-300", "rate", "/s", N, None, None)),
];

/// How a target did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Better than `stretch`
    Stretch,
    /// Better than `reach`
    Met,
    /// Neither
    Missed,
    /// No figures, or nothing to reach
    Open,
}

impl Goal {
    /// The median over rounds of a target's figure, judged as this row judges.
    #[must_use]
    pub fn judged(&self, figures: &Figures, role: Role) -> Option<f64> {
        let own = figures.rounds(self.scenario, self.quantity, role);
        let values: Vec<f64> = own
            .iter()
            .filter_map(|(round, value)| {
                let beside = |role| figures.one(*round, self.scenario, self.quantity, role);
                match self.against {
                    Against::Itself => Some(*value),
                    Against::Ratio(other) => beside(other).map(|other| value / other),
                    Against::Above(other) => beside(other).map(|other| value - other),
                    Against::Percent(other) => beside(other).map(|other| (value / other - 1.0) * 100.0),
                }
            })
            .collect();
        median(&values)
    }

    /// The verdict on a judged value; smaller is better in every row that has a goal.
    #[must_use]
    pub fn verdict(&self, judged: Option<f64>) -> Verdict {
        let under = |limit: Option<f64>| Some(judged? <= limit?);
        match (under(self.stretch), under(self.reach)) {
            (Some(true), _) => Verdict::Stretch,
            (_, Some(true)) => Verdict::Met,
            (_, Some(false)) => Verdict::Missed,
            _ => Verdict::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::is_known;
    use super::*;

    #[test]
    fn every_row_is_fed_by_a_scenario() {
        for goal in GOALS {
            assert!(is_known(goal.scenario) || goal.scenario == "memory", "{}", goal.scenario);
        }
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let mut figures = Figures::default();
        // A noisy second round doubles both: the ratio does not move.
        for (round, noise) in [(0, 1.0), (1, 2.0), (2, 1.1)] {
            figures.add(round, "json-300", "cpu", Role::Floor, 40.0 * noise);
            figures.add(round, "json-300", "cpu", Role::Genesis, 50.0 * noise);
        }
        let judged = GOALS[0].judged(&figures, Role::Genesis);
        assert!((judged.unwrap() - 1.25).abs() < 1e-9);
        assert_eq!(GOALS[0].verdict(judged), Verdict::Met);
        assert_eq!(GOALS[0].verdict(Some(1.1)), Verdict::Stretch);
        assert_eq!(GOALS[0].verdict(Some(1.31)), Verdict::Missed);
        assert_eq!(GOALS[0].judged(&figures, Role::Nginx), None);
        assert_eq!(GOALS[0].verdict(None), Verdict::Open);
        let only_reach = Goal { stretch: None, ..GOALS[0] };
        let only_stretch = Goal { reach: None, ..GOALS[0] };
        assert_eq!([1.2, 1.4].map(|it| only_reach.verdict(Some(it))), [Verdict::Met, Verdict::Missed]);
        assert_eq!([1.1, 1.4].map(|it| only_stretch.verdict(Some(it))), [Verdict::Stretch, Verdict::Open]);
    }

    #[test]
    fn differences_and_percentages() {
        let mut figures = Figures::default();
        figures.add(0, "s", "q", Role::Mock, 100.0);
        figures.add(0, "s", "q", Role::Genesis, 104.0);
        let row =
            |against| goal(("", "s", "q", "", against, None, None)).judged(&figures, Role::Genesis).unwrap();
        assert!((row(Against::Above(Role::Mock)) - 4.0).abs() < 1e-9);
        assert!((row(Against::Percent(Role::Mock)) - 4.0).abs() < 1e-9);
        assert!((row(Against::Itself) - 104.0).abs() < 1e-9);
    }
}
