//! Points in time as people type and read them. Milliseconds since the epoch, as the store keeps them.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned, civil};

/// A moment that lies back: `1h`, `7d`, `2026-11-22`, `2026-11-22 18:30`, `2026-11-22T18:30:00Z`.
pub(crate) fn past(text: &str) -> Result<i64, String> {
    moment(text, &Zoned::now(), |now, span| now.checked_sub(span.abs()))
}

/// A moment to come, in the same words; a length of time counts from now.
pub(crate) fn future(text: &str) -> Result<i64, String> {
    let now = Zoned::now();
    let moment = moment(text, &now, |now, span| now.checked_add(span))?;
    if moment <= now.timestamp().as_millisecond() {
        return Err("this is already past; give a later date, or a length of time such as 30d".to_owned());
    }
    Ok(moment)
}

/// `2026-11-22T18:30:00.123Z`
pub(crate) fn iso(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map(|moment| format!("{moment:.3}")).unwrap_or_default()
}

/// In the time zone of this machine, to be shown with `format` (as strftime's).
pub(crate) fn local(ms: i64, format: &str) -> String {
    let moment = Timestamp::from_millisecond(ms).unwrap_or_default();
    moment.to_zoned(TimeZone::system()).strftime(format).to_string()
}

fn moment(
    text: &str,
    now: &Zoned,
    shift: impl Fn(&Zoned, Span) -> Result<Zoned, jiff::Error>,
) -> Result<i64, String> {
    let text = text.trim();
    // Friendly lengths never start like a date, so the order does not matter but for the speed of the usual case.
    if let Ok(span) = text.parse::<Span>() {
        let shifted =
            shift(now, span).map_err(|_| "this is further away than a calendar reaches".to_owned())?;
        return Ok(shifted.timestamp().as_millisecond());
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment.as_millisecond());
    }
    let local = text.parse::<civil::DateTime>().and_then(|moment| moment.to_zoned(now.time_zone().clone()));
    match local {
        Ok(moment) => Ok(moment.timestamp().as_millisecond()),
        Err(_) => Err("give a length of time such as 30m, 12h or 7d, or a date such as 2026-11-22 or \
                       2026-11-22T18:30"
            .to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(text: &str) -> Result<String, String> {
        let now: Zoned = "2026-11-22T12:00:00+01:00[Europe/Berlin]".parse().unwrap();
        moment(text, &now, |now, span| now.checked_sub(span.abs())).map(iso)
    }

    #[test]
    fn lengths_count_from_now_and_dates_are_local() {
        for (text, expected) in [
            ("1h", "2026-11-22T10:00:00.000Z"),
            ("90m", "2026-11-22T09:30:00.000Z"),
            ("1h 30m", "2026-11-22T09:30:00.000Z"),
            ("7d", "2026-11-15T11:00:00.000Z"),
            ("2w", "2026-11-08T11:00:00.000Z"),
            // The clock was changed in between: the same time of day.
            ("30d", "2026-10-23T10:00:00.000Z"),
            ("2026-11-01", "2026-10-31T23:00:00.000Z"),
            ("2026-11-01 06:30", "2026-11-01T05:30:00.000Z"),
            ("2026-11-01T06:30", "2026-11-01T05:30:00.000Z"),
            ("2026-11-01T06:30:00Z", "2026-11-01T06:30:00.000Z"),
        ] {
            assert_eq!(before(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_told_how_to_be_one() {
        for text in ["", "soon", "7", "2026-13-01", "12:00", "99999999y"] {
            assert!(before(text).is_err(), "{text}");
        }
    }
}
