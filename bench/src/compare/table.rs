//! The result as one Markdown table.

use std::fmt::Write as _;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::figures::Figures;
use super::goals::{Against, GOALS, Goal, Verdict};
use super::scenario::Role;

const COLUMNS: [Role; 5] = [Role::Mock, Role::Floor, Role::Nginx, Role::Genesis, Role::GenesisLogOff];

/// Date, machine and load, then the rows that have at least one figure.
#[must_use]
pub fn markdown(figures: &Figures, heading: &str) -> String {
    let mut text = format!("{heading}\n\n");
    text.push_str("| metric | unit | mock | H | N | genesis | log off | judged | N is | genesis is | reach | stretch | verdict |\n");
    text.push_str("|---|---|--:|--:|--:|--:|--:|---|--:|--:|--:|--:|---|\n");
    for goal in GOALS {
        let medians = COLUMNS.map(|role| figures.median(goal.scenario, goal.quantity, role));
        if medians.iter().all(Option::is_none) {
            continue;
        }
        let judged = goal.judged(figures, Role::Genesis);
        let nginx = goal.judged(figures, Role::Nginx).filter(|_| goal.against != Against::Ratio(Role::Nginx));
        let _ = write!(text, "| {} | {} |", goal.title, goal.unit);
        for value in medians.into_iter() {
            let _ = write!(text, " {} |", number(value));
        }
        let limit = |limit: Option<f64>| limit.map_or_else(String::new, |value| format!("≤ {value}"));
        let _ = writeln!(
            text,
            " {} | {} | {} | {} | {} | {} |",
            basis(goal.against),
            number(nginx),
            number(judged),
            limit(goal.reach),
            limit(goal.stretch),
            words(goal, goal.verdict(judged)),
        );
    }
    text
}

/// The judged rows, for `--json`.
#[must_use]
pub fn judged(figures: &Figures) -> Vec<Value> {
    GOALS
        .iter()
        .filter_map(|goal| {
            let judged = goal.judged(figures, Role::Genesis)?;
            Some(json!({
                "metric": goal.title,
                "judged": judged,
                "against": basis(goal.against),
                "reach": goal.reach,
                "stretch": goal.stretch,
                "verdict": words(goal, goal.verdict(Some(judged))),
            }))
        })
        .collect()
}

/// When, where, and how busy the machine is.
#[must_use]
pub fn circumstances() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1)).unwrap_or("?");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load: Vec<String> = read("/proc/loadavg").split(' ').take(3).map(str::to_owned).collect();
    let date = httpdate::fmt_http_date(SystemTime::now());
    format!("{date}, {cores} cores of {model}, load average {}", load.join(" "))
}

fn basis(against: Against) -> &'static str {
    match against {
        Against::Itself => "itself",
        Against::Ratio(Role::Floor) => "× H",
        Against::Ratio(Role::Nginx) => "× N",
        Against::Ratio(_) => "×",
        Against::Above(_) => "added",
        Against::Percent(_) => "% more",
    }
}

fn words(goal: &Goal, verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Stretch if goal.reach.is_none() => "stretch met",
        Verdict::Stretch => "**met**, stretch too",
        Verdict::Met => "**met**",
        Verdict::Missed => "**missed**",
        Verdict::Open => "",
    }
}

/// Three significant digits.
fn number(value: Option<f64>) -> String {
    match value {
        None => "–".into(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_row_per_figure_and_says_who_missed() {
        let mut figures = Figures::default();
        figures.add(0, "json-300", "cpu", Role::Floor, 40.0);
        figures.add(0, "json-300", "cpu", Role::Genesis, 80.0);
        figures.add(0, "size", "size", Role::Genesis, 9.5);
        let text = markdown(&figures, "today");
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
        assert_eq!(rows.len(), 3, "JSON against H, JSON against the log off (open), size:\n{text}");
        assert!(
            rows[0].contains("| 40.0 | – | 80.0 |")
                && rows[0].contains("| 2.00 | ≤ 1.3 | ≤ 1.15 | **missed** |")
        );
        assert!(rows[1].ends_with("| ≤ 5 | ≤ 3 |  |"));
        assert!(rows[2].ends_with("| 9.50 | ≤ 20 | ≤ 12 | **met**, stretch too |"));
        let columns = text.lines().filter(|line| line.starts_with('|')).map(|line| line.matches('|').count());
        assert!(columns.clone().all(|count| count == 14), "{:?}", columns.collect::<Vec<_>>());
        assert_eq!(judged(&figures).len(), 2);
    }
}
