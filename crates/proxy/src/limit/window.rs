//! Time as limits see it: numbered slots, of which the latest few count. Milliseconds since 1970, UTC.

use genesis_config::gateway::{Period, Technique};

/// How many slots a sliding window is cut into. What happened counts until its whole slot has left the window, so a
/// sliding window is up to this part longer than it says, and never shorter.
const SLOTS: i64 = 20;
const DAY_MS: i64 = 86_400_000;

/// The window of a limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Window {
    /// Aligned to the epoch.
    Fixed { ms: i64 },
    /// Looks back from now.
    Sliding { ms: i64 },
    /// An hour, day, week or month of the UTC calendar.
    Calendar(Period),
    /// No window at all: what is under way counts until it ends.
    Now,
}

impl Window {
    pub(crate) fn new(technique: Technique, seconds: u64) -> Self {
        let ms = i64::try_from(seconds).unwrap_or(i64::MAX / 1000).max(1).saturating_mul(1000);
        match technique {
            Technique::Fixed => Self::Fixed { ms },
            Technique::Sliding => Self::Sliding { ms },
        }
    }

    /// The slot that a moment belongs to.
    pub(crate) fn slot(self, now_ms: i64) -> i64 {
        match self {
            Self::Fixed { ms } => now_ms.div_euclid(ms),
            Self::Sliding { ms } => now_ms.div_euclid(slot_ms(ms)),
            Self::Calendar(Period::Hourly) => now_ms.div_euclid(3_600_000),
            Self::Calendar(Period::Daily) => now_ms.div_euclid(DAY_MS),
            // 1970-01-01 was a Thursday; weeks begin on Monday.
            Self::Calendar(Period::Weekly) => (now_ms.div_euclid(DAY_MS) + 3).div_euclid(7),
            Self::Calendar(Period::Monthly) => month(now_ms.div_euclid(DAY_MS)),
            Self::Now => 0,
        }
    }

    /// The first slot that still counts when `slot` is the current one.
    pub(crate) fn oldest(self, slot: i64) -> i64 {
        match self {
            Self::Sliding { ms } => slot - ceil(ms, slot_ms(ms)),
            _ => slot,
        }
    }

    /// When what happened in `slot` no longer counts.
    pub(crate) fn ends(self, slot: i64) -> i64 {
        match self {
            Self::Fixed { ms } => (slot + 1).saturating_mul(ms),
            Self::Sliding { ms } => {
                let length = slot_ms(ms);
                (slot + 1 + ceil(ms, length)).saturating_mul(length)
            }
            Self::Calendar(Period::Hourly) => (slot + 1) * 3_600_000,
            Self::Calendar(Period::Daily) => (slot + 1) * DAY_MS,
            Self::Calendar(Period::Weekly) => ((slot + 1) * 7 - 3) * DAY_MS,
            Self::Calendar(Period::Monthly) => first_day(slot + 1) * DAY_MS,
            Self::Now => i64::MAX,
        }
    }
}

fn slot_ms(window_ms: i64) -> i64 {
    ceil(window_ms, SLOTS)
}

/// Division of positive numbers, rounded up.
fn ceil(number: i64, by: i64) -> i64 {
    number / by + i64::from(number % by != 0)
}

/// Months since 1970 of a number of days since then.
fn month(days: i64) -> i64 {
    // A month has 28 to 31 days: the first guess is at most a few months early.
    let mut month = days.div_euclid(31);
    while first_day(month + 1) <= days {
        month += 1;
    }
    month
}

/// The first day of a month, in days since 1970; both counted from 1970 (Howard Hinnant's `days_from_civil`).
fn first_day(month: i64) -> i64 {
    // Years that begin in March put the leap day at the end.
    let shifted = month + 1970 * 12 - 2;
    let (year, month) = (shifted.div_euclid(12), shifted.rem_euclid(12));
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_those_of_the_calendar() {
        // 2024-02-29, 2024-03-01, 2026-11-23, 1970-01-01, 2000-03-01
        for (days, expected) in [
            (19_782, (2024 - 1970) * 12 + 1),
            (19_783, (2024 - 1970) * 12 + 2),
            (20_780, (2026 - 1970) * 12 + 10),
            (0, 0),
        ] {
            assert_eq!(month(days), expected, "{days}");
        }
        assert_eq!(first_day((2000 - 1970) * 12 + 2), 11_017);
    }

    #[test]
    fn a_slot_counts_from_its_beginning_to_its_end() {
        let now = 1_795_400_123_456; // 2026-11-23, a Monday
        let windows = [
            Window::Fixed { ms: 60_000 },
            Window::Sliding { ms: 60_000 },
            Window::Sliding { ms: 1_000 },
            Window::Sliding { ms: 7_777 },
            Window::Calendar(Period::Hourly),
            Window::Calendar(Period::Daily),
            Window::Calendar(Period::Weekly),
            Window::Calendar(Period::Monthly),
        ];
        for window in windows {
            let slot = window.slot(now);
            let end = window.ends(slot);
            assert!(window.oldest(window.slot(end - 1)) <= slot, "{window:?}: gone too early");
            assert!(window.oldest(window.slot(end)) > slot, "{window:?}: never goes");
            if let Window::Sliding { ms } = window {
                assert!(end >= now + ms, "{window:?}: what just happened counts for the whole window");
                assert!(end <= now + ms + 2 * ceil(ms, SLOTS), "{window:?}: and not much longer");
            }
        }
        let monday = Window::Calendar(Period::Weekly);
        assert_eq!(monday.slot(now) - 1, monday.slot(now - DAY_MS), "weeks begin on Monday");
    }
}
