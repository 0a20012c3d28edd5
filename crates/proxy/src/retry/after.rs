//! How long a provider asks to wait before the call is made again.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{HeaderName, RETRY_AFTER};

/// `retry-after-ms`, else `retry-after` in seconds or as a date. What cannot be read is as if absent.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    static MILLISECONDS: HeaderName = HeaderName::from_static("retry-after-ms");
    let text = |name: &HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| (0.0..=1e9).contains(number));
    if let Some(milliseconds) = text(&MILLISECONDS).and_then(number) {
        return Some(Duration::from_secs_f64(milliseconds / 1000.0));
    }
    let after = text(&RETRY_AFTER)?;
    match number(after) {
        Some(seconds) => Some(Duration::from_secs_f64(seconds)),
        None => Some(httpdate::parse_http_date(after).ok()?.duration_since(now).unwrap_or_default()),
    }
}

/// Whether the provider says that the same call would fail again.
pub(super) fn says_no(headers: &HeaderMap) -> bool {
    static SHOULD: HeaderName = HeaderName::from_static("x-should-retry");
    headers.get(&SHOULD).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"false"))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn seconds_dates_and_milliseconds_are_read() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (name, value, expected) in [
            ("retry-after", "2", Some(2_000)),
            ("retry-after", "0", Some(0)),
            ("retry-after", "0.25", Some(250)),
            ("retry-after", " 7 ", Some(7_000)),
            ("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT", Some(10_000)),
            ("retry-after", "Sun, 06 Nov 1994 08:49:27 GMT", Some(0)),
            ("retry-after-ms", "150", Some(150)),
            ("retry-after", "-1", None),
            ("retry-after", "soon", None),
            ("retry-after", "NaN", None),
            ("retry-after", "inf", None),
            ("retry-after", "", None),
            ("date", "2", None),
        ] {
            let headers = HeaderMap::from_iter([(
                HeaderName::from_static(name),
                value.parse().expect("a header's value"),
            )]);
            let expected = expected.map(Duration::from_millis);
            assert_eq!(retry_after(&headers, now), expected, "{name}: {value}");
        }
    }
}
