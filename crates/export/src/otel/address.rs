//! Where a collector takes traces and metrics, from the one address an exporter has.

/// The addresses of one exporter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Addresses {
    pub(crate) traces: String,
    /// `None`: the exporter's address is one for traces alone, and nothing in it says where metrics would go.
    pub(crate) metrics: Option<String>,
}

const TRACES: &str = "/v1/traces";
const METRICS: &str = "/v1/metrics";

impl Addresses {
    /// `…/v1/traces` has `…/v1/metrics` beside it. A bare origin stands for both, as `OTEL_EXPORTER_OTLP_ENDPOINT` does.
    /// Any other address takes traces only.
    pub(crate) fn of(url: &str) -> Self {
        let (address, query) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
        let address = address.trim_end_matches('/');
        let origin = address.find("://").map_or(0, |at| at + "://".len());
        let both = |base: &str| Self {
            traces: format!("{base}{TRACES}{query}"),
            metrics: Some(format!("{base}{METRICS}{query}")),
        };
        match address.strip_suffix(TRACES) {
            Some(base) => both(base),
            None if !address[origin..].contains('/') => both(address),
            None => Self { traces: url.to_owned(), metrics: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> (String, Option<String>) {
        let Addresses { traces, metrics } = Addresses::of(url);
        (traces, metrics)
    }

    fn both(traces: &str, metrics: &str) -> (String, Option<String>) {
        (traces.to_owned(), Some(metrics.to_owned()))
    }

    #[test]
    fn metrics_go_beside_traces() {
        let expected = both("https://c.test/v1/traces", "https://c.test/v1/metrics");
        for url in
            ["https://c.test", "https://c.test/", "https://c.test/v1/traces", "https://c.test/v1/traces/"]
        {
            assert_eq!(of(url), expected, "{url}");
        }
        assert_eq!(
            of("http://127.0.0.1:4318/otlp/v1/traces?key=a/b"),
            both(
                "http://127.0.0.1:4318/otlp/v1/traces?key=a/b",
                "http://127.0.0.1:4318/otlp/v1/metrics?key=a/b"
            )
        );
        assert_eq!(
            of("https://c.test?a=1"),
            both("https://c.test/v1/traces?a=1", "https://c.test/v1/metrics?a=1")
        );
    }

    #[test]
    fn an_address_for_traces_alone_stays_as_it_is() {
        for url in
            ["https://c.test/ingest", "https://c.test/v1/traces/mine", "https://c.test/ingest/?a=/v1/traces"]
        {
            assert_eq!(of(url), (url.to_owned(), None));
        }
    }
}
