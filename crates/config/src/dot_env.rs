//! One variable of a `.env` file's text set: comments, order and all other lines stay.

use crate::secret::{ExposeSecret, Secret};

/// The text with `name` set to `value`. The line that sets it now is replaced, the last one if there are several, for
/// that is the one that counts; else a line is added at the end. `None` for a value no line can hold: it has a line
/// break or another control character.
pub fn set(text: &str, name: &str, value: &Secret) -> Option<String> {
    let value = value.expose_secret();
    if value.chars().any(char::is_control) {
        return None;
    }
    if read(text, name).as_deref() == Some(value) {
        return Some(text.to_owned());
    }
    let line = format!("{name}={}", quoted(value));
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    if let Some(at) = lines.iter().rposition(|line| sets(line, name)) {
        let ending = &lines[at][lines[at].trim_end_matches(['\r', '\n']).len()..];
        let replaced = format!("{}{line}{ending}{}", lines[..at].concat(), lines[at + 1..].concat());
        // A line may only look so: it can be part of a value that spans several.
        if read(&replaced, name).as_deref() == Some(value) && others(&replaced, name) == others(text, name) {
            return Some(replaced);
        }
    }
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    Some(format!("{text}{gap}{line}\n"))
}

fn sets(line: &str, name: &str) -> bool {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").map_or(line, str::trim_start);
    line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='))
}

/// The value of a variable, as the environment reads it.
fn read(text: &str, name: &str) -> Option<String> {
    let found = dotenvy::from_read_iter(text.as_bytes()).filter_map(Result::ok);
    found.filter(|(found, _)| found == name).last().map(|(_, value)| value)
}

fn others(text: &str, name: &str) -> Vec<(String, String)> {
    let found = dotenvy::from_read_iter(text.as_bytes()).filter_map(Result::ok);
    found.filter(|(found, _)| found != name).collect()
}

/// As it is if nothing in it has a meaning to readers of such files, else in quotes.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:+=@%,~".contains(c);
    if value.chars().all(plain) {
        return value.to_owned();
    }
    if !value.contains(['\'', '\\']) {
        return format!("'{value}'");
    }
    let mut text = String::with_capacity(value.len() + 2);
    text.push('"');
    for c in value.chars() {
        if "\"\\$".contains(c) {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(text: &str, name: &str, value: &str) -> String {
        set(text, name, &Secret::from(value)).unwrap()
    }

    #[test]
    fn a_line_changes_and_nothing_else() {
        let text = "# keys\nA=1\nexport B = 'two' # old\n\nAB=3";
        assert_eq!(with(text, "B", "2"), "# keys\nA=1\nB=2\n\nAB=3");
        assert_eq!(with(text, "AB", "4"), text.replace("AB=3", "AB=4"));
        assert_eq!(with(text, "C", "5"), format!("{text}\nC=5\n"));
        assert_eq!(with("", "C", "5"), "C=5\n");
        assert_eq!(with("A=1\r\nB=2\r\n", "A", "9"), "A=9\r\nB=2\r\n");
        assert_eq!(with("A=1\nA=2\n", "A", "3"), "A=1\nA=3\n", "the later line counts");
        assert_eq!(with("#A=1\n", "A", "3"), "#A=1\nA=3\n");
    }

    #[test]
    fn what_is_there_already_is_left_as_it_is_written() {
        for text in ["A='x'\n", "export A=\"x\"", "A = x # why\n"] {
            assert_eq!(with(text, "A", "x"), text);
        }
    }

    #[test]
    fn a_line_inside_a_longer_value_is_not_taken_for_a_variable() {
        let text = "PEM=\"begin\nA=inside\nend\"\n";
        let changed = with(text, "A", "1");
        assert_eq!(changed, format!("{text}A=1\n"));
        assert_eq!(read(&changed, "PEM"), read(text, "PEM"));
    }

    #[test]
    fn line_breaks_are_refused() {
        assert_eq!(set("", "A", &Secret::from("a\nB=2")), None);
    }

    proptest! {
        /// Whatever is set is read again, and every other variable keeps its value.
        #[test]
        fn set_is_read_again(
            values in prop::collection::vec("[ -~äß“€]{0,16}", 1..4),
            value in "[ -~äß“€]{0,24}",
        ) {
            let mut text = "# mine\n".to_owned();
            for (at, value) in values.iter().enumerate() {
                text = with(&text, &format!("OTHER_{at}"), value);
            }
            let changed = with(&text, "KEY", "first");
            let changed = with(&changed, "KEY", &value);
            prop_assert_eq!(read(&changed, "KEY"), Some(value));
            for (at, value) in values.iter().enumerate() {
                let found = read(&changed, &format!("OTHER_{at}"));
                prop_assert_eq!(found.as_ref(), Some(value));
            }
            prop_assert!(changed.starts_with("# mine\n"));
        }
    }
}
