//! What the metrics are made of: histograms and sums since the gateway began, added up by the log's writer.
//!
//! They are cumulative, so a push that got lost, or arrived twice, changes nothing: the next one says it all again. What
//! callers can invent is bounded: a model counts by name once it has answered, and after [`MOST`] sets of attributes the
//! rest is one point.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use genesis_store::Figures;

use super::names::metric;
use super::series::{Labels, Period, Series};
use crate::otlp::{Data, HistogramPoint, Metric};

/// Most sets of attributes: the limit OpenTelemetry suggests.
const MOST: usize = 2_000;

/// Adds up exchanges of the gateways that export metrics.
pub(crate) struct Meter {
    started_ns: u64,
    /// Those gateways, and how many exchanges of each counted.
    measured: RwLock<HashMap<String, AtomicU64>>,
    /// By the text of its labels.
    series: Mutex<HashMap<String, Series>>,
}

impl Meter {
    pub(crate) fn new(started_ns: u64) -> Self {
        Self { started_ns, measured: RwLock::default(), series: Mutex::default() }
    }

    /// From now on the exchanges of these gateways count.
    pub(crate) fn measure(&self, gateways: BTreeSet<String>) {
        let mut measured = self.measured.write().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *measured);
        let counted = |id: String| {
            let count = before.remove(&id).unwrap_or_default();
            (id, count)
        };
        *measured = gateways.into_iter().map(counted).collect();
    }

    /// How many exchanges of a gateway counted so far; tells whether there is anything new.
    pub(crate) fn counted(&self, gateway: &str) -> u64 {
        let measured = self.measured.read().unwrap_or_else(PoisonError::into_inner);
        measured.get(gateway).map_or(0, |count| count.load(Ordering::Acquire))
    }

    /// Called by the log's writer.
    pub(crate) fn add(&self, figures: &Figures<'_>) {
        let measured = self.measured.read().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = measured.get(figures.gateway) else { return };
        let mut labels = Labels::of(figures);
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        if labels.error.is_some() && !series.contains_key(&labels.of_success().key()) {
            labels.model.clear();
        }
        let mut key = labels.key();
        if !series.contains_key(&key) && series.len() >= MOST {
            labels = Labels::overflow(figures.gateway);
            key = labels.key();
        }
        series.entry(key).or_insert_with(|| Series::new(labels)).add(figures);
        count.fetch_add(1, Ordering::Release);
    }

    /// Everything about a gateway.
    pub(crate) fn metrics(&self, gateway: &str, now_ns: u64) -> Vec<Metric> {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wanted: Vec<_> =
            series.iter().filter(|(_, series)| series.labels.gateway == gateway).collect();
        wanted.sort_by_key(|(key, _)| *key);
        let wanted = || wanted.iter().map(|(_, series)| *series);
        let period = Period { start_ns: self.started_ns, time_ns: now_ns };
        let mut metrics = vec![
            histogram(
                (metric::DURATION, "Until the last byte was handed to the client.", metric::IN_SECONDS),
                wanted().filter_map(|series| series.duration(period)),
            ),
            histogram(
                (metric::FIRST_CHUNK, "Until the first byte of a streamed answer.", metric::IN_SECONDS),
                wanted().filter_map(|series| series.first_chunk(period)),
            ),
            histogram(
                (metric::PER_TOKEN, "Of a streamed answer, per token after the first.", metric::IN_SECONDS),
                wanted().filter_map(|series| series.per_token(period)),
            ),
            histogram(
                (metric::TOKENS, "Tokens of an exchange, as the provider counts them.", metric::IN_TOKENS),
                wanted().flat_map(|series| series.tokens(period)),
            ),
            Metric {
                name: metric::COST,
                about: "Cost in billionths of a US dollar.",
                unit: metric::IN_NANO_USD,
                data: Data::Sum(wanted().filter_map(|series| series.cost(period)).collect()),
            },
        ];
        metrics.retain(|metric| !metric.data.is_empty());
        metrics
    }
}

fn histogram(
    (name, about, unit): (&'static str, &'static str, &'static str),
    points: impl Iterator<Item = HistogramPoint>,
) -> Metric {
    Metric { name, about, unit, data: Data::Histogram(points.collect()) }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("started_ns", &self.started_ns).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use genesis_store::Outcome;
    use genesis_wire::{Dialect, Usage};

    use super::*;
    use crate::otel::names;
    use crate::otlp::{Attribute, Value};

    fn figures(model: &str) -> Figures<'_> {
        Figures {
            gateway: "gw",
            provider: "openai",
            model,
            dialect: Some(Dialect::OpenAiChat),
            kind: "chat",
            path: "chat/completions",
            status: 200,
            outcome: Outcome::Success,
            cached: false,
            stream: true,
            duration_ms: 1_200,
            first_byte_ms: Some(200),
            usage: Usage { input: 10, output: 101, ..Usage::default() },
            cost_nano_usd: 5,
        }
    }

    fn meter() -> Meter {
        let meter = Meter::new(1);
        meter.measure(BTreeSet::from(["gw".to_owned()]));
        meter
    }

    /// Points of a histogram: attributes as text, sum, index of the first bucket that is not empty.
    fn points(metrics: &[Metric], name: &str) -> Vec<(String, f64, Option<usize>)> {
        let Some(metric) = metrics.iter().find(|metric| metric.name == name) else { return Vec::new() };
        let Data::Histogram(points) = &metric.data else { panic!("{name} is a histogram") };
        let text = |attribute: &Attribute| match &attribute.value {
            Value::Text(text) => format!("{}={text}", attribute.key),
            other => format!("{}={other:?}", attribute.key),
        };
        let row = |point: &HistogramPoint| {
            assert_eq!(point.counts.len(), point.bounds.len() + 1);
            let labels: Vec<_> = point.attributes.iter().map(text).collect();
            (labels.join(" "), point.sum, point.counts.iter().position(|count| *count > 0))
        };
        points.iter().map(row).collect()
    }

    const LABELS: &str = "genesis.gateway=gw gen_ai.operation.name=chat gen_ai.provider.name=openai \
                          gen_ai.request.model=m gen_ai.response.model=m";

    #[test]
    fn an_exchange_is_in_every_metric_it_has_to_do_with() {
        let meter = meter();
        meter.add(&figures("m"));
        let metrics = meter.metrics("gw", 9);
        assert_eq!(points(&metrics, metric::DURATION), [(LABELS.to_owned(), 1.2, Some(7))]);
        assert_eq!(points(&metrics, metric::FIRST_CHUNK), [(LABELS.to_owned(), 0.2, Some(5))]);
        assert_eq!(
            points(&metrics, metric::PER_TOKEN),
            [(LABELS.to_owned(), 0.01, Some(0))],
            "a bound is within"
        );
        let tokens = points(&metrics, metric::TOKENS);
        assert_eq!(tokens[0], (format!("{LABELS} gen_ai.token.type=input"), 10.0, Some(2)));
        assert_eq!(tokens[1], (format!("{LABELS} gen_ai.token.type=output"), 101.0, Some(4)));
        let cost = metrics.iter().find(|metric| metric.name == metric::COST).expect("cost");
        let Data::Sum(points) = &cost.data else { panic!("a sum") };
        assert_eq!((points[0].value, points[0].start_ns, points[0].time_ns), (5, 1, 9));
        assert!(meter.metrics("other", 9).is_empty());
    }

    #[test]
    fn what_is_not_streamed_has_no_chunks_and_a_cached_answer_used_nothing() {
        let meter = meter();
        meter.add(&Figures { stream: false, ..figures("m") });
        meter.add(&Figures { cached: true, cost_nano_usd: 0, ..figures("m") });
        let metrics = meter.metrics("gw", 9);
        assert!(
            points(&metrics, metric::FIRST_CHUNK).is_empty()
                && points(&metrics, metric::PER_TOKEN).is_empty()
        );
        assert_eq!(points(&metrics, metric::TOKENS).len(), 2);
        let durations = points(&metrics, metric::DURATION);
        assert_eq!(durations[1].0, format!("{LABELS} genesis.cached=Bool(true)"));
    }

    #[test]
    fn a_gateway_that_exports_nothing_is_not_counted() {
        let meter = meter();
        meter.add(&Figures { gateway: "quiet", ..figures("m") });
        assert_eq!((meter.counted("quiet"), meter.metrics("quiet", 9).len()), (0, 0));
    }

    #[test]
    fn callers_cannot_make_up_series_without_end() {
        let meter = meter();
        let refused = |model| Figures { status: 404, outcome: Outcome::ProviderError, ..figures(model) };
        let names: Vec<_> = (0..MOST + 50).map(|number| format!("m-{number}")).collect();
        names.iter().for_each(|name| meter.add(&refused(name)));
        let labels =
            "genesis.gateway=gw gen_ai.operation.name=chat gen_ai.provider.name=openai error.type=404";
        let durations = points(&meter.metrics("gw", 9), metric::DURATION);
        assert_eq!(durations.len(), 1, "models nobody has");
        assert_eq!(durations[0].0, labels);
        names.iter().for_each(|name| meter.add(&figures(name)));
        meter.add(&refused(&names[0]));
        let durations = points(&meter.metrics("gw", 9), metric::DURATION);
        assert_eq!(durations.len(), MOST + 1);
        let rest = durations.iter().find(|(labels, ..)| labels.contains(names::OVERFLOW)).expect("the rest");
        assert_eq!(rest.0, "genesis.gateway=gw otel.metric.overflow=Bool(true)");
        assert!((rest.1 - 1.2 * 52.0).abs() < 1e-6, "none is lost: {}", rest.1);
    }

    #[test]
    fn a_known_models_failures_keep_its_name() {
        let meter = meter();
        meter.add(&figures("m"));
        meter.add(&Figures { status: 429, outcome: Outcome::ProviderError, ..figures("m") });
        let durations = points(&meter.metrics("gw", 9), metric::DURATION);
        assert_eq!(durations[1].0, format!("{LABELS} error.type=429"));
    }
}
