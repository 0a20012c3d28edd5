//! Trace context: which trace a call belongs to, and which span of ours a provider is told of.
//!
//! Callers name their trace in Cloudflare's two headers or as the W3C says. What is not valid is as if absent.

use std::fmt::Write as _;

use http::header::{HeaderMap, HeaderValue};

/// Where a caller is in a trace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Trace {
    /// 32 lower-case hex digits.
    pub(crate) trace_id: String,
    /// The caller's span, 16 lower-case hex digits.
    pub(crate) parent_span_id: Option<String>,
}

impl Trace {
    /// Cloudflare's headers speak to the gateway alone, so they come before the W3C's.
    pub(crate) fn read(headers: &HeaderMap) -> Option<Self> {
        let own = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::trim);
        let parent = TraceParent::of(headers);
        let trace_id = own("cf-aig-otel-trace-id").filter(|id| is_id(id, TRACE_DIGITS));
        let trace_id = trace_id.or(parent.map(|parent| parent.trace_id))?;
        let span = own("cf-aig-otel-parent-span-id").filter(|id| is_id(id, SPAN_DIGITS));
        // The span of one trace is no parent in another.
        let same = parent.filter(|parent| parent.trace_id.eq_ignore_ascii_case(trace_id));
        let span = span.or(same.map(|parent| parent.span_id));
        Some(Self {
            trace_id: trace_id.to_ascii_lowercase(),
            parent_span_id: span.map(str::to_ascii_lowercase),
        })
    }
}

/// The caller's `traceparent` with our span as the parent; `None` if there is nothing to rewrite, since the caller sent
/// none that is valid or named another trace to us.
pub(crate) fn onward(headers: &HeaderMap, trace_id: &str, span: [u8; 8]) -> Option<HeaderValue> {
    let parent = TraceParent::of(headers).filter(|parent| parent.trace_id.eq_ignore_ascii_case(trace_id))?;
    let mut value = format!("{}-{}-", parent.version, parent.trace_id);
    for byte in span {
        let _ = write!(value, "{byte:02x}"); // writing to a string cannot fail
    }
    value.push('-');
    value.push_str(parent.flags);
    HeaderValue::try_from(value).ok()
}

pub(crate) const TRACEPARENT: &str = "traceparent";

const TRACE_DIGITS: usize = 32;
const SPAN_DIGITS: usize = 16;

/// The parts of a W3C `traceparent`: `<2 hex>-<32 hex>-<16 hex>-<2 hex>`.
#[derive(Clone, Copy)]
struct TraceParent<'a> {
    version: &'a str,
    trace_id: &'a str,
    span_id: &'a str,
    /// From the flags to the end: later versions may have more to say there.
    flags: &'a str,
}

impl<'a> TraceParent<'a> {
    fn of(headers: &'a HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let value = values.next()?.to_str().ok()?.trim();
        // Two of them contradict each other.
        if values.next().is_some() {
            return None;
        }
        let mut parts = value.splitn(4, '-');
        let (version, trace_id) = (parts.next()?, parts.next()?);
        let (span_id, flags) = (parts.next()?, parts.next()?);
        let flags_of_two = flags.len() == 2 || (version != "00" && flags.as_bytes().get(2) == Some(&b'-'));
        let valid = version.len() == 2
            && is_hex(version)
            && !version.eq_ignore_ascii_case("ff")
            && is_id(trace_id, TRACE_DIGITS)
            && is_id(span_id, SPAN_DIGITS)
            && flags_of_two
            && flags.get(..2).is_some_and(is_hex);
        valid.then_some(Self { version, trace_id, span_id, flags })
    }
}

/// An id of zeros means that there is none.
fn is_id(text: &str, digits: usize) -> bool {
    text.len() == digits && is_hex(text) && text.bytes().any(|byte| byte != b'0')
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const OTHER: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "00f067aa0ba902b7";
    const ANOTHER: &str = "b7ad6b7169203331";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("test header"));
        }
        headers
    }

    fn read(pairs: &[(&'static str, &str)]) -> Option<(String, Option<String>)> {
        Trace::read(&headers(pairs)).map(|trace| (trace.trace_id, trace.parent_span_id))
    }

    fn some(trace: &str, span: Option<&str>) -> Option<(String, Option<String>)> {
        Some((trace.to_owned(), span.map(str::to_owned)))
    }

    #[test]
    fn a_trace_comes_from_either_kind_of_header() {
        let parent = format!("00-{TRACE}-{SPAN}-01");
        let own = ("cf-aig-otel-trace-id", TRACE);
        assert_eq!(read(&[("traceparent", &parent)]), some(TRACE, Some(SPAN)));
        assert_eq!(read(&[own]), some(TRACE, None));
        assert_eq!(read(&[own, ("cf-aig-otel-parent-span-id", ANOTHER)]), some(TRACE, Some(ANOTHER)));
        assert_eq!(read(&[("cf-aig-otel-trace-id", &TRACE.to_uppercase())]), some(TRACE, None));
        // Both: ours comes first, and a parent is taken from its own trace only.
        assert_eq!(read(&[own, ("traceparent", &parent)]), some(TRACE, Some(SPAN)));
        assert_eq!(read(&[("cf-aig-otel-trace-id", OTHER), ("traceparent", &parent)]), some(OTHER, None));
        let named = ("cf-aig-otel-parent-span-id", ANOTHER);
        assert_eq!(read(&[named, ("traceparent", &parent)]), some(TRACE, Some(ANOTHER)));
        assert_eq!(read(&[named]), None, "a span without a trace says nothing");
    }

    #[test]
    fn what_is_not_valid_is_as_if_absent() {
        let zeros = "0".repeat(32);
        for parent in [
            String::new(),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-0g"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("01-{TRACE}-{SPAN}-01more"),
            format!("0-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}x-{SPAN}-01"),
        ] {
            assert_eq!(read(&[("traceparent", &parent)]), None, "{parent}");
            assert_eq!(onward(&headers(&[("traceparent", &parent)]), TRACE, [1; 8]), None, "{parent}");
        }
        let parent = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(read(&[("traceparent", &parent), ("traceparent", &parent)]), None, "two of them");
        assert_eq!(read(&[("cf-aig-otel-trace-id", "xyz")]), None);
        assert_eq!(read(&[("cf-aig-otel-trace-id", &zeros)]), None);
        let own = ("cf-aig-otel-trace-id", TRACE);
        assert_eq!(read(&[own, ("cf-aig-otel-parent-span-id", "span-1")]), some(TRACE, None));
    }

    #[test]
    fn a_provider_is_told_our_span_and_everything_else_as_it_came() {
        let told = |parent: &str, trace| {
            let value = onward(&headers(&[("traceparent", parent)]), trace, [0, 0, 0, 0, 0, 0, 0x0a, 0xff])?;
            Some(value.to_str().expect("ascii").to_owned())
        };
        let ours = "0000000000000aff";
        assert_eq!(told(&format!("00-{TRACE}-{SPAN}-00"), TRACE), Some(format!("00-{TRACE}-{ours}-00")));
        let later = format!("cc-{TRACE}-{SPAN}-01-what-is-to-come");
        assert_eq!(told(&later, TRACE), Some(format!("cc-{TRACE}-{ours}-01-what-is-to-come")));
        assert_eq!(told(&format!("00-{TRACE}-{SPAN}-01"), OTHER), None, "another trace than the one we log");
        assert_eq!(onward(&HeaderMap::new(), TRACE, [1; 8]), None);
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_read_or_ignored(value in "[ -~]{0,70}") {
            let headers = headers(&[("traceparent", &value)]);
            if let Some(trace) = Trace::read(&headers) {
                let span = trace.parent_span_id.expect("a traceparent has one");
                prop_assert!(is_id(&trace.trace_id, 32) && is_id(&span, 16));
            }
        }

        #[test]
        fn what_is_sent_on_is_valid_again(trace in "[0-9a-f]{31}1", span in "[0-9a-f]{15}1", ours: [u8; 8]) {
            prop_assume!(ours != [0; 8]);
            let value = onward(&headers(&[("traceparent", &format!("00-{trace}-{span}-01"))]), &trace, ours);
            let read = read(&[("traceparent", value.expect("rewritten").to_str().expect("ascii"))]);
            let (read, parent) = read.expect("valid");
            prop_assert_eq!(read, trace);
            prop_assert_eq!(u64::from_str_radix(&parent.expect("parent"), 16).expect("hex"), u64::from_be_bytes(ours));
        }
    }
}
