//! What is added up under one set of attributes, and the attributes.

use genesis_store::{Figures, Outcome};

use super::names::{self, metric, own};
use super::span::error_type;
use crate::otlp::{Attribute, HistogramPoint, SumPoint};

/// What is added up under one set of attributes.
pub(super) struct Series {
    pub(super) labels: Labels,
    duration: Histogram<{ metric::SECOND_BOUNDS.len() + 1 }>,
    first_chunk: Histogram<{ metric::SECOND_BOUNDS.len() + 1 }>,
    per_token: Histogram<{ metric::PER_TOKEN_BOUNDS.len() + 1 }>,
    tokens_in: Histogram<{ metric::TOKEN_BOUNDS.len() + 1 }>,
    tokens_out: Histogram<{ metric::TOKEN_BOUNDS.len() + 1 }>,
    cost_nano_usd: i64,
}

#[derive(Clone)]
pub(super) struct Labels {
    pub(super) gateway: String,
    operation: &'static str,
    provider: String,
    /// Empty: none that has ever answered.
    pub(super) model: String,
    cached: bool,
    pub(super) error: Option<String>,
    /// Stands for all that found no room.
    overflow: bool,
}

/// From when to when a point counts.
#[derive(Clone, Copy)]
pub(super) struct Period {
    pub(super) start_ns: u64,
    pub(super) time_ns: u64,
}

impl Series {
    pub(super) fn new(labels: Labels) -> Self {
        Self {
            labels,
            duration: Histogram::default(),
            first_chunk: Histogram::default(),
            per_token: Histogram::default(),
            tokens_in: Histogram::default(),
            tokens_out: Histogram::default(),
            cost_nano_usd: 0,
        }
    }

    pub(super) fn add(&mut self, figures: &Figures<'_>) {
        self.duration.add(&metric::SECOND_BOUNDS, 1e3, figures.duration_ms.into());
        // Sums never fall.
        self.cost_nano_usd = self.cost_nano_usd.saturating_add(figures.cost_nano_usd.max(0));
        if figures.cached {
            return;
        }
        let (tokens_in, tokens_out) = (figures.usage.tokens_in(), figures.usage.tokens_out());
        for (histogram, tokens) in [(&mut self.tokens_in, tokens_in), (&mut self.tokens_out, tokens_out)] {
            if tokens > 0 {
                histogram.add(&metric::TOKEN_BOUNDS, 1.0, tokens);
            }
        }
        let streamed = figures.stream && figures.outcome == Outcome::Success;
        if let Some(first_byte_ms) = figures.first_byte_ms.filter(|_| streamed) {
            self.first_chunk.add(&metric::SECOND_BOUNDS, 1e3, first_byte_ms.into());
            if tokens_out > 1 {
                let us = u64::from(figures.duration_ms.saturating_sub(first_byte_ms)) * 1_000;
                self.per_token.add(&metric::PER_TOKEN_BOUNDS, 1e6, us / (tokens_out - 1));
            }
        }
    }

    pub(super) fn duration(&self, period: Period) -> Option<HistogramPoint> {
        self.duration.point(&metric::SECOND_BOUNDS, 1e3, self.labels.attributes(), period)
    }

    pub(super) fn first_chunk(&self, period: Period) -> Option<HistogramPoint> {
        self.first_chunk.point(&metric::SECOND_BOUNDS, 1e3, self.labels.attributes(), period)
    }

    pub(super) fn per_token(&self, period: Period) -> Option<HistogramPoint> {
        self.per_token.point(&metric::PER_TOKEN_BOUNDS, 1e6, self.labels.attributes(), period)
    }

    /// `None` if it cost nothing.
    pub(super) fn cost(&self, period: Period) -> Option<SumPoint> {
        (self.cost_nano_usd > 0).then(|| SumPoint {
            attributes: self.labels.attributes(),
            start_ns: period.start_ns,
            time_ns: period.time_ns,
            value: self.cost_nano_usd,
        })
    }

    pub(super) fn tokens(&self, period: Period) -> impl Iterator<Item = HistogramPoint> {
        let kinds = [(names::TOKEN_INPUT, &self.tokens_in), (names::TOKEN_OUTPUT, &self.tokens_out)];
        kinds.into_iter().filter_map(move |(kind, histogram)| {
            let mut attributes = self.labels.attributes();
            attributes.push(Attribute::new(names::TOKEN_TYPE, kind));
            histogram.point(&metric::TOKEN_BOUNDS, 1.0, attributes, period)
        })
    }
}

/// Counts by bucket, and the sum in whole units: money and time are not added up as fractions.
struct Histogram<const BUCKETS: usize> {
    counts: [u64; BUCKETS],
    sum: u64,
}

impl<const BUCKETS: usize> Default for Histogram<BUCKETS> {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], sum: 0 }
    }
}

impl<const BUCKETS: usize> Histogram<BUCKETS> {
    /// `value` in units of which `per` make one of `bounds`.
    fn add(&mut self, bounds: &[f64], per: f64, value: u64) {
        let bucket = bounds.partition_point(|bound| bound * per < value as f64);
        self.counts[bucket] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    /// `None` if nothing was added.
    fn point(
        &self,
        bounds: &'static [f64],
        per: f64,
        attributes: Vec<Attribute>,
        period: Period,
    ) -> Option<HistogramPoint> {
        self.counts.iter().any(|count| *count > 0).then(|| HistogramPoint {
            attributes,
            start_ns: period.start_ns,
            time_ns: period.time_ns,
            sum: self.sum as f64 / per,
            counts: self.counts.to_vec(),
            bounds,
        })
    }
}

impl Labels {
    pub(super) fn of(figures: &Figures<'_>) -> Self {
        Self {
            gateway: figures.gateway.to_owned(),
            operation: names::operation(figures.kind, figures.dialect, figures.path),
            provider: figures.provider.to_owned(),
            model: figures.model.to_owned(),
            cached: figures.cached,
            error: error_type(figures.outcome, figures.status),
            overflow: false,
        }
    }

    pub(super) fn overflow(gateway: &str) -> Self {
        Self {
            gateway: gateway.to_owned(),
            operation: "",
            provider: String::new(),
            model: String::new(),
            cached: false,
            error: None,
            overflow: true,
        }
    }

    /// The same, had it gone well.
    pub(super) fn of_success(&self) -> Self {
        Self { error: None, ..self.clone() }
    }

    pub(super) fn key(&self) -> String {
        let Self { gateway, operation, provider, model, cached, error, overflow } = self;
        let error = error.as_deref().unwrap_or_default();
        format!("{gateway}\0{operation}\0{provider}\0{model}\0{cached}\0{error}\0{overflow}")
    }

    fn attributes(&self) -> Vec<Attribute> {
        let mut all = vec![Attribute::new(own::GATEWAY, self.gateway.as_str())];
        if self.overflow {
            all.push(Attribute::new(names::OVERFLOW, true));
            return all;
        }
        all.push(Attribute::new(names::OPERATION, self.operation));
        // The log has one name of a model: the answer's, or else the request's.
        for (name, value) in [
            (names::PROVIDER, names::provider(&self.provider)),
            (names::REQUEST_MODEL, &self.model),
            (names::RESPONSE_MODEL, &self.model),
            (names::ERROR_TYPE, self.error.as_deref().unwrap_or_default()),
        ] {
            if !value.is_empty() {
                all.push(Attribute::new(name, value));
            }
        }
        if self.cached {
            all.push(Attribute::new(own::CACHED, true));
        }
        all
    }
}
