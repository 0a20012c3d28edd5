//! How values look to people: tables, amounts, times. Scripts get JSON instead.
//!
//! * `table`: rows under each other without borders
//! * `json`: JSON laid out for reading
//! * `moment`: points in time as people type and read them

pub(crate) mod json;
mod moment;
mod table;

use std::fmt::Display;

use genesis_config::money::Usd;
use genesis_store::Outcome;
use owo_colors::OwoColorize;

pub(crate) use self::moment::{future, iso, local, past};
pub(crate) use self::table::{Cell, Table};

/// What stands where a value is unknown or does not apply.
pub(crate) const NONE: &str = "-";

/// An amount with every digit it has, at least two behind the point: `$0.000123`, `$12.50`.
pub(crate) fn money(nano_usd: i64) -> String {
    let (sign, digits) = match Usd(nano_usd).to_string() {
        text if nano_usd < 0 => ("-", text[1..].to_owned()),
        text => ("", text),
    };
    match digits.split_once('.') {
        Some((whole, part)) => format!("{sign}${whole}.{part:0<2}"),
        None => format!("{sign}${digits}.00"),
    }
}

/// `1,234,567`
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `845 ms`, `12.3 s`
pub(crate) fn milliseconds(number: u32) -> String {
    match number {
        ..10_000 => format!("{number} ms"),
        _ => format!("{}.{} s", number / 1000, number % 1000 / 100),
    }
}

pub(crate) fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "success",
        Outcome::ProviderError => "provider error",
        Outcome::Refused => "refused",
        Outcome::UpstreamBroken => "upstream broken",
        Outcome::ClientLeft => "client left",
    }
}

/// Text that came from outside on one line, without what a terminal would obey.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// [`plain`] with its line breaks and tabs.
pub(crate) fn plain_lines(text: &str) -> String {
    text.chars()
        .filter(|c| *c != '\r')
        .map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c })
        .collect()
}

/// `text`, or [`NONE`] if there is none.
pub(crate) fn or_none(text: &str) -> String {
    if text.is_empty() { NONE.to_owned() } else { plain(text) }
}

/// At most `width` characters, the last one `…` if some are left out.
pub(crate) fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// `part` of `whole` as a bar of at most `width` characters, in steps of an eighth. Never empty for a part above 0.
pub(crate) fn bar(part: u64, whole: u64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if part == 0 || whole == 0 {
        return String::new();
    }
    let eighths = (u128::from(part) * width as u128 * 8).div_ceil(u128::from(whole)).min(width as u128 * 8);
    let eighths = usize::try_from(eighths).unwrap_or(width * 8);
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

/// `name   value`, for one thing described line by line.
pub(crate) fn field(name: &str, value: impl Display) -> String {
    format!("  {} {value}", format_args!("{name:<14}").dimmed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_keep_every_digit() {
        for (nano, text) in [
            (0, "$0.00"),
            (123_000, "$0.000123"),
            (1, "$0.000000001"),
            (500_000_000, "$0.50"),
            (12_000_000_000, "$12.00"),
            (-1_500_000_000, "-$1.50"),
            (i64::MAX, "$9223372036.854775807"),
            (i64::MIN, "-$9223372036.854775808"),
        ] {
            assert_eq!(money(nano), text);
        }
    }

    #[test]
    fn counts_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn bars_grow_by_eighths_and_show_the_smallest_part() {
        assert_eq!(bar(0, 10, 4), "");
        assert_eq!(bar(1, 1_000_000, 4), "▏");
        assert_eq!(bar(5, 10, 4), "██");
        assert_eq!(bar(9, 16, 4), "██▎");
        assert_eq!(bar(10, 10, 4), "████");
        assert_eq!(bar(u64::MAX, u64::MAX, 40).chars().count(), 40);
    }

    #[test]
    fn nothing_a_terminal_would_obey_is_left() {
        assert_eq!(plain("a\u{1b}[2Jb\nc\u{9b}d"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d");
        assert_eq!(plain_lines("a\r\n\tb\u{7}"), "a\n\tb\u{fffd}");
    }
}
